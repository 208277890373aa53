"""Where profiles live on this machine: one answer, one environment variable that overrides it."""

from __future__ import annotations

import os
from pathlib import Path

HOME_VARIABLE = "MYSTYLE_HOME"


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
    """Return the folder of the profile store.

    Args:
        explicit: what the user named (`--store`); it wins over `MYSTYLE_HOME` and the platform's folder.
    """
    return explicit.expanduser() if explicit is not None else home() / "profiles"
