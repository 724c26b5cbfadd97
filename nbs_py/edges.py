# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Edges
#
# > A recurrent layer that is born sparse: a list of edges, and never a matrix of all pairs

# %% [markdown]
# *Reading 20 min, exercises 10 min. To skip at a first reading:* all of it, until you need it.
#
# After this chapter you can
#
# - find each neuron's cheapest partners on a manifold without looking at all pairs,
# - train a layer of 50,000 neurons with 100 partners each on two cores,
# - say what its memory and its time grow with.
#
# The question: *a matrix of 50,000 × 50,000 floats takes 10 GB, its gradient and Adam's two moments 30 GB more. If a neuron may only talk to its neighbours, is any of that needed?*

# %%
#| default_exp layers.edges

# %%
#| export
import math
from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor, nn

from modreg.geometry.arguments import Count, OneOf, Shape, Within, check_memory, checked
from modreg.geometry.inhibitors import Inhibitor
from modreg.geometry.inhibitors import inhibitor as find_inhibitor
from modreg.geometry.manifolds import Circle, Euclidean, KleinBottle, Manifold, Sphere, Torus
from modreg.geometry.manifolds import manifold as find_manifold
from modreg.layers.recurrent import _ACTIVATIONS
from modreg.layers.sparse import PRECISIONS, Pattern, SparseElmanFunction, SparseMatrix

# %%
#| hide
import json
from importlib.resources import files

import matplotlib.pyplot as plt
from fastcore.test import test_close, test_eq, test_fail

from modreg.book.exercises import draw_bars, exercise
from modreg.layers.recurrent import RNN
from modreg.layers.sparse import median_time, geometric_blocks

plt.style.use("modreg.data.book")
generator = torch.Generator().manual_seed(0)

# %%
#| echo: false
#| fig-alt: "Left: of thousands of neurons on a square, the 100 cheapest partners of one form a ring round it. Right: memory for all pairs grows with the square of the number of neurons, that for 100 partners each in proportion to it."
points = Torus().sample(2000, generator)
prices = find_inhibitor("difference_of_gaussians")(Torus().distance(points[:1], points))[0]
fig, axes = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained", width_ratios=[1, 1.2])
chosen = prices.argsort()[:100]
axes[0].plot(*points.T, ".", color="0.8", markersize=2)
axes[0].plot(*points[chosen].T, ".", color="C0")
axes[0].plot(*points[0], "*", color="C3", markersize=12)
axes[0].set(xlim=(0, 10), ylim=(0, 10), aspect="equal", title="one neuron's 100 cheapest partners", xlabel="x", ylabel="y")
neurons = torch.logspace(3, 5, 30)
axes[1].loglog(neurons, 4 * neurons**2 / 1e9, label="all pairs")
axes[1].loglog(neurons, 4 * 100 * neurons / 1e9, label="100 partners each")
axes[1].set(xlabel="neurons", ylabel="weights (GB)", title="one copy of the weights")
axes[1].legend(frameon=False)
plt.show()


# %% [markdown]
# Under the difference of Gaussians the partners that cost least stand in a ring, at the free distance of about 0.9. *Predict:* how many distances must be computed to find the partners of all neurons, if not all $N^2$?
#
# ## Who is cheap?
#
# The naive way asks all pairs, a block of rows at a time, so that at least memory stays small:

# %%
#| export
def _all_pairs(space: Manifold, points: Tensor, price: Inhibitor, rows: Tensor, partners: int, block: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    "Rows (n,), columns (n, partners) and prices (n, partners) of the cheapest partners, from all distances of some rows at a time"
    for some in rows.split(max(1, block // len(points))):
        prices, columns = price(space.distance(points[some], points)).sort(dim=1, stable=True)
        yield some, columns[:, :partners], prices[:, :partners]


# %%
points = Torus().sample(300, generator, dtype=torch.float64)
dog = find_inhibitor("difference_of_gaussians")
some, columns, prices = next(_all_pairs(Torus(), points, dog, torch.arange(4), 5, 10**6))
test_eq((tuple(columns.shape), bool((prices.diff() >= 0).all())), ((4, 5), True))
test_close(prices, dog(Torus().distance(points))[:4].sort(1).values[:, :5], eps=1e-12)


# %% [markdown]
# A *k-d tree* finds all points within a radius of a point, and looks at few others. But *cheap* need not mean *near*. So:
#
# 1. Ask a few rows for their prices, all of them. The dearest of their last partners is a bound $p$: nearly all neurons find enough partners that cost no more.
# 2. Nobody who is nearer than the nearest, or farther than the farthest distance at which a connection costs at most $p$ can be a partner for $p$ or less.
# 3. Ask the tree for the pairs in between, and keep those which cost at most $p$. Where enough are left, the cheapest of them are the cheapest of all.
# 4. The few neurons that found too few ask everybody.
#
# The result is that of all pairs, whatever the inhibitor. The tree itself knows only straight lines, so each space tells it in its own way.

# %%
#| export
def _box(space, x: np.ndarray):
    "Points whose coordinates come back after a period"
    return x, space.period, lambda radius: radius


def _klein_box(space, x: np.ndarray):
    "A Klein bottle is half of a torus that is twice as wide: each point stands there twice"
    turned = np.stack([x[:, 0] + space.period, (space.period - x[:, 1]) % space.period], 1)
    return np.concatenate([x, turned]), [2 * space.period, space.period], lambda radius: radius


def _ball(space, x: np.ndarray):
    "Points of a sphere, by the chords between them"
    return x, None, lambda radius: 2 * space.radius * math.sin(min(radius / space.radius, math.pi) / 2)


TREES = {  # by kind of space: of points (N, coordinates), the same with their images (k·N, coordinates), the period or None, and the radius to ask for
    Torus: _box, Circle: _box, KleinBottle: _klein_box, Sphere: _ball, Euclidean: lambda space, x: (x, None, lambda radius: radius)}


# %%
#| export
def _tree(points: np.ndarray, period):
    try:
        from scipy.spatial import cKDTree
    except ImportError as error:
        raise ImportError("geometric_edges finds neighbours with scipy; install it, with `pip install 'modreg[geometry]'`") from error
    return cKDTree(points, boxsize=period)


GRID = 2**14  # distances at which it is looked up how far a price reaches


def _reach(price: Inhibitor, bound: float, farthest: float, seen: Tensor) -> tuple[float, float]:
    "The nearest and the farthest distance at which a connection costs at most `bound`, on a grid or among those `seen`, and a step of the grid more"
    d = torch.cat([torch.linspace(0, farthest, GRID, dtype=torch.float64), seen.flatten().double()])
    cheap = d[price(d) <= bound]
    return max(0.0, cheap.min().item() - farthest / GRID), cheap.max().item() + farthest / GRID


# %%
test_close(_reach(dog, 1e-9, 7.0, torch.tensor([dog.free_distance])), [dog.free_distance] * 2, eps=1e-3)
test_close(_reach(find_inhibitor("diffusion"), 4.0, 7.0, torch.zeros(1)), [0, 2], eps=1e-3)


# %% [markdown]
# The tree's pairs come in blocks of rows, sorted by price within each row:

# %%
#| export
def _near_pairs(space: Manifold, points: Tensor, price: Inhibitor, bound: float, between: tuple, partners: int, step: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    "Rows (n,), columns (n, partners) and prices (n, partners) of the neurons which have so many partners that cost at most `bound`"
    images, period, asked = TREES[type(space)](space, points.numpy())
    tree, n = _tree(images, period), len(points)
    near, far = asked(between[0] * (1 - 1e-6)) - 1e-12, asked(between[1] * (1 + 1e-6)) + 1e-12
    for first in range(0, n, step):
        pairs = _tree(images[first : min(first + step, n)], period).sparse_distance_matrix(tree, far, output_type="ndarray")
        pairs = pairs[pairs["v"] >= near]
        keys = (pairs["i"] + first) * n + pairs["j"] % n
        keys = torch.from_numpy(keys if len(images) == n else np.unique(keys))  # a point may be near twice, by two images
        i, j = keys // n, keys % n
        prices = price(space.distance(points[i, None], points[j, None])).view(-1)
        i, j, prices = (t[prices <= bound] for t in (i, j, prices))
        order = torch.from_numpy(np.lexsort((j, prices, i)))
        found, counts = i[order].unique_consecutive(return_counts=True)
        begins = (counts.cumsum(0) - counts)[counts >= partners]
        chosen = order[begins[:, None] + torch.arange(partners)]
        yield found[counts >= partners], j[chosen], prices[chosen]


# %%
#| export
SAMPLE = 64  # neurons that are asked for all their prices
PAIRS = 2**20  # that are held at once


@checked
@torch.no_grad()
def geometric_edges(
    space: str | Manifold,  # where the neurons live
    embedding: Annotated[Tensor, Shape("N coordinates")],  # points of the neurons (N, coordinates)
    inhibitor: str | Inhibitor,  # what a connection costs at a distance
    partners: Count,  # how many each neuron listens to
) -> tuple[Tensor, Tensor]:  # edges (2, N·partners), the neuron that listens and the one it listens to, sorted; and their prices (N·partners,)
    "Each neuron's cheapest partners, itself among them if that is cheap; ValueError if there are too few"
    space, price, points = find_manifold(space), find_inhibitor(inhibitor), embedding.detach().cpu()
    n = len(points)
    if partners > n:
        raise ValueError(f"partners={partners!r}; give a whole number from 1 to {n}, the number of neurons")
    ok, reason = space.check(points)
    if not ok:
        raise ValueError(f"the embedding is not on the space: {reason}")
    points = points.double() if points.is_floating_point() else points
    columns, prices, missing = torch.empty(n, partners, dtype=torch.int64), torch.empty(n, partners, dtype=torch.float64), torch.ones(n, dtype=torch.bool)
    if type(space) in TREES:
        distances = space.distance(points[:: -(-n // SAMPLE)], points)
        bound = price(distances).kthvalue(partners, dim=1).values.max().item()
        farthest = space.diameter if math.isfinite(space.diameter) else (points.amax(0) - points.amin(0)).norm().item()
        between = _reach(price, bound, farthest, distances)
        step = max(1, PAIRS // int((distances <= between[1]).sum(1).max()))
        for rows, *found in _near_pairs(space, points, price, bound, between, partners, step):
            (columns[rows], prices[rows]), missing[rows] = found, False
    for rows, *found in _all_pairs(space, points, price, missing.nonzero()[:, 0], partners, PAIRS):
        columns[rows], prices[rows] = found
    if not prices.isfinite().all():
        raise ValueError(f"under {price} some neurons have fewer than {partners} partners at a finite price; ask for fewer")
    columns, order = columns.sort(dim=1)
    prices = prices.gather(1, order).flatten()
    return torch.stack([torch.arange(n).repeat_interleave(partners), columns.flatten()]), prices.to(embedding.dtype) if embedding.is_floating_point() else prices


# %% [markdown]
# Against all pairs, on spaces of every kind, for inhibitors near and far:

# %%
for name in ("torus", "circle", "klein", "sphere", "r3", "torus6"):
    space = find_manifold(name)
    points = space.sample(400, generator, dtype=torch.float64)
    for f in ("difference_of_gaussians", "diffusion", "sinusoid"):
        edges, prices = geometric_edges(space, points, f, 7)
        every = find_inhibitor(f)(space.distance(points))
        test_close(prices, every[tuple(edges)], eps=1e-9)
        test_close(prices.view(400, 7).sort(1).values, every.sort(1).values[:, :7], eps=1e-9)

# %%
points = Torus().sample(8000, generator)
naive, tree = median_time(
    lambda: list(_all_pairs(Torus(), points.double(), dog, torch.arange(200), 20, PAIRS)), lambda: geometric_edges("torus", points, dog, 20), rounds=1)
print(f"8,000 neurons, 20 partners: {40 * naive:.1f} s by all pairs, {tree:.1f} s by the tree")

# %% [markdown]
# ## A matrix from a list
#
# The chapter [sparse](sparse.ipynb) multiplies by the weights of a `Pattern`: columns panel by panel and row by row, and for each the place of its weight. A pattern can be made of a list of edges, with the edge's number as the place of its weight, and no mask is ever asked for.
#
# One thing must be watched. A panel is some hundreds of columns, so their number grows with $N$, and a pattern notes where each row begins in each panel: that would grow with $N^2$ again. With few weights in a row panels must be few, so that each holds some weights of a row.

# %%
n = torch.tensor([500, 1000, 2000, 4000, 8000])
patterns = [Pattern.from_edges(torch.arange(m).repeat_interleave(20), torch.randint(m // 20, (20 * m,), generator=generator) + torch.arange(20).repeat(m) * (m // 20), (m, m)) for m in n.tolist()]
print(f"beginnings of rows that are noted for each edge, with {n[0]:,} to {n[-1]:,} neurons:", *[round(len(pattern.start) / len(pattern.columns), 2) for pattern in patterns])
assert all(len(pattern.start) < len(pattern.columns) for pattern in patterns)


# %% [markdown]
# ## A layer of edges
#
# The recurrence of the chapter [sparse](sparse.ipynb) asks for a weight and its places, forward and backward through time. A list of weights with their numbers will do. So all that is new is the bookkeeping.
#
# How large should the first weights be? A dense layer of $N$ neurons draws within $1/\sqrt N$, so that the sum over all inputs of a neuron has a size that does not depend on $N$. Of a neuron that hears only $k$ others, the sum is smaller by $\sqrt{k/N}$, and its state dies out within a few steps.
# So the default is the size that suits what is left, $1/\sqrt k$ for each row, and `scale="dense"` is there to compare.

# %%
#| export
class _WithEdges(nn.Module):
    "The types of what an `EdgeRNN` keeps beside its weights"

    edges: Tensor
    _patterns: Any


# %%
#| export
@checked
class EdgeRNN(_WithEdges):
    "An Elman layer (eq. 1) whose recurrent weights are a list of edges, and the only ones that there are; on the processor"

    def __init__(
        self,
        input_size: Count,  # size of an input
        hidden_size: Count,  # number of hidden neurons N
        edges: Annotated[Tensor, Shape("2 E", "int", empty=True)],  # the neuron that listens and the one it listens to (2, E), each pair once
        nonlinearity: Annotated[str, OneOf(_ACTIVATIONS)] = "tanh",  # "tanh" or "relu"
        *,
        bias: bool = True,
        scale: Annotated[str, OneOf(("left", "dense"))] = "left",  # first weights within 1/√(edges of the row), or "dense": 1/√N
        generator: torch.Generator | None = None,  # source of the initial weights
    ):
        super().__init__()
        check_memory(4 * hidden_size * input_size, hidden_size=hidden_size, input_size=input_size)
        self.input_size, self.hidden_size, self.nonlinearity, self.scale = input_size, hidden_size, nonlinearity, scale
        self.register_buffer("edges", edges.clone())
        self.weight_ih = nn.Parameter(torch.empty(hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(edges.shape[1]))  # one for each edge
        self.bias = nn.Parameter(torch.empty(hidden_size)) if bias else None
        self._patterns = patterns_of_edges(edges, hidden_size)
        self.register_load_state_dict_post_hook(_forget)
        self.reset_parameters(generator)

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        "Draw all weights anew"
        for parameter in self.parameters():
            parameter.uniform_(-1, 1, generator=generator).div_(math.sqrt(self.hidden_size))
        if self.scale == "left":
            self.weight_hh.mul_((self.hidden_size / self.edges[0].bincount()[self.edges[0]]).sqrt())

    def patterns(self) -> tuple[Pattern, Pattern]:
        "Of the recurrent matrix, and of the transposed one"
        if self._patterns is None:
            self._patterns = patterns_of_edges(self.edges, self.hidden_size)
        return self._patterns

    def dense(self) -> Tensor:  # (N, N)
        "The recurrent matrix with all its zeros, for pictures of small layers"
        return SparseMatrix.at(self.patterns()[0], self.weight_hh).dense()

    def forward(self, x: Annotated[Tensor, Shape("steps batch input", "float")], h0: Annotated[Tensor, Shape("1 batch N", "float")] | None = None) -> tuple[Tensor, Tensor]:
        "States at every step (steps, batch, N) and the last one (1, batch, N), from h0, or from zeros if it is None"
        return _run(self, x, h0)

    def weight_uses(self, inputs: tuple, output: tuple) -> dict[str, float]:
        "Positions where each weight is used: every step of every sequence"
        return dict.fromkeys(("weight_ih", "weight_hh"), inputs[0].shape[:2].numel())

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, edges={self.edges.shape[1]}, nonlinearity={self.nonlinearity!r}"


# %% [markdown]
# Patterns are made when a layer is made, which checks its edges, and again after others were loaded. Products run on the processor, in the precision of the weights.

# %%
#| export
@checked
def patterns_of_edges(edges: Annotated[Tensor, Shape("2 E", "int", empty=True)], neurons: Count) -> tuple[Pattern, Pattern]:
    "Of a recurrent matrix, and of the transposed one; ValueError if the edges are none of so many neurons, or one stands twice"
    into, outof = (Pattern.from_edges(edges[0], edges[1], (neurons, neurons), transposed) for transposed in (False, True))
    return into, outof


def _forget(layer: EdgeRNN, keys) -> None:
    "Patterns are made anew after loading, since other edges may have come"
    layer._patterns = None


def _run(layer: EdgeRNN, x: Tensor, h0: Tensor | None) -> tuple[Tensor, Tensor]:
    "The layer on inputs (steps, batch, input), in the precision of its weights"
    weight = layer.weight_hh
    if weight.device.type != "cpu" or weight.dtype not in PRECISIONS:
        raise TypeError(f"the weights are {weight.dtype} on {weight.device}; a layer of edges multiplies on the processor, in {' and '.join(map(str, PRECISIONS))}")
    if x.dim() != 3 or x.shape[2] != layer.input_size or not len(x):
        raise ValueError(f"the input has shape {tuple(x.shape)}; expected (steps, batch, {layer.input_size})")
    if h0 is not None and h0.shape != (1, x.shape[1], layer.hidden_size):
        raise ValueError(f"the initial state has shape {tuple(h0.shape)}; expected {(1, x.shape[1], layer.hidden_size)}")
    with torch.autocast("cpu", enabled=False):
        h0 = weight.new_zeros(1, x.shape[1], layer.hidden_size) if h0 is None else h0
        drives = layer.weight_ih @ x.mT if layer.bias is None else torch.baddbmm(layer.bias[:, None], layer.weight_ih.expand(len(x), -1, -1), x.mT)
        out, last = SparseElmanFunction.apply(layer.patterns(), drives.mT[None], h0, weight[None], layer.nonlinearity, True)
    return out[0], last.clone()


# %% [markdown]
# It says what a dense layer with the same weights says, and so do its gradients:

# %%
edges, prices = geometric_edges("klein", find_manifold("klein").sample(80, generator), "difference_of_gaussians", 9)
for nonlinearity in ("relu", "tanh"):
    layer, dense = EdgeRNN(3, 80, edges, nonlinearity, generator=generator).double(), RNN(3, 80, nonlinearity=nonlinearity).double()
    with torch.no_grad():
        for to, values in ((dense.weight_hh_l0, layer.dense()), (dense.weight_ih_l0, layer.weight_ih), (dense.bias_ih_l0, layer.bias), (dense.bias_hh_l0, 0 * layer.bias)):
            to.copy_(values)
    x, h0 = torch.randn(6, 8, 3, generator=generator).double(), torch.randn(1, 8, 80, generator=generator).double()
    results = []
    for one in (layer, dense):
        out, last = one(x, h0)
        (out.sin().sum() + last.square().sum()).backward()
        results.append(out.detach())
    test_close(*results, eps=1e-10)
    test_close(layer.weight_hh.grad, dense.weight_hh_l0.grad[tuple(edges)], eps=1e-10)
    test_close(layer.weight_ih.grad, dense.weight_ih_l0.grad, eps=1e-10)


# %% [markdown]
# ## What the edges pay
#
# The penalty (eq. 6) is a mean over all $N^2$ entries of a matrix. Where there is no edge the weight is zero and pays nothing, so the sum over edges is the whole sum. What it is divided by is a choice: by $N^2$ it is the number that the dense twin would pay, to rounding,
# and so the strength of the dense twin's; but a weight then pays $N/k$ times less, per weight that exists, than a mean over edges would ask of it. So say which.

# %%
#| export
@checked
def edge_penalty(
    weight: Annotated[Tensor, Shape("E", "float", empty=True)],  # of each edge (E,)
    prices: Annotated[Tensor, Shape("E", empty=True, least=0)],  # of each edge (E,)
    entries: Annotated[int, Within(1)] | None = None,  # what the sum is divided by: N² for the mean of a dense layer (eq. 6), the number of edges if None
    power: Annotated[float, Within(1)] = 1,  # n of |w|^n
) -> Tensor:  # ()
    "Mean over entries of price · |w|^n (eq. 6), from the edges alone"
    return (prices.to(weight.dtype) * weight.abs() ** power).sum() / (entries or max(1, len(weight)))


# %%
points = Torus().sample(80, generator, dtype=torch.float64)
edges, prices = geometric_edges("torus", points, dog, 9)
layer = EdgeRNN(3, 80, edges, generator=generator).double()
test_close(edge_penalty(layer.weight_hh, prices, 80**2), (dog(Torus().distance(points)) * layer.dense().abs()).mean(), eps=1e-10)

# %% [markdown]
# ## What a step costs
#
# Each edge costs one multiplication and one addition forward, the same backward, and the same again for its gradient, for each step of a sequence and each sequence of a batch. Nothing else grows with the edges. Measured in processes of their own, on two cores
# (`python benchmarks/edges.py`): 100 partners each, sequences of 10 steps, batches of 32, Adam.

# %%
#| code-fold: true
#| fig-alt: "Left: memory over neurons, on which edges need far less than dense weights. Right: time of a training step with neighbours numbered near each other and at random."
rows = json.loads((files("modreg") / "data" / "edges.json").read_text(encoding="utf-8"))["rows"]
fig, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
neurons = [row["neurons"] for row in rows]
axes[0].loglog(neurons, [row["memory_mb"] for row in rows], "o-", label="with edges")
axes[0].loglog(neurons, [4 * 4 * n**2 / 1e6 for n in neurons], ":", color="0.5", label="dense weights, gradient, moments")
axes[1].loglog(neurons, [row["step_s"] for row in rows], "o-", label="neighbours have near numbers")
axes[1].loglog(neurons, [row["shuffled_s"] for row in rows], "o-", label="random numbers")
axes[0].set(xlabel="neurons", ylabel="memory (MB)")
axes[1].set(xlabel="neurons", ylabel="a step of training (s)")
for ax in axes:
    ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1), frameon=False)
    ax.set_xticks(neurons, [f"{n:,}" for n in neurons])
    ax.minorticks_off()
axes[1].set_yticks([0.05, 0.1, 0.2, 0.5, 1], ["0.05", "0.1", "0.2", "0.5", "1"])
plt.show()

# %%
last = rows[-1]
print(f"{last['neurons']:,} neurons, {last['edges']:,} edges: {last['edges_s']:.0f} s to find them, {last['step_s']:.2f} s a step, {last['memory_mb']:,.0f} MB more than an empty process, "
      f"{1e6 * last['memory_mb'] / last['edges']:.0f} bytes an edge; numbered at random {last['shuffled_s']:.2f} s a step")
slopes = {name: np.polyfit(np.log([row["edges"] for row in rows]), np.log([row[name] for row in rows]), 1)[0] for name in ("step_s", "memory_mb")}
print(f"a step grows with the edges to the power {slopes['step_s']:.2f}, memory to the power {slopes['memory_mb']:.2f}")
assert max(slopes.values()) < 1.15


# %% [markdown]
# Memory is kept when it is free: a C library would hand blocks of more than 32 MB back, and a layer of 100,000 neurons, whose states need that, would wait for new pages in each step, for a quarter of its time.
# A loop of your own gains by the same two settings, `MALLOC_MMAP_THRESHOLD_=1073741824` and `MALLOC_TRIM_THRESHOLD_=4294967296`, in the environment in which Python begins.
#
# Neurons that are neighbours should have numbers near each other, since a row of states is then still in a cache when the next neuron wants it. `geometric_blocks` of the chapter [sparse](sparse.ipynb) gives such an order: `embedding[geometric_blocks(embedding, 16).argsort()]`.
#
# ## Exercise 1: a budget
#
# *5 min, easy.* A weight takes 4 bytes; so do its gradient and each of Adam's two moments. Two patterns keep its column (4 bytes) and its place (8 bytes) each, and the edge itself is two numbers of 8 bytes. How many bytes an edge, at rest?

# %%
def bytes_of(edges):
    "Bytes that are kept for so many edges"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("weight, gradient and two moments; two patterns; two numbers of an edge", lambda: draw_bars({"as edges": bytes_of(5_000_000) / 1e9, "as a dense matrix of 40,000 neurons": 4 * 4 * 40_000**2 / 1e9}, "GB for 5 million edges")) as expect:
    expect(bytes_of, 5_000_000, gives=280_000_000)


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def bytes_of(edges):
#     return edges * (4 * 4 + 2 * (4 + 8) + 2 * 8)
# ```
#
# During a step there are further copies of weights and gradients in the patterns' order, and the states of all steps.
#
# </details>

# %% [markdown]
# ## Exercise 2: a tree for a space of one's own
#
# *5 min, medium.* A *cylinder* comes back in its first coordinate only. What would its entry in `TREES` be? A period of 0 means to scipy that a coordinate does not come back.

# %%
def cylinder_box(space, x):
    "Points as scipy's tree takes them, the periods of both coordinates, and a function from a radius to the radius to ask for"
    raise NotImplementedError


# %%
#| fold How it is checked
x = np.array([[0.5, 0.0], [9.5, 0.0], [0.5, 9.5]])


def near(which):
    images, periods, asked = cylinder_box(Torus(), x)
    return sorted(_tree(images, periods).query_ball_point(x[which], asked(2.0)))


with exercise("a cylinder lies flat: points and distances are what they are, and only the first coordinate comes back", lambda: draw_bars({f"point {k}": len(near(k)) - 1 for k in range(3)}, "neighbours within 2")) as expect:
    cylinder_box(Torus(), x)
    expect(near, 0, gives=[0, 1])
    expect(near, 2, gives=[2])

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def cylinder_box(space, x):
#     return x, [space.period, 0], lambda radius: radius
# ```
#
# </details>

# %% [markdown]
# ## Mistakes that are caught

# %%
test_fail(lambda: geometric_edges("torus", points, "diffusion", 81), contains="from 1 to 80")
test_fail(lambda: geometric_edges("torus", points + 20, "diffusion", 3), contains="not on the space")
test_fail(lambda: EdgeRNN(3, 80, edges.flip(1).repeat(1, 2)), contains="more than once")
test_fail(lambda: EdgeRNN(3, 40, edges), contains="from 0 to 39")
test_fail(lambda: EdgeRNN(3, 80, edges).half()(torch.zeros(2, 1, 3).half()), contains="on the processor")

# %% [markdown]
# ## What broke, and what the paper did
#
# - The first pattern of a list took panels of 1,024 columns at most. Where each row begins in each panel was then a table of $N^2/1024$ entries, most of them equal, and a row of 100 weights took its sums up and put them down in 49 panels.
# - The search kept what it had found, block by block, between arrays that came and went. Memory fell to pieces, and 50,000 neurons took 2 GB. Now it is written to one array from the start.
# - On the Klein bottle a neuron can be near another twice, by two images. It then stood twice among the partners, until pairs were made unique.
# - Points on a sphere are compared by chords, which differ from arcs. The radius that the tree is asked for is a little larger, by rounding, than the one that is meant: whoever lies between is sorted out by price.
#
# The paper trains with all pairs and prunes; its largest network has 4,096 neurons.
#
# ## Recall and think
#
# <details><summary>Recall: with what do memory and time of a layer of edges grow?</summary>
#
# With the number of edges, and no longer with the square of the neurons.
#
# </details>
#
# <details><summary>Recall: why is near not the same as cheap?</summary>
#
# The inhibitor decides: under a difference of Gaussians what is too near is dear.
#
# </details>
#
# <details><summary>Think: what would a network of a million neurons learn that one of a thousand cannot?</summary>
#
# Nobody knows; if neighbours alone may talk, news takes many steps across, so tasks with slow and local states come to mind.
#
# </details>
#
# **References.** Bentley, *Multidimensional binary search trees used for associative searching* (1975). Mocanu et al., *Scalable training of artificial neural networks with adaptive sparse connectivity inspired by network science* (2018).
