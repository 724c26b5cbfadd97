# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Checks
#
# > Is it a manifold, is it an inhibitor, and if not, why

# %% [markdown]
# *Reading 20 min, exercises 15 min. To skip at a first reading:* *What is asked*.
#
# After this chapter you can
#
# - ask of any space whether it is one that the regularizer can trust, and get the answer in words,
# - say which of the axioms a wrong formula breaks, and where,
# - tell rounding from a mistake.
#
# The question: *a distance that is wrong gives no error, only a network with the wrong wiring. How do you find out before you train it?*

# %%
#| default_exp geometry.checks

# %%
#| export
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from modreg.geometry.arguments import checked
from modreg.geometry.inhibitors import Inhibitor, inhibitor
from modreg.geometry.manifolds import Manifold, manifold

# %%
#| hide
from dataclasses import dataclass

import matplotlib.pyplot as plt
from fastcore.test import test_eq

from modreg.book.exercises import draw_lines, exercise
from modreg.geometry.inhibitors import INHIBITORS
from modreg.geometry.manifolds import MANIFOLDS, Sphere, Torus, plot_from_point

plt.style.use("modreg.data.book")


# %%
#| code-fold: true
#| fig-alt: "Distance from a star at (5, 2), in colour with contour lines. On the torus the lines are circles that meet round the edges; on the other space they are diamonds, and at the upper edge they do not meet."
@dataclass(frozen=True)
class Taxi(Torus):
    "A torus where only streets along x and y lead anywhere, and where somebody forgot the way over the upper edge"

    def pairwise(self, x, y):
        along = (x[..., :, None, 0] - y[..., None, :, 0]).abs()
        up = (x[..., :, None, 1] - y[..., None, :, 1]).abs()
        return torch.minimum(along, self.period - along) + torch.where(along < 2, torch.minimum(up, self.period - up), up)


fig, axes = plt.subplots(1, 2, figsize=(7.6, 3.4), layout="constrained")
for ax, space in zip(axes, (Torus(), Taxi()), strict=True):
    fig.colorbar(plot_from_point(space, torch.tensor([5.0, 2.0]), ax), ax=ax, label="distance", shrink=0.8)
    ax.set_title(type(space).__name__)
plt.show()

# %% [markdown]
# Two pictures of distances from a star. On the right there is no way over the upper edge, but for a strip.
#
# *Predict, before you read on:* which of the rules that a distance must keep does the space on the right break?
#
# ## One call

# %%
from modreg.geometry.checks import check_manifold as finished

print(finished("torus"))
print(finished(Taxi())[1])

# %% [markdown]
# It breaks the triangle inequality, since who makes a detour into the strip gets over the edge there, and the way is shorter than the direct one. And it is farther
# across than its `diameter`, which it inherits from the torus.
#
# ## What is asked
#
# The rules, in the order in which they are tried, in float32 and in float64:
#
# | rule | what it asks |
# |---|---|
# | points | `sample` gives as many as it was asked for, of the dtype that was asked for, the same ones from the same generator, all on the space; `project` leaves those alone, and brings strays back |
# | zero | a point is at distance 0 from itself |
# | symmetry | there is as far as back |
# | triangle | no detour is shorter |
# | diameter | nothing is farther |
# | gradients | finite at the same point, near it, at the farthest points and at antipodes; and as finite differences say |
# | vjp | `distance_vjp` says the same as automatic differentiation |
#
# What is rounding and what a mistake? A distance is computed in some ten operations, each of which rounds by up to $\varepsilon/2$ of the numbers that it handles, and those are as large as the
# space. So up to $64\,\varepsilon$ times the size of the space is taken for rounding; each message above says how much that is. A formula
# with an error of $\sqrt\varepsilon$, such as an arccosine near 1, is a hundred times worse, and is not let through.

# %%
#| export
ROUNDINGS = 64  # so many roundings at the size of the space are allowed


class _Trial:
    "A space with some points, and what is needed to judge it"

    def __init__(self, space: Manifold, dtype: torch.dtype, n: int = 30):
        self.space, self.dtype, self.n = space, dtype, n
        self.x, self.y = (self.draw(n, seed) for seed in (0, 1))
        d = space.pairwise(self.x, self.y)
        sizes = [d.max().item(), *([self.x.abs().max().item()] if space.trainable else [])]
        self.size = max(size for size in sizes if math.isfinite(size))
        self.room = ROUNDINGS * torch.finfo(d.dtype).eps * self.size

    def draw(self, n, seed: int) -> Tensor:
        return self.space.sample(n, torch.Generator().manual_seed(seed), dtype=self.dtype)


# %% [markdown]
# Each rule is a small function that yields what is wrong, in words.

# %%
#| export
def _points(trial: _Trial) -> Iterator[str]:
    "What is wrong with `sample`, `project` and `contains`"
    space, x, c = trial.space, trial.x, trial.space.coordinates
    dtype = trial.dtype if space.trainable else torch.int64
    state = torch.get_rng_state()
    for n, shape in ((3, (3, c)), ((2, 3), (2, 3, c)), (0, (0, c))):
        found = trial.draw(n, 2)
        if found.shape != shape or found.dtype != dtype:
            yield f"sample({n}) has shape {tuple(found.shape)} and dtype {found.dtype}; it should have {shape} and {dtype}"
    if not torch.equal(x, trial.draw(trial.n, 0)) or not torch.equal(state, torch.get_rng_state()):
        yield "sample draws other points from the same generator, or draws from torch's own; hand the generator on"
    inside = space.contains(x)
    if inside.shape != x.shape[:-1] or inside.dtype != torch.bool:
        yield f"contains gives {inside.dtype} of shape {tuple(inside.shape)} for points {tuple(x.shape)}; give a bool for each point"
    elif not inside.all():
        yield f"contains denies {int((~inside).sum())} of {len(x)} points that sample has drawn"
    if not torch.equal(space.project(x), x):
        yield f"project moves points that lie on the space, by up to {(space.project(x) - x).abs().max().item():.3g}; leave them as they are"


# %%
#| export
def _strays(trial: _Trial) -> Iterator[str]:
    "What is wrong with `project` where it is needed"
    if not trial.space.trainable:
        return
    noise = torch.randn(trial.x.shape, generator=torch.Generator().manual_seed(3), dtype=trial.dtype)
    strays = torch.cat([trial.x + scale * trial.size * noise for scale in (1e-6, 0.1, 3)] + [-trial.x, 0 * trial.x, 0 * trial.x - 1e-12])
    back = trial.space.project(strays)
    outside = ~trial.space.contains(back)
    if outside.any():
        yield f"project leaves {int(outside.sum())} of {len(strays)} strays where contains denies them, such as [{', '.join(f'{v:.4g}' for v in strays[outside][0].tolist())}]"
    if not torch.equal(trial.space.project(back), back):
        yield "project moves points that it has projected before; projecting twice should be projecting once"


# %%
#| export
def _metric(trial: _Trial) -> Iterator[str]:
    "What is wrong with distances"
    x, room, n = trial.x, trial.room, trial.n
    d = trial.space.distance(x)
    if d.shape != (n, n) or not d.is_floating_point() or (trial.space.trainable and d.dtype != trial.dtype):
        yield f"distance has shape {tuple(d.shape)} and dtype {d.dtype} for {n} points of {x.dtype}"
        return
    if not d.isfinite().all() or d.min() < -room:
        yield f"some distances are not finite or negative, from {d.min().item():.3g} to {d.max().item():.3g}"
        return
    cases = {
        "zero: a point is up to {:.3g} away from itself": torch.cat([d.diagonal(), trial.space.distance(x, x.clone()).diagonal()]),
        "symmetry: there and back differ by up to {:.3g}": (d - d.mT).abs(),
        "symmetry: distance(x, y) and distance(y, x) differ by up to {:.3g}": (trial.space.distance(x, trial.y) - trial.space.distance(trial.y, x).mT).abs(),
        "triangle: a detour is up to {:.3g} shorter than the distance": d - (d[:, :, None] + d[None]).amin(1),
        f"diameter: points are up to {{:.3g}} farther apart than {trial.space.diameter:.4g}": d - trial.space.diameter,
        "batches: distances of points (s, n, c) differ from those of each set by up to {:.3g}": (trial.space.distance(torch.stack([trial.y, x]))[1] - d).abs(),
    }
    for words, error in cases.items():
        if not error.max() <= room:
            yield words.format(error.max().item()) + f"; rounding would be {room:.1g}"
    others = (x[:, None] != x[None]).any(-1) if not trial.space.trainable else (x[:, None] - x[None]).abs().amax(-1) > room
    if (d[others] <= 0).any():
        yield f"zero: {int((d[others] <= 0).sum())} pairs of different points are at distance 0"


# %% [markdown]
# Gradients are asked for where formulas break: at the point itself and close to it, at the point on the other side, and at the farthest point that is found. Then they are compared with
# finite differences along the space: step a little forth and back, put the points back on the space, and see by how much the distance changes.

# %%
#| export
def _hard_places(trial: _Trial) -> Tensor:
    "Points with others that are equal to them, next to them, opposite and far"
    space, x = trial.space, trial.x[:8]
    many = trial.draw(200, 4)
    half = (many.amax(0) - many.amin(0)) / 2
    farthest = many[space.distance(x, many).argmax(-1)]
    near = [x + grain * trial.size for grain in (0, 1e-38, 1e-19, 1e-7, 1e-3)]
    return space.project(torch.cat([x, *near, -x, x + half, x - half, farthest, *(farthest + grain * trial.size for grain in (-1e-7, 1e-7))]))


def _gradients(trial: _Trial) -> Iterator[str]:
    "What is wrong with derivatives of distances"
    if not trial.space.trainable:
        return
    p = _hard_places(trial).requires_grad_()
    (gradient,) = torch.autograd.grad(trial.space.distance(p).sum(), p)
    if not gradient.isfinite().all():
        yield f"gradients: {int((~gradient.isfinite()).any(-1).sum())} of {len(p)} are not finite, at equal points, near ones, or far ones; choose 0 where there is none"
    x, y = (t.clone().requires_grad_() for t in (trial.x, trial.y))
    d, back = trial.space.distance_vjp(x.detach(), y.detach())
    grad = torch.linspace(-1, 1, d.numel(), dtype=d.dtype).view_as(d)
    truth = trial.space.distance(x, y)
    wanted = torch.autograd.grad(truth, (x, y), grad)
    apart = max((a - b).abs().max().item() for a, b in zip((d, *back(grad)), (truth.detach(), *wanted), strict=True))
    if not apart <= ROUNDINGS * torch.finfo(d.dtype).eps * trial.n * max(trial.size, 1):
        yield f"vjp: distance_vjp and automatic differentiation differ by up to {apart:.3g}"
    if trial.dtype == torch.float64:
        yield from _differences(trial)


# %%
#| export
def _differences(trial: _Trial) -> Iterator[str]:
    "Whether derivatives are those of the distance, by steps along the space"
    space, h = trial.space, 1e-6 * trial.size
    x, y = (t[:, None].clone() for t in (trial.x, trial.y))
    way = torch.randn(x.shape, generator=torch.Generator().manual_seed(5), dtype=x.dtype)
    forth, back = space.project(x + h * way), space.project(x - h * way)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(space.distance(x, y).sum(), x)
    said = (gradient * (forth - back)).sum((-2, -1))
    found = (space.distance(forth, y) - space.distance(back, y))[:, 0, 0]
    smooth = (forth - back).abs().amax((-2, -1)) < 20 * h  # not across a seam
    wrong = smooth & ((said - found).abs() > 1e-3 * h)
    if wrong.sum() > 2:  # one or two may straddle a place where two shortest paths meet
        yield f"gradients: {int(wrong.sum())} of {int(smooth.sum())} are not those of the distance, by finite differences"


# %% [markdown]
# The call runs them all, on every dtype, and says what an exception said if there was one.

# %%
#| export
RULES = (_points, _strays, _metric, _gradients)


@checked
def check_manifold(
    space: str | Manifold,  # to be judged
) -> tuple[bool, str]:  # whether it is one, and if not, why: a reason a line
    "Whether a space keeps what `Manifold` promises, in float32 and float64: its points, the axioms of distance, gradients"
    space = manifold(space)
    reasons = [f"{name} is {value!r}; {want}" for name, value, right, want in (
        ("coordinates", getattr(space, "coordinates", None), lambda c: isinstance(c, int) and c > 0, "give a whole number of 1 or more"),
        ("dim", getattr(space, "dim", None), lambda d: isinstance(d, int) and d >= 0, "give a whole number"),
        ("diameter", getattr(space, "diameter", None), lambda d: isinstance(d, (int, float)) and d > 0, "give a positive number, or math.inf"),
    ) if not right(value)]
    if not reasons:
        for dtype in (torch.float32, torch.float64):
            reasons += [f"{str(dtype).removeprefix('torch.')}: {reason}" for reason in _tried(lambda: _Trial(space, dtype), RULES)]  # noqa: B023
    return not reasons, "\n".join(reasons)


def _tried(make: Callable, rules: tuple) -> list[str]:
    "What each rule finds; an exception counts as a finding"
    reasons = []
    for rule in rules:
        try:
            reasons += rule(make())
        except Exception as error:  # whatever a user's class raises is a reason
            reasons.append(f"{rule.__name__.strip('_')}: {type(error).__name__}: {error}")
    return list(dict.fromkeys(reasons))


# %%
for name in MANIFOLDS:
    test_eq(check_manifold(name), (True, ""))


# %% [markdown]
# ## Spaces with one mistake each
#
# A check is worth what it finds. Here are five ways to go wrong, four of which somebody has gone in earnest.

# %%
class Arccosine(Sphere):
    "The usual formula, as in the authors' code"
    def pairwise(self, x, y):
        return self.radius * torch.acos((x @ y.mT / self.radius**2).clamp(-1, 1))


class Root(Torus):
    "The usual formula"
    def pairwise(self, x, y):
        delta = x[..., :, None, :] - y[..., None, :, :]
        return (delta - self.period * (delta / self.period).round()).pow(2).sum(-1).sqrt()


class Squared(Torus):
    "Without the root, to save time"
    def pairwise(self, x, y):
        return super().pairwise(x, y) ** 2


# %%
class OneWay(Torus):
    "Uphill is farther"
    def pairwise(self, x, y):
        return super().pairwise(x, y) * (1 + 0.1 * (x[..., :, None, 1] > y[..., None, :, 1]))


class Loose(Torus):
    "Strays stay where they are"
    def project(self, x):
        return x


for space in (Arccosine(), Root(), Squared(), OneWay(), Loose()):
    ok, reasons = check_manifold(space)
    print(f"{type(space).__name__}\n    " + reasons.replace("\n", "\n    "))
    assert not ok


# %% [markdown]
# *Predict:* the plain formula with the least over images is right up to rounding, but not symmetric to the last bit. Does it pass?

# %%
class Images(Torus):
    "The least over nine images, in plain torch, with the root's derivative kept finite"
    def pairwise(self, x, y):
        steps = torch.cartesian_prod(*[torch.tensor([-1.0, 0.0, 1.0], dtype=x.dtype)] * 2) * self.period
        square = (x[..., :, None, None, :] - (y[..., None, :, None, :] + steps)).pow(2).sum(-1).amin(-1)
        return torch.where(square > 0, square, 1).sqrt() * (square > 0)


test_eq(check_manifold(Images()), (True, ""))


# %% [markdown]
# It does: where it errs, it errs by rounding.
#
# ## Inhibitors
#
# An inhibitor is judged by the same kind of call: prices that are numbers, not negative, of the shape and dtype of the distances, and a derivative that is finite and theirs.
# A price may be infinite, as it is where a connection is forbidden.

# %%
#| export
@checked
def check_inhibitor(
    f: str | Inhibitor,  # to be judged
) -> tuple[bool, str]:  # whether it is one, and if not, why: a reason a line
    "Whether an inhibitor keeps what `Inhibitor` promises, in float32 and float64: prices of 0 or more, like the distances, and their derivative"
    f = inhibitor(f)
    reasons = []
    for dtype in (torch.float32, torch.float64):
        reasons += [f"{str(dtype).removeprefix('torch.')}: {reason}" for reason in _tried(lambda: (f, dtype), (_prices, _slopes))]  # noqa: B023
    return not reasons, "\n".join(reasons)


# %%
#| export
def _prices(trial: tuple[Inhibitor, torch.dtype]) -> Iterator[str]:
    "What is wrong with prices; what `__call__` refuses, it says itself"
    f, dtype = trial
    d = torch.cat([torch.tensor([0, 1e-30, 1e-6], dtype=dtype), torch.linspace(0, 60, 3000, dtype=dtype)])
    price = f(d)
    for shape in ((3, 1001), (0,), (7, 11, 39)):
        if f(d.new_zeros(shape)).shape != shape:
            yield f"distances {shape} have prices {tuple(f(d.new_zeros(shape)).shape)}"
    alone = f(d[:500]) - price[:500]
    if not alone.nan_to_num(0).abs().max() <= 1e3 * torch.finfo(dtype).eps * price[price.isfinite()].max():  # inf less inf is nan
        yield "the price of a distance depends on which others stand beside it"


def _slopes(trial: tuple[Inhibitor, torch.dtype]) -> Iterator[str]:
    "What is wrong with derivatives"
    f, dtype = trial
    d = torch.cat([torch.tensor([0, 1e-30, 1e-6], dtype=dtype), torch.linspace(0.013, 12, 400, dtype=dtype)])
    price, slope = f.value_and_grad(d)
    plain, wanted = Inhibitor.value_and_grad(f, d)
    finite = price.isfinite() & plain.isfinite()
    if not slope[finite].isfinite().all():
        yield f"the derivative is not finite at a distance of {d[finite & ~slope.isfinite()][0].item():.3g}"
    room = 1e3 * torch.finfo(dtype).eps
    for what, a, b in (("prices", price, plain), ("derivatives", slope, wanted)):
        if not (a - b)[finite].abs().max().nan_to_num(math.inf) <= room * b[finite].abs().max().clamp(min=1):
            yield f"value_and_grad and automatic differentiation give other {what}, by up to {(a - b)[finite].abs().max().item():.3g}"


# %%
for name in INHIBITORS:
    test_eq(check_inhibitor(name), (True, ""))


class Wave(Inhibitor):
    def evaluate(self, d):
        return d.cos()


class Relative(Inhibitor):
    "The dearest of those at hand costs 1"
    def evaluate(self, d):
        return d / d.sum().clamp(min=1)


class Rooted(Inhibitor):
    def evaluate(self, d):
        return d.sqrt()


for f in (Wave(), Relative(), Rooted()):
    ok, reasons = check_inhibitor(f)
    print(f"{type(f).__name__}\n    " + reasons.replace("\n", "\n    "))
    assert not ok


# %% [markdown]
# ## Exercise 1: mend it
#
# *10 min, medium.* `Taxi` can be a metric: the taxi that knows the way over all edges. Write its distance and its diameter. At corners of the road its derivative jumps, but it is finite.

# %%
class GoodTaxi(Torus):
    "A torus whose distance is the way along x plus the way along y, over all edges"
    def pairwise(self, x, y):
        raise NotImplementedError

    @property
    def diameter(self):
        raise NotImplementedError


# %%
#| fold How it is checked
def picture():
    fig, ax = plt.subplots(figsize=(4, 3.4), layout="constrained")
    fig.colorbar(plot_from_point(GoodTaxi(), torch.tensor([8.5, 2.0]), ax), label="distance")
    ax.set(title="how far the taxi goes")
    plt.show()


with exercise("in each coordinate the short way round: the difference, or the period less the difference; the farthest is half a period along x and half along y", picture) as expect:
    corner = torch.tensor([[0.5, 1.0], [9.5, 9.0], [5.5, 6.0]])
    expect(lambda: GoodTaxi().distance(corner)[0], gives=torch.tensor([0.0, 3.0, 10.0]), name="the distances from (0.5, 1) to itself, (9.5, 9) and (5.5, 6)")
    expect(lambda: GoodTaxi().diameter, gives=10.0, name="the diameter")
    ok, reason = check_manifold(GoodTaxi())
    expect.that(ok, f"check_manifold says: {reason}")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# class GoodTaxi(Torus):
#     def pairwise(self, x, y):
#         delta = (x[..., :, None, :] - y[..., None, :, :]).abs()
#         return torch.minimum(delta, self.period - delta).sum(-1)
#
#     @property
#     def diameter(self):
#         return self.period
# ```
#
# A torus has a fast `distance_vjp` of its own, which knows the round distance. A subclass that overrides `pairwise` alone gets the plain one back.
#
# </details>

# %% [markdown]
# ## Exercise 2: which rule?
#
# *5 min, medium.* Let a distance be cut off: $\min(d, 3)$ with the $d$ of the sphere, and a diameter of 3. Which rules does it break? Answer with a list of words from the table, such as `["triangle"]`.

# %%
def broken():
    "A list of the rules, as words of the table, that min(d, 3) breaks"
    raise NotImplementedError


# %%
#| fold How it is checked
class Cut(Sphere):
    diameter = 3.0

    def pairwise(self, x, y):
        return super().pairwise(x, y).clamp(max=3)


ok, reasons = check_manifold(Cut())
apart = torch.linspace(0, 15, 100)
with exercise("take three points and try to make a detour shorter than 3", lambda: draw_lines("distance on the sphere", "distance", uncut=(apart, apart), cut=(apart, apart.clamp(max=3)))) as expect:
    expect(lambda: sorted(broken()), gives=sorted({word for word in ("zero", "symmetry", "triangle", "diameter", "gradients") if word in reasons}), name="your list, sorted,")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def broken():
#     return []
# ```
#
# None. A detour over a third point is at least 3 as soon as one of its two parts is, and else it is as long as it was. To cut a metric off leaves a metric: it just cannot tell far from very far.
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - The first edition's tests asked for symmetry to the last bit. Every space in this book has it, but a space that is glued from images in plain torch has it only up to rounding, and was refused. Now the tolerance is stated.
# - The authors' sphere breaks two rules, zero and gradients, as `Arccosine` above does. Nothing said so.
# - What is not asked: whether points are drawn *uniformly*, since that has no meaning common to all spaces. The tests of this book compare the share of points in a disc with its area, space by space.
#
# ## Recall and think
#
# <details><summary>Recall: how much does the check allow for rounding?</summary>
#
# 64 times the precision of the dtype, times the size of the space.
#
# </details>
#
# <details><summary>Recall: what can it not know?</summary>
#
# Whether points are drawn uniformly, and whether the space is the one that you meant.
#
# </details>
#
# <details><summary>Think: which mistake in a distance would pass all rules?</summary>
#
# The distance of another space, or of the right space at another size. Only an independent formula finds that.
#
# </details>
#
# **Further research.** Which property of a space predicts whether a task gains by it? Shape, dimension, size and the spread of distances come together in every comparison so far. Find a family of spaces in which one of them varies alone (products with weights, or finite spaces that are matched in their prices), and ask one task of all of them.
#
# ## References
#
# - M. Kochurov et al., *Geoopt: Riemannian optimization in PyTorch* (2020), whose manifolds too can be asked whether and why not.
# - N. Miolane et al., *Geomstats: a Python package for Riemannian geometry in machine learning* (2020), the oracle of our tests.
