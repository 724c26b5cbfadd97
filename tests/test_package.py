"""The wheel holds what an installation needs, and nothing else, and is imported where nothing but it is."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    "The project's files, built without a network"
    copy, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in subprocess.run(["git", "ls-files", "modreg", "setup.py", "settings.ini", "pyproject.toml", "README.md", "LICENSE"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder), str(copy)]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    return next(folder.glob("*.whl"))


def test_a_wheel_holds_the_package_alone(wheel):
    "No notebook, no test, and not the half megabyte of numbers that only the book's figures need"
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"modreg"}
    assert "modreg/geometry/manifolds.py" in names and "modreg/data/book.mplstyle" in names
    assert "modreg/data/explore.json" not in names
    assert wheel.stat().st_size < 500_000


def test_a_wheel_is_imported(wheel, tmp_path):
    "Every wing, from the wheel and not from here"
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = "import modreg, modreg.lab.training, modreg.tasks.navigation, modreg.analysis.wiring, modreg.book.exercises; print(modreg.__file__)"
    found = subprocess.run([sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"], check=True, capture_output=True, text=True, timeout=120).stdout
    assert str(tmp_path) in found
