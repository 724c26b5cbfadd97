# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A regularizer of your own
#
# > A manifold and an inhibitor that this book does not have, in a training loop that you know

# %% [markdown]
# *Reading 15 min, exercises 20 min. To skip at a first reading:* nothing.
#
# After this chapter you can
#
# - add a regularizer and a pruner to a loop of your own,
# - write an inhibitor and a manifold, and check that they are right before you train,
# - tell by a control whether the wiring has the shape that you asked for.
#
# The question: *whatever shape you think of, can a network be given it?*

# %%
#| hide
import math
import tempfile
from dataclasses import dataclass

import matplotlib.pyplot as plt
import torch
from fastcore.test import test_close, test_eq
from torch import nn

from modreg import Inhibitor, MagnitudePruner, ModuliRegularizer, check_manifold, manifold, register_manifold
from modreg.book.exercises import draw_bars, exercise
from modreg.geometry.manifolds import Manifold, plot_from_point
from modreg.lab.training import fit
from modreg.sparsity.penalties import PENALTIES, display_name
from modreg.tasks.navigation import Navigation, NavigationConfig

plt.style.use("modreg.data.book")

# %%
#| fig-alt: "A Möbius band in space, coloured along its width; beside it the band laid flat, with arrows at its ends that say which way they are glued."
fig = plt.figure(figsize=(9, 3), layout="constrained")
left, right = fig.add_subplot(1, 2, 1, projection="3d"), fig.add_subplot(1, 2, 2)
round_, across = torch.meshgrid(torch.linspace(0, 2 * math.pi, 120), torch.linspace(-1, 1, 9), indexing="ij")
reach = 2.6 + across * (round_ / 2).cos()
left.plot_surface(*(x.numpy() for x in (reach * round_.cos(), reach * round_.sin(), across * (round_ / 2).sin())), cmap="viridis", alpha=0.8)
left.set(box_aspect=(2, 2, 0.9), title="the band in space")
left.set_axis_off()
right.add_patch(plt.Rectangle((0, -2), 20, 4, color="0.93"))
for x, way in ((0, 1), (20, -1)):
    right.annotate("", (x, 1.5 * way), (x, -1.5 * way), arrowprops=dict(arrowstyle="-|>", color="C1", linewidth=2))
right.plot(19, 1.5, "*", color="black", markersize=13)
right.set(xlim=(-1, 21), ylim=(-4, 4), xlabel="x", ylabel="y", aspect="equal", title="the band laid flat: glue arrow to arrow")
plt.show()


# %% [markdown]
# Take a strip of paper, give it half a turn, and glue its ends: a *Möbius band*. It has one side and one edge, and it is not among the manifolds of this book.
#
# *Predict:* a neuron sits at the star, near the right end and the upper edge. Where on the left do its nearest neighbours sit?
#
# ## The loop that you have
#
# A plain `torch.nn.RNN` reads a signal that is the sum of two waves, and says its next value. Nothing in this cell belongs to the book.

# %%
def signals(batch=32, steps=40):
    "Sums of two waves (batch, steps) with random phases and somewhat random periods"
    period = torch.tensor([7.0, 17.0]) * (0.9 + 0.2 * torch.rand(batch, 2))
    phase = 2 * math.pi * torch.rand(batch, 2)
    time = torch.arange(steps)[:, None, None]
    return torch.sin(2 * math.pi * time / period + phase).sum(-1).T


def task_loss(rnn, readout, batch=32):
    "Mean square error of the next value, from the tenth step on"
    signal = signals(batch)
    states, _ = rnn(signal[:, :-1, None])
    return (readout(states)[:, 9:, 0] - signal[:, 10:]).square().mean()


torch.manual_seed(0)
rnn, readout = nn.RNN(1, 100, batch_first=True), nn.Linear(100, 1)
optimizer = torch.optim.Adam([*rnn.parameters(), *readout.parameters()], lr=2e-3)
for _ in range(500):
    loss = task_loss(rnn, readout)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"error {task_loss(rnn, readout, 1000).sqrt().item():.3f}, where always saying 0 gives 1")


# %% [markdown]
# ## Two lines, and two more to prune
#
# One line makes a regularizer and one uses it. The same for the pruner. All the rest is as it was, and is a function now, since we shall call it often.

# %%
def train(sparsity=0.9, epochs=10, penalty=ModuliRegularizer, **geometry):
    "Recurrent weights, the neurons' embedding, and the error of a network that was pruned while it learned"
    torch.manual_seed(0)
    rnn, readout = nn.RNN(1, 100, batch_first=True), nn.Linear(100, 1)
    optimizer = torch.optim.Adam([*rnn.parameters(), *readout.parameters()], lr=2e-3)
    reg = penalty(rnn, generator=torch.Generator().manual_seed(1), **geometry)  # makes the penalty
    pruner = MagnitudePruner(nn.ModuleList([rnn]), sparsity, epochs=epochs, parameters=["0.weight_hh_l0"])  # makes the masks
    for epoch in range(epochs):
        pruner.step(epoch, optimizer)  # prunes a little more
        for _ in range(50):
            loss = task_loss(rnn, readout) + reg()  # pays for each weight
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return rnn.weight_hh_l0.detach(), reg.embedding, task_loss(rnn, readout, 1000).sqrt().item()


weight, embedding, error = train(manifold="torus", inhibitor="difference_of_gaussians", strength=0.2)
print(f"torus: error {error:.3f} with {(weight == 0).float().mean():.0%} of the recurrent weights at zero")


# %% [markdown]
# ## An inhibitor of your own
#
# It says what a connection of length $d$ costs. Derive from `Inhibitor`, and give it an `evaluate` that is never negative. Here a neuron may talk to all that are
# nearer than `reach`; beyond, the price rises to a level.

# %%
@dataclass(frozen=True)
class Reach(Inhibitor):
    "Free up to a distance, then a price that rises over `width` to `height`"
    reach: float = 2.0
    width: float = 2.0
    height: float = 80.0  # about that of the difference of Gaussians

    def evaluate(self, d):
        return self.height * ((d - self.reach) / self.width).clamp(0, 1)


f = Reach()
test_eq(f(torch.tensor([0.0, 2.0, 3.0, 4.0, 9.0])), torch.tensor([0.0, 0.0, 40.0, 80.0, 80.0]))
print(f.trainable[1])


# %% [markdown]
# The last line is what every inhibitor says of itself: under this one, neurons that may move would all move to one place. We leave ours where they are drawn.
#
# ## A manifold of your own
#
# It says how far apart two neurons are. The base class wants a few facts, and hooks without which it makes no object (the checklist is in [manifolds](manifolds.ipynb)): how to draw points, put
# a stray one back, tell whether one lies on it, and the distances of all pairs. Lay copies of the strip end to end, every other one turned over, and the shortest way is a straight line to the
# point itself or to one of its two next copies, whichever is nearer. The copies to the right and the left have the same height, so one formula serves for both.

# %%
def hypotenuse(a, b):
    "Root of a² + b², whose gradient is 0 where both are 0"
    square = a**2 + b**2
    nothing = square == 0
    return torch.where(nothing, 0.0, torch.where(nothing, 1.0, square).sqrt())


# %%
@dataclass(frozen=True)
class MoebiusBand(Manifold):
    "A strip whose ends are glued after half a turn: (x, y) ~ (x + length, -y)"
    length: float = 20.0
    width: float = 4.0
    dim, coordinates = 2, 2

    @property
    def diameter(self):
        return (self.length**2 + self.width**2) / (2 * self.length)

    def pairwise(self, x, y):
        along = (x[..., :, None, 0] - y[..., None, :, 0]).abs()
        here, there = x[..., :, None, 1], y[..., None, :, 1]
        return torch.minimum(hypotenuse(along, here - there), hypotenuse(self.length - along, here + there))

    def sample(self, n, generator=None, dtype=None, device=None):
        shape = (*n, 2) if isinstance(n, tuple) else (n, 2)
        part = torch.rand(shape, generator=generator, dtype=dtype, device=device)
        return torch.stack([self.length * part[..., 0], self.width * (part[..., 1] - 0.5)], -1)

    def project(self, x):
        turns = torch.where(self.contains(x), 0.0, (x[..., 0] / self.length).floor())
        up = torch.where(turns % 2 == 0, x[..., 1], -x[..., 1])
        return torch.stack([(x[..., 0] - turns * self.length).clamp(0, self.length), up.clamp(-self.width / 2, self.width / 2)], -1)

    def contains(self, x):
        return (x[..., 0] >= 0) & (x[..., 0] <= self.length) & (x[..., 1].abs() <= self.width / 2)


# %% [markdown]
# Why not `torch.hypot`? Its values are right, and its gradient where both are 0 is `nan`: the trap of the [manifolds](manifolds.ipynb) chapter again. Neurons that stay where they are would not mind; neurons that learn their places would all be `nan` after one step.
#
# ## Is it right?
#
# Before anything is trained, `check_manifold` looks at what every space must fulfil ([checks](checks.ipynb)): a point is nowhere but at itself, there is as far as back, no detour is shorter, nothing is farther than the diameter, strays come home, gradients are finite. What it cannot know is whether this is the space
# that you *meant*. For that, an oracle that knows nothing of the formula: the least distance to seven copies of the strip.

# %%
#| fig-alt: "The band as a flat strip, coloured by distance from a star near its upper right corner: near are the points round it, and those at the lower left."
band = MoebiusBand()
ok, reason = check_manifold(band)
assert ok, reason
points = band.sample(200, torch.Generator().manual_seed(2), dtype=torch.float64)
copies = torch.stack([points * torch.tensor([1.0, (-1.0) ** k]) + torch.tensor([k * band.length, 0.0]) for k in range(-3, 4)])
test_close(band.distance(points), (points[:, None] - copies[:, None]).norm(dim=-1).amin(0), eps=1e-9)


class Careless(MoebiusBand):
    def pairwise(self, x, y):
        along = (x[..., :, None, 0] - y[..., None, :, 0]).abs()
        here, there = x[..., :, None, 1], y[..., None, :, 1]
        return torch.minimum(torch.hypot(along, here - there), torch.hypot(self.length - along, here + there))


print("with torch.hypot:", check_manifold(Careless())[1])

fig, ax = plt.subplots(figsize=(7.5, 2.6), layout="constrained")
fig.colorbar(plot_from_point(band, torch.tensor([19.0, 1.5]), ax), label="distance")
ax.set(title="how far the band's points are from the star")
plt.show()

# %% [markdown]
# The star's neighbours on the left sit *below*: half a turn has been made. (Of a space that it has no grid for, `plot_from_point` draws random points. It needs at most two dimensions.)
#
# ## Train on it
#
# Both are handed over as they are. A name is only a short way to write an object; who wants one for the band, with its fields as arguments, registers it. In this
# kernel every setting that takes a manifold then takes this text ([specs](specs.ipynb) tells how papermill learns of it).

# %%
register_manifold("moebius", MoebiusBand)
test_eq(manifold("moebius(length=30)"), MoebiusBand(length=30.0))
geometry = dict(manifold=band, inhibitor=Reach(), strength=0.2)
networks = {name: train(penalty=PENALTIES[name], **geometry) for name in ("none", "shuffled", "moduli")}
for name, (weight, _, error) in networks.items():
    print(f"{display_name(name):15} error {error:.3f}")


# %%
#| fig-alt: "Strongest connections on the band laid flat, of three networks: without a penalty and with prices dealt out at random they run everywhere; with this manifold and inhibitor they are short."
def plot_connections(weight, embedding, ax):
    "The surviving weights between different neurons as lines on the flat band; those over the seam leave by the ends"
    u, v = weight.clone().fill_diagonal_(0).nonzero().T
    a, b = embedding[u], embedding[v]
    for side in (-1, 0, 1):
        copy = b * torch.tensor([1.0, -1.0 if side else 1.0]) + torch.tensor([side * band.length, 0.0])
        near = (a - copy).norm(dim=1) <= band.distance(embedding)[u, v] + 1e-4
        ax.plot(*torch.stack([a[near], copy[near]]).unbind(-1), color="C0", linewidth=0.6, alpha=0.5)
    ax.plot(*embedding.T, ".", color="black", markersize=4)
    ax.set(xlim=(0, band.length), ylim=(-band.width / 2, band.width / 2), aspect="equal", ylabel="y")


fig, axes = plt.subplots(3, 1, figsize=(7, 6), layout="constrained", sharex=True)
for ax, (name, (weight, embedding, _)) in zip(axes, networks.items(), strict=True):
    plot_connections(weight, embedding, ax)
    ax.set(title={"none": "no penalty", "shuffled": "your prices, dealt out at random", "moduli": "your manifold and inhibitor"}[name])
axes[-1].set(xlabel="x")
plt.show()

# %% [markdown]
# Each line is a weight that pruning left. Only the last network is wired along the band. Look at its ends: lines that leave on the right at the top come in on the left at the bottom. That answers the question at the top.
# The number of lines is about the same in all three; the middle one has the same prices as the last, but for other pairs, so it shows what the prices do without the shape.

# %%
beyond = {name: (weight[band.distance(embedding) > 4] != 0).float().mean().item() for name, (weight, embedding, _) in networks.items()}
print("share of weights left between neurons more than 4 apart:", ", ".join(f"{display_name(name)} {share:.1%}" for name, share in beyond.items()))
assert beyond["moduli"] < 0.02 < beyond["shuffled"]

# %% [markdown]
# So the wiring takes this shape too, which nobody had prepared.
#
# ## Neurons that find their own places
#
# With `train_embedding=True` the neurons move, too, down the gradient of the penalty; `project_()` brings them back to the band after each step. `Reach` would draw all of them to one place, and is refused; the difference of Gaussians is not. And the careless band is refused as well, before it can turn all neurons to `nan`.

# %%
#| fig-alt: "The neurons' places on the band: spread out as they were drawn, and in two clumps after 100 steps."
for space, f in ((band, Reach()), (Careless(), "difference_of_gaussians")):
    try:
        ModuliRegularizer(nn.RNN(1, 100), space, f, train_embedding=True)
    except ValueError as error:
        print(f"{error}\n")

torch.manual_seed(0)
layer = nn.RNN(1, 100)
reg = ModuliRegularizer(layer, band, strength=1.0, train_embedding=True, generator=torch.Generator().manual_seed(1))
drawn = reg.embedding.detach().clone()
optimizer = torch.optim.Adam(reg.parameters(), lr=0.05)
for _ in range(100):
    optimizer.zero_grad()
    reg().backward()
    optimizer.step()
    reg.project_()
assert band.check(reg.embedding.detach())[0]

fig, axes = plt.subplots(1, 2, figsize=(9, 2.2), layout="constrained", sharey=True)
for ax, places, title in zip(axes, (drawn, reg.embedding.detach()), ("as drawn", "after 100 steps"), strict=True):
    ax.plot(*places.T, ".")
    ax.set(xlim=(0, band.length), ylim=(-band.width / 2, band.width / 2), xlabel="x", title=title, aspect="equal")
plt.show()

# %% [markdown]
# ## By its name in an experiment
#
# The registered name goes wherever a manifold's name is taken. Here the [navigation](navigation.ipynb) experiment, at the scale `tiny`, which shows that all is wired up and no more; on the command line, `-p manifold "moebius(length=30)"` does the same once the module that registers it was imported.

# %%
config = NavigationConfig(manifold="moebius(length=30)", scale="tiny", device="cpu", seeds=1, lottery=False, out=tempfile.mkdtemp())
run = fit(Navigation(config), progress=False)
places = run.weights()["regularizer.0.embedding"][0]
assert manifold(config.manifold).check(places)[0] and places[:, 0].max() > 20
print(f"{len(places)} neurons on the {config.manifold}, up to {places[:, 0].max():.1f} along it; error {run.history[-1]['error'][0]:.0f} cm after {len(run.history)} epochs")


# %% [markdown]
# Whether the *network* is better for its shape is another question, and three errors of one seed don't
# answer it. The chapter [experiments](experiments.ipynb) says what does, and [head_direction](head_direction.ipynb) brings a whole task of one's own.
#
# ## Exercise 1: a small world
#
# *5 min, easy.* In many brains most connections are short and a few are very long; what is rare is the length between. Write an inhibitor that is free up to `near` and from `far` on, and costs `height` between the two.

# %%
@dataclass(frozen=True)
class SmallWorld(Inhibitor):
    "Free up to `near` and from `far` on, and `height` between the two"
    near: float = 1.0
    far: float = 8.0
    height: float = 80.0

    def evaluate(self, d):
        raise NotImplementedError


# %%
#| fold How it is checked
def picture():
    weight, embedding, error = train(manifold=band, inhibitor=SmallWorld(), strength=0.2)
    length = band.distance(embedding)[(weight != 0) & ~torch.eye(100, dtype=torch.bool)]
    draw_bars({"shorter than 1": (length < 1).float().mean(), "between": ((length >= 1) & (length <= 8)).float().mean(), "longer than 8": (length > 8).float().mean()}, f"share of connections; error {error:.3f}")


with exercise("two comparisons, joined by &, and turned into numbers of d's own type", picture) as expect:
    expect(SmallWorld(), torch.tensor([0.5, 3.0, 8.5]), gives=torch.tensor([0.0, 80.0, 0.0]), name="the price of lengths 0.5, 3 and 8.5")
    expect(SmallWorld(near=2.0, height=1.0), torch.tensor([1.5, 3.0]), gives=torch.tensor([0.0, 1.0]), name="the price of lengths 1.5 and 3 with near=2 and height=1")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# @dataclass(frozen=True)
# class SmallWorld(Inhibitor):
#     near: float = 1.0
#     far: float = 8.0
#     height: float = 80.0
#
#     def evaluate(self, d):
#         return self.height * ((d > self.near) & (d < self.far)).to(d.dtype)
# ```
#
# Prices that jump have no slope, so an embedding could not learn from them. Places that are fixed don't mind.
#
# </details>

# %% [markdown]
# ## Exercise 2: without the half turn
#
# *15 min, hard.* Glue the ends as they are and the strip becomes a cylinder. It is drawn from and checked like the band. Write what is different: the distance, how a stray point comes home, and how far apart two points can be.

# %%
@dataclass(frozen=True)
class Cylinder(MoebiusBand):
    "A strip whose ends are glued as they are: (x, y) ~ (x + length, y)"

    @property
    def diameter(self):
        raise NotImplementedError

    def pairwise(self, x, y):
        raise NotImplementedError

    def project(self, x):
        raise NotImplementedError


# %%
#| fold How it is checked
tube = Cylinder()


def picture():
    "The cylinder to its end: a flat picture, places that are learned, and an experiment by its name"
    register_manifold("cylinder", Cylinder)
    run = fit(Navigation(NavigationConfig(manifold="cylinder(length=30)", train_embedding=True, scale="tiny", device="cpu", seeds=1, lottery=False, out=tempfile.mkdtemp())), progress=False)
    fig, (above, below) = plt.subplots(2, 1, figsize=(7.5, 4.6), layout="constrained")
    fig.colorbar(plot_from_point(tube, torch.tensor([19.0, 1.5]), above), label="distance from the star")
    below.plot(*run.weights()["regularizer.0.embedding"][0].T, ".")
    below.set(title="neurons of a navigation network that learned their places on it", xlabel="x", ylabel="y", aspect="equal")
    plt.show()


with exercise("along the strip the short way round, up and down the only way; a stray is brought back along the strip without a turn; the farthest is half the length along and the whole width up", picture) as expect:
    ends = torch.tensor([[0.5, 1.5], [19.5, 1.5], [19.5, -1.5]])
    expect(lambda: tube.distance(ends)[0], gives=torch.tensor([0.0, 1.0, math.hypot(1, 3)]), name="the distances from (0.5, 1.5) to itself, (19.5, 1.5) and (19.5, -1.5)")
    expect(lambda: tube.project(torch.tensor([[20.5, 1.5], [-1.0, 3.0]])), gives=torch.tensor([[0.5, 1.5], [19.0, 2.0]]), name="where (20.5, 1.5) and (-1, 3) come home")
    expect(lambda: tube.diameter, gives=math.hypot(10, 4), name="the diameter")
    ok, reason = check_manifold(tube)
    expect.that(ok, f"check_manifold says: {reason}")
    ModuliRegularizer(nn.RNN(1, 10), tube, train_embedding=True)  # refused, in words, if its gradients are not finite

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# @dataclass(frozen=True)
# class Cylinder(MoebiusBand):
#     @property
#     def diameter(self):
#         return math.hypot(self.length / 2, self.width)
#
#     def pairwise(self, x, y):
#         along = (x[..., :, None, 0] - y[..., None, :, 0]).abs()
#         return hypotenuse(torch.minimum(along, self.length - along), x[..., :, None, 1] - y[..., None, :, 1])
#
#     def project(self, x):
#         along = torch.where(self.contains(x), x[..., 0], x[..., 0] % self.length)
#         return torch.stack([along, x[..., 1].clamp(-self.width / 2, self.width / 2)], -1)
# ```
#
# The copies of a point on a cylinder are not turned over, so only the distance along the strip has two candidates. A number that is rounded up to the length itself is at the beginning again, which `contains` allows at both ends.
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - The first version of the band used `torch.hypot`, and its places were fixed, so nobody noticed. Trained places were `nan` after one step, without a word; now the regularizer asks for a gradient first. And by rounding its `project` did not bring all strays home at the first try; `check_manifold` found that.
# - A space can be too small for its inhibitor. On a band of length 3 and width 1 no two neurons are farther apart than `reach`, so every price is 0 and the penalty does nothing, without a word.
#   Look at `reg.coefficients` before you train.
# - The paper takes any metric space (section 2.2) and tries those of its appendix D. In its code the distance of one of them is wrong for points that are opposite each other
#   ([reproduction](reproduction.ipynb), number 1); seven copies of each point, or whatever says the same in another way, would have shown it.
#
# ## Recall and think
#
# <details><summary>Recall: what must a manifold of your own say?</summary>
#
# How to draw points, which points lie on it, how a stray comes home, and the distances of all pairs; and its dimension, coordinates and diameter.
#
# </details>
#
# <details><summary>Recall: why is a network on it trained beside one with shuffled prices?</summary>
#
# It has the same prices without the shape, so it shows what prices alone do.
#
# </details>
#
# <details><summary>Think: you give a network the shape of your choice, and it works as well as before. What have you learned about the task?</summary>
#
# That it does not mind, at this size and sparsity. It may mind when fewer weights are left, or it may have solved itself through the other matrices.
#
# </details>
#
# **Further research.** Choose a task whose inner variable has a known shape (an orientation, a joint angle, a position on a track), and give its network that shape and two others of equal mean price. Is there a sparsity at which the right shape wins, by more than the spread of ten seeds?
#
# **References.** Hatcher, *Algebraic Topology* (2002), for gluing. Watts and Strogatz, *Collective dynamics of 'small-world' networks* (1998).
