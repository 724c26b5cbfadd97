# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Specs
#
# > Spaces and inhibitors as text, with arguments: read by a small parser, never run as a program

# %% [markdown]
# *Reading 20 min, exercises 10 min. To skip at a first reading:* all of it, until you need it.
#
# After this chapter you can
#
# - write a space with its arguments wherever a name is taken: on a command line, in a settings file, in a notebook's parameters,
# - give a name to a class of your own, so that every task and notebook knows it,
# - say what such a text can make the computer do, and what it can't.
#
# The question: *how does the text `torus(period=20)` become a torus of period 20, if nobody may run it as Python?*
#
# ```
# "2 torus(period=20) + sphere"   a text, from a command line or a settings file
#      |  read: numbers, names, brackets, two signs; nothing is run
#  +---+----+
#  |        |
# 2 torus  sphere                 names that somebody registered
#  period=20                      arguments that the class takes, and no others
# ```

# %%
#| default_exp geometry.specs

# %%
#| export
import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, get_args, get_origin

from modreg.geometry.arguments import checked, nearest, shown

# %%
#| hide
from fastcore.test import test_eq, test_fail

from modreg.book.exercises import draw_bars, draw_lines, exercise
from modreg.geometry.inhibitors import inhibitor
from modreg.geometry.manifolds import Torus, manifold, manifolds_of, register_manifold

# %% [markdown]
# What can be written, first:
#
# | text | what it is |
# |---|---|
# | `torus` | a name, with every argument at its default |
# | `torus(period=20)`, `torus(2, 20)` | arguments by keyword, or in order |
# | `torus6`, `r3`, `s3` | a number at the end of a name is the dimension |
# | `difference_of_gaussians(b=3)` | an inhibitor, by the same rules |
# | `torus*circle` | a product of spaces |
# | `torus * 2 circle(radius=2)` | a number before a part is its weight |
# | `torus+sphere` | modules of neurons, each on a space of its own |
# | `(torus+sphere)*circle` | parentheses, as in arithmetic; `*` binds tighter than `+` |
# | `mesh(path/to/cortex.ply)` | text as an argument; in quotes if it holds a comma, a parenthesis or an `=` |
# | `torus,sphere,klein` | several, such as one for each layer |
# | `mine:band(width=3)` | the module `mine` is imported, where `band` gets registered |

# %%
for text in ("torus(period=20)", "torus(2, 20)", "torus6", "s3(radius=2)"):
    print(f"{text:20}{manifold(text)}")
for space in manifolds_of("torus, klein(period=5)", 2):
    print(space)
print(inhibitor("difference_of_gaussians(b=3)"))

# %% [markdown]
# The obvious way is Python's `eval`. It is short, and it runs whatever it gets:

# %%
text = "[print('your files could be gone now'), Torus(period=20)][1]"
print(eval(text))
test_fail(lambda: manifold(text), contains="unknown manifold")

# %% [markdown]
# A setting travels: it stands in scripts, in the files of a run, in somebody else's table. So it has to be *data*. The parser below knows names that were registered, numbers and text, and nothing else.
#
# *Predict:* what should happen with `torus(perod=20)`: a torus of the default period, or an error? Which of the two would cost you a night of computing?
#
# ## Cut, and cut again
#
# The whole parser is one idea: cut the text at a separator that stands outside of parentheses and quotes. A comma parts several texts, `+` and `*` part operands, and within parentheses a comma parts arguments.

# %%
#| export
PAIRS = {"(": ")", "[": "]"}  # what opens, and what closes it


@checked
def split(
    text: str,
    separator: str,  # one character
) -> list[str]:  # the pieces, without blanks around them
    "Cut a text at each separator outside of parentheses, brackets and quotes; ValueError where these don't close"
    pieces, quote = [""], ""
    open_: list[str] = []
    for char in text:
        if char == separator and not open_ and not quote:
            pieces.append("")
            continue
        pieces[-1] += char
        if quote or char in "'\"":
            quote = char if not quote else "" if char == quote else quote
        elif char in PAIRS:
            open_.append(char)
        elif char in PAIRS.values():
            if not open_ or PAIRS[open_.pop()] != char:
                raise ValueError(f"{char!r} closes nothing in {text!r}; write as many '(' as ')'")
    if open_ or quote:
        raise ValueError(f"{quote or open_[-1]} is not closed in the text {shown(text)}; close it")
    return [piece.strip(" ") for piece in pieces]


# %%
test_eq(split("torus, mesh('a,b.ply', 2), klein", ","), ["torus", "mesh('a,b.ply', 2)", "klein"])
test_eq(split("(torus+sphere)*circle", "+"), ["(torus+sphere)*circle"])
for wrong, word in (("torus(", "not closed"), ("torus)", "closes nothing"), ("mesh('a)", "not closed")):
    test_fail(lambda wrong=wrong: split(wrong, ","), contains=word)

# %% [markdown]
# A piece that is left is a value: a number, a yes or no, a list, or just text, such as the path of a file. Quotes protect text from being read as something else.

# %%
#| export
WORDS = {"true": True, "false": False, "none": None}


@checked(finite=False)
def value(text: str) -> Any:
    "A number, True, False, None, a tuple in brackets, or the text itself"
    if text[:1] in ("'", '"') and text.endswith(text[0]) and len(text) > 1:
        return text[1:-1]
    if text.startswith("[") and text.endswith("]"):
        return tuple(value(item) for item in split(text[1:-1], ",") if item)
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf|nan", text, re.IGNORECASE):
        return float(text)
    return WORDS.get(text.lower(), text)


# %%
#| export
@checked
def written(thing: Any) -> str:
    "The text that `value` reads as this: exact, and as short as can be"
    if isinstance(thing, (tuple, list)):
        return f"[{', '.join(map(written, thing))}]"
    if isinstance(thing, float) and thing.is_integer() and abs(thing) < 1e15:
        return str(int(thing))
    if isinstance(thing, str):
        plain = value(thing) is thing and thing == thing.strip() and not re.search(r"[()\[\]'\",=]", thing)
        return thing if plain else f'"{thing}"' if "'" in thing else f"'{thing}'"
    return str(thing).lower() if thing is None or isinstance(thing, bool) else repr(thing)


# %%
test_eq([value(text) for text in ("20", "-1e-3", "inf", "true", "a/b.ply", "'20'", "[1, 2.5]")],
        [20, -1e-3, float("inf"), True, "a/b.ply", "20", (1, 2.5)])
for thing in (20, 0.1 + 0.2, True, None, "a b", "a,b", "20", (1, "x"), ""):
    test_eq(value(written(thing)), thing)

# %% [markdown]
# ## Arguments meet their function
#
# Registered is a class, such as `Torus`, and its constructor says which arguments there are. What doesn't fit is refused in words, before anything is made: which name, what was given, what is allowed, and which of it is nearest.

# %%
#| export
KINDS: dict[str, tuple[Any, str]] = {"int": (int, "a whole number"), "float": ((int, float), "a number"), "bool": (bool, "true or false")}


def _fitting(text: str, parameter: inspect.Parameter, owner: str) -> Any:
    "The value of an argument, if it is of the annotated kind; text stays text where that is asked for"
    kind = get_args(parameter.annotation)[0] if get_origin(parameter.annotation) is Annotated else parameter.annotation
    kind, found = getattr(kind, "__name__", str(kind)), value(text)
    if "str" in re.findall(r"\w+", kind):
        return found if isinstance(found, str) else text
    allowed, words = KINDS.get(kind, (object, ""))
    if not isinstance(found, allowed) or (isinstance(found, bool) and kind in ("int", "float")):
        raise ValueError(f"{parameter.name} of {owner} is {text!r}; give {words}")
    return float(found) if kind == "float" else found


# %%
#| export
@checked
def bind(
    owner: str,  # name that takes the arguments, for messages
    maker: Callable,  # whose parameters they are
    texts: list[str],  # such as ["2", "period=20"]
) -> inspect.BoundArguments:  # their values, in place
    "Match texts with the parameters of a function; ValueError that says what is allowed if they don't fit"
    signature, order = inspect.signature(maker), []
    named: dict[str, str] = {}
    takes = f"{owner} takes {', '.join(signature.parameters) or 'no arguments'}"
    for text in texts:
        keyword = re.fullmatch(r"([A-Za-z_]\w*) *= *(.*)", text)
        if not text or (keyword and not keyword[2]):
            raise ValueError(f"an argument of {owner} has no value; {takes}")
        if keyword[1] in named if keyword else named:
            raise ValueError(f"{text!r} {'comes a second time' if keyword else 'has no keyword, and follows one that has'}; {takes}")
        named.update({keyword[1]: keyword[2]}) if keyword else order.append(text)
    try:
        bound = signature.bind(*order, **named)
    except TypeError as error:
        guesses = "".join(nearest(name, list(signature.parameters)) for name in named if name not in signature.parameters)
        raise ValueError(f"{owner}: {error}; {guesses}{takes}") from None
    for name, text in bound.arguments.items():
        parameter = signature.parameters[name]
        many = parameter.kind is parameter.VAR_POSITIONAL
        bound.arguments[name] = tuple(_fitting(item, parameter, owner) for item in text) if many else _fitting(text, parameter, owner)
    return bound


# %%
def tower(floors: int, height: float = 3.0, material: str = "wood"):
    return floors, height, material


bound = bind("tower", tower, ["4", "material=20"])
test_eq(tower(*bound.args, **bound.kwargs), (4, 3.0, "20"))
for texts, words in (
    (["4", "hight=2"], "did you mean 'height'? tower takes floors, height, material"),
    (["2.5"], "floors of tower is '2.5'; give a whole number"),
    (["4", "tall"], "height of tower is 'tall'; give a number"),
    ([], "missing a required argument: 'floors'"),
    (["1", "2", "3", "4"], "too many positional arguments"),
    (["height=2", "4"], "has no keyword, and follows one that has"),
    (["4", "height="], "has no value"),
):
    test_fail(lambda texts=texts: bind("tower", tower, texts), contains=words)


# %% [markdown]
# ## A registry of names
#
# A registry holds what each name makes, and the operators that join parts. Whoever writes a space registers it; nobody edits a list.
# Spaces and inhibitors have a registry each, `MANIFOLDS` and `INHIBITORS`. As a mapping it has the names that need no argument.

# %%
#| export
@checked
class Registry(Mapping):
    "Names of things of one kind, and how to make them from text; as a mapping, the names that stand alone and what they make"

    def __init__(
        self,
        label: str,  # what the things are called in messages, such as "manifold"
        kind: type,  # class of all things
    ):
        self.label, self.kind = label, kind
        self.makers: dict[str, Any] = {}  # classes and functions that make things, and things that are ready
        self.numbered: dict[str, Callable] = {}  # the same for names that stand only with a number, such as the r of r3
        self.operators: dict[str, Callable] = {}  # what joins parts, the loosest first

    def register(
        self,
        name: str,  # letters, digits and _
        maker: Any,  # a class or a function whose arguments can be written in text; or a thing that is ready
        numbered: bool = False,  # the name stands only with a number, which is `maker`'s first argument
    ) -> None:
        "Give a name to what makes a thing; ValueError if it is another's"
        _check_entry(self, name, maker)
        (self.numbered if numbered else self.makers)[name] = maker

    def make(self, text: Any) -> Any:
        "The thing that a text describes; a thing passes through"
        if isinstance(text, self.kind):
            return text
        if isinstance(text, str):
            return _parsed(self, text)
        instance = f"an instance, such as {text.__name__}()" if inspect.isclass(text) else f"a name or a {self.kind.__name__}"
        raise TypeError(f"{self.label} is {f'the class {text.__name__}' if inspect.isclass(text) else f'a {type(text).__name__}'}; give {instance}")

    def spell(self, thing: Any) -> str:
        "The text that makes a thing again; its `repr` if its class has no name"
        return _spelled(self, thing)

    def __getitem__(self, name):
        if name not in set(self):
            raise KeyError(name)
        return self.make(name)

    def __iter__(self):
        return (name for name, maker in self.makers.items() if isinstance(maker, self.kind) or _needs_nothing(maker))

    def __len__(self):
        return len(list(iter(self)))


# %%
#| export
def _needs_nothing(maker: Callable) -> bool:
    "Whether a function can be called without arguments"
    try:
        inspect.signature(maker).bind()
    except TypeError:
        return False
    return True


def _check_entry(registry: Registry, name: str, maker: Any) -> None:
    "TypeError or ValueError if this can't be registered"
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z]\w*", name):
        raise ValueError(f"{name!r} can't name a {registry.label}; give letters, digits and _, with a letter first")
    right = issubclass(maker, registry.kind) if inspect.isclass(maker) else isinstance(maker, registry.kind) or inspect.isroutine(maker)
    if not right:
        raise TypeError(f"{name} is {maker!r}; register a {registry.kind.__name__}, a subclass of it, or a function that makes one")
    old = registry.makers.get(name, registry.numbered.get(name, maker))
    home, again = (getattr(one, "__qualname__", None) and (one.__module__, one.__qualname__) for one in (old, maker))
    told = home and again and again == ("__main__", home[1])  # a chapter that tells the package's own class
    same = told or (home == again if again else type(old) is type(maker) and old == maker)  # a cell that runs again makes its class anew
    if not same:
        raise ValueError(f"the {registry.label} {name!r} is {old!r} already; choose another name")


# %% [markdown]
# ## From the outside in
#
# A text is read from the outside in: first `+`, which binds loosest, then `*`, then parentheses, then a name with its arguments. A number
# before a part is its weight. What weights mean is for the operator to say.

# %%
#| export
def _parsed(registry: Registry, text: str) -> Any:
    "What a text makes"
    text = text.strip(" ")
    for symbol, join in registry.operators.items():
        pieces = split(text, symbol)
        if "" in pieces and text:
            raise ValueError(f"a part is missing beside {symbol!r} in {text!r}")
        if len(pieces) > 1:
            weights, parts = zip(*(_weighted(registry, piece) for piece in pieces), strict=True)
            return join(parts, weights)
    split(text, ",")  # says what does not close
    if text.startswith("(") and text.endswith(")"):
        return _parsed(registry, text[1:-1])
    call = re.fullmatch(r"([A-Za-z_][\w.]*:)?([A-Za-z_]\w*)(?: *\((.*)\))?", text, re.DOTALL)
    if not call:
        raise ValueError(_unknown(registry, text))
    if call[1]:
        _load(call[1][:-1])
    inside = (call[3] or "").strip(" ")
    return _called(registry, call[2], split(inside, ",") if inside else [])


def _weighted(registry: Registry, piece: str) -> tuple[float, Any]:
    "The number before a part, or 1, and what the part makes"
    number = re.match(r"\d+(\.\d+)?(e[+-]?\d+)? *(?=[A-Za-z(])", piece)
    return (value(number[0].strip(" ")), _parsed(registry, piece[number.end():])) if number else (1, _parsed(registry, piece))


# %%
#| export
def _called(registry: Registry, name: str, texts: list[str]) -> Any:
    "What a name makes of its arguments"
    maker = registry.makers.get(name)
    if isinstance(maker, registry.kind) and not texts:
        return maker
    number = re.fullmatch(r"(\w*?)([1-9]\d{0,3})", name)
    if number and not inspect.isroutine(maker) and not inspect.isclass(maker):  # torus6, r3
        family = registry.numbered.get(number[1], registry.makers.get(number[1]))
        if next(iter(inspect.signature(family).parameters), "") == "dim" if callable(family) else False:
            maker, texts = family, [number[2], *texts]
    if maker is None:
        raise ValueError(_unknown(registry, name))
    if isinstance(maker, registry.kind):
        raise ValueError(f"{name} is a ready {registry.label} and takes no arguments")
    bound = bind(name, maker, texts)
    return maker(*bound.args, **bound.kwargs)


def _unknown(registry: Registry, name: str) -> str:
    "What to say of a name that nobody registered"
    known = [*registry, *(f"{name}N" for name in registry.numbered), *(f"{name}(…)" for name in registry.makers if name not in set(registry))]
    what = f"unknown {registry.label} {name!r}; {nearest(name, list(registry.makers))}" if name else f"the {registry.label} is an empty text; "
    return f"{what}choose one of {', '.join(known)}; arguments stand in parentheses"


# %% [markdown]
# ## Names of your own
#
# `register_manifold("band", Band)` and `register_inhibitor("reach", Reach)` stand beside these, and are all that it takes in one's own notebook or script. When papermill starts a
# kernel of its own, nobody has registered anything yet. So a text may name the module that does: `mine:band(width=3)` imports `mine`, where `band` is registered, and goes on with the rest.
#
# This is the one thing that such a text can make the computer *do*: import a module that lies on Python's path, such as `mine.py` in the folder where one works, just as `python -m mine` would. It
# can't call what was not registered: `os:system(x)` imports `os` and then finds no space of that name.

# %%
#| export
def _load(module: str) -> None:
    "Import a module, so that it registers its names"
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(f"there is no module {error.name!r} to import for {module + ':'!r}; it must lie on Python's path, such as in the folder where you work") from error


# %% [markdown]
# ## And back to text
#
# A thing is written as its name with the arguments that differ from their defaults. So a run's settings can say which space it had, and a title too.

# %%
#| export
def _spelled(registry: Registry, thing: Any) -> str:
    "The text that makes a thing again"
    ready = [name for name, maker in registry.makers.items() if type(maker) is type(thing) and maker == thing]
    if ready:
        return ready[0]
    heads = [name for name, maker in registry.makers.items() if maker is type(thing)]
    families = [name for name, maker in registry.numbered.items() if maker is type(thing)]
    if not (heads or families) or not is_dataclass(thing):
        return heads[0] if heads else repr(thing)
    changed = {f.name: getattr(thing, f.name) for f in fields(thing) if f.init and getattr(thing, f.name) != f.default}
    if not heads or "dim" in changed:
        heads = [f"{(families or heads)[0]}{thing.dim}"]  # type: ignore[union-attr]
        changed.pop("dim", None)
    return call_text(heads[0], **changed)


# %%
#| export
@checked
def call_text(
    name: str,  # what is called
    **changed: Any,  # its arguments
) -> str:  # such as "torus(period=20)"
    "A name with arguments as they are written in a spec"
    return f"{name}({', '.join(f'{key}={written(thing)}' for key, thing in changed.items())})" if changed else name


# %%
for text in ("torus", "torus6", "torus(period=20)", "torus6(period=0.1)", "s4(radius=2)", "r3", "r2(side=5)", "klein(period=5)", "circle(radius=1)"):
    test_eq(manifold(text).name, text)
test_eq(manifold("torus( 2 , 10.0 )").name, "torus")
for text, words in (
    ("donut", "choose one of circle, sphere, torus"),
    ("spere", "did you mean 'sphere'?"),
    ("torus(perod=20)", "did you mean 'period'? torus takes dim, period"),
    ("torus(period=long)", "period of torus is 'long'; give a number"),
    ("torus(period=-1)", "give a positive finite number"),
    ("torus(", "not closed"),
    ("", "empty text"),
    ("os:system(ls)", "unknown manifold 'system'"),
    ("no_such_file:band", "there is no module 'no_such_file'"),
):
    test_fail(lambda text=text: manifold(text), contains=words)


# %% [markdown]
# So much for the question at the top and for `torus(perod=20)`: the text is cut, its name is looked up, its arguments are compared with the parameters of a class, and a misspelt one is an error with the nearest right word.
#
# ## Exercise 1: a name for a space of your own
#
# *5 min, easy.* Give the name `wide` to tori of period 100, so that `manifold("wide")` is one, and so that `"wide(dim=3)"` works too. A function will do.

# %%
def wide():
    "A torus of period 100, of as many dimensions as one says, or 2"
    raise NotImplementedError


# %%
#| fold How it is checked
def read(text):
    "What a text means while `wide` is registered"
    wide()
    register_manifold("wide", wide)
    return manifold(text)


with exercise("the function needs a parameter dim, whose default is 2, and the annotation int", lambda: draw_bars({text: read(text).diameter for text in ("torus", "wide", "wide(dim=3)")}, "diameter")) as expect:
    expect(read, "wide", gives=Torus(2, 100.0))
    expect(read, "wide(dim=3)", gives=Torus(3, 100.0))
    expect(lambda: read("wide").name, gives="torus(period=100)", name="the name of a wide torus")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def wide(dim: int = 2):
#     return Torus(dim, 100.0)
# ```
#
# The parameters of the function are the arguments of the text, and their annotations say what is read as a number. Its `name` is still that of the torus, `torus(period=100)`, which makes the same space.
#
# </details>

# %% [markdown]
# ## Exercise 2: read a list
#
# *5 min, easy.* Settings often hold several specs in one text. Write a function that makes a list of inhibitors from texts such as `"ricker(s=2), diffusion"`.

# %%
def inhibitors_of(text):
    "List of the inhibitors that a text names, with commas between"
    raise NotImplementedError


# %%
#| fold How it is checked
def picture():
    import torch

    d = torch.linspace(0, 5, 100)
    draw_lines("distance", "price", **{f.name: (d, f(d)) for f in inhibitors_of("ricker(s=2), difference_of_gaussians(a=3, b=3)")})


with exercise("cut at the commas that stand outside of parentheses, then read each piece: `split` of this chapter knows which commas are outside", picture) as expect:
    text = "ricker(s=2), difference_of_gaussians(a=1, b=3)"
    expect(lambda: [f.name for f in inhibitors_of(text)], gives=["ricker(s=2)", "difference_of_gaussians(a=1, b=3)"], name=f"the names of {text!r}")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def inhibitors_of(text):
#     return [inhibitor(piece) for piece in split(text, ",")]
# ```
#
# Python's own `text.split(",")` would cut `difference_of_gaussians(a=1, b=3)` in two.
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - The authors' code has a number for each manifold and a chain of `if`s; sizes stand in the code. The first edition of this one had names without arguments, so that no experiment could set the period of its torus without
#   changing the program.
# - *A name that means two things* is worse than one that is unknown. So a name can't be registered twice, except by the same class, when a notebook's cell runs again.
#
# ## Recall and think
#
# <details><summary>Recall: what can a text such as torus(period=20) make the computer do?</summary>
#
# Look up a name and call it with plain values; and import a module, if it names one.
#
# </details>
#
# <details><summary>Recall: what happens to torus(perod=20)?</summary>
#
# It is refused, with the nearest right name.
#
# </details>
#
# <details><summary>Think: why not simply allow Python?</summary>
#
# A setting travels, in files and from other people. What runs as a program can do anything.
#
# </details>
#
# ## References
#
# - Python Enhancement Proposal 362, *Function signature object* (2006): how a function says which arguments it takes.
