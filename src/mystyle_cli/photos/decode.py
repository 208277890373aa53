"""Files of any kind people have <-> sRGB pixels.

Inside the package a photo is uint8 (H, W, 3) in sRGB, upright. Coordinates on a photo are continuous: x to
the right, y down, (0, 0) the outer corner of the first pixel, so that pixel centres lie at halves.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import stat
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from mystyle_cli.errors import DecodeError, MystyleError, UsageError, reason_of
from mystyle_cli.owned import write_result

if TYPE_CHECKING:
    from mystyle_cli.photos.marks import Provenance

Pixels = NDArray[np.uint8]
Kernel = Literal["area", "bilinear", "bicubic", "lanczos"]
Format = Literal["png", "jpeg", "webp"]

_KERNELS = {
    "area": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_FORMATS: dict[str, Format] = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".jpe": "jpeg",
    ".webp": "webp",
}
LARGEST_FILE: Final = 512 << 20
"""Bytes of the largest file that is read as a photo."""

LARGEST_PICTURE: Final = 178_000_000
"""Pixels of the largest picture that is opened or made; above, Pillow calls it a bomb."""

# The formats that photos have, as Pillow names them; it knows others, some of which run programs.
_KNOWN = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF", "HEIF")
_SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n": "PNG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"BM": "BMP",
    b"GIF8": "GIF",
}
_AVIF_BRANDS = {b"avif", b"avis"}
_LARGEST_SIDE: dict[Format, int] = {"jpeg": 65_535, "webp": 16_383, "png": 2**31 - 1}
_LARGEST_EXIF = 65_000  # bytes; a JPEG keeps it in one segment of 65 533
_SIZES = {
    None: (ExifTags.Base.ImageWidth, ExifTags.Base.ImageLength),
    ExifTags.IFD.Exif: (ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight),
}
_COPY_AGAIN = "Copy the file again from where it came from."
_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}


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
    """

    pixels: Pixels
    alpha: Pixels | None
    grey: bool
    exif: bytes | None
    path: Path | None
    sha256: str


def decode(source: Path | str | bytes | BinaryIO) -> Photo:
    """Read a photo from a file, bytes or a stream.

    Args:
        source: path, the file's bytes, or a binary stream that is read to its end.

    Raises:
        DecodeError: the source cannot be read, is no picture, is damaged, or is too large.
    """
    data, name, path = _read(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about odd metadata and large photos
            image = _open(data, name)
            image, exif = _upright(image)
            alpha, pixels = _split_alpha(image)
            grey = bool((pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 1] == pixels[..., 2]).all())
    except DecodeError:
        raise
    except MemoryError as error:
        raise DecodeError(
            f"{name}: there is not enough memory to open it", "Make the picture smaller first."
        ) from error
    except Exception as error:  # Pillow and its plugins raise almost anything on damaged files
        raise DecodeError(
            f"{name}: the picture is damaged or cut off ({reason_of(error)})", _COPY_AGAIN
        ) from error
    return Photo(pixels, alpha, grey, exif, path, hashlib.sha256(data).hexdigest())


def _read(source: Path | str | bytes | BinaryIO) -> tuple[bytes, str, Path | None]:
    """Return the bytes, a name for messages, and the path if there is one."""
    if isinstance(source, bytes):
        return source, "the picture", None
    if not isinstance(source, (str, os.PathLike)):
        name = getattr(source, "name", None) or "the picture"
        data = source.read(LARGEST_FILE + 1)
        _refuse_large(name, len(data))
        return data, name, None
    path = Path(source)
    return read_file(path), str(path), path


def read_file(path: Path) -> bytes:
    """Return the bytes of a file that may be a photo; nothing but a regular file is ever read.

    Args:
        path: the file, or a link to it.

    Raises:
        DecodeError: it cannot be read, is no regular file, or is too large.
    """
    try:
        # a pipe would wait for its writer
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with open(path, "rb", opener=lambda place, _: os.open(place, flags)) as stream:
            found = os.fstat(stream.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise DecodeError(f"{path}: is no file but a pipe or device", "Name a picture file.")
            _refuse_large(str(path), found.st_size)
            return stream.read(LARGEST_FILE)
    except IsADirectoryError as error:
        raise DecodeError(f"{path}: is a folder, not a picture", "Name the pictures inside it.") from error
    except FileNotFoundError as error:
        raise DecodeError(f"{path}: no such file", "Check the spelling of the path.") from error
    except OSError as error:
        raise DecodeError(
            f"{path}: cannot be read ({error.strerror})", "Check the file's permissions."
        ) from error
    except ValueError as error:  # a NUL in its name
        raise DecodeError(f"{path}: cannot be read ({reason_of(error)})", "Rename it.") from error


def _refuse_large(name: str, size: int) -> None:
    """Refuse a file of more bytes than a photo has."""
    if size > LARGEST_FILE:
        raise DecodeError(
            f"{name}: has more than {LARGEST_FILE >> 20} MB, too many for a photo",
            "Make the picture smaller first.",
        )


def _open(data: bytes, name: str) -> Image.Image:
    """Open and fully load a picture."""
    if not data:
        raise DecodeError(f"{name}: the file is empty", _COPY_AGAIN)
    heif = data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS
    if heif:
        _register_heif(name)
    try:
        Image.init()
        image = Image.open(io.BytesIO(data), formats=[kind for kind in _KNOWN if kind in Image.OPEN])
        if math.prod(image.size) > LARGEST_PICTURE:
            raise Image.DecompressionBombError
        image.load()
    except Image.DecompressionBombError as error:
        most = f"{LARGEST_PICTURE // 1_000_000} million"
        raise DecodeError(
            f"{name}: has too many pixels to open safely, more than {most}", "Make the picture smaller first."
        ) from error
    except UnidentifiedImageError as error:
        kind = _kind_of(data)
        if kind is not None:
            raise DecodeError(f"{name}: is a damaged {kind} picture", _COPY_AGAIN) from error
        hint = "Give a JPEG, PNG, WebP, TIFF or HEIC file."
        raise DecodeError(f"{name}: is not a picture in a known format", hint) from error
    return image


def _kind_of(data: bytes) -> str | None:
    """Return the format that a file begins as one of, whatever follows."""
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS | _AVIF_BRANDS:
        return "AVIF" if data[8:12] in _AVIF_BRANDS else "HEIC"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    return next((kind for start, kind in _SIGNATURES.items() if data.startswith(start)), None)


def _register_heif(name: str) -> None:
    """Teach Pillow to open HEIC, or say what to install."""
    try:
        import pillow_heif
    except ImportError as error:
        hint = "Install it with: pip install 'mystyle[heic]'"
        raise DecodeError(f"{name}: HEIC pictures need the optional pillow-heif", hint) from error
    pillow_heif.register_heif_opener()


def _upright(image: Image.Image) -> tuple[Image.Image, bytes | None]:
    """Turn a picture as its EXIF says, and return it with the EXIF block that then holds."""
    try:
        turned = ImageOps.exif_transpose(image)
        exif = turned.getexif()
        return turned, exif.tobytes() if exif else None
    except Exception:
        # Pillow raises almost anything on damaged EXIF, which is no reason to refuse the pixels.
        return image, None


def _split_alpha(image: Image.Image) -> tuple[Pixels | None, Pixels]:
    """Convert any mode to (alpha or None, sRGB pixels)."""
    alpha: Pixels | None = None
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        straight = image.convert("RGBA")
        alpha = np.array(straight.getchannel("A"))
        grey_base = image.mode in ("LA", "La", "L")
        image = _keep_profile(
            straight.convert("RGB").convert("L") if grey_base else straight.convert("RGB"), image
        )
        if (alpha == 255).all():
            alpha = None
    elif image.mode.startswith("I") or image.mode == "F":
        image = _keep_profile(_to_eight_bits(image), image)
    elif image.mode in ("1", "P"):
        image = _keep_profile(image.convert("RGB"), image)
    return alpha, np.array(_to_srgb(image))


def _keep_profile(image: Image.Image, source: Image.Image) -> Image.Image:
    """Carry the ICC profile over to a converted copy."""
    image.info = {key: source.info[key] for key in ("icc_profile",) if key in source.info}
    return image


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16 bit, 32 bit and float grey to mode L."""
    values = np.asarray(image).astype(np.float64)
    if image.mode == "F":
        peak = float(values.max(initial=0.0))
        white = 1.0 if peak <= 1.0 else 255.0 if peak <= 255.0 else peak
    else:
        white = 65535.0 if image.mode != "I" or values.max(initial=0.0) > 255 else 255.0
    return Image.fromarray(np.clip(np.rint(values * (255.0 / white)), 0, 255).astype(np.uint8))


def _to_srgb(image: Image.Image) -> Image.Image:
    """Apply the embedded ICC profile; a profile that does not fit the picture is ignored, as viewers do."""
    profile = image.info.get("icc_profile")
    if profile and image.mode in ("RGB", "L", "CMYK", "LAB"):
        with suppress(ImageCms.PyCMSError, OSError):
            embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "sRGB" not in (embedded.profile.profile_description or "") or image.mode != "RGB":
                converted = ImageCms.profileToProfile(
                    image, embedded, ImageCms.createProfile("sRGB"), outputMode="RGB"
                )
                if converted is not None:
                    return converted
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB") or image.convert("RGB")
    return image.convert("RGB")


def format_of(path: Path) -> Format:
    """Return the format that a file name's ending asks for.

    Raises:
        UsageError: the ending is none that is written.
    """
    try:
        return _FORMATS[path.suffix.lower()]
    except KeyError as error:
        ending = path.suffix or "no ending"
        raise UsageError(f"{path}: cannot write {ending}", "End the name in .png, .jpg or .webp.") from error


def encode(
    pixels: Pixels,
    target: Path | BinaryIO,
    *,
    format: Format | None = None,
    quality: int = 95,
    alpha: Pixels | None = None,
    exif: bytes | None = None,
    marks: Provenance | None = None,
) -> None:
    """Write pixels to a file, whole or not at all, or to a stream.

    Args:
        pixels: uint8 (H, W, 3) sRGB, or (H, W) grey.
        target: path, whose folder exists, or binary stream.
        format: png, jpeg or webp; by default what the path's ending says, png for a stream.
        quality: 1 to 100, of jpeg and webp.
        alpha: uint8 (H, W) opacity; jpeg has none and is laid on white.
        exif: EXIF block to carry over, the size in it corrected; one that has no room in a jpeg is left out.
        marks: provenance to embed.

    Raises:
        UsageError: the path's ending is none that is written, or its format has no room for the picture.
        OSError: a link is in its place, or it cannot be written.
    """
    chosen = format or (format_of(target) if isinstance(target, Path) else "png")
    data = _encoded(pixels, chosen, quality, alpha, exif, marks)
    if not isinstance(target, Path):
        target.write(data)
        return
    write_result(target, data)


def _encoded(
    pixels: Pixels,
    format: Format,
    quality: int,
    alpha: Pixels | None,
    exif: bytes | None,
    marks: Provenance | None,
) -> bytes:
    """Return the bytes of the file."""
    height, width = pixels.shape[:2]
    if max(height, width) > _LARGEST_SIDE[format]:
        raise UsageError(
            f"{format} holds {_LARGEST_SIDE[format]} pixels a side at most, not {width} x {height}",
            "Use --format png, or end the name in .png.",
        )
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if alpha is not None and format == "jpeg":
        image = Image.composite(
            image.convert("RGB"), Image.new("RGB", image.size, "white"), Image.fromarray(alpha)
        )
    elif alpha is not None:
        image = image.convert("RGB")
        image.putalpha(Image.fromarray(alpha))
    options: dict[str, Any] = {} if format == "png" else {"quality": quality}
    if format == "jpeg":
        options["subsampling"] = 0 if quality >= 90 else 2
    if exif is not None and (format != "jpeg" or len(exif) <= _LARGEST_EXIF):
        with suppress(Exception):  # Pillow raises almost anything on damaged EXIF, which costs no picture
            options["exif"] = _resized(exif, width, height)
    if marks is not None:
        options.update(marks.save_options(format))
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def _resized(exif: bytes, width: int, height: int) -> bytes:
    """Return an EXIF block in which no other size of the picture stands than its own."""
    block = Image.Exif()
    block.load(exif)
    for table, sides in _SIZES.items():
        found = block if table is None else block.get_ifd(table)
        for tag, side in zip(sides, (width, height), strict=True):
            if tag in found:
                found[tag] = side
    return block.tobytes()


def resize(pixels: Pixels, size: tuple[int, int], kernel: Kernel = "lanczos") -> Pixels:
    """Resize with a kernel that widens when shrinking, so that nothing aliases.

    Args:
        pixels: uint8 (H, W, 3) or (H, W).
        size: (height, width) wanted, each at least 1.
        kernel: area, bilinear, bicubic or lanczos.

    Raises:
        MystyleError: the result would have more pixels than `LARGEST_PICTURE`.
    """
    height, width = size
    if height * width > LARGEST_PICTURE:
        raise MystyleError(
            f"a picture of {width} x {height} pixels is too large to be made", "Use a smaller photo."
        )
    if pixels.shape[:2] == (height, width):
        return pixels.copy()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.array(image.resize((width, height), _KERNELS[kernel]))


def to_unit(pixels: Pixels) -> NDArray[np.float32]:
    """Turn uint8 (..., H, W, 3) into float32 (..., 3, H, W) in [-1, 1]."""
    return np.ascontiguousarray(
        np.moveaxis(pixels, -1, -3).astype(np.float32) / np.float32(127.5) - np.float32(1)
    )


def to_pixels(unit: NDArray[np.floating[Any]]) -> Pixels:
    """Turn floats (..., 3, H, W) in [-1, 1] into uint8 (..., H, W, 3); values beyond are clipped."""
    scaled = np.rint((np.asarray(unit, dtype=np.float32) + 1) * np.float32(127.5))
    return np.ascontiguousarray(np.moveaxis(np.clip(scaled, 0, 255).astype(np.uint8), -3, -1))
