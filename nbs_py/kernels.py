# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Kernels
#
# > Loops in the language of the processor: what registers and caches ask of a product with few weights

# %% [markdown]
# *Reading 40 min, exercises 15 min. To skip at a first reading:* all of it, until you need it.
#
# After this chapter you can
#
# - say what a vector register is, and write a loop whose sums never leave it,
# - keep a processor busy when there is but one state to multiply,
# - cut a product into strips and panels, so that what it reads lies in a cache,
# - estimate from the width of a cache's path how fast such a loop can be.
#
# The question: *a processor adds and multiplies 16 numbers at a tick, if they are there. How must a product with few weights be written so that they are?*

# %%
#| default_exp layers.kernels

# %%
#| export
import math
from collections.abc import Callable, Iterator
from functools import cache
from types import FunctionType
from typing import Annotated

import numpy as np
from llvmlite import ir
from numba import carray, njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

from modreg.geometry.arguments import Count, Within, checked

# %%
#| hide
import matplotlib.pyplot as plt
from fastcore.test import test_close, test_eq

from modreg.book.exercises import draw_bars, draw_lines, exercise
from modreg.layers.sparse import median_time

plt.style.use("modreg.data.book")
rng = np.random.default_rng(0)

# %%
#| echo: false
#| fig-alt: "A diagram of three grids: one row's weights in a panel are multiplied with a strip of states, and the sums of a strip of results stay in registers."
rows, width, batch = 12, 24, 16
kept = rng.random((rows, width)) < 0.15
row = kept[:, :8].sum(1).argmax()
fig, axes = plt.subplots(1, 3, figsize=(9, 3.4), layout="constrained", width_ratios=[24, 16, 16])
shapes = ((rows, width, "weights: panel by panel"), (width, batch, "states: a strip of them"), (rows, batch, "results: a strip of them"))
for ax, (height, across, title) in zip(axes, shapes, strict=True):
    ax.set(xlim=(0, across), ylim=(height, 0), aspect="equal", xticks=[], yticks=[], title=title)
axes[0].axvspan(0, 8, color="C0", alpha=0.25)
axes[1].fill_between([0, 8], 0, 8, color="C0", alpha=0.25)
axes[2].axvspan(0, 8, color="C1", alpha=0.2)
for i, j in zip(*kept.nonzero(), strict=True):
    now = i == row and j < 8
    axes[0].plot(j + 0.5, i + 0.5, "s", color="C1" if now else "0.5", markersize=7)
    if now:
        axes[1].fill_between([0, 8], j, j + 1, color="C1")
axes[2].fill_between([0, 8], row, row + 1, color="C1")
axes[0].set(xlabel="to multiply: one row's weights of one panel …")
axes[1].set(xlabel="… with the states which they want …")
axes[2].set(xlabel="… into sums that stay in registers")
plt.show()


# %% [markdown]
# A product with the weights that are left, at one moment. *Predict:* the sums of a strip are kept in registers while the loop goes along a row of weights. What would it cost to keep them in memory?
#
# ## A loop as it is read
#
# Weights are stored as *compressed rows*: all that are left, row by row, the column of each, and where each row begins. States stand with neurons as rows and the batch as columns, so that a weight multiplies one piece of memory.

# %%
@njit
def plain_product(start, columns, values, x, out):
    "Add the product of a matrix with states x (columns, batch) to out (rows, batch)"
    for i in range(len(out)):
        for p in range(start[i], start[i + 1]):
            for k in range(out.shape[1]):
                out[i, k] += values[p] * x[columns[p], k]


# %% [markdown]
# numba compiles this, and makes vector instructions of the innermost loop: each takes eight floats from the states, multiplies them by the weight, and adds them to eight results. But results come from memory and go back there for every single weight. For one
# multiplication there are two reads and a write, and it is these that the processor is busy with.
#
# ## Numbers side by side
#
# Let a row of results stay in registers, until all weights of the row are through. Python has no word for a register, and neither has numba. LLVM, the compiler below numba, has: a *vector* of numbers. So numba is taught one type more, some numbers side by side, and four things to do with it.

# %%
#| export
REGISTER = 32  # bytes of a vector register; where they are smaller, LLVM takes two for one


class Lanes(types.Type):
    "Type of some numbers side by side, in as many vector registers as they need"

    def __init__(self, dtype: types.Type, count: int):
        self.dtype, self.count = dtype, count
        super().__init__(name=f"Lanes({dtype}, {count})")

    def pieces(self) -> Iterator[tuple[int, int]]:
        "First number and length of what each register holds: full ones, and what is left in powers of two"
        first = 0
        while first < self.count:
            length = min(8 * REGISTER // self.dtype.bitwidth, 1 << (self.count - first).bit_length() - 1)
            yield first, length
            first += length


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    "What they are to LLVM: a vector for each register"

    def __init__(self, manager, lanes):
        number = manager.lookup(lanes.dtype).get_value_type()
        super().__init__(manager, lanes, ir.LiteralStructType([ir.VectorType(number, length) for _, length in lanes.pieces()]))


# %% [markdown]
# numba compiles for types and not for values. So how many numbers there are is told by a type as well: by a tuple that has so many entries.

# %%
#| export
def _split(builder, numbers) -> list:
    "The vectors of some numbers"
    return [builder.extract_value(numbers, k) for k in range(len(numbers.type.elements))]


def _joined(builder, vectors: list):
    "Numbers of some vectors"
    numbers = ir.Constant(ir.LiteralStructType([vector.type for vector in vectors]), ir.Undefined)
    for k, vector in enumerate(vectors):
        numbers = builder.insert_value(numbers, vector, k)
    return numbers


def _pointers(context, builder, kinds: tuple, array, row, column, lanes: Lanes) -> list:
    "To the vectors of an array from [row, column] on"
    at = [context.cast(builder, place, kind, types.intp) for place, kind in zip((row, column), kinds[1:3], strict=True)]
    array = context.make_array(kinds[0])(context, builder, array)
    first = cgutils.get_item_pointer(context, builder, kinds[0], array, at, wraparound=False)
    vectors = context.get_value_type(lanes).elements
    return [builder.bitcast(cgutils.gep_inbounds(builder, first, k), vector.as_pointer()) for (k, _), vector in zip(lanes.pieces(), vectors, strict=True)]


# %%
#| export
@intrinsic
def load(typing, array, row, column, lanes):
    "Numbers of a matrix from [row, column] on, as many as the tuple `lanes` has entries"
    result = Lanes(array.dtype, lanes.count)

    def generate(context, builder, signature, arguments):
        pointers = _pointers(context, builder, signature.args, *arguments[:3], result)
        return _joined(builder, [builder.load(pointer, align=array.dtype.bitwidth // 8) for pointer in pointers])

    return result(array, row, column, lanes), generate


@intrinsic
def store(typing, array, row, column, numbers):
    "Write numbers to a matrix from [row, column] on"

    def generate(context, builder, signature, arguments):
        pointers = _pointers(context, builder, signature.args, *arguments[:3], numbers)
        for pointer, vector in zip(pointers, _split(builder, arguments[3]), strict=True):
            builder.store(vector, pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.none(array, row, column, numbers), generate


# %%
#| export
def _everywhere(builder, number, like) -> ir.Value:
    "A vector of one number many times, as long as another"
    first = builder.insert_element(ir.Constant(like.type, ir.Undefined), number, ir.IntType(32)(0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(ir.IntType(32), like.type.count), None))


@intrinsic
def multiply_add(typing, factor, numbers, sums):
    "sums + factor · numbers, rounded once where the processor can do so; the factor is a number, or as many numbers"

    def generate(context, builder, signature, arguments):
        vectors, sums = (_split(builder, numbers) for numbers in arguments[1:])
        factors = _split(builder, arguments[0]) if isinstance(factor, Lanes) else [_everywhere(builder, arguments[0], vector) for vector in vectors]
        products = [builder.fmul(*pair, flags=("contract",)) for pair in zip(factors, vectors, strict=True)]
        return _joined(builder, [builder.fadd(*pair, flags=("contract",)) for pair in zip(sums, products, strict=True)])

    return sums(factor, numbers, sums), generate


@intrinsic
def zeros_like(typing, numbers):
    "As many zeros"

    def generate(context, builder, signature, arguments):
        return context.get_constant_null(numbers)

    return numbers(numbers), generate


# %% [markdown]
# Numbers side by side are added up in the end: register to register, and then the upper half of one to its lower half, until one number is left.

# %%
#| export
def _total(builder, vectors: list, flags: tuple = ()):
    "The sum of all numbers of some vectors"
    sums, total = {}, None  # by length
    for vector in vectors:
        length = vector.type.count
        sums[length] = builder.fadd(sums[length], vector, flags=flags) if length in sums else vector
    for length, vector in sums.items():
        while length > 1:
            length //= 2
            halves = [ir.Constant(ir.VectorType(ir.IntType(32), length), list(range(k, k + length))) for k in (0, length)]
            vector = builder.fadd(*(builder.shuffle_vector(vector, vector, half) for half in halves))
        number = builder.extract_element(vector, ir.IntType(32)(0))
        total = number if total is None else builder.fadd(total, number)
    return total


# %%
#| export
@intrinsic
def total(typing, numbers):
    "The sum of numbers side by side"

    def generate(context, builder, signature, arguments):
        return _total(builder, _split(builder, arguments[0]))

    return numbers.dtype(numbers), generate


@intrinsic
def inner_product(typing, a, b):
    "The sum of a · b"

    def generate(context, builder, signature, arguments):
        pairs = zip(*(_split(builder, numbers) for numbers in arguments), strict=True)
        return _total(builder, [builder.fmul(*pair, flags=("contract",)) for pair in pairs], ("contract",))

    return a.dtype(a, b), generate


# %%
@njit
def try_lanes(x, out, lanes):
    "Twice the first row, and the inner product of the first two"
    store(out, 0, 0, multiply_add(np.float32(2), load(x, 0, 0, lanes), load(out, 0, 0, lanes)))
    return inner_product(load(x, 0, 0, lanes), load(x, 1, 0, lanes))


x = rng.normal(size=(2, 19)).astype("float32")
for count in (1, 8, 15, 16):
    out = np.zeros((1, 19), "float32")
    test_close(try_lanes(x, out, (0,) * count), x[0, :count] @ x[1, :count], eps=1e-4)
    test_eq(out[0], np.where(np.arange(19) < count, 2 * x[0], 0).astype("float32"))


# %% [markdown]
# ## One row, or a block of four
#
# Now the loop of above, for a strip of the batch as wide as `lanes`. The sums are loaded once and stored once. In between, each weight costs one read of states and nothing else: not even a look at whether its place is negative, which in Python would count from the end.

# %%
#| export
@intrinsic
def entry(typing, array, place):
    "A number of an array, at a place that is not negative"

    def generate(context, builder, signature, arguments):
        kinds = signature.args
        found = context.make_array(kinds[0])(context, builder, arguments[0])
        at = context.cast(builder, arguments[1], kinds[1], types.intp)
        return builder.load(cgutils.get_item_pointer(context, builder, kinds[0], found, [at], wraparound=False))

    return array.dtype(array, place), generate


@njit
def single_rows(first, last, rows, start, columns, values, states, origin, out, k, lanes):
    "The sets of rows from first to last, one row in each: add to out[:, k : k + lanes] the product with states, which begin with those of the column and batch `origin`"
    column, at = origin
    for i in range(first, last):
        if start[i] == start[i + 1]:
            continue
        sums = load(out, rows[i, 0], k, lanes)
        for p in range(start[i], start[i + 1]):
            sums = multiply_add(entry(values, p), load(states, entry(columns, p) - column, k - at, lanes), sums)
        store(out, rows[i, 0], k, sums)


# %% [markdown]
# A row that has no weight in a panel is passed over: a large network with local wiring has most of its panels empty. Where four rows have their weights in the same columns, even the read of states serves four times. Such rows are stored as *4×1 blocks*, with four values for each column.

# %%
#| export
@njit
def blocks_of_four(first, last, rows, start, columns, values, states, origin, out, k, lanes):
    "The same with four rows in each set"
    column, at = origin
    for i in range(first, last):
        if start[i] == start[i + 1]:
            continue
        q, r, s, t = rows[i]
        a, b, c, d = load(out, q, k, lanes), load(out, r, k, lanes), load(out, s, k, lanes), load(out, t, k, lanes)
        for p in range(start[i], start[i + 1]):
            numbers = load(states, entry(columns, p) - column, k - at, lanes)
            a, b = multiply_add(values[p, 0], numbers, a), multiply_add(values[p, 1], numbers, b)
            c, d = multiply_add(values[p, 2], numbers, c), multiply_add(values[p, 3], numbers, d)
        store(out, q, k, a)
        store(out, r, k, b)
        store(out, s, k, c)
        store(out, t, k, d)


# %% [markdown]
# ## Few states
#
# A sum of a wide strip is thirteen registers, which are added to in turn. That of a narrow one is a single register, and each addition waits for the one before: four ticks, though a processor could begin one or two at each. So a narrow strip of a row is summed up in four sums, which take turns, and these are added up at the end.

# %%
#| export
NARROW = 2 * REGISTER  # bytes of the widest strip that has four sums


@njit
def narrow_rows(first, last, rows, start, columns, values, states, origin, out, k, lanes):
    "The same as `single_rows` for narrow strips, with four sums for each"
    column, at = origin
    for i in range(first, last):
        p, end = start[i], start[i + 1]
        if p == end:
            continue
        a = load(out, rows[i, 0], k, lanes)
        b = zeros_like(a)
        c, d = b, b
        while p + 4 <= end:
            a = multiply_add(entry(values, p), load(states, entry(columns, p) - column, k - at, lanes), a)
            b = multiply_add(entry(values, p + 1), load(states, entry(columns, p + 1) - column, k - at, lanes), b)
            c = multiply_add(entry(values, p + 2), load(states, entry(columns, p + 2) - column, k - at, lanes), c)
            d = multiply_add(entry(values, p + 3), load(states, entry(columns, p + 3) - column, k - at, lanes), d)
            p += 4
        while p < end:
            a = multiply_add(entry(values, p), load(states, entry(columns, p) - column, k - at, lanes), a)
            p += 1
        one = values.dtype.type(1)
        store(out, rows[i, 0], k, multiply_add(one, multiply_add(one, b, a), multiply_add(one, d, c)))


# %% [markdown]
# *One* state is not even a register wide, and there is nothing to lay side by side but the weights themselves: sixteen of a row, while there are so many, then four, and the states which they want. These lie anywhere, so each is fetched alone. Processors have an instruction that fetches many at once, and many are slower by it. What does help is to read the
# numbers of the columns in words of 64 bits, two at a time, since a processor fetches but two or three things at a tick.

# %%
#| export
@intrinsic
def gather(typing, states, columns, first, lanes):
    "States (n, 1) of the columns from columns[first] on, as many as the tuple `lanes` has entries, an even number"
    result = Lanes(states.dtype, lanes.count)

    def generate(context, builder, signature, arguments):
        kinds, word, half = signature.args, ir.IntType(64), ir.IntType(32)
        there, places = (context.make_array(kind)(context, builder, array).data for kind, array in zip(kinds[:2], arguments[:2], strict=True))
        first, fetched = builder.gep(places, [context.cast(builder, arguments[2], kinds[2], types.intp)]), []
        for k in range(0, lanes.count, 2):
            pair = builder.load(builder.bitcast(builder.gep(first, [word(k)]), word.as_pointer()), align=4)
            for number in (builder.and_(pair, word(2**32 - 1)), builder.lshr(pair, word(32))):
                fetched.append(builder.load(builder.gep(there, [number])))
        vectors = []
        for k, length in result.pieces():
            vector = ir.Constant(ir.VectorType(fetched[0].type, length), ir.Undefined)
            for n, number in enumerate(fetched[k : k + length]):
                vector = builder.insert_element(vector, number, half(n))
            vectors.append(vector)
        return _joined(builder, vectors)

    return result(states, columns, first, lanes), generate


# %%
#| export
MANY, SOME = (0,) * 16, (0,) * 4  # weights that are multiplied side by side


@njit
def rows_of_one_state(first, last, rows, start, columns, values, states, out):
    "The sets of rows from first to last, one row in each: add to `out` (rows, 1) the product with states (columns, 1)"
    weights = values.reshape(1, -1)
    for i in range(first, last):
        p, end = start[i], start[i + 1]
        number = out[rows[i, 0], 0]
        if p + 16 <= end:
            sums = zeros_like(load(weights, 0, 0, MANY))
            while p + 16 <= end:
                sums = multiply_add(load(weights, 0, p, MANY), gather(states, columns, p, MANY), sums)
                p += 16
            number += total(sums)
        if p + 4 <= end:
            few = zeros_like(load(weights, 0, 0, SOME))
            while p + 4 <= end:
                few = multiply_add(load(weights, 0, p, SOME), gather(states, columns, p, SOME), few)
                p += 4
            number += total(few)
        while p < end:
            number += entry(values, p) * states[np.uint32(entry(columns, p)), 0]
            p += 1
        out[rows[i, 0], 0] = number


# %%
kept = rng.random((6, 90)) < [[0.9], [0], [0.02], [0.3], [1], [0.2]]
weight, x, out = rng.normal(size=(6, 90)) * kept, rng.normal(size=(90, 8)), np.zeros((6, 8))
i, j = kept.nonzero()
plain = np.searchsorted(i, np.arange(7)).astype("int32"), j.astype("int32"), weight[i, j]
narrow_rows(0, 6, np.arange(6)[:, None], *plain, x, (0, 0), out, 0, (0,) * 8)
test_close(out, weight @ x, eps=1e-12)
out = np.ones((6, 1))
rows_of_one_state(0, 6, np.arange(6)[:, None], *plain, x[:, :1].copy(), out)
test_close(out, 1 + weight @ x[:, :1], eps=1e-12)

# %% [markdown]
# ## Strips and panels
#
# How wide is a strip? The common processors of today have 16 vector registers of 32 bytes, or more of them. One must hold the weight, and some hold states on their way, so 13 are for sums: 104 floats of one row, or 24 of four. A batch is cut into as few strips as that allows, full registers in all
# but the last.

# %%
#| export
SUMS = 13 * REGISTER  # bytes of registers for the sums of a strip


@checked
def strips(
    batch: Count,
    itemsize: Annotated[int, Within(1, 16)],  # bytes of a number
    rows_per_set: Annotated[int, Within(1, 13)] = 1,  # rows in a set
) -> tuple[int, int]:  # numbers in each but the last, and in the last
    "Widths of the strips of a batch"
    full = REGISTER // itemsize
    most = SUMS // (rows_per_set * itemsize) // full * full
    wide = min(batch, full * math.ceil(batch / math.ceil(batch / most) / full))
    return wide, batch - wide * (math.ceil(batch / wide) - 1)


# %%
test_eq([strips(batch, 4) for batch in (200, 128, 100, 1)], [(104, 96), (64, 64), (100, 100), (1, 1)])
test_eq([strips(200, 4, rows_per_set=4), strips(200, 8), strips(200, 8, rows_per_set=4)], [(24, 8), (52, 44), (12, 8)])
for batch in range(1, 500):
    wide, last = strips(batch, 4)
    assert 0 < last <= wide <= 104 and (batch - last) % wide == 0


# %% [markdown]
# Between registers and memory are caches, and the second one holds half a megabyte or more. So a wide matrix is cut into *panels* of some hundreds of columns, and each strip goes through one panel after another. The states that it wants there are first copied into one piece, side by side. In
# a wide network they would else lie scattered over so many pages of memory that the processor forgets where the pages are.

# %%
#| export
@njit
def packed_panel(x, panel, width, k, lanes, buffer):
    "A panel's states of the batch [k : k + lanes], and the column and batch that they begin with; all of `x`, if panels have no width"
    if width == 0:
        return x, (0, 0)
    for column in range(panel * width, min((panel + 1) * width, len(x))):
        store(buffer, column - panel * width, 0, load(x, column, k, lanes))
    return buffer, (panel * width, k)


# %% [markdown]
# What one thread does: all rows of a panel for one strip, then those of the next panel, and then the next strip. Values have one dimension if rows are single, and two if there are four in a set. Which loop fits is known from the types, so numba compiles that one alone.

# %%
#| export
def add_rows(first, last, rows, start, columns, values, states, origin, out, k, lanes):
    "Whichever of the loops above fits the types"


@overload(add_rows)
def _add_rows(first, last, rows, start, columns, values, states, origin, out, k, lanes):
    narrow = single_rows if lanes.count * values.dtype.bitwidth > 8 * NARROW else narrow_rows
    loop = blocks_of_four if values.ndim == 2 else narrow

    def one(first, last, rows, start, columns, values, states, origin, out, k, lanes):
        if states.shape[1] == 1:
            rows_of_one_state(first, last, rows, start, columns, values, states, out)
        else:
            loop(first, last, rows, start, columns, values, states, origin, out, k, lanes)

    def many(first, last, rows, start, columns, values, states, origin, out, k, lanes):
        loop(first, last, rows, start, columns, values, states, origin, out, k, lanes)

    return one if lanes.count == 1 and values.ndim == 1 else many


# %%
#| export
@njit
def _strip(first, last, width, rows, start, columns, values, x, buffer, out, k, lanes):
    for panel in range((len(start) - 1) // len(rows)):
        states, origin = packed_panel(x, panel, width if x.shape[1] > 1 else 0, k, lanes, buffer)
        add_rows(first, last, rows, start[panel * len(rows) :], columns, values, states, origin, out, k, lanes)


@njit
def _share(first, last, width, rows, start, columns, values, x, out, wide, narrow):
    buffer = np.empty((width, len(wide)), x.dtype)
    for t in range(len(x)):
        k = 0
        while k + len(wide) < out.shape[2]:
            _strip(first, last, width, rows, start, columns, values, x[t], buffer, out[t], k, wide)
            k += len(wide)
        _strip(first, last, width, rows, start, columns, values, x[t], buffer, out[t], k, narrow)


# %%
#| export
WIDE = LAST = ()  # as many entries as strips have numbers; each kernel has its own


def add_product(
    parts: int,  # threads that share the rows
    width: int,  # columns of a panel; 0 leaves states where they are
    rows: np.ndarray,  # which stand together, in the order of `start` (sets, 1 or 4)
    start: np.ndarray,  # where each set begins in each panel, and the end (panels · sets + 1,)
    columns: np.ndarray,  # (n,)
    values: np.ndarray,  # (n,) or (n, 4)
    x: np.ndarray,  # (steps, columns, batch)
    out: np.ndarray,  # (steps, rows, batch); changed in place
) -> None:
    "Add the product of a sparse matrix with the states of each step to `out`"
    sets = len(rows)
    for part in prange(parts):
        _share(sets * part // parts, sets * (part + 1) // parts, width, rows, start, columns, values, x, out, WIDE, LAST)


# %% [markdown]
# To take an array from Python, numba looks at its type, its shape and its owner, and so for eight of them: longer than a product with one state of a small network takes. So there is a second door, for one thread, which takes addresses and asks nothing.

# %%
#| export
@intrinsic
def pointer(typing, address):
    "To what lies at an address"

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), generate


NUMBER, ROWS_PER_SET = np.float32, 1  # each kernel has its own


def add_product_at(
    matrix: np.ndarray,  # width of a panel; sets, beginnings, columns, neurons (columns of the matrix); addresses of rows, start, columns, values (9,), int64
    steps: int,
    batch: int,
    x: int,  # addresses of the states (steps, columns, batch), in one piece
    out: int,  # and of the results (steps, rows, batch)
) -> None:
    "`add_product` on one thread, of what lies at addresses"
    width, sets, starts, n, neurons = matrix[0], matrix[1], matrix[2], matrix[3], matrix[4]
    rows, start = carray(pointer(matrix[5]), (sets, ROWS_PER_SET), np.int64), carray(pointer(matrix[6]), (starts,), np.int32)
    columns, values = carray(pointer(matrix[7]), (n,), np.int32), carray(pointer(matrix[8]), (n,) if ROWS_PER_SET == 1 else (n, ROWS_PER_SET), NUMBER)
    states, sums = carray(pointer(x), (steps, neurons, batch), NUMBER), carray(pointer(out), (steps, sets * ROWS_PER_SET, batch), NUMBER)
    _share(0, sets, width, rows, start, columns, values, states, sums, WIDE, LAST)


# %% [markdown]
# ## Steps in time
#
# A product with one state may take ten millionths of a second, and Python takes as long to ask for it. So where steps are short, a whole sequence is run by one call, activations included. A rectifier is one comparison. Hyperbolic tangents of many numbers at once must be written down, since numba calls for them one by one:
# $\tanh x = (e^{2x} - 1) / (e^{2x} + 1)$, and $e^z = 2^k e^r$ with a whole $k$ and a small $r$, of which Taylor's series needs nine terms. In doubles that is right to the last bit of a float.

# %%
#| export
@intrinsic
def power_of_two(typing, exponent):
    "2 to the power of a whole number that is neither large nor small: a float's bits are put together"

    def generate(context, builder, signature, arguments):
        bits = builder.shl(builder.add(arguments[0], ir.IntType(64)(1023)), ir.IntType(64)(52))
        return builder.bitcast(bits, ir.DoubleType())

    return types.float64(types.int64), generate


SERIES = tuple(1 / math.factorial(n) for n in range(9, 0, -1))  # Taylor's of (e^r - 1) / r
LOG_2 = math.log(2)


@njit(error_model="numpy")
def tanh_of_float(x):
    "The hyperbolic tangent, right to 1e-9 of itself"
    z = 2 * abs(np.float64(x))
    z = 40.0 if z > 40.0 else z
    k = np.int32(z * (1 / LOG_2) + 0.5)
    r, sum_ = z - k * LOG_2, 0.0
    for coefficient in SERIES:
        sum_ = sum_ * r + coefficient
    power = power_of_two(np.int64(k))
    more = power * (sum_ * r) + (power - 1)  # e^z - 1
    return math.copysign(more / (more + 2), x)


# %%
#| export
@njit
def activate(states, is_tanh):
    "Hyperbolic tangents, or what is positive, in place of all numbers of a matrix"
    numbers = states.reshape(-1)
    for i in range(len(numbers)):
        x = numbers[i]
        if not is_tanh:
            numbers[i] = 0 if x < 0 else x
        elif states.itemsize == 4:
            numbers[i] = tanh_of_float(x)
        else:
            numbers[i] = math.tanh(x)


# %%
#| export
def run_steps(
    parts: int,  # 1: a step must end before the next begins
    width: int,  # columns of a panel; 0 leaves states where they are
    rows: np.ndarray,  # as for `add_product`
    start: np.ndarray,
    columns: np.ndarray,
    values: np.ndarray,
    is_tanh: bool,  # or else a rectifier
    states: np.ndarray,  # the first state, and then what drives each step (steps + 1, neurons, batch); the drives become states
) -> None:
    "Run a recurrence: each state is the activation of its drive and of the product with the state before"
    for t in range(1, len(states)):
        _share(0, len(rows), width, rows, start, columns, values, states[t - 1 : t], states[t : t + 1], WIDE, LAST)
        activate(states[t], is_tanh)


# %%
@njit
def tanh_of(x):
    "Of each number"
    for i in range(len(x)):
        x[i] = tanh_of_float(x[i])


x = np.concatenate([np.linspace(-12, 12, 200_001), [0, -0.0, 1e-30, -1e-12, 1e-5, np.inf, -np.inf, np.nan]]).astype("float32")
exact, out = np.tanh(x.astype("float64")), x.copy()
tanh_of(out)
error = np.abs(out - exact) / np.spacing(np.maximum(np.abs(exact), 1e-30).astype("float32"))
test_eq(np.nanmax(error) < 0.6 and np.isnan(out[-1]), True)


# %% [markdown]
# ## The gradient
#
# A weight's gradient is an inner product over the batch, of the errors of its row and the states of its column. A strip of errors stays in registers for a whole row of weights:

# %%
#| export
@njit
def weight_gradients(first, last, width, start, columns, errors, states, buffer, out, k, lanes):
    "The rows from first to last: add to each weight's gradient the inner product of errors and states over [k : k + lanes]"
    for panel in range((len(start) - 1) // len(errors)):
        near, (column, at) = packed_panel(states, panel, width, k, lanes, buffer)
        for i in range(first, last):
            error = load(errors, i, k, lanes)
            for p in range(start[panel * len(errors) + i], start[panel * len(errors) + i + 1]):
                out[p] += inner_product(error, load(near, entry(columns, p) - column, k - at, lanes))


@njit
def _share_of_gradient(first, last, width, start, columns, errors, states, out, wide, narrow):
    buffer = np.empty((width, len(wide)), states.dtype)
    for t in range(len(errors)):
        k = 0
        while k + len(wide) < errors.shape[2]:
            weight_gradients(first, last, width, start, columns, errors[t], states[t], buffer, out, k, wide)
            k += len(wide)
        weight_gradients(first, last, width, start, columns, errors[t], states[t], buffer, out, k, narrow)


# %%
#| export
def add_gradient(
    parts: int,  # threads that share the rows
    width: int,  # columns of a panel; 0 leaves states where they are
    start: np.ndarray,  # where each row begins in each panel, and the end (panels · rows + 1,)
    columns: np.ndarray,  # (n,)
    errors: np.ndarray,  # (steps, rows, batch)
    states: np.ndarray,  # (steps, columns, batch)
    out: np.ndarray,  # one for each weight (n,); changed in place
) -> None:
    "Add to `out` what each weight gets of the sum over steps of errors times states"
    rows = errors.shape[1]
    for part in prange(parts):
        _share_of_gradient(rows * part // parts, rows * (part + 1) // parts, width, start, columns, errors, states, out, WIDE, LAST)


# %% [markdown]
# numba compiles a kernel when it is first wanted, for the strips and the type of numbers that are wanted, and keeps it in a file, so that it compiles once on a machine and not once in a process. But two processes that compile the same function for other types at the same time may write into
# each other's files. So each kernel is a function of its own, by its own name.

# %%
#| export
@cache
def compiled(
    function: Callable,  # `add_product`, `add_product_at`, `run_steps` or `add_gradient`
    dtype: np.dtype,  # of all numbers
    batch: int,
    rows_per_set: int = 1,  # rows in a set
    parallel: bool = True,  # on some threads, which costs time even where there is only one
) -> Callable:  # the same, quick
    "A kernel for one type of numbers, and for batches of one size"
    return _kept(function, dtype.name, rows_per_set, *strips(batch, dtype.itemsize, rows_per_set), parallel)


@cache
def _kept(function: Callable, dtype: str, rows_per_set: int, wide: int, last: int, parallel: bool) -> Callable:
    own = FunctionType(function.__code__, function.__globals__ | {"WIDE": (0,) * wide, "LAST": (0,) * last, "NUMBER": np.dtype(dtype).type, "ROWS_PER_SET": rows_per_set}, function.__name__)
    own.__qualname__ = f"{function.__name__}_{dtype}_{rows_per_set}_{wide}_{last}_{'parallel' if parallel else 'alone'}"
    return njit(parallel=parallel, error_model="numpy", cache=True)(own)


# %% [markdown]
# ## Right, and how much faster?
#
# Against numpy, for a batch of 116, in strips of 64 and 52:

# %%
weight = (rng.normal(size=(1024, 1024)) * (rng.random((1024, 1024)) < 0.1)).astype("float32")
i, j = weight.nonzero()
start, columns, values = np.searchsorted(i, np.arange(1025)).astype("int32"), j.astype("int32"), weight[i, j]
x = rng.normal(size=(2, 1024, 116)).astype("float32")
out, gradient = np.zeros_like(x), np.zeros(len(i), "float32")
compiled(add_product, x.dtype, 116)(2, 1024, np.arange(1024)[:, None], start, columns, values, x, out)
test_close(out, weight @ x, eps=1e-3)
compiled(add_gradient, x.dtype, 116)(2, 1024, start, columns, out, x, gradient)
test_close(gradient, np.einsum("tib,tjb->ij", out, x)[i, j], eps=1e-1)

# %%
x = rng.normal(size=(1, 1024, 192)).astype("float32")
out, kernel = np.zeros_like(x), compiled(add_product, x.dtype, 192)
as_read, in_strips = median_time(
    lambda: plain_product(start, columns, values, x[0], out[0]), lambda: kernel(1, 1024, np.arange(1024)[:, None], start, columns, values, x, out), rounds=7)
print(f"sums in registers: {as_read / in_strips:.1f} times as fast as the plain loop; {2 * len(values) * 192 / in_strips / 1e9:.0f} billion operations a second")


# %% [markdown]
# A processor of the kind that this was written on makes 32 operations at a tick, if its numbers are in registers, and takes 32 bytes, eight floats, from its second cache at a tick. Each of these floats is multiplied once and added once. So a product whose states come from the second cache
# cannot do more than 16 operations at a tick, half of what a dense one does; and with nine zeros in ten it cannot be more than five times as fast as a dense product that runs at full speed. Four rows at a time are not bound by this. The chapter [sparse](sparse.ipynb) measures how near it comes.
#
# ## Exercise 1: registers
#
# *5 min, easy.* A processor has some vector registers, each of so many bytes. All but three of them are for sums. How many full registers of numbers fit there for each of some rows that are taken together, and how many numbers of a given size is that?

# %%
def strip(registers, width, itemsize, rows_per_set=1):
    "How many numbers of `itemsize` bytes fit in the full registers, of `width` bytes, that each of the rows gets"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("each row has (registers - 3) // rows_per_set registers, and a number takes itemsize of their bytes",
              lambda: draw_bars({f"{rows} rows at a time": strip(16, 32, 4, rows) for rows in (1, 2, 4)}, "numbers in a row's registers")) as expect:
    for arguments, numbers in (((16, 32, 4), 104), ((16, 32, 8), 52), ((16, 32, 4, 4), 24), ((32, 64, 4), 464)):
        expect(strip, *arguments, gives=numbers)


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def strip(registers, width, itemsize, rows_per_set=1):
#     return (registers - 3) // rows_per_set * width // itemsize
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: the cache's path
#
# *10 min, medium.* The processor makes `operations` at a tick, and takes `read` bytes from its second cache. A float of four bytes is used for one multiplication and one addition in each of `rows_per_set` rows. How many times as fast as a dense product can a sparse one be at most, if a share `density` of weights is left?

# %%
def bound(density, operations=32, read=32, rows_per_set=1):
    "How many times as fast as a dense product a sparse one is at most, if a share `density` of weights is left"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("read / 4 floats arrive at a tick, and each is good for 2 · rows_per_set operations; the processor makes at most `operations`",
              lambda: draw_lines("weights that are left (%)", "times as fast at most", one_row=(range(2, 51), [bound(d / 100) for d in range(2, 51)]), four_rows=(range(2, 51), [bound(d / 100, rows_per_set=4) for d in range(2, 51)]))) as expect:
    expect(bound, 0.1, gives=5.0)
    expect(bound, 0.02, gives=25.0)
    expect(lambda: bound(0.1, rows_per_set=4), gives=10.0, name="bound(0.1, rows_per_set=4)")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def bound(density, operations=32, read=32, rows_per_set=1):
#     return min(operations, read / 4 * 2 * rows_per_set) / operations / density
# ```
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - The first kernel added six weights at a time to a row of results in memory. It was half as fast as this one for a batch of 32: each of its short loops began with a test of whether the rows overlap, and ended with what did not fill a register.
# - The first kernel with strips was faster for 1,024 neurons and slower for 4,096, until states were copied side by side.
# - Strips were 64 floats wide at first, one vector for LLVM. Vectors of 40 or 100 floats are three to five times as slow: LLVM handles powers of two well, and little else. Many vectors, one for each register, have no such trouble.
# - Blocks of four rows had been multiplied without copying states side by side, since values would have to be read again for each strip. Results had to be read again for each panel instead, here and there in memory, and that was worse.
# - All widths of strips in one kernel took 44 seconds to compile. Now each kernel is compiled for the strips of one batch, when they are first wanted.
# - A kernel that asks numba for the number of threads, or hands a function to another, can't be kept in a file. So it is told how many parts there are, and what it calls stands beside it.
# - Code that is kept in a file is linked by name to what other files hold, and two functions that are made by one function have one name. When the loops for single rows and for blocks of four were made so, a product in blocks that had been compiled in one process ran, in another, with the
#   loop for single rows, and nothing said so but a test: all was right wherever everything was compiled at once.
#
# The paper proposes sparse networks for their speed, and multiplies by masks.
#
# ## Recall and think
#
# <details><summary>Recall: why must sums stay in registers?</summary>
#
# Else each weight costs a read and a write of its result besides the read of the state.
#
# </details>
#
# <details><summary>Recall: what are panels for?</summary>
#
# The states that a piece of the matrix wants then fit into a cache.
#
# </details>
#
# <details><summary>Think: why is there no simple rule for the width of a strip?</summary>
#
# Registers, caches and the batch pull in different ways; so one asks the machine.
#
# </details>
#
# **References.** Hong et al., *Adaptive sparse tiling for sparse matrix multiplication* (2019). Lam, Pitrou and Seibert, *Numba: a LLVM-based Python JIT compiler* (2015).
