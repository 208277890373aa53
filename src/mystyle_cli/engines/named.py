"""What `--on` says: an engine by its name, whose library is imported only when it is the one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from mystyle_cli.errors import UsageError

if TYPE_CHECKING:
    from mystyle_cli.engines.engine import Engine

Kind = Literal["local", "ray", "slurm"]

FORMS: Final = "local, local:2, ray, ray:ADDRESS, slurm, slurm:PARTITION"
"""How engines are named, for people."""


@dataclass(frozen=True)
class Where:
    """Where work runs, as it was typed; see `parse`."""

    kind: Kind = "local"
    rest: str = ""  # what stands after the colon: processes, a cluster's address, a partition

    @property
    def name(self) -> str:
        """What was typed."""
        return f"{self.kind}:{self.rest}" if self.rest else self.kind

    @property
    def sends(self) -> bool:
        """Whether machines that do not see the files are sent them."""
        return self.kind == "ray" and bool(self.rest)

    def open(self) -> Engine:
        """Return the engine; raises MystyleError where its library is not installed."""
        if self.kind == "ray":
            from mystyle_cli.engines import on_ray

            return on_ray.engine(self.rest)
        if self.kind == "slurm":
            from mystyle_cli.engines import on_slurm

            return on_slurm.engine(self.rest)
        from mystyle_cli.engines import local

        return local.engine(int(self.rest) if self.rest else None)


def parse(text: str) -> Where:
    """Read what was typed; raises UsageError where it names no engine."""
    kind, colon, rest = text.partition(":")
    if kind == "local" and (not colon or (rest.isascii() and rest.isdecimal() and int(rest) > 0)):
        return Where("local", rest)
    if kind == "ray" and (not colon or re.fullmatch(r"[\w.:/\[\]-]+", rest)):
        return Where("ray", rest)
    if kind == "slurm" and (not colon or re.fullmatch(r"\w[\w.-]*", rest)):
        return Where("slurm", rest)
    raise UsageError(f"{text!r} is no place where work can run", f"Use one of: {FORMS}.")
