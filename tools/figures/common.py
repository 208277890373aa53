"""What every figure needs: the demonstration people, their profiles, the machine, and where results go."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mystyle_cli.progress import Step
from mystyle_cli.report.report import Report, to_data
from tools.portraits import PRIOR

if TYPE_CHECKING:
    from mystyle_cli.analysis.judge import Truths
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.store.store import Store

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "profiles" / "photos"
OUT = ROOT / "figures"
NAMES = ("ada", "marco")


@dataclass(frozen=True)
class Person:
    """A demonstration person.

    Args:
        name: of the profile.
    """

    name: str

    @property
    def photos(self) -> list[Path]:
        """The folder as a phone would hold it, bad photos among the good."""
        return sorted((PHOTOS / self.name).iterdir())

    @property
    def held_out(self) -> Path:
        """Photos that no profile sees, with masks of the skin mark."""
        return PHOTOS / f"{self.name}-held-out"

    @property
    def planted(self) -> Mapping[str, str]:
        """The right verdict on each planted photo, by file name."""
        found: Mapping[str, str] = tomllib.loads((PHOTOS / f"{self.name}.toml").read_text())["planted"]
        return found


def people() -> list[Person]:
    """Return the demonstration people."""
    return [Person(name) for name in NAMES]


@cache
def profile_of(name: str) -> Profile:
    """Learn a demonstration person as `make demo` does, or open what was learned before."""
    from mystyle_cli.learn.learn import learn
    from mystyle_cli.prior.registry import open_prior

    target, shown = store().root / name, ROOT / "demo" / "store" / name
    if not target.exists() and shown.exists():  # `make demo` has learned her; `learn` does what differs anew
        shutil.copytree(shown, target)
    return learn(store(), name, Person(name).photos, open_prior(PRIOR), progress=report_progress).profile


def store() -> Store:
    """Return the store that the figures share."""
    from mystyle_cli.store.store import Store

    return Store(OUT / "store")


@cache
def truths_of(name: str) -> Truths:
    """Return a person's held-out photos as aligned crops at the bundled prior's resolution."""
    from mystyle_cli.analysis.judge import read_truths
    from mystyle_cli.prior.registry import open_prior

    prior = open_prior(PRIOR)
    return read_truths(Person(name).held_out, prior.resolution, prior.crop)


_last: dict[str, float] = {}


def report_progress(step: Step) -> None:
    """Say on stderr every ten seconds where a long loop is."""
    now = time.monotonic()
    if step.done < step.total and now - _last.get(step.stage, 0.0) < 10:
        return
    _last[step.stage] = now
    detail = ", ".join(f"{name} {value:.4g}" for name, value in step.detail.items())
    print(f"  {step.stage} {step.done}/{step.total} {detail}", file=sys.stderr, flush=True)


def machine() -> dict[str, str | int]:
    """Return what the figures were measured on."""
    import torch

    import mystyle_cli
    from mystyle_cli.prior.registry import open_prior

    threads = torch.get_num_threads()
    return {
        "machine": f"{_cpu_name()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "python": f"{platform.python_version()}, torch {torch.__version__} with {threads} threads",
        "mystyle": mystyle_cli.__version__,
        "prior": f"{open_prior(PRIOR).name} {open_prior(PRIOR).digest[:12]}",
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def spread(values: Sequence[float] | np.ndarray) -> str:
    """Return mean and standard deviation, without those that are not numbers."""
    finite = np.asarray(values, np.float64)
    finite = finite[np.isfinite(finite)]
    return f"{finite.mean():.3f} ± {finite.std():.3f}" if len(finite) else "-"


def save(report: Report, extra: Mapping[str, Any]) -> Path:
    """Write a report as figures/NAME.json."""
    OUT.mkdir(exist_ok=True)
    path = OUT / f"{report.name}.json"
    path.write_text(json.dumps({**extra, **to_data(report)}, indent=1) + "\n", "utf-8")
    return path


def save_picture(name: str, pixels: np.ndarray) -> Path:
    """Write a picture uint8 (H, W, 3) as figures/NAME.png."""
    from PIL import Image

    OUT.mkdir(exist_ok=True)
    path = OUT / f"{name}.png"
    Image.fromarray(pixels).save(path)
    return path
