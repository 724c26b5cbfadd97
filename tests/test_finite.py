"""Finite spaces beside exact geodesics, networkx, closed forms and plain loops; and what they refuse."""

import itertools
import math
import pickle
import subprocess
import sys

import networkx
import numpy
import potpourri3d
import pygeodesic.geodesic
import pytest
import scipy.sparse
import torch
from scipy.spatial import ConvexHull
from test_manifolds import seeded

from modreg.geometry.checks import check_manifold
from modreg.geometry.finite import (
    MOST_POINTS,
    DistanceMatrix,
    Graph,
    Mesh,
    PointCloud,
    classical_scaling,
    farthest_points,
    named_files,
    shortest_paths,
    triangle_excess,
)
from modreg.geometry.inhibitors import DifferenceOfGaussians, covering_radius, matched, matched_covering, mean_coefficient
from modreg.geometry.manifolds import Circle, Sphere, Torus, manifold
from modreg.geometry.products import Modules, Product
from modreg.lab.training import fit
from modreg.sparsity.regularizer import ModuliRegularizer
from modreg.tasks.navigation import Navigation, NavigationConfig


def ball(n, bumps=0.):
    "A ball of radius 1 with bumps: points on a spiral, and their convex hull"
    height = 1 - (2 * numpy.arange(n) + 1) / n
    turn, width = math.pi * (1 + 5 ** .5) * numpy.arange(n), numpy.sqrt(1 - height ** 2)
    x = numpy.stack([width * numpy.cos(turn), width * numpy.sin(turn), height], 1)
    wave = numpy.sin(4 * x[:, :1]) * numpy.cos(3 * x[:, 1:2] + 1) * numpy.sin(4 * x[:, 2:])
    return x * (1 + bumps * wave), ConvexHull(x).simplices.astype(int)


def ring(around, over, bumps=0.):
    "A torus with bumps: squares of a grid, each cut in two"
    u, v = numpy.meshgrid(numpy.arange(around) / around * 2 * math.pi, numpy.arange(over) / over * 2 * math.pi, indexing="ij")
    tube = .8 * (1 + bumps * numpy.sin(3 * u) * numpy.cos(2 * v))
    x = numpy.stack([(2 + tube * numpy.cos(v)) * numpy.cos(u), (2 + tube * numpy.cos(v)) * numpy.sin(u), tube * numpy.sin(v)], -1).reshape(-1, 3)
    a = numpy.arange(around * over).reshape(around, over)
    b, c, d = numpy.roll(a, -1, 0), numpy.roll(a, -1, 1), numpy.roll(a, (-1, -1), (0, 1))
    return x, numpy.concatenate([numpy.stack(t, -1).reshape(-1, 3) for t in ((a, b, d), (a, d, c))])


def exact(vertices, faces):
    "Exact geodesics between all corners"
    solver = pygeodesic.geodesic.PyGeodesicAlgorithmExact(vertices, faces)
    return torch.from_numpy(numpy.stack([solver.geodesicDistances(numpy.array([k]), None)[0] for k in range(len(vertices))]))


def plain_excess(d):
    return max(0., *((d[i, j] - d[i, k] - d[k, j]).item() for i, j, k in itertools.product(range(len(d)), repeat=3)))


ON_TORUS = Torus().distance(Torus().sample(40, seeded(), dtype=torch.float64))
MESH, GRAPH = Mesh(*ball(200)), Graph([(k, (k + 1) % 30) for k in range(30)])
SPACES = [DistanceMatrix(ON_TORUS), GRAPH, MESH, PointCloud(ball(100)[0]), Mesh(*ring(20, 10), landmarks=50), DistanceMatrix([[0.]])]
spaces = pytest.mark.parametrize("space", SPACES, ids=repr)


# --- every finite space -----------------------------------------------------------------------------------------------

@spaces
def test_is_a_metric(space):
    d = space.matrix
    assert d.dtype == torch.float64 and torch.equal(d, d.T) and (d.diagonal() == 0).all() and (d >= 0).all()
    assert (d <= (d[:, :, None] + d[None]).amin(1) + 1e-9 * space.diameter).all() and space.diameter == d.max().item()


@spaces
def test_check_manifold(space):
    ok, why = check_manifold(space)
    assert ok or (space.diameter == 0 and "diameter is 0" in why)


@spaces
def test_points_are_indices(space):
    n = len(space)
    for count in (0, 1, n // 2, n, n + 1, 3 * n + 2):
        x = space.sample(count, seeded(count))
        assert x.dtype == torch.int64 and x.shape == (count, 1) and space.check(x) == (True, "") and torch.equal(x, space.sample(count, seeded(count)))
        times = x.flatten().bincount(minlength=n)
        assert count == 0 or times.max() - times.min() <= 1, "no point is taken twice as long as there are others"
    x, y = space.sample((2, 3, 5), seeded(1)), space.sample((3, 4), seeded(2))
    d = space.distance(x, y)
    assert d.shape == (2, 3, 5, 4) and d[1, 2, 3, 1] == space.matrix[x[1, 2, 3, 0], y[2, 1, 0]]
    assert torch.equal(space.project(x), x) and space.project(torch.tensor([[-5], [10**9]])).flatten().tolist() == [0, n - 1]
    assert space.chart(x).shape == (2, 3, 5, 2) and space.chart(x).isfinite().all()
    assert not space.check(torch.tensor([[n]]))[0] and "float32" in space.check(x.float())[1]
    for bad in (torch.tensor([[-1]]), torch.tensor([[n]])):
        with pytest.raises(ValueError, match="indices from"):
            space.distance(bad)
    with pytest.raises(TypeError, match="int64"):
        space.distance(x.float())
    assert not space.trainable and space.coordinates == 1


def test_single_draws_are_uniform():
    "As for a mean over pairs, where each set has one point"
    times = GRAPH.sample((30_000, 1), seeded(3)).flatten().bincount(minlength=30)
    assert ((times - 1000) / math.sqrt(1000 * 29 / 30)).square().sum() < 60  # chi-square of 29 degrees of freedom; above 60 once in 1,600


@spaces
def test_scaled_equal_and_pickled(space):
    x = space.sample(5, seeded(4))
    large = space.scaled(3.)
    torch.testing.assert_close(large.distance(x), 3 * space.distance(x))
    torch.testing.assert_close(large.chart(x), 3 * space.chart(x))
    twin = pickle.loads(pickle.dumps(space))
    assert twin == space and hash(twin) == hash(space) and (large != space or space.diameter == 0) and type(large) is type(space)
    with pytest.raises(ValueError, match="factor"):
        space.scaled(0)


def test_matched_in_price():
    f = DifferenceOfGaussians()
    assert matched_covering(GRAPH, 6., 3, seeded()).diameter == pytest.approx(GRAPH.diameter * 6 / covering_radius(GRAPH, 3, seeded()))
    with pytest.raises(ValueError, match="at every point"):
        matched_covering(GRAPH, 1., 30, seeded())
    for space in (GRAPH, MESH, Modules(MESH, GRAPH)):
        alike = matched(space, f, 60., 20_000, seeded())
        assert mean_coefficient(alike, f, 20_000, seeded(1)) == pytest.approx(60., abs=1.5)


@spaces
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_in_the_regularizer(space, dtype):
    "Drawn or given, in the dtype of the weights, beside a plain double loop; never trained"
    layer, f, n = torch.nn.GRU(2, 7, dtype=dtype), DifferenceOfGaussians(), 7
    given = torch.arange(7)[:, None] % len(space)
    for reg in (ModuliRegularizer(layer, space, f, .3, generator=seeded()), ModuliRegularizer(layer, space, f, .3, embedding=given)):
        weight, x = layer.weight_hh_l0, reg.embedding[:, 0].tolist()
        price = [[f(torch.tensor(space.matrix[x[u], x[v]].item(), dtype=dtype)) for v in range(n)] for u in range(n)]
        plain = .3 * sum(price[u][v] * weight[g * n + u, v].abs() for g in range(3) for u in range(n) for v in range(n)) / (3 * n * n)
        assert reg.embedding.dtype == torch.int64 and reg().dtype == dtype and reg.coefficients.dtype == dtype
        torch.testing.assert_close(reg(), plain, rtol=1e-4, atol=1e-6)
        wanted, = torch.autograd.grad(plain, weight)
        torch.testing.assert_close(torch.autograd.grad(reg(), weight)[0], wanted, rtol=1e-4, atol=1e-6)
        reg.project_()
        assert reg.embedding[:, 0].tolist() == x
    assert torch.equal(reg.embedding, given)
    with pytest.raises(ValueError, match="train_embedding"):
        ModuliRegularizer(layer, space, train_embedding=True)


def test_in_products_and_modules():
    both, either = Product(GRAPH, MESH, weights=(1, 2)), Modules(GRAPH, MESH, between=40)
    x, y = both.sample(30, seeded(1)), either.sample(30, seeded(1))
    assert x.dtype == y.dtype == torch.int64 and both.check(x) == either.check(y) == (True, "") and not both.trainable
    for i, j in itertools.product(range(0, 30, 7), repeat=2):
        (a, b), (c, d) = x[i].tolist(), x[j].tolist()
        assert both.distance(x)[i, j].item() == pytest.approx(math.hypot(GRAPH.matrix[a, c], 2 * MESH.matrix[b, d]))
        (m, p), (n, q) = y[i].tolist(), y[j].tolist()
        assert either.distance(y)[i, j].item() == pytest.approx(40 if m != n else [GRAPH, MESH][m].matrix[p, q].item())
    assert all(y[y[:, 0] == k, 1].unique().numel() == 15 for k in (0, 1)), "points of a module are dealt"
    with pytest.raises(ValueError, match="do not mix"):
        Product(GRAPH, "circle")


# --- matrices ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("matrix", "word"), [
    ([[0., 1., 2.]], "shape"), (torch.zeros(0, 0), "shape"), ([[0., 1.], [1., math.nan]], "not finite"), ([[0., math.inf], [math.inf, 0.]], r"not finite.*\[0, 1\]"),
    ([[0., -1.], [-1., 0.]], "negative"), ([[0., 1.], [1., .5]], r"0.5 at \[1, 1\]"), ([[0., 1.], [2., 0.]], r"not symmetric: 1 at \[0, 1\] and 2"),
    ([[0., 1., 5.], [1., 0., 1.], [5., 1., 0.]], r"5 from 0 to 2, 3 more than the way over 1 \(60.0% of the diameter\)")])
def test_what_is_no_matrix_of_distances(matrix, word):
    with pytest.raises(ValueError, match=word):
        DistanceMatrix(matrix)


def test_rounding_is_evened_out():
    wrong = ON_TORUS * (1 + 1e-7 * torch.rand(40, 40, generator=seeded(), dtype=torch.float64))
    space = DistanceMatrix(wrong.float())
    assert torch.equal(space.matrix, space.matrix.T)
    torch.testing.assert_close(space.matrix, ON_TORUS, rtol=1e-6, atol=1e-6)
    assert DistanceMatrix(torch.zeros(3, 3)).diameter == 0, "points may coincide"


def test_triangle_excess_and_shortest_paths_against_loops():
    steps = torch.rand(12, 12, generator=seeded(1), dtype=torch.float64)
    steps = (steps + steps.T).fill_diagonal_(0)
    excess, (i, k, j) = triangle_excess(steps)
    assert excess == pytest.approx(plain_excess(steps)) == pytest.approx((steps[i, j] - steps[i, k] - steps[k, j]).item())
    graph = networkx.from_numpy_array(steps.numpy())
    truth = dict(networkx.all_pairs_dijkstra_path_length(graph))
    torch.testing.assert_close(shortest_paths(steps), torch.tensor([[truth[u][v] for v in range(12)] for u in range(12)], dtype=torch.float64))
    assert DistanceMatrix(steps, repair=True) == DistanceMatrix(shortest_paths(steps)) and triangle_excess(shortest_paths(steps))[0] < 1e-12
    assert 0 < triangle_excess(steps, most=12 * 12 * 6)[0] <= excess


@pytest.mark.parametrize("suffix", ["npy", "csv", "txt"])
def test_from_a_file(tmp_path, suffix):
    path = tmp_path / f"d.{suffix}"
    if suffix == "npy":
        numpy.save(path, ON_TORUS.numpy())
    else:
        numpy.savetxt(path, ON_TORUS.numpy(), delimiter=", " if suffix == "csv" else " ")
    assert DistanceMatrix(path) == DistanceMatrix(str(path)) == DistanceMatrix(ON_TORUS) and str(path) in DistanceMatrix(path).name
    (tmp_path / "words.txt").write_text("one two")
    for wrong, error, word in (("none.npy", FileNotFoundError, "there is no file"), ("words.txt", ValueError, "can't be read as numbers")):
        for space in (DistanceMatrix, Graph):
            with pytest.raises(error, match=word):
                space(tmp_path / wrong)


def test_too_many_points_are_refused_before_memory_is_asked_for():
    with pytest.raises(ValueError, match=r"100,001 points, and 80.0 GB"):
        Graph([(0, 100_000)])
    assert MOST_POINTS == 20_000


def test_classical_scaling_finds_points_of_the_plane():
    x = torch.randn(30, 2, generator=seeded(2), dtype=torch.float64)
    torch.testing.assert_close(torch.cdist(*[classical_scaling(torch.cdist(x, x))] * 2), torch.cdist(x, x), rtol=1e-6, atol=1e-6)


# --- graphs -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("weighted", [False, True])
def test_graph_against_networkx(tmp_path, weighted):
    graph = networkx.connected_watts_strogatz_graph(40, 4, .3, seed=1)
    for k, (_, _, data) in enumerate(graph.edges(data=True)):
        data["weight"] = 1 + k % 7 * .37 if weighted else 1
    edges = [(u, v, data["weight"]) if weighted else (u, v) for u, v, data in graph.edges(data=True)]
    truth = dict(networkx.all_pairs_dijkstra_path_length(graph))
    truth = torch.tensor([[float(truth[u][v]) for v in range(40)] for u in range(40)], dtype=torch.float64)
    adjacency = networkx.to_numpy_array(graph)
    (tmp_path / "edges.csv").write_text("# from, to, length\n" + "\n".join(", ".join(map(str, edge)) for edge in edges))
    for made in (Graph(edges), Graph(torch.tensor(edges)), Graph.from_adjacency(adjacency), Graph.from_adjacency(scipy.sparse.csr_array(adjacency)), Graph(tmp_path / "edges.csv")):
        torch.testing.assert_close(made.matrix, truth, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(Graph(edges, scale=2.).matrix, 2 * truth)


def test_of_several_edges_the_shortest_counts_and_a_loop_none():
    assert Graph([(0, 1, 5.), (1, 0, 2.), (0, 1, 3.), (1, 1, .1)]).matrix.tolist() == [[0, 2], [2, 0]]


@pytest.mark.parametrize(("make", "word"), [
    (lambda: Graph([(0, 1), (2, 3)]), "2 pieces, of 2, 2 points"), (lambda: Graph([(0, 2)]), "pieces"), (lambda: Graph([(0, 1, 0.)]), "length of 0"),
    (lambda: Graph([(0, 1, -1.)]), "length of -1"), (lambda: Graph([(0, 1, math.inf)]), "length of inf"), (lambda: Graph([(0, .5)]), r"\[0.0, 0.5\] in row 0"),
    (lambda: Graph([(0, -1)]), "whole numbers"), (lambda: Graph([]), "shape"), (lambda: Graph([(0, 1, 2, 3)]), "shape"), (lambda: Graph([(0, math.nan)]), "nodes"),
    (lambda: Graph.from_adjacency([[0., 1.], [0., 0.]]), "symmetric"), (lambda: Graph.from_adjacency([[0., 1., 0.], [1., 0., 0.], [0., 0., 0.]]), "no edge to the last"),
    (lambda: Graph([(0, 1)], scale=-1), "scale")])
def test_what_is_no_graph(make, word):
    with pytest.raises(ValueError, match=word):
        make()


# --- meshes and clouds ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("surface", "mean", "most"), [
    (ball(300), .015, .04), (ball(400, .25), .015, .06), (ring(30, 16), .015, .07), (ring(30, 16, .2), .015, .07)], ids=["ball", "bumpy ball", "ring", "bumpy ring"])
def test_mesh_against_exact_geodesics(surface, mean, most):
    "As shares of the diameter; measured 1.1 to 1.3 % in the mean, 3 to 5.5 % at most"
    truth, space = exact(*surface), Mesh(*surface)
    off = (space.matrix - truth).abs() / truth.max()
    assert off.mean() < mean and off.max() < most and space.asymmetry < .06
    assert (space.matrix >= torch.cdist(*[torch.from_numpy(surface[0])] * 2) - 1e-6).all()


def test_mesh_of_a_ball_against_great_circles():
    vertices, faces = ball(600)
    truth = Sphere(radius=1.).distance(torch.from_numpy(vertices))
    assert (Mesh(vertices, faces).matrix - truth).abs().mean() < .015 * math.pi
    assert (PointCloud(vertices).matrix - truth).abs().mean() < .03 * math.pi


def test_a_flat_square_has_straight_lines():
    "A mesh with an edge: the distance in a square is that of the plane"
    grid = numpy.stack(numpy.meshgrid(numpy.arange(15.), numpy.arange(15.), indexing="ij"), -1).reshape(-1, 2)
    corner = numpy.arange(225).reshape(15, 15)
    a, b, c, d = corner[:-1, :-1], corner[1:, :-1], corner[:-1, 1:], corner[1:, 1:]
    faces = numpy.concatenate([numpy.stack(t, -1).reshape(-1, 3) for t in ((a, b, d), (a, d, c))])
    space = Mesh(numpy.column_stack([grid, numpy.zeros(225)]), faces)
    truth = torch.cdist(torch.from_numpy(grid), torch.from_numpy(grid))
    assert (space.matrix - truth).abs().max() < .06 * truth.max() and (space.matrix >= truth - 1e-6).all()


def test_landmarks_are_spread():
    vertices, faces = ring(30, 16)
    space, all_of_it = Mesh(vertices, faces, landmarks=60), Mesh(vertices, faces)
    assert len(space) == 60 and len(all_of_it) == 480 and numpy.array_equal(vertices[space.chosen, :2], space.flat.numpy())
    off = (space.matrix - exact(vertices, faces)[space.chosen][:, space.chosen]).abs() / all_of_it.diameter
    assert off.mean() < .03 and off.max() < .1
    best = farthest_points(vertices, 60)
    apart = numpy.linalg.norm(vertices[best][:, None] - vertices[best], axis=-1) + 99 * numpy.eye(60)
    reach = numpy.linalg.norm(vertices[:, None] - vertices[best], axis=-1).min(1).max()
    assert apart.min() >= reach, "each is at least as far from the others as any vertex from the nearest of them"


@pytest.mark.parametrize("suffix", ["obj", "ply", "off"])
def test_mesh_from_a_file(tmp_path, suffix):
    (vertices, faces), path = ball(60), tmp_path / f"cortex.{suffix}"
    if suffix == "obj":
        potpourri3d.write_mesh(vertices, faces, str(path))
    else:
        head = {"ply": f"ply\nformat ascii 1.0\nelement vertex 60\nproperty double x\nproperty double y\nproperty double z\nelement face {len(faces)}\n"
                       "property list uchar int vertex_indices\nend_header\n", "off": f"OFF\n60 {len(faces)} 0\n"}[suffix]
        path.write_text(head + "".join("{} {} {}\n".format(*map(repr, map(float, v))) for v in vertices) + "".join("3 {} {} {}\n".format(*f) for f in faces))
    space = Mesh(path)
    torch.testing.assert_close(space.matrix, Mesh(vertices, faces).matrix, rtol=1e-4, atol=1e-4)
    assert str(path) in space.name


def test_a_task_takes_spaces_by_name(tmp_path):
    "A graph, a mesh and modules of both, from files, in a run that prunes; and blocks of neighbours on them"
    potpourri3d.write_mesh(*ball(100), str(tmp_path / "ball.obj"))
    (tmp_path / "ring.csv").write_text("\n".join(f"{k}, {(k + 1) % 40}" for k in range(40)))
    for text, block in ((f"graph({tmp_path}/ring.csv)", 4), (f"mesh({tmp_path}/ball.obj)", None), (f"graph({tmp_path}/ring.csv)+mesh({tmp_path}/ball.obj)", 4)):
        config = NavigationConfig(scale="tiny", device="cpu", seeds=2, hidden=24, epochs=2, batches=2, manifold=text, block=block, lottery=False, out=str(tmp_path / "runs"))
        named = Navigation(config).run.path
        (tmp_path / "ring.csv").write_text((tmp_path / "ring.csv").read_text() + "\n0, 20")
        assert (Navigation(config).run.path != named) == ("ring" in text), "another file under the same name makes another run"
        zeros = fit(Navigation(config), progress=False).result["phases"]["train"]["sparsity"]
        assert len(zeros) == 2 and all(abs(share - .9) < 1e-3 for share in zeros)


def test_files_are_found_in_text(tmp_path):
    paths = [tmp_path / name for name in ("a.ply", "b c (1), d=e.obj")]
    for path in paths:
        path.write_text("")
    assert named_files(f"2mesh({paths[0]}, landmarks=3)*torus + mesh('{paths[1]}')") == paths and named_files("torus(period=20)") == []


def test_names_of_files_make_the_spaces_again(tmp_path):
    potpourri3d.write_mesh(*ball(60), str(tmp_path / "a, b (1).obj"))
    potpourri3d.write_point_cloud(ball(60)[0], str(tmp_path / "cloud.ply"))
    (tmp_path / "edges.csv").write_text("0, 1\n1, 2")
    (tmp_path / "matrix.txt").write_text("0 1 5\n1 0 1\n5 1 0")
    for space in (Mesh(tmp_path / "a, b (1).obj", landmarks=20, scale=2.), PointCloud(tmp_path / "cloud.ply"), Graph(tmp_path / "edges.csv").scaled(.3),
                  DistanceMatrix(tmp_path / "matrix.txt", repair=True), Product(Graph(tmp_path / "edges.csv"), Graph(tmp_path / "edges.csv"))):
        assert manifold(space.name) == space
    for text, error, word in (("mesh(no/such/cortex.ply)", FileNotFoundError, "there is no file 'no/such/cortex.ply'"), ("mesh", ValueError, "vertices"),
                              (f"distance_matrix({tmp_path / 'matrix.txt'})", ValueError, "repair=True")):
        with pytest.raises(error, match=word):
            manifold(text)
    assert manifold(f"graph({tmp_path / 'edges.csv'})").diameter == 2 and "points" in Graph([(0, 1)]).name


def test_cloud_from_a_file(tmp_path):
    potpourri3d.write_point_cloud(ball(60)[0], str(tmp_path / "cloud.ply"))
    torch.testing.assert_close(PointCloud(tmp_path / "cloud.ply").matrix, PointCloud(ball(60)[0]).matrix, rtol=1e-4, atol=1e-4)


VERTICES, FACES = ball(60)


@pytest.mark.parametrize(("make", "word"), [
    (lambda: Mesh(VERTICES), "faces is not given"), (lambda: Mesh(VERTICES[:, :2], FACES), r"vertices has shape \(60, 2\)"), (lambda: Mesh(VERTICES, FACES[:, :2]), "faces has shape"),
    (lambda: Mesh(VERTICES, FACES.astype(float)), "float64"), (lambda: Mesh(VERTICES, FACES + 1), "from 1 to 60"), (lambda: Mesh(VERTICES, FACES - 1), "from -1"),
    (lambda: Mesh(VERTICES * math.nan, FACES), "not finite"), (lambda: Mesh(VERTICES, numpy.concatenate([FACES, [[0, 0, 1]]])), "one corner twice"),
    (lambda: Mesh(numpy.concatenate([VERTICES, VERTICES + 5]), numpy.concatenate([FACES, FACES + 60])), "2 pieces, of 60, 60"),
    (lambda: Mesh(numpy.concatenate([VERTICES, [[0., 0, 2]]]), FACES), "2 pieces, of 60, 1"), (lambda: Mesh(VERTICES, FACES, landmarks=0), "landmarks"),
    (lambda: Mesh(VERTICES, FACES, landmarks=50_000), "1 to 20,000"), (lambda: PointCloud(VERTICES[:30]), "needs more"), (lambda: PointCloud(VERTICES + math.inf), "not finite"),
    (lambda: PointCloud(numpy.concatenate([VERTICES, VERTICES + 50])), "2 pieces"), (lambda: PointCloud(VERTICES[:, 0]), "shape"), (lambda: Mesh(VERTICES, FACES, scale=0.), "scale")])
def test_what_is_no_surface(make, word):
    with pytest.raises(ValueError, match=word):
        make()


def test_files_that_are_no_surfaces(tmp_path):
    (tmp_path / "x.ply").write_text("hello")
    (tmp_path / "x.docx").write_text("hello")
    for space in (Mesh, PointCloud):
        with pytest.raises(FileNotFoundError, match="there is no file"):
            space(tmp_path / "none.ply")
        for name in ("x.ply", "x.docx"):
            with pytest.raises(ValueError, match="can't be read"):
                space(tmp_path / name)


def test_without_the_extra_one_is_told_how_to_get_it():
    code = """
import sys
for name in ("scipy", "potpourri3d"): sys.modules[name] = None
import modreg.geometry.finite as finite
assert finite.DistanceMatrix([[0., 1.], [1., 0.]]).diameter == 1
for make in (lambda: finite.Graph([(0, 1)]), lambda: finite.Mesh([[0., 0, 0], [0, 1, 0], [1, 0, 0]], [[0, 1, 2]])):
    try: make()
    except ImportError as error: assert "modreg[geometry]" in str(error), error
    else: raise AssertionError
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_middle_of_a_circle_of_nodes_is_a_circle():
    "A ring of edges is as good as the circle itself, up to the size of a step"
    space, circle = GRAPH.scaled(Circle().period / 30), Circle()
    x = torch.arange(30)[:, None]
    torch.testing.assert_close(space.distance(x), circle.distance(x.double() * circle.period / 30), rtol=1e-6, atol=1e-6)
