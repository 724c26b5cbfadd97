"""Does geometry pay when whole blocks of weights are pruned? Single weights, blocks of neighbours, blocks of neurons at random.

    python benchmarks/blocks.py head_direction --condition circle -p hidden 256
    python benchmarks/blocks.py navigation --condition torus -p batches 60

All are pruned to the same sparsity. Each way to prune chooses its strength on seed 100 from the same grid, and its results are those of the
reported seeds. Rows go to modreg/data/blocks.json as they come, and the chapter `sparse` shows them.
"""

import argparse
from dataclasses import replace

from conditions import find_task, keep, value

from modreg.lab.experiments import CONDITIONS, recurrent_weights, study
from modreg.layers.sparse import filled_blocks, geometric_blocks
from modreg.lab.training import Config, Task, fit


def ways(sizes: list[int]) -> list[dict]:
    """Settings of single weights, and of blocks of each size in both orders."""
    return [{}, *({"block": size, "order": order} for size in sizes for order in ("geometric", "random"))]


def filled(task: type[Task], config: Config) -> list[float]:
    """Share of 16 × 16 blocks of neighbours that hold a weight, for each seed."""
    experiment, shares = task(config), []
    run = fit(experiment, progress=False)
    for seed in range(config.seeds):
        _, weight, places = recurrent_weights(experiment, run, seed)[0]
        shares.append(filled_blocks(weight, geometric_blocks(places, 16)))
    return shares


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task")
    parser.add_argument("--condition", default="torus", help=f"of {', '.join(CONDITIONS)}")
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="a setting that differs from the small scale's")
    parser.add_argument("--sizes", nargs="+", type=int, default=[8, 16], help="neurons in a group")
    parser.add_argument("--strengths", nargs="+", type=float, default=[1e-3, 1e-2, 1e-1], help="the grid of λ")
    args = parser.parse_args()
    task, setting = find_task(args.task), {name: value(text) for name, text in args.p}
    base = task.Config(scale="small", device="cpu", out="build/runs", lottery=False, **setting)
    for way in ways(args.sizes):
        config = replace(base, **way)
        row = {"task": args.task, "condition": args.condition, "setting": setting, "block": None, "order": None} | way
        row |= study(task, config, args.condition, tuple(args.strengths))
        chosen = replace(config, strength=row["strength"], **CONDITIONS[args.condition])
        row |= {"filled": filled(task, chosen), "sparsity": config.sparsity, "hidden": config.hidden, "metric": task.label}
        keep("blocks", row, "task", "condition", "setting", "block", "order")


if __name__ == "__main__":
    main()
