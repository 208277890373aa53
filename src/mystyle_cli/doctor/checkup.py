"""The whole examination, in the order in which one problem explains the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count

from mystyle_cli.doctor.findings import Finding, problem
from mystyle_cli.doctor.keeping import (
    look_at_disk,
    look_at_licences,
    look_at_locks,
    look_at_priors,
    look_at_profiles,
)
from mystyle_cli.doctor.program import look_at_companions, look_at_devices, look_at_libraries
from mystyle_cli.progress import Progress, Step, silent
from mystyle_cli.store.store import Store


def examine(store: Store, device: str = "auto", progress: Progress = silent) -> list[Finding]:
    """Look at everything that mystyle depends on."""
    parts: tuple[Callable[[], Iterable[Finding]], ...] = (
        look_at_libraries,
        look_at_companions,
        lambda: look_at_devices(device),
        lambda: look_at_disk(store),
        lambda: look_at_locks(store),
        look_at_licences,
        look_at_priors,
        lambda: look_at_profiles(store),
    )
    findings: list[Finding] = []
    for done, part in zip(count(1), parts, strict=False):
        try:
            findings.extend(part())
        except ImportError as error:  # said above, with what to do about it
            findings.append(problem("program", "libraries", f"the rest cannot be examined: {error}", ""))
        progress(Step("examine", done, len(parts)))
    return findings
