# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Files
#
# > Files that are whole or not there, say whether they are still what was written, and belong to one process at a time

# %% [markdown]
# *Reading 20 min, exercises 15 min. To skip at a first reading:* all of it, until you need it.
#
# After this chapter you can
#
# - write a file that no death of a process can cut in two,
# - tell a damaged file, or one of another run, from a good one, before any of its numbers are used,
# - keep two processes from working in one folder.
#
# The question: *a run of a week is killed, its disk fills up, a copy of it loses a bit. What must its files look like for it to end with the right numbers, or with a sentence that says which file is wrong?*
#
# ```
#   write beside it        seal             rename
#  .state.pt.4711  ──>  sha256 of all  ──>  state.pt      there as a whole, or not at all
#                       the other bytes        │
#                                              └── state.before.pt   the one before
# ```

# %%
#| default_exp lab.files

# %%
#| export
import errno
import hashlib
import io
import json
import os
import re
import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import torch
from filelock import FileLock, Timeout
from safetensors.torch import load_file, save
from torch import Tensor

from modreg.geometry.arguments import Device, Within, checked

# %%
#| hide
import random
import subprocess
import sys
import tempfile

import matplotlib.pyplot as plt
from fastcore.test import test_eq, test_fail

from modreg.book.exercises import draw_bars, draw_curve, exercise

plt.style.use("modreg.data.book")

# %% [markdown]
# ## Complete or not at all
#
# *Predict:* a process is killed while it writes a file over another. What does one find afterwards: the old file, the new one, or a third thing?
#
# A third thing, half of the new one. So a file is written under another name beside its own, and gets its own when it is complete; that is one step, which no death can cut in two.
#
# A disk may be full, or not ours to write to. Python says so by a number and from deep inside; we say it in words, with the file's name.

# %%
#| export
WORDS = {
    errno.ENOSPC: "there is no room left on the disk", errno.EDQUOT: "the disk's quota is used up", errno.EFBIG: "a file may not grow so large here",
    errno.EACCES: "there is no right to read or write here", errno.EPERM: "there is no right to read or write here", errno.EROFS: "this disk can only be read",
    errno.ENOTDIR: "a file stands where a folder is wanted", errno.EEXIST: "a file stands where a folder is wanted", errno.EISDIR: "a folder stands where a file is wanted",
    errno.ENAMETOOLONG: "the name is too long for this disk", errno.ENOENT: "there is no such file or folder, and none can be made", errno.ELOOP: "links lead in a circle", errno.EIO: "the disk fails", errno.ENOLCK: "this disk knows no locks",
}


@checked(shallow=True)
@contextmanager
def in_words(
    path: Path,  # what is read or written
) -> Iterator[None]:
    "What the disk refuses is said in words, as the same OSError"
    try:
        yield
    except OSError as error:
        if error.errno not in WORDS or str(error.strerror).startswith(WORDS[error.errno]):  # or it was said in words already
            raise
        text = f"{WORDS[error.errno]}; nothing is half written, and what was complete before stays: put that right, or choose another folder, and start again"
        raise OSError(error.errno, text, str(path)) from None


# %%
#| export
@checked
def write_whole(
    path: Path,  # the file; it appears complete or not at all
    save: Callable[[Path], Any],  # called with the path of a file beside it
) -> None:
    "Write a file in one step, seen from outside; OSError in words if the disk does not want it"
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with in_words(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            save(beside)
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)


# %%
def dies(path):
    path.write_text("half a sen")
    raise KeyboardInterrupt


folder = Path(tempfile.mkdtemp())
note = folder / "note.txt"
write_whole(note, lambda path: path.write_text("a whole sentence"))
try:
    write_whole(note, dies)
except KeyboardInterrupt:
    print(note.read_text())
test_eq([path.name for path in folder.iterdir()], ["note.txt"])
test_fail(lambda: write_whole(note / "a.txt", dies), contains="a file stands where a folder is wanted")

# %% [markdown]
# ## A seal
#
# A bit that flips on a disk changes a digit of a result, and nobody sees it: the file can still be read. So each file carries a checksum of itself, in a line that also says whose file it is. The sum is taken while
# 64 zeros stand in its place, and then put there. What was written before there were seals has none, and is read as it is.

# %%
#| export
BLANK = b"0" * 64  # where the checksum will stand
HEAD = 2**12  # bytes in which a seal is looked for
SEAL = re.compile(rb"sealed ([\w.-]*/[\w.-]+) sha256:([0-9a-f]{64})")


class DamagedFile(ValueError):
    "A file is not what was written"


@checked
def damaged(path: Path, why: str, then: str) -> DamagedFile:
    "The error that says what to do"
    return DamagedFile(f"{path} is damaged ({why}): delete it, and {then}")


# %%
#| export
@checked
def seal(
    owner: str,  # whose file it is: a run's folder
    name: str,  # of the file
) -> str:
    "The line that a file carries near its beginning, with a blank checksum"
    names = (re.sub(r"[^\w.-]", "_", part, flags=re.ASCII) for part in (owner, name))
    return f"sealed {'/'.join(names)} sha256:{BLANK.decode()}"


@checked
def sealed(data: bytes) -> bytes:
    "The same bytes with their checksum in the place of the blank one"
    at = data.index(BLANK)
    return b"".join([data[:at], hashlib.sha256(data).hexdigest().encode(), memoryview(data)[at + len(BLANK):]])


# %% [markdown]
# A file that is read is looked at first. Two things can be wrong: it has changed, or it is another's.

# %%
#| export
BEGINNING = "the run goes on from its beginning"


@checked
def read_sealed(
    path: Path,
    owner: str | None = None,  # whose file it must be; None: anybody's
    then: str = BEGINNING,  # what happens once it is deleted
    *,
    name: str | None = None,  # of the file when it was written; None: as now
    what: str = "a file",  # it is called in the error
) -> bytes:
    "A file's bytes; DamagedFile if they have changed, ValueError if they are another's, OSError in words if they cannot be read"
    with in_words(path):
        data = path.read_bytes()
    if not data:
        raise damaged(path, "it is empty", then)
    found = SEAL.search(data, 0, HEAD)
    if found is None:
        if b"sealed " in data[:HEAD] or b" sha256:" in data[:HEAD]:
            raise damaged(path, "its checksum is cut or written over", then)
        return data  # from before there were seals
    total = hashlib.sha256(data[: found.start(2)])
    total.update(BLANK)
    total.update(memoryview(data)[found.end(2):])
    if total.hexdigest().encode() != found[2]:
        raise damaged(path, "its bytes are not those that were written", then)
    mine = None if owner is None else SEAL.match(seal(owner, name or path.name).encode())[1]  # type: ignore[index]  # it has this form
    if mine not in (None, found[1]):
        raise ValueError(f"{path} is {what} of {found[1].decode()}, not of {mine.decode()}: delete it, and {then}")
    return data


# %%
write_whole(note, lambda path: path.write_bytes(sealed(f"{seal('me', 'note.txt')}\nλ = 0.1".encode())))
print(read_sealed(note, "me").decode())
good = note.read_bytes()
for k in range(8 * len(good)):
    note.write_bytes(good[: k // 8] + bytes([good[k // 8] ^ 1 << k % 8]) + good[k // 8 + 1:])
    test_fail(lambda: read_sealed(note, "me"), contains="is damaged")
note.write_bytes(good)
test_fail(lambda: read_sealed(note, "you"), contains="is a file of me/note.txt, not of you/note.txt")


# %% [markdown]
# No flip of any bit passed. Longer damage has a chance of 2⁻²⁵⁶, unless somebody means it; against that there are signatures, and this is none.
#
# ## Three kinds of files
#
# Settings and results are JSON, weights are safetensors, and what is needed to go on is torch's own format, which is read as data and never run. What torch or safetensors say of a bad file is of no use to a reader, and part of it is
# dangerous advice; so it is not passed on.

# %%
#| export
@checked(finite=False, trusts=True)
def rounded(value: Any, digits: Annotated[int, Within(1, 17)]) -> Any:
    "The numbers in lists and dicts to some significant digits; integers and the rest as they are"
    if isinstance(value, dict):
        return {name: rounded(one, digits) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(one, digits) for one in value]
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value


@checked
def write_json(path: Path, value: dict[str, Any], owner: str) -> None:
    "Write an object with a seal"
    text = json.dumps({"seal": seal(owner, path.name), **value}, indent=1) + "\n"
    write_whole(path, lambda beside: beside.write_bytes(sealed(text.encode())))


@checked
def read_json(
    path: Path,
    owner: str | None = None,  # whose file it must be
    then: str = BEGINNING,  # what happens once it is deleted
) -> dict[str, Any]:
    "What `write_json` has written, without the seal; errors as of `read_sealed`"
    data = read_sealed(path, owner, then)
    try:
        return {key: part for key, part in json.loads(data.decode()).items() if key != "seal"}
    except (ValueError, RecursionError, AttributeError):
        raise damaged(path, "it is no JSON object", then) from None


# %%
#| export
@checked
def write_weights(path: Path, tensors: dict[str, Tensor], owner: str) -> None:
    "Write tensors as a safetensors file with a seal"
    data = sealed(save(tensors, {"modreg": seal(owner, path.name)}))
    write_whole(path, lambda beside: beside.write_bytes(data))


@checked
def read_weights(
    path: Path,
    owner: str | None = None,  # whose file it must be
    device: Device = "cpu",
    then: str = BEGINNING,  # what happens once it is deleted
) -> dict[str, Tensor]:
    "What `write_weights` has written; errors as of `read_sealed`"
    read_sealed(path, owner, then)
    try:
        return load_file(path, device=str(device))
    except Exception as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise damaged(path, "it is no safetensors file", then) from None


# %%
weights = folder / "w.safetensors"
write_weights(weights, {"w": torch.arange(6.0).view(2, 3)}, "me")
print(weights.read_bytes()[8:200])
test_eq(load_file(weights)["w"], read_weights(weights, "me")["w"])  # any reader of safetensors reads it
weights.write_bytes(b"PK\3\4 not at all")
test_fail(lambda: read_weights(weights, "me"), contains="is damaged (it is no safetensors file): delete it, and the run goes on from its beginning")


# %% [markdown]
# ## The checkpoint before
#
# Weights that are damaged can be made again from the run's beginning; a checkpoint is what saves one from that. So the one before the last is kept, and is used when the last is damaged.

# %%
#| export
@checked
def before(path: Path) -> Path:
    "Where the checkpoint before the last is"
    return path.with_name(f"{path.stem}.before{path.suffix}")


@checked
def write_state(
    path: Path,
    state: dict[str, Any],  # tensors, numbers, texts, lists and dicts
    owner: str = "",  # whose it is
) -> None:
    "Write a checkpoint with a seal; what was the last becomes the one before"
    buffer = io.BytesIO()
    torch.save(state, buffer)
    data = sealed(b"".join([f"{seal(owner, path.name)}\n".encode(), buffer.getbuffer()]))

    def save(beside: Path) -> None:
        beside.write_bytes(data)
        if path.exists():
            os.replace(path, before(path))

    write_whole(path, save)


# %%
#| export
def _read_state(path: Path, owner: str | None, device: Any, then: str, name: str) -> dict[str, Any]:
    "One checkpoint"
    data = read_sealed(path, owner, then, name=name, what="a checkpoint")
    start = data.index(b"\n") + 1 if data.startswith(b"sealed ") else 0
    try:
        state = torch.load(io.BytesIO(memoryview(data)[start:]), map_location=device, weights_only=True)
    except Exception as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise damaged(path, "it is no checkpoint", then) from None
    if not isinstance(state, dict):
        raise damaged(path, "it is no checkpoint", then)
    return state


# %%
#| export
@checked
def read_state(
    path: Path,
    owner: str | None = None,  # whose it must be; None: anybody's
    device: Device = "cpu",
) -> dict[str, Any] | None:
    "The last checkpoint, or with a warning the one before it if the last is damaged, or None if there is none; DamagedFile if none is whole, ValueError if it is another's"
    older, broken = before(path), []
    for one, last in ((path, not older.exists()), (older, True)):
        if one.exists():
            try:
                state = _read_state(one, owner, device, BEGINNING if last else "the run goes on from the checkpoint before", path.name)
            except DamagedFile as error:
                broken.append(str(error))
                continue
            if broken:
                os.replace(older, path)
                warnings.warn(f"{broken[0].replace(': delete it, and', '; it is deleted, and')}", stacklevel=2)
            return state
    if broken:
        raise DamagedFile(broken[0] if len(broken) == 1 else f"{broken[0].split(': delete')[0]}, and so is {older}: delete both, and {BEGINNING}")
    return None


# %%
state = folder / "state.pt"
for epoch in range(3):
    write_state(state, {"epoch": epoch, "w": torch.ones(3)}, "me")
test_eq([read_state(state, "me")["epoch"], _read_state(before(state), "me", "cpu", "", "state.pt")["epoch"]], [2, 1])
state.write_bytes(state.read_bytes()[:-30])
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    test_eq(read_state(state, "me")["epoch"], 1)
print(str(said[0].message).replace(str(folder), "folder"))
test_fail(lambda: read_state(state, "you"), contains="is a checkpoint of me/state.pt")
state.write_bytes(b"")
test_fail(lambda: read_state(state, "me"), contains="state.pt is damaged (it is empty): delete it, and the run goes on from its beginning")

# %% [markdown]
# How much of a file must be hit for a reader without seals to notice? A bit is flipped at a random place of a file of weights, a hundred times each for files of four sizes.

# %%
#| fig-alt: "Share of flipped bits that are noticed, by size of the file: with a seal all of them, without one about half in the smallest files and hardly any in large ones."
chance, shares = random.Random(0), {}
for side in (4, 16, 64, 256):
    write_weights(weights, {"w": torch.randn(side, side, generator=torch.Generator().manual_seed(0))}, "me")
    whole, seen = weights.read_bytes(), 0
    for _ in range(100):
        k = chance.randrange(8 * len(whole))
        weights.write_bytes(whole[: k // 8] + bytes([whole[k // 8] ^ 1 << k % 8]) + whole[k // 8 + 1:])
        test_fail(lambda: read_weights(weights, "me"), contains="damaged")
        try:
            load_file(weights)
        except Exception:
            seen += 1
    shares[side * side] = seen
fig, ax = plt.subplots(figsize=(4.6, 2.4), layout="constrained")
ax.plot(shares.keys(), [100] * 4, "o-", label="with a seal")
ax.plot(shares.keys(), shares.values(), "s-", label="without")
ax.set(xscale="log", xlabel="weights in the file", ylabel="flips that are noticed (%)", ylim=(-5, 105))
ax.legend(frameon=False)
plt.show()


# %% [markdown]
# ## One at a time
#
# Two processes that train one run would write over each other's checkpoints. So the one that comes first locks the folder. The operating system holds the lock, and lets go of it when the process dies, however it dies;
# who holds it stands in a file beside it, for the one that comes second.
#
# What a dead process has left half written is swept away by the next that gets the lock.

# %%
#| export
class RunInUse(RuntimeError):
    "Another process, or this one, works in the folder already"


@checked
def is_half(name: str) -> bool:
    "Whether a file is one that `write_whole` has not given its name"
    return re.fullmatch(r"\..+\.\d+", name) is not None


@checked
def sweep(folder: Path, *names: str) -> None:
    "Delete files of a folder, and what dead processes have left half written"
    for path in [path for path in folder.iterdir() if path.name in names or is_half(path.name)]:
        with in_words(path):
            path.unlink(missing_ok=True)


# %%
#| export
@checked(shallow=True)
@contextmanager
def locked(
    folder: Path,  # is made if it is not there
) -> Iterator[None]:
    "Hold the lock of a folder; RunInUse if somebody else does, with host and process"
    owner = folder / ".owner"
    with in_words(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            who = owner.read_text(encoding="utf-8", errors="replace") if owner.exists() else "another process"
            raise RunInUse(f"{folder} is in use: {who} works on it. Wait until it is done, or set `out` to another folder") from None
    try:
        with in_words(folder):
            sweep(folder)
            owner.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        lock.release()


# %%
with locked(folder):
    test_fail(locked(folder).__enter__, contains=f"is in use: process {os.getpid()} on ")
with locked(folder):
    pass
dying = f"import os; from pathlib import Path; from modreg.lab.files import locked; locked(Path({str(folder)!r})).__enter__(); os._exit(9)"
test_eq(subprocess.run([sys.executable, "-c", dying]).returncode, 9)
with locked(folder):
    print("the lock of a dead process is free")


# %% [markdown]
# ## Exercise 1: why a copy is no substitute
#
# *10 min, medium.* `write_whole` renames at the end. Why is a copy no substitute? Show what a reader sees that comes between two writes of a copy.

# %%
def copied(source, target, look):
    "Copy the bytes of one path to another in two halves, and call look() between them, when the first is on the disk"
    raise NotImplementedError


# %%
#| fold How it is checked
copy, sight = folder / "copy.txt", []
copy.unlink(missing_ok=True)
with exercise("write the first half of source's bytes to target, flush, call look(), write the rest", lambda: draw_bars({"seen in between": sight[-1], "the whole file": note.stat().st_size}, "bytes")) as expect:
    copied(note, copy, lambda: sight.append(copy.stat().st_size if copy.exists() else 0))
    expect.that(sight and 0 < sight[-1] < note.stat().st_size, f"who looks in between sees {sight[-1] if sight else 'nothing, since look() is not called'} bytes of {note.stat().st_size}")
    expect.that(copy.exists() and copy.read_bytes() == note.read_bytes(), "in the end the copy is not what was to be copied")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def copied(source, target, look):
#     data = source.read_bytes()
#     with target.open("wb") as file:
#         file.write(data[: len(data) // 2])
#         file.flush()
#         look()
#         file.write(data[len(data) // 2:])
# ```
#
# Half a file. A rename has no middle.
#
# </details>

# %% [markdown]
# ## Exercise 2: how many damaged files pass
#
# *5 min, easy.* Checksums of 32 bits are quicker. A project reads a million files a year, one in a thousand of them damaged. How many damaged ones pass unseen in a year, for a checksum of so many bits?

# %%
def unseen(files, share, bits):
    "How many damaged files pass unseen, if a share of all files is damaged and each has a checksum of so many bits"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("how often does a random number of so many bits equal another?", lambda: draw_curve(lambda bits: unseen(1e6, 1e-3, bits), range(1, 17), "bits", "files unseen in a year")) as expect:
    expect(unseen, 1000, 1.0, 1, gives=500)
    expect(unseen, 1e6, 1e-3, 16, gives=1000 / 65536)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def unseen(files, share, bits):
#     return files * share * 2.0**-bits
# ```
#
# With 32 bits one in four million years' damage; 256 bits are not for chance, but for files of other runs, which differ on purpose: their checksums name a file's content as a run's folder names its settings.
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - Of three hundred damages to weights and checkpoints, from outside, a third passed unseen, and those that were noticed raised torch's advice to load without its guard against hostile files.
# - Checksums in a file of their own would have to be written in the same step as what they sum, and two files cannot be renamed in one.
# - The owner of a lock once stood in the lock's own file. Who merely asks for the lock may empty that.
#
# The published scripts write with `torch.save` over what was there.
#
# ## Recall and think
#
# <details><summary>Recall: how is a file written so that it is complete or not at all?</summary>
#
# Under another name beside its own, and then renamed, in one step.
#
# </details>
#
# <details><summary>Recall: why is the checkpoint before the last kept?</summary>
#
# For the case that the last is damaged.
#
# </details>
#
# <details><summary>Think: what does a checksum not protect from?</summary>
#
# From somebody who changes the file and the checksum.
#
# </details>
#
# **References.** safetensors, whose header has room for a line of ours. filelock, which knows how each operating system locks.
