# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Recurrent layers
#
# > An Elman layer that trains fast, and many replicas of it at once

# %% [markdown]
# *Reading 35 min, exercises 10 min. To skip at a first reading:* all of it, until you need it.
#
# After this chapter you can
#
# - write the backward pass of a recurrent layer by hand, and say why it is quicker than automatic differentiation,
# - put `RNN` where `torch.nn.RNN` stood, with the same weights and the same state dict,
# - train several seeds as one computation.
#
# The question: *an experiment needs the same network many times, with several seeds and several penalties.
# What does one more copy cost?*

# %%
#| default_exp layers.recurrent

# %%
#| export
import math
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.utils.rnn import PackedSequence

from modreg.geometry.arguments import Count, FloatType, OnDevice, OneOf, Shape, Share, Within, check_memory, checked

# %%
#| hide
import matplotlib.pyplot as plt
from fastcore.test import test_close, test_eq, test_fail

from modreg.book.exercises import draw_curve, draw_matrices, exercise
from modreg.layers.sparse import median_time

plt.style.use("modreg.data.book")

# %%
#| fig-alt: "A diagram of a recurrent layer: inputs go up into states h1 to h4, orange arrows lead from each state to the next, green arrows carry the error back."
fig, ax = plt.subplots(figsize=(8, 2.9), layout="constrained")
arrow = dict(arrowstyle="-|>", linewidth=1.6)
for t in range(5):
    ax.text(2 * t, 1, f"$h_{t}$", ha="center", va="center", fontsize=13, bbox=dict(boxstyle="circle,pad=0.4", fc="white", ec="0.3"))
    if t:
        ax.text(2 * t, -0.6, f"$x_{t}$", ha="center", va="center", fontsize=13)
        ax.annotate("", (2 * t, 0.6), (2 * t, -0.35), arrowprops=arrow | dict(color="C0"))
        ax.annotate("", (2 * t - 0.42, 1.1), (2 * t - 1.58, 1.1), arrowprops=arrow | dict(color="C1"))
        ax.annotate("", (2 * t - 1.6, 0.8), (2 * t - 0.4, 0.8), arrowprops=arrow | dict(color="C2"))
for y, colour, text in ((2.2, "C1", "$W_h h$: a state from the one before"), (2.8, "C0", "$W_x x$: what an input adds"), (1.6, "C2", "error, on its way back")):
    ax.text(8.7, y - 1.2, text, color=colour, va="center")
ax.set(xlim=(-0.6, 13.2), ylim=(-1, 1.9))
ax.set_axis_off()
plt.show()


# %% [markdown]
# Four steps of a recurrent layer. *Predict:* which of the arrows must wait for another one of their own colour, and which could all be computed at once?
#
# ## The recurrence
#
# Equation 1 of the paper is
#
# $$h_t = \sigma(W_h h_{t-1} + W_x x_t + b).$$
#
# Written as it is read, with a Python loop and automatic differentiation:

# %%
def naive_rnn(x: Tensor, h: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor) -> Tensor:
    "Hidden states (steps, batch, hidden) of eq. 1 for inputs `x` (steps, batch, inputs) from state `h`"
    states = []
    for x_t in x:
        h = torch.relu(h @ w_h.T + x_t @ w_x.T + b)
        states.append(h)
    return torch.stack(states)


# %% [markdown]
# It is right, and wasteful in two places.
#
# 1. The input projection $W_x x_t + b$ needs no hidden state. All steps can be projected in **one** product before the loop.
# 2. Automatic differentiation forms the weight gradient as a sum of one small product a step. But
#    $$\frac{\partial L}{\partial W_h} = \sum_t \delta_t h_{t-1}^\top$$
#    is **one** product too, if all $\delta_t$ and all $h_{t-1}$ lie behind one another in memory.
#
# *Predict, then check:* of the three products that a step needs (forward, backward through the state, weight gradient),
# which can leave the loop?
#
# The first two cannot, since each step waits for its neighbour. The third can. With $g_t$ the gradient that reaches $h_t$ from
# outside and $\sigma'$ the slope at step $t$, the error runs backwards through time as
#
# $$\delta_t = \sigma'_t \odot (g_t + W_h^\top \delta_{t+1}).$$

# %% [markdown]
# ## The backward pass by hand
#
# Both activations in use tell their slope from their value: for ReLU it is $[h > 0]$, for tanh $1 - h^2$.
# So the hidden states are all that must be kept, and one pass multiplies the error that arrives by the slope.

# %%
#| export
_ACTIVATIONS = {"relu": lambda x, out: torch.clamp_min(x, 0, out=out), "tanh": lambda x, out: torch.tanh(x, out=out)}
_SLOPES = {  # error before the activation, from the error after it and the state
    "relu": lambda error, state, out: torch.ops.aten.threshold_backward.grad_input(error, state, 0, grad_input=out),
    "tanh": lambda error, state, out: torch.ops.aten.tanh_backward.grad_input(error, state, grad_input=out),
}


# %% [markdown]
# A backward pass by hand is no function that torch could differentiate again. It must say so, or second derivatives would come out as zero.

# %%
#| export
class _Refusal(torch.autograd.Function):
    "A gradient that depends on some tensors, and raises when it is differentiated"

    @staticmethod
    def forward(ctx, gradient, *depends_on):
        return gradient.clone()

    @staticmethod
    def backward(ctx, *_):
        raise RuntimeError("the backward pass of this layer is written by hand and cannot be differentiated again; take `as_torch()` of a recurrent layer, or `use_sparse_products(model, {})`")


@checked
def first_derivatives(backward: Callable) -> Callable:
    "A backward pass whose results cannot be differentiated again, and say so; among the saved tensors are inputs and outputs from which a path leads to all that they depend on"

    @wraps(backward)
    def guarded(ctx, *gradients):
        with torch.no_grad():
            found = backward(ctx, *gradients)
        if not torch.is_grad_enabled():
            return found
        depends_on = [t for t in (*gradients, *ctx.saved_tensors) if t is not None and t.requires_grad]
        return tuple(None if g is None else _Refusal.apply(g, *depends_on) for g in found)

    return guarded


# %% [markdown]
# The layer of one time loop. Every tensor has a leading dimension of replicas, and replica `s` meets only its own weights.
# The states live in one buffer with the initial state in front, so that "all $h_{t-1}$" is a view of it. A step of several replicas does not lie
# in one piece there; a product is quicker into a buffer that does, from which the activation carries it on.
#
# The last state is handed out by itself: a task that asks for it alone then sends no gradient of zeros through all other steps.
#
# The backward pass reads the states, so nobody else may change them; but whoever calls a layer may well do so with its outputs, as dropout in place does. So the last layer of a stack hands out a copy, for which it
# needs no memory of its own: the projected inputs are not wanted any more, and their place is warm in the cache.

# %%
#| export
class ElmanFunction(torch.autograd.Function):
    "The recurrence of eq. 1 after the input projection, with its backward pass through time: all states, and the last"

    @staticmethod
    def forward(ctx, projected, h0, weight, nonlinearity, handed_out=False):  # handed_out: states are copied over `projected`, lest changes of them reach the backward pass
        replicas, steps, batch, hidden = projected.shape
        states, handed_out = projected.new_empty(replicas, steps + 1, batch, hidden), handed_out and any(ctx.needs_input_grad)
        states[:, 0] = h0
        buffer = projected.new_empty(replicas, batch, hidden)
        before, after = states[:, :-1].unbind(1), states[:, 1:].unbind(1)
        for p, h, out in zip(projected.unbind(1), before, after, strict=True):
            drive = torch.baddbmm(p, h, weight.mT, out=out if replicas == 1 else buffer)
            _ACTIVATIONS[nonlinearity](drive, out)
            if handed_out:
                p.copy_(out)
        last = states[:, -1]
        ctx.save_for_backward(states, weight, last)
        ctx.set_materialize_grads(False)
        ctx.nonlinearity = nonlinearity
        return projected.detach() if handed_out else states[:, 1:], last

    @staticmethod
    @first_derivatives
    def backward(ctx, grad, grad_last):
        if grad is None and grad_last is None:
            return (None,) * 5
        states, weight, _ = ctx.saved_tensors
        error, delta = _errors(states, weight, grad, grad_last, ctx.nonlinearity)
        grad_weight = None
        if ctx.needs_input_grad[2]:  # one product over all steps
            grad_weight = torch.bmm(delta.flatten(1, 2).mT, states[:, :-1].flatten(1, 2))
        return delta, error, grad_weight, None, None


# %% [markdown]
# The way back through time. Either gradient may be missing, and where none reaches a step from outside, its product has nothing to be added to.

# %%
#| export
def _errors(
    states: Tensor,  # (S, T + 1, batch, N), the initial state in front
    weight: Tensor,  # (S, N, N)
    grad: Tensor | None,  # gradient of all states but the initial one (S, T, batch, N)
    grad_last: Tensor | None,  # gradient of the last state (S, batch, N), besides
    nonlinearity: str,
) -> tuple[Tensor, Tensor]:  # gradients of the initial state (S, batch, N), and of all drives (S, T, batch, N)
    delta, buffer = torch.empty_like(states[:, 1:]), torch.empty_like(states[:, 0])
    outside = [None] * delta.shape[1] if grad is None else list(grad.unbind(1))
    error: Any = sum(g for g in (outside[-1], grad_last) if g is not None)
    for g, h, out in zip([*outside[-2::-1], None], reversed(states[:, 1:].unbind(1)), reversed(delta.unbind(1)), strict=True):
        _SLOPES[nonlinearity](error, h, out)
        error = torch.bmm(out, weight, out=buffer) if g is None else torch.baddbmm(g, out, weight, out=buffer)
    return error, delta


# %% [markdown]
# PyTorch can check a hand-written gradient against finite differences, in float64:

# %%
generator = torch.Generator().manual_seed(0)


def draw(*shape):
    "Normal numbers in float64 that ask for a gradient"
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()


inputs = draw(2, 4, 3, 5), draw(2, 3, 5), draw(2, 5, 5)
for nonlinearity in ("relu", "tanh"):
    assert torch.autograd.gradcheck(lambda *a, n=nonlinearity: ElmanFunction.apply(*a, n), inputs)

# %% [markdown]
# ## A linear map for each replica
#
# Around the recurrence stand linear maps: the input projection, an encoder, a decoder.
# `Linear` is `torch.nn.Linear` with the same names, and with one weight matrix for each replica if replicas are asked for.
# A list of generators gives each replica a random stream of its own, so that it starts as it would alone.

# %%
#| export
Generators = torch.Generator | list[torch.Generator] | None  # one random stream, or one for each replica


def _uniform_(
    parameter: Tensor,  # filled in place
    bound: float,  # entries are drawn from (-bound, bound)
    generator: Generators = None,
) -> None:
    streams = generator if isinstance(generator, list) else [generator]
    if isinstance(generator, list) and len(streams) != len(parameter):
        raise ValueError(f"{len(streams)} generators for {len(parameter)} replicas; pass one for each, or a single one")
    with torch.no_grad():
        for part, stream in zip(parameter.chunk(len(streams)), streams, strict=True):
            part.uniform_(-bound, bound, generator=stream)


# %% [markdown]
# What a user hands over is looked at first, so that a mistake is told by name and not by a product deep inside. A layer may lie on torch's device `meta`, where it has shapes and no numbers; one that no memory can hold is refused.

# %%
#| export
Where = Annotated[torch.device | str, OnDevice(meta=True)]  # of a layer


def _lead(replicas: int | None, device: Any, matrix: tuple[int, int], **sizes: int) -> tuple[int, ...]:
    "The leading dimension of weights: (), or (S,); ArgumentError if there is not so much memory"
    lead = () if replicas is None else (int(replicas),)
    if device is None or torch.device(device).type == "cpu":
        check_memory(4 * math.prod((*lead, *matrix)), **sizes)
    return lead


# %% [markdown]
# The product itself is one `baddbmm` over the replicas, with all other dimensions flattened into one.

# %%
#| export
def _linear(
    x: Tensor,  # (..., in) or (S, ..., in)
    weight: Tensor,  # (out, in) or (S, out, in)
    bias: Tensor | None,  # (out,) or (S, out)
) -> Tensor:  # (..., out) or (S, ..., out)
    if weight.dim() == 2:
        return nn.functional.linear(x, weight, bias)
    flat = x.flatten(1, -2)
    out = torch.bmm(flat, weight.mT) if bias is None else torch.baddbmm(bias[:, None], flat, weight.mT)
    return out.unflatten(1, x.shape[1:-1])


# %%
#| export
class Linear(nn.Module):
    "`torch.nn.Linear`, for `replicas` independent copies if asked"

    @checked
    def __init__(
        self,
        in_features: Count,  # size of an input
        out_features: Count,  # size of an output
        bias: bool = True,
        device: Where | None = None,
        dtype: FloatType | None = None,
        *,
        replicas: Count | None = None,  # number of copies S; None means one, without a dimension for it
        generator: Generators = None,  # source of the initial weights
    ):
        super().__init__()
        self.in_features, self.out_features = int(in_features), int(out_features)
        lead, self.replicas = _lead(replicas, device, (in_features, out_features), in_features=in_features, out_features=out_features), replicas
        kind: Any = dict(device=device, dtype=dtype)
        self.weight = nn.Parameter(torch.empty(*lead, out_features, in_features, **kind))
        self.bias = nn.Parameter(torch.empty(*lead, out_features, **kind)) if bias else None
        self.product = _linear  # the chapter `sparse` puts another in its place
        self.reset_parameters(generator)

    @checked
    def reset_parameters(self, generator: Generators = None) -> None:
        "Draw all weights anew, uniform within 1/√in_features as `torch.nn.Linear` does"
        for parameter in self.parameters():
            _uniform_(parameter, 1 / math.sqrt(self.in_features), generator)

    @checked(late=True)
    def forward(
        self,
        input: Tensor,  # (..., in_features), or (S, ..., in_features) with replicas
    ) -> Tensor:  # (..., out_features), or (S, ..., out_features)
        if self.replicas is None:
            return self.product(input, self.weight, self.bias)
        if input.dim() < 2 or input.shape[0] != self.replicas or input.shape[-1] != self.in_features:
            raise ValueError(f"the input has shape {tuple(input.shape)}; expected ({self.replicas}, ..., {self.in_features}), the replicas first")
        if input.dim() == 2:
            return self.product(input[:, None], self.weight, self.bias)[:, 0]
        return self.product(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}, replicas={self.replicas}"


# %%
linear = Linear(4, 3, replicas=2, generator=generator)
x = torch.randn(2, 7, 6, 4, generator=generator)
for s in range(2):
    test_close(linear(x)[s], nn.functional.linear(x[s], linear.weight[s], linear.bias[s]), eps=1e-6)


# %% [markdown]
# ## The layer
#
# `RNN` takes the arguments of `torch.nn.RNN`, in their order. Its parameters have the same names and shapes, and are drawn in the same order: where torch's own random numbers are used, a seed gives the same layer.

# %%
#| export
class ElmanWeights(nn.Module):
    "The parameters of `torch.nn.RNN` by their names, for `replicas` copies if asked"
    weight_ih_l0: nn.Parameter
    weight_hh_l0: nn.Parameter

    @checked
    def __init__(
        self,
        input_size: Count,  # size of an input
        hidden_size: Count,  # number of hidden neurons N
        num_layers: Annotated[int, Within(1, 10**4)] = 1,
        nonlinearity: Annotated[str, OneOf(_ACTIVATIONS)] = "tanh",  # "tanh" or "relu"
        bias: bool = True,
        batch_first: bool = False,  # inputs are (batch, steps, input_size); not with replicas
        dropout: Share = 0.0,  # share of the outputs of each layer but the last that is zeroed in training, drawn from torch's own generator
        bidirectional: bool = False,  # a second recurrence goes from the last step to the first
        device: Where | None = None,
        dtype: FloatType | None = None,
        *,
        proj_size: int = 0,  # of an LSTM; refused, as by torch.nn.RNN
        replicas: Count | None = None,  # number of copies S; None means one, without a dimension for it
        generator: Generators = None,  # source of the initial weights
    ):
        super().__init__()
        self.input_size, self.hidden_size, self.num_layers = int(input_size), int(hidden_size), int(num_layers)
        _check_options(batch_first, dropout, num_layers, proj_size, replicas)
        self._lead = _lead(replicas, device, (hidden_size, max(input_size, hidden_size)), hidden_size=hidden_size, input_size=input_size)
        kind: Any = dict(device=device, dtype=dtype)
        self.nonlinearity, self.bias, self.batch_first, self.dropout = nonlinearity, bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size, self.replicas = bidirectional, 0, replicas
        for name, shape in _shapes(self).items():
            self.register_parameter(name, nn.Parameter(torch.empty(*self._lead, *shape, **kind)))
        self.products = [(_linear, ElmanFunction.apply)] * len(_suffixes(self))  # the chapter `sparse` puts others in their place
        self.reset_parameters(generator)

    @checked
    def reset_parameters(self, generator: Generators = None) -> None:
        "Draw all weights anew, uniform within 1/√hidden_size as `torch.nn.RNN` does"
        for parameter in self.parameters():
            _uniform_(parameter, 1 / math.sqrt(self.hidden_size), generator)

    def extra_repr(self) -> str:
        options = "num_layers", "nonlinearity", "bias", "batch_first", "dropout", "bidirectional", "replicas"
        return f"{self.input_size}, {self.hidden_size}, " + ", ".join(f"{name}={getattr(self, name)!r}" for name in options)


# %% [markdown]
# Names end in the number of the layer, and in `_reverse` for the second direction.

# %%
#| export
def _check_options(batch_first: bool, dropout: float, num_layers: int, proj_size: int, replicas: int | None) -> None:
    "Refuse by name what does not go together"
    if batch_first and replicas is not None:
        raise ValueError("batch_first is for a layer without replicas; with replicas pass (S, steps, batch, input)")
    if dropout and num_layers == 1:
        warnings.warn(f"dropout={dropout} does nothing with num_layers=1, since it comes after all layers but the last", stacklevel=3)
    if proj_size:
        raise ValueError(f"proj_size={proj_size!r} is for an LSTM, not for an RNN; leave it out")


def _suffixes(layer: ElmanWeights) -> list[str]:
    "How the names of parameters end, for each layer and direction"
    return [f"_l{k}{way}" for k in range(layer.num_layers) for way in ("", "_reverse")[: 1 + layer.bidirectional]]


def _shapes(layer: ElmanWeights) -> dict[str, tuple[int, ...]]:
    "Names and shapes of the parameters, in the order of `torch.nn.RNN`"
    n = layer.hidden_size
    found: dict[str, tuple[int, ...]] = {}
    for end in _suffixes(layer):
        found |= {f"weight_ih{end}": (n, layer.input_size if end.startswith("_l0") else n * (1 + layer.bidirectional)), f"weight_hh{end}": (n, n)}
        found |= {f"bias_ih{end}": (n,), f"bias_hh{end}": (n,)} if layer.bias else {}
    return found


# %% [markdown]
# A stack of layers (eq. 3) runs in the shape `(S, steps, batch, size)`. The second direction is the same recurrence on a sequence that is turned round, and the next layer takes both side by side.

# %%
#| export
def _stack(
    x: Tensor,  # (S, steps, batch, input)
    h0: Tensor,  # (S, layers · directions, batch, hidden)
    weights: list[list],  # for each layer and direction: input weight, recurrent weight and two biases or None, each led by S
    layer: ElmanWeights,
    products: list[tuple[Callable, Callable]] | None = None,  # projection and recurrence of each, if not the layer's own
) -> tuple[Tensor, Tensor]:  # states of the last layer (S, steps, batch, hidden · directions), last states (S, layers · directions, batch, hidden); of a layer without replicas without the S
    last, directions = [], 1 + layer.bidirectional
    for k in range(layer.num_layers):
        both, final = [], k == layer.num_layers - 1
        for way in range(directions):
            n = k * directions + way
            (w_x, w_h, b_x, b_h), (project, recur) = weights[n], (products or layer.products)[n]
            drive = project(x.flip(1) if way else x, w_x, None if b_x is None else b_x + b_h)
            states, end = recur(drive, h0[:, n], w_h, layer.nonlinearity, final and directions == 1)
            both.append(states.flip(1) if way else states)
            last.append(end)
        x = both[0] if directions == 1 else torch.cat(both, -1)
        if layer.dropout and layer.training and not final:
            x = nn.functional.dropout(x, layer.dropout)
    return (x[0], torch.cat(last)) if layer.replicas is None else (x, torch.stack(last, 1))


# %% [markdown]
# Or torch's own kernel runs it. A processor starts a product in a fraction of the time that the product takes. A GPU does not: each call from Python
# takes it some microseconds, about as long as a step of a small network, and a loop makes two calls a step. cuDNN has all steps as one call, so on a GPU it is the choice for one network.
# It knows no replicas, though: several networks would take as many calls one after another, while in our loop they share each call. So there the loop stays.
#
# cuDNN wants all weights in one piece of memory and copies them there at each call, with a warning. That is one copy of what the steps read once each, so the warning is not passed on.
#
# The same kernel serves wherever torch does more with a layer than to run it: where it casts (autocast, half precision), compiles, exports or traces it. Our functions are opaque to all of these.
# Only the transforms of `torch.func`, such as `vmap`, and derivatives in forward mode don't know the kernel either; for them there is a loop of plain operations.

# %%
#| export
def _torch_kernel(x: Tensor, h0: Tensor, weights: list[list], layer: ElmanWeights) -> tuple[Tensor, Tensor]:
    "What `_stack` computes, by the kernel of `torch.nn.RNN`, which has its own products; one replica after another"
    kernel = torch.rnn_relu if layer.nonlinearity == "relu" else torch.rnn_tanh
    options = layer.bias, layer.num_layers, layer.dropout, layer.training, layer.bidirectional
    found = [kernel(x[s], h0[s], [w[s] for group in weights for w in group if w is not None], *options, False) for s in range(x.shape[0])]
    return found[0] if layer.replicas is None else (torch.stack([x for x, _ in found]), torch.stack([last for _, last in found]))


def _cudnn(x: Tensor, h0: Tensor, weights: list[list], layer: ElmanWeights) -> tuple[Tensor, Tensor]:
    "The same without the warning that weights are copied"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk")
        return _torch_kernel(x, h0, weights, layer)


def _plain_loop(projected: Tensor, h0: Tensor, weight: Tensor, nonlinearity: str, handed_out: bool = False) -> tuple[Tensor, Tensor]:
    "What `ElmanFunction` computes, by operations that torch can transform"
    states, activation = [h0], torch.relu if nonlinearity == "relu" else torch.tanh
    for drive in projected.unbind(1):
        states.append(activation(drive + states[-1] @ weight.mT))
    return torch.stack(states[1:], 1), states[-1]


def _transformed(x: Tensor, h0: Tensor, weights: list[list], layer: ElmanWeights) -> tuple[Tensor, Tensor]:
    "What `_stack` computes, within transforms of torch.func"
    return _stack(x, h0, weights, layer, [(_linear, _plain_loop)] * len(weights))


# %%
#| export
def _is_plain(x: Tensor) -> bool:
    "Whether a hand-written function may take a tensor: torch neither compiles, exports, traces, transforms nor casts, and it is not of a subclass"
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or torch._C._are_functorch_transforms_active():
        return False
    return type(x) in (Tensor, nn.Parameter) and x.device.type in ("cpu", "cuda") and not torch.is_autocast_enabled(x.device.type)


def _fastest(x: Tensor) -> Callable:
    "The fastest way to run inputs (S, steps, batch, input) of those that there are for them"
    if not torch.compiler.is_compiling() and (torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0):
        return _transformed
    if not _is_plain(x):
        return _torch_kernel
    if x.is_cuda:
        return _stack if len(x) > 1 else _cudnn
    return _stack if x.dtype in (torch.float32, torch.float64) else _torch_kernel


# %% [markdown]
# Every form of input is brought to steps first, and one of another shape is refused.

# %%
#| export
def _expect(name: str, tensor: Tensor, shape: tuple, weight: Tensor) -> None:
    "Raise unless `tensor` has `shape`, in which `batch` stands for any size and `steps` for any of at least 1, and can be multiplied by `weight`"
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} is of type {type(tensor).__name__}; it is a tensor")
    if tensor.is_nested or tensor.layout != torch.strided:
        raise TypeError(f"{name} is {'nested' if tensor.is_nested else tensor.layout}; it is a dense tensor: take sequences of different lengths as a PackedSequence, and `to_dense()` of a sparse tensor")
    if torch.jit.is_tracing():  # sizes are tensors then
        return
    fits = tensor.dim() == len(shape) and all(
        want == "batch" or (size > 0 if want == "steps" else size == want) for size, want in zip(tensor.shape, shape, strict=True))
    if not fits:
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}; expected ({', '.join(map(str, shape))}){', with at least one step' if 'steps' in shape and 0 in tensor.shape else ''}")
    if tensor.device != weight.device:
        raise ValueError(f"{name} is on {tensor.device} and the layer on {weight.device}; move one of them")
    if tensor.dtype != weight.dtype and not (tensor.is_floating_point() and torch.is_autocast_enabled(weight.device.type)):
        raise ValueError(f"{name} is of {tensor.dtype} and the layer of {weight.dtype}; convert one of them, such as by .to({weight.dtype})")


def _initial(layer: ElmanWeights, h0: Tensor | None, x: Tensor, batch: tuple) -> Tensor:
    "The initial state (..., layers · directions, *batch, hidden), checked; zeros if None"
    shape = (*layer._lead, len(layer.products), *batch, layer.hidden_size)
    if h0 is None:
        return x.new_zeros(shape)
    _expect("the initial state hx", h0, shape, layer.weight_hh_l0)
    return h0


# %% [markdown]
# Tensors run with a dimension of replicas, which a layer without them gets for the way; packed sequences go to torch's kernel as they are.

# %%
#| export
def _weights(layer: ElmanWeights) -> list[list[Tensor | None]]:
    "Input weight, recurrent weight and two biases or None of each layer and direction"
    return [[getattr(layer, f"{name}{end}", None) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")] for end in _suffixes(layer)]


def _run(layer: ElmanWeights, x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
    "The layer on inputs (S, steps, batch, input), or without the S"
    weights = _weights(layer)
    if layer.replicas is None:
        x, h0, weights = x[None], h0[None], [[w if w is None else w[None] for w in group] for group in weights]
    return _fastest(x)(x, h0, weights, layer)


def _run_packed(layer: ElmanWeights, packed: PackedSequence, h0: Tensor | None) -> tuple[PackedSequence, Tensor]:
    "The layer on sequences of different lengths, by torch's own kernel"
    if layer.replicas is not None:
        raise TypeError("a PackedSequence is for a layer without replicas; with replicas pass tensors (S, steps, batch, input), padded at their ends")
    data, sizes, order, back = packed
    _expect("the packed input", data, ("steps", layer.input_size), layer.weight_ih_l0)
    h0 = _initial(layer, h0, data, (int(sizes[0]),))
    h0 = h0 if order is None else h0.index_select(1, order)
    kernel = torch.rnn_relu if layer.nonlinearity == "relu" else torch.rnn_tanh
    flat = [w for group in _weights(layer) for w in group if w is not None]
    out, last = kernel(data, sizes, h0, flat, layer.bias, layer.num_layers, layer.dropout, layer.training, layer.bidirectional)
    return PackedSequence(out, sizes, order, back), last if back is None else last.index_select(1, back)


# %%
#| export
class RNN(ElmanWeights):
    "Elman layer (eq. 1, stacked as in eq. 3): a drop-in for `torch.nn.RNN`, for `replicas` copies if asked"

    @checked(late=True)
    def forward(
        self,
        input: Tensor | PackedSequence,  # (steps, batch, input), (steps, input), or with replicas (S, steps, batch, input); see batch_first
        hx: Tensor | None = None,  # (layers · directions, batch, hidden), the same without batch, or led by S; zeros if None
    ) -> tuple[Tensor | PackedSequence, Tensor]:  # states of the last layer at every step, both directions side by side; last state of every layer; shaped like input and hx
        if isinstance(input, PackedSequence):
            return _run_packed(self, input, hx)
        if self.replicas is None and isinstance(input, Tensor) and input.dim() == 2:  # one sequence without a batch
            _expect("the input", input, ("steps", self.input_size), self.weight_ih_l0)
            out, last = _run(self, input[:, None], _initial(self, hx, input, ()).unsqueeze(1))
            return out.squeeze(1), last.squeeze(1)
        shape = ("batch", "steps") if self.batch_first else ("steps", "batch")
        _expect("the input", input, (*self._lead, *shape, self.input_size), self.weight_ih_l0)
        x = input.transpose(0, 1) if self.batch_first else input
        out, last = _run(self, x, _initial(self, hx, x, (x.shape[-2],)))
        return (out.transpose(0, 1) if self.batch_first else out), last

    def flatten_parameters(self) -> None:
        "Nothing: weights stay where they are"

    @property
    def all_weights(self) -> list[list[Tensor]]:
        "The parameters of each layer and direction"
        return [[w for w in group if w is not None] for group in _weights(self)]

    @property
    def mode(self) -> str:
        "What torch calls this kind of layer"
        return f"RNN_{self.nonlinearity.upper()}"

    def as_torch(self) -> nn.RNN:
        "A `torch.nn.RNN` that shares these parameters; it can be differentiated twice and scripted. ValueError if there are replicas, or parametrized weights"
        if self.replicas is not None or any(not isinstance(w, nn.Parameter) for group in self.all_weights for w in group):
            raise ValueError("torch.nn.RNN has neither replicas nor parametrized weights; remove the parametrization, or make a layer without replicas")
        twin = nn.RNN(self.input_size, self.hidden_size, self.num_layers, self.nonlinearity, self.bias, self.batch_first, self.dropout, self.bidirectional, device="meta")
        for name in _shapes(self):
            setattr(twin, name, getattr(self, name))
        return twin.train(self.training)

    __prepare_scriptable__ = as_torch  # torch.jit.script takes this in its place


# %% [markdown]
# ## A start near the identity
#
# Drawn as above, a recurrent matrix forgets: a state shrinks from step to step, and so does an error on its way back. Le, Jaitly and Hinton start networks of rectified linear
# units at the identity, where a state outlasts its step. Here a tenth of what was drawn is kept, so that neurons hear of each other from the beginning.

# %%
#| export
@checked
@torch.no_grad()
def near_identity_(
    weight: Annotated[Tensor, Shape("... N N", "float")],  # recurrent matrix (..., N, N), changed in place
    share: Annotated[float, Within(0, 1e6)] = 0.1,  # how much is kept of what was drawn
) -> None:
    "Make a recurrent matrix the identity and a share of what it was (Le, Jaitly and Hinton 2015)"
    weight.mul_(share).add_(torch.eye(weight.shape[-1], dtype=weight.dtype, device=weight.device))


# %% [markdown]
# After fifty steps of silence, what is left of a state?

# %%
layer, start = RNN(1, 128, nonlinearity="relu", bias=False, generator=generator), torch.rand(1, 1, 128, generator=generator)
silence = torch.zeros(50, 1, 1)
before = layer(silence, start)[1].norm() / start.norm()
near_identity_(layer.weight_hh_l0)
after = layer(silence, start)[1].norm() / start.norm()
print(f"torch's own start: {before:.0e}; near the identity: {after:.1f}")
assert before < 1e-3 and 0.5 < after < 20


# %% [markdown]
# ## Does it agree with `torch.nn.RNN`?
#
# Same state dict, same input: values and all gradients must agree to rounding, here in float64.

# %%
def gradients(layer, x, h0):
    "Outputs of `layer` and gradients of a curved function of them"
    x, h0 = x.clone().requires_grad_(), h0.clone().requires_grad_()
    out, last = layer(x, h0)
    loss = out.sin().sum() + (last**2).sum()
    return [out, last, *torch.autograd.grad(loss, [x, h0, *layer.parameters()])]


for nonlinearity in ("relu", "tanh"):
    for bias in (True, False):
        theirs = nn.RNN(5, 7, 2, nonlinearity=nonlinearity, bias=bias, dtype=torch.float64)
        ours = RNN(5, 7, 2, nonlinearity, bias).double()
        ours.load_state_dict(theirs.state_dict())
        x, h0 = draw(11, 3, 5).detach(), draw(2, 3, 7).detach()
        for mine, oracle in zip(gradients(ours, x, h0), gradients(theirs, x, h0), strict=True):
            torch.testing.assert_close(mine, oracle, atol=1e-10, rtol=1e-10)

# %% [markdown]
# And a layer with replicas is as many single layers:

# %%
many = RNN(5, 7, 2, "relu", replicas=3, generator=generator).double()
x, h0 = draw(3, 11, 4, 5).detach(), draw(3, 2, 4, 7).detach()
out, last = many(x, h0)
for s in range(3):
    one = RNN(5, 7, 2, "relu").double()
    one.load_state_dict({name: value[s] for name, value in many.state_dict().items()})
    for mine, oracle in zip((out[s], last[s]), one(x[s], h0[s]), strict=True):
        torch.testing.assert_close(mine, oracle, atol=1e-12, rtol=1e-12)

# %% [markdown]
# What is done to a layer of torch's can be done to this one: sequences of different lengths go in as a `PackedSequence`, outputs are padded or dropped in place, `autocast` casts, `torch.export` exports.

# %%
theirs = nn.RNN(5, 7, 2, bidirectional=True)
ours = RNN(5, 7, 2, bidirectional=True)
ours.load_state_dict(theirs.state_dict())
packed = nn.utils.rnn.pack_sequence([torch.randn(n, 5, generator=generator) for n in (2, 6, 3)], enforce_sorted=False)
test_close(ours(packed)[0].data.detach(), theirs(packed)[0].data.detach(), eps=1e-5)
with torch.autocast("cpu", torch.bfloat16):
    out, last = ours(torch.randn(4, 3, 5, generator=generator))
nn.functional.dropout(out, 0.5, inplace=True)
test_eq(out.dtype, torch.bfloat16)

# %% [markdown]
# What can't be is refused by name, and a wrong shape says what was expected. The hand-written backward pass cannot be differentiated again; who needs second derivatives, or `torch.jit.script`, takes `layer.as_torch()`, a `torch.nn.RNN` with the same parameters.

# %%
test_fail(lambda: many(x[:2]), contains="expected (3, steps, batch, 5)")
test_fail(lambda: many(packed), contains="without replicas")
test_fail(lambda: RNN(5, 7, nonlinearity="sigmoid"), contains="'relu', 'tanh'")
test_fail(lambda: RNN(5, 7, bias="no"), contains="True or False")
assert ours.as_torch().weight_hh_l0 is ours.weight_hh_l0

# %% [markdown]
# ## What does a replica cost?
#
# *Predict:* eight copies of a small network take how much longer than one?

# %%
#| fig-alt: "Time of forward and backward pass by number of replicas: as one computation it grows less than one after another."
copies = [1, 2, 4, 8]
layers = [(RNN(2, 128, nonlinearity="relu", replicas=s), torch.randn(s, 50, 32, 2)) for s in copies]
cost = [1e3 * seconds for seconds in median_time(*(lambda layer=layer, x=x: layer(x)[0].sum().backward() for layer, x in layers), rounds=5)]
fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
ax.plot(copies, cost, "o-", label="as one computation")
ax.plot(copies, [cost[0] * s for s in copies], "--", color="0.5", label="one after another")
ax.set(xlabel="replicas", ylabel="forward and backward (ms)", xticks=copies)
ax.legend(frameon=False)
plt.show()


# %% [markdown]
# The picture is drawn on the machine that built this page, so its numbers are that machine's. How much is saved depends on how idle one small product leaves
# the processor: little on a single core, much on many cores or a GPU.

# %% [markdown]
# ## Exercise 1: neurons that hear only themselves
#
# *5 min, easy.* An *independently recurrent* network (IndRNN) has a diagonal $W_h$: each neuron hears only itself. In the language of this book
# it is the inhibitor that is 0 at distance 0 and infinite elsewhere. Make an `RNN` with five neurons into one, run it, and show that a change in
# neuron 0's initial state reaches no other neuron.

# %%
def independent(layer):
    "The layer itself, after all of layer.weight_hh_l0 but the diagonal was set to zero"
    raise NotImplementedError


# %%
#| fold How it is checked
def reached(layer):
    "Which neurons feel a change of neuron 0's initial state"
    x, h0 = torch.zeros(3, 1, 2), torch.zeros(1, 1, 5)
    moved = h0.clone()
    moved[..., 0] = 1
    return ((layer(x, h0)[0] - layer(x, moved)[0])[-1, 0] != 0).tolist()


with exercise("multiply the weight by an identity matrix, in place and without a gradient", lambda: draw_matrices(recurrent_weights=independent(RNN(2, 5, generator=generator)).weight_hh_l0)) as expect:
    layer = independent(RNN(2, 5, generator=torch.Generator().manual_seed(1)))
    expect(lambda: (layer.weight_hh_l0 != 0).tolist(), gives=torch.eye(5).bool().tolist(), name="which weights are not zero")
    expect(reached, layer, gives=[True, False, False, False, False])


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def independent(layer):
#     with torch.no_grad():
#         layer.weight_hh_l0.mul_(torch.eye(layer.hidden_size))
#     return layer
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: how long does a state last?
#
# *5 min, easy.* Without input, a linear recurrent network multiplies its state by $W_h$ at each step. For $W_h = a\,I$, after how many steps is less than half of it left?

# %%
def half_life(a):
    "The least number of steps t with a**t < 1/2, for 0 < a < 1"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("take logarithms of a**t = 1/2, and then the next whole number", lambda: draw_curve(half_life, [k / 50 for k in range(1, 50)], "a", "steps until less than half is left")) as expect:
    for a, steps in ((0.1, 1), (0.6, 2), (0.9, 7), (0.99, 69)):
        expect(half_life, a, gives=steps)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def half_life(a):
#     return math.floor(math.log(0.5) / math.log(a)) + 1
# ```
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - The layer hands out all states and the last one. A task that reads the last state alone once sent a gradient of zeros back through every step; now the last state has a way of its own.
# - The outputs were once views of the states that the backward pass reads, so padding or dropout in place raised an error about views, from deep inside.
# - `RNN` once took seven of torch's arguments, of which the paper needs no more. Code that names `bidirectional=False`, as torch's own tests do, could not use it at all.
# - Drawn as torch draws it, a recurrent matrix forgets within fifty steps (see *A start near the identity*). The layer is then right and its networks still don't learn what takes longer: the chapter [adding](adding.ipynb) shows both starts.
#
# The published scripts loop over time in Python under automatic differentiation and train one network after another. The mathematics is the same.
#
# ## Recall and think
#
# <details><summary>Recall: which of the three products of a step can leave the loop?</summary>
#
# The weight gradient: it is one product over all steps.
#
# </details>
#
# <details><summary>Recall: why do replicas cost less than their number?</summary>
#
# A small product leaves a part of the processor idle.
#
# </details>
#
# <details><summary>Think: would the same trick serve an LSTM?</summary>
#
# Yes: its input projections and weight gradients leave the loop too; only its slopes are more.
#
# </details>
#
# **References.** Elman, *Finding structure in time* (1990). Le, Jaitly and Hinton, *A simple way to initialize recurrent networks of rectified
# linear units* (2015). Li et al., *Independently recurrent neural network* (2018). Equations 1 and 3 of the paper.
