"""Properties that every manifold must have, in float32 and float64. A new manifold joins by one line in SPACES."""

import dataclasses
import itertools
import math
import pickle
import warnings

import numpy
import pytest
import torch

from modreg.geometry.checks import check_manifold
from modreg.geometry.manifolds import MANIFOLDS, Circle, Euclidean, KleinBottle, Manifold, Sphere, Torus, draw, manifold, register_manifold
from modreg.sparsity.regularizer import ModuliRegularizer

SPACES = [*(space for space in MANIFOLDS.values() if type(space).__module__ == "modreg.geometry.manifolds"), Circle(.7), Torus(1, 3.), Torus(3, .01), KleinBottle(1.), Sphere(1, 2.), Sphere(2, 1e3), Euclidean(1)]
DTYPES = [torch.float32, torch.float64]
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])
spaces = pytest.mark.parametrize("space", SPACES, ids=str)


def on_every(test): return spaces(dtypes(test))
def seeded(seed=0): return torch.Generator().manual_seed(seed)
def length(space): return getattr(space, space.scale_field)


def close(a, b, space, rounds=50):
    "Equal up to some roundings at the scale of the space."
    tolerance = rounds * torch.finfo(a.dtype).eps * length(space)
    torch.testing.assert_close(a, b.to(a.dtype), rtol=0, atol=tolerance)


def cut_points(space, x):
    "For each point one from which several shortest paths lead back, or the antipode."
    if isinstance(space, Sphere):
        return -x
    if isinstance(space, Euclidean):
        return x + space.side
    return space.project(x + space.period / 2)


# --- a metric ---------------------------------------------------------------------------------------------------------

@on_every
@pytest.mark.parametrize("n", [1, 2, 7, 61, 201])  # sizes that leave odd ends to vectorized kernels and to threads
def test_zero_to_itself_and_symmetric(space, dtype, n):
    x = space.sample(n, seeded(n), dtype=dtype)
    d = space.distance(x)
    assert d.dtype == dtype and d.shape == (n, n)
    assert (d.diagonal() == 0).all()
    assert torch.equal(d, d.T)
    assert (d >= 0).all() and (d <= space.diameter).all()


@on_every
def test_equal_points_are_at_distance_zero_wherever_they_stand(space, dtype):
    x = space.sample(1, seeded(), dtype=dtype).expand(37, -1)
    assert (space.distance(x) == 0).all()
    assert (space.distance(x[:5], x.clone()) == 0).all()


@on_every
def test_distance_is_symmetric_between_two_sets(space, dtype):
    x, y = space.sample(40, seeded(1), dtype=dtype), space.sample(23, seeded(2), dtype=dtype)
    close(space.distance(x, y), space.distance(y, x).T, space, rounds=4)


@on_every
def test_triangle_inequality(space, dtype):
    d = space.distance(space.sample(60, seeded(3), dtype=dtype))
    detour = (d[:, :, None] + d[None]).amin(1)
    assert (d <= detour + 50 * torch.finfo(dtype).eps * length(space)).all()


@on_every
def test_diameter_is_reached_and_never_exceeded(space, dtype):
    x = space.sample(200, seeded(4), dtype=dtype)
    far = space.distance(x, cut_points(space, x))
    assert (far <= space.diameter).all()
    if isinstance(space, KleinBottle):  # the farthest point must be far from two images, so ask a grid
        grid = torch.cartesian_prod(*[torch.arange(16, dtype=dtype) * space.period / 16] * 2)
        far = space.distance(grid)
        assert (far <= space.diameter).all()
    if space.diameter < math.inf:
        close(far.max(), torch.tensor(space.diameter, dtype=dtype), space)


@on_every
def test_scaled(space, dtype):
    x, y = space.sample(20, seeded(5), dtype=dtype), space.sample(20, seeded(6), dtype=dtype)
    large = space.scaled(3.)
    close(large.distance(3 * x, 3 * y), 3 * space.distance(x, y), large)
    assert large.diameter == pytest.approx(3 * space.diameter) and type(large) is type(space)


@on_every
def test_batched_is_looped(space, dtype):
    x, y = space.sample((2, 3, 11), seeded(7), dtype=dtype), space.sample((3, 6), seeded(8), dtype=dtype)
    both, selves = space.distance(x, y), space.distance(x)
    assert both.shape == (2, 3, 11, 6) and torch.equal(selves, selves.mT)
    for i, j in itertools.product(range(2), range(3)):
        close(both[i, j], space.distance(x[i, j], y[j]), space, rounds=4)
        close(selves[i, j], space.distance(x[i, j]), space, rounds=4)
        assert torch.equal(space.project(3 * x)[i, j], space.project(3 * x[i, j]))
        torch.testing.assert_close(space.chart(x)[i, j], space.chart(x[i, j]))
    close(torch.func.vmap(space.distance)(x[0], y), both[0], space, rounds=4)


@on_every
def test_no_points(space, dtype):
    none, x = space.sample(0, dtype=dtype), space.sample(3, seeded(), dtype=dtype)
    assert space.distance(none).shape == (0, 0) and space.distance(x, none).shape == (3, 0)
    assert space.check(none) == (True, "")


# --- points -----------------------------------------------------------------------------------------------------------

@on_every
def test_project_lands_on_the_manifold_and_stays(space, dtype):
    c = space.coordinates
    wild = [torch.randn(500, c, generator=seeded(), dtype=dtype) * scale for scale in (1e-7, 1, 30)]
    edges = [torch.full((1, c), edge, dtype=dtype) for edge in (0, -1e-12, -1e-45, length(space), -length(space), 2 * length(space))]
    x = space.project(torch.cat([*wild, *edges]))
    assert space.check(x) == (True, "")
    assert torch.equal(space.project(x), x)


@on_every
def test_project_keeps_the_point_that_is_meant(space, dtype):
    x = space.sample(100, seeded(), dtype=dtype)
    assert torch.equal(space.project(x), x)
    wild = 2.5 * x if isinstance(space, Sphere) else x - 2.5 * length(space)
    assert space.distance(space.project(wild), wild).diagonal().max() <= 1e-5 * length(space)


@on_every
def test_check_says_why(space, dtype):
    x = space.sample(5, seeded(), dtype=dtype)
    assert space.check(x) == (True, "")
    wrong = [(x * math.nan, "finite"), (x / 0, "finite"), (torch.cat([x, x], -1), "shape"), (x.tolist(), "list"), (x.long(), "int64")]
    if not isinstance(space, Euclidean):
        wrong.append((x * 1.001 + 7 * length(space), "5 points of 5 are not on"))
    for points, word in wrong:
        ok, reason = space.check(points)
        assert not ok and word in reason


@on_every
def test_sampling_is_reproducible_and_on_the_manifold(space, dtype):
    state = torch.get_rng_state()
    x = space.sample(1000, seeded(9), dtype=dtype)
    assert x.dtype == dtype and x.shape == (1000, space.coordinates)
    assert space.check(x) == (True, "")
    assert torch.equal(x, space.sample(1000, seeded(9), dtype=dtype))
    assert not torch.equal(x, space.sample(1000, seeded(10), dtype=dtype))
    assert torch.equal(state, torch.get_rng_state()), "the global random state was touched"


def kolmogorov(u):
    "Kolmogorov–Smirnov statistic of `u` against the uniform distribution on [0, 1]; above 2.2 once in 8,000."
    u, n = u.double().sort().values, len(u)
    steps = torch.arange(n + 1, dtype=torch.float64) / n
    return max((u - steps[:-1]).max().item(), (steps[1:] - u).max().item()) * math.sqrt(n)


def cap_share(dim, angle):
    "Share of the sphere S^dim that lies within an angle of a point."
    if dim == 1:
        return angle / math.pi
    return (1 - angle.cos()) / 2 if dim == 2 else (angle - (2 * angle).sin() / 2) / math.pi


@on_every
def test_sampling_is_uniform(space, dtype):
    x = space.sample(8000, seeded(11), dtype=dtype)
    if isinstance(space, Sphere):
        for centre in space.sample(6, seeded(12), dtype=dtype):
            angle = space.distance(centre[None], x)[0].double() / space.radius
            assert kolmogorov(cap_share(space.dim, angle)) < 2.2
    else:
        unit = x / (space.side if isinstance(space, Euclidean) else space.period)
        for u in unit.T:
            assert kolmogorov(u) < 2.2
        for u, v in itertools.combinations(unit.T, 2):  # coordinates are independent, so their sum wraps to uniform too
            assert kolmogorov((u + v) % 1) < 2.2


# --- gradients --------------------------------------------------------------------------------------------------------

@on_every
def test_gradients_are_finite_everywhere(space, dtype):
    x = space.sample(6, seeded(13), dtype=dtype)
    grains = [0, 1e-45, 1e-30, 1e-19, 1e-7, 1e-3]
    close_by = [x + grain * length(space) for grain in grains]
    if not isinstance(space, Sphere):  # the origin is no point of a sphere
        close_by += [grain * x for grain in grains]
    cut = cut_points(space, x)
    at_cut = [cut + sign * grain * length(space) for grain in grains for sign in (1, -1)]
    points = torch.cat([x, *close_by, *at_cut])
    for p in (points, space.project(points)):
        p = p.clone().requires_grad_()
        d = space.distance(p)
        assert torch.isfinite(d).all()
        gradient, = torch.autograd.grad(d.sum(), p)
        assert torch.isfinite(gradient).all()


@on_every
def test_gradient_is_a_unit_vector(space, dtype):
    "Walking straight away from a point, distance grows by one for each unit walked, from near as from far."
    x, y = space.sample(400, seeded(14), dtype=dtype), space.sample(400, seeded(15), dtype=dtype)
    noise = torch.randn(50, space.coordinates, generator=seeded(), dtype=dtype)
    y[:50] = space.project(x[:50] + 1e-2 * length(space) * noise)
    x.requires_grad_()
    along, = torch.autograd.grad(space.distance(x[:, None], y[:, None]).sum(), x)
    tolerance = 2e-3 if dtype == torch.float32 else 1e-9
    torch.testing.assert_close(along.norm(dim=-1), torch.ones(400, dtype=dtype), rtol=0, atol=tolerance)


@spaces
def test_gradcheck(space):
    unit = space.scaled(1 / length(space))  # at a scale where derivatives are neither huge nor tiny
    x, y = (unit.sample(n, seeded(16 + n), dtype=torch.float64).requires_grad_() for n in (5, 4))
    assert torch.autograd.gradcheck(unit.distance, (x, y), eps=1e-7, atol=1e-5)
    assert torch.autograd.gradgradcheck(unit.distance, (x, y), eps=1e-7, atol=1e-3, rtol=1e-3)


@on_every
def test_gradient_at_the_same_point_is_zero(space, dtype):
    x = space.sample(1, seeded(17), dtype=dtype).requires_grad_()
    gradient, = torch.autograd.grad(space.distance(x).sum(), x)
    assert (gradient == 0).all()


@on_every
def test_batched_gradients_reach_shared_points(space, dtype):
    x, y = space.sample((3, 4), seeded(18), dtype=dtype), space.sample(5, seeded(19), dtype=dtype).requires_grad_()
    together, = torch.autograd.grad(space.distance(x, y).sum(), y)
    apart, = torch.autograd.grad(sum(space.distance(one, y).sum() for one in x), y)
    assert together.shape == y.shape
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-4)


# --- independent oracles ----------------------------------------------------------------------------------------------

def images_of_torus(point, period, dim, reach):
    "The point moved by every combination of up to `reach` periods."
    return point + period * torch.tensor(list(itertools.product(range(-reach, reach + 1), repeat=dim)), dtype=point.dtype)


def images_of_klein(point, period):
    "The orbit of a point under the words a^i b^j, by applying the generators a and b and their inverses one at a time."
    a = {1: lambda q: (q[0] + period, period - q[1]), -1: lambda q: (q[0] - period, period - q[1])}
    b = {1: lambda q: (q[0], q[1] + period), -1: lambda q: (q[0], q[1] - period)}
    orbit = []
    for i, j in itertools.product(range(-2, 3), repeat=2):
        q = tuple(point.tolist())
        for _ in range(abs(j)):
            q = b[1 if j > 0 else -1](q)
        for _ in range(abs(i)):
            q = a[1 if i > 0 else -1](q)
        orbit.append(q)
    return torch.tensor(orbit, dtype=point.dtype)


def nearest_image(x, y, images):
    "Least Euclidean distance from x to the images of y, without any help from the manifold's code."
    return torch.stack([(x[:, None] - images(q)).norm(dim=-1).amin(1) for q in y], 1)


@dtypes
@pytest.mark.parametrize("space", [Torus(), Torus(1, 3.), Torus(3, .5), Torus(6), Circle()], ids=str)
def test_flat_torus_against_all_images(space, dtype):
    x, y = space.sample(40, seeded(20), dtype=dtype), space.sample(15, seeded(21), dtype=dtype)
    reach = 2 if space.dim < 6 else 1
    truth = nearest_image(x.double(), y.double(), lambda q: images_of_torus(q, space.period, space.dim, reach))
    close(space.distance(x, y), truth, space)


@dtypes
@pytest.mark.parametrize("space", [KleinBottle(), KleinBottle(.5)], ids=str)
def test_klein_bottle_against_25_group_elements(space, dtype):
    x, y = space.sample(300, seeded(22), dtype=dtype), space.sample(100, seeded(23), dtype=dtype)
    truth = nearest_image(x.double(), y.double(), lambda q: images_of_klein(q, space.period))
    close(space.distance(x, y), truth, space)


@dtypes
def test_klein_bottle_does_not_see_the_identification(dtype):
    space = KleinBottle()
    x, y = space.sample(50, seeded(24), dtype=dtype), space.sample(20, seeded(25), dtype=dtype)
    for q in y:
        images = images_of_klein(q, space.period)
        close(space.distance(x, images), space.distance(x, q[None]).expand(-1, len(images)), space)
        close(space.distance(space.project(images), q[None]), torch.zeros(len(images), 1), space)


def geomstats(module):
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        patch.setattr(numpy, "trapz", numpy.trapezoid, raising=False)  # geomstats 2.8 asks for the name that numpy 2.4 dropped
        return pytest.importorskip(f"geomstats.geometry.{module}")


def all_pairs(metric, x, y): return torch.stack([torch.as_tensor(metric.dist(point.numpy(), y.numpy())) for point in x])


@dtypes
@pytest.mark.parametrize("space", [Sphere(), Sphere(1), Sphere(3), Sphere(2, .1)], ids=str)
def test_sphere_against_geomstats(space, dtype):
    x, y = space.sample(50, seeded(26), dtype=dtype), space.sample(50, seeded(27), dtype=dtype)
    metric = geomstats("hypersphere").Hypersphere(space.dim).metric
    truth = all_pairs(metric, *[p.double() / p.double().norm(dim=-1, keepdim=True) for p in (x, y)]) * space.radius
    torch.testing.assert_close(space.distance(x, y).double(), truth, rtol=0, atol=1e-6 * length(space))


@dtypes
@pytest.mark.parametrize("space", [Euclidean(), Euclidean(9)], ids=str)
def test_euclidean_against_geomstats(space, dtype):
    x, y = space.sample(30, seeded(28), dtype=dtype), space.sample(30, seeded(29), dtype=dtype)
    close(space.distance(x, y), all_pairs(geomstats("euclidean").Euclidean(space.dim).metric, x.double(), y.double()), space)


@pytest.mark.parametrize("dim, period", [(2, 10.), (6, 10.), (1, 3.)])
def test_torus_against_a_product_of_geomstats_circles(dim, period):
    space, circle = Torus(dim, period), geomstats("hypersphere").Hypersphere(1).metric
    x, y = space.sample(20, seeded(30), dtype=torch.float64), space.sample(20, seeded(31), dtype=torch.float64)
    turn = 2 * math.pi / period
    x, y = (torch.stack([(p * turn).cos(), (p * turn).sin()], -1) for p in (x, y))
    truth = sum(all_pairs(circle, x[:, k], y[:, k]) ** 2 for k in range(dim)).sqrt() / turn
    x, y = (torch.atan2(p[..., 1], p[..., 0]) / turn for p in (x, y))
    torch.testing.assert_close(space.distance(x, y), truth, rtol=0, atol=1e-6)


@pytest.mark.parametrize("space", [Sphere(), Sphere(1), Sphere(3), Sphere(2, .1)], ids=str)
def test_sphere_against_the_arccosine_in_extended_precision(space):
    x, y = space.sample(50, seeded(26), dtype=torch.float64), space.sample(40, seeded(27), dtype=torch.float64)
    x, y = (p / numpy.sqrt((p * p).sum(-1, keepdims=True)) for p in (q.numpy().astype(numpy.longdouble) for q in (x, y)))
    truth = numpy.arccos(numpy.einsum("ik,jk->ij", x, y)) * space.radius
    found = space.distance(*(torch.from_numpy(p.astype(numpy.float64)) for p in (x, y)))
    close(found, torch.from_numpy(truth.astype(numpy.float64)), space)


@dtypes
def test_sphere_at_antipodes_and_nearby_is_exact_to_rounding(dtype):
    "The arccosine formula sends many exactly antipodal pairs to distance 0, and loses small angles."
    space = Sphere()
    x = space.sample(5000, seeded(32), dtype=dtype)
    close(space.distance(x[:, None], -x[:, None]).flatten(), torch.full((5000,), space.diameter, dtype=dtype), space, rounds=2)
    north = torch.tensor([[0, 0, 5.]], dtype=dtype)
    for angle in (1e-2, 1e-4, 1e-6):
        tilted = torch.tensor([[5 * math.sin(angle), 0, 5 * math.cos(angle)]], dtype=dtype)
        assert space.distance(north, tilted).item() == pytest.approx(5 * angle, rel=1e-6)


# --- the class --------------------------------------------------------------------------------------------------------

def test_names():
    for name, space in MANIFOLDS.items():
        assert space.name == name and manifold(name) == space and manifold(space) is space
    assert manifold("torus4") == Torus(4) and manifold("r2") == Euclidean(2) and manifold("s1") == Sphere(1)
    for wrong in ("donut", "torus0", "TORUS", "", "r-1", "torus6\n"):
        with pytest.raises(ValueError, match="circle, sphere, torus, klein, torus6, r3, r9, s3"):
            manifold(wrong)
    with pytest.raises(TypeError, match="is 3"):
        manifold(3)


@spaces
def test_equality_hash_and_pickle(space):
    twin = pickle.loads(pickle.dumps(space))
    assert twin == space and hash(twin) == hash(space)
    assert space.scaled(2.) != space
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(space, space.scale_field, 1.)


@pytest.mark.parametrize("make", [
    lambda: Torus(0), lambda: Torus(2.), lambda: Torus(True), lambda: Torus(2, 0), lambda: Torus(2, math.nan), lambda: Circle(-1),
    lambda: Circle(math.inf), lambda: Sphere(0), lambda: Sphere(2, "5"), lambda: KleinBottle(0), lambda: Euclidean(-3),
    lambda: Euclidean(3, None)])
def test_impossible_manifolds(make):
    with pytest.raises(ValueError, match="give a"):
        make()


@spaces
def test_bad_points(space):
    x = space.sample(4, seeded())
    for bad, error, word in [(x.tolist(), TypeError, "list"), (x.int(), TypeError, "int32"), (x[0], ValueError, "shape"),
                             (torch.cat([x, x], -1), ValueError, "shape")]:
        with pytest.raises(error, match="x .*" + word):
            space.distance(bad)
        with pytest.raises(error, match="y .*" + word):
            space.distance(x, bad)
    with pytest.raises(TypeError, match="one dtype"):
        space.distance(x, x.double())


def test_a_new_manifold_says_what_is_missing():
    class Empty(Manifold):
        dim = coordinates = 2
        diameter, name = 1., "empty"
    with pytest.raises(TypeError, match=r"abstract methods .*contains.*pairwise.*project.*sample"):
        Empty()


def test_a_new_space_in_a_few_lines():
    "Subclass, register, check, use by text: nothing of the package is touched"
    @dataclasses.dataclass(frozen=True)
    class Ring(Manifold):
        length: float = 8.
        dim, coordinates, scale_field = 1, 1, "length"
        diameter = property(lambda self: self.length / 2)

        def sample(self, n, generator=None, dtype=None, device=None): return self.project(self.length * draw(torch.rand, n, 1, generator, dtype, device))
        def project(self, x): return torch.where(self.contains(x)[..., None], x, (x % self.length) % self.length)
        def contains(self, x): return (x[..., 0] >= 0) & (x[..., 0] < self.length)
        def pairwise(self, x, y):
            d = (x[..., :, None, 0] - y[..., None, :, 0]).abs()
            return torch.minimum(d, (self.length - d).abs())

    register_manifold("ring", Ring)
    reg = ModuliRegularizer(torch.nn.RNN(2, 12), "ring(length=9)", generator=seeded(), train_embedding=True)
    reg().backward()
    assert reg.manifold == Ring(9.) and Ring(9.).name == "ring(length=9)" and reg.embedding.grad.isfinite().all()
    assert check_manifold("ring") == (True, "")
    del MANIFOLDS.makers["ring"]


def test_a_space_that_lacks_one_method_names_it():
    class NoContains(Torus):
        contains = Manifold.contains
    with pytest.raises(TypeError, match=r"abstract method .*contains"):
        NoContains()


def test_chart_of_the_sphere_keeps_area():
    space = Sphere()
    flat = space.chart(space.sample(50_000, seeded(33), dtype=torch.float64))
    unit = flat / (math.sqrt(2) * space.radius) / torch.tensor([2, 1])  # Hammer's oval made a disc
    assert unit.norm(dim=-1).max() <= 1 + 1e-12
    assert kolmogorov(unit.norm(dim=-1) ** 2) < 2.2
    assert kolmogorov((torch.atan2(unit[:, 1], unit[:, 0]) / math.pi + 1) / 2) < 2.2
