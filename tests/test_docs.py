"""What makes the site, without building it: links, hidden cells, keys of the cache, works and words that the chapters name."""

import base64
import inspect
import re
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tools"))

import api  # noqa: E402
import docs  # noqa: E402
import pages  # noqa: E402

chapter = pytest.mark.parametrize("name", pages.chapters())


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(ROOT / "nbs" / f"{name}.ipynb", as_version=4)


# --- links -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "linked"), [
    ("a Klein bottle and a klein\nbottle", "a [Klein bottle](glossary.md#term-klein-bottle) and a klein\nbottle"),
    ("tori, masks", "tori, [masks](glossary.md#term-mask)"),
    ("`Torus()` and `torus`", "[`Torus()`](api/manifolds.md#manifolds-class-torus) and `torus`"),
    ("Sorscher et al. (2023)", "[Sorscher et al. (2023)](bibliography.md#work-sorscher2023)"),
    ("*Opening the black\nbox* (2013)", "[*Opening the black\nbox*](bibliography.md#work-sussillo2013) (2013)"),
])
def test_what_is_named_is_linked_once(text, linked):
    assert pages.Linker("navigation")(text) == linked


@pytest.mark.parametrize("text", [
    "# A torus", "[the torus](manifolds.ipynb)", "$torus$ and $$\ntorus\n$$", "<b title='torus'>", "```python\ntorus = `Torus`\n```",
    "    - a list\n\n  ~~~\n  torus\n  ~~~", "subtorus torus_x", "*Something that nobody wrote*",
])
def test_what_is_no_prose_stays(text):
    assert pages.Linker("navigation")(text) == text


def test_a_page_below_a_folder_links_upward():
    assert pages.Linker("api/x")("a mask") == "a [mask](../glossary.md#term-mask)"


@chapter
def test_works_of_the_references_are_in_the_bibliography(name):
    "A title in italics before its year under `References` stands in docs/references.bib, so that the site links it"
    text = "\n".join(cell.source for cell in read(name).cells if cell.cell_type == "markdown")
    for named in re.findall(r"\*([^*]+)\*\s+\((?:19|20)\d\d\)", text.partition("References")[2]):
        assert pages.work(named), f"add {' '.join(named.split())!r} to docs/references.bib"


def test_bibliography_is_well_formed():
    for key, entry in pages.works().items():
        assert entry.persons["author"] and {"title", "year"} <= entry.fields.keys(), key
    forms = [pages.plain(f"{pages.authors(e)[0]} {e.fields['year']}") for e in pages.works().values()]
    assert len(forms) == len(set(forms)), "two works of the same authors and year: the site could not tell them apart"


def test_glossary_says_each_word_once():
    forms = [form.lower() for names, _ in pages.glossary().values() for form in names]
    assert len(forms) == len(set(forms))
    assert {"manifold", "geodesic-distance", "embedding", "inhibitor", "lottery-ticket", "perplexity", "grid-score"} <= pages.glossary().keys()
    assert all("$" not in text for _, text in pages.glossary().values()), "hover cards have no formulas"


# --- chapters ----------------------------------------------------------------------------------------------------------


HEAD = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"  # of a picture; its width and height follow
PIXEL, WIDE = (base64.b64encode(HEAD + bytes([0, 0, 0, width, 0, 0, 0, 1])).decode() for width in (1, 3))


def page_of(*cells: nbformat.NotebookNode) -> nbformat.NotebookNode:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# T\n\n> a < b"), *cells])
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "python3"}, "modreg": {"scale": "tiny", "key": "0"}}
    return nbformat.reads(pages.chapter("navigation", notebook, pages.Linker("navigation")), as_version=4)


def test_a_chapter_page():
    "Hidden cells go, directives go, exported code stays, the scale is said, warnings of libraries are not shown"
    code = nbformat.v4.new_code_cell
    shown = code("#| export\nx = 1", outputs=[nbformat.v4.new_output("stream", name="stderr", text="careful")])
    page = page_of(code("#| hide\nsecret"), code("#| default_exp x"), shown, code("#| echo: false\ny"))
    first, export, silent = page.cells
    assert first.source.startswith("# T\n\n") and "a &lt; b" in first.source and "<em>tiny</em>" in first.source and 'class="badges"' in first.source
    assert (export.source, export.metadata.tags, export.outputs) == ("x = 1", ["export"], [])
    assert silent.metadata.tags == ["remove-input"]


def test_code_before_the_first_picture_is_folded():
    "A reader sees question and picture at once: imports are folded, and so is the code of the first picture and what it is told to fold"
    code, show = nbformat.v4.new_code_cell, lambda: [nbformat.v4.new_output("display_data", data={"image/png": PIXEL})]
    cells = code("import math\n\nif math:\n    import torch"), code("x = 1"), code("#| code-fold: true\ny = 1"), code("plot()", outputs=show()), code("plot(2)", outputs=show())
    folded = [cell.metadata.tags == ["hide-input"] for cell in page_of(*cells).cells[1:]]
    assert folded == [True, False, True, True, False]


def test_a_fold_says_what_is_in_it():
    "Imports, a picture's code, or what stands behind `fold`"
    code, show = nbformat.v4.new_code_cell, [nbformat.v4.new_output("display_data", data={"image/png": PIXEL})]
    cells = code("import math"), code("#| export\n#| fold Loaders\nx = 1"), code("#| code-fold: true\ny = 1"), code("plot()", outputs=show)
    assert [cell.metadata.mystnb.code_prompt_show for cell in page_of(*cells).cells[1:]] == ["Imports", "Loaders", "The code", "The picture's code"]


def test_wide_figures_are_marked():
    "On a phone a row of panels is wider than the screen, and scrolls"
    shown = [nbformat.v4.new_output("display_data", data={"image/png": png}) for png in (PIXEL, WIDE)]
    narrow, wide = page_of(*(nbformat.v4.new_code_cell("plot()", outputs=[out]) for out in shown)).cells[1:]
    assert "classes" not in narrow.metadata.mystnb.image and wide.metadata.mystnb.image.classes == "wide"


def test_figures_are_described():
    assert pages.figure_alt('ax.set(title="paths", xlabel="east (m)")\nax.set_title("paths")') == "Figure: paths; east (m)"
    assert pages.figure_alt('#| fig-alt: "A torus with 400 dots"\nplt.show()') == "A torus with 400 dots"
    assert pages.figure_alt("plt.show()") == "Figure, described in the text around it"


def test_reference_has_shapes_and_units():
    text = api.page("navigation", "https://example.org/navigation.py")
    assert "| **returns** | `Tensor` |  | positions (T + 1, n, 2) in m, the box's centre at 0 |" in text
    assert "| `manifold` | `str` | `'torus'` | circle, sphere, klein, torus6" in text  # inherited
    assert "| `BOX` | `2.2` | side of the box, m |" in text
    assert all(f"[`{name}`]{{#" in text or f"| `{name}` |" in text for name, _ in api.members("navigation"))


@pytest.mark.parametrize("name", pages.modules())
def test_public_names_are_in_the_reference(name):
    "Each is told by a sentence or, a constant, by its value"
    text = api.page(name, "https://example.org/x.py")
    for member, value in api.members(name):
        assert f"[`{member}`]{{#" in text or f"| `{member}` |" in text, member
        if "." not in member and (inspect.isclass(value) or inspect.isfunction(value)):
            assert (value.__doc__ or "").strip(), f"{name}.{member} has no docstring"


# --- what is executed again --------------------------------------------------------------------------------------------


def test_key_follows_what_a_chapter_shows():
    "Code, the modules under it and the scale change the key; prose and modules that it does not use leave it"
    notebook = read("wiring")
    key = docs.key(notebook, "")
    notebook.cells[1].source += " more prose"
    assert docs.key(notebook, "") == key
    assert docs.key(notebook, "tiny") != key
    next(cell for cell in notebook.cells if cell.cell_type == "code").source += "\n1"
    assert docs.key(notebook, "") != key


def test_sources_are_those_that_are_imported():
    assert {name.rpartition(".")[0] for name in docs.sources("from modreg.geometry.manifolds import Torus")} == {"modreg.geometry"}
    wiring = set(docs.sources("import modreg.analysis.wiring"))
    assert {"modreg.analysis.wiring", "modreg.geometry.manifolds"} <= wiring and "modreg.tasks.navigation" not in wiring
    assert {"modreg", "modreg.sparsity.regularizer", "modreg.sparsity.pruning"} <= set(docs.sources("from modreg import Torus"))


def test_every_way_to_import_is_seen():
    text = "import modreg.a\nfrom modreg.b import c\ndef f():\n    from modreg import d\n    from . import e\n    from .f import g\n    from ..h import i\nimport torch\n%matplotlib inline"
    seen = docs.imported(text, "modreg.wing")
    assert {"modreg.a", "modreg.b", "modreg.b.c", "modreg.d", "modreg.wing.e", "modreg.wing.f", "modreg.h"} <= seen and "torch" not in seen


def test_an_unchanged_chapter_is_not_executed(tmp_path, monkeypatch):
    "The copy is used with its outputs, and has the prose of now"
    monkeypatch.setattr(docs, "EXECUTED", tmp_path)
    runs = []
    monkeypatch.setattr(docs, "_run", lambda notebook, scale: runs.append(scale) or notebook)
    assert [docs.execute("wiring", "tiny"), docs.execute("wiring", "tiny")] == ["wiring: executed", "wiring: as it was"]
    assert docs.execute("navigation", "tiny") == "navigation: executed at scale tiny"
    assert docs.execute("navigation", "small") == "navigation: executed at scale small"
    assert runs == ["", "tiny", "small"]


def test_navigation_is_the_same_for_both_builders():
    trees = pages.toctrees()
    listed = re.findall(r"^([\w/]+)$", trees["index"], re.MULTILINE)
    assert listed == [Path(file).stem for part in pages.parts()[1:] for file in part["contents"]]
    assert re.findall(r"^api/(\w+)$", trees["api"], re.MULTILINE) == pages.modules()


@pytest.mark.parametrize("name", pages.experiments())
def test_an_experiment_is_set_to_its_small_scale(name):
    cells = docs.at_scale(name, "small").cells
    tags = [cell.metadata.get("tags", []) for cell in cells]
    at = tags.index(["injected-parameters"])
    assert tags[at - 1] == ["parameters"]
    assert {'scale = "small"', "seeds = 1"} <= set(cells[at].source.splitlines())


@pytest.mark.parametrize("name", pages.experiments())
def test_whether_an_experiment_was_run_is_known(name):
    assert docs.trained(name) in (True, False)
