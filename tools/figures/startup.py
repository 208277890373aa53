"""How soon the command answers."""

from __future__ import annotations

import subprocess
import sys
import time

from mystyle_cli.report.report import Report, Table, Target

RUNS = 9
COMMANDS = (["--help"], ["upscale", "--help"], ["--version"], ["profile", "list"])


def make() -> Report:
    """Time each command in fresh processes, and see what --help imports."""
    seconds = {" ".join(words): sorted(_run(words) for _ in range(RUNS)) for words in COMMANDS}
    rows = [[f"mystyle {words}", found[0], found[RUNS // 2], found[-1]] for words, found in seconds.items()]
    code = (
        "from mystyle_cli.cli import cli\ntry: cli.main(['--help'])\nexcept SystemExit: pass\n"
        "import sys; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    return Report(
        "startup",
        "how soon the command answers",
        [Table(f"seconds, {RUNS} runs each", ["command", "least", "median", "most"], rows)],
        [
            Target("mystyle --help, seconds (least)", min(seconds["--help"]), "below", 0.25),
            Target("torch modules imported by --help", len({"torch", "numpy"} & loaded), "at most", 0),
        ],
    )


def _run(words: list[str]) -> float:
    command = [sys.executable, "-c", "from mystyle_cli.cli import main; main()", *words]
    start = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - start
