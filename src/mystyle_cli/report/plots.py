"""Plots as SVG whose words and lines take the colour of the page around them."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mystyle_cli.report.report import Curve, Plot

INK: Final = "#010203"  # stands for the page's own colour of text until the SVG is written

# of the curves; each can be seen on white and on black
COLOURS: Final = ("#3b82c4", "#e07b39", "#3a9d6e", "#b4529f", "#c2a229", "#d0495b", "#6b72c9", "#7f8c8d")

STYLE: Final[Any] = {
    "svg.fonttype": "none",  # words stay words: smaller, and they can be searched
    "svg.hashsalt": "mystyle",  # the same figures give the same file
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def to_svg(plot: Plot) -> str:
    """Draw a plot as an SVG element without a background."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.2), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        width = _bar_width(plot)
        for number, curve in enumerate(plot.curves):
            colour = COLOURS[number % len(COLOURS)]
            if plot.kind == "points":
                axes.plot(curve.x, curve.y, "o", color=colour, alpha=0.7, markersize=4, label=curve.label)
            elif plot.kind == "bars":
                places = [x + width * (number - (len(plot.curves) - 1) / 2) for x in curve.x]
                axes.bar(places, curve.y, width, color=colour, label=curve.label)
            else:
                axes.plot(curve.x, curve.y, color=colour, marker="o", markersize=3, label=curve.label)
                _shade(axes, curve, colour)
        if plot.ticks:
            axes.set_xticks(range(len(plot.ticks)), plot.ticks)
        axes.set(title=plot.title, xlabel=plot.x, ylabel=plot.y)
        if len(plot.curves) > 1:
            axes.legend(fontsize=7)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    return text[text.index("<svg") :].replace(INK, "currentColor")


def _bar_width(plot: Plot) -> float:
    """Return how wide a bar is, so that those of one place stand beside each other."""
    places = sorted({x for curve in plot.curves for x in curve.x})
    apart = min((after - before for before, after in pairwise(places)), default=1.0)
    return 0.9 * apart / max(1, len(plot.curves))


def _shade(axes: Axes, curve: Curve, colour: str) -> None:
    """Shade a standard deviation to either side of a curve."""
    if not curve.spread:
        return
    low = [y - s for y, s in zip(curve.y, curve.spread, strict=True)]
    high = [y + s for y, s in zip(curve.y, curve.spread, strict=True)]
    axes.fill_between(curve.x, low, high, color=colour, alpha=0.12, linewidth=0)
