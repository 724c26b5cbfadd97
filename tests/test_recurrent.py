"""`RNN` against `torch.nn.RNN`, in value and gradient, in every form that both take."""

import copy
import io
import pickle
import subprocess
import sys
import warnings
from itertools import product

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence, pad_packed_sequence

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
    for loss in (lambda layer: layer(x)[0].sin().sum(), lambda layer: layer(x)[1].sum()):  # the second has a gradient of ones, of which torch's own guard makes zeros
        slope, = torch.autograd.grad(loss(layer), layer.weight_hh_l0, create_graph=True)
        torch.testing.assert_close(slope, torch.autograd.grad(loss(layer), layer.weight_hh_l0)[0])
        with pytest.raises(RuntimeError, match="as_torch"):
            slope.sum().backward()
    with pytest.raises(RuntimeError, match="as_torch"):
        torch.autograd.functional.hessian(lambda x: layer(x)[1].sum(), x)


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


# --- a drop-in ---------------------------------------------------------------------------------------------------------

OPTIONS = {  # the arguments of torch's own database of inputs for nn.RNN (torch.testing._internal.common_modules), and more
    "nonlinearity": ("tanh", "relu"), "num_layers": (1, 2), "bias": (True, False), "batch_first": (False, True),
    "bidirectional": (False, True), "dropout": (0.0, 0.5),
}


def twins(*sizes, dtype=torch.float64, **options):
    "Our layer and torch's with the same weights"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "dropout")
        theirs, ours = nn.RNN(*sizes, **options, dtype=dtype), RNN(*sizes, **options, dtype=dtype)
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def flat(result):
    "Tensors of what a layer returns"
    return [*([result[0].data, result[0].batch_sizes] if isinstance(result[0], PackedSequence) else result[:1]), result[1]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("form", ["batch", "single", "packed"])
@pytest.mark.parametrize("training", [True, False])
def test_every_combination_of_arguments(training, form, dtype):
    "Outputs and gradients are those of nn.RNN, with dropout drawn alike, with a given state and without"
    g = torch.Generator().manual_seed(0)
    for values in product(*OPTIONS.values()):
        options = dict(zip(OPTIONS, values, strict=True))
        ours, theirs = twins(3, 4, dtype=dtype, **options)
        states = options["num_layers"] * (1 + options["bidirectional"])
        x = torch.randn(*((6, 3) if form == "single" else (5, 6, 3)), generator=g, dtype=dtype)
        batch = 5 if options["batch_first"] or form == "packed" else 6
        h0 = torch.randn(*((states, 4) if form == "single" else (states, batch, 4)), generator=g, dtype=dtype)
        for given in ((x,), (x, h0)):
            found = []
            for layer in (ours.train(training), theirs.train(training)):
                leaves = [leaf.clone().requires_grad_() for leaf in given]
                rest = [pack_padded_sequence(leaves[0], [2, 6, 1, 3, 3], batch_first=True, enforce_sorted=False), *leaves[1:]] if form == "packed" else leaves
                torch.manual_seed(0)
                out, *sizes, last = flat(layer(*rest))
                found.append([out, last, *sizes, *torch.autograd.grad(out.sin().sum() + (last**3).sum(), [*leaves, *layer.parameters()])])
            for mine, oracle in zip(*found, strict=True):
                torch.testing.assert_close(mine, oracle, atol=1e-5 if dtype == torch.float32 else 1e-10, rtol=1e-5, msg=lambda text, options=options: f"{options}: {text}")


DATABASE = '''
import sys, types, warnings
sys.modules["expecttest"] = types.ModuleType("expecttest")  # torch's own tests want it, their database does not
sys.modules["expecttest"].TestCase = object
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence
from torch.testing._internal.common_modules import module_db
from modreg import RNN

count = 0
for info in module_db:
    for training in (True, False) if info.module_cls is nn.RNN else ():
        for case in info.module_inputs_func(info, device="cpu", dtype=torch.float64, requires_grad=False, training=training):
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "dropout")
                layers = [kind(*case.constructor_input.args, **case.constructor_input.kwargs).double().train(training) for kind in (RNN, nn.RNN)]
            layers[0].load_state_dict(layers[1].state_dict())
            found = []
            for layer in layers:
                leaves = [x.clone().requires_grad_() if isinstance(x, torch.Tensor) else x for x in case.forward_input.args]
                torch.manual_seed(0)
                out, last = layer(*leaves, **case.forward_input.kwargs)
                out = out.data if isinstance(out, PackedSequence) else out
                wanted = [x for x in leaves if isinstance(x, torch.Tensor)] + list(layer.parameters())
                found.append([out, last, *torch.autograd.grad(out.sin().sum() + last.pow(3).sum(), wanted)])
            for mine, oracle in zip(*found, strict=True):
                torch.testing.assert_close(mine, oracle)
            count += 1
print(count)
'''


def test_database_of_torch():
    "All inputs that torch tests nn.RNN with: the same outputs and gradients (in a process of its own, since torch's test tools change global settings)"
    made = subprocess.run([sys.executable, "-c", DATABASE], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert int(made.stdout) >= 64


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_replicas_with_every_option(bidirectional, dropout):
    many = RNN(4, 6, 2, dropout=dropout, bidirectional=bidirectional, replicas=3, dtype=torch.float64)
    x = torch.randn(3, 7, 5, 4, dtype=torch.float64)
    out, last = many.eval()(x)
    for s in range(3):
        one = nn.RNN(4, 6, 2, bidirectional=bidirectional, dtype=torch.float64)
        one.load_state_dict({name: value[s] for name, value in many.state_dict().items()})
        for mine, oracle in zip((out[s], last[s]), one(x[s]), strict=True):
            torch.testing.assert_close(mine, oracle)
    many.train()
    if dropout:  # other neurons in each replica, and in each call
        assert not torch.equal(many(x)[0], many(x)[0])


@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bidirectional": True}, {"batch_first": True}, {"replicas": 1}])
def test_outputs_may_be_changed_in_place(options):
    "Padding and dropout in place reach the loss and not the backward pass through time"
    ours = RNN(4, 6, **options).double()
    theirs = nn.RNN(4, 6, **{k: v for k, v in options.items() if k != "replicas"}).double()
    theirs.load_state_dict({name: value.squeeze(0) if "replicas" in options else value for name, value in ours.state_dict().items()})
    found = []
    for layer in (ours, theirs):
        x = torch.linspace(-1, 1, 5 * 3 * 4, dtype=torch.float64).view(5, 3, 4)
        out, last = layer(x[None] if layer is ours and "replicas" in options else x)
        out.mul_(2)
        out[..., -2:, :, :] = 0
        torch.manual_seed(0)
        nn.functional.dropout(out, 0.5, inplace=True)
        last.add_(1)
        found.append([g.squeeze() for g in (out, last, *torch.autograd.grad(out.square().sum() + last.square().sum(), list(layer.parameters())))])
    for mine, oracle in zip(*found, strict=True):
        torch.testing.assert_close(mine, oracle)


def test_inputs_and_weights_that_change_before_the_backward_pass_are_noticed():
    for change in (lambda layer, x: x.add_(1), lambda layer, x: layer.weight_hh_l0.add_(1)):
        layer, x = RNN(3, 8), torch.randn(5, 4, 3)
        loss = layer(x)[0].sum()
        with torch.no_grad():
            change(layer, x)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_and_half_precision(dtype):
    "The very numbers of nn.RNN, in its type"
    ours, theirs = twins(3, 8, dtype=torch.float32)
    many, x = RNN(3, 8, replicas=2), torch.randn(5, 4, 3)
    with torch.autocast("cpu", dtype):
        for given in ((x,), (x, torch.ones(1, 4, 8))):
            mine, oracle = ours(*given)[0], theirs(*given)[0]
            assert mine.dtype == oracle.dtype == dtype and torch.equal(mine, oracle)
        mine.sum().backward()
        assert many(torch.randn(2, 5, 4, 3))[0].dtype == dtype and Linear(3, 4, replicas=2)(torch.randn(2, 4, 3)).dtype == dtype
    assert ours.weight_hh_l0.grad.dtype == torch.float32
    assert torch.equal(ours.to(dtype)(x.to(dtype))[0], theirs.to(dtype)(x.to(dtype))[0])


def test_packed_sequences_come_back():
    ours, theirs = twins(3, 4, 2, bidirectional=True)
    sequences = [torch.randn(n, 3, dtype=torch.float64) for n in (2, 5, 3)]
    packed = pack_sequence(sequences, enforce_sorted=False)
    for mine, oracle in zip(pad_packed_sequence(ours(packed)[0]), pad_packed_sequence(theirs(packed)[0]), strict=True):
        torch.testing.assert_close(mine, oracle)
    with pytest.raises(ValueError, match="packed input has shape"):
        RNN(4, 4).double()(packed)
    with pytest.raises(ValueError, match="initial state hx"):
        ours(packed, torch.zeros(4, 2, 4).double())
    with pytest.raises(TypeError, match="without replicas"):
        RNN(3, 4, replicas=2).double()(packed)


def test_a_state_may_be_cut_off_in_place():
    "As truncated back-propagation does"
    layer, last = RNN(3, 8, 2), None
    for _ in range(2):
        out, last = layer(torch.randn(5, 4, 3), last)
        out.sum().backward()
        assert not last.detach_().requires_grad


def test_an_empty_batch_but_no_empty_sequence():
    layer = RNN(3, 8)
    out, last = layer(torch.randn(5, 0, 3))
    assert out.shape == (5, 0, 8) and last.shape == (1, 0, 8)
    out.sum().backward()
    assert not layer.weight_hh_l0.grad.any()
    with pytest.raises(ValueError, match="at least one step"):
        layer(torch.randn(0, 4, 3))


@pytest.mark.parametrize("options", [{}, {"num_layers": 3, "bidirectional": True}, {"bias": False}])
def test_a_seed_gives_the_same_layer_as_in_torch(options):
    layers = []
    for kind in (RNN, nn.RNN):
        torch.manual_seed(3)
        layers.append(kind(3, 8, **options))
    ours, theirs = layers
    assert [*ours.state_dict()] == [*theirs.state_dict()] and [len(w) for w in ours.all_weights] == [len(w) for w in theirs.all_weights]
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert all(getattr(ours, name) == getattr(theirs, name) for name in ("mode", "proj_size", "dropout", "bidirectional", "batch_first", "bias"))
    assert ours.flatten_parameters() is None


def test_copies_and_files():
    layer, x, file = RNN(3, 8, 2), torch.randn(5, 4, 3), io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), torch.load(file, weights_only=False)):
        assert torch.equal(other(x)[0], layer(x)[0])


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_transforms_of_functions():
    layer, x = RNN(3, 8), torch.randn(5, 4, 3)
    gradient = grad(lambda weights: functional_call(layer, weights, (x,))[0].sin().sum())({name: w.detach() for name, w in layer.named_parameters()})
    layer(x)[0].sin().sum().backward()
    for name, w in layer.named_parameters():
        torch.testing.assert_close(gradient[name], w.grad)
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(layer(forward_ad.make_dual(x, torch.ones_like(x)))[0]).tangent
    torch.testing.assert_close(tangent, torch.autograd.functional.jvp(lambda y: layer.as_torch()(y)[0], x, torch.ones_like(x))[1])
    pair = [RNN(3, 8), RNN(3, 8)]
    outputs = vmap(lambda weights, buffers: functional_call(layer, (weights, buffers), (x,))[0])(*stack_module_state(pair))
    torch.testing.assert_close(outputs, torch.stack([one(x)[0] for one in pair]))


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True, "nonlinearity": "relu"}])
def test_export_and_scripts(options):
    layer, x = RNN(3, 8, **options).eval(), torch.randn(5, 4, 3)
    for exported in (torch.export.export(layer, (x,)).module(), torch.jit.trace(layer, x), torch.jit.script(nn.Sequential(layer)), torch.compile(layer, backend="eager")):
        for mine, oracle in zip(exported(x), layer(x), strict=True):
            torch.testing.assert_close(mine, oracle)
    many = RNN(3, 8, replicas=2).eval()
    assert torch.equal(torch.export.export(many, (x[None].expand(2, -1, -1, -1),)).module()(x[None].expand(2, -1, -1, -1))[0].isnan(), torch.zeros(2, 5, 4, 8, dtype=torch.bool))
    with pytest.raises(ValueError, match="neither replicas"):
        torch.jit.script(many)


def test_second_derivatives_by_torchs_layer():
    layer, x = RNN(3, 4).double(), torch.randn(5, 2, 3).double()
    twin = layer.as_torch()
    assert twin.weight_hh_l0 is layer.weight_hh_l0
    assert torch.autograd.gradgradcheck(lambda w: functional_call(twin, {"weight_hh_l0": w}, (x,))[0], layer.weight_hh_l0)


def test_a_layer_hands_on_what_is_not_finite_and_refuses_what_overflows():
    layer, x = Linear(2, 3, replicas=2), torch.ones(2, 4, 2)
    x[0, 0, 0] = torch.nan
    assert layer(x)[0].isnan().any() and layer(x)[1].isfinite().all()
    torch.nn.init.ones_(layer.weight)
    with pytest.raises(ValueError, match="too large"):
        layer(torch.full((2, 4, 2), 3e38))


def test_devices_without_numbers():
    out, last = RNN(3, 8, 2, device="meta")(torch.randn(5, 4, 3, device="meta"))
    assert out.device == last.device == torch.device("meta") and out.shape == (5, 4, 8)
    for layer in (RNN(3, 8), Linear(3, 8), Linear(3, 8, replicas=5)):  # torch multiplies three dimensions by whatever stands in memory
        with pytest.raises(ValueError, match=r"input is a tensor .* on meta; give"):
            layer(torch.randn(5, 4, 3, device="meta"))
    with torch.inference_mode():
        RNN(3, 8)(torch.randn(5, 4, 3))[0].mul_(2)


@pytest.mark.parametrize("make", [lambda **o: RNN(2, 3, **o), lambda **o: Linear(2, 3, **o)], ids=["rnn", "linear"])
@pytest.mark.parametrize("wrong", [{"bias": "no"}, {"replicas": "two"}, {"replicas": 2.0}, {"replicas": True}, {"generator": 3}, {"dtype": torch.int64}, {"dtype": "float32"}])
def test_wrong_types_are_named(make, wrong):
    with pytest.raises(TypeError, match=next(iter(wrong))):
        make(**wrong)


@pytest.mark.parametrize("wrong", [{"num_layers": 2.0}, {"hidden_size": 3.5}, {"input_size": "3"}, {"batch_first": "yes"}, {"bidirectional": 1}, {"dropout": "0.5"}, {"dropout": True}])
def test_wrong_types_of_a_layer_are_named(wrong):
    with pytest.raises(TypeError, match=next(iter(wrong))):
        RNN(**dict(input_size=2, hidden_size=3) | wrong)


def test_dropout_after_the_only_layer_is_warned_of():
    with pytest.warns(UserWarning, match="num_layers=1"):
        RNN(2, 3, dropout=0.5)


def test_mistakes():
    for call, message in [
        (lambda: RNN(2, 3, nonlinearity="gelu"), "relu"), (lambda: RNN(2, 0), "at least 1"), (lambda: RNN(2, 3, nonlinearity=[]), "relu"), (lambda: RNN(2, 3, 2, dropout=1.5), "dropout is 1.5"),
        (lambda: RNN(2, 3, proj_size=2), "proj_size"), (lambda: RNN(2, 3)(torch.zeros(4, 5, 2).double()), "torch.float64 and the layer of torch.float32"),
        (lambda: RNN(2, 3)(torch.zeros(4, 5, 2, dtype=torch.int64)), "torch.int64"), (lambda: RNN(2, 3)(torch.zeros(4, 5, 2, device="meta")), "on meta"),
        (lambda: RNN(2, 3)(torch.zeros(4, 5, 2), torch.zeros(1, 5, 3).double()), "initial state hx is of torch.float64"),
        (lambda: RNN(2, 3)(torch.zeros(4, 2), torch.zeros(1, 1, 3)), r"expected \(1, 3\)"), (lambda: Linear(2, 3, replicas=2)(torch.zeros(3, 5, 2)), "replicas first"), (lambda: RNN(2, 3, batch_first=True, replicas=2), "batch_first"),
        (lambda: RNN(2, 3)(torch.zeros(4, 5, 7)), "expected"), (lambda: RNN(2, 3)(torch.zeros(4, 5, 2), torch.zeros(1, 4, 3)), "initial state hx"),
        (lambda: RNN(2, 3)(torch.zeros(0, 5, 2)), "expected"), (lambda: RNN(2, 3, replicas=2)(torch.zeros(3, 4, 5, 2)), "expected"),
        (lambda: Linear(2, 3, replicas=3, generator=[torch.Generator()] * 2), "2 generators for 3 replicas"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match="is the list"):
        RNN(2, 3)([[1.0, 2.0]])
    with pytest.raises(TypeError, match="to_dense"):
        RNN(2, 3)(torch.zeros(4, 5, 2).to_sparse())
    with pytest.raises(TypeError, match="is a tuple"):
        RNN(2, 3)(torch.zeros(4, 5, 2), (torch.zeros(1, 5, 3), torch.zeros(1, 5, 3)))
