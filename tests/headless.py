"""A chapter run whole, as papermill runs it, and runs that are broken off."""

import json
import os
from pathlib import Path

import papermill
import pytest

from modreg.lab.settings import Config
from modreg.lab.training import Callback, Task, fit

CHAPTERS = Path(__file__).resolve().parent.parent / "nbs"


def run(chapter: str, folder: Path, **parameters) -> dict[Path, dict]:
    "Run an experiment at its tiny scale in `folder`, with the package that stands beside these tests; the results of its runs, by run folder"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(CHAPTERS.parent), os.environ.get("PYTHONPATH")])))
        papermill.execute_notebook(
            CHAPTERS / f"{chapter}.ipynb", folder / "out.ipynb", parameters={"scale": "tiny", "out": str(folder / "runs"), **parameters},
            progress_bar=False, cwd=folder)
    return {path.parent: json.loads(path.read_text()) for path in (folder / "runs").glob("*/result.json")}


def break_off(task: type[Task], config: Config, epochs: int) -> None:
    "Train until the epoch after so many has ended, as if someone had stopped the process before it is written down"

    class Interrupt(Callback):
        left = epochs

        def after_epoch(self, trainer):
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1

    with pytest.raises(KeyboardInterrupt):
        fit(task(config), progress=False, callbacks=[Interrupt()])
