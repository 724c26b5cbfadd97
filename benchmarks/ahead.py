"""Does it pay on a processor to draw the next paths in a thread while the network trains?

    python benchmarks/ahead.py

Whole epochs of navigation, with such a thread and without, interleaved; rows go to modreg/data/ahead.json, and the chapter `navigation` shows them.
"""

import json
from functools import partial
from pathlib import Path

from rows import FULL, epochs_of, navigation_config
from timing import Call, Side, available_cores, quartiles, run

from modreg.lab.training import Phase, prefetch
from modreg.tasks.navigation import Navigation

RESULTS = Path(__file__).parent.parent / "modreg" / "data" / "ahead.json"


class NavigationAhead(Navigation):
    """Navigation whose next batch is drawn by a thread."""

    def batches(self, generators):
        return prefetch(super().batches(generators))


def epochs(task: type[Navigation], hidden: int, batches: int) -> Call:
    """An epoch of training."""
    return epochs_of(Phase(task(navigation_config(hidden, FULL, batches))))


def main():
    """Measure small networks, whose data weigh most, on one thread and on two."""
    rows = []
    for hidden, batches in ((256, 25), (512, 25)):
        for threads in (1, 2):
            times, _ = run({name: Side(partial(epochs, task, hidden, batches)) for name, task in (("alone", Navigation), ("ahead", NavigationAhead))}, threads, (5, 9), 60)
            gain = [a / b for a, b in zip(times["alone"], times["ahead"], strict=True)]
            rows.append({"hidden": hidden, "threads": threads, "cores": available_cores(), "rounds": len(gain), "gain": quartiles(gain)})
            RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
            print(json.dumps(rows[-1]), flush=True)


if __name__ == "__main__":
    main()
