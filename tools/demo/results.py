"""Edits and samples for the documentation: `python -m tools.demo.results docs/images`, after `make demo`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

EDITS = ("smile", "yaw")
STRENGTHS = range(-3, 4)
"""As the demonstration's sweeps have them."""
LABEL, SIDE, INK, PAPER = 22, 70, (40, 40, 40), (255, 255, 255)


def edits(strips: Sequence[Image.Image]) -> Image.Image:
    """Lay the strips of EDITS over each other, strengths above them and names beside them.

    Args:
        strips: a frame for each of STRENGTHS, of one size.
    """
    width, height = strips[0].size
    sheet = Image.new("RGB", (SIDE + width, LABEL + len(strips) * height), PAPER)
    canvas, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for place, strength in enumerate(STRENGTHS):
        middle = SIDE + (2 * place + 1) * width / (2 * len(STRENGTHS))
        canvas.text((middle, LABEL / 2), str(strength), fill=INK, font=font, anchor="mm")
    for row, (name, strip) in enumerate(zip(EDITS, strips, strict=True)):
        top = LABEL + row * height
        canvas.text((SIDE / 2, top + height / 2), name, fill=INK, font=font, anchor="mm")
        sheet.paste(strip, (SIDE, top))
    return sheet


def main() -> None:
    """Write both pictures."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo.results", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--demo", type=Path, default=Path("demo"))
    args = parser.parse_args()
    strips = [Image.open(args.demo / "edited" / f"{name}.png").convert("RGB") for name in EDITS]
    samples = Image.open(args.demo / "samples.png").convert("RGB")
    for name, picture in (("edits", edits(strips)), ("samples", samples)):
        picture.save(args.folder / f"{name}.jpg", quality=92, subsampling=0, optimize=True)


if __name__ == "__main__":
    main()
