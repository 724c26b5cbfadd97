"""All conditions of a task on equal terms, at its small scale.

    python benchmarks/conditions.py navigation                                  # none, l1, shuffled, torus, sphere, klein
    python benchmarks/conditions.py navigation torus l1 -p init paper           # these, with another setting
    python benchmarks/conditions.py adding -p sparsity 0.95 --strengths 1e-4 1e-3 1e-2

Each condition's strength is chosen on seed 100 from the same grid, and its results are those of seeds 0 to 2. Each run is a folder under
build/runs, so that an interrupted call goes on where it was. Rows go to modreg/data/TASK_small.json as they come, and the chapter shows them.
"""

import argparse
import ast
import importlib
import json
from pathlib import Path

from modreg.lab.experiments import CONDITIONS, study
from modreg.lab.training import Task

USUAL = ("none", "l1", "shuffled", "torus", "sphere", "klein")
DATA = Path(__file__).parent.parent / "modreg" / "data"


def find_task(name: str) -> type[Task]:
    """The task class of the module `modreg.NAME`."""
    module = importlib.import_module(f"modreg.{name}")
    return next(t for t in vars(module).values() if isinstance(t, type) and issubclass(t, Task) and t.Config.task == name)


def value(text: str):
    """A number or a truth value where `text` is one, else `text`."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def keep(name: str, row: dict, *key: str) -> None:
    """Put `row` into the results `name`, in the place of the one that agrees with it in all of `key`, or at the end; and print it."""
    path = DATA / f"{name}.json"
    rows = json.loads(path.read_text()) if path.exists() else []
    same = [k for k, old in enumerate(rows) if all(old.get(part) == row.get(part) for part in key)]
    rows[same[0] if same else len(rows):] = [row, *rows[same[0] + 1:]] if same else [row]
    path.write_text(json.dumps(rows, indent=1) + "\n")
    print(json.dumps(row), flush=True)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task")
    parser.add_argument("conditions", nargs="*", help=f"of {', '.join(CONDITIONS)}; if none is named: {', '.join(USUAL)}")
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="a setting that differs from the small scale's")
    parser.add_argument("--strengths", nargs="+", type=float, default=[1e-3, 1e-2, 1e-1], help="the grid of λ")
    parser.add_argument("--selection", type=int, default=100, help="the seed on which λ is chosen")
    return parser.parse_intermixed_args()


def main():
    """Study the conditions in turn, replacing their rows in the results."""
    args = arguments()
    task, setting = find_task(args.task), {name: value(text) for name, text in args.p}
    config = task.Config(scale="small", device="cpu", out="build/runs", **setting)
    for name in args.conditions or USUAL:
        row = {"setting": setting} | study(task, config, name, tuple(args.strengths), args.selection)
        keep(f"{args.task}_small", row, "setting", "condition")


if __name__ == "__main__":
    main()
