"""Which manifold: planted wiring and activity are told apart, chance is called chance, and what makes no sense is refused by name."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from modreg import RNN, DistanceMatrix, Torus
from modreg.analysis import which_manifold as module
from modreg.analysis.which_manifold import NONE, SPACES, affinity, place, planted, ranks, which_manifold
from modreg.geometry.manifolds import manifold
from modreg.lab.experiments import load_results
from modreg.layers.edges import EdgeRNN


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("space", ["circle", "sphere", "torus", "klein", None])
def test_planted_wiring_is_recognized(space):
    "The quick version of the confusion matrix that the chapter draws"
    ranking = which_manifold(planted(space, 120, 0.8, 0, seeded(3)), spaces=["circle", "sphere", "torus", "klein"], controls=1, generator=seeded(1))
    assert ranking.answer == (space or NONE), str(ranking)
    assert ranking.spaces[0] == (space or ranking.spaces[0]) and ranking.confidence > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("space", [*SPACES, None])
def test_planted_wiring_is_recognized_in_nine_of_ten_trials(space):
    answers = [which_manifold(planted(space, 200, 0.7, 0, seeded(seed)), controls=1, generator=seeded(100 + seed)).answer for seed in range(20)]
    assert answers.count(space or NONE) >= 18, answers


def test_stored_confusion_matrix_is_of_twenty_trials_and_right_at_the_lowest_noise():
    rows = load_results("which_manifold")
    lowest = [row for row in rows if row["noise"] == 0 and row["sparsity"] == 0.7]
    assert {row["planted"] for row in lowest} == {*SPACES, None}
    for row in rows:
        assert len(row["answers"]) >= 20 and set(row["answers"]) <= {*SPACES, NONE}
    for row in lowest:
        assert row["answers"].count(row["planted"] or NONE) >= 0.9 * len(row["answers"]), row


@pytest.mark.parametrize("space", ["circle", "torus"])
def test_activity_is_recognized(space):
    "Cells with bumps of activity on a space, along random points of it; each cell shifted in time by its own step passes for nothing"
    there = manifold(space)
    cells, states = there.sample(70, seeded(0)), there.sample(1500, seeded(1))
    width = {"circle": 4.0, "sphere": 4.0, "torus": 2.0}[space]
    rates = torch.exp(-((there.distance(states, cells) / width) ** 2)) + 0.2 * torch.randn(1500, 70, generator=seeded(2))
    ranking = which_manifold(activity=rates.numpy(), spaces=["circle", "sphere", "torus"], controls=1, generator=seeded(3))
    assert ranking.answer == space, str(ranking)
    shuffled = torch.stack([rates[:, k].roll(37 * k) for k in range(70)], 1)
    assert which_manifold(activity=shuffled, spaces=["circle", "torus"], controls=1, generator=seeded(3)).answer == NONE


def test_no_answer_by_degrees_alone():
    "A few hubs are joined to all others: that is no geometry"
    hub = torch.rand(120, generator=seeded(0)) ** 3
    weights = (torch.rand(120, 120, generator=seeded(1)) < 0.8 * hub.sqrt() * hub.sqrt()[:, None]).float()
    weights = weights * torch.rand(120, 120, generator=seeded(2))
    assert which_manifold(weights, spaces=["circle", "sphere", "torus"], controls=2, generator=seeded(3)).answer == NONE


NETWORKS = {
    "rnn": lambda weight: nn.RNN(3, len(weight)), "stacked": lambda weight: nn.RNN(3, len(weight), 2), "gru": lambda weight: nn.GRU(3, len(weight)), "lstm": lambda weight: nn.LSTM(3, len(weight)),
    "cell": lambda weight: nn.GRUCell(3, len(weight)), "ours": lambda weight: RNN(3, len(weight)), "replica": lambda weight: RNN(3, len(weight), replicas=1),
    "model": lambda weight: nn.Sequential(nn.Linear(2, 3), nn.GRU(3, len(weight))),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_in_one_line(name):
    "Every kind of layer gives the weight that was put into it"
    weight = planted("circle", 60, 0.8, 0, seeded())
    network = NETWORKS[name](weight)
    holder = module._layers(network)[0]
    own = getattr(holder, "weight_hh_l0", None)
    own = holder.weight_hh if own is None else own
    with torch.no_grad():
        own.copy_(weight.repeat(own.shape[-2] // 60, 1))
    found = module._recurrent_weight(network, 0)
    torch.testing.assert_close(found, weight.abs() * math.sqrt(own.shape[-2] // 60) if own.shape[-2] > 60 else weight)


def test_edge_layers_arrays_and_halves_are_taken():
    weight = planted("circle", 60, 0.8, 0, seeded())
    layer = EdgeRNN(2, 60, (weight != 0).nonzero().T.flip(0), generator=seeded())
    torch.testing.assert_close(module._recurrent_weight(layer, 0), layer.dense())
    answers = {which_manifold(given, spaces=["circle"], controls=1, generator=seeded()).answer for given in (weight.numpy(), weight.double(), weight.half(), nn.Parameter(weight))}
    assert answers == {"circle"}


def test_float32_and_float64_and_a_generator_give_the_same():
    weight = planted("torus", 80, 0.8, 0, seeded())
    first, again = (which_manifold(w, spaces=["circle", "torus"], controls=1, generator=seeded(5)) for w in (weight, weight.double()))
    assert torch.equal(first.scores, again.scores) and torch.equal(first.controls["rewired"], again.controls["rewired"])


def test_unconnected_neurons_are_left_out_and_large_networks_thinned():
    weight = torch.zeros(100, 100)
    weight[20:, 20:] = planted("circle", 80, 0.8, 0, seeded())
    ranking = which_manifold(weight, spaces=["circle"], controls=1, generator=seeded())
    assert ranking.neurons.tolist() == list(range(20, 100)) and ranking.embeddings["circle"].shape == (80, 1)
    few = which_manifold(weight, spaces=["circle"], controls=1, neurons=50, generator=seeded())
    assert len(few.neurons) <= 50 and few.neurons.min() >= 20


def nan(x: torch.Tensor) -> torch.Tensor:
    x = x.clone()
    x[1, 2] = math.nan
    return x


BAD = {
    "few": (dict(network=torch.randn(12, 12)), "12 neurons are connected"),
    "not square": (dict(network=torch.randn(40, 60)), "not square"),
    "one dimension": (dict(network=torch.randn(40)), "two dimensions"),
    "nan": (dict(network=nan(torch.randn(40, 40))), "1 entries that are nan"),
    "infinite": (dict(network=torch.randn(40, 40) / torch.zeros(40, 40)), "nan or infinite"),
    "zero": (dict(network=torch.zeros(40, 40)), "0 of 40 neurons are connected"),
    "diagonal": (dict(network=torch.eye(40)), "0 of 40 neurons are connected"),
    "equal": (dict(network=torch.ones(40, 40)), "same magnitude"),
    "complex": (dict(network=torch.randn(40, 40) + 1j), "real"),
    "text": (dict(network="torus"), "give a tensor or an array"),
    "no layer": (dict(network=nn.Linear(40, 40)), "no RNN, GRU or LSTM"),
    "two layers": (dict(network=nn.ModuleList([nn.RNN(2, 40), nn.GRU(2, 40)])), "2 recurrent layers"),
    "layer": (dict(network=nn.RNN(2, 40), layer=1), "layer is 1"),
    "negative layer": (dict(network=nn.RNN(2, 40), layer=-1), "layer"),
    "replicas": (dict(network=RNN(2, 40, replicas=3)), "3 replicas"),
    "projected": (dict(network=nn.LSTM(2, 40, proj_size=4)), "proj_size"),
    "nothing": (dict(), "either a network or"),
    "both": (dict(network=torch.randn(40, 40), activity=torch.randn(100, 40)), "either a network or"),
    "constant": (dict(activity=torch.ones(100, 40)), "constant"),
    "silent": (dict(activity=torch.cat([torch.randn(100, 20), torch.zeros(100, 20)], 1)), "20 of 40 neurons"),
    "few cells": (dict(activity=torch.randn(100, 8)), "8 of 8 neurons"),
    "short": (dict(activity=torch.randn(10, 40)), "10 times"),
    "nan activity": (dict(activity=nan(torch.randn(100, 40))), "activity has 1 entries"),
    "batches": (dict(activity=torch.randn(5, 100, 40)), "two dimensions"),
    "no spaces": (dict(network=torch.randn(40, 40), spaces=[]), "list of candidates"),
    "one space": (dict(network=torch.randn(40, 40), spaces="torus"), "sequence"),
    "unknown space": (dict(network=torch.randn(40, 40), spaces=["tours"]), "torus"),
    "finite": (dict(network=torch.randn(40, 40), spaces=[DistanceMatrix(Torus().distance(Torus().sample(50, seeded())))]), "finite space"),
    "no controls": (dict(network=torch.randn(40, 40), controls=0), "controls"),
    "neurons": (dict(network=torch.randn(40, 40), neurons=5), "neurons"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_makes_no_sense_is_refused_by_name(name):
    given, said = BAD[name]
    with pytest.raises((ValueError, TypeError), match=said):
        which_manifold(**given)


def test_ranks_are_scipys():
    from scipy.stats import rankdata

    values = torch.randint(9, (40, 40), generator=seeded()).double()
    pairs = ~torch.eye(40, dtype=torch.bool)
    expected = rankdata(values[pairs].numpy())
    expected = (expected - expected.mean()) / expected.std(ddof=1)
    np.testing.assert_allclose(ranks(values, pairs)[pairs].numpy(), expected, atol=1e-5)


def test_a_neurons_gain_does_not_make_it_near():
    "Twice all weights of a neuron, in and out, change no rank"
    weight = planted("circle", 60, 0.8, 0, seeded()).double()
    pairs = ~torch.eye(60, dtype=torch.bool)
    a = affinity(torch.ones(60, 60, dtype=torch.double))
    torch.testing.assert_close(a[pairs], torch.full((60 * 59,), 1 / 59, dtype=torch.double))
    assert torch.equal(affinity(weight), affinity(weight).T)


def test_held_back_pairs_are_not_looked_at():
    "What stands at unknown pairs changes nothing"
    values = ranks(affinity(planted("circle", 60, 0.8, 0, seeded())), ~torch.eye(60, dtype=torch.bool))
    known = torch.rand(60, 60, generator=seeded(1)).triu(1)
    known = (known + known.T > 0.2) & ~torch.eye(60, dtype=torch.bool)
    spoiled = torch.where(known, values, 100 * torch.randn(60, 60, generator=seeded(2)))
    assert torch.equal(place("circle", values, known, seeded(3)), place("circle", spoiled, known, seeded(3)))


@pytest.mark.parametrize("name", [*SPACES, "s3", "r2", "projective", "hyperbolic", "torus*circle", "circle+circle"])
def test_every_smooth_space_can_be_a_candidate(name):
    space = manifold(name)
    values = ranks(-space.distance(space.sample(60, seeded())), ~torch.eye(60, dtype=torch.bool))
    points = place(name, values, ~torch.eye(60, dtype=torch.bool), seeded(1))
    assert points.shape == (60, space.coordinates) and space.contains(points).all()


def test_rank_of_embedding_can_be_used_for_the_penalty():
    "The points are an embedding that the regularizer takes"
    from modreg import ModuliRegularizer

    layer = nn.RNN(2, 60)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(planted("circle", 60, 0.8, 0, seeded()))
    ranking = which_manifold(layer, spaces=["circle"], controls=1, generator=seeded())
    cost = ModuliRegularizer(layer, "circle", strength=0.1, embedding=ranking.embeddings["circle"])()
    assert cost.isfinite()
