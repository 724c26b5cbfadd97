"""A right call of every public function: its arguments by name, made anew each time. `tests/fuzz.py` spoils them one by one."""

import functools
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from modreg import geometry, lab, layers, sparsity, tasks  # noqa: F401
from modreg.analysis import gridcells, wiring
from modreg.book import exercises, explore
from modreg.geometry import arguments, checks, finite, inhibitors, manifolds, products, specs
from modreg.lab import experiments, runs, settings, studies, training
from modreg.layers import edges, kernels, recurrent, sparse
from modreg.sparsity import fused, masks, penalties, pruning, regularizer, rivals, weights
from modreg.tasks import adding, head_direction, language, navigation, rats, sound, speech

Recipe = Callable[[], tuple[Callable, dict[str, Any]]]
RECIPES: dict[str, Recipe] = {}
FOLDER = Path(tempfile.mkdtemp(prefix="modreg-fuzz-"))


def recipe(name: str, function: Callable | None, make: Callable[[], dict[str, Any]]) -> None:
    RECIPES[name] = lambda: (function, make())


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
recipe(f"{A}.Within", arguments.Within, lambda: dict(least=0.0, most=1.0))
method(f"{A}.Within.holds", arguments.Within, lambda: dict(value=0.5))
method(f"{A}.Within.words", arguments.Within, lambda: dict(kind="a number"))
recipe(f"{A}.OneOf", arguments.OneOf, lambda: dict(names=["a", "b"]))
recipe(f"{A}.Shape", arguments.Shape, lambda: dict(sides="n n", kind="float", finite=True))
recipe(f"{A}.OnDevice", arguments.OnDevice, lambda: dict(meta=False))
recipe(f"{A}.FloatingPoint", arguments.FloatingPoint, dict)
recipe(f"{A}.shown", arguments.shown, dict)
recipe(f"{A}.nearest", arguments.nearest, lambda: dict(name="spere", names=["sphere", "torus"]))
recipe(f"{A}.readable", arguments.readable, lambda: dict(x=rand(3)))
recipe(f"{A}.test_of", arguments.test_of, dict)
recipe(f"{A}.check_memory", arguments.check_memory, lambda: dict(wanted=8.0))
recipe(f"{A}.in_bytes", arguments.in_bytes, lambda: dict(number=8.0))
recipe(f"{A}.memory", arguments.memory, dict)

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
    for _hook in ("pairwise", "distance", "distance_vjp"):
        method(f"{_g}.{_hook}", _space, lambda points=_points: dict(x=points(), y=points(n=4, seed=2)))
    method(f"{_g}.scaled", _space, lambda: dict(factor=2.0))
method("geometry.products.Product.split", SPACES["products.Product"], lambda: dict(x=SPACES["products.Product"]().sample(5, seeded())))

G = "geometry.manifolds"
recipe(f"{G}.Torus", manifolds.Torus, lambda: dict(dim=2, period=10.0))
recipe(f"{G}.Circle", manifolds.Circle, lambda: dict(radius=5.0))
recipe(f"{G}.KleinBottle", manifolds.KleinBottle, lambda: dict(period=10.0))
recipe(f"{G}.Euclidean", manifolds.Euclidean, lambda: dict(dim=3, side=10.0))
recipe(f"{G}.Sphere", manifolds.Sphere, lambda: dict(dim=2, radius=5.0))
recipe(f"{G}.check_points", manifolds.check_points, lambda: dict(manifold=manifolds.Torus(), x=manifolds.Torus().sample(5, seeded()), name="x", ndim=1))
recipe(f"{G}.draw", manifolds.draw, lambda: dict(sampler=torch.rand, n=5, coordinates=2, generator=seeded(), dtype=torch.float32, device="cpu"))
recipe(f"{G}.wrap", manifolds.wrap, lambda: dict(delta=randn(5), period=10.0))
recipe(f"{G}.manifold", manifolds.manifold, lambda: dict(spec="torus"))
recipe(f"{G}.register_manifold", manifolds.register_manifold, lambda: dict(name="torus", space=manifolds.Torus))
recipe(f"{G}.manifolds_of", manifolds.manifolds_of, lambda: dict(specs="torus,sphere", count=2))
recipe(f"{G}.plot_from_point", manifolds.plot_from_point, lambda: dict(manifold=manifolds.Torus(), point=torch.tensor([1.0, 2.0]), ax=Figure().add_subplot(), resolution=11))

P = "geometry.products"
recipe(f"{P}.Product", products.Product, lambda: dict(space="torus", weights=(1.0,)))
recipe(f"{P}.Modules", products.Modules, lambda: dict(space="torus", sizes=(1.0,), between=10.0))
recipe(f"{P}.ProjectivePlane", products.ProjectivePlane, lambda: dict(radius=5.0))
recipe(f"{P}.HyperbolicDisc", products.HyperbolicDisc, lambda: dict(radius=5.0, curvature=-0.25))

F = "geometry.finite"


def metric(n: int = 6) -> torch.Tensor:
    points = manifolds.Sphere().sample(n, seeded(), torch.float64)
    return manifolds.Sphere().distance(points)


def square_mesh() -> tuple[np.ndarray, np.ndarray]:
    side = np.array([[i, j, 0.1 * i * j] for i in range(4) for j in range(4)], dtype=float)
    faces = [[4 * i + j, 4 * i + j + 1, 4 * i + j + 4] for i in range(3) for j in range(3)] + [[4 * i + j + 1, 4 * i + j + 5, 4 * i + j + 4] for i in range(3) for j in range(3)]
    return side, np.array(faces)


recipe(f"{F}.triangle_excess", finite.triangle_excess, lambda: dict(matrix=metric(), most=10**6))
recipe(f"{F}.shortest_paths", finite.shortest_paths, lambda: dict(matrix=metric()))
recipe(f"{F}.classical_scaling", finite.classical_scaling, lambda: dict(matrix=metric()))
recipe(f"{F}.FiniteSpace", finite.FiniteSpace, lambda: dict(matrix=metric(), scale=1.0, flat=rand(6, 2)))
recipe(f"{F}.DistanceMatrix", finite.DistanceMatrix, lambda: dict(matrix=metric(), repair=False, scale=1.0))
recipe(f"{F}.Graph", finite.Graph, lambda: dict(edges=np.array([[0.0, 1.0, 1.0], [1.0, 2.0, 2.0], [2.0, 0.0, 1.0]]), scale=1.0))
recipe(f"{F}.Graph.from_adjacency", finite.Graph.from_adjacency, lambda: dict(adjacency=np.array([[0.0, 1, 2], [1, 0, 1], [2, 1, 0]]), scale=1.0))
recipe(f"{F}.farthest_points", finite.farthest_points, lambda: dict(points=rand(9, 3).numpy(), n=4))
recipe(f"{F}.Mesh", finite.Mesh, lambda: dict(vertices=square_mesh()[0], faces=square_mesh()[1], landmarks=8, scale=1.0))
recipe(f"{F}.PointCloud", finite.PointCloud, lambda: dict(points=square_mesh()[0], landmarks=8, scale=1.0))
recipe(f"{F}.named_files", finite.named_files, lambda: dict(text="torus"))

I = "geometry.inhibitors"  # noqa: E741
for _name, _arguments in {"DifferenceOfGaussians": dict(a=100.0, b=5.0, c=4.0), "Ricker": dict(s=1.0), "Diffusion": {}, "Sinusoid": {}, "Gaussian": dict(height=100.0, scale=1.0),
                          "Constant": dict(value=1.0), "Independent": dict(reach=1.0), "Inhibitor": None}.items():
    _kind = getattr(inhibitors, _name)
    if _arguments is not None:
        recipe(f"{I}.{_name}", _kind, lambda given=_arguments: dict(given))
    for _hook in ("evaluate", "value_and_grad", "__call__"):
        method(f"{I}.{_name}.{_hook}", inhibitors.Ricker if _name == "Inhibitor" else _kind, lambda: dict(d=rand(5)))
recipe(f"{I}.inhibitor", inhibitors.inhibitor, lambda: dict(spec="ricker"))
recipe(f"{I}.register_inhibitor", inhibitors.register_inhibitor, lambda: dict(name="ricker", made=inhibitors.Ricker))
recipe(f"{I}.mean_coefficient", inhibitors.mean_coefficient, lambda: dict(manifold="torus", inhibitor="ricker", pairs=100, generator=seeded()))
recipe(f"{I}.matched", inhibitors.matched, lambda: dict(manifold="sphere", inhibitor="diffusion", mean=10.0, pairs=100, generator=seeded()))
recipe(f"{I}.covering_radius", inhibitors.covering_radius, lambda: dict(manifold="torus", n=20, generator=seeded(), draws=2, probes=50))
recipe(f"{I}.matched_covering", inhibitors.matched_covering, lambda: dict(manifold="torus", radius=1.0, n=20, generator=seeded()))
recipe("geometry.checks.check_manifold", checks.check_manifold, lambda: dict(space="circle"))
recipe("geometry.checks.check_inhibitor", checks.check_inhibitor, lambda: dict(f="ricker"))

S = "geometry.specs"
recipe(f"{S}.split", specs.split, lambda: dict(text="a,b", separator=","))
recipe(f"{S}.value", specs.value, lambda: dict(text="3"))
recipe(f"{S}.written", specs.written, dict)
recipe(f"{S}.bind", specs.bind, lambda: dict(owner="torus", maker=manifolds.Torus, texts=["2", "period=20"]))
recipe(f"{S}.Registry", specs.Registry, lambda: dict(label="thing", kind=dict))
method(f"{S}.Registry.register", lambda: specs.Registry("thing", dict), lambda: dict(name="a", maker=dict, numbered=False))
method(f"{S}.Registry.make", lambda: manifolds.MANIFOLDS, lambda: dict(text="torus"))
method(f"{S}.Registry.spell", lambda: manifolds.MANIFOLDS)
recipe(f"{S}.call_text", specs.call_text, lambda: dict(name="torus"))

# --- layers ------------------------------------------------------------------------------------------------------------

R = "layers.recurrent"


def layer(**options: Any) -> recurrent.RNN:
    return recurrent.RNN(3, 4, generator=seeded(), **options)


recipe(f"{R}.Linear", recurrent.Linear, lambda: dict(in_features=3, out_features=4, bias=True, device="cpu", dtype=torch.float32, replicas=2, generator=seeded()))
method(f"{R}.Linear.reset_parameters", lambda: recurrent.Linear(3, 4), lambda: dict(generator=seeded()))
method(f"{R}.Linear.forward", lambda: recurrent.Linear(3, 4, replicas=2, generator=seeded()), lambda: dict(input=rand(2, 5, 3)))
method(f"{R}.Linear.extra_repr", lambda: recurrent.Linear(3, 4))
for _name in ("ElmanWeights", "RNN"):
    recipe(f"{R}.{_name}", getattr(recurrent, _name), lambda: dict(
        input_size=3, hidden_size=4, num_layers=2, nonlinearity="tanh", bias=True, batch_first=False, dropout=0.1, bidirectional=False, device="cpu", dtype=torch.float32, replicas=2, generator=seeded()))
method(f"{R}.ElmanWeights.reset_parameters", layer, lambda: dict(generator=seeded()))
method(f"{R}.ElmanWeights.extra_repr", layer)
method(f"{R}.RNN.forward", layer, lambda: dict(input=rand(5, 2, 3), hx=rand(1, 2, 4)))
method(f"{R}.RNN.flatten_parameters", layer)
method(f"{R}.RNN.as_torch", layer)
recipe(f"{R}.near_identity_", recurrent.near_identity_, lambda: dict(weight=rand(2, 4, 4), share=0.1))
recipe(f"{R}.first_derivatives", recurrent.first_derivatives, lambda: dict(backward=len))

K = "layers.kernels"
recipe(f"{K}.strips", kernels.strips, lambda: dict(batch=8, itemsize=4, rows_per_set=1))

M = "layers.sparse"


def holes(*shape: int) -> torch.Tensor:
    return randn(*shape) * (rand(*shape, seed=3) > 0.5)


def elman(n: int = 8) -> dict[str, torch.Tensor]:
    return {name: value.detach() * (value.detach().abs() > 0.1) for name, value in recurrent.RNN(3, n, generator=seeded()).state_dict().items()}


def pattern() -> sparse.Pattern:
    return sparse.Pattern.of(holes(8, 8) != 0)


recipe(f"{M}.Pattern.of", sparse.Pattern.of, lambda: dict(mask=holes(8, 8) != 0, transposed=False, rows_per_set=1))
recipe(f"{M}.Pattern.from_edges", sparse.Pattern.from_edges, lambda: dict(rows=torch.tensor([0, 1, 2]), columns=torch.tensor([1, 2, 0]), shape=(4, 4), transposed=False, rows_per_set=1, replicas=1))
method(f"{M}.Pattern.sets", pattern)
recipe(f"{M}.SparseMatrix.at", sparse.SparseMatrix.at, lambda: dict(pattern=pattern(), weight=holes(8, 8)))
recipe(f"{M}.SparseMatrix.of", sparse.SparseMatrix.of, lambda: dict(weight=holes(8, 8), rows_per_set=1))
method(f"{M}.SparseMatrix.dense", lambda: sparse.SparseMatrix.of(holes(8, 8)))
method(f"{M}.SparseMatrix.add_", lambda: sparse.SparseMatrix.of(holes(8, 8)), lambda: dict(states=rand(8, 4), out=torch.zeros(8, 4)))
recipe(f"{M}.median_time", sparse.median_time, lambda: {"*calls": [dict], "rounds": 3})
recipe(f"{M}.fastest", sparse.fastest, lambda: dict(weight=holes(8, 8), batch=4))
recipe(f"{M}.SparseRNN", sparse.SparseRNN, lambda: dict(weights=elman(), nonlinearity="tanh", batch=4))
method(f"{M}.SparseRNN.__call__", lambda: sparse.SparseRNN(elman(), batch=4), lambda: dict(x=rand(5, 4, 3), h0=rand(1, 4, 8)))
recipe(f"{M}.save_sparse", sparse.save_sparse, lambda: dict(path=str(FOLDER / "saved.safetensors"), weights=elman()))
recipe(f"{M}.load_sparse", sparse.load_sparse, lambda: dict(path=str(saved())))
recipe(f"{M}.patterns_of", sparse.patterns_of, lambda: dict(mask=holes(8, 8) != 0))
method(f"{M}.SparseProduct.__call__", lambda: product(), lambda: {"x": rand(1, 5, 8), "*rest": [holes(1, 8, 8), None]})
method(f"{M}.SparseProduct.holds", lambda: product(), lambda: dict(weight=holes(1, 8, 8)))
recipe(f"{M}.SparseProduct", sparse.SparseProduct, lambda: dict(function=sparse.SparseLinearFunction, dense=len, patterns=sparse.patterns_of(holes(1, 8, 8) != 0)))
recipe(f"{M}.SparseMatrix", sparse.SparseMatrix, lambda: dict(pattern=pattern(), values=rand(len(pattern().columns), 1)))
recipe(f"{M}.Pattern", sparse.Pattern, lambda: {name: getattr(pattern(), name) for name in ("shape", "rows", "start", "columns", "index", "size", "panel", "replicas")})
recipe(f"{M}.use_dense_products", sparse.use_dense_products, lambda: dict(module=layer(), unless=lambda: False))
recipe(f"{M}.use_sparse_products", sparse.use_sparse_products, lambda: dict(model=layer(), masks={"weight_hh_l0": holes(4, 4) != 0}, batch=4))
recipe(f"{M}.geometric_blocks", sparse.geometric_blocks, lambda: dict(points=rand(16, 2), size=4))
recipe(f"{M}.filled_blocks", sparse.filled_blocks, lambda: dict(weight=holes(8, 8), blocks=torch.arange(8) // 4))


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


recipe(f"{E}.geometric_edges", edges.geometric_edges, lambda: dict(space="torus", embedding=manifolds.Torus().sample(20, seeded()), inhibitor="ricker", partners=4))
recipe(f"{E}.EdgeRNN", edges.EdgeRNN, lambda: dict(input_size=3, hidden_size=8, edges=ring(), nonlinearity="tanh", bias=True, scale="left", generator=seeded()))
method(f"{E}.EdgeRNN.reset_parameters", lambda: edges.EdgeRNN(3, 8, ring()), lambda: dict(generator=seeded()))
method(f"{E}.EdgeRNN.patterns", lambda: edges.EdgeRNN(3, 8, ring()))
method(f"{E}.EdgeRNN.dense", lambda: edges.EdgeRNN(3, 8, ring()))
method(f"{E}.EdgeRNN.extra_repr", lambda: edges.EdgeRNN(3, 8, ring()))
method(f"{E}.EdgeRNN.forward", lambda: edges.EdgeRNN(3, 8, ring(), generator=seeded()), lambda: dict(x=rand(5, 2, 3), h0=rand(1, 2, 8)))
recipe(f"{E}.patterns_of_edges", edges.patterns_of_edges, lambda: dict(edges=ring(), neurons=8))
recipe(f"{E}.edge_penalty", edges.edge_penalty, lambda: dict(weight=randn(16), prices=rand(16), entries=64, power=1.0))

# --- sparsity ----------------------------------------------------------------------------------------------------------

W = "sparsity.weights"


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4))


def slot() -> weights.Slot:
    return weights.slots(layer())["weight_hh_l0"]


recipe(f"{W}.Slot", weights.Slot, lambda: dict(owner=layer(), attribute="weight_hh_l0", name="weight_hh_l0", computed=""))
recipe(f"{W}.slots", weights.slots, lambda: dict(model=model()))
recipe(f"{W}.weight_matrices", weights.weight_matrices, lambda: dict(model=layer(replicas=2), replicas=2, parameters=["weight_hh_l0"]))
recipe(f"{W}.Layout", weights.Layout, lambda: dict(rows=4, columns=4, gates=1, replicas=2, kernel=0, transposed=False, recurrent=True))
method(f"{W}.Layout.view", lambda: weights.Layout(4, 4), lambda: dict(values=rand(4, 4)))
recipe(f"{W}.layout", weights.layout, lambda: dict(slot=slot(), recurrent=True))
recipe(f"{W}.find_weights", weights.find_weights, lambda: dict(layer=layer(), weight="weight_hh_l0"))
recipe(f"{W}.for_each", weights.for_each, lambda: dict(values=[1, 2], chosen=weights.find_weights(layer(num_layers=2)), what="manifold"))
recipe(f"{W}.permuted", weights.permuted, lambda: dict(rows=rand(2, 5), generator=seeded()))

U = "sparsity.fused"


def part(**options: Any) -> fused.PenalizedWeight:
    return regularizer.ModuliRegularizer(layer(), generator=seeded(), **options).parts[0]


recipe(f"{U}.size_of", fused.size_of, lambda: dict(w=randn(4, 4), power=1.0, kernel=0))
recipe(f"{U}.size_grad", fused.size_grad, lambda: dict(w=randn(4, 4), power=1.0, kernel=0))
recipe(f"{U}.PenalizedWeight", fused.PenalizedWeight, lambda: dict(slot=slot(), layout=weights.layout(slot()), space=manifolds.Torus(), inhibitor=inhibitors.Ricker(), power=1.0, compiled=False))
method(f"{U}.PenalizedWeight.set_coefficients_", part, lambda: dict(values=rand(4, 4)))
recipe(f"{U}.place_", fused.place_, lambda: dict(part=part(), rows=manifolds.Torus().sample(4, seeded()), columns=None, train=False))
recipe(f"{U}.embed_", fused.embed_, lambda: dict(part=part(), given=None, train=False, generator=seeded()))
recipe(f"{U}.distances_of", fused.distances_of, lambda: dict(part=part()))
recipe(f"{U}.given_coefficients", fused.given_coefficients, lambda: dict(part=part(), values=rand(4, 4)))
recipe(f"{U}.Given", fused.Given, dict)
for _hook in ("evaluate", "value_and_grad"):
    method(f"{U}.Given.{_hook}", fused.Given, lambda: dict(d=rand(5)))
recipe(f"{U}.coefficient_view", fused.coefficient_view, lambda: dict(coefficients=rand(4, 4), layout=weights.Layout(4, 4)))
recipe(f"{U}.penalty_of", fused.penalty_of, lambda: dict(part=part(), scale=0.1))
recipe(f"{U}.add_gradient_to", fused.add_gradient_to, lambda: dict(part=part(), scale=0.1))
recipe(f"{U}.shrink_", fused.shrink_, lambda: dict(part=part(), factor=0.1))
recipe(f"{U}.mask_of", fused.mask_of, lambda: dict(part=part()))

Z = "sparsity.regularizer"
recipe(f"{Z}.equal_pull", regularizer.equal_pull, lambda: dict(strength=0.1, n=64, reference=4096))
recipe(f"{Z}.ramp", regularizer.ramp, lambda: dict(share=0.5, kind="linear"))
recipe(f"{Z}.PenaltyValue", regularizer.PenaltyValue, lambda: dict(parts=[part()], strength=0.1))
recipe(f"{Z}.Penalty", regularizer.Penalty, lambda: dict(parts=[part()], strength=0.1))


def reg(**options: Any) -> regularizer.ModuliRegularizer:
    return regularizer.ModuliRegularizer(layer(), generator=seeded(), **options)


def options() -> dict[str, Any]:
    return dict(layer=layer(), manifold="torus", inhibitor="ricker", strength=0.1, weight="weight_hh_l0", power=1.0, train_embedding=False, compiled=False,
                embedding=manifolds.Torus().sample(4, seeded()), recurrent=True, generator=seeded())


recipe(f"{Z}.ModuliRegularizer", regularizer.ModuliRegularizer, options)
method(f"{Z}.PenaltyValue.total", reg, lambda: dict(size=rand(1, 1, 4, 4), coefficients=rand(1, 1, 4, 4)))
for _hook in ("PenaltyValue.penalty", "PenaltyValue.forward", "Penalty.project_", "Penalty.freeze", "Penalty.masks", "ModuliRegularizer.extra_repr", "Penalty.add_gradient_"):
    method(f"{Z}.{_hook}", reg)
method(f"{Z}.Penalty.proximal_step_", reg, lambda: dict(lr=0.1))
method(f"{Z}.ModuliRegularizer.price", reg, lambda: dict(distances=rand(4, 4), generator=seeded()))

Y = "sparsity.penalties"
for _name in ("NoPenalty", "L1", "Shuffled", "DistanceShuffled", "SeRNN"):
    _kind = getattr(penalties, _name)
    recipe(f"{Y}.{_name}", _kind, options)
    method(f"{Y}.{_name}.price", lambda kind=_kind: kind(layer(), generator=seeded()), lambda: dict(distances=rand(4, 4), generator=seeded()))
recipe(f"{Y}.L2", penalties.L2, lambda: dict(options(), power=2.0))
method(f"{Y}.SeRNN.total", lambda: penalties.SeRNN(layer()), lambda: dict(size=rand(1, 1, 4, 4), coefficients=rand(1, 1, 4, 4)))
recipe(f"{Y}.communicability", penalties.communicability, lambda: dict(size=rand(4, 4)))

H = "sparsity.masks"


def square() -> dict[str, torch.Tensor]:
    return {"1.weight": rand(4, 4) > 0.5}


def guard() -> masks.Guard:
    return masks.Guard(model()[1], {"weight": rand(4, 4) > 0.5})


def held() -> masks.Masks:
    net = model()
    return masks.Masks(net, weights.weight_matrices(net, parameters=["1.weight"]), square())


recipe(f"{H}.bits", masks.bits, lambda: dict(values=rand(4)))
recipe(f"{H}.mask_", masks.mask_, lambda: dict(values=rand(4, 4), mask=rand(4, 4) > 0.5))
recipe(f"{H}.check_names", masks.check_names, lambda: dict(names=["1.weight"], weights={"1.weight": rand(4, 4)}, what="a mask is given"))
recipe(f"{H}.as_masks", masks.as_masks, lambda: dict(masks=square(), weights={"1.weight": rand(4, 4)}))
recipe(f"{H}.masked", masks.masked, lambda: dict(gradient=rand(4, 4), mask=rand(4, 4) > 0.5))
recipe(f"{H}.mask_gradient_", masks.mask_gradient_, lambda: dict(weight=nn.Parameter(rand(4, 4)), mask=rand(4, 4) > 0.5))
recipe(f"{H}.Guard", masks.Guard, lambda: dict(module=model()[1], masks={"weight": rand(4, 4) > 0.5}, keep_gradients=False))
recipe(f"{H}.watch_gradient", masks.watch_gradient, lambda: dict(guard=guard(), name="weight"))
recipe(f"{H}.mask_before_forward", masks.mask_before_forward, lambda: dict(guard=guard(), name="weight", called=model()))
recipe(f"{H}.give_back", masks.give_back, lambda: dict(guard=guard(), called=model()))
recipe(f"{H}.copy_guard", masks.copy_guard, lambda: dict(guard=guard(), memo={}))
recipe(f"{H}.tell_copies", masks.tell_copies, lambda: dict(guard=guard(), masks={"weight": rand(4, 4) > 0.5}))
recipe(f"{H}.guards_of", masks.guards_of, lambda: dict(model=model()))
recipe(f"{H}.follow", masks.follow, lambda: dict(average=copied()))
recipe(f"{H}.check_maskable", masks.check_maskable, lambda: dict(weights={"w": nn.Parameter(rand(4, 4))}))
recipe(f"{H}.Masks", masks.Masks, lambda: (lambda net: dict(model=net, weights=weights.weight_matrices(net, parameters=["1.weight"]), masks=square(), keep_gradients=False))(model()))
recipe(f"{H}.smallest", masks.smallest, lambda: dict(values=[rand(2, 9)], zeros=4, first=rand(2, 9) > 0.8))
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
recipe(f"{H}.MaskedModule", masks.MaskedModule, dict)
recipe(f"{H}.PrunedModule", masks.PrunedModule, dict)


def copied() -> nn.Module:
    import copy

    net = model()
    RECIPES["keep"] = lambda pruner=pruning.MagnitudePruner(net): (pruner, {})  # a copy follows as long as its source is there
    found = copy.deepcopy(net)
    del RECIPES["keep"]
    copied.source = net
    return found


N = "sparsity.pruning"


def pruner(kind: type[pruning.Sparsifier] = pruning.MagnitudePruner, **given: Any) -> pruning.Sparsifier:
    net = model()
    made = kind(net, 0.5, 4, generator=seeded(), prices={"1.weight": rand(4, 4)}, **given)
    net(rand(2, 3)).sum().backward()
    made.net = net
    return made


def sizes() -> dict[str, torch.Tensor]:
    return {"0.weight": rand(4, 3), "1.weight": rand(4, 4)}


recipe(f"{N}.progress", pruning.progress, lambda: dict(epoch=1, epochs=4, schedule="linear", heal=1))
recipe(f"{N}.scheduled_sparsity", pruning.scheduled_sparsity, lambda: dict(epoch=1, target=0.9, epochs=4, schedule="linear", heal=1))
recipe(f"{N}.erk_shares", pruning.erk_shares, lambda: dict(weights=sizes(), target=0.5))
recipe(f"{N}.check_blocks", pruning.check_blocks, lambda: dict(blocks={"1.weight": torch.arange(4) // 2}, weights=sizes()))
recipe(f"{N}.shares_by_threshold", pruning.shares_by_threshold, lambda: dict(shares="layer", weights=sizes(), target=0.5, replicas=None))
recipe(f"{N}.rows", pruning.rows, lambda: dict(values=[rand(2, 4)], replicas=2))
recipe(f"{N}.share_of_zeros", pruning.share_of_zeros, lambda: dict(weights=[rand(2, 4)], replicas=2))
recipe(f"{N}.sparsity", pruning.sparsity, lambda: dict(model=layer(replicas=2), replicas=2, parameters=["weight_hh_l0"]))
recipe(f"{N}.cut", pruning.cut, lambda: dict(sparsifier=pruner(), sizes=sizes(), epoch=2))
recipe(f"{N}.block_magnitudes", pruning.block_magnitudes, lambda: dict(weight=rand(4, 4), groups=torch.arange(4) // 2))
recipe(f"{N}.scale_to_left_", pruning.scale_to_left_, lambda: dict(weight=rand(2, 4, 4), mask=rand(2, 4, 4) > 0.5, replicas=2))
recipe(f"{N}.shuffle_mask", pruning.shuffle_mask, lambda: dict(mask=rand(2, 4, 4) > 0.5, generator=seeded(), by_row=False, replicas=2))
recipe(f"{N}.reinitialize", pruning.reinitialize, lambda: dict(model=model(), masks=square(), mode="redraw", scale="dense", generator=seeded()))
for _name in ("MagnitudePruner", "FixedMasks"):
    recipe(f"{N}.{_name}", getattr(pruning, _name), lambda: dict(
        model=model(), target=0.5, epochs=4, schedule="linear", shares="layer", heal=1, parameters=["1.weight"], blocks={"1.weight": torch.arange(4) // 2},
        prices={"1.weight": rand(4, 4)}, allowed=square(), generator=seeded()))
for _hook in ("Sparsifier.begin", "Sparsifier.thresholds"):
    method(f"{N}.{_hook}", pruner)
method(f"{N}.Sparsifier.update", pruner, lambda: dict(epoch=1))
method(f"{N}.MagnitudePruner.update", pruner, lambda: dict(epoch=1))
method(f"{N}.FixedMasks.update", lambda: pruning.MagnitudePruner.from_masks(model(), square()), lambda: dict(epoch=1))
method(f"{N}.Sparsifier.step", pruner, lambda: dict(epoch=1, optimizer=torch.optim.Adam(model().parameters())))
recipe(f"{N}.Sparsifier.from_masks", pruning.MagnitudePruner.from_masks, lambda: dict(model=model(), masks=square()))

V = "sparsity.rivals"
for _name, _given in {"Random": dict(fan_in=False, scale="dense"), "Geometric": dict(others="random"), "SET": dict(share=0.3), "RigL": dict(share=0.3), "Regrow": dict(heat=0.1)}.items():
    _kind = getattr(rivals, _name)
    recipe(f"{V}.{_name}", _kind, lambda given=_given: {"*arguments": [model(), 0.5, 4], "prices": {"1.weight": rand(4, 4)}, "generator": seeded(), **given})
    for _hook in ("begin", "first", "scores"):
        if hasattr(_kind, _hook):
            method(f"{V}.{_name}.{_hook}", lambda kind=_kind: pruner(kind))
    for _hook in ("update", "share_in"):
        if hasattr(_kind, _hook):
            method(f"{V}.{_name}.{_hook}", lambda kind=_kind: pruner(kind), lambda: dict(epoch=1))
for _hook in ("scores", "share_in", "update"):
    method(f"{V}.Rewiring.{_hook}", lambda: pruner(rivals.SET), lambda hook=_hook: {} if hook == "scores" else dict(epoch=1))
recipe(f"{V}.lots", rivals.lots, lambda: dict(sparsifier=pruner()))
for _name in ("by_block", "born", "keep_fan_in"):
    recipe(f"{V}.{_name}", getattr(rivals, _name), lambda: dict(sparsifier=pruner(), sizes=sizes()))
recipe(f"{V}.enlarge_", rivals.enlarge_, lambda: dict(sparsifier=pruner()))
recipe(f"{V}.priced", rivals.priced, lambda: dict(sparsifier=pruner()))
recipe(f"{V}.exchange", rivals.exchange, lambda: dict(sparsifier=pruner(rivals.SET), share=0.3, scores=sizes(), allowed={name: size >= 0 for name, size in sizes().items()}))
recipe(f"{V}.register_sparsifier", rivals.register_sparsifier, lambda: dict(kind=rivals.SET))
recipe(f"{V}.sparsifier", rivals.sparsifier, lambda: dict(text="set(share=0.1)"))
recipe(f"{V}.weight_uses", rivals.weight_uses, lambda: (lambda net: dict(model=net, run=lambda: net(rand(2, 3)), examples=2))(model()))
recipe(f"{V}.multiplications", rivals.multiplications, lambda: dict(model=model(), uses={"0.weight": 1.0, "1.weight": 1.0}, masks=square(), dense_gradients=0.1))
