"""Every chapter runs from top to bottom in a kernel of its own, and none of its own code warns."""

import ast
import os
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tools"))

import notebooks  # noqa: E402

EXECUTED = ROOT / "build" / "executed"
CHAPTERS = sorted((ROOT / "nbs").glob("*.ipynb"))
MODULES = ["modreg", *(f"modreg.{path.parent.name}.{path.stem}" for path in sorted((ROOT / "modreg").glob("*/*.py")) if not path.stem.startswith("_"))]


SOLUTION = re.compile(r"<details><summary>Solution</summary>\n+```python\n(.*?)```.*</details>", re.DOTALL)


def exercises(notebook) -> list[tuple[int, str]]:
    "Index of each stub, and its folded solution"
    return [(k - 1, found.group(1).rstrip()) for k, cell in enumerate(notebook.cells)
            if cell.cell_type == "markdown" and (found := SOLUTION.search(cell.source))]


@pytest.mark.filterwarnings("default")  # what warns here are the notebook tools; the chapter's code is in another process
@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter(path, tmp_path, monkeypatch):
    "With the folded solutions in place of the stubs the chapter runs, and every check says that it is solved; the copy is kept under build/"
    notebook = nbformat.read(path, as_version=4)
    for k, solution in exercises(notebook):
        assert "raise NotImplementedError(" in notebook.cells[k].source, f"the cell before a solution is its stub: {notebook.cells[k].source[:80]}"
        notebook.cells[k].source = solution
    execute(path, notebook, tmp_path, monkeypatch)
    for k, _ in exercises(notebook):
        assert said(notebook.cells[k + 2]).rstrip().endswith("Solved."), said(notebook.cells[k + 2])
    (stored, at), (drawn, first) = first_picture(nbformat.read(path, as_version=4)), first_picture(notebook)
    assert at == first and (drawn is None or notebooks.is_like(stored, drawn)), "the first figure has changed: run `make previews`"


def first_picture(notebook) -> tuple[bytes | None, int | None]:
    "The first picture that a notebook holds, and the index of its cell"
    return next(((png, k) for k, cell in enumerate(notebook.cells) if (png := notebooks.picture(cell))), (None, None))


def said(cell) -> str:
    "What a cell printed"
    return "".join(output.text for output in cell.get("outputs", []) if output.get("name") == "stdout")


def execute(path, notebook, tmp_path, monkeypatch):
    "Run a notebook in a kernel of its own; an error or a warning of the chapter's own code fails"
    monkeypatch.setenv("IN_TEST", "1")  # as nbdev_test sets it: scale="auto" is then the one that ends in seconds
    monkeypatch.setenv("PYTHONWARNINGS", ",".join(f"error:::{module}" for module in ["__main__", *MODULES]))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
    client = NotebookClient(notebook, kernel_name="python3", timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    try:
        client.execute()
    finally:
        EXECUTED.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, EXECUTED / path.name)
    stderr = [output.text for cell in notebook.cells for output in cell.get("outputs", []) if output.get("name") == "stderr"]
    assert not any("Warning" in text for text in stderr), "".join(stderr)


def rules() -> dict[str, int]:
    "The numbers that CONTRIBUTING.md gives to who writes a chapter"
    pattern = (r"at most (?P<cells>\d+) cells beside those of its exercises, and (?P<prose>\d+) cell of prose for every (?P<code>\d+) of code;\s+"
               r"- a code cell of at most (?P<lines>\d+) lines, or of at most (?P<single>\d+) if it holds one class or function;\s+"
               r"- (?P<least>\d+) to (?P<most>\d+) exercises")
    found = re.search(pattern, (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    return {name: int(number) for name, number in found.groupdict().items()}


def test_chapters_have_exercises():
    "So many exercises a chapter as CONTRIBUTING.md says, each a stub, a folded solution and a check"
    for path in CHAPTERS:
        notebook = nbformat.read(path, as_version=4)
        found = exercises(notebook)
        if path.stem != "index":
            assert rules()["least"] <= len(found) <= rules()["most"], f"{path.name} has {len(found)} exercises"
        assert all("with exercise(" in notebook.cells[k + 2].source for k, _ in found), path.name


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
        stubs = [k for k, _ in exercises(notebook)]
        cells = [cell for k, cell in enumerate(notebook.cells) if not any(stub <= k <= stub + 2 for stub in stubs)]
        code = [cell for cell in cells if cell.cell_type == "code"]
        assert len(cells) <= rules()["cells"], f"{path.name} has {len(cells)} cells"
        assert rules()["code"] * (len(cells) - len(code)) >= rules()["prose"] * len(code), f"{path.name}: {len(code)} code cells, {len(cells) - len(code)} of prose"
