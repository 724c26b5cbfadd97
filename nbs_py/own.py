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
from dataclasses import dataclass

import matplotlib.pyplot as plt
import torch
from fastcore.test import test_close, test_eq
from torch import nn

from modreg import Inhibitor, MagnitudePruner, ModuliRegularizer, check_manifold, manifold, register_manifold
from modreg.book.exercises import exercise
from modreg.geometry.manifolds import Manifold
from modreg.sparsity.penalties import PENALTIES

plt.style.use("modreg.data.book")

# %%
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
# It says what a connection of length $d$ costs. Derive from `Inhibitor`, and give it a `evaluate` that is never negative. Here a neuron may talk to all that are
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
print(*f.trainable)


# %% [markdown]
# The last line is a warning that every inhibitor gives for nothing: under this one neurons that may move would all move to one place. We leave ours where they are drawn.
#
# ## A manifold of your own
#
# It says how far apart two neurons are. The base class wants a few facts, and hooks without which it makes no object (the checklist is in [manifolds](manifolds.ipynb)): how to draw points, put
# a stray one back, tell whether one lies on it, and the distances of all pairs. Lay copies of the strip end to end, every other one turned over, and the shortest way is a straight line to the
# point itself or to one of its two next copies, whichever is nearer. The copies to the right and the left have the same height, so one formula serves for both.

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
        return torch.minimum(torch.hypot(along, here - there), torch.hypot(self.length - along, here + there))

    def sample(self, n, generator=None, dtype=None, device=None):
        shape = (*n, 2) if isinstance(n, tuple) else (n, 2)
        part = torch.rand(shape, generator=generator, dtype=dtype, device=device)
        return torch.stack([self.length * part[..., 0], self.width * (part[..., 1] - 0.5)], -1)

    def project(self, x):
        turns = (x[..., 0] / self.length).floor()
        up = torch.where(turns % 2 == 0, x[..., 1], -x[..., 1])
        return torch.stack([x[..., 0] - turns * self.length, up.clamp(-self.width / 2, self.width / 2)], -1)

    def contains(self, x):
        return (x[..., 0] >= 0) & (x[..., 0] <= self.length) & (x[..., 1].abs() <= self.width / 2)


# %% [markdown]
# ## Is it right?
#
# Before anything is trained: a point is nowhere but at itself, there is as far as back, no detour is shorter, nothing is farther than the diameter, and crossing the seam changes
# nothing. Last an oracle that knows nothing of the formula: the least distance to seven copies.

# %%
print("hooks that a manifold must have:", *sorted(Manifold.__abstractmethods__))
band = MoebiusBand()
points = band.sample(200, torch.Generator().manual_seed(2), dtype=torch.float64)
d = band.distance(points)
assert band.check(points)[0] and (d.diagonal() == 0).all() and torch.equal(d, d.T)
assert (d <= (d[:, :, None] + d[None]).amin(1) + 1e-12).all() and d.max() <= band.diameter
moved = points * torch.tensor([1.0, -1.0]) + torch.tensor([band.length, 0.0])  # once round
test_close(band.project(moved), points, eps=1e-12)
copies = torch.stack([points * torch.tensor([1.0, (-1.0) ** k]) + torch.tensor([k * band.length, 0.0]) for k in range(-3, 4)])
test_close(d, (points[:, None] - copies[:, None]).norm(dim=-1).amin(0), eps=1e-9)

# %% [markdown]
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
    print(f"{name:8} error {error:.3f}")


# %%
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
print("share of weights left between neurons more than 4 apart:", {name: f"{share:.1%}" for name, share in beyond.items()})
assert beyond["moduli"] < 0.02 < beyond["shuffled"]


# %% [markdown]
# So whatever the shape, the wiring takes it. Whether the *network* is better for it is another question, and three errors of one seed don't
# answer it. The chapter [experiments](experiments.ipynb) says what does, and [head_direction](head_direction.ipynb) brings a whole task of one's own.
#
# ## Exercise 1: a small world
#
# In many brains most connections are short and a few are very long; what is rare is the length between. Write an inhibitor that is free up to `near` and from `far` on, and costs `height` between the two.

# %%
@dataclass(frozen=True)
class SmallWorld(Inhibitor):
    near: float = 1.0
    far: float = 8.0
    height: float = 80.0

    def evaluate(self, d):
        raise NotImplementedError("height where d lies between near and far, else 0")


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

# %%
with exercise("two comparisons, joined by &, and turned into numbers of d's own type"):
    test_eq(SmallWorld()(torch.tensor([0.5, 3.0, 8.5])), torch.tensor([0.0, 80.0, 0.0]))
    weight, embedding, error = train(manifold=band, inhibitor=SmallWorld(), strength=0.2)
    length = band.distance(embedding)[(weight != 0) & ~torch.eye(100, dtype=torch.bool)]
    assert ((length < 1) | (length > 8)).float().mean() > 0.8
    print(f"error {error:.3f}; {(length < 1).float().mean():.0%} of the connections are short and {(length > 8).float().mean():.0%} are long")


# %% [markdown]
# ## Exercise 2: without the half turn
#
# Glue the ends as they are and the strip becomes a cylinder. Which line changes? Write its distance, and check it by what must differ: a step over the seam.

# %%
class Cylinder(MoebiusBand):
    name = "cylinder"

    def pairwise(self, x, y):
        raise NotImplementedError("along the strip the short way round; up and down there is one way")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# class Cylinder(MoebiusBand):
#     name = "cylinder"
#
#     def pairwise(self, x, y):
#         along = (x[..., :, None, 0] - y[..., None, :, 0]).abs()
#         return torch.hypot(torch.minimum(along, self.length - along), x[..., :, None, 1] - y[..., None, :, 1])
# ```
#
# `project` and `diameter` are still those of the band, and wrong for the cylinder: a space is right when all of its facts are. Mend them too before you let neurons move.
#
# </details>

# %%
with exercise("the copies of a point on a cylinder are not turned over, so only the distance along the strip has two candidates"):
    ends = torch.tensor([[0.5, 1.5], [19.5, 1.5], [19.5, -1.5]])
    test_close(Cylinder().distance(ends)[0], torch.tensor([0.0, 1.0, math.hypot(1, 3)]), eps=1e-5)
    test_close(band.distance(ends)[0], torch.tensor([0.0, math.hypot(1, 3), 1.0]), eps=1e-5)

# %% [markdown]
# ## What broke, and what the paper did
#
# - The distance above is right and has no gradient where two points are one: `torch.hypot` gives `nan` there, as the naive torus of the chapter [manifolds](manifolds.ipynb) did. With fixed places
#   nobody asks for it. For places that are learned, derive it by hand as that chapter does, or the first step turns all of them to `nan`. `check_manifold` says so in words before you train ([checks](checks.ipynb)), and that in float32 some strays are not brought home at the first try:

# %%
lost = points[:2].clone().requires_grad_()
band.distance(lost).sum().backward()
assert lost.grad.isnan().all()
print(check_manifold(band)[1])
small = MoebiusBand(length=3.0, width=1.0)
assert small.diameter < f.reach and (f(small.distance(small.sample(100))) == 0).all()

# %% [markdown]
# - A space can be too small for its inhibitor. On the `small` band of the last cell no two neurons are farther apart than `reach`, so every price is 0 and the penalty does nothing, without a word.
#   Look at `reg.coefficients` before you train.
# - The paper takes any metric space (section 2.2) and tries those of its appendix D. In its code the distance of one of them is wrong for points that are opposite each other
#   ([reproduction](reproduction.ipynb), number 1); seven copies of each point, or whatever says the same in another way, would have shown it.
#
# **References.** Hatcher, *Algebraic Topology* (2002), for gluing. Watts and Strogatz, *Collective dynamics of 'small-world' networks* (1998).
