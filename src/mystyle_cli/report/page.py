"""Reports as one page of HTML that needs nothing else: light and dark, wide and narrow."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

from mystyle_cli.report.plots import to_svg
from mystyle_cli.report.report import Report, Table, shown

if TYPE_CHECKING:
    from mystyle_cli.photos.pixels import Pixels

QUALITY: Final = 85  # of the WebP pictures in a page: a sheet of 48 faces takes about 200 kB


@dataclass(frozen=True)
class Chapter:
    """A report with what belongs to it."""

    report: Report  # what was measured
    question: str  # what it answers, in plain words
    pictures: Mapping[str, Pixels]  # by what they show, uint8 (H, W, 3)


def to_page(title: str, summary: Sequence[str], chapters: Sequence[Chapter]) -> str:
    """Lay reports out as a page.

    Args:
        title: of the page.
        summary: what they say together, in sentences.
        chapters: in their order.
    """
    parts = [f"<h1>{escape(title)}</h1>", *(f"<p class='lead'>{escape(line)}</p>" for line in summary)]
    links = "".join(
        f"<li><a href='#{escape(one.report.name)}'>{escape(one.question)}</a></li>" for one in chapters
    )
    parts.append(f"<nav><ol>{links}</ol></nav>")
    parts += [_chapter(one) for one in chapters]
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        "<meta name='color-scheme' content='light dark'>"
        "<meta http-equiv='Content-Security-Policy' "
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>"
        + "\n".join(parts)
        + "</main></body></html>\n"
    )


def _chapter(chapter: Chapter) -> str:
    report = chapter.report
    parts = [f"<section id='{escape(report.name)}'><h2>{escape(chapter.question)}</h2>"]
    parts += [f"<p>{escape(finding)}</p>" for finding in report.findings]
    parts.append(f"<p class='small'>{escape(report.title)}</p>")
    parts += [f"<figure class='plot'>{to_svg(plot)}</figure>" for plot in report.plots]
    parts += [_table(table) for table in report.tables]
    if report.targets:
        rows = [
            [
                "met" if target.met else "missed",
                target.name,
                shown(target.value),
                f"{target.comparison} {shown(target.bound)}",
            ]
            for target in report.targets
        ]
        parts.append(_table(Table("what should hold", ["", "what", "found", "wanted"], rows)))
    for name, pixels in chapter.pictures.items():
        parts.append(
            f"<figure><div class='wide'><img alt='{escape(name)}' src='{_picture(pixels)}'></div>"
            f"<figcaption>{escape(name)}</figcaption></figure>"
        )
    facts = "; ".join(f"{name}: {shown(value)}" for name, value in report.facts.items())
    parts.append(f"<p class='small'>{escape(facts)}</p></section>")
    return "\n".join(parts)


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in table.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(shown(cell))}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    return (
        f"<div class='wide'><table><caption>{escape(table.title)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _picture(pixels: Pixels) -> str:
    """Return a picture as a data URL."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "WEBP", quality=QUALITY)
    return "data:image/webp;base64," + b64encode(stream.getvalue()).decode()


# the page's looks: the device's own colours, and what is too wide scrolls by itself
STYLE: Final = """
:root { --ink: #1c1f23; --paper: #ffffff; --line: #d8dce1; --soft: #5d6570; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e7eaee; --paper: #14171b; --line: #363c44; --soft: #9aa4b0; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
a { color: inherit; }
.lead { font-size: 1.1rem; } .small { color: var(--soft); font-size: .85rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; margin: .5rem 0 1rem; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .6rem; text-align: left; white-space: nowrap; }
figure { margin: 1rem 0; } .plot svg { width: 100%; max-width: 36rem; height: auto; }
img { max-width: none; } figcaption { color: var(--soft); font-size: .85rem; }
"""
