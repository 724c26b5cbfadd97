# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The paper as data
#
# > Every table of the paper as cells with the settings that make them, so that runs, comparisons and claims follow from one place

# %% [markdown]
# *Reading 15 min, exercises 10 min. To skip at a first reading:* *Whatever the paper set*.
#
# After this chapter you can
#
# - find the paper's number for a setting, and be told when it has none,
# - list the runs that a table asks for,
# - tell a mean over networks that learned from a mean over networks of which some did not.
#
# The question: *a table says 71.75 ± 32.67 cm. How far off is one of its networks?*
#
# ```
#            column: settings       row: settings and a result      the scale
#            {"penalty": "l1"}      {"sparsity": 0.9}, train        {"hidden": 512, ...}
#                    \                      |                        /
#                     +-------- the config of one run --------------+
# ```

# %%
#| default_exp lab.paper

# %%
#| export
import json
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from typing import Annotated, Any

from modreg.geometry.arguments import Within, checked
from modreg.lab.settings import Config, about

# %%
#| hide
import matplotlib.pyplot as plt
from fastcore.test import test_eq, test_fail
from IPython.display import Markdown, display

from modreg.book.exercises import draw_bars, draw_curve, exercise
from modreg.tasks.adding import AddingConfig
from modreg.tasks.navigation import NavigationConfig

plt.style.use("modreg.data.book")

# %% [markdown]
# ## A cell
#
# *Predict:* what must a cell of a table carry, so that a program can fill its neighbour with a number of ours?
#
# The settings that make it, and which of a run's results it shows: the end of the phase `train`, sparse or dense, or that of the phase `lottery`, its ticket.
# Settings that no cell names are those of the method: the torus, a difference of Gaussians, one threshold for all matrices that rises linearly.

# %%
#| export
METHOD: dict[str, Any] = dict(
    penalty="moduli", manifold="torus", inhibitor="difference_of_gaussians", train_embedding=False, sparsifier="magnitude", schedule="linear", shares="global", ticket="redraw")


@checked
@dataclass(frozen=True)
class Cell:
    "A number of the paper, and what makes it"

    table: str  # its number
    row: str  # as printed
    column: str  # as printed
    settings: dict[str, Any]  # what differs from METHOD
    result: str  # the phase whose end it shows: "train" or "lottery"
    mean: float | None  # over trials; None if the text has lost it
    std: float | None  # standard deviation over trials; None if there is none


@checked
def printed(
    cell: Cell | None,
    digits: Annotated[int, Within(0, 15)] | None = None,  # after the decimal point; None: as many as there are
) -> str:  # empty where there is no number
    "Mean and standard deviation as a table shows them; some have no deviation"
    if cell is None or cell.mean is None:
        return ""
    return " ± ".join(f"{value}" if digits is None else f"{value:.{digits}f}" for value in (cell.mean, cell.std) if value is not None)


# %%
#| export
@checked
@dataclass(frozen=True)
class Table:
    "A table of the paper"

    number: str
    task: str  # name of the task
    metric: str  # with its unit
    caption: str
    cells: tuple[Cell, ...]  # row by row
    note: str = ""  # what a reader must know

    @property
    def is_sensitivity(self) -> bool:
        "Whether λ varies over its columns"
        return self.caption.startswith("sensitivity")

    @property
    def rows(self) -> list[str]:
        "Names of the rows, in order"
        return list(dict.fromkeys(cell.row for cell in self.cells))

    @property
    def columns(self) -> list[str]:
        "Names of the columns, in order"
        return list(dict.fromkeys(cell.column for cell in self.cells))

    def cell(self, row: str, column: str) -> Cell:
        "One cell; ValueError if the table has none there"
        for cell in self.cells:
            if (cell.row, cell.column) == (row, column):
                return cell
        raise ValueError(f"table {self.number} has no cell in row {row!r} and column {column!r}; its rows are {', '.join(self.rows)}, its columns {', '.join(self.columns)}")


# %% [markdown]
# A file holds them all as they were printed; a column or a row that several cells share is written once.

# %%
#| export
@cache
def _paper() -> dict[str, Any]:
    return json.loads((files("modreg") / "data" / "paper.json").read_text(encoding="utf-8"))


def _cells(number: str, table: dict[str, Any]) -> tuple[Cell, ...]:
    return tuple(
        Cell(number, row["name"], column["name"], (column["settings"] or {}) | row["settings"], row["result"], *((value["mean"], value["std"]) if value else (None, None)))
        for row, values in zip(table["rows"], table["cells"], strict=True) for column, value in zip(table["columns"], values, strict=True))


@cache
@checked
def paper_tables() -> dict[str, Table]:
    "The paper's result tables by number"
    return {number: Table(number, t["task"], t["metric"], t["caption"], _cells(number, t), t.get("note", "")) for number, t in _paper()["tables"].items()}


@checked
def paper_figures() -> dict[str, dict[str, str]]:
    "What each figure of the paper `shows`, and the `chapter` that draws it anew, by number"
    return _paper()["figures"]


@checked
def paper_hyperparameters() -> dict[str, dict[str, Any]]:
    "Tables 11 to 14 by task: the `table`, and the paper's `values` by our setting's name"
    return _paper()["hyperparameters"]


# %%
tables = paper_tables()
test_eq(len(tables), 16)
test_eq(tables["1"].cell("90% Sparse", "none"), Cell("1", "90% Sparse", "none", {"penalty": "none", "sparsity": 0.9}, "train", 71.75, 32.67))
test_fail(lambda: tables["1"].cell("90% Sparse", "sphere"), contains="its columns torus, none, l1, shuffled")

# %% [markdown]
# ## Means that nobody had
#
# *Predict:* in the picture below a dot is a cell of the tables on navigation. Errors of networks that found their way are near 5 cm, and those of networks that learned nothing near 95. Where do means of both lie, and what do their deviations say?

# %%
#| fig-alt: "Standard deviation against mean of the cells of the paper's table, with a curve for a mixture of 5 cm and 95 cm: many cells lie below it, some near it."
fig, ax = plt.subplots(figsize=(5.2, 3.2), layout="constrained")
for k, (result, words) in enumerate((("train", "sparse"), ("lottery", "lottery ticket"))):
    dots = [(cell.mean, cell.std) for table in tables.values() if table.task == "navigation" for cell in table.cells if cell.result == result and cell.std is not None]
    ax.plot(*zip(*dots, strict=True), "o", color=f"C{k}", markersize=4, label=words)
share = [k / 100 for k in range(101)]
ax.plot([5 + 90 * p for p in share], [90 * (p * (1 - p)) ** 0.5 for p in share], color="0.6", linewidth=1, label="mixture of 5 cm and 95 cm")
ax.set(xlabel="mean of a cell (cm)", ylabel="standard deviation (cm)")
fig.legend(loc="outside upper center", ncols=2, frameon=False)
plt.show()


# %% [markdown]
# Some lie near the arch of a mixture: no network of such a cell is as far off as its mean. So this book says for each task what counts as learned, and reports how many did ([statistics](statistics.ipynb)).
#
# ## What the paper says of a setting
#
# A cell's number stands beside ours only if the paper has tried what we ran. Each setting that decides a result must be that of the cell, or what the scale gives to every run of ours, such as the size of a network.
# What cannot matter does not count: a network without a penalty has no manifold, a dense one no schedule.

# %%
#| export
def _without_effect(config: Config, result: str) -> set[str]:
    "Settings that do not matter to a result"
    idle = {"seeds", "seed", "lottery", "sparsity"}
    if config.penalty in ("none", "l1", "l2"):
        idle |= {"manifold", "inhibitor", "train_embedding", "embedding_lr"}
    if config.penalty == "none":
        idle |= {"strength", "power", "ramp"}
    if not config.sparsity:
        idle |= {"sparsifier", "schedule", "shares", "heal", "block", "order"}
    if result == "train":
        idle.add("ticket")
    return idle


@cache
def _usual(kind: type[Config], scale: str) -> Config:
    "What a scale gives to a run that asks for nothing"
    return kind(scale=scale, device="cpu")


# %%
#| export
def _is_made_by(cell: Cell, config: Config, result: str) -> bool:
    "Whether a config, up to its scale, is the one that makes a cell"
    if cell.result != result or cell.settings.get("sparsity") != config.sparsity:
        return False
    idle = _without_effect(config, result)
    usual = [_usual(type(config), scale) for scale in {"paper", config.scale} & config.scales.keys()]  # type: ignore[arg-type]  # a class is hashable
    for one in fields(config):
        value = getattr(config, one.name)
        if one.name in idle or not about(one, "decides"):
            continue
        if one.name in cell.settings or (one.name in METHOD and one.name not in config.scales[config.scale]):
            if value != cell.settings.get(one.name, METHOD.get(one.name)):
                return False
        elif value not in [about(one, "neutral"), METHOD.get(one.name), *(getattr(other, one.name) for other in usual)]:
            return False
    return True


@checked
def paper_cell(
    config: Config,
    result: str = "train",  # or "lottery"
) -> Cell | None:  # None for what the paper has not tried
    "The paper's cell for a setting"
    found = [cell for table in paper_tables().values() if table.task == config.task and not table.is_sensitivity
             for cell in table.cells if cell.mean is not None and _is_made_by(cell, config, result)]
    return found[0] if found else None


# %%
def at(**settings):
    return NavigationConfig(scale="small", device="cpu", **settings)


test_eq(paper_cell(at()).mean, 5.69)
test_eq(paper_cell(at(penalty="none", manifold="sphere")).mean, 71.75)  # no penalty, so no manifold
test_eq(paper_cell(at(manifold="r3", train_embedding=True), "lottery").mean, 20.67)
for untried in ({"penalty": "shuffled", "manifold": "torus6", "inhibitor": "sinusoid"}, {"sparsity": 0.8}, {"sparsifier": "rigl"}, {"power": 2}, {"strength": 5.0}, {"hidden": 100}):
    assert paper_cell(at(**untried)) is None, untried


# %% [markdown]
# ## Whatever the paper set
#
# Tables 11 to 14 have its hyperparameters; where their text has lost a value, the published code's is taken (marked by a star).

# %%
#| export
@checked
def hyperparameter_table(
    config: type[Config],  # of a task
) -> str:  # Markdown
    "The paper's hyperparameters of a task beside those of our scales"
    entry, names = paper_hyperparameters()[config.task], [scale for scale in config.scales if scale != "tiny"]
    lines = [f"| | table {entry['table']} | " + " | ".join(names) + " |", "|---" * (2 + len(names)) + "|"]
    for name, value in entry["values"].items():
        ours = (config.scales[scale].get(name, "") for scale in names)
        lines.append(f"| {name} | {value} | " + " | ".join(str(v) for v in ours) + " |")
    return "\n".join(lines) + "\n"


# %%
display(Markdown(hyperparameter_table(AddingConfig)))
for kind in (NavigationConfig, AddingConfig):
    for name in paper_hyperparameters()[kind.task]["values"]:
        assert name in {one.name for one in fields(kind)} | {"optimizer", "clip", "loss", "bias", "nonlinearity", "layers", "total batches"}, name


# %% [markdown]
# ## Exercise 1: how many failed?
#
# *5 min, medium.* A cell has mean $m$. Say that networks that learned are at $a$ and those that did not at $b$. Which share failed?

# %%
def failed(mean, learned, chance):
    "Share of networks that failed, if a mean is of those that learned, at `learned`, and those that did not, at `chance`"
    raise NotImplementedError


# %%
#| fold How it is checked
cell = tables["1"].cell("90% Sparse", "none")
with exercise("m = (1 - p) a + p b; solve for p", lambda: draw_curve(lambda m: failed(m, 5.0, 95.0), range(5, 96, 5), "mean of a cell (cm)", "share that failed")) as expect:
    expect(failed, 27.5, 5.0, 95.0, gives=0.25)
    expect.that(0.7 < failed(cell.mean, 5.0, 95.0) < 0.8, f"the paper's cell has a mean of {cell.mean}, and your share is {failed(cell.mean, 5.0, 95.0):.2f}")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def failed(mean, learned, chance):
#     return (mean - learned) / (chance - learned)
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: the lottery cells
#
# *5 min, easy.* Always answering 1 gives the adding problem an error of $\sqrt{1/6}$. Which cells of tables 8 to 10 are within 0.01 of it?

# %%
def at_chance(cells, chance):
    "The cells, of a list, whose mean is within 0.01 of chance"
    raise NotImplementedError


# %%
#| fold How it is checked
cells = [cell for number in ("8", "9", "10") for cell in tables[number].cells]
near = [k for k, cell in enumerate(cells) if round(abs(cell.mean - (1 / 6) ** 0.5), 6) < 0.01]
with exercise("compare each cell's mean with chance", lambda: draw_bars({"lottery cells": sum(cell.result == "lottery" for cell in cells), "of them at chance": sum(cell.result == "lottery" for cell in at_chance(cells, (1 / 6) ** 0.5)),
                                                                        "others at chance": sum(cell.result != "lottery" for cell in at_chance(cells, (1 / 6) ** 0.5))}, "cells of tables 8 to 10")) as expect:
    expect(lambda: len(at_chance(cells, (1 / 6) ** 0.5)), gives=len(near), name="the number of cells that you find")
    expect(lambda: at_chance(cells, (1 / 6) ** 0.5), gives=[cells[k] for k in near], name="your list")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def at_chance(cells, chance):
#     return [cell for cell in cells if abs(cell.mean - chance) < 0.01]
# ```
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - A first version looked tables up by how their captions begin. So R³ with a trained embedding never met the column that the paper calls Rⁿ, and shuffled prices on a 6-torus were shown with the numbers of those on a torus, as if they were its own.
# - A setting that the paper has not tried was given the nearest thing that it has. Now it has no number.
#
# The paper prints mean and standard deviation of 4 or 5 trials. It does not say how many of them learned, and its text has lost the values of λ of tables 17 to 20, some headers, and one number of table 4: such cells say so.
#
# ## Recall and think
#
# <details><summary>Recall: when does a number of the paper stand beside ours?</summary>
#
# When every setting that decides the result is that of the cell, or is given by the scale.
#
# </details>
#
# <details><summary>Recall: where do means of mixtures lie?</summary>
#
# On an arch: far from both kinds of networks, with a large deviation.
#
# </details>
#
# <details><summary>Think: how would you write the table of a paper so that a program can fill its neighbour?</summary>
#
# With the settings of each cell, in full, beside the number; and with every seed's own value.
#
# </details>
#
# **References.** Tables 1–20 and appendices A, E, G of the paper.
