# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Sweeps
#
# > A table of the paper from one line: its runs, the choice of its strengths, and a report beside the paper's numbers

# %% [markdown]
# *Reading 25 min, exercises 10 min. To skip at a first reading:* all of it, until you need it.
#
# After this chapter you can
#
# - run a table of the paper with one line, `modreg sweep table8`, and go on with the same line after whatever stopped it,
# - make a sweep of any list of configs, with controls that the paper lacks,
# - say on which seeds a strength was chosen, and trace each number of the report to the run that made it.
#
# The question: *a table is a dozen runs, some of which answer for cells of other tables too. How does it get filled, each run once, and on equal terms for all of its columns?*
#
# ```
#  table 8  ──┐ cells   each run once    a seed of its own   all workers
#  table 9  ──┼──────> jobs ──────> λ for each penalty ──> runs ──> report.html
#  table 10 ──┘                       (if asked)                   beside the paper's
# ```

# %%
#| default_exp lab.sweeps

# %%
#| export
import argparse
import importlib
import json
import math
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import torch

import modreg
from modreg.geometry.arguments import Whole, Within, check, checked, nearest
from modreg.lab.experiments import CONDITIONS, DENSE, SELECTION, TRIALS, best_strength, check_selection, costs, summary, tiny_note
from modreg.lab.files import write_whole
from modreg.lab.paper import Cell, Table, paper_cell, paper_tables, printed
from modreg.lab.results import learned_below
from modreg.lab.settings import about, decisive, duration, label_of
from modreg.lab.statistics import config_of, verdicts
from modreg.lab.studies import find_task, found, value
from modreg.lab.training import Task
from modreg.lab.workers import Crew, Job, Outcome, Pace, done_before, epochs_done, merged, papermill_line, prepared, records_beside, sweep

# %%
#| hide
import tempfile

import matplotlib.pyplot as plt
from fastcore.test import test_eq, test_fail

from modreg.book.exercises import draw_bars, draw_curve, exercise
from modreg.lab.training import Remember, RememberConfig

plt.style.use("modreg.data.book")


# %% [markdown]
# ## The runs of a table
#
# *Predict:* table 8 has 12 cells: four penalties, each dense, 95 % sparse, and as a lottery ticket of the sparse network. How many runs fill it? And how many more fill tables 9 and 10, which have 27 cells?
#
# A cell's settings and the scale make a config. A dense network is the same whatever the sparsifier, and one without a penalty whatever the strength: such runs get the settings that [experiments](experiments.ipynb) gives them, so that they are found again.

# %%
#| export
@checked
def cells_of(
    table: Table,
    also: Iterable[str] = (),  # columns that the paper lacks: names in CONDITIONS
    tickets: Iterable[str] = (),  # kinds of lottery tickets, a row each; none: the scale's
    strengths: Iterable[float] = (),  # columns of a table on sensitivity
) -> list[Cell]:
    "The cells of a table that can be run, and more of their kind"
    rows = {row: [cell for cell in table.cells if cell.row == row] for row in table.rows}
    shared = {row: dict(set.intersection(*(set(cell.settings.items()) for cell in cells))) for row, cells in rows.items()}
    if table.is_sensitivity:
        return [Cell(table.number, row, f"λ = {s:g}", shared[row] | {"strength": s}, cells[0].result, None, None) for row, cells in rows.items() for s in strengths or SENSITIVITY]
    plain = [cell for row, cells in rows.items()
             for cell in (*cells, *(Cell(table.number, row, name, CONDITIONS[name] | shared[row], cells[0].result, None, None) for name in also))]
    return [one for cell in plain for one in (_with_tickets(cell, tickets) if cell.result == "lottery" else [cell])]


# %% [markdown]
# The paper's tables on sensitivity have lost their values of λ, so ours have a grid of their own. A row for another kind of ticket is named for it.

# %%
#| export
SENSITIVITY = tuple(float(f"{10 ** (k / 2):.3g}") for k in range(-8, 2))


def _with_tickets(cell: Cell, tickets: Iterable[str]) -> list[Cell]:
    return [replace(cell, row=cell.row if ticket == "redraw" else f"{cell.row}, {ticket}", settings=cell.settings | {"ticket": ticket}) for ticket in tickets] or [cell]



# %% [markdown]
# With `task` a table is filled by a task of one's own, and any setting of it can be said.

# %%
#| export
@checked
def jobs_of(
    table: str,  # its number in the paper, as in "8"
    task: type[Task] | None = None,  # None: the table's
    scale: str = "small",
    seeds: int = 5,
    also: Iterable[str] = (),  # columns that the paper lacks: names in CONDITIONS
    tickets: Iterable[str] = (),  # kinds of lottery tickets, a row each; none: the scale's
    strengths: Iterable[float] = (),  # columns of a table on sensitivity
    device: str | None = "auto",  # where a worker computes: for it to decide
    **setting: Any,  # settings of all runs that differ from the scale's
) -> list[Job]:
    "The runs that fill a table; ValueError if there is no such table, condition or setting, or if a setting is the table's to give"
    tables, also = paper_tables(), tuple(also)
    if table not in tables:
        near = nearest(table, [f"table{one}" for one in tables])
        raise ValueError(f"table {table!r}; {near}the paper's tables of results are {', '.join(tables)}")
    for name in also:
        if name not in CONDITIONS or tables[table].is_sensitivity:
            raise ValueError(f"also={name!r}; table {table} may have a column more for {'none' if name in CONDITIONS else ', '.join(CONDITIONS)}. {nearest(name, CONDITIONS)}")
    task, cells = task or find_task(tables[table].task), cells_of(tables[table], also, tuple(tickets), tuple(strengths))
    if given := sorted(setting.keys() & {name for cell in cells for name in cell.settings}):
        raise ValueError(f"{given[0]}={setting[given[0]]!r} is given, but the cells of table {table} differ in it: leave it out, or make a list of jobs")
    known = {one.name for one in fields(task.Config)}
    if unknown := sorted(setting.keys() - known):
        raise ValueError(f"no such setting: {', '.join(unknown)}. {nearest(unknown[0], known)}")
    local = "cpu" if device == "auto" else device or "auto"  # for the config, which is made here and computed elsewhere
    return merged(Job(task, config_of(cell, task, scale, **{"seeds": seeds, "device": local} | setting), (cell,), device) for cell in cells)


# %%
folder = Path(tempfile.mkdtemp())
counts = {number: len(jobs_of(number, scale="tiny")) for number in ("8", "9", "10")}
both = merged(job for number in counts for job in jobs_of(number, scale="tiny"))
print(f"runs: {', '.join(f'{count} fill table {number}' for number, count in counts.items())}; {len(both)} fill all three, with {sum(len(job.cells) for job in both)} cells")
test_eq((counts, len(both)), ({"8": 8, "9": 8, "10": 10}, 22))
test_eq(len(jobs_of("8", scale="tiny", also=["distance_shuffled", "random", "geometric"], tickets=["redraw", "rescaled"])), 5 + 2 * 7)
test_fail(lambda: jobs_of("11"), contains="tables of results are 1, 2")
test_fail(lambda: jobs_of("8", also=["randon"]), contains="did you mean 'random'?")
test_fail(lambda: jobs_of("8", sparsity=0.5), contains="the cells of table 8 differ in it")

# %% [markdown]
# Two runs for each penalty: a dense one, and one whose ticket is trained after it. Of table 10's five spaces the torus is that of table 8, and so are the fixed torus of table 9 and its runs.
#

# %% [markdown]
# ## Strengths on equal terms
#
# Each penalty gets the same grid of strengths, tried on seeds that are not reported, at the table's sparsest row, as the chapter [experiments](experiments.ipynb) demands. *Predict:* the best of three strengths is the largest. Is it the best there is?
#
# It may lie beyond. So a choice at the grid's end makes the grid longer, for all conditions. A strength that makes no difference lies at no end: [experiments](experiments.ipynb) has the rule.

# %%
#| export
GRID = (1e-3, 1e-2, 1e-1)  # of strengths, to begin with
EXTENSIONS = 6  # how often a grid may grow


@checked
@dataclass(frozen=True)
class Choice:
    "The strength of a condition"

    condition: str
    tried: dict[float, list[Annotated[float, Within(finite=False)] | None]]  # the task's metric by strength and seed, None where a seed diverged or the run failed
    metric: str

    @property
    def strength(self) -> float:
        "The best"
        return best_strength(self.tried)

    @property
    def at_an_end(self) -> bool:
        "Whether a better one may lie beyond those that were tried; not where none worked"
        return self.strength in (min(self.tried), max(self.tried)) and None not in self.tried[self.strength]


# %%
#| export
@checked
def condition_of(job: Job) -> str:
    "What tells conditions apart whose strengths are chosen"
    idle = {*DENSE, "strength", "seeds", "seed"}
    return json.dumps([job.name, {name: value for name, value in decisive(job.config).items() if name not in idle}], sort_keys=True)


# %%
#| export
@checked
def selection_jobs(
    jobs: Iterable[Job],
    strengths: Iterable[float],
    seed: int = SELECTION,  # the first of some that are not reported
) -> dict[str, dict[float, Job]]:  # by condition and strength
    "The runs by which the strength of each penalty is chosen: a few seeds, at the sparsest row, without a ticket"
    sparsest: dict[str, Job] = {}
    for job in jobs:
        check_selection(job.config, seed)
        if job.config.penalty != "none":
            there = sparsest.setdefault(condition_of(job), job)
            sparsest[condition_of(job)] = max(there, job, key=lambda one: one.config.sparsity)
    return {condition: {s: replace(job, config=replace(job.config, strength=s, seed=seed, seeds=TRIALS, lottery=False), cells=()) for s in strengths}
            for condition, job in sparsest.items()}


def _longer(grid: list[float], choices: Iterable[Choice]) -> list[float]:
    "Strengths beyond an end at which a choice lies"
    best = {choice.strength for choice in choices if choice.at_an_end}
    beyond = [grid[0] ** 2 / grid[1]] * (grid[0] in best) + [grid[-1] ** 2 / grid[-2]] * (grid[-1] in best)
    return [float(f"{s:.4g}") for s in beyond]


# %%
#| export
@checked
def choose(
    jobs: Iterable[Job],  # that are to be reported
    strengths: Iterable[float],  # the grid of λ to begin with
    run: Callable[[list[Job]], list[Outcome]],  # `sweep`, with its crew
    seed: int = SELECTION,  # the first of some that are not reported
) -> tuple[dict[str, Choice], list[Outcome]]:  # by condition; and the runs that were tried
    "The strength of each penalty; ValueError if the grid is none"
    grid, jobs, outcomes = sorted(set(strengths)), list(jobs), []
    if len(grid) < 3 or grid[0] <= 0:
        raise ValueError(f"strengths={grid}; a choice needs 3 or more, all above 0")
    wanted: dict[str, dict[float, Job]] = {}
    score: dict[tuple[str, float], list[float | None]] = {}
    new = grid
    for extension in range(EXTENSIONS + 1):
        more = selection_jobs(jobs, new, seed)
        wanted = {condition: wanted.get(condition, {}) | by for condition, by in more.items()}
        outcomes += run([job for by in more.values() for job in by.values()])
        score = {(condition_of(one.job), one.job.config.strength): _scores(one) for one in outcomes}
        choices = {condition: Choice(label_of(next(iter(by.values())).config), {s: score[condition, s] for s in by}, _metric(next(iter(by.values())))) for condition, by in wanted.items()}
        new = _longer(grid, choices.values())
        if not new or extension == EXTENSIONS:
            break
        grid = sorted([*grid, *new])
    return choices, outcomes


# %%
#| export
def _metric(job: Job) -> str:
    return job.task.chosen_by or job.task.metric


def _scores(outcome: Outcome) -> list[float | None]:
    return [None] * TRIALS if outcome.record is None else outcome.record["phases"]["train"][_metric(outcome.job)]


@checked
def with_strengths(jobs: Iterable[Job], choices: Mapping[str, Choice]) -> list[Job]:
    "The same jobs, each penalty at the strength that was chosen for it"
    return [replace(job, config=replace(job.config, strength=choices[condition_of(job)].strength)) if condition_of(job) in choices else job for job in jobs]


# %% [markdown]
# A made-up task whose best strength is 30, on a grid that ends at 1:

# %%
tiny = RememberConfig(scale="tiny", device="cpu", seeds=2, out=str(folder / "runs"), sparsity=0.8)
jobs = [Job(Remember, replace(tiny, penalty=penalty)) for penalty in ("none", "l1", "moduli")]


def pretend(jobs):
    return [Outcome(job, "", {"phases": {"train": {"rmse": [abs(math.log10(job.config.strength / 30))] * job.config.seeds}}}) for job in jobs]


choices, _ = choose(jobs, (0.01, 0.1, 1.0), pretend)
for choice in choices.values():
    print(f"{choice.condition}: λ = {choice.strength:g}; errors", ", ".join(f"{scores[0]:.2f} at {s:g}" for s, scores in choice.tried.items()))
test_eq({(choice.strength, choice.at_an_end) for choice in choices.values()}, {(10.0, False)})
test_eq([job.config.strength for job in with_strengths(jobs, choices)], [tiny.strength, 10.0, 10.0])
test_fail(lambda: choose(jobs, (0.1, 1.0), pretend), contains="3 or more")


# %% [markdown]
# ## The report
#
# One page of HTML, that needs nothing but itself: each table beside the paper's, and every number of ours a link to the run that made it, with all of its settings. Names and errors come from outside, so the template escapes whatever it is given.

# %%
#| export
@checked
def three_digits(values: list[float | None]) -> str:
    "Mean ± deviation and each seed's value, to three digits of the mean"
    finite = [v for v in values if v is not None]
    mean = abs(sum(finite) / len(finite)) if finite else 0.0
    return summary(values, max(0, 2 - math.floor(math.log10(mean))) if mean else 3)


# %%
#| export
def _entry(cell: Cell, outcome: Outcome | None) -> dict[str, str]:
    "A field of a table: our number, the run that it came from, and the paper's number if the paper has tried that"
    if outcome is None:  # the paper's, of which nobody knows how to make it
        return {"ours": "", "learned": "", "run": "", "paper": printed(cell)}
    job, one = outcome.job, outcome.record
    tried = paper_cell(replace(job.config, strength=None if job.config.penalty != "none" else 0.0), cell.result) is not None  # type: ignore[arg-type]  # None: as the scale says
    values = one["phases"][cell.result][job.task.metric] if one else []
    enough = learned_below(prepared(replace(job, device=None))[0])
    learned = "" if enough is None or not one else f"{sum(v is not None and v < enough for v in values)} of {len(values)} learned"
    return {"ours": three_digits(values) if one else "failed", "learned": learned, "run": one["run"] if one else Path(outcome.folder).name, "paper": printed(cell) if tried else ""}


@checked
def table_of(
    number: str,
    outcomes: Iterable[Outcome],
) -> dict[str, Any]:  # caption, metric, note, columns, rows of fields
    "A table of the paper, with our numbers beside its own"
    table, mine = paper_tables()[number], {(cell.row, cell.column): (cell, one) for one in outcomes for cell in one.job.cells if cell.table == number}
    theirs = {(cell.row, cell.column): (cell, None) for cell in table.cells if table.is_sensitivity}
    fields_ = theirs | mine
    order = {row: k for k, row in enumerate(table.rows)}
    rows = sorted({row for row, _ in fields_}, key=lambda row: (order.get(row, order.get(row.split(", ")[0], 99)), row))
    columns = [*(c for c in table.columns if any(column == c for _, column in fields_)), *dict.fromkeys(column for _, column in fields_ if column not in table.columns)]
    body = [{"name": row, "fields": [_entry(*fields_[row, column]) if (row, column) in fields_ else None for column in columns]} for row in rows]
    return {"number": number, "caption": table.caption, "metric": f"{table.task}, {table.metric}", "note": table.note, "columns": columns, "rows": body}


# %% [markdown]
# What is told of a run, and what the chapter [statistics](statistics.ipynb) says of the paper's claims:

# %%
#| export
@checked
def run_facts(outcome: Outcome) -> dict[str, Any]:  # name, label, settings, facts, and phases
    "All that is known of a run"
    one, job = outcome.record or {}, outcome.job
    lost = [f"seed {job.config.seed + k}: {said['cause']}, epoch {said['epoch']}" if isinstance(said, dict) else f"seed {job.config.seed + k}" for k, said in enumerate(one.get("diverged", [])) if said]
    facts = {"task": job.name, "data": one["data"] or "drawn from the seeds", "modreg": one["modreg"], "torch": one["torch"], "seconds": one["seconds"], "diverged seeds": "; ".join(lost) or "none", "folder": outcome.folder}
    phases = {} if job.config.scale == "tiny" else one["phases"]
    shown = [{"name": phase, "costs": costs(last), "numbers": {name: three_digits(last[name]) for name in dict.fromkeys((job.task.metric, "loss", "sparsity")) if name in last}} for phase, last in phases.items()]
    return {"name": one["run"], "label": label_of(job.config), "settings": asdict(job.config), "facts": facts, "phases": shown}


def _shared(number: str, jobs: list[Job]) -> dict[str, Any]:
    "Settings of a table's sparse networks that all have in common, that no cell gives, and that are not the scale's"
    mine = [job for job in jobs if job.config.sparsity and job.config.penalty != "none" and any(cell.table == number for cell in job.cells)]
    given = {name for job in mine for cell in job.cells for name in cell.settings} | {"seed", "seeds", "lottery", "sparsity"}
    usual = {job.task.Config: job.task.Config(scale=job.config.scale, device="cpu") for job in mine}
    values = {one.name: {getattr(job.config, one.name) for job in mine} for job in mine[:1] for one in fields(job.config) if about(one, "decides") and one.name not in given}
    return {name: value for name, (value, *others) in values.items() if not others and any(getattr(one, name) != value for one in usual.values())}


# %%
#| export
@checked
def verdicts_of(
    number: str,
    outcomes: Iterable[Outcome],
) -> list[dict[str, Any]]:
    "What our runs say of a table's claims; none without what statistics need"
    done = [one for one in outcomes if one.record is not None]
    job = next((one.job for one in done if any(cell.table == number for cell in one.job.cells)), None)
    if job is None:
        return []
    records = [(one.record or {}) | {"learned_below": learned_below(prepared(replace(one.job, device=None))[0])} for one in done]
    try:
        said = verdicts(number, records, job.task, job.config.scale, **_shared(number, [one.job for one in done]))
    except ModuleNotFoundError:  # scipy
        return []
    return [{"sentence": one.claim.sentence, "place": one.claim.place, "word": one.word, "why": one.why, "runs": one.runs,
             "rows": [f"{row}: {d.mean:.3g} ({d.low:.3g} to {d.high:.3g}), p = {one.corrected[row]:.2g}" for row, d in one.differences.items()]} for one in said]


# %%
#| export
@checked
def report(
    outcomes: Iterable[Outcome],
    choices: Iterable[Choice] = (),
    title: str = "A sweep",
) -> str:  # HTML
    "One page with all tables, verdicts, strengths, failures and runs; it needs no network"
    import jinja2
    outcomes = list(outcomes)
    tiny = next((one.job.config for one in outcomes if one.job.config.scale == "tiny"), None)
    numbers = dict.fromkeys(cell.table for one in outcomes for cell in one.job.cells) if tiny is None else ()
    tables = [table_of(number, outcomes) | {"verdicts": verdicts_of(number, outcomes)} for number in numbers]
    done = {one.record["run"]: one for one in outcomes if one.record is not None}
    failed = [{"label": label_of(one.job.config), "name": Path(one.folder).name, "line": papermill_line(one.job), **vars(one)} for one in outcomes if one.record is None]
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(modreg.__file__).parent / "data"), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    chosen = [{"condition": one.condition, "strength": f"{one.strength:g}", "metric": one.metric, "end": one.at_an_end, "tried": [(f"{s:g}", "failed" if None in scores else f"{mean(x for x in scores if x is not None):.3g}") for s, scores in sorted(one.tried.items())]} for one in choices]
    return environment.get_template("sweep.html").render(
        title=title, version=modreg.__version__, tables=tables, runs=[run_facts(one) for one in done.values()], failed=failed, choices=chosen if tiny is None else [],
        note=tiny_note(tiny) if tiny else "", seconds=duration(sum(one.record["seconds"] for one in done.values() if one.record is not None)))


# %% [markdown]
# A run that failed stands in the report with what went wrong, whatever characters that has:

# %%
class Broken(Remember):
    "A task that cannot be evaluated"

    def evaluate(self, model):
        raise ZeroDivisionError("<script>a bug of yours</script>")


outcomes = sweep([Job(Broken, jobs[0].config), jobs[0]], workers=0, progress=False)
page = report(outcomes)
assert "a bug of yours" in page and "http" not in page and "<script" not in page


# %% [markdown]
# ## The command line
#
# ```
# modreg sweep table8 --dry-run                            # what is missing, how long
# modreg sweep table8 table9 table10 --seeds 10            # shared runs once
# modreg sweep table1 --select --strengths 1e-3 1e-2 1e-1  # λ for each penalty
# modreg sweep table1 --also distance_shuffled random      # further controls
# modreg sweep table17 -p init paper -p schedule linear    # settings of all runs
# modreg sweep table3 --scale paper --scheduler tcp://10.0.0.1:8786
# modreg sweep my_module:jobs                              # your own list of jobs
# ```

# %%
#| export
@checked
def parser() -> argparse.ArgumentParser:
    "What the command line takes"
    top = argparse.ArgumentParser(prog="modreg", description="Moduli regularization: many runs at once")
    commands = top.add_subparsers(dest="command", required=True)
    one = commands.add_parser("sweep", help=sweep_tables.__doc__, description=sweep_tables.__doc__)
    one.add_argument("tables", nargs="+", help="table1, table8, …, or module:name of a list of jobs")
    one.add_argument("--scale", default="small", help="small (the default), paper, tiny")
    one.add_argument("--seeds", type=int, default=5, help="models of a run, trained as one stacked computation")
    one.add_argument("--also", nargs="+", default=[], metavar="CONDITION", help=f"columns that the paper lacks: {', '.join(CONDITIONS)}")
    one.add_argument("--ticket", nargs="+", default=[], metavar="KIND", help="lottery tickets, a row each: redraw (the paper), rescaled, original, shuffled")
    one.add_argument("--strengths", nargs="+", type=float, default=[], metavar="λ", help="the grid of --select (0.001 0.01 0.1 if not given), the columns of a table on sensitivity, or one value for all")
    one.add_argument("--select", action="store_true", help=f"choose λ for each penalty on {TRIALS} seeds from {SELECTION} on, at the table's sparsest row")
    one.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="a setting of all runs that differs from the scale's")
    one.add_argument("--device", default="auto", help="auto (the worker's GPU if it has one), cpu, cuda")
    one.add_argument("--out", default="build/runs", help="folder of run folders")
    one.add_argument("--workers", type=int, help="processes; as fits this machine if not given; 0: compute in this one")
    one.add_argument("--scheduler", help="address of a dask cluster, as in tcp://10.0.0.1:8786")
    one.add_argument("--notebooks", action="store_true", help="each run through papermill and its chapter")
    one.add_argument("--dry-run", action="store_true", help="only list the runs, and how long they will take")
    one.add_argument("--report", type=Path, metavar="FILE.html", help="where the report goes; below --out if not given")
    return top


# %%
#| export
@checked
def asked_jobs(given: argparse.Namespace) -> list[Job]:
    "The runs that a command line asks for"
    check("workers", given.workers, Whole | None)
    setting = {name: value(text) for name, text in given.p} | {"out": given.out}
    sensitive = {name for name in given.tables if (table := paper_tables().get(name.removeprefix("table"))) and table.is_sensitivity}
    if given.select and sensitive:
        raise ValueError(f"--select with {', '.join(sorted(sensitive))}: there λ varies over the columns, and none is chosen")
    if not given.select and len(given.strengths) > 1 and sensitive != set(given.tables):
        raise ValueError(f"--strengths {' '.join(f'{s:g}' for s in given.strengths)}: say --select to have one of them chosen for each penalty; only tables on sensitivity (17 to 20) show several")
    jobs: list[Job] = []
    for name in given.tables:
        if ":" in name:
            made = found(name)
            jobs += made() if callable(made) else made
            continue
        one = {"strength": given.strengths[0]} if given.strengths and not given.select and name not in sensitive else {}
        jobs += jobs_of(name.removeprefix("table"), scale=given.scale, seeds=given.seeds, also=given.also, tickets=given.ticket,
                        strengths=given.strengths if name in sensitive else (), device=given.device, **setting | one)
    return merged(jobs)


# %%
#| export
@checked
def listing(jobs: Iterable[Job], chosen: bool = True) -> str:
    "The runs, which of them are complete, and how long the others will take"
    jobs = list(jobs)
    known = [job for job in jobs if chosen or not job.cells or job.config.penalty == "none"]  # those whose strength is
    answers, pace, lines, left = done_before(known), Pace(), [], []
    for job in {job.task.Config: job for job in jobs}.values():
        for one in records_beside(job):
            pace.learn_from(one)
    for job in jobs:
        path, whole = prepared(replace(job, device=None))[1], pace.seconds(job.config)
        done, epochs = epochs_done(path) if job in known else 0, job.config.epochs * (2 if job.config.lottery else 1)
        if job not in answers:
            left.append(None if whole is None else whole * max(0, epochs - done) / epochs)
        state = "complete" if job in answers else f"{done} of {epochs} epochs; time: {duration(left[-1])}"
        strength = "" if job.config.penalty == "none" else f", λ = {job.config.strength:g}" if job in known else ", λ to be chosen"
        cells = ", ".join(dict.fromkeys(f"table {cell.table}" for cell in job.cells)) or "to choose λ"
        lines.append(f"{path.name if job in known else '–'}  {label_of(job.config)}{' and its ticket' * job.config.lottery}{strength}, {job.config.seeds} seed{'s' * (job.config.seeds > 1)} ({cells}): {state}")
    total = None if None in left else sum(seconds for seconds in left if seconds is not None)
    return "\n".join([*lines, f"{len(jobs)} runs, {len(answers)} complete; time of one worker for the others: {duration(total)}"])


# %%
#| export
@checked
def dry_run(jobs: list[Job], grid: Iterable[float]) -> str:
    "What would be computed to choose strengths and then to fill tables; strengths that are known already are told"
    def looked_up(wanted: list[Job]) -> list[Outcome]:
        answers = done_before(wanted)
        if len(answers) < len(wanted):
            raise LookupError
        return [Outcome(job, "", answers[job], computed=False) for job in wanted]

    try:
        choices, tried = choose(jobs, grid, looked_up)
        return listing([*(one.job for one in tried), *with_strengths(jobs, choices)])
    except LookupError:
        return listing([*(job for by in selection_jobs(jobs, grid).values() for job in by.values()), *jobs], chosen=False)


# %% [markdown]
# Then all in one: jobs, strengths, runs, report.

# %%
#| export
@checked
def sweep_tables(given: argparse.Namespace) -> int:  # 0; 1 if a run failed
    "Compute tables of the paper, and whatever else is a list of runs: all cores, or a cluster; what is complete is not computed again"
    jobs, grid = asked_jobs(given), given.strengths or GRID
    choices: dict[str, Choice] = {}
    tried: list[Outcome] = []
    if given.dry_run:
        print(dry_run(jobs, grid) if given.select else listing(jobs))
        return 0
    gpu = torch.cuda.is_available() and any((job.device or job.config.device) != "cpu" for job in jobs)
    with Crew(given.workers, given.scheduler, gpu) as crew:
        run = partial(sweep, crew=crew, notebooks=given.notebooks)
        if given.select:
            choices, tried = choose(jobs, grid, run)
            jobs = merged(with_strengths(jobs, choices))
        outcomes = [*tried, *run(jobs)]
    path = given.report or Path(given.out) / f"{'-'.join(name.replace(':', '.') for name in given.tables)}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = report(outcomes, choices.values(), ", ".join(given.tables))
    write_whole(path, lambda beside: beside.write_text(text, encoding="utf-8"))
    failed = [one for one in outcomes if one.record is None]
    print(f"{len(outcomes)} runs: {sum(one.computed and one.record is not None for one in outcomes)} computed, {sum(not one.computed for one in outcomes)} complete before, {len(failed)} failed; {path}")
    for one in failed:
        print(f"failed: {label_of(one.job.config)}\n  {one.error}\n  folder {one.folder}{f'{chr(10)}  notebook {one.notebook}' if one.notebook else ''}\n  {papermill_line(one.job)}".rstrip())
    return 1 if failed else 0


# %% [markdown]
# A word that is wrong ends it with a sentence; Ctrl-C, or a batch system's signal that time is up, quietly.

# %%
#| export
@checked
def main(
    arguments: list[str] | None = None,  # of the command line; None: the process' own
) -> int:  # 0; 1 if a run failed, 2 if the line is wrong, 130 if it was stopped
    "The command `modreg`"
    top = parser()
    given = top.parse_args(arguments)
    here = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if here else None
    try:
        return sweep_tables(given)
    except (ValueError, TypeError, ConnectionError) as error:
        print(f"modreg sweep: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nstopped; what was computed is kept, and the same command goes on: modreg {shlex.join(sys.argv[1:] if arguments is None else arguments)}", file=sys.stderr)
        return 130
    finally:
        if here:
            signal.signal(signal.SIGTERM, before)


if __name__ == "__main__" and "__file__" in globals():  # called by name, and not a notebook's cell
    sys.exit(importlib.import_module("modreg.lab.sweeps").main())

# %%
test_eq(main(["sweep", "table8", "--scale", "tiny", "--seeds", "1", "--out", str(folder / "runs"), "--dry-run"]), 0)


# %% [markdown]
# ## Exercise 1: a list of your own
#
# *5 min, easy.* Anything can be a sweep. Make the jobs that train `Remember` at each of the given sparsities, with a penalty and without.

# %%
def curve(config, sparsities):
    "Jobs that train `Remember` at each sparsity, with the penalty none and with moduli, as a list"
    raise NotImplementedError


# %%
#| fold How it is checked
def kinds():
    return sorted((job.config.sparsity, job.config.penalty) for job in curve(tiny, [0.5, 0.8, 0.9]))


with exercise("Job(task, config), and replace makes a config with other settings", lambda: draw_bars({f"{s:.0%} zeros": sum(sparsity == s for sparsity, _ in kinds()) for s in (0.5, 0.8, 0.9)}, "jobs")) as expect:
    expect(lambda: len(merged(curve(tiny, [0.5, 0.8, 0.9]))), gives=6, name="the number of runs")
    expect(kinds, gives=[(s, penalty) for s in (0.5, 0.8, 0.9) for penalty in ("moduli", "none")])


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def curve(config, sparsities):
#     return [Job(Remember, replace(config, sparsity=s, penalty=penalty)) for s in sparsities for penalty in ("none", "moduli")]
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: what does fairness cost?
#
# *5 min, medium.* A table has $c$ conditions with a penalty, each of which is tried at $g$ strengths on $k$ seeds and then reported, dense and sparse, on $n$ seeds. Which share of all trained networks serves only the choice, if tickets are left out?

# %%
def share_of_choice(conditions, grid, tries, seeds):
    "Share of all trained networks that serves only the choice of strengths"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("each condition has `grid * tries` networks of the choice and `2 * seeds` that are reported", lambda: draw_curve(lambda n: share_of_choice(6, 5, 3, n), range(1, 21), "seeds", "share of networks for the choice")) as expect:
    expect(share_of_choice, 3, 5, 1, 10, gives=0.2)
    expect(share_of_choice, 7, 4, 3, 6, gives=0.5)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def share_of_choice(conditions, grid, tries, seeds):
#     return grid * tries / (grid * tries + 2 * seeds)
# ```
#
# It does not depend on the number of conditions.
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - The strengths of a first sweep were chosen at each row apart. Then a column of the table was not one method, but as many as it has rows.
# - Called as `python -m`, a module has the name `__main__`, and so have its classes. Workers know none of that name, so the command imports itself again under its own.
#
# The paper's λ is one for all conditions of a table, and how it was chosen is not said.
#
# ## Recall and think
#
# <details><summary>Recall: why must a grid be lengthened for all conditions at once?</summary>
#
# A longer grid for one of them would be an advantage.
#
# </details>
#
# <details><summary>Recall: what leads from a number of the report to its run?</summary>
#
# A link, to the run with all of its settings.
#
# </details>
#
# <details><summary>Think: how many of your machine's hours would you give to choosing strengths?</summary>
#
# As a share: $g / (g + 2n)$. Fewer than that, and the comparison is of lucky strengths.
#
# </details>
#
# **References.** Tables 1–20 of the paper. Sculley et al., *Winner's curse? On pace, progress, and empirical rigor* (2018), on choices that are made on what is reported.
