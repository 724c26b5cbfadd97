"""The site: execute the chapters, make pages of them (docs/pages.py), and hand these to Sphinx (docs/conf.py).

    python tools/docs.py --scale auto    # build/site/html

Nothing that the site shows comes from another host. What changed is executed again, and nothing else: an executed copy
remembers which files of the package its kernel has read.
"""

import argparse
import hashlib
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import nbformat
from filelock import FileLock
from nbclient import NotebookClient
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools"), str(ROOT / "docs")]

import pages  # noqa: E402

SITE = ROOT / "build" / "site"
EXECUTED = ROOT / "build" / "executed"
PAGES, HTML = SITE / "pages", SITE / "html"
RUNS = ROOT / "build" / "runs"  # where `make run` leaves its networks
STORED = ROOT / "docs" / "trained"  # small networks of the experiments' pages, by docs/networks.py
SHOWN = {"seeds": 1, "twins": "plain", "lottery": False}  # what `make run` trains
LOOKS_AT = {"rats": "navigation", "gridcells": "navigation"}  # chapters that look at another's networks


def key(
    notebook: nbformat.NotebookNode,
    scale: str,
    read: list[str],  # files that its kernel has read
) -> str:
    "Changes when the chapter would show something else"
    code = [re.sub(r"^#\|.*\n?", "", cell.source, flags=re.MULTILINE) for cell in notebook.cells if cell.cell_type == "code"]
    files = {path: Path(path).read_bytes().hex() if Path(path).exists() else "" for path in read}
    return hashlib.sha256(json.dumps([code, files, scale], sort_keys=True).encode()).hexdigest()[:16]


def shown(name: str) -> list:
    "The runs of an experiment's page at its small scale, in build/runs; none if its data are not here"
    from modreg.lab.experiments import compared
    from modreg.lab.training import Task

    name = LOOKS_AT.get(name, name)
    task = next(t for t in vars(importlib.import_module(pages.module_of(name))).values() if isinstance(t, type) and issubclass(t, Task) and t.Config.task == name)
    try:
        return [task(config).run for config in compared(task.Config(scale="small", device="cpu", out=str(RUNS), **SHOWN)).values()]
    except FileNotFoundError:
        return []


def trained(name: str) -> bool:
    "Whether the runs of an experiment's page are complete in build/runs, or were stored, and are now"
    from modreg.lab.runs import is_complete

    runs = shown(name)
    with lock("stored"):  # chapters that show one network may ask at once
        for run in runs:
            if (STORED / run.path.name).exists() and not run.path.exists():
                shutil.copytree(STORED / run.path.name, run.path)
    return bool(runs) and all(map(is_complete, runs))


def execute(
    name: str,  # of a chapter
    scale: str,  # of an experiment: tiny, small, or auto
) -> str:  # what was done
    "Execute a chapter, unless the copy in build/executed is that of now"
    if name not in pages.experiments():
        scale = ""
    elif scale == "auto":
        scale = "small" if trained(name) else "tiny"
    notebook, target = nbformat.read(ROOT / "nbs" / f"{name}.ipynb", as_version=4), EXECUTED / f"{name}.ipynb"
    with lock(name):
        old = nbformat.read(target, as_version=4) if target.exists() else None
        made = old.metadata.get("modreg", {}) if old else {}
        if as_it_was := bool(made.get("key")) and made["key"] == key(notebook, scale, made["read"]):
            outputs = iter([cell.outputs for cell in old.cells if cell.cell_type == "code"])
            for cell in notebook.cells:  # the prose may have changed
                if cell.cell_type == "code":
                    cell.outputs = next(outputs)
            notebook.metadata["modreg"] = made
        else:
            notebook = at_scale(name, scale) if scale == "small" else notebook
            stamp(notebook, scale, run(notebook, scale))
        nbformat.write(notebook, target)
    return f"{name}: {'as it was' if as_it_was else 'executed'}" + (f" at scale {scale}" if scale else "")


def lock(name: str) -> FileLock:
    "Held by who executes a chapter or takes its copy"
    EXECUTED.mkdir(parents=True, exist_ok=True)
    return FileLock(EXECUTED / f".{name}.lock")


def at_scale(name: str, scale: str) -> nbformat.NotebookNode:
    "An experiment's notebook at a scale, as papermill makes it for `make run`"
    return parameterize_notebook(load_notebook_node(str(ROOT / "nbs" / f"{name}.ipynb")), {"scale": scale, **SHOWN})


def run(notebook: nbformat.NotebookNode, scale: str, **environment: str) -> list[str]:
    "Execute in place; the files of the package that were read"
    paths = os.pathsep.join(filter(None, [str(ROOT), str(ROOT / "docs"), os.environ.get("PYTHONPATH")]))
    notebook.cells.append(nbformat.v4.new_code_cell("import book_kernel, json; print(json.dumps(book_kernel.files_read()))"))
    with tempfile.TemporaryDirectory() as folder:
        if scale == "small":
            RUNS.mkdir(parents=True, exist_ok=True)
            Path(folder, "runs").symlink_to(RUNS)
        options = ["--IPKernelApp.extensions=book_kernel", "--IPKernelApp.log_level=40"]
        client = NotebookClient(notebook, kernel_name="python3", timeout=3600, resources={"metadata": {"path": folder}}, extra_arguments=options)
        client.execute(env={"OMP_NUM_THREADS": "1"} | os.environ | {"IN_TEST": "1", "PYTHONPATH": paths} | environment)
    read = json.loads(notebook.cells.pop().outputs[0].text)
    notebook.cells = [cell for cell in notebook.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    return read


def stamp(notebook: nbformat.NotebookNode, scale: str, read: list[str]) -> None:
    "Note in a copy what it was made from"
    notebook.metadata["modreg"] = {"key": key(notebook, scale, read), "scale": scale, "read": read}


def write_pages() -> None:
    "All pages; one that did not change keeps its time"
    files = pages.files(EXECUTED)
    for name, content in files.items():
        path, new = PAGES / name, content if isinstance(content, bytes) else content.encode()
        if not path.exists() or path.read_bytes() != new:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(new)
    for path in PAGES.rglob("*"):
        if path.is_file() and str(path.relative_to(PAGES)) not in files:
            path.unlink()


def build(scale: str, jobs: int) -> int:
    "The site in build/site/html; Sphinx' exit code"
    with ProcessPoolExecutor(jobs) as pool:
        for future in as_completed(pool.submit(execute, name, scale) for name in pages.chapters()):
            print(future.result(), flush=True)
    write_pages()
    shutil.rmtree(HTML, ignore_errors=True)  # every page has the navigation, so that a new chapter changes all
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-j", str(jobs), "-c", str(ROOT / "docs")]
    code = subprocess.call([*command, "-d", str(SITE / "doctrees"), str(PAGES), str(HTML)])
    for path in (ROOT / "nbs").glob("*.ipynb"):  # what the button `Download` gives: the chapter as it is written
        shutil.copy(path, HTML / "_sources")
    print(f"{len(list(HTML.rglob('*.html')))} pages in {HTML.relative_to(ROOT)}; `make serve` shows them")
    return code


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Build the site")
    parser.add_argument("--scale", choices=("auto", "tiny", "small"), default="auto", help="of experiments; auto: small where build/runs has it, else tiny")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="chapters executed at a time")
    sys.exit(build(**vars(parser.parse_args())))
