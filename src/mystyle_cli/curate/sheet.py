"""The contact sheet: every photo with its verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from mystyle_cli.curate.records import PhotoRecord
from mystyle_cli.photos.lettering import Font, legible
from mystyle_cli.photos.pixels import Pixels

_CELL = 168  # side of the square a photo is fitted into
_TEXT = 44  # height of the lines below it
_KEPT, _REFUSED, _INK, _PAPER = (34, 139, 80), (196, 50, 40), (30, 30, 30), (250, 250, 248)


def contact_sheet(records: Sequence[PhotoRecord], thumbnails: Mapping[str, Pixels]) -> Pixels:
    """Lay out all photos, kept ones first, each with its name, verdict and reason: uint8 (H, W, 3).

    A photo without a thumbnail, such as an unreadable file, gets an empty frame.
    """
    ordered = sorted(records, key=lambda record: (not record.kept, str(record.reason), record.file))
    columns = max(1, min(10, math.ceil(math.sqrt(1.4 * len(ordered)))))
    rows = max(1, math.ceil(len(ordered) / columns))
    sheet = Image.new("RGB", (columns * (_CELL + 8) + 8, rows * (_CELL + _TEXT + 8) + 8), _PAPER)
    canvas = ImageDraw.Draw(sheet)
    for index, record in enumerate(ordered):
        left, top = 8 + index % columns * (_CELL + 8), 8 + index // columns * (_CELL + _TEXT + 8)
        _draw(sheet, canvas, (left, top), record, thumbnails.get(record.sha256))
    return np.array(sheet)


def _draw(
    sheet: Image.Image,
    canvas: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    record: PhotoRecord,
    thumb: Pixels | None,
) -> None:
    left, top = corner
    colour = _KEPT if record.kept else _REFUSED
    if thumb is not None:
        picture = Image.fromarray(thumb)
        picture.thumbnail((_CELL - 6, _CELL - 6))
        sheet.paste(picture, (left + (_CELL - picture.width) // 2, top + (_CELL - picture.height) // 2))
    canvas.rectangle((left, top, left + _CELL - 1, top + _CELL - 1), outline=colour, width=3)
    verdict = f"kept · {record.split}" if record.kept and record.split else str(record.reason)
    lines = ((record.file, _INK), (verdict, colour), ("" if record.kept else record.detail, _INK))
    for number, (text, ink) in enumerate(lines):
        text, font = legible(text, 11 if number < 2 else 9)
        place = left, top + _CELL + 2 + 14 * number
        canvas.text(place, _fitted(text, font, number == 0), fill=ink, font=font)


def _fitted(text: str, font: Font, keep_end: bool) -> str:
    """Shorten text to the cell's width, at its start or its end."""
    if font.getlength(text) <= _CELL:
        return text
    while text and font.getlength(text + "…") > _CELL:
        text = text[1:] if keep_end else text[:-1]
    return "…" + text if keep_end else text + "…"
