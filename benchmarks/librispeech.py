"""Does the speech network learn from real utterances of LibriSpeech, decoded as they come?

    python benchmarks/librispeech.py

One dense network of the small scale for a few epochs of short length. The loss on training batches, the time, and the most memory that the
process used go to modreg/data/librispeech.json.
"""

import json
import resource
import time
from pathlib import Path

from modreg.tasks.speech import Speech, SpeechConfig
from modreg.lab.training import fit

RESULTS = Path(__file__).parent.parent / "modreg" / "data" / "librispeech.json"


def main():
    """Train, and write a line for each epoch."""
    task = Speech(SpeechConfig(scale="small", device="cpu", data="librispeech", penalty="none", strength=0.0, sparsity=0.0, lottery=False, seeds=1, seed=200,
                               batch=8, batches=25, epochs=6, lr=1e-3, tested=20, out="build/runs"))
    start = time.perf_counter()
    run = fit(task, progress=False)
    shared = {"utterances": len(task.train), "too_short": [u.name for u in task.too_short], "seconds": time.perf_counter() - start,
              "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    rows = [{"epoch": line["epoch"], "loss": line["loss"][0], "cer": line["cer"][0], **shared} for line in run.history]
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    print(json.dumps(rows[-1]))


if __name__ == "__main__":
    main()
