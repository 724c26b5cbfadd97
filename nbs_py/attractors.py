# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Continuous attractors
#
# > A ring of neurons that holds an angle, built by hand, then found by training

# %% [markdown]
# *Reading 35 min, exercises 20 min. To skip at a first reading:* *Turning the bump*, *Where does it rest, where does it creep?*.
#
# After this chapter you can
#
# - build a recurrent network by hand that holds any angle, and turn it by its input,
# - read off a spectrum what a network remembers and what it forgets,
# - look for a ring in the states of a trained network, and say how good a ring it is,
# - find where the states of any recurrent network rest or creep, and whether they are stable there.
#
# The question: *a neuron forgets within milliseconds, and a head keeps its bearings for minutes in the dark. How do many forgetful neurons hold one number, and why would their states lie on a
# manifold?*

# %%
#| default_exp analysis.attractors

# %%
#| export
import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import torch
from torch import Tensor, nn

from modreg.geometry.arguments import Count, Positive, Shape, check, checked
from modreg.lab.experiments import load_model
from modreg.lab.runs import Run
from modreg.lab.training import Task
from modreg.layers.edges import EdgeRNN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# %%
#| hide
import tempfile

import matplotlib.pyplot as plt
from fastcore.test import test_close, test_eq
from matplotlib.collections import LineCollection

from modreg.book.exercises import draw_bars, draw_curve, exercise
from modreg.lab.experiments import load_results
from modreg.tasks.head_direction import HeadDirectionModel, HeadDirection, HeadDirectionConfig, angular_error, direction, headings
from modreg.geometry.inhibitors import DifferenceOfGaussians
from modreg.lab.training import fit
from modreg.sparsity.penalties import display_name
from modreg.analysis.wiring import plot_spectrum

plt.style.use("modreg.data.book")


# %%
#| code-fold: true
def ring(n):
    "Angles of `n` neurons on a circle, and weights that excite those near and inhibit those far"
    angle = 2 * math.pi * torch.arange(n, dtype=torch.float64) / n
    return angle, (4 * torch.cos(angle[:, None] - angle) - 0.5) / n


def run(weights, state, steps, drive=1.0):
    "States (steps + 1, ..., n) of eq. 1 with ReLU and a constant drive, from `state` (..., n)"
    states = [state]
    for _ in range(steps):
        states.append(torch.relu(states[-1] @ weights.T + drive))
    return torch.stack(states)


# %%
#| fig-alt: "Activity of a ring of 64 neurons over 25 steps from three random starts: each time one smooth bump forms, at another angle, and stays."
angle, weights = ring(64)
generator = torch.Generator().manual_seed(1)
noise = torch.rand(3, 64, generator=generator, dtype=torch.float64)
fig, axes = plt.subplots(1, 3, figsize=(9, 2.6), layout="constrained", sharey=True)
for ax, states in zip(axes, run(weights, noise, 25).unbind(1), strict=True):
    image = ax.imshow(states.T, aspect="auto", origin="lower", extent=(0, 25, 0, 360), cmap="viridis")
    ax.set(xlabel="step", yticks=range(0, 361, 90))
axes[0].set(ylabel="angle of the neuron (degrees)")
fig.colorbar(image, ax=axes, label="activity")
plt.show()

# %% [markdown]
# Sixty-four neurons sit on a circle. Each excites its neighbours and inhibits those across, by a cosine of the angle between them. They start from noise, three times. Each time the noise
# becomes a *bump*, half a circle wide, and stays. The bump's shape is always the same; where it stands is whatever the noise happened to favour.
#
# So the network has not one resting state but a whole circle of them, one for each angle. That is a **continuous attractor**: what the network forgets is everything but the angle.
#
# ## What is forgotten?
#
# *Predict:* push the bump a little to the side, or make it a little taller, or add noise to each neuron. Then wait. Which of the three is still there after thirty steps?

# %%
#| fig-alt: "Distance from the old state after three small pushes, on a logarithmic scale: a push sideways stays, a push that makes the bump taller decays to nothing, noise decays to what of it lies sideways."
bump = run(weights, torch.relu(torch.cos(angle - angle[10])), 200)[-1]
sideways = -torch.sin(angle - angle[10]) * (bump > 0)
grain = torch.randn(64, generator=generator, dtype=torch.float64) * (bump > 0)
pushes = {name: 0.01 * push / push.norm() for name, push in {"sideways": sideways, "taller": bump, "noise": grain}.items()}
far = {name: (run(weights, bump + push, 30) - bump).norm(dim=-1) for name, push in pushes.items()}
fig, ax = plt.subplots(figsize=(5.5, 3.2), layout="constrained")
for name, distance in far.items():
    ax.semilogy(distance, "o-", markersize=3, label=name)
ax.set(xlabel="step after the push", ylabel="distance from where it was", ylim=(1e-5, None), xticks=range(0, 31, 10))
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# The sideways push stays for good: nothing prefers one angle to another, so nothing pulls the bump back. The other two are forgotten, the noise at once but for the small part of it that points sideways.

# %%
test_close(far["sideways"][-1] / far["sideways"][0], 1, eps=2e-2)
assert far["taller"][-1] < 1e-2 * far["taller"][0]
assert far["noise"][-1] < 0.5 * far["noise"][0]

# %% [markdown]
# ## The spectrum says so
#
# Near the bump only the neurons that are awake take part, half of them, and for these the step is linear: a push $\delta$ becomes $W_{\text{awake}}\,\delta$. An eigenvalue of 1 keeps, one near 0 forgets.
#
# How many should there be? The cosine of a difference is $\cos\theta_i\cos\theta_j + \sin\theta_i\sin\theta_j$, so $W$ has rank three, and there are three at most. With
# $W_{ij} = (J_0 + J_1\cos(\theta_i - \theta_j))/n$ and half the circle awake, averages over it ($\overline{\cos} = 1/\pi$, $\overline{\cos^2} = \overline{\sin^2} = 1/4$) give
#
# $$\text{sideways: } \lambda = \tfrac{J_1}{4}, \qquad \text{taller: } \lambda^2 - \left(\tfrac{J_0}{2} + \tfrac{J_1}{4}\right)\lambda + J_0 J_1\left(\tfrac18 - \tfrac1{\pi^2}\right) = 0.$$
#
# Half the circle is awake exactly if $J_1 = 4$, and then the first is 1. That is no luck. Turn a bump that rests and you have another that rests, so the step that leads from one to the other is left as it is.

# %%
#| fig-alt: "Eigenvalues at the bump inside the unit circle: one at 1, one near 0.8, the others near 0."
awake = weights * (bump > 0)[:, None]
fig, ax = plt.subplots(figsize=(3.4, 3.4), layout="constrained")
plot_spectrum(awake, ax)
ax.set(title="eigenvalues at the bump")
plt.show()

# %%
found = torch.linalg.eigvals(awake).real.sort(descending=True).values
trace, determinant = -1 / 4 + 1, -2 * (1 / 8 - 1 / math.pi**2)
root = math.sqrt(trace**2 / 4 - determinant)
test_close(found[[0, 1, -1]], torch.tensor([1, trace / 2 + root, trace / 2 - root], dtype=torch.float64), eps=5e-3)
assert found[2:-1].abs().max() < 1e-6  # the rest is forgotten in one step

# %% [markdown]
# ## A ring among the states
#
# A state is a point in a space of 64 dimensions. From many random starts, follow it there, and look at the two directions in which the resting states differ most.

# %%
#| fig-alt: "Sixty grey lines run from the centre outwards and end on a ring of dots, whose colour is their angle."
paths = run(weights, 2 * torch.rand(60, 64, generator=generator, dtype=torch.float64), 60)
resting = paths[-1]
axes2 = torch.linalg.svd(resting - resting.mean(0), full_matrices=False).Vh[:2].T
flat = (paths - resting.mean(0)) @ axes2
fig, ax = plt.subplots(figsize=(4, 4), layout="constrained")
ax.add_collection(LineCollection(flat[1:].transpose(0, 1).tolist(), colors="0.7", linewidths=0.7))
ax.scatter(*flat[-1].T, c=torch.atan2(*(resting @ direction(angle)).T.flip(0)), cmap="twilight", s=30, zorder=3)
ax.set(xlabel="first principal component", ylabel="second", aspect="equal", title="sixty starts, all end on a ring")
ax.autoscale()
plt.show()

# %%
radius = flat[-1].norm(dim=-1)
assert (radius / radius.mean() - 1).abs().max() < 0.2

# %% [markdown]
# The manifold of this network is a circle, because what it holds is an angle. A place in a box needs two numbers, and its bumps live on a sheet; if the sheet is closed by joining its edges, on a torus.
# That is where the paper's idea comes from: *if the good networks for a task have states on a manifold $M$, put the neurons on $M$, and keep the connections that such a network would need.*

# %% [markdown]
# ## Turning the bump
#
# A memory that can't be changed is of little use. The head turns; how does the bump follow? Its weights would have to be skewed, to one side or the other, according to a number that comes in from outside.
# But a recurrent layer (eq. 1 of the paper) can only *add* an input, not multiply weights by it.
#
# The way out, which flies and rats seem to have found as well, is two rings. One pushes its bump clockwise, the other counter-clockwise. At rest they balance. The input
# speeds one up and slows the other down, by mere addition.

# %%
SHIFT = math.radians(60)  # how far a ring pushes
PEAK = 2 * math.pi  # height of the bump for a drive of 1 and J0 = -1/2


def two_rings(n):
    "Angles at which 2n neurons listen and to which they push, and their weights"
    angle, _ = ring(n)
    listens, pushes = torch.cat([angle, angle]), torch.cat([angle + SHIFT, angle - SHIFT])
    return listens, pushes, (4 / math.cos(SHIFT) * torch.cos(listens[:, None] - pushes) - 0.5) / (2 * n)


# %% [markdown]
# How large must the input be for a turn of $\omega$? If $v$ is added to one ring and taken from the other, their shares of the push change by $\pm\frac{4}{\pi}\frac{v}{A}$, where $A$ is the bump's height
# (*The spectrum says so* has the averages that are needed), and two arrows at $\pm$`SHIFT` with these lengths add up to one that points to about $\tan(\mathrm{shift})\,\frac4\pi\frac vA$. Solve for $v$.
#
# All of this is a setting of the weights of `HeadDirectionModel`, the network of the chapter [head_direction](head_direction.ipynb): encoder, recurrent layer with bias, decoder. So let us put it in there.

# %%
@torch.no_grad()
def built_by_hand(n):
    "A `HeadDirectionModel` of 2n neurons that nobody trained"
    model = HeadDirectionModel(HeadDirectionConfig(scale="tiny", device="cpu", hidden=2 * n, seeds=1), None).double()
    _, pushes, weights = two_rings(n)
    side = torch.cat([torch.ones(n), -torch.ones(n)])
    values = {"encoder.weight": PEAK / 2 * direction(pushes), "rnn.weight_hh_l0": weights, "rnn.bias_ih_l0": torch.ones(2 * n),
              "rnn.weight_ih_l0": (side * PEAK * math.pi / 4 / math.tan(SHIFT))[:, None], "decoder.weight": direction(pushes).T / n}
    for name, parameter in model.named_parameters():
        parameter.copy_(values.get(name, torch.zeros(()))[None] if name in values else torch.zeros_like(parameter))
    return model


hand = built_by_hand(64)

# %% [markdown]
# A head that rests, turns left at a constant pace, rests, and turns right twice as fast:

# %%
#| fig-alt: "A bump of activity over 140 steps follows the white line of the true heading: it stays, moves up, stays, moves down twice as fast, and stays."
turns = torch.cat([torch.zeros(40), torch.full((40,), 0.05), torch.zeros(20), torch.full((20,), -0.1), torch.zeros(20)]).double()
heading = torch.cat([torch.tensor([1.0]).double(), 1 + turns.cumsum(0)])[None, :, None]
with torch.no_grad():
    states, said = hand.states(heading)[0, :, 0], hand(heading)
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.imshow((states[:, :64] + states[:, 64:]).T, aspect="auto", origin="lower", extent=(0, len(turns), 0, 360), cmap="viridis")
ax.plot(torch.rad2deg(heading[0, 1:, 0]), color="white", linewidth=1, label="true heading")
ax.set(xlabel="step", ylabel="angle (degrees)", yticks=range(0, 361, 90), title="activity of both rings")
ax.legend(loc="upper right", labelcolor="white")
plt.show()

# %% [markdown]
# The bump turns with the input, in proportion, and stays without:

# %%
pointer = torch.atan2(said[0, :, 0, 1], said[0, :, 0, 0])
test_close(pointer[35] - pointer[39], 0, eps=2e-3)  # rest
test_close(pointer[79] - pointer[39], 2.0, eps=0.02)  # 40 turns of 0.05
test_close(pointer[119] - pointer[99], -2.0, eps=0.06)  # 20 turns of -0.1
test_close(pointer[119] - pointer[139], 0, eps=2e-3)  # rest again

# %% [markdown]
# ## Found by training
#
# The same network with random weights, trained for seconds on heads that turn for twenty steps: dense, no penalty, no pruning. Nobody tells it of rings.

# %%
config = HeadDirectionConfig(scale="tiny", device="cpu", seeds=1, seed=7, hidden=64, steps=20, batch=50, batches=100, epochs=10, lr=2e-3, penalty="none",
                             sparsity=0.0, lottery=False, out=tempfile.mkdtemp())
task = HeadDirection(config)
trained_run = fit(task, progress=False)
trained = load_model(task, trained_run)
print(f"mean angular error {trained_run.result['phases']['train']['error'][0]:.1f} degrees; never turning would cost {task.limits()['never turned']:.1f}")


# %% [markdown]
# *Predict:* the states of both networks after twenty turns, seen along their first two principal components and coloured by the true heading. What shape has the trained one's?

# %%
#| fig-alt: "States of two networks along two principal components: each a ring, coloured in order by the true heading; the one by hand is a clean circle, the trained one somewhat rough."
def principal(states):
    "States (n, N) along their two directions of greatest variance (n, 2), and the share of variance in each direction"
    centred = states - states.mean(0)
    _, size, axes = torch.linalg.svd(centred, full_matrices=False)
    return centred @ axes[:2].T, size**2 / (size**2).sum()


heading = headings(1000, 20, torch.Generator().manual_seed(3), turn=0.1)
still = heading[:1].expand(30, -1)  # the ring by hand has to settle first
heading_seen = heading[-1]
with torch.no_grad():
    last = {"by hand": hand.states(torch.cat([still, heading])[None].double())[0, -1], "trained": trained.states(heading[None])[0, -1]}
fig, axes = plt.subplots(1, 2, figsize=(8, 3.8), layout="constrained")
for ax, (name, states) in zip(axes, last.items(), strict=True):
    flat, share = principal(states)
    dots = ax.scatter(*flat.T, c=torch.rad2deg(heading_seen) % 360, cmap="twilight", s=8, vmin=0, vmax=360)
    ax.set(xlabel="first principal component", ylabel="second", aspect="equal", title=f"{name}: {share[:2].sum():.0%} of the variance")
fig.colorbar(dots, ax=axes, label="true heading (degrees)", ticks=range(0, 361, 90))
plt.show()


# %% [markdown]
# A ring, in the order of the headings. Against chance: shuffle the headings, and the order is gone.

# %%
def order(states, heading):
    "How well the angle round the ring tells the heading: 1 if they turn together, 0 if they have nothing to do with each other"
    flat, _ = principal(states)
    around = torch.atan2(flat[:, 1], flat[:, 0])
    return max(torch.exp(1j * (around - sign * heading)).mean().abs().item() for sign in (1, -1))


print("order round the ring:", ", ".join(f"{name} {order(states, heading_seen):.2f}" for name, states in last.items()))
assert order(last["by hand"], heading_seen) > 0.95 and order(last["trained"], heading_seen) > 0.8
assert order(last["trained"], heading_seen.flip(0)) < 0.2

# %% [markdown]
# ## How good a ring is it?
#
# *Predict:* both networks get a heading and then silence: no turn, for two hundred steps. The one was trained on twenty.

# %%
#| fig-alt: "Heading that a network says in 200 steps of silence, from 36 starts: of the one by hand straight lines; of the trained one lines that drift and gather at a few headings."
starts = torch.linspace(0, 2 * math.pi, 37)[:-1].double()
fig, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained", sharey=True)
with torch.no_grad():
    for ax, (name, model) in zip(axes, {"by hand": hand, "trained": trained.double()}.items(), strict=True):
        said = model(starts.expand(1, 201, 36).contiguous())[0]
        turned = torch.atan2(said[..., 1], said[..., 0]) - starts
        drift = starts + torch.atan2(turned.sin(), turned.cos())
        ax.plot(torch.rad2deg(drift).where(drift.diff(dim=0, prepend=drift[:1]).abs() < 1, math.nan), color="C0", linewidth=0.9)
        ax.set(title=name, xlabel="steps of silence", yticks=range(0, 361, 90))
axes[0].set(ylabel="heading that it says (degrees)")
plt.show()

# %% [markdown]
# By hand every heading is held. The trained network holds them about as long as it was asked to; then they drift, and run together. Its ring is not level but has valleys.
# The loss never saw more than twenty steps, so it never asked for more. And how do they fare with turns of other sizes than it was trained on?

# %%
#| fig-alt: "Mean error against the size of a turn. The network by hand is better for small turns; the trained one is even up to the size it was trained on, and then both get worse."
sizes = torch.tensor([0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2])
errors = {"by hand": [], "trained": []}
with torch.no_grad():
    for turn in sizes.tolist():
        heading = headings(500, 20, torch.Generator().manual_seed(4), turn).double()
        still = heading[:1].expand(30, -1)
        errors["by hand"].append(angular_error(hand(torch.cat([still, heading])[None])[:, 30:], heading[None, 1:]).item())
        errors["trained"].append(angular_error(trained(heading[None]), heading[None, 1:]).item())
fig, ax = plt.subplots(figsize=(5.5, 3.2), layout="constrained")
for (name, values), mark in zip(errors.items(), "os", strict=True):
    ax.loglog(torch.rad2deg(sizes), values, f"{mark}-", label=name)
ax.axvline(math.degrees(0.5), color="0.6", linestyle=":")
ax.text(math.degrees(0.5), ax.get_ylim()[0], " trained on these", color="0.4", va="bottom", fontsize=8)
ax.set(xlabel="standard deviation of a turn (degrees)", ylabel="mean error (degrees)")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# Each is better at what it was made for. The formula above holds for slow turns; a fast one runs into the end of the two rings' reach. The trained network has found a way to follow fast turns,
# and pays with a ring that is not quite a ring.
#
# ## From attractor to regularizer
#
# What do the weights of the two look like, as a function of the angle between two neurons? A neuron of the trained network has no place, but it has a favourite direction, that in which
# its state is largest on average. Beside them stands the price that the difference of Gaussians puts on a connection between two neurons of a circle.

# %%
#| fig-alt: "Three curves over the angle between two neurons: the cosine of the ring by hand, the mean learned weights, which are highest near 0, and the price by a difference of Gaussians, which is lowest near 0 but not at it."
favourite = torch.atan2(*(last["trained"].T @ direction(heading_seen)).T.flip(0))
apart = torch.remainder(favourite[:, None] - favourite + math.pi, 2 * math.pi) - math.pi
pair = ~torch.eye(64, dtype=torch.bool)
bins = torch.linspace(-math.pi, math.pi, 13)
learned = trained.rnn.weight_hh_l0[0].detach()
means = [learned[pair & (apart >= low) & (apart < high)].mean() for low, high in zip(bins, bins[1:], strict=False)]
x = torch.linspace(-math.pi, math.pi, 200)
curves = {"by hand": (x, 4 * x.cos() - 0.5, "weight × n"), "trained: mean in bins": ((bins[1:] + bins[:-1]) / 2, means, "weight"),
          "difference of Gaussians": (x, DifferenceOfGaussians()(5 * x.abs()), "price")}
fig, axes = plt.subplots(1, 3, figsize=(10, 2.8), layout="constrained")
for ax, (name, (angle_apart, values, label)) in zip(axes, curves.items(), strict=True):
    ax.plot(torch.rad2deg(angle_apart), values, "o-" if len(values) < 20 else "-")
    ax.axhline(0, color="0.7", linewidth=0.8)
    ax.set(title=name, ylabel=label, xlabel="angle between two neurons (degrees)", xticks=range(-180, 181, 90))
plt.show()


# %% [markdown]
# Training came upon the same wiring, up to a constant: neurons with like directions inhibit each other least, opposite ones most.
#
# The price is low for neighbours at one distance and high elsewhere. It leaves room for what excites in a hand-built ring, and none for the inhibition across it, which is as much part of a ring attractor.
# So the penalty is not a recipe for one. It is a hint about who should talk to whom; whether it pays is an empirical question, which the chapters before this one ask of each task.

# %% [markdown]
# ## Where does it rest, where does it creep?
#
# The hand-built ring was easy to see, since we knew where to look. For any network whose step without news is $h \mapsto F(h)$, look for states in which it is slow: let an optimizer lower the speed $|F(h) - h|^2$ from many starts. Where it comes to 0 the network rests;
# where it stays small, the network creeps, for as many steps as the speed goes into the way. First, what the step is:

# %%
#| export
@checked(finite=False)
def silent_step(
    network: nn.Module | Callable[[Tensor], Tensor],  # an RNN, a GRU or a cell of one layer; or a function of states (B, N) to states (B, N)
    inputs: Tensor | None = None,  # what it is told at every step (inputs,); nothing if not given
) -> Callable[[Tensor], Tensor]:  # of states (B, N), float64
    "One step of a recurrent layer in float64, as a function of its state"
    if not isinstance(network, nn.Module):
        if not callable(network):
            raise TypeError(f"network is a {type(network).__name__}; give a recurrent layer, or a function of states (B, N)")
        return network
    edges, cell = isinstance(network, EdgeRNN), isinstance(network, nn.RNNCellBase)
    replicas = getattr(network, "replicas", None)
    if not (edges or cell or hasattr(network, "weight_hh_l0")) or isinstance(network, (nn.LSTM, nn.LSTMCell)):
        raise TypeError(f"network is a {type(network).__name__}, which has no single state; give an RNN, a GRU, a cell of these, or a function of states (B, N)")
    if getattr(network, "num_layers", 1) > 1 or getattr(network, "bidirectional", False) or replicas not in (None, 1):
        raise ValueError(f"{network} has several layers, directions or replicas; give a layer that has one of each")
    layer: Any = copy.deepcopy(network).double().requires_grad_(False)
    told = torch.zeros(layer.input_size) if inputs is None else inputs
    if told.shape != (layer.input_size,):
        raise ValueError(f"inputs has shape {tuple(told.shape)}; give ({layer.input_size},), what the layer is told at every step")

    def step(state: Tensor) -> Tensor:
        news = told.double().expand(len(state), -1)
        if cell:
            return layer(news, state)
        lead = (1, 1) if replicas == 1 else (1,)
        order = news.reshape(-1, 1, layer.input_size) if getattr(layer, "batch_first", False) else news.reshape(*lead, -1, layer.input_size)
        start = state if edges else state.reshape(*lead, *state.shape)
        return layer(order, start)[1].reshape(state.shape)

    return step


# %%
#| export
@checked(finite=False)
@dataclass(frozen=True)
class SlowPoints:
    "States in which a network rests or creeps, the slowest first"

    states: Tensor  # (K, N)
    speeds: Tensor  # |F(h) - h| over the typical size of a state (K,)
    eigenvalues: Annotated[Tensor, Shape(kind="any", empty=True)]  # of the step near each state, the largest first (K, N), complex

    @property
    def unstable(self) -> Tensor:
        "Number of directions that grow by more than a thousandth in a step (K,)"
        return (self.eigenvalues.abs() > 1.001).sum(1)

    @property
    def neutral(self) -> Tensor:
        "Number of directions that are kept, within five hundredths a step (K,): the dimension of a continuous attractor"
        return ((self.eigenvalues.abs() - 1).abs() < 0.05).sum(1)


@checked(finite=False)
def jacobian(
    step: Callable[[Tensor], Tensor],  # of states (B, N)
    state: Tensor,  # (N,)
) -> Tensor:  # (N, N): what a push of each neuron (column) does to each (row)
    "Derivative of a step at a state, by one backward pass"
    with torch.enable_grad():
        rows = state.detach().expand(len(state), -1).clone().requires_grad_()
        return torch.autograd.grad(step(rows).diagonal().sum(), rows)[0]


# %%
#| export
def _slowed(step: Callable[[Tensor], Tensor], starts: Tensor, steps: int, lr: float) -> Tensor:
    "States moved down the square of their speed: by Adam, then by L-BFGS"
    states = starts.clone().requires_grad_()
    adam = torch.optim.Adam([states], lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for _ in range(steps):
        adam.zero_grad()
        (step(states) - states).square().sum().backward()
        adam.step()
        schedule.step()
    lbfgs = torch.optim.LBFGS([states], max_iter=steps, tolerance_grad=1e-12, tolerance_change=1e-16, line_search_fn="strong_wolfe")

    def speed() -> Tensor:
        lbfgs.zero_grad()
        total = (step(states) - states).square().sum()
        total.backward()
        return total

    lbfgs.step(speed)
    return states.detach()


def _distinct(states: Tensor, apart: float) -> Tensor:
    "Numbers of states, in order, that are not within a distance of one before"
    kept: list[int] = []
    for k in range(len(states)):
        if not kept or (states[kept] - states[k]).norm(dim=1).min() > apart:
            kept.append(k)
    return torch.tensor(kept)


# %%
#| export
@checked(finite=False)
def slow_points(
    network: nn.Module | Callable[[Tensor], Tensor],  # a layer, or a function of states (B, N) to states (B, N)
    starts: Tensor,  # states to start from (B, N), such as those that the network visits
    inputs: Tensor | None = None,  # what a layer is told at every step (inputs,); nothing if not given
    steps: int = 500,  # of each of the two optimizers
    lr: float = 0.01,  # of Adam, times the typical size of a state
    slow: float = 0.01,  # greatest speed that is kept, in typical sizes of a state
    apart: float = 0.001,  # least distance between two states that are kept, in typical sizes
) -> SlowPoints:
    "Fixed and slow points of a recurrent network (Sussillo and Barak 2013), and how it moves near them; no points if none is slow"
    if not isinstance(starts, Tensor) or not starts.is_floating_point() or starts.ndim != 2 or not len(starts) or not starts.isfinite().all():
        shape = tuple(starts.shape) if isinstance(starts, Tensor) else type(starts).__name__
        raise ValueError(f"starts is {shape}; give finite floating states (B, N), such as those that the network visits")
    check("steps", steps, Count)
    for name, value in (("lr", lr), ("slow", slow), ("apart", apart)):
        check(name, value, Positive)
    step, starts = silent_step(network, inputs), starts.detach().double().cpu()
    if (said := step(starts)).shape != starts.shape:
        raise ValueError(f"the step takes states {tuple(starts.shape)} to {tuple(said.shape)}; it must keep their shape")
    size = starts.norm(dim=1).mean().clamp(min=1e-12).item()
    states = _slowed(step, starts, steps, lr * size / math.sqrt(starts.shape[1]))
    with torch.no_grad():
        speeds = (step(states) - states).norm(dim=1) / size
    order = speeds.argsort()
    order = order[speeds[order] <= slow]
    order = order[_distinct(states[order], apart * size)] if len(order) else order
    values = [torch.linalg.eigvals(jacobian(step, states[k])) for k in order]
    sorted_values = [value[value.abs().argsort(descending=True)] for value in values]
    eigenvalues = torch.stack(sorted_values) if values else torch.zeros(0, starts.shape[1], dtype=torch.complex128)
    return SlowPoints(states[order], speeds[order], eigenvalues)


# %% [markdown]
# Three steps whose answer is known: a linear one rests at one point, $(1 - A)^{-1} b$; two neurons that excite themselves and inhibit each other rest in three, the middle one on the edge; and the ring above rests everywhere on a circle, with one direction that is kept.

# %%
matrix = torch.tensor([[0.5, 0.3], [-0.2, 0.7]], dtype=torch.float64)
shift = torch.tensor([1.0, -1.0], dtype=torch.float64)
linear = slow_points(lambda h: h @ matrix.T + shift, torch.randn(20, 2, generator=generator))
test_eq(len(linear.states), 1)
test_close(linear.states[0], torch.linalg.solve(torch.eye(2) - matrix, shift), eps=1e-6)
test_close(linear.eigenvalues[0].abs().sort().values, torch.linalg.eigvals(matrix).abs().sort().values, eps=1e-6)
pair = torch.tensor([[1.5, -1.0], [-1.0, 1.5]], dtype=torch.float64)
flip_flop = slow_points(lambda h: torch.tanh(h @ pair.T), torch.rand(60, 2, generator=generator) * 2 - 1)
test_eq(int((flip_flop.unstable == 0).sum()), 2)  # one wins, or the other
test_close(flip_flop.states[flip_flop.unstable == 0].sum(0), torch.zeros(2), eps=1e-5)

# %%
planted = slow_points(lambda h: torch.relu(h @ weights.T + 1), resting + 0.1 * torch.randn(60, 64, generator=generator, dtype=torch.float64))
assert len(planted.states) > 40 and planted.speeds.max() < 1e-3
assert planted.neutral.double().mean() > 0.6 and planted.neutral.max() == 1  # not one of them where a neuron is about to fall silent


# %%
#| export
@checked(finite=False)
def plot_slow_points(
    found: SlowPoints,
    ax: "Axes",
    visited: Tensor | None = None,  # states that the network visits (M, N), in grey
):  # handle on the colours, for a colour bar
    "Slow points along the two directions in which they, or the visited states, differ most: colour is speed, a cross is unstable"
    along = (found.states if visited is None else visited.double().cpu()).detach()
    if not len(found.states):
        raise ValueError("there are no slow points to draw; raise slow, or start nearer to where the network rests")
    centre = along.mean(0)
    axes = torch.linalg.svd(along - centre, full_matrices=False).Vh[:2]
    axes = axes if len(axes) == 2 else torch.cat([axes, torch.zeros_like(axes)])
    if visited is not None:
        grey = (along - centre) @ axes.T
        ax.scatter(grey[:, 0], grey[:, 1], s=3, color="0.8")
    flat, speed, colours = (found.states - centre) @ axes.T, found.speeds.clamp(min=1e-8).log10(), None
    for stable, mark in ((True, "o"), (False, "x")):
        some = (found.unstable == 0) == stable
        if some.any():
            colours = ax.scatter(flat[some, 0], flat[some, 1], c=speed[some], marker=mark, s=26, vmin=-6, vmax=-2, cmap="cool")
    ax.set(xlabel="first principal component", ylabel="second", aspect="equal")
    return colours


# %%
#| fig-alt: "Slow points of two networks in the plane of their states, all on a ring: those by hand stand everywhere on it, those of the trained one at some places."
visited = last["trained"].double()
creeping = slow_points(trained.rnn, visited[:80], steps=200, slow=0.05)
fig, axes = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
plot_slow_points(planted, axes[0])
colours = plot_slow_points(creeping, axes[1], visited)
for ax, title in zip(axes, ("by hand", "trained"), strict=True):
    ax.set(title=title)
fig.colorbar(colours, ax=axes, label="speed, log10 of sizes of a state")
plt.show()


# %% [markdown]
# By hand a full circle of states, all at rest. Trained: few points rest, stable ones and, between them, unstable ones; along the ring from one to the next the network creeps.
#
# ## What is kept
#
# A continuous attractor is kept differences. Take two states that the network visits and let it run in silence: do they stay as far apart as they were, compared with other pairs? The correlation of the distances of all pairs, then and now, is 1 as long as they do.

# %%
#| export
@checked(finite=False)
@torch.no_grad()
def kept_distances(
    network: nn.Module | Callable[[Tensor], Tensor],  # a layer, or a function of states (B, N) to states (B, N)
    states: Tensor,  # (B, N), at least 3
    steps: int = 200,
) -> tuple[Tensor, Tensor]:  # after 0, 1, … steps (steps + 1,): correlation of distances with those at the start, 0 where all have met; mean distance, over that at the start
    "What a network remembers of differences between states when nothing more is said"
    if not isinstance(states, Tensor) or states.ndim != 2 or len(states) < 3 or not states.isfinite().all():
        raise ValueError(f"states is {tuple(states.shape) if isinstance(states, Tensor) else type(states).__name__}; give at least 3 finite states (B, N)")
    check("steps", steps, Count)
    step, now = silent_step(network), states.detach().double().cpu()
    first = torch.pdist(now)
    if first.max() == 0:
        raise ValueError("all states are the same, so there are no differences to keep")
    like, size = [], []
    for _ in range(steps + 1):
        apart = torch.pdist(now)
        both = torch.stack([first, apart])
        spread = both.std(1).prod()
        like.append(torch.corrcoef(both)[0, 1].item() if spread > 1e-12 and both.isfinite().all() else 0.0)
        size.append((apart.mean() / first.mean()).item())
        now = step(now)
    return torch.tensor(like), torch.tensor(size)


# %%
#| fig-alt: "Correlation of distances over steps of silence: for the network by hand it stays at 1, for the trained one it falls from 1 at the start to below 0.2 after 200 steps."
fig, ax = plt.subplots(figsize=(5.5, 3), layout="constrained")
for name, model, states in (("by hand", hand.rnn, last["by hand"]), ("trained", trained.rnn, last["trained"])):
    ax.plot(kept_distances(model, states[:100], 200)[0], label=name)
ax.axvline(20, color="0.6", linestyle=":")
ax.set(xlabel="steps of silence (trained on as many as the dotted line)", ylabel="correlation of distances", ylim=(-0.1, 1.05))
ax.legend(frameon=False)
plt.show()
assert kept_distances(hand.rnn, last["by hand"][:50], 50)[0][-1] > 0.95


# %% [markdown]
# ## Does sparse wiring keep it?
#
# Does a network that was pruned under the price of a circle keep its ring, where one that was pruned under a uniform price loses it? A look at each network of a survey, for whoever asks it of another task:

# %%
#| export
@checked(finite=False)
def look(
    task: Task,
    run: Run | None,  # None before training
) -> dict[str, list[dict[str, Any]]]:  # a row for the results `attractors`
    "What is kept in silence, and the slow points, of each seed of a run, for `modreg.lab.studies survey`"
    if run is None:
        return {}
    names = ("correlation", "size", "slow", "speed", "stable", "unstable", "neutral")
    row: dict[str, Any] = {"task": task.config.task, "metric": run.result["phases"]["train"][task.metric]} | {name: [] for name in names}
    model, caught = load_model(task, run), []
    layer, weight = task.recurrent(model)[0]
    handle = layer.register_forward_hook(lambda module, inputs, output: caught.append(output[1]))
    task.evaluate(model)
    handle.remove()
    bias = sum(getattr(layer, name) for name in ("bias_ih_l0", "bias_hh_l0") if hasattr(layer, name))
    for seed in range(task.config.seeds):
        matrix, states = getattr(layer, weight)[seed].detach().double().cpu(), caught[0][seed].flatten(0, -2)[:100].double().cpu()
        shift = bias[seed].detach().double().cpu() if isinstance(bias, Tensor) else 0.0
        activation = torch.relu if layer.nonlinearity == "relu" else torch.tanh

        def step(state: Tensor, matrix=matrix, shift=shift, activation=activation) -> Tensor:
            return activation(state @ matrix.T + shift)

        like, size = kept_distances(step, states)
        found = slow_points(step, states, steps=200, slow=0.05)
        values = (like[[20, 50, 100, 200]].tolist(), size[[20, 50, 100, 200]].tolist(), len(found.states), found.speeds.median().item() if len(found.states) else None,
                  int((found.unstable == 0).sum()), int((found.unstable > 0).sum()), found.neutral.double().mean().item() if len(found.states) else None)
        for name, value in zip(names, values, strict=True):
            row[name].append(value)
    return {"attractors": [row]}


# %%
test_eq(set(look(task, trained_run)["attractors"][0]) >= {"correlation", "slow", "neutral"}, True)

# %% [markdown]
# ```
# python -m modreg.lab.studies survey head_direction none l1 circle --sparsities 0 0.9 --looks modreg.analysis.attractors:look modreg.analysis.which_manifold:look
# ```
#
# *Predict:* which of the networks with 90 % zeros has the better memory?

# %%
#| fig-alt: "Correlation of distances after 20 to 200 steps of silence for networks of four kinds, a dot a seed: it falls with the steps in each, least in the dense ones."
rows = [row for row in load_results("attractors") if row["task"] == "head_direction"]
fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
for x, row in enumerate(rows):
    for marker, (k, steps) in zip("os^d", enumerate((20, 50, 100, 200)), strict=True):
        ax.plot([x + 0.12 * (k - 1.5)] * len(row["correlation"]), [one[k] for one in row["correlation"]], marker, color=f"C{k}", markersize=4, label=f"{steps} steps" if x == 0 else None)
ax.set(xticks=range(len(rows)), ylabel="correlation of distances, a dot a seed", ylim=(-0.1, 1.05))
ax.set_xticklabels([f"{display_name(row['condition'])}, {100 * row['sparsity']:.0f} %" for row in rows], rotation=30, ha="right")
if rows:
    fig.legend(*ax.get_legend_handles_labels(), frameon=False, ncols=4, title="silence", loc="outside upper center")
plt.show()
for row in rows:
    print(f"{display_name(row['condition']):<10} {100 * row['sparsity']:3.0f} % zeros: error {', '.join(f'{e:.1f}' for e in row['metric'])} degrees; kept after 100 steps {', '.join(f'{one[2]:.2f}' for one in row['correlation'])}; "
          f"slow points {row['slow']}, stable {row['stable']}, neutral directions {', '.join('–' if n is None else f'{n:.1f}' for n in row['neutral'])}")


# %% [markdown]
# None of the sparse networks has a continuous attractor to keep. After twenty steps, as many as they were trained on, half of the likeness is left, and after a hundred nearly nothing, whether the price followed a circle, was uniform, or was none.
# The task asks for twenty steps, and that is what all of them hold. So the picture from above, a ring with valleys, is not mended by wiring that has the ring's shape.

# %% [markdown]
# ## Exercise 1: how long does a memory last?
#
# *5 min, easy.* No trained eigenvalue is exactly 1. After how many steps has a push shrunk to half, if its eigenvalue is $\lambda$?

# %%
def half_life(eigenvalue):
    "Steps (a real number) after which a push in the direction of an eigenvalue between 0 and 1 is half as large"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("after t steps a push of size 1 has size eigenvalue**t; set it to 1/2 and solve for t",
              lambda: draw_curve(half_life, [0.5 + k / 100 for k in range(50)], "eigenvalue", "steps until half is left")) as expect:
    expect(half_life, 0.5, gives=1.0)
    expect(half_life, 0.97, gives=22.7566, within=1e-3)


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def half_life(eigenvalue):
#     return math.log(0.5) / math.log(eigenvalue)
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: a ring with a preference
#
# *15 min, hard.* Real rings are not even: a neuron is missing here, a weight too large there. Add a little noise to the weights and let bumps from all round the ring run for long. How many different angles are left?

# %%
def angles_left(weights, bumps, steps):
    "How many groups of angles, more than 5 degrees apart, are left of bumps (n, N) after so many steps under weights (N, N)"
    raise NotImplementedError


# %%
#| fold How it is checked
bumps = PEAK * torch.relu(torch.cos(angle - torch.linspace(0, 2 * math.pi, 37)[:-1, None].double()))
uneven = weights + 0.002 * torch.randn(64, 64, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
with exercise("run, and read each bump's angle by its mean direction, states @ direction(angle); sort the angles: a gap of more than 5 degrees begins a new group, and the last gap closes the circle",
              lambda: draw_bars({"even ring": angles_left(weights, bumps, 300), "uneven ring": angles_left(uneven, bumps, 3000)}, "angles that are left of 36")) as expect:
    expect(angles_left, weights, bumps, 300, gives=36)
    left = angles_left(uneven, bumps, 3000)
    expect.that(1 <= left < 10, f"on an uneven ring few angles are left, and you find {left}")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def angles_left(weights, bumps, steps):
#     east, north = (run(weights, bumps, steps)[-1] @ direction(angle)).T
#     degrees = torch.rad2deg(torch.atan2(north, east)).sort().values
#     return max(1, int((degrees.diff(append=degrees[:1] + 360) > 5).sum()))
# ```
#
# </details>

# %% [markdown]
# So a continuous attractor is a fine balance, and a finite, learned or living network has it only about. That they hold as long as they do is one of the questions of the field.
#
# ## What broke, and what the paper did
#
# - With stronger inhibition ($J_0 = -2$) the bump forgets its height faster, but noise need not find it: all neurons may fall silent and wake together, step after step, since all take their steps at
#   once, and no time passes between.
# - The encoder is linear, so it can't set a bump but only a cosine, of which the ring makes a bump within some steps. The hand-built network is given steps to settle; the trained one has learned to do without.
# - The paper argues from attractors to manifolds (sections 1 and 2) and regularizes; it does not look for the attractor in its trained networks. Here one does.
#
# ## Recall and think
#
# <details><summary>Recall: what is a continuous attractor?</summary>
#
# A whole manifold of states at each of which the network rests.
#
# </details>
#
# <details><summary>Recall: what does an eigenvalue of 1 at the bump mean?</summary>
#
# That a push in its direction is kept: here, a push sideways.
#
# </details>
#
# <details><summary>Think: why may a trained network have no attractor, though it does its task well?</summary>
#
# The task asks for as many steps as it was trained on. What drifts more slowly than that is as good.
#
# </details>
#
# **References.** Ben-Yishai, Bar-Or and Sompolinsky, *Theory of orientation tuning in visual cortex* (1995). Skaggs et al., *A model of the neural basis of the rat's sense of direction* (1995). Zhang,
# *Representation of spatial orientation by the intrinsic dynamics of the head-direction cell ensemble* (1996). Kim et al., *Ring attractor dynamics in the Drosophila central brain* (2017). Khona and Fiete,
# *Attractor and integrator networks in the brain* (2022). Sussillo and Barak, *Opening the black box* (2013).
