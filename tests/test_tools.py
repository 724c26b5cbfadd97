"""The scripts that `make` calls, and the Makefile's own checks."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import run  # noqa: E402


def start(folder: Path, **config) -> Path:
    "A run folder as `fit` begins it"
    folder.mkdir(parents=True)
    given = {"epochs": 3, "lottery": True, "sparsity": 0.9, "penalty": "moduli", "manifold": "torus", "train_embedding": False, "inhibitor": "difference_of_gaussians", "sparsifier": "magnitude"}
    (folder / "config.json").write_text(json.dumps(given | config))
    return folder


def learn(folder: Path, *errors: float) -> None:
    lines = [{"phase": "train", "epoch": k, "loss": [1.0], "error": [e, None]} for k, e in enumerate(errors)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def terminal(monkeypatch):
    "As if somebody watched"
    monkeypatch.setattr("_pytest.capture.CaptureIO.isatty", lambda self: True)


def test_bars_follow_the_run_folders(tmp_path, terminal, capsys):
    "Each is named by what it trains"
    old = start(tmp_path / "old")
    os.utime(old / "config.json", (0, 0))
    bars, now = {}, time.time() - 1
    run.update(bars, tmp_path, now)
    assert not bars
    new, dense = start(tmp_path / "new"), start(tmp_path / "dense", sparsity=0.0, penalty="none")
    run.update(bars, tmp_path, now)
    learn(new, 90.0, 80.0)
    run.update(bars, tmp_path, now)
    assert set(bars) == {new, dense}
    assert (bars[new].n, bars[new].total) == (2, 6)
    for bar in bars.values():
        bar.close()
    shown = capsys.readouterr().err
    assert "torus, 90 % zeros: " in shown and "epoch 2 of 6, error 80" in shown and "no penalty, dense: " in shown and " left" in shown


def test_a_bar_is_closed_at_its_end(tmp_path, terminal):
    folder, bars, now = start(tmp_path / "new", lottery=False), {}, time.time() - 1
    run.update(bars, tmp_path, now)
    learn(folder, 90.0, 80.0, 70.0)
    for _ in range(2):
        run.update(bars, tmp_path, now)
    assert bars[folder].disable and bars[folder].n == 3


def test_without_a_terminal_there_are_lines(tmp_path, capsys):
    "Ten of a long run, none twice, and no carriage return"
    folder, bars, now = start(tmp_path / "new", epochs=50), {}, time.time() - 1
    for epochs in range(101):
        learn(folder, *[90.0] * epochs)
        run.update(bars, tmp_path, now)
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert shown.err == "" and "\r" not in shown.out and len(lines) == 10
    assert lines[0].startswith("torus, 90 % zeros: epoch 10 of 100, error 90, ") and lines[-1].endswith(" 00:00 left")


def test_report_shows_the_table_of_this_run_and_where_things_lie(tmp_path):
    for name in ("old", "new"):
        (start(tmp_path / name) / "table.md").write_text(f"| {name} |\n\n<details>all</details>\n")
        (tmp_path / name / "learning.png").touch()
    os.utime(tmp_path / "old" / "table.md", (0, 0))
    text = run.report(tmp_path, time.time() - 1, Path("build/navigation.ipynb"))
    assert "| new |" in text and "| old |" not in text
    assert str(tmp_path / "new") in text and "learning.png" in text and "<details>" not in text and "build/navigation.ipynb" in text


@pytest.mark.parametrize(("args", "folder"), [
    (["navigation"], "runs"),
    (["navigation", "-p", "out", "build/runs"], "build/runs"),
    (["navigation", "-p", "out", "a", "-p", "seeds", "1", "-p", "out", "b"], "b"),
])
def test_out_folder(args, folder):
    assert run.out_folder(args) == Path(folder)


def test_unknown_chapter_names_those_that_exist(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert run.main(["navigaton"]) == 2
    assert "navigation" in capsys.readouterr().err


def make(*args: str) -> subprocess.CompletedProcess:
    return subprocess.run(["make", *args], cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_make_says_what_is_missing(tmp_path):
    "An interpreter that is too old, or none at all, is named before anything is installed"
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    for python in (old, "no-such-python"):
        done = make("run", f"PYTHON={python}", f"VENV={tmp_path / 'venv'}")
        assert done.returncode and "needs Python >= 3.11" in done.stderr and str(python) in done.stderr
    assert not (tmp_path / "venv").exists()


def test_make_help_lists_every_target():
    phony = next(line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith(".PHONY:")).split()[1:]
    listed = {line.split()[0] for line in make().stdout.splitlines()}
    assert set(phony) <= listed
