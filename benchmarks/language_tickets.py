"""Why do lottery tickets of the language task stay at the unigram model's perplexity? Two suspects, each alone and both together.

    python benchmarks/language_tickets.py

The tickets are those of the small scale without a penalty at 90 % zeros, seeds 0 to 2. They are trained with and without annealing, from weights as they are
drawn and from weights that are divided by the root of the share that each mask left, so that a neuron's input is as large as in a dense network. Rows go to
modreg/data/language_tickets.json.
"""

import json
from dataclasses import replace

import torch
from conditions import DATA
from tqdm import tqdm

from modreg.tasks.language import Language, LanguageConfig
from modreg.lab.training import Phase, _epoch, fit


@torch.no_grad()
def rescale(model: torch.nn.Module, masks: dict[str, torch.Tensor]) -> None:
    """Divide each seed's weights by the root of the share of them that is left."""
    weights = dict(model.named_parameters())
    for name, mask in masks.items():
        weights[name].div_(mask.float().mean((-2, -1), keepdim=True).sqrt())


def ticket(task: Language, tensors: dict[str, torch.Tensor], rescaled: bool) -> dict:
    """Train the tickets once; their perplexities after each epoch, and the rates that they end with."""
    phase, curve = Phase(task, "lottery", tensors), []
    if rescaled:
        rescale(phase.model, phase.pruner.masks)
    for epoch in range(task.config.epochs):
        _epoch(phase, epoch, tqdm(disable=True))
        phase.model.eval()
        metrics = {name: value.tolist() for name, value in task.evaluate(phase.model).items()}
        phase.scheduler.observe(metrics)
        curve.append(metrics["perplexity"])
    return {"anneal": task.config.anneal, "rescaled": rescaled, "perplexity": curve, "rates": phase.optimizer.param_groups[0]["rates"].tolist()}


def main():
    """All four combinations."""
    config = LanguageConfig(scale="small", device="cpu", out="build/runs", penalty="none", strength=0.0, sparsity=0.9)
    tensors, rows = fit(Language(config), progress=False).weights(), []
    for anneal in (config.anneal, 1.0):
        for rescaled in (False, True):
            rows.append(ticket(Language(replace(config, anneal=anneal)), tensors, rescaled))
            (DATA / "language_tickets.json").write_text(json.dumps(rows, indent=1) + "\n")
            print(json.dumps(rows[-1]), flush=True)


if __name__ == "__main__":
    main()
