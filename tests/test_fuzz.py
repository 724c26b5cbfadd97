"""Every public function answers to a spoiled argument with words, or with a right result; `tests/fuzz.py` says how."""

import fuzz
import pytest
import recipes
import recipes_lab  # noqa: F401 - more of them

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
