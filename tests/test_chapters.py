"""Every chapter runs from top to bottom in a kernel of its own, and none of its own code warns."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
EXECUTED = ROOT / "build" / "executed"
CHAPTERS = sorted((ROOT / "nbs").glob("*.ipynb"))
MODULES = ["modreg", *(f"modreg.{path.stem}" for path in sorted((ROOT / "modreg").glob("*.py")) if not path.stem.startswith("_"))]


@pytest.mark.filterwarnings("default")  # what warns here are the notebook tools; the chapter's code is in another process
@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter(path, tmp_path, monkeypatch):
    "The chapter's cells run without an error or a warning of modreg's; the executed copy is kept under build/"
    monkeypatch.setenv("IN_TEST", "1")  # as nbdev_test sets it: scale="auto" is then the one that ends in seconds
    monkeypatch.setenv("PYTHONWARNINGS", ",".join(f"error:::{module}" for module in ["__main__", *MODULES]))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, kernel_name="python3", timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    try:
        client.execute()
    finally:
        EXECUTED.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, EXECUTED / path.name)
    said = [output.text for cell in notebook.cells for output in cell.get("outputs", []) if output.get("name") == "stderr"]
    assert not any("Warning" in text for text in said), "".join(said)


def test_no_chapter_is_large():
    "A chapter is read in one sitting: at most 60 cells, one of prose for every two of code"
    for path in CHAPTERS:
        cells = nbformat.read(path, as_version=4).cells
        code = [cell for cell in cells if cell.cell_type == "code"]
        assert len(cells) <= 60, f"{path.name} has {len(cells)} cells"
        assert 2 * (len(cells) - len(code)) >= len(code), f"{path.name}: {len(code)} code cells, {len(cells) - len(code)} of prose"
