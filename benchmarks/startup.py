"""From a cold start to 16 pictures on disk: `mystyle sample` with the exported net and with torch."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.measure import Report, interleaved, ratio, spread
from mystyle_cli.learn.learn import export
from mystyle_cli.prior.registry import open_prior
from tests.support.tiny_store import make_store
from tools.portraits import PRIOR

COUNT = 16
PROGRAM = "import sys; from mystyle_cli.cli import main; sys.exit(main())"


def run(rounds: int) -> Report:
    """Start the program with each backend in turn, on a made-up person of the bundled prior."""
    prior = open_prior(PRIOR)
    with tempfile.TemporaryDirectory() as folder:
        export(make_store(Path(folder) / "store", prior.path), "ada")
        processor: dict[str, list[float]] = {"torch": [], "onnx": []}
        cases = {name: partial(sample, Path(folder), name, processor[name]) for name in processor}
        seconds = interleaved(cases, rounds)
    counted = {name: values[-rounds:] for name, values in processor.items()}
    figures = {f"{name}, seconds": spread(values) for name, values in seconds.items()}
    figures |= {f"{name}, seconds of processor": spread(values) for name, values in counted.items()}
    ratios = {
        "torch / onnx": ratio(seconds, "torch", "onnx"),
        "torch / onnx, processor": ratio(counted, "torch", "onnx"),
    }
    facts = {"prior": prior.name, "pictures": COUNT}
    return Report(f"Cold start: {COUNT} pictures with `mystyle sample`", figures, ratios, facts)


def sample(folder: Path, backend: str, processor: list[float]) -> None:
    """Run the command in a fresh interpreter; note what it took of the processor."""
    words = ["--store", folder / "store", "sample", "ada", "-n", COUNT, "--seed", 7, "--backend", backend]
    command = [sys.executable, "-c", PROGRAM, *map(str, words), "-o", str(folder / "out"), "--overwrite"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
