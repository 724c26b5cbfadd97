"""Runs that an installation of before has written are loaded, or refused by their version.

`tests/data/runs-VERSION` holds one that is complete and one that was stopped. `python tests/test_old_runs.py` writes those of this version; do so after `version` in settings.ini was raised, and keep the old ones."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch

import modreg
from modreg.lab import files
from modreg.lab.training import Callback, Remember, RememberConfig, fit

DATA = Path(__file__).resolve().parent / "data"
VERSIONS = sorted(folder.name.removeprefix("runs-") for folder in DATA.glob("runs-*"))
OPTIONS = dict(scale="tiny", device="cpu", seeds=1, hidden=3, batch=4, batches=2, epochs=2, sparsity=0.5, lottery=False)


def task(out: Path) -> Remember:
    return Remember(RememberConfig(out=str(out), **OPTIONS))


class Stop(Callback):
    "Ends a run after its first epoch"

    def before_epoch(self, trainer):
        if trainer.epochs == 1:
            raise KeyboardInterrupt


def write(folder: Path) -> None:
    "The fixtures of this version"
    folder.mkdir(parents=True)
    os.chdir(folder)  # so that no path of this machine stands in them
    fit(task(Path("whole")), progress=False)
    try:
        fit(task(Path("stopped")), progress=False, callbacks=[Stop()])
    except KeyboardInterrupt:
        for name in (".lock", ".owner"):
            next(Path("stopped").iterdir()).joinpath(name).unlink(missing_ok=True)
        return
    raise AssertionError("the run was not stopped")


@pytest.fixture(params=VERSIONS)
def old(request, tmp_path):
    "A version, and a copy of its runs"
    shutil.copytree(DATA / f"runs-{request.param}", tmp_path / "runs")
    return request.param, tmp_path / "runs"


def test_there_are_runs_of_this_version():
    assert modreg.__version__ in VERSIONS, "write them: python tests/test_old_runs.py"
    assert sum(path.stat().st_size for path in DATA.rglob("*")) < 100_000 * len(VERSIONS)


def test_what_it_holds_is_read(old):
    "Weights, results and checkpoints of every version, by the functions that read files"
    version, folder = old
    whole, stopped = (next((folder / kind).iterdir()) for kind in ("whole", "stopped"))
    assert files.read_json(whole / "config.json")["version"] == version
    assert files.read_json(whole / "result.json")["phases"]["train"]["epoch"] == OPTIONS["epochs"] - 1
    weights = files.read_weights(whole / "train.safetensors", whole.name)
    assert all(value.isfinite().all() for value in weights.values()) and any((value == 0).any() for value in weights.values())
    assert files.read_state(stopped / "state.pt", stopped.name)["history"][0]["epoch"] == 0


def test_a_complete_one_is_not_computed_again(old):
    version, folder = old
    run = task(folder / "whole").run
    if version != modreg.__version__:
        assert not run.path.exists()  # the version is part of its name
        return
    assert run.path.exists(), "the same settings have another folder now: raise the version, or give what is new a value that changes nothing"
    stamps = {path: path.stat().st_mtime_ns for path in run.path.iterdir()}
    assert fit(task(folder / "whole"), progress=False).history == [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert stamps == {path: path.stat().st_mtime_ns for path in run.path.iterdir()}


def test_a_stopped_one_goes_on(old):
    version, folder = old
    if version != modreg.__version__:
        pytest.skip("of another version")
    one = task(folder / "stopped")
    first = (one.run.path / "metrics.jsonl").read_text()
    found = fit(one, progress=False)
    assert (found.path / "metrics.jsonl").read_text().startswith(first) and len(found.history) == OPTIONS["epochs"]
    other = next((folder / "whole").iterdir())
    assert found.weights().keys() == files.read_weights(other / "train.safetensors").keys()


@pytest.mark.parametrize("kind", ["whole", "stopped"])
def test_another_version_refuses_it(old, monkeypatch, kind):
    "It makes a folder of its own; and who renames the old one is told whose file it is"
    _, folder = old
    there = next((folder / kind).iterdir())
    monkeypatch.setattr(modreg, "__version__", "99.0")
    one = task(folder / kind)
    assert one.run.path != there
    there.rename(one.run.path)
    with pytest.raises(ValueError, match=rf"is a (file|checkpoint) of {there.name}.*, not of {one.run.path.name}.*: delete it"):
        fit(one, progress=False)


if __name__ == "__main__":
    torch.manual_seed(0)
    target = DATA / f"runs-{modreg.__version__}"
    sys.exit(f"{target} is there already; delete it first") if target.exists() else write(target)
