"""Nothing leaves the machine: no socket to the internet, and nothing written but what was asked for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.support import silence
from tests.support.tiny_store import make_store, picture

pytestmark = pytest.mark.skipif(not silence.available(), reason="this system has no filter of system calls")

COMMANDS = """
import socket
from tests.support.silence import forbid_network
forbid_network()
socket.has_ipv6 = False  # urllib3, which doctor looks at, would ask by binding an address of this machine
from mystyle_cli.cli import cli
words = [
    "doctor", "prior list", "profile list", "export ada", "profile verify ada",
    "sample ada -n 2 --seed 1 -o samples", "sample ada --backend torch --seed 1 -o torch.png",
    "invert ada crop.png -o inverted.png --aligned --steps 1 --save-codes codes",
    "upscale ada small.png -o upscaled.png --aligned --steps 1",
    "edit ada crop.png --codes codes --direction yaw --strength 1 -o edited.png",
    "invert ada photo.png -o never.png",
]
for line in words:
    try:
        cli.main(["--store", "store", *line.split()])
    except SystemExit as end:
        print("##", line, end.code, flush=True)
"""


def run(code: str, place: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with a home folder of its own, which it and the system's conventions know."""
    hidden = {name for name in os.environ if name.startswith(("XDG_", "MYSTYLE_", "ORT_"))}
    settings = {name: value for name, value in os.environ.items() if name not in hidden}
    root = Path(__file__).resolve().parents[2]
    settings |= {"HOME": str(place / "home"), "PYTHONPATH": os.pathsep.join([str(root / "src"), str(root)])}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=place, env=settings, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("kind", ["AF_INET", "AF_INET6"])
def test_the_filter_sees_native_code(kind: str, tmp_path: Path) -> None:
    """A socket to the internet that C opens ends the process at once; what stays on the machine does not."""
    code = "import ctypes, socket; from tests.support.silence import forbid_network; forbid_network()\n{}"
    opened = "ctypes.CDLL(None).socket(int(socket.{}), 1, 0); print('lived')"
    assert run(code.format(opened.format(kind)), tmp_path).returncode == -signal.SIGSYS
    assert run(code.format(opened.format("AF_UNIX")), tmp_path).stdout == "lived\n"


def test_commands_open_no_connection_and_write_nothing_at_home(tmp_path: Path, tiny_prior: Path) -> None:
    """Whatever makes pictures or looks at this machine: nobody is called, and the home folder stays empty."""
    make_store(tmp_path / "store", tiny_prior)
    (tmp_path / "home").mkdir()
    Image.fromarray(picture(0, 32)).save(tmp_path / "crop.png")
    Image.fromarray(picture(0, 8)).save(tmp_path / "small.png")
    Image.new("RGB", (64, 64), "green").save(tmp_path / "photo.png")
    done = run(COMMANDS, tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    ends = [line[3:].rpartition(" ") for line in done.stdout.splitlines() if line.startswith("## ")]
    codes = {line: code for line, _, code in ends}
    asked = [line for line in codes if line.split()[0] in ("invert", "upscale", "sample", "edit", "export")]
    assert {line: codes[line] for line in asked if codes[line] != "0"} == {
        "invert ada photo.png -o never.png": "4"
    }
    assert len(asked) == 7
    assert list((tmp_path / "home").rglob("*")) == []
