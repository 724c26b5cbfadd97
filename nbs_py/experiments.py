# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Experiments
#
# > What every experiment shares: its three runs, their pictures, the paper's row, and all conditions on equal terms

# %% [markdown]
# *Reading 25 min, exercises 10 min. To skip at a first reading:* nothing.
#
# After this chapter you can
#
# - read any experiment of this book, since all of them end in the same figures and the same table,
# - say which runs a claim about regularization needs, and on which seeds its strength may be chosen,
# - compare conditions on a task of your own with one call.
#
# The question: *a pruned network with a penalty does better than you hoped. Better than what?*

# %%
#| default_exp lab.experiments

# %%
#| export
import html
import json
import math
import shlex
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.resources import files
from statistics import mean, variance
from typing import TYPE_CHECKING, Annotated, Any

import torch
from torch import Tensor, nn

from modreg.geometry.arguments import NotNegative, OneOf, Whole, Within, checked, nearest
from modreg.lab.files import write_whole
from modreg.lab.paper import paper_cell, printed
from modreg.lab.runs import Run
from modreg.lab.settings import Config, duration, label_of, parameters_of
from modreg.lab.training import Task, fit
from modreg.sparsity.penalties import display_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# %%
#| hide
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from fastcore.test import test_close, test_eq, test_fail
from IPython.display import Markdown, display

from modreg.book.exercises import draw_bars, exercise
from modreg.lab.training import Remember, RememberConfig

plt.style.use("modreg.data.book")

# %%
#| fig-alt: "Angular error of networks under seven conditions, a dot a seed: dense ones at 3 degrees, pruned ones at 4 to 6, tickets above 5; with any price at all pruned networks are somewhat better than with none."
from modreg.lab.experiments import load_results as finished_results
from modreg.lab.experiments import plot_conditions as finished_plot

finished_plot(finished_results("head_direction_small"), "angular error (degrees)", plt.figure(layout="constrained"))
plt.show()

# %% [markdown]
# Networks that keep track of a heading ([head_direction](head_direction.ipynb)), each dot a seed, pruned to 90 % zeros under seven conditions. *Predict:* somebody shows you *circle* beside *no penalty* alone. What would you believe, and what do
# the other five say to that?
#
# ## Three runs
#
# A pruned network that was trained with a penalty differs from a plain one in two things. So it is never run alone: beside it stand a dense network with the same penalty, which
# tells what the penalty costs, and a dense one without, which tells what the task allows.
#
# Neither depends on how the third is made sparse, so both are found again, not trained again, when another sparsifier is tried. *Predict:* which of the three will have the least error?

# %%
#| export
DENSE: dict[str, Any] = dict(sparsity=0.0, lottery=False, sparsifier="magnitude", schedule="linear", shares="global", heal=0, block=None, order=None, ticket="redraw")
PLAIN: dict[str, Any] = dict(penalty="none", power=1.0, strength=0.0, ramp="constant", train_embedding=False, embedding_lr=None)


@checked
def compared(config: Config) -> dict[str, Config]:  # `plain`: dense without a penalty; `dense`: dense with it, unless `config.twins` is "plain"; `sparse`: `config`
    "The settings of a run, and of those that it is measured against"
    dense = replace(config, **DENSE)
    return {"plain": replace(dense, **PLAIN)} | ({} if config.twins == "plain" else {"dense": dense}) | {"sparse": config}


@checked
def train_three(
    task: type[Task],
    config: Config,
    progress: bool = True,  # show progress bars
) -> dict[str, Run]:  # by the names of `compared`
    "The run of `config`, and those that it is measured against"
    configs = compared(config)
    return {name: fit(task(one), progress and f"run {k} of {len(configs)}") for k, (name, one) in enumerate(configs.items(), 1)}


# %%
folder = tempfile.mkdtemp()
config = RememberConfig(scale="tiny", device="cpu", sparsity=0.8, out=folder)
task = Remember(config)
runs = train_three(Remember, config, progress=False)
test_eq([run.config.sparsity for run in runs.values()], [0, 0, 0.8])
test_eq(runs["plain"].config.penalty, "none")


# %% [markdown]
# Each result has a name that is the same in every figure and table:

# %%
#| export
@checked
def result_names(config: Config) -> dict[str, str]:
    "What a figure calls each result of `train_three`: `plain`, `dense`, `train` and `lottery`"
    zeros = f"{100 * config.sparsity:g} % zeros"
    return {"plain": "dense, no penalty", "dense": "dense, with the penalty", "train": zeros, "lottery": f"{zeros}, lottery ticket"}


@checked
def diverged_seeds(
    runs: dict[str, Run],
) -> list[str]:
    "A sentence for each seed that diverged: of which run, where and why"
    return [f"{name}: seed {run.config.seed + k} diverged in epoch {one['epoch']}, step {one['step']} of {one['phase']}; {one['cause']}"
            for name, run in runs.items() for k, one in enumerate((run.result or {}).get("diverged", [])) if one]


# %% [markdown]
# ## Learning while being pruned
#
# The metric over epochs, a line a seed. The sparsity schedule stands behind it, and dotted lines mark the task's limits.

# %%
#| export
@checked
def plot_learning(
    task: Task,
    runs: dict[str, Run],  # of `train_three`
    ax: "Axes",
) -> None:
    "The task's metric over epochs, with the sparsity on an axis of its own"
    names = result_names(task.config)
    behind = ax.twinx()
    behind.set(ylabel="weights that are zero (%)", ylim=(0, 100))
    behind.set_zorder(ax.get_zorder() - 1)
    ax.patch.set_visible(False)
    for k, (name, run) in enumerate(runs.items()):
        history = run.history
        epochs = torch.arange(1, len(history) + 1)
        values = torch.tensor([[math.nan if x is None else x for x in line[task.metric]] for line in history])
        ax.plot(epochs, values, color=f"C{k}", linewidth=1.2)[0].set_label(names.get(name, names["train"]))
        zeros = torch.tensor([line["sparsity"][0] for line in history])
        behind.fill_between(epochs, 100 * zeros, step="mid", color=f"C{k}", alpha=0.12, linewidth=0)
        if task.config.lottery and name == "sparse":
            ax.axvline(len(history) / 2 + 0.5, color="0.6", linewidth=0.8)
    _plot_limits(task.limits(), ax)
    ax.set(xlabel="epoch (right of the line: the lottery ticket)" if task.config.lottery else "epoch", ylabel=task.label, ylim=(0, None))
    ax.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))


# %% [markdown]
# What a guess reaches that never looks, and what the task allows, are dotted lines with their names.

# %%
#| export
def _plot_limits(limits: dict[str, float], ax: "Axes") -> None:
    for name, value in limits.items():
        ax.axhline(value, color="0.6", linestyle=":", linewidth=1)
        ax.text(0.995, value, name, color="0.4", va="bottom", ha="right", fontsize=9, transform=ax.get_yaxis_transform())


# %%
#| fig-alt: "RMSE over epochs of dense and pruned networks, and the rising share of zeros behind; to the right of a line the lottery ticket is trained from new weights."
fig, ax = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
plot_learning(task, runs, ax)
plt.show()


# %% [markdown]
# ## The network that a run left

# %%
#| export
@checked
def load_model(
    task: Task,
    run: Run,
    phase: Annotated[str, OneOf(("train", "lottery"))] = "train",  # "train" or "lottery"
) -> nn.Module:
    "The networks of all seeds as one module, with the weights at the end of a phase; a warning names seeds that diverged, whose networks mean nothing, and `diverged` says for each whether it did"
    for said in diverged_seeds({run.path.name: run}):
        warnings.warn(f"{said}; what this seed's network says means nothing", stacklevel=2)
    model = task.model(task.generators("weights", phase)).to(task.config.device)
    weights = run.weights(phase)
    model.load_state_dict({name: weights[name] for name in model.state_dict()})
    model.diverged = [one is not None for one in (run.result or {}).get("diverged", [None] * task.config.seeds)]  # type: ignore[assignment]  # a list that the module only carries
    return model.eval()


@checked
def recurrent_weights(
    task: Task,
    run: Run,
    seed: Whole = 0,  # index among the run's seeds
) -> list[tuple[str, Tensor, Tensor]]:  # for each recurrent layer its weight's name, the weight (N, N) and the neurons' places (N, c)
    "Recurrent weights at the end of training, with their embeddings"
    model, tensors = load_model(task, run), run.weights()
    names = {id(p): name for name, p in model.named_parameters()}
    found = [names[id(getattr(layer, weight))] for layer, weight in task.recurrent(model)]
    return [(name, tensors[name][seed], tensors[f"regularizer.{k}.embedding"][seed]) for k, name in enumerate(found)]


# %%
model = load_model(task, runs["sparse"], "lottery")
with torch.no_grad():
    test_close(task.evaluate(model)["rmse"], torch.tensor(runs["sparse"].result["phases"]["lottery"]["rmse"]), eps=1e-6)
(name, matrix, places), = recurrent_weights(task, runs["sparse"])
test_eq((name, matrix.shape, places.shape), ("rnn.weight_hh_l0", (32, 32), (32, 2)))


# %% [markdown]
# ## Beside the paper
#
# The paper's number stands beside ours where it has tried the setting ([paper](paper.ipynb)).
#
# Mean and standard deviation over seeds, and every seed's own value, so that a failed seed cannot hide in a mean:

# %%
#| export
@checked
def summary(
    values: list[Any],  # a number for each seed, None for one that diverged
    digits: Annotated[int, Within(0, 15)] = 1,  # after the decimal point
) -> str:
    "Mean ± standard deviation, and each value; a seed that diverged is named; ValueError if there are no seeds"
    if not values:
        raise ValueError("values are of no seeds, so they have no mean; give a number, or None, for each of at least one")
    values = [v if v is not None and math.isfinite(v) else None for v in values]
    finite = torch.tensor([v for v in values if v is not None], dtype=torch.float64)
    spread = f" ± {finite.std():.{digits}f}" if len(finite) > 1 else ""
    mean = f"{finite.mean():.{digits}f}{spread}" if len(finite) else "–"
    each = ", ".join("diverged" if v is None else f"{v:.{digits}f}" for v in values)
    return f"{mean} ({each})"


# %%
test_eq(summary([1.0, 3.0]), "2.0 ± 1.4 (1.0, 3.0)")
test_eq(summary([2.0, None], 0), "2 (2, diverged)")
test_eq(summary([None]), "– (diverged)")


# %% [markdown]
# One table for every experiment. It is also written to the run's folder. Beside each result stands what it costs: multiplications by weights, of one example and of the whole training.

# %%
#| export
def _mean(values: list[float | None]) -> float:
    "Mean, infinite if a seed diverged"
    return math.inf if None in values else sum(v for v in values if v is not None) / len(values)


@checked
def large(number: float) -> str:
    "As in `4.3 M`"
    for power, prefix in ((18, "E"), (15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if number >= 10**power:
            return f"{number / 10**power:.3g} {prefix}"
    return f"{number:.3g}"


@checked
def costs(
    last: dict[str, Any],  # a phase's result
) -> str:
    "Multiplications of an example and of training, mean over the seeds"
    if "inference" not in last:
        return "not known"
    return f"{large(_mean(last['inference']))}, {large(_mean(last['training']))}"


# %%
test_eq([large(number) for number in (12.0, 4300, 5.25e6, 1.7e16)], ["12", "4.3 k", "5.25 M", "17 P"])


# %%
#| export
@checked
def tiny_note(config: Config) -> str:  # Markdown
    "What stands in place of a table where networks are too small to mean anything"
    return (f"These networks are tiny: they show that all is wired up, and their numbers mean nothing, so none is printed. "
            f"`papermill nbs/{config.task}.ipynb out.ipynb -p scale small` trains some that learn, and prints their table beside the paper's.\n")


# %% [markdown]
# And a sentence that says what was found: how far the sparse network is from its dense twin, and from a guess that never looks.

# %%
#| export
@checked
def finding(
    task: Task,
    runs: dict[str, Run],  # of `train_three`
    digits: Annotated[int, Within(0, 15)] = 1,  # after the decimal point
) -> str:
    "What a run shows, in words"
    ends = {name: [v for v in runs[name].result["phases"]["train"][task.metric] if v is not None] for name in ("plain", "sparse")}
    if not all(ends.values()):
        return "Every network of one kind diverged, so there is nothing to compare."
    dense, sparse = (sum(values) / len(values) for values in ends.values())
    words = [f"With {100 * task.config.sparsity:g} % of its weights zero the network reaches {sparse:.{digits}f}, {sparse / dense:.2f} times its dense twin's {dense:.{digits}f} ({task.label}, lower is better)."]
    if task.learned is not None:
        name, share = task.learned
        limit = task.limits()[name]
        words.append(f"The guess {name!r} has {limit:.{digits}f}: " + ("the sparse network has learned." if sparse < share * limit else "the sparse network has not learned."))
    return " ".join(words)


# %%
print(finding(task, runs, 3))


# %% [markdown]
# Whoever finds the notebook a month later asks what was run, how long it took, and what to try next. The answer is kept below the table.

# %%
#| export
@checked
def account(
    runs: dict[str, Run],  # of `train_three`
) -> str:  # Markdown
    "How long each run took, the next thing to try, and all settings of the sparse run"
    config = runs["sparse"].config
    took = "; ".join(f"{label_of(run.config)}{' and its ticket' * run.config.lottery} {duration(run.result['seconds'])}" for run in runs.values())
    control = PLAIN if config.penalty != "none" else {"penalty": "moduli", "strength": None}
    other = parameters_of(replace(config, **control))
    line = shlex.join(["papermill", f"nbs/{config.task}.ipynb", "out.ipynb", *(word for name, value in other.items() for word in ("-p", name, str(value)))])
    settings = "\n".join(f"{name} = {value!r}" for name, value in asdict(config).items())
    return f"Training took: {took}.\n\nTry next, {'the same without a penalty' if config.penalty != 'none' else 'the same with a geometry'}: `{line}`\n\n<details><summary>All settings</summary>\n\n```python\n{settings}\n```\n\n</details>"


# %%
#| export
@checked
def escaped(text: str) -> str:
    "A text as it stands in Markdown: no HTML, no link, no column of its own"
    text = html.escape(text, quote=False)
    for sign, entity in {"|": "&#124;", "[": "&#91;", "`": "&#96;", "\n": " "}.items():
        text = text.replace(sign, entity)
    return text


# %%
#| export
@checked
def report(
    task: Task,
    runs: dict[str, Run],  # of `train_three`
    digits: Annotated[int, Within(0, 15)] = 1,  # after the decimal point
    note: str = "",  # settings of the task's own that a reader must know
) -> str:  # Markdown
    "The results beside the paper's, and the task's limits; also written to table.md in the folder of the sparse run. Tiny networks have none"
    config, names = task.config, result_names(task.config)
    results = {name: runs[name].result["phases"]["train"] for name in ("plain", "dense") if name in runs} | runs["sparse"].result["phases"]
    paper = {"train": paper_cell(config), "lottery": paper_cell(config, "lottery")} | {name: paper_cell(run.config) for name, run in runs.items() if name != "sparse"}
    method = config.manifold if config.penalty == "moduli" else f"{config.penalty} ({config.manifold})"
    sparsifier = "" if config.sparsifier == "magnitude" else config.sparsifier
    settings = escaped(", ".join(filter(None, [method, sparsifier, f"N={config.hidden}", f"λ={config.strength:g}", note])))
    lines = [f"{task.label}: {settings}", "", "| | ours: mean ± sd (each seed) | paper: mean ± sd | multiplications: an example, training |", "|---|---|---|---|"]
    for name, last in results.items():
        lines.append(f"| {names[name]} | {summary(last[task.metric], digits)} | {printed(paper.get(name)) or '–'} | {costs(last)} |")
    limits = ", ".join(f"{name}: {value:.{digits}f}" for name, value in task.limits().items())
    parts = [tiny_note(config).rstrip()] if config.scale == "tiny" else ["\n".join(lines), limits, finding(task, runs, digits)]
    text = "\n\n".join(filter(None, [*parts, *diverged_seeds(runs), account(runs)])) + "\n"
    write_whole(runs["sparse"].path / "table.md", lambda path: path.write_text(text, encoding="utf-8"))
    return text


# %%
larger = RememberConfig(scale="small", device="cpu", sparsity=0.8, out=folder, epochs=5)  # as many epochs as the tiny one
display(Markdown(report(Remember(larger), runs, 3).replace(folder, "runs")))
assert "tiny" in report(task, runs, 3)  # which has no table
assert (runs["sparse"].path / "table.md").exists()
assert "sparsity = 0.8" in report(task, runs) and "-p penalty none" in report(task, runs)

# %% [markdown]
# ## Does the shape matter? All conditions on equal terms
#
# One run with a geometry says nothing about geometry. These conditions do: no penalty, a uniform one, one with shuffled prices, and some manifolds.
#
# Besides, two networks that are sparse from birth, without any penalty: weights drawn by lot, and the weights that are cheapest by the geometry. And neurons in other places, so that prices keep their pattern and lose their partners.
#
# Each penalty has a strength to be chosen. A condition for which more strengths were tried, or whose strength was chosen on the seeds that are reported, has an unfair lead.
# So each gets the **same** grid, tried on a few seeds of its own; the strength with the least error there is run on other seeds, and those are reported.
#
# A strength that makes no difference could be chosen anywhere, at an end of the grid too, and then the grid would grow for ever. The chapter [tables](tables.ipynb) draws such a case, adding at 95 % zeros.
# So the best counts as lying at an end only if it beats all between the ends by more than seeds differ.

# %%
#| export
CONDITIONS: dict[str, dict[str, Any]] = {
    "none": PLAIN,
    "l1": {"penalty": "l1"},
    "shuffled": {"penalty": "shuffled"},
    "moduli": {},  # the task's own manifold
    "torus": {"manifold": "torus"},
    "sphere": {"manifold": "sphere"},
    "klein": {"manifold": "klein"},
    "circle": {"manifold": "circle"},
    "torus6": {"manifold": "torus6"},
    "distance_shuffled": {"penalty": "distance_shuffled"},  # the same prices between other neurons
    "random": PLAIN | {"sparsifier": "random"},  # sparse from birth, by lot
    "geometric": PLAIN | {"sparsifier": "geometric"},  # sparse from birth, the cheapest weights
}


SELECTION, TRIALS = 100, 3  # the first seed of the runs by which strengths are chosen, and how many there are


@checked
def best_strength(
    tried: Mapping[float, Sequence[Annotated[float, Within(finite=False)] | None]],  # what each strength gave, a number for each seed, None where it diverged; lower is better
) -> float:
    """The strength of the least mean; where that lies at an end of the grid, but beats the best between the ends by no more than two standard errors, the latter

    One seed tells no error. ValueError if nothing was tried.
    """
    if not tried:
        raise ValueError("tried is empty; it holds what each strength gave")
    sound = {strength: [x for x in values if x is not None and math.isfinite(x)] for strength, values in tried.items()}
    means = {strength: mean(sound[strength]) if len(sound[strength]) == len(values) > 0 else math.inf for strength, values in tried.items()}
    best = min(means, key=means.__getitem__)
    inside = [strength for strength in means if min(means) < strength < max(means)]
    errors = [variance(sound[strength]) / len(sound[strength]) for strength in means if math.isfinite(means[strength]) and len(sound[strength]) > 1]
    if best in inside or not inside or not errors:
        return best
    inner = min(inside, key=means.__getitem__)
    return inner if means[inner] - means[best] <= 2 * math.sqrt(2 * mean(errors)) else best


# %%
#| export
@checked
def check_selection(
    config: Config,  # whose seeds are reported
    selection: int,  # the first of the seeds on which strengths are tried
) -> None:
    "ValueError if a strength would be tried on a seed that is reported"
    reported = range(config.seed, config.seed + config.seeds)
    if reported.start - TRIALS < selection < reported.stop:
        raise ValueError(f"selection={selection}: strengths are tried on {TRIALS} seeds from there on, which are not to be among the reported seeds {list(reported)}; choose another")


def _results(task: type[Task], config: Config) -> dict[str, dict[str, Any]]:
    "The metrics at the end of each phase"
    return fit(task(config), progress=False).result["phases"]


# %%
#| export
@checked
def study(
    task: type[Task],
    config: Config,  # as reported, but for the condition and its strength
    condition: str,  # a name in CONDITIONS
    strengths: Sequence[NotNegative],  # the grid of λ
    selection: Whole = SELECTION,  # the first of the seeds on which λ is chosen
) -> dict[str, Any]:  # the strength chosen, the selection's results by strength, and each reported seed's, sparse and as a lottery ticket
    "One condition: its strength chosen on a few seeds, its results on others; each run is a folder, so that a study that was killed goes on"
    if condition not in CONDITIONS:
        raise ValueError(f"condition={condition!r}; {nearest(condition, CONDITIONS)}it is one of {', '.join(CONDITIONS)}")
    check_selection(config, selection)
    base = replace(config, **CONDITIONS[condition])
    grid = (0.0,) if base.penalty == "none" else strengths
    alone = {s: replace(base, strength=s, seed=selection, seeds=TRIALS, lottery=False) for s in grid}
    tried = {s: _results(task, c)["train"][task.chosen_by or task.metric] for s, c in alone.items()}
    chosen = replace(base, strength=best_strength(tried))
    results = _results(task, chosen)
    row = {"condition": condition, "strength": chosen.strength, "selection": {f"{s:g}": values for s, values in tried.items()}, "sparse": results["train"][task.metric]}
    row |= {f"sparse_{name}": results["train"][name] for name in ("inference", "training") if name in results["train"]}
    if config.lottery:
        row["lottery"] = results["lottery"][task.metric]
    if condition == "none":
        row["dense"] = _results(task, replace(chosen, **DENSE))["train"][task.metric]
    return row


# %%
flat = {0.001: [0.21, 0.25, 0.23], 0.01: [0.24, 0.22, 0.25], 0.1: [0.22, 0.27, 0.23], 1.0: [0.4, 0.5, None]}
test_eq((best_strength(flat), best_strength({s: values[:1] for s, values in flat.items()}), best_strength(flat | {0.001: [0.01, 0.02, 0.01]})), (0.01, 0.001, 0.001))

# %%
small = replace(config, seeds=2, epochs=3, batches=20)
rows = [{"setting": {}} | study(Remember, small, name, (1e-4, 1e-2)) for name in ("none", "l1", "torus")]
test_eq(rows[0]["strength"], 0)
test_eq(list(rows[2]["selection"]), ["0.0001", "0.01"])
test_fail(lambda: study(Remember, small, "none", (), selection=1), contains="reported seeds [0, 1]")


# %% [markdown]
# `python -m modreg.lab.studies conditions TASK` does this for a whole task at its small scale, and its rows ship with the package. A row's `setting` says what differs from the small scale's defaults,
# such as the sparsity.

# %%
#| export
@checked
def load_results(
    name: str,  # "navigation_small", "navigation_dense", …
) -> list[dict[str, Any]]:  # rows as a study wrote them; empty if it was not run
    "Results that ship with the package"
    path = files("modreg") / "data" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


@checked
def setting_name(setting: dict[str, Any]) -> str:
    "As in `98 % zeros, lr=0.001`; how many seeds there were, and whether they had tickets, is left out"
    words = {"sparsity": lambda v: f"{100 * v:g} % zeros", "hidden": lambda v: f"{v} neurons", "init": lambda v: f"start: {v}"}
    said = {k: v for k, v in setting.items() if k not in ("seeds", "lottery") and (k, v) != ("ticket", "redraw")}
    return ", ".join(words[k](v) if k in words else f"{k}={v}" for k, v in said.items()) or "defaults"


def _groups(rows: list[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    "Rows of each setting, in the order of CONDITIONS"
    for name in sorted({setting_name(row["setting"]) for row in rows}):
        group = [row for row in rows if setting_name(row["setting"]) == name]
        yield name, sorted(group, key=lambda row: list(CONDITIONS).index(row["condition"]))


# %%
#| export
@checked
def condition_table(
    rows: list[dict[str, Any]],  # of `study`, each with its `setting`
    digits: Annotated[int, Within(0, 15)] = 1,  # after the decimal point
) -> str:  # Markdown
    "Every condition's strength and results"
    lines = ["| setting | condition | λ chosen | pruned: mean ± sd (each seed) | lottery ticket |", "|---|---|---|---|---|"]
    for setting, group in _groups(rows):
        name = escaped(setting)
        for row in group:
            if "dense" in row:
                lines.append(f"| {name} | dense, no penalty | | {summary(row['dense'], digits)} | |")
            lottery = summary(row["lottery"], digits) if "lottery" in row else ""
            lines.append(f"| {name} | {display_name(row['condition'])} | {row['strength']:g} | {summary(row['sparse'], digits)} | {lottery} |")
    return "\n".join(lines) + "\n"


# %% [markdown]
# The same rows as pictures: every seed of every condition, or the mean of each condition against the share of zeros.

# %%
#| export
@checked
def plot_conditions(
    rows: list[dict[str, Any]],  # of `study`, each with its `setting`
    label: str,  # of the metric's axis, with its unit
    figure: "Figure",
    limits: dict[str, float] | None = None,  # values to mark, by name
) -> None:
    "Every seed of every condition, a panel for each setting; a seed that diverged has no dot"
    groups = list(_groups(rows))
    figure.set_size_inches(min(max(4.4, 4 * len(groups)), 10.5), 3.4)
    axes = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    for ax, (name, group) in zip(axes, groups, strict=True):
        for k, (result, marker, words) in enumerate((("dense", "s", "dense, no penalty"), ("sparse", "o", "pruned"), ("lottery", "^", "lottery ticket"))):
            points = [(x + 0.2 * (k - 1), e) for x, row in enumerate(group) for e in row.get(result, []) if e is not None]
            ax.plot([x for x, _ in points], [e for _, e in points], marker, color=f"C{k}", label=words, markersize=5)
        _plot_limits(limits or {}, ax)
        ax.set(title=name if len(groups) > 1 else "", xticks=range(len(group)))
        ax.set_xticklabels([display_name(row["condition"]) for row in group], rotation=30, ha="right", rotation_mode="anchor")
    axes[0].set(ylabel=f"{label}, a dot a seed", ylim=(0, None))  # now that all panels, which share it, are drawn
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)


# %%
#| export
@checked
def plot_sparsity(
    rows: list[dict[str, Any]],  # of `study`; what differs in their `setting` is the sparsity
    result: str,  # "sparse" or "lottery"
    ax: "Axes",
) -> None:
    "Mean over the seeds of each condition against sparsity, from the dense network without a penalty on; a seed that diverged leaves a gap"
    means = {(row["condition"], row["setting"].get("sparsity", Config.sparsity)): _mean(row[result]) for row in rows}
    dense = next((_mean(row["dense"]) for row in rows if "dense" in row), math.nan)
    sparsities = sorted({sparsity for _, sparsity in means})
    for k, condition in enumerate(dict.fromkeys(condition for condition, _ in means)):
        curve = [dense, *(means.get((condition, sparsity), math.nan) for sparsity in sparsities)]
        ax.plot(range(len(curve)), curve, "o-", color=f"C{k}", label=display_name(condition), markersize=4)
    ax.set(xticks=range(len(sparsities) + 1), xticklabels=["0", *(f"{100 * sparsity:g}" for sparsity in sparsities)], xlabel="weights that are zero (%)")


# %%
#| fig-alt: "RMSE of dense, pruned and ticket networks under three conditions, a dot a seed, and a line for the guess that always says 1/2."
display(Markdown(condition_table(rows, 3)))
plot_conditions(rows, task.label, plt.figure(layout="constrained"), task.limits())
plt.show()


# %% [markdown]
# ## Exercise 1: the end of a grid
#
# *5 min, easy.* A condition whose chosen strength lies at the end of its grid may have a better one beyond. Find such rows.

# %%
def at_the_edge(row):
    "Whether the strength of a row of results lies at an end of the strengths that were tried for it; row['selection'] has them as text"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("the keys are text: sort them as numbers, and a grid of one strength has no edge",
              lambda: draw_bars({f"chosen {s}": at_the_edge({"selection": {"0.01": [], "0.1": [], "1": []}, "strength": s}) for s in (0.01, 0.1, 1.0)}, "at the edge of 0.01, 0.1, 1")) as expect:
    expect(at_the_edge, {"selection": {"0.01": [], "0.1": [], "1": []}, "strength": 1.0}, gives=True)
    expect(at_the_edge, {"selection": {"0.01": [], "0.1": [], "1": []}, "strength": 0.1}, gives=False)
    expect(at_the_edge, {"selection": {"3": [], "20": [], "100": []}, "strength": 20.0}, gives=False)
    expect(at_the_edge, {"selection": {"0": []}, "strength": 0.0}, gives=False)


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def at_the_edge(row):
#     tried = sorted(map(float, row["selection"]))
#     return len(tried) > 1 and row["strength"] in (tried[0], tried[-1])
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: does a condition lead?
#
# *5 min, medium.* Three dots a condition invite stories. Say that one condition leads another only if its worst seed is better than the other's best.

# %%
def leads(a, b):
    "Whether the worst seed of errors `a` is better than the best of errors `b`; a seed that diverged is None"
    raise NotImplementedError


# %%
#| fold How it is checked
def picture():
    pairs = {"leads": ([1.0, 2.0], [3.0, 4.0]), "overlaps": ([1.0, 3.5], [3.0, 4.0]), "one diverged": ([1.0, None], [3.0, 4.0])}
    draw_bars({name: leads(*pair) for name, pair in pairs.items()}, "does the first condition lead?")


with exercise("lower is better, and a condition with a diverged seed leads nobody", picture) as expect:
    expect(leads, [1.0, 2.0], [3.0, 4.0], gives=True)
    expect(leads, [1.0, 3.5], [3.0, 4.0], gives=False)
    expect(leads, [1.0, None], [3.0, 4.0], gives=False)
    expect(leads, [1.0, 2.0], [None, None], gives=True)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def leads(a, b):
#     return None not in a and max(a) < min([x for x in b if x is not None], default=math.inf)
# ```
#
# With three seeds each, chance alone puts all of one condition before all of the other once in twenty times: $3!\,3!/6! = 1/20$.
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - At first a pruned network stood beside a dense one with the same penalty, and nothing else. What the penalty costs then looks like what pruning costs. So there are three runs.
# - On navigation every penalty chose the strongest λ that was tried, so the best may lie beyond the grid: exercise 1 finds such rows.
# - The first settings of [speech](speech.ipynb) were chosen on the very speakers that its rows reported, which flattered them. That chapter says how they are chosen now.
# - Panels that share an axis share its range. Set when the first panel was drawn, it hid what the later ones had above it.
#
# The paper gives one strength to all conditions, and shows how its results depend on it in tables 17 to 20. A strength that suits one condition need not suit another:
# the mean price differs from manifold to manifold. The published list of runs also gives the L1 baseline a penalty of zero everywhere.
#
# ## Recall and think
#
# <details><summary>Recall: which three runs does every experiment make?</summary>
#
# A dense network without a penalty, a dense one with it, and the pruned one with it.
#
# </details>
#
# <details><summary>Recall: on which seeds is a strength chosen?</summary>
#
# On seeds that are not reported, from the same grid for each condition.
#
# </details>
#
# <details><summary>Think: why does a condition with a longer grid have an unfair lead?</summary>
#
# The best of many draws is better than the best of few, even if all are alike.
#
# </details>
#
# **References.** Tables 1–20 of the paper. Sculley et al., *Winner's curse? On pace, progress, and empirical rigor* (2018), on baselines that are tuned less than the method.
