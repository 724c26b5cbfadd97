# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Coverings
#
# > Why the circle, the torus and the Klein bottle belong together: a plane that is rolled up

# %% [markdown]
# *Reading 10 min, exercises 20 min. To skip at a first reading:* nothing.
#
# After this chapter you can
#
# - say what a covering map is, and find all places above that are one place below,
# - compute distances on a rolled-up plane by looking at its copies, and lift a path off the surface,
# - tell which patterns on the torus are patterns on the Klein bottle, and what a neuron on either looks like to a rat that walks in the plane.
#
# The question: *a rat walks in the plane. The plane is endless and a brain is not. On which small surfaces can one walk as in the plane, without ever meeting an edge?*

# %%
#| hide
import math

import matplotlib.pyplot as plt
import torch
from fastcore.test import test_close

from modreg.book.exercises import draw_matrices, exercise
from modreg.book.explore import covering
from modreg.analysis.gridcells import grid_scores
from modreg.geometry.manifolds import Circle, KleinBottle, Torus

plt.style.use("modreg.data.book")

# %%
#| echo: false
covering()

# %% [markdown]
# *Predict:* choose <a href="#set:covering?base=klein">the Klein bottle</a> and walk <a href="#set:covering?Once round=1">once round</a>. You are at the same spot across, but not up and down. Where are you, and how often must you go round to be back?
#
# ## Many places above, one below
#
# A **covering map** takes a space above to a space below such that each small patch below is met by copies of itself, side by side and unharmed (appendix C). The line covers the circle, and the plane covers the torus and the
# Klein bottle. The places above one place are its *orbit*. One goes from copy to copy by **deck transformations**: for the torus, steps of a period to the side and up; for the Klein bottle a step to the side also turns over.

# %%
PERIOD = 10.0


def orbit(point, surface, reach=2):
    "The copies of points (..., 2) in the plane (..., K, 2), up to `reach` periods away in both directions"
    steps = torch.arange(-reach, reach + 1)
    across, up = torch.meshgrid(steps, steps, indexing="ij")
    across, up = across.flatten(), up.flatten()
    x, y = point[..., None, 0], point[..., None, 1]
    if surface == "klein":
        y = torch.where(across % 2 == 0, y, PERIOD - y)
    return torch.stack([x + PERIOD * across, y + PERIOD * up], -1)


# %% [markdown]
# To be a deck transformation is to change nothing below: all copies come down to the same place.

# %%
spaces = {"torus": Torus(), "klein": KleinBottle()}
points = torch.rand(50, 2, generator=torch.Generator().manual_seed(0)) * PERIOD
for surface, space in spaces.items():
    down = space.project(orbit(points, surface))
    test_close(space.distance(down, points[:, None]), torch.zeros(50, 25, 1), eps=1e-5)


# %% [markdown]
# ## Distance is the nearest copy
#
# How far is it from one place on the torus to another? Stay at one copy of the first and look at all copies of the second: the distance is that to the nearest. This one rule gives both surfaces, and it was the definition behind the quicker
# formulas of the chapter [manifolds](manifolds.ipynb).

# %%
def nearest_copy(x, y, surface):
    "Distances (n, m) between points (n, 2) and (m, 2) of a rolled-up plane"
    return torch.linalg.vector_norm(x[:, None, None] - orbit(y, surface), dim=-1).amin(-1)


others = torch.rand(60, 2, generator=torch.Generator().manual_seed(1)) * PERIOD
for surface, space in spaces.items():
    test_close(nearest_copy(points, others, surface), space.distance(points, others), eps=1e-4)

# %% [markdown]
# So no distance grows on the way down, and within half a period none shrinks either: small patches keep their shape. Nothing is stretched, which is why both surfaces are called *flat*.

# %%
near = points + torch.randn(50, 2, generator=torch.Generator().manual_seed(2)).clamp(-2, 2)
for surface, space in spaces.items():
    above = torch.linalg.vector_norm(points - near, dim=-1)
    test_close(space.distance(points, space.project(near)).diagonal(), above, eps=1e-4)
    assert (space.distance(space.project(3 * points), space.project(3 * others)) <= 3 * torch.linalg.vector_norm(points[:, None] - others, dim=-1) + 1e-4).all()


# %% [markdown]
# ## The torus covers the Klein bottle
#
# Two steps to the side turn over twice, which is not at all. So a torus that is twice as wide covers the Klein bottle, two places above each: itself, and its mirror image a period further on.
#
# $$\mathbb{R}^2 \to \text{torus} \to \text{Klein bottle}$$
#
# *Predict:* a difference of Gaussians makes the neurons of a Klein bottle listen to a ring around them. How many rings does the same neuron have on the wide torus?

# %%
def wide_torus(x, y):
    "Distances on the torus of two periods by one"
    across, up = (x[:, None] - y[None]).unbind(-1)
    across, up = across - 2 * PERIOD * (across / (2 * PERIOD)).round(), up - PERIOD * (up / PERIOD).round()
    return torch.hypot(across, up)


mirrored = torch.stack([others[:, 0] + PERIOD, PERIOD - others[:, 1]], -1)
both = torch.minimum(wide_torus(points, others), wide_torus(points, mirrored))
test_close(KleinBottle().distance(points, others), both, eps=1e-4)

# %%
#| code-fold: true
#| fig-alt: "Left: distance on a torus twice as wide, with one circle round a star. Right: the same square for the Klein bottle, where a second circle round the neuron's other image appears, mirrored."
across, up = torch.meshgrid(torch.linspace(0, 20, 200), torch.linspace(0, 10, 100), indexing="xy")
everywhere, neuron = torch.stack([across, up], -1).flatten(0, 1), torch.tensor([[6.0, 3.0]])
fig, axes = plt.subplots(1, 2, figsize=(10, 2.9), layout="constrained", sharey=True)
for ax, distance, title in zip(axes, (wide_torus(neuron, everywhere), KleinBottle().distance(neuron, KleinBottle().project(everywhere))),
                               ("distance on the wide torus", "on the Klein bottle, seen from the wide torus"), strict=True):
    image = ax.imshow(distance.view(100, 200), origin="lower", extent=(0, 20, 0, 10))
    ax.contour(across, up, distance.view(100, 200), [2.5], colors="white")
    ax.plot(*neuron[0], "*", color="C1", markersize=12)
    ax.axvline(PERIOD, color="white", linestyle=":", linewidth=1)
    ax.set(xlabel="across", title=title)
axes[0].set(ylabel="up")
fig.colorbar(image, ax=axes, label="geodesic distance")
plt.show()


# %% [markdown]
# Two rings, one for each place above. What is wired on the Klein bottle can always be unrolled to the torus; the other way it works only for patterns that are their own mirror images (exercise 2).
#
# ## Lifting a path
#
# On the surface a path jumps where it goes over the edge of the square. Above, it need not: take each step by the shortest way and add the steps up. That is the *lift*, and there is just one from each place to begin at.

# %%
def lift(path, space):
    "The path (T, 2) above that lies over one on a flat surface, from its own first point"
    lifted, flipped = [path[0]], False
    for a, b in zip(path[:-1], path[1:], strict=True):
        name = "klein" if isinstance(space, KleinBottle) else "torus"
        copies = orbit(b, name, reach=1)
        nearest = (copies - a).norm(dim=-1).argmin()
        step = copies[nearest] - a
        lifted.append(lifted[-1] + step * torch.tensor([1.0, -1.0 if flipped else 1.0]))
        flipped ^= name == "klein" and nearest.item() // 3 != 1  # it went over a side
    return torch.stack(lifted)


# %% [markdown]
# A walk in the plane, and what is left of it below; its lift is the walk again:

# %%
#| fig-alt: "One random walk three times: in the plane it runs off to the upper right; on the torus and on the Klein bottle it leaves at an edge and comes in at the opposite one, on the Klein bottle at the mirrored height."
walk = torch.tensor([3.0, 3.0]) + torch.cumsum(torch.tensor([0.2, 0.15]) + 0.25 * torch.randn(150, 2, generator=torch.Generator().manual_seed(5)), 0)
fig, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
axes[0].scatter(*walk.T, s=6, c=range(150))
axes[0].set(title="in the plane", aspect="equal", xlabel="across", ylabel="up")
for ax, space in zip(axes[1:], spaces.values(), strict=True):
    below = space.project(walk)
    ax.scatter(*below.T, s=6, c=range(150))
    ax.set(title=f"on the {space.name.replace('klein', 'Klein bottle')}", xlim=(0, 10), ylim=(0, 10), aspect="equal", xlabel="across")
    above = lift(below, space)
    test_close(above - above[0], walk - walk[0], eps=1e-3)
plt.show()

# %% [markdown]
# Nothing was lost: displacement in the plane comes back from the surface, step by step. This is what the [navigation](navigation.ipynb) network must do the other way round. It is told steps in the plane, and if its states lie on a torus or on
# a Klein bottle, then each step can be the same small move of the state, wherever it is, for ever. On a sphere it cannot: no plane covers it, so somewhere steps must shrink, or turn.
#
# ## What a neuron looks like from above
#
# A neuron that fires at one place of the surface fires at *all* its copies in the plane. A rat that walks there sees a lattice. The torus of this book is a square and gives a square lattice. Slant the square to a rhombus of 60°, the *twisted
# torus*, and the lattice has six neighbours at each node, as that of a grid cell. *Predict:* what does a neuron of the Klein bottle look like?

# %%
side = torch.linspace(-11, 11, 20)
plane = torch.stack(torch.meshgrid(side, side, indexing="xy"), -1).flatten(0, 1)


def seen_from_above(copies, width=1.3):
    "Rate map (20, 20) of a neuron that fires around each of `copies` (K, 2)"
    return torch.exp(-(torch.cdist(plane, copies) ** 2) / (2 * width**2)).sum(1).view(20, 20)


# %%
#| code-fold: true
#| fig-alt: "Three maps of bumps: square on the torus, mirrored on the Klein bottle, hexagonal on the twisted torus; and the grid score of a neuron on the Klein bottle by its height, highest in the middle."
slanted = torch.tensor([[1.0, 0.0], [0.5, math.sqrt(3) / 2]]) * 8
steps = torch.cartesian_prod(torch.arange(-3.0, 4), torch.arange(-3.0, 4))
lattices = {
    "torus": 0.8 * orbit(torch.tensor([3.0, 3.0]), "torus"),
    "Klein bottle": 0.8 * orbit(torch.tensor([3.0, 3.0]), "klein"),
    "twisted torus": steps @ slanted + 1,
}
maps = {name: seen_from_above(copies) for name, copies in lattices.items()}
scores = dict(zip(maps, grid_scores(torch.stack(list(maps.values()))).tolist(), strict=True))
fig, axes = plt.subplots(2, 2, figsize=(8, 6.6), layout="constrained")
for ax, (name, picture) in zip(axes.flat, maps.items(), strict=False):
    ax.imshow(picture, origin="lower", extent=(-11, 11, -11, 11))
    ax.set(title=f"{name}: {scores[name]:.2f}", xlabel="east", ylabel="north")
heights = torch.linspace(0, 5, 21)
on_klein = grid_scores(torch.stack([seen_from_above(0.8 * orbit(torch.tensor([3.0, y]), "klein")) for y in heights.tolist()]))
curve = axes.flat[3]
curve.plot(heights, on_klein)
curve.axhline(scores["twisted torus"], color="0.6", linestyle=":", label="twisted torus")
curve.set(title="Klein bottle", xlabel="height of the neuron", ylabel="grid score", ylim=(-1.2, 2))
curve.legend(loc="upper right")
plt.show()
assert scores["twisted torus"] > 1 > 0 > scores["torus"] and on_klein.max() > 1 > 0 > on_klein.min()


# %% [markdown]
# Above the three maps stand their grid scores. On the Klein bottle each second column is turned over, so columns are shifted against each other by twice the neuron's height. Neurons at the lines of reflection see squares. Those halfway
# between see columns that are shifted by half a period, and that is nearly a hexagon: a lattice that passes for a grid cell, without any twist.

# %% [markdown]
# So a lattice in the rate maps would be the covering map, made visible. Whether trained networks have it is asked in the chapter [grid cells](gridcells.ipynb).
#
# ## Exercise 1: down from the wide torus
#
# *10 min, medium.* Write the covering map of the wide torus, two periods by one, to the square of the Klein bottle.

# %%
def down(points):
    "Places (n, 2) in the square from 0 to 10 below points (n, 2) of the wide torus, with 0 ≤ across < 20 and 0 ≤ up < 10"
    raise NotImplementedError


# %%
#| fold How it is checked
wide = torch.rand(100, 2, generator=torch.Generator().manual_seed(3)) * torch.tensor([20.0, 10.0])


def picture():
    fig, (above, below) = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained", width_ratios=[2, 1])
    for ax, points, title in ((above, wide, "on the wide torus"), (below, down(wide), "on the Klein bottle")):
        ax.scatter(*points.T, c=wide[:, 0], s=14)
        ax.set(title=title, xlabel="across", ylabel="up", aspect="equal")
    plt.show()


with exercise("in the first half nothing changes; in the second half take a period off and turn over", picture) as expect:
    expect(down, torch.tensor([[3.0, 2.0], [13.0, 2.0]]), gives=torch.tensor([[3.0, 2.0], [3.0, 8.0]]))
    expect(down, wide, gives=KleinBottle().project(wide))


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def down(points):
#     across, up = points.unbind(-1)
#     return torch.stack([across % PERIOD, torch.where(across < PERIOD, up, (PERIOD - up) % PERIOD)], -1)
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: what comes down?
#
# *10 min, medium.* A pattern on the wide torus is a pattern on the Klein bottle if both places above always have the same value. Make any pattern into one: average it with its own image under the deck transformation. The pattern is given on a grid, `pattern[j, i]`
# at $up = (j + ½)\,10/m$ and $across = (i + ½)\,20/n$.

# %%
def symmetric(pattern):
    "A pattern (m, n) on the wide torus made the same at both places above each place of the Klein bottle"
    raise NotImplementedError


# %%
#| fold How it is checked
drawn = torch.randn(10, 20, generator=torch.Generator().manual_seed(4))
with exercise("the mean of the pattern and of its copy, half the width further and upside down: roll along the second dimension by half its size, then flip the first",
              lambda: draw_matrices(a_pattern=drawn, made_symmetric=symmetric(drawn))) as expect:
    pattern = symmetric(drawn)
    expect(symmetric, torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 0]]), gives=torch.tensor([[0.5, 0, 0, 0], [0, 0, 0.5, 0]]))
    expect(lambda: pattern.roll(10, 1).flip(0), gives=pattern, name="your pattern, carried by the deck transformation,")
    expect(symmetric, pattern, gives=pattern)  # doing it twice changes nothing

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def symmetric(pattern):
#     return (pattern + pattern.roll(pattern.shape[1] // 2, 1).flip(0)) / 2
# ```
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - The first lift of a path, in this chapter, forgot that a walker who went over the side of the Klein bottle is turned over from then on. Its path above was right up to the first crossing, and mirrored after it.
# - A covering says what *can* be wired, not what training finds. The paper expected the torus and the Klein bottle to do better than the sphere and the 6-torus because the plane covers them (appendix C), and its table 3 agrees. What our
#   networks say of it stands in the chapter [answer](answer.ipynb).
# - The circle is covered by the line, not by the plane. It enters because the torus is the product of two circles: neurons on one circle leave the other to be found.
#
# ## Recall and think
#
# <details><summary>Recall: what is a covering map?</summary>
#
# A map that takes each small patch above to its copy below unharmed, such as the plane rolled up to a torus.
#
# </details>
#
# <details><summary>Recall: which patterns of the wide torus come down to the Klein bottle?</summary>
#
# Those that are their own mirror images under the deck transformation.
#
# </details>
#
# <details><summary>Think: why can a path in the plane not be followed by equal steps on a sphere?</summary>
#
# No plane covers the sphere; somewhere steps must shrink or turn.
#
# </details>
#
# **Further research.** Grid cells come from the covering of a *twisted* torus. Wire a network on it, on the square torus and on the Klein bottle, train each for long walks, and look at what its neurons' maps are the covering of. What of this survives pruning?
#
# **References.** Hatcher, *Algebraic Topology* (2002). Guanella, Kiper and Verschure, *A model of grid cells based on a twisted torus topology* (2007). Gardner et al., *Toroidal topology of population activity in grid cells* (2022).
# Appendix C, figure 5 and table 3 of the paper.
