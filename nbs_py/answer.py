# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Is it a better network?
#
# > All tasks in one figure: what pruning costs, what a penalty saves, and what is left of geometry

# %% [markdown]
# *Reading 15 min, exercises 15 min. To skip at a first reading:* nothing.
#
# After this chapter you can
#
# - read off at which sparsity a task's networks begin to break, and how much training has cost by then,
# - say which comparison isolates geometry from the mere size of a penalty,
# - ask the same of a task or a condition of your own, with one call.
#
# The question: *nine in ten connections are gone, and what is left has the shape of a torus. Is it a better network than one that was pruned without a thought?*

# %%
#| default_exp book.answer

# %%
#| export
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from modreg.geometry.arguments import OneOf, Share, Within, checked, nearest, shown
from modreg.lab.experiments import CONDITIONS
from modreg.lab.results import Record, all_records
from modreg.lab.runs import PHASES, PhaseName
from modreg.lab.statistics import chosen_strength, config_for, difference, holm, largest, outcome
from modreg.lab.training import Task
from modreg.sparsity.penalties import display_name
from modreg.sparsity.pruning import SHARES
from modreg.sparsity.weights import weight_matrices
from modreg.tasks.adding import Adding
from modreg.tasks.head_direction import HeadDirection
from modreg.tasks.language import Language
from modreg.tasks.navigation import Navigation
from modreg.tasks.speech import Speech

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# %%
#| hide
import matplotlib.pyplot as plt
from fastcore.test import test_close, test_eq
from IPython.display import Markdown, display

from modreg.book.exercises import draw_curve, draw_lines, exercise
from modreg.lab.settings import decisive

plt.style.use("modreg.data.book")

# %%
#| fig-alt: "Five tasks, one below the other. For each, a row of dots for each condition: errors as multiples of the dense network's with the same seed, on a logarithmic axis with a line at 1, and a bar at each median. Rows of the same task overlap widely."
from modreg.book.answer import plot_answer as finished_plot

finished_plot(plt.figure(layout="constrained"))
plt.show()

# %% [markdown]
# Every dot is a network, at the place of its error divided by that of the dense network with the same seed. At 1 pruning has cost nothing. Colours are conditions: *no penalty* was pruned without one; *L1* pays the same price for every weight; *moduli* pays by distance, which is the method of this book;
# *shuffled prices* pays the same prices, dealt out to the wrong weights; *small dense* was never pruned, and has as few weights to begin with. *Predict:* if a penalty's geometry helps, which two colours must stand apart,
# and which must not be taken for proof?
#
# ## The networks of one condition
#
# Results are records of complete runs ([results](results.ipynb)). A condition is a change of settings, such as another penalty; its records, one for each sparsity, make a curve. Where several strengths λ of a penalty were tried, it is the one that did best on seeds of their own, which are not shown.

# %%
#| export
ASKED: dict[type[Task], float] = {Navigation: 0.9, Adding: 0.95, Language: 0.9, Speech: 0.9, HeadDirection: 0.9}  # the sparsity at which each task is asked
SMALL = "small dense"  # a dense network without a penalty, with as many weights as a sparse one has left
COMPARED = (SMALL, "none", "l1", "shuffled", "moduli")  # conditions of the figure


@checked(finite=False)
def curve(
    records: Sequence[Record],
    task: type[Task],
    condition: Annotated[str, OneOf(CONDITIONS)] = "none",  # a name in CONDITIONS
    scale: str = "small",
    phase: PhaseName = "train",  # or "lottery"
    **settings: Any,  # that differ from the scale's
) -> dict[float, Record]:  # the record with most seeds for each sparsity, in rising order
    "What is known of a condition; a dense network is the one without a penalty"
    found, metric = {}, task.chosen_by or task.metric
    for sparsity in sorted({one["settings"].get("sparsity", task.Config.sparsity) for one in records}):
        config = config_for(task, CONDITIONS[condition] | {"sparsity": sparsity}, phase, scale, **settings)
        if config.penalty != "none":
            config = replace(config, strength=chosen_strength(records, config, metric))
        if (sparsity or condition == "none") and (one := largest(records, config, task, phase)):
            found[sparsity] = one
    return found


# %%
records = {task: all_records(task.Config) for task in ASKED}
for task, kept in records.items():
    known = {name: [f"{100 * s:g} %" for s in curve(kept, task, name)] for name in COMPARED[1:]}
    print(f"{task.Config.task.replace('_', ' ')}: " + "; ".join(f"{display_name(name)} at {', '.join(at)}" for name, at in known.items() if at) or "nothing yet")


# %% [markdown]
# ## Where a task's networks break
#
# The error of each network against the share of zeros, and below it what training has cost: multiplications by weights, as a share of what a dense network takes. A line joins medians of the networks that learned; where none did, it ends.

# %%
#| export
@checked(finite=False)
def plot_curves(
    records: Sequence[Record],
    task: type[Task],
    figure: "Figure",
    conditions: Sequence[str] = COMPARED[1:],
    scale: str = "small",
    phase: PhaseName = "train",  # or "lottery"
    **settings: Any,  # that differ from the scale's
) -> dict[str, dict[float, Record]]:  # what was drawn, by condition
    "Every network's metric over sparsity, and what its training cost"
    curves = {name: curve(records, task, name, scale, phase, **settings) for name in conditions}
    sparsities = sorted({s for found in curves.values() for s in found})
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    for k, (name, found) in enumerate(curves.items()):
        shift, colour = 0.07 * (k - (len(curves) - 1) / 2), f"C{COMPARED.index(name) if name in COMPARED else len(COMPARED) + k}"  # as in `plot_answer`
        for s, one in found.items():
            x, last = sparsities.index(s), one["phases"][phase]
            dots = [v for v in last[task.metric] if v is not None]
            top.plot([x + shift] * len(dots), dots, "o", color=colour, markersize=3, alpha=0.5)
            if "training" in last:
                below.plot(x + shift, np.mean(last["training"]) / np.mean(last["dense_training"]), "_", color=colour, markersize=14)
        middle = [outcome(found[s]["phases"][phase][task.metric], found[s]["learned_below"] or math.inf).median if s in found else None for s in sparsities]
        top.plot([x + shift for x in range(len(sparsities))], [math.nan if m is None else m for m in middle], "_-", color=colour, markersize=12, label=display_name(name))
    below.set(xticks=range(len(sparsities)), xticklabels=[f"{100 * s:g}" for s in sparsities], xlabel="weights that are zero (%)", ylabel="cost of\ntraining", ylim=(0, 1.1))
    top.set(ylabel=task.label)
    if sparsities:
        top.legend(frameon=False)
    return curves


# %%
#| fig-alt: "Error of one task against the share of zeros, a dot a network in the colour of its penalty, with a line through the medians; below it what training cost, a bar that is shorter where more weights are zero."
for task, kept in records.items():
    if any(curve(kept, task, name) for name in COMPARED[1:]):
        figure = plt.figure(figsize=(5.5, 4), layout="constrained")
        plot_curves(kept, task, figure)
        figure.suptitle(task.Config.task.replace("_", " "))
        plt.show()


# %% [markdown]
# ## A small dense network
#
# A sparse network has few weights. So has a dense one with fewer neurons, which no one needs to prune. *Predict:* of two networks with as many weights, is the large sparse one the better? If it is not, the zeros were bought for nothing.

# %%
#| export
@checked(finite=False)
def as_large(
    task: type[Task],
    sparsity: Share,
    scale: str = "small",
) -> int:  # neurons
    "The size of the largest dense network that has no more weights than a sparse one of the scale's size keeps"
    config = task.Config(scale=scale, device="cpu", seeds=1)

    def weights(neurons: int) -> int:
        one = task(replace(config, hidden=neurons))
        return sum(parts.shape[1:].numel() for parts in weight_matrices(one.model(one.generators("weights")), 1).values())

    return bisect_right(range(1, config.hidden), round((1 - sparsity) * weights(config.hidden)), key=weights)


# %%
for task in (Navigation, Adding, HeadDirection):
    neurons = as_large(task, ASKED[task])
    print(f"{task.Config.task.replace('_', ' ')}: {task.Config(scale='small', device='cpu').hidden} neurons at {100 * ASKED[task]:g} % zeros have as many weights as {neurons} neurons without")


# %% [markdown]
# ## As a share of the dense twin's
#
# Tasks have different units. What all of them share is a dense network with the same seed and no penalty. *Predict:* a condition whose five networks have ratios 1.1, 1.2, 1.1, 1.3 and 6: what does their mean say?

# %%
#| export
def _by_seed(one: Record, metric: str) -> dict[int, float]:
    "A metric at the end of the phase `train`, by seed; infinite for one that diverged"
    return {seed: math.inf if v is None else v for seed, v in enumerate(one["phases"]["train"][metric], one["settings"].get("seed", 0))}


def _small(records: Sequence[Record], task: type[Task], scale: str) -> Record | None:
    "The record of dense networks that are smaller than the scale's"
    config = config_for(task, CONDITIONS["none"] | {"sparsity": 0.0}, scale=scale)
    return largest([one for one in records if one["settings"]["hidden"] < config.hidden], config, task, free=("hidden",))


@checked(finite=False)
def ratios(
    records: Sequence[Record],
    task: type[Task],
    sparsity: Share,
    conditions: Sequence[str] = COMPARED,
    scale: str = "small",
) -> dict[str, dict[int, float]]:  # by condition and seed; conditions that were not run are left out
    "Each network's metric divided by that of the dense one with its seed; infinite for a network that diverged"
    dense = curve(records, task, "none", scale).get(0.0)
    found = {name: _small(records, task, scale) if name == SMALL else curve(records, task, name, scale).get(sparsity) for name in conditions}
    twin = {} if dense is None else {seed: v for seed, v in _by_seed(dense, task.metric).items() if math.isfinite(v)}
    each = {name: {seed: v / twin[seed] for seed, v in _by_seed(one, task.metric).items() if seed in twin} for name, one in found.items() if one is not None}
    return {name: of for name, of in each.items() if of}


# %%
#| export
@checked(finite=False)
def all_ratios(
    asked: Mapping[type[Task], float] = ASKED,  # tasks, and the sparsity at which each is asked
    conditions: Sequence[str] = COMPARED,
    scale: str = "small",
) -> dict[type[Task], dict[str, dict[int, float]]]:  # by task, condition and seed
    "The ratios of all tasks, from all records that are at hand"
    return {task: ratios(all_records(task.Config), task, sparsity, conditions, scale) for task, sparsity in asked.items()}


# %%
#| export
@checked(finite=False)
def plot_answer(
    figure: "Figure",
    asked: Mapping[type[Task], float] = ASKED,  # tasks, and the sparsity at which each is asked
    conditions: Sequence[str] = COMPARED,
    scale: str = "small",
) -> None:
    "Every network of every task and condition, as a share of its dense twin's error; a bar at each median"
    rows = {task: found for task, found in all_ratios(asked, conditions, scale).items() if set(found) - {SMALL}}
    figure.set_size_inches(6, 1.2 + 0.8 * max(1, len(rows)))
    ax, bars = figure.subplots(), {}
    for y, found in enumerate(rows.values()):
        for name, values in found.items():
            k = conditions.index(name)
            height, finite = y + 0.16 * (k - (len(conditions) - 1) / 2), [v for v in values.values() if math.isfinite(v)]
            ax.plot(finite, [height] * len(finite), "o", color=f"C{k}", markersize=4, alpha=0.6)
            (bars[name],) = ax.plot(np.median(list(values.values())), height, "|", color=f"C{k}", markersize=11, markeredgewidth=2.5)
    ax.axvline(1, color="0.5", linewidth=1)
    ax.set(xscale="log", xlabel="error ÷ that of the dense network with the same seed", yticks=range(len(rows)),
           yticklabels=[f"{task.Config.task.replace('_', ' ')}\n{100 * asked[task]:g} % zeros" for task in rows])
    ticks = [t for t in (0.5, 0.7, 1, 1.5, 2, 3, 5, 10) if ax.get_xlim()[0] <= t <= ax.get_xlim()[1]]
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.invert_yaxis()
    if bars:
        named = [name for name in conditions if name in bars]  # not every task has all of them
        figure.legend([bars[name] for name in named], [*map(display_name, named)], loc="outside upper center", ncols=3, frameon=False)


# %%
#| fig-alt: "Two tasks of the figure from the beginning of the chapter, drawn by the function above."
plot_answer(plt.figure(layout="constrained"), {Language: 0.9, HeadDirection: 0.9})  # or a task of yours
plt.show()


# %% [markdown]
# ## What may be said
#
# A difference counts if its interval, over networks paired by seed and corrected for as many tasks as are asked, leaves out 0 ([statistics](statistics.ipynb)). Moduli against *no penalty* asks whether the penalty helps. Moduli against *shuffled prices*
# asks whether its geometry does: there stand the same prices, permuted between the neurons, so that nothing but the shape is missing. With five networks such intervals are too narrow: *better* is then a hint and no proof.

# %%
#| export
def _named(tasks: Sequence[type[Task]]) -> str:
    "Names of tasks as a sentence has them"
    names = [task.Config.task.replace("_", " ") for task in tasks]
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]])) or "no task"


@checked(finite=False)
def compare(
    first: str,  # a condition
    second: str,  # what it is compared with
    among: Mapping[type[Task], Mapping[str, Mapping[int, float]]],  # by task, condition and seed: as of `all_ratios`
) -> dict[str, list[type[Task]]]:  # tasks in which the first is "better" or "worse", and those in which that is "open"
    "In which tasks two conditions differ for sure"
    found, run = {}, sorted({name for both in among.values() for name in both})
    for role, name in (("first", first), ("second", second)):
        if run and name not in run:
            raise ValueError(f"{role} is {shown(name)}, and no network of this condition is among them; {nearest(name, run)}there are {', '.join(run)}")
    for task, both in among.items():
        seeds = sorted(set(both.get(first, ())) & set(both.get(second, ())))
        if len(seeds) >= 5:
            values = [[both[name][seed] for seed in seeds] for name in (first, second)]
            worst = max([v for side in values for v in side if math.isfinite(v)], default=1.0)
            found[task] = difference(*([v if math.isfinite(v) else None for v in side] for side in values), chance=worst)  # type: ignore[misc, arg-type]  # there are two
    corrected = dict(zip(found, holm([d.p for d in found.values()]), strict=True))
    words = {task: "open" if corrected[task] >= 0.05 else "better" if d.mean < 0 else "worse" for task, d in found.items()}
    return {word: [task for task in found if words[task] == word] for word in ("better", "worse", "open")}


# %%
#| export
@checked(finite=False)
def answer(
    asked: Mapping[type[Task], float] = ASKED,
    scale: str = "small",
) -> list[str]:  # sentences; what has not been run has none
    "What the records say, in words"
    among = all_ratios(asked, COMPARED, scale)
    plain = {task: list(found["none"].values()) for task, found in among.items() if "none" in found}
    costs = ", ".join(f"{np.median(values):.2f} ({_named([task])}, {100 * asked[task]:g} % zeros)" for task, values in plain.items())
    said = [f"Pruned without any penalty, the median network has this many times its dense twin's error: {costs}."] if plain else []
    for second, words in (("none", display_name("none")), ("shuffled", "the same prices between other neurons")):
        found = compare("moduli", second, among)
        if any(found.values()):
            said.append(f"Compared with {words}, moduli are better in {_named(found['better'])}, worse in {_named(found['worse'])}, and not told apart in {_named(found['open'])}.")
    return said


# %%
display(Markdown("\n".join(f"- {sentence}" for sentence in answer()) or "No task has been run with five seeds yet."))


# %% [markdown]
# Made-up records show that the answer follows what is in them: moduli that are better in every network by a tenth, and shuffled prices that are better in one of five.

# %%
def made_up(penalty, values, sparsity=0.9):
    config = config_for(HeadDirection, CONDITIONS[penalty] | {"sparsity": sparsity}, seeds=5)
    return {"run": penalty, "task": "head_direction", "settings": decisive(config), "phases": {"train": {"error": values}}, "learned_below": 60.0}


E = [10.0, 11.0, 9.0, 10.5, 9.5]
rows = [made_up("none", [v / 2 for v in E], 0.0), made_up("none", E), made_up("moduli", [0.9 * v for v in E]), made_up("shuffled", [12.0, 7.0, 9.5, 10.0, 9.4])]
test_eq(ratios(rows, HeadDirection, 0.9, ("none", "l1")), {"none": {seed: 2.0 for seed in range(5)}})
test_close([ratios(rows, HeadDirection, 0.9)["moduli"][seed] for seed in range(5)], [1.8] * 5)
test_eq(list(curve(rows, HeadDirection)), [0.0, 0.9])
test_eq(list(curve(rows, HeadDirection, "moduli")), [0.9])


# %% [markdown]
# ## In which regime?
#
# The paper cuts by a linear schedule, in a network that starts as torch starts it, on inputs as they come. Its last cut takes a fifth of what is left. The small scale of this book has a cubic schedule, whose last cuts are small. *Predict:* where does a penalty have more to save?
#
# `--scale regime` is the paper's regime at 512 neurons. What is not run yet says so. The median stands before the best and the worst network.

# %%
#| export
def _networks(one: Record | None, metric: str, form: str, phase: PhaseName = "train") -> str:
    "The median of all networks, the best and the worst, and how many learned"
    if one is None:
        return "*not run*"
    values = [v for v in one["phases"][phase][metric] if v is not None]
    found = outcome(one["phases"][phase][metric], one["learned_below"] or math.inf)
    low, middle, high = (f"{v:{form}}" for v in (min(values), np.median(values), max(values))) if values else "–––"
    return f"{middle} ({low} to {high}), {found.learned} of {found.seeds} learned"


@checked(finite=False)
def schedules_markdown(
    records: Sequence[Record],
    task: type[Task],
    sparsity: Share,
    conditions: Sequence[str] = COMPARED[1:],
    scales: Sequence[str] = ("small",),
    digits: Annotated[int, Within(0, 15)] = 1,  # after the decimal point
) -> str:
    "Conditions under both schedules: the median of all networks, the best and the worst, and how many learned"
    columns = [(scale, schedule) for scale in scales for schedule in ("cubic", "linear")]
    lines = ["| | " + " | ".join(f"{scale}, {schedule}" for scale, schedule in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in conditions:
        texts = []
        for scale, schedule in columns:
            texts.append(_networks(curve(records, task, name, scale, schedule=schedule).get(sparsity), task.metric, f".{digits}f"))
        lines.append(f"| {display_name(name)} | " + " | ".join(texts) + " |")
    return "\n".join(lines) + "\n"


# %%
display(Markdown(f"{Navigation.label}, 90 % zeros\n\n" + schedules_markdown(records[Navigation], Navigation, 0.9, scales=("small", "regime"))))
broken = [one for name in ("none", "moduli") if (one := curve(records[Navigation], Navigation, name, "regime", schedule="linear").get(0.9))]
if len(broken) == 2:
    pairs = list(zip(*(one["phases"]["train"]["error"] for one in broken), strict=True))
    print(f"The paper's regime: the torus is ahead of no penalty in {sum(b < a for a, b in pairs)} of {len(pairs)} pairs of seeds, by {np.median([a - b for a, b in pairs]):.0f} cm. "
          f"Who stands still is {broken[0]['learned_below']:.1f} cm off.")

# %% [markdown]
# ```
# modreg sweep table1 --scale regime --seeds 5 --select
# modreg sweep table1 --scale regime --seeds 5 --select -p schedule cubic
# ```
#
# ## Is it the mask?
#
# The paper has no network that never had more than its few weights. Here are two: *random from birth*, whose weights were drawn by lot, and *cheapest from birth*, which has those that cost least by the geometry ([rivals](rivals.ipynb)). A third, *shuffled neurons*, pays the prices of moduli with the neurons in other places: nothing but the prices says where a neuron is, so it should do as well.
# The last column draws by lot too, but leaves each matrix as many weights as it has in a network that was pruned without a penalty (`-p sparsifier random -p shares FOLDER`). *Predict:* where the wiring of a torus is what makes a network good, how does one do that was born with it?

# %%
#| export
CONTROLS = ("none", "random", "geometric", "shuffled", "distance_shuffled", "moduli")  # conditions whose networks are as sparse as each other
ALIKE = "random, as many of each matrix as in one that was pruned"


@checked(finite=False)
def controls_markdown(
    asked: Mapping[type[Task], float] = ASKED,
    conditions: Sequence[str] = CONTROLS,
    scale: str = "small",
) -> str:
    "Conditions, a column each, at each task's sparsity: the median of all networks, the best and the worst, and how many learned; and the same of their tickets"
    lines = ["| | " + " | ".join([*map(display_name, conditions), ALIKE]) + " |", "|---" * (len(conditions) + 2) + "|"]
    for task, sparsity in asked.items():
        records = all_records(task.Config)
        given = [one for one in records if one["settings"].get("shares", task.Config.shares) not in SHARES]
        for phase in PHASES:
            lot = config_for(task, CONDITIONS["random"] | {"sparsity": sparsity}, phase, scale)
            found = [*(curve(records, task, name, scale, phase).get(sparsity) for name in conditions), largest(given, lot, task, phase, free=("shares",))]
            what = f"{_named([task])}: {task.label}, {100 * sparsity:g} % zeros" if phase == "train" else "its ticket"
            lines.append(f"| {what} | " + " | ".join(_networks(one, task.metric, ".3g", phase) for one in found) + " |")
    return "\n".join(lines) + "\n"


# %%
display(Markdown(controls_markdown()))


# %% [markdown]
# The rows of tickets are the fair ones: there all masks have weights that were drawn in the same way, in language and adding at the size that suits what is left of each row. What differs is the mask alone.
#
# A lot, or the geometry alone, that leaves the same share of every matrix makes a bad network in every task. As a ticket, a lot that leaves each matrix as many weights as a pruned network did (last column) goes most of the way from there to the pruned one in adding, language and head direction; in speech it goes none of it. So in three tasks much of what pruning finds is *how many* weights each matrix needs, and in speech that is not enough.
#
# ## Exercise 1: what would have looked like proof
#
# *10 min, medium.* Somebody compares the best torus of five with the median network that was pruned without a penalty. Write down by how much that is better on average if there is *no* difference at all, in standard deviations of a normal error.

# %%
def best_against_median(trials=10_000, seeds=5):
    "By how many standard deviations the least of so many normal errors is below the median of as many others, on average over trials"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("draw (2, trials, seeds) normal numbers; take the least of one half and the median of the other",
              lambda: draw_curve(lambda n: best_against_median(2000, int(n)), range(1, 31), "seeds of each", "standard deviations, from nothing")) as expect:
    expect(best_against_median, gives=1.163, within=0.03)  # the mean of the least of five is -1.163
    expect(best_against_median, 10_000, 1, gives=0.0, within=0.05)


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def best_against_median(trials=10_000, seeds=5):
#     draws = np.random.default_rng(0).normal(size=(2, trials, seeds))
#     return float(np.mean(np.median(draws[0], -1) - draws[1].min(-1)))
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: where does it break?
#
# *5 min, easy.* A task's networks break at the least sparsity at which the median of the plain networks' ratios exceeds 1.5. Find it in ratios that are given by sparsity; `None` if they hold to the end.

# %%
def breaks_at(medians):
    "The least sparsity whose median ratio, of a dict of median ratios by sparsity, is above 1.5; None if there is none"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("the least key whose value is above 1.5, or None", lambda: draw_lines("sparsity", "median ratio", held=([0.5, 0.9, 0.97], [1.0, 1.6, 2.4]), breaks=([breaks_at({0.5: 1.0, 0.97: 2.4, 0.9: 1.6})] * 2, [0, 2.4]))) as expect:
    expect(breaks_at, {0.5: 1.0, 0.97: 2.4, 0.9: 1.6}, gives=0.9)
    expect(breaks_at, {0.5: 1.0}, gives=None)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def breaks_at(medians):
#     return min((sparsity for sparsity, ratio in medians.items() if ratio > 1.5), default=None)
# ```
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - The first edition set single networks beside the paper's means, and its small sparse networks were worse than a guess. Here each is beside its dense twin, and a share of those that learned is told.
# - The paper compares its torus with no penalty and with L1 at one strength for all. Here λ is chosen for each on seeds that are not reported, where several were tried, and each comparison is paired by seed.
#
# ## Recall and think
#
# <details><summary>Recall: which comparison isolates geometry?</summary>
#
# Moduli against shuffled prices: the same prices, permuted.
#
# </details>
#
# <details><summary>Recall: what is a network's error divided by, so that tasks can be compared?</summary>
#
# By that of the dense network with the same seed and no penalty.
#
# </details>
#
# <details><summary>Think: what would make you give up the idea that a torus helps?</summary>
#
# Say it before you look: for instance, no lead over the shuffled control in any task, at any sparsity at which networks still learn, with ten seeds.
#
# </details>
#
# **References.** Tables 1–10 of the paper. Frankle and Carbin, *The lottery ticket hypothesis* (2019).
