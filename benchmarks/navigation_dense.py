"""How the small scale of navigation was chosen: dense networks without a penalty, one setting changed at a time.

    python benchmarks/navigation_dense.py

The seed is none of those that are reported elsewhere. Results go to modreg/data/navigation_dense.json as they come.
"""

import json
from dataclasses import replace
from pathlib import Path

from modreg.navigation import Navigation, NavigationConfig
from modreg.training import fit

RESULTS = Path(__file__).parent.parent / "modreg" / "data" / "navigation_dense.json"
BASE = NavigationConfig(scale="small", device="cpu", out="build/runs", control="none", strength=0.0, sparsity=0.0, lottery=False,
                        seed=200, seeds=1)
VARIANTS = [{}, {"lr": 2e-4}, {"lr": 1e-3}, {"init": "paper"}, {"inputs": "raw"}, {"steps": 10}]


def main():
    """Train every variant, writing what is known after each."""
    rows = []
    for change in VARIANTS:
        config = replace(BASE, **change)
        result = fit(Navigation(config), progress=False).result
        rows.append({"change": change, "error": result["phases"]["train"]["error"][0], "seconds": result["seconds"], **Navigation(config).limits()})
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
        print(json.dumps(rows[-1]), flush=True)


if __name__ == "__main__":
    main()
