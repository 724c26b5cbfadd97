# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Rivals
#
# > Other ways to be sparse: from birth, at random or by geometry, or rewired while it learns; and what each costs

# %% [markdown]
# *Reading 30 min, exercises 20 min. To skip at a first reading:* all of it, unless you compare methods of sparsity.
#
# After this chapter you can
#
# - train a network that is sparse from its first step, with random wiring or with the cheapest,
# - let it rewire itself, as SET and RigL do, or towards what the inhibitor finds cheap,
# - count multiplications, so that methods are compared at equal cost; and add a sparsifier of your own in some ten lines.
#
# The question: *pruning trains a dense network first, and so pays for all the weights that it throws away. Who else finds a sparse network, and for how much?*

# %%
#| default_exp sparsity.rivals

# %%
#| export
import math
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from modreg.geometry.arguments import Count, NotNegative, OneOf, Share, Whole, checked, nearest
from modreg.layers.edges import EdgeRNN
from modreg.layers.recurrent import RNN, Linear
from modreg.sparsity.pruning import SPARSIFIERS, Sparsifier, block_magnitudes, cut, cut_to_length_, smallest

# %%
#| hide
import matplotlib.pyplot as plt
from fastcore.test import test_close, test_eq, test_fail

from modreg import ModuliRegularizer, Torus
from modreg.book.exercises import draw_lines, exercise
from modreg.sparsity.penalties import display_name

plt.style.use("modreg.data.book")

# %% [markdown]
# A network of 144 neurons on a torus adds up two marked numbers out of eight, under the moduli penalty. Nine in ten of its recurrent weights are zero, by one of six methods. Each picture shows one neuron (star) and whom it listens to when training is over:

# %%
#| hide
import modreg.sparsity.rivals as finished  # the chapter's own module, so that its pictures come first

# %%
#| echo: false
POINTS = Torus().sample(144, torch.Generator().manual_seed(1))


def network(seed=0):
    "A recurrent layer and a readout, and their penalty"
    torch.manual_seed(seed)
    model = nn.ModuleDict({"rnn": RNN(2, 144, nonlinearity="relu"), "readout": nn.Linear(144, 1)})
    return model, ModuliRegularizer(model["rnn"], "torus", strength=3e-4, embedding=POINTS)


def task_loss(model, batch=32, steps=8):
    "Mean squared error of the sum of two marked numbers"
    numbers, marks = torch.rand(steps, batch), torch.zeros(steps, batch)
    marks.scatter_(0, torch.rand(steps, batch).topk(2, 0).indices, 1)
    states, _ = model["rnn"](torch.stack([numbers, marks], -1))
    return (model["readout"](states[-1])[:, 0] - (numbers * marks).sum(0)).square().mean()


# %%
#| echo: false
def learn(make, epochs=8, batches=12, **options):
    "Train, and keep the mask of the recurrent weights of every epoch"
    model, penalty = network()
    sparsifier = make(model, 0.9, epochs, parameters=["rnn.weight_hh_l0"], prices={"rnn.weight_hh_l0": penalty.coefficients.detach()},
                      generator=torch.Generator().manual_seed(0), **options)
    optimizer, masks = torch.optim.Adam(model.parameters(), 3e-3), []
    for epoch in range(epochs):
        sparsifier.step(epoch, optimizer)
        masks.append(sparsifier.masks["rnn.weight_hh_l0"].clone())
        for _ in range(batches):
            optimizer.zero_grad()
            (task_loss(model) + penalty()).backward()
            optimizer.step()
    with torch.no_grad():
        error = task_loss(model, 500).sqrt().item()
    sparsifier.remove()
    return error, masks


# %%
#| echo: false
#| fig-alt: "Connections of one neuron that are left under six methods, on the square: near it for those that know the geometry, anywhere for the others."
runs = {name: learn(make, **({} if name == "magnitude" else {"scale": "left"})) for name, make in finished.SPARSIFIERS.items()}
fig, axes = plt.subplots(2, 3, figsize=(8, 5.4), layout="constrained", sharex=True, sharey=True)
for ax, (name, (_, masks)) in zip(axes.flat, runs.items(), strict=True):
    ax.plot(*POINTS.T, ".", color="0.8")
    ax.plot(*POINTS[masks[-1][7]].T, "o", color="C0", markersize=4)
    ax.plot(*POINTS[7], "*", color="C3", markersize=12)
    ax.set(title=display_name(name), xlim=(0, 10), ylim=(0, 10), aspect="equal")
plt.show()


# %% [markdown]
# *Predict:* which of these masks were known before training began? Which networks have trained a weight that they no longer have?
#
# ## Sparse from birth
#
# The chapter [pruning](pruning.ipynb) has what all methods share: a `Sparsifier` holds masks, and asks two questions, `begin` and `update`. A network that is sparse from birth answers the first. The plainest way draws its weights by lot.
# With `shares="erk"` narrow matrices keep more of theirs, as Erdős and Rényi's graphs would, and with `fan_in=True` each neuron keeps equally many inputs.
#
# What size should the weights begin with? A row that is left with a tenth of its weights makes sums that are smaller by $\sqrt{10}$. `scale="left"` enlarges what is left of each row to the length that the row was drawn with; `"dense"` leaves them as they were drawn.

# %%
#| export
@checked
class Random(Sparsifier):
    "Masks that are drawn by lot before training, and stay"

    name = "random"

    def __init__(
        self,
        *arguments,  # of every `Sparsifier`
        fan_in: bool = False,  # each row keeps equally many of its weights
        scale: Annotated[str, OneOf(("dense", "left"))] = "dense",  # first weights as they were drawn; or "left": what is left of each row as long as the row was drawn
        **options,  # of every `Sparsifier`
    ):
        if fan_in and options.get("blocks"):
            raise ValueError("fan_in keeps a number of weights in each row, and blocks are kept as a whole; choose one")
        self.fan_in, self.scale = fan_in, scale
        super().__init__(*arguments, **options)

    def begin(self) -> None:
        "Masks, and the size of the weights"
        self.allowed = {name: mask.clone() for name, mask in self.masks.items()}
        masks = (keep_fan_in if self.fan_in else born)(self, self.first())
        if self.scale == "left":
            for name, weight in self.weights.items():
                cut_to_length_(weight, masks[name], self.replicas)
        self.held.set(masks)

    def first(self) -> dict[str, Tensor]:
        "Hook: a positive number for each weight, of which the largest stay"
        return lots(self)

    def update(self, epoch: Whole) -> dict[str, Tensor] | None:
        "Nothing changes"


# %% [markdown]
# Three functions do the work. `lots` draws a number for each weight; `born` keeps the weights with the largest numbers, exactly as many as the shares say; `keep_fan_in` does so in each row.

# %%
#| export
@checked
def lots(sparsifier: Sparsifier) -> dict[str, Tensor]:
    "A random number between 0 and 1 for each weight"
    device = "cpu" if sparsifier.generator is None else sparsifier.generator.device
    return {name: torch.rand(w.shape, generator=sparsifier.generator, device=device).to(w.device) for name, w in sparsifier.weights.items()}


@checked
def by_block(
    sparsifier: Sparsifier,
    sizes: dict[str, Tensor],  # a number for each weight, by name
) -> dict[str, Tensor]:  # the same, or the root mean square of the block
    "What counts of each weight where blocks stay or go as one"
    return {name: block_magnitudes(size, sparsifier.blocks[name]) if name in sparsifier.blocks else size for name, size in sizes.items()}


@checked
def born(sparsifier: Sparsifier, sizes: dict[str, Tensor]) -> dict[str, Tensor]:
    "Masks of the target's sparsity, with the largest of what is given"
    return cut(sparsifier, by_block(sparsifier, sizes), sparsifier.epochs)


# %%
#| export
@checked
def keep_fan_in(sparsifier: Sparsifier, sizes: dict[str, Tensor]) -> dict[str, Tensor]:
    "Masks whose rows all have the same number of weights, of the share that their matrix has; fewer where fewer are allowed"
    masks, lead = {}, 2 if sparsifier.replicas else 1
    for names, share in sparsifier.thresholds().items():
        for name in names:
            rows, old = (t.flatten(0, lead - 1).flatten(1) for t in (sizes[name], sparsifier.masks[name]))
            zeros = [max(round(share * rows.shape[1]), gone) for gone in old.logical_not().sum(1).tolist()]
            masks[name] = smallest([rows], zeros, ~old).logical_not_().view_as(sizes[name])
    return masks


# %%
layer = nn.ModuleList([nn.Linear(100, 100), nn.Linear(4, 100)])
for shares in ("layer", "erk"):
    sparsifier = Random(layer, 0.9, shares=shares, generator=torch.Generator().manual_seed(0))
    print(f"{shares}:", ", ".join(f"{mask.float().mean():.0%} left of {mask.shape[1]} inputs" for mask in sparsifier.masks.values()))
    test_eq(sum(mask.sum().item() for mask in sparsifier.masks.values()), 1040)
    sparsifier.remove()
layer = nn.Linear(100, 100)
before = layer.weight.detach().clone()
sparsifier = Random(layer, 0.9, fan_in=True, scale="left")
test_eq(sparsifier.masks["weight"].sum(1).tolist(), [10] * 100)
test_close(layer.weight.norm(dim=1), before.norm(dim=1), eps=1e-6)


# %% [markdown]
# ## The cheapest wiring
#
# If the penalty prunes a network to short connections anyway, why not draw them at once? `Geometric` keeps the weights whose price is least, before the first step. Prices are the penalty's coefficients. Those of one matrix are compared with each other alone.
# A matrix without prices, such as a readout's, has no cheap weights; its masks are drawn by lot, or it stays dense (`others="dense"`).

# %%
#| export
@checked
class Geometric(Random):
    "The weights whose price is least, chosen before training"

    name = "geometric"

    def __init__(
        self,
        *arguments,  # of every `Sparsifier`
        others: Annotated[str, OneOf(("random", "dense"))] = "random",  # weights without prices: "random", at the same share, or "dense"
        **options,  # of `Random`
    ):
        self.others = others
        super().__init__(*arguments, **options)

    def first(self) -> dict[str, Tensor]:
        "The cheapest have the largest number"
        prices = priced(self)
        if self.shares == "global":  # prices of different matrices are not compared
            self.shares = "layer"
        if self.others == "dense":
            given = {name: share for names, share in self.thresholds().items() for name in names}
            self.shares = {name: share if name in prices else 0.0 for name, share in given.items()}
        numbers = lots(self)
        for name, price in prices.items():
            rows = price.reshape(self.replicas or 1, -1)
            order = rows.argsort(dim=1, stable=True)
            ranks = torch.arange(rows.shape[1], 0, -1, dtype=torch.float64, device=rows.device).expand_as(rows)
            numbers[name] = torch.empty_like(ranks).scatter_(1, order, ranks).view_as(price)
        return numbers


# %%
#| export
@checked
def priced(sparsifier: Sparsifier) -> dict[str, Tensor]:
    "Prices of the weights that have some, in the weights' shapes; ValueError if there are none, or they don't fit"
    if not sparsifier.prices:
        raise ValueError(f"{sparsifier.name} needs prices={{name: coefficients of the penalty}}, shaped like the weights; there are {', '.join(sparsifier.weights)}")
    for name, price in sparsifier.prices.items():
        if name not in sparsifier.weights:
            raise ValueError(f"prices are given for {name!r}, but there is no such weight; there are {', '.join(sparsifier.weights)}")
        shape = sparsifier.weights[name].shape
        if price.isnan().any() or price.dim() > len(shape) or any(a not in (1, b) for a, b in zip(price.shape[::-1], shape[::-1], strict=False)):
            raise ValueError(f"prices of {name} have shape {tuple(price.shape)}, or are NaN; the weight has {tuple(shape)}")
    return {name: price.detach().to(sparsifier.weights[name].device).expand(sparsifier.weights[name].shape) for name, price in sparsifier.prices.items()}


# %% [markdown]
# On the torus the cheapest wiring is a ring around each neuron. Its width is that which the number of weights needs:

# %%
#| fig-alt: "Histograms of the distance of connections left under six methods: geometric keeps the shortest, regrow many short ones, the others follow the distances that there are."
apart = Torus().distance(POINTS)
fig, axes = plt.subplots(1, 6, figsize=(9, 2), layout="constrained", sharex=True, sharey=True)
for ax, (name, (_, masks)) in zip(axes, runs.items(), strict=True):
    ax.hist(apart[masks[-1]], bins=30, range=(0, 7.1), color="C0")
    ax.set(title=display_name(name).replace(" from", "\nfrom"), xlabel="distance")
axes[0].set_ylabel("connections left")
plt.show()
lengths = apart[runs["geometric"][1][0]]
print(f"cheapest from birth: connections from {lengths.min():.2f} to {lengths.max():.2f} long")
assert lengths.max() - lengths.min() < apart[runs["random"][1][0]].max() / 4


# %% [markdown]
# ## Rewiring
#
# A mask that stays was chosen without knowing the task. SET (Mocanu et al., 2018) corrects it while the network learns: again and again it drops a share of each matrix's smallest weights, and lets as many grow elsewhere. The count stays the same to a weight, so the network is never denser than at birth.
#
# 1. *Drop*: of the weights that are there, the smallest.
# 2. *Grow*: of the places without a weight, which include those that were just dropped, the ones with the highest score. A new weight begins at 0, and its moments too. One that was dropped and grows at once keeps its value.

# %%
#| export
@checked
def exchange(
    sparsifier: Sparsifier,
    share: Share,  # of each matrix' weights that are exchanged
    scores: dict[str, Tensor],  # a number, at least 0, for each place, by name: the highest grow
    allowed: dict[str, Tensor],  # True where a weight may be, by name
) -> dict[str, Tensor]:  # masks, by name
    "Masks without a share of the smallest weights and with as many others; each matrix of each replica keeps its number"
    masks, sizes, scores = {}, by_block(sparsifier, {n: w.detach() for n, w in sparsifier.weights.items()}), by_block(sparsifier, scores)
    for name, mask in sparsifier.masks.items():
        old, may, size, score = (t.reshape(sparsifier.replicas or 1, -1) for t in (mask, allowed[name], sizes[name], scores[name]))
        counts = old.sum(1).tolist()
        dropped = [int(share * count) for count in counts]
        kept = ~smallest([size], [old.shape[1] - count + drop for count, drop in zip(counts, dropped, strict=True)], ~old)
        score = score.nan_to_num(nan=0.0).masked_fill(kept | ~may, -1)
        for row, values, drop in zip(kept, score, dropped, strict=True):
            row[values.topk(drop).indices] = True
        masks[name] = kept.view_as(mask)
    return masks


# %% [markdown]
# What is common to all that rewire: a random mask at birth, an exchange at the beginning of each epoch but the first, and none in the epochs to heal at the end. A method says where weights grow, and which share is exchanged.

# %%
#| export
@checked
class Rewiring(Random):
    "Masks that change while their density stays: a subclass says where weights grow"

    def __init__(
        self,
        *arguments,  # of every `Sparsifier`
        share: Share = 0.3,  # of each matrix' weights that are exchanged in an epoch
        **options,  # of `Random`
    ):
        self.share = share
        super().__init__(*arguments, **options)

    @abstractmethod
    def scores(self) -> dict[str, Tensor]:
        "Hook: a number, at least 0, for each place, by name: where it is highest, weights grow"

    def share_in(self, epoch: Whole) -> float:
        "Hook: share of weights that are exchanged in an epoch"
        return self.share

    def update(self, epoch: Whole) -> dict[str, Tensor] | None:
        "Masks after the exchange; none in the first epoch, and while the network heals"
        if 0 < epoch < self.epochs - self.heal:
            return exchange(self, self.share_in(epoch), self.scores(), self.allowed)
        return None


# %%
#| export
@checked
class SET(Rewiring):
    "Sparse evolutionary training: weights grow by lot (Mocanu et al., 2018)"

    name = "set"

    def scores(self) -> dict[str, Tensor]:
        "By lot"
        return lots(self)


# %%
layer = nn.Linear(30, 40)
sparsifier = SET(layer, 0.8, epochs=5, share=0.25, generator=torch.Generator().manual_seed(0))
old, sizes = sparsifier.masks["weight"].clone(), layer.weight.detach().abs().clone()
sparsifier.step(1)
new = sparsifier.masks["weight"]
test_eq((old.sum().item(), new.sum().item()), (240, 240))
least = sizes[old].sort().values[60]  # of 240, 60 were dropped
assert (old & (sizes >= least) <= new).all()


# %% [markdown]
# ## Where would a weight help most?
#
# RigL (Evci et al., 2020) asks the gradient. That of a weight which is 0 and not there can be computed all the same, and says how much the loss would fall if it were allowed to move. So RigL grows weights where this gradient is largest, and exchanges fewer and fewer, along half a cosine.
#
# The price: now and then a step needs the gradient of *all* weights, and so a dense product. The masks keep a copy of it before they set it to zero, for who says `needs_gradient`.

# %%
#| export
@checked
class RigL(Rewiring):
    "Rigged lottery: weights grow where the gradient is largest, fewer from epoch to epoch (Evci et al., 2020)"

    name = "rigl"
    needs_gradient = True

    def scores(self) -> dict[str, Tensor]:
        "Size of the gradient of the last backward pass"
        if missing := sorted(self.weights.keys() - self.gradients.keys()):
            raise RuntimeError(f"rigl grows weights by the gradients of the last backward pass, and {', '.join(missing)} had none; call backward before step")
        return {name: gradient.abs() for name, gradient in self.gradients.items()}

    def share_in(self, epoch: Whole) -> float:
        "Half a cosine from `share` down to 0"
        return self.share / 2 * (1 + math.cos(math.pi * epoch / (self.epochs - self.heal)))


# %% [markdown]
# One step of it, looked at closely: each point is a place without a weight. *Predict:* which of them grow?

# %%
#| fig-alt: "Size of the gradient against distance of empty connections: the ones that grow are those of the largest gradient, at any distance."
model, penalty = network()
sparsifier = RigL(model, 0.9, 8, parameters=["rnn.weight_hh_l0"], generator=torch.Generator().manual_seed(0))
(task_loss(model) + penalty()).backward()
before, gradient = sparsifier.masks["rnn.weight_hh_l0"].clone(), sparsifier.gradients["rnn.weight_hh_l0"].abs()
sparsifier.step(1)
after = sparsifier.masks["rnn.weight_hh_l0"]
grown, stayed = ~before & after, ~before & ~after
fig, ax = plt.subplots(figsize=(5.5, 3), layout="constrained")
for places, color, label in ((stayed, "0.75", "still empty"), (grown, "C1", "grown")):
    ax.plot(apart[places], gradient[places], ".", color=color, markersize=3, label=label)
ax.set(xlabel="distance on the torus", ylabel="size of the gradient", yscale="log", ylim=(1e-7, None))
fig.legend(frameon=False, markerscale=3, ncols=2, loc="outside upper center")
plt.show()
assert gradient[grown].min() >= gradient[stayed].max() and grown.sum() > 0


# %% [markdown]
# Those with the largest gradients, wherever they are: the gradient of the *task* alone decides, since the penalty $f\,|w|$ has a kink at 0 and its gradient there counts as 0. So RigL knows nothing of the torus, until its weights are so large that the penalty makes them small again.
#
# ## Growing where it is cheap
#
# The opposite: grow where the inhibitor asks little, whatever the gradient says. If weights always grew at the very cheapest places, what was dropped there would come back at once, and nothing new would be tried. So places are drawn, a place at price $f$ in proportion to $e^{-f / (\text{heat} · \bar f)}$.

# %%
#| export
@checked
class Regrow(Rewiring):
    "Weights grow where they are cheap, by lot: in proportion to exp(-price ÷ (heat · mean price))"

    name = "regrow"

    def __init__(
        self,
        *arguments,  # of every `Sparsifier`
        heat: NotNegative = 0.1,  # how much dearer than free a place may be, in mean prices; 0 takes the cheapest
        **options,  # of `Rewiring`
    ):
        self.heat = heat
        super().__init__(*arguments, **options)

    def scores(self) -> dict[str, Tensor]:
        "Odds over a random waiting time, of which the highest are a draw in proportion to the odds; weights without prices grow by lot"
        numbers = lots(self)
        for name, price in priced(self).items():
            excess = (price - price.amin()).double()
            mean = excess[excess.isfinite()].mean().clamp(min=torch.finfo(excess.dtype).tiny)
            if self.heat:
                numbers[name] = (-excess / (self.heat * mean)).exp() / -numbers[name].double().clamp(min=1e-30).log()
            else:
                numbers[name] = 1 / (1 + excess / mean)
        return numbers


# %% [markdown]
# ## Side by side
#
# What is left after each epoch, and how much of the last mask is there already:

# %%
#| fig-alt: "Left: weights left over epochs, which fall step by step under magnitude pruning and are few from the start under the others. Right: share of the final mask that is there already."
fig, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
for k, (name, (_, masks)) in enumerate(runs.items()):
    axes[0].plot([100 * mask.float().mean() for mask in masks], "o-", color=f"C{k}", label=display_name(name), markersize=9 - k)
    axes[1].plot([100 * (mask & masks[-1]).sum() / masks[-1].sum() for mask in masks], "o-", color=f"C{k}", markersize=9 - k)
axes[0].set(xlabel="epoch", ylabel="weights left (%)", yscale="log")
axes[1].set(xlabel="epoch", ylabel="of the last mask (%)")
fig.legend(frameon=False, ncols=3, loc="outside upper center")
plt.show()
for name, (error, masks) in runs.items():
    print(f"{display_name(name):19} error {error:.2f}, mean price of what is left {penalty.coefficients[masks[-1]].mean():5.1f}; {100 * (masks[0] & masks[-1]).sum() / masks[-1].sum():.0f} % of the last mask stood in the first")
    test_eq(masks[-1].sum().item(), round(0.1 * 144**2))


# %% [markdown]
# One seed and some seconds of training tell little about who is best; the chapter [experiments](experiments.ipynb) compares methods on equal terms. What the pictures tell is *what each does*: whether its density changes, whether its mask does, and where its connections end.
#
# ## Names
#
# Methods have names, so that an experiment can ask for one: `-p sparsifier rigl`, or with an option `-p sparsifier "rigl(share=0.1)"`.

# %%
#| export
@checked
def register_sparsifier(
    kind: type[Sparsifier],  # a subclass with a `name`
) -> type[Sparsifier]:  # the same, so that it can stand above a class as @register_sparsifier
    "Give a sparsifier a name by which experiments find it; TypeError or ValueError if it has none, or another has it"
    if not (isinstance(kind, type) and issubclass(kind, Sparsifier)):
        raise TypeError(f"{kind!r} is no subclass of Sparsifier")
    if not isinstance(getattr(kind, "name", None), str) or not kind.name.isidentifier():
        raise ValueError(f"{kind.__name__} has no name; write `name = \"…\"` in the class, of letters, digits and _")
    old = SPARSIFIERS.get(kind.name, kind)
    if old.__qualname__ != kind.__qualname__:  # a cell that runs again makes its class anew
        raise ValueError(f"{kind.name!r} is {old.__module__}.{old.__qualname__} already; choose another name")
    SPARSIFIERS[kind.name] = kind
    return kind


for _kind in (Random, Geometric, SET, RigL, Regrow):
    register_sparsifier(_kind)


# %%
#| export
@checked
def sparsifier(
    text: str | type[Sparsifier],  # such as "rigl" or "rigl(share=0.1)"; or a class
) -> Callable[..., Sparsifier]:  # makes it, of a model and so on
    "Find a sparsifier by its name, with options if there are some; ValueError if there is none"
    if not isinstance(text, str):
        return text
    name, bracket, rest = text.strip().partition("(")
    if name not in SPARSIFIERS:
        raise ValueError(f"unknown sparsifier {name!r}; {nearest(name, list(SPARSIFIERS))}it is one of {', '.join(SPARSIFIERS)}")
    if bracket and not rest.endswith(")"):
        raise ValueError(f"sparsifier {text!r} has no closing bracket; write {name}(share=0.1)")
    options: dict[str, Any] = dict(_option(text, part) for part in rest[:-1].split(",") if part.strip())
    return partial(SPARSIFIERS[name], **options) if options else SPARSIFIERS[name]


def _option(text: str, part: str) -> tuple[str, bool | float | str]:
    "Name and value of an option"
    name, equals, value = (piece.strip() for piece in part.partition("="))
    if not equals or not name.isidentifier() or not value:
        raise ValueError(f"{part.strip()!r} in sparsifier {text!r} is no option; write name=value, such as share=0.1")
    try:
        return name, {"True": True, "False": False}[value] if value in ("True", "False") else float(value)
    except ValueError:
        return name, value.strip("'\"")


# %%
layer = nn.Linear(20, 20)
made = sparsifier("rigl(share=0.1, scale=left)")(layer, 0.5)
test_eq((type(made).name, made.share, made.scale), ("rigl", 0.1, "left"))
test_fail(lambda: sparsifier("rigle"), contains="did you mean 'rigl'")


# %% [markdown]
# ## What it costs
#
# Methods should be compared at equal cost. Time depends on a machine and on kernels, so papers count multiplications. A weight that is there is multiplied once at each *position* where its layer is applied: each step of a sequence, each example, each pixel of a convolution's output.
# Backward the same number is spent twice more: for the gradient of the inputs, and for the weights' own. Activations and biases are left out, as usual.
#
# `weight_uses` runs a model once and sees, by hooks, at how many positions each weight is used. A layer that it does not know says so itself, by a method `weight_uses(inputs, output)`; else it is refused by name, since a product that is not counted would make a network look cheap.

# %%
#| export
def _per_output(layer, inputs, output) -> dict[str, float]:
    "Each weight meets each position of the output once: linear maps and convolutions"
    lead = 2 if layer.weight.dim() == 3 and isinstance(layer, Linear) else 1
    return {"weight": output.numel() / math.prod(layer.weight.shape[:lead])}


def _per_step(layer, inputs, output) -> dict[str, float]:
    "Recurrent layers and cells: each weight meets each step of each sequence once"
    x = inputs[0].data if isinstance(inputs[0], nn.utils.rnn.PackedSequence) else inputs[0]
    steps = x.numel() / x.shape[-1] / (getattr(layer, "replicas", None) or 1)
    return {name: steps for name, _ in layer.named_parameters() if name.startswith("weight")}


def _elementwise(layer, inputs, output) -> dict[str, float]:
    return {"weight": output.numel() / layer.weight.numel()} if layer.weight is not None else {}


POSITIONS: dict[type, Callable] = {  # of a layer's kind: how often its weights are used, by name, of layer, inputs and output; the first that fits
    nn.modules.conv._ConvTransposeNd: lambda layer, inputs, output: {"weight": inputs[0].numel() / layer.in_channels},
    nn.modules.conv._ConvNd: _per_output, nn.Linear: _per_output, Linear: _per_output,
    nn.RNNBase: _per_step, nn.RNNCellBase: _per_step, RNN: _per_step, EdgeRNN: _per_step,
    nn.Embedding: lambda *_: {"weight": 0.0}, nn.LayerNorm: _elementwise,
}


# %%
#| export
def _rule(layer: nn.Module) -> Callable | None:
    if hasattr(layer, "weight_uses"):
        return lambda layer, inputs, output: layer.weight_uses(inputs, output)
    return next((rule for kind, rule in POSITIONS.items() if isinstance(layer, kind)), None)


# %%
#| export
@checked
@torch.no_grad()
def weight_uses(
    model: nn.Module,
    run: Callable[[], object],  # calls the model once on a batch
    examples: Count = 1,  # what counts are divided by: sequences in the batch, or steps of all of them
) -> dict[str, float]:  # positions where each weight is used, by name, for an example
    "Run a model once and count how often each weight matrix is used; ValueError if a layer has one and no rule"
    uses: dict[str, float] = {}
    names, hooks = {id(p): name for name, p in model.named_parameters()}, []

    def hook(layer, inputs, output):
        for name, count in _rule(layer)(layer, inputs, output).items():  # type: ignore[misc]  # only layers that have one get the hook
            name = names.get(id(getattr(layer, name)), name)
            uses[name] = uses.get(name, 0.0) + count / examples

    for path, layer in model.named_modules():
        matrices = [name for name, p in layer.named_parameters(recurse=False) if p.dim() > 1]
        if _rule(layer):
            hooks.append(layer.register_forward_hook(hook))
        elif matrices:
            raise ValueError(f"{path or 'the model'} is a {type(layer).__name__} with {', '.join(matrices)}, and nothing says how often they are used; "
                             "give it a method weight_uses(inputs, output) -> {name: positions}, or enter its class in POSITIONS")
    try:
        run()
    finally:
        for one in hooks:
            one.remove()
    return uses


# %%
#| export
@checked
def multiplications(
    model: nn.Module,
    uses: dict[str, float],  # of `weight_uses`
    masks: dict[str, Tensor] | None = None,  # True where a weight is there, by name; others are dense
    dense_gradients: Share = 0.0,  # share of steps that compute the gradient of all weights: 1 ÷ steps between updates for RigL
    replicas: Count | None = None,  # S if dimension 0 of each weight is theirs
) -> dict[str, Tensor]:  # () or (S,): "inference", "training", "dense_inference", "dense_training"
    "Multiplications by weights for an example: once forward, and twice more backward; the same of the dense network beside them"
    total: dict[str, Any] = {}
    weights = dict(model.named_parameters())
    for name, positions in uses.items():
        rows = weights[name].new_ones(weights[name].shape, dtype=torch.bool).reshape(replicas or 1, -1)
        dense = positions * rows.sum(1).double()
        sparse = positions * masks[name].reshape(len(rows), -1).sum(1).double() if masks and name in masks else dense
        costs = {"inference": sparse, "training": 3 * sparse + dense_gradients * (dense - sparse), "dense_inference": dense, "dense_training": 3 * dense}
        total = {kind: total.get(kind, 0) + cost for kind, cost in costs.items()}
    return total if replicas else {kind: cost[0] for kind, cost in total.items()}


# %% [markdown]
# By hand, for the network above: 8 steps, each with $144 · 2$ input weights and $144^2$ recurrent ones, of which a tenth is left; and 144 of the readout, once.

# %%
model, penalty = network()
uses = weight_uses(model, lambda: task_loss(model, batch=32), examples=32)
sparsifier = RigL(model, 0.9, 8, parameters=["rnn.weight_hh_l0"])
cost = multiplications(model, uses, sparsifier.masks, dense_gradients=1 / 12)
test_eq(cost["dense_inference"].item(), 8 * (144 * 2 + 144**2) + 144)
test_eq(cost["inference"].item(), 8 * (144 * 2 + 2074) + 144)
test_close(cost["training"].item(), 3 * cost["inference"].item() + 8 * (144**2 - 2074) / 12, eps=1e-6)


# %% [markdown]
# *Predict:* pruning reaches nine zeros in ten along a line, over the whole training. How much of the dense network's multiplications does it save while it trains?

# %%
#| fig-alt: "Multiplications of training as a share of the dense network's: over half for magnitude pruning, a tenth or little more for the five that are sparse from birth."
def cost_of(masks, dense_gradients=0.0):
    "Multiplications of training, as a share of the dense network's"
    costs = [multiplications(model, uses, {"rnn.weight_hh_l0": mask}, dense_gradients) for mask in masks]
    return sum(c["training"] for c in costs).item() / sum(c["dense_training"] for c in costs).item()


spent = {name: cost_of(masks, 1 / 12 if name == "rigl" else 0.0) for name, (_, masks) in runs.items()}
fig, ax = plt.subplots(figsize=(5.5, 2.6), layout="constrained")
ax.barh([*map(display_name, spent)], [100 * share for share in spent.values()], color=[f"C{k}" for k in range(6)])
ax.set(xlabel="multiplications of training (% of the dense network's)")
ax.invert_yaxis()
plt.show()
print("multiplications of training:", ", ".join(f"{display_name(name)} {share:.0%}" for name, share in spent.items()))


# %% [markdown]
# ## Exercise 1: the average of a line
#
# *5 min, easy.* A network is pruned linearly from 0 to a sparsity $z$ over training. What share of a dense network's multiplications does training cost, if all weights are pruned alike?

# %%
def cost_of_pruning(z):
    "Multiplications of training, as a share of a dense network's, if sparsity rises from 0 to z along a line"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("the density goes from 1 to 1 - z along a line; what is its mean?", lambda: draw_lines("sparsity at the end", "share of multiplications", pruned=([0, 0.5, 1], [cost_of_pruning(z) for z in (0, 0.5, 1)]), sparse_from_birth=([0, 1], [1, 0]))) as expect:
    for z, cost in ((0.0, 1), (0.9, 0.55), (1.0, 0.5)):
        expect(cost_of_pruning, z, gives=cost)


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def cost_of_pruning(z):
#     return 1 - z / 2
# ```
#
# More than half of the dense network's, however sparse the result. That is what methods that are sparse from birth save.
#
# </details>

# %% [markdown]
# ## Exercise 2: a sparsifier of your own
#
# *15 min, hard.* Write a method that grows weights between neurons that are *far* apart on the manifold: the opposite of `Regrow`. Give it the name `"far"`.

# %%
class Far(Rewiring):
    "Weights grow where they cost most; `scores` gives a tensor for each weight by name, and what scores highest grows"

    name = "far"

    def scores(self):
        raise NotImplementedError


# %%
#| fold How it is checked
def mean_prices():
    "Mean price of the weights that are left, epoch by epoch"
    SPARSIFIERS.pop("far", None)
    try:
        _, masks = learn(register_sparsifier(Far), epochs=4, batches=2)
    finally:
        SPARSIFIERS.pop("far", None)
    return [penalty.coefficients[mask].mean().item() for mask in masks]


with exercise("`priced(self)` gives prices by name, at least 0, and `lots(self)` a random number for each place, of all weights: take the lots, and prices where there are some", lambda: draw_lines("epoch", "mean price of what is left", far=mean_prices())) as expect:
    prices = mean_prices()
    expect.that(prices[-1] > prices[0] + 2, f"the mean price of what is left should rise by more than 2; it goes from {prices[0]:.1f} to {prices[-1]:.1f}")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# class Far(Rewiring):
#     "Weights grow where they are dearest"
#
#     name = "far"
#
#     def scores(self):
#         return lots(self) | priced(self)
# ```
#
# </details>

# %% [markdown]
# ## Mistakes that are caught

# %%
test_fail(lambda: Geometric(layer, 0.9), contains="geometric needs prices")
test_fail(lambda: Geometric(layer, 0.9, prices={"weight": torch.ones(3, 20)}), contains="(20, 20)")
test_fail(lambda: SET(layer, 0.9, share=30), contains="from 0 to 1")
test_fail(lambda: RigL(layer, 0.9).step(1), contains="call backward before step")
test_fail(lambda: Random(layer, 0.9, scale="large"), contains="'left'")
test_fail(lambda: register_sparsifier(nn.Linear), contains="Sparsifier or a subclass")
test_fail(lambda: weight_uses(nn.MultiheadAttention(4, 1), int), contains="weight_uses")

# %% [markdown]
# ## What broke, and what the paper did
#
# - Prices were turned into sizes by $\max f - f$ at first. Prices that differ by less than a rounding error were then equal, and ties go by index: a few dearer weights stayed in place of cheaper ones. Ranks are exact.
# - `Regrow` grew the very cheapest places at first, and dropped them again, and nothing else ever happened.
# - A place that is not allowed (an infinite price) had the same score as one that was taken; where too few places were free, a weight was lost. Now a taken place scores less than any other, and since what was just dropped may grow again, there are always enough.
#
# The paper compares moduli pruning with L1 and with shuffled coefficients, at one way of pruning. It has no rival that is sparse from birth.
#
# ## Recall and think
#
# <details><summary>Recall: what does RigL look at when it grows a weight, and what does it cost?</summary>
#
# At the gradient of weights that are not there; now and then a step needs a dense product for it.
#
# </details>
#
# <details><summary>Recall: what share of a dense network's multiplications does linear pruning to a sparsity z take?</summary>
#
# $1 - z/2$: more than half, however sparse the result.
#
# </details>
#
# <details><summary>Think: when would a network that is sparse from birth be enough?</summary>
#
# When the wiring matters less than the number of weights, or when it is known beforehand: if the penalty decides the masks anyway, one may draw them at once.
#
# </details>
#
# **References.** Mocanu et al., *Scalable training of artificial neural networks with adaptive sparse connectivity inspired by network science* (2018). Evci et al., *Rigging the lottery: making all tickets winners* (2020).
