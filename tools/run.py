"""Run a chapter through papermill; show how far each of its training runs is, then the table that it wrote.

    python tools/run.py navigation -p scale small -p seeds 1 -p out build/runs

is `papermill nbs/navigation.ipynb build/navigation.ipynb -p scale small ...`, whose own bar counts cells and so stands still
while a network trains. A running chapter tells its progress in its run folders; what is shown here is read from there.
Where there is no terminal, it is a line for every tenth of a run.
"""

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

NEXT = """\
try next    make run ARGS="-p penalty none"            the same without a geometry: is it worse?
            make run ARGS="-p manifold klein"          neurons on a Klein bottle
            make run ARGS="-p lottery True -p seeds 3" the ticket, trained anew, and three networks of each kind"""


def out_folder(
    args: list[str],  # papermill's arguments
) -> Path:
    "Where the run folders will lie: the last `-p out FOLDER`, or the chapters' default"
    named = [args[i + 2] for i, arg in enumerate(args[:-2]) if arg in ("-p", "-r", "--parameters", "--parameters_raw") and args[i + 1] == "out"]
    return Path(named[-1] if named else "runs")


def on_terminal() -> bool:
    "Whether somebody watches"
    return sys.stderr.isatty()


class Bars:
    "A progress bar, or without a terminal now and then a line, for each run folder that was started or taken up again since `start`"

    def __init__(
        self,
        out: Path,  # folder of run folders
        start: float,  # s, as time.time()
    ):
        self.out, self.start, self.bars = out, start, {}

    def update(self) -> None:
        "Bring every bar up to the run folder's last line of metrics"
        for path in sorted(self.out.glob("*/config.json"), key=lambda p: p.stat().st_mtime):
            if path.stat().st_mtime >= self.start:
                self._update(path.parent)

    def _update(self, folder: Path) -> None:
        metrics = folder / "metrics.jsonl"
        lines = metrics.read_text(encoding="utf-8").splitlines() if metrics.exists() else []
        if folder not in self.bars:
            from modreg.lab.settings import label_of  # loads torch, while the chapter does too

            config = SimpleNamespace(**json.loads((folder / "config.json").read_text(encoding="utf-8")))
            self.bars[folder] = Bar(label_of(config), config.epochs * (2 if config.lottery else 1), len(lines))
        self.bars[folder].show([json.loads(line) for line in lines])

    def close(self) -> None:
        "Leave every bar as it is"
        for bar in self.bars.values():
            bar.bar.close()


class Bar:
    "How far a run is"

    def __init__(self, name: str, total: int, done: int):
        self.name, self.done, self.begun, self.start = name, done, done, time.monotonic()
        form = "{desc}: {percentage:.0f} %|{bar}| {remaining} left{postfix}"
        self.bar = tqdm(total=total, initial=done, desc=name, unit="epoch", bar_format=form, disable=not on_terminal())

    def show(self, lines: list[dict]) -> None:
        "Move on to the epochs that are there"
        if len(lines) == self.done:
            return
        before, self.done, last, total = self.done, len(lines), lines[-1], self.bar.total
        values = [v for v in last.get("error", last["loss"]) if v is not None]
        phase = {"lottery": "ticket, "}.get(last["phase"], "")
        text = f"{phase}{'error' if 'error' in last else 'loss'} {f'{sum(values) / len(values):.3g}' if values else 'of no seed: all diverged'}"
        if not self.bar.disable:
            self.bar.set_postfix_str(text)
            self.bar.update(self.done - before)
            if self.done >= total:
                self.bar.close()  # its clock stands
        elif not on_terminal() and 10 * self.done // total > 10 * before // total:
            left = (time.monotonic() - self.start) / (self.done - self.begun) * (total - self.done)
            print(f"{self.name}: epoch {self.done} of {total}, {text}, {left:.0f} s left", flush=True)


def report(
    out: Path,  # folder of run folders
    start: float,  # s, as time.time()
    notebook: Path,  # the executed chapter
) -> str:
    "The tables that were written since `start`, and where everything lies"
    lines = []
    for table in sorted(out.glob("*/table.md")):
        if table.stat().st_mtime >= start:
            figures = sorted(path.name for path in table.parent.glob("*.png"))
            text = table.read_text(encoding="utf-8").partition("<details>")[0]  # the settings lie in config.json
            lines += ["", text.rstrip(), "", f"run folder  {table.parent}", f"figures     {', '.join(figures)}"]
    return "\n".join([*lines, f"notebook    {notebook}, as a page {notebook.with_suffix('.html')}"])


def main(args: list[str]) -> int:
    "Run the chapter `args[0]` with papermill's arguments `args[1:]`; papermill's exit code"
    if not args or not Path("nbs", f"{args[0]}.ipynb").exists():
        chapters = ", ".join(sorted(path.stem for path in Path("nbs").glob("*.ipynb")))
        print(f"usage: python tools/run.py CHAPTER [-p NAME VALUE ...], with CHAPTER one of {chapters}", file=sys.stderr)
        return 2
    notebook, start = Path("build", f"{args[0]}.ipynb"), time.time()
    notebook.parent.mkdir(exist_ok=True)
    command = ["papermill", f"nbs/{args[0]}.ipynb", str(notebook), *args[1:]]
    print(shlex.join(command), flush=True)
    bars = Bars(out_folder(args), start)
    process = subprocess.Popen([sys.executable, "-m", *command, "--no-progress-bar"])
    try:
        while process.poll() is None:
            bars.update()
            time.sleep(0.5)
        bars.update()
    except KeyboardInterrupt:
        process.wait()
    finally:
        bars.close()
    if process.returncode == 0:
        subprocess.call([sys.executable, "-m", "nbconvert", "--to", "html", "--log-level=ERROR", str(notebook)])
        print(report(bars.out, start, notebook))
        if args[0] == "navigation":
            print(NEXT)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
