"""`RNN` against `torch.nn.RNN`, in value and gradient, in every form that both take."""

import pytest
import torch
from torch import nn

from modreg.layers import recurrent
from modreg.layers.recurrent import RNN, Linear


def outputs_and_gradients(layer, x, h0):
    x = x.clone().requires_grad_()
    h0 = None if h0 is None else h0.clone().requires_grad_()
    out, last = layer(x, h0) if h0 is not None else layer(x)
    inputs = [x, *([] if h0 is None else [h0]), *layer.parameters()]
    return [out, last, *torch.autograd.grad(out.sin().sum() + (last**3).sum(), inputs)]


@pytest.mark.parametrize("state", [True, False])
@pytest.mark.parametrize("form", ["steps first", "batch first", "one sequence", "one sequence, batch first"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
def test_drop_in(nonlinearity, layers, bias, form, state):
    torch.manual_seed(0)
    options = dict(num_layers=layers, nonlinearity=nonlinearity, bias=bias, batch_first="batch first" in form)
    theirs = nn.RNN(4, 6, dtype=torch.float64, **options)
    ours = RNN(4, 6, **options).double()
    assert [*ours.state_dict()] == [*theirs.state_dict()]
    ours.load_state_dict(theirs.state_dict())
    one = form.startswith("one")
    x = torch.randn(*((7, 4) if one else (7, 3, 4)), dtype=torch.float64)
    batch = 7 if form == "batch first" else 3
    h0 = torch.randn(*((layers, 6) if one else (layers, batch, 6)), dtype=torch.float64) if state else None
    for mine, oracle in zip(outputs_and_gradients(ours, x, h0), outputs_and_gradients(theirs, x, h0), strict=True):
        torch.testing.assert_close(mine, oracle, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("replicas", [None, 1])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
def test_kernel_for_gpus_agrees(monkeypatch, nonlinearity, bias, replicas):
    layer = RNN(4, 6, 2, nonlinearity, bias, replicas=replicas).double()
    lead = () if replicas is None else (1,)
    x, h0 = torch.randn(*lead, 7, 3, 4, dtype=torch.float64), torch.randn(*lead, 2, 3, 6, dtype=torch.float64)
    ours = outputs_and_gradients(layer, x, h0)
    monkeypatch.setattr(recurrent, "_fastest", lambda x: recurrent._cudnn)
    for mine, theirs in zip(ours, outputs_and_gradients(layer, x, h0), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-12, rtol=1e-12)


def test_our_own_loop_runs_on_processors():
    assert {recurrent._fastest(torch.ones(replicas, 2, 3, 4, dtype=dtype)) for replicas in (1, 3) for dtype in (torch.float32, torch.float64)} == {recurrent._stack}
    assert recurrent._fastest(torch.ones(1, 2, 3, 4, device="meta")) is recurrent._torch_kernel


USES = {"states": lambda out, last: out.sin().sum(), "last states": lambda out, last: (last**3).sum(),
        "both": lambda out, last: (out[..., :-1] * out[..., 1:]).sum() + (last**3).sum() + out[..., -1, :, :].cos().sum(),
        "one step": lambda out, last: out[..., 2, :, :].sin().sum(), "twice": lambda out, last: out.sin().sum() + out.cos().sum() + last.sin().sum() + last.sum()}


@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
@pytest.mark.parametrize("use", USES)
def test_gradients_of_replicas_whatever_is_used(use, nonlinearity):
    torch.manual_seed(0)
    many = RNN(4, 6, 2, nonlinearity, replicas=3).double()
    x, h0 = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in ((3, 7, 5, 4), (3, 2, 5, 6)))
    wanted = [x, h0, *many.parameters()]
    mine = torch.autograd.grad(USES[use](*many(x, h0)), wanted)
    for s in range(3):
        theirs = nn.RNN(4, 6, 2, nonlinearity, dtype=torch.float64)
        theirs.load_state_dict({name: value[s] for name, value in many.state_dict().items()})
        inputs = [t[s].detach().requires_grad_() for t in (x, h0)]
        oracle = torch.autograd.grad(USES[use](*theirs(*inputs)), [*inputs, *theirs.parameters()])
        for a, b in zip(mine, oracle, strict=True):
            torch.testing.assert_close(a[s], b, atol=1e-10, rtol=1e-10)


def test_without_a_graph_and_twice_differentiated():
    layer, x = RNN(4, 6), torch.randn(7, 3, 4)
    with torch.no_grad():
        assert not any(t.requires_grad for t in layer(x))
    slope, = torch.autograd.grad(layer(x)[0].sin().sum(), layer.weight_hh_l0, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


def test_single_step_and_single_neuron():
    theirs, ours = nn.RNN(1, 1, dtype=torch.float64), RNN(1, 1).double()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(1, 1, 1, dtype=torch.float64)
    for mine, oracle in zip(outputs_and_gradients(ours, x, None), outputs_and_gradients(theirs, x, None), strict=True):
        torch.testing.assert_close(mine, oracle)


def test_frozen_weights_and_inputs_get_no_gradient():
    layer = RNN(2, 3)
    layer.weight_hh_l0.requires_grad_(False)
    layer(torch.randn(4, 5, 2))[0].sum().backward()
    assert layer.weight_hh_l0.grad is None and layer.weight_ih_l0.grad is not None


@pytest.mark.parametrize("module", [lambda **o: RNN(3, 5, num_layers=2, **o), lambda **o: Linear(3, 5, **o)], ids=["rnn", "linear"])
def test_replica_starts_as_it_would_alone(module):
    streams = [torch.Generator().manual_seed(seed) for seed in (4, 5)]
    many = module(replicas=2, generator=streams).state_dict()
    alone = module(replicas=1, generator=[torch.Generator().manual_seed(5)]).state_dict()
    assert all(torch.equal(many[name][1], alone[name][0]) for name in many)


def test_mistakes():
    for call, message in [
        (lambda: RNN(2, 3, nonlinearity="gelu"), "relu"), (lambda: RNN(2, 0), "at least 1"), (lambda: RNN(2, 3, batch_first=True, replicas=2), "batch_first"),
        (lambda: RNN(2, 3)(torch.zeros(4, 5, 7)), "expected"), (lambda: RNN(2, 3)(torch.zeros(4, 5, 2), torch.zeros(1, 4, 3)), "initial state hx"),
        (lambda: RNN(2, 3)(torch.zeros(0, 5, 2)), "expected"), (lambda: RNN(2, 3, replicas=2)(torch.zeros(3, 4, 5, 2)), "expected"),
        (lambda: Linear(2, 3, replicas=3, generator=[torch.Generator()] * 2), "2 generators for 3 replicas"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
