"""Sparse products beside their rivals: one product, a recurrence of some steps, and its training, by width, zeros, batch and mask.

All sides of a cell live in one process, since their calls are short, and are called in turn, round after round. A rival that can't be had here is left out, with a word.
"""

import json
import math
import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product
from pathlib import Path

import timing
import torch
from rows import navigation_config, FULL
from torch import Tensor, nn
from torch.nn.utils import prune

from modreg.lab.training import Phase
from modreg.layers.recurrent import RNN
from modreg.geometry.manifolds import Torus
from modreg.layers.sparse import SparseRNN, _waited, _ways, fastest, geometric_blocks, least_time, use_sparse_products
from modreg.tasks.navigation import Navigation

RIVALS = ("dense", "torch", "scipy", "MKL", "gathered", "pruned", "autograd")
FLOORS = ("bytes", "products")
STEPS, INPUTS, EPOCHS = 50, 2, 4
MOST = 100e6  # bytes of gathered states, beyond which they are a multiple of all others in time too
LONG = 5.0  # s of a round of which two are enough: the longer a call, the less is it disturbed
library = Path(sys.prefix, "lib", "libmkl_rt.so.3")
if library.exists():
    os.environ.setdefault("MKL_RT", str(library))


@dataclass(frozen=True)
class Cell:
    "What is computed"

    kind: str  # "product", "recurrence" or "training"
    neurons: int
    zeros: float
    batch: int
    mask: str = "random"  # or "trained": what a short run of navigation on a torus left
    threads: int = 1

    @property
    def size(self) -> str:
        return f"N={self.neurons}, {self.zeros:.0%}, batch {self.batch}"


def cells(neurons: tuple[int, ...] = (512, 1024, 2048, 4096), batches: tuple[int, ...] = (1, 8, 32, 200)) -> list[Cell]:
    "All cells of the table"
    zeros, middle = (0.9, 0.95, 0.98), neurons[len(neurons) // 2 - 1]
    found = [Cell("product", *size) for size in product(neurons, zeros, batches)]
    found += [Cell("product", middle, z, b, "trained") for z, b in product(zeros, batches)]
    found += [Cell("product", n, z, b, threads=2) for n, z, b in product((middle, neurons[-1]), (0.9, 0.98), (1, 8, 200))]
    found += [Cell("recurrence", *size) for size in product(dict.fromkeys((neurons[0], middle, neurons[-1])), (0.9, 0.98), batches)]
    found += [Cell("recurrence", middle, z, b, "trained") for z, b in product((0.9, 0.98), (1, 200))]
    found += [Cell("training", n, z, b) for n, z, b in product((neurons[0], middle), (0.9, 0.98), (8, 200))]
    return found


# --- masks -------------------------------------------------------------------------------------------------------------


@cache
def trained_weight(neurons: int, zeros: float) -> Tensor:
    "The recurrent weight that a short run of navigation leaves, on a torus; each matrix gives the same share of zeros"
    config = replace(navigation_config(neurons, FULL, 4), sparsity=zeros, shares="layer", strength=10.0, lottery=False, place_cells=64, epochs=EPOCHS, batch=20, steps=10)
    phase = Phase(Navigation(config))
    for _ in range(EPOCHS):
        phase.next_epoch()
    return phase.model.rnn.weight_hh_l0.detach()[0].clone()


def weight_of(cell: Cell) -> Tensor:
    "The matrix (N, N), whose rows have about unit length"
    g = torch.Generator().manual_seed(0)
    if cell.mask == "trained":
        weight = trained_weight(cell.neurons, cell.zeros)
        return weight * (weight.count_nonzero() / cell.neurons).rsqrt() / weight[weight != 0].std()
    kept = torch.rand(cell.neurons, cell.neurons, generator=g) >= cell.zeros
    return torch.randn(cell.neurons, cell.neurons, generator=g) * kept / math.sqrt(cell.neurons * (1 - cell.zeros))


# --- the rivals --------------------------------------------------------------------------------------------------------


def _csr(weight: Tensor) -> Tensor:
    "torch's sparse rows with indices of 32 bits, which MKL takes as they are"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = weight.to_sparse_csr()
        return torch.sparse_csr_tensor(rows.crow_indices().int(), rows.col_indices().int(), rows.values(), rows.shape)


def _scipy(weight: Tensor):
    import scipy.sparse

    matrix = scipy.sparse.csr_matrix(weight.numpy())
    matrix.sort_indices()
    return matrix


def _mkl(weight: Tensor) -> Callable:
    "Product with a matrix of scipy's by MKL"
    import sparse_dot_mkl

    sparse_dot_mkl.mkl_set_num_threads(torch.get_num_threads())
    return partial(sparse_dot_mkl.dot_product_mkl, _scipy(weight))


def _gathered(weight: Tensor, batch: int) -> Callable[[Tensor], Tensor]:
    "Condensed fan-in: each row's weights, filled up to the longest, times the states which they want"
    most = int((weight != 0).sum(1).max())
    if weight.shape[0] * most * batch * 4 > MOST:
        raise ImportError(f"the gathered states of a step would take {weight.shape[0] * most * batch * 4 / 1e6:.0f} MB")
    columns = (weight != 0).int().argsort(dim=1, descending=True, stable=True)[:, :most]
    values = weight.gather(1, columns)[:, None]
    return lambda states: (states[:, 0][columns] * values[:, 0]).sum(1, keepdim=True) if batch == 1 else torch.bmm(values, states[columns])[:, 0]


def available(builds: dict[str, Callable[[], timing.Call]]) -> tuple[dict[str, timing.Call], dict[str, str]]:
    "What can be built here, and why the rest can't"
    calls, missing = {}, {}
    for name, build in builds.items():
        try:
            calls[name] = build()
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            missing[name] = str(error).splitlines()[0]
    return calls, missing


# --- one product -------------------------------------------------------------------------------------------------------


def product_sides(weight: Tensor, batch: int) -> dict[str, Callable[[], timing.Call]]:
    "Ways to build a product with states (N, batch)"
    states, out = torch.randn(len(weight), batch), torch.zeros(len(weight), batch)
    array = states.numpy()[:, 0] if batch == 1 else states.numpy()

    def ours():
        multiply = fastest(weight, batch)[1]
        return lambda: multiply(states, out)

    def by_torch():
        matrix = _csr(weight)
        return lambda: torch.addmm(out, matrix, states, out=out)

    def by_scipy():
        matrix = _scipy(weight)
        return lambda: matrix @ array

    def by_mkl():
        multiply = _mkl(weight)
        return lambda: multiply(array)

    def gathered():
        multiply = _gathered(weight, batch)
        return lambda: multiply(states)

    return {"ours": ours, "dense": lambda: partial(torch.mm, weight, states, out=out), "torch": by_torch, "scipy": by_scipy, "MKL": by_mkl, "gathered": gathered}


def floors(weight: Tensor, batch: int, steps: int = 1) -> dict[str, Callable[[], timing.Call]]:
    "One read of values, columns, states and results, and a dense product with as many multiplications, once for each step"
    n, left = len(weight), int(weight.count_nonzero())
    numbers = torch.randn(2 * left + 2 * n * batch)
    few, states, out = torch.randn(n, max(1, round(left / n))), torch.randn(max(1, round(left / n)), batch), torch.zeros(n, batch)
    times = range(steps)
    return {"bytes": lambda: lambda: [numbers.sum() for _ in times], "products": lambda: lambda: [torch.mm(few, states, out=out) for _ in times]}


# --- a recurrence ------------------------------------------------------------------------------------------------------


def recurrence_sides(weight: Tensor, batch: int, steps: int = STEPS) -> dict[str, Callable[[], timing.Call]]:
    "Ways to build a run of a recurrence with hyperbolic tangents over inputs (steps, batch, 2); all keep the states of all steps, as a layer does"
    import numpy as np

    layer = nn.RNN(INPUTS, len(weight), bias=False)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(weight)
    x, w_x = torch.randn(steps, batch, INPUTS), layer.weight_ih_l0.detach()
    inputs = x.numpy()[:, 0] if batch == 1 else x.mT.contiguous().numpy()

    def dense():
        def call():
            with torch.no_grad():
                return layer(x)[1][0].T

        return call

    def ours():
        network = SparseRNN(layer.state_dict(), batch=batch)
        return lambda: network(x)[1][0].T

    def in_torch(build: Callable[[], Callable[[Tensor, Tensor], Tensor]]) -> timing.Call:
        step = build()

        def call():
            h, states = torch.zeros(len(weight), batch), torch.empty(steps, len(weight), batch)
            for drive, out in zip(w_x @ x.mT, states, strict=True):
                h = torch.tanh(step(drive, h), out=out)
            return h

        return call

    def in_numpy(build: Callable[[], Callable]) -> timing.Call:
        multiply, w = build(), w_x.numpy()

        def call():
            h = np.zeros((len(weight), batch)[: inputs.ndim - 1], "float32")
            states = np.empty((steps, *h.shape), "float32")
            for drive, out in zip(inputs @ w.T if batch == 1 else w @ inputs, states, strict=True):
                h = np.tanh(multiply(h) + drive, out=out)
            return h

        return call

    def by_torch():
        matrix = _csr(weight)
        return lambda drive, h: torch.addmm(drive, matrix, h)

    def gathered():
        multiply = _gathered(weight, batch)
        return lambda drive, h: multiply(h).add_(drive)

    return {"ours": ours, "dense": dense, "torch": partial(in_torch, by_torch), "scipy": partial(in_numpy, lambda: _scipy(weight).__matmul__),
            "MKL": partial(in_numpy, lambda: _mkl(weight)), "gathered": partial(in_torch, gathered)}


# --- training ----------------------------------------------------------------------------------------------------------


def training_sides(weight: Tensor, batch: int, steps: int = 10) -> dict[str, Callable[[], timing.Call]]:
    "Ways to build a pass forward and backward through a recurrence, with the gradient of what is left of its weight"
    x, n = torch.randn(steps, batch, INPUTS), len(weight)

    def passes(forward: Callable[[], Tensor], *leaves: Tensor) -> timing.Call:
        def call():
            for leaf in leaves:
                leaf.grad = None
            forward().square().mean().backward()

        return call

    def dense():
        layer = nn.RNN(INPUTS, n, bias=False, nonlinearity="relu")
        with torch.no_grad():
            layer.weight_hh_l0.copy_(weight)
        return passes(lambda: layer(x)[0], *layer.parameters())

    def pruned():
        layer = nn.RNN(INPUTS, n, bias=False, nonlinearity="relu")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            prune.custom_from_mask(layer, "weight_hh_l0", weight != 0)

        def forward():
            for hook in layer._forward_pre_hooks.values():
                hook(layer, (x,))
            return layer(x)[0]

        return passes(forward, *layer.parameters())

    def ours():
        layer = RNN(INPUTS, n, nonlinearity="relu", bias=False)
        with torch.no_grad():
            layer.weight_hh_l0.copy_(weight)
        use_sparse_products(layer, {"weight_hh_l0": weight != 0}, batch)
        return passes(lambda: layer(x)[0], *layer.parameters())

    def autograd():
        matrix, w_x = _csr(weight).requires_grad_(), (torch.randn(n, INPUTS) / INPUTS).requires_grad_()

        def forward():
            h, states = torch.zeros(n, batch), []
            for drive in w_x @ x.mT:
                h = (torch.sparse.mm(matrix, h) + drive).relu()
                states.append(h)
            return torch.stack(states)

        passes(forward, matrix, w_x)()  # raises where torch can't
        return passes(forward, matrix, w_x)

    return {"ours": ours, "dense": dense, "pruned": pruned, "autograd": autograd}


# --- a cell ------------------------------------------------------------------------------------------------------------


def sides(cell: Cell) -> dict[str, Callable[[], timing.Call]]:
    "Ways to compute a cell, and its floors"
    weight = weight_of(cell)
    ways = {"product": product_sides, "recurrence": recurrence_sides, "training": training_sides}[cell.kind](weight, cell.batch)
    steps = {"product": 1, "recurrence": STEPS, "training": 30}[cell.kind]  # forward, backward, and the gradient, of ten steps
    return ways | floors(weight, cell.batch, steps)


def _serve(pipe, cell: Cell, rounds: tuple[int, int], seconds: float) -> None:
    "Life of a cell's process"
    try:
        torch.set_num_threads(1)  # while a mask is made
        ways = sides(cell)
        torch.set_num_threads(cell.threads)
        calls, missing = available(ways)
        estimates = {name: timing.first_estimate(call) for name, call in calls.items()}
        timers = {name: partial(timing.seconds_per_call, call, estimates[name], least=2e-3) for name, call in calls.items()}
        least = rounds[0] if sum(estimates.values()) < LONG else 2
        pipe.send((timing.interleave(timers, (least, rounds[1]), seconds), missing))
    except Exception as error:
        pipe.send(error)


def measure(cell: Cell, rounds: tuple[int, int] = (3, 21), seconds: float = 0.4) -> dict:
    "Median seconds of each side of a cell, ratios within rounds, and what is missing"
    if cell.mask == "trained":  # once for all processes
        torch.set_num_threads(1)
        trained_weight(cell.neurons, cell.zeros)
    mine, theirs = timing.multiprocessing.get_context("fork").Pipe()
    os.environ["NUMBA_NUM_THREADS"] = str(cell.threads)
    process = timing.multiprocessing.get_context("fork").Process(target=_serve, args=(theirs, cell, rounds, seconds), daemon=True)
    process.start()
    answer = mine.recv()
    process.join()
    if isinstance(answer, Exception):
        raise answer
    done, missing = answer
    rivals = [name for name in done[0] if name in RIVALS]
    seconds_ = {name: timing.quartiles([timings[name] for timings in done]) for name in done[0]}
    best = min(rivals, key=lambda name: seconds_[name][0])
    over = {name: timing.quartiles([timings["ours"] / timings[name] for timings in done]) for name in FLOORS}
    ratios = {"best": timing.quartiles([timings[best] / timings["ours"] for timings in done]), "dense": timing.quartiles([timings["dense"] / timings["ours"] for timings in done])}
    return vars(cell) | {"seconds": seconds_, "best": best, "ratios": ratios, "over": over, "missing": missing, "rounds": len(done)}


def missed(result: dict) -> list[str]:
    "Targets that a cell misses, in words"
    most, small = result["ratios"], result["batch"] < 32
    least = 1.0 if small or result["kind"] == "training" else 1.5
    words = [f"{least:g}× the best rival"] if most["best"][0] < least else []
    words += ["within a twentieth of dense"] if most["dense"][0] < 0.95 else []
    return words + (["within 2 of the bytes"] if small and result["kind"] == "product" and result["over"]["bytes"][0] > 2 else [])


def on_gpu(neurons: int = 4096, zeros: float = 0.9, size: int = 16, batch: int = 200) -> str:
    "In words: products along geometric blocks on a GPU, beside the dense one"
    row = f"N={neurons}, {zeros:.0%} in blocks of {size}, batch {batch}, on a GPU"
    if not torch.cuda.is_available():
        return f"{row}: not measured here"
    g = torch.Generator().manual_seed(0)
    blocks = geometric_blocks(Torus().sample(neurons, g), size)
    weight = torch.randn(neurons, neurons, generator=g) * (torch.rand(neurons // size, neurons // size, generator=g) >= zeros)[blocks[:, None], blocks]
    ways, states = _ways(weight.cuda(), batch, blocks), torch.randn(neurons, batch, device="cuda")
    times = least_time(*(partial(_waited, way, states, torch.zeros_like(states)) for way in ways.values()))
    return f"{row}: " + ", ".join(f"{name} {1e3 * seconds:#.3g} ms" for name, seconds in zip(ways, times, strict=True))


HEAD = ("what", "size", "mask", "cores", *RIVALS, "ours (ms)", "best ÷ ours", "ours ÷ bytes", "ours ÷ products", "missed")


def words(result: dict) -> list[str]:
    "One line of the table"
    times = [f"{1e3 * result['seconds'][name][0]:#.3g}" if name in result["seconds"] else "–" for name in (*RIVALS, "ours")]
    ratios = [f"{result['ratios']['best'][0]:.2f} ({result['best']})", *(f"{result['over'][name][0]:.2f}" for name in FLOORS)]
    return [result["kind"], Cell(*(result[k] for k in ("kind", "neurons", "zeros", "batch"))).size, result["mask"], str(result["threads"]), *times, *ratios, "; ".join(missed(result)) or "–"]


if __name__ == "__main__":  # one cell, as JSON: python benchmarks/arena.py product 1024 0.9 1 random 1
    kind, neurons, zeros, batch, *rest = sys.argv[1:]
    print(json.dumps(measure(Cell(kind, int(neurons), float(zeros), int(batch), *rest[:1], *map(int, rest[1:])))))
