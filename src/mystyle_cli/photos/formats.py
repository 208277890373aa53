"""What a file is, by its bytes, and what of it a decoder should see."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from PIL import TiffImagePlugin

# endings of what cameras write before they make a picture of it
RAW_ENDINGS: Final = frozenset(
    f".{ending}"
    for ending in (
        *("3fr", "arw", "cr2", "cr3", "dng", "erf", "iiq", "kdc", "mef", "mos", "nef", "nrw", "orf", "pef"),
        *("raf", "rw2", "sr2", "srf", "srw", "x3f"),
    )
)

RAW: Final = "camera RAW"

_PHOTOS = {  # formats that are read; a file that begins so and cannot be opened is damaged
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n": "PNG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"BM": "BMP",
    b"GIF8": "GIF",
}
_OTHERS = {  # what people take for photos, or have among them
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL \r\n\x87\n": "JPEG XL",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"8BPS": "Photoshop",
    b"%PDF": "PDF",
    b"v/1\x01": "OpenEXR",
    b"#?RADIANCE": "Radiance HDR",
    b"FUJIFILMCCD-RAW": RAW,
    b"IIRO": RAW,
    b"IIRS": RAW,
    b"MMOR": RAW,
    b"IIU\0": RAW,
    b"FOVb": RAW,
}
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"), "HEIC"),
    **dict.fromkeys((b"isom", b"iso2", b"mp41", b"mp42", b"qt  ", b"M4V ", b"3gp4", b"3gp5"), "video"),
    b"crx ": RAW,
}
READ: Final = frozenset({*_PHOTOS.values(), "WebP", "AVIF", "HEIC"})  # names of the formats that are read
_PIXEL_CHUNKS = frozenset(
    name.encode()
    for name in (
        *("IHDR", "PLTE", "IDAT", "IEND", "tRNS", "eXIf", "acTL", "fcTL", "fdAT"),
        *("gAMA", "cHRM", "sRGB", "iCCP", "cICP", "sBIT"),
    )
)
_TURNING_TEXTS = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")  # texts that may say how it is turned
_LARGEST_TEXT = 1 << 20  # bytes, unpacked; Pillow refuses a whole picture for more
_FILLINGS = (bytes(4096), b"\x55\xaa" * 2048)  # what might have stood in the missing end of a JPEG


def kind_of(data: bytes, ending: str = "") -> str | None:
    """Return the format that a file begins as one of, or None; its ending tells some cameras' from TIFF."""
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12])
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    kind = next((kind for start, kind in {**_PHOTOS, **_OTHERS}.items() if data.startswith(start)), None)
    return RAW if kind == "TIFF" and (ending.lower() in RAW_ENDINGS or _is_raw(data)) else kind


def _is_raw(data: bytes) -> bool:
    """Tell a camera's file from a TIFF: it says so, or its first picture is a small copy of one below it."""
    with suppress(Exception):
        directory = TiffImagePlugin.ImageFileDirectory_v2(data[:8])
        stream = io.BytesIO(data)
        stream.seek(directory.next)
        directory.load(stream)
        return (
            data[8:10] == b"CR" or 50706 in directory or bool(directory.get(254, 0) & 1 and 330 in directory)
        )
    return False


def bare_png(data: bytes) -> bytes:
    """Return a PNG without what its pixels do not need: texts, and side matters with a wrong checksum.

    A file that ends too early, or whose pixels are damaged, stays for the decoder to refuse.
    """
    kept = [data[:8]]
    depth, colours, end = 8, 2, 8
    for name, body, whole, sound in _chunks(data):
        end += len(whole)
        if name == b"IHDR" and len(body) == 13:
            depth, colours = body[8], body[9]
        if name == b"tRNS" and sound and len(body) in (2, 6) and colours in (0, 2):
            kept.append(_chunk(name, _as_decoded(body, depth, colours)))
        # a capital letter: without that chunk the picture cannot be shown
        elif name[:1].isupper() or (sound and (name in _PIXEL_CHUNKS or _turns(name, body))):
            kept.append(whole)
        if name == b"IEND":
            return b"".join(kept)
    return b"".join([*kept, data[end:]])


def _as_decoded(key: bytes, depth: int, colours: int) -> bytes:
    """Return a transparent colour as Pillow compares it: with samples that it has made 8 bits wide."""
    values = struct.unpack(f">{len(key) // 2}H", key)
    if depth in (2, 4):
        values = tuple(value * 255 // (2**depth - 1) for value in values)
    elif depth == 16 and colours == 2:
        values = tuple(value >> 8 for value in values)
    return struct.pack(f">{len(values)}H", *(min(value, 0xFFFF) for value in values))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes, bool]]:
    """Yield the name, body and bytes of each whole chunk of a PNG, and whether its checksum is right."""
    start = 8
    while start + 12 <= len(data):
        (length,) = struct.unpack(">I", data[start : start + 4])
        whole = data[start : start + 12 + length]
        if len(whole) < 12 + length:
            return
        name, body = whole[4:8], whole[8:-4]
        yield name, body, whole, zlib.crc32(whole[4:-4]) == struct.unpack(">I", whole[-4:])[0]
        start += len(whole)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _turns(name: bytes, body: bytes) -> bool:
    """Tell whether a text may say how the picture is turned, and is small enough to be read."""
    if name == b"zTXt" and body.startswith(_TURNING_TEXTS[0]):
        with suppress(zlib.error):
            packed = body[len(_TURNING_TEXTS[0]) + 1 :]
            # unpacks no more
            return len(zlib.decompressobj().decompress(packed, _LARGEST_TEXT)) < _LARGEST_TEXT
        return False
    packed_text = name == b"iTXt" and body[body.find(0) + 1 :][:1] != b"\0"
    plain = name in (b"tEXt", b"iTXt") and body.startswith(_TURNING_TEXTS) and not packed_text
    return plain and len(body) < _LARGEST_TEXT


def cicp(data: bytes) -> tuple[int, int] | None:
    """Return the code points of primaries and transfer that a PNG, AVIF or HEIC states, or None."""
    with suppress(Exception):
        return _cicp_of_png(data) if data.startswith(b"\x89PNG") else _cicp_of_boxes(data)
    return None


def _cicp_of_png(data: bytes) -> tuple[int, int] | None:
    for name, body, _, sound in _chunks(data):
        if name == b"cICP" and sound:
            return body[0], body[1]
        if name == b"IDAT":
            break  # what counts stands before the pixels
    return None


def _cicp_of_boxes(data: bytes) -> tuple[int, int] | None:
    """Read the colour of the main picture: `pitm` names it, `ipma` gives it properties, of `ipco`."""
    meta = dict(_boxes(next(body for name, body in _boxes(data) if name == b"meta")[4:]))
    inner = dict(_boxes(meta[b"iprp"]))
    properties = list(_boxes(inner[b"ipco"]))
    main = int.from_bytes(meta[b"pitm"][4 : 6 if meta[b"pitm"][0] == 0 else 8], "big")
    for index in _properties_of(inner[b"ipma"], main):
        name, body = properties[index - 1]
        if name == b"colr" and body[:4] == b"nclx":
            primaries, transfer = struct.unpack(">HH", body[4:8])
            return primaries, transfer
    return None


def _properties_of(table: bytes, wanted: int) -> list[int]:
    """Return the numbers, from 1, of an item's properties."""
    wide_ids, wide = table[0] >= 1, bool(table[3] & 1)
    (count,) = struct.unpack(">I", table[4:8])
    start = 8
    for _ in range(min(count, 4096)):
        size = 4 if wide_ids else 2
        item, number = int.from_bytes(table[start : start + size], "big"), table[start + size]
        start += size + 1
        step = 2 if wide else 1
        indices = [
            int.from_bytes(table[byte : byte + step], "big") & (0x7FFF if wide else 0x7F)
            for byte in range(start, start + step * number, step)
        ]
        if item == wanted:
            return [index for index in indices if index]
        start += step * number
    return []


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and body of each box of a file or box of ISO/IEC 14496-12."""
    at = 0
    while at + 8 <= len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        start = 8
        if size == 1:  # 64 bits follow
            (size,), start = struct.unpack(">Q", data[at + 8 : at + 16]), 16
        size = size or len(data) - at  # 0: up to the end
        if size < start:
            return
        yield name, data[at + start : at + size]
        at += size


def ended_jpegs(data: bytes) -> tuple[bytes, bytes]:
    """Return a JPEG without an end, ended in two ways that look alike only where no pixel was missing."""
    kept = data.rstrip(b"\xff")  # the first half of the end
    first, second = (kept + filling + b"\xff\xd9" for filling in _FILLINGS)
    return first, second
