"""The year in which a photo was taken, as its camera wrote it into EXIF."""

from __future__ import annotations

import re
import warnings
from contextlib import suppress
from typing import Final

from mystyle_cli.config import EARLIEST_YEAR, LATEST_YEAR

_DAY: Final = re.compile(r"\s*(\d{4})\D")  # 1998:07:12 10:11:12, as EXIF has it


def year_of(exif: bytes | None) -> int | None:
    """Return the year of an EXIF block's DateTimeOriginal; None where it says none that can be.

    No other date counts: that of the file, or of a scan, says when a copy was made.
    """
    from PIL import ExifTags, Image

    block = Image.Exif()
    with suppress(Exception), warnings.catch_warnings():  # Pillow does almost anything on damaged EXIF
        warnings.simplefilter("ignore")
        block.load(exif or b"")
        written = block.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal)
        found = _DAY.match(written) if isinstance(written, str) else None
        if found and EARLIEST_YEAR <= int(found[1]) <= LATEST_YEAR:
            return int(found[1])
    return None
