"""A chapter run whole, as papermill runs it."""

import json
from pathlib import Path

import papermill

CHAPTERS = Path(__file__).resolve().parent.parent / "nbs"


def run(chapter: str, folder: Path, **parameters) -> dict[Path, dict]:
    "Run an experiment at its tiny scale in `folder`; the results of its runs, by run folder"
    papermill.execute_notebook(
        CHAPTERS / f"{chapter}.ipynb", folder / "out.ipynb", parameters={"scale": "tiny", "out": str(folder / "runs"), **parameters},
        progress_bar=False, cwd=folder)
    return {path.parent: json.loads(path.read_text()) for path in (folder / "runs").glob("*/result.json")}
