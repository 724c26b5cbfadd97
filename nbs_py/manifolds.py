# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Manifolds
#
# > Spaces that neurons live on, and the distances between them

# %% [markdown]
# *Reading 35 min, exercises 20 min. To skip at a first reading:* *One interface*, *By name*, *A manifold of your own: a checklist*.
#
# After this chapter you can
#
# - give every neuron of a layer a place on a circle, a sphere, a torus or a Klein bottle, and measure how far apart they are,
# - write a distance whose gradient is finite everywhere, which the obvious formulas don't have,
# - add a space of your own and know that it is right.
#
# The question: *the regularizer, two chapters on, gives each connection a **price** by the distance between its two neurons: a number that says how much its weight is unwanted.
# What does a distance have to be, so that the price can be trusted and trained?*

# %%
#| default_exp geometry.manifolds

# %%
#| export
import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import torch
from torch import Tensor

from modreg.geometry.arguments import Count, Device, FloatType, Positive, Shape, Whole, Within, check_memory, checked, outermost, readable, shown
from modreg.geometry.specs import Registry, split

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# %%
#| hide
import matplotlib.pyplot as plt
from fastcore.test import test_close, test_eq, test_fail

from modreg.book.exercises import draw_curve, exercise
from modreg.book.explore import glued_square, in_space
from modreg.sparsity.penalties import display_name

plt.style.use("modreg.data.book")

# %%
#| echo: false
in_space()

# %% [markdown]
# A neuron (the star) on three surfaces in space. They have no inside here: a neuron lives *on* the surface, and the **geodesic distance** to another one is the length of the shortest path within it. Drag to turn them, or move the neuron:
# <a href="#set:in_space?along=0.85&across=0.02">from the pole</a> the sphere looks alike all round; <a href="#set:in_space?along=0.85&across=0">on the outer side of the torus</a> and <a href="#set:in_space?along=0.85&across=0.5">on its inner side</a> distances are the same, since this torus is *flat*: a rolled-up square that space has no
# room for without stretching it. The Klein bottle goes through itself only because space has too few dimensions; its neurons do not notice. The colours can also show <a href="#set:in_space?colour=price">prices</a>, of which the next chapter tells.
#
# Laid flat, the same surfaces and the circle look like this:

# %%
#| echo: false
#| fig-alt: "Distance from one point in colour, with contours, on a circle, a sphere as an oval map, a torus and a Klein bottle as squares."
import modreg.geometry.manifolds as finished

fig, axes = plt.subplots(2, 2, figsize=(8, 6.6), layout="constrained")
corner = {"circle": [2.0], "sphere": [3.2, -3.2, 2.1], "torus": [8.5, 2.0], "klein": [8.5, 2.0]}
for ax, (name, point) in zip(axes.flat, corner.items(), strict=True):
    colours = finished.plot_from_point(finished.manifold(name), torch.tensor(point), ax)
    fig.colorbar(colours, ax=ax, shrink=0.8, label="distance")
    ax.set(title=display_name(name))
plt.show()

# %% [markdown]
# Again colour is the distance to the star, and bright is far. Lines join points at equal distance.
#
# *Predict, before you read on:* the star on the torus sits near the right edge, and its neighbourhood comes in again on the left,
# at the same height. On the Klein bottle it also comes in on the left. At which height, and why?
#
# ## Neurons on a space
#
# Two calls are all that a network needs of a space: one draws a point for each neuron, and one says how far all are from all.

# %%
#| fig-alt: "Left: 200 neurons on a square, coloured by distance from one of them, round the edges. Right: the matrix of all their distances, sorted, with a dark diagonal."
space = finished.manifold("torus(period=10)")
neurons = space.sample(200, torch.Generator().manual_seed(0))
neurons = neurons[neurons[:, 0].argsort()]  # numbered from left to right, for the picture's sake
distances = space.distance(neurons)

fig, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.4), layout="constrained")
left.scatter(*space.chart(neurons).T, c=distances[100])
left.plot(*neurons[100], "*", color="white", markeredgecolor="black", markersize=15)
left.set(aspect="equal", xlabel="x", ylabel="y", title="200 neurons, seen from one of them")
fig.colorbar(right.imshow(distances), ax=(left, right), label="distance")
right.set(xlabel="neuron", ylabel="neuron", title="all distances")
plt.show()

# %% [markdown]
# The matrix on the right is what the regularizer will turn into prices. Its upper right corner is dark: the first neurons and the last ones are neighbours, over the edge.
#
# ## Glue
#
# A torus and a Klein bottle are a square whose edges are glued in pairs. How they are glued makes the difference. Let the disc reach over the right edge, <a href="#set:glued_square?surface=torus&across=9.6&up=3">on the torus</a> and <a href="#set:glued_square?surface=klein&across=9.6&up=3">on the Klein bottle</a>; and over the upper one, <a href="#set:glued_square?surface=torus&across=5&up=9.6">on the torus</a> and <a href="#set:glued_square?surface=klein&across=5&up=9.6">on the Klein bottle</a>.

# %%
glued_square()


# %% [markdown]
# *Question:* the disc is one neighbourhood and stays one, however it is cut up on the square. On which of the two surfaces can a neuron that walks straight on come home with left and right exchanged?
#
# ## The obvious distance
#
# The flat torus is the square with opposite edges glued. To go from $x$ to $y$ one takes the short way round in each coordinate.
# In formulas: subtract, take off the nearest multiple of the period, and measure what is left.

# %%
#| fig-alt: "Shortest difference and its length round a circle, from two points: the first jumps halfway round, the second has corners there."
def naive_torus(x, y, period=10.0):
    "Distances on the flat torus as one writes them down first"
    delta = x[:, None] - y[None]
    delta = delta - period * torch.round(delta / period)
    return delta.pow(2).sum(-1).sqrt()


test_close(naive_torus(torch.tensor([[9.5, 5.0]]), torch.tensor([[0.5, 5.0]])), 1.0)

x = torch.linspace(0, 10, 400)
fig, (left, right) = plt.subplots(1, 2, figsize=(8.4, 2.6), layout="constrained")
for at, colour in ((2.0, "#440154"), (7.0, "#35b779")):
    delta = x - at
    left.plot(x, delta - 10 * torch.round(delta / 10), ".", markersize=2, color=colour, label=f"from {at:.0f}")
    right.plot(x, naive_torus(torch.tensor([[at]]), x[:, None])[0], color=colour)
left.set(xlabel="x", ylabel="shortest difference", title="the short way round")
right.set(xlabel="x", ylabel="distance", title="its length")
fig.legend(markerscale=4, loc="outside upper center", ncols=2, frameon=False)
plt.show()

# %% [markdown]
# The values are right. But the places of the neurons, their *embedding*, can be trained too, and then the gradient matters. Every neuron is at distance 0 from itself,
# where the square root has no derivative:

# %%
x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
naive_torus(x, x).sum().backward()
print(x.grad)
assert x.grad.isnan().all()


# %% [markdown]
# One self-pair turns the whole gradient to `nan`, and there is one for each neuron. The second cost is memory: `delta` holds
# $N \times N \times c$ numbers for $c$ coordinates, and automatic differentiation keeps several copies.
#
# The sphere has its own trap. The angle between two points is the arccosine of their inner product; so most code says, the authors'
# included. Ask it for the distance of points to themselves, and to their exact antipodes:

# %%
#| fig-alt: "Relative error of an angle in float32: by the arc cosine it is 100 % for small angles and falls, by two chords it is 1e-7 everywhere."
def naive_sphere(x, y, radius=5.0):
    "Great-circle distances by the arccosine, for unit vectors; the inner product is cut to [-1, 1] so that most pairs survive"
    return radius * torch.acos((x @ y.T).clamp(-1, 1))


points = torch.nn.functional.normalize(torch.randn(2000, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
to_self = naive_sphere(points, points).diagonal()
print(f"a point is up to {to_self.max():.4f} away from itself")
print(f"{(to_self > 0).float().mean():.0%} of points are not at distance 0 from themselves")
raw = torch.acos(-(points * points).sum(-1))
print(f"without the cut, {raw.isnan().float().mean():.0%} of points have no distance to their antipode")
close = points.clone().requires_grad_()
naive_sphere(close, close).sum().backward()
print(f"{(~close.grad.isfinite()).any(-1).float().mean():.0%} of gradients are not finite")
assert not close.grad.isfinite().all()


angles = torch.logspace(-7, 0, 200, dtype=torch.float64)
north = torch.tensor([[0.0, 1.0]])
tilted = torch.stack([angles.sin(), angles.cos()], -1).float()
by_chords = 2 * torch.atan2((north - tilted).norm(dim=-1), (north + tilted).norm(dim=-1))
by_arccosine = naive_sphere(north, tilted, 1.0)[0]

fig, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
for answer, label, style in ((by_arccosine, "arccosine", "--"), (by_chords, "two chords", "-")):
    ax.loglog(angles, ((answer - angles).abs() / angles).clamp(min=1e-9), style, color="#440154" if style == "-" else "#35b779", label=label)
ax.set(xlabel="true angle (radians)", ylabel="relative error", title="float32: angle between two unit vectors")
ax.legend()
plt.show()

# %% [markdown]
# Below some angle the arccosine answers 0 whatever you ask: the error is the whole angle. The other curve belongs to a better formula, which stands further down.
#
# The arccosine is infinitely steep at $\pm 1$, just where neighbours and antipodes are: the slightest rounding of the inner product
# becomes a distance, and rounding beyond 1 becomes `nan` at once.
#
# So here is what a distance has to be:
#
# 1. exactly zero from a point to itself, and symmetric,
# 2. with finite gradients everywhere: at 0, near 0, and where two shortest paths meet,
# 3. in float32 as in float64,
# 4. in memory for the $N \times N$ answer, not for all coordinates of all pairs.
#
# ## One interface
#
# A manifold says how many numbers make a point, how far apart points can be, and four things more: how to draw points, how far
# apart they are, how to put a stray point back, and which points lie on it.
#
# Two guards come first. `check_points` meets wrong input at the door: a message says what was given and what to give instead.

# %%
#| export
LARGE = 1e15  # coordinates beyond overflow when they are squared


@checked(finite=False)
def check_points(
    manifold: Any,  # the Manifold where they should lie
    x: Any,  # points (..., coordinates)
    name: str = "x",  # what to call them in the message
    ndim: Annotated[int, Within(0, 9)] = 1,  # least number of dimensions
    finite: bool = False,  # whether numbers that are none, or beyond `LARGE`, are refused, where looking costs no waiting
) -> Tensor:  # the same points
    "Raise TypeError or ValueError if `x` can't be an array of points of this manifold"
    if not isinstance(manifold, Manifold):
        raise TypeError(f"manifold is {shown(manifold)}; give a Manifold")
    kind = "floating" if manifold.trainable else "int64"
    want = f"give a tensor ({kind}) of shape (..., {'n, ' * (ndim - 1)}{manifold.coordinates}) for {manifold}"
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} is {shown(x)}; {want}")
    if not (x.is_floating_point() if manifold.trainable else x.dtype == torch.int64):
        raise TypeError(f"{name} has dtype {x.dtype}; {want}")
    if x.is_meta or x.ndim < ndim or x.shape[-1] != manifold.coordinates:
        raise ValueError(f"{name} has shape {tuple(x.shape)}{' on meta' if x.is_meta else ''}; {want}")
    if finite and manifold.trainable and readable(x) and not (x.abs() <= LARGE).all():
        raise ValueError(f"{name} has {int((~(x.abs() <= LARGE)).sum())} coordinates that are not finite, or beyond {LARGE:g}; {want}")
    return x


# %%
#| export
#| fold Guards
def _check_pair(manifold: "Manifold", x: Tensor, y: Tensor | None, finite: bool) -> tuple[Tensor, Tensor]:
    "Two arrays of points of one dtype, the second the first itself if it is not given"
    check_points(manifold, x, "x", 2, finite)
    y = check_points(manifold, x if y is None else y, "y", 2, finite)
    if x.dtype != y.dtype:
        raise TypeError(f"x is {x.dtype} and y is {y.dtype}; give both in one dtype")
    if min(x.ndim, y.ndim) > 2 and any(1 != a != b != 1 for a, b in zip(x.shape[-3::-1], y.shape[-3::-1], strict=False)):
        raise ValueError(f"x has shape {tuple(x.shape)} and y {tuple(y.shape)}; what stands before the points is alike in both, or 1")
    return x, y


def _why_not(manifold: "Manifold", x: Tensor) -> str:
    "Why these are not points of the manifold; nothing if they are"
    try:
        check_points(manifold, x)
    except (TypeError, ValueError) as error:
        return str(error)
    if not torch.isfinite(x).all():
        return "some coordinates are not finite"
    outside = int((~manifold.contains(x)).sum())
    return f"{outside} points of {x[..., 0].numel()} are not on {manifold}; call project" if outside else ""


# %%
#| export
#| fold What all spaces share
def _vjp(manifold: "Manifold", x: Tensor, y: Tensor) -> tuple[Tensor, Callable]:
    "Distances and their backward pass by automatic differentiation"
    if not manifold.trainable:
        raise TypeError(f"{manifold} has points that do not move: x and y have no gradient; call distance")
    with torch.enable_grad():
        x, y = x.detach().requires_grad_(), y.detach().requires_grad_()
        d = manifold.pairwise(x, y)
    return d.detach(), lambda grad: torch.autograd.grad(d, (x, y), grad)


def _scaled(manifold: "Manifold", factor: float) -> "Manifold":
    "A copy whose field of length is multiplied by a factor"
    if manifold.scale_field is None:
        raise NotImplementedError(f"{manifold} has no scale_field: name the field that is its length")
    return replace(manifold, **{manifold.scale_field: getattr(manifold, manifold.scale_field) * factor})  # type: ignore[type-var]  # a dataclass, if it has such a field


def _flattened(x: Tensor) -> Tensor:
    "The first two coordinates, the second 0 if there is only one"
    return x[..., :2] if x.shape[-1] > 1 else torch.cat([x, torch.zeros_like(x)], -1)


# %% [markdown]
# The base class. Who adds a space writes the four methods marked *abstract*; a class that lacks one can't be made. Who uses a space
# calls `distance`, which checks what it is given and then asks `pairwise`.
#
# `check` doesn't raise: it answers whether points lie on the manifold, and if not, why. `scaled` makes a larger or smaller copy, for
# comparing spaces at equal size; `chart` flattens points for a picture; and `distance_vjp` hands out distances together with their
# backward pass, for loops that write the gradient by hand.
#
# The methods that a subclass writes are checked as ours are: the base class wraps them, and looks at points before their formula does. `distance` and `chart`, which people call, also refuse infinities and `nan`;
# `pairwise`, `project` and `distance_vjp` hand them on where a checked call is under way, such as a step of training: one network of several that has diverged must not stop the others.

# %%
#| export
_OF_POINTS = {"project": 1, "contains": 1, "chart": 1, "pairwise": 2, "distance_vjp": 2}  # hooks, and how many dimensions their points have at least


def _on_points(hook: Callable, name: str) -> Callable:
    "A method of a manifold whose points are checked first"

    @functools.wraps(hook)
    def one(self, x):
        return hook(self, x if torch.compiler.is_compiling() else check_points(self, x, finite=name == "chart" or (name == "project" and outermost())))

    @functools.wraps(hook)
    def two(self, x, y):
        return hook(self, x, y) if torch.compiler.is_compiling() else hook(self, *_check_pair(self, x, y, finite=outermost()))

    return one if _OF_POINTS[name] == 1 else two


# %%
#| export
class _Sizes(ABC):
    "What every manifold has, as a field, a constant or a property"

    dim: int
    coordinates: int  # of a point
    diameter: float


# %%
#| export
@checked
class Manifold(_Sizes):
    "A metric space for neurons; a subclass gives `dim`, `coordinates`, `diameter` and the four abstract methods"
    chart_labels = ("x", "y")  # axis labels for `chart`
    scale_field: ClassVar[str | None] = None  # name of the field that `scaled` multiplies
    trainable = True  # points can move by small steps; False where they are indices, of dtype int64

    def __init_subclass__(cls):
        for name in {"sample", "scaled", *_OF_POINTS} & vars(cls).keys():
            setattr(cls, name, checked(_on_points(vars(cls)[name], name) if name in _OF_POINTS else vars(cls)[name], like=getattr(Manifold, name), finite=False))
        if "pairwise" in vars(cls) and "distance_vjp" not in vars(cls):  # a parent's would be that of another distance
            cls.distance_vjp = Manifold.distance_vjp  # type: ignore[method-assign]

    @property
    def name(self) -> str:
        "The text that makes it again, as in `manifold(text)`, if its class is registered"
        return MANIFOLDS.spell(self)

    @abstractmethod
    def sample(self, n: Whole | tuple[Whole, ...], generator: torch.Generator | None = None, dtype: FloatType | None = None, device: Device | None = None) -> Tensor:
        "Draw `n` points uniformly by volume, (n, coordinates); a tuple (s, n) gives (s, n, coordinates)"

    @abstractmethod
    def project(self, x: Tensor) -> Tensor:
        "Put each point (..., coordinates) back on the manifold; points that lie on it stay as they are"

    @abstractmethod
    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        "Distances (..., n, m) of all pairs of points (..., n, coordinates) and (..., m, coordinates)"

    @abstractmethod
    def contains(self, x: Tensor) -> Tensor:
        "Whether each point (..., coordinates) lies on the manifold, bool (...)"

    def distance(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        "Geodesic distances (..., n, m) of points `x` (..., n, coordinates) and `y` (..., m, coordinates), or of `x` alone: 0 to itself, symmetric, with finite gradients"
        return self.pairwise(*_check_pair(self, x, y, finite=True))

    def distance_vjp(self, x: Tensor, y: Tensor) -> tuple[Tensor, Callable]:
        "Distances (n, m), and a function that carries their gradient (n, m) back to `x` and `y`, to be called once"
        return _vjp(self, *_check_pair(self, x, y, finite=True))

    def check(self, x: Any) -> tuple[bool, str]:
        "Whether these (..., coordinates) are points of the manifold, and if not, why"
        return not (reason := _why_not(self, x)), reason

    def scaled(self, factor: Positive) -> "Manifold":
        "The same space with all its distances multiplied by a factor"
        return _scaled(self, factor)

    def chart(self, x: Tensor) -> Tensor:
        "Flat coordinates (..., n, 2) of points (..., n, coordinates) for pictures: the first two, unless a subclass has a better map"
        return _flattened(check_points(self, x, finite=True))


# %%
#| fig-alt: "Arrows between pairs of points on torus and Klein bottle, drawn on the flat square and beyond its edges: the short way often leaves the square."
fig, axes = plt.subplots(1, 2, figsize=(8, 3.8), layout="constrained")
for ax, name in zip(axes, ("torus", "klein"), strict=True):
    space = finished.manifold(name)
    home = space.sample(60, torch.Generator().manual_seed(1))
    strays = 5 + 7 * torch.randn(12, 2, generator=torch.Generator().manual_seed(2))
    ax.add_patch(plt.Rectangle((0, 0), 10, 10, fc="0.95", zorder=0))
    ax.plot(*home.T, ".", color="0.7")
    for stray, back, inside in zip(strays, space.project(strays), space.contains(strays), strict=True):
        if not inside:
            ax.annotate("", back, stray, arrowprops=dict(arrowstyle="-|>", color="#31688e"))
    ax.set(title=display_name(name), aspect="equal", xlim=(-5, 15), ylim=(-5, 15), xlabel="x", ylabel="y")
plt.show()

# %% [markdown]
# Grey points are drawn by `sample`. Arrows lead from strays, which `contains` denies, to where `project` puts them: by whole periods on the torus, and on the Klein bottle sometimes upside down.
#
# Last comes a way to draw random numbers on the device where the generator lives, since a
# generator can't serve another.

# %%
#| export
#| fold Random numbers
Dimension = Annotated[int, Within(1, 10**4)]  # of a space


@checked
def draw(
    sampler: Callable,  # such as torch.rand
    n: Whole | tuple[Whole, ...],  # how many points; (s, n) draws s sets
    coordinates: Count,  # numbers of a point
    generator: torch.Generator | None = None,  # source of randomness
    dtype: FloatType | None = None,  # torch's default if not given
    device: Device | None = None,
) -> Tensor:  # random numbers (n, coordinates) or (s, n, coordinates)
    "Random numbers for `sample`, drawn where the generator lives and then moved to the device"
    shape = (*n, coordinates) if isinstance(n, (tuple, list)) else (n, coordinates)
    check_memory(8 * math.prod(shape), n=n)
    x = sampler(shape, generator=generator, dtype=dtype, device=device if generator is None else generator.device)
    return x if device is None else x.to(device)


# %% [markdown]
# ## Flat spaces, one gradient for all
#
# On circle, torus, Klein bottle and Euclidean space a distance is the length of a difference vector, $d = |\delta|$, and so
#
# $$\frac{\partial d}{\partial x_k} = \frac{\delta_k}{d}.$$
#
# This is a component of a unit vector: never more than 1, however small $d$ is. Only at $d = 0$ is it undefined, and there we choose
# 0, which is one of the subgradients that a cone has at its tip. Nothing else is needed, so we write the backward pass by hand. It visits
# one coordinate at a time and keeps no copy of the differences.

# %%
#| export
@checked
def wrap(
    delta: Annotated[Tensor, Shape(kind="float", empty=True)],  # differences of coordinates
    period: Positive,  # length after which the coordinate comes back
) -> Tensor:  # shortest signed differences, same shape
    "The short way round: a difference less the nearest multiple of the period"
    return torch.sub(delta, (delta * (1 / period)).round_(), alpha=period)


def _over(a: Tensor, b: Tensor) -> Tensor:
    "a / b, and a where b is 0"
    return a / torch.where(b == 0, torch.ones_like(b), b)


def _norm(deltas) -> Tensor:
    "Length of a vector whose components come one at a time"
    first, *others = deltas
    square = first * first
    for delta in others:
        square = torch.addcmul(square, delta, delta)
    return square.sqrt()


# %%
#| export
#| fold Gradient by hand
class _FlatDistance(torch.autograd.Function):
    "Length of the shortest difference; O(n·m) memory; gradient 0 where the distance is 0"
    generate_vmap_rule = True

    @staticmethod
    def forward(x, y, manifold):
        return _norm(delta for delta, _ in manifold._differences(x, y)).clamp(max=manifold.diameter)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, y, ctx.manifold = inputs
        ctx.save_for_backward(x, y, output)

    @staticmethod
    def backward(ctx, grad):
        x, y, d = ctx.saved_tensors
        to_x, to_y = _flat_vjp(ctx.manifold._differences(x, y), d, grad)
        return to_x.sum_to_size(x.shape), to_y.sum_to_size(y.shape), None


def _flat_vjp(differences, d: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    "Carry the gradient (..., n, m) of flat distances back to both ends"
    to_x, to_y, per_unit = [], [], grad / d.clamp(min=math.sqrt(torch.finfo(d.dtype).tiny))  # where d = 0, so is every difference
    for delta, sign in differences:
        share = delta * per_unit
        to_x.append(share.sum(-1))
        to_y.append((sign * share).sum(-2) if isinstance(sign, Tensor) else sign * share.sum(-2))
    return torch.stack(to_x, -1), torch.stack(to_y, -1)


# %% [markdown]
# A flat space has to say only what its differences are, and how each changes with $y$: with sign $-1$, since $\delta = x - y$;
# the Klein bottle will need $+1$ as well. One detail in `project`: the remainder of a tiny negative number rounds to the period itself,
# which is outside $[0, \text{period})$, so it is sent to 0.
#
# Torus and circle need nothing else. The circle is a torus of one dimension, whose coordinate is arc length and whose chart bends it
# back to a circle in the plane.

# %%
#| export
#| fold What flat spaces share
class _Flat(Manifold):
    "What spaces with flat coordinates share; `period` is None for a line that never comes back"
    period: Any = None

    def _differences(self, x, y):
        "For each coordinate, signed differences (..., n, m) and their derivative with respect to `y`"
        for k in range(self.coordinates):
            delta = x[..., :, None, k] - y[..., None, :, k]
            yield (delta if self.period is None else wrap(delta, self.period)), -1

    def pairwise(self, x, y):
        return _FlatDistance.apply(x, y, self)

    def distance_vjp(self, x, y):
        "As for every manifold; differences are computed once for both"
        differences = list(self._differences(x, y))
        d = _norm(delta for delta, _ in differences).clamp_(max=self.diameter)
        return d, lambda grad: _flat_vjp(differences, d, grad)

    def sample(self, n, generator=None, dtype=None, device=None):
        "Draw `n` points uniformly, (n, coordinates); a tuple (s, n) gives (s, n, coordinates)"
        return self.project(self.period * draw(torch.rand, n, self.coordinates, generator, dtype, device))

    def project(self, x):
        "Bring each coordinate to [0, period)"
        x = torch.remainder(check_points(self, x), self.period)
        return torch.where(x >= self.period, torch.zeros_like(x), x)

    def contains(self, x):
        return ((x >= 0) & (x < self.period)).all(-1)


# %%
#| export
@checked
@dataclass(frozen=True)
class Torus(_Flat):
    "The flat torus R^dim / (period·Z)^dim (appendix D)"
    dim: Dimension = 2  # number of coordinates
    period: Positive = 10.0  # length after which each comes back
    scale_field = "period"

    @property
    def coordinates(self):
        return self.dim

    @property
    def diameter(self):
        return self.period / 2 * math.sqrt(self.dim)


# %%
#| export
@checked
@dataclass(frozen=True)
class Circle(_Flat):
    "The circle with arc length, which is a flat torus of one dimension (appendix D)"
    radius: Positive = 5.0  # the coordinate runs from 0 to 2·pi·radius
    dim, coordinates, scale_field = 1, 1, "radius"

    @property
    def period(self):
        return 2 * math.pi * self.radius

    @property
    def diameter(self):
        return math.pi * self.radius

    def chart(self, x):
        "Points of a circle in the plane, (..., n, 2)"
        angle = check_points(self, x) / self.radius
        return self.radius * torch.cat([angle.cos(), angle.sin()], -1)


# %% [markdown]
# The demands, checked beside the code, with the self-pairs that broke the naive version. Last, finite differences in float64 confirm
# the gradient.

# %%
torus = Torus()
x = torus.sample(200, torch.Generator().manual_seed(1)).requires_grad_()
d = torus.distance(x)
assert (d.diagonal() == 0).all() and torch.equal(d, d.T)
assert (d <= torus.diameter).all()
test_close(d.detach(), naive_torus(x, x).detach(), eps=1e-5)
d.sum().backward()
assert x.grad.isfinite().all()
a, b = (torus.sample(n, torch.Generator().manual_seed(n), dtype=torch.float64).requires_grad_() for n in (5, 4))
assert torch.autograd.gradcheck(torus.distance, (a, b))

circle = Circle()
quarter = circle.period / 4
test_close(circle.distance(torch.tensor([[0.0]]), torch.tensor([[quarter], [2 * quarter], [3 * quarter]])),
           torch.tensor([[quarter, circle.diameter, quarter]]), eps=1e-5)

# %%
#| fig-alt: "A field of arrows on a square that point away from a star; they turn round where the short way goes over the edge."
grid = torch.cartesian_prod(*[torch.linspace(0.25, 9.75, 20)] * 2).requires_grad_()
star = torch.tensor([[6.0, 4.0]])
d = torus.distance(grid, star)
(away,) = torch.autograd.grad(d.sum(), grid)
fig, ax = plt.subplots(figsize=(4.4, 4), layout="constrained")
arrows = ax.quiver(*grid.detach().T, *away.T, d.detach()[:, 0], scale=28, width=0.006)
fig.colorbar(arrows, ax=ax, label="distance")
ax.plot(*star[0], "*", color="white", markeredgecolor="black", markersize=15)
ax.set(aspect="equal", xlabel="x", ylabel="y", title="gradient of the distance to a star")
plt.show()


# %% [markdown]
# Every arrow has length 1 and points straight away from the star; an embedding that is trained walks along such arrows. They meet head-on where two shortest paths are equally long, half a period away from the star. There the
# distance has a ridge, and the gradient jumps, but it stays finite.
#
# ## The Klein bottle: nine images, then two
#
# Glue the top of the square to the bottom as on the torus, but the right edge to the left *upside down*:
# $(x, y) \sim (x + 10, 10 - y)$, where $\sim$ stands between points that are one. Whoever leaves on the right at height 2 comes in on the left at height 8. That answers the question
# at the top; and who walks on to the right comes home with left and right exchanged.
#
# Lay out copies of the square, each with its image of the point. The distance is that to the nearest image:

# %%
#| fig-alt: "An arrow in the grey square of a Klein bottle and its eight images in the squares around it, some of them mirrored; a dashed line marks the nearest to the star."
def images(point, period=10.0):
    "The point itself and its eight images in the squares around; every other column is upside down"
    x, y = point
    return torch.stack([torch.stack([x + i * period, (-y if i else y) + j * period + (period if i else 0)])
                        for i in (-1, 0, 1) for j in (-1, 0, 1)])


def naive_klein(x, y):
    "Distances on the Klein bottle as the least over nine images"
    return torch.stack([(x[:, None] - images(point)).norm(dim=-1).amin(-1) for point in y], -1)


fig, ax = plt.subplots(figsize=(4.6, 4.6), layout="constrained")
arrow = torch.tensor([[8.0, 1.0], [8.0, 5.0]])
tails, heads = images(arrow[0]), images(arrow[1])
for i in (-1, 0, 1):
    for j in (-1, 0, 1):
        ax.add_patch(plt.Rectangle((10 * i, 10 * j), 10, 10, fill=i == j == 0, fc="0.93", ec="0.6", zorder=0))
for tail, head in zip(tails, heads, strict=True):
    ax.annotate("", xy=head, xytext=tail, arrowprops={"arrowstyle": "-|>", "lw": 2, "color": "#31688e"})
ax.plot(0.8, 6.0, "k*", markersize=13)
nearest = tails[(tails - torch.tensor([0.8, 6.0])).norm(dim=-1).argmin()]
ax.plot([0.8, nearest[0]], [6.0, nearest[1]], "k--", lw=1.2)
ax.set(aspect="equal", xlim=(-10.5, 20.5), ylim=(-10.5, 20.5), xlabel="x", ylabel="y",
       title="One arrow and its eight images")
plt.show()


# %% [markdown]
# The grey square is the Klein bottle. In the columns beside it the arrow points down. The shortest way from the star to the arrow's
# tail leads over the left edge, to an upside-down copy.
#
# Nine images are more than it takes. Two steps to the right make one plain translation by 20, so the Klein bottle is the torus of
# $20 \times 10$, folded once. Each point has *two* places on that torus: as it is, and turned over. For each, wrapping finds the
# short way; the distance is the lesser of the two. Two candidates, not nine, and in the turned one the difference of heights is
# $y_1 + y_2$, whose derivative with respect to $y$ is $+1$.
#
# A stray point goes home by whole squares, and each odd number of steps to the side turns it over. The number of steps is read off
# from the remainder, since dividing first could round to the other side of an edge.
#
# The test below the class: both versions agree, and moving a point by the gluing rule changes no distance. The rule is an *isometry*.

# %%
#| export
#| fold The way home
def _turn_home(x: Tensor, period: float) -> Tensor:
    "Bring points to the square [0, period)² by the gluing of the Klein bottle"
    across, up = x.unbind(-1)
    home = torch.remainder(across, period)
    home = torch.where(home >= period, torch.zeros_like(home), home)
    odd = torch.remainder(torch.round((across - home) / period), 2) == 1
    up = torch.remainder(torch.where(odd, -up, up), period)
    return torch.stack([home, torch.where(up >= period, torch.zeros_like(up), up)], -1)


# %%
#| export
@checked
@dataclass(frozen=True)
class KleinBottle(_Flat):
    "The flat Klein bottle, the square with (x, y) ~ (x + period, period - y) and (x, y) ~ (x, y + period) (appendix D)"
    period: Positive = 10.0  # side of the square
    dim, coordinates, scale_field = 2, 2, "period"

    @property
    def diameter(self):
        return self.period / math.sqrt(2)

    def project(self, x):
        "Bring points to the square; each step to the side turns them over"
        return _turn_home(check_points(self, x), self.period)

    def _differences(self, x, y):
        across = wrap(x[..., :, None, 0] - y[..., None, :, 0], 2 * self.period)
        up = wrap(x[..., :, None, 1] - y[..., None, :, 1], self.period)
        turned_across = torch.where(across < 0, across + self.period, across - self.period)
        turned_up = wrap(x[..., :, None, 1] + y[..., None, :, 1], self.period)
        turned = turned_across**2 + turned_up**2 < across**2 + up**2
        yield torch.where(turned, turned_across, across), -1
        yield torch.where(turned, turned_up, up), torch.where(turned, 1, -1)


# %%
klein = KleinBottle()
x, y = (klein.sample(100, torch.Generator().manual_seed(seed)) for seed in (2, 3))
test_close(klein.distance(x, y), naive_klein(x, y), eps=1e-5)
moved = torch.stack([y[:, 0] + 10, 10 - y[:, 1]], -1)
test_close(klein.distance(x, moved), klein.distance(x, y), eps=1e-5)
test_close(klein.project(moved), y, eps=1e-5)
test_eq(klein.check(moved)[0], False)


# %% [markdown]
# ## Euclidean space
#
# For trained embeddings: with room in all directions, neurons may settle on a surface of their own choice. It has no uniform
# distribution, so points start in a cube.

# %%
#| export
#| fold Euclidean space
@checked
@dataclass(frozen=True)
class Euclidean(_Flat):
    "Euclidean space R^dim, with points drawn from the cube [0, side]^dim; for trained embeddings"
    dim: Dimension = 3  # number of coordinates
    side: Positive = 10.0  # side of the cube that points are drawn from
    diameter, scale_field = math.inf, "side"

    @property
    def coordinates(self):
        return self.dim

    def sample(self, n, generator=None, dtype=None, device=None):
        "Draw `n` points uniformly from the cube, (n, dim); a tuple (s, n) gives (s, n, dim)"
        return self.side * draw(torch.rand, n, self.dim, generator, dtype, device)

    def project(self, x):
        "Every point is already there"
        return check_points(self, x)

    def contains(self, x):
        return torch.ones_like(x[..., 0], dtype=torch.bool)


# %% [markdown]
# ## The sphere: two chords in place of an arccosine
#
# For unit vectors at angle $\theta$, the chord between them has length $|u - v| = 2 \sin\frac\theta2$, and the chord to the antipode
# $|u + v| = 2 \cos\frac\theta2$. Their quotient is a tangent, so
#
# $$\theta = 2\,\mathrm{atan2}(|u - v|,\ |u + v|).$$
#
# A small angle comes from a small chord, an angle near $\pi$ from a small chord to the antipode. Neither comes from a number near 1,
# which is where the arccosine lost its digits.

# %%
#| code-fold: true
#| fig-alt: "A unit circle with points u, -u and v: the chord from u to v is 2 sin of half the angle, that from -u to v is 2 cos."
turn, angle = torch.linspace(0, 2 * math.pi, 200), torch.tensor(1.1)
u, v = torch.tensor([1.0, 0.0]), torch.stack([angle.cos(), angle.sin()])
fig, ax = plt.subplots(figsize=(4, 3.6), layout="constrained")
ax.plot(turn.cos(), turn.sin(), color="0.7")
for end, label, colour in ((u, "$|u - v| = 2\\,\\sin(θ/2)$", "#440154"), (-u, "$|u + v| = 2\\,\\cos(θ/2)$", "#35b779")):
    ax.plot([v[0], end[0]], [v[1], end[1]], color=colour, lw=2, label=label)
for point, name in ((u, "$u$"), (v, "$v$"), (-u, "$-u$")):
    ax.plot(*point, "k.", markersize=9)
    ax.annotate(name, 1.2 * point, ha="center", va="center")
ax.set(aspect="equal", xlim=(-1.4, 1.4), ylim=(-1.7, 1.25), title="two chords of an angle", xlabel="first axis", ylabel="second axis")
ax.legend(loc="lower center")
plt.show()


# %% [markdown]
# The two chords stand at a right angle, and their quotient is the tangent of half the angle. In the figure of errors it is the curve that stays at the rounding of a single number.
#
# The gradient by hand again. With $D = |u - v|$ and $S = |u + v|$,
#
# $$\frac{\partial\theta}{\partial u} = \frac{2}{D^2 + S^2}\left(S\,\frac{u - v}{D} - D\,\frac{u + v}{S}\right),$$
#
# where both fractions are unit vectors, and 0 is chosen where they are $0/0$: at the point itself and at its antipode.

# %%
#| export
#| fold Two chords and their gradient
def _chords(u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    "Lengths |u - v| and |u + v| of all pairs, one coordinate at a time"
    pairs = [(u[..., :, None, k], v[..., None, :, k]) for k in range(u.shape[-1])]
    return _norm(a - b for a, b in pairs), _norm(a + b for a, b in pairs)


def _angle_vjp(u: Tensor, v: Tensor, near: Tensor, far: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    "Carry the gradient (..., n, m) of angles back to both unit vectors"
    grad, to_u, to_v = 2 * grad / (near**2 + far**2), [], []
    for k in range(u.shape[-1]):
        a, b = u[..., :, None, k], v[..., None, :, k]
        apart, along = grad * far * _over(a - b, near), grad * near * _over(a + b, far)
        to_u.append((apart - along).sum(-1))
        to_v.append((-apart - along).sum(-2))
    return torch.stack(to_u, -1).sum_to_size(u.shape), torch.stack(to_v, -1).sum_to_size(v.shape)


# %%
#| export
#| fold Angles
class _SphereDistance(torch.autograd.Function):
    "Angles between unit vectors; O(n·m) memory; gradient 0 at equal points and at antipodes"
    generate_vmap_rule = True

    @staticmethod
    def forward(u, v):
        return 2 * torch.atan2(*_chords(u, v))

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad):
        u, v = ctx.saved_tensors
        return _angle_vjp(u, v, *_chords(u, v), grad)


# %% [markdown]
# An optimizer's step leaves the sphere by a little. So `distance` looks only at the *direction* of each point, which makes the gradient
# tangent to the sphere. One more trap: a library computes `atan2` of several numbers at a time, and those left over at the end by other code, so
# the last digit depends on where in the matrix a pair stands. The greater of $d_{ij}$ and $d_{ji}$ restores exact symmetry.
#
# For pictures, Hammer's map lays the sphere flat and keeps areas, so that points drawn evenly look even.

# %%
#| export
#| fold Directions and Hammer's map
def _unit(x: Tensor) -> Tensor:
    "Points divided by their length; the origin, which has no direction, goes to the first axis"
    size = x.detach().abs().amax(-1, keepdim=True)
    x = _over(x, size)
    pole = torch.eye(1, x.shape[-1], dtype=x.dtype, device=x.device)[0]
    return torch.where(size == 0, pole, _over(x, _norm(x.unbind(-1))[..., None]))


def _hammer(unit: Tensor) -> Tensor:
    "Hammer's equal-area map of unit vectors (..., 3) to the plane (..., 2)"
    x, y, z = unit.unbind(-1)
    level, half = (1 - z**2).clamp(min=0).sqrt(), torch.atan2(y, x) / 2
    scale = math.sqrt(2) / (1 + level * half.cos()).sqrt()
    return torch.stack([2 * scale * level * half.sin(), scale * z], -1)


# %% [markdown]
# Uniform points come from Gaussian vectors, which prefer no direction. `project` leaves a point alone if it is on the sphere up to
# rounding, so that projecting twice is projecting once, bit for bit.

# %%
#| export
@checked
@dataclass(frozen=True)
class Sphere(Manifold):
    "The round sphere in R^(dim + 1) with great-circle distance (appendix D)"
    dim: Dimension = 2  # 2 is the surface of a ball
    radius: Positive = 5.0  # distance of each point from the origin
    scale_field = "radius"

    @property
    def coordinates(self):
        return self.dim + 1

    @property
    def diameter(self):
        return math.pi * self.radius

    def pairwise(self, x, y):
        d = (self.radius * _SphereDistance.apply(_unit(x), _unit(y))).clamp(max=math.pi * self.radius)
        return torch.maximum(d, d.mT) if y is x else d

    def sample(self, n, generator=None, dtype=None, device=None):
        "Draw `n` points uniformly, (n, dim + 1); a tuple (s, n) gives (s, n, dim + 1)"
        return self.project(draw(torch.randn, n, self.coordinates, generator, dtype, device))

    def project(self, x):
        "Move each point along its ray to the sphere; the origin goes to the first axis"
        return torch.where(self.contains(check_points(self, x))[..., None], x, self.radius * _unit(x))

    def contains(self, x):
        return (_norm(x.unbind(-1)) - self.radius).abs() <= 16 * torch.finfo(x.dtype).eps * self.radius

    def chart(self, x):
        "Hammer's equal-area map for the surface of a ball, (..., n, 2); else the first two coordinates"
        return self.radius * _hammer(_unit(check_points(self, x))) if self.dim == 2 else super().chart(x)


# %% [markdown]
# The test repeats the demands at the places where the arccosine failed: a point itself, and its antipode.
#
# *Predict:* someone draws latitude and longitude uniformly, each from its range. Where on the map will neurons crowd?

# %%
#| fig-alt: "Points on an oval map of the sphere: uniform by area on the left; on the right, uniform in latitude and longitude, crowded at the poles."
sphere = Sphere()
x = sphere.sample(200, torch.Generator().manual_seed(4))
x = torch.cat([x, -x]).requires_grad_()
d = sphere.distance(x)
assert (d.diagonal() == 0).all() and torch.equal(d, d.T)
test_close(d[:200, 200:].diagonal().detach(), torch.full((200,), sphere.diameter), eps=1e-5)
d.sum().backward()
assert x.grad.isfinite().all()
test_eq(sphere.check(sphere.project(torch.zeros(1, 3))), (True, ""))

points = {"uniform": sphere.sample(1500, torch.Generator().manual_seed(5))}
turns, heights = torch.rand(2, 1500, generator=torch.Generator().manual_seed(6)) * torch.tensor([[2 * math.pi], [math.pi]])
points["uniform in latitude and longitude"] = 5 * torch.stack(
    [heights.sin() * turns.cos(), heights.sin() * turns.sin(), heights.cos()], -1)

fig, axes = plt.subplots(1, 2, figsize=(10, 2.8), layout="constrained")
for ax, (title, some) in zip(axes, points.items(), strict=True):
    ax.plot(*sphere.chart(some).T, ".", markersize=2.5, color="#31688e")
    ax.set(title=title, aspect="equal", xlabel="equal-area x", ylabel="equal-area y")
plt.show()

# %% [markdown]
# On the right, neurons crowd at the poles: latitudes near them are short circles, and each got as many points as the equator.
#
# ## By name
#
# An experiment's settings are plain text. `manifold` turns text to a space, with arguments if you like: `torus(period=20)`,
# `sphere(radius=2)`, `torus6`. It passes spaces through, and tells what there is when it doesn't know one. A space of your own gets a
# name by `register_manifold`. How such a text is read, and that it is never run as a program, is told in [specs](specs.ipynb). Several spaces, such as one for each layer, stand in one text with commas between them.

# %%
#| export
MANIFOLDS = Registry("manifold", Manifold)  # what can be written where a space is wanted
for _name, _maker in {"circle": Circle, "sphere": Sphere, "torus": Torus, "klein": KleinBottle,
                      "torus6": Torus(6), "r3": Euclidean(3), "r9": Euclidean(9), "s3": Sphere(3)}.items():
    MANIFOLDS.register(_name, _maker)
MANIFOLDS.register("r", Euclidean, numbered=True)
MANIFOLDS.register("s", Sphere, numbered=True)


@checked
def manifold(
    spec: str | Manifold,  # such as "torus", "torus6", "r3", "torus(period=20)"; or a manifold
) -> Manifold:  # the manifold
    "The space that a text describes; ValueError says what can be written"
    return MANIFOLDS.make(spec)


@checked
def register_manifold(
    name: str,  # for use wherever a space is named
    space: type[Manifold] | Manifold | Callable[..., Manifold],  # a class whose arguments can be written, a space that is ready, or a function
) -> None:
    "Give a space of your own a name"
    MANIFOLDS.register(name, space)


# %%
#| export
#| fold Several spaces
@checked
def manifolds_of(
    specs: str | Manifold | Sequence[str | Manifold],  # one for all, or one for each; in one text with commas between them
    count: Count,  # how many are wanted
) -> list[Manifold]:  # as many
    "A space for each of several weights; ValueError unless there is one for all or one for each"
    if isinstance(specs, str):
        specs = split(specs, ",")
    found = [manifold(spec) for spec in ([specs] if isinstance(specs, Manifold) else specs)]
    if len(found) not in (1, count):
        raise ValueError(f"manifold has {len(found)} spaces for {count} weights; give one for all, or one for each: {', '.join(map(str, found))}")
    return found * (count // len(found))


# %% [markdown]
# ## What a neuron sees
#
# The picture at the top, as a function: colour each point by its distance from one, or by any function of that distance. The Klein bottle once more, a
# larger torus, and a smaller sphere, with all that is nearer than 2:

# %%
#| fig-alt: "The free ring round a star on a Klein bottle, where it comes in mirrored at the other edge, on a torus twice as large and on a small sphere."
test_eq(manifold("torus"), Torus())
test_eq(manifold("torus4(period=20)"), Torus(4, 20.0))
test_eq(manifold("s2").name, "sphere")
test_eq(manifolds_of("torus, sphere", 2), [Torus(), Sphere()])
test_fail(lambda: manifold("donut"), contains="circle, sphere, torus, klein")

fig, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
for ax, text, star in zip(axes, ("klein", "torus(period=20)", "sphere(radius=2)"), ([9.5, 2.0], [9.5, 2.0], [1.6, 0.0, 1.2]), strict=True):
    finished.plot_from_point(finished.manifold(text), torch.tensor(star), ax, lambda d: d.clamp(max=2))
    ax.set_title(display_name(text))
plt.show()


# %%
#| export
#| fold The picture's code
@checked
def plot_from_point(
    manifold: Manifold,  # of one or two dimensions
    point: Annotated[Tensor, Shape("coordinates", "float", finite=True)],  # one point (coordinates,)
    ax: "Axes",
    function: Callable | None = None,  # of the distance, such as an inhibitor; the distance itself if not given
    resolution: Annotated[int, Within(2, 2000)] = 121,  # points along each side
):  # handle on the colours, for a colour bar
    "Colour each point of a manifold by its distance from one point, marked by a star"
    points = _grid(manifold, resolution)
    distances = manifold.distance(point.expand(1, 1, -1), points)
    values = (function(distances) if function else distances).reshape(points.shape[:-1]).numpy()
    flat, star = manifold.chart(points).numpy(), manifold.chart(point[None])[0].numpy()
    colours: Any
    if points.ndim == 2 or manifold.coordinates == 1:
        colours = ax.scatter(flat[..., 0].ravel(), flat[..., 1].ravel(), c=values.flatten(), s=60 if manifold.coordinates == 1 else 9)
    else:
        colours = ax.pcolormesh(flat[..., 0], flat[..., 1], values, shading="gouraud")
        ax.contour(flat[..., 0], flat[..., 1], values, levels=8, colors="white", linewidths=0.6)
    ax.plot(*star, "*", color="white", markeredgecolor="black", markersize=15)
    ax.set(xlabel=manifold.chart_labels[0], ylabel=manifold.chart_labels[1], aspect="equal")
    return colours


# %%
#| export
#| fold Grids
def _grid(manifold: Manifold, resolution: int) -> Tensor:
    "A grid of points (rows, columns, coordinates) that covers a manifold; random points (n, coordinates) of one that we know no grid for"
    side = torch.linspace(0, 1, resolution)
    if isinstance(manifold, Sphere) and manifold.dim == 2:
        turn, tilt = torch.meshgrid((side - 0.5) * 2 * math.pi * (1 - 1e-6), side * math.pi, indexing="ij")
        return manifold.radius * torch.stack([tilt.sin() * turn.cos(), tilt.sin() * turn.sin(), tilt.cos()], -1)
    if isinstance(manifold, _Flat) and manifold.period and manifold.coordinates <= 2:
        axes = torch.meshgrid(*[side * manifold.period] * manifold.coordinates, indexing="ij")
        return torch.stack(axes, -1).reshape(-1, resolution, manifold.coordinates)
    if manifold.trainable and manifold.dim <= 2:
        return manifold.sample(resolution**2, torch.Generator().manual_seed(0))
    raise ValueError(f"{manifold} has no flat picture; give a space of at most two dimensions, such as a circle, sphere, torus or Klein bottle")


# %% [markdown]
# ## How far is far?
#
# *Predict:* draw two neurons at random. How does their distance spread on the circle, on the sphere, and on a torus of six dimensions?

# %%
#| fig-alt: "Histograms of the distance of two random neurons: flat on the circle, a hump on sphere and torus, a narrow hump far from 0 on the six-dimensional torus."
fig, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
names = ("circle", "sphere", "torus", "torus6")
for name, colour in zip(names, plt.get_cmap("viridis")(torch.linspace(0, 0.8, 4)), strict=True):
    space = manifold(name)
    x, y = (space.sample((20_000, 1), torch.Generator().manual_seed(seed)) for seed in (7, 8))
    d = space.distance(x, y).flatten()
    ax.hist(d, bins=80, range=(0, 16), density=True, histtype="step", lw=1.8, color=colour, label=display_name(name))
    print(f"{display_name(name):8} mean {d.mean():.2f}, standard deviation {d.std():.2f}, diameter {space.diameter:.2f}")
ax.set(xlabel="geodesic distance between two random neurons", ylabel="density")
ax.legend()
plt.show()


# %% [markdown]
# On the circle every distance is equally likely. In six dimensions nearly all pairs are about equally far: few neurons have any
# near neighbour. A function of distance that tells near from far then tells hardly anything. The next chapter measures how much
# of the method this costs.
#
# ## A manifold of your own: a checklist
#
# 1. A frozen dataclass that inherits from `Manifold`; the types of its fields refuse impossible values.
# 2. `dim`, `coordinates`, `diameter`, and `scale_field`, the name of the field that is a length.
# 3. `sample`: uniform, drawn from the given generator only, in the given dtype, and for a tuple `(s, n)` too.
# 4. `pairwise(x, y)`: (..., n, coordinates) and (..., m, coordinates) to (..., n, m). 0 for equal points, symmetric,
#    never above the diameter, gradients finite everywhere. Glued from flat pieces? Then give `_differences` and no more.
# 5. `project` lands on the manifold and leaves alone what is there; `contains` agrees with it.
# 6. `chart`, if the first two coordinates make no good picture.
# 7. `check_manifold(space)` says in words which of these it doesn't keep, and what rounding may excuse ([checks](checks.ipynb)).
# 8. `register_manifold("band", Band)` gives it a name: `"band(length=30)"` then works in every task and notebook.
# 9. An *independent* oracle: brute force over images, or another library. A test that repeats your formula repeats your mistake.
#
# ## Exercise 1: a space of your own
#
# *15 min, hard.* The projective plane is the sphere with opposite points made one. Neurons that look in opposite directions become the same neuron.
# Fill in its distance and its diameter.

# %%
@dataclass(frozen=True)
class ProjectivePlane(Sphere):
    "The sphere with opposite points made one"
    def pairwise(self, x, y):
        raise NotImplementedError

    @property
    def diameter(self):
        raise NotImplementedError


# %%
#| fold How it is checked
plane = ProjectivePlane()
x = plane.sample(100, torch.Generator().manual_seed(9))


def picture():
    fig, ax = plt.subplots(figsize=(5, 3.2), layout="constrained")
    fig.colorbar(plot_from_point(plane, torch.tensor([3.2, -3.2, 2.1]), ax), label="distance")
    ax.set(title="the projective plane: near means near, or near the antipode")
    plt.show()


with exercise("if the distance to a point is d, how far is its antipode? The neuron is whichever of the two is nearer", picture) as expect:
    pole = torch.tensor([[0.0, 0, 5], [0, 0, -5], [5, 0, 0]])
    expect(lambda: plane.distance(pole)[0], gives=torch.tensor([0.0, 0.0, 2.5 * math.pi]), name="the distance of a pole to itself, to the other pole and to the equator")
    expect(lambda: plane.distance(x, -x), gives=plane.distance(x), name="the distance to antipodes")
    expect(lambda: plane.diameter, gives=2.5 * math.pi, name="the diameter")
    moving = x.clone().requires_grad_()
    d = plane.distance(moving)
    expect.that((d.detach() - d.detach().T).abs().max() < 1e-4, "it is not as far back as there")
    expect.that((d <= (d[:, :, None] + d[None]).amin(1) + 1e-4).all(), "a detour over a third point is shorter than the way")
    expect.that(torch.autograd.grad(d.sum(), moving)[0].isfinite().all(), "the gradient is not finite everywhere")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# @dataclass(frozen=True)
# class ProjectivePlane(Sphere):
#     "The sphere with opposite points made one"
#     def pairwise(self, x, y):
#         d = super().pairwise(x, y)
#         return torch.minimum(d, (math.pi * self.radius - d).clamp(min=0))
#
#     @property
#     def diameter(self):
#         return math.pi * self.radius / 2
# ```
#
# Point and antipode lie on one great circle, half a circumference apart; so $d$ and $\pi r - d$, and never more than a quarter of the circumference.
#
# </details>

# %% [markdown]
# ## Exercise 2: the longest way round
#
# *5 min, medium.* How far apart can two points of the flat torus of any dimension be? `Torus(dim).diameter` knows; find the formula.

# %%
def torus_diameter(dim, period):
    "How far apart two points of a flat torus can be, of so many dimensions and of a period in each"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("half a period in each coordinate, and then Pythagoras", lambda: draw_curve(lambda dim: torus_diameter(dim, 10.0), range(1, 13), "dimension", "diameter", the_package=[Torus(dim).diameter for dim in range(1, 13)])) as expect:
    for dim in (1, 2, 6):
        expect(torus_diameter, dim, 10.0, gives=Torus(dim).diameter)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def torus_diameter(dim, period):
#     return math.sqrt(dim) * period / 2
# ```
#
# In each coordinate one can be half a period away and no more. So the six-torus is wider than the two-torus by $\sqrt 3$: size and dimension come together.
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - *The arccosine.* The paper's code takes it of an inner product, in float32. Some exactly antipodal pairs, the farthest there are,
#   come out at distance 0, and gradients are not finite. An embedding on the sphere can't be trained that way.
# - *Two chords.* The formula with `atan2` mends the distances; the hand-written gradient mends the rest.
# - *Symmetry to the last bit* was lost by a vectorized `atan2`, which rounds differently at the end of an array. It was found by a
#   test that asks for equality, not closeness, at several sizes.
# - *Size.* The paper's spaces differ in diameter as well as in shape: see the figure above. When one of them does
#   better, shape and size are both suspects. `scaled` lets you separate them.
#
# The default sizes are those of the authors' code.
#
# ## Recall and think
#
# <details><summary>Recall: why does a distance that is right give nan in training?</summary>
#
# Every neuron is at distance 0 from itself, and a square root has no slope there.
#
# </details>
#
# <details><summary>Recall: what is different when one leaves the square of the Klein bottle by its right edge?</summary>
#
# One comes in on the left upside down, at 10 less the height.
#
# </details>
#
# <details><summary>Recall: what should one use for the angle of two unit vectors, and why?</summary>
#
# $2\,\mathrm{atan2}(|u - v|, |u + v|)$: both chords keep their digits where the arccosine loses them.
#
# </details>
#
# <details><summary>Think: why might a brain prefer a torus to a sphere for a place in a flat box?</summary>
#
# Each step in the box can be the same small move on a torus, wherever one is. On a sphere no such moves exist: nothing covers it that is flat.
#
# </details>
#
# ## References
#
# - Geometric sparsification in recurrent neural networks, appendices B to D: manifolds, covering maps and the spaces used here.
# - W. Kahan, *How futile are mindless assessments of roundoff in floating-point computation?* (2006): angles by two chords.
# - E. Hammer, *Über die Planisphäre von Aitow und verwandte Entwürfe* (1892): the equal-area map.
# - A. Hatcher, *Algebraic Topology* (2002), section 1.3: covering spaces, by which the Klein bottle is a folded torus.
