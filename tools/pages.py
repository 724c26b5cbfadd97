"""Pages of the site, in Markdown that Quarto and MyST both read: chapters, API reference, glossary, bibliography.

A chapter is written once, for who reads the notebook. What a site can add is added here: the first time that a page says a
word of the glossary, it links there; a name of the package links to its reference; a work that stands in
docs/references.bib, named by its title or as author and year, links to the bibliography. The same links have hover cards.
"""

import ast
import base64
import html
import inspect
import json
import re
from configparser import ConfigParser
from functools import cache
from pathlib import Path

import api
import nbformat
import yaml
from markdown_it import MarkdownIt
from pybtex.database import Entry, parse_file
from pybtex.plugin import find_plugin

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
_ini = ConfigParser(delimiters=["="])
_ini.read(ROOT / "settings.ini", encoding="utf-8")
SETTINGS = _ini["DEFAULT"]
SOURCE = f"{SETTINGS['git_url']}/blob/{SETTINGS['branch']}"


# --- navigation --------------------------------------------------------------------------------------------------------


def parts() -> list[dict]:
    "Parts of the book in reading order, each with `section` and `contents`; pages outside all parts have one without a name"
    sidebar = yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))["website"]["sidebar"]["contents"]
    return [{"section": "", "contents": [part]} if isinstance(part, str) else part for part in sidebar]


def chapters(
    part: str | None = None,  # its name; None for all
) -> list[str]:
    "Names of the chapters in reading order"
    files = [file for p in parts() if part in (None, p["section"]) for file in p["contents"]]
    return [file.removesuffix(".ipynb") for file in files if file.endswith(".ipynb")]


@cache
def experiments() -> list[str]:
    "Names of the chapters that papermill runs: those with a cell tagged `parameters`"
    return [name for name in chapters() if any("parameters" in cell.metadata.get("tags", []) for cell in nbformat.read(ROOT / "nbs" / f"{name}.ipynb", as_version=4).cells)]


def modules() -> list[str]:
    "Names of the package's modules in reading order"
    return [name for name in chapters() if api.module_of(name)]


def toctrees() -> dict[str, str]:
    "The same navigation for Sphinx, which has it in pages: what to add to the home page, and to that of the API"
    captions = [(f":caption: {part['section']}\n" if part["section"] else "", part["contents"]) for part in parts()[1:]]
    trees = {"index": captions, "api": [("", [f"api/{name}.md" for name in modules()])]}
    return {page: "\n\n".join(f"```{{toctree}}\n:hidden:\n{caption}\n" + "\n".join(f.rsplit(".", 1)[0] for f in files) + "\n```"
                              for caption, files in tree) for page, tree in trees.items()}


# --- what words link to ------------------------------------------------------------------------------------------------


def plain(text: str) -> str:
    "Letters and digits alone, so that titles and names compare whatever their case, breaks and marks"
    return re.sub(r"[\W_]+", " ", text).strip().lower()


@cache
def glossary() -> dict[str, tuple[list[str], str]]:
    "Of docs/glossary.md, by id: the forms of a term, and its definition in Markdown"
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    found = re.findall(r"^(\S.*)\n: (.+(?:\n  .+)*)", text, re.MULTILINE)
    return {plain(line.split(" / ")[0]).replace(" ", "-"): (line.split(" / "), definition) for line, definition in found}


@cache
def terms() -> dict[str, str]:
    "Id in the glossary of each form of each term, with its plural"
    forms = {form.lower(): term for term, (names, _) in glossary().items() for name in names for form in (name, f"{name}s")}
    return dict(sorted(forms.items(), key=lambda item: -len(item[0])))


@cache
def works() -> dict[str, Entry]:
    "Of docs/references.bib, by key"
    return dict(parse_file(str(DOCS / "references.bib")).entries)


def authors(entry: Entry) -> list[str]:
    "The ways in which a text names the authors of a work, the usual one first"
    last = [" ".join([*person.prelast_names, *person.last_names]).strip("{}") for person in entry.persons["author"]]
    full = " and ".join(filter(None, [", ".join(last[:-1]), last[-1]]))
    return [full] if len(last) < 3 else [f"{last[0]} et al.", full] if len(last) > 3 else [full, f"{last[0]} et al."]


@cache
def titles() -> dict[str, str]:
    "Key of each work by its title, by what stands before a colon in it, and by its short title"
    found = {key: [entry.fields["title"], entry.fields["title"].split(":")[0], entry.fields.get("shorttitle", "")] for key, entry in works().items()}
    return {plain(re.sub("[{}]", "", title)): key for key, forms in found.items() for title in forms if title}


def work(
    title: str,  # or how it begins, three words at least
) -> str | None:
    "Key of the work of that title"
    said = plain(title)
    return titles().get(said) or next((key for full, key in titles().items() if said.count(" ") > 1 and full.startswith(f"{said} ")), None)


@cache
def citations() -> dict[str, str]:
    "Key of each work by authors and year"
    return {plain(f"{name} {entry.fields['year']}"): key for key, entry in works().items() for name in authors(entry)}


@cache
def names() -> dict[str, str]:
    "Address of each public name of the package"
    found = {api.module_of(module): f"api/{module}.md" for module in modules()}
    return found | {name: f"api/{m}.md#{api.anchor(m, name, value)}" for m in reversed(modules()) for name, value in api.members(m)}


# --- links -------------------------------------------------------------------------------------------------------------

KEPT = r"""
      ^[ ]*(?P<fence>`{3,}|~{3,})[\s\S]*?^[ ]*(?P=fence)[ ]*$ # a fenced block
    | \$\$[\s\S]+?\$\$ | \$[^$\n]+\$                          # formulas
    | \[(?:[^\[\]]|\[[^\]]*\])*\]\([^)]*\) | <[^<>\n]+>       # links, HTML
    | ^\#.*$                                                  # headings
    | (?P<code>`[^`\n]+`)
    | (?<![*\w])\*(?P<title>[^\s*][^*\n]+\n?[^*\n]*)\*(?![*\w])
"""


@cache
def _words() -> re.Pattern:
    cited = "|".join(r"\s+".join(map(re.escape, name.split())) + r"(?:,?\s+Y|\s+\(Y\))".replace("Y", entry.fields["year"])
                     for entry in works().values() for name in authors(entry))
    said = "|".join(r"\s".join(map(re.escape, form.split())) for form in terms())
    return re.compile(rf"{KEPT} | (?P<cited>{cited}) | \b(?P<term>{said})\b", re.MULTILINE | re.VERBOSE | re.IGNORECASE)


class Linker:
    "Turns words, names and works into links on one page; each target once, where it is first named"

    def __init__(
        self,
        page: str,  # its name, without a suffix
    ):
        self.page, self.targets = page, set()

    def __call__(
        self,
        text: str,  # Markdown
    ) -> str:  # Markdown
        return _words().sub(self._link, text)

    def _link(self, match: re.Match) -> str:
        text, target = match.group(), None
        if match["code"]:
            target = names().get(text.strip("`").removesuffix("()"))
        elif match["term"]:
            target = f"glossary.md#term-{terms()[' '.join(text.lower().split())]}"
        elif key := work(match["title"] or "") or citations().get(plain(match["cited"] or "")):
            target = f"bibliography.md#work-{key}"
        if target is None or target in self.targets or target.split(".md")[0] == self.page:
            return text
        self.targets.add(target)
        return f"[{text}]({'../' * self.page.count('/')}{target})"


# --- pages -------------------------------------------------------------------------------------------------------------


def badges(name: str) -> str:
    "Links by which a chapter is opened elsewhere"
    repository = SETTINGS["git_url"].split("github.com/")[-1]
    links = {
        "Source": f"{SOURCE}/nbs/{name}.ipynb",
        "Colab": f"https://colab.research.google.com/github/{repository}/blob/{SETTINGS['branch']}/nbs/{name}.ipynb",
        "Binder": f"https://mybinder.org/v2/gh/{repository}/{SETTINGS['branch']}?urlpath=lab/tree/nbs/{name}.ipynb",
        "Download": f"notebooks/{name}.ipynb",
    }
    marks = [f'<a class="badge-{text.lower()}" href="{link}"{" download" * (text == "Download")}>{text}</a>' for text, link in links.items()]
    return f'<p class="badges">{" ".join(marks)}</p>'


def figure_alt(code: str) -> str:
    "What a figure shows: its `#| fig-alt:` line, else the titles and labels that its code writes"
    said = re.search(r"^#\| fig-alt: *(.+)$", code, re.MULTILINE)
    found = re.findall(r"""(?:\b(?:title|xlabel|ylabel|label|zlabel)=|set_title\(|suptitle\()\(?f?["']([^"'{}]+)["']""", code)
    return said[1].strip("\"'") if said else "Figure: " + "; ".join(dict.fromkeys(found)) if found else "Figure, described in the text around it"


def chapter(
    name: str,
    notebook: nbformat.NotebookNode,  # executed
    linker: Linker,
    end: str = "",  # Markdown to add
) -> str:  # a notebook's JSON
    "A chapter as a reader sees it: no hidden cell, no directive, prose with links, figures with a text for who does not see them"
    first, *rest = notebook.cells
    title, _, description = first.source.partition("\n\n> ")
    lead = f'{title}\n\n<p class="lead">{html.escape(description)}</p>\n\n{badges(name)}'
    if scale := notebook.metadata.get("modreg", {}).get("scale"):
        lead += f"\n\n<p class=\"scale\">{SCALES[scale]}</p>"
    cells, drawn = [nbformat.v4.new_markdown_cell(lead)], False
    for cell in rest:
        if cell.cell_type == "markdown":
            cells.append(nbformat.v4.new_markdown_cell(linker(cell.source)))
        elif not re.search(r"^#\| *(hide|default_exp)\b", cell.source, re.MULTILINE):
            told = re.search(r"^#\| *(?:fold\b|code-fold: true) *(.*)$", cell.source, re.MULTILINE)  # of these two, nbdev leaves the second in a module
            picture = draws(cell) and (told or not drawn)
            fold = "Imports" if _only_imports(cell.source) else told[1] if told and told[1] else "The picture's code" if picture else "The code" if told else ""
            cells.append(_code(cell, fold))
            drawn = drawn or draws(cell)
    if end:
        cells.append(nbformat.v4.new_markdown_cell(end))
    for k, cell in enumerate(cells):
        cell["id"] = f"{name}-{k}"  # random ids would change the page
    page = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": notebook.metadata.kernelspec, "language_info": {"name": "python"}})
    return nbformat.writes(page)


SCALES = {
    "tiny": "Executed at the scale <em>tiny</em>, whose networks have hardly learned: it shows that everything is wired up, and no result. "
            "<code>make docs SCALE=small</code> trains them first.",
    "small": "Executed at the scale <em>small</em> with one seed: networks that have learned, in minutes on two cores.",
}


def draws(cell: nbformat.NotebookNode) -> bool:
    "Whether a code cell shows a picture"
    return any({"image/png", "text/html"} & output.get("data", {}).keys() for output in cell.outputs)


def _only_imports(source: str) -> bool:
    "Whether code does nothing but import, at once or for a type checker"
    kinds = ast.Import | ast.ImportFrom
    return all(isinstance(node, kinds) or (isinstance(node, ast.If) and all(isinstance(n, kinds) for n in node.body)) for node in ast.parse(source).body)


def _is_wide(output: nbformat.NotebookNode) -> bool:
    "Whether an output is a picture of several panels in a row, which a phone shows larger than its screen, to be scrolled"
    png = base64.b64decode(output.get("data", {}).get("image/png", ""))
    return bool(png) and int.from_bytes(png[16:20]) > 2.2 * int.from_bytes(png[20:24])


def _code(
    cell: nbformat.NotebookNode,
    fold: str = "",  # what the page says in place of the code, which a click shows; not folded if empty
) -> nbformat.NotebookNode:
    "A code cell without its directives"
    said = re.findall(r"^#\| *(.+)$", cell.source, re.MULTILINE)
    tags = [*(["export"] if "export" in said else []), *(["remove-input"] if "echo: false" in said else ["hide-input"] if fold else [])]
    outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    source = re.sub(r"^#\|.*\n?", "", cell.source, flags=re.MULTILINE).strip()
    made = nbformat.v4.new_code_cell(source, outputs=outputs)
    image = {"alt": figure_alt(cell.source)} | ({"classes": "wide"} if any(map(_is_wide, outputs)) else {})
    made.metadata = {"tags": tags, "mystnb": {"image": image}}
    if fold:
        made.metadata["mystnb"] |= {"code_prompt_show": fold, "code_prompt_hide": fold}
    for output in outputs:
        if output.output_type == "execute_result":
            output.execution_count = None
    return made


def glossary_page(linker: Linker) -> str:
    "docs/glossary.md in alphabetical order, with an id for each term"
    head = (DOCS / "glossary.md").read_text(encoding="utf-8").split("\n\n")[:2]
    entries = [f"[{', '.join(forms)}]{{#term-{key}}}\n: {definition}" for key, (forms, definition) in sorted(glossary().items())]
    return "\n\n".join([*head, *entries]) + "\n"


def reference(key: str) -> str:
    "A work as the bibliography has it, in Markdown"
    style, backend = find_plugin("pybtex.style.formatting", "plain")(), find_plugin("pybtex.backends", "markdown")()
    return next(iter(style.format_entries([works()[key]]))).text.render(backend)


def bibliography(cited: dict[str, set[str]]) -> str:
    "Each work that a chapter names, and the chapters that do"
    entries = []
    for key, entry in sorted(works().items(), key=lambda item: (authors(item[1])[0].lower(), item[1].fields["year"])):
        where = [f"[{name}]({name}.ipynb)" for name in chapters() if f"bibliography.md#work-{key}" in cited.get(name, ())]
        if where:
            entries.append(f"[{authors(entry)[0]} {entry.fields['year']}]{{#work-{key}}}\n: {reference(key)} Named in {', '.join(where)}.")
    return "\n\n".join(["# Bibliography", "Works that the chapters name.", *entries]) + "\n"


def api_index() -> str:
    "The modules, and the names at the top level"
    import modreg

    rows = [f"| [{api.module_of(m)}](api/{m}.md) | {', '.join(f'[`{n}`]({names()[n]})' for n, _ in api.members(m) if '.' not in n)} |" for m in modules()]
    top = ", ".join(f"[`{name}`]({names()[name]})" for name in modreg.__all__)
    return f"# API reference\n\n`import modreg` gives {top}.\n\n| module | names |\n|---|---|\n" + "\n".join(rows) + "\n"


def cards() -> str:
    "JavaScript that holds the text of each hover card, by address"
    markdown = MarkdownIt()
    found = {f"glossary.html#term-{key}": f"<b>{html.escape(forms[0])}</b> {markdown.renderInline(text)}" for key, (forms, text) in glossary().items()}
    found |= {f"bibliography.html#work-{key}": markdown.renderInline(reference(key)) for key in works()}
    for module in modules():
        for name, value in api.members(module):
            doc = (getattr(value, "__doc__", None) or "").strip().split("\n")[0]
            if inspect.isclass(value) or inspect.isfunction(value):
                found[f"api/{module}.html#{api.anchor(module, name, value)}"] = f"<code>{html.escape(name)}</code> {html.escape(doc)}"
    return f"window.hoverCards = {json.dumps(found, ensure_ascii=False, indent=0)};\n"


def texts(
    executed: Path,  # folder of executed chapters
    sphinx: bool = True,  # Sphinx needs the navigation in the pages
) -> dict[str, str]:  # by path below the pages' folder
    "Every page"
    made, cited, ends = {}, {}, toctrees() if sphinx else {}
    for name in chapters():
        linker = Linker(name)
        made[f"{name}.ipynb"] = chapter(name, nbformat.read(executed / f"{name}.ipynb", as_version=4), linker, ends.get(name, ""))
        cited[name] = linker.targets
    for name in modules():
        made[f"api/{name}.md"] = api.page(name, f"{SOURCE}/{api.module_of(name).replace('.', '/')}.py")
    made["api.md"] = f"{api_index()}\n{ends.get('api', '')}\n"
    made["symbols.md"] = Linker("symbols")((DOCS / "symbols.md").read_text(encoding="utf-8"))
    made["glossary.md"] = glossary_page(Linker("glossary"))
    made["bibliography.md"] = bibliography(cited)
    made["assets/cards.js"] = cards()
    return made | {f"assets/{path.name}": path.read_text(encoding="utf-8") for path in DOCS.iterdir() if path.suffix in (".css", ".js", ".svg")}
