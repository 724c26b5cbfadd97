"""What makes the site, without building it: links, hidden cells, keys of the cache, dark figures, works and words that the chapters name."""

import importlib
import inspect
import re
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pytest
import yaml
from matplotlib.colors import to_rgba

ROOT = Path(__file__).resolve().parent.parent
sys.path += [str(ROOT / "tools"), str(ROOT / "docs")]

import book_kernel  # noqa: E402
import book_reference  # noqa: E402
import docs  # noqa: E402
import pages  # noqa: E402

chapter = pytest.mark.parametrize("name", pages.chapters())


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(ROOT / "nbs" / f"{name}.ipynb", as_version=4)


# --- links -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "linked"), [
    ("a Klein bottle and a klein\nbottle", "a {term}`Klein bottle <Klein bottle>` and a klein\nbottle"),
    ("tori, masks", "tori, {term}`masks <mask>`"),
    ("`Torus()` and `torus`", "{py:obj}`Torus() <modreg.geometry.manifolds.Torus>` and `torus`"),
    ("Sorscher et al. (2023)", "Sorscher et al. {cite:yearpar}`sorscher2023`"),
    ("a model (Sorscher et al., 2023) of", "a model (Sorscher et al., {cite:year}`sorscher2023`) of"),
    ("*Opening the black\nbox* (2013)", "*Opening the black\nbox* {cite:yearpar}`sussillo2013`"),
])
def test_what_is_named_is_linked_once(text, linked):
    assert pages.Linker()(text) == linked


@pytest.mark.parametrize("text", [
    "# A torus", "[the torus](manifolds.ipynb)", "$torus$ and $$\ntorus\n$$", "<b title='torus'>", "<details><summary>Recall: a torus</summary>", "```python\ntorus = `Torus`\n```",
    "    - a list\n\n  ~~~\n  torus\n  ~~~", "subtorus torus_x", "*Something that nobody wrote* (1999)",
])
def test_what_is_no_prose_stays(text):
    assert pages.Linker()(text) == text


@chapter
def test_works_of_the_references_are_in_the_bibliography(name):
    "A title in italics before its year under `References` stands in docs/references.bib, so that the site links it"
    text = "\n".join(cell.source for cell in read(name).cells if cell.cell_type == "markdown")
    for named in re.findall(r"\*([^*]+)\*\s+\((?:19|20)\d\d\)", text.partition("References")[2]):
        assert pages.work(named), f"add {' '.join(named.split())!r} to docs/references.bib"


def test_bibliography_is_well_formed():
    for key, entry in pages.works().items():
        assert entry.persons["author"] and {"title", "year"} <= entry.fields.keys(), key
    assert {pages.works()[key].fields["year"] in form for form, key in pages.citations().items()} == {True}


def test_glossary_says_each_word_once():
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    entries = re.findall(r"^((?:\S.*\n)+)  (\S.*)", text.partition(":sorted:\n")[2], re.MULTILINE)
    forms = [form.lower() for lines, _ in entries for form in lines.splitlines()]
    assert len(forms) == len(set(forms)) and set(forms) <= pages.terms().keys()
    assert {"manifold", "geodesic distance", "embedding", "inhibitor", "lottery ticket", "perplexity", "grid score"} <= set(forms)
    assert "$" not in text, "tool tips have no formulas"


def test_navigation_is_that_of_quarto():
    "Contents for sphinx-external-toc are those of _quarto.yml, which is all that Quarto needs; the reference has the modules below it"
    quarto, toc = yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8")), yaml.safe_load(pages.contents())
    assert quarto["project"]["type"] == "website" and (ROOT / "nbs" / "_quarto.yml").resolve() == ROOT / "_quarto.yml"
    listed = [entry["file"] for tree in toc["subtrees"] for entry in tree["entries"]]
    assert [toc["root"], *listed] == [Path(file).stem for part in pages.parts() for file in part["contents"]]
    below = next(entry["entries"] for tree in toc["subtrees"] for entry in tree["entries"] if entry["file"] == "api")
    assert [entry["file"] for entry in below] == [f"api/{name}" for name in pages.modules()]


# --- chapters ----------------------------------------------------------------------------------------------------------


def page_of(*cells: nbformat.NotebookNode, pictures: dict | None = None, scale: str = "tiny") -> nbformat.NotebookNode:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# T\n\n> a < b"), *cells])
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "python3"}, "modreg": {"scale": scale, "key": "0"}}
    return nbformat.reads(pages.chapter("navigation", notebook, {} if pictures is None else pictures), as_version=4)


def code(source: str, text: str = "", html: str = "") -> nbformat.NotebookNode:
    outputs = [nbformat.v4.new_output("stream", text=text)] * bool(text) + [nbformat.v4.new_output("display_data", data={"text/html": html})] * bool(html)
    return nbformat.v4.new_code_cell(source, outputs=outputs)


def test_a_chapter_page():
    "Hidden cells go, directives go, exported code stays, the scale is said, warnings of libraries are not shown"
    shown = nbformat.v4.new_code_cell("#| export\nx = 1", outputs=[nbformat.v4.new_output("stream", name="stderr", text="careful")])
    page = page_of(code("#| hide\nsecret"), code("#| default_exp x"), shown, code("#| echo: false\ny"))
    first, export, silent = page.cells
    assert first.source.startswith("# T\n\n") and "a &lt; b" in first.source and "are left out" in first.source
    assert (export.source, export.metadata.tags, export.outputs) == ("x = 1", ["export"], [])
    assert silent.metadata.tags == ["remove-input"]


def test_what_tiny_networks_found_is_not_shown():
    "Whatever hangs on what was trained is left out, and nothing else"
    cells = code("runs = train_three(T, config)", "a"), code("error = runs['sparse'].result", "b"), code("print(error)", "c"), code("print(load_results('x'))", "d")
    assert [len(cell.outputs) for cell in page_of(*cells).cells[1:]] == [0, 0, 0, 1]
    assert [len(cell.outputs) for cell in page_of(*cells, scale="small").cells[1:]] == [1, 1, 1, 1]


def test_code_before_the_first_picture_is_folded():
    "A reader sees question and picture at once: imports are folded, and so is the code of the first picture and what it is told to fold"
    cells = code("import math\n\nif math:\n    import torch"), code("x = 1"), code("#| code-fold: true\ny = 1"), code("plot()", html="<b>"), code("plot(2)", html="<b>")
    folded = [cell.metadata.tags == ["hide-input"] for cell in page_of(*cells).cells[1:]]
    assert folded == [True, False, True, True, False]


def test_a_fold_says_what_is_in_it():
    "Imports, a picture's code, or what stands behind `fold`"
    cells = code("import math"), code("#| export\n#| fold Loaders\nx = 1"), code("#| code-fold: true\ny = 1"), code("plot()", html="<b>")
    assert [cell.metadata.mystnb.code_prompt_show for cell in page_of(*cells).cells[1:]] == ["Imports", "Loaders", "The code", "The picture's code"]


def test_programs_stay_and_progress_bars_go():
    "Both are widgets; a program has a page of its own beside"
    view = {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "0 %"}
    outputs = [nbformat.v4.new_output("display_data", data=data) for data in (view, view | {"text/html": "<b>"})]
    page = page_of(nbformat.v4.new_code_cell("x", outputs=outputs), scale="small")
    assert ["text/html" in output.data for output in page.cells[1].outputs] == [True]


def test_pictures_are_files_and_described():
    figure = '<figure class="plot"><img class="only-light" alt="" src="data:image/png;base64,AAAA"><img class="only-dark" alt="" src="data:image/png;base64,BBBB"></figure>'
    page = page_of(code('#| fig-alt: A torus with "400" dots\nplt.show()', html=figure), pictures=(pictures := {}))
    shown = page.cells[1].outputs[0].data["text/html"]
    assert len(pictures) == 2 and all(f"_static/{name}" in shown for name in pictures) and "base64" not in shown
    assert shown.count('alt="A torus with &quot;400&quot; dots"') == 2


# --- figures, light and dark --------------------------------------------------------------------------------------------


@pytest.fixture
def figure():
    fig, axes = plt.subplots(1, 2, figsize=(8, 3), dpi=100, layout="constrained")
    axes[0].plot([0, 1], color="black", label="line")
    axes[0].set_title("title", fontsize=6, color="black")
    axes[1].imshow([[0, 1]])
    axes[1].text(0, 0, "on it", color="black")
    yield fig
    plt.close(fig)


def test_a_figure_has_a_dark_twin(figure):
    "Ink becomes light and ground dark; what lies on a picture stays; and afterwards all is as it was"
    plot, painted = figure.axes
    undo = book_kernel.darken(figure)
    dark = [to_rgba(colour)[0] for colour in (plot.lines[0].get_color(), plot.title.get_color(), painted.title.get_color(), painted.xaxis.label.get_color())]
    assert min(dark) > 0.8 and to_rgba(plot.patch.get_facecolor())[0] < 0.2
    assert painted.texts[0].get_color() == "black"
    undo()
    assert to_rgba(plot.lines[0].get_color())[:3] == to_rgba(plot.title.get_color())[:3] == (0, 0, 0)
    assert to_rgba(plot.patch.get_facecolor())[:3] == (1, 1, 1)


def test_a_figure_knows_how_narrow_it_may_be(figure):
    "Its smallest letters, of 6 pt, are to be 9 px high at least"
    shown = book_kernel.html(figure)
    width, least = (int(re.search(pattern, shown)[1]) for pattern in (r'<img [^>]*width="(\d+)"', r"--least: (\d+)px"))
    assert 9 <= 6 * 100 / 72 * min(least, width) / width <= 9.5 or least == width
    assert 'class="plot' in shown and "tabindex=0" in shown and shown.count("<img") == 2


def test_panels_are_stacked_for_a_phone(figure):
    "One below the other, in a picture of their own that is no wider than a phone; and afterwards all is as it was"
    places, size = [axes.get_subplotspec() for axes in figure.axes], tuple(figure.get_size_inches())
    shown = book_kernel.html(figure)
    assert "stacked" in shown and shown.count("<source") == 2 and int(re.search(r"--narrow: (\d+)px", shown)[1]) <= 350 and "wide" not in shown
    assert [axes.get_subplotspec() for axes in figure.axes] == places and tuple(figure.get_size_inches()) == size
    undo = book_kernel.stack(figure)
    assert [axes.get_subplotspec().rowspan.start for axes in figure.axes] == [0, 1]
    undo()


def test_what_has_no_room_on_a_phone_scrolls(figure):
    "Without a warning, and with the figure as it was"
    figure.legend(handles=[figure.axes[0].plot([0, 1], label="quite a long name of a line")[0] for _ in range(8)], loc="outside lower center", ncols=8)
    size = tuple(figure.get_size_inches())
    shown = book_kernel.html(figure)
    assert "plot wide" in shown and "stacked" not in shown and "<source" not in shown and tuple(figure.get_size_inches()) == size
    assert to_rgba(figure.axes[0].patch.get_facecolor())[:3] == (1, 1, 1)


def test_dots_that_stand_for_numbers_are_seen_in_the_dark(figure):
    "They lie on grey; and a mark without a colour of its own is changed once, with its line"
    plot = figure.axes[0]
    plot.scatter([0, 1], [0, 1], c=[0, 1])
    mark = plot.plot(0.5, 0.5, "|", color="black")[0]
    undo = book_kernel.darken(figure)
    assert 0.15 < to_rgba(plot.patch.get_facecolor())[0] < 0.5 and to_rgba(mark.get_markeredgecolor())[0] > 0.8
    undo()
    assert to_rgba(plot.patch.get_facecolor())[:3] == (1, 1, 1)


# --- the reference ------------------------------------------------------------------------------------------------------


def test_reference_has_shapes_and_units():
    from modreg.tasks.navigation import NavigationConfig, paths

    assert book_reference.commented(paths)["return"] == ("Tensor", "positions (T + 1, n, 2) in m, the box's centre at 0")
    assert book_reference.commented(paths)["n"] == ("int", "number of paths")
    assert "circle, sphere, klein, torus6" in book_reference.commented(NavigationConfig)["manifold"][1]  # inherited
    book_reference.add_comments(None, "data", "modreg.tasks.navigation.BOX", 2.2, None, lines := [])
    assert lines == ["side of the box, m"]
    book_reference.add_comments(None, "function", "paths", paths, None, lines := ["as |x| in `y_`"])
    assert lines[0] == r"as \|x\| in `y_`" and ":param n: number of paths" in lines and ":type n: ``int``" in lines


@pytest.mark.parametrize("name", pages.modules())
def test_public_names_are_told(name):
    "Each by a sentence"
    loaded = importlib.import_module(pages.module_of(name))
    for member in pages.exported(name):
        value = getattr(loaded, member)
        assert not (inspect.isclass(value) or inspect.isfunction(value)) or (value.__doc__ or "").strip(), f"{name}.{member} has no docstring"


# --- what is executed again --------------------------------------------------------------------------------------------


def test_key_follows_what_a_chapter_shows(tmp_path):
    "Code, the files that it has read and the scale change the key; prose and what is said of a figure leave it"
    notebook, module = read("wiring"), tmp_path / "kernels.py"
    module.write_text("x = 1")
    key = docs.key(notebook, "", [str(module)])
    notebook.cells[1].source += " more prose"
    first = next(cell for cell in notebook.cells if cell.cell_type == "code" and "plt.show()" in cell.source)
    first.source = f"#| fig-alt: two pictures\n{first.source}"
    assert docs.key(notebook, "", [str(module)]) == key
    assert docs.key(notebook, "tiny", [str(module)]) != key
    module.write_text("x = 2")
    assert docs.key(notebook, "", [str(module)]) != key
    module.unlink()
    assert docs.key(notebook, "", [str(module)]) != key


def test_a_kernel_knows_what_it_has_read():
    "Modules, whichever way they are imported, and data; so a chapter that uses the kernels is executed again when they change"
    cells = [nbformat.v4.new_code_cell(source) for source in ("import importlib", "importlib.import_module('modreg.layers.recurrent')", "def f():\n    import modreg.layers.kernels\nf()", "from modreg.lab.experiments import load_results; load_results('ahead')")]
    cells += [nbformat.v4.new_code_cell("import matplotlib.pyplot as plt"), nbformat.v4.new_code_cell("plt.plot([1, 2])\nplt.show()")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    found = {Path(path).relative_to(ROOT).as_posix() for path in docs.run(notebook, "")}
    assert {"modreg/__init__.py", "modreg/layers/recurrent.py", "modreg/layers/kernels.py", "modreg/data/ahead.json", "docs/book_kernel.py"} <= found
    assert notebook.cells[-1].outputs[0].data["text/html"].count("<img") == 2, "a figure is drawn for light pages and for dark ones"
    assert "modreg/tasks/navigation.py" not in found and not any("__pycache__" in path for path in found)


def test_an_unchanged_chapter_is_not_executed(tmp_path, monkeypatch):
    "The copy is used with its outputs, and has the prose of now"
    monkeypatch.setattr(docs, "EXECUTED", tmp_path)
    runs, module = [], tmp_path / "used.py"
    module.write_text("1")
    monkeypatch.setattr(docs, "run", lambda notebook, scale: runs.append(scale) or [str(module)])
    assert [docs.execute("wiring", "tiny"), docs.execute("wiring", "tiny")] == ["wiring: executed", "wiring: as it was"]
    module.write_text("2")
    assert [docs.execute("wiring", "tiny"), docs.execute("wiring", "tiny")] == ["wiring: executed", "wiring: as it was"]
    assert docs.execute("navigation", "tiny") == "navigation: executed at scale tiny"
    assert docs.execute("navigation", "small") == "navigation: executed at scale small"
    assert runs == ["", "", "tiny", "small"]


@pytest.mark.parametrize("name", pages.experiments())
def test_an_experiment_is_set_to_its_small_scale(name):
    cells = docs.at_scale(name, "small").cells
    tags = [cell.metadata.get("tags", []) for cell in cells]
    at = tags.index(["injected-parameters"])
    assert tags[at - 1] == ["parameters"]
    assert {'scale = "small"', "seeds = 1"} <= set(cells[at].source.splitlines())


@pytest.mark.parametrize("name", pages.experiments())
def test_the_networks_of_a_page_are_stored(name, tmp_path, monkeypatch):
    "Whoever changes what a run is trains them anew: `python docs/networks.py pages`"
    monkeypatch.setattr(docs, "RUNS", tmp_path)
    assert docs.trained(name) is bool(docs.shown(name))  # none, where the data are not
