"""Navigation run whole, as papermill runs it."""

import math

import pytest
import torch
from headless import run
from papermill.exceptions import PapermillExecutionError

from modreg.tasks import navigation
from modreg.lab.paper import paper_cell
from modreg.tasks.navigation import SIGMA, Navigation, NavigationConfig, PlaceCells, paths
from modreg.lab.training import Phase, fit


@pytest.mark.parametrize("parameters", [
    {"manifold": "klein"},
    {"manifold": "torus(period=20)*2circle", "inhibitor": "difference_of_gaussians(b=3)", "penalty": "shuffled", "seeds": 1},
    {"manifold": "r3", "train_embedding": True, "lottery": False},
    {"inhibitor": "diffusion", "sparsity": 0.75, "penalty": "l1", "init": "paper", "hidden": 24},
], ids=lambda parameters: "-".join(map(str, parameters.values())))
def test_papermill_runs_other_settings(tmp_path, parameters):
    results = run("navigation", tmp_path, **parameters)
    assert len(results) == 3  # dense without a penalty, dense with it, and pruned
    folder, pruned = max(results.items(), key=lambda item: item[1]["phases"]["train"]["sparsity"][0])
    assert set(pruned["phases"]) == ({"train", "lottery"} if parameters.get("lottery", True) else {"train"})
    for last in pruned["phases"].values():
        assert len(last["error"]) == parameters.get("seeds", 3)
        assert all(abs(zeros - parameters.get("sparsity", 0.9)) < 1e-3 for zeros in last["sparsity"])
    assert {"table.md", "learning.png", "paths.png", "wiring.png"} <= {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(("parameters", "message"), [
    ({"manifod": "torus"}, "no such parameter: manifod"),
    ({"manifold": "pretzel"}, "torus"),
    ({"sparsity": 90}, "less than 1"),
    ({"scale": "huge"}, "'small', 'regime', 'paper'"),
    ({"train_embedding": True, "inhibitor": "diffusion"}, "collapses"),
    ({"device": "abacus"}, "abacus"),
])
def test_wrong_parameter_fails_at_once_and_computes_nothing(tmp_path, parameters, message):
    with pytest.raises(PapermillExecutionError, match=message):
        run("navigation", tmp_path, **parameters)
    assert not (tmp_path / "runs").exists()


def test_paper_scale_is_the_papers():
    config = NavigationConfig(scale="paper", device="cpu")
    assert (config.hidden, config.place_cells, config.batch, config.steps) == (4096, 512, 200, 50)
    assert config.epochs * config.batches == 30_000
    assert (config.lr, config.strength, config.init) == (1e-4, 0.1, "paper")


@pytest.mark.slow
def test_paper_scale_starts_and_steps(tmp_path):
    """One step at full width (4,096 neurons, 200 paths of 50 steps); two more lower the loss on the same paths."""
    settings = NavigationConfig(scale="paper", device="cpu", seeds=1, batches=1, epochs=1, sparsity=0.0, lottery=False, out=str(tmp_path))
    last = fit(Navigation(settings), progress=False).result["phases"]["train"]
    assert last["loss"][0] == pytest.approx(math.log(512), abs=0.2) and 50 < last["error"][0] < 150
    task = Navigation(settings)
    phase = Phase(task, "train")
    batch, losses = next(task.batches(task.generators("data"))), []
    for _ in range(3):
        losses.append(task.loss(phase.model, batch).sum())
        phase.optimizer.zero_grad()
        losses[-1].backward()
        phase.optimizer.step()
    assert losses[0] > losses[1] > losses[2]


@pytest.mark.parametrize(("options", "mean"), [
    ({"manifold": "klein"}, 5.44),
    ({"penalty": "l1"}, 86.7),
    ({"train_embedding": True}, 5.87),
    ({"inhibitor": "diffusion"}, 14.72),
    ({"sparsity": 0.75}, 4.86),
])
def test_paper_cells_are_found(options, mean):
    """Five values read off tables 1, 2, 3 and 15 by eye."""
    assert paper_cell(NavigationConfig(scale="small", device="cpu", **options)).mean == mean


def test_settings_the_paper_did_not_try_have_no_row():
    for options in ({"manifold": "s3"}, {"inhibitor": "ricker"}, {"sparsity": 0.5}, {"strength": 3.0}, {"lr": 0.1}, {"schedule": "one_shot"}, {"penalty": "shuffled", "manifold": "torus6"}):
        assert paper_cell(NavigationConfig(scale="small", device="cpu", **options)) is None, options


def test_rats_run_on_the_device_that_trains():
    """Chance comes from the processor alone, so the device `meta`, which computes nothing, takes all of the loop."""
    generator = torch.Generator().manual_seed(0)
    assert paths(4, 3, generator, "meta").is_meta
    after = generator.get_state()
    assert paths(4, 3, generator.manual_seed(0)).shape == (4, 4, 2)
    assert torch.equal(generator.get_state(), after)


def test_activity_against_its_formula_in_pieces_of_any_size(monkeypatch):
    cells = PlaceCells(40, [torch.Generator().manual_seed(seed) for seed in (0, 1)]).double()
    position = torch.stack([paths(30, 6, torch.Generator().manual_seed(seed)) for seed in (2, 3)]).double()
    squares = (position[..., None, :] - cells.centres[:, None, None]).square().sum(-1)
    gap = torch.softmax(-squares / (2 * SIGMA**2), -1) - torch.softmax(-squares / (4 * SIGMA**2), -1)
    gap = gap - gap.amin(-1, keepdim=True)
    for piece in (1, 1000, 2**18):
        monkeypatch.setattr(navigation, "PIECE", piece)
        torch.testing.assert_close(cells(position), gap / gap.sum(-1, keepdim=True), atol=1e-12, rtol=1e-9)
        torch.testing.assert_close(cells(position[:, 0, :0]), gap[:, 0, :0])
