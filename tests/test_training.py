"""Runs that are killed, repeated and run in company."""

import json
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
import torch
from headless import break_off

from modreg.tasks.navigation import Navigation, NavigationConfig
from modreg.lab.runs import digest
from modreg.lab.settings import from_parameters
from modreg.lab.experiments import train_three
from modreg.lab.training import Phase, Remember, RememberConfig, Task, fit, prefetch

SCRIPT = """
import sys
from modreg.tasks.navigation import Navigation, NavigationConfig
from modreg.lab.training import fit
fit(Navigation(NavigationConfig(scale="tiny", device="cpu", epochs=6, batches=20, out=sys.argv[1])), progress=False)
"""


def config(out, **options):
    return NavigationConfig(scale="tiny", device="cpu", out=str(out), **options)


def assert_same(a, b):
    """Two runs agree in every metric and in every bit of their weights."""
    assert a.history == b.history
    for phase in a.result["phases"]:
        ours, theirs = a.weights(phase), b.weights(phase)
        assert ours.keys() == theirs.keys()
        for name in ours:
            assert torch.equal(ours[name], theirs[name]), name


def test_killed_process_resumes_bit_for_bit(tmp_path):
    settings = config(tmp_path / "killed", epochs=6, batches=20)
    run = Navigation(settings).run
    metrics = run.path / "metrics.jsonl"
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, settings.out])
    deadline = time.monotonic() + 120
    while not (metrics.exists() and len(metrics.read_text().splitlines()) >= 2):
        assert process.poll() is None and time.monotonic() < deadline, "the run ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert run.result is None
    subprocess.run([sys.executable, "-c", SCRIPT, settings.out], check=True)
    subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path / "whole")], check=True)
    assert_same(run, Navigation(replace(settings, out=str(tmp_path / "whole"))).run)


@pytest.mark.parametrize("stop", [0, 1, 3, 4, 5])
@pytest.mark.parametrize("options", [{}, {"train_embedding": True}, {"penalty": "shuffled", "schedule": "cubic", "ticket": "shuffled"}], ids=str)
def test_interrupted_after_any_epoch(tmp_path, stop, options):
    whole = config(tmp_path / "whole", seeds=2, **options)
    parts = replace(whole, out=str(tmp_path / "parts"))
    break_off(Navigation, parts, stop)
    assert_same(fit(Navigation(parts), progress=False), fit(Navigation(whole), progress=False))


def test_complete_run_is_not_touched(tmp_path):
    run = fit(Navigation(config(tmp_path)), progress=False)
    stamps = {path: path.stat().st_mtime_ns for path in run.path.iterdir()}
    fit(Navigation(config(tmp_path)), progress=False)
    assert stamps == {path: path.stat().st_mtime_ns for path in run.path.iterdir()}
    assert not (run.path / "state.pt").exists()
    assert json.loads((run.path / "config.json").read_text())["manifold"] == "torus"


def test_seed_alone_is_seed_in_company(tmp_path):
    together = fit(Navigation(config(tmp_path, seeds=3, lottery=False)), progress=False).weights()
    for seed in range(3):
        alone = fit(Navigation(config(tmp_path, seeds=1, seed=seed, lottery=False)), progress=False).weights()
        assert torch.equal(alone["regularizer.0.embedding"][0], together["regularizer.0.embedding"][seed])
        torch.testing.assert_close(alone["rnn.weight_hh_l0"][0], together["rnn.weight_hh_l0"][seed], atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize("ticket", ["redraw", "original", "shuffled"])
def test_tickets(tmp_path, ticket):
    settings = config(tmp_path, seeds=2, ticket=ticket, sparsity=0.5)
    train, lottery = (fit(Navigation(settings), progress=False).weights(phase) for phase in ("train", "lottery"))
    masks = [name for name in train if name.startswith("mask.")]
    assert [int(train[m].sum()) for m in masks] == [int(lottery[m].sum()) for m in masks]
    assert all(torch.equal(train[m], lottery[m]) for m in masks) == (ticket != "shuffled")
    assert all((lottery[m.removeprefix("mask.")][~lottery[m]] == 0).all() for m in masks)
    task = Navigation(settings)
    first, again = Phase(task, "train"), Phase(task, "lottery", train)
    mask = again.sparsifier.masks["decoder.weight"]
    assert torch.equal(first.model.decoder.weight[mask], again.model.decoder.weight[mask]) == (ticket == "original")


def test_digest_names_what_decides(tmp_path):
    base = config(tmp_path)
    assert digest(base) == digest(replace(base, out="elsewhere"))
    for change in ({"seed": 1}, {"lr": 2e-3}, {"manifold": "klein"}, {"penalty": "none"}, {"steps": 6}, {"ticket": "original"}):
        assert digest(base) != digest(replace(base, **change))


@pytest.mark.parametrize("options", [
    {"epochs": 0}, {"hidden": -1}, {"lr": float("nan")}, {"strength": -1.0}, {"seeds": 0}, {"schedule": "stairs"}, {"ticket": "golden"},
    {"inhibitor": "fear"}, {"penalty": "moduli", "train_embedding": True, "inhibitor": "constant"}, {"place_cells": 2},
    {"block": 0}, {"block": 16, "order": "by hand"}, {"order": "random"}, {"block": 16, "train_embedding": True},
])
def test_impossible_values(options):
    with pytest.raises(ValueError):
        NavigationConfig(scale="tiny", **options)


@pytest.mark.parametrize("options", [{"hidden": 2.5}, {"lottery": "yes"}, {"seed": None}, {"manifold": 3}])
def test_wrong_types(options):
    with pytest.raises(TypeError):
        NavigationConfig(scale="tiny", **options)


def test_unknown_parameters_are_all_listed():
    with pytest.raises(ValueError, match="no such parameter: hiden, spasity") as error:
        from_parameters(NavigationConfig, {"spasity": 0.5, "hiden": 3, "_ignored": 1, "torch": torch})
    assert "hidden = None" in str(error.value) and "place_cells" in str(error.value)


def test_truth_values_as_a_command_line_writes_them():
    for yes, no in (("true", "false"), ("True", "False"), (True, False)):
        settings = from_parameters(NavigationConfig, {"scale": "tiny", "train_embedding": yes, "lottery": no})
        assert settings.train_embedding is True and settings.lottery is False
    with pytest.raises(TypeError, match="must be bool"):
        from_parameters(NavigationConfig, {"scale": "tiny", "lottery": "perhaps"})


def test_diverged_seed_is_reported_as_null(tmp_path):
    class Diverges(Navigation):
        def evaluate(self, model):
            return {"error": super().evaluate(model)["error"] + torch.tensor([0.0, float("nan"), float("inf")])}

    error = fit(Diverges(config(tmp_path, lottery=False)), progress=False).result["phases"]["train"]["error"]
    assert error[0] > 0 and error[1] is None and error[2] is None


def test_task_without_methods_says_so(tmp_path):
    class Mute(Navigation):
        evaluate = Task.evaluate

    with pytest.raises(TypeError, match=r"abstract.*evaluate"):
        Mute(config(tmp_path))


def test_the_next_batch_is_made_while_one_is_in_use():
    begun = [threading.Event() for _ in range(3)]

    def batches():
        for k, event in enumerate(begun):
            event.set()
            yield k

    for k in prefetch(batches()):
        assert all(event.wait(timeout=60) for event in begun[: k + 2])
        assert not any(event.is_set() for event in begun[k + 2 :])  # one and no more


def test_batches_made_ahead_train_the_same_network(tmp_path):
    class AheadNavigation(Navigation):
        def batches(self, generators):
            return prefetch(super().batches(generators))

    runs = [fit(task(config(tmp_path / task.__name__, seeds=2)), progress=False) for task in (Navigation, AheadNavigation)]
    assert_same(*runs)


def test_a_bar_says_what_it_trains(tmp_path, capsys):
    "The space, the zeros, the phase, and which run of how many; not the name of a folder"
    train_three(Remember, RememberConfig(scale="tiny", device="cpu", batches=1, epochs=2, twins="plain", out=str(tmp_path)))
    shown = capsys.readouterr().err
    for said in ("no penalty, dense, run 1 of 2: 100 %", "torus, 90 % zeros, first training, run 2 of 2: ", "torus, 90 % zeros, ticket, run 2 of 2: 100 %"):
        assert said in shown, shown
    assert " left" in shown and "remember-" not in shown
