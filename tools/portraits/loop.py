"""What the training scripts share: their options, a clock with a rate schedule, a journal, atomic files."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import torch


def options(description: str | None, *, minutes: float, batch: int) -> argparse.ArgumentParser:
    """The options of a script that trains one net for some minutes on one thread."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shards", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--minutes", type=float, default=minutes)
    parser.add_argument("--batch", type=int, default=batch)
    return parser


class Journal:
    """Collects figures over steps and appends their means to metrics.jsonl in a folder."""

    def __init__(self, folder: Path) -> None:
        """Make the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "metrics.jsonl"
        self.sums: dict[str, float] = {}
        self.count = 0

    def add(self, figures: dict[str, float]) -> None:
        """Take in the figures of one step."""
        for name, value in figures.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1

    def write(self, step: int, figures: dict[str, float]) -> None:
        """Append one line: the means since the last line, and figures measured now."""
        line = {name: value / max(1, self.count) for name, value in self.sums.items()} | figures
        with self.path.open("a") as file:
            file.write(json.dumps({"step": step} | {k: round(v, 4) for k, v in line.items()}) + "\n")
        self.sums, self.count = {}, 0


def timed_steps(
    optimiser: torch.optim.Optimizer, rate: float, minutes: float, warm_up: int = 100
) -> Iterator[tuple[int, float]]:
    """Count steps for some minutes, setting the rate: warm-up, constant, linear to zero over the last 40 %.

    Yields:
        Number of the step and the fraction of the time that has gone.
    """
    start, step = time.time(), 0
    while (gone := (time.time() - start) / (60 * minutes)) < 1:
        factor = min(1.0, (step + 1) / warm_up, (1 - gone) / 0.4)
        for group in optimiser.param_groups:
            group["lr"] = rate * factor
        yield step, gone
        step += 1


def save_atomic(state: object, path: Path) -> None:
    """Write with torch.save beside the target and rename."""
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.rename(path)
