"""Each experiment starts and steps at the paper's scale, headless, in its own chapter; with fewer batches and seeds, since all of them take days."""

import os

import pytest
from headless import run

FEW = {
    "navigation": {"batch": 4},
    "adding": {},
    "language": {"held_out": 2000},
    "speech": {"batch": 2, "tested": 4},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FEW)
def test_starts_and_steps_at_the_papers_scale(name, tmp_path):
    if name in ("language", "speech") and not os.environ.get("MODREG_DATA"):
        pytest.skip("needs WikiText-2 and LibriSpeech in MODREG_DATA")
    results = run(name, tmp_path, scale="paper", batches=2, epochs=1, seeds=1, lottery=False, twins="plain", **FEW[name])
    assert len(results) == 2  # dense without a penalty, and pruned
    for result in results.values():
        assert result["phases"]["train"]["loss"][0] is not None
