# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Settings
#
# > An experiment as a flat list of checked values, each of which says whether it decides the result

# %% [markdown]
# *Reading 20 min, exercises 15 min. To skip at a first reading:* all of it, until you need it.
#
# After this chapter you can
#
# - describe an experiment as a `Config`, and add settings for a task of your own,
# - say which settings decide a result, and add one later without losing the runs that you have,
# - read what a wrong setting is answered with.
#
# The question: *twenty settings lead to one number. Somebody misspells one of them. When do you want to hear of it?*
#
# ```
# -p manifold sphere                               Config
# -p sparsty 0.9   -->  checked, all at once  -->  frozen, complete  -->  a run
#                       "did you mean sparsity?"
# ```

# %%
#| default_exp lab.settings

# %%
#| export
import math
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from typing import Any, ClassVar, get_args, get_type_hints

import torch

from modreg.geometry.arguments import MANY, ArgumentError, Device, Keywords, Within, check, check_memory, checked, nearest, shown
from modreg.geometry.inhibitors import inhibitor
from modreg.geometry.manifolds import manifolds_of
from modreg.geometry.specs import split
from modreg.layers.recurrent import RNN
from modreg.sparsity.penalties import PENALTIES, display_name
from modreg.sparsity.pruning import SCHEDULES, scheduled_sparsity
from modreg.sparsity.regularizer import RAMPS
from modreg.sparsity.rivals import sparsifier

# %%
#| hide
from dataclasses import replace

import matplotlib.pyplot as plt
from fastcore.test import test_eq, test_fail

from modreg.book.exercises import draw_bars, exercise

plt.style.use("modreg.data.book")

# %% [markdown]
# ## Hear of it now
#
# *Predict:* what does a Python function do with a keyword that it does not know? And papermill, with a parameter that its notebook does not have?
#
# Python refuses the keyword. papermill warns in its log and runs the notebook with the defaults, for hours. So settings here are a frozen dataclass, checked when it is made,
# and a name that is nearly right is answered with the right one:

# %%
test_eq(nearest("sparsty", ["strength", "sparsity"]), "did you mean 'sparsity'? ")
test_eq(nearest("pretzel", ["strength", "sparsity"]), "")


# %% [markdown]
# ## A field says what it is
#
# Each field has a comment for people and, where there is more to say than type and default, a `setting` for the code:
# whether it decides the result (a folder's name does not), which values it may take, whether it may stay `None`, and which value changes nothing.

# %%
#| export
@checked
def setting(
    default: Any,
    *,
    decides: bool = True,  # whether it can change a number of the result
    choices: Iterable[str] = (),  # what it may be; anything of its type if empty
    optional: bool = False,  # whether it may stay None; if not, a scale must have a value for it
    least: float | None = None,  # least value of a number; None: 1 for whole numbers, 0 where the default is 0 and for others
    within: Within | None = None,  # all bounds of a number, in place of `least`
    neutral: Any = MISSING,  # the value with which all is as if there were no such setting; the default, if not given
) -> Any:
    "A field of a `Config`"
    about = {"decides": decides, "choices": choices, "optional": optional, "least": least, "within": within}
    return field(default=default, metadata=about | {"neutral": default if neutral is MISSING else neutral})


@checked
def about(
    field: Field,
    name: str,  # "decides", "choices", "optional", "least", "within" or "neutral"
) -> Any:
    "What a field says of itself; a plain field decides, may be anything but None, and its default changes nothing"
    plain: dict[str, Any] = {"decides": True, "choices": (), "optional": False, "least": None, "within": None, "neutral": field.default}
    return field.metadata.get(name, plain[name])


# %% [markdown]
# All values are plain scalars, so that papermill can set every one of them from a command line. The fields below are shared by all tasks; a task adds its own.
# `None` stands for "as the scale says".

# %%
#| export
SHARES = ("global", "layer", "erk")
ORDERS = ("geometric", "random")
TICKETS = ("redraw", "rescaled", "original", "shuffled")


@dataclass(frozen=True, kw_only=True)
class Config(Keywords):
    "All settings of an experiment"

    manifold: str = "torus"  # circle, sphere, klein, torus6, torus*circle, …, with arguments as the chapter specs says; one for each recurrent weight: torus,sphere,klein
    inhibitor: str = "difference_of_gaussians"  # ricker, diffusion, sinusoid, gaussian, constant, …, with arguments as the chapter specs says
    penalty: str = setting("moduli", choices=PENALTIES)  # moduli (the method), none, l1, l2, shuffled, distance_shuffled, sernn
    power: float = setting(1.0, within=Within(1))  # n of eq. 6
    strength: float = setting(None, within=Within(0, 1e6))  # λ of eq. 6 in mean form
    ramp: str = setting("constant", choices=RAMPS)  # λ in the course of training: constant (the paper), linear, cubic, late
    train_embedding: bool = False  # learn the neurons' embedding together with the weights
    embedding_lr: float | None = setting(None, optional=True, within=Within(above=0, most=1e38))  # learning rate of a trained embedding; None: that of the weights
    sparsifier: str = "magnitude"  # magnitude (the paper), random, geometric, set, rigl, regrow, …, with arguments as the chapter rivals says
    sparsity: float = 0.9  # share of weights that is zero at the end
    schedule: str = setting(None, choices=SCHEDULES, neutral="linear")  # how sparsity rises: linear (the paper), cubic, one_shot
    shares: str = "global"  # zeros of each matrix: global (one threshold), layer (the same share), erk, or as in another run, by its folder
    heal: int = setting(None, least=0, neutral=0)  # epochs at the end that follow the last cut
    block: int | None = setting(None, optional=True)  # prune the recurrent weights between groups of so many neurons as one; None: each alone
    order: str | None = setting(None, optional=True, choices=ORDERS)  # neurons of a group: geometric (neighbours, the default with blocks), random
    sparse_products: str = setting("auto", decides=False, choices=("auto", "on", "off"))  # multiply by surviving weights alone where that is measured to be quicker: auto (large layers), on, off
    lottery: bool = True  # train again from new weights under the same masks
    twins: str = setting("both", decides=False, choices=("both", "plain"))  # dense networks that are trained beside the sparse one: both (with the penalty and without), plain (without)
    ticket: str = setting(None, choices=TICKETS, neutral="redraw")  # new weights: redraw (the paper), rescaled (redraw, what is left of a row as long as the row was drawn), original, shuffled (redraw, masks permuted)
    hidden: int = setting(None, least=2)  # number of hidden neurons N
    batch: int = setting(None)  # samples a step
    batches: int = setting(None)  # steps an epoch
    epochs: int = setting(None)  # epochs a phase
    lr: float = setting(None, within=Within(above=0, most=1e38))  # learning rate
    seeds: int = 3  # number of models, trained as one stacked computation
    seed: int = 0  # the first seed; the others follow it
    scale: str = setting("auto", decides=False)  # small (minutes on two cores), paper (for a GPU)
    device: str = setting("auto", decides=False)  # cpu, cuda
    out: str = setting("runs", decides=False)  # folder that holds the run folders

    task: ClassVar[str] = "none"
    scales: ClassVar[dict[str, dict[str, Any]]] = {}  # values for the other fields that are None, by scale

    def __post_init__(self):
        fill(self)
        check_types(self)
        check_values(self)


# %% [markdown]
# *Scales.* `auto` becomes `paper` where there is a GPU and `small` where there is none. There is a third, `tiny`, which ends in seconds and
# shows no more than that everything is wired up: tests use it, and `auto` means `tiny` under `nbdev_test`, which sets `IN_TEST`.

# %%
#| export
@checked
def fill(config: Config) -> None:
    "Put values in place of `auto` and of every None: the scale's, or else the neutral one"
    gpu = torch.cuda.is_available()
    auto = {"device": "cuda" if gpu else "cpu",
            "scale": "tiny" if os.environ.get("IN_TEST") else "paper" if gpu else "small"}
    for name, value in auto.items():
        if getattr(config, name) == "auto":
            object.__setattr__(config, name, value)
    if not isinstance(config.scale, str) or config.scale not in config.scales:
        known = ["auto", *config.scales]
        raise ValueError(f"scale={config.scale!r}; {nearest(config.scale, known)}it is one of {', '.join(map(repr, known))}")
    for name, value in config.scales[config.scale].items():
        if getattr(config, name) is None:
            object.__setattr__(config, name, value)
    for one in fields(config):
        if getattr(config, one.name) is None and one.default is None and not about(one, "optional"):
            object.__setattr__(config, one.name, about(one, "neutral"))
    if config.block is not None and config.order is None:
        object.__setattr__(config, "order", ORDERS[0])


# %% [markdown]
# Impossible values fail here, before anything is computed, with what was given and what is allowed.

# %%
#| export
@checked
def check_types(config: Config) -> None:
    "TypeError unless each value is of its field's type; a whole number will do for a float"
    hints = get_type_hints(type(config))
    for one in fields(config):
        value = getattr(config, one.name)
        allowed = set(get_args(hints[one.name]) or (hints[one.name],))
        if not about(one, "optional"):
            allowed.discard(type(None))
        if float in allowed and type(value) is int:
            object.__setattr__(config, one.name, value := float(value))
        if type(value) not in allowed:
            names = " or ".join(sorted(kind.__name__ for kind in allowed))
            raise TypeError(f"{one.name}={value!r} is of type {type(value).__name__}; it must be {names}")


# %%
#| export
@checked
def check_values(config: Config) -> None:
    "ValueError unless each value is possible, and they are possible together"
    for one in fields(config):
        _check_value(one, getattr(config, one.name))
    if config.sparsity >= 1:
        raise ValueError(f"sparsity={config.sparsity}; it is the share of zeros, at least 0 and less than 1 (0.9 is 90 %)")
    scheduled_sparsity(0, config.sparsity, config.epochs, config.schedule, config.heal)
    check("device", config.device, Device)
    _check_size(config)
    _check_penalty(config)
    _check_sparse(config)


def _check_value(one: Field, value: Any) -> None:
    choices = tuple(about(one, "choices"))
    if choices and value is not None and value not in choices:
        raise ValueError(f"{one.name}={value!r}; {nearest(value, choices)}it is one of {', '.join(map(repr, choices))}")
    least = about(one, "least")
    if least is None:
        least = 0 if type(value) is float or one.default == 0 else 1
    within = about(one, "within") or Within(least, 2**62 if one.name == "seed" else MANY if type(value) is int else math.inf)
    if type(value) in (int, float) and value not in within:
        raise ValueError(f"{one.name}={value}; give {within.words('a whole number' if type(value) is int else 'a finite number')}")


# %% [markdown]
# A network may be too large for the machine, or too small for its own settings; and results need a folder.

# %%
#| export
def _check_size(config: Config) -> None:
    copies = 6  # of a recurrent matrix: weights, gradients, two moments, prices, and masks, activations and the like
    check_memory(4 * copies * config.seeds * config.hidden**2, hidden=config.hidden, seeds=config.seeds)
    check_memory(4 * config.seeds * config.hidden * config.batch * getattr(config, "steps", 1), hidden=config.hidden, seeds=config.seeds, batch=config.batch)
    if config.block is not None and config.block > config.hidden:
        raise ValueError(f"block={config.block}, and the network has hidden={config.hidden} neurons; give a block of at most as many, such as 16")
    if config.hidden**2 * (1 - config.sparsity) < 1:
        raise ValueError(f"sparsity={config.sparsity} leaves not one of the {config.hidden**2:,} recurrent weights of hidden={config.hidden} neurons; give at most {1 - 1 / config.hidden**2:.6g}")
    if not config.out.strip() or "\0" in config.out or max(map(len, config.out.split("/"))) > 255:
        raise ValueError(f"out={shown(config.out)}; give the name of a folder, such as 'runs'")


# %% [markdown]
# What is possible alone may be impossible together. Whether a penalty can be made of these settings is known best by who makes it, so one is made, of a layer of two neurons.

# %%
#| export
@contextmanager
def _named(name: str, value: Any) -> Iterator[None]:
    "An error about a text names the setting that it is of"
    try:
        yield
    except ValueError as error:
        if name in str(error) or any(one.name in str(error) for one in fields(Config) if one.name != "out"):
            raise
        raise ValueError(f"{name} is {shown(value)}, and {error}") from None


# %%
#| export
def _check_penalty(config: Config) -> None:
    kind, layer = PENALTIES[config.penalty], RNN(1, 2, generator=torch.Generator())
    with _named("inhibitor", config.inhibitor):
        inhibitor(config.inhibitor)
    with _named("manifold", config.manifold), warnings.catch_warnings(action="ignore"):  # what is said there is said when the run's penalty is made
        for space in manifolds_of(config.manifold, len(split(config.manifold, ","))):
            kind(layer, space, config.inhibitor, config.strength, power=config.power, train_embedding=config.train_embedding, generator=torch.Generator())
    if config.embedding_lr is not None and not config.train_embedding:
        raise ValueError(f"embedding_lr={config.embedding_lr} with train_embedding=False: a fixed embedding does not learn; set train_embedding=True, or leave embedding_lr out")


def _check_sparse(config: Config) -> None:
    kind = sparsifier(config.sparsifier)  # raises, listing what there is
    if config.order is not None and config.block is None:
        raise ValueError(f"order={config.order!r} without blocks; set block to the number of neurons in a group, such as 16")
    if config.block is not None and config.train_embedding:
        raise ValueError(f"block={config.block} with train_embedding=True: blocks are of neurons that are neighbours, and these move; use a fixed embedding")
    if config.shares not in SHARES and not os.path.isfile(f"{config.shares}/train.safetensors"):  # Path.is_file raises for a name that is too long
        raise ValueError(f"shares={config.shares!r}; {nearest(config.shares, SHARES)}it is one of {', '.join(map(repr, SHARES))}, or the folder of a run that has ended its phase train")
    if config.sparse_products == "on" and getattr(getattr(kind, "func", kind), "needs_gradient", False):
        raise ValueError(f"sparse_products='on' with sparsifier={config.sparsifier!r}, which needs the gradients of weights that are zero: use 'auto' or 'off'")


# %% [markdown]
# ## A task adds its own
#
# A subclass adds fields and says what each scale puts in place of `None`:

# %%
@dataclass(frozen=True, kw_only=True)
class WaitConfig(Config):
    "Settings of a made-up task"

    wait: int = setting(None)  # how long to wait
    mood: str = setting("calm", choices=("calm", "tense"))  # calm, tense
    task: ClassVar[str] = "wait"
    scales: ClassVar = {"tiny": dict(wait=4, hidden=32, batch=32, batches=50, epochs=5, lr=5e-3, strength=1e-4)}


config = WaitConfig(scale="tiny", device="cpu")
test_eq((config.wait, config.hidden, config.mood), (4, 32, "calm"))
config

# %% [markdown]
# What a wrong setting is answered with:

# %%
test_fail(lambda: replace(config, manifold="pretzel"), contains="torus")
test_fail(lambda: replace(config, penalty="shufled"), contains="did you mean 'shuffled'?")
test_fail(lambda: replace(config, sparsty=0.9), contains="did you mean 'sparsity'?")
test_fail(lambda: replace(config, mood="tensed"), contains="did you mean 'tense'?")
test_fail(lambda: replace(config, sparsity=1.0), contains="less than 1")
test_fail(lambda: replace(config, hidden="many"), contains="must be int")
test_fail(lambda: replace(config, train_embedding=True, inhibitor="diffusion"), contains="train_embedding")


# %% [markdown]
# ## What decides a result
#
# Two runs are the same if nothing differs that could change a number. A setting at its `neutral` value is left out, as if there were no such setting: so a setting that is added later, with a default
# that changes nothing, leaves the identity of older runs as it was.

# %%
#| export
@checked
def decisive(
    config: Config,
) -> dict[str, Any]:  # by name
    "The settings that decide the result, but for those that change nothing"
    values = asdict(config)
    return {one.name: values[one.name] for one in fields(config)
            if about(one, "decides") and values[one.name] != about(one, "neutral")}


# %% [markdown]
# *Predict:* which of the settings below stand in the list: a manifold that is the default's, a number of neurons that the scale has chosen, a folder, a sparsity that is not the default's?

# %%
decisive(replace(config, sparsity=0.8, out="elsewhere"))


# %% [markdown]
# A field more, and the older run is still itself:

# %%
@dataclass(frozen=True, kw_only=True)
class LaterConfig(WaitConfig):
    "The same, with a setting that was thought of later"

    patience: float = 0.0  # how many times to wait again


later = LaterConfig(scale="tiny", device="cpu")
test_eq(decisive(later), decisive(config))
test_eq(decisive(replace(later, patience=2)), decisive(config) | {"patience": 2.0})


# %% [markdown]
# A reader is told less: the space or the control, how many zeros, and what else is unusual. Progress bars and reports call a run so. papermill is told what differs from the scale.

# %%
#| export
@checked
def label_of(
    config: Any,  # or whatever has its fields as attributes, such as what `config.json` holds
) -> str:
    "What a run trains, as in `torus, 90 % zeros`"
    space = display_name(config.manifold if config.penalty == "moduli" else config.penalty)
    more = [" trained" * config.train_embedding, f" {config.inhibitor}" * (config.inhibitor != "difference_of_gaussians" and config.penalty != "none")]
    rule = f", {config.sparsifier}" * (config.sparsifier != "magnitude")
    return f"{space}{''.join(more)}{rule}, " + (f"{100 * config.sparsity:g} % zeros" if config.sparsity else "dense")


@checked
def parameters_of(config: Config) -> dict[str, Any]:
    "What papermill is to be told: the scale, and what differs from it"
    usual = type(config)(scale=config.scale)
    return {one.name: getattr(config, one.name) for one in fields(config) if one.name in ("scale", "out") or getattr(config, one.name) != getattr(usual, one.name)}


@checked
def duration(seconds: float | None) -> str:
    "As in `2 h 10 min`; `not known yet` of None"
    if seconds is None:
        return "not known yet"
    minutes, hours = round(seconds / 60), int(seconds // 3600)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{hours} h {int(seconds % 3600 // 60)} min" if hours < 48 else f"{hours / 24:.1f} days"


# %%
test_eq([label_of(replace(config, **one)) for one in ({}, {"penalty": "none", "sparsity": 0.0})], ["torus, 90 % zeros", "no penalty, dense"])
test_eq(parameters_of(replace(config, sparsity=0.8)), {"sparsity": 0.8, "scale": "tiny", "out": "runs"})


# %% [markdown]
# ## From a notebook's cell
#
# The first call of an experiment's notebook hands all its plain variables to `from_parameters`, which knows which names exist.

# %%
#| export
class ParameterError(ArgumentError):
    "A parameter that makes no sense; a notebook that it ends shows its message alone"

    def _render_traceback_(self) -> list[str]:
        return [f"ParameterError: {self}"]


# %% [markdown]
# Who misspells a parameter on a command line wants to read which, and not through which functions the message came; so it is the last thing that the notebook and papermill say.

# %%
#| export
@checked
def from_parameters(
    config: type[Config],  # the task's config class
    namespace: dict[str, Any],  # the notebook's `globals()`
) -> Config:
    "Config from a notebook's parameters; a name that is no setting raises ValueError, suggests the nearest and lists what there is"
    plain: dict[str, Any] = {name: value for name, value in namespace.items()
             if not name.startswith("_") and name not in ("In", "Out")
             and isinstance(value, bool | int | float | str | list | tuple | dict | None)}
    known = {one.name: one for one in fields(config)}
    unknown = sorted(plain.keys() - known.keys())
    if unknown:
        listing = "\n".join(f"  {name} = {one.default!r}" for name, one in known.items())
        near = "".join(nearest(name, known) for name in unknown)
        raise ParameterError(f"The parameters of {config.task} and their defaults:\n{listing}\nno such parameter: {', '.join(unknown)}; {near}all that there are stand above")
    truth = {"true": True, "false": False}  # papermill's command line knows True and False, and hands true and false over as text
    for name in plain:
        if isinstance(known[name].default, bool) and str(plain[name]).lower() in truth:
            plain[name] = truth[str(plain[name]).lower()]
    try:
        return config(**plain)
    except (TypeError, ValueError) as error:
        raise ParameterError(str(error)) from error


# %%
test_fail(lambda: from_parameters(WaitConfig, {"manifod": "torus"}), contains="did you mean 'manifold'?")
test_eq(from_parameters(WaitConfig, {"scale": "tiny", "lottery": "false"}).lottery, False)

# %% [markdown]
# How many settings there are, and how many of them decide:

# %%
#| fig-alt: "A bar of 29 settings, of which 24 decide the result."
names = [one.name for one in fields(Config)]
idle = [one.name for one in fields(Config) if not about(one, "decides")]
fig, ax = plt.subplots(figsize=(6, 1.1), layout="constrained")
ax.barh(0, len(names) - len(idle), color="C0")
ax.barh(0, len(idle), left=len(names) - len(idle), color="0.8")
ax.text(1, 0, "decide the result", va="center", color="white")
ax.set(yticks=(), xlabel=f"settings; {', '.join(idle)} do not decide")
plt.show()


# %% [markdown]
# ## Exercise 1: whose fault?
#
# *5 min, easy.* A colleague's config differs from yours somewhere. List the settings that differ and decide.

# %%
def differences(a, b):
    "Sorted names of the settings that decide and differ between two configs"
    raise NotImplementedError


# %%
#| fold How it is checked
other = replace(config, out="elsewhere", sparsity=0.5, seeds=4)
with exercise("decisive(config) is a dict; a setting at its neutral value is in neither, or in one of them alone", lambda: draw_bars({name: name in differences(config, other) for name in ("out", "sparsity", "seeds", "lr")}, "decides and differs")) as expect:
    expect(lambda: differences(config, other), gives=["seeds", "sparsity"], name="the differences to a config with another out, sparsity and seeds")
    expect(lambda: differences(config, config), gives=[], name="the differences of a config to itself")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def differences(a, b):
#     ours, theirs = decisive(a), decisive(b)
#     return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
# ```
#
# </details>

# %% [markdown]
# ## Exercise 2: a default that changes
#
# *10 min, medium.* You want 0.95 instead of 0.9 as the default sparsity. What is then the identity of an old run with 0.9, and of a new one with 0.95? Say whether the two are taken for one another.

# %%
def confused(old_default, old_value, new_default, new_value):
    "Whether two runs with different values of a setting are taken for one, each made under the default of its time"
    raise NotImplementedError


# %%
#| fold How it is checked
cases = {"both at their defaults": (0.9, 0.9, 0.95, 0.95), "the default stays": (0.9, 0.9, 0.9, 0.95), "the old one said so": (0.9, 0.8, 0.95, 0.95)}
with exercise("a value is left out where it is the default of its time; two values are confused if both are left out, or say the same, and yet differ", lambda: draw_bars({name: confused(*case) for name, case in cases.items()}, "confused?")) as expect:
    for case, answer in zip(cases.values(), (True, False, False), strict=True):
        expect(confused, *case, gives=answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def confused(old_default, old_value, new_default, new_value):
#     said = [None if value == default else value for value, default in ((old_value, old_default), (new_value, new_default))]
#     return old_value != new_value and said[0] == said[1]
# ```
#
# Both are at their defaults, so both leave it out. That is why a run also keeps its settings in full, and why the chapter [runs](runs.ipynb) refuses a folder whose settings are others.
# Better: keep the old value neutral, `setting(0.95, neutral=0.9)`.
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - `scale` was left out of a run's identity, since all that it does is to fill in other fields. Then the speech network's dropout was made to depend on it, and two runs with different dropout shared a folder. Dropout is a field of its own now, and nothing else reads `scale`.
# - A field once said what it is in four places: its type, a list of choices, a list of optional fields, and the list of those that don't count. The lists were forgotten when fields were added.
# - The parameter cells of the chapters were copies, and drifted from the classes. A test compares them now: names, order, defaults, and comments.
#
# The published scripts are set by command lines, whose defaults decide what is left out; so navigation's L1 baseline ran with a penalty of zero ([reproduction](reproduction.ipynb)).
#
# ## Recall and think
#
# <details><summary>Recall: which settings are left out of a run's identity?</summary>
#
# Those that change no number, and those at their neutral value.
#
# </details>
#
# <details><summary>Recall: what does papermill do with an unknown name?</summary>
#
# It warns in its log and goes on, so the first call of a notebook checks.
#
# </details>
#
# <details><summary>Think: what breaks when a default is changed?</summary>
#
# A record that left it out is taken for the new default, unless the run's settings are kept in full.
#
# </details>
#
# **References.** nanoGPT, whose training script is set by a file of globals: readable, and unchecked. `open_lth`, whose hyperparameters say for themselves what they are.
