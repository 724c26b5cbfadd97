# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Masks
#
# > Masks that hold, whatever the loop does, and how the smallest of six million weights are found

# %% [markdown]
# *Reading 45 min, exercises 10 min. To skip at a first reading:* all of it, until you need it.
#
# After this chapter you can
#
# - say by which doors a pruned weight comes back, and which hook shuts each,
# - train, copy, save, load, convert and average a pruned model without a thought for its masks,
# - take the smallest nine tenths of many weights, exactly so many, by reading each once.
#
# The question: *what must watch over a zero so that it stays one?*
#
# ```
#           backward    optimizer   your own    load_      state_dict,
#           grad(...)    .step()     loop       state_dict  sparsity()
#               |           |          |            |           |
#               +-----------+----[ mask ]-----------+-----------+
#                                    |
#                           a zero that stays one
# ```

# %%
#| default_exp sparsity.masks

# %%
#| export
import copy
import functools
import math
import warnings
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from weakref import WeakSet

import numpy as np
from typing import Annotated, Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook, register_module_parameter_registration_hook
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.optim.swa_utils import AveragedModel
from torch.utils.hooks import unserializable_hook

from modreg.geometry.arguments import Shape, Whole, checked, nearest
from modreg.layers.sparse import use_dense_products
from modreg.sparsity.weights import slots

# %%
#| hide
import matplotlib.pyplot as plt
from fastcore.test import test_eq, test_fail

from modreg.book.exercises import draw_curve, draw_matrices, exercise
from modreg.layers.sparse import median_time

plt.style.use("modreg.data.book")


# %% [markdown]
# The plain way is a hook on each gradient: what a pruned weight would get is taken away. Most training loops respect that. Some don't:

# %%
def gradient_mask(model, mask):
    weight = model.weight
    weight.data.mul_(mask)
    weight.register_hook(lambda gradient: gradient * mask)


def by_hand(model, optimizer, x):
    (gradient,) = torch.autograd.grad((model(x) - x).square().sum(), model.weight)
    with torch.no_grad():
        model.weight -= 0.1 * gradient


def by_optimizer(model, optimizer, x):
    optimizer.zero_grad()
    (model(x) - x).square().sum().backward()
    optimizer.step()


def by_average(model, optimizer, x):
    torch.nn.utils.vector_to_parameters(torch.nn.utils.parameters_to_vector(model.parameters()) + 0.01 * x.mean(), model.parameters())


LOOPS = {
    "SGD": (torch.optim.SGD, by_optimizer), "Adam, after some steps": (torch.optim.Adam, by_optimizer), "Muon": (torch.optim.Muon, by_optimizer),
    "autograd.grad": (torch.optim.SGD, by_hand), "written to": (torch.optim.SGD, by_average),
}


# %%
#| fig-alt: "Share of pruned weights that are still zero after five steps when only their gradient is masked: all of them under plain SGD and autograd, none under Adam, Muon or when written to."
def zeros_left(hold, optimizer, loop):
    torch.manual_seed(0)
    model, x = nn.Linear(8, 8, bias=False), torch.randn(16, 8)
    rule = optimizer(model.parameters(), lr=1e-2)
    by_optimizer(model, rule, x)
    mask = torch.rand(8, 8) < 0.1
    hold(model, mask)
    for _ in range(5):
        loop(model, rule, x)
    model(x)
    return (model.weight[~mask] == 0).float().mean().item()


left = {name: zeros_left(gradient_mask, *how) for name, how in LOOPS.items()}
fig, ax = plt.subplots(figsize=(6, 2.4), layout="constrained")
ax.barh(list(left), [100 * share for share in left.values()])
ax.set(xlabel="pruned weights that are still zero after five steps (%)", xlim=(0, 100))
ax.invert_yaxis()
plt.show()

# %% [markdown]
# *Predict:* why does one Adam step before the pruning do the harm, and why does Muon need none?
#
# Adam remembers: its momentum moves a weight whose gradient is zero. Muon makes each weight's step from the whole matrix. And a gradient that does not come by `backward`, or no gradient
# at all, passes no hook. The issue is not one more hook for one more rule. A mask must hold at every door by which a value may come in.

# %% [markdown]
# ## Zero is zero
#
# Multiplying by a mask has a trap: infinity times zero is NaN. To select (`torch.where`) is safe, and several times as slow. The bits of a float come to help: as an
# integer, anything times zero is zero. Piece by piece, so that the integers that torch makes of the mask never leave the processor's cache.

# %%
#| export
PIECE = 2**18  # weights that fit a processor's cache
INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes


@checked
def bits(values: Annotated[Tensor, Shape(kind="any", empty=True)]) -> Tensor:
    "The bits of floats, as integers in the same memory"
    return values.view(INTEGERS[values.element_size()])


def _pieces(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    "The same pieces of tensors of one shape, a cache full at a time; the whole of them if they are small, on a GPU, or not contiguous"
    flat = tensors[0].numel() > PIECE and all(t.is_cpu and t.is_contiguous() for t in tensors)
    return zip(*(t.view(-1).split(PIECE) if flat else [t] for t in tensors), strict=True)


@checked
@torch.no_grad()
def mask_(
    values: Annotated[Tensor, Shape("...", "any", empty=True)],  # a weight, its gradient or a moment; changed in place
    mask: Annotated[Tensor, Shape("...", "any", empty=True)],  # True where a value stays; same shape
) -> None:
    "Set values outside of a mask to exactly zero, even those that are not finite"
    if mask.is_meta and not values.is_meta:  # torch leaves the values as they are, without a word
        raise ValueError("mask is on meta, so it has no values; give one that says what stays")
    for integers, stays in _pieces(bits(values), mask):
        integers.mul_(stays)


# %%
for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.complex64):
    values, mask = torch.tensor([1.0, -2.0, torch.inf, torch.nan]).to(dtype), torch.tensor([True, False, False, False])
    mask_(values, mask)
    test_eq(values.to(torch.complex64).tolist(), [1, 0, 0, 0])


# %% [markdown]
# Masks come from here, from `torch.nn.utils.prune` as floats, from a file. What means the same is taken; all else is refused before anything has changed.

# %%
#| export
@checked
def check_names(
    names: Iterable[str],
    weights: Mapping[str, Annotated[Tensor, Shape("...", "any", empty=True)]],  # by name
    what: str,  # is given under these names
) -> None:
    "ValueError if one of the names is that of no weight; it says which comes nearest"
    for name in names:
        if name not in weights:
            raise ValueError(f"{what} for {name!r}, but there is no such weight; {nearest(str(name), list(weights))}there are {', '.join(weights)}")


# %%
#| export
@checked
def as_masks(
    masks: dict[str, Any],  # by name; True or 1 where a weight stays, False or 0 where it is pruned
    weights: Mapping[str, Annotated[Tensor, Shape("...", "any", empty=True)]],  # by name
) -> dict[str, Tensor]:  # of bool
    "Masks of these weights; ValueError if a name is unknown, a shape is another, or a value is neither 0 nor 1"
    check_names(masks, weights, "a mask is given")
    checked = {}
    for name, mask in masks.items():
        if not torch.is_tensor(mask):
            raise TypeError(f"mask of {name} is a {type(mask).__name__}; it is a tensor, True where a weight stays")
        if mask.shape != weights[name].shape:
            raise ValueError(f"mask of {name} has shape {tuple(mask.shape)}; the weight has {tuple(weights[name].shape)}")
        checked[name] = mask if mask.dtype == torch.bool else mask != 0
        if mask.dtype != torch.bool and not torch.equal(checked[name].to(mask.dtype), mask):
            raise ValueError(f"mask of {name} has values other than 0 and 1; it is a bool tensor, True where a weight stays")
    return checked


# %% [markdown]
# A gradient may be of any kind: dense, sparse (`nn.Embedding(sparse=True)`), or part of a graph of its own (`create_graph=True`).

# %%
#| export
@checked
def masked(
    gradient: Annotated[Tensor, Shape("...", "any", empty=True)],
    mask: Annotated[Tensor, Shape("...", "any", empty=True)],  # True where a value stays; same shape
) -> Tensor:
    "A copy with zeros outside of the mask, also of a sparse gradient, and of one that is differentiated again"
    if gradient.is_sparse:
        gradient = gradient.coalesce()
        values = masked(gradient.values(), mask[tuple(gradient.indices())])
        return torch.sparse_coo_tensor(gradient.indices(), values, gradient.shape, is_coalesced=True, check_invariants=False)
    return torch.where(mask, gradient, torch.zeros((), dtype=gradient.dtype, device=gradient.device))


@checked(late=True, trusts=True)
def mask_gradient_(weight: Tensor, mask: Tensor) -> None:
    "Take from a weight's gradient what lies outside of a mask, in place where that is possible"
    if weight.grad is None:
        return
    if weight.grad.layout == torch.strided and weight.grad.is_contiguous() and not weight.grad.requires_grad:
        mask_(weight.grad, mask)
    else:
        weight.grad = masked(weight.grad, mask)


# %% [markdown]
# ## What a module keeps
#
# Zeros are lost where something writes to a weight. There are five doors, and torch has a hook for each:
#
# | who writes | the hook |
# |---|---|
# | a gradient: of `backward`, or of `torch.autograd.grad` | of the tensor: it takes away what pruned weights would get |
# | an optimizer, by whatever rule, with whatever it remembers | after a step of *any* optimizer: the weights that it holds are masked |
# | a loop of one's own: `p.data -= lr * g`, an average, another algorithm altogether | before each forward pass: what was written since the last is masked |
# | `load_state_dict`, also with `assign=True`, which puts new parameters in the place of the old | before the next use: they are adopted, and masked; if the masks are let go first, what was loaded stays whole |
# | nobody, but the weights are read: `state_dict`, `sparsity`, saving | before they are read |
#
# First what is to be done, then when. A module's own parameters may be replaced at any time, so they are looked up whenever they are masked.

# %%
#| export
class _Watched:
    "The types of what is known of a module whose weights are watched"

    gradients: dict[str, Tensor]  # handed out
    lent: list[tuple[nn.Module, str, Tensor]]
    handles: list[Any]  # hooks of the module
    keep_gradients: bool
    written: bool
    copies: Any  # weak sets of guards
    followers: Any
    source: Any  # a weak reference to the guard that this one was copied from, or None


# %%
#| export
@checked
class MaskedModule(_Watched):
    "The weights of one module within their masks"

    module: nn.Module
    masks: dict[str, Tensor]  # by the module's attribute; True where a weight stays
    weights: dict[str, nn.Parameter]  # as they were last seen
    stamps: dict[str, tuple]  # how they looked then
    tensors: dict[str, int]  # which of C++ they were
    tensor_handles: dict[str, list]  # hooks of theirs

    def mask(self, name: str) -> Tensor:
        "The mask, where the weight is"
        if self.masks[name].device != self.weights[name].device:
            self.masks[name] = self.masks[name].to(self.weights[name].device)
        return self.masks[name]

    def adopt(self, name: str, weight: nn.Parameter | None) -> None:
        "Take a parameter in the place of another; ValueError if there is none or it has another shape"
        shape = tuple(self.masks[name].shape)
        if weight is None or weight.shape != shape:
            what = "no parameter any more" if weight is None else f"of shape {tuple(weight.shape)} now, and was pruned as {shape}"
            raise ValueError(f"{name} of a {type(self.module).__name__} is {what}: call remove() of its pruner before it is parametrized, replaced or deleted")
        self.weights[name] = weight
        self.watch(name)

    def watch(self, name: str) -> None:
        "Hooks on a weight, in place of those on an earlier one"
        _let_go(self.tensor_handles.pop(name, ()))
        self.tensor_handles[name], self.tensors[name] = watch_gradient(cast("Guard", self), name), self.weights[name]._cdata

    def refresh(self) -> None:
        "Adopt parameters that were put in the place of others"
        for name, weight in self.weights.items():
            there = self.module._parameters.get(name)
            if there is not weight and (there is None or isinstance(there, nn.Parameter)):  # else torch.func.functional_call lends a tensor
                self.adopt(name, there)
            elif weight._cdata != self.tensors[name]:  # after torch.utils.swap_tensors
                self.watch(name)

    @torch.no_grad()
    def apply_(self) -> None:
        "Set pruned weights to zero"
        self.refresh()
        for name, weight in self.weights.items():
            self.keep(name, weight)

    def keep(self, name: str, values: Annotated[Tensor, Shape("...", "any", empty=True)]) -> None:
        "Mask a weight's values, and note how it looks afterwards"
        now = _stamp(self.weights[name])
        self.written |= self.stamps.get(name, now) != now
        if not values.is_meta:
            mask_(values, self.mask(name))
        self.stamps[name] = _stamp(self.weights[name])


# %% [markdown]
# A tensor counts the writes to it, so that one comparison tells before a forward pass that nothing happened. Only writes through `p.data` are not counted. A few thousand
# pruned places, drawn at random, show those: who writes to a weight unseen writes to nearly all of it.

# %%
#| export
PROBE = 2**12  # places that are looked at


def _let_go(handles: Iterable) -> None:
    "Remove hooks"
    for handle in handles:
        handle.remove()


def _stamp(weight: Tensor) -> tuple[int, int]:
    "Changes when a tensor is written to, or gets other memory"
    return weight.data_ptr(), weight._version


def _probe(mask: Tensor) -> Tensor:
    "Some of the places that are pruned, all of them in a small matrix, as indices of the flat tensor"
    if mask.numel() <= PROBE:
        return mask.flatten().logical_not().nonzero()[:, 0]
    places = torch.randint(mask.numel(), (PROBE,), generator=torch.Generator().manual_seed(0)).to(mask.device)
    return places[mask.take(places).logical_not()]


# %%
#| export
@checked
class PrunedModule(MaskedModule):
    "Masks that change in the course of training"

    optimizers: "WeakSet[torch.optim.Optimizer]"  # whose memory of the weights is masked
    probes: dict[str, Tensor]  # places that are looked at

    def is_dirty(self, name: str) -> bool:
        "Whether a pruned place holds something; on a GPU, where looking would have to wait, it is always said to"
        if name not in self.probes:
            self.probes[name] = _probe(self.mask(name))
        weight, places = self.weights[name].detach(), self.probes[name]
        if weight.is_cpu and weight.is_contiguous():  # numpy has less to ask before it looks
            return bits(weight).numpy().reshape(-1)[places.numpy()].any()
        return weight.is_cuda or bool(bits(weight).take(places).any())

    def set(self, masks: dict[str, Tensor]) -> None:
        "Other masks, for the weights, their gradients, and all optimizers that have stepped along them"
        for name, mask in masks.items():
            if self.masks[name] is not mask:
                self.masks[name].copy_(mask)
            self.probes.pop(name, None)
        self.apply_()
        if not masks:
            return
        for name in masks:
            mask_gradient_(self.weights[name], self.mask(name))
        optimizers, self.optimizers = self.optimizers, WeakSet()
        for optimizer in optimizers:
            self.mask_optimizer_(optimizer)
        tell_copies(self, masks)

    @checked(late=True, trusts=True)
    def after_step(self, optimizer: torch.optim.Optimizer) -> None:
        "What an optimizer that holds the weights has done to them is undone where they are pruned"
        self.source = None
        self.apply_()
        if optimizer not in self.optimizers:
            self.mask_optimizer_(optimizer)

    @torch.no_grad()
    def mask_optimizer_(self, optimizer: torch.optim.Optimizer) -> None:
        "Set moments and momenta of pruned weights to zero"
        for name, weight in self.weights.items():
            for value in optimizer.state.get(weight, {}).values():
                if torch.is_tensor(value) and value.shape == weight.shape:
                    mask_(value, self.mask(name).to(value.device))
        if isinstance(optimizer, torch.optim.LBFGS) and optimizer not in self.optimizers:
            optimizer.state.clear()  # it remembers steps and gradients of all weights as one vector, and begins anew
        self.optimizers.add(optimizer)


# %% [markdown]
# A gradient that is accumulated is masked in place, once it is complete: one pass and no memory. One that `torch.autograd.grad` hands out may be shared with others, so a copy is masked.

# %%
#| export
def _is_accumulated(weight: Tensor) -> bool:
    "Whether the pass that runs will add to `weight.grad`; torch.autograd.grad does not"
    try:
        return torch._C._will_engine_execute_node(torch.autograd.graph.get_gradient_edge(weight).node)
    except (AttributeError, RuntimeError):  # torch has no answer within torch.autograd.grad
        return False


# %%
#| export
@checked
def watch_gradient(guard: "Guard", name: str) -> list:
    "Two hooks on a weight: for gradients that are handed out, and for those that are accumulated"
    weight = guard.weights[name]
    this: Any = weakref.ref(guard)

    @unserializable_hook
    def handed_out(gradient: Tensor) -> Tensor | None:
        guard: Any = this()
        if guard.keep_gradients:
            guard.gradients[name] = gradient  # as long as it is referred to, torch accumulates a copy
        return None if _is_accumulated(guard.weights[name]) else masked(gradient, guard.mask(name))

    def accumulated(weight: nn.Parameter) -> None:
        mask_gradient_(weight, this().mask(name))

    for kind in ("_backward_hooks", "_post_accumulate_grad_hooks"):  # of which C++ knows nothing any more, if its tensor was swapped
        if getattr(weight, kind) is not None:
            setattr(weight, kind, getattr(weight, kind))
    learns = weight.requires_grad
    weight.requires_grad_(True)  # torch takes no hook for a frozen weight, but keeps it
    handles = [weight.register_hook(handed_out), weight.register_post_accumulate_grad_hook(accumulated)]
    weight.requires_grad_(learns)
    return handles


# %%
#| export
@checked
def mask_before_forward(
    guard: "Guard",
    name: str,
    called: nn.Module,  # whose forward pass begins
) -> None:
    "Mask a weight that something wrote to, or what is there in its place for as long as the pass takes"
    weight, there = guard.weights[name], guard.module._parameters.get(name)
    if there is weight:
        if guard.stamps.get(name) != _stamp(weight) or guard.is_dirty(name):
            guard.refresh()
            guard.keep(name, weight.data)  # through `data`, so that it counts as no write: a backward pass may still need the weight
    elif there is not None:
        guard.lent.append((called, name, there))
        guard.module._parameters[name] = masked(there, guard.masks[name].to(there.device))  # type: ignore[assignment]  # for as long as the pass takes


def _is_traced() -> bool:
    "Whether a pass is compiled, exported or traced, and not run"
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


# %%
#| export
@checked
def give_back(
    guard: "Guard",
    called: nn.Module,  # whose forward pass is over
) -> None:
    "Undo what `mask_before_forward` put in a parameter's place"
    while guard.lent and guard.lent[-1][0] is called:
        _, name, there = guard.lent.pop()
        guard.module._parameters[name] = there  # type: ignore[assignment]


# %% [markdown]
# One hook in a process watches all optimizers, and every guard that is alive asks whether a step was about its weights.

# %%
#| export
GUARDS: "WeakSet[Guard]" = WeakSet()  # all that are alive


def _after_step(optimizer: torch.optim.Optimizer, args: tuple, kwargs: dict) -> None:
    stepped = {id(weight) for group in optimizer.param_groups for weight in group["params"]} if GUARDS else ()
    for guard in tuple(GUARDS):
        if any(id(weight) in stepped or id(guard.module._parameters.get(name)) in stepped for name, weight in guard.weights.items()):
            guard.after_step(optimizer)


@cache
def _watch_optimizers() -> None:
    register_optimizer_step_post_hook(torch.compiler.disable(_after_step))


# %% [markdown]
# A guard stands at one module and knows nothing but its weights and masks. So a copy of the module, by `copy.deepcopy` or by pickle, has a guard of its own, with the masks as they were.

# %%
#| export
@checked
def copy_guard(guard: "Guard", memo: dict) -> "Guard":
    "What copy.deepcopy makes of a guard: one that stands at the copied module, and knows where it comes from"
    memo[id(guard)] = copied = object.__new__(type(guard))
    copied.__setstate__(copy.deepcopy(guard.__getstate__(), memo))
    copied.stamps = {name: _stamp(weight) for name, weight in copied.weights.items()}
    copied.source = weakref.ref(guard)
    guard.copies.add(copied)
    return copied


# %%
#| export
@checked
class Guard(PrunedModule):
    "Keeps the weights of one module within their masks, whoever writes to them"

    def __init__(self, module: nn.Module, masks: dict[str, Tensor], keep_gradients: bool = False):
        weights = {name: module._parameters[name] for name in masks}
        hooks = [module.register_forward_pre_hook(self.before_forward), module.register_forward_hook(self.after_forward, always_call=True),
                 module.register_state_dict_pre_hook(self.before_saving), module.register_load_state_dict_post_hook(self.after_loading)]
        self.__setstate__({"module": module, "masks": masks, "weights": weights, "handles": hooks, "keep_gradients": keep_gradients})

    def __getstate__(self) -> dict:
        return {key: getattr(self, key) for key in ("module", "masks", "weights", "handles", "keep_gradients")}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self.gradients, self.stamps, self.probes, self.tensors, self.tensor_handles, self.lent = {}, {}, {}, {}, {}, []
        self.optimizers, self.copies, self.followers = WeakSet(), WeakSet(), WeakSet()
        self.source, self.written, self.checked = None, False, False
        for name in self.masks:
            self.watch(name)
        GUARDS.add(self)
        _watch_optimizers()

    __deepcopy__ = copy_guard

    @checked(trusts=True)
    def before_forward(self, module: nn.Module, args: tuple = ()) -> None:
        if self.checked:  # by the model, a moment ago
            self.checked = False
        elif not _is_traced() and module._parameters:  # there are none in the copies of torch.nn.DataParallel
            for name in self.masks:
                mask_before_forward(self, name, module)

    @checked(trusts=True)
    def after_forward(self, module: nn.Module, args: tuple, result: object) -> None:
        give_back(self, module)

    def before_saving(self, *of_the_hook: object) -> None:
        self.apply_()

    def after_loading(self, *of_the_hook: object) -> None:
        self.source = None  # what was loaded is masked when it is used, and stays whole if the masks are let go first

    def remove(self) -> None:
        "Let go"
        GUARDS.discard(self)
        _let_go([*self.handles, *(one for hooks in self.tensor_handles.values() for one in hooks)])
        self.tensor_handles.clear()


# %% [markdown]
# And what of an average of a model's weights? `torch.optim.swa_utils.AveragedModel` copies the model before most of the pruning is done, and is never trained by an optimizer. So its guards follow
# those that they were copied from. Any other copy keeps its own masks, since it may be meant as it is; if it is written to without an optimizer, as an average would be, a warning says how to make it follow.

# %%
#| export
@checked
def tell_copies(
    guard: PrunedModule,
    masks: dict[str, Tensor],  # by attribute
) -> None:
    "Set the masks of copies that follow; warn of others that were written to, as an average is"
    for copied in tuple(guard.followers):
        copied.set(masks)
    for copied in tuple(guard.copies):
        if masks and copied.source and (copied.written or any(copied.stamps[name] != _stamp(weight) for name, weight in copied.weights.items())):
            copied.source = None
            warnings.warn("a copy of this model was written to and is not pruned with it; if it is an average of its weights, "
                          "call modreg.sparsity.masks.follow(copy) when it is made", stacklevel=2)


# %%
#| export
@checked
def guards_of(model: nn.Module) -> list[Guard]:
    "All guards at modules of a model, whoever placed them there"
    hooks = [hook for module in model.modules() for hook in module._state_dict_pre_hooks.values()]
    return [guard for hook in hooks if isinstance(guard := getattr(hook, "__self__", None), Guard)]


@checked
def follow(
    average: nn.Module,  # a copy of a model
) -> None:
    "Prune a copy whenever its model is pruned from now on; ValueError if no model that is pruned was copied"
    copied = [guard for guard in guards_of(average) if guard.source and guard.source()]
    if not copied:
        raise ValueError(f"no weight of this {type(average).__name__} follows another: give a copy, by copy.deepcopy, of a model that is pruned")
    for guard in copied:
        source, guard.source = guard.source(), None
        source.followers.add(guard)
        guard.set(source.masks)


def _average(module: nn.Module, name: str, submodule: nn.Module | None) -> None:
    if submodule is not None and isinstance(module, AveragedModel) and any(guard.source and guard.source() for guard in guards_of(submodule)):
        follow(submodule)


_AVERAGES = register_module_module_registration_hook(_average)


# %% [markdown]
# The same for a parameter that is put in the place of another, by `module.weight = nn.Parameter(…)`.

# %%
#| export
def _replaced(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
    for hook in module._state_dict_pre_hooks.values():
        guard = getattr(hook, "__self__", None)
        if isinstance(guard, Guard) and name in guard.masks and parameter is not guard.weights[name]:
            guard.adopt(name, parameter)
            guard.keep(name, guard.weights[name].data)


_REPLACEMENTS = register_module_parameter_registration_hook(_replaced)


# %% [markdown]
# ## Masks of a model
#
# A name leads to one guard, or to several if a weight is tied.

# %%
#| export
@checked
def check_maskable(weights: dict[str, nn.Parameter]) -> dict[str, nn.Parameter]:
    "The weights; ValueError if one is of a kind that cannot be masked"
    for name, weight in weights.items():
        if not (weight.is_floating_point() or weight.is_complex()) or weight.element_size() not in INTEGERS:
            raise ValueError(f"{name} is {weight.dtype}; weights of 8 to 64 bits that are floating or complex can be masked")
        if weight.is_inference():
            raise ValueError(f"{name} was made under torch.inference_mode, so that nothing may watch it; make the model outside of it")
        if weight.layout != torch.strided:
            raise ValueError(f"{name} is stored as {weight.layout}; only dense weights can be masked")
    return weights


def _owners(model: nn.Module, weights: dict[str, nn.Parameter]) -> dict[nn.Module, dict[str, str]]:
    "By module: its attributes that are one of the weights, and the weights' names"
    names = {id(weight): name for name, weight in weights.items()}
    owners: dict[Any, dict[str, str]] = {}
    for slot in slots(model).values():
        if not slot.computed and id(slot.weight) in names:
            owners.setdefault(slot.owner, {})[slot.attribute] = names[id(slot.weight)]
    return owners


# %%
#| export
class _ByName:
    "Weights of a model by name"

    model: nn.Module
    places: dict[str, list[tuple[Guard, str]]]  # guard and attribute; more than one where a weight is tied
    _masks: dict[str, Tensor]

    def locate(self) -> None:
        "Move guards to modules that were put in the place of others; ValueError if there is none with such a weight"
        for name, ((guard, attribute), *_) in self.places.items():
            module: Any = self.model
            for part in name.split(".")[:-1]:
                module = getattr(module, "_modules", {}).get(part)
            if module is not guard.module and all(other is not guard.module for other in self.model.modules()):
                weight = getattr(module, "_parameters", {}).get(attribute)
                if weight is None or weight.shape != guard.masks[attribute].shape:
                    raise ValueError(f"{name} is no weight of this {type(self.model).__name__} any more: call remove() of its pruner before its module is replaced")
                guard.remove()
                guard.__init__(module, guard.masks, guard.keep_gradients)  # type: ignore[misc]  # at another module
                guard.apply_()

    @property
    def guards(self) -> list[Guard]:
        "One for each module that has weights"
        return list(dict.fromkeys(guard for places in self.places.values() for guard, _ in places))

    @property
    def weights(self) -> dict[str, nn.Parameter]:
        "The weights as they are now, by name"
        return {name: guard.weights[attribute] for name, ((guard, attribute), *_) in self.places.items()}

    @property
    def gradients(self) -> dict[str, Tensor]:
        "What the last backward pass gave to all weights, by name, if they are kept"
        first = {name: places[0] for name, places in self.places.items()}
        return {name: guard.gradients[attribute] for name, (guard, attribute) in first.items() if attribute in guard.gradients}

    @property
    def masks(self) -> dict[str, Tensor]:
        "True where a weight stays, by name, where the weight is"
        for name, weight in self.weights.items():
            self._masks[name] = self._masks[name].to(weight.device)
        return self._masks


# %%
#| export
@checked
class Masks(_ByName):
    "Masks of a model's weights that hold, whatever the loop does"

    def __init__(
        self,
        model: nn.Module,
        weights: dict[str, nn.Parameter],  # by name
        masks: dict[str, Tensor],  # True where a weight stays, by name; others are whole
        keep_gradients: bool = False,  # in `gradients`, by name: what the last backward pass gave to all weights, pruned ones too
    ):
        masks = as_masks(masks, check_maskable(weights))
        self._masks = {name: torch.ones_like(w, dtype=torch.bool, memory_format=torch.contiguous_format) for name, w in weights.items()}
        self.model, self.places = model, {name: [] for name in weights}
        for module, names in _owners(model, weights).items():
            guard = Guard(module, {attribute: self._masks[name] for attribute, name in names.items()}, keep_gradients)
            for attribute, name in names.items():
                self.places[name].append((guard, attribute))
        self.handles = model.register_forward_pre_hook(self.before_forward), model.register_forward_hook(self.after_forward, always_call=True)
        self.set(masks)

    @checked(trusts=True)
    def before_forward(self, model: nn.Module, args: tuple) -> None:
        "Also what a model reads from modules that it does not call"
        if not _is_traced():
            self.locate()
            for guard in self.guards:
                for name in guard.masks:
                    mask_before_forward(guard, name, model)
                guard.checked = guard.module is not model

    def after_forward(self, model: nn.Module, args: tuple, result: object) -> None:
        for guard in self.guards:
            guard.checked = False
            give_back(guard, model)

    def set(self, masks: dict[str, Tensor]) -> None:
        "Other masks for some of the weights; all are masked"
        self.locate()
        news: dict[Guard, dict[str, Tensor]] = {guard: {} for guard in self.guards}
        for name, mask in as_masks(masks, self.weights).items():
            for guard, attribute in self.places[name]:
                use_dense_products(guard.module, unless=lambda mask=mask, old=self.masks[name]: not (mask.to(old.device) & ~old).any())  # type: ignore[misc]  # new weights want gradients
                news[guard][attribute], guard.source = self.masks[name], None
            self.masks[name].copy_(mask)
        for guard, new in news.items():
            guard.set(new)

    def remove(self) -> None:
        "Let go; the zeros stay zeros until something trains them"
        _let_go(self.handles)
        for guard in self.guards:
            guard.remove()
            use_dense_products(guard.module)


# %% [markdown]
# The loops of the first picture once more:

# %%
def hold(model, mask):
    return Masks(model, {"weight": model.weight}, {"weight": mask})


test_eq({name: zeros_left(hold, *how) for name, how in LOOPS.items()}, dict.fromkeys(LOOPS, 1))

# %% [markdown]
# Copied, loaded, replaced, halved, averaged:

# %%
layer, mask = nn.Linear(8, 8), torch.rand(8, 8) < 0.5
held = hold(layer, mask)
average = torch.optim.swa_utils.AveragedModel(layer)
copied = copy.deepcopy(layer)
by_optimizer(copied, torch.optim.Adam(copied.parameters()), torch.randn(4, 8))
test_eq(copied.weight != 0, mask)

layer.load_state_dict({name: torch.randn_like(value) for name, value in layer.state_dict().items()}, assign=True)
layer(torch.randn(4, 8))
test_eq(layer.weight != 0, mask)
layer.weight = nn.Parameter(torch.randn(8, 8))
test_eq(layer.half().weight != 0, mask)
held.set({"weight": torch.eye(8)})
test_eq(average.module.weight.count_nonzero() <= 8, True)

# %% [markdown]
# What does it cost? A pass over the weights after each step, beside the one over their gradients. A million weights, and the step of the quickest Adam:

# %%
layer = nn.Linear(1000, 1000)
layer.weight.grad = torch.randn_like(layer.weight)
optimizer = torch.optim.Adam([layer.weight], fused=True)
held, x = hold(layer, torch.rand(1000, 1000) < 0.1), torch.randn(100, 1000)
costs = median_time(lambda: layer(x), lambda: mask_(layer.weight, held.masks["weight"]), optimizer.step, rounds=20)
for name, seconds in zip(("forward pass, batch of 100", "mask", "Adam, masked"), costs, strict=True):
    print(f"{name}: {1e3 * seconds:.2f} ms")


# %% [markdown]
# ## The smallest weights, exactly so many
#
# The naive form sorts all magnitudes and takes the value at the wanted place as a threshold:

# %%
def naive_keep(magnitudes: Tensor, zeros: int) -> Tensor:
    "True where a weight is above the `zeros`-th smallest"
    return magnitudes > magnitudes.sort().values[zeros - 1]


# %% [markdown]
# *Predict:* how many weights does it remove from $(1, 2, 2, 2, 3)$ when it is asked for two?

# %%
naive_keep(torch.tensor([1.0, 2, 2, 2, 3]), 2).logical_not().sum().item()

# %% [markdown]
# Ties go together, so the count is wrong. And a sort does far too much: all that is asked for is which weights are small, not their order.
#
# *Predict:* how often must each weight be read to find the smallest nine tenths of six million?
#
# 1. The bits of a float, read as an integer, are in the same order as the magnitudes, with infinity and NaN at the end, where they belong. So select integers.
# 2. A sample of some ten thousand weights brackets the threshold between two values. Nearly all weights lie clearly below or clearly above, and one comparison with each end says so.
# 3. Only the few in between are looked at more closely, and ties among them go by index.
#
# Once, then, if both comparisons are made while a piece of the weights is in the processor's cache, and however many ties there are. Should the bracket miss, which happens once in ten thousand times, it is opened wide and the answer is still exact.

# %%
#| export
SAMPLE = 2**15  # magnitudes that are drawn to bracket the threshold
NEAR = 2**17  # weights that are looked at before the next: they, and what is made of them, fit the nearest large cache


@functools.lru_cache(8)
def _places(n: int) -> np.ndarray:
    "Places of the sample among n weights, in order; the same each time"
    return np.sort(torch.randint(n, (SAMPLE,), generator=torch.Generator().manual_seed(0)).numpy())


def _bracket(parts: list[np.ndarray], zeros: int, first: np.ndarray | None) -> tuple:
    "Two values that enclose the `zeros`-th smallest, but for four standard deviations of bad luck"
    ends = np.cumsum([len(part) for part in parts])
    places = _places(int(ends[-1]))
    each = np.split(places, np.searchsorted(places, ends[:-1]))
    sample = np.concatenate([part[some - end] for part, some, end in zip(parts, each, ends, strict=True)])  # counted from the part's end
    share = zeros / ends[-1]
    middle, margin = share * SAMPLE, 4 * math.sqrt(SAMPLE * share * (1 - share)) + 4
    low, high = max(int(middle - margin), 0), min(int(middle + margin), SAMPLE - 1)
    sample = np.partition(_keys(sample, None if first is None else first[places]), (low, high))  # only these two stand where a sort would put them
    return sample[low], sample[high]


def _keys(integers: np.ndarray, first: np.ndarray | None, out: np.ndarray | None = None) -> np.ndarray:
    "Integers in the order of the magnitudes: bits without that of the sign, and -1 for what goes first"
    keys = np.bitwise_and(integers, np.iinfo(integers.dtype).max, out=out)
    if first is not None:
        keys[first] = -1
    return keys


# %%
#| export
def _smallest(parts: list[np.ndarray], zeros: int, first: np.ndarray | None, pruned: np.ndarray, wide: bool) -> None:
    "Make `pruned` True at the `zeros` smallest of bits side by side, and False elsewhere; `wide` looks at all of them closely"
    low, high = (-1, np.iinfo(parts[0].dtype).max) if wide else _bracket(parts, zeros, first)
    between: Any = []
    close: Any = []
    end = 0
    size = min(NEAR, max(map(len, parts)))
    all_keys, all_near = np.empty(size, parts[0].dtype), np.empty(size, bool)  # written anew for each piece, so that they stay in the cache
    for piece in (part[begin : begin + NEAR] for part in parts for begin in range(0, len(part), NEAR)):
        start, end = end, end + len(piece)
        keys, near, below = _keys(piece, None if first is None else first[start:end], all_keys[: len(piece)]), all_near[: len(piece)], pruned[start:end]
        np.less(keys, low, out=below)
        np.not_equal(np.less_equal(keys, high, out=near), below, out=near)
        places = np.flatnonzero(near)
        between.append(start + places)
        close.append(keys[places])
    between, close = np.concatenate(between), np.concatenate(close)
    missing = zeros - np.count_nonzero(pruned)
    if not 0 <= missing <= len(between):
        return _smallest(parts, zeros, first, pruned, True)
    if missing:
        threshold = np.partition(close, missing - 1)[missing - 1]
        below = close < threshold
        pruned[between[below]] = True
        pruned[between[close == threshold][: missing - np.count_nonzero(below)]] = True


# %%
#| export
@checked
def smallest(
    values: Sequence[Annotated[Tensor, Shape("S ...", "any", empty=True)]],  # (S, n₁), (S, n₂), …, which stand side by side: n = n₁ + n₂ + …
    zeros: Whole | Sequence[Whole],  # how many of each row
    first: Annotated[Tensor, Shape("S n", "bool")] | None = None,  # True at what goes before all others (S, n)
) -> Tensor:  # True at exactly `zeros` places of each row (S, n)
    "The `zeros` smallest magnitudes of each row, of equal ones those that come first; a weight that diverged is not small"
    values = [v.detach().abs() if v.is_complex() else v.detach().float() if v.element_size() == 1 else v.detach() for v in values]
    dtype = functools.reduce(torch.promote_types, (v.dtype for v in values))
    integers = [bits(v.to(dtype).contiguous()).cpu().numpy() for v in values]
    pruned = np.empty((len(integers[0]), sum(b.shape[1] for b in integers)), dtype=bool)
    before = [None] * len(pruned) if first is None else first.cpu().numpy()
    for s, row in enumerate(pruned):
        _smallest([b[s] for b in integers], zeros if isinstance(zeros, int) else zeros[s], before[s], row, len(row) <= 4 * SAMPLE)
    return torch.from_numpy(pruned).to(values[0].device)


# %%
test_eq(smallest([torch.tensor([[1.0, 2, 2, -2, -3]])], 2).tolist(), [[True, True, False, False, False]])
generator = torch.Generator().manual_seed(0)
for values in (torch.randint(0, 20, (3, 1000), generator=generator).float(), torch.rand(1, 200_000, generator=generator)):
    n = values.shape[1]
    for zeros in (0, 1, n // 2, n - 1, n):
        order = values.argsort(dim=1, stable=True)[:, :zeros]
        test_eq(smallest(values.split(n // 3, 1), zeros), torch.zeros_like(values, dtype=torch.bool).scatter_(1, order, True))

# %%
values = torch.rand(1, 1_000_000, generator=generator)
for name, seconds in zip(("sorted", "bracketed"), median_time(lambda: naive_keep(values[0], 900_000), lambda: smallest([values], 900_000), rounds=5), strict=True):
    print(f"{name}: {1e3 * seconds:.0f} ms for a million weights")


# %% [markdown]
# ## Exercise 1: what came back
#
# *5 min, easy.* A pruner of your own wants to know what came back. Write how many weights outside of their masks are not zero, for a whole model.

# %%
def revived(weights, masks):
    "How many weights outside of their masks are not zero, of weights and masks by name"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("~mask selects what is pruned; count_nonzero counts", lambda: draw_matrices(mask=held.masks["weight"][:40, :40], weight=held.weights["weight"][:40, :40] != 0)) as expect:
    expect(revived, {"a": torch.tensor([0.0, 1.0, 2.0])}, {"a": torch.tensor([True, True, False])}, gives=1)
    held.weights["weight"].data.fill_(1.0)  # unseen
    expect(lambda: revived(held.weights, held.masks), gives=(~held.masks["weight"]).sum().item(), name="after an unseen change, your count")
    layer(x)
    expect(lambda: revived(held.weights, held.masks), gives=0, name="after a forward pass, your count")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def revived(weights, masks):
#     return sum(weights[name][~mask].count_nonzero().item() for name, mask in masks.items())
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: the width of luck
#
# *5 min, easy.* The bracket is as wide as four standard deviations of luck. Write the standard deviation of the number of drawn weights, of $n$ drawn, that lie below a threshold with a share $p$ of all below it.

# %%
def luck(n, p):
    "Standard deviation of the number of n drawn weights that lie below a threshold with a share p of all below it"
    raise NotImplementedError


# %%
#| fold How it is checked
drawn = (torch.rand(2000, 1000, generator=torch.Generator().manual_seed(0)) < 0.9).sum(1).float()
with exercise("n draws, each below with probability p: a binomial", lambda: draw_curve(lambda p: luck(1000, p), [k / 50 for k in range(51)], "share below the threshold", "standard deviation of 1000 draws")) as expect:
    expect(luck, 1000, 0.9, gives=drawn.std().item(), within=0.05)
    expect(luck, 4, 0.5, gives=1.0)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def luck(n, p):
#     return math.sqrt(n * p * (1 - p))
# ```
#
# </details>

# %% [markdown]
# ## Mistakes that are caught

# %%
test_fail(lambda: as_masks({"wieght": mask}, held.weights), contains="did you mean 'weight'?")
test_fail(lambda: as_masks({"weight": torch.full((1000, 1000), 0.5)}, held.weights), contains="other than 0 and 1")
layer.weight = nn.Parameter(torch.zeros(1000, 1000))
del layer.weight
test_fail(lambda: held.set({}), contains="no parameter any more")

# %% [markdown]
# ## What broke, and what the paper did
#
# The first edition masked gradients and the moments of the optimizer that it was given. Over torch's own list of optimizer settings, zeros held in 77 of 87; in 43 where the optimizer was not given.
# A pruned weight whose gradient overflowed came back as NaN, as long as the hook multiplied floats by the mask. And numpy's `partition`, quick as it is
# on weights that all differ, took twenty times as long on a network that was half pruned, since weights that are pruned all count the same. A bracket needs no such luck, and sorts only what lies in it.
#
# What no hook sees: a write by `p.data` to a few places of a large matrix alone, between two forward passes. It is undone after the next step. And `torch.jit.script` compiles hooks as if they were layers:
# call `remove()` first. Tracing, `torch.export` and `torch.compile` leave them out.
#
# `torch.nn.utils.prune`, which the paper's scripts use, multiplies by the mask in every forward pass, keeps a second copy of each weight (`weight_orig`), and lets it drift under the mask.
#
# ## Recall and think
#
# <details><summary>Recall: by which doors does a pruned weight come back?</summary>
#
# Gradients, an optimizer's memory, writes of one's own, loading, and reading before the mask was applied.
#
# </details>
#
# <details><summary>Recall: how are exactly so many of the smallest weights found in one reading?</summary>
#
# A sample brackets the threshold; only what lies in the bracket is looked at more closely.
#
# </details>
#
# <details><summary>Think: why are ties a problem for a threshold, and when do they come in masses?</summary>
#
# All that tie fall together; and all pruned weights are equal, so a network that is half pruned has many.
#
# </details>
#
# **References.** Frankle and Carbin, *The lottery ticket hypothesis* (2019). Gale et al., *The state of sparsity in deep neural networks* (2019). Section 4 of the paper.
