"""The benchmark: its statistics on clocks that are known, its baselines against ours, and every row once at toy size."""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import arena
import baselines
import bench
import rows
import timing

from modreg.geometry.manifolds import Torus
from modreg.tasks.navigation import Navigation, NavigationConfig, PathIntegrator, PlaceCells, paths
from modreg.sparsity.pruning import MagnitudePruner
from modreg.layers.recurrent import RNN
from modreg.sparsity.regularizer import ModuliRegularizer

Z = rows.TOY
generator = torch.Generator().manual_seed(0)


# --- the harness -------------------------------------------------------------------------------------------------------


class Clock:
    "A clock that goes on only when told"

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> float:
        self.now += seconds
        return seconds


def test_rounds_are_interleaved_and_each_begins_with_another_timer():
    clock, order = Clock(), []
    timers = {name: lambda name=name: order.append(name) or clock.work(1) for name in "abc"}
    done = timing.interleave(timers, rounds=(4, 4), seconds=0, clock=clock)
    assert "".join(order) == "abc" + "bca" + "cab" + "abc"
    assert done == [dict.fromkeys("abc", 1.0)] * 4


@pytest.mark.parametrize(("cost", "rounds"), [(0.1, 9), (1.0, 5), (100.0, 3)])
def test_rounds_end_when_the_time_is_up_but_not_before_the_least(cost, rounds):
    clock = Clock()
    assert len(timing.interleave({"a": lambda: clock.work(cost)}, rounds=(3, 9), seconds=4.5, clock=clock)) == rounds


@pytest.mark.parametrize(("shares", "kept"), [([0.0, 0.9, 0.0, 0.5, 0.0, 0.0], [1, 3, 5, 6]), ([0.9, 0.8, 0.0, 0.7, 0.5, 0.6], [3, 5, 6])])
def test_rounds_that_others_disturbed_do_not_count_as_long_as_enough_are_left(shares, kept):
    clock, share = Clock(), iter([0.0, *shares])

    def timer():
        clock.work(1)
        return clock()

    done = timing.interleave({"a": timer}, rounds=(3, 9), seconds=5.5, clock=clock, others=lambda: next(share))
    assert [timings["a"] for timings in done] == kept


def test_others_are_told_from_ours():
    "What a process that is not ours takes is seen, and what one that is ours takes is not; here the two are told to the same process"
    import psutil

    if not Path("/proc/stat").exists():
        pytest.skip("only Linux tells")
    spin = timing.multiprocessing.get_context("fork").Process(target=lambda: sum(range(10**12)), daemon=True)
    spin.start()
    process = psutil.Process(spin.pid)
    theirs, ours, before, start = timing.Others([]), timing.Others([spin]), process.cpu_times().user, time.perf_counter()
    while (took := process.cpu_times().user - before) < 0.3:  # however busy the machine is with others
        time.sleep(0.01)
    seen, rest, share = theirs(), ours(), took / (time.perf_counter() - start) / os.cpu_count()
    spin.kill()
    spin.join()
    assert 0.5 * share < seen - rest < 1.5 * share


def test_short_calls_are_repeated_and_long_ones_are_not():
    clock, calls = Clock(), []
    for cost, count in ((0.01, 11), (0.05, 3), (3.0, 1)):  # with one that is not timed before those that are repeated
        calls.clear()
        each = timing.seconds_per_call(lambda cost=cost: calls.append(clock.work(cost)), cost, clock)
        assert len(calls) == count and each == pytest.approx(cost)


def test_the_first_of_short_calls_does_not_count():
    clock = Clock()
    for costs in ([0.02, 0.001], [2.0, 1.0]):
        left = iter(costs)
        estimate = timing.first_estimate(lambda left=left, costs=costs: clock.work(next(left, costs[-1])), clock)
        assert estimate == pytest.approx(costs[-1] if costs[0] < 0.1 else costs[0])


def test_quartiles_and_exponent():
    assert timing.quartiles([3.0]) == [3.0, 3.0, 3.0]
    assert timing.quartiles([5.0, 1.0, 2.0, 4.0, 3.0]) == [3.0, 2.0, 4.0]
    assert timing.exponent([1, 2, 4, 8], [3 * n**1.7 for n in (1, 2, 4, 8)]) == pytest.approx(1.7)


def test_a_ratio_is_taken_within_a_round_and_a_slow_round_falls_on_all(monkeypatch):
    slow = iter([1, 1, 50, 1, 1])
    factor = {}

    def timer(seconds):
        def run():
            factor.setdefault(len(done) // 3, next(slow, 1))
            done.append(seconds)
            return seconds * factor[(len(done) - 1) // 3]
        return run

    done = []
    cost = {"published": 8.0, "ours": 2.0, "floor": 1.0}

    class Fake:
        memory, processes = 1.0, ()

        def __init__(self, side, cores):
            self.run = timer(side)

        def __call__(self):
            return self.run()

        def close(self):
            pass

    monkeypatch.setattr(timing, "Runner", Fake)
    row = timing.Row("fake", "1", cost, {"published": 4, "floor": 1.5})
    result = timing.measure(row, 2, rounds=(5, 5))
    assert result["ratios"] == {"published": [4.0] * 3, "floor": [2.0] * 3}
    assert result["seconds"]["ours"][0] == 2.0
    assert timing.reached(result) == {"published": True, "floor": False}
    assert bench.cells(result)[-1] == "4× published: reached; at most 1.5 of the floor: **missed**"
    assert timing.verdicts(result | {"targets": {"published": 9}}) == ["9× published: **missed** (the floor: 8.00×)"]


def test_memory_of_a_call_is_seen():
    def build():
        torch.ones(32 * 2**20).sum()  # what setting up needed and gave back does not count
        return lambda: torch.ones(8 * 2**20).sum()  # 32 MB

    runner = timing.Runner(timing.Side(build), 1)
    runner.close()
    assert 25 < runner.memory < 60


def test_a_serial_side_gets_a_process_for_each_core():
    threads = timing.Side(lambda: lambda: None, per=4), timing.Side(lambda: lambda: None, per=4, serial=True)
    runners = [timing.Runner(side, 2) for side in threads]
    assert [len(runner.processes) for runner in runners] == [1, 2]
    assert [runner.share for runner in runners] == [4, 8]
    for runner in runners:
        runner.close()


def test_what_fails_in_a_side_is_raised_here():
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        timing.Runner(timing.Side(lambda: 1 // 0), 1)


def test_results_replace_those_of_the_same_row_and_keep_the_tables_order(tmp_path):
    path, order = tmp_path / "bench.json", [("b", "1"), ("a", "1")]
    first = {"name": "a", "size": "1", "cores": 2, "value": 1}
    bench.write([first, {**first, "cores": 1}, {**first, "size": "9"}], [], {"cores": 2}, order, path=path)
    bench.write([{**first, "value": 3}, {**first, "name": "b"}], [], {"cores": 9}, order, whole=False, path=path)
    kept = json.loads(path.read_text())
    assert [(r["name"], r["cores"], r["value"]) for r in kept["rows"]] == [("b", 2, 1), ("a", 1, 1), ("a", 2, 3)]
    assert kept["machine"] == {"cores": 2}  # of the last run of the whole table


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # of torch, when it first compiles
@pytest.mark.parametrize("row", rows.table(Z), ids=lambda row: f"{row.name} {row.size}")
def test_every_row_runs_once(row):
    result = timing.measure(row, row.threads[-1], rounds=(1, 1))
    assert set(result["seconds"]) == set(row.sides) and all(t[0] > 0 for t in result["seconds"].values())
    assert set(timing.reached(result)) == set(row.targets) and len(bench.cells(result)) == len(bench.HEAD)


@pytest.mark.parametrize("curve", rows.curves(Z), ids=lambda curve: f"{curve.name} {curve.axis}")
def test_every_curve_runs_once(curve):
    small = timing.Curve(curve.name, curve.axis, {name: dict(list(sizes.items())[:2]) for name, sizes in curve.sides.items()})
    result = timing.measure_curve(small, 1, rounds=(1, 1))
    assert all(np.isfinite(side["exponent"]) for side in result["sides"].values())


# --- sparse products beside their rivals -------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 8])
def test_rivals_compute_the_same_product(batch):
    weight = arena.weight_of(arena.Cell("product", 24, 0.8, batch))
    for name in arena.product_sides(weight, batch):
        torch.manual_seed(0)
        try:
            found = torch.as_tensor(arena.product_sides(weight, batch)[name]()()).reshape(24, batch)
        except ImportError:
            continue  # it is not installed here
        torch.manual_seed(0)
        torch.testing.assert_close(found, weight @ torch.randn(24, batch), msg=lambda words, name=name: f"{name}: {words}")


@pytest.mark.parametrize("batch", [1, 8])
def test_rivals_run_the_same_recurrence(batch):
    weight, found = arena.weight_of(arena.Cell("recurrence", 24, 0.8, batch)), {}
    calls, _ = arena.available(arena.recurrence_sides(weight, batch, 5))
    for name, call in calls.items():
        found[name] = torch.as_tensor(call()).reshape(24, batch)
        torch.testing.assert_close(found[name], found["ours"], atol=1e-5, rtol=1e-4, msg=lambda words, name=name: f"{name}: {words}")
    assert {"ours", "dense", "torch", "gathered"} <= found.keys()


def test_what_cannot_be_had_is_left_out_with_a_word():
    def missing():
        raise ImportError("no module named mkl\nand more")

    calls, words = arena.available({"ours": lambda: len, "MKL": missing})
    assert calls == {"ours": len} and words == {"MKL": "no module named mkl"}
    with pytest.raises(ImportError, match="would take"):
        arena._gathered(torch.ones(512, 512), 4096)


@pytest.mark.parametrize("cell", [arena.Cell("product", 16, 0.9, 1), arena.Cell("recurrence", 16, 0.9, 8, threads=2), arena.Cell("training", 16, 0.9, 4)], ids=lambda cell: cell.kind)
def test_a_cell_of_each_kind_is_measured(cell):
    result = json.loads(json.dumps(arena.measure(cell, (1, 1), 0.1)))
    assert {"ours", "dense", "bytes", "products"} <= result["seconds"].keys() and result["best"] in arena.RIVALS
    assert len(arena.words(result)) == len(arena.HEAD)


def test_blocks_on_a_gpu_are_said_not_to_be_measured_without_one():
    words = arena.on_gpu(64, 0.9, 16, 8)
    assert words.endswith("not measured here") or "blocks" in words


def test_a_miss_is_said():
    result = {"kind": "product", "batch": 1, "ratios": {"best": [0.9], "dense": [0.9]}, "over": {"bytes": [3.0]}}
    assert arena.missed(result) == ["1× the best rival", "within a twentieth of dense", "within 2 of the bytes"]
    assert arena.missed(result | {"batch": 200}) == ["1.5× the best rival", "within a twentieth of dense"]
    assert not arena.missed({"kind": "product", "batch": 200, "ratios": {"best": [1.6], "dense": [9.0]}, "over": {"bytes": [30.0]}})


def test_masks_that_training_left():
    weight = arena.trained_weight(64, 0.9)
    assert weight.shape == (64, 64) and 0.8 < weight.eq(0).double().mean() < 0.99
    assert torch.equal(arena.weight_of(arena.Cell("product", 64, 0.9, 1, "trained")) != 0, weight != 0)


# --- baselines agree with ours -----------------------------------------------------------------------------------------


def test_paths_agree():
    "The same draws give the same walk"
    n, steps, seed = 50, 40, torch.Generator().manual_seed(3)
    ours = paths(n, steps, torch.Generator().manual_seed(3))
    start = (torch.rand(n, 2, generator=seed) - 0.5) * baselines.BOX
    heading = 2 * np.pi * torch.rand(n, generator=seed)
    speed = baselines.SPEED * torch.sqrt(-2 * torch.log1p(-torch.rand(steps, n, generator=seed)))
    turn = baselines.TURN * baselines.DT * torch.randn(steps, n, generator=seed)
    theirs = baselines.numpy_paths(start.numpy(), heading.numpy(), speed.T.numpy(), turn.T.numpy())
    torch.testing.assert_close(ours.transpose(0, 1), torch.tensor(theirs, dtype=torch.float32), atol=1e-5, rtol=0)
    data = baselines.PlainData(n, steps, 5)
    data.generator = torch.Generator().manual_seed(3)
    torch.testing.assert_close(data.paths(), ours, atol=1e-5, rtol=0)


def test_place_cells_agree():
    cells = PlaceCells(64, [generator])
    position = 2 * torch.rand(5, 7, 2, generator=generator) - 1
    torch.testing.assert_close(baselines.place_activity(position, cells.centres[0]), cells(position[None])[0], atol=1e-6, rtol=1e-4)


def test_navigation_losses_agree():
    config = NavigationConfig(scale="tiny", device="cpu", seeds=1, inputs="raw", init="paper")
    task = Navigation(config)
    net, ours = baselines.Integrator(config.hidden, config.place_cells), PathIntegrator(config, [generator])
    with torch.no_grad():
        for (module, name), mine in zip(net.prunable(), (ours.encoder.weight, ours.rnn.weight_hh_l0, ours.rnn.weight_ih_l0, ours.decoder.weight), strict=True):
            getattr(module, name).copy_(mine[0])
    walk = paths(6, config.steps, generator)
    centres = task.cells.centres[0]
    activity = baselines.place_activity(walk, centres)
    batch = walk.diff(dim=0), activity[0], activity[1:], walk[1:]
    regularizer = ModuliRegularizer(ours.rnn, strength=0.3, generator=generator)
    coefficients = baselines.difference_of_gaussians(baselines.torus_distances(regularizer.embedding[0]))
    mine = task.loss(ours, walk[None])[0] + regularizer()
    published, _ = baselines.published_loss(net, batch, centres, coefficients, 0.3)
    plain = baselines.plain_loss(net, batch, coefficients, 0.3)
    torch.testing.assert_close(published, mine, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(plain, mine, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("train", [False, True])
def test_penalties_and_their_gradients_agree(train):
    layer = RNN(2, 30, generator=generator).double()
    regularizer = ModuliRegularizer(layer, "torus", strength=0.3, train_embedding=train, embedding=Torus().sample(30, generator, dtype=torch.float64))
    weight = layer.weight_hh_l0
    places = regularizer.embedding.detach().clone().requires_grad_()
    theirs = baselines.penalty(weight, baselines.difference_of_gaussians(baselines.torus_distances(places)), 0.3)
    ours = regularizer()
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-10)
    wanted = (weight, regularizer.embedding) if train else (weight,)
    for mine, oracle in zip(torch.autograd.grad(ours, wanted), torch.autograd.grad(theirs, (weight, places)), strict=False):
        torch.testing.assert_close(mine, oracle, atol=1e-12, rtol=1e-8)


def test_masks_agree():
    net = baselines.Integrator(12, 9)
    weights = {f"{name}.{w}": getattr(m, w).detach().clone() for name, m in net.named_children() for w in ("weight", "weight_hh_l0", "weight_ih_l0") if hasattr(m, w)}
    pruner = MagnitudePruner(net, 0.6, epochs=1)
    pruner.step(0)
    with torch.no_grad():
        for name, value in weights.items():
            net.get_parameter(name).copy_(value)
    baselines.prune_globally(net.prunable(), 0.6)
    for name, mask in pruner.masks.items():
        assert torch.equal(net.get_buffer(f"{name}_mask").bool(), mask)


def test_adding_networks_agree():
    published, plain = baselines.AddingNet(8), baselines.PlainAddingNet(8)
    with torch.no_grad():
        plain.rnn.weight_ih_l0.copy_(published.step.weight[:, :2])
        plain.rnn.weight_hh_l0.copy_(published.step.weight[:, 2:])
        plain.rnn.bias_ih_l0.copy_(published.step.bias)
        plain.rnn.bias_hh_l0.zero_()
        plain.out.load_state_dict(published.out.state_dict())
    x, y = baselines.published_sums(5, 9, np.random.default_rng(0))
    torch.testing.assert_close((x[..., 0] * x[..., 1]).sum(1), y)
    torch.testing.assert_close(published(x), plain(x))
