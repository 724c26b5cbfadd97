"""A chapter run whole, as papermill runs it, and runs that are broken off."""

import json
import os
from pathlib import Path

import papermill
import pytest

from modreg.lab.training import Config, Task, fit

CHAPTERS = Path(__file__).resolve().parent.parent / "nbs"


def run(chapter: str, folder: Path, **parameters) -> dict[Path, dict]:
    "Run an experiment at its tiny scale in `folder`, with the package that stands beside these tests; the results of its runs, by run folder"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(CHAPTERS.parent), os.environ.get("PYTHONPATH")])))
        papermill.execute_notebook(
            CHAPTERS / f"{chapter}.ipynb", folder / "out.ipynb", parameters={"scale": "tiny", "out": str(folder / "runs"), **parameters},
            progress_bar=False, cwd=folder)
    return {path.parent: json.loads(path.read_text()) for path in (folder / "runs").glob("*/result.json")}


def break_off(task: type[Task], config: Config, evaluations: int) -> None:
    "Train until the evaluation after so many, as if someone had stopped the process there"

    class Interrupted(task):
        left = evaluations

        def evaluate(self, model):
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
            return super().evaluate(model)

    with pytest.raises(KeyboardInterrupt):
        fit(Interrupted(config), progress=False)
