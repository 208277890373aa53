"""A smooth picture, its file of any format, profiles of colour and turns by EXIF."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image


def photo(height: int = 24, width: int = 32, seed: int = 0) -> np.ndarray:
    """Return a smooth coloured picture."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.array(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    """Return a picture's file bytes."""
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


UPRIGHT = {  # what a viewer does with stored pixels, per EXIF orientation
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.transpose(1, 0, 2),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
    8: lambda x: np.rot90(x, 1),
}


def icc(primaries: list[tuple[float, float, float]], gamma: float) -> bytes:
    """Build a minimal ICC v2 matrix profile from its D50 primaries and gamma."""

    def fixed(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def xyz(values: tuple[float, ...]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(fixed(v) for v in values)

    text = b"test\0"
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    blocks = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + b"\0" * 79,
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": xyz((0.9642, 1.0, 0.8249)),
        **{name: xyz(value) for name, value in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)},
        **{name: curve for name in (b"rTRC", b"gTRC", b"bTRC")},
    }
    table, body, offset = b"", b"", 132 + 12 * len(blocks)
    for name, block in blocks.items():
        block += b"\0" * (-len(block) % 4)
        table += name + struct.pack(">II", offset + len(body), len(block))
        body += block
    head = struct.pack(
        ">I4sI4s4s4s12s4s", 0, b"none", 0x02100000, b"mntr", b"RGB ", b"XYZ ", b"\0" * 12, b"acsp"
    )
    head += b"\0" * 28 + b"".join(fixed(v) for v in (0.9642, 1.0, 0.8249))
    data = head.ljust(128, b"\0") + struct.pack(">I", len(blocks)) + table + body
    return struct.pack(">I", len(data)) + data[4:]
