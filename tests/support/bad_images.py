"""Bad images without end, each from its seed: damaged, cut, lying about their sizes, or no image at all."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image, features

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "PPM", *(("AVIF",) if features.check("avif") else ()))
MODES = {
    "PNG": ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"),
    "JPEG": ("RGB", "L", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "TIFF": ("RGB", "RGBA", "L", "LA", "P", "1", "I;16", "CMYK", "F", "LAB"),
    "GIF": ("P", "L"),
    "BMP": ("RGB", "L", "P", "1"),
    "PPM": ("RGB", "L", "1"),
    "AVIF": ("RGB", "RGBA"),
}
STARTS = (
    *(b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"GIF89a", b"BM", b"P6\n", b"P7\n"),
    *(
        b"RIFF\0\0\0\0WEBP",
        b"\0\0\0\x1cftypavif",
        b"\0\0\0\x18ftypheic",
        b"%PDF-1.4",
        b"8BPS",
        b"\xff\x0a",
        b"",
    ),
)
ANIMATED = ("GIF", "WEBP", "TIFF", "PNG", "AVIF")


def bad_image(seed: int) -> tuple[str, bytes]:
    """Return the name, with an ending, and bytes of one bad image; a few are sound by chance."""
    dice = random.Random(seed)
    if dice.random() < 0.1:
        data = dice.choice(STARTS) + dice.randbytes(dice.choice((0, 1, 20, 400, 5000)))
        return f"{seed:05}.{dice.choice(('jpg', 'png', 'tif', 'webp', 'gif', 'heic'))}", data
    kind = dice.choice(FORMATS)
    data = _whole(dice, kind)
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        data = dice.choice(_HARMS)(dice, data)
    if kind == "PNG" and dice.random() < 0.5:
        data = _mend(data)
    return f"{seed:05}.{kind.lower()}", data


def _whole(dice: random.Random, kind: str) -> bytes:
    """Return a sound file of some mode, size and options."""
    mode = dice.choice(MODES[kind])
    side = dice.choice((1, 2, 16, 16, 32, 33, 64))
    size = (side, side if dice.random() < 0.7 else dice.choice((1, 7, 64, 300)))
    values = np.random.default_rng(dice.getrandbits(32)).integers(0, 256, (size[1], size[0], 3), np.uint8)
    image = Image.fromarray(values).resize(size, Image.Resampling.BICUBIC)
    if mode == "I;16":
        image = Image.fromarray(values[..., 0].astype(np.uint16) * 257)
    elif mode == "LAB":
        image = Image.frombytes("LAB", size, values.tobytes())
    else:
        image = image.convert("L" if mode == "LA" else mode)
        image = image.convert("LA") if mode == "LA" else image
    options: dict[str, object] = {}
    if (
        kind in ("GIF", "WEBP", "TIFF", "PNG", "AVIF")
        and mode not in ("I;16", "LAB")
        and dice.random() < 0.25
    ):
        options |= {"save_all": True, "append_images": [image.transpose(Image.Transpose.ROTATE_180)] * 2}
    if kind == "TIFF" and mode in ("RGB", "L"):
        options["compression"] = dice.choice((None, "tiff_lzw", "tiff_deflate", "jpeg", "packbits"))
    if kind in ("JPEG", "PNG") and dice.random() < 0.3:
        exif = Image.Exif()
        exif[0x0112] = dice.randrange(0, 11)
        options["exif"] = exif
    if kind in ("JPEG", "PNG", "WEBP") and dice.random() < 0.2:
        options["icc_profile"] = dice.randbytes(dice.choice((4, 128, 600)))
    if kind == "JPEG":
        options["progressive"] = dice.random() < 0.3
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return _undated(buffer.getvalue()) if kind == "AVIF" else buffer.getvalue()


def _undated(data: bytes) -> bytes:
    """Take out when an AVIF of several frames was made: version 1 of these boxes has two times of 8 bytes."""
    for box in (b"mvhd\1", b"tkhd\1", b"mdhd\1"):
        before, name, after = data.partition(box)
        data = before + name + after[:3] + bytes(len(after[3:19])) + after[19:]
    return data


def _flip(dice: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.choice((1, 3, 20))):
        changed[dice.randrange(len(changed))] = dice.randrange(256)
    return bytes(changed)


def _flip_head(dice: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    changed[dice.randrange(min(len(changed), 64))] = dice.choice((0, 1, 0x7F, 0xFF, dice.randrange(256)))
    return bytes(changed)


def _cut(dice: random.Random, data: bytes) -> bytes:
    return data[: dice.randrange(1, len(data) + 1)] or data[:1]


def _zeros(dice: random.Random, data: bytes) -> bytes:
    start = dice.randrange(len(data))
    return data[:start] + bytes(min(dice.choice((4, 64, 4096)), len(data) - start)) + data[start + 4096 :]


def _insert(dice: random.Random, data: bytes) -> bytes:
    start = dice.randrange(len(data))
    return data[:start] + dice.randbytes(dice.choice((1, 4, 300))) + data[start:]


def _huge(dice: random.Random, data: bytes) -> bytes:
    """Write a large number where a size may stand."""
    start = dice.randrange(min(len(data), 200))
    size = dice.choice((b"\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", struct.pack(">I", 70_000)))
    return data[:start] + size + data[start + len(size) :]


def _repeat(dice: random.Random, data: bytes) -> bytes:
    start = dice.randrange(len(data))
    part = data[start : start + dice.choice((8, 100, 1000))]
    return data[:start] + part * dice.choice((2, 5)) + data[start:]


_HARMS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _flip,
    _flip,
    _flip_head,
    _cut,
    _zeros,
    _insert,
    _huge,
    _repeat,
)


def _mend(data: bytes) -> bytes:
    """Return a PNG with right checksums, so that decoders go on to what is inside."""
    parts, place = [data[:8]], 8
    while place + 12 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        body = data[place + 4 : place + 8 + length]
        if len(body) < 4 + length:
            break
        parts.append(data[place : place + 4] + body + struct.pack(">I", zlib.crc32(body)))
        place += 12 + length
    return b"".join([*parts, data[place:]])
