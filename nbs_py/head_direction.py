# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Bring your own task
#
# > A sense of direction, from an empty page to a sparse ring in under eighty lines

# %% [markdown]
# *Reading 15 min, exercises 25 min. To skip at a first reading:* nothing.
#
# After this chapter you can
#
# - bring a task of your own: its settings, data, model, loss and metric,
# - have everything else for nothing: training, pruning, lottery tickets, figures, tables, and all conditions on equal terms,
# - choose a manifold because of what the task is about, and see whether the network cares.
#
# The question: *you are spun round on a chair with your eyes shut. Which way do you face? Brains have cells for that, each with a favourite direction, and the directions form a circle.
# Does a network whose neurons live on a circle keep its bearings with fewer connections?*

# %%
#| default_exp tasks.head_direction

# %%
#| export
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from modreg.geometry.arguments import Count, Shape, Within, checked
from modreg.layers.recurrent import RNN, Generators, Linear, near_identity_
from modreg.lab.settings import Config, setting
from modreg.lab.training import Task

# %%
#| hide
import ast
import inspect
from dataclasses import replace

import matplotlib.pyplot as plt
from fastcore.test import test_close, test_eq, test_fail
from IPython.display import Markdown, display

from matplotlib.collections import LineCollection

from modreg.tasks import head_direction
from modreg.geometry import manifolds
from modreg.book.exercises import draw_curve, exercise
from modreg.analysis.wiring import plot_wiring
from modreg.lab.experiments import (
    condition_table,
    load_model,
    load_results,
    plot_conditions,
    plot_learning,
    recurrent_weights,
    report,
    train_three,
)
from modreg.lab.settings import from_parameters

plt.style.use("modreg.data.book")

# %%
#| fig-alt: "Three headings over time in a polar picture, with time running outwards: zigzag lines that stay in their own sector."
heads = head_direction.headings(3, 20, torch.Generator().manual_seed(5))
fig, ax = plt.subplots(figsize=(4, 4), subplot_kw={"projection": "polar"}, layout="constrained")
for heading in heads.T:
    ax.plot(heading, torch.arange(21) / 20 + 0.4, "o-", markersize=3)
ax.set(yticks=(), title="three heads; time runs outwards")
plt.show()


# %% [markdown]
# Three heads that turn at random. A network is told the start and the turns, and must say at every step which way the head faces. *Predict:* after twenty turns, how far off is a head that claims it never turned?
#
# ## Data: a head that turns
#
# A heading is an angle. It starts anywhere and turns by a normal angle at each step. Angles are kept unwrapped, so that their differences are the turns.

# %%
#| export
@checked
def headings(
    n: Count,  # number of heads
    steps: Annotated[int, Within(1, 10**6)],  # turns of each T
    generator: torch.Generator | None = None,
    turn: Annotated[float, Within(0, 1e6)] = 0.5,  # standard deviation of the turn in a step, rad
) -> Tensor:  # headings (T + 1, n) in rad, not wrapped
    "Random turns from uniform starts"
    start = 2 * math.pi * torch.rand(1, n, generator=generator)
    return torch.cat([start, start + turn * torch.randn(steps, n, generator=generator).cumsum(0)])


@checked
def direction(heading: Annotated[Tensor, Shape("...", "float", finite=True)]) -> Tensor:  # (..., 2)
    "East and north component of a unit step along a heading in rad"
    return torch.stack([heading.cos(), heading.sin()], -1)


# %% [markdown]
# ## The parameters
#
# They are those of every experiment. The default manifold is the circle.

# %% tags=["parameters"]
manifold = "circle"  # where the hidden neurons live
inhibitor = "difference_of_gaussians"  # ricker, diffusion, sinusoid, gaussian, constant, …, with arguments as the chapter specs says
penalty = "moduli"  # moduli (the method), none, l1, l2, shuffled, distance_shuffled, sernn
power = 1.0  # n of eq. 6
strength = None  # λ of eq. 6 in mean form
train_embedding = False  # learn the neurons' embedding together with the weights
sparsifier = "magnitude"  # magnitude (the paper), random, geometric, set, rigl, regrow, …, with arguments as the chapter rivals says
sparsity = 0.9  # share of weights that is zero at the end
schedule = None  # how sparsity rises: linear (the paper), cubic, one_shot
lottery = True  # train again from new weights under the same masks
ticket = None  # new weights: redraw (the paper), rescaled (redraw, what is left of a row as long as the row was drawn), original, shuffled (redraw, masks permuted)
hidden = None  # number of hidden neurons N
epochs = None  # epochs a phase
seeds = 3  # number of models, trained as one stacked computation
seed = 0  # the first seed; the others follow it
scale = "auto"  # small (minutes on two cores), paper (for a GPU)
device = "auto"  # cpu, cuda
out = "runs"  # folder that holds the run folders
steps = None  # turns of a head T


# %% [markdown]
# ## Settings: a dataclass
#
# A task's settings are those of `Config` and its own. The paper has no such task, so its scale borrows the length, batch and learning rate of navigation.

# %%
#| export
@dataclass(frozen=True, kw_only=True)
class HeadDirectionConfig(Config):
    "Settings of a head-direction run"

    manifold: str = "circle"  # where the hidden neurons live
    steps: int = setting(None)  # turns of a head T

    task: ClassVar[str] = "head_direction"
    scales: ClassVar = {
        "tiny": dict(hidden=32, steps=5, batch=32, batches=40, epochs=8, lr=5e-3, strength=1e-3),
        "small": dict(hidden=128, steps=20, batch=50, batches=100, epochs=15, lr=1e-3, strength=1e-2),
        "paper": dict(hidden=1024, steps=50, batch=200, batches=1000, epochs=30, lr=1e-4, strength=0.1),
    }


# %%
config = from_parameters(HeadDirectionConfig, globals())
config


# %% [markdown]
# ## Model: any module
#
# The direction at the start becomes the first hidden state; the turns are the input; directions are read out at every step. `Linear` and `RNN` hold a network for each seed.

# %%
#| export
@checked(finite=False)
class HeadDirectionModel(nn.Module):
    "Encoder, recurrent layer and decoder, for several seeds at once"

    def __init__(self, config: HeadDirectionConfig, generators: Generators):  # a random stream for each seed
        super().__init__()
        shared: dict[str, Any] = dict(replicas=config.seeds, generator=generators)
        self.encoder = Linear(2, config.hidden, **shared)
        self.rnn = RNN(1, config.hidden, nonlinearity="relu", **shared)
        self.decoder = Linear(config.hidden, 2, **shared)
        near_identity_(self.rnn.weight_hh_l0)

    def states(self, heading: Annotated[Tensor, Shape("S T1 batch", "float", finite=True)]) -> Tensor:  # of headings in rad, hidden states after each turn (S, T, batch, N)
        start = self.encoder(direction(heading[:, 0]))
        return self.rnn(heading.diff(dim=1)[..., None], start[:, None])[0]

    def forward(self, heading: Annotated[Tensor, Shape("S T1 batch", "float")]) -> Tensor:  # directions after each turn (S, T, batch, 2)
        return self.decoder(self.states(heading))


# %% [markdown]
# ## Task: a few short methods
#
# The error is the angle between what was said and what is true, in degrees, over all steps.

# %%
#| export
@checked
def angular_error(
    said: Annotated[Tensor, Shape("S ... 2", "float")],  # directions of any length (S, ..., 2)
    heading: Annotated[Tensor, Shape("S ...", "float", finite=True)],  # (S, ...) in rad
) -> Tensor:  # mean angle (S,) in degrees
    "Angle between directions and true headings, of each seed"
    wrong = torch.atan2(said[..., 1], said[..., 0]) - heading
    return torch.rad2deg(torch.atan2(wrong.sin(), wrong.cos()).abs()).flatten(1).mean(1)


# %%
#| export
@checked
class HeadDirection(Task):
    "Integration of turns: which way does a head face that was spun in the dark?"

    Config = HeadDirectionConfig
    config: HeadDirectionConfig
    metric, label, learned = "error", "angular error (degrees)", ("never turned", 0.5)

    def model(self, generators: list[torch.Generator]) -> HeadDirectionModel:
        return HeadDirectionModel(self.config, generators)

    def recurrent(self, model: HeadDirectionModel) -> list[tuple[nn.Module, str]]:
        return [(model.rnn, "weight_hh_l0")]

    def headings(self, n: Count, generators: list[torch.Generator]) -> Tensor:
        "`n` heads of each seed (S, T + 1, n) in rad"
        return torch.stack([headings(n, self.config.steps, g) for g in generators]).to(self.config.device)

    def batches(self, generators: list[torch.Generator]) -> Iterator[Tensor]:
        for _ in range(self.config.batches):
            yield self.headings(self.config.batch, generators)

    @checked(trusts=True)
    def loss(self, model: Callable[[Tensor], Tensor], heading: Annotated[Tensor, Shape("S T1 batch", "float")]) -> Tensor:
        "Mean square distance (S,) between said and true directions"
        return (model(heading) - direction(heading[:, 1:])).square().sum(-1).mean((1, 2))

    def test_headings(self) -> Tensor:
        "Heads that no model is trained on (S, T + 1, 1000) in rad"
        return self.headings(1000, self.generators("test"))

    def limits(self) -> dict[str, float]:
        "The error in degrees, over all seeds, of a head that claims it never turned"
        heading = self.test_headings()
        return {"never turned": angular_error(direction(heading[:, :1]), heading[:, 1:]).mean().item()}

    def evaluate(self, model: HeadDirectionModel) -> dict[str, Tensor]:
        "Mean angular error (S,) in degrees"
        heading = self.test_headings()
        return {"error": angular_error(model(heading), heading[:, 1:])}


# %% [markdown]
# Three checks that any task deserves. A seed has data of its own, the same alone as in company:

# %%
few = replace(config, seeds=2, seed=5)
both, alone = (next(task.batches(task.generators("data"))) for task in (HeadDirection(few), HeadDirection(replace(few, seeds=1, seed=6))))
test_eq(both.shape, (2, config.steps + 1, config.batch))
test_eq(both[1].tolist(), alone[0].tolist())

# %% [markdown]
# The metric is 0 for the truth, however often the head went round, 90 for a right angle, and 90 on average for a blind guess:

# %%
heading = 20 * torch.randn(2, 5, 4000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
test_close(angular_error(3 * direction(heading), heading), torch.zeros(2).double(), eps=1e-5)
test_close(angular_error(direction(heading + math.pi / 2), heading), torch.full((2,), 90.0).double(), eps=1e-5)
blind = direction(2 * math.pi * torch.rand(heading.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64))
test_close(angular_error(blind, heading), torch.full((2,), 90.0).double(), eps=2)

# %% [markdown]
# And a perfect answer has no loss:

# %%
perfect = HeadDirection(few).loss(lambda heading: direction(heading[:, 1:]), both)
test_eq(perfect.tolist(), [0, 0])


# %% [markdown]
# ## How much code was that?
#
# *Predict:* how many lines, without blank ones, comments and documentation?

# %%
#| hide
def code_lines(source):
    "Lines of a module that hold code: none that are blank, comments or docstrings"
    tree = ast.parse(source)
    documented = [node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node)]
    documentation = {line for node in documented for line in range(node.body[0].lineno, node.body[0].end_lineno + 1)}
    numbered = enumerate(source.splitlines(), start=1)
    return sum(1 for k, line in numbered if line.strip() and not line.strip().startswith("#") and k not in documentation)


# %%
lines = code_lines(inspect.getsource(head_direction))
print(f"{lines} lines of code")
assert lines < 80

# %% [markdown]
# ## Everything else is there
#
# The three runs of every experiment, and its figures.

# %%
task = HeadDirection(config)
runs = train_three(HeadDirection, config)
folder = runs["sparse"].path

# %%
#| fig-alt: "Angular error over epochs of dense and pruned networks, and the rising share of zeros behind; to the right of a line the lottery ticket is trained from new weights."
fig, ax = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
plot_learning(task, runs, ax)
fig.savefig(folder / "learning.png", dpi=150)

# %%
display(Markdown(report(task, runs, note=f"{config.steps} steps")))
print(f"table.md, learning.png, headings.png, wiring.png and circle.png lie in {folder}")


# %% [markdown]
# ## Does it keep its bearings?
#
# Three heads of the first seed, that the networks never saw.

# %%
@torch.no_grad()
def plot_headings(model, heading, axes):
    "True headings and those that a model says, of the first seed"
    said = model(heading)[0].cpu()
    for k, ax in enumerate(axes):
        true = heading[0, :, k].cpu()
        wrong = torch.atan2(said[:, k, 1], said[:, k, 0]) - true[1:]
        ax.plot(torch.rad2deg(true), "o-", color="0.6", markersize=3, label="true")
        ax.plot(range(1, len(true)), torch.rad2deg(true[1:] + torch.atan2(wrong.sin(), wrong.cos())), "x", color="C1", label="said")
        ax.set(xlabel="step")
    axes[0].set(ylabel="heading (degrees)")


# %%
#| fig-alt: "True heading as a line and what the network said as dots, for three sequences of five steps."
fig, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
plot_headings(load_model(task, runs["sparse"]), task.test_headings(), axes)
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
fig.savefig(folder / "headings.png", dpi=150)

# %% [markdown]
# ## The shape of what is left

# %%
#| fig-alt: "Three panels: the share of surviving weights by distance, the eigenvalues before and after pruning, and the weights into one neuron on its manifold."
fig = plt.figure(layout="constrained")
plot_wiring(task, runs, fig)
fig.savefig(folder / "wiring.png", dpi=150)


# %% [markdown]
# On a circle all of it can be drawn at once: neurons in their places, and a line for each connection between two of them. On the left, as many of the largest weights
# of the dense network that felt no penalty; on the right, what pruning left of the one that did. On another manifold the lines join places on its chart.

# %%
#| fig-alt: "Neurons on a circle and their strongest connections as lines: without a penalty across the whole circle, with the penalty those that pruning left."
def plot_connections(weights, embedding, keep, ax):
    "The `keep` largest weights between different neurons, as lines between their places"
    flat = manifolds.manifold(config.manifold).chart(embedding)
    size = (weights - weights.diag().diag()).abs()
    ends = (size >= size.flatten().topk(keep).values[-1].clamp(min=1e-12)).nonzero()
    ax.add_collection(LineCollection(flat[ends].tolist(), colors="C0", linewidths=0.5, alpha=0.4))
    ax.plot(*flat.T, ".", color="black", markersize=3)
    ax.set(aspect="equal")
    ax.set_axis_off()


(_, before, where), = recurrent_weights(task, runs["plain"])
(_, after, _), = recurrent_weights(task, runs["sparse"])
left = int((after - after.diag().diag()).count_nonzero())
fig, axes = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
for ax, weights, title in zip(axes, (before, after), ("no penalty, the largest weights", f"{config.penalty}, {config.manifold}, what pruning left"), strict=True):
    plot_connections(weights, where, max(left, 1), ax)
    ax.set(title=title)
fig.savefig(folder / "circle.png", dpi=150)

# %% [markdown]
# ## Does the circle pay?
#
# The same study as for every task: each condition tried the same strengths on one seed, and was then run on three others
# (`python -m modreg.lab.studies conditions head_direction none l1 shuffled circle torus sphere klein --strengths 1e-3 1e-2 1e-1 1`).

# %%
#| fig-alt: "Angular error of dense, pruned and ticket networks under seven conditions, a dot a seed."
results = load_results("head_direction_small")
display(Markdown(condition_table(results)))
if results:
    plot_conditions(results, task.label, plt.figure(layout="constrained"))
    plt.show()


# %% [markdown]
# Every penalty helps, by about as much, and all want the same strength. But the circle, which is the shape of a heading, has no lead: its shuffled control and a uniform penalty do as well. What helps here is that weights are drawn towards
# zero before they are cut; which of them, the task does not mind.

# %% [markdown]
# ## Exercise 1: a wrong turn
#
# *10 min, medium.* Spin the head by a sensor that reads everything 5 % too large. How far off is a *perfect* integrator of what it reads, on average over all steps?

# %%
def sensor_error(heading, gain):
    "Mean error (S,) in degrees of a perfect integrator that starts right at headings (S, T + 1, n) in rad, and reads `gain` times the true turns"
    raise NotImplementedError


# %%
#| fold How it is checked
heading = task.test_headings()
with exercise("it says the start, and gain times what the head has turned since; angular_error does the rest",
              lambda: draw_curve(lambda gain: sensor_error(heading, gain).mean(), [0.8 + k / 50 for k in range(21)], "gain of the sensor", "error (degrees)")) as expect:
    expect(sensor_error, heading, 1.0, gives=torch.zeros(config.seeds), within=0.05)
    expect(lambda: sensor_error(heading, 0.0).mean(), gives=task.limits()["never turned"], within=1e-2, name="the mean error at a gain of 0")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def sensor_error(heading, gain):
#     said = heading[:, :1] + gain * (heading[:, 1:] - heading[:, :1])
#     return angular_error(direction(said), heading[:, 1:])
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: does the network use its circle?
#
# *15 min, hard.* A head-direction cell has a favourite direction: that in which its state is largest on average. The neurons of the sparse network have places on the circle too. If the network took the
# circle for its compass, favourite direction and place would turn together.

# %%
def favourite(states, heading):
    "Favourite direction (N,) in rad of each neuron: the angle of the mean of direction(heading) (T, n, 2), weighted by the states (T, n, N)"
    raise NotImplementedError


# %%
#| fold How it is checked
toy = torch.linspace(-math.pi, math.pi, 361)[:-1, None]
with torch.no_grad():
    states = load_model(task, runs["sparse"]).states(heading)[0].cpu()


def picture():
    fig, ax = plt.subplots(figsize=(4, 3.4), layout="constrained")
    ax.plot(where[:, 0], torch.rad2deg(favourite(states, heading[0, 1:].cpu())), "o", markersize=4)
    ax.set(xlabel=f"first coordinate on the {config.manifold}", ylabel="favourite direction (degrees)", yticks=range(-180, 181, 90))
    plt.show()


with exercise("torch.einsum sums over steps and heads at once; atan2 takes the second component first", picture) as expect:
    expect(favourite, (toy[..., None] - torch.tensor([0.5, -2.0])).cos().relu(), toy, gives=torch.tensor([0.5, -2.0]), within=1e-3)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def favourite(states, heading):
#     mean = torch.einsum("tbn,tbc->nc", states, direction(heading))
#     return torch.atan2(mean[:, 1], mean[:, 0])
# ```
#
# </details>

# %% [markdown]
# No ramp is to be seen. Nothing in the penalty asks for one: it prices how far a connection reaches, not where on the circle a direction is coded.
#
# ## Your own
#
# Write a module with a config and a task as above; nothing has to be registered. Your notebook calls `from_parameters(YourConfig, globals())` and `train_three(YourTask, config)`, and the figures
# follow. `python -m modreg.lab.studies conditions my_module:MyTask` compares all conditions on it.

# %%
test_fail(lambda: replace(config, manifold="pretzel"), contains="circle")
test_fail(lambda: from_parameters(HeadDirectionConfig, {"turns": 3}), contains="no such parameter: turns")

# %% [markdown]
# ## What broke, and what the paper did
#
# - Angles that are wrapped when they are drawn make wrong turns: the difference of 359° and 1° is no turn of 358°. Here headings are unwrapped, and only errors are wrapped.
# - An error of angles is not a difference of angles; `atan2` of its sine and cosine brings it home.
# - The paper has no such task. It places navigation on the torus because the place of a rat in a box was known to be coded there; the circle is that argument's simplest case.
#
# ## Recall and think
#
# <details><summary>Recall: what does a task have to bring?</summary>
#
# Its settings, data, a model, a loss, a metric, and which weights are recurrent.
#
# </details>
#
# <details><summary>Recall: did the circle have a lead?</summary>
#
# No: its shuffled control and a uniform penalty do as well.
#
# </details>
#
# <details><summary>Think: in which case would you expect a circle to matter for a heading?</summary>
#
# When the network must *hold* it for long: a ring attractor needs local excitation. A task of twenty steps does not ask for one.
#
# </details>
#
# **Further research.** Make a task that can only be solved by an attractor (a heading that is to be held for hundreds of steps, with noise in every state) and ask again whether the wiring of a circle pays, dense and at several sparsities, beside its shuffled control.
#
# **References.** Taube, Muller and Ranck, *Head-direction cells recorded from the postsubiculum in freely moving rats* (1990). Cueva et al., *Emergence of functional and structural properties of the head
# direction system by optimization of recurrent neural networks* (2020). Kim et al., *Ring attractor dynamics in the Drosophila central brain* (2017).
