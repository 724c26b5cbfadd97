"""Write README.md from nbs/index.ipynb: the cells that a reader sees, with links that work at the project's root."""

import re
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter
from nbconvert.preprocessors import ClearOutputPreprocessor, RegexRemovePreprocessor

ROOT = Path(__file__).resolve().parent.parent


def readme() -> str:  # Markdown
    "The text of README.md"
    notebook = nbformat.read(ROOT / "nbs" / "index.ipynb", as_version=4)
    notebook.metadata["language_info"] = {"name": "python"}  # colours the code
    hidden = RegexRemovePreprocessor(patterns=[r"\s*#\|\s*(hide|default_exp|echo: false)"], enabled=True)
    exporter = MarkdownExporter(preprocessors=[hidden, ClearOutputPreprocessor(enabled=True)])
    text, _ = exporter.from_notebook_node(notebook)
    text = re.sub(r"\]\((\w+\.ipynb)", r"](nbs/\1", text)
    text = re.sub(r"\n{3,}", "\n\n", text).strip()
    return f"<!-- Generated from nbs/index.ipynb by `make readme`. -->\n\n{text}\n"


if __name__ == "__main__":
    (ROOT / "README.md").write_text(readme(), encoding="utf-8")
