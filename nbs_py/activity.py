# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Activity
#
# > The shape of what neurons do together: found in recordings or in a network's states, with coordinates on it, and a path that is read from them

# %% [markdown]
# *Reading 40 min, exercises 10 min. To skip at a first reading:* *Two that do not mix*, *Coordinates for every state*.
#
# After this chapter you can
#
# - say whether the activity of many neurons lies on a circle, a sphere, a torus or a Klein bottle, or on nothing at all,
# - give each state angles along the loops that were found, and states that come later, too,
# - decode a rat's path from these angles, through the covering of the torus by the plane.
#
# The question: *a hundred neurons were recorded, and nobody wrote down what the animal did. What can be said of it from the activity alone?*
#
# ```text
#  states x      a cloud         its holes         angles              a path
#  neurons       of points                         round them
#
#  | || |  |      . : .  .       ring: 1 loop      each state gets     unrolled in the
#  || |  | |  -> .      :   ->   torus: 2, and ->  one for each    ->  plane that covers
#   | | ||  |     ' . : '        a hollow          loop                the torus
# ```

# %%
#| default_exp analysis.activity

# %%
#| export
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING, Annotated, Any

import numpy
import torch
from torch import Tensor, nn

from modreg.analysis.topology import Homology, bars_with_cocycles, farthest_landmarks, persistent_homology
from modreg.geometry.arguments import Count, NotNegative, Positive, Within, check, checked
from modreg.geometry.arguments import Shape as OfShape
from modreg.geometry.manifolds import Manifold, manifold
from modreg.lab.experiments import load_model
from modreg.lab.runs import PhaseName, Run
from modreg.lab.training import Task
from modreg.sparsity.penalties import display_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# %%
#| hide
import os
import tempfile
from collections import Counter

import matplotlib.pyplot as plt
from fastcore.test import test_close, test_eq, test_fail

from modreg.analysis.topology import plot_barcode
from modreg.book.exercises import draw_bars, draw_lines, exercise
from modreg.lab.experiments import load_results
from modreg.lab.training import fit
from modreg.tasks.head_direction import HeadDirection, HeadDirectionConfig
from modreg.tasks.navigation import paths
from modreg.tasks.rats import RATS, generated_recording, load_recording, real_paths

plt.style.use("modreg.data.book")


# %% [markdown]
# ## Planted activity
#
# To trust a method, begin with activity whose shape is known. Give each neuron a place on a manifold and let it fire where the state is near: a bump, and noise on top.

# %%
#| export
@checked(finite=False)
def planted_activity(
    space: Manifold | str,
    states: int | Tensor,  # how many states T, drawn uniformly, or their points (T, c)
    neurons: int = 100,
    *,
    width: float | None = None,  # of the bumps, in units of the space; None: a fifth of its diameter, but no more than 2.5
    noise: float = 0.1,  # standard deviation, where the top of a bump is 1
    generator: torch.Generator | None = None,  # source of randomness
) -> tuple[Tensor, Tensor]:  # activity (T, N), and the points (T, c) that the states stand for
    "Activity of neurons that each fire round a place on a manifold"
    space = manifold(space) if isinstance(space, str) else space
    check("neurons", neurons, Count)
    if not (isinstance(noise, (int, float)) and 0 <= noise < math.inf):
        raise ValueError(f"noise is {noise!r}; give a finite number of 0 or more")
    points = states if isinstance(states, Tensor) else space.sample(states, generator)
    width = min(2.5, space.diameter / 5) if width is None else width
    bumps = torch.exp(-space.distance(points, space.sample(neurons, generator).to(points)) ** 2 / (2 * width**2))
    return bumps + noise * torch.randn(bumps.shape, generator=generator).to(bumps), points


# %%
#| fig-alt: "Left: a noisy image of the activity of 100 neurons in 60 states, without visible order. Right: all 4,000 states along their first two principal components, a filled disc whose colour changes smoothly from one side to the other."
seen, where = planted_activity("torus", 4000, noise=0.3, generator=torch.Generator().manual_seed(0))
fig, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
axes[0].imshow(seen[:60].T, aspect="auto", cmap="viridis")
axes[0].set(xlabel="state", ylabel="neuron", title="activity on a torus, in noise")
flat = (seen - seen.mean(0)) @ torch.linalg.svd(seen - seen.mean(0), full_matrices=False).Vh[:2].T
axes[1].scatter(*flat.T, c=where[:, 0], cmap="twilight", s=6)
axes[1].set(xlabel="first principal component", ylabel="second", title="colour: first coordinate", aspect="equal")
plt.show()

# %% [markdown]
# *Predict:* the torus is hidden in a hundred dimensions, with as much noise in each as a third of a bump. Its first two principal components, on the right of the picture, show a disc. Will its holes be found?
#
# ## From activity to a cloud of points
#
# A cloud of noisy states fills its own holes. Three steps clear it, each old and plain: keep the directions of greatest variance; replace each state by the mean of those that are nearest, twice; drop the tenth that stands most alone.
#
# What can't have a shape is refused by name.

# %%
#| export
LEAST = 100  # different states


@checked(finite=False)
def checked_activity(
    activity: Tensor | numpy.ndarray,  # (T, N), or (..., N), whose leading dimensions are taken together
) -> Tensor:  # (T, N), float64
    "Activity that can have a shape; ValueError for any other"
    found = torch.as_tensor(activity).detach().cpu()
    if found.is_complex() or found.ndim < 2 or not found.numel():
        raise ValueError(f"activity has shape {tuple(found.shape)} ({found.dtype}); give real numbers (T, N): a row for each time, a column for each neuron")
    found = found.double().flatten(0, -2)
    if not found.isfinite().all():
        time, neuron = (~found.isfinite()).nonzero()[0].tolist()
        raise ValueError(f"activity has {int((~found.isfinite()).sum())} values that are not finite, the first of neuron {neuron} at time {time}; leave out times or neurons that have them")
    moving = int((found.amax(0) > found.amin(0)).sum())
    if moving < 3 and len(found) > 1:
        raise ValueError(f"activity is constant in all but {moving} of {found.shape[1]} neurons; a shape needs at least 3 that vary")
    different = len(torch.unique(found, dim=0))
    if different < LEAST:
        raise ValueError(f"activity has {different} different states in {len(found)} times; a shape needs at least {LEAST}")
    return found


# %%
#| export
NEAR, ROUNDS = 20, 2  # neighbours whose mean replaces a state, and how often
ALONE = 0.1  # share of states that are dropped


@checked(finite=False)
@dataclass(frozen=True)
class Cloud:
    "States in few dimensions: as they were, and with the noise averaged out"

    mean: Tensor  # of the activity (N,)
    axes: Tensor  # orthogonal directions (N, d)
    raw: Tensor  # states along them (M, d)
    clean: Tensor  # the same, each averaged over its neighbours (M, d)
    scale: float  # root mean square distance of the clean states from their mean

    def __call__(self, activity: Tensor | numpy.ndarray) -> Tensor:
        "Clean places (..., d) of any states (..., N): the mean of those of the nearest states that were seen"
        activity = torch.as_tensor(activity).detach().cpu().double()
        if activity.shape[-1] != len(self.mean):
            raise ValueError(f"activity has {activity.shape[-1]} neurons, and the cloud was made of {len(self.mean)}")
        flat = ((activity - self.mean) @ self.axes).flatten(0, -2)
        near = [torch.cdist(part, self.raw).topk(min(NEAR, len(self.raw)), largest=False).indices for part in flat.split(2000)]
        return self.clean[torch.cat(near)].mean(1).unflatten(0, activity.shape[:-1])


# %%
#| export
@checked(finite=False)
def activity_cloud(
    activity: Tensor | numpy.ndarray,  # (T, N), or (..., N), whose leading dimensions are taken together
    *,
    components: int = 10,  # directions of greatest variance to keep
    most: int = 4000,  # states to keep, evenly spaced in time
) -> Cloud:
    "A cloud of states with little noise"
    check("components", components, Count)
    check("most", most, Count)
    states = checked_activity(activity)
    states = states[torch.linspace(0, len(states) - 1, min(most, len(states))).round().long()]
    mean = states.mean(0)
    axes = torch.linalg.svd(states - mean, full_matrices=False).Vh[:components].T
    raw = clean = (states - mean) @ axes
    near = min(NEAR, len(raw))
    for _ in range(ROUNDS):
        clean = clean[torch.cdist(clean, clean).topk(near, largest=False).indices].mean(1)
    apart = torch.cdist(clean, clean).topk(near, largest=False).values[:, -1]
    kept = apart <= apart.quantile(1 - ALONE)
    raw, clean = raw[kept], clean[kept]
    return Cloud(mean, axes, raw, clean, (clean - clean.mean(0)).square().sum(1).mean().sqrt().item())


# %%
#| fig-alt: "Two barcodes of the same activity. As recorded, bars of degree 1 have nearly equal lengths; after it is cleared, two of them stand out from the rest."
cloud = activity_cloud(seen)
test_eq(cloud(seen[:50]).shape, (50, 10))
before, after = (persistent_homology(points, landmarks=100, threshold=None) for points in (cloud.raw, cloud.clean))
fig, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for ax, found, title in zip(axes, (before, after), ("as recorded", "cleared"), strict=True):
    plot_barcode(found, ax, 6)
    ax.set(title=title)
plt.show()


# %% [markdown]
# ## Against shuffled activity
#
# How long must a bar be? Shift each neuron's activity in time by an amount of its own. Each neuron keeps all that it does, only not together with the others. Whatever bars come out of that, by the very same way, mean nothing.
#
# The shapes are told apart by their Betti numbers over two fields, as in the chapter [topology](topology.ipynb).

# %%
#| export
@checked(finite=False)
def shifted(
    activity: Annotated[Tensor, OfShape("T N", finite=True)],
    generator: torch.Generator | None = None,  # source of randomness
) -> Tensor:  # (T, N)
    "Each neuron's activity moved round in time, by an amount of its own"
    shift = torch.randint(len(activity), (activity.shape[1],), generator=generator)
    return activity.gather(0, (torch.arange(len(activity))[:, None] + shift) % len(activity))


SHAPES: dict[Any, str] = {((1, 0, 0), (1, 0, 0)): "none", ((1, 1, 0), (1, 1, 0)): "circle", ((1, 0, 1), (1, 0, 1)): "sphere", ((1, 2, 1), (1, 2, 1)): "torus",
          ((1, 2, 1), (1, 1, 0)): "Klein bottle", ((1, 1, 1), (1, 0, 0)): "projective plane"}  # by Betti numbers modulo 2 and 3

# %% [markdown]
# Bars that the noise makes differ little from one to the next, and those of the shape stand apart. So the bars count that stand before the widest gap, if the gap is wide and the last of them is much longer than any of shuffled activity. Modulo 3, those count that are as long as they were modulo 2: the loop of a Klein bottle
# that counts as nothing when it is run through twice has a shorter life there, and so has its hollow.

# %%
#| export
MARGIN, GAP = 1.6, 1.4  # how many times as long a bar must be as the longest of shuffled activity, and as the next bar


@checked(finite=False)
def long_bars(
    lengths: Tensor,  # of one degree (k,), the longest first
    limit: float,  # longest of shuffled activity
) -> int:
    "How many bars stand before the widest gap; 0 if it is narrow, or if those before it are not much longer than `limit`"
    found = [*(x for x in lengths.tolist() if x > limit), limit]
    gaps = [x / y for x, y in pairwise(found)]
    if not gaps:
        return 0
    count = 1 + gaps.index(max(gaps))
    return count if max(gaps) >= GAP and found[count - 1] >= MARGIN * limit else 0


@checked(finite=False)
@dataclass(frozen=True)
class Shape:
    "What shape activity has"

    name: str  # circle, sphere, torus, Klein bottle, projective plane, none, or "other"
    betti: dict[int, tuple[int, ...]]  # by field, for each degree
    homology: dict[int, Homology]  # by field; lengths in units of the cloud's spread
    limits: tuple[float, ...]  # longest gap between pieces, loop and hollow of shuffled activity


# %%
#| export
@checked(finite=False)
def activity_shape(
    activity: Tensor | numpy.ndarray,  # (T, N), or (..., N), whose leading dimensions are taken together
    *,
    components: int = 10,  # directions of greatest variance to keep
    most: int = 4000,  # states to keep, evenly spaced in time
    landmarks: int = 120,
    shuffles: int = 5,  # that go the same way
    generator: torch.Generator | None = None,  # source of randomness
) -> Shape:
    "The shape of activity, told by its loops and hollows over two fields, against shuffled activity"
    check("shuffles", shuffles, Count)
    states = checked_activity(activity)

    def homology(states: Tensor, field: int) -> Homology:
        cloud = activity_cloud(states, components=components, most=most)
        return persistent_homology(cloud.clean / cloud.scale, landmarks=landmarks, field=field)

    def lengths(one: Homology, degree: int) -> Tensor:
        return one.lengths(degree)[1:] if degree == 0 else one.lengths(degree)  # one piece there always is

    chance = [homology(shifted(states, generator), 2) for _ in range(shuffles)]
    limits = tuple(max([1e-9, *(lengths(one, k)[:1].sum().item() for one in chance)]) for k in range(3))
    found = {field: homology(states, field) for field in (2, 3)}
    counts = [long_bars(lengths(found[2], k), limits[k]) for k in range(3)]
    least = [0.97 * lengths(found[2], k)[count - 1].item() if count else math.inf for k, count in enumerate(counts)]  # a bar is in both fields if it is as long
    betti = {2: tuple(counts), 3: tuple(int((lengths(found[3], k) >= least[k]).sum()) for k in range(3))}
    betti = {field: (1 + one[0], *one[1:]) for field, one in betti.items()}
    return Shape(SHAPES.get((betti[2], betti[3]), "other"), betti, found, limits)


# %%
shape = activity_shape(seen, shuffles=2, generator=torch.Generator().manual_seed(1))
nothing = activity_shape(shifted(seen, torch.Generator().manual_seed(5)), shuffles=2, generator=torch.Generator().manual_seed(1))
print(f"{shape.name}: pieces, loops and hollows {shape.betti[2]} modulo 2, {shape.betti[3]} modulo 3; shuffled: {nothing.name}")
test_eq([shape.name, nothing.name], ["torus", "none"])


# %% [markdown]
# ## Circular coordinates
#
# A loop is measured by a *cocycle*: a whole number for each pair of neighbours that adds up to 0 round every triangle and to 1 round the loop. ripser gives it modulo a prime. Almost all its numbers are 0, and there is one step of 1 somewhere, as at the date line. Spread the step evenly: subtract differences of a
# function $\tau$ of the landmarks such that the squares that are left are least. Modulo 1, $\tau$ is then the angle of each landmark.
#
# $$\theta_{jr} = \eta_{jr} + \tau_r - \tau_j, \qquad \min_\tau \sum_{jr} \theta_{jr}^2.$$

# %%
#| export
@checked(finite=False)
def whole_cocycle(
    cocycle: Tensor,  # rows of two points and a coefficient modulo p (m, 3)
    close: Tensor,  # which points are neighbours (n, n), bool
    field: Annotated[int, Within(2, 127)],  # the prime p
) -> Tensor:  # (n, n) float64, antisymmetric
    "A cocycle modulo p as one of whole numbers, those nearest to 0; ValueError if that is none"
    eta = torch.zeros(close.shape, dtype=torch.float64)
    i, j, value = cocycle.T
    value = (value.double() + field // 2) % field - field // 2
    eta[i, j], eta[j, i] = value, -value
    eta = torch.where(close, eta, 0)
    for k in range(len(eta)):  # round each triangle with the corner k
        around = eta[k][:, None] + eta - eta[k]
        if (around.abs() * (close[k][:, None] & close[k] & close)).max() > 0.5:
            raise ValueError(f"the cocycle modulo {field} is none of whole numbers: the loop counts as nothing when it is run through a number of times that {field} divides; try another field")
    return eta


# %%
#| export
@checked(finite=False)
def smoothed(
    eta: Annotated[Tensor, OfShape("n n", finite=True)],  # cocycle of whole numbers
    close: Annotated[Tensor, OfShape("n n", "bool")],  # which points are neighbours
) -> tuple[Tensor, Tensor]:  # the smoothest cocycle (n, n) that goes round the same loops, and the function that was added (n,)
    "Spread the steps of a cocycle evenly: sparse least squares"
    from scipy.sparse import coo_array
    from scipy.sparse.linalg import lsqr

    i, j = close.triu(1).nonzero(as_tuple=True)
    rows, ones = numpy.arange(len(i)), numpy.ones(len(i))
    ends = coo_array((numpy.r_[ones, -ones], (numpy.r_[rows, rows], numpy.r_[j.numpy(), i.numpy()])), shape=(len(i), len(eta))).tocsr()
    tau = torch.from_numpy(lsqr(ends, -eta[i, j].numpy(), atol=1e-12, btol=1e-12)[0])
    return torch.where(close, eta + tau - tau[:, None], 0), tau


# %%
#| fig-alt: "Left: a cocycle on 40 points of a ring jumps at one place and is no function of the angle. Right: smoothed, it falls evenly from 1 to 0 once round the ring."
angle = 2 * math.pi * torch.arange(40, dtype=torch.float64) / 40
ring = torch.stack([angle.cos(), angle.sin()], -1)
near = (torch.cdist(ring, ring) < 0.6) & ~torch.eye(40, dtype=torch.bool)
_, (cocycle, *_) = bars_with_cocycles(torch.cdist(ring, ring, compute_mode="donot_use_mm_for_euclid_dist"), 47, 0.6)
eta = whole_cocycle(cocycle, near, 47)
theta, tau = smoothed(eta, near)
fig, axes = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained")
for ax, values, title in zip(axes, (torch.zeros(40), tau), ("before: one step, and no function", "after: modulo 1, the angle"), strict=True):
    ax.plot(angle.rad2deg(), values % 1, "o", markersize=4)
    ax.set(xlabel="true angle (degrees)", title=title)
axes[0].plot(angle.rad2deg(), eta.sum(1), color="C1", label="steps to the neighbours, together")
axes[0].legend()
axes[1].set(ylabel="rounds")
plt.show()
turn = (tau - tau[0]) * theta[0, 1].sign()
test_close((turn % 1 - angle / (2 * math.pi) + 0.5) % 1, torch.full((40,), 0.5).double(), eps=1e-6)


# %% [markdown]
# ## Two that do not mix
#
# On a torus any two loops that span it will do: one round the hole and one round the tube, or one of them and their sum. ripser gives what it happens to find, and then both coordinates change when the state goes round one loop. Let $G_{ab} = \sum \theta^a_{jr}\,\theta^b_{jr}$ say how much two coordinates change *together*
# (the Dirichlet form). Whole-number combinations of the cocycles that are short and nearly at right angles in this sense are found by lattice reduction.

# %%
#| export
@checked
def reduced_basis(
    gram: Annotated[Tensor, OfShape("k k", "float", finite=True)],  # (k, k), positive definite
) -> Tensor:  # whole numbers (k, k), float64, of determinant ±1: rows are combinations
    "Combinations of basis vectors of a lattice that are short and nearly orthogonal (Lenstra, Lenstra and Lovász)"
    combined = torch.eye(len(gram), dtype=torch.float64)
    basis, k = torch.linalg.cholesky(gram.double()), 1

    def projections() -> tuple[Tensor, Tensor]:
        "Gram-Schmidt coefficients, and the squared lengths of what is left of each vector"
        r = torch.linalg.qr(basis.T).R
        return r / r.diagonal()[:, None], r.diagonal() ** 2

    while k < len(gram):
        for j in range(k - 1, -1, -1):
            much = projections()[0][j, k].round()
            basis[k] -= much * basis[j]
            combined[k] -= much * combined[j]
        mu, left = projections()
        if left[k] >= (0.999 - mu[k - 1, k] ** 2) * left[k - 1]:
            k += 1
        else:
            basis[[k - 1, k]], combined[[k - 1, k]] = basis[[k, k - 1]], combined[[k, k - 1]]
            k = max(1, k - 1)
    return combined


# %% [markdown]
# A lattice whose basis was spoiled comes back:

# %%
spoiled = torch.tensor([[1.0, 3.0], [2.0, 7.0]]).double()  # of the unit square
short = reduced_basis(spoiled @ spoiled.T) @ spoiled
test_close(short @ short.T, torch.eye(2).double(), eps=1e-9)


# %% [markdown]
# ## Coordinates for every state
#
# Landmarks have angles now, and other states get theirs from the landmarks that are near: from the nearest one, plus a weighted mean of the steps to the others. The weights fall to 0 at a fixed distance, so that nothing jumps where another landmark becomes the nearest. A state that is far from all landmarks gets none.

# %%
#| export
@checked(finite=False)
@dataclass(frozen=True)
class Coordinates:
    "Angles along the loops of activity, for states that were seen and for others"

    cloud: Cloud
    landmarks: Tensor  # clean states (L, d)
    radius: float  # within which a landmark is heard
    theta: Tensor  # the coordinates' steps between neighbours, in rounds (k, L, L)
    tau: Tensor  # the coordinates of the landmarks, in rounds (k, L)
    bars: Tensor  # births and deaths of the loops (k, 2)
    gram: Tensor  # how much coordinates change together (k, k)

    def __call__(
        self,
        activity: Tensor | numpy.ndarray,  # (..., N)
    ) -> Tensor:  # angles (..., k) from 0 to 2π; nan for a state that is far from all landmarks
        "Coordinates of states"
        places = self.cloud(activity)
        flat = places.flatten(0, -2)
        apart = torch.cdist(flat, self.landmarks)
        weight = (self.radius - apart).clamp(min=0)
        total = weight.sum(1, keepdim=True)
        nearest = apart.argmin(1)
        step = (self.theta[:, nearest] * (weight / total)).sum(-1)  # nan where no landmark is heard
        return (2 * math.pi * (self.tau[:, nearest] + step) % (2 * math.pi)).T.unflatten(0, places.shape[:-1])


# %%
#| export
@checked(finite=False)
def circular_coordinates(
    activity: Tensor | numpy.ndarray,  # (T, N), or (..., N), whose leading dimensions are taken together
    loops: int = 1,  # how many coordinates: one for a ring, two for a torus
    *,
    components: int = 10,  # directions of greatest variance to keep
    most: int = 4000,  # states to keep, evenly spaced in time
    landmarks: int = 150,
    field: int = 47,  # a prime p for the cocycles; one that does not divide the order of a twisted loop
) -> Coordinates:
    "Coordinates along the longest loops of activity, as unmixed as they get; ValueError if there are fewer loops at a common scale"
    check("loops", loops, Count)
    cloud = activity_cloud(activity, components=components, most=most)
    chosen, between, cover = farthest_landmarks(cloud.clean, n=landmarks)
    bars, cocycles = bars_with_cocycles(between, field, between.amax(1).min().item())
    if len(bars) < loops:
        raise ValueError(f"loops={loops}, and this activity has {len(bars)}; activity_shape says what it has")
    birth, death = bars[:loops, 0].max().item(), bars[:loops, 1].min().item()
    scale = birth + 0.9 * (death - birth)
    if death <= birth or scale < 2 * cover:
        raise ValueError(f"the {loops} longest loops are not there at one scale that the landmarks resolve (born by {birth:.3g}, gone from {death:.3g} on, cover {cover:.3g}); ask for fewer, or take more landmarks")
    close = (between <= scale) & ~torch.eye(len(between), dtype=torch.bool)
    found = [smoothed(whole_cocycle(cocycle, close, field), close) for cocycle in cocycles[:loops]]
    theta, tau = (torch.stack(one) for one in zip(*found, strict=True))
    combined = reduced_basis(torch.einsum("ajr,bjr->ab", theta, theta))
    theta, tau = torch.einsum("ab,bjr->ajr", combined, theta), combined @ tau
    return Coordinates(cloud, cloud.clean[chosen], scale / 2, theta, tau, bars[:loops], torch.einsum("ajr,bjr->ab", theta, theta))


# %%
#| export
@checked(finite=False)
def toroidal_coordinates(
    activity: Tensor | numpy.ndarray,  # (T, N), or (..., N), whose leading dimensions are taken together
    **options,  # of `circular_coordinates`
) -> Coordinates:
    "Two coordinates along the loops of a torus that don't mix"
    return circular_coordinates(activity, 2, **options)


# %%
#| fig-alt: "States on the torus, drawn at their true coordinates. The first angle that was found changes with the second coordinate and the second with the first, each in smooth stripes that go once round."
fitted = toroidal_coordinates(seen[::2])
later = fitted(seen[1::2])
fig, axes = plt.subplots(1, 2, figsize=(7, 3.3), layout="constrained")
for k, ax in enumerate(axes):
    dots = ax.scatter(*where[1::2].T, c=later[:, k], cmap="twilight", s=8, vmin=0, vmax=2 * math.pi)
    ax.set(aspect="equal", xlabel="first coordinate of the state", title=f"angle {k + 1} that was found")
axes[0].set_ylabel("second coordinate of the state")
fig.colorbar(dots, ax=axes, label="angle (rad)")
plt.show()


# %% [markdown]
# These are states that the coordinates were not made from. Each angle goes round with one of the two true coordinates, and not with the other.
#
# ## How well do they tell where one is?
#
# A *decoder* that was fitted to some states is asked about others: linear in the sines and cosines of the angles and of their sums. States in a row are alike, so whole stretches of time are held out.

# %%
#| export
@checked(finite=False)
def waves(
    angles: Annotated[Tensor, OfShape("T k", "float", finite=True)],  # (T, k) in rad
    harmonics: Count = 2,
) -> Tensor:  # (T, m)
    "A constant, and cosines and sines of all whole-number combinations of angles, their numbers adding up to at most `harmonics`"
    if (2 * harmonics + 1) ** angles.shape[1] > 10**6:
        raise ValueError(f"angles has {angles.shape[1]} columns, and harmonics is {harmonics}: these have more than a million combinations; give fewer")
    grid = product(range(-harmonics, harmonics + 1), repeat=angles.shape[1])
    half = [n for n in grid if 0 < sum(map(abs, n)) <= harmonics and next(x for x in n if x) > 0]
    phase = angles @ torch.tensor(half, dtype=angles.dtype).T
    return torch.cat([torch.ones(len(angles), 1, dtype=angles.dtype), phase.cos(), phase.sin()], 1)


# %%
#| export
@checked(finite=False)
def decoding_score(
    angles: Tensor,  # (T, k) in rad; times with nan are left out
    target: Tensor,  # what they should tell (T, c); for an angle its cosine and sine
    *,
    harmonics: int = 2,
    folds: int = 5,  # stretches of time, each told by the others
    ridge: float = 1e-3,  # of the fit, times the number of states
) -> float:  # share of the target's variance that is told; 0 or less if nothing is
    "How well angles tell a target on held-out stretches of time"
    check("folds", folds, Count)
    check("harmonics", harmonics, Count)
    if angles.ndim != 2 or target.ndim != 2 or len(angles) != len(target):
        raise ValueError(f"angles are {tuple(angles.shape)} and the target is {tuple(target.shape)}; give (T, k) and (T, c)")
    known = angles.isfinite().all(1) & target.isfinite().all(1)
    if known.sum() < 10 * folds:
        raise ValueError(f"{int(known.sum())} times have angles and a target, too few for {folds} folds of ten")
    x, y = waves(angles[known].double(), harmonics), target[known].double()
    if not (y - y.mean(0)).any():
        raise ValueError("the target is the same at all times, so there is nothing to tell; give one that changes")
    told = torch.empty_like(y)
    for part in torch.arange(len(x)).tensor_split(folds):
        rest = torch.ones(len(x), dtype=torch.bool)
        rest[part] = False
        a, b = x[rest], y[rest]
        told[part] = x[part] @ torch.linalg.solve(a.T @ a + ridge * len(a) * torch.eye(a.shape[1], dtype=a.dtype), a.T @ b)
    return (1 - (y - told).square().sum() / (y - y.mean(0)).square().sum()).item()


# %%
place = torch.cat([(2 * math.pi * where / 10).cos(), (2 * math.pi * where / 10).sin()], 1)[1::2]
order = torch.randperm(len(later), generator=torch.Generator().manual_seed(2))
print(f"true place {decoding_score(later, place):.2f}, shuffled {decoding_score(later[order], place):.2f}")
assert decoding_score(later, place) > 0.8 > 0.1 > decoding_score(later[order], place)


# %% [markdown]
# ## A path, through the covering
#
# The grid cells of one module fire on a lattice. A rat in the plane moves their common state round a torus, and each place of the torus stands for many of the plane ([coverings](coverings.ipynb)). So angles alone can't say where the rat is. But a *path* of angles can be lifted: take each step by the shortest way, and add the steps up.
# What is then left between the lift and the plane is a linear map, four numbers for all paths.

# %%
#| export
@checked(finite=False)
def lift(
    angles: Tensor,  # in the course of time (T, ..., k), in rad
) -> Tensor:  # (T, ..., k)
    "The path in the covering space that lies over a path of angles, from its own first point: each step is the shortest"
    step = angles.diff(dim=0)
    step = torch.atan2(step.sin(), step.cos())
    return torch.cat([angles[:1], angles[:1] + step.cumsum(0)])


# %%
#| export
@checked(finite=False)
def decode_paths(
    angles: Tensor,  # of P paths (T, P, k), in rad
    position: Tensor,  # (T, P, 2) in m
    *,
    known: float = 0.5,  # share of the paths that the linear map is fitted to
) -> dict[str, Any]:  # mean `error` in cm at the ends of the other paths, that of `standing still`, their `decoded` positions (T, P', 2), and the `map` (k, 2) in m a radian
    "Positions along paths from the lift of their angles, given where each begins"
    if angles.ndim != 3 or position.ndim != 3 or angles.shape[:2] != position.shape[:2]:
        raise ValueError(f"angles are {tuple(angles.shape)} and positions {tuple(position.shape)}; give (T, P, k) and (T, P, 2)")
    whole = angles.isfinite().all(-1).all(0)
    above, moved = lift(angles[:, whole].double()), (position - position[:1])[:, whole].double()
    above = above - above[:1]
    count = int(known * above.shape[1])
    if not 0 < count < above.shape[1]:
        raise ValueError(f"known={known} of {above.shape[1]} whole paths leaves none to fit, or none to decode; give more paths, or a share between")
    linear = torch.linalg.lstsq(above[:, :count].flatten(0, 1), moved[:, :count].flatten(0, 1)).solution
    told, true = above[:, count:] @ linear, moved[:, count:]
    return {"error": 100 * (told - true)[-1].norm(dim=-1).mean().item(), "standing still": 100 * true[-1].norm(dim=-1).mean().item(),
            "decoded": told + position[:1, whole][:, count:], "true": position[:, whole][:, count:], "map": linear}


# %% [markdown]
# Grid cells of one module, on a lattice of 60 cm: planted on the torus, along simulated paths and along those of real rats (made-up ones where the recordings are not at hand, as in the chapter [rats](rats.ipynb)).

# %%
#| export
@checked(finite=False)
def grid_cells(
    position: Annotated[Tensor, OfShape("... 2", "float", finite=True)],  # in m
    spacing: Positive = 0.6,  # of the lattice, m
    neurons: Annotated[int, Within(1, 10**5)] = 100,
    noise: NotNegative = 0.1,
    generator: torch.Generator | None = None,  # source of randomness
) -> Tensor:  # activity (..., N)
    "Activity of a module of grid cells: bumps on a torus that is laid over the plane, its sides at 60 degrees"
    sides = spacing * torch.tensor([[1.0, 0.0], [0.5, math.sqrt(3) / 2]], dtype=position.dtype)
    phase = 2 * math.pi * position @ torch.linalg.inv(sides)
    own = 2 * math.pi * torch.rand(neurons, 2, generator=generator, dtype=position.dtype)
    apart = phase[..., None, :] - own
    waves_ = apart[..., 0].cos() + apart[..., 1].cos() + (apart[..., 0] + apart[..., 1]).cos()  # three, at 60 degrees
    return torch.exp(waves_ - 3) + noise * torch.randn(*position.shape[:-1], neurons, generator=generator, dtype=position.dtype)


# %%
walks = {"simulated": paths(100, 60, torch.Generator().manual_seed(1))}
for name in RATS:
    rat = load_recording(name) if os.environ.get("MODREG_DATA") else generated_recording(name)
    walks[name] = real_paths(rat, 60, pace=5, count=100)
decoded = {}
for name, walk in walks.items():
    cells = grid_cells(walk, generator=torch.Generator().manual_seed(2))
    decoded[name] = decode_paths(toroidal_coordinates(cells)(cells), walk)
    print(f"{name}: {decoded[name]['error']:.1f} cm at the end of a path, standing still {decoded[name]['standing still']:.1f} cm")

# %%
#| fig-alt: "Decoded paths beside true ones, for simulated rats and two sets of real ones: the decoded paths follow the true ones near their start."
fig, axes = plt.subplots(1, len(walks), figsize=(10, 3.2), layout="constrained")
for ax, (name, found) in zip(axes, decoded.items(), strict=True):
    for k in range(5):
        ax.plot(*found["true"][:, k].T, color="0.7", label="true" if k == 0 else None)
        ax.plot(*found["decoded"][:, k].T, color=f"C{k}", linewidth=1, label="decoded" if k == 0 else None)
    ax.set(title=name, aspect="equal", xlabel="east (m)")
axes[0].set(ylabel="north (m)")
axes[0].legend()
plt.show()


# %% [markdown]
# A lift needs no more than the place at which the path begins. How good it is depends on how much of the torus the paths cover: real rats, here at five times their pace, turn and stop and keep to walls, and leave parts of it unseen.
#
# ## The states of a network
#
# All of the above takes any array of activity. For a layer and its inputs, or for a run of this book, these are its states:

# %%
#| export
@checked(finite=False)
@torch.no_grad()
def hidden_states(
    layer: nn.Module,  # nn.RNN, nn.GRU, nn.LSTM or modreg.RNN
    inputs: Tensor,  # as the layer takes them
    *state: Any,  # the first state, as the layer takes it
) -> Tensor:  # states of the last layer at every step, as the layer gives them (..., N)
    "What the neurons of a recurrent layer do"
    found = layer(inputs, *state)
    if not (isinstance(found, tuple) and isinstance(found[0], Tensor)):
        raise TypeError(f"{type(layer).__name__} gives no pair of states and last state; give a recurrent layer such as nn.RNN, nn.GRU or modreg.RNN, and inputs that are a tensor")
    return found[0]


# %%
#| export
@checked(finite=False)
def states_while(
    layer: nn.Module,  # a recurrent layer of a model
    drive: Callable[[], Any],  # runs that model
) -> list[Tensor]:  # what the layer gave, once for each time that it ran
    "What a layer gives while something runs the model that it is in"
    caught: list[Tensor] = []
    hook = layer.register_forward_hook(lambda module, given, found: caught.append(found[0].cpu()))
    try:
        drive()
    finally:
        hook.remove()
    return caught


# %%
#| export
@checked(finite=False)
@torch.no_grad()
def run_states(
    task: Task,
    run: Run,
    *,
    seed: int = 0,  # index among the run's seeds
    phase: PhaseName = "train",  # "train" or "lottery"
    batches: int = 4,
) -> tuple[Tensor, list[Any]]:  # states of the last recurrent layer (steps, samples, N), and the batches that they belong to
    "What the neurons of a trained network do on batches that it was not trained on"
    if not 0 <= seed < task.config.seeds:
        raise ValueError(f"seed is {seed}; this run has {task.config.seeds}, counted from 0")
    model = load_model(task, run, phase)
    drawn = [batch for batch, _ in zip(task.batches(task.generators("activity")), range(batches), strict=False)]
    caught = states_while(task.recurrent(model)[-1][0], lambda: [task.loss(model, batch) for batch in drawn])
    return torch.cat([states[seed] for states in caught], 1), drawn


# %% [markdown]
# The network that keeps track of a heading, trained as in the chapter [attractors](attractors.ipynb). *Predict:* its shape, and what its coordinate tells.

# %%
config = HeadDirectionConfig(scale="tiny", device="cpu", seeds=1, seed=7, hidden=64, steps=20, batch=50, batches=100, epochs=10, lr=2e-3, penalty="none",
                             sparsity=0.0, lottery=False, out=tempfile.mkdtemp())
task = HeadDirection(config)
states, batches = run_states(task, fit(task, progress=False))
heading = torch.cat([batch[0, 1:] for batch in batches], 1)
ring_shape = activity_shape(states, shuffles=2, generator=torch.Generator().manual_seed(0))
angles = circular_coordinates(states)(states)
told = decoding_score(angles.flatten(0, 1), torch.stack([heading.cos(), heading.sin()], -1).flatten(0, 1))
print(f"{ring_shape.name}; the angle tells {told:.0%} of the heading")

# %%
#| fig-alt: "Left: a barcode in which one bar of degree 1 is far longer than all others. Right: the angle that was found against the true heading, a band of dots that falls from 360 to 0 degrees."
fig, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
plot_barcode(ring_shape.homology[2], axes[0], 6)
axes[1].plot(torch.rad2deg(heading.flatten() % (2 * math.pi)), torch.rad2deg(angles.flatten()), ".", markersize=2)
axes[1].set(xlabel="true heading (degrees)", ylabel="angle that was found (degrees)", xticks=range(0, 361, 90), yticks=range(0, 361, 90))
plt.show()
assert ring_shape.name == "circle" and told > 0.4

# %% [markdown]
# A ring, in the order of the headings, and yet the angle does not tell all. The states lie on a *band*: along it runs the heading, and across it the turn of the moment, which is the network's input. The band leans, so that a fast turn shifts the angle. That a set of states has the topology of a ring says what it goes round, not that it is thin.
#
# An untrained layer, driven by noise, has no shape. And what makes no sense is refused:

# %%
layer = nn.RNN(2, 32, batch_first=True)
random_states = hidden_states(layer, torch.randn(40, 60, 2, generator=torch.Generator().manual_seed(0)))
print("untrained:", activity_shape(random_states, generator=torch.Generator().manual_seed(0), shuffles=1).name)
test_fail(lambda: activity_shape(torch.ones(500, 20)), contains="constant in all but 0 of 20 neurons")
test_fail(lambda: activity_shape(random_states[0, :1]), contains="different states in 1 times")
test_fail(lambda: activity_shape(torch.full((500, 20), math.nan)), contains="not finite")
test_fail(lambda: activity_shape(random_states[..., :2]), contains="at least 3")


# %% [markdown]
# ## Wiring against activity
#
# Which shape has the activity of networks that were wired on a circle, a torus, a Klein bottle, or on nothing? A study of many networks takes a look at each (`python -m modreg.lab.studies survey head_direction none l1 shuffled circle sphere torus klein torus6 --sparsities 0 0.75 --looks modreg.analysis.activity:look -p scale tiny -p hidden 64 -p steps 20 -p batch 50 -p batches 100 -p epochs 10 -p lr 2e-3 -p seeds 5`), and a matrix shows the share of seeds of each wiring
# that have each shape, with Wilson's interval, within which the true share lies nineteen times in twenty.

# %%
#| export
@checked(finite=False)
def look(
    task: Task,
    run: Run | None,  # None: before training
) -> dict[str, list[dict[str, Any]]]:  # rows of `activity_TASK`
    "What a study of many networks keeps: the shape of each seed's activity, and of its first loop and hollow the length, in units of the longest of shuffled activity"
    if run is None:
        return {}
    shapes = [activity_shape(run_states(task, run, seed=seed)[0], shuffles=3, generator=torch.Generator().manual_seed(seed)) for seed in range(task.config.seeds)]
    found = [[one.homology[2].lengths(k)[:1].sum().item() / one.limits[k] for k in (1, 2)] for one in shapes]
    return {f"activity_{task.config.task}": [{"shapes": [one.name for one in shapes], "betti": [one.betti[2] + one.betti[3] for one in shapes], "lengths": found}]}


@checked(finite=False)
def share_interval(
    count: int,
    of: int,
    z: float = 1.96,  # normal quantile: 1.96 for 95 %
) -> tuple[float, float]:
    "Wilson's interval of a share"
    middle, wide = (count + z * z / 2) / (of + z * z), z * math.sqrt(count * (of - count) / of + z * z / 4) / (of + z * z)
    return max(0.0, middle - wide), min(1.0, middle + wide)


# %%
#| export
@checked(finite=False)
def shape_matrix(
    rows: Iterable[dict[str, Any]],  # each with a `condition`, a `sparsity` if there are several, and the `shapes` of its seeds
) -> tuple[list[str], list[str], Tensor]:  # wirings, shapes, and the share with the ends of its interval (wirings, shapes, 3)
    "Which shape the activity of networks has, by their wiring"
    rows = list(rows)
    if not rows:
        raise ValueError("rows are empty; run the study first")
    shapes = [*dict.fromkeys(SHAPES.values()), "other"]
    many = len({row.get("sparsity") for row in rows}) > 1
    names = [display_name(row["condition"]) + (f", {100 * row['sparsity']:g} % zeros" if many else "") for row in rows]
    table = [[row["shapes"].count(shape) / len(row["shapes"]), *share_interval(row["shapes"].count(shape), len(row["shapes"]))] for row in rows for shape in shapes]
    return names, shapes, torch.tensor(table).view(len(rows), len(shapes), 3)


@checked(finite=False)
def plot_shapes(rows: Iterable[dict[str, Any]], ax: "Axes") -> None:
    "The matrix of `shape_matrix`: colour for the share, and in words its interval"
    names, shapes, table = shape_matrix(rows)
    ax.imshow(table[..., 0].numpy(), vmin=0, vmax=1, cmap="Blues", aspect="auto")
    for i, j in product(range(len(names)), range(len(shapes))):
        share, low, high = table[i, j].tolist()
        ax.text(j, i, f"{share:.0%}\n({low:.0%} to {high:.0%})", ha="center", va="center", fontsize=7, color="white" if share > 0.6 else "black")
    ax.set(xticks=range(len(shapes)), xticklabels=shapes, yticks=range(len(names)), yticklabels=names, xlabel="shape of the activity", ylabel="wiring")
    ax.tick_params(axis="x", rotation=20)


# %%
#| fig-alt: "Tables of colours, one for each task: networks by how they were trained in rows, shapes of their activity in columns. Networks that keep a heading have nearly all their activity in the column of the circle; those that find their way have theirs in the column of no shape."
found = {task: rows for task in ("head_direction", "navigation", "language") if (rows := sorted(load_results(f"activity_{task}"), key=lambda row: row["sparsity"]))}
fig, axes = plt.subplots(len(found), figsize=(8, 0.5 * sum(map(len, found.values())) + 0.7 * len(found) + 0.7), layout="constrained", height_ratios=[len(rows) for rows in found.values()], squeeze=False)
for ax, (task, rows) in zip(axes[:, 0], found.items(), strict=True):
    plot_shapes(rows, ax)
    ax.set(title=task.replace("_", " "), xlabel="" if ax is not axes[-1, 0] else "shape of the activity")
plt.show()
for task, rows in found.items():
    shapes = Counter(shape for row in rows for shape in row["shapes"])
    print(f"{task.replace('_', ' ')}, {shapes.total()} networks:", ", ".join(f"{count} {'without a loop or hollow' if shape == 'none' else shape}" for shape, count in shapes.most_common()))


# %% [markdown]
# Each share is of a few seeds, so the intervals are wide. A heading makes a ring of the activity, whatever the wiring says: the *task* gives the shape, and a wiring of another shape does not take it away. A place in a square room is a point of a flat disc, which has neither a loop nor a hollow, and a torus's penalty puts none into the activity either.
# What networks keep of a text is in one piece without a hole, or in two.
#
# ## Exercise 1: turns of a lifted path
#
# *5 min, easy.* A lifted angle counts rounds. Write how many whole rounds a path of angles has made, with a sign.

# %%
def rounds(angles):
    "Whole rounds that a path of angles (T,) in rad has made, with a sign"
    raise NotImplementedError


# %%
#| fold How it is checked
walk = torch.linspace(0, -6 * math.pi, 50)
with exercise("lift adds the steps up; a round is 2 pi, and a path goes from its first value to its last",
              lambda: draw_lines("step", "angle (rad)", as_it_is_read=walk % (2 * math.pi), lifted=lift(walk % (2 * math.pi)))) as expect:
    expect(rounds, walk % (2 * math.pi), gives=-3)
    expect(rounds, walk[:2] % (2 * math.pi), gives=0)


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def rounds(angles):
#     above = lift(angles)
#     return round(((above[-1] - above[0]) / (2 * math.pi)).item())
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: one loop or two?
#
# *5 min, medium.* Two angles that always turn together tell no more than one. Write the length of the mean arrow $\exp(i(\alpha - \beta))$ of two sequences of angles: 1 if they turn together, near 0 if they have nothing to do with each other.

# %%
def together(a, b):
    "Length, from 0 to 1, of the mean arrow exp(i (a - b)) of two sequences of angles (T,) in rad"
    raise NotImplementedError


# %%
#| fold How it is checked
known = later.isfinite().all(1)
with exercise("torch.exp takes complex numbers, and 1j * a is one; the mean is over time, and its length is an absolute value",
              lambda: draw_bars({"an angle and itself, turned": together(later[known, 0], later[known, 0] + 1), "the two angles of the planted torus": together(*later[known].T)}, "how much they turn together")) as expect:
    expect(together, torch.linspace(0, 6, 50), torch.linspace(0, 6, 50) + 1, gives=1.0)
    expect(together, torch.tensor([0.0, math.pi]), torch.zeros(2), gives=0.0)
    expect.that(together(*later[known].T) < 0.3, "the two angles of the planted torus have nothing to do with each other, and yours turn together")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def together(a, b):
#     return torch.exp(1j * (a - b)).mean().abs().item()
# ```
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - *Distances along a graph of neighbours* were tried in place of straight ones, to unfold the torus. A few neighbours that noise had made up cut through it, and bars of a clean torus were shorter than those of shuffled activity.
# - *A fixed threshold* for bars passed shuffled activity of few neurons, and a factor over shuffled activity alone took clumps of a sphere for loops. It takes both: longer than shuffled activity's, and a gap to the next.
# - *Few states.* With a thousand states, averaging over neighbours makes clumps, and the coordinates run fast between them: half as much of the place is told as with four thousand.
# - *Where the rat does not go* there is no torus. Paths at a real rat's own pace stay so near their beginning that two loops can't be seen.
#
# The paper argues from covering spaces that circle, torus and Klein bottle should suit navigation (appendix C), and looks at no activity.
#
# ## Recall and think
#
# <details><summary>Recall: what does one hold the bars of activity against?</summary>
#
# Bars of the same activity with each neuron shifted in time by itself.
#
# </details>
#
# <details><summary>Recall: what does a lift do?</summary>
#
# It follows a path of angles by the shortest steps and adds them up, so that rounds are counted.
#
# </details>
#
# <details><summary>Think: the states of a network form a ring. Does it have a ring attractor?</summary>
#
# Not necessarily: the task goes round, and so do the states while it is driven. Let it run in silence, and see whether they stay.
#
# </details>
#
# **References.** de Silva, Morozov and Vejdemo-Johansson, *Persistent cohomology and circular coordinates* (2011). Perea, *Sparse circular coordinates via principal Z-bundles* (2020), whose way of giving coordinates to all points is used here. Scoccola et al., *Toroidal coordinates* (2023), on lattice reduction.
# Gardner et al., *Toroidal topology of population activity in grid cells* (2022).
