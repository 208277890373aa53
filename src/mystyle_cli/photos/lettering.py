"""Words drawn into pictures: in a font that has their letters, else with what it lacks spelled out."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Final

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# fonts of many letters that systems come with, looked for where each system keeps its fonts
FONTS: Final = (
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "segoeui.ttf", "Arial Unicode.ttf"),
    *(
        "NotoSansCJK-Regular.ttc",
        "NotoSansCJKjp-Regular.otf",
        "SourceHanSans-Regular.ttc",
        "wqy-microhei.ttc",
    ),
    *("PingFang.ttc", "Hiragino Sans GB.ttc", "AppleSDGothicNeo.ttc"),
    *("msyh.ttc", "msgothic.ttc", "malgun.ttf", "meiryo.ttc"),
    *("NotoSansArabic-Regular.ttf", "NotoNaskhArabic-Regular.ttf", "NotoSansHebrew-Regular.ttf"),
    *("NotoSansDevanagari-Regular.ttf", "NotoSansThai-Regular.ttf", "Nirmala.ttf", "leelawui.ttf"),
)

# a character that no font has: what a font draws for it, it draws for everything that it lacks
NOWHERE: Final = "\U0010ffff"


def legible(text: str, size: int) -> tuple[str, Font]:
    """Return a text as it can be drawn, and a font that has all of it.

    Where no font that is there has all of its letters, those that Pillow's own lacks are written as Python
    writes them: \\u5199.

    Args:
        text: a line; what cannot be printed is spelled out always.
    """
    text = "".join(letter if letter.isprintable() else _spelled(letter) for letter in text)
    own = ImageFont.load_default(size)
    if all(_has("", size, letter) for letter in text):
        return text, own
    for name in FONTS:
        font = _found(name, size)
        if font is not None and all(_has(name, size, letter) for letter in text):
            return text, font
    return "".join(letter if _has("", size, letter) else _spelled(letter) for letter in text), own


def _spelled(letter: str) -> str:
    return (
        letter.encode("ascii", "backslashreplace").decode() if ord(letter) > 127 else f"\\x{ord(letter):02x}"
    )


@cache
def _found(name: str, size: int) -> Font | None:
    """Return a font, "" for Pillow's own; None where this system has none of that name."""
    try:
        return ImageFont.truetype(name, size) if name else ImageFont.load_default(size)
    except (OSError, ValueError):
        return None


@lru_cache(4096)
def _has(name: str, size: int, letter: str) -> bool:
    """Tell whether a font draws a letter as itself."""
    font = _found(name, size)
    if font is None or letter == " ":
        return letter == " "
    drawn, lacking = font.getmask(letter), font.getmask(NOWHERE)
    return drawn.size != lacking.size or bytes(drawn) != bytes(lacking)
