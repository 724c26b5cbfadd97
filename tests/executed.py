"""Chapters, each executed once in a run of the tests: what test_chapters.py looks at is what the site shows."""

import ast
import json
import os
import re
import sys
from pathlib import Path
from typing import NamedTuple

import nbformat

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tools"))

import docs  # noqa: E402

ANSWERS = ROOT / "tests" / "answers.py"
CHAPTERS = sorted((ROOT / "nbs").glob("*.ipynb"))
MODULES = ["modreg", *(f"modreg.{path.parent.name}.{path.stem}" for path in sorted((ROOT / "modreg").glob("*/*.py")) if not path.stem.startswith("_"))]
RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))  # the same in all workers
SOLUTION = re.compile(r"<details><summary>Solution</summary>\n+```python\n(.*?)```.*</details>", re.DOTALL)


class Exercise(NamedTuple):
    "Cells of an exercise, by index: its task, its stub, its check, and its solution, of which there is the code too"
    task: int
    stub: int
    check: int
    solution: int
    code: str


def exercises(notebook: nbformat.NotebookNode) -> list[Exercise]:
    "Every exercise of a chapter: four cells that follow each other"
    return [Exercise(k - 3, k - 2, k - 1, k, found.group(1).rstrip()) for k, cell in enumerate(notebook.cells)
            if cell.cell_type == "markdown" and (found := SOLUTION.search(cell.source))]


def to_write(stub: str) -> list[str]:
    "Names of what a stub leaves to write: functions, and methods as `Class.method`"
    found = []
    for node in ast.parse(stub).body:
        inner = [(f"{node.name}.{part.name}", part) for part in node.body if isinstance(part, ast.FunctionDef)] if isinstance(node, ast.ClassDef) else [(node.name, node)]
        found += [name for name, part in inner if "NotImplementedError" in ast.unparse(part)]
    return found


def said(cell: nbformat.NotebookNode) -> str:
    "What a cell printed or showed as text"
    return "".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.get("outputs", []) if output.get("name") != "stderr")


def executed(path: Path) -> nbformat.NotebookNode:
    """A chapter as it is written, with what its cells put out, from build/executed; in its metadata, what every check says of the solution and of other answers.

    Behind each check run cells that no page shows: the solution, the check again, and tests/answers.py. A warning of the chapter's own code is an error."""
    with docs.lock(path.stem):
        copy = docs.EXECUTED / path.name
        notebook = nbformat.read(copy if copy.exists() else path, as_version=4)
        if notebook.metadata.get("modreg", {}).get("run") != RUN:
            notebook = nbformat.read(path, as_version=4)
            made = {"run": RUN}
            try:
                made |= {"answers": _execute(path, notebook), "error": ""}
            except Exception as error:
                made |= {"error": f"{type(error).__name__}: {error}"}
            notebook.metadata["modreg"] = notebook.metadata.get("modreg", {}) | made
            nbformat.write(notebook, copy)
    assert not notebook.metadata.modreg.error, notebook.metadata.modreg.error
    return notebook


def _execute(path: Path, notebook: nbformat.NotebookNode) -> list[dict[str, str]]:
    "Execute in place; the verdicts of each exercise, by kind of answer"
    scale, tried = "tiny" if path.stem in docs.pages.experiments() else "", []
    for place, one in reversed([*enumerate(exercises(notebook))]):
        stub, check = notebook.cells[one.stub].source, notebook.cells[one.check].source
        answers = f"exec(compile(open({str(ANSWERS)!r}).read(), 'answers', 'exec'), _answers := {{}})\n_answers['try_answers']({path.stem!r}, {place}, {to_write(stub)!r}, {check!r}, globals())"
        tried.insert(0, [nbformat.v4.new_code_cell(source) for source in (one.code, check, answers)])
        notebook.cells[one.check + 1 : one.check + 1] = tried[0]
    try:
        read = docs.run(notebook, scale, PYTHONWARNINGS=",".join(f"error:::{module}" for module in ["__main__", *MODULES]))
    finally:
        notebook.cells = [cell for cell in notebook.cells if not any(cell is one for group in tried for one in group)]
    docs.stamp(notebook, scale, read)
    stderr = [output.text for cell in notebook.cells for output in cell.get("outputs", []) if output.get("name") == "stderr"]
    assert not any("Warning" in text for text in stderr), "".join(stderr)
    return [{"right": said(check)} | json.loads(said(answers).split("ANSWERS ")[1]) for _, check, answers in tried]
