"""Which kind of file this is, by its content; its name is never believed."""

from __future__ import annotations

import struct
from typing import Literal

from mystyle_cli.checkpoints.torch_files import MAGIC
from mystyle_cli.checkpoints.windows import Refused, Window

Kind = Literal["pickle", "archive", "row", "safetensors", "numpy", "onnx"]

HEAD = 512  # bytes looked at
ROW = b"\x8a\x0a" + MAGIC.to_bytes(10, "little")
PAGE = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<script", b"<body")
UNPACK = "unpack it and give the file inside"
OTHERS = {
    b"\x1f\x8b": ("is compressed with gzip", UNPACK),
    b"BZh": ("is compressed with bzip2", UNPACK),
    b"\xfd7zXZ": ("is compressed with xz", UNPACK),
    b"\x28\xb5\x2f\xfd": ("is compressed with zstd", UNPACK),
    b"7z\xbc\xaf": ("is a 7z archive", UNPACK),
    b"Rar!": ("is a rar archive", UNPACK),
    b"\x89HDF": ("is an HDF5 file, as Keras writes", "take the weights published for PyTorch"),
    b"version https://git-lfs": (
        "is a pointer of git-lfs, not the file itself",
        "run `git lfs pull` where it is",
    ),
}
# Fields of an ONNX model and the wire type of each; 7 is the graph.
ONNX = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
GRAPH = 7
FIELDS = 10_000  # that a model may have at its top


def kind_of(window: Window) -> Kind:
    """Recognise a file by a window on all of it, which is not moved.

    Raises:
        Refused: it is of no kind that is read; the reason says which it seems to be.
    """
    if not window.left:
        raise Refused("is empty")
    head = window.copy().take(min(HEAD, window.left))
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "row" if head[2 : 2 + len(ROW)] == ROW else "pickle"
    if head.startswith(b"PK\x03\x04"):
        return "archive"
    if head.startswith(b"\x93NUMPY"):
        return "numpy"
    if len(head) > 8 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] <= window.left - 8:
        return "safetensors"
    if _is_onnx(window.copy()):
        return "onnx"
    raise _stranger(head)


def _stranger(head: bytes) -> Refused:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(PAGE):
        return Refused(
            "is a web page, not weights: the download gave a notice instead of the file",
            "open the link in a browser, confirm the download there, and give the file that comes",
        )
    for magic, (reason, hint) in OTHERS.items():
        if head.startswith(magic):
            return Refused(reason, hint)
    if head[257:262] == b"ustar":
        return Refused("is a tar archive", UNPACK)
    return Refused("is no checkpoint of a kind that is read (.pkl, .pt, .safetensors, .npy, .onnx)")


def _is_onnx(window: Window) -> bool:
    """Whether the file is from start to end one model with a graph, in protobuf's encoding."""
    seen: set[int] = set()
    try:
        for _ in range(FIELDS):
            if not window.left:
                return GRAPH in seen
            tag = _varint(window)
            if ONNX.get(tag >> 3) != tag & 7:
                return False
            value = _varint(window)
            if tag & 7 == 2:
                window.part(value)
            seen.add(tag >> 3)
    except Refused:
        pass
    return False


def _varint(window: Window) -> int:
    value = 0
    for shift in range(0, 64, 7):
        byte = window.number("<B")
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value
    raise Refused("is damaged: a number in it has no end")
