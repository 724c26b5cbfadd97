"""What ours is compared with.

*Published*: written anew from the equations, computed as the published scripts compute: numpy in float64 for paths, one rat's batch at a
time; all differences of positions and centres; the network called once each for scores, softmax and log-softmax; masks multiplied in
at each call; the penalty and, where places are trained, all distances under automatic differentiation.

*Plain*: what a good engineer writes with torch alone: `nn.RNN`, float32 on torch, one forward pass, `torch.nn.utils.prune`.
"""

import math
import warnings

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, prune
from torch.utils.data import default_collate

BOX, DT, SPEED, TURN, WALL, SIGMA = 2.2, 0.02, 0.13 * 2 * math.pi, 11.52, 0.03, 0.12  # m, s, m/s, rad/s, m, m


# --- navigation: data --------------------------------------------------------------------------------------------------


def draw_walks(n: int, steps: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    "Start (n, 2) in m, heading (n,) in rad, speed (n, steps) in m/s and turn (n, steps) in rad of random walks"
    return (rng.uniform(-BOX / 2, BOX / 2, (n, 2)), rng.uniform(0, 2 * np.pi, n),
            rng.rayleigh(SPEED, (n, steps)), rng.normal(0, TURN, (n, steps)) * DT)


def numpy_paths(start: np.ndarray, heading: np.ndarray, speed: np.ndarray, turn: np.ndarray) -> np.ndarray:
    "Positions (n, steps + 1, 2) in m"
    n, steps = speed.shape
    position = np.zeros((n, steps + 1, 2))
    position[:, 0] = start
    for t in range(steps):
        x, y = position[:, t, 0], position[:, t, 1]
        gaps = np.stack([BOX / 2 - x, BOX / 2 - y, BOX / 2 + x, BOX / 2 + y])
        wall = np.arange(4)[np.argmin(gaps, axis=0)] * np.pi / 2
        off = np.mod(heading - wall + np.pi, 2 * np.pi) - np.pi
        hits = (np.min(gaps, axis=0) < WALL) & (np.abs(off) < np.pi / 2)
        v = speed[:, t].copy()
        v[hits] *= 0.25
        heading = heading.copy()
        heading[hits] += np.sign(off[hits]) * (np.pi / 2 - np.abs(off[hits]))
        move = (v * DT)[:, None] * np.stack([np.cos(heading), np.sin(heading)], axis=-1)
        position[:, t + 1] = np.clip(position[:, t] + move, -BOX / 2, BOX / 2)
        heading = heading + turn[:, t]
    return position


def place_activity(position: Tensor, centres: Tensor) -> Tensor:
    "Activity (..., P) at positions (..., 2), from all differences (..., P, 2)"
    squares = ((position[..., None, :] - centres) ** 2).sum(-1).float()
    activity = torch.softmax(-squares / (2 * SIGMA**2), -1) - torch.softmax(-squares / (4 * SIGMA**2), -1)
    activity = activity + activity.min(-1, keepdim=True).values.abs()
    return activity / activity.sum(-1, keepdim=True)


class PublishedData:
    "Batches as the published generator makes them: displacements (T, batch, 2), activity at the start, activities, positions"

    def __init__(self, batch: int, steps: int, cells: int, seed: int = 0):
        self.batch, self.steps, self.rng = batch, steps, np.random.default_rng(seed)
        self.centres = torch.tensor(self.rng.uniform(-BOX / 2, BOX / 2, (cells, 2)))  # float64, as numpy gives it

    def __call__(self) -> tuple[Tensor, ...]:
        walk = numpy_paths(*draw_walks(self.batch, self.steps, self.rng))
        velocity = torch.tensor(np.diff(walk, axis=1), dtype=torch.float32).transpose(0, 1)
        position = torch.tensor(walk[:, 1:], dtype=torch.float32).transpose(0, 1)
        start = torch.tensor(walk[:, 0], dtype=torch.float32)
        return velocity, place_activity(start, self.centres), place_activity(position, self.centres), position


class PlainData(PublishedData):
    "The same in float32 on torch"

    def __init__(self, batch: int, steps: int, cells: int, seed: int = 0):
        super().__init__(batch, steps, cells, seed)
        self.centres, self.generator = self.centres.float(), torch.Generator().manual_seed(seed)

    def paths(self) -> Tensor:
        "Positions (T + 1, batch, 2) in m"
        n, steps, draw = self.batch, self.steps, dict(generator=self.generator)
        position, heading = (torch.rand(n, 2, **draw) - 0.5) * BOX, torch.rand(n, **draw) * 2 * math.pi
        speed = SPEED * torch.sqrt(-2 * torch.log1p(-torch.rand(steps, n, **draw)))
        turn = TURN * DT * torch.randn(steps, n, **draw)
        walk = [position]
        for v, bend in zip(speed, turn, strict=True):
            gap, wall = torch.cat([BOX / 2 - position, BOX / 2 + position], -1).min(-1)
            off = torch.remainder(heading - wall * math.pi / 2 + math.pi, 2 * math.pi) - math.pi
            hits = (gap < WALL) & (off.abs() < math.pi / 2)
            heading = torch.where(hits, heading + off.sign() * (math.pi / 2 - off.abs()), heading)
            v = torch.where(hits, v / 4, v) * DT
            position = (position + v[:, None] * torch.stack([heading.cos(), heading.sin()], -1)).clamp(-BOX / 2, BOX / 2)
            heading = heading + bend
            walk.append(position)
        return torch.stack(walk)

    def __call__(self) -> tuple[Tensor, ...]:
        walk = self.paths()
        activity = place_activity(walk, self.centres)
        return walk.diff(dim=0), activity[0], activity[1:], walk[1:]


# --- navigation: network and step --------------------------------------------------------------------------------------


class Integrator(nn.Module):
    "Encoder, `nn.RNN` and decoder"

    def __init__(self, hidden: int, cells: int):
        super().__init__()
        self.encoder = nn.Linear(cells, hidden, bias=False)
        self.rnn = nn.RNN(2, hidden, nonlinearity="relu", bias=False)
        self.decoder = nn.Linear(hidden, cells, bias=False)

    def forward(self, velocity: Tensor, start: Tensor) -> Tensor:
        return self.decoder(self.rnn(velocity, self.encoder(start)[None])[0])

    def prunable(self) -> list[tuple[nn.Module, str]]:
        return [(self.encoder, "weight"), (self.rnn, "weight_hh_l0"), (self.rnn, "weight_ih_l0"), (self.decoder, "weight")]


def prune_globally(weights: list[tuple[nn.Module, str]], amount: float) -> None:
    "Global magnitude pruning; `nn.RNN` is told of its new weights with a warning that concerns GPUs alone"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prune.global_unstructured(weights, pruning_method=prune.L1Unstructured, amount=amount)


def published_loss(net: Integrator, batch: tuple[Tensor, ...], centres: Tensor, coefficients: Tensor, strength: float) -> tuple[Tensor, float]:
    "Cross entropy and penalty; position error in m"
    velocity, start, activity, position = batch
    scores = net(velocity, start)
    likely = torch.softmax(net(velocity, start), -1)  # computed and not used, as published
    loss = -(activity * torch.log_softmax(net(velocity, start), -1)).sum(-1).mean()
    loss = loss + (strength * coefficients * net.rnn.weight_hh_l0.abs()).mean()
    decoded = centres[scores.topk(3).indices].mean(-2)
    del likely
    return loss, (position - decoded).norm(dim=-1).mean().item()


def plain_loss(net: Integrator, batch: tuple[Tensor, ...], coefficients: Tensor, strength: float) -> Tensor:
    "Cross entropy and penalty"
    velocity, start, activity, _ = batch
    loss = -(activity * torch.log_softmax(net(velocity, start), -1)).sum(-1).mean()
    return loss + strength * (coefficients * net.rnn.weight_hh_l0.abs()).mean()


# --- penalties ---------------------------------------------------------------------------------------------------------


def torus_distances(places: Tensor) -> Tensor:
    "Distances (N, N) on the flat torus of side 10 of places (N, 2)"
    a, b = places.T[:, :, None], places.T[:, None, :]
    return torch.linalg.norm(torch.minimum(torch.remainder(a - b, 10), torch.remainder(b - a, 10)), dim=0)


def difference_of_gaussians(d: Tensor) -> Tensor:
    "Inhibitor: the greatest value of g less g(d), eq. 8"
    square = math.log(20) / (4 - 1 / 5)
    top = 100 * (math.exp(-square / 5) - math.exp(-4 * square))
    return top - 100 * (torch.exp(-(d**2) / 5) - torch.exp(-4 * d**2))


def penalty(weight: Tensor, coefficients: Tensor, strength: float) -> Tensor:
    "Eq. 6 in mean form, as one product"
    return (strength * coefficients * weight.abs()).mean()


# --- adding ------------------------------------------------------------------------------------------------------------


class AddingNet(nn.Module):
    "The published network: one linear map of input and state, in a loop over time"

    def __init__(self, hidden: int):
        super().__init__()
        self.step, self.out = nn.Linear(2 + hidden, hidden), nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(len(x), self.out.in_features)
        for t in range(x.shape[1]):
            h = torch.relu(self.step(torch.cat((x[:, t], h), 1)))
        return self.out(h)[:, 0]

    def prunable(self) -> list[tuple[nn.Module, str]]:
        return [(self.step, "weight"), (self.out, "weight")]

    def recurrent(self) -> Tensor:
        return self.step.weight[:, 2:]


class PlainAddingNet(nn.Module):
    "The same with `nn.RNN`"

    def __init__(self, hidden: int):
        super().__init__()
        self.rnn, self.out = nn.RNN(2, hidden, nonlinearity="relu", batch_first=True), nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.rnn(x)[0][:, -1])[:, 0]

    def prunable(self) -> list[tuple[nn.Module, str]]:
        return [(self.rnn, "weight_ih_l0"), (self.rnn, "weight_hh_l0"), (self.out, "weight")]

    def recurrent(self) -> Tensor:
        return self.rnn.weight_hh_l0


def published_sums(batch: int, steps: int, rng: np.random.Generator) -> list[Tensor]:
    "Inputs (batch, steps, 2) and sums (batch,), sample by sample"
    samples = []
    for _ in range(batch):
        values, marks = rng.random((steps, 1)), np.zeros((steps, 1))
        two = rng.choice(steps, 2, replace=False)
        marks[two] = 1
        samples.append((torch.tensor(np.hstack((values, marks)), dtype=torch.float32), torch.tensor(values[two].sum(), dtype=torch.float32)))
    return default_collate(samples)


def plain_sums(batch: int, steps: int) -> tuple[Tensor, Tensor]:
    "The same for the whole batch"
    values = torch.rand(batch, steps)
    marks = torch.zeros(batch, steps).scatter_(1, torch.rand(batch, steps).topk(2).indices, 1)
    return torch.stack([values, marks], -1), (values * marks).sum(1)


def adding_step(net: nn.Module, optimizer: torch.optim.Optimizer, batch, coefficients: Tensor, strength: float = 1e-3) -> Tensor:
    "One step of training on the adding problem; its loss"
    x, y = batch
    optimizer.zero_grad()
    loss = (net(x) - y).square().mean()
    (loss + penalty(net.recurrent(), coefficients, strength)).backward()
    clip_grad_norm_(net.parameters(), 0.5)
    optimizer.step()
    return loss
