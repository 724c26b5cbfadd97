# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Weights
#
# > Which parameters of a model are weights, and which of their entries join which neurons

# %% [markdown]
# *Reading 20 min, exercises 8 min. To skip at a first reading:* all of it, until you need it.
#
# After this chapter you can
#
# - find all weight matrices of a model, and nothing that only looks like one,
# - say for a weight of any layer which of its entries lead from which neuron to which,
# - tell what is refused, and why.
#
# The question: *an LSTM of ten neurons has a recurrent weight of 40 × 10. Which of its 400 numbers belong to the connection from neuron 3 to neuron 7?*

# %%
#| default_exp sparsity.weights

# %%
#| export
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from modreg.geometry.arguments import Count, Shape, Within, checked, nearest

# %%
#| hide
import matplotlib.pyplot as plt
from fastcore.test import test_eq, test_fail

from modreg.book.exercises import draw_bars, exercise

plt.style.use("modreg.data.book")

# %%
#| code-fold: true
#| fig-alt: "A tall matrix of four stacked gates; the connection from neuron 3 to neuron 7 is one black square in each."
connection = torch.zeros(40, 10)
connection[7::10, 3] = 1
fig, ax = plt.subplots(figsize=(3, 5), layout="constrained")
ax.imshow(connection, cmap="Greys")
for gate, name in enumerate(("input", "forget", "cell", "output")):
    ax.axhline(10 * gate - 0.5, color="C0")
    ax.text(9.8, 10 * gate + 5, f"{name} gate", va="center")
ax.set(xlabel="from neuron", ylabel="row of the weight", title="from neuron 3 to neuron 7")
plt.show()


# %% [markdown]
# Four of them, one for each gate. *Predict:* how many numbers join channel 3 to channel 7 in a convolution with a kernel of 3 × 3, and along which dimensions of its weight do they lie?
#
# ## Which parameters are weights?
#
# A pruner wants all weight matrices of a model; a regularizer wants one by name. Both see a model as a list of slots. A slot is more than a parameter: a weight under a
# parametrization (`torch.nn.utils.parametrizations`) is no parameter at all, but computed from others each time that it is asked for.

# %%
#| export
@checked
@dataclass(frozen=True, eq=False)
class Slot:
    "Where a model keeps a weight: an attribute of one of its modules"
    owner: nn.Module | SimpleNamespace  # has the weight as an attribute
    attribute: str  # its name there
    name: str  # its name in the model, with dots
    computed: str = ""  # what computes the weight, if it is no parameter

    @property
    def weight(self) -> Tensor:
        "The weight in effect, as it is now"
        return getattr(self.owner, self.attribute)


# %% [markdown]
# What is *not* a weight, though it may have two dimensions: a bias of replicas, what a normalization scales by, and the embedding that a regularizer trains when the regularizer is part of the model. A module whose
# parameters are no weights says so with an attribute `holds_weights = False`.

# %%
#| export
NORMALIZATIONS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)


def _owners(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    "Modules that may own weights, by the prefix of their parameters' names"
    if getattr(module, "holds_weights", True) and not isinstance(module, NORMALIZATIONS):
        yield prefix, module
        for name, child in module.named_children():
            if not (name == "parametrizations" and parametrize.is_parametrized(module)):
                yield from _owners(child, f"{prefix}{name}.")


def _computed(owner: nn.Module) -> dict[str, str]:
    "Attributes of two or more dimensions that a module computes from parameters, and by what"
    found = {}
    for name, chain in getattr(owner, "parametrizations", {}).items() if parametrize.is_parametrized(owner) else ():
        if any(original.dim() >= 2 for original in chain.parameters(recurse=False)):
            found[name] = f"the parametrization {' and '.join(type(p).__name__ for p in chain)}"
    for name, value in vars(owner).items():  # as torch.nn.utils.prune and the older weight_norm and spectral_norm leave it
        if isinstance(value, Tensor) and value.dim() >= 2 and owner._parameters.keys() & {f"{name}_orig", f"{name}_v"}:
            found[name] = "a hook before each forward pass"
    return found


# %%
#| export
@checked
def slots(
    model: nn.Module,
) -> dict[str, Slot]:  # by name; a weight that is tied stands there under each of its names
    "All that may be a weight matrix: parameters of two or more dimensions, and computed weights; no bias, no normalization, no embedding of a regularizer"
    found = {}
    for prefix, owner in _owners(model):
        computed = _computed(owner)
        sources = {f"{name}_{of}" for name in computed for of in ("orig", "g", "v")}
        for name, p in owner._parameters.items():
            if p is not None and name not in sources and (isinstance(p, nn.UninitializedParameter) or p.dim() >= 2):
                found[prefix + name] = Slot(owner, name, prefix + name)
        found |= {prefix + name: Slot(owner, name, prefix + name, how) for name, how in computed.items()}
    return {name: slot for name, slot in found.items() if not (slot.attribute.startswith("bias") or slot.attribute.endswith("bias"))}


# %%
model = nn.Sequential(nn.Embedding(50, 8), nn.LayerNorm((3, 8)), nn.GRU(8, 5), nn.utils.parametrizations.weight_norm(nn.Linear(5, 2)))
test_eq([slot.computed for slot in slots(model).values()], ["", "", "", "the parametrization _WeightNorm"])
list(slots(model))


# %% [markdown]
# Pruning changes values in place, so it wants parameters, each once. A computed weight is refused by name: zeros among the numbers that it is computed from are not zeros of the weight.

# %%
#| export
@checked
def weight_matrices(
    model: nn.Module,
    replicas: Count | None = None,  # number of replicas S if dimension 0 of each parameter is theirs
    parameters: Iterable[str] | None = None,  # names to restrict to
) -> dict[str, nn.Parameter]:  # by name; of tied ones the first
    "All weight matrices of a model, or those that are named; ValueError if there are none, or one is computed, or its shape is not that of replicas"
    found = slots(model)
    if parameters is not None:
        found = {name: found[name] for name in _known(parameters, found, type(model).__name__)}
    weights: dict[str, Any] = {}  # parameters, since nothing else is stored
    for name, slot in found.items():
        _check_stored(slot)
        if all(slot.weight is not p for p in weights.values()) and (replicas is None or slot.weight.dim() >= 3 or parameters is not None):
            weights[name] = slot.weight
    if not weights:
        raise ValueError(f"{type(model).__name__} has no weight matrix{'' if replicas is None else f' of {replicas} replicas'}")
    for name, p in weights.items():
        if replicas is not None and (p.dim() < 3 or len(p) != replicas):
            raise ValueError(f"{name} has shape {tuple(p.shape)}; with replicas={replicas} its dimension 0 must be {replicas}, and a matrix follow")
    return weights


# %%
#| export
def _known(names: str | Iterable[str], found: dict[str, Slot], model: str) -> list[str]:
    "The names as a list; ValueError if one is unknown, or stands twice, or there are none"
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        if name not in found:
            near = nearest(str(name), list(found))
            raise ValueError(f"{model} has no weight {name!r}{f'; {near}' if near else '. '}Its weight matrices are: {', '.join(found) or 'none'}. Name one of them")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"weights {names}: name at least one, and each once; there are {', '.join(found) or 'none'}")
    return names


def _check_stored(slot: Slot) -> None:
    "ValueError if the weight is no parameter, or has no shape yet"
    if slot.computed:
        raise ValueError(f"{slot.name} is computed by {slot.computed} from other parameters, so it cannot be changed in place: "
                         "make it a plain parameter first (torch.nn.utils.parametrize.remove_parametrizations), or leave it out")
    if isinstance(slot.weight, nn.UninitializedParameter):
        raise ValueError(f"{slot.name} has no shape yet: pass a batch through the lazy module first")


# %%
torch.manual_seed(0)
plain = nn.Sequential(nn.Embedding(50, 8), nn.GRU(8, 5), nn.Linear(5, 50))
plain[2].weight = nn.Parameter(torch.randn(50, 5))
test_eq(list(weight_matrices(plain)), ["0.weight", "1.weight_ih_l0", "1.weight_hh_l0", "2.weight"])
test_eq(list(weight_matrices(plain, parameters=["2.weight"])), ["2.weight"])
test_fail(lambda: weight_matrices(plain, parameters=["2.weigth"]), contains="did you mean '2.weight'?")
test_fail(lambda: weight_matrices(model), contains="computed by the parametrization _WeightNorm")
test_fail(lambda: weight_matrices(nn.ReLU()), contains="no weight matrix")


# %% [markdown]
# ## Replicas, gates, rows, columns, kernel
#
# Whatever the layer, each entry of its weight belongs to a replica $s$, a gate $g$, an output neuron $u$, an input neuron $v$ and perhaps a place $k$ in a kernel. A `Layout` knows where in the tensor that is, and shows
# the same memory with all of these dimensions, in this order. So nothing else in this package has to know layers.
#
# | layer | weight | seen as $(S, G, U, V, K)$ |
# |---|---|---|
# | Elman layer, cell | $(N, N)$ | $(1, 1, N, N)$ |
# | GRU, LSTM | $(G N, N)$ | $(1, G, N, N)$ |
# | LSTM with a projection to $P$ | $(4 N, P)$ | $(1, 4, N, P)$ |
# | linear | $(U, V)$ | $(1, 1, U, V)$ |
# | convolution | $(U, V, k_1, k_2)$ | $(1, 1, U, V, k_1, k_2)$ |
# | transposed convolution | $(V, U, k_1, k_2)$ | $(1, 1, U, V, k_1, k_2)$ |
# | any of this package's with replicas | $(S, \dots)$ | $(S, \dots)$ |

# %%
#| export
@checked
@dataclass(frozen=True)
class Layout:
    "Which entries of a weight lead from which input neurons to which output neurons"
    rows: Count  # output neurons U
    columns: Count  # input neurons V
    gates: Count = 1  # entries for each pair of neurons, one below the other
    replicas: Count | None = None  # S, if they lead the shape
    kernel: Annotated[int, Within(0, 3)] = 0  # dimensions of a kernel, at the end
    transposed: bool = False  # whether input neurons stand before output neurons
    recurrent: bool = False  # whether output and input neurons are the same

    @property
    def pairs(self) -> int:
        "Number of connections of a replica: the entries of a matrix, or the slices of a convolution"
        return self.gates * self.rows * self.columns

    def view(self, values: Tensor) -> Tensor:  # (S, gates, rows, columns, …), with S = 1 where there are no replicas
        "The same memory as the weight, its gradient or its mask (…), with a dimension for each thing"
        values = values[None] if self.replicas is None else values
        return (values.transpose(1, 2) if self.transposed else values).unflatten(1, (self.gates, self.rows))


# %%
numbers = torch.arange(400).view(40, 10)
test_eq(Layout(10, 10, gates=4).view(numbers)[0, :, 7, 3], numbers[7::10, 3])
kernels = nn.ConvTranspose2d(8, 16, 3).weight
seen = Layout(16, 8, kernel=2, transposed=True).view(kernels)
assert torch.equal(seen[0, 0, 7, 3], kernels[3, 7]) and seen.data_ptr() == kernels.data_ptr()

# %% [markdown]
# ## From a layer to its layout
#
# Recurrent weights are known by torch's names for them: `weight_hh…` leads from hidden neurons to themselves. Everything else that owns a weight is looked at by its type. What has no answer is refused:
# in a convolution with groups a channel meets some channels only; a bilinear form joins three neurons; attention stacks three matrices for different neurons in one; and a table of words has no input neurons.

# %%
#| export
_REFUSED = {
    nn.Bilinear: "it joins three neurons with each number, and a distance is of two",
    nn.Embedding: "its rows are a table's entries, not neurons",
    nn.EmbeddingBag: "its rows are a table's entries, not neurons",
    nn.MultiheadAttention: "it stacks matrices of queries, keys and values; name the linear layer out_proj.weight, or use linear layers of your own",
}


@checked
def layout(
    slot: Slot,
    recurrent: bool | None = None,  # whether rows and columns are the same neurons; None: as the layer and its names say
) -> Layout:
    "How the weight of a slot is read; ValueError if it does not join pairs of neurons"
    owner, weight = slot.owner, slot.weight
    if isinstance(weight, nn.UninitializedParameter) or slot.computed.startswith("a hook"):
        _check_stored(slot)
    for kind, why in _REFUSED.items():
        if isinstance(owner, kind):
            raise ValueError(f"{slot.name} of a {type(owner).__name__} cannot be penalized by distance: {why}")
    if not weight.is_floating_point():
        raise ValueError(f"{slot.name} is {weight.dtype}; a weight that is penalized is float32, float64, float16 or bfloat16")
    if isinstance(owner, nn.modules.conv._ConvNd):
        return _convolution(slot, owner, weight, recurrent)
    if weight.dim() not in (2, 3):
        raise ValueError(f"{slot.name} has shape {tuple(weight.shape)}; a weight that joins neurons is (outputs, inputs), and may have replicas before that")
    return _matrix(slot, weight, recurrent)


# %%
#| export
def _convolution(slot: Slot, owner: nn.modules.conv._ConvNd, weight: Tensor, recurrent: bool | None) -> Layout:
    if owner.groups != 1:
        raise ValueError(f"{slot.name} has groups={owner.groups}: a channel meets only its own group, so there is no price for each pair of channels; use groups=1")
    if recurrent and owner.in_channels != owner.out_channels:
        raise ValueError(f"recurrent=True, but {slot.name} leads from {owner.in_channels} channels to {owner.out_channels}")
    return Layout(owner.out_channels, owner.in_channels, kernel=weight.dim() - 2, transposed=owner.transposed, recurrent=bool(recurrent))


def _matrix(slot: Slot, weight: Tensor, recurrent: bool | None) -> Layout:
    rows, columns = weight.shape[-2:]
    name, owner = slot.attribute, slot.owner
    if recurrent or (name.startswith("weight_hh") and not getattr(owner, "proj_size", 0)):  # gates are stacked; each leads from all neurons to all
        size = columns
    else:
        size = getattr(owner, "hidden_size", rows) if name.startswith(("weight_ih", "weight_hh")) else rows
    if size == 0 or rows % size:
        raise ValueError(f"{slot.name} has shape {tuple(weight.shape)}; a recurrent weight is (N, N) or (gates·N, N), and may have replicas before that")
    if recurrent is None:
        recurrent = size == columns and (name.startswith("weight_hh") or not (hasattr(owner, "in_features") or name.startswith(("weight_ih", "weight_hr"))))
    return Layout(size, columns, rows // size, weight.shape[0] if weight.dim() == 3 else None, recurrent=recurrent)


# %%
for layer, name in ((nn.LSTM(3, 8), "weight_hh_l0"), (nn.LSTM(3, 8, proj_size=2), "weight_hh_l0"), (nn.GRU(3, 8), "weight_ih_l0"), (nn.Linear(8, 8), "weight"), (nn.Conv1d(4, 6, 5), "weight")):
    print(f"{type(layer).__name__:7}", layout(slots(layer)[name]))
test_fail(lambda: layout(slots(nn.Conv2d(4, 4, 3, groups=2))["weight"]), contains="groups=2")
test_fail(lambda: layout(slots(nn.Bilinear(3, 4, 5))["weight"]), contains="three neurons")


# %% [markdown]
# A square linear layer leads from neurons to *other* neurons, as every linear layer does, while a square weight that stands alone is taken to be recurrent. Say `recurrent=True` or `False` where that is not so.
#
# ## What a regularizer is given
#
# A layer, a model with the names of weights, or nothing but a parameter:

# %%
#| export
def _layer(name: str) -> str:
    "The layer of a recurrent weight: its name without the direction"
    return name.removesuffix("_reverse")


@checked
def find_weights(
    layer: nn.Module | nn.Parameter,
    weight: str | Iterable[str] | None = None,  # names; None: all recurrent weights of a layer, or the weight of a linear layer or convolution
) -> list[Slot]:
    "The weights that are meant, in order; TypeError or ValueError that lists what there is, if none or others are meant"
    if isinstance(layer, nn.Parameter):
        if weight is not None:
            raise ValueError(f"weight={weight!r}, but a single parameter is given: leave the name out, or give the module that owns it")
        return [Slot(SimpleNamespace(weight=layer), "weight", "weight")]
    found = slots(layer)
    if weight is None:
        recurrent = sorted((name for name in found if name.startswith("weight_hh")), key=lambda name: (len(_layer(name)), name))
        weight = recurrent or [name for name in found if name == "weight"]
        if not weight:
            raise ValueError(f"{type(layer).__name__} has no weight 'weight_hh_l0' or 'weight' of its own; its weight matrices are: {', '.join(found) or 'none'}. "
                             "Name one with weight='…'")
    chosen = [found[name] for name in _known(weight, found, type(layer).__name__)]
    for k, slot in enumerate(chosen):
        for other in chosen[:k]:
            if not slot.computed and slot.weight is other.weight:
                raise ValueError(f"{slot.name} and {other.name} are one and the same parameter: name one of them")
    return chosen


# %%
lstm = nn.LSTM(8, 16, num_layers=2, bidirectional=True)
test_eq([slot.name for slot in find_weights(lstm)], ["weight_hh_l0", "weight_hh_l0_reverse", "weight_hh_l1", "weight_hh_l1_reverse"])
test_eq([slot.name for slot in find_weights(plain, "1.weight_hh_l0")], ["1.weight_hh_l0"])
test_fail(lambda: find_weights(plain), contains="1.weight_hh_l0")


# %% [markdown]
# Some things are asked for each weight, such as a space. One value is for all of them; a list has one for each, or, of a layer with two directions, one for each layer:

# %%
#| export
@checked
def for_each(
    values: list[Any],  # one for each weight, or one for each layer
    chosen: list[Slot],
    what: str,  # how to call them in a message
) -> list:  # one for each weight
    "The values in the order of the weights; ValueError if their number fits neither weights nor layers"
    layers = list(dict.fromkeys(_layer(slot.name) for slot in chosen))
    if len(values) == len(chosen):
        return list(values)
    if len(values) == len(layers):
        return [values[layers.index(_layer(slot.name))] for slot in chosen]
    count = f"{len(chosen)} weights" + (f" in {len(layers)} layers" if len(layers) < len(chosen) else "")
    raise ValueError(f"{what} is a list of {len(values)} for {count} ({', '.join(slot.name for slot in chosen)}): give one for all, or one for each")


# %%
test_eq(for_each(["torus", "sphere"], find_weights(lstm), "manifold"), ["torus", "torus", "sphere", "sphere"])
test_fail(lambda: for_each(["torus"] * 3, find_weights(lstm), "manifold"), contains="4 weights in 2 layers")


# %% [markdown]
# ## The same values in another order
#
# Controls of penalties and of lottery tickets deal values out again.

# %%
#| export
@checked
def permuted(
    rows: Annotated[Tensor, Shape("S n", empty=True)],  # (S, n)
    generator: torch.Generator | None = None,
) -> Tensor:  # (S, n)
    "The same values in random places, each row on its own"
    device = "cpu" if generator is None else generator.device
    orders = [torch.randperm(rows.shape[1], generator=generator, device=device) for _ in rows]
    return torch.stack([row[order.to(row.device)] for row, order in zip(rows, orders, strict=True)])


# %%
values = torch.arange(12.0).view(2, 6)
test_eq(permuted(values, torch.Generator().manual_seed(0)).sort(1).values, values)


# %% [markdown]
# ## Exercise 1: the four numbers of the picture
#
# *5 min, medium.* Write a function that finds the four numbers of the picture above, for any LSTM, with a `Layout` and no arithmetic of your own.

# %%
def gates_of(weight, source, target):
    "The numbers (4,) that an LSTM's weight (4·N, N) has for the connection from one neuron to another, one a gate"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("make a Layout of the shape of `weight` with 4 gates: the first dimension of its view is that of replicas, the second that of gates; rows are where a connection leads to",
              lambda: draw_bars(dict(zip(("input", "forget", "cell", "output"), gates_of(numbers, 3, 7), strict=True)), "weight from 3 to 7")) as expect:
    expect(gates_of, numbers, 3, 7, gives=numbers[7::10, 3])


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def gates_of(weight, source, target):
#     n = weight.shape[1]
#     return Layout(n, n, gates=4).view(weight)[0, :, target, source]
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: a table that is no weight
#
# *3 min, easy.* A module of your own keeps a table of shape (5, 2) that is no weight. Make `weight_matrices` leave it alone.

# %%
class Table(nn.Module):
    "A module with a parameter `table` of shape (5, 2) that is no weight"
    def __init__(self):
        super().__init__()
        raise NotImplementedError


# %%
#| fold How it is checked
with exercise("a class attribute, called holds_weights, says that a module holds none", lambda: draw_bars({name: parameter.numel() for name, parameter in nn.Sequential(Table(), nn.Linear(3, 4)).named_parameters()}, "numbers; only 1.weight is a weight")) as expect:
    expect(lambda: [tuple(p.shape) for p in Table().parameters()], gives=[(5, 2)], name="the shapes of its parameters")
    expect(lambda: list(weight_matrices(nn.Sequential(Table(), nn.Linear(3, 4)))), gives=["1.weight"], name="the weights that are found in it and a linear layer")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# class Table(nn.Module):
#     holds_weights = False
#
#     def __init__(self):
#         super().__init__()
#         self.table = nn.Parameter(torch.zeros(5, 2))
# ```
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - At first a pruner took each parameter of two dimensions or more. So it pruned the trained embedding of a regularizer that was part of the model, and the embedding left its sphere; it pruned the biases of replicas,
#   and the bounds of a layer's normalization.
# - Under `weight_norm` it pruned directions. A row that was pruned away is divided by its length 0, and all outputs became NaN.
# - The published scripts name the weights that they penalize and prune one by one, for each network anew.
#
# ## Recall and think
#
# <details><summary>Recall: how many of an LSTM's recurrent numbers belong to one connection?</summary>
#
# Four of them, one for each gate.
#
# </details>
#
# <details><summary>Recall: why is a computed weight refused by the pruner?</summary>
#
# Zeros among what it is computed from are not zeros of the weight.
#
# </details>
#
# <details><summary>Think: in attention, which numbers would be "the connection from token to token"?</summary>
#
# None that is stored: it is computed for each input. So a price for it would have to be paid on activity, not on weights.
#
# </details>
#
# **References.** Appendix I of the paper, for linear layers and convolutions. Paszke et al., *PyTorch* (2019), for the names of weights.
