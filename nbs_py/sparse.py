# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Sparse
#
# > Zeros that save time: products, networks and training with the weights that are left, and blocks that follow the geometry

# %% [markdown]
# *Reading 60 min, exercises 8 min. To skip at a first reading:* all of it, until you need it.
#
# After this chapter you can
#
# - multiply by the surviving weights alone, and say why nine zeros in ten do not make a product ten times as fast,
# - run a pruned network several times as fast as its dense twin, and train it faster, too; write it to a small file and read it again,
# - prune whole blocks between groups of neighbours, and say what that costs.
#
# The question: *a mask makes weights zero, and the processor multiplies by zero as slowly as by anything else. What must happen for sparsity to save time?*

# %%
#| default_exp layers.sparse

# %%
#| export
import json
import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Annotated

import numpy as np
import torch
from torch import Tensor, nn

from modreg.geometry.arguments import Count, OneOf, Shape, Whole, Within, checked, shown
from modreg.layers.recurrent import _ACTIVATIONS, _SLOPES, ElmanFunction, ElmanWeights, Linear, _expect, _is_plain, _linear, _suffixes, first_derivatives

# %%
#| hide
import tempfile
from importlib.resources import files
from itertools import product

import matplotlib.pyplot as plt
from fastcore.test import test_close, test_eq, test_fail
from IPython.display import Markdown, display

from modreg.book.exercises import draw_lines, exercise
from modreg.geometry.manifolds import Torus
from modreg.layers.recurrent import RNN
from modreg.sparsity.pruning import MagnitudePruner

plt.style.use("modreg.data.book")
generator = torch.Generator().manual_seed(0)

# %%
#| echo: false
#| fig-alt: "Speed of a sparse product beside a dense one by sparsity: this chapter's beats the dense one from the start, torch's only beyond 80 % zeros; both stay below what the number of products would give."
from modreg.layers.sparse import SparseMatrix as Finished
from modreg.layers.sparse import median_time


def random_sparse(n, zeros, dtype=torch.float32):
    "A matrix with a share of zeros at random places"
    return torch.randn(n, n, generator=generator, dtype=dtype) * (torch.rand(n, n, generator=generator) >= zeros)


shares, states = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98), torch.randn(512, 200, generator=generator)
target, gains = torch.zeros(512, 200), {"torch's CSR": [], "this chapter": []}
for zeros in shares:
    weight = random_sparse(512, zeros)
    finished = Finished.of(weight)
    sides = (lambda w=weight: torch.mm(w, states, out=target), lambda f=finished: torch.addmm(target, f._torch, states, out=target), lambda f=finished: f.add_(states, target))
    dense_time, *times = median_time(*sides, rounds=15)
    for name, seconds in zip(gains, times, strict=True):
        gains[name].append(dense_time / seconds)
fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
for name, gain in gains.items():
    ax.plot([1 / (1 - zeros) for zeros in shares], gain, "o-", label=name)
ax.plot([2, 50], [2, 50], color="0.6", linestyle=":", label="if only products cost")
ax.axhline(1, color="0.6", linewidth=1)
ax.set(xscale="log", yscale="log", xlabel="weights for each one that is left", ylabel="times as fast as dense")
ax.set_xticks([1 / (1 - z) for z in shares], labels=[f"{1 / (1 - z):.3g}" for z in shares])
ax.set_xticks([], minor=True)
ax.legend(frameon=False)
plt.show()


# %% [markdown]
# One product of a recurrent step, 512 neurons and a batch of 200, timed when this page was made. *Predict:* the dotted line is what one hopes for. What stands between it and the others?
#
# ## Where the time goes
#
# A dense product reads each number many times, from the processor's registers. It is limited by arithmetic alone. A sparse product must first learn *which* state a weight wants. Written as it is read:

# %%
def naive_product(weight, states):
    "W h, by the weights that are not zero, one by one"
    out = torch.zeros(weight.shape[0], states.shape[1], dtype=states.dtype)
    for i, j in weight.nonzero():
        out[i] += weight[i, j] * states[j]
    return out


weight, states = random_sparse(40, 0.9, torch.float64), torch.randn(40, 7, generator=generator, dtype=torch.float64)
test_close(naive_product(weight, states), weight @ states, eps=1e-12)

# %% [markdown]
# Each surviving weight $W_{ij}$ adds a multiple of one row of states to another row. Three things make that quick, and the chapter [kernels](kernels.ipynb) writes loops that do them:
#
# 1. *States stand in columns*, (neurons, batch): a row is a neuron's state over the whole batch, in one piece, and eight of its numbers are multiplied at once.
# 2. *Sums stay in registers* until all weights of a row are through. Where four rows have their weights in the same columns, a row of states is even read once for all four.
# 3. *Panels*: the columns of $W$ are taken some at a time, so that the states which they want fit into one of the processor's caches, however wide the network. But each panel costs a row the way of its sums into registers and back, so the fewer weights there are, the wider are the panels; and where a panel would hold hardly any of a row, there are none.
#
# So the weights are stored panel by panel, and row by row within a panel, as in the usual *compressed sparse rows*; or, in place of single rows, in *4×1 blocks*: sets of four rows that are as alike as can be, with a value in each for every column.

# %%
#| export
STRIP = 104  # floats of the widest strip of a batch

@checked
@dataclass(frozen=True, eq=False)
class Pattern:
    "Where a matrix may differ from zero, panel by panel and row by row, or by blocks of 4 rows and 1 column"

    shape: tuple[int, int]
    rows: Tensor  # which rows make a set (sets, 1 or 4)
    start: Tensor  # where each set of rows begins in each panel, and the end (panels · sets + 1,), int32
    columns: Tensor  # (n,), int32
    index: Tensor  # where each value stands in the flattened matrix, or the list of edges (n, 1 or 4); `size` where there is no edge
    size: int  # entries of the matrix, or edges
    panel: int  # columns of a panel; 0 if there is only one, or replicas, each with its own
    replicas: int = 1  # matrices of one shape along the diagonal
    has_gaps: bool = False  # whether a set of rows has places without an edge
    in_order: bool = False  # whether values stand in the order of the edges

    def sets(self) -> Tensor:  # (n,)
        "The set of rows of each column"
        return torch.arange(len(self.start) - 1).repeat_interleave(self.start.diff()) % len(self.rows)

    @classmethod
    def of(
        cls,
        mask: Annotated[Tensor, Shape(empty=True)],  # True where a weight may differ from zero (rows, columns); of replicas (S, rows, columns), for one matrix with theirs along its diagonal
        transposed: bool = False,  # make the pattern of the transposed matrix, with its index into the matrix itself
        rows_per_set: int = 1,  # 1, or 4, a divisor of the number of rows
        batch: Count = STRIP,  # states at once: panels are wider for few
    ) -> "Pattern":
        "The pattern of a mask; ValueError if it is neither a matrix nor those of replicas"
        replicas, height, width = _checked_mask_shape(mask)
        replica, i, j = mask.cpu().reshape(replicas, height, width).nonzero(as_tuple=True)
        edges = cls.from_edges(i + replica * height, j + replica * width, (replicas * height, replicas * width), transposed, rows_per_set, replicas, batch)
        i, j = edges.rows[edges.sets()], edges.columns.long()[:, None]  # of a set all rows, whatever the mask says of each
        return replace(edges, has_gaps=False, in_order=False, index=(j * width + i % max(1, width)) if transposed else (i * width + j % max(1, width)), size=mask.numel())

    @classmethod
    def from_edges(
        cls,
        rows: Annotated[Tensor, Shape("n", "int", empty=True)],  # the neuron that an edge leads to (n,), whole numbers
        columns: Annotated[Tensor, Shape("n", "int", empty=True)],  # the neuron that it comes from (n,)
        shape: tuple[Whole, Whole],  # of the whole matrix, which is never made
        transposed: bool = False,  # make the pattern of the transposed matrix, for the same edges
        rows_per_set: int = 1,  # 1, or 4, a divisor of the number of rows
        replicas: Count = 1,  # the matrix consists of so many of one shape along its diagonal
        batch: Count = STRIP,  # states at once: panels are wider for few
    ) -> "Pattern":
        "The pattern of a list of edges in any order, each but once; its memory grows with the edges. ValueError if they are not such a list"
        i, j, shape = _checked_edges(rows, columns, shape, transposed, rows_per_set, replicas)
        *parts, index, size, panel = _arranged(i, j, shape, rows_per_set, replicas, batch)
        has_gaps, in_order = rows_per_set > 1 and bool((index == size).any()), rows_per_set == 1 and bool((index.diff(dim=0) == 1).all())
        return cls(shape, *parts, index, size, panel, replicas, has_gaps, in_order)


# %% [markdown]
# Edges come in any order. They are sorted by panels, then by sets of rows, then by columns. In 4×1 blocks a column is stored once for four rows, some of which may have no edge there.

# %%
#| export
def _checked_mask_shape(mask: Tensor) -> tuple[int, int, int]:
    "Replicas, rows and columns; ValueError for what is no matrix"
    if mask.dim() not in (2, 3):
        raise ValueError(f"the mask has shape {tuple(mask.shape)}; a pattern is of a matrix (rows, columns), or of those of replicas (S, rows, columns)")
    return mask.shape[:-2].numel(), *mask.shape[-2:]


def _checked_edges(rows: Tensor, columns: Tensor, shape: tuple, transposed: bool, rows_per_set: int, replicas: int) -> tuple[Tensor, Tensor, tuple[int, int]]:
    "Rows, columns and shape, of the transposed matrix if that is wanted; ValueError if they do not fit together"
    rows, columns = torch.as_tensor(rows), torch.as_tensor(columns)
    if rows.dim() != 1 or rows.shape != columns.shape or any(t.is_floating_point() or t.dtype == torch.bool for t in (rows, columns)):
        raise ValueError(f"edges are two tensors (n,) of whole numbers; these have shapes {tuple(rows.shape)} and {tuple(columns.shape)}, and are of {rows.dtype} and {columns.dtype}")
    ends, (height, width) = (rows.cpu().long(), columns.cpu().long()), map(int, shape)
    for name, numbers, size in zip(("rows", "columns"), ends, (height, width), strict=True):
        if size % replicas or (len(numbers) and not 0 <= numbers.min() <= numbers.max() < size):
            raise ValueError(f"the {name} of edges in a matrix of shape {(height, width)} with replicas={replicas} are from 0 to {size - 1}, and as many for each replica")
    if (ends[0] * replicas // max(1, height) != ends[1] * replicas // max(1, width)).any():
        raise ValueError(f"with replicas={replicas}, an edge leads from a neuron to one of the same replica")
    i, j = ends[::-1] if transposed else ends
    height, width = (width, height) if transposed else (height, width)
    if rows_per_set not in (1, 4) or height // replicas % rows_per_set:
        raise ValueError(f"rows_per_set={rows_per_set} for a matrix with {height // replicas} rows; it is 1, or 4 if the number of rows is a multiple of 4")
    return i, j, (height, width)


# %%
#| export
PANEL = 64, 1024  # least and most columns of a panel, for the widest strips: the states that a strip wants of 64 stay in a processor's first cache, of 512 in its second
ENOUGH = 20  # weights of a row in a panel that pay for its sums' way to registers and back; more for narrow strips, whose states take less room


def _panel(weights: int, sets: int, width: int, batch: int) -> int:
    "Columns of a panel, as few as hold enough weights of a row"
    narrow = STRIP / min(max(1, batch), STRIP)
    columns = ENOUGH * narrow**0.5 * sets * width / max(1, weights)
    if columns > 5 * PANEL[1] * narrow:
        return width  # four weights or fewer in the widest panel: there would be more panels to look into than weights
    return math.ceil(min(max(columns, PANEL[0] * narrow), PANEL[1] * narrow))


def _arranged(i: Tensor, j: Tensor, shape: tuple[int, int], rows_per_set: int, replicas: int, batch: int) -> tuple[Tensor, Tensor, Tensor, Tensor, int, int]:
    "Rows, start, columns, index, size and panel of the pattern of edges (i, j)"
    (height, width), edges, columns = shape, len(i), j
    width, belongs, index, sets = width // replicas, i, torch.arange(edges)[:, None], torch.arange(height)[:, None]
    if rows_per_set > 1:
        sets = _similar_rows(i, columns, height, width, replicas).view(-1, rows_per_set)
        columns, belongs, index = _blocks(i, columns, sets, width)
    panel = _panel(len(columns), len(sets), width, batch)
    within = columns % max(1, width)
    stretch = within // panel * len(sets) + belongs
    key, order = (stretch * max(1, width) + within).sort()
    if not (key.diff() > 0).all() or (rows_per_set > 1 and (index < edges).sum() < edges):
        raise ValueError("an edge is in the list more than once; add up its values, and name it once")
    counts = torch.bincount(stretch, minlength=max(1, -(-width // panel)) * len(sets))
    start = torch.cat([counts.new_zeros(1), counts.cumsum(0)]).int()
    return sets, start, columns[order].int(), index[order], edges, panel * (replicas == 1 and width > panel)


# %%
#| export
def _blocks(i: Tensor, j: Tensor, sets: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor]:
    "Columns that sets of rows have (n,), these sets (n,), and the edge of each row of the set, or the number of edges where it has none (n, rows of a set)"
    place = sets.flatten().argsort()[i]
    belongs, slot = place // sets.shape[1], place % sets.shape[1]
    key, order = (belongs * max(1, width) + j % max(1, width)).sort()
    new = torch.ones_like(order, dtype=torch.bool)
    new[1:] = key.diff() != 0
    index = torch.full((int(new.sum()), sets.shape[1]), len(i))
    index[new.cumsum(0) - 1, slot[order]] = order
    return j[order][new], belongs[order][new], index


def _similar_rows(i: Tensor, j: Tensor, height: int, width: int, replicas: int) -> Tensor:
    "An order of the rows of each replica in which equal ones are neighbours, and long ones lie anywhere: that of a sum of random numbers, one for each column"
    numbers, order = torch.randn(width, generator=torch.Generator().manual_seed(0), dtype=torch.float64), j.argsort(stable=True)
    sums = torch.zeros(height, dtype=torch.float64).index_add_(0, i[order], numbers[j[order] % max(1, width)])
    return (sums.view(replicas, -1).argsort(stable=True) + height // replicas * torch.arange(replicas)[:, None]).flatten()


@checked
def patterns_of(
    mask: Tensor,  # True where a weight stays, (M, N) or (S, M, N)
    batch: int = STRIP,  # states at once, as for `Pattern.of`
) -> tuple[Pattern, Pattern]:  # of the matrix, and of the transposed one
    "What training needs to know of a mask"
    return Pattern.of(mask, batch=batch), Pattern.of(mask, transposed=True, batch=batch)


# %% [markdown]
# ## Products
#
# The kernels are compiled when they are first used, and run on as many threads as torch does. They need numba, an optional package (the extra `kernels`); without it, torch's own sparse product stands in.

# %%
#| export
@cache
def _kernels() -> ModuleType | None:
    "The chapter `kernels`; None without numba"
    try:
        from modreg.layers import kernels
    except (ImportError, RuntimeError):  # it is not installed, or finds no folder to keep what it compiles
        return None
    return kernels


def _missing(batch: int) -> int:
    "What a batch lacks to be 1 or a multiple of 4: a kernel is not compiled for each number"
    return -batch % 4 if batch > 1 else 0


def _filled(columns: Tensor, batch: int) -> Tensor:
    "Columns (..., batch), with zeros up to a batch for which there is a kernel"
    return nn.functional.pad(columns, (0, _missing(batch))) if _missing(batch) else columns


@contextmanager
def _beta() -> Iterator[None]:
    "Sparse rows of torch without its warning that they may yet change"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        yield


# %%
#| export
ALONE = 90_000  # multiplications of registers up to which a second thread costs more than it saves


def _is_light(pattern: Pattern, batch: int, steps: int = 1) -> bool:
    "Whether products with so many states take less time than to wake a second thread"
    return pattern.index.numel() * max(1, batch // 8) * steps <= ALONE


def _call(function: Callable, pattern: Pattern, *arguments: int | np.ndarray, rows_per_set: int = 1) -> None:
    "Run a kernel, whose last arguments but one are states (steps, columns, batch), on as many threads as torch uses, or on one if there is little to do"
    states, threads = arguments[-2], torch.get_num_threads()
    if states.size == 0:
        return
    alone = threads == 1 or _is_light(pattern, states.shape[-1], len(states))
    kernel = _kernels().compiled(function, states.dtype, states.shape[-1], rows_per_set, not alone)
    kernel(1, *arguments) if alone else _on_threads(kernel, threads, *arguments)


def _on_threads(kernel: Callable, threads: int, *arguments: int | np.ndarray) -> None:
    "Run a kernel on so many threads, and leave torch those that it has"
    import numba

    used = min(threads, numba.config.NUMBA_NUM_THREADS)
    numba.set_num_threads(used)
    kernel(used, *arguments)
    if torch.get_num_threads() != threads:  # numba sets it when it starts its own
        torch.set_num_threads(threads)


# %% [markdown]
# A matrix is a pattern and its values. Below it is set against the dense product, in both precisions; with rows that are empty, more than one panel, and nothing at all; as it is, transposed, and in 4×1 blocks.
#
# Where a step of a recurrence is short, a whole sequence is one call of a kernel. Where it is long, what Python costs does not count, and torch has the quicker activations.

# %%
#| export
PRECISIONS = (torch.float32, torch.float64)  # of sparse products


def _values(pattern: Pattern, weight: Tensor) -> Tensor:
    "The weights of a pattern in its order (n, 1 or 4)"
    if weight.dtype not in PRECISIONS:
        raise TypeError(f"the weight is of {weight.dtype}; sparse products are in {' and '.join(map(str, PRECISIONS))}: convert it, or leave it dense")
    if weight.numel() != pattern.size:
        raise ValueError(f"the weight has shape {tuple(weight.shape)}; the pattern is of {pattern.size} values")
    values = weight.detach().reshape(-1)
    if pattern.in_order:
        return values.clone()[:, None]
    values = nn.functional.pad(values, (0, 1)) if pattern.has_gaps else values
    return values.index_select(0, pattern.index.flatten()).view(pattern.index.shape)


def _csr(pattern: Pattern, values: Tensor) -> Tensor:
    "A matrix as torch's sparse rows"
    at = torch.stack([pattern.rows[pattern.sets()], pattern.columns.long()[:, None].expand_as(values)])
    with _beta():
        matrix = torch.sparse_coo_tensor(at.flatten(1), values.flatten(), pattern.shape, check_invariants=True).to_sparse_csr()
        parts = matrix.crow_indices().int(), matrix.col_indices().int(), matrix.values()  # torch would make them 32 bits wide at each product
        return torch.sparse_csr_tensor(*parts, pattern.shape, check_invariants=True)


# %%
#| export
def _check_product(matrix: "SparseMatrix", states: Tensor, out: Tensor) -> tuple[int, int]:
    "Steps and batch; ValueError unless the product of a matrix and states can be added to `out`"
    rows, columns = matrix.pattern.shape
    *steps, neurons, batch = states.shape
    if neurons != columns or out.shape != (*steps, rows, batch) or not out.is_contiguous() or not out.dtype == states.dtype == matrix.values.dtype:
        raise ValueError(f"a matrix {matrix.pattern.shape} of {matrix.values.dtype} times states {tuple(states.shape)} of {states.dtype} is added to {(*steps, rows, batch)} of {matrix.values.dtype}, in one piece; "
                         f"out is {tuple(out.shape)} of {out.dtype}, with strides {out.stride()}")
    return math.prod(steps), batch


def _add_product(matrix: "SparseMatrix", states: Tensor, out: Tensor) -> Tensor:
    "Add the product of a matrix and states to `out`"
    steps, batch = _check_product(matrix, states, out)
    if _kernels() is not None and steps * batch:
        states, sums = _filled(states, batch).contiguous(), _filled(out, batch)
        if torch.get_num_threads() == 1 or _is_light(matrix.pattern, batch, steps):
            kernel = _kernels().compiled(_kernels().add_product_at, matrix._parts[-1].dtype, sums.shape[-1], matrix.values.shape[1], False)
            kernel(matrix._addresses, steps, sums.shape[-1], states.data_ptr(), sums.data_ptr())
        else:
            arrays = (a.numpy().reshape(steps, -1, sums.shape[-1]) for a in (states, sums))
            _call(_kernels().add_product, matrix.pattern, *matrix._parts, *arrays, rows_per_set=matrix.values.shape[1])
        return out if sums is out else out.copy_(sums[..., :batch])
    for state, sum_ in zip(states, out, strict=True) if states.dim() == 3 else [(states, out)]:
        torch.addmm(sum_, matrix._torch, state, out=sum_)
    return out


# %%
#| export
def _activate(x: Tensor, out: Tensor, nonlinearity: str) -> None:
    "States of a step; numpy's hyperbolic tangent is several times as fast as torch's on a processor"
    if nonlinearity == "tanh" and out.is_cpu and out.dtype in PRECISIONS:
        np.tanh(x.numpy(), out=out.numpy())
    else:
        _ACTIVATIONS[nonlinearity](x, out)


def _room(like: Tensor, *shape: int) -> Tensor:
    "A tensor without values; numpy asks for large pages, which are there sooner than many small ones"
    return torch.from_numpy(np.empty(shape, like.detach().numpy().dtype))


FEW = 2**13  # states of a step up to which it costs more to call numpy for them


def _run_steps(matrix: "SparseMatrix", states: Tensor, nonlinearity: str) -> Tensor:
    "Replace the drives of a recurrence by its states (steps + 1, neurons, batch), of which the first is there"
    kernels, batch = _kernels(), states.shape[-1]
    if kernels is None or not _is_light(matrix.pattern, batch) or len(states) < 2 or not 0 < states[0].numel() <= FEW:
        for before, out in pairwise(states):
            _activate(_add_product(matrix, before, out), out, nonlinearity)
        return states
    _check_product(matrix, states[0], states[1])
    filled = _filled(states, batch).contiguous()
    kernel = kernels.compiled(kernels.run_steps, filled.numpy().dtype, filled.shape[-1], matrix.values.shape[1], False)
    kernel(1, *matrix._parts, nonlinearity == "tanh", filled.numpy())
    return states if filled is states else states.copy_(filled[..., :batch])


# %%
#| export
@checked
@dataclass(frozen=True, eq=False)
class SparseMatrix:
    "A matrix of its surviving weights"
    pattern: Pattern
    values: Tensor  # (n, 1 or 4), in the pattern's order

    @classmethod
    def at(
        cls,
        pattern: Pattern,
        weight: Annotated[Tensor, Shape("...", "float", empty=True)],  # the matrix that the mask of the pattern is of, or the values of its edges (n,)
    ) -> "SparseMatrix":
        "The weights of a pattern; TypeError in half precision, ValueError if they are not as many as they should be"
        return cls(pattern, _values(pattern, weight))

    @classmethod
    def of(
        cls,
        weight: Annotated[Tensor, Shape("rows columns", "any", empty=True)],  # (rows, columns), dense or a sparse tensor of torch
        rows_per_set: int = 1,  # this and `batch` as for `Pattern.of`
        batch: Count = STRIP,
    ) -> "SparseMatrix":
        "The weights that are not zero"
        weight = weight.detach().cpu()
        weight = weight if weight.layout == torch.strided else weight.to_dense()
        return cls.at(Pattern.of(weight != 0, False, rows_per_set, batch), weight)

    @cached_property
    def _torch(self) -> Tensor:
        return _csr(self.pattern, self.values)

    def dense(self) -> Tensor:  # (rows, columns)
        "All of the matrix, zeros included"
        return self._torch.to_dense()

    @cached_property
    def _parts(self) -> tuple[int | np.ndarray, ...]:  # for a kernel
        values, pattern = self.values[:, 0] if self.values.shape[1] == 1 else self.values, self.pattern
        return pattern.panel, *(t.numpy() for t in (pattern.rows, pattern.start, pattern.columns, values))

    @cached_property
    def _addresses(self) -> np.ndarray:
        "What `add_product_at` must know"
        panel, *arrays = self._parts
        return np.array([panel, *map(len, arrays[:3]), self.pattern.shape[1], *(a.ctypes.data for a in arrays)])

    def add_(
        self,
        states: Annotated[Tensor, Shape(kind="float", empty=True)],  # (columns, batch), or of some steps (T, columns, batch)
        out: Annotated[Tensor, Shape(kind="float", empty=True)],  # (rows, batch) or (T, rows, batch), in one piece; changed in place
    ) -> Tensor:  # `out`
        "Add the product with `states` to `out`; ValueError if they don't fit together, or `out` lies in pieces"
        return _add_product(self, states, out)


# %%
for dtype, eps in ((torch.float32, 1e-3), (torch.float64, 1e-10)):
    for rows, columns, batch, zeros in ((32, 32, 5, 0.5), (8, 1300, 3, 0.9), (52, 20, 1, 0.99), (4, 8, 9, 1.0)):
        weight = torch.randn(rows, columns, generator=generator, dtype=dtype) * (torch.rand(rows, columns, generator=generator) >= zeros)
        for transposed, rows_per_set in product((False, True), (1, 4)):
            matrix, w = SparseMatrix.at(Pattern.of(weight != 0, transposed, rows_per_set), weight), weight.T if transposed else weight
            states, begun = (torch.randn(n, batch, generator=generator, dtype=dtype) for n in w.shape[::-1])
            test_eq(matrix.dense(), w)
            test_close(matrix.add_(states, begun.clone()), begun + w @ states, eps=eps)
            two = torch.stack([states, -states])
            test_close(matrix.add_(two, torch.stack([begun, begun])), begun + w @ two, eps=eps)
rows, columns = torch.tensor([2, 0, 2, 1]), torch.tensor([1, 3, 0, 3])
pattern = Pattern.from_edges(rows, columns, (4, 5))
test_eq(pattern.columns.tolist(), [3, 3, 0, 1])
test_eq(pattern.index.flatten().tolist(), [1, 3, 2, 0])
test_fail(lambda: Pattern.from_edges(rows, columns, (4, 3)), contains="from 0 to 2")
test_fail(lambda: Pattern.from_edges(torch.tensor([1, 1]), torch.tensor([2, 2]), (4, 5)), contains="more than once")

# %% [markdown]
# ## Which is quickest? Ask the machine
#
# With few zeros, another way may win: torch's own sparse rows, or the dense product. Where the lines cross depends on the processor. So nothing is decided by a constant: the ways that there are run three times or more each, and the
# quickest is kept. Blocks of neighbours, of which this chapter tells below, are one way more: torch multiplies them as *block-sparse rows*, which gains nothing on a processor, and is there for a GPU.

# %%
#| export
SHORT = 2e-3  # seconds; what takes longer hardly notices where its numbers were


def _times(calls: tuple[Callable[[], object], ...], least: int, most: int) -> list[list[float]]:
    """Seconds of calls, in rounds that call all in turn, so that a disturbance meets all alike, after one that is not counted; of short calls as many as 5 ms have room for

    What is short runs once more before it is timed: in a loop it finds its numbers in the cache, out of which the other calls have driven them.
    """
    times, begun = [[math.inf] * len(calls)], time.perf_counter()
    while len(times) <= least + 1 or (len(times) <= most + 1 and time.perf_counter() - begun < 5e-3):
        seconds = []
        for call, last in zip(calls, times[-1], strict=True):
            if last < SHORT:
                call()
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        times.append(seconds)
    return list(zip(*times[2:], strict=True))


# %%
#| export
@checked
def median_time(*calls: Callable[[], object], rounds: Annotated[int, Within(1, 10**6)] = 3) -> list[float]:  # seconds
    "Median times of calls"
    return [sorted(seconds)[rounds // 2] for seconds in _times(calls, rounds, rounds)]


@checked
def least_time(*calls: Callable[[], object]) -> list[float]:  # seconds
    "Least times of calls: what else a machine does can only make them longer; those that are far behind are not called again"
    least = [min(seconds) for seconds in _times(calls, 2, 2)]
    near = [k for k, seconds in enumerate(least) if seconds < 3 * min(least)]
    for k, seconds in zip(near, _times(tuple(calls[k] for k in near), 1, 25) if len(near) > 1 else (), strict=False):
        least[k] = min(least[k], *seconds)
    return least


# %%
#| export
def _dense_product(weight: Tensor, states: Tensor, out: Tensor) -> Tensor:
    "Add the product with `states` to `out`, at one step or at some"
    if states.dim() == 3 and states.shape[2] == 1:  # steps are then a batch
        return torch.addmm(out[..., 0], states[..., 0], weight.T, out=out[..., 0])
    if states.dim() == 3:
        return torch.baddbmm(out, weight.expand(len(states), *weight.shape), states, out=out)
    return torch.addmm(out, weight, states, out=out)


def _by_rows(matrix: Tensor, states: Tensor, out: Tensor) -> Tensor:
    "The same by sparse rows of torch, single or of blocks"
    if states.dim() == 2:
        return torch.addmm(out, matrix, states, out=out)
    for state, sum_ in zip(states, out, strict=True):
        torch.addmm(sum_, matrix, state, out=sum_)
    return out


def _ways(weight: Tensor, batch: int, blocks: Tensor | None = None) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    "The ways to multiply by a matrix here, by name: functions of states (columns, batch) and out (rows, batch), or of some steps of them"
    matrix, device = SparseMatrix.of(weight, batch=batch), weight.device
    weight = matrix.dense()
    ways = {"dense": partial(_dense_product, weight.to(device)), "torch": partial(_by_rows, matrix._torch.to(device))}
    if _kernels() is not None and device.type == "cpu":
        ways |= {"rows": partial(_add_product, matrix)} | ({"4x1": partial(_add_product, SparseMatrix.of(weight, 4, batch))} if len(weight) % 4 == 0 else {})
    return ways | ({} if blocks is None else {"blocks": _block_product(weight.to(device), blocks)})


# %%
#| export
def _block_product(weight: Tensor, blocks: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    "The product by block-sparse rows of torch, of neurons that are put side by side with those of their block"
    counts, order = blocks.bincount(), blocks.argsort(stable=True)
    size, place = int(counts.max()), torch.empty_like(order)
    place[order] = blocks[order] * size + torch.arange(len(order), device=order.device) - (counts.cumsum(0) - counts)[blocks[order]]
    place, n = place.to(weight.device), len(counts) * size
    with _beta():
        matrix = weight.new_zeros(n, n).index_put_((place[:, None], place), weight).to_sparse_bsr((size, size))

    def multiply(states, out):
        for state, sum_ in zip(states, out, strict=True) if states.dim() == 3 else [(states, out)]:
            moved = state.new_zeros(n, state.shape[1]).index_copy_(0, place, state)
            sum_.add_(torch.addmm(torch.zeros_like(moved), matrix, moved)[place])
        return out

    return multiply


def _waited(way: Callable, states: Tensor, out: Tensor) -> None:
    "A product that is done when this returns"
    way(states, out)
    if out.is_cuda:
        torch.cuda.synchronize()


# %%
#| export
DOUBT = 0.95  # of the dense time, which another way must beat, or be let go


def _first(times: list[float], names: Iterable[str]) -> str:
    "The name of the least time, where the dense way has the benefit of the doubt"
    return min(zip(times, names, strict=True), key=lambda pair: pair[0] * (DOUBT if pair[1] == "dense" else 1))[1]


@checked
def fastest(
    weight: Annotated[Tensor, Shape("rows columns", "any")],  # (rows, columns)
    batch: Count,  # states at once
    blocks: Annotated[Tensor, Shape("N", "int", least=0, most=10**6)] | None = None,  # of a square matrix, the block of each neuron, as by `geometric_blocks`: then `blocks` is one way more
) -> tuple[str, Callable[[Tensor, Tensor], Tensor]]:  # its name, and a function of states (columns, batch) and out (rows, batch), or of some steps of them, which adds the product to out
    "The fastest of the ways to multiply by a matrix where it lies: `dense`, `torch` (its sparse rows), on a processor this chapter's `rows` and, where their number allows it, blocks of `4x1`; ValueError if there are not as many neurons as blocks say"
    if blocks is not None and weight.shape != (len(blocks), len(blocks)):
        raise ValueError(f"the weight has shape {tuple(weight.shape)}, and blocks are given for {len(blocks)} neurons; it is a square matrix of as many")
    ways, values = _ways(weight, batch, blocks), weight.values() if weight.layout == torch.sparse_csr else weight
    states, out = values.new_ones(weight.shape[1], batch), values.new_zeros(weight.shape[0], batch)
    name = _first(least_time(*(partial(_waited, way, states, out) for way in ways.values())), ways)
    return name, ways[name]


# %%
weight = random_sparse(256, 0.9)
states = torch.randn(256, 20, generator=generator)
for batch in (1, 20, 200):
    print(f"batch {batch}: quickest by", fastest(weight, batch)[0])
name, multiply = fastest(weight, 20)
test_close(multiply(states, torch.zeros(256, 20)), weight @ states, eps=1e-3)


# %% [markdown]
# ## A pruned network that runs
#
# In the products of a whole sequence the states never leave their columns. They are turned once at the beginning and once at the end.
#
# *Predict:* a network with 98 % zeros in its recurrent matrix needs a fiftieth of the products. How many times as fast will it be on a sequence?

# %%
#| export
def _endings(weights: dict[str, Tensor]) -> list[str]:
    "Endings of the names, such as `_l0` and `_l0_reverse`; ValueError or TypeError unless they are the weights of an Elman layer"
    directions = 1 + any(name.endswith("_reverse") for name in weights)
    ends = [f"_l{k}{way}" for k in range(sum(name.startswith("weight_hh_l") for name in weights) // directions) for way in ("", "_reverse")[:directions]]
    matrices, biases = ({f"{kind}_{part}{end}" for end in ends for part in ("ih", "hh")} for kind in ("weight", "bias"))
    if not ends or not matrices <= weights.keys() <= matrices | biases:
        raise ValueError(f"these weights are {', '.join(weights) or 'none'}; an Elman layer has matrices weight_ih_l0, weight_hh_l0 and so on, its biases, and nothing besides")
    n = weights["weight_hh_l0"].shape[-1]
    for name, weight in weights.items():
        inputs = n if "_hh" in name else weight.shape[-1] if "_l0" in name else n * directions
        shape = (n, inputs) if name in matrices else (n,)
        if weight.shape != shape:
            raise ValueError(f"{name} has shape {tuple(weight.shape)}; in an Elman layer of {n} neurons, without replicas, it has {shape} (a GRU has three such blocks, an LSTM four)")
        if weight.dtype not in PRECISIONS or weight.dtype != weights["weight_hh_l0"].dtype:
            raise TypeError(f"{name} is of {weight.dtype}; all weights are of one type, {' or '.join(map(str, PRECISIONS))}: convert them")
    return ends


def _bias(weights: dict[str, Tensor], end: str) -> Tensor:
    "What a layer's neurons are driven by in any case (hidden, 1)"
    hidden = weights[f"weight_hh{end}"]
    biases = [weights[name].detach().cpu() for name in (f"bias_ih{end}", f"bias_hh{end}") if name in weights]
    return sum(biases, torch.zeros(len(hidden), dtype=hidden.dtype))[:, None]


# %%
#| export
def _run_by(product: Callable, states: Tensor, nonlinearity: str) -> Tensor:
    "Replace the drives of a recurrence by its states, by any product"
    matrix = product.args[0]
    if isinstance(matrix, SparseMatrix):
        return _run_steps(matrix, states, nonlinearity)
    for before, out in pairwise(states):
        _activate(product(before, out), out, nonlinearity)
    return states


STEPS = 8  # of the sequences with which layers are timed


def _fastest_layer(w_x: Tensor, w_h: Tensor, nonlinearity: str, batch: int) -> tuple[tuple[str, Callable], tuple[str, Callable]]:
    "The fastest ways to project the inputs of some steps at once, and to run a recurrence: their names, and functions"
    chosen = []
    for weight, is_recurrent in ((w_x, False), (w_h, True)):
        ways = _ways(weight.cpu(), batch)
        dense = ways["dense"].args[0]
        x, states = dense.new_ones(STEPS, dense.shape[1], batch), dense.new_zeros(STEPS + is_recurrent, len(dense), batch)
        runs = {name: partial(_run_by, way, nonlinearity=nonlinearity) if is_recurrent else partial(way, x) for name, way in ways.items()}
        name = _first(least_time(*(partial(run, states) for run in runs.values())), ways)
        chosen.append((name, runs[name] if is_recurrent else ways[name]))
    return tuple(chosen)


# %% [markdown]
# Running it is the time loop once more, with states in columns. It says what the dense network says, for one layer or three, with biases or without, from any state:

# %%
#| export
NEAR = 2**19  # bytes of drives that are made ahead


@checked(finite=False)
class SparseRNN:
    "A pruned Elman layer that only runs: weights by the names of `torch.nn.RNN`, each in the fastest of its forms"

    def __init__(
        self,
        weights: dict[str, Annotated[Tensor, Shape("...", "any", empty=True)]],  # a state dict of a layer without replicas; dense, or sparse tensors of torch
        nonlinearity: Annotated[str, OneOf(_ACTIVATIONS)] = "tanh",  # "tanh" or "relu"
        batch: Count = 1,  # sequences at once, for which the forms are chosen
    ):
        ends = _endings(weights)
        chosen = [_fastest_layer(*(weights[f"weight_{kind}{end}"] for kind in ("ih", "hh")), nonlinearity, batch) for end in ends]
        self.forms = {f"weight_{kind}{end}": way[0] for end, ways in zip(ends, chosen, strict=True) for kind, way in zip(("ih", "hh"), ways, strict=True)}
        self.products = [(projection[1], run[1]) for projection, run in chosen]
        self.biases, self.directions = [_bias(weights, end) for end in ends], 1 + ends[-1].endswith("_reverse")
        self.input_size = weights["weight_ih_l0"].shape[1]

    @torch.no_grad()
    def __call__(
        self,
        x: Tensor,  # (steps, batch, input)
        h0: Tensor | None = None,  # (layers · directions, batch, hidden); zeros if None
    ) -> tuple[Tensor, Tensor]:  # states of the last layer (steps, batch, hidden · directions), last states (layers · directions, batch, hidden)
        "Run sequences"
        _expect("the input", x, ("steps", "batch", self.input_size), self.biases[0])
        if h0 is not None:
            _expect("the initial state", h0, (len(self.products), x.shape[1], len(self.biases[0])), self.biases[0])
        x, last = x.mT.contiguous(), []
        for n in range(0, len(self.products), self.directions):
            both = []
            for k in range(n, n + self.directions):
                states, h = self._run(k, x.flip(0) if k > n else x, None if h0 is None else h0[k].mT.contiguous())
                both.append(states.flip(0) if k > n else states)
                last.append(h.mT)
            x = torch.cat(both, 1) if len(both) > 1 else both[0]
        return x.mT, torch.stack(last)

    def _run(self, k: int, x: Tensor, h: Tensor | None) -> tuple[Tensor, Tensor]:
        "Layer and direction k on columns (steps, input, batch)"
        (project, run), bias = self.products[k], self.biases[k]
        states = _room(x, len(x) + 1, len(bias), x.shape[2])
        states[0] = 0 if h is None else h
        near = max(1, NEAR // max(1, states[0].nbytes))  # steps whose drives are still in the cache when they are wanted
        for t in range(0, len(x), near):
            drives = states[t + 1 : t + 1 + near]
            drives[:] = bias
            project(x[t : t + near], drives)
            run(states[t : t + 1 + near])
        return states[1:], states[-1]


# %%
def pruned_rnn(inputs, hidden, layers=1, zeros=0.9, **options):
    "A layer whose recurrent matrices are pruned at random"
    layer = nn.RNN(inputs, hidden, layers, **options)
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            if name.startswith("weight_hh"):
                weight.mul_((torch.rand(weight.shape, generator=generator) >= zeros) / (1 - zeros) ** 0.5)
    return layer


for options in (dict(nonlinearity="relu"), dict(layers=3, bias=False, dtype=torch.float64)):
    layer = pruned_rnn(4, 60, **options)
    runs = SparseRNN(layer.state_dict(), layer.nonlinearity, batch=6)
    x = torch.randn(9, 6, 4, generator=generator, dtype=layer.weight_hh_l0.dtype)
    h0 = torch.randn(layer.num_layers, 6, 60, generator=generator, dtype=x.dtype)
    for given in ((x,), (x, h0)):
        for ours, theirs in zip(runs(*given), layer(*given), strict=True):
            test_close(ours, theirs.detach(), eps=1e-4)
layer = pruned_rnn(4, 1024, zeros=0.98)
runs, x = SparseRNN(layer.state_dict(), batch=100), torch.randn(10, 100, 4, generator=generator)
with torch.no_grad():
    theirs, ours = median_time(lambda: layer(x), lambda: runs(x))
print(f"1024 neurons, 98 % zeros, batch 100: {theirs / ours:.1f} times as fast as torch.nn.RNN; recurrent products by: {runs.forms['weight_hh_l0']}")

# %% [markdown]
# Less than fifty, by far: what is not a product, such as the activation and the input, does not shrink. That is Amdahl's law, and the reason to count whole steps and not products.
#
# ## A small file
#
# Weights are written as `safetensors`: a matrix that is mostly zeros as its values and where they stand, everything else as it is. It can be read without this package, too: `NAME.start` and `NAME.columns` are the usual compressed rows.
# What stands under two names, such as a decoder that shares the matrix of an embedding, is written once, and is one tensor again when it is read.

# %%
#| export
PARTS = ("start", "columns", "values")


def _memory(weight: Tensor) -> tuple:
    "What two names of one tensor have in common"
    strided = weight.layout == torch.strided and weight.numel() > 0 and weight.device.type != "meta"
    return (weight.device, weight.data_ptr(), weight.dtype, weight.shape, weight.stride()) if strided else (id(weight),)


def _compressed_rows(weight: Tensor) -> dict[str, Tensor]:
    "A matrix that is mostly zeros in its parts, anything else as it is, in memory of its own"
    weight = weight if weight.layout == torch.strided else weight.to_dense()
    if weight.dim() != 2 or weight.count_nonzero() > weight.numel() / 2:
        return {"": weight.clone(memory_format=torch.contiguous_format)}
    with _beta():
        rows = weight.to_sparse_csr()
    parts = rows.crow_indices().int(), rows.col_indices().int(), rows.values()
    return {f".{part}": tensor for part, tensor in zip(PARTS, parts, strict=True)}


# %%
#| export
@checked
def save_sparse(
    path: str | Path,
    weights: dict[str, Annotated[Tensor, Shape("...", "any", empty=True)]],  # a state dict; dense, or sparse tensors of torch
) -> None:
    "Write weights to a safetensors file, matrices with more than half zeros as compressed rows; TypeError for what is no tensor, ValueError if parts of a matrix would take another's name"
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    first, tied, tensors, shapes = {}, {}, {}, {}
    for name, weight in weights.items():
        if not isinstance(weight, Tensor):
            raise TypeError(f"{name} is of type {type(weight).__name__}; a file of weights holds tensors: leave it out")
        memory = _memory(weight)
        if memory in first:
            tied[name] = first[memory]
            continue
        first[memory] = name
        parts = _compressed_rows(weight.detach().cpu())
        shapes |= {name: weight.shape} if len(parts) > 1 else {}
        for part, tensor in parts.items():
            if f"{name}{part}" in tensors or (part and f"{name}{part}" in weights):
                raise ValueError(f"{name}{part} is a part of {name} and the name of another tensor; rename one of them")
            tensors[f"{name}{part}"] = tensor
    try:
        save_file(tensors, str(path), {"sparse": json.dumps(shapes), "tied": json.dumps(tied)})
    except SafetensorError as error:  # does not say which file
        raise OSError(f"path is {shown(path)}, and no file can be written there ({error}); give the name of one in a folder that is there") from error


# %%
#| export
@checked
def load_sparse(
    path: str | Path,
) -> dict[str, Tensor]:  # weights by name; those that were written as compressed rows are sparse tensors of torch
    "Read a file of `save_sparse`; ValueError if it is none, or does not fit together"
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "pt") as file:
            facts, tensors = file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}
        if "sparse" not in facts:
            raise ValueError("it has no list of sparse matrices; write it with save_sparse")
        for name, shape in json.loads(facts["sparse"]).items():
            parts = [tensors.pop(f"{name}.{part}") for part in PARTS]
            with _beta():
                tensors[name] = torch.sparse_csr_tensor(*parts, shape, check_invariants=True)
        return tensors | {name: tensors[first] for name, first in json.loads(facts.get("tied", "{}")).items()}
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise ValueError(f"{path} is not a file of sparse weights: {error}") from error


# %%
with tempfile.TemporaryDirectory() as folder:
    sparse_file, dense_file = Path(folder, "sparse.safetensors"), Path(folder, "dense.pt")
    save_sparse(sparse_file, layer.state_dict())
    torch.save(layer.state_dict(), dense_file)
    print(f"{sparse_file.stat().st_size / 1e3:.0f} kB instead of {dense_file.stat().st_size / 1e3:.0f} kB")
    again = SparseRNN(load_sparse(sparse_file), batch=100)
    test_close(again(x)[0], runs(x)[0], eps=1e-4)
    sparse_file.write_bytes(sparse_file.read_bytes()[:-1000])
    test_fail(lambda: load_sparse(sparse_file), contains="not a file of sparse weights")
    test_fail(lambda: load_sparse(dense_file), contains="not a file of sparse weights")
test_fail(lambda: SparseRNN({}), contains="weight_ih_l0")


# %% [markdown]
# ## Training with what is left
#
# A mask is known while a network trains, and the gradient of a pruned weight is not wanted. So forward, backward and gradient need the survivors alone. All replicas are one matrix with theirs along its diagonal, so a step of forty small networks is one call.

# %%
#| export
def _in_rows(x: Tensor, replicas: int) -> Tensor:
    "(T, S·N, batch) as (S, T, batch, N)"
    return x.unflatten(1, (replicas, -1)).permute(1, 0, 3, 2)


def _in_columns(x: Tensor) -> Tensor:
    "(S, T, batch, N) as (T, S·N, batch), in one piece; nothing is copied if it comes from `_in_rows`"
    return x.permute(1, 0, 3, 2).flatten(1, 2).contiguous()


def _gradient_of(weight: Tensor, pattern: Pattern, errors: Tensor, states: Tensor) -> Tensor:
    "The sum over steps of errors (T, rows, batch) times states (T, columns, batch), like the weight, and zero where the pattern has no weight"
    inner, kernels = errors.new_zeros(len(pattern.columns)), _kernels()
    if kernels is not None:
        _call(kernels.add_gradient, pattern, pattern.panel, *(t.detach().numpy() for t in (pattern.start, pattern.columns, _filled(errors, errors.shape[-1]), _filled(states, errors.shape[-1]), inner)))
    else:
        rows = pattern.sets()
        for error, state in zip(errors, states, strict=True):
            inner += (error[rows] * state[pattern.columns]).sum(1)
    return (inner if pattern.in_order else torch.zeros_like(weight).view(-1).index_copy_(0, pattern.index[:, 0], inner)).view_as(weight)


# %% [markdown]
# Two functions stand in for those of the chapter [recurrent](recurrent.ipynb): the same arguments, the same results for all weights that are left, and a gradient of zero for the others. First a linear map, at all steps at once; then the recurrence:

# %%
#| export
class SparseLinearFunction(torch.autograd.Function):
    "A linear map by the weights of a pattern, which comes with that of the transposed matrix"

    @staticmethod
    def forward(ctx, patterns: tuple[Pattern, Pattern], x, weight, bias):
        ctx.patterns, ctx.shape = patterns, (patterns[0].replicas, -1, x.shape[-2] if x.dim() > 1 else 1)
        columns = _in_columns(x.reshape(*ctx.shape, x.shape[-1]))
        out = x.new_zeros(len(columns), patterns[0].shape[0], columns.shape[2])
        if bias is not None:
            out += bias.reshape(-1, 1)
        SparseMatrix.at(patterns[0], weight).add_(columns, out)
        ctx.save_for_backward(columns, weight, x)
        ctx.bias_shape = None if bias is None else bias.shape
        return _in_rows(out, ctx.shape[0]).reshape(*x.shape[:-1], -1)

    @staticmethod
    @first_derivatives
    def backward(ctx, grad):
        (pattern, turned), (columns, weight, _), wanted = ctx.patterns, ctx.saved_tensors, ctx.needs_input_grad
        errors, grad_x = _in_columns(grad.reshape(*ctx.shape, grad.shape[-1])), None
        if wanted[1]:
            grad_x = _in_rows(SparseMatrix.at(turned, weight).add_(errors, torch.zeros_like(columns)), ctx.shape[0]).reshape(*grad.shape[:-1], -1)
        grad_weight = _gradient_of(weight, pattern, errors, columns) if wanted[2] else None
        return None, grad_x, grad_weight, errors.sum((0, 2)).view(ctx.bias_shape) if wanted[3] else None


# %%
#| export
class SparseElmanFunction(torch.autograd.Function):
    "The recurrence of eq. 1 on the weights of a pattern, which comes with that of the transposed matrix: all states, and the last"

    @staticmethod
    def forward(ctx, patterns: tuple[Pattern, Pattern], projected, h0, weight, nonlinearity, handed_out=False):
        replicas, steps, batch, neurons = projected.shape
        states, matrix = _room(projected, steps + 1, replicas * neurons, batch + _missing(batch)), SparseMatrix.at(patterns[0], weight)
        states[..., batch:] = 0
        rows = _in_rows(states[..., :batch], replicas)
        rows[:, 0], rows[:, 1:] = h0, projected  # the drives stand where states will be
        for before, out in pairwise(states):
            _ACTIVATIONS[nonlinearity](_add_product(matrix, before, out), out)
        handed_out = handed_out and any(ctx.needs_input_grad)
        if handed_out:  # as `ElmanFunction` does
            projected.copy_(rows[:, 1:])
        last = rows[:, -1]
        ctx.save_for_backward(states, weight, last)
        ctx.set_materialize_grads(False)
        ctx.nonlinearity, ctx.patterns, ctx.batch = nonlinearity, patterns, batch
        return projected.detach() if handed_out else rows[:, 1:], last

    @staticmethod
    @first_derivatives
    def backward(ctx, grad, grad_last):
        if grad is None and grad_last is None:
            return (None,) * 6
        states, weight, _ = ctx.saved_tensors
        (pattern, turned), errors = ctx.patterns, _room(states, *states.shape)
        errors[..., ctx.batch :] = 0
        back, rows = SparseMatrix.at(turned, weight), _in_rows(errors[..., : ctx.batch], pattern.replicas)
        rows[:, 0], rows[:, 1:] = 0, 0 if grad is None else grad
        if grad_last is not None:
            rows[:, -1] += grad_last
        for t in range(len(states) - 1, 0, -1):
            _SLOPES[ctx.nonlinearity](errors[t], states[t], errors[t])
            _add_product(back, errors[t], errors[t - 1])
        grad_weight = _gradient_of(weight, pattern, errors[1:], states[:-1]) if ctx.needs_input_grad[3] else None
        return None, rows[:, 1:], rows[:, 0], grad_weight, None, None


# %% [markdown]
# States stay in columns from one function to the next: what one hands on in rows, as the rest of torch wants it, is a view, and the next one finds the columns in it.

# %%
masked = torch.randn(2, 9, 9, generator=generator, dtype=torch.float64) * (torch.rand(2, 9, 9, generator=generator) < 0.4)
patterns, bias = patterns_of(masked != 0), torch.randn(2, 9, generator=generator, dtype=torch.float64).requires_grad_()
x, h0 = (torch.randn(2, *shape, 9, generator=generator, dtype=torch.float64).requires_grad_() for shape in ((5, 3), (3,)))
for nonlinearity in ("relu", "tanh"):
    results = []
    for linear, recurrence in ((_linear, ElmanFunction.apply), (partial(SparseLinearFunction.apply, patterns), partial(SparseElmanFunction.apply, patterns))):
        weight = masked.clone().requires_grad_()
        out, last = recurrence(linear(x, weight, bias), h0, weight, nonlinearity)
        out = linear(out, weight, None)
        results.append([out, last, *torch.autograd.grad(out.sin().sum() + last.square().sum(), (weight, x, h0, bias))])
    results[0][2] = results[0][2] * (masked != 0)  # what is pruned has no gradient
    for dense_result, sparse_result in zip(*results, strict=True):
        test_close(dense_result.detach(), sparse_result.detach(), eps=1e-10)


# %% [markdown]
# When does it pay? When there are enough neurons, and enough of their weights are pruned. Again the machine is asked: when the masks change, some steps of each layer are run both ways, and the faster stays. Once sparse products have won they are not asked again, since from then on weights only
# become fewer. What was chosen is returned, and given back as `chosen` it is chosen again without a clock.
#
# A pattern is made once, and weights change. Whoever loads others, moves or converts them, or writes one where there was none must not get the product of the old pattern. So each product counts first whether all weights that are not zero are in it, and if they are not, all are multiplied.
# Only a *gradient* cannot tell: outside of the pattern it is zero. So masks that are let go, or take in more weights, make their layers dense, until they are measured again.

# %%
#| export
@checked(late=True)
@dataclass(frozen=True, eq=False)
class SparseProduct:
    "A linear map or a recurrence by the weights that a mask leaves; by all weights wherever these would not be enough"

    function: type[torch.autograd.Function]  # SparseLinearFunction or SparseElmanFunction
    dense: Callable  # what it stands in for
    patterns: tuple[Pattern, Pattern]

    def __call__(self, x: Annotated[Tensor, Shape(kind="any", empty=True)], *rest: Tensor | str | bool | None) -> Tensor | tuple[Tensor, Tensor]:
        "The same arguments and results as the dense function"
        weight = rest[0] if self.function is SparseLinearFunction else rest[1]
        return self.function.apply(self.patterns, x, *rest) if _is_plain(x) and self.holds(weight) else self.dense(x, *rest)

    def holds(self, weight: Annotated[Tensor, Shape(kind="any", empty=True)]) -> bool:
        "Whether the pattern has all of a weight that is not zero; whoever loads other weights, moves or converts them then gets what they ask for"
        pattern, weight = self.patterns[0], weight.detach()
        if weight.device.type != "cpu" or weight.dtype not in PRECISIONS or weight.numel() != pattern.size:
            return False
        return len(pattern.columns) == pattern.size or bool(weight.count_nonzero() == weight.reshape(-1).index_select(0, pattern.index[:, 0]).count_nonzero())


# %%
#| export
@checked
def use_dense_products(
    module: nn.Module,
    unless: Callable[[], bool] = lambda: False,  # asked only if it multiplies sparsely
) -> None:
    "Let a single layer multiply by all its weights again; masks that are let go, or take in more weights, call it"
    ways = [way for pair in getattr(module, "products", ()) for way in pair] if isinstance(module, ElmanWeights) else [getattr(module, "product", None)]
    if any(isinstance(way, SparseProduct) for way in ways) and not unless():
        use_sparse_products(module, {})


def _check_masks(model: nn.Module, masks: dict[str, Tensor]) -> None:
    "Refuse a mask that is not one of its weight"
    shapes = {name: weight.shape for name, weight in model.named_parameters(remove_duplicate=False)}
    for name, mask in masks.items():
        if mask.dtype != torch.bool:
            raise TypeError(f"the mask of {name} is of {mask.dtype}; a mask is of torch.bool, True where a weight stays: convert it by .bool()")
        if name in shapes and shapes[name] != mask.shape:
            raise ValueError(f"the mask of {name} has shape {tuple(mask.shape)}; the weight has {tuple(shapes[name])}")


# %%
#| export
@checked
def use_sparse_products(
    model: nn.Module,
    masks: dict[str, Tensor],  # True where a weight stays, by name, as `MagnitudePruner.masks`; {} for dense products everywhere
    batch: Count = 1,  # sequences at once
    chosen: dict[str, bool] | None = None,  # what an earlier call returned, to choose the same without a clock
) -> dict[str, bool]:  # by name of each mask: whether its weight is multiplied sparsely; never in layers that are not of this package
    "Let each layer of a model multiply by its surviving weights alone, where that is faster here; call it whenever masks have changed. ValueError or TypeError for a mask that does not fit"
    _check_masks(model, masks)
    used, chosen = dict.fromkeys(masks, False), chosen or {}
    for path, layer in model.named_modules():
        if isinstance(layer, Linear):
            name = f"{path}.weight".lstrip(".")
            layer.product = _linear_product(layer, masks.get(name), batch, chosen.get(name))
            used |= {name: isinstance(layer.product, SparseProduct)} if name in masks else {}
        for k, end in enumerate(_suffixes(layer) if isinstance(layer, ElmanWeights) else ()):
            names = [f"{path}.weight_{kind}{end}".lstrip(".") for kind in ("ih", "hh")]
            layer.products[k] = _recurrent_products(layer, k, end, *map(masks.get, names), batch, chosen.get(names[1]))
            used |= {name: isinstance(layer.products[k][1], SparseProduct) for name in names if name in masks}
    return used


# %% [markdown]
# A recurrence that takes columns wants its drives in columns, so the projection before it goes the same way, pruned or not. To write a gradient costs the same for one step as for fifty, so layers are timed over some steps here too.

# %%
#| export
DENSE = _linear, ElmanFunction.apply  # projection and recurrence


def _remaining(product: Callable) -> float:
    "Weights that a product multiplies by; the dense one, by more than any number"
    return len(product.patterns[0].columns) if isinstance(product, SparseProduct) else math.inf


@torch.enable_grad()
def _faster(before: Callable | tuple, dense: Callable | tuple, sparse: Callable | tuple, wanted: bool | None, step: Callable[..., Tensor]) -> Callable | tuple:
    "The one of two ways to multiply that is wanted, or with which a step forward and backward takes less time"
    old, new = (_remaining(way[-1] if isinstance(way, tuple) else way) for way in (before, sparse))
    if wanted is None and not new <= old < math.inf:
        dense_time, sparse_time = least_time(*(lambda way=way: step(way).sum().backward() for way in (dense, sparse)))
        wanted = sparse_time < DOUBT * dense_time
    return dense if wanted is False else sparse


def _stays_dense(weight: Tensor, mask: Tensor | None) -> bool:
    "Whether there is nothing to choose: without a mask or with all weights in it, on a GPU, in half precision, or if weights outside of the mask are not zero"
    return mask is None or bool(mask.all()) or weight.device.type != "cpu" or weight.dtype not in PRECISIONS or bool(weight.detach()[~mask.cpu()].any())


# %%
#| export
def _linear_product(layer: Linear, mask: Tensor | None, batch: int, wanted: bool | None) -> Callable:
    "The product of a linear map, dense or by its surviving weights"
    weight = layer.weight.detach().requires_grad_()
    if wanted is False or _stays_dense(weight, mask):
        return _linear
    x = weight.new_ones(*weight.shape[:-2], STEPS, batch, weight.shape[-1]).requires_grad_()
    sparse = SparseProduct(SparseLinearFunction, _linear, patterns_of(mask, batch))
    return _faster(layer.product, _linear, sparse, wanted, lambda product: product(x, weight, None))


def _recurrent_products(layer: ElmanWeights, k: int, end: str, mask_ih: Tensor | None, mask_hh: Tensor | None, batch: int, wanted: bool | None) -> tuple[Callable, Callable]:
    "Projection and recurrence of a layer and direction, dense or by their surviving weights"
    weights = (getattr(layer, f"weight_{kind}{end}").detach() for kind in ("ih", "hh"))
    w_x, w_h = (w.reshape(-1, *w.shape[-2:]).requires_grad_() for w in weights)
    if wanted is False or _stays_dense(w_h, mask_hh if mask_hh is None else mask_hh.view_as(w_h)):
        return DENSE
    mask_ih = torch.ones_like(w_x, dtype=torch.bool) if mask_ih is None else mask_ih
    functions = SparseLinearFunction, SparseElmanFunction
    sparse = tuple(SparseProduct(f, dense, patterns_of(mask, batch)) for f, dense, mask in zip(functions, DENSE, (mask_ih, mask_hh), strict=True))
    x, h0 = w_x.new_ones(len(w_x), STEPS, batch, w_x.shape[-1]).requires_grad_(not end.startswith("_l0")), w_h.new_ones(len(w_h), batch, w_h.shape[-1])
    return _faster(layer.products[k], DENSE, sparse, wanted, lambda products: products[1](products[0](x, w_x, None), h0, w_h, layer.nonlinearity)[1])


# %% [markdown]
# A step of training, 1,024 neurons, nine weights in ten pruned:

# %%
layer = RNN(2, 1024, nonlinearity="relu", bias=False, generator=generator)
pruner = MagnitudePruner(layer, 0.9, epochs=1)
pruner.step(0)
x = torch.randn(6, 100, 2, generator=generator)


def train_step():
    "Forward and backward"
    layer.zero_grad()
    layer(x)[0].square().mean().backward()


dense_time, = median_time(train_step)
gradient = layer.weight_hh_l0.grad.clone()
used = use_sparse_products(layer, pruner.masks, batch=100)
left_time, = median_time(train_step)
test_close(layer.weight_hh_l0.grad, gradient, eps=1e-5)
print(f"sparse products for {', '.join(name for name, taken in used.items() if taken) or 'no weight'}: {dense_time / left_time:.1f} times as fast as dense")


# %% [markdown]
# In the experiments this is so by itself for matrices of at least 2¹⁶ weights, once three in ten are gone; `-p sparse_products off` (or `on`, for small ones too) says otherwise. A sum in another order rounds otherwise, so what was chosen is kept with the run, and a run that goes on chooses as before.
#
# ## Whole blocks
#
# If the weights that are left stood in solid blocks, there would be nothing to look up within a block. Blocks of what? Neurons have no order that means anything, except on a manifold: there they have neighbours. Cut the manifold into
# small neighbourhoods and number the neurons by them. Wiring that is local should then fill few of the blocks between neighbourhoods, and leave the others empty.

# %%
#| export
@checked
@torch.no_grad()
def geometric_blocks(
    points: Annotated[Tensor, Shape("N coordinates", finite=True)],  # where the neurons lie (N, coordinates)
    size: Count,  # neurons in a block; the last may have fewer
) -> Tensor:  # the block of each neuron (N,), numbered so that blocks of similar numbers are near each other
    "Blocks of neighbours: halve the neurons along their widest coordinate, again and again (a k-d tree)"
    blocks, number, left = torch.empty(len(points), dtype=torch.long), 0, [torch.arange(len(points))]
    while left:
        some = left.pop()
        if len(some) <= size:
            blocks[some], number = number, number + 1
            continue
        x = points.cpu()[some]
        axis = (x.amax(0) - x.amin(0)).argmax()
        some = some[x[:, axis].argsort(stable=True)]
        half = (len(some) // size + 1) // 2 * size  # whole blocks on the left
        left += [some[half:], some[:half]]
    return blocks


# %%
#| export
@checked
def filled_blocks(
    weight: Annotated[Tensor, Shape("N N")],  # (N, N)
    blocks: Annotated[Tensor, Shape("N", "int", least=0, most=10**6)],  # the block of each neuron (N,)
) -> float:  # share of pairs of blocks
    "How many of the pairs of blocks have a weight between them"
    count = int(blocks.max()) + 1
    filled = torch.zeros(count, count, dtype=torch.bool)
    i, j = weight.cpu().nonzero(as_tuple=True)
    filled[blocks[i], blocks[j]] = True
    return filled.double().mean().item()


# %%
#| fig-alt: "Neurons on a square, coloured by their neighbourhoods of a torus: compact patches."
points = Torus().sample(1024, generator)
blocks = geometric_blocks(points, 16)
test_eq(blocks.bincount().tolist(), [16] * 64)
fig, ax = plt.subplots(figsize=(3.4, 3.4), layout="constrained")
ax.scatter(*points.T, c=(blocks * 7) % 20, s=8, cmap="tab20")
ax.set(xlim=(0, 10), ylim=(0, 10), aspect="equal", title="64 neighbourhoods on the torus", xlabel="x", ylabel="y")
plt.show()

# %% [markdown]
# *Predict:* keep a tenth of 1024² weights, each neuron those to its nearest. How many of the 64² blocks between neighbourhoods are filled? And if neurons stand in random order?

# %%
distance = Torus().distance(points)
local = (distance <= distance.quantile(0.1, dim=1, keepdim=True)).float()
shuffled = blocks[torch.randperm(1024, generator=generator)]
print(f"nearest tenth: {filled_blocks(local, blocks):.0%} of the blocks in geometric order, {filled_blocks(local, shuffled):.0%} in random order;",
      f"a random tenth: {filled_blocks(random_sparse(1024, 0.9), blocks):.0%}")
assert filled_blocks(local, blocks) < 0.4 < 0.99 < filled_blocks(local, shuffled)


# %% [markdown]
# That is the best case. A penalty pulls softly, and single weights stay wherever they are large. So let the pruner know the groups: `MagnitudePruner(…, blocks=…)` weighs each block as a whole, and keeps it or drops it
# (in the experiments, `-p block 16`). The schedule, the regularizer and the count of zeros are the same.
#
# Such a mask has many equal rows: all neurons of a group hear the same groups. So they can be stored as 4×1 blocks, and a row of states is read once for four rows of results. Nobody has to say which rows these are, since equal rows are found by sorting.
# *Predict:* what does that give, at the same number of zeros?

# %%
def pruned_weight(blocks=None):
    "A weight with nine zeros in ten"
    layer = nn.Linear(1024, 1024, bias=False)
    MagnitudePruner(layer, 0.9, epochs=1, blocks=blocks).step(0)
    return layer.weight.detach()


states, out = torch.randn(1024, 200, generator=generator), torch.zeros(1024, 200)
for name, weight in {"single weights": pruned_weight(), "blocks of 16 neighbours": pruned_weight({"weight": blocks})}.items():
    matrices = SparseMatrix.of(weight), SparseMatrix.of(weight, rows_per_set=4)
    dense_time, *times = median_time(lambda w=weight: torch.mm(w, states, out=out), *(partial(m.add_, states, out) for m in matrices), rounds=25)
    print(f"{name}: {dense_time / times[0]:.1f} times as fast as dense by single rows, {dense_time / times[1]:.1f} in 4x1 blocks; {matrices[1].values.eq(0).double().mean():.0%} of what the blocks hold is zero")
test_eq(matrices[1].dense(), weight)

# %% [markdown]
# ## Does the geometry pay?
#
# Single weights, blocks of neighbours, and blocks of neurons that were put together at random, all at the same sparsity, the strength of each chosen on one seed and three others reported
# (`python -m modreg.lab.studies blocks navigation --condition torus -p batches 60` and `… head_direction --condition circle -p hidden 256 -p batches 60`).

# %%
rows = json.loads((files("modreg") / "data" / "blocks.json").read_text(encoding="utf-8"))
lines = ["| task | pruned | error of each seed | blocks of 16 neighbours that are filled |", "|---|---|---|---|"]
for row in sorted(rows, key=lambda row: (row["task"], row["block"] or 0, row["order"] or "")):
    way = f"blocks of {row['block']}, {'neighbours' if row['order'] == 'geometric' else 'at random'}" if row["block"] else "single weights"
    lines.append(f"| {row['task'].replace('_', ' ')} ({row['metric'].split('(')[1][:-1]}), {row['condition']}, {100 * row['sparsity']:g} % | {way} | {', '.join(f'{e:.1f}' for e in row['sparse'])} | {100 * np.mean(row['filled']):.0f} % |")
display(Markdown("\n".join(lines)))
still = json.loads((files("modreg") / "data" / "navigation_dense.json").read_text(encoding="utf-8"))[0]["standing still"]
print(f"a rat that claims to stand still: {still:.1f} cm")


# %% [markdown]
# For speed it does: blocks run faster than single weights, as measured above. For the error it does not. On the head-direction task single weights are clearly better than blocks of either kind. In
# navigation none of these networks, trained for a short time, is as good as a rat that claims to stand still, so their order says nothing.
#
# ## Exercise 1: Amdahl's law
#
# *5 min, easy.* A share `s` of a step is products that become `g` times as fast; the rest stays as it is. How many times as fast is the step?

# %%
def amdahl(s, g):
    "How many times as fast a step is, of which a share s becomes g times as fast"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("let the old time be 1: the rest takes 1 - s as before, the products s / g", lambda: draw_lines("times as fast a product is", "times as fast a step is", **{f"share_{s}": (range(1, 31), [amdahl(s, g) for g in range(1, 31)]) for s in (0.5, 0.9, 0.99)})) as expect:
    for s, g, times in ((0.5, 1e9, 2), (1, 8, 8), (0.9, 10, 1 / 0.19)):
        expect(amdahl, s, g, gives=times)


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def amdahl(s, g):
#     return 1 / (1 - s + s / g)
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: how small is the file?
#
# *3 min, easy.* A float takes 4 bytes and so does a column number. From which share of zeros on is a square matrix smaller as compressed rows? Take the beginnings of rows, a number each, for nothing.

# %%
def break_even():
    "The share of zeros from which on compressed rows are smaller than a square matrix"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("let a share z be zeros: 8 (1 - z) against 4", lambda: draw_lines("share of zeros", "bytes for each weight", dense=([0, 1], [4, 4]), compressed=([0, 1], [8, 0]), yours=([break_even()] * 2, [0, 8]))) as expect:
    expect(break_even, gives=0.5)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def break_even():
#     return 0.5
# ```
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - Compressed rows alone were quick for 1,024 neurons and slow for 4,096: the states no longer fit into the cache, and every weight waited for one of them. Panels gave a half of the time back.
# - States as (batch, neurons), as torch has them, make each product pick single numbers from memory far apart. Most of the gain was to turn them once.
# - A network that was loaded with dense weights went on to multiply by the pattern of the old ones, and said nothing. So the weights are counted at each call now.
# - numba and torch share one pool of threads. The first kernel that ran set it to all cores, for torch as well, behind the back of whoever had asked for one thread.
# - torch's sparse rows have indices of 64 bits, and each product with them first makes 32 bits of each. With a single state, that took half of the time.
# - torch's own block-sparse product is slower than the dense one on a processor, whatever the share of blocks.
#
# The paper proposes sparse networks for their size and speed, and measures neither. Its scripts multiply by masks, which costs a little more than not pruning at all.
#
# ## Recall and think
#
# <details><summary>Recall: why do 98 % zeros not make a network fifty times as fast?</summary>
#
# What is no product does not shrink: Amdahl's law.
#
# </details>
#
# <details><summary>Recall: what do blocks cost in error?</summary>
#
# On the head-direction task they are clearly worse than single weights; the networks of navigation had learned too little to say.
#
# </details>
#
# <details><summary>Think: from which sparsity on would you use sparse products on your machine?</summary>
#
# Measure it: where the lines cross depends on the processor, the width and the batch.
#
# </details>
#
# **References.** Amdahl, *Validity of the single processor approach to achieving large scale computing capabilities* (1967). Gale et al., *The state of sparsity in deep neural networks* (2019). Section 5 of the paper.
