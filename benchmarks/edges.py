"""What a layer of edges costs: `python benchmarks/edges.py` writes modreg/data/edges.json.

Each size runs in a process of its own, so that its peak memory is its own. As in bench.py, freed memory is kept: the C library would
hand blocks of more than 32 MB back after each use, so that large layers, and they alone, would wait for their pages in each step.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch
from timing import keep_freed_memory

DATA = Path(__file__).resolve().parent.parent / "modreg" / "data" / "edges.json"
SIZES = 12_500, 25_000, 50_000, 100_000
PARTNERS, STEPS, BATCH = 100, 10, 32


def peak() -> float:
    "Most memory that this process has had, MB"
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def train(layer, rounds: int = 7) -> float:
    "Seconds of the least disturbed of some steps of training with Adam"
    optimizer, x, times = torch.optim.Adam(layer.parameters(), lr=1e-3), torch.randn(STEPS, BATCH, 2), []
    for _ in range(rounds):
        begun = time.perf_counter()
        optimizer.zero_grad()
        layer(x)[1].square().mean().backward()
        optimizer.step()
        times.append(time.perf_counter() - begun)
    return min(times)


def measure(neurons: int) -> dict:
    "Seconds and memory of one size"
    from modreg import Torus
    from modreg.layers.edges import EdgeRNN, geometric_edges
    from modreg.layers.sparse import geometric_blocks

    g = torch.Generator().manual_seed(0)
    train(EdgeRNN(2, 64, torch.arange(64).expand(2, -1), "relu", generator=g))  # kernels are compiled, libraries loaded
    points = Torus().sample(neurons, g)
    points = points[geometric_blocks(points, 16).argsort(stable=True)]
    empty, begun = peak(), time.perf_counter()
    edges, _ = geometric_edges("torus", points, "difference_of_gaussians", PARTNERS)
    found, searched = time.perf_counter() - begun, peak()
    step = train(EdgeRNN(2, neurons, edges, "relu", generator=g))
    memory = peak() - empty
    shuffled = train(EdgeRNN(2, neurons, torch.randperm(neurons, generator=g)[edges], "relu", generator=g))
    return {"neurons": neurons, "edges": edges.shape[1], "edges_s": found, "search_mb": searched - empty, "memory_mb": memory, "step_s": step, "shuffled_s": shuffled}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--neurons", type=int, help="measure one size and print it")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.neurons:
        print(json.dumps(measure(arguments.neurons)))
        return
    rows = []
    for neurons in SIZES:
        command = [sys.executable, __file__, "--neurons", str(neurons), "--threads", str(arguments.threads)]
        rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
    settings = {"partners": PARTNERS, "steps": STEPS, "batch": BATCH, "threads": arguments.threads, "machine": platform.machine()}
    DATA.write_text(json.dumps({"settings": settings, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    keep_freed_memory()
    main()
