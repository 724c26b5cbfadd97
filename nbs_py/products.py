# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Products, modules, curved planes
#
# > Spaces that are built from spaces, and two that bend

# %% [markdown]
# *Reading 30 min, exercises 15 min. To skip at a first reading:* all of it, unless you need a space that is made of others.
#
# After this chapter you can
#
# - put neurons on a product of two spaces, and say how much each of the two counts,
# - divide a layer into modules that live on different spaces, and say how far apart the modules are,
# - place neurons on the projective plane and on a hyperbolic disc, with distances that are right in float32.
#
# The question: *an animal has a place and a heading, and its grid cells, neurons that fire on a lattice of places, come in modules, one for each spacing of the lattice. Must each such space be written anew, or
# can it be built from the spaces that we have?*

# %%
#| default_exp geometry.products

# %%
#| export
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from modreg.geometry.arguments import Positive, Within, check, checked
from modreg.geometry.manifolds import (
    MANIFOLDS,
    Manifold,
    Sphere,
    _angle_vjp,
    _chords,
    _norm,
    _over,
    _unit,
    check_points,
    draw,
    manifold,
)
from modreg.geometry.specs import written

# %%
#| hide
import matplotlib.pyplot as plt
from fastcore.test import test_close, test_eq, test_fail

from modreg.book.exercises import draw_curve, exercise
from modreg.geometry.checks import check_manifold
from modreg.geometry.inhibitors import DifferenceOfGaussians, Diffusion, matched, mean_coefficient
from modreg.geometry.manifolds import Circle, Torus

plt.style.use("modreg.data.book")

# %%
#| echo: false
#| fig-alt: "Distance on a torus times a circle, shown at four headings: nearest at heading 0 in the middle, farther everywhere as the heading turns."
import modreg.geometry.products as finished

space = finished.Product(Torus(), Circle(radius=5 / math.pi))
places = torch.cartesian_prod(torch.linspace(0, 10, 101), torch.linspace(0, 10, 101))
star = torch.tensor([[6.0, 4.0, 0.0]])
fig, axes = plt.subplots(1, 4, figsize=(11, 3), layout="constrained", sharey=True)
for ax, angle in zip(axes, (0, 45, 90, 135), strict=True):
    arc = torch.full((len(places), 1), angle / 360 * 10)
    seen = space.distance(star, torch.cat([places, arc], -1))[0].reshape(101, 101).T
    colours = ax.contourf(seen, levels=torch.linspace(0, 9, 19), extent=(0, 10, 0, 10))
    if angle == 0:
        ax.plot(6, 4, "*", color="white", markeredgecolor="black", markersize=15)
    ax.set(title=f"heading {angle}°", xlabel="x", aspect="equal")
axes[0].set_ylabel("y")
fig.colorbar(colours, ax=axes, label="distance", shrink=0.8)
plt.show()


# %% [markdown]
# A neuron (the star) prefers one place on a torus and the heading 0°. Each panel shows how far from it the neurons are that prefer
# another heading: four slices of one three-dimensional space, in which both the place and the heading come back to where they were.
#
# *Predict, before you read on:* neurons that agree in place and differ by 90° are as far from the star as neurons that agree in
# heading and differ by how much in place? And what happens to the panels if the heading is made to count twice?

# %% [markdown]
# ## Products
#
# A point of a product is a point of each factor. Distance is by Pythagoras, as it is between the coordinates of one torus:
#
# $$d(x, y) = \sqrt{\sum_k \big(w_k\, d_k(x_k, y_k)\big)^2}.$$
#
# The weight $w_k$ says how much a factor counts. To weigh a factor by 2 is to make it twice as large. Written down as it is read:

# %%
def naive_product(x, y):
    "Distances on the torus times a circle, from the coordinates (n, 3)"
    return (Torus().distance(x[:, :2], y[:, :2]) ** 2 + Circle().distance(x[:, 2:], y[:, 2:]) ** 2).sqrt()


x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
naive_product(x, x).sum().backward()
print(x.grad)
assert x.grad.isnan().all()


# %% [markdown]
# The trap of [manifolds](manifolds.ipynb) again: a square root has no slope at 0, and every neuron is at distance 0 from itself. What helped there
# helps here. The slope of a hypotenuse along one of its sides is *side ÷ hypotenuse*, which is never more than 1; at 0 we choose 0.

# %%
#| export
class _Hypotenuse(torch.autograd.Function):
    "√(a² + b² + …) of tensors of one shape; gradient 0 where it is 0"
    generate_vmap_rule = True

    @staticmethod
    def forward(*sides):
        return _norm(sides)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs, output)

    @staticmethod
    def backward(ctx, grad):
        *sides, d = ctx.saved_tensors
        return tuple(_shares(sides, d, grad))


def _shares(sides: list[Tensor], d: Tensor, grad: Tensor) -> list[Tensor]:
    "The gradient of a hypotenuse `d`, handed on to its sides"
    grad = grad / d.clamp(min=math.sqrt(torch.finfo(d.dtype).tiny))
    return [grad * side for side in sides]


# %% [markdown]
# Everything else a product asks of its factors: to draw, to put back, to check. Points drawn uniformly from each factor are uniform in the product. Spaces with finitely many points, which the next chapter
# brings, have whole numbers as points, and so they don't mix with smooth ones.

# %%
#| export
#| fold Which spaces, and how much each counts
def _spaces(spaces: tuple) -> tuple[Manifold, ...]:
    "Spaces, given by name or as they are; all smooth or all finite"
    spaces = tuple(manifold(space) for space in spaces)
    if len({space.trainable for space in spaces}) > 1:
        finite = next(space for space in spaces if not space.trainable)
        raise ValueError(f"{finite} has indices as points and other spaces have coordinates, so they do not mix; "
                         "make the others finite too: DistanceMatrix(space.distance(space.sample(500)))")
    return spaces


def _numbers(name: str, values: tuple | None, count: int) -> tuple[float, ...]:
    "One positive number for each space; 1 each if none are given"
    values = (1.0,) * count if values is None else values
    if not isinstance(values, (tuple, list)) or len(values) != count:
        raise ValueError(f"{name} is {values!r}; give {count} numbers, one for each space")
    for k, value in enumerate(values):
        check(f"{name}[{k}]", value, Positive)
    return tuple(float(value) for value in values)


# %% [markdown]
# A space says how it is written, so that it can be named in a run's settings: `torus * 2 circle`, with a weight before its factor, or as a call where
# signs don't suffice.

# %%
#| export
#| fold How it is written
def _text(sign: str, name: str, spaces: tuple[Manifold, ...], between: float | None = None, **numbers: tuple[float, ...]) -> str:
    "How spaces that are put together are written"
    (key, values), = numbers.items()
    before = [written(value) for value in values]
    parts = [f"({space.name})" if isinstance(space, (Product, Modules)) else space.name for space in spaces]
    if between in (None, _between(spaces, None)) and len(spaces) > 1 and not any("e" in number for number in before):
        return sign.join(part if number == "1" else number + part for number, part in zip(before, parts, strict=True))
    rest = [f"{key}={written(values)}", *([] if between is None else [f"between={written(between)}"])]
    return f"{name}({', '.join([*parts, *rest])})"


# %% [markdown]
# <details><summary>How gradients find their way back</summary>
#
# For the regularizer's fast way, distances come with a function that carries their gradient back. Each factor has its own.
#
# </details>

# %%
#| export
#| fold The backward pass
def _product_vjp(spaces, weights, parts: Iterable[tuple[Tensor, Tensor]], diameter: float) -> tuple:
    "Distances in a product and their backward pass, from the parts of `x` and `y` in each factor"
    found = [space.distance_vjp(*part) for space, part in zip(spaces, parts, strict=True)]
    sides = [d * w for (d, _), w in zip(found, weights, strict=True)]
    d = _norm(sides)

    def back(grad):
        ends = zip(found, weights, _shares(sides, d, grad), strict=True)
        return tuple(torch.cat(end, -1) for end in zip(*[back(share * w) for (_, back), w, share in ends], strict=True))

    return d.clamp(max=diameter), back


# %%
#| export
@checked
@dataclass(frozen=True, init=False)
class Product(Manifold):
    "The product of spaces, with d² = Σ (w·d)²; a point has the coordinates of one factor after those of another"
    spaces: tuple[Manifold, ...]
    weights: tuple[float, ...]

    def __init__(self, space: str | Manifold, *others: str | Manifold, weights: tuple[Positive, ...] | None = None):
        object.__setattr__(self, "spaces", _spaces((space, *others)))
        object.__setattr__(self, "weights", _numbers("weights", weights, 1 + len(others)))

    dim = property(lambda self: sum(space.dim for space in self.spaces))
    coordinates = property(lambda self: sum(space.coordinates for space in self.spaces))
    trainable = property(lambda self: self.spaces[0].trainable)
    diameter = property(lambda self: math.hypot(*[w * space.diameter for space, w in zip(self.spaces, self.weights, strict=True)]))
    name = property(lambda self: _text("*", "product", self.spaces, weights=self.weights))

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        "The part (..., c) of points (..., coordinates) that lies in each factor"
        return x.split([space.coordinates for space in self.spaces], -1)

    def pairwise(self, x, y):
        there = self.split(x)
        back = there if y is x else self.split(y)
        sides = [w * space.pairwise(a, b) for space, w, a, b in zip(self.spaces, self.weights, there, back, strict=True)]
        return _Hypotenuse.apply(*sides).clamp(max=self.diameter)

    def distance_vjp(self, x, y):
        "As for every manifold; each factor goes its own fast way"
        return _product_vjp(self.spaces, self.weights, zip(self.split(x), self.split(y), strict=True), self.diameter)

    def sample(self, n, generator=None, dtype=None, device=None):
        "Draw `n` points uniformly, (n, coordinates); a tuple (s, n) gives (s, n, coordinates)"
        return torch.cat([space.sample(n, generator, dtype, device) for space in self.spaces], -1)

    def project(self, x):
        "Put each part back on its factor"
        return torch.cat([space.project(part) for space, part in zip(self.spaces, self.split(check_points(self, x)), strict=True)], -1)

    def contains(self, x):
        return torch.stack([space.contains(part) for space, part in zip(self.spaces, self.split(x), strict=True)]).all(0)

    def scaled(self, factor):
        "The same points with all distances multiplied by a factor, by way of the weights"
        return Product(*self.spaces, weights=tuple(w * factor for w in self.weights))

    def chart(self, x):
        "The chart of the first factor; for factors of one coordinate each, the first two coordinates, (..., n, 2)"
        if self.coordinates == len(self.spaces):
            return super().chart(x)
        return self.spaces[0].chart(self.split(check_points(self, x))[0])


# %% [markdown]
# Two oracles. A circle times a circle is a torus, whose distances we have by other code. And where the naive version has an
# answer, ours is the same. The weights are exact: with weight 2, ninety degrees of heading count twice.

# %%
two = Product(Circle(5 / math.pi), Circle(5 / math.pi))
x, y = (two.sample(50, torch.Generator().manual_seed(seed)) for seed in (1, 2))
test_close(two.distance(x, y), Torus().distance(x, y), eps=1e-5)
test_close(two.diameter, Torus().diameter, eps=1e-9)

space = Product("torus", "circle")
x = space.sample(50, torch.Generator().manual_seed(3)).requires_grad_()
y = space.sample(40, torch.Generator().manual_seed(4))
test_close(space.distance(x, y).detach(), naive_product(x, y).detach(), eps=1e-5)
space.distance(x).sum().backward()
assert x.grad.isfinite().all()

here, turned = torch.tensor([[6.0, 4.0, 0.0]]), torch.tensor([[6.0, 4.0, 2.5]])
for weights in ((1, 1), (1, 2)):
    heading = Product(Torus(), Circle(5 / math.pi), weights=weights)
    print(f"weights {weights}: a turn of 90° is as far as {heading.distance(here, turned).item():.1f} in place; diameter {heading.diameter:.2f}")

# %% [markdown]
# That answers the question at the top. What does a neuron keep of such a space? Take the price of the difference of Gaussians, which
# leaves a ring free. In three dimensions the ring is a shell: a sphere's surface in place and heading.

# %%
#| fig-alt: "Points at half price or less around the centre of a product of three circles, in space: a hollow ball, and with more weight on heading a flatter one."
dog = DifferenceOfGaussians()
neurons = Product(Torus(), Circle(5 / math.pi)).sample(4000, torch.Generator().manual_seed(5))
fig = plt.figure(figsize=(9, 4.2), layout="constrained")
for k, weights in enumerate(((1, 1), (1, 2))):
    heading = Product(Torus(), Circle(5 / math.pi), weights=weights)
    price = dog(heading.distance(torch.tensor([[5.0, 5.0, 5.0]]), neurons))[0]
    cheap = price < dog.maximum / 2
    ax = fig.add_subplot(1, 2, k + 1, projection="3d")
    dots = ax.scatter(*neurons[cheap].T, c=price[cheap], s=14, vmin=0, vmax=dog.maximum)
    ax.set(xlim=(3, 7), ylim=(3, 7), zlim=(3, 7), xlabel="x", ylabel="y", zlabel="heading", title=f"weights {weights}: {int(cheap.sum())} of 4000 at half price")
fig.colorbar(dots, ax=fig.axes, label="price", location="bottom", shrink=0.5)
plt.show()


# %% [markdown]
# With a heading that counts twice, the shell is flattened to half its height: neurons must agree twice as well in heading to be linked.
# Weights tell a network what should be resolved finely.
#
# ## Modules
#
# Grid cells come in groups, and each group lives on a torus of its own. A layer of which a part lives on a torus and a part on a sphere
# is no product: a neuron is here *or* there. It needs a rule for what lies between.
#
# *Predict:* within a module, distances are those of its space. Between modules every distance is the same number, $b$. Which $b$ are
# allowed, if a detour may never be shorter than the straight way?
#
# From one point of a module to the farthest of the same module it is as far as its diameter $D$. The way over any neuron of another
# module costs $2b$. So $b \ge D/2$ for the largest $D$; that is all. Less is refused, and the default is the largest diameter itself:
# a neuron of another module is as far as the farthest of one's own.
#
# A point is the number of its module and then its coordinates, with zeros behind them if another module has more.

# %%
#| export
#| fold Members of a module
def _members(space: Manifold, k: int, x: Tensor) -> tuple[Tensor, Tensor]:
    "Which points are of module `k` (...), and the coordinates of each point in its space, some point of the space for the others"
    mine, inside = x[..., 0].round() == k, x[..., 1 : 1 + space.coordinates]
    return mine, torch.where(mine[..., None], inside, space.project(x.new_zeros(space.coordinates)))


def _shelve(k: int, x: Tensor, width: int) -> Tensor:
    "Coordinates (..., c) of module `k` as points (..., width)"
    return torch.cat([torch.full_like(x[..., :1], k), x, x.new_zeros(*x.shape[:-1], width - 1 - x.shape[-1])], -1)


def _between(spaces: tuple[Manifold, ...], between: float | None) -> float:
    "The distance between modules, checked: at least half of the largest diameter"
    largest = max([space.diameter for space in spaces if space.diameter < math.inf], default=None)
    if between is None:
        if largest is None:
            raise ValueError(f"between is not given, and {spaces[0]} has no diameter to take in its place; give the distance between modules")
        return largest
    check("between", between, Positive)
    if largest is not None and between < largest / 2:
        raise ValueError(f"between is {between}, so the way over another module is shorter than the largest diameter, {largest:g}; give at least {largest / 2:g}")
    return float(between)


# %% [markdown]
# How many neurons does each module get? Equal shares, or shares as `sizes` says. The rule is that of systematic samples: lay $n$ marks at equal
# steps along a bar that is divided in the given proportions, and begin at a random place within the first step. Then no module is off by a whole neuron, and on
# average each has exactly its share, even where a single neuron is drawn at a time. Neurons stand in the order of their modules.

# %%
#| export
#| fold Shares of neurons
def _assign(
    sizes: tuple[float, ...],  # proportions
    n: int | tuple[int, ...],  # how many neurons; (s, n) for s sets
    generator: torch.Generator | None,
    device: torch.device | str | None,
) -> tuple[Tensor, Tensor]:  # module of each neuron (n,) or (s, n), and its number among those of its module, both int64
    "Divide neurons among modules in proportion"
    *sets, n = n if isinstance(n, (tuple, list)) else (n,)
    begin = draw(torch.rand, tuple(sets), 1, generator, torch.float64, device)
    number = torch.arange(n, device=begin.device)
    edges = [edge / sum(sizes) * n for edge in accumulate(sizes)]
    module = torch.bucketize(number + begin, begin.new_tensor(edges[:-1]), right=True)
    return module, number - torch.searchsorted(module, module)


# %%
#| export
#| fold The backward pass of modules
def _modules_vjp(spaces, between: float, x: Tensor, y: Tensor) -> tuple:
    "Distances between the points of modules and their backward pass; only pairs of one module are computed"
    d, found = x.new_full((len(x), len(y)), between), []
    for k, space in enumerate(spaces):
        rows, columns = ((p[:, 0].round() == k).nonzero()[:, 0] for p in (x, y))
        inside = slice(1, 1 + space.coordinates)
        part, back = space.distance_vjp(x[rows, inside], y[columns, inside])
        d[rows[:, None], columns] = part
        found.append((rows, columns, inside, back))

    def to_both(grad):
        to_x, to_y = torch.zeros_like(x), torch.zeros_like(y)
        for rows, columns, inside, back in found:
            to_x[rows, inside], to_y[columns, inside] = back(grad[rows[:, None], columns])
        return to_x, to_y

    return d, to_both


# %%
#| export
#| fold Back to the module
def _to_modules(spaces, x: Tensor) -> Tensor:
    "Round the module of each point and put its coordinates back on its space"
    x = torch.cat([x[..., :1].round().clamp(0, len(spaces) - 1), x[..., 1:]], -1)
    for k, space in enumerate(spaces):
        mine, inside = _members(space, k, x)
        x = torch.where(mine[..., None], _shelve(k, space.project(inside), x.shape[-1]), x)
    return x


def _on_module(space: Manifold, k: int, x: Tensor) -> Tensor:
    "Whether each point lies on the space of module `k`, with nothing but zeros behind its coordinates"
    end = 1 + space.coordinates
    return (x[..., 0] == k) & space.contains(x[..., 1:end]) & (x[..., end:] == 0).all(-1)


# %% [markdown]
# The class ties this together. `project` rounds the number of the module and puts the coordinates back within it, so that a trained neuron
# moves in its own module and never to another: no gradient leads there.

# %%
#| export
@checked
@dataclass(frozen=True, init=False)
class Modules(Manifold):
    "Modules of neurons, each on a space of its own, and one distance between any two modules"
    spaces: tuple[Manifold, ...]
    sizes: tuple[float, ...]  # shares of the neurons, as proportions
    between: float  # distance between neurons of different modules

    def __init__(self, space: str | Manifold, *others: str | Manifold, sizes: tuple[Positive, ...] | None = None, between: Positive | None = None):
        object.__setattr__(self, "spaces", _spaces((space, *others)))
        object.__setattr__(self, "sizes", _numbers("sizes", sizes, 1 + len(others)))
        object.__setattr__(self, "between", _between(self.spaces, between))

    dim = property(lambda self: max(space.dim for space in self.spaces))
    coordinates = property(lambda self: 1 + max(space.coordinates for space in self.spaces))
    trainable = property(lambda self: self.spaces[0].trainable)
    diameter = property(lambda self: max(self.between, *[space.diameter for space in self.spaces]))
    name = property(lambda self: _text("+", "modules", self.spaces, sizes=self.sizes, between=self.between))

    def pairwise(self, x, y):
        d: Tensor | float = self.between
        for k, space in enumerate(self.spaces):
            mine, there = _members(space, k, x)
            yours, back = (mine, there) if y is x else _members(space, k, y)
            d = torch.where(mine[..., :, None] & yours[..., None, :], space.pairwise(there, back), d)
        return d

    def distance_vjp(self, x, y):
        "As for every manifold, and without the pairs that are not of one module"
        return _modules_vjp(self.spaces, self.between, x, y)

    def sample(self, n, generator=None, dtype=None, device=None):
        "Draw `n` points, (n, coordinates), or (s, n, coordinates) for a tuple (s, n): modules in order, uniform in each"
        module, number = (t.unsqueeze(-1) for t in _assign(self.sizes, n, generator, device))
        points = [_shelve(k, space.sample(n, generator, dtype, device), self.coordinates) for k, space in enumerate(self.spaces)]
        return sum(torch.where(module == k, x.take_along_dim(number, -2), 0) for k, x in enumerate(points))

    def project(self, x):
        "Put each point back on the space of its own module"
        return _to_modules(self.spaces, check_points(self, x))

    def contains(self, x):
        return torch.stack([_on_module(space, k, x) for k, space in enumerate(self.spaces)]).any(0)

    def scaled(self, factor):
        "The same modules with all distances multiplied by a factor, also those between them"
        return Modules(*[space.scaled(factor) for space in self.spaces], sizes=self.sizes, between=self.between * factor)

    def chart(self, x):
        "The charts of all modules side by side, (..., n, 2)"
        apart = 2 * (self.diameter if self.diameter < math.inf else self.between)
        charts = [(space.chart(_members(space, k, x)[1]), k * apart) for k, space in enumerate(self.spaces)]
        flat = torch.stack([torch.cat([chart[..., :1] + shift, chart[..., 1:]], -1) for chart, shift in charts])
        return flat.take_along_dim(check_points(self, x)[None, ..., :1].round().long().expand(1, *flat.shape[1:]), 0)[0]


# %% [markdown]
# Three modules: half of the neurons on a torus, a quarter each on a sphere and a circle. Sorted by place within each module, the
# coefficients show the rule: blocks on the diagonal, each with the pattern of its space, and one price for everything else.

# %%
#| fig-alt: "Distances and prices of neurons of three modules, on a torus, a sphere and a circle: three blocks along the diagonal, the largest price between modules."
brain = Modules("torus", "sphere", "circle", sizes=(2, 1, 1))
x = brain.sample(200, torch.Generator().manual_seed(6))
x = x[(1000 * x[:, 0] + x[:, 1]).argsort()]
fig, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
for ax, (title, values) in zip(axes, {"distance": brain.distance(x), "price": DifferenceOfGaussians()(brain.distance(x))}.items(), strict=True):
    fig.colorbar(ax.imshow(values), ax=ax, label=title, shrink=0.8)
    ax.set(xlabel="from neuron", ylabel="to neuron", title=f"{title}: torus, sphere, circle")
plt.show()

# %%
test_eq(x[:, 0].long().bincount().tolist(), [100, 50, 50])
test_eq(brain.check(x), (True, ""))
d = brain.distance(x)
test_close(d[:100, :100], Torus().distance(x[:100, 1:3]))
assert (d[:100, 100:] == brain.between).all() and brain.between == Sphere().diameter
test_fail(lambda: Modules("torus", "sphere", between=5.0), contains="at least 7.85398")

moved = x.clone().requires_grad_()
Diffusion()(brain.distance(moved)).sum().backward()
assert (moved.grad[:, 0] == 0).all() and moved.grad[:, 1:].isfinite().all()
test_eq(brain.project(x - 0.1 * moved.grad)[:, 0], x[:, 0])

# %% [markdown]
# Under the difference of Gaussians all that is far costs the same, so links between modules are neither more nor less wanted than long
# links within one. Under a price that rises with distance they would be the dearest of all.
#
# In text, modules are sums and products are products, with weights and sizes before the parts. The rule between modules needs the longer form.

# %%
#| export
MANIFOLDS.register("product", Product)
MANIFOLDS.register("modules", Modules)
MANIFOLDS.operators["+"] = lambda parts, sizes: Modules(*parts, sizes=sizes)
MANIFOLDS.operators["*"] = lambda parts, weights: Product(*parts, weights=weights)

# %%
for text in ("torus*2circle", "2torus+sphere", "(torus+sphere)*circle(radius=2)", "modules(torus, sphere, sizes=[1, 1], between=20)"):
    test_eq(manifold(text).name, text)
    print(f"{text:50}{manifold(text).coordinates} coordinates, diameter {manifold(text).diameter:.1f}")


# %% [markdown]
# ## The projective plane
#
# An orientation without direction, such as the axis of a bar, is a line through the origin, and opposite points of a sphere are the same
# line. The *projective plane* is the sphere with opposite points made one. The distance of two lines is the angle $\theta$ between
# two of their points or what is missing to $\pi$, whichever is less:

# %%
def naive_projective(x, y, radius=5.0):
    "The lesser of the way to a point and the way to its antipode"
    d = Sphere(radius=radius).distance(x, y)
    return torch.minimum(d, math.pi * radius - d)


x = Sphere().sample(1000, torch.Generator().manual_seed(7))
y = Sphere().project(x + 1e-4 * torch.randn(1000, 3, generator=torch.Generator().manual_seed(8)))
to_twin, to_antipode = naive_projective(x, y).diagonal(), naive_projective(x, -y).diagonal()
error = (to_antipode / to_twin - 1).abs()
print(f"of a neuron about {to_twin.mean():.4f} away: a tenth of the distances to its antipode are off by {error.quantile(0.9):.1%} or more")
assert error.quantile(0.9) > 1e-3


# %% [markdown]
# A point and its antipode are one neuron, so both distances should be the same; but $\pi - \theta$ is a small difference of large numbers, and loses its
# digits. Yet $\theta$ was computed from two chords, to a point and to its antipode, and exchanging them turns $\theta$ to $\pi - \theta$.
# So put the shorter chord first, and nothing is subtracted at all:
#
# $$d = 2r\,\mathrm{atan2}\big(\min(|u-v|, |u+v|),\ \max(|u-v|, |u+v|)\big).$$

# %%
#| export
class _LineAngle(torch.autograd.Function):
    "Angles between the lines of unit vectors; gradient 0 at equal lines"
    generate_vmap_rule = True

    @staticmethod
    def forward(u, v):
        near, far = _chords(u, v)
        return 2 * torch.atan2(torch.minimum(near, far), torch.maximum(near, far))

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad):
        u, v = ctx.saved_tensors
        near, far = _chords(u, v)
        return _angle_vjp(u, v, near, far, torch.where(near > far, -grad, grad))


# %%
#| export
@checked
@dataclass(frozen=True)
class ProjectivePlane(Sphere):
    "The sphere with opposite points made one: lines through the origin, and the angles between them"
    dim: ClassVar[int] = 2  # type: ignore[misc]  # a field of the sphere's
    radius: Positive = 5.0  # of the sphere

    @property
    def diameter(self):
        return math.pi / 2 * self.radius

    def pairwise(self, x, y):
        d = (self.radius * _LineAngle.apply(_unit(x), _unit(y))).clamp(max=self.diameter)
        return torch.maximum(d, d.mT) if y is x else d

    def chart(self, x):
        "A disc (..., n, 2) that keeps areas; opposite points of its rim are one"
        x = _unit(check_points(self, x))
        x = torch.where(x[..., 2:] < 0, -x, x)
        return self.radius * x[..., :2] * (2 / (1 + x[..., 2:])).sqrt()


# %%
plane = ProjectivePlane()
x = plane.sample(1000, torch.Generator().manual_seed(8)).requires_grad_()
d = plane.distance(x, torch.cat([x, -x]))
assert (d[:, :1000].diagonal() == 0).all() and (d[:, 1000:].diagonal() == 0).all() and torch.equal(d[:, :1000], d[:, 1000:])
test_close(d[:, :1000].detach(), naive_projective(x, x).detach(), eps=1e-4)
(slope,) = torch.autograd.grad(d.sum(), x)
assert slope.isfinite().all()


# %% [markdown]
# ## The hyperbolic disc
#
# On a sphere there is less and less room as one walks away from a point; in the plane, room grows with the square of the distance. In the *hyperbolic
# plane* it grows exponentially, as the number of leaves of a tree does. Whoever wants neurons in a hierarchy gives them such a space:
# few in the middle, many outside, and the way from one twig to another leads through the middle.
#
# Points are given in polar fashion: a vector whose direction leads from the centre to the point, and whose length is how far it is.
# With curvature $K = -1/L^2$, and lengths counted in $L$, two points at distances $\rho, \sigma$ from the centre and an angle
# $\theta$ between them are apart by
#
# $$\cosh d = \cosh\rho\,\cosh\sigma - \sinh\rho\,\sinh\sigma\,\cos\theta.$$
#
# *Predict:* the formula is a cosine rule. Where will it fail in float32?

# %%
#| fig-alt: "Relative error of a hyperbolic distance in float32 near the rim: by the law of cosines up to 100 %, without subtraction 1e-7."
def naive_hyperbolic(x, y, unit=2.0):
    "Distances by the law of cosines, for curvature -1/unit²"
    (r, s), cosine = ((p / unit).norm(dim=-1) for p in (x, y)), torch.nn.functional.normalize(x, dim=-1) @ torch.nn.functional.normalize(y, dim=-1).T
    return unit * torch.acosh((r[:, None].cosh() * s.cosh() - r[:, None].sinh() * s.sinh() * cosine).clamp(min=1))


steps = torch.logspace(-3, 0, 100, dtype=torch.float64)
ring = torch.stack([torch.full_like(steps, 4.9), torch.zeros_like(steps)], -1)
outward = ring + torch.stack([0 * steps, steps], -1)
truth = naive_hyperbolic(outward, ring[:1])[:, 0]
fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
ax.loglog(truth, (naive_hyperbolic(outward.float(), ring[:1].float())[:, 0] / truth - 1).abs().clamp(min=1e-9), "--", color="#35b779", label="law of cosines")
ax.loglog(truth, (finished.HyperbolicDisc().distance(outward.float(), ring[:1].float())[:, 0] / truth - 1).abs().clamp(min=1e-9), color="#440154", label="no subtraction")
ax.set(xlabel="distance of two points near the rim", ylabel="relative error", title="float32")
ax.legend()
plt.show()


# %% [markdown]
# The two terms are large and nearly equal when points are near one another, and more so near the rim. Half angles mend it, as they mend the sphere's
# formula. With $\Delta = \rho - \sigma$,
#
# $$\sinh^2\frac d2 = \sinh^2\frac\Delta2 + \sinh\rho\,\sinh\sigma\,\sin^2\frac\theta2$$
#
# is a sum of squares. What goes into it must be as good: $\Delta$ and $\theta$ come from $t = x - y$, which floating-point numbers
# give exactly when $x$ and $y$ are near, and from $s = x + y$:
#
# $$\Delta = \frac{t \cdot s}{\rho + \sigma}, \qquad \tan\theta = \frac{(t \times s)/2}{x \cdot y}.$$

# %%
#| export
#| fold Lengths and angles
def _polar(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    "Lengths ρ (..., n, 1) and σ (..., 1, m) of points, and for all pairs (..., n, m) their difference and the angle from x to y"
    rho, sigma = (torch.hypot(*p.unbind(-1)) for p in (x, y))
    rho, sigma = rho[..., :, None], sigma[..., None, :]
    (a, b), (c, d) = ([p[..., :, None] for p in x.unbind(-1)], [p[..., None, :] for p in y.unbind(-1)])
    fall = _over((a - c) * (a + c) + (b - d) * (b + d), rho + sigma)
    along = a * c + b * d + 0.0  # so that no angle with the centre is that of -0
    return rho, sigma, fall, torch.atan2(((a - c) * (b + d) - (b - d) * (a + c)) / 2, along)


# %% [markdown]
# <details><summary>How its gradient is found</summary>
#
# The gradient by hand, once more since both $d = 0$ and the centre, which has no direction, are traps for automatic differentiation. Along the
# ray and across it,
#
# $$\frac{\partial d}{\partial\rho} = \frac{\frac12\sinh\Delta + \cosh\rho\,\sinh\sigma\,\sin^2\frac\theta2}{\frac12\sinh d}, \qquad
# \frac1\rho\frac{\partial d}{\partial\theta} = \frac{\frac12\,\frac{\sinh\rho}{\rho}\,\sinh\sigma\,\sin\theta}{\frac12\sinh d}.$$
#
# </details>

# %%
#| export
#| fold The distance
class _HyperbolicDistance(torch.autograd.Function):
    "Distances at curvature -1 of points in polar fashion; gradient 0 at equal points"
    generate_vmap_rule = True

    @staticmethod
    def forward(x, y):
        rho, sigma, fall, angle = _polar(x, y)
        across = rho.sinh().sqrt() * sigma.sinh().sqrt() * (angle / 2).sin()
        return 2 * torch.asinh(torch.hypot((fall / 2).sinh(), across))

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs, output)

    @staticmethod
    def backward(ctx, grad):
        x, y, d = ctx.saved_tensors
        rho, sigma, fall, angle = _polar(x, y)
        grad = 2 * grad / d.sinh().clamp(min=math.sqrt(torch.finfo(d.dtype).tiny))
        to_x = _polar_gradient(x[..., :, None, :], y[..., None, :, :], rho, sigma, fall, angle, grad)
        to_y = _polar_gradient(y[..., None, :, :], x[..., :, None, :], sigma, rho, -fall, -angle, grad)
        return tuple(torch.stack([g.sum(side) for g in to], -1).sum_to_size(p.shape) for to, side, p in ((to_x, -1, x), (to_y, -2, y)))


# %%
#| export
#| fold Its gradient
def _polar_gradient(x, y, rho, sigma, fall, angle, grad) -> tuple[Tensor, Tensor]:
    "Gradient of distances with respect to both coordinates of `x`, (..., n, m) each, before it is summed over `y`"
    u, v = _unit(x), _unit(y)
    u = torch.where((rho == 0)[..., None], v, u)  # seen from the centre, each point lies straight ahead
    outward = grad * (fall.sinh() / 2 + rho.cosh() * sigma.sinh() * (angle / 2).sin() ** 2)
    aside = grad * (_over(rho.sinh(), rho) * sigma.sinh() * angle.sin() / 2)
    return outward * u[..., 0] + aside * u[..., 1], outward * u[..., 1] - aside * u[..., 0]


# %% [markdown]
# Uniform by hyperbolic area means that the share of points within $\rho$ of the centre grows as the area, $\cosh\rho - 1 = 2\sinh^2\frac\rho2$.
# So a uniform number's root, times $\sinh\frac R2$, is a point's $\sinh\frac\rho2$.
#
# For pictures we take Poincaré's map, which keeps angles and draws everything smaller the nearer it is to the rim.

# %%
#| export
@checked
@dataclass(frozen=True)
class HyperbolicDisc(Manifold):
    "A disc of the hyperbolic plane; a point is its direction from the centre times its distance from there"
    radius: Positive = 5.0  # geodesic, from the centre to the rim
    curvature: Annotated[float, Within(below=0)] = -0.25  # -1/L², where lengths well below L look flat
    dim = coordinates = 2

    def __post_init__(self):
        if self.radius > 40 * self.unit:
            raise ValueError(f"radius {self.radius} is {self.radius / self.unit:.0f} times the length 1/√-curvature; give at most 40, beyond which float32 overflows")

    @property
    def unit(self) -> float:
        "The length L of curvature -1/L²"
        return 1 / math.sqrt(-self.curvature)

    @property
    def diameter(self):
        return 2.0 * self.radius

    def pairwise(self, x, y):
        d = (self.unit * _HyperbolicDistance.apply(x / self.unit, y / self.unit)).clamp(max=self.diameter)
        return torch.maximum(d, d.mT) if y is x else d

    def sample(self, n, generator=None, dtype=None, device=None):
        "Draw `n` points uniformly by area, (n, 2); a tuple (s, n) gives (s, n, 2)"
        area, turn = draw(torch.rand, n, 2, generator, dtype, device).unbind(-1)
        rho = 2 * self.unit * torch.asinh(area.sqrt() * math.sinh(self.radius / self.unit / 2))
        return self.project(torch.stack([rho * (2 * math.pi * turn).cos(), rho * (2 * math.pi * turn).sin()], -1))

    def project(self, x):
        "Move points beyond the rim straight back to it"
        return torch.where(self.contains(check_points(self, x))[..., None], x, self.radius * _unit(x))

    def contains(self, x):
        return torch.hypot(*x.unbind(-1)) <= self.radius * (1 + 16 * torch.finfo(x.dtype).eps)

    def scaled(self, factor):
        "The same disc with all distances multiplied by a factor; its curvature falls with the square"
        return replace(self, radius=self.radius * factor, curvature=self.curvature / factor**2)

    def chart(self, x):
        "Poincaré's disc (..., n, 2): angles are kept, and lengths at the centre"
        rho = torch.hypot(*check_points(self, x).unbind(-1))[..., None]
        return 2 * self.unit * (rho / self.unit / 2).tanh() * _unit(x)


# %%
disc = HyperbolicDisc()
x = torch.cat([disc.sample(200, torch.Generator().manual_seed(9)), torch.zeros(1, 2)])
x.requires_grad_()
d = disc.distance(x)
assert (d.diagonal() == 0).all() and torch.equal(d, d.T) and (d <= disc.diameter).all()
test_close(d.detach(), naive_hyperbolic(x.detach().double(), x.detach().double()).float().fill_diagonal_(0), eps=1e-4)
d.sum().backward()
assert x.grad.isfinite().all()
test_close(disc.distance(x[:200], torch.zeros(1, 2))[:, 0], x[:200].norm(dim=-1), eps=1e-5)  # lengths from the centre are distances
test_eq(disc.check(disc.project(3 * x.detach())), (True, ""))
a, b = (disc.sample(n, torch.Generator().manual_seed(n), dtype=torch.float64).requires_grad_() for n in (5, 4))
assert torch.autograd.gradcheck(disc.distance, (a, b))

# %%
#| fig-alt: "Distance from a star on discs that chart the projective and the hyperbolic plane, and points uniform by hyperbolic area, crowded at the rim."
fig, axes = plt.subplots(1, 3, figsize=(11, 3.7), layout="constrained")
turn, out = torch.meshgrid(torch.linspace(0, 2 * math.pi, 181), torch.linspace(0, 1, 61), indexing="ij")
rays = torch.stack([turn.cos() * out, turn.sin() * out], -1)
tilt = torch.cat([rays * (1.57 * out[..., None]).sin() / out[..., None].clamp(min=1e-9), (1.57 * out[..., None]).cos()], -1)
for ax, title, space, grid, star in ((axes[0], "projective", plane, 5 * tilt, [4.0, -1.5, 2.6]), (axes[1], "hyperbolic", disc, 4.9999 * rays, [3.2, -1.4])):
    seen = space.distance(torch.tensor([[star]]), grid)[:, 0]
    flat, spot = space.chart(grid), space.chart(torch.tensor([star]))[0]
    colours = ax.pcolormesh(flat[..., 0], flat[..., 1], seen, shading="gouraud")
    ax.contour(flat[..., 0], flat[..., 1], seen, levels=8, colors="white", linewidths=0.6)
    ax.plot(*spot, "*", color="white", markeredgecolor="black", markersize=15)
    ax.set(title=title, aspect="equal", xlabel="chart x", ylabel="chart y")
    fig.colorbar(colours, ax=ax, shrink=0.8, label="distance")
axes[2].plot(*disc.chart(disc.sample(1500, torch.Generator().manual_seed(10))).T, ".", markersize=2.5, color="#31688e")
axes[2].set(title="hyperbolic, uniform", aspect="equal", xlabel="chart x", ylabel="chart y")
plt.show()

# %% [markdown]
# On the left, what leaves the projective plane over the rim comes in on the opposite side: the neighbourhood of the star goes on across.
# In the middle the lines of equal distance are circles too, and a neuron near the rim is far from almost all others. On the right, most neurons are
# outside, since that is where the room is.
#
# Both planes have names, and arguments if need be, such as `hyperbolic(radius=3, curvature=-1)`. And whatever is built of such parts is asked all
# that a space [must answer](checks.ipynb).

# %%
#| export
MANIFOLDS.register("projective", ProjectivePlane)
MANIFOLDS.register("hyperbolic", HyperbolicDisc)

# %%
for space in (ProjectivePlane(), ProjectivePlane(2.0), HyperbolicDisc(3.0, -1.0), Product(ProjectivePlane(), HyperbolicDisc()), brain):
    test_eq(manifold(space.name), space)
    test_eq(check_manifold(space), (True, ""))
    print(space.name)

# %% [markdown]
# ## Alike in price
#
# Spaces of this chapter differ in size as well as in shape. As in the last chapter, `matched` scales each to the mean price of the torus.

# %%
wanted = mean_coefficient(Torus(), dog, generator=torch.Generator().manual_seed(0))
for space in (Product("torus", "circle"), Modules("torus", "sphere"), ProjectivePlane(), HyperbolicDisc()):
    alike = matched(space, dog, wanted, 20_000, torch.Generator().manual_seed(0))
    price = mean_coefficient(alike, dog, 20_000, torch.Generator().manual_seed(0))
    test_close(price, wanted, eps=0.01)
    print(f"{space.name:14} diameter {space.diameter:5.2f} -> {alike.diameter:5.2f}   mean price {price:.2f}")


# %% [markdown]
# ## Exercise 1: another rule
#
# *10 min, medium.* Pythagoras is one way to put two distances together. In a city of streets one walks first along the one and then along the other. Write the product whose distance is the
# *sum* of its factors' distances. Is its gradient finite at 0? What is its diameter?

# %%
class CityProduct(Product):
    "A product of spaces whose distances are added"
    def pairwise(self, x, y):
        raise NotImplementedError

    @property
    def diameter(self):
        raise NotImplementedError


# %%
#| fold How it is checked
city = CityProduct("circle", "circle", weights=(1, 2))
x = city.sample(100, torch.Generator().manual_seed(11))


def picture():
    fig, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    grid = torch.cartesian_prod(torch.linspace(0, 31.4, 60), torch.linspace(0, 31.4, 60))
    for ax, space, title in zip(axes, (Product("circle", "circle"), CityProduct("circle", "circle")), ("root of the sum of squares", "sum"), strict=True):
        ax.imshow(space.distance(torch.tensor([[15.7, 15.7]]), grid).view(60, 60), origin="lower", extent=(0, 31.4, 0, 31.4))
        ax.set(title=title, xlabel="on the first circle", ylabel="on the second")
    plt.show()


with exercise("split(x) gives each factor's coordinates, weights and spaces are those of the object; the farthest is the farthest in each factor at once", picture) as expect:
    expect(lambda: city.distance(x), gives=Circle().distance(x[:, :1]) + 2 * Circle().distance(x[:, 1:]), name="the distances of 100 points")
    expect(lambda: city.diameter, gives=3 * Circle().diameter, name="the diameter")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# class CityProduct(Product):
#     "A product of spaces whose distances are added"
#     def pairwise(self, x, y):
#         parts = zip(self.spaces, self.weights, self.split(x), self.split(y))
#         return sum(w * space.pairwise(a, b) for space, w, a, b in parts)
#
#     @property
#     def diameter(self):
#         return sum(w * space.diameter for space, w in zip(self.spaces, self.weights))
# ```
#
# A sum needs no root, so nothing can go wrong at 0 that did not go wrong in a factor. But it prefers directions: on the flat torus a disc becomes a diamond.
#
# </details>

# %% [markdown]
# ## Exercise 2: where the neurons are
#
# *5 min, medium.* In the hyperbolic disc of radius $R$ and curvature $-1/L^2$, what share of uniformly drawn neurons lies within $\rho$ of the centre?

# %%
def share_within(rho, radius, unit):
    "Share of the hyperbolic disc of a radius, and of curvature -1/unit², that lies within rho of its centre"
    raise NotImplementedError


# %%
#| fold How it is checked
length = HyperbolicDisc(radius=5.0, curvature=-1.0).sample(20_000, torch.Generator().manual_seed(12)).norm(dim=-1)
with exercise("the area of a small disc by that of the whole; area grows as the hyperbolic cosine of radius / unit, less 1",
              lambda: draw_curve(lambda rho: share_within(rho, 5.0, 1.0), [k / 4 for k in range(21)], "distance from the centre", "share of neurons", drawn=[(length < k / 4).float().mean() for k in range(21)])) as expect:
    expect(share_within, 4.0, 5.0, 1.0, gives=(length < 4).float().mean().item(), within=0.02)
    expect(share_within, 2.5, 5.0, 1000.0, gives=0.25, within=1e-3)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def share_within(rho, radius, unit):
#     return (math.cosh(rho / unit) - 1) / (math.cosh(radius / unit) - 1)
# ```
#
# At half the radius a flat disc has a quarter of its area; the hyperbolic disc has less, and the less the stronger it is curved.
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - *The root at 0* broke the product as it had broken the torus, and its remedy is the same.
# - *A small difference of large numbers* broke the projective plane at antipodes and the hyperbolic plane at the rim. Both times a sum or a quotient
#   of small numbers stands in the formula of half the angle, and both are exact.
# - *A draw of one neuron at a time.* The mean price is estimated from single neurons. Shares that are rounded would give each of them to the
#   first module, and two random neurons would never be of different modules. So what is left over is drawn.
# - The paper has the flat torus in two and six dimensions, which is a product of circles, and no other product; it has neither modules nor
#   hyperbolic spaces.
#
# ## Recall and think
#
# <details><summary>Recall: how do two distances become one in a product of spaces?</summary>
#
# By Pythagoras, each times its weight.
#
# </details>
#
# <details><summary>Recall: how far apart must two modules be at least?</summary>
#
# Half the largest diameter of a module, else a detour over the other module would be shorter than the straight way.
#
# </details>
#
# <details><summary>Think: a neuron should respond to a place and to a heading. Would you take a product of a torus and a circle, or modules on each?</summary>
#
# A product, if one neuron is to care for both at once; modules, if some neurons care for places and others for headings.
#
# </details>
#
# ## References
#
# - H. Stensola et al., *The entorhinal grid map is discretized* (2012): grid cells come in modules.
# - M. Nickel and D. Kiela, *Poincaré embeddings for learning hierarchical representations* (2017): why trees fit there.
# - W. Kahan, *How futile are mindless assessments of roundoff in floating-point computation?* (2006): half angles in place of cosines.
