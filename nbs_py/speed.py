# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Speed
#
# > How to time code on a noisy machine, where its limit lies, and how near training comes to it

# %% [markdown]
# *Reading 15 min, exercises 8 min. To skip at a first reading:* all of it, until you need it.
#
# After this chapter you can
#
# - compare two programs on a machine that does other things besides, and trust the answer,
# - say how fast a computation could be at best, before you try to make it faster,
# - read the cost of every part of this book, beside that of the published formulation.
#
# The question: *training takes two seconds a step. Is that fast?*

# %%
#| hide
import math
import random
import statistics

import matplotlib.pyplot as plt

from modreg.book.exercises import draw_bars, exercise
from fastcore.test import test_close
from IPython.display import Markdown, display

from modreg.lab.experiments import load_results

plt.style.use("modreg.data.book")

# %%
#| hide
bench = load_results("bench")
machine, rows, growth = bench["machine"], bench["rows"], bench["growth"]
COLORS = {"published": "C1", "plain": "C3", "ours": "C0", "floor": "black"}


def rows_on(cores, *needed):
    "Rows on so many cores that have these sides, in the order of the table"
    return [row for row in rows if row["cores"] == cores and all(side in row["seconds"] for side in needed)]


def label(row):
    return f"{row['name']} {row['size']}"


# %%
#| echo: false
#| fig-alt: "Time of many computations as a multiple of ours, one line each: the plain and published ones stand to the right of 1 in nearly all, the floor to its left."
shown = rows_on(2, "floor")[::-1]
fig, ax = plt.subplots(figsize=(7, 0.3 * len(shown) + 1), layout="constrained")
for y, row in enumerate(shown):
    ours = row["seconds"]["ours"][0]
    for side in ("published", "plain"):
        if side in row["ratios"]:
            middle, low, high = row["ratios"][side]
            ax.plot([low, high], [y, y], color=COLORS[side], alpha=0.4, linewidth=4, solid_capstyle="butt")
            ax.plot(middle, y, "o", color=COLORS[side], label=side)
    ax.barh(y, 1 - 1 / row["ratios"]["floor"][0], left=1 / row["ratios"]["floor"][0], height=0.5, color=COLORS["ours"], alpha=0.5, label="ours, above the floor")
    ax.plot(1 / row["ratios"]["floor"][0], y, "|", color="black", markersize=12, markeredgewidth=2, label="floor")
ax.axvline(1, color=COLORS["ours"], label="ours")
ax.set(xscale="log", xlabel="time, as a multiple of ours (two cores)", yticks=range(len(shown)), xlim=(0.015, 60), ylim=(-0.8, len(shown) - 0.2))
ax.set_yticklabels([label(row) for row in shown])
handles = dict(zip(*ax.get_legend_handles_labels()[::-1], strict=True))
fig.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=3, frameon=False)
plt.show()

# %% [markdown]
# Each line is one computation of this book. Our time is the blue line; to its right, what the published formulation and a plain good one with `torch.nn.RNN` and automatic differentiation
# take for the same, with the quartiles of their ratios as bars; to its left, the *floor*: what its matrix products or its memory traffic alone would take. Pruned networks fall below the floor of dense products.
#
# *Predict:* which lines can still become much faster, and which cannot, whatever one does?
#
# Everything here was measured by `make bench`, which prints the table at the end of this chapter, on the machine below, at times while it did other work too. Run it on yours: times will differ, ratios less.

# %%
#| echo: false
names = {"GFLOP/s": "matrix products (GFLOP/s)", "GB/s": "copying (GB/s)", "GB/s to new memory": "copying to new memory (GB/s)"}
lines = [f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}, torch {machine['torch']}", "",
         "| | one core | two cores |", "|---|---|---|"]
lines += [f"| {words} | {machine[f'{name} on 1']} | {machine[f'{name} on 2']} |" for name, words in names.items()]
display(Markdown("\n".join(lines)))


# %% [markdown]
# ## A stopwatch lies
#
# The naive way: run one program ten times, then the other ten times, and compare the means. Let us try it on a machine that we know. It gets slower
# as it warms up, and now and then another program takes it away for a while. Both programs take exactly one second of its work.

# %%
class Machine:
    "A machine that slows down by a half within 20 s, and is sometimes interrupted"

    def __init__(self, seed):
        self.clock, self.random = 0.0, random.Random(seed)

    def run(self, work):
        "Seconds that so much work takes"
        seconds = work * (1 + 0.5 * min(1, self.clock / 20))
        if self.random.random() < 0.1:
            seconds += 3
        self.clock += seconds
        return seconds


def one_after_the_other(machine, a, b, rounds=10):
    "How much slower b is than a"
    first = [machine.run(a) for _ in range(rounds)]
    second = [machine.run(b) for _ in range(rounds)]
    return statistics.mean(second) / statistics.mean(first)


# %% [markdown]
# *Predict:* the true ratio is 1. What will a hundred such experiments say?

# %%
lies = [one_after_the_other(Machine(seed), 1, 1) for seed in range(100)]
low, _, high = statistics.quantiles(lies, n=4)
print(f"half of the experiments say that the second is {low:.2f} to {high:.2f} times slower; the true ratio is 1")


# %% [markdown]
# Warming up always fell on the second, and interruptions on either. Both have a cure.
#
# - **Interleave.** Run both in each round, and let the rounds begin with either in turn. What changes slowly then falls on both alike, and the ratio of a round does not feel it.
# - **Take medians.** An interruption makes a round an outlier, and a median does not care how far out an outlier is.

# %%
def interleaved(machine, a, b, rounds=10):
    "The median over rounds of how much slower b is than a"
    ratios = []
    for k in range(rounds):
        if k % 2:
            second, first = machine.run(b), machine.run(a)
        else:
            first, second = machine.run(a), machine.run(b)
        ratios.append(second / first)
    return statistics.median(ratios)


# %%
#| fig-alt: "Measured ratio of two equal programs: measured one after the other it is spread from 0.6 to 2.1, interleaved it is within a few per cent of 1."
honest = [interleaved(Machine(seed), 1, 1) for seed in range(100)]
fig, ax = plt.subplots(figsize=(6, 2.6), layout="constrained")
bins = [0.5 + 0.05 * k for k in range(41)]
ax.hist([lies, honest], bins=bins, label=["one after the other, means", "interleaved, medians"], color=["C1", "C0"])
ax.axvline(1, color="black", linestyle=":")
ax.set(xlabel="measured ratio of two equal programs", ylabel="experiments")
ax.legend(frameon=False)
plt.show()

# %%
worst = [max(abs(math.log(ratio)) for ratio in ratios) for ratios in (lies, honest)]
spread = [statistics.median(abs(math.log(ratio)) for ratio in ratios) for ratios in (lies, honest)]
assert spread[1] < spread[0] / 4 and worst[1] < worst[0]
test_close(statistics.median(interleaved(Machine(seed), 1, 2) for seed in range(100)), 2, eps=0.1)

# %% [markdown]
# `benchmarks/bench.py` does this with each side in a process of its own, kept alive from round to round. It goes one step further where the system tells (Linux does): it reads how much of the
# machine all programs took, subtracts its own, and leaves out rounds in which others took more than a twentieth. Two more rules make a comparison fair:
#
# - *Equal cores.* A program that can use one core only is given two processes when two cores are compared, and the time of a call is halved.
# - *Equal memory.* The next section says why.
#
# ## A trap: new memory is slow
#
# When a program asks for a large array, the system hands it out page by page as it is first touched, and takes it back when the array is deleted. So an array that is made anew in each step is
# slow in each step, whatever is computed with it.

# %%
#| fig-alt: "Speed of copying 64 MB with one core and with two: to memory that is there it is four times as fast as to new memory."
speeds = {name: [machine[f"{name} on {cores}"] for cores in (1, 2)] for name in ("GB/s", "GB/s to new memory")}
fig, ax = plt.subplots(figsize=(5, 2), layout="constrained")
for k, (words, values) in enumerate(zip(("memory that is there", "new memory"), speeds.values(), strict=True)):
    ax.barh([0.2 - 0.4 * k, 1.2 - 0.4 * k], values, height=0.35, label=words, color=f"C{k}")
ax.set(yticks=(0, 1), xlabel="copying 64 MB (GB/s)")
ax.set_yticklabels(("one core", "two cores"))
fig.legend(frameon=False, loc="outside upper center", ncols=2)
plt.show()

# %%
assert all(new < there / 1.5 for there, new in zip(*speeds.values(), strict=True))


# %% [markdown]
# A benchmark of a formulation that makes large arrays then measures the system's pages instead of the formulation. `make bench` tells malloc to keep what it has
# (`MALLOC_MMAP_THRESHOLD_` and `MALLOC_TRIM_THRESHOLD_`), for all sides alike; a training loop of your own gains from the same two settings.
#
# ## How fast could it be?
#
# A step of navigation with $H$ hidden neurons, $P$ place cells, batch $B$ and $T$ steps must do these products, each of $2mnk$ operations:
#
# | | forward | backward through states | weight gradient |
# |---|---|---|---|
# | recurrent | $2TBH^2$ | $2TBH^2$ | $2TBH^2$ |
# | decoder | $2TBHP$ | $2TBHP$ | $2TBHP$ |
# | encoder | $2BHP$ | | $2BHP$ |
#
# Divided by the rate at which this machine multiplies large square matrices, that is a time below which no dense step can fall.

# %%
def operations(H, P=512, B=200, T=50):
    "Floating-point operations in the products of a step of navigation"
    return 6 * T * B * H * (H + P) + 4 * B * H * P


steps = {row["size"]: row for row in rows_on(2) if row["name"] == "navigation"}
for size, row in steps.items():
    least = operations(int(size[2:])) / (machine["GFLOP/s on 2"] * 1e9)
    ours, floor = row["seconds"]["ours"][0], row["seconds"]["floor"][0]
    print(f"{size}: {least:.2f} s at the rate of large products; {floor:.2f} s for these products; {ours:.2f} s for all of a step")


# %% [markdown]
# The second number is the floor of the first picture: the same products in the shapes in which they occur, into memory that is there. It is what the table holds ours against.
# A floor turns a question of taste into a number: *published ÷ ours* says how much was gained, *ours ÷ floor* how much is left to gain.

# %% [markdown]
# ## Where the time goes
#
# *Predict:* the penalty costs two orders of magnitude less than a step. If it became free, how much faster would a step be? Amdahl's law says
#
# $$\text{gain} = \frac{1}{1 - s + s / f}$$
#
# for a part that takes the share $s$ of the time and becomes $f$ times faster. So what was worth making faster depends on everything else.

# %%
def find(name, size, cores=2):
    "The row of this name and size"
    return next(row for row in rows if (row["name"], row["size"], row["cores"]) == (name, size, cores))


step, data_row = find("navigation", "H=512"), find("data", "200 paths")
for side in ("published", "ours"):
    share = data_row["seconds"][side][0] / step["seconds"][side][0]
    print(f"{side}: making the data takes {share:.0%} of a step at H=512")

# %% [markdown]
# And a whole run? Each task at its small scale, one seed, pruned on its own manifold, on one thread (`python benchmarks/parts.py`). *Predict:* which task spends most on what is not the network?

# %%
#| code-fold: true
#| fig-alt: "Shares of a run's time by task, as stacked bars: forward and backward passes take most of it everywhere, penalty and masks a few hundredths."
parts = load_results("parts")["rows"]
names = ["forward", "backward", "optimizer", "penalty", "masks", "choosing products", "data", "evaluation"]
fig, ax = plt.subplots(figsize=(7, 0.45 * len(parts) + 1.4), layout="constrained")
before = [0.0] * len(parts)
for k, name in enumerate([*names, "other"]):
    shares = [(row["seconds"].get(name, 0) if name in names else row["total"] - sum(row["seconds"].get(n, 0) for n in names)) / row["total"] for row in parts]
    ax.barh(range(len(parts)), shares, left=before, color=plt.get_cmap("tab10")(k) if name in names else "0.8", label=name)
    before = [a + b for a, b in zip(before, shares, strict=True)]
ax.set(yticks=range(len(parts)), xlim=(0, 1), xlabel="share of a run's time")
ax.set_yticklabels([f"{row['task'].replace('_', ' ')}\n{row['total']:.0f} s" for row in parts])
ax.invert_yaxis()
fig.legend(loc="outside upper center", ncols=3, frameon=False)
plt.show()

# %% [markdown]
# ## A run that grows faster
#
# While a network is pruned, its products are measured again and again, and the quicker way is taken, dense or sparse. What does that save from the first step to the last? Navigation with 1,024 neurons, dense to 90 % zeros, and its lottery ticket; epochs of all runs in turn (`python benchmarks/gradual.py`).

# %%
#| code-fold: true
#| fig-alt: "Seconds of each epoch with chosen products and with dense ones, under the cubic and the linear schedule and for the ticket: the chosen ones fall as zeros come, early under the cubic schedule."
gradual = load_results("gradual")["rows"]


def epochs_of(row, run):
    "Seconds of each epoch with as many batches as a run has; products are chosen as often"
    return [row["more"] * batches + choices for batches, choices in zip(row["seconds"][run]["batches"], row["seconds"][run]["choices"], strict=True)]


fig, axes = plt.subplots(len(gradual), 3, figsize=(8.5, 2.6 * len(gradual)), layout="constrained", sharey="row")
for row, line in zip(gradual, axes, strict=True):
    for ax, name in zip(line, ("cubic", "linear", "ticket"), strict=True):
        dense, chosen = (epochs_of(row, f"{name}, {products}") for products in ("off", "auto"))
        ax.plot(dense, color=COLORS["plain"], label="dense products")
        ax.plot(chosen, color=COLORS["ours"], label="as chosen")
        ax.set(title=f"{name}, batch {row['batch']}: {sum(dense) / sum(chosen):.2f} ×", xlabel="epoch", ylim=(0, None))
    line[0].set(ylabel="seconds of an epoch")
axes[0, 0].legend(frameon=False)
plt.show()

# %% [markdown]
# ## Memory
#
# The most that one call needs above what was there before it. Automatic differentiation keeps what the backward pass will want; a gradient that is written by hand knows what it needs.

# %%
#| code-fold: true
#| fig-alt: "Memory of one call of ours, a plain and the published version of each computation, as bars on a logarithmic scale; ours need least in nearly all."
many = [row for row in rows_on(2) if "published" in row["memory"] or "plain" in row["memory"]][::-1]
fig, ax = plt.subplots(figsize=(7, 0.4 * len(many) + 0.8), layout="constrained")
for k, side in enumerate(("ours", "plain", "published")):
    values = [row["memory"].get(side, math.nan) for row in many]
    ax.barh([y + 0.27 * (1 - k) for y in range(len(many))], values, height=0.26, color=COLORS[side], label=side)
ax.set(xlabel="memory of one call (MB)", xscale="symlog", yticks=range(len(many)), ylim=(-0.8, len(many) - 0.2))
ax.set_yticklabels([label(row) for row in many])
fig.legend(loc="outside upper center", ncols=3, frameon=False)
plt.show()


# %% [markdown]
# ## How cost grows
#
# One measurement says what one size costs. A line through several, on logarithmic axes, says how the cost grows: its slope is the exponent.
#
# *Predict:* the exponent of the recurrent layer in $N$, in steps, in batch; and of the penalty in $N$.

# %%
#| code-fold: true
#| fig-alt: "Time by size on logarithmic scales in seven panels, each with a straight line for ours and for others, and the exponent that fits."
def plot_growth(curve, ax):
    "Time by size, and the fitted exponent of each side"
    for side, points in curve["sides"].items():
        ax.loglog(points["sizes"], [1e3 * s for s in points["seconds"]], "o-", color=COLORS[side], markersize=4, label=f"{side}: {points['exponent']:.2f}")
    ax.set(xlabel=curve["axis"], ylabel="ms", title=curve["name"], xticks=points["sizes"])
    ax.set_xticklabels([f"{size:g}" for size in points["sizes"]])
    ax.minorticks_off()
    ax.legend(frameon=False, fontsize="small")


columns = 3
fig, axes = plt.subplots(math.ceil(len(growth) / columns), columns, figsize=(8.5, 2.6 * math.ceil(len(growth) / columns)), layout="constrained", squeeze=False)
for curve, ax in zip(growth, axes.flat, strict=False):
    plot_growth(curve, ax)
for ax in axes.flat[len(growth):]:
    ax.axis("off")
plt.show()


# %% [markdown]
# One core. Products grow with $N^2$ for each sample and step, penalties and masks with the number of weights; both begin with a fixed cost that hides the slope at small sizes, so an exponent over small sizes is too small.
# Replicas that are computed as one grow more slowly than their number as long as one alone leaves the processor idle.

# %% [markdown]
# ## Rivals
#
# Others multiply by few weights too: torch's and scipy's compressed rows, Intel's library, and *condensed fan-in*, which gathers the states that each row wants and multiplies them. `make bench` sets our products beside them, by batch, zeros and width, for random masks and such as training left, for one product, a recurrence of 50 steps, and its training.
#
# *Predict:* with a batch of 200 a row of states is read in one piece. With one state each weight fetches a single number. Where is there more to gain?

# %%
#| code-fold: true
#| fig-alt: "How many times as fast our sparse product is as its best rival, solid, and as the dense product, dotted, by batch; a panel for each number of neurons and a colour for each share of zeros."
def plot_rivals(cells, axes):
    "How many times as fast ours is as the best rival and as the dense product, by batch; one line for each share of zeros"
    for ax, neurons in zip(axes, sorted({cell["neurons"] for cell in cells}), strict=False):
        for k, zeros in enumerate(sorted({cell["zeros"] for cell in cells})):
            row = sorted((cell for cell in cells if (cell["neurons"], cell["zeros"]) == (neurons, zeros)), key=lambda cell: cell["batch"])
            for name, style in (("best", "o-"), ("dense", ":")):
                ax.plot([cell["batch"] for cell in row], [cell["ratios"][name][0] for cell in row], style, color=f"C{k}", markersize=4, label=f"{zeros:.0%} zeros" if name == "best" else None)
        ax.axhline(1, color="0.6", linewidth=1)
        ax.set(xscale="log", yscale="log", title=f"{neurons} neurons", xlabel="batch", xticks=[cell["batch"] for cell in row])
        ax.set_xticklabels([cell["batch"] for cell in row])
        ax.minorticks_off()
    axes[0].set(ylabel="times as fast", yticks=[1, 10, 100], yticklabels=["1", "10", "100"])
    axes[0].figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)


chosen = [cell for cell in bench.get("arena", []) if (cell["kind"], cell["mask"], cell["threads"]) == ("product", "random", 1)]
if chosen:
    fig, axes = plt.subplots(1, len({cell["neurons"] for cell in chosen}), figsize=(8.5, 2.8), layout="constrained", sharey=True)
    plot_rivals(chosen, axes)
    plt.show()
else:
    print("The stored results have none of this yet: `make bench ARGS=arena` measures it here")

# %% [markdown]
# Solid: as the best rival; dotted: as the dense product. And how far each cell is from its floors, one read of all that a product wants, and a dense product with as many multiplications:

# %%
#| echo: false
lines = ["| what | size | mask | cores | best rival | best ÷ ours | dense ÷ ours | ours ÷ bytes | ours ÷ products |", "|---|---|---|---|---|---|---|---|---|"]
for cell in bench.get("arena", []):
    ratios = [cell["ratios"]["best"][0], cell["ratios"]["dense"][0], *(cell["over"][name][0] for name in ("bytes", "products"))]
    lines.append(f"| {cell['kind']} | N={cell['neurons']}, {cell['zeros']:.0%}, batch {cell['batch']} | {cell['mask']} | {cell['threads']} | {cell['best']} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |")
display(Markdown("<details><summary>All that were measured</summary>\n\n" + "\n".join(lines) + "\n\n</details>" if bench.get("arena") else ""))


# %% [markdown]
# The floor of bytes is a stern one: it reads from one end to the other, while a product fetches each state from wherever it lies. A processor fetches two or three numbers at a tick, so a weight that wants a single state takes half a tick at least, however near that state is.

# %% [markdown]
# ## The table
#
# Medians over interleaved rounds, with quartiles in brackets; ratios are taken within a round.

# %%
#| echo: false
def number(values, scale=1.0):
    "Median and quartiles, each with three figures"
    middle, low, high = (f"{scale * v:.0f}" if scale * v >= 100 else f"{scale * v:#.3g}" for v in values)
    return f"{middle} ({low}–{high})"


lines = ["| | cores | ours (ms) | published ÷ ours | plain ÷ ours | ours ÷ floor | target |", "|---|---|---|---|---|---|---|"]
for row in rows:
    ratios = " | ".join(number(row["ratios"][side]) if side in row["ratios"] else "–" for side in ("published", "plain", "floor"))
    lines.append(f"| {label(row)} | {row['cores']} | {number(row['seconds']['ours'], 1e3)} | {ratios} | {'; '.join(row['verdicts'])} |")
display(Markdown("\n".join(lines)))


# %% [markdown]
# What each row computes, and each side, stands in `benchmarks/rows.py` and `benchmarks/baselines.py`. The published formulation was written anew from the equations, and computes as the published scripts
# do: it calls the network three times in a step (for its scores, for their softmax and for their log-softmax), makes its paths in numpy, multiplies masks in at each call, and keeps a graph for the penalty.
# Where a target is missed, what the floor itself would reach says whether more can be had.
#
# Farthest from their floor are masks: it is one read of the weights, and to find a threshold among millions of them takes many passes. But masks are made once in an epoch. Next comes the penalty
# with trained places, in every step: torch makes dozens of passes over a tile where a compiled loop makes one. Such a loop, written by hand, would hold the formula of every manifold and of every inhibitor a second time, in another language,
# and any space that you add would be without it. So `torch.compile` writes it, from the formulas as they stand (`ModuliRegularizer(…, compiled=True)`); it wants a C++ compiler and some seconds.
#
# ## Exercise 1: Amdahl's law
#
# *5 min, easy.* Write Amdahl's law, and use it: if the data of a step became free, how much faster would our step at $H=512$ be?

# %%
def gain(share, factor):
    "How many times faster the whole is, of which a share becomes so many times faster"
    raise NotImplementedError


# %%
#| fold How it is checked
share = data_row["seconds"]["ours"][0] / step["seconds"]["ours"][0]
with exercise("the part that is not hastened takes 1 - share of the time, the other share / factor", lambda: draw_bars({"data twice as fast": gain(share, 2), "data for nothing": gain(share, math.inf)}, "times as fast a step is")) as expect:
    for part, factor, times in ((0, 10, 1), (1, 10, 10), (0.5, 2, 4 / 3)):
        expect(gain, part, factor, gives=times)


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def gain(share, factor):
#     return 1 / (1 - share + share / factor)
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: a median that noise cannot move
#
# *3 min, easy.* A machine is disturbed in fewer than half of the rounds. Why does the median not care? Write it, and feed it a disaster.

# %%
def median(times):
    "The middle one of an odd number of times"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("sort them, and take the one in the middle", lambda: draw_bars({"median": median([1.0, 1.1, 9.0]), "mean": (1.0 + 1.1 + 9.0) / 3}, "of 1.0, 1.1 and a disaster")) as expect:
    expect(median, [1.0, 1.1, 900.0], gives=1.1)
    expect(median, [5.0, 1.0, 2.0, 4.0, 3.0], gives=3.0)
    expect(median, [3.0], gives=3.0)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def median(times):
#     return sorted(times)[len(times) // 2]
# ```
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - The first masks were timed by pruning the same weights to the same sparsity again and again. Then nearly all of them tie at the threshold, which no training run ever sees, and a selection that is quick on
#   real weights looked slow. What is timed must be what is used: now a whole run of masks is.
# - Threads that wait for work spin for a while before they sleep, and so take time from whoever is measured next. That is why a short call is repeated after one that is not timed.
# - The paper gives no times. Its scripts are plain and clear, and nothing in them was meant to be fast.
#
# ## Recall and think
#
# <details><summary>Recall: why are two programs timed in turns?</summary>
#
# What changes slowly on the machine then falls on both.
#
# </details>
#
# <details><summary>Recall: what is a floor?</summary>
#
# The least time that the products or the memory traffic of a computation take by themselves.
#
# </details>
#
# <details><summary>Think: a part takes 3 % of a step. Is it worth a week to make it ten times as fast?</summary>
#
# It would save less than 3 %. Perhaps, if it grows with the size that you are going to need.
#
# </details>
#
# **Further research.** Sparse products win on processors and hardly on GPUs. Find the least sparsity and the least structure (blocks, equal fan-in, locality on a manifold) at which a trained network runs faster on a GPU than its dense twin, and say what that structure costs in error.
#
# **References.** Amdahl, *Validity of the single processor approach* (1967). Williams, Waterman and Patterson, *Roofline* (2009), for floors of products and of memory. Kalibera and Jones, *Rigorous
# benchmarking in reasonable time* (2013), for rounds and intervals.
