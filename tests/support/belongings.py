"""Files of the user's in the program's folders, and names that lead out of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

MINE = b"the user's own"


def mine(path: Path) -> Path:
    """Write a file of the user's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(MINE + str(path).encode())
    return path


class Belongings:
    """Files of the user's, with their digests as they were."""

    def __init__(self, *paths: Path) -> None:
        self.digests = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}

    def check(self, after: str) -> None:
        """See that each is there and as it was."""
        for path, digest in self.digests.items():
            assert path.is_file(), f"{after}: {path} is gone"
            assert hashlib.sha256(path.read_bytes()).hexdigest() == digest, f"{after}: {path} has changed"


INSIDE = (
    *("notes.txt", "extra.safetensors", "faces/holiday.png", "faces/2024/0001.png", "onnx/mine.onnx"),
    *("onnx/notes.txt", "runs/diary.txt", "mine/profile.toml", ".notes.tmp", "faces/.holiday.png.tmp"),
)


HOSTILE = (
    *(
        "/nowhere/mine",
        "../../mine",
        "..",
        ".",
        "",
        "faces/../../../mine",
        "a//b",
        "faces/",
        "./profile.toml",
    ),
    *(
        "..\\mine",
        "C:\\mine",
        "C:mine",
        "\\\\host\\share",
        "a\0b",
        "a\nb",
        "\x1b[2J",
        "x" * 300,
        "a/" * 9 + "b",
    ),
)
