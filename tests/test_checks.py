"""What is right passes, and each mistake is found and named."""

import math

import pytest
import torch

from modreg.geometry import finite, products
from modreg.geometry.checks import check_inhibitor, check_manifold
from modreg.geometry.inhibitors import INHIBITORS, DifferenceOfGaussians, Gaussian, Inhibitor, Ricker
from modreg.geometry.manifolds import MANIFOLDS, Circle, Euclidean, KleinBottle, Manifold, Sphere, Torus

RIGHT = [*MANIFOLDS, Circle(.7), Torus(1, 3.), Torus(3, .01), KleinBottle(1.), Sphere(1, 2.), Sphere(2, 1e3), Euclidean(1), products.Product("torus", "circle", weights=(1, 2)),
         products.Modules("torus", "sphere"), finite.DistanceMatrix(Torus().distance(Torus().sample(40, torch.Generator().manual_seed(0))))]


@pytest.mark.parametrize("space", RIGHT, ids=str)
def test_what_is_right_passes(space):
    assert check_manifold(space) == (True, "")


class Glued(Torus):
    "The least over images in plain torch: right up to rounding, not symmetric to the last bit"

    def pairwise(self, x, y):
        steps = torch.cartesian_prod(*[torch.tensor([-1., 0., 1.], dtype=x.dtype)] * 2) * self.period
        square = (x[..., :, None, None, :] - (y[..., None, :, None, :] + steps)).pow(2).sum(-1).amin(-1)
        return torch.where(square > 0, square, 1).sqrt() * (square > 0)


@pytest.mark.parametrize("space", [Glued(), Glued(2, 1e3), Glued(2, 1e-3)], ids=str)
def test_glueing_by_images_passes_up_to_rounding(space):
    x = space.sample(40, torch.Generator().manual_seed(0))
    assert not torch.equal(space.distance(x), space.distance(x).T), "so this is a test of the tolerance"
    assert check_manifold(space) == (True, "")


def wrong(parent, **methods):
    return type("Wrong", (parent,), methods)()


def arccosine(self, x, y): return self.radius * torch.acos((x @ y.mT / self.radius**2).clamp(-1, 1))
def off_by_a_little(self, x, y): return Torus.pairwise(self, x, y) + 1e-3
def drifting(self, x, y): return Torus.pairwise(self, x, y) * (1 + 1e-3 * (x[..., :, None, 0] > y[..., None, :, 0]))
def stuck(self, x, y): return Torus.pairwise(self, x, y).detach() + 0 * (x.sum() + y.sum())
def wrong_vjp(self, x, y): return Torus().distance_vjp(x, y)[0], lambda grad: (0 * x, 0 * y)
def rootless(self, x, y): return (x[..., :, None, :] - y[..., None, :, :]).pow(2).sum(-1).sqrt()
def sample_globally(self, n, generator=None, dtype=None, device=None): return 10 * torch.rand(*(n if isinstance(n, tuple) else (n,)), 2, dtype=dtype)
def sample_floats(self, n, generator=None, dtype=None, device=None): return Torus.sample(self, n, generator)


@pytest.mark.parametrize("parent, methods, word", [
    (Sphere, {"pairwise": arccosine}, "zero"), (Torus, {"pairwise": off_by_a_little}, "zero"), (Torus, {"pairwise": drifting}, "symmetry"),
    (Torus, {"pairwise": lambda self, x, y: Torus.pairwise(self, x, y) ** 2}, "triangle"), (Sphere, {"diameter": 15.}, "diameter"),
    (Torus, {"pairwise": stuck}, "not those of the distance"), (Torus, {"pairwise": rootless}, "not finite"), (Torus, {"distance_vjp": wrong_vjp}, "vjp"),
    (Torus, {"project": lambda self, x: x}, "project leaves"), (Torus, {"project": lambda self, x: Torus.project(self, x + .1)}, "project moves points"),
    (Torus, {"contains": lambda self, x: (x >= 1).all(-1)}, "contains denies"), (Torus, {"contains": lambda self, x: x >= 0}, "contains gives"),
    (Torus, {"sample": sample_globally}, "generator"), (Torus, {"sample": sample_floats}, "float64: sample"),
    (Torus, {"pairwise": lambda self, x, y: Torus.pairwise(self, x, y).flatten()}, "shape"), (Torus, {"pairwise": lambda self, x, y: 0 * Torus.pairwise(self, x, y)}, "different points"),
    (Torus, {"pairwise": lambda self, x, y: Torus.pairwise(self, x, y) * math.nan}, "finite"), (Torus, {"pairwise": lambda self, x, y: x.no_such_thing}, "AttributeError"),
    (Torus, {"coordinates": 0}, "coordinates is 0"), (Torus, {"diameter": None}, "diameter is None")])
def test_each_mistake_is_named(parent, methods, word):
    ok, reasons = check_manifold(wrong(parent, **methods))
    assert not ok and word in reasons


@pytest.mark.parametrize("f", [*INHIBITORS, DifferenceOfGaussians(1., 2., 3.), Ricker(4.), Gaussian(3., .5)], ids=str)
def test_inhibitors_pass(f):
    assert check_inhibitor(f) == (True, "")


@pytest.mark.parametrize("methods, word", [
    ({"evaluate": lambda self, d: d.cos()}, "below 0"), ({"evaluate": lambda self, d: d / d}, "nan"), ({"evaluate": lambda self, d: d.sqrt()}, "not finite at a distance of 0"),
    ({"evaluate": lambda self, d: d.sum()}, "gives torch"), ({"evaluate": lambda self, d: d.float()}, "float64: prices"), ({"evaluate": lambda self, d: d / d.amax().clamp(min=1) if d.numel() else d}, "beside it"),
    ({"evaluate": lambda self, d: d**2, "value_and_grad": lambda self, d: (d**2, d)}, "other derivatives")])
def test_each_mistake_of_an_inhibitor_is_named(methods, word):
    ok, reasons = check_inhibitor(wrong(Inhibitor, **methods))
    assert not ok and word in reasons


def test_a_subclass_with_another_formula_does_not_inherit_the_derivative_of_its_parents():
    class Taxi(Torus):
        def pairwise(self, x, y):
            delta = (x[..., :, None, :] - y[..., None, :, :]).abs()
            return torch.minimum(delta, self.period - delta).sum(-1)
        diameter = 10.
    assert Taxi.distance_vjp is Manifold.distance_vjp and check_manifold(Taxi()) == (True, "")

    class Steep(DifferenceOfGaussians):
        def evaluate(self, d):
            return d**2
    assert check_inhibitor(Steep()) == (True, "") and Steep().value_and_grad(torch.tensor([3.]))[1] == 6
