"""Files that say the same thing agree: notebooks, twins, modules, README, navigation of the site, settings."""

import ast
import configparser
import dataclasses
import filecmp
import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import papermill
import pytest
import yaml
from fastcore.docments import docments
from jupytext.config import load_jupytext_config

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "docs")]
import notebooks  # noqa: E402
import pages  # noqa: E402

CHAPTERS = sorted((ROOT / "nbs").glob("*.ipynb"))
SYNC = "run `make sync` and commit what it changes"

chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


def sources() -> list[Path]:
    "The files of the project that a person wrote or that are generated and committed"
    folders = ["nbs", "nbs_py", "modreg", "tests", "tools", "docs", "benchmarks", ".ci", ".github"]
    found = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    found += [path for path in ROOT.iterdir() if path.name != ".git"]  # a worktree's .git is a file with a path in it
    hidden = {"__pycache__", ".ipynb_checkpoints"}
    return [path for path in found if path.is_file() and not hidden & set(path.parts)]


# --- notebooks ---------------------------------------------------------------------------------------------------------


@chapter
def test_twin_is_in_sync(path):
    "nbs_py/X.py is what jupytext makes of nbs/X.ipynb"
    config = load_jupytext_config(str(path))
    text = jupytext.writes(jupytext.read(path, config=config), fmt="py:percent", config=config)
    assert (ROOT / "nbs_py" / f"{path.stem}.py").read_text(encoding="utf-8") == text, SYNC


def test_every_twin_has_a_chapter():
    assert sorted(path.stem for path in (ROOT / "nbs_py").glob("*.py")) == [path.stem for path in CHAPTERS], SYNC


@chapter
def test_no_output_is_committed(path):
    "But for the first figure: outputs and widget states change at every run; the executed copies are under build/"
    notebook = nbformat.read(path, as_version=4)
    assert "widgets" not in notebook.metadata, SYNC
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags", "jupyter"}, SYNC
        assert cell.cell_type != "code" or cell.execution_count is None, SYNC
    shown = [cell.outputs for cell in notebook.cells if cell.cell_type == "code" and cell.outputs]
    assert len(shown) < 2 and all(len(outputs) == 1 and set(outputs[0].data) == {"image/png"} for outputs in shown), SYNC


@chapter
def test_what_is_folded_in_jupyterlab(path):
    "Imports, what the page does not show, and the code of figures; no stub of an exercise, no parameters, no definition of the package but those that are folded on the page"
    notebook = nbformat.read(path, as_version=4)
    folded = [cell.metadata.get("jupyter") for cell in notebook.cells]
    notebooks.fold(notebook)
    assert [cell.metadata.get("jupyter") for cell in notebook.cells] == folded, SYNC
    for cell in notebook.cells:
        if cell.metadata.get("jupyter"):
            assert "parameters" not in cell.metadata.get("tags", [])
            assert "raise NotImplementedError(" not in cell.source or "export" in cell.source


@chapter
def test_first_cell_is_title_and_description(path):
    "More text in the first cell would be lost on the site"
    first = nbformat.read(path, as_version=4).cells[0]
    assert first.cell_type == "markdown"
    assert re.fullmatch(r"# .+\n\n> .+", first.source), first.source


@chapter
def test_pictures_have_one_look(path):
    "A chapter that draws uses the book's style sheet"
    source = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
    if "import matplotlib.pyplot as plt" in source:
        assert 'plt.style.use("modreg.data.book")' in source, 'add plt.style.use("modreg.data.book") below the hidden imports'


def test_experiments_take_parameters():
    "A chapter that trains a task has one cell tagged `parameters`, a plain one, and hands what stands there to `from_parameters`"
    for name in pages.experiments():
        cells = nbformat.read(ROOT / "nbs" / f"{name}.ipynb", as_version=4).cells
        tagged = [k for k, cell in enumerate(cells) if "parameters" in cell.metadata.get("tags", [])]
        assert len(tagged) == 1 and not cells[tagged[0]].source.startswith("#|"), name
        assert any(re.search(r"from_parameters\(\w+, globals\(\)\)", cell.source) for cell in cells[tagged[0]:]), name


def comments(config: type) -> dict[str, str]:
    "What stands behind each field of a config class, or of the class that it is made from"
    found = {}
    for kind in reversed(config.__mro__):
        if dataclasses.is_dataclass(kind):
            found |= {name: said["docment"] for name, said in docments(kind, full=True).items() if said["docment"]}
    return found


SHOWN = ["manifold", "inhibitor", "penalty", "power", "strength", "train_embedding", "sparsifier", "sparsity", "lottery", "hidden", "epochs", "seeds", "seed", "scale", "device", "out"]


@pytest.mark.parametrize("name", pages.experiments())
def test_parameters_are_those_of_the_config(name):
    "The cell that papermill fills in names fields of the chapter's config, with their defaults and their comments; the shared ones are the same in each"
    cells = nbformat.read(ROOT / "nbs" / f"{name}.ipynb", as_version=4).cells
    parameters = next(cell.source for cell in cells if "parameters" in cell.metadata.get("tags", []))
    used = next(match[1] for cell in cells if (match := re.search(r"from_parameters\((\w+), globals\(\)\)", cell.source)))
    module = next(path for path in (ROOT / "modreg" / "tasks").glob("*.py") if f"class {used}(" in path.read_text(encoding="utf-8"))
    config = getattr(importlib.import_module(f"modreg.tasks.{module.stem}"), used)
    defaults, said = {field.name: field.default for field in dataclasses.fields(config)}, comments(config)
    lines = [re.fullmatch(r"(\w+) = (.+?)  # (.+)", line) for line in parameters.splitlines()]
    for parameter, value, comment in (line.groups() for line in lines):
        assert parameter in defaults, f"{used} has no field {parameter}"
        assert ast.literal_eval(value) == defaults[parameter], f"{parameter} is {defaults[parameter]!r} in {used}"
        assert comment == said[parameter], f"{used} says of {parameter}: {said[parameter]}"
    assert [line[1] for line in lines if line[1] in SHOWN] == SHOWN
    assert set(papermill.inspect_notebook(ROOT / "nbs" / f"{name}.ipynb")) == {line[1] for line in lines}, "papermill takes a `=` in a comment for a value"


# --- what is made from them --------------------------------------------------------------------------------------------


def modules(root: Path) -> list[str]:
    "Files of the package, below its folder"
    return sorted(str(path.relative_to(root / "modreg")) for path in (root / "modreg").rglob("*.py") if "__pycache__" not in path.parts)


def test_export_leaves_no_diff(tmp_path):
    "modreg/ is what nbdev makes of nbs/, and nothing else"
    for name in ("settings.ini", "_quarto.yml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "nbs", tmp_path / "nbs", symlinks=True)
    shutil.copytree(ROOT / "modreg", tmp_path / "modreg", ignore=shutil.ignore_patterns("__pycache__"))
    committed = modules(ROOT)
    for name in committed:
        if not name.endswith("__init__.py"):  # written by hand; nbdev keeps the version in step
            (tmp_path / "modreg" / name).unlink()
    export = "from nbdev.doclinks import nbdev_export; nbdev_export()"
    subprocess.run([sys.executable, "-c", export], cwd=tmp_path, check=True, capture_output=True, text=True, timeout=120)
    assert modules(tmp_path) == committed, SYNC
    _, differ, errors = filecmp.cmpfiles(ROOT / "modreg", tmp_path / "modreg", committed, shallow=False)
    assert not differ and not errors, f"{differ + errors}: {SYNC}"


def test_no_directive_is_left_in_a_module():
    "nbdev drops its own directives, and leaves those of Quarto, which have a colon: an exported cell is folded by `#| fold`, not by `#| code-fold: true`"
    assert not [name for name in modules(ROOT) if re.search(r"^#\|", (ROOT / "modreg" / name).read_text(encoding="utf-8"), re.MULTILINE)]


def test_readme_is_in_sync():
    "README.md is what tools/notebooks.py makes of nbs/index.ipynb"
    code = "import sys; sys.path.insert(0, 'tools'); import notebooks; sys.stdout.buffer.write(notebooks.readme().encode())"
    made = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, timeout=60).stdout.decode()
    assert (ROOT / "README.md").read_text(encoding="utf-8") == made, SYNC


def test_navigation_lists_every_chapter():
    assert sorted(pages.chapters()) == [path.stem for path in CHAPTERS]


def test_the_home_page_lists_every_chapter_in_reading_order():
    "The table of the README is the navigation, with what each chapter holds"
    rows = re.findall(r"^\| ([^|]*) ?\| \[(\w+)\]\((\w+)\.ipynb\) \| \w", (ROOT / "nbs_py" / "index.py").read_text(encoding="utf-8").replace("\n# ", "\n"), re.MULTILINE)
    assert [name for _, name, _ in rows] == [address for *_, address in rows] == [name for name in pages.chapters() if name != "index"]
    begins = {contents["contents"][0].removesuffix(".ipynb"): contents["section"] for contents in pages.parts() if contents["section"]}
    assert all(part.strip() == begins.get(name, "") for part, name, _ in rows if name != "idea")


WINGS = ("geometry", "layers", "sparsity", "lab", "tasks", "analysis", "book")


def test_the_house_has_seven_wings():
    "Each module stands in a wing, and each wing says what it is for"
    assert {Path(name).parts[0] for name in modules(ROOT) if "/" in name} == set(WINGS)
    assert {name for name in modules(ROOT) if "/" not in name} == {"__init__.py", "_modidx.py"}
    for wing in WINGS:
        purpose = ast.get_docstring(ast.parse((ROOT / "modreg" / wing / "__init__.py").read_text(encoding="utf-8")))
        row = f"| `modreg.{wing}` | {purpose[0].lower()}{purpose[1:].rstrip('.')} |"
        assert row in (ROOT / "README.md").read_text(encoding="utf-8"), f"the table of the home page lacks {row}"


def imported(
    text: str,  # of a module
    package: str,  # that relative imports start from
) -> set[str]:  # dotted names below `modreg`; a member of a module is among them, since it may be a module
    "What `text` imports from the package, wherever the statement stands"
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*base, *([node.module] if node.module else [])])
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.partition(".")[0] == "modreg"}


def test_every_way_to_import_is_seen():
    text = "import modreg.a\nfrom modreg.b import c\ndef f():\n    from modreg import d\n    from . import e\n    from .f import g\n    from ..h import i\nimport torch"
    seen = imported(text, "modreg.wing")
    assert {"modreg.a", "modreg.b", "modreg.b.c", "modreg.d", "modreg.wing.e", "modreg.wing.f", "modreg.h"} <= seen and "torch" not in seen


def arrows(module: str) -> set[str]:
    "Dotted names that a module such as `geometry/manifolds.py` imports from the package, also within functions and for types alone"
    path = ROOT / "modreg" / module
    text, package = path.read_text(encoding="utf-8"), ".".join(("modreg", *Path(module).parts[:-1]))
    return {name for name in imported(text, package) if (ROOT / f"{name.replace('.', '/')}.py").exists()}


def test_arrows_go_down():
    "A module imports from wings further up the list, or from modules of its own wing that do not import it in turn"
    found = {f"modreg.{name.removesuffix('.py').replace('/', '.')}": arrows(name) for name in modules(ROOT) if "/" in name and "__init__" not in name}
    for module, used in found.items():
        wing = WINGS.index(module.split(".")[1])
        assert all(WINGS.index(name.split(".")[1]) <= wing for name in used), f"{module} imports {used}"
    while leaves := [module for module, used in found.items() if not used & found.keys()]:
        for module in leaves:
            del found[module]
    assert not found, f"these import each other: {sorted(found)}"


def bound(tree: ast.Module) -> tuple[set[str], set[str]]:
    "Names that the statements of a module bind at its top level: those that it defines, and those that it imports"
    defined, imported = set(), set()
    for node in tree.body:
        inner = node.body if isinstance(node, ast.If) else [node]  # imports for types alone
        for statement in inner:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                imported |= {alias.asname or alias.name.partition(".")[0] for alias in statement.names}
            elif isinstance(statement, ast.ClassDef | ast.FunctionDef):
                defined.add(statement.name)
            else:
                for target in [*getattr(statement, "targets", []), *filter(None, [getattr(statement, "target", None)])]:
                    defined |= {name.id for name in ast.walk(target) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)}
    return defined, imported


@pytest.mark.parametrize("name", [name for name in modules(ROOT) if not name.endswith(("__init__.py", "_modidx.py"))])
def test_a_module_has_no_stray_names(name):
    "`__all__` lists what the module defines for others, and nothing else is there: no leftover of a loop, no second name for a method"
    tree = ast.parse((ROOT / "modreg" / name).read_text(encoding="utf-8"))
    loaded = importlib.import_module(f"modreg.{name.removesuffix('.py').replace('/', '.')}")
    defined, imported = bound(tree)
    assert set(loaded.__all__) == {one for one in defined if not one.startswith("_")}, name
    public = {one for one in vars(loaded) if not one.startswith("_")}
    assert public <= set(loaded.__all__) | imported, f"{name} leaves {public - set(loaded.__all__) - imported}"
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} | {node.value.id for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)}
    quoted = {word for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str) for word in re.findall(r"\w+", node.value)}
    assert not imported - used - quoted, f"{name} imports {imported - used} for nothing"


@pytest.mark.parametrize("name", [name for name in modules(ROOT) if not name.endswith(("__init__.py", "_modidx.py"))])
def test_no_class_is_reopened(name):
    "A method is defined in its class: nothing is set on a class from outside, by `@patch` or otherwise"
    tree = ast.parse((ROOT / "modreg" / name).read_text(encoding="utf-8"))
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    decorated = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and any("patch" in ast.unparse(d) for d in node.decorator_list)]
    set_outside = [ast.unparse(node) for node in tree.body if isinstance(node, ast.Assign) for target in node.targets
                   if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id in classes]
    assert not decorated and not set_outside, f"{name}: {decorated + set_outside}"


# --- the package -------------------------------------------------------------------------------------------------------


def settings() -> configparser.SectionProxy:
    config = configparser.ConfigParser(delimiters=["="])
    config.read(ROOT / "settings.ini", encoding="utf-8")
    return config["DEFAULT"]


def test_base_requirements():
    "Who uses the library installs torch, which brings filelock, and three small packages"
    names = [re.split(r"[<>=~!\[]", requirement)[0] for requirement in settings()["requirements"].split()]
    assert names == ["torch", "numpy", "safetensors", "tqdm", "filelock"]


def test_a_release_is_told():
    "The citation names the version of now, the changelog has a section of it, and the workflow publishes the site with trained networks"
    citation, workflow = (yaml.safe_load((ROOT / name).read_text(encoding="utf-8")) for name in ("CITATION.cff", ".github/workflows/release.yml"))
    assert citation["version"] == settings()["version"] and citation["preferred-citation"]["title"] == "Geometric sparsification in recurrent neural networks"
    assert f"\n## {settings()['version']}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert any(step.get("run") == "make docs SCALE=small" for step in steps) and workflow["jobs"]["publish-site"]["needs"] == "site"


def test_pins_are_of_packages_that_are_asked_for_or_come_with_them():
    "A pin is exact, and none stands twice"
    pins = [line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins), pins
    names = [pin.split("==")[0].lower().replace("_", "-") for pin in pins]
    assert len(names) == len(set(names))


def test_import_is_light():
    "`import modreg` loads torch, and nothing that plots, shows, or computes homology"
    code = "import sys, modreg; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout.split()
    heavy = {"matplotlib", "plotly", "pandas", "ipywidgets", "anywidget", "gudhi", "IPython", "papermill", "fastcore", "nbdev", "soundfile", "dask", "scipy", "potpourri3d"}
    assert "torch" in loaded
    assert not heavy & set(loaded)


def test_modules_import_without_the_extras():
    "Every module imports with the base requirements alone"
    names = [f"modreg.{name.removesuffix('.py').replace('/', '.')}" for name in modules(ROOT) if "__init__" not in name]
    block = "import sys\nfor name in 'matplotlib pandas ipywidgets gudhi IPython papermill fastcore nbdev scipy potpourri3d'.split(): sys.modules[name] = None\n"
    code = block + "import importlib\nfor name in sys.argv[1:]: importlib.import_module(name)"
    subprocess.run([sys.executable, "-W", "error:::modreg", "-c", code, *names], cwd=ROOT, check=True, timeout=60)


def test_version_stands_in_one_place():
    import modreg

    assert modreg.__version__ == settings()["version"]


def test_top_level_names():
    "What a library user needs is at the top, and `__all__` lists it"
    import modreg

    assert all(hasattr(modreg, name) for name in modreg.__all__)
    assert {"ModuliRegularizer", "MagnitudePruner", "RNN", "Torus", "DifferenceOfGaussians", "manifold", "inhibitor"} <= set(modreg.__all__)


def test_contributing_names_the_hooks():
    "The table of CONTRIBUTING.md lists what is abstract, and functions that exist"
    rows = re.findall(r"^\| (\w+) \| `(\w+)` \| (.+?) \| (.+?) \|$", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [kind for kind, *_ in rows] == ["manifold", "inhibitor", "penalty", "sparsifier", "task"]
    everything = {name: value for one in modules(ROOT) if "_" not in one for name, value in vars(importlib.import_module(f"modreg.{one.removesuffix('.py').replace('/', '.')}")).items()}
    for _, kind, hooks, name in rows:
        abstract = getattr(everything[kind], "__abstractmethods__", ())
        assert sorted(abstract) == ([] if hooks.startswith("none") else re.findall(r"`(\w+)`", hooks)), kind
        assert all(word in everything or word == "task" or hasattr(everything[kind], word) for word in re.findall(r"`(\w+)`", hooks + name) if word != "Config")


# --- all texts ---------------------------------------------------------------------------------------------------------


def test_files_that_a_text_names_are_there():
    "A script, a test or a chapter that prose, a comment or an error message points to"
    named = re.compile(r"(?<![\w/.])((?:benchmarks|tools|tests|docs|nbs|nbs_py|modreg)/[a-z_/-]+\.(?:py|ipynb|md|json|css|bib))\b")
    for path in sources():
        if path.suffix in (".py", ".md", ".yml", ".toml", ".ini") or path.name == "Makefile":
            text = path.read_text(encoding="utf-8")
            for name in [*named.findall(text), *(f"{one.replace('.', '/')}.py" for one in re.findall(r"python -m (modreg(?:\.\w+)+)", text))]:
                assert (ROOT / name).exists(), f"{path.relative_to(ROOT)} names {name}"


def test_no_path_or_host_of_one_machine():
    "No file holds an absolute path of somebody's machine, or says where packages come from"
    roots = "work|root|home|Users|opt|mnt|tmp|private|scratch"
    machine = re.compile(rf"(?<![\w.)/:}}-])/(?:{roots})/\w|[A-Z]:\\\\?Users|--(?:extra-)?index-url|--find-links")
    for path in sources():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if path != Path(__file__).resolve():
            found = machine.search(text)
            assert not found, f"{path.relative_to(ROOT)}: {text[max(0, found.start() - 40):found.end() + 40]!r}"
