"""Products, networks and training with surviving weights agree with the dense ones, on shapes that a chapter has no room for."""

import copy
import os
import pickle
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from modreg.layers import sparse
from modreg.tasks.head_direction import HeadDirection, HeadDirectionConfig
from modreg.sparsity.pruning import MagnitudePruner
from modreg.layers.recurrent import RNN, ElmanFunction, Linear, _linear
from modreg.layers.sparse import (
    Pattern,
    SparseMatrix,
    SparseRNN,
    SparseLinearFunction,
    SparseElmanFunction,
    filled_blocks,
    load_sparse,
    geometric_blocks,
    patterns_of,
    fastest,
    save_sparse,
    use_sparse_products,
)
from modreg.lab.training import fit

DTYPES = {torch.float32: 1e-4, torch.float64: 1e-11}


def draw(*shape, zeros=0.9, dtype=torch.float64, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=g, dtype=dtype) * (torch.rand(shape, generator=g) >= zeros)


@pytest.fixture
def always(monkeypatch):
    "Surviving weights are said to be quicker, whatever the clock says"
    monkeypatch.setattr(sparse, "least_time", lambda *calls: [len(calls) - k for k in range(len(calls))])


@pytest.fixture(params=["numba", "torch"])
def kernels(request, monkeypatch):
    "With the compiled kernels, and as where numba is not installed"
    if request.param == "torch":
        monkeypatch.setattr(sparse, "_kernels", lambda: None)


EDGES = [panel + edge for panel in sparse.PANEL for edge in (-1, 0, 1)]
SHAPES = [(1, 1), (13, 1), (1, 13), *((20, width) for width in EDGES), (3, 1100), (600, 40)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "rows_per_set"), [*((shape, 1) for shape in SHAPES), *((shape, 4) for shape in SHAPES if shape[0] % 4 == 0)])
@pytest.mark.parametrize("batch", [0, 1, 250])
def test_product(shape, rows_per_set, batch, dtype, kernels):
    "In one strip and in several; of a batch that must be filled up, and of an empty one"
    weight = draw(*shape, zeros=0.6, dtype=dtype)
    x, out = draw(shape[1], batch, zeros=0, dtype=dtype, seed=1), draw(shape[0], batch, zeros=0, dtype=dtype, seed=2)
    matrix = SparseMatrix.of(weight, rows_per_set)
    assert torch.equal(matrix.dense(), weight)
    torch.testing.assert_close(matrix.add_(x, out.clone()), out + weight @ x, rtol=0, atol=DTYPES[dtype] * shape[1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(13, 1), (20, sparse.PANEL[0] + 1), (3, 1100)])
@pytest.mark.parametrize("batch", [0, 1, 250])
def test_gradient(shape, batch, dtype, kernels):
    "An inner product over batch and steps for each place of a pattern, and zero elsewhere"
    weight = draw(*shape, zeros=0.6, dtype=dtype)
    errors, states = (draw(2, n, batch, zeros=0, dtype=dtype, seed=seed) for seed, n in enumerate(shape))
    gradient = sparse._gradient_of(weight, Pattern.of(weight != 0), errors, states)
    expected = torch.einsum("tib,tjb->ij", errors, states) * (weight != 0)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=DTYPES[dtype] * 500)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "rows_per_set"), [((13, 1), 1), ((20, 600), 1), ((600, 20), 1), ((20, 600), 4), ((3, 1100), 4)])
def test_transposed_product(shape, rows_per_set, dtype, kernels):
    weight, x = draw(*shape, zeros=0.6, dtype=dtype), draw(shape[0], 5, zeros=0, dtype=dtype, seed=1)
    matrix = SparseMatrix.at(Pattern.of(weight != 0, transposed=True, rows_per_set=rows_per_set), weight)
    assert torch.equal(matrix.dense(), weight.T)
    torch.testing.assert_close(matrix.add_(x, x.new_zeros(shape[1], 5)), weight.T @ x, rtol=0, atol=DTYPES[dtype] * shape[0])


@pytest.mark.parametrize("rows_per_set", [1, 4])
@pytest.mark.parametrize("zeros", [0.6, 0.99])
def test_steps_are_multiplied_one_by_one(rows_per_set, zeros, kernels):
    weight = draw(20, 2100, zeros=zeros)
    x, out = draw(3, 2100, 5, zeros=0, seed=1), draw(3, 20, 5, zeros=0, seed=2)
    torch.testing.assert_close(SparseMatrix.of(weight, rows_per_set).add_(x, out.clone()), out + weight @ x)


@pytest.mark.parametrize(("states", "out"), [
    (torch.ones(7, 3), torch.ones(5, 3)),
    (torch.ones(8, 3), torch.ones(4, 3)),
    (torch.ones(8, 3), torch.ones(5, 4)),
    (torch.ones(2, 8, 3), torch.ones(5, 3)),
    (torch.ones(8, 3), torch.ones(3, 5).T),
    (torch.ones(8, 3).double(), torch.ones(5, 3)),
    (torch.ones(8, 3).double(), torch.ones(5, 3).double()),
])
def test_results_that_do_not_fit_are_refused(states, out, kernels):
    with pytest.raises(ValueError, match="in one piece"):
        SparseMatrix.of(torch.ones(5, 8)).add_(states, out)


def test_survivors_that_won_are_not_timed_again(always, monkeypatch):
    network = Stack(Linear(4, 3), RNN(3, 20), Linear(20, 5))
    pruner = MagnitudePruner(network, 0.8, epochs=2)
    pruner.step(1)
    assert all(use_sparse_products(network, pruner.masks, 4).values())
    monkeypatch.setattr(sparse, "least_time", lambda *calls: pytest.fail("nothing has changed that could make them slower"))
    fewer = {name: mask & (torch.rand(mask.shape, generator=torch.Generator().manual_seed(0)) < 0.5) for name, mask in pruner.masks.items()}
    with torch.no_grad():
        for name, mask in fewer.items():
            network.get_parameter(name).mul_(mask)
    assert all(use_sparse_products(network, fewer, 4).values())
    assert len(network.decoder.product.patterns[0].columns) == fewer["decoder.weight"].sum()
    monkeypatch.setattr(sparse, "least_time", lambda *calls: [1.0, 2.0])
    assert not any(use_sparse_products(network, pruner.masks, 4).values())  # there are more of them again


def test_half_precision_stays_dense(always):
    network = Stack(Linear(4, 3), RNN(3, 20), Linear(20, 5)).bfloat16()
    pruner = MagnitudePruner(network, 0.8, epochs=1)
    pruner.step(0)
    assert not any(use_sparse_products(network, pruner.masks, 4).values())
    with pytest.raises(TypeError, match="convert it"):
        SparseMatrix.of(network.decoder.weight)


def test_torch_keeps_its_number_of_threads():
    code = ("import torch; torch.set_num_threads(1); from modreg.layers.sparse import SparseMatrix; matrix = SparseMatrix.of(torch.eye(8));"
            "matrix.add_(torch.ones(8, 2), torch.ones(8, 2)); print(torch.get_num_threads())")
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip() == "1"


@pytest.mark.parametrize("seed", range(3))
def test_rows_that_are_alike_stand_together(seed):
    g = torch.Generator().manual_seed(seed)
    blocks = torch.rand(8, 8, generator=g) < 0.3
    shuffled = torch.randperm(64, generator=g)
    mask = blocks.repeat_interleave(8, 0).repeat_interleave(8, 1)[shuffled]
    assert Pattern.of(mask, rows_per_set=4).index.numel() == mask.sum()  # so no zero is multiplied by
    assert sorted(Pattern.of(mask, rows_per_set=4).rows.flatten().tolist()) == list(range(64))


def test_quickest_without_numba(monkeypatch):
    monkeypatch.setattr(sparse, "_kernels", lambda: None)
    assert fastest(draw(30, 40), 5)[0] in ("dense", "torch")


@pytest.mark.parametrize("form", ["dense", "torch", "rows", "4x1"])
def test_every_form_multiplies(form, monkeypatch):
    "Each in turn is made the fastest by a clock that says so"
    order = ["dense", "torch", "rows", "4x1"]
    monkeypatch.setattr(sparse, "least_time", lambda *calls: [float(k != order.index(form)) for k in range(len(calls))])
    weight, x = draw(32, 40), draw(40, 5, zeros=0)
    name, multiply = fastest(weight, 5)
    assert name == form
    torch.testing.assert_close(multiply(x, x.new_ones(32, 5)), 1 + weight @ x)


@pytest.mark.parametrize(("shape", "options", "message"), [
    ((3,), {}, "replicas"),
    ((2, 2, 3, 3), {}, "replicas"),
    ((6, 8), {"rows_per_set": 4}, "with 6 rows"),
    ((8, 6), {"rows_per_set": 4, "transposed": True}, "with 6 rows"),
    ((8, 8), {"rows_per_set": 2}, "it is 1, or 4"),
])
def test_masks_that_have_no_pattern_are_refused(shape, options, message):
    with pytest.raises(ValueError, match=message):
        Pattern.of(torch.ones(shape, dtype=torch.bool), **options)


@pytest.mark.parametrize("rows_per_set", [1, 4])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("shape", [(4, 4), (8, 600), (600, 8)])
def test_replicas_lie_along_the_diagonal(shape, transposed, rows_per_set, kernels):
    weight = draw(3, *shape, zeros=0.6)
    matrix = SparseMatrix.at(Pattern.of(weight != 0, transposed, rows_per_set), weight)
    expected = torch.block_diag(*(weight.mT if transposed else weight))
    assert torch.equal(matrix.dense(), expected)
    x = draw(expected.shape[1], 5, zeros=0, seed=1)
    torch.testing.assert_close(matrix.add_(x, x.new_zeros(len(expected), 5)), expected @ x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows_per_set", [1, 4])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("shape", "replicas", "edges"), [((4, 4), 1, 0), ((12, 8), 1, 40), ((40, 2104), 1, 700), ((24, 16), 2, 50), ((1, 1), 1, 1)])
def test_a_matrix_of_edges(shape, replicas, edges, transposed, rows_per_set, dtype, kernels):
    "In any order, against the dense matrix that they make"
    if (shape[1] if transposed else shape[0]) % 4 and rows_per_set == 4:
        return
    g = torch.Generator().manual_seed(edges)
    blocks = torch.block_diag(*torch.ones(replicas, shape[0] // replicas, shape[1] // replicas))
    where = blocks.nonzero()[torch.randperm(int(blocks.sum()), generator=g)[:edges]]
    values, dense = torch.randn(edges, generator=g, dtype=dtype), torch.zeros(shape, dtype=dtype)
    dense[where[:, 0], where[:, 1]] = values
    matrix = SparseMatrix.at(Pattern.from_edges(*where.T, shape, transposed, rows_per_set, replicas), values)
    expected = dense.T if transposed else dense
    assert torch.equal(matrix.dense(), expected)
    x = torch.randn(expected.shape[1], 5, generator=g, dtype=dtype)
    torch.testing.assert_close(matrix.add_(x, x.new_zeros(len(expected), 5)), expected @ x, rtol=0, atol=DTYPES[dtype] * 100)


def test_edges_train_like_the_matrix_that_they_make(kernels):
    "A recurrence and a projection on values alone: outputs and gradients are those of the dense functions"
    masked = draw(30, 30, zeros=0.8) / 3
    edges = masked.nonzero()[torch.randperm(int(masked.count_nonzero()), generator=torch.Generator().manual_seed(0))]
    patterns = tuple(Pattern.from_edges(*edges.T, masked.shape, transposed) for transposed in (False, True))
    found = []
    for sparse_ in (False, True):
        x, h0, bias = (draw(*shape, zeros=0, seed=k).requires_grad_() for k, shape in enumerate([(1, 6, 5, 30), (1, 5, 30), (30,)]))
        values = masked[tuple(edges.T)].clone().requires_grad_()
        weight = values if sparse_ else torch.zeros_like(masked).index_put(tuple(edges.T), values)
        linear, elman = (partial(f.apply, patterns) for f in (SparseLinearFunction, SparseElmanFunction)) if sparse_ else (_linear, ElmanFunction.apply)
        out, last = elman(linear(x, weight if sparse_ else weight[None], bias if sparse_ else bias[None]), h0, weight if sparse_ else weight[None], "tanh")
        found.append([out, last, *torch.autograd.grad(out.sin().sum() + last.square().sum(), (values, x, h0, bias))])
    for dense, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, dense, rtol=0, atol=1e-10)


def test_memory_of_edges_grows_with_the_edges():
    "A matrix of 10^10 entries is never made"
    n = 100_000
    i = torch.arange(n)
    pattern = Pattern.from_edges(i, (i + 1) % n, (n, n))
    matrix, x = SparseMatrix.at(pattern, torch.ones(n)), torch.arange(2.0 * n).view(n, 2)
    assert torch.equal(matrix.add_(x, torch.zeros(n, 2)), x.roll(-1, 0))


@pytest.mark.parametrize(("edges", "options", "message"), [
    (([0, 1], [0]), {}, "two tensors|tensor of whole numbers"),
    (([0.0, 1.0], [0.0, 1.0]), {}, "whole numbers"),
    (([0, 4], [0, 1]), {}, "rows of edges"),
    (([0, -1], [0, 1]), {}, "rows of edges"),
    (([0, 1], [0, 6]), {}, "columns of edges"),
    (([0, 0, 1], [3, 3, 2]), {}, "more than once"),
    (([0, 3], [0, 0]), {"replicas": 2}, "same replica"),
    (([0, 3], [0, 0]), {"replicas": 3}, "replicas=3"),
    (([0, 3], [0, 0]), {"rows_per_set": 3}, "it is 1, or 4"),
])
def test_bad_edges_are_refused(edges, options, message):
    with pytest.raises(ValueError, match=message):
        Pattern.from_edges(*map(torch.tensor, edges), (4, 6), **options)
    with pytest.raises(ValueError, match="of 2 values"):
        SparseMatrix.at(Pattern.from_edges(torch.tensor([0, 1]), torch.tensor([3, 3]), (4, 6)), torch.ones(3))


@pytest.mark.parametrize("zeros", [0.0, 0.5, 0.97, 1.0])
@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
@pytest.mark.parametrize(("states", "last"), [(True, True), (True, False), (False, True)])
def test_gradients_are_those_of_the_dense_recurrence(zeros, nonlinearity, states, last, kernels):
    masked = draw(3, 24, 24, zeros=zeros) / 5
    found = []
    for function in (ElmanFunction.apply, partial(SparseElmanFunction.apply, patterns_of(masked != 0))):
        weight, projected, h0 = (t.clone().requires_grad_() for t in (masked, draw(3, 7, 5, 24, zeros=0, seed=3), draw(3, 5, 24, zeros=0, seed=4)))
        out, end = function(projected, h0, weight, nonlinearity)
        loss = (out.sin().sum() if states else 0) + (end.square().sum() if last else 0)
        found.append([out, end, *torch.autograd.grad(loss, (weight, projected, h0))])
    found[0][2] = found[0][2] * (masked != 0)
    for dense, left in zip(*found, strict=True):
        torch.testing.assert_close(dense, left, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("replicas", "lead"), [(None, ()), *((replicas, lead) for replicas in (None, 2) for lead in ((6,), (5, 6), (3, 5, 6)))])
@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_map_of_any_shape(replicas, lead, bias, kernels):
    "From rows as they are, and from the view of columns that a recurrence hands on"
    stack = () if replicas is None else (replicas,)
    masked, b = draw(*stack, 7, 12, zeros=0.5), draw(*stack, 7, zeros=0).requires_grad_() if bias else None
    rows = draw(*stack, *lead, 12, zeros=0, seed=1)
    for x in (rows, rows.transpose(-1, -2).contiguous().transpose(-1, -2)) if lead else (rows,):
        found = []
        for function in (_linear, partial(SparseLinearFunction.apply, patterns_of(masked != 0))):
            leaves = [t.detach().clone().requires_grad_() for t in (masked, x)] + ([b] if bias else [])
            out = function(leaves[1], leaves[0], b)
            found.append([out, *torch.autograd.grad(out.sin().sum(), leaves)])
        found[0][1] = found[0][1] * (masked != 0)
        for dense, left in zip(*found, strict=True):
            torch.testing.assert_close(dense, left, rtol=0, atol=1e-12)


def test_no_gradient_is_made_that_nobody_wants(monkeypatch):
    masked, x = draw(7, 12, zeros=0.5), draw(6, 12, zeros=0)
    monkeypatch.setattr(sparse, "_gradient_of", lambda *_: pytest.fail("a frozen weight has no gradient"))
    x.requires_grad_()
    (slope,) = torch.autograd.grad(SparseLinearFunction.apply(patterns_of(masked != 0), x, masked, None).sum(), x)
    torch.testing.assert_close(slope, masked.sum(0).expand(6, 12))


class Stack(nn.Module):
    "Two linear maps with a recurrent layer between them"

    def __init__(self, encoder, rnn, decoder):
        super().__init__()
        self.encoder, self.rnn, self.decoder = encoder, rnn, decoder

    def forward(self, x):
        return self.decoder(self.rnn(self.encoder(x))[0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("replicas", [None, 2])
def test_gradients_over_several_panels(replicas, dtype, kernels):
    stack = () if replicas is None else (replicas,)
    masked, x = draw(*stack, 5, 1300, zeros=0.9, dtype=dtype), draw(*stack, 3, 5, 1300, zeros=0, dtype=dtype, seed=1)
    found = []
    for function in (_linear, partial(SparseLinearFunction.apply, patterns_of(masked != 0))):
        weight = masked.clone().requires_grad_()
        found.append(torch.autograd.grad(function(x, weight, None).sin().sum(), weight)[0])
    torch.testing.assert_close(found[0] * (masked != 0), found[1], rtol=0, atol=100 * DTYPES[dtype])


@pytest.mark.parametrize("replicas", [None, 2])
def test_a_network_trains_alike(always, replicas):
    options = dict(replicas=replicas)
    layers = [Stack(Linear(4, 3, **options), RNN(3, 20, 2, "tanh", **options), Linear(20, 5, **options)).double() for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    pruners = [MagnitudePruner(layer, 0.8, epochs=1, replicas=replicas) for layer in layers]
    optimizers = [torch.optim.Adam(layer.parameters(), lr=1e-2) for layer in layers]
    for pruner, optimizer in zip(pruners, optimizers, strict=True):
        pruner.step(0, optimizer)
    assert use_sparse_products(layers[1], pruners[1].masks, 4) == dict.fromkeys(pruners[1].masks, True)
    x = draw(*(() if replicas is None else (replicas,)), 6, 4, 4, zeros=0)
    for _ in range(5):
        for layer, optimizer in zip(layers, optimizers, strict=True):
            optimizer.zero_grad()
            layer(x).square().sum().backward()
            optimizer.step()
    for a, b in zip(layers[0].parameters(), layers[1].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-9)
        assert torch.equal(a == 0, b == 0)


def pruned_stack(**options):
    "A model whose layers all multiply sparsely, and its pruner"
    torch.manual_seed(0)
    network = Stack(Linear(4, 3), RNN(3, 20, **options), Linear(20 * (1 + options.get("bidirectional", False)), 5)).double()
    pruner = MagnitudePruner(network, 0.8, epochs=1)
    pruner.step(0)
    assert all(use_sparse_products(network, pruner.masks, 4).values())
    return network, pruner


def by_torch(network, x):
    "What torch's layers say with the same weights"
    rnn = network.rnn
    theirs = nn.RNN(3, 20, rnn.num_layers, bidirectional=rnn.bidirectional, dtype=x.dtype)
    theirs.load_state_dict(rnn.state_dict())
    return nn.functional.linear(theirs(nn.functional.linear(x, network.encoder.weight, network.encoder.bias))[0], network.decoder.weight, network.decoder.bias)


CHANGES = {
    "loaded": lambda network: network.load_state_dict({name: torch.randn_like(w) for name, w in network.state_dict().items()}),
    "assigned": lambda network: network.load_state_dict({name: torch.randn_like(w) for name, w in network.state_dict().items()}, assign=True),
    "written behind torch's back": lambda network: [w.data.fill_(0.01) for w in network.parameters()],
    "one weight more": lambda network: network.rnn.weight_hh_l0.copy_(network.rnn.weight_hh_l0.masked_fill(network.rnn.weight_hh_l0.eq(0).flatten().cumsum(0).view(20, 20) == 1, 0.5)),
    "converted": lambda network: network.float(),
    "copied and changed": lambda network: copy.deepcopy(network).load_state_dict({name: torch.randn_like(w) for name, w in network.state_dict().items()}),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}])
def test_no_change_makes_a_wrong_product(always, change, options):
    network, _ = pruned_stack(**options)
    x = draw(6, 4, 4, zeros=0)
    torch.testing.assert_close(network(x), by_torch(network, x))
    with torch.no_grad():
        CHANGES[change](network)
    for each in (network, copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        y = x.to(each.encoder.weight.dtype)
        torch.testing.assert_close(each(y), by_torch(each, y))


def test_sparse_layers_where_torch_does_more_than_run_them(always):
    network, _ = pruned_stack()
    network, x = network.float(), draw(6, 4, 4, zeros=0, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert network(x).dtype == torch.bfloat16
    torch.testing.assert_close(torch.export.export(network.eval(), (x,)).module()(x), network(x))
    assert network.to("meta")(x.to("meta")).shape == (6, 4, 5)


def test_without_masks_all_is_dense_again(always):
    network, pruner = pruned_stack()
    pruner.remove()
    assert use_sparse_products(network, {}) == {}
    network(draw(6, 4, 4, zeros=0)).square().sum().backward()
    assert all(w.grad.all() for w in (network.rnn.weight_hh_l0, network.decoder.weight))  # also of what had been pruned


@pytest.mark.parametrize("change", [lambda pruner: pruner.remove(), lambda pruner: pruner.load_state_dict({name: torch.ones_like(mask) for name, mask in pruner.masks.items()})])
def test_masks_that_let_weights_go_let_them_have_gradients(always, change):
    network, pruner = pruned_stack()
    change(pruner)
    network(draw(6, 4, 4, zeros=0)).square().sum().backward()
    assert all(w.grad.all() for w in (network.rnn.weight_hh_l0, network.decoder.weight))


def test_masks_that_shrink_leave_products_sparse(always):
    network, pruner = pruned_stack()
    pruner.load_state_dict({name: mask & (torch.arange(mask.numel()) % 2 == 0).view_as(mask) for name, mask in pruner.masks.items()})
    assert isinstance(network.decoder.product, sparse.SparseProduct)
    x = draw(6, 4, 4, zeros=0)
    torch.testing.assert_close(network(x), by_torch(network, x))


def test_outputs_of_sparse_layers_may_be_changed_in_place(always):
    network, _ = pruned_stack()
    x, found = draw(5, 4, 3, zeros=0), []
    for own in (False, True):
        out, last = network.rnn(x)
        out = out.clone() if own else out
        out.mul_(2)
        found.append([out.detach(), *torch.autograd.grad(out.square().sum() + last.sum(), list(network.rnn.parameters()))])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_second_derivatives_are_refused_and_not_zero(always):
    network, _ = pruned_stack()
    x = draw(5, 4, 4, zeros=0).requires_grad_()
    for part, given in ((network, x), (network.encoder, x), (network.rnn, draw(5, 4, 3, zeros=0).requires_grad_())):
        out = part(given)
        slope, = torch.autograd.grad((out if part is not network.rnn else out[1]).sum(), given, create_graph=True)
        for wanted in ([given], [part.weight if part is network.encoder else network.rnn.weight_hh_l0]):
            with pytest.raises(RuntimeError, match="use_sparse_products"):
                torch.autograd.grad(slope.sum(), wanted, retain_graph=True)


def test_what_was_chosen_is_chosen_again(always, monkeypatch):
    network, pruner = pruned_stack()
    chosen = use_sparse_products(network, pruner.masks, 4) | {"decoder.weight": False}
    other = copy.deepcopy(network)
    use_sparse_products(other, {})
    monkeypatch.setattr(sparse, "least_time", lambda *calls: pytest.fail("there is nothing to measure"))
    assert use_sparse_products(other, pruner.masks, 4, chosen) == chosen


def test_other_layers_are_left_alone_and_said_to_be():
    model = nn.ModuleDict({"a": nn.RNN(3, 8), "b": nn.Linear(8, 8), "c": nn.GRU(3, 8), "d": nn.Embedding(5, 8)})
    before = {name: w.clone() for name, w in model.state_dict().items()}
    masks = {name: w != 0 for name, w in model.named_parameters() if w.dim() == 2}
    assert use_sparse_products(model, masks) == dict.fromkeys(masks, False)
    assert all(torch.equal(w, before[name]) for name, w in model.state_dict().items())


def test_masks_that_do_not_fit_are_refused(always):
    network, _ = pruned_stack()
    with pytest.raises(ValueError, match="has shape"):
        use_sparse_products(network, {"rnn.weight_hh_l0": torch.ones(3, 3, dtype=torch.bool)})
    with pytest.raises(TypeError, match=r"convert it by \.bool"):
        use_sparse_products(network, {"rnn.weight_hh_l0": torch.ones(20, 20)})
    left_out = torch.zeros(20, 20, dtype=torch.bool)
    assert use_sparse_products(network, {"rnn.weight_hh_l0": left_out}) == {"rnn.weight_hh_l0": False}  # the weights outside are not zero


def test_an_experiment_trains_alike(always, tmp_path):
    config = HeadDirectionConfig(scale="tiny", device="cpu", seeds=2, sparsity=0.8, out=str(tmp_path / "dense"))
    runs = [fit(HeadDirection(c), progress=False) for c in (config, replace(config, sparse_products="on", out=str(tmp_path / "sparse")))]
    dense, left = (run.result["phases"] for run in runs)
    assert runs[0].path.name == runs[1].path.name
    for phase in ("train", "lottery"):
        assert left[phase]["loss"] == pytest.approx(dense[phase]["loss"], rel=1e-2)
        assert left[phase]["sparsity"] == dense[phase]["sparsity"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
@pytest.mark.parametrize("bias", [True, False])
def test_sparse_network_and_its_file(tmp_path, dtype, layers, nonlinearity, bias):
    layer = nn.RNN(4, 33, layers, nonlinearity=nonlinearity, bias=bias, dtype=dtype)
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            if name.startswith("weight_hh"):
                weight.mul_(draw(*weight.shape, dtype=dtype) != 0)
    save_sparse(tmp_path / "file", layer.state_dict())
    read = load_sparse(tmp_path / "file")
    assert {name for name, w in read.items() if w.layout == torch.sparse_csr} == {f"weight_hh_l{k}" for k in range(layers)}
    assert all(torch.equal(read[name].to_dense() if read[name].layout == torch.sparse_csr else read[name], w) for name, w in layer.state_dict().items())
    x, h0 = draw(5, 7, 4, zeros=0, dtype=dtype), draw(layers, 7, 33, zeros=0, dtype=dtype)
    for weights in (layer.state_dict(), read):
        for ours, theirs in zip(SparseRNN(weights, nonlinearity, batch=7)(x, h0), layer(x, h0), strict=True):
            torch.testing.assert_close(ours, theirs.detach(), rtol=0, atol=DTYPES[dtype])


def test_two_directions(tmp_path):
    layer = nn.RNN(4, 12, 2, bidirectional=True)
    x, h0 = draw(5, 7, 4, zeros=0, dtype=torch.float32), draw(4, 7, 12, zeros=0, dtype=torch.float32)
    for ours, theirs in zip(SparseRNN(layer.state_dict(), batch=7)(x, h0), layer(x, h0), strict=True):
        torch.testing.assert_close(ours, theirs.detach())


def read_again(path, weights):
    "Weights after a file, dense"
    save_sparse(path, weights)
    return {name: w if w.layout == torch.strided else w.to_dense() for name, w in load_sparse(path).items()}


def test_tied_matrices_are_written_once(tmp_path):
    model = nn.ModuleDict({"a": nn.Embedding(50, 16), "b": nn.Linear(16, 50)})
    model["b"].weight = model["a"].weight
    for zeros in (0.0, 0.9):
        with torch.no_grad():
            model["a"].weight.mul_(draw(50, 16, zeros=zeros) != 0)
        save_sparse(tmp_path / "tied", model.state_dict())
        save_sparse(tmp_path / "alone", {name: w for name, w in model.state_dict().items() if name != "b.weight"})
        assert (tmp_path / "tied").stat().st_size < (tmp_path / "alone").stat().st_size + 200
        read = load_sparse(tmp_path / "tied")
        assert read["a.weight"] is read["b.weight"]
        assert all(torch.equal(w, model.state_dict()[name]) for name, w in read_again(tmp_path / "file", read).items())


def test_files_of_every_kind_of_tensor(tmp_path):
    w = torch.randn(6, 6)
    weights = {"w": w, "transposed": w.T, "part": w[:3], "step": torch.tensor(3), "flag": torch.eye(4).bool(), "half": torch.eye(4).half(), "bfloat16": torch.eye(4).bfloat16(),
               "whole": torch.eye(5, dtype=torch.int64), "empty": torch.empty(0, 3), "zeros": torch.zeros(3, 3), "stack": torch.zeros(2, 3, 3)}
    for name, read in read_again(tmp_path / "file", weights).items():
        assert torch.equal(read, weights[name]) and read.dtype == weights[name].dtype
    with pytest.raises(TypeError, match=r"weights\['extra'\] is the dict {}; give a tensor"):
        save_sparse(tmp_path / "other", {"extra": {}})
    with pytest.raises(ValueError, match="rename"):
        save_sparse(tmp_path / "other", {"w": torch.eye(4), "w.start": torch.ones(3)})
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("damage", [
    lambda bytes_: b"",
    lambda bytes_: bytes_[: len(bytes_) // 2],
    lambda bytes_: bytes_.replace(b'"sparse"', b'"spares"'),
    lambda bytes_: bytes_.replace(b"weight_hh_l0.values", b"weight_hh_l0.valves"),
    lambda bytes_: bytes_.replace(b"[9, 9]", b"[9, 1]"),
], ids=["empty", "cut", "no list", "a part is missing", "another shape"])
def test_a_damaged_file_is_refused(tmp_path, damage):
    path = tmp_path / "file"
    save_sparse(path, {"weight_hh_l0": draw(9, 9)})
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert path.read_bytes() != whole
    with pytest.raises(ValueError, match="not a file of sparse weights"):
        load_sparse(path)


@pytest.mark.parametrize(("weights", "nonlinearity", "message"), [
    ({}, "relu", "weight_ih_l0"),
    ({"weight_hh_l0": torch.eye(3)}, "relu", "weight_ih_l0"),
    ({"weight_hh_l0": torch.ones(2, 3, 3), "weight_ih_l0": torch.ones(2, 3, 3)}, "relu", "without replicas"),
    ({"weight_hh_l0": torch.eye(3), "weight_ih_l0": torch.eye(3)}, "gelu", "'relu', 'tanh'"),
    (nn.GRU(3, 8).state_dict(), "tanh", "a GRU has three"),
    (nn.LSTM(3, 8).state_dict(), "tanh", "an LSTM four"),
    (nn.LSTM(3, 8, proj_size=4).state_dict(), "tanh", "weight_hr_l0"),
    (nn.RNN(3, 8, 2).state_dict() | {"weight_ih_l1": torch.ones(8, 3)}, "tanh", "weight_ih_l1 has shape"),
    (nn.RNN(3, 8).state_dict() | {"bias_ih_l0": torch.ones(7)}, "tanh", "bias_ih_l0 has shape"),
    (nn.RNN(3, 8).state_dict() | {"other": torch.ones(7)}, "tanh", "nothing besides"),
])
def test_bad_weights_are_refused(weights, nonlinearity, message):
    with pytest.raises(ValueError, match=message):
        SparseRNN(weights, nonlinearity)


def test_bad_inputs_of_a_sparse_network_are_refused():
    runs = SparseRNN(nn.RNN(3, 8).state_dict())
    for given, message in [((torch.ones(5, 4, 4),), "the input has shape"), ((torch.ones(5, 3),), "the input has shape"), ((torch.ones(5, 4, 3).double(),), "torch.float64"),
                           ((torch.ones(5, 4, 3), torch.ones(1, 3, 8)), "initial state")]:
        with pytest.raises(ValueError, match=message):
            runs(*given)
    with pytest.raises(TypeError, match="convert them"):
        SparseRNN(nn.RNN(3, 8).half().state_dict())


@pytest.mark.parametrize("n", [1, 15, 16, 17, 100])
def test_geometric_blocks_hold_everybody_once(n):
    groups = geometric_blocks(torch.rand(n, 2, generator=torch.Generator().manual_seed(n)), 16)
    counts = groups.bincount()
    assert counts.sum() == n and counts.max() <= 16 and (counts[:-1] == 16).all()
    assert filled_blocks(torch.ones(n, n), groups) == 1 and filled_blocks(torch.zeros(n, n), groups) == 0


def test_each_kernel_is_kept_by_a_name_of_its_own():
    "Or processes that compile at the same time for numbers of two types would write into one file"
    kernels = sparse._kernels()
    kinds = [(kernels.add_product, 1), (kernels.add_product, 4), (kernels.add_gradient, 1)]
    names = {kernels.compiled(f, np.dtype(dtype), batch, rows_per_set).py_func.__qualname__ for f, rows_per_set in kinds for dtype in ("float32", "float64") for batch in (1, 8, 300)}
    assert len(names) == 18


def test_kernels_that_were_compiled_in_other_processes(tmp_path):
    "Functions of one name once took each other's place there: 4x1 blocks were multiplied as single rows"
    code = """
import sys, torch
from modreg.layers.sparse import SparseMatrix
weight, x = torch.eye(8) + torch.arange(64.0).view(8, 8), torch.arange(24.0).view(8, 3)
for rows_per_set in map(int, sys.argv[1]):
    torch.testing.assert_close(SparseMatrix.of(weight, rows_per_set).add_(x, torch.zeros(8, 3)), weight @ x)
"""
    for order in ("4", "14", "41"):
        subprocess.run([sys.executable, "-c", code, order], check=True, env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)})


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("zeros", [0.0, 0.6, 0.97])
@pytest.mark.parametrize("batch", [1, 2, 8])
def test_few_states(batch, zeros, threads, dtype):
    "Rows of every length up to one that fills many registers, among them an empty one; the same whatever the threads and the panels"
    weight = draw(67, 131, zeros=zeros, dtype=dtype)
    weight[5] = 0
    x, out = draw(131, batch, zeros=0, dtype=dtype, seed=1), draw(67, batch, zeros=0, dtype=dtype, seed=2)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = SparseMatrix.of(weight, batch=batch).add_(x, out.clone())
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(found, (out.double() + weight.double() @ x.double()).to(dtype), rtol=0, atol=DTYPES[dtype])
    assert torch.equal(found, SparseMatrix.of(weight, batch=batch).add_(x, out.clone()))


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_state_of_a_wide_matrix(dtype, kernels):
    "With panels as for many states, and without"
    weight, x = draw(9, 3000, zeros=0.7, dtype=dtype), draw(3000, 1, zeros=0, dtype=dtype, seed=1)
    for batch in (1, 200):
        matrix = SparseMatrix.of(weight, batch=batch)
        assert bool(matrix.pattern.panel) == (batch == 200)
        torch.testing.assert_close(matrix.add_(x, x.new_zeros(9, 1)), weight @ x, rtol=0, atol=DTYPES[dtype] * 100)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
@pytest.mark.parametrize(("neurons", "batch", "rows_per_set"), [(37, 1, 1), (40, 1, 4), (37, 3, 1), (700, 200, 1)])
def test_a_recurrence_is_run_by_one_call_where_it_is_short(neurons, batch, rows_per_set, nonlinearity, dtype, kernels):
    weight, states = draw(neurons, neurons, zeros=0.8, dtype=dtype) / neurons**0.5, draw(6, neurons, batch, zeros=0, dtype=dtype, seed=1)
    expected, h = [states[0]], states[0].double()
    for drive in states[1:]:
        h = (drive.double() + weight.double() @ h).relu() if nonlinearity == "relu" else (drive.double() + weight.double() @ h).tanh()
        expected.append(h.to(dtype))
    matrix = SparseMatrix.of(weight, rows_per_set, batch)
    torch.testing.assert_close(sparse._run_steps(matrix, states.clone(), nonlinearity), torch.stack(expected), rtol=0, atol=DTYPES[dtype])
    with pytest.raises(ValueError, match="in one piece"):
        sparse._run_steps(matrix, states[:, 1:].clone(), nonlinearity)


def test_numbers_that_are_none_stay_so():
    states = torch.full((3, 4, 1), float("nan"))
    for nonlinearity in ("relu", "tanh"):
        assert sparse._run_steps(SparseMatrix.of(torch.eye(4), batch=1), states.clone(), nonlinearity).isnan().all()


def test_without_a_clear_gain_the_product_stays_dense(monkeypatch):
    monkeypatch.setattr(sparse, "least_time", lambda *calls: [1.0, 0.97, 0.96, 0.96])
    assert fastest(draw(8, 8), 1)[0] == "dense"


@pytest.mark.parametrize("rows_per_set", [1, 4])
def test_threads_share_the_rows_and_say_the_same(rows_per_set, monkeypatch):
    "Bit for bit, so that a run may go on elsewhere"
    batch, dtype = 8, torch.float32
    weight, x = draw(44, 300, zeros=0.6, dtype=dtype), draw(2, 300, batch, zeros=0, dtype=dtype, seed=1)
    matrix, found, before = SparseMatrix.of(weight, rows_per_set, batch), [], torch.get_num_threads()
    for threads in (1, 2):
        monkeypatch.setattr(sparse, "ALONE", 0)
        torch.set_num_threads(threads)
        try:
            found.append((matrix.add_(x, x.new_zeros(2, 44, batch)), sparse._gradient_of(weight, Pattern.of(weight != 0, batch=batch), x[:, :44].contiguous(), x)))
        finally:
            torch.set_num_threads(before)
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))
    torch.testing.assert_close(found[1][0], weight @ x, rtol=0, atol=DTYPES[dtype] * 100)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [16, 30, 48])
def test_products_along_blocks(n, dtype, monkeypatch):
    "Where the last block is full, and where it is not; for one step and for some"
    g = torch.Generator().manual_seed(n)
    blocks = geometric_blocks(torch.rand(n, 2, generator=g), 8)
    weight = draw(n, n, zeros=0, dtype=dtype) * (torch.rand(8, 8, generator=g) < 0.4)[blocks[:, None], blocks]
    monkeypatch.setattr(sparse, "least_time", lambda *calls: [float(k != len(calls) - 1) for k in range(len(calls))])
    name, multiply = fastest(weight, 3, blocks)
    x = draw(2, n, 3, zeros=0, dtype=dtype, seed=1)
    assert name == "blocks"
    torch.testing.assert_close(multiply(x, x.new_ones(2, n, 3)), 1 + weight @ x, rtol=0, atol=DTYPES[dtype])
    torch.testing.assert_close(multiply(x[0], x.new_ones(n, 3)), 1 + weight @ x[0], rtol=0, atol=DTYPES[dtype])
    with pytest.raises(ValueError, match="square matrix"):
        fastest(weight, 3, blocks[1:])


def test_calls_that_are_far_behind_are_not_timed_for_long(monkeypatch):
    "And each gets the least time that it took"
    clock, called = [0.0], Counter()
    monkeypatch.setattr(sparse.time, "perf_counter", lambda: clock[0])

    def call(name: str, seconds: float) -> None:
        called[name] += 1
        clock[0] += seconds * (1 + 1 / called[name])

    ways = {"slow": 4e-3, "quick": 1e-4, "near": 2e-4}
    times = dict(zip(ways, sparse.least_time(*(partial(call, *way) for way in ways.items())), strict=True))
    assert called["slow"] == 3 < 20 < called["quick"] == called["near"]
    assert times == pytest.approx({name: seconds * (1 + 1 / called[name]) for name, seconds in ways.items()})


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_in_order_are_copied_and_give_what_those_in_disorder_give(dtype):
    "Edges that are sorted need no search for their weights; a matrix holds those of the moment that it was made"
    edges = (draw(30, 40, zeros=0.7) != 0).nonzero()
    mixed = torch.randperm(len(edges), generator=torch.Generator().manual_seed(0))
    weight, x, errors = draw(len(edges), zeros=0, dtype=dtype), draw(2, 40, 8, zeros=0, dtype=dtype), draw(2, 30, 8, zeros=0, dtype=dtype, seed=1)
    sorted_, other = (Pattern.from_edges(*some.T, (30, 40)) for some in (edges, edges[mixed]))
    assert sorted_.in_order and not other.in_order and not Pattern.from_edges(*edges.T, (30, 40), transposed=True).in_order
    products = [SparseMatrix.at(pattern, values).add_(x, x.new_zeros(2, 30, 8)) for pattern, values in ((sorted_, weight), (other, weight[mixed]))]
    assert torch.equal(*products)
    assert torch.equal(sparse._gradient_of(weight, sorted_, errors, x)[mixed], sparse._gradient_of(weight[mixed], other, errors, x))
    matrix, values = SparseMatrix.at(sorted_, weight), weight.clone()
    weight.zero_()
    assert torch.equal(matrix.values.flatten(), values)
