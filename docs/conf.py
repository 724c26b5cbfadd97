"""Sphinx over the pages that pages.py wrote; `make docs` calls it."""

import importlib
import inspect
import sys
from configparser import ConfigParser
from contextlib import suppress
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

from sphinxcontrib.bibtex.plugin import register_plugin
from sphinxcontrib.bibtex.style.referencing import BracketStyle
from sphinxcontrib.bibtex.style.referencing.author_year import AuthorYearReferenceStyle

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "build" / "site" / "pages"
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

config = ConfigParser(delimiters=["="])
config.read(ROOT / "settings.ini", encoding="utf-8")
settings = config["DEFAULT"]

project, author, copyright = settings["title"], settings["author"], settings["copyright"]
version = release = settings["version"]
language = "en"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.linkcode", "sphinx_copybutton", "sphinx_external_toc", "sphinxcontrib.bibtex", "sphinx-mathjax-offline", "book_reference"]
exclude_patterns = ["assets"]

nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "myst"  # tables that a cell shows are tables
nb_ipywidgets_js = {}  # a widget brings HTML of its own for pages without a kernel
nb_mime_priority_overrides = [("html", "text/html", 1)]
myst_enable_extensions = ["amsmath", "attrs_block", "attrs_inline", "deflist", "dollarmath", "html_image"]
myst_heading_anchors = 3
highlight_language = "none"  # a block without a language is a diagram or a command
myst_dmath_double_inline = True
copybutton_exclude = ".linenos, .gp, .go"

default_role = "py:obj"  # in docstrings
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "none"  # book_reference says them
autodoc_inherit_docstrings = False
python_maximum_signature_line_length = 44  # as many letters as a phone has room for
add_module_names = False
toc_object_entries_show_parents = "hide"


def linkcode_resolve(domain: str, info: dict[str, str]) -> str:
    "Address of an object's source"
    line, value = "", attrgetter(info["fullname"])(importlib.import_module(info["module"]))
    with suppress(OSError, TypeError):  # of what Python cannot find, such as a number
        line = f"#L{inspect.getsourcelines(getattr(value, 'fget', value))[1]}"
    return f"{settings['git_url']}/blob/{settings['branch']}/{info['module'].replace('.', '/')}.py{line}"


@dataclass
class Round(AuthorYearReferenceStyle):
    "Years stand in round brackets, as in the chapters"

    bracket_year: BracketStyle = field(default_factory=lambda: BracketStyle("(", ")"))


register_plugin("sphinxcontrib.bibtex.style.referencing", "round", Round)
bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "round"
external_toc_path = "_toc.yml"

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = [str(PAGES / "assets")]
html_css_files = ["book.css"]
html_js_files = ["book.js"]
html_context = {"default_mode": "auto"}
html_favicon = str(ROOT / "docs" / "favicon.svg")
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": f"{project}"},
    "home_page_in_toc": True,
    "show_navbar_depth": 1,
    "navbar_persistent": [],
    "repository_url": settings["git_url"],
    "repository_branch": settings["branch"],
    "path_to_docs": "nbs",
    "use_source_button": True,
    "use_fullscreen_button": False,
    "launch_buttons": {"binderhub_url": "https://mybinder.org", "colab_url": "https://colab.research.google.com", "notebook_interface": "jupyterlab"},
    "extra_footer": "",
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


def only_on_chapters(app, page, template, context, doctree) -> None:
    "Other pages are made from several files, so they have no source to show or to download"
    if context.get("page_source_suffix") != ".ipynb":
        context["header_buttons"] = [b for b in context.get("header_buttons", []) if b["label"] not in ("source-file-button", "download-buttons")]


def setup(app) -> None:
    app.extensions["sphinx_multitoc_numbering"].parallel_read_safe = True  # comes with sphinx_external_toc, and numbers nothing here
    app.extensions["sphinx-mathjax-offline"].parallel_read_safe = True  # copies files at the end
    app.connect("html-page-context", only_on_chapters, priority=600)
