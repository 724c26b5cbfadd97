"""API reference: a page of Markdown for each module, made from signatures, docments and docstrings."""

import ast
import dataclasses
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastcore.docments import docments

PACKAGE = Path(__file__).resolve().parent.parent / "modreg"


def module_of(
    chapter: str,
) -> str | None:  # such as "modreg.geometry.manifolds"; None for a chapter that exports nothing
    "Dotted name of the module that a chapter makes"
    found = next(PACKAGE.glob(f"*/{chapter}.py"), None)
    return found and f"modreg.{found.parent.name}.{chapter}"


def members(
    module: str,  # name of its chapter
) -> Iterator[tuple[str, Any]]:  # dotted name in the module, and the object
    "Public names in their order, each class followed by its public methods"
    loaded = importlib.import_module(module_of(module))
    for name in loaded.__all__:
        value = getattr(loaded, name)
        yield name, value
        if inspect.isclass(value):
            for key, member in vars(value).items():
                function = getattr(member, "fget", getattr(member, "__func__", member))
                if inspect.isfunction(function) and (not key.startswith("_") or key == "__call__") and _says(function):
                    yield f"{name}.{key}", member


def _says(function: Any) -> bool:
    return bool(function.__doc__) or any(p["docment"] for p in docments(function, full=True).values())


def _line(function: Any) -> int:
    "Where a definition begins; 1 for what Python cannot find, such as a class that a call has made"
    try:
        return inspect.getsourcelines(function)[1]
    except OSError:
        return 1


def _has_signature(function: Any) -> bool:
    "Whether it takes something of its own: an exception without a constructor takes a message, as all do"
    try:
        inspect.signature(function)
    except ValueError:
        return False
    return True


def page(
    module: str,  # name of its chapter
    source: str,  # address of its source
) -> str:  # Markdown
    "The reference of one module"
    loaded = importlib.import_module(module_of(module))
    comments = _comments(inspect.getsource(loaded))
    blocks = [f"# {loaded.__name__}", f"What the chapter [{module}](../{module}.ipynb) exports. A shape stands in parentheses, a unit behind it."]
    constants = []
    for name, value in members(module):
        function = getattr(value, "fget", getattr(value, "__func__", value))
        if inspect.isclass(function) or inspect.isfunction(function):
            line = _line(function)
            blocks += [f"{'###' if '.' in name else '##'} [`{name}`]{{#{anchor(module, name, value)}}}", _signature(name, value, function),
                       f"{_doc(function)} [source]({source}#L{line})".strip(), _rows("| | type | default | meaning, shape, unit |", list(_parameters(function)))]
        else:
            constants.append([f"`{name}`", f"`{_short(value)}`", comments.get(name, "")])
    if constants:
        blocks += [f"## [Constants]{{#{anchor(module, 'constants', None)}}}", _rows("| | value | meaning, shape, unit |", constants)]
    return "\n\n".join(filter(None, blocks)) + "\n"


def anchor(
    module: str,  # name of its chapter
    name: str,  # as `members` gives it
    value: Any,
) -> str:
    "Id of a name in the reference, of which each is unique: Sphinx has them all in one list, and minds no case"
    function = getattr(value, "fget", getattr(value, "__func__", value))
    if not (inspect.isclass(function) or inspect.isfunction(function)):
        name = "constants"
    kind = "class-" if inspect.isclass(function) else ""
    return re.sub(r"[^a-z0-9]+", "-", f"{module}-{kind}{name}".lower()).strip("-")


def _rows(head: str, lines: list[list[str]]) -> str:
    "A table, if there is a line in it"
    body = ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines]
    return "\n".join([head, re.sub(r"[^|]+", "---", head), *body]) if lines else ""


def _doc(function: Any) -> str:
    doc = inspect.cleandoc(function.__doc__ or "")
    return "" if dataclasses.is_dataclass(function) and doc.startswith(f"{function.__name__}(") else doc


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else f"{type(value).__name__} of {len(value)}" if hasattr(value, "__len__") else type(value).__name__


def _comments(source: str) -> dict[str, str]:
    "What stands behind each constant of a module"
    lines = source.splitlines()
    targets = [(node.targets[0].id, lines[node.end_lineno - 1]) for node in ast.parse(source).body
               if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)]
    return {name: line.partition("  # ")[2] for name, line in targets}


def _signature(name: str, value: Any, function: Any) -> str:
    if isinstance(value, property):
        return f"*property* `{name}`"
    given = [p for p in inspect.signature(function).parameters.values() if p.name != "self"] if _has_signature(function) else []
    shown, star = [], False
    for p in given:
        if p.kind is p.KEYWORD_ONLY and not star:
            shown, star = [*shown, "*"], True
        star |= p.kind is p.VAR_POSITIONAL
        mark = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        shown.append(mark + p.name + ("" if p.default is p.empty else f"={_default(p.default)}"))
    kind = "class " if inspect.isclass(function) else ""
    line = f"{kind}{name}({', '.join(shown) if len(shown) <= 12 else '...'})"  # the table lists them anyway
    if len(line) > 88:
        line = f"{kind}{name}(\n" + "".join(f"    {text},\n" for text in shown) + ")"
    return f"```python\n{line}\n```"


def _default(value: Any) -> str:
    return value.__name__ if callable(value) and hasattr(value, "__name__") else repr(value)


def _parameters(function: Any) -> Iterator[list[str]]:
    "Parameters and what is returned: name, type, default, and the comment with shape and unit"
    if not _has_signature(function):
        return
    bases = inspect.getmro(function)[1:] if dataclasses.is_dataclass(function) else ()
    inherited = {n: p["docment"] for base in bases if dataclasses.is_dataclass(base) for n, p in docments(base, full=True).items()}
    empty = inspect.Parameter.empty
    for name, p in docments(function, full=True).items():
        if name == "return" and p["anno"] not in (empty, None) and not inspect.isclass(function):
            yield ["**returns**", _type(p["anno"]), "", p["docment"] or ""]
        elif name not in ("self", "return"):
            default = "" if p["default"] is empty else f"`{_default(p['default'])}`"
            yield [f"`{name}`", _type(p["anno"]), default, p["docment"] or inherited.get(name) or ""]


def _type(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty:
        return ""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = re.sub(r"\b(?:torch\.(?:nn\.)?(?:modules\.module\.|parameter\.|_C\.)?|modreg\.(?:\w+\.)+|typing\.|collections\.abc\.|matplotlib\.\w+\.)", "", text)
    return f"`{text.replace(chr(39), '')}`"
