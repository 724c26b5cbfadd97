# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Grid cells
#
# > Rate maps, autocorrelograms and grid scores of hidden neurons, and how high a score must be to mean anything

# %% [markdown]
# *Reading 25 min, exercises 13 min. To skip at a first reading:* *Autocorrelograms*.
#
# After this chapter you can
#
# - draw where in the box a hidden neuron fires, and how that pattern repeats,
# - score how hexagonal it is, as neuroscience does,
# - tell a grid cell from luck, which the usual threshold does not.
#
# The question: *rats have neurons that fire on a hexagonal lattice, and in theory a network wired on a torus makes them. Do the neurons of a network that was sparsified on a torus become grid cells?*

# %%
#| default_exp analysis.gridcells

# %%
#| export
import math
from typing import Annotated, Any

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from modreg.geometry.arguments import Positive, Shape, Share, Within, checked
from modreg.geometry import manifolds
from modreg.lab import experiments
from modreg.lab.runs import Run
from modreg.tasks import navigation
from modreg.tasks.navigation import Navigation, PathIntegrator, paths

# %%
#| hide
import matplotlib.pyplot as plt
from fastcore.test import test_close, test_eq
from IPython.display import Markdown, display

from modreg.book.exercises import draw_curve, draw_lines, exercise
from modreg.lab.experiments import load_model, load_results, recurrent_weights, result_names, summary, train_three
from modreg.geometry.manifolds import manifolds_of
from modreg.tasks.navigation import NavigationConfig
from modreg.lab.settings import from_parameters
from modreg.sparsity.penalties import display_name

plt.style.use("modreg.data.book")

# %% [markdown]
# Where four neurons fire: bright is often. *Predict:* one of them is pure chance. Which, and which would you call a grid cell?

# %%
#| echo: false
from modreg.analysis.gridcells import grid_scores as finished_grid_scores

north, east = torch.meshgrid(torch.arange(20) + 0.5, torch.arange(20) + 0.5, indexing="ij")


def waves(period, *directions):
    "Rate maps that are sums of plane waves: a stripe for one direction, a lattice for more"
    return 3 + sum(torch.cos(2 * math.pi / period * (east * math.cos(a) + north * math.sin(a))) for a in directions)


def smooth_noise(n, width, seed):
    "Maps (n, 20, 20) of white noise, smoothed over `width` bins"
    g = torch.Generator().manual_seed(seed)
    blur = torch.exp(-((torch.arange(20) - torch.arange(40)[:, None] + 10) ** 2) / (2 * width**2))
    return blur.T @ torch.randn(n, 40, 40, generator=g) @ blur


def four_maps():
    "A hexagonal lattice, a lucky draw of noise, a square lattice and stripes, by letter"
    noise, third = smooth_noise(200, 2, 0), math.pi / 3
    lucky = noise[finished_grid_scores(noise).argmax()]
    return {"A": waves(5, 0.2, 0.2 + third, 0.2 + 2 * third), "B": lucky, "C": waves(6, 0.2, 0.2 + math.pi / 2), "D": waves(6, 0.2)}


def plot_four_maps(axes):
    for ax, (name, picture) in zip(axes, four_maps().items(), strict=True):
        ax.imshow(picture, origin="lower", extent=(-1.1, 1.1, -1.1, 1.1))
        ax.set(title=name, xlabel="east (m)")
    axes[0].set(ylabel="north (m)")


# %%
#| echo: false
#| fig-alt: "Four maps of activity in a box, A to D: small bumps in a hexagonal pattern, a few large ones, bumps in a square pattern, and stripes."
plot_four_maps(plt.subplots(1, 4, figsize=(9, 2.6), layout="constrained")[1])
plt.show()

# %% [markdown]
# A is a hexagonal lattice, C a square one, D stripes. B is the most hexagonal of two hundred maps of smoothed noise. By the end of the chapter you will have a number for that.
#
# The networks are those of the chapter [navigation](navigation.ipynb), and so are the parameters. If its runs are in the same folder, this chapter trains none anew.

# %% tags=["parameters"]
manifold = "torus"  # circle, sphere, klein, torus6, torus*circle, …, with arguments as the chapter specs says; one for each recurrent weight: torus,sphere,klein
inhibitor = "difference_of_gaussians"  # ricker, diffusion, sinusoid, gaussian, constant, …, with arguments as the chapter specs says
penalty = "moduli"  # moduli (the method), none, l1, l2, shuffled, distance_shuffled, sernn
power = 1.0  # n of eq. 6
strength = None  # λ of eq. 6 in mean form
train_embedding = False  # learn the neurons' embedding together with the weights
sparsifier = "magnitude"  # magnitude (the paper), random, geometric, set, rigl, regrow, …, with arguments as the chapter rivals says
sparsity = 0.9  # share of weights that is zero at the end
schedule = None  # how sparsity rises: linear (the paper), cubic, one_shot
lottery = True  # train again from new weights under the same masks
ticket = None  # new weights: redraw (the paper), rescaled (redraw, what is left of a row as long as the row was drawn), original, shuffled (redraw, masks permuted)
hidden = None  # number of hidden neurons N
epochs = None  # epochs a phase
seeds = 3  # number of models, trained as one stacked computation
seed = 0  # the first seed; the others follow it
scale = "auto"  # small (minutes on two cores), paper (for a GPU)
device = "auto"  # cpu, cuda
out = "runs"  # folder that holds the run folders
init = None  # initial recurrent matrix: paper (torch's default), identity (near the identity)

# %%
config = from_parameters(NavigationConfig, globals())
config


# %% [markdown]
# ## Rate maps
#
# Cut the box into bins and average a neuron's activity over all visits to each bin. Rats don't visit all bins equally, so one divides by the time spent there, the *occupancy*. Rate maps are also smoothed.
# The order matters: who smooths the finished averages takes a bin that was seen once as seriously as one that was seen a thousand times, and mixes in zeros from beyond the wall.
# Smoothing activity and occupancy *before* dividing does neither. A bin that was never visited has no rate.

# %%
#| export
def _gaussian(bins: int, width: float) -> Tensor:
    "Weights (bins, bins) of a Gaussian that is `width` bins wide"
    k = torch.arange(bins)
    return torch.exp(-((k[:, None] - k) ** 2) / (2 * width**2))


@checked(finite=False)
def rate_maps(
    position: Annotated[Tensor, Shape("M 2", "float", finite=True)],  # where the rat was (M, 2) in m, the box's centre at 0
    activity: Annotated[Tensor, Shape("M N", "float", finite=True)],  # of each neuron at that time (M, N)
    bins: Annotated[int, Within(2, 2000)] = 20,  # along each side of the box
    width: Positive = 1.0,  # of the smoothing, bins
    side: Positive = navigation.BOX,  # of the box, m
) -> Tensor:  # mean activity (N, bins, bins), rows from south to north; nan where the rat never was
    "Where neurons fire: occupancy-normalized, smoothed rate maps"
    column, row = ((position / side + 0.5) * bins).long().clamp(0, bins - 1).T
    both = torch.cat([torch.ones(len(activity), 1, device=activity.device), activity], 1)
    sums = torch.zeros(bins**2, both.shape[1], device=activity.device).index_add_(0, row * bins + column, both).T.unflatten(1, (bins, bins))
    blur = _gaussian(bins, width).to(activity.device)
    smooth = blur @ sums @ blur
    return (smooth[1:] / smooth[0]).where(sums[0] > 0, math.nan)


# %% [markdown]
# A neuron that fires everywhere alike has a flat map however the rat ran, up to the walls. One that fires by the rat's coordinate has a ramp.

# %%
walk = paths(50, 400, torch.Generator().manual_seed(0)).flatten(0, 1)
flat, ramp = rate_maps(walk, torch.stack([torch.ones(len(walk)), walk[:, 0]], 1), width=0.7)
test_close(flat, torch.ones(20, 20), eps=1e-5)
centres = (torch.arange(20) + 0.5) / 20 * 2.2 - 1.1
test_close(ramp[:, 2:-2], centres[2:-2].expand(20, -1), eps=0.05)
half = walk[walk[:, 0] < 0]
test_eq(rate_maps(half, torch.ones(len(half), 1))[0].isnan().any(0).nonzero()[:, 0].tolist(), list(range(10, 20)))


# %% [markdown]
# ## Autocorrelograms
#
# Lay a map over a copy of itself, shifted by some bins, and correlate the two where they overlap. Do so for every shift. A lattice comes out as a lattice with a peak in the middle, wherever its phase was.
# Written down:

# %%
def naive_autocorrelogram(picture, overlap=20):
    "Pearson's correlation of a map with itself at every shift, one by one"
    bins = len(picture)
    found = torch.full((2 * bins - 1, 2 * bins - 1), math.nan)
    for down in range(1 - bins, bins):
        for right in range(1 - bins, bins):
            fixed = picture[max(down, 0) : bins + min(down, 0), max(right, 0) : bins + min(right, 0)].flatten()
            moved = picture[max(-down, 0) : bins + min(-down, 0), max(-right, 0) : bins + min(-right, 0)].flatten()
            both = fixed.isfinite() & moved.isfinite()
            if both.sum() >= overlap:
                found[down + bins - 1, right + bins - 1] = torch.corrcoef(torch.stack([fixed[both], moved[both]]))[0, 1]
    return found


# %% [markdown]
# That is 1,521 correlations for a map of 20 bins. All of them are made of five sums over the overlap: of ones, of $x$, $y$, $x^2$, $y^2$ and $xy$. A sum over the overlap, for all shifts at once, is a
# product of two Fourier transforms; and the sums of $y$ are those of $x$ seen from the other side. Where fewer than 20 bins overlap, a correlation says nothing, and there is none (Sargolini et al. 2006).

# %%
#| export
OVERLAP = 20  # least number of bins that a correlation is taken over


@checked(finite=False)
def autocorrelograms(
    maps: Annotated[Tensor, Shape("N bins bins", "float")],  # (N, bins, bins), nan where there is none
) -> Tensor:  # Pearson's correlations (N, 2 bins - 1, 2 bins - 1), no shift in the middle; nan where too few bins overlap, or all are alike
    "Correlations of each map with itself at every shift"
    size = (2 * maps.shape[-1], 2 * maps.shape[-1])
    seen = maps.isfinite()
    x = torch.where(seen, maps - maps.nanmean((-2, -1), keepdim=True), 0).double()
    one, first, square = (torch.fft.rfft2(z, size) for z in (seen.double(), x, x**2))

    def over_overlap(a, b):
        return torch.fft.fftshift(torch.fft.irfft2(a.conj() * b, size), (-2, -1))[..., 1:, 1:]

    n, sx, sxx, sxy = (over_overlap(a, b) for a, b in ((one, one), (first, one), (square, one), (first, first)))
    n, sy = n.round(), sx.flip(-2, -1)
    spread = (n * sxx - sx**2).clamp(min=0)
    least = 1e-9 * n**2 * (x**2).mean((-2, -1), keepdim=True)  # less is rounding
    r = (n * sxy - sx * sy) / (spread * spread.flip(-2, -1)).sqrt()
    return r.clamp(-1, 1).where((n >= OVERLAP) & (spread > least) & (spread.flip(-2, -1) > least), math.nan).to(maps.dtype)


# %%
picture = smooth_noise(1, 1.5, 1)[0]
picture[3:6, 4] = math.nan
test_close(autocorrelograms(picture[None])[0].nan_to_num(9), naive_autocorrelogram(picture).nan_to_num(9), eps=1e-4)

# %% [markdown]
# ## Grid scores
#
# Turn an autocorrelogram by 60° or 120°, and a hexagonal lattice falls on itself; turn it by 30°, 90° or 150°, and peaks fall on valleys. Within a ring, the score is the *least* correlation with the first two less
# the *greatest* with the other three (Sargolini et al. 2006; Langston et al. 2010). The ring leaves out the middle, which is like itself at any angle. Its inner edge is at a fifth of the box's side and its outer edge at ten places from
# two fifths to the whole side; the best ring counts, as in the scoring code that is in common use (Banino et al. 2018).
#
# Turning a picture means interpolating. Better to interpolate once, to rings and angles: then to turn is to roll. An autocorrelogram looks the same upside down, so half a circle is enough.

# %%
#| export
INNER, OUTER = 0.2, tuple(0.4 + 0.6 * k / 9 for k in range(10))  # edges of the rings, in sides of the box
ANGLES = 60  # of half a circle; 30° must be a whole number of them


def _polar(correlograms: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    "Values and whether they are known (N, R, ANGLES), and radii (R,) in bins"
    bins = (correlograms.shape[-1] + 1) // 2
    radius = torch.arange(INNER * bins, bins + 1e-6, 0.5, device=correlograms.device)
    angle = torch.arange(ANGLES, device=correlograms.device) * math.pi / ANGLES
    spots = radius[:, None, None] * torch.stack([angle.cos(), angle.sin()], -1) / (bins - 1)
    both = torch.stack([correlograms.nan_to_num(0), correlograms.isfinite().to(correlograms.dtype)], 1)
    values = grid_sample(both, spots.to(both.dtype).expand(len(both), -1, -1, -1), align_corners=True)
    return values[:, 0], values[:, 1] > 0.999, radius


# %%
#| export
@checked(finite=False)
def grid_scores(
    maps: Annotated[Tensor, Shape("N bins bins", "float")],  # (N, bins, bins), nan where there is none
) -> Tensor:  # (N,); nan for a map that is the same everywhere
    "How hexagonal maps are: from -2 to 2, about 1.5 for a perfect lattice"
    value, known, radius = _polar(autocorrelograms(maps))
    bins = maps.shape[-1]
    ends = torch.tensor([(radius <= edge * bins + 1e-6).sum().item() - 1 for edge in OUTER], device=maps.device)

    def turned(degrees: int) -> Tensor:
        "Correlation (N, rings) with itself, turned; a place counts by its area"
        k = degrees * ANGLES // 180
        other, weight = value.roll(k, -1), (known & known.roll(k, -1)) * radius[:, None]
        sums = [(weight * q).sum(-1).cumsum(-1)[:, ends] for q in (1, value, other, value**2, other**2, value * other)]
        n, x, y, xx, yy, xy = sums
        return (n * xy - x * y) / ((n * xx - x * x) * (n * yy - y * y)).clamp(min=0).sqrt()

    at = {degrees: turned(degrees) for degrees in (30, 60, 90, 120, 150)}
    scores = torch.minimum(at[60], at[120]) - torch.stack([at[30], at[90], at[150]]).amax(0)
    best = scores.nan_to_num(-math.inf).amax(-1)
    return best.where(best.isfinite(), math.nan)


# %% [markdown]
# High for hexagons of any size and direction, low for squares and stripes; and the four maps at the top, with their scores:

# %%
turns = [0.1 * k for k in range(11)]
third = math.pi / 3
hexagons = {period: grid_scores(torch.stack([waves(period, a, a + third, a + 2 * third) for a in turns])) for period in (4, 6, 8)}
assert all(scores.min() > 1 and scores.max() - scores.min() < 0.1 for scores in hexagons.values()), hexagons
assert grid_scores(torch.stack([waves(6, a, a + math.pi / 2) for a in turns])).max() < -0.5
assert grid_scores(torch.stack([waves(6, a) for a in turns])).abs().max() < 0.25
assert grid_scores(torch.ones(1, 20, 20)).isnan().all()


# %%
#| export
@checked(finite=False)
def plot_maps(
    maps: Annotated[Tensor, Shape("N bins bins", "float")],  # (N, bins, bins)
    axes: Any,  # matplotlib axes, 2 rows of N
    names: list[str] | None = None,  # written above, before the score
) -> None:
    "Rate maps, and below each its autocorrelogram, with grid scores"
    half = navigation.BOX / 2
    for k, (picture, correlogram, score) in enumerate(zip(maps, autocorrelograms(maps), grid_scores(maps), strict=True)):
        axes[0][k].imshow(picture, origin="lower", extent=(-half, half, -half, half))
        axes[1][k].imshow(correlogram, origin="lower", extent=(-2 * half, 2 * half, -2 * half, 2 * half), vmin=-1, vmax=1, cmap="RdBu_r")
        axes[0][k].set_title(f"{names[k]}: {score:.2f}" if names else f"{score:.2f}", fontsize=10)
        for row in axes:
            row[k].set(xticks=[], yticks=[])


# %%
#| fig-alt: "The four maps with their scores, 1.47, 1.36, -0.95 and 0.15, and below them their autocorrelations: hexagons for A and B, squares for C, stripes for D."
fig, axes = plt.subplots(2, 4, figsize=(8, 4.3), layout="constrained")
plot_maps(torch.stack(list(four_maps().values())), axes, list(four_maps()))
plt.show()

# %% [markdown]
# ## How high is high?
#
# B is noise, and scores as a lattice does. Thresholds that one often reads, such as 0.3 or 0.4, come from a control: shuffle a neuron's activity in time, against the rat's position, make a rate map of
# that, and take the 95th percentile of the scores of many. But a shuffled map has only the grain that its smoothing leaves. What do maps score that are smoother than that, and hold no lattice?

# %%
#| fig-alt: "Histograms of grid scores of smoothed noise: the wider the smoothing, the wider the spread, with scores above 0.5 by chance."
noise = {width: grid_scores(smooth_noise(1000, width, 2)) for width in (0.5, 1, 2, 5)}
fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
for width, scores in noise.items():
    ax.hist(scores, bins=torch.linspace(-1, 1.6, 53), density=True, histtype="step", label=f"noise, smooth over {width:g} bins")
ax.set(xlabel="grid score", ylabel="density")
ax.legend()
plt.show()
for width, scores in noise.items():
    print(f"smooth over {width:g} bins: {(scores > 0.37).float().mean():.0%} above 0.37, 95th percentile {scores.quantile(0.95):.2f}")

# %% [markdown]
# No threshold suits them all: each would be too low for one and too high for another. A fair control is as smooth as the map itself. So we ask each neuron: *among random maps with your own scales, are you unusually hexagonal?* A map's power spectrum says how much there is of each wavelength and direction. Averaged over
# directions, it keeps the scales and forgets the lattice. Noise with that spectrum is the control; one neuron gets 39 such maps, and counts as a grid cell if at most one of them scores as high, which by chance happens in one of 20 cases.

# %%
#| export
SURROGATES = 39  # random maps for each neuron


@checked(finite=False)
def surrogates(
    maps: Annotated[Tensor, Shape("N bins bins", "float")],  # (N, bins, bins), nan where there is none
    n: Annotated[int, Within(1, 10**5)] = SURROGATES,  # for each map
    generator: torch.Generator | None = None,
) -> Tensor:  # (n, N, bins, bins)
    "Random maps with each map's power spectrum, averaged over directions: as smooth as the map, and without a direction"
    bins, seen = maps.shape[-1], maps.isfinite()
    size = 2 * bins  # room, so that opposite walls don't become neighbours
    x = torch.where(seen, maps - maps.nanmean((-2, -1), keepdim=True), 0)
    power = torch.fft.fft2(x, (size, size)).abs().square()
    frequency = size * torch.fft.fftfreq(size, device=maps.device)
    ring = (frequency[:, None] ** 2 + frequency**2).sqrt().round().long().flatten()
    sums = torch.zeros(len(maps), int(ring.max()) + 1, device=maps.device).index_add_(1, ring, power.flatten(1).float())
    amplitude = (sums / torch.bincount(ring))[:, ring].sqrt().unflatten(1, (size, size))
    white = torch.randn(n, len(maps), size, size, generator=generator).to(maps.device)
    return torch.fft.ifft2(torch.fft.fft2(white) * amplitude).real[..., :bins, :bins].where(seen, math.nan)


# %%
#| export
@checked(finite=False)
def chance(
    maps: Annotated[Tensor, Shape("N bins bins", "float")],  # (N, bins, bins), nan where there is none
    n: Annotated[int, Within(1, 10**5)] = SURROGATES,  # surrogates for each map
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:  # scores (N,), and for each the chance of one as high (N,); nan for a map that is the same everywhere
    "Grid scores, and how often a random map as smooth scores as high, the map itself counted among them"
    scores = grid_scores(maps)
    others = torch.stack([grid_scores(part) for part in surrogates(maps, n, generator)])
    p = (1 + (others >= scores).sum(0)) / (n + 1)
    return scores, p.where(scores.isfinite(), math.nan)


# %% [markdown]
# Is the control fair? Of noise, whatever its smoothness, about one map in 20 should pass; of lattices all.

# %%
g = torch.Generator().manual_seed(3)
lattices = torch.stack([waves(p, a, a + third, a + 2 * third) for p in (4, 6, 8) for a in turns])
passed = {f"noise, smooth over {w:g} bins": chance(smooth_noise(100, w, 4), generator=g)[1] <= 0.05 for w in (1, 2, 3)}
passed |= {"hexagonal lattices": chance(lattices, generator=g)[1] <= 0.05}
for name, yes in passed.items():
    print(f"{name}: {yes.float().mean():.0%} pass")
assert passed["hexagonal lattices"].all() and all(yes.float().mean() < 0.15 for name, yes in passed.items() if "noise" in name)


# %% [markdown]
# ## What hidden neurons do
#
# Now the networks. Rats start all over the box, run as in training, and we note where they are and what each neuron does.

# %%
#| export
@checked(finite=False)
@torch.no_grad()
def network_maps(
    task: Navigation,
    model: PathIntegrator,
    rats: Annotated[int, Within(1, 10**6)] = 2000,  # paths for each seed
    bins: Annotated[int, Within(2, 2000)] = 20,  # along each side of the box
) -> Tensor:  # (S, N, bins, bins)
    "Rate maps of all hidden neurons, for each seed"
    walks = torch.stack([paths(rats, task.config.steps, g) for g in task.generators("rate maps")]).to(task.config.device)
    states = model.states(task.cells(walks[:, 0]), walks.diff(dim=1))
    return torch.stack([rate_maps(walk[1:].flatten(0, 1), state.flatten(0, 1), bins) for walk, state in zip(walks, states, strict=True)])


# %%
task = Navigation(config)
runs = train_three(Navigation, config)
folder = runs["sparse"].path
names = result_names(config)
untrained = task.model(task.generators("weights", "train")).to(config.device)
maps = {"untrained": network_maps(task, untrained)}
maps |= {names["train" if name == "sparse" else name]: network_maps(task, load_model(task, run)) for name, run in runs.items()}
if config.lottery:
    maps[names["lottery"]] = network_maps(task, load_model(task, runs["sparse"], "lottery"))

# %% [markdown]
# Before you look: *predict* what an untrained network's maps look like. Its start is told by place cells, and its recurrence hardly forgets.

# %%
#| fig-alt: "Rows of small activity maps of eight neurons each, of an untrained, two dense, a pruned and a ticket network: patches without a regular pattern."
fig, axes = plt.subplots(len(maps), 8, figsize=(9, 1.3 * len(maps)), layout="constrained", squeeze=False)
for row, (name, some) in zip(axes, maps.items(), strict=True):
    fire = some[0][some[0].std((-2, -1)) > 0].cpu()
    for ax, picture in zip(row, fire, strict=False):
        ax.imshow(picture, origin="lower")
    for ax in row:
        ax.set(xticks=[], yticks=[], frame_on=False)
    row[0].set_ylabel(name.replace(", ", ",\n"), rotation=0, ha="right", va="center", fontsize=9)
fig.suptitle("the first eight neurons that fire at all", fontsize=10)
plt.show()

# %% [markdown]
# And the neurons with the highest scores, which is what papers print:

# %%
#| fig-alt: "The six neurons with the highest grid scores and their autocorrelations; none shows a clear hexagon."
every = maps[names["train"]].flatten(0, 1).cpu()
best = grid_scores(every).nan_to_num(-math.inf).topk(6).indices
fig, axes = plt.subplots(2, 6, figsize=(9, 3.3), layout="constrained")
plot_maps(every[best], axes)
fig.suptitle(f"the six highest of {len(every)}: {names['train']}", fontsize=10)
fig.savefig(folder / "gridcells.png", dpi=150)


# %% [markdown]
# A table is more honest than the best six. It counts who passes; by chance one neuron in 20 does. And it asks one thing more of a geometry, which is easier to give than hexagons: *do neurons that live near each
# other on the manifold fire in similar places?* In a network that is a continuous attractor on a torus they would.

# %%
#| export
@checked(finite=False)
def neighbour_likeness(
    maps: Annotated[Tensor, Shape("N bins bins", "float")],  # (N, bins, bins)
    distances: Annotated[Tensor, Shape("N N", "float")],  # of the neurons on their manifold (N, N)
    share: Share = 0.05,  # of all pairs that count as neighbours
) -> float:  # 0 if a neuron's place tells nothing of its map; nan if fewer than 10 neurons fire
    "Mean correlation of the maps of neighbours, less that of all pairs, among neurons that fire"
    flat = maps.flatten(1).nan_to_num(0)
    fire = flat.std(1) > 0
    if fire.sum() < 10:
        return math.nan
    first, second = torch.triu_indices(int(fire.sum()), int(fire.sum()), 1)
    alike, apart = torch.corrcoef(flat[fire])[first, second], distances[fire][:, fire][first, second]
    return (alike[apart <= apart.quantile(share)].mean() - alike.mean()).item()


# %%
#| export
@checked(finite=False)
def judge(
    maps: Annotated[Tensor, Shape("S N bins bins", "float")],  # (S, N, bins, bins)
    distances: Annotated[Tensor, Shape("S N N", "float")],  # of the neurons on their manifold (S, N, N)
    generator: torch.Generator | None = None,
) -> dict[str, list[float]]:  # for each seed
    "Share of neurons that `fire`; their mean `score` and the `highest`; the share of them that `pass` at 5 %; likeness of `neighbours`"
    found: dict[str, list] = {name: [] for name in ("fire", "score", "highest", "pass", "neighbours")}
    for some, apart in zip(maps, distances, strict=True):
        scores, p = chance(some, generator=generator)
        fire = scores.isfinite()
        values = (fire.float().mean(), scores[fire].mean(), scores[fire].max() if fire.any() else scores.new_tensor(math.nan),
                  (p[fire] <= 0.05).float().mean(), neighbour_likeness(some, apart))
        for name, value in zip(found, values, strict=True):
            found[name].append(float(value))  # type: ignore[arg-type]
    return found


# %%
g = torch.Generator().manual_seed(6)
same_place = torch.arange(20).repeat(2)  # twenty spots, two neurons at each
some = smooth_noise(20, 2, 5)[same_place]
assert neighbour_likeness(some, (same_place[:, None] - same_place).abs().float(), share=0.02) > 0.9
assert abs(neighbour_likeness(some, (torch.randperm(40, generator=g)[:, None] - torch.arange(40)).abs().float())) < 0.2


# %% [markdown]
# Two neurons that share a spot and a map are neighbours and alike; places that were dealt out at random tell nothing.

# %% [markdown]
# What a study of many networks asks of each that is dense, or has 90 % zeros, and of one that was not trained; and then the networks of this page:

# %%
#| export
@checked(finite=False)
def look(
    task: Navigation,
    run: Run | None,  # None: before training
) -> dict[str, list[dict[str, Any]]]:  # rows of `gridcells_small`
    "What a study of many networks keeps: what `judge` says"
    model: Any
    config, label = task.config, {"condition": "untrained"} if run is None else {}
    if run is None:
        model = task.model(task.generators("weights", "train"))
        embedding = torch.stack([manifolds.manifold(config.manifold).sample(config.hidden, g) for g in task.generators("embedding", 0)])
    elif config.sparsity in (0.0, 0.9):
        model = experiments.load_model(task, run)
        embedding = torch.stack([experiments.recurrent_weights(task, run, k)[0][2] for k in range(config.seeds)])
    else:
        return {}
    found = judge(network_maps(task, model), manifolds.manifold(config.manifold).distance(embedding), torch.Generator().manual_seed(0))
    return {"gridcells_small": [label | found]}


# %%
def judge_table(rows):
    "Markdown from pairs of a network's name and what `judge` says of it"
    lines = ["| network | neurons that fire | mean grid score | highest | pass (chance: 5 %) | likeness of neighbours |", "|---|---|---|---|---|---|"]
    for name, found in rows:
        cells = [summary([100 * x for x in found[key]]) + " %" if key in ("fire", "pass") else summary(found[key], 2)
                 for key in ("fire", "score", "highest", "pass", "neighbours")]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


embeddings = torch.stack([recurrent_weights(task, runs["sparse"], k)[0][2] for k in range(config.seeds)])
distances = manifolds_of(config.manifold, 1)[0].distance(embeddings).cpu()
g = torch.Generator().manual_seed(config.seed)
table = judge_table((name, judge(some.cpu(), distances, g)) for name, some in maps.items())
(folder / "gridcells.md").write_text(table, encoding="utf-8")
display(Markdown(table))

# %% [markdown]
# ## Does the torus bring grid cells?
#
# Every condition, dense and at 90 % zeros, three seeds each (`python -m modreg.lab.studies survey navigation --looks modreg.tasks.rats:look modreg.analysis.gridcells:look -p strength 0.1`; the rows ship with the package). The places of a condition without geometry are those that a torus network with the same seed would have. These are networks of the first small scale, 256 neurons wide, whose sparse ones do not find their way ([navigation](navigation.ipynb)).

# %%
results = sorted(load_results("gridcells_small"), key=lambda row: row.get("sparsity", -1))  # the untrained first
display(Markdown(judge_table((f"{display_name(row['condition'])}, {100 * row['sparsity']:g} % zeros" if "sparsity" in row else row["condition"], row) for row in results)))


# %% [markdown]
# No. In no condition do clearly more neurons pass than chance lets through, trained or untrained, dense or sparse; the best neuron of an untrained network would do for a figure. With a geometry there is one faint trace: on the torus, the
# sphere and the Klein bottle, neurons that live near each other fire in slightly *different* places, in every seed. Without a penalty, or with one that knows no geometry, they fire independently. The inhibitor left weights at its free
# distance, so the wiring is there (see [navigation](navigation.ipynb)); it is not enough to make an attractor of a network that was trained on walks of less than half a second.
#
# This is the small scale. Networks that are known to have grid cells were wider, saw longer walks, and had place cells of a special shape, and even then it took tuning (Schaeffer et al. 2022).

# %% [markdown]
# ## Exercise 1: the best of many
#
# *3 min, easy.* A paper shows the best six of its neurons, and all of them pass. How probable is it that at least one of `n` neurons passes, if none is a grid cell and each passes by chance in one case of 20?

# %%
def at_least_one(n):
    "Probability that at least one of n neurons passes, if each passes by chance in one case of 20"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("first: how probable is it that all n fail?", lambda: draw_curve(at_least_one, range(1, 101), "neurons", "probability that one passes")) as expect:
    expect(at_least_one, 1, gives=0.05)
    expect(at_least_one, 2, gives=0.0975)


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def at_least_one(n):
#     return 1 - 0.95**n
# ```
#
# Neurons of one network are not independent, so this is a guide and not a bound.
#
# </details>

# %% [markdown]
# ## Exercise 2: the spacing of a lattice
#
# *10 min, medium.* In an autocorrelogram of a lattice six peaks stand around the middle, one spacing away. Given the correlations along one direction that leads through a peak, for no shift, one bin, two bins and so on, find the spacing: the shift of
# the greatest correlation *beyond the first valley*.

# %%
def spacing(profile):
    "Index of the greatest value of a profile (shifts,) beyond its first valley"
    raise NotImplementedError


# %%
#| fold How it is checked
upright = autocorrelograms(waves(7, math.pi / 6, math.pi / 2, 5 * math.pi / 6)[None])[0]
east_profile = upright[19, 19:35]  # the crests' period is 7 bins; peaks are 2/√3 of that apart
with exercise("the valley ends where the profile first rises: profile.diff() > 0 says where it rises; argmax of what is left counts from the valley",
              lambda: draw_lines("shift (bins)", "correlation", profile=east_profile, spacing=([spacing(east_profile)] * 2, [-0.5, 1]))) as expect:
    expect(spacing, torch.tensor([1.0, 0.5, -0.2, 0.1, 0.6, 0.3]), gives=4)
    expect(spacing, east_profile, gives=round(7 * 2 / math.sqrt(3)))

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def spacing(profile):
#     valley = (profile.diff() > 0).nonzero()[0].item()
#     return valley + profile[valley:].argmax().item()
# ```
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - *The threshold.* The control that shuffles in time makes maps with less structure on a large scale than any neuron's, and what it calls significant depends on the bins and on the smoothing. Surrogates with the map's own
#   spectrum pass a test of fairness on noise of several scales.
# - *Silent neurons.* A map that is the same everywhere has no correlation and no score. They are counted, not scored as zero.
# - *Edges.* A map that was smoothed after dividing fades at the walls, which puts a square into every autocorrelogram.
# - *The best ring.* The score is the best of ten rings, so even noise has a mean above zero.
#
# The paper says of the network's original authors that they studied grid cells with it, and that toroidal connectivity can give rise to them. It does not look for grid cells in its own networks.
#
# ## Recall and think
#
# <details><summary>Recall: why is a fixed threshold for grid scores unfair?</summary>
#
# Smoother maps score higher by chance; a control must be as smooth as the map.
#
# </details>
#
# <details><summary>Recall: what counts as a grid cell here?</summary>
#
# A neuron at most one of whose 39 surrogates, noise with its own spectrum, scores as high.
#
# </details>
#
# <details><summary>Think: what would you need to see to say that the torus brought grid cells?</summary>
#
# More neurons that pass than chance lets through, in most seeds, and more than with shuffled prices; and neighbours on the torus that fire in neighbouring places.
#
# </details>
#
# **References.** Hafting et al., *Microstructure of a spatial map in the entorhinal cortex* (2005). Sargolini et al. (2006) and Langston et al., *Development of the spatial representation system in the rat* (2010), on grid scores. Banino et
# al., *Vector-based navigation using grid-like representations in artificial agents* (2018). Sorscher et al. (2023). Schaeffer, Khona and Fiete, *No free lunch from deep learning in neuroscience* (2022), on when such networks have grid
# cells at all.
