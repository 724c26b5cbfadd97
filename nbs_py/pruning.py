# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Pruning
#
# > Which weights go, when, and how many of each matrix; and lottery tickets

# %% [markdown]
# *Reading 40 min, exercises 18 min. To skip at a first reading:* *Sparsifiers*, *The pruner*, *Mistakes that are caught*.
#
# After this chapter you can
#
# - prune a network step by step to an exact number of zeros, which stay zeros whatever your loop does,
# - choose a schedule and each matrix's share of the zeros, and say what it costs,
# - write a rule of your own for which weights go, in ten lines,
# - draw a lottery ticket: the same masks with new weights, at the size that suits them.
#
# The question: *the smallest weights go first. How many are left in each layer when nine in ten have gone?*

# %%
#| default_exp sparsity.pruning

# %%
#| export
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from modreg.geometry.arguments import Count, OneOf, Shape, Share, Whole, Within, checked
from modreg.sparsity.masks import GUARDS, Masks, as_masks, check_names, guards_of, mask_, smallest
from modreg.sparsity.weights import find_weights, permuted, slots, weight_matrices

# %%
#| hide
import copy

import matplotlib.pyplot as plt
from fastcore.test import test_close, test_eq, test_fail

from modreg.book.exercises import draw_bars, draw_curve, draw_lines, exercise
from modreg.book.explore import pruning_steps

plt.style.use("modreg.data.book")

# %% [markdown]
# Two layers as torch makes them, a narrow input of 4 and a wide one of 100. Each draws its weights from an interval that shrinks with the number of its inputs.
# One threshold (dashed) cuts nine in ten of all weights:

# %%
#| fig-alt: "Sizes of weights of a layer with 4 inputs and one with 100: one threshold cuts few of the first and nearly all of the second."
torch.manual_seed(0)
layers = nn.Sequential(nn.Linear(4, 100), nn.Linear(100, 100))
sizes = [layer.weight.detach().abs().flatten() for layer in layers]
together = torch.cat(sizes)
threshold = together.kthvalue(round(0.9 * len(together))).values

fig, axes = plt.subplots(2, 1, figsize=(6, 3.6), sharex=True, layout="constrained")
for ax, size, name in zip(axes, sizes, ("4 inputs", "100 inputs"), strict=True):
    ax.hist(size, bins=60, range=(0, 0.5), color="C0")
    ax.axvline(threshold, color="black", linestyle="--")
    ax.set(title=f"{name}: {len(size)} weights", ylabel="weights")
axes[1].set(xlabel="|weight|")
plt.show()

# %% [markdown]
# *Predict:* what share of each layer is left? The answer is below, under *Where do the zeros fall?*
#
# In a training loop of your own it is two lines. What is pruned stays exactly 0, by whatever optimizer or loop you train it further:
#
# ```python
# pruner = MagnitudePruner(model, target=0.9, epochs=30)  # before the first epoch
# pruner.step(epoch, optimizer)                           # at the start of each
# ```

# %% [markdown]
# ## How sparsity rises
#
# The paper raises sparsity linearly, from nothing in the first epoch to the target in the last (section 4). The cubic schedule of Zhu and Gupta
# prunes most while the network is young and leaves it more epochs to recover. Its cost: each epoch before the last trains a sparser network.

# %%
#| export
Sparse = Annotated[float, Within(0, below=1)]  # share of zeros: 0.9 is 90 %
SCHEDULES = {  # share of the target after a share of the epochs
    "linear": lambda x: x,
    "cubic": lambda x: 1 - (1 - x) ** 3,
    "one_shot": lambda x: float(x >= 1),
}


# %%
#| export
@checked
def progress(
    epoch: Whole,  # 0-based
    epochs: Count,  # number of epochs
    schedule: Annotated[str, OneOf(SCHEDULES)] = "linear",  # "linear" (section 4), "cubic" or "one_shot"
    heal: Whole = 0,  # epochs at the end that follow the last cut
) -> float:  # in [0, 1]
    "Share of the target that is reached in an epoch: 0 in the first, 1 `heal` epochs before the last and ever after; ValueError if an argument makes no sense"
    if heal >= epochs:
        raise ValueError(f"heal={heal!r}; it is a whole number of epochs, at least 0 and less than epochs={epochs}")
    last = epochs - 1 - heal
    return SCHEDULES[schedule](min(1.0, epoch / last) if last else 1.0)


# %%
#| export
@checked
def scheduled_sparsity(
    epoch: Whole,  # 0-based
    target: Sparse,  # sparsity in the last epoch
    epochs: Count,  # number of epochs
    schedule: Annotated[str, OneOf(SCHEDULES)] = "linear",  # as in `progress`
    heal: Whole = 0,  # epochs at the end that follow the last cut
) -> float:  # share of weights to be zero during `epoch`
    "Sparsity of an epoch, from 0 to `target`; ValueError if an argument makes no sense"
    return target * progress(epoch, epochs, schedule, heal)


# %%
#| fig-alt: "Share of zeros over 30 epochs: linear rises evenly, cubic fast at first and slowly at the end, one shot not at all before the last."
fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
for name in SCHEDULES:
    ax.step(range(30), [100 * scheduled_sparsity(e, 0.9, 30, name) for e in range(30)], where="post", label=name.replace("_", " "))
ax.set(xlabel="epoch", ylabel="weights that are zero (%)")
ax.legend(frameon=False)
plt.show()

# %%
for name in SCHEDULES:
    test_eq([scheduled_sparsity(0, 0.9, 30, name), scheduled_sparsity(29, 0.9, 30, name), scheduled_sparsity(99, 0.9, 30, name)], [0, 0.9, 0.9])
test_close(scheduled_sparsity(1, 0.9, 31), 0.03)


# %% [markdown]
# ## How many of each matrix?
#
# One threshold for all matrices is the paper's way (`"global"`). It lets sizes decide, and sizes differ for reasons that have nothing to do with use, as the first picture shows. Others fix the share of
# zeros of each matrix: the same in each (`"layer"`); after Erdős and Rényi (`"erk"`), where a matrix keeps weights in proportion to the *sum* of its sides, not their product, so that small ones
# stay nearly dense; or shares that are given, such as those that another run ended with.

# %%
#| export
@checked
def erk_shares(
    weights: dict[str, Annotated[Tensor, Shape("rows columns ...", "any")]],  # by name, (rows, columns, ...) each
    target: Sparse,  # share of zeros of all of them together
) -> dict[str, float]:  # share of zeros of each
    "Erdős–Rényi-kernel shares: the density of a matrix is proportional to the sum of its sides over their product, at most 1 (Evci et al., 2020)"
    sizes = {name: w.numel() for name, w in weights.items()}
    raw = {name: sum(w.shape) / w.numel() for name, w in weights.items()}
    dense: set[str] = set()
    left = (1 - target) * sum(sizes.values())
    while free := raw.keys() - dense:
        scale = (left - sum(sizes[name] for name in dense)) / sum(raw[name] * sizes[name] for name in free)
        full = {name for name in free if scale * raw[name] >= 1}
        if not full:
            return {name: 0.0 if name in dense else 1 - scale * raw[name] for name in weights}
        dense |= full
    return dict.fromkeys(weights, 0.0)


# %%
#| fig-alt: "Share of zeros by the Erdős–Rényi-kernel rule for three weights: the small one keeps all, the large ones go beyond 90 %."
examples = {"100 × 100": torch.empty(100, 100), "100 × 4": torch.empty(100, 4), "32 × 16 kernels of 3 × 3": torch.empty(32, 16, 3, 3)}
erk = erk_shares(examples, 0.9)
fig, ax = plt.subplots(figsize=(6, 2.2), layout="constrained")
ax.barh(list(erk), [100 * share for share in erk.values()], color="C0")
ax.axvline(90, color="black", linestyle="--")
ax.set(xlabel="weights that are zero (%)", title="Erdős–Rényi-kernel shares, 90 % in all")
ax.invert_yaxis()
plt.show()

# %%
sizes = [w.numel() for w in examples.values()]
test_close(sum(share * n for share, n in zip(erk.values(), sizes, strict=True)), 0.9 * sum(sizes), eps=1e-6)
test_eq(erk["100 × 4"], 0)  # it would be more than dense, so the others give what is left

# %%
#| export
SHARES = ("global", "layer", "erk")


@checked
def check_blocks(blocks: dict[str, Tensor], weights: Mapping[str, Annotated[Tensor, Shape("...", "any", empty=True)]]) -> dict[str, Tensor]:
    "Blocks of neurons for some weights; ValueError if they are not groups of a weight's own neurons"
    check_names(blocks, weights, "blocks are given")
    for name, groups in blocks.items():
        shape = tuple(weights[name].shape)
        if shape != (*groups.shape, groups.shape[-1]):
            raise ValueError(f"blocks of {name} have shape {tuple(groups.shape)}; a square weight of shape {shape} needs {shape[:-1]}")
    return blocks


# %%
#| export
@checked
def shares_by_threshold(
    shares: str | dict[str, Share],  # "global", "layer", "erk", or by name
    weights: Mapping[str, Annotated[Tensor, Shape("...", "any", empty=True)]],  # by name
    target: Sparse,  # share of zeros of all of them together
    replicas: Count | None = None,  # S if dimension 0 is that of replicas
) -> dict[tuple[str, ...], float]:  # by the names of the matrices that have a threshold in common
    "Share of zeros in the end; ValueError if `shares` are not those of these weights"
    weights = {name: w[0] if replicas else w for name, w in weights.items()}
    if shares == "global":
        return {tuple(weights): target}
    if isinstance(shares, str):
        if shares not in SHARES:
            raise ValueError(f"shares={shares!r}; it is one of {', '.join(map(repr, SHARES))}, or a share for each of {', '.join(weights)}")
        shares = dict.fromkeys(weights, target) if shares == "layer" else erk_shares(weights, target)
    if shares.keys() != weights.keys():
        raise ValueError(f"shares are given for {', '.join(shares)}; the weights are {', '.join(weights)}")
    return {(name,): float(share) for name, share in shares.items()}


# %% [markdown]
# ## Sparsifiers
#
# Who decides which weights go? Every method answers two questions: which weights are there before the first step (`begin`), and which from this epoch on (`update`).
# All the rest is the same for all of them. A sparsifier *has* masks, and those hold: no gradient, optimizer, checkpoint or copy brings a pruned weight back. How they do it is told in [masks](masks.ipynb).

# %% [markdown]
# How sparse is a model? Its weights in effect say it, pruned here or elsewhere.

# %%
#| export
@checked
def rows(values: Iterable[Annotated[Tensor, Shape(kind="any", empty=True)]], replicas: Count | None) -> list[Tensor]:
    "Tensors as matrices with a row for each replica"
    return [value.reshape(replicas or 1, -1) for value in values]


@checked
def share_of_zeros(weights: Iterable[Annotated[Tensor, Shape(kind="any", empty=True)]], replicas: Count | None) -> Tensor:
    "Share of values that are exactly zero, () or (S,)"
    parts = rows((w.detach() for w in weights), replicas)
    share: Any = sum((part == 0).sum(1) for part in parts) / sum(part.shape[1] for part in parts)
    return share if replicas else share[0]


@checked
def sparsity(
    model: nn.Module,
    replicas: Count | None = None,  # number of replicas S if dimension 0 of each parameter is theirs
    parameters: Iterable[str] | None = None,  # names to restrict to
) -> Tensor:  # share of weights that are exactly zero, () or (S,)
    "Sparsity of the weight matrices of any model, as they are in effect; ValueError if there are none, or not those that were named"
    for guard in guards_of(model):
        guard.apply_()
    found = slots(model).values() if parameters is None else find_weights(model, parameters)
    weights = {id(slot.weight) if not slot.computed else slot.name: slot.weight for slot in found if slot.weight.dim() >= (2 if replicas is None else 3)}
    if not weights:
        raise ValueError(f"{type(model).__name__} has no weight matrix")
    return share_of_zeros(weights.values(), replicas)


# %%
#| export
def _count(mask: Tensor) -> int:
    "How many are True"
    return int(np.count_nonzero(mask.numpy())) if mask.is_cpu else int(mask.sum())


# %%
#| export
class _Masked:
    "What all sparsifiers have from their masks"

    held: Masks
    replicas: int | None

    @property
    def weights(self) -> dict[str, nn.Parameter]:
        "The weight matrices, by name"
        return self.held.weights

    @property
    def masks(self) -> dict[str, Tensor]:
        "True where a weight stays, by name"
        return self.held.masks

    @property
    def gradients(self) -> dict[str, Tensor]:
        "What the last backward pass gave to all weights, if `needs_gradient`"
        return self.held.gradients

    def sparsity(self) -> Tensor:  # share of weights that are exactly zero, () or (S,)
        "Sparsity of the weights in effect, with zeros counted as zeros"
        if GUARDS & set(self.held.guards):  # they are not let go
            self.held.set({})
        return share_of_zeros(self.weights.values(), self.replicas)

    def apply_(self) -> None:
        "Set pruned weights to zero"
        for guard in self.held.guards:
            guard.apply_()

    def mask_optimizer_(self, optimizer: torch.optim.Optimizer) -> None:
        "Set moments and momenta of pruned weights to zero"
        for guard in self.held.guards:
            guard.mask_optimizer_(optimizer)

    def remove(self) -> None:
        "Let go of the weights; the zeros stay zeros until something trains them"
        self.held.remove()

    def state_dict(self) -> dict[str, Tensor]:
        "The masks, by weight name"
        return {name: mask.clone() for name, mask in self.masks.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        "Take over masks from `state_dict`; ValueError if they are not those of this model"
        if missing := sorted(self.masks.keys() - state.keys()):
            raise ValueError(f"no mask is given for {', '.join(missing)}; give the state_dict of a pruner of the same weights")
        self.held.set(state)


# %% [markdown]
# Weights that are pruned count as smaller than all others, so a mask that is cut only ever shrinks.

# %%
#| export
def _parts(values: Tensor, like: Collection[Tensor]) -> list[Tensor]:
    "Rows (S, n) as tensors of these shapes, side by side"
    parts = values.split([t.numel() // len(values) for t in like], 1)
    return [part.reshape(t.shape) for part, t in zip(parts, like, strict=True)]


@checked
def cut(
    sparsifier: "Sparsifier",
    sizes: dict[str, Annotated[Tensor, Shape("...", "any", empty=True)]],  # by name, shaped like the weights; of these the smallest magnitudes go
    epoch: Whole,  # 0-based
) -> dict[str, Tensor]:  # by name; those that need no cut are left out
    "Masks with as many zeros as the shares want in an epoch: what is pruned stays so, and the smallest go with it"
    done, replicas, after = progress(epoch, sparsifier.epochs, sparsifier.schedule, sparsifier.heal), sparsifier.replicas, dict[str, Tensor]()
    for names, share in sparsifier.thresholds().items():
        masks = [sparsifier.masks[name] for name in names]
        left = rows(masks, replicas)
        pruned = [sum(part[s].numel() - _count(part[s]) for part in left) for s in range(len(left[0]))]
        zeros = round(share * done * sum(part.shape[1] for part in left))
        if zeros <= min(pruned):
            continue
        parts = rows((sizes[name] for name in names), replicas)
        wanted = [max(zeros, count) for count in pruned]
        lefts = _parts(smallest(parts, wanted).logical_not_(), masks)
        if any((left > mask).view(torch.uint8).max() for left, mask in zip(lefts, masks, strict=True)):  # somebody wrote to a weight that was pruned, or others are zero too
            first = torch.cat(left, 1).logical_not_()
            lefts = _parts(smallest(parts, wanted, first).logical_not_(), masks)
        after |= zip(names, lefts, strict=True)
    return after


# %% [markdown]
# A sparsifier of your own is a subclass with an `update`, and a `begin` if it is sparse from birth. Both may call `cut`, which takes away the smallest of whatever it is given,
# exactly as many as the shares want in this epoch.

# %%
#| export
@checked
class Sparsifier(_Masked, ABC):
    "Decides which weights are there: masks before the first step, and from each epoch on"
    name: ClassVar[str]
    needs_gradient: ClassVar[bool] = False  # True: `gradients` holds what the last backward pass gave to all weights, pruned ones too

    def __init__(
        self,
        model: nn.Module,  # on the device where it will be trained
        target: Sparse = 0.9,  # share of weights that is zero in the end, in [0, 1)
        epochs: Count = 30,  # epochs until then
        schedule: Annotated[str, OneOf(SCHEDULES)] = "linear",  # "linear", "cubic" or "one_shot"
        *,
        shares: str | dict[str, float] = "global",  # "global", "layer", "erk", or each matrix' share of zeros in the end
        heal: Whole = 0,  # epochs at the end that follow the last cut
        replicas: Count | None = None,  # S if dimension 0 of each parameter is that of replicas; each is pruned on its own
        parameters: Iterable[str] | None = None,  # names of the weight matrices to prune; all if None
        blocks: dict[str, Tensor] | None = None,  # by name of a square weight: the block of each neuron (N,) or (S, N)
        prices: dict[str, Tensor] | None = None,  # coefficients of a penalty, by name, shaped like the weight
        allowed: dict[str, Tensor] | None = None,  # False where a weight is always zero, by name
        generator: torch.Generator | None = None,
    ):
        scheduled_sparsity(0, target, epochs, schedule, heal)  # refuses what makes no sense
        self.target, self.epochs, self.schedule, self.heal, self.replicas = target, epochs, schedule, heal, replicas
        weights = weight_matrices(model, replicas, parameters)
        shares_by_threshold(shares, weights, target, replicas)
        check_names(prices or {}, weights, "a price is given")
        self.shares, self.blocks, self.prices, self.generator = shares, check_blocks(blocks or {}, weights), prices or {}, generator
        self.held = Masks(model, weights, allowed or {}, self.needs_gradient)
        self.begin()

    def begin(self) -> None:
        "Hook: masks before the first step, by `self.held.set`; all that are allowed, unless a subclass says otherwise"

    def thresholds(self) -> dict[tuple[str, ...], float]:
        "Share of zeros in the end, by the names of the matrices that have a threshold in common"
        return shares_by_threshold(self.shares, self.weights, self.target, self.replicas)

    @abstractmethod
    def update(self, epoch: Whole) -> dict[str, Tensor] | None:
        "Hook: masks from this epoch on, by name; None leaves them as they are"

    @torch.no_grad()
    def step(self, epoch: Whole, optimizer: torch.optim.Optimizer | None = None) -> None:
        "The masks of an epoch, counted from 0, before it; the optimizer forgets what it knows of weights that go"
        self.held.set(self.update(epoch) or {})
        if optimizer is not None:
            self.mask_optimizer_(optimizer)

    @classmethod
    def from_masks(cls, model: nn.Module, masks: dict[str, Tensor], replicas: Count | None = None) -> "Sparsifier":
        "A sparsifier that keeps to given masks (True where a weight stays) and changes nothing any more"
        _warn_of_others(model, masks)
        return FixedMasks(model, 0.0, replicas=replicas, parameters=masks, allowed=masks)


# %%
#| export
@checked
class FixedMasks(Sparsifier):
    "Masks that stay as they are"

    name = "fixed"

    def update(self, epoch: Whole) -> None:
        "Nothing changes"


def _warn_of_others(model: nn.Module, masks: dict[str, Tensor]) -> None:
    weights = {id(model.get_parameter(name)): name for name in masks if name in dict(model.named_parameters())}
    for guard in guards_of(model):
        for attribute, weight in guard.weights.items():
            mask = masks.get(weights.get(id(weight), ""))
            if mask is not None and mask.shape == weight.shape and (mask.bool().to(weight.device) & ~guard.mask(attribute)).any():
                warnings.warn(f"another pruner holds {weights[id(weight)]}, and weights that these masks keep stay zero under it: call its remove() first", stacklevel=3)


# %% [markdown]
# ## The pruner
#
# The paper's: the smallest go, and what has gone does not come back. With `blocks`, neurons come in groups, and all weights from one group to another are a block: it stays or goes as one.
# Each of its weights then counts as large as the block's
# root mean square, so that blocks compete with each other and with single weights elsewhere, and the count stays exact (one block may be cut in two for it).
# The chapter [sparse](sparse.ipynb) says what blocks are good for.

# %%
#| export
@checked
def block_magnitudes(
    weight: Annotated[Tensor, Shape("... N N", "float")],  # (..., N, N)
    groups: Annotated[Tensor, Shape("... N", "int", least=0, most=10**6)],  # the block of each neuron (..., N)
) -> Tensor:  # (..., N, N)
    "Root mean square of the block in which each weight lies"
    w, g = weight.reshape(-1, *weight.shape[-2:]), groups.to(weight.device).reshape(-1, groups.shape[-1])
    count, n = int(g.max()) + 1, g.shape[1]
    rows, columns = g[:, :, None].expand(-1, -1, n), g[:, None].expand(-1, count, -1)
    sums = w.new_zeros(len(w), count, n).scatter_add_(1, rows, w.square())
    sums = w.new_zeros(len(w), count, count).scatter_add_(2, columns, sums)
    sizes = w.new_zeros(len(w), count).scatter_add_(1, g, torch.ones_like(g, dtype=w.dtype)).clamp_(min=1)
    means = (sums / (sizes[:, :, None] * sizes[:, None])).sqrt_()
    return means.gather(2, columns).gather(1, rows).view_as(weight)


# %%
#| export
@checked
class MagnitudePruner(Sparsifier):
    "Magnitude pruning on a schedule: the smallest weights become, and stay, exactly zero (section 4)"

    name = "magnitude"

    def update(self, epoch: Whole) -> dict[str, Tensor] | None:
        "Masks without the smallest weights, or blocks"
        sizes = {name: block_magnitudes(w, self.blocks[name]) if name in self.blocks else w for name, w in self.weights.items()}
        return cut(self, sizes, epoch)


SPARSIFIERS: dict[str, type[Sparsifier]] = {"magnitude": MagnitudePruner}


# %% [markdown]
# Train a small network with weight decay and momentum while it is pruned, and count:

# %%
def toy(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(10, 40), nn.Tanh(), nn.Linear(40, 10))


def train(model, optimizer, steps=5):
    for _ in range(steps):
        x = torch.randn(32, 10)
        optimizer.zero_grad()
        (model(x) - x).square().mean().backward()
        optimizer.step()


for rule in (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD):
    model = toy()
    options = dict(momentum=0.9, weight_decay=0.1) if rule is torch.optim.SGD else dict(weight_decay=0.1)
    optimizer, pruner = rule(model.parameters(), lr=1e-2, **options), MagnitudePruner(model, 0.9, epochs=6)
    for epoch in range(6):
        before = pruner.state_dict()
        pruner.step(epoch, optimizer)
        train(model, optimizer)
        zeros = sum((p == 0).sum().item() for p in pruner.weights.values())
        test_eq(zeros, round(0.9 * epoch / 5 * 800))
        assert all((pruner.masks[name] <= before[name]).all() for name in before)
test_eq(set(model.state_dict()), {"0.weight", "0.bias", "2.weight", "2.bias"})

# %% [markdown]
# ## Where do the zeros fall?
#
# Global pruning compares all weights with one threshold. A matrix whose weights are small loses more, whatever it is good for.
# The two layers of the first picture, nine in ten gone:

# %%
pruner = MagnitudePruner(layers, 0.9, epochs=1)
pruner.step(0)
left = {name: mask.float().mean().item() for name, mask in pruner.masks.items()}
print(f"4 inputs: {left['0.weight']:.0%} left; 100 inputs: {left['1.weight']:.0%} left; together {1 - pruner.sparsity():.0%}")

# %%
assert left["0.weight"] > 0.7 and left["1.weight"] < 0.1
test_close(sparsity(layers), 0.9, eps=1e-6)  # the same count, for any model
test_close(sparsity(layers, parameters=["0.weight"]), 1 - left["0.weight"], eps=1e-6)


# %% [markdown]
# Nothing was trained yet: the scale of the layers alone decided this. So compare like with like. The navigation chapter measures its inputs in units of their own size
# for this reason, and `parameters=[…]` restricts a pruner to matrices that are named.

# %% [markdown]
# The same two layers under the four kinds of shares:

# %%
#| fig-alt: "Share of weights left in a layer with 4 inputs and one with 100 under four rules: with one threshold the small layer keeps 80 %, with equal shares 10 %."
def left_in_each(shares):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 100), nn.Linear(100, 100))
    pruner = MagnitudePruner(model, 0.9, epochs=1, shares=shares)
    pruner.step(0)
    return [100 * mask.float().mean().item() for mask in pruner.masks.values()]


kinds = {"global": "global", "layer": "layer", "ERK": "erk", "given: 50 % and 91.6 %": {"0.weight": 0.5, "1.weight": 0.916}}
bars = torch.tensor([left_in_each(shares) for shares in kinds.values()])
fig, ax = plt.subplots(figsize=(6, 2.8), layout="constrained")
for k, name in enumerate(("4 inputs", "100 inputs")):
    ax.barh(torch.arange(len(kinds)) + 0.35 * k, bars[:, k], height=0.35, label=name)
ax.set(yticks=torch.arange(len(kinds)) + 0.17, yticklabels=list(kinds), xlabel="weights that are left (%)")
ax.invert_yaxis()
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# ## How much can go?
#
# A network that finds its way by its own steps, trained under the penalty of a torus and pruned bit by bit. Beside it two controls: the same prices for the wrong weights, and no prices. Look at them <a href="#set:pruning_steps?pruning step=0">at the start</a>, <a href="#set:pruning_steps?pruning step=6">when half of the weights are gone</a>, <a href="#set:pruning_steps?pruning step=17">nine tenths</a> and <a href="#set:pruning_steps?pruning step=29">nearly all</a>.
#
# *Predict:* at what sparsity is each of them lost? And of the weights that stay, are most of them between neighbours? (The two curves under the maps answer.)

# %%
#| echo: false
pruning_steps()


# %% [markdown]
# ## Lottery tickets
#
# The hypothesis: a dense network holds a sparse one that would train as well by itself. The test: keep the masks, give the weights new values, train again.
# The new values can be `original` (those that the dense network began with) or a `redraw`, as in the paper. A control also permutes each mask at random (`shuffled`):
# if that ticket does as well, only the number of weights a matrix kept mattered, not which.

# %% [markdown]
# Two slips would leave trained weights in a ticket without a word: a module that has no `reset_parameters`, so that nothing redraws it, and
# an `original` that is not a copy, so that it was trained along with the model. Both are looked for.

# %%
#| export
def _reset(model: nn.Module) -> None:
    for module in model.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()  # type: ignore[operator]


def _check_resets(model: nn.Module, names: Iterable[str]) -> None:
    for slot in slots(model).values():
        if slot.computed:
            raise ValueError(f"{slot.name} is computed by {slot.computed} from other parameters, which no reset of its module redraws; "
                             "make it a plain parameter first (torch.nn.utils.parametrize.remove_parametrizations), or pass init, which draws all weights of the model")
    for name in names:
        path = name.split(".")[:-1]
        owners = [model.get_submodule(".".join(path[:k])) for k in range(len(path) + 1)]
        if not any(hasattr(owner, "reset_parameters") for owner in owners):
            raise ValueError(f"nothing would redraw {name}: {type(owners[-1]).__name__} has no reset_parameters; pass init, which draws all weights of the model")


# %%
#| export
REINITIALIZE = ("redraw", "original", "shuffled", "shuffled_rows")


def _check_mode(mode: str, original: dict[str, Tensor] | None) -> None:
    if mode not in REINITIALIZE:
        raise ValueError(f"mode={mode!r}; it is one of {', '.join(map(repr, REINITIALIZE))}")
    if (mode == "original") != (original is not None):
        raise ValueError(f"mode={mode!r} with original {'missing' if original is None else 'given'}; pass the initial state dict to 'original' alone")


def _check_copied(original: dict[str, Tensor], weights: dict[str, Tensor]) -> None:
    for name, weight in weights.items():
        if name in original and original[name].data_ptr() == weight.data_ptr():
            raise ValueError(f"original shares {name} with the model, so it was trained too; take copy.deepcopy(model.state_dict()) before training")


# %% [markdown]
# What size should the new values have? Layers draw them so that a neuron's sum over *all* its inputs has the right size. A neuron that has kept a tenth of them sums a tenth of the terms.
# `scale="left"` enlarges what is left of each row until the row has the norm that it was drawn with. *Predict:* by how much, if a row's hundred weights were drawn alike and ten are left? And if one weight is far larger than the others, as on the
# diagonal of a start near the identity, and stays?

# %%
#| export
@checked
@torch.no_grad()
def cut_to_length_(
    weight: Tensor,  # (rows, columns, …), or (S, rows, columns, …); changed in place
    mask: Tensor,  # True where a weight stays; same shape
    replicas: Count | None = None,  # S if dimension 0 is that of replicas
) -> None:
    "Set masked weights to 0, and multiply what is left of each row so that its norm is what it was; a row with none left is 0"
    first = 1 if replicas is None else 2
    drawn = torch.linalg.vector_norm(weight.flatten(first), dim=-1, dtype=torch.float64)
    mask_(weight, mask)
    left = torch.linalg.vector_norm(weight.flatten(first), dim=-1, dtype=torch.float64)
    factor = torch.where(left > 0, drawn / left, 1.0).to(weight.dtype)
    weight.mul_(factor.view(*factor.shape, *[1] * (weight.dim() - first)))


# %%
weight, mask = torch.randn(2000, 100), torch.rand(2000, 100) < 0.1
drawn = weight.clone()
cut_to_length_(weight, mask)
test_close(weight.norm(dim=1)[mask.any(1)], drawn.norm(dim=1)[mask.any(1)], eps=1e-4)
print(f"weights that were drawn alike grow by {(weight[mask] / drawn[mask]).mean():.2f}, near √10 = {10**0.5:.2f}")
weight = torch.eye(100) + 0.01 * torch.randn(100, 100)
cut_to_length_(weight, mask[:100] | torch.eye(100, dtype=torch.bool))
print(f"beside a diagonal that stays they grow by a factor of {weight.diag().mean():.3f}")  # √10 would make a state explode in a few steps


# %% [markdown]
# A shuffle may respect more or less. `shuffled` draws new places in the whole matrix, `shuffled_rows` within each row, so that each neuron keeps the number of its inputs.

# %%
#| export
@checked
def shuffle_mask(
    mask: Tensor,  # (rows, columns, …), or (S, rows, columns, …)
    generator: torch.Generator | None = None,
    *,
    by_row: bool = False,  # within each row, which keeps the fan-in of every neuron
    replicas: Count | None = None,  # S if dimension 0 is that of replicas
) -> Tensor:  # same shape
    "As many weights in random places of each matrix, or of each of its rows"
    lead = (replicas or 1) * (1 if not by_row else mask.shape[0] if replicas is None else mask.shape[1])
    return permuted(mask.reshape(lead, -1), generator).view_as(mask)


def _hold(model: nn.Module, weights: Mapping[str, Tensor], masks: dict[str, Tensor]) -> None:
    "Let pruners that hold these weights keep to the new masks"
    names = {id(weight): name for name, weight in weights.items()}
    for guard in guards_of(model):
        for attribute, weight in guard.weights.items():
            if id(weight) in names and not torch.equal(guard.mask(attribute), masks[names[id(weight)]]):
                guard.masks[attribute] = masks[names[id(weight)]].clone()
                guard.set({attribute: guard.masks[attribute]})


# %%
#| export
SCALES = ("dense", "left")


@checked
@torch.no_grad()
def reinitialize(
    model: nn.Module,
    masks: dict[str, Tensor],  # True where a weight stays, by name
    mode: Annotated[str, OneOf(REINITIALIZE)] = "redraw",  # "redraw", "original", "shuffled" or "shuffled_rows"
    *,
    scale: Annotated[str, OneOf(SCALES)] = "dense",  # size of the new values: as they are drawn, or what is left of each row as long as the row was drawn ("left")
    init: Callable[[nn.Module], None] | None = None,  # draws all weights; None calls each module's reset_parameters
    original: dict[str, Tensor] | None = None,  # initial state dict, for "original"
    generator: torch.Generator | None = None,  # for shuffling
    replicas: Count | None = None,  # S if dimension 0 is that of replicas; each mask is shuffled within its replica
) -> dict[str, Tensor]:  # the masks in force, also of a pruner that holds the model
    "Give the weights new values under the same masks (section 4); ValueError if that would leave a weight as it was trained"
    _check_mode(mode, original)
    weights = weight_matrices(model, replicas, masks) if masks else {}
    masks = {name: mask.to(weights[name].device) for name, mask in as_masks(masks, weights).items()}
    if mode == "original":
        _check_copied(original or {}, dict(model.named_parameters()))
    elif init is None:
        _check_resets(model, masks)
    if mode in ("shuffled", "shuffled_rows"):
        masks = {name: shuffle_mask(mask, generator, by_row=mode == "shuffled_rows", replicas=replicas) for name, mask in masks.items()}
    _hold(model, weights, masks)
    if mode == "original":
        model.load_state_dict(original or {})
    else:
        (init or _reset)(model)
    for name, mask in masks.items():
        cut_to_length_(weights[name], mask, replicas) if scale == "left" else mask_(weights[name], mask)
    return masks


# %%
model = toy()
generator = torch.Generator().manual_seed(0)
original = {name: value.clone() for name, value in model.state_dict().items()}
pruner = MagnitudePruner(model, 0.5, epochs=1)
pruner.step(0)
for mode in REINITIALIZE:
    masks = reinitialize(model, pruner.masks, mode, original=original if mode == "original" else None, generator=generator)
    for name, mask in masks.items():
        test_eq((model.get_parameter(name) == 0).sum(), (~pruner.masks[name]).sum())
        test_eq(bool((mask == pruner.masks[name]).all()), "shuffled" not in mode)
        if mode == "shuffled_rows":
            test_eq(mask.sum(1), pruner.masks[name].sum(1))


# %% [markdown]
# ## Does it matter which weights are kept?
#
# A network sees 20 numbers, of which only the first 4 matter. It is trained and pruned by nine tenths. Then each ticket is trained as long again, under its own masks and
# no further pruning. The first pruner is told to let go, so that the masks of the ticket alone are in force.
#
# *Predict:* which of the four tickets learn?

# %%
def student():
    return nn.Sequential(nn.Linear(20, 50), nn.Tanh(), nn.Linear(50, 1))


def draw(teacher, n=128):
    x = torch.randn(n, 20)
    return x, (x[:, :4] @ teacher).tanh().sum(1, keepdim=True)


def learn(model, pruner, teacher, epochs=8, batches=40):
    (x, y), errors = draw(teacher, 2000), []
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for epoch in range(epochs):
        pruner.step(epoch, optimizer)
        for _ in range(batches):
            a, b = draw(teacher)
            optimizer.zero_grad()
            (model(a) - b).square().mean().backward()
            optimizer.step()
        with torch.no_grad():
            errors.append(((model(x) - y).square().mean() / y.var()).item())
    pruner.remove()
    return errors


# %%
curves = {"while pruned": [], **{mode: [] for mode in REINITIALIZE}}
for seed in range(3):
    torch.manual_seed(seed)
    teacher, model = torch.randn(4, 3) / 2, student()
    original = copy.deepcopy(model.state_dict())
    pruner = MagnitudePruner(model, 0.9, epochs=8)
    curves["while pruned"].append(learn(model, pruner, teacher))
    for mode in REINITIALIZE:
        masks = reinitialize(model, pruner.masks, mode, original=original if mode == "original" else None)
        curves[mode].append(learn(model, MagnitudePruner.from_masks(model, masks), teacher))

# %%
#| fig-alt: "Error over epochs while a network is pruned and of its four tickets: original and redrawn weights learn, with shuffled masks the error stays high."
fig, ax = plt.subplots(figsize=(5.5, 3.2), layout="constrained")
for color, (name, errors) in zip(("0.5", "C0", "C2", "C1", "C3"), curves.items(), strict=True):
    ax.semilogy(range(1, 9), torch.tensor(errors).T, color=color, linewidth=1, label=[name.replace("_", " "), None, None])
ax.set(xlabel="epoch", ylabel="error")
fig.legend(loc="outside upper center", frameon=False, ncols=3)
plt.show()

# %% [markdown]
# A line is a seed, and an error is a share of the variance. Original and redrawn values learn alike; shuffled masks do not. Here the masks themselves carry what was learned, namely which inputs matter:

# %%
last = {name: max(errors[-1] for errors in runs) for name, runs in curves.items()}
assert max(last["redraw"], last["original"]) < min(errors[-1] for errors in curves["shuffled"]) / 3
used = pruner.masks["0.weight"].float()
print(f"kept of the weights from the 4 inputs that matter: {used[:, :4].mean():.0%}; from the other 16: {used[:, 4:].mean():.0%}")


# %% [markdown]
# So always set a ticket beside its shuffled control: only against that do the masks themselves have something to show.

# %% [markdown]
# ## Exercise 1: zeros of each matrix
#
# *5 min, easy.* The sparsity of a whole model is one number. Write the sparsity of each weight matrix.

# %%
def by_matrix(pruner):
    "Share of zeros of each weight of pruner.weights, a dict of tensors, by name"
    raise NotImplementedError


# %%
#| fold How it is checked
pruned = MagnitudePruner(layers, 0.9)
with exercise("compare with 0 and take the mean", lambda: draw_bars(by_matrix(pruned), "share of zeros")) as expect:
    expect(by_matrix, pruned, gives={"0.weight": 1 - [*left.values()][0], "1.weight": 1 - [*left.values()][1]})


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def by_matrix(pruner):
#     return {name: (w == 0).float().mean().item() for name, w in pruner.weights.items()}
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: a schedule of your own
#
# *3 min, easy.* A schedule says which share of the target is reached after a share $t$ of the epochs. Write one that does nothing for the first half, and then rises linearly.

# %%
def late(t):
    "Share of the target that is reached after a share t of the epochs: nothing up to the half, all at the end"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("a line through (1/2, 0) and (1, 1), cut off below 0", lambda: draw_curve(late, [k / 20 for k in range(21)], "share of the epochs", "share of the target")) as expect:
    for t, share in ((0, 0), (0.25, 0), (0.5, 0), (0.75, 0.5), (1, 1)):
        expect(late, t, gives=share)


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def late(t):
#     return max(0.0, 2 * t - 1)
# ```
#
# It gives the network more time to learn, and less to heal.
#
# </details>

# %% [markdown]
# ## Exercise 3: a rule of your own
#
# *10 min, medium.* Which weights matter? As a control, write a sparsifier that takes the *largest* first. `cut` takes the smallest of what it is given, and sizes are at least 0.

# %%
class LargestFirst(Sparsifier):
    "The largest weights fall first"
    name = "largest"

    def update(self, epoch):
        raise NotImplementedError


# %%
#| fold How it is checked
def sizes_left():
    "Sizes of all weights before and after one cut to a half"
    pruner = LargestFirst(toy(), 0.5, epochs=1)
    before = torch.cat([w.detach().abs().flatten() for w in pruner.weights.values()])
    pruner.step(0)
    return before, torch.cat([w.detach().abs().flatten() for w in pruner.weights.values()])


with exercise("return cut(self, sizes by name, epoch); the size of a weight is 1 / |w|, so that large ones are small", lambda: draw_lines("weights, sorted", "size", before=sizes_left()[0].sort().values, after=sizes_left()[1].sort().values)) as expect:
    expect(lambda: sizes_left()[1].max(), gives=torch.cat([w.detach().abs().flatten() for w in MagnitudePruner(toy(), 0.5).weights.values()]).median(), within=1e-2, name="the largest weight that is left")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# class LargestFirst(Sparsifier):
#     name = "largest"
#
#     def update(self, epoch):
#         return cut(self, {name: 1 / (1e-9 + w.abs()) for name, w in self.weights.items()}, epoch)
# ```
#
# </details>

# %% [markdown]
# ## Mistakes that are caught

# %%
test_fail(lambda: MagnitudePruner(model, 90), contains="less than 1")
test_fail(lambda: MagnitudePruner(model, schedule="stairs"), contains="'linear', 'cubic'")
test_fail(lambda: MagnitudePruner(nn.Tanh()), contains="no weight matrix")
test_fail(lambda: MagnitudePruner(model, parameters=["1.weight"]), contains="0.weight, 2.weight")
test_fail(lambda: reinitialize(model, {}, "original"), contains="missing")
test_fail(lambda: reinitialize(model, {}, "original", original=model.state_dict()), contains="it was trained too")
attention = nn.MultiheadAttention(4, 1)
test_fail(lambda: reinitialize(attention, MagnitudePruner(attention).masks), contains="nothing would redraw in_proj_weight")

# %% [markdown]
# ## What broke, and what the paper did
#
# The first edition pruned whatever was a matrix: also the trained embedding of a regularizer, which left its sphere, and the original of a weight under `weight_norm`, whose rows were then divided by
# their norm of 0. Such weights are refused by name now. And a mask whose name was misspelt did nothing, in silence.
#
# The paper's scripts count a weight below a thousandth as zero when they report sparsity; here a zero is a zero. The lottery of the paper gives a ticket's weights
# the size of dense ones.
#
# ## Recall and think
#
# <details><summary>Recall: why does one threshold for all layers take unequal shares of them?</summary>
#
# Layers draw their weights from intervals of different widths, so a narrow layer's are smaller for reasons that have nothing to do with use.
#
# </details>
#
# <details><summary>Recall: what is a lottery ticket, and what is its control?</summary>
#
# The masks of a pruned network with new weights; the same number of weights in random places.
#
# </details>
#
# <details><summary>Think: why prune while the network learns, and not at the end?</summary>
#
# What is cut a little at a time can be made good by what is left. What would a network do that is cut only once, and then trained on?
#
# </details>
#
# **References.** Frankle and Carbin, *The lottery ticket hypothesis* (2019). Zhu and Gupta, *To prune, or not to prune* (2017). Gale et al., *The state of sparsity
# in deep neural networks* (2019). Evci et al., *Rigging the lottery* (2020). Section 4 of the paper.
