# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What a number means
#
# > How many networks learned, how sure a difference is, and when a claim holds

# %% [markdown]
# *Reading 20 min, exercises 15 min. To skip at a first reading:* *Ours beside a cell*.
#
# After this chapter you can
#
# - report a mixture of networks that learned and networks that did not,
# - say how sure a difference between two conditions is, from networks that share their seeds,
# - give a verdict on a claim, and say what would have changed it.
#
# The question: *five networks a condition, and the means differ by a third. Is that a finding?*

# %%
#| default_exp lab.statistics

# %%
#| export
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from modreg.geometry.arguments import checked
from modreg.lab.experiments import DENSE, PLAIN, SELECTION, best_strength
from modreg.lab.paper import Cell, paper_tables
from modreg.lab.results import Record, matching
from modreg.lab.runs import PhaseName
from modreg.lab.settings import Config
from modreg.lab.training import Task

# %%
#| hide
import matplotlib.pyplot as plt
from fastcore.test import test_close, test_eq, test_fail

from modreg.book.exercises import draw_bars, draw_curve, exercise
from modreg.tasks.adding import Adding

plt.style.use("modreg.data.book")

# %% [markdown]
# ## How many learned?
#
# *Predict:* seven of ten networks end near 0.1, and three at 0.4, where chance is. Which of these numbers would you print: the mean, the median, or two others?

# %%
#| fig-alt: "Ten networks as dots on a line of RMSE: seven near 0.1, three at 0.4, and the mean at 0.2, where there is none."
errors = [0.08, 0.09, 0.1, 0.1, 0.11, 0.12, 0.14, 0.4, 0.41, 0.41]
fig, ax = plt.subplots(figsize=(5.2, 1.6), layout="constrained")
ax.plot(errors, [0] * len(errors), "o", alpha=0.6)
ax.axvline(np.mean(errors), color="C1", label="mean")
ax.axvline(0.204, color="0.6", linestyle=":", label="learned, if left of this")
ax.set(yticks=[], xlim=(0, 0.5), xlabel="RMSE, a dot a network")
ax.legend(frameon=False)
plt.show()


# %% [markdown]
# No network is where their mean is. So we print how many learned, with an interval, and the median of those. Each task says what counts as learned: an error below a given share of that of a guess which ignores the input.
# The interval is Clopper and Pearson's, which is exact for any number of seeds. A network that diverged has learned nothing, and counts.

# %%
#| export
@checked
@dataclass(frozen=True)
class Outcome:
    "What became of the networks of one condition"

    seeds: int  # networks, diverged ones too
    learned: int  # those whose metric is below what counts as learned
    low: float  # of the share that learned: lower end of its 95 % interval
    high: float  # upper end
    median: float | None  # metric of those that learned; None if none did
    mean: float | None  # metric of all that did not diverge; None if all did
    deviation: float | None  # standard deviation of the same; None of fewer than two


@checked
def outcome(
    values: Sequence[float | None],  # the metric of each seed, None for one that diverged; lower is better
    below: float,  # a network whose metric is below this has learned
) -> Outcome:
    "Success rate with its exact interval, and what those that learned and all of them reached; ValueError if there is no network"
    from scipy import stats
    if not len(values):
        raise ValueError("values=[] are of no network at all: there is no rate without seeds")
    finite = [v for v in values if v is not None]
    good = [v for v in finite if v < below]
    interval = stats.binomtest(len(good), len(values)).proportion_ci(method="exact")
    return Outcome(
        len(values), len(good), float(interval.low), float(interval.high), float(np.median(good)) if good else None,
        float(np.mean(finite)) if finite else None, float(np.std(finite, ddof=1)) if len(finite) > 1 else None)


# %%
found = outcome([*errors, None], 0.204)
test_eq((found.seeds, found.learned, found.median), (11, 7, 0.1))
test_close(outcome([0.1] * 10, 0.2).low, 0.025**0.1)  # ten of ten: the rate for which this would happen once in forty times
test_eq(outcome([None], 0.2).mean, None)
test_fail(lambda: outcome([], 0.2), contains="no rate without seeds")

# %% [markdown]
# ## How sure is a difference?
#
# Networks of two conditions that share a seed share their data and their start, so they are compared in pairs. The interval of the mean difference comes from the bootstrap: draw as many pairs anew from those that there are, ten thousand times.
# A diverged network counts as one that is at chance. The *p* of a difference is twice the share of such draws whose mean lies on the other side of 0: the smaller, the surer.

# %%
#| export
RESAMPLES = 9999


@checked
@dataclass(frozen=True)
class Difference:
    "Of a first condition's metric from a second one's, over networks that share their seeds; negative if the first is better"

    pairs: int
    mean: float
    low: float  # lower end of the 95 % interval
    high: float  # upper end
    p: float  # twice the share of resamples whose mean lies on the other side of 0
    effect: float | None  # mean difference in standard deviations of the differences; None if all are equal
    improvement: float  # probability that a network of the first is better than one of the second; equal ones count half


# %%
#| export
@checked
def difference(
    first: Sequence[float | None],  # the metric of each seed, None for one that diverged; lower is better
    second: Sequence[float | None],  # the same seeds under another condition
    chance: float,  # the metric of a network that diverged
) -> Difference:
    "Paired by seed, with a bootstrap interval; ValueError if the seeds are not as many, or fewer than two"
    from scipy import stats
    if len(first) != len(second) or len(first) < 2:
        raise ValueError(f"first has {len(first)} seeds and second {len(second)}: give the same two or more seeds of both")
    a, b = (np.array([chance if v is None else v for v in values], float) for values in (first, second))
    apart = a - b
    spread = float(apart.std(ddof=1))
    better = float(np.mean(np.sign(b[None] - a[:, None]) / 2 + 0.5))
    if spread == 0:
        mean = float(apart[0])
        return Difference(len(a), mean, mean, mean, float(mean == 0), None, better)
    found = stats.bootstrap((apart,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(0))
    means = found.bootstrap_distribution
    p = min(1.0, 2 * (1 + min((means <= 0).sum(), (means >= 0).sum())) / (RESAMPLES + 1))
    low, high = (float(end) for end in found.confidence_interval)
    return Difference(len(a), float(apart.mean()), low, high, float(p), float(apart.mean() / spread), better)


# %%
one = difference([1.0, 2.0, 3.0, None], [2.0, 3.5, 4.0, 9.0], chance=10.0)
test_eq(one.pairs, 4)
test_close(one.mean, np.mean([-1, -1.5, -1, 1]))
clear = difference([1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 3.2, 4.1, 5.3, 6.2], chance=10.0)
assert clear.low <= clear.mean <= clear.high < 0 and clear.p < 0.001
test_eq(difference([1.0, 1.0], [1.0, 1.0], 10.0).p, 1.0)
test_fail(lambda: difference([1.0], [1.0], 10.0), contains="two or more seeds")

# %% [markdown]
# *Predict:* how often does such an interval miss 0 where there is no difference at all? It should be one time in twenty.

# %%
#| fig-alt: "Share of false findings with 3, 5 and 10 seeds: over 20 % with three, over 10 % with five, nearer the wanted 5 % with ten."
rng = np.random.default_rng(1)
misses = {n: np.mean([not (d := difference(*rng.normal(size=(2, n)), chance=0.0)).low <= 0 <= d.high for _ in range(400)]) for n in (3, 5, 10)}
fig, ax = plt.subplots(figsize=(4, 2.4), layout="constrained")
ax.bar([str(n) for n in misses], [100 * m for m in misses.values()])
ax.axhline(5, color="0.6", linestyle=":")
ax.set(xlabel="seeds", ylabel="false findings (%)")
plt.show()


# %% [markdown]
# It is far more often with three seeds, which decide nothing here, several times as often with five, and still too often with ten: few numbers, drawn anew, vary less than fresh ones would. A verdict asks for five pairs at least, where one that *holds* is a hint to run more, and each table's claims have to share their one chance in twenty.
#
# ## Many claims
#
# Whoever tests ten claims of which none is true, each at one in twenty, finds one that seems to hold in four tables of ten. Holm's correction takes the smallest p times the number of claims, the next times one less, and so on.

# %%
#| export
@checked
def holm(
    p: Sequence[float],
) -> list[float]:  # in the same order
    "Probabilities of as large a difference by chance, corrected for as many tests"
    order = np.argsort(p)
    corrected: Any = np.maximum.accumulate([(len(p) - k) * p[i] for k, i in enumerate(order)]) if len(p) else []
    found = np.empty(len(p))
    found[order] = np.minimum(1.0, corrected)
    return found.tolist()


# %%
test_close(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
test_eq(holm([0.9, 0.8]), [1.0, 1.0])


# %% [markdown]
# ## Claims
#
# What the paper says was written down before the runs: a sentence, its place, two columns of a table, and the rows for which it is said. A claim is that the first is better, or, where it has `same`, that the two differ by less than that share of the second.

# %%
#| export
@checked
@dataclass(frozen=True)
class Claim:
    "A sentence of the paper that can hold or fail"

    table: str
    place: str  # where it stands in the paper
    sentence: str
    first: str  # the column that is said to be better
    second: str  # the column that it is compared with
    rows: tuple[str, ...]
    same: float | None = None  # a share of the second: the claim is that they differ by less


@cache
@checked
def claims() -> tuple[Claim, ...]:
    "All claims, as they were written down before the runs"
    text = (files("modreg") / "data" / "claims.json").read_text(encoding="utf-8")
    return tuple(Claim(**{**one, "rows": tuple(one["rows"])}) for one in json.loads(text))


# %%
for claim in claims():
    for row in claim.rows:
        for column in (claim.first, claim.second):
            paper_tables()[claim.table].cell(row, column)  # raises if there is none
print(f"{len(claims())} claims on {len({claim.table for claim in claims()})} tables")


# %% [markdown]
# ## Ours beside a cell
#
# A cell asks for the runs with its settings at one of our scales. The strength of a penalty is the one that did best on seeds that are not reported; the same grid is tried for each condition.

# %%
#| export
@checked
def config_for(
    task: type[Task],
    changes: dict[str, Any],  # of a condition, and `sparsity`
    phase: PhaseName = "train",  # or "lottery"
    scale: str = "small",
    **settings: Any,  # that differ from the scale's, such as `schedule` and `seeds`
) -> Config:
    "The config of a condition's run, without the choice of its strength"
    usual: dict[str, Any] = {"device": "cpu", "scale": scale, "lottery": phase == "lottery"}
    config = task.Config(**usual | settings | changes)
    if not config.sparsity:
        config = replace(config, **DENSE)
    return replace(config, **PLAIN) if config.penalty == "none" else config


# %%
#| export
@checked
def config_of(
    cell: Cell,
    task: type[Task],  # of the table, or one of your own
    scale: str = "small",
    **settings: Any,  # that differ from the scale's, such as `schedule` and `seeds`
) -> Config:
    "The config of the run that a cell asks for, without the choice of its strength"
    return config_for(task, cell.settings, cell.result, scale, **settings)


@checked
def chosen_strength(
    records: Iterable[Record],
    config: Config,  # whose strength is to be chosen
    metric: str,  # by which strengths are chosen; lower is better
) -> float:  # the config's own if nothing was tried
    "The strength that did best on the seeds of the selection; of those that were tried on most seeds, since the best of many single seeds is luck"
    found = [(one["settings"].get("strength", config.strength), one["phases"]["train"][metric]) for one in matching(records, replace(config, seed=SELECTION), free=("strength", "seeds"))]
    most = max((len(values) for _, values in found), default=0)
    tried = {strength: values for strength, values in found if len(values) == most}
    return best_strength(tried) if tried else config.strength


# %%
#| export
def _sparsest(cell: Cell) -> Cell:
    "The cell of the same column whose network has most zeros: where strengths are chosen"
    others = [one for one in paper_tables()[cell.table].cells if one.result == "train" and "sparsity" in one.settings]
    most = max((one.settings["sparsity"] for one in others), default=cell.settings["sparsity"])
    return replace(cell, settings=cell.settings | {"sparsity": most}, result="train")


# %%
#| export
@checked
def largest(
    records: Iterable[Record],
    config: Config,
    task: type[Task],
    phase: PhaseName = "train",  # or "lottery"
    free: Iterable[str] = (),  # settings that may be others, beside the number of seeds
) -> Record | None:  # None if there is none
    "The record with most seeds that answers for a config's phase"
    found = matching(records, config, phase, free=("seeds", *free))
    return max(found, key=lambda one: len(one["phases"][phase][task.metric]), default=None)


# %%
#| export
@checked
def record_of_cell(
    records: Sequence[Record],
    cell: Cell,
    task: type[Task],  # of the table
    scale: str = "small",
    **settings: Any,  # that differ from the scale's
) -> Record | None:  # the one with most seeds; None if nobody ran it
    "Our record for a cell, at the strength that was chosen at the table's sparsest row"
    config = config_of(cell, task, scale, **settings)
    if config.penalty != "none":
        config = replace(config, strength=chosen_strength(records, config_of(_sparsest(cell), task, scale, **settings), task.chosen_by or task.metric))
    return largest(records, config, task, cell.result)


# %%
cells = paper_tables()["8"]
config = config_of(cells.cell("95% Sparse", "torus"), Adding)


def made(column: str, values: list, **settings) -> dict:
    "A record as a run leaves it, with values that were made up to try the statistics on"
    from modreg.lab.settings import decisive

    one = config_of(cells.cell("95% Sparse", column), Adding, seeds=len(values), **settings)
    return {"run": f"adding-{column}-{settings}", "task": "adding", "settings": decisive(one), "learned_below": 0.2, "phases": {"train": {"rmse": values}}}


records = [made("torus", [0.1] * 5 + [0.12] * 3), made("torus", [0.3], seed=SELECTION), made("torus", [0.2], seed=SELECTION, strength=1.0), made("torus", [0.09, 0.1, 0.11, 0.12, 0.1], strength=1.0)]
test_eq(chosen_strength(records, config, "rmse"), 1.0)
test_eq(len(record_of_cell(records, cells.cell("95% Sparse", "torus"), Adding)["phases"]["train"]["rmse"]), 5)
test_eq(record_of_cell(records, cells.cell("95% Sparse", "l1"), Adding), None)
lucky = [made("torus", [0.01], seed=SELECTION, strength=1e-7), *(made("torus", [error, error + 0.1], seed=SELECTION, strength=s) for s, error in ((0.01, 0.3), (1.0, 0.1), (100.0, 0.2)))]
test_eq(chosen_strength(lucky, config, "rmse"), 1.0)  # a single seed counts for nothing where others were tried on two


# %% [markdown]
# ## A verdict
#
# A claim *holds* if for each of its rows the difference lies on the claimed side and its corrected p is below one in twenty; it *fails* if for one of its rows the same is true of the other side; else it is *undecided*. That two are the same holds if the whole interval is within what was allowed, and fails if it is wholly outside.

# %%
#| export
@checked
@dataclass(frozen=True)
class Verdict:
    "What our networks say of a claim"

    claim: Claim
    word: str  # "holds", "fails" or "undecided"
    why: str
    differences: dict[str, Difference]  # by row, for those that were run
    corrected: dict[str, float]  # p after Holm's correction over the table's claims, by row
    runs: tuple[str, ...]  # folders that the numbers come from


def _pair(first: Record, second: Record, phase: str, metric: str) -> tuple[list, list]:
    "The metric of the seeds that both have"
    values = [one["phases"][phase][metric] for one in (first, second)]
    starts = [one["settings"].get("seed", 0) for one in (first, second)]
    begin, end = max(starts), min(s + len(v) for s, v in zip(starts, values, strict=True))
    return tuple(v[begin - s:max(begin, end) - s] for s, v in zip(starts, values, strict=True))


# %%
#| export
def _word(claim: Claim, found: dict[str, tuple[Difference, float]], sizes: dict[str, float]) -> tuple[str, str]:
    "Verdict and reason"
    missing = [row for row in claim.rows if row not in found]
    few = [row for row in found if found[row][0].pairs < 5]
    if claim.same is not None:
        inside = [max(abs(d.low), abs(d.high)) <= claim.same * sizes[row] for row, (d, _) in found.items()]
        outside = [min(abs(d.low), abs(d.high)) > claim.same * sizes[row] and d.low * d.high > 0 for row, (d, _) in found.items()]
    else:
        inside = [d.mean < 0 and p < 0.05 for d, p in found.values()]
        outside = [d.mean > 0 and p < 0.05 for d, p in found.values()]
    if few:
        return "undecided", f"fewer than 5 pairs of networks: {', '.join(few)}"
    if any(outside):
        return "fails", "the difference is " + ("larger than that" if claim.same is not None else "the other way round")
    if missing:
        return "undecided", f"not run: {', '.join(missing)}"
    return ("holds", "in every row") if all(inside) else ("undecided", "a difference as large may be chance" if claim.same is None else "the interval is too wide")


# %%
#| export
def _chance(records: Iterable[Record], metric: str) -> float:
    "What a diverged network counts as: the larger of what counts as learned and of all that was measured"
    found = [v for one in records for phase in one["phases"].values() for v in phase[metric] if v is not None]
    return max([*found, *(one.get("learned_below") or 0.0 for one in records)])


# %%
#| export
@checked
def verdicts(
    table: str,  # its number
    records: Sequence[Record],
    task: type[Task],  # of the table
    scale: str = "small",
    **settings: Any,  # that differ from the scale's
) -> list[Verdict]:  # of every claim on the table
    "What records say of a table's claims"
    mine, compared, runs = [one for one in claims() if one.table == table], [], []
    for claim in mine:
        for row in claim.rows:
            cells = [paper_tables()[table].cell(row, column) for column in (claim.first, claim.second)]
            pair = [one for one in (record_of_cell(records, cell, task, scale, **settings) for cell in cells) if one is not None]
            if len(pair) < 2:
                continue
            values = _pair(pair[0], pair[1], cells[0].result, task.metric)
            if len(values[0]) > 1:
                size = float(np.mean([v for v in values[1] if v is not None] or [math.inf]))
                compared.append((claim, row, difference(*values, chance=_chance(pair, task.metric)), size))
                runs.append((claim, [one["run"] for one in pair]))
    corrected = holm([d.p for _, _, d, _ in compared])
    found = {claim: {row: (d, p) for (c, row, d, _), p in zip(compared, corrected, strict=True) if c == claim} for claim in mine}
    sizes = {claim: {row: size for c, row, _, size in compared if c == claim} for claim in mine}
    return [Verdict(claim, *_word(claim, found[claim], sizes[claim]), {row: d for row, (d, _) in found[claim].items()},
                    {row: p for row, (_, p) in found[claim].items()}, tuple(dict.fromkeys(run for c, names in runs if c == claim for run in names))) for claim in mine]


# %%
good, bad, same = [0.1, 0.11, 0.12, 0.1, 0.09], [0.3, 0.31, 0.29, 0.33, None], [0.11, 0.1, 0.11, 0.12, 0.09]
words = {v.claim.second: v.word for v in verdicts("8", [made("torus", good), made("none", bad), made("shuffled", same)], Adding)}
test_eq(words, {"l1": "undecided", "shuffled": "undecided", "none": "holds"})
test_eq(verdicts("8", [made("torus", bad), made("none", good)], Adding)[-1].word, "fails")
test_eq(verdicts("8", [made("torus", good[:3]), made("none", bad[:3])], Adding)[-1].word, "undecided")  # three seeds decide nothing
test_eq(verdicts("8", [], Adding)[0].why, "not run: 95% Sparse")


# %% [markdown]
# ## Exercise 1: paired or not?
#
# *10 min, medium.* Two conditions on the same five seeds, where seeds differ much and conditions little. Compute the standard error of the mean difference with pairs, and without.

# %%
def errors_of_difference(a, b):
    "Standard errors of the mean difference of two lists of results, seed by seed: a pair, with the seeds' pairs and without"
    raise NotImplementedError


# %%
#| fold How it is checked
a, b = [1.0, 5.0, 9.0, 3.0], [1.2, 5.1, 9.3, 3.2]
with exercise("with pairs: the spread of the differences over the root of their number; without: both variances add", lambda: draw_bars(dict(zip(("with pairs", "without"), errors_of_difference(a, b), strict=True)), "standard error of the difference")) as expect:
    expect(errors_of_difference, [0.0, 2.0], [1.0, 5.0], gives=(1.0, (((1**2 + 1**2) + (2**2 + 2**2)) / 2) ** 0.5))
    paired, apart = errors_of_difference(a, b)
    expect.that(paired < apart / 20, "these seeds differ much and the conditions little, so the error with pairs should be far less than without")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def errors_of_difference(a, b):
#     a, b = np.array(a), np.array(b)
#     return (a - b).std(ddof=1) / len(a) ** 0.5, ((a.var(ddof=1) + b.var(ddof=1)) / len(a)) ** 0.5
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: how many seeds?
#
# *5 min, medium.* Nine of nine networks learned. From how many successes of as many seeds on does the exact interval exclude a rate of 80 %?

# %%
def seeds_needed(rate):
    "From how many successes of as many seeds on the lower end of the exact interval is above a rate"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("the lower end for n of n is 0.025 ** (1 / n): try n = 1, 2, …", lambda: draw_curve(seeds_needed, [0.3 + k / 20 for k in range(13)], "rate to be excluded", "seeds, all of them successes")) as expect:
    expect(seeds_needed, 0.8, gives=17)
    expect(seeds_needed, 0.5, gives=6)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def seeds_needed(rate):
#     return next(n for n in range(1, 1000) if outcome([0.0] * n, 1.0).low > rate)
# ```
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - Mean ± deviation of five networks, of which two had not learned, was printed as if it were an error with some noise.
# - A normal interval of three seeds was once drawn here, as if three numbers had a shape. With three pairs even the bootstrap calls a difference real several times as often as it should.
# - Nineteen comparisons of one table at one in twenty each: one of them was "significant", and it was the one that the text spoke of.
#
# The paper reports mean and standard deviation of 4 or 5 trials, tests nothing, and chooses one strength for all conditions.
#
# ## Recall and think
#
# <details><summary>Recall: why are networks compared in pairs?</summary>
#
# Those that share a seed share data and start, so their difference varies less than each of them.
#
# </details>
#
# <details><summary>Recall: when does a claim hold here?</summary>
#
# When in each of its rows the difference lies on the claimed side, and its p, corrected for all claims, is below one in twenty.
#
# </details>
#
# <details><summary>Think: three seeds of each condition do not overlap. What do you say?</summary>
#
# That chance does this one time in ten (of the twenty ways to deal six numbers into two threes, two do not overlap); run more seeds, chosen before you look.
#
# </details>
#
# **References.** Clopper and Pearson, *The use of confidence or fiducial limits* (1934). Efron, *Bootstrap methods* (1979). Holm, *A simple sequentially rejective multiple test procedure* (1979).
# Agarwal et al., *Deep reinforcement learning at the edge of the statistical precipice* (2021), on few runs and the probability of improvement.
