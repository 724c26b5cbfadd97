"""Every sparsifier keeps what it promises: counts, places, sizes; and multiplications are counted as by hand."""

import itertools
import math

import pytest
import torch
from torch import nn

from modreg import ModuliRegularizer, Torus, inhibitor
from modreg.layers.edges import EdgeRNN
from modreg.layers.recurrent import RNN, Linear
from modreg.sparsity.pruning import SPARSIFIERS, erk_shares
from modreg.sparsity.rivals import (
    RigL,
    Random,
    Geometric,
    Regrow,
    Rewiring,
    multiplications,
    register_sparsifier,
    sparsifier,
    weight_uses,
)

BORN = ["random", "geometric", "set", "rigl", "regrow"]
REWIRED = ["set", "rigl", "regrow"]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def network(dtype=torch.float32, replicas=None, hidden=40):
    g = seeded() if replicas is None else [seeded(k) for k in range(replicas)]
    return nn.ModuleDict({"rnn": RNN(3, hidden, replicas=replicas, generator=g), "readout": Linear(hidden, 5, replicas=replicas, generator=g)}).to(dtype)


def prices_of(model):
    "Of the recurrent weights alone, on the torus"
    return {"rnn.weight_hh_l0": torch.rand(model["rnn"].weight_hh_l0.shape, generator=seeded(7), dtype=torch.float64)}


def make(name, model, target=0.8, **options):
    return SPARSIFIERS[name](model, target, 6, prices=prices_of(model), generator=seeded(1), **options)


def train(model, optimizer, steps=2):
    weight = model["rnn"].weight_hh_l0
    lead = weight.shape[:-2]
    for _ in range(steps):
        optimizer.zero_grad()
        x = torch.randn(*lead, 4, 8, 3, dtype=weight.dtype)
        model["readout"](model["rnn"](x)[0]).square().sum().backward()
        optimizer.step()


def density(masks):
    return sum(int(mask.sum()) for mask in masks.values())


@pytest.mark.parametrize("replicas", [None, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", BORN)
def test_density_is_kept_from_birth_to_the_end(name, dtype, replicas):
    "The number of weights of each matrix, and of each replica, never changes; what is not there is 0"
    model = network(dtype, replicas)
    method, optimizer = make(name, model, shares="layer", replicas=replicas), torch.optim.Adam(model.parameters(), 1e-2)
    total = {"rnn.weight_ih_l0": 120, "rnn.weight_hh_l0": 1600, "readout.weight": 200}
    first = {n: m.clone() for n, m in method.masks.items()}
    for epoch in range(6):
        method.step(epoch, optimizer)
        train(model, optimizer)
        for n, count in total.items():
            rows = method.masks[n].reshape(replicas or 1, -1)
            assert rows.sum(1).tolist() == [count - round(0.8 * count)] * len(rows)
            assert not model.get_parameter(n)[~method.masks[n]].any()
    assert any(not torch.equal(first[n], method.masks[n]) for n in first) == (name in REWIRED)


@pytest.mark.parametrize("name", BORN)
def test_one_seed_makes_one_mask(name):
    masks = [make(name, network()).masks for _ in range(2)]
    assert all(torch.equal(masks[0][n], masks[1][n]) for n in masks[0])


@pytest.mark.parametrize("name", BORN)
def test_global_shares_count_all_together(name):
    assert density(make(name, network()).masks) == 1920 - round(0.8 * 1920)


@pytest.mark.parametrize("name", ["random", "set"])
def test_erk_shares_follow_the_formula(name):
    "Density of a matrix in proportion to (rows + columns) ÷ (rows · columns)"
    model = nn.ModuleList([nn.Linear(100, 60, bias=False), nn.Linear(80, 200, bias=False)])
    masks = SPARSIFIERS[name](model, 0.9, 5, shares="erk", generator=seeded()).masks
    a, b = (masks[f"{k}.weight"].double().mean().item() for k in range(2))
    assert a / b == pytest.approx((160 / 6000) / (280 / 16000), rel=2e-3)
    assert 6000 * a + 16000 * b == pytest.approx(2200, abs=1)
    shares = erk_shares(dict(model.named_parameters()), 0.9)
    assert 1 - a == pytest.approx(shares["0.weight"], abs=1e-3)


@pytest.mark.parametrize("name", ["random", "set", "rigl"])
def test_kept_fan_in(name):
    model = network()
    masks = make(name, model, fan_in=True).masks
    assert masks["rnn.weight_hh_l0"].sum(1).tolist() == [8] * 40
    assert masks["readout.weight"].sum(1).tolist() == [8] * 5


@pytest.mark.parametrize("name", BORN)
def test_what_is_not_allowed_never_is(name):
    model = network()
    allowed = torch.rand(40, 40, generator=seeded(3)) < 0.4
    method, optimizer = make(name, model, shares="layer", allowed={"rnn.weight_hh_l0": allowed}), torch.optim.SGD(model.parameters(), 0.1)
    for epoch in range(4):
        method.step(epoch, optimizer)
        train(model, optimizer)
        mask = method.masks["rnn.weight_hh_l0"]
        assert (mask <= allowed).all() and mask.sum() == 320


@pytest.mark.parametrize("name", BORN)
def test_blocks_stay_or_go_as_one(name):
    model, groups = network(), torch.arange(40) // 8
    method = make(name, model, 0.76, shares="layer", blocks={"rnn.weight_hh_l0": groups})
    train(model, torch.optim.SGD(model.parameters(), 0.1), 1)
    for epoch in range(3):
        method.step(epoch)
        cells = method.masks["rnn.weight_hh_l0"].view(5, 8, 5, 8).sum((1, 3))
        assert cells.sum() == 1600 - round(0.76 * 1600)
        assert ((cells > 0) & (cells < 64)).sum() <= 2  # the count is exact, so that one may be cut where blocks go, and one where they grow


def test_first_weights_suit_what_is_left():
    dense, left = network(), network()
    a, b = make("random", dense, shares="layer"), make("random", left, shares="layer", scale="left")
    for name, mask in a.masks.items():
        assert torch.equal(mask, b.masks[name])
        drawn, kept, cut = (net.get_parameter(name).detach() for net in (network(), dense, left))
        torch.testing.assert_close(cut.norm(dim=1), torch.where(mask.any(1), drawn.norm(dim=1), 0.0))
        torch.testing.assert_close(cut * kept.norm(dim=1, keepdim=True), kept * cut.norm(dim=1, keepdim=True))  # the same direction


def test_geometric_keeps_the_cheapest():
    "Against a sorted list, price by price; ties and infinite prices too"
    model, price = network(torch.float64), prices_of(network())["rnn.weight_hh_l0"].mul(20).round().div(20)
    price[:30] = torch.inf
    method = Geometric(model, 0.9, 5, prices={"rnn.weight_hh_l0": price}, generator=seeded())
    mask = method.masks["rnn.weight_hh_l0"]
    assert sorted(price[mask].tolist()) == sorted(price.flatten().tolist())[:160]
    dense = Geometric(network(), 0.9, 5, prices={"rnn.weight_hh_l0": price}, others="dense")
    assert dense.masks["readout.weight"].all() and dense.masks["rnn.weight_hh_l0"].sum() == 160


def test_geometric_mask_of_a_torus_is_inside_the_annulus():
    model, points = network(hidden=300), Torus().sample(300, seeded())
    penalty = ModuliRegularizer(model["rnn"], "torus", embedding=points)
    method = Geometric(model, 0.98, 5, prices={"rnn.weight_hh_l0": penalty.coefficients.detach()})
    i, j = method.masks["rnn.weight_hh_l0"].nonzero(as_tuple=True)
    delta = (points[i] - points[j]).abs()
    length = torch.minimum(delta, 10 - delta).norm(dim=1)
    f = inhibitor("difference_of_gaussians")
    area = math.pi * (length.max() ** 2 - length.min() ** 2).item()
    assert len(i) == 1800 and length.min() < f.free_distance < length.max()
    assert area == pytest.approx(2, rel=0.25)  # of 100, as 2 % of the weights are left


def test_rigl_grows_where_the_gradient_is_largest():
    "Against a plain loop, matrix by matrix; new weights are 0"
    model = network(torch.float64)
    method = RigL(model, 0.8, 10, share=0.4, generator=seeded())
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    train(model, optimizer, 1)
    weights = {n: w.detach().clone() for n, w in method.weights.items()}
    before = {n: m.clone() for n, m in method.masks.items()}
    twin = network(torch.float64)  # a dense gradient, by a model whose weights are plain numbers
    twin.load_state_dict(model.state_dict())
    torch.manual_seed(5)
    train(twin, torch.optim.SGD(twin.parameters(), 0.0), 1)
    torch.manual_seed(5)
    train(model, torch.optim.SGD(model.parameters(), 0.0), 1)
    method.step(3)
    share = 0.2 * (1 + math.cos(0.3 * math.pi))
    for name, mask in method.masks.items():
        old, size = before[name].flatten().tolist(), weights[name].abs().flatten().tolist()
        there = [k for k, is_there in enumerate(old) if is_there]
        count = int(share * len(there))
        kept = set(sorted(there, key=lambda k: size[k])[count:])
        slope = twin.get_parameter(name).grad.abs().flatten().tolist()
        grown = sorted((k for k in range(len(old)) if k not in kept), key=lambda k: -slope[k])[:count]
        assert mask.flatten().nonzero()[:, 0].tolist() == sorted(kept | set(grown)), name
        new = mask & ~before[name]
        assert count and not model.get_parameter(name)[new].any()


def test_set_drops_the_smallest():
    model = nn.Linear(50, 40)
    method = sparsifier("set(share=0.25)")(model, 0.5, 4, generator=seeded())
    before, sizes = method.masks["weight"].clone(), model.weight.detach().abs().clone()
    method.step(1)
    least = sizes[before].sort().values[250]
    assert (before & (sizes >= least) <= method.masks["weight"]).all()
    grown = method.masks["weight"] & ~before
    assert 0.6 * 250 < grown.sum() <= 250  # a few of those that were dropped come back by lot
    rows = grown.sum(1).double()
    assert rows.std() < 2 * rows.mean().sqrt()  # all over the matrix


def test_regrowth_follows_the_price():
    price = torch.linspace(0, 10, 10_000).view(100, 100)
    dropped = {}
    for heat in (0, 0.1, 1e6):
        method = Regrow(nn.Linear(100, 100), 0.9, 5, share=0.5, heat=heat, prices={"weight": price}, generator=seeded())
        before = method.masks["weight"].clone()
        method.step(1)
        dropped[heat] = price[method.masks["weight"] & ~before]
    assert dropped[0].max() < 1.2  # 500 of the cheapest 1,000 or so
    assert 0.4 < dropped[0.1].mean() < 0.6  # an exponential law of mean heat · mean price = 0.5
    assert 4.5 < dropped[1e6].mean() < 5.5  # by lot


@pytest.mark.parametrize("name", REWIRED)
def test_nothing_is_exchanged_while_the_network_heals(name):
    model = network()
    method, optimizer = make(name, model, heal=2), torch.optim.SGD(model.parameters(), 0.1)
    changed = []
    for epoch in range(6):
        before = method.state_dict()
        method.step(epoch, optimizer)
        changed.append(any(not torch.equal(before[n], m) for n, m in method.masks.items()))
        train(model, optimizer)
    assert changed == [False, True, True, True, False, False]


def test_a_sparsifier_of_ones_own():
    "In under 25 lines, and without touching the package"

    @register_sparsifier
    class Diagonal(Rewiring):
        "Weights grow near the diagonal"

        name = "test_diagonal"

        def scores(self):
            return {name: 1 / (1 + torch.arange(w.shape[-2])[:, None].sub(torch.arange(w.shape[-1])).abs().expand(w.shape)) for name, w in self.weights.items()}

    try:
        method = sparsifier("test_diagonal(share=0.5)")(nn.Linear(30, 30), 0.9, 5, generator=seeded())
        for epoch in range(5):
            method.step(epoch)
        i, j = method.masks["weight"].nonzero(as_tuple=True)
        assert len(i) == 90 and (i - j).abs().double().mean() < 5
    finally:
        SPARSIFIERS.pop("test_diagonal")


@pytest.mark.parametrize(("text", "says"), [
    ("rigle", "did you mean 'rigl'"), ("rigl(share=0.3", "closing bracket"), ("rigl(0.3)", "name=value"), ("", "one of magnitude"),
])
def test_names_that_are_none(text, says):
    with pytest.raises(ValueError, match=says):
        sparsifier(text)


@pytest.mark.parametrize(("build", "says"), [
    (lambda m: make("random", m, fan_in=True, blocks={"rnn.weight_hh_l0": torch.zeros(40, dtype=torch.long)}), "choose one"),
    (lambda m: make("random", m, scale="small"), "'left'"),
    (lambda m: make("geometric", m, others="all"), "'dense'"),
    (lambda m: Geometric(m, 0.5), "needs prices"),
    (lambda m: Geometric(m, 0.5, prices={"rnn.weight_hh_l0": torch.full((40, 40), torch.nan)}), "NaN"),
    (lambda m: make("set", m, share=2), "0 to 1"),
    (lambda m: make("regrow", m, heat=-1), "at least 0"),
])
def test_what_makes_no_sense_is_refused_and_changes_nothing(build, says):
    model = network()
    before = {name: w.detach().clone() for name, w in model.named_parameters()}
    with pytest.raises(ValueError, match=says):
        build(model)
    assert all(torch.equal(before[name], w) for name, w in model.named_parameters())


# --- multiplications ---------------------------------------------------------------------------------------------------


def test_multiplications_by_hand():
    "Steps times weights for a recurrent layer, outputs times weights for a convolution, nothing for looking a word up"
    model = nn.ModuleDict({"words": nn.Embedding(9, 4), "conv": nn.Conv1d(4, 6, 3, padding=1), "rnn": nn.LSTM(6, 5, 2, bidirectional=True), "out": nn.Linear(10, 2)})

    def run(batch=3, steps=7):
        x = model["conv"](model["words"](torch.zeros(batch, steps, dtype=torch.long)).mT)
        return model["out"](model["rnn"](x.permute(2, 0, 1))[0][-1])

    uses = weight_uses(model, run, examples=3)
    masks = {"rnn.weight_hh_l0": torch.zeros(20, 5, dtype=torch.bool), "out.weight": torch.arange(20).view(2, 10) < 4}
    lstm = 2 * (20 * 6 + 20 * 5) + 2 * (20 * 10 + 20 * 5)  # two directions: gates of the first layer, and of the second
    dense = 7 * 6 * 4 * 3 + 7 * lstm + 20
    sparse = dense - 7 * 100 - 16
    cost = multiplications(model, uses, masks, dense_gradients=0.25)
    assert {kind: value.item() for kind, value in cost.items()} == {
        "inference": sparse, "training": 3 * sparse + 0.25 * (dense - sparse), "dense_inference": dense, "dense_training": 3 * dense}


def test_multiplications_of_replicas():
    model, x = network(replicas=2), torch.randn(2, 4, 8, 3)
    uses = weight_uses(model, lambda: model["readout"](model["rnn"](x)[0]), examples=4 * 8)
    assert uses == {"rnn.weight_ih_l0": 1, "rnn.weight_hh_l0": 1, "readout.weight": 1}
    masks = {"rnn.weight_hh_l0": torch.stack([torch.ones(40, 40), torch.zeros(40, 40)]).bool()}
    assert multiplications(model, uses, masks, replicas=2)["inference"].tolist() == [1920, 320]


def test_multiplications_of_other_layers():
    "Transposed convolution, cell, packed sequence, a list of edges, a weight that is used twice"
    edges = torch.stack([torch.arange(6), (torch.arange(6) + 1) % 6])
    model = nn.ModuleDict({"up": nn.ConvTranspose2d(2, 3, 2, stride=2), "cell": nn.GRUCell(3, 4), "edges": EdgeRNN(3, 6, edges, generator=seeded()), "rnn": nn.RNN(3, 4)})
    packed = nn.utils.rnn.pack_sequence([torch.randn(5, 3), torch.randn(2, 3)])

    def run():
        model["up"](torch.randn(1, 2, 4, 5))
        model["cell"](torch.randn(2, 3)), model["cell"](torch.randn(1, 3))
        model["edges"](torch.randn(4, 8, 3))
        model["rnn"](packed)

    uses = weight_uses(model, run)
    assert uses == {"up.weight": 20, "cell.weight_ih": 3, "cell.weight_hh": 3, "edges.weight_ih": 32, "edges.weight_hh": 32, "rnn.weight_ih_l0": 7, "rnn.weight_hh_l0": 7}
    assert multiplications(model, uses)["inference"] == 20 * 24 + 3 * (36 + 48) + 32 * (18 + 6) + 7 * (12 + 16)


def test_a_layer_that_nobody_knows_is_refused_or_says_it_itself():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3, 3))

        def forward(self, x):
            return x @ self.weight

    model = nn.Sequential(Own())
    with pytest.raises(ValueError, match="0 is a Own with weight"):
        weight_uses(model, lambda: model(torch.ones(2, 3)))
    Own.weight_uses = lambda self, inputs, output: {"weight": len(output)}
    assert weight_uses(model, lambda: model(torch.ones(2, 3))) == {"0.weight": 2}


def test_every_name_makes_its_class():
    assert set(BORN) | {"magnitude"} <= SPARSIFIERS.keys()
    assert all(kind.name == name for name, kind in SPARSIFIERS.items())
    assert all(issubclass(SPARSIFIERS[a], Random) for a in BORN)
    assert len(set(itertools.chain(SPARSIFIERS.values()))) == len(SPARSIFIERS)
