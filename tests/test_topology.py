"""Persistent homology: manifolds whose holes are known, two libraries against each other, plain matchings, and what is refused."""

import itertools
import math

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modreg.analysis import topology
from modreg.analysis.topology import alpha_homology, betti_band, betti_numbers, bottleneck_distance, farthest_landmarks, persistent_homology, wasserstein_distance
from modreg.geometry.finite import PointCloud
from modreg.geometry.manifolds import manifold
from modreg.lab.training import Remember, RememberConfig

KNOWN = {("circle", 2): (1, 1, 0), ("sphere", 2): (1, 0, 1), ("torus", 2): (1, 2, 1), ("torus", 3): (1, 2, 1), ("klein", 2): (1, 2, 1), ("klein", 3): (1, 1, 0)}
REACH = {"circle": 11.0, "sphere": 9.9, "torus": 4.2, "klein": 4.2}  # beyond, nothing is born that lives long


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("name", "field"), KNOWN)
def test_holes_of_the_manifolds(name, field):
    """The acceptance cases: 3,000 points, 250 landmarks."""
    space = manifold(name)
    found = persistent_homology(space.sample(3000, seeded()), space, field=field, threshold=REACH[name])
    assert len(found.landmarks) == 250 and found.field == field
    assert betti_numbers(found) == KNOWN[name, field]
    for degree, count in enumerate(KNOWN[name, field]):  # and there is a gap: a long bar is twice as long as any other
        lengths = found.lengths(degree).tolist()
        assert count == 0 or lengths[count - 1] > 2 * max([*lengths[count:], 0.0])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize(("name", "field"), KNOWN)
def test_holes_of_the_manifolds_in_other_samples(name, field, seed):
    space = manifold(name)
    assert betti_numbers(persistent_homology(space.sample(3000, seeded(seed)), name, field=field)) == KNOWN[name, field]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["circle", "sphere", "torus", "klein"])
@pytest.mark.parametrize("field", [2, 3, 5])
def test_ripser_and_gudhi_agree(name, field, dtype):
    space = manifold(name)
    points = space.sample(400, seeded(), dtype=dtype)
    one, other = (persistent_homology(points, space, field=field, landmarks=40, engine=engine) for engine in topology.ENGINES)
    for degree in range(3):
        assert bottleneck_distance(one, other, degree) < 1e-4
        assert betti_numbers(one) == betti_numbers(other)


def test_space_points_and_matrix_say_the_same():
    points = torch.randn(60, 4, generator=seeded(), dtype=torch.float64)
    expected = persistent_homology(points)
    as_matrix = persistent_homology(torch.cdist(points, points), "precomputed")
    as_array = persistent_homology(torch.cdist(points, points).numpy(), "precomputed")
    cloud = PointCloud(points[:, :3].numpy(), landmarks=60)
    finite = persistent_homology(torch.arange(60)[:, None], cloud)
    by_matrix = persistent_homology(cloud.matrix, "precomputed")
    for one, other in ((expected, as_matrix), (expected, as_array), (finite, by_matrix)):
        for a, b in zip(one.bars, other.bars, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_landmarks_by_plain_loops():
    points = torch.randn(50, 3, generator=seeded(), dtype=torch.float64)
    chosen, between, cover = farthest_landmarks(points, n=12)
    distance = [[math.dist(a, b) for b in points.tolist()] for a in points.tolist()]
    expected = [0]
    while len(expected) < 12:
        gaps = [min(distance[i][k] for k in expected) for i in range(50)]
        expected.append(max(range(50), key=gaps.__getitem__))
    assert chosen.tolist() == expected
    assert cover == pytest.approx(max(min(distance[i][k] for k in expected) for i in range(50)))
    torch.testing.assert_close(between, torch.tensor(distance, dtype=torch.float64)[expected][:, expected])


def test_copies_are_no_landmarks():
    points = torch.randn(5, 2, generator=seeded()).repeat(10, 1)
    found = persistent_homology(points, landmarks=20)
    assert len(found.landmarks) == 5 and found.cover == 0


def test_order_of_points_does_not_matter_without_landmarks():
    points = torch.randn(40, 2, generator=seeded())
    one, other = persistent_homology(points), persistent_homology(points[torch.randperm(40, generator=seeded(1))])
    assert all(bottleneck_distance(one, other, k) < 1e-5 for k in range(3))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_few_points(count):
    found = persistent_homology(torch.eye(3)[:count])
    assert [len(bars) for bars in found.bars] == [count, 0, 0]
    assert betti_numbers(found, 0.0)[1:] == (0, 0)


def test_pieces_that_stay_apart_are_counted():
    points = torch.cat([0.1 * torch.randn(50, 2, generator=seeded()), 10 + 0.1 * torch.randn(50, 2, generator=seeded(1))])
    assert betti_numbers(persistent_homology(points, landmarks=40, threshold=3.0))[0] == 2


def test_alpha_complex_is_rooted():
    """A regular polygon of circumradius 2: its loop dies there, and is born at half its side."""
    angle = 2 * math.pi * torch.arange(7, dtype=torch.float64) / 7
    found = alpha_homology(2 * torch.stack([angle.cos(), angle.sin()], -1))
    assert found.bars[1].tolist()[0] == pytest.approx([2 * math.sin(math.pi / 7), 2])


@pytest.mark.parametrize("columns", [2, 3])
def test_alpha_complex_and_all_pairs_see_the_same_pieces(columns):
    """Pieces of the two complexes are the same; a radius is half a distance."""
    points = torch.randn(80, columns, generator=seeded())
    torch.testing.assert_close(2 * alpha_homology(points).bars[0][1:], persistent_homology(points).bars[0][1:], rtol=1e-5, atol=1e-5)


# --- distances between diagrams ----------------------------------------------------------------------------------------

diagrams = st.lists(st.tuples(st.floats(0, 10, width=32), st.floats(0, 5, width=32)).map(lambda bar: (bar[0], bar[0] + bar[1])), max_size=6)


def moves(a, b):
    """Costs of moving each dot of a, and as many of the diagonal as b has, to those of b and of the diagonal."""
    cost = numpy.zeros((len(a) + len(b), len(a) + len(b)))
    for i, p in enumerate(a):
        cost[i, :len(b)] = [max(abs(p[0] - q[0]), abs(p[1] - q[1])) for q in b]
        cost[i, len(b):] = (p[1] - p[0]) / 2
    for j, q in enumerate(b):
        cost[len(a):, j] = (q[1] - q[0]) / 2
    return cost


few = diagrams.filter(lambda bars: len(bars) <= 3)


@given(few, few)
@settings(max_examples=60, deadline=None)
def test_wasserstein_is_the_best_matching(a, b):
    one, other = (torch.tensor(bars, dtype=torch.float64).reshape(-1, 2) for bars in (a, b))
    for order in (1, 2, 3.5):
        cost = moves(a, b) ** order
        expected = min(sum(cost[i, j] for i, j in enumerate(ways)) for ways in itertools.permutations(range(len(cost)))) ** (1 / order)
        assert wasserstein_distance(one, other, order=order) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_wasserstein_is_gudhis(seed):
    """Where no bar is short: gudhi's crashes, or does not end, if all bars of a diagram lie on the diagonal."""
    from gudhi.hera import wasserstein_distance as gudhis

    born, lives = torch.rand(2, 30, generator=seeded(seed), dtype=torch.float64), 0.1 + torch.rand(2, 30, generator=seeded(seed + 10), dtype=torch.float64)
    one, other = torch.stack([born, born + lives], -1)
    for order in (1, 2):
        assert wasserstein_distance(one, other[:20], order=order) == pytest.approx(gudhis(one.numpy(), other[:20].numpy(), order=order, internal_p=math.inf, delta=1e-7), rel=1e-4)


def test_bars_of_no_length_are_no_trouble():
    flat, bar = torch.tensor([[8.25, 8.25]]), torch.tensor([[0.0, 4.5], [1e-38, 1e-30]])
    assert wasserstein_distance(bar, flat, order=2) == pytest.approx(2.25)
    assert bottleneck_distance(bar, flat) == pytest.approx(2.25)


@given(few, few)
@settings(max_examples=60, deadline=None)
def test_bottleneck_is_the_best_matching(a, b):
    one, other = (torch.tensor(bars, dtype=torch.float64).reshape(-1, 2) for bars in (a, b))
    cost = moves(a, b)
    expected = min(max([cost[i, j] for i, j in enumerate(order)], default=0) for order in itertools.permutations(range(len(cost))))
    assert bottleneck_distance(one, other) == pytest.approx(expected, abs=1e-6)


def test_bars_that_never_end():
    one, other = torch.tensor([[0.0, math.inf], [1, 2]]), torch.tensor([[0.5, math.inf]])
    assert bottleneck_distance(one, other) == pytest.approx(0.5)
    assert wasserstein_distance(one, other) == pytest.approx(1.0)
    assert bottleneck_distance(one, other[:0]) == wasserstein_distance(one, other[:0]) == math.inf


# --- bands -------------------------------------------------------------------------------------------------------------


def ring(n, noise, seed=0):
    points = torch.nn.functional.normalize(torch.randn(n, 2, generator=seeded(seed)), dim=-1)
    return points + noise * torch.randn(n, 2, generator=seeded(seed + 100))


def test_band_of_a_ring_and_of_a_blob():
    options = dict(degree=1, landmarks=60, resamples=10)
    assert betti_band(ring(300, 0.1), generator=seeded(), **options)["low"] == [1, 1]
    blob = betti_band(torch.randn(300, 2, generator=seeded()), generator=seeded(), **options)
    assert blob["betti"][1] == 0 and blob["width"] > 0
    whole = betti_band(ring(150, 0.1), degree=1, resamples=10, generator=seeded())  # every point is a landmark
    assert whole["betti"] == whole["low"] == whole["high"] == [1, 1] and whole["longer_than"] == 2 * whole["width"]
    again = betti_band(torch.randn(300, 2, generator=seeded()), generator=seeded(), **options)
    assert again == blob
    stated = betti_band(ring(300, 0.1), longer_than=0.5, generator=seeded(), **options)
    assert stated["longer_than"] == 0.5 and stated["betti"] == [1, 1]


def test_band_of_a_matrix():
    points = ring(400, 0.05)
    band = betti_band(torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist"), "precomputed", degree=1, resamples=5, landmarks=60, generator=seeded())
    assert band["betti"] == [1, 1]


# --- what is refused ---------------------------------------------------------------------------------------------------

good = torch.tensor([[0.0, 1, 2], [1, 0, 1.5], [2, 1.5, 0]])


def changed(i, j, x):
    matrix = good.clone()
    matrix[i, j] = x
    return matrix


@pytest.mark.parametrize(("matrix", "why"), [
    (changed(0, 1, 1.5), "not symmetric"), (changed(0, 1, math.nan), "not finite"), (changed(0, 1, math.inf), "not finite"), (changed(0, 1, -1.0), "negative"),
    (changed(1, 1, 0.5), r"\[1, 1\].*distance 0 from itself"), (good[:2], "square"), (good[0], "square"), (torch.zeros(0, 0), "square"), (good.to(torch.complex64), "real")])
def test_what_is_no_distance_matrix_is_refused(matrix, why):
    with pytest.raises(ValueError, match=why):
        persistent_homology(matrix, "precomputed")


@pytest.mark.parametrize(("points", "options", "kind", "why"), [
    (torch.randn(5), {}, ValueError, "shape"), (torch.zeros(0, 3), {}, ValueError, "shape"), (torch.full((3, 2), math.nan), {}, ValueError, "finite"),
    (torch.randn(5, 3), {"space": "torus"}, ValueError, "shape"), (torch.full((5, 2), 12.0), {"space": "torus"}, ValueError, "project"),
    (torch.randn(5, 2), {"space": "torsu"}, ValueError, "torus"), (torch.randn(5, 2), {"space": 3}, TypeError, "Manifold"),
    (torch.randn(5, 2), {"degree": 3}, ValueError, "degree is 3"), (torch.randn(5, 2), {"degree": True}, ValueError, "degree"), (torch.randn(5, 2), {"field": 4}, ValueError, "prime"),
    (torch.randn(5, 2), {"field": 131}, ValueError, "up to 127"), (torch.randn(5, 2), {"landmarks": 0}, ValueError, "landmarks"),
    (torch.randn(5, 2), {"threshold": -1.0}, ValueError, "threshold"), (torch.randn(5, 2), {"threshold": math.nan}, ValueError, "threshold"),
    (torch.randn(5, 2), {"engine": "dionysus"}, ValueError, "ripser")])
def test_what_can_not_be_is_refused(points, options, kind, why):
    with pytest.raises(kind, match=why):
        persistent_homology(points, **options)


@pytest.mark.parametrize(("engine", "memory"), [("ripser", 0.1), ("gudhi", 1e-4)])
def test_too_large_a_request_is_refused_before_it_is_made(engine, memory):
    points = torch.randn(200, 3, generator=seeded())
    with pytest.raises(ValueError, match=r"GiB.*fewer landmarks"):
        persistent_homology(points, engine=engine, memory=memory)


def test_counts_of_simplices_by_hand():
    """Of a complete graph, binomial coefficients."""
    close = (1 - numpy.eye(12)).astype(numpy.float32)
    assert [topology._cliques(close, k) for k in (1, 2, 3, 4)] == pytest.approx([math.comb(12, k) for k in (1, 2, 3, 4)])


def test_a_threshold_must_come_from_somewhere():
    found = persistent_homology(torch.randn(20, 2, generator=seeded()))
    with pytest.raises(ValueError, match="longer_than"):
        betti_numbers(found)
    with pytest.raises(ValueError, match="longer_than"):
        betti_numbers(found, -1.0)
    with pytest.raises(ValueError, match="degree is 5"):
        found.lengths(5)
    with pytest.raises(ValueError, match="degree is missing"):
        bottleneck_distance(found, found)
    with pytest.raises(ValueError, match="no diagram"):
        wasserstein_distance(torch.tensor([[2.0, 1.0]]), torch.zeros(0, 2))
    with pytest.raises(ValueError, match="level"):
        betti_band(torch.randn(20, 2), level=1.5)
    with pytest.raises(ValueError, match=r"\(N, 2\) or \(N, 3\)"):
        alpha_homology(torch.randn(20, 4))


# --- trained embeddings ------------------------------------------------------------------------------------------------


def moving(**others):
    return Remember(RememberConfig(**dict(scale="tiny", device="cpu", manifold="torus", train_embedding=True, embedding_lr=0.3, sparsity=0.0, lottery=False, seeds=2, epochs=2, batches=5) | others))


def test_course_of_an_embedding():
    course = topology.embedding_course(moving(), [0, 1, 2])
    space = manifold("torus")
    assert [points.shape for points in course.values()] == [(2, 32, 2)] * 3
    assert (course[0] != course[1]).any() and (course[1] != course[2]).any()
    torch.testing.assert_close(course[0], torch.stack([space.sample(32, g) for g in moving().generators("embedding", 0)]))
    alone = topology.embedding_course(moving(seeds=1, seed=1), [2])
    torch.testing.assert_close(alone[2][0], course[2][1], rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="train_embedding"):
        topology.embedding_course(moving(train_embedding=False, embedding_lr=None), [0])
    with pytest.raises(ValueError, match="from 0 to 2"):
        topology.embedding_course(moving(), [3])


def test_misreading_is_that_of_the_published_code():
    """`(N, n)` in memory, taken for `n` rows of `N`."""
    points = torch.randn(4, 7, 3, generator=seeded())
    for one, other in zip(points, topology.misread(points), strict=True):
        assert (other.numpy() == numpy.reshape(one.numpy(), (3, 7)).T).all()


def test_verdict_hears_a_ring_and_not_uniform_points():
    null = topology.uniform_prominence("torus", 40, seeded(), nulls=10)

    def row(clouds, space):
        return {"null": null, "prominence": [topology.prominence(persistent_homology(cloud, space)) for cloud in clouds]}

    assert "more prominent" in topology.verdict(row([ring(40, 0.02, k) for k in range(3)], "euclidean")).split(";")[0]
    uniform = topology.verdict(row([manifold("torus").sample(40, seeded(k)) for k in range(50, 55)], "torus"))
    assert "more prominent" not in uniform
    blob = torch.stack([5 + 0.3 * torch.randn(40, 2, generator=seeded(k)) for k in range(3)])
    assert "less prominent" in topology.verdict(row(blob, "torus")).split(";")[0]


def test_study_from_the_command_line(tmp_path, monkeypatch):
    import json

    from modreg.lab import studies

    monkeypatch.setattr(studies, "RESULTS", tmp_path)
    monkeypatch.setattr(topology, "NULLS", 3)
    small = {"scale": "tiny", "hidden": 12, "place_cells": 16, "epochs": 2, "batches": 2, "seeds": 2}
    topology.main(["r3", "--rates", "0.5", *(word for name, x in small.items() for word in ("-p", name, str(x)))])
    rows = json.loads((tmp_path / "embeddings.json").read_text())
    assert [(row["epoch"], row["reading"]) for row in rows] == [(epoch, reading) for epoch in (0, 1, 2) for reading in ("right", "misread")]
    assert all(len(row["prominence"]) == 2 for row in rows) and rows[-1]["moved"][0] > 0.1
