# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Trainer
#
# > One short loop for networks of your own and for every task of this book, and what is hung on it

# %% [markdown]
# *Reading 25 min, exercises 10 min. To skip at a first reading:* all of it, until you need it.
#
# After this chapter you can
#
# - train any torch model with penalties, pruning, clipping and checkpoints, each a line in a list,
# - hang something of your own on the loop in three to ten lines,
# - say at which step a network diverged, and why.
#
# The question: *everybody's loop is the same six lines, and everybody's differs. Where do the differences belong?*

# %%
#| default_exp lab.trainer

# %%
#| export
import math
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from modreg.geometry.arguments import Count, NotNegative, Positive, Whole, checked
from modreg.lab.files import read_state, write_state
from modreg.layers.sparse import use_sparse_products
from modreg.sparsity.pruning import Sparsifier
from modreg.sparsity.regularizer import Penalty, ramp

# %%
#| hide
import tempfile

import matplotlib.pyplot as plt
from fastcore.test import test_close, test_eq, test_fail

from modreg import MagnitudePruner, ModuliRegularizer
from modreg.book.exercises import draw_curve, draw_lines, exercise
from modreg.sparsity.regularizer import RAMPS

plt.style.use("modreg.data.book")


# %% [markdown]
# ## Six lines, and five moments
#
# Loss, backward pass, step, gradients away; that for each batch, and all of it for each epoch. A penalty wants to add to gradients before the step, and a pruner wants to be asked once an epoch. So the loop
# calls out at five moments, and whoever wants to do something then is a `Callback`:
#
# ```
#  epoch  ── before_epoch
#    step ──── before_step ─ loss, backward ─ after_backward ─ optimizer ─ after_step
#         ── after_epoch
# ```
#
# *Predict:* which moments does a penalty need, whose trained embedding must stay on its manifold? Which does magnitude pruning need?

# %%
#| export
@checked
class Callback:
    "Something that happens while a `Trainer` works; each method does nothing unless a subclass says otherwise"

    def before_epoch(self, trainer: "Trainer") -> None:
        "`trainer.epochs` is the number of epochs that are done"

    def before_step(self, trainer: "Trainer") -> None:
        "No gradient is there yet"

    def after_backward(self, trainer: "Trainer") -> None:
        "Gradients are there, and the optimizer has not used them; `trainer.last_loss` is the step's"

    def after_step(self, trainer: "Trainer") -> None:
        "Weights have moved, and gradients are gone"

    def after_epoch(self, trainer: "Trainer") -> None:
        "`trainer.mean_loss` is that of the epoch, `trainer.epochs` counts it"

    def state_dict(self) -> dict[str, Any]:
        "What is needed to go on where one was"
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        "Take over what `state_dict` has kept"


# %% [markdown]
# The loop itself is below. `loss(model, batch)` is a number, or one for each of `replicas` models that are trained as one stacked computation: no weight of one meets another's, so each gets the gradient that it would get alone.
# A loss of another shape would be summed without a word, and too few batches would pass for an epoch; both are said.

# %%
#| export
@checked(late=True)
def checked_loss(
    loss: Any,  # what a loss function has returned
    replicas: Count | None,  # number of models S, None for a single one
) -> Tensor:  # (S,), or ()
    "The loss; TypeError or ValueError if it cannot be one"
    wanted = "one number" if replicas is None else f"one number for each of the {replicas} models, of shape ({replicas},)"
    if not isinstance(loss, Tensor) or not loss.is_floating_point():
        raise TypeError(f"the loss function returned {type(loss).__name__ if not isinstance(loss, Tensor) else loss.dtype}; return a floating tensor: {wanted}")
    if loss.shape != (() if replicas is None else (replicas,)):
        raise ValueError(f"the loss function returned shape {tuple(loss.shape)}; return {wanted}, such as a mean over everything else (replicas={replicas})")
    if not loss.requires_grad:
        raise ValueError("the loss has no gradient: it does not depend on a weight that is trained, or was computed under torch.no_grad() or with .detach()")
    return loss


# %%
#| export
@checked(finite=False)
def counted(
    batches: Iterable[Any],
    count: Count | None,  # how many there must be; None: at least one
) -> Iterator[Any]:
    "The same batches; ValueError if there are fewer or more"
    seen = 0
    for seen, batch in enumerate(batches, start=1):
        if count is not None and seen > count:
            raise ValueError(f"an epoch has count={count} batches, and batches() yields more: let it end there, or set `batches` to their number")
        yield batch
    if seen < (count or 1):
        raise ValueError(f"an epoch has {f'count={count}' if count else 'at least 1'} batches, and batches() ended after {seen}: let it yield as many, or set `batches` to their number")


# %%
test_eq(list(counted("ab", 2)), ["a", "b"])
test_fail(lambda: list(counted("ab", 3)), contains="ended after 2")
test_fail(lambda: list(counted("ab", 1)), contains="yields more")
test_fail(lambda: checked_loss(torch.zeros(3, 50, requires_grad=True), 3), contains="of shape (3,)")
test_fail(lambda: checked_loss(torch.zeros(3), 3), contains="no gradient")
test_fail(lambda: checked_loss(0.5, None), contains="returned float")


# %%
#| export
@checked(late=True)
def call(trainer: "Trainer", moment: str) -> None:
    "Have all callbacks act"
    for callback in trainer.callbacks:
        hook = getattr(callback, moment)
        if getattr(hook, "__func__", None) is not vars(Callback).get(moment):  # else nobody has said what to do
            hook(trainer)


@checked
def parts_of(trainer: "Trainer") -> dict[str, Any]:
    "What has a state, by name: model, optimizer, and the callbacks by class and, of several of a class, number"
    parts = {"model": trainer.model, "optimizer": trainer.optimizer}
    for callback in trainer.callbacks:
        kind = type(callback).__name__
        same = sum(type(other).__name__ == kind for other in trainer.callbacks[: trainer.callbacks.index(callback)])
        parts[f"{kind} {same + 1}" if same else kind] = callback
    return parts


# %%
#| export
@checked(finite=False)  # one of several models that has diverged must not stop the others
class Trainer:
    "Trains a model; what is not loss, backward pass and step is done by callbacks, in their order"

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[nn.Module, Any], Tensor],  # of a model and a batch: (), or (S,) with replicas
        optimizer: torch.optim.Optimizer,
        callbacks: Iterable[Callback] = (),
        *,
        replicas: Count | None = None,  # number of models S in `model`
        accumulate: Count = 1,  # batches whose gradients are averaged for a step
    ):
        self.model, self.loss, self.optimizer, self.callbacks = model, loss, optimizer, list(callbacks)
        self.replicas, self.accumulate, self.epochs, self.mean_loss, self.last_loss = replicas, accumulate, 0, cast(Any, None), cast(Any, None)

    def step(self, *batches: Any) -> Tensor:  # () or (S,)
        "One step of the optimizer, on one batch or several; their mean loss without penalties"
        call(self, "before_step")
        total: Any = 0
        for batch in batches:
            loss = checked_loss(self.loss(self.model, batch), self.replicas)
            (loss.sum() / self.accumulate).backward()
            total = total + loss.detach()
        self.last_loss = total / len(batches)
        call(self, "after_backward")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        call(self, "after_step")
        return self.last_loss

    def epoch(self, batches: Iterable[Any], count: Count | None = None) -> Tensor:  # () or (S,)
        "One epoch; the mean loss over its batches, of which there must be `count`"
        self.model.train()
        call(self, "before_epoch")
        total: Any = 0
        each, seen = counted(batches, count), 0
        while group := tuple(islice(each, self.accumulate)):
            total, seen = total + len(group) * self.step(*group), seen + len(group)
        self.mean_loss, self.epochs = total / seen, self.epochs + 1
        call(self, "after_epoch")
        return self.mean_loss

    def state_dict(self) -> dict[str, Any]:
        "Number of epochs, and what model, optimizer and callbacks keep"
        return {"epochs": self.epochs, "parts": {name: kept for name, part in parts_of(self).items() if (kept := part.state_dict())}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        parts, self.epochs = parts_of(self), state["epochs"]
        if missing := state["parts"].keys() - parts.keys():
            raise ValueError(f"the checkpoint has a state of {missing}, and this trainer has no such part; it has {', '.join(parts)}")
        for name, kept in reversed(state["parts"].items()):  # masks before the weights that they hold
            parts[name].load_state_dict(kept)


# %% [markdown]
# ## Penalties
#
# A penalty's gradient is added once the loss has left its own; after the step, a trained embedding goes back to its manifold. The strength may be ramped over training: full from the first epoch on (the paper), or rising.

# %%
#| export
@checked
class Penalize(Callback):
    "Adds the gradients of penalties"

    def __init__(
        self,
        *penalties: Penalty,
        kind: str = "constant",  # of `ramp`
        epochs: Count = 1,  # in the last of which the strength is full
    ):
        self.strengths = [penalty.strength for penalty in penalties]
        self.penalties: Any = nn.ModuleList(penalties)
        self.kind, self.last = kind, max(1, epochs - 1)

    def before_epoch(self, trainer: Trainer) -> None:
        for penalty, strength in zip(self.penalties, self.strengths, strict=True):
            penalty.strength = strength * ramp(min(1.0, trainer.epochs / self.last), self.kind)

    @checked(trusts=True)
    def after_backward(self, trainer: Trainer) -> None:
        for penalty in self.penalties:
            penalty.add_gradient_()

    @checked(trusts=True)
    def after_step(self, trainer: Trainer) -> None:
        for penalty in self.penalties:
            penalty.project_()

    def state_dict(self) -> dict[str, Any]:
        return self.penalties.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.penalties.load_state_dict(state)


# %%
#| fig-alt: "Share of the penalty's strength in 20 epochs for four ramps, as stairs."
fig, ax = plt.subplots(figsize=(5, 2.2), layout="constrained")
for kind in RAMPS:
    ax.step(range(1, 21), [ramp(epoch / 19, kind) for epoch in range(20)], where="mid", label=kind)
ax.set(xlabel="epoch of 20", ylabel="share of λ", xticks=range(0, 21, 5))
fig.legend(frameon=False, ncols=4, loc="outside upper center")
plt.show()


# %% [markdown]
# ## Masks
#
# A sparsifier is asked once an epoch. Once most weights are gone, it may be quicker to multiply by those that are left. Whether it is, a measurement tells, and what it told is kept: the sums round differently, so a run
# that goes on after it was killed must choose as before. A sparsifier that asks where a missing weight's gradient is largest needs the dense product, and keeps it.

# %%
#| export
@checked
class Sparsify(Callback):
    "Has a sparsifier renew its masks before each epoch"

    def __init__(self, sparsifier: Sparsifier):
        self.sparsifier = sparsifier

    def before_epoch(self, trainer: Trainer) -> None:
        self.sparsifier.step(trainer.epochs, trainer.optimizer)

    def state_dict(self) -> dict[str, Any]:
        gradients = self.sparsifier.gradients if self.sparsifier.needs_gradient else {}
        return {"masks": self.sparsifier.state_dict(), "gradients": {name: gradient.clone() for name, gradient in gradients.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sparsifier.load_state_dict(state["masks"])
        for name, gradient in state["gradients"].items():
            weight = self.sparsifier.weights[name]
            (weight * gradient).sum().backward()  # as if the last backward pass had been a moment ago
            weight.grad = None


# %%
#| export
@checked
class SparseProducts(Callback):
    "Multiplies by surviving weights alone where that is measured to be quicker; stands after `Sparsify`"

    def __init__(
        self,
        sparsifier: Sparsifier,
        batch: Count,  # samples a step
        least: Whole = 2**16,  # weights of a matrix from which on a measurement is worth its time
    ):
        self.sparsifier, self.batch, self.least, self.left = sparsifier, batch, least, 1.0
        self.chosen: dict[str, bool] = {}

    def before_epoch(self, trainer: Trainer) -> None:
        masks = {name: mask for name, mask in self.sparsifier.masks.items() if mask.is_cpu and mask.shape[-2:].numel() >= self.least}
        if masks and not self.sparsifier.needs_gradient and (left := 1 - self.sparsifier.sparsity().min().item()) <= 0.7:
            again = left <= 0.85 * self.left  # so many fewer weights than when dense products won may be faster; those that are faster stay so
            kept = {name: sparse for name, sparse in self.chosen.items() if sparse or not again}
            self.chosen, self.left = use_sparse_products(trainer.model, masks, self.batch, chosen=kept), left if again else self.left

    def state_dict(self) -> dict[str, Any]:
        return {"chosen": dict(self.chosen), "left": self.left}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.chosen, self.left = dict(state["chosen"]), state["left"]


# %% [markdown]
# ## Clipping, rates, checkpoints, a bar
#
# With replicas each is clipped by its own norm, as if it were alone.

# %%
#| export
@checked
@torch.no_grad()
def clip_(
    parameters: Iterable[nn.Parameter],  # each led by the seeds
    limit: Positive,  # greatest norm
) -> Tensor:  # the norms before (S,)
    "Scale each seed's gradient to a norm of at most `limit`, in place"
    gradients = [p.grad for p in parameters if p.grad is not None]
    norms = torch.stack([g.flatten(1).norm(dim=1) for g in gradients]).norm(dim=0)
    scale = (limit / (norms + 1e-6)).clamp(max=1)
    for g in gradients:
        g.mul_(scale.view(-1, *[1] * (g.dim() - 1)))
    return norms


@checked
class Clip(Callback):
    "Clips the norm of the gradient of the model's weights, penalties included where it stands after `Penalize`"

    def __init__(self, limit: Positive):
        self.limit = limit

    def after_backward(self, trainer: Trainer) -> None:
        clip = nn.utils.clip_grad_norm_ if trainer.replicas is None else clip_
        clip(trainer.model.parameters(), self.limit)


# %%
stack = nn.Parameter(torch.zeros(2, 3))
alone = [nn.Parameter(torch.zeros(3)) for _ in range(2)]
for k, gradient in enumerate((torch.tensor([3.0, 0, 4]), torch.tensor([0.1, 0, 0]))):
    alone[k].grad = gradient.clone()
stack.grad = torch.stack([p.grad for p in alone])
test_close(clip_([stack], 0.5), torch.tensor([5, 0.1]))
for p in alone:
    nn.utils.clip_grad_norm_([p], 0.5)
test_close(stack.grad, torch.stack([p.grad for p in alone]))


# %%
#| export
@checked
class LearningRate(Callback):
    "Steps one of torch's schedules after each step of the optimizer"

    def __init__(self, schedule: Any):
        self.schedule = schedule

    def after_step(self, trainer: Trainer) -> None:
        self.schedule.step()

    def state_dict(self) -> dict[str, Any]:
        return self.schedule.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.schedule.load_state_dict(state)


# %%
#| export
@checked
class Checkpoint(Callback):
    "Writes after each epoch all that is needed to go on, and reads it at the first; keeps the file before the last, for when that is damaged; stands last"

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def resume(self, trainer: Trainer) -> None:
        "Go on where the file says; nothing if there is none"
        if (state := read_state(self.path)) is not None:
            trainer.load_state_dict(state)

    def after_epoch(self, trainer: Trainer) -> None:
        write_state(self.path, trainer.state_dict())


@checked
class Progress(Callback):
    "Moves a progress bar by one for each batch"

    def __init__(self, bar: tqdm):
        self.bar = bar

    def after_step(self, trainer: Trainer) -> None:
        self.bar.update(trainer.accumulate)


# %% [markdown]
# ## One that diverges
#
# A learning rate that is too high sends weights to infinity, and what is computed from them is no number, or worse, one that looks like a result. So each step's loss, and the sum of each replica's weights, are kept until the epoch's end,
# which costs next to nothing, and looked at then. A replica with one that is not finite is stopped: its weights are those from before the epoch, in this and in every later one, and it has no score any more.
# The others do not notice.

# %%
#| export
@checked
def likely_cause(
    losses: list,  # of one replica, in the steps of an epoch up to the bad one
    finite: bool,  # whether its weights were finite after that
    epoch: Whole,
    lr: NotNegative,
) -> str:
    "Why a replica diverged, as far as its losses tell"
    step, least = len(losses) - 1, min((x for x in losses[:-1] if math.isfinite(x)), default=math.nan)
    if not math.isfinite(losses[-1]) and epoch == step == 0:
        return f"the first loss is {losses[-1]}: the data or the first weights hold what is not finite, or what is huge"
    what = f"the loss is {losses[-1]}" if not math.isfinite(losses[-1]) else f"the loss is {losses[-1]:.3g}, and a gradient or weight is not finite"
    if step and losses[-2] > 10 * least:
        return f"{what}, after it had grown from {least:.3g} to {losses[-2]:.3g} in this epoch: the learning rate of {lr:.3g}, or the penalty's strength, is too high"
    return f"{what}: the learning rate of {lr:.3g} is too high, or the data of this step hold what is not finite"


# %%
#| export
@checked
class StopDiverged(Callback):
    "Stops a replica at the first step at which its loss, gradient or weights are not finite; stands after `Sparsify`; FloatingPointError if there is but one model"

    def __init__(self, replicas: Count | None = None):  # number of models S
        self.diverged: list[dict[str, Any] | None] = [None] * (replicas or 1)  # of each replica: None, or epoch, step (both from 0) and likely cause
        self.seen: list[Tensor] = []  # (2, S) for each step: losses, and sums of weights
        self.parameters: list[Any] = []  # what the optimizer trains

    def before_epoch(self, trainer: Trainer) -> None:
        self.parameters = [p for group in trainer.optimizer.param_groups for p in group["params"]]
        self.kept, self.seen = [p.detach().clone() for p in self.parameters], []

    def after_step(self, trainer: Trainer) -> None:
        if not self.parameters:  # a step that belongs to no epoch
            self.before_epoch(trainer)
        count = len(self.diverged)
        sums = sum(p.detach().reshape(count, -1).sum(1) for p in self.parameters)
        self.seen.append(torch.stack([trainer.last_loss.view(count).to(sums), sums]))

    def after_epoch(self, trainer: Trainer) -> None:
        if self.seen:
            self.note(trainer, torch.stack(self.seen).cpu())
        dead = [k for k, one in enumerate(self.diverged) if one]
        if dead and trainer.replicas is None:
            raise FloatingPointError("diverged in epoch {epoch}, step {step}: {cause}".format(**(self.diverged[0] or {})))
        for k in dead:
            self.hold(trainer.optimizer, k)
            trainer.mean_loss[k] = math.nan

    def note(self, trainer: Trainer, seen: Tensor) -> None:  # (steps, 2, S)
        "Find each replica's first bad step"
        bad = ~seen.isfinite().all(1)
        group = trainer.optimizer.param_groups[0]
        for k in [k for k, lost in enumerate(bad.any(0).tolist()) if lost and not self.diverged[k]]:
            step = int(bad[:, k].int().argmax())
            cause = likely_cause(seen[: step + 1, 0, k].tolist(), bool(seen[step, 1, k].isfinite()), trainer.epochs - 1, float(group["lr"] if "lr" in group else group["rates"][k]))
            self.diverged[k] = {"phase": getattr(trainer, "name", "train"), "epoch": trainer.epochs - 1, "step": step, "cause": cause}

    @torch.no_grad()
    def hold(self, optimizer: torch.optim.Optimizer, k: int) -> None:
        "Give a replica the weights from before the epoch, and have the optimizer forget it"
        for p, kept in zip(self.parameters, self.kept, strict=True):
            p[k] = kept[k]
            for value in optimizer.state.get(p, {}).values():
                if isinstance(value, Tensor) and value.shape == p.shape:
                    value[k] = 0

    def state_dict(self) -> dict[str, Any]:
        return {"diverged": self.diverged} if any(self.diverged) else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.diverged = list(state.get("diverged", self.diverged))  # none had diverged if nothing is said


# %% [markdown]
# ## A network of your own
#
# An LSTM of torch's and a linear readout, each gate's recurrent weight penalized on a torus, pruned to 80 %. Nothing of it knows of this book.

# %%
def build(folder):
    torch.manual_seed(0)
    model = nn.ModuleDict({"rnn": nn.LSTM(1, 16, batch_first=True), "out": nn.Linear(16, 1)})
    penalty = ModuliRegularizer(model["rnn"], "torus", strength=1e-3, generator=torch.Generator().manual_seed(0))
    checkpoint = Checkpoint(folder / "state.pt")
    trainer = Trainer(model, lambda model, x: (model["out"](model["rnn"](x)[0][:, -1]) - x[:, 0]).square().mean(),
                      torch.optim.Adam(model.parameters(), lr=1e-2),
                      [Penalize(penalty), Clip(1.0), Sparsify(MagnitudePruner(model, 0.8, 6)), checkpoint])
    checkpoint.resume(trainer)
    return trainer


def numbers(epoch):
    generator = torch.Generator().manual_seed(epoch)
    return (torch.rand(32, 3, 1, generator=generator) for _ in range(40))


folder = Path(tempfile.mkdtemp())
trainer = build(folder)
losses = [trainer.epoch(numbers(epoch)).item() for epoch in range(6)]
print("loss by epoch:", *[f"{loss:.4f}" for loss in losses])
assert losses[-1] < losses[0] / 3

# %% [markdown]
# Another process takes up the same folder, at the epoch where the first has stopped:

# %%
again = build(folder)
test_eq(again.epochs, 6)
assert all(torch.equal(p, q) for p, q in zip(again.model.parameters(), trainer.model.parameters(), strict=True))

# %% [markdown]
# With a learning rate of 10³⁰ it diverges at once. There is but one model, so it says so by an error.

# %%
wild = build(Path(tempfile.mkdtemp()))
wild.callbacks.insert(3, StopDiverged())
wild.optimizer.param_groups[0]["lr"] = 1e30
test_fail(lambda: wild.epoch(numbers(0)), contains="diverged in epoch 0, step 1: the loss is")


# %% [markdown]
# ## Exercise 1: a callback
#
# *5 min, easy.* Stop to sparsify, once the loss has not fallen for an epoch? First one must know. Write a callback that keeps the mean loss of each epoch, a number each (the first seed's, if there are several).

# %%
class KeepLosses(Callback):
    "Keeps the mean loss of each epoch, a number each; trainer.mean_loss is () or, of several seeds, (S,)"
    def __init__(self):
        self.losses = []

    def after_epoch(self, trainer):
        raise NotImplementedError


# %%
#| fold How it is checked
def trained_and_kept():
    "Losses that the trainer gives and those that the callback keeps"
    keep, other = KeepLosses(), build(Path(tempfile.mkdtemp()))
    other.callbacks.append(keep)
    return [other.epoch(numbers(epoch)).item() for epoch in range(2)], keep.losses


with exercise("flatten() makes one shape of both, and the first of it is the first seed's", lambda: draw_lines("epoch", "mean loss", kept=trained_and_kept()[1])) as expect:
    given, kept_losses = trained_and_kept()
    expect(lambda: kept_losses, gives=given, name="the losses that it keeps")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# class KeepLosses(Callback):
#     def __init__(self):
#         self.losses = []
#
#     def after_epoch(self, trainer):
#         self.losses.append(trainer.mean_loss.flatten()[0].item())
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: how many steps?
#
# *5 min, medium.* A task yields 10 batches an epoch, and the gradients of 4 are averaged for a step. How many steps has an epoch, and by what is the last step's gradient too small?

# %%
def steps(batches, accumulate):
    "A pair: the number of steps of an epoch, and what the last gradient must be multiplied by to be a mean"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("10 = 4 + 4 + 2: the last step has the sum of what is left over, divided by `accumulate` all the same", lambda: draw_curve(lambda n: steps(n, 4)[1], range(1, 17), "batches of an epoch", "factor of the last gradient")) as expect:
    expect(steps, 10, 4, gives=(3, 2))
    expect(steps, 8, 4, gives=(2, 1))

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def steps(batches, accumulate):
#     return math.ceil(batches / accumulate), accumulate / ((batches - 1) % accumulate + 1)
# ```
#
# The last step has the sum of what is left over, divided by `accumulate` all the same.
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - The loop was private at first, so every benchmark and study reached into it by names that were nobody's business. Each later wish added a branch to it: clipping, accumulation, blocks, sparse products.
# - A loss of shape (S, batch) was summed over both, which multiplies the learning rate by the batch.
# - With a learning rate of 10⁹ all weights were NaN, and navigation reported an error of 110.9 cm and speech one of 100 %: decoders take NaN for an answer.
#
# The published scripts clip some networks and not others, and none of them looks whether a loss is finite.
#
# ## Recall and think
#
# <details><summary>Recall: at which moments does the loop call out?</summary>
#
# Before an epoch, before a step, after the backward pass, after a step, after an epoch.
#
# </details>
#
# <details><summary>Recall: what happens to one of several replicas that diverges?</summary>
#
# It is stopped, keeps the weights from before the epoch, and has no score from then on.
#
# </details>
#
# <details><summary>Think: what would you hang on the loop first, in a project of yours?</summary>
#
# Something that you have more than once written into the middle of a loop.
#
# </details>
#
# **References.** fastai's *miniai*, from which callbacks of a few lines are taken.
