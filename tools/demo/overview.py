"""The demonstration in one picture: `python -m tools.demo.overview OUT.png`, after `make demo`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE, GAP, LABEL = 128, 6, 22
INK, PAPER, GREEN = (40, 40, 40), (255, 255, 255), (26, 127, 75)
METHODS = (("input", INK), ("domain prior", INK), ("mystyle", GREEN), ("truth", INK))


def overview(demo: Path, photos: Sequence[str], learned: int = 9) -> Image.Image:
    """Lay out photos that were learned from, and two tasks with the four pictures of each photo.

    Args:
        demo: the demonstration's folder, after `make demo`.
        photos: names of held-out photos, such as "01".
        learned: how many faces of the reference set are shown.
    """
    step = SIDE + GAP
    block = 4 * step - GAP
    width = 2 * block + 4 * GAP
    sheet = Image.new("RGB", (width, 2 * LABEL + step + LABEL + len(photos) * step), PAPER)
    canvas = ImageDraw.Draw(sheet)
    faces = _learned(demo / "store" / "ada")
    count = min(learned, width // step)
    chosen = [faces[round(index * (len(faces) - 1) / max(count - 1, 1))] for index in range(count)]
    _write(canvas, (0, 2), f"learned from {len(faces)} photos of one person, such as", INK)
    for column, path in enumerate(chosen):
        sheet.paste(_square(path), (column * step, LABEL))
    tasks = (("16 px to 128 px", "small", "upscaled"), ("eyes and nose filled in", "hidden", "inpainted"))
    for place, (title, inputs, outputs) in enumerate(tasks):
        left, top = place * (block + 4 * GAP), LABEL + step
        _write(canvas, (left, top + 2), title, INK)
        _block(sheet, canvas, demo, (left, top + LABEL), (inputs, outputs), photos)
    return sheet


def _block(
    sheet: Image.Image,
    canvas: ImageDraw.ImageDraw,
    demo: Path,
    corner: tuple[int, int],
    folders: tuple[str, str],
    photos: Sequence[str],
) -> None:
    """Draw the four columns of one task."""
    step, (left, top) = SIDE + GAP, corner
    inputs, outputs = folders
    places = (demo / "inputs" / inputs, demo / "domain" / outputs, demo / outputs, demo / "inputs" / "truth")
    for column, ((label, colour), place) in enumerate(zip(METHODS, places, strict=True)):
        _write(canvas, (left + column * step, top + 2), label, colour)
        for row, name in enumerate(photos):
            sheet.paste(_square(place / f"{name}.png"), (left + column * step, top + LABEL + row * step))


def _learned(profile: Path) -> list[Path]:
    """Return the aligned faces of the reference set."""
    records = [json.loads(line) for line in (profile / "photos.jsonl").read_text("utf-8").splitlines()]
    return [profile / record["face"] for record in records if record["split"] == "train"]


def _square(path: Path) -> Image.Image:
    """Open a picture at the sheet's size; small ones keep their pixels visible."""
    with Image.open(path) as image:
        kernel = Image.Resampling.NEAREST if image.width < SIDE else Image.Resampling.LANCZOS
        return image.convert("RGB").resize((SIDE, SIDE), kernel)


def _write(
    canvas: ImageDraw.ImageDraw, place: tuple[int, int], text: str, colour: tuple[int, int, int]
) -> None:
    canvas.text(place, text, fill=colour, font=ImageFont.load_default(14))


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--demo", type=Path, default=Path("demo"))
    parser.add_argument("--photos", nargs="+", default=["01", "05", "08", "12"])
    args = parser.parse_args()
    picture = overview(args.demo, args.photos)
    picture.save(args.output, optimize=True)
    print(f"{args.output}: {np.asarray(picture).shape[1]} x {picture.height}")


if __name__ == "__main__":
    main()
