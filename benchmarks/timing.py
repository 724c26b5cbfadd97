"""How anything is timed: sides in processes of their own, called in turn, round after round, and what comes of it."""

import ctypes
import math
import multiprocessing
import os
import platform
import resource
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

SIDES = ("published", "plain", "ours", "floor")
ROUNDS, SECONDS = (3, 15), 2.7  # least and most rounds of a row, and the time after which it has enough of them
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 32)}
CALM = 0.05  # share of the machine that other programs may take in a round that counts

Call = Callable[[], object]


def keep_freed_memory() -> None:
    "Begin this process anew if it would hand freed memory back, for all sides alike: malloc reads its settings when a process begins"
    if not MALLOC.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **MALLOC})


# --- what is compared ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Side:
    "One way to compute something"

    build: Callable[[], Call]  # sets up, untimed, and returns what is timed
    per: float = 1  # steps, batches or replicas that one call computes; time is reported for one of them
    serial: bool = False  # keeps one core busy at most: on two cores it gets two processes of one thread


@dataclass(frozen=True)
class Row:
    "Sides that compute the same, and what ours is to reach"

    name: str  # rows of one name are chosen together
    size: str
    sides: dict[str, Side]  # "ours", and some of "published", "plain", "floor"
    targets: dict[str, float] = field(default_factory=dict)  # least ratio to a side; greatest to the "floor"; greatest "memory" in MB
    threads: tuple[int, ...] = (1, 2)
    unit: str = "ms"


@dataclass(frozen=True)
class Curve:
    "How the cost of each side grows"

    name: str
    axis: str  # what grows
    sides: dict[str, dict[float, Side]]  # by size


# --- one side, in a process of its own ---------------------------------------------------------------------------------


def _status(name: str) -> float | None:
    "A figure of /proc/self/status in MB, on systems that have it"
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name + ":"))


def peak_memory(
    call: Call,
) -> float:  # MB
    "Most memory that the process held during a call, above what it held before"
    if platform.system() == "Linux":
        getattr(ctypes.CDLL(None), "malloc_trim", int)(0)  # what was freed while building is given back
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew
    except OSError:
        pass
    before = _status("VmRSS")
    if before is None:
        scale = 1 if platform.system() == "Darwin" else 1024
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 2**20
        call()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 2**20 - before
    call()
    return max(0.0, _status("VmHWM") - before)


def seconds_per_call(
    call: Call,
    estimate: float,  # s, what a call took before
    clock: Callable[[], float] = time.perf_counter,
    least: float = 0.1,  # s; short calls are repeated until they fill it, after one that is not timed
) -> float:  # s
    "Time of one call; a call that returns a float has timed itself"
    repeats = max(1, min(1000, round(least / max(estimate, 1e-9))))
    if repeats > 1:
        call()
    start = clock()
    said = [call() for _ in range(repeats)]
    return statistics.mean(said) if isinstance(said[0], float) else (clock() - start) / repeats


def first_estimate(call: Call, clock: Callable[[], float] = time.perf_counter) -> float:  # s
    "Time of a call that nothing is known of; the first one of a short call, which may do more than others, does not count"
    first = seconds_per_call(call, 1.0, clock)
    return first if first > 0.1 else seconds_per_call(call, first, clock, least=1e-2)


def _serve(pipe, build: Callable[[], Call], threads: int) -> None:
    "Life of a side's process: build, run once for memory, then one timing for each request"
    try:
        os.environ["NUMBA_NUM_THREADS"] = str(threads)
        torch.set_num_threads(threads)
        call = build()
        start = time.perf_counter()
        pipe.send(peak_memory(call))
        estimate = time.perf_counter() - start
        if estimate < 1:  # a first call is slower; a long one is repeated by no estimate
            start = time.perf_counter()
            call()
            estimate = time.perf_counter() - start
        while pipe.recv():
            estimate = seconds_per_call(call, estimate)
            pipe.send(estimate)
    except EOFError:
        pass
    except Exception:
        pipe.send(traceback.format_exc())


class Runner:
    "A side on a number of cores: one process with so many threads, or for a serial side so many processes of one thread"

    def __init__(self, side: Side, cores: int):
        context = multiprocessing.get_context("fork")  # torch is imported once; this process itself starts no threads
        processes, threads = (cores, 1) if side.serial else (1, cores)
        self.share = side.per * processes
        self.pipes, self.processes = [], []
        for _ in range(processes):
            mine, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, side.build, threads), daemon=True)
            process.start()
            theirs.close()
            self.pipes.append(mine)
            self.processes.append(process)
        self.memory = max(self._receive())  # MB

    def _receive(self) -> list[float]:
        answers = [pipe.recv() for pipe in self.pipes]
        for answer in answers:
            if isinstance(answer, str):
                raise RuntimeError(answer)
        return answers

    def __call__(self) -> float:  # s for one step, batch or replica
        for pipe in self.pipes:
            pipe.send(True)
        return statistics.mean(self._receive()) / self.share

    def close(self) -> None:
        for pipe, process in zip(self.pipes, self.processes, strict=True):
            pipe.send(False)
            process.join()
            pipe.close()


# --- rounds and what comes of them -------------------------------------------------------------------------------------


def interleave(
    timers: dict[str, Callable[[], float]],  # each call gives one timing
    rounds: tuple[int, int] = ROUNDS,  # least and most
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.perf_counter,
    others: Callable[[], float] = lambda: 0.0,  # share of the machine that other programs took since the call before
) -> list[dict[str, float]]:  # timings by name, for each round that counts
    "Rounds, each of which calls every timer once, beginning with another one each time"
    names, done, start = list(timers), [], clock()
    others()
    while sum(share <= CALM for share, _ in done) < rounds[1]:
        if len(done) >= rounds[0] and clock() - start > seconds:
            break
        turn = len(done) % len(names)
        timings = {name: timers[name]() for name in names[turn:] + names[:turn]}
        done.append((others(), timings))
    done.sort(key=lambda entry: entry[0])
    return [timings for k, (share, timings) in enumerate(done) if share <= CALM or k < rounds[0]]


class Others:
    "Share of all cores that programs other than this one and its `processes` took since the call before; 0 where that can't be known"

    def __init__(self, processes: list):
        self.paths = [Path(f"/proc/{pid}/stat") for pid in (os.getpid(), *(process.pid for process in processes))]
        self.before = self._read()

    def _read(self) -> tuple[float, float, float]:
        "Clock ticks so far: of all cores, of all programs and of ours"
        try:
            ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
            ours = sum(sum(map(int, path.read_text().rpartition(")")[2].split()[11:15])) for path in self.paths)  # with their children
        except OSError:
            return 0.0, 0.0, 0.0
        return sum(ticks), sum(ticks) - ticks[3] - ticks[4], ours  # less what was idle, or waited for a disk

    def __call__(self) -> float:
        now = self._read()
        total, busy, ours = (a - b for a, b in zip(now, self.before, strict=True))
        self.before = now
        return max(0.0, busy - ours) / total if total else 0.0


def run(sides: dict, cores: int, rounds: tuple[int, int], seconds: float) -> tuple[dict, dict[str, float]]:
    "Timings of each side by round, and its memory in MB; every side in processes of its own"
    runners = {name: Runner(side, cores) for name, side in sides.items()}
    try:
        done = interleave(runners, rounds, seconds, others=Others([p for runner in runners.values() for p in runner.processes]))
    finally:
        for runner in runners.values():
            runner.close()
    return {name: [timings[name] for timings in done] for name in sides}, {name: round(runner.memory, 1) for name, runner in runners.items()}


def quartiles(values: list[float]) -> list[float]:
    "Median, lower and upper quartile"
    if len(values) == 1:
        return [values[0]] * 3
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return [middle, low, high]


def exponent(sizes: list[float], times: list[float]) -> float:
    "Slope of log time over log size, by least squares"
    return statistics.linear_regression([math.log(s) for s in sizes], [math.log(t) for t in times]).slope


def measure(row: Row, cores: int, rounds: tuple[int, int] = ROUNDS, seconds: float = SECONDS) -> dict:
    "One row on so many cores"
    times, memory = run(row.sides, cores, rounds, seconds)
    over = {name: [b / a for a, b in zip(times["ours"], theirs, strict=True)] for name, theirs in times.items() if name != "ours"}
    if "floor" in over:
        over["floor"] = [1 / ratio for ratio in over["floor"]]  # ours over the floor
    result = {
        "name": row.name, "size": row.size, "cores": cores, "unit": row.unit, "rounds": len(times["ours"]), "targets": row.targets,
        "seconds": {name: quartiles(values) for name, values in times.items()},
        "memory": memory,
        "ratios": {name: quartiles(values) for name, values in over.items()},
    }
    return result | {"verdicts": verdicts(result)}


def measure_curve(curve: Curve, cores: int, rounds: tuple[int, int] = ROUNDS, seconds: float = SECONDS) -> dict:
    "One growth curve: median times by size, and the exponent of each side"
    times, _ = run({(name, size): side for name, sizes in curve.sides.items() for size, side in sizes.items()}, cores, rounds, seconds)
    result = {"name": curve.name, "axis": curve.axis, "cores": cores, "sides": {}}
    for name, sizes in curve.sides.items():
        seconds_ = [statistics.median(times[name, size]) for size in sizes]
        result["sides"][name] = {"sizes": list(sizes), "seconds": seconds_, "exponent": exponent(list(sizes), seconds_)}
    return result


def reached(result: dict) -> dict[str, bool]:
    "Which targets a row reaches"
    return {name: result["memory"]["ours"] <= target if name == "memory"
            else result["ratios"][name][0] <= target if name == "floor"
            else result["ratios"][name][0] >= target for name, target in result["targets"].items()}


def verdicts(result: dict) -> list[str]:
    "Each target of a row in words, whether it is reached, and where it is not, what the floor itself would reach"
    words, met, lines = {"floor": "at most {:g} of the floor", "memory": "at most {:.0f} MB"}, reached(result), []
    for name, target in result["targets"].items():
        verdict = "reached" if met[name] else "**missed**"
        if not met[name] and name in SIDES[:2] and "floor" in result["seconds"]:
            verdict += f" (the floor: {result['seconds'][name][0] / result['seconds']['floor'][0]:.2f}×)"
        lines.append(f"{words.get(name, '{:g}× ' + name).format(target)}: {verdict}")
    return lines


# --- the machine -------------------------------------------------------------------------------------------------------


def product(size: int = 2048) -> Call:
    "A square matrix product"
    a, b, out = (torch.randn(size, size) for _ in range(3))
    return lambda: torch.mm(a, b, out=out)


def copy(size: int = 4096) -> Call:
    "A copy of size² floats into memory that is there"
    a, out = torch.randn(size, size), torch.zeros(size, size)
    return lambda: out.copy_(a)


def fresh(size: int = 4096) -> Call:
    "A copy into memory that the system hands out page by page, as malloc does by default"
    mallopt = ctypes.CDLL(None).mallopt
    for parameter, value in ((-3, 128 * 1024), (-1, 128 * 1024)):  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
        mallopt(parameter, value)
    a = torch.randn(size, size)
    return a.clone


def machine(seconds: float = 3.0, size: int = 4096) -> dict:
    "Facts of the machine that decide how fast anything can be"
    facts = {"cores": available_cores(),
             "processor": _processor(), "system": platform.system(), "python": platform.python_version(), "torch": torch.__version__}
    for cores in (1, 2):
        builds = {"product": lambda: product(size // 2), "copy": lambda: copy(size), "fresh": lambda: fresh(size)}
        times, _ = run({name: Side(build) for name, build in builds.items()}, cores, ROUNDS, seconds)
        median = {name: statistics.median(values) for name, values in times.items()}
        facts[f"GFLOP/s on {cores}"] = 2 * (size // 2) ** 3 / median["product"] / 1e9
        facts[f"GB/s on {cores}"] = 8 * size**2 / median["copy"] / 1e9
        facts[f"GB/s to new memory on {cores}"] = 8 * size**2 / median["fresh"] / 1e9
    return {name: round(value, 1) if isinstance(value, float) else value for name, value in facts.items()}


def available_cores() -> int:
    "Cores that this process may use"
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
