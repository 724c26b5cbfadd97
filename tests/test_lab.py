"""JupyterLab in a real browser: every figure that is a program draws itself, answers to the keyboard, and tells Python its state."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pytest
from browser import FIGURES, SCREENSHOTS


ROOT = Path(__file__).resolve().parent.parent
pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("default")]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    "Address of a JupyterLab that knows nothing of the user's settings and asks for nothing"
    folder = tmp_path_factory.mktemp("lab")
    settings = {f"{name}_DIR": str(folder / name) for name in
                ("JUPYTER_CONFIG", "JUPYTER_RUNTIME", "JUPYTERLAB_SETTINGS", "JUPYTERLAB_WORKSPACES", "IPYTHON")}
    settings["IPYTHONDIR"] = settings.pop("IPYTHON_DIR")
    cells = [nbformat.v4.new_code_cell("from modreg.book import explore")]
    cells += [nbformat.v4.new_code_cell(f"{name} = explore.{name}()\n{name}") for name in FIGURES]
    cells.append(nbformat.v4.new_code_cell("glued_square"))  # the same figure once more
    cells.append(nbformat.v4.new_code_cell("print('states', [bool(figure.state) for figure in (" + ", ".join(FIGURES) + ",)])"))
    (folder / "book").mkdir()
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / "book" / "figures.ipynb")
    for name in ("index", "regularizer"):
        shutil.copy(ROOT / "nbs" / f"{name}.ipynb", folder / "book")
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0", f"--ServerApp.root_dir={folder / 'book'}",
               "--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True", "--LabApp.news_url=None",
               "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env={**os.environ, **settings, "PYTHONPATH": path}, stdout=log, stderr=log)
        try:
            yield _address(process, folder / "log")
        finally:
            process.terminate()
            process.wait(timeout=60)


def _address(process: subprocess.Popen, log: Path) -> str:
    "Where JupyterLab answers; it writes its address down before it does"
    for _ in range(1800):
        for line in log.read_text().splitlines():
            if "http://127.0.0.1:" in line:
                address = line.split()[-1].split("/lab")[0] + "/"
                with contextlib.suppress(urllib.error.URLError), urllib.request.urlopen(f"{address}api/status") as answer:
                    assert answer.status == 200
                    return address
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    pytest.fail(log.read_text())


@pytest.fixture(scope="module")
def notebook(lab, chromium):
    "The notebook of figures, all of whose cells have run"
    page = chromium.new_context(viewport={"width": 1280, "height": 1000}).new_page()
    page.wrong = []
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("request", lambda r: page.wrong.append(r.url) if not r.url.startswith((lab, lab.replace("http", "ws"), "data:", "blob:")) else None)
    page.set_default_timeout(120_000)
    page.goto(f"{lab}lab/workspaces/test/tree/figures.ipynb?reset")
    page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'")
    page.evaluate("() => jupyterapp.commands.execute('notebook:run-all-cells')")
    yield page
    assert not page.wrong, page.wrong


@pytest.mark.parametrize("name", FIGURES)
def test_figure_moves(notebook, name):
    "An arrow key on its first control, or on its canvas, changes the picture"
    cell = notebook.locator(".jp-Notebook-cell").nth(1 + FIGURES.index(name))
    canvas = cell.locator("canvas").first
    canvas.wait_for(state="attached")
    cell.scroll_into_view_if_needed()
    canvas.wait_for(state="visible")
    picture = "el => [...el.querySelectorAll('canvas')].map(c => c.toDataURL()).join()"
    before = cell.evaluate(picture)
    button = cell.get_by_role("button", name="20 steps")
    if button.count():
        button.press("Enter")
    else:
        slider = cell.locator("input[type=range]")
        (slider.first if slider.count() else canvas).press("ArrowRight")
    for _ in range(100):
        if cell.evaluate(picture) != before:
            break
        notebook.wait_for_timeout(100)
    else:
        pytest.fail("the picture did not change")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    cell.screenshot(path=SCREENSHOTS / f"lab-{name}.png")


def test_a_figure_stands_in_a_notebook_twice(notebook):
    "Both views of one figure are drawn, and both answer"
    for k in (1 + FIGURES.index("glued_square"), 1 + len(FIGURES)):
        cell = notebook.locator(".jp-Notebook-cell").nth(k)
        canvas = cell.locator("canvas").first
        canvas.wait_for(state="attached")
        cell.scroll_into_view_if_needed()
        canvas.wait_for(state="visible")
        before = canvas.evaluate("c => c.toDataURL()")
        canvas.press("ArrowRight")
        notebook.wait_for_timeout(500)
        assert canvas.evaluate("c => c.toDataURL()") != before


def test_python_knows_the_state(notebook):
    "What a figure shows is there for the next cell"
    last = notebook.locator(".jp-Notebook-cell").nth(2 + len(FIGURES))
    last.scroll_into_view_if_needed()
    last.locator(".jp-OutputArea-output").first.wait_for()
    last.click()
    notebook.keyboard.press("Control+Enter")
    last.get_by_text("states [True" + ", True" * (len(FIGURES) - 1) + "]").wait_for()


def test_a_chapter_opens_with_its_first_figure(lab, chromium):
    "From the start page, which is in reading order, a link opens a chapter: its figure is there before anything has run, and imports and the figure's code are folded"
    page = chromium.new_context(viewport={"width": 1280, "height": 1000}).new_page()
    page.set_default_timeout(120_000)
    page.goto(f"{lab}lab/workspaces/start/tree/index.ipynb?reset")
    link = page.locator(".jp-RenderedMarkdown table a", has_text="regularizer").first
    link.wait_for(state="attached")
    link.scroll_into_view_if_needed()
    listed = page.locator(".jp-RenderedMarkdown table a").all_text_contents()
    assert listed.index("manifolds") < listed.index("regularizer") < listed.index("navigation")
    link.click()
    page.locator(".lm-TabBar-tabLabel", has_text="regularizer.ipynb").wait_for()
    chapter = page.locator(".jp-NotebookPanel:visible", has_text="Moduli regularization")
    image = chapter.locator(".jp-OutputArea-output img").first
    image.wait_for()
    assert image.evaluate("e => e.naturalWidth") > 300
    assert set(chapter.locator(".jp-InputPrompt:visible").all_inner_texts()) <= {"", "[ ]:"}, "something has run"
    assert chapter.locator(".jp-Placeholder").count() >= 2
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "lab-chapter.png")
