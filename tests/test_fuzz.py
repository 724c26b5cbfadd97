"""Every public function answers to a spoiled argument with words, or with a right result; `tests/fuzz.py` says how."""

import fuzz
import pytest
import recipes

EXEMPT = {  # public names that are not called with arguments of people's own
    "geometry.arguments": ("ArgumentError", "Fault", "Described", "raise_fault", "check", "checked"),  # the checks themselves
    "layers.kernels": ("",),  # loops that numba compiles, called by layers.sparse alone
    "layers.recurrent": ("ElmanFunction",),  # called by autograd
    "layers.sparse": ("SparseLinearFunction", "SparseElmanFunction"),
}


def exempt(name: str) -> bool:
    home = next((home for home in EXEMPT if name.startswith(f"{home}.")), None)
    return home is not None and any(one in ("", name.removeprefix(f"{home}.").partition(".")[0]) for one in EXEMPT[home])


SAMPLE = ["geometry.manifolds.Torus", "geometry.manifolds.Sphere", "geometry.inhibitors.Gaussian", "layers.recurrent.Linear", "layers.recurrent.RNN", "layers.recurrent.ElmanWeights",
          "sparsity.regularizer.equal_pull", "sparsity.regularizer.ramp", "sparsity.weights.Layout", "tasks.adding.samples", "tasks.speech.deal"]


def test_all_that_is_public_has_a_right_call():
    "Of the wings of geometry, layers and sparsity"
    missing = {name for name in fuzz.public() if name not in recipes.RECIPES and not exempt(name) and name.startswith(("geometry", "layers", "sparsity"))}
    abstract = {"geometry.inhibitors.Inhibitor", "geometry.manifolds.Manifold", "sparsity.pruning.Sparsifier", "sparsity.rivals.Rewiring"}
    assert missing <= abstract, f"write a right call of each in tests/recipes.py: {sorted(missing - abstract)}"


@pytest.mark.parametrize("name", SAMPLE)
def test_a_bad_argument_is_named(name):
    "No answer from deep inside, no wrong type that is taken, no number that is none, and nothing that takes long"
    findings = list(fuzz.calls(name, recipes.RECIPES[name]))
    assert len(findings) > 5
    assert not [finding for finding in findings if finding.answer.kind in set(fuzz.FAULTS) - {"slow"}]


@pytest.mark.slow
def test_every_bad_argument(tmp_path, monkeypatch):
    "All of them, counted; the counts are printed"
    monkeypatch.chdir(tmp_path)  # some are names of files that are written
    public, findings = fuzz.public(), []
    for name, recipe in recipes.RECIPES.items():
        if name in public:
            findings += fuzz.calls(name, recipe)
    print(fuzz.table(findings), f"in {len(findings)} calls")
    assert sum(finding.answer.kind == "clear" for finding in findings) > len(findings) / 3
