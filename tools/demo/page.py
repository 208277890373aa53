"""The demonstration's page: one HTML file with plain CSS; its pictures lie beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --good: #1a7f4b; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 1180px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.9rem; margin-bottom: .2rem; } h2 { margin-top: 2.6rem; } p { max-width: 46rem; }
pre { background: var(--soft); padding: .8rem 1rem; overflow-x: auto; border-radius: 6px; font-size: 13px; }
table { border-collapse: collapse; font-size: 14px; } td, th { padding: .25rem .8rem; text-align: right; }
th { border-bottom: 1px solid var(--line); } td:first-child, th:first-child { text-align: left; }
.rows { display: grid; gap: 1rem 2rem; grid-template-columns: repeat(auto-fill, minmax(540px, 1fr)); }
.row { display: grid; grid-template-columns: repeat(4, 1fr); gap: 6px; }
figure { margin: 0; } figure img { width: 100%; display: block; border-radius: 4px; }
figcaption { font-size: 12px; line-height: 1.35; padding-top: 3px; } figcaption b { font-weight: 600; }
.ours figcaption { color: var(--good); }
.coarse img { image-rendering: pixelated; } .wide img { width: 100%; max-width: 100%; }
.pair { display: grid; grid-template-columns: repeat(3, minmax(0, 340px)); gap: 12px; align-items: end; }
.plain img { width: auto; max-width: 100%; }
"""


@dataclass(frozen=True)
class Picture:
    """A picture with a caption.

    Args:
        file: relative to the page.
        label: what it is.
        note: figures below the label.
        kind: CSS classes: "coarse" keeps its pixels visible, "ours" marks the personal prior.
    """

    file: str
    label: str
    note: str = ""
    kind: str = ""

    def html(self) -> str:
        """Return the figure element."""
        note = f"<br>{escape(self.note)}" if self.note else ""
        alt = escape(self.label)
        return (
            f'<figure class="{self.kind}"><img src="{escape(self.file)}" alt="{alt}" loading="lazy">'
            f"<figcaption><b>{escape(self.label)}</b>{note}</figcaption></figure>"
        )


@dataclass
class Page:
    """A page that grows section by section."""

    title: str
    parts: list[str] = field(default_factory=list)

    def section(self, heading: str, text: str) -> None:
        """Begin a section; `text` is plain text."""
        self.parts.append(f"<h2>{escape(heading)}</h2>\n<p>{escape(text)}</p>")

    def text(self, text: str) -> None:
        """Add a paragraph of plain text."""
        self.parts.append(f"<p>{escape(text)}</p>")

    def commands(self, lines: Sequence[str]) -> None:
        """Show what was typed."""
        self.parts.append(f"<pre>{escape(chr(10).join(lines))}</pre>")

    def rows(self, rows: Sequence[Sequence[Picture]]) -> None:
        """Show comparisons, four pictures each."""
        items = ['<div class="row">' + "".join(picture.html() for picture in row) + "</div>" for row in rows]
        self.parts.append('<div class="rows">' + "\n".join(items) + "</div>")

    def pictures(self, pictures: Sequence[Picture], layout: str) -> None:
        """Show pictures side by side ("pair"), over the whole width ("wide") or as they are ("plain")."""
        self.parts.append(
            f'<div class="{layout}">' + "".join(picture.html() for picture in pictures) + "</div>"
        )

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show a table of text."""
        head = "".join(f"<th>{escape(column)}</th>" for column in columns)
        body = "\n".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
        )
        self.parts.append(f"<table><tr>{head}</tr>\n{body}</table>")

    def html(self) -> str:
        """Return the whole document."""
        body = "\n".join(self.parts)
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(self.title)}</title><style>{STYLE}</style></head>\n"
            f"<body>\n<h1>{escape(self.title)}</h1>\n{body}\n</body></html>\n"
        )
