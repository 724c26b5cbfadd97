"""Deaths, full disks, damages and company, made on purpose by faults.py; `make test-faults` makes all of them, on every task."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from faults import TASKS, WAYS, Hostile, hostile_checkpoint, task, tried, wrong

from modreg.lab import files, runs
from modreg.lab.training import Callback, fit

HERE = Path(__file__).resolve().parent


def came_of(way: str, name: str, *number: float) -> dict[str, int]:
    "What came of all trials of a kind, by outcome; fails if one went wrong"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")])), "OMP_NUM_THREADS": "1"}
    environment.pop("MODREG_DATA", None)
    found = subprocess.run([sys.executable, HERE / "faults.py", way, name, *map(str, number)], env=environment, capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in found.stdout.splitlines()]
    assert found.returncode == 0 and lines, found.stderr[-3000:]
    bad = [line for line in lines[:-1] if line["wrong"]]
    assert not bad and "wrong" not in lines[-1], "\n".join(f"{line['at']}: {line['wrong']}" for line in bad[:10])
    print(way, name, lines[-1])
    return lines[-1]


# --- the quick part ------------------------------------------------------------------------------------------------------


def test_a_death_at_every_file_operation():
    assert came_of("kills", "remember", 1)["survived"] > 40


def test_a_disk_that_is_full():
    assert came_of("small_disk", "remember")["survived"] == 7


def test_two_on_one_run():
    assert came_of("company", "remember")["survived"] == 1


def test_every_file_damaged():
    found = came_of("spoil", "remember", 3)
    assert found["named"] > 150


def test_memory_stays_as_it_is():
    came_of("soak", "remember", 1)


# --- the whole -----------------------------------------------------------------------------------------------------------


@pytest.mark.faults
@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize(("way", "number"), [("kills", ()), ("refusals", ()), ("moments", (50,)), ("spoil", (60,)), ("company", ()), ("small_disk", ())])
def test_all_faults(way, number, name):
    assert sum(came_of(way, name, *number).values())


@pytest.mark.faults
def test_an_hour_in_one_process():
    came_of("soak", "remember", float(os.environ.get("MODREG_SOAK", "3600")))


def test_all_ways_are_tried():
    assert set(WAYS) == {"kills", "refusals", "moments", "spoil", "company", "small_disk", "soak"}


# --- one by one ----------------------------------------------------------------------------------------------------------


class Interrupt(Callback):
    "Stops after so many epochs were written down"

    def __init__(self, epochs: int):
        self.left = epochs

    def before_epoch(self, trainer):
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1


def interrupted(name: str, out: Path, epochs: int = 3):
    one = task(name, out)
    with pytest.raises(KeyboardInterrupt):
        fit(one, progress=False, callbacks=[Interrupt(epochs)])
    return one


@pytest.fixture
def whole(tmp_path):
    return fit(task("remember", tmp_path / "whole"), progress=False).path


def test_the_checkpoint_before_is_used_and_said(tmp_path, whole):
    one = interrupted("remember", tmp_path / "parts")
    state = one.run.path / "state.pt"
    state.write_bytes(state.read_bytes()[:-1])
    with pytest.warns(UserWarning, match=r"state\.pt is damaged \(.*\); it is deleted, and the run goes on from the checkpoint before"):
        fit(one, progress=False)
    assert not wrong(one, whole)


def test_both_checkpoints_damaged(tmp_path, whole):
    one = interrupted("remember", tmp_path / "parts")
    for name in ("state.pt", "state.before.pt"):
        (one.run.path / name).write_bytes(b"")
    with pytest.raises(files.DamagedFile, match=r"state\.pt is damaged .*, and so is .*state\.before\.pt: delete both, and the run goes on from its beginning"):
        fit(one, progress=False)
    for name in ("state.pt", "state.before.pt"):
        (one.run.path / name).unlink()
    fit(one, progress=False)
    assert not wrong(one, whole)


def test_a_checkpoint_of_another_seed_a_result_and_weights_too(tmp_path):
    one, other = interrupted("remember", tmp_path), task("remember", tmp_path, seed=5)
    fit(other, progress=False)
    for name in ("result.json", "train.safetensors"):
        (one.run.path / name).write_bytes((other.run.path / name).read_bytes())
        with pytest.raises(ValueError, match=rf"{name} is a file of remember-.*, not of {one.run.path.name}/{name}: delete it"):
            fit(one, progress=False)
        (one.run.path / name).unlink()
    (one.run.path / "state.pt").write_bytes((interrupted("remember", tmp_path / "elsewhere").run.path / "state.pt").read_bytes())
    fit(one, progress=False)  # its own, from another folder


def test_what_was_written_before_there_were_seals_is_read(tmp_path, whole, monkeypatch):
    "As the version before wrote a run: no seals, no list of seeds that diverged, a checkpoint as torch writes it"
    old, state = task("remember", tmp_path / "old"), {}
    monkeypatch.setattr(files, "sealed", lambda data: data.split(b"\n", 1)[1] if data.startswith(b"sealed") else data)
    monkeypatch.setattr(files, "seal", lambda owner, name: "sealed")
    monkeypatch.setattr(files, "save", lambda tensors, words: __import__("safetensors.torch").torch.save(tensors))
    monkeypatch.setattr(files, "write_json", lambda path, value, owner: path.write_text(json.dumps(value)))
    monkeypatch.setattr(runs, "write_json", lambda path, value, owner: path.write_text(json.dumps({k: v for k, v in value.items() if k not in ("metrics", "diverged")})))
    with pytest.raises(KeyboardInterrupt):
        fit(old, progress=False, callbacks=[Interrupt(3)])
    assert torch.load(old.run.path / "state.pt", weights_only=True)["phase"] == "lottery"
    run = fit(old, progress=False)
    monkeypatch.undo()
    assert "metrics" not in run.result and b"sealed" not in b"".join(path.read_bytes() for path in run.path.iterdir())
    stamps = {path: path.stat().st_mtime_ns for path in run.path.iterdir()}
    assert fit(old, progress=False).history == [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert stamps == {path: path.stat().st_mtime_ns for path in run.path.iterdir()} and state == {}
    assert all(torch.equal(value, run.weights()[name]) for name, value in files.read_weights(whole / "train.safetensors").items())
    (run.path / "metrics.jsonl").write_text("".join((whole / "metrics.jsonl").read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(files.DamagedFile, match="of 4 epochs it holds 3"):
        fit(old, progress=False)


def test_hostile_files_are_not_run(tmp_path):
    one, marker = interrupted("remember", tmp_path / "parts"), tmp_path / "marker"
    (one.run.path / "state.before.pt").unlink()
    sealed = files.sealed(f"{files.seal(one.run.path.name, 'state.pt')}\n".encode() + hostile_checkpoint(marker))  # by one who knows seals
    for data in (hostile_checkpoint(marker), sealed):
        (one.run.path / "state.pt").write_bytes(data)
        assert "state.pt is damaged (it is no checkpoint): delete it, and the run goes on from its beginning" in tried(one)
    assert not marker.exists() and Hostile(marker).__reduce__()[0] is os.mkdir


def test_the_shares_of_another_run_count_by_what_they_are(tmp_path):
    "The folder's name does not matter, its content does"
    other = fit(task("remember", tmp_path / "a", lottery=False), progress=False).path
    moved = tmp_path / "moved"
    moved.mkdir()
    (moved / "train.safetensors").write_bytes((other / "train.safetensors").read_bytes())
    denser = fit(task("remember", tmp_path / "a", lottery=False, shares="erk"), progress=False).path
    paths = [task("remember", tmp_path, shares=str(folder)).run.path for folder in (other, moved, denser)]
    assert paths[0] == paths[1] != paths[2]
    first = fit(task("remember", tmp_path, shares=str(other)), progress=False)
    assert fit(task("remember", tmp_path, shares=str(moved)), progress=False).path == first.path
    data = bytearray((moved / "train.safetensors").read_bytes())
    data[-1] ^= 1
    (moved / "train.safetensors").write_bytes(data)
    with pytest.raises(files.DamagedFile, match=r"moved/train\.safetensors is damaged"):
        fit(task("remember", tmp_path, shares=str(moved)), progress=False)


def test_a_folder_that_can_only_be_read_is_read(tmp_path, monkeypatch):
    one = task("remember", tmp_path)
    run = fit(one, progress=False)
    (run.path / "state.pt").write_bytes(b"left over")

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied", str(run.path))

    monkeypatch.setattr(files, "FileLock", refuse)
    assert fit(one, progress=False).result["phases"] and (run.path / "state.pt").exists()
    with pytest.raises(PermissionError, match=r"there is no right to read or write here.*choose another folder.*remember-"):
        fit(task("remember", tmp_path, seed=3), progress=False)
    monkeypatch.undo()
    fit(one, progress=False)
    assert not (run.path / "state.pt").exists()


@pytest.mark.parametrize(("out", "message"), [("file", "a file stands where a folder is wanted"), ("file/below", "a file stands where a folder is wanted"), ("x" * 300, "out='/.*give the name of a folder")])
def test_a_folder_that_cannot_be(tmp_path, out, message):
    (tmp_path / "file").write_text("")
    with pytest.raises((OSError, ValueError), match=message):
        fit(task("remember", tmp_path / out), progress=False)
