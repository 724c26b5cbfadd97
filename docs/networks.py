"""Trained networks that pages show.

    python docs/networks.py          # those of the figures of the chapter `explore`
    python docs/networks.py pages    # those of the experiments' pages, into docs/trained; what is complete in build/runs is taken from there

The first are networks of one seed each. Three are pruned step by step to 98 % zeros, under the prices of the torus, the same prices dealt out at random, and none:
kept are the epoch after which each recurrent weight fell and how large the error was then. A dense one, trained on long paths, is run by the page itself.
Results go to modreg/data/explore.json.
"""

import base64
import json
import shutil
import sys
import tempfile
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

import docs  # it finds the package, too

from modreg.lab.experiments import load_model
from modreg.lab.training import Callback, fit
from modreg.tasks.navigation import DT, SPEED, Navigation, NavigationConfig

RESULTS = docs.ROOT / "modreg" / "data" / "explore.json"
SHARED = dict(scale="small", device="cpu", seeds=1, seed=300, lottery=False, epochs=30, sparse_products="off")


class Survivals(Callback):
    """Counts for each recurrent weight the epochs that it survives."""

    survived = 0

    def after_epoch(self, trainer):
        self.survived = self.survived + (trainer.model.rnn.weight_hh_l0[0] != 0).int()


def packed(tensor: torch.Tensor) -> str:
    """Bytes of a tensor in base64."""
    return base64.b64encode(tensor.detach().cpu().contiguous().numpy().tobytes()).decode()


def pruned(out: str) -> dict:
    """When each recurrent weight of a network was pruned under each of three penalties, and what the network could do then."""
    networks = {}
    for penalty in ("moduli", "shuffled", "none"):
        task, survivals = Navigation(NavigationConfig(**SHARED, out=out, manifold="torus", penalty=penalty, strength=0.1 * (penalty != "none"), sparsity=0.98, batches=150)), Survivals()
        run = fit(task, progress=False, callbacks=[survivals])
        networks[penalty] = {"survived": packed(survivals.survived.to(torch.uint8)), "error": [line["error"][0] for line in run.history]}
        if penalty == "moduli":
            shared = {"places": packed(run.weights()["regularizer.0.embedding"][0].half()), "sparsity": [line["sparsity"][0] for line in run.history]}
    return {"neurons": task.config.hidden, **shared, "limits": task.limits(), "networks": networks}


def dense(out: str) -> dict:
    """Weights of a dense network that integrates long paths."""
    task = Navigation(NavigationConfig(**SHARED, out=out, penalty="none", strength=0.0, sparsity=0.0, hidden=192, place_cells=192, steps=60, batches=200))
    run = fit(task, progress=False)
    model = load_model(task, run)
    return {
        "neurons": task.config.hidden, "cells": task.config.place_cells, "dt": DT, "speed": SPEED, "scales": list(model.scales),
        "centres": packed(task.cells.centres[0]), "error": run.history[-1]["error"][0], "steps": task.config.steps, "limits": task.limits(),
        **{name: packed(value[0].half()) for name, value in model.named_parameters()},
    }


def of_pages():
    """Train what the experiments' pages show, if it was not trained before, and keep what makes a run complete."""
    for name in docs.pages.experiments():
        docs.execute(name, "small")
        for run in docs.shown(name):
            (docs.STORED / run.path.name).mkdir(parents=True, exist_ok=True)
            for file in ("config.json", "metrics.jsonl", "result.json", *(f"{phase}.safetensors" for phase in run.phases)):
                shutil.copy(run.path / file, docs.STORED / run.path.name)


def of_figures():
    """Train the networks and write what the figures need."""
    with tempfile.TemporaryDirectory() as out:
        RESULTS.write_text(json.dumps({"pruned": pruned(out), "dense": dense(out)}, indent=1) + "\n", encoding="utf-8")
    print({name: value["error"] for name, value in json.loads(RESULTS.read_text(encoding="utf-8")).items()})


if __name__ == "__main__":
    of_pages() if sys.argv[1:] == ["pages"] else of_figures()
