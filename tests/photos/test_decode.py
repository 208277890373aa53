"""Files of any kind -> upright sRGB pixels, and back."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features
from PIL.PngImagePlugin import PngImageFile

from mystyle_cli.errors import DecodeError, MystyleError, UsageError
from mystyle_cli.photos.decode import decode
from mystyle_cli.photos.encode import Beside, encode, format_of
from mystyle_cli.photos.marks import Provenance
from mystyle_cli.photos.pixels import resize, to_pixels, to_unit
from tests.support.photo_files import UPRIGHT, icc, photo, saved

AVIF = ["AVIF"] if features.check("avif") else []


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(orientation: int) -> None:
    """A photo rotated by EXIF comes out upright, and the EXIF that is kept no longer turns it."""
    stored = photo()
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "maker"
    result = decode(saved(Image.fromarray(stored), "PNG", exif=exif))
    np.testing.assert_array_equal(result.pixels, UPRIGHT[orientation](stored))
    kept = Image.Exif()
    kept.load(result.exif)
    assert kept.get(0x0112, 1) == 1
    assert kept[0x010F] == "maker"


def test_sources_agree(tmp_path: Path) -> None:
    """A path, a string, bytes and a stream give the same photo, named by the digest of the file."""
    data = saved(Image.fromarray(photo()), "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    photos = [decode(path), decode(str(path)), decode(data), decode(io.BytesIO(data))]
    for item in photos:
        np.testing.assert_array_equal(item.pixels, photo())
        assert item.sha256 == hashlib.sha256(data).hexdigest()
    assert photos[0].path == path
    assert photos[2].path is None


def test_grey_is_told() -> None:
    """One channel and three equal channels are grey; a single coloured pixel is not."""
    grey = photo()[..., 0]
    assert decode(saved(Image.fromarray(grey), "PNG")).grey
    three = np.repeat(grey[..., None], 3, axis=2)
    assert decode(saved(Image.fromarray(three), "PNG")).grey
    three[3, 4] = (9, 8, 7)
    assert not decode(saved(Image.fromarray(three), "PNG")).grey


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_alpha_is_kept_apart(mode: str) -> None:
    """Transparency goes to its own plane and the colour below it stays as stored."""
    pixels, alpha = photo(), np.tile(np.arange(32, dtype=np.uint8) * 8, (24, 1))
    image = Image.fromarray(pixels)
    if mode == "P":
        image = Image.fromarray(pixels // 128 * 255).quantize(8)
        expected = np.array(image.convert("RGB"))
        result = decode(saved(image, "PNG", transparency=0))
        np.testing.assert_array_equal(result.alpha == 0, np.asarray(image) == 0)
    else:
        image = image.convert("L").convert(mode) if mode == "LA" else image.convert("RGBA")
        image.putalpha(Image.fromarray(alpha))
        expected = np.array(image.convert("RGB"))
        result = decode(saved(image, "PNG"))
        np.testing.assert_array_equal(result.alpha, alpha)
    np.testing.assert_array_equal(result.pixels, expected)
    assert result.grey == (mode == "LA")


def test_opaque_alpha_is_no_alpha() -> None:
    """An alpha channel that hides nothing is dropped."""
    assert decode(saved(Image.fromarray(photo()).convert("RGBA"), "PNG")).alpha is None


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits(format: str) -> None:
    """16-bit grey is scaled to 8 bits, not cut off at 255."""
    values = np.linspace(0, 65535, 24 * 32).reshape(24, 32).astype(np.uint16)
    result = decode(saved(Image.fromarray(values), format))
    assert np.abs(result.pixels[..., 1].astype(float) - values / 257).max() <= 0.5
    assert result.grey


def test_float_grey() -> None:
    """A float picture in [0, 1] uses the whole range."""
    values = np.linspace(0, 1, 24 * 32, dtype=np.float32).reshape(24, 32)
    result = decode(saved(Image.fromarray(values), "TIFF"))
    assert np.abs(result.pixels[..., 0] - values * 255).max() <= 0.5


def test_cmyk() -> None:
    """CMYK without a profile is converted as ink on paper: red is magenta and yellow."""
    ink = np.zeros((8, 8, 4), dtype=np.uint8)
    ink[..., 1:3] = 255
    pixels = decode(saved(Image.frombytes("CMYK", (8, 8), ink.tobytes()), "TIFF")).pixels
    assert pixels[4, 4, 0] > 200
    assert pixels[4, 4, 1:].max() < 60


def test_icc_profile_is_applied() -> None:
    """Pixels in another colour space come out as the sRGB of the same colour."""
    srgb_d50 = np.array([[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])
    wide = np.array([[0.6097, 0.2053, 0.1492], [0.3111, 0.6257, 0.0632], [0.0195, 0.0609, 0.7446]])
    stored = np.array([[[150, 120, 100], [90, 140, 110], [128, 128, 128], [170, 160, 190]]], dtype=np.uint8)
    linear = np.linalg.solve(srgb_d50, wide @ ((stored[0] / 255.0) ** 2.2).T).T
    expected = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    profile = icc([tuple(wide[:, i]) for i in range(3)], 2.2)
    result = decode(saved(Image.fromarray(stored), "PNG", icc_profile=profile)).pixels
    assert np.abs(result[0] - expected).max() < 3
    assert np.abs(stored[0] - expected).max() > 10  # the profile matters


def test_unusable_profile_is_ignored() -> None:
    """A damaged ICC profile does not stop a photo from being read."""
    result = decode(saved(Image.fromarray(photo()), "PNG", icc_profile=b"nonsense"))
    np.testing.assert_array_equal(result.pixels, photo())


def test_heic(tmp_path: Path) -> None:
    """A phone's HEIC photo is read where the extra is installed."""
    heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "a.heic"
    heif.from_pillow(Image.fromarray(photo(64, 48))).save(path, quality=95)
    result = decode(path)
    assert result.pixels.shape == (64, 48, 3)
    assert np.abs(result.pixels.astype(int) - photo(64, 48)).mean() < 6


def test_heic_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pillow-heif the message says what to install."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(DecodeError) as caught:
        decode(b"\0\0\0\x18ftypheic" + b"\0" * 40)
    assert (
        f"{sys.executable} -m pip install pillow-heif" in caught.value.hint
    )  # in any shell, of any installation


@pytest.mark.parametrize(
    "kind", ["truncated jpeg", "truncated png", "text", "empty", "zeros", "missing", "folder"]
)
def test_what_is_no_picture_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    """Whatever cannot be read raises one error, which names the file and says what to do."""
    path = tmp_path / "bad.jpg"
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    content = {
        "truncated jpeg": saved(noise, "JPEG")[:900],
        "truncated png": saved(noise, "PNG")[:900],
        "text": b"Dear all, this is a letter.\n" * 20,
        "empty": b"",
        "zeros": bytes(4096),
    }
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.write_bytes(content[kind])
    with pytest.raises(DecodeError) as caught:
        decode(path)
    assert "bad.jpg" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("raised", [RuntimeError, struct.error, MemoryError, AssertionError, RecursionError])
def test_whatever_a_decoder_raises_is_the_file_s_error(
    raised: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No exception of Pillow leaves `decode` as anything but one error in one line that names the file."""

    def fail(*_: object) -> None:
        raise raised("planes\nfailed \x1b[31m")

    path = tmp_path / "a.png"
    path.write_bytes(saved(Image.fromarray(photo()), "PNG"))
    monkeypatch.setattr(PngImageFile, "load", fail)
    with pytest.raises(DecodeError, match=r"a\.png: ") as caught:
        decode(path)
    assert caught.value.message.isprintable()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "link loop", "NUL", "long name"])
def test_only_regular_files_are_read(kind: str, tmp_path: Path) -> None:
    """A pipe, device, socket or loop of links is refused at once, by name."""
    path = tmp_path / "bad.jpg"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.relpath(path))
    elif kind == "device":
        path = Path("/dev/zero")
    elif kind == "link loop":
        path.symlink_to(path)
    elif kind == "NUL":
        path = tmp_path / "bad\0.jpg"
    else:
        path = tmp_path / ("bad" * 200)
    with pytest.raises(DecodeError) as caught:
        decode(path)
    assert str(path) in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("source", ["path", "stream"])
def test_sizes_are_bounded_before_reading(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of too many bytes, and a picture of too many pixels, are refused before they are decoded."""
    data = saved(Image.fromarray(photo()), "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with monkeypatch.context() as patch:
        patch.setattr("mystyle_cli.photos.decode.LARGEST_FILE", len(data) - 1)
        with pytest.raises(DecodeError, match="too many for a photo"):
            decode(path if source == "path" else io.BytesIO(data))
    monkeypatch.setattr("mystyle_cli.photos.pixels.LARGEST_PICTURE", 24 * 32 - 1)
    monkeypatch.setattr("mystyle_cli.photos.decode.LARGEST_PICTURE", 24 * 32 - 1)
    monkeypatch.setattr(PngImageFile, "load", lambda self: pytest.fail("it was decoded"))
    with pytest.raises(DecodeError, match="too many pixels"):
        decode(path if source == "path" else io.BytesIO(data))


def test_no_picture_is_made_that_is_too_large() -> None:
    """A size that nothing could hold is refused, not tried."""
    with pytest.raises(MystyleError, match="53000 x 40000"):
        resize(photo(), (40_000, 53_000))


@pytest.mark.parametrize("format", ["EPS", "TGA", "ICO", "PCX", "SGI"])
def test_only_formats_of_photos_are_opened(format: str) -> None:
    """What Pillow knows besides photos, PostScript among it, is refused under any name."""
    with pytest.raises(DecodeError, match="known format"):
        decode(saved(Image.fromarray(photo()), format))


def test_a_damaged_picture_is_not_called_unknown() -> None:
    """A PNG whose pixels have a wrong checksum is called a damaged PNG."""
    data = saved(Image.fromarray(photo()), "PNG")
    header = struct.pack(">IIBBBBB", 32, 24, 8, 2, 0, 0, 0)
    with pytest.raises(DecodeError, match="damaged PNG"):
        decode(data[:8] + struct.pack(">I", 13) + b"IHDR" + header + b"\0\0\0\1" + data[33:])


@pytest.mark.parametrize(("format", "side"), [("webp", 16_384), ("jpeg", 65_536)])
def test_a_side_that_a_format_cannot_hold_is_said(format: Any, side: int) -> None:
    """Sides above a format's own limit are refused by name, not by its encoder."""
    with pytest.raises(UsageError, match=f"{format} holds"):
        encode(np.zeros((2, side, 3), np.uint8), io.BytesIO(), format=format)


def test_exif_that_has_no_room_does_not_cost_the_picture() -> None:
    """A JPEG is written without an EXIF block that does not fit into it."""
    target = io.BytesIO()
    encode(photo(), target, Beside(exif=b"Exif\0\0" + bytes(70_000)), format="jpeg")
    assert decode(target.getvalue()).exif is None


@settings(max_examples=60)
@given(st.sampled_from(["PNG", "JPEG", "TIFF", "WEBP", "GIF", *AVIF]), st.data())
def test_damaged_files_never_escape_as_other_errors(format: str, data: st.DataObject) -> None:
    """A file with flipped or missing bytes is read or refused, nothing else."""
    content = bytearray(saved(Image.fromarray(photo()), format))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(content)))
    try:
        result = decode(bytes(content[:cut]))
    except DecodeError:
        return
    assert result.pixels.ndim == 3
    assert result.pixels.dtype == np.uint8


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.jpg", "a.JPEG"])
def test_encode_writes_what_the_ending_says(name: str, tmp_path: Path) -> None:
    """The format follows the ending; PNG keeps every bit, the others come close."""
    target = tmp_path / name
    encode(photo(), target)
    result = decode(target).pixels
    assert np.abs(result.astype(int) - photo()).mean() < (0.01 if name == "a.png" else 4)
    assert [item.name for item in tmp_path.iterdir()] == [name]


def test_encode_refuses_other_endings(tmp_path: Path) -> None:
    """An ending that cannot be written is a usage error."""
    with pytest.raises(UsageError):
        encode(photo(), tmp_path / "a.bmp")
    with pytest.raises(UsageError):
        format_of(Path("a"))


def test_encode_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where writing fails the old file stays whole and no part of the new one is left."""
    target = tmp_path / "a.png"
    encode(photo(), target)
    before = target.read_bytes()

    def fail(handle: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        encode(photo(seed=1), target)
    monkeypatch.undo()
    assert target.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_encode_carries_alpha_exif_and_marks(tmp_path: Path) -> None:
    """Alpha, EXIF and provenance survive together."""
    exif = Image.Exif()
    exif[0x010F] = "maker"
    marks = Provenance(
        "edit", "a", "p", 0.1, 1, "0", "compositeWithTrainedAlgorithmicMedia", "2026-01-01T00:00:00Z"
    )
    alpha = np.full((24, 32), 128, dtype=np.uint8)
    encode(photo(), tmp_path / "a.png", Beside(alpha, exif.tobytes(), marks))
    result = decode(tmp_path / "a.png")
    np.testing.assert_array_equal(result.alpha, alpha)
    np.testing.assert_array_equal(result.pixels, photo())
    assert result.exif is not None
    assert b"maker" in result.exif


def test_jpeg_lays_alpha_on_white() -> None:
    """Where a format has no alpha, what is transparent turns white, not black."""
    buffer = io.BytesIO()
    encode(np.zeros((16, 16, 3), np.uint8), buffer, Beside(np.zeros((16, 16), np.uint8)), format="jpeg")
    assert decode(buffer.getvalue()).pixels.min() > 250


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_units_and_pixels_are_inverse(seed: int) -> None:
    """Every 8-bit value survives the way to [-1, 1] and back, in a batch or alone."""
    pixels = np.random.default_rng(seed).integers(0, 256, (2, 5, 7, 3), dtype=np.uint8)
    unit = to_unit(pixels)
    assert unit.shape == (2, 3, 5, 7)
    assert unit.dtype == np.float32
    assert np.abs(unit).max() <= 1
    np.testing.assert_array_equal(to_pixels(unit), pixels)
    np.testing.assert_array_equal(to_unit(pixels[0]), unit[0])


def test_to_pixels_clips() -> None:
    """Values beyond the range end at black and white."""
    assert to_pixels(np.full((3, 1, 1), 1.5)).max() == 255
    assert to_pixels(np.full((3, 1, 1), -7.0)).min() == 0


def test_area_resize_is_the_block_mean() -> None:
    """The area kernel averages whole blocks."""
    pixels = np.random.default_rng(1).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    expected = pixels.reshape(3, 4, 5, 4, 3).mean((1, 3))
    assert np.abs(resize(pixels, (3, 5), "area") - expected).max() <= 1
