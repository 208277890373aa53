"""`--dry-run` of `tune` and `profile create`: what tuning will take, shown before it starts."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click

from mystyle_cli.commands.app import App

if TYPE_CHECKING:
    from mystyle_cli.person.estimate import Estimate

GIB: Final = 1 << 30

dry_run_option: Final = click.option(
    "--dry-run", is_flag=True, help="Show the memory and time that tuning will take here, and stop."
)


def show_estimate(app: App, command: str, estimate: Estimate) -> None:
    """Show what tuning will take, with advice where it does not fit.

    Args:
        app: what the options of every command said.
        command: for the JSON document.
        estimate: of the core.
    """
    for line in estimate_lines(estimate):
        app.console.show(line)
    for sentence in estimate.advice:
        app.console.warn(sentence)
    app.console.document(
        command,
        {
            "ok": True,
            "dry_run": True,
            **asdict(estimate),
            "left": estimate.left,
            "seconds": estimate.seconds,
            "fits": estimate.fits,
            "advice": list(estimate.advice),
        },
    )


def estimate_lines(estimate: Estimate) -> list[str]:
    """Lay an estimate out, one matter a line."""
    plan, size = estimate.plan, estimate.resolution
    ways = ["blocks recomputed"] if plan.recompute else []
    ways += [] if plan.cache else ["features not kept"]
    free = "" if estimate.free is None else f" of {estimate.free / GIB:.1f} GB that there are"
    fits = "it fits" if estimate.fits else "it does not fit"
    taken = f"; {estimate.taken} taken before, {estimate.left} left" if estimate.taken else ""
    lines = [
        f"pictures  {estimate.pictures} of {size} px",
        f"steps     {estimate.steps}: {estimate.passes} passes, {estimate.batch} pictures a step{taken}",
    ]
    if not estimate.left:
        return [*lines, "already tuned so: nothing to tune"]
    lines += [
        f"at once   {', '.join([str(plan.at_once), *ways])}, {estimate.precision} on {estimate.device}",
        f"memory    {estimate.memory / GIB:.1f} GB{free}: {fits}",
    ]
    if estimate.seconds is None or estimate.seconds_per_step is None:
        return [*lines, "time      not measured"]
    each = estimate.seconds_per_step
    return [*lines, f"time      {each:.3g} s a step, {duration(estimate.seconds)} in all"]


def duration(seconds: float) -> str:
    """Say a time in the unit that suits it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
