"""Files of any kind people have <-> sRGB pixels.

Inside the package a photo is uint8 (H, W, 3) in sRGB, upright. Coordinates on a photo are continuous: x to
the right, y down, (0, 0) the outer corner of the first pixel, so that pixel centres lie at halves.
"""

from __future__ import annotations

import errno
import hashlib
import io
import logging
import math
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from mystyle_cli.errors import DecodeError, reason_of
from mystyle_cli.files import reading
from mystyle_cli.files.reading import Handed
from mystyle_cli.installing import install_command
from mystyle_cli.photos.colour import ADOBE, BT709, Encoding, coded, scaled, to_srgb
from mystyle_cli.photos.formats import RAW, READ, bare_png, cicp, ended_jpegs, kind_of
from mystyle_cli.photos.pixels import LARGEST_PICTURE

Pixels = NDArray[np.uint8]

LARGEST_FILE: Final = 512 << 20  # bytes of the largest file that is read as a photo

# pixels of the largest JPEG: one above `LARGEST_PICTURE` is read at a half or less of its size, and told
LARGEST_JPEG: Final = 4 * LARGEST_PICTURE

# The formats that photos have, as Pillow names them; it knows others, some of which run programs.
_KNOWN = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF", "HEIF")
_FRAMES = 8  # of a file with several pictures, looked through for the first that shows something
_SEVERAL = "the file holds several pictures: the {} is used"
_ORIENTATION = 0x0112
_TURNS: dict[object, Callable[[Pixels], Pixels]] = {  # what makes stored pixels upright, by EXIF's number
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: np.rot90(stored, 1),
}
_STDERR = threading.Lock()  # while it goes nowhere
logging.getLogger("PIL").addHandler(logging.NullHandler())  # else Python prints what Pillow logs
_COPY_AGAIN = "Copy the file again from where it came from."
_SMALLER = "Make the picture smaller first."


@dataclass(frozen=True)
class Photo:
    """A decoded photo.

    Args:
        pixels: uint8 (H, W, 3), sRGB, upright.
        alpha: uint8 (H, W) opacity, or None where the file has none.
        grey: the file holds no colour at all (one channel, or three equal ones).
        exif: EXIF block that holds for the upright pixels, or None.
        path: where it came from, or None for bytes and streams.
        sha256: hex digest of the file's bytes.
        notes: what the user should know about how the file was read.
    """

    pixels: Pixels
    alpha: Pixels | None
    grey: bool
    exif: bytes | None
    path: Path | None
    sha256: str
    notes: tuple[str, ...] = ()


def decode(source: Path | str | bytes | BinaryIO | Handed) -> Photo:
    """Read a photo from a path, a file's bytes, or a binary stream, which is read to its end.

    Raises:
        DecodeError: the source cannot be read, is no picture, is damaged, or is too large.
    """
    data, name, path = _read(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about odd metadata and large photos
            return _decoded(data, name, path)
    except DecodeError as error:
        if error.message.startswith(name):
            raise
        raise DecodeError(f"{name}: {error.message}", error.hint) from error
    except MemoryError as error:
        raise DecodeError(f"{name}: there is not enough memory to open it", _SMALLER) from error
    except Exception as error:  # Pillow and its plugins raise almost anything on damaged files
        raise DecodeError(
            f"{name}: the picture is damaged or cut off ({reason_of(error)})", _COPY_AGAIN
        ) from error


def _decoded(data: bytes, name: str, path: Path | None) -> Photo:
    digest = hashlib.sha256(data).hexdigest()
    kind = kind_of(data, path.suffix if path else "")
    if kind == RAW:
        pixels = _developed(data)
        return Photo(pixels, None, _is_grey(pixels), None, path, digest)
    image, notes = _open(data, name, kind)
    exif = _exif_of(image)
    encoding = coded(*codes) if (codes := cicp(data)) else _encoding_of(image, exif)
    alpha, pixels = _split_alpha(image, encoding)
    turn = _TURNS.get(exif.get(_ORIENTATION, 1), np.asarray)
    pixels = np.ascontiguousarray(turn(pixels))
    alpha = None if alpha is None else np.ascontiguousarray(turn(alpha))
    return Photo(pixels, alpha, _is_grey(pixels), _kept_exif(exif), path, digest, notes)


def _is_grey(pixels: Pixels) -> bool:
    """Tell whether the three channels are equal, some rows at a time."""
    return all(
        bool((rows == rows[..., :1]).all())
        for rows in (pixels[top : top + 512] for top in range(0, len(pixels), 512))
    )


def _read(source: Path | str | bytes | BinaryIO | Handed) -> tuple[bytes, str, Path | None]:
    if isinstance(source, bytes):
        return source, "the picture", None
    if isinstance(source, Handed):
        return source.data, str(source), source.path
    if not isinstance(source, (str, os.PathLike)):
        name = getattr(source, "name", None) or "the picture"
        data = source.read(LARGEST_FILE + 1)
        if len(data) > LARGEST_FILE:
            raise _too_long(name)
        return data, name, None
    path = Path(source)
    return read_file(path), str(path), path


def digests_of(paths: Iterable[Path]) -> dict[Path, str]:
    """Return the sha256 of each file, or of its name where it cannot be read; a path given twice is one."""
    return {path: _digest_of(path) for path in dict.fromkeys(paths)}


def _digest_of(path: Path) -> str:
    try:
        return hashlib.sha256(read_file(path)).hexdigest()
    except DecodeError:
        return hashlib.sha256(os.fsencode(path.name)).hexdigest()


def read_file(path: Path | Handed) -> bytes:
    """Return the bytes of a file that may be a photo; only a regular file, or a link to one, is ever read.

    Raises:
        DecodeError: it cannot be read, is no regular file, or is too large.
    """
    if isinstance(path, Handed):
        return path.data
    try:
        return reading.read_file(path, LARGEST_FILE)
    except reading.StrangeFileError as error:
        if error.errno == errno.EISDIR:
            hint = "Name the pictures inside it."
            raise DecodeError(f"{path}: is a folder, not a picture", hint) from error
        if error.errno == errno.EFBIG:
            raise _too_long(str(path)) from error
        hint = "Name a picture file."
        raise DecodeError(f"{path}: {str(error.strerror).removeprefix('it ')}", hint) from error
    except FileNotFoundError as error:
        raise DecodeError(f"{path}: no such file", "Check the spelling of the path.") from error
    except OSError as error:
        raise DecodeError(
            f"{path}: cannot be read ({error.strerror})", "Check the file's permissions."
        ) from error
    except ValueError as error:  # a NUL in its name
        raise DecodeError(f"{path}: cannot be read ({reason_of(error)})", "Rename it.") from error


def _too_long(name: str) -> DecodeError:
    return DecodeError(f"{name}: has more than {LARGEST_FILE >> 20} MB, too many for a photo", _SMALLER)


def _open(data: bytes, name: str, kind: str | None) -> tuple[Image.Image, tuple[str, ...]]:
    """Open and fully load the first picture of a file; returns it with what is to be said of that."""
    if not data:
        raise DecodeError(f"{name}: the file is empty", _COPY_AGAIN)
    if kind is not None and kind not in READ:
        raise DecodeError(
            f"{name}: is a {kind} file, which is not read", "Save it as JPEG, PNG or TIFF first."
        )
    if kind == "HEIC":
        _register_heif(name)
    if kind == "PNG":
        data = bare_png(data)  # Pillow refuses a whole picture for an odd text
    try:
        image, notes = _opened(data, kind)
        with _silence(kind == "TIFF"):
            notes += _to_first_picture(image)
            image.load()
    except UnidentifiedImageError as error:
        if kind is not None:
            other = ", or of a sort that is not read" if kind == "TIFF" else ""
            raise DecodeError(f"{name}: is a damaged {kind} picture{other}", _COPY_AGAIN) from error
        hint = "Give a JPEG, PNG, WebP, TIFF, AVIF or HEIC file."
        raise DecodeError(f"{name}: is not a picture in a known format", hint) from error
    except OSError as error:
        if kind != "JPEG":
            raise
        return _without_end(data, error)
    return image, notes


def _opened(data: bytes, kind: str | None) -> tuple[Image.Image, tuple[str, ...]]:
    """Open a picture of bounded size; a larger JPEG is to be read smaller, which is said."""
    try:
        Image.init()  # it loads most of its readers only when asked
        image = Image.open(io.BytesIO(data), formats=[known for known in _KNOWN if known in Image.OPEN])
    except Image.DecompressionBombError:
        if kind != "JPEG":
            raise _too_large(None) from None
        image = JpegImageFile(io.BytesIO(data))  # which looks at no size
    width, height = image.size
    if width * height <= LARGEST_PICTURE:
        return image, ()
    shrink = next((by for by in (2, 4, 8) if (width // by) * (height // by) <= LARGEST_PICTURE), None)
    if kind != "JPEG" or shrink is None or width * height > LARGEST_JPEG:
        raise _too_large(image.size)
    image = JpegImageFile(io.BytesIO(data))
    image.draft("RGB", (width // shrink, height // shrink))
    much = f"{width} x {height} pixels are more than the {LARGEST_PICTURE // 1_000_000} million worked on"
    return image, (f"{much}: it was read at 1/{shrink} of its size",)


def _too_large(size: tuple[int, int] | None) -> DecodeError:
    found = "" if size is None else f" ({size[0]} x {size[1]})"
    most = f"{LARGEST_PICTURE // 1_000_000} million, in a JPEG {LARGEST_JPEG // 1_000_000} million"
    return DecodeError(f"has too many pixels{found}, more than {most}", _SMALLER)


def _to_first_picture(image: Image.Image) -> tuple[str, ...]:
    """Go to the first picture of a file that shows something; returns what is to be said of the others."""
    if image.format == "MPO":  # a phone's others are copies and gain maps
        parts = getattr(image, "mpinfo", {}).get(0xB002, [])
        several = any(str(part["Attribute"]["MPType"]).startswith("Multi-Frame") for part in parts)
        return (_SEVERAL.format("first"),) if several else ()
    if image.format == "HEIF" or not getattr(image, "is_animated", False):
        return ()
    shown, others = None, 0
    for index in range(_FRAMES):
        try:
            image.seek(index)
        except EOFError:
            break
        tags = getattr(image, "tag_v2", {})
        if tags.get(254, 0) & 5 or tags.get(255) == 2:  # a small copy of another page, or its mask
            continue
        if shown is None and math.prod(image.size) <= LARGEST_PICTURE and _shows_something(image):
            shown = index
        else:
            others += 1
        if shown is not None and others:
            break
    image.seek(shown or 0)
    return (_SEVERAL.format(f"{shown + 1}." if shown else "first"),) if others else ()


def _shows_something(image: Image.Image) -> bool:
    return any(low != high for low, high in np.reshape(image.getextrema(), (-1, 2)))


def _without_end(data: bytes, error: OSError) -> tuple[Image.Image, tuple[str, ...]]:
    """Return a picture from a JPEG that lacks its end but no pixel."""
    (image, notes), (other, _) = (_opened(whole, "JPEG") for whole in ended_jpegs(data))
    if image.tobytes() != other.tobytes():
        raise error
    return image, notes


@contextmanager
def _silence(wanted: bool) -> Iterator[None]:
    """Keep what a library in C writes to standard error, libtiff above all, from the terminal."""
    if not wanted:
        yield
        return
    with _STDERR:
        try:
            kept = os.dup(2)
        except OSError:  # it is closed already
            yield
            return
        try:
            with open(os.devnull, "wb") as nothing:
                os.dup2(nothing.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _developed(data: bytes) -> Pixels:
    """Make a picture of what a camera wrote, with the camera's own white balance."""
    try:
        import rawpy
    except ImportError as error:
        raise DecodeError(
            "camera RAW needs the optional rawpy",
            f"Install it with: {install_command('rawpy')}; or save it as JPEG or TIFF.",
        ) from error
    with rawpy.imread(io.BytesIO(data)) as raw:
        size = (raw.sizes.width, raw.sizes.height)
        if math.prod(size) > LARGEST_PICTURE:
            raise _too_large(size)
        return np.ascontiguousarray(raw.postprocess(use_camera_wb=True, output_bps=8))


def _register_heif(name: str) -> None:
    try:
        import pillow_heif
    except ImportError as error:
        hint = f"Install it with: {install_command('pillow-heif')}"
        raise DecodeError(f"{name}: HEIC pictures need the optional pillow-heif", hint) from error
    pillow_heif.register_heif_opener()


def _exif_of(image: Image.Image) -> Image.Exif:
    """Return a picture's EXIF data, as much of it as can be read."""
    with suppress(Exception):  # Pillow raises almost anything on damaged EXIF
        return image.getexif()
    return Image.Exif()


def _kept_exif(exif: Image.Exif) -> bytes | None:
    """Return the EXIF block that holds for upright pixels of any size, or None."""
    with suppress(Exception):  # some of what can be read cannot be written, such as a resolution of -1/0
        for tag in (_ORIENTATION, 0x0100, 0x0101):
            exif.pop(tag, None)
        for tag in (0xA002, 0xA003):
            exif.get_ifd(ExifTags.IFD.Exif).pop(tag, None)
        return exif.tobytes() if exif else None
    return None


def _encoding_of(image: Image.Image, exif: Image.Exif) -> Encoding:
    """Return how numbers stand for light by what a PNG, or a camera set to Adobe RGB, says of them."""
    info = image.info
    if image.format == "PNG" and "srgb" not in info:
        gamma, places = info.get("gamma"), info.get("chromaticity")
        primaries = BT709
        if places is not None and len(places) == 8 and all(0 < place < 1 for place in places):
            white, *colours = zip(places[::2], places[1::2], strict=True)  # PNG names white first
            primaries = (*colours, white)
        return Encoding(primaries, 1 / gamma if gamma and 0.1 < gamma < 10 else None)
    with suppress(Exception):
        # R03: what cameras write for Adobe RGB, whose exponent is 563 / 256
        if image.format in ("JPEG", "MPO") and exif.get_ifd(ExifTags.IFD.Interop).get(1) == "R03":
            return Encoding(ADOBE, 563 / 256)
    return Encoding()


def _split_alpha(image: Image.Image, encoding: Encoding) -> tuple[Pixels | None, Pixels]:
    """Convert any mode to (alpha or None, sRGB pixels)."""
    profile, key = image.info.get("icc_profile"), image.info.get("transparency")
    alpha: Pixels | None = None
    if image.mode.startswith("I") or image.mode == "F":
        if isinstance(key, int):
            alpha = np.where(np.asarray(image) == key, 0, 255).astype(np.uint8)
        image, encoding = scaled(image, encoding)
    elif image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or key is not None:
        grey = image.mode in ("LA", "La", "L", "1")
        image = image.convert("RGBA")
        alpha = np.array(image.getchannel("A"))
        image = image.getchannel("R") if grey else image.convert("RGB")
    elif image.mode in ("1", "P"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    if alpha is not None and (alpha == 255).all():
        alpha = None
    return alpha, to_srgb(image, profile, encoding)
