"""How long a whole gradual run takes beside its dense twin: `python benchmarks/gradual.py` writes modreg/data/gradual.json.

Navigation at its small scale, one seed, dense to 90 % zeros and then the lottery ticket, with sparse products as the tasks choose them and with dense products throughout. Epochs of all runs are done
in turn in one process, so that a machine which slows down is slow for all; with few batches an epoch, so that choosing, which is part of the time, weighs more here than in a run. One thread; seconds are those of the processor, which others' programs do not lengthen much.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import torch

from modreg.lab.training import Phase, tensors_of
from modreg.tasks.navigation import Navigation, NavigationConfig

DATA = Path(__file__).resolve().parent.parent / "modreg" / "data" / "gradual.json"
SCHEDULES = "cubic", "linear"


def task(hidden: int, batches: int, schedule: str, products: str) -> Navigation:
    "A run without a penalty, so that all the time is the network's"
    return Navigation(NavigationConfig(scale="small", device="cpu", seeds=1, hidden=hidden, batches=batches, schedule=schedule, sparse_products=products, penalty="none", strength=0.0))


def timed(phases: dict[str, Phase], epochs: int) -> dict[str, list[float]]:
    "Seconds of the processor for each epoch of each phase, in turn"
    seconds = {name: [] for name in phases}
    for epoch in range(epochs):
        for name, phase in phases.items():
            begun = time.process_time()
            phase.next_epoch()
            seconds[name].append(time.process_time() - begun)
        print(f"epoch {epoch + 1} of {epochs}: " + ", ".join(f"{name} {each[-1]:.2f} s" for name, each in seconds.items()), flush=True)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neurons", type=int, default=1024)
    parser.add_argument("--batches", type=int, default=10, help="of an epoch")
    given = parser.parse_args()
    torch.set_num_threads(1)
    tasks = {f"{schedule}, {products}": task(given.neurons, given.batches, schedule, products) for schedule in SCHEDULES for products in ("auto", "off")}
    phases, epochs = {name: Phase(one) for name, one in tasks.items()}, next(iter(tasks.values())).config.epochs
    seconds = timed(phases, epochs)
    left = tensors_of(phases["cubic, auto"])
    seconds |= timed({f"ticket, {products}": Phase(tasks[f"cubic, {products}"], "lottery", left) for products in ("auto", "off")}, epochs)
    settings = {"neurons": given.neurons, "batches": given.batches, "epochs": epochs, "machine": platform.machine()}
    DATA.write_text(json.dumps({"settings": settings, "seconds": seconds}, indent=1) + "\n", encoding="utf-8")
    for name in (*SCHEDULES, "ticket"):
        print(f"{name}: {sum(seconds[f'{name}, off']) / sum(seconds[f'{name}, auto']):.2f} times as fast as with dense products")


if __name__ == "__main__":
    main()
