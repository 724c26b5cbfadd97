"""What is made of notebooks besides modules: README.md, and for who opens one in JupyterLab, folds in its code and its first figure.

    python tools/notebooks.py             # fold, and write README.md; `make sync` calls it
    python tools/notebooks.py previews    # and store each chapter's first figure, as `make test` left it in build/executed
"""

import ast
import base64
import io
import re
import sys
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter
from nbconvert.preprocessors import ClearOutputPreprocessor, RegexRemovePreprocessor
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
EXECUTED = ROOT / "build" / "executed"
FOLDED = r"#\| *(hide|default_exp|fold|code-fold: true|echo: false)\b"
DRAWS = r"plt\.(subplots|figure|show)\(|\bplot_\w+\("


def only_imports(source: str) -> bool:
    "Whether code does nothing but import, at once or for a type checker"
    kinds = ast.Import | ast.ImportFrom
    return all(isinstance(node, kinds) or (isinstance(node, ast.If) and all(isinstance(n, kinds) for n in node.body)) for node in ast.parse(source).body)


def is_folded(cell: nbformat.NotebookNode) -> bool:
    "Whether a code cell's input is folded: imports, what the page does not show, and a figure's code"
    told = re.match(rf"(#\|.*\n)*{FOLDED}", cell.source)
    drawn = re.search(DRAWS, cell.source) and not re.search(r"^#\| *export|with exercise\(|raise NotImplementedError", cell.source, re.MULTILINE)
    return bool(told or drawn) or only_imports(cell.source)


def fold(notebook: nbformat.NotebookNode) -> None:
    "Fold what is to be folded, and nothing else; no check of an exercise shows a picture"
    for cell in notebook.cells:
        cell.metadata.pop("jupyter", None)
        if cell.cell_type == "code" and is_folded(cell):
            cell.metadata["jupyter"] = {"source_hidden": True}
        if cell.cell_type == "code" and "with exercise(" in cell.source:
            cell.outputs = []  # not even as a preview: what a solution draws


def picture(cell: nbformat.NotebookNode) -> bytes | None:
    "The first PNG that a cell shows; of a figure that is a program, the still picture of its page"
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if text := data.get("image/png") or "".join(re.findall(r"\bsrc=.data:image/png;base64,([^\"']+)", data.get("text/html", ""))[:1]):
            return base64.b64decode(text)


def store_preview(notebook: nbformat.NotebookNode, executed: nbformat.NotebookNode) -> None:
    "Give the first cell that draws its picture, small and in few colours, and no other cell any"
    shown = next(((k, png) for k, cell in enumerate(executed.cells) if (png := picture(cell))), (None, b""))
    for k, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            cell.outputs = [preview(shown[1])] if k == shown[0] else []


def preview(png: bytes) -> nbformat.NotebookNode:
    "An output that JupyterLab shows before anything has run"
    image, small = Image.open(io.BytesIO(png)).convert("RGB"), io.BytesIO()
    image.thumbnail((800, 800))
    image.quantize(64, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    return nbformat.v4.new_output("display_data", data={"image/png": base64.b64encode(small.getvalue()).decode()}, metadata={"image/png": {"width": min(600, image.width)}})


def readme() -> str:  # Markdown
    "The text of README.md: the cells of nbs/index.ipynb that a reader sees, with links that work at the project's root"
    notebook = nbformat.read(ROOT / "nbs" / "index.ipynb", as_version=4)
    notebook.metadata["language_info"] = {"name": "python"}  # colours the code
    hidden = RegexRemovePreprocessor(patterns=[r"\s*#\|\s*(hide|default_exp|echo: false)"], enabled=True)
    text, _ = MarkdownExporter(preprocessors=[hidden, ClearOutputPreprocessor(enabled=True)]).from_notebook_node(notebook)
    text = re.sub(r"\n{3,}", "\n\n", re.sub(r"\]\((\w+\.ipynb)", r"](nbs/\1", text)).strip()
    return f"<!-- Generated from nbs/index.ipynb by `make readme`. -->\n\n{text}\n"


def main(previews: bool) -> None:
    for path in sorted((ROOT / "nbs").glob("*.ipynb")):
        before = path.read_text(encoding="utf-8")
        notebook = nbformat.reads(before, as_version=4)
        fold(notebook)
        if previews and (EXECUTED / path.name).exists():
            store_preview(notebook, nbformat.read(EXECUTED / path.name, as_version=4))
        text = nbformat.writes(notebook, indent=1) + "\n"
        if text != before:
            path.write_text(text, encoding="utf-8")
    (ROOT / "README.md").write_text(readme(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:] == ["previews"])
