"""Write `.ci/constraints.txt`: the versions of every library that the checks were last run with.

    python -m tools.lock

Run it in an environment in which `make test`, `make lint` and `make cluster` pass, and commit the result.
`.ci/run` installs those versions and no others, so that a check fails for a change of ours and not for
somebody's release of the day. What users install is not bound by it: lower bounds are in `pyproject.toml`.
"""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CONSTRAINTS: Final = Path(__file__).resolve().parents[1] / ".ci/constraints.txt"
TESTED: Final = "mystyle[dev,heic,page,video]"
"""What `make test` and `make lint` are run with."""

CHECKED: Final = "mystyle[dev,heic,page,video,ray,slurm]"
"""... and `make cluster`, too."""


def installed(requirement: str = CHECKED) -> dict[str, str]:
    """Return the version of everything that a requirement brings here, by name; the requirement itself not.

    Raises:
        PackageNotFoundError: a part of it is not installed.
    """
    waiting, seen = [Requirement(requirement)], set[tuple[str, frozenset[str]]]()
    versions: dict[str, str] = {}
    while waiting:
        one = waiting.pop()
        name, extras = canonicalize_name(one.name), frozenset(one.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        found = metadata.distribution(name)
        versions[name] = found.version
        for line in found.requires or []:
            wanted = Requirement(line)
            environments = [{"extra": extra} for extra in extras or {""}]
            if wanted.marker is None or any(wanted.marker.evaluate(each) for each in environments):
                waiting.append(wanted)
    del versions[canonicalize_name(Requirement(requirement).name)]
    return dict(sorted(versions.items()))


def constraints() -> str:
    """Return the text of the file."""
    where = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    lines = [f"{name}=={version.partition('+')[0]}" for name, version in installed().items()]
    return "\n".join(
        [f"# Written by `python -m tools.lock` with {where}; see docs/architecture.md.", *lines, ""]
    )


if __name__ == "__main__":
    CONSTRAINTS.write_text(constraints(), "utf-8")
    print(CONSTRAINTS)
