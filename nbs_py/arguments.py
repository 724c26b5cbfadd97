# ---
# jupyter:
#   kernelspec:
#     display_name: python3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Arguments
#
# > What a function takes stands in its signature, and is asked of every call before anything is computed

# %% [markdown]
# *Reading 35 min, exercises 8 min. To skip at a first reading:* all of it, until you need it.
#
# After this chapter you can
#
# - say in a signature what a function takes: how large a number, which shape of a tensor, which of some names,
# - read the message that a wrong call is answered with,
# - tell where such a check belongs, and where it would cost more than it saves.
#
# The question: *`bias="no"` makes a layer that has biases, since every text but the empty one counts as true. Who should have noticed?*
#
# ```
# equal_pull(     what is allowed       how it is said
#   strength=-1,  a number, at least 0  strength is -1; give a finite number of at least 0
#   n="big",      a whole number        n is 'big'; give a whole number of at least 1
#   refrence=64)  strength, n, …        no argument 'refrence'; did you mean 'reference'?
# ```

# %%
#| default_exp geometry.arguments

# %%
#| export
import difflib
import functools
import inspect
import math
import opcode
import os
import re
import sysconfig
import threading
import types
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar, overload

import numpy
import torch
from torch import Tensor

# %%
#| hide
import time

from fastcore.test import test_eq, test_fail

from modreg.book.exercises import draw_curve, draw_lines, exercise


# %% [markdown]
# Python tells nobody. A naive layer and what it makes of a wrong word:

# %%
def naive(hidden, bias=True):
    return {"weights": hidden * hidden, "biases": hidden if bias else 0}


naive(8, bias="no")


# %% [markdown]
# *Predict, before you read on:* what would `naive(8.5)` and `naive(True)` say? And which of the three is the worst?
#
# The worst are those that say nothing: a number comes out, and it is not the number that was asked for. A check by hand of each argument in each function is longer than most functions, and is forgotten in the next.
# But most of what it would say stands in the signature already: `bias: bool`. What is missing is somebody who reads it.
#
# ## What a signature can say
#
# A type says a little: `int`. How large it may be is a mark beside it, in Python's own notation for that, `Annotated`. There are marks for numbers, for texts, for shapes of tensors, and for devices and dtypes; here are the first two.
# A mark takes arguments itself, and whoever misspells one is told; Python hands them to `__new__` before it makes anything, which is where a dataclass can look at them.

# %%
#| export
class _OwnSignature:
    "The signature of a class's constructor, though `__new__` takes anything"

    def __get__(self, made: object, kind: Any) -> inspect.Signature:
        given = inspect.signature(kind.__init__)
        return given.replace(parameters=list(given.parameters.values())[1:])


class Keywords:
    "A dataclass whose constructor answers a keyword that it does not have with the nearest that it has"

    __signature__ = _OwnSignature()

    def __new__(cls, *values: Any, **named: Any):
        known = inspect.signature(cls).parameters if named else {}
        if any(p.kind is p.VAR_KEYWORD for p in known.values()):
            return super().__new__(cls)
        for name in named:
            if name not in known:
                raise ArgumentError(f"{cls.__name__} has no argument {name!r}; {nearest(name, known)}it takes {', '.join(known)}")
        return super().__new__(cls)


# %% [markdown]
# The first of the marks is such a dataclass:

# %%
#| export
MANY = 10**8  # more neurons, steps or points than this are a slip of the pen


@dataclass(frozen=True)
class Within(Keywords):
    "Numbers between bounds; never NaN, and not infinite unless that is said"

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf  # as `least`, but not itself
    below: float = math.inf  # as `most`, but not itself
    finite: bool = True  # False: infinity will do, if it is within the bounds

    def __post_init__(self):
        for name in ("least", "most", "above", "below"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real) or math.isnan(value):
                raise ArgumentError(f"{name} is {shown(value)}; give a number, or infinity")
        if not isinstance(self.finite, bool):
            raise ArgumentError(f"finite is {shown(self.finite)}; give True or False")

    def __contains__(self, value: Any) -> bool:
        "Whether a number is one of them"
        inside = self.least <= value <= self.most and (self.above < value or self.above == -math.inf) and (value < self.below or self.below == math.inf)
        return inside and (math.isfinite(value) or not self.finite)

    def words(self, kind: str) -> str:
        "Such as `a whole number from 1 to 9`"
        low = "" if self.least == -math.inf else f"{self.least:,}"
        if low and self.most < math.inf:
            return f"{kind} from {low} to {self.most:,}" if self.most < MANY else f"{kind} of at least {low}, and at most {self.most:,}"
        parts = [f"of at least {low}" if low else "", f"greater than {self.above:,}" if self.above > -math.inf else "",
                 f"of at most {self.most:,}" if self.most < math.inf else "", f"less than {self.below:,}" if self.below < math.inf else ""]
        said = " and ".join(filter(None, parts))
        return f"{kind}{' ' if said else ''}{said}" + ("" if self.finite else ", or infinity")


# %% [markdown]
# Then come the names that a text may be, and short words for what many signatures share:

# %%
#| export
@dataclass(frozen=True)
class OneOf:
    "Texts that are names of something"

    names: Collection[str]  # also of a registry that grows


Count = Annotated[int, Within(1, MANY)]  # how many of something
Whole = Annotated[int, Within(0, MANY)]  # how many, or none
Positive = Annotated[float, Within(above=0)]
NotNegative = Annotated[float, Within(0)]
Share = Annotated[float, Within(0, 1)]
ANY = Within()

# %%
test_eq(Within(1, 9).words("a whole number"), "a whole number from 1 to 9")
test_eq([x in Within(0, below=1) for x in (-1, 0, 0.5, 1, math.nan)], [False, True, True, False, False])
test_eq(Within(above=0).words("a number"), "a number greater than 0")


# %% [markdown]
# A shape is written as in formulas: a word for each dimension. A word that comes twice in a call stands for one number, so `weights` of shape `N N` and `distances` of shape `N N` must agree.
#
# Devices and dtypes have marks too.

# %%
#| export
@dataclass(frozen=True)
class Shape:
    "Tensors with so many dimensions"

    sides: str = "..."  # a name or a number for each, with blanks between; `...` stands for any others
    kind: str = "real"  # of numbers: "real", "float", "int", "bool", or "any", which may be complex, sparse or without memory too
    finite: bool = False  # whether all entries are; looked at on the processor alone, since a GPU would have to wait
    empty: bool = False  # whether there may be no entry
    least: float = -math.inf  # of the entries; looked at as `finite` is
    most: float = math.inf


@dataclass(frozen=True)
class OnDevice:
    "Devices that can be used here"

    meta: bool = False  # whether `meta` is one, on which tensors have no numbers


@dataclass(frozen=True)
class FloatingPoint:
    "Types of floating-point numbers"


Device = Annotated[torch.device | str, OnDevice()]
FloatType = Annotated[torch.dtype, FloatingPoint()]


# %% [markdown]
# ## What is said of a wrong one
#
# A message has three parts: the argument's name, what it was, and what is allowed. What it was must be short, whatever it was.
#
# Who misspells a name is told the likeliest one.

# %%
#| export
class Described(str):
    "A text that says what was found, and is not itself what was found"


def shown(value: Any) -> str:
    "A value in a few words, for a message"
    if isinstance(value, Tensor):
        meta = " on meta" if value.is_meta else ""
        stored = "" if value.layout == torch.strided else f", stored as {value.layout} (its to_dense() is an ordinary one)"
        return f"a tensor of shape {tuple(value.shape)} and {value.dtype}{meta}{stored}"
    if isinstance(value, numpy.ndarray):
        return f"an array of shape {value.shape} and {value.dtype}"
    if inspect.isclass(value):
        return f"the class {value.__name__}"
    if isinstance(value, (list, tuple, dict, set)):
        return f"a {type(value).__name__}" if len(value) > 9 or len(repr(value)) > 60 else f"the {type(value).__name__} {value!r}"
    plain = isinstance(value, (bool, int, float, complex, str, type(None), Path, torch.dtype, torch.device))
    text = repr(value)[:400] if plain else f"a {type(value).__name__}"
    return text if len(text) < 80 else f"{text[:70]}…"


def nearest(
    name: Any,  # what was given
    names: Iterable[Any],  # what there is
) -> str:  # with a blank behind it
    "A question that names the likeliest of some names, to be put into an error message; nothing if none is like it"
    by_letters = {str(one).casefold().strip(): str(one) for one in names}
    found = difflib.get_close_matches(str(name).casefold().strip(), by_letters, 1)
    return f"did you mean {by_letters[found[0]]!r}? " if found else ""


# %%
test_eq(nearest("SPERE", ["torus", "sphere"]), "did you mean 'sphere'? ")
test_eq(shown(torch.zeros(2, 3)), "a tensor of shape (2, 3) and torch.float32")


# %% [markdown]
# ## From a type to a test
#
# Each type is made into a small function once, which looks at a value and says nothing if it is right, and else what is wrong. Is `"no"` in place of `True` a wrong type or a wrong value? Python has an error for each, and nobody remembers which is raised where; so the error here is both.
# The function is also handed the numbers that names of dimensions stand for in this call.

# %%
#| export
class ArgumentError(ValueError, TypeError):
    "A value that cannot be an argument: of a wrong type, or of a wrong size, shape or spelling; whoever waits for either error gets it"


class Fault(NamedTuple):
    "What is wrong with a value"

    kind: bool  # whether it is of the right kind, and only its value is wrong
    where: str  # of the value in the argument, such as `[2]`
    found: Any
    want: str  # what is allowed


Test = Callable[[Any, dict[str, int]], Fault | None]


# %% [markdown]
# Numbers, first: `True` is no number here, though Python has it as 1.
# Of a tensor, the kind of its numbers and its shape are asked for, which costs some millionths of a second; its entries only where the signature says so.

# %%
#| export
def _number(whole: bool, within: Within) -> Test:
    "Of whole or of all real numbers"
    kind, want = Integral if whole else Real, within.words("a whole number" if whole else "a number" if within.finite is False else "a finite number")
    want = want.replace("a finite number greater than 0", "a positive finite number").replace("a finite number less than 0", "a negative finite number")
    usual = (int,) if whole else (int, float)

    def test(value, sides):
        if type(value) in usual and within.least <= value <= within.most and within.above < value < within.below:
            return None  # as most are
        if isinstance(value, bool) or not isinstance(value, kind):
            return Fault(False, "", value, want)
        return None if value in within else Fault(True, "", value, want)

    return test


KINDS: dict[str, Callable[[torch.dtype], bool]] = {
    "real": lambda dtype: not dtype.is_complex,
    "float": lambda dtype: dtype.is_floating_point,
    "int": lambda dtype: not (dtype.is_floating_point or dtype.is_complex or dtype == torch.bool),
    "bool": lambda dtype: dtype == torch.bool,
}


def readable(x: Annotated[Tensor, Shape(kind="any", empty=True)]) -> bool:
    "Whether looking at a tensor's entries costs no waiting, and is no part of what is being traced"
    return x.device.type == "cpu" and not torch.compiler.is_compiling() and not torch._C._is_tracing() and not torch._C._functorch.is_functorch_wrapped_tensor(x) and type(x) in (Tensor, torch.nn.Parameter)


# %%
#| export
def _kind(kind: type, want: str) -> Test:
    "Of all things of a class; who gives the class itself is told that an object of it is wanted"

    def test(value, sides):
        if isinstance(value, kind):
            return None
        object_of = f", an instance such as {value.__name__}()" if inspect.isclass(value) and issubclass(value, kind) else ""
        return Fault(False, "", value, want + object_of)

    return test


def _array(value: Any, sides: dict) -> Fault | None:
    "Of arrays of numbers"
    right = isinstance(value, numpy.ndarray) and value.dtype.kind in "biuf"
    return None if right else Fault(isinstance(value, numpy.ndarray), "", value, "an array of real numbers")


def _named(mark: OneOf) -> Test:
    "Of names"

    def test(value, sides):
        if not isinstance(value, str):
            return Fault(False, "", value, f"one of {', '.join(map(repr, mark.names))}")
        near = nearest(value, mark.names).rstrip()
        return None if value in mark.names else Fault(True, "", value, f"one of {', '.join(map(repr, mark.names))}" + (f" ({near})" if near else ""))

    return test


# %% [markdown]
# A shape is compared side by side, from both ends if dots stand in it.

# %%
#| export
def _sides(shape: tuple[int, ...], names: tuple[str, ...], known: dict[str, int]) -> bool:
    "Whether a shape has these sides; what they stand for is noted in `known`"
    if "..." in names:
        at = names.index("...")
        after = len(names) - at - 1
        if len(shape) < len(names) - 1:
            return False
        pairs = [*zip(names[:at], shape, strict=False), *zip(names[at + 1 :], shape[len(shape) - after :], strict=True)]
    elif len(shape) != len(names):
        return False
    else:
        pairs = list(zip(names, shape, strict=True))
    return all(int(name) == size if name.isdigit() else known.setdefault(name, size) == size for name, size in pairs)


def _entries(x: Tensor, mark: Shape) -> str:
    "What is wrong with the entries of a tensor; nothing if all are right"
    if not x.numel():
        return ""
    if mark.finite and not (x.detach().sum().isfinite() or x.isfinite().all()):
        return f"and {int((~x.isfinite()).sum())} entries that are not finite"
    if mark.least > -math.inf and not (x >= mark.least).all():
        return f"and entries down to {x.min().item():g}"
    if mark.most < math.inf and not (x <= mark.most).all():
        return f"and entries up to {x.max().item():g}"
    return ""


# %% [markdown]
# The test of a tensor is these three.

# %%
#| export
def _tensor(mark: Shape) -> Test:
    "Of tensors"
    names, right = tuple(mark.sides.split()), KINDS.get(mark.kind)
    bounds = Within(mark.least, mark.most).words("") if mark.least > -math.inf or mark.most < math.inf else ""
    kind = {"any": "tensor", "real": "tensor of real numbers", "float": "floating tensor", "int": "tensor of whole numbers", "bool": "tensor of True and False"}[mark.kind]
    shape = "" if mark.sides == "..." else f" of shape ({', '.join(names)}{',' * (len(names) == 1)})"
    want = f"a {kind}{shape}" + (", all finite" if mark.finite else "") + (f", entries{bounds}" if bounds else "")
    want += "" if mark.empty else ", not empty"
    looks = mark.finite or mark.least > -math.inf or mark.most < math.inf

    def test(value, sides):
        if not isinstance(value, Tensor):
            return Fault(False, "", value, want)
        if right is not None and not (right(value.dtype) and value.layout == torch.strided):
            return Fault(False, "", value, want)
        if right is not None and value.is_meta:
            return Fault(True, "", value, f"{want}, with numbers in it")
        before = dict(sides)
        if not _sides(tuple(value.shape), names, sides) or not (mark.empty or value.numel()):
            known = ", ".join(f"{name} = {before[name]}" for name in dict.fromkeys(names) if name in before)
            return Fault(True, "", value, want + (f" ({known})" if known else ""))
        found = looks and readable(value) and _entries(value, mark)
        return Fault(True, "", Described(f"{shown(value)} {found}"), want) if found else None

    return test


# %% [markdown]
# Devices and dtypes:

# %%
#| export
def _device(mark: OnDevice) -> Test:
    "Of devices"

    def test(value, sides):
        if not isinstance(value, (str, torch.device)):
            return Fault(False, "", value, "a device, such as 'cpu' or 'cuda'")
        try:
            device = torch.device(value)
            usable = device.type == "cpu" or torch.empty(0, device=device) is not None
        except (RuntimeError, AssertionError, NotImplementedError):
            return Fault(True, "", value, "'cpu', or the name of a device that this machine has")
        if not usable or (device.type == "meta" and not mark.meta):
            return Fault(True, "", value, "a device on which tensors have numbers, such as 'cpu'")
        return None

    return test


# %%
#| export
def _float_type(value: Any, sides: dict) -> Fault | None:
    "Of floating dtypes"
    right = isinstance(value, torch.dtype) and value.is_floating_point
    return None if right else Fault(False, "", value, "a floating type, such as torch.float32")


MARKS: dict[type, Callable[[Any, Any], Test]] = {  # of a type and its mark
    Within: lambda kind, mark: _number(kind is int, mark),
    OneOf: lambda kind, mark: _named(mark),
    Shape: lambda kind, mark: _tensor(mark),
    OnDevice: lambda kind, mark: _device(mark),
    FloatingPoint: lambda kind, mark: _float_type,
}


# %% [markdown]
# Types that are made of types: one of several, a list of them, a dict.

# %%
#| export
def _either(tests: list[Test]) -> Test:
    "Of what passes one of several tests; else the fault of the one that came nearest"

    def test(value, sides):
        faults = []
        for one in tests:
            fault = one(value, sides)
            if fault is None:
                return None
            faults.append(fault)
        near = next((fault for fault in faults if fault.kind or fault.where), None)
        return near or Fault(False, "", value, ", or ".join(dict.fromkeys(fault.want for fault in faults)))

    return test


# %% [markdown]
# Of what collections hold:

# %%
#| export
def _items(kind: type, words: str, item: Test | None, key: Test | None = None) -> Test:
    "Of collections; what is in an iterator is not looked at, since it could be read but once"

    def test(value, sides):
        if not isinstance(value, kind) or (isinstance(value, (str, bytes)) and kind is not Iterable) or (isinstance(value, Tensor) and item is not None):
            return Fault(False, "", value, words)
        if isinstance(value, Mapping):
            pairs = value.items() if kind in (dict, Mapping) else ()
            for name, one in pairs:
                if key is not None and (fault := key(name, sides)):
                    return Fault(fault.kind, " has a key that", name, fault.want)
                if item is not None and (fault := item(one, dict(sides))):
                    return Fault(fault.kind, f"[{name!r}]{fault.where}", fault.found, fault.want)
        elif item is not None and isinstance(value, (list, tuple, set, frozenset, str)):
            for k, one in enumerate(value):
                if fault := item(one, dict(sides)):
                    return Fault(fault.kind, f"[{k}]{fault.where}", fault.found, fault.want)
        return None

    return test


# %% [markdown]
# And of tuples, each part of which has a type of its own:

# %%
#| export
def _tuple(tests: list[Test | None]) -> Test:
    "Of tuples of a length; a list will do"
    words = f"a tuple of {len(tests)}"

    def test(value, sides):
        if not isinstance(value, (tuple, list)):
            return Fault(False, "", value, words)
        if len(value) != len(tests):
            return Fault(True, "", value, words)
        for k, (one, part) in enumerate(zip(tests, value, strict=True)):
            if one is not None and (fault := one(part, sides)):
                return Fault(fault.kind, f"[{k}]{fault.where}", fault.found, fault.want)
        return None

    return test


# %% [markdown]
# And the function that knows them all. A type that it does not know is not tested. A type that is known by name alone, since the library that has it is not loaded (a figure's axes), is recognized by its class's name.

# %%
#| export
PLAIN = {bool: "True or False", str: "a text", torch.Generator: "a torch.Generator", torch.dtype: "a dtype, such as torch.float32", Path: "a Path", bytes: "bytes"}


def test_of(
    kind: Any,  # a type, as it stands in a signature
    names: dict[str, Any] | None = None,  # in which types that are written as text are looked up
) -> Test | None:
    "The test that a type asks for; None if there is nothing to ask"
    if isinstance(kind, str):
        try:
            return test_of(eval(kind, names or {}), names)  # noqa: S307 - an annotation of this package
        except (NameError, AttributeError):
            last = kind.rpartition(".")[2]
            return lambda value, sides: None if any(one.__name__ == last for one in type(value).__mro__) else Fault(False, "", value, f"a {last}")
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        found = [MARKS[type(mark)](parts[0], mark) for mark in parts[1:] if type(mark) in MARKS]
        return found[0] if found else test_of(parts[0], names)
    if origin in (typing.Union, types.UnionType):
        tests = [test_of(part, names) for part in parts]
        return None if None in tests else _either([one for one in tests if one])
    if origin is not None:
        return _test_of_parts(origin, parts, names)
    if kind in (None, types.NoneType):
        return lambda value, sides: None if value is None else Fault(False, "", value, "None")
    if kind in (int, float):
        return _number(kind is int, ANY)
    if kind is numpy.ndarray:
        return _array
    if kind is Tensor:
        return _tensor(Shape(empty=True))
    if kind in (Callable, typing.Callable):
        return lambda value, sides: None if callable(value) and not (inspect.isclass(value) and issubclass(value, torch.nn.Module)) else Fault(False, "", value, "a function")
    if not inspect.isclass(kind) or kind in (Any, object, inspect.Parameter.empty) or kind.__module__ == "typing":  # such as TextIO, which no object is of
        return None
    article = "an" if kind.__name__[0] in "AEIOU" else "a"
    return _kind(kind, PLAIN.get(kind, f"{article} {kind.__name__}"))


# %% [markdown]
# What stands in brackets behind a type is a type again:

# %%
#| export
def _test_of_parts(origin: Any, parts: tuple, names: dict[str, Any] | None) -> Test | None:
    "The test of a type with others in brackets"
    tests = [test_of(part, names) for part in parts if part is not Ellipsis]
    if origin is Callable or origin is typing.get_origin(Callable[[], None]):
        return test_of(Callable)
    if origin is type:
        kind: Any = parts[0] if inspect.isclass(parts[0]) else object
        return lambda value, sides: None if inspect.isclass(value) and issubclass(value, kind) else Fault(False, "", value, f"a class, {kind.__name__} or a subclass")
    if origin is typing.Literal:
        return _named(OneOf(parts))
    if origin is tuple and Ellipsis not in parts:
        return _tuple(tests)
    if origin in (dict, Mapping):
        return _items(origin, "a dict", tests[1], tests[0])
    if inspect.isclass(origin) and issubclass(origin, Iterable):
        kind = (list, tuple) if origin in (list, tuple) else (Sequence, torch.nn.ModuleList, numpy.ndarray) if origin is Sequence else origin
        return _items(kind, f"a {'tuple' if origin is tuple else origin.__name__.lower()}", tests[0] if tests else None)
    return _kind(origin, f"a {origin.__name__}") if inspect.isclass(origin) else None


# %%
wrong = test_of(dict[str, Count])({"a": 1, "b": -2}, {})
test_eq((wrong.kind, wrong.where, wrong.found), (True, "['b']", -2))
assert test_of(int | None)(None, {}) is None and test_of(int | None)("x", {}) is not None


# %% [markdown]
# ## One line above a function
#
# `checked` stands above a function, or above a class, of which it checks the constructor and all public methods. A keyword that the function does not have is answered with the nearest that it has.
# What is too large for the machine, though it is a number like any other, shows only when memory is asked for; then the error names the arguments too.

# %%
#| export
def raise_fault(name: str, fault: Fault) -> None:
    "The error of a fault in the argument `name`"
    found = fault.found if isinstance(fault.found, Described) else shown(fault.found)
    raise ArgumentError(f"{name}{fault.where} is {found}; give {fault.want}")


def check(
    name: str,  # of the argument
    value: Any,
    kind: Any,  # what it should be: a type as in a signature
) -> None:
    "ArgumentError unless a value is of a kind; for what a signature cannot say"
    test = test_of(kind)
    if test is not None and (fault := test(value, {})):
        raise_fault(name, fault)


# %% [markdown]
# The tests of all arguments of a function are made at its first call, when all types are there.

# %%
#| export
class _Signature:
    "The tests of a function's arguments, and how to match them with a call"

    def __init__(self, function: Callable):
        self.given = list(inspect.signature(function).parameters.values())
        self.owner = function.__qualname__.removesuffix(".__init__").rpartition("<locals>.")[2]
        names = getattr(inspect.unwrap(function), "__globals__", {})
        self.tests = {p.name: test_of(p.annotation, names) for p in self.given}
        self.place = [p for p in self.given if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        self.asked = [(k, p, test) for k, p in enumerate(self.place) if (test := self.tests[p.name]) is not None]
        self.rest: Any = next((p for p in self.given if p.kind is p.VAR_POSITIONAL), None)
        self.open: Any = next((p for p in self.given if p.kind is p.VAR_KEYWORD), None)
        self.needed = {p.name: k if p in self.place else math.inf for k, p in enumerate(self.given) if p.default is p.empty and p not in (self.rest, self.open)}
        self.enough = max(self.needed.values(), default=-1) + 1  # so many arguments in order leave none out

    def check(self, args: tuple, kwargs: dict) -> None:
        "ArgumentError unless these can be the arguments"
        sides: dict[str, int] = {}
        if len(args) > len(self.place) and self.rest is None:
            raise ArgumentError(f"{self.owner} takes {len(self.place)} arguments in order, and {len(args)} were given; it takes {', '.join(p.name for p in self.given)}")
        for k, p, asks in self.asked:
            if k < len(args) and not (args[k] is None and p.default is None) and (fault := asks(args[k], sides)):
                self._refuse(p.name, fault, self.bound(args[:k], {}))
        for value in args[len(self.place) :]:
            if (test := self.tests[self.rest.name]) is not None and (fault := test(value, sides)):
                self._refuse(self.rest.name, fault, {})
        for name, value in kwargs.items():
            if name not in self.tests and self.open is None:
                known = [p.name for p in self.given if p.name != "self"]
                raise ArgumentError(f"{self.owner} has no argument {name!r}; {nearest(name, known)}it takes {', '.join(known) or 'none'}")
            test = self.tests[name] if name in self.tests else self.tests[self.open.name]
            if test is not None and (fault := test(value, sides if name in self.tests else {})):
                self._refuse(name, fault, self.bound(args, kwargs))
        if len(args) < self.enough and (missing := [name for name, k in self.needed.items() if k >= len(args) and name not in kwargs]):
            raise ArgumentError(f"{self.owner} was not given {', '.join(missing)}; it takes {', '.join(p.name for p in self.given if p.name != 'self')}")

    def bound(self, args: tuple, kwargs: dict) -> dict[str, Any]:
        "Arguments by name"
        rest = {self.rest.name: args[len(self.place) :]} if self.rest is not None and len(args) > len(self.place) else {}
        return {p.name: value for p, value in zip(self.place, args, strict=False)} | rest | kwargs

    def _refuse(self, name: str, fault: Fault, others: dict[str, Any]) -> None:
        if " = " in fault.want:  # it does not fit what came before it
            shapes = [f"{one} has {tuple(x.shape)}" for one, x in others.items() if isinstance(x, Tensor) and one != name]
            fault = fault._replace(want=f"{fault.want}; {', '.join(shapes)}" if shapes else fault.want)
        raise_fault(name, fault)


# %% [markdown]
# ## More than the machine has
#
# A network of a million neurons is a number like any other, and 4 TB for each of its recurrent matrices.

# %%
#| export
def memory() -> int:  # bytes
    "What this process may use: the machine's memory, or less where a limit is set"
    bounds = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    try:
        import resource

        bounds += [limit for limit in resource.getrlimit(resource.RLIMIT_AS) if limit > 0]
        text = Path("/sys/fs/cgroup/memory.max").read_text(encoding="utf-8").strip()
        bounds += [int(text)] if text.isdigit() else []
    except (ImportError, OSError):
        pass
    return min(bounds)


# %% [markdown]
# Sizes are said in the units that one buys them in.

# %%
#| export
def in_bytes(number: Annotated[float, Within(0, finite=False)]) -> str:
    "As in `4 TB`"
    for power, unit in ((12, "TB"), (9, "GB"), (6, "MB")):
        if number >= 10**power:
            return f"{number / 10**power:,.3g} {unit}" if number < 10 ** (power + 3) else f"{number / 10**power:,.0f} {unit}"
    return f"{number:.0f} bytes"


def check_memory(
    wanted: Annotated[float, Within(0, finite=False)],  # bytes
    **arguments: Any,  # that ask for it, by name
) -> None:
    "ArgumentError if the machine has not so much memory"
    if wanted > (there := memory()):
        said = ", ".join(f"{name} is {shown(value)}" for name, value in arguments.items()) or "what is wanted"
        raise ArgumentError(f"{said}, which asks for {in_bytes(wanted)} of memory, and there are {in_bytes(there)}; give less")


# %%
test_fail(lambda: check_memory(4e12 * 1000, hidden=1_000_000), contains="hidden is 1000000, which asks for 4,000 TB of memory")
test_eq(in_bytes(4.2e9), "4.2 GB")

# %% [markdown]
# ## What no signature says
#
# Sizes that must fit together, a name that a dict must have, a sum that leaves the range of numbers: such faults show only in the middle of a computation, as an error of torch's that knows of matrices, and not of arguments.
# The outermost checked call catches it and says which arguments it was given. What was raised where code had a part in it that is neither this package's nor a library's is left as it is: a fault in somebody's own network is theirs to read.
#
# An allocator's own error says how many bytes there were to be, and not whose fault it was. Our own errors stay as they are; only one that names no argument of the call is told them.

# %%
#| export
PACKAGE = str(Path(__file__).parents[1]) if "__file__" in globals() else "modreg"  # a chapter has no file
LIBRARIES = (PACKAGE, *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")), str(Path(torch.__file__).parents[1]), "<frozen", "<string>", "<__array")
DEEP = (RuntimeError, LookupError, AttributeError, ArithmeticError, AssertionError, TypeError, ValueError, MemoryError)  # what a wrong argument causes far from where it was given
TOO_LARGE = ("allocate memory", "Storage size calculation", "overflow", "recursion depth", "too large", "numel: integer multiplication", "cannot fit 'int'")
RAISE = opcode.opmap["RAISE_VARARGS"]


def _raised_here(error: Exception) -> bool | None:
    "Whether a line of this package raised an error; None if somebody else's code had a part in it"
    at, last = error.__traceback__, None
    while at is not None:
        if not at.tb_frame.f_code.co_filename.startswith(LIBRARIES):
            return None
        at, last = at.tb_next, at
    return last is not None and last.tb_frame.f_code.co_filename.startswith(PACKAGE) and last.tb_frame.f_code.co_code[last.tb_lasti] == RAISE


def _listed(arguments: dict[str, Any]) -> str:
    "Arguments and what they are, in words"
    return ", ".join(f"{name} is {shown(value)}" for name, value in arguments.items() if name not in ("self", "cls"))[:600]


# %%
#| export
def _explained(error: Exception, owner: str, arguments: dict[str, Any]) -> Exception | None:
    "The error that names a call's arguments, in place of one from deep inside; None if it is to be left as it is"
    text, here = (str(error).splitlines() or [""])[0], _raised_here(error)
    if here is None or isinstance(error, torch.OutOfMemoryError):
        return None
    said = _listed(arguments)
    if here:
        named = any(re.search(rf"(?<![a-z]){re.escape(word)}" + "(?![a-z])" * (len(word) < 4), str(error), re.IGNORECASE) for word in (name.strip("_") for name in arguments))
        if said and not named and type(error) in (ValueError, TypeError, ArgumentError) and len(error.args) == 1:
            error.args = (f"{error} (in {owner}, where {said})",)
        return None
    if isinstance(error, (MemoryError, OverflowError, RecursionError)) or any(part in str(error) for part in TOO_LARGE):
        return ArgumentError(f"{owner} asks for more than there is ({text[:120]}): {said}; give something smaller")
    return ArgumentError(f"{owner} cannot do with what it was given: {said or 'nothing'}; what went wrong is {type(error).__name__}: {text[:200]}")


def _not_finite(owner: str, arguments: dict[str, Any]) -> ArgumentError:
    "The error of a result that is not finite"
    guilty = next((name for name, value in arguments.items() if name != "self" and not _finite(value)), None)
    if guilty is not None:
        return ArgumentError(f"{guilty} is {shown(arguments[guilty])}, and not all of it is finite; {owner} takes finite numbers")
    return ArgumentError(f"{owner} would give numbers that are not finite, since what it was given is too large or too small: {_listed(arguments)}; give numbers of a moderate size")


# %% [markdown]
# A number that is none is no result either. So what the outermost call returns is looked at, where that costs no waiting; and if it is not finite, the arguments are, to say whose fault it is.

# %%
#| export
def _finite(value: Any, depth: int = 0) -> bool:
    "Whether there is neither NaN nor infinity in numbers, tensors, arrays, or collections of them"
    if isinstance(value, Tensor):
        if not (value.is_floating_point() and value.layout == torch.strided and readable(value)):
            return True
        value = value.detach()
        return bool(value.sum().isfinite()) or bool(value.isfinite().all())
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, numpy.ndarray):
        return value.dtype.kind != "f" or bool(numpy.isfinite(value).all())
    if isinstance(value, (list, tuple, dict)) and depth < 3:
        return all(_finite(one, depth + 1) for one in (value.values() if isinstance(value, dict) else value))
    return True


def _overflows(arguments: dict[str, Any]) -> bool:
    "Whether all arguments are finite, and one holds a number whose square is not, or one over its square"
    tensors = [value.detach() for value in arguments.values() if isinstance(value, Tensor) and value.is_floating_point() and readable(value) and value.numel()]
    sizes = [abs(value) for value in arguments.values() if isinstance(value, float) and value]
    limit = torch.finfo(torch.float32).max ** 0.5
    large = any(value.abs().max() > torch.finfo(value.dtype).max ** 0.5 for value in tensors) or any(not 1 / limit < size < limit for size in sizes)
    return large and all(map(_finite, (*tensors, *sizes)))


def _on_meta(values: Iterable[Any]) -> bool:
    "Whether there is a tensor without numbers among some values"
    return any(isinstance(value, Tensor) and value.is_meta for value in values)


# %% [markdown]
# And `checked` itself. A layer's `forward` passes on what is not finite, as torch's do: one replica that has diverged must not stop the others. Where NaN or infinity may be the right answer, as for the rate at a place where
# no rat has been or the logarithm of the chance of a word that never comes, a function says `finite=False`. Both refuse what comes of finite numbers so large that their squares are not.

# %%
#| export
class _Depth(threading.local):
    "How many checked calls this thread is in, and whether the last of them trusts what it calls"

    calls = 0
    trusted = False


_DEPTH = _Depth()


def outermost() -> bool:
    "Whether the checked call that this thread is in was made from outside, and not by another one"
    return _DEPTH.calls <= 1 and not _DEPTH.trusted


def _told(things: Iterator[Any], owner: str, arguments: dict[str, Any]) -> Iterator[Any]:
    "What a generator yields; an error on the way is explained as that of a call"
    try:
        yield from things
    except DEEP as error:
        said = _explained(error, owner, arguments)
        if said is None:
            raise
        raise said from error


# %%
#| export
def _check_methods(kind: type, **options: bool) -> None:
    "Check what a class defines itself: its constructor, and its public methods"
    for name, member in list(vars(kind).items()):
        inner = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
        public = name == "__call__" or not name.startswith("_") or (name == "__init__" and not issubclass(kind, Keywords))
        if public and inspect.isfunction(inner) and not hasattr(inner, "checked"):
            wrapped = checked(inner, like=_untyped_like(kind, name, inner), **(options | {"late": options["late"] and name != "__init__"}))
            setattr(kind, name, wrapped if inner is member else type(member)(wrapped))


def _untyped_like(kind: type, name: str, method: Callable) -> Callable | None:
    "The parent's method of the same arguments, for one that overrides it and leaves their types out"
    given = inspect.signature(method).parameters
    if name == "__init__" or any(p.annotation is not p.empty for p in given.values()):
        return None
    above = (vars(parent)[name] for parent in kind.__mro__[1:] if name in vars(parent) and parent is not object)
    return next((one for one in above if inspect.isfunction(one) and list(inspect.signature(one).parameters) == list(given)), None)


# %%
#| export
_F = TypeVar("_F", bound=Callable[..., Any])  # a function or a class: to a reader of types, what is checked is what it was


@overload
def checked(thing: _F, like: Callable | None = None, finite: bool = True, late: bool = False, shallow: bool = False, trusts: bool = False) -> _F: ...
@overload
def checked(thing: None = None, like: Callable | None = None, finite: bool = True, late: bool = False, shallow: bool = False, trusts: bool = False) -> Callable[[_F], _F]: ...


# %%
#| export
def checked(
    thing: Any = None,  # a function; or a class, for its constructor and its public methods; nothing, where options stand in brackets behind the `@`
    like: Callable | None = None,  # a function whose types count instead, such as the method that this one overrides
    finite: bool = True,  # whether a result that is NaN or infinite is an error
    late: bool = False,  # whether arguments are looked at only after something has gone wrong: for what is called often, and knows a wrong one by itself
    shallow: bool = False,  # whether arguments are all that is looked at: for what calls functions of other people, who are to see their own errors
    trusts: bool = False,  # whether calls within it look at nothing: for what runs in each step and hands on what is its own
) -> Any:
    "The same, with its arguments tested against their types at each call: ArgumentError with name, value, and what is allowed"
    if thing is None:
        return functools.partial(checked, like=like, finite=finite, late=late, shallow=shallow, trusts=trusts)
    if inspect.isclass(thing):
        _check_methods(thing, finite=finite, late=late, shallow=shallow, trusts=trusts)
        return thing
    layer = thing.__name__ == "forward"
    made: list[_Signature] = []  # at the first call, when all types are there

    @functools.wraps(thing)
    def call(*args, **kwargs):
        if _DEPTH.trusted or torch.compiler.is_compiling():
            return thing(*args, **kwargs)
        if not made:
            made.append(_Signature(thing if like is None else like))
        signature = made[0]
        if not late:
            signature.check(args, kwargs)
        if shallow:
            return thing(*args, **kwargs)
        depth = _DEPTH.calls
        _DEPTH.calls, _DEPTH.trusted = depth + 1, trusts
        try:
            result = thing(*args, **kwargs)
            if depth:
                return result
            if not _finite(result) and ((finite and not layer) or _overflows(signature.bound(args, kwargs))):
                raise _not_finite(signature.owner, signature.bound(args, kwargs))
            if layer and _on_meta(args) and not _on_meta(result if isinstance(result, tuple) else (result,)):
                signature.check(args, kwargs)  # torch has multiplied by what stood in memory
            return _told(result, signature.owner, signature.bound(args, kwargs)) if isinstance(result, types.GeneratorType) else result
        except DEEP as error:
            if depth:
                raise
            if late:
                signature.check(args, kwargs)
            said = _explained(error, signature.owner, signature.bound(args, kwargs))
            if said is None:
                raise
            raise said from error
        finally:
            _DEPTH.calls, _DEPTH.trusted = depth, False

    vars(call).update(checked=True, finite=finite)
    return call


# %% [markdown]
# What stands above is checked too, and a mark when it is made.

# %%
#| export
for _kind_of_mark in (Within, OneOf, Shape, OnDevice):
    checked(_kind_of_mark)
nearest, in_bytes, check_memory, readable, memory = checked(nearest), checked(in_bytes), checked(check_memory), checked(readable, late=True), checked(memory)


# %% [markdown]
# The diagram at the top, run; and tensors, with names that must agree:

# %%
@checked
def pull(strength: NotNegative, n: Count, reference: Count = 4096) -> float:
    return strength * (n / reference) ** 2


test_fail(lambda: pull(-1, 64), contains="strength is -1; give a finite number of at least 0")
test_fail(lambda: pull(1, "big"), contains="n is 'big'; give a whole number of at least 1, and at most 100,000,000")
test_fail(lambda: pull(1, 64, refrence=64), contains="did you mean 'reference'?")
test_fail(lambda: pull(math.nan, 64), contains="strength is nan")
test_fail(lambda: pull(1, True), contains="n is True")
test_fail(lambda: pull(n=64), contains="pull was not given strength; it takes strength, n, reference")
test_eq(pull(1, 4096), 1)


@checked
def likeness(weights: Annotated[Tensor, Shape("N N", "float")], distances: Annotated[Tensor, Shape("N N")]) -> float:
    return (weights * distances).sum().item()


test_fail(lambda: likeness(torch.zeros(3, 3), torch.zeros(4, 4)), contains="distances is a tensor of shape (4, 4) and torch.float32; give a tensor of real numbers of shape (N, N), not empty (N = 3)")
test_fail(lambda: likeness(torch.zeros(3, 3, dtype=torch.int64), torch.zeros(3, 3)), contains="weights is a tensor of shape (3, 3) and torch.int64; give a floating tensor")

# %% [markdown]
# What does it cost? Some millionths of a second a call. So it stands above what is called once, or once a step, and not above what is called for every neuron.

# %%
rounds, plain = 2000, pull.__wrapped__
times = []
for function in (plain, pull):
    start = time.perf_counter()
    for _ in range(rounds):
        function(0.1, 64)
    times.append((time.perf_counter() - start) / rounds)
print(f"{1e6 * times[0]:.1f} µs unchecked, {1e6 * times[1]:.1f} µs checked")


# %% [markdown]
# The answers to the prediction: `naive(8.5)` says 72.25 weights, and `naive(True)` one, of a network of one neuron. All three give a number and no complaint, so none is better than the others.
#
# ## Exercise 1: write the signature
#
# *5 min, easy.* A schedule takes the number of an epoch, counted from 0, a share between 0 and 1, and a name, `"linear"` or `"cubic"`. Say so in its signature, and let it return the product of the first two.

# %%
def share_at(epoch, target, schedule="linear"):
    "The share that is pruned at an epoch, times the target; give each argument its type, and have the function checked"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("Whole, Share, and Annotated with OneOf; and `checked` must stand above the function", lambda: draw_curve(lambda epoch: share_at(int(epoch), 0.1), range(10), "epoch", "what it gives at a target of 0.1")) as expect:
    expect(share_at, 0, 0.5, gives=0.0)
    expect(share_at, 3, 0.1, gives=0.3)
    expect.refuses(share_at, -1, 0.5, saying="epoch is -1")
    expect.refuses(share_at, 0, 1.5, saying="target is 1.5")
    expect.refuses(share_at, 0, 0.5, "linaer", saying="did you mean 'linear'?")


# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# @checked
# def share_at(epoch: Whole, target: Share, schedule: Annotated[str, OneOf(("linear", "cubic"))] = "linear"):
#     return target * epoch
# ```
#
# `OneOf` takes any collection, also the dict of all schedules: a schedule that somebody adds is then allowed at once.
#
# </details>

# %% [markdown]
# ## Exercise 2: the cost of a check
#
# *3 min, easy.* A check takes 5 µs, and a step of training 2 ms. A function is checked that each step calls for each of `n` weight matrices. From how many matrices on do the checks take more than 1 % of a step?

# %%
def too_many():
    "The least number of matrices whose checks take more than 1 % of a step"
    raise NotImplementedError


# %%
#| fold How it is checked
with exercise("how many times do 5 µs go into a hundredth of 2 ms?", lambda: draw_lines("matrices", "share of a step (%)", checks=[100 * n * 5e-6 / 2e-3 for n in range(too_many() + 3)], one_percent=[1] * (too_many() + 3))) as expect:
    expect(too_many, gives=5)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def too_many():
#     return 5
# ```
#
# One percent of 2 ms is 20 µs, which is four checks; the fifth is too many.
#
# </details>

# %% [markdown]
# ## What broke, and what the paper did
#
# - Whoever wrote a function here checked what seemed likely to go wrong. Somebody called all of them with wrong arguments, five thousand times: a quarter of the answers named the argument; the rest came from deep inside of torch, or were numbers.
#   `train_embedding="no"` trained the embedding.
# - Bounds that stand in two places differ after a while: a penalty's strength was at least 0 in one function, and anything in another.
# - The authors' scripts check nothing: a misspelt name of a manifold leads to a variable that does not exist.
#
# ## Recall and think
#
# <details><summary>Recall: what three things does a message say?</summary>
#
# Which argument, what it was, and what is allowed.
#
# </details>
#
# <details><summary>Recall: where does a check not belong?</summary>
#
# Where it is called so often that its few microseconds count.
#
# </details>
#
# <details><summary>Think: which mistake can no signature catch?</summary>
#
# A value that is allowed and not meant, such as the wrong one of two right names.
#
# </details>
#
# ## References
#
# - P. Kidger and others, *jaxtyping*: shapes in signatures, from which the notation with names and dots is taken.
# - Python Enhancement Proposal 593, *Flexible function and variable annotations* (2019): what `Annotated` is for.
