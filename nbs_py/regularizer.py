# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Moduli regularization
#
# > Equation 6: a penalty on recurrent weights that depends on where their neurons live

# %% [markdown]
# After this chapter you can
#
# - write the penalty from its formula, and then so that it costs almost nothing,
# - add it to a training loop of your own with two lines,
# - name the controls without which no result of it means anything, and scale its strength with the width of a network.
#
# The question: *can a penalty give a weight matrix a shape?*

# %%
#| default_exp sparsity.regularizer

# %%
#| export
from collections.abc import Callable, Iterator
from functools import cache
from numbers import Real

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from modreg.geometry import inhibitors, manifolds
from modreg.geometry.inhibitors import Inhibitor
from modreg.geometry.manifolds import Manifold, patch

# %%
#| hide
import math

import matplotlib.pyplot as plt
from fastcore.test import test_close, test_eq, test_fail

from modreg.book.exercises import exercise

plt.style.use("modreg.data.book")

# %%
#| code-fold: true
generator = torch.Generator().manual_seed(0)
torus, dog = manifolds.Torus(), inhibitors.DifferenceOfGaussians()
places = torus.sample(100, generator)
places = places[places[:, 0].argsort()]  # neurons numbered from left to right, for the picture's sake
prices = dog(torus.distance(places))

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
dots = left.scatter(*torus.chart(places).T, c=prices[50], cmap="viridis")
left.scatter(*places[50], marker="*", s=150, color="C1")
left.set(xlabel="x", ylabel="y", aspect="equal", title="price of a weight to the star")
image = right.imshow(prices, cmap="viridis")
right.set(xlabel="from neuron", ylabel="to neuron", title="all coefficients")
fig.colorbar(image, ax=(left, right), label="f(d)")
plt.show()


# %% [markdown]
# A hundred neurons on a torus. On the left what one of them, the star, would pay for a connection to each of the others; on the right what all pay for all.
#
# *Predict:* if these prices act on random weights and nothing else does, which weights are left?

# %% [markdown]
# ## A price for each pair
#
# Give each of $N$ hidden neurons a place $i(u)$ on a manifold $M$. The inhibitor $f$ turns the distance of two places into the price of the
# weight between them:
#
# $$R(W) = \lambda \, \frac{1}{N^2} \sum_{u,v} f\big(d_M(i(u), i(v))\big)\, |W_{uv}|.$$
#
# This is equation 6 with $n = 1$. The paper writes a sum and its code takes the mean; so do we, and $\lambda$ below is for the mean.
#
# ## The naive form
#
# As the formula is read:

# %%
def naive_penalty(weight: Tensor, places: Tensor, space: Manifold, f: Inhibitor, strength: float) -> Tensor:
    "Eq. 6 in mean form, under automatic differentiation"
    return strength * (f(space.distance(places)) * weight.abs()).mean()


# %% [markdown]
# It computes all distances at every step, although the places are fixed; and automatic differentiation writes several $N \times N$ matrices and reads
# them again. Both can go, since the gradient is known in closed form:
#
# $$\frac{\partial R}{\partial W_{uv}} = \frac{\lambda}{N^2} f_{uv}\, \mathrm{sign}(W_{uv}).$$
#
# *Predict:* how many matrices of this size must be read and written to add it to a gradient that is there?
#
# Weight, coefficients and gradient are read and the gradient is written, if the signs never leave the processor's cache. So go through the rows a few at a time:

# %%
def closed_form(weight: Tensor, coefficients: Tensor, strength: float, rows=50) -> Tensor:
    "The gradient of eq. 6 in mean form"
    gradient = torch.zeros_like(weight)
    for to, w, f in zip(*(t.split(rows) for t in (gradient, weight, coefficients)), strict=True):
        to.addcmul_(w.sign(), f, value=strength / weight.numel())
    return gradient


weight = torch.randn(100, 100, generator=generator).requires_grad_()
(slope,) = torch.autograd.grad(naive_penalty(weight, places, torus, dog, 0.1), weight)
torch.testing.assert_close(closed_form(weight.detach(), prices, 0.1), slope)

# %% [markdown]
# ## Places that are learned
#
# Section 2.3 of the paper lets the places move too, down the gradient of the same penalty. Then distances change at each step, and the gradient must reach them:
#
# $$\frac{\partial R}{\partial i(u)} = \frac{\lambda}{N^2} \sum_v \big(|W_{uv}| + |W_{vu}|\big)\, f'(d_{uv})\, \frac{\partial d_{uv}}{\partial i(u)}.$$
#
# A graph of $N^2$ distances is never built. A tile of them is computed, used and forgotten; and since $d_{uv} = d_{vu}$, the tiles on and above the diagonal will do.

# %%
#| export
TILE = 512  # side of a tile of a trained embedding's distances


def _add_trained(gates: Tensor, places: Tensor, space: Manifold, f: Inhibitor, slope: Tensor, pull: Tensor, scale: float) -> None:
    "Add `scale` times the gradients of the sum of f(d) |weight| over gates (G, N, N) to `slope`, like the gates, and `pull`, like the places"
    for start in range(0, len(places), TILE):
        for other in range(start, len(places), TILE):
            here, there = slice(start, start + TILE), slice(other, other + TILE)
            d, back = space.distance_vjp(places[here], places[there])
            coefficients, steepness = f.value_and_grad(d)
            size = _add_tile(gates[:, here, there], coefficients, slope[:, here, there], scale)
            if start < other:
                size += _add_tile(gates[:, there, here], coefficients.mT.contiguous(), slope[:, there, here], scale).mT.contiguous()
            to_here, to_there = back(size.mul_(steepness))
            pull[here].add_(to_here, alpha=scale)
            pull[there].add_(to_there, alpha=scale)


def _add_tile(gates: Tensor, coefficients: Tensor, slope: Tensor, scale: float) -> Tensor:
    "Add the gradient of a tile of weights (G, n, m) to `slope`, and return the sum of their sizes (n, m)"
    size = None
    for w, to in zip(gates, slope, strict=True):
        sign = w.sign()
        to.addcmul_(sign, coefficients, value=scale)
        size = sign.mul_(w) if size is None else size.addcmul_(sign, w)
    return size


# %% [markdown]
# Torch makes some forty passes over a tile, one for each operation. A compiled loop makes one: `torch.compile` reads the formula of any manifold and any inhibitor, and writes that loop in C++. For a compiler less is more, so it is told the plain sum over all pairs, some rows at a time, and
# nothing of symmetry. It needs a C++ compiler on the machine, and some seconds of its time for each size of network.

# %%
#| export
ROWS = 128  # of a trained embedding's distances that a compiled loop does at once


def _add_rows(gates: tuple, here: Tensor, places: Tensor, space: Manifold, f: Inhibitor, slopes: tuple, scale: Tensor) -> tuple[Tensor, Tensor]:
    "Add the gradient of some rows of each gate's weights (n, N) to its slope, and return that of the rows' places and of all places"
    d, back = space.distance_vjp(here, places)
    coefficients, steepness = f.value_and_grad(d)
    for w, slope in zip(gates, slopes, strict=True):
        slope.add_(w.sign() * (coefficients * scale))
    return back(sum(w.abs() for w in gates) * steepness * scale)


@cache
def _compiled() -> Callable:
    "`_add_rows` in one loop"
    return torch.compile(_add_rows, dynamic=False)


def _add_trained_compiled(gates: Tensor, places: Tensor, space: Manifold, f: Inhibitor, slope: Tensor, pull: Tensor, scale: float) -> None:
    "The same as `_add_trained`"
    columns, factor = places.mT.contiguous().mT, places.new_tensor(scale)  # each coordinate in one piece
    with torch._dynamo.config.patch(trace_autograd_ops=True):  # for formulas whose slope is torch's to find
        for start in range(0, len(places), ROWS):
            here = slice(start, start + ROWS)
            to_here, to_all = _compiled()(gates[:, here].unbind(), columns[here], columns, space, f, slope[:, here].unbind(), factor)
            pull[here].add_(to_here)
            pull.add_(to_all)


# %% [markdown]
# ## The regularizer
#
# It is made once, from a layer, and called in each step. `control` turns it into one of the three baselines that show what the geometry is worth:
#
# | control | coefficients | what it asks |
# |---|---|---|
# | `moduli` | $f(d)$ | |
# | `none` | 0 | does any penalty help? |
# | `l1` | their mean, everywhere | does it matter that they differ? |
# | `shuffled` | the same values in random places | does the geometry matter, or only the spread of values? |

# %%
#| export
CONTROLS = ("moduli", "none", "l1", "shuffled")  # the method itself, and what it is compared with


def permuted(
    rows: Tensor,  # (S, n)
    generator: torch.Generator | None = None,
) -> Tensor:  # (S, n)
    "The same values in random places, each row on its own"
    device = "cpu" if generator is None else generator.device
    orders = [torch.randperm(rows.shape[1], generator=generator, device=device) for _ in rows]
    return torch.stack([row[order.to(row.device)] for row, order in zip(rows, orders, strict=True)])


def _target(layer: nn.Module, weight: str | None) -> str:
    "Name of the weight that feels the penalty"
    if not isinstance(layer, nn.Module):
        raise TypeError(f"layer is a {type(layer).__name__}; give the module that owns the recurrent weight, such as an nn.RNN")
    if weight is None:
        weight = "weight_hh_l0"
        if getattr(layer, "num_layers", 1) > 1 or getattr(layer, "bidirectional", False):
            names = ", ".join(repr(name) for name, _ in layer.named_parameters() if name.startswith("weight_hh"))
            raise ValueError(f"the layer has several recurrent weights: make one regularizer for each, with weight= one of {names}")
    if not isinstance(getattr(layer, weight, None), Tensor):
        names = ", ".join(name for name, p in layer.named_parameters() if p.dim() >= 2) or "none"
        raise ValueError(f"{type(layer).__name__} has no weight {weight!r}; its weight matrices are: {names}. Name one with weight='…'")
    _check_recurrent(layer, weight, getattr(layer, weight).shape)
    return weight


# %%
#| export
def _check_recurrent(layer: nn.Module, weight: str, shape: torch.Size) -> None:
    "ValueError unless rows and columns of each gate are the same neurons"
    if len(shape) not in (2, 3) or shape[-2] % shape[-1]:
        raise ValueError(f"{weight} has shape {tuple(shape)}; a recurrent weight is (N, N) or (gates·N, N), and may have replicas before that")
    if isinstance(layer, nn.Linear) and shape[0] != shape[1]:
        raise ValueError(f"{weight} has shape {tuple(shape)}: a linear layer has no gates, and only a square one leads from neurons to the same neurons")
    if isinstance(layer, nn.modules.conv._ConvNd):
        raise ValueError(f"{weight} of a {type(layer).__name__} is not a recurrent weight (N, N)")
    if getattr(layer, "proj_size", 0) and weight.startswith("weight_hh"):
        raise ValueError(f"{weight} leads from {layer.proj_size} projected states to {layer.hidden_size} neurons, not from neurons to neurons; use proj_size=0")


# %% [markdown]
# The constructor checks first, then places the neurons. The layer itself is kept out of the module tree, so that no parameter is listed twice.

# %%
#| export
class ModuliRegularizer(nn.Module):
    "Moduli regularization of one recurrent weight (eq. 6 in mean form, n = 1)"

    def __init__(
        self,
        layer: nn.Module,  # has a recurrent weight: `modreg.RNN`, `nn.RNN`, `nn.GRU`, `nn.LSTM`, …
        manifold: str | Manifold = "torus",  # where the neurons live
        inhibitor: str | Inhibitor = "difference_of_gaussians",  # price of a weight, by distance
        strength: float = 0.1,  # λ of the mean form
        *,
        control: str = "moduli",  # "moduli", or a control: "none", "l1", "shuffled"
        train_embedding: bool = False,  # make the places a parameter (section 2.3)
        compiled: bool = False,  # let `torch.compile` write the loop over trained places; wants a C++ compiler
        weight: str | None = None,  # the weight's name in the layer; None: "weight_hh_l0"
        embedding: Tensor | None = None,  # places (N, c) or (S, N, c); None: drawn uniformly
        generator: torch.Generator | None = None,  # for places and shuffling
    ):
        super().__init__()
        self.__dict__["layer"] = layer  # not a submodule
        self.manifold, self.inhibitor = manifolds.manifold(manifold), inhibitors.inhibitor(inhibitor)
        self.weight_name, self.strength, self.control = _target(layer, weight), strength, control
        self.compiled = compiled
        self._check(train_embedding)
        embedding = self._draw(generator) if embedding is None else self._checked(embedding)
        if train_embedding:
            self.embedding = nn.Parameter(embedding.clone())
        else:
            self.register_buffer("embedding", embedding.clone())
            self.register_buffer("coefficients", self._coefficients(generator))

    @property
    def weight(self) -> Tensor:  # (N, N) or (gates·N, N); with replicas (S, N, N) or (S, gates·N, N)
        "The layer's recurrent weight, as it is now"
        return getattr(self.layer, self.weight_name)

    @property
    def coefficients(self) -> Tensor:  # (N, N) or (S, N, N)
        "Price of each weight; of trained places, as they are now"
        if isinstance(self.embedding, nn.Parameter):
            return self._coefficients(None)
        return super().__getattr__("coefficients")  # the buffer


# %% [markdown]
# What it refuses, and what it makes of an embedding:

# %%
#| export
@patch
def _check(self: ModuliRegularizer, train_embedding: bool) -> None:
    if self.control not in CONTROLS:
        raise ValueError(f"control={self.control!r}; it is one of {', '.join(map(repr, CONTROLS))}")
    if not isinstance(self.strength, Real) or not 0 <= self.strength < float("inf"):
        raise ValueError(f"strength={self.strength!r}; it must be a finite number, at least 0")
    if self.compiled and not train_embedding:
        raise ValueError("compiled=True, but only trained places have a loop to compile: leave it out, or give train_embedding=True")
    if self.compiled and not hasattr(torch._dynamo.config, "trace_autograd_ops"):
        raise ValueError(f"compiled=True, but torch {torch.__version__} cannot compile slopes that it finds itself: leave it out, or take a newer torch")
    if train_embedding:
        if self.control != "moduli":
            raise ValueError(f"train_embedding with control={self.control!r}: only 'moduli' has places to train")
        ok, reason = self.inhibitor.trainable
        if not ok:
            raise ValueError(f"train_embedding: {reason}; try 'difference_of_gaussians' or a fixed embedding")


@patch
def _shape(self: ModuliRegularizer) -> tuple:
    return (*self.weight.shape[:-2], self.weight.shape[-1], self.manifold.coordinates)


@patch
def _draw(self: ModuliRegularizer, generator: torch.Generator | None) -> Tensor:
    *lead, n, _ = self._shape()
    return self.manifold.sample((*lead, n), generator, dtype=self.weight.dtype, device=self.weight.device)


# %%
#| export
@patch
def _checked(self: ModuliRegularizer, embedding: Tensor) -> Tensor:
    if not isinstance(embedding, Tensor):
        raise TypeError(f"embedding is a {type(embedding).__name__}; give a tensor of shape {self._shape()}")
    if embedding.shape != self._shape():
        raise ValueError(f"embedding has shape {tuple(embedding.shape)}; {self.weight_name} needs {self._shape()}")
    ok, reason = self.manifold.check(embedding)
    if not ok:
        raise ValueError(f"embedding: {reason}")
    places = embedding.detach().to(self.weight)
    return places if places.dtype == embedding.dtype else self.manifold.project(places)  # rounding may lead off the manifold


# %% [markdown]
# Fixed places need their coefficients once. This is all that the controls are:

# %%
#| export
@patch
@torch.no_grad()
def _coefficients(self: ModuliRegularizer, generator: torch.Generator | None) -> Tensor:
    if self.control == "none":
        return torch.zeros_like(self.weight[..., : self.weight.shape[-1], :])
    f = self.inhibitor(self.manifold.distance(self.embedding))
    if self.control == "l1":
        return f.mean((-2, -1), keepdim=True).expand_as(f).contiguous()
    return permuted(f.reshape(-1, f.shape[-1] ** 2), generator).view_as(f) if self.control == "shuffled" else f


# %% [markdown]
# What follows goes through the weight a few rows at a time, of all gates and replicas at once:

# %%
#| export
@patch
def _panels(
    self: ModuliRegularizer,
    places: Tensor,  # (N, c) or (S, N, c)
    *tensors: Tensor,  # the weight (gates·N, N) or (S, gates·N, N), and others like it
) -> Iterator[tuple[Tensor, ...]]:  # coefficients of some rows (1, n, N) or (S, 1, n, N), and the same rows of each tensor (gates, n, N) or (S, gates, n, N)
    weight, neurons, trained = tensors[0], tensors[0].shape[-1], isinstance(self.embedding, nn.Parameter)
    room = 2**18 if weight.is_cpu else weight.numel()  # so much fits a processor's cache
    few = max(1, room * neurons // weight.numel())
    gates = [t.unflatten(-2, (-1, neurons)) for t in tensors]
    for start in range(0, neurons, few):
        rows = slice(start, start + few)
        f = self.inhibitor(self.manifold.distance(places[..., rows, :], places)) if trained else self.coefficients[..., rows, :]
        yield f.unsqueeze(-3), *(t[..., rows, :] for t in gates)


# %%
#| export
@patch
def _scale(self: ModuliRegularizer) -> float:
    "λ over the number of weights of a replica"
    return self.strength / (self.weight.shape[-2] * self.weight.shape[-1])


@patch
def _add(self: ModuliRegularizer, weight: Tensor, places: Tensor, slope: Tensor, pull: Tensor | None) -> None:
    "Add the penalty's gradients to `slope` and, where places are trained, to `pull`"
    if pull is None:
        for f, w, to in self._panels(places, weight, slope):
            to.addcmul_(w.sign(), f, value=self._scale())
        return
    many = [weight, places, slope, pull] if weight.dim() > 2 else [t[None] for t in (weight, places, slope, pull)]
    for w, x, to, move in zip(*many, strict=True):
        gates = [t.unflatten(0, (-1, len(x))) for t in (w, to)]
        (_add_trained_compiled if self.compiled else _add_trained)(gates[0], x, self.manifold, self.inhibitor, gates[1], move, self._scale())


# %% [markdown]
# Nothing but the weight itself is kept from the forward to the backward pass.

# %%
#| export
class _Penalty(torch.autograd.Function):
    "The penalty of each replica, with its gradients in closed form"

    @staticmethod
    def forward(ctx, weight, places, regularizer):
        ctx.save_for_backward(weight, places)
        ctx.regularizer = regularizer
        return regularizer._scale() * sum((w.abs() * f).sum((-3, -2, -1)) for f, w in regularizer._panels(places, weight))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        weight, places = ctx.saved_tensors
        slope, pull = torch.zeros_like(weight), torch.zeros_like(places) if ctx.needs_input_grad[1] else None
        ctx.regularizer._add(weight, places, slope, pull)
        return slope.mul_(grad[..., None, None]), None if pull is None else pull.mul_(grad[..., None, None]), None


@patch
def penalty(self: ModuliRegularizer) -> Tensor:  # () or (S,)
    "The penalty of each replica"
    return _Penalty.apply(self.weight, self.embedding, self)


@patch
def forward(self: ModuliRegularizer) -> Tensor:  # ()
    "The penalty, to be added to a loss; the sum over replicas, if there are any"
    return self.penalty().sum()


# %% [markdown]
# ## Without a graph
#
# `loss + reg()` is two lines, and fits any loop. Two other ways leave automatic differentiation out. `add_gradient_` adds the same gradient in one pass, after `backward`.
# `proximal_step_` solves the penalty exactly, after the optimizer's step on the loss alone: of all matrices near the weight it takes the one that minimizes
#
# $$\tfrac12 \|V - W\|^2 + \eta R(V), \qquad V_{uv} = \mathrm{sign}(W_{uv}) \max\!\big(|W_{uv}| - \tfrac{\eta\lambda}{N^2} f_{uv},\, 0\big).$$
#
# A gradient only makes weights small; this soft threshold makes them exactly zero.

# %%
#| export
def _gradient(parameter: Tensor) -> Tensor:
    "Where a gradient is to be added: the parameter's own, zeros if it has none yet, and a copy to throw away if it is frozen"
    if not isinstance(parameter, nn.Parameter):
        raise ValueError("the weight is computed from other parameters, so nothing can be added to its gradient; add reg() to the loss instead")
    if not parameter.requires_grad:
        return torch.zeros_like(parameter)
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


@patch
@torch.no_grad()
def add_gradient_(self: ModuliRegularizer) -> None:
    "Add the penalty's gradient to that of the weight and of trained places; called after `backward`, instead of adding the penalty to the loss"
    trained = isinstance(self.embedding, nn.Parameter)
    self._add(self.weight, self.embedding, _gradient(self.weight), _gradient(self.embedding) if trained else None)


@patch
@torch.no_grad()
def proximal_step_(
    self: ModuliRegularizer,
    lr: float,  # learning rate η of the step on the loss that came before
) -> None:
    "Shrink each weight by its price, to exactly zero if it is no larger; trained places stay where they are"
    for f, w in self._panels(self.embedding, self.weight):
        bound = f * (lr * self._scale())
        w.sub_(w.clamp(-bound, bound))


# %% [markdown]
# Trained places are brought back to the manifold after a step, and may be frozen, as for lottery tickets:

# %%
#| export
@patch
@torch.no_grad()
def project_(self: ModuliRegularizer) -> None:
    "Bring trained places back to the manifold; called after an optimizer's step"
    if isinstance(self.embedding, nn.Parameter):
        self.embedding.copy_(self.manifold.project(self.embedding))


@patch
def freeze(self: ModuliRegularizer) -> None:
    "Hold trained places where they are, as the paper does for lottery tickets"
    if isinstance(self.embedding, nn.Parameter):
        places = self.embedding.detach()
        del self.embedding
        self.register_buffer("embedding", places)
        self.register_buffer("coefficients", self._coefficients(None))


@patch
def extra_repr(self: ModuliRegularizer) -> str:
    return f"{self.weight_name}, {self.manifold}, {self.inhibitor}, strength={self.strength:g}, control={self.control!r}"


# %% [markdown]
# ## Do all forms agree?
#
# In value and in all gradients, in float64, with fixed and with trained places, on a flat space and on a curved one:

# %%
class Bare(nn.Module):
    "A layer that is nothing but a recurrent weight"

    def __init__(self, *shape):
        super().__init__()
        self.weight_hh_l0 = nn.Parameter(torch.randn(*shape, generator=generator, dtype=torch.float64))


for space in (torus, manifolds.Sphere(), manifolds.KleinBottle()):
    layer = Bare(12, 12)
    fixed = ModuliRegularizer(layer, space, strength=0.3, generator=generator)
    trained = ModuliRegularizer(layer, space, strength=0.3, embedding=fixed.embedding, train_embedding=True)
    places = fixed.embedding.clone().requires_grad_()
    oracle = naive_penalty(layer.weight_hh_l0, places, space, dog, 0.3)
    slope, pull = torch.autograd.grad(oracle, (layer.weight_hh_l0, places))
    for reg in (fixed, trained):
        torch.testing.assert_close(reg(), oracle, atol=1e-12, rtol=1e-12)
        for add in (lambda r=reg: r().backward(), reg.add_gradient_):
            layer.zero_grad(), reg.zero_grad()
            add()
            torch.testing.assert_close(layer.weight_hh_l0.grad, slope, atol=1e-12, rtol=1e-12)
            if reg is trained:
                torch.testing.assert_close(reg.embedding.grad, pull, atol=1e-12, rtol=1e-9)

# %% [markdown]
# And the proximal step against brute force, a grid of values for each weight:

# %%
before = layer.weight_hh_l0.detach().clone()
fixed.proximal_step_(lr=4.0)
after = layer.weight_hh_l0.detach()
grid = torch.linspace(-6, 6, 12001, dtype=torch.float64)
cost = (grid - before[..., None]) ** 2 / 2 + 4.0 * 0.3 / 144 * fixed.coefficients[..., None] * grid.abs()
assert ((grid[cost.argmin(-1)] - after).abs() <= 1e-3).all()
print(f"{(after == 0).double().mean():.0%} of the weights are exactly zero")


# %% [markdown]
# ## Two lines in your own loop
#
# A plain `torch.nn.RNN`, and a task that does not matter: repeat the input of the step before. The two lines are the first and the one with `reg()`.

# %%
def train(steps=400, **options):
    torch.manual_seed(0)
    rnn, out = nn.RNN(4, 100, nonlinearity="relu"), nn.Linear(100, 4)
    reg = ModuliRegularizer(rnn, "torus", strength=0.05, generator=torch.Generator().manual_seed(1), **options)
    optimizer = torch.optim.Adam([*rnn.parameters(), *out.parameters()], lr=2e-3)
    if options.get("train_embedding"):
        optimizer.add_param_group({"params": reg.parameters(), "lr": 0.02})
    for _ in range(steps):
        x = torch.rand(10, 16, 4)
        loss = (out(rnn(x)[0])[1:] - x[:-1]).square().mean() + reg()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        reg.project_()
    return rnn.weight_hh_l0.detach(), reg.embedding.detach()


trained = {control: train(control=control) for control in CONTROLS}

# %%
fig, ax = plt.subplots(figsize=(5.5, 3.2), layout="constrained")
edges = torch.linspace(0, 7, 15)
for control, (weight, places) in trained.items():
    distance = torus.distance(places)
    inside = [(distance >= a) & (distance < b) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    ax.plot((edges[:-1] + edges[1:]) / 2, [weight.abs()[i].mean() for i in inside], "o-", markersize=3, label=control)
ax.axvline(dog.free_distance, color="0.5", linestyle=":", label="free distance")
ax.set(xlabel="geodesic distance", ylabel="mean |weight|")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# Check your prediction: under `moduli` large weights gather where the inhibitor is least, and the diagonal (distance 0) is emptied too. Under every control the curve
# is level.

# %%
weight, places = trained["moduli"]
distance = torus.distance(places)
free = (distance > 0.5) & (distance < 1.5)
assert weight.abs()[free].mean() > 3 * weight.abs()[distance > 3].mean()
weight, _ = trained["shuffled"]  # the places are the same
assert 0.6 < weight.abs()[free].mean() / weight.abs()[distance > 3].mean() < 1.6

# %% [markdown]
# The same with places that are learned, which need a learning rate of their own since they are measured in other units than weights. `project_()` after each step brings
# them back to the torus.
#
# *Predict:* where do the neurons go?

# %%
weight, after = train(train_embedding=True)
before = trained["moduli"][1]
fig, axes = plt.subplots(1, 2, figsize=(7, 3.5), layout="constrained", sharey=True)
for ax, places, title in zip(axes, (before, after), ("as drawn", "after training"), strict=True):
    pairs = weight.abs().fill_diagonal_(0).flatten().topk(200).indices
    for u, v in zip(places[pairs // 100], places[pairs % 100], strict=True):
        near = u + (v - u + 5) % 10 - 5  # the short way round
        ax.plot(*torch.stack([u, near]).T, color="0.5", linewidth=0.5, alpha=0.6)
    ax.scatter(*places.T, s=12, zorder=3)
    ax.set(xlabel="x", title=title, aspect="equal", xlim=(0, 10), ylim=(0, 10))
axes[0].set(ylabel="y")
plt.show()

# %% [markdown]
# Lines are the 200 strongest connections after training, the same in both. Neurons move to a place where those that talk are about the free distance apart. They do not fall into one point, since distance 0 is as dear as
# a long one; but they do gather, and most of the torus is left empty. So the shape that learned places show
# need not be the manifold's.

# %%
ok, reason = torus.check(after)
assert ok and torus.distance(after).mean() < torus.distance(before).mean() / 2
length = [(weight.abs() * torus.distance(places)).sum() / weight.abs().sum() for places in (before, after)]
print(f"mean distance, weighted by |weight|: {length[0]:.2f} as drawn, {length[1]:.2f} after; free: {dog.free_distance:.2f}")
assert length[1] > dog.free_distance / 2

# %% [markdown]
# ## The controls keep what they should keep

# %%
layer = nn.RNN(3, 40)
regs = {c: ModuliRegularizer(layer, control=c, generator=torch.Generator().manual_seed(2)) for c in CONTROLS}
moduli = regs["moduli"].coefficients
test_close(regs["l1"].coefficients, moduli.mean().expand(40, 40), eps=1e-4)
test_eq(regs["shuffled"].coefficients.flatten().sort().values, moduli.flatten().sort().values)
assert not torch.equal(regs["shuffled"].coefficients, moduli)
test_eq(regs["none"]().item(), 0)
for reg in regs.values():
    test_eq(reg.embedding, regs["moduli"].embedding)


# %% [markdown]
# ## How strong?
#
# The mean divides by $N^2$, so one weight is pulled towards zero with the force $\lambda f / N^2$. A network half as wide pulls each weight four times as hard at the same
# $\lambda$. To compare widths, keep the pull: $\lambda_n = \lambda\,(n / N)^2$.

# %%
#| export
def equal_pull(
    strength: float,  # λ of the mean form at width `reference`
    n: int,  # width to scale to
    reference: int = 4096,  # the paper's navigation network
) -> float:  # λ of the mean form at width n
    "Strength at which each weight of a network of `n` neurons feels the pull that it would feel among `reference`"
    if n < 1 or reference < 1:
        raise ValueError(f"n={n}, reference={reference}; both are numbers of neurons, at least 1")
    return strength * (n / reference) ** 2


# %%
{n: f"λ = {equal_pull(0.1, n):.2g}" for n in (4096, 1024, 256, 128)}

# %%
f = 60.0  # a typical coefficient
pulls = [equal_pull(0.1, n) * f / n**2 for n in (4096, 256)]
test_close(pulls[0], pulls[1], eps=1e-15)

# %% [markdown]
# ## Any recurrent layer, any number of layers
#
# Gates of a GRU or LSTM are stacked in one weight; each gate gets the same coefficients. A stack of layers gets a regularizer for each, with places of its own, and so do
# the two directions of a bidirectional one. What leads from some neurons to others is refused: a linear layer that is not square, a convolution, an LSTM with a projection.

# %%
for layer, gates in ((nn.RNN(3, 8), 1), (nn.GRU(3, 8), 3), (nn.LSTM(3, 8), 4)):
    reg = ModuliRegularizer(layer, "klein", generator=generator)
    whole = reg.coefficients.repeat(gates, 1)
    test_close(reg().item(), 0.1 * (whole * layer.weight_hh_l0.abs()).mean().item(), eps=1e-6)
stack = nn.RNN(3, 8, num_layers=2)
regs = [ModuliRegularizer(stack, weight=f"weight_hh_l{k}") for k in range(2)]
test_fail(lambda: ModuliRegularizer(stack), contains="one regularizer for each")
test_fail(lambda: ModuliRegularizer(nn.RNN(3, 8, bidirectional=True)), contains="'weight_hh_l0_reverse'")
test_fail(lambda: ModuliRegularizer(nn.LSTM(3, 8, proj_size=4)), contains="not from neurons to neurons")
test_eq(set(regs[0].state_dict()), {"embedding", "coefficients"})

# %% [markdown]
# ## Mistakes that are caught
#
# Under an inhibitor that only grows, the cheapest embedding puts all neurons in one point. That is refused, and the message says why:

# %%
try:
    ModuliRegularizer(nn.RNN(3, 8), inhibitor="diffusion", train_embedding=True)
except ValueError as error:
    print(error)

# %%
layer = nn.RNN(3, 8)
test_fail(lambda: ModuliRegularizer(layer, inhibitor="diffusion", train_embedding=True), contains="collapses")
test_fail(lambda: ModuliRegularizer(layer, control="l1", train_embedding=True), contains="only 'moduli'")
test_fail(lambda: ModuliRegularizer(layer, control="l2"), contains="'shuffled'")
test_fail(lambda: ModuliRegularizer(nn.Linear(3, 8)), contains="its weight matrices are: weight")
test_fail(lambda: ModuliRegularizer(layer, embedding=torch.zeros(5, 2)), contains="(8, 2)")
test_fail(lambda: ModuliRegularizer(layer, strength=-1), contains="at least 0")


# %% [markdown]
# ## Exercise 1
#
# Change the inhibitor. Any function of distance that is never negative will do. Write one that leaves all weights up to a distance of 2 free and charges 1 beyond.

# %%
class Fence(Inhibitor):
    def evaluate(self, d):
        raise NotImplementedError("0 up to a distance of 2, 1 beyond")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# class Fence(Inhibitor):
#     def evaluate(self, d):
#         return (d > 2).to(d.dtype)
# ```
#
# </details>

# %%
with exercise("a comparison gives True and False; turn them into numbers of d's own type"):
    reg = ModuliRegularizer(layer, "torus", Fence(), generator=generator)
    test_eq(reg.coefficients == 1, torus.distance(reg.embedding) > 2)


# %% [markdown]
# ## Exercise 2: the pull on one weight
#
# Before you choose λ, know what it does to a weight at a given price. Write the gradient of the penalty with respect to one weight $w \neq 0$.

# %%
def pull(weight, price, strength, n):
    raise NotImplementedError("derivative of strength · mean(price · |weight|) over n² weights")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def pull(weight, price, strength, n):
#     return strength * price * math.copysign(1, weight) / n**2
# ```
#
# It does not depend on how large the weight is: small weights reach zero, large ones hardly notice. That is why L1 makes sparse networks.
#
# </details>

# %%
with exercise("the slope of |w| is its sign, and a mean over n² weights divides by n²"):
    few = nn.RNN(2, 5)
    reg = ModuliRegularizer(few, strength=0.3, generator=generator)
    reg().backward()
    expected = pull(few.weight_hh_l0[1, 2].item(), reg.coefficients[1, 2].item(), 0.3, 5)
    test_close(few.weight_hh_l0.grad[1, 2].item(), expected, eps=1e-6)

# %% [markdown]
# ## What broke, and what the paper did
#
# The published run list gives its L1 baseline coefficients that are all zero, and its "no regularization" baseline a Klein bottle with $f = d^2$.
# "Square" inhibition is inverted in one script and not in the other, so it penalizes near pairs in one and far pairs in the other. And a trained embedding of shape $(N, n)$ is read there
# as $n$ points of $N$ coordinates. Here the controls are the four rows of a table, and shapes are checked.
#
# **References.** Equations 4–6, section 2.3 and appendix I of the paper. Li et al., *IndRNN* (2018), for the diagonal as a special case.
