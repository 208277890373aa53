"""How more is installed beside this program, whatever way the program itself came."""

from __future__ import annotations

import importlib.util
import shlex
import sys


def install_command(package: str, *, again: bool = False) -> str:
    """Return the command that installs a package, or repairs it, where this program runs.

    It names the interpreter, so that it is right from any shell, and the package itself rather than an extra
    of this program, which a checkout, a wheel and an address of git would each spell differently.
    """
    python = shlex.quote(sys.executable)
    if importlib.util.find_spec("pip") is None:  # uv makes environments without it
        return f"uv pip install --python {python} {'--reinstall ' if again else ''}{package}"
    return f"{python} -m pip install {'--force-reinstall ' if again else ''}{package}"
