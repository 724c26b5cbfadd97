# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Wiring
#
# > Pictures of a recurrent matrix whose neurons live somewhere

# %% [markdown]
# After this chapter you can
#
# - tell from one picture whether a network's wiring follows a geometry,
# - see one neuron's connections on the manifold (the paper's figure 7),
# - read the spectrum of a recurrent matrix.
#
# The question: *a sparse matrix is a cloud of dots. What must be drawn so that its shape shows?*

# %%
#| default_exp analysis.wiring

# %%
#| export
from typing import TYPE_CHECKING, Annotated

import torch
from torch import Tensor

from modreg.geometry.arguments import Shape, Whole, Within, checked
from modreg.geometry.manifolds import Manifold, manifolds_of
from modreg.lab.experiments import recurrent_weights
from modreg.lab.runs import Run
from modreg.lab.training import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# %%
#| hide
import matplotlib.pyplot as plt
from fastcore.test import test_close, test_eq

from modreg.book.exercises import exercise
from modreg.geometry.inhibitors import DifferenceOfGaussians
from modreg.geometry.manifolds import Torus

plt.style.use("modreg.data.book")

# %% [markdown]
# ## A network with a known shape
#
# Put neurons on the torus, draw random weights, and keep a tenth of them in two ways: at random, and where the inhibitor is smallest.

# %%
#| code-fold: true
generator = torch.Generator().manual_seed(0)
torus = Torus()
embedding = torus.sample(400, generator)
distances = torus.distance(embedding)
weights = torch.randn(400, 400, generator=generator)
chance = weights * (torch.rand(400, 400, generator=generator) < 0.1)
inhibition = DifferenceOfGaussians()(distances)
local = weights * (inhibition <= inhibition.quantile(0.1))

# %%
fig, axes = plt.subplots(1, 2, figsize=(7, 3.4), layout="constrained")
for ax, matrix, title in zip(axes, (chance, local), ("kept at random", "kept by geometry"), strict=True):
    ax.spy(matrix, markersize=0.3, color="black")
    ax.set(title=title, xlabel="from neuron", ylabel="to neuron", xticks=[], yticks=[])
plt.show()


# %% [markdown]
# *Predict:* can you see which matrix has a shape? The eye finds nothing, since the neurons are numbered in no order. Distance brings it out.

# %% [markdown]
# ## Weight against distance
#
# Sort all pairs of different neurons by geodesic distance into bins. In each bin, two numbers: the share of weights that survived, and
# their mean magnitude. For wiring that ignores the geometry both are level. The diagonal, a neuron's weight to itself, is left out: it is memory, not wiring. So are pairs without a distance, such as neurons that live on two different spaces.

# %%
#| export
@checked
def weight_by_distance(
    weights: Annotated[Tensor, Shape("N N", "float", finite=True)],  # recurrent matrix (N, N)
    distances: Annotated[Tensor, Shape("N N", "float")],  # geodesic distances between the neurons (N, N)
    bins: Annotated[int, Within(1, 10**6)] = 30,  # number of bins of equal width from 0 to the greatest distance
) -> dict[str, Tensor]:  # `distance` at the bins' centres, `share` of weights that are not zero, mean `magnitude`, `pairs`
    "How many weights survive, and how large they are, at each distance; empty bins are nan"
    pair = ~torch.eye(len(weights), dtype=torch.bool) & distances.isfinite()  # no path leads from one module of neurons to another
    weights, distances = weights[pair], distances[pair]
    width = distances.max().clamp(min=torch.finfo(distances.dtype).tiny) / bins
    index = (distances / width).long().clamp_(max=bins - 1)

    def binned(values: Tensor) -> Tensor:
        return torch.zeros(bins, dtype=weights.dtype).index_add_(0, index, values)

    pairs = binned(torch.ones_like(weights))
    return {"distance": (torch.arange(bins) + 0.5) * width, "pairs": pairs,
            "share": binned((weights != 0).to(weights.dtype)) / pairs, "magnitude": binned(weights.abs()) / pairs}


# %%
counted = weight_by_distance(local, distances)
test_eq(counted["pairs"].sum().item(), 400 * 399)
parted = distances.clone().fill_diagonal_(torch.inf)  # no pair is counted twice, and none that is infinitely far apart
test_eq(weight_by_distance(local, parted)["pairs"].tolist(), counted["pairs"].tolist())
test_close((counted["share"] * counted["pairs"]).nansum(), (local != 0).sum() - (local.diagonal() != 0).sum(), eps=0.5)


# %%
#| export
@checked
def plot_weight_by_distance(
    weights: Annotated[Tensor, Shape("N N", "float", finite=True)],  # (N, N)
    distances: Annotated[Tensor, Shape("N N", "float")],  # (N, N)
    ax: "Axes",
    label: str | None = None,
) -> None:
    "Share of surviving weights against distance, as a step curve"
    curve = weight_by_distance(weights.cpu(), distances.cpu())
    ax.step(curve["distance"], 100 * curve["share"], where="mid", label=label)
    ax.set(xlabel="geodesic distance between two neurons", ylabel="weights that survive (%)", ylim=(0, None))


# %%
fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
plot_weight_by_distance(chance, distances, ax, "kept at random")
plot_weight_by_distance(local, distances, ax, "kept by geometry")
ax.legend(frameon=False)
plt.show()


# %% [markdown]
# Now it is plain: the second network is wired at the one distance that the difference of Gaussians leaves free.

# %% [markdown]
# ## One neuron on the manifold
#
# Every other neuron is a dot at its place; its colour is the weight from it to the chosen one, the star. Zeros are grey.

# %%
#| export
@checked
def plot_neuron(
    weights: Annotated[Tensor, Shape("N", "float", finite=True)],  # one row of the recurrent matrix (N,): the weights into neuron `neuron`
    space: Manifold,
    embedding: Annotated[Tensor, Shape("N c")],  # the neurons' points (N, c)
    neuron: Whole,
    ax: "Axes",
) -> None:
    "Weights into one neuron as a heat map on the manifold's chart (the paper's figure 7)"
    weights, flat = weights.cpu(), space.chart(embedding.cpu())
    others = torch.arange(len(weights)) != neuron
    alive, limit = (weights != 0) & others, weights[others].abs().max().clamp(min=1e-12).item()
    ax.scatter(*flat[~alive].T, s=6, color="0.85", linewidths=0)
    dots = ax.scatter(*flat[alive].T, s=22, c=weights[alive], cmap="PuOr", vmin=-limit, vmax=limit,
                      edgecolors="0.4", linewidths=0.3)
    ax.scatter(*flat[neuron], s=140, marker="*", color="black", zorder=3)
    ax.set(xlabel=space.chart_labels[0], ylabel=space.chart_labels[1], aspect="equal")
    ax.figure.colorbar(dots, ax=ax, label="weight", shrink=0.8)


# %%
fig, axes = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
for ax, matrix in zip(axes, (chance, local), strict=True):
    plot_neuron(matrix[7], torus, embedding, 7, ax)
plt.show()


# %% [markdown]
# On the right the neighbours form a ring round the star, and where the ring leaves the square it comes back on the other side.

# %% [markdown]
# ## The spectrum
#
# A recurrent network remembers along the eigenvectors of $W_h$ whose eigenvalues are near 1 in magnitude. Those inside the unit circle
# forget; those outside grow until the activation stops them.

# %%
#| export
@checked
def plot_spectrum(
    weights: Annotated[Tensor, Shape("N N", "float", finite=True)],  # recurrent matrix (N, N)
    ax: "Axes",
    label: str | None = None,
) -> None:
    "Eigenvalues of the recurrent matrix in the complex plane, with the unit circle"
    values = torch.linalg.eigvals(weights.detach().cpu().double())
    angle = torch.linspace(0, 2 * torch.pi, 200)
    ax.plot(angle.cos(), angle.sin(), color="0.7", linewidth=1)
    ax.scatter(values.real, values.imag, s=8, alpha=0.7, label=label)
    ax.set(xlabel="real part", ylabel="imaginary part", aspect="equal")


# %%
fig, ax = plt.subplots(figsize=(3.6, 3.6), layout="constrained")
for matrix, label in ((chance, "at random"), (local, "by geometry")):
    plot_spectrum(matrix / (matrix != 0).sum(1).float().mean().sqrt(), ax, label)
ax.legend(frameon=False, loc="upper right")
plt.show()


# %% [markdown]
# ## All of a run
#
# For each recurrent layer of a trained network, the three pictures in a row: the share of surviving weights by distance, the spectrum beside the dense network's,
# and the neuron with the most connections on that layer's own manifold. Each experiment draws them.

# %%
#| export
@checked
def plot_wiring(
    task: Task,
    runs: dict[str, Run],  # of `train_three`
    figure: "Figure",
) -> None:
    "Weight against distance, spectrum, and one neuron on the manifold; a row for each recurrent layer of the first seed"
    dense, sparse = (recurrent_weights(task, runs[name]) for name in ("dense", "sparse"))
    spaces = manifolds_of(task.config.manifold, len(sparse))
    figure.set_size_inches(11, 3.3 * len(sparse))
    for row, space, (_, before, _), (name, matrix, embedding) in zip(figure.subplots(len(sparse), 3, squeeze=False), spaces, dense, sparse, strict=True):
        plot_weight_by_distance(matrix, space.distance(embedding), row[0])
        for weight, label in ((before, "dense"), (matrix, "sparse")):
            plot_spectrum(weight, row[1], label)
        row[1].legend(frameon=False, loc="upper left")
        busiest = (matrix != 0).sum(1).argmax().item()
        plot_neuron(matrix[busiest], space, embedding, busiest, row[2])
        row[2].set_title(f"weights into neuron {busiest}", fontsize=10)
        if len(sparse) > 1:
            row[0].set_title(f"{name}, {space.name}", fontsize=10)


# %% [markdown]
# ## Exercise 1
#
# The share that survives is a curve. Give it one number: the mean distance of surviving pairs, divided by the mean distance of all pairs.
# For wiring without geometry it is near 1.

# %%
def locality(weights, distances):
    raise NotImplementedError("mean distance where a weight is left, over mean distance")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def locality(weights, distances):
#     return (distances[weights != 0].mean() / distances.mean()).item()
# ```
#
# </details>

# %%
with exercise("index the distances with weights != 0"):
    test_close(locality(chance, distances), 1, eps=0.02)
    assert locality(local, distances) < 0.5


# %% [markdown]
# ## Exercise 2: who talks to whom
#
# In-degrees tell whether pruning has spared some neurons. Write how many weights into each neuron are left, the diagonal aside.

# %%
def in_degree(weights):
    raise NotImplementedError("weights (N, N), rows are targets; the answer has one whole number a neuron")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def in_degree(weights):
#     return (weights != 0).sum(1) - (weights.diagonal() != 0).long()
# ```
#
# </details>

# %%
with exercise("count a row's nonzeros, then take the neuron's weight to itself away"):
    test_eq(in_degree(torch.tensor([[1.0, 2, 0], [0, 0, 3], [0, 0, 4]])).tolist(), [1, 1, 0])
    print(f"in-degrees: at random {in_degree(chance).float().std():.1f}, by geometry {in_degree(local).float().std():.1f} (standard deviations)")

# %% [markdown]
# ## What broke, and what the paper did
#
# Neurons have distance 0 from themselves, so the first curves of weight against distance counted a neuron's weight to itself among those of its nearest neighbours. The diagonal is memory and not wiring, so it is left out.
#
# Appendix F shows one neuron of a navigation network on the circle. The picture here works on every manifold that has a chart.
#
# **References.** Appendix F and figure 7 of the paper. Sussillo and Barak, *Opening the black box* (2013), on spectra and slow points.
