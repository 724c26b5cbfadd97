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
# *Reading 20 min, exercises 6 min. To skip at a first reading:* all of it, until you need it.
#
# After this chapter you can
#
# - find a run's folder from its settings alone, and its settings from its folder,
# - say what makes two runs the same run,
# - say which of a run's files is damaged or another run's, and what to do about it.
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
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated, Any, BinaryIO

from torch import Tensor

import modreg
from modreg.geometry.arguments import OneOf, checked
from modreg.lab.files import BEGINNING, RunInUse, damaged, in_words, is_half, locked, read_json, read_state, read_weights, sweep, write_json, write_state, write_whole
from modreg.lab.settings import SHARES, Config, about, decisive

# %%
#| hide
import tempfile
from dataclasses import dataclass, replace
from typing import ClassVar

import matplotlib.pyplot as plt
import torch
from fastcore.test import test_eq, test_fail

from modreg.book.exercises import draw_bars, draw_lines, exercise
from modreg.lab.files import write_weights

plt.style.use("modreg.data.book")

# %% [markdown]
# ## A folder with the run's own name
#
# *Predict:* two configs differ in their output folder alone. Are they the same run? And if they differ in one digit of a learning rate? If the same config is trained on another text?
#
# A run's name is a hash of all that can change a number: the settings that [decide](settings.ipynb), the class of the task, a fingerprint of the data that it has read, and the version of this package.
# Where the folder lies, on which device and by which products it was filled, does not count: these change the last digits at most. Nor does the folder of another run whose
# [shares of zeros](pruning.ipynb) are taken: what counts is the shares, so they are part of the data.

# %%
#| export
PHASES = ("train", "lottery")
PhaseName = Annotated[str, OneOf(PHASES)]


@checked
def digest(
    config: Config,
    task: str = "",  # name of the task's class
    data: str = "",  # fingerprint of what it has read
) -> str:
    "Twelve hexadecimal digits that name a run"
    settings = decisive(config)
    if config.shares not in SHARES:  # a folder, whose contents are in `data`
        settings["shares"] = "another run's"
    text = json.dumps([config.task, task, data, modreg.__version__, settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


# %%
@dataclass(frozen=True, kw_only=True)
class WaitConfig(Config):
    "Settings of a made-up task"

    task: ClassVar[str] = "wait"
    scales: ClassVar = {"tiny": dict(hidden=32, batch=32, batches=50, epochs=5, lr=5e-3, strength=1e-4)}


config = WaitConfig(scale="tiny", device="cpu")
for words, name in {"as it is": digest(config), "another learning rate": digest(replace(config, lr=5.1e-3)), "other data": digest(config, data="another text")}.items():
    print(name, words)
test_eq(digest(config), digest(replace(config, out="elsewhere", sparse_products="off")))

# %% [markdown]
# Change one setting, and about half of the bits change with it: no two names are near each other by being near in settings.

# %%
#| fig-alt: "Bits of run names for twelve seeds: black and white at random, no two rows alike."
bits = [[int(bit) for bit in f"{int(digest(replace(config, seed=seed)), 16):048b}"] for seed in range(12)]
fig, ax = plt.subplots(figsize=(6, 1.9), layout="constrained")
ax.imshow(bits, cmap="Greys", aspect="auto")
ax.set(xlabel="bit of the name", ylabel="seed", yticks=range(0, 12, 2))
plt.show()


# %% [markdown]
# Data that a task reads from files count by their contents. Hashing them costs a second for every two gigabytes, so of large collections names, sizes, and each file's first and last 16 kB may stand for the whole:
# another recording of the same length differs there.

# %%
#| export
@checked
def fingerprint(
    *parts: Path | str,  # files, and texts such as transcripts; their order counts
    contents: bool = True,  # False: of files the names, sizes, beginnings and ends alone, for collections too large to read
) -> str:
    "Twelve hexadecimal digits that change with what was read"
    found = hashlib.sha256()
    for part in parts:
        found.update(json.dumps([part.name, part.stat().st_size] if isinstance(part, Path) else part).encode())
        if isinstance(part, Path):
            with in_words(part), part.open("rb") as opened:
                found.update(hashlib.file_digest(opened, "sha256").digest() if contents else _ends(opened))
    return found.hexdigest()[:12]


def _ends(opened: BinaryIO) -> bytes:
    "The first and the last 16 kB of a file"
    first, size = opened.read(2**14), opened.seek(0, 2)
    opened.seek(max(0, size - 2**14))
    return first + opened.read()


# %%
folder = Path(tempfile.mkdtemp())
for name, text in {"a.txt": "the torus closes", "b.txt": "the bottle leaks"}.items():
    (folder / name).write_text(text)
files = folder / "a.txt", folder / "b.txt"
earlier = [fingerprint(*files, contents=contents) for contents in (True, False)]
(folder / "b.txt").write_text("the bottle sinks")
assert fingerprint(*files) != earlier[0] and fingerprint(*files, contents=False) != earlier[1]


# %% [markdown]
# ## What lies in the folder
#
# Six kinds of files, and `result.json` is written last: where it is, the run is complete. The chapter [files](files.ipynb) tells how each is written in one step, and how it says that it is damaged or another run's.
#
# | file | holds |
# |---|---|
# | `config.json` | the settings, the task's class, the data's fingerprint |
# | `metrics.jsonl` | a line for each epoch, a value for each seed |
# | `train.safetensors`, `lottery.safetensors` | weights and embeddings at the end of each phase |
# | `state.pt`, `state.before.pt` | what is needed to go on, and what was needed an epoch ago; removed at the end |
# | `result.json` | the last metrics of each phase, seeds that diverged, seconds, a checksum of the metrics |
# | `.lock`, `.owner` | which process works here; removed at the end |

# %%
#| export
def _check_result(run: "Run", result: dict[str, Any]) -> dict[str, Any]:
    "The same; DamagedFile if it is no result of this run's phases"
    found = result.get("phases")
    lines = [found.get(phase) for phase in run.phases] if isinstance(found, dict) and found.keys() == set(run.phases) else [None]
    if not all(isinstance(line, dict) and line.get("epoch") == run.config.epochs - 1 and isinstance(line.get("loss"), list) and len(line["loss"]) == run.config.seeds for line in lines):
        raise damaged(run.path / "result.json", f"it has no metrics of {' and '.join(run.phases)} for {run.config.seeds} seeds", BEGINNING)
    return result


@checked
def checksum(path: Path) -> str:
    "SHA-256 of a file"
    with in_words(path):
        return hashlib.sha256(path.read_bytes()).hexdigest()


def _read_lines(path: Path) -> list[dict[str, Any]]:
    "Metrics as they were written; DamagedFile if a line is none"
    lines = []
    with in_words(path):
        data = path.read_bytes()
    for k, line in enumerate(data.splitlines(), start=1):
        try:
            lines.append(json.loads(line))
            lines[-1]["phase"], lines[-1]["epoch"]
        except (ValueError, TypeError, KeyError, RecursionError):
            raise damaged(path, f"line {k} is no epoch's metrics", "it is made anew from the checkpoint, or the run goes on from its beginning") from None
    return lines


# %%
#| export
@checked
class Run:
    "The folder of one run"

    def __init__(
        self,
        config: Config,
        task: str = "",  # name of the task's class
        data: str = "",  # fingerprint of what it has read
    ):
        self.config, self.task, self.data = config, task, data
        self.phases = ("train", "lottery") if config.lottery else ("train",)
        self.path = Path(config.out) / f"{config.task}-{digest(config, task, data)}"

    @property
    def result(self) -> Any:  # None, or a dict
        "What a complete run found, else None; DamagedFile if the file is no result, ValueError if it is another run's"
        path = self.path / "result.json"
        return _check_result(self, read_json(path, self.path.name)) if path.exists() else None

    @property
    def history(self) -> list[dict]:
        "The metrics, one dict an epoch; DamagedFile if they are cut, or not those that the result was made of"
        path, result = self.path / "metrics.jsonl", self.result
        lines = _read_lines(path) if path.exists() else []
        if result is not None and path.exists():
            whole = [(phase, epoch) for phase in self.phases for epoch in range(self.config.epochs)]
            if result.get("metrics", checksum(path)) != checksum(path) or [(line["phase"], line["epoch"]) for line in lines] != whole:
                raise damaged(path, f"of {len(whole)} epochs it holds {len(lines)}, or others than were written", BEGINNING)
        return lines

    def weights(
        self,
        phase: str = "train",  # "train" or "lottery"
    ) -> dict[str, Tensor]:
        "Weights at the end of a phase, and its penalties' embeddings as `regularizer.K.embedding`; each led by the seeds"
        if phase not in self.phases:
            raise ValueError(f"phase={phase!r}; the phases of this run are {', '.join(map(repr, self.phases))}")
        path = self.path / f"{phase}.safetensors"
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist: this run has not ended its phase {phase!r}")
        return read_weights(path, self.path.name, self.config.device)


# %%
example = Run(replace(config, out=str(folder)))
print(f"{example.path.name}: result {example.result}, {len(example.history)} epochs")
test_fail(example.weights, contains="has not ended its phase 'train'")
example.path.mkdir()
for text in ("[]", "{}", "", '{"phases": {"train": {}}}', "[" * 10**5):
    (example.path / "result.json").write_text(text)
    test_fail(lambda: example.result, contains="result.json is damaged")
(example.path / "result.json").unlink()


# %% [markdown]
# A run begins by writing down its settings, all of them. If the folder is there already, the settings in it must be these:
# a default that has changed since would otherwise pass unseen, because a setting at its default is not in the name.

# %%
#| export
@checked
def check_settings(run: Run) -> dict[str, Any]:
    "What config.json must hold; ValueError if it holds other settings, DamagedFile if that cannot be told"
    path, mine = run.path / "config.json", {"task": run.config.task, "class": run.task, "data": run.data, "version": modreg.__version__, **asdict(run.config)}
    there = read_json(path, run.path.name, "it is written anew") if path.exists() else {}
    idle = [one.name for one in fields(run.config) if not about(one, "decides")] + ["shares"] * (run.config.shares not in SHARES)
    for name in [name for name in mine if name in there and name not in idle and there[name] != mine[name]]:
        raise ValueError(f"{run.path} holds a run with {name}={there[name]!r}, and this one has {mine[name]!r}: a default has changed since. Delete or rename that folder")
    return mine


@checked
def begin(run: Run) -> None:
    "Write the run's config.json, if its folder does not hold a run with other settings"
    write_json(run.path / "config.json", check_settings(run), run.path.name)


# %%
begin(example)
begin(Run(replace(example.config, device="cpu", out=str(folder))))  # the same run, taken up again
settings = read_json(example.path / "config.json")
write_json(example.path / "config.json", settings | {"seeds": 5}, example.path.name)
test_fail(lambda: begin(example), contains="seeds=5, and this one has 3")


# %% [markdown]
# ## To go on where one was
#
# After each epoch, all that is needed to go on is written as one file, with the metrics so far in it; then the metrics' own file is made anew from that. Whatever dies between the two, no epoch is lost and none stands twice,
# since a run that goes on begins by making the metrics' file anew.
# A checkpoint says whose it is, so that one that was copied from another folder is refused.

# %%
#| export
@checked
def write_history(run: Run, history: list[dict[str, Any]]) -> None:
    "Write metrics.jsonl"
    lines = "".join(json.dumps(line) + "\n" for line in history)
    write_whole(run.path / "metrics.jsonl", lambda path: path.write_text(lines, encoding="utf-8"))


@checked
def save_state(run: Run, state: dict[str, Any]) -> None:
    "Write the checkpoint, then the metrics that it holds as `history`"
    write_state(run.path / "state.pt", {**state, "run": run.path.name}, run.path.name)
    write_history(run, state["history"])


@checked
def load_state(run: Run) -> dict[str, Any] | None:
    "The last checkpoint that is whole, or None; ValueError if it is another run's, DamagedFile if none is whole"
    path = run.path / "state.pt"
    state = read_state(path, run.path.name, run.config.device)
    if state is None:
        return None
    if (name := state.pop("run", None)) != run.path.name:
        raise ValueError(f"{path} is a checkpoint of {name}, not of {run.path.name}: delete it, and {BEGINNING}")
    return state


# %%
save_state(example, {"history": [{"phase": "train", "epoch": 0, "loss": [0.5]}], "epoch": 1})
test_eq(example.history, [{"phase": "train", "epoch": 0, "loss": [0.5]}])
test_eq(load_state(example)["epoch"], 1)
other = Run(replace(example.config, seed=1))
other.path.mkdir()
(example.path / "state.pt").rename(other.path / "state.pt")
test_fail(lambda: load_state(other), contains="is a checkpoint of wait-")


# %% [markdown]
# ## The end
#
# The result is the last file, and says by a checksum which metrics it was made of. A run is complete if each of its files is there and is what was written; if one was deleted, the run goes on. Then nothing is left that served to go on.

# %%
#| export
@checked
def write_result(run: Run, result: dict[str, Any]) -> None:
    "Write the last file of a run"
    write_json(run.path / "result.json", {**result, "metrics": checksum(run.path / "metrics.jsonl")}, run.path.name)


@checked
def is_complete(run: Run) -> bool:
    "Whether all files of the run are there; DamagedFile or ValueError if one is not what was written, OSError in words if the folder cannot be read"
    with in_words(run.path):
        if run.result is None or not all((run.path / name).exists() for name in ("metrics.jsonl", *(f"{phase}.safetensors" for phase in run.phases))):
            return False
    check_settings(run)
    _ = run.history
    for phase in run.phases:
        read_weights(run.path / f"{phase}.safetensors", run.path.name)
    return True


# %%
#| export
SERVED = ("state.pt", "state.before.pt", ".owner", ".lock")  # while the run was not complete


@checked
def is_tidy(run: Run) -> bool:
    "Whether nothing is left of what served to go on, and config.json is there"
    names = {path.name for path in run.path.iterdir()}
    return "config.json" in names and not names & set(SERVED) and not any(map(is_half, names))


@checked
def tidy(run: Run) -> None:
    "Delete what served to go on, and write config.json if it is not there; the folder is locked"
    if not (run.path / "config.json").exists():
        begin(run)
    sweep(run.path, *SERVED)


@checked
def tidy_after(run: Run) -> None:
    "What a dead process has not come to: `tidy`, unless another does it now or the folder can only be read"
    if not is_tidy(run):
        with suppress(OSError, RunInUse), locked(run.path):
            tidy(run)


# %%
lines = [{"phase": phase, "epoch": epoch, "loss": [0.5] * 3} for phase in example.phases for epoch in range(example.config.epochs)]
settings["seeds"] = 3
write_json(example.path / "config.json", settings, example.path.name)
write_history(example, lines)
for phase in example.phases:
    write_weights(example.path / f"{phase}.safetensors", {"w": torch.zeros(3, 2)}, example.path.name)
write_result(example, {"phases": {line["phase"]: line for line in lines}})
tidy(example)
assert is_complete(example) and is_tidy(example)
print(sorted(path.name for path in example.path.iterdir()))
write_history(example, lines[:-1])
test_fail(lambda: is_complete(example), contains="metrics.jsonl is damaged (of 10 epochs it holds 9")


# %% [markdown]
# ## Exercise 1: what is not part of a digest
#
# *3 min, easy.* Show that two configs which differ in `out`, `device` or `scale` alone share a digest, and that one seed more makes another run.

# %%
def same_run(a, b):
    "Whether two configs describe the same run"
    raise NotImplementedError


# %%
#| fold How it is checked
others = {"out": replace(config, out="elsewhere"), "seeds": replace(config, seeds=4), "sparsity": replace(config, sparsity=0.31)}
with exercise("digest(config) is a text, which is the same for the same run", lambda: draw_bars({f"another {name}": same_run(config, other) for name, other in others.items()}, "the same run?")) as expect:
    for name, same in (("out", True), ("seeds", False), ("sparsity", False)):
        expect(lambda: same_run(config, others[name]), gives=same, name=f"your answer about another {name}")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def same_run(a, b):
#     return digest(a) == digest(b)
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: what does it cost to die?
#
# *3 min, easy.* A checkpoint is written after each epoch. A machine fails at a random moment of a run of $E$ epochs, each of $s$ seconds. How many seconds of work are lost on average?

# %%
def lost(epochs, seconds):
    "Seconds of work lost on average, if a run of so many epochs, each of so many seconds, fails at a random moment"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("the failure falls somewhere in one epoch: where, on average?", lambda: draw_lines("epochs of 60 s", "seconds lost", with_checkpoints=(range(1, 21), [lost(n, 60) for n in range(1, 21)]), without=(range(1, 21), [30 * n for n in range(1, 21)]))) as expect:
    expect(lost, 10, 60, gives=30)
    expect(lost, 1000, 60, gives=30)

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

# %% [markdown]
# ## What broke, and what the paper did
#
# - The name once left out the data. Another corpus behind `MODREG_DATA` got the first corpus' perplexity, from a folder that was complete.
# - It left out the task's class too, so that a derived task with other data and the same settings was never trained. And it held the *path* of a run whose shares were taken, whatever lay there.
# - A kill between checkpoint and metrics in the last epoch lost that epoch's line for ever, as the run had no epoch left in which to write it.
# - An empty list in `result.json` passed for a result.
# - A seed may diverge. JSON has no word for *not a number*, so it is written as `null`, and a table says "diverged".
#
# The published scripts seed a part of what they draw ([reproduction](reproduction.ipynb)), and write results under names that are given by hand: few of their runs can be repeated, or found.
#
# ## Recall and think
#
# <details><summary>Recall: what is in a run's name?</summary>
#
# A hash of the settings that decide, the task's class, the data's fingerprint and the version.
#
# </details>
#
# <details><summary>Recall: which file is written last?</summary>
#
# `result.json`: where it is, the run is complete.
#
# </details>
#
# <details><summary>Think: why is the version part of the name?</summary>
#
# A change of the package may change a number; results of two versions are not to be mixed in silence.
#
# </details>
#
# **References.** Frankle and Carbin, *The lottery ticket hypothesis* (2019). Frankle et al., `open_lth`, whose hashed run folders are the model for these.
