"""Every kind of file that people have: read as it is meant, or refused by name."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, TiffImagePlugin, features

from mystyle_cli.errors import DecodeError
from mystyle_cli.photos import decode as decoding
from mystyle_cli.photos import pixels as photos_pixels
from mystyle_cli.photos.decode import decode
from tests.support.photo_files import UPRIGHT, icc, photo, saved

SRGB_D50 = [(0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)]
GREY = np.linspace(0, 65535, 24 * 32).reshape(24, 32).astype(np.uint16)
AVIF = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


def chunk(name: bytes, body: bytes, checksum: int | None = None) -> bytes:
    """Return a chunk of a PNG, its checksum right unless another is given."""
    right = zlib.crc32(name + body) if checksum is None else checksum
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", right)


def png(rows: np.ndarray, depth: int, colours: int, *chunks: bytes) -> bytes:
    """Return a PNG of samples uint8 or uint16 (H, W) or (H, W, C), with more chunks before its pixels."""
    height, width = rows.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    raw = b"".join(b"\0" + row.astype(">u2" if depth == 16 else "u1").tobytes() for row in rows)
    body = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def with_chunk(data: bytes, extra: bytes) -> bytes:
    """Return a PNG with something after its header."""
    return data[:33] + extra + data[33:]


def linear_light(pixels: np.ndarray) -> np.ndarray:
    """Return the light in [0, 1] that sRGB pixels stand for."""
    values = pixels / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def shown(light: np.ndarray) -> np.ndarray:
    """Return the sRGB values, 0 to 255, of light in [0, 1]."""
    light = light.clip(0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * 255


def off(data: bytes, expected: np.ndarray) -> float:
    """Return by how many grey levels a file is read otherwise than expected, at most."""
    return float(np.abs(decode(data).pixels.astype(float) - expected).max())


def test_texts_and_faults_beside_the_pixels_do_not_matter() -> None:
    """Megabytes of packed text, a comment or time stamp with a wrong checksum: the pixels are sound."""
    plain = saved(Image.fromarray(photo()), "PNG")
    for extra in (
        chunk(b"zTXt", b"workflow\0\0" + zlib.compress(bytes(3 << 20))),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(3 << 20))),
        chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(bytes(3 << 20))),
        chunk(b"tEXt", b"a\0b", 1),
        chunk(b"tIME", b"1234567", 1),
        chunk(b"gAMA", b"\0\0\0\1", 1),
        chunk(b"tEXt", b"a\0" + b"b" * 100) * 2000,
    ):
        assert off(with_chunk(plain, extra), photo()) == 0


def test_texts_that_turn_a_picture_are_heeded() -> None:
    """The turn that stands in an old program's text, or in XMP, is applied."""
    plain = saved(Image.fromarray(photo()), "PNG")
    block = b"Exif\0\0II*\0" + struct.pack("<IHHHIHH", 8, 1, 0x0112, 3, 1, 6, 0) + b"\0" * 4
    text = f"\nexif\n{len(block):8}\n{block.hex()}\n".encode()
    old = chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))
    xmp = chunk(b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>')
    for extra in (old, xmp):
        assert off(with_chunk(plain, extra), UPRIGHT[6](photo())) == 0


@pytest.mark.parametrize("lost", [1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_without_its_end_is_read_where_no_pixel_is_missing(lost: int, progressive: bool) -> None:
    """The last bytes of a JPEG only say that it ends; without a part of its pixels it is refused."""
    whole = saved(Image.fromarray(photo(64, 64)), "JPEG", quality=95, progressive=progressive)
    np.testing.assert_array_equal(decode(whole[:-lost]).pixels, decode(whole).pixels)
    for cut in (12, len(whole) // 3):
        with pytest.raises(DecodeError, match="damaged or cut off"):
            decode(whole[:-cut])


@pytest.mark.parametrize("mode", ["grey", "grey 4 bit", "colour 16 bit", "colour"])
def test_a_key_colour_is_what_is_transparent(mode: str) -> None:
    """A PNG that names one colour as transparent keeps all others, at any depth."""
    if mode == "grey":
        data = png(GREY, 16, 0, chunk(b"tRNS", struct.pack(">H", int(GREY[5, 6]))))
        values, clear = GREY / 257, GREY[5, 6] == GREY
    elif mode == "grey 4 bit":
        nibbles = np.tile(np.arange(16, dtype=np.uint8), (24, 2))
        packed = nibbles[:, ::2] << 4 | nibbles[:, 1::2]
        data = png(packed, 4, 0, chunk(b"tRNS", struct.pack(">H", 3)))
        data = data.replace(struct.pack(">IIBB", 16, 24, 4, 0), struct.pack(">IIBB", 32, 24, 4, 0))
        header = struct.pack(">IIBBBBB", 32, 24, 4, 0, 0, 0, 0)
        data = data[:8] + chunk(b"IHDR", header) + data[33:]
        values, clear = nibbles * 17.0, nibbles == 3
    else:
        deep = mode.endswith("16 bit")
        stored = photo().astype(np.uint16) * (257 if deep else 1)
        key = struct.pack(">3H", *stored[5, 6].tolist())
        data = png(stored, 16 if deep else 8, 2, chunk(b"tRNS", key))
        values, clear = photo(), (photo() == photo()[5, 6]).all(axis=2)
    read = decode(data)
    assert clear.any()
    assert read.alpha is not None
    np.testing.assert_array_equal(read.alpha == 0, clear)
    expected = values if values.ndim == 3 else np.repeat(values[..., None], 3, axis=2)
    assert np.abs(read.pixels - expected)[~clear].max() <= 0.5


def tiff(values: np.ndarray, **tags: int) -> bytes:
    """Return a TIFF of grey values with other tags, by name, than Pillow writes."""
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for name, value in tags.items():
        info[{"photometric": 262, "bits": 258}[name]] = value
    return saved(Image.fromarray(values), "TIFF", tiffinfo=info)


def test_floats_with_numbers_that_are_none() -> None:
    """NaN counts as black and infinities as black and white; a few highlights beyond white darken nothing."""
    values = np.linspace(0, 1, 24 * 32, dtype=np.float32).reshape(24, 32)
    expected = np.repeat(values[..., None] * 255, 3, axis=2)
    odd = values.copy()
    odd[0, :3] = np.nan, np.inf, -np.inf
    odd[0, 3:5] = 3.5, -2.0
    expected[0, :5] = np.array([0, 255, 0, 255, 0])[:, None]
    assert off(saved(Image.fromarray(odd), "TIFF"), expected) <= 0.5
    with pytest.raises(DecodeError, match=r"picture: none of its values is a number"):
        decode(saved(Image.fromarray(np.full((8, 8), np.nan, np.float32)), "TIFF"))


@pytest.mark.parametrize("white", [255, 65535, 2**31 - 1])
def test_thirty_two_bits(white: int) -> None:
    """Grey of 32 bits is scaled by the range that it uses."""
    share = np.linspace(0, 1, 24 * 32).reshape(24, 32)
    values = (share * white).astype(np.int32)
    assert off(saved(Image.fromarray(values), "TIFF"), np.repeat(share[..., None] * 255, 3, axis=2)) <= 1


def test_sixteen_bits_with_black_for_white() -> None:
    """A negative, whose smallest value is white by its tag, is shown as it is meant."""
    data = bytearray(saved(Image.fromarray(GREY), "TIFF"))
    place = data.find(struct.pack("<HHI", 262, 3, 1)) + 8
    data[place] = 0
    assert off(bytes(data), np.repeat(255 - GREY[..., None] / 257, 3, axis=2)) <= 0.5


@pytest.mark.parametrize("name", [b"test", b"sRGB", b""])
def test_a_profile_is_honoured_whatever_its_name(name: bytes) -> None:
    """Linear light is shown as bright as it is, with a profile called sRGB, or one that has no name."""
    light = linear_light(photo())
    stored = np.rint(light * 255).astype(np.uint8)
    profile = icc(SRGB_D50, 1.0)
    profile = profile.replace(b"desc", b"dexc") if not name else profile.replace(b"test\0", name + b"\0")
    assert off(saved(Image.fromarray(stored), "PNG", icc_profile=profile), shown(stored / 255)) <= 2
    assert np.abs(stored - photo().astype(float)).max() > 40


def test_srgb_itself_changes_no_bit() -> None:
    """The usual profile of sRGB leaves every value as it is."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert off(saved(Image.fromarray(photo()), "PNG", icc_profile=profile), photo()) == 0


def test_grey_stays_grey_under_a_profile() -> None:
    """A grey photo with a profile for colours is converted, and is still grey."""
    profile = icc(SRGB_D50, 1.0)
    stored = photo()[..., 0]
    read = decode(saved(Image.fromarray(stored), "PNG", icc_profile=profile))
    assert read.grey
    assert np.abs(read.pixels[..., 0] - shown(stored / 255)).max() <= 2


def places(*colours: tuple[float, float]) -> bytes:
    """Return the body of a PNG's cHRM: white, red, green and blue."""
    return struct.pack(">8I", *(round(value * 100_000) for place in colours for value in place))


D65, P3 = (0.3127, 0.3290), ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06))


def test_gamma_and_primaries_of_a_png() -> None:
    """A PNG that says how its numbers stand for light is shown so; sRGB's own 1/2.2 changes nothing."""
    plain = saved(Image.fromarray(photo()), "PNG")
    linear = with_chunk(plain, chunk(b"gAMA", struct.pack(">I", 100_000)))
    assert off(linear, shown(photo() / 255)) <= 0.51
    assert off(with_chunk(plain, chunk(b"gAMA", struct.pack(">I", 45_455))), photo()) == 0
    assert off(with_chunk(plain, chunk(b"gAMA", struct.pack(">I", 0))), photo()) == 0
    assert (
        off(with_chunk(plain, chunk(b"sRGB", b"\0") + chunk(b"gAMA", struct.pack(">I", 100_000))), photo())
        == 0
    )
    assert off(with_chunk(plain, chunk(b"sBIT", b"\5\5\5")), photo()) == 0
    grey = png(GREY, 16, 0, chunk(b"gAMA", struct.pack(">I", 100_000)))
    assert off(grey, np.repeat(shown(GREY / 65535)[..., None], 3, axis=2)) <= 0.51
    wide = with_chunk(plain, chunk(b"cHRM", places(D65, *P3)))
    assert off(wide, in_p3(photo())) <= 1.01


def in_p3(pixels: np.ndarray) -> np.ndarray:
    """Return the sRGB values of pixels that are of Display P3; the matrix is that of CSS Color 4."""
    to_srgb = np.array(
        [[1.2249401, -0.2249402, 0.0], [-0.0420569, 1.0420571, 0.0], [-0.0196376, -0.0786507, 1.0982884]]
    )
    return shown(linear_light(pixels) @ to_srgb.T)


def test_display_p3_by_code_points() -> None:
    """A PNG whose cICP names Display P3 is shown in its colours; HDR is refused by name."""
    plain = saved(Image.fromarray(photo()), "PNG")
    assert off(with_chunk(plain, chunk(b"cICP", bytes([12, 13, 0, 1]))), in_p3(photo())) <= 1.01
    for transfer, name in ((16, "PQ"), (18, "HLG")):
        with pytest.raises(DecodeError, match=rf"the picture: it is an HDR picture \({name}\)"):
            decode(with_chunk(plain, chunk(b"cICP", bytes([9, transfer, 0, 1]))))


def recoded(data: bytes, primaries: int, transfer: int) -> bytes:
    """Return an AVIF or HEIC whose first statement of colours says others."""
    place = data.index(b"colrnclx") + 8
    return data[:place] + struct.pack(">HH", primaries, transfer) + data[place + 4 :]


@AVIF
def test_code_points_of_avif() -> None:
    """What the main picture of an AVIF states of its colours is heeded."""
    data = saved(Image.fromarray(photo(64, 64)), "AVIF", quality=100, subsampling="4:4:4")
    stored = decode(data).pixels
    assert np.abs(stored - photo(64, 64).astype(float)).mean() < 2
    assert off(recoded(data, 12, 13), in_p3(stored)) <= 1.01
    with pytest.raises(DecodeError, match=r"HDR picture \(PQ\)"):
        decode(recoded(data, 9, 16))


def test_code_points_of_heic() -> None:
    """So it is in a HEIC, where the extra is installed."""
    heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    heif.from_pillow(Image.fromarray(photo(64, 64))).save(buffer, quality=95)
    data = buffer.getvalue()
    stored = decode(data).pixels
    assert off(recoded(data, 12, 13), in_p3(stored)) <= 1.01
    with pytest.raises(DecodeError, match=r"HDR picture \(HLG\)"):
        decode(recoded(data, 9, 18))


def test_a_camera_set_to_adobe_rgb() -> None:
    """A JPEG without a profile whose EXIF says Adobe RGB (R03) is shown in its colours."""
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    plain = saved(Image.fromarray(photo()), "JPEG", quality=100, subsampling=0)
    read = decode(saved(Image.fromarray(photo()), "JPEG", quality=100, subsampling=0, exif=exif)).pixels
    to_srgb = np.array([[1.3983557, -0.3983557, 0], [0, 1, 0], [0, -0.0429290, 1.0429290]])
    expected = shown((decode(plain).pixels / 255) ** 2.2 @ to_srgb.T)
    assert np.abs(read - expected).max() <= 1.5
    assert np.abs(read - photo().astype(float)).max() > 20


FLAT = Image.new("RGB", (32, 24), (10, 200, 30))
FORMATS = ["GIF", "PNG", "WEBP", "TIFF", pytest.param("AVIF", marks=AVIF)]


@pytest.mark.parametrize("format", FORMATS)
def test_the_first_picture_that_shows_something_is_used_and_told(format: str) -> None:
    """Of an animation or of pages the first is used, unless it is of one colour; that is said."""
    frames = [Image.fromarray(photo(seed=seed)) for seed in range(3)]
    options = {"lossless": True} if format == "WEBP" else {"quality": 100} if format == "AVIF" else {}

    def several(first: Image.Image, *others: Image.Image) -> decoding.Photo:
        return decode(saved(first, format, save_all=True, append_images=list(others), **options))

    for read, seed, word in (
        (several(*frames), 0, "first"),
        (several(FLAT, *frames), 0, "2."),
        (several(FLAT, Image.new("RGB", (32, 24)), frames[2]), 2, "3."),
    ):
        away = [np.abs(read.pixels - photo(seed=other).astype(float)).mean() for other in range(3)]
        assert int(np.argmin(away)) == seed
        assert read.notes == (f"the file holds several pictures: the {word} is used",)
    assert decode(saved(frames[0], format, **options)).notes == ()


def test_small_copies_among_the_pages_of_a_tiff_do_not_count() -> None:
    """A thumbnail before or after the page is neither used nor told of."""
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[254] = 1
    stream = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(stream, True) as pages:
        Image.fromarray(photo(6, 8)).save(pages, "TIFF", tiffinfo=info)
        pages.newFrame()
        Image.fromarray(photo()).save(pages, "TIFF")
        pages.newFrame()
        Image.fromarray(photo(6, 8)).save(pages, "TIFF", tiffinfo=info)
    read = decode(stream.getvalue())
    np.testing.assert_array_equal(read.pixels, photo())
    assert read.notes == ()


def test_a_stereo_photo_says_so_and_a_phone_s_does_not() -> None:
    """The first picture of an MPO is used; only a second view is told of, not a copy or a gain map."""
    data = saved(
        Image.fromarray(photo()), "MPO", save_all=True, append_images=[Image.fromarray(photo(seed=1))]
    )
    read = decode(data)
    assert np.abs(read.pixels - photo().astype(float)).mean() < 8
    assert read.notes == ()
    entry = data.index(b"MPF\0")
    place = data.index(struct.pack("<I", 0x030000), entry + 40)
    stereo = bytearray(data)
    stereo[place + 16 : place + 20] = struct.pack("<I", 0x020002)
    assert decode(bytes(stereo)).notes == ("the file holds several pictures: the first is used",)


def exif_block(*entries: bytes) -> bytes:
    """Return an EXIF block of raw entries, its rationals of -1/0 at the end."""
    place = 8 + 2 + 12 * len(entries) + 4
    table = b"".join(entry if len(entry) == 12 else entry + struct.pack("<I", place) for entry in entries)
    return (
        b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + table + b"\0" * 4 + struct.pack("<ii", -1, 0)
    )


def test_exif_that_cannot_be_written_again_still_turns() -> None:
    """A resolution of -1/0 beside the turn costs neither the turn nor the photo."""
    block = exif_block(struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0), struct.pack("<HHI", 0x011A, 10, 1))
    assert off(saved(Image.fromarray(photo()), "PNG", exif=block[6:]), UPRIGHT[6](photo())) == 0


def test_the_old_size_is_not_kept() -> None:
    """What EXIF says of the pixels' number holds no longer when a photo is turned or enlarged."""
    exif = Image.Exif()
    exif[0x0100] = exif[0x0101] = 4000
    exif[0x010F] = "maker"
    exif.get_ifd(0x8769)[0xA002] = 4000
    exif.get_ifd(0x8769)[0xA003] = 3000
    kept = Image.Exif()
    kept.load(decode(saved(Image.fromarray(photo()), "JPEG", exif=exif)).exif)
    assert kept[0x010F] == "maker"
    assert not {0x0100, 0x0101} & set(kept)
    assert not {0xA002, 0xA003} & set(kept.get_ifd(0x8769))


OTHERS = {
    "a.jxl": (b"\xff\x0a" + bytes(40), "JPEG XL"),
    "b.jxl": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40), "JPEG XL"),
    "a.jp2": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40), "JPEG 2000"),
    "a.psd": (b"8BPS\0\1" + bytes(40), "Photoshop"),
    "a.pdf": (b"%PDF-1.7\n", "PDF"),
    "a.mov": (b"\0\0\0\x14ftypqt  " + bytes(40), "video"),
    "a.exr": (b"v/1\x01" + bytes(40), "OpenEXR"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_photo_format_is_refused_by_its_name(name: str, tmp_path: Path) -> None:
    """A file of a known kind that is not read is called what it is, whatever its ending."""
    data, kind = OTHERS[name]
    for path in (tmp_path / name, tmp_path / "a.jpg"):
        path.write_bytes(data)
        with pytest.raises(DecodeError, match=rf"{path.name}: is a {kind} file, which is not read") as caught:
            decode(path)
        assert "JPEG" in caught.value.hint


def dng(height: int = 64, width: int = 96) -> bytes:
    """Return a camera's file of a grey ramp: 16 bit, one colour behind each pixel (RGGB)."""
    info = TiffImagePlugin.ImageFileDirectory_v2()
    numbers = {262: 32803, 33421: (2, 2), 50706: b"\1\4\0\0", 50707: b"\1\1\0\0", 33422: b"\0\1\1\2"}
    matrix = [TiffImagePlugin.IFDRational(round(v * 10000), 10000) for v in np.eye(3).ravel().tolist()]
    info.tagtype.update({50706: 1, 50707: 1, 33422: 1, 33421: 3, 50721: 10, 50778: 3, 50728: 5})
    for tag, value in {**numbers, 50721: tuple(matrix), 50778: 21, 50708: "Test"}.items():
        info[tag] = value
    info[50728] = (
        TiffImagePlugin.IFDRational(1),
        TiffImagePlugin.IFDRational(1),
        TiffImagePlugin.IFDRational(1),
    )
    values = np.tile(np.linspace(0, 65535, width).astype(np.uint16), (height, 1))
    return saved(Image.fromarray(values), "TIFF", tiffinfo=info)


def test_a_camera_s_file_is_developed_by_the_extra_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Camera RAW is never taken for the small TIFF in it: it needs the extra, and says which."""
    (tmp_path / "a.tif").write_bytes(dng())
    (tmp_path / "b.nef").write_bytes(saved(Image.fromarray(photo()), "TIFF"))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "rawpy", None)
        for name in ("a.tif", "b.nef"):
            with pytest.raises(DecodeError, match=f"{name}: camera RAW needs the optional rawpy") as caught:
                decode(tmp_path / name)
            assert "pip install rawpy" in caught.value.hint


def test_a_camera_s_file_is_developed(tmp_path: Path) -> None:
    """With the extra a camera's file becomes a picture of its size, dark where it is dark."""
    pytest.importorskip("rawpy")
    (tmp_path / "a.dng").write_bytes(dng())
    pixels = decode(tmp_path / "a.dng").pixels
    assert pixels.shape == (64, 96, 3)
    middle = pixels[32].mean(axis=1)
    assert middle[8] < middle[40] < middle[80]
    with pytest.raises(DecodeError, match="damaged or cut off"):
        decode(dng()[:400])


def test_libraries_write_nothing_to_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    """A damaged TIFF, of which libtiff has words of its own, is refused in one line."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for compression in ("tiff_lzw", "tiff_deflate"):
        data = bytearray(saved(Image.fromarray(noise), "TIFF", compression=compression))
        middle = len(data) // 2
        data[middle : middle + 400] = noise.tobytes()[:400]
        with pytest.raises(DecodeError, match="damaged"):
            decode(bytes(data))
    assert capfd.readouterr().err == ""


def test_a_jpeg_of_too_many_pixels_is_read_smaller_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit a JPEG is decoded at half its size, another format refused with the limit."""
    large = np.repeat(np.repeat(photo(64, 64), 2, axis=0), 2, axis=1)
    monkeypatch.setattr(photos_pixels, "LARGEST_PICTURE", 64 * 64)
    monkeypatch.setattr(decoding, "LARGEST_PICTURE", 64 * 64)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 32)
    read = decode(saved(Image.fromarray(large), "JPEG", quality=95))
    assert read.pixels.shape == (64, 64, 3)
    assert np.abs(read.pixels - photo(64, 64).astype(float)).mean() < 4
    assert read.notes[0].startswith("128 x 128 pixels are more than")
    for refused in (saved(Image.fromarray(large), "PNG"), saved(Image.fromarray(large), "WEBP")):
        with pytest.raises(DecodeError, match="too many pixels"):
            decode(refused)
    monkeypatch.setattr(decoding, "LARGEST_JPEG", 128 * 128 - 1)
    with pytest.raises(DecodeError, match="too many pixels"):
        decode(saved(Image.fromarray(large), "JPEG"))
