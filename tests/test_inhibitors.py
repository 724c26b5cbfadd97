"""Properties that every inhibitor must have, in float32 and float64."""

import math
import pickle
from dataclasses import dataclass

import pytest
import torch

from modreg.geometry.inhibitors import (
    INHIBITORS,
    Constant,
    DifferenceOfGaussians,
    Diffusion,
    Gaussian,
    Independent,
    Inhibitor,
    Ricker,
    Sinusoid,
    covering_radius,
    inhibitor,
    matched,
    matched_covering,
    mean_coefficient,
    register_inhibitor,
)
from modreg.geometry.checks import check_inhibitor
from modreg.geometry.manifolds import Circle, Torus, manifold
from modreg.sparsity.regularizer import ModuliRegularizer

SHAPES = [*(f for f in INHIBITORS.values() if not isinstance(f, Independent)), DifferenceOfGaussians(1., 2., 3.), Ricker(.3), Ricker(4.), Gaussian(3., .5), Constant(7.)]
shapes = pytest.mark.parametrize("f", SHAPES, ids=str)
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


@shapes
@dtypes
def test_never_negative_and_keeps_shape_and_dtype(f, dtype):
    d = torch.linspace(0, 60, 300_000, dtype=dtype).reshape(3, -1)
    price = f(d)
    assert price.shape == d.shape and price.dtype == dtype
    assert torch.isfinite(price).all() and (price >= 0).all()


@shapes
@dtypes
def test_slope_is_finite_and_zero_at_zero(f, dtype):
    d = torch.tensor([0., 1e-30, 1e-6, .9, 40.], dtype=dtype, requires_grad=True)
    slope, = torch.autograd.grad(f(d).sum(), d)
    assert torch.isfinite(slope).all() and slope[0] == 0


@shapes
def test_gradcheck(f):
    d = torch.tensor([.05, .3, .7, 1.1, 2., 5.], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(f, d)


@pytest.mark.parametrize("f", [f for f in SHAPES if hasattr(f, "maximum")], ids=str)
def test_maximum_is_analytic_and_right(f):
    d = torch.linspace(0, 20, 2_000_001, dtype=torch.float64)
    wave = f.maximum - f.evaluate(d)
    assert wave.max().item() == pytest.approx(f.maximum, rel=1e-9)
    assert wave.max().item() <= f.maximum * (1 + 1e-14)


def test_difference_of_gaussians_against_equation_8():
    f = DifferenceOfGaussians()
    def g(d): return 100 * (math.exp(-d**2 / 5) - math.exp(-4 * d**2))
    best = max(g(k / 1e5) for k in range(200_000))
    d = torch.tensor([0., .1, .5, f.free_distance, 1., 3., 30.], dtype=torch.float64)
    torch.testing.assert_close(f(d), torch.tensor([best - g(x) for x in d.tolist()], dtype=torch.float64), rtol=1e-7, atol=1e-6)
    assert f(d[3:4]).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("s", [.3, 1., 4.])
def test_ricker_against_equation_7(s):
    f, d = Ricker(s), torch.linspace(0, 10, 1001, dtype=torch.float64)
    def psi(d): return 2 / (math.sqrt(3 * s) * math.pi**.25) * (1 - d**2 / s**2) * math.exp(-d**2 / (2 * s**2))
    truth = torch.tensor([psi(0) - psi(x) for x in d.tolist()], dtype=torch.float64)
    torch.testing.assert_close(f(d), truth, rtol=1e-12, atol=1e-12)
    assert d[f(d).argmax()].item() == pytest.approx(math.sqrt(3) * s, abs=.006)


def test_closed_forms_of_the_others():
    d = torch.linspace(0, 7, 50, dtype=torch.float64)
    torch.testing.assert_close(Diffusion()(d), d * d)
    torch.testing.assert_close(Sinusoid()(d), 100 * torch.cos(d) ** 2)
    torch.testing.assert_close(Gaussian(3., .5)(d), 3 * (1 - torch.exp(-2 * d**2)))
    assert torch.equal(Constant(2.)(d), torch.full_like(d, 2))


def test_small_distances_are_kept():
    d = torch.tensor([1e-10], dtype=torch.float64)
    assert Gaussian(100., 1.)(d).item() == pytest.approx(50e-20, rel=1e-9)
    ricker = Ricker(1.)
    assert ricker(d).item() == pytest.approx(1.5e-20 * ricker.maximum, rel=1e-9)


@pytest.mark.parametrize("name, ok, word", [
    ("difference_of_gaussians", True, "0.89"), ("sinusoid", True, "1.57"), ("ricker", False, "distance 0"),
    ("independent", False, "infinite"), ("diffusion", False, "never falls"), ("gaussian", False, "never falls"), ("constant", False, "no gradient")])
def test_trainable(name, ok, word):
    found, reason = inhibitor(name).trainable
    assert found is ok and word in reason


def test_names():
    for name, f in INHIBITORS.items():
        assert f.name == name and inhibitor(name) == f and inhibitor(f) is f
    with pytest.raises(ValueError, match="difference_of_gaussians, ricker, diffusion, sinusoid, gaussian, constant, independent"):
        inhibitor("dog")
    with pytest.raises(TypeError, match="None"):
        inhibitor(None)


@shapes
def test_equality_hash_and_pickle(f):
    twin = pickle.loads(pickle.dumps(f))
    assert twin == f and hash(twin) == hash(f)


@pytest.mark.parametrize("make", [
    lambda: DifferenceOfGaussians(0), lambda: DifferenceOfGaussians(100, .1, 4), lambda: DifferenceOfGaussians(100, 5, math.nan),
    lambda: Ricker(-1), lambda: Gaussian(1, 0), lambda: Independent(-1), lambda: Independent(math.inf), lambda: Independent(None), lambda: Constant(math.inf), lambda: Constant("1"), lambda: Ricker(True)])
def test_impossible_inhibitors(make):
    with pytest.raises(ValueError, match="give "):
        make()


@pytest.mark.parametrize("bad", [1., [1.], torch.arange(3)])
def test_bad_distances(bad):
    with pytest.raises(TypeError, match="floating tensor"):
        Diffusion()(bad)


def made(price):
    class Made(Inhibitor):
        def evaluate(self, d): return price(d)
        def __repr__(self): return "Made()"
    return Made()


def test_a_forgotten_evaluate_fails_when_the_inhibitor_is_made():
    class Empty(Inhibitor):
        name = "empty"
    with pytest.raises(TypeError, match=r"abstract method .*evaluate"):
        Empty()


@dtypes
@pytest.mark.parametrize("price, words", [
    (lambda d: (d > 1).to(d) - .5, r"Made\(\) gives -0.5 at a distance of 0"),
    (lambda d: d / d, r"Made\(\) gives nan, first at a distance of 0"),
    (lambda d: d.mean(), r"Made\(\) gives torch\.float.. \(\) for distances"),
    (lambda d: d.half(), r"Made\(\) gives torch.float16"),
    (lambda d: 1., r"Made\(\) gives float")])
def test_prices_that_no_weight_can_have_are_refused_by_name(dtype, price, words):
    with pytest.raises(ValueError, match=words):
        made(price)(torch.tensor([0., 2.], dtype=dtype))


@dtypes
def test_rounding_below_zero_is_cut(dtype):
    d, eps = torch.linspace(0, 9, 100, dtype=dtype), torch.finfo(dtype).eps
    prices = made(lambda d: 100 * torch.cos(d) ** 2 - 100 * eps)(d)
    assert (prices >= 0).all()
    assert torch.equal(made(lambda d: torch.where(d > 1, math.inf, 0.).to(d))(d) == math.inf, d > 1), "a price may be infinite"
    assert made(lambda d: -d)(d[:0]).shape == (0,)


@dtypes
def test_independent_leaves_each_neuron_itself_and_those_on_its_point(dtype):
    d = torch.tensor([0., 1e-30, 1., 50.], dtype=dtype, requires_grad=True)
    price = Independent()(d)
    assert price.dtype == dtype and price.tolist() == [0., math.inf, math.inf, math.inf]
    assert torch.equal(torch.autograd.grad(price[0], d)[0], torch.zeros(4, dtype=dtype))
    assert inhibitor("independent(reach=1)")(d).tolist() == [0., 0., 0., math.inf]
    x = Torus().sample(6, seeded(), dtype=dtype)[[0, 1, 2, 3, 4, 4]]
    assert (Independent()(Torus().distance(x)) == 0).sum() == 8, "the last two share a point"


def test_a_new_inhibitor_in_a_few_lines():
    "Subclass, register, use by text: nothing of the package is touched"
    @dataclass(frozen=True)
    class Reach(Inhibitor):
        reach: float = 2.

        def evaluate(self, d):
            return 80 * (d - self.reach).clamp(0, 1)

    register_inhibitor("reach", Reach)
    layer = torch.nn.RNN(2, 12)
    reg = ModuliRegularizer(layer, "torus", "reach(reach=3)", strength=.5, generator=seeded())
    d = reg.manifold.distance(reg.embedding)
    truth = .5 * sum(80 * min(max(d[u, v].item() - 3, 0), 1) * abs(layer.weight_hh_l0[u, v].item()) for u in range(12) for v in range(12)) / 144
    assert check_inhibitor("reach") == (True, "") and reg().item() == pytest.approx(truth, rel=1e-5)
    del INHIBITORS.makers["reach"]


@shapes
def test_formula_can_be_drawn(f):
    mathtext = pytest.importorskip("matplotlib.mathtext")
    mathtext.MathTextParser("path").parse(f"${f.formula}$")


def seeded(seed=0): return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", ["circle", "sphere", "torus", "klein", "torus6", "r3", "s3"])
def test_mean_coefficient_is_that_of_a_large_matrix(name):
    space, f = manifold(name), DifferenceOfGaussians()
    x, y = (space.sample(600, seeded(seed)) for seed in (1, 2))
    assert mean_coefficient(space, f, generator=seeded()) == pytest.approx(f(space.distance(x, y)).mean().item(), rel=.03)
    assert mean_coefficient(space, f, 500, seeded(3)) == mean_coefficient(space, f, 500, seeded(3))


def test_mean_coefficient_in_closed_form():
    "On the torus the mean of d² is twice the variance of a uniform difference, period²/12."
    assert mean_coefficient(Torus(period=6.), Diffusion(), 400_000, seeded()) == pytest.approx(6, rel=.01)
    assert mean_coefficient(Torus(), Constant(3.), 10) == 3


@pytest.mark.parametrize("name", ["circle", "sphere", "klein", "torus6", "s3"])
@pytest.mark.parametrize("f", [DifferenceOfGaussians(), Diffusion(), Gaussian()], ids=str)
def test_matched_has_the_wanted_mean(name, f):
    wanted = mean_coefficient(Torus(), f, 4000, seeded())
    space = matched(manifold(name), f, wanted, 4000, seeded(1))
    assert type(space) is type(manifold(name))
    assert mean_coefficient(space, f, 4000, seeded(1)) == pytest.approx(wanted, rel=1e-6)


def test_matched_leaves_alone_what_matches():
    wanted = mean_coefficient(Torus(), DifferenceOfGaussians(), 5000, seeded())
    assert matched(Torus(), DifferenceOfGaussians(), wanted, 5000, seeded()).period == pytest.approx(10)


def test_matched_refuses_what_no_size_has():
    for f, mean, message in [(DifferenceOfGaussians(), 500., "no size of"), (Gaussian(), -1., "no size of"), (DifferenceOfGaussians(), math.nan, "mean is nan; give a finite number")]:
        with pytest.raises(ValueError, match=message):
            matched(Torus(), f, mean, 1000, seeded())
    for pairs in (0, 2.5, True):
        with pytest.raises(ValueError, match="whole number"):
            mean_coefficient(Torus(), Diffusion(), pairs)


def test_covering_radius_of_a_circle():
    "n random arcs of a circle of length L: the longest gap has mean L/n · (1 + 1/2 + … + 1/n), and half of it is the covering radius"
    n, period = 50, Circle().period
    expected = period / n * sum(1 / k for k in range(1, n + 1)) / 2
    assert covering_radius("circle", n, seeded(), draws=200, probes=4000) == pytest.approx(expected, rel=.03)


@pytest.mark.parametrize("name", ["circle", "sphere", "torus6", "r3", "klein", "projective", "torus*circle"])
def test_matched_covering_has_the_wanted_radius(name):
    try:
        space = manifold(name)
    except ValueError:
        pytest.skip("not registered yet")
    alike = matched_covering(space, .7, 100, seeded(1))
    assert covering_radius(alike, 100, seeded(1)) == pytest.approx(.7, rel=1e-5) and type(alike) is type(space)


def test_wrong_covering():
    for radius, n, word in ((0., 10, "radius"), (math.nan, 10, "radius"), (1., 0, "n is 0"), (1., 2.5, "n is 2.5")):
        with pytest.raises(ValueError, match=word):
            matched_covering("torus", radius, n)


def test_matched_takes_text():
    wanted = mean_coefficient("torus", "diffusion", 2000, seeded())
    assert mean_coefficient(matched("sphere", "diffusion", wanted, 2000, seeded()), "diffusion", 2000, seeded()) == pytest.approx(wanted)
