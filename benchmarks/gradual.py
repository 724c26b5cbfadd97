"""How long a whole gradual run takes beside its dense twin: `python benchmarks/gradual.py` writes modreg/data/gradual.json.

Navigation at its small scale, one seed, dense to 90 % zeros and then the lottery ticket, with sparse products as the tasks choose them and with dense products throughout. Epochs of all runs are done
in turn in one process, so that a machine which slows down is slow for all. An epoch has fewer batches here than in a run, so choosing products, which is done once an epoch at most, is timed by itself: a run's time is that of its batches and of all its choices.
One thread; seconds are those of the processor, which others' programs do not lengthen much.
"""

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import torch
from parts import Watch

from modreg.lab.trainer import SparseProducts
from modreg.lab.training import Phase, tensors_of
from modreg.tasks.navigation import Navigation, NavigationConfig

DATA = Path(__file__).resolve().parent.parent / "modreg" / "data" / "gradual.json"
SCHEDULES = "cubic", "linear"
BATCHES = 50, 200  # samples of a batch: of the small scale, and of the paper


def task(hidden: int, batch: int, batches: int, schedule: str, products: str) -> Navigation:
    "A run without a penalty, so that all the time is the network's"
    return Navigation(NavigationConfig(scale="small", device="cpu", seeds=1, hidden=hidden, batch=batch, batches=batches, schedule=schedule, sparse_products=products, penalty="none", strength=0.0))


def timed(phases: dict[str, Phase], epochs: int) -> dict[str, dict[str, list[float]]]:
    "Seconds of the processor for the batches of each epoch of each phase, and for its choices, in turn"
    seconds = {name: {"batches": [], "choices": []} for name in phases}
    choices = {name: Watch() for name in phases}
    for name, phase in phases.items():
        for callback in phase.callbacks:
            if isinstance(callback, SparseProducts):
                callback.before_epoch = choices[name].around("choices", callback.before_epoch)
    for epoch in range(epochs):
        for name, phase in phases.items():
            begun = time.process_time()
            phase.next_epoch()
            chosen = choices[name].seconds.pop("choices", 0.0)
            seconds[name]["batches"].append(time.process_time() - begun - chosen)
            seconds[name]["choices"].append(chosen)
        print(f"epoch {epoch + 1} of {epochs}: " + ", ".join(f"{name} {each['batches'][-1]:.2f} + {each['choices'][-1]:.2f} s" for name, each in seconds.items()), flush=True)
    return seconds


def whole(seconds: dict[str, list[float]], batches: float) -> float:
    "Seconds of a run with so many times as many batches"
    return batches * sum(seconds["batches"]) + sum(seconds["choices"])


def measure(neurons: int, batch: int, batches: int) -> dict[str, Any]:
    "All runs of one size"
    tasks = {f"{schedule}, {products}": task(neurons, batch, batches, schedule, products) for schedule in SCHEDULES for products in ("auto", "off")}
    phases, epochs = {name: Phase(one) for name, one in tasks.items()}, next(iter(tasks.values())).config.epochs
    seconds = timed(phases, epochs)
    left = tensors_of(phases["cubic, auto"])
    seconds |= timed({f"ticket, {products}": Phase(tasks[f"cubic, {products}"], "lottery", left) for products in ("auto", "off")}, epochs)
    more = NavigationConfig.scales["small"]["batches"] / batches
    for name in (*SCHEDULES, "ticket"):
        dense, chosen = (whole(seconds[f"{name}, {products}"], more) for products in ("off", "auto"))
        print(f"batch {batch}, {name}: {dense / chosen:.2f} times as fast as with dense products ({sum(seconds[f'{name}, auto']['choices']) / chosen:.1%} of it choosing)", flush=True)
    return {"neurons": neurons, "batch": batch, "more": more, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neurons", type=int, default=1024)
    parser.add_argument("--samples", type=int, default=500, help="of an epoch")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measure(given.neurons, batch, max(1, given.samples // batch)) for batch in BATCHES]
    DATA.write_text(json.dumps({"machine": platform.machine(), "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
