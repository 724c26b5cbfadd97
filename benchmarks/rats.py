"""Every condition from dense to sparse: errors on real rats' paths, and grid cells.

    python benchmarks/rats.py                     # trains what is not there yet, three seeds each, then looks at all of it
    python benchmarks/rats.py --sparsity 0.9      # these sparsities alone; the rows of the others stay

The runs are those of the small scale of navigation at strength 0.1, which is what every penalty chose there from the identity start. Each is a
folder under build/runs. Rows go to modreg/data/rats_small.json and gridcells_small.json as they come; the chapters `rats` and `gridcells` show
them. The recordings are found through the environment variable MODREG_DATA.
"""

import argparse
from dataclasses import replace

import torch
from conditions import keep

from modreg.lab.experiments import CONDITIONS, load_model, recurrent_weights
from modreg.analysis.gridcells import judge, network_maps
from modreg.geometry.manifolds import manifold
from modreg.tasks.navigation import Navigation, NavigationConfig, paths
from modreg.tasks.rats import RATS, errors_along, limits_along, load_recording, walks_of
from modreg.lab.training import fit

STRENGTH = 0.1
GRID_CELLS = (0.0, 0.9)  # sparsities whose neurons are judged


def look(config: NavigationConfig, condition: str | None) -> None:
    """Rows of one run, or, without a condition, of the limits and of the untrained network."""
    task = Navigation(config)
    walks = {"simulated": paths(1000, config.steps, torch.Generator().manual_seed(3)), **walks_of({name: load_recording(name) for name in RATS}, config.steps)}
    if condition is None:
        model, run = task.model(task.generators("weights", "train")), None
        limits = {name: limits_along(task, walk) for name, walk in walks.items()}
        for limit in ("standing still", "true activity"):
            keep("rats_small", {"limit": limit, "error": {name: found[limit].mean().item() for name, found in limits.items()}}, "limit", "condition")
        places = torch.stack([manifold("torus").sample(config.hidden, g) for g in task.generators("embedding", 0)])
        label = {"condition": "untrained"}
    else:
        run = fit(task, progress=False)
        model = load_model(task, run)
        places = torch.stack([recurrent_weights(task, run, k)[0][2] for k in range(config.seeds)])
        label = {"condition": condition, "sparsity": config.sparsity}
        errors = {name: errors_along(task, model, walk).mean(1).tolist() for name, walk in walks.items()}
        keep("rats_small", {**label, "error": errors}, "limit", "condition", "sparsity")
    if condition is None or config.sparsity in GRID_CELLS:
        found = judge(network_maps(task, model), manifold(config.manifold).distance(places), torch.Generator().manual_seed(0))
        keep("gridcells_small", {**label, **found}, "condition", "sparsity")


def main():
    """Look at every condition at every sparsity."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sparsity", nargs="+", type=float, default=[0.0, 0.5, 0.75, 0.9])
    base = NavigationConfig(scale="small", device="cpu", out="build/runs", strength=STRENGTH, lottery=False)
    look(base, None)
    for sparsity in parser.parse_args().sparsity:
        for name, options in CONDITIONS.items():
            look(replace(base, sparsity=sparsity, **options), name)


if __name__ == "__main__":
    main()
