"""Graph measures against networkx and graphs whose answer is known, and rewiring that keeps degrees."""

import math

import networkx
import numpy as np
import pytest
import torch

from modreg import Circle
from modreg.analysis.wiring import MEASURES, against_chance, graph_measures, measures_over_time, rewired


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def matrix(graph: networkx.Graph) -> torch.Tensor:
    return torch.from_numpy(networkx.to_numpy_array(graph))


GRAPHS = {
    "random": networkx.gnp_random_graph(60, 0.1, seed=1), "small world": networkx.connected_watts_strogatz_graph(60, 6, 0.1, seed=2), "hubs": networkx.barabasi_albert_graph(60, 3, seed=3),
    "path": networkx.path_graph(12), "complete": networkx.complete_graph(9), "two parts": networkx.disjoint_union(networkx.path_graph(5), networkx.complete_graph(4)), "star": networkx.star_graph(15),
}


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_measures_are_networkxs(name, dtype):
    graph = GRAPHS[name]
    found = graph_measures(matrix(graph).to(dtype), generator=seeded())
    degrees = np.array([degree for _, degree in graph.degree()])
    steps = [step for lengths in dict(networkx.all_pairs_shortest_path_length(graph)).values() for step in lengths.values() if step]
    scale = torch.tensor(degrees, dtype=torch.float64).clamp(min=1).sqrt()
    exponential = torch.linalg.matrix_exp(matrix(graph) / scale / scale[:, None])
    off = ~torch.eye(len(degrees), dtype=torch.bool)
    hubs = sorted(range(len(degrees)), key=lambda k: -degrees[k])[: max(2, len(degrees) // 10)]
    expected = {"connections": degrees.mean(), "degree_spread": degrees.std() / degrees.mean(), "clustering": networkx.average_clustering(graph), "path_length": np.mean(steps),
                "communicability": exponential[off].mean().item(), "rich_club": networkx.density(graph.subgraph(hubs))}
    for measure, value in expected.items():
        assert found[measure] == pytest.approx(value, rel=2e-5, abs=1e-6), measure


def test_graphs_whose_answer_is_known():
    cliques = networkx.ring_of_cliques(8, 6)
    found = graph_measures(matrix(cliques), generator=seeded())
    assert found["modularity"] == pytest.approx(networkx.community.modularity(cliques, [range(6 * k, 6 * k + 6) for k in range(8)]))
    assert graph_measures(matrix(networkx.connected_watts_strogatz_graph(200, 10, 0.1, seed=0)), generator=seeded())["small_world"] > 4
    assert graph_measures(matrix(networkx.gnp_random_graph(200, 0.1, seed=0)), generator=seeded())["small_world"] == pytest.approx(1, abs=0.3)
    hubs = torch.zeros(40, 40)
    hubs[:4, :4], hubs[:4, 4:] = 1, torch.eye(4).repeat(1, 9)
    assert graph_measures(hubs, generator=seeded())["rich_club"] == 1


def test_directions_magnitudes_and_the_diagonal():
    "A connection either way joins; a neuron's weight to itself does not count; signs do not"
    weights = torch.zeros(5, 5)
    weights[0, 1], weights[2, 1], weights[3, 3], weights[4, 3] = 1, -2, 7, 0.5
    both = weights.abs() + weights.abs().T - weights.abs().diagonal().diag()
    one, other = graph_measures(weights, generator=seeded()), graph_measures(both, generator=seeded())
    assert one == pytest.approx(other, nan_ok=True) and one["connections"] == pytest.approx(6 / 5)


def test_wiring_length_is_a_plain_mean():
    space, weights = Circle(), torch.randn(20, 20, generator=seeded()) * (torch.rand(20, 20, generator=seeded(1)) < 0.2)
    distances = space.distance(space.sample(20, seeded(2)))
    joined = [distances[i, j].item() for i in range(20) for j in range(20) if i != j and (weights[i, j] or weights[j, i])]
    assert graph_measures(weights, distances, seeded())["wiring_length"] == pytest.approx(np.mean(joined), rel=1e-6)
    apart = distances.clone().fill_diagonal_(0)
    apart[:10, 10:] = apart[10:, :10] = math.inf  # two modules: no path leads from one to the other
    joined = [distances[i, j].item() for i in range(20) for j in range(20) if i != j and (weights[i, j] or weights[j, i]) and (i < 10) == (j < 10)]
    assert graph_measures(weights, apart, seeded())["wiring_length"] == pytest.approx(np.mean(joined), rel=1e-6)


@pytest.mark.parametrize("share", [0.02, 0.2, 0.7, 1.0])
@pytest.mark.parametrize("undirected", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rewiring_keeps_degrees_magnitudes_and_the_diagonal(share, undirected, dtype):
    weights = torch.randn(60, 60, generator=seeded(), dtype=dtype)
    weights = torch.where(torch.rand(60, 60, generator=seeded(1)) < share, weights, 0)
    if undirected:
        weights = weights.triu() + weights.triu(1).T
    before, found = weights.clone(), rewired(weights, seeded(2))
    assert torch.equal(weights, before) and found.dtype == dtype
    assert torch.equal((found != 0).sum(0), (weights != 0).sum(0)) and torch.equal((found != 0).sum(1), (weights != 0).sum(1))
    assert torch.equal(found.diagonal(), weights.diagonal()) and torch.equal(found.flatten().sort().values, weights.flatten().sort().values)
    assert torch.equal(found, found.T) == undirected and torch.equal(found, rewired(weights, seeded(2)))
    if share <= 0.7:
        kept = ((found != 0) & (weights != 0) & ~torch.eye(60, dtype=torch.bool)).sum() / ((weights != 0).sum() - (weights.diagonal() != 0).sum())
        assert kept == pytest.approx(share, abs=0.12)  # as many in common as by chance


def test_rewiring_is_uniform():
    "Of the two graphs in which neurons 0 and 3 have one partner and 1 and 2 have two, each comes half of the time"
    path = matrix(networkx.path_graph(4))
    same = sum(torch.equal(rewired(path, seeded(seed), rounds=25) != 0, path != 0) for seed in range(200))
    assert 70 < same < 130  # four standard deviations


def test_geometry_stands_out_against_equal_degrees():
    space = Circle()
    distances = space.distance(space.sample(80, seeded()))
    weights = torch.randn(80, 80, generator=seeded(1)) * (distances < 2)
    found = against_chance(weights, distances, 3, seeded(2))
    assert set(found) == set(MEASURES)
    value, mean, spread = found["clustering"]
    assert value > mean + 5 * spread and found["wiring_length"][0] < found["wiring_length"][1] / 2
    assert found["connections"][0] == pytest.approx(np.mean([((weights != 0) | (weights != 0).T).sum(0).float().mean() - 1]), abs=1e-6)


def test_over_time_takes_weights_and_masks():
    weights = torch.randn(30, 30, generator=seeded())
    moments = [weights * (weights.abs() > level) for level in (0.5, 1.0, 1.5)]
    found = measures_over_time(moments, generator=seeded())
    assert found["connections"].tolist() == [graph_measures(one, generator=seeded())["connections"] for one in moments]
    masks = measures_over_time([one != 0 for one in moments], generator=seeded())
    assert masks["clustering"].tolist() == found["clustering"].tolist()
    assert measures_over_time(moments[:1], nulls=2, generator=seeded())["clustering"].shape == (1, 3)


BAD = {
    "not square": (torch.ones(3, 4), "square"), "vector": (torch.ones(3), "square"), "one": (torch.ones(1, 1), "2 neurons"), "text": ("torus", "tensor of real numbers"), "whole": (torch.ones(3, 3, dtype=torch.int64), "floating"),
    "nan": (torch.full((3, 3), math.nan), "not finite"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("function", [graph_measures, rewired, against_chance])
def test_bad_weights_are_refused(name, function):
    weights, said = BAD[name]
    with pytest.raises((TypeError, ValueError), match=said):
        function(weights)


def test_other_bad_input():
    with pytest.raises(ValueError, match="differ in shape"):
        graph_measures(torch.ones(3, 3), torch.ones(4, 4))
    with pytest.raises(ValueError, match="nulls"):
        against_chance(torch.ones(3, 3), nulls=0)
    with pytest.raises(ValueError, match="empty"):
        measures_over_time([])
    assert math.isnan(graph_measures(torch.eye(4))["path_length"]) and graph_measures(torch.eye(4))["connections"] == 0
