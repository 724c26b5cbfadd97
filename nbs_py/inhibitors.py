# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Inhibitors
#
# > Functions of distance that say which connections are cheap

# %% [markdown]
# *Reading 30 min, exercises 15 min. To skip at a first reading:* *The others*, *Size is not shape*.
#
# After this chapter you can
#
# - choose which connections a network is to keep: near ones, far ones, or those of one length,
# - tell which choices allow the neurons to move, and which draw them all to one point,
# - compare two manifolds without mistaking size for shape.
#
# The question: *a connection between two neurons at distance $d$ costs $f(d)$: by this price its weight's magnitude is multiplied in the loss. What should $f$ look like?*

# %%
#| default_exp geometry.inhibitors

# %%
#| export
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from modreg.geometry.arguments import Count, NotNegative, Positive, Shape, Within, checked
from modreg.geometry.manifolds import MANIFOLDS, Manifold
from modreg.geometry.specs import Registry

# %%
#| hide
import matplotlib.pyplot as plt
from fastcore.test import test_close, test_eq, test_fail

from modreg.book.exercises import draw_curve, exercise
from modreg.book.explore import embedding_training, inhibitor_shapes
from modreg.geometry.manifolds import Torus, manifold, plot_from_point
from modreg.sparsity.penalties import display_name

plt.style.use("modreg.data.book")

# %%
#| echo: false
#| fig-alt: "Price over distance for six inhibitors: a difference of Gaussians that is lowest a little off 0, a Ricker wavelet that rises from 0 to a ridge, diffusion that rises without end, a sinusoid with several valleys, a Gaussian and a constant."
import modreg.geometry.inhibitors as finished

d = torch.linspace(0, 7, 500)
fig, axes = plt.subplots(2, 3, figsize=(8.4, 5.4), layout="constrained", sharex=True)
for ax, name in zip(axes.flat, ("difference_of_gaussians", "ricker", "diffusion", "sinusoid", "gaussian", "constant"), strict=True):
    f = finished.inhibitor(name)
    price = f(d)
    ax.plot(d, price, color="#440154", lw=2)
    ax.fill_between(d, price, where=price < price.max() / 4, color="#35b779", alpha=0.5, lw=0)
    ax.set(ylim=(0, None), ylabel="price $f(d)$")
    ax.set_title(f"{display_name(name)}\n${f.formula}$", fontsize=10, pad=9)
for ax in axes[-1]:
    ax.set_xlabel("geodesic distance $d$")
plt.show()

# %% [markdown]
# Six inhibitors. Green marks the distances that cost less than a quarter of the highest price shown.
#
# *Predict, before you read on:* a network is trained under each, and the costly connections fade. Under which will a neuron keep
# links to its nearest neighbours? Under which will it keep none? And if the neurons themselves may move to lower the bill, under
# which do they all meet at one point?
#
# Move them yourself. The matrix is that of neurons on a circle, numbered along it. Begin with <a href="#set:inhibitor_shapes?inhibitor=difference_of_gaussians">the paper's difference of Gaussians</a>. <a href="#set:inhibitor_shapes?inhibitor=difference_of_gaussians&b=15">A wider Gaussian</a> moves the free ring outwards; what of <a href="#set:inhibitor_shapes?inhibitor=difference_of_gaussians&c=9">a narrower hole</a>? Then compare <a href="#set:inhibitor_shapes?inhibitor=ricker">the Ricker wavelet</a>, <a href="#set:inhibitor_shapes?inhibitor=diffusion">diffusion</a> and <a href="#set:inhibitor_shapes?inhibitor=sinusoid">the sinusoid</a>.

# %%
inhibitor_shapes()


# %% [markdown]
# *Question:* the difference of Gaussians has a free ring, a dark band on either side of the diagonal of the matrix. Move its parameters until the ring closes. What do $b$ and $c$ have in common then?
#
# ## A function with manners
#
# In the penalty (eq. 6) the inhibitor turns distances to coefficients:
#
# $$R(W) = \lambda\,\underset{u,v}{\mathrm{mean}}\; f\big(d(i(u), i(v))\big)\,|W_{uv}|.$$
#
# A coefficient must not be negative, or the penalty would pay weights to grow without end. That is why each formula in the picture
# is turned so that its least value is 0, or is positive anyway. What rounding leaves below 0 is cut; a price that is really negative,
# or not a number, is refused by name.

# %%
#| export
#| fold The check of prices
def _check_prices(f: "Inhibitor", d: Tensor, prices: Tensor) -> None:
    "ValueError unless the prices are like the distances, numbers, and not negative beyond rounding"
    if not isinstance(prices, Tensor) or prices.shape != d.shape or prices.dtype != d.dtype:
        got = f"{prices.dtype} {tuple(prices.shape)}" if isinstance(prices, Tensor) else type(prices).__name__
        raise ValueError(f"evaluate of {f} gives {got} for distances {d.dtype} {tuple(d.shape)}; give one price for each, of the same dtype")
    if not d.numel() or torch.compiler.is_compiling():
        return
    least, greatest = (bound.item() for bound in prices.detach().aminmax())
    if math.isnan(least):
        first = d.detach()[prices.detach().isnan()][0].item()
        raise ValueError(f"{f} gives nan, first at a distance of {first:g}; a price is a number of 0 or more")
    if least < -64 * torch.finfo(d.dtype).eps * max(abs(greatest), 1.0):
        where = d.detach().flatten()[prices.detach().argmin()].item()
        raise ValueError(f"{f} gives {least:g} at a distance of {where:g}; a price below 0 would pay weights to grow: add its least value, or clamp")


# %% [markdown]
# Each inhibitor also tells whether neurons may be allowed to move under it. That is a question about its curve alone, and further down
# it gets an answer in pictures.

# %%
#| export
#| fold What is read off from a curve
def _collapse(f: "Inhibitor") -> tuple[bool, str]:
    "Whether an embedding may be trained under `f`, and the reason, read off from its values at distances from 0 to 50"
    price = f(torch.linspace(0, 50, 5001, dtype=torch.float64))
    if not price.isfinite().all():
        return False, f"{f} has infinite prices, from which no gradient leads away"
    if price.min() == price.max():
        return False, f"{f} is constant, so it gives an embedding no gradient"
    least = price <= price.min() + 1e-5 * (price.max() - price.min())
    if not least[0]:
        return True, f"{f} is least at a distance of about {int(least.nonzero()[0]) / 100:.2f}, so one point is not the cheapest embedding"
    how = "never falls with distance" if (price.diff() >= 0).all() else "is least at distance 0"
    return False, f"{f} {how}, so all neurons at one point are cheapest and the embedding collapses"


# %%
#| export
FINITE = Shape(kind="float", empty=True, finite=True, least=-1e15, most=1e15)  # distances; of a square, too, single precision has a number


@checked(finite=False)
class Inhibitor(ABC):
    "A function of distance: the price of a connection of that length; never negative, differentiable. A subclass gives `evaluate`"
    formula: ClassVar[str] = "f(d)"  # in LaTeX, for pictures

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        for name, hook in [(name, hook) for name, hook in vars(cls).items() if name in ("evaluate", "value_and_grad")]:
            setattr(cls, name, checked(hook, like=Inhibitor.evaluate, finite=False))
        if "evaluate" in vars(cls) and "value_and_grad" not in vars(cls):  # a parent's would be that of another formula
            cls.value_and_grad = Inhibitor.value_and_grad  # type: ignore[method-assign]

    def __repr__(self):
        return f"{type(self).__name__}()"

    @property
    def name(self) -> str:
        "The text that makes it again, as in `inhibitor(text)`, if its class is registered"
        return INHIBITORS.spell(self)

    @abstractmethod
    def evaluate(self, d: Annotated[Tensor, FINITE]) -> Tensor:
        "Price of each distance, of any shape, by tensor operations that autograd knows"

    def __call__(
        self,
        d: Annotated[Tensor, FINITE],  # distances, any shape
    ) -> Tensor:  # coefficients, same shape
        "Coefficients of weights whose neurons are `d` apart; ValueError if `evaluate` gives nan, negative ones, or another shape"
        prices = self.evaluate(d)
        _check_prices(self, d, prices)
        return prices.clamp(min=0)

    def value_and_grad(
        self,
        d: Annotated[Tensor, FINITE],  # distances, any shape
    ) -> tuple[Tensor, Tensor]:  # coefficients and their derivatives with respect to distance, same shape
        "Value and derivative at once, for loops, prices not looked at; by automatic differentiation, unless a subclass knows better"
        with torch.enable_grad():
            d = d.detach().requires_grad_()
            value = self.evaluate(d).clamp(min=0)
            (grad,) = torch.autograd.grad(value.sum(), d)
        return value.detach(), grad

    @property
    def trainable(self) -> tuple[bool, str]:
        "Whether an embedding may be trained under it, and why: not if all neurons at one point are the cheapest"
        return _collapse(self)


# %% [markdown]
# ## Difference of Gaussians
#
# The paper's inhibitor (eq. 8) takes a wide Gaussian, digs a narrow one out of its middle, and turns the result upside down:
#
# $$f = \max g - g, \qquad g(d) = a\,\big(e^{-d^2/b} - e^{-c d^2}\big).$$
#
# What is left is a free ring. To itself and to its nearest neighbours a neuron pays, to far neurons it pays the same, and between the
# two lies a distance that costs nothing. The first version that comes to mind takes the maximum of the values at hand:

# %%
def naive_difference_of_gaussians(d, a=100.0, b=5.0, c=4.0):
    "max g - g, with the maximum of this very sample"
    g = a * (torch.exp(-(d**2) / b) - torch.exp(-c * d**2))
    return g.max() - g


far = torch.tensor([3.0, 4.0, 5.0])
for sample in (far, torch.cat([far, torch.tensor([1.0])])):
    print("distances", sample.tolist(), "prices", [round(p, 1) for p in naive_difference_of_gaussians(sample).tolist()])


# %% [markdown]
# The same three connections, and other prices, because a fourth joined them. Prices that depend on the company are no prices; and a trained embedding gets a gradient through the maximum. The true maximum is a constant. With
# $t = d^2$, the derivative of $g$ vanishes where $\frac1b e^{-t/b} = c\,e^{-ct}$, so
#
# $$t^* = \frac{\ln bc}{c - 1/b}.$$
#
# For $bc \le 1$ the Gaussian that is dug out is the wider, and there is no ring: that is refused.

# %%
#| export
@checked
@dataclass(frozen=True)
class DifferenceOfGaussians(Inhibitor):
    "max g - g with g(d) = a·(exp(-d²/b) - exp(-c·d²)): near and far are dear, a ring between is free (eq. 8)"
    a: Positive = 100.0  # height
    b: Positive = 5.0  # squared width of the wide Gaussian
    c: Positive = 4.0  # inverse squared width of the narrow one
    formula = r"\max g - g,\ g = a\,(e^{-d^2/b} - e^{-c d^2})"

    def __post_init__(self):
        if self.b * self.c <= 1:
            raise ValueError(f"b·c is {self.b * self.c}; the first Gaussian must be the wider: give b·c > 1")

    @property
    def free_distance(self) -> float:
        return math.sqrt(math.log(self.b * self.c) / (self.c - 1 / self.b))

    @property
    def maximum(self) -> float:
        t = self.free_distance**2
        return self.a * (math.exp(-t / self.b) - math.exp(-self.c * t))

    def _gaussians(self, d):
        "Both Gaussians; none is let down to those smallest of floats with which a processor is slow"
        square = d * d
        return [(square * -t).clamp(min=-80).exp_() for t in (1 / self.b, self.c)]

    def evaluate(self, d):
        wide, narrow = self._gaussians(d)
        return self.maximum - self.a * (wide - narrow)

    def value_and_grad(self, d):
        wide, narrow = self._gaussians(d)
        grad = (wide * (1 / self.b)).sub_(narrow, alpha=self.c).mul_(d).mul_(2 * self.a)
        return wide.sub_(narrow).mul_(-self.a).add_(self.maximum).clamp_(min=0), grad


# %%
dog = DifferenceOfGaussians()
print(f"free at a distance of {dog.free_distance:.3f}; self and far cost {dog.maximum:.2f}")
d = torch.linspace(0, 20, 200_001, dtype=torch.float64)
test_close(dog(d), naive_difference_of_gaussians(d), eps=1e-5)  # so dense a sample finds the maximum
test_close(dog(torch.tensor([0.0, dog.free_distance, 50.0])), torch.tensor([dog.maximum, 0, dog.maximum]), eps=1e-4)
assert (dog(d.float()) >= 0).all()
test_fail(lambda: DifferenceOfGaussians(b=0.1), contains="wider")

# %%
#| fig-alt: "Left: a wide and a narrow Gaussian and their difference, which has its peak near distance 0.9. Right: turned upside down it is a price, free at that distance."
d = torch.linspace(0, 5, 400)
wide, narrow = dog._gaussians(d)
fig, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3), layout="constrained")
left.plot(d, dog.a * wide, color="#35b779", label="wide")
left.plot(d, dog.a * narrow, color="#31688e", label="narrow")
left.plot(d, dog.a * (wide - narrow), "k--", label="$g$, wide less narrow")
right.plot(d, dog(d), color="#440154", lw=2)
right.axvline(dog.free_distance, color="0.5", linestyle=":", label="free distance")
for ax, title in ((left, "two Gaussians"), (right, "turned upside down: the price $f$")):
    ax.set(title=title, xlabel="geodesic distance $d$", ylim=(0, None))
    ax.legend()
plt.show()


# %% [markdown]
# The ring closes where $bc = 1$ (<a href="#set:inhibitor_shapes?inhibitor=difference_of_gaussians&b=1&c=1.05">nearly so here</a>): then the two Gaussians are one and the same. That answers the question under the moving figure.
#
# ## The others
#
# *Ricker*, the wavelet of eq. 7, is the wiring that theorists write down by hand for *grid cells*, neurons of a rat's brain each of which fires wherever the rat is at a node of a hexagonal lattice. Turned upside down it makes near
# connections free, a ring beyond them dearest, and far ones a little less dear. Since its maximum is at 0, the inhibitor is 0 there.

# %%
#| export
@checked
@dataclass(frozen=True)
class Ricker(Inhibitor):
    "max ψ - ψ with the Ricker wavelet ψ: near is free, a ring is dearest, far is a little less dear (eq. 7)"
    s: Positive = 1.0  # width; the dearest distance is √3·s
    formula = r"\max\psi - \psi,\ \psi = \frac{2}{\sqrt{3s}\,\pi^{1/4}}(1 - \frac{d^2}{s^2})\,e^{-d^2/2s^2}"

    @property
    def maximum(self) -> float:
        return 2 / (math.sqrt(3 * self.s) * math.pi**0.25)

    def evaluate(self, d):
        t = (d / self.s) ** 2
        return self.maximum * (t * torch.exp(-t / 2) - torch.expm1(-t / 2))


# %% [markdown]
# *Diffusion* and the *sinusoid* are the paper's alternatives (appendix E). A *Gaussian* dip is diffusion that levels off: near is cheap,
# and far costs no more than farther. A *constant* makes the penalty plain L1, the baseline.

# %%
#| export
@checked
@dataclass(frozen=True)
class Diffusion(Inhibitor):
    "d²: the further, the dearer (appendix E)"
    formula = r"d^2"

    def evaluate(self, d):
        return d**2


@checked
@dataclass(frozen=True)
class Sinusoid(Inhibitor):
    "50 + 50·cos 2d: rings of cheap and dear by turns (appendix E)"
    formula = r"50 + 50\,\cos 2d"

    def evaluate(self, d):
        return 50 + 50 * torch.cos(2 * d)

    def value_and_grad(self, d):
        return self.evaluate(d).clamp(min=0), -100 * torch.sin(2 * d)


# %%
#| export
@checked
@dataclass(frozen=True)
class Gaussian(Inhibitor):
    "height·(1 - exp(-d²/(2·scale²))): near is free, far costs `height` and no more"
    height: Positive = 100.0  # price of far connections
    scale: Positive = 1.0  # width of the dip
    formula = r"h\,(1 - e^{-d^2/2s^2})"

    def evaluate(self, d):
        return -self.height * torch.expm1(-((d / self.scale) ** 2) / 2)


@checked
@dataclass(frozen=True)
class Constant(Inhibitor):
    "The same for every connection, which makes the penalty plain L1"
    value: Positive = 1.0  # price of every connection
    formula = r"\mathrm{const}"

    def evaluate(self, d):
        return self.value + 0 * d  # keeps the way to `d` open for autograd, with gradient 0


# %% [markdown]
# The last one takes no part in the figure at the top, since its price is not a number that one can draw: nothing for a neuron's connection to
# itself, and infinite for all others. It makes an *independently recurrent* network, in which each neuron hears only itself. As a penalty an
# infinite price would be of no use. So the regularizer reads it as a mask: what costs infinitely much is zero from the start. Two neurons
# that share a point are at distance 0, and so they may talk. With a `reach`, the mask leaves all that are near.

# %%
#| export
@checked
@dataclass(frozen=True)
class Independent(Inhibitor):
    "0 up to `reach` and infinite beyond: with a reach of 0 each neuron is connected to itself alone, as in an IndRNN (appendix E)"
    reach: NotNegative = 0.0  # distance up to which connections are free
    formula = r"0\ (d \leq r),\ \infty\ (d > r)"

    def evaluate(self, d):
        return torch.where(d > self.reach, math.inf, 0 * d)


# %%
test_eq(Independent()(torch.tensor([0.0, 1e-30, 2.0])), torch.tensor([0.0, math.inf, math.inf]))
print(Independent().trainable[1])

# %% [markdown]
# `inhibitor` reads one from text such as `ricker(s=2)`, passes objects through, and lists the names if it doesn't know one. One of your own
# gets a name by `register_inhibitor`.

# %%
#| export
INHIBITORS = Registry("inhibitor", Inhibitor)  # what can be written where an inhibitor is wanted
for _name, _maker in {"difference_of_gaussians": DifferenceOfGaussians, "ricker": Ricker, "diffusion": Diffusion, "sinusoid": Sinusoid,
                      "gaussian": Gaussian, "constant": Constant, "independent": Independent}.items():
    INHIBITORS.register(_name, _maker)


@checked
def inhibitor(
    spec: str | Inhibitor,  # such as "diffusion", "ricker(s=2)"; or an inhibitor
) -> Inhibitor:  # the inhibitor
    "The inhibitor that a text describes; ValueError says what can be written"
    return INHIBITORS.make(spec)


@checked
def register_inhibitor(
    name: str,  # for use wherever an inhibitor is named
    made: type[Inhibitor] | Inhibitor,  # a class whose arguments can be written, or an inhibitor that is ready
) -> None:
    "Give an inhibitor of your own a name"
    INHIBITORS.register(name, made)


# %%
test_eq(inhibitor("ricker(s=2)"), Ricker(2.0))
test_eq(inhibitor(dog), dog)
test_fail(lambda: inhibitor("dog"), contains="difference_of_gaussians, ricker")
test_fail(lambda: dog(0.5), contains="floating tensor")

d = torch.tensor([0.1, 0.5, 1.5, 4.0], dtype=torch.float64, requires_grad=True)
for f in INHIBITORS.values():
    if isinstance(f, Independent):  # which has no derivative to speak of
        continue
    assert torch.autograd.gradcheck(f, d)
    for mine, oracle in zip(f.value_and_grad(d), Inhibitor.value_and_grad(f, d), strict=True):
        torch.testing.assert_close(mine.detach(), oracle)
    at_zero = torch.zeros(1, requires_grad=True)
    test_eq(torch.autograd.grad(f(at_zero).sum(), at_zero)[0].item(), 0)  # smooth at 0

# %% [markdown]
# ## What one neuron pays
#
# On a manifold a curve becomes a landscape. The star is one neuron; each place shows what a connection to a neuron there would cost.

# %%
#| fig-alt: "What a neuron in the middle of a square pays for partners around it, under four inhibitors: a free ring under the difference of Gaussians, a free centre under the Ricker wavelet and diffusion, and several rings under the sinusoid."
fig, axes = plt.subplots(2, 2, figsize=(8, 6.6), layout="constrained")
for ax, name in zip(axes.flat, ("difference_of_gaussians", "ricker", "diffusion", "sinusoid"), strict=True):
    colours = plot_from_point(Torus(), torch.tensor([6.0, 4.0]), ax, inhibitor(name))
    ax.set(title=display_name(name))
    fig.colorbar(colours, ax=ax, shrink=0.8, label="price")
plt.show()


# %% [markdown]
# Dark is cheap. Under the difference of Gaussians a neuron keeps a ring of partners, and under diffusion or Ricker a disc around itself.
# The sinusoid leaves it several rings. Every neuron has the same landscape, moved to its own place: this is what
# gives the wiring a shape.

# %% [markdown]
# ## Neurons that move
#
# With a trained embedding the neurons too follow the gradient. The paper warns of monotone inhibitors: the bill is least when all neurons
# stand on one point. It calls the difference of Gaussians and the Ricker wavelet safe. Are they?
#
# *Predict,* then let 60 neurons with equal weights descend the mean price on the torus.

# %%
def settle(f, space, steps=150, rate=0.1):
    "Points of 60 neurons after descending the mean price of all pairs"
    x = space.sample(60, torch.Generator().manual_seed(0)).requires_grad_()
    optimizer = torch.optim.Adam([x], lr=rate)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * (1 - step / steps)
        optimizer.zero_grad()
        f(space.distance(x)).mean().backward()
        optimizer.step()
        with torch.no_grad():
            x.copy_(space.project(x))
    return x.detach()


def nearest(space, x):
    "Mean distance of a neuron to its nearest neighbour"
    return space.distance(x).fill_diagonal_(math.inf).amin(-1).mean().item()


# %%
#| fig-alt: "Where neurons move when they may: from a random start, under a difference of Gaussians into one tight cluster, under the sinusoid and the Ricker wavelet into separate groups, under diffusion onto a line."
torus, start = Torus(), Torus().sample(60, torch.Generator().manual_seed(0))
settled = {"start": start} | {name: settle(inhibitor(name), torus) for name in ("difference_of_gaussians", "sinusoid", "ricker", "diffusion")}
fig, axes = plt.subplots(2, 3, figsize=(8.5, 6), layout="constrained")
for ax, (name, x) in zip(axes.flat[:-1], settled.items(), strict=True):
    ax.plot(*torus.chart(x).T, "o", color="#31688e", alpha=0.6, markersize=6, markeredgewidth=0)
    ax.set(title=display_name(name), xlim=(0, 10), ylim=(0, 10), aspect="equal", xlabel="x")
    f = inhibitor(name) if name != "start" else dog
    print(f"{display_name(name):23} nearest neighbour at {nearest(torus, x):.3f}, mean distance {torus.distance(x).mean():.2f}, "
          f"mean price {f(torus.distance(x)).mean():5.2f}; all at one point {f(torch.zeros(1)).item():.2f}")
for ax in axes[:, 0]:
    ax.set_ylabel("y")
axes.flat[-1].axis("off")
plt.show()

# %% [markdown]
# Many neurons end on top of each other, so that few dots are left. The lines above the picture say how near the nearest neighbour of a neuron is then, and what the embedding costs; the last number of each is what it would cost to have all neurons at one point.
#
# - *Ricker* collapses too, though to many points rather than one: its price is 0 at distance 0, so a clump costs nothing inside, and
#   what lies beyond its ring merely stays away. What counts is not whether $f$ is monotone but whether **its least value is at
#   distance 0**. Then one point for all is a global minimum, and descent goes there in clumps.
# - *Diffusion* would be cheapest at one point. Here descent stopped before it: neurons all round the torus are pulled equally from both
#   sides. Collapse is a danger, not a certainty.
# - The *sinusoid* makes one point the dearest of all embeddings, and clumps all the same: a few clumps at cheap distances from each other
#   cost less than neurons spread out, since only few pairs share a clump.
# - The *difference of Gaussians* alone keeps neurons apart. Yet they draw together to one patch about as wide as the free distance, since
#   elsewhere nobody is free. Nothing remains of the torus.
#
# Random weights, as in the next figure, pull neurons hither and thither. Each click goes on for twenty steps: <a href="#set:embedding_training?20 steps=1">under the difference of Gaussians</a>. Or begin anew, <a href="#set:embedding_training?inhibitor=diffusion&20 steps=1">under diffusion</a> and <a href="#set:embedding_training?inhibitor=ricker&20 steps=1">under the Ricker wavelet</a>.

# %%
embedding_training()

# %% [markdown]
# *Question:* under the difference of Gaussians, do random weights leave more of the torus than equal ones did? And what becomes of a neuron that all others push away alike?
#
# In the picture further up all weights are equal and stay so. In training the weights pull against this, but it is a thing to watch. `trainable`
# says what is certain beforehand, and no more:

# %%
for f in INHIBITORS.values():
    ok, reason = f.trainable
    print(f"{'yes' if ok else 'no ':4} {reason}")
test_eq([name for name, f in INHIBITORS.items() if f.trainable[0]], ["difference_of_gaussians", "sinusoid"])
assert nearest(torus, settled["ricker"]) < nearest(torus, settled["difference_of_gaussians"]) < nearest(torus, start)


# %% [markdown]
# ## Size is not shape
#
# Two manifolds can differ in the *mean* coefficient. The one with the larger mean has simply the stronger penalty. Since distances of
# two independent random points are cheap to draw, the mean is easy to estimate.

# %%
#| export
def _random_distances(space: Manifold, pairs: int, generator: torch.Generator | None) -> Tensor:
    "Distances (pairs,) of random pairs of points"
    x, y = (space.sample((pairs, 1), generator, dtype=torch.float64) for _ in range(2))
    return space.distance(x, y).flatten()


@checked
def mean_coefficient(
    manifold: str | Manifold,
    inhibitor: str | Inhibitor,
    pairs: Count = 100_000,  # random pairs of points to average over
    generator: torch.Generator | None = None,  # source of randomness
) -> float:  # mean price of a connection
    "Mean coefficient of two random neurons on a manifold"
    return INHIBITORS.make(inhibitor)(_random_distances(MANIFOLDS.make(manifold), pairs, generator)).mean().item()


# %%
#| fig-alt: "Histograms of the price of a pair on circle, torus and six-dimensional torus: the more dimensions, the more pairs pay the full price."
fig, axes = plt.subplots(1, 3, figsize=(10, 2.6), layout="constrained", sharey=True)
for name in ("torus", "klein", "circle", "sphere", "s3", "torus6"):
    price = dog(_random_distances(manifold(name), 100_000, torch.Generator().manual_seed(0)))
    print(f"{display_name(name):12} mean {price.mean():5.1f}    at nearly full price {(price > 0.9 * dog.maximum).double().mean():4.0%}")
    if name in (shown := ["circle", "torus", "torus6"]):
        axes[shown.index(name)].hist(price, bins=41, range=(0, 82), weights=torch.full_like(price, 100 / len(price)), color="#31688e")
        axes[shown.index(name)].set(title=display_name(name), xlabel="price")
axes[0].set_ylabel("pairs of neurons (%)")
plt.show()


# %% [markdown]
# On the 6-torus nearly every pair pays nearly the full price: the penalty is uniform L1 in all but name, and stronger than the
# torus's. So a comparison of torus and 6-torus compares three things at once: shape, strength, and how much geometry is left.
#
# One remedy is to give both spaces the same mean. Distances scale with the space, so we draw them once and look for the factor, the one
# nearest to 1 if there are several.

# %%
#| export
@checked
def matched(
    manifold: str | Manifold,  # to be scaled
    inhibitor: str | Inhibitor,
    mean: float,  # wanted mean coefficient, such as that of another manifold
    pairs: Count = 100_000,  # random pairs of points to average over
    generator: torch.Generator | None = None,  # source of randomness
) -> Manifold:  # the same shape at another size
    "A larger or smaller copy of a manifold with a given mean coefficient; ValueError if no size has it"
    space, f = MANIFOLDS.make(manifold), INHIBITORS.make(inhibitor)
    d = _random_distances(space, pairs, generator)

    def too_dear(log_factor: float) -> bool:
        return f(d * math.exp(log_factor)).mean().item() > mean

    now = too_dear(0.0)
    for step in sorted((k / 10 for k in range(-60, 41) if k), key=abs):  # factors from e^-6 to e^4, nearest to 1 first
        if too_dear(step) != now:
            inner, outer = step - math.copysign(0.1, step), step
            for _ in range(30):
                middle = (inner + outer) / 2
                inner, outer = (middle, outer) if too_dear(middle) == now else (inner, middle)
            return space.scaled(math.exp(inner))
    raise ValueError(f"no size of {space} has a mean coefficient of {mean} under {f}; give one that it reaches")


# %%
def seeded():
    return torch.Generator().manual_seed(0)


wanted = mean_coefficient(torus, dog, generator=seeded())
for name in ("circle", "sphere", "torus6"):
    alike = matched(manifold(name), dog, wanted, 20_000, seeded())
    test_close(mean_coefficient(alike, dog, 20_000, seeded()), wanted, eps=1e-3)
    print(f"{display_name(name):8} {alike.diameter / manifold(name).diameter:.3f} times as large")
test_fail(lambda: matched(torus, dog, 500.0, 1000, seeded()), contains="no size")


# %% [markdown]
# The other remedy asks how densely neurons stand. $N$ random neurons leave gaps; the *covering radius* is how far a point can be from the nearest neuron. Where it is large, few
# neurons lie within reach of each other, whatever the inhibitor.

# %%
#| export
@checked
def covering_radius(
    manifold: str | Manifold,
    n: Annotated[int, Within(1, 10**6)],  # how many neurons
    generator: torch.Generator | None = None,  # source of randomness
    draws: Annotated[int, Within(1, 10**4)] = 8,  # sets of neurons to average over
    probes: Annotated[int, Within(1, 10**6)] = 2000,  # points of each draw whose nearest neuron is looked up
) -> float:  # mean over draws of the greatest distance from a probe to its nearest neuron
    "Radius within which every point of a space has one of `n` random neurons; a little less than in truth, since not every point is tried"
    space = MANIFOLDS.make(manifold)
    gaps = [space.distance(space.sample(probes, generator), space.sample(n, generator)).amin(-1).max().item() for _ in range(draws)]
    return sum(gaps) / draws


@checked
def matched_covering(
    manifold: str | Manifold,  # to be scaled
    radius: Positive,  # wanted covering radius, such as that of another space
    n: Annotated[int, Within(1, 10**6)],  # how many neurons
    generator: torch.Generator | None = None,  # source of randomness
) -> Manifold:  # the same shape at another size
    "A larger or smaller copy of a space on which `n` random neurons have a given covering radius"
    space = MANIFOLDS.make(manifold)
    found = covering_radius(space, n, generator)
    if not found:
        raise ValueError(f"n is {n}, and so many neurons are at every point of {space}; give fewer than it has points")
    return space.scaled(radius / found)


# %%
#| fig-alt: "Covering radius against the number of neurons on logarithmic scales: it falls fastest on the circle, more slowly on torus and sphere, and hardly at all on the six-dimensional torus."
sizes = [10, 30, 100, 300, 1000]
fig, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
for name, colour in zip(("circle", "torus", "sphere", "torus6"), plt.get_cmap("viridis")(torch.linspace(0, 0.85, 4)), strict=True):
    radii = [covering_radius(name, n, seeded(), draws=4) for n in sizes]
    ax.loglog(sizes, radii, "o-", color=colour, label=display_name(name))
    print(f"{display_name(name):8} covering radius of 1000 neurons {radii[-1]:.2f}; it is 1 on one {matched_covering(name, 1.0, 1000, seeded()).diameter / manifold(name).diameter:.3g} times as large")
ax.set(xlabel="neurons $N$", ylabel="covering radius")
ax.legend()
plt.show()

small, large = (covering_radius(Torus(period=period), 100, seeded()) for period in (1.0, 10.0))
test_close(large / small, 10, eps=1e-4)


# %% [markdown]
# On the circle ten times the neurons leave about a tenth of the gaps; in six dimensions they hardly matter, and most neurons have nobody near.
#
# An honest comparison reports all three: spaces as they come, of matched mean, and of matched covering radius. For each the regularizer takes the copy as it is: `ModuliRegularizer(rnn, matched("sphere", dog, wanted))`.
#
# ## Exercise 1: a ring
#
# *10 min, medium.* Write an inhibitor that makes connections of one length free, and whose price never exceeds a height, with a ring as wide as you like:
# $f(d) = h\,\big(1 - e^{-(d - r)^2 / 2w^2}\big)$. Is it trainable? Which radius would make it collapse?

# %%
@dataclass(frozen=True)
class Ring(Inhibitor):
    "height·(1 - exp(-(d - radius)²/(2·width²))): one length is free"
    height: Positive = 100.0
    radius: float = 2.0
    width: float = 0.5

    def evaluate(self, d):
        raise NotImplementedError


# %%
#| fold How it is checked
def picture():
    fig, ax = plt.subplots(figsize=(4.2, 3.6), layout="constrained")
    fig.colorbar(plot_from_point(manifold("klein"), torch.tensor([8.5, 2.5]), ax, Ring()), label="price")
    ax.set(title="a ring on the Klein bottle")
    plt.show()


with exercise("the formula as it stands; torch.expm1(x) is exp(x) - 1, and exact for small x", picture) as expect:
    expect(Ring(), torch.tensor([2.0, 2.5, 9.0]), gives=torch.tensor([0.0, 39.3469, 100.0]), within=1e-3, name="the price of lengths 2, 2.5 and 9")
    expect(Ring(radius=0.0, width=1.0), torch.linspace(0, 5, 6), gives=Gaussian()(torch.linspace(0, 5, 6)), name="a ring of radius 0 and width 1")
    expect(lambda: [Ring().trainable[0], Ring(radius=0.0).trainable[0]], gives=[True, False], name="whether rings of radius 2 and 0 are trainable")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# @dataclass(frozen=True)
# class Ring(Inhibitor):
#     "height·(1 - exp(-(d - radius)²/(2·width²))): one length is free"
#     height: float = 100.0
#     radius: float = 2.0
#     width: float = 0.5
#
#     def evaluate(self, d):
#         return -self.height * torch.expm1(-(((d - self.radius) / self.width) ** 2) / 2)
# ```
#
# It is trainable for every radius above 0; at radius 0 it is the Gaussian dip, which collapses.
#
# </details>

# %% [markdown]
# ## Exercise 2: how many partners are free?
#
# *5 min, medium.* On a torus of area 100 with $N$ neurons, about how many does one find at distances between $r$ and $r + w$, if $r + w$ is less than 5?

# %%
def partners(n, r, w):
    "About how many of n neurons on a torus of area 100 lie at distances between r and r + w from one"
    raise NotImplementedError


# %%
#| fold How it is checked
apart = Torus().distance(Torus().sample(2000, torch.Generator().manual_seed(5)))


def counted(r):
    return ((apart > r) & (apart < r + 0.5)).sum(1).float().mean().item()


with exercise("the area of a ring times the density of neurons; a ring is the difference of two discs, and a disc of radius r has the area πr²",
              lambda: draw_curve(lambda r: partners(2000, r, 0.5), torch.arange(0, 4.6, 0.5).tolist(), "inner radius", "partners of 2000", counted=[counted(r) for r in torch.arange(0, 4.6, 0.5).tolist()])) as expect:
    expect(partners, 2000, 1.0, 0.5, gives=counted(1.0), within=0.04)
    expect(partners, 2000, 3.0, 0.5, gives=counted(3.0), within=0.04)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def partners(n, r, w):
#     return math.pi * ((r + w) ** 2 - r**2) * n / 100
# ```
#
# Up to a distance of 5 a disc on the torus is as large as in the plane. Beyond, it meets itself.
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - *The sample's maximum* made prices depend on which pairs happened to be in the matrix; the analytic one ended that.
# - *"Square" means two things.* The authors' code penalizes far pairs by $d^2$ in navigation, but inverts it for language, where it
#   penalizes near ones. Here `Diffusion` is always the formula of appendix E: far is dear.
# - *Ricker* is called safe for trained embeddings. Taken as an inhibitor that is never negative, it is not: one point costs nothing.
# - *Size and shape.* The paper's manifolds differ in mean coefficient, as measured above, and its tables do not separate the two.
#
# ## Recall and think
#
# <details><summary>Recall: under which inhibitors may neurons not be trained to move, and how does one see it from the curve?</summary>
#
# Under those whose least price is at distance 0: one point for all is then cheapest.
#
# </details>
#
# <details><summary>Recall: why is the maximum of the difference of Gaussians not taken from the sample?</summary>
#
# Prices would depend on which other pairs there are, and the gradient would flow through one of them.
#
# </details>
#
# <details><summary>Think: two spaces differ in shape and in mean price, and one does better. Name two experiments that tell the two apart.</summary>
#
# Scale one so that the mean prices agree, or scale it so that neurons stand as densely; and shuffle each space's prices, which keeps the mean and loses the shape.
#
# </details>
#
# ## References
#
# - Geometric sparsification in recurrent neural networks, eqs. 6–8 and appendix E; its tables 15 and 16 compare inhibitors.
# - Y. Burak and I. Fiete, *Accurate path integration in continuous attractor network models of grid cells* (2009): wiring by a
#   difference of Gaussians, written by hand.
