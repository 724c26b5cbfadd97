"""Slow points against closed forms, and what is refused."""

import math

import pytest
import torch
from torch import nn

from modreg import RNN
from modreg.analysis.attractors import jacobian, kept_distances, silent_step, slow_points


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_linear_system(dtype):
    "It rests at (1 - A)^-1 b alone, and its eigenvalues are those of A"
    matrix = 0.8 * torch.linalg.qr(torch.randn(5, 5, generator=seeded(), dtype=torch.float64))[0]
    shift = torch.randn(5, generator=seeded(1), dtype=torch.float64)
    found = slow_points(lambda h: h @ matrix.T + shift, torch.randn(12, 5, generator=seeded(2), dtype=dtype))
    assert found.states.shape == (1, 5) and found.states.dtype == torch.float64
    torch.testing.assert_close(found.states[0], torch.linalg.solve(torch.eye(5) - matrix, shift), atol=1e-6, rtol=0)
    torch.testing.assert_close(found.eigenvalues[0].abs(), torch.full((5,), 0.8, dtype=torch.float64), atol=1e-9, rtol=0)
    assert found.unstable.tolist() == [0] and found.neutral.tolist() == [0]


def test_bistable_unit():
    "h -> tanh(2h) rests at 0, unstable with slope 2, and at ± the root of h = tanh(2h), stable"
    found = slow_points(lambda h: torch.tanh(2 * h), torch.linspace(-1.5, 1.5, 41, dtype=torch.float64)[:, None])
    root = 1.0
    for _ in range(200):
        root = math.tanh(2 * root)
    order = found.states[:, 0].argsort()
    torch.testing.assert_close(found.states[order, 0], torch.tensor([-root, 0, root], dtype=torch.float64), atol=1e-4, rtol=0)
    assert found.unstable[order].tolist() == [0, 1, 0]
    assert found.eigenvalues[order, 0].real[1].item() == pytest.approx(2, abs=1e-3)
    assert found.eigenvalues[order, 0].real[0].item() == pytest.approx(2 * (1 - root**2), abs=1e-3)


def test_hopfield_patterns_rest():
    "Two orthogonal patterns stored by Hebb's rule are stable, and so are their negatives"
    patterns = torch.tensor([[1.0] * 8, [1.0, -1] * 4], dtype=torch.float64)
    weights = 2 * patterns.T @ patterns / 8
    starts = torch.cat([patterns, -patterns]) + 0.2 * torch.randn(4, 8, generator=seeded(), dtype=torch.float64)
    found = slow_points(lambda h: torch.tanh(h @ weights.T), starts)
    assert len(found.states) == 4 and found.unstable.tolist() == [0] * 4
    assert {tuple(row) for row in found.states.sign().int().tolist()} == {tuple(row) for row in torch.cat([patterns, -patterns]).int().tolist()}


def test_ring_attractor_has_one_neutral_direction():
    "W = (4 cos - 1/2) / n with ReLU and a drive of 1 rests at every angle; an uneven ring only at some"
    angle = 2 * math.pi * torch.arange(64, dtype=torch.float64) / 64
    weights = (4 * torch.cos(angle[:, None] - angle) - 0.5) / 64
    turned = torch.linspace(0, 2 * math.pi, 25, dtype=torch.float64)[:-1, None] + 0.02
    bumps = 2 * math.pi * torch.relu(torch.cos(angle - turned))
    found = slow_points(lambda h: torch.relu(h @ weights.T + 1), bumps, steps=200)
    assert len(found.states) == 24 and found.speeds.max() < 1e-3 and found.neutral.double().mean() > 0.6 and found.neutral.max() == 1
    kept, _ = kept_distances(lambda h: torch.relu(h @ weights.T + 1), found.states, 100)
    assert kept[-1] > 0.98
    one, size = kept_distances(lambda h: 0.5 * h, found.states, 30)
    torch.testing.assert_close(one[:10], torch.ones(10), atol=1e-6, rtol=0)  # all shrink alike
    torch.testing.assert_close(size, 0.5 ** torch.arange(31.0), atol=1e-6, rtol=1e-5)


LAYERS = {
    "rnn": lambda: nn.RNN(2, 6), "relu": lambda: nn.RNN(2, 6, nonlinearity="relu", batch_first=True), "gru": lambda: nn.GRU(2, 6), "cell": lambda: nn.RNNCell(2, 6), "gru cell": lambda: nn.GRUCell(2, 6),
    "ours": lambda: RNN(2, 6, generator=seeded()), "replica": lambda: RNN(2, 6, replicas=1, generator=seeded()),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_followed_step_by_step(name):
    "A step is what the layer says of one time, with and without news; its jacobian is that of differences; the layer stays as it is"
    layer = LAYERS[name]()
    before = [p.clone() for p in layer.parameters()]
    state, news = torch.randn(3, 6, generator=seeded(1)), torch.randn(2, generator=seeded(2))
    for inputs in (None, news):
        told = (torch.zeros(2) if inputs is None else inputs).expand(3, 2)
        if isinstance(layer, nn.RNNCellBase):
            expected = layer(told, state)
        elif getattr(layer, "replicas", None):
            expected = layer(told[None, None], state[None, None])[1][0, 0]
        else:
            expected = layer(told[:, None] if layer.batch_first else told[None], state[None])[1][0]
        torch.testing.assert_close(silent_step(layer, inputs)(state.double()).float(), expected.detach(), atol=1e-6, rtol=1e-5)
    step, at = silent_step(layer, news), state[0].double()
    found, e = jacobian(step, at), 1e-6
    numeric = torch.stack([(step((at + e * axis)[None]) - step((at - e * axis)[None]))[0] / (2 * e) for axis in torch.eye(6, dtype=torch.float64)], 1)
    torch.testing.assert_close(found, numeric, atol=1e-6, rtol=1e-5)
    assert all(torch.equal(p, q) and p.requires_grad for p, q in zip(layer.parameters(), before, strict=True))
    assert slow_points(layer, state, steps=100).states.shape[1] == 6


BAD = {
    "lstm": (lambda: slow_points(nn.LSTM(2, 4), torch.zeros(2, 4)), "no single state"), "linear": (lambda: slow_points(nn.Linear(4, 4), torch.zeros(2, 4)), "no single state"),
    "stacked": (lambda: slow_points(nn.RNN(2, 4, 2), torch.zeros(2, 4)), "several layers"), "replicas": (lambda: slow_points(RNN(2, 4, replicas=2), torch.zeros(2, 4)), "replicas"),
    "inputs": (lambda: slow_points(nn.RNN(2, 4), torch.zeros(2, 4), torch.zeros(3)), r"give \(2,\)"), "number": (lambda: slow_points(3, torch.zeros(2, 4)), "give a Module, or a function"),
    "starts": (lambda: slow_points(torch.tanh, torch.zeros(4)), "starts"), "whole": (lambda: slow_points(torch.tanh, torch.zeros(2, 4, dtype=torch.int64)), "starts"),
    "nan": (lambda: slow_points(torch.tanh, torch.full((2, 4), math.nan)), "starts"), "none": (lambda: slow_points(torch.tanh, torch.zeros(0, 4)), "starts"),
    "shape": (lambda: slow_points(lambda h: h[:, :2], torch.zeros(2, 4)), "keep their shape"), "steps": (lambda: slow_points(torch.tanh, torch.zeros(2, 4), steps=0), "steps"),
    "slow": (lambda: slow_points(torch.tanh, torch.zeros(2, 4), slow=-1), "slow"), "few": (lambda: kept_distances(torch.tanh, torch.zeros(2, 4)), "at least 3"),
    "same": (lambda: kept_distances(torch.tanh, torch.ones(5, 4)), "the same"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused(name):
    call, said = BAD[name]
    with pytest.raises((TypeError, ValueError), match=said):
        call()


def test_a_network_that_never_rests_has_no_points():
    found = slow_points(lambda h: h + 1, torch.randn(4, 3, generator=seeded()), steps=20)
    assert found.states.shape == (0, 3) and found.unstable.shape == (0,)
