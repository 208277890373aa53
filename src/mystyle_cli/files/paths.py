"""Where profiles and priors live on this machine, and how they may be called.

There is one answer, and one environment variable that overrides it.
"""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from typing import Final

from mystyle_cli.errors import UsageError

HOME_VARIABLE = "MYSTYLE_HOME"
LONGEST_NAME: Final = 64

# names that Windows keeps for devices, so that a folder can be copied to any machine
_RESERVED: Final = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))]
)


def home() -> Path:
    """Return the folder that holds everything mystyle keeps for a user.

    `MYSTYLE_HOME` when it is set, otherwise the platform's folder for user data.
    """
    override = os.environ.get(HOME_VARIABLE)
    if override:
        return Path(override).expanduser()
    import platformdirs

    return platformdirs.user_data_path("mystyle", appauthor=False)


def store_root(explicit: Path | None = None) -> Path:
    """Return the folder of the profile store: what the user named, else `home()`'s."""
    return explicit.expanduser() if explicit is not None else home() / "profiles"


def priors_root() -> Path:
    """Return the folder of the priors that the user imported or fetched."""
    return home() / "priors"


def nearest(folder: Path) -> Path:
    """Return a folder, or, where it is not there, the nearest above it that is."""
    while not folder.exists():
        folder = folder.parent
    return folder


def below_home(path: Path) -> str:
    """Return an absolute path as it may stand in a file: what is in the user's home begins with `~`."""
    try:
        return f"~/{path.relative_to(Path(os.path.expanduser('~')).resolve()).as_posix()}"
    except ValueError:
        return str(path)


def check_name(name: str, kind: str = "profile") -> str:
    """Return the name of a profile or prior in its normal form.

    Letters and digits of any script, `-`, `_` and `.`; it starts with a letter or digit, does not end with a
    dot, and is at most 64 characters long.

    Raises:
        UsageError: the name breaks a rule, which the message names.
    """
    name = unicodedata.normalize("NFC", name)  # file systems tell spellings apart that look the same
    problem = ""
    if not name:
        problem = "it is empty"
    elif len(name) > LONGEST_NAME or len(name.encode("utf-8", "replace")) > 3 * LONGEST_NAME:
        problem = f"it is longer than {LONGEST_NAME} characters"
    elif not name[0].isalnum():
        problem = "it does not start with a letter or digit"
    elif name.endswith("."):
        problem = "it ends with a dot"
    elif bad := sorted({char for char in name if not (char.isalnum() or char in "-_.")}):
        problem = f"it contains {' '.join(map(repr, bad))}"
    elif name.split(".")[0].casefold() in _RESERVED:
        problem = "Windows keeps that name for a device"
    if problem:
        raise UsageError(
            f"{name!r} cannot be a {kind}'s name: {problem}", "Use letters, digits, '-', '_' and '.': adele"
        )
    return name
