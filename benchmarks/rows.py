"""The rows of the table: what is computed, in each of its forms, and what ours is to reach."""

import math
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import partial

import baselines
import numpy as np
import torch
from timing import Call, Curve, Row, Side, copy
from torch import Tensor, nn
from torch.nn.utils import prune

from modreg.geometry.inhibitors import DifferenceOfGaussians
from modreg.geometry.manifolds import Torus
from modreg.tasks.navigation import Navigation, NavigationConfig
from modreg.sparsity.pruning import MagnitudePruner
from modreg.layers.recurrent import RNN, Linear
from modreg.sparsity.regularizer import ModuliRegularizer
from modreg.layers.sparse import geometric_blocks, fastest, use_sparse_products
from modreg.lab.training import Phase

STRENGTH = 0.1


@dataclass(frozen=True)
class Sizes:
    "How large the rows are"

    widths: tuple[int, ...] = (512, 1024, 2048)  # hidden neurons of navigation
    epochs: tuple[int, ...] = (5, 2, 1)  # steps that one call takes at these widths
    batch: int = 200
    steps: int = 50
    cells: int = 512
    wide: int = 4096  # hidden neurons of the penalties and of the sparse products
    words: int = 650  # hidden neurons of language
    masks: int = 2048
    small: int = 128  # hidden neurons of adding
    adding: tuple[int, int] = (32, 50)  # batch and steps of adding
    replicas: tuple[int, ...] = (8, 40)
    growing: tuple[int, ...] = (256, 512, 1024, 2048)
    counts: tuple[int, ...] = (1, 2, 4, 8, 16, 32)


FULL = Sizes()
TOY = Sizes((16,), (2,), 4, 3, 8, 24, 12, 16, 8, (3, 4), (2,), (8, 16), (1, 2))


# --- navigation --------------------------------------------------------------------------------------------------------


def navigation_config(hidden: int, z: Sizes, batches: int, **options) -> NavigationConfig:
    return NavigationConfig(scale="paper", device="cpu", seeds=1, hidden=hidden, batch=z.batch, steps=z.steps, place_cells=z.cells,
                            batches=batches, epochs=30, strength=STRENGTH, **{"sparse_products": "off"} | options)


def epochs_of(phase: Phase, epoch: int = 1) -> Call:
    "The same epoch of training, each time it is called"

    def call():
        phase.epochs = epoch
        phase.next_epoch()

    return call


def _ours_navigation(hidden: int, z: Sizes, batches: int, epoch: int = 1, **options) -> Call:
    return epochs_of(Phase(Navigation(navigation_config(hidden, z, batches, **options))), epoch)


def _coefficients(n: int) -> Tensor:
    return baselines.difference_of_gaussians(baselines.torus_distances(10 * torch.rand(n, 2)))


def _published_navigation(hidden: int, z: Sizes) -> Call:
    data, net = baselines.PublishedData(z.batch, z.steps, z.cells), baselines.Integrator(hidden, z.cells)
    optimizer, coefficients = torch.optim.AdamW(net.parameters(), lr=1e-4), _coefficients(hidden)
    baselines.prune_globally(net.prunable(), 0.9 / 29)

    def step():
        optimizer.zero_grad()
        loss, _ = baselines.published_loss(net, data(), data.centres, coefficients, STRENGTH)
        loss.backward()
        optimizer.step()

    return step


def _plain_navigation(hidden: int, z: Sizes) -> Call:
    data, net = baselines.PlainData(z.batch, z.steps, z.cells), baselines.Integrator(hidden, z.cells)
    optimizer, coefficients = torch.optim.Adam(net.parameters(), lr=1e-4), _coefficients(hidden)
    baselines.prune_globally(net.prunable(), 0.9 / 29)

    def step():
        optimizer.zero_grad()
        baselines.plain_loss(net, data(), coefficients, STRENGTH).backward()
        optimizer.step()

    return step


def _recurrent_products(hidden: int, batch: int, steps: int) -> Call:
    "The products of a recurrence: forward, backward through the states, and the gradient of the weight"
    w, out, gradient = torch.randn(hidden, hidden), torch.zeros(batch, hidden), torch.zeros(hidden, hidden)
    states, errors = torch.randn(steps, batch, hidden), torch.randn(steps, batch, hidden)

    def products():
        for t in range(steps):
            torch.mm(states[t], w.T, out=out)
        for t in range(steps):
            torch.mm(errors[t], w, out=out)
        torch.mm(errors.flatten(0, 1).T, states.flatten(0, 1), out=gradient)

    return products


def _navigation_products(hidden: int, z: Sizes) -> Call:
    "All products of a step, into memory that is there"
    recurrent, rows = _recurrent_products(hidden, z.batch, z.steps), z.batch * z.steps
    states, scores = torch.randn(rows, hidden), torch.randn(rows, z.cells)
    decoder, encoder = torch.randn(z.cells, hidden), torch.randn(hidden, z.cells)
    start, first = torch.randn(z.batch, z.cells), torch.randn(z.batch, hidden)

    def products():
        torch.mm(start, encoder.T, out=first)
        torch.mm(first.T, start, out=encoder)
        torch.mm(states, decoder.T, out=scores)
        torch.mm(scores, decoder, out=states)
        torch.mm(scores.T, states, out=decoder)
        for matrix in (states, scores, decoder, encoder):
            matrix.clamp_(-1, 1)  # or the numbers would grow from call to call
        recurrent()

    return products


def navigation(hidden: int, batches: int, target: float, z: Sizes) -> Row:
    "A whole step of training: data, forward, backward, penalty, masks, optimizer"
    return Row("navigation", f"H={hidden}", {
        "published": Side(partial(_published_navigation, hidden, z)),
        "plain": Side(partial(_plain_navigation, hidden, z)),
        "ours": Side(partial(_ours_navigation, hidden, z, batches), batches),
        "floor": Side(partial(_navigation_products, hidden, z)),
    }, {"published": target, "floor": 1.25}, threads=(2,) if hidden >= 2048 else (1, 2))


def pruned(hidden: int, batches: int, z: Sizes) -> Row:
    "A whole step of training at 90 % zeros, by the surviving weights where that is quicker, beside the same in the first epoch, when all weights are there"
    return Row("pruned", f"H={hidden}, 90 %", {
        "plain": Side(partial(_ours_navigation, hidden, z, batches, 0), batches),
        "ours": Side(partial(_ours_navigation, hidden, z, batches, 29, sparse_products="on"), batches),
        "floor": Side(partial(_navigation_products, hidden, z)),
    }, {"plain": 2})


def _layer(kind: type, hidden: int, batch: int, steps: int) -> Call:
    layer = kind(2, hidden, nonlinearity="relu", bias=False)
    x, h0 = torch.randn(steps, batch, 2), torch.randn(1, batch, hidden).requires_grad_()
    gradient = torch.randn(steps, batch, hidden)

    def both():
        for p in (h0, *layer.parameters()):
            p.grad = None
        layer(x, h0)[0].backward(gradient)

    return both


def layer(hidden: int, z: Sizes) -> Row:
    "Forward and backward pass of the recurrent layer alone"
    return Row("layer", f"H={hidden}", {
        "plain": Side(partial(_layer, nn.RNN, hidden, z.batch, z.steps)),
        "ours": Side(partial(_layer, RNN, hidden, z.batch, z.steps)),
        "floor": Side(partial(_recurrent_products, hidden, z.batch, z.steps)),
    }, {"plain": 1.1})


def _ours_data(z: Sizes, batches: int) -> Call:
    task = Navigation(navigation_config(8, z, batches))

    def data():
        for positions in task.batches(task.generators("data")):
            positions.diff(dim=1)
            task.cells(positions)

    return data


def _activity_floor(z: Sizes) -> Call:
    "One exponential for each place cell at each step, and a copy of them"
    a, out = torch.randn(z.steps + 1, z.batch, z.cells), torch.zeros(z.steps + 1, z.batch, z.cells)

    def floor():
        torch.exp(a, out=out)
        out.copy_(a)

    return floor


def data(z: Sizes, batches: int = 25) -> Row:
    "A batch of navigation data, place cells included"
    return Row("data", f"{z.batch} paths", {
        "published": Side(lambda: baselines.PublishedData(z.batch, z.steps, z.cells)),
        "plain": Side(lambda: baselines.PlainData(z.batch, z.steps, z.cells)),
        "ours": Side(partial(_ours_data, z, batches), batches),
        "floor": Side(partial(_activity_floor, z)),
    }, {"published": 6})


# --- penalties ---------------------------------------------------------------------------------------------------------


class Weight(nn.Module):
    "A layer that is nothing but a recurrent weight"

    def __init__(self, n: int):
        super().__init__()
        self.weight_hh_l0 = nn.Parameter((2 * torch.rand(n, n) - 1) / math.sqrt(n))
        self.weight_hh_l0.grad = torch.zeros(n, n)


def _ours_penalty(n: int, trained: bool = False, compiled: bool = False) -> Call:
    regularizer = ModuliRegularizer(Weight(n), "torus", "difference_of_gaussians", STRENGTH, train_embedding=trained, compiled=compiled)
    if compiled:
        regularizer.add_gradient_()  # compiles
    return regularizer.add_gradient_


def _published_penalty(n: int) -> Call:
    weight, coefficients = Weight(n).weight_hh_l0, _coefficients(n)
    return lambda: baselines.penalty(weight, coefficients, STRENGTH).backward()


def _copies(n: int) -> Call:
    "Two copies of N² floats: as much traffic as to read weight, coefficients and gradient, and to write the gradient"
    one = copy(n)
    return lambda: (one(), one())


def penalty(n: int, target: float) -> Row:
    "The penalty's gradient with fixed places, added to that of the loss"
    return Row("penalty", f"N={n}", {
        "published": Side(partial(_published_penalty, n)),
        "ours": Side(partial(_ours_penalty, n)),
        "floor": Side(partial(_copies, n)),
    }, {"published": target})


def _published_trained(n: int) -> Call:
    weight, places = Weight(n).weight_hh_l0, (10 * torch.rand(n, 2)).requires_grad_()

    def both():
        coefficients = baselines.difference_of_gaussians(baselines.torus_distances(places))
        baselines.penalty(weight, coefficients, STRENGTH).backward()

    return both


def _plain_trained(n: int) -> Call:
    weight, space, f = Weight(n).weight_hh_l0, Torus(), DifferenceOfGaussians()
    places = space.sample(n).requires_grad_()
    return lambda: (STRENGTH * (f(space.distance(places)) * weight.abs()).mean()).backward()


def _exponentials(n: int) -> Call:
    "Two exponentials for each pair, and two copies"
    copies, a, out = _copies(n), torch.randn(n, n), torch.zeros(n, n)
    return lambda: (copies(), torch.exp(a, out=out), torch.exp(a, out=out))


def trained(n: int, target: float | None = None, compiled: bool = False) -> Row:
    "The penalty's gradients with trained places, for weights and for places"
    targets = {} if target is None else {"published": target, "memory": 3 * 4 * n**2 / 2**20}
    return Row("trained", f"N={n}{', compiled' if compiled else ''}", {
        "published": Side(partial(_published_trained, n)),
        "plain": Side(partial(_plain_trained, n)),
        "ours": Side(partial(_ours_penalty, n, True, compiled)),
        "floor": Side(partial(_exponentials, n)),
    }, targets)


# --- masks -------------------------------------------------------------------------------------------------------------


def _masks(hidden: int, cells: int, epochs: int, published: bool) -> Call:
    "A run's masks, from dense weights to 90 % zeros"
    net = baselines.Integrator(hidden, cells)
    weights = net.prunable()
    start = [getattr(module, name).detach().clone() for module, name in weights]

    @torch.no_grad()
    def run():
        for (module, name), value in zip(weights, start, strict=True):
            getattr(module, name).copy_(value)
        if published:
            for epoch in range(1, epochs + 1):
                baselines.prune_globally(weights, 0.9 * epoch / epochs)
                for module, name in weights:
                    prune.remove(module, name)
        else:
            pruner = MagnitudePruner(net, 0.9, epochs + 1)
            for epoch in range(1, epochs + 1):
                pruner.step(epoch)
            pruner.remove()

    return run


def _read(hidden: int, cells: int) -> Call:
    "One read of all weights"
    a = torch.randn(hidden * (hidden + 2 * cells + 2))
    return a.sum


def masks(hidden: int, cells: int, target: float = 20, epochs: int = 5) -> Row:
    "Global masks of an epoch"
    return Row("masks", f"H={hidden}", {
        "published": Side(partial(_masks, hidden, cells, epochs, True), epochs, serial=True),
        "ours": Side(partial(_masks, hidden, cells, epochs, False), epochs, serial=True),
        "floor": Side(partial(_read, hidden, cells)),
    }, {"published": target})


# --- adding ------------------------------------------------------------------------------------------------------------


def _adding(kind: type, hidden: int, batch: int, steps: int, zeros: float) -> Call:
    net, rng = kind(hidden), np.random.default_rng(0)
    optimizer, coefficients = torch.optim.Adam(net.parameters(), lr=1e-4), _coefficients(hidden)
    baselines.prune_globally(net.prunable(), zeros)
    published = kind is baselines.AddingNet
    draw = partial(baselines.published_sums, batch, steps, rng) if published else partial(baselines.plain_sums, batch, steps)
    return lambda: baselines.adding_step(net, optimizer, draw(), coefficients)


def _ours_adding(hidden: int, batch: int, steps: int, replicas: int, zeros: float = 0.03) -> Call:
    net = nn.ModuleDict({"rnn": RNN(2, hidden, nonlinearity="relu", replicas=replicas), "out": Linear(hidden, 1, replicas=replicas)})
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4, fused=True)
    regularizer = ModuliRegularizer(net["rnn"], "torus", strength=1e-3)
    pruner = MagnitudePruner(net, zeros, 1, replicas=replicas)
    pruner.step(0, optimizer)
    use_sparse_products(net, pruner.masks, batch)
    parameters = list(net.parameters())

    def step():
        x, y = baselines.plain_sums(replicas * batch, steps)
        x, y = x.unflatten(0, (replicas, batch)).transpose(1, 2).contiguous(), y.view(replicas, batch)
        optimizer.zero_grad()
        said = net["out"](net["rnn"](x)[1][:, 0])[..., 0]
        (said - y).square().mean(1).sum().backward()
        regularizer.add_gradient_()
        norm = torch.stack([p.grad.flatten(1).norm(dim=1) for p in parameters]).norm(dim=0)
        scale = (0.5 / (norm + 1e-6)).clamp(max=1)
        for p in parameters:
            p.grad.mul_(scale.view(-1, *[1] * (p.dim() - 1)))
        optimizer.step()

    return step


def _adding_products(hidden: int, batch: int, steps: int, replicas: int) -> Call:
    "The products of the recurrence, stacked"
    w, out = torch.randn(replicas, hidden, hidden), torch.zeros(replicas, batch, hidden)
    states, errors = torch.randn(replicas, steps, batch, hidden), torch.randn(replicas, steps, batch, hidden)
    gradient = torch.zeros(replicas, hidden, hidden)

    def products():
        for t in range(steps):
            torch.bmm(states[:, t], w.mT, out=out)
        for t in range(steps):
            torch.bmm(errors[:, t], w, out=out)
        torch.bmm(errors.flatten(1, 2).mT, states.flatten(1, 2), out=gradient)

    return products


def adding(hidden: int, batch: int, steps: int, replicas: int, zeros: float = 0.03) -> Row:
    "One step of training of one replica; every side has all cores, in processes of one thread"
    targets = {"floor": 1.0} if zeros > 0.5 else {"published": 4, "floor": 1.4}
    return Row("adding", f"S={replicas}, {zeros:.0%}", {
        "published": Side(partial(_adding, baselines.AddingNet, hidden, batch, steps, zeros), serial=True),
        "plain": Side(partial(_adding, baselines.PlainAddingNet, hidden, batch, steps, zeros), serial=True),
        "ours": Side(partial(_ours_adding, hidden, batch, steps, replicas, zeros), replicas, serial=True),
        "floor": Side(partial(_adding_products, hidden, batch, steps, replicas), replicas, serial=True),
    }, targets)


# --- sparse products ---------------------------------------------------------------------------------------------------


def _dense_product(n: int, m: int, batch: int) -> Call:
    weight, states, out = torch.randn(n, m), torch.randn(m, batch), torch.zeros(n, batch)
    return lambda: torch.mm(weight, states, out=out)


def _sparse_product(n: int, zeros: float, batch: int, block: int = 1) -> Call:
    weight, places = nn.Linear(n, n, bias=False), Torus().sample(n)
    MagnitudePruner(weight, zeros, 1, blocks={"weight": geometric_blocks(places, block)} if block > 1 else None).step(0)
    product = fastest(weight.weight, batch)[1]
    states, out = torch.randn(n, batch), torch.zeros(n, batch)
    return lambda: product(states, out)


def sparse(n: int, zeros: float, batch: int, target: float, block: int = 1) -> Row:
    "One product of a recurrent step, zeros at random or in blocks of neighbours; the floor is a dense product with as many multiplications"
    return Row("sparse", f"N={n}, {zeros:.0%}{f' in blocks of {block}' if block > 1 else ''}, batch {batch}", {
        "plain": Side(partial(_dense_product, n, n, batch)),
        "ours": Side(partial(_sparse_product, n, zeros, batch, block)),
        "floor": Side(partial(_dense_product, n, round(n * (1 - zeros)), batch)),
    }, {"plain": target})


# --- import ------------------------------------------------------------------------------------------------------------


def _imports(name: str, before: str) -> Call:
    code = f"import time, {before}; start = time.process_time(); import {name}; print(time.process_time() - start)"
    compiled = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}  # as an installation is, after its first import
    return lambda: float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=compiled).stdout)


def imports() -> Row:
    "Processor time of importing modreg when torch is there; the floor is that of importing torch"
    return Row("import", "modreg", {"ours": Side(partial(_imports, "modreg", "torch")), "floor": Side(partial(_imports, "torch", "sys"))},
               {"floor": 0.05}, threads=(1,))


# --- all of them -------------------------------------------------------------------------------------------------------


def table(z: Sizes = FULL) -> list[Row]:
    "All rows"
    targets = dict(zip(z.widths, (2.2, 2.1, 2.0), strict=False))
    return [
        *(navigation(h, k, targets[h], z) for h, k in zip(z.widths, z.epochs, strict=True)),
        pruned(z.widths[len(z.widths) // 2], z.epochs[len(z.widths) // 2], z),
        *(layer(h, z) for h in z.widths),
        data(z),
        penalty(z.wide, 5),
        trained(z.words),
        trained(z.wide, 10),
        *([trained(z.wide, 20, compiled=True)] if shutil.which("g++") or shutil.which("clang++") else []),
        masks(z.masks, z.cells),
        *(adding(z.small, *z.adding, s) for s in z.replicas),
        adding(z.small, *z.adding, z.replicas[-1], 0.95),
        *(sparse(n, zeros, z.batch, target) for n, zeros, target in (
            (z.growing[-2], 0.98, 15), (z.wide, 0.98, 15), (z.wide, 0.95, 7), (z.wide, 0.9, 3.3))),
        sparse(z.wide, 0.9, z.batch, 6, 16),
        sparse(z.wide, 0.98, 1, 8),
        imports(),
    ]


def curves(z: Sizes = FULL) -> list[Curve]:
    "How cost grows"
    few = z.growing[:2]
    layers = {"ours": RNN, "plain": nn.RNN}

    def grow(build, sizes):
        return {size: Side(partial(build, size)) for size in sizes}

    return [
        Curve("layer", "N", {s: grow(lambda n, kind=kind: _layer(kind, n, z.batch, 10), z.growing) for s, kind in layers.items()}),
        Curve("layer", "steps", {s: grow(lambda t, kind=kind: _layer(kind, few[0], z.batch, t), (10, 20, 40, 80)) for s, kind in layers.items()}),
        Curve("layer", "batch", {s: grow(lambda b, kind=kind: _layer(kind, few[0], b, 20), (25, 50, 100, 200, 400)) for s, kind in layers.items()}),
        Curve("penalty", "N", {"ours": grow(_ours_penalty, z.growing), "published": grow(_published_penalty, z.growing)}),
        Curve("trained", "N", {"ours": grow(lambda n: _ours_penalty(n, True), z.growing), "published": grow(_published_trained, z.growing)}),
        Curve("masks", "N", {"ours": grow(lambda n: _masks(n, z.cells, 2, False), z.growing), "published": grow(lambda n: _masks(n, z.cells, 2, True), z.growing)}),
        Curve("adding", "replicas", {"ours": grow(lambda s: _ours_adding(z.small, *z.adding, s), z.counts)}),
    ]
