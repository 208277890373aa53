"""sRGB pixels -> files."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np
from PIL import Image

from mystyle_cli.errors import UsageError
from mystyle_cli.files.writing import write_result
from mystyle_cli.photos.pixels import Format, Pixels

if TYPE_CHECKING:
    from mystyle_cli.photos.marks import Provenance
    from mystyle_cli.photos.signing import Seal

_FORMATS: dict[str, Format] = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".jpe": "jpeg",
    ".webp": "webp",
}
_LARGEST_SIDE: dict[Format, int] = {"jpeg": 65_535, "webp": 16_383, "png": 2**31 - 1}
_LARGEST_EXIF = 65_000  # bytes; a JPEG keeps it in one segment of 65 533


def format_of(path: Path) -> Format:
    """Return the format that a file name's ending asks for; raises UsageError for one that is not written."""
    try:
        return _FORMATS[path.suffix.lower()]
    except KeyError as error:
        ending = path.suffix or "no ending"
        raise UsageError(f"{path}: cannot write {ending}", "End the name in .png, .jpg or .webp.") from error


def check_room(format: Format, shape: tuple[int, ...]) -> None:
    """Refuse a picture of a shape (H, W, ...) that a format cannot hold; raises UsageError."""
    height, width = shape[:2]
    if max(height, width) > _LARGEST_SIDE[format]:
        raise UsageError(
            f"{format} holds {_LARGEST_SIDE[format]} pixels a side at most, not {width} x {height}",
            "Use --format png, or end the name in .png.",
        )


@dataclass(frozen=True)
class Beside:
    """What a file holds beside its colours."""

    alpha: Pixels | None = None  # uint8 (H, W) opacity; jpeg has none and is laid on white
    exif: bytes | None = None  # EXIF block to carry over; one that has no room in a jpeg is left out
    marks: Provenance | None = None
    seal: Seal | None = None  # signs the file; with `marks` only


NOTHING: Final = Beside()


def encode(
    pixels: Pixels,
    target: Path | BinaryIO,
    beside: Beside = NOTHING,
    *,
    format: Format | None = None,
    jpeg_quality: int = 95,
) -> None:
    """Write pixels to a file, whole or not at all, or to a stream.

    Args:
        pixels: uint8 (H, W, 3) sRGB, or (H, W) grey.
        target: path, whose folder exists, or binary stream.
        format: by default what the path's ending says, png for a stream.
        jpeg_quality: 1 to 100, of jpeg and webp.

    Raises:
        MystyleError: it cannot be signed.
        UsageError: the path's ending is none that is written, or its format has no room for the picture.
        OSError: a link is in its place, or it cannot be written.
    """
    chosen = format or (format_of(target) if isinstance(target, Path) else "png")
    data = _encoded(pixels, beside, chosen, jpeg_quality)
    if beside.seal is not None and beside.marks is not None:
        data = beside.seal.sign(data, chosen, beside.marks.digital_source_type)
    if not isinstance(target, Path):
        target.write(data)
        return
    write_result(target, data)


def _encoded(pixels: Pixels, beside: Beside, format: Format, jpeg_quality: int) -> bytes:
    check_room(format, pixels.shape)
    alpha, exif = beside.alpha, beside.exif
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if alpha is not None and format == "jpeg":
        image = Image.composite(
            image.convert("RGB"), Image.new("RGB", image.size, "white"), Image.fromarray(alpha)
        )
    elif alpha is not None:
        image = image.convert("RGB")
        image.putalpha(Image.fromarray(alpha))
    options: dict[str, Any] = {} if format == "png" else {"quality": jpeg_quality}
    if format == "jpeg":
        # whoever asks for 90 wants the colours' edges
        options["subsampling"] = 0 if jpeg_quality >= 90 else 2
    if exif is not None and (format != "jpeg" or len(exif) <= _LARGEST_EXIF):
        options["exif"] = exif
    if beside.marks is not None:
        options.update(beside.marks.save_options(format))
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()
