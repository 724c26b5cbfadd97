# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Real rats
#
# > Networks that learned from simulated rats are asked where recorded ones went

# %% [markdown]
# *Reading 30 min, exercises 8 min. To skip at a first reading:* all of it, unless you care for real rats.
#
# After this chapter you can
#
# - bring a recorded path to the time step and the box of a network, without inventing a single position,
# - test a trained network on paths that it was never meant for, beside the two numbers that frame every result,
# - say how real and simulated rats differ, and what that does to the benchmark.
#
# The question: *no rat has ever walked as the simulated ones do. Does the network find the way of a real one, and do sparse networks lose more on it than dense ones?*
#
# Nothing is trained on a real path. The networks are those of the chapter [navigation](navigation.ipynb): if its runs are in the same folder, this chapter computes none anew.

# %%
#| default_exp tasks.rats

# %%
#| export
import math
import os
import typing
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from modreg.geometry.arguments import Count, Keywords, OneOf, Positive, Shape, Within, check, checked
from modreg.lab import experiments
from modreg.lab.runs import Run
from modreg.lab.settings import setting
from modreg.sparsity.penalties import display_name
from modreg.tasks import navigation
from modreg.tasks.navigation import Navigation, NavigationConfig, paths

if typing.TYPE_CHECKING:
    from matplotlib.axes import Axes

# %%
#| hide
from dataclasses import replace

import matplotlib.pyplot as plt
from fastcore.test import test_close, test_eq, test_fail
from IPython.display import Markdown, display

from modreg.book.exercises import draw_bars, exercise
from modreg.lab.experiments import load_model, load_results, result_names, summary, train_three
from modreg.tasks.navigation import position_error
from modreg.lab.settings import from_parameters

plt.style.use("modreg.data.book")


# %%
#| fig-alt: "Position error of standing still, of true activity and of a dense network on five sets of paths: on slow real rats standing still is as good as the network."
def plot_asked(rows, ax):
    "Errors of a dense network on each kind of path, beside the two that frame them"
    asked = {row["limit"]: row["error"] for row in rows if "limit" in row}
    dense = next(row["error"] for row in rows if row.get("condition") == "none" and row["sparsity"] == 0)
    asked["dense network"] = {name: sum(errors) / len(errors) for name, errors in dense.items()}
    for k, (label, errors) in enumerate(asked.items()):
        ax.bar([place + 0.27 * k for place in range(len(errors))], [errors[name] for name in dense], 0.25, label=label)
    ax.set(xticks=[place + 0.27 for place in range(len(dense))], xticklabels=dense, ylabel="position error (cm)")
    ax.legend()


fig, ax = plt.subplots(figsize=(8, 2.8), layout="constrained")
plot_asked(load_results("rats_small"), ax)
plt.show()

# %% [markdown]
# How far off a network is that was trained on simulated paths, between one that claims the rat never moved and one that reads the place from the cells' true activity. `sargolini` and `tanni` are two real rats; with ×8 and ×4 their film runs faster.
# *Predict:* why is the network worse than standing still on the one, and better when the same film runs eight times as fast?
#
# ## The parameters
#
# Those of navigation, and two more. `rats` says whose paths are taken; `mapping` says how a recorded box goes into the network's.

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
rats = "auto"  # recorded, generated (made-up recordings), auto: recorded, but generated for a tiny run without MODREG_DATA
mapping = "centre"  # centre (metres stay metres), stretch (the recorded box fills the network's)


# %%
#| export
@dataclass(frozen=True, kw_only=True)
class RatsConfig(NavigationConfig):
    "Settings of a navigation run, and the real paths that it is tested on"

    rats: str = setting("auto", choices=("auto", "recorded", "generated"))  # recorded, generated (made-up recordings), auto: recorded, but generated for a tiny run without MODREG_DATA
    mapping: str = setting("centre", choices=("centre", "stretch"))  # centre (metres stay metres), stretch (the recorded box fills the network's)
    task: ClassVar[str] = "rats"

    def __post_init__(self):
        super().__post_init__()
        if self.rats == "auto":
            generated = self.scale == "tiny" and not os.environ.get("MODREG_DATA")
            object.__setattr__(self, "rats", "generated" if generated else "recorded")

    @property
    def navigation(self) -> NavigationConfig:
        "The run that is tested"
        return NavigationConfig(**{field.name: getattr(self, field.name) for field in fields(NavigationConfig)})


# %%
config = from_parameters(RatsConfig, globals())
config

# %%
#| hide
from modreg.tasks.navigation import BOX, DT

# %% [markdown]
# ## Two rats
#
# `sargolini` is ten minutes of a rat in a box of one metre (Sargolini et al. 2006), filmed 50 times a second. `tanni` is two hours in a box of 3.5 by 2.5 metres (Tanni et al. 2022),
# 30 times a second. Each is a file `NAME.npz` in the folder `rat-trajectories` of `MODREG_DATA`, with times `t` in s and positions `pos` in m.

# %%
#| export
RATS = {"sargolini": (1.0, 1.0), "tanni": (3.5, 2.5)}  # recordings, and the sides of their boxes in m


@dataclass(frozen=True)
class Recording(Keywords):
    "Where a rat was, and when; ValueError if that is no recording of a rat in such a box"

    time: np.ndarray  # (n,) in s, growing
    position: np.ndarray  # (n, 2) in m, the box's centre at 0
    sides: tuple[float, float]  # of the box, m
    name: str = "this recording"  # what an error calls it

    def __post_init__(self):
        check("sides", self.sides, tuple[Positive, Positive])
        check_numbers(self)
        check_movement(self)


# %% [markdown]
# One frame that is not a number, or a clock that counts milliseconds, would turn the errors of a whole network to nonsense, with no word. So a recording is looked at when it is made:
# first whether its numbers are numbers, then whether they can be a rat's.

# %%
#| export
@checked
def first_bad(bad: np.ndarray) -> int | None:
    "Index of the first True, or None"
    return int(bad.argmax()) if bad.any() else None


@checked
def check_numbers(rat: "Recording") -> None:
    "ValueError unless times (n,) grow and positions (n, 2) are finite"
    wanted = "it must hold growing times t (n,) in s and finite positions pos (n, 2) in m"
    for name, values in (("t", rat.time), ("pos", rat.position)):
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
            raise ValueError(f"{rat.name} holds {name} of {getattr(values, 'dtype', type(values).__name__)}; {wanted}, as real numbers")
    if rat.time.ndim != 1 or rat.position.shape != (len(rat.time), 2) or len(rat.time) < 2:
        raise ValueError(f"{rat.name} holds t {rat.time.shape} and pos {rat.position.shape}; {wanted}, at least two of each")
    if (k := first_bad(~np.isfinite(rat.time))) is not None:
        raise ValueError(f"{rat.name} holds t[{k}]={rat.time[k]}; {wanted}")
    if (k := first_bad(np.diff(rat.time) <= 0)) is not None:
        raise ValueError(f"{rat.name} holds t[{k}]={rat.time[k]:g} and t[{k + 1}]={rat.time[k + 1]:g}; {wanted}")
    if (k := first_bad(~np.isfinite(rat.position).all(1))) is not None:
        raise ValueError(f"{rat.name} holds pos[{k}]={rat.position[k].tolist()}; {wanted}: leave frames out in which the tracker lost the rat")


# %%
#| export
@checked
def check_movement(rat: "Recording") -> None:
    "ValueError if a clock, a unit or a rat is implausible"
    frame = float(np.median(np.diff(rat.time)))
    if not 1e-3 <= frame <= 0.5:
        raise ValueError(f"{rat.name} has a frame every {frame:g} s; between 1 ms and 0.5 s is plausible. Are its times in s, and not in ms or in frames?")
    outside = np.abs(rat.position) > 0.6 * np.array(rat.sides)
    if (k := first_bad(outside.any(1))) is not None:
        raise ValueError(f"{rat.name} holds a position {rat.position[k].tolist()} m from the centre of a box with sides of {rat.sides[0]:g} and {rat.sides[1]:g} m (frame {k}). Are its positions in m, and are its sides these?")
    speeds = np.linalg.norm(np.diff(rat.position, axis=0), axis=1) / np.diff(rat.time)
    if not np.ptp(rat.position, axis=0).max() >= 0.01:
        raise ValueError(f"{rat.name} is of a rat that never leaves a spot of 1 cm; nothing can be learned about finding one's way from it")
    if not 1e-3 <= speeds.mean() <= 2:
        raise ValueError(f"{rat.name} is of a rat that runs {speeds.mean():.3g} m/s on average; between 1 mm/s and 2 m/s is plausible. Are its times in s and its positions in m?")


# %%
#| export
@checked
def load_recording(
    name: Annotated[str, OneOf(RATS)],  # "sargolini" or "tanni"
    folder: str | Path | None = None,  # holds `rat-trajectories`; the environment variable MODREG_DATA if not given
) -> Recording:
    "A recorded rat; FileNotFoundError says where it was looked for, ValueError which rats there are"
    folder = folder or os.environ.get("MODREG_DATA")
    if not folder:
        raise FileNotFoundError("the recorded paths are not part of this package: set the environment variable MODREG_DATA to the folder that holds "
                                f"rat-trajectories/{name}.npz, or say rats='generated' for made-up recordings")
    path = Path(folder) / "rat-trajectories" / f"{name}.npz"
    if not path.is_file():
        raise FileNotFoundError(f"no {path.name} in {path.parent}; put the recording there, or set MODREG_DATA to the folder that has it")
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            time, position = file["t"], file["pos"]
    except (ValueError, KeyError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error, TypeError, AttributeError, NotImplementedError) as error:
        raise ValueError(f"{path} is no recording ({type(error).__name__}); it must be a file of numpy.savez with growing times t (n,) in s and finite positions pos (n, 2) in m") from None
    if time.dtype.kind in "fiu" and position.dtype.kind in "fiu":  # else it is refused below, as it is
        time, position = time.astype(float), position.astype(float)
    centred = position - np.array(RATS[name]) / 2 if position.dtype == float and position.shape[1:] == (2,) else position
    return Recording(time, centred, RATS[name], str(path))


# %% [markdown]
# Without the files, a tiny run makes do with two made-up recordings: a simulated rat in slow motion, with frames missing. They show that everything is wired up, and nothing about rats.

# %%
#| export
@checked
def generated_recording(name: Annotated[str, OneOf(RATS)]) -> Recording:
    "A made-up recording in the box of a recorded rat: a simulated rat, slowed down eight times, with frames missing"
    walk = paths(1, 4000, torch.Generator().manual_seed(len(name)))[:, 0].double().numpy()
    seen = np.arange(len(walk)) % 400 < 390
    return Recording(8 * navigation.DT * np.arange(len(walk))[seen], (walk * np.array(RATS[name]) / navigation.BOX)[seen], RATS[name])


# %%
#| fig-alt: "Ten seconds of a path of a simulated rat, which crosses the box, and of two real ones, which stay in a corner of it."
recordings = {name: load_recording(name) if config.rats == "recorded" else generated_recording(name) for name in RATS}
if config.rats == "generated":
    display(Markdown("**Made-up recordings.** No number below says anything about rats."))
fig, axes = plt.subplots(1, 3, figsize=(10, 3.5), layout="constrained")
axes[0].plot(*paths(1, 500, torch.Generator().manual_seed(4))[:, 0].T, linewidth=1, color="C0")
for k, (ax, rat) in enumerate(zip(axes[1:], recordings.values(), strict=True), start=1):
    shown = abs(rat.time - rat.time[0] - 65) < 5
    ax.plot(*rat.position[shown].T, linewidth=1, color=f"C{k}")
for k, (ax, title) in enumerate(zip(axes, ("simulated", *recordings), strict=True)):
    for width, height, look in ((BOX, BOX, dict(ec="0.6")), (*(RATS[title] if k else (BOX, BOX)), dict(ec=f"C{k}", linestyle=":"))):
        ax.add_patch(plt.Rectangle((-width / 2, -height / 2), width, height, fill=False, **look))
    ax.set(aspect="equal", xlim=(-1.9, 1.9), ylim=(-1.5, 1.5), xlabel="east (m)", title=f"{title}, 10 s")
axes[0].set(ylabel="north (m)")
plt.show()


# %% [markdown]
# Ten seconds each, in metres; the grey square is the box that the networks know, the dotted line the box that each rat was in. *Predict:* a path that they are trained on lasts less than half a second. How far does a real rat get in that time, and what
# does that mean for a network which is right to within some ten centimetres?

# %% [markdown]
# ## Never over a gap
#
# A tracker loses its rat now and then. The obvious way to a regular time step is to interpolate between whatever frames there are:

# %%
def naive_resample(rat, step=DT):
    "Positions at a regular step, straight over whatever is missing"
    times = np.arange(rat.time[0], rat.time[-1], step)
    return np.stack([np.interp(times, rat.time, x) for x in rat.position.T], -1)


for name, rat in recordings.items():
    intervals = np.diff(rat.time)
    frame = np.median(intervals)
    print(f"{name}: a frame lasts {1000 * frame:.0f} ms; {(intervals > 1.5 * frame).sum()} gaps, the longest of {intervals.max():.2f} s, all filled with straight lines")

# %% [markdown]
# A straight line at constant speed is the easiest path there is, and no rat ran it. There is a second kind of gap, which the times do not show. Look at the speeds between two frames:

# %%
#| fig-alt: "Number of frames by speed for two recordings, on a logarithmic scale: beyond a dotted line a second hump, of jumps of the tracker."
fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
for k, (name, rat) in enumerate(recordings.items(), start=1):
    speeds = np.linalg.norm(np.diff(rat.position, axis=0), axis=1) / np.diff(rat.time)
    ax.hist(speeds, bins=np.linspace(0, 3.5, 141), histtype="step", log=True, label=name, color=f"C{k}")
ax.axvline(1.2, color="0.6", linestyle=":")
ax.set(xlabel="speed from frame to frame (m/s)", ylabel="frames")
ax.legend()
plt.show()

# %% [markdown]
# The large box has a second hump near 1.7 m/s. At 30 frames a second that is a hop of six centimetres, often there and back again: the tracker changes from one light on the rat's head to
# the other. So a recording is cut in two places: where a frame is missing, and where the rat would have been faster than 1.2 m/s, which is where the hump begins. What is between two cuts is a segment.

# %%
#| export
MAPPINGS = ("centre", "stretch")
FASTEST = 1.2  # between two frames nothing that is faster is taken for a rat, m/s


@checked
def segments(
    rat: Recording,
) -> list[tuple[np.ndarray, np.ndarray]]:  # times (n,) in s and positions (n, 2) in m of each
    "A recording, cut where frames are missing and where the tracker jumps"
    intervals = np.diff(rat.time)
    speeds = np.linalg.norm(np.diff(rat.position, axis=0), axis=1) / intervals
    cuts = np.flatnonzero((intervals > 1.5 * np.median(intervals)) | (speeds > FASTEST)) + 1
    return list(zip(np.split(rat.time, cuts), np.split(rat.position, cuts), strict=True))


# %%
for name, rat in recordings.items():
    pieces = segments(rat)
    test_eq(sum(len(times) for times, _ in pieces), len(rat.time))  # every frame is in one segment
    kept = sum(times[-1] - times[0] for times, _ in pieces) / (rat.time[-1] - rat.time[0])
    print(f"{name}: {len(pieces)} segments hold {kept:.1%} of the time")


# %% [markdown]
# ## Into the network's box
#
# The network knows one box of 2.2 m and one step of 0.02 s. There are three ways to bring a rat there, and each keeps something else:
#
# | | keeps | changes |
# |---|---|---|
# | `mapping="centre"` | metres: the recorded box lies around the centre, and paths that leave the network's box are left out | a small box leaves a margin that no path visits, of a large one only the middle is seen, and a wall is no longer where the network has one |
# | `mapping="stretch"` | walls: the longer side of the recorded box becomes 2.2 m | speed, by the same factor |
# | `pace` | the shape of the path: the film is played that many times as fast | time: a step of the network is `pace` times 0.02 s of the rat's life |
#
# The last needs a word. The network is told displacements, not seconds; to play the film faster is to take every eighth frame, say. All three move nothing but the rat as a whole.

# %%
#| export
@checked
def real_paths(
    rat: Recording,
    steps: Annotated[int, Within(1, 10**6)],  # steps of each path T
    pace: Annotated[int, Within(1, 10**4)] = 1,  # how many times as fast the film is played
    mapping: Annotated[str, OneOf(MAPPINGS)] = "centre",  # "centre" or "stretch"
    count: Count = 1000,  # greatest number of paths
) -> Tensor:  # positions (T + 1, n, 2) in m, the box's centre at 0; n is at most `count`
    "Paths of a real rat at the network's time step, in the network's box; each lies within one segment, and no two share a step"
    factor, walks = navigation.BOX / max(rat.sides) if mapping == "stretch" else 1.0, []
    for times, position in segments(rat):
        regular = np.arange(times[0], times[-1] + 1e-9, pace * navigation.DT)
        track = factor * np.stack([np.interp(regular, times, x) for x in position.T], -1)
        walks += [track[first : first + steps + 1] for first in range(0, len(track) - steps, steps)]
    inside = [walk for walk in walks if np.abs(walk).max() <= navigation.BOX / 2]
    if not inside:
        raise ValueError(f"no stretch of this recording holds {steps} steps of {pace * navigation.DT:g} s within the box; take fewer steps or a lower pace")
    chosen = np.linspace(0, len(inside) - 1, min(count, len(inside))).round().astype(int)
    return torch.tensor(np.stack([inside[k] for k in chosen], 1), dtype=torch.get_default_dtype())


# %% [markdown]
# A recording that counts its frames shows what is kept. It moves east a centimetre a frame, with a gap after frame 30; no path may cross it.

# %%
frames = np.delete(np.arange(61), range(31, 40))
toy = Recording(DT * frames, np.stack([0.01 * frames - 0.3, 0 * frames], -1), (1.0, 1.0))
walk = real_paths(toy, steps=5)
test_eq(walk.shape, (6, 10, 2))  # six before the gap and four after it
test_close(walk.diff(dim=0)[..., 0], torch.full((5, 10), 0.01), eps=1e-6)
assert not ((walk[..., 0] > 0.001) & (walk[..., 0] < 0.099)).any()
test_close(real_paths(toy, 5, pace=2).diff(dim=0)[..., 0], torch.full((5, 5), 0.02), eps=1e-6)
test_close(real_paths(toy, 5, mapping="stretch"), 2.2 * walk, eps=1e-6)
test_fail(lambda: real_paths(toy, 40), contains="fewer steps")


# %% [markdown]
# ## How real rats move
#
# Speed, turning, and what matters most here: how far a rat is from where it was.

# %%
#| fig-alt: "Speed, turn in a step, and distance from the start over time, for simulated and real rats: the real ones are slower and go less far."
def moves(walk):
    "Speeds in m/s, and turns in rad from one step to the next where the rat moves at all"
    step = walk.diff(dim=0)
    speed, heading = step.norm(dim=-1) / DT, torch.atan2(step[..., 1], step[..., 0])
    turn = torch.remainder(heading.diff(dim=0) + math.pi, 2 * math.pi) - math.pi
    return speed.flatten(), turn[(speed[1:] > 0.05) & (speed[:-1] > 0.05)]


def plot_moves(walks, axes):
    "Distributions of speed and turn, and the distance from the start"
    for k, (name, walk) in enumerate(walks.items()):
        speed, turn = moves(walk)
        axes[0].hist(speed, bins=torch.linspace(0, 3, 61), density=True, histtype="step", color=f"C{k}", label=f"{name}: mean {speed.mean():.2f} m/s")
        axes[1].hist(turn.rad2deg(), bins=torch.linspace(-180, 180, 61), density=True, histtype="step", color=f"C{k}")
        away = 100 * (walk - walk[:1]).square().sum(-1).mean(1).sqrt()[1:]
        axes[2].plot(DT * torch.arange(1, len(walk)), away, color=f"C{k}")
    axes[0].set(xlabel="speed (m/s)", ylabel="density", yscale="log")
    axes[1].set(xlabel="turn in a step (degrees)")
    axes[2].set(xlabel="time (s)", ylabel="distance from the start (cm, rms)", ylim=(0, None))
    axes[0].figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)


length = 5 * config.steps
walks = {"simulated": paths(1000, length, torch.Generator().manual_seed(1))}
walks |= {name: real_paths(rat, length, mapping=config.mapping) for name, rat in recordings.items()}
fig, axes = plt.subplots(1, 3, figsize=(10.6, 3.5), layout="constrained")
plot_moves(walks, axes)
plt.show()


# %% [markdown]
# Simulated rats run about a metre a second, without rest. Real ones amble and stop. Their headings are told by a tracker, so at low speed a part of the turning is its noise. Where a simulated rat is after a
# training path, real ones arrive several times later. That gives the pace:

# %%
#| export
@checked
def matching_pace(
    rat: Recording,
    mapping: Annotated[str, OneOf(MAPPINGS)] = "centre",  # "centre" or "stretch"
) -> int:  # at least 1
    "How many times as fast the film must be played for the rat to be on average as fast as the simulated ones away from walls"
    speed = real_paths(rat, 5, mapping=mapping, count=5000).diff(dim=0).norm(dim=-1).mean() / navigation.DT
    if not speed > 0:
        raise ValueError(f"{rat.name} stands still in all its paths within the box, so it has no pace")
    return max(1, round(navigation.SPEED * math.sqrt(math.pi / 2) / speed.item()))


@checked
def walks_of(
    recordings: dict[str, Recording],
    steps: Annotated[int, Within(1, 10**6)],  # steps of each path T
    mapping: Annotated[str, OneOf(MAPPINGS)] = "centre",  # "centre" or "stretch"
    count: Count = 1000,  # greatest number of paths of each rat
) -> dict[str, Tensor]:  # (T + 1, n, 2) in m, by name; ×k where the film is played k times as fast
    "Real paths in real time, and at the pace of the simulated rats"
    found = {}
    for name, rat in recordings.items():
        pace = matching_pace(rat, mapping)
        found[name] = real_paths(rat, steps, 1, mapping, count)
        found[f"{name} ×{pace}"] = real_paths(rat, steps, pace, mapping, count)
    return found


# %%
#| fig-alt: "The same three panels after real paths were sped up: the curves lie near those of the simulated rats."
fast = {name: walk for name, walk in walks_of(recordings, length, config.mapping).items() if "×" in name}
fig, axes = plt.subplots(1, 3, figsize=(10.6, 3.5), layout="constrained")
plot_moves({"simulated": walks["simulated"], **fast}, axes)
plt.show()
print(f"paths of {length} steps:", ", ".join(f"{name} {walk.shape[1]}" for name, walk in fast.items()))

# %% [markdown]
# Played that fast, the real rats go about as far as the simulated ones, on paths that are truly a rat's: they stop, they run along, and they turn more sharply from step to step.
#
# ## The run
#
# The same three runs as in navigation, and how each is asked: where are you after every step?

# %%
task = Navigation(config.navigation)
runs = train_three(Navigation, config.navigation)
folder = runs["sparse"].path
print(folder)


# %%
#| export
@checked(finite=False)
@torch.no_grad()
def errors_along(
    task: Navigation,
    model: Callable[[Tensor, Tensor], Tensor],  # such as a PathIntegrator: scores from activity at the start and displacements
    walk: Annotated[Tensor, Shape("T1 n 2", "float", finite=True)],  # positions (T + 1, n, 2) in m
) -> Tensor:  # mean distance (S, T) in cm after each step, for each seed
    "How far off a network is along given paths; NaN for a seed that diverged, as `load_model` has said"
    walk = walk.to(task.config.device).expand(task.config.seeds, *walk.shape)
    scores = model(task.cells(walk[:, 0]), walk.diff(dim=1))
    errors = 100 * (task.cells.decode(scores) - walk[:, 1:]).norm(dim=-1).mean(-1)
    errors[[k for k, diverged in enumerate(getattr(model, "diverged", ())) if diverged]] = math.nan
    return errors


@checked
@torch.no_grad()
def limits_along(
    task: Navigation,
    walk: Annotated[Tensor, Shape("T1 n 2", "float", finite=True)],  # positions (T + 1, n, 2) in m
) -> dict[str, Tensor]:  # mean distance (T,) in cm after each step, over all seeds
    "The two numbers that frame a result, along given paths: of a rat that claims to be `standing still`, and of decoding the `true activity`"
    walk = walk.to(task.config.device).expand(task.config.seeds, *walk.shape)
    said = {"standing still": walk[:, :1], "true activity": task.cells.decode(task.cells(walk[:, 1:]))}
    return {name: 100 * (position - walk[:, 1:]).norm(dim=-1).mean((0, 2)) for name, position in said.items()}


# %% [markdown]
# On the paths that navigation itself tests, these must agree with what it reports:

# %%
model = load_model(task, runs["sparse"])
own = task.test_paths()
for k in [k for k in range(config.seeds) if not model.diverged[k]]:
    test_close(errors_along(task, model, own[k])[k].mean(), task.evaluate(model)["error"][k], eps=1e-3)
test_close(limits_along(task, own[0])["standing still"].mean(), position_error(own[:1, :1], own[:1, 1:])[0], eps=1e-3)

# %% [markdown]
# ## Where is the rat?
#
# Paths as long as those of the training: simulated, real in real time, and real at the simulated pace.

# %%
walks = {"simulated": paths(1000, config.steps, torch.Generator().manual_seed(3)), **walks_of(recordings, config.steps, config.mapping)}
names = result_names(config)
models = {names["train" if name == "sparse" else name]: load_model(task, run) for name, run in runs.items()}
if config.lottery:
    models[names["lottery"]] = load_model(task, runs["sparse"], "lottery")
lines = ["| paths | " + " | ".join(models) + " | standing still | true activity |", "|---" * (len(models) + 3) + "|"]
for name, walk in walks.items():
    cells = [summary(errors_along(task, model, walk).mean(1).tolist()) for model in models.values()]
    cells += [f"{limit.mean():.1f}" for limit in limits_along(task, walk).values()]
    lines.append(f"| {name} | " + " | ".join(cells) + " |")
table = f"Position error in cm over {config.steps} steps, mapping={config.mapping}\n\n" + "\n".join(lines) + "\n"
(folder / "rats.md").write_text(table, encoding="utf-8")
display(Markdown(table))

# %% [markdown]
# Read the rows in real time with care. A rat that moves a few centimetres can hardly be lost: standing still is then the best guess, and even the true activity of the place cells is decoded worse than that.
# No network of this kind can show there what it has learned. At the simulated pace it can.
#
# ## And after that?
#
# *Predict:* the networks were trained on short paths. Ask them for five times as long: does the error grow as a rat's that stands still, or slower?

# %%
#| fig-alt: "Position error over the steps of a path for five networks and two guesses, on three sets of paths."
long = {"simulated": paths(200, length, torch.Generator().manual_seed(5)), **fast}
fig, axes = plt.subplots(1, len(long), figsize=(10.6, 3.4), layout="constrained", sharey=True)
for ax, (name, walk) in zip(axes, long.items(), strict=True):
    walk = walk[:, :200]
    for k, (label, model) in enumerate(models.items()):
        ax.plot(range(1, length + 1), errors_along(task, model, walk).mean(0).cpu(), color=f"C{k}", label=label)
    for (label, limit), line in zip(limits_along(task, walk).items(), (":", "--"), strict=True):
        ax.plot(range(1, length + 1), limit.cpu(), line, color="0.5", label=label)
    ax.axvline(config.steps, color="0.85", zorder=0)
    ax.set(title=f"{name}, {walk.shape[1]} paths", xlabel="step (the line: end of training)")
axes[0].set(ylabel="position error (cm)", ylim=(0, None))
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=6)
fig.savefig(folder / "rats.png", dpi=150)


# %% [markdown]
# ## Every condition, from dense to sparse
#
# All conditions at four sparsities, three seeds each, with the strength that every penalty chose in the chapter navigation (`python -m modreg.lab.studies survey navigation --looks modreg.tasks.rats:look modreg.analysis.gridcells:look -p strength 0.1`; the rows ship with the package).

# %%
#| export
@checked
def look(
    task: Navigation,
    run: Run | None,  # None: before training
) -> dict[str, list[dict[str, Any]]]:  # rows of `rats_small`
    "What a study of many networks keeps: errors by path, and before training those of the limits"
    walks = {"simulated": paths(1000, task.config.steps, torch.Generator().manual_seed(3)),
             **walks_of({name: load_recording(name) for name in RATS}, task.config.steps)}
    if run is None:
        limits = {name: limits_along(task, walk) for name, walk in walks.items()}
        return {"rats_small": [{"limit": limit, "error": {name: found[limit].mean().item() for name, found in limits.items()}}
                               for limit in ("standing still", "true activity")]}
    model = experiments.load_model(task, run)
    return {"rats_small": [{"error": {name: errors_along(task, model, walk).mean(1).tolist() for name, walk in walks.items()}}]}


# %%
#| export
@checked
def plot_sparsities(
    rows: list[dict[str, Any]],  # of a survey: each a `condition` or a `limit`, with its `sparsity` and the seeds' errors by path
    name: str,  # of the paths
    ax: "Axes",
) -> None:
    "Error against sparsity: a line through the means of each condition, a dot a seed"
    conditions = [name for name in experiments.CONDITIONS if any(row.get("condition") == name for row in rows)]
    for k, condition in enumerate(conditions):
        errors = {row["sparsity"]: torch.tensor(row["error"][name]) for row in rows if row.get("condition") == condition}
        at = sorted(errors)
        place = [100 * s + 0.6 * (k - (len(conditions) - 1) / 2) for s in at]
        ax.plot(place, [errors[s].mean() for s in at], color=f"C{k}", linewidth=1, label=display_name(condition))
        ax.plot([x for x, s in zip(place, at, strict=True) for _ in errors[s]], [e for s in at for e in errors[s]], "o", color=f"C{k}", markersize=3)
    for row in rows:
        if "limit" in row:
            ax.axhline(row["error"][name], color="0.6", linestyle=":", linewidth=1)
            ax.text(20, row["error"][name], row["limit"], color="0.4", va="top", fontsize=8)
    ax.set(title=name, xlabel="weights that are zero (%)")


# %%
#| fig-alt: "Position error against the share of zeros for seven conditions on five sets of paths: even up to 75 %, rising steeply at 90 %."
results = sorted(load_results("rats_small"), key=lambda row: row.get("sparsity", -1))  # the limits first
kinds = list(results[0]["error"]) if results else []
fig, axes = plt.subplots(2, 3, figsize=(9, 6), layout="constrained", sharey=True)
for ax, name in zip(axes.flat, kinds, strict=False):
    plot_sparsities(results, name, ax)
for ax in axes[:, 0]:
    ax.set(ylabel="position error (cm)", ylim=(0, None))
for ax in axes.flat[len(kinds):]:
    ax.set_axis_off()
axes.flat[-1].legend(*axes[0, 0].get_legend_handles_labels(), loc="center")
plt.show()

# %%
lines = ["| zeros | condition | " + " | ".join(kinds) + " |", "|---" * (len(kinds) + 2) + "|"]
for row in results:
    label = f"| | *{row['limit']}* |" if "limit" in row else f"| {100 * row['sparsity']:g} % | {display_name(row['condition'])} |"
    cells = [f"{row['error'][name]:.1f}" if "limit" in row else summary(row["error"][name]).split(" (")[0] for name in kinds]
    lines.append(label + " " + " | ".join(cells) + " |")
display(Markdown("\n".join(lines)))


# %% [markdown]
# Means and standard deviations in cm; each seed is a dot in the figure. Four things to see:
#
# - Dense, the network without a penalty is best wherever rats move, and at half the weights it still is. Every penalty of this strength costs accuracy that only pruning could give back.
# - At three quarters of the weights gone the conditions meet, and real paths begin to disagree with simulated ones: in the large box a uniform penalty and the sphere are ahead of no penalty, on simulated paths they are behind it.
# - At nine tenths every condition is worse than a rat that stands still. Only in the small box, at the simulated pace, are they about as good as that.
# - No manifold has a lead over its shuffled control that is greater than the spread of seeds, on real rats as on simulated ones.
#
# So the order of conditions on simulated paths does not tell their order on real ones.

# %% [markdown]
# ## Exercise 1: what did the network add?
#
# *3 min, easy.* An error in centimetres mixes how well a network did with how far the rat went. Say instead which share of the error of standing still a network takes away: 1 for a perfect one, 0 for one that adds nothing, less than 0 for one that
# had better kept silent.

# %%
def skill(error, still):
    "Share of the error of standing still that a network takes away"
    raise NotImplementedError


# %%
#| fold How it is checked
def picture():
    dense = next(iter(models.values()))
    draw_bars({name: skill(errors_along(task, dense, walk).mean().item(), limits_along(task, walk)["standing still"].mean().item()) for name, walk in walks.items()}, "skill of the dense network")


with exercise("an error of half of what standing still has is a skill of one half", picture) as expect:
    for error, share in ((0.0, 1), (10.0, 0.5), (20.0, 0), (40.0, -1)):
        expect(skill, error, 20.0, gives=share)


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def skill(error, still):
#     return 1 - error / still
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: how long may a path be?
#
# *5 min, easy.* A path lies within one segment, so a tracker that loses its rat often leaves no long ones. How many seconds does the longest segment of a recording last?

# %%
def longest(rat):
    "Duration in s of the longest of segments(rat), which gives pairs of times and positions"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("the duration is the last time less the first", lambda: draw_bars({name: longest(rat) for name, rat in recordings.items()}, "longest segment (s)")) as expect:
    expect(longest, toy, gives=30 * DT)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def longest(rat):
#     return max(times[-1] - times[0] for times, _ in segments(rat))
# ```
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - *The clock.* Played in real time, the recorded rats hardly move within a training path. The first table that was made here put networks far behind a rat that stands still, and said nothing about networks.
# - *The tracker.* Hops between two lights looked like the fastest runs of all. They are cut out by a speed that was read off a histogram; it is a judgement, and it costs a few true sprints.
# - *The margin.* With `mapping="centre"` the small box lies within the large one, and no real path touches a wall that the network knows. `-p mapping stretch` puts the walls where they belong, and speeds the rat up.
# - Smoothing the recordings first, as is usual, would make headings steadier and speeds lower. It is not done here, since it invents positions too.
#
# The paper trains and tests on simulated paths alone, as do the works that it builds on.
#
# ## Recall and think
#
# <details><summary>Recall: why is the network worse than standing still on the slow rat?</summary>
#
# Within a training path's time that rat moves a few centimetres, less than three place cells can resolve.
#
# </details>
#
# <details><summary>Recall: where is a recording cut?</summary>
#
# Where a frame is missing, and where the rat would be faster than 1.2 m/s, which are hops of the tracker.
#
# </details>
#
# <details><summary>Think: what would you record, if you wanted to know whether the network's errors are a rat's errors?</summary>
#
# Where the rat believes to be: by what it does in the dark, such as the way home that it takes.
#
# </details>
#
# **References.** Sargolini et al., *Conjunctive representation of position, direction, and velocity in entorhinal cortex* (2006). Tanni et al., *State transitions in the statistically stable place cell population correspond to rate of
# perceptual change* (2022). Both recordings as they come with RatInABox (George et al. 2024). Raudies and Hasselmo, *Modeling boundary vector cell firing* (2012).
