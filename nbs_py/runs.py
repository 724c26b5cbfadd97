# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Runs
#
# > Results in folders that are found again, never repeated and never half written

# %% [markdown]
# After this chapter you can
#
# - find a run's folder from its settings alone, and its settings from its folder,
# - say what makes two runs the same run,
# - write a file that is there complete or not at all.
#
# The question: *a table of the paper is dozens of runs, each of minutes to hours. What must a run write down so that none is
# ever computed twice, mixed up with another, or lost?*
#
# ```
# settings that decide  +  the task  +  its data  +  the version
#                       |
#               navigation-1edfac266913/      the same name, the same run
#                 config.json    metrics.jsonl    train.safetensors
#                 result.json    last, and complete or not at all
# ```

# %%
#| default_exp lab.runs

# %%
#| export
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import modreg
from modreg.lab.settings import Config, about, decisive

# %%
#| hide
import tempfile
from dataclasses import dataclass, replace
from typing import ClassVar

import matplotlib.pyplot as plt
from fastcore.test import test_eq, test_fail

from modreg.book.exercises import exercise

plt.style.use("modreg.data.book")


# %% [markdown]
# ## A folder with the run's own name
#
# *Predict:* two configs differ in their output folder alone. Are they the same run? And if they differ in one digit of a learning rate? If the same config is trained on another text?
#
# A run's name is a hash of all that can change a number: the settings that [decide](settings.ipynb), the class of the task, a fingerprint of the data that it has read, and the version of this package.
# Where the folder lies, on which device and by which products it was filled, does not count: these change the last digits at most.

# %%
#| export
def digest(
    config: Config,
    task: str = "",  # name of the task's class
    data: str = "",  # fingerprint of what it has read
) -> str:
    "Twelve hexadecimal digits that name a run"
    text = json.dumps([config.task, task, data, modreg.__version__, decisive(config)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


# %%
@dataclass(frozen=True, kw_only=True)
class WaitConfig(Config):
    "Settings of a made-up task"

    task: ClassVar[str] = "wait"
    scales: ClassVar = {"tiny": dict(hidden=32, batch=32, batches=50, epochs=5, lr=5e-3, strength=1e-4)}


config = WaitConfig(scale="tiny", device="cpu")
print(digest(config), digest(replace(config, lr=5.1e-3)), digest(config, data="another text"))
test_eq(digest(config), digest(replace(config, out="elsewhere", sparse_products="off")))

# %% [markdown]
# Change one setting, and about half of the bits change with it: no two names are near each other by being near in settings.

# %%
bits = [[int(bit) for bit in f"{int(digest(replace(config, seed=seed)), 16):048b}"] for seed in range(12)]
fig, ax = plt.subplots(figsize=(6, 1.9), layout="constrained")
ax.imshow(bits, cmap="Greys", aspect="auto")
ax.set(xlabel="bit of the name", ylabel="seed")
plt.show()


# %% [markdown]
# Data that a task reads from files count by their contents. Hashing them costs a second for every two gigabytes, so large collections may give names and sizes in place of contents.

# %%
#| export
def fingerprint(
    *parts: Path | str,  # files, and texts such as transcripts; their order counts
    contents: bool = True,  # False: of files the names and sizes alone, for collections too large to read
) -> str:
    "Twelve hexadecimal digits that change with what was read"
    found = hashlib.sha256()
    for part in parts:
        file = isinstance(part, Path)
        found.update(json.dumps([part.name, part.stat().st_size] if file else part).encode())
        if file and contents:
            with part.open("rb") as opened:
                found.update(hashlib.file_digest(opened, "sha256").digest())
    return found.hexdigest()[:12]


# %%
folder = Path(tempfile.mkdtemp())
for name, text in {"a.txt": "the torus closes", "b.txt": "the bottle leaks"}.items():
    (folder / name).write_text(text)
files = folder / "a.txt", folder / "b.txt"
before = fingerprint(*files)
(folder / "b.txt").write_text("the bottle sinks")
assert fingerprint(*files) != before


# %% [markdown]
# ## Complete or not at all
#
# A process may die between any two lines. So a file is written under another name beside its own, and gets its own when it is complete; that is one step, which no death can cut in two.

# %%
#| export
def write_whole(
    path: Path,  # the file; it appears complete or not at all
    save: Callable[[Path], Any],  # called with the path of a file beside it
) -> None:
    "Write a file in one step, seen from outside"
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save(beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


# %%
def dies(path):
    path.write_text("half a sen")
    raise KeyboardInterrupt


note = folder / "note.txt"
write_whole(note, lambda path: path.write_text("a whole sentence"))
try:
    write_whole(note, dies)
except KeyboardInterrupt:
    print(note.read_text())
test_eq(sorted(path.name for path in folder.iterdir()), ["a.txt", "b.txt", "note.txt"])


# %% [markdown]
# ## What lies in the folder
#
# Five kinds of files, and `result.json` is written last: where it is, the run is complete.
#
# | file | holds |
# |---|---|
# | `config.json` | the settings, the task's class, the data's fingerprint |
# | `metrics.jsonl` | a line for each epoch, a value for each seed |
# | `train.safetensors`, `lottery.safetensors` | weights and embeddings at the end of each phase |
# | `state.pt` | what is needed to go on; removed at the end |
# | `result.json` | the last metrics of each phase, seconds, multiplications |

# %%
#| export
class Run:
    "The folder of one run"

    def __init__(
        self,
        config: Config,
        task: str = "",  # name of the task's class
        data: str = "",  # fingerprint of what it has read
    ):
        self.config, self.task, self.data = config, task, data
        self.path = Path(config.out) / f"{config.task}-{digest(config, task, data)}"

    @property
    def result(self) -> dict | None:
        "What a complete run found, else None"
        path = self.path / "result.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    @property
    def history(self) -> list[dict]:
        "The metrics, one dict an epoch"
        path = self.path / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    def weights(
        self,
        phase: str = "train",  # "train" or "lottery"
    ) -> dict[str, Tensor]:
        "Weights at the end of a phase, and its penalties' embeddings as `regularizer.K.embedding`; each led by the seeds"
        path = self.path / f"{phase}.safetensors"
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist: this run has not ended its phase {phase!r}")
        return load_file(path, device=self.config.device)

    def write_json(self, name: str, value: Any) -> None:
        "Write `value` to the file `name`"
        write_whole(self.path / name, lambda path: path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8"))

    def write_weights(self, phase: str, tensors: dict[str, Tensor]) -> None:
        "Write what a phase ends with"
        write_whole(self.path / f"{phase}.safetensors", lambda path: save_file(tensors, path))


# %%
example = Run(replace(config, out=str(folder)))
print(example.path.name, example.result, example.history)
test_fail(example.weights, contains="has not ended its phase 'train'")


# %% [markdown]
# A run begins by writing down its settings, all of them. If the folder is there already, the settings in it must be these:
# a default that has changed since would otherwise pass unseen, because a setting at its default is not in the name.

# %%
#| export
def begin(run: Run) -> None:
    "Write the run's config.json; ValueError if its folder holds a run with other settings"
    path, mine = run.path / "config.json", {"task": run.config.task, "class": run.task, "data": run.data, "version": modreg.__version__, **asdict(run.config)}
    there = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    idle = [one.name for one in fields(run.config) if not about(one, "decides")]
    for name in [name for name in mine if name in there and name not in idle and there[name] != mine[name]]:
        raise ValueError(f"{run.path} holds a run with {name}={there[name]!r}, and this one has {mine[name]!r}: a default has changed since. Delete or rename that folder")
    run.write_json("config.json", mine)


# %%
begin(example)
begin(Run(replace(example.config, device="cpu", out=str(folder))))  # the same run, taken up again
settings = json.loads((example.path / "config.json").read_text())
example.write_json("config.json", settings | {"seeds": 5})
test_fail(lambda: begin(example), contains="seeds=5, and this one has 3")


# %% [markdown]
# ## To go on where one was
#
# After each epoch, all that is needed to go on is written as one file, with the metrics so far in it; then the metrics' own file is made anew from that. Whatever dies between the two, no epoch is lost and none stands twice.
# A checkpoint says whose it is, so that one that was copied from another folder is refused.

# %%
#| export
def save_state(run: Run, state: dict[str, Any]) -> None:
    "Write the checkpoint, then the metrics that it holds as `history`"
    write_whole(run.path / "state.pt", lambda path: torch.save({**state, "run": run.path.name}, path))
    lines = "".join(json.dumps(line) + "\n" for line in state["history"])
    write_whole(run.path / "metrics.jsonl", lambda path: path.write_text(lines, encoding="utf-8"))


def load_state(run: Run) -> dict[str, Any] | None:
    "The last checkpoint, or None; ValueError if it is another run's"
    path = run.path / "state.pt"
    if not path.exists():
        return None
    state = torch.load(path, map_location=run.config.device, weights_only=True)
    if (name := state.pop("run", None)) != run.path.name:
        raise ValueError(f"{path} is a checkpoint of {name}, not of {run.path.name}: delete it, and the run begins anew")
    return state


# %%
save_state(example, {"history": [{"epoch": 0, "loss": [0.5]}], "epoch": 1})
test_eq(example.history, [{"epoch": 0, "loss": [0.5]}])
test_eq(load_state(example)["epoch"], 1)
other = Run(replace(example.config, seed=1))
other.path.mkdir()
(example.path / "state.pt").rename(other.path / "state.pt")
test_fail(lambda: load_state(other), contains="is a checkpoint of wait-")


# %% [markdown]
# ## Exercise 1
#
# Show that two configs which differ in `out`, `device` or `scale` alone share a digest, and that one seed more makes another run.

# %%
def same_run(a, b):
    raise NotImplementedError("compare digests")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def same_run(a, b):
#     return digest(a) == digest(b)
# ```
#
# </details>

# %%
with exercise("digest(config) is a string"):
    assert same_run(config, replace(config, out="elsewhere"))
    assert not same_run(config, replace(config, seeds=4))


# %% [markdown]
# ## Exercise 2: what does it cost to die?
#
# A checkpoint is written after each epoch. A machine fails at a random moment of a run of $E$ epochs, each of $s$ seconds. How many seconds of work are lost on average?

# %%
def lost(epochs, seconds):
    raise NotImplementedError("mean time since the last checkpoint")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def lost(epochs, seconds):
#     return seconds / 2
# ```
#
# Half an epoch, however long the run. Without checkpoints it would be half the run.
#
# </details>

# %%
with exercise("the failure falls somewhere in one epoch: where, on average?"):
    test_eq([lost(10, 60), lost(1000, 60)], [30, 30])

# %% [markdown]
# ## What broke, and what the paper did
#
# - The name once left out the data. Another corpus behind `MODREG_DATA` got the first corpus' perplexity, from a folder that was complete.
# - It left out the task's class too, so that a derived task with other data and the same settings was never trained.
# - A seed may diverge. JSON has no word for *not a number*, so it is written as `null`, and a table says "diverged".
#
# The published scripts draw no seed, and write results under names that are given by hand, so no run of theirs can be repeated or found.
#
# **References.** Frankle and Carbin, *The lottery ticket hypothesis* (2019). Frankle et al., `open_lth`, whose hashed run folders are the model for these.
