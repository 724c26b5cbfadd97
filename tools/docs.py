"""The site: execute the chapters, make pages of them (pages.py), and hand the pages to Quarto or, without it, to Sphinx.

    python tools/docs.py build --scale auto    # build/site/html
    python tools/docs.py serve                 # at an address of this machine

Nothing that the site shows comes from another host. What changed is executed again, and nothing else: a chapter's key is a
hash of its code, of the modules and data that it uses, and of the scale.
"""

import argparse
import ast
import functools
import hashlib
import importlib
import importlib.resources
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import api  # noqa: E402
import pages  # noqa: E402

SITE = ROOT / "build" / "site"
EXECUTED, PAGES, HTML = SITE / "executed", SITE / "pages", SITE / "html"
RUNS = ROOT / "build" / "runs"  # where `make run` leaves its networks
MATHJAX = ("tex-chtml.js", "input/tex/extensions", "output/chtml")  # of the 24 MB, what the pages can ask for


# --- execution ---------------------------------------------------------------------------------------------------------


def sources(
    text: str,  # Python that may import from the package
) -> dict[str, str]:  # by name
    "Sources of all modules of the package that `text` imports, directly or not"
    found, waiting = {}, list(imported(text))
    while waiting:
        name = waiting.pop()
        path = next((p for p in (ROOT / f"{name.replace('.', '/')}.py", ROOT / name.replace(".", "/") / "__init__.py") if p.exists()), None)
        if path and name not in found:
            found[name] = path.read_text(encoding="utf-8")
            waiting += imported(found[name], name if path.stem == "__init__" else name.rpartition(".")[0])
    return found


def imported(
    text: str,  # of a module or a notebook's cells
    package: str = "modreg",  # that relative imports start from
) -> set[str]:  # dotted names below `modreg`; a member of a module is among them, since it may be a module
    "What `text` imports from the package, wherever the statement stands"
    found = set()
    for node in ast.walk(ast.parse(re.sub(r"^\s*[%!].*$", "", text, flags=re.MULTILINE))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*base, *([node.module] if node.module else [])])
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.partition(".")[0] == "modreg"}


def key(notebook: nbformat.NotebookNode, scale: str) -> str:
    "Changes when the chapter would show something else"
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    used = sources(code)
    text = code + "".join(used.values())
    files = [path for path in sorted((ROOT / "modreg" / "data").rglob("*")) if path.is_file()]
    data = {path.name: path.read_bytes().hex() for path in files if path.stem in text}
    return hashlib.sha256(json.dumps([code, used, data, scale], sort_keys=True).encode()).hexdigest()[:16]


SHOWN = {"seeds": 1, "twins": "plain", "lottery": False}  # what `make run` trains
LOOKS_AT = {"rats": "navigation", "gridcells": "navigation"}  # chapters that look at another's networks


def trained(name: str) -> bool:
    "Whether an experiment was run to its end at its small scale, with one seed, in build/runs"
    from modreg.lab.training import Task

    name = LOOKS_AT.get(name, name)
    members = vars(importlib.import_module(api.module_of(name))).values()
    task = next(t for t in members if isinstance(t, type) and issubclass(t, Task) and t.Config.task == name)
    try:
        return (task(task.Config(scale="small", device="cpu", out=str(RUNS), **SHOWN)).run.path / "table.md").exists()
    except FileNotFoundError:  # its data are not here, so it was not trained
        return False


def execute(
    name: str,  # of a chapter
    scale: str,  # of an experiment: tiny, small, or auto
) -> str:  # what was done
    "Execute a chapter, unless the copy in build/site/executed is that of now"
    if name not in pages.experiments():
        scale = ""
    elif scale == "auto":
        scale = "small" if trained(name) else "tiny"
    notebook, target = nbformat.read(ROOT / "nbs" / f"{name}.ipynb", as_version=4), EXECUTED / f"{name}.ipynb"
    stamp, done = {"key": key(notebook, scale), "scale": scale}, "as it was"
    old = nbformat.read(target, as_version=4) if target.exists() else None
    if old and old.metadata["modreg"] == stamp:
        outputs = iter([cell.outputs for cell in old.cells if cell.cell_type == "code"])
        for cell in notebook.cells:  # the prose may have changed
            if cell.cell_type == "code":
                cell.outputs = next(outputs)
    else:
        notebook, done = _run(notebook if scale in ("", "tiny") else at_scale(name, scale), scale), "executed"
    notebook.metadata["modreg"] = stamp
    EXECUTED.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, target)
    return f"{name}: {done}" + (f" at scale {scale}" if scale else "")


def at_scale(name: str, scale: str) -> nbformat.NotebookNode:
    "An experiment's notebook at a scale, as papermill makes it for `make run`"
    return parameterize_notebook(load_notebook_node(str(ROOT / "nbs" / f"{name}.ipynb")), {"scale": scale, **SHOWN})


def _run(notebook: nbformat.NotebookNode, scale: str) -> nbformat.NotebookNode:
    os.environ |= {"IN_TEST": "1", "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        if scale not in ("", "tiny"):
            RUNS.mkdir(parents=True, exist_ok=True)
            Path(folder, "runs").symlink_to(RUNS)
        NotebookClient(notebook, kernel_name="python3", timeout=3600, resources={"metadata": {"path": folder}},
                       extra_arguments=["--InlineBackend.figure_formats={'retina'}", "--IPKernelApp.log_level=40"]).execute()
    notebook.cells = [cell for cell in notebook.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    return notebook


def execute_all(scale: str, jobs: int) -> None:
    "Execute what changed, `jobs` chapters at a time"
    with ProcessPoolExecutor(jobs) as pool:
        for future in as_completed(pool.submit(execute, name, scale) for name in pages.chapters()):
            print(future.result(), flush=True)


# --- building ----------------------------------------------------------------------------------------------------------


def write_pages(sphinx: bool) -> None:
    "All pages, as Quarto or Sphinx reads them; a page that did not change keeps its time"
    texts = pages.texts(EXECUTED, sphinx)
    texts["_quarto.yml"] = (ROOT / "_quarto.yml").read_text(encoding="utf-8")
    for name, text in texts.items():
        path = PAGES / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in PAGES.rglob("*"):
        if path.is_file() and str(path.relative_to(PAGES)) not in texts:
            path.unlink()


def mathjax() -> None:
    "MathJax, of the package sphinx-mathjax-offline, into the site"
    source = importlib.resources.files("sphinx-mathjax-offline") / "static" / "mathjax"
    for name in MATHJAX:
        target = HTML / "_static" / "mathjax" / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copy if (source / name).is_file() else shutil.copytree)(source / name, target)


def build(scale: str, jobs: int) -> int:
    "The site in build/site/html; the builder's exit code"
    quarto = shutil.which("quarto")
    execute_all(scale, jobs)
    write_pages(sphinx=not quarto)
    shutil.rmtree(HTML, ignore_errors=True)  # every page has the navigation, so that a new chapter changes all
    if quarto:
        code = subprocess.call([quarto, "render", str(PAGES), "--output-dir", str(HTML), "--no-execute"])
    else:
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-j", str(jobs), "-c", str(ROOT / "docs")]
        code = subprocess.call([*command, "-d", str(SITE / "doctrees"), str(PAGES), str(HTML)])
        mathjax()
    shutil.copytree(ROOT / "nbs", HTML / "notebooks", dirs_exist_ok=True, ignore=lambda folder, names: [n for n in names if not n.endswith(".ipynb")])
    print(f"{len(list(HTML.rglob('*.html')))} pages in {HTML.relative_to(ROOT)}; `make serve` shows them")
    return code


class Server(ThreadingHTTPServer):
    "The site at an address of this machine; says nothing while it works"

    def __init__(self, port: int = 0):  # 0: any free port
        handler = functools.partial(SimpleHTTPRequestHandler, directory=str(HTML))
        handler.func.log_message = lambda *args: None
        super().__init__(("127.0.0.1", port), handler)
        self.address = f"http://127.0.0.1:{self.server_port}/"


def serve(port: int) -> int:
    "Show the site until Ctrl-C"
    if not (HTML / "index.html").exists():
        print("there is no site yet: `make docs` builds it", file=sys.stderr)
        return 1
    server = Server(port)
    print(f"the book is at {server.address} (Ctrl-C ends it)", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Build or serve the site")
    commands = parser.add_subparsers(dest="command", required=True)
    builder = commands.add_parser("build")
    builder.add_argument("--scale", choices=("auto", "tiny", "small"), default="auto", help="of experiments; auto: small where build/runs has it, else tiny")
    builder.add_argument("--jobs", type=int, default=os.cpu_count(), help="chapters executed at a time")
    commands.add_parser("serve").add_argument("--port", type=int, default=8000)
    args = parser.parse_args()
    return serve(args.port) if args.command == "serve" else build(args.scale, args.jobs)


if __name__ == "__main__":
    sys.exit(main())
