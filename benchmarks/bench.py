"""Time ours beside the published formulation, a plain good one and the floor; print one table.

    python benchmarks/bench.py                   # all rows, all growth curves
    python benchmarks/bench.py masks penalty     # rows of these names alone; `arena` is the table of sparse products beside their rivals
    python benchmarks/bench.py --write           # also keep the results in modreg/data/bench.json, which the chapter `speed` shows

Each side of a row lives in a process of its own, with as many threads as it is given, and is called in turn with the others, round after
round, so that a machine which slows down is slow for all; a ratio is taken within a round. Rounds in which other programs took more than a
twentieth of the machine do not count, as long as enough others are left (on Linux, which tells). What is reported is the median over rounds,
with quartiles. Memory is the peak of a side's first call above what it held before that call.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import arena
import rows
import torch._dynamo  # noqa: F401
from timing import SECONDS, SIDES, keep_freed_memory, machine, measure, measure_curve

from modreg.lab.files import rounded

RESULTS = Path(__file__).parent.parent / "modreg" / "data" / "bench.json"


# --- the table ---------------------------------------------------------------------------------------------------------

HEAD = ("row", "size", "cores", *SIDES, "× published", "× plain", "over floor", "MB ours/published/plain", "target")


def cells(result: dict) -> list[str]:
    "One line of the table"
    scale = {"s": 1, "ms": 1e3, "µs": 1e6}[result["unit"]]

    def timing(name):
        if name not in result["seconds"]:
            return "–"
        middle, low, high = (f"{scale * s:.0f}" if scale * s >= 100 else f"{scale * s:#.3g}" for s in result["seconds"][name])
        return f"{middle} ({low}–{high}) {result['unit']}"

    def ratio(name):
        if name not in result["ratios"]:
            return "–"
        middle, low, high = result["ratios"][name]
        return f"{middle:.2f} ({low:.2f}–{high:.2f})"

    memory = "/".join(f"{result['memory'][name]:.0f}" if name in result["memory"] else "–" for name in ("ours", "published", "plain"))
    return [result["name"], result["size"], str(result["cores"]), *map(timing, SIDES), ratio("published"), ratio("plain"), ratio("floor"),
            memory, "; ".join(result["verdicts"]) or "–"]


def line(words: list[str]) -> str:
    return f"| {' | '.join(words)} |"


def print_growth(result: dict) -> None:
    sides = "; ".join(f"{name} {side['exponent']:.2f}" for name, side in result["sides"].items())
    sizes = next(iter(result["sides"].values()))["sizes"]
    print(line([result["name"], result["axis"], f"{min(sizes):g}–{max(sizes):g}", sides]), flush=True)


def write(results: list[dict], growth: list[dict], facts: dict, order: list[tuple], whole: bool = True, path: Path = RESULTS, rivals: list[dict] | None = None) -> None:
    """Keep results in the table's order, in place of older ones of the same rows and curves; what is in the table no more is dropped

    The machine's facts are those of the last run of the whole table.
    """
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"rows": [], "growth": []}

    def merged(old, new, names):
        found = {tuple(result[name] for name in names): result for result in [*old, *new]}
        return sorted((result for key, result in found.items() if key[:2] in order), key=lambda r: (order.index((r[names[0]], r[names[1]])), r["cores"]))

    kept = {"machine": facts if whole else old.get("machine", facts), "rows": merged(old["rows"], results, ("name", "size", "cores")), "growth": merged(old["growth"], growth, ("name", "axis", "cores"))}
    kept["arena"] = rivals or old.get("arena", [])
    path.write_text(json.dumps(rounded(kept, 4), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main(arguments: list[str]) -> None:
    table, curves = rows.table(rows.FULL), rows.curves(rows.FULL)
    names = list(dict.fromkeys([*(row.name for row in table), "arena", *("growth" for _ in curves[:1])]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"some of: {', '.join(names)}")
    parser.add_argument("--cores", type=int, choices=(1, 2), help="only on one core, or only on two")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="time for the rounds of a row")
    parser.add_argument("--write", action="store_true", help="keep the results for the chapter `speed`")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(names):
        parser.error(f"{', '.join(sorted(unknown))}: there is no such row; there are {', '.join(names)}")
    chosen = set(options.names or names)
    start, facts = time.perf_counter(), machine()
    print(", ".join(f"{name}: {value}" for name, value in facts.items()), "\n")
    print(line(HEAD), line(["---"] * len(HEAD)), sep="\n", flush=True)
    results, growth, rivals = [], [], []
    for row in table:
        for cores in row.threads:
            if row.name in chosen and options.cores in (None, cores):
                results.append(measure(row, cores, seconds=options.seconds))
                print(line(cells(results[-1])), flush=True)
    if "arena" in chosen:
        print("", line(arena.HEAD), line(["---"] * len(arena.HEAD)), sep="\n", flush=True)
        for cell in arena.cells():
            if options.cores in (None, cell.threads):
                rivals.append(arena.measure(cell))
                print(line(arena.words(rivals[-1])), flush=True)
        print(arena.on_gpu())
        for rival, reason in {name: reason for result in rivals for name, reason in result["missing"].items()}.items():
            print(f"{rival} is left out where it could not be had: {reason}")
    if "growth" in chosen:
        print("", line(["growth of", "with", "from–to", "fitted exponents"]), line(["---"] * 4), sep="\n", flush=True)
        for curve in curves:
            growth.append(measure_curve(curve, 1, seconds=options.seconds))
            print_growth(growth[-1])
    print(f"\n{time.perf_counter() - start:.0f} s in all")
    if options.write:
        write(results, growth, facts, [(row.name, row.size) for row in table] + [(curve.name, curve.axis) for curve in curves], chosen == set(names) and options.cores is None, rivals=rivals)


if __name__ == "__main__":
    keep_freed_memory()
    main(sys.argv[1:])
