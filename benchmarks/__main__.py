"""Run benchmarks by name: python -m benchmarks onnx startup

Each prints its figures and ratios, and writes them to benchmarks/results/NAME.json.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
from pathlib import Path

import benchmarks
from benchmarks.measure import Report, machine

NOT_BENCHMARKS = {"__main__", "clusters", "measure", "people", "plain"}


def names() -> list[str]:
    """Return the benchmarks there are: the modules of this package that are one."""
    found = (module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    return sorted(name for name in found if name not in NOT_BENCHMARKS)


def show(report: Report) -> None:
    """Print a report's lines."""
    print(f"\n{report.title}", flush=True)
    for name, figure in report.figures.items():
        print(f"  {name}: {figure}")
    for name, figure in report.ratios.items():
        print(f"  {name}: {figure} times")


def main() -> None:
    """Run what was asked for, one after the other."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all of {', '.join(names())}")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each case (default 5)")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results", metavar="DIR")
    given = parser.parse_args()
    if unknown := set(given.names) - set(names()):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(names())}")
    given.results.mkdir(parents=True, exist_ok=True)
    for name in given.names or names():
        described = machine()
        report: Report = importlib.import_module(f"benchmarks.{name}").run(given.rounds)
        show(report)
        document = {"benchmark": name, "rounds": given.rounds, "machine": described, **report.to_dict()}
        (given.results / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
