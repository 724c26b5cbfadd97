"""Recorded rats: what is read, what is cut, what comes into the box."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from headless import run
from papermill.exceptions import PapermillExecutionError

from modreg.tasks.navigation import BOX, DT, Navigation, NavigationConfig, paths, position_error
from modreg.tasks.rats import FASTEST, RATS, RatsConfig, Recording, errors_along, generated_recording, limits_along, load_recording, matching_pace, real_paths, segments, walks_of


def write(folder, name, time, position):
    (folder / "rat-trajectories").mkdir()
    np.savez(folder / "rat-trajectories" / f"{name}.npz", t=time, pos=position)


def circling(seconds=20.0, rate=50, radius=0.3, speed=0.1, sides=(1.0, 1.0)):
    """A rat on a circle, whose position at any time is known."""
    time = np.arange(int(seconds * rate)) / rate
    return Recording(time, radius * np.stack([np.cos(speed / radius * time), np.sin(speed / radius * time)], -1), sides)


def drop(rat, keep):
    return replace(rat, time=rat.time[keep], position=rat.position[keep])


# --- reading -----------------------------------------------------------------------------------------------------------


def test_recording_is_centred(tmp_path):
    write(tmp_path, "tanni", np.arange(5) / 30, np.array([[3.5 - 0.01 * k, 0.0] for k in range(5)], dtype=np.float32))
    rat = load_recording("tanni", tmp_path)
    assert rat.sides == (3.5, 2.5) and np.allclose(rat.position[0], [1.75, -1.25])


def test_missing_data_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.delenv("MODREG_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="set the environment variable MODREG_DATA"):
        load_recording("sargolini")
    monkeypatch.setenv("MODREG_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"no sargolini\.npz in"):
        load_recording("sargolini")
    with pytest.raises(ValueError, match="'sargolini', 'tanni'"):
        load_recording("mickey")


@pytest.mark.parametrize(("time", "position"), [
    (np.arange(4.0), np.zeros((5, 2))),
    (np.array([0.0, 1.0, 1.0]), np.zeros((3, 2))),
    (np.arange(3.0), np.array([[0, 0], [np.nan, 0], [0, 0]])),
], ids=["lengths", "times stand still", "nan"])
def test_broken_recording_is_refused(tmp_path, time, position):
    write(tmp_path, "sargolini", time, position)
    with pytest.raises(ValueError, match="growing times"):
        load_recording("sargolini", tmp_path)


# --- cutting and resampling --------------------------------------------------------------------------------------------


def test_no_path_crosses_a_gap():
    "Frames are dropped at random; every step of every path lies between two frames that were neighbours"
    rng = np.random.default_rng(0)
    rat = circling()
    rat = drop(rat, np.sort(rng.choice(1000, 900, replace=False)))
    known = [(times[0], times[-1]) for times, _ in segments(rat)]
    walk = real_paths(rat, 3, count=10_000).double().numpy()
    angle = np.unwrap(np.arctan2(walk[..., 1], walk[..., 0]), axis=0)
    start = np.remainder(angle[0], 2 * math.pi) * 0.3 / 0.1  # the time at which the rat is there, up to whole rounds
    rounds = 2 * math.pi * 0.3 / 0.1
    for first in start:
        assert any(low - 1e-4 <= first + k * rounds and first + k * rounds + 3 * DT <= high + 1e-4 for low, high in known for k in range(3))


def test_resampling_follows_the_rat():
    "From 30 frames a second to the network's 50, on a circle: within the sagitta of a chord, and at its speed"
    rat = circling(rate=30)
    walk = real_paths(rat, 20)
    assert (walk.norm(dim=-1) - 0.3).abs().max() < (0.1 / 30) ** 2 / (8 * 0.3) + 1e-6
    assert torch.allclose(walk.diff(dim=0).norm(dim=-1).mean(), torch.tensor(0.1 * DT), rtol=1e-3)


def test_jumps_of_the_tracker_are_cut():
    rat = circling()
    position = rat.position.copy()
    position[500] += 0.06  # one frame by another light: 3 m/s and back
    rat = replace(rat, position=position)
    assert [len(times) for times, _ in segments(rat)] == [500, 1, 499]
    assert real_paths(rat, 5).diff(dim=0).norm(dim=-1).max() <= FASTEST * DT


@pytest.mark.parametrize("pace", [1, 3])
def test_paths_share_no_step(pace):
    "All paths of one segment, laid end to end, are the segment"
    rat = circling(seconds=10)
    walk = real_paths(rat, 4, pace)
    assert torch.allclose(walk[-1, :-1], walk[0, 1:])
    assert walk.shape[1] == (len(rat.time) - 1) // pace // 4


def test_paths_outside_the_box_are_left_out():
    rat = circling(radius=1.2, speed=1.0, sides=(3.5, 2.5))
    walk = real_paths(rat, 5)
    assert walk.shape[1] > 0 and walk.abs().max() <= BOX / 2
    assert real_paths(rat, 5, mapping="stretch").shape[1] > walk.shape[1]


def test_stretching_fills_the_box():
    edge = Recording(DT * np.arange(101), np.stack([np.linspace(-0.5, 0.5, 101), np.zeros(101)], -1), (1.0, 1.0))
    walk = real_paths(edge, 100, mapping="stretch")
    assert torch.allclose(walk[[0, -1], 0, 0], torch.tensor([-BOX / 2, BOX / 2]))


def test_pace_brings_a_rat_to_simulated_speed():
    rat = circling(speed=0.1)
    assert matching_pace(rat) == 10  # simulated rats run 1.02 m/s on average
    assert matching_pace(rat, "stretch") == 5
    assert matching_pace(circling(speed=1.0)) == 1
    assert list(walks_of({"one": rat}, 5)) == ["one", "one ×10"]


def test_count_thins_evenly():
    walk, few = real_paths(circling(), 5), real_paths(circling(), 5, count=7)
    assert few.shape[1] == 7 and torch.equal(few[:, 0], walk[:, 0]) and torch.equal(few[:, -1], walk[:, -1])


def test_wrong_mapping_is_refused():
    with pytest.raises(ValueError, match="'centre', 'stretch'"):
        real_paths(circling(), 5, mapping="crop")
    with pytest.raises(ValueError, match="fewer steps"):
        real_paths(circling(), 5000)


@pytest.mark.parametrize("name", RATS)
def test_made_up_recordings_serve_as_recordings(name):
    rat = generated_recording(name)
    assert len(segments(rat)) > 5
    assert 5 <= matching_pace(rat) <= 20


# --- evaluating --------------------------------------------------------------------------------------------------------


def test_errors_are_those_of_navigation():
    task = Navigation(NavigationConfig(scale="tiny", device="cpu", seeds=2))
    model, walk = task.model(task.generators("weights")), paths(30, 5, torch.Generator().manual_seed(0))
    errors, both = errors_along(task, model, walk), walk.expand(2, -1, -1, -1)
    decoded = task.cells.decode(model(task.cells(both[:, 0]), both.diff(dim=1)))
    assert errors.shape == (2, 5)
    assert torch.allclose(errors.mean(1), position_error(decoded, both[:, 1:]))
    limits = limits_along(task, walk)
    assert torch.allclose(limits["standing still"], 100 * (walk[1:] - walk[0]).norm(dim=-1).mean(1))
    assert (limits["standing still"].diff() > 0).all()


def test_network_that_knows_is_as_good_as_true_activity():
    task = Navigation(NavigationConfig(scale="tiny", device="cpu", seeds=2))
    walk = paths(30, 5, torch.Generator().manual_seed(0))

    def knows(start, velocity):
        return task.cells(walk.expand(2, -1, -1, -1)[:, :1] + velocity.cumsum(1))

    assert torch.allclose(errors_along(task, knows, walk).mean(0), limits_along(task, walk)["true activity"], atol=0.5)


# --- settings and the chapter ------------------------------------------------------------------------------------------


def test_run_is_navigations_own():
    config = RatsConfig(scale="tiny", device="cpu", rats="generated", mapping="stretch", hidden=16)
    assert config.navigation == NavigationConfig(scale="tiny", device="cpu", hidden=16)


def test_rats_are_made_up_only_where_nobody_would_mistake_it(monkeypatch):
    monkeypatch.delenv("MODREG_DATA", raising=False)
    assert RatsConfig(scale="tiny", device="cpu").rats == "generated"
    assert RatsConfig(scale="small", device="cpu").rats == "recorded"
    monkeypatch.setenv("MODREG_DATA", "somewhere")
    assert RatsConfig(scale="tiny", device="cpu").rats == "recorded"
    with pytest.raises(ValueError, match="'recorded', 'generated'"):
        RatsConfig(scale="tiny", device="cpu", rats="toy")
    with pytest.raises(ValueError, match="'centre', 'stretch'"):
        RatsConfig(scale="tiny", device="cpu", mapping="zoom")


def test_papermill_runs_another_setting(tmp_path):
    run("rats", tmp_path, seeds=1, manifold="klein", penalty="shuffled", lottery=False, mapping="stretch", rats="generated")
    assert sorted(path.name for path in (tmp_path / "runs").glob("*/rats.*")) == ["rats.md", "rats.png"]


def test_papermill_without_data_fails_with_a_clear_message(tmp_path, monkeypatch):
    monkeypatch.delenv("MODREG_DATA", raising=False)
    with pytest.raises(PapermillExecutionError, match="MODREG_DATA"):
        run("rats", tmp_path, rats="recorded")
    assert not (tmp_path / "runs").exists()
