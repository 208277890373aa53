"""Words in pictures: no empty boxes, whatever letters a name has."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mystyle_cli.curate.records import PhotoRecord, Reason
from mystyle_cli.curate.sheet import contact_sheet
from mystyle_cli.photos import lettering
from mystyle_cli.photos.lettering import NOWHERE, legible

NAMES = (
    "plain (1).jpg",
    "Žluťoučký.jpg",
    "Фото.jpg",
    "写真.jpg",
    "사진.jpg",
    "صورة.jpg",
    "😀.png",
    "a\nb\x1b[31m.jpg",
)


def drawn(text: str, font: lettering.Font) -> bytes:
    """Return the pixels of a line."""
    image = Image.new("L", (400, 30))
    ImageDraw.Draw(image).text((2, 2), text, fill=255, font=font)
    return np.asarray(image).tobytes()


@pytest.mark.parametrize("text", NAMES)
@pytest.mark.parametrize("fonts", [lettering.FONTS, ()], ids=["the system's fonts", "none"])
def test_a_name_has_no_boxes(text: str, fonts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each letter that is drawn differs from what the font draws for a letter that it lacks."""
    monkeypatch.setattr(lettering, "FONTS", fonts)
    shown, font = legible(text, 11)
    assert all(drawn(letter, font) != drawn(NOWHERE, font) for letter in shown)
    assert shown.isprintable()
    if shown != text:  # nothing of the name is lost
        assert shown.encode().decode("unicode_escape") == text


def test_letters_that_a_font_has_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """A font of the system is taken for what Pillow's own lacks, and only then."""
    assert legible("ab.jpg", 11)[0] == "ab.jpg"
    monkeypatch.setattr(lettering, "FONTS", ("there is none.ttf", "DejaVuSans.ttf"))
    if lettering._found("DejaVuSans.ttf", 11) is None:
        pytest.skip("DejaVu is not installed")
    shown, font = legible("Фото.jpg", 11)
    assert shown == "Фото.jpg"
    assert font.getname()[0] == "DejaVu Sans"


def test_the_contact_sheet_shows_such_names() -> None:
    """Two photos whose names differ only in letters that Pillow's font lacks have captions that differ."""
    sheets = [
        contact_sheet([PhotoRecord("0" * 64, f"{name}.jpg", Reason.KEPT, "good")], {})
        for name in ("写", "真")
    ]
    assert (sheets[0] != sheets[1]).any()
