"""A pruned weight is 0 after every step of any loop, or the pruner has refused that setting by name."""

import copy
import io
import pickle
import sys
import types
import unittest
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from modreg import MagnitudePruner, ModuliRegularizer, reinitialize
from modreg.sparsity.masks import GUARDS, Masks, as_masks, follow, guards_of, mask_, masked
from modreg.sparsity.pruning import sparsity

X = torch.linspace(-1, 1, 48).view(6, 8)


def net(dtype=torch.float32):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16, bias=False), nn.Tanh(), nn.Linear(16, 8, bias=False)).to(dtype)


def backward(model, x=X):
    model.zero_grad()
    loss = (model(x.to(next(model.parameters()).dtype)) - x.to(next(model.parameters()).dtype)).square().mean()
    loss.backward()
    return loss


def halved(model, optimizer=None):
    "A pruner that took the smaller half"
    pruner = MagnitudePruner(model, 0.5, 1)
    pruner.step(0, optimizer)
    return pruner


def assert_held(model, pruner, zeros=0.5):
    "By the weights themselves, before anything else looks at them"
    for name, mask in pruner.held._masks.items():
        weight = model.get_parameter(name)
        assert (weight[~mask.to(weight.device)] == 0).all()
    assert pruner.sparsity() == zeros == sparsity(model)


def settings():
    "Each optimizer of torch with each of the settings that torch tests it with"
    if "expecttest" not in sys.modules:  # torch's list imports a package that it does not use
        sys.modules["expecttest"] = types.ModuleType("expecttest")
        sys.modules["expecttest"].TestCase = unittest.TestCase
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_optimizers import optim_db
    return [(info, given.kwargs) for info in optim_db for given in info.optim_inputs_func(device="cpu")]


@pytest.mark.parametrize("given", [True, False], ids=["given", "not given"])
@pytest.mark.parametrize("first", [0, 2], ids=["fresh", "after steps"])
def test_every_setting_of_every_optimizer_of_torch(given, first):
    found = settings()
    assert len(found) > 80
    for info, options in found:
        model = net()
        optimizer = info.optim_cls(model.parameters(), **options)

        def closure(model=model, info=info):
            loss = backward(model)
            if info.only_supports_sparse_grads:
                for weight in model.parameters():
                    weight.grad = weight.grad.to_sparse()
            return loss

        for _ in range(first):
            optimizer.step(closure)
        pruner = halved(model, optimizer if given else None)
        before = {name: weight.detach().clone() for name, weight in pruner.weights.items()}
        for _ in range(3):
            optimizer.step(closure)
            assert all((weight[~pruner.masks[name]] == 0).all() for name, weight in model.named_parameters()), (info.optim_cls, options)
        assert any(not torch.equal(before[name], weight) for name, weight in pruner.weights.items())



# --- gradients ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("graph", [False, True])
def test_a_gradient_by_hand(dtype, graph):
    model = net(dtype)
    pruner = halved(model)
    weight = model[0].weight
    free = copy.deepcopy(weight.detach()).requires_grad_(True)
    x = X.to(dtype)
    (gradient,) = torch.autograd.grad(model(x).square().sum(), weight, create_graph=graph)
    (whole,) = torch.autograd.grad(model[2](torch.tanh(x @ free.T)).square().sum(), free)
    torch.testing.assert_close(gradient.detach(), torch.where(pruner.masks["0.weight"], whole, 0.0))
    if graph:  # and may be differentiated again
        gradient.square().sum().backward()
        assert (weight.grad[~pruner.masks["0.weight"]] == 0).all()
    with torch.no_grad():
        weight -= 0.1 * gradient
    assert_held(model, pruner)


def test_a_gradient_that_is_shared_is_not_written_to():
    a, b = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
    halved(a)
    for one, two in (torch.autograd.grad((a.weight + b.weight).square().sum(), [a.weight, b.weight]),):
        assert (two != 0).all() and (one == 0).sum() == 8


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_pruned_weights_stay_zero_where_training_diverges(value):
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    pruner = halved(model, optimizer)
    backward(model, X * value)
    optimizer.step()
    assert_held(model, pruner)


def test_gradients_from_before_and_accumulated_ones():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(X).square().sum().backward()
    pruner = halved(model, optimizer)
    assert all((w.grad[~pruner.masks[name]] == 0).all() for name, w in model.named_parameters())
    for _ in range(2):
        model(X).square().sum().backward()
    optimizer.step()
    assert_held(model, pruner)


def test_sparse_gradients_of_words():
    words = nn.Embedding(10, 4, sparse=True)
    optimizer = torch.optim.SparseAdam(words.parameters(), lr=0.1)
    pruner = halved(words)
    words(torch.tensor([1, 2, 2])).mul(float("inf")).sum().backward()
    optimizer.step()
    assert_held(words, pruner)


@pytest.mark.parametrize("scaled", [False, True])
def test_a_loop_with_clipping_scaling_and_schedules(scaled):
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    scaler, rate = torch.amp.GradScaler("cpu", enabled=scaled), torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3)
    pruner = MagnitudePruner(model, 0.5, 3)
    for epoch in range(3):
        pruner.step(epoch)
        optimizer.zero_grad()
        scaler.scale((model(X) - X).square().mean()).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        scaler.step(optimizer)
        scaler.update()
        rate.step()
    assert_held(model, pruner)


# --- loops without an optimizer of torch -------------------------------------------------------------------------------


def momentum_by_hand(model, state):
    backward(model)
    for weight in model.parameters():
        state[weight] = 0.9 * state.get(weight, torch.ones_like(weight)) + weight.grad
        weight.data -= 0.1 * state[weight]


def evolution(model, state):
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.1 * torch.randn_like(weight)


def evolution_unseen(model, state):
    for weight in model.parameters():
        weight.data.add_(torch.randn_like(weight), alpha=0.1)


def as_a_vector(model, state):
    vector = nn.utils.parameters_to_vector(model.parameters())
    nn.utils.vector_to_parameters(vector + 0.1, model.parameters())


def drawn_anew(model, state):
    model[0].reset_parameters()
    nn.init.normal_(model[2].weight)


def new_data(model, state):
    for weight in model.parameters():
        weight.data = torch.randn_like(weight)


def functional(model, state):
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    gradients = torch.func.grad(lambda w: torch.func.functional_call(model, w, (X,)).square().mean())(weights)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(weights[name] - 0.1 * gradients[name])


LOOPS = (momentum_by_hand, evolution, evolution_unseen, as_a_vector, drawn_anew, new_data, functional)


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
def test_loops_without_an_optimizer(loop):
    model, state = net(), {}
    pruner = halved(model)
    for _ in range(3):
        loop(model, state)
        output = model(X)  # of the pruned weights, whatever was written
        kept = [weight.detach().clone() for weight in model.parameters()]
        torch.testing.assert_close(output, torch.tanh(X @ kept[0].T) @ kept[1].T)
        assert_held(model, pruner)
    loop(model, state)
    assert all((value == 0).sum() > 0 for value in model.state_dict().values())  # what is saved is pruned
    assert_held(model, pruner)


def test_weights_that_are_lent_are_pruned_while_they_are_used():
    model = net()
    pruner = halved(model)
    ones = {name: torch.ones_like(weight) for name, weight in model.named_parameters()}
    output = torch.func.functional_call(model, ones, (X,))
    first, second = (pruner.masks[name].float() for name in ("0.weight", "2.weight"))
    torch.testing.assert_close(output, torch.tanh(X @ first.T) @ second.T)
    assert all((one == 1).all() for one in ones.values())
    assert all(isinstance(weight, nn.Parameter) for weight in (model[0].weight, model[2].weight))
    with pytest.raises(RuntimeError):  # also if the pass fails
        torch.func.functional_call(model, ones, (X[:, :3],))
    assert all(isinstance(weight, nn.Parameter) for weight in (model[0].weight, model[2].weight))


def test_a_module_that_reads_what_it_does_not_call():
    attention = nn.MultiheadAttention(8, 2)
    pruner = halved(attention)
    attention.out_proj.weight.data.fill_(1.0)
    attention(X[None], X[None], X[None])
    assert_held(attention, pruner)


def test_a_compiled_step():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    optimizer.step(lambda: backward(model))
    pruner = halved(model)
    compiled = torch.compile(model, backend="eager")
    for _ in range(2):
        optimizer.zero_grad()
        (compiled(X) - X).square().mean().backward()
        optimizer.step()
    assert_held(model, pruner)


# --- parameters that are replaced, copied, converted, pickled, averaged ------------------------------------------------


def train(model, steps=2):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(steps):
        backward(model)
        optimizer.step()


def saved(pair):
    buffer = io.BytesIO()
    torch.save(pair, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


@pytest.mark.parametrize("way", [copy.deepcopy, saved, lambda pair: pickle.loads(pickle.dumps(pair))], ids=["deepcopy", "torch.save", "pickle"])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_model_and_its_pruner_go_together(way, swapped):
    model = net()
    pruner = MagnitudePruner(model, 0.5, 3)
    pruner.step(1)
    if swapped:
        other, copied = way((pruner, model))[::-1]
    else:
        other, copied = way((model, pruner))
    train(other)
    assert_held(other, copied, 0.25)
    copied.step(2)
    train(other)
    assert_held(other, copied)
    assert_held(model, pruner, 0.25)
    copied.remove()
    train(other)
    assert sparsity(other) == 0 and sparsity(model) == 0.25


@pytest.mark.parametrize("way", [copy.deepcopy, saved], ids=["deepcopy", "torch.save"])
def test_a_copy_of_the_model_alone_keeps_its_masks(way):
    model = net()
    pruner = MagnitudePruner(model, 0.5, 3)
    pruner.step(1)
    other = way(model)
    pruner.step(2)
    train(other)
    assert sparsity(other) == 0.25 and sparsity(model) == 0.5
    part = way(model[0])  # and of a part of it
    train(nn.Sequential(part, nn.Linear(16, 8)))
    assert torch.equal(part.weight != 0, pruner.masks["0.weight"])


def test_loading_in_place_and_by_assignment():
    for assign in (False, True):
        model, dense = net(), {name: torch.randn_like(weight) for name, weight in net().named_parameters()}
        pruner = halved(model)
        model.load_state_dict(dense, assign=assign)
        model(torch.randn(4, 8))
        assert_held(model, pruner)
        assert all(pruner.weights[name] is model.get_parameter(name) for name in dense)
        train(model)
        assert_held(model, pruner)
        kept = model[0].weight != 0
        assert torch.equal(kept, pruner.masks["0.weight"])


@pytest.mark.parametrize("assign", [False, True])
def test_what_is_loaded_after_pruning_stays_whole_if_the_masks_are_let_go_first(assign):
    model, dense = net(), {name: torch.randn_like(weight) for name, weight in net().named_parameters()}
    pruner = halved(model)
    model.load_state_dict(dense, assign=assign)
    pruner.remove()
    assert all(torch.equal(model.get_parameter(name), weight) for name, weight in dense.items())


def test_a_parameter_that_is_replaced():
    model = net()
    pruner = halved(model)
    model[0].weight = nn.Parameter(torch.ones(16, 8))
    assert_held(model, pruner)
    train(model)
    assert_held(model, pruner)
    model[2]._parameters["weight"] = nn.Parameter(torch.ones(8, 16))  # as conversions of torch do
    train(model)
    assert_held(model, pruner)
    with pytest.raises(ValueError, match="was pruned as"):
        model[0].weight = nn.Parameter(torch.ones(3, 3))


def test_a_module_that_is_replaced():
    model = net()
    pruner = halved(model)
    first = model[0]
    model[0] = nn.Linear(8, 16, bias=False)
    model(X)
    assert_held(model, pruner)
    assert pruner.weights["0.weight"] is model[0].weight and not guards_of(first)
    train(model)
    assert_held(model, pruner)
    model[0] = nn.Sequential(model[0])  # wrapped, and still there
    train(model)
    assert pruner.sparsity() == sparsity(model) == 0.5
    model[0] = nn.Linear(8, 16, bias=False).double().float()
    model[0] = nn.Identity()
    with pytest.raises(ValueError, match=r"0\.weight is no weight of this Sequential any more"):
        pruner.step(1)


def test_tensors_that_are_swapped():
    model = net()
    pruner = halved(model)
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        model.double()
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)
    backward(model)
    assert all((weight.grad[~pruner.masks[name]] == 0).all() for name, weight in model.named_parameters())
    assert_held(model, pruner)


@pytest.mark.parametrize("first", ["optimizer", "pruner"])
def test_an_optimizer_that_steps_within_the_backward_pass(first):
    model = net()
    optimizers = {weight: torch.optim.Adam([weight], lr=0.1) for weight in model.parameters()}

    def step(weight):
        optimizers[weight].step()
        optimizers[weight].zero_grad()

    pruner = halved(model) if first == "pruner" else None
    for weight in model.parameters():
        weight.register_post_accumulate_grad_hook(step)
    model(X).sum().backward()
    pruner = pruner or halved(model)
    for _ in range(2):
        model(X).sum().backward()
    assert_held(model, pruner)


class Noise(torch.optim.Optimizer):
    "A rule of one's own, which heeds no gradient"

    def __init__(self, parameters):
        super().__init__(parameters, {})

    def step(self):
        for group in self.param_groups:
            for weight in group["params"]:
                weight.data.add_(torch.randn_like(weight))


def test_a_rule_of_ones_own():
    model = net()
    pruner = halved(model)
    Noise(model.parameters()).step()
    assert_held(model, pruner)


def test_export_and_tracing_leave_the_hooks_out():
    model = net().eval()
    halved(model)
    exported = torch.export.export(model, (X,))
    torch.testing.assert_close(exported.module()(X), model(X))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(model, (X,))
    torch.testing.assert_close(traced(X), model(X))


def test_an_ensemble_under_vmap():
    models = [net() for _ in range(3)]
    for model in models:
        halved(model)
    weights, buffers = torch.func.stack_module_state(models)
    base = copy.deepcopy(models[0]).to("meta")
    outputs = torch.vmap(lambda w, b: torch.func.functional_call(base, (w, b), (X,)))(weights, buffers)
    torch.testing.assert_close(outputs, torch.stack([model(X) for model in models]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("overwrite", [False, True])
def test_conversion(dtype, overwrite):
    model = net()
    pruner = halved(model)
    torch.__future__.set_overwrite_module_params_on_conversion(overwrite)
    try:
        model.to(dtype)
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)
    train(model)
    assert_held(model, pruner)
    pruner.step(1)
    assert pruner.weights["0.weight"].dtype == dtype


@pytest.mark.parametrize("kind", ["mean", "exponential"])
def test_an_average_is_pruned_with_its_model(kind):
    model, options = net(), {"multi_avg_fn": torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)} if kind == "exponential" else {}
    pruner = MagnitudePruner(model, 0.5, 4)
    average = torch.optim.swa_utils.AveragedModel(model, **options)
    for epoch in range(4):
        pruner.step(epoch)
        train(model)
        average.update_parameters(model)
    assert sparsity(average) == 0.5
    assert torch.equal(average.module[0].weight != 0, model[0].weight != 0)


def test_an_average_by_hand_follows_if_told_and_warns_if_not():
    model = net()
    pruner = MagnitudePruner(model, 0.5, 2)
    told, untold, kept = copy.deepcopy(model), copy.deepcopy(model), copy.deepcopy(model)
    follow(told)
    train(model)
    for average in (told, untold):
        with torch.no_grad():
            for mean, weight in zip(average.parameters(), model.parameters(), strict=True):
                mean.lerp_(weight, 0.5)
    with pytest.warns(UserWarning, match="is not pruned with it"):
        pruner.step(1)
    assert sparsity(told) == 0.5 and sparsity(untold) == 0 and sparsity(kept) == 0
    with pytest.raises(ValueError, match="follows another"):
        follow(net())


# --- weights that are not plain ----------------------------------------------------------------------------------------


def old_weight_norm(layer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.utils.weight_norm(layer)


COMPUTED = {
    "weight_norm": parametrizations.weight_norm, "orthogonal": parametrizations.orthogonal, "spectral_norm": parametrizations.spectral_norm,
    "old weight_norm": old_weight_norm, "old spectral_norm": nn.utils.spectral_norm, "prune": lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
}


@pytest.mark.parametrize("name", COMPUTED)
def test_computed_weights_are_refused_by_name(name):
    model = nn.Sequential(nn.Linear(8, 8), COMPUTED[name](nn.Linear(8, 8)))
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=r"1\.weight is computed by"):
        MagnitudePruner(model, 0.5, 1)
    for masks in ({}, {"1.weight": torch.ones(8, 8, dtype=torch.bool)}, {"0.weight": torch.ones(8, 8, dtype=torch.bool)}):
        with pytest.raises(ValueError, match=r"1\.weight"):
            reinitialize(model, masks)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    pruner = MagnitudePruner(model, 0.5, 1, parameters=["0.weight"])
    pruner.step(0)
    assert sparsity(model, parameters=["0.weight"]) == 0.5
    assert sparsity(model) == (0.5 if name == "prune" else 0.25)  # of weights in effect


@pytest.mark.parametrize("name", COMPUTED)
def test_a_weight_that_is_computed_later_is_refused(name):
    model = net()
    pruner = halved(model)
    COMPUTED[name](model[0])
    with pytest.raises(ValueError, match="no parameter any more"):
        pruner.step(1)
    pruner.remove()
    model(X)


def test_embeddings_of_regularizers_and_normalizations_are_left_alone():
    model = nn.Module()
    model.rnn, model.norm = nn.RNN(3, 64), nn.LayerNorm([4, 4])
    model.reg = ModuliRegularizer(model.rnn, "sphere", train_embedding=True)
    pruner = MagnitudePruner(model, 0.9, 1)
    pruner.step(0)
    assert set(pruner.masks) == {"rnn.weight_ih_l0", "rnn.weight_hh_l0"}
    assert (model.norm.weight == 1).all()


def test_tied_weights_are_one():
    model = nn.ModuleDict({"words": nn.Embedding(50, 16), "out": nn.Linear(16, 50)})
    model["out"].weight = model["words"].weight
    pruner = halved(model)
    assert list(pruner.masks) == ["words.weight"]
    optimizer = torch.optim.Adam(model.parameters())
    model["out"](model["words"](torch.arange(50))).square().sum().backward()
    optimizer.step()
    assert_held(model, pruner)
    model["out"].weight.data.fill_(1.0)
    model["out"](torch.ones(16))  # the second name is watched too
    assert model["words"].weight.count_nonzero() == 400


def test_two_models_that_share_a_layer():
    shared = nn.Linear(8, 8, bias=False)
    a, b = nn.Sequential(shared, nn.Linear(8, 2)), nn.Sequential(shared, nn.Linear(8, 3))
    pruner = halved(a)
    optimizer = torch.optim.Adam(b.parameters())
    for _ in range(2):
        b(X).square().sum().backward()
        optimizer.step()
    assert (shared.weight[~pruner.masks["0.weight"]] == 0).all()


def test_two_pruners_keep_both_masks():
    model = net()
    first, second = halved(model), MagnitudePruner(model, 0.75, 1)
    train(model)
    assert_held(model, first)
    second.step(0)
    train(model)
    assert first.sparsity() == second.sparsity() == 0.75
    assert all((second.masks[name] <= first.masks[name]).all() for name in first.masks)
    with pytest.warns(UserWarning, match="call its remove"):
        MagnitudePruner.from_masks(model, {"0.weight": torch.ones(16, 8, dtype=torch.bool)})


def test_a_frozen_layer_and_groups_that_are_added_later():
    model = net()
    model[0].requires_grad_(False)
    optimizer = torch.optim.AdamW(model[2].parameters(), lr=0.1)
    pruner = halved(model)
    backward(model)
    optimizer.step()
    model[0].requires_grad_(True)
    optimizer.add_param_group({"params": model[0].parameters()})
    for _ in range(2):
        backward(model)
        optimizer.step()
    assert_held(model, pruner)


def test_an_optimizer_that_loads_its_memory_after_the_pruning():
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    optimizer.step(lambda: backward(model))
    state = copy.deepcopy(optimizer.state_dict())
    pruner = halved(model, optimizer)
    optimizer.load_state_dict(state)
    optimizer.step(lambda: backward(model))
    assert_held(model, pruner)


def test_moments_are_cleared_in_optimizers_that_were_seen():
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    pruner = MagnitudePruner(model, 0.5, 2)
    optimizer.step(lambda: backward(model))
    pruner.step(1)
    for weight, mask in zip(model.parameters(), pruner.masks.values(), strict=True):
        assert all((optimizer.state[weight][key][~mask] == 0).all() for key in ("exp_avg", "exp_avg_sq"))


def test_a_pruner_that_lets_go_is_forgotten():
    model = net()
    pruner = halved(model)
    assert len(guards_of(model)) == 2
    pruner.remove()
    assert not guards_of(model) and not GUARDS & set(pruner.held.guards)
    assert not any(module._forward_pre_hooks or module._forward_hooks or module._state_dict_pre_hooks for module in model.modules())


# --- masks and weights of other dtypes ---------------------------------------------------------------------------------


DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_masks_hold_in_every_dtype(dtype):
    values = torch.randn(40, 30, generator=torch.Generator().manual_seed(0)).to(dtype)
    layer = nn.Linear(30, 40, bias=False)
    layer.weight = nn.Parameter(values.clone())
    pruner = MagnitudePruner(layer, 0.5, 1)
    pruner.step(0)
    sizes = values.to(torch.complex128).abs().flatten()
    gone = sizes.argsort(stable=True)[:600]
    assert torch.equal(pruner.masks["weight"].flatten().logical_not().nonzero()[:, 0], gone.sort().values)
    assert (layer.weight.to(torch.complex128)[~pruner.masks["weight"]] == 0).all()


def test_weights_that_cannot_be_masked_are_refused():
    layer = nn.Linear(4, 4)
    layer.weight = nn.Parameter(torch.ones(4, 4, dtype=torch.complex128))
    with pytest.raises(ValueError, match=r"weight is torch\.complex128"):
        MagnitudePruner(layer)
    with torch.inference_mode():
        layer = nn.Linear(4, 4)
    with pytest.raises(ValueError, match="inference_mode"):
        MagnitudePruner(layer)


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8, torch.int64, torch.float64])
def test_masks_of_zeros_and_ones(dtype):
    model = net()
    masks = {"0.weight": (torch.rand(16, 8) < 0.5).to(dtype)}
    taken = reinitialize(model, masks)
    assert taken["0.weight"].dtype == torch.bool and torch.equal(model[0].weight != 0, masks["0.weight"].bool())
    assert torch.equal(MagnitudePruner.from_masks(model, masks).masks["0.weight"], masks["0.weight"].bool())


@pytest.mark.parametrize(("name", "mask", "error", "message"), [
    ("0.wieght", torch.ones(16, 8), ValueError, "0.weight"), ("0.weight", torch.full((16, 8), 0.5), ValueError, "other than 0 and 1"),
    ("0.weight", torch.ones(8), ValueError, "has shape"), ("0.weight", [[1] * 8] * 16, TypeError, r"masks\['0.weight'\] is a list; give a tensor"),
    ("0.weight", torch.full((16, 8), float("nan")), ValueError, "other than 0 and 1"),
])
def test_masks_that_do_not_fit_change_nothing(name, mask, error, message):
    model = net()
    before = model[0].weight.detach().clone()
    for use in (lambda: reinitialize(model, {name: mask}), lambda: MagnitudePruner.from_masks(model, {name: mask})):
        with pytest.raises(error, match=message):
            use()
        assert torch.equal(before, model[0].weight) and not guards_of(model)
    with pytest.raises(error):
        as_masks({name: mask}, {"0.weight": model[0].weight})


def test_strided_weights():
    values = torch.randn(6, 4).T
    mask = torch.rand(4, 6) < 0.5
    expected = torch.where(mask, values, 0.0)
    mask_(values, mask)
    assert torch.equal(values, expected)
    assert torch.equal(masked(values.to_sparse(), mask).to_dense(), expected)


def test_gradients_are_kept_whole_where_that_is_asked():
    model = net()
    free = copy.deepcopy(model)
    held = Masks(model, dict(model.named_parameters()), {"0.weight": torch.rand(16, 8) < 0.5}, keep_gradients=True)
    with torch.no_grad():
        free[0].weight.copy_(model[0].weight)
    for _ in range(2):  # the last pass alone
        backward(model)
    backward(free)
    for name, gradient in held.gradients.items():
        torch.testing.assert_close(gradient, free.get_parameter(name).grad)
        assert (model.get_parameter(name).grad[~held.masks[name]] == 0).all()
