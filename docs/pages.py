"""Pages of the site, as MyST reads them: chapters, API reference, glossary, bibliography, symbols.

A chapter is written once, for who reads the notebook. What a site can add is added here: the first time that a page says a
word of the glossary, it links there; a name of the package links to its reference; the year of a work that stands in
docs/references.bib, named by its title or its authors, links to the bibliography. Sphinx and its extensions do the rest.
"""

import ast
import base64
import hashlib
import html
import importlib
import inspect
import re
import sys
from functools import cache
from pathlib import Path

import nbformat
import yaml
from notebooks import only_imports
from pybtex.database import Entry, parse_file

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
sys.path.insert(0, str(ROOT))


# --- navigation --------------------------------------------------------------------------------------------------------


def parts() -> list[dict]:
    "Parts of the book in reading order, each with `section` and `contents`; pages outside all parts have one without a name"
    sidebar = yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))["website"]["sidebar"]["contents"]
    return [{"section": "", "contents": [part]} if isinstance(part, str) else part for part in sidebar]


def chapters() -> list[str]:
    "Names of the chapters in reading order"
    return [file.removesuffix(".ipynb") for part in parts() for file in part["contents"] if file.endswith(".ipynb")]


@cache
def experiments() -> list[str]:
    "Names of the chapters that papermill runs: those with a cell tagged `parameters`"
    return [name for name in chapters() if any("parameters" in cell.metadata.get("tags", []) for cell in nbformat.read(ROOT / "nbs" / f"{name}.ipynb", as_version=4).cells)]


def module_of(
    chapter: str,
) -> str | None:  # such as "modreg.geometry.manifolds"; None for a chapter that exports nothing
    "Dotted name of the module that a chapter makes"
    found = next((ROOT / "modreg").glob(f"*/{chapter}.py"), None)
    return found and f"modreg.{found.parent.name}.{chapter}"


def modules() -> list[str]:
    "Names of the package's modules in reading order"
    return [name for name in chapters() if module_of(name)]


def contents() -> str:  # YAML
    "The same navigation as sphinx-external-toc takes it; the page of the API has the modules below it"
    def entry(file: str) -> dict:
        return {"file": file.rsplit(".", 1)[0]} | ({"entries": [{"file": f"api/{name}"} for name in modules()]} if file == "api.md" else {})

    first, *rest = parts()
    trees = [({"caption": part["section"]} if part["section"] else {}) | {"entries": [entry(file) for file in part["contents"]]} for part in rest]
    return yaml.safe_dump({"root": entry(first["contents"][0])["file"], "subtrees": trees}, sort_keys=False)


# --- what words link to ------------------------------------------------------------------------------------------------


def letters(text: str) -> str:
    "Letters and digits alone, so that titles and names compare whatever their case, breaks and marks"
    return re.sub(r"[\W_]+", " ", text).strip().lower()


@cache
def terms() -> dict[str, str]:
    "The term of docs/glossary.md for each form of it, with its plural; the longest first"
    entries = re.findall(r"^((?:\S.*\n)+)  ", (DOCS / "glossary.md").read_text(encoding="utf-8").partition("```{glossary}")[2].partition("\n\n")[2], re.MULTILINE)
    forms = {f"{form}{s}".lower(): lines.split("\n")[0] for lines in entries for form in lines.splitlines() for s in ("", "s")}
    return dict(sorted(forms.items(), key=lambda item: -len(item[0])))


@cache
def works() -> dict[str, Entry]:
    "Of docs/references.bib, by key"
    return dict(parse_file(str(DOCS / "references.bib")).entries)


@cache
def titles() -> dict[str, str]:
    "Key of each work by its title, by what stands before a colon in it, and by its short title"
    found = {key: [entry.fields["title"], entry.fields["title"].split(":")[0], entry.fields.get("shorttitle", "")] for key, entry in works().items()}
    return {letters(re.sub("[{}]", "", title)): key for key, forms in found.items() for title in forms if title}


def work(
    title: str,  # or how it begins, three words at least
) -> str | None:
    "Key of the work of that title"
    said = letters(title)
    return titles().get(said) or next((key for full, key in titles().items() if said.count(" ") > 1 and full.startswith(f"{said} ")), None)


@cache
def citations() -> dict[str, str]:
    "Key of each work by the ways in which a text names its authors, and the year"
    found = {}
    for key, entry in works().items():
        last = [" ".join([*person.prelast_names, *person.last_names]).strip("{}") for person in entry.persons["author"]]
        for name in (f"{last[0]} et al.", " and ".join(filter(None, [", ".join(last[:-1]), last[-1]]))):
            found[f"{name} {entry.fields['year']}"] = key
    return found


@cache
def exported(module: str) -> list[str]:  # name of its chapter
    "Public names of a module"
    return importlib.import_module(module_of(module)).__all__


@cache
def names() -> dict[str, str]:
    "Full name of each public name of the package, as Sphinx' Python domain has it"
    found = {module_of(module): module_of(module) for module in modules()}
    return found | {name: f"{module_of(m)}.{name}" for m in reversed(modules()) for name in exported(m)}


KEPT = r"""
      ^[ ]*(?P<fence>`{3,}|~{3,})[\s\S]*?^[ ]*(?P=fence)[ ]*$ # a fenced block
    | \$\$[\s\S]+?\$\$ | \$[^$\n]+\$                          # formulas
    | \[(?:[^\[\]]|\[[^\]]*\])*\]\([^)]*\)                    # links
    | <a\b[\s\S]*?</a> | <summary>.*?</summary> | <[^<>\n]+> # HTML; a summary's line is not read as Markdown
    | ^\#.*$                                                  # headings
    | (?P<code>`[^`\n]+`)
    | (?<![*\w])\*(?P<title>[^\s*][^*\n]+\n?[^*\n]*)\*(?![*\w])(?:(?P<gap>\s+)\((?P<year>\d{4})\))?
"""


@cache
def _words() -> re.Pattern:
    cited = "|".join(r"\s+".join(map(re.escape, name.split()[:-1])) + rf"(?=,?\s+\(?{name.split()[-1]}\b)" for name in citations())
    said = "|".join(r"\s".join(map(re.escape, form.split())) for form in terms())
    return re.compile(rf"{KEPT} | (?P<cited>{cited}),?\s+(?P<when>\(?\d{{4}}\)?) | \b(?P<term>{said})\b", re.MULTILINE | re.VERBOSE | re.IGNORECASE)


class Linker:
    "Turns words, names and works into Sphinx' roles on one page; each target once, where it is first named"

    def __init__(self):
        self.targets = set()

    def __call__(self, text: str) -> str:  # Markdown
        return _words().sub(self._link, text)

    def _first(self, target: str | None) -> bool:
        new = target is not None and target not in self.targets
        self.targets |= {target} if new else set()
        return new

    def _link(self, match: re.Match) -> str:
        text = match.group()
        if match["code"] and self._first(target := names().get(text.strip("`").removesuffix("()"))):
            return f"{{py:obj}}{text[:-1]} <{target}>`"
        if match["term"] and self._first(term := terms()[" ".join(text.lower().split())]):
            return f"{{term}}`{text} <{term}>`"
        if match["year"] and self._first(key := work(match["title"])):
            return f"*{match['title']}*{match['gap']}{{cite:yearpar}}`{key}`"
        if match["cited"]:
            key = citations().get(f"{' '.join(match['cited'].split())} {match['when'].strip('()')}")
            if self._first(key):
                opened = match["when"].startswith("(")
                closing = ")" * (match["when"].endswith(")") and not opened)  # that of a bracket which began before the authors
                return f"{text.removesuffix(match['when'])}{{cite:year{'par' * opened}}}`{key}`{closing}"
        return text


# --- chapters ----------------------------------------------------------------------------------------------------------

SCALES = {
    "tiny": "Figures of this page's own networks are left out: <code>make docs SCALE=small</code> trains them, in minutes.",
    "small": "This page's own networks were trained in minutes on two cores, at the scale <em>small</em>, with one seed.",
}


def draws(cell: nbformat.NotebookNode) -> bool:
    "Whether a code cell shows a picture"
    return any({"image/png", "text/html"} & output.get("data", {}).keys() for output in cell.outputs)


def trains(cells: list[nbformat.NotebookNode]) -> set[int]:
    "Indices of the cells that show what networks of this chapter found, by following names from `train_three` and `fit` on"
    found, known = set(), {"train_three", "fit", "study"}
    for k, cell in enumerate(cells):
        if cell.cell_type == "code" and not re.search(r"^#\| *export", cell.source, re.MULTILINE):
            tree = ast.walk(ast.parse(re.sub(r"^[%!].*$", "", cell.source, flags=re.MULTILINE)))
            used = [node for node in tree if isinstance(node, ast.Name)]
            made = {node.id for node in used if isinstance(node.ctx, ast.Store)}  # here, whatever an earlier cell called so
            if any(node.id in known - made for node in used if isinstance(node.ctx, ast.Load)):
                found.add(k)
                known |= made - {"fig", "ax", "axes", "task", "config"}  # a task has trained nothing: stored results are drawn with its labels
    return found


def figure_alt(code: str) -> str:
    "What a figure shows: its `#| fig-alt:` line, which the tests ask for"
    said = re.search(r"^#\| fig-alt: *(.+)$", code, re.MULTILINE)
    return said[1].strip("\"'") if said else ""


def chapter(
    name: str,
    notebook: nbformat.NotebookNode,  # executed
    pictures: dict[str, bytes],  # by path in the folder of static files; those of this chapter are added
) -> str:  # a notebook's JSON
    "A chapter as a reader sees it: no hidden cell, no directive, prose with links, figures with a text for who does not see them"
    first, *rest = notebook.cells
    title, _, description = first.source.partition("\n\n> ")
    scale = notebook.metadata.get("modreg", {}).get("scale")
    lead = f'{title}\n\n<p class="lead">{html.escape(description)}</p>' + (f"\n\n<p class=\"scale\">{SCALES[scale]}</p>" if scale else "")
    cells, drawn, linker, silent = [nbformat.v4.new_markdown_cell(lead)], False, Linker(), trains(rest) if scale == "tiny" else set()
    for k, cell in enumerate(rest):
        if cell.cell_type == "markdown":
            cells.append(nbformat.v4.new_markdown_cell(linker(cell.source)))
        elif not re.search(r"^#\| *(hide|default_exp)\b", cell.source, re.MULTILINE):
            cell = nbformat.v4.new_code_cell(cell.source) if k in silent else cell
            told = re.search(r"^#\| *(?:fold\b|code-fold: true) *(.*)$", cell.source, re.MULTILINE)  # of these two, nbdev leaves the second in a module
            picture = draws(cell) and (told or not drawn)
            fold = "Imports" if only_imports(cell.source) else told[1] if told and told[1] else "The picture's code" if picture else "The code" if told else ""
            cells.append(_code(cell, fold, pictures))
            drawn = drawn or draws(cell)
    for k, cell in enumerate(cells):
        cell["id"] = f"{name}-{k}"  # random ids would change the page
    return nbformat.writes(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": notebook.metadata.kernelspec, "language_info": {"name": "python"}}))


def _code(
    cell: nbformat.NotebookNode,
    fold: str,  # what the page says in place of the code, which a click shows; not folded if empty
    pictures: dict[str, bytes],
) -> nbformat.NotebookNode:
    "A code cell without its directives"
    said = re.findall(r"^#\| *(.+)$", cell.source, re.MULTILINE)
    bars = [{"application/vnd.jupyter.widget-view+json", "text/plain"} == output.get("data", {}).keys() for output in cell.outputs]  # of progress: no page of their own
    outputs = [output for output, bar in zip(cell.outputs, bars, strict=True) if output.get("name") != "stderr" and not bar]
    for output in outputs:
        output.pop("execution_count", None) if output.output_type != "execute_result" else output.update(execution_count=None)
        if (text := output.get("data", {}).get("text/html", "")).startswith('<figure class="plot'):
            output.data = {"text/html": _stored(text, pictures).replace('alt=""', f'alt="{html.escape(figure_alt(cell.source))}"')}
    made = nbformat.v4.new_code_cell(re.sub(r"^#\|.*\n?", "", cell.source, flags=re.MULTILINE).strip(), outputs=outputs)
    made.metadata["tags"] = [*(["export"] if "export" in said else []), *(["remove-input"] if "echo: false" in said else ["hide-input"] if fold else [])]
    made.metadata["mystnb"] = {"image": {"alt": figure_alt(cell.source)}} | ({"code_prompt_show": fold, "code_prompt_hide": fold} if fold else {})
    return made


def _stored(text: str, pictures: dict[str, bytes]) -> str:
    "HTML whose pictures are files"
    def store(match: re.Match) -> str:
        png = base64.b64decode(match[1])
        name = f"figures/{hashlib.sha256(png).hexdigest()[:16]}.png"
        pictures[name] = png
        return f"_static/{name}"

    return re.sub(r"data:image/png;base64,([^\"]+)", store, text)


# --- all pages ---------------------------------------------------------------------------------------------------------


def api_index() -> str:
    "The modules, and the names at the top level"
    import modreg

    def linked(listed: list[str]) -> str:
        return ", ".join(f"{{py:obj}}`{name} <{names()[name]}>`" for name in listed)

    rows = [f"| [{module_of(m)}](api/{m}.md) | {linked(exported(m))} |" for m in modules()]
    return f"# API reference\n\n`import modreg` gives {linked(modreg.__all__)}.\n\n| module | names |\n|---|---|\n" + "\n".join(rows) + "\n"


def api_page(module: str) -> str:  # name of its chapter
    "The reference of one module, which autodoc writes; a constant it has to be told of"
    name = module_of(module)
    members = {one: getattr(importlib.import_module(name), one) for one in exported(module)}
    constants = [one for one, value in members.items() if not (isinstance(value, type) or inspect.isroutine(value) or hasattr(value, "py_func"))]
    told = "".join(f"\n.. autodata:: {name}.{one}\n   :no-value:\n" for one in constants)
    return (f"# {name}\n\nWhat the chapter [{module}](../{module}.ipynb) exports. A shape stands in parentheses, a unit behind it.\n\n"
            f"```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n{told}```\n")


def files(
    executed: Path,  # folder of executed chapters
) -> dict[str, str | bytes]:  # by path below the pages' folder
    "All that Sphinx reads"
    pictures: dict[str, bytes] = {}
    made: dict[str, str | bytes] = {f"{name}.ipynb": chapter(name, nbformat.read(executed / f"{name}.ipynb", as_version=4), pictures) for name in chapters()}
    made |= {f"api/{name}.md": api_page(name) for name in modules()}
    made |= {path.name: path.read_text(encoding="utf-8") for path in DOCS.iterdir() if path.suffix in (".md", ".bib")}
    made |= {"api.md": api_index(), "symbols.md": Linker()(made["symbols.md"]), "_toc.yml": contents()}
    return made | {f"assets/{path.name}": path.read_bytes() for path in DOCS.iterdir() if path.suffix in (".css", ".js", ".svg")} | {f"assets/{name}": png for name, png in pictures.items()}
