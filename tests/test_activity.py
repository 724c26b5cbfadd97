"""The shape of activity: planted manifolds are told apart, shuffled activity has none, coordinates tell where one is, and what is refused."""

import itertools
import math

import pytest
import torch
from torch import nn

from modreg.analysis import activity
from modreg.analysis.activity import (
    activity_cloud,
    activity_shape,
    circular_coordinates,
    decode_paths,
    decoding_score,
    grid_cells,
    hidden_states,
    lift,
    planted_activity,
    reduced_basis,
    run_states,
    shifted,
    toroidal_coordinates,
)
from modreg.geometry.manifolds import manifold
from modreg.lab.training import Remember, RememberConfig, fit
from modreg.tasks.navigation import paths


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


NAMES = {"circle": "circle", "sphere": "sphere", "torus": "torus", "klein": "Klein bottle"}


# --- shapes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_planted_shapes_are_told_apart(name):
    """4,000 states of 100 neurons, noise of 0.1 of a bump's height."""
    seen, _ = planted_activity(name, 4000, noise=0.1, generator=seeded())
    assert activity_shape(seen, shuffles=2, generator=seeded()).name == NAMES[name]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("noise", [0.1, 0.3])
@pytest.mark.parametrize("name", NAMES)
def test_planted_shapes_are_told_apart_in_other_samples(name, noise, seed):
    seen, _ = planted_activity(name, 4000, noise=noise, generator=seeded(seed))
    assert activity_shape(seen, shuffles=2, generator=seeded(seed)).name == NAMES[name]


@pytest.mark.parametrize("name", ["torus", "sphere"])
def test_shuffled_activity_has_no_shape(name):
    seen, _ = planted_activity(name, 2000, noise=0.1, generator=seeded(3))
    assert activity_shape(shifted(seen, seeded(4)), shuffles=2, generator=seeded(5)).name == "none"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("name", NAMES)
def test_shuffled_activity_has_no_shape_in_other_samples(name, seed):
    seen, _ = planted_activity(name, 2000, noise=0.1, generator=seeded(seed))
    assert activity_shape(shifted(seen, seeded(seed + 100)), shuffles=5, generator=seeded(seed + 200)).name == "none"


def test_activity_that_fills_a_ball_has_no_shape():
    assert activity_shape(torch.randn(1500, 5, generator=seeded()), shuffles=2, generator=seeded()).name == "none"


def test_shape_does_not_hang_on_units_dtype_or_kind_of_array():
    seen, _ = planted_activity("circle", 600, neurons=30, width=5.0, generator=seeded())
    shapes = [activity_shape(one, shuffles=1, generator=seeded()) for one in (seen, 1000 * seen + 5, seen.double().numpy(), seen.view(20, 30, 30))]
    assert [shape.name for shape in shapes] == ["circle"] * 4
    again = activity_shape(seen, shuffles=1, generator=seeded())
    assert again.limits == shapes[0].limits


def test_shift_keeps_what_each_neuron_does():
    seen = torch.randn(50, 7, generator=seeded())
    moved = shifted(seen, seeded())
    assert (moved != seen).any()
    for before, after in zip(seen.T.tolist(), moved.T.tolist(), strict=True):
        assert any(after == before[k:] + before[:k] for k in range(50))


@pytest.mark.parametrize(("lengths", "limit", "count"), [
    ([9.0, 8.0, 2.0, 1.5], 1.0, 2), ([9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.2, 1.6, 1.2], 1.0, 0), ([1.5, 0.4], 1.0, 0), ([], 1.0, 0), ([0.5], 1.0, 0), ([3.0], 1.0, 1)])
def test_bars_before_the_widest_gap(lengths, limit, count):
    assert activity.long_bars(torch.tensor(lengths), limit) == count


# --- coordinates -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.3])
def test_the_angle_of_a_ring(noise):
    """On states that it was not made from; a turn is a turn: one round of the ring is one round of the angle."""
    space = manifold("circle")
    seen, where = planted_activity(space, 2000, noise=noise, generator=seeded())
    angle, true = circular_coordinates(seen[::2])(seen[1::2])[:, 0], 2 * math.pi * where[1::2, 0] / space.period
    assert angle.isfinite().float().mean() > 0.99
    known = angle.isfinite()
    assert max(torch.exp(1j * (angle - sign * true))[known].mean().abs().item() for sign in (1, -1)) > 0.9


def test_angles_of_a_torus_do_not_mix():
    seen, where = planted_activity("torus", 4000, noise=0.1, generator=seeded())
    angle, true = toroidal_coordinates(seen[::2])(seen[1::2]), 2 * math.pi * where[1::2] / 10
    known = angle.isfinite().all(1)
    turn = torch.tensor([[max(torch.exp(1j * (angle[known, i] - sign * true[known, j])).mean().abs().item() for sign in (1, -1)) for j in range(2)] for i in range(2)])
    turn = turn if turn[0, 0] > turn[0, 1] else turn.flip(1)
    assert turn.diagonal().min() > 0.85 and (turn - turn.diagonal().diag()).max() < 0.3
    place = torch.cat([true.cos(), true.sin()], 1)
    assert decoding_score(angle, place) > 0.85
    assert decoding_score(angle[torch.randperm(len(angle), generator=seeded())], place) < 0.05


def test_coordinates_are_continuous():
    """Nothing jumps as a state moves slowly round a ring that it was not made from."""
    generator = seeded()
    centres = 2 * math.pi * torch.arange(40) / 40
    angle = 2 * math.pi * torch.rand(1500, generator=generator)

    def bumps(angle):
        return torch.exp(2 * (angle[:, None] - centres).cos() - 2)

    coordinates = circular_coordinates(bumps(angle))
    path = coordinates(bumps(torch.linspace(0, 2 * math.pi, 2000)))[:, 0]
    steps = torch.atan2(path.diff().sin(), path.diff().cos())
    assert steps.abs().max() < 0.1
    assert steps.sum().abs().item() == pytest.approx(2 * math.pi, abs=0.05)


def test_a_loop_that_is_twisted_counts_once():
    """The Klein bottle has one coordinate; two are refused."""
    seen, _ = planted_activity("klein", 4000, noise=0.0, generator=seeded())
    assert circular_coordinates(seen)(seen).shape == (4000, 1)
    with pytest.raises(ValueError, match=r"none of whole numbers|not there at one scale"):
        toroidal_coordinates(seen, field=2)


@pytest.mark.parametrize("size", [2, 3])
def test_reduced_bases_are_shortest(size):
    """Against all short whole-number combinations; the combination has determinant 1 or -1."""
    for seed in range(20):
        basis = torch.randn(size, size, generator=seeded(seed), dtype=torch.float64)
        spoil = torch.eye(size, dtype=torch.float64)
        spoil[1, 0], spoil[0, -1] = 5, -3 if size > 2 else 0
        spoiled = spoil @ basis
        whole = reduced_basis(spoiled @ spoiled.T)
        assert (whole == whole.round()).all() and abs(torch.linalg.det(whole).abs().item() - 1) < 1e-6
        shortest = min((torch.tensor(n, dtype=torch.float64) @ basis).norm().item() for n in itertools.product(range(-6, 7), repeat=size) if any(n))
        found = (whole @ spoiled).norm(dim=1).min().item()
        assert found <= shortest * (1.001 if size == 2 else 2 ** ((size - 1) / 2))


def test_smoothing_is_the_least_squares_solution():
    from modreg.analysis.topology import bars_with_cocycles

    angle = 2 * math.pi * torch.rand(30, generator=seeded(), dtype=torch.float64)
    ring = torch.stack([angle.cos(), angle.sin()], -1)
    apart = torch.cdist(ring, ring, compute_mode="donot_use_mm_for_euclid_dist")
    bars, cocycles = bars_with_cocycles(apart, 47, 2.0)
    scale = bars[0].mean().item()
    close = (apart <= scale) & ~torch.eye(30, dtype=torch.bool)
    eta = activity.whole_cocycle(cocycles[0], close, 47)
    theta, _ = activity.smoothed(eta, close)
    i, j = close.triu(1).nonzero(as_tuple=True)
    ends = torch.zeros(len(i), 30, dtype=torch.float64)
    ends[range(len(i)), j], ends[range(len(i)), i] = 1, -1
    best = torch.linalg.lstsq(ends, -eta[i, j, None], driver="gelsd").solution[:, 0]
    torch.testing.assert_close(theta[i, j], (eta + best - best[:, None])[i, j], rtol=0, atol=1e-6)
    assert (theta.sum(1).abs() < 1e-6).all()  # nothing is left to spread


def test_states_that_are_far_from_all_have_no_angle():
    seen, _ = planted_activity("circle", 800, neurons=30, noise=0.0, generator=seeded())
    coordinates = circular_coordinates(seen)
    narrow = activity.Coordinates(coordinates.cloud, coordinates.landmarks, 1e-9, coordinates.theta, coordinates.tau, coordinates.bars, coordinates.gram)
    assert narrow(seen[:20]).isnan().any() and coordinates(seen[:20]).isfinite().all()


# --- decoding ----------------------------------------------------------------------------------------------------------


def test_lift_undoes_wrapping():
    above = torch.cumsum(torch.rand(100, 3, 2, generator=seeded()) - 0.3, 0)
    torch.testing.assert_close(lift(above % (2 * math.pi)) - (above[0] % (2 * math.pi)), above - above[0], rtol=0, atol=1e-4)


def test_perfect_angles_decode_perfectly():
    walk = paths(20, 40, seeded())
    linear = torch.tensor([[5.0, 1.0], [-2.0, 4.0]])
    found = decode_paths((walk @ linear) % (2 * math.pi), walk)
    assert found["error"] < 0.1 < 1 < found["standing still"]
    torch.testing.assert_close(found["map"].float(), torch.linalg.inv(linear), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found["decoded"].float(), found["true"].float(), rtol=0, atol=1e-3)


def test_grid_cells_lead_a_rat_home():
    """And shuffled ones do not."""
    walk = paths(100, 40, seeded(1))
    cells = grid_cells(walk, generator=seeded(2))
    found = decode_paths(toroidal_coordinates(cells)(cells), walk)
    assert found["error"] < found["standing still"] / 4
    angles = toroidal_coordinates(cells)(cells)
    mixed = angles[torch.randperm(len(angles), generator=seeded())]
    assert decode_paths(mixed, walk)["error"] > found["standing still"] / 2


def test_decoding_is_of_held_out_times():
    """A target that the angles do not tell is not told, however many waves there are."""
    angles, target = 2 * math.pi * torch.rand(300, 2, generator=seeded()), torch.randn(300, 1, generator=seeded(1))
    assert decoding_score(angles, target, harmonics=4) < 0.1
    assert decoding_score(angles, torch.cat([angles.cos(), angles.sin()], 1)) > 0.99


# --- networks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_states_of_a_layer(kind):
    layer, inputs = kind(3, 16), torch.randn(40, 10, 3, generator=seeded())
    states = hidden_states(layer, inputs)
    assert states.shape == (40, 10, 16) and not states.requires_grad
    assert activity_shape(states, shuffles=1, landmarks=50, generator=seeded()).name in {*activity.SHAPES.values(), "other"}
    with pytest.raises(TypeError, match="Linear"):
        hidden_states(nn.Linear(3, 3), inputs)


@pytest.fixture(scope="module")
def remembered(tmp_path_factory):
    config = RememberConfig(scale="tiny", device="cpu", seeds=2, epochs=2, batches=5, sparsity=0.5, out=str(tmp_path_factory.mktemp("runs")))
    task = Remember(config)
    return task, fit(task, progress=False)


def test_states_of_a_run(remembered):
    task, run = remembered
    for seed in range(2):
        states, batches = run_states(task, run, seed=seed, batches=2)
        assert states.shape[-1] == task.config.hidden and len(batches) == 2 and states.isfinite().all()
    assert (run_states(task, run, seed=0)[0] == run_states(task, run, seed=0)[0]).all()
    assert (run_states(task, run, seed=0)[0] != run_states(task, run, seed=1)[0]).any()
    assert (run_states(task, run, phase="lottery")[0] != run_states(task, run)[0]).any()
    with pytest.raises(ValueError, match="seed is 2"):
        run_states(task, run, seed=2)


def test_look_and_matrix(remembered):
    from matplotlib.figure import Figure

    task, run = remembered
    assert activity.look(task, None) == {}
    found = activity.look(task, run)
    (name, (row,)), = found.items()
    assert name == "activity_remember" and len(row["shapes"]) == len(row["betti"]) == 2
    rows = [{"condition": "torus", **row}, {"condition": "none", "shapes": ["circle"] * 3 + ["none"]}]
    names, shapes, table = activity.shape_matrix(rows)
    assert names == ["torus", "no penalty"] and table[..., 0].sum(1).tolist() == [1, 1]
    assert table[1, shapes.index("circle"), 0] == 0.75 and (table[..., 1] <= table[..., 0]).all() and (table[..., 0] <= table[..., 2]).all()
    activity.plot_shapes(rows, Figure().subplots())
    with pytest.raises(ValueError, match="empty"):
        activity.shape_matrix([])


def test_intervals_are_wilsons():
    """From his formula, solved for the share whose normal approximation just reaches what was seen."""
    for count, of in ((0, 5), (3, 5), (5, 5), (17, 40)):
        for end in activity.share_interval(count, of):
            assert abs(count / of - end) == pytest.approx(1.96 * math.sqrt(end * (1 - end) / of), abs=1e-6)


# --- what is refused ---------------------------------------------------------------------------------------------------

seen = torch.randn(200, 5, generator=seeded())


@pytest.mark.parametrize(("states", "why"), [
    (torch.ones(500, 20), "constant in all but 0 of 20"), (torch.full((500, 20), math.nan), "not finite"), (seen.clone().index_fill(1, torch.tensor([0, 1, 2]), 1.0), "constant in all but 2 of 5"),
    (seen[:1], "1 different states in 1 times"), (seen[:20].repeat(20, 1), "20 different states in 400"), (seen[:, :2], "at least 3"), (seen[:, 0], "shape"),
    (torch.zeros(0, 5), "shape"), (seen.to(torch.complex64), "real"), (seen.where(seen < 2, math.inf), "of neuron")])
def test_activity_that_can_have_no_shape_is_refused(states, why):
    for call in (activity_shape, activity_cloud, circular_coordinates, toroidal_coordinates):
        with pytest.raises(ValueError, match=why):
            call(states)


@pytest.mark.parametrize(("call", "why"), [
    (lambda: activity_shape(seen, shuffles=0), "shuffles"), (lambda: activity_cloud(seen, components=0), "components"), (lambda: circular_coordinates(seen, 0), "loops"),
    (lambda: planted_activity("torus", 10, noise=-1.0), "noise"), (lambda: planted_activity("pretzel", 10), "pretzel"), (lambda: activity_cloud(seen)(seen[:, :3]), "made of 5"),
    (lambda: decoding_score(seen, seen[:9]), "shape|give"), (lambda: decoding_score(seen[:20, :1], seen[:20]), "too few"), (lambda: decode_paths(seen, seen), "give"),
    (lambda: decode_paths(seen[:, None, :2], seen[:, None, :2]), "known=0.5 of 1")])
def test_what_makes_no_sense_is_refused(call, why):
    with pytest.raises(ValueError, match=why):
        call()
