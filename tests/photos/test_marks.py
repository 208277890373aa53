"""Provenance travels inside the pictures."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from mystyle_cli.errors import DecodeError
from mystyle_cli.photos.encode import Beside, encode
from mystyle_cli.photos.marks import Provenance, read_marks, source_type

PIXELS = np.full((16, 16, 3), 120, dtype=np.uint8)


def marks(**changes: object) -> Provenance:
    """Return a record with some fields changed."""
    values: dict[str, object] = {
        "command": "upscale",
        "profile": "adèle <&\"'>",
        "prior": "portraits-128",
        "beta": 0.05,
        "seed": 7,
        "version": "0.1.0",
        "digital_source_type": source_type("upscale"),
        "created": "2026-11-22T16:00:00+00:00",
    }
    return Provenance(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
@pytest.mark.parametrize("changes", [{}, {"beta": None, "seed": None}, {"beta": 1e-7}, {"created": None}])
def test_marks_come_back(name: str, changes: dict[str, object], tmp_path: Path) -> None:
    """Every format gives back the very record that was written, odd names and open bounds included."""
    encode(PIXELS, tmp_path / name, Beside(marks=marks(**changes)))
    assert read_marks(tmp_path / name) == marks(**changes)


def test_packet_says_ai_made_in_iptc_terms() -> None:
    """Other software reads IPTC's property: composite for worked photos, plain for samples."""
    text = marks().xmp()
    packet = ElementTree.fromstring(text[text.index("<x:xmpmeta") : text.rindex("<?xpacket")])
    values = {key: value for node in packet.iter() for key, value in node.attrib.items()}
    term = values["{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"]
    assert term == "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
    assert source_type("sample") == "trainedAlgorithmicMedia"


def test_pictures_without_marks(tmp_path: Path) -> None:
    """A picture of someone else's has no marks, with or without XMP of its own."""
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    Image.fromarray(PIXELS).save(tmp_path / "b.jpg", xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'></x:xmpmeta>")
    Image.fromarray(PIXELS).save(tmp_path / "c.jpg", xmp=marks().xmp().encode()[:700])
    for name in ("a.png", "b.jpg", "c.jpg"):
        assert read_marks(tmp_path / name) is None
    (tmp_path / "d.png").write_text("no picture")
    with pytest.raises(DecodeError):
        read_marks(tmp_path / "d.png")
