"""Every public function answers to a spoiled argument with words, or with a right result; `tests/fuzz.py` says how."""

import fuzz
import recipes

EXEMPT = {  # public names that are not called with arguments of people's own
    "geometry.arguments": ("ArgumentError", "Fault", "Described", "raise_fault", "check", "checked"),  # the checks themselves
    "layers.kernels": ("Lanes", "Lanes.pieces", "single_rows", "blocks_of_four", "packed_panel", "add_product", "weight_gradients", "add_gradient", "compiled", "run_steps"),  # loops that numba compiles, called by layers.sparse alone
    "layers.recurrent": ("ElmanFunction", "ElmanFunction.forward", "ElmanFunction.backward"),  # called by autograd
    "layers.sparse": ("SparseLinearFunction", "SparseElmanFunction"),
}


def exempt(name: str) -> bool:
    home = next((home for home in EXEMPT if name.startswith(f"{home}.")), None)
    return home is not None and any(name.removeprefix(f"{home}.").partition(".")[0] == one.partition(".")[0] for one in EXEMPT[home])


def test_a_quarter_of_an_hour_is_not_needed_to_say_what_is_public():
    "There is a right call of what a user finds in the wings of geometry and sparsity"
    public = fuzz.public()
    missing = [name for name in public if name not in recipes.RECIPES and not exempt(name) and name.startswith(("geometry", "layers", "sparsity"))]
    abstract = {"geometry.inhibitors.Inhibitor", "geometry.manifolds.Manifold", "sparsity.pruning.Sparsifier", "sparsity.rivals.Rewiring"}
    assert set(missing) <= abstract, f"write a right call of each in tests/recipes.py: {sorted(set(missing) - abstract)}"
