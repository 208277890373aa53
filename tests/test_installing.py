"""What is said to be typed to install more: right for this environment, whatever way the program came."""

from __future__ import annotations

import importlib.util
import shlex
import subprocess
import sys
from typing import Any

import pytest

from mystyle_cli.installing import install_command


def test_the_command_is_this_interpreters() -> None:
    """It starts with the interpreter that runs, whose pip takes the rest."""
    words = shlex.split(install_command("pillow-heif"))
    assert words == [sys.executable, "-m", "pip", "install", "pillow-heif"]
    subprocess.run([*words[:3], "--version"], check=True, capture_output=True)
    assert "--force-reinstall" in install_command("numpy", again=True)


def test_an_environment_without_pip_is_told_of_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    """As uv makes them."""
    find = importlib.util.find_spec

    def without_pip(name: str, *rest: Any) -> Any:
        return None if name == "pip" else find(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", without_pip)
    words = shlex.split(install_command("pillow-heif"))
    assert words == ["uv", "pip", "install", "--python", sys.executable, "pillow-heif"]
    assert "--reinstall" in install_command("numpy", again=True)
