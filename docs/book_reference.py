"""The API reference, a Sphinx extension: what autodoc shows, with the comments of docments as its lists of parameters, links to the source, and tool tips."""

import inspect
import posixpath
import re
import sys
from contextlib import suppress
from functools import cache
from types import SimpleNamespace
from typing import Any, Union, get_args, get_origin, get_type_hints

from docutils import nodes
from fastcore.docments import docments
from sphinx import addnodes

LONG = re.compile(r"\b(?:torch\.(?:nn\.)?(?:modules\.module\.|parameter\.|_C\.)?|modreg\.(?:\w+\.)+|typing\.|collections\.abc\.|matplotlib\.\w+\.)|'")


def plain(value: Any) -> Any:
    "The function of a property or a class method; anything else as it is"
    return getattr(value, "fget", getattr(value, "__func__", value))


def escaped(text: str) -> str:
    "Docstrings are plain text with names in backticks: marks of reStructuredText are letters in it"
    return "".join(part if k % 2 else re.sub(r"([\\*|_])", r"\\\1", part) for k, part in enumerate(re.split(r"(`+[^`]+`+)", text)))


def commented(function: Any) -> dict[str, tuple[str, str]]:
    "Type and comment of each parameter and of `return`; a field has the comment that a base class gives it"
    found = {}
    for kind in reversed(inspect.getmro(function)) if inspect.isclass(function) else [function]:
        if kind is function or hasattr(kind, "__dataclass_fields__"):
            for name, said in _docments(kind).items():
                comment = said["docment"] if isinstance(said["docment"], str) else found.get(name, ("", ""))[1]
                untold = said["anno"] in (inspect.Parameter.empty, None) or isinstance(said["anno"], type(inspect.Parameter.VAR_KEYWORD))
                found[name] = "" if untold else _type(said["anno"]), comment
    return {name: said for name, said in found.items() if name not in ("self", "cls") and any(said) and not (name == "return" and inspect.isclass(function))}


def _docments(function: Any) -> dict[str, dict]:
    "Nothing of what Python cannot find, such as a class that a call has made"
    try:
        return docments(function, full=True)
    except (OSError, TypeError, ValueError):
        return {}


def _type(annotation: Any) -> str:
    "A type as one reads it: without the marks of `Annotated`, and with a bar for what may be None"
    if not isinstance(annotation, str):
        with suppress(NameError):  # a name that only a type checker knows
            annotation = get_type_hints(SimpleNamespace(__annotations__={"_": annotation}))["_"]
        if get_origin(annotation) is Union:
            return " | ".join("None" if one is type(None) else _type(one) for one in get_args(annotation))
        annotation = inspect.formatannotation(annotation)
    return LONG.sub("", annotation)


def add_comments(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    "Parameters behind the docstring; of a constant, what stands behind it"
    if what == "data":
        module, _, own = name.rpartition(".")
        found = re.search(rf"^{own}\b.* = .*?  # (.+)$", inspect.getsource(sys.modules[module]), re.MULTILINE)
        lines[:] = [escaped(found[1]) if found else ""]
    elif what != "module":
        made = hasattr(value, "__dataclass_fields__") and lines and lines[0].startswith(f"{value.__name__}(")  # by Python, of the fields
        fields = []
        for parameter, (kind, comment) in commented(plain(value)).items() if what != "property" else ():
            says, of = ("returns", "rtype") if parameter == "return" else (f"param {parameter}", f"type {parameter}")
            fields += [f":{says}: {escaped(comment)}"] * bool(comment or parameter != "return") + [f":{of}: ``{kind}``"] * bool(kind)
        lines[:] = [*([] if made else map(escaped, lines)), "", *fields, ""]


def leave_out(app: Any, what: str, name: str, value: Any, skip: bool, options: Any) -> bool | None:
    "All that a module exports is shown, and of a class all that is public and told of, by a docstring or by comments"
    if what == "module":
        return False
    function = plain(value)
    told = inspect.isfunction(function) and (function.__doc__ or any(comment for _, comment in commented(function).values()))
    return not (told and (not name.startswith("_") or name == "__call__"))


# --- tool tips ---------------------------------------------------------------------------------------------------------


@cache
def told_at(env: Any, page: str) -> dict[str, str]:
    "What a tool tip says of each place of a page to which words lead: a term, a work, a name of the package"
    found = {}
    for node in env.get_doctree(page).findall(lambda n: isinstance(n, nodes.term | nodes.citation | addnodes.desc_signature)):
        if isinstance(node, nodes.citation):
            text = node[1].astext()
        elif isinstance(node, nodes.term):
            text = f"{node.astext()}: {node.parent[-1].astext()}"
        else:
            text = ": ".join([node.get("fullname", node.astext()), *(p.astext() for p in list(node.parent[-1].findall(nodes.paragraph))[:1])])
        found |= dict.fromkeys(node["ids"], text)
    return found


def add_tips(app: Any, doctree: nodes.document, page: str) -> None:
    "Give each link to such a place the text as its title, which the theme shows"
    for link in doctree.findall(nodes.reference):
        path, _, target = link.get("refuri", "").partition("#")
        other = posixpath.normpath(posixpath.join(posixpath.dirname(page), path.removesuffix(".html")))
        if target and other in app.env.all_docs and (other in ("glossary", "bibliography") or other.startswith("api/")) and other != page and target in (told := told_at(app.env, other)):
            link["reftitle"] = told[target]


def add_readers(app: Any, doctree: nodes.document, page: str) -> None:
    "Behind each work of the bibliography, the chapters that name it"
    if page != "bibliography":
        return
    cite = app.env.get_domain("cite")
    keys = {one.citation_id: one.key for one in cite.citations}
    for work in doctree.findall(nodes.citation):
        where = [name for name in app.env.collect_relations() if any(ref.docname == name and keys[work["ids"][0]] in {one.key for one in ref.targets} for ref in cite.citation_refs)]
        links = [nodes.reference("", name, internal=True, refuri=app.builder.get_relative_uri(page, name)) for name in where]
        work[1] += [nodes.Text(" Named in "), *(part for k, link in enumerate(links) for part in ([nodes.Text(", ")] if k else []) + [link]), nodes.Text(".")]


def setup(app: Any) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", add_comments)
    app.connect("autodoc-skip-member", leave_out)
    app.connect("doctree-resolved", add_tips, priority=900)
    app.connect("doctree-resolved", add_readers, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
