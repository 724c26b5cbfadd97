"""Sphinx over the pages that tools/pages.py wrote; `make docs` calls it."""

from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "build" / "site" / "pages"

config = ConfigParser(delimiters=["="])
config.read(ROOT / "settings.ini", encoding="utf-8")
settings = config["DEFAULT"]

project, author, copyright = settings["title"], settings["author"], settings["copyright"]
version = release = settings["version"]
language = "en"
extensions = ["myst_nb", "sphinx_copybutton"]
exclude_patterns = ["assets", "_quarto.yml"]

nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "myst"  # tables that a cell shows are tables
nb_ipywidgets_js = {}  # a widget brings HTML of its own for pages without a kernel
nb_mime_priority_overrides = [("html", "text/html", 1)]
myst_enable_extensions = ["amsmath", "attrs_block", "attrs_inline", "deflist", "dollarmath", "html_image"]
myst_heading_anchors = 3
myst_dmath_double_inline = True
mathjax_path = "mathjax/tex-chtml.js"
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = [str(PAGES / "assets")]
html_css_files = ["book.css"]
html_js_files = ["cards.js", "book.js"]
html_context = {"default_mode": "auto"}
html_favicon = str(ROOT / "docs" / "favicon.svg")
html_copy_source = html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": f"{project}"},
    "home_page_in_toc": True,
    "show_navbar_depth": 1,
    "navbar_persistent": [],
    "use_download_button": False,
    "use_fullscreen_button": False,
    "extra_footer": "",
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
