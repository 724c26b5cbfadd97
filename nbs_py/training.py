# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Training
#
# > A task in five methods, and a run of it that ends as if nothing had happened when it is killed

# %% [markdown]
# *Reading 30 min, exercises 15 min. To skip at a first reading:* all of it, until you need it.
#
# After this chapter you can
#
# - bring a task of your own in five methods,
# - draw every random number from a stream that is named by what it is for,
# - say what a run does when it is killed, when a seed diverges, and when another process works on it.
#
# The question: *a run of three seeds takes hours. How must it be cut into pieces, so that any of them may die?*
#
# ```
#  Task ── model, data, loss, metrics
#   │
#  Phase "train" ── epoch, epoch, …  ──> train.safetensors
#   │                   └── checkpoint, metrics
#  Phase "lottery" ─ epoch, epoch, … ──> lottery.safetensors ──> result.json
# ```

# %%
#| default_exp lab.training

# %%
#| export
import hashlib
import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

# %%
#| export
import modreg
from modreg.geometry.arguments import checked
from modreg.geometry.finite import named_files
from modreg.geometry.inhibitors import inhibitor
from modreg.geometry.manifolds import Manifold, manifolds_of
from modreg.lab import settings
from modreg.lab.files import locked, read_weights, sweep, write_weights
from modreg.lab.runs import PhaseName, Run, begin, fingerprint, is_complete, load_state, save_state, tidy, tidy_after, write_history, write_result
from modreg.lab.settings import SHARES, TICKETS, Config, label_of
from modreg.lab.trainer import Callback, Clip, LearningRate, Penalize, Progress, SparseProducts, Sparsify, StopDiverged, Trainer, call
from modreg.layers.recurrent import RNN, Linear
from modreg.layers.sparse import geometric_blocks
from modreg.sparsity.penalties import PENALTIES
from modreg.sparsity.pruning import MagnitudePruner, Sparsifier, reinitialize
from modreg.sparsity.regularizer import Penalty
from modreg.sparsity.rivals import multiplications, sparsifier, weight_uses

# %%
#| hide
import tempfile

import matplotlib.pyplot as plt
from fastcore.test import test_close, test_eq, test_fail

from modreg.book.exercises import draw_bars, draw_matrices, exercise

plt.style.use("modreg.data.book")


# %% [markdown]
# ## What a task brings
#
# The experiments of this book bring five methods, and what else they want to change. All of them think in stacks: a model holds `config.seeds` models, and a loss or a metric is
# a vector with one value a seed.

# %% [markdown]
# Every random number comes from a stream that is named by its seed and its purpose. Nothing has to be remembered about a stream:
# the data of epoch 17 are the same whether epochs 0–16 were trained a moment ago or by a process that died last week.

# %%
#| export
@checked
def stream(
    seed: int,
    *purpose: int | str,  # what the numbers are for, such as ("data", "train", 17)
) -> torch.Generator:
    "A random stream of its own for each seed and purpose"
    name = json.dumps([seed, *purpose]).encode()
    return torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(name).digest()[:8], "big") >> 1)


# %%
a, b, c = (stream(0, "data", "train", epoch) for epoch in (17, 17, 18))
test_eq(torch.rand(3, generator=a), torch.rand(3, generator=b))
assert not torch.equal(torch.rand(3, generator=a), torch.rand(3, generator=c))


# %%
#| export
@checked(finite=False)
class Task(ABC):
    "Data, model, loss and metrics of one experiment; each method handles all seeds at once"

    Config: ClassVar[type[settings.Config]] = Config
    metric: ClassVar[str] = "loss"  # the number in `evaluate` that is reported; lower is better
    label: ClassVar[str] = "loss"  # what an axis calls it, with its unit
    chosen_by: ClassVar[str | None] = None  # the number by which strengths are chosen, if that is another; lower is better
    learned: ClassVar[tuple[str, float] | None] = None  # what counts as learned: a metric below this multiple of the limit of this name
    clip: ClassVar[float | None] = None  # greatest norm of each seed's gradient
    accumulate: int = 1  # batches whose gradients are averaged for one step of the optimizer

    def __init__(self, config: "settings.Config"):
        self.config, self.seeds = config, range(config.seed, config.seed + config.seeds)

    @abstractmethod
    def model(self, generators: list[torch.Generator]) -> nn.Module:
        "The models of all seeds as one module, drawn from `generators`"

    @abstractmethod
    def recurrent(self, model: nn.Module) -> list[tuple[nn.Module, str]]:
        "The recurrent weights that feel the penalty: pairs of a layer and its weight's name"

    @abstractmethod
    def batches(self, generators: list[torch.Generator]) -> Iterator[Any]:
        "`config.batches` batches: one epoch of training data"

    @abstractmethod
    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        "Training loss of each seed (S,)"

    @abstractmethod
    def evaluate(self, model: nn.Module) -> dict[str, Tensor]:
        "Metrics on held-out data, each (S,)"

    def optimizer(self, parameters: list) -> tuple[torch.optim.Optimizer, Any]:
        "Optimizer of parameters or groups, and its schedule or None; `step()` follows each step, `observe(metrics)`, if there is one, each epoch"
        return torch.optim.Adam(parameters, lr=self.config.lr, fused=True), None

    def limits(self) -> dict[str, float]:
        "Values of the metric that frame a result, by name, such as that of a guess that never looks"
        return {}

    def fingerprint(self) -> str:
        "Changes with the files that were read; empty where nothing is read, since all else is drawn from the seeds"
        return ""

    def generators(self, *purpose: int | str) -> list[torch.Generator]:
        "A random stream for each seed, the same each time it is asked for with the same purpose"
        return [stream(seed, *purpose) for seed in self.seeds]

    @cached_property
    def run(self) -> Run:
        return run_of(self)


# %% [markdown]
# A chapter that trains its own task defines the class anew, in `__main__`; its runs are those of the module that is made from it. A class of yours that derives from one of the same name is another.

# %%
#| export
@checked
def class_name(kind: type[Task]) -> str:
    "What a run calls a task's class"
    own = kind.__module__ == "__main__" and all(base.__qualname__ != kind.__qualname__ for base in kind.__mro__[1:])
    return kind.__qualname__ if own or kind.__module__.startswith("modreg.") else f"{kind.__module__}.{kind.__qualname__}"


@checked
def run_of(task: Task) -> Run:
    "The run that a task's settings, class and data name; what is read through a setting, a mesh or another run's shares, is data"
    shares = shares_of(task.config)
    parts: list[Any] = [*named_files(task.config.manifold), *([json.dumps(shares)] if isinstance(shares, dict) else [])]
    return Run(task.config, class_name(type(task)), task.fingerprint() + (fingerprint(*parts) if parts else ""))


# %% [markdown]
# ## One phase of a run
#
# A `Phase` is the trainer of a task. The phase `train` makes the network sparse. The phase `lottery` gets the masks and embeddings that `train` left, with new weights. First, each seed embeds its neurons at random, from its own stream.

# %%
#| export
@checked
def penalty_of(
    task: Task,
    k: int,  # index of the recurrent weight: each has an embedding of its own
    layer: nn.Module,
    weight: str,  # the weight's name in `layer`
    space: Manifold,
    embedding: Tensor | None = None,  # (S, N, c), as a phase before has left it; None: drawn
) -> Penalty:
    "The penalty on a task's k-th recurrent weight; an embedding that was left by another phase does not learn any more"
    config, learns = task.config, task.config.train_embedding and embedding is None
    if embedding is None:
        embedding = torch.stack([space.sample(getattr(layer, weight).shape[-1], g) for g in task.generators("embedding", k)])
    return PENALTIES[config.penalty](layer, space, config.inhibitor, config.strength, power=config.power, train_embedding=learns,
                                     weight=weight, embedding=embedding.to(config.device), generator=stream(config.seed, "shuffle", k))


@checked
def groups_of(config: Config, model: nn.Module, penalties: nn.ModuleList) -> list:
    "What is trained, as an optimizer takes it: parameters, or groups if embeddings have a learning rate of their own"
    weights, points = ([p for p in part.parameters() if p.requires_grad] for part in (model, penalties))
    if config.embedding_lr is None or not points:
        return [*weights, *points]
    return [{"params": weights}, {"params": points, "lr": config.embedding_lr}]


# %% [markdown]
# A sparsifier is told the geometry, whether it asks for it or not: blocks of neurons, prices of weights, and where a price is infinite. Where the penalty asks one price of all weights, or none, the prices are those of the geometry.

# %%
#| export
@checked
def prices_of(penalty: Penalty, config: Config) -> Tensor:
    "Prices of a weight (S, N, N), for sparsifiers that ask what is cheap"
    if config.penalty in ("none", "l1", "l2"):
        return inhibitor(config.inhibitor)(penalty.manifold.distance(penalty.embedding)).to(penalty.weight)
    return penalty.coefficients.detach()


@checked
def shares_of(config: Config) -> str | dict[str, float]:
    "How zeros are shared out among the matrices: the rule's name, or each matrix' share in another run"
    if config.shares in SHARES:
        return config.shares
    masks = named(read_weights(Path(config.shares) / "train.safetensors"), "mask.")
    return {name: 1 - mask.double().mean().item() for name, mask in masks.items()}


@checked
def blocks_of(task: Task, k: int, penalty: Penalty) -> Tensor:
    "The block of each neuron (S, N)"
    embedding = penalty.embedding
    if task.config.order == "random":
        embedding = torch.stack([torch.rand(embedding.shape[1], 1, generator=g) for g in task.generators("order", k)])
    elif not penalty.manifold.trainable:  # points are indices; neighbours are told from where they are drawn
        embedding = penalty.manifold.chart(embedding)
    return torch.stack([geometric_blocks(points, task.config.block or 1) for points in embedding])


# %%
#| export
@checked
def sparsifier_of(task: Task, model: nn.Module, penalties: Sequence[Penalty]) -> Sparsifier:
    "The sparsifier of the phase `train`"
    config, names = task.config, {id(p): name for name, p in model.named_parameters()}
    weights = [names[id(penalty.weight)] for penalty in penalties]
    allowed = {name: mask for name, penalty in zip(weights, penalties, strict=True) for mask in penalty.masks().values()}
    return sparsifier(config.sparsifier)(
        model, config.sparsity, config.epochs, config.schedule, shares=shares_of(config), heal=config.heal, replicas=config.seeds,
        blocks={name: blocks_of(task, k, penalty) for k, (name, penalty) in enumerate(zip(weights, penalties, strict=True))} if config.block else None,
        prices={name: prices_of(penalty, config) for name, penalty in zip(weights, penalties, strict=True)},
        allowed=allowed, generator=stream(config.seed, "sparsifier"))


@checked
def redrawn(task: Task, model: nn.Module, tickets: dict[str, Tensor]) -> Sparsifier:
    "A sparsifier that keeps to the masks of `tickets`, permuted if the config says so; the model's weights are drawn already"
    config = task.config
    mode, scale = "shuffled" if config.ticket == "shuffled" else "redraw", "left" if config.ticket == "rescaled" else "dense"
    masks = reinitialize(model, named(tickets, "mask."), mode, scale=scale, init=lambda model: None, generator=stream(config.seed, "ticket"), replicas=config.seeds)
    return MagnitudePruner.from_masks(model, masks, replicas=config.seeds)


# %% [markdown]
# What is kept of a phase is told by names: `mask.` and `regularizer.` before those of weights.

# %%
#| export
@checked
def named(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    "The entries whose names begin with `prefix`, without it"
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


# %%
#| export
@checked(finite=False)
class Phase(Trainer):
    "The trainer of one phase of a task, `train` or `lottery`"

    def __init__(
        self,
        task: Task,
        name: str = "train",  # "train", or "lottery": new weights under the masks of `tickets`
        tickets: dict[str, Tensor] | None = None,  # what the phase `train` has left: `Run.weights`
        callbacks: Iterable[Callback] = (),  # that act after the task's own
    ):
        config = task.config
        self.task, self.name, self.stop = task, name, StopDiverged(config.seeds)
        self.uses: dict[str, float] | None = None
        model = task.model(task.generators("weights", "train" if config.ticket == "original" else name)).to(config.device)
        where = checked_recurrent(task, model)
        spaces = manifolds_of(config.manifold, len(where)) if where else []
        left = [named(tickets or {}, f"regularizer.{k}.").get("embedding") for k in range(len(where))]
        self.penalties: Any = nn.ModuleList(penalty_of(task, k, *where[k], spaces[k], left[k]) for k in range(len(where)))
        self.sparsifier = sparsifier_of(task, model, self.penalties) if tickets is None else redrawn(task, model, tickets)  # type: ignore[arg-type]  # a ModuleList of them
        optimizer, self.schedule = task.optimizer(groups_of(config, model, self.penalties))
        super().__init__(model, task.loss, optimizer, [*self.own_callbacks(), *callbacks], replicas=config.seeds, accumulate=task.accumulate)

    def own_callbacks(self) -> Iterator[Callback]:
        "Those that the config asks for"
        task, config = self.task, self.task.config
        yield Penalize(*self.penalties, kind=config.ramp, epochs=config.epochs)
        if task.clip is not None:
            yield Clip(task.clip)
        yield Sparsify(self.sparsifier)
        if config.sparse_products != "off" and config.sparsity:
            yield SparseProducts(self.sparsifier, config.batch, 2**16 if config.sparse_products == "auto" else 1)
        if self.schedule is not None:
            yield LearningRate(self.schedule)
        yield self.stop

    def pass_epoch(self) -> Tensor:  # (S,) of NaN
        "An epoch without steps: masks and metrics of seeds that have all diverged"
        call(self, "before_epoch")
        self.mean_loss, self.epochs = torch.full((len(self.stop.diverged),), math.nan), self.epochs + 1
        call(self, "after_epoch")
        return self.mean_loss

    def next_epoch(self) -> Tensor:  # (S,)
        "One epoch on the task's data; the mean loss of each seed"
        if all(self.stop.diverged):
            return self.pass_epoch()
        config, batches = self.task.config, self.task.batches(self.task.generators("data", self.name, self.epochs))
        chance = stream(config.seed, "chance", self.name, self.epochs).initial_seed()
        if self.sparsifier.generator is not None:
            self.sparsifier.generator.manual_seed(chance)
        with torch.random.fork_rng([] if config.device == "cpu" else None):
            torch.manual_seed(chance)  # for layers that draw, such as dropout
            return self.epoch(batches if config.device == "cpu" else prefetch(batches), config.batches)


# %% [markdown]
# What is known of an epoch, and what is left of a phase. Multiplications are counted, since zeros that cost as much as weights would be no gain: those of one example at inference, and those of the epoch's training.

# %%
#| export
@checked
def costs_of(phase: Phase) -> dict[str, Tensor]:
    "Multiplications by weights of each seed: `inference` for an example, `training` for an epoch, and the dense network's; {} if a layer's are not known"
    config, task = phase.task.config, phase.task
    if phase.uses is None:
        batch = next(iter(task.batches(task.generators("uses"))))
        try:
            phase.uses = weight_uses(phase.model, lambda: task.loss(phase.model, batch), config.batch)
        except ValueError:  # a layer that nothing is known of
            phase.uses = {}
    if not phase.uses:
        return {}
    dense_gradients = 1 / config.batches if phase.sparsifier.needs_gradient else 0.0
    each = multiplications(phase.model, phase.uses, phase.sparsifier.masks, dense_gradients, config.seeds)
    return {name: cost * (config.batch * config.batches if "training" in name else 1) for name, cost in each.items()}


# %%
#| export
@checked
def checked_recurrent(task: Task, model: nn.Module) -> list[tuple[nn.Module, str]]:
    "The recurrent weights that a task names; ValueError if there are none to penalize"
    where = task.recurrent(model)
    if not where and task.config.penalty != "none":
        raise ValueError(f"{type(task).__name__}.recurrent names no weight, so there is nothing to penalize: return pairs of a layer and its weight's name, or set penalty='none'")
    return where


@checked
def checked_metrics(task: Task, found: Any) -> dict[str, Tensor]:
    "What `evaluate` returned; TypeError or ValueError unless it is a number for each seed, and the task's metric is among them"
    kind, seeds = type(task).__name__, task.config.seeds
    if not isinstance(found, dict):
        raise TypeError(f"{kind}.evaluate returned {type(found).__name__}; return a dict of tensors, each with a number for each of the {seeds} seeds")
    for name, value in found.items():
        if not isinstance(value, Tensor) or value.shape != (seeds,):
            raise ValueError(f"{kind}.evaluate returned {name}={tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__}; it is a tensor with a number for each of the {seeds} seeds, of shape ({seeds},)")
    if task.metric not in {*found, "loss"}:
        raise ValueError(f"{kind}.evaluate returned {', '.join(found) or 'nothing'}, and its metric is {task.metric!r}: return that too, or set `metric`")
    return found


# %%
#| export
@checked
@torch.no_grad()
def metrics_of(phase: Phase) -> dict[str, Any]:
    "One line of metrics.jsonl; what is not finite is written as null, and so are all scores of a seed that diverged"
    phase.model.eval()
    penalty = sum((penalty.penalty() for penalty in phase.penalties), torch.zeros(len(phase.stop.diverged)))
    scores = {"loss": phase.mean_loss, "penalty": penalty, **checked_metrics(phase.task, phase.task.evaluate(phase.model))}
    values = {name: value.tolist() for name, value in {"sparsity": phase.sparsifier.sparsity(), **costs_of(phase)}.items()}
    lists = {name: [None if lost else x for x, lost in zip(value.tolist(), phase.stop.diverged, strict=True)] for name, value in scores.items()} | values
    return {"phase": phase.name, "epoch": phase.epochs - 1, **{name: [x if x is not None and math.isfinite(x) else None for x in value] for name, value in lists.items()}}


@checked
def tensors_of(phase: Phase) -> dict[str, Tensor]:
    "Weights by name, `mask.NAME` for each pruned one, and each penalty's state as `regularizer.K.NAME`"
    tensors = {**phase.model.state_dict(),
               **{f"mask.{name}": mask for name, mask in phase.sparsifier.masks.items()},
               **{f"regularizer.{name}": value for name, value in phase.penalties.state_dict().items()}}
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


# %% [markdown]
# Batches take time too. While a GPU trains, the processor is free, so a thread makes the next batch meanwhile. On a processor such a thread would take a core from the products
# (the chapter [navigation](navigation.ipynb) has measured that).

# %%
#| export
@checked
def prefetch(batches: Iterator[Any]) -> Iterator[Any]:
    "The same batches; while one is in use, a thread makes the next"
    with ThreadPoolExecutor(max_workers=1) as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch


# %%
test_eq(list(prefetch(iter("abc"))), ["a", "b", "c"])
test_fail(lambda: list(prefetch(1 / n for n in (2, 1, 0))), contains="division by zero")  # what goes wrong in the thread is not lost


# %% [markdown]
# ## A whole run
#
# `fit` trains one phase after the other, each from where its folder says. The last callback is the run's own: it writes down metrics and checkpoint, so that a run that was killed begins again
# at the end of the last epoch that it completed. Meanwhile the folder is [locked](files.ipynb).
#
# Tickets of several kinds come from one pruned network, and what the phase `train` finds does not depend on what follows. If a complete run beside this one differs in its lottery alone, its
# first phase is taken over.

# %%
#| export
@checked
def taken_over(run: Run) -> dict[str, Any] | None:
    "The state at the end of the phase `train`, whose weights are copied from a complete run that differs in its lottery alone; None if there is none"
    if not run.config.lottery:
        return None
    for other in [Run(replace(run.config, lottery=lottery, ticket=ticket), run.task, run.data) for lottery in (False, True) for ticket in TICKETS]:
        try:
            if other.path == run.path or not is_complete(other):
                continue
            lines, weights = [line for line in other.history if line["phase"] == "train"], other.weights("train")
        except (ValueError, OSError):
            continue  # it is no help, and no harm
        write_weights(run.path / "train.safetensors", weights, run.path.name)
        lost = [how if loss is None else None for how, loss in zip(other.result["diverged"], lines[-1]["loss"], strict=True)]
        return {"phase": "lottery", "history": lines, "diverged": lost, "train_of": other.path.name}
    return None


# %%
#| export
@checked
class Record(Callback):
    "Writes an epoch's metrics and a checkpoint into the run's folder"

    def __init__(self, run: Run):
        self.run, self.start, state = run, time.perf_counter(), load_state(run)
        if state is None or (state["phase"] != "train" and not (run.path / "train.safetensors").exists()):
            state = taken_over(run) or {"phase": "train", "history": []}
        self.state = {"diverged": [None] * run.config.seeds, "seconds": 0.0, **state}
        write_history(run, state["history"])

    def seconds(self) -> float:
        "What the run has taken so far, in all its processes"
        return self.state["seconds"] + time.perf_counter() - self.start

    def resume(self, phase: Phase) -> None:
        "Take the phase to where the last checkpoint was, if it is of that phase; a seed that diverged in a phase before stays out"
        phase.stop.diverged = list(self.state["diverged"])
        if "parts" in self.state and self.state["phase"] == phase.name:
            phase.load_state_dict(self.state.pop("parts"))

    def after_epoch(self, phase: Phase) -> None:
        line = metrics_of(phase)
        self.state["history"].append(line)
        if hasattr(phase.schedule, "observe"):
            phase.schedule.observe(line)
        self.state |= {"phase": phase.name, "diverged": list(phase.stop.diverged)}
        save_state(self.run, {**self.state, "seconds": self.seconds(), "parts": phase.state_dict()})


# %%
#| export
@checked
def last_of(phase: PhaseName, history: list[dict[str, Any]]) -> dict[str, Any]:
    "The metrics that a phase ends with; multiplications of training are those of all its epochs"
    lines = [{name: value for name, value in line.items() if name != "phase"} for line in history if line["phase"] == phase]
    trained = {name: [sum(seed) for seed in zip(*(line[name] for line in lines), strict=True)] for name in ("training", "dense_training") if name in lines[-1]}
    return lines[-1] | trained


# %%
#| export
BAR = "{desc}: {percentage:.0f} % {bar} {remaining} left"
TOLD = {"train": "first training", "lottery": "ticket"}  # what a bar calls each phase


@checked
def train_phases(
    task: Task,
    progress: bool | str = True,  # show a progress bar; a text stands in it too, such as "run 2 of 3"
    callbacks: Iterable[Callback] = (),  # that act after the task's own, and before the epoch is written down
) -> None:
    "All phases of a run whose folder is locked, from where its checkpoint says"
    config, run = task.config, task.run
    sweep(run.path, "result.json")
    begin(run)
    record = Record(run)
    with tqdm(total=len(run.phases) * config.epochs * config.batches, initial=len(record.state["history"]) * config.batches,
              disable=not progress, unit="step", desc=label_of(config), bar_format=BAR) as bar:
        for name in run.phases[run.phases.index(record.state["phase"]):]:
            bar.set_description_str(", ".join([label_of(config), *([TOLD[name]] if config.lottery else []), *([progress] if isinstance(progress, str) else [])]))
            phase = Phase(task, name, run.weights("train") if name == "lottery" else None, [*callbacks, Progress(bar), record])
            record.resume(phase)
            while phase.epochs < config.epochs:
                phase.next_epoch()
            write_weights(run.path / f"{name}.safetensors", tensors_of(phase), run.path.name)
    source = {"train_of": record.state["train_of"]} if "train_of" in record.state else {}
    write_result(run, {"phases": {name: last_of(name, record.state["history"]) for name in run.phases}, "diverged": record.state["diverged"], **source,
                       "seconds": round(record.seconds(), 1), "torch": torch.__version__, "modreg": modreg.__version__})


# %%
#| export
@checked
def fit(
    task: Task,
    progress: bool | str = True,  # show a progress bar; a text stands in it too, such as "run 2 of 3"
    callbacks: Iterable[Callback] = (),  # that act after the task's own, and before the epoch is written down; they must change no number
) -> Run:  # the complete run; one that was complete before is returned at once
    "Train, make sparse and retrain as `task.config` says; RunInUse if another process does, DamagedFile or OSError in words if a file cannot be used"
    run = task.run
    if is_complete(run):
        tidy_after(run)
        return run
    with locked(run.path):
        if not is_complete(run):
            train_phases(task, progress, callbacks)
        tidy(run)
    return run


# %% [markdown]
# ## A task small enough to read
#
# *Remember one number.* The input is a number and then silence; the network must say the number at the end.

# %%
#| export
@dataclass(frozen=True, kw_only=True)
class RememberConfig(Config):
    "Settings of `Remember`"

    steps: int = 4  # how long to remember
    task: ClassVar[str] = "remember"
    scales: ClassVar = {name: dict(hidden=32, batch=32, batches=50, epochs=epochs, lr=5e-3, strength=1e-4) for name, epochs in (("tiny", 5), ("small", 20))}


# %%
#| export
@checked
class Remember(Task):
    "Hold a number for `config.steps` steps: a task small enough to read, for examples and tests"

    Config = RememberConfig
    config: RememberConfig
    metric, label = "rmse", "RMSE"

    def limits(self):
        return {"always 1/2": 12**-0.5}

    def model(self, generators):
        sizes: dict[str, Any] = dict(replicas=self.config.seeds, generator=generators)
        return nn.ModuleDict(dict(
            rnn=RNN(1, self.config.hidden, nonlinearity="relu", **sizes), out=Linear(self.config.hidden, 1, **sizes)))

    def recurrent(self, model):
        return [(model["rnn"], "weight_hh_l0")]

    def batches(self, generators):
        for _ in range(self.config.batches):
            yield torch.stack([torch.rand(self.config.batch, generator=g) for g in generators])

    def loss(self, model, number):
        x = torch.zeros(len(number), self.config.steps, self.config.batch, 1)
        x[:, 0, :, 0] = number
        said = model["out"](model["rnn"](x)[0][:, -1])[..., 0]
        return ((said - number) ** 2).mean(-1)

    def evaluate(self, model):
        number = torch.rand(self.config.batch, generator=stream(0, "test")).expand(self.config.seeds, -1)
        return {"rmse": self.loss(model, number).sqrt()}


# %% [markdown]
# Train three seeds to 80 % zeros, then the lottery tickets.

# %%
folder = tempfile.mkdtemp()
config = RememberConfig(scale="tiny", device="cpu", sparsity=0.8, out=folder)
run = fit(Remember(config), progress=False)
for phase, last in run.result["phases"].items():
    print(f"{phase:8} {last['sparsity'][0]:.1%} zeros, RMSE", *[f"{rmse:.3f}" for rmse in last["rmse"]])

# %%
#| fig-alt: "RMSE of three seeds over epochs: it falls to nearly 0, jumps up at a dotted line where the lottery ticket begins, and falls again."
fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
history = run.history
ax.plot([line["rmse"] for line in history], "o-")
ax.axvline(config.epochs - 0.5, color="0.5", linestyle=":")
ax.margins(y=0.15)  # room for the word
ax.text(config.epochs - 0.4, ax.get_ylim()[1], "lottery", va="top", color="0.5")
ax.set(xlabel="epoch", ylabel="RMSE, one line a seed")
plt.show()

# %% [markdown]
# The same config again costs nothing:

# %%
before = (run.path / "result.json").stat().st_mtime_ns
fit(Remember(config), progress=False)
test_eq((run.path / "result.json").stat().st_mtime_ns, before)


# %% [markdown]
# Another ticket of the same networks costs its own phase alone, and has the numbers that it has without a run beside it:

# %%
class Counts(Callback):
    "How many epochs are computed"

    epochs = 0

    def before_epoch(self, trainer):
        self.epochs += 1


counts, other = Counts(), replace(config, ticket="original")
beside = fit(Remember(other), progress=False, callbacks=[counts])
test_eq((counts.epochs, beside.result["train_of"]), (config.epochs, run.path.name))
alone = fit(Remember(replace(other, out=tempfile.mkdtemp())), progress=False, callbacks=[counts])
test_eq((counts.epochs, beside.history), (3 * config.epochs, alone.history))
for phase in ("train", "lottery"):
    mine, theirs = beside.weights(phase), alone.weights(phase)
    assert mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


# %% [markdown]
# ## Killed and resumed
#
# *Predict:* the process dies in epoch 2 and is started again. Will the weights agree to six digits, or in every bit?

# %%
class Dies(Callback):
    "A machine that fails"

    left = 2 * config.batches + 7  # steps until the end

    def before_step(self, trainer):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


elsewhere = Remember(replace(config, out=tempfile.mkdtemp()))
try:
    fit(elsewhere, progress=False, callbacks=[Dies()])
except KeyboardInterrupt:
    pass
test_eq(len(elsewhere.run.history), 2)
resumed = fit(elsewhere, progress=False)
test_eq(resumed.history, run.history)
for phase in ("train", "lottery"):
    whole, again = run.weights(phase), resumed.weights(phase)
    assert all(torch.equal(whole[name], again[name]) for name in whole)

# %% [markdown]
# In every bit, on a CPU. On a GPU some kernels add in an order that varies, so there the promise is one of tolerance.

# %% [markdown]
# ## Masks stay masks
#
# In both phases exactly the promised share of weights is zero, in every seed, and the lottery's zeros are those of training.

# %%
train, lottery = run.weights("train"), run.weights("lottery")
masks = {name: mask for name, mask in train.items() if name.startswith("mask.")}
total = sum(mask[0].numel() for mask in masks.values())
for tensors in (train, lottery):
    zeros = sum((tensors[name.removeprefix("mask.")] == 0).flatten(1).sum(1) for name in masks)
    assert (zeros >= round(0.8 * total)).all()
    assert all((tensors[name.removeprefix("mask.")][~mask] == 0).all() for name, mask in masks.items())
    test_eq(sum((~m).flatten(1).sum(1) for m in masks.values()).tolist(), [round(0.8 * total)] * 3)


# %% [markdown]
# ## Two of three go on
#
# *Predict:* in one step of the third epoch a single gradient of the second seed is not a number. What is left of that seed's epoch, and what do the other two notice?

# %%
class Poison(Callback):
    "One bad number"

    left = 2 * config.batches + 7

    def after_backward(self, trainer):
        if self.left == 0:
            trainer.model["rnn"].weight_ih_l0.grad[1, 0, 0] = math.nan
        self.left -= 1


poisoned = fit(Remember(replace(config, out=tempfile.mkdtemp())), progress=False, callbacks=[Poison()])
print("second seed: {phase}, epoch {epoch}, step {step}: {cause}".format(**poisoned.result["diverged"][1]))
for ours, whole in zip(poisoned.history, run.history, strict=True):
    test_eq([ours["rmse"][k] for k in (0, 2)], [whole["rmse"][k] for k in (0, 2)])
    test_eq([ours["rmse"][1] is None, ours["sparsity"]], [ours["phase"] == "lottery" or ours["epoch"] >= 2, whole["sparsity"]])
for name, weight in poisoned.weights().items():
    assert torch.equal(weight[[0, 2]], run.weights()[name][[0, 2]])
    assert weight.isfinite().all()

# %% [markdown]
# Nothing, in any bit. The second seed has no score from then on, in no phase. Its weights are those before the epoch, within masks that grow as if nothing had happened, so that its sparsity is true.

# %% [markdown]
# A seed is the same model alone as in company, to rounding:

# %%
alone = fit(Remember(replace(config, seeds=1, seed=1, lottery=False)), progress=False)
test_close(alone.result["phases"]["train"]["rmse"][0], run.result["phases"]["train"]["rmse"][1], eps=1e-4)


# %% [markdown]
# ## Exercise 1: a metric of your own
#
# *10 min, medium.* A root mean square does not tell whether a network says too much or too little. Have `Remember` also report `bias`, the mean of what it says minus what it should say, of each seed.

# %%
class Biased(Remember):
    "`Remember` with one metric more: bias (S,), the mean of what a network says minus what it should say"
    def evaluate(self, model):
        raise NotImplementedError


# %%
#| fold How it is checked
short = replace(config, epochs=2, lottery=False, out=tempfile.mkdtemp())


def silent_bias():
    "Bias of a network whose readout says nothing but 0"
    task = Biased(short)
    model = task.model(task.generators("weights", "train"))
    with torch.no_grad():
        for parameter in model["out"].parameters():
            parameter.zero_()
        return task.evaluate(model)["bias"]


with exercise("the metrics of Remember, and bias beside them; a number for each seed: keep the first dimension", lambda: draw_bars({"bias of a network that says 0": silent_bias()[0]} | {f"bias after two epochs, seed {k}": bias for k, bias in enumerate(fit(Biased(short), progress=False).result["phases"]["train"]["bias"])}, "too little or too much")) as expect:
    expect(silent_bias, gives=torch.full((short.seeds,), -0.5), within=0.15)
    expect(lambda: len(fit(Biased(short), progress=False).result["phases"]["train"]["rmse"]), gives=short.seeds, name="the number of root mean squares")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# class Biased(Remember):
#     def evaluate(self, model):
#         number = torch.rand(self.config.batch, generator=stream(0, "test")).expand(self.config.seeds, -1)
#         x = torch.zeros(len(number), self.config.steps, self.config.batch, 1)
#         x[:, 0, :, 0] = number
#         said = model["out"](model["rnn"](x)[0][:, -1])[..., 0]
#         return super().evaluate(model) | {"bias": (said - number).mean(-1)}
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: one of three
#
# *5 min, easy.* Give the config that trains the `k`-th model of a run alone, from the same weights on the same data.

# %%
def the_kth(config, k):
    "The config that trains the k-th model of a run alone"
    raise NotImplementedError


# %%
#| fold How it is checked
def drawn(config):
    "First numbers of each seed's weights"
    return [torch.rand(5, generator=one) for one in Remember(config).generators("weights", "train")]


with exercise("seeds of a run follow config.seed: how many seeds are there now, and which is the first?", lambda: draw_matrices(of_all=torch.stack(drawn(config)), each_alone=torch.cat([torch.stack(drawn(the_kth(config, k))) for k in range(3)]))) as expect:
    for k in range(3):
        expect(lambda: drawn(the_kth(config, k)), gives=drawn(config)[k : k + 1], name=f"the weights of model {k} alone")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def the_kth(config, k):
#     return replace(config, seeds=1, seed=config.seed + k)
# ```
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - A learning rate that falls to nothing while sparsity rises cannot heal what the last epochs prune. Navigation learned at such a rate at first, and now at the paper's constant one.
# - The first toy task was not learned by every seed, so its table showed luck. `Remember` is learned by all.
# - Two processes that were started on one run wrote over each other's files, until one crashed.
# - A task whose `recurrent` named no weight had a penalty of 0, as if it had paid nothing.
#
# The published scripts seed a part of what they draw ([reproduction](reproduction.ipynb)), so most runs of theirs cannot be repeated. Their logged sparsity counts weights below a thousandth;
# here a zero is a zero. The lottery phase is the paper's (section 4): masks kept, all weights drawn anew, the same regularizer,
# no further pruning, and a trained embedding held fast.
#
# ## Recall and think
#
# <details><summary>Recall: where do random numbers come from?</summary>
#
# From streams that are named by seed and purpose, so that nothing has to be remembered.
#
# </details>
#
# <details><summary>Recall: what does the phase of the lottery get from the one before?</summary>
#
# Masks and embeddings; its weights are new.
#
# </details>
#
# <details><summary>Think: why is a run on a GPU not the same to the last bit?</summary>
#
# Some kernels add in an order that varies, and sums round.
#
# </details>
#
# **References.** Frankle and Carbin, *The lottery ticket hypothesis* (2019).
