"""Packaging, read from settings.ini so that a fact stands in one place."""

from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

config = ConfigParser(delimiters=["="])
config.read("settings.ini", encoding="utf-8")
cfg = config["DEFAULT"]


class Modules(build_py):
    "All modules but nbdev's index, which only nbdev reads"

    def find_package_modules(self, package, package_dir):
        return [one for one in super().find_package_modules(package, package_dir) if one[1] != "_modidx"]


setup(
    cmdclass={"build_py": Modules},
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=cfg["author"],
    author_email=cfg["author_email"],
    url=cfg["git_url"],
    license="Apache-2.0",
    keywords=cfg["keywords"].split(),
    packages=find_packages(include=[cfg["lib_path"], f"{cfg['lib_path']}.*"]),
    package_data={cfg["lib_path"]: ["data/*.json", "data/*.html", "data/*.mplstyle", "data/results/*.jsonl", "data/explore/*.js"]},
    entry_points={"console_scripts": cfg["console_scripts"].split()},
    exclude_package_data={cfg["lib_path"]: ["data/explore.json"]},  # what only the book's figures need
    python_requires=f">={cfg['min_python']}",
    install_requires=cfg["requirements"].split(),
    extras_require={key.removesuffix("_requirements"): value.split()
                    for key, value in cfg.items() if key.endswith("_requirements")},
)
