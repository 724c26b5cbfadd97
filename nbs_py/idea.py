# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The idea in ten minutes
#
# > Place, price, prune, look: the whole method on one small network

# %% [markdown]
# *Reading 10 min, exercises 10 min. To skip at a first reading:* nothing.
#
# After this chapter you can
#
# - say in four words what moduli regularization does, and do it to a network of your own,
# - see in a picture whether a network's wiring has a shape,
# - name the two controls without which such a picture proves nothing.
#
# The question: *can the wiring of a network be given a shape, and does the network still work?*

# %%
#| hide
import math

import matplotlib.pyplot as plt
import torch
from torch import nn

from modreg.book.exercises import draw_bars, draw_matrices, exercise
from modreg.book.explore import pruning_steps

plt.style.use("modreg.data.book")

# %%
from modreg import DifferenceOfGaussians, MagnitudePruner, Torus
from modreg.sparsity.penalties import PENALTIES, display_name

# %%
#| echo: false
#| fig-alt: Three panels. Left, 64 neurons as dots on a square, one of them a star, coloured by what a connection to the star costs; a dark ring round the star is cheap. Middle, the price of a connection by its length, which is high at 0, falls to nothing near 0.9 and rises again. Right, the same prices as a matrix of all pairs.
torus, inhibitor = Torus(), DifferenceOfGaussians()
points = torus.sample(64, torch.Generator().manual_seed(0))
points = points[points[:, 0].argsort()]
prices = inhibitor(torus.distance(points))

fig, (left, middle, right) = plt.subplots(1, 3, figsize=(9.5, 3), layout="constrained")
left.scatter(*points.T, c=prices[30], s=26)
left.plot(*points[30], "*", color="C1", markersize=14)
left.set(title="1. place: neurons on a torus", xticks=[], yticks=[], aspect="equal")
d = torch.linspace(0, 7, 200)
middle.plot(d, inhibitor(d))
middle.set(title="2. price: by distance", xlabel="distance of two neurons", ylabel="price")
right.imshow(prices)
right.set(title="the price of every weight", xlabel="from neuron", ylabel="to neuron")
plt.show()

# %% [markdown]
# A recurrent network has a weight from every hidden neuron to every other. The method does four things.
#
# 1. **Place.** Each neuron gets a point on a surface, here on a *torus*: a square whose opposite edges are one, so that who leaves on the right comes in on the left.
# 2. **Price.** Each weight gets a *price* by the distance of its two neurons: a number that says how much it is unwanted. Price times magnitude of the weight is added to the loss. So connections to what is far fade, and those to the very nearest; what lies on a ring at distance 0.9 is free.
# 3. **Prune.** While the network learns, its smallest weights are cut, more and more of them.
# 4. **Look.** What is left?
#
# *Predict:* of a neuron's weights, which are left when nineteen in twenty are gone? And does the network do its task better, worse or as well as one that was pruned without prices?
#
# ## Place

# %%
torus = Torus()  # 10 by 10, opposite edges glued
points = torus.sample(64, torch.Generator().manual_seed(0))  # a random point for each of 64 neurons
distances = torus.distance(points)  # (64, 64), the short way round
print(f"neurons are {distances.mean():.1f} apart on average and {distances.max():.1f} at most")

# %% [markdown]
# ## Price
#
# The function from distance to price is called the *inhibitor*. This one is a *difference of Gaussians*, the middle picture above: connections of length 0 and long ones are dear, and those of a length near 0.9 cost nothing.

# %%
inhibitor = DifferenceOfGaussians()
prices = inhibitor(distances)
print(f"of {len(points)} neurons, the first has {int((prices[0] < prices.max() / 4).sum())} that cost less than a quarter of the dearest")


# %% [markdown]
# ## A task
#
# Something small to learn: a signal is the sum of two waves; say its next value. Who always says 0 has an error of about 1.

# %%
def waves(batch=16, steps=30):
    "Sums of two waves (steps, batch, 1) with random phases and somewhat random periods"
    period = torch.tensor([7.0, 17.0]) * (0.9 + 0.2 * torch.rand(batch, 2))
    phase = 2 * math.pi * torch.rand(batch, 2)
    return torch.sin(2 * math.pi * torch.arange(steps)[:, None, None] / period + phase).sum(-1, keepdim=True)


def task_loss(rnn, readout, batch=16):
    "Mean square error of the next value, from the ninth step on"
    signal = waves(batch)
    states, _ = rnn(signal[:-1])
    return (readout(states)[8:] - signal[9:]).square().mean()


# %% [markdown]
# ## Prune
#
# An ordinary loop, with three lines that are not: one makes the penalty, one makes the pruner, and `+ penalty()` adds prices times magnitudes to the loss (their mean, times a strength). Besides the network with prices by distance (*moduli*), two are trained as *controls*:
# one with the same prices dealt out to the wrong weights (*shuffled prices*), and one with no prices at all (*no penalty*).

# %%
def train(name, epochs=20, batches=20):
    "Whether each recurrent weight is left after each epoch (epochs, 64, 64), and the error after each"
    torch.manual_seed(0)
    rnn, readout = nn.RNN(1, 64), nn.Linear(64, 1)
    optimizer = torch.optim.Adam([*rnn.parameters(), *readout.parameters()], lr=3e-3)
    penalty = PENALTIES[name](rnn, torus, inhibitor, strength=0.1, embedding=points, generator=torch.Generator().manual_seed(1))
    pruner = MagnitudePruner(rnn, target=0.95, epochs=epochs, parameters=["weight_hh_l0"])
    left, errors = [], []
    for epoch in range(epochs):
        pruner.step(epoch, optimizer)  # cuts some more of the smallest weights
        for _ in range(batches):
            loss = task_loss(rnn, readout) + penalty()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        left.append(rnn.weight_hh_l0.detach() != 0)
        errors.append(task_loss(rnn, readout, 500).sqrt().item())
    return torch.stack(left), errors


# %%
networks = {name: train(name) for name in ("moduli", "shuffled", "none")}
for name, (left, errors) in networks.items():
    print(f"{display_name(name):15} error {errors[-1]:.2f} with {1 - left[-1].float().mean():.0%} of the recurrent weights at zero")

# %% [markdown]
# ## Look
#
# Below are the three networks side by side. The star is one neuron, the same in all three, and lines lead from the neurons that it still listens to. Words with a dashed underline set the figure: click them.

# %%
sparsity = [1 - alive.float().mean().item() for alive in networks["none"][0]]
pruning_steps({
    "neurons": 64, "places": points.tolist(), "sparsity": sparsity, "limits": {"always 0": 1.0}, "unit": "of a signal of size 1",
    "networks": {name: {"survived": left.sum(0).tolist(), "error": errors} for name, (left, errors) in networks.items()},
})

# %% [markdown]
# At <a href="#set:pruning_steps?pruning step=0">the first step</a> every neuron listens to all others, in all three networks. When <a href="#set:pruning_steps?pruning step=10">half of the weights are gone</a> one already sees which distances the prices spare.
# At <a href="#set:pruning_steps?pruning step=19">the last step</a> each neuron of *moduli* listens to a few others that lie round it, and the two controls to some from anywhere. Other neurons show the same: <a href="#set:pruning_steps?neuron=20">this one</a>, or
# <a href="#set:pruning_steps?neuron=41">this one</a>. What of a neuron near the edge? Its partners come in from the other side.
#
# Now the same as a number, for all neurons at once.

# %%
#| fig-alt: "Three matrices of which weights are left, neurons ordered from left to right. Of moduli a band along the diagonal and its two far corners; of shuffled prices and of no penalty, dots all over."
others = ~torch.eye(64, dtype=torch.bool)
near = (distances < 1.8) & others
shares = {name: distances[left[-1] & others].lt(1.8).float().mean().item() for name, (left, _) in networks.items()}
print(f"of all pairs of neurons, {near.sum() / others.sum():.0%} are less than 1.8 apart; of the pairs whose weight is left")
for name, share in shares.items():
    print(f"    {display_name(name):15} {share:4.0%}")
last = {name: errors[-1] for name, (_, errors) in networks.items()}
assert max(last["moduli"], last["shuffled"]) < last["none"] < 0.6  # what the text below says of the errors
assert shares["moduli"] > 0.75 and max(shares["shuffled"], shares["none"]) < 0.25

fig, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained", sharey=True)
order = points[:, 0].argsort()
for ax, (name, (left, errors)) in zip(axes, networks.items(), strict=True):
    ax.imshow(left[-1][order][:, order], cmap="Greys")
    ax.set(title=f"{display_name(name)}: error {errors[-1]:.2f}", xlabel="from neuron, from left to right")
axes[0].set_ylabel("to neuron")
plt.show()


# %% [markdown]
# So the prices gave the wiring a shape: the band along the diagonal, and its two corners, are the torus, seen along one direction.
#
# And the task? Look at the errors. The network with prices does it better than the one without. But so does the one whose prices were dealt out to the wrong weights: prices of *any* kind make many weights small before they are cut, and what is small is not missed. In this example the shape costs nothing; whether it *helps* is another
# question, which takes more than one seed of one small task. The experiments of this book ask it, always beside these two controls.
#
# Without shuffled prices one would not know whether a result is due to the geometry, or to prices of any kind. Without a network that has no penalty one would not know whether it is due to prices at all.
#
# ## Where to go on
#
# [Manifolds](manifolds.ipynb) is about *place*, [inhibitors](inhibitors.ipynb) about *price*, [regularizer](regularizer.ipynb) about how a price acts on a weight, [pruning](pruning.ipynb) about *prune*, and [wiring](wiring.ipynb) about *look*. Who wants it on a network of their own now reads [own](own.ipynb).
#
# ## Exercise 1: the penalty
#
# *5 min, easy.* Write what is added to the loss, from the matrix of prices, the matrix of weights and a strength. ([How to do an exercise](exercises.ipynb) is said in the next chapter.)

# %%
def penalty_of(prices, weights, strength):
    "Penalty (a tensor without dimensions) of weights (N, N) at prices (N, N)"
    raise NotImplementedError


# %%
#| fold How it is checked
drawn = torch.randn(64, 64, generator=torch.Generator().manual_seed(3))
with exercise("a price counts in proportion to the size of its weight, whatever the sign; and it is a mean, not a sum",
              lambda: draw_matrices(price=prices[order][:, order], what_each_weight_pays=(prices * drawn.abs())[order][:, order])) as expect:
    expect(penalty_of, torch.tensor([[0.0, 2], [4, 0]]), torch.tensor([[1.0, -1], [0.5, 3]]), 0.1, gives=0.1)
    layer = nn.RNN(1, 64)
    reg = PENALTIES["moduli"](layer, torus, inhibitor, strength=0.3, embedding=points)
    expect(penalty_of, prices, layer.weight_hh_l0.detach(), 0.3, gives=reg().item())


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def penalty_of(prices, weights, strength):
#     return strength * (prices * weights.abs()).mean()
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: what chance would leave
#
# *5 min, medium.* A network is pruned without prices, so that its weights survive wherever they are. Which share of the surviving weights would join neurons nearer than `reach`? You need the torus alone: 10 by 10, and `reach` at most 5.

# %%
def by_chance(reach):
    "Share of random pairs on the torus that are less than `reach` apart"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("how large is a disc of that radius, and how large is the torus?",
              lambda: draw_bars({"by chance": by_chance(1.8)} | {display_name(name): share for name, share in shares.items()}, "share of weights between neurons less than 1.8 apart")) as expect:
    many = torus.distance(torus.sample(2000, torch.Generator().manual_seed(4)))
    for reach in (1.0, 1.8, 4.0):
        expect(by_chance, reach, gives=(many < reach).float().mean().item(), within=0.01)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def by_chance(reach):
#     return math.pi * reach**2 / 100
# ```
#
# The controls in the figure are close to that, and *moduli* is far from it.
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - The first version of this page drew the network with prices alone. It looked convincing, and showed nothing that prices dealt out at random could not have shown. A picture of wiring stands beside its controls since then.
# - The paper writes the penalty as a sum over all weights, and its code takes the mean. The book takes the mean throughout, so that its strengths can be compared with the paper's.
# - The paper prunes as here, while the network learns, and compares spaces and inhibitors on tasks of a size that matters: [experiments](experiments.ipynb).
#
# ## Recall and think
#
# <details><summary>Recall: what are the four steps, in four words?</summary>
#
# Place, price, prune, look.
#
# </details>
#
# <details><summary>Recall: which two controls stand beside a network with prices, and what does each show?</summary>
#
# *Shuffled prices*, the same prices dealt out to the wrong weights, show what prices do without the geometry; *no penalty* shows what pruning does without prices.
#
# </details>
#
# <details><summary>Think: a friend trains one network with prices and one without, and the first has the lower error. What would you ask for before you believe that a torus helps?</summary>
#
# A shuffled control, several seeds of each, and a strength that was chosen in the same way for all of them, on other seeds than those that are reported.
#
# </details>
#
# **References.** *Geometric sparsification in recurrent neural networks*, figure 1 and section 2. Distill, *Memorization in RNNs* (2019), whose words set its figures.
