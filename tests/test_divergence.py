"""Seeds that diverge: stopped at the right step, named, without a score; the others as if nothing had happened, in every bit."""

import math

import pytest
import torch
from faults import TASKS, task
from headless import break_off

from modreg.lab.experiments import load_model, report, summary, train_three
from modreg.lab.trainer import StopDiverged, Trainer
from modreg.lab.training import Callback, fit
from modreg.tasks.navigation import Navigation, NavigationConfig, paths
from modreg.tasks.rats import errors_along

SEEDS = dict(seeds=3, batches=4, epochs=3)


class Poison(Callback):
    "Spoils the second seed in one step: its gradient, its weights, or its loss"

    def __init__(self, what: str, at: int = 6):
        self.what, self.left = what, at

    def poison(self, trainer, moment):
        if moment == self.what and self.left == 0:
            weight = next(iter(trainer.model.parameters()))
            target = weight.grad if moment == "gradient" else weight.data
            target.view(target.shape[0], -1)[1, 0] = {"gradient": math.nan, "weight": math.inf}[moment]
        self.left -= moment == self.what

    def after_backward(self, trainer):
        self.poison(trainer, "gradient")

    def before_step(self, trainer):
        self.poison(trainer, "weight")


def assert_others_are_whole(spoilt, whole):
    for ours, theirs in zip(spoilt.history, whole.history, strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours.keys() - {"phase", "epoch"}:
            assert [ours[name][k] for k in (0, 2)] == [theirs[name][k] for k in (0, 2)], name
    for phase in ("train", "lottery"):
        ours, theirs = spoilt.weights(phase), whole.weights(phase)
        for name in ours:
            assert torch.equal(ours[name][[0, 2]], theirs[name][[0, 2]]), name
            assert ours[name].isfinite().all(), name
            if f"mask.{name}" in ours:
                assert (ours[name][~ours[f"mask.{name}"]] == 0).all()


@pytest.mark.parametrize("name", TASKS)
def test_one_seed_of_every_task(tmp_path, monkeypatch, name):
    monkeypatch.delenv("MODREG_DATA", raising=False)
    whole = fit(task(name, tmp_path / "whole", **SEEDS), progress=False)
    spoilt = fit(task(name, tmp_path / "spoilt", **SEEDS), progress=False, callbacks=[Poison("gradient")])
    assert_others_are_whole(spoilt, whole)
    first, second, third = spoilt.result["diverged"]
    assert first is third is None and (second["phase"], second["epoch"], second["step"]) == ("train", 1, 2), second
    scores = whole.result["phases"]["train"].keys() - {"epoch", "sparsity", "inference", "training", "dense_inference", "dense_training"}
    for line, theirs in zip(spoilt.history, whole.history, strict=True):
        after = line["phase"] == "lottery" or line["epoch"] >= 1
        assert all((line[score][1] is None) == after for score in scores)
        assert line["sparsity"] == pytest.approx(theirs["sparsity"]) and None not in line.get("inference", [])
    assert whole.result["diverged"] == [None] * 3


@pytest.mark.parametrize("what", ["gradient", "weight"])
@pytest.mark.parametrize("at", [0, 3, 4, 11, 12, 23])
def test_the_step_is_told_to_the_step(tmp_path, what, at):
    run = fit(task("remember", tmp_path, **SEEDS), progress=False, callbacks=[Poison(what, at)])
    found = run.result["diverged"][1]
    assert (found["phase"], found["epoch"], found["step"]) == (("train", "lottery")[at // 12], at % 12 // 4, at % 4), found
    assert "the data" in found["cause"] or "learning rate" in found["cause"]
    assert [x is None for x in run.result["phases"]["train"]["rmse"]] == [False, at < 12, False]


def test_a_loss_that_is_no_number_is_the_datas(tmp_path):
    one = task("remember", tmp_path, **SEEDS)
    plain, steps = one.loss, iter(range(100))

    def loss(model, batch):
        return plain(model, batch) * torch.tensor([1, math.nan if model.training and next(steps) == 5 else 1, 1])

    one.loss = loss
    found = fit(one, progress=False).result["diverged"][1]
    assert (found["epoch"], found["step"]) == (1, 1) and found["cause"].startswith("the loss is nan") and "data of this step" in found["cause"]


@pytest.mark.parametrize("stop", [1, 2, 4])
def test_a_run_with_a_dead_seed_is_resumed(tmp_path, stop):
    whole = fit(task("remember", tmp_path / "whole", **SEEDS), progress=False, callbacks=[Poison("gradient", 2)])
    parts = task("remember", tmp_path / "parts", **SEEDS)

    with pytest.raises(KeyboardInterrupt):
        fit(parts, progress=False, callbacks=[Poison("gradient", 2), Interrupt(stop)])
    resumed = fit(parts, progress=False)
    assert resumed.history == whole.history and resumed.result["diverged"] == whole.result["diverged"]


class Interrupt(Callback):
    def __init__(self, epochs):
        self.left = epochs

    def after_epoch(self, trainer):
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1


@pytest.mark.parametrize("name", TASKS)
def test_a_learning_rate_that_is_absurd(tmp_path, monkeypatch, name):
    "Every seed diverges, no epoch is trained any more, and the table says so in words"
    monkeypatch.delenv("MODREG_DATA", raising=False)
    one = task(name, tmp_path, **SEEDS | dict(lr=1e38 if name == "language" else 1e30))
    runs = train_three(type(one), one.config, progress=False)
    for run in runs.values():
        for cell in run.result["diverged"]:
            assert cell["epoch"] == 0 and "the learning rate of" in cell["cause"]
        for last in run.result["phases"].values():
            assert last[one.metric] == last["loss"] == [None] * 3
    zeros = runs["sparse"].result["phases"]["lottery"]["sparsity"]
    assert zeros == pytest.approx([0.8] * 3, abs=0.02)
    table = report(one, runs)
    assert table.count("seed 1 diverged in epoch 0") == 3 and summary([None] * 3) == "– (diverged, diverged, diverged)"


def test_a_network_that_diverged_is_named_where_it_is_loaded_and_has_no_score_there(tmp_path):
    config = dict(epochs=2, batches=3, seeds=2, out=str(tmp_path), scale="tiny", device="cpu", lottery=False)
    one = Navigation(NavigationConfig(**config))
    run = fit(one, progress=False, callbacks=[Poison("gradient", 1)])
    with pytest.warns(UserWarning, match=r"seed 1 diverged in epoch 0, step 1 of train; .* means nothing"):
        model = load_model(one, run)
    errors = errors_along(one, model, paths(20, 5, torch.Generator().manual_seed(0)))
    assert model.diverged == [False, True] and errors[0].isfinite().all() and errors[1].isnan().all()
    assert summary(errors.mean(1).tolist()).endswith(", diverged)")


def test_one_model_of_ones_own_says_it_by_an_error():
    layer = torch.nn.Linear(2, 1)
    trainer = Trainer(layer, lambda model, x: model(x).square().mean(), torch.optim.SGD(layer.parameters(), lr=1e30), [StopDiverged()])
    with pytest.raises(FloatingPointError, match=r"diverged in epoch 0, step [01]: .*learning rate of 1e"):
        trainer.epoch(torch.ones(3, 4, 2).unbind(), 3)


def test_a_half_trained_epoch_leaves_no_trace(tmp_path):
    "Broken off after a seed has diverged and before that is written down: the epoch is trained again"
    whole = task("remember", tmp_path / "whole", **SEEDS)
    parts = task("remember", tmp_path / "parts", **SEEDS)
    break_off(type(parts), parts.config, 2)
    assert fit(parts, progress=False).history == fit(whole, progress=False).history
