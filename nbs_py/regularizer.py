# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Moduli regularization
#
# > Equation 6: a penalty on weights that depends on where their neurons live

# %% [markdown]
# *Reading 25 min, exercises 15 min. To skip at a first reading:* *Without a graph*, *Do all forms agree?*, *Mistakes that are caught*.
#
# After this chapter you can
#
# - add the penalty to a training loop of your own with two lines, for the weights of any layer,
# - say what it does to a weight, and how strong it must be,
# - let neurons find their own places, and tell when they should not.
#
# The question: *can a penalty give a weight matrix a shape?*

# %%
#| default_exp sparsity.regularizer

# %%
#| export
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from modreg.geometry.arguments import Count, NotNegative, OneOf, Shape, Share, Within, check, checked
from modreg.geometry import inhibitors, manifolds
from modreg.geometry.inhibitors import Inhibitor
from modreg.geometry.manifolds import Manifold
from modreg.geometry.specs import split
from modreg.sparsity.fused import Given, PenalizedWeight, add_gradient_to, coefficient_view, distances_of, embed_, given_coefficients, mask_of, penalty_of
from modreg.sparsity.fused import place_, shrink_, size_of
from modreg.sparsity.weights import Slot, find_weights, for_each, layout

# %%
#| hide
import matplotlib.pyplot as plt
from fastcore.test import test_close, test_eq, test_fail

from modreg import ModuliRegularizer
from modreg.book.exercises import draw_curve, exercise
from modreg.book.explore import neighbourhoods
from modreg.sparsity.penalties import PENALTIES, display_name

plt.style.use("modreg.data.book")

# %%
rnn, out = nn.RNN(4, 100, nonlinearity="relu"), nn.Linear(100, 4)
reg = ModuliRegularizer(rnn, manifold="torus", inhibitor="difference_of_gaussians", strength=0.1)  # one line makes it
x = torch.rand(10, 16, 4)
loss = (out(rnn(x)[0])[1:] - x[:-1]).square().mean() + reg()  # and `+ reg()` uses it
loss.backward()

# %% [markdown]
# That is all that your loop needs. Each of the hundred hidden neurons gets a point on a torus, and each connection a price:

# %%
#| code-fold: true
#| fig-alt: "Left: neurons on a square, coloured by the price of a connection to a star: cheap in a ring around it, dear elsewhere. Right: the matrix of all prices, with cheap bands near the diagonal."
generator = torch.Generator().manual_seed(0)
torus, dog = manifolds.Torus(), inhibitors.DifferenceOfGaussians()
points = torus.sample(100, generator)
points = points[points[:, 0].argsort()]  # neurons numbered from left to right, for the picture's sake
prices = dog(torus.distance(points))
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
dots = left.scatter(*torus.chart(points).T, c=prices[50], cmap="viridis")
left.scatter(*points[50], marker="*", s=150, color="C1")
left.set(xlabel="x", ylabel="y", aspect="equal", title="price of a weight to the star")
image = right.imshow(prices, cmap="viridis")
right.set(xlabel="from neuron", ylabel="to neuron", title="all coefficients")
fig.colorbar(image, ax=(left, right), label="f(d)")
plt.show()

# %% [markdown]
# On the left what one of the neurons, the star, pays for a connection to each other one; on the right what all pay for all.
#
# *Predict:* if these prices act on random weights and nothing else does, which weights are left?
#
# The same in three steps, as in the paper's figure 1:

# %%
#| code-fold: true
#| fig-alt: "Three steps in pictures: a matrix joins all pairs of four neurons, each neuron gets a place, and the distance of two places sets the price of their connection."
few = torch.tensor([[2.0, 2.0], [3.5, 6.0], [7.5, 3.0], [8.0, 7.5]])
fig, (net, place, price) = plt.subplots(1, 3, figsize=(8, 2.8), layout="constrained")
ring = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, -1.0], [-1.0, 0.0]])
for a in range(4):
    for b in range(4):
        if a != b:
            net.annotate("", ring[b] * 0.85, ring[a] * 0.85, arrowprops=dict(arrowstyle="->", color="0.6", connectionstyle="arc3,rad=0.15"))
for ax, where in ((net, ring), (place, few)):
    ax.scatter(*where.T, s=220, color="C0", zorder=3)
    for k, (x, y) in enumerate(where.tolist()):
        ax.text(x, y, "uvwz"[k], color="white", ha="center", va="center", zorder=4)
place.plot(*few[:2].T, color="C1")
place.text(3.1, 3.7, "d(u, v)", color="C1")
d = torch.linspace(0, 7, 100)
price.plot(d, dog(d), color="C0")
apart = torus.distance(few[:2])[0, 1]
price.plot([apart, apart, 0], [0, dog(apart), dog(apart)], "--", color="C1")
net.set(title="a hidden matrix joins all pairs", xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), aspect="equal")
net.set_axis_off()
place.set(title="each neuron gets a place", xlim=(0, 10), ylim=(0, 10), aspect="equal", xticks=[], yticks=[])
price.set(title="distance sets the price f(d)", xlabel="d", xticks=[0, float(apart)], xticklabels=["0", "d(u, v)"], ylim=(0, None))
plt.show()


# %% [markdown]
# The price multiplies the magnitude of the weight from $v$ to $u$, and the mean over all pairs is added to the loss.
#
# ## A price for each pair
#
# Give each of $N$ hidden neurons a point $i(u)$ on a manifold $M$. The inhibitor $f$ turns the distance of two points into the price of the
# weight between them:
#
# $$R(W) = \lambda \, \frac{1}{N^2} \sum_{u,v} f\big(d_M(i(u), i(v))\big)\, |W_{uv}|^n.$$
#
# This is equation 6. The paper writes a sum and its code takes the mean; so do we, and $\lambda$ below is for the mean. As the formula is read, with the paper's $n = 1$:

# %%
def naive_penalty(weight: Tensor, points: Tensor, space: Manifold, f: Inhibitor, strength: float) -> Tensor:
    "Eq. 6 in mean form, under automatic differentiation"
    return strength * (f(space.distance(points)) * weight.abs()).mean()


test_close(reg().item(), naive_penalty(rnn.weight_hh_l0, reg.embedding, torus, dog, 0.1).item(), eps=1e-6)

# %% [markdown]
# The figure below is alive: pick a neuron. Where does <a href="#set:neighbourhoods?manifold=torus">the torus</a> differ from <a href="#set:neighbourhoods?manifold=klein">the Klein bottle</a>? Which neuron has cheap partners on both sides of a glued edge? And how many cheap partners are there on <a href="#set:neighbourhoods?manifold=circle">a circle</a>, or under <a href="#set:neighbourhoods?manifold=torus&inhibitor=diffusion">diffusion</a>?

# %%
#| echo: false
neighbourhoods()


# %% [markdown]
# ## What it does to a network
#
# A task that does not matter: repeat the input of the step before. Beside the penalty stand three that show what the geometry is worth ([penalties](penalties.ipynb) has them all): none; the same
# price for every weight; and the same prices dealt out at random.

# %%
def train(penalty="moduli", steps=400, **options):
    torch.manual_seed(0)
    rnn, out = nn.RNN(4, 100, nonlinearity="relu"), nn.Linear(100, 4)
    reg = PENALTIES[penalty](rnn, "torus", strength=0.05, generator=torch.Generator().manual_seed(1), **options)
    optimizer = torch.optim.Adam([*rnn.parameters(), *out.parameters()], lr=2e-3)
    if options.get("train_embedding"):
        optimizer.add_param_group({"params": reg.parameters(), "lr": 0.02})
    for _ in range(steps):
        x = torch.rand(10, 16, 4)
        loss = (out(rnn(x)[0])[1:] - x[:-1]).square().mean() + reg()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        reg.project_()
    return rnn.weight_hh_l0.detach(), reg.embedding.detach()


trained = {name: train(name) for name in ("moduli", "none", "l1", "shuffled")}

# %%
#| fig-alt: "Mean size of a weight by distance after training: under moduli it has a peak at the free distance, under no penalty it is even and large, under L1 and shuffled prices small everywhere."
fig, ax = plt.subplots(figsize=(5.5, 3.2), layout="constrained")
edges = torch.linspace(0, 7, 15)
for name, (weight, points) in trained.items():
    distance = torus.distance(points)
    inside = [(distance >= a) & (distance < b) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    ax.plot((edges[:-1] + edges[1:]) / 2, [weight.abs()[i].mean() for i in inside], "o-", markersize=3, label=display_name(name))
ax.axvline(dog.free_distance, color="0.5", linestyle=":", label="free distance")
ax.set(xlabel="geodesic distance", ylabel="mean |weight|")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# Check your prediction: under moduli large weights gather where the inhibitor is least, and the diagonal (distance 0) is emptied too. Under every control the curve
# is level.

# %%
weight, points = trained["moduli"]
distance = torus.distance(points)
free = (distance > 0.5) & (distance < 1.5)
assert weight.abs()[free].mean() > 3 * weight.abs()[distance > 3].mean()
weight, _ = trained["shuffled"]  # the points are the same
assert 0.6 < weight.abs()[free].mean() / weight.abs()[distance > 3].mean() < 1.6


# %% [markdown]
# ## Neurons that move
#
# Section 2.3 of the paper lets the points move too, down the gradient of the same penalty. They need a learning rate of their own, since they are measured in other units than weights, and `project_()` after each step brings
# them back to the manifold.
#
# *Predict:* where do the neurons go, under the difference of Gaussians? And under the Ricker wavelet, which is least at distance 0 but falls again far away?

# %%
#| fig-alt: "Neurons and their connections when places may move: as drawn, gathered in two clusters under a difference of Gaussians, and spread as a net under the Ricker wavelet."
def moved(ax, weight, points, title):
    "Neurons, and their 200 strongest connections"
    pairs = weight.abs().fill_diagonal_(0).flatten().topk(200).indices
    for u, v in zip(points[pairs // 100], points[pairs % 100], strict=True):
        near = u + (v - u + 5) % 10 - 5  # the short way round
        ax.plot(*torch.stack([u, near]).T, color="0.5", linewidth=0.5, alpha=0.6)
    ax.scatter(*points.T, s=12, zorder=3)
    ax.set(xlabel="x", title=title, aspect="equal", xlim=(0, 10), ylim=(0, 10))


weight, after = train(train_embedding=True)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    ricker = train(train_embedding=True, inhibitor=inhibitors.Ricker())
fig, axes = plt.subplots(1, 3, figsize=(9.5, 3.3), layout="constrained", sharey=True)
moved(axes[0], weight, trained["moduli"][1], "as drawn")
moved(axes[1], weight, after, "difference of Gaussians")
moved(axes[2], *ricker, "Ricker")
axes[0].set(ylabel="y")
plt.show()
print(caught[0].message)

# %% [markdown]
# Under the difference of Gaussians neurons that talk come to be about the free distance apart. They do not fall into one point, since distance 0 is as dear as
# a long one; but they do gather, and most of the torus is left empty. So the shape that learned points show
# need not be the manifold's. Under the Ricker wavelet distance 0 is free, and those that are near each other clump: their connections cost nothing, and soon nothing tells them apart. The paper trains it all the same, so it can be done here, with a warning. An
# inhibitor that never falls with distance brings all neurons to one point, and is refused.

# %%
before = trained["moduli"][1]
ok, reason = torus.check(after)
assert ok and torus.distance(after).mean() < torus.distance(before).mean() / 2
length = [(weight.abs() * torus.distance(points)).sum() / weight.abs().sum() for points in (before, after)]
print(f"mean distance, weighted by |weight|: {length[0]:.2f} as drawn, {length[1]:.2f} after; free: {dog.free_distance:.2f}")
assert length[1] > dog.free_distance / 2
nearest = {name: torus.distance(x).fill_diagonal_(9).min(1).values.median().item() for name, x in (("drawn", before), ("difference of Gaussians", after), ("Ricker", ricker[1]))}
print("distance to the nearest neuron:", ", ".join(f"{name} {d:.3f}" for name, d in nearest.items()))

# %% [markdown]
# ## Any weight
#
# | given | penalized |
# |---|---|
# | a recurrent layer or cell | all its recurrent weights; gates of a neuron share its point, each layer and direction has points of its own |
# | a linear layer | its weight; output neurons have points and input neurons have others (appendix I.1) |
# | a convolution | channels have points, and the size of a connection is the norm of its slice of the kernel (appendix I.2) |
# | a parameter | itself; if it is square, its rows and columns are the same neurons, else others |
# | any model, with `weight="encoder.weight"` or a list of names | these |
#
# The penalty of several weights is the sum of their means. `reg.parts` has one entry for each.

# %%
lstm = nn.LSTM(8, 16, num_layers=2, bidirectional=True)
reg = ModuliRegularizer(lstm, manifold=["torus", "sphere"])  # a space for each layer
for part in reg.parts:
    print(f"{part.name:22} on the {part.manifold.name}, {part.layout.gates} gates")
test_close(reg().item(), sum(0.1 * (p.coefficients.repeat(4, 1) * p.weight.abs()).mean().item() for p in reg.parts), eps=1e-5)
test_fail(lambda: ModuliRegularizer(lstm, manifold=["torus"] * 3), contains="4 weights in 2 layers")
test_fail(lambda: ModuliRegularizer(nn.Sequential(rnn, out)), contains="0.weight_hh_l0, 1.weight")

# %%
#| fig-alt: "What is left of a linear layer and of a convolution whose outputs and inputs lie on a circle: a dark diagonal in each."
linear, conv = ModuliRegularizer(nn.Linear(40, 60), "circle", strength=100.0), ModuliRegularizer(nn.Conv2d(40, 60, 3), "circle", strength=100.0)
fig, axes = plt.subplots(1, 2, figsize=(7, 2.8), layout="constrained")
for ax, reg, title in zip(axes, (linear, conv), ("linear: |weight| after shrinking", "convolution: norm of each slice"), strict=True):
    reg.proximal_step_(lr=0.02)
    (part,) = reg.parts
    size = size_of(part.weight.detach(), kernel=part.layout.kernel)
    order = part.embedding[:, 0].argsort(), part.column_embedding[:, 0].argsort()
    ax.imshow(size[order[0]][:, order[1]], cmap="Greys", aspect="auto")
    ax.set(title=title, xlabel="inputs, round the circle", ylabel="outputs, round the circle")
plt.show()

# %% [markdown]
# Both were shrunk by their prices alone. What is left is a band: pairs of an input and an output that are about the free distance apart on the circle, to one side or the other.
#
# Two more generalities of the formula: the power $n$, and coefficients of one's own (equation 5).

# %%
square, own = ModuliRegularizer(rnn, power=2), torch.rand(100, 100)
test_close(square().item(), 0.1 * (square.coefficients * rnn.weight_hh_l0**2).mean().item(), eps=1e-6)
test_close(ModuliRegularizer(rnn, coefficients=own)().item(), 0.1 * (own * rnn.weight_hh_l0.abs()).mean().item(), eps=1e-6)

# %% [markdown]
# A price may be infinite: that weight must be zero. Such prices are not paid, so that the penalty stays finite; `masks()` says where weights may differ from zero, in the form that a pruner takes.

# %%
few = nn.RNN(2, 4)
reg = ModuliRegularizer(few, inhibitor="independent")  # each neuron hears only itself, as in an IndRNN
test_eq(reg().item(), 0)
reg.masks()["weight_hh_l0"].int()


# %% [markdown]
# ## How strong?
#
# The mean divides by $N^2$, so one weight is pulled towards zero with the force $\lambda f / N^2$. A network half as wide pulls each weight four times as hard at the same
# $\lambda$. To compare widths, keep the pull: a network of $N'$ neurons takes $\lambda\,(N' / N)^2$.

# %%
#| export
@checked
def equal_pull(
    strength: NotNegative,  # λ of the mean form at width `reference`
    n: Count,  # width to scale to
    reference: Count = 4096,  # the paper's navigation network
) -> float:  # λ of the mean form at width n
    "Strength at which each weight of a network of `n` neurons feels the pull that it would feel among `reference`"
    return strength * (n / reference) ** 2


# %%
f = 60.0  # a typical coefficient
pulls = [equal_pull(0.1, n) * f / n**2 for n in (4096, 256)]
test_close(pulls[0], pulls[1], eps=1e-15)
print(", ".join(f"{n} neurons: λ = {equal_pull(0.1, n):.2g}" for n in (4096, 1024, 256, 128)))

# %% [markdown]
# The paper holds $\lambda$ constant. It may also rise while the network trains, so that the task shapes the weights first: `reg.strength = 0.1 * ramp(epoch / epochs, "linear")`.

# %%
#| export
RAMPS = {"constant": lambda x: 1.0, "linear": lambda x: x, "cubic": lambda x: 1 - (1 - x) ** 3, "late": lambda x: x**3}


@checked
def ramp(
    share: Share,  # share of the training that is done, from 0 to 1
    kind: Annotated[str, OneOf(RAMPS)] = "linear",  # "constant" (the paper), "linear", "cubic" (fast at first), "late" (slow at first)
) -> float:  # share of the final λ, from 0 to 1
    "How strong a penalty is in the course of training; ValueError if an argument makes no sense"
    return RAMPS[kind](share)


# %%
#| fig-alt: "Share of the penalty's strength in the course of training for four ramps: constant, linear, cubic, which rises early, and late."
fig, ax = plt.subplots(figsize=(5, 2.6), layout="constrained")
for kind in RAMPS:
    ax.plot([k / 50 for k in range(51)], [ramp(k / 50, kind) for k in range(51)], label=kind)
ax.set(xlabel="share of the training", ylabel="share of λ")
ax.legend(frameon=False)
plt.show()
test_eq([ramp(0, kind) for kind in RAMPS], [1, 0, 0, 0])
test_eq([ramp(1, kind) for kind in RAMPS], [1, 1, 1, 1])


# %% [markdown]
# ## Without a graph
#
# `loss + reg()` fits any loop. Two other ways leave automatic differentiation out. `add_gradient_` adds the same gradient in one pass, after `backward` ([fused](fused.ipynb) tells how).
# `proximal_step_` solves the penalty exactly, after the optimizer's step on the loss alone: of all matrices near the weight it takes the one that minimizes
#
# $$\tfrac12 \|V - W\|^2 + \eta R(V), \qquad V_{uv} = \mathrm{sign}(W_{uv}) \max\!\big(|W_{uv}| - \tfrac{\eta\lambda}{N^2} f_{uv},\, 0\big).$$
#
# A gradient only makes weights small; this soft threshold makes them exactly zero. It knows the powers 1 and 2, for matrices and for slices of kernels.
#
# With a `GradScaler` gradients are multiplied by a scale until `unscale_`. So the order is `backward`, `scaler.unscale_(optimizer)`, `reg.add_gradient_(scaler)`, `scaler.step(optimizer)`; given the scaler, `add_gradient_` refuses to be called too early. The penalty of weights in half precision is
# summed in float32, and is a float32 number.
#
# What every penalty does with its weights stands in one class, in two steps. First its value. A new penalty changes what a connection costs (`price`, below), or what is made of sizes and prices (`total`).

# %%
#| export
#| fold Names in a state dict
def _short_names(module: Any, state: dict, prefix: str, *_: Any) -> None:
    "With one part the state's entries are called `embedding`, not `parts.0.embedding`"
    if len(module.parts) == 1:
        for key in [key for key in state if key.startswith(f"{prefix}parts.0.")]:
            state[prefix + key.removeprefix(f"{prefix}parts.0.")] = state.pop(key)


def _long_names(module: Any, state: dict, prefix: str, *_: Any) -> None:
    "And back"
    if len(module.parts) == 1:
        for name in module.parts[0].state_dict():
            if prefix + name in state:
                state[f"{prefix}parts.0.{name}"] = state.pop(prefix + name)


def _differentiated(part: PenalizedWeight, scale: float, total: Callable) -> Tensor:
    "The penalty of a weight () or (S,) by automatic differentiation, for a total of a penalty's own"
    prices = part.inhibitor.evaluate(part.manifold.distance(*part.points)).clamp(min=0) if part.trained else part.coefficients
    prices = coefficient_view(prices.masked_fill(prices == math.inf, 0) if part.infinite else prices, part.layout)
    with torch.autocast(prices.device.type, enabled=False):
        size = size_of(part.layout.view(part.weight).to(part.dtype), part.power, part.layout.kernel)
        each = scale * total(size, prices)
    return each if part.layout.replicas is not None else each[0]


# %%
#| export
@checked
class PenaltyValue(nn.Module):
    "The value of a penalty on some weights of a model: the sum over its parts, one for each weight"
    parts: Any  # a ModuleList of PenalizedWeight

    holds_weights = False  # a trained embedding is none

    def __init__(self, parts: list[PenalizedWeight], strength: NotNegative):
        super().__init__()
        self.parts, self.strength = nn.ModuleList(parts), strength
        self._register_state_dict_hook(_short_names)
        self._register_load_state_dict_pre_hook(_long_names, with_module=True)

    @property
    def strength(self) -> float:
        "λ of the mean form; may be set at any time"
        return self._strength

    @strength.setter
    def strength(self, value: float) -> None:
        check("strength", value, NotNegative)
        self._strength = float(value)

    def total(
        self,
        size: Annotated[Tensor, Shape("S gates U V", "float")],  # |w|^n of each connection (S, gates, U, V)
        coefficients: Annotated[Tensor, Shape("S1 gates1 U V", "float")],  # finite prices (S or 1, gates or 1, U, V)
    ) -> Tensor:  # (S,)
        "What is paid for a weight, before λ and the division by the number of connections; overridden, it is differentiated automatically"
        return (size * coefficients).sum((-3, -2, -1))

    def penalty(self) -> Tensor:  # () or (S,); float32 for weights in half precision
        "The penalty of each replica"
        scales = [self.strength / part.layout.pairs for part in self.parts]
        if _fused(self):
            values = [penalty_of(part, scale) for part, scale in zip(self.parts, scales, strict=True)]
        else:
            values = [_differentiated(part, scale, self.total) for part, scale in zip(self.parts, scales, strict=True)]
        return sum(values[1:], values[0]) if values else torch.zeros(())

    def forward(self) -> Tensor:  # ()
        "The penalty, to be added to a loss; the sum over replicas, if there are any"
        return self.penalty().sum()

    def __getattr__(self, name: str) -> Any:
        if name in ("embedding", "column_embedding", "coefficients", "weight", "manifold"):
            if len(self.parts) > 1:
                raise AttributeError(f"this regularizer has {len(self.parts)} weights: ask reg.parts[k].{name}")
            return getattr(self.parts[0], name)
        return super().__getattr__(name)


# %%
#| export
#| fold Which penalties have a closed form
def _fused(penalty: PenaltyValue) -> bool:
    "Whether the gradient has the closed form of a price for each connection"
    return type(penalty).total is PenaltyValue.total


# %% [markdown]
# What changes gradients, weights and points in place:

# %%
#| export
def _check_unscaled(scaler: Any) -> None:
    "ValueError if gradients are still multiplied by the scale of a GradScaler"
    if not isinstance(scaler, torch.amp.GradScaler):
        raise TypeError(f"scaler is a {type(scaler).__name__}; give the torch.amp.GradScaler of your loop")
    states = scaler._per_optimizer_states.values() if scaler.is_enabled() else ()
    if scaler.is_enabled() and not any(state["stage"].name == "UNSCALED" for state in states):
        raise ValueError("gradients are still scaled, or were stepped along already: call scaler.unscale_(optimizer), then add_gradient_(scaler), then scaler.step(optimizer)")


# %%
#| export
@checked
class Penalty(PenaltyValue):
    "A penalty with its steps, which need no graph"

    @checked(trusts=True)
    def add_gradient_(
        self,
        scaler: "torch.amp.GradScaler | None" = None,  # of a loop in half precision; its `unscale_` must have been called
    ) -> None:
        "Add the penalty's gradient to that of the weights and of trained embeddings; called after `backward`, instead of adding the penalty to the loss"
        if scaler is not None:
            _check_unscaled(scaler)
        if _fused(self):
            for part in self.parts:
                add_gradient_to(part, self.strength / part.layout.pairs)
        else:
            with torch.enable_grad():
                self().backward()

    @checked(trusts=True)
    def proximal_step_(
        self,
        lr: NotNegative,  # learning rate η of the step on the loss that came before
    ) -> None:
        "Shrink each weight by its price, to exactly zero if it is no larger; embeddings stay where they are"
        for part in self.parts:
            if not _fused(self) or part.power not in (1, 2):
                what = f"power={part.power}" if _fused(self) else f"{type(self).__name__}"
                raise ValueError(f"proximal_step_ has no closed form for {what}: use power 1 or 2 of a price for each connection, or add_gradient_()")
            if part.slot.computed:
                raise ValueError(f"{part.name} is computed by {part.slot.computed}, so it cannot be shrunk in place; use add_gradient_() or add reg() to the loss")
        for part in self.parts:
            shrink_(part, lr * self.strength / part.layout.pairs)

    @torch.no_grad()
    def project_(self) -> None:
        "Bring trained embeddings back to the manifold; called after an optimizer's step"
        for part in self.parts:
            for points in dict.fromkeys(part.points) if part.trained else ():
                points.copy_(part.manifold.project(points))

    def freeze(self) -> None:
        "Hold trained points where they are, as the paper does for lottery tickets"
        for part in self.parts:
            if part.trained:
                place_(part, part.points[0], part.points[1], False)
                part.set_coefficients_(_priced(self, part, distances_of(part), None))

    def masks(self) -> dict[str, Tensor]:  # by name, like the weights
        "Where prices are infinite: True where a weight may differ from zero; empty if none are"
        return {part.name: mask_of(part) for part in self.parts if part.infinite}


# %% [markdown]
# Last the regularizer itself. It finds the weights, checks what it was given, draws points and asks for prices.

# %% [markdown]
# <details><summary>How points are drawn or checked, and prices looked at before they are used</summary>
#
# An embedding that is given must lie on the manifold; one that is rounded to another dtype is projected, since rounding may lead off it. Prices that are negative or not numbers are refused by the name of the inhibitor.
#
# </details>

# %%
#| export
#| fold A space for each weight
def _spaces(manifold: Any, chosen: list[Slot]) -> list[Manifold]:
    "A space for each weight: from one, from a list, or from a text with commas"
    found: Any = split(manifold, ",") if isinstance(manifold, str) else manifold if isinstance(manifold, (list, tuple)) else [manifold]
    found = [manifolds.manifold(space) for space in found]
    return found * len(chosen) if len(found) == 1 else for_each(found, chosen, "manifold")


def _each(value: Any, chosen: list[Slot], what: str) -> list:
    "What is given for each weight; None where nothing is"
    if value is None:
        return [None] * len(chosen)
    if len(chosen) == 1:
        return [value[0] if isinstance(value, list) and len(value) == 1 else value]
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{what} is a {type(value).__name__}, but there are {len(chosen)} weights ({', '.join(slot.name for slot in chosen)}): give a list, one for each")
    return for_each(list(value), chosen, what)


# %%
#| export
#| fold Prices, checked
@torch.no_grad()
def _priced(penalty: Penalty, part: PenalizedWeight, distances: Tensor, generator: torch.Generator | None) -> Tensor:
    "The prices that a penalty asks, checked"
    prices = penalty.price(distances, generator)
    if not isinstance(prices, Tensor) or prices.shape != distances.shape:
        raise ValueError(f"{type(penalty).__name__}.price returned {getattr(prices, 'shape', type(prices).__name__)} for distances of shape {tuple(distances.shape)}; it returns a price for each")
    if not prices.min() >= 0:
        raise ValueError(f"{type(penalty).__name__} with {penalty.inhibitor} asks prices that are negative or NaN (for {part.name}); a price is at least 0, and may be infinite")
    return prices.to(part.dtype).clone()


# %%
#| export
#| fold Settings that do not go together
def _check_options(penalty: "ModuliRegularizer", train: bool, coefficients: Any, embedding: Any) -> None:
    "ValueError, TypeError or a warning for settings that do not go together"
    if len({part.layout.replicas for part in penalty.parts}) > 1:
        raise ValueError(f"some weights have replicas and others not, or not as many: {', '.join(f'{p.name} {tuple(p.weight.shape)}' for p in penalty.parts)}; make a regularizer for each")
    if coefficients is not None and (train or embedding is not None):
        raise ValueError("coefficients are given, so there are no points: leave embedding and train_embedding out")
    for part in penalty.parts:
        if not train and not part.slot.computed and not part.weight.requires_grad:
            raise ValueError(f"{part.name} is frozen, so no penalty can change it: call requires_grad_(True) on it first, or train the embedding alone with train_embedding=True")
        _check_compiled(part, train)
    if train:
        _check_training(penalty)


# %%
#| export
#| fold Whether gradients are finite
def _has_slopes(space: Manifold) -> bool:
    "Whether distances of some points, also to themselves, have finite gradients"
    points = space.sample(8, torch.Generator().manual_seed(0), dtype=torch.float64, device="cpu")
    d, backward = space.distance_vjp(points, points)
    return all(bool(grad.isfinite().all()) for grad in backward(torch.ones_like(d)))


# %%
#| export
#| fold Whether points can be trained
def _check_compiled(part: PenalizedWeight, train: bool) -> None:
    if part.compiled and not train:
        raise ValueError("compiled=True, but only trained points have a loop to compile: leave it out, or give train_embedding=True")
    if part.compiled and (part.power != 1 or part.layout.kernel or part.weight.dtype != part.dtype):
        raise ValueError(f"compiled=True is for power 1 of matrices in float32 or float64; {part.name} is {part.weight.dtype} with power {part.power}: leave it out")
    if part.compiled and not hasattr(torch._dynamo.config, "trace_autograd_ops"):
        raise ValueError(f"compiled=True, but torch {torch.__version__} cannot compile slopes that it finds itself: leave it out, or take a newer torch")


def _check_training(penalty: "ModuliRegularizer") -> None:
    "ValueError if points cannot be trained; a warning if they will clump"
    if type(penalty).price is not ModuliRegularizer.price:
        raise ValueError(f"train_embedding with {type(penalty).__name__}: its prices are not those of the inhibitor, so they have no points to train; only ModuliRegularizer trains")
    for part in penalty.parts:
        if not part.manifold.trainable:
            raise ValueError(f"train_embedding on {part.manifold}: its points are given one by one, and nothing lies between them; use train_embedding=False")
        if not _has_slopes(part.manifold):
            raise ValueError(f"train_embedding on {part.manifold}: the gradient of its distance is not finite everywhere, as from a point to itself, and one such pair would turn all points to nan; "
                             "mend the distance (check_manifold says what is wrong, and the chapter `own` how it is done), or use train_embedding=False")
    _check_inhibitor(penalty.inhibitor)
    if not penalty.inhibitor.trainable[0]:
        warnings.warn(f"train_embedding with {penalty.inhibitor}, whose prices are least at distance 0: neurons that are near each other clump, since nothing drives them apart; "
                      "'difference_of_gaussians' keeps them at a distance", stacklevel=4)


# %%
#| export
#| fold Whether neurons would come to one point
def _check_inhibitor(
    inhibitor: Inhibitor,
) -> None:
    "ValueError if all neurons would come to one point, or none would move; one that is least at distance 0 but falls again may be trained, though neurons clump under it"
    ok, reason = inhibitor.trainable
    if not ok:
        prices = inhibitor(torch.linspace(0, 50, 5001, dtype=torch.float64))
        if not prices.isfinite().all() or (prices.diff() >= 0).all():
            raise ValueError(f"train_embedding: {reason}; try 'difference_of_gaussians' or a fixed embedding")


# %%
#| export
@checked
class ModuliRegularizer(Penalty):
    "Moduli regularization (eq. 6 in mean form) of the weights of a layer, or of some weights of a model"

    def __init__(
        self,
        layer: nn.Module | nn.Parameter,  # has the weights: an RNN, a linear layer, a convolution, a model; or one parameter
        manifold: str | Manifold | list = "torus",  # where the neurons live; a list, or a text with commas, has one for each weight or each layer
        inhibitor: str | Inhibitor = "difference_of_gaussians",  # price of a weight, by distance
        strength: NotNegative = 0.1,  # λ of the mean form
        *,
        weight: str | Sequence[str] | None = None,  # names of the weights in the layer; None: its recurrent weights, or "weight"
        power: Annotated[float, Within(1)] = 1,  # n of eq. 6, at least 1
        coefficients: Tensor | Sequence | None = None,  # prices of one's own (U, V) or (S, U, V) in place of f(d) (eq. 5); a list has one for each weight
        train_embedding: bool = False,  # make the points a parameter (section 2.3)
        compiled: bool = False,  # let `torch.compile` write the loop over trained points; wants a C++ compiler
        embedding: Any = None,  # points (N, c) or (S, N, c), or a pair for outputs and inputs; a list has one for each weight; None: drawn uniformly
        recurrent: bool | None = None,  # whether outputs and inputs are the same neurons; None: as layer and name say
        generator: torch.Generator | None = None,  # for points and prices
    ):
        chosen = find_weights(layer, weight)
        spaces = _spaces(manifold, chosen)
        f = inhibitors.inhibitor(inhibitor) if coefficients is None else Given()
        parts = [PenalizedWeight(slot, layout(slot, recurrent), space, f, power, compiled) for slot, space in zip(chosen, spaces, strict=True)]
        super().__init__(parts, strength)
        self.inhibitor = f
        _check_options(self, train_embedding, coefficients, embedding)
        for part, points, given in zip(parts, _each(embedding, chosen, "embedding"), _each(coefficients, chosen, "coefficients"), strict=True):
            if given is None:
                embed_(part, points, train_embedding, generator)
            if not train_embedding:
                distances = distances_of(part) if given is None else given_coefficients(part, given)
                part.set_coefficients_(_priced(self, part, distances, generator))

    def price(
        self,
        distances: Annotated[Tensor, Shape("... U V", "float")],  # of output and input neurons (U, V) or (S, U, V); or the coefficients that were given
        generator: torch.Generator | None,  # for prices that are drawn
    ) -> Tensor:  # as the distances
        "What each connection costs; a penalty of your own overrides it"
        return self.inhibitor(distances)

    def extra_repr(self) -> str:
        return f"{self.inhibitor}, strength={self.strength:g}"


# %% [markdown]
# ## Do all forms agree?
#
# In value and in all gradients, in float64, with fixed and with trained points, on a flat space and on a curved one:

# %%
for space in (torus, manifolds.Sphere(), manifolds.KleinBottle()):
    layer = nn.RNN(2, 12).double()
    w = layer.weight_hh_l0
    fixed = ModuliRegularizer(layer, space, strength=0.3, generator=generator)
    trained = ModuliRegularizer(layer, space, strength=0.3, embedding=fixed.embedding, train_embedding=True)
    points = fixed.embedding.clone().requires_grad_()
    oracle = naive_penalty(w, points, space, dog, 0.3)
    grad, vjp = torch.autograd.grad(oracle, (w, points))
    for reg in (fixed, trained):
        torch.testing.assert_close(reg(), oracle, atol=1e-12, rtol=1e-12)
        for add in (lambda r=reg: r().backward(), reg.add_gradient_):
            layer.zero_grad(), reg.zero_grad()
            add()
            torch.testing.assert_close(w.grad, grad, atol=1e-12, rtol=1e-12)
            if reg is trained:
                torch.testing.assert_close(reg.embedding.grad, vjp, atol=1e-12, rtol=1e-9)

# %% [markdown]
# And the proximal step against brute force, a grid of values for each weight:

# %%
before = w.detach().clone()
fixed.proximal_step_(lr=4.0)
after = w.detach()
grid = torch.linspace(-6, 6, 12001, dtype=torch.float64)
cost = (grid - before[..., None]) ** 2 / 2 + 4.0 * 0.3 / 144 * fixed.coefficients[..., None] * grid.abs()
assert ((grid[cost.argmin(-1)] - after).abs() <= 1e-3).all()
print(f"{(after == 0).double().mean():.0%} of the weights are exactly zero")

# %% [markdown]
# ## Mistakes that are caught
#
# Under an inhibitor that only grows, the cheapest embedding puts all neurons in one point. That is refused, and the message says why:

# %%
layer = nn.RNN(3, 8)
try:
    ModuliRegularizer(layer, inhibitor="diffusion", train_embedding=True)
except ValueError as error:
    print(error)

# %%
test_fail(lambda: ModuliRegularizer(layer, weight="weight_hh"), contains="did you mean 'weight_hh_l0'")
test_fail(lambda: ModuliRegularizer(nn.Conv2d(8, 8, 3, groups=2)), contains="groups=2")
test_fail(lambda: ModuliRegularizer(nn.MultiheadAttention(8, 2), weight="in_proj_weight"), contains="queries, keys and values")
test_fail(lambda: ModuliRegularizer(layer, embedding=torch.zeros(5, 2)), contains="(8, 2)")
test_fail(lambda: ModuliRegularizer(layer, coefficients=torch.zeros(5, 2)), contains="(8, 8)")
test_fail(lambda: ModuliRegularizer(layer, strength=-1), contains="at least 0")
test_fail(lambda: ModuliRegularizer(layer, power=0.5), contains="at least 1")


# %% [markdown]
# ## Exercise 1: a price of your own
#
# *5 min, easy.* Change the inhibitor. Any function of distance that is never negative will do. Write one that leaves all weights up to a distance of 2 free and charges 1 beyond.

# %%
class Fence(Inhibitor):
    "Free up to a distance of 2, and a price of 1 beyond"
    def evaluate(self, d):
        raise NotImplementedError


# %%
#| fold How it is checked
def fenced():
    return ModuliRegularizer(nn.RNN(2, 40), "torus", Fence(), generator=torch.Generator().manual_seed(2))


def picture():
    reg = fenced()
    fig, ax = plt.subplots(figsize=(4.2, 3.4), layout="constrained")
    fig.colorbar(ax.scatter(*reg.embedding.T, c=reg.coefficients[0]), label="price of a connection to the star")
    ax.plot(*reg.embedding[0], "*", color="C1", markersize=14)
    ax.set(xlabel="x", ylabel="y", aspect="equal")
    plt.show()


with exercise("a comparison gives True and False; turn them into numbers of d's own type", picture) as expect:
    expect(Fence(), torch.tensor([0.0, 1.5, 2.5, 7.0]), gives=torch.tensor([0.0, 0.0, 1.0, 1.0]), name="the price of lengths 0, 1.5, 2.5 and 7")
    expect(lambda: fenced().coefficients, gives=(torus.distance(fenced().embedding) > 2).float(), name="the matrix of prices")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# class Fence(Inhibitor):
#     def evaluate(self, d):
#         return (d > 2).to(d.dtype)
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: the pull on one weight
#
# *10 min, medium.* Before you choose λ, know what it does to a weight at a given price. Write the gradient of the penalty with respect to one weight $w \neq 0$.

# %%
def pull(weight, price, strength, n):
    "Derivative of the penalty, a mean over n² weights times a strength, with respect to one weight that is not 0"
    raise NotImplementedError


# %%
#| fold How it is checked
few = nn.RNN(2, 5)
reg = ModuliRegularizer(few, strength=0.3, generator=torch.Generator().manual_seed(2))
reg().backward()
with exercise("the slope of |w| is its sign, and a mean over n² weights divides by n²", lambda: draw_curve(lambda w: pull(w, 60.0, 0.1, 100), [-1, -0.5, -1e-3, 1e-3, 0.5, 1], "weight", "pull on it")) as expect:
    expect(pull, 0.5, 60.0, 0.1, 10, gives=0.06)
    expect(pull, -0.5, 60.0, 0.1, 10, gives=-0.06)
    expect(pull, few.weight_hh_l0[1, 2].item(), reg.coefficients[1, 2].item(), 0.3, 5, gives=few.weight_hh_l0.grad[1, 2].item())

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def pull(weight, price, strength, n):
#     return strength * price * math.copysign(1, weight) / n**2
# ```
#
# It does not depend on how large the weight is: small weights reach zero, large ones hardly notice. That is why L1 makes sparse networks.
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# The paper's code penalizes recurrent weights alone; its appendix I tells of linear layers and convolutions, which did not gain by it. A trained embedding of shape $(N, n)$ is read there
# as $n$ points of $N$ coordinates; here shapes are checked. The first edition of this book took square weights only, and one at a time; and infinite prices made its penalty not a number, since infinity times zero is none.
#
# ## Recall and think
#
# <details><summary>Recall: how does the pull on a weight depend on how large the weight is?</summary>
#
# Not at all, for the power 1: it is $\lambda f / N^2$ towards zero. That is why small weights reach zero and large ones hardly notice.
#
# </details>
#
# <details><summary>Recall: why does the same λ mean less in a wider network?</summary>
#
# The penalty is a mean over $N^2$ weights, so each weight's share of the pull falls with $N^2$.
#
# </details>
#
# <details><summary>Think: a weight costs much, and the task needs it. What happens to it, and on what does that depend?</summary>
#
# It shrinks until the task's gradient balances the pull. With a small λ it stays, in spite of its price; so a price is a wish and not a rule.
#
# </details>
#
# **References.** Equations 4–6, section 2.3 and appendix I of the paper. Li et al., *IndRNN* (2018), for the diagonal as a special case. Parikh and Boyd, *Proximal algorithms* (2014).
