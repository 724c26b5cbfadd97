"""Every chapter runs from top to bottom in a kernel of its own, and none of its own code warns."""

import ast
import io
import re
import sys
from pathlib import Path

import nbformat
import pytest
from executed import CHAPTERS, Exercise, executed, exercises, said, to_write
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path += [str(ROOT / "tools"), str(ROOT / "docs")]

import notebooks  # noqa: E402
import pages  # noqa: E402

@pytest.mark.filterwarnings("default")  # what warns here are the notebook tools; the chapter's code is in another process
@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter(path):
    """The chapter runs, with its stubs unsolved. Every check says so; it says that the solution solves it, and so does an answer that is right up to rounding;
    of a wrong one it says in words what is wrong"""
    notebook = executed(path)
    for one, verdict in zip(exercises(notebook), notebook.metadata.modreg.answers, strict=True):
        assert "Not solved yet" in said(notebook.cells[one.check]), said(notebook.cells[one.check])
        assert "Solved." in verdict["right"], verdict["right"]
        assert verdict["nearly"] == "Solved.", f"{path.stem}, {to_write(notebook.cells[one.stub].source)}: {verdict}"
        assert re.match(r"Not right yet: .{12}", verdict["wrong"]) and "the check stops" not in verdict["wrong"], f"{path.stem}, {one.code}: {verdict}"
    (stored, at), (drawn, first) = first_picture(nbformat.read(path, as_version=4)), first_picture(notebook)
    assert at == first and (drawn is None or is_like(stored, drawn)), "the first figure has changed: run `make previews`"


def is_like(one: bytes, other: bytes) -> bool:
    "Whether two pictures are the same from afar: colours, fonts and times differ from machine to machine"
    small = [Image.open(io.BytesIO(png)).convert("L").resize((16, 16)).tobytes() for png in (one, other)]
    return sum(abs(a - b) for a, b in zip(*small, strict=True)) / 256 < 20


def first_picture(notebook) -> tuple[bytes | None, int | None]:
    "The first picture that a notebook holds, and the index of its cell"
    return next(((png, k) for k, cell in enumerate(notebook.cells) if (png := notebooks.picture(cell))), (None, None))


def rules() -> dict[str, int]:
    "The numbers that CONTRIBUTING.md gives to who writes a chapter"
    pattern = (r"at most (?P<cells>\d+) cells beside those of its exercises, and (?P<prose>\d+) cell of prose for every (?P<code>\d+) of code;\s+"
               r"- a code cell of at most (?P<lines>\d+) lines, or of at most (?P<single>\d+) if it holds one class or function;\s+"
               r"- (?P<least>\d+) to (?P<most>\d+) exercises")
    found = re.search(pattern, (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    return {name: int(number) for name, number in found.groupdict().items()}


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_nothing_hangs_on_an_answer(path):
    "What a stub defines is used by its check alone, so that a chapter goes on the same whether the exercise was solved or not"
    notebook = nbformat.read(path, as_version=4)
    for one in exercises(notebook):
        defined = {node.name for node in ast.parse(notebook.cells[one.stub].source).body}
        for cell in notebook.cells[one.solution :]:
            if cell.cell_type == "code":
                used = {node.id for node in ast.walk(ast.parse(re.sub(r"^[%!].*$", "", cell.source, flags=re.MULTILINE))) if isinstance(node, ast.Name)}
                assert not (defined & used), f"{path.stem}: {cell.source[:80]}"


def test_chapters_have_exercises():
    "So many exercises a chapter as CONTRIBUTING.md says, each a stub, a folded solution and a check"
    for path in CHAPTERS:
        notebook = nbformat.read(path, as_version=4)
        found = exercises(notebook)
        if path.stem != "index":
            assert rules()["least"] <= len(found) <= rules()["most"], f"{path.name} has {len(found)} exercises"
        for one in found:
            check_form(notebook, one, path.stem)


def check_form(notebook, one: Exercise, name: str) -> None:
    "Minutes and difficulty; a stub that says what it takes and gives, and nothing of how; a check that has a picture"
    task, stub, check, _ = (notebook.cells[k].source for k in one[:4])
    assert re.search(r"^## Exercise \d.*\n\n\*\d+ min, (easy|medium|hard)\.\* ", task, re.MULTILINE), f"{name}: {task[-200:]}"
    assert re.search(r"^ +raise NotImplementedError$", stub, re.MULTILINE) and to_write(stub), f"{name}: {stub}"
    assert all(ast.get_docstring(node) for node in ast.parse(stub).body), f"{name}: a stub has a docstring: {stub}"
    (block,) = [one for node in ast.parse(check).body if isinstance(node, ast.With) and ast.unparse((one := node.items[0].context_expr).func) == "exercise"]
    assert len(block.args) == 2, f"{name}: a check has a hint and a picture: {check[:80]}"


@pytest.mark.parametrize("path", [path for path in CHAPTERS if path.stem not in ("index", "exercises")], ids=lambda path: path.stem)
def test_skeleton(path):
    "What one will be able to do, a question, a prediction to make, what broke, and references, in this order"
    prose = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown")
    parts = (r"^After this chapter you can\n\n- ", r"question: \*", r"\*predict", r"^## What broke, and what ", r"^(\*\*|## )References")
    where = [re.search(part, prose, re.MULTILINE | re.IGNORECASE) for part in parts]
    assert all(where), f"{path.name} has no {[part for part, found in zip(parts, where, strict=True) if not found]}"
    begins = [found.start() for found in where]
    assert begins == sorted(begins), f"{path.name}: the parts stand in another order"


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_no_cell_is_long(path):
    "A code cell has few lines, or it holds one definition, with what constants belong to it, and has somewhat more"
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code" and len(lines := cell.source.splitlines()) > rules()["lines"]:
            kinds = [type(node) for node in ast.parse(cell.source).body]
            single = sum(kind in (ast.ClassDef, ast.FunctionDef) for kind in kinds) == 1 and kinds[-1] in (ast.ClassDef, ast.FunctionDef)
            assert single and len(lines) <= rules()["single"], f"{path.name}: {len(lines)} lines, from {lines[:2]}"


def test_no_chapter_is_large():
    "A chapter is read in one sitting, and has enough prose"
    for path in CHAPTERS:
        notebook = nbformat.read(path, as_version=4)
        inside = [k for one in exercises(notebook) for k in one[1:4]]
        cells = [cell for k, cell in enumerate(notebook.cells) if k not in inside]
        code = [cell for cell in cells if cell.cell_type == "code"]
        assert len(cells) <= rules()["cells"], f"{path.name} has {len(cells)} cells"
        assert rules()["code"] * (len(cells) - len(code)) >= rules()["prose"] * len(code), f"{path.name}: {len(code)} code cells, {len(cells) - len(code)} of prose"


TIME = re.compile(r"\*Reading (\d+) min, exercises (\d+) min\. To skip at a first reading:\* (nothing|all of it, [^\n]+|\*[^*\n]+\*(?:, \*[^*\n]+\*)*)\.\n\n")
HIDDEN = re.compile(r"^#\| *(hide|default_exp|fold|code-fold|echo: false)\b", re.MULTILINE)


def reading_time(notebook) -> float:
    "Minutes for what a page shows, at 200 words or 15 lines of code a minute"
    inside = [k for one in exercises(notebook) for k in one[1:4]]
    cells = [cell for k, cell in enumerate(notebook.cells) if k not in inside]
    words = sum(len(cell.source.split()) for cell in cells if cell.cell_type == "markdown")
    shown = [cell.source.splitlines() for cell in cells if cell.cell_type == "code" and not HIDDEN.search(cell.source)]
    return words / 200 + sum(bool(line.strip()) and not line.startswith(("import ", "from ")) for lines in shown for line in lines) / 15


@pytest.mark.parametrize("path", [path for path in CHAPTERS if path.stem != "index"], ids=lambda path: path.stem)
def test_how_long_it_takes_and_what_to_skip(path):
    "Said in one line, first thing after the title; minutes are about what they are, and what may be skipped is there"
    notebook = nbformat.read(path, as_version=4)
    said = TIME.match(notebook.cells[1].source)
    assert said, f"{path.stem}: {notebook.cells[1].source[:100]}"
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert abs(int(said[1]) - reading_time(notebook)) <= max(4, 0.35 * reading_time(notebook)), f"{path.stem} takes {reading_time(notebook):.0f} minutes"
    assert int(said[2]) == sum(map(int, re.findall(r"^\*(\d+) min, \w+\.\* ", prose, re.MULTILINE))), path.stem
    for heading in re.findall(r"\*([^*]+)\*", said[3]):
        assert re.search(rf"^## {re.escape(heading)}$", prose, re.MULTILINE), f"{path.stem} has no section {heading}"


QUESTION = re.compile(r"<details><summary>(Recall|Think): ([^<]+\?|[^<]+)</summary>\n\n([^<]+)\n\n</details>")


@pytest.mark.parametrize("path", [path for path in CHAPTERS if path.stem != "index"], ids=lambda path: path.stem)
def test_recall_and_think(path):
    "Two or three questions to recall and one to think about, with folded answers"
    prose = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown")
    kinds = [kind for kind, _, answer in QUESTION.findall(prose.split("## Recall and think\n")[1]) if len(answer) > 20]
    assert kinds.count("Recall") in (2, 3) and kinds.count("Think") == 1, f"{path.stem}: {kinds}"


def test_each_part_ends_with_an_open_task():
    "Further research, in the last chapter of each part"
    parts = [part for part in pages.parts() if part["section"] and part["contents"][-1].endswith(".ipynb")]
    for part in parts:
        text = (ROOT / "nbs_py" / f"{part['contents'][-1].removesuffix('.ipynb')}.py").read_text(encoding="utf-8")
        assert re.search(r"^# \*\*Further research\.\*\* \w", text, re.MULTILINE), part["section"]


AMERICAN = r"\b(colors?|grays?|center(s|ed)?|behaviors?|favorites?|neighbors?|neighborhoods?|labeled|labeling|modeling|modeled|traveled|analyze[ds]?|catalogs?|fulfill|skillful|defense|meters?)\b"


@pytest.mark.parametrize("path", [*CHAPTERS, *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=lambda path: path.stem)
def test_british_spelling(path):
    "In the prose; titles of works, names and code are as they are"
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"] if path.suffix == ".ipynb" else [path.read_text(encoding="utf-8")]
    for text in cells:
        prose = re.sub(r"```.*?```|`[^`]*`|\*\*[^*]*\*\*|\*[^*\n]+\n?[^*\n]*\*|\]\([^)]*\)|<[^>]*>|\$[^$]*\$", " ", text, flags=re.DOTALL)
        assert not (found := re.search(AMERICAN, prose, re.IGNORECASE)), f"{path.stem}: {prose[max(0, found.start() - 40) : found.end() + 20]}"
