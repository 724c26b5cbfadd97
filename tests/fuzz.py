"""Calls of every public function with one argument spoiled, and what is said to each.

A recipe is a call that is right: a function that makes its arguments by name. The bad values of an argument follow from the good one: other types, other shapes, dtypes and
devices, NaN, infinities, nothing, too little, too much, a misspelt name. The answer to a bad call is clear if it is a `ValueError` or a `TypeError` (or, for a file, an `OSError`)
that this package raises, and that names the argument; or it is a result whose numbers are finite. Anything else is a fault: another error, an error from deep inside, a value of a wrong type that is taken,
a number that is none, more than a second.
"""

import contextlib
import dataclasses
import importlib
import inspect
import io
import math
import opcode
import pkgutil
import re
import signal
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch._dynamo  # what is on meta loads it when it is first touched
from torch import Tensor, nn

import modreg

PACKAGE = Path(modreg.__file__).resolve().parent
SECONDS = 1.0
HANG = 20  # s, after which a call is ended


# --- what is public ----------------------------------------------------------------------------------------------------


def modules() -> Iterator[Any]:
    for info in pkgutil.walk_packages(modreg.__path__, "modreg."):
        loaded = importlib.import_module(info.name)
        if getattr(loaded, "__all__", None):
            yield loaded


def public() -> dict[str, Callable]:
    "Every public function, class and method of the package, by a name such as `geometry.manifolds.Torus.sample`"
    found = {}
    for module in modules():
        wing = module.__name__.removeprefix("modreg.")
        for name in module.__all__:
            value = getattr(module, name)
            if not (inspect.isclass(value) or inspect.isroutine(value)) or getattr(value, "__module__", "") != module.__name__:
                continue
            found[f"{wing}.{name}"] = value
            if inspect.isclass(value):
                for key, member in vars(value).items():
                    inner = getattr(member, "__func__", member)
                    if inspect.isfunction(inner) and (key == "__call__" or not key.startswith("_")):
                        found[f"{wing}.{name}.{key}"] = inner
    return found


# --- bad values --------------------------------------------------------------------------------------------------------


class Other:
    "An object that nothing is made for"

    def __repr__(self):
        return "Other()"


class Bad(NamedTuple):
    "A value in the place of a good one"

    label: str
    value: Any
    foreign: bool = False  # of a kind that cannot be right, so that taking it is a fault
    missing: bool = False  # has entries that are no numbers, so that it may be handed on where that is said


def spoiled_tensor(x: Tensor) -> Iterator[Bad]:
    yield Bad("list", x.tolist() if x.numel() < 10**4 else [0.0], True)
    yield Bad("array", x.detach().cpu().numpy() if x.dtype != torch.bfloat16 else np.zeros(3), True)
    yield Bad("complex", x.detach().to(torch.complex64), True)
    yield Bad("meta", torch.empty_like(x, device="meta"), True)
    yield Bad("one more dimension", x.detach()[None])
    yield Bad("empty", x.detach()[:0] if x.dim() else x.detach().new_empty(0))
    yield Bad("no dimension", x.detach().flatten()[0] if x.numel() else torch.tensor(0.0))
    if x.dim():
        yield Bad("flat", x.detach().flatten())
        yield Bad("longer", torch.cat([x.detach(), x.detach()[:1]]))
        yield Bad("wider", torch.cat([x.detach(), x.detach()[..., :1]], -1))
        yield Bad("shorter", x.detach()[:-1])
    yield Bad("half precision", x.detach().half() if x.is_floating_point() else x.detach().to(torch.int8))
    yield Bad("true and false", x.detach().bool() if x.dtype != torch.bool else x.detach().to(torch.uint8))
    yield Bad("another type of number", x.detach().double() if x.dtype == torch.float32 else x.detach().float())
    yield Bad("whole numbers", x.detach().nan_to_num(0).long() if x.dtype != torch.int64 else x.detach().double())
    yield Bad("negative", -x.detach() - 1 if x.dtype != torch.bool else x.detach().int())
    yield Bad("zeros", torch.zeros_like(x))
    if x.is_floating_point() and x.numel():
        for label, number in (("nan", math.nan), ("infinite", math.inf), ("huge", 1e30)):
            value = x.detach().clone()
            value.view(-1)[0] = number
            yield Bad(label, value, missing=label != "huge")
    elif x.dtype == torch.int64:
        yield Bad("huge", x.detach() + 10**9)


def misspelt(text: str) -> str:
    return text[:-1] if len(text) > 3 else text + "q"


def spoiled(value: Any) -> Iterator[Bad]:
    "Bad values in the place of a good one"
    if isinstance(value, bool):
        yield from (Bad(repr(x), x, True) for x in ("no", "", 1, 0.0, [], 1j))
        return
    if isinstance(value, int):
        yield from (Bad(repr(x), x, True) for x in (True, 1.5, "3", math.nan, [1], 1j, torch.tensor(3), np.array(3), None))
        yield from (Bad(repr(x), x) for x in (0, -1, 10**9, -(10**9), 2**70))
        return
    if isinstance(value, float):
        yield from (Bad(repr(x), x, True) for x in (True, "0.5", [0.5], 1j, math.nan, torch.tensor(0.5), np.array(0.5)))
        yield from (Bad(repr(x), x) for x in (0.0, -1.0, 1e30, -1e30, 1e-300, 1e308, math.inf, -math.inf, 5, 2**70, np.float32(0.5)))
        return
    if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
        yield Bad("text", "no", True)
        yield from spoiled_tensor(value)
        return
    yield Bad("Other()", Other(), True)
    if isinstance(value, np.ndarray):
        yield from (Bad(label, x) for label, x in (("flat", value.ravel()), ("empty", value[:0]), ("deep", value[None]), ("shorter", value[:-1])))
        if value.dtype.kind in "iuf":
            yield Bad("negative", -value - 1)
            yield Bad("complex", value.astype(complex), True)
        yield Bad("objects", value.astype(object))
        yield Bad("texts", np.array(["a", "b"]), True)
        if value.dtype.kind == "f" and value.size:
            for number in (math.nan, math.inf):
                other = value.copy()
                other.flat[0] = number
                yield Bad(repr(number), other, missing=True)
    elif isinstance(value, str):
        yield from (Bad(repr(x), x, True) for x in (5, 0.5, b"torus", ["a"], 1j))
        yield from (Bad(repr(x)[:20], x) for x in ("", " ", misspelt(value), value.upper(), f" {value}", "no such thing", "-1", "nan", "(" * 3000, "\x00", "\ud800", "é" * 300))
    elif isinstance(value, (list, tuple)):
        yield from (Bad(repr(x), x, True) for x in (5, 1j, "no", {}))
        yield Bad("a generator", (one for one in value))
        yield Bad("empty", type(value)())
        yield Bad("of others", type(value)([Other()] * max(1, len(value))), True)
        if value:
            yield Bad("longer", type(value)([*value, value[0]]))
            yield Bad("shorter", type(value)(value[:-1]))
            for bad in list(spoiled(value[0]))[:24]:
                yield Bad(f"[0] {bad.label}", type(value)([bad.value, *value[1:]]), bad.foreign, bad.missing)
    elif isinstance(value, dict):
        yield from (Bad(repr(x), x, True) for x in (5, "no", [1], 1j))
        yield Bad("empty", {})
        yield Bad("pairs", list(value.items()), True)
        if value:
            yield Bad("a number for a name", {5: 5, **value})
            first = next(iter(value))
            yield Bad("of others", {**value, first: Other()})
            yield Bad("a name less", {k: v for k, v in value.items() if k != first})
            if isinstance(first, str):
                yield Bad("misspelt", {misspelt(k) if k == first else k: v for k, v in value.items()})
            for bad in list(spoiled(value[first]))[:24]:
                yield Bad(f"[{first!r}] {bad.label}", {**value, first: bad.value}, bad.foreign and isinstance(value[first], Tensor), bad.missing)
    else:
        yield from (Bad(repr(x), x, True) for x in (5, 1j, "no", [1], torch.zeros(2)) if not (callable(value) and callable(x)))
        if not callable(value) or isinstance(value, (nn.Module, torch.Generator)):
            yield Bad("a class", type(value), True)


# --- answers -----------------------------------------------------------------------------------------------------------


class Answer(NamedTuple):
    "What a call was answered with"

    kind: str  # "clear", "result"; or a fault: "unclear", "taken", "not finite", "slow", "hang"
    said: str = ""


class Hang(BaseException):
    "A call took too long"


def _ring(*_: Any) -> None:
    raise Hang


def finite(value: Any, depth: int = 0) -> bool:
    "Whether there is no number in a result that is NaN or infinite"
    if isinstance(value, Tensor):
        return value.is_meta or value.is_quantized or not (value.is_floating_point() or value.is_complex()) or value.layout != torch.strided or bool(value.isfinite().all())
    if isinstance(value, np.ndarray):
        return value.dtype.kind not in "fc" or bool(np.isfinite(value).all())
    if isinstance(value, (float, complex)):
        return math.isfinite(abs(value))
    if depth < 4 and isinstance(value, dict):
        return all(finite(one, depth + 1) for one in value.values())
    if depth < 4 and isinstance(value, (list, tuple)):
        return all(finite(one, depth + 1) for one in value)
    return True


def ours(error: BaseException) -> bool:
    "Whether this package raised an error itself, rather than something that it called"
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    code = at.tb_frame.f_code if at is not None else None
    return code is not None and Path(code.co_filename).resolve().is_relative_to(PACKAGE) and code.co_code[at.tb_lasti] == opcode.opmap["RAISE_VARARGS"]


def names(argument: str, bad: "Bad") -> list[str]:
    "How a message may call an argument; of a dict, also the name in it that was spoiled"
    word, inside = argument.strip("_*"), re.findall(r"\['(\w+)'\]", bad.label)
    keys = [key for key in bad.value if isinstance(key, str)] if bad.label == "misspelt" and isinstance(bad.value, dict) else []
    return [word, word.replace("_", " "), word.rstrip("s"), *WORDS.get(word, ()), *inside, *keys]


WORDS = {"x": ("points", "input", "state"), "y": ("points",), "arguments": ("model", "target", "epochs"), "spec": ("manifold", "inhibitor"), "text": ("manifold", "inhibitor", "sparsifier"),
         "h0": ("initial state",), "hx": ("initial state",), "n": ("number",), "d": ("distances",)}


def answer(call: Callable[[], Any], argument: str, bad: Bad, most: float = HANG) -> Answer:
    "What a call is answered with"
    signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, most)
    start = time.process_time()  # a machine that does other things is no fault of a call
    try:
        with warnings.catch_warnings(action="ignore"), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            result = call()
            if inspect.isgenerator(result):
                result = next(result, None)
        took = time.process_time() - start
    except Hang:
        return Answer("hang")
    except SystemExit as end:  # of a command line, whose parser has said on the screen what is wrong
        return Answer("clear" if end.code == 2 else "result")
    except (ValueError, TypeError, OSError) as error:
        took = time.process_time() - start
        text = str(error)
        if isinstance(error, OSError) and (str(bad.value) in text or Path(str(bad.value)).name in text):
            return Answer("clear", text[:160])  # Python's own word for a file that is not there says which
        if bad.label == "left out" and re.search(rf"missing .*'{argument}'", text):
            return Answer("clear", text[:160])  # Python's own word of a dataclass
        if not ours(error):
            return Answer("unclear", f"{type(error).__name__}: {text.splitlines()[0][:160] if text else ''}")
        if not any(re.search(rf"(?<![a-z]){re.escape(name)}", text, re.IGNORECASE) for name in names(argument, bad)):
            return Answer("unclear", f"does not name {argument}: {type(error).__name__}: {text[:160]}")
        return Answer("clear" if took < SECONDS else "slow", text[:160])
    except Exception as error:
        return Answer("unclear", f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:160]}")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if took > SECONDS:
        return Answer("slow", f"{took:.1f} s")
    if bad.foreign:
        return Answer("taken", repr(result)[:100])
    if not finite(result):
        return Answer("not finite", repr(result)[:100])
    return Answer("result")


class Finding(NamedTuple):
    name: str
    argument: str
    bad: str
    answer: Answer


LONG: set[tuple[str, str, str]] = set()  # calls that are right and train for minutes: name, argument, and what stands in its place
FAULTS = ("unclear", "taken", "not finite", "slow", "hang")


def takes(function: Callable, argument: str, bad: Bad) -> bool:
    "Whether a signature allows what would be foreign elsewhere: None, anything, a list for a tuple, an array, one thing in place of a list, a thing or its class"
    parameter = parameter_of(function, argument)
    if parameter is None:
        return False
    kind = str(parameter.annotation)
    if bad.value is None:
        return parameter.default is None or "None" in kind or "Optional" in kind or "Any" in kind
    inside = bad.label.startswith(("[", "of others"))
    if inside and (parameter.annotation in (list, tuple, dict, list[Any], dict[str, Any], Iterable, Iterable[Any], Callable) or kind.endswith(("[typing.Any]", ", typing.Any]"))):
        return True
    if bad.label.endswith(("complex", "meta")) and "kind='any'" in kind:
        return True
    if isinstance(bad.value, str) and re.search(r"\bstr\b", kind):
        return True
    first = [word for word in ("Any", "empty", "object") if kind.endswith((f".{word}", f"'{word}'>", f"_{word}'>")) or kind == word]
    if isinstance(bad.value, list) and ("tuple" in kind or "Sequence" in kind or "Iterable" in kind):
        return True
    if (isinstance(bad.value, dict) and ("Iterable" in kind or "Collection" in kind)) or (isinstance(bad.value, str) and "Iterable[typing.Any]" in kind):
        return True
    return bool(first) or (isinstance(bad.value, Tensor) and kind == "<class 'torch.Tensor'>") or (isinstance(bad.value, np.ndarray) and "ndarray" in kind) or (type(bad.value) is int and re.search(r"\bint\b", kind) is not None)


def parameter_of(function: Callable, argument: str) -> inspect.Parameter | None:
    "What a signature says of an argument; one that a constructor hands on to that of its parent is the parent's"
    for one in inspect.getmro(function) if inspect.isclass(function) else (function,):
        given = inspect.signature(one).parameters if one is not object else {}
        if argument in given:
            return given[argument]
    return None


def hands_on(function: Callable, bad: Bad) -> bool:
    """Whether a result that is not finite is right: of a layer, which passes on what it is given, as torch's do, so that one network of several that has diverged does not stop the others
    (`forward`); or where the function says that NaN or infinity has a meaning (`finite=False`), such as the price of a connection that is forbidden."""
    return (function.__name__ == "forward" and bad.missing) or getattr(function, "finite", True) is False


def calls(name: str, recipe: Callable[[], tuple[Callable, dict[str, Any]]], every: int = 1) -> Iterator[Finding]:
    "All answers to a call that is spoiled in one place, or `every` so-manieth"
    function, arguments = recipe()
    right = answer(lambda: called(function, arguments), "", Bad("right", None), 20 * HANG)
    if right.kind not in ("result", "slow") and not (right.kind == "not finite" and hands_on(function, Bad("right", None))):
        yield Finding(name, "", "nothing spoiled", Answer("unclear", f"the recipe itself is wrong: {right}"))
    function, arguments = recipe()
    for argument, value in arguments.items():
        if argument.startswith("*"):
            yield from in_order(name, recipe, argument, every)
            continue
        bads = list(spoiled(value))
        if value is not None:
            bads.append(Bad("None", None, True))
        for k in range((len(name) + len(argument)) % every, len(bads), every):
            if (name, argument, bads[k].label) in LONG:
                continue
            function, fresh = recipe()
            bad = bads[k]
            if not isinstance(bad.value, (str, int, float, type(None))) and k < len(again := list(spoiled(fresh[argument]))):
                bad = again[k]  # made of what is this call's own
            if bad.foreign and (takes(function, argument, bad) or (function.__name__ == "forward" and bad.label == "meta")):  # a layer on meta computes shapes
                bad = bad._replace(foreign=False)
            found = answer(lambda f=function, a=fresh, n=argument, b=bad: called(f, {**a, n: b.value}), argument, bad)
            if found.kind in ("slow", "hang"):  # what is compiled when it is first used is not slow
                function, fresh = recipe()
                found = answer(lambda f=function, a=fresh, n=argument, b=bad: called(f, {**a, n: b.value}), argument, bad)
            if found.kind == "not finite" and hands_on(function, bad):
                found = Answer("result")
            yield Finding(name, argument, bad.label, found)
    for argument in arguments:
        function, fresh = recipe()
        needed = inspect.signature(function).parameters.get(argument)
        if needed is not None and needed.default is needed.empty and needed.kind is needed.POSITIONAL_OR_KEYWORD:
            del fresh[argument]
            yield Finding(name, argument, "left out", answer(lambda f=function, a=fresh: called(f, a), argument, Bad("left out", None, True)))
    function, fresh = recipe()
    keyword = next((argument for argument in fresh if not argument.startswith("*")), None)
    if keyword and not any(p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values()):
        other = f"{keyword}q"
        call = lambda: called(function, {(other if n == keyword else n): v for n, v in fresh.items()})  # noqa: E731
        yield Finding(name, other, "misspelt keyword", answer(call, keyword, Bad("misspelt", None, True)))


def in_order(name: str, recipe: Callable[[], tuple[Callable, dict[str, Any]]], argument: str, every: int) -> Iterator[Finding]:
    "All answers to a call that is spoiled in one of the arguments that have no name of their own"
    if (parameter := parameter_of(recipe()[0], argument.strip("*"))) is not None and parameter.annotation is Any:
        return  # handed to somebody else's function
    for place, value in enumerate(recipe()[1][argument]):
        bads = list(spoiled(value))
        for k in range(len(name) % every, len(bads), every):
            function, fresh = recipe()
            good = fresh[argument]
            again = list(spoiled(good[place]))
            bad = again[k] if k < len(again) else bads[k]
            bad = bad._replace(foreign=bad.foreign and not takes(function, argument.strip("*"), bad) and not (function.__name__ == "__call__" and bad.label == "meta"))
            changed = {**fresh, argument: [*good[:place], bad.value, *good[place + 1 :]]}
            found = answer(lambda f=function, a=changed: called(f, a), argument, bad)
            yield Finding(name, f"{argument}[{place}]", bad.label, Answer("result") if found.kind == "not finite" and hands_on(function, bad) else found)


def called(function: Callable, arguments: dict[str, Any]) -> Any:
    "Call with arguments by name; `*` stands before the name of those that have none"
    rest = [one for name, value in arguments.items() if name.startswith("*") for one in value]
    plain = {name: value for name, value in arguments.items() if not name.startswith("*")}
    order = [p for p in inspect.signature(function).parameters.values()]
    if rest:
        first = [plain.pop(p.name) for p in order if p.kind is p.POSITIONAL_OR_KEYWORD and p.name in plain]
        return function(*first, *rest, **plain)
    positional = [plain.pop(p.name) for p in order if p.kind is p.POSITIONAL_ONLY and p.name in plain]
    return function(*positional, **plain)


def table(findings: list[Finding]) -> str:
    counts = Counter(finding.answer.kind for finding in findings)
    return ", ".join(f"{kind}: {counts.get(kind, 0)}" for kind in ("clear", "result", *FAULTS))


def fields(config: Any) -> list[str]:
    return [one.name for one in dataclasses.fields(config)]
