# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The penalty's arithmetic
#
# > One pass over a weight where prices are fixed, tiles of distances where they are not

# %% [markdown]
# *Reading 30 min, exercises 13 min. To skip at a first reading:* all of it, until you need it.
#
# After this chapter you can
#
# - say how often a penalty must read and write memory, and why automatic differentiation does it more often,
# - train an embedding without ever holding all its distances,
# - say what is read in half precision, and why its sum is taken in float32.
#
# The question: *what does it cost to add a penalty to a gradient?*
#
# ```
# automatic differentiation            here
#   W -> |W| -> f|W| -> sum              W, f --> gradient += f sign W
#        N²     N²                       one pass, nothing kept
#   and back the same way
# ```

# %%
#| default_exp sparsity.fused

# %%
#| export
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from modreg.geometry.arguments import NotNegative, Shape, Within, checked
from modreg.geometry.inhibitors import Inhibitor
from modreg.geometry.manifolds import Manifold
from modreg.sparsity.weights import Layout, Slot

# %%
#| hide
import matplotlib.pyplot as plt
from fastcore.test import test_eq

from modreg import RNN, ModuliRegularizer
from modreg.book.exercises import draw_curve, draw_lines, exercise
from modreg.geometry import inhibitors, manifolds
from modreg.layers.sparse import median_time

plt.style.use("modreg.data.book")

# %% [markdown]
# The penalty of a matrix of $N \times N$ weights with prices $f_{uv}$ has a gradient in closed form,
#
# $$\frac{\partial R}{\partial W_{uv}} = \frac{\lambda}{N^2} f_{uv}\, \mathrm{sign}(W_{uv}).$$
#
# *Predict:* how many matrices of this size must be read and written to add it to a gradient that is there? And how many does automatic differentiation read and write?

# %%
generator = torch.Generator().manual_seed(0)
torus, dog = manifolds.Torus(), inhibitors.DifferenceOfGaussians()


def closed_form(to: Tensor, weight: Tensor, prices: Tensor, scale: float, rows=50) -> None:
    "Add the gradient of scale · sum(prices · |weight|) to `to`, some rows at a time"
    for t, w, f in zip(*(x.split(rows) for x in (to, weight, prices)), strict=True):
        t.addcmul_(w.sign(), f, value=scale)


sizes, times = (256, 512, 1024), {"automatic": [], "closed form": []}
for n in sizes:
    weight, prices = torch.randn(n, n, generator=generator).requires_grad_(), dog(torus.distance(torus.sample(n, generator)))
    weight.grad = torch.zeros(n, n)
    ways = lambda: (prices * weight.abs()).mean().backward(), lambda: closed_form(weight.grad, weight.detach(), prices, 1 / n**2)
    for name, seconds in zip(times, median_time(*ways, rounds=5), strict=True):
        times[name].append(1e3 * seconds)

# %%
#| fig-alt: "Time of penalty and gradient by number of neurons: the closed form is several times as fast as automatic differentiation."
fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
for name, each in times.items():
    ax.plot(sizes, each, "o-", label=name)
ax.set(xlabel="neurons", ylabel="penalty and gradient (ms)", xscale="log", yscale="log")
ax.set_xticks(sizes, sizes, minor=False)
ax.minorticks_off()
ax.legend(frameon=False)
plt.show()


# %% [markdown]
# Weight, prices and gradient are read and the gradient is written, if the signs never leave the processor's cache: so go through the rows a few at a time. Automatic differentiation writes the magnitudes, the products and their gradients too, and reads each again.
#
# ## Size, and its slope
#
# With the power $n$ of equations 4 and 6 the size of a weight is $|w|^n$. In a convolution a connection between two channels is a whole slice of the kernel, and its size is the slice's Euclidean norm to that power (appendix I.2).

# %%
#| export
@checked
def size_of(
    w: Annotated[Tensor, Shape(kind="float", empty=True)],  # weights; of a convolution (…, *kernel)
    power: Annotated[float, Within(1)] = 1,  # n of eq. 6
    kernel: Annotated[int, Within(0, 3)] = 0,  # dimensions of a kernel
) -> Tensor:  # as `w`, without the kernel's dimensions
    "Size |w|^n of each connection; the norm of its slice of a kernel, to that power"
    size = torch.linalg.vector_norm(w, dim=tuple(range(-kernel, 0))) if kernel else w.abs()
    return size if power == 1 else size.pow(power)


@checked
def size_grad(
    w: Annotated[Tensor, Shape(kind="float", empty=True)],  # weights
    power: Annotated[float, Within(1)] = 1,  # n of eq. 6
    kernel: Annotated[int, Within(0, 3)] = 0,  # dimensions of a kernel
) -> Tensor:  # as `w`
    "Derivative of the size with respect to each weight; 0 where the size is 0"
    if power == 2:
        return 2 * w
    if not kernel:
        return w.sign() if power == 1 else w.sign() * w.abs().pow(power - 1).mul_(power)
    norm = torch.linalg.vector_norm(w, dim=tuple(range(-kernel, 0)), keepdim=True)
    return w / norm.clamp(min=torch.finfo(w.dtype).tiny) * (power * norm.pow(power - 1))


# %%
w = torch.randn(4, 3, 5, generator=generator, dtype=torch.float64).requires_grad_()
for power in (1, 1.5, 2, 3):
    for kernel in (0, 1):
        (oracle,) = torch.autograd.grad(size_of(w, power, kernel).sum(), w)
        torch.testing.assert_close(size_grad(w.detach(), power, kernel), oracle)
test_eq(size_grad(torch.zeros(2, 3), 1, 1), torch.zeros(2, 3))

# %% [markdown]
# ## Tiles of distances
#
# Where the embedding is trained, prices change at each step, and the gradient must reach the neurons' points:
#
# $$\frac{\partial R}{\partial i(u)} = \frac{\lambda}{N^2} \sum_v \big(|W_{uv}| + |W_{vu}|\big)\, f'(d_{uv})\, \frac{\partial d_{uv}}{\partial i(u)}.$$
#
# A graph of $N^2$ distances is never built. A tile of them is computed, used and forgotten; and since $d_{uv} = d_{vu}$, the tiles on and above the diagonal will do for a recurrent weight. One between different neurons needs all.

# %%
#| export
TILE = 512  # side of a tile of a trained embedding's distances


def _add_trained(w: Tensor, points: tuple, price: tuple, grad: Tensor, vjp: tuple, scale: float) -> None:
    "Add `scale` times the gradients of the priced sizes of w (G, U, V, …) to `grad`, like w, and `vjp`, like the points of rows and columns; for both the same if they are the same neurons"
    (rows, columns), (space, f, power, kernel) = points, price
    same = rows is columns
    for start in range(0, len(rows), TILE):
        for other in range(start if same else 0, len(columns), TILE):
            here, there = slice(start, start + TILE), slice(other, other + TILE)
            d, back = space.distance_vjp(rows[here], columns[there])
            coefficients, steepness = f.value_and_grad(d)
            size = _add_tile(w[:, here, there], coefficients, grad[:, here, there], scale, power, kernel)
            if same and start < other:
                size += _add_tile(w[:, there, here], coefficients.mT.contiguous(), grad[:, there, here], scale, power, kernel).mT.contiguous()
            to_here, to_there = back(size.mul_(steepness))
            vjp[0][here].add_(to_here, alpha=scale)
            vjp[1][there].add_(to_there, alpha=scale)


# %%
#| export
def _add_tile(w: Tensor, coefficients: Tensor, grad: Tensor, scale: float, power: float, kernel: int) -> Tensor:
    "Add the gradient of a tile of weights (G, n, m, …) to `grad`, and return the sum of their sizes (n, m)"
    if power != 1 or kernel or w.dtype != coefficients.dtype:
        w = w.to(coefficients.dtype)
        grad.add_((size_grad(w, power, kernel) * coefficients[(..., *[None] * kernel)]).mul_(scale).to(grad.dtype))
        return size_of(w, power, kernel).sum(0)
    size: Any = None
    for one, to in zip(w, grad, strict=True):
        sign = one.sign()
        to.addcmul_(sign, coefficients, value=scale)
        size = sign.mul_(one) if size is None else size.addcmul_(sign, one)
    return size


# %% [markdown]
# Torch makes some forty passes over a tile, one for each operation. A compiled loop makes one: `torch.compile` reads the formula of any manifold and any inhibitor, and writes that loop in C++. For a compiler less is more, so it is told the plain sum over all pairs, some rows at a time, and
# nothing of symmetry. It needs a C++ compiler on the machine, and some seconds of its time for each size of network.

# %%
#| export
ROWS = 128  # of a trained embedding's distances that a compiled loop does at once


def _add_rows(gates: tuple, here: Tensor, columns: Tensor, space: Manifold, f: Inhibitor, grads: tuple, scale: Tensor) -> tuple[Tensor, Tensor]:
    "Add the gradient of some rows of each gate's weights (n, V) to its gradient, and return that of the rows' points and of all columns' points"
    d, back = space.distance_vjp(here, columns)
    coefficients, steepness = f.value_and_grad(d)
    for w, grad in zip(gates, grads, strict=True):
        grad.add_(w.sign() * (coefficients * scale))
    return back(sum(w.abs() for w in gates) * steepness * scale)


@cache
def _compiled() -> Callable:
    "`_add_rows` in one loop"
    return torch.compile(_add_rows, dynamic=False)


def _add_trained_compiled(w: Tensor, points: tuple, price: tuple, grad: Tensor, vjp: tuple, scale: float) -> None:
    "The same as `_add_trained`, for a matrix and power 1"
    rows, columns = (x.mT.contiguous().mT for x in points)  # each coordinate in one piece
    factor = rows.new_tensor(scale)
    with torch._dynamo.config.patch(trace_autograd_ops=True):  # for formulas whose slope is torch's to find
        for start in range(0, len(rows), ROWS):
            here = slice(start, start + ROWS)
            to_here, to_all = _compiled()(w[:, here].unbind(), rows[here], columns, *price[:2], grad[:, here].unbind(), factor)
            vjp[0][here].add_(to_here)
            vjp[1].add_(to_all)


# %% [markdown]
# ## One penalized weight
#
# A regularizer is made of these. Each knows one weight and how it is read, where its neurons are, and what a connection costs: a buffer of coefficients, or, where the embedding is trained, the distances of the moment.
# Infinite coefficients are not paid for; they say that a weight must be zero, and `mask` says which may be anything else.

# %%
#| export
def _not_half(fn: Callable, values: Tensor) -> Tensor:
    "Where a model goes that is moved or converted by `fn`, but not to half precision"
    moved = fn(values)
    return values.to(moved.device) if moved.is_floating_point() and moved.element_size() < 4 else moved


# %%
#| export
class _Parts(nn.Module):
    "The types of what a penalized weight is made of"

    slot: Slot
    layout: Layout
    manifold: Any  # a Manifold, and an Inhibitor, unless coefficients are given
    inhibitor: Any
    embedding: Any  # a buffer, a parameter, or nothing yet
    column_embedding: Any


# %%
#| export
@checked
class PenalizedWeight(_Parts):
    "One weight with its neurons' points and the prices of its connections"

    def __init__(self, slot: Slot, layout: Layout, space: Manifold | None, inhibitor: Inhibitor | None, power: Annotated[float, Within(1)] = 1, compiled: bool = False):
        super().__init__()
        self.slot, self.layout, self.manifold, self.inhibitor = slot, layout, space, inhibitor
        self.power, self.compiled, self.infinite = power, compiled, False  # whether some prices are
        self.register_buffer("embedding", None)  # of output neurons (U, c) or (S, U, c), and of all if they are the same
        self.register_buffer("column_embedding", None)  # of input neurons (V, c) or (S, V, c), if they are others

    @property
    def name(self) -> str:
        return self.slot.name

    @property
    def weight(self) -> Tensor:
        "The weight in effect, as it is now"
        return self.slot.weight

    @property
    def trained(self) -> bool:
        "Whether the embedding is a parameter"
        return isinstance(self.embedding, nn.Parameter)

    @property
    def points(self) -> tuple[Any, Any]:  # tensors; None as long as nothing is placed
        "Points of output and of input neurons"
        return self.embedding, self.embedding if self.column_embedding is None else self.column_embedding

    @property
    def coefficients(self) -> Tensor:  # (U, V) or (S, U, V); for each gate, if they were given so
        "Price of each connection; of a trained embedding, as it is now"
        if self.trained:
            with torch.no_grad():
                return self.inhibitor.evaluate(self.manifold.distance(*self.points)).clamp(min=0)
        return super().__getattr__("coefficients")  # type: ignore[return-value]  # the buffer

    @property
    def dtype(self) -> torch.dtype:
        "That of prices, points and sums: the weight's, but never half precision"
        return torch.promote_types(self.weight.dtype, torch.float32)

    def set_coefficients_(self, values: Tensor) -> None:
        self.register_buffer("coefficients", values)
        self.infinite = bool(values.max() == torch.inf)

    def _apply(self, fn, recurse=True):
        return super()._apply(partial(_not_half, fn), recurse)

    def _load_from_state_dict(self, *args):
        super()._load_from_state_dict(*args)
        self.infinite = not self.trained and bool(self.coefficients.max() == torch.inf)


# %% [markdown]
# Its points are drawn, or checked if they are given: they must lie on the manifold, and are projected if they were rounded to another dtype, since rounding may lead off it. Coefficients of one's own (eq. 5) take the place of distances, under an inhibitor that leaves them as they are.

# %%
#| export
@checked
def place_(part: PenalizedWeight, rows: Annotated[Tensor, Shape("... U c")], columns: Annotated[Tensor, Shape("... V c")] | None, train: bool) -> None:
    "Make points the embedding of a weight: parameters, or buffers"
    for name, points in (("embedding", rows), ("column_embedding", None if columns is rows else columns)):
        delattr(part, name)
        if train and points is not None:
            part.register_parameter(name, nn.Parameter(points.detach().clone()))
        else:
            part.register_buffer(name, points if points is None else points.detach().clone())


# %%
#| export
@checked
def embed_(part: PenalizedWeight, given: Any, train: bool, generator: torch.Generator | None) -> None:
    "Points of a weight's neurons, as given or drawn"
    sizes = (part.layout.rows,) if part.layout.recurrent else (part.layout.rows, part.layout.columns)
    lead = () if part.layout.replicas is None else (part.layout.replicas,)
    shapes = [(*lead, n, part.manifold.coordinates) for n in sizes]
    if given is None:
        points = [part.manifold.sample(shape[:-1], generator, dtype=part.dtype, device=part.weight.device) for shape in shapes]
    else:
        given = [given] if isinstance(given, Tensor) or len(sizes) == 1 else list(given)
        if len(given) != len(sizes):
            raise ValueError(f"embedding of {part.name} is one tensor; it leads from some neurons to others, so give a pair of shapes {shapes[0]} for outputs and {shapes[1]} for inputs")
        points = [_checked(part, x, shape) for x, shape in zip(given, shapes, strict=True)]
    place_(part, points[0], points[-1], train)


# %%
#| export
def _checked(part: PenalizedWeight, embedding: Any, shape: tuple) -> Tensor:
    "An embedding that was given, in the dtype and on the device of its weight"
    if not isinstance(embedding, Tensor):
        raise TypeError(f"embedding is a {type(embedding).__name__}; give a tensor of shape {shape} for {part.name}")
    if embedding.shape != shape:
        raise ValueError(f"embedding has shape {tuple(embedding.shape)}; {part.name} needs {shape}")
    ok, reason = part.manifold.check(embedding)
    if not ok:
        raise ValueError(f"embedding: {reason}")
    if not embedding.is_floating_point():
        return embedding.detach().to(part.weight.device)
    points = embedding.detach().to(part.weight.device, part.dtype)
    return points if points.dtype == embedding.dtype else part.manifold.project(points)  # rounding may lead off the manifold


# %%
#| export
@checked
@torch.no_grad()
def distances_of(part: PenalizedWeight) -> Tensor:
    "Distances of output and input neurons (U, V) or (S, U, V)"
    return part.manifold.distance(*part.points).to(part.dtype)


@checked
def given_coefficients(part: PenalizedWeight, values: Any) -> Tensor:
    "Coefficients that were given, in the dtype and on the device of their weight"
    u, v, s, g = part.layout.rows, part.layout.columns, part.layout.replicas, part.layout.gates
    shapes = [(*lead, n, v) for lead in ([()] if s is None else [(), (s,)]) for n in dict.fromkeys((u, g * u))]
    if not isinstance(values, Tensor) or values.dtype == torch.bool or values.is_complex():
        raise TypeError(f"coefficients are a {getattr(values, 'dtype', type(values).__name__)}; give a tensor of numbers of shape {shapes[0]} for {part.name}")
    if tuple(values.shape) not in shapes:
        raise ValueError(f"coefficients have shape {tuple(values.shape)}; {part.name} needs {' or '.join(map(str, shapes))}: outputs, inputs")
    if not (values >= 0).all():
        raise ValueError(f"coefficients of {part.name} are negative or NaN somewhere; a price is at least 0, and may be infinite")
    return values.detach().to(part.weight.device, part.dtype)


# %%
#| export
@checked
class Given(Inhibitor):
    "Coefficients of one's own, as they are (eq. 5)"

    name = "given"
    formula = "c"

    def evaluate(self, d: Tensor) -> Tensor:
        return d

    def __repr__(self):
        return "coefficients that were given"


# %% [markdown]
# What follows goes through the weight a few rows at a time, of all gates and replicas at once:

# %%
#| export
CACHE = 2**18  # numbers that fit a processor's cache


def _panels(part: PenalizedWeight, points: tuple, *views: Tensor) -> Iterator[tuple[Tensor, ...]]:
    "Prices of some rows (S or 1, G or 1, n, V), and the same rows of each view (S, G, n, V, …) of the weight and others like it"
    layout, weight = part.layout, views[0]
    few = max(1, (CACHE if weight.is_cpu else weight.numel()) * layout.rows // weight.numel())
    fixed = None if part.trained else coefficient_view(part.coefficients, layout).to(part.dtype)
    for start in range(0, layout.rows, few):
        rows = slice(start, start + few)
        if fixed is None:
            f = part.inhibitor.evaluate(part.manifold.pairwise(points[0][..., rows, :], points[1])).clamp(min=0)
            f = f.unsqueeze(-3) if f.dim() == 3 else f[None, None]
        else:
            f = fixed[:, :, rows]
        yield f.masked_fill(f == torch.inf, 0) if part.infinite else f, *(t[:, :, rows] for t in views)


@checked
def coefficient_view(
    coefficients: Annotated[Tensor, Shape("... GU V", "float")],  # (U, V), (G·U, V), or either led by S
    layout: Layout,
) -> Tensor:  # (S or 1, G or 1, U, V)
    "Coefficients with the dimensions of the weight's view"
    coefficients = coefficients if coefficients.dim() == 3 else coefficients[None]
    return coefficients.unflatten(1, (-1, layout.rows))


# %% [markdown]
# Value and gradient. Weights in half precision are read as they are; prices, products and sums are float32.

# %%
#| export
def _value(part: PenalizedWeight, weight: Tensor, points: tuple, scale: float) -> Tensor:
    "The penalty (S,)"
    plain, kernel = part.power == 1 and not part.layout.kernel, part.layout.kernel
    total: Any = 0
    for f, w in _panels(part, points, part.layout.view(weight)):
        w = w.to(f.dtype)
        total = total + ((w.abs() if plain else size_of(w, part.power, kernel)) * f).sum((-3, -2, -1))
    return scale * total


def _add(part: PenalizedWeight, weight: Tensor, points: tuple, grad: Tensor, vjp: tuple | None, scale: float) -> None:
    "Add the penalty's gradients to `grad`, like the weight, and, where points are trained, to `vjp`, like them"
    layout, kernel = part.layout, part.layout.kernel
    view, to = layout.view(weight), layout.view(grad)
    if vjp is not None:
        add = _add_trained_compiled if part.compiled else _add_trained
        price = part.manifold, part.inhibitor, part.power, kernel
        each = [x if layout.replicas is not None else x[None] for x in (*points, *vjp)]
        for s, (w, t) in enumerate(zip(view, to, strict=True)):
            rows, columns, to_rows, to_columns = (x[s] for x in each)
            add(w, (rows, rows if points[0] is points[1] else columns), price, t, (to_rows, to_columns), scale)
        return
    for f, w, t in _panels(part, points, view, to):
        if kernel == 0 and w.dtype == t.dtype == f.dtype:
            t.addcmul_(size_grad(w, part.power), f, value=scale)
        else:
            t.add_((size_grad(w.to(f.dtype), part.power, kernel) * f[(..., *[None] * kernel)]).mul_(scale).to(t.dtype))


# %% [markdown]
# For automatic differentiation, nothing but the weight and the points is kept from the forward to the backward pass.

# %%
#| export
class _Penalty(torch.autograd.Function):
    "The penalty of each replica, with its gradients in closed form"

    @staticmethod
    def forward(ctx, weight, rows, columns, part, scale):
        ctx.save_for_backward(weight, rows, columns)
        ctx.part, ctx.scale = part, scale
        each = _value(part, weight, (rows, rows if columns is None else columns), scale)
        return each if part.layout.replicas is not None else each[0]

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        (weight, rows, columns), part = ctx.saved_tensors, ctx.part
        to = torch.zeros_like(weight, dtype=part.dtype)
        vjp = None
        if ctx.needs_input_grad[1]:
            to_rows = torch.zeros_like(rows)
            vjp = to_rows, to_rows if columns is None else torch.zeros_like(columns)
        _add(part, weight, (rows, rows if columns is None else columns), to, vjp, ctx.scale)
        _check_vjp(part, weight, vjp)
        part.layout.view(to).mul_(grad.view(-1, *[1] * (3 + part.layout.kernel)))
        scaled = None if vjp is None else [x.mul_(grad.view(*grad.shape, 1, 1)) for x in dict.fromkeys(vjp)]
        return to.to(weight.dtype), *((None, None) if scaled is None else (*scaled, None)[:2]), None, None


# %%
#| export
def _check_vjp(part: PenalizedWeight, weight: Tensor, vjp: tuple | None) -> None:
    "ValueError if a trained embedding gets a gradient that is not finite though the weights are"
    if vjp is not None and not all(torch.isfinite(x).all() for x in vjp) and torch.isfinite(weight).all():
        raise ValueError(f"the embedding of {part.name} gets a gradient that is not finite: {part.inhibitor} or the distance of {part.manifold} has no slope somewhere; "
                         "check both at equal and at opposite points, or train no embedding")


@checked
def penalty_of(
    part: PenalizedWeight,
    scale: NotNegative,  # λ over the number of connections
) -> Tensor:  # () or (S,); float32 for weights in half precision
    "The penalty of a weight, with gradients in closed form for the weight and for a trained embedding"
    with torch.autocast(part.weight.device.type, enabled=False):
        return _Penalty.apply(part.weight, part.embedding, part.column_embedding, part, scale)


# %% [markdown]
# ## Into a gradient that is there
#
# A weight under a parametrization has no gradient of its own. What would be added to it is sent on to the parameters that it is computed from.

# %%
#| export
@checked
@torch.no_grad()
def add_gradient_to(part: PenalizedWeight, scale: NotNegative) -> None:
    "Add the penalty's gradient to that of a weight, or of what it is computed from, and of a trained embedding"
    with torch.set_grad_enabled(bool(part.slot.computed)):
        weight = part.weight
    stored = isinstance(weight, nn.Parameter)
    grad = _gradient(weight) if stored and weight.requires_grad else torch.zeros_like(weight, dtype=part.dtype)
    vjp = None
    if part.trained:
        fresh = [torch.zeros_like(x) for x in dict.fromkeys(part.points)]
        vjp = fresh[0], fresh[-1]
    _add(part, weight.detach(), part.points, grad, vjp, scale)
    _check_vjp(part, weight.detach(), vjp)
    if part.trained:
        for parameter, x in zip(dict.fromkeys(part.points), fresh, strict=True):
            _gradient(parameter).add_(x)
    if not stored and weight.requires_grad:
        torch.autograd.backward(weight, grad.to(weight.dtype))


def _gradient(parameter: Tensor) -> Tensor:
    "The parameter's gradient; zeros if it has none yet"
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


# %% [markdown]
# ## The exact step
#
# The proximal step solves $\tfrac12 \|v - w\|^2 + b\, |v|^n$ for each connection, with $b = \eta\lambda f / N^2$. For $n = 1$ it moves a weight, or the norm of a slice, towards zero by $b$ and stops there; for $n = 2$ it divides by $1 + 2b$; for other powers there is no
# simple form. A weight whose price is infinite becomes zero.

# %%
#| export
@checked
@torch.no_grad()
def shrink_(part: PenalizedWeight, factor: NotNegative) -> None:
    "Replace each connection by the minimum of ½ (v - w)² + factor · f · |v|^n; n is 1 or 2"
    kernel = part.layout.kernel
    for f, w in _panels(part, part.points, part.layout.view(part.weight)):
        bound, wide = (f * factor)[(..., *[None] * kernel)], w.to(f.dtype)
        if part.power == 2:
            w.copy_(wide / (1 + 2 * bound))
        elif kernel:
            norm = torch.linalg.vector_norm(wide, dim=tuple(range(-kernel, 0)), keepdim=True)
            w.copy_(wide * (1 - bound / norm.clamp(min=torch.finfo(norm.dtype).tiny)).clamp(min=0))
        else:
            w.sub_(wide.clamp(-bound, bound).to(w.dtype))
    if part.infinite:
        part.weight.masked_fill_(~mask_of(part), 0)


@checked
def mask_of(
    part: PenalizedWeight,
) -> Tensor:  # like the weight
    "True where a weight may differ from zero: where its price is finite"
    mask = torch.ones_like(part.weight, dtype=torch.bool)
    finite = coefficient_view(part.coefficients, part.layout).isfinite()
    part.layout.view(mask).logical_and_(finite[(..., *[None] * part.layout.kernel)])
    return mask


# %%
layer = nn.Conv2d(3, 4, (2, 2))
slot = Slot(layer, "weight", "weight")
part = PenalizedWeight(slot, Layout(4, 3, kernel=2), None, None)
part.set_coefficients_(torch.tensor([[0.0, 1, torch.inf]]).expand(4, 3).contiguous())
before = layer.weight.detach().clone()
shrink_(part, 0.1)
norms = before.flatten(2).norm(dim=2), layer.weight.detach().flatten(2).norm(dim=2)
torch.testing.assert_close(norms[1][:, 0], norms[0][:, 0])
torch.testing.assert_close(norms[1][:, 1], (norms[0][:, 1] - 0.1).clamp(min=0))
test_eq(norms[1][:, 2].max().item(), 0)

# %% [markdown]
# ## What it costs
#
# Fixed and trained, beside automatic differentiation of the formula as it stands:

# %%
n, space = 1024, torus
layer = RNN(1, n, generator=generator)
fixed = ModuliRegularizer(layer, space, generator=generator)
trained = ModuliRegularizer(layer, space, embedding=fixed.embedding, train_embedding=True)
points = fixed.embedding.clone().requires_grad_()
weight = layer.weight_hh_l0
ways = {
    "fixed": fixed.add_gradient_, "fixed, automatic": lambda: (fixed.coefficients * weight.abs()).mean().backward(),
    "trained": trained.add_gradient_, "trained, automatic": lambda: (dog(space.distance(points)) * weight.abs()).mean().backward(),
}
for name, seconds in zip(ways, median_time(*ways.values(), rounds=3), strict=True):
    print(f"{name:20} {1e3 * seconds:6.1f} ms")


# %% [markdown]
# ## Exercise 1: the floor
#
# *3 min, easy.* The curve above is of two ways to add a gradient to one that is there. The least that any way can do is to move the numbers. How many bytes is that for $N$ neurons in float32?

# %%
def least_traffic(n):
    "Bytes that any way must move to add the penalty's gradient for n neurons in float32"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("three matrices of n² numbers are read and one is written; a number has four bytes", lambda: draw_curve(lambda n: least_traffic(n) / 1e6, range(256, 4097, 256), "neurons", "MB")) as expect:
    expect(least_traffic, 4096, gives=4 * 4096**2 * 4)


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def least_traffic(n):
#     return 4 * n**2 * 4
# ```
#
# Weight, prices and gradient are read, and the gradient is written.
#
# </details>

# %% [markdown]
# ## Exercise 2: a proximal step on squares
#
# *10 min, medium.* With the square as size, a proximal step divides a weight by a number. Which, for a price $f$ and a factor $b$?

# %%
def divisor(price, factor):
    "By what a proximal step divides a weight w: the v that is best for ½ (v - w)² + factor · price · v² is w divided by it"
    raise NotImplementedError


# %%
#| fold How it is checked
v = torch.linspace(0, 2, 20001, dtype=torch.float64)
bill = (v - 1.5) ** 2 / 2 + 0.3 * 0.7 * v**2


def picture():
    best = 1.5 / divisor(0.7, 0.3)
    draw_lines("v", "½ (v - w)² + factor · price · v²", the_bill=(v, bill), your_v=([best] * 2, [bill.min(), bill.max()]))


with exercise("set the derivative to zero: v - w + 2 · factor · price · v = 0", picture) as expect:
    expect(lambda: 1.5 / divisor(0.7, 0.3), gives=v[bill.argmin()].item(), within=1e-3, name="the weight 1.5 after a step at price 0.7 and factor 0.3")
    expect(divisor, 0.0, 0.3, gives=1.0)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def divisor(price, factor):
#     return 1 + 2 * factor * price
# ```
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - A first version summed the penalty of a float16 weight in float16: among a million weights the sum stopped growing at 2,048, and steps smaller than one were lost.
# - The gradient of a norm at zero is 0 divided by 0. Slices that pruning has emptied stay empty, since the quotient is taken of a norm that is never less than the smallest float.
# - One neuron whose distance has no slope turned a whole trained embedding into NaN, some steps later and in silence. It is said at once now, unless the weights themselves have diverged.
# - The paper's code computes all distances of a trained embedding in each step under automatic differentiation, and keeps some twenty matrices of this size for it.
#
# ## Recall and think
#
# <details><summary>Recall: why does automatic differentiation move more memory?</summary>
#
# It writes the magnitudes, products and their gradients out, and reads each again.
#
# </details>
#
# <details><summary>Recall: why is half of the tiles enough for a recurrent weight?</summary>
#
# It is as far back as there: $d_{uv} = d_{vu}$, so a tile and its mirror image hold the same distances.
#
# </details>
#
# <details><summary>Think: when is memory traffic, and not arithmetic, the limit?</summary>
#
# When each number is used once or twice, as here; a matrix product uses each many times.
#
# </details>
#
# **References.** Section 2.3 and appendix I of the paper. Parikh and Boyd, *Proximal algorithms* (2014).
