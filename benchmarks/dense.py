"""How a task's small scale was chosen: dense networks without a penalty, one change a row.

    python benchmarks/dense.py navigation lr=2e-4 lr=1e-3 init=paper inputs=raw steps=10
    python benchmarks/dense.py adding lr=1e-3,hidden=256

The first row changes nothing. The seed, 200, is none of those that are reported elsewhere. Rows go to modreg/data/TASK_dense.json as they come.
"""

import json
import sys
from dataclasses import replace

from conditions import DATA, find_task, value

from modreg.lab.training import fit


def main(name: str, *changes: str):
    """Train every variant, writing what is known after each."""
    task, rows = find_task(name), []
    base = task.Config(scale="small", device="cpu", out="build/runs", penalty="none", strength=0.0, sparsity=0.0, lottery=False, seed=200, seeds=1)
    for change in [{}, *({k: value(v) for k, v in (pair.split("=") for pair in text.split(","))} for text in changes)]:
        config = replace(base, **change)
        result = fit(task(config), progress=False).result
        rows.append({"change": change, task.metric: result["phases"]["train"][task.metric][0], "seconds": result["seconds"], **task(config).limits()})
        (DATA / f"{name}_dense.json").write_text(json.dumps(rows, indent=1) + "\n")
        print(json.dumps(rows[-1]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
