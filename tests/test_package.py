"""The source distribution holds what builds the wheel, the wheel what an installation needs and nothing else; and it runs where nothing else is installed."""

import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from configparser import ConfigParser
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
BUILD = "import os, sys; from setuptools import build_meta; os.chdir(sys.argv[1]); build_meta.build_{}(sys.argv[2])"


def build(kind: str, source: Path, target: Path) -> Path:
    "Build a distribution as `python -m build` does, without a network"
    subprocess.run([sys.executable, "-c", BUILD.format(kind), str(source), str(target)], check=True, capture_output=True, text=True, timeout=120)
    return next(target.iterdir())


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    "The source distribution, of the files that git knows"
    copy, folder = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("sdist")
    for name in subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "modreg", "*.py", "*.ini", "*.toml", "*.in", "README.md", "LICENSE"],
                               cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((ROOT / name).read_bytes())
    return build("sdist", copy, folder)


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    "The wheel, built from nothing but the source distribution"
    unpacked, folder = tmp_path_factory.mktemp("unpacked"), tmp_path_factory.mktemp("wheel")
    with tarfile.open(source) as archive:
        archive.extractall(unpacked, filter="data")
    return build("wheel", next(unpacked.iterdir()), folder)


def needed(requirements: list[str]) -> set[str]:
    "Installed packages that these need, and that those need"
    found, left = set(), [Requirement(text) for text in requirements]
    while left:
        one = left.pop()
        if one.name.lower() in found or (one.marker and not one.marker.evaluate({"extra": ""})):
            continue
        try:
            left += [Requirement(text) for text in distribution(one.name).requires or ()]
        except PackageNotFoundError:
            continue
        found.add(one.name.lower())
    return found


def test_a_wheel_holds_the_package_alone(wheel):
    "No notebook, no test, no index of nbdev's, and not the half megabyte of numbers that only the book's figures need"
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"modreg"}
    assert "modreg/geometry/manifolds.py" in names and "modreg/data/book.mplstyle" in names and "modreg/data/sweep.html" in names
    assert not {"modreg/data/explore.json", "modreg/_modidx.py"} & set(names)
    assert wheel.stat().st_size < 500_000


def environment(folder: Path, extras: str = "") -> tuple[Path, Path]:
    "Python and site-packages of a virtual environment that sees what settings.ini asks for with these extras, and nothing else"
    venv.create(folder, symlinks=True, with_pip=False)
    python = folder / "bin" / "python"
    site = Path(subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], check=True, capture_output=True, text=True).stdout.strip())
    settings = ConfigParser(delimiters=["="])
    settings.read(ROOT / "settings.ini", encoding="utf-8")
    asked = [f"{extra}_requirements" for extra in extras.split(",") if extra]
    for name in needed(" ".join(settings["DEFAULT"][key] for key in ["requirements", *asked]).split()):
        for file in {file.parts[0] for file in distribution(name).files if not file.parts[0].startswith((".", "__pycache__"))}:
            if not (site / file).exists():
                (site / file).symlink_to(Path(distribution(name).locate_file(file)).resolve())
    return python, site


def test_it_is_installed_and_run_where_nothing_else_is(wheel, tmp_path):
    "In a virtual environment that sees only what settings.ini asks for: every module is imported, or says which extra it needs; and a network is trained"
    python, site = environment(tmp_path / "venv")
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-compile", "--target", str(site), str(wheel)], check=True, capture_output=True, timeout=120)
    found = subprocess.run([python, "-I", "-c", TRIED, str(tmp_path / "runs")], capture_output=True, text=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False)
    assert found.returncode == 0, found.stderr[-3000:]
    assert str(site) in found.stdout and "trained" in found.stdout


def test_its_own_errors_are_told_behind_a_link(tmp_path):
    "An error of ours says what it says, and one from deep inside names the argument, also where the package is found through a link"
    (tmp_path / "modreg").symlink_to(ROOT / "modreg")
    found = subprocess.run([sys.executable, "-c", LINKED], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    where, ours, deep = found.stdout.splitlines()
    assert where.startswith(str(tmp_path))
    assert ours.startswith("ParameterError: The parameters of remember") and "no such parameter: turns" in ours
    assert deep.startswith("ArgumentError: pick cannot do with what it was given: of is the list [1]")


LINKED = """
import modreg
from modreg.geometry.arguments import checked
from modreg.lab.training import RememberConfig
from modreg.lab.settings import from_parameters
print(modreg.__file__)

@checked
def pick(of: list):
    return of[2]

for call in (lambda: from_parameters(RememberConfig, {"turns": 3}), lambda: pick([1])):
    try:
        call()
    except Exception as error:
        print(f"{type(error).__name__}: {' '.join(str(error).split())}")
"""


def test_make_run_has_what_its_chapter_needs(tmp_path):
    "The chapter that `make run` executes, with the extras that the Makefile installs for it: those of the tests are more"
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    extras = re.search(r"^\$\(VENV\)/notebooks\.stamp: EXTRAS = (\S+)$", makefile, re.MULTILINE).group(1)
    chapter = re.search(r"^run: \$\(VENV\)/notebooks\.stamp .*\n\t\$\(BIN\)/python tools/run\.py (\w+) ", makefile, re.MULTILINE).group(1)
    python, site = environment(tmp_path / "venv", extras)
    (site / "modreg").symlink_to(ROOT / "modreg")
    told = {"scale": "tiny", "device": "cpu", "seeds": "1", "twins": "plain", "lottery": "False", "out": str(tmp_path / "runs")}
    command = ["-m", "papermill", str(ROOT / "nbs" / f"{chapter}.ipynb"), str(tmp_path / "out.ipynb"), "--no-progress-bar", *(word for key, value in told.items() for word in ("-p", key, value))]
    found = subprocess.run([python, "-I", *command], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
                           env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1", "IPYTHONDIR": str(tmp_path / "ipython")})
    assert found.returncode == 0, found.stderr[-3000:]
    assert any((tmp_path / "runs").glob(f"{chapter}-*/result.json"))


TRIED = """
import importlib, pkgutil, sys
import modreg
print(modreg.__file__)
for one in pkgutil.walk_packages(modreg.__path__, "modreg."):
    if one.name != "modreg.layers.kernels":  # of the extra `kernels`
        importlib.import_module(one.name)
assert not {"scipy", "matplotlib", "numba", "pandas", "IPython", "fastcore"} & set(sys.modules)
from modreg.lab.training import Remember, RememberConfig, fit
run = fit(Remember(RememberConfig(scale="tiny", device="cpu", seeds=1, hidden=4, batches=2, epochs=2, lottery=False, out=sys.argv[1])), progress=False)
print("trained", run.result["phases"]["train"]["loss"])
"""
