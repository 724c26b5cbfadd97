"""Trained networks for the figures of the chapter `explore`.

    python benchmarks/explore.py

Two networks of one seed each: one on the torus, pruned step by step to 98 % zeros, of which is kept after which epoch each recurrent weight
fell and how large the error was then; and a dense one, trained on long paths, that the page runs itself. Results go to
modreg/data/explore.json.
"""

import base64
import json
from pathlib import Path

import torch

from modreg.lab.experiments import load_model
from modreg.tasks.navigation import DT, SPEED, Navigation, NavigationConfig
from modreg.lab.training import fit

RESULTS = Path(__file__).parent.parent / "modreg" / "data" / "explore.json"
SHARED = dict(scale="small", device="cpu", out="build/runs", seeds=1, seed=300, lottery=False, epochs=30)


class Watched(Navigation):
    """Navigation that counts for each recurrent weight the epochs that it survives."""

    def evaluate(self, model):
        """As before; the counts are kept in `survived`."""
        alive = (model.rnn.weight_hh_l0[0] != 0).int()
        self.survived = getattr(self, "survived", 0) + alive
        return super().evaluate(model)


def packed(tensor: torch.Tensor) -> str:
    """Bytes of a tensor in base64."""
    return base64.b64encode(tensor.detach().cpu().contiguous().numpy().tobytes()).decode()


def pruned() -> dict:
    """When each recurrent weight of a network on the torus was pruned, and what the network could do then."""
    task = Watched(NavigationConfig(**SHARED, manifold="torus", strength=0.1, sparsity=0.98, batches=150))
    run = fit(task, progress=False)
    weights = run.weights()
    return {
        "neurons": task.config.hidden, "places": packed(weights["regularizer.0.embedding"][0].half()),
        "survived": packed(task.survived.to(torch.uint8)), "weights": packed(weights["rnn.weight_hh_l0"][0].half()),
        "sparsity": [line["sparsity"][0] for line in run.history], "error": [line["error"][0] for line in run.history],
        "limits": task.limits(),
    }


def dense() -> dict:
    """Weights of a dense network that integrates long paths."""
    task = Navigation(NavigationConfig(**SHARED, penalty="none", strength=0.0, sparsity=0.0, hidden=192, place_cells=192, steps=60, batches=200))
    run = fit(task, progress=False)
    model = load_model(task, run)
    return {
        "neurons": task.config.hidden, "cells": task.config.place_cells, "dt": DT, "speed": SPEED, "scales": list(model.scales),
        "centres": packed(task.cells.centres[0]), "error": run.history[-1]["error"][0], "steps": task.config.steps, "limits": task.limits(),
        **{name: packed(value[0].half()) for name, value in model.named_parameters()},
    }


def main():
    """Train both networks and write what the figures need."""
    RESULTS.write_text(json.dumps({"pruned": pruned(), "dense": dense()}, indent=1) + "\n")
    print({name: value["error"] for name, value in json.loads(RESULTS.read_text()).items()})


if __name__ == "__main__":
    main()
