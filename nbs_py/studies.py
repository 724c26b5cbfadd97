# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Studies
#
# > Many runs for one question, from a command line, in tables that ship with the package

# %% [markdown]
# *Reading 15 min, exercises 15 min. To skip at a first reading:* all of it, until you need it.
#
# After this chapter you can
#
# - run every study whose results this book shows, or the same on a task of your own,
# - stop one at any time, and have it go on where it was,
# - look at trained networks in a way of your own, all of them at once.
#
# The question: *a chapter shows a table of forty networks that somebody trained in a night. How do you get the same table, and how a forty-first row?*
#
# ```
# python -m modreg.lab.studies conditions navigation
#     |
#     +-- none, l1, shuffled, torus, ...    a run for each: computed once, found again
#     |
#     +-- a row for each, as it comes       in modreg/data, which the chapters show
# ```

# %%
#| default_exp lab.studies

# %%
#| export
import argparse
import ast
import importlib
import json
import pkgutil
import resource
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import modreg
from modreg.geometry.arguments import checked, nearest
from modreg.lab.experiments import CONDITIONS, DENSE, PLAIN, SELECTION, recurrent_weights, study
from modreg.lab.runs import Run, write_whole
from modreg.lab.settings import Config
from modreg.lab.training import Phase, Task, fit
from modreg.layers.sparse import filled_blocks, geometric_blocks

# %%
#| hide
import tempfile

import matplotlib.pyplot as plt
import torch
from fastcore.test import test_eq, test_fail

from modreg.book.exercises import draw_curve, draw_matrices, exercise
from modreg.lab.training import Remember
from modreg.sparsity.penalties import display_name

plt.style.use("modreg.data.book")

# %% [markdown]
# ## A table is a file of rows
#
# A study writes each row as soon as it is known, in the place of the row that it was before. *Predict:* a study of seven conditions dies in the fourth. What does it cost to call it again?
#
# Nothing but what was under way: each run is a folder that is found again, and each row replaces its older self.

# %%
#| export
RESULTS = Path(modreg.__file__).parent / "data"


@checked
def keep(
    name: str,  # of the results
    row: dict[str, Any],
    *key: str,  # what tells a row from others
) -> None:
    "Put a row into the results, in the place of the one that agrees with it in all of `key`, or at the end; and print it"
    path = RESULTS / f"{name}.json"
    rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    same = [k for k, old in enumerate(rows) if all(old.get(part) == row.get(part) for part in key)]
    rows[same[0] if same else len(rows):] = [row, *rows[same[0] + 1:]] if same else [row]
    write_whole(path, lambda beside: beside.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8"))
    print(json.dumps(json.loads(json.dumps(row), parse_float=lambda digits: float(f"{float(digits):.4g}"))), flush=True)  # for readers, four digits


# %%
folder = RESULTS = Path(tempfile.mkdtemp())  # of this notebook's results
for error in (3, 2):
    keep("example", {"condition": "torus", "error": error}, "condition")
test_eq(json.loads((RESULTS / "example.json").read_text()), [{"condition": "torus", "error": 2}])


# %% [markdown]
# Tasks are named on the command line: one of this book, or a class of yours. So is a setting, whose text becomes a number where it is one.

# %%
#| export
@checked
def found(
    text: str,  # as in "my_package.my_module:MyTask"
) -> Any:
    "What a name stands for; ValueError if there is no such thing"
    module, _, name = text.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ModuleNotFoundError, AttributeError) as error:
        raise ValueError(f"{text}: {error}; write module:name, as in modreg.tasks.navigation:Navigation") from error


# %%
#| export
@checked
def find_task(
    name: str,  # "navigation", …, or as in "my_package.my_module:MyTask"
) -> type[Task]:
    "A task's class; ValueError if there is none"
    if ":" in name:
        return found(name)
    try:
        module = importlib.import_module(f"modreg.tasks.{name}")
        return next(kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Task) and kind.Config.task == name)
    except (ModuleNotFoundError, StopIteration) as error:
        chapters = [one.name for one in pkgutil.iter_modules([str(Path(modreg.__file__).parent / "tasks")])]
        raise ValueError(f"no task is called {name!r}; {nearest(name, chapters)}name one of the chapters, such as navigation, or a class of yours, as in my_module:MyTask") from error


@checked
def value(text: str) -> Any:
    "A number, a truth value or None where `text` is one, else `text`"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


@checked
def base(task: type[Task], setting: dict[str, Any], **others: Any) -> Config:
    "The config of a study: the task's small scale on a processor, but for what was said"
    return task.Config(**{"scale": "small", "device": "cpu", "out": "build/runs"} | others | setting)


# %%
test_eq(find_task("modreg.lab.training:Remember").__name__, "Remember")
test_eq([value(text) for text in ("0.5", "True", "torus*circle", "None")], [0.5, True, "torus*circle", None])
test_fail(lambda: find_task("navigatoin"), contains="no task is called 'navigatoin'")

# %% [markdown]
# ## All conditions on equal terms
#
# `python -m modreg.lab.studies conditions navigation torus l1 -p init paper` does what the chapter [experiments](experiments.ipynb) calls a study, for each condition in turn. The rows of a table in a chapter come from such a line.

# %%
#| export
USUAL = ("none", "l1", "shuffled", "torus", "sphere", "klein")


@checked
def conditions(task: type[Task], setting: dict[str, Any], names: Iterable[str], strengths: Iterable[float], selection: int) -> None:
    "Every condition, its strength chosen on one seed and its results on others"
    for name in names or USUAL:
        row = {"setting": setting} | study(task, base(task, setting), name, tuple(strengths), selection)
        keep(f"{task.Config.task}_small", row, "setting", "condition")


# %%
tiny = {"scale": "tiny", "out": str(folder / "runs"), "seeds": 2, "epochs": 3, "batches": 20, "sparsity": 0.8}
conditions(Remember, tiny, ["none", "geometric", "torus"], [1e-4], 100)
rows = json.loads((RESULTS / "remember_small.json").read_text())
test_eq([row["condition"] for row in rows], ["none", "geometric", "torus"])

# %%
#| fig-alt: "RMSE under three conditions, a dot a seed."
fig, ax = plt.subplots(figsize=(5, 2.6), layout="constrained")
for x, row in enumerate(rows):
    ax.plot([x] * len(row["sparse"]), row["sparse"], "o", color=f"C{x}")
ax.set(xticks=range(len(rows)), xticklabels=[display_name(row["condition"]) for row in rows], ylabel="RMSE, a dot a seed", ylim=(0, None))
plt.show()


# %% [markdown]
# ## One change at a time
#
# How a small scale was chosen: dense networks without a penalty, on a seed that nothing else reports. And how long a dense network can remember, from both starts, or whatever else is to be varied over the reported seeds.

# %%
#| export
@checked
def changes_of(texts: Iterable[str]) -> list[dict[str, Any]]:
    "Settings as in `lr=3e-3,init=paper`"
    return [{name: value(text) for name, text in (pair.split("=", 1) for pair in change.split(","))} for change in texts]


@checked
def dense(task: type[Task], setting: dict[str, Any], changes: list[dict[str, Any]]) -> None:
    "Dense networks without a penalty, one change a row; the first row changes nothing"
    plain = replace(base(task, setting, seed=200, seeds=1), **DENSE | PLAIN)
    for change in [{}, *changes]:
        one = task(replace(plain, **change))
        result = fit(one, progress=False).result
        keep(f"{task.Config.task}_dense", {"change": change, task.metric: result["phases"]["train"][task.metric][0], "seconds": result["seconds"], **one.limits()}, "change")


@checked
def lengths(task: type[Task], setting: dict[str, Any], starts: Iterable[str], steps: Iterable[int]) -> None:
    "Dense networks without a penalty over sequences of several lengths, from several starts"
    for init in starts:
        for length in steps:
            config = replace(base(task, setting), **DENSE | PLAIN | {"init": init, "steps": length})
            keep(f"{task.Config.task}_lengths", {"init": init, "steps": length, task.metric: fit(task(config), progress=False).result["phases"]["train"][task.metric]}, "init", "steps")


# %%
dense(Remember, {"scale": "tiny", "out": str(folder / "runs"), "epochs": 3}, changes_of(["lr=1e-3", "steps=8,hidden=16"]))


# %% [markdown]
# ## Blocks, tickets, a curve
#
# Does geometry pay when whole blocks are pruned? Why does a ticket learn, or not? Does the loss fall on a large collection, and what does that take? Each is a handful of runs that differ in one thing.

# %%
#| export
@checked
def blocks(task: type[Task], setting: dict[str, Any], condition: str, sizes: Iterable[int], strengths: Iterable[float]) -> None:
    "Single weights, blocks of neighbours and blocks by lot, pruned to the same sparsity; how full blocks of 16 are"
    ways: list[dict[str, Any]] = [{}, *({"block": size, "order": order} for size in sizes for order in ("geometric", "random"))]
    for way in ways:
        config = replace(base(task, setting, lottery=False), **way)
        row: dict[str, Any] = {"task": task.Config.task, "condition": condition, "setting": setting, "block": None, "order": None} | way
        row |= study(task, config, condition, tuple(strengths))
        experiment = task(replace(config, strength=row["strength"], **CONDITIONS[condition]))
        run = fit(experiment, progress=False)
        weights = [recurrent_weights(experiment, run, seed)[0] for seed in range(config.seeds)]
        filled = [filled_blocks(weight, geometric_blocks(embedding, 16)) for _, weight, embedding in weights]
        keep("blocks", row | {"filled": filled, "sparsity": config.sparsity, "hidden": config.hidden, "metric": task.label}, "task", "condition", "setting", "block", "order")


# %%
#| export
@checked
def tickets(task: type[Task], setting: dict[str, Any], changes: list[dict[str, Any]]) -> None:
    "The tickets of one run, each trained with another change of settings; the metric after each epoch"
    config = base(task, setting, penalty="none", strength=0.0)
    tensors = fit(task(config), progress=False).weights()
    for change in changes:
        phase, curve = Phase(task(replace(config, **change)), "lottery", tensors), []
        while phase.epochs < config.epochs:
            phase.next_epoch()
            phase.model.eval()
            metrics = {name: found.tolist() for name, found in phase.task.evaluate(phase.model).items()}
            if hasattr(phase.schedule, "observe"):
                phase.schedule.observe(metrics)
            curve.append(metrics[task.metric])
        keep(f"{task.Config.task}_tickets", {"change": change, task.metric: curve}, "change")


@checked
def curve(task: type[Task], setting: dict[str, Any], name: str) -> None:
    "A run's loss and metric after each epoch, its seconds, and the most memory that the process has used"
    run = fit(task(base(task, setting)), progress=False)
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    for line in run.history:
        keep(name, {"epoch": line["epoch"], "loss": line["loss"][0], task.metric: line[task.metric][0], "seconds": run.result["seconds"], "megabytes": megabytes}, "epoch")


# %%
tickets(Remember, {"scale": "tiny", "out": str(folder / "runs"), "epochs": 3, "sparsity": 0.9}, changes_of(["ticket=redraw", "ticket=rescaled"]))

# %% [markdown]
# ## Looking at many networks
#
# Some questions are asked of networks that are trained already: do they find their way along a real rat's path, have they grid cells? Whoever asks writes a *look*: a function of a task and its run that returns rows, by the name of the results.
# It is named on the command line, so that it may live anywhere, in a wing further up or in a file of yours.

# %%
#| export
Look = Callable[[Task, Run | None], dict[str, list[dict[str, Any]]]]  # of a task and its run, None for what can be said before training: rows by results


@checked
def survey(task: type[Task], setting: dict[str, Any], names: Iterable[str], sparsities: Iterable[float], looks: Iterable[Look]) -> None:
    "Every condition at every sparsity, looked at in several ways"
    looks, config = list(looks), base(task, setting, lottery=False)

    def look_at(one: Task, run: Run | None, label: dict[str, Any]) -> None:
        for look in looks:
            for name, rows in look(one, run).items():
                for row in rows:
                    keep(name, label | row, "limit", "task", "condition", "sparsity")

    look_at(task(config), None, {})
    for sparsity in sparsities:
        for name in names or CONDITIONS:
            one = task(replace(config, **{"sparsity": sparsity} | CONDITIONS[name] | ({} if sparsity else DENSE)))  # a dense network is the same run whatever would make it sparse
            look_at(one, fit(one, progress=False), {"condition": name, "sparsity": sparsity})


# %%
def reach(task, run):
    "How much of each network's weight is between near neurons"
    if run is None:
        return {}
    _, weight, embedding = recurrent_weights(task, run)[0]
    near = torch.cdist(embedding, embedding) < 2
    return {"reach": [{"share": (weight.abs() * near).sum().item() / max(1e-9, weight.abs().sum().item())}]}


survey(Remember, {"scale": "tiny", "out": str(folder / "runs"), "epochs": 3, "strength": 1e-2}, ["none", "torus", "geometric"], [0.8], [reach])
for name in ("headings", "places"):  # rows of another task stand beside those of the first
    survey(Remember, tiny, ["torus"], [0.8], [lambda task, run, name=name: {"seen": [{"task": name}] if run else []}])
test_eq([(row["task"], row["condition"]) for row in json.loads((RESULTS / "seen.json").read_text())], [("headings", "torus"), ("places", "torus")])

# %% [markdown]
# ## The command line
#
# ```
# python -m modreg.lab.studies conditions navigation none l1 torus -p init paper --strengths 1e-3 1e-2
# python -m modreg.lab.studies dense adding lr=1e-3,hidden=256 init=paper
# python -m modreg.lab.studies lengths adding --starts identity paper --steps 10 25 50
# python -m modreg.lab.studies blocks head_direction --condition circle -p hidden 256
# python -m modreg.lab.studies tickets language ticket=redraw ticket=rescaled anneal=1,ticket=rescaled
# python -m modreg.lab.studies curve speech librispeech -p data librispeech -p epochs 6
# python -m modreg.lab.studies survey navigation --looks modreg.tasks.rats:look modreg.analysis.gridcells:look -p strength 0.1
# ```

# %%
#| export
STUDIES: dict[str, Callable[..., None]] = {"conditions": conditions, "dense": dense, "lengths": lengths, "blocks": blocks, "tickets": tickets, "curve": curve, "survey": survey}
GRID = dict(nargs="+", type=float, default=[1e-3, 1e-2, 1e-1], help="the grid of λ")
NAMES = dict(nargs="*", help=f"of {', '.join(CONDITIONS)}; the usual ones if none is named")
CHANGES = dict(nargs="*", type=lambda text: changes_of([text])[0], help="settings that differ, as in lr=3e-3,init=paper; a row each")
ARGUMENTS: dict[str, dict[str, dict]] = {  # of each study, by its parameters' names
    "conditions": {"names": NAMES, "--strengths": GRID, "--selection": dict(type=int, default=SELECTION, help="the first of the seeds on which λ is chosen")},
    "dense": {"changes": CHANGES},
    "lengths": {"--starts": dict(nargs="+", default=["identity", "paper"]), "--steps": dict(nargs="+", type=int, default=[10, 25, 50, 100, 200, 400])},
    "blocks": {"--condition": dict(default="torus", choices=CONDITIONS), "--sizes": dict(nargs="+", type=int, default=[8, 16], help="neurons in a group"), "--strengths": GRID},
    "tickets": {"changes": CHANGES},
    "curve": {"name": dict(help="of the results")},
    "survey": {"names": NAMES, "--sparsities": dict(nargs="+", type=float, default=[0.0, 0.5, 0.75, 0.9]),
               "--looks": dict(nargs="+", type=found, required=True, help="functions, as in modreg.tasks.rats:look")},
}


# %%
#| export
@checked
def main(
    arguments: list[str] | None = None,  # of the command line; None: the process' own
) -> None:
    "Run one study"
    parser = argparse.ArgumentParser(prog="python -m modreg.lab.studies", description="Many runs for one question; rows go to modreg/data as they come")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, function in STUDIES.items():
        command = commands.add_parser(name, help=function.__doc__, description=function.__doc__)
        command.add_argument("task", help="a chapter's name, or module:class")
        for flag, options in ARGUMENTS[name].items():
            command.add_argument(flag, **options)
        command.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="a setting that differs from the small scale's")
    given = vars(parser.parse_args(arguments))
    setting = {name: value(text) for name, text in given.pop("p")}
    try:
        STUDIES[given.pop("command")](find_task(given.pop("task")), setting, **given)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__" and "__file__" in globals():  # called by name, and not a notebook's cell
    main()

# %%
main(["tickets", "modreg.lab.training:Remember", "ticket=rescaled", "-p", "scale", "tiny", "-p", "epochs", "3", "-p", "out", str(folder / "runs")])


# %% [markdown]
# ## Exercise 1: a look of your own
#
# *10 min, medium.* Write a look that says of each network how many of its neurons hear no other (a row of zeros in the recurrent weight of the first seed).

# %%
def deaf(task, run):
    "Before training (run is None) nothing, {}; after it {'deaf': [{'neurons': n}]}, where n rows of the first seed's recurrent weight are all zero"
    raise NotImplementedError


# %%
#| fold How it is checked
one = Remember(base(Remember, {"scale": "tiny", "out": str(folder / "runs"), "epochs": 3, "sparsity": 0.0, "lottery": False}))
ended = fit(one, progress=False)
with exercise("recurrent_weights(task, run)[0] has the name, the weight and the embedding", lambda: draw_matrices(not_zero=recurrent_weights(one, ended)[0][1] != 0)) as expect:
    expect(lambda: deaf(one, None), gives={}, name="your look before training")
    expect(lambda: deaf(one, ended), gives={"deaf": [{"neurons": 0}]}, name="your look at a dense network")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def deaf(task, run):
#     if run is None:
#         return {}
#     _, weight, _ = recurrent_weights(task, run)[0]
#     return {"deaf": [{"neurons": int((weight == 0).all(1).sum())}]}
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: how many runs?
#
# *5 min, easy.* A study tries each of $k$ strengths on a few seeds for each of $c$ penalties, runs the best on the reported seeds, and beside them one network without a penalty, sparse and dense. How many run folders are there, if the network without a penalty is tried on the selection seed, too?

# %%
def folders(penalties, strengths):
    "How many run folders a study leaves, of so many penalties at so many strengths each"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("each penalty: its strengths and the reported run; without a penalty: selection, sparse, dense", lambda: draw_curve(lambda k: folders(6, k), range(1, 11), "strengths", "run folders of six penalties")) as expect:
    expect(folders, 6, 3, gives=27)
    expect(folders, 1, 1, gives=5)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def folders(penalties, strengths):
#     return penalties * (strengths + 1) + 3
# ```
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - The scripts that wrote results stood among those that time things, under `benchmarks/`, where nobody looked for them, nothing tested them, and each had a copy of the same twenty lines.
# - A script that writes its table at the end loses it all when it is stopped. Rows are kept as they come.
# - Rescaled tickets of language were made by a script of their own; they are a setting now, `ticket="rescaled"`. That script divided by the root of a whole matrix' share, this setting by that of each row.
#
# The published list of runs leaves settings to defaults, and so gives the L1 baseline a penalty of zero and the baseline without regularization that of a Klein bottle. Here a row names all that differs, and each run keeps all of its settings.
#
# ## Recall and think
#
# <details><summary>Recall: what is lost when a study is stopped?</summary>
#
# What was under way: finished runs are found again and rows are kept as they come.
#
# </details>
#
# <details><summary>Recall: what is a look?</summary>
#
# A function of a task and its run that returns rows by the name of the results.
#
# </details>
#
# <details><summary>Think: which study of yours should be a look, and not a new training?</summary>
#
# Any question that can be asked of networks that are there.
#
# </details>
#
# **References.** Sculley et al., *Winner's curse? On pace, progress, and empirical rigor* (2018), on what studies must have in common to be compared.
