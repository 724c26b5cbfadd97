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
# *Reading 10 min, exercises 10 min. To skip at a first reading:* nothing.
#
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
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from modreg.geometry.arguments import Share, Within, checked
from modreg.lab.paper import Cell, Table, printed
from modreg.lab.results import Record, matching
from modreg.lab.settings import duration
from modreg.lab.statistics import Verdict, config_for, config_of, outcome, record_of_cell
from modreg.lab.training import Task
from modreg.lab.workers import Pace
from modreg.sparsity.penalties import display_name
from modreg.sparsity.rivals import weight_uses

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# %%
#| hide
import matplotlib.pyplot as plt
from fastcore.test import test_close
from IPython.display import Markdown, display

from modreg.book.exercises import draw_bars, draw_lines, exercise
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
#| fig-alt: "The paper's first table with spreads: position error at 0, 75 and 90 % zeros under four conditions; without a penalty and with L1 it rises steeply, with the torus not at all."
fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
table = paper_tables()["1"]
for k, row in enumerate(("0% Sparse", "75% Sparse", "90% Sparse")):
    for x, column in enumerate(table.columns):
        cell = table.cell(row, column)
        ax.errorbar(x + 0.2 * k - 0.2, cell.mean, cell.std, fmt="osD"[k], color=f"C{k}", label=row if x == 0 else None, capsize=2)
ax.set(xticks=range(len(table.columns)), xticklabels=[*map(display_name, table.columns)], ylabel="position error (cm)", title="the paper's table 1", ylim=(0, None))
ax.legend(frameon=False)
plt.show()


# %% [markdown]
# *Predict:* the torus stays low and the others rise, each with a large deviation. Before you turn the page: is that a fact about tori, about how the zeros were brought in, or about how many networks broke?
#
# ## A cell, twice
#
# In each cell stands the paper's mean ± deviation and, below it, ours: the median of the networks that learned, and how many of how many did. *Not run* tells how long ours would take of one thread, five networks in one stacked run, by the runs of the kind that were seen; that is why there is none yet. A dash stands where the paper's number is missing from the text that we have.

# %%
#| export
@checked
def ours(
    record: Record,
    cell: Cell,
    metric: str,  # its name in the record
    digits: Annotated[int, Within(0, 15)] = 1,  # after the decimal point
) -> str:
    "Our side of a cell in words"
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
    digits: Annotated[int, Within(0, 15)] = 1,  # after the decimal point
    **settings: Any,  # that differ from the scale's
) -> str:
    "A table of the paper with ours in its cells; a cell without says what its run would take of one thread, with 5 seeds and its ticket"
    pace = Pace(records)
    lines = [f"**Table {table.number}**, {table.task}, {table.metric}: {table.caption}", "", "| | " + " | ".join(map(display_name, table.columns)) + " |", "|---" * (len(table.columns) + 1) + "|"]
    for row in table.rows:
        cells = [table.cell(row, column) for column in table.columns]
        found = [(cell, record_of_cell(records, cell, task, scale, **settings)) for cell in cells]
        texts = [f"{printed(cell, digits) or '–'}<br>" + (
            ours(record, cell, task.metric, digits) if record else f"*not run: {duration(pace.seconds(config_of(cell, task, scale, **{'seeds': 5} | settings)))}*") for cell, record in found]
        lines.append(f"| {row} | " + " | ".join(texts) + " |")
    return "\n".join([*lines, *(["", table.note] if table.note else []), ""])


# %%
tasks = {task.Config.task: task for task in (Navigation, Adding, Language)}
kept = {name: all_records(task.Config) for name, task in tasks.items()}
places = {"navigation": 1, "adding": 3, "language": 1}


def show(number: str) -> None:
    "A table beside ours"
    table = paper_tables()[number]
    display(Markdown(table_markdown(table, kept[table.task], tasks[table.task], digits=places[table.task])))


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
# At the small scale. `--scale script` trains as many batches as the published script, which are not as many as the text says.

# %%
for number in ("8", "9", "10"):
    show(number)


# %% [markdown]
# ## The claims
#
# Written down before the runs ([statistics](statistics.ipynb)). A verdict names the runs that it stands on; a claim without runs is left out here, and counted as undecided below.

# %%
#| export
@checked
def verdict_markdown(
    found: Sequence[Verdict],
    digits: Annotated[int, Within(0, 15)] = 1,  # after the decimal point
) -> str:
    "Claims with their verdicts"
    lines = ["| claim | verdict | why | difference (95 % interval), corrected p | chance that the first is better | runs |", "|---|---|---|---|---|---|"]
    for one in found:
        apart = "<br>".join(f"{row}: {d.mean:+.{digits}f} ({d.low:+.{digits}f} to {d.high:+.{digits}f}), p = {one.corrected[row]:.2g}" for row, d in one.differences.items())
        better = "<br>".join(f"{d.improvement:.0%}, {d.pairs} seeds" for d in one.differences.values())
        runs = ", ".join(run.split("-")[-1][:6] for run in one.runs)
        lines.append(f"| table {one.claim.table}: {one.claim.sentence} | **{one.word}** | {one.why} | {apart} | {better} | {runs} |")
    return "\n".join(lines) + "\n"


# %%
found = [v for number, table in paper_tables().items() if table.task in kept
         for v in verdicts(number, kept[table.task], tasks[table.task])]
for task, digits in {"navigation": 2, "language": 1, "adding": 3}.items():
    told = [v for v in found if v.runs and paper_tables()[v.claim.table].task == task]
    display(Markdown(verdict_markdown(sorted(told, key=lambda v: v.word == "undecided"), digits)))  # what is decided stands first
words = [v.word for v in found]
print(", ".join(f"{words.count(word)} {word}" for word in ("holds", "fails", "undecided")))


# %% [markdown]
# ## Sensitivity
#
# Tables 17 to 20 ask how results depend on λ, the strength of the penalty. Their values of λ are missing from the text of the paper that we have, so ours have a grid of their own and stand apart.

# %%
#| export
@checked
def plot_sensitivity(
    records: Sequence[Record],
    task: type[Task],
    ax: "Axes",
    sparsity: Share = 0.9,
    scale: str = "small",
    **settings: Any,  # that differ from the scale's
) -> int:  # how many runs there were to draw
    "Every network's metric over λ, a colour a condition"
    drawn = 0
    for k, column in enumerate(({}, {"penalty": "shuffled"}, {"penalty": "l1"})):
        config, label = config_for(task, {"sparsity": sparsity} | column, scale=scale, **settings), display_name(column.get("penalty", "torus"))
        same = matching(records, config, free=("strength", "seeds", "seed"))
        dots = [(one["settings"].get("strength", config.strength), v) for one in same for v in one["phases"]["train"][task.metric] if v is not None]
        ax.plot([x for x, _ in dots], [y for _, y in dots], "o^s"[k], color=f"C{k}", label=label, markersize=4)
        drawn += len(same)
    ax.set(xscale="log", xlabel="λ", ylabel=task.label)
    ax.margins(y=0.25)  # room for the legend
    ax.legend(frameon=False, ncols=3, loc="upper center")
    return drawn


# %%
#| fig-alt: "RMSE on the adding task at 95 % zeros against the strength of the penalty, from 1e-8 to 1, a dot a network, for three penalties: all lie between 0.02 and 0.1, without an order."
fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
count = plot_sensitivity(kept["adding"], Adding, ax, sparsity=0.95)
ax.set(ylim=(0, None), title="adding, 95 % zeros")
plt.show()
print(f"{count} runs so far")

# %% [markdown]
# Each dot is a network. Over eight orders of magnitude none of the three penalties has a strength that stands out from the spread of its seeds: at this scale λ hardly matters.

# %% [markdown]
# ## Hyperparameters
#
# Tables 11 to 14, beside those of our scales. A star marks a value of the published code where the text has lost the paper's; a cell is empty where a scale sets nothing of its own.

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
# And the paper's scale? A network's work is counted: how often each weight is used for an example, times its entries, three times in a step of training, times all examples. *Predict:* how many times as long as the small navigation network does the paper's take, with eight times the neurons?

# %%
#| export
@checked
def work_of(
    task: type[Task],
    scale: str = "paper",
) -> float:  # multiplications by weights
    "What training one dense network takes in one phase; FileNotFoundError if its data are not there"
    config = task.Config(scale=scale, device="cpu", seeds=1)
    narrow = task(replace(config, hidden=8, batch=2))  # as many uses, at less cost
    model, batch = narrow.model(narrow.generators("weights")), next(iter(narrow.batches(narrow.generators("uses"))))
    uses = weight_uses(model, lambda: narrow.loss(model, batch), 2)
    wide = task(config)
    sizes = {name: p.numel() for name, p in wide.model(wide.generators("weights")).named_parameters()}
    return 3 * sum(count * sizes[name] for name, count in uses.items()) * config.batch * config.batches * config.epochs


# %%
lines = ["| task | phases in its tables | multiplications of one at `small` (10¹²) | of one at `paper` (10¹²) | all of them, 5 seeds, as fast as here | on a card of 10¹³ a second |", "|---|---|---|---|---|---|"]
for task in (Navigation, Adding):
    phases = sum(len(table.cells) for table in paper_tables().values() if table.task == task.Config.task and not table.is_sensitivity)
    small, whole = work_of(task, "small"), 5 * phases * work_of(task)
    rate = cost_of(kept[task.Config.task])[1]
    here = f"{whole / rate / 3600 / 24:,.0f} days" if rate else "not known yet"
    lines.append(f"| {task.Config.task} | {phases} | {small / 1e12:,.1f} | {work_of(task) / 1e12:,.1f} | {here} | {whole / 1e13 / 3600:,.3g} h |")
display(Markdown("\n".join(lines)))

# %%
#| hide
for task, number in ((Navigation, "1"), (Adding, "8")):  # the runs counted their work themselves
    cells = [record_of_cell(kept[task.Config.task], cell, task) for cell in paper_tables()[number].cells if cell.result == "train"]
    for one in filter(None, cells):
        test_close(one["phases"]["train"]["dense_training"][0] / work_of(task, "small"), 1, eps=1e-6)


# %% [markdown]
# A graphics card does 10¹³ multiplications a second where its products are large and it does nothing else; nobody has run the paper's scale here on one. A network of 100,000 neurons has no matrix of all pairs, but as many edges as it was born with, and its step takes time in proportion to them ([edges](edges.ipynb)).
#
# `modreg sweep table1 --scale small --dry-run` says what is missing and about how long it takes; without `--dry-run` it runs it ([sweeps](sweeps.ipynb)).
#
# ## Exercise 1: which cells are missing?
#
# *5 min, easy.* A table of the paper is a list of cells. List those that nobody has run yet.

# %%
def missing(table, records, task):
    "Cells of a table for which there is no record, as a list"
    raise NotImplementedError


# %%
#| fold How it is checked
def picture():
    draw_bars({f"table {n}": len(missing(t, kept[t.task], tasks[t.task])) for n, t in paper_tables().items() if int(n) < 17}, "cells that are not run yet")


with exercise("record_of_cell(records, cell, task) is None for a cell that nobody ran", picture) as expect:
    expect(lambda: len(missing(paper_tables()["8"], [], Adding)), gives=12, name="the number of cells of table 8 that are missing if nothing was run")
    expect(lambda: missing(paper_tables()["8"], [], Adding), gives=list(paper_tables()["8"].cells), name="your list for table 8")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def missing(table, records, task):
#     return [cell for cell in table.cells if record_of_cell(records, cell, task) is None]
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: what a mixture's mean says
#
# *5 min, medium.* A cell of the paper has mean $m$ and deviation $s$. If it is a mixture of networks at $a$ and at $b$, its deviation cannot be more than a certain value. Which?

# %%
def largest_deviation(a, b):
    "The largest standard deviation that a mixture of networks at a and at b can have"
    raise NotImplementedError


# %%
#| fold How it is checked
def picture():
    spreads = sorted((cell.std for table in paper_tables().values() if table.task == "navigation" for cell in table.cells if cell.std), reverse=True)
    draw_lines("cells of the paper on navigation, sorted", "standard deviation (cm)", the_paper=spreads, your_limit=[largest_deviation(5, 95)] * len(spreads))


with exercise("half of each gives the most, since p (1 - p) is largest at one half", picture) as expect:
    expect(largest_deviation, 5, 95, gives=45)
    expect(largest_deviation, 2, 1, gives=0.5)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def largest_deviation(a, b):
#     return abs(b - a) / 2
# ```
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - The first edition showed networks of a few seconds beside the paper's of many hours. Now a table has the numbers of runs that learned something, or none.
# - A number typed by hand is right until a default changes. Every number here is looked up by the settings that make it.
#
# ## Recall and think
#
# <details><summary>Recall: what does a cell show if nobody has run it?</summary>
#
# The paper's number, and the time that ours would take.
#
# </details>
#
# <details><summary>Recall: what is our number in a cell?</summary>
#
# The median of the networks that learned, and how many of how many did.
#
# </details>
#
# <details><summary>Think: why is a mean with a large deviation a poor summary of networks of which some failed?</summary>
#
# No network is where the mean is. It mixes how good those are that learned with how many they are.
#
# </details>
#
# **References.** Tables 1–20 of the paper.
