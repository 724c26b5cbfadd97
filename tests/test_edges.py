"""A layer of edges is the dense layer with zeros, finds the partners that all pairs would give, and never makes a matrix of all pairs."""

import copy
import pickle

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from modreg import Euclidean, Inhibitor, ModuliRegularizer, Torus, inhibitor, manifold
from modreg.layers import edges as module
from modreg.layers import sparse
from modreg.layers.edges import EdgeRNN, edge_penalty, geometric_edges
from modreg.layers.recurrent import RNN

DTYPES = {torch.float32: 1e-4, torch.float64: 1e-11}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=["numba", "torch"])
def kernels(request, monkeypatch):
    "With the compiled kernels, and as where numba is not installed"
    if request.param == "torch":
        monkeypatch.setattr(sparse, "_kernels", lambda: None)


def some_edges(neurons, partners, seed=0):
    "Random partners of each neuron"
    columns = torch.stack([torch.randperm(neurons, generator=seeded(seed + i))[:partners] for i in range(neurons)])
    return torch.stack([torch.arange(neurons).repeat_interleave(partners), columns.flatten()])


class Ring(Inhibitor):
    "Cheap far away, where no tree of neighbours would look first"

    name = "test_ring"

    def evaluate(self, d):
        return (d - 4) ** 2


@pytest.mark.parametrize("name", ["torus", "torus6", "circle", "klein", "sphere", "s3", "r3"])
@pytest.mark.parametrize("price", ["difference_of_gaussians", "diffusion", "constant", Ring()], ids=str)
def test_partners_are_those_of_all_pairs(name, price, monkeypatch):
    "Also where a block of rows is a part of the neurons, and where the sample's bound is too low for many"
    monkeypatch.setattr(module, "SAMPLE", 5)
    monkeypatch.setattr(module, "PAIRS", 1500)
    space, neurons, partners = manifold(name), 120, 6
    points = space.sample(neurons, seeded(), dtype=torch.float64)
    edges, prices = geometric_edges(space, points, price, partners)
    every = inhibitor(price)(torch.cat([space.distance(points[i : i + 1], points) for i in range(neurons)]))
    assert edges.shape == (2, neurons * partners) and torch.equal(edges[0], torch.arange(neurons).repeat_interleave(partners))
    assert (edges[0] * neurons + edges[1]).diff().gt(0).all()  # sorted, none twice
    torch.testing.assert_close(prices, every[tuple(edges)], rtol=1e-9, atol=1e-9)
    for row in range(neurons):
        torch.testing.assert_close(prices[edges[0] == row].sort().values, every[row].sort().values[:partners], rtol=1e-9, atol=1e-9)


def test_a_space_without_a_tree_asks_all_pairs():
    class Taxi(Torus):
        "Another distance than its parent's, whose tree must not be taken"

        def pairwise(self, x, y):
            d = (x[..., :, None, :] - y[..., None, :, :]).abs()
            return torch.minimum(d, self.period - d).sum(-1)

    space = Taxi()
    points = space.sample(90, seeded())
    _edges, prices = geometric_edges(space, points, "diffusion", 4)
    every = space.distance(points) ** 2
    torch.testing.assert_close(prices.view(90, 4).sort(1).values, every.sort(1).values[:, :4])
    assert prices.dtype == points.dtype


def test_the_torus_has_edges_inside_the_annulus_only():
    points = Torus().sample(3000, seeded(), dtype=torch.float64)
    edges, _ = geometric_edges("torus", points, "difference_of_gaussians", 12)
    delta = (points[edges[0]] - points[edges[1]]).abs()
    length = torch.minimum(delta, 10 - delta).norm(dim=1)
    free = inhibitor("difference_of_gaussians").free_distance
    width = 12 / (30 * 2 * torch.pi * free)  # of a ring that holds 12 of 30 neurons per unit of area, on average
    assert (length - free).abs().max() < 2 * width


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_layer_is_the_dense_one(dtype, nonlinearity, kernels):
    edges = some_edges(50, 7)[:, 11:]  # neuron 0 listens to nobody
    layer, dense = EdgeRNN(3, 50, edges, nonlinearity, generator=seeded()).to(dtype), RNN(3, 50, nonlinearity=nonlinearity).to(dtype)
    matrix = torch.zeros(50, 50, dtype=dtype)
    for (i, j), w in zip(edges.T.tolist(), layer.weight_hh.tolist(), strict=True):
        matrix[i, j] = w
    with torch.no_grad():
        for name, value in dict(weight_hh=matrix, weight_ih=layer.weight_ih, bias_ih=layer.bias, bias_hh=0 * layer.bias).items():
            getattr(dense, f"{name}_l0").copy_(value)
    torch.testing.assert_close(layer.dense(), matrix)
    x, h0 = torch.randn(6, 5, 3, generator=seeded(), dtype=dtype, requires_grad=True), torch.randn(1, 5, 50, generator=seeded(), dtype=dtype, requires_grad=True)
    results = []
    for one in (layer, dense):
        out, last = one(x, h0)
        results.append([out, last, *torch.autograd.grad(out.sin().sum() + last.square().sum(), (x, h0, *one.parameters()))])
    ours, theirs = results
    theirs = [theirs[0], theirs[1], theirs[2], theirs[3], theirs[4], theirs[5][tuple(edges)], theirs[6]]
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=DTYPES[dtype], atol=DTYPES[dtype])


class Largest(TorchDispatchMode):
    "The most numbers that a tensor of some operation has, in memory of its own or not"

    most = 0

    def __torch_dispatch__(self, function, kinds, arguments=(), options=None):
        out = function(*arguments, **(options or {}))
        for one in out if isinstance(out, (tuple, list)) else [out]:
            if torch.is_tensor(one):
                self.most = max(self.most, one.numel())
        return out


@pytest.mark.parametrize("neurons", [2000, 4000])
def test_memory_grows_with_edges(neurons, monkeypatch):
    "From the search to a step of training no tensor is larger than some numbers for each edge"
    monkeypatch.setattr(module, "PAIRS", 2**14)
    partners, tracked = 8, neurons * 8
    points = Torus().sample(neurons, seeded())
    with Largest() as seen:
        edges, prices = geometric_edges("torus", points, "difference_of_gaussians", partners)
        found = seen.most
        layer = EdgeRNN(2, neurons, edges, generator=seeded())
        optimizer = torch.optim.Adam(layer.parameters())
        (layer(torch.randn(3, 8, 2, generator=seeded()))[0].square().mean() + edge_penalty(layer.weight_hh, prices)).backward()
        optimizer.step()
    assert found <= max(4 * tracked, module.SAMPLE * neurons + module.GRID)
    assert seen.most == max(found, 4 * neurons * 8) < neurons**2 / 8  # states of three steps and the first, of a batch of 8


@pytest.mark.parametrize("neurons", [3000, 6000])
def test_starts_of_rows_grow_with_edges_not_with_panels(neurons):
    assert all(len(pattern.start) <= 2 * neurons * 20 / 4 for pattern in EdgeRNN(1, neurons, some_edges(neurons, 20)).patterns())


def test_training_learns_and_stays_sparse():
    edges, _ = geometric_edges("torus", Torus().sample(200, seeded()), "difference_of_gaussians", 10)
    layer, readout = EdgeRNN(1, 200, edges, "relu", generator=seeded()), torch.nn.Linear(200, 1)
    optimizer, x = torch.optim.Adam([*layer.parameters(), *readout.parameters()], 3e-3), torch.rand(6, 8, 1, generator=seeded())
    losses = []
    for _ in range(120):
        loss = (readout(layer(x)[1][0]) - x.sum(0)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 20
    assert layer.dense().count_nonzero() <= edges.shape[1]


def test_first_weights_suit_the_row():
    edges = torch.cat([some_edges(400, 4), torch.stack([torch.zeros(100, dtype=torch.long), torch.arange(100)])], 1).unique(dim=1)
    left, dense = (EdgeRNN(2, 400, edges, scale=scale, generator=seeded()) for scale in ("left", "dense"))
    fan = edges[0].bincount(minlength=400)
    torch.testing.assert_close(left.weight_hh, dense.weight_hh * (400 / fan[edges[0]]).sqrt())
    assert left.weight_hh.abs().max() <= 0.5 and dense.weight_hh.abs().max() <= 0.05


@pytest.mark.parametrize("dtype", DTYPES)
def test_penalty_is_that_of_the_dense_twin(dtype):
    space, points = Torus(), Torus().sample(60, seeded(), dtype=dtype)
    edges, prices = geometric_edges(space, points, "difference_of_gaussians", 9)
    layer, dense = EdgeRNN(2, 60, edges, generator=seeded()).to(dtype), RNN(2, 60).to(dtype)
    with torch.no_grad():
        dense.weight_hh_l0.copy_(layer.dense())
    penalty = ModuliRegularizer(dense, space, "difference_of_gaussians", 1.0, embedding=points).penalty()
    ours = edge_penalty(layer.weight_hh, prices, 60**2)
    torch.testing.assert_close(ours, penalty.view(()), rtol=1e-4, atol=1e-7)
    ours.backward()
    torch.testing.assert_close(layer.weight_hh.grad, prices * layer.weight_hh.sign() / 3600)


def test_copies_and_files():
    layer = EdgeRNN(2, 30, some_edges(30, 3), generator=seeded())
    x = torch.randn(4, 8, 2, generator=seeded())
    out = layer(x)[0]
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x)[0], out)
    other = EdgeRNN(2, 30, some_edges(30, 3, seed=50), generator=seeded(1))
    other(x)  # its own edges are in use
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(x)[0], out)


def test_autocast_computes_in_the_precision_of_the_weights():
    layer, x = EdgeRNN(2, 30, some_edges(30, 3), generator=seeded()), torch.randn(4, 8, 2, generator=seeded())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x)[0], layer(x)[0].float())


@pytest.mark.parametrize(("make", "says"), [
    (lambda: geometric_edges("torus", Torus().sample(5, seeded()), "diffusion", 6), "from 1 to 5"),
    (lambda: geometric_edges("torus", Torus().sample(5, seeded()) - 20, "diffusion", 2), "not on the space"),
    (lambda: EdgeRNN(2, 5, torch.zeros(2, 2, dtype=torch.long)), "more than once"),
    (lambda: EdgeRNN(2, 5, torch.tensor([[0], [5]])), "from 0 to 4"),
    (lambda: EdgeRNN(2, 5, torch.zeros(2, 1)), "whole numbers"),
    (lambda: EdgeRNN(2, 5, torch.zeros(3, 1, dtype=torch.long)), "shape .2, E"),
    (lambda: EdgeRNN(2, 5, some_edges(5, 2), scale="small"), "'left'"),
    (lambda: EdgeRNN(2, 5, some_edges(5, 2), "gelu"), "tanh"),
    (lambda: EdgeRNN(2, 5, some_edges(5, 2))(torch.zeros(4, 2, 3)), "the input"),
    (lambda: edge_penalty(torch.zeros(3), torch.zeros(4)), "E = 3"),
])
def test_what_makes_no_sense_is_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_no_partner_at_a_finite_price():
    class Alone(Inhibitor):
        "Itself, and nobody else"

        name = "test_alone"

        def evaluate(self, d):
            return torch.where(d == 0, torch.zeros_like(d), torch.inf)

    points = Euclidean(2).sample(20, seeded())
    assert torch.equal(geometric_edges("r2", points, Alone(), 1)[0], torch.arange(20).expand(2, -1))
    with pytest.raises(ValueError, match="finite price"):
        geometric_edges("r2", points, Alone(), 2)
