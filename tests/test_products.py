"""Products, modules, projective plane and hyperbolic disc, beside closed forms, geomstats and plain loops."""

import math
import pickle

import mpmath
import pytest
import torch
from test_manifolds import all_pairs, geomstats, kolmogorov, seeded

from modreg.geometry.checks import check_manifold
from modreg.geometry.inhibitors import INHIBITORS, Diffusion, covering_radius, matched, matched_covering, mean_coefficient
from modreg.geometry.manifolds import MANIFOLDS, Circle, Euclidean, KleinBottle, Sphere, Torus, manifold
from modreg.geometry.products import HyperbolicDisc, Modules, ProjectivePlane, Product
from modreg.sparsity.regularizer import ModuliRegularizer

SPACES = [Product(Torus(), Circle()), Product(Torus(), Circle(), weights=(1, 2)), Product(Sphere(), KleinBottle(), Circle(2.), weights=(.5, 1, 3)),
          Product(Modules(Torus(), Circle()), Circle()), Modules(Torus(), Sphere()), Modules(Torus(), Sphere(), Circle(), sizes=(2, 1, 1), between=40),
          Modules(Product(Torus(), Circle()), HyperbolicDisc()), ProjectivePlane(), HyperbolicDisc(), HyperbolicDisc(12., -1.)]
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
spaces = pytest.mark.parametrize("space", SPACES, ids=str)


def on_every(test): return spaces(dtypes(test))


def close(a, b, space, rounds=60):
    torch.testing.assert_close(a, b.to(a.dtype), rtol=0, atol=rounds * torch.finfo(a.dtype).eps * space.diameter)


# --- a metric, on all of them -----------------------------------------------------------------------------------------

@on_every
@pytest.mark.parametrize("n", [1, 61])
def test_zero_to_itself_symmetric_and_no_detour_is_shorter(space, dtype, n):
    x = space.sample(n, seeded(n), dtype=dtype)
    d = space.distance(x)
    assert d.dtype == dtype and d.shape == (n, n) and (d.diagonal() == 0).all() and torch.equal(d, d.T)
    assert (d >= 0).all() and (d <= space.diameter).all()
    assert (d <= (d[:, :, None] + d[None]).amin(1) + 60 * torch.finfo(dtype).eps * space.diameter).all()
    assert (space.distance(x[:1].expand(37, -1)) == 0).all()


@on_every
def test_points(space, dtype):
    x = space.sample((3, 20), seeded(1), dtype=dtype)
    assert x.dtype == dtype and x.shape == (3, 20, space.coordinates) and space.check(x) == (True, "")
    assert torch.equal(x, space.sample((3, 20), seeded(1), dtype=dtype)) and not torch.equal(x, space.sample((3, 20), seeded(2), dtype=dtype))
    assert torch.equal(space.project(x), x)
    wild = space.project(x + 30 * torch.randn(x.shape, generator=seeded(3), dtype=dtype))
    assert space.check(wild) == (True, "") and torch.equal(space.project(wild), wild)
    for bad, word in [(x * math.nan, "finite"), (torch.cat([x, x], -1), "shape"), (x.long(), "int64"), (x * 1.01 + 70, "are not on")]:
        ok, reason = space.check(bad)
        assert not ok and word in reason
    assert space.sample(0, dtype=dtype).shape == (0, space.coordinates)
    assert space.distance(space.sample(0, dtype=dtype), x[0]).shape == (0, 20)
    assert space.chart(x).shape == (3, 20, 2) and space.chart(x).isfinite().all()


@on_every
def test_batched_is_looped(space, dtype):
    x, y = space.sample((2, 3, 11), seeded(7), dtype=dtype), space.sample((3, 6), seeded(8), dtype=dtype)
    both = space.distance(x, y)
    assert both.shape == (2, 3, 11, 6)
    for i in range(2):
        for j in range(3):
            close(both[i, j], space.distance(x[i, j], y[j]), space)
    close(torch.func.vmap(space.distance)(x[0], y), both[0], space)


@on_every
def test_gradients_are_finite_also_at_equal_points_and_nearby(space, dtype):
    x = space.sample(8, seeded(13), dtype=dtype)
    step = torch.randn(x.shape, generator=seeded(14), dtype=dtype)
    step[..., 0] = 0
    points = torch.cat([x, x, *[x + grain * step for grain in (1e-45, 1e-30, 1e-19, 1e-7, 1e-3)], space.project(torch.zeros_like(x))]).requires_grad_()
    d = space.distance(points)
    gradient, = torch.autograd.grad(d.sum(), points)
    assert d.isfinite().all() and gradient.isfinite().all()
    same = x[:1].clone().requires_grad_()
    assert (torch.autograd.grad(space.distance(same).sum(), same)[0] == 0).all()


@spaces
def test_gradients_against_finite_differences_and_the_fast_way(space):
    x, y = (space.sample(n, seeded(16 + n), dtype=torch.float64).requires_grad_() for n in (3, 2))
    gradients = torch.autograd.grad((space.distance(x, y) * torch.arange(6.).view(3, 2)).sum(), (x, y))
    d, back = space.distance_vjp(x.detach(), y.detach())
    torch.testing.assert_close(d, space.distance(x, y).detach())
    for fast, slow in zip(back(torch.arange(6., dtype=torch.float64).view(3, 2)), gradients, strict=True):
        torch.testing.assert_close(fast, slow)
    assert torch.autograd.gradcheck(space.distance, (x, y), eps=1e-7, atol=1e-5)
    assert torch.autograd.gradgradcheck(space.distance, (x, y), eps=1e-7, atol=1e-3, rtol=1e-3)


@spaces
def test_scaled(space):
    large, x = space.scaled(3.), space.sample((2000, 1), seeded(5), dtype=torch.float64)
    assert large.diameter == pytest.approx(3 * space.diameter) and type(large) is type(space)
    y, far = large.sample((2000, 1), seeded(5), dtype=torch.float64), space.sample((2000, 1), seeded(6), dtype=torch.float64)
    torch.testing.assert_close(large.distance(y, large.sample((2000, 1), seeded(6), dtype=torch.float64)), 3 * space.distance(x, far))


@spaces
def test_equality_hash_pickle_and_repr(space):
    twin = pickle.loads(pickle.dumps(space))
    assert twin == space and hash(twin) == hash(space) and space.scaled(2.) != space and type(space).__name__ in repr(space)


@on_every
def test_in_the_regularizer(space, dtype):
    "Penalty and gradients of weights and places are those of a plain double loop"
    rnn, n = torch.nn.RNN(2, 9, dtype=dtype), 9
    for train in (False, True):
        reg = ModuliRegularizer(rnn, space, "difference_of_gaussians", 0.3, train_embedding=train, generator=seeded())
        weight, x = rnn.weight_hh_l0.detach(), reg.embedding.detach()
        d = [[space.distance(x[u:u + 1], x[v:v + 1]).item() for v in range(n)] for u in range(n)]
        price = INHIBITORS["difference_of_gaussians"](torch.tensor(d, dtype=dtype))
        plain = 0.3 * sum(price[u, v] * abs(weight[u, v]) for u in range(n) for v in range(n)) / n**2
        torch.testing.assert_close(reg().detach(), plain, rtol=2e-4, atol=1e-6)
    x = x.clone().requires_grad_()
    loss = 0.3 * (INHIBITORS["difference_of_gaussians"](space.distance(x)) * weight.abs()).mean()
    reg().backward()
    torch.testing.assert_close(reg.embedding.grad, torch.autograd.grad(loss, x)[0], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("space", [Product("torus", "circle"), Modules("torus", "sphere"), ProjectivePlane(), HyperbolicDisc()], ids=str)
def test_matched_in_price(space):
    f = INHIBITORS["difference_of_gaussians"]
    alike = matched(space, f, 60., 20_000, seeded())
    assert mean_coefficient(alike, f, 20_000, seeded(1)) == pytest.approx(60., abs=1.5)
    assert covering_radius(matched_covering(space, 2., 50, seeded()), 50, seeded(1)) == pytest.approx(2., rel=.15)


@spaces
def test_check_manifold(space):
    assert check_manifold(space) == (True, "")
    assert check_manifold(space.scaled(.1)) == (True, "")


@pytest.mark.parametrize("space", [HyperbolicDisc(80.), HyperbolicDisc(1e-3), HyperbolicDisc(1e4, -1e-6), ProjectivePlane(1e3), Product("torus", "circle", weights=(1e-3, 1e3))], ids=str)
def test_check_manifold_of_extreme_ones(space):
    assert check_manifold(space) == (True, "")


# --- as text ----------------------------------------------------------------------------------------------------------

@spaces
def test_the_name_makes_the_space_again(space):
    assert manifold(space.name) == space and manifold(space.scaled(.37).name) == space.scaled(.37) and manifold(space.scaled(1e-9).name) == space.scaled(1e-9)


@pytest.mark.parametrize(("text", "space"), [
    ("torus*circle", Product(Torus(), Circle())), ("torus * 2 circle(radius=3)", Product(Torus(), Circle(3.), weights=(1, 2))),
    ("product(torus, sphere(radius=2), weights=[1, .5])", Product(Torus(), Sphere(radius=2.), weights=(1, .5))), ("torus+sphere", Modules(Torus(), Sphere())),
    ("3torus+circle*circle", Modules(Torus(), Product(Circle(), Circle()), sizes=(3, 1))), ("(torus+sphere)*circle", Product(Modules(Torus(), Sphere()), Circle())),
    ("modules(torus, sphere, between=20)", Modules(Torus(), Sphere(), between=20)), ("projective(radius=2)", ProjectivePlane(2.)),
    ("hyperbolic(radius=3, curvature=-1)", HyperbolicDisc(3., -1.))])
def test_text_is_read(text, space):
    assert manifold(text) == space


@pytest.mark.parametrize(("text", "word"), [
    ("torus*donut", "donut"), ("torus*", "part is missing"), ("product(torus, weights=[1, 2])", "give 1 numbers"), ("modules(torus, sphere, between=1)", "at least"),
    ("hyperbolic(curvature=1)", "negative"), ("hyperbolic(dim=3)", "dim"), ("projective(dim=3)", "dim"), ("product()", "space")])
def test_text_that_makes_no_space(text, word):
    with pytest.raises(ValueError, match=word):
        manifold(text)


def test_names_that_stand_alone():
    assert {"projective", "hyperbolic"} <= set(MANIFOLDS) and not {"product", "modules", "mesh", "graph"} & set(MANIFOLDS)


# --- products ---------------------------------------------------------------------------------------------------------

@dtypes
def test_product_against_a_double_loop_over_factors(dtype):
    space = Product(Torus(), Sphere(), Circle(), weights=(1, 2, .5))
    x, y = space.sample(12, seeded(1), dtype=dtype), space.sample(10, seeded(2), dtype=dtype)
    truth = torch.tensor([[math.sqrt(Torus().distance(a[None, :2], b[None, :2]).item() ** 2 + 4 * Sphere().distance(a[None, 2:5], b[None, 2:5]).item() ** 2
                                     + Circle().distance(a[None, 5:], b[None, 5:]).item() ** 2 / 4) for b in y] for a in x], dtype=dtype)
    close(space.distance(x, y), truth, space)


def test_circles_make_a_torus_and_weights_make_it_larger():
    circle = Circle(5 / math.pi)
    x, y = (Torus().sample(50, seeded(seed), dtype=torch.float64) for seed in (3, 4))
    torch.testing.assert_close(Product(circle, circle).distance(x, y), Torus().distance(x, y))
    torch.testing.assert_close(Product(circle, circle, weights=(3, 3)).distance(x, y), 3 * Torus().distance(x, y))
    assert Product("r3", "circle").diameter == math.inf and Product("torus", "circle").dim == 3


def test_product_is_uniform():
    x = Product("torus", "circle").sample(8000, seeded(5), dtype=torch.float64) / torch.tensor([10, 10, Circle().period])
    for u in (*x.T, (x[:, 0] + x[:, 2]) % 1):
        assert kolmogorov(u) < 2.2


@pytest.mark.parametrize(("make", "word"), [
    (lambda: Product("torus", "circle", weights=(1,)), "give 2 numbers"), (lambda: Product("torus", weights=(0,)), "positive"),
    (lambda: Product("torus", weights=2), "give a tuple"), (lambda: Modules("torus", "sphere", sizes=(1, -1)), r"sizes\[1\]"),
    (lambda: Modules("torus", "sphere", between=1), "at least 7.85398"), (lambda: Modules("torus", between=math.inf), "positive finite"),
    (lambda: Modules("r3", "r2"), "between is not given"), (lambda: HyperbolicDisc(0), "radius"), (lambda: HyperbolicDisc(1, 0), "curvature"),
    (lambda: HyperbolicDisc(1, math.nan), "curvature"), (lambda: HyperbolicDisc(100, -1.), "at most 40"), (lambda: ProjectivePlane(-1), "radius"),
    (lambda: Product("tours"), "tours")])
def test_impossible_spaces(make, word):
    with pytest.raises(ValueError, match=word):
        make()


# --- modules ----------------------------------------------------------------------------------------------------------

@dtypes
def test_modules_against_a_double_loop(dtype):
    space = Modules(Torus(), Sphere(), Circle(), between=50)
    x = space.sample(20, seeded(1), dtype=dtype)
    truth = torch.tensor([[50. if a[0] != b[0] else space.spaces[int(a[0])].distance(a[None, 1:1 + c], b[None, 1:1 + c]).item()
                           for b in x for c in [space.spaces[int(a[0])].coordinates]] for a in x], dtype=dtype)
    close(space.distance(x), truth, space)


@pytest.mark.parametrize("sizes", [None, (2, 1), (1, 5), (.3, .7)])
@pytest.mark.parametrize("n", [1, 2, 10, 33, 100])
def test_shares(sizes, n):
    "No module is off by a whole neuron, and on average each has exactly its share"
    space, share = Modules("torus", "circle", sizes=sizes), 0.5 if sizes is None else sizes[0] / sum(sizes)
    module = space.sample((4000, n), seeded(2))[..., 0]
    first = (module == 0).sum(-1)
    assert (first.sub(n * share).abs() < 1 - 1e-9).all() and (module.diff() >= 0).all()
    spread = math.sqrt((n * share % 1) * (1 - n * share % 1) / 4000)
    assert abs(first.double().mean().item() - n * share) <= 4 * spread + 1e-5


def test_two_random_neurons_are_of_different_modules_as_often_as_they_should():
    space = Modules("torus", "circle", sizes=(3, 1), between=100)
    assert mean_coefficient(Modules("torus", "torus", between=1000), Diffusion(), generator=seeded()) == pytest.approx(.5e6, rel=.02)
    x, y = (space.sample((20_000, 1), seeded(seed)) for seed in (1, 2))
    assert (space.distance(x, y) == 100).double().mean().item() == pytest.approx(2 * .75 * .25, abs=.015)


def test_neurons_stay_in_their_modules():
    "Also under an optimizer that moves all numbers, such as one with weight decay"
    space = Modules("torus", "sphere")
    x = space.sample(30, seeded(3)).requires_grad_()
    module, optimizer = x[:, 0].clone(), torch.optim.AdamW([x], lr=.1, weight_decay=.5)
    for _ in range(50):
        optimizer.zero_grad()
        INHIBITORS["difference_of_gaussians"](space.distance(x)).sum().backward()
        assert (x.grad[:, 0] == 0).all()
        optimizer.step()
        with torch.no_grad():
            x.copy_(space.project(x))
    assert torch.equal(x[:, 0], module) and space.check(x) == (True, "")


def test_between_is_by_default_the_largest_diameter():
    assert Modules("torus", "sphere").between == Sphere().diameter == Modules("torus", "sphere").diameter
    assert Modules("r3", "torus").between == Torus().diameter and Modules("r3", "torus").diameter == math.inf
    assert Modules("torus", "torus", between=Torus().diameter / 2).check(torch.tensor([[1., 0, 0]]))[0]


# --- projective plane -------------------------------------------------------------------------------------------------

@dtypes
def test_projective_plane_against_geomstats_spheres(dtype):
    space = ProjectivePlane()
    x, y = space.sample(40, seeded(1), dtype=dtype), space.sample(30, seeded(2), dtype=dtype)
    metric = geomstats("hypersphere").Hypersphere(2).metric
    a, b = (p.double() / p.double().norm(dim=-1, keepdim=True) for p in (x, y))
    truth = torch.minimum(all_pairs(metric, a, b), all_pairs(metric, a, -b)) * 5
    torch.testing.assert_close(space.distance(x, y).double(), truth, rtol=0, atol=1e-5)


@dtypes
def test_a_point_and_its_antipode_are_one(dtype):
    space = ProjectivePlane()
    x, y = space.sample(50, seeded(3), dtype=dtype).requires_grad_(), space.sample(50, seeded(4), dtype=dtype)
    y = torch.cat([y, space.project(x.detach() + 1e-5 * torch.randn(50, 3, generator=seeded(5), dtype=dtype))])
    assert torch.equal(space.distance(x, y), space.distance(x, -y)) and torch.equal(space.distance(x, y), space.distance(-x, y))
    gradients = [torch.autograd.grad(space.distance(x, sign * y).sum(), x)[0] for sign in (1, -1)]
    torch.testing.assert_close(*gradients)


def test_projective_distances_are_exact_to_relative_rounding():
    x = ProjectivePlane().sample(20, seeded(6), dtype=torch.float64)
    y = ProjectivePlane().project(x + 1e-7 * torch.randn(20, 3, generator=seeded(7), dtype=torch.float64))
    with mpmath.workdps(120):
        for a, b in zip(x, y, strict=True):
            u, v = ([mpmath.mpf(c.item()) for c in p] for p in (a, -b))
            size = mpmath.sqrt(sum(c * c for c in u) * sum(c * c for c in v))
            truth = 5 * mpmath.acos(abs(sum(p * q for p, q in zip(u, v, strict=True))) / size)
            assert ProjectivePlane().distance(a[None], -b[None]).item() == pytest.approx(float(truth), rel=1e-7)


def test_projective_plane_is_uniform_and_its_chart_keeps_area():
    flat = ProjectivePlane().chart(ProjectivePlane().sample(8000, seeded(8), dtype=torch.float64)) / 5 / math.sqrt(2)
    assert kolmogorov(flat.norm(dim=-1) ** 2) < 2.2
    assert kolmogorov((torch.atan2(flat[:, 1], flat[:, 0]) / math.pi + 1) / 2) < 2.2


# --- hyperbolic disc --------------------------------------------------------------------------------------------------

def exact(a, b, unit):
    "Law of cosines, in many digits"
    with mpmath.workdps(120):
        (p, q), (r, s) = ([mpmath.mpf(c.item()) / unit for c in point] for point in (a, b))
        rho, sigma = mpmath.sqrt(p * p + q * q), mpmath.sqrt(r * r + s * s)
        cosine = (p * r + q * s) / (rho * sigma) if rho * sigma else mpmath.mpf(1)
        ratio = mpmath.cosh(rho) * mpmath.cosh(sigma) - mpmath.sinh(rho) * mpmath.sinh(sigma) * cosine
        return float(unit * mpmath.acosh(max(mpmath.mpf(1), ratio)))


@dtypes
@pytest.mark.parametrize("radius", [1., 5., 40., 80.])
def test_hyperbolic_distances_have_all_their_digits(dtype, radius):
    "Far and near, at the centre and at the rim; the error is relative to the distance, times the length that is curved"
    space = HyperbolicDisc(radius)
    x = space.sample(12, seeded(1), dtype=dtype)
    x = torch.cat([x, torch.zeros(1, 2, dtype=dtype), 1e-4 * x[:4], x / x.norm(dim=-1, keepdim=True) * radius * .999])
    near = [x + size * torch.randn(x.shape, generator=seeded(2), dtype=dtype) for size in (1e-6, 1e-3, 1.)]
    for y in (x.flip(0), *map(space.project, near)):
        for a, b, d in zip(x, y, space.distance(x[:, None], y[:, None])[:, 0, 0], strict=True):
            truth = exact(a.double(), b.double(), 2.)
            assert d.item() == pytest.approx(truth, rel=20 * torch.finfo(dtype).eps * (1 + radius / 2), abs=1e-30)


def test_hyperbolic_against_geomstats():
    space = HyperbolicDisc(4., -1.)
    x, y = space.sample(30, seeded(3), dtype=torch.float64), space.sample(20, seeded(4), dtype=torch.float64)
    metric = geomstats("poincare_ball").PoincareBall(2).metric
    truth = all_pairs(metric, space.chart(x) / 2, space.chart(y) / 2)
    torch.testing.assert_close(space.distance(x, y), truth.view(30, 20), rtol=1e-7, atol=1e-7)


def test_little_curvature_is_flat():
    flat, x = HyperbolicDisc(5., -1e-10), HyperbolicDisc(5., -1e-10).sample(50, seeded(5), dtype=torch.float64)
    torch.testing.assert_close(flat.distance(x), torch.cdist(x, x), rtol=1e-7, atol=1e-7)


@dtypes
def test_hyperbolic_is_uniform_by_area(dtype):
    for space in (HyperbolicDisc(), HyperbolicDisc(5., -4.)):
        x = space.sample(8000, seeded(6), dtype=dtype).double()
        area = ((x.norm(dim=-1) / space.unit).cosh() - 1) / (math.cosh(space.radius / space.unit) - 1)
        assert kolmogorov(area) < 2.2 and kolmogorov((torch.atan2(x[:, 1], x[:, 0]) / math.pi + 1) / 2) < 2.2


@dtypes
def test_the_gradient_of_hyperbolic_distance_has_length_one_and_is_right_at_the_centre(dtype):
    "Its length by the metric dρ² + sinh²ρ dφ²"
    space = HyperbolicDisc(4., -1.)
    x, y = (space.sample(200, seeded(seed), dtype=dtype) for seed in (7, 8))
    x.requires_grad_()
    gradient, = torch.autograd.grad(space.distance(x[:, None], y[:, None]).sum(), x)
    rho = x.detach().norm(dim=-1)
    u = x.detach() / rho[:, None]
    along, aside = (gradient * u).sum(-1), (gradient[:, 1] * u[:, 0] - gradient[:, 0] * u[:, 1]) * rho / rho.sinh()
    torch.testing.assert_close(torch.hypot(along, aside), torch.ones(200, dtype=dtype), rtol=0, atol=1e-3 if dtype == torch.float32 else 1e-9)
    centre = torch.zeros(1, 2, dtype=dtype, requires_grad=True)
    gradient, = torch.autograd.grad(space.distance(centre, y[:1]).sum(), centre)
    torch.testing.assert_close(gradient[0], -y[0] / y[0].norm())


def test_euclidean_factor():
    space = Product(Euclidean(2), Circle())
    x = space.sample(10, seeded(9), dtype=torch.float64)
    torch.testing.assert_close(space.distance(x), (torch.cdist(x[:, :2], x[:, :2]) ** 2 + Circle().distance(x[:, 2:]) ** 2).sqrt(), rtol=1e-6, atol=1e-6)
