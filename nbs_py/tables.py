# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The paper's tables
#
# > Every table beside ours, every claim with its verdict, and what is still to be run

# %% [markdown]
# After this chapter you can
#
# - read any number of the paper beside ours, with how many networks learned,
# - say of each claim whether it holds, fails or is undecided, and which runs say so,
# - run what is missing, and know what it costs before.
#
# The question: *nine in ten connections are gone, and what is left has the shape of a torus. Is that better than what is left without one?*

# %%
#| default_exp lab.tables

# %%
#| export
from collections.abc import Sequence
from typing import TYPE_CHECKING

from modreg.geometry.arguments import checked
from modreg.lab.paper import Cell, Table, printed
from modreg.lab.results import Record, matching
from modreg.lab.statistics import Verdict, config_of, outcome, record_of_cell
from modreg.lab.training import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# %%
#| hide
import matplotlib.pyplot as plt
from fastcore.test import test_eq
from IPython.display import Markdown, display

from modreg.book.exercises import exercise
from modreg.lab.experiments import large
from modreg.lab.paper import hyperparameter_table, paper_figures, paper_tables
from modreg.lab.results import all_records
from modreg.lab.statistics import verdicts
from modreg.tasks.adding import Adding
from modreg.tasks.language import Language
from modreg.tasks.navigation import Navigation
from modreg.tasks.speech import Speech

plt.style.use("modreg.data.book")

# %%
fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
table = paper_tables()["1"]
for k, row in enumerate(("0% Sparse", "75% Sparse", "90% Sparse")):
    for x, column in enumerate(table.columns):
        cell = table.cell(row, column)
        ax.errorbar(x + 0.2 * k - 0.2, cell.mean, cell.std, fmt="osD"[k], color=f"C{k}", label=row if x == 0 else None, capsize=2)
ax.set(xticks=range(len(table.columns)), xticklabels=table.columns, ylabel="position error (cm)", title="the paper's table 1", ylim=(0, None))
ax.legend(frameon=False)
plt.show()


# %% [markdown]
# *Predict:* the torus stays low and the others rise, each with a large deviation. Before you turn the page: is that a fact about tori, about how the zeros were brought in, or about how many networks broke?
#
# ## A cell, twice
#
# In each cell stands the paper's mean ± deviation and, below it, ours: the median of the networks that learned, and how many of how many did. A cell that nobody has run says so, and a cell whose number the paper's text has lost has a dash.

# %%
#| export
@checked
def ours(
    record: Record | None,
    cell: Cell,
    metric: str,  # its name in the record
    digits: int = 1,  # after the decimal point
) -> str:
    "Our side of a cell in words"
    if record is None:
        return "*not run*"
    found = outcome(record["phases"][cell.result][metric], record["learned_below"])
    share = f"{found.learned} of {found.seeds} learned"
    return f"**{found.median:.{digits}f}**, {share}" if found.median is not None else f"**none learned** ({share})"


# %%
#| export
@checked
def table_markdown(
    table: Table,
    records: Sequence[Record],
    task: type[Task],  # of the table
    scale: str = "small",
    digits: int = 1,  # after the decimal point
    **settings: object,  # that differ from the scale's
) -> str:
    "A table of the paper with ours in its cells"
    lines = [f"**Table {table.number}**, {table.task}, {table.metric}: {table.caption}", "", "| | " + " | ".join(table.columns) + " |", "|---" * (len(table.columns) + 1) + "|"]
    for row in table.rows:
        cells = [table.cell(row, column) for column in table.columns]
        texts = [f"{printed(cell, digits) or '–'}<br>{ours(record_of_cell(records, cell, task, scale, **settings), cell, task.metric, digits)}" for cell in cells]
        lines.append(f"| {row} | " + " | ".join(texts) + " |")
    return "\n".join([*lines, *(["", table.note] if table.note else []), ""])


# %%
tasks = {task.Config.task: task for task in (Navigation, Adding, Language)}
kept = {name: all_records(task.Config) for name, task in tasks.items()}
places, scales = {"navigation": 1, "adding": 3, "language": 1}, {"navigation": "small", "adding": "script", "language": "small"}


def show(number: str) -> None:
    "A table beside ours, at the scale that is run in the background of this book"
    table = paper_tables()[number]
    display(Markdown(table_markdown(table, kept[table.task], tasks[table.task], scales[table.task], places[table.task])))


for number in ("1", "2", "3", "15"):
    show(number)

# %% [markdown]
# ## Language

# %%
for number in ("4", "5", "6", "7", "16"):
    show(number)

# %% [markdown]
# ## Adding
#
# At the scale `script`: as many batches as the published script trains, not as its text says.

# %%
for number in ("8", "9", "10"):
    show(number)


# %% [markdown]
# ## The claims
#
# Written down before the runs ([statistics](statistics.ipynb)). A verdict names the runs that it stands on.

# %%
#| export
@checked
def verdict_markdown(
    found: Sequence[Verdict],
    digits: int = 1,  # after the decimal point
) -> str:
    "Claims with their verdicts"
    lines = ["| claim | verdict | why | difference (95 % interval), corrected p | better pairs | runs |", "|---|---|---|---|---|---|"]
    for one in found:
        apart = "<br>".join(f"{row}: {d.mean:+.{digits}f} ({d.low:+.{digits}f} to {d.high:+.{digits}f}), p = {one.corrected[row]:.2g}" for row, d in one.differences.items())
        better = "<br>".join(f"{d.improvement:.0%} of {d.pairs}" for d in one.differences.values())
        runs = ", ".join(run.split("-")[-1][:6] for run in one.runs)
        lines.append(f"| table {one.claim.table}: {one.claim.sentence} | **{one.word}** | {one.why} | {apart} | {better} | {runs} |")
    return "\n".join(lines) + "\n"


# %%
found = [v for number, table in paper_tables().items() if table.task in kept
         for v in verdicts(number, kept[table.task], tasks[table.task], scales[table.task])]
display(Markdown(verdict_markdown(found, 2)))
words = [v.word for v in found]
print(", ".join(f"{words.count(word)} {word}" for word in ("holds", "fails", "undecided")))


# %% [markdown]
# ## Sensitivity
#
# Tables 17 to 20 ask how results hang on λ. Their values of λ are lost in the text, so ours have a grid of their own and stand apart.

# %%
#| export
@checked
def plot_sensitivity(
    records: Sequence[Record],
    task: type[Task],
    ax: "Axes",
    scale: str = "small",
    **settings: object,  # that differ from the scale's
) -> int:  # how many runs there were to draw
    "Every network's metric over λ, a colour a condition"
    drawn = 0
    for k, column in enumerate(({}, {"penalty": "shuffled"}, {"penalty": "l1"})):
        cell = Cell("17", "", "", {"sparsity": 0.9} | column, "train", None, None)
        config, label = config_of(cell, task, scale, **settings), column.get("penalty", "torus")
        same = matching(records, config, free=("strength", "seeds", "seed"))
        dots = [(one["settings"].get("strength", config.strength), v) for one in same for v in one["phases"]["train"][task.metric] if v is not None]
        ax.plot([x for x, _ in dots], [y for _, y in dots], "o^s"[k], color=f"C{k}", label=label, markersize=4)
        drawn += len(same)
    ax.set(xscale="log", xlabel="λ", ylabel=task.label)
    ax.legend(frameon=False)
    return drawn


# %%
fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
count = plot_sensitivity(kept["navigation"], Navigation, ax)
ax.set(xlim=(1e-4, 10), ylim=(0, None))
plt.show()
print(f"{count} runs so far")

# %% [markdown]
# ## Hyperparameters
#
# Tables 11 to 14, beside those of our scales.

# %%
for task in (Navigation, Language, Adding, Speech):
    display(Markdown(f"**{task.Config.task}**\n\n" + hyperparameter_table(task.Config)))

# %% [markdown]
# ## Figures
#
# Each figure of the paper is drawn anew, by code, where its idea is taught.

# %%
display(Markdown("\n".join(["| figure | shows | chapter |", "|---|---|---|", *(f"| {k} | {f['shows']} | [{f['chapter']}]({f['chapter']}.ipynb) |" for k, f in paper_figures().items())])))


# %% [markdown]
# ## What it cost, and what the rest will
#
# A run's seconds are kept with its result. From those that are done follows what a table would cost at the same scale, and, by the count of multiplications, at the paper's.

# %%
#| export
@checked
def cost_of(
    records: Sequence[Record],
) -> tuple[float, float]:  # hours, and multiplications a second of dense training
    "What the runs of a task took"
    hours = sum(one["seconds"] for one in records) / 3600
    work = sum(v or 0 for one in records for phase in one["phases"].values() for v in phase.get("training", ()))
    return hours, work / max(1e-9, 3600 * hours)


# %%
for name, records in kept.items():
    hours, rate = cost_of(records)
    if records:
        print(f"{name}: {len(records)} runs, {hours:.1f} hours on one thread, {large(rate)} multiplications by weights a second")
    else:
        print(f"{name}: no runs yet")


# %% [markdown]
# `modreg sweep table1 --scale small --dry-run` says what is missing and about how long it takes; without `--dry-run` it runs it ([sweeps](sweeps.ipynb)).
#
# ## Exercise 1: which cells are missing?

# %%
def missing(table, records, task, scale):
    raise NotImplementedError("the cells for which record_of_cell finds nothing")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def missing(table, records, task, scale):
#     return [cell for cell in table.cells if record_of_cell(records, cell, task, scale) is None]
# ```
#
# </details>

# %%
with exercise("record_of_cell(records, cell, task, scale) is None for a cell that nobody ran"):
    test_eq(len(missing(paper_tables()["8"], [], Adding, "script")), 12)
    print(sum(len(missing(t, kept[t.task], tasks[t.task], scales[t.task])) for n, t in paper_tables().items() if int(n) < 17), "cells are not run yet")


# %% [markdown]
# ## Exercise 2: what a mixture's mean says
#
# A cell of the paper has mean $m$ and deviation $s$. If it is a mixture of networks at $a$ and at $b$, its deviation cannot be more than a certain value. Which?

# %%
def largest_deviation(a, b):
    raise NotImplementedError("half of each gives the most")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def largest_deviation(a, b):
#     return abs(b - a) / 2
# ```
#
# </details>

# %%
with exercise("p (1 - p) is largest at one half"):
    test_eq(largest_deviation(5, 95), 45)
    spreads = [cell.std for table in paper_tables().values() if table.task == "navigation" for cell in table.cells if cell.std]
    print(f"the largest deviation in the paper's tables on navigation is {max(spreads)} cm")

# %% [markdown]
# ## What broke, and what the paper did
#
# - The first edition showed networks of a few seconds beside the paper's of many hours. Now a table has the numbers of runs that learned something, or none.
# - A number typed by hand is right until a default changes. Every number here is looked up by the settings that make it.
#
# **References.** Tables 1–20 of the paper.
