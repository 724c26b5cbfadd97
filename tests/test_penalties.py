"""Every penalty on every kind of weight against plain loops over neurons: space × dtype × layer × power."""

import copy
import math
import pickle

import networkx
import pytest
import scipy.linalg
import torch
from torch import nn

from modreg import RNN
from modreg.geometry.finite import DistanceMatrix
from modreg.geometry.inhibitors import Inhibitor, inhibitor
from modreg.geometry.manifolds import manifold
from modreg.lab.experiments import CONDITIONS
from modreg.lab.settings import label_of
from modreg.layers.recurrent import Linear
from modreg.sparsity.fused import _Penalty
from modreg.sparsity.penalties import PENALTIES, communicability, display_name
from modreg.sparsity.pruning import SPARSIFIERS
from modreg.sparsity.regularizer import RAMPS, ModuliRegularizer, ramp
from modreg.sparsity.weights import find_weights, layout, slots, weight_matrices
from modreg.tasks.navigation import NavigationConfig

SPACES = ("torus", "sphere", "klein", "circle", "r3")
DTYPES = (torch.float32, torch.float64)


def seeded(seed=1):
    return torch.Generator().manual_seed(seed)


def make(layer, *args, kind=ModuliRegularizer, seed=1, **options):
    return kind(layer, *args, generator=seeded(seed), **options)


# --- an oracle of plain loops ------------------------------------------------------------------------------------------
# For each kind of layer: how to make it, its penalized weights, and which entries of a weight join u and v, written out by hand.


def entry(rows):
    "Entries of a weight of stacked gates, each of so many rows"
    return lambda w, u, v: [w[row, v] for row in range(u, len(w), rows)]


LAYERS = {
    "rnn": (lambda: nn.RNN(2, 5), {"weight_hh_l0": (5, 5, True, entry(5))}),
    "gru": (lambda: nn.GRU(2, 4), {"weight_hh_l0": (4, 4, True, entry(4))}),
    "lstm": (lambda: nn.LSTM(2, 3, num_layers=2, bidirectional=True),
             {f"weight_hh_l{k}{way}": (3, 3, True, entry(3)) for k in (0, 1) for way in ("", "_reverse")}),
    "projected": (lambda: nn.LSTM(2, 5, proj_size=3), {"weight_hh_l0": (5, 3, False, entry(5))}),
    "cell": (lambda: nn.LSTMCell(2, 4), {"weight_hh": (4, 4, True, entry(4))}),
    "linear": (lambda: nn.Linear(4, 6), {"weight": (6, 4, False, entry(6))}),
    "square": (lambda: nn.Linear(4, 4), {"weight": (4, 4, False, entry(4))}),
    "conv1d": (lambda: nn.Conv1d(3, 5, 4), {"weight": (5, 3, False, lambda w, u, v: [w[u, v]])}),
    "conv2d": (lambda: nn.Conv2d(3, 4, (2, 3)), {"weight": (4, 3, False, lambda w, u, v: [w[u, v]])}),
    "conv3d": (lambda: nn.Conv3d(2, 3, 2), {"weight": (3, 2, False, lambda w, u, v: [w[u, v]])}),
    "transposed": (lambda: nn.ConvTranspose2d(3, 4, (2, 3)), {"weight": (4, 3, False, lambda w, u, v: [w[v, u]])}),
}


def loop(layer, weights, space, points, power, strength, f):
    "Eq. 6 in mean form with Python loops: the sum over weights of the mean over connections"
    total = 0.0
    for (name, (rows, columns, same, entries)), (here, there) in zip(weights.items(), points, strict=True):
        w = getattr(layer, name)
        each = []
        for u in range(rows):
            for v in range(columns):
                d = space.distance(here[u : u + 1], (here if same else there)[v : v + 1])[0, 0]
                each += [f(d) * e.abs().pow(power) if e.dim() == 0 else f(d) * e.square().sum().sqrt().pow(power) for e in entries(w, u, v)]
        total = total + strength * sum(each) / len(each)
    return total


@pytest.mark.parametrize("power", [1, 2, 1.5])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("space", SPACES)
def test_value_and_gradients_are_those_of_plain_loops(space, kind, dtype, power):
    torch.manual_seed(0)
    build, weights = LAYERS[kind]
    layer = build().to(dtype)
    f = inhibitor("difference_of_gaussians")
    trained = make(layer, space, strength=0.7, power=power, train_embedding=True)
    points = [[x.detach().clone().requires_grad_() for x in dict.fromkeys(part.points)] for part in trained.parts]
    given = [tuple(x) if len(x) > 1 else x[0] for x in points]
    fixed = ModuliRegularizer(layer, space, strength=0.7, power=power, embedding=given if len(given) > 1 else given[0])
    oracle = loop(layer, weights, trained.parts[0].manifold, [(x[0], x[-1]) for x in points], power, 0.7, f)
    wanted = [getattr(layer, name) for name in weights]
    flat = [x for each in points for x in each]
    grads = torch.autograd.grad(oracle, [*wanted, *flat])
    tolerance = dict(atol=1e-4, rtol=1e-3) if dtype == torch.float32 else dict(atol=1e-10, rtol=1e-8)
    assert [part.name for part in fixed.parts] == list(weights)
    for reg in (fixed, trained):
        torch.testing.assert_close(reg(), oracle, **tolerance)
        for add in (lambda r=reg: r().backward(), reg.add_gradient_):
            layer.zero_grad(), reg.zero_grad()
            add()
            for w, g in zip(wanted, grads, strict=False):
                torch.testing.assert_close(w.grad, g, **tolerance)
    for x, g in zip(trained.parameters(), grads[len(wanted):], strict=True):
        torch.testing.assert_close(x.grad, g, **tolerance)


@pytest.mark.parametrize("power", [1, 2, 3])
@pytest.mark.parametrize("kind", ["linear", "conv1d", "gru"])
def test_gradients_against_finite_differences(kind, power):
    torch.manual_seed(1)
    layer = LAYERS[kind][0]().double()
    (part,) = make(layer, "sphere", power=power, train_embedding=True).parts
    assert torch.autograd.gradcheck(lambda w, x, y: _Penalty.apply(w, x, y, part, 0.1), (part.weight, part.embedding, part.column_embedding))


@pytest.mark.parametrize("tile", [2, 3])
def test_tiles_of_other_neurons(tile, monkeypatch):
    layer = nn.Linear(7, 5).double()
    reg = make(layer, "klein", train_embedding=True)
    whole = torch.autograd.grad(reg(), [layer.weight, *reg.parameters()])
    monkeypatch.setattr("modreg.sparsity.fused.TILE", tile)
    torch.testing.assert_close(torch.autograd.grad(reg(), [layer.weight, *reg.parameters()]), whole)


# --- replicas ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"power": 2}, {"train_embedding": True}, {"train_embedding": True, "power": 1.5}], ids=str)
@pytest.mark.parametrize("layer", [RNN(2, 5, num_layers=2, replicas=3), Linear(4, 6, replicas=3)], ids=lambda layer: type(layer).__name__)
def test_replicas_are_single_weights(layer, options):
    layer = layer.double()
    reg = make(layer, "torus", **options)
    assert reg.penalty().shape == (3,)
    for s in range(3):
        total = 0
        for part in reg.parts:
            rows, columns = (x[s].detach() for x in part.points)
            one = nn.Parameter(part.weight[s].detach().clone())
            total = total + ModuliRegularizer(one, "torus", recurrent=part.layout.recurrent, embedding=rows if part.layout.recurrent else (rows, columns), **options)()
        torch.testing.assert_close(reg.penalty()[s], total)


@pytest.mark.parametrize("name", PENALTIES)
def test_each_penalty_has_the_methods(name):
    layer = RNN(2, 6, num_layers=2, replicas=2).double()
    reg = make(layer, "sphere", kind=PENALTIES[name], strength=0.5)
    assert reg.penalty().shape == (2,) and reg().shape == () and [part.name for part in reg.parts] == ["weight_hh_l0", "weight_hh_l1"]
    reg().backward()
    automatic = [part.weight.grad.clone() for part in reg.parts]
    layer.zero_grad()
    reg.add_gradient_()
    torch.testing.assert_close([part.weight.grad for part in reg.parts], automatic)
    before = reg().item()
    reg.strength = 1.0
    assert math.isclose(reg().item(), 2 * before, rel_tol=1e-12, abs_tol=1e-15)
    reg.project_(), reg.freeze()
    assert reg.masks() == {}
    other = make(layer, "sphere", kind=PENALTIES[name], strength=1.0, seed=5)
    other.load_state_dict(reg.state_dict())
    torch.testing.assert_close(other(), reg())


# --- names -------------------------------------------------------------------------------------------------------------


def test_weights_of_a_model_by_name():
    model = nn.ModuleDict({"encoder": nn.Linear(3, 5), "rnn": nn.RNN(5, 4)})
    reg = make(model, weight=["encoder.weight", "rnn.weight_hh_l0"])
    torch.testing.assert_close(reg(), sum(0.1 * (part.coefficients * part.weight.abs()).mean() for part in reg.parts))
    assert reg.parts[0].weight is model["encoder"].weight and reg.parts[1].weight is model["rnn"].weight_hh_l0
    with pytest.raises(AttributeError, match=r"parts\[k\]\.embedding"):
        _ = reg.embedding


def test_a_parameter_alone():
    square, wide = nn.Parameter(torch.randn(4, 4)), nn.Parameter(torch.randn(4, 6))
    assert make(square).parts[0].layout.recurrent and make(square).column_embedding is None
    assert make(wide).column_embedding.shape == (6, 2)
    assert make(square, recurrent=False).column_embedding.shape == (4, 2)
    assert make(nn.Linear(4, 4), recurrent=True).column_embedding is None


def test_a_space_for_each_weight_or_layer():
    lstm = nn.LSTM(8, 16, num_layers=2, bidirectional=True)
    names = [part.manifold.name for part in make(lstm, ["torus", "sphere"]).parts]
    assert names == ["torus", "torus", "sphere", "sphere"]
    assert [part.manifold.name for part in make(lstm, ["torus", "sphere", "circle", "klein"]).parts] == ["torus", "sphere", "circle", "klein"]
    assert [part.manifold.name for part in make(lstm, "torus(period=20),sphere").parts][1:3] == ["torus(period=20)", "sphere"]
    with pytest.raises(ValueError, match="4 weights in 2 layers"):
        make(lstm, ["torus"] * 3)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_points_of_a_finite_space(dtype):
    torch.manual_seed(0)
    x = torch.randn(30, 3, dtype=torch.float64)
    d = torch.cdist(x, x)
    layer = nn.Linear(4, 5).to(dtype)
    reg = make(layer, DistanceMatrix(d), "diffusion")
    rows, columns = (points.flatten() for points in reg.parts[0].points)
    assert rows.dtype == torch.int64 and reg().dtype == dtype
    total = sum(d[rows[u], columns[v]].item() ** 2 * abs(layer.weight[u, v].item()) for u in range(5) for v in range(4))
    assert math.isclose(reg().item(), 0.1 * total / 20, rel_tol=1e-5)
    reg.add_gradient_(), reg.project_()
    with pytest.raises(ValueError, match="nothing lies between"):
        make(layer, DistanceMatrix(d), train_embedding=True)
    given = make(nn.RNN(2, 3), DistanceMatrix(d), embedding=torch.tensor([[0], [7], [29]]))
    torch.testing.assert_close(given.coefficients, given.inhibitor(d[[0, 7, 29]][:, [0, 7, 29]]).float())


@pytest.mark.parametrize(("layer", "weight", "message"), [
    (nn.Sequential(nn.RNN(3, 4)), None, "0.weight_hh_l0"),
    (nn.RNN(3, 4), "weight_hh_l1", "did you mean 'weight_hh_l0'"),
    (nn.RNN(3, 4), [], "name at least one"),
    (nn.RNN(3, 4), ["weight_hh_l0", "weight_hh_l0"], "each once"),
    (nn.ReLU(), None, "none"),
    (nn.LayerNorm((3, 4)), None, "none"),
    (nn.Conv2d(4, 8, 3, groups=2), None, "groups=2"),
    (nn.ConvTranspose1d(4, 8, 3, groups=4), None, "groups=4"),
    (nn.Bilinear(3, 4, 5), None, "three neurons"),
    (nn.Embedding(9, 4), None, "a table's entries"),
    (nn.EmbeddingBag(9, 4), None, "a table's entries"),
    (nn.MultiheadAttention(4, 2), None, "out_proj.weight"),
    (nn.MultiheadAttention(4, 2), "in_proj_weight", "queries, keys and values"),
    (nn.LazyLinear(4), None, "pass a batch"),
    (nn.Linear(3, 4, dtype=torch.complex64), None, "complex64"),
    (nn.Parameter(torch.randn(5)), None, r"shape \(5,\)"),
    (nn.Parameter(torch.randn(2, 3, 4, 4)), None, "outputs, inputs"),
    (nn.utils.spectral_norm(nn.Linear(3, 4)), "weight", "a hook before each forward pass"),
])
def test_what_joins_no_pairs_is_refused_by_name(layer, weight, message):
    with pytest.raises(ValueError, match=message):
        ModuliRegularizer(layer, weight=weight)


def test_tied_weights_are_penalized_once():
    a, b = nn.Linear(3, 4), nn.Linear(3, 4)
    b.weight = a.weight
    with pytest.raises(ValueError, match="one and the same"):
        ModuliRegularizer(nn.ModuleList([a, b]), weight=["0.weight", "1.weight"])
    assert list(weight_matrices(nn.ModuleList([a, b]))) == ["0.weight"]


# --- computed weights --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trained", [False, True])
def test_a_weight_under_a_parametrization(trained):
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(4, 5).double())
    reg = make(layer, "sphere", train_embedding=trained)
    originals = list(layer.parametrizations.weight.parameters())
    rows, columns = (x.detach().clone().requires_grad_() for x in reg.parts[0].points)
    oracle = 0.1 * (reg.inhibitor(reg.manifold.distance(rows, columns)) * layer.weight.abs()).mean()
    torch.testing.assert_close(reg(), oracle)
    wanted = torch.autograd.grad(oracle, [*originals, rows, columns])
    for add in (lambda: reg().backward(), reg.add_gradient_):
        layer.zero_grad(), reg.zero_grad()
        add()
        torch.testing.assert_close([p.grad for p in originals], list(wanted[:2]))
        if trained:
            torch.testing.assert_close([p.grad for p in reg.parameters()], list(wanted[2:]))
    with pytest.raises(ValueError, match="computed by the parametrization _WeightNorm"):
        reg.proximal_step_(0.1)
    with pytest.raises(ValueError, match="remove_parametrizations"):
        weight_matrices(layer)


def test_layers_stay_in_order_under_parametrizations():
    layer = RNN(2, 4, num_layers=11)
    nn.utils.parametrizations.orthogonal(layer, "weight_hh_l1")
    reg = make(layer, ["torus"] * 10 + ["sphere"])
    assert [part.name for part in reg.parts] == [f"weight_hh_l{k}" for k in range(11)] and reg.parts[10].manifold.name == "sphere"
    torch.testing.assert_close(reg(), sum(0.1 * (part.coefficients * part.weight.abs()).mean() for part in reg.parts))
    reg.add_gradient_()
    assert layer.parametrizations.weight_hh_l1.original.grad.abs().sum() > 0


# --- prices ------------------------------------------------------------------------------------------------------------


def test_coefficients_of_ones_own():
    lstm = nn.LSTM(2, 3).double()
    for shape in ((3, 3), (12, 3)):
        c = torch.rand(shape, generator=seeded(), dtype=torch.float64)
        reg = ModuliRegularizer(lstm, strength=1.0, coefficients=c)
        whole = c if len(c) == 12 else c.repeat(4, 1)
        torch.testing.assert_close(reg(), (whole * lstm.weight_hh_l0.abs()).mean())
        reg.add_gradient_()
        torch.testing.assert_close(lstm.weight_hh_l0.grad, whole * lstm.weight_hh_l0.sign() / 36)
        lstm.zero_grad()
    many = RNN(2, 3, replicas=2)
    c = torch.rand(2, 3, 3, generator=seeded())
    torch.testing.assert_close(ModuliRegularizer(many, coefficients=c, strength=1.0).penalty(), (c * many.weight_hh_l0.abs()).mean((1, 2)))
    torch.testing.assert_close(make(many, kind=PENALTIES["l1"], coefficients=c).coefficients, c.mean((1, 2), keepdim=True).expand_as(c))


@pytest.mark.parametrize(("c", "error", "message"), [
    (torch.rand(3, 2), ValueError, r"needs \(4, 4\)"), (-torch.ones(4, 4), ValueError, "negative or NaN"), (torch.full((4, 4), torch.nan), ValueError, "negative or NaN"),
    ([[1.0]], TypeError, "give a tensor"), (torch.ones(4, 4, dtype=torch.bool), TypeError, "torch.bool"),
])
def test_coefficients_that_are_refused(c, error, message):
    with pytest.raises(error, match=message):
        ModuliRegularizer(nn.RNN(2, 4), coefficients=c)


@pytest.mark.parametrize("name", ["moduli", "l1", "l2", "shuffled", "distance_shuffled"])
def test_infinite_prices_are_masks_and_a_finite_penalty(name):
    lstm = nn.LSTM(2, 4)
    reg = make(lstm, "torus", "independent", kind=PENALTIES[name])  # free at distance 0, infinite elsewhere
    mask = reg.masks()["weight_hh_l0"]
    assert mask.shape == (16, 4) and mask.sum() == 16 and mask.dtype == torch.bool
    if name != "shuffled":
        assert torch.equal(mask, torch.eye(4, dtype=torch.bool).repeat(4, 1))
    assert reg().item() == 0
    reg.add_gradient_()
    assert (lstm.weight_hh_l0.grad == 0).all()
    before = lstm.weight_hh_l0.detach().clone()
    reg.proximal_step_(0.1)
    assert torch.equal(lstm.weight_hh_l0, before * mask)
    other = make(lstm, "torus", kind=PENALTIES[name])
    other.load_state_dict(reg.state_dict())
    assert torch.equal(other.masks()["weight_hh_l0"], mask) and other().isfinite()


@pytest.mark.parametrize("value", [math.nan, -1.0])
def test_prices_that_make_no_sense_are_refused_by_name(value):
    class Wrong(Inhibitor):
        def evaluate(self, d):
            return torch.full_like(d, value)

    with pytest.raises(ValueError, match="Wrong"):
        make(nn.RNN(2, 4), "torus", Wrong())

    class Worse(ModuliRegularizer):
        def price(self, distances, generator):
            return torch.full_like(distances, value)

    with pytest.raises(ValueError, match="Worse"):
        make(nn.RNN(2, 4), kind=Worse)


# --- trained embeddings ------------------------------------------------------------------------------------------------


def test_an_inhibitor_that_clumps_warns_and_one_that_collapses_is_refused():
    with pytest.warns(UserWarning, match="clump"):
        make(nn.RNN(2, 4), "torus", "ricker", train_embedding=True)
    for f in ("diffusion", "gaussian", "constant", "independent"):
        with pytest.raises(ValueError, match="train_embedding"):
            make(nn.RNN(2, 4), "torus", f, train_embedding=True)


def test_a_gradient_that_is_not_finite_is_said():
    class Edge(Inhibitor):
        def evaluate(self, d):
            return (d - 1).abs() + 1e-3 * (d.detach() - d).abs().sqrt()  # no slope anywhere

    layer = nn.RNN(2, 4)
    reg = make(layer, "torus", Edge(), train_embedding=True)
    for add in (lambda: reg().backward(), reg.add_gradient_):
        with pytest.raises(ValueError, match="gradient that is not finite"):
            add()
    layer.weight_hh_l0.data.fill_(torch.nan)  # a network that diverged is no fault of the inhibitor
    make(layer, "torus", train_embedding=True).add_gradient_()


@pytest.mark.parametrize("value", [1, "yes", None])
def test_train_embedding_is_a_bool(value):
    with pytest.raises(TypeError, match="True or False"):
        ModuliRegularizer(nn.RNN(2, 4), train_embedding=value)


def test_a_trained_embedding_in_a_model_is_no_weight():
    model = nn.Module()
    model.rnn = nn.RNN(3, 8)
    model.reg = ModuliRegularizer(model.rnn, "sphere", train_embedding=True)
    assert "reg.parts.0.embedding" in dict(model.named_parameters())
    assert list(weight_matrices(model)) == ["rnn.weight_ih_l0", "rnn.weight_hh_l0"]
    again = copy.deepcopy(model)
    assert again.reg.weight is again.rnn.weight_hh_l0
    torch.testing.assert_close(pickle.loads(pickle.dumps(model)).reg(), model.reg())


# --- the exact step ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("kind", ["rnn", "linear", "conv2d", "transposed"])
def test_proximal_step_is_the_minimum(kind, power):
    torch.manual_seed(0)
    build, weights = LAYERS[kind]
    layer = build().double()
    reg = make(layer, "torus", strength=0.5, power=power)
    (part,) = reg.parts
    before = part.weight.detach().clone()
    reg.proximal_step_(0.8)
    (name, (rows, columns, _, entries)), = weights.items()
    grid = torch.linspace(0, 1.2, 12001, dtype=torch.float64)
    for u in range(rows):
        for v in range(columns):
            for old, new in zip(entries(before, u, v), entries(getattr(layer, name).detach(), u, v), strict=True):
                cost = (grid * old.norm() - old.norm()) ** 2 / 2 + 0.8 * 0.5 / (rows * columns) * part.coefficients[u, v] * (grid * old.norm()) ** power
                torch.testing.assert_close(new, grid[cost.argmin()] * old, atol=2e-4, rtol=0)


def test_proximal_step_refuses_what_has_no_closed_form():
    before = (layer := nn.RNN(2, 4)).weight_hh_l0.detach().clone()
    for options, message in (({"power": 1.5}, "power=1.5"), ({"kind": PENALTIES["sernn"]}, "SeRNN")):
        with pytest.raises(ValueError, match=message):
            make(layer, **options).proximal_step_(0.1)
    for lr in (-1, math.nan, True):
        with pytest.raises(ValueError, match="lr is"):
            make(layer).proximal_step_(lr)
    assert torch.equal(layer.weight_hh_l0, before)


# --- half precision ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", ["rnn", "linear", "conv2d"])
def test_half_precision_is_summed_in_float32(kind, dtype):
    torch.manual_seed(0)
    layer = LAYERS[kind][0]().to(dtype)
    same = copy.deepcopy(layer).float()
    (name,) = LAYERS[kind][1]
    for trained in (False, True):
        reg = make(layer, strength=5.0, train_embedding=trained)
        other = make(same, strength=5.0, train_embedding=trained)
        assert reg().dtype == torch.float32 and reg.embedding.dtype == torch.float32
        torch.testing.assert_close(reg(), other())
        for add in (lambda r: r().backward(), lambda r: r.add_gradient_()):
            layer.zero_grad(), same.zero_grad()
            add(reg), add(other)
            assert getattr(layer, name).grad.dtype == dtype
            torch.testing.assert_close(getattr(layer, name).grad, getattr(same, name).grad.to(dtype))
    model = nn.ModuleList([same, reg := make(same, strength=5.0, train_embedding=True)]).to(dtype)  # a regularizer in a model that is converted
    assert model[0].weight.dtype == dtype if kind != "rnn" else True
    assert reg.embedding.dtype == reg().dtype == torch.float32
    ones = nn.Parameter(torch.ones(200, 200, dtype=torch.float16))
    assert ModuliRegularizer(ones, coefficients=torch.ones(200, 200), strength=40_000.0)().item() == 40_000


def test_the_order_of_unscale_and_add_gradient():
    layer, scaler = nn.RNN(2, 4), torch.amp.GradScaler("cpu", init_scale=1024.0)
    optimizer, reg = torch.optim.SGD(layer.parameters(), 0.1), make(layer)
    scaler.scale(layer(torch.ones(3, 1, 2))[0].sum()).backward()
    scaled = layer.weight_hh_l0.grad.clone()
    with pytest.raises(ValueError, match="unscale_"):
        reg.add_gradient_(scaler)
    assert torch.equal(layer.weight_hh_l0.grad, scaled)
    scaler.unscale_(optimizer)
    reg.add_gradient_(scaler)
    torch.testing.assert_close(layer.weight_hh_l0.grad, scaled / 1024 + reg.coefficients * layer.weight_hh_l0.detach().sign() * 0.1 / 16)
    scaler.step(optimizer), scaler.update()
    with pytest.raises(ValueError, match="unscale_"):
        reg.add_gradient_(scaler)
    reg.add_gradient_(torch.amp.GradScaler("cpu", enabled=False))
    with pytest.raises(TypeError, match="GradScaler"):
        reg.add_gradient_(optimizer)


def test_autocast_leaves_the_penalty_alone():
    layer = nn.RNN(2, 6)
    for name in ("moduli", "sernn"):
        reg = make(layer, "sphere", kind=PENALTIES[name])
        with torch.autocast("cpu", torch.bfloat16):
            inside = reg()
        assert torch.equal(inside, reg())


# --- arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"strength": math.nan}, ValueError, "strength"), ({"strength": -1}, ValueError, "strength"), ({"strength": True}, ValueError, "strength"), ({"strength": math.inf}, ValueError, "strength"),
    ({"power": 0.5}, ValueError, "power"), ({"power": math.inf}, ValueError, "power"), ({"power": "2"}, ValueError, "power"), ({"power": True}, ValueError, "power"),
    ({"compiled": 1}, TypeError, "compiled"), ({"compiled": True, "train_embedding": True, "power": 2}, ValueError, "power 1"),
    ({"coefficients": torch.ones(4, 4), "train_embedding": True}, ValueError, "no points"), ({"embedding": [torch.zeros(4, 2), torch.zeros(4, 2)]}, TypeError, "list"),
])
def test_bad_arguments(options, error, message):
    with pytest.raises(error, match=message):
        ModuliRegularizer(nn.RNN(2, 4), **options)


def test_embeddings_of_several_weights_are_a_list():
    stack = nn.RNN(2, 4, num_layers=2)
    points = [torch.full((4, 2), 1.0), torch.full((4, 2), 2.0)]
    assert torch.equal(ModuliRegularizer(stack, embedding=points).parts[1].embedding, points[1])
    with pytest.raises(TypeError, match="give a list"):
        ModuliRegularizer(stack, embedding=points[0])
    with pytest.raises(ValueError, match="give a pair"):
        ModuliRegularizer(nn.Linear(3, 4), embedding=torch.zeros(4, 2))


def test_strength_is_checked_whenever_it_is_set():
    reg = make(nn.RNN(2, 4))
    for value in (math.nan, -1, True, "1", None):
        with pytest.raises(ValueError, match="strength"):
            reg.strength = value
    assert reg.strength == 0.1
    reg.strength = 0
    assert reg().item() == 0


def test_frozen_weights_are_refused():
    layer = nn.RNN(2, 4)
    layer.weight_hh_l0.requires_grad_(False)
    with pytest.raises(ValueError, match="frozen"):
        make(layer)
    make(layer, train_embedding=True)


def test_ramps():
    for kind in RAMPS:
        values = [ramp(k / 10, kind) for k in range(11)]
        assert values == sorted(values) and values[-1] == 1 and (values[0] == 0 or kind == "constant")
    assert ramp(0.5, "linear") == 0.5
    for share, kind in ((2, "linear"), (-0.1, "linear"), (math.nan, "linear"), (0.5, "steep")):
        with pytest.raises(ValueError, match=r"share|kind"):
            ramp(share, kind)


# --- the rivals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_sernn_against_scipy(dtype):
    torch.manual_seed(0)
    layer = nn.GRU(2, 6).to(dtype)
    reg = make(layer, "sphere", kind=PENALTIES["sernn"], strength=1.0)
    d, w = reg.manifold.distance(reg.embedding).double().numpy(), layer.weight_hh_l0.detach().double().abs().numpy()
    total = 0.0
    for gate in range(3):
        size = w[6 * gate : 6 * gate + 6]
        root = 1 / size.sum(0) ** 0.5  # what leaves each neuron: columns are where a connection comes from
        joined = scipy.linalg.expm(root[:, None] * size * root)
        for u in range(6):
            for v in range(6):
                total += size[u, v] * d[u, v] * (joined[u, v] if u != v else 0)
    assert math.isclose(reg().item(), total / 108, rel_tol=1e-4 if dtype == torch.float32 else 1e-9)


def test_sernn_gradient():
    size = torch.rand(2, 1, 5, 5, generator=seeded(), dtype=torch.float64)
    assert torch.autograd.gradcheck(communicability, size.requires_grad_())
    layer = nn.RNN(2, 5).double()
    layer.weight_hh_l0.data[:, 2] = 0  # a neuron that nothing leaves
    reg = make(layer, kind=PENALTIES["sernn"])
    reg.add_gradient_()
    assert reg().isfinite() and layer.weight_hh_l0.grad.isfinite().all()


@pytest.mark.parametrize("seed", range(3))
def test_sernn_makes_modules_and_l1_does_not(seed):
    "Newman's modularity of what is left of the same random weights, shrunk to a third, by penalties that begin at the same value (Achterberg et al. 2023, figure 2)"
    start, points, found = torch.randn(50, 50, generator=seeded(seed)) / 50**0.5, manifold("sphere").sample(50, seeded(seed + 9)), {}
    for name in ("l1", "sernn"):
        weight = nn.Parameter(start.clone())
        reg = PENALTIES[name](weight, "sphere", embedding=points)
        reg.strength = 0.05 / reg().item()
        for _ in range(3000):
            weight.grad = None
            reg.add_gradient_()
            weight.data.sub_(weight.grad)
            if weight.abs().sum() < start.abs().sum() / 3:
                break
        else:
            pytest.fail("the penalty does not shrink the weights")
        graph = networkx.from_numpy_array((weight.detach().abs() + weight.detach().abs().T).fill_diagonal_(0).numpy())
        found[name] = networkx.community.modularity(graph, networkx.community.louvain_communities(graph, seed=0))
    assert found["sernn"] > 1.3 * found["l1"], found


@pytest.mark.parametrize("layer", [nn.Linear(3, 4), nn.Conv1d(3, 3, 2)], ids=lambda layer: type(layer).__name__)
def test_sernn_is_for_recurrent_weights(layer):
    with pytest.raises(ValueError, match="recurrent"):
        PENALTIES["sernn"](layer)


@pytest.mark.parametrize("layer", [nn.RNN(2, 30), RNN(2, 30, replicas=2), nn.Linear(20, 30)], ids=lambda layer: type(layer).__name__)
def test_what_the_controls_keep(layer):
    regs = {name: make(layer, kind=kind) for name, kind in PENALTIES.items() if name != "sernn"}
    each = {name: reg.coefficients.reshape(-1, *reg.coefficients.shape[-2:]) for name, reg in regs.items()}
    moduli = each["moduli"]
    for name in ("l1", "l2"):
        torch.testing.assert_close(each[name], moduli.mean((1, 2), keepdim=True).expand_as(moduli))
    assert regs["l2"].parts[0].power == 2
    assert torch.equal(each["shuffled"].flatten(1).sort(1).values, moduli.flatten(1).sort(1).values)
    for rows in (moduli, each["distance_shuffled"]):
        assert sorted(tuple(row) for row in rows[0].sort(1).values.tolist()) == sorted(tuple(row) for row in moduli[0].sort(1).values.tolist())
    if regs["moduli"].parts[0].layout.recurrent:
        assert torch.equal(each["distance_shuffled"].diagonal(dim1=1, dim2=2), moduli.diagonal(dim1=1, dim2=2))
        assert torch.equal(each["distance_shuffled"], each["distance_shuffled"].mT)
    for name in ("shuffled", "distance_shuffled"):
        assert not torch.equal(each[name], moduli)


def test_a_new_penalty_is_a_few_lines(monkeypatch):
    class Wire(ModuliRegularizer):
        def price(self, distances, generator):
            return distances

    class Silence(ModuliRegularizer):
        def total(self, size, coefficients):
            return (size * coefficients).norm(dim=-1).sum((-2, -1))

    monkeypatch.setitem(PENALTIES, "wire", Wire)
    layer = RNN(2, 5, replicas=2).double()
    reg = make(layer, "sphere", kind=PENALTIES["wire"])
    torch.testing.assert_close(reg.penalty(), 0.1 * (reg.manifold.distance(reg.embedding) * layer.weight_hh_l0.abs()).mean((1, 2)))
    for options in ({}, {"train_embedding": True}):
        reg = make(layer, "sphere", kind=Silence, **options)
        torch.testing.assert_close(reg.penalty(), 0.1 * (reg.coefficients * layer.weight_hh_l0.abs()).norm(dim=2).sum(1) / 25)
        reg.add_gradient_()
        assert not options or reg.embedding.grad.isfinite().all()
    with pytest.raises(ValueError, match="only ModuliRegularizer trains"):
        make(layer, kind=Wire, train_embedding=True)


# --- weights -----------------------------------------------------------------------------------------------------------


def test_weight_matrices_are_weights():
    model = nn.ModuleDict({
        "words": nn.Embedding(9, 4), "norm": nn.LayerNorm((3, 4)), "batch": nn.BatchNorm1d(4), "attention": nn.MultiheadAttention(4, 2, add_bias_kv=True),
        "rnn": nn.LSTM(4, 5, proj_size=2), "conv": nn.Conv2d(1, 2, 3), "out": nn.Linear(2, 9),
    })
    assert list(weight_matrices(model)) == [
        "words.weight", "attention.in_proj_weight", "attention.out_proj.weight", "rnn.weight_ih_l0", "rnn.weight_hh_l0", "rnn.weight_hr_l0", "conv.weight", "out.weight"]
    assert list(weight_matrices(model, parameters=["out.weight"])) == ["out.weight"]
    many = nn.ModuleDict({"rnn": RNN(2, 3, replicas=2), "out": Linear(3, 1, replicas=2)})
    assert list(weight_matrices(many, 2)) == list(weight_matrices(many)) == ["rnn.weight_ih_l0", "rnn.weight_hh_l0", "out.weight"]
    with pytest.raises(ValueError, match="dimension 0 must be 3"):
        weight_matrices(many, 3)


def test_layouts_of_input_weights():
    gru = nn.GRU(3, 4)
    (slot,) = find_weights(gru, "weight_ih_l0")
    assert (layout(slot).rows, layout(slot).columns, layout(slot).gates, layout(slot).recurrent) == (4, 3, 3, False)
    assert layout(slots(nn.GRU(4, 4))["weight_ih_l0"]).recurrent is False


def test_what_a_reader_is_told_is_no_code():
    "Penalties, conditions and sparsifiers by a name that differs from all others' and could stand in a sentence"
    names = {*PENALTIES, *CONDITIONS, *SPARSIFIERS}
    told = {name: display_name(name) for name in names}
    assert len({*told.values()}) == len(names) and not any("_" in words or words in ("none", "l1", "klein") for words in told.values())
    assert label_of(NavigationConfig(scale="tiny", device="cpu", penalty="distance_shuffled")).startswith("shuffled neurons, ")
