"""The penalty against a double loop, its gradients against automatic differentiation, on every manifold."""

import math
import shutil

import pytest
import torch
from torch import nn

from modreg.geometry.inhibitors import INHIBITORS, Inhibitor, inhibitor
from modreg.geometry.manifolds import MANIFOLDS
from modreg.sparsity.fused import _Penalty
from modreg.sparsity.penalties import PENALTIES
from modreg.sparsity.regularizer import ModuliRegularizer, equal_pull

NAMES = [*MANIFOLDS, "r3", "s3"]


class Bare(nn.Module):
    """A layer that is nothing but a recurrent weight."""

    def __init__(self, *shape, dtype=torch.float64):
        super().__init__()
        self.weight_hh_l0 = nn.Parameter(torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype))


class Tent(Inhibitor):
    """An inhibitor that knows no slope of its own."""

    def evaluate(self, d):
        return (d - 1).abs()


def make(layer, *args, seed=1, penalty="moduli", **options):
    return PENALTIES[penalty](layer, *args, generator=torch.Generator().manual_seed(seed), **options)


@pytest.mark.parametrize("space", sorted(set(NAMES)))
@pytest.mark.parametrize("f", [name for name in INHIBITORS])
def test_value_is_the_double_loop(space, f):
    layer = Bare(6, 6)
    reg = make(layer, space, f, strength=0.7)
    total = 0.0
    for u in range(6):
        for v in range(6):
            d = reg.manifold.distance(reg.embedding[u : u + 1], reg.embedding[v : v + 1])[0, 0]
            price = inhibitor(f)(d).item()
            total += price * abs(layer.weight_hh_l0[u, v].item()) if price < math.inf else 0  # what must be zero is not paid for
            assert f != "independent" or reg.masks()["weight_hh_l0"][u, v] == (price < math.inf)
    assert math.isclose(reg().item(), 0.7 * total / 36, rel_tol=1e-9, abs_tol=1e-12)


@pytest.mark.parametrize("tile", [3, 512])
@pytest.mark.parametrize("space", sorted(set(NAMES)))
def test_gradients_are_those_of_automatic_differentiation(space, tile, monkeypatch):
    monkeypatch.setattr("modreg.sparsity.fused.TILE", tile)
    layer = Bare(10, 10)
    fixed = make(layer, space, strength=0.3)
    trained = make(layer, space, strength=0.3, embedding=fixed.embedding, train_embedding=True)
    places = fixed.embedding.clone().requires_grad_()
    f = fixed.inhibitor(fixed.manifold.distance(places))
    oracle = 0.3 * (f * layer.weight_hh_l0.abs()).mean()
    slope, pull = torch.autograd.grad(oracle, (layer.weight_hh_l0, places))
    for reg in (fixed, trained):
        torch.testing.assert_close(reg(), oracle, atol=1e-12, rtol=1e-12)
        torch.testing.assert_close(torch.autograd.grad(2 * reg(), layer.weight_hh_l0)[0], 2 * slope, atol=1e-12, rtol=1e-12)
        layer.zero_grad()
        reg.add_gradient_()
        reg.add_gradient_()  # adds to what is there
        torch.testing.assert_close(layer.weight_hh_l0.grad, 2 * slope, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(trained.embedding.grad, 2 * pull, atol=1e-10, rtol=1e-8)
    torch.testing.assert_close(torch.autograd.grad(2 * trained(), trained.embedding)[0], 2 * pull, atol=1e-10, rtol=1e-8)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # of torch, when it first compiles
@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="torch.compile wants a C++ compiler, and there is none")
@pytest.mark.parametrize(("space", "f", "shape"), [
    ("klein", "difference_of_gaussians", (9, 9)), ("circle", "difference_of_gaussians", (2, 18, 9)), ("torus", Tent(), (9, 9)),
    pytest.param("sphere", "difference_of_gaussians", (9, 9), marks=pytest.mark.slow),  # a minute of compiling
])
def test_a_compiled_loop_has_the_same_gradients(space, f, shape, monkeypatch):
    monkeypatch.setattr("modreg.sparsity.fused.ROWS", 5)
    layer = Bare(*shape)
    reg = make(layer, space, f, strength=0.3, train_embedding=True)
    reg.add_gradient_()
    slope, pull = layer.weight_hh_l0.grad.clone(), reg.embedding.grad.clone()
    same = make(layer, space, f, strength=0.3, embedding=reg.embedding.detach(), train_embedding=True, compiled=True)
    layer.zero_grad()
    same.add_gradient_()
    torch.testing.assert_close(layer.weight_hh_l0.grad, slope, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(same.embedding.grad, pull, atol=1e-10, rtol=1e-8)
    torch.testing.assert_close(torch.autograd.grad(2 * same(), same.embedding)[0], 2 * pull, atol=1e-10, rtol=1e-8)


def test_trained_gradient_against_finite_differences():
    for f in ("difference_of_gaussians", "sinusoid"):
        layer = Bare(10, 5)  # two gates
        reg = make(layer, "klein", f, train_embedding=True, seed=3)
        assert torch.autograd.gradcheck(lambda w, p, part=reg.parts[0]: _Penalty.apply(w, p, None, part, 0.1 / 50), (layer.weight_hh_l0, reg.embedding))


@pytest.mark.parametrize("space", ["sphere", "torus"])
def test_an_inhibitor_of_ones_own_learns_too(space):
    layer = Bare(9, 9)
    reg = make(layer, space, Tent(), train_embedding=True)
    places = reg.embedding.detach().clone().requires_grad_()
    naive = 0.1 * (reg.inhibitor(reg.manifold.distance(places)) * layer.weight_hh_l0.abs()).mean()
    (pull,) = torch.autograd.grad(naive, places)
    reg.add_gradient_()
    torch.testing.assert_close(reg.embedding.grad, pull, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("shape", [(7, 7), (21, 7), (2, 14, 7)], ids=str)
@pytest.mark.parametrize("trained", [False, True])
def test_proximal_step_is_the_minimum(shape, trained):
    layer = Bare(*shape)
    reg = make(layer, strength=2.0, train_embedding=trained)
    before, places = layer.weight_hh_l0.detach().clone(), reg.embedding.detach().clone()
    gates = before.unflatten(-2, (-1, 7))
    price = 2.0 * 0.3 * reg.coefficients.unsqueeze(-3) / gates[(0,) * (before.dim() - 2)].numel()
    grid = torch.linspace(-4, 4, 8001, dtype=torch.float64)
    best = grid[((grid - gates[..., None]) ** 2 / 2 + price[..., None] * grid.abs()).argmin(-1)]
    reg.proximal_step_(lr=0.3)
    after = layer.weight_hh_l0.detach()
    assert ((after.unflatten(-2, (-1, 7)) - best).abs() <= 1e-3).all()
    assert torch.equal(after == 0, (gates.abs() <= price).view_as(after)) and (after == 0).any() and (after != 0).any()
    assert torch.equal(reg.embedding, places)


def test_gradients_go_only_where_they_are_wanted():
    layer = Bare(6, 6)
    layer.weight_hh_l0.requires_grad_(False)
    reg = make(layer, train_embedding=True)
    reg.add_gradient_()
    assert layer.weight_hh_l0.grad is None and (reg.embedding.grad != 0).any()


@pytest.mark.parametrize("options", [{"penalty": name} for name in PENALTIES] + [{"train_embedding": True}], ids=str)
def test_replicas_are_single_regularizers(options):
    many = Bare(3, 7, 7)
    reg = make(many, "sphere", strength=0.2, **options)
    each, (grad,) = reg.penalty(), torch.autograd.grad(reg(), many.weight_hh_l0)
    assert each.shape == (3,) and torch.isclose(reg(), each.sum())
    for s in range(3):
        one = Bare(7, 7)
        one.weight_hh_l0.data.copy_(many.weight_hh_l0[s])
        single = make(one, "sphere", strength=0.2, embedding=reg.embedding[s].detach(), **options)
        if "shuffled" in options.get("penalty", ""):
            single.coefficients.copy_(reg.coefficients[s])
        torch.testing.assert_close(single(), each[s])
        torch.testing.assert_close(torch.autograd.grad(single(), one.weight_hh_l0)[0], grad[s])


def test_controls_keep_values_and_mean():
    layer = Bare(2, 30, 30)
    regs = {name: make(layer, penalty=name) for name in PENALTIES}
    moduli = regs["moduli"].coefficients
    assert torch.equal(regs["shuffled"].coefficients.flatten(1).sort(1).values, moduli.flatten(1).sort(1).values)
    assert not torch.equal(regs["shuffled"].coefficients, moduli)
    torch.testing.assert_close(regs["l1"].coefficients.mean((1, 2)), moduli.mean((1, 2)))
    assert (regs["l1"].coefficients.amax((1, 2)) == regs["l1"].coefficients.amin((1, 2))).all()
    assert regs["none"]().item() == 0


@pytest.mark.parametrize("layer", [nn.RNN(3, 6), nn.GRU(3, 6), nn.LSTM(3, 6)], ids=lambda layer: type(layer).__name__)
@pytest.mark.parametrize("trained", [False, True])
def test_gates_share_coefficients(layer, trained):
    reg = make(layer, strength=0.5, train_embedding=trained)
    f = reg.inhibitor(reg.manifold.distance(reg.embedding.detach()))
    oracle = 0.5 * (f.repeat(len(layer.weight_hh_l0) // 6, 1) * layer.weight_hh_l0.abs()).mean()
    torch.testing.assert_close(reg(), oracle)


@pytest.mark.parametrize("trained", [False, True])
def test_gates_of_replicas(trained):
    many = Bare(3, 12, 4)  # as many gates as replicas, so that a mix-up would not show in the shapes
    reg = make(many, strength=0.5, train_embedding=trained)
    each = reg.penalty()
    for s in range(3):
        one = Bare(12, 4)
        one.weight_hh_l0.data.copy_(many.weight_hh_l0[s])
        single = make(one, strength=0.5, embedding=reg.embedding[s].detach(), train_embedding=trained)
        torch.testing.assert_close(single(), each[s])


def test_trained_gates_follow_automatic_differentiation():
    layer = Bare(12, 4)
    reg = make(layer, strength=0.5, train_embedding=True)
    places = reg.embedding.detach().clone().requires_grad_()
    oracle = 0.5 * (reg.inhibitor(reg.manifold.distance(places)).repeat(3, 1) * layer.weight_hh_l0.abs()).mean()
    for mine, theirs in zip(torch.autograd.grad(reg(), (layer.weight_hh_l0, reg.embedding)),
                            torch.autograd.grad(oracle, (layer.weight_hh_l0, places)), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_coefficients_follow_the_places():
    reg = make(Bare(6, 6), train_embedding=True)
    assert set(reg.state_dict()) == {"embedding"}
    with torch.no_grad():
        reg.embedding.add_(1e-2 * torch.randn(6, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    now = reg.coefficients
    assert torch.equal(now, reg.inhibitor(reg.manifold.distance(reg.embedding.detach()))) and not now.requires_grad
    reg.freeze()
    assert torch.equal(reg.coefficients, now)
    assert set(reg.state_dict()) == {"embedding", "coefficients"}


def test_an_embedding_that_is_rounded_stays_on_the_manifold():
    edge = torch.full((8, 2), 10 - 1e-9, dtype=torch.float64).requires_grad_()  # 10 in float32, which is 0 on the torus
    reg = ModuliRegularizer(nn.RNN(3, 8), embedding=edge)
    assert reg.manifold.check(reg.embedding) == (True, "")
    assert not reg.embedding.requires_grad


def test_layers_are_modules_and_embeddings_tensors():
    with pytest.raises(TypeError, match="Module, or a Parameter"):
        ModuliRegularizer(5)
    with pytest.raises(TypeError, match="give a tensor"):
        ModuliRegularizer(nn.RNN(3, 8), embedding=torch.zeros(8, 2).numpy())


def test_a_square_linear_layer_and_a_cell_are_recurrent():
    for layer, weight in ((nn.Linear(8, 8), "weight"), (nn.GRUCell(3, 8), "weight_hh")):
        assert ModuliRegularizer(layer, weight=weight)() > 0


def test_state_dict_restores_and_freeze_holds():
    layer = Bare(8, 8)
    for options in ({}, {"penalty": "shuffled"}, {"train_embedding": True}):
        reg, other = make(layer, **options), make(layer, seed=9, **options)
        assert reg() != other()
        other.load_state_dict(reg.state_dict())
        torch.testing.assert_close(reg(), other(), atol=0, rtol=0)
    before = reg().detach()
    reg.freeze()
    torch.testing.assert_close(reg(), before)
    assert not list(reg.parameters())
    assert all("weight" not in key for key in reg.state_dict())


@pytest.mark.parametrize("space", ["circle", "sphere", "torus", "klein", "torus6", "s3"])
def test_trained_places_stay_on_the_manifold(space):
    layer = Bare(20, 20, dtype=torch.float32)
    reg = make(layer, space, strength=1.0, train_embedding=True)
    optimizer = torch.optim.Adam(reg.parameters(), lr=0.5)
    start = reg().item()
    for _ in range(30):
        optimizer.zero_grad()
        reg().backward()
        optimizer.step()
        reg.project_()
        assert reg.manifold.check(reg.embedding.detach()) == (True, "")
    assert reg().item() < start


def test_equal_pull():
    assert equal_pull(0.1, 4096) == 0.1
    assert math.isclose(equal_pull(0.1, 256) / 256**2, 0.1 / 4096**2)
    for arguments in ((0.1, 0), (0.1, True), (0.1, 2.5), (0.1, 10, "many")):
        with pytest.raises(ValueError, match="at least 1"):
            equal_pull(*arguments)
    for strength in (-1.0, float("nan"), float("inf"), "0.1", True):
        with pytest.raises(ValueError, match="at least 0"):
            equal_pull(strength, 10)


@pytest.mark.parametrize(("options", "message"), [
    ({"inhibitor": "diffusion", "train_embedding": True}, "collapses"), ({"inhibitor": "constant", "train_embedding": True}, "no gradient"),
    ({"compiled": True}, "only trained points"), ({"strength": float("nan")}, "at least 0"), ({"strength": "0.1"}, "at least 0"),
    ({"weight": "weight_hh_l7"}, "Its weight matrices are"), ({"embedding": torch.zeros(3, 2)}, r"\(8, 2\)"),
    ({"embedding": torch.full((8, 2), 11.0)}, "not on"),
])
def test_mistakes(options, message):
    with pytest.raises(ValueError, match=message):
        ModuliRegularizer(nn.RNN(3, 8), **options)
