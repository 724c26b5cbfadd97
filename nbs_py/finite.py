# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Finite spaces
#
# > Neurons on anything that can be measured: matrices of distances, graphs, meshes, point clouds

# %% [markdown]
# *Reading 25 min, exercises 15 min. To skip at a first reading:* all of it, unless your space has no formula.
#
# After this chapter you can
#
# - place neurons on a graph, on a surface from a file or on a cloud of points, in one line,
# - tell whether a matrix of numbers is a matrix of distances, and what is wrong with it if not,
# - say how far a library's geodesics are from the truth, and mend what makes them no distances.
#
# The question: *a cortex, a maze and a social network have no formula for their distances. What is the least that one must know
# about a space to put neurons on it?*

# %%
#| default_exp geometry.finite

# %%
#| export
import copy
import math
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy
import torch
from torch import Tensor

from modreg.geometry.arguments import Count, Positive, Shape, Within, check_memory, checked
from modreg.geometry.manifolds import MANIFOLDS, Manifold, check_points, draw
from modreg.geometry.specs import written

# %%
#| hide
import math

import matplotlib.pyplot as plt
from fastcore.test import test_close, test_eq, test_fail
from matplotlib.collections import LineCollection
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial import ConvexHull, Delaunay

from modreg.book.exercises import draw_bars, exercise
from modreg.geometry.checks import check_manifold
from modreg.geometry.inhibitors import DifferenceOfGaussians
from modreg.geometry.manifolds import Sphere, Torus
from modreg.sparsity.regularizer import ModuliRegularizer

plt.style.use("modreg.data.book")


# %%
#| code-fold: true
def ball(n, bumps=0.0):
    "Vertices (n, 3) and triangles of a ball of radius 5, with bumps of relative height `bumps`"
    height = 1 - 2 * (torch.arange(n, dtype=torch.float64) + 0.5) / n
    turn, width = math.pi * (1 + 5**0.5) * torch.arange(n), (1 - height**2).sqrt()
    x = torch.stack([width * turn.cos(), width * turn.sin(), height], -1)
    triangles = ConvexHull(x.numpy()).simplices.astype(int)
    wave = (4 * x[:, 0]).sin() * (3 * x[:, 1] + 1).cos() * (4 * x[:, 2]).sin()
    return (5 * x * (1 + bumps * wave[:, None])).numpy(), triangles


def show_surface(ax, vertices, triangles, values, **how):
    "A surface in space, its triangles coloured by the mean value of their corners"
    surface = ax.plot_trisurf(*vertices.T, triangles=triangles, **how)
    surface.set_array(numpy.asarray(values)[triangles].mean(1))
    ax.set_axis_off()
    ax.set_box_aspect((1, 1, 1), zoom=1.3)
    return surface


# %%
#| echo: false
#| fig-alt: "Left: a bumpy ball coloured by the distance from its top, along its surface. Right: a maze of dots and links coloured by the length of the way from a star."
import modreg.geometry.finite as finished

vertices, triangles = ball(900, bumps=0.3)
surface = finished.Mesh(vertices, triangles)
maze = torch.rand(150, 2, generator=torch.Generator().manual_seed(3)).numpy() * 10
walls = numpy.unique(numpy.sort(Delaunay(maze).simplices[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)), axis=0)
tree = minimum_spanning_tree(coo_array((numpy.linalg.norm(maze[walls[:, 0]] - maze[walls[:, 1]], axis=1), walls.T), shape=(150, 150))).tocoo()
corridors = numpy.stack(tree.coords, 1)
graph = finished.Graph(numpy.column_stack([corridors, tree.data]))
fig = plt.figure(figsize=(9, 3.8), layout="constrained")
left, right = fig.add_subplot(1, 2, 1, projection="3d"), fig.add_subplot(1, 2, 2)
fig.colorbar(show_surface(left, vertices, triangles, surface.matrix[130], linewidth=0), ax=left, label="distance", shrink=0.7)
right.add_collection(LineCollection(maze[corridors], color="0.7", zorder=0))
dots = right.scatter(*maze.T, c=graph.matrix[20], s=40)
right.plot(*maze[20], "*", color="white", markeredgecolor="black", markersize=15)
right.set(aspect="equal", xlabel="x", ylabel="y", title="a maze")
left.set_title("a bumpy ball")
fig.colorbar(dots, ax=right, label="distance", shrink=0.7)
plt.show()

# %% [markdown]
# On the left a surface of 900 corners, coloured by how long an ant walks from one of them. On the right a maze of 150 rooms, coloured by
# how far it is to the star along the corridors. Neither has a formula.
#
# *Predict, before you read on:* some rooms that are near in the plane have quite different colours. Which? And how many numbers must be
# kept of either picture, if neurons live only at corners and in rooms?

# %% [markdown]
# ## A matrix of distances
#
# Neurons that live on $n$ points need to know $n^2$ distances, and nothing else: no coordinates, no paths. So a *finite space* is a
# matrix, and a point of it is a number from 0 to $n - 1$. Not any matrix will do. A distance is
#
# 1. a finite number, and not negative,
# 2. 0 from each point to itself,
# 3. the same there and back,
# 4. never longer than a detour.
#
# The first three are quickly looked up. What is measured or computed is rarely symmetric to the last digit, so a difference of up to a millionth of the
# diameter is taken for rounding, and evened out.

# %%
#| export
#| fold A square matrix
TOLERANCE = 1e-6  # share of the diameter that is taken for rounding
MOST_POINTS = 20_000  # of a finite space: their distances take 3.2 GB


def _square(matrix) -> Tensor:
    "An array, or a file of one (.npy, or text with one row a line), as float64"
    if isinstance(matrix, (str, Path)):
        matrix = _read(matrix, "matrix")
    matrix = torch.as_tensor(matrix).detach()
    if matrix.is_complex():
        raise ValueError(f"matrix is {matrix.dtype}; distances are real numbers")
    matrix = matrix.to("cpu", torch.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise ValueError(f"matrix has shape {tuple(matrix.shape)}; give a square one, with a row and a column for each point")
    _check_room(len(matrix), "matrix")
    return matrix


def _check_room(points: int, what: str) -> None:
    "ValueError if there are too many points for a matrix of all distances"
    if points > MOST_POINTS:
        raise ValueError(f"{what} has {points:,} points, and {8e-9 * points**2:.1f} GB of distances between them; give at most {MOST_POINTS:,} of them")


# %%
#| export
#| fold Numbers from a file
def _read(path: str | Path, what: str) -> numpy.ndarray:
    "Numbers from a file: .npy, or text with blanks or commas between them"
    if not Path(path).is_file():
        raise FileNotFoundError(f"{what}: there is no file {str(path)!r}")
    try:
        if Path(path).suffix == ".npy":
            return numpy.load(path, allow_pickle=False)
        return numpy.loadtxt(Path(path).read_text(encoding="utf-8").replace(",", " ").splitlines(), ndmin=2)
    except ValueError as error:
        raise ValueError(f"{what}: {str(path)!r} can't be read as numbers ({error}); give a .npy file, or text with blanks or commas between numbers") from None


# %%
#| export
#| fold Rounding taken out
def _symmetric(matrix: Tensor) -> Tensor:
    "A square matrix with the rounding taken from its symmetry; ValueError if it is more than rounding, or can't be distances for another reason"
    for wrong, why in ((~matrix.isfinite(), "not finite"), (matrix < 0, "negative")):
        if wrong.any():
            i, j = wrong.nonzero()[0].tolist()
            raise ValueError(f"matrix has {int(wrong.sum())} entries that are {why}, the first at [{i}, {j}]; distances are finite and not negative")
    room = TOLERANCE * matrix.max()
    if matrix.diagonal().max() > room:
        i = int(matrix.diagonal().argmax())
        raise ValueError(f"matrix has {matrix[i, i]:g} at [{i}, {i}]; a point is at distance 0 from itself")
    gap = (matrix - matrix.T).abs()
    if gap.max() > room:
        i, j = divmod(int(gap.argmax()), len(matrix))
        raise ValueError(f"matrix is not symmetric: {matrix[i, j]:g} at [{i}, {j}] and {matrix[j, i]:g} at [{j}, {i}]; give (D + D.T) / 2 if the mean is meant")
    return ((matrix + matrix.T) / 2).fill_diagonal_(0)


@checked
def checked_distances(
    matrix: str | Path | Tensor | numpy.ndarray | Sequence,  # (n, n), or a file of one (.npy, or text with one row a line)
) -> Tensor:  # (n, n), float64
    "A matrix that keeps the first three promises, with the rounding taken from its symmetry; ValueError for any other"
    return _symmetric(_square(matrix))


# %% [markdown]
# The fourth is about triples, and so it costs $n^3$. For more than a thousand points we ask only some of the middle points, drawn once
# for all; a matrix that is wrong in earnest is wrong at many of them.

# %%
#| export
@checked
def triangle_excess(
    matrix: Annotated[Tensor, Shape("n n", "float", finite=True)],  # symmetric (n, n)
    most: Annotated[int, Within(1, 10**12)] = 10**9,  # triples to look at; beyond, only some middle points are tried
) -> tuple[float, tuple[int, int, int]]:  # by how much a distance exceeds a detour at most; from where, over which point, to where
    "By how much a matrix violates the triangle inequality: 0 for distances"
    n = len(matrix)
    middles = range(n) if n**3 <= most else torch.randperm(n, generator=torch.Generator().manual_seed(0))[: max(1, most // n**2)].tolist()
    worst, where = 0.0, (0, 0, 0)
    for k in middles:
        excess = matrix - (matrix[:, k, None] + matrix[k])
        if (here := excess.max().item()) > worst:
            i, j = divmod(int(excess.argmax()), n)
            worst, where = here, (i, k, j)
    return worst, where


@checked
def shortest_paths(
    matrix: Annotated[Tensor, Shape("n n", "float", finite=True)],  # symmetric lengths of steps (n, n)
) -> Tensor:  # (n, n)
    "The largest distances that are nowhere longer than these and have no shorter detour: lengths of shortest paths"
    d = matrix.clone()
    for k in range(len(d)):
        torch.minimum(d, d[:, k, None] + d[k], out=d)
    return d


# %% [markdown]
# The second function is Floyd's and Warshall's: allow one more middle point at a time. What comes out is a metric whatever goes in,
# so long as that is symmetric. Keep it in mind as a means to mend things; it will soon turn out to be a dangerous one.

# %%
steps = torch.tensor([[0.0, 1.0, 5.0], [1.0, 0.0, 1.0], [5.0, 1.0, 0.0]])
excess, (here, over, there) = triangle_excess(steps)
print(f"from {here} to {there} it is {steps[here, there]:.0f}, but over {over} only {steps[here, there] - excess:.0f}")
test_eq(shortest_paths(steps).tolist(), [[0, 1, 2], [1, 0, 1], [2, 1, 0]])
test_eq(triangle_excess(shortest_paths(steps))[0], 0)
test_close(triangle_excess(Torus().distance(Torus().sample(100, torch.Generator().manual_seed(0))))[0], 0, eps=1e-5)


# %% [markdown]
# ## The space
#
# A point is an index, so nothing can be trained here: there is no small step from one index to the next. To draw points
# uniformly is to draw without putting back as long as there are points left, as cards are dealt; who asks for more neurons than points gets
# each point as often as any other, give or take one.

# %%
#| export
#| fold Dealing points
def _deal(
    points: int,  # how many there are
    n: int | tuple[int, ...],  # how many are drawn; (s, n) for s sets
    generator: torch.Generator | None,
    device: torch.device | str | None,
) -> Tensor:  # indices, int64 (n, 1) or (s, n, 1)
    "Draw indices without putting back, and once all are drawn begin anew"
    *sets, n = n if isinstance(n, (tuple, list)) else (n,)
    check_memory(8 * math.prod(sets) * max(points, n), n=n)
    if n == 1:  # many single draws, as for a mean over pairs, need no order of all points
        return (draw(torch.rand, (*sets, 1), 1, generator, torch.float64, device) * points).long().clamp(max=points - 1)
    rounds = [draw(torch.rand, tuple(sets), points, generator, torch.float64, device).argsort(-1) for _ in range(max(1, -(-n // points)))]
    return torch.cat(rounds, -1)[..., :n, None]


# %% [markdown]
# For a picture of a space that has no coordinates, *classical scaling* finds points in the plane whose distances are as near as possible: the
# two leading eigenvectors of the matrix of squares, centred.

# %%
#| export
@checked
def classical_scaling(
    matrix: Annotated[Tensor, Shape("n n", "float", finite=True)],  # distances (n, n)
) -> Tensor:  # points in the plane (n, 2)
    "Flat coordinates whose distances resemble those of a matrix (Torgerson's multidimensional scaling)"
    square = matrix.double() ** 2
    centred = square - square.mean(0) - square.mean(1, keepdim=True) + square.mean()
    values, vectors = torch.linalg.eigh(-centred / 2)
    flat = vectors[:, -2:].flip(-1) * values[-2:].flip(-1).clamp(min=0).sqrt()
    return torch.nn.functional.pad(flat, (0, 2 - flat.shape[1]))


# %% [markdown]
# Now the space itself. A matrix that has shorter detours is refused, with the worst of them named, unless one asks for the repair.
# One more guard: an index of -1 means the last in most programs, and would be a wrong distance in silence.

# %%
#| export
#| fold Points as indices
def _indices(space: "FiniteSpace", x: Tensor, name: str) -> Tensor:
    "Points (..., n, 1) as indices (..., n); ValueError if some are no points"
    if not space.contains(x).all():
        raise ValueError(f"{name} has indices from {x.min()} to {x.max()}; {space} has those from 0 to {len(space) - 1}")
    return x[..., 0]


def _text(space: "FiniteSpace") -> str:
    "How a space from a file is written in a spec"
    names = [name for name, maker in MANIFOLDS.makers.items() if maker is type(space)]
    if space.source is None or not names:
        return repr(space)
    options = space.options | ({"scale": space.scale} if space.scale != 1 else {})
    return f"{names[0]}({', '.join([written(space.source), *[f'{key}={written(option)}' for key, option in options.items()]])})"


# %%
#| export
#| fold Larger copies, and detours
def _larger(space: "FiniteSpace", factor: float) -> "FiniteSpace":
    "A copy whose distances and flat coordinates are multiplied by a factor"
    larger = copy.copy(space)
    larger.matrix, larger.flat, larger.scale = space.matrix * factor, space.flat * factor, space.scale * factor
    return larger


def _metric(matrix: Tensor, repair: bool) -> Tensor:
    "A symmetric matrix that has no shorter detours; those that it has are refused, or mended"
    excess, (i, k, j) = triangle_excess(matrix)
    if excess <= TOLERANCE * matrix.max():
        return matrix
    if not repair:
        raise ValueError(f"matrix has {matrix[i, j]:g} from {i} to {j}, {excess:g} more than the way over {k} ({excess / matrix.max():.1%} of the diameter); "
                         "mend it, or give repair=True to take the lengths of shortest paths")
    return shortest_paths(matrix)


# %%
#| export
@checked
class FiniteSpace(Manifold):
    "Finitely many points with given distances; a point is an index, int64 (..., 1)"
    trainable, coordinates, dim, options = False, 1, 0, dict[str, Any]()  # options: other arguments that its text has to give; a subclass puts its own in place

    def __init__(
        self,
        matrix: Annotated[Tensor, Shape("n n", "float", finite=True, least=0)],  # distances (n, n), a metric
        source: Any = None,  # the file that they are from, or anything else
        scale: Positive = 1.0,  # multiplies all distances
        flat: Annotated[Tensor, Shape("n 2", "float", finite=True)] | None = None,  # coordinates for pictures (n, 2); None: found by classical scaling
    ):
        self.matrix, self.scale = matrix * scale, float(scale)
        self.source = str(source) if isinstance(source, (str, Path)) else None
        if flat is not None:
            self.flat = flat * scale

    def __len__(self):
        return len(self.matrix)

    def __repr__(self):
        return f"{type(self).__name__}({self.source or f'{len(self)} points'})"

    def __eq__(self, other):
        return type(self) is type(other) and torch.equal(self.matrix, other.matrix)

    def __hash__(self):
        return hash((type(self), len(self), self.matrix.sum().item()))

    name = property(lambda self: _text(self))
    diameter = property(lambda self: self.matrix.max().item())
    flat = cached_property(lambda self: classical_scaling(self.matrix))

    def chart(self, x):
        "Where points are drawn, (..., n, 2)"
        return self.flat.to(x.device)[check_points(self, x)[..., 0]]

    def sample(self, n, generator=None, dtype=None, device=None):
        "Deal `n` points, int64 (n, 1), all different as long as there are enough; a tuple (s, n) gives (s, n, 1)"
        return _deal(len(self), n, generator, device)

    def pairwise(self, x, y):
        return self.matrix.to(x.device)[_indices(self, x, "x")[..., :, None], _indices(self, y, "y")[..., None, :]]

    def project(self, x):
        "Move indices beyond either end to it"
        return check_points(self, x).clamp(0, len(self) - 1)

    def contains(self, x):
        return ((x >= 0) & (x < len(self))).all(-1)

    def scaled(self, factor):
        "The same points with all distances multiplied by a factor"
        return _larger(self, factor)


# %% [markdown]
# The first of its kinds is the matrix itself.

# %%
#| export
@checked
class DistanceMatrix(FiniteSpace):
    "A finite space, given by the distances of its points"

    def __init__(
        self,
        matrix: str | Path | Tensor | numpy.ndarray | Sequence,  # distances (n, n), or a file of them (.npy, or text)
        *,
        repair: bool = False,  # where a detour is shorter, take it, rather than raise
        scale: Positive = 1.0,  # multiplies all distances
    ):
        super().__init__(_metric(checked_distances(matrix), repair), matrix, scale)
        self.options = {"repair": True} if repair else {}


# %%
cards = DistanceMatrix(Sphere().distance(Sphere().sample(52, torch.Generator().manual_seed(1), dtype=torch.float64)))
hand = cards.sample(10, torch.Generator().manual_seed(2))
test_eq(hand.unique().numel(), 10)
test_eq(cards.sample(120, torch.Generator().manual_seed(3)).flatten().bincount().unique().tolist(), [2, 3])
test_eq(cards.distance(hand), cards.matrix[hand[:, 0]][:, hand[:, 0]])
test_eq(cards.check(torch.tensor([[52]]))[0], False)
test_fail(lambda: cards.distance(torch.tensor([[-1]])), contains="from 0 to 51")
test_fail(lambda: DistanceMatrix(steps), contains="3 more than the way over 1")
test_eq(DistanceMatrix(steps, repair=True).diameter, 2)


# %% [markdown]
# ## Graphs
#
# In a graph the distance is the length of the shortest path. Its points are the nodes. What one has is a list of edges, each with its length,
# or 1 if lengths don't matter; the rest is a library's: scipy runs Dijkstra's algorithm from each node.
#
# A graph in two pieces has pairs without any path. An infinite distance has no price, so such a graph is refused.

# %%
#| export
#| fold Libraries, and graphs in pieces
def _need(module: str):
    "Import a library of the extra `geometry`, or say how to get it"
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise ImportError(f"this space needs {package}, which is not installed: pip install 'modreg[geometry]', or pip install {package}") from None


def _check_connected(links, what: str) -> None:
    "ValueError if a sparse matrix of links falls into pieces"
    count, piece = _need("scipy.sparse.csgraph").connected_components(links, directed=False)
    if count > 1:
        sizes = sorted(numpy.bincount(piece).tolist(), reverse=True)
        listed = ", ".join(map(str, sizes[:5])) + (", …" if count > 5 else "")
        raise ValueError(f"{what} is in {count} pieces, of {listed} points, and there is no way from one to another; give one of them, or Modules of several")


# %%
#| export
#| fold Edges as a sparse matrix
def _links(edges: numpy.ndarray):
    "A sparse matrix (n, n) of the lengths of edges (E, 2) or (E, 3), each once; of several between two nodes the shortest"
    if edges.ndim != 2 or edges.shape[1] not in (2, 3) or not len(edges):
        raise ValueError(f"edges has shape {edges.shape}; give (E, 2) for pairs of nodes, or (E, 3) with a length for each pair")
    ends, length = edges[:, :2], edges[:, 2] if edges.shape[1] == 3 else numpy.ones(len(edges))
    bad = ~((ends >= 0) & (ends == ends.round())).all(1)
    if bad.any():
        raise ValueError(f"edges has {ends[bad][0].tolist()} in row {int(bad.argmax())}; nodes are whole numbers from 0")
    bad = ~(numpy.isfinite(length) & (length > 0))
    if bad.any():
        raise ValueError(f"edges has a length of {length[bad][0]:g} in row {int(bad.argmax())}; lengths are positive and finite")
    n = int(ends.max()) + 1
    _check_room(n, "the graph")
    low, high = numpy.sort(ends.astype(numpy.int64), 1).T
    order = numpy.argsort(length, kind="stable")
    kept = order[numpy.unique((low * n + high)[order], return_index=True)[1]]
    return _need("scipy.sparse").csr_array((length[kept].astype(float), (low[kept], high[kept])), shape=(n, n))


# %%
#| export
@checked
class Graph(FiniteSpace):
    "The nodes of an undirected graph, with the lengths of shortest paths"

    def __init__(
        self,
        edges: str | Path | Tensor | numpy.ndarray | Sequence,  # (E, 2) pairs of nodes, (E, 3) with lengths, or a file (.npy, or text with an edge a line)
        *,
        scale: Positive = 1.0,  # multiplies all distances
    ):
        links = _links(_read(edges, "edges") if isinstance(edges, (str, Path)) else numpy.asarray(edges, dtype=float))
        _check_connected(links, "the graph")
        paths = _need("scipy.sparse.csgraph").shortest_path(links, method="D", directed=False)
        super().__init__(_symmetric(torch.from_numpy(paths)), edges, scale)

    @classmethod
    def from_adjacency(
        cls,
        adjacency,  # symmetric lengths (n, n), 0 where there is no edge: a tensor, an array or a sparse matrix of scipy
        *,
        scale: Positive = 1.0,  # multiplies all distances
    ) -> "Graph":
        "The graph of a matrix of lengths"
        links = _need("scipy.sparse").coo_array(adjacency)
        if links.shape[0] != links.shape[1] or abs(links - links.T).max() > 0:
            raise ValueError(f"adjacency has shape {links.shape} and must be square and symmetric: distances are the same there and back")
        graph = cls(numpy.column_stack([*links.coords, links.data]), scale=scale)
        if len(graph) < links.shape[0]:
            raise ValueError(f"adjacency has {links.shape[0]} nodes and no edge to the last; there is no way to it")
        return graph


# %% [markdown]
# Kings and rooks: on a chessboard, squares are nodes, and a king's moves are edges. His distance is the greater of the differences in row and in column,
# which is the oracle for all pairs of squares. With longer diagonal steps it grows.

# %%
squares = [(row, column) for row in range(8) for column in range(8)]
moves = [(a, b, math.dist(squares[a], squares[b])) for a in range(64) for b in range(a) if max(abs(r - s) for r, s in zip(squares[a], squares[b], strict=True)) == 1]
king, walker = Graph([move[:2] for move in moves]), Graph(moves)
place = torch.tensor(squares)
test_eq(king.matrix, (place[:, None] - place).abs().amax(-1).double())
steps_apart, shorter = (place[:, None] - place).abs().amax(-1), (place[:, None] - place).abs().amin(-1)
test_close(walker.matrix, steps_apart + (math.sqrt(2) - 1) * shorter.double())
test_fail(lambda: Graph([(0, 1), (2, 3)]), contains="2 pieces, of 2, 2 points")

# %%
#| fig-alt: "Steps of a king and of a walker from one square of a board, as squares and as diamonds; and what neurons of a maze pay for a connection to a star, cheap a few links away."
fig, axes = plt.subplots(1, 3, figsize=(10, 3.1), layout="constrained")
for ax, board, title in ((axes[0], king, "king"), (axes[1], walker, "walker")):
    fig.colorbar(ax.imshow(board.matrix[18].reshape(8, 8)), ax=ax, shrink=0.8, label="distance")
    ax.set(title=title, xlabel="column", ylabel="row")
price = DifferenceOfGaussians()(graph.matrix[20])
axes[2].add_collection(LineCollection(maze[corridors], color="0.7", zorder=0))
fig.colorbar(axes[2].scatter(*maze.T, c=price, s=30), ax=axes[2], shrink=0.8, label="price")
axes[2].plot(*maze[20], "*", color="white", markeredgecolor="black", markersize=15)
axes[2].set(aspect="equal", xlabel="x", ylabel="y", title="what the star pays")
plt.show()

# %% [markdown]
# For the walker, discs are octagons. On the right, the rooms that are cheap for the star to be linked with are those at the right distance along the corridors.
#
# ## Meshes
#
# A surface from a scanner is a list of corners and of triangles between them. Walking along edges is no distance on the surface, since edges
# zigzag. The *heat method* finds it otherwise: hold a hot needle to one corner for a moment. How the heat has spread tells in which direction each
# triangle is from the needle, and a function whose slope is 1 in that direction is the distance. Two sparse systems of equations, factored once for
# all needles; the library potpourri3d does it.
#
# How good is it? On a ball we know the truth.

# %%
import potpourri3d

vertices, triangles = ball(600)
truth = Sphere().distance(torch.from_numpy(vertices))
solver = potpourri3d.MeshHeatMethodDistanceSolver(vertices, triangles)
heat = torch.from_numpy(numpy.stack([solver.compute_distance(k) for k in range(600)]))


def report(what, d):
    excess, _ = triangle_excess(d)
    print(f"{what:26} off by {(d - truth).abs().mean() / truth.max():5.1%} in the mean, {(d - truth).abs().max() / truth.max():5.1%} at most; "
          f"detours shorter by up to {excess / truth.max():5.1%}")


print(f"there and back differ by up to {(heat - heat.T).abs().max() / truth.max():.1%} of the diameter")
mean = (heat + heat.T) / 2
report("mean of there and back", mean)

# %% [markdown]
# An error below a hundredth of the diameter would do, and the worst detour over one other corner is shorter by not much more than that. But it is no distance yet.
# The means to mend this is at hand.
#
# *Predict:* will the lengths of shortest paths be nearer to the truth?

# %%
report("shortest paths over it", shortest_paths(mean))

# %% [markdown]
# They are distances now, and wrong ones. What went wrong shows when errors are plotted by distance:

# %%
#| fig-alt: "Ratio of computed to true distance against distance, for three ways to compute: shortest paths over heat are up to a fifth too short, the others within a few per cent."
fig, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
pairs = torch.randint(600, (2, 4000), generator=torch.Generator().manual_seed(4))
straight = torch.cdist(torch.from_numpy(vertices), torch.from_numpy(vertices))
for d, label, colour in ((shortest_paths(mean), "shortest paths over heat", "#fde725"), (mean, "heat", "#31688e"),
                         (shortest_paths(torch.maximum(mean, straight)), "never below the straight line, then paths", "#440154")):
    ax.plot(truth[*pairs], d[*pairs] / truth[*pairs].clamp(min=1e-9), ".", markersize=2, color=colour, label=label)
ax.set(xlabel="true distance", ylabel="heat ÷ true distance", ylim=(0.8, 1.05))
fig.legend(markerscale=5, ncols=2, loc="outside upper center")
plt.show()

# %% [markdown]
# Heat rounds off the tip of the cone: to its nearest neighbours a corner is up to a sixth too near. One such error is small. But the paths are made of just these
# steps, and collect all errors on their way.
#
# A lower bound helps. No way on a surface is shorter than the *straight line* through space, and for near corners the straight line
# is almost the way. So take the greater of both first, and then the shortest paths:

# %%
report("straight line as a bound", torch.maximum(mean, straight))
report("and then shortest paths", shortest_paths(torch.maximum(mean, straight)))


# %% [markdown]
# A metric, exactly, and about as near to the truth as the heat method itself. That is what a `Mesh` holds. On bumpier surfaces the tests compare it with exact
# geodesics.
#
# A scanned cortex has 160,000 corners; all their distances would take 200 GB, and no network has as many neurons. So only some corners become points, spread as evenly
# as can be: begin with one, and again and again take the one that is farthest from all taken before.

# %%
#| export
@checked
def farthest_points(
    points: numpy.ndarray,  # (V, c)
    n: Count,  # how many to choose
) -> numpy.ndarray:  # their indices (n,), int64
    "Points that are spread evenly: each is the farthest from those before it; the first is the farthest from the mean"
    apart, chosen = numpy.linalg.norm(points - points.mean(0), axis=1), []
    for k in range(min(n, len(points))):
        chosen.append(int(apart.argmax()))
        here = numpy.linalg.norm(points - points[chosen[-1]], axis=1)
        apart = here if k == 0 else numpy.minimum(apart, here)
    return numpy.sort(numpy.array(chosen))


def _from_heat(
    row: Callable,  # from an index to distances from there to all points (V,)
    points: numpy.ndarray,  # (V, 3)
    landmarks: int,  # most points to take
) -> tuple[Tensor, numpy.ndarray, float]:  # distances (n, n), which points, and the largest asymmetry as a share of the diameter
    "Distances of the heat method as a metric: the mean of there and back, no less than the straight line, along shortest paths"
    chosen = farthest_points(points, landmarks)
    heat = torch.from_numpy(numpy.stack([row(int(k))[chosen] for k in chosen])).double()
    if not heat.isfinite().all():
        raise ValueError(f"the heat method found no distance from point {int(chosen[(~heat.isfinite()).nonzero()[0, 0]])}; is the surface in one piece?")
    place = torch.from_numpy(points[chosen])
    straight = (place[:, None] - place).square().sum(-1).sqrt()
    metric = shortest_paths(torch.maximum((heat + heat.T) / 2, straight).fill_diagonal_(0))
    return metric, chosen, ((heat - heat.T).abs().max() / heat.max().clamp(min=1e-300)).item()


# %%
#| export
#| fold Points from a file
def _points(points, what: str) -> numpy.ndarray:
    "Points in space (V, 3), float64 in one piece"
    points = numpy.ascontiguousarray(points, dtype=numpy.float64)
    if points.ndim != 2 or points.shape[1] != 3 or not len(points):
        raise ValueError(f"{what} has shape {points.shape}; give (V, 3), a point in space a row")
    if not numpy.isfinite(points).all():
        raise ValueError(f"{what} has {int((~numpy.isfinite(points)).sum())} coordinates that are not finite, the first in row {int((~numpy.isfinite(points)).any(1).argmax())}")
    return points


def _load(path, what: str, reader: str):
    "What potpourri3d reads from a file"
    if not Path(path).is_file():
        raise FileNotFoundError(f"{what}: there is no file {str(path)!r}")
    try:
        return getattr(_need("potpourri3d"), reader)(str(path))
    except RuntimeError as error:
        raise ValueError(f"{what}: {str(path)!r} can't be read ({error}); give a .ply, .obj, .off or .stl file") from None


# %%
#| export
#| fold Triangles, checked
def _triangles(faces, n: int) -> numpy.ndarray:
    "Triangles (F, 3) of vertices 0 to n - 1, checked"
    faces = numpy.ascontiguousarray(faces)
    if faces.ndim != 2 or faces.shape[1] != 3 or not len(faces) or not numpy.issubdtype(faces.dtype, numpy.integer):
        raise ValueError(f"faces has shape {faces.shape} and dtype {faces.dtype}; give whole numbers (F, 3), the three corners of a triangle a row")
    if faces.min() < 0 or faces.max() >= n:
        raise ValueError(f"faces has indices from {faces.min()} to {faces.max()}; the vertices are numbered from 0 to {n - 1}")
    sides = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    if (sides[:, 0] == sides[:, 1]).any():
        raise ValueError(f"faces has a triangle with one corner twice, {faces[(sides[:, 0] == sides[:, 1]).reshape(-1, 3).any(1)][0].tolist()}; drop it")
    _check_connected(_need("scipy.sparse").coo_array((numpy.ones(len(sides)), sides.T), shape=(n, n)), "the mesh")
    return faces


# %%
#| export
@checked
class Mesh(FiniteSpace):
    "Corners of a triangle mesh, with geodesic distances on the surface by the heat method"
    dim = 2

    def __init__(
        self,
        vertices: str | Path | Tensor | numpy.ndarray | Sequence,  # corners (V, 3), or a file (.ply, .obj, .off, .stl)
        faces: Tensor | numpy.ndarray | Sequence | None = None,  # triangles (F, 3), indices of corners; None with a file
        *,
        landmarks: Annotated[int, Within(1, MOST_POINTS)] = 1000,  # at most so many corners become points, farthest first
        scale: Positive = 1.0,  # multiplies all distances
    ):
        source = vertices
        if isinstance(vertices, (str, Path)):
            vertices, faces = _load(vertices, "mesh", "read_mesh")
        elif faces is None:
            raise ValueError("faces is not given; give the triangles (F, 3), or a file in place of both")
        vertices = _points(vertices, "vertices")
        solver = _need("potpourri3d").MeshHeatMethodDistanceSolver(vertices, _triangles(faces, len(vertices)))
        matrix, self.chosen, self.asymmetry = _from_heat(solver.compute_distance, vertices, landmarks)
        super().__init__(matrix, source, scale, torch.from_numpy(vertices[self.chosen, :2]))
        self.options = {"landmarks": landmarks} if landmarks != 1000 else {}


# %%
#| export
@checked
class PointCloud(FiniteSpace):
    "Points that lie on a surface, with geodesic distances on it by the heat method"
    dim = 2

    def __init__(
        self,
        points: str | Path | Tensor | numpy.ndarray | Sequence,  # (V, 3), or a file (.ply, .obj)
        *,
        landmarks: Annotated[int, Within(1, MOST_POINTS)] = 1000,  # at most so many become points of the space, farthest first
        scale: Positive = 1.0,  # multiplies all distances
    ):
        source = points
        points = _points(_load(points, "point cloud", "read_point_cloud") if isinstance(points, (str, Path)) else points, "points")
        _check_cloud(points)
        solver = _need("potpourri3d").PointCloudHeatSolver(points)
        matrix, self.chosen, self.asymmetry = _from_heat(solver.compute_distance, points, landmarks)
        super().__init__(matrix, source, scale, torch.from_numpy(points[self.chosen, :2]))
        self.options = {"landmarks": landmarks} if landmarks != 1000 else {}


# %%
#| export
#| fold Whether a cloud hangs together
def _check_cloud(points: numpy.ndarray, near: int = 30) -> None:
    "ValueError if there are few points, or if their neighbourhoods of `near` points, which the heat method uses, don't hang together"
    if len(points) <= near:
        raise ValueError(f"points has {len(points)} rows; the heat method takes neighbourhoods of {near} points and needs more than these")
    _, nearest = _need("scipy.spatial").cKDTree(points).query(points, near)
    links = (numpy.ones(nearest.size), (numpy.repeat(numpy.arange(len(points)), near), nearest.ravel()))
    _check_connected(_need("scipy.sparse").coo_array(links, shape=(len(points), len(points))), "the point cloud")


# %% [markdown]
# A torus with bumps, and the neurons of a layer on it: three hundred of its 1,152 corners, spread evenly. The price of a weight to the starred neuron is that of
# the difference of Gaussians, and the regularizer takes the space as it takes any other.

# %%
#| fig-alt: "A ring-like mesh coloured by distance from a corner; beside it its corners as dots, coloured by what one neuron pays for a connection to each."
around, over = torch.meshgrid(torch.arange(48) / 48 * 2 * math.pi, torch.arange(24) / 24 * 2 * math.pi, indexing="ij")
tube = 1.6 * (1 + 0.25 * (3 * around).sin() * (2 * over).cos())
ring = torch.stack([(4 + tube * over.cos()) * around.cos(), (4 + tube * over.cos()) * around.sin(), tube * over.sin()], -1).reshape(-1, 3).double().numpy()
corner = torch.arange(48 * 24).reshape(48, 24)
ahead, up, both = corner.roll(-1, 0), corner.roll(-1, 1), corner.roll((-1, -1), (0, 1))
faces = torch.cat([torch.stack([corner, ahead, both], -1), torch.stack([corner, both, up], -1)]).reshape(-1, 3).numpy()
whole, neurons = Mesh(ring, faces, landmarks=2000), Mesh(ring, faces, landmarks=300)
print(f"there and back differed by up to {neurons.asymmetry:.1%}; the diameter is {neurons.diameter:.2f}")

rnn = torch.nn.RNN(2, 300)
reg = ModuliRegularizer(rnn, neurons, "difference_of_gaussians", embedding=torch.arange(300)[:, None])
star = neurons.chosen[10]
fig = plt.figure(figsize=(9.5, 3.8), layout="constrained")
left, right = (fig.add_subplot(1, 2, k, projection="3d") for k in (1, 2))
fig.colorbar(show_surface(left, ring, faces, whole.matrix[star], linewidth=0), ax=left, label="distance", shrink=0.7)
spots = right.scatter(*ring[neurons.chosen].T, c=reg.coefficients[10], s=14)
right.set_axis_off()
right.set_box_aspect((1, 1, 0.4), zoom=1.4)
left.set_box_aspect((1, 1, 0.4), zoom=1.4)
right.plot(*ring[star], "*", color="white", markeredgecolor="black", markersize=13)
left.set_title("distance from a corner")
right.set_title("what one neuron pays")
fig.colorbar(spots, ax=right, label="price", shrink=0.7)
plt.show()

# %%
pairs = [(u, v, neurons.matrix[u, v].item()) for u in range(0, 300, 60) for v in range(0, 300, 60)]
test_close([reg.coefficients[u, v] for u, v, _ in pairs], [DifferenceOfGaussians()(torch.tensor(d)) for *_, d in pairs], eps=1e-3)
test_fail(lambda: ModuliRegularizer(rnn, neurons, train_embedding=True), contains="train_embedding=False")
test_eq(len(neurons), 300)
test_eq([check_manifold(space) for space in (neurons, king)], 2 * [(True, "")])
test_close(neurons.scaled(2.0).diameter, 2 * neurons.diameter)
assert (numpy.linalg.norm(ring[neurons.chosen[:, None]] - ring[neurons.chosen], axis=-1) <= neurons.matrix.numpy() + 1e-9).all()
test_fail(lambda: Mesh("no/such/cortex.ply"), contains="there is no file")
test_fail(lambda: Mesh(ring, faces[:1000]), contains="pieces")

# %% [markdown]
# ## Clouds of points
#
# A laser scanner, or the states of a network, give points with no triangles. The heat method works on them too: each point and its nearest thirty neighbours make do for a small
# piece of surface. Where points are as evenly spread as here, nothing is lost.

# %%
cloud = PointCloud(vertices)
report("cloud", cloud.matrix)
report("mesh of the same points", Mesh(vertices, triangles).matrix)
assert triangle_excess(cloud.matrix)[0] < 1e-9

# %% [markdown]
# All spaces from files have names: `mesh(path/to/cortex.ply)`, `point_cloud(scan.ply, landmarks=300)`, `graph(friends.csv)`, `distance_matrix(miles.csv)`.

# %%
#| export
for _name, _space in {"distance_matrix": DistanceMatrix, "graph": Graph, "mesh": Mesh, "point_cloud": PointCloud}.items():
    MANIFOLDS.register(_name, _space)


# %% [markdown]
# A run is named by its settings, and a path is only a path. So that a run on another mesh under the same path is another run, its name also depends on what the files hold that are
# named in a space's text.

# %%
#| export
@checked
def named_files(
    text: str,  # such as "mesh(cortex.ply)+graph(friends.csv)"
) -> list[Path]:  # in the order in which they are named
    "Files that are named in a space's text"
    words = re.findall(r"""'[^']*'|"[^"]*"|[^(),='"]+""", text)
    return [Path(word) for word in (word.strip(" '\"") for word in words) if word and Path(word).is_file()]


# %% [markdown]
# ## Exercise 1: a family tree
#
# *10 min, medium.* In a tree of words, each word has two below it. The distance of two words is the number of steps up to their first common word and down again. Number the words 1, 2, 3, … row by row, so
# that below word $w$ stand $2w$ and $2w + 1$. Write the distance without a graph.

# %%
def tree_distance(v, w):
    "Steps between the words with numbers v and w in a tree in which 2w and 2w + 1 stand below w"
    raise NotImplementedError


# %%
#| fold How it is checked
tree = Graph([(w // 2 - 1, w - 1) for w in range(2, 64)])


def picture():
    fig, ax = plt.subplots(figsize=(4.4, 3.6), layout="constrained")
    fig.colorbar(ax.scatter(*tree.flat.T, c=[tree_distance(1, w) for w in range(1, 64)], s=30), label="steps from word 1")
    ax.set(title="a tree of 63 words, laid flat", xlabel="x", ylabel="y", aspect="equal")
    plt.show()


with exercise("whoever has the greater number goes up by one, to w // 2; until both are the same word, count the steps", picture) as expect:
    expect(tree_distance, 4, 6, gives=4)
    expect(lambda: [[tree_distance(v, w) for v in range(1, 64)] for w in range(1, 64)], gives=tree.matrix.tolist(), name="the table of all pairs of 63 words")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def tree_distance(v, w):
#     steps = 0
#     while v != w:
#         v, w = (v // 2, w) if v > w else (v, w // 2)
#         steps += 1
#     return steps
# ```
#
# The greater number stands in the same row or lower, so it is never above the common word. Such trees are what the hyperbolic disc of the last chapter has room for.
#
# </details>

# %% [markdown]
# ## Exercise 2: how well covered?
#
# *5 min, easy.* When 300 of 1,152 corners are neurons, no corner should be far from a neuron. The *covering radius* is the distance from the worst corner to its nearest neuron. Compute it from
# the matrix of all distances and the indices of the chosen.

# %%
def covering_radius(matrix, chosen):
    "Distance of the worst point to its nearest among the chosen, from all distances (n, n) and the indices of the chosen"
    raise NotImplementedError


# %%
#| fold How it is checked
chance = torch.randperm(1152, generator=torch.Generator().manual_seed(5))[:300]
with exercise("for each point the nearest of the chosen, then the worst point: a minimum over the chosen, then a maximum over all",
              lambda: draw_bars({"farthest first": covering_radius(whole.matrix, neurons.chosen), "by chance": covering_radius(whole.matrix, chance)}, "covering radius")) as expect:
    expect(covering_radius, steps, [1], gives=1)
    expect(covering_radius, torch.tensor([[0.0, 2, 5], [2, 0, 4], [5, 4, 0]]), [0, 1], gives=4.0)
    expect.that(covering_radius(whole.matrix, neurons.chosen) < covering_radius(whole.matrix, chance), "the farthest-first choice should cover better than chance")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def covering_radius(matrix, chosen):
#     return matrix[:, chosen].amin(1).max().item()
# ```
#
# To choose the farthest again and again is at most twice as bad as the best choice, whatever the space: Gonzalez proved it in 1985. Chance does worse, since it leaves gaps.
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - *The obvious repair* made things worse by a factor of five. Shortest paths turn any numbers into a metric, and take every error that is on their way. Now no
#   distance is below the straight line to begin with.
# - *An index of -1* is the last point in most programs. It is refused.
# - *Zero in a sparse matrix* means that there is no edge. So two nodes at distance 0 can't be given by an edge, and a length of 0 is refused; in a matrix of distances it is allowed.
# - *Memory.* All distances of $n$ points take $8n^2$ bytes: 8 MB for a thousand, 3.2 GB for 20,000, which is the limit.
# - The paper has no finite spaces. Its method never asks for more than a matrix of coefficients, so nothing of it has to change.
#
# ## Recall and think
#
# <details><summary>Recall: what four things make a matrix a matrix of distances?</summary>
#
# Finite and not negative; 0 on the diagonal; the same there and back; no detour is shorter.
#
# </details>
#
# <details><summary>Recall: why did shortest paths make the heat method's distances worse?</summary>
#
# Neighbours come out too near, and paths are made of steps to neighbours, so all these errors add up.
#
# </details>
#
# <details><summary>Think: what would you lose, and what gain, by wiring a network on a measured connectome instead of a torus?</summary>
#
# The distances would mean something for that animal; but nothing would say whether its shape or its degrees did the work, unless controls keep the one and lose the other.
#
# </details>
#
# ## References
#
# - K. Crane, C. Weischedel, M. Wardetzky, *Geodesics in heat: a new approach to computing distance based on heat flow* (2013).
# - J. Mitchell, D. Mount, C. Papadimitriou, *The discrete geodesic problem* (1987): exact geodesics on meshes, the oracle of the tests.
# - W. Torgerson, *Multidimensional scaling: I. Theory and method* (1952): points in the plane from a matrix of distances.
# - T. Gonzalez, *Clustering to minimize the maximum intercluster distance* (1985): farthest points first.
