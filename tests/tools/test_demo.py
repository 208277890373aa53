"""The demonstration's page and overview, and the arithmetic of the figures."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tools.demo.overview import METHODS, SIDE, overview
from tools.demo.page import Page, Picture
from tools.demo.results import EDITS, LABEL, STRENGTHS, edits
from tools.figures.renderer import area_under_curve


class Outline(HTMLParser):
    """Collects the tags of a document, and which are still open at its end."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: list[str] = []
        self.open: list[str] = []
        self.said: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an image or an element that must be closed."""
        if tag == "img":
            self.images.append(str(dict(attrs)["src"]))
        elif tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Check that what is closed is what was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        self.said.append(data)


def test_page_is_whole_and_escaped() -> None:
    """Every element is closed, pictures are relative, and names with markup in them stay text."""
    page = Page("a <title>")
    page.section("R & D", "1 < 2")
    page.commands(["mystyle upscale ada 'a<b>.png'"])
    page.rows([[Picture(f"x/{index}.png", "label <b>", "ID 0.9") for index in range(4)]])
    page.pictures([Picture("y.png", "y")], "wide")
    page.table(["", "ID"], [["<script>", "1"]])
    outline = Outline(page.html())
    assert outline.open == []
    assert outline.images == ["x/0.png", "x/1.png", "x/2.png", "x/3.png", "y.png"]
    assert "<script>" in outline.said
    assert "<script>" not in page.html()


def test_edits_stand_in_the_rows_of_their_names() -> None:
    """Each strip is whole, the first above the second, and something is written above and beside them."""
    width = 20 * len(STRENGTHS)
    strips = [Image.new("RGB", (width, 20), colour) for colour in ("red", "blue")]
    sheet = np.asarray(edits(strips))
    left = sheet.shape[1] - width
    assert sheet.shape[0] == LABEL + 20 * len(EDITS)
    assert (sheet[LABEL : LABEL + 20, left:] == (255, 0, 0)).all()
    assert (sheet[LABEL + 20 :, left:] == (0, 0, 255)).all()
    for place in range(len(STRENGTHS)):
        assert sheet[:LABEL, left + 20 * place : left + 20 * (place + 1)].min() < 128
    assert all(
        sheet[LABEL + 20 * row : LABEL + 20 * (row + 1), :left].min() < 128 for row in range(len(EDITS))
    )


def test_overview_shows_every_method(tmp_path: Path) -> None:
    """Each task shows input, both priors' answers and the truth of each photo, in its columns."""
    shade = {"inputs/small": 10, "domain/upscaled": 60, "upscaled": 110, "inputs/truth": 160}
    shade |= {"inputs/hidden": 30, "domain/inpainted": 80, "inpainted": 130, "store/ada/faces": 200}
    for folder, value in shade.items():
        (tmp_path / folder).mkdir(parents=True)
        for name in ("01", "02"):
            Image.new("RGB", (16, 16), (value,) * 3).save(tmp_path / folder / f"{name}.png")
    faces = [{"face": "faces/01.png", "split": "train"}, {"face": "faces/02.png", "split": "held-out"}]
    lines = "".join(json.dumps(face) + "\n" for face in faces)
    (tmp_path / "store/ada/photos.jsonl").write_text(lines)
    picture = np.asarray(overview(tmp_path, ["01", "02"]))
    shown = set(np.unique(picture[..., 0]).tolist())
    assert set(shade.values()) <= shown
    middle = picture[-SIDE // 2, :, 0]  # through the last row of photos
    order = [int(value) for value in middle if value in shade.values()]
    blocks = [order[index * SIDE] for index in range(2 * len(METHODS))]
    assert blocks == [10, 60, 110, 160, 30, 80, 130, 160]


@pytest.mark.parametrize("seed", range(3))
def test_area_under_curve_counts_pairs(seed: int) -> None:
    """It is the share of (same, different) pairs in the right order, ties counting half."""
    rng = np.random.default_rng(seed)
    distances, same = rng.integers(0, 12, 60).astype(float), rng.random(60) < 0.3
    inside, outside = distances[same][:, None], distances[~same][None]
    expected = ((inside < outside) + 0.5 * (inside == outside)).mean()
    assert area_under_curve(distances, same) == pytest.approx(expected)
