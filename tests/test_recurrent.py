"""`RNN` against `torch.nn.RNN`, in value and gradient, in every form that both take."""

import pytest
import torch
from torch import nn

from modreg.recurrent import RNN, Linear


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


@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
@pytest.mark.parametrize("bias", [True, False])
def test_kernel_for_gpus_agrees(nonlinearity, bias):
    layer = RNN(4, 6, 2, nonlinearity, bias).double()
    x, h0 = torch.randn(7, 3, 4, dtype=torch.float64), torch.randn(2, 3, 6, dtype=torch.float64)
    for ours, theirs in zip(layer(x, h0), layer._cudnn(x, h0), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)


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
        (lambda: RNN(2, 3)(torch.zeros(4, 5, 7)), "expected"), (lambda: RNN(2, 3)(torch.zeros(4, 5, 2), torch.zeros(1, 4, 3)), "initial state"),
        (lambda: RNN(2, 3)(torch.zeros(0, 5, 2)), "expected"), (lambda: RNN(2, 3, replicas=2)(torch.zeros(3, 4, 5, 2)), "expected"),
        (lambda: Linear(2, 3, replicas=3, generator=[torch.Generator()] * 2), "2 generators for 3 replicas"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
