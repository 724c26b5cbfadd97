# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Navigation
#
# > A network that finds its way in the dark, sparsified on a manifold

# %% [markdown]
# *Reading 25 min, exercises 10 min. To skip at a first reading:* *The parameters*, *How the small scale was chosen*, *What makes it quick*.
#
# After this chapter you can
#
# - generate a rat's path and the activity of its place cells,
# - train a recurrent network to integrate that path, prune it to 90 % zeros on a manifold of your choice, and retrain its lottery ticket,
# - set your result beside the paper's, and say what it does not show.
#
# The question: *a rat in the dark knows where it started and feels how it moves. Where is it now? And if nine in ten of its connections had to go,
# does it matter that the rest have the shape of a torus?*
#
# The notebook is also the experiment. `papermill nbs/navigation.ipynb out.ipynb -p manifold sphere` runs it.

# %%
#| default_exp tasks.navigation

# %%
#| export
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from modreg.geometry.arguments import Count, Shape, Within, checked
from modreg.geometry.manifolds import manifold as find_manifold
from modreg.layers.edges import EdgeRNN, geometric_edges
from modreg.layers.recurrent import RNN, Generators, Linear, near_identity_
from modreg.layers.sparse import geometric_blocks
from modreg.lab.settings import Config, setting
from modreg.lab.training import Task, stream

# %%
#| hide
import tempfile
from dataclasses import fields, replace

import matplotlib.pyplot as plt
from fastcore.test import test_close, test_eq
from IPython.display import Markdown, display

from modreg.book.exercises import draw_bars, exercise
from modreg.analysis.wiring import plot_wiring
from modreg.lab.experiments import condition_table, load_model, load_results, plot_conditions, plot_learning, report, train_three
from modreg.lab.results import RESULTS, read_records
from modreg.lab.settings import from_parameters
from modreg.lab.training import fit
from modreg.sparsity.penalties import display_name

plt.style.use("modreg.data.book")

# %%
#| echo: false
from modreg.book.explore import path_integration

path_integration()

# %% [markdown]
# A network of this chapter, trained and dense, in your hands. *Predict:* it knows where you start and how you move. Will it lose you at once, after a while, or never? (<a href="#set:path_integration?Draw a loop for me=1">A loop</a> is longer than all paths that it was trained on.)
#
# ## The parameters
#
# `None` stands for "as the scale says". A name that does not exist, or a value that makes no sense, stops the notebook before it computes anything. Any other field of the chapter [settings](settings.ipynb) may be set in the same way.

# %% tags=["parameters"]
manifold = "torus"  # circle, sphere, klein, torus6, torus*circle, …, with arguments as the chapter specs says; one for each recurrent weight: torus,sphere,klein
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
init = None  # initial recurrent matrix: paper (torch's default), identity (near the identity)


# %% [markdown]
# `small` is the least at which a network with 90 % zeros finds its way (see *How the small scale was chosen*). `paper` has the paper's hyperparameters (table 11, and the
# published code where the text is silent), and `regime` its start, inputs and schedule at 512 neurons. `tiny` only shows that everything is wired up.

# %%
#| export
@dataclass(frozen=True, kw_only=True)
class NavigationConfig(Config):
    "Settings of a navigation run"

    init: str = setting(None, choices=("paper", "identity"))  # initial recurrent matrix: paper (torch's default), identity (near the identity)
    inputs: str = setting(None, choices=("raw", "standardized"))  # raw (activity and displacement in m), standardized (to a size near 1)
    place_cells: int = setting(None)  # number of place cells P
    steps: int = setting(None)  # steps of a path T

    task: ClassVar[str] = "navigation"
    scales: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": dict(hidden=32, place_cells=64, steps=5, batch=20, batches=10, epochs=3, lr=1e-3, strength=1e-3,
                     init="identity", inputs="standardized"),
        "small": dict(hidden=512, place_cells=512, steps=20, batch=50, batches=100, epochs=36, lr=5e-4, strength=3e-3,
                      init="identity", inputs="standardized", schedule="cubic", ticket="rescaled"),
        "regime": dict(hidden=512, place_cells=512, steps=20, batch=50, batches=400, epochs=30, lr=3e-4, strength=0.1,
                       init="paper", inputs="raw"),
        "paper": dict(hidden=4096, place_cells=512, steps=50, batch=200, batches=1000, epochs=30, lr=1e-4, strength=0.1,
                      init="paper", inputs="raw"),
    }

    def __post_init__(self):
        super().__post_init__()
        if self.place_cells < 3:
            raise ValueError(f"place_cells={self.place_cells}; position is decoded from 3 cells, so there must be at least 3")


# %%
config = from_parameters(NavigationConfig, globals())
config

# %% [markdown]
# ## Paths
#
# A simulated rat runs in a square box. Its speed is drawn anew at each step from a Rayleigh distribution, and its heading turns by a normal angle.
# Within 3 cm of a wall that it heads for, it slows to a quarter and turns parallel to the wall (Raudies and Hasselmo 2012, as the paper's code has it).
# Time is a loop; thousands of rats run side by side in it, on the device that trains. Only chance comes from the processor, so that a seed means the same rats everywhere.

# %%
#| export
BOX = 2.2  # side of the box, m
DT = 0.02  # time of a step, s
SPEED = 0.13 * 2 * math.pi  # scale of the Rayleigh distribution of speed, m/s
TURN = 11.52  # standard deviation of the turning rate, rad/s
WALL = 0.03  # a wall is felt within this distance, m


def _avoid(position: Tensor, heading: Tensor) -> tuple[Tensor, Tensor]:
    "Which rats (n,) run into a wall, and the turn (n,) in rad that brings each of those parallel to it"
    gap, wall = torch.cat([BOX / 2 - position, BOX / 2 + position], -1).min(-1)  # walls: east, north, west, south
    off = torch.remainder(heading - wall * math.pi / 2 + math.pi, 2 * math.pi) - math.pi  # heading from the wall's normal
    hits = (gap < WALL) & (off.abs() < math.pi / 2)
    return hits, torch.where(hits, torch.copysign(math.pi / 2 - off.abs(), off), 0)


# %%
#| export
@checked
def paths(
    n: Count,  # number of paths
    steps: Annotated[int, Within(1, 10**6)],  # steps of each path T
    generator: torch.Generator | None = None,
    device: str = "cpu",  # where the rats run
) -> Tensor:  # positions (T + 1, n, 2) in m, the box's centre at 0
    "Random walks like a rat's in a box, from uniform starts"
    start, first, speed = (torch.rand(shape, generator=generator).to(device) for shape in ((n, 2), (n,), (steps, n)))
    position, heading = (start - 0.5) * BOX, 2 * math.pi * first
    speed = SPEED * torch.sqrt(-2 * torch.log1p(-speed))
    turn = TURN * DT * torch.randn(steps, n, generator=generator).to(device)
    positions = [position]
    for t in range(steps):
        hits, parallel = _avoid(position, heading)
        heading = heading + parallel
        step = torch.where(hits, speed[t] / 4, speed[t]) * DT
        position = position + step[:, None] * torch.stack([heading.cos(), heading.sin()], -1)
        position = position.clamp(-BOX / 2, BOX / 2)
        heading = heading + turn[t]
        positions.append(position)
    return torch.stack(positions)


# %%
#| fig-alt: "Five winding paths of ten seconds in a square box of 2.2 m."
walks = paths(200, 500, torch.Generator().manual_seed(0))
fig, ax = plt.subplots(figsize=(3.4, 3.4), layout="constrained")
for k in range(5):
    ax.plot(*walks[:, k].T, linewidth=1)
ax.set(xlim=(-BOX / 2, BOX / 2), ylim=(-BOX / 2, BOX / 2), xlabel="east (m)", ylabel="north (m)", aspect="equal", title="five paths of ten seconds")
plt.show()

# %% [markdown]
# No rat leaves the box, none crosses a wall's margin at speed, and away from walls the speeds are Rayleigh's, whose mean is $\sqrt{\pi/2}$ times its scale.

# %%
assert walks.abs().max() <= BOX / 2
moved = (walks[1:] - walks[:-1]).norm(dim=-1) / DT
free = walks[:-1].abs().amax(-1) < BOX / 2 - 0.1
test_close(moved[free].mean(), SPEED * math.sqrt(math.pi / 2), eps=0.01)
test_eq(paths(3, 4, torch.Generator().manual_seed(1)), paths(3, 4, torch.Generator().manual_seed(1)))


# %% [markdown]
# ## Place cells
#
# A place cell fires near its own spot. The activity of cell $i$ at squared distance $d_i^2$ is a difference of two softmaxes,
#
# $$\mathrm{softmax}(-d^2/2\sigma^2)_i - \mathrm{softmax}(-d^2/4\sigma^2)_i, \qquad \sigma = 0.12\,\mathrm{m},$$
#
# shifted until none is negative and scaled to sum to 1. As the formula reads, for one rat:

# %%
def plain_activity(position, centres, sigma=0.12):
    "Activity (P,) of place cells at `centres` (P, 2) of a rat at `position` (2,), both in m"
    squares = (position - centres).square().sum(-1)
    activity = torch.softmax(-squares / (2 * sigma**2), -1) - torch.softmax(-squares / (4 * sigma**2), -1)
    activity = activity - activity.min()
    return activity / activity.sum()


# %% [markdown]
# And for all rats of all seeds at once, in fewer passes over the numbers (*What makes it quick*, at the end, says how). Read backwards, the three most active cells say where the rat is.

# %%
#| export
SIGMA = 0.12  # width of a place cell, m
PIECE = 2**18  # activities that fit a processor's cache


@checked
class PlaceCells(nn.Module):
    "Place cells at fixed spots, drawn uniformly in the box for each seed"
    centres: Tensor

    def __init__(
        self,
        cells: Annotated[int, Within(3, 10**6)],  # number of cells P
        generators: list[torch.Generator],  # a random stream for each seed
    ):
        super().__init__()
        centres = [(torch.rand(cells, 2, generator=g) - 0.5) * BOX for g in generators]
        self.register_buffer("centres", torch.stack(centres))  # (S, P, 2) in m

    def forward(
        self,
        position: Annotated[Tensor, Shape("S ... 2", "float", empty=True)],  # (S, ..., 2) in m
    ) -> Tensor:  # activity (S, ..., P), at least 0, with sum 1
        flat, centres = position.flatten(1, -2), self.centres / (2 * SIGMA**2)
        activity = flat.new_empty(*flat.shape[:2], self.centres.shape[1])
        few = max(1, PIECE // (len(flat) * activity.shape[2])) if flat.is_cpu else max(1, flat.shape[1])
        for x, out in zip(flat.split(few, 1), activity.split(few, 1), strict=True):
            scores = torch.baddbmm((self.centres * centres).sum(-1)[:, None] / -2, x, centres.mT)
            wide = torch.softmax(scores, -1)
            difference = (wide / (wide * wide).sum(-1, keepdim=True)).sub_(1).mul_(wide)
            least = difference.amin(-1, keepdim=True)
            torch.div(difference.sub_(least), least * -activity.shape[2], out=out)
        return activity.unflatten(1, position.shape[1:-1])

    def decode(
        self,
        scores: Annotated[Tensor, Shape("S ... P", "float")],  # (S, ..., P); activity, or anything that grows with it
    ) -> Tensor:  # positions (S, ..., 2) in m
        "Mean of the centres of the 3 most active cells; NaN where a score is not finite"
        flat = scores.flatten(1, -2)
        best = torch.stack([centres[cells] for centres, cells in zip(self.centres, flat.topk(3, -1).indices, strict=True)])
        lost = (flat * 0).sum(-1, keepdim=True)  # 0, or NaN
        return (best.mean(-2) + lost).unflatten(1, scores.shape[1:-1])


# %%
#| fig-alt: "Place cells as dots in the box, coloured by their activity for a rat at a red cross: the nearest are most active, those in a ring around them not at all, and all others a little."
shown = config if config.scale != "tiny" else NavigationConfig(scale="small", device="cpu")  # the cells of a tiny run are too few to show anything
cells = PlaceCells(shown.place_cells, [torch.Generator().manual_seed(0)])
place = torch.tensor([[[0.3, -0.2]]])
activity = cells(place)[0, 0]
fig, ax = plt.subplots(figsize=(4.4, 3.4), layout="constrained")
dots = ax.scatter(*cells.centres[0].T, c=100 * activity, s=20, cmap="viridis")
ax.plot(*place[0, 0], "r+", markersize=14, markeredgewidth=2)
ax.set(xlabel="east (m)", ylabel="north (m)", aspect="equal", title="place cells of a rat at the cross")
fig.colorbar(dots, ax=ax, label="activity (%)")
plt.show()

# %% [markdown]
# The nearest cells are most active. In a ring around them the difference is lowest, which the shift brings to 0; so all that are farther off keep a little. Both ways to compute it agree, cell by cell:

# %%
test_close(activity, plain_activity(place[0], cells.centres[0]), eps=1e-6)
test_close(activity.sum(), 1, eps=1e-5)


# %% [markdown]
# *Predict:* how exact can three of these cells be? Decode the **true** activity, and compare with a rat that says it never moved.

# %%
#| export
@checked
def position_error(
    decoded: Annotated[Tensor, Shape("S ... 2", "float")],  # (S, ..., 2) in m
    position: Annotated[Tensor, Shape("S ... 2", "float", finite=True)],  # (S, ..., 2) in m
) -> Tensor:  # mean distance (S,) in cm
    "Position error of each seed"
    return 100 * (decoded - position).norm(dim=-1).flatten(1).mean(1)


# %%
walk = paths(1000, shown.steps, torch.Generator().manual_seed(2))[None]
best = position_error(cells.decode(cells(walk[:, 1:])), walk[:, 1:]).item()
still = position_error(walk[:, :1], walk[:, 1:]).item()
print(f"decoding true activity of {cells.centres.shape[1]} cells: {best:.1f} cm; standing still: {still:.1f} cm, over {shown.steps} steps")

# %% [markdown]
# Those two numbers frame every result below: no network that is trained on this activity can be expected to go far below the first,
# and one that does no better than the second has learned nothing.

# %% [markdown]
# ## The network
#
# An encoder turns the place cells' activity at the start into the first hidden state. The recurrent layer gets the velocity, as displacement a step.
# A decoder gives a score for each place cell at every step. There are no biases.
#
# Two initializations are named, because results depend on them. `paper` is torch's default. `identity` starts the recurrent matrix at the identity plus a
# tenth of the default, near what Le, Jaitly and Hinton advise for ReLU networks, so that a state outlasts its step.
#
# The whole, as in the paper's figures 2 and 4: the place cells' activity at the start becomes the first hidden state, each step's displacement moves it on, and after each step the place cells' scores are read off it. Only the recurrent matrix feels the penalty.

# %%
#| code-fold: true
#| fig-alt: "A diagram: place cells at the start and the displacement of each step go into a hidden state of N neurons with a recurrent arrow onto itself; from there scores of place cells and a position."
fig, ax = plt.subplots(figsize=(7.5, 2.9), layout="constrained")
boxes = {"place cells\nat the start, P": (0, 0), "hidden state\nN neurons": (2.6, 0), "scores of the\nplace cells, P": (5.2, 0), "displacement\nof a step, 2": (2.6, -1.25), "position,\nthe 3 best cells": (7.4, 0)}
for words, (x, y) in boxes.items():
    ax.text(x, y, words, ha="center", va="center", bbox=dict(boxstyle="round,pad=0.4", facecolor="none", edgecolor="C0"))
for begin, end, words, at in (((0.75, 0), (1.85, 0), "encoder\nN × P", (1.3, 0.3)), ((3.3, 0), (4.4, 0), "decoder\nP × N", (3.85, 0.3)), ((2.6, -0.9), (2.6, -0.35), "inputs, N × 2", (3.3, -0.62)), ((6.0, 0), (6.65, 0), "", (0, 0))):
    ax.annotate("", end, begin, arrowprops=dict(arrowstyle="->", color="0.4"))
    ax.text(*at, words, ha="center", va="center", fontsize=8)
ax.annotate("", (2.95, 0.35), (2.25, 0.35), arrowprops=dict(arrowstyle="->", color="C1", connectionstyle="arc3,rad=-1.4"))
ax.text(2.6, 1.05, "recurrent, N × N: penalized", ha="center", color="C1", fontsize=8)
ax.set(xlim=(-0.8, 8.2), ylim=(-1.6, 1.3))
ax.set_axis_off()
plt.show()

# %% [markdown]
# Activity and displacement are small numbers: one is about $1/P$, the other some centimetres in metres. `raw` hands them over as they are, as the
# paper does. `standardized` measures activity in units of $1/P$ and displacement in units of its root mean square. One could enlarge
# the weights that read them instead, and a dense network would train as well; but global magnitude pruning compares weights
# across matrices, so a matrix with large weights for small inputs would survive at the cost of all others.

# %%
#| export
STEP = math.sqrt(2) * SPEED * DT  # root mean square of the displacement in a step away from walls, m


@checked
class PathIntegrator(nn.Module):
    "Encoder, recurrent layer and decoder of the paper's figure 4, for several seeds at once"

    def __init__(
        self,
        config: NavigationConfig,
        generators: Generators,  # a random stream for each seed
    ):
        super().__init__()
        shared: dict[str, Any] = dict(bias=False, replicas=config.seeds, generator=generators)
        self.encoder = Linear(config.place_cells, config.hidden, **shared)
        self.rnn = self.recurrence(config, generators)
        self.decoder = Linear(config.hidden, config.place_cells, **shared)
        self.scales = (config.place_cells, 1 / STEP) if config.inputs == "standardized" else (1, 1)

    def recurrence(self, config: NavigationConfig, generators: Generators) -> nn.Module:
        "The recurrent layer, with its first weights"
        rnn = RNN(2, config.hidden, nonlinearity="relu", bias=False, replicas=config.seeds, generator=generators)
        if config.init == "identity":
            near_identity_(rnn.weight_hh_l0)
        return rnn

    def states(
        self,
        start: Annotated[Tensor, Shape("S batch P", "float")],  # place-cell activity at the start (S, batch, P)
        velocity: Annotated[Tensor, Shape("S T batch 2", "float")],  # displacement at each step (S, T, batch, 2) in m
    ) -> Tensor:  # hidden states after each step (S, T, batch, N)
        activity_scale, velocity_scale = self.scales
        return self.rnn(velocity_scale * velocity, self.encoder(activity_scale * start)[:, None])[0]

    def forward(self, start: Annotated[Tensor, Shape("S batch P", "float")], velocity: Annotated[Tensor, Shape("S T batch 2", "float")]) -> Tensor:
        "Scores of the place cells after each step (S, T, batch, P)"
        return self.decoder(self.states(start, velocity))


# %% [markdown]
# ## The task
#
# The loss is the cross entropy between true activity and the softmax of the scores, at every step. Paths are drawn in blocks of thousands.

# %%
#| export
@checked
class Navigation(Task):
    "Path integration with place cells (section 4.1 and appendix A.1)"

    Config = NavigationConfig
    config: NavigationConfig
    metric, label = "error", "position error (cm)"
    learned = ("standing still", 1.0)
    block: ClassVar[int] = 5000  # paths that are generated at once, for each seed

    def __init__(self, config: NavigationConfig):
        super().__init__(config)
        self.cells = PlaceCells(config.place_cells, self.generators("place cells")).to(config.device)

    def model(self, generators: list[torch.Generator]) -> PathIntegrator:
        return PathIntegrator(self.config, generators)

    def recurrent(self, model: PathIntegrator) -> list[tuple[nn.Module, str]]:
        return [(model.rnn, "weight_hh_l0")]

    def batches(self, generators: list[torch.Generator]) -> Iterator[Tensor]:
        c = self.config
        group = max(1, self.block // c.batch)  # batches in a block
        for first in range(0, c.batches, group):
            n = min(group, c.batches - first)
            block = torch.stack([paths(n * c.batch, c.steps, g, c.device) for g in generators])
            yield from block.unflatten(2, (n, c.batch)).unbind(2)

    @checked(trusts=True)
    def loss(self, model: PathIntegrator, positions: Annotated[Tensor, Shape("S T batch 2", "float")]) -> Tensor:
        "Cross entropy (S,) in nats, for positions (S, T + 1, batch, 2) in m"
        activity = self.cells(positions)
        scores = model(activity[:, 0], positions.diff(dim=1))
        return -(torch.log_softmax(scores, -1) * activity[:, 1:]).sum(-1).mean((1, 2))

    def test_paths(self) -> Tensor:
        "Paths that no model is trained on (S, T + 1, 1000, 2) in m"
        return torch.stack([paths(1000, self.config.steps, g, self.config.device) for g in self.generators("test")])

    def limits(self) -> dict[str, float]:
        "Errors in cm, over all seeds: of a rat that claims to be `standing still`, and of decoding the `true activity`"
        walk = self.test_paths()
        said = {"standing still": walk[:, :1], "true activity": self.cells.decode(self.cells(walk[:, 1:]))}
        return {name: position_error(position, walk[:, 1:]).mean().item() for name, position in said.items()}

    def evaluate(self, model: PathIntegrator) -> dict[str, Tensor]:
        "Position error (S,) in cm, mean over all steps"
        walk = self.test_paths()
        scores = model(self.cells(walk[:, 0]), walk.diff(dim=1))
        return {"error": position_error(self.cells.decode(scores), walk[:, 1:])}


# %% [markdown]
# Each seed has its own rats, so a batch is the same whoever shares the computation:

# %%
few = replace(config, seeds=2, seed=5, batch=4, batches=3)
one = replace(few, seeds=1, seed=6)
both, alone = (next(task.batches(task.generators("data"))) for task in (Navigation(few), Navigation(one)))
test_eq(both.shape, (2, config.steps + 1, 4, 2))
test_eq(both[1].tolist(), alone[0].tolist())

# %% [markdown]
# ## The run
#
# Three runs: a dense network without a penalty, one with yours, and yours pruned. Each is a folder; a run that is complete is not computed again.

# %%
task = Navigation(config)
runs = train_three(Navigation, config)
folder = runs["sparse"].path
print(folder)

# %% [markdown]
# ## Learning while being pruned

# %%
#| fig-alt: "Position error over epochs of dense and pruned networks, with the rising share of zeros behind; to the right of a line the lottery ticket is trained from new weights."
fig, ax = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
plot_learning(task, runs, ax)
fig.savefig(folder / "learning.png", dpi=150)


# %% [markdown]
# ## Does it know where it is?

# %%
#| export
@checked
@torch.no_grad()
def plot_paths(
    task: Navigation,
    model: PathIntegrator,
    axes: Any,  # one path each
) -> None:
    "True and decoded paths of the first seed"
    walk = task.test_paths()
    decoded = task.cells.decode(model(task.cells(walk[:, 0]), walk.diff(dim=1)))
    for k, ax in enumerate(axes):
        true, said = walk[0, :, k].cpu(), decoded[0, :, k].cpu()
        ax.plot(*true.T, "o-", color="0.6", markersize=3, label="true")
        ax.plot(*said.T, "x-", color="C1", markersize=4, linewidth=0.8, label="decoded")
        ax.plot(*true[0], "o", color="black", label="start")
        ax.set(xlabel="east (m)", aspect="equal")
        ax.margins(0.2)
    axes[0].set(ylabel="north (m)")


# %%
#| fig-alt: "Three true paths and the decoded ones beside them, each with its start marked."
fig, axes = plt.subplots(1, 3, figsize=(8, 3.2), layout="constrained")
plot_paths(task, load_model(task, runs["sparse"]), axes)
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
fig.savefig(folder / "paths.png", dpi=150)

# %% [markdown]
# ## The shape of what is left
#
# Surviving weights against distance, the spectrum before and after, and the neuron with most connections left. With `penalty="moduli"` the inhibitor's valley should
# show; with a control it should not.

# %%
#| fig-alt: "Three panels: the share of surviving weights by distance, the eigenvalues before and after pruning, and the weights into one neuron on its manifold."
fig = plt.figure(layout="constrained")
plot_wiring(task, runs, fig)
fig.savefig(folder / "wiring.png", dpi=150)

# %% [markdown]
# ## Beside the paper
#
# The paper's numbers are read from its tables, which ship with the package. A setting that the paper did not try has no row.

# %%
display(Markdown(report(task, runs, note=f"{config.steps} steps, init={config.init}")))
print(f"table.md, learning.png, paths.png and wiring.png lie in {folder}")

# %% [markdown]
# ## How the small scale was chosen
#
# A scale is judged by the sparse network that a reader is shown. The first one, half as wide and with half the place cells, was tuned on dense networks, which found their way; pruned to 90 %, they were further off than a rat that stands still.
# Each cut had 100 batches to heal in, and the last took a quarter of what was left. Twice the width, a cubic schedule, whose last cuts are small, and more batches mend it. These are the runs that were tried, one seed each
# (seed 0, which the tables of this book report too, and seed 300):

# %%
kept = read_records(RESULTS / "navigation.jsonl")
tried = sorted((one for one in kept if one["settings"].get("seeds") == 1 and one["settings"]["hidden"] == 512), key=lambda one: one["phases"]["train"]["error"])
columns = {"place_cells": "place cells", "epochs": "epochs", "lr": "rate", "penalty": "penalty", "strength": "λ", "sparsity": "zeros", "seed": "seed"}
lines = ["| " + " | ".join(columns.values()) + " | error (cm) | standing still | run |", "|---" * (len(columns) + 3) + "|"]
for one in tried:
    values = [one["settings"].get(name, next(f.default for f in fields(NavigationConfig) if f.name == name)) for name in columns]
    said = [display_name(v) if name == "penalty" else f"{100 * v:g} %" if name == "sparsity" else f"{v:g}" for name, v in zip(columns, values, strict=True)]
    lines.append("| " + " | ".join(said) + f" | {one['phases']['train']['error'][0]:.1f} | {one['learned_below']:.1f} | {one['run'].split('-')[1][:6]} |")
display(Markdown("\n".join(lines)))

# %% [markdown]
# The number of place cells bounds what can be read off: the fewer there are, the farther are the best three from the true place, whatever the network knows.
#
# ## Does the shape matter?
#
# One network with a geometry says nothing about geometry. The chapter [tables](tables.ipynb) sets all conditions beside each other and beside the paper's, with their seeds.
#
# What the first small scale said is kept as a warning. *Predict:* which row is best, of networks that pruning has broken: no penalty, a uniform one, a shuffled one, or a geometric one?

# %%
results = load_results("navigation_small")
display(Markdown(condition_table(results)))

# %%
#| fig-alt: "Position error under many conditions in three settings, a dot a seed, with a line for standing still: small pruned networks stand above it, wide ones below."
plot_conditions(results, task.label, plt.figure(layout="constrained"), {"standing still": load_results("navigation_dense")[0]["standing still"]})
plt.show()


# %% [markdown]
# Where a start alone is named, networks have 256 neurons, 256 place cells and 1,500 batches, and are linearly pruned to 90 %. Their order can be told well, and it is an order among networks that have lost their way. At four times the width (1024 neurons) they find it,
# and there the best has no penalty at all.

# %% [markdown]
# ## Sparse from birth
#
# Pruning begins with all pairs. The layer of the chapter [edges](edges.ipynb) begins with the pairs that the manifold makes cheap and never has others, so its weights, their gradients, the optimizer's moments and the checkpoint are as long as the list.
# Each neuron listens to its `partners` cheapest neurons and to itself, since an identity start needs that; encoder and decoder are dense. All else is the task from above.

# %%
#| export
@dataclass(frozen=True, kw_only=True)
class EdgeNavigationConfig(NavigationConfig):
    "Settings of a navigation run whose recurrent weights are a list from the start: one seed, no penalty, nothing is pruned"

    penalty: str = "none"
    strength: float = 0.0
    sparsity: float = 0.0
    lottery: bool = False
    seeds: int = 1
    partners: int = setting(100, least=1)  # neurons that each one listens to, beside itself

    task: ClassVar[str] = "edge_navigation"

    def __post_init__(self):
        super().__post_init__()
        for name, wanted in {"penalty": "none", "sparsity": 0.0, "lottery": False, "seeds": 1}.items():
            if getattr(self, name) != wanted:
                raise ValueError(f"{name}={getattr(self, name)!r}; a network that is sparse from birth has {name}={wanted!r}: to prune one, use NavigationConfig")
        if self.partners >= self.hidden:
            raise ValueError(f"partners={self.partners}; of hidden={self.hidden} neurons each can listen to at most {self.hidden - 1} others")


# %%
#| export
@checked
def partners_of(config: EdgeNavigationConfig) -> Tensor:  # (2, E): the neuron that listens and the one it listens to
    "Each neuron's cheapest partners under the config's manifold and inhibitor, and itself; neighbours have near numbers"
    space = find_manifold(config.manifold)
    points = space.sample(config.hidden, stream(config.seed, "embedding", 0))
    points = points[geometric_blocks(points, 16).argsort(stable=True)]
    edges, _ = geometric_edges(space, points, config.inhibitor, config.partners)
    return torch.cat([edges, torch.arange(config.hidden).expand(2, -1)], 1).unique(dim=1)


@checked
class EdgeIntegrator(PathIntegrator):
    "A path integrator whose recurrent weights are a list of edges"

    def recurrence(self, config: EdgeNavigationConfig, generators: list[torch.Generator]) -> nn.Module:
        edges = partners_of(config)
        rnn = EdgeRNN(2, config.hidden, edges, "relu", bias=False, generator=generators[0])
        if config.init == "identity":
            with torch.no_grad():
                rnn.weight_hh.mul_(0.1).add_(edges[0] == edges[1])
        return rnn

    def states(self, start: Annotated[Tensor, Shape("1 batch P", "float")], velocity: Annotated[Tensor, Shape("1 T batch 2", "float")]) -> Tensor:
        activity_scale, velocity_scale = self.scales
        return self.rnn(velocity_scale * velocity[0], self.encoder(activity_scale * start))[0][None]


# %%
#| export
@checked
class EdgeNavigation(Navigation):
    "Path integration by a network that is sparse from birth"

    Config = EdgeNavigationConfig
    config: EdgeNavigationConfig

    def model(self, generators: list[torch.Generator]) -> EdgeIntegrator:
        return EdgeIntegrator(self.config, generators)

    def recurrent(self, model: EdgeIntegrator) -> list[tuple[nn.Module, str]]:
        return []


# %%
born = EdgeNavigation(EdgeNavigationConfig(scale="tiny", device="cpu", partners=5, out=tempfile.mkdtemp()))
weights = fit(born, progress=False).weights()
test_eq(weights["rnn.weight_hh"].shape, (32 * 6,))  # five partners and itself

# %% [markdown]
# Ten thousand neurons with 100 partners each, beside a dense network with as many weights in all, one seed and 1,000 batches each. These two lines made them, and `python -m modreg.lab.results modreg.tasks.navigation:EdgeNavigation navigation` wrote their numbers down:
#
# ```python
# fit(EdgeNavigation(EdgeNavigationConfig(scale="small", hidden=10_000, epochs=25, batches=40)))
# fit(Navigation(config_for(Navigation, {"penalty": "none", "sparsity": 0.0}, hidden=2_882, epochs=25, batches=40, seeds=1)))  # of modreg.lab.statistics
# ```

# %%
#| echo: false
lines = ["| network | neurons | recurrent weights | weights in all | error (cm) | standing still (cm) | minutes |", "|---" * 7 + "|"]
for kind, file in ((EdgeNavigationConfig, "edge_navigation"), (NavigationConfig, "navigation")):
    for one in read_records(RESULTS / f"{file}.jsonl"):
        n, P = one["settings"]["hidden"], one["settings"]["place_cells"]
        if n > 2000:
            each = one["settings"].get("partners", kind.partners) + 1 if kind is EdgeNavigationConfig else n
            error = one["phases"]["train"]["error"][0]
            lines.append(f"| {'edges' if each < n else 'dense'} | {n:,} | {n * each:,} | {n * (each + 2 * P + 2):,} | {error:.1f} | {one['learned_below']:.1f} | {one['seconds'] / 60:.0f} |")
display(Markdown("\n".join(lines)))


# %% [markdown]
# ## Exercise 1: where did the zeros fall?
#
# *5 min, easy.* Global pruning gives the whole network one threshold. Write the share of zeros of each matrix, and think of what a network loses whose recurrent matrix pays most.

# %%
def zeros_by_matrix(tensors):
    "Share of zeros of each matrix by name; tensors['mask.NAME'] is True where a weight of NAME survived, other entries are no masks"
    raise NotImplementedError


# %%
#| fold How it is checked
tensors = runs["sparse"].weights()


def picture():
    diagonal = tensors["mask.rnn.weight_hh_l0"].diagonal(dim1=-2, dim2=-1).float().mean().item()
    draw_bars({**zeros_by_matrix(tensors), "recurrent diagonal": 1 - diagonal}, "share of zeros")


with exercise("the mean of a mask is the share that is left; the keys lose their `mask.`", picture) as expect:
    expect(zeros_by_matrix, {"mask.a": torch.tensor([True, False, False, False]), "a": torch.ones(4)}, gives={"a": 0.75})
    shares = zeros_by_matrix(tensors)
    sizes = {name: tensors[name].numel() for name in shares}
    expect(lambda: sum(shares[n] * sizes[n] for n in shares) / sum(sizes.values()), gives=config.sparsity, within=1e-3, name="the share of zeros in all matrices together")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def zeros_by_matrix(tensors):
#     return {name.removeprefix("mask."): 1 - mask.float().mean().item() for name, mask in tensors.items() if name.startswith("mask.")}
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: how long are its strides?
#
# *5 min, easy.* A network that is trained on fast rats may be lost with a slow one. Write the mean speed of paths.

# %%
def mean_speed(positions):
    "Mean speed in m/s of paths of positions (T + 1, n, 2) in m, whose steps last DT seconds"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("the length of each step, over its time", lambda: draw_bars({f"path {k}": mean_speed(walks[:, k : k + 1]) for k in range(6)} | {"mean of all": mean_speed(walks)}, "mean speed (m/s)")) as expect:
    expect(mean_speed, torch.tensor([[[0.0, 0.0]], [[0.3, 0.4]]]), gives=0.5 / DT)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def mean_speed(positions):
#     return (positions.diff(dim=0).norm(dim=-1).mean() / DT).item()
# ```
#
# </details>

# %% [markdown]
# With `init="identity"` the off-diagonal recurrent weights begin as the smallest of all, so they go first, whatever the penalty says about them; the diagonal, which
# remembers, stays. What is left is close to one memory a neuron. The geometry can speak only through the few recurrent weights that outgrow the rest.

# %% [markdown]
# ## What makes it quick
#
# <details><summary>Three remarks on place cells, and a thread that draws ahead</summary>
#
# *Place cells.* Of $|x - c|^2 = |x|^2 - 2\,x \cdot c + |c|^2$ a softmax does not feel $|x|^2$, so one matrix product gives what the wide softmax needs.
# The narrow one is the square of the wide one, normalized anew: no second exponential. Both sum to 1, so their differences sum to 0; shifted by the least of them, $m$, they sum to $-Pm$.
# What is left are a few passes over the activities. They are made for a few positions at a time, which never leave the processor's cache.
#
# *Paths.* On a GPU a thread draws the next block of paths while the network trains. Where the network trains on the processor itself, products keep all cores busy and the thread is in their way; where a core is idle there is little to gain,
# since paths take so small a part of a step. So on a processor the loop does without.
#
# </details>
#
# How much a step gained from such a thread on a processor, when it was tried (`python benchmarks/ahead.py`):

# %%
#| code-fold: true
for row in load_results("ahead"):
    middle, low, high = row["gain"]
    print(f"N={row['hidden']}, training on {row['threads']} of {row['cores']} cores: a step is {middle:.2f} times as fast ({low:.2f}–{high:.2f}) with a thread that draws ahead")

# %% [markdown]
# ## What broke, and what the paper did
#
# - Nothing is seeded in the published scripts; here a run is found again by its settings.
# - The difference of Gaussians also charges the diagonal, which an identity start needs. Try `-p inhibitor diffusion`, which leaves it free.
# - A learning rate that falls to nothing trains a better dense network and ruins a pruned one: the last cuts are the deepest, and by then nothing heals. The rate here is constant, as in the paper.
# - Weights that are enlarged to suit small inputs survive a global threshold at the cost of all others. That is why inputs are standardized at the small scale.
#
# ## Recall and think
#
# <details><summary>Recall: which two numbers frame every result here?</summary>
#
# What the true activity decodes to, below which no network can be expected to get; and the error of a rat that claims it never moved.
#
# </details>
#
# <details><summary>Recall: why are inputs measured in units of their own size at the small scale?</summary>
#
# One threshold for all matrices compares weights, so a matrix with large weights for small inputs would survive at the cost of all others.
#
# </details>
#
# <details><summary>Think: the recurrent matrix starts near the identity, and the difference of Gaussians charges the diagonal. What might follow?</summary>
#
# The penalty works against the memory that the start has given. An inhibitor that leaves distance 0 free does not.
#
# </details>
#
# **References.** Sorscher et al., *A unified theory for the computational and mechanistic origins of grid cells* (2023). Cueva and Wei, *Emergence of grid-like representations*
# (2018). Raudies and Hasselmo, *Modeling boundary vector cell firing* (2012). Le, Jaitly and Hinton (2015). Section 4.1, appendix A.1 and tables 1–3 of the paper.
