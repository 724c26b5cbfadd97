"""A task of one's own: its metric against arithmetic, and the chapter run whole, as papermill runs it."""

import math

import pytest
import torch
from headless import run
from papermill.exceptions import PapermillExecutionError

from modreg.tasks.head_direction import HeadDirection, HeadDirectionConfig, angular_error, direction, headings
from modreg.lab.training import fit


def stream(seed):
    """A random stream."""
    return torch.Generator().manual_seed(seed)


def tiny(**settings):
    """Settings of the tiny scale."""
    return HeadDirectionConfig(scale="tiny", device="cpu", **settings)


def test_headings_start_anywhere_and_turn_by_normal_angles():
    heading = headings(50_000, 4, stream(0))
    turns = heading.diff(dim=0)
    assert heading.shape == (5, 50_000)
    assert direction(heading[0]).mean(0).norm() < 0.02  # no direction is preferred
    assert turns.mean().abs() < 0.005 and turns.std().item() == pytest.approx(0.5, rel=0.01)
    assert torch.corrcoef(turns).triu(1).abs().max() < 0.02  # a turn tells nothing of the next


def test_angular_error_is_the_angle_between_two_vectors():
    """Against the arc cosine of the vectors' product, for vectors of any length and angles of any number of turns."""
    said, heading = torch.randn(3, 6, 50, 2, generator=stream(1), dtype=torch.float64), 30 * torch.randn(3, 6, 50, generator=stream(2), dtype=torch.float64)
    cosine = (said * direction(heading)).sum(-1) / said.norm(dim=-1)
    oracle = torch.rad2deg(cosine.clamp(-1, 1).acos()).mean((1, 2))
    assert torch.allclose(angular_error(said, heading), oracle, atol=1e-5)


def test_never_turned_is_what_it_says():
    """The mean over t of the mean angle of a normal turn of standard deviation √t/2, wrapped, by numerical integration."""
    task = HeadDirection(tiny(seeds=8))
    angle = torch.linspace(-40, 40, 400_001, dtype=torch.float64)
    wrapped = torch.rad2deg(torch.atan2(angle.sin(), angle.cos()).abs())
    sizes = [0.5 * math.sqrt(t) for t in range(1, task.config.steps + 1)]
    expected = [torch.trapezoid(wrapped * torch.exp(-angle**2 / (2 * s**2)) / (s * math.sqrt(2 * math.pi)), angle) for s in sizes]
    assert task.limits()["never turned"] == pytest.approx(float(sum(expected)) / len(expected), rel=0.02)


def test_it_learns_and_pruning_on_the_circle_keeps_the_promised_zeros(tmp_path):
    task = HeadDirection(tiny(out=str(tmp_path), sparsity=0.5, lottery=False))
    last = fit(task, progress=False).result["phases"]["train"]
    assert max(last["error"]) < task.limits()["never turned"] / 3
    assert last["sparsity"] == pytest.approx([0.5] * 3, abs=1e-3)


@pytest.mark.parametrize("parameters", [
    {"manifold": "klein", "penalty": "shuffled", "seeds": 1},
    {"train_embedding": True, "lottery": False, "sparsity": 0.5, "steps": 8},
], ids=lambda parameters: "-".join(map(str, parameters.values())))
def test_papermill_runs_other_settings(tmp_path, parameters):
    results = run("head_direction", tmp_path, **parameters)
    assert len(results) == 3  # dense without a penalty, dense with it, and pruned
    folder, pruned = max(results.items(), key=lambda item: item[1]["phases"]["train"]["sparsity"][0])
    assert set(pruned["phases"]) == ({"train", "lottery"} if parameters.get("lottery", True) else {"train"})
    assert {"table.md", "learning.png", "headings.png", "wiring.png", "circle.png"} <= {path.name for path in folder.iterdir()}


def test_wrong_parameter_fails_at_once_and_computes_nothing(tmp_path):
    with pytest.raises(PapermillExecutionError, match="no such parameter: turns"):
        run("head_direction", tmp_path, turns=3)
    assert not (tmp_path / "runs").exists()
