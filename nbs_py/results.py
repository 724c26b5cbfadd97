# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Results
#
# > What runs have found, in small files that are found again by settings

# %% [markdown]
# *Reading 10 min, exercises 8 min. To skip at a first reading:* all of it, until you need it.
#
# After this chapter you can
#
# - keep what a run has found, without its weights, in a line of text,
# - ask for the result of a setting, whoever computed it,
# - trace a number in a table to the run that made it.
#
# The question: *a folder of runs weighs gigabytes, and the table that comes of it a few lines. What is the least that still says where each number comes from?*
#
# ```
# build/runs/navigation-1a2b3c4d5e6f/     modreg/data/results/navigation.jsonl
#     config.json  result.json   ───>     {"run": "navigation-1a2b3c4d5e6f", ...}
#     train.safetensors  ...              a line a run
# ```

# %%
#| default_exp lab.results

# %%
#| export
import argparse
import json
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import modreg
from modreg.geometry.arguments import checked
from modreg.lab.files import rounded, write_whole
from modreg.lab.runs import PhaseName, Run
from modreg.lab.settings import Config, about, decisive
from modreg.lab.training import Task

# %%
#| hide
import tempfile
from dataclasses import replace

from fastcore.test import test_eq, test_fail

from modreg.book.exercises import draw_bars, exercise
from modreg.lab.training import Remember, RememberConfig, fit

# %% [markdown]
# ## A record
#
# *Predict:* which of a run's settings must a record hold?
#
# Those that decide its result, and of them only those that differ from what changes nothing: the same that name its folder. So a record of last year still answers for a setting, though fields have come since.

# %%
#| export
Record = dict[str, Any]  # run, task, settings, phases, seconds, …


def _found(result: dict[str, Any]) -> Record:
    "What a record takes from result.json"
    return {name: result[name] for name in ("modreg", "torch", "seconds", "diverged", "train_of", "phases") if name in result}


@checked
def record(run: Run) -> Record | None:  # None of a run that is not complete
    "What a run has found, and what made it"
    result = run.result
    if result is None:
        return None
    made_by = {"run": run.path.name, "task": run.config.task, "class": run.task, "data": run.data, "scale": run.config.scale, "settings": decisive(run.config)}
    return made_by | _found(result)


# %%
folder = Path(tempfile.mkdtemp())
config = RememberConfig(scale="tiny", device="cpu", out=str(folder / "runs"), seeds=2, sparsity=0.8)
run = fit(Remember(config), progress=False)
kept = record(run)
test_eq((kept["run"], kept["settings"]["sparsity"]), (run.path.name, 0.8))
test_eq(len(kept["phases"]["lottery"]["rmse"]), 2)


# %% [markdown]
# Run folders can be read without the task that filled them, and without its data: `config.json` has all that a record needs.

# %%
#| export
def _settings(saved: dict[str, Any], kind: type[Config]) -> dict[str, Any]:
    "The decisive settings of a config that was written down"
    known = {one.name: one for one in fields(kind)}
    return {name: value for name, value in saved.items() if name in known and about(known[name], "decides") and value != about(known[name], "neutral")}


@checked
def records_in(
    folder: Path | str,  # of run folders
    kind: type[Config],  # of the task whose runs are wanted
) -> list[Record]:  # in the order of their names
    "Records of the complete runs of one task"
    found = []
    for path in sorted(Path(folder).glob(f"{kind.task}-*/result.json")):
        result, saved = (json.loads((path.parent / name).read_text(encoding="utf-8")) for name in ("result.json", "config.json"))
        made_by = {"run": path.parent.name, "task": kind.task, "class": saved.get("class", ""), "data": saved.get("data", ""), "scale": saved["scale"], "settings": _settings(saved, kind)}
        found.append(made_by | _found(result))
    return found


# %%
test_eq(records_in(folder / "runs", RememberConfig), [kept])

# %% [markdown]
# ## Files of records
#
# A file holds the records of one task, a line each, sorted by run; collecting again adds what is new. Each is told below which value of the metric its task counts a network as one that has learned. Those that ship with the package were made by `python -m modreg.lab.results navigation --runs build/runs`.

# %%
#| export
RESULTS = Path(modreg.__file__).parent / "data" / "results"


@checked
def read_records(path: Path) -> list[Record]:  # empty if there is no such file
    "Records of a file; ValueError names the line that is none"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(json.loads(line))
            found[-1]["run"], found[-1]["settings"], found[-1]["phases"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}, line {number}: not the record of a run ({error!r}); delete the line and collect again") from error
    return found


# %%
#| export
@checked
def collect(
    path: Path,  # the file of records
    records: Iterable[Record],
) -> int:  # how many were new
    "Add records to a file; a run that is there already is replaced"
    there = {one["run"]: one for one in read_records(path)}
    new = {one["run"]: one for one in records}
    lines = [json.dumps(one | {"phases": rounded(one["phases"], 9)}) for _, one in sorted((there | new).items())]  # any two numbers of single precision differ in nine digits
    if lines:
        write_whole(path, lambda beside: beside.write_text("\n".join(lines) + "\n", encoding="utf-8"))
    return len(new.keys() - there.keys())


# %%
path = folder / "remember.jsonl"
other = fit(Remember(replace(config, penalty="none", lottery=False)), progress=False)
test_eq([collect(path, [record(run)]), collect(path, [record(run), record(other)])], [1, 1])
test_eq({one["run"] for one in read_records(path)}, {run.path.name, other.path.name})
(folder / "broken.jsonl").write_text('{"run": 1}\n')
test_fail(lambda: read_records(folder / "broken.jsonl"), contains="line 1")


# %%
#| export
@checked
def learned_below(task: Task) -> float | None:  # None if the task does not say
    "The value of a task's metric below which a network counts as one that has learned: a share of one of its limits"
    if task.learned is None:
        return None
    name, share = task.learned
    return share * task.limits()[name]


# %%
test_eq(learned_below(Remember(config)), None)


# %% [markdown]
# ## Asking for a setting
#
# A table asks for configs. A record answers if its settings are the same, and if it has the phase that is asked for: a ticket's run has also trained the sparse network, so it answers for that, too.

# %%
#| export
@checked
def matching(
    records: Iterable[Record],
    config: Config,
    phase: PhaseName = "train",  # or "lottery"
    free: Iterable[str] = (),  # settings that may be others
) -> list[Record]:
    "The records that answer for a config's phase"
    idle = {*free, *(("lottery", "ticket") if phase == "train" else ())}
    asked = {name: value for name, value in decisive(config).items() if name not in idle}
    return [one for one in records if one["task"] == config.task and phase in one["phases"]
            and {name: value for name, value in one["settings"].items() if name not in idle} == asked]


# %%
#| export
@checked
def find(
    records: Iterable[Record],
    config: Config,
    phase: PhaseName = "train",  # or "lottery"
) -> Record | None:
    "The first record that answers for a config's phase"
    return next(iter(matching(records, config, phase)), None)


@checked
def all_records(
    kind: type[Config],  # of the task
    out: Path | str | None = None,  # a folder of runs, whose results come before those that ship
) -> list[Record]:
    "Every record of a task that is at hand"
    return [*(records_in(out, kind) if out else ()), *read_records(RESULTS / f"{kind.task}.jsonl")]


# %%
found = read_records(path)
test_eq(find(found, replace(config, lottery=False))["run"], run.path.name)
test_eq(find(found, replace(config, penalty="none"), "lottery"), None)
test_eq(find(found, replace(config, penalty="none"))["run"], other.path.name)
test_eq(find(found, replace(config, seeds=3)), None)
test_eq([one["run"] for one in matching(found, replace(config, seeds=3, strength=1.0), free=("seeds", "strength"))], [run.path.name])


# %% [markdown]
# ## The command line

# %%
#| export
@checked
def main(
    arguments: list[str] | None = None,  # of the command line; None: the process' own
) -> None:
    "Collect the results of run folders, but for tiny ones, into the files that ship with the package"
    from modreg.lab.studies import find_task
    parser = argparse.ArgumentParser(prog="python -m modreg.lab.results", description=main.__doc__)
    parser.add_argument("tasks", nargs="+", help="chapters' names, or module:class")
    parser.add_argument("--runs", default="build/runs", help="folder of run folders")
    given = parser.parse_args(arguments)
    for name in given.tasks:
        task = find_task(name)
        kind = task.Config
        found = [one for one in records_in(given.runs, kind) if one["scale"] != "tiny"]
        for one in found:
            saved = json.loads((Path(given.runs) / one["run"] / "config.json").read_text(encoding="utf-8"))
            one["learned_below"] = learned_below(task(kind(**{field.name: saved[field.name] for field in fields(kind) if field.name in saved})))
        print(f"{kind.task}: {len(found)} complete runs in {given.runs}, {collect(RESULTS / f'{kind.task}.jsonl', found)} new")


if __name__ == "__main__" and "__file__" in globals():  # called by name, and not a notebook's cell
    main()


# %% [markdown]
# ## Exercise 1: what did it cost?
#
# *3 min, easy.* Sum the hours that a file of records stands for.

# %%
def hours(records):
    "Hours of all records together, each a dict with its `seconds`"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("3600 seconds are an hour", lambda: draw_bars({"half an hour and one and a half": hours([{"seconds": 1800.0}, {"seconds": 5400.0}]), "the record above": hours([kept])}, "hours")) as expect:
    expect(hours, [{"seconds": 1800.0}, {"seconds": 5400.0}], gives=2.0)


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def hours(records):
#     return sum(one["seconds"] for one in records) / 3600
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: which seeds?
#
# *5 min, easy.* A record's settings leave out what changes nothing, and the first seed is 0 by default. Which seeds has a run trained? (Three, if it does not say.)

# %%
def seeds_of(settings):
    "List of the seeds that a run has trained; its settings, a dict, may have `seed` (else 0) and `seeds` (else 3), or not"
    raise NotImplementedError


# %%
#| fold How it is checked
def picture():
    kinds = {"says nothing": {}, "the record above": kept["settings"], "one, from 100 on": {"seed": 100, "seeds": 1}}
    draw_bars({name: len(seeds_of(settings)) for name, settings in kinds.items()}, "networks of a run")


with exercise("dict.get takes a default; a range from the first on", picture) as expect:
    expect(seeds_of, {}, gives=[0, 1, 2])
    expect(seeds_of, kept["settings"], gives=[0, 1])
    expect(seeds_of, {"seed": 100, "seeds": 1}, gives=[100])

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def seeds_of(settings):
#     first = settings.get("seed", 0)
#     return list(range(first, first + settings.get("seeds", 3)))
# ```
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - The first edition shipped tables of rows, each made by a script with its own idea of what a row is. A number could be traced to a command, not to a run, and when a default changed, rows told of a setting that was no longer theirs.
# - A record is found by its settings and not by its run's name: the name also depends on the data that the run has read, which a reader of a table need not have.
#
# The published code logs to a service whose records can be read, by task and by date; which of them went into which cell of which table is not said.
#
# ## Recall and think
#
# <details><summary>Recall: what does a record hold of a run's settings?</summary>
#
# Those that decide its result and differ from what changes nothing.
#
# </details>
#
# <details><summary>Recall: what does a record lack?</summary>
#
# Weights, and whatever needs them.
#
# </details>
#
# <details><summary>Think: what would you want to know of a number in a table of ten years ago?</summary>
#
# Which settings, code and data made it, and how many others were tried.
#
# </details>
#
# **References.** Sandve et al., *Ten simple rules for reproducible computational research* (2013).
