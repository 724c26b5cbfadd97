"""Sweeps: which runs a table needs, workers that are killed, failures, progress, strengths, and the report."""

import io
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import ClassVar

import pytest

from modreg.lab import statistics, sweeps, workers
from modreg.lab.experiments import study
from modreg.lab.files import locked
from modreg.lab.paper import paper_tables
from modreg.lab.settings import decisive, label_of
from modreg.lab.sweeps import choose, jobs_of, main, report
from modreg.lab.training import Remember, RememberConfig, fit
from modreg.lab.workers import Job, Outcome, Pace, sweep

ROOT = Path(__file__).resolve().parent.parent


class Counted(Remember):
    "Writes down each epoch that it has gone through, and in which process"

    def batches(self, generators):
        yield from super().batches(generators)
        with (Path(self.config.out) / "epochs.log").open("a") as file:
            file.write(f"{self.run.path.name} {os.getpid()}\n")


class Broken(Remember):
    "Cannot be evaluated"

    def evaluate(self, model):
        raise ZeroDivisionError("<script>alert('a bug & more')</script>")


@dataclass(frozen=True, kw_only=True)
class QuickConfig(RememberConfig):
    scales: ClassVar = {name: dict(hidden=16, batch=16, batches=20, epochs=3, lr=5e-3, strength=1e-4) for name in ("tiny", "small")}


class Quick(Remember):
    Config = QuickConfig


class QuickBroken(Broken):
    Config = QuickConfig


def quick(out, **settings) -> QuickConfig:
    return QuickConfig(**{"scale": "tiny", "device": "cpu", "out": str(out), "seeds": 1} | settings)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    "Workers find this file's classes, and this tree's package"
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]))


# --- what is to be run -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", list(paper_tables()))
def test_every_cell_has_its_run(number):
    "Each cell of a table is answered by one run, whose settings are the cell's; dense ones have no ticket"
    jobs = jobs_of(number, scale="tiny", seeds=2)
    answered = [(job, cell) for job in jobs for cell in job.cells]
    if "sensitivity" not in paper_tables()[number].caption:
        assert Counter((cell.row, cell.column) for _, cell in answered) == Counter((cell.row, cell.column) for cell in paper_tables()[number].cells)
    for job, cell in answered:
        assert all(getattr(job.config, name) == wanted for name, wanted in cell.settings.items()), cell
        assert job.config.lottery or cell.result == "train"
        assert job.config.seeds == 2 and (job.config.sparsity or not job.config.lottery)
    assert len({json.dumps(decisive(job.config), sort_keys=True) for job in jobs}) == len(jobs)


def test_a_study_and_a_sweep_share_their_folders(tmp_path):
    "The runs by which a study chooses, and those that it reports, are found complete"
    config = quick(tmp_path, scale="small", seeds=2, sparsity=0.8)
    study(Quick, config, "l1", (1e-3, 1e-2, 1e-1))
    jobs = [Job(Quick, replace(config, penalty="l1"))]
    by, = sweeps.selection_jobs(jobs, (1e-3, 1e-2, 1e-1)).values()
    assert all(not outcome.computed for outcome in sweep(by.values(), workers=0, progress=False))


def test_a_run_with_more_answers_for_less(tmp_path):
    "No sparse network is trained again beside its ticket"
    config = quick(tmp_path, sparsity=0.8)
    assert [one.computed for one in sweep([Job(Counted, config)], workers=0, progress=False)] == [True]
    (less,) = sweep([Job(Counted, replace(config, lottery=False))], workers=0, progress=False)
    assert not less.computed and less.record["phases"]["train"]
    (other,) = sweep([Job(Counted, replace(config, lottery=False, seed=1))], workers=0, progress=False)
    assert other.computed


def test_a_notebook_and_a_module_name_the_same_run(tmp_path):
    "The class that a chapter defines in `__main__` is the module's; one that derives from it, under its name, is not"
    from modreg.lab.training import Task

    chapter = type("Remember", (Task,), {**vars(Remember), "__module__": "__main__"})
    derived = type("Remember", (Remember,), {"__module__": "__main__"})
    names = [kind(RememberConfig(scale="tiny", device="cpu", out=str(tmp_path))).run.path.name for kind in (Remember, chapter, derived, Counted)]
    assert names[0] == names[1] and len(set(names)) == 3


# --- deaths ------------------------------------------------------------------------------------------------------------


def children() -> list:
    "dask's workers, and whatever else was spawned"
    import psutil

    return [one for one in psutil.Process().children(recursive=True) if one.is_running() and "spawn_main" in " ".join(one.cmdline())]


def killing(kills: int, pause: tuple[float, float], stop: threading.Event, killed: list[int]) -> None:
    "Kill workers at random moments, also while they start"
    import psutil

    chance = random.Random(0)
    while len(killed) < kills and not stop.wait(chance.uniform(*pause)):
        try:
            if found := children():
                one = chance.choice(found)
                one.kill()
                killed.append(one.pid)
        except psutil.NoSuchProcess:
            pass


def survive(out: Path, runs: int, epochs: int, kills: int, pause: tuple[float, float]) -> None:
    "So many runs on two workers of which some are killed: all are there, and no epoch was computed twice but what a death interrupted"
    jobs = [Job(Counted, RememberConfig(scale="tiny", device="cpu", out=str(out), seeds=1, seed=k, hidden=16, batch=16, batches=20, epochs=epochs, sparsity=0.8)) for k in range(runs)]
    stop, killed = threading.Event(), []
    thread = threading.Thread(target=killing, args=(kills, pause, stop, killed))
    thread.start()
    began = time.monotonic()
    try:
        outcomes = sweep(jobs, workers=2, progress=False)
    finally:
        stop.set()
        thread.join()
    begun = Counter(line.split()[0] for line in (out / "epochs.log").read_text().splitlines())
    print(f"{runs} runs, {len(killed)} deaths, {sum(begun.values())} epochs computed, of {2 * epochs * runs} in {time.monotonic() - began:.0f} s")
    assert killed
    assert [outcome.error for outcome in outcomes] == [""] * runs
    assert len({outcome.record["run"] for outcome in outcomes}) == len(list(out.glob("*/result.json"))) == len(begun) == runs
    assert all(count >= 2 * epochs for count in begun.values())
    assert sum(begun.values()) <= 2 * epochs * runs + len(killed)
    assert all(outcome.record["phases"].keys() == {"train", "lottery"} for outcome in outcomes)
    alone = fit(Counted(replace(jobs[-1].config, out=str(out / "alone"))), progress=False) if (out / "alone").mkdir() is None else None
    assert alone.result["phases"] == outcomes[-1].record["phases"]
    assert not any(outcome.computed for outcome in sweep(jobs, workers=0, progress=False))


def test_workers_may_be_killed(tmp_path):
    survive(tmp_path, runs=8, epochs=3, kills=2, pause=(1.0, 3.0))


@pytest.mark.slow
def test_two_hundred_runs_whose_workers_are_killed(tmp_path):
    survive(tmp_path, runs=200, epochs=5, kills=60, pause=(0.5, 8.0))


def test_a_run_that_kills_its_workers_is_given_up(tmp_path):
    "Four rounds of deaths without an epoch more; an epoch makes it young again"
    job = Job(Quick, quick(tmp_path))
    flight = workers.Flight(None, workers.Watch([job], Pace()), False)
    assert [flight._killed(job).again for _ in range(4)] == [True, True, True, False]
    folder = workers.prepared(job)[1]
    folder.mkdir()
    (folder / "metrics.jsonl").write_text("{}\n")
    assert [flight._killed(job).again for _ in range(4)] == [True, True, True, False]
    assert "50 workers died" in flight._killed(job).error


@pytest.mark.slow
def test_another_cluster_by_its_address(tmp_path):
    "Workers that somebody else has started; one of them is killed"
    with workers.local_cluster(2) as client:
        stop, killed = threading.Event(), []
        thread = threading.Thread(target=killing, args=(2, (1.0, 2.0), stop, killed))
        thread.start()
        try:
            outcomes = sweep([Job(Counted, quick(tmp_path, seed=k), device="auto") for k in range(6)], scheduler=client.scheduler.address, progress=False)
        finally:
            stop.set()
            thread.join()
    assert all(outcome.computed and not outcome.error for outcome in outcomes)


def test_a_scheduler_that_does_not_answer(monkeypatch):
    monkeypatch.setattr("distributed.Client", lambda *_, **__: (_ for _ in ()).throw(OSError("refused")))
    with pytest.raises(ConnectionError, match="does not answer"), workers.remote_cluster("tcp://127.0.0.1:1"):
        pass


def test_a_worker_for_each_gpu(monkeypatch):
    "Each sees one, those that this process may use in turn"
    monkeypatch.setattr(workers, "gpus_here", lambda: ["2", "5"])
    assert workers.workers_here(gpu=True) == 2
    seen = [one["options"]["env"]["CUDA_VISIBLE_DEVICES"] for one in workers._nannies(3, gpu=True).values()]
    assert seen == ["2", "5", "2"]
    assert all("CUDA_VISIBLE_DEVICES" not in one["options"]["env"] and one["options"]["env"]["OMP_NUM_THREADS"] == "1" for one in workers._nannies(2, gpu=False).values())


# --- what goes wrong ---------------------------------------------------------------------------------------------------


def broken_and_whole() -> list[Job]:
    "What a command line may name: a function that makes jobs"
    out = os.environ["SWEPT"]
    return [Job(QuickBroken, quick(out, scale="small")), Job(Quick, quick(out, scale="small"))]


def test_a_failure_stops_nothing_and_is_listed(tmp_path, capsys, monkeypatch):
    "Exit code 1, the run's folder, the line that tries again, and a page in which nothing can be run"
    monkeypatch.setenv("SWEPT", str(tmp_path / "runs"))
    line = ["sweep", f"{__name__}:broken_and_whole", "--workers", "0", "--out", str(tmp_path / "runs"), "--report", str(tmp_path / "page.html")]
    assert main(line) == 1
    said = capsys.readouterr().out
    assert "1 computed, 0 complete before, 1 failed" in said and "ZeroDivisionError" in said and "papermill" not in said  # there is no such chapter
    assert str(workers.prepared(broken_and_whole()[0])[1]) in said
    page = (tmp_path / "page.html").read_text()
    assert "&lt;script&gt;alert" in page and "<script" not in page
    assert main(line) == 1
    assert "0 computed, 1 complete before, 1 failed" in capsys.readouterr().out


def test_the_line_that_tries_again(tmp_path):
    "As a shell takes it: with everything that differs from the defaults, and nothing that does not"
    line = workers.papermill_line(jobs_of("9", seeds=2, device="cpu", out=str(tmp_path / "two words"))[0])
    assert shlex.split(line)[:3] == ["papermill", "nbs/adding.ipynb", "out.ipynb"]
    pairs = dict(zip(shlex.split(line)[4::3], shlex.split(line)[5::3], strict=True))
    assert pairs["out"] == str(tmp_path / "two words") and pairs["sparsity"] == "0.0" and pairs["train_embedding"] == "True" and "inhibitor" not in pairs


def test_a_wrong_line_is_answered_in_words(tmp_path, capsys):
    for words, answer in (("table11", "tables of results are 1, 2"), ("table8 --also randon", "did you mean 'random'"), ("table8 --scale smal", "did you mean 'small'"), ("table8 -p sparsity 0.5", "differ in it"),
                          ("table8 -p stepz 5", "did you mean 'steps'"), ("table8 --strengths 0.1 1", "say --select"), ("table17 --select", "none is chosen"), ("no_such:thing", "no_such"),
                          ("table8 --select --strengths 0.1 1", "3 or more"), ("table8 --workers -1", "workers is -1"), ("table8 --seeds 0", "seeds=0")):
        assert main(["sweep", *words.split(), "--out", str(tmp_path)]) == 2, words
        assert answer in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_in_use_is_waited_for(tmp_path, monkeypatch):
    "The other runs come first"
    monkeypatch.setattr(workers, "PATIENCE", 0.05)
    first, second = Job(Quick, quick(tmp_path)), Job(Quick, quick(tmp_path, seed=1))
    held, done = threading.Event(), []

    def hold() -> None:
        with locked(workers.prepared(first)[1]):
            held.set()
            while not done:
                time.sleep(0.01)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    log = io.StringIO()
    line, watch = workers.Line(2, log), workers.Watch([first, second], Pace())
    order = []
    for outcome in workers.compute_here([first, second], watch, line):
        order.append(outcome.job)
        done.append(True)
    thread.join()
    assert order == [second, first] and "is in use: process" in log.getvalue()


def test_damage_is_reported_and_stops_nothing(tmp_path):
    "A file that is not what was written is a failure of its run alone"
    jobs = [Job(Quick, quick(tmp_path, seed=seed)) for seed in range(3)]
    first = sweep(jobs, workers=0, progress=False)
    (Path(first[0].folder) / "result.json").write_text("{")
    (Path(first[1].folder) / "train.safetensors").write_bytes(b"no weights")
    again = sweep(jobs, workers=0, progress=False)
    assert ["DamagedFile" in outcome.error for outcome in again] == [True, True, False]


@pytest.mark.parametrize("count", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_it_can_be_stopped_and_goes_on(tmp_path, count):
    "Ctrl-C to the whole group of processes, as a terminal sends it: no traceback, and the same line goes on"
    command = [sys.executable, "-m", "modreg.lab.sweeps", "sweep", "table8", "--scale", "tiny", "--seeds", "1", "--workers", str(count), "--out", str(tmp_path), "-p", "epochs", "300"]
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)  # who starts the tests in the background has it ignored, and children inherit that
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, cwd=ROOT)
    signal.signal(signal.SIGINT, heard)
    for _ in range(1200):
        if list(tmp_path.glob("*/state.pt")):
            break
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in out + err, err
    assert "the same command goes on: modreg sweep table8 --scale tiny" in err
    assert not list(tmp_path.glob("*/result.json")) and list(tmp_path.glob("*/state.pt"))


# --- what is said ------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_one_line_in_a_terminal_and_plain_lines_elsewhere():
    there, log = Terminal(), io.StringIO()
    for stream in (there, log):
        line = workers.Line(4, stream, every=0.0)
        line.show(1, "torus, 90 % zeros, ticket, epoch 12 of 30; 3 min left")
        line.show(2, "klein, dense, epoch 1 of 30; 2 min left")
        line.close()
    assert "\r" in there.getvalue() and there.getvalue().count("\n") == 1
    assert log.getvalue() == "1/4 runs; torus, 90 % zeros, ticket, epoch 12 of 30; 3 min left\n2/4 runs; klein, dense, epoch 1 of 30; 2 min left\n"


def test_what_is_running_is_named_by_what_it_trains(tmp_path):
    job = Job(Quick, quick(tmp_path, penalty="moduli", manifold="klein", sparsity=0.75, epochs=30))
    folder = workers.prepared(job)[1]
    folder.mkdir(parents=True)
    for lines, words in ((0, "Klein bottle, 75 % zeros, epoch 1 of 30"), (11, "Klein bottle, 75 % zeros, epoch 12 of 30"), (30, "Klein bottle, 75 % zeros, ticket, epoch 1 of 30"), (41, "Klein bottle, 75 % zeros, ticket, epoch 12 of 30")):
        (folder / "metrics.jsonl").write_text("{}\n" * lines)
        assert workers.where_it_is(job, folder) == words
    pace = Pace()
    pace.learn("remember", decisive(job.config), 60.0)
    watch = workers.Watch([job, *(Job(Quick, replace(job.config, seed=k)) for k in (1, 2))], pace)
    assert watch.seconds([job], 2) == pytest.approx((60 * 19 / 60 + 120) / 2)  # shared out
    assert watch.seconds([job], 100) == pytest.approx(60)  # the longest
    assert workers.Watch([job], Pace()).text([], 1).startswith("not known yet")


def test_names_tell_all_columns_of_the_paper_apart():
    for table in paper_tables().values():
        if "sensitivity" not in table.caption:
            labels = {label_of(job.config) for job in jobs_of(table.number, scale="tiny")}
            assert len(labels) == len(jobs_of(table.number, scale="tiny"))


def test_dry_run_computes_nothing(tmp_path, capsys):
    line = ["sweep", "table8", "table9", "--scale", "tiny", "--seeds", "2", "--out", str(tmp_path), "--dry-run"]
    assert main(line) == 0
    said = capsys.readouterr().out
    assert said.count("not known yet") == 14 + 1 and "14 runs, 0 complete" in said and not list(tmp_path.iterdir())
    job = jobs_of("8", scale="tiny", seeds=2, out=str(tmp_path))[0]
    fit(workers.prepared(job)[0], progress=False)
    main(line)
    said = capsys.readouterr().out
    assert "14 runs, 1 complete" in said and said.count(": complete") == 1 and "not known yet" not in said
    main([*line, "--select", "--strengths", "0.1", "1", "10"])
    assert said.count("λ to be chosen") == 0 and capsys.readouterr().out.count("λ to be chosen") == 12


# --- strengths ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("best, chosen", [(0.1, 0.1), (30.0, 31.62), (1e-4, 1e-4), (1e9, None)])
def test_a_choice_at_the_end_makes_the_grid_longer(tmp_path, best, chosen):
    "For all conditions, and not for ever"
    import math

    asked = []

    def run(jobs):
        asked.append(len(jobs))
        return [Outcome(job, "", {"phases": {"train": {"rmse": [None if job.config.penalty == "l1" else abs(math.log(job.config.strength / best))] * job.config.seeds}}}) for job in jobs]

    jobs = [Job(Quick, quick(tmp_path, penalty=name, sparsity=sparsity)) for name in ("none", "l1", "moduli", "shuffled") for sparsity in (0.5, 0.9)]
    choices, tried = choose(jobs, (0.01, 0.03162, 0.1, 0.3162), run)
    assert len(choices) == 3 and len({tuple(choice.tried) for choice in choices.values()}) == 1
    assert {one.job.config.sparsity for one in tried} == {0.9} and {(one.job.config.seed, one.job.config.seeds, one.job.config.lottery) for one in tried} == {(100, 3, False)}
    moduli = next(choice for choice in choices.values() if choice.condition.startswith("torus"))
    assert moduli.at_an_end == (chosen is None)
    if chosen is not None:
        assert moduli.strength == pytest.approx(chosen, rel=1e-3)
    assert len(asked) <= 1 + sweeps.EXTENSIONS


def test_a_strength_that_makes_no_difference_leaves_the_grid_as_it_is(tmp_path):
    "Whichever is best by chance; and a choice that has to be told from the seeds is"
    draws, asked = random.Random(0), []

    def run(jobs):
        asked.append(len(jobs))
        return [Outcome(job, "", {"phases": {"train": {"rmse": [0.03 + 0.01 * draws.random() + min(job.config.strength / 10, 1) for _ in range(job.config.seeds)]}}}) for job in jobs]

    for _ in range(10):
        choices, _ = choose([Job(Quick, quick(tmp_path, penalty="moduli", sparsity=0.9))], (1e-4, 1e-3, 1e-2, 0.1, 1.0), run)
        choice, = choices.values()
        assert not choice.at_an_end and choice.strength < 0.1
    assert len(asked) < 20  # of 70


def test_verdicts_know_the_settings_of_a_sweep():
    "What all runs share, a given strength too, is handed on; what a table gives, or the scale, is not"
    jobs = jobs_of("8", seeds=6, epochs=20, strength=0.03)
    assert sweeps._shared("8", jobs) == {"epochs": 20, "strength": 0.03}
    assert sweeps._shared("8", jobs_of("8")) == {}
    assert not any("not run" in one["why"] for one in sweeps.verdicts_of("8", pretended(jobs)))


def test_no_strength_is_chosen_on_what_is_reported(tmp_path):
    with pytest.raises(ValueError, match="selection=100: strengths are tried on 3 seeds"):
        choose([Job(Quick, quick(tmp_path, seed=99, seeds=2))], (0.1, 1, 10), lambda jobs: [])


# --- the report --------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    "Links, anchors, and addresses elsewhere"

    def __init__(self, text: str):
        super().__init__()
        self.links, self.ids, self.tags = [], [], Counter()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags[tag] += 1
        self.links += [found["href"]] if "href" in found else []
        self.ids += [found["id"]] if "id" in found else []
        assert not {"src", "srcset", "style", "onclick"} & found.keys()


def pretended(jobs: list[Job]) -> list[Outcome]:
    "Outcomes with records as runs leave them"
    made = []
    for k, job in enumerate(jobs):
        values = [0.1 + 0.01 * k, None, *[0.2] * (job.config.seeds - 2)]
        last = {job.task.metric: values, "loss": values, "sparsity": [0.5] * job.config.seeds, "inference": [1e6] * job.config.seeds, "training": [1e9] * job.config.seeds}
        phases = {phase: last for phase in (("train", "lottery") if job.config.lottery else ("train",))}
        diverged = [None, {"epoch": 3, "step": 7, "cause": "the loss is not finite"}, *[None] * (job.config.seeds - 2)]
        made.append(Outcome(job, f"runs/r{k}", {"run": f"r{k}", "task": job.config.task, "class": "Adding", "data": "", "scale": job.config.scale, "settings": decisive(job.config), "modreg": "0.1.0", "torch": "2", "seconds": 5.0, "diverged": diverged, "phases": phases}))
    return made


def test_every_number_leads_to_its_run():
    outcomes = pretended(jobs_of("8", seeds=3, also=["random"], tickets=["redraw", "rescaled"]))
    text = report(outcomes)
    page = Page(text)
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links) and len(page.ids) == len(set(page.ids))
    cells = sum(len(outcome.job.cells) for outcome in outcomes)
    mine = [claim for claim in statistics.claims() if claim.table == "8"]
    assert cells == 4 * 5 and len([link for link in page.links if link.startswith("#run-")]) == cells + 2 * len(mine)
    assert all(claim.sentence in text for claim in mine) and text.count("undecided") == len(mine) and "fewer than 5 pairs" in text
    assert "2 of 3 learned" in text
    assert not page.tags.keys() & {"script", "link", "img", "iframe"} and "http" not in text
    assert "95% Lottery, rescaled" in text and "seed 1: the loss is not finite, epoch 3" in text and "diverged" in text
    paper = [f"{cell.mean} ± {cell.std}" for cell in paper_tables()["8"].cells]
    assert all(number in text for number in paper)


def test_no_number_of_the_paper_for_what_it_has_not_tried():
    text = report(pretended(jobs_of("8", seeds=3, power=2.0)))
    assert "±" in text
    tried = [cell for cell in paper_tables()["8"].cells if cell.column != "none" and f"{cell.mean} ± {cell.std}" in text]
    assert not tried


def test_tiny_networks_have_no_table():
    text = report(pretended(jobs_of("8", scale="tiny", seeds=3)))
    assert "Table 8" not in text and "tiny" in text and "0.110" not in text


def test_a_failed_cell_says_so():
    outcomes = pretended(jobs_of("8", seeds=3))
    outcomes[0] = replace(outcomes[0], record=None, error="ValueError: <b>no</b>", folder="runs/bad")
    page = Page(text := report(outcomes))
    assert "#run-bad" in page.links and "run-bad" in page.ids and "&lt;b&gt;no" in text and "b" not in page.tags
