"""Files that are called pictures and are none, or none that can be worked on."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image, features

ODD_SHAPES = {"pixel": (1, 1), "pair": (1, 2), "icon": (8, 8), "strip": (4000, 80), "tall": (300, 9300)}
ODD_NAME = b"odd \xff\xe9.png"


def noise(size: tuple[int, int]) -> Image.Image:
    """Return a picture (width, height) of noise."""
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(values)


def _damaged(format_name: str) -> bytes:
    """Return a picture whose header is whole and whose middle is not."""
    buffer = io.BytesIO()
    noise((64, 64)).save(buffer, format_name)
    data = bytearray(buffer.getvalue())
    start = len(data) // 2
    data[start : start + len(data) // 4] = bytes(len(data) // 4)
    return bytes(data)


def write_bad_files(folder: Path) -> list[str]:
    """Write one of each kind into a folder that is there; returns their names, as Python has them."""
    for name, size in ODD_SHAPES.items():
        noise(size).save(folder / f"{name}.png")
    formats = ["PNG", "TIFF", *(["AVIF"] if features.check("avif") else [])]
    for format_name in formats:
        (folder / f"damaged.{format_name.lower()}").write_bytes(_damaged(format_name))
    (folder / "cut.jpg").write_bytes(_damaged("JPEG")[:400])
    (folder / "cut.webp").write_bytes(_damaged("WEBP")[:400])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    if sys.platform != "win32":
        os.mkfifo(folder / "pipe.jpg")
        (folder / "loop.jpg").symlink_to("loop.jpg")
        (folder / "nowhere.jpg").symlink_to("nothing.jpg")
    if sys.platform == "linux":
        noise((64, 48)).save(folder / "odd.png")
        os.rename(os.fsencode(folder / "odd.png"), os.fsencode(folder) + b"/" + ODD_NAME)
    if sys.platform != "win32" and os.geteuid() != 0:
        noise((64, 64)).save(folder / "secret.png")
        (folder / "secret.png").chmod(0)
    return sorted(path.name for path in folder.iterdir())
