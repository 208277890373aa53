"""A good and a bad set of photos in one picture: `python -m tools.demo.photo_sets OUT`, after `make demo`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mystyle_cli.curate.records import PhotoRecord, Reason
from mystyle_cli.curate.sheet import contact_sheet
from mystyle_cli.photos.decode import decode
from mystyle_cli.store.store import Store

PERSON = "ada"
PHOTOS = Path("profiles/photos") / PERSON
COUNT = 8
"""Photos of each set: the refusals that can be seen."""
LABEL, INK, PAPER = 30, (40, 40, 40), (250, 250, 248)


def photo_sets(records: Sequence[PhotoRecord], photos: Path) -> Image.Image:
    """Lay some kept photos over a refused one for each reason, with the verdicts that curation gave.

    Args:
        records: of a profile.
        photos: the folder that it was made of.
    """
    kept = [record for record in records if record.kept]
    good = [kept[round(index * (len(kept) - 1) / (COUNT - 1))] for index in range(COUNT)]
    refused = {
        record.reason: record
        for record in reversed(records)
        if not record.kept and record.reason is not Reason.UNREADABLE
    }
    bad = list(refused.values())[:COUNT]
    titles = "Good: other days, poses, faces and light", "Refused, and why: nothing is learned from these"
    sheets = [_sheet(part, photos) for part in (good, bad)]
    width, height = sheets[0].size
    whole = Image.new("RGB", (width, 2 * (height + LABEL)), PAPER)
    canvas = ImageDraw.Draw(whole)
    for number, (title, sheet) in enumerate(zip(titles, sheets, strict=True)):
        top = number * (height + LABEL)
        canvas.text((8, top + 7), title, fill=INK, font=ImageFont.load_default(16))
        whole.paste(sheet, (0, top + LABEL))
    return whole


def _sheet(records: Sequence[PhotoRecord], photos: Path) -> Image.Image:
    pixels = {record.sha256: decode(photos / record.file).pixels for record in records}
    return Image.fromarray(np.asarray(contact_sheet(records, pixels)))


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo.photo_sets", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--store", type=Path, default=Path("demo/store"))
    args = parser.parse_args()
    sheet = photo_sets(Store(args.store).open(PERSON).records, PHOTOS)
    sheet.quantize(256, Image.Quantize.MEDIANCUT).save(args.out, optimize=True)


if __name__ == "__main__":
    main()
