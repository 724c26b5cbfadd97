"""How long the dense network of the adding problem can wait: its error at several lengths, from both initializations.

    python benchmarks/adding_lengths.py

All else is as at the small scale, without a penalty. Each run is a folder under build/runs, so that an interrupted call goes on where it
was. Rows go to modreg/data/adding_lengths.json as they come, and the chapter shows them.
"""

import json

from conditions import DATA

from modreg.tasks.adding import Adding, AddingConfig
from modreg.lab.training import fit

LENGTHS = (10, 25, 50, 100, 200, 400)


def main():
    """Train both initializations at every length, writing what is known after each."""
    rows = []
    for init in ("identity", "paper"):
        for steps in LENGTHS:
            config = AddingConfig(scale="small", device="cpu", out="build/runs", penalty="none", strength=0.0, sparsity=0.0, lottery=False,
                                  init=init, steps=steps)
            rows.append({"init": init, "steps": steps, "rmse": fit(Adding(config), progress=False).result["phases"]["train"]["rmse"]})
            (DATA / "adding_lengths.json").write_text(json.dumps(rows, indent=1) + "\n")
            print(json.dumps(rows[-1]), flush=True)


if __name__ == "__main__":
    main()
