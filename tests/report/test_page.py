"""Plots and pages: what they show, and that they need nothing else."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from mystyle_cli.report.page import Chapter, to_page
from mystyle_cli.report.plots import INK, to_svg
from mystyle_cli.report.report import Curve, Plot, PlotKind, Report, Table, Target, to_csv, to_text

SVG = "{http://www.w3.org/2000/svg}"


def plot(kind: PlotKind) -> Plot:
    """Return a plot of two curves."""
    curves = [
        Curve("ada & co", [0, 1, 2], [0.1, 0.4, 0.2], [0.05, 0.1, 0.02]),
        Curve("ben", [0, 1, 2], [1, 2, 3]),
    ]
    return Plot("Fig 0: <title>", "along", "up", curves, kind)


@pytest.mark.parametrize("kind", ["lines", "points", "bars"])
def test_a_plot_is_the_same_each_time_and_takes_the_page_s_colour(kind: PlotKind) -> None:
    """No date, no random names, no black; every word stands in it as text."""
    text = to_svg(plot(kind))
    assert text == to_svg(plot(kind))
    words = "".join(ET.fromstring(text).itertext())
    assert all(word in words for word in ("Fig 0: <title>", "along", "up", "ada & co", "ben"))
    assert INK not in text
    assert "currentColor" in text


def test_points_lie_where_they_should() -> None:
    """The higher of two values is drawn higher, by the plot's own scale."""
    root = ET.fromstring(to_svg(Plot("t", "x", "y", [Curve("a", [0, 1, 2], [0, 10, 20])], "points")))
    marks = [
        use
        for use in root.iter(f"{SVG}use")
        if float(use.get("y", "0")) and "fill-opacity" in use.get("style", "")
    ]
    heights = [float(mark.get("y", "0")) for mark in marks]
    assert len(heights) == 3
    assert heights[0] > heights[1] > heights[2]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], rel=1e-3)


def test_a_page_shows_all_of_a_report_and_believes_no_name() -> None:
    """Tables, targets, findings, pictures; what names hold is only text."""
    pixels = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    report = Report(
        "x",
        "a title",
        [Table("a table", ["person", "ID"], [["<script>alert(1)</script>", 0.5], ["ben", None]])],
        [Target("a target", 0.25, "at least", 0.5)],
        {"a fact": 3},
        [plot("lines")],
        ["What was found."],
    )
    page = to_page("How good?", ["In short."], [Chapter(report, "Is it?", {"a sheet": pixels})])
    for words in (
        "In short.",
        "Is it?",
        "a table",
        "ben",
        "a target",
        "missed",
        "What was found.",
        "a fact: 3",
    ):
        assert words in page
    assert "<script" not in page
    assert "prefers-color-scheme: dark" in page
    data = page.split("data:image/webp;base64,")[1].split("'")[0]
    assert Image.open(BytesIO(b64decode(data))).size == (24, 16)


def test_reports_as_text_and_csv() -> None:
    """Findings stand under the title; a cell that is no number is empty in CSV."""
    table = Table("t", ["a", "b"], [["x, y", float("nan")], ["z", 1.5]])
    assert "   Found." in to_text(Report("n", "t", [table], findings=["Found."]))
    assert to_csv(table) == 'a,b\n"x, y",\nz,1.5\n'
