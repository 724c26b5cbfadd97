"""A right call of every public function: its arguments by name, made anew each time. `tests/fuzz.py` spoils them one by one."""

import copy
import functools
import importlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz
import matplotlib

matplotlib.use("Agg")

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from modreg.book import explore
from modreg.geometry import arguments, finite, inhibitors, manifolds, products, specs
from modreg.lab import runs, settings, studies, training
from modreg.lab import trainer as trainers
from modreg.layers import edges, recurrent, sparse
from modreg.sparsity import fused, masks, penalties, pruning, regularizer, rivals, weights
from modreg.tasks import adding, head_direction, language, navigation, rats, sound, speech

Recipe = Callable[[], tuple[Callable, dict[str, Any]]]
RECIPES: dict[str, Recipe] = {}
FOLDER = Path(tempfile.mkdtemp(prefix="modreg-fuzz-"))


def forgetting(registry: specs.Registry) -> dict:
    "A register without the one bad name that it takes, since it is a word like any other"
    registry.makers.pop("nan", None)
    return {}


def recipe(name: str, make: Callable[[], dict[str, Any]]) -> None:
    "A function or a class by its name, such as `geometry.manifolds.wrap`"
    wing, module, *parts = name.split(".")
    RECIPES[name] = lambda: (functools.reduce(getattr, parts, importlib.import_module(f"modreg.{wing}.{module}")), make())


def method(name: str, thing: Callable[[], Any], make: Callable[[], dict[str, Any]] = dict) -> None:
    "A method of an object that is made anew; `geometry.manifolds.Torus.sample`"
    attribute = name.rpartition(".")[2]
    RECIPES[name] = lambda: (getattr(thing(), attribute), make())


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def streams(count: int = 2) -> list[torch.Generator]:
    return [seeded(k) for k in range(count)]


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=seeded(seed))


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=seeded(seed))


# --- geometry ----------------------------------------------------------------------------------------------------------

A = "geometry.arguments"
recipe(f"{A}.Within", lambda: dict(least=0.0, most=1.0))
method(f"{A}.Within.words", arguments.Within, lambda: dict(kind="a number"))
recipe(f"{A}.OneOf", lambda: dict(names=["a", "b"]))
recipe(f"{A}.Shape", lambda: dict(sides="n n", kind="float", finite=True))
recipe(f"{A}.OnDevice", lambda: dict(meta=False))
recipe(f"{A}.FloatingPoint", dict)
recipe(f"{A}.shown", lambda: dict(value=3))
recipe(f"{A}.nearest", lambda: dict(name="spere", names=["sphere", "torus"]))
recipe(f"{A}.readable", lambda: dict(x=rand(3)))
recipe(f"{A}.test_of", lambda: dict(kind=int))
recipe(f"{A}.check_memory", lambda: dict(wanted=8.0))
recipe(f"{A}.in_bytes", lambda: dict(number=8.0))
recipe(f"{A}.memory", dict)
recipe(f"{A}.outermost", dict)

SPACES: dict[str, Callable[[], manifolds.Manifold]] = {
    "manifolds.Torus": manifolds.Torus, "manifolds.Circle": manifolds.Circle, "manifolds.KleinBottle": manifolds.KleinBottle, "manifolds.Euclidean": manifolds.Euclidean,
    "manifolds.Sphere": manifolds.Sphere, "products.Product": lambda: products.Product("torus", "circle"), "products.Modules": lambda: products.Modules("torus", "sphere"),
    "products.ProjectivePlane": products.ProjectivePlane, "products.HyperbolicDisc": products.HyperbolicDisc, "manifolds.Manifold": manifolds.Torus,
    "finite.FiniteSpace": lambda: finite.DistanceMatrix(manifolds.Sphere().distance(manifolds.Sphere().sample(8, seeded(), torch.float64))),
}
for _name, _space in SPACES.items():
    def _points(space=_space, n: int = 5, seed: int = 1) -> torch.Tensor:
        return space().sample(n, seeded(seed))

    _g = f"geometry.{_name}"
    method(f"{_g}.sample", _space, lambda: dict(n=5, generator=seeded(), dtype=torch.float32, device="cpu"))
    for _hook in ("project", "contains", "check", "chart"):
        method(f"{_g}.{_hook}", _space, lambda points=_points: dict(x=points()))
    for _hook in ("pairwise", "distance") if "finite" in _name else ("pairwise", "distance", "distance_vjp"):
        method(f"{_g}.{_hook}", _space, lambda points=_points: dict(x=points(), y=points(n=4, seed=2)))
    method(f"{_g}.scaled", _space, lambda: dict(factor=2.0))
method("geometry.products.Product.split", SPACES["products.Product"], lambda: dict(x=SPACES["products.Product"]().sample(5, seeded())))

G = "geometry.manifolds"
recipe(f"{G}.Torus", lambda: dict(dim=2, period=10.0))
recipe(f"{G}.Circle", lambda: dict(radius=5.0))
recipe(f"{G}.KleinBottle", lambda: dict(period=10.0))
recipe(f"{G}.Euclidean", lambda: dict(dim=3, side=10.0))
recipe(f"{G}.Sphere", lambda: dict(dim=2, radius=5.0))
recipe(f"{G}.check_points", lambda: dict(manifold=manifolds.Torus(), x=manifolds.Torus().sample(5, seeded()), name="x", ndim=1))
recipe(f"{G}.draw", lambda: dict(sampler=torch.rand, n=5, coordinates=2, generator=seeded(), dtype=torch.float32, device="cpu"))
recipe(f"{G}.wrap", lambda: dict(delta=randn(5), period=10.0))
recipe(f"{G}.manifold", lambda: dict(spec="torus"))
recipe(f"{G}.register_manifold", lambda: forgetting(manifolds.MANIFOLDS) | dict(name="torus", space=manifolds.Torus))
recipe(f"{G}.manifolds_of", lambda: dict(specs="torus,sphere", count=2))
recipe(f"{G}.plot_from_point", lambda: dict(manifold=manifolds.Torus(), point=torch.tensor([1.0, 2.0]), ax=Figure().add_subplot(), resolution=11))

P = "geometry.products"
recipe(f"{P}.Product", lambda: dict(space="torus", weights=(1.0,)))
recipe(f"{P}.Modules", lambda: dict(space="torus", sizes=(1.0,), between=10.0))
recipe(f"{P}.ProjectivePlane", lambda: dict(radius=5.0))
recipe(f"{P}.HyperbolicDisc", lambda: dict(radius=5.0, curvature=-0.25))

F = "geometry.finite"


def metric(n: int = 6) -> torch.Tensor:
    points = manifolds.Sphere().sample(n, seeded(), torch.float64)
    return manifolds.Sphere().distance(points)


def square_mesh(n: int = 4) -> tuple[np.ndarray, np.ndarray]:
    side = np.array([[i, j, 0.1 * i * j] for i in range(n) for j in range(n)], dtype=float)
    faces = [[n * i + j, n * i + j + 1, n * i + j + n] for i in range(n - 1) for j in range(n - 1)] + [[n * i + j + 1, n * i + j + n + 1, n * i + j + n] for i in range(n - 1) for j in range(n - 1)]
    return side, np.array(faces)


recipe(f"{F}.triangle_excess", lambda: dict(matrix=metric(), most=10**6))
recipe(f"{F}.shortest_paths", lambda: dict(matrix=metric()))
recipe(f"{F}.classical_scaling", lambda: dict(matrix=metric()))
recipe(f"{F}.FiniteSpace", lambda: dict(matrix=metric(), scale=1.0, flat=rand(6, 2)))
recipe(f"{F}.DistanceMatrix", lambda: dict(matrix=metric(), repair=False, scale=1.0))
recipe(f"{F}.Graph", lambda: dict(edges=np.array([[0.0, 1.0, 1.0], [1.0, 2.0, 2.0], [2.0, 0.0, 1.0]]), scale=1.0))
recipe(f"{F}.Graph.from_adjacency", lambda: dict(adjacency=np.array([[0.0, 1, 2], [1, 0, 1], [2, 1, 0]]), scale=1.0))
recipe(f"{F}.farthest_points", lambda: dict(points=rand(9, 3).numpy(), n=4))
recipe(f"{F}.Mesh", lambda: dict(vertices=square_mesh()[0], faces=square_mesh()[1], landmarks=8, scale=1.0))
recipe(f"{F}.PointCloud", lambda: dict(points=square_mesh(7)[0], landmarks=8, scale=1.0))
recipe(f"{F}.checked_distances", lambda: dict(matrix=metric()))
recipe(f"{F}.named_files", lambda: dict(text="torus"))

I = "geometry.inhibitors"  # noqa: E741
for _name, _arguments in {"DifferenceOfGaussians": dict(a=100.0, b=5.0, c=4.0), "Ricker": dict(s=1.0), "Diffusion": {}, "Sinusoid": {}, "Gaussian": dict(height=100.0, scale=1.0),
                          "Constant": dict(value=1.0), "Independent": dict(reach=1.0), "Inhibitor": None}.items():
    _kind = getattr(inhibitors, _name)
    if _arguments is not None:
        recipe(f"{I}.{_name}", lambda given=_arguments: dict(given))
    for _hook in ("evaluate", "value_and_grad", "__call__"):
        method(f"{I}.{_name}.{_hook}", inhibitors.Ricker if _name == "Inhibitor" else _kind, lambda: dict(d=rand(5)))
recipe(f"{I}.inhibitor", lambda: dict(spec="ricker"))
recipe(f"{I}.register_inhibitor", lambda: forgetting(inhibitors.INHIBITORS) | dict(name="ricker", made=inhibitors.Ricker))
recipe(f"{I}.mean_coefficient", lambda: dict(manifold="torus", inhibitor="ricker", pairs=100, generator=seeded()))
recipe(f"{I}.matched", lambda: dict(manifold="sphere", inhibitor="diffusion", mean=10.0, pairs=100, generator=seeded()))
recipe(f"{I}.covering_radius", lambda: dict(manifold="torus", n=20, generator=seeded(), draws=2, probes=50))
recipe(f"{I}.matched_covering", lambda: dict(manifold="torus", radius=1.0, n=20, generator=seeded()))
recipe("geometry.checks.check_manifold", lambda: dict(space="circle"))
recipe("geometry.checks.check_inhibitor", lambda: dict(f="ricker"))

S = "geometry.specs"
recipe(f"{S}.split", lambda: dict(text="a,b", separator=","))
recipe(f"{S}.value", lambda: dict(text="3"))
recipe(f"{S}.written", lambda: dict(thing=3))
recipe(f"{S}.bind", lambda: dict(owner="torus", maker=manifolds.Torus, texts=["2", "period=20"]))
recipe(f"{S}.Registry", lambda: dict(label="thing", kind=dict))
method(f"{S}.Registry.register", lambda: specs.Registry("thing", dict), lambda: dict(name="a", maker=dict, numbered=False))
method(f"{S}.Registry.make", lambda: manifolds.MANIFOLDS, lambda: dict(text="torus"))
method(f"{S}.Registry.spell", lambda: manifolds.MANIFOLDS, lambda: dict(thing=manifolds.Torus()))
recipe(f"{S}.call_text", lambda: dict(name="torus"))

# --- layers ------------------------------------------------------------------------------------------------------------

R = "layers.recurrent"


def layer(**options: Any) -> recurrent.RNN:
    return recurrent.RNN(3, 4, generator=seeded(), **options)


recipe(f"{R}.Linear", lambda: dict(in_features=3, out_features=4, bias=True, device="cpu", dtype=torch.float32, replicas=2, generator=seeded()))
method(f"{R}.Linear.reset_parameters", lambda: recurrent.Linear(3, 4), lambda: dict(generator=seeded()))
method(f"{R}.Linear.forward", lambda: recurrent.Linear(3, 4, replicas=2, generator=seeded()), lambda: dict(input=rand(2, 5, 3)))
method(f"{R}.Linear.extra_repr", lambda: recurrent.Linear(3, 4))
for _name in ("ElmanWeights", "RNN"):
    recipe(f"{R}.{_name}", lambda: dict(
        input_size=3, hidden_size=4, num_layers=2, nonlinearity="tanh", bias=True, batch_first=False, dropout=0.1, bidirectional=False, device="cpu", dtype=torch.float32, replicas=2, generator=seeded()))
method(f"{R}.ElmanWeights.reset_parameters", layer, lambda: dict(generator=seeded()))
method(f"{R}.ElmanWeights.extra_repr", layer)
method(f"{R}.RNN.forward", layer, lambda: dict(input=rand(5, 2, 3), hx=rand(1, 2, 4)))
method(f"{R}.RNN.flatten_parameters", layer)
method(f"{R}.RNN.as_torch", layer)
recipe(f"{R}.near_identity_", lambda: dict(weight=rand(2, 4, 4), share=0.1))
recipe(f"{R}.first_derivatives", lambda: dict(backward=len))

K = "layers.kernels"
recipe(f"{K}.strips", lambda: dict(batch=8, itemsize=4, rows_per_set=1))

M = "layers.sparse"


def holes(*shape: int) -> torch.Tensor:
    return randn(*shape) * (rand(*shape, seed=3) > 0.5)


def elman(n: int = 8) -> dict[str, torch.Tensor]:
    return {name: value.detach() * (value.detach().abs() > 0.1) for name, value in recurrent.RNN(3, n, generator=seeded()).state_dict().items()}


def pattern() -> sparse.Pattern:
    return sparse.Pattern.of(holes(8, 8) != 0)


recipe(f"{M}.Pattern.of", lambda: dict(mask=holes(8, 8) != 0, transposed=False, rows_per_set=1))
recipe(f"{M}.Pattern.from_edges", lambda: dict(rows=torch.tensor([0, 1, 2]), columns=torch.tensor([1, 2, 0]), shape=(4, 4), transposed=False, rows_per_set=1, replicas=1))
method(f"{M}.Pattern.sets", pattern)
recipe(f"{M}.SparseMatrix.at", lambda: dict(pattern=pattern(), weight=holes(8, 8)))
recipe(f"{M}.SparseMatrix.of", lambda: dict(weight=holes(8, 8), rows_per_set=1))
method(f"{M}.SparseMatrix.dense", lambda: sparse.SparseMatrix.of(holes(8, 8)))
method(f"{M}.SparseMatrix.add_", lambda: sparse.SparseMatrix.of(holes(8, 8)), lambda: dict(states=rand(8, 4), out=torch.zeros(8, 4)))
recipe(f"{M}.median_time", lambda: {"*calls": [dict], "rounds": 3})
recipe(f"{M}.least_time", lambda: {"*calls": [dict]})
recipe(f"{M}.fastest", lambda: dict(weight=holes(8, 8), batch=4))
recipe(f"{M}.SparseRNN", lambda: dict(weights=elman(), nonlinearity="tanh", batch=4))
method(f"{M}.SparseRNN.__call__", lambda: sparse.SparseRNN(elman(), batch=4), lambda: dict(x=rand(5, 4, 3), h0=rand(1, 4, 8)))
recipe(f"{M}.save_sparse", lambda: dict(path=str(FOLDER / "saved.safetensors"), weights=elman()))
recipe(f"{M}.load_sparse", lambda: dict(path=str(saved())))
recipe(f"{M}.patterns_of", lambda: dict(mask=holes(8, 8) != 0))
method(f"{M}.SparseProduct.__call__", lambda: product(), lambda: {"x": rand(1, 5, 8), "*rest": [holes(1, 8, 8), None]})
method(f"{M}.SparseProduct.holds", lambda: product(), lambda: dict(weight=holes(1, 8, 8)))
recipe(f"{M}.SparseProduct", lambda: dict(function=sparse.SparseLinearFunction, dense=len, patterns=sparse.patterns_of(holes(1, 8, 8) != 0)))
recipe(f"{M}.SparseMatrix", lambda: dict(pattern=pattern(), values=rand(len(pattern().columns), 1)))
recipe(f"{M}.Pattern", lambda: {name: getattr(pattern(), name) for name in ("shape", "rows", "start", "columns", "index", "size", "panel", "replicas")})
recipe(f"{M}.use_dense_products", lambda: dict(module=layer(), unless=lambda: False))
recipe(f"{M}.use_sparse_products", lambda: dict(model=layer(), masks={"weight_hh_l0": holes(4, 4) != 0}, batch=4))
recipe(f"{M}.geometric_blocks", lambda: dict(points=rand(16, 2), size=4))
recipe(f"{M}.filled_blocks", lambda: dict(weight=holes(8, 8), blocks=torch.arange(8) // 4))


def product() -> sparse.SparseProduct:
    return sparse.SparseProduct(sparse.SparseLinearFunction, recurrent._linear, sparse.patterns_of(holes(1, 8, 8) != 0))


@functools.cache
def saved() -> Path:
    sparse.save_sparse(FOLDER / "weights.safetensors", elman())
    return FOLDER / "weights.safetensors"


E = "layers.edges"


def ring(n: int = 8) -> torch.Tensor:
    i = torch.arange(n)
    return torch.stack([i.repeat_interleave(2), torch.stack([(i - 1) % n, (i + 1) % n], 1).sort(1).values.flatten()])


recipe(f"{E}.geometric_edges", lambda: dict(space="torus", embedding=manifolds.Torus().sample(20, seeded()), inhibitor="ricker", partners=4))
recipe(f"{E}.EdgeRNN", lambda: dict(input_size=3, hidden_size=8, edges=ring(), nonlinearity="tanh", bias=True, scale="left", generator=seeded()))
method(f"{E}.EdgeRNN.reset_parameters", lambda: edges.EdgeRNN(3, 8, ring()), lambda: dict(generator=seeded()))
method(f"{E}.EdgeRNN.patterns", lambda: edges.EdgeRNN(3, 8, ring()))
method(f"{E}.EdgeRNN.dense", lambda: edges.EdgeRNN(3, 8, ring()))
method(f"{E}.EdgeRNN.extra_repr", lambda: edges.EdgeRNN(3, 8, ring()))
method(f"{E}.EdgeRNN.forward", lambda: edges.EdgeRNN(3, 8, ring(), generator=seeded()), lambda: dict(x=rand(5, 2, 3), h0=rand(1, 2, 8)))
recipe(f"{E}.patterns_of_edges", lambda: dict(edges=ring(), neurons=8))
recipe(f"{E}.edge_penalty", lambda: dict(weight=randn(16), prices=rand(16), entries=64, power=1.0))

# --- sparsity ----------------------------------------------------------------------------------------------------------

W = "sparsity.weights"


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4))


def slot() -> weights.Slot:
    return weights.slots(layer())["weight_hh_l0"]


recipe(f"{W}.Slot", lambda: dict(owner=layer(), attribute="weight_hh_l0", name="weight_hh_l0", computed=""))
recipe(f"{W}.slots", lambda: dict(model=model()))
recipe(f"{W}.weight_matrices", lambda: dict(model=layer(replicas=2), replicas=2, parameters=["weight_hh_l0"]))
recipe(f"{W}.Layout", lambda: dict(rows=4, columns=4, gates=1, replicas=2, kernel=0, transposed=False, recurrent=True))
method(f"{W}.Layout.view", lambda: weights.Layout(4, 4), lambda: dict(values=rand(4, 4)))
recipe(f"{W}.layout", lambda: dict(slot=slot(), recurrent=True))
recipe(f"{W}.find_weights", lambda: dict(layer=layer(), weight="weight_hh_l0"))
recipe(f"{W}.for_each", lambda: dict(values=[1, 2], chosen=weights.find_weights(layer(num_layers=2)), what="manifold"))
recipe(f"{W}.permuted", lambda: dict(rows=rand(2, 5), generator=seeded()))

U = "sparsity.fused"


def part(**options: Any) -> fused.PenalizedWeight:
    return regularizer.ModuliRegularizer(layer(), generator=seeded(), **options).parts[0]


recipe(f"{U}.size_of", lambda: dict(w=randn(4, 4), power=1.0, kernel=0))
recipe(f"{U}.size_grad", lambda: dict(w=randn(4, 4), power=1.0, kernel=0))
recipe(f"{U}.PenalizedWeight", lambda: dict(slot=slot(), layout=weights.layout(slot()), space=manifolds.Torus(), inhibitor=inhibitors.Ricker(), power=1.0, compiled=False))
method(f"{U}.PenalizedWeight.set_coefficients_", part, lambda: dict(values=rand(4, 4)))
recipe(f"{U}.place_", lambda: dict(part=part(), rows=manifolds.Torus().sample(4, seeded()), columns=None, train=False))
recipe(f"{U}.embed_", lambda: dict(part=part(), given=None, train=False, generator=seeded()))
recipe(f"{U}.distances_of", lambda: dict(part=part()))
recipe(f"{U}.given_coefficients", lambda: dict(part=part(), values=rand(4, 4)))
recipe(f"{U}.Given", dict)
for _hook in ("evaluate", "value_and_grad"):
    method(f"{U}.Given.{_hook}", fused.Given, lambda: dict(d=rand(5)))
recipe(f"{U}.coefficient_view", lambda: dict(coefficients=rand(4, 4), layout=weights.Layout(4, 4)))
recipe(f"{U}.penalty_of", lambda: dict(part=part(), scale=0.1))
recipe(f"{U}.add_gradient_to", lambda: dict(part=part(), scale=0.1))
recipe(f"{U}.shrink_", lambda: dict(part=part(), factor=0.1))
recipe(f"{U}.mask_of", lambda: dict(part=part()))

Z = "sparsity.regularizer"
recipe(f"{Z}.equal_pull", lambda: dict(strength=0.1, n=64, reference=4096))
recipe(f"{Z}.ramp", lambda: dict(share=0.5, kind="linear"))
recipe(f"{Z}.PenaltyValue", lambda: dict(parts=[part()], strength=0.1))
recipe(f"{Z}.Penalty", lambda: dict(parts=[part()], strength=0.1))


def reg(**options: Any) -> regularizer.ModuliRegularizer:
    return regularizer.ModuliRegularizer(layer(), generator=seeded(), **options)


def options() -> dict[str, Any]:
    return dict(layer=layer(), manifold="torus", inhibitor="ricker", strength=0.1, weight="weight_hh_l0", power=1.0, train_embedding=False, compiled=False,
                embedding=manifolds.Torus().sample(4, seeded()), recurrent=True, generator=seeded())


recipe(f"{Z}.ModuliRegularizer", options)
method(f"{Z}.PenaltyValue.total", reg, lambda: dict(size=rand(1, 1, 4, 4), coefficients=rand(1, 1, 4, 4)))
for _hook in ("PenaltyValue.penalty", "PenaltyValue.forward", "Penalty.project_", "Penalty.freeze", "Penalty.masks", "ModuliRegularizer.extra_repr", "Penalty.add_gradient_"):
    method(f"{Z}.{_hook}", reg)
method(f"{Z}.Penalty.proximal_step_", reg, lambda: dict(lr=0.1))
method(f"{Z}.ModuliRegularizer.price", reg, lambda: dict(distances=rand(4, 4), generator=seeded()))

Y = "sparsity.penalties"
for _name in ("NoPenalty", "L1", "Shuffled", "DistanceShuffled", "SeRNN"):
    _kind = getattr(penalties, _name)
    recipe(f"{Y}.{_name}", options)
    method(f"{Y}.{_name}.price", lambda kind=_kind: kind(layer(), generator=seeded()), lambda: dict(distances=rand(4, 4), generator=seeded()))
recipe(f"{Y}.L2", lambda: dict(options(), power=2.0))
recipe(f"{Y}.display_name", lambda: dict(name="none"))
method(f"{Y}.SeRNN.total", lambda: penalties.SeRNN(layer()), lambda: dict(size=rand(1, 1, 4, 4), coefficients=rand(1, 1, 4, 4)))
recipe(f"{Y}.communicability", lambda: dict(size=rand(4, 4)))

H = "sparsity.masks"


def square() -> dict[str, torch.Tensor]:
    return {"1.weight": rand(4, 4) > 0.5}


def guard() -> masks.Guard:
    return masks.Guard(model()[1], {"weight": rand(4, 4) > 0.5})


def held() -> masks.Masks:
    net = model()
    return masks.Masks(net, weights.weight_matrices(net, parameters=["1.weight"]), square())


def with_gradient() -> nn.Parameter:
    weight = nn.Parameter(rand(4, 4))
    weight.grad = rand(4, 4)
    return weight


recipe(f"{H}.bits", lambda: dict(values=rand(4)))
recipe(f"{H}.mask_", lambda: dict(values=rand(4, 4), mask=rand(4, 4) > 0.5))
recipe(f"{H}.check_names", lambda: dict(names=["1.weight"], weights={"1.weight": rand(4, 4)}, what="a mask is given"))
recipe(f"{H}.as_masks", lambda: dict(masks=square(), weights={"1.weight": rand(4, 4)}))
recipe(f"{H}.masked", lambda: dict(gradient=rand(4, 4), mask=rand(4, 4) > 0.5))
recipe(f"{H}.mask_gradient_", lambda: dict(weight=with_gradient(), mask=rand(4, 4) > 0.5))
recipe(f"{H}.Guard", lambda: dict(module=model()[1], masks={"weight": rand(4, 4) > 0.5}, keep_gradients=False))
recipe(f"{H}.watch_gradient", lambda: dict(guard=guard(), name="weight"))
recipe(f"{H}.mask_before_forward", lambda: dict(guard=guard(), name="weight", called=model()))
recipe(f"{H}.give_back", lambda: dict(guard=guard(), called=model()))
recipe(f"{H}.copy_guard", lambda: dict(guard=guard(), memo={}))
recipe(f"{H}.tell_copies", lambda: dict(guard=guard(), masks={"weight": rand(4, 4) > 0.5}))
recipe(f"{H}.guards_of", lambda: dict(model=model()))
recipe(f"{H}.follow", lambda: dict(average=copied()))
recipe(f"{H}.check_maskable", lambda: dict(weights={"w": nn.Parameter(rand(4, 4))}))
recipe(f"{H}.Masks", lambda: (lambda net: dict(model=net, weights=weights.weight_matrices(net, parameters=["1.weight"]), masks=square(), keep_gradients=False))(model()))
recipe(f"{H}.smallest", lambda: dict(values=[rand(2, 9)], zeros=4, first=rand(2, 9) > 0.8))
for _hook in ("mask", "watch", "is_dirty"):
    method(f"{H}.{'PrunedModule' if _hook == 'is_dirty' else 'MaskedModule'}.{_hook}", guard, lambda: dict(name="weight"))
method(f"{H}.MaskedModule.adopt", guard, lambda: dict(name="weight", weight=nn.Parameter(rand(4, 4))))
method(f"{H}.MaskedModule.keep", guard, lambda: dict(name="weight", values=rand(4, 4)))
for _hook in ("MaskedModule.refresh", "MaskedModule.apply_", "Guard.before_saving", "Guard.after_loading", "Guard.remove"):
    method(f"{H}.{_hook}", guard)
method(f"{H}.PrunedModule.set", guard, lambda: dict(masks={"weight": rand(4, 4) > 0.5}))
for _hook in ("after_step", "mask_optimizer_"):
    method(f"{H}.PrunedModule.{_hook}", guard, lambda: dict(optimizer=torch.optim.Adam(model().parameters())))
method(f"{H}.Guard.before_forward", guard, lambda: dict(module=model()[1], args=()))
method(f"{H}.Guard.after_forward", guard, lambda: dict(module=model()[1], args=(), result=None))
method(f"{H}.Masks.before_forward", held, lambda: dict(model=model(), args=()))
method(f"{H}.Masks.after_forward", held, lambda: dict(model=model(), args=(), result=None))
method(f"{H}.Masks.set", held, lambda: dict(masks=square()))
method(f"{H}.Masks.remove", held)
recipe(f"{H}.MaskedModule", dict)
recipe(f"{H}.PrunedModule", dict)


HELD: list[Any] = []  # copies follow as long as their sources are there


def copied() -> nn.Module:
    net = model()
    HELD[:] = [net, pruning.MagnitudePruner(net)]
    return copy.deepcopy(net)


N = "sparsity.pruning"


def pruner(kind: type[pruning.Sparsifier] = pruning.MagnitudePruner, **given: Any) -> pruning.Sparsifier:
    net = model()
    made = kind(net, 0.5, 4, generator=seeded(), prices={"1.weight": rand(4, 4)}, **given)
    net(rand(2, 3)).sum().backward()
    made.net = net
    return made


def sizes() -> dict[str, torch.Tensor]:
    return {"0.weight": rand(4, 3), "1.weight": rand(4, 4)}


recipe(f"{N}.progress", lambda: dict(epoch=1, epochs=4, schedule="linear", heal=1))
recipe(f"{N}.scheduled_sparsity", lambda: dict(epoch=1, target=0.9, epochs=4, schedule="linear", heal=1))
recipe(f"{N}.erk_shares", lambda: dict(weights=sizes(), target=0.5))
recipe(f"{N}.check_blocks", lambda: dict(blocks={"1.weight": torch.arange(4) // 2}, weights=sizes()))
recipe(f"{N}.shares_by_threshold", lambda: dict(shares="layer", weights=sizes(), target=0.5, replicas=None))
recipe(f"{N}.rows", lambda: dict(values=[rand(2, 4)], replicas=2))
recipe(f"{N}.share_of_zeros", lambda: dict(weights=[rand(2, 4)], replicas=2))
recipe(f"{N}.sparsity", lambda: dict(model=layer(replicas=2), replicas=2, parameters=["weight_hh_l0"]))
recipe(f"{N}.cut", lambda: dict(sparsifier=pruner(), sizes=sizes(), epoch=2))
recipe(f"{N}.block_magnitudes", lambda: dict(weight=rand(4, 4), groups=torch.arange(4) // 2))
recipe(f"{N}.cut_to_length_", lambda: dict(weight=rand(2, 4, 4), mask=rand(2, 4, 4) > 0.5, replicas=2))
recipe(f"{N}.shuffle_mask", lambda: dict(mask=rand(2, 4, 4) > 0.5, generator=seeded(), by_row=False, replicas=2))
recipe(f"{N}.reinitialize", lambda: dict(model=model(), masks=square(), mode="redraw", scale="dense", generator=seeded()))
for _name in ("MagnitudePruner", "FixedMasks"):
    recipe(f"{N}.{_name}", lambda: dict(
        model=model(), target=0.5, epochs=4, schedule="linear", shares="layer", heal=1, parameters=["1.weight"], blocks={"1.weight": torch.arange(4) // 2},
        prices={"1.weight": rand(4, 4)}, allowed=square(), generator=seeded()))
for _hook in ("Sparsifier.begin", "Sparsifier.thresholds"):
    method(f"{N}.{_hook}", pruner)
method(f"{N}.Sparsifier.update", pruner, lambda: dict(epoch=1))
method(f"{N}.MagnitudePruner.update", pruner, lambda: dict(epoch=1))
method(f"{N}.FixedMasks.update", lambda: pruning.MagnitudePruner.from_masks(model(), square()), lambda: dict(epoch=1))
method(f"{N}.Sparsifier.step", pruner, lambda: dict(epoch=1, optimizer=torch.optim.Adam(model().parameters())))
recipe(f"{N}.Sparsifier.from_masks", lambda: dict(model=model(), masks=square()))

V = "sparsity.rivals"
for _name, _given in {"Random": dict(fan_in=False, scale="dense"), "Geometric": dict(others="random"), "SET": dict(share=0.3), "RigL": dict(share=0.3), "Regrow": dict(heat=0.1)}.items():
    _kind = getattr(rivals, _name)
    recipe(f"{V}.{_name}", lambda given=_given: {"*arguments": [model(), 0.5, 4], "prices": {"1.weight": rand(4, 4)}, "generator": seeded(), **given})
    for _hook in ("begin", "first", "scores"):
        if hasattr(_kind, _hook):
            method(f"{V}.{_name}.{_hook}", lambda kind=_kind: pruner(kind))
    for _hook in ("update", "share_in"):
        if hasattr(_kind, _hook):
            method(f"{V}.{_name}.{_hook}", lambda kind=_kind: pruner(kind), lambda: dict(epoch=1))
for _hook in ("scores", "share_in", "update"):
    method(f"{V}.Rewiring.{_hook}", lambda: pruner(rivals.SET), lambda hook=_hook: {} if hook == "scores" else dict(epoch=1))
recipe(f"{V}.lots", lambda: dict(sparsifier=pruner()))
for _name in ("by_block", "born", "keep_fan_in"):
    recipe(f"{V}.{_name}", lambda: dict(sparsifier=pruner(), sizes=sizes()))
recipe(f"{V}.priced", lambda: dict(sparsifier=pruner()))
recipe(f"{V}.exchange", lambda: dict(sparsifier=pruner(rivals.SET), share=0.3, scores=sizes(), allowed={name: size >= 0 for name, size in sizes().items()}))
recipe(f"{V}.register_sparsifier", lambda: dict(kind=rivals.SET))
recipe(f"{V}.sparsifier", lambda: dict(text="set(share=0.1)"))
recipe(f"{V}.weight_uses", lambda: (lambda net: dict(model=net, run=lambda: net(rand(2, 3)), examples=2))(model()))
recipe(f"{V}.multiplications", lambda: dict(model=model(), uses={"0.weight": 1.0, "1.weight": 1.0}, masks=square(), dense_gradients=0.1))

# --- lab ---------------------------------------------------------------------------------------------------------------

L = "lab.settings"
TINY: dict[str, Any] = dict(scale="tiny", device="cpu", out=str(FOLDER / "runs"), seeds=2, epochs=2, batches=2, lottery=False)
TASKS: dict[str, tuple[type, type]] = {"remember": (training.Remember, training.RememberConfig), "navigation": (navigation.Navigation, navigation.NavigationConfig), "adding": (adding.Adding, adding.AddingConfig),
                                       "head_direction": (head_direction.HeadDirection, head_direction.HeadDirectionConfig), "language": (language.Language, language.LanguageConfig),
                                       "speech": (speech.Speech, speech.SpeechConfig), "rats": (navigation.Navigation, rats.RatsConfig)}
OWN: dict[str, dict[str, Any]] = {"language": dict(corpus="generated"), "rats": dict(rats="generated")}


def config(name: str = "remember", **changed: Any) -> Any:
    return TASKS[name][1](**TINY | OWN.get(name, {}) | changed)


def task(name: str = "remember", **changed: Any) -> Any:
    return TASKS[name][0](config(name, **changed))


def net(name: str = "remember") -> nn.Module:
    one = task(name)
    return one.model(one.generators("weights"))


@functools.cache
def finished() -> runs.Run:
    return training.fit(task(), progress=False)


def three() -> dict[str, runs.Run]:
    return dict.fromkeys(("plain", "dense", "sparse"), finished())


def trainer(callbacks: tuple = ()) -> trainers.Trainer:
    torch.manual_seed(0)
    line = nn.Linear(3, 1)
    return trainers.Trainer(line, lambda m, x: m(x).square().mean(), torch.optim.SGD(line.parameters(), lr=0.1), callbacks)


def phase() -> training.Phase:
    made = training.Phase(task())
    made.next_epoch()
    return made


recipe(f"{L}.setting", lambda: dict(default=1, decides=True, choices=("a",), optional=False, least=0.0, within=arguments.Within(0, 1)))
recipe(f"{L}.about", lambda: dict(field=settings.fields(settings.Config)[0], name="decides"))
for _name in ("fill", "check_types", "check_values", "decisive"):
    recipe(f"{L}.{_name}", lambda: dict(config=config()))
recipe(f"{L}.from_parameters", lambda: dict(config=training.RememberConfig, namespace=dict(TINY)))
for _name, (_, _kind) in TASKS.items():
    _home = "lab.training" if _name == "remember" else f"tasks.{_name}"
    recipe(f"{_home}.{_kind.__name__}", lambda name=_name: {one: value for one, value in settings.asdict(config(name)).items() if value is not None and one not in ("rats", "corpus", "order", "scale")}
           | {"scale": "tiny"} | OWN.get(name, {}))

D = "lab.runs"
recipe(f"{D}.digest", lambda: dict(config=config(), task="Remember", data="abc"))
recipe(f"{D}.fingerprint", lambda: {"*parts": ["a"], "contents": True})
recipe(f"{D}.Run", lambda: dict(config=config(), task="Remember", data=""))
method(f"{D}.Run.weights", finished, lambda: dict(phase="train"))
recipe(f"{D}.begin", lambda: dict(run=runs.Run(config(out=str(FOLDER / "begun")))))
recipe(f"{D}.save_state", lambda: dict(run=runs.Run(config(out=str(FOLDER / "kept"))), state={"history": []}))
recipe(f"{D}.load_state", lambda: dict(run=runs.Run(config(out=str(FOLDER / "kept")))))

T = "lab.trainer"
for _hook in ("before_epoch", "before_step", "after_backward", "after_step", "after_epoch"):
    method(f"{T}.Callback.{_hook}", trainers.Callback, lambda: dict(trainer=trainer()))
recipe(f"{T}.Callback", dict)
method(f"{T}.Callback.state_dict", trainers.Callback)
method(f"{T}.Callback.load_state_dict", trainers.Callback, lambda: dict(state={}))
recipe(f"{T}.checked_loss", lambda: dict(loss=rand(2).requires_grad_(), replicas=2))
recipe(f"{T}.counted", lambda: dict(batches=[1, 2], count=2))
recipe(f"{T}.call", lambda: dict(trainer=trainer((trainers.Callback(),)), moment="before_step"))
recipe(f"{T}.parts_of", lambda: dict(trainer=trainer()))
recipe(f"{T}.Trainer", lambda: (lambda m: dict(model=m, loss=lambda m, x: m(x).sum(), optimizer=torch.optim.SGD(m.parameters(), lr=0.1), callbacks=[trainers.Callback()], replicas=2, accumulate=1))(nn.Linear(3, 1)))
method(f"{T}.Trainer.step", trainer, lambda: {"*batches": [rand(4, 3)]})
method(f"{T}.Trainer.epoch", lambda: training.Phase(task()), lambda: dict(batches=[rand(2, 32)], count=1))
method(f"{T}.Trainer.state_dict", trainer)
method(f"{T}.Trainer.load_state_dict", trainer, lambda: dict(state=trainer().state_dict()))
recipe(f"{T}.Penalize", lambda: {"*penalties": [reg()], "kind": "linear", "epochs": 3})
recipe(f"{T}.Sparsify", lambda: dict(sparsifier=pruner()))
recipe(f"{T}.SparseProducts", lambda: dict(sparsifier=pruner(), batch=4, least=1))
recipe(f"{T}.clip_", lambda: dict(parameters=list(graded().parameters()), limit=1.0))
recipe(f"{T}.Clip", lambda: dict(limit=1.0))
recipe(f"{T}.LearningRate", lambda: dict(schedule=torch.optim.lr_scheduler.ConstantLR(trainer().optimizer)))
recipe(f"{T}.Checkpoint", lambda: dict(path=str(FOLDER / "checkpoint.pt")))
method(f"{T}.Checkpoint.resume", lambda: trainers.Checkpoint(FOLDER / "none.pt"), lambda: dict(trainer=trainer()))
recipe(f"{T}.Progress", lambda: dict(bar=trainers.tqdm(disable=True)))
CALLBACKS: dict[str, Callable[[], trainers.Callback]] = {
    "Penalize": lambda: trainers.Penalize(reg()), "Sparsify": lambda: trainers.Sparsify(pruner()), "SparseProducts": lambda: trainers.SparseProducts(pruner(), 4), "Clip": lambda: trainers.Clip(1.0),
    "LearningRate": lambda: trainers.LearningRate(torch.optim.lr_scheduler.ConstantLR(trainer().optimizer)), "Checkpoint": lambda: trainers.Checkpoint(FOLDER / "checkpoint.pt"),
    "Progress": lambda: trainers.Progress(trainers.tqdm(disable=True))}
for _name, _callback in CALLBACKS.items():
    for _hook in vars(getattr(trainers, _name)):
        if _hook in ("before_epoch", "before_step", "after_backward", "after_step", "after_epoch"):
            method(f"{T}.{_name}.{_hook}", _callback, lambda: dict(trainer=trainer()))
        elif _hook == "state_dict":
            method(f"{T}.{_name}.{_hook}", _callback)
        elif _hook == "load_state_dict":
            method(f"{T}.{_name}.{_hook}", _callback, lambda callback=_callback: dict(state=callback().state_dict()))


def graded() -> nn.Module:
    made = net()
    one = task()
    one.loss(made, next(iter(one.batches(one.generators("data"))))).sum().backward()
    return made


T = "lab.training"
recipe(f"{T}.stream", lambda: {"seed": 1, "*purpose": ["data", 1]})
recipe(f"{T}.penalty_of", lambda: dict(task=task(), k=0, layer=net()["rnn"], weight="weight_hh_l0", space=manifolds.Torus()))
recipe(f"{T}.groups_of", lambda: dict(config=config(), model=net(), penalties=nn.ModuleList([reg()])))
recipe(f"{T}.prices_of", lambda: dict(penalty=reg(), config=config()))
recipe(f"{T}.shares_of", lambda: dict(config=config()))
recipe(f"{T}.blocks_of", lambda: dict(task=task(block=4), k=0, penalty=phase().penalties[0]))
recipe(f"{T}.sparsifier_of", lambda: (lambda p: dict(task=task(), model=p.model, penalties=p.penalties))(training.Phase(task())))
recipe(f"{T}.redrawn", lambda: dict(task=task(), model=net(), tickets=finished().weights()))
recipe(f"{T}.named", lambda: dict(tensors={"mask.a": rand(2)}, prefix="mask."))
recipe(f"{T}.Phase", lambda: dict(task=task(), name="train", callbacks=[trainers.Callback()]))
method(f"{T}.Phase.own_callbacks", phase)
method(f"{T}.Phase.next_epoch", phase)
for _name in ("costs_of", "metrics_of", "tensors_of"):
    recipe(f"{T}.{_name}", lambda: dict(phase=phase()))
recipe(f"{T}.prefetch", lambda: dict(batches=iter([1, 2])))
recipe(f"{T}.Record", lambda: dict(run=runs.Run(config(out=str(FOLDER / "recorded")))))
method(f"{T}.Record.seconds", lambda: training.Record(runs.Run(config(out=str(FOLDER / "recorded")))))
for _hook in ("resume", "after_epoch"):
    method(f"{T}.Record.{_hook}", lambda: training.Record(runs.Run(config(out=str(FOLDER / "recorded")))), lambda: dict(phase=phase()))
recipe(f"{T}.last_of", lambda: dict(phase="train", history=finished().history))
recipe(f"{T}.fit", lambda: dict(task=task(), progress=False, callbacks=[trainers.Callback()]))

X = "lab.experiments"
recipe(f"{X}.check_selection", lambda: dict(config=config(), selection=100))
recipe(f"{X}.best_strength", lambda: dict(tried={0.1: [1.0, 2.0], 1.0: [1.0, None]}))


def rows() -> list[dict[str, Any]]:
    return [{"setting": {}, "condition": "torus", "strength": 0.1, "sparse": [1.0, 2.0], "lottery": [1.5, None], "sparsity": 0.9}]


recipe(f"{X}.compared", lambda: dict(config=config()))
recipe(f"{X}.train_three", lambda: dict(task=training.Remember, config=config(), progress=False))
recipe(f"{X}.result_names", lambda: dict(config=config()))
recipe(f"{X}.plot_learning", lambda: dict(task=task(), runs=three(), ax=Figure().add_subplot()))
recipe(f"{X}.load_model", lambda: dict(task=task(), run=finished(), phase="train"))
recipe(f"{X}.recurrent_weights", lambda: dict(task=task(), run=finished(), seed=0))
recipe(f"{X}.summary", lambda: dict(values=[1.0, None], digits=1))
recipe(f"{X}.large", lambda: dict(number=4.3e6))
recipe(f"{X}.costs", lambda: dict(last={"inference": [1.0], "training": [2.0]}))
recipe(f"{X}.report", lambda: dict(task=task(), runs=three(), digits=1, note="a note"))
recipe(f"{X}.study", lambda: dict(task=training.Remember, config=config(), condition="torus", strengths=(0.1,), selection=100))
recipe(f"{X}.load_results", lambda: dict(name="navigation_small"))
recipe(f"{X}.setting_name", lambda: dict(setting={"init": "paper"}))
recipe(f"{X}.condition_table", lambda: dict(rows=rows(), digits=1))
recipe(f"{X}.plot_conditions", lambda: dict(rows=rows(), label="error", figure=Figure(), limits={"a": 1.0}))
recipe(f"{X}.plot_sparsity", lambda: dict(rows=rows(), result="sparse", ax=Figure().add_subplot()))

Q = "lab.studies"
studies.RESULTS = FOLDER
recipe(f"{Q}.keep", lambda: {"name": "rows", "row": {"a": 1}, "*key": ["a"]})
recipe(f"{Q}.found", lambda: dict(text="modreg.tasks.navigation:Navigation"))
recipe(f"{Q}.find_task", lambda: dict(name="navigation"))
recipe(f"{Q}.value", lambda: dict(text="3"))
recipe(f"{Q}.base", lambda: dict(task=training.Remember, setting=dict(TINY)))
recipe(f"{Q}.changes_of", lambda: dict(texts=["lr=3e-3"]))
_study = lambda **given: lambda: dict(task=training.Remember, setting=dict(TINY), **given)  # noqa: E731
recipe(f"{Q}.conditions", _study(names=["torus"], strengths=[0.1], selection=100))
recipe(f"{Q}.dense", _study(changes=[]))
recipe(f"{Q}.lengths", lambda: dict(task=adding.Adding, setting=dict(TINY), starts=["paper"], steps=[4]))
fuzz.LONG |= {(f"{Q}.{_name}", "setting", _label) for _name in ("conditions", "dense", "lengths", "blocks", "tickets", "curve", "survey") for _label in ("empty", "a name less", "misspelt")}
recipe(f"{Q}.blocks", _study(condition="torus", sizes=[8], strengths=[0.1]))
recipe(f"{Q}.tickets", _study(changes=[]))
recipe(f"{Q}.curve", _study(name="curve"))
recipe(f"{Q}.survey", _study(names=["torus"], sparsities=[0.5], looks=[lambda task, run: {}]))
recipe(f"{Q}.main", lambda: dict(arguments=["--help"]))

# --- tasks -------------------------------------------------------------------------------------------------------------

for _name, (_kind, _) in TASKS.items():
    if _name == "rats":
        continue
    _home = f"lab.training.{_kind.__name__}" if _name == "remember" else f"tasks.{_name}.{_kind.__name__}"
    recipe(_home, lambda name=_name: dict(config=config(name)))
    for _base in {_home, "lab.training.Task"} if _name == "remember" else {_home}:
        _one = functools.partial(task, _name)
        for _hook in ("fingerprint", "limits", "test_paths", "test_samples", "test_headings"):
            if hasattr(_kind, _hook):
                method(f"{_base}.{_hook}", _one)
        for _hook in ("model", "batches"):
            method(f"{_base}.{_hook}", _one, lambda: dict(generators=streams()))
        for _hook in ("recurrent", "evaluate"):
            method(f"{_base}.{_hook}", _one, lambda name=_name: dict(model=net(name)))
        method(f"{_base}.loss", _one, lambda name=_name: dict(model=net(name)))
        method(f"{_base}.optimizer", _one, lambda name=_name: dict(parameters=list(net(name).parameters())))
        method(f"{_base}.generators", _one, lambda: {"*purpose": ["data"]})
RECIPES["lab.training.Remember.loss"] = RECIPES["lab.training.Task.loss"] = lambda: (task().loss, dict(model=net(), number=rand(2, 32)))
method("tasks.navigation.Navigation.loss", lambda: task("navigation"), lambda: dict(model=net("navigation"), positions=rand(2, 6, 4, 2)))
method("tasks.adding.Adding.loss", lambda: task("adding"), lambda: dict(model=net("adding"), batch=task("adding").samples(4, streams())))
method("tasks.head_direction.HeadDirection.loss", lambda: task("head_direction"), lambda: dict(model=net("head_direction"), heading=rand(2, 6, 4)))
method("tasks.adding.Adding.samples", lambda: task("adding"), lambda: dict(n=3, generators=streams()))
method("tasks.head_direction.HeadDirection.headings", lambda: task("head_direction"), lambda: dict(n=3, generators=streams()))
method("tasks.language.Language.held_out", lambda: task("language"), lambda: dict(split="test"))
method("tasks.language.Language.loss", lambda: task("language"), lambda: dict(model=net("language"), batch=next(iter(task("language").batches(streams())))))
method("tasks.speech.Speech.loss", lambda: task("speech"), lambda: dict(model=net("speech"), batch=next(iter(task("speech").batches(streams())))))
method("tasks.speech.Speech.spectrograms", lambda: task("speech"), lambda: dict(utterances=sound.tones()[:2]))

recipe("tasks.navigation.paths", lambda: dict(n=3, steps=4, generator=seeded(), device="cpu"))
recipe("tasks.navigation.PlaceCells", lambda: dict(cells=5, generators=streams()))
method("tasks.navigation.PlaceCells.forward", lambda: navigation.PlaceCells(5, streams()), lambda: dict(position=rand(2, 4, 2)))
method("tasks.navigation.PlaceCells.decode", lambda: navigation.PlaceCells(5, streams()), lambda: dict(scores=rand(2, 4, 5)))
recipe("tasks.navigation.position_error", lambda: dict(decoded=rand(2, 4, 2), position=rand(2, 4, 2)))
recipe("tasks.navigation.PathIntegrator", lambda: dict(config=config("navigation"), generators=streams()))
method("tasks.navigation.PathIntegrator.recurrence", lambda: net("navigation"), lambda: dict(config=config("navigation"), generators=streams()))
for _hook in ("states", "forward"):
    method(f"tasks.navigation.PathIntegrator.{_hook}", lambda: net("navigation"), lambda: dict(start=rand(2, 3, 64), velocity=rand(2, 4, 3, 2)))
recipe("tasks.navigation.plot_paths", lambda: dict(task=task("navigation"), model=net("navigation"), axes=list(Figure().subplots(1, 2))))
recipe("tasks.adding.target", lambda: dict(sample=rand(5, 3, 2)))
recipe("tasks.adding.plot_sample", lambda: dict(sample=rand(5, 2), ax=Figure().add_subplot()))
recipe("tasks.adding.samples", lambda: dict(n=3, steps=5, generator=seeded()))
recipe("tasks.adding.Adder", lambda: dict(config=config("adding"), generators=streams()))
for _hook in ("forward", "answers"):
    method(f"tasks.adding.Adder.{_hook}", lambda: net("adding"), lambda: dict(sample=rand(2, 5, 3, 2)))
recipe("tasks.adding.plot_answers", lambda: dict(task=task("adding"), models={"a": net("adding")}, axes=list(Figure().subplots(1, 2))))
recipe("tasks.head_direction.headings", lambda: dict(n=3, steps=4, generator=seeded(), turn=0.5))
recipe("tasks.head_direction.direction", lambda: dict(heading=rand(3, 4)))
recipe("tasks.head_direction.angular_error", lambda: dict(said=rand(2, 4, 2), heading=rand(2, 4)))
recipe("tasks.head_direction.HeadDirectionModel", lambda: dict(config=config("head_direction"), generators=streams()))
for _hook in ("states", "forward"):
    method(f"tasks.head_direction.HeadDirectionModel.{_hook}", lambda: net("head_direction"), lambda: dict(heading=rand(2, 5, 3)))

J = "tasks.rats"
recipe(f"{J}.Recording", lambda: dict(time=0.1 * np.arange(5.0), position=0.02 * np.arange(10.0).reshape(5, 2), sides=(1.0, 1.0)))
recipe(f"{J}.load_recording", lambda: dict(name="sargolini", folder=recordings()))
recipe(f"{J}.generated_recording", lambda: dict(name="sargolini"))


def rat() -> rats.Recording:
    return rats.generated_recording("sargolini")


@functools.cache
def recordings() -> str:
    folder = FOLDER / "rat-trajectories"
    folder.mkdir()
    np.savez(folder / "sargolini.npz", t=np.arange(50) * 0.02, pos=0.5 + 0.001 * np.arange(100).reshape(50, 2))
    return str(FOLDER)


recipe(f"{J}.segments", lambda: dict(rat=rat()))
recipe(f"{J}.real_paths", lambda: dict(rat=rat(), steps=5, pace=1, mapping="centre", count=10))
recipe(f"{J}.matching_pace", lambda: dict(rat=rat(), mapping="centre"))
recipe(f"{J}.walks_of", lambda: dict(recordings={"a": rat()}, steps=5, mapping="centre", count=10))
recipe(f"{J}.errors_along", lambda: dict(task=task("navigation"), model=net("navigation"), walk=rand(6, 4, 2)))
recipe(f"{J}.limits_along", lambda: dict(task=task("navigation"), walk=rand(6, 4, 2)))
recipe(f"{J}.plot_sparsities", lambda: dict(rows=[{"condition": "torus", "sparsity": 0.5, "error": {"a": [1.0, 2.0]}}], name="a", ax=Figure().add_subplot()))

B = "tasks.language"


@functools.cache
def text_folder() -> Path:
    language.write_generated(FOLDER / "texts")
    return FOLDER / "texts"


def corpus() -> language.Corpus:
    words = "the small rat runs . <eos>".split() * 9
    return language.Corpus({split: words for split in language.SPLITS}, 10)


recipe(f"{B}.find_wikitext", lambda: dict(folder=str(text_folder())))
recipe(f"{B}.read_words", lambda: dict(path=str(text_folder() / "wikitext-2" / "test.txt")))
recipe(f"{B}.Corpus", lambda: dict(texts={split: "a b c a".split() for split in language.SPLITS}, vocabulary=10))
method(f"{B}.Corpus.encode", corpus, lambda: dict(words=["rat", "cat"]))
recipe(f"{B}.write_generated", lambda: dict(folder=tempfile.mkdtemp(dir=FOLDER), sentences=8))
recipe(f"{B}.load_corpus", lambda: dict(config=config("language")))
recipe(f"{B}.cross_entropy", lambda: dict(scores=rand(2, 3, 4, 5), words=torch.ones(2, 3, 4, dtype=torch.int64)))
recipe(f"{B}.batchify", lambda: dict(text=torch.arange(10), count=3))
recipe(f"{B}.perplexity", lambda: dict(model=net("language"), text=torch.ones(6, 2, dtype=torch.int64), seeds=2, steps=3))
recipe(f"{B}.unigram", lambda: dict(corpus=corpus()))
recipe(f"{B}.bigram", lambda: dict(corpus=corpus(), text=torch.ones(6, 2, dtype=torch.int64)))
recipe(f"{B}.WordEmbedding", lambda: dict(words=5, size=4, generators=streams()))
method(f"{B}.WordEmbedding.forward", lambda: language.WordEmbedding(5, 4, streams()), lambda: dict(words=torch.ones(2, 3, 4, dtype=torch.int64)))
recipe(f"{B}.LanguageModel", lambda: dict(config=config("language"), words=10, generators=streams()))
method(f"{B}.LanguageModel.forward", lambda: net("language"), lambda: dict(words=torch.ones(2, 3, 4, dtype=torch.int64), state=rand(2, 3, 4, 16)))
recipe(f"{B}.SeedSGD", lambda: dict(parameters=list(net().parameters()), rates=rand(2)))
method(f"{B}.SeedSGD.step", lambda: language.SeedSGD(list(net().parameters()), rand(2)))


def descent() -> language.SeedSGD:
    return language.SeedSGD(list(net().parameters()), rand(2))


recipe(f"{B}.AnnealOnPlateau", lambda: dict(optimizer=descent(), metric="valid", factor=4.0))
for _hook in ("step", "state_dict"):
    method(f"{B}.AnnealOnPlateau.{_hook}", lambda: language.AnnealOnPlateau(descent()))
method(f"{B}.AnnealOnPlateau.observe", lambda: language.AnnealOnPlateau(descent()), lambda: dict(metrics={"valid": [1.0, None]}))
method(f"{B}.AnnealOnPlateau.load_state_dict", lambda: language.AnnealOnPlateau(descent()), lambda: dict(state={"best": rand(2)}))
recipe(f"{B}.CarriedState", dict)
recipe(f"{B}.windows", lambda: dict(text=torch.arange(100), config=config("language"), generators=streams()))
recipe(f"{B}.generate", lambda: dict(model=language.LanguageModel(config("language"), len(corpus().words), streams()), corpus=corpus(), prompt="the", count=2, generator=seeded(), temperature=1.0))
recipe(f"{B}.surprisal", lambda: dict(model=net("language"), text=torch.ones(5, dtype=torch.int64)))

C = "tasks.sound"
recipe(f"{C}.Utterance", lambda: dict(name="a", text="bad", speaker="ann"))
for _hook in ("sound", "seconds"):
    method(f"{C}.Utterance.{_hook}", lambda: sound.tones()[0])
for _name in ("digits", "librispeech", "tones"):
    recipe(f"{C}.{_name}", dict)


@functools.cache
def wave() -> Path:
    import soundfile

    soundfile.write(FOLDER / "tone.wav", rand(800).numpy(), 8000)
    return FOLDER / "tone.wav"


recipe(f"{C}.split", lambda: dict(utterances=sound.tones()))
recipe(f"{C}.mel_filters", lambda: dict(bands=8, size=256, rate=8000))
recipe(f"{C}.log_mel", lambda: dict(samples=randn(2000), rate=8000, bands=8))
recipe(f"{C}.time_stretch", lambda: dict(pictures=rand(2, 9, 8), lengths=torch.tensor([9, 7]), speed=torch.tensor([1.0, 1.1]), pitch=torch.tensor([1.0, 0.9]), least=torch.tensor([3, 3]), rate=8000))
recipe(f"{C}.spec_augment", lambda: dict(pictures=rand(2, 9, 8), share=0.2, draws=rand(2, 4)))
recipe(f"{C}.Spectrograms", lambda: dict(utterances=sound.tones()[:2], bands=8, tail=1, keep=True))
recipe(f"{C}.collate", lambda: dict(items=[(rand(5, 8), torch.tensor([1, 2])), (rand(4, 8), torch.tensor([1]))]))

O = "tasks.speech"  # noqa: E741
recipe(f"{O}.Conv2d", lambda: dict(inputs=1, outputs=2, stride=2, replicas=2, generator=seeded()))
method(f"{O}.Conv2d.forward", lambda: speech.Conv2d(1, 2, 2, 2, seeded()), lambda: dict(x=rand(3, 2, 5, 6)))
recipe(f"{O}.LayerNorm", lambda: dict(bands=6, replicas=2))
method(f"{O}.LayerNorm.forward", lambda: speech.LayerNorm(6, 2), lambda: dict(x=rand(3, 2, 5, 6)))
for _name, _make in {"speech.Conv2d": lambda: speech.Conv2d(1, 2, 2, 2, seeded()), "speech.LayerNorm": lambda: speech.LayerNorm(6, 2), "language.WordEmbedding": lambda: language.WordEmbedding(5, 4, streams())}.items():
    method(f"tasks.{_name}.weight_uses", _make, lambda: dict(inputs=(), output=rand(3, 4, 5, 6)))
recipe(f"{O}.halved", lambda: dict(frames=5))
recipe(f"{O}.dropout", lambda: dict(x=rand(2, 5), share=0.3, seeds=[1, 2]))
recipe(f"{O}.SpeechModel", lambda: dict(config=config("speech"), generators=streams()))
method(f"{O}.SpeechModel.forward", lambda: net("speech"), lambda: dict(pictures=rand(2, 3, 9, 12), lengths=torch.full((2, 3), 9), seeds=[1, 2]))
recipe(f"{O}.collapse", lambda: dict(path=[1, 1, 28, 2]))
recipe(f"{O}.greedy", lambda: dict(scores=rand(5, 29).log()))
recipe(f"{O}.beam", lambda: dict(scores=rand(5, 29).log(), width=4))
recipe(f"{O}.frames_needed", lambda: dict(text="aab"))
recipe(f"{O}.frames_of", lambda: dict(utterance=sound.tones()[0], tail=1))
recipe(f"{O}.too_short", lambda: dict(utterances=sound.tones(), tail=1))
recipe(f"{O}.ctc_loss", lambda: dict(scores=rand(2, 8, 1, 29).log_softmax(-1), frames=torch.full((2, 1), 8), characters=torch.tensor([1, 2, 3]), counts=torch.tensor([2, 1])))
recipe(f"{O}.error_rates", lambda: dict(texts=["bad"], written=["bag"]))
recipe(f"{O}.one_cycle", lambda: dict(parameters=list(net("speech").parameters()), config=config("speech")))
recipe(f"{O}.transcribe", lambda: dict(model=net("speech"), data=sound.Spectrograms(sound.tones()[:2], 12), read=speech.greedy))
recipe(f"{O}.load_utterances", lambda: dict(config=config("speech")))
recipe(f"{O}.fingerprint_of", lambda: dict(utterances=sound.tones(), contents=True))
recipe(f"{O}.deal", lambda: dict(count=10, batch=2, batches=3, generator=seeded()))
recipe(f"{O}.vary", lambda: dict(batch=sound.collate([sound.Spectrograms(sound.tones()[:2], 12)[k % 2] for k in range(16)]), config=config("speech", speed=0.1), rate=8000, generators=streams()))
recipe(f"{O}.plot_hearing", lambda: dict(task=task("speech"), model=net("speech"), k=0, axes=list(Figure().subplots(2, 1))))

# --- analysis, book ----------------------------------------------------------------------------------------------------

recipe("analysis.wiring.weight_by_distance", lambda: dict(weights=randn(6, 6), distances=metric().float(), bins=5))
recipe("analysis.wiring.plot_weight_by_distance", lambda: dict(weights=randn(6, 6), distances=metric().float(), ax=Figure().add_subplot(), label="a"))
recipe("analysis.wiring.plot_neuron", lambda: dict(weights=randn(6), space=manifolds.Torus(), embedding=manifolds.Torus().sample(6, seeded()), neuron=1, ax=Figure().add_subplot()))
recipe("analysis.wiring.plot_spectrum", lambda: dict(weights=randn(6, 6), ax=Figure().add_subplot(), label="a"))
recipe("analysis.wiring.plot_wiring", lambda: dict(task=task(), runs=three(), figure=Figure()))


def maps(*lead: int) -> torch.Tensor:
    return rand(*lead, 12, 12)


AG = "analysis.gridcells"
recipe(f"{AG}.rate_maps", lambda: dict(position=rand(300, 2) - 0.5, activity=rand(300, 3), bins=4, width=1.0, side=1.0))
for _name in ("autocorrelograms", "grid_scores"):
    recipe(f"{AG}.{_name}", lambda: dict(maps=maps(3)))
recipe(f"{AG}.plot_maps", lambda: dict(maps=maps(2), axes=Figure().subplots(2, 2), names=["a", "b"]))
for _name in ("surrogates", "chance"):
    recipe(f"{AG}.{_name}", lambda: dict(maps=maps(2), n=3, generator=seeded()))
recipe(f"{AG}.network_maps", lambda: dict(task=task("navigation"), model=net("navigation"), rats=50, bins=4))
recipe(f"{AG}.neighbour_likeness", lambda: dict(maps=maps(12), distances=metric(12).float(), share=0.3))
recipe(f"{AG}.judge", lambda: dict(maps=maps(1, 12), distances=metric(12).float()[None], generator=seeded()))
recipe("book.exercises.exercise", lambda: dict(hint="think"))
recipe("book.explore.Explorer", lambda: dict(name="covering", question="why?", picture=lambda figure: None, data={"a": 1}))
method("book.explore.Explorer.page", lambda: explore.Explorer("covering", "why?", lambda figure: None, {"a": 1}))
for _name in ("inhibitor_shapes", "neighbourhoods", "glued_square", "covering", "embedding_training", "pruning_steps", "path_integration"):
    recipe(f"book.explore.{_name}", dict)
recipe("book.explore.follow", lambda: dict(path=rand(20, 2) - 0.5))
