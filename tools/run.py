"""Run a chapter through papermill; show a bar for each of its training runs, then the table that it wrote.

    python tools/run.py navigation -p scale small -p seeds 1 -p out build/runs

is `papermill nbs/navigation.ipynb build/navigation.ipynb -p scale small ...`, whose own bar counts cells and so stands still
while a network trains. A running chapter tells its progress in its run folders; the bars here are read from there.
"""

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

from tqdm import tqdm

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


class Bars:
    "A progress bar for each run folder that was started or taken up again since `start`"

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
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            total = config["epochs"] * (2 if config["lottery"] else 1)
            self.bars[folder] = tqdm(total=total, initial=len(lines), desc=f"{config['sparsity']:.0%} zeros", unit="epoch")
        bar = self.bars[folder]
        if bar.disable:  # closed: its clock stands
            return
        bar.update(len(lines) - bar.n)
        if lines:
            last = json.loads(lines[-1])
            values = [v for v in last.get("error", last["loss"]) if v is not None]
            bar.set_postfix_str(f"{last['phase']}, {'error' if 'error' in last else 'loss'} {f'{sum(values) / len(values):.3g}' if values else 'of no seed: all diverged'}")
        if bar.n >= bar.total:
            bar.close()

    def close(self) -> None:
        "Leave every bar as it is"
        for bar in self.bars.values():
            bar.close()


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
            lines += ["", table.read_text(encoding="utf-8").rstrip(), "", f"run folder  {table.parent}", f"figures     {', '.join(figures)}"]
    return "\n".join([*lines, f"notebook    {notebook}"])


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
        print(report(bars.out, start, notebook))
        if args[0] == "navigation":
            print(NEXT)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
