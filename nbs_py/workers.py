# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Workers
#
# > A list of runs on all cores, or on many machines, that survives whatever kills its parts

# %% [markdown]
# *Reading 40 min, exercises 15 min. To skip at a first reading:* all of it, until you need it.
#
# After this chapter you can
#
# - compute a list of runs in as many processes as your machine has cores, or on a cluster, with one call,
# - say why no run is lost, and none is computed twice, though a worker may be killed at any moment,
# - tell how long the rest will take, from what is done.
#
# The question: *of your eight processes one is killed each hour, and the list of runs takes a week. How does it end, and how often is a run computed?*
#
# ```
#                ┌─ worker: fit(run 1)        run folder: lock, checkpoint, result
#  jobs ──> dask ├─ worker: fit(run 2)   ✗    killed: another worker goes on from the checkpoint
#                └─ worker: fit(run 3)        complete already: returned at once
# ```

# %%
#| default_exp lab.workers

# %%
#| export
import importlib.util
import io
import json
import logging
import math
import os
import shlex
import shutil
import socket
import sys
import threading
import time
import traceback
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

from modreg.geometry.arguments import Within, checked

if TYPE_CHECKING:
    from distributed import Client

# %%
#| export
import torch
from tqdm import tqdm

import modreg
from modreg.lab.files import RunInUse
from modreg.lab.paper import Cell
from modreg.lab.results import Record, find, record, records_in
from modreg.lab.runs import is_complete
from modreg.lab.settings import Config, decisive, duration, label_of, parameters_of
from modreg.lab.trainer import Callback, Trainer
from modreg.lab.training import Task, fit

# %%
#| hide
import tempfile

import matplotlib.pyplot as plt
from fastcore.test import test_eq

from modreg.book.exercises import draw_curve, exercise
from modreg.lab.training import Remember, RememberConfig
from modreg.tasks.adding import Adding, AddingConfig

plt.style.use("modreg.data.book")


# %% [markdown]
# ## A job
#
# A job is a run that is wanted, and the cells of [tables](paper.ipynb) that it answers, if any. All seeds of a run are trained as one stacked computation, so many small replicas are one job: ask for more seeds, not for more jobs.

# %%
#| export
@checked
@dataclass(frozen=True, eq=False)
class Job:
    "A run that is wanted, and the cells of tables that it answers"

    task: type[Task]
    config: Config
    cells: tuple[Cell, ...] = ()
    device: str | None = None  # where a worker computes: "auto" is for the worker to decide; None: as the config says

    @property
    def name(self) -> str:
        "The task, as in `modreg.tasks.adding:Adding`"
        return f"{self.task.__module__}:{self.task.__qualname__}"


# %% [markdown]
# Runs that several cells share appear once. A run with a lottery ticket has trained the sparse network too, so it answers for both.

# %%
#| export
def _key(job: Job, ticket: bool) -> tuple[type[Task], str, str]:
    "What tells runs apart, with or without their tickets"
    settings = {name: value for name, value in decisive(job.config).items() if ticket or name not in ("lottery", "ticket")}
    return job.task, job.config.out, json.dumps(settings, sort_keys=True)


@checked
def merged(jobs: Iterable[Job]) -> list[Job]:  # in the order in which they are first asked for
    "The same runs, each once, with all the cells that it answers"
    jobs = list(jobs)
    tickets = {_key(job, False): _key(job, True) for job in reversed(jobs) if job.config.lottery}
    once: dict[tuple, Job] = {}
    for job in jobs:
        key = _key(job, True) if job.config.lottery else tickets.get(_key(job, False), _key(job, False))
        there = once.get(key, job)
        more = [cell for cell in job.cells if cell not in there.cells]
        once[key] = replace(job if job.config.lottery else there, cells=(*there.cells, *more))
    return list(once.values())


# %%
folder = Path(tempfile.mkdtemp())
tiny = RememberConfig(scale="tiny", device="cpu", seeds=2, out=str(folder / "runs"), sparsity=0.8)
test_eq(len(merged([Job(Remember, tiny), Job(Remember, replace(tiny, lottery=False)), Job(Remember, replace(tiny, ticket="rescaled"))])), 2)


# %% [markdown]
# ## What is done already
#
# A run is found by its folder. A folder that also has what this run lacks, such as the ticket of the same network, answers as well.

# %%
#| export
@checked
def prepared(job: Job) -> tuple[Task, Path]:
    "The task of a job, on the device that it is for, and its run's folder"
    config = replace(job.config, out=str(Path(job.config.out).resolve()), device=job.device or job.config.device)
    task = job.task(config)
    return task, task.run.path


def _answers(job: Job, records: list[Record]) -> Record | None:
    "The record of a job's run if that is complete, or of a run that has done the same and more"
    run = prepared(replace(job, device=None))[0].run
    if is_complete(run):
        return record(run)
    mine = [one for one in records if (one["class"], one["data"], one["modreg"]) == (run.task, run.data, modreg.__version__)]
    same = [find(mine, job.config, phase) for phase in ("train", "lottery")[:1 + job.config.lottery]]
    return same[-1]


# %%
#| export
@checked
def records_beside(job: Job) -> list[Record]:
    "Records of the complete runs of a job's task; none if one of them cannot be read"
    try:
        return records_in(job.config.out, job.task.Config)
    except (ValueError, OSError, KeyError):
        return []


@checked
def done_before(jobs: Iterable[Job]) -> dict[Job, Record]:
    "Records of those jobs that need not be computed; what cannot be read is left for the worker to complain of"
    there: dict[tuple, list[Record]] = {}
    answers = {}
    for job in jobs:
        records = there.setdefault((job.task.Config, job.config.out), []) or records_beside(job)
        there[job.task.Config, job.config.out] = records
        with suppress(ValueError, OSError):  # a damaged file is a ValueError
            if (answer := _answers(job, records)) is not None:
                answers[job] = answer
    return answers


# %% [markdown]
# ## How long?
#
# Nobody knows how long a run takes here, but those who have seen one of its kind. *Predict:* which settings must two runs share, so that one tells how long the other takes?
#
# Sizes. Time grows with the number of steps, so a run that is short tells of a long one. If no run with as many seeds was seen, one with another number has to do.

# %%
#| export
_COUNTS = {"epochs", "batches", "seed", "seeds", "heal", "block"}


def _steps(settings: Mapping[str, Any]) -> int:
    return settings["epochs"] * settings["batches"] * (2 if settings.get("lottery", True) else 1)


def _kind(task: str, settings: Mapping[str, Any]) -> tuple[Any, ...]:
    sizes = sorted((name, value) for name, value in settings.items() if type(value) is int and name not in _COUNTS)
    return task, *sizes


# %%
#| export
@checked
class Pace:
    "How long runs take, from those that were seen"

    def __init__(self, records: Iterable[Record] = ()):
        self.rates: dict[tuple[Any, ...], dict[int, list[float]]] = {}  # s a step, by kind and number of seeds
        for one in records:
            self.learn_from(one)

    def learn_from(self, one: Record) -> None:
        "Add a complete run; what was taken over from another has taken no time"
        settings = one["settings"] | ({"lottery": False} if "train_of" in one else {})
        self.learn(one["task"], settings, one["seconds"])

    def learn(
        self,
        task: str,
        settings: Mapping[str, Any],  # those that decide
        seconds: float,
        steps: int | None = None,  # None: all of the run's
    ) -> None:
        "Add a run, or a part of one"
        rates = self.rates.setdefault(_kind(task, settings), {})
        rates.setdefault(settings.get("seeds", Config.seeds), []).append(seconds / max(1, steps or _steps(settings)))

    def seconds(self, config: Config) -> float | None:  # None if nothing of the kind was seen
        "What a run will take, in all"
        settings = decisive(config)
        rates = self.rates.get(_kind(config.task, settings), {})
        if not rates:
            return None
        seeds = min(rates, key=lambda n: abs(math.log(n / config.seeds)))
        return _steps(settings) * sum(rates[seeds]) / len(rates[seeds]) * config.seeds / seeds


# %%
pace = Pace()
test_eq(pace.seconds(tiny), None)
pace.learn("remember", decisive(tiny), 3.0)
test_eq([pace.seconds(replace(tiny, **change)) for change in ({}, {"lottery": False}, {"epochs": 50}, {"seeds": 4}, {"hidden": 64})], [3.0, 1.5, 30.0, 6.0, None])


# %%
#| export
@checked
def epochs_done(folder: Path) -> int:
    "Epochs of all phases that a run folder holds"
    try:
        return len((folder / "metrics.jsonl").read_bytes().splitlines())
    except OSError:
        return 0


@checked
def where_it_is(job: Job, folder: Path) -> str:
    "What trains, as in `torus, 90 % zeros, ticket, epoch 12 of 30`"
    epochs, done = job.config.epochs, epochs_done(folder)
    phase = ", ticket" if done >= epochs and job.config.lottery else ""
    return f"{label_of(job.config)}{phase}, epoch {min(done % epochs + 1 if done < 2 * epochs else epochs, epochs)} of {epochs}"


# %%
test_eq([duration(s) for s in (12.0, 300.0, 7800.0, 400000.0, None)], ["12 s", "5 min", "2 h 10 min", "4.6 days", "not known yet"])
test_eq(where_it_is(Job(Remember, tiny), folder), "torus, 80 % zeros, epoch 1 of 5")


# %% [markdown]
# ## One run, wherever it is computed
#
# This function is what a worker gets. It lets no exception out: a failure is an outcome like others, so that it stops nothing. And it computes one run at a time, since runs in one process would draw from one another's random numbers.

# %%
#| export
@checked
@dataclass(frozen=True)
class Outcome:
    "What has become of a job"

    job: Job
    folder: str  # of its run, "" if that is not known
    record: Record | None = None  # None if it failed
    error: str = ""  # what went wrong, in a line
    details: str = ""  # where it went wrong
    again: bool = False  # it is to be tried again later: another process works on it, or its workers died
    notebook: str = ""  # that was executed
    computed: bool = True  # not so if it was complete before


# %%
#| export
_ALONE = threading.Lock()


@checked
def compute(
    job: Job,
    notebook: str | None = None,  # a chapter through which it goes; None: the trainer
    version: str = modreg.__version__,  # that is wanted
    callbacks: Iterable[Callback] = (),  # that change no number
) -> Outcome:
    "Train one run, or find it complete; what goes wrong is told in the outcome"
    folder = copy = ""
    with _ALONE:
        try:
            if version != modreg.__version__:
                raise RuntimeError(f"this worker has modreg {modreg.__version__}, and the sweep {version}: install the same on all machines")
            task, path = prepared(job)
            folder, before = str(path), (path / "result.json").exists()
            if notebook is None:
                fit(task, progress=False, callbacks=callbacks)
            elif not before:
                copy = str(path.parent / f"{path.name}.ipynb")
                _execute(notebook, copy, parameters_of(task.config))
            return Outcome(job, folder, record(task.run), notebook=copy, computed=not before)
        except (Exception, SystemExit) as error:
            again = isinstance(error, RunInUse) or getattr(error, "ename", "") == "RunInUse"
            said = f"{getattr(error, 'ename', type(error).__name__)}: {getattr(error, 'evalue', error)}"
            return Outcome(job, folder, error=said, details="".join(traceback.format_exception(error)[-6:]), again=again, notebook=copy)


# %% [markdown]
# With `--notebooks` a run goes through papermill, as if somebody had called it by hand: then a page with all its pictures is left of each. A failure names its notebook, and the line that tries it again.

# %%
#| export
@checked
def notebook_of(job: Job) -> str:
    "The chapter that trains a job's task; ValueError if there is none"
    places = [folder / f"{job.config.task}.ipynb" for folder in (Path("nbs"), Path(modreg.__file__).parent.parent / "nbs")]
    for path in places:
        if path.exists():
            return str(path.resolve())
    raise ValueError(f"{job.name} has no notebook {places[0]}: call it from the project's folder, or leave --notebooks out")


@checked
def papermill_line(job: Job) -> str:  # "" if there is no such chapter
    "The command that runs a job's notebook by hand"
    try:
        notebook_of(job)
    except ValueError:
        return ""
    words = [word for name, given in parameters_of(job.config).items() for word in ("-p", name, str(given))]
    return shlex.join(["papermill", f"nbs/{job.config.task}.ipynb", "out.ipynb", *words])


# %%
#| export
def _execute(notebook: str, copy: str, parameters: dict[str, Any]) -> None:
    import papermill
    Path(copy).parent.mkdir(parents=True, exist_ok=True)
    logging.getLogger("papermill").setLevel(logging.ERROR)  # it warns of settings that the parameters' cell does not show
    with warnings.catch_warnings(action="ignore"):  # of the notebook tools
        papermill.execute_notebook(notebook, copy, parameters, progress_bar=False, kernel_name="python3", extra_arguments=["--log-level=ERROR"])


# %%
jobs = [Job(Remember, replace(tiny, penalty=penalty)) for penalty in ("none", "l1", "moduli")]
outcome = compute(jobs[0])
test_eq((outcome.computed, compute(jobs[0]).computed, outcome.record["run"]), (True, False, Path(outcome.folder).name))
shorter = Job(Remember, replace(jobs[0].config, lottery=False))  # what the first has done, and less
test_eq(list(done_before([*jobs, shorter])), [jobs[0], shorter])
print(papermill_line(Job(Adding, AddingConfig(scale="small", device="cpu", penalty="shuffled"))))


# %% [markdown]
# ## Progress
#
# In a terminal one line is drawn over and over. Elsewhere, in a log, a plain line comes now and then.

# %%
#| export
@checked
class Line:
    "A line that says how far a sweep is"

    def __init__(
        self,
        total: int,  # runs
        stream: TextIO | None = None,  # None: the process' standard error
        every: float = 30.0,  # s between lines where there is no terminal
    ):
        self.stream, self.every, self.said = stream or sys.stderr, every, time.monotonic()
        self.bar = tqdm(total=total, file=self.stream, bar_format="{n}/{total} runs |{bar:10}| {desc}") if self.stream.isatty() else None
        self.total = total

    def show(self, done: int, text: str) -> None:
        "Say how many runs are done, and what else there is to say"
        if self.bar is not None:
            self.bar.n, self.bar.ncols = done, shutil.get_terminal_size((100, 24)).columns - 1
            self.bar.set_description_str(text)
        elif time.monotonic() - self.said >= self.every:
            self.said = time.monotonic()
            print(f"{done}/{self.total} runs; {text}", file=self.stream, flush=True)

    def say(self, text: str) -> None:
        "A line that stays"
        (tqdm.write(text, file=self.stream) if self.bar is not None else print(text, file=self.stream, flush=True))

    def close(self) -> None:
        "Leave the line as it is"
        if self.bar is not None:
            self.bar.close()


# %%
log = io.StringIO()
line = Line(3, log, every=0)
line.show(1, "torus, 90 % zeros, epoch 2 of 5; 3 min left")
assert "\r" not in log.getvalue()
print(log.getvalue(), end="")


# %% [markdown]
# What is left takes as long as the runs that are left, shared out among the workers, and at least as long as the longest of them. What a running one has done already is read from its folder.

# %%
#| export
@checked
class Watch:
    "What is running, and how long all will take"

    def __init__(self, jobs: Iterable[Job], pace: Pace):
        self.left = {job: prepared(replace(job, device=None))[1] for job in jobs}
        self.pace = pace
        self.seen: dict[Any, Any] = {}

    def finish(self, outcome: Outcome) -> None:
        "Take a job from the list, and learn from it"
        self.left.pop(outcome.job, None)
        if outcome.record is not None and outcome.computed:
            self.pace.learn_from(outcome.record)

    def _look(self, job: Job) -> None:
        "Learn from a running job of which nothing else is known"
        done, now = epochs_done(self.left[job]), time.monotonic()
        first, then, last, _ = self.seen.get(job, (done, now, done, now))
        self.seen[job] = (first, then, done, now if done > last else self.seen.get(job, (0, 0, 0, now))[3])
        if done > max(first, last) and self.pace.seconds(job.config) is None:
            self.pace.learn(job.config.task, decisive(job.config), now - then, (done - first) * job.config.batches)

    def seconds(self, running: Iterable[Job], workers: int) -> float | None:
        "Until the end; None if a kind of run is left of which nothing is known"
        for job in running:
            self._look(job)
        each = []
        for job, path in self.left.items():
            whole, epochs = self.pace.seconds(job.config), job.config.epochs * (2 if job.config.lottery else 1)
            if whole is None:
                return None
            each.append(whole * max(0, epochs - epochs_done(path)) / epochs)
        return max([sum(each) / max(1, min(workers, len(each))), *each], default=0.0)

    def text(self, running: list[Job], workers: int) -> str:
        "What a line says"
        names = [where_it_is(job, self.left[job]) for job in running if job in self.left]
        left = self.seconds([job for job in running if job in self.left], workers)
        more = f" (and {len(names) - 2} more)" if len(names) > 2 else ""
        return f"{duration(left)}{' left' if left is not None else ''}; {'; '.join(names[:2]) or 'waiting for a worker'}{more}"


# %% [markdown]
# ## Workers
#
# Without dask, all runs are computed here, one after the other: `workers=0`. That is what a debugger wants, and a notebook.

# %%
#| export
class _Tell(Callback):
    "Calls a function after each epoch"

    def __init__(self, tell: Callable[[], None]):
        self.tell = tell

    def after_epoch(self, trainer: Trainer) -> None:
        self.tell()


@checked
def compute_here(jobs: Iterable[Job], watch: Watch, line: Line, notebooks: bool = False) -> Iterator[Outcome]:
    "One run after the other, in this process; a folder that another process uses is tried again after the others"
    jobs, refused = list(jobs), 0
    while jobs:
        job = jobs.pop(0)

        def tell(job: Job = job) -> None:
            line.show(line.total - len(watch.left), watch.text([job], 1))

        tell()
        outcome = compute(job, notebook_of(job) if notebooks else None, callbacks=[_Tell(tell)])
        if outcome.again:
            line.say(outcome.error)
            jobs, refused = [*jobs, job], refused + 1
            time.sleep(PATIENCE if refused >= len(jobs) else 0)
            continue
        refused = 0
        yield outcome


# %% [markdown]
# With dask, each worker is a process of its own with one thread, or one for each GPU, and a nanny that starts another when it dies. *Predict:* a worker is killed in the twelfth epoch of a run. Who notices, and what does the worker that gets the run next find?
#
# The operating system lets go of the dead worker's lock, the scheduler gives the run to another, and that finds a checkpoint of eleven epochs. A worker whose memory runs out dies in the same way: again and again, if the run is too large. So a run whose workers have died ten times without an epoch more is put behind all others, and is a failure if that has happened four times.

# %%
#| export
PATIENCE = 5.0  # s between looks at a folder that another process uses
DEATHS = 10  # of workers, without an epoch more, until a run has to wait for all others
ROUNDS = 4  # of so many deaths, until it is a failure
DASK = {
    "distributed.scheduler.allowed-failures": DEATHS - 1,
    "distributed.worker.memory.target": False, "distributed.worker.memory.spill": False, "distributed.worker.memory.pause": False,  # a run's memory is its own
    "distributed.worker.memory.terminate": 0.95,
    "distributed.worker.profile.enabled": False,
    "distributed.deploy.lost-worker-timeout": "1 day",  # a nanny is not sent away because its worker takes long to start again
    "logging.distributed": "critical",
}


@checked
def gpus_here() -> list[str]:
    "The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them"
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [str(k) for k in range(torch.cuda.device_count())] if named is None else [name for name in named.split(",") if name and torch.cuda.is_available()]


@checked
def workers_here(gpu: bool) -> int:
    "How many workers fit this machine: one for each GPU if there are any to be used, else one for each core"
    from dask.system import CPU_COUNT
    return len(gpus_here()) if gpu else CPU_COUNT


# %%
#| export
def patient_nanny() -> type:
    "A nanny that starts its worker again also if that is killed while it starts for the first time"
    from distributed import Nanny, Status

    class PatientNanny(Nanny):
        async def instantiate(self) -> Status:
            status = await super().instantiate()
            for _ in range(DEATHS):
                if status == Status.running or self.status not in (Status.init, Status.starting):
                    break
                status = await super().instantiate()
            return status

    return PatientNanny


# %%
#| export
def _nannies(workers: int, gpu: bool) -> dict[int, dict[str, Any]]:
    "What dask is to start: processes with a thread and their share of the memory, and a GPU each if there are any to be used"
    from dask.system import CPU_COUNT
    from distributed.system import MEMORY_LIMIT
    kind, gpus, threads = patient_nanny(), gpus_here() if gpu else [], max(1, CPU_COUNT // workers) if gpu else 1
    env = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    options = dict(nthreads=1, host="127.0.0.1", memory_limit=MEMORY_LIMIT // workers, silence_logs=logging.CRITICAL)
    return {k: {"cls": kind, "options": options | {"env": env | ({"CUDA_VISIBLE_DEVICES": gpus[k % len(gpus)]} if gpus else {})}} for k in range(workers)}


def _dashboard() -> str | None:
    "Where the dashboard can be: its usual port or, if that is taken, another; None without bokeh"
    if importlib.util.find_spec("bokeh") is None:
        return None
    with socket.socket() as port:
        return f"127.0.0.1:{0 if port.connect_ex(('127.0.0.1', 8787)) == 0 else 8787}"


# %%
#| export
@checked(shallow=True)
@contextmanager
def local_cluster(
    workers: Annotated[int, Within(1, 10**4)],
    gpu: bool = False,  # one GPU a worker
) -> Iterator[Any]:  # dask's client
    "A cluster of this machine's processes, which nobody else can reach"
    import dask
    from distributed import Client, Scheduler, SpecCluster
    where = _dashboard()
    options = {"host": "127.0.0.1", "port": 0, "dashboard": where is not None, "dashboard_address": where or "127.0.0.1:0"}
    with dask.config.set(DASK), warnings.catch_warnings(action="ignore"):
        with SpecCluster(_nannies(workers, gpu), scheduler={"cls": Scheduler, "options": options}, silence_logs=logging.CRITICAL) as cluster:
            with Client(cluster, set_as_default=False) as client:
                yield client


# %% [markdown]
# `--scheduler tcp://…` hands the runs to a cluster that is there already, such as one that dask-jobqueue has started on Slurm, or an operator on Kubernetes. Its workers must see the same folders and have the same version of this package; start them with one thread, and one for each GPU.

# %%
#| export
@checked(shallow=True)
@contextmanager
def remote_cluster(
    address: str,  # of its scheduler, as in tcp://10.0.0.1:8786
) -> Iterator[Any]:  # dask's client
    "A cluster that somebody else has started; ConnectionError if it does not answer"
    import dask
    from distributed import Client
    with dask.config.set({"logging.distributed": "critical"}):
        try:
            client = Client(address, timeout=20, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ConnectionError(f"scheduler={address!r} does not answer ({error}); it is an address as in tcp://10.0.0.1:8786, which `dask scheduler` prints") from error
        with client:
            yield client


# %%
#| export
@checked
class Crew:
    "Whoever computes: started when first needed, and sent home at the end"

    def __init__(
        self,
        workers: int | None = None,  # processes; None: as fits this machine; 0: none, all is computed here
        scheduler: str | None = None,  # address of a cluster that is there already
        gpu: bool = False,  # one GPU a worker
    ):
        if workers is not None and workers < 0:
            raise ValueError(f"workers={workers}; it is a number of processes, or 0 to compute all in this one")
        if workers == 0 and scheduler:
            raise ValueError(f"workers=0 computes all in this process, and scheduler={scheduler!r} on a cluster: give one of them")
        if workers != 0 and importlib.util.find_spec("distributed") is None:
            raise ValueError("workers are dask's: pip install 'modreg[sweeps]', or say workers=0 to compute all in this process")
        self.workers, self.scheduler, self.gpu = workers, scheduler, gpu
        self.stack = ExitStack()
        self.client: Any = None  # of dask

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *error: object) -> None:
        self.stack.close()

    def called(self, most: int, say: Callable[[str], None]) -> Any:  # dask's client, or None
        "The workers, as many as there is work for"
        if self.workers != 0 and self.client is None:
            opened = remote_cluster(self.scheduler) if self.scheduler else local_cluster(max(1, min(self.workers or workers_here(self.gpu), most)), self.gpu)
            self.client = self.stack.enter_context(opened)
            say(f"{self.scheduler or f'{len(self.client.cluster.workers)} workers'}" + (f"; dashboard {self.client.dashboard_link}" if self.scheduler or _dashboard() else ""))
        return self.client


# %% [markdown]
# The loop that hands out runs and takes outcomes. A run that somebody else is working on is offered again later; one whose worker died too often is offered again if it has got on.

# %%
#| export
@checked
class Flight:
    "Jobs that a cluster works on"

    def __init__(self, client: Any, watch: Watch, notebooks: bool):
        self.client, self.watch, self.notebooks = client, watch, notebooks
        self.flying: dict[Any, Job] = {}
        self.workers = 0  # that there were at the last look
        self.deaths: dict[Job, tuple[int, int]] = {}  # of runs whose workers died too often: epochs that were done by then, and how often since

    def start(self, job: Job) -> None:
        "Hand a job to the cluster"
        chapter = notebook_of(job) if self.notebooks else None
        config = replace(job.config, out=str(Path(job.config.out).resolve()))
        future = self.client.submit(compute, replace(job, config=config, cells=()), chapter, modreg.__version__, key=f"{label_of(job.config)}-{uuid.uuid4().hex}", pure=False)
        self.flying[future] = job

    def land(self, future: Any) -> Outcome | None:
        "What has become of a job; None if that cannot be told now"
        from distributed import KilledWorker
        job = self.flying[future]
        try:
            outcome = replace(future.result(timeout=10), job=job)
        except TimeoutError:  # the result died with its worker, and is looked for again
            return None
        except KilledWorker:
            outcome = self._killed(job)
        except Exception as error:  # such as a worker that cannot import the task
            outcome = Outcome(job, str(self.watch.left[job]), error=f"{type(error).__name__}: {error}")
        del self.flying[future]
        return outcome

    def _killed(self, job: Job) -> Outcome:
        "What to do with a run whose workers died too often: again if it has got on, or for the first few times"
        done, (before, rounds) = epochs_done(self.watch.left[job]), self.deaths.get(job, (0, 0))
        self.deaths[job] = (done, 1 if done > before else rounds + 1)
        said = f"KilledWorker: {DEATHS * self.deaths[job][1]} workers died without an epoch more; has it too little memory?"
        return Outcome(job, str(self.watch.left[job]), error=said, again=self.deaths[job][1] < ROUNDS)

    def running(self) -> list[Job]:
        "Those that a worker has"
        processing = self.client.processing()
        self.workers, keys = len(processing), {key for of_one in processing.values() for key in of_one}
        return [job for future, job in self.flying.items() if future.key in keys]


# %%
#| export
@checked
def compute_on(client: "Client", jobs: Iterable[Job], watch: Watch, line: Line, notebooks: bool = False) -> Iterator[Outcome]:
    "All runs, on a cluster, in the order in which they end"
    flight, later, looked = Flight(client, watch, notebooks), dict.fromkeys(jobs, 0.0), -math.inf
    try:
        while flight.flying or later:
            ready = [job for job, when in later.items() if time.monotonic() >= when]
            for job in ready[:max(0, flight.workers - len(flight.flying))]:
                del later[job]
                flight.start(job)
            for future in [future for future in flight.flying if future.done()]:
                outcome = flight.land(future)
                if outcome is not None and outcome.again:
                    line.say(outcome.error)
                    later[outcome.job] = time.monotonic() + PATIENCE
                elif outcome is not None:
                    looked = time.monotonic() - 0.7  # soon, when the next has begun
                    yield outcome
            if client.status not in ("running", "connecting"):
                raise ConnectionError(f"the scheduler is gone ({client.status}); what was computed is kept")
            if watch.left and time.monotonic() - looked > 1:
                running, looked = flight.running(), time.monotonic()
                line.show(line.total - len(watch.left), watch.text(running, max(1, flight.workers)))
            time.sleep(0.05)
    finally:
        client.cancel(list(flight.flying))


# %% [markdown]
# ## A sweep
#
# *Predict:* the three jobs from above are swept twice, and the first of them is done already. How many runs are computed in the first sweep, and how many in the second?

# %%
#| export
@checked
def sweep(
    jobs: Iterable[Job],
    crew: Crew | None = None,  # who computes, if it is to be kept; None: as the following three say
    workers: int | None = None,  # processes; None: as fits this machine; 0: none, all is computed here
    scheduler: str | None = None,  # address of a cluster that is there already
    notebooks: bool = False,  # each run through papermill and its chapter
    progress: bool = True,  # show a line
) -> list[Outcome]:  # in the order of the jobs
    "Compute what is missing of a list of runs; a failure is an outcome, and stops nothing"
    jobs = merged(jobs)
    if notebooks:
        _ = [notebook_of(job) for job in jobs]
    answers = done_before(jobs)
    outcomes = {job: Outcome(job, str(Path(job.config.out) / answer["run"]), answer, computed=False) for job, answer in answers.items()}
    todo = [job for job in jobs if job not in answers]
    beside = {job.task.Config: job for job in jobs}
    watch = Watch(todo, Pace(one for job in beside.values() for one in records_beside(job)))
    line = Line(len(jobs), None if progress else io.StringIO())
    gpu = torch.cuda.is_available() and any((job.device or job.config.device) != "cpu" for job in todo)
    try:
        with (Crew(workers, scheduler, gpu) if crew is None else nullcontext(crew)) as called:
            client = called.called(len(todo), line.say) if todo else None
            for outcome in compute_here(todo, watch, line, notebooks) if client is None else compute_on(client, todo, watch, line, notebooks):
                outcomes[outcome.job] = outcome
                watch.finish(outcome)
                if not watch.left:
                    line.show(len(outcomes), "")
    finally:
        line.close()
    return [outcomes[job] for job in jobs]


# %%
#| fig-alt: "Seconds of three runs as bars, each named by what it trained."
first, second = (sweep(jobs, workers=0, progress=False) for _ in range(2))
test_eq([[outcome.computed for outcome in outcomes] for outcomes in (first, second)], [[False, True, True], [False] * 3])
fig, ax = plt.subplots(figsize=(5, 2), layout="constrained")
ax.barh([label_of(job.config) for job in jobs], [outcome.record["seconds"] for outcome in first], color=[f"C{outcome.computed:d}" for outcome in first])
ax.set(xlabel="seconds when it was computed; blue: found complete")
plt.show()


# %% [markdown]
# The first sweep computes the two that are missing, the second none. What goes wrong in a run is told, and the others are computed as if nothing had happened:

# %%
class Broken(Remember):
    "A task that cannot be evaluated"

    def evaluate(self, model):
        raise ZeroDivisionError("a bug of yours")


wrong, right = sweep([Job(Broken, jobs[0].config), jobs[0]], workers=0, progress=False)
print(wrong.error)
test_eq((wrong.record, right.error), (None, ""))


# %% [markdown]
# ## Exercise 1: too many workers?
#
# *10 min, medium.* Runs take the given seconds each, and go to whichever of $w$ workers is free first, in their order. When is the last one done?

# %%
def makespan(seconds, workers):
    "When the last of the runs, of so many seconds each, is done, if each goes in its turn to the worker that is free first"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("keep the time at which each worker is free", lambda: draw_curve(lambda w: makespan([3, 1, 2, 1, 5, 1, 2, 3], int(w)), range(1, 9), "workers", "seconds until all is done")) as expect:
    for w, done in ((1, 6), (2, 3), (3, 3)):
        expect(makespan, [3, 1, 1, 1], w, gives=done)
    expect(makespan, [1, 1, 1, 3], 2, gives=4)


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def makespan(seconds, workers):
#     free = [0.0] * workers
#     for one in seconds:
#         k = free.index(min(free))
#         free[k] += one
#     return max(free)
# ```
#
# What `Watch` says is a lower bound of that: all work shared out evenly, or the longest run.
#
# </details>

# %% [markdown]
# ## Exercise 2: what does a death cost?
#
# *5 min, medium.* A sweep has $w$ workers. Each run takes $E$ epochs of $s$ seconds, and one worker is killed every $k$ seconds and takes $r$ seconds to start again. Which share of the workers' time is lost?

# %%
def lost(workers, seconds, kills, start):
    "Share of the workers' time that is lost, if every `kills` seconds one is killed and takes `start` seconds to start again, and an epoch takes `seconds`"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("each death costs half an epoch and a start, out of `workers * kills` seconds of work", lambda: draw_curve(lambda kills: lost(2, 10.0, kills, 5.0), range(20, 401, 20), "seconds between two deaths", "share lost")) as expect:
    expect(lost, 2, 10.0, 100.0, 5.0, gives=0.05)
    expect(lost, 1, 20.0, 100.0, 0.0, gives=0.1)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def lost(workers, seconds, kills, start):
#     return (seconds / 2 + start) / (workers * kills)
# ```
#
# The number of epochs does not matter: that is what checkpoints are for.
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - dask hands all runs to the workers at once. When a worker dies, all that lay there are suspected of having killed it, and after ten deaths of different workers a run that was never begun was a failure. Here no more are handed out than there are workers.
# - A worker that was killed while it started for the first time took the whole cluster with it: dask's nanny is patient with later starts only. And a nanny whose worker was not back within 15 seconds was sent away; on a busy machine all of them were, and the sweep stood still.
# - A worker whose result has not been fetched takes it along when it dies. The scheduler has it computed again, and the run's folder says that it is complete: nothing is computed twice.
# - Two workers may believe that a run is theirs, if the network was away for a while. The folder's lock lets one of them in; the other's word, *in use*, means: ask again later.
#
# The published code has a list of runs for its authors' cluster, each a script with its command line. Which of them ended, and how, has to be looked up in a service.
#
# ## Recall and think
#
# <details><summary>Recall: what happens to a run whose worker is killed?</summary>
#
# Another worker gets it, and goes on from the checkpoint.
#
# </details>
#
# <details><summary>Recall: why are no more runs handed out than there are workers?</summary>
#
# Else all that lay with a dead worker would be suspected of having killed it.
#
# </details>
#
# <details><summary>Think: when do more workers not help?</summary>
#
# When the longest run takes longer than all others shared out.
#
# </details>
#
# **References.** Rocklin, *Dask: parallel computation with blocked algorithms and task scheduling* (2015).
