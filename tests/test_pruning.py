"""Exact counts, monotone masks and true zeros, under every optimizer, with and without replicas."""

import math
import re

import pytest
import torch
from torch import nn

from modreg.layers.recurrent import RNN, Linear
from modreg.sparsity.masks import SAMPLE, guards_of, smallest
from modreg.sparsity.pruning import MagnitudePruner, Sparsifier, erk_shares, reinitialize, scheduled_sparsity, sparsity

OPTIMIZERS = {
    "adam": lambda p: torch.optim.Adam(p, lr=1e-2),
    "fused adam": lambda p: torch.optim.Adam(p, lr=1e-2, fused=True),
    "amsgrad": lambda p: torch.optim.Adam(p, lr=1e-2, amsgrad=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-2, weight_decay=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9, nesterov=True, weight_decay=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=1e-3, momentum=0.9, centered=True),
}


def stacked(replicas):
    """A recurrent model, with a leading dimension if there are replicas."""
    generator = torch.Generator().manual_seed(0)
    return nn.ModuleDict({
        "rnn": RNN(3, 8, replicas=replicas, generator=generator),
        "out": Linear(8, 2, replicas=replicas, generator=generator),
    })


def learn(model, optimizer, replicas, steps=3):
    lead = () if replicas is None else (replicas,)
    for _ in range(steps):
        optimizer.zero_grad()
        model["out"](model["rnn"](torch.randn(*lead, 5, 4, 3))[0]).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("replicas", [None, 1, 3])
@pytest.mark.parametrize("schedule", ["linear", "cubic"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_counts_are_exact_and_zeros_stay(name, schedule, replicas):
    torch.manual_seed(0)
    model = stacked(replicas)
    optimizer = OPTIMIZERS[name](model.parameters())
    pruner = MagnitudePruner(model, 0.85, epochs=5, schedule=schedule, replicas=replicas)
    total = 3 * 8 + 8 * 8 + 8 * 2
    for epoch in range(7):
        before = pruner.state_dict()
        pruner.step(epoch, optimizer)
        wanted = round(scheduled_sparsity(epoch, 0.85, 5, schedule) * total)
        learn(model, optimizer, replicas)
        zeros = sum((w == 0).reshape(replicas or 1, -1).sum(1) for w in pruner.weights.values())
        assert zeros.tolist() == [wanted] * (replicas or 1)
        assert all((pruner.masks[key] <= before[key]).all() for key in before)
        assert all((w[~pruner.masks[key]] == 0).all() for key, w in pruner.weights.items())
    assert torch.isclose(torch.as_tensor(pruner.sparsity()), torch.tensor(wanted / total)).all()
    assert torch.equal(pruner.sparsity(), sparsity(model, replicas))
    assert not any("mask" in key or "orig" in key for key in model.state_dict())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ties_go_by_index(dtype):
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(0, 4, (5, 200), generator=generator).to(dtype)
    for zeros in range(0, 201, 7):
        order = values.argsort(dim=1, stable=True)[:, :zeros]
        expected = torch.zeros_like(values, dtype=torch.bool).scatter_(1, order, True)
        assert torch.equal(smallest([values], zeros), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("case", ["distinct", "half gone", "few values", "all alike", "diverged"])
def test_many_weights_follow_a_stable_sort(case, dtype):
    generator = torch.Generator().manual_seed(1)
    values = torch.rand(2, 5 * SAMPLE, generator=generator).to(dtype)
    values[:, 1::4] *= -1
    first = None
    if case == "half gone":
        first = torch.zeros_like(values, dtype=torch.bool)
        first[:, ::2] = True
    if case == "few values":
        values = (4 * values).round()
    if case == "all alike":
        values = torch.ones_like(values)
    if case == "diverged":
        values[:, :: 3] = float("nan")
    n = values.shape[1]
    for zeros in (1, 3, n // 2 + 7, n - n // 10, n - 1, n):
        magnitudes = values.abs() if first is None else torch.where(first, -1, values.abs())
        order = magnitudes.argsort(dim=1, stable=True)[:, :zeros]
        for parts in ([values], values.split([1, 2 * SAMPLE, 7, 3 * SAMPLE - 8], 1)):
            assert torch.equal(smallest(parts, zeros, first), torch.zeros_like(values, dtype=torch.bool).scatter_(1, order, True))


def test_a_bracket_that_misses_costs_time_and_no_weight(monkeypatch):
    values = torch.rand(1, 5 * SAMPLE, generator=torch.Generator().manual_seed(1))
    expected = smallest([values], 1000)
    for bracket in ((0, 1), (2**30, 2**30 + 1)):  # far below and far above
        monkeypatch.setattr("modreg.sparsity.masks._bracket", lambda parts, zeros, first, b=bracket: b)
        assert torch.equal(smallest([values], 1000), expected)


def test_weights_that_are_gone_go_before_zeros_that_are_not():
    layer = nn.Linear(4, 4)
    pruner = MagnitudePruner(layer, 0.25, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.arange(16.0).view(4, 4) + 1)
    pruner.step(0)
    with torch.no_grad():
        layer.weight[2:] = 0  # still free to grow
        layer.weight[0, 0] = 7  # somebody wrote to a pruned weight
    pruner.target = 0.5
    pruner.step(0)
    assert pruner.masks["weight"].view(-1).tolist() == [False] * 4 + [True] * 4 + [False] * 4 + [True] * 4
    assert layer.weight[0, 0] == 0


def test_diverged_weights_are_not_small():
    values = torch.tensor([[float("nan"), 1.0, float("inf"), 0.5]])
    assert smallest([values], 2).tolist() == [[False, True, False, True]]


def test_replicas_are_pruned_as_if_alone():
    many = stacked(3)
    with torch.no_grad():
        many["rnn"].weight_hh_l0[1].mul_(10)
    together = MagnitudePruner(many, 0.7, 1, replicas=3)
    together.step(0)
    for s in range(3):
        one = stacked(None)
        one.load_state_dict({key: value[s] for key, value in stacked(3).state_dict().items()})
        with torch.no_grad():
            one["rnn"].weight_hh_l0.mul_(10 if s == 1 else 1)
        alone = MagnitudePruner(one, 0.7, 1)
        alone.step(0)
        assert all(torch.equal(alone.masks[key], together.masks[key][s]) for key in alone.masks)


def test_step_twice_and_resume_change_nothing():
    model = stacked(None)
    pruner = MagnitudePruner(model, 0.6, 4)
    pruner.step(2)
    masks = pruner.state_dict()
    pruner.step(2)
    pruner.step(1)
    assert all(torch.equal(masks[key], pruner.masks[key]) for key in masks)
    other = stacked(None)
    other.load_state_dict(model.state_dict())
    resumed = MagnitudePruner(other, 0.6, 4)
    resumed.load_state_dict(masks)
    for p in (pruner, resumed):
        p.step(3)
    assert all(torch.equal(resumed.masks[key], pruner.masks[key]) for key in masks)


def test_removed_pruner_lets_go():
    model = stacked(None)
    pruner = MagnitudePruner(model, 0.5, 1)
    pruner.step(0)
    pruner.remove()
    learn(model, torch.optim.SGD(model.parameters(), lr=0.1), None)
    assert pruner.sparsity() < 0.1


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1e38])
def test_no_gradient_reaches_a_pruned_weight(value):
    layer = nn.Linear(4, 4)
    pruner = MagnitudePruner(layer, 0.5, 1)
    pruner.step(0)
    layer(torch.full((1, 4), value)).sum().backward()
    assert (layer.weight.grad[~pruner.masks["weight"]] == 0).all()
    assert (layer.weight.grad[pruner.masks["weight"]] != 0).all()


def test_sparse_gradients_are_masked():
    words = nn.Embedding(10, 4, sparse=True)
    pruner = MagnitudePruner(words, 0.5, 1)
    pruner.step(0)
    words(torch.tensor([1, 2])).sum().backward()
    assert torch.equal(words.weight.grad.to_dense() != 0, pruner.masks["weight"] & torch.isin(torch.arange(10), torch.tensor([1, 2]))[:, None])


def test_a_frozen_layer_is_pruned_and_may_thaw():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[0].requires_grad_(False)
    pruner = MagnitudePruner(model, 0.5, 1)
    assert not model[0].weight.requires_grad and model[1].weight.requires_grad
    pruner.step(0)
    model[0].requires_grad_(True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        model(torch.ones(2, 4)).square().sum().backward()
        optimizer.step()
    assert pruner.sparsity() == 0.5


def test_masks_of_another_model_are_refused():
    model = stacked(None)
    pruner = MagnitudePruner(model, 0.5, 1)
    masks = pruner.state_dict()
    first = next(iter(masks))
    column = {**masks, first: masks[first][:, :1]}  # a copy would broadcast
    for state, message in ((column, "has shape"), ({}, "no mask is given for"), ({**masks, "other": masks[first]}, "'other'")):
        with pytest.raises(ValueError, match=message):
            pruner.load_state_dict(state)
    for state, message in ((column, "has shape"), ({"other": masks[first]}, "'other'")):
        with pytest.raises(ValueError, match=message):
            reinitialize(model, state)


def test_a_ticket_keeps_no_trained_weight_unseen():
    model = stacked(None)
    with pytest.raises(ValueError, match="it was trained too"):
        reinitialize(model, {}, "original", original=model.state_dict())
    attention = nn.MultiheadAttention(4, 1)
    masks = MagnitudePruner(attention, 0.5).masks
    before = attention.in_proj_weight.detach().clone()
    with pytest.raises(ValueError, match="nothing would redraw in_proj_weight"):
        reinitialize(attention, masks)
    assert torch.equal(before, attention.in_proj_weight)
    reinitialize(attention, masks, init=lambda m: nn.init.ones_(m.in_proj_weight))
    assert (attention.in_proj_weight == 1).all()


@pytest.mark.parametrize("replicas", [None, 2])
@pytest.mark.parametrize("mode", ["redraw", "original", "shuffled"])
def test_lottery_tickets(mode, replicas):
    model = stacked(replicas)
    original = {key: value.clone() for key, value in model.state_dict().items()}
    pruner = MagnitudePruner(model, 0.6, 1, replicas=replicas)
    pruner.step(0)
    learn(model, torch.optim.SGD(model.parameters(), lr=0.1), replicas)
    trained = {key: value.clone() for key, value in model.state_dict().items()}
    masks = reinitialize(model, pruner.masks, mode, original=original if mode == "original" else None,
                         generator=torch.Generator().manual_seed(1), replicas=replicas)
    for key, mask in masks.items():
        counts = [m.reshape(replicas or 1, -1).sum(1).tolist() for m in (mask, pruner.masks[key])]
        assert counts[0] == counts[1]
        weight = model.get_parameter(key)
        assert (weight[~mask] == 0).all() and not torch.equal(weight, trained[key])
        if mode == "original":
            assert torch.equal(weight, original[key] * mask)
    fixed = MagnitudePruner.from_masks(model, masks, replicas=replicas)
    fixed.step(100)
    assert all(torch.equal(fixed.masks[key], masks[key]) for key in masks)


@pytest.mark.parametrize(("options", "message"), [
    ({"target": 1.0}, "less than 1"), ({"target": -0.1}, "less than 1"), ({"epochs": 0}, "at least 1"),
    ({"epochs": 2.5}, "whole number"), ({"target": "0.9"}, "less than 1"), ({"target": float("nan")}, "less than 1"),
    ({"schedule": "stairs"}, "'linear', 'cubic'"), ({"parameters": ["rnn.bias_hh_l0"]}, "weight matrices are"), ({"replicas": 4}, "must be 4"),
])
def test_mistakes(options, message):
    with pytest.raises(ValueError, match=message):
        MagnitudePruner(stacked(3 if "replicas" in options else None), **options)


@pytest.mark.parametrize("epoch", [-1, float("nan"), "3"])
def test_an_epoch_is_counted_from_0(epoch):
    with pytest.raises(ValueError, match="at least 0"):
        MagnitudePruner(stacked(None)).step(epoch)


def block_sizes(weight, groups):
    "Root mean square of each block, for each of its weights, block by block"
    sizes = torch.empty_like(weight)
    for a in groups.unique():
        for b in groups.unique():
            block = (groups == a)[:, None] & (groups == b)
            sizes[block] = weight[block].square().mean().sqrt()
    return sizes


@pytest.mark.parametrize("replicas", [None, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_blocks_go_as_one_and_compete_with_single_weights(replicas, dtype):
    generator = torch.Generator().manual_seed(0)
    model = stacked(replicas).to(dtype)
    groups = torch.stack([torch.arange(8)[torch.randperm(8, generator=generator)] // 3 for _ in range(replicas or 1)])  # of 3, 3 and 2
    whole = {name: p.detach().clone() for name, p in model.named_parameters()}
    pruner = MagnitudePruner(model, 0.7, epochs=1, replicas=replicas, blocks={"rnn.weight_hh_l0": groups if replicas else groups[0]})
    pruner.step(0)
    for s in range(replicas or 1):
        one = {name: whole[name] if replicas is None else whole[name][s] for name in pruner.masks}
        sizes = {name: block_sizes(w, groups[s]) if name == "rnn.weight_hh_l0" else w.abs() for name, w in one.items()}
        stays = {name: mask if replicas is None else mask[s] for name, mask in pruner.masks.items()}
        kept, gone = (torch.cat([sizes[name][stays[name] == side] for name in sizes]) for side in (True, False))
        assert len(gone) == round(0.7 * (len(kept) + len(gone)))
        assert kept.min() >= gone.max() * (1 - 1e-5)
        left = [stays["rnn.weight_hh_l0"][(groups[s] == a)[:, None] & (groups[s] == b)] for a in range(3) for b in range(3)]
        assert sum(0 < block.sum() < block.numel() for block in left) <= 1  # one may be cut for the count


@pytest.mark.parametrize(("blocks", "message"), [
    ({"rnn.weight": torch.zeros(8, dtype=torch.long)}, "no such weight"),
    ({"rnn.weight_hh_l0": torch.zeros(7, dtype=torch.long)}, "square weight"),
    ({"rnn.weight_ih_l0": torch.zeros(8, dtype=torch.long)}, "square weight"),
])
def test_blocks_that_do_not_fit_are_refused(blocks, message):
    with pytest.raises(ValueError, match=message):
        MagnitudePruner(stacked(None), 0.5, blocks=blocks)


# --- shares, schedules, healing ----------------------------------------------------------------------------------------


def mixed(dtype=torch.float32, replicas=None):
    """Matrices and kernels of different sides and sizes."""
    torch.manual_seed(1)
    if replicas:
        return stacked(replicas).to(dtype)
    return nn.Sequential(nn.Conv2d(4, 8, 3), nn.Flatten(), nn.Linear(200, 30), nn.Linear(30, 2)).to(dtype)


def ramp(schedule, epoch, epochs, heal):
    """Share of the target, written out."""
    last = epochs - heal - 1
    t = 1.0 if last == 0 else min(1.0, epoch / last)
    return {"linear": t, "cubic": 1 - (1 - t) * (1 - t) * (1 - t), "one_shot": 1.0 if t == 1.0 else 0.0}[schedule]


def erk_by_bisection(shapes, target):
    """Densities min(1, scale * sum of sides / product), with the scale found by halving an interval."""
    raw = {name: sum(shape) / math.prod(shape) for name, shape in shapes.items()}
    low, high = 0.0, 1 / min(raw.values())
    for _ in range(200):
        middle = (low + high) / 2
        kept = sum(min(1.0, middle * raw[name]) * math.prod(shape) for name, shape in shapes.items())
        low, high = (middle, high) if kept < (1 - target) * sum(map(math.prod, shapes.values())) else (low, middle)
    return {name: 1 - min(1.0, low * raw[name]) for name in shapes}


@pytest.mark.parametrize("target", [0.0, 0.3, 0.8, 0.97])
def test_erk_shares_follow_the_formula(target):
    weights = {name: w for name, w in mixed().named_parameters() if w.dim() > 1}
    expected = erk_by_bisection({name: tuple(w.shape) for name, w in weights.items()}, target)
    assert erk_shares(weights, target) == pytest.approx(expected, abs=1e-9)


GIVEN = {"0.weight": 0.2, "2.weight": 0.95, "3.weight": 0.0}
GIVEN_STACKED = {"rnn.weight_ih_l0": 0.2, "rnn.weight_hh_l0": 1.0, "out.weight": 0.0}


@pytest.mark.parametrize("replicas", [None, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("heal", [0, 2])
@pytest.mark.parametrize("schedule", ["linear", "cubic", "one_shot"])
@pytest.mark.parametrize("shares", ["global", "layer", "erk", "given"])
def test_counts_and_choice_follow_plain_sorting(shares, schedule, heal, dtype, replicas):
    model, epochs, target = mixed(dtype, replicas), 6, 0.85
    given = (GIVEN_STACKED if replicas else GIVEN) if shares == "given" else shares
    pruner = MagnitudePruner(model, target, epochs, schedule, shares=given, heal=heal, replicas=replicas)
    whole = {name: w.detach().clone() for name, w in pruner.weights.items()}
    for epoch in range(epochs + 1):
        pruner.step(epoch)
        done = ramp(schedule, epoch, epochs, heal)
        for s in range(replicas or 1):
            one = {name: w[s] if replicas else w for name, w in whole.items()}
            stays = {name: mask[s] if replicas else mask for name, mask in pruner.masks.items()}
            if shares == "global":
                groups = {tuple(one): target}
            else:
                each = {"layer": dict.fromkeys(one, target), "given": given}.get(shares) or erk_by_bisection({n: tuple(w.shape) for n, w in one.items()}, target)
                groups = {(name,): share for name, share in each.items()}
            for names, share in groups.items():
                sizes = torch.cat([one[name].abs().flatten() for name in names])
                expected = torch.ones_like(sizes, dtype=torch.bool)
                expected[sizes.argsort(stable=True)[: round(share * done * len(sizes))]] = False
                assert torch.equal(torch.cat([stays[name].flatten() for name in names]), expected)
        assert all(torch.equal(w, whole[name] * pruner.masks[name]) for name, w in pruner.weights.items())


def test_weights_that_are_not_allowed_are_never_there():
    model = mixed()
    diagonal = torch.eye(30, 200, dtype=torch.bool)
    pruner = MagnitudePruner(model, 0.5, 3, allowed={"2.weight": diagonal})
    assert torch.equal(model[2].weight != 0, diagonal)
    forbidden = (~diagonal).sum() / sum(mask.numel() for mask in pruner.masks.values())
    for epoch in range(3):
        pruner.step(epoch)
        assert (pruner.masks["2.weight"] <= diagonal).all()
        assert torch.isclose(pruner.sparsity(), forbidden)  # more than is asked for
    pruner = MagnitudePruner(model, 0.99, 1, allowed={"2.weight": diagonal})
    pruner.step(0)
    assert (pruner.masks["2.weight"] <= diagonal).all() and pruner.sparsity() == pytest.approx(0.99, abs=1e-4)


@pytest.mark.parametrize(("options", "message"), [
    ({"shares": "erdos"}, "'global', 'layer', 'erk'"), ({"shares": {"2.weight": 0.5}}, "the weights are 0.weight, 2.weight, 3.weight"),
    ({"shares": {**GIVEN, "0.weight": 1.5}}, "from 0 to 1"), ({"heal": 30}, "less than epochs=30"), ({"heal": -1}, "at least 0"),
    ({"allowed": {"2.wieght": torch.ones(30, 200)}}, "did you mean '2.weight'"), ({"prices": {"2.wieght": torch.ones(30, 200)}}, "did you mean '2.weight'"),
    ({"allowed": {"2.weight": torch.ones(200, 30)}}, "has shape"),
])
def test_mistakes_in_shares_and_masks(options, message):
    model = mixed()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=re.escape(message)):
        MagnitudePruner(model, **options)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not guards_of(model)


def test_a_sparsifier_of_ones_own():
    class Checkerboard(Sparsifier):
        name = "checkerboard"

        def begin(self):
            self.held.set({name: (torch.arange(w.numel()) % 2 == 0).view_as(w) for name, w in self.weights.items()})

        def update(self, epoch):
            return {name: ~mask for name, mask in self.masks.items()}

    model = stacked(None)
    sparsifier = Checkerboard(model)
    assert sparsifier.sparsity() == 0.5
    before = sparsifier.state_dict()
    sparsifier.step(0)
    assert all(torch.equal(before[name], ~mask) for name, mask in sparsifier.masks.items())
    assert sparsifier.sparsity() == 1  # what had been there went, and what comes begins at 0

    class Forgetful(Sparsifier):
        name = "forgetful"

    with pytest.raises(TypeError, match="update"):
        Forgetful(model)


# --- tickets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("replicas", [None, 2])
@pytest.mark.parametrize("mode", ["redraw", "original", "shuffled", "shuffled_rows"])
def test_scale_left_keeps_the_length_of_each_row(mode, replicas):
    """Row by row, with one weight far larger than the others, as near the identity."""
    model = mixed(replicas=replicas)
    pruner = MagnitudePruner(model, 0.8, 1, replicas=replicas)
    pruner.step(0)
    drawn = {name: torch.randn(w.shape, generator=torch.Generator().manual_seed(2)) for name, w in pruner.weights.items()}
    for values in drawn.values():
        values[..., 0] *= 30

    def draw(model):
        for name, w in pruner.weights.items():
            w.data.copy_(drawn[name])

    options = dict(original={name: value.clone() for name, value in {**model.state_dict(), **drawn}.items()}) if mode == "original" else dict(init=draw)
    masks = reinitialize(model, pruner.masks, mode, scale="left", generator=torch.Generator().manual_seed(5), replicas=replicas, **options)
    for name, mask in masks.items():
        old, new, mask = (t.flatten(0, 1) if replicas else t for t in (drawn[name], pruner.weights[name].detach(), mask))
        for a, b, row in zip(old.flatten(1).tolist(), new.flatten(1), mask.flatten(1).tolist(), strict=True):
            left = [v if stays else 0.0 for v, stays in zip(a, row, strict=True)]
            factor = math.hypot(*a) / math.hypot(*left) if any(left) else 0.0
            torch.testing.assert_close(b, torch.tensor([v * factor for v in left]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("replicas", [None, 2])
def test_a_shuffled_mask_with_kept_fan_in_has_the_fan_in(replicas):
    model = mixed(replicas=replicas)
    pruner = MagnitudePruner(model, 0.7, 1, replicas=replicas)
    pruner.step(0)
    before = pruner.state_dict()
    masks = reinitialize(model, pruner.masks, "shuffled_rows", generator=torch.Generator().manual_seed(0), replicas=replicas)
    rows = 2 if replicas else 1
    assert all(torch.equal(mask.flatten(rows).sum(-1), before[name].flatten(rows).sum(-1)) for name, mask in masks.items())
    assert any(not torch.equal(mask, before[name]) for name, mask in masks.items())
    again = reinitialize(model, before, "shuffled_rows", generator=torch.Generator().manual_seed(0), replicas=replicas)
    assert all(torch.equal(mask, again[name]) for name, mask in masks.items())


def test_a_ticket_is_held_by_the_pruner_that_is_there():
    model = stacked(None)
    pruner = MagnitudePruner(model, 0.6, 1)
    pruner.step(0)
    masks = reinitialize(model, pruner.masks, "shuffled", generator=torch.Generator().manual_seed(1))
    learn(model, torch.optim.Adam(model.parameters(), lr=0.1), None)
    assert all(torch.equal(model.get_parameter(name) != 0, mask) for name, mask in masks.items())


def test_mistakes_in_tickets():
    model = stacked(None)
    masks = MagnitudePruner(model, 0.5, 1).masks
    for options, message in (({"mode": "shufled"}, "'shuffled'"), ({"scale": "sparse"}, "'dense', 'left'")):
        with pytest.raises(ValueError, match=message):
            reinitialize(model, masks, **options)
