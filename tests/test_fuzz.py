"""Every public function answers to a spoiled argument with words, or with a right result; `tests/fuzz.py` says how."""

import dataclasses
import itertools
import math
import time
from collections import Counter

import faults
import fuzz
import pytest
import recipes
import recipes_lab  # noqa: F401 - more of them

from modreg.lab.settings import ParameterError, from_parameters

WINGS = ("geometry", "layers", "sparsity", "lab", "tasks", "analysis", "book")

EXEMPT = {  # public names that are not called with arguments of people's own
    "analysis.topology": ("main",),  # a command that runs for an hour if it is told nothing
    "analysis.which_manifold": ("main",),
    "geometry.arguments": ("ArgumentError", "Fault", "Described", "Keywords", "raise_fault", "check", "checked", "shown", "test_of"),  # the checks themselves
    "lab.files": ("DamagedFile", "RunInUse"),  # errors
    "lab.settings": ("ParameterError",),
    "tasks.language": ("download_wikitext",),  # needs a network, and takes nothing
    "layers.kernels": ("",),  # loops that numba compiles, called by layers.sparse alone
    "layers.recurrent": ("ElmanFunction",),  # called by autograd
    "layers.sparse": ("SparseLinearFunction", "SparseElmanFunction"),
}
ABSTRACT = {"geometry.inhibitors.Inhibitor", "geometry.manifolds.Manifold", "sparsity.pruning.Sparsifier", "sparsity.rivals.Rewiring", "lab.training.Task", "lab.settings.Config",
            "geometry.finite.FiniteSpace.distance_vjp"}  # points that do not move have none


def exempt(name: str) -> bool:
    home = next((home for home in EXEMPT if name.startswith(f"{home}.")), None)
    return home is not None and any(one in ("", name.removeprefix(f"{home}.").partition(".")[0]) for one in EXEMPT[home])


def test_all_that_is_public_has_a_right_call():
    missing = {name for name in fuzz.public() if name not in recipes.RECIPES and not exempt(name)}
    assert missing <= ABSTRACT, f"write a right call of each in tests/recipes.py or tests/recipes_lab.py: {sorted(missing - ABSTRACT)}"


@pytest.mark.parametrize("wing", WINGS)
def test_a_sample_of_bad_arguments(wing, tmp_path, monkeypatch):
    "Of every ninth callable each sixth: no answer from deep inside, no wrong type that is taken, no number that is none"
    monkeypatch.chdir(tmp_path)
    names = sorted(name for name in recipes.RECIPES if name.startswith(wing))
    findings = [finding for name in names[len(wing) % 9 :: 9] for finding in fuzz.calls(name, recipes.RECIPES[name], every=6)]
    assert len(findings) > 10
    assert not [finding for finding in findings if finding.answer.kind in set(fuzz.FAULTS) - {"slow"}]  # how long a call takes, a machine that does other things does not tell


@pytest.mark.slow
@pytest.mark.parametrize("wing", WINGS)
def test_every_bad_argument(wing, tmp_path, monkeypatch):
    "All of them; the counts are printed"
    monkeypatch.chdir(tmp_path)  # some are names of files that are written
    findings = [finding for name, recipe in recipes.RECIPES.items() if name.startswith(wing) and not exempt(name) for finding in fuzz.calls(name, recipe)]
    print(wing, fuzz.table(findings), f"in {len(findings)} calls")
    assert not [finding for finding in findings if finding.answer.kind in fuzz.FAULTS]


# --- settings of a notebook ----------------------------------------------------------------------------------------------

TEXTS = ("", " ", "no", "none", "(", "torus(", "toruss", "nan", "-1", "\0", "True", "x" * 5000, "torus*", "*", "torus,", "torus(dim=0)", "torus(dim=1e9)", "torus(period=nan)", "torus(preiod=2)", "é",
         "cuda:99", "meta", "a/b", "Torus", "gaussian(0)", "ricker(s=-1)", "set(2)", "rigl(nan)", "geometric(-1)", "1e3", "klein(5)", "torus1000000", "torus0", "constant(inf)")
NUMBERS = (0, -1, 1, 3, 0.5, 1.5, -0.5, 0.0, 1e-300, 1e300, 1e30, math.nan, math.inf, -math.inf, 10**9, 2**63, 10**30, 0.99999, 1.0)
OTHERS = (True, False, None, [1], {}, (1, 2), "3", "0.1")


@pytest.mark.slow
@pytest.mark.parametrize("name", faults.TASKS)
def test_every_wrong_setting(name, tmp_path, monkeypatch):
    "Whatever stands in place of a setting is refused by its name within seconds, or is a setting"
    monkeypatch.chdir(tmp_path)
    right, counts, unclear = faults.task(name, tmp_path / "runs").config, Counter(), []
    for field, value in itertools.product((one.name for one in dataclasses.fields(right)), (*TEXTS, *NUMBERS, *OTHERS)):
        began = time.monotonic()
        try:
            from_parameters(type(right), {**vars(right), field: value})
            counts["taken"] += 1
        except ParameterError as error:
            counts["refused"] += 1
            if field not in str(error) or "Error" in str(error) or time.monotonic() - began > 2:
                unclear.append((field, str(value)[:40], str(error)[:200]))
    print(name, dict(counts), f"unclear: {len(unclear)}")
    assert not unclear and counts["refused"] > 10 * counts["taken"]
