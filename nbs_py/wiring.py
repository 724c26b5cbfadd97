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
# *Reading 25 min, exercises 10 min. To skip at a first reading:* *What would any network with these degrees have?*, *Measures of a graph*.
#
# After this chapter you can
#
# - tell from one picture whether a network's wiring follows a geometry,
# - see one neuron's connections on the manifold (the paper's figure 7),
# - read the spectrum of a recurrent matrix,
# - measure a wiring as a graph, beside graphs of equal degrees.
#
# The question: *a sparse matrix is a cloud of dots. What must be drawn so that its shape shows?*

# %%
#| default_exp analysis.wiring

# %%
#| export
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import torch
from torch import Tensor

from modreg.geometry.arguments import Count, Shape, Whole, Within, check, checked
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
import networkx
from fastcore.test import test_close, test_eq

from modreg.book.exercises import draw_bars, draw_lines, exercise
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
#| fig-alt: "Two matrices of a tenth of all connections as black dots, kept at random and kept by geometry: by eye they look alike."
fig, axes = plt.subplots(1, 2, figsize=(7, 3.4), layout="constrained")
for ax, matrix, title in zip(axes, (chance, local), ("kept at random", "kept by geometry"), strict=True):
    ax.spy(matrix, markersize=0.3, color="black")
    ax.set(title=title, xlabel="from neuron", ylabel="to neuron", xticks=[], yticks=[])
plt.show()


# %% [markdown]
# *Predict:* can you see which matrix has a shape? The eye finds nothing, since the neurons are numbered in no order. Distance brings it out.

# %%
#| export
def _square(weights: Tensor) -> Tensor:
    "A detached weight matrix on the CPU; TypeError or ValueError unless it is one, square and finite"
    if not isinstance(weights, Tensor) or not weights.is_floating_point():
        raise TypeError(f"weights is {f'a tensor of {weights.dtype}' if isinstance(weights, Tensor) else f'a {type(weights).__name__}'}; give a floating tensor (N, N)")
    if weights.ndim != 2 or weights.shape[0] != weights.shape[1] or len(weights) < 2:
        raise ValueError(f"weights has shape {tuple(weights.shape)}; give a square matrix (N, N) of 2 neurons or more")
    if not weights.isfinite().all():
        raise ValueError(f"weights has {int((~weights.isfinite()).sum())} entries that are not finite; a network that diverged has no wiring to measure")
    return weights.detach().cpu()


# %% [markdown]
# ## Weight against distance
#
# Sort all pairs of different neurons by geodesic distance into bins. In each bin, two numbers: the share of weights that survived, and
# their mean magnitude. For wiring that ignores the geometry both are level. The diagonal, a neuron's weight to itself, is left out: it is memory, not wiring. So are pairs without a distance, such as neurons that live on two different spaces.

# %%
#| export
@checked(finite=False)
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
    ax.set(xlabel="geodesic distance between two neurons", ylabel="weights that survive (%)")
    ax.set_ylim(bottom=0, auto=None)  # the next line that is drawn may be higher


# %%
#| fig-alt: "Share of surviving weights by distance: even at 10 % where they were kept at random; where they were kept by geometry, all between 0.4 and 1.8 and none elsewhere."
fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
plot_weight_by_distance(chance, distances, ax, "kept at random")
plot_weight_by_distance(local, distances, ax, "kept by geometry")
ax.legend(frameon=False)
plt.show()


# %% [markdown]
# Now it is plain: the second network is wired around the one distance that the difference of Gaussians leaves free.

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
    ax.scatter(flat[~alive, 0], flat[~alive, 1], s=6, color="0.85", linewidths=0)
    dots = ax.scatter(flat[alive, 0], flat[alive, 1], s=22, c=weights[alive], cmap="PuOr", vmin=-limit, vmax=limit,
                      edgecolors="0.4", linewidths=0.3)
    ax.scatter(flat[neuron, 0], flat[neuron, 1], s=140, marker="*", color="black", zorder=3)
    ax.set(xlabel=space.chart_labels[0], ylabel=space.chart_labels[1], aspect="equal")
    ax.figure.colorbar(dots, ax=ax, label="weight", shrink=0.8)


# %%
#| fig-alt: "Connections into one neuron on the square: kept at random they come from everywhere, kept by geometry from a ring around it."
fig, axes = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
chosen = int(embedding[:, 0].argmax())  # at the right edge
for ax, matrix, title in zip(axes, (chance, local), ("kept at random", "kept by geometry"), strict=True):
    plot_neuron(matrix[chosen], torus, embedding, chosen, ax)
    ax.set_title(title)
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
#| fig-alt: "Eigenvalues of both matrices fill the same disc in the complex plane."
fig, ax = plt.subplots(figsize=(3.6, 3.6), layout="constrained")
for matrix, label in ((chance, "at random"), (local, "by geometry")):
    plot_spectrum(matrix / (matrix != 0).sum(1).float().mean().sqrt(), ax, label)
fig.legend(loc="outside upper center", ncols=2, frameon=False, markerscale=2)
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
    dense, sparse = (recurrent_weights(task, runs[name]) for name in ("dense" if "dense" in runs else "plain", "sparse"))
    spaces = manifolds_of(task.config.manifold, len(sparse))
    figure.set_size_inches(9.4, 3.1 * len(sparse))
    for row, space, (_, before, _), (name, matrix, embedding) in zip(figure.subplots(len(sparse), 3, squeeze=False), spaces, dense, sparse, strict=True):
        plot_weight_by_distance(matrix, space.distance(embedding), row[0])
        for weight, label in ((before, "dense"), (matrix, "sparse")):
            plot_spectrum(weight, row[1], label)
        row[1].legend(frameon=False, loc="upper left")
        busiest = int((matrix != 0).sum(1).argmax())
        plot_neuron(matrix[busiest], space, embedding, busiest, row[2])
        row[2].set_title(f"weights into neuron {busiest}", fontsize=10)
        if len(sparse) > 1:
            row[0].set_title(f"{name}, {space.name}", fontsize=10)


# %% [markdown]
# ## What would any network with these degrees have?
#
# A measure of a graph means little alone: where a few neurons have most of the connections, much follows from that. So each measure is put beside *nulls of equal degrees*: take two connections, $a \to b$ and $c \to d$,
# and swap their ends, if $a \to d$ and $c \to b$ are not there yet. Every neuron keeps its number of connections in and out; who is joined to whom becomes chance.

# %%
#| export
def _swapped(edges: Tensor, n: int, undirected: bool, rounds: int, generator: torch.Generator | None) -> Tensor:
    "Edges (2, E) after swaps of their ends, all that are possible at once in each round"
    edges, half = edges.clone(), edges.shape[1] // 2
    taken = torch.eye(n, dtype=torch.bool)

    def mark(ends: Tensor, there: bool) -> None:
        taken[ends[0], ends[1]] = there
        if undirected:
            taken[ends[1], ends[0]] = there

    mark(edges, True)
    for _ in range(rounds):
        a, c = torch.randperm(edges.shape[1], generator=generator)[: 2 * half].view(2, half)
        first, second = edges[:, a], edges[:, c]
        if undirected:  # either end may come first
            second = torch.where(torch.rand(half, generator=generator) < 0.5, second, second.flip(0))
        new = torch.stack([torch.stack([first[0], second[1]]), torch.stack([second[0], first[1]])])  # (2 edges, 2 ends, pairs)
        low, high = (new.amin(1), new.amax(1)) if undirected else new.unbind(1)
        _, inverse, count = (low * n + high).unique(return_inverse=True, return_counts=True)
        right = (~taken[new[:, 0], new[:, 1]] & (count[inverse] == 1)).all(0)
        mark(torch.cat([first, second], 1)[:, right.repeat(2)], False)
        mark(torch.cat([*new], 1)[:, right.repeat(2)], True)
        edges[:, a[right]], edges[:, c[right]] = new[0][:, right], new[1][:, right]
    return edges.sort(0).values if undirected else edges


# %%
#| export
@checked(finite=False)
def rewired(
    weights: Tensor,  # (N, N); if it is symmetric, so is what is returned
    generator: torch.Generator | None = None,
    rounds: Annotated[int, Within(0, 10**4)] = 20,  # how often each connection is offered a swap
) -> Tensor:  # (N, N)
    "The same magnitudes between other neurons, chosen at random among all wirings in which each neuron has as many connections in, and out, as before; the diagonal stays"
    weights = _square(weights)
    n, undirected = len(weights), torch.equal(weights, weights.mT)
    off = ~torch.eye(n, dtype=torch.bool)
    pairs = off.triu() if undirected else off
    present = (weights != 0) & off
    full = present.sum() > off.sum() / 2  # then it is quicker to rewire the zeros
    edges = _swapped(((~present if full else present) & pairs).nonzero().T, n, undirected, rounds, generator)
    pattern = torch.zeros(n, n, dtype=torch.bool)
    pattern[edges[0], edges[1]] = True
    if full:
        pattern = ~pattern & pairs
    values, found = weights[present & pairs], torch.zeros_like(weights)
    found[pattern] = values[torch.randperm(len(values), generator=generator)]
    return (found + found.mT if undirected else found) + weights.diagonal().diag()


# %%
#| fig-alt: "Share of surviving weights by distance: all in a narrow range before rewiring, even at 10 % after it."
again = rewired(local, generator)
for dim in (0, 1):
    test_eq((again != 0).sum(dim).tolist(), (local != 0).sum(dim).tolist())
test_eq(again.flatten().sort().values.tolist(), local.flatten().sort().values.tolist())
fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
for matrix, label in ((local, "kept by geometry"), (again, "rewired")):
    plot_weight_by_distance(matrix, distances, ax, label)
ax.legend(frameon=False)
plt.show()


# %% [markdown]
# ## Measures of a graph
#
# What a geometry does to a graph has names. *Clustering*: a neuron's partners are partners of each other. *Small world*: clustered, and yet nobody is many steps away. *Modularity*: groups that keep to themselves. *Rich club*: hubs that are joined to hubs.
# *Communicability*: how much goes from one neuron to another over ways of all lengths, long ways counting less. *Wiring length*: the mean geodesic distance of what is joined, where an embedding is given.
#
# *Predict:* which of them does a torus raise, against the same degrees at random?

# %%
#| export
def _graph(weights: Tensor) -> tuple[Tensor, Tensor, int]:
    "Whether each two neurons are joined, either way (N, N) float, the greatest magnitude of both ways (N, N), and the number of neurons that are joined to any"
    size = torch.maximum(weights.abs(), weights.abs().mT).double().fill_diagonal_(0)
    joined = (size > 0).double()
    return joined, size, int((joined.sum(0) > 0).sum())


def _clustering(joined: Tensor) -> float:
    "Mean share of a neuron's pairs of partners that are joined; 0 of a neuron with fewer than two"
    degree = joined.sum(0)
    triangles = ((joined.float() @ joined.float()) * joined).sum(0)  # whole numbers: exact
    return (triangles / (degree * (degree - 1)).clamp(min=1)).mean().item()


def _path_length(joined: Tensor, generator: torch.Generator | None, sources: int = 200) -> float:
    "Mean number of steps between neurons that can reach each other, from all or from so many"
    seen = torch.eye(len(joined), dtype=torch.float32)[torch.randperm(len(joined), generator=generator)[:sources]]
    edges, front, steps, pairs, step = joined.float(), seen, 0.0, 0.0, 0
    while front.any():
        step += 1
        front = ((front @ edges) > 0).float() * (1 - seen)
        seen = seen + front
        steps, pairs = steps + step * front.sum().item(), pairs + front.sum().item()
    return steps / pairs if pairs else math.nan


# %%
#| export
def _modularity(size: Tensor, generator: torch.Generator | None) -> float:
    "Modularity of the groups that Louvain's method finds, by magnitudes"
    import networkx

    graph = networkx.Graph()
    graph.add_nodes_from(range(len(size)))
    pairs = size.triu(1).nonzero()
    graph.add_weighted_edges_from((*pair, weight) for pair, weight in zip(pairs.tolist(), size[pairs[:, 0], pairs[:, 1]].tolist(), strict=True))
    if not len(pairs):
        return math.nan
    seed = int(torch.randint(2**31 - 1, (), generator=generator))
    return networkx.community.modularity(graph, networkx.community.louvain_communities(graph, seed=seed))


def _rich_club(joined: Tensor) -> float:
    "Share of pairs among the tenth of neurons with the most partners that are joined"
    hubs = joined.sum(0).argsort(descending=True, stable=True)[: max(2, len(joined) // 10)]
    return (joined[hubs][:, hubs].sum() / (len(hubs) * (len(hubs) - 1))).item()


# %%
#| export
def _communicability(size: Tensor) -> float:
    "Mean of the exponential of D^-1/2 A D^-1/2 over all pairs of different neurons (Estrada and Hatano, for weights); a series of products with a vector, as all eigenvalues are at most 1, less the trace"
    n, strength = len(size), size.sum(0).sqrt()
    strength = torch.where(strength > 0, strength, 1)
    step = size / (strength * strength[:, None])
    ones, total = torch.ones(n, dtype=step.dtype), float(n)
    for k in range(1, 20):
        ones = step @ ones / k
        total += ones.sum().item()
    return (total - torch.linalg.eigvalsh(step).exp().sum().item()) / (n * (n - 1))


# %%
#| export
MEASURES = ("connections", "degree_spread", "clustering", "path_length", "small_world", "modularity", "rich_club", "communicability", "wiring_length")


@checked(finite=False)
def graph_measures(
    weights: Tensor,  # recurrent matrix (N, N); what is not 0 is a connection, in whichever direction; the diagonal is left out
    distances: Tensor | None = None,  # geodesic distances between the neurons (N, N), for the wiring length
    generator: torch.Generator | None = None,  # for Louvain's method, and for sampling paths of more than 200 neurons
) -> dict[str, float]:  # by the names in MEASURES; nan where there is none
    "Measures of a wiring as a graph: mean number of partners, the spread of these (standard deviation over mean), clustering, path length, clustering over path length against chance of this density, modularity, rich club, communicability, mean length"
    weights = _square(weights)
    if distances is not None and distances.shape != weights.shape:
        raise ValueError(f"weights {tuple(weights.shape)} and distances {tuple(distances.shape)} differ in shape; both are (N, N)")
    joined, size, connected = _graph(weights)
    n, degree = len(weights), joined.sum(0)
    if not connected:
        return {name: 0.0 if name in ("connections", "clustering", "rich_club") else math.nan for name in MEASURES}
    clustering, steps = _clustering(joined), _path_length(joined, generator)
    mean = degree.mean().item()
    chance = mean / (n - 1), (math.log(n) / math.log(mean) if mean > 1 else math.nan)  # of a random graph (Watts and Strogatz)
    there = joined.bool() & (distances.isfinite() if distances is not None else True)
    return {"connections": mean, "degree_spread": (degree.std(correction=0) / mean).item(), "clustering": clustering, "path_length": steps,
            "small_world": (clustering / chance[0]) / (steps / chance[1]), "modularity": _modularity(size, generator), "rich_club": _rich_club(joined),
            "communicability": _communicability(size), "wiring_length": distances.cpu()[there].double().mean().item() if distances is not None else math.nan}


# %%
ring_of_cliques = torch.from_numpy(networkx.to_numpy_array(networkx.ring_of_cliques(6, 5), dtype="float32"))
whole = graph_measures(torch.ones(10, 10))
test_close([whole[name] for name in ("connections", "degree_spread", "clustering", "path_length", "rich_club")], [9, 0, 1, 1, 1])
found = graph_measures(ring_of_cliques, generator=generator)
test_close(found["clustering"], networkx.average_clustering(networkx.ring_of_cliques(6, 5)), eps=1e-9)
test_close(found["path_length"], networkx.average_shortest_path_length(networkx.ring_of_cliques(6, 5)), eps=1e-6)
test_close(found["modularity"], networkx.community.modularity(networkx.ring_of_cliques(6, 5), [range(5 * k, 5 * k + 5) for k in range(6)]), eps=1e-9)


# %%
#| export
@checked(finite=False)
def against_chance(
    weights: Tensor,  # (N, N)
    distances: Tensor | None = None,  # (N, N)
    nulls: int = 5,  # number of rewired graphs
    generator: torch.Generator | None = None,
) -> dict[str, tuple[float, float, float]]:  # by measure: its value, and mean and standard deviation of those of equal degrees
    "Measures of a wiring beside those of wirings in which each neuron has as many partners"
    check("nulls", nulls, Count)
    found, weights = graph_measures(weights, distances, generator), _square(weights)
    both = torch.maximum(weights.abs(), weights.abs().mT)
    chance = [graph_measures(rewired(both, generator), distances, generator) for _ in range(nulls)]
    values = {name: torch.tensor([one[name] for one in chance], dtype=torch.float64) for name in found}
    return {name: (found[name], values[name].mean().item(), values[name].std(correction=0).item()) for name in found}


# %%
#| export
@checked(finite=False)
def plot_against_chance(
    measured: dict[str, dict[str, tuple[float, float, float]]],  # by a network's name: what `against_chance` returns
    ax: "Axes",
) -> None:
    "How many times as large as at equal degrees each measure is; the bar is two standard deviations of chance"
    from matplotlib.ticker import LogLocator

    names = [name for name in MEASURES if name not in ("connections", "degree_spread") and any(math.isfinite(one[name][0]) for one in measured.values())]
    for k, (label, one) in enumerate(measured.items()):
        ratio = [one[name][0] / one[name][1] if one[name][1] else math.nan for name in names]
        spread = [2 * one[name][2] / one[name][1] if one[name][1] else math.nan for name in names]
        ax.errorbar([x + 0.15 * k for x in range(len(names))], ratio, spread, fmt="o", label=label, capsize=3)
    ax.axhline(1, color="0.7", linewidth=0.8)
    ax.set(xticks=range(len(names)), ylabel="times that of equal degrees", yscale="log")
    ax.yaxis.set_minor_locator(LogLocator(subs=(2, 3, 5)))
    for of in (ax.yaxis.set_major_formatter, ax.yaxis.set_minor_formatter):
        of("{x:g}")
    ax.set_xticklabels([name.replace("_", " ") for name in names], rotation=30, ha="right")
    ax.legend(frameon=False)


# %%
#| fig-alt: "Seven measures of two graphs as multiples of those of random graphs with equal degrees: at 1 for the one kept at random; clustering, small world and modularity several times higher for the one kept by geometry."
measured = {title: against_chance(matrix, distances, 3, generator) for title, matrix in {"kept at random": chance, "kept by geometry": local}.items()}
fig, ax = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
plot_against_chance(measured, ax)
plt.show()
for name, (value, mean, spread) in measured["kept by geometry"].items():
    print(f"{name.replace('_', ' '):<16} {value:8.4g}   equal degrees {mean:8.4g} ± {spread:.2g}")
assert measured["kept by geometry"]["clustering"][0] > 2 * measured["kept by geometry"]["clustering"][1]
assert abs(measured["kept at random"]["clustering"][0] / measured["kept at random"]["clustering"][1] - 1) < 0.1


# %% [markdown]
# Geometry makes cliques of neighbours, so clustering and modularity rise; it forbids shortcuts, so paths grow longer, while what is communicated over ways of all lengths is nearly the same; wiring gets short, as it must.
#
# ## In the course of training
#
# Give the weights of several moments, or of several sparsities, and see the measures change.

# %%
#| export
@checked(finite=False)
def measures_over_time(
    weights: Iterable[Tensor],  # recurrent matrices (N, N), or masks, in order
    distances: Tensor | None = None,  # (N, N)
    nulls: int = 0,  # number of rewired graphs beside each; 0 for the measures alone
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:  # by measure (moments,); with nulls (moments, 3): value, mean and deviation at equal degrees
    "Measures of a wiring at several moments"
    found = []
    for matrix in weights:
        matrix = matrix.float() if isinstance(matrix, Tensor) and matrix.dtype == torch.bool else matrix
        found.append(against_chance(matrix, distances, nulls, generator) if nulls else graph_measures(matrix, distances, generator))
    if not found:
        raise ValueError("weights is empty; give one matrix or more, in order")
    return {name: torch.tensor([one[name] for one in found], dtype=torch.float64) for name in found[0]}


# %%
#| code-fold: true
#| fig-alt: "Connections, clustering and wiring length over five moments of training: under prices of a torus clustering stays and wiring gets short, under equal prices clustering vanishes and length stays."
spaces = {}
place = torus.sample(200, generator)
for name, price in {"torus": DifferenceOfGaussians()(torus.distance(place)), "uniform": torch.full((200, 200), 60.0)}.items():
    weight, moments = torch.randn(200, 200, generator=generator), []
    for _ in range(30):  # shrink by the price, as the penalty does, and let noise stand for the loss
        weight = (weight.abs() - 0.0015 * price).clamp(min=0) * weight.sign() + 0.02 * torch.randn(200, 200, generator=generator) * (weight != 0)
        moments.append(weight * (weight.abs() > 0.5))
    spaces[name] = measures_over_time(moments[::6], torus.distance(place), generator=generator)
fig, axes = plt.subplots(1, 3, figsize=(9, 2.8), layout="constrained")
for ax, measure in zip(axes, ("connections", "clustering", "wiring_length"), strict=True):
    for name, curves in spaces.items():
        ax.plot(curves[measure], "o-", label=name)
    ax.set(xlabel="moment", ylabel=measure.replace("_", " "))
axes[0].legend(frameon=False)
plt.show()


# %% [markdown]
# ## Exercise 1: one number for a curve
#
# *5 min, easy.* The share that survives is a curve. Give it one number: the mean distance of surviving pairs, divided by the mean distance of all pairs.
# For wiring without geometry it is near 1.

# %%
def locality(weights, distances):
    "Mean distance of pairs whose weight is not zero, over the mean distance of all pairs; both (N, N)"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("index the distances with weights != 0", lambda: draw_bars({"at random": locality(chance, distances), "by geometry": locality(local, distances)}, "locality")) as expect:
    expect(locality, torch.tensor([[0.0, 1.0], [0.0, 0.0]]), torch.tensor([[0.0, 4.0], [4.0, 0.0]]), gives=2.0)
    expect(locality, chance, distances, gives=1.0, within=0.02)
    expect.that(locality(local, distances) < 0.5, "the wiring that was made by geometry should have a locality below one half")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def locality(weights, distances):
#     return (distances[weights != 0].mean() / distances.mean()).item()
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: who talks to whom
#
# *5 min, easy.* In-degrees tell whether pruning has spared some neurons. Write how many weights into each neuron are left, the diagonal aside.

# %%
def in_degree(weights):
    "How many weights (N,) into each neuron are not zero, its own aside; weights (N, N), rows are targets"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("count a row's nonzeros, then take the neuron's weight to itself away", lambda: draw_lines("neurons, sorted", "in-degree", at_random=in_degree(chance).sort().values, by_geometry=in_degree(local).sort().values)) as expect:
    expect(in_degree, torch.tensor([[1.0, 2, 0], [0, 0, 3], [0, 0, 4]]), gives=torch.tensor([1, 1, 0]))

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def in_degree(weights):
#     return (weights != 0).sum(1) - (weights.diagonal() != 0).long()
# ```
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# Neurons have distance 0 from themselves, so the first curves of weight against distance counted a neuron's weight to itself among those of its nearest neighbours. The diagonal is memory and not wiring, so it is left out.
#
# Appendix F shows one neuron of a navigation network on the circle. The picture here works on every manifold that has a chart.
#
# ## Recall and think
#
# <details><summary>Recall: how does one see that wiring follows a geometry?</summary>
#
# The share of weights that survive depends on the distance of their neurons; without geometry the curve is level.
#
# </details>
#
# <details><summary>Recall: why is a measure of a graph put beside graphs of equal degrees?</summary>
#
# Much follows from how many connections each neuron has, whoever they lead to.
#
# </details>
#
# <details><summary>Think: clustering is higher than in graphs of equal degrees. Is the wiring that of your manifold?</summary>
#
# Not yet: any geometry raises it. The curve over *your* distances says more.
#
# </details>
#
# **References.** Appendix F and figure 7 of the paper. Sussillo and Barak, *Opening the black box* (2013), on spectra and slow points. Maslov and Sneppen, *Specificity and stability in topology of protein networks* (2002).
# Watts and Strogatz, *Collective dynamics of 'small-world' networks* (1998). Colizza et al., *Detecting rich-club ordering in complex networks* (2006). Blondel et al., *Fast unfolding of communities in large networks* (2008). Estrada and Hatano, *Communicability in complex networks* (2008).
