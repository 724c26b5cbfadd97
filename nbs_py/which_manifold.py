# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Which manifold?
#
# > Rank spaces by how well geodesic distance on them explains who is joined to whom, or who fires with whom

# %% [markdown]
# *Reading 30 min, exercises 15 min. To skip at a first reading:* *From waves to points*, *Settling*.
#
# After this chapter you can
#
# - ask of any recurrent network, weight matrix or recording on which space its neurons seem to live,
# - place neurons on a space that nobody told them of,
# - say why a better fit is no proof, and which two checks make it one.
#
# The question: *a network comes without an embedding. Was it wired on a circle, a sphere, a torus, a Klein bottle, or on nothing at all?*

# %%
#| default_exp analysis.which_manifold

# %%
#| export
import argparse
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

import torch
from torch import Tensor, nn

from modreg.analysis.activity import states_while
from modreg.analysis.wiring import rewired
from modreg.geometry.arguments import Count, Shape, Share, Whole, Within, check, checked
from modreg.geometry.manifolds import Manifold, Torus, manifold
from modreg.geometry.products import Modules, Product
from modreg.lab import studies
from modreg.lab.experiments import load_model, recurrent_weights
from modreg.lab.runs import Run
from modreg.lab.training import Task
from modreg.layers.edges import EdgeRNN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# %%
#| hide
import matplotlib.pyplot as plt
from fastcore.test import test_close, test_eq, test_fail

from modreg.analysis import which_manifold as finished
from modreg.book.exercises import draw_curve, exercise
from modreg.book.explore import placed_neurons
from modreg.lab.experiments import load_results
from modreg.sparsity.penalties import display_name

plt.style.use("modreg.data.book")

# %%
#| echo: false
placed_neurons()

# %% [markdown]
# Move the last slider, which takes each neuron from <a href="#set:placed_neurons?on the way=0">where it happens to be</a> to <a href="#set:placed_neurons?on the way=1">where its wiring puts it</a>. Then wire
# <a href="#set:placed_neurons?wired on=nothing&on the way=1">by lot</a>: neurons are placed all the same, and the line under the pictures says how much a circle explains of a matrix that has none.
#
# The same with a matrix of 150 neurons, as this chapter's own functions place it:

# %%
#| code-fold: true
#| fig-alt: "A matrix of connections that looks random, and the same one with neurons numbered as they lie on a circle: a black band along the diagonal."
generator = torch.Generator().manual_seed(0)
weights = finished.planted("circle", 150, 0.85, 0.1, generator)  # each neuron hears its neighbours on a circle, and some strangers
pairs = ~torch.eye(150, dtype=torch.bool)
found = finished.place("circle", finished.ranks(finished.affinity(weights), pairs), pairs, generator)
order = found[:, 0].argsort()
fig, axes = plt.subplots(1, 2, figsize=(7, 3.4), layout="constrained")
for ax, matrix, title in zip(axes, (weights, weights[order][:, order]), ("as it comes", "numbered as it lies on a circle"), strict=True):
    ax.spy(matrix, markersize=0.6, color="black")
    ax.set(title=title, xlabel="from neuron", ylabel="to neuron", xticks=[], yticks=[])
plt.show()


# %% [markdown]
# Both pictures show the same matrix. On the left its neurons have the numbers that they came with. On the right they have been *placed on a circle*, by nothing but the matrix, and numbered as they lie there.
#
# *Predict:* place the same neurons on a torus, which has more room. Will that fit the matrix better? And a matrix that is random: will it fit a circle not at all?
#
# ## How near are two neurons?
#
# A wiring says it by magnitudes: much weight, near. Neurons that have much of everything are no nearer to anybody for it, so what each has in all is divided out. And magnitudes of weights have no unit, so ranks stand in their place: how near a pair is among all pairs. A number that says how near two neurons are, before the ranks, is their *affinity*.

# %%
#| export
@checked(finite=False)
def affinity(
    weights: Tensor,  # (N, N)
) -> Tensor:  # (N, N), symmetric
    "How strongly each two neurons are joined: magnitudes in both directions, divided by the root of what each neuron has in all"
    both = (weights.abs() + weights.abs().mT).double().fill_diagonal_(0)
    strength = both.sum(1).clamp(min=torch.finfo(both.dtype).tiny).sqrt()
    return both / (strength * strength[:, None])


# %%
#| export
@checked(finite=False)
def ranks(
    values: Tensor,  # one number for each pair of neurons (N, N)
    pairs: Tensor,  # which pairs count (N, N), bool
) -> Tensor:  # (N, N): mean 0 and variance 1 over these pairs, 0 elsewhere
    "Ranks in place of values, equal values sharing their mean rank"
    _, inverse, count = values[pairs].unique(return_inverse=True, return_counts=True)
    rank = (count.cumsum(0) - count / 2)[inverse]
    found = torch.zeros(values.shape, dtype=torch.float32)
    found[pairs] = ((rank - rank.mean()) / rank.std().clamp(min=1e-12)).float()
    return found


# %%
values = ranks(affinity(weights), pairs)
test_eq(values, values.T)
test_close(values[pairs].mean(), 0, eps=1e-5)
test_close(values[pairs].std(), 1, eps=1e-3)
test_eq(ranks(affinity(4 * weights), pairs), values)  # no unit
scaled = torch.rand(150, generator=generator).add(0.5).diag().double()
test_close(affinity(scaled @ (weights + weights.T).double() @ scaled).sum(1).std(), affinity(weights + weights.T).sum(1).std(), eps=0.3)


# %% [markdown]
# ## The naive way, and why it fails
#
# Eigenvectors of a matrix of nearness are waves over the space, the longest first: for neurons on a circle the first two should be $\cos$ and $\sin$ of the angle. They are, if near neurons are joined by degrees. But where a tenth of all pairs is joined and the others are not,
# waves of all lengths have nearly the same eigenvalue, and the first two vectors are any mixture of many.
#
# Distances do not have this fault. Join each neuron to the few whose *rows* are most like its own, so that a stray connection counts little, and measure the shortest way along these joints: far pairs then differ from very far ones.

# %%
#| export
#| fold Shortest ways
def _centred(matrix: Tensor) -> Tensor:
    "A matrix less its columns' and then its rows' means"
    matrix = matrix - matrix.mean(0)
    return matrix - matrix.mean(1, keepdim=True)


def _graph_distances(known: Tensor, near: int = 8) -> Tensor:
    "Lengths of shortest ways (N, N) between neurons, each joined to those whose affinities to all others (N, N) are most like its own"
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import shortest_path

    rows = known / known.norm(dim=1, keepdim=True).clamp(min=1e-12)
    likeness = (rows @ rows.T).fill_diagonal_(-2)
    while True:
        value, index = likeness.topk(near, 1)
        steps = torch.zeros_like(likeness).scatter_(1, index, (2 - 2 * value).clamp(min=1e-6).sqrt())
        found = torch.from_numpy(shortest_path(csr_matrix(torch.where(steps > 0, steps, steps.T).numpy()), directed=False))
        if found.isfinite().all():
            return found
        near = min(2 * near, len(known) - 1)  # some neurons were out of reach


# %% [markdown]
# The leading eigenvectors of both, of the affinities and of these distances, scaled to a mean square of 1:

# %%
#| export
def _coordinates(known: Tensor) -> list[Tensor]:
    "Leading eigenvectors (N, N), each of mean square 1, of affinities and of distances on their graph"
    pairs = ~torch.eye(len(known), dtype=torch.bool)
    distance = ranks(_graph_distances(known), pairs)
    nearness = (-distance).masked_fill(~pairs, -distance.min().item())
    return [torch.linalg.eigh(_centred(matrix))[1].flip(1) * math.sqrt(len(known)) for matrix in (known, nearness)]


# %%
#| fig-alt: "Neurons along two eigenvectors, coloured by their place: from affinities a crumpled line, from distances on the graph a clean ring."
both = _coordinates(values)
fig, axes = plt.subplots(1, 2, figsize=(6.4, 3.2), layout="constrained")
for ax, vectors, title in zip(axes, both, ("affinities", "distances on the graph"), strict=True):
    ax.scatter(*vectors[:, :2].T, c=found[:, 0], cmap="twilight", s=10)
    ax.set(title=title, xlabel="first eigenvector", ylabel="second", aspect="equal")
plt.show()
spread = [(vectors[:, :2].norm(dim=1).std() / vectors[:, :2].norm(dim=1).mean()).item() for vectors in both]
assert spread[1] < spread[0]


# %% [markdown]
# Each way has its day, though: in six dimensions there are too few neurons for a graph whose ways mean anything, and the affinities' own eigenvectors are better. So both are tried.
#
# ## From waves to points
#
# A space has waves, too, and they can be computed for any space that can tell distances: scatter points on it, and take the eigenvectors of a smooth kernel. The first few tell its points apart: two on a circle, three on a sphere, five on a Klein bottle. A torus, and any product, is taken apart into its factors first.

# %%
#| export
#| fold Waves of a space
def _factors(space: Manifold) -> list[Manifold]:
    "The spaces that a space is the product of, each as small as can be"
    if isinstance(space, Torus) and space.dim > 1:
        return [Torus(1, space.period)] * space.dim
    if isinstance(space, Product):
        return [factor for part in space.spaces for factor in _factors(part)]
    return [space]


@lru_cache
def _landmarks(space: Manifold) -> tuple[Tensor, Tensor]:
    "Points of a space (M, coordinates), and its first harmonics there (M, k), each of mean 0 and variance 1: as many as tell its points apart"
    points = space.sample(64 if space.dim == 1 else 256, torch.Generator().manual_seed(0))
    distance = space.distance(points)
    kernel = torch.exp(-(distance / distance.median()) ** 2)
    density = kernel.sum(1).sqrt()
    value, vector = torch.linalg.eigh((kernel / density / density[:, None]).double())
    rate = -(value.flip(0).clamp(min=1e-9) / value[-1]).log()
    least, most = space.dim, 2 * space.dim + 1  # Whitney: twice the dimension and one more are enough
    if isinstance(space, Modules):
        least, most = (sum(a * part.dim + 1 for part in space.spaces) + len(space.spaces) - 1 for a in (1, 2))
    k = max(range(least, most + 1), key=lambda k: rate[k + 1] / rate[k])  # before the widest gap
    harmonics = vector.flip(1)[:, 1 : k + 1] / vector[:, -1:]
    return points, ((harmonics - harmonics.mean(0)) / harmonics.std(0)).float()


# %%
for name, count in {"circle": 2, "sphere": 3, "klein": 5, "projective": 5, "s3": 4, "r2": 2}.items():
    test_eq(_landmarks(manifold(name))[1].shape[1], count)
test_eq([str(factor) for factor in _factors(manifold("torus*sphere"))], ["Torus(dim=1, period=10.0)"] * 2 + ["Sphere(dim=2, radius=5.0)"])


# %% [markdown]
# Neurons have coordinates, and so have landmarks on the space, but turned in some way: waves of one length can be mixed at will. The turn is found as clouds of points are laid over each other: bring each neuron to the nearest landmark, turn so that they fit best, and again.
# From a random turn this often ends in a corner. For a product, each factor is sought on its own, in what the others have left, and then all turn together; from many starts the best is kept.

# %%
#| export
#| fold The nearest landmarks
def _nearest(turned: Tensor, marks: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, list[Tensor], Tensor]:
    "Minus half the square distance (...) from coordinates (..., N, k) to the nearest landmarks, their numbers for each factor, and their harmonics"
    fit: Any = 0.0
    numbers, harmonics, start = [], [], 0
    for _, phi in marks:
        part = turned[..., start : start + phi.shape[1]]
        start += phi.shape[1]
        best = (part @ phi.T - (phi**2).sum(1) / 2).max(-1)
        numbers.append(best.indices)
        harmonics.append(phi[best.indices])
        fit = fit + (best.values - (part**2).sum(-1) / 2).sum(-1)
    return fit, numbers, torch.cat(harmonics, -1)


# %%
#| export
#| fold Turns that fit best
def _turn(coordinates: Tensor, marks: list, turn: Tensor, steps: int = 20) -> tuple[Tensor, Tensor]:
    "Turns (..., K, k) of coordinates (N, K) that bring them near the landmarks, from given ones on, and how near (...)"
    for _ in range(steps):
        _, _, harmonics = _nearest(coordinates @ turn, marks)
        left, _, right = torch.linalg.svd(coordinates.T @ harmonics, full_matrices=False)
        turn = left @ right
    return turn, _nearest(coordinates @ turn, marks)[0]


def _align(coordinates: Tensor, marks: list, generator: torch.Generator | None, tries: int = 2) -> tuple[Tensor, Tensor]:
    "A turn (K, k) found for one factor after another and then for all at once, and how near it brings the coordinates to the landmarks"
    free, turns = torch.eye(coordinates.shape[1]), {}
    for factor in torch.randperm(len(marks), generator=generator).tolist():
        mark = marks[factor]
        start = torch.linalg.qr(torch.randn(tries * mark[1].shape[1], free.shape[1], mark[1].shape[1], generator=generator))[0]
        turn, fit = _turn(coordinates @ free, [mark], start)
        turns[factor] = free @ turn[fit.argmax()]
        free = free @ torch.linalg.svd(turn[fit.argmax()])[0][:, mark[1].shape[1] :]
    return _turn(coordinates, marks, torch.cat([turns[factor] for factor in range(len(marks))], -1))


# %% [markdown]
# ## Settling
#
# Now each neuron has a place, as good as landmarks are. What follows is descent: distance explains a pair's rank by a broken line, which may rise and fall as it likes; the line is fitted, the neurons move along the manifold so that the line errs less, and the line is fitted again.

# %%
#| export
#| fold The broken line
def _curve(distance: Tensor, values: Tensor, known: Tensor, knots: int = 24, cells: int = 512) -> tuple[Tensor, Tensor, float]:
    "A broken line through values (n, m) by distance: height at 0 and slope in each of many cells, and the cells' width"
    width = distance.max().item() * (1 + 1e-6) / cells + 1e-12
    cell = (distance / width).long().clamp_(max=cells - 1).flatten()
    weight, total = (torch.bincount(cell, w.flatten(), cells) for w in (known, known * values))
    share = weight.cumsum(0) / weight.sum()
    knot = torch.searchsorted(share, torch.linspace(0, 1, knots)[1:-1] ** 1.5)
    knot = torch.cat([torch.tensor([0]), knot + 1, torch.tensor([cells])]).clamp(max=cells).unique()
    at = torch.arange(cells) + 0.5
    piece = torch.searchsorted(knot, torch.arange(cells), right=True) - 1
    low, length = knot[piece], (knot[piece + 1] - knot[piece])
    along = (at - low) / length
    height, mass = (torch.zeros(len(knot)).index_add_(0, piece, (1 - along) * v).index_add_(0, piece + 1, along * v) for v in (total, weight))
    height = height / (mass + 1)
    slope = (height[piece + 1] - height[piece]) / length
    return height[piece] - slope * low, slope / width, width


def _read(distance: Tensor, curve: tuple[Tensor, Tensor, float]) -> tuple[Tensor, Tensor]:
    "Height and slope of a broken line at distances"
    level, slope, width = curve
    cell = (distance / width).long().clamp_(max=len(level) - 1)
    slope = slope[cell]
    return level[cell] + slope * distance, slope


# %% [markdown]
# A step of descent looks at the pairs of all neurons with a third of them, another third each time, which is as good and three times as fast.

# %%
#| export
#| fold A descent
def _settle(space: Manifold, points: Tensor, values: Tensor, known: Tensor, steps: int, rate: float, generator: torch.Generator | None) -> Tensor:
    "Points (N, c) moved down the gradient of the squared error with which distance explains the known values (N, N)"
    n = len(points)
    size, some = space.distance(points).max().item(), max(n // 3, min(n, 100))
    mean, square = torch.zeros_like(points), 0.0
    for step in range(steps):
        others = torch.randperm(n, generator=generator)[:some]
        seen, wanted = known[:, others], values[:, others]
        distance, back = space.distance_vjp(points, points[others])
        if step % 5 == 0:
            curve = _curve(distance, wanted, seen)
        height, slope = _read(distance, curve)
        grad, to_others = back(seen * (height - wanted) * slope)
        grad = grad.index_add(0, others, to_others)
        mean, square = 0.9 * mean + 0.1 * grad, 0.98 * square + 0.02 * grad.square().mean()
        length = rate * size * (1 - step / steps) / (1 - 0.9 ** (step + 1))
        points = space.project(points - length * mean / (square / (1 - 0.98 ** (step + 1))).sqrt().clamp(min=1e-12))
    return points


def _explained(space: Manifold, points: Tensor, values: Tensor, known: Tensor) -> Tensor:
    "What distance makes of the values (N, N), given those that are known"
    distance = space.distance(points)
    return _read(distance, _curve(distance, values, known))[0]


# %% [markdown]
# All of it together: from both kinds of coordinates, some turns each, settled for a short while; the one that errs least goes on.

# %%
#| export
@checked(finite=False)
def place(
    space: str | Manifold,
    values: Annotated[Tensor, Shape("N N", "float", finite=True)],  # how near each two neurons are, of mean 0: ranks of affinities or of correlations
    known: Annotated[Tensor, Shape("N N", "bool")],  # which pairs may be looked at
    generator: torch.Generator | None = None,
    starts: list[Tensor] | None = None,  # for many spaces: what `_coordinates` makes of the known values
) -> Tensor:  # the neurons' points (N, coordinates)
    "Neurons on a space, such that geodesic distance explains the known values"
    space, known = manifold(space), known.float()
    marks = [_landmarks(factor) for factor in _factors(space)]
    k = sum(phi.shape[1] for _, phi in marks)
    found: list[Any] = []
    easy = k == space.dim + 1  # as for a sphere: all turns are alike
    for start, coordinates in enumerate(starts or _coordinates(values * known)):
        seen = coordinates[:, : k + 2 if start and not easy else k].contiguous()
        tried = [_align(seen, marks, generator) for _ in range(1 if easy else max(2, 10 - 2 * len(marks)) if start else max(3, 3 * len(marks)))]
        for turn, _ in sorted(tried, key=lambda one: -one[1].item())[:2]:
            _, numbers, _ = _nearest(seen @ turn, marks)
            points = torch.cat([points[number] for (points, _), number in zip(marks, numbers, strict=True)], -1)
            points = _settle(space, space.project(points), values, known, 25, 0.03, generator)
            error = (values - _explained(space, points, values, known)).square().mul(known).sum()
            found.append((error.item(), len(found), points))
    return _settle(space, min(found)[2], values, known, 80, 0.02, generator)


# %%
sphere = manifold("sphere")
truth = sphere.sample(150, generator)
near = -sphere.distance(truth)
placed = place("sphere", ranks(near, pairs), pairs, generator)
rank_of = (ranks(sphere.distance(placed), pairs) * ranks(-near, pairs))[pairs].mean()
assert rank_of > 0.98  # distances as they were; where north is nobody can know


# %% [markdown]
# ## A better fit is no proof
#
# On a torus there are circles, so what fits a circle fits a torus, and with the room that is left the torus fits the noise as well. A six-dimensional torus fits *anything* better. Three things make a fit count.
#
# **Pairs that are held back.** 15 pairs of 100 are not looked at while the neurons settle. What distance explains of *their* variance is the score. Who fits noise loses there. The score of a recording also comes from another half of the time than its places.

# %%
#| export
def _judge(spaces: list[Manifold], values: tuple[Tensor, Tensor], generator: torch.Generator | None, held: float = 0.15) -> tuple[Tensor, Tensor, list[Tensor]]:
    "For each space and neuron (K, N) how much squared error its pairs that were held back lose by distance, how much they have (N,), and the points"
    seen, told = values
    n = len(seen)
    pairs, lot = ~torch.eye(n, dtype=torch.bool), torch.rand(n, n, generator=generator).triu(1)
    known = pairs & (lot + lot.T >= held)
    back, starts, gains, points = pairs & ~known, _coordinates(seen * known), [], []
    for space in spaces:
        points.append(place(space, seen, known, generator, starts))
        explained = _explained(space, points[-1], seen, known.float())
        gains.append(((told.square() - (told - explained).square()) * back).sum(1))
    return torch.stack(gains).double(), (told.square() * back).sum(1).double(), points


# %%
#| fig-alt: "Share of the variance that distance explains, for circle, torus and six-torus: for a network wired on a circle high on held-back pairs too; for a random one it falls below 0 there."
random = finished.planted(None, 150, 0.85, generator=generator)
rows = {}
for title, matrix in {"wired on a circle": weights, "random": random}.items():
    ranked = ranks(affinity(matrix), pairs)
    gains, total, points = _judge([manifold(name) for name in ("circle", "torus", "torus6")], (ranked, ranked), generator)
    fitted = [1 - ((ranked - _explained(manifold(name), x, ranked, pairs.float())).square().sum() / ranked.square().sum()).item() for name, x in zip(("circle", "torus", "torus6"), points, strict=True)]
    rows[title] = fitted, (gains.sum(1) / total.sum()).tolist()
fig, axes = plt.subplots(1, 2, figsize=(7, 2.8), layout="constrained", sharey=True)
for ax, (title, (fitted, held)) in zip(axes, rows.items(), strict=True):
    ax.plot(fitted, "o-", label="pairs looked at, nearly all")
    ax.plot(held, "s-", label="pairs held back")
    ax.axhline(0, color="0.7", linewidth=0.8)
    ax.set(title=title, xticks=range(3), xticklabels=["circle", "torus", "6-torus"])
axes[0].set(ylabel="variance that distance explains")
axes[1].legend(frameon=False)
plt.show()
assert rows["random"][0][2] > 0.3 and max(rows["random"][1]) < 0.05


# %% [markdown]
# Random wiring "lives on a 6-torus" to the eye of who looks at the fit. On pairs that were held back it lives nowhere.
#
# **The simplest that is as good.** Scores have errors: neurons are drawn anew, some of them twice, and how much the difference of two spaces varies from draw to draw is its standard error. Of all spaces within two standard errors of the best, or within a twentieth of its score, that of the lowest dimension is named:
# the width of a band round a circle may explain a trifle that is really there, such as that some stretches of it are crowded.

# %%
#| export
def _pick(scores: Tensor, apart: Tensor, dims: Tensor) -> Tensor:
    "The numbers (...) of the best spaces, by scores (..., K): among those within two standard errors (K, K) or a twentieth of the highest, the best of the lowest dimension"
    best = scores.argmax(-1, keepdim=True)
    highest = scores.gather(-1, best)
    near = scores >= highest - torch.maximum(2 * apart[best.squeeze(-1)], 0.05 * highest)
    low = torch.where(near, dims, torch.inf).amin(-1, keepdim=True)
    return torch.where(near & (dims == low), scores, -torch.inf).argmax(-1)


# %%
apart = torch.full((3, 3), 0.02).fill_diagonal_(0)
dims = torch.tensor([1.0, 2, 2])
test_eq(_pick(torch.tensor([0.90, 0.92, 0.91]), apart, dims).item(), 0)  # the circle is as good
test_eq(_pick(torch.tensor([0.80, 0.90, 0.91]), apart, dims).item(), 2)


# %% [markdown]
# **Controls.** The winner is held against networks without geometry that go through all the same: wired anew with equal degrees (the chapter [wiring](wiring.ipynb)), and with nothing kept but the number and sizes of the weights. For a recording each neuron's activity is shifted in time, round and round,
# by a step of its own, or its times are permuted. If the winner is not two standard errors above the best of them, the answer is *none of these*.

# %%
#| export
#| fold Networks without geometry
def _controls(data: Tensor, recorded: bool, generator: torch.Generator | None) -> dict[str, Tensor]:
    "The same without a geometry: with what each neuron has alone kept, and with nothing kept but sizes"
    n = data.shape[-1]
    if recorded:
        def moved(order: Tensor) -> Tensor:
            return data.gather(0, order)

        time = torch.arange(len(data))[:, None]
        shifts = torch.randint(len(data), (n,), generator=generator)
        return {"shifted": moved((time + shifts) % len(data)), "permuted": moved(torch.rand(data.shape, generator=generator).argsort(0))}
    both, pairs = data.abs() + data.abs().mT, torch.ones(n, n, dtype=torch.bool).triu(1)
    values = both[pairs]
    permuted = torch.zeros_like(both)
    permuted[pairs] = values[torch.randperm(len(values), generator=generator)]
    return {"rewired": rewired(both, generator), "permuted": permuted + permuted.mT}


# %%
#| export
#| fold What two neurons have to do with each other
def _wiring_values(weights: Tensor) -> tuple[Tensor, Tensor]:
    "What each two neurons have to do with each other, to look at and to be told"
    found = ranks(affinity(weights), ~torch.eye(len(weights), dtype=torch.bool))
    return found, found


def _halves(activity: Tensor) -> tuple[Tensor, Tensor]:
    "The even and the odd tenths of a recording (T, N)"
    block = torch.arange(len(activity)) * 10 // len(activity)
    return activity[block % 2 == 0], activity[block % 2 == 1]


def _activity_values(activity: Tensor) -> tuple[Tensor, Tensor]:
    "Ranks of correlations over time, of each half of the recording"
    pairs = ~torch.eye(activity.shape[1], dtype=torch.bool)
    scaled = [(half - half.mean(0)) / half.std(0, unbiased=False).clamp(min=1e-12) / math.sqrt(len(half)) for half in _halves(activity)]
    first, second = (ranks((half.T @ half).float(), pairs) for half in scaled)
    return first, second


# %%
control = _controls(weights, False, generator)
for matrix in control.values():
    test_eq(matrix, matrix.T)
test_eq((control["rewired"] != 0).sum(1).tolist(), ((weights != 0) | (weights != 0).T).sum(1).tolist())

# %% [markdown]
# ## What may be asked
#
# A layer of torch or of this package, a model that has one, a weight matrix, or a recording. What has no answer is refused.

# %%
#| export
LEAST = 30  # fewest neurons
NONE = "none of these"
SPACES = ("circle", "sphere", "torus", "klein", "sphere*circle", "torus6")


# %%
#| export
#| fold What is refused
def _candidates(spaces: Sequence[str | Manifold]) -> list[Manifold]:
    "Spaces, checked"
    if isinstance(spaces, (str, Manifold)) or not len(spaces):
        raise ValueError(f"spaces is {spaces!r}; give a list of candidates, such as ['circle', 'torus', 'sphere*circle']")
    found = [manifold(space) for space in spaces]
    for space in found:
        if not space.trainable:
            raise ValueError(f"{space} is a finite space, on which points can't be moved by small steps; give smooth ones")
    return found


def _array(name: str, values: Any, shape: str) -> Tensor:
    "A finite floating matrix on the CPU"
    try:
        found = torch.as_tensor(values).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} is a {type(values).__name__}; give a tensor or an array {shape}") from error
    if found.ndim != 2:
        raise ValueError(f"{name} has shape {tuple(found.shape)}; give two dimensions, {shape}")
    if found.is_complex():
        raise TypeError(f"{name} is of {found.dtype}; give real numbers")
    if not found.isfinite().all():
        raise ValueError(f"{name} has {int((~found.isfinite()).sum())} entries that are nan or infinite; leave them out, or fill them in")
    return found.double()


# %% [markdown]
# A gated layer has several weights between the same two neurons; what counts is the root of their squares' sum.

# %%
#| export
#| fold The weight of a layer
def _layers(network: nn.Module) -> list[nn.Module]:
    "The recurrent layers of a model, or the layer itself"
    return [module for module in network.modules() if isinstance(module, EdgeRNN) or hasattr(module, "weight_hh_l0") or isinstance(module, nn.RNNCellBase)]


def _recurrent_weight(network: nn.Module, layer: int) -> Tensor:
    "The weight between the hidden neurons of a recurrent layer (N, N); of a gated one the root of the gates' squares in all"
    found = _layers(network)
    if len(found) != 1:
        raise ValueError(f"the network has {len(found)} recurrent layers ({', '.join(type(one).__name__ for one in found) or 'no RNN, GRU or LSTM'}); give one of them, or a weight matrix")
    only = found[0]
    if layer >= getattr(only, "num_layers", 1):
        raise ValueError(f"layer is {layer}, and there are {getattr(only, 'num_layers', 1)}; count from 0")
    if getattr(only, "proj_size", 0):
        raise ValueError(f"this LSTM projects its states to proj_size={only.proj_size}, so that no weight joins hidden neurons with each other; give its activity= instead")
    weight = only.dense() if isinstance(only, EdgeRNN) else only.weight_hh if isinstance(only, nn.RNNCellBase) else getattr(only, f"weight_hh_l{layer}")
    if weight.ndim == 3 and len(weight) > 1:
        raise ValueError(f"the layer has {len(weight)} replicas; give the weight of one, such as layer.weight_hh_l{layer}[0]")
    weight = (weight[0] if weight.ndim == 3 else weight).detach()
    gates = len(weight) // weight.shape[1]
    return weight if gates == 1 else weight.unflatten(0, (gates, -1)).square().sum(0).sqrt()


# %% [markdown]
# Neurons without any connection have no place, and are left out; of very large networks some neurons are drawn.

# %%
#| export
#| fold Neurons that are connected
def _some(kept: Tensor, neurons: int, generator: torch.Generator | None) -> Tensor:
    "At most so many of the neurons that may be kept, in order"
    return kept[torch.randperm(len(kept), generator=generator)[:neurons]].sort().values


def _wiring(network: Any, layer: int, neurons: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    "A weight matrix of neurons that are connected, and their numbers"
    weight = _array("network", _recurrent_weight(network, layer) if isinstance(network, nn.Module) else network, "(N, N) of weights between neurons")
    if weight.shape[0] != weight.shape[1]:
        raise ValueError(f"the weights of the network have shape {tuple(weight.shape)}, which is not square; a recording (times, neurons) is given as activity=")
    kept = torch.arange(len(weight))
    while True:
        both = affinity(weight[kept][:, kept])
        joined = (both > 0).any(1)
        if joined.sum() < LEAST:
            raise ValueError(f"{int(joined.sum())} of {len(weight)} neurons are connected to others in this network; {LEAST} are the fewest whose wiring can tell of a space")
        if joined.all() and len(kept) <= neurons:
            break
        kept = _some(kept[joined], neurons, generator)
    value = both[~torch.eye(len(both), dtype=torch.bool)]
    if (weight.abs().amax() - weight.abs()[weight != 0].amin()) <= 1e-9 * weight.abs().amax() and (value > 0).all():
        raise ValueError("all weights between neurons have the same magnitude, so that nothing tells near neurons from far ones")
    return weight[kept][:, kept], kept


# %% [markdown]
# Of a recording, neurons that never change in one of its halves are left out.

# %%
#| export
#| fold Neurons that change
def _recording(activity: Any, neurons: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    "A recording of neurons that change, and their numbers"
    found = _array("activity", activity, "(times, neurons)")
    if len(found) < 40:
        raise ValueError(f"activity has {len(found)} times; 40 are the fewest of which each half says which neurons fire together")
    changing = torch.stack([half.std(0) > 1e-9 * half.abs().amax(0).clamp(min=1e-300) for half in _halves(found)]).all(0)
    if changing.sum() < LEAST:
        raise ValueError(f"{int(changing.sum())} of {found.shape[1]} neurons have an activity that changes in both halves of the recording, and the others are constant; "
                         f"{LEAST} are the fewest that can tell of a space (activity is (times, neurons))")
    kept = _some(changing.nonzero()[:, 0], neurons, generator)
    return found[:, kept], kept


# %%
#| export
@checked(finite=False)
@dataclass(frozen=True)
class Ranking:
    "Spaces, the best first, and which of them a network's neurons seem to live on"

    answer: str  # a space, or "none of these"
    confidence: float  # share of resamples of the neurons in which the answer is the same
    spaces: list[str]
    scores: Tensor  # share of the variance of pairs never looked at that distance explains (K,)
    errors: Tensor  # their standard errors (K,)
    controls: dict[str, Tensor]  # the same for the first space and for networks without geometry, by kind
    neurons: Tensor  # numbers of the neurons that were placed (n,)
    embeddings: dict[str, Tensor] = field(repr=False)  # their points on each space (n, coordinates)

    def __str__(self):
        rows = [f"{name:<16} {score:6.3f} ± {error:.3f}" for name, score, error in zip(self.spaces, self.scores.tolist(), self.errors.tolist(), strict=True)]
        rows += [f"{kind:<16} {scores.mean():6.3f}   (control)" for kind, scores in self.controls.items()]
        return "\n".join([f"{self.answer} ({100 * self.confidence:.0f} % of resamples), {len(self.neurons)} neurons", *rows])


# %% [markdown]
# ## In one line

# %%
#| export
@checked(finite=False)
def which_manifold(
    network: nn.Module | Tensor | Any = None,  # a recurrent layer, a model that has one, or its weight matrix (N, N)
    *,
    activity: Tensor | Any = None,  # or a recording (times, N), without a network
    spaces: Sequence[str | Manifold] = SPACES,  # candidates
    layer: int = 0,  # of a stacked layer
    neurons: int = 300,  # at most so many, chosen at random, are placed
    controls: int = 3,  # networks without geometry, of each of two kinds
    generator: torch.Generator | None = None,  # source of all random choices
) -> Ranking:
    "Rank spaces by how well geodesic distance on them explains which neurons are joined, or fire together; ValueError or TypeError for what has no answer"
    for name, value, kind in (("layer", layer, Whole), ("neurons", neurons, Count), ("controls", controls, Count)):
        check(name, value, kind)
    if (network is None) == (activity is None):
        raise ValueError("give either a network or its weights, or activity=, a recording (times, neurons)")
    spaces, recorded = _candidates(spaces), activity is not None
    data, kept = _recording(activity, neurons, generator) if recorded else _wiring(network, layer, neurons, generator)
    values = _activity_values if recorded else _wiring_values
    gains, total, points = _judge(spaces, values(data), generator)
    draws = torch.randint(len(total), (1000, len(total)), generator=generator)
    resampled = gains[:, draws].sum(-1).T / total[draws].sum(-1)[:, None]  # (1000, K)
    scores, dims = gains.sum(1) / total.sum(), torch.tensor([float(space.dim) for space in spaces])
    apart = math.sqrt(2) * (resampled[:, :, None] - resampled[:, None]).std(0)  # each pair counts for two neurons
    errors, best = math.sqrt(2) * resampled.std(0), int(_pick(scores, apart, dims))
    chance: dict[str, list[float]] = {}
    for _ in range(controls):
        for name, control in _controls(data, recorded, generator).items():
            gain, against, _ = _judge([spaces[best]], values(control), generator)
            chance.setdefault(name, []).append((gain.sum() / against.sum()).item())
    bar = max(0.0, *[score for scores in chance.values() for score in scores])
    answer = best if scores[best] > bar + 2 * errors[best] else -1
    answers = torch.where(resampled[:, best] > bar, _pick(resampled, apart, dims), -1)
    order = [best, *[k for k in scores.argsort(descending=True).tolist() if k != best]]
    return Ranking(NONE if answer < 0 else spaces[best].name, (answers == answer).double().mean().item(), [spaces[k].name for k in order], scores[order], errors[order],
                   {kind: torch.tensor(found) for kind, found in chance.items()}, kept, {spaces[k].name: points[k] for k in order})


# %% [markdown]
# To try it on, wiring whose space is known:

# %%
#| export
Sparsity = Annotated[float, Within(0, below=1)]


@checked(finite=False)
def planted(
    space: str | Manifold | None,  # None: at random
    neurons: Count,
    sparsity: Sparsity = 0.9,  # share of zeros
    noise: Share = 0.0,  # share of the weights that are moved to other pairs at random
    generator: torch.Generator | None = None,
) -> Tensor:  # (N, N)
    "Wiring with a known space: Gaussian weights between the nearest of uniform neurons"
    weights = torch.randn(neurons, neurons, generator=generator)
    order = torch.rand(neurons, neurons, generator=generator) if space is None else manifold(space).distance(manifold(space).sample(neurons, generator))
    order = order.clone().fill_diagonal_(torch.inf).flatten().argsort()
    there = round((1 - sparsity) * neurons * (neurons - 1))
    moved = torch.rand(there, generator=generator) < noise
    free = order[there : neurons * (neurons - 1)]
    free = free[torch.randperm(len(free), generator=generator)[: int(moved.sum())]]
    pattern = torch.zeros(neurons * neurons, dtype=torch.bool)
    pattern[torch.cat([order[:there][~moved], free])] = True
    return torch.where(pattern.view(neurons, neurons), weights, 0)


# %%
ranking = which_manifold(weights, spaces=["circle", "sphere", "torus"], controls=1, generator=generator)
print(ranking)
test_eq(ranking.answer, "circle")
test_eq(which_manifold(random, spaces=["circle", "torus"], controls=1, generator=generator).answer, "none of these")


# %%
#| export
#| fold How a ranking is drawn
@checked(finite=False)
def plot_ranking(
    ranking: Ranking,
    ax: "Axes",
) -> None:
    "Each space's score with two standard errors, the controls of the first, and the answer"
    names = ranking.spaces
    ax.errorbar(range(len(names)), ranking.scores, 2 * ranking.errors, fmt="o", capsize=3)
    for kind, scores in ranking.controls.items():
        ax.plot([0] * len(scores), scores, "_", markersize=12, label=kind)
    ax.axhline(0, color="0.7", linewidth=0.8)
    ax.set(xticks=range(len(names)), ylabel="variance of held-back pairs explained", title=f"answer: {ranking.answer}")
    ax.set_xticklabels(names, rotation=30)
    if ranking.controls:
        ax.legend(frameon=False, title=f"controls of {names[0]}")


# %%
#| fig-alt: "Score of circle, sphere and torus on a recording of head-direction cells, with their controls near 0: circle and sphere near 1, and the answer is circle."
heading = 2 * math.pi * torch.rand(2000, 1, generator=generator)
preferred = 2 * math.pi * torch.rand(80, generator=generator)
rates = torch.exp(2 * torch.cos(heading - preferred)) + torch.rand(2000, 80, generator=generator)  # cells of head direction, with noise
fig, ax = plt.subplots(figsize=(4.6, 3), layout="constrained")
recording = which_manifold(activity=rates, spaces=["circle", "sphere", "torus"], controls=1, generator=generator)
plot_ranking(recording, ax)
plt.show()
test_eq(recording.answer, "circle")

# %%
test_fail(lambda: which_manifold(rates), contains="activity=")
test_fail(lambda: which_manifold(torch.randn(9, 9)), contains="30 are the fewest")
test_fail(lambda: which_manifold(activity=torch.ones(100, 50)), contains="constant")
test_fail(lambda: which_manifold(torch.full((50, 50), torch.nan)), contains="nan")
test_fail(lambda: which_manifold(nn.LSTM(3, 64, proj_size=32)), contains="proj_size")


# %% [markdown]
# ## How often is it right?
#
# Wiring was planted on each space, with a share of its weights moved to pairs at random, and `which_manifold` was asked. A row is what was planted, a column the answer; twenty trials each, by what has been run of
#
# ```
# python -m modreg.analysis.which_manifold --sparsities 0.7 --noises 0 0.3 --neurons 200
# python -m modreg.analysis.which_manifold --sparsities 0.9 --noises 0 --neurons 300
# ```

# %%
#| export
#| fold The whole study
@checked(finite=False)
def confusion(
    sparsities: Iterable[Sparsity] = (0.7, 0.9),
    noises: Iterable[Share] = (0.0, 0.3),
    spaces: Iterable[str | None] = (*SPACES, None),  # None: random wiring
    trials: Count = 20,
    neurons: Count = 300,
    controls: Count = 1,
) -> None:
    "What `which_manifold` says of planted and of random wiring; rows go to the results `which_manifold`"
    for sparsity in sparsities:
        for noise in noises:
            for space in spaces:
                answers = []
                for trial in range(trials):
                    generator = torch.Generator().manual_seed(trial)
                    weights = planted(space, neurons, sparsity, noise, generator)
                    answers.append(which_manifold(weights, controls=controls, generator=generator).answer)
                row = {"planted": space, "sparsity": sparsity, "noise": noise, "neurons": neurons, "answers": answers}
                studies.keep("which_manifold", row, "planted", "sparsity", "noise", "neurons")


# %%
#| export
#| fold Its command line
@checked(finite=False)
def main(
    arguments: list[str] | None = None,  # of the command line; None: the process' own
) -> None:
    "The confusion matrix that the chapter shows"
    parser = argparse.ArgumentParser(prog="python -m modreg.analysis.which_manifold", description=confusion.__doc__)
    for name, kind in {"sparsities": float, "noises": float}.items():
        parser.add_argument(f"--{name}", nargs="+", type=kind, default=argparse.SUPPRESS)
    parser.add_argument("--spaces", nargs="+", type=lambda text: None if text == "random" else text, default=argparse.SUPPRESS, help="random: without a space")
    for name in ("trials", "neurons", "controls"):
        parser.add_argument(f"--{name}", type=int, default=argparse.SUPPRESS)
    try:
        confusion(**vars(parser.parse_args(arguments)))
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__" and "__file__" in globals():  # called by name, and not a notebook's cell
    main()

# %%
#| code-fold: true
#| fig-alt: "Tables of answers by planted space, one for each share of weights that were moved: where none was, all twenty networks of each kind stand on the diagonal; where three in ten were, nearly all but those on the six-dimensional torus, of which nothing is said."
rows = [row for row in load_results("which_manifold") if len(row["answers"]) >= 20]
settings = sorted({(row["noise"], -row["sparsity"]) for row in rows})
columns = [*SPACES, NONE]
fig, axes = plt.subplots(1, max(1, len(settings)), figsize=(2.6 * len(settings) + 2, 3.4), layout="constrained", sharey=True, squeeze=False)
for ax, (noise, sparsity) in zip(axes[0], settings, strict=False):
    table = {row["planted"] or "random": row["answers"] for row in rows if (row["noise"], -row["sparsity"]) == (noise, sparsity)}
    counts = torch.tensor([[table.get(name, []).count(column) for column in columns] for name in (*SPACES, "random")])
    ax.imshow(counts, cmap="Purples", vmin=0, vmax=20)
    for (k, j) in (counts > 0).nonzero().tolist():
        ax.text(j, k, int(counts[k, j]), ha="center", va="center", color="white" if counts[k, j] > 12 else "black", fontsize=8)
    ax.set(title=f"{-100 * sparsity:.0f} % zeros, {100 * noise:.0f} % moved", xticks=range(len(columns)), yticks=range(len(columns)), yticklabels=[*map(display_name, SPACES), "random"])
    ax.set_xticklabels([*map(display_name, SPACES), NONE], rotation=60, ha="right", rotation_mode="anchor")
axes[0, 0].set(ylabel="planted")
fig.supxlabel("answer")
plt.show()

right = {}
for row in rows:
    right.setdefault((row["noise"], row["sparsity"]), []).append(row["answers"].count(row["planted"] or NONE) / len(row["answers"]))
for (noise, sparsity), shares in sorted(right.items()):
    print(f"{100 * noise:3.0f} % moved, {100 * sparsity:.0f} % zeros: right in {100 * sum(shares) / len(shares):.0f} % of trials, of the hardest space in {100 * min(shares):.0f} %")


# %% [markdown]
# What is hard is hard for a reason, and the answer is then nearly always *none of these* and not a wrong space. In six dimensions most neurons are about equally far from each other, so few connections tell near from far: it takes more neurons.
#
# ## Networks that were trained
#
# Did networks that nobody told of a manifold find one? And do those that were told have it still when they are pruned? A *look* (chapter [studies](studies.ipynb)) asks of each network's wiring, and of the activity of its hidden neurons on data that it was not trained on.
#
# ```
# python -m modreg.lab.studies survey head_direction none l1 circle --sparsities 0 0.9 --looks modreg.analysis.which_manifold:look
# python -m modreg.lab.studies survey navigation none moduli --sparsities 0 0.9 --looks modreg.analysis.which_manifold:look -p seeds 5
# python -m modreg.lab.studies survey language none moduli --sparsities 0 0.9 --looks modreg.analysis.which_manifold:look -p seeds 5
# ```
#
# The last two outputs of this section show what these commands have written, and nothing if they were not run. A heading is a point on a circle, a place one in a square. *Predict:* will a network that nobody told so be wired by it?

# %%
#| export
#| fold States of a trained network
@checked(finite=False)
@torch.no_grad()
def evaluated_states(
    task: Task,
    run: Run,
    seed: int = 0,  # index among the run's seeds
    times: int = 2000,  # at most, spread evenly
) -> Tensor:  # (times, N)
    "States of the first recurrent layer while a trained network is evaluated"
    model = load_model(task, run)
    caught = states_while(task.recurrent(model)[0][0], lambda: task.evaluate(model))
    states = torch.cat([found[seed].flatten(0, -2) for found in caught])
    return states[torch.linspace(0, len(states) - 1, min(times, len(states))).long()]


# %%
#| export
def _said(spaces: Sequence[str], generator: torch.Generator, **asked: Tensor) -> dict[str, Any]:
    "What `which_manifold` says, or why it refuses"
    try:
        found = which_manifold(asked.get("weights"), activity=asked.get("activity"), spaces=spaces, generator=generator)
    except ValueError as error:
        return {"answer": "refused", "why": str(error)}
    return {"answer": found.answer, "confidence": found.confidence, "scores": dict(zip(found.spaces, found.scores.tolist(), strict=True)),
            "control": max(score for scores in found.controls.values() for score in scores.tolist())}


@checked(finite=False)
def look(
    task: Task,
    run: Run | None,  # None before training
) -> dict[str, list[dict[str, Any]]]:  # a row for the results `which_manifold_trained`
    "Which manifold the wiring and the activity of each seed of a run seem to live on, for `modreg.lab.studies survey`"
    if run is None:
        return {}
    row: dict[str, Any] = {"task": task.config.task, "hidden": task.config.hidden, "metric": run.result["phases"]["train"][task.metric], "wiring": [], "activity": []}
    for seed in range(task.config.seeds):
        generator = torch.Generator().manual_seed(seed)
        row["wiring"].append(_said(SPACES, generator, weights=recurrent_weights(task, run, seed)[0][1]))
        row["activity"].append(_said(SPACES, generator, activity=evaluated_states(task, run, seed)))
    return {"which_manifold_trained": [row]}


# %%
trained = load_results("which_manifold_trained")
for row in trained:
    said = {of: [one["answer"] if one["answer"] == NONE else display_name(one["answer"]) for one in row[of]] for of in ("wiring", "activity")}
    print(f"{row['task'].replace('_', ' ')}, {display_name(row['condition'])}, {100 * row['sparsity']:.0f} % zeros: wiring {', '.join(said['wiring'])}; activity {', '.join(said['activity'])}")
rows = [row for row in trained if row["task"] == "head_direction"]
for title, mine in (("dense", [row for row in rows if not row["sparsity"]]), ("pruned", [row for row in rows if row["sparsity"]])):
    answers = [one["answer"] for row in mine for one in row["wiring"]]
    print(f"headings, {title}: wiring on a circle in {answers.count('circle')} of {len(answers)} networks, on none of these in {answers.count(NONE)}")

# %%
#| code-fold: true
#| fig-alt: "Scores of three spaces for wiring and for activity of trained networks, a dot a network."
if rows:
    fig, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained", sharey=True)
    for ax, of in zip(axes, ("wiring", "activity"), strict=True):
        for x, row in enumerate(rows):
            for name, mark in zip(("circle", "sphere", "torus"), "osd", strict=True):
                scores = [one["scores"][name] for one in row[of] if "scores" in one]
                ax.plot([x + 0.15 * ("osd".index(mark) - 1)] * len(scores), scores, mark, color=f"C{'osd'.index(mark)}", markersize=4, label=name if x == 0 else None)
        ax.axhline(0, color="0.7", linewidth=0.8)
        ax.set(title=of, xticks=range(len(rows)))
        ax.set_xticklabels([f"{display_name(row['condition'])}, {100 * row['sparsity']:.0f} %" for row in rows], rotation=45, ha="right", rotation_mode="anchor")
    axes[0].set(ylabel="variance explained")
    axes[0].legend(frameon=False)
    plt.show()
else:
    print("This study has not been run yet.")


# %% [markdown]
# Most dense networks of headings are wired on a circle, told or not. Most pruned ones get no answer, which means that no space was found, and not that there is none: few weights are left to tell. So it is with pruned networks of places and of words, those with a torus's penalty among them: the strength that the task bears leaves no torus that could be found again.
# For activity the answer is a ranking alone. It names the space whose distances suit best, and a cloud without any hole is nearer to a sphere's than to a circle's; whether there *is* a loop or a hollow, the chapter [activity](activity.ipynb) asks.
#
# ## Exercise 1: the score
#
# *10 min, medium.* Write the share of variance that is explained of pairs that were held back.

# %%
def held_score(told, explained, back):
    "Share of the variance of told (N, N), of mean 0, that explained (N, N) explains where back (N, N) is true"
    raise NotImplementedError


# %%
#| fold How it is checked
told = torch.randn(20, 20, generator=torch.Generator().manual_seed(1))
back = torch.rand(20, 20, generator=torch.Generator().manual_seed(2)) < 0.2
with exercise("one minus the squared error over the squares, both summed where back is true", lambda: draw_curve(lambda share: held_score(told, share * told, back), [k / 10 for k in range(-10, 21)], "what is explained, as a multiple of the truth", "score")) as expect:
    expect(held_score, told, told, back, gives=1.0)
    expect(held_score, told, torch.zeros(20, 20), back, gives=0.0)
    expect(held_score, told, -told, back, gives=-3.0)  # a score is not a share: who errs loudly is below 0


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def held_score(told, explained, back):
#     return (1 - (told - explained)[back].square().sum() / told[back].square().sum()).item()
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: chance
#
# *5 min, easy.* A network scores 0.12, and of nineteen controls one scores higher. How probable is it that a control would do as well? Count the network among the controls, since it is one if it has no geometry.

# %%
def p_value(score, controls):
    "Share of a list of controls and the network together that score at least as high as the network"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("add the network itself to the count and to the number", lambda: draw_curve(lambda n: p_value(0.12, [0.0] * int(n)), range(40), "controls, all of them lower", "p")) as expect:
    expect(p_value, 0.12, [0.2] + [0.0] * 18, gives=0.1)
    expect(p_value, 0.12, [], gives=1.0)  # without controls nothing is known

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def p_value(score, controls):
#     return (1 + sum(one >= score for one in controls)) / (1 + len(controls))
# ```
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - The first version placed neurons by the eigenvectors of the affinities. It took circles for spheres, whose third dimension took up the error; distances on the graph of like rows mended it.
# - It fitted a line with knots at equal distances. Planted connections end at a sharp distance, which fell between two knots, so that the right space never fitted well. Knots follow the quantiles now.
# - A Klein bottle has five first waves, of two lengths that are nearly the same. A search among all turns of the five finds the right one in a third of the starts; ten starts are made.
#
# The paper says which manifold regularizes best and asks (section 6) how one should be chosen. Here the question is turned round: which one is there already?
#
# ## Recall and think
#
# <details><summary>Recall: why is the better fit no proof?</summary>
#
# A space with more room fits the noise as well. Only pairs that were held back tell.
#
# </details>
#
# <details><summary>Recall: which answer is given if no space beats the controls?</summary>
#
# That it is none of these.
#
# </details>
#
# <details><summary>Think: a network was trained without a penalty, and the ranking says "circle". What could be the reason beside the task?</summary>
#
# The order of inputs or outputs, an initial matrix with a band, or neurons with like degrees: controls tell these apart.
#
# </details>
#
# **References.** Belkin and Niyogi, *Laplacian eigenmaps for dimensionality reduction and data representation* (2003). Tenenbaum, de Silva and Langford, *A global geometric framework for nonlinear dimensionality reduction* (2000). Hoff, Raftery and Handcock, *Latent space approaches to social network analysis* (2002). Maslov and Sneppen, *Specificity and stability in topology of protein networks* (2002).
