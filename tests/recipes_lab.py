"""Right calls of what trains, keeps and looks at networks; `tests/recipes.py` has those of what they are made of, and the helpers."""

import argparse
import functools
import io
import tempfile
from pathlib import Path
from typing import Any

import fuzz
import numpy as np
import torch
from matplotlib.figure import Figure
from recipes import FOLDER, RECIPES, finished, maps, method, metric, net, rand, randn, rat, recipe, rows, seeded, streams, task, three, trainer, wave  # noqa: F401
from recipes import config as config_of
from torch import nn

from modreg.analysis import activity, attractors, topology, which_manifold, wiring
from modreg.book import exercises
from modreg.lab import files, paper, results, runs, statistics, sweeps, training, workers
from modreg.lab import trainer as trainers
from modreg.layers.recurrent import RNN
from modreg.tasks import navigation as places
from modreg.tasks import sound

# --- files -------------------------------------------------------------------------------------------------------------

F = "lab.files"


def folder() -> Path:
    return Path(tempfile.mkdtemp(dir=FOLDER))


def written(name: str, write: Any) -> Path:
    path = folder() / name
    write(path)
    return path


recipe(f"{F}.in_words", lambda: dict(path=folder()))
recipe(f"{F}.write_whole", lambda: dict(path=folder() / "whole", save=lambda path: path.write_text("x")))
recipe(f"{F}.damaged", lambda: dict(path=Path("x"), why="cut", then="the run begins anew"))
recipe(f"{F}.seal", lambda: dict(owner="run", name="a.json"))
recipe(f"{F}.sealed", lambda: dict(data=files.seal("run", "a.json").encode() + b"\n{}"))
recipe(f"{F}.read_sealed", lambda: dict(path=written("a.json", lambda path: files.write_json(path, {"a": 1}, "run")), owner="run", then="more", name="a.json", what="a file"))
recipe(f"{F}.rounded", lambda: dict(value={"a": [1.23456, 1]}, digits=3))
recipe(f"{F}.write_json", lambda: dict(path=folder() / "a.json", value={"a": 1}, owner="run"))
recipe(f"{F}.read_json", lambda: dict(path=written("a.json", lambda path: files.write_json(path, {"a": 1}, "run")), owner="run", then="more"))
recipe(f"{F}.write_weights", lambda: dict(path=folder() / "w.safetensors", tensors={"w": rand(2, 2)}, owner="run"))
recipe(f"{F}.read_weights", lambda: dict(path=written("w.safetensors", lambda path: files.write_weights(path, {"w": rand(2, 2)}, "run")), owner="run", device="cpu", then="more"))
recipe(f"{F}.before", lambda: dict(path=Path("state.pt")))
recipe(f"{F}.write_state", lambda: dict(path=folder() / "state.pt", state={"w": rand(2)}, owner="run"))
recipe(f"{F}.read_state", lambda: dict(path=written("state.pt", lambda path: files.write_state(path, {"w": rand(2)}, "run")), owner="run", device="cpu"))
recipe(f"{F}.is_half", lambda: dict(name="a.json"))
recipe(f"{F}.sweep", lambda: {"folder": folder(), "*names": ["a"]})
recipe(f"{F}.locked", lambda: dict(folder=folder()))

# --- runs and settings -------------------------------------------------------------------------------------------------


def new_run() -> runs.Run:
    made = runs.Run(config_of(out=str(folder())))
    runs.begin(made)
    return made


def written_run() -> runs.Run:
    made = new_run()
    runs.write_history(made, [])
    return made


D = "lab.runs"
recipe(f"{D}.checksum", lambda: dict(path=wave()))
for _name in ("check_settings", "is_complete", "is_tidy", "tidy", "tidy_after"):
    recipe(f"{D}.{_name}", lambda: dict(run=new_run()))
recipe(f"{D}.write_history", lambda: dict(run=new_run(), history=[{"phase": "train", "loss": [1.0]}]))
recipe(f"{D}.write_result", lambda: dict(run=written_run(), result={"phases": {}}))
recipe("lab.settings.label_of", lambda: dict(config=config_of()))
recipe("lab.settings.parameters_of", lambda: dict(config=config_of()))
recipe("lab.settings.duration", lambda: dict(seconds=90.0))

# --- training ----------------------------------------------------------------------------------------------------------

T = "lab.trainer"
recipe(f"{T}.likely_cause", lambda: dict(losses=[1.0, 2.0], finite=False, epoch=1, lr=0.1))


def step_done() -> trainers.Trainer:
    made = trainer()
    made.step(rand(4, 3))
    return made


def stopper() -> Any:
    made = trainers.StopDiverged()
    made.before_epoch(trainer())
    return made


recipe(f"{T}.StopDiverged", lambda: dict(replicas=2))
for _hook in ("before_epoch", "after_step", "after_epoch"):
    method(f"{T}.StopDiverged.{_hook}", stopper, lambda: dict(trainer=step_done()))
method(f"{T}.StopDiverged.note", stopper, lambda: dict(trainer=step_done(), seen=torch.zeros(1, 2, 1)))
method(f"{T}.StopDiverged.hold", stopper, lambda: dict(optimizer=trainer().optimizer, k=0))
method(f"{T}.StopDiverged.state_dict", stopper)
method(f"{T}.StopDiverged.load_state_dict", stopper, lambda: dict(state=stopper().state_dict()))

P = "lab.training"


def begun() -> Any:
    made = task(out=str(folder()))
    made.run.path.mkdir(parents=True)
    return made


recipe(f"{P}.class_name", lambda: dict(kind=training.Remember))
recipe(f"{P}.run_of", lambda: dict(task=task()))
method(f"{P}.Phase.pass_epoch", lambda: training.Phase(task()))
recipe(f"{P}.checked_recurrent", lambda: dict(task=task(), model=net()))
recipe(f"{P}.checked_metrics", lambda: dict(task=task(), found={"rmse": rand(2)}))
recipe(f"{P}.taken_over", lambda: dict(run=new_run()))
recipe(f"{P}.train_phases", lambda: dict(task=begun(), progress=False, callbacks=[trainers.Callback()]))

X = "lab.experiments"
for _name in ("diverged_seeds", "account"):
    recipe(f"{X}.{_name}", lambda: dict(runs=three()))
recipe(f"{X}.tiny_note", lambda: dict(config=config_of()))
recipe(f"{X}.finding", lambda: dict(task=task(), runs=three(), digits=1))
recipe(f"{X}.escaped", lambda: dict(text="a"))

# --- the paper, records, statistics ------------------------------------------------------------------------------------


def cell() -> paper.Cell:
    return paper.paper_tables()["8"].cells[0]


def small_table() -> paper.Table:
    return paper.paper_tables()["8"]


def records() -> list[dict[str, Any]]:
    return [record | {"learned_below": 0.3} for record in (results.record(finished()),) if record is not None]


A = "lab.paper"
recipe(f"{A}.Cell", lambda: dict(table="1", row="a", column="b", settings={"sparsity": 0.9}, result="train", mean=1.0, std=0.1))
recipe(f"{A}.printed", lambda: dict(cell=cell(), digits=1))
recipe(f"{A}.Table", lambda: dict(number="1", task="adding", metric="MSE", caption="a", cells=(cell(),), note=""))
method(f"{A}.Table.cell", small_table, lambda: dict(row=cell().row, column=cell().column))
for _name in ("paper_tables", "paper_figures", "paper_hyperparameters"):
    recipe(f"{A}.{_name}", dict)
recipe(f"{A}.paper_cell", lambda: dict(config=config_of("navigation"), result="train"))
recipe(f"{A}.hyperparameter_table", lambda: dict(config=type(config_of("navigation"))))

R = "lab.results"
recipe(f"{R}.record", lambda: dict(run=finished()))
recipe(f"{R}.records_in", lambda: dict(folder=str(finished().path.parent), kind=training.RememberConfig))
recipe(f"{R}.read_records", lambda: dict(path=written("a.jsonl", lambda path: results.collect(path, records()))))
recipe(f"{R}.collect", lambda: dict(path=folder() / "a.jsonl", records=records()))
recipe(f"{R}.learned_below", lambda: dict(task=task()))
recipe(f"{R}.matching", lambda: dict(records=records(), config=config_of(), phase="train", free=["seeds"]))
recipe(f"{R}.find", lambda: dict(records=records(), config=config_of(), phase="train"))
recipe(f"{R}.all_records", lambda: dict(kind=training.RememberConfig, out=str(folder())))
recipe(f"{R}.main", lambda: dict(arguments=["--help"]))

S = "lab.statistics"


def outcome_of_three() -> dict[str, Any]:
    return dict(seeds=3, learned=2, low=0.1, high=0.9, median=1.0, mean=1.0, deviation=0.1)


def difference_of_two() -> statistics.Difference:
    return statistics.difference([1.0, 2.0, 3.0], [2.0, 2.5, 4.0], 9.0)


recipe(f"{S}.Outcome", outcome_of_three)
recipe(f"{S}.outcome", lambda: dict(values=[1.0, 2.0, None], below=1.5))
recipe(f"{S}.Difference", lambda: dict(pairs=3, mean=0.1, low=0.0, high=0.2, p=0.5, effect=0.1, improvement=0.5))
recipe(f"{S}.difference", lambda: dict(first=[1.0, 2.0, 3.0], second=[2.0, 2.5, 4.0], chance=9.0))
recipe(f"{S}.holm", lambda: dict(p=[0.1, 0.01]))
recipe(f"{S}.Claim", lambda: dict(table="8", place="section 5", sentence="a", first="torus", second="none", rows=("90",), same=0.1))
recipe(f"{S}.claims", dict)
recipe(f"{S}.config_for", lambda: dict(task=training.Remember, changes={"penalty": "none"}, phase="train", scale="small"))
recipe(f"{S}.config_of", lambda: dict(cell=cell(), task=training.Remember, scale="small"))
recipe(f"{S}.chosen_strength", lambda: dict(records=records(), config=config_of(), metric="rmse"))
recipe(f"{S}.largest", lambda: dict(records=records(), config=config_of(), task=training.Remember, phase="train", free=["seed"]))
recipe(f"{S}.record_of_cell", lambda: dict(records=records(), cell=cell(), task=training.Remember, scale="small"))
recipe(f"{S}.Verdict", lambda: dict(claim=statistics.claims()[0], word="holds", why="so", differences={"90": difference_of_two()}, corrected={"90": 0.1}, runs=("a",)))
recipe(f"{S}.verdicts", lambda: dict(table="8", records=records(), task=training.Remember, scale="small"))

M = "lab.tables"
recipe(f"{M}.ours", lambda: dict(record=records()[0], cell=cell(), metric="rmse", digits=1))
recipe(f"{M}.table_markdown", lambda: dict(table=small_table(), records=records(), task=training.Remember, scale="small", digits=1))
recipe(f"{M}.verdict_markdown", lambda: dict(found=statistics.verdicts("8", records(), training.Remember), digits=1))
recipe(f"{M}.plot_sensitivity", lambda: dict(records=records(), task=training.Remember, ax=Figure().add_subplot(), scale="small"))
recipe(f"{M}.cost_of", lambda: dict(records=records()))
recipe(f"{M}.work_of", lambda: dict(task=training.Remember, scale="small"))

# --- sweeps ------------------------------------------------------------------------------------------------------------

W = "lab.workers"


def job(**changed: Any) -> workers.Job:
    return workers.Job(training.Remember, config_of(**changed))


def done() -> workers.Outcome:
    return workers.compute(job())


def line() -> workers.Line:
    return workers.Line(2, io.StringIO(), 30.0)


def watch() -> workers.Watch:
    return workers.Watch([job()], workers.Pace())


recipe(f"{W}.Job", lambda: dict(task=training.Remember, config=config_of(), cells=(cell(),), device="cpu"))
for _name in ("merged", "done_before"):
    recipe(f"{W}.{_name}", lambda: dict(jobs=[job()]))
for _name in ("prepared", "records_beside", "notebook_of", "papermill_line"):
    recipe(f"{W}.{_name}", lambda: dict(job=navigation_job()))


def navigation_job() -> workers.Job:
    from modreg.tasks.navigation import Navigation

    return workers.Job(Navigation, config_of("navigation"))


recipe(f"{W}.Pace", lambda: dict(records=records()))
method(f"{W}.Pace.learn_from", workers.Pace, lambda: dict(one=records()[0]))
method(f"{W}.Pace.learn", workers.Pace, lambda: dict(task="remember", settings={"hidden": 32, "batch": 32, "batches": 2, "epochs": 2}, seconds=1.0, steps=8))
method(f"{W}.Pace.seconds", workers.Pace, lambda: dict(config=config_of()))
recipe(f"{W}.epochs_done", lambda: dict(folder=finished().path))
recipe(f"{W}.where_it_is", lambda: dict(job=job(), folder=finished().path))
recipe(f"{W}.Outcome", lambda: dict(job=job(), folder="a", record=records()[0], error="", details="", again=False, notebook="", computed=True))
recipe(f"{W}.compute", lambda: dict(job=job(), version=workers.modreg.__version__, callbacks=[trainers.Callback()]))
recipe(f"{W}.Line", lambda: dict(total=2, stream=io.StringIO(), every=30.0))
method(f"{W}.Line.show", line, lambda: dict(done=1, text="a"))
method(f"{W}.Line.say", line, lambda: dict(text="a"))
method(f"{W}.Line.close", line)
recipe(f"{W}.Watch", lambda: dict(jobs=[job()], pace=workers.Pace()))
method(f"{W}.Watch.finish", watch, lambda: dict(outcome=done()))
for _hook in ("seconds", "text"):
    method(f"{W}.Watch.{_hook}", watch, lambda: dict(running=[], workers=2))
recipe(f"{W}.compute_here", lambda: dict(jobs=[job()], watch=watch(), line=line(), notebooks=False))
recipe(f"{W}.gpus_here", dict)
recipe(f"{W}.workers_here", lambda: dict(gpu=False))
recipe(f"{W}.patient_nanny", dict)
recipe(f"{W}.local_cluster", lambda: dict(workers=1, gpu=False))
recipe(f"{W}.remote_cluster", lambda: dict(address="tcp://127.0.0.1:1"))
recipe(f"{W}.Crew", lambda: dict(workers=0, gpu=False))
method(f"{W}.Crew.called", lambda: workers.Crew(0), lambda: dict(most=1, say=print))


class Future:
    key, status = "a", "finished"

    def done(self) -> bool:
        return True

    def result(self, timeout: float | None = None) -> workers.Outcome:
        return done()


class Client:
    "What a `Flight` asks of dask's client"

    status = "running"

    def submit(self, *_: Any, **__: Any) -> Any:
        return Future()

    def scheduler_info(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {"workers": {"a": {}}}

    def processing(self) -> dict[str, Any]:
        return {}

    def cancel(self, _: Any) -> None:
        pass


def flight() -> workers.Flight:
    return workers.Flight(Client(), watch(), False)


recipe(f"{W}.Flight", lambda: dict(client=Client(), watch=watch(), notebooks=False))
method(f"{W}.Flight.start", flight, lambda: dict(job=job()))
method(f"{W}.Flight.running", flight)


def flying() -> tuple[workers.Flight, Any]:
    made = flight()
    made.start(job())
    return made, next(iter(made.flying))


def landing() -> tuple[Any, dict[str, Any]]:
    made, future = flying()
    return made.land, dict(future=future)


RECIPES[f"{W}.Flight.land"] = landing
recipe(f"{W}.compute_on", lambda: dict(client=Client(), jobs=[], watch=watch(), line=line(), notebooks=False))
recipe(f"{W}.sweep", lambda: dict(jobs=[job()], workers=0, notebooks=False, progress=False))

V = "lab.sweeps"


def choices() -> dict[str, sweeps.Choice]:
    return {sweeps.condition_of(one): sweeps.Choice(sweeps.condition_of(one), {0.1: [1.0]}, "rmse") for one in [job()]}


recipe(f"{V}.cells_of", lambda: dict(table=small_table(), also=["none"], tickets=["redraw"], strengths=[0.1]))
recipe(f"{V}.jobs_of", lambda: dict(table="8", task=training.Remember, scale="small", seeds=2, also=["none"], tickets=["redraw"], strengths=[], device="cpu"))
recipe(f"{V}.Choice", lambda: dict(condition="torus", tried={0.1: [1.0]}, metric="rmse"))
recipe(f"{V}.condition_of", lambda: dict(job=job()))
recipe(f"{V}.selection_jobs", lambda: dict(jobs=[job()], strengths=[0.1], seed=100))
recipe(f"{V}.choose", lambda: dict(jobs=[job()], strengths=[0.1, 0.2, 0.4], run=lambda jobs: [workers.compute(one) for one in jobs], seed=100))
recipe(f"{V}.with_strengths", lambda: dict(jobs=[job()], choices=choices()))
recipe(f"{V}.three_digits", lambda: dict(values=[1.0, None]))
for _name in ("table_of", "verdicts_of"):
    recipe(f"{V}.{_name}", lambda: dict(number="8", outcomes=[workers.Outcome(sweeps.jobs_of("8", training.Remember, seeds=2)[0], "a", records()[0])]))
recipe(f"{V}.run_facts", lambda: dict(outcome=done()))
recipe(f"{V}.report", lambda: dict(outcomes=[done()], choices=list(choices().values()), title="a"))
recipe(f"{V}.parser", dict)


def asked(*more: str) -> argparse.Namespace:
    return sweeps.parser().parse_args(["sweep", "table8", "--scale", "tiny", *more])


recipe(f"{V}.asked_jobs", lambda: dict(given=asked()))
recipe(f"{V}.listing", lambda: dict(jobs=[job()], chosen=True))
recipe(f"{V}.dry_run", lambda: dict(jobs=[job()], grid=[0.1, 0.2, 0.4]))
recipe(f"{V}.sweep_tables", lambda: dict(given=asked("--dry-run")))
fuzz.LONG |= {(f"{V}.main", "arguments", "shorter")}  # without its last word it trains
recipe(f"{V}.main", lambda: dict(arguments=["sweep", "table8", "--scale", "tiny", "--dry-run"]))

# --- tasks -------------------------------------------------------------------------------------------------------------

E = "tasks.navigation"


def born(**changed: Any) -> places.EdgeNavigation:
    return places.EdgeNavigation(places.EdgeNavigationConfig(scale="tiny", device="cpu", partners=5, out=str(FOLDER / "born"), **changed))


def drawn() -> nn.Module:
    return born().model(streams(1))


recipe(f"{E}.EdgeNavigationConfig", lambda: dict(scale="tiny", device="cpu", partners=5, hidden=16, epochs=2, steps=4, lr=0.1))
recipe(f"{E}.EdgeNavigation", lambda: dict(config=born().config))
recipe(f"{E}.EdgeIntegrator", lambda: dict(config=born().config, generators=streams(1)))
method(f"{E}.EdgeIntegrator.recurrence", drawn, lambda: dict(config=born().config, generators=streams(1)))
recipe(f"{E}.partners_of", lambda: dict(config=born().config))
method(f"{E}.EdgeIntegrator.states", drawn, lambda: dict(start=rand(1, 3, 64), velocity=rand(1, 4, 3, 2)))
method(f"{E}.EdgeNavigation.model", born, lambda: dict(generators=streams(1)))
method(f"{E}.EdgeNavigation.recurrent", born, lambda: dict(model=drawn()))
method("layers.edges.EdgeRNN.weight_uses", lambda: drawn().rnn, lambda: dict(inputs=(rand(4, 3, 2),), output=(rand(4, 3, 32),)))
recipe("tasks.rats.first_bad", lambda: dict(bad=np.array([False, True])))
for _name in ("check_numbers", "check_movement"):
    recipe(f"tasks.rats.{_name}", lambda: dict(rat=rat()))
for _home in ("tasks.rats", "analysis.gridcells"):
    recipe(f"{_home}.look", lambda: dict(task=task("navigation"), run=None))
recipe("analysis.topology.embedding_study", lambda: dict(task=training.Remember, spaces=[], rates=[0.1], setting={}))
recipe("analysis.which_manifold.confusion", lambda: dict(sparsities=[0.7], noises=[0.0], spaces=[], trials=1, neurons=12, controls=1))
recipe("tasks.sound.undecodable", lambda: dict(path=wave(), error=ValueError("a")))
recipe("tasks.sound.header", lambda: dict(path=wave()))
method("tasks.sound.Utterance.rate", lambda: sound.tones()[0])
recipe("tasks.sound.checked_samples", lambda: dict(samples=rand(2000), rate=8000, path=wave()))
recipe("tasks.sound.check_rates", lambda: dict(utterances=sound.tones()[:2]))
recipe("tasks.sound.transcripts", lambda: dict(listing=written("a.txt", lambda path: path.write_text("a THE CAT\n"))))
recipe("tasks.sound.manifest", lambda: dict(table=written("a.tsv", lambda path: path.write_text("id\ttext\na\tthe cat\n"))))
recipe("tasks.sound.decoded", lambda: dict(path=written("a.txt", lambda path: path.write_text("a THE CAT\n"))))

# --- analysis ----------------------------------------------------------------------------------------------------------

Y = "analysis.activity"


def ring_activity(states: int = 300) -> torch.Tensor:
    return activity.planted_activity("circle", states, 30, generator=seeded())[0]


recipe(f"{Y}.planted_activity", lambda: dict(space="circle", states=30, neurons=8, width=1.0, noise=0.1, generator=seeded()))
recipe(f"{Y}.checked_activity", lambda: dict(activity=ring_activity()))
recipe(f"{Y}.Cloud", lambda: dict(mean=rand(8), axes=rand(8, 2), raw=rand(9, 2), clean=rand(9, 2), scale=1.0))
method(f"{Y}.Cloud.__call__", lambda: activity.activity_cloud(ring_activity()), lambda: dict(activity=ring_activity()))
recipe(f"{Y}.activity_cloud", lambda: dict(activity=ring_activity(), components=4, most=100))
recipe(f"{Y}.shifted", lambda: dict(activity=ring_activity(), generator=seeded()))
recipe(f"{Y}.long_bars", lambda: dict(lengths=torch.tensor([3.0, 0.2, 0.1]), limit=0.5))
recipe(f"{Y}.Shape", lambda: dict(name="circle", betti={2: (1, 1)}, homology={2: homology()}, limits=(0.1, 0.2)))
recipe(f"{Y}.activity_shape", lambda: dict(activity=ring_activity(), components=4, most=100, landmarks=30, shuffles=1, generator=seeded()))
_close = lambda: torch.ones(3, 3, dtype=torch.bool)  # noqa: E731
recipe(f"{Y}.whole_cocycle", lambda: dict(cocycle=torch.tensor([[0, 1, 1], [0, 2, 1]]), close=_close(), field=47))
recipe(f"{Y}.smoothed", lambda: dict(eta=torch.tensor([[0.0, 1, 1], [-1, 0, 0], [-1, 0, 0]], dtype=torch.float64), close=_close()))
recipe(f"{Y}.reduced_basis", lambda: dict(gram=torch.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=torch.float64)))
recipe(f"{Y}.Coordinates", lambda: {name: getattr(coordinates(), name) for name in ("cloud", "landmarks", "radius", "theta", "tau", "bars", "gram")})
method(f"{Y}.Coordinates.__call__", lambda: coordinates(), lambda: dict(activity=ring_activity()))
recipe(f"{Y}.circular_coordinates", lambda: dict(activity=ring_activity(), loops=1, components=4, most=200, landmarks=60, field=47))
recipe(f"{Y}.toroidal_coordinates", lambda: dict(activity=activity.planted_activity("torus", 400, 40, generator=seeded())[0]))
recipe(f"{Y}.waves", lambda: dict(angles=rand(9, 2), harmonics=2))
recipe(f"{Y}.decoding_score", lambda: dict(angles=rand(60, 1), target=rand(60, 2, seed=1), harmonics=2, folds=3, ridge=1e-3))
recipe(f"{Y}.lift", lambda: dict(angles=rand(9, 2)))
recipe(f"{Y}.decode_paths", lambda: dict(angles=rand(9, 12, 2), position=rand(9, 12, 2), known=0.5))
recipe(f"{Y}.grid_cells", lambda: dict(position=rand(9, 2), spacing=0.6, neurons=8, noise=0.1, generator=seeded()))
recipe(f"{Y}.hidden_states", lambda: {"layer": RNN(3, 4, generator=seeded()), "inputs": rand(5, 2, 3), "*state": [rand(1, 2, 4)]})


def driven() -> dict[str, Any]:
    layer = RNN(3, 4, generator=seeded())
    return dict(layer=layer, drive=lambda: layer(rand(5, 2, 3)))


recipe(f"{Y}.states_while", driven)
recipe(f"{Y}.run_states", lambda: dict(task=task(), run=finished(), seed=0, phase="train", batches=1))
recipe(f"{Y}.look", lambda: dict(task=task(), run=None))
recipe(f"{Y}.share_interval", lambda: dict(count=2, of=5, z=1.96))
_shapes = lambda: [{"condition": "torus", "sparsity": 0.9, "shapes": ["circle", "none"]}]  # noqa: E731
recipe(f"{Y}.shape_matrix", lambda: dict(rows=_shapes()))
recipe(f"{Y}.plot_shapes", lambda: dict(rows=_shapes(), ax=Figure().add_subplot()))


def coordinates() -> activity.Coordinates:
    return activity.circular_coordinates(ring_activity(), landmarks=60)


C = "analysis.attractors"


def cell_of_one() -> RNN:
    return RNN(3, 4, generator=seeded())


def slow() -> attractors.SlowPoints:
    return attractors.slow_points(lambda h: 0.5 * h, randn(5, 3), steps=20)


recipe(f"{C}.silent_step", lambda: dict(network=cell_of_one(), inputs=rand(3)))
recipe(f"{C}.SlowPoints", lambda: dict(states=rand(2, 3), speeds=rand(2), eigenvalues=rand(2, 3).to(torch.complex64)))
recipe(f"{C}.jacobian", lambda: dict(step=lambda h: 0.5 * h, state=rand(3)))
recipe(f"{C}.slow_points", lambda: dict(network=cell_of_one(), starts=randn(5, 4), inputs=rand(3), steps=5, lr=0.01, slow=0.01, apart=0.001))
recipe(f"{C}.plot_slow_points", lambda: dict(found=slow(), ax=Figure().add_subplot(), visited=randn(5, 3)))
recipe(f"{C}.kept_distances", lambda: dict(network=cell_of_one(), states=randn(5, 4), steps=5))
recipe(f"{C}.look", lambda: dict(task=task(), run=None))

G = "analysis.topology"


def circle(n: int = 40) -> torch.Tensor:
    angle = 2 * torch.pi * torch.arange(n) / n
    return torch.stack([angle.cos(), angle.sin()], 1)


def homology() -> topology.Homology:
    return topology.persistent_homology(circle(), degree=1, landmarks=40)


recipe(f"{G}.farthest_landmarks", lambda: dict(points=circle(), space="euclidean", n=8))
recipe(f"{G}.Homology", lambda: {name: getattr(homology(), name) for name in ("bars", "field", "threshold", "cover", "landmarks")})
method(f"{G}.Homology.lengths", homology, lambda: dict(degree=1))
recipe(f"{G}.persistent_homology", lambda: dict(points=circle(), space="euclidean", degree=1, field=2, landmarks=20, threshold=2.0, engine="ripser", memory=4.0))
recipe(f"{G}.bars_with_cocycles", lambda: dict(distances=torch.cdist(circle(12), circle(12)), field=47, threshold=2.0, memory=4.0))
recipe(f"{G}.plot_barcode", lambda: dict(homology=homology(), ax=Figure().add_subplot(), most=5))
recipe(f"{G}.plot_diagram", lambda: dict(homology=homology(), ax=Figure().add_subplot(), longer_than=0.5))
recipe(f"{G}.betti_numbers", lambda: dict(homology=homology(), longer_than=0.5))
recipe(f"{G}.bottleneck_distance", lambda: dict(a=homology(), b=homology(), degree=1))
recipe(f"{G}.wasserstein_distance", lambda: dict(a=homology(), b=homology(), degree=1, order=1.0))
recipe(f"{G}.betti_band", lambda: dict(points=circle(20), space="euclidean", longer_than=0.5, resamples=3, level=0.95, generator=seeded()))
recipe(f"{G}.alpha_homology", lambda: dict(points=circle(20), field=2))
recipe(f"{G}.misread", lambda: dict(embedding=rand(6, 2)))
recipe(f"{G}.embedding_course", lambda: dict(task=task(train_embedding=True), epochs=[0, 1]))
recipe(f"{G}.prominence", lambda: dict(homology=homology()))
recipe(f"{G}.uniform_prominence", lambda: dict(space="circle", neurons=12, generator=seeded(), nulls=2))
recipe(f"{G}.embedding_rows", lambda: dict(task=task(train_embedding=True, manifold="circle"), epochs=[1], null=[(1.0,), (2.0,)]))
recipe(f"{G}.verdict", lambda: dict(row=topology.embedding_rows(task(train_embedding=True, manifold="circle"), [1], [(1.0, 1.0), (2.0, 2.0)])[0] | dict(prominence=[(1.0, 1.5)])))

H = "analysis.which_manifold"


@functools.cache
def ranking() -> which_manifold.Ranking:
    return which_manifold.which_manifold(which_manifold.planted("circle", 60, generator=seeded()), spaces=("circle",), neurons=60, controls=1, generator=seeded())


_pairs = lambda n=8: ~torch.eye(n, dtype=torch.bool)  # noqa: E731
_known = lambda n=8: which_manifold.ranks(metric(n), _pairs(n))  # noqa: E731
recipe(f"{H}.affinity", lambda: dict(weights=randn(6, 6)))
recipe(f"{H}.ranks", lambda: dict(values=metric(8), pairs=_pairs()))
recipe(f"{H}.place", lambda: dict(space="sphere", values=_known(), known=_pairs(), generator=seeded()))
recipe(f"{H}.Ranking", lambda: {name: getattr(ranking(), name) for name in ("answer", "confidence", "spaces", "scores", "errors", "controls", "neurons", "embeddings")})
recipe(f"{H}.which_manifold", lambda: dict(network=which_manifold.planted("circle", 60, generator=seeded()), spaces=("circle",), layer=0, neurons=60, controls=1, generator=seeded()))
recipe(f"{H}.planted", lambda: dict(space="circle", neurons=12, sparsity=0.7, noise=0.1, generator=seeded()))
recipe(f"{H}.plot_ranking", lambda: dict(ranking=ranking(), ax=Figure().add_subplot()))
recipe(f"{H}.evaluated_states", lambda: dict(task=task(), run=finished(), seed=0, times=20))
recipe(f"{H}.look", lambda: dict(task=task(), run=None))

N = "analysis.wiring"


def sparse_graph(n: int = 10) -> torch.Tensor:
    return randn(n, n) * (rand(n, n, seed=3) > 0.6)


recipe(f"{N}.rewired", lambda: dict(weights=sparse_graph(), generator=seeded(), rounds=2))
recipe(f"{N}.graph_measures", lambda: dict(weights=sparse_graph(), distances=metric(10), generator=seeded()))
recipe(f"{N}.against_chance", lambda: dict(weights=sparse_graph(), distances=metric(10), nulls=2, generator=seeded()))
recipe(f"{N}.plot_against_chance", lambda: dict(measured={"a": dict.fromkeys(wiring.MEASURES, (1.0, 0.5, 0.1))}, ax=Figure().add_subplot()))
recipe(f"{N}.measures_over_time", lambda: dict(weights=[sparse_graph()], distances=metric(10), nulls=1, generator=seeded()))

# --- the book ----------------------------------------------------------------------------------------------------------

B = "book.answer"


def navigation() -> Any:
    from modreg.tasks.navigation import Navigation

    return Navigation


def kept() -> list[dict[str, Any]]:
    return results.all_records(navigation().Config)


recipe(f"{B}.curve", lambda: dict(records=kept(), task=navigation(), condition="none", scale="small", phase="train"))
recipe(f"{B}.plot_curves", lambda: dict(records=kept(), task=navigation(), figure=Figure(), conditions=["none"], scale="small", phase="train"))
recipe(f"{B}.as_large", lambda: dict(task=navigation(), sparsity=0.9, scale="small"))
recipe(f"{B}.ratios", lambda: dict(records=kept(), task=navigation(), sparsity=0.9, conditions=["none"], scale="small"))
for _name in ("all_ratios", "plot_answer"):
    recipe(f"{B}.{_name}", lambda name=_name: dict(asked={navigation(): 0.9}, conditions=["none"], scale="small") | (dict(figure=Figure()) if name == "plot_answer" else {}))
recipe(f"{B}.compare", lambda: dict(first="none", second="l1", among={navigation(): {"none": {0: 1.0, 1: 1.1}, "l1": {0: 1.2, 1: 1.3}}}))
recipe(f"{B}.answer", lambda: dict(asked={navigation(): 0.9}, scale="small"))
recipe(f"{B}.schedules_markdown", lambda: dict(records=kept(), task=navigation(), sparsity=0.9, conditions=["none"], scales=["small"], digits=1))
recipe(f"{B}.controls_markdown", lambda: dict(asked={navigation(): 0.9}, conditions=["none", "random"], scale="small"))

K = "book.exercises"
recipe(f"{K}.difference", lambda: dict(got=1.0, want=1.0, within=1e-4))
recipe(f"{K}.Check", dict)
method(f"{K}.Check.__call__", exercises.Check, lambda: {"answer": abs, "*arguments": [-1], "gives": 1, "within": 1e-4, "name": "abs(-1)"})
method(f"{K}.Check.that", exercises.Check, lambda: dict(holds=True, otherwise="it does not"))
method(f"{K}.Check.refuses", exercises.Check, lambda: {"answer": int, "*arguments": ["x"], "saying": "invalid"})
recipe(f"{K}.Verdict", lambda: dict(check=exercises.Check(), hint="think"))
method(f"{K}.Verdict.show", lambda: exercises.Verdict(exercises.Check(), "think"))
recipe(f"{K}.draw_curve", lambda: dict(answer=lambda x: 1.0, x=[1, 2], xlabel="x", ylabel="y"))
recipe(f"{K}.draw_lines", lambda: dict(xlabel="x", ylabel="y"))
recipe(f"{K}.draw_bars", lambda: dict(values={"a": 1.0}, ylabel="y"))
recipe(f"{K}.draw_matrices", lambda: dict(weights=rand(2, 2)))
for _name in ("in_space", "growing_balls", "placed_neurons"):
    recipe(f"book.explore.{_name}", dict)
