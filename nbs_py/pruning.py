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
# > Masks with exact counts, schedules, and lottery tickets

# %% [markdown]
# After this chapter you can
#
# - prune a network step by step to an exact number of zeros, and keep them zero under any optimizer,
# - choose a schedule, and say what it costs,
# - draw a lottery ticket: the same masks with new weights.
#
# The question: *the smallest weights go first. How many are left in each layer when nine in ten have gone?*

# %%
#| default_exp pruning

# %%
#| export
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from modreg.manifolds import patch

# %%
#| hide
import matplotlib.pyplot as plt
from fastcore.test import test_close, test_eq, test_fail

# %% [markdown]
# ## How sparsity rises
#
# The paper raises sparsity linearly, from nothing in the first epoch to the target in the last (section 4). The cubic schedule of Zhu and Gupta
# prunes most while the network is young and leaves it more epochs to recover.

# %%
#| export
SCHEDULES = {"linear": lambda x: x, "cubic": lambda x: 1 - (1 - x) ** 3}  # share of the target after a share of the epochs


def scheduled(
    epoch: int,  # 0-based
    target: float,  # sparsity in the last epoch
    epochs: int,  # number of epochs
    schedule: str = "linear",  # "linear" (section 4) or "cubic"
) -> float:  # share of weights to be zero during `epoch`
    "Sparsity of an epoch: 0 in the first, `target` in the last and ever after"
    return target * SCHEDULES[schedule](min(1.0, epoch / (epochs - 1)) if epochs > 1 else 1.0)


# %%
fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
for name in SCHEDULES:
    ax.step(range(30), [100 * scheduled(e, 0.9, 30, name) for e in range(30)], where="post", label=name)
ax.set(xlabel="epoch", ylabel="weights that are zero (%)")
ax.legend(frameon=False)
plt.show()

# %%
for name in SCHEDULES:
    test_eq([scheduled(0, 0.9, 30, name), scheduled(29, 0.9, 30, name), scheduled(99, 0.9, 30, name)], [0, 0.9, 0.9])
test_close(scheduled(1, 0.9, 31), 0.03)


# %% [markdown]
# ## The smallest weights, exactly so many
#
# The naive form sorts all magnitudes and takes the value at the wanted place as a threshold:

# %%
def naive_keep(magnitudes: Tensor, zeros: int) -> Tensor:
    "True where a weight is above the `zeros`-th smallest"
    return magnitudes > magnitudes.sort().values[zeros - 1]


# %% [markdown]
# *Predict:* how many weights does it remove from $(1, 2, 2, 2, 3)$ when it is asked for two?

# %%
naive_keep(torch.tensor([1.0, 2, 2, 2, 3]), 2).logical_not().sum().item()


# %% [markdown]
# Ties go together. Here exactly `zeros` go, and among equals those that come first. Nor is a sort needed: the value at one place
# (`kthvalue`) is found in time proportional to the number of weights.

# %%
#| export
def smallest(
    magnitudes: Tensor,  # (S, n), at least 0; -1 marks what must go first
    zeros: int,  # how many of each row
) -> Tensor:  # True at exactly `zeros` places of each row (S, n)
    "The `zeros` smallest of each row; of equal ones those that come first"
    if zeros == 0:
        return torch.zeros_like(magnitudes, dtype=torch.bool)
    magnitudes = magnitudes.nan_to_num(nan=torch.inf)  # a weight that diverged is not small
    threshold = magnitudes.kthvalue(zeros, dim=1, keepdim=True).values
    gone, level = magnitudes < threshold, magnitudes == threshold
    short = zeros - gone.sum(1, keepdim=True)
    return gone | (level & (level.cumsum(1) <= short))


# %%
test_eq(smallest(torch.tensor([[1.0, 2, 2, 2, 3]]), 2).tolist(), [[True, True, False, False, False]])
generator = torch.Generator().manual_seed(0)
values = torch.randint(0, 20, (3, 1000), generator=generator).float()
for zeros in (0, 1, 500, 999, 1000):
    mine, order = smallest(values, zeros), values.argsort(dim=1, stable=True)[:, :zeros]
    test_eq(mine.nonzero()[:, 1].view(3, zeros).tolist(), order.sort(1).values.tolist())


# %% [markdown]
# ## The pruner
#
# A mask must survive four things: the gradient, the optimizer's momentum, weight decay, and a checkpoint.
# So a hook removes the gradient of a pruned weight, and when a weight is pruned its place in the optimizer's state is cleared. From then on
# every rule in use leaves it alone: no gradient and no momentum move it, and the decay of zero is zero.
# The model itself stays plain: no renamed parameters, no wrapped layers.

# %%
#| export
def prunable(
    model: nn.Module,
    replicas: int | None = None,  # number of replicas S if dimension 0 of each parameter is theirs
    parameters: Iterable[str] | None = None,  # names to restrict to
) -> dict[str, nn.Parameter]:  # weight matrices by name
    "Parameters that are pruned: weight matrices, never biases"
    found = {name: p for name, p in model.named_parameters() if p.dim() >= (2 if replicas is None else 3)}
    if parameters is not None:
        parameters = list(parameters)
        if unknown := sorted(set(parameters) - found.keys()):
            raise ValueError(f"{', '.join(unknown)}: no such weight matrix; this model has {', '.join(found)}")
        found = {name: found[name] for name in parameters}
    if not found:
        raise ValueError(f"{type(model).__name__} has no weight matrix to prune")
    for name, p in found.items():
        if replicas is not None and len(p) != replicas:
            raise ValueError(f"{name} has shape {tuple(p.shape)}; with replicas={replicas} its dimension 0 must be {replicas}")
    return found


def _rows(tensors: Iterable[Tensor], replicas: int | None) -> Tensor:
    "All tensors side by side, a row for each replica"
    return torch.cat([t.reshape(replicas or 1, -1) for t in tensors], 1)


# %%
#| export
class MagnitudePruner:
    "Global magnitude pruning on a schedule: the smallest weights over all matrices become, and stay, exactly zero (section 4)"

    def __init__(
        self,
        model: nn.Module,
        target: float = 0.9,  # share of weights that is zero in the end, in [0, 1)
        epochs: int = 30,  # epochs until then
        schedule: str = "linear",  # "linear" or "cubic"
        *,
        replicas: int | None = None,  # S if dimension 0 of each parameter is that of replicas; each is pruned on its own
        parameters: Iterable[str] | None = None,  # names of the weight matrices to prune; all if None
    ):
        if not 0 <= target < 1:
            raise ValueError(f"target={target}; it is a share of zeros, at least 0 and less than 1 (0.9 is 90 %)")
        if epochs < 1:
            raise ValueError(f"epochs={epochs}; it must be at least 1")
        if schedule not in SCHEDULES:
            raise ValueError(f"schedule={schedule!r}; it is one of {', '.join(map(repr, SCHEDULES))}")
        self.target, self.epochs, self.schedule, self.replicas = target, epochs, schedule, replicas
        self.weights = prunable(model, replicas, parameters)
        self.masks = {name: torch.ones_like(w, dtype=torch.bool) for name, w in self.weights.items()}
        self.zeros = 0  # pruned weights of each replica
        self._hooks = [w.register_hook(lambda grad, name=name: grad * self.masks[name]) for name, w in self.weights.items()]

    @classmethod
    def from_masks(
        cls,
        model: nn.Module,
        masks: dict[str, Tensor],  # True where a weight stays
        replicas: int | None = None,
    ) -> "MagnitudePruner":
        "A pruner that keeps to given masks and prunes no further"
        pruner = cls(model, 0.0, replicas=replicas, parameters=masks)
        for name, mask in masks.items():
            if mask.shape != pruner.masks[name].shape:
                raise ValueError(f"mask of {name} has shape {tuple(mask.shape)}; the weight has {tuple(pruner.masks[name].shape)}")
        pruner.load_state_dict(masks)
        pruner.apply_()
        return pruner


# %% [markdown]
# One call an epoch. Weights that are gone count as smaller than all others, so a mask only ever shrinks.

# %%
#| export
@patch
@torch.no_grad()
def step(
    self: MagnitudePruner,
    epoch: int,  # 0-based
    optimizer: torch.optim.Optimizer | None = None,  # its state is cleared where weights are pruned
) -> None:
    "Prune to the epoch's sparsity; called once an epoch, and without effect if called again"
    total = sum(w[0].numel() if self.replicas else w.numel() for w in self.weights.values())
    zeros = round(scheduled(epoch, self.target, self.epochs, self.schedule) * total)
    if zeros > self.zeros:
        magnitudes = [torch.where(self.masks[name], w.abs(), -1) for name, w in self.weights.items()]
        gone = smallest(_rows(magnitudes, self.replicas), zeros)
        sizes = [m.numel() // len(gone) for m in magnitudes]
        for mask, part in zip(self.masks.values(), gone.split(sizes, 1), strict=True):
            mask.copy_(~part.reshape(mask.shape))
        self.zeros = zeros
    self.apply_()
    if optimizer is not None:
        self.mask_optimizer_(optimizer)


# %% [markdown]
# Zeros are written to the weights and to what the optimizer remembers of them.

# %%
#| export
@patch
@torch.no_grad()
def apply_(self: MagnitudePruner) -> None:
    "Set pruned weights to zero"
    for name, weight in self.weights.items():
        weight.masked_fill_(~self.masks[name], 0)


@patch
@torch.no_grad()
def mask_optimizer_(self: MagnitudePruner, optimizer: torch.optim.Optimizer) -> None:
    "Set moments and momenta of pruned weights to zero"
    for name, weight in self.weights.items():
        for value in optimizer.state.get(weight, {}).values():
            if torch.is_tensor(value) and value.shape == weight.shape:
                value.masked_fill_(~self.masks[name], 0)


# %% [markdown]
# The rest counts, lets go, and is saved.

# %%
#| export
@patch
def sparsity(self: MagnitudePruner) -> Tensor:  # share of weights that are exactly zero, () or (S,)
    "Sparsity of the weights in effect, with zeros counted as zeros"
    zeros = (_rows(self.weights.values(), self.replicas) == 0).float().mean(1)
    return zeros if self.replicas else zeros[0]


@patch
def remove(self: MagnitudePruner) -> None:
    "Let go of the gradients; the zeros stay zeros until something trains them"
    for hook in self._hooks:
        hook.remove()


@patch
def state_dict(self: MagnitudePruner) -> dict[str, Tensor]:
    "The masks, by weight name"
    return {name: mask.clone() for name, mask in self.masks.items()}


@patch
def load_state_dict(self: MagnitudePruner, state: dict[str, Tensor]) -> None:
    "Take over masks from `state_dict`"
    for name, mask in self.masks.items():
        mask.copy_(state[name])
    self.zeros = int((~_rows(self.masks.values(), self.replicas)).sum(1).max())


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

# %%
model = toy()
with torch.no_grad():
    model[0].weight.mul_(5)
pruner = MagnitudePruner(model, 0.5, epochs=1)
pruner.step(0)
{name: f"{(~mask).float().mean():.0%} zero" for name, mask in pruner.masks.items()}

# %% [markdown]
# Five times larger weights, and one matrix pays for both. Keep this in mind when a model's layers differ in scale.

# %% [markdown]
# ## Lottery tickets
#
# The hypothesis: a dense network holds a sparse one that would train as well by itself. The test: keep the masks, give the weights new values, train again.
# The new values can be `original` (those that the dense network began with) or a `redraw`, as in the paper. A control also permutes each mask at random (`shuffled`):
# if that ticket does as well, only the number of weights a matrix kept mattered, not which.

# %%
#| export
REINITIALIZE = ("redraw", "original", "shuffled")


def _reset(model: nn.Module) -> None:
    for module in model.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()


@torch.no_grad()
def reinitialize(
    model: nn.Module,
    masks: dict[str, Tensor],  # True where a weight stays, by name
    mode: str = "redraw",  # "redraw", "original" or "shuffled"
    *,
    init: Callable[[nn.Module], None] | None = None,  # draws all weights; None calls each module's reset_parameters
    original: dict[str, Tensor] | None = None,  # initial state dict, for "original"
    generator: torch.Generator | None = None,  # for "shuffled"
    replicas: int | None = None,  # S if dimension 0 is that of replicas; each mask is shuffled within its replica
) -> dict[str, Tensor]:  # the masks in force
    "Give the weights new values under the same masks (section 4)"
    if mode not in REINITIALIZE:
        raise ValueError(f"mode={mode!r}; it is one of {', '.join(map(repr, REINITIALIZE))}")
    if (mode == "original") != (original is not None):
        raise ValueError(f"mode={mode!r} with original {'missing' if original is None else 'given'}; pass the initial state dict to 'original' alone")
    if mode == "original":
        model.load_state_dict(original)
    else:
        (init or _reset)(model)
    if mode == "shuffled":
        masks = {name: _shuffled(mask, generator, replicas) for name, mask in masks.items()}
    for name, p in model.named_parameters():
        if name in masks:
            p.masked_fill_(~masks[name], 0)
    return masks


def _shuffled(mask: Tensor, generator: torch.Generator | None, replicas: int | None) -> Tensor:
    rows = mask.reshape(replicas or 1, -1)
    device = "cpu" if generator is None else generator.device
    orders = [torch.randperm(rows.shape[1], generator=generator, device=device).to(mask.device) for _ in rows]
    return torch.stack([row[order] for row, order in zip(rows, orders, strict=True)]).reshape(mask.shape)


# %%
model = toy()
original = {name: value.clone() for name, value in model.state_dict().items()}
pruner = MagnitudePruner(model, 0.5, epochs=1)
pruner.step(0)
for mode in REINITIALIZE:
    masks = reinitialize(model, pruner.masks, mode, original=original if mode == "original" else None, generator=generator)
    for name, mask in masks.items():
        test_eq((model.get_parameter(name) == 0).sum(), (~pruner.masks[name]).sum())
        test_eq(bool((mask == pruner.masks[name]).all()), mode != "shuffled")


# %% [markdown]
# ## Exercise
#
# The sparsity of a whole model is one number. Write the sparsity of each weight matrix.
#
# ```python
# def by_matrix(pruner):
#     raise NotImplementedError("share of zeros of each weight, by name")
# ```
#
# <details><summary>Solution</summary>
#
# ```python
# def by_matrix(pruner):
#     return {name: (w == 0).float().mean().item() for name, w in pruner.weights.items()}
# ```
# </details>

# %%
#| hide
def by_matrix(pruner):
    return {name: (w == 0).float().mean().item() for name, w in pruner.weights.items()}


# %%
shares = by_matrix(pruner)
test_eq(len(shares), 2)
test_close(sum(shares.values()) / 2, 0.5, eps=1e-3)  # both matrices have 400 weights

# %% [markdown]
# ## Mistakes that are caught

# %%
test_fail(lambda: MagnitudePruner(model, 90), contains="less than 1")
test_fail(lambda: MagnitudePruner(model, schedule="stairs"), contains="'linear', 'cubic'")
test_fail(lambda: MagnitudePruner(nn.Tanh()), contains="no weight matrix")
test_fail(lambda: MagnitudePruner(model, parameters=["1.weight"]), contains="this model has 0.weight, 2.weight")
test_fail(lambda: reinitialize(model, {}, "original"), contains="missing")

# %% [markdown]
# ## What the paper did
#
# Its scripts count a weight below a thousandth as zero when they report sparsity; here a zero is a zero. `torch.nn.utils.prune` keeps a second copy
# of each weight (`weight_orig`) in the state dict; here there is none.
#
# **References.** Frankle and Carbin, *The lottery ticket hypothesis* (2019). Zhu and Gupta, *To prune, or not to prune* (2017). Gale et al., *The state of sparsity
# in deep neural networks* (2019). Section 4 of the paper.
