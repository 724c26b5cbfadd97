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
# After this chapter you can
#
# - build a recurrent network by hand that holds any angle, and turn it by its input,
# - read off a spectrum what a network remembers and what it forgets,
# - look for a ring in the states of a trained network, and say how good a ring it is.
#
# The question: *a neuron forgets within milliseconds, and a head keeps its bearings for minutes in the dark. How do many forgetful neurons hold one number, and why would their states lie on a
# manifold?*

# %%
#| hide
import math
import tempfile

import matplotlib.pyplot as plt
import torch
from fastcore.test import test_close
from matplotlib.collections import LineCollection

from modreg.book.exercises import exercise
from modreg.lab.experiments import load_model
from modreg.tasks.head_direction import HeadDirectionModel, HeadDirection, HeadDirectionConfig, angular_error, direction, headings
from modreg.geometry.inhibitors import DifferenceOfGaussians
from modreg.lab.training import fit
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
# But eq. 1 can only *add* an input, not multiply weights by it.
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
# (the paragraph above has the averages that are needed), and two arrows at $\pm$`SHIFT` with these lengths add up to one that points to about $\tan(\mathrm{shift})\,\frac4\pi\frac vA$. Solve for $v$.
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


print({name: round(order(states, heading_seen), 2) for name, states in last.items()})
assert order(last["by hand"], heading_seen) > 0.95 and order(last["trained"], heading_seen) > 0.8
assert order(last["trained"], heading_seen.flip(0)) < 0.2

# %% [markdown]
# ## How good a ring is it?
#
# *Predict:* both networks get a heading and then silence: no turn, for two hundred steps. The one was trained on twenty.

# %%
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
# ## Exercise 1: how long does a memory last?
#
# No trained eigenvalue is exactly 1. After how many steps has a push shrunk to half, if its eigenvalue is $\lambda$?

# %%
def half_life(eigenvalue):
    raise NotImplementedError("after t steps a push of size 1 has size eigenvalue**t")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def half_life(eigenvalue):
#     return math.log(0.5) / math.log(eigenvalue)
# ```
#
# </details>

# %%
with exercise("solve eigenvalue**t == 1/2 for t"):
    test_close(half_life(0.5), 1)
    test_close(0.97 ** half_life(0.97), 0.5)
    print(f"an eigenvalue of 0.99 halves in {half_life(0.99):.0f} steps; the bump's height in {half_life(found[1].item()):.1f}")


# %% [markdown]
# ## Exercise 2: a ring with a preference
#
# Real rings are not even: a neuron is missing here, a weight too large there. Add a little noise to the weights and let bumps from all round the ring run for long. How many different angles are left?

# %%
def angles_left(weights, bumps, steps):
    raise NotImplementedError("run; read each bump's angle by its mean direction, states @ direction(angle); count those more than 5 degrees apart")


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

# %%
with exercise("sort the angles; a gap of more than 5 degrees begins a new group, and the last gap closes the circle"):
    bumps = PEAK * torch.relu(torch.cos(angle - torch.linspace(0, 2 * math.pi, 37)[:-1, None].double()))
    uneven = weights + 0.002 * torch.randn(64, 64, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    test_close(angles_left(weights, bumps, 300), 36)
    left = angles_left(uneven, bumps, 3000)
    assert 1 <= left < 10
    print(f"of 36 angles {left} are left on an uneven ring")

# %% [markdown]
# So a continuous attractor is a fine balance, and a finite, learned or living network has it only about. That they hold as long as they do is one of the questions of the field.
#
# ## What broke, and what the paper did
#
# - With stronger inhibition ($J_0 = -2$) the bump forgets its height faster, but noise need not find it: all neurons may fall silent and wake together, step after step, since all take their steps at
#   once, and no time passes between.
# - The encoder is linear, so it can't set a bump but only a cosine, of which the ring makes a bump within some steps. The hand-built network is given steps to settle; the trained one has learned to do without.
# - The paper argues from attractors to manifolds (sections 1 and 2) and regularizes; it does not look for the attractor in its trained networks.
#
# **References.** Ben-Yishai, Bar-Or and Sompolinsky, *Theory of orientation tuning in visual cortex* (1995). Skaggs et al., *A model of the neural basis of the rat's sense of direction* (1995). Zhang,
# *Representation of spatial orientation by the intrinsic dynamics of the head-direction cell ensemble* (1996). Kim et al., *Ring attractor dynamics in the Drosophila central brain* (2017). Khona and Fiete,
# *Attractor and integrator networks in the brain* (2022).
