"""Deaths, full disks and damages, made on purpose: `python tests/faults.py kills navigation` and so on print what came of each as a line of JSON.

It is a process of its own, which trains once so that everything is imported, and then forks for every trial; what dies is the fork, as dead as by signal 9."""

import errno
import json
import os
import pickle
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import torch

from modreg.lab.files import RunInUse
from modreg.lab.training import Callback, Remember, RememberConfig, Task, fit
from modreg.tasks.adding import Adding, AddingConfig
from modreg.tasks.head_direction import HeadDirection, HeadDirectionConfig
from modreg.tasks.language import Language, LanguageConfig
from modreg.tasks.navigation import Navigation, NavigationConfig
from modreg.tasks.speech import Speech, SpeechConfig

TINY = dict(scale="tiny", device="cpu", seeds=2, hidden=12, batches=3, epochs=2, sparsity=0.8)
TASKS = {
    "remember": (Remember, RememberConfig, {}), "navigation": (Navigation, NavigationConfig, dict(place_cells=16, steps=3, batch=4)), "adding": (Adding, AddingConfig, dict(batch=4)),
    "language": (Language, LanguageConfig, dict(corpus="generated", vocabulary=20, steps=3, held_out=100)), "speech": (Speech, SpeechConfig, dict(data="tones", tested=4)),
    "head_direction": (HeadDirection, HeadDirectionConfig, dict(batch=4, steps=3))}
WHOLE = {"config.json", "metrics.jsonl", "train.safetensors", "lottery.safetensors", "result.json"}
FORBIDDEN = ("weights_only", "torch.load", "unpickl", "PytorchStream", "zipfile", "HeaderTooLarge", "HeaderTooSmall", "Traceback")


def task(name: str, out: str | Path, **options) -> Task:
    kind, config, own = TASKS[name]
    return kind(config(out=str(out), **TINY | own | options))


def forked(act: Callable[[], None]) -> int:
    "Do something in a fork; its exit code, minus the signal that killed it"
    sys.stdout.flush()
    child = os.fork()
    if not child:
        try:
            act()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def wrong(one: Task, reference: Path) -> list[str]:
    "In what a run's folder differs from that of one that nothing has happened to"
    path, problems = one.run.path, []
    there = {file.name for file in path.iterdir()}
    if there != WHOLE:
        problems.append(f"files: {sorted(there ^ WHOLE)}")
    for name in sorted(there & WHOLE - {"config.json", "result.json"}):
        if (path / name).read_bytes() != (reference / name).read_bytes():
            problems.append(f"{name} has other bytes")
    results = [json.loads((folder / "result.json").read_text()) for folder in (path, reference) if (folder / "result.json").exists()]
    if len(results) < 2 or results[0]["phases"] != results[1]["phases"] or results[0]["diverged"] != results[1]["diverged"]:
        problems.append("result.json has other numbers")
    return problems


def finish(one: Task) -> None:
    if code := forked(lambda: fit(one, progress=False)):
        raise RuntimeError(f"a second fit ended with {code}")


# --- at every file operation ---------------------------------------------------------------------------------------------

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "open"}
TRAP: dict = {"folder": None}


def watch(event: str, arguments: tuple) -> None:
    if TRAP["folder"] is None or event not in CHANGES or not str(arguments[0]).startswith(TRAP["folder"]):
        return
    if event == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        return
    operation()


def operation() -> None:
    "Count one; at the last that is allowed, do what is to happen"
    TRAP["left"] -= 1
    if TRAP["left"] == 0 or (TRAP["left"] < 0 and TRAP.get("ever")):
        TRAP["act"]()


def half_written(write: Callable) -> Callable:
    "A write that may be cut in the middle"
    def written(path: Path, data, *arguments, **options):
        if TRAP["folder"] is not None and str(path).startswith(TRAP["folder"]):
            with path.open("w" if isinstance(data, str) else "wb") as file:
                file.write(data[: len(data) // 2])
            operation()
        return write(path, data, *arguments, **options)

    return written


def set_traps(folder: str, at: int, act: Callable[[], None], ever: bool = False) -> None:
    TRAP.update(folder=folder, left=at, act=act, ever=ever)
    Path.write_bytes, Path.write_text = half_written(Path.write_bytes), half_written(Path.write_text)
    sys.addaudithook(watch)


def die() -> None:
    os._exit(9)


def kills(name: str, folder: Path, epochs: int = 2) -> Iterator[dict]:
    "A death at every file operation of a run, and a second death at a random one of the run that goes on"
    reference, chance, at = reference_of(name, folder, epochs=epochs), random.Random(0), 0
    while True:
        at += 1
        one = task(name, folder / f"at{at}", epochs=epochs)
        code = forked(lambda at=at, one=one: (set_traps(one.config.out, at, die), fit(one, progress=False)))
        if code not in (0, 9):
            yield {"at": at, "wrong": [f"ended with {code}"]}
        again = chance.randint(1, 30)
        forked(lambda again=again, one=one: (set_traps(one.config.out, again, die), fit(one, progress=False)))
        finish(one)
        yield {"at": at, "wrong": wrong(one, reference)}
        shutil.rmtree(one.config.out)
        if code == 0:
            return


def refusals(name: str, folder: Path) -> Iterator[dict]:
    "At every file operation the disk is full, for once and for ever; or there is no right to write"
    reference, at, done = reference_of(name, folder), 0, False
    while not done:
        at += 1
        for number in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT)[at % 4: at % 4 + 1]:
            for ever in (True, False):
                note = folder / "said.txt"
                note.unlink(missing_ok=True)

                def act(number=number) -> None:
                    raise OSError(number, os.strerror(number))

                one = task(name, folder / f"no{at}")

                def doomed(one=one, act=act, ever=ever, note=note, at=at) -> None:
                    set_traps(one.config.out, at, act, ever)
                    try:
                        fit(one, progress=False)
                    except OSError as error:
                        TRAP["folder"] = None
                        note.write_text(str(error))
                        os._exit(7)
                    if TRAP["left"] > 0:
                        os._exit(8)  # there are not so many operations

                code, problems = forked(doomed), []
                said = note.read_text() if note.exists() else ""
                if code == 7 and not (one.config.out in said and any(word in said for word in ("no room", "no right", "only be read", "quota"))):
                    problems.append(f"said {said!r}")
                if code not in (0, 7, 8):
                    problems.append(f"ended with {code}")
                if one.run.path.exists() and not ever and any(file.name.count(".") > 2 for file in one.run.path.iterdir()):
                    problems.append("something half written is left")
                finish(one)
                yield {"at": at, "wrong": problems + wrong(one, reference)}
                shutil.rmtree(one.config.out)
                done = code == 8


def reference_of(name: str, folder: Path, **options) -> Path:
    "The folder of a run that nothing has happened to"
    one = task(name, folder / "reference", **options)
    fit(one, progress=False)
    if problems := wrong(one, one.run.path):
        raise RuntimeError(str(problems))
    return one.run.path


def moments(name: str, folder: Path, count: int = 50) -> Iterator[dict]:
    "Signal 9 at random moments"
    chance, long = random.Random(1), dict(epochs=4, batches=6)
    whole = task(name, folder / "reference", **long)
    fit(task(name, folder / "warm"), progress=False)
    start = time.monotonic()
    finish(whole)
    span = time.monotonic() - start
    for k in range(count):
        one = task(name, folder / f"moment{k}", **long)
        sys.stdout.flush()
        child = os.fork()
        if not child:
            fit(one, progress=False)
            os._exit(0)
        time.sleep(chance.random() * span)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        finish(one)
        yield {"at": k, "wrong": wrong(one, whole.run.path)}
        shutil.rmtree(one.config.out)


# --- damages -------------------------------------------------------------------------------------------------------------


class Hostile:
    "What a pickle may do, unless it is read as data"

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def hostile_checkpoint(marker: Path) -> bytes:
    found = BytesIO()
    torch.save({"run": Hostile(marker)}, found)
    return found.getvalue()


def bomb() -> bytes:
    "A small archive of much"
    found = BytesIO()
    with zipfile.ZipFile(found, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", bytes(10**7))
    return found.getvalue()


def flip(data: bytes, k: int) -> bytes:
    return data[: k // 8] + bytes([data[k // 8] ^ 1 << k % 8]) + data[k // 8 + 1:]


def damages(data: bytes, others: dict[str, bytes], chance: random.Random, flips: int, marker: Path) -> Iterator[tuple[str, bytes]]:
    "A file's bytes, spoilt in every way"
    n = len(data)
    for k in sorted({chance.randrange(8 * n) for _ in range(flips)} | {chance.randrange(8 * min(n, 300)) for _ in range(flips // 4)}):
        yield f"bit {k}", flip(data, k)
    for cut in {0, 1, 7, n // 3, n // 2, n - 100, n - 1, *(chance.randrange(n) for _ in range(flips // 8))}:
        yield f"cut at {cut}", data[: max(0, cut)]
    for _ in range(max(1, flips // 10)):
        start, length = chance.randrange(n), chance.choice((2, 16, 64, 512))
        yield f"garbage at {start}", data[:start] + chance.randbytes(length) + data[start + length:]
        yield f"hole at {start}", data[:start] + bytes(length) + data[start + length:]
    yield "longer", data + b"\0" * 7
    yield "twice", data + data
    yield "garbage", chance.randbytes(n)
    yield "zeros", bytes(n)
    yield "hostile checkpoint", hostile_checkpoint(marker)
    yield "hostile pickle", pickle.dumps(Hostile(marker))
    yield "archive", bomb()
    for text in ("[]", "{}", "null", "0", "NaN", '{"phases": {}}', '{"phases": {"train": {}, "lottery": {}}}', "[" * 10**5, '{"a": ' + "9" * 5000 + "}", "\udcff", "(1, 2)"):
        yield f"text {text[:20]}", text.encode(errors="surrogateescape")
    for name, other in others.items():
        yield f"is {name}", other


def tried(one: Task) -> str | None:
    "What a fit says; None if it ends well"
    try:
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            fit(one, progress=False)
        return None
    except (ValueError, OSError) as error:
        text = str(error)
        if any(word in text for word in FORBIDDEN) or error.__cause__ is not None or (not error.__suppress_context__ and error.__context__ is not None):
            return f"UNCLEAR {type(error).__name__} {text}"
        return text
    except BaseException as error:
        return f"UNCLEAR {type(error).__name__} {error}"


def spoil(name: str, folder: Path, flips: int = 40) -> Iterator[dict]:
    "Every file of a run that is complete, and of one that is not, damaged; then done as the message says"
    chance, marker = random.Random(2), folder / "hostile"
    reference = reference_of(name, folder)
    other = task(name, folder / "other", seed=7)
    finish(other)

    class Stop(Callback):
        left = 3

        def after_epoch(self, trainer):
            if self.left == 0:
                os._exit(9)
            self.left -= 1

    stopped, strange = task(name, folder / "stopped"), task(name, folder / "strange", seed=7)
    for part in (stopped, strange):
        forked(lambda part=part: fit(part, progress=False, callbacks=[Stop()]))
    for kind, source, foreign in (("complete", reference, other.run.path), ("stopped", stopped.run.path, strange.run.path)):
        files = {file.name: file.read_bytes() for file in source.iterdir() if file.name not in (".lock", ".owner")}
        for file, data in files.items():
            others = {f"another run's {file}": (foreign / file).read_bytes()} | {f"its own {n}": d for n, d in files.items() if n != file}
            for what, bad in damages(data, others, chance, flips, marker):
                if bad == data:
                    continue
                one = task(name, folder / "spoilt")
                one.run.path.mkdir(parents=True)
                for n, d in files.items():
                    (one.run.path / n).write_bytes(bad if n == file else d)
                yield outcome(one, reference, f"{kind} {file} {what}", marker)
                shutil.rmtree(one.config.out)


def outcome(one: Task, reference: Path, what: str, marker: Path) -> dict:
    "Named, survived or unseen; and whether deleting what the message names helps"
    problems, named = [], None
    for _ in range(3):
        said = tried(one)
        if said is None:
            break
        named = named or said
        told = [file for file in one.run.path.iterdir() if str(file) in said]
        if said.startswith("UNCLEAR") or not told or "delete" not in said:
            problems.append(said[:300])
            break
        for file in told:
            file.unlink()
    else:
        problems.append(f"after three deletions still: {said[:200]}")
    if marker.exists():
        problems.append("EXECUTED")
        marker.rmdir()
    if not problems:
        problems = [f"UNSEEN {problem}" for problem in wrong(one, reference)]
    return {"at": what, "wrong": problems, "came": "named" if named else "survived"}


# --- two at once, a small disk, and for long -----------------------------------------------------------------------------


class Wait(Callback):
    "Says that it is here, and stays"

    def __init__(self, pipe: int):
        self.pipe = pipe

    def after_epoch(self, trainer):
        os.write(self.pipe, b"x")
        time.sleep(60)


def company(name: str, folder: Path) -> Iterator[dict]:
    "Two on one run: the second is told who the first is; when that is killed, the second may"
    reference, one, (end, pipe) = reference_of(name, folder), task(name, folder / "shared"), os.pipe()
    child = os.fork()
    if not child:
        fit(one, progress=False, callbacks=[Wait(pipe)])
    os.read(end, 1)

    def second() -> None:
        try:
            fit(one, progress=False)
        except RunInUse as error:
            os._exit(0 if str(one.run.path) in str(error) and f"process {child} on {os.uname().nodename}" in str(error) else 3)
        os._exit(4)

    refused = forked(second)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    finish(one)
    yield {"at": "second", "wrong": [f"the second ended with {refused}"] * bool(refused) + wrong(one, reference)}


def small_disk(name: str, folder: Path) -> Iterator[dict]:
    "Files may not grow beyond a size, as on a disk that is full"
    reference = reference_of(name, folder)
    for size in (0, 200, 1000, 5000, 10_000, 20_000, 40_000):
        one, note = task(name, folder / f"small{size}"), folder / "said.txt"
        note.unlink(missing_ok=True)

        def doomed(size=size, one=one, note=note) -> None:
            limit = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))
            try:
                fit(one, progress=False)
            except OSError as error:
                resource.setrlimit(resource.RLIMIT_FSIZE, limit)
                note.write_text(str(error))
                os._exit(7)

        code, problems = forked(doomed), []
        said = note.read_text() if note.exists() else ""
        if code not in (0, 7) or (code == 7 and not (one.config.out in said and "may not grow" in said)):
            problems.append(f"ended with {code} and {said!r}")
        finish(one)
        yield {"at": size, "wrong": problems + wrong(one, reference)}


def soak(name: str, folder: Path, seconds: float = 20) -> Iterator[dict]:
    "Runs again and again in one process, whose memory stays as it is"
    def pages() -> float:  # MB in use
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20

    def long() -> None:
        sizes, start = [], time.monotonic()
        while time.monotonic() - start < seconds or len(sizes) < 30:
            one = task(name, folder / "soak")
            fit(one, progress=False)
            fit(one, progress=False)
            shutil.rmtree(one.config.out)
            sizes.append(pages())
        settled = sizes[len(sizes) // 3]
        print(json.dumps({"at": f"{len(sizes)} runs, {settled:.0f} to {max(sizes[-5:]):.0f} MB", "wrong": [f"grew from {settled:.0f} to {min(sizes[-5:]):.0f} MB"] * (min(sizes[-5:]) > settled * 1.03 + 3)}), flush=True)

    if code := forked(long):
        yield {"at": "soak", "wrong": [f"ended with {code}"]}


WAYS = {way.__name__: way for way in (kills, refusals, moments, spoil, company, small_disk, soak)}

if __name__ == "__main__":
    way, name, *number = sys.argv[1:]
    came = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for line in WAYS[way](name, Path(folder), *map(float if way == "soak" else int, number)):
            came["wrong" if line["wrong"] else line.get("came", "survived")] += 1
            if line["wrong"]:
                print(json.dumps(line), flush=True)
    print(json.dumps(came), flush=True)
