"""Run a chapter through papermill; show how far each of its training runs is, then the table that it wrote.

    python tools/run.py navigation -p scale small -p seeds 1 -p out build/runs

is `papermill nbs/navigation.ipynb build/navigation.ipynb -p scale small ...`, whose own bar counts cells and so stands still
while a network trains. A running chapter tells its progress in its run folders; what is shown here is read from there.
"""

import io
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
BAR = "{desc}: {bar} epoch {n_fmt} of {total_fmt}{postfix}, {remaining} left"


def out_folder(args: list[str]) -> Path:
    "Where the run folders will lie: the last `-p out FOLDER` of papermill's arguments, or the chapters' default"
    return Path(next((value for kind, name, value in reversed([*zip(args, args[1:], args[2:], strict=False)]) if kind.startswith("-") and name == "out"), "runs"))


class Lines(io.StringIO):
    "Where nobody watches: a line for each state of a bar"

    said = ""

    def write(self, text: str) -> int:
        if (line := text.strip()) and line != self.said:
            print(line, flush=True)
            self.said = line
        return len(text)


def update(
    bars: dict[Path, tqdm],  # by run folder; those that are new are added
    out: Path,  # folder of run folders
    start: float,  # s, as time.time()
) -> None:
    "Bring the bar of each run that was begun or taken up again since `start` to its last epoch; without a terminal it is a line for every tenth of the run"
    for path in sorted(out.glob("*/config.json"), key=lambda path: path.stat().st_mtime):
        if path.stat().st_mtime < start:
            continue
        config, metrics = SimpleNamespace(**json.loads(path.read_text(encoding="utf-8"))), path.with_name("metrics.jsonl")
        lines = metrics.read_text(encoding="utf-8").splitlines() if metrics.exists() else []
        if path.parent not in bars:
            from modreg.lab.settings import label_of  # loads torch, while the chapter does too

            total = config.epochs * (2 if config.lottery else 1)
            plain = {} if sys.stderr.isatty() else {"file": Lines(), "miniters": max(1, total // 10), "mininterval": 0, "maxinterval": float("inf"), "delay": 1e-9, "position": 0}
            bars[path.parent] = tqdm(desc=label_of(config), total=total, initial=len(lines), bar_format=BAR.replace("{bar} ", "") if plain else BAR, **plain)
        bar = bars[path.parent]
        if len(lines) > bar.n:
            last = json.loads(lines[-1])
            values = [v for v in last.get("error", last["loss"]) if v is not None]
            bar.set_postfix_str(f"{'error' if 'error' in last else 'loss'} {f'{sum(values) / len(values):.3g}' if values else 'of no seed: all diverged'}", refresh=False)
            bar.update(len(lines) - bar.n)
            if bar.n >= bar.total:
                bar.close()  # its clock stands


def report(
    out: Path,  # folder of run folders
    start: float,  # s, as time.time()
    notebook: Path,  # the executed chapter
) -> str:
    "The tables that were written since `start`, and where everything lies"
    lines = []
    for table in sorted(path for path in out.glob("*/table.md") if path.stat().st_mtime >= start):
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
    notebook, out, start, bars = Path("build", f"{args[0]}.ipynb"), out_folder(args), time.time(), {}
    notebook.parent.mkdir(exist_ok=True)
    command = ["papermill", f"nbs/{args[0]}.ipynb", str(notebook), *args[1:]]
    print(shlex.join(command), flush=True)
    process = subprocess.Popen([sys.executable, "-m", *command, "--no-progress-bar", "--log-level=ERROR"])
    try:
        while process.poll() is None:
            update(bars, out, start)
            time.sleep(0.5)
        update(bars, out, start)
    except KeyboardInterrupt:
        process.wait()
    finally:
        for bar in bars.values():
            bar.close()
    if process.returncode == 0:
        subprocess.call([sys.executable, "-m", "nbconvert", "--to", "html", "--log-level=ERROR", str(notebook)])
        print(report(out, start, notebook))
        if args[0] == "navigation":
            print(NEXT)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
