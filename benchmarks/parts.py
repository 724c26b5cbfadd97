"""Where the time of a run goes: `python benchmarks/parts.py` writes modreg/data/parts.json.

The phase `train` of each task at its small scale, one seed, the task's own manifold, to the sparsity of the scale; the times of its parts are taken while it runs.
One thread; seconds are those of the processor, which others' programs do not lengthen much.
"""

import argparse
import functools
import json
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from modreg.lab.studies import find_task
from modreg.lab.training import Phase, metrics_of

DATA = Path(__file__).resolve().parent.parent / "modreg" / "data" / "parts.json"
TASKS = "navigation", "adding", "language", "speech", "head_direction"
MOMENTS = "before_epoch", "before_step", "after_backward", "after_step", "after_epoch"
PARTS = {"Penalize": "penalty", "Sparsify": "masks", "SparseProducts": "choosing products", "Clip": "clipping", "LearningRate": "optimizer", "StopDiverged": "watching"}


class Watch:
    "Seconds by part; of parts within parts the inner one counts"

    def __init__(self):
        self.seconds: Counter[str] = Counter()
        self.inner = 0.0  # seconds of parts that have ended within the one that runs

    def around(self, part: str, function: Callable) -> Callable:
        "The same function, its time counted"

        @functools.wraps(function)
        def timed(*args, **kwargs):
            before, self.inner, begun = self.inner, 0.0, time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                took = time.process_time() - begun
                self.seconds[part] += took - self.inner
                self.inner = before + took

        return timed

    def items(self, part: str, made: Iterable[Any]) -> Iterator[Any]:
        "The same items; the time to make each is counted"
        iterator, end = iter(made), object()
        while (item := self.around(part, lambda: next(iterator, end))()) is not end:
            yield item


def watched(phase: Phase) -> Watch:
    "A phase whose parts are timed from now on"
    watch, batches = Watch(), phase.task.batches
    phase.task.batches = lambda generators: watch.items("data", batches(generators))
    phase.loss, phase.optimizer.step = watch.around("forward", phase.loss), watch.around("optimizer", phase.optimizer.step)
    for callback in phase.callbacks:
        for moment in MOMENTS:
            setattr(callback, moment, watch.around(PARTS[type(callback).__name__], getattr(callback, moment)))
    return watch


def measure(name: str) -> dict[str, Any]:
    "Seconds by part of one task's run"
    kind = find_task(name)
    phase = Phase(kind(kind.Config(scale="small", device="cpu", seeds=1, lottery=False)))
    watch = watched(phase)
    evaluate, begun = watch.around("evaluation", metrics_of), time.process_time()
    with patch.object(torch.Tensor, "backward", watch.around("backward", torch.Tensor.backward)):
        while phase.epochs < phase.task.config.epochs:
            phase.next_epoch()
            evaluate(phase)
    total = time.process_time() - begun
    return {"task": name, "total": total, "seconds": dict(watch.seconds.most_common()) | {"the rest": total - watch.seconds.total()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", default=TASKS, help=f"some of: {', '.join(TASKS)}")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = {row["task"]: row for row in (json.loads(DATA.read_text(encoding="utf-8"))["rows"] if DATA.exists() else [])}
    for name in given.tasks:
        rows[name] = measure(name)
        print(f"{name}: {rows[name]['total']:.0f} s, " + ", ".join(f"{part} {seconds / rows[name]['total']:.1%}" for part, seconds in rows[name]["seconds"].items()), flush=True)
        DATA.write_text(json.dumps({"machine": platform.machine(), "rows": [rows[name] for name in TASKS if name in rows]}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
