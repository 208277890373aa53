"""Real photographs: found, aligned, pasted back and told apart by what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mystyle_cli.curate.examine import Criteria, examine
from mystyle_cli.curate.records import Reason
from mystyle_cli.curate.settings import CurateSettings
from mystyle_cli.faces.align import FFHQ, align
from mystyle_cli.faces.faces import find_faces
from mystyle_cli.faces.paste import paste, worked_region
from mystyle_cli.photos.decode import decode
from mystyle_cli.photos.pixels import Pixels, grid
from mystyle_cli.report.report import Cell, Report, Table, Target
from tools.figures.common import ROOT, save_picture

FOLDER = ROOT.parent / "shared" / "portraits"
SIDE, CROP = 256, 128
COLOURLESS = {1, 6, 7, 8, 10, 14, 16, 20, 21, 23, 24, 26, 27, *range(29, 37)}
"""Numbers of the toned and printed ones (by eye) and of the grey ones (by the folder's README)."""


def make() -> Report:
    """Take every photograph through detection, alignment, paste-back and the checks of curation."""
    paths = sorted(FOLDER.glob("*.jpg"))
    if not paths:
        return Report("portraits", "real photographs", [], [], {"skipped": "no folder ../shared/portraits"})
    rows: list[list[Cell]] = []
    crops, outside, errors, told = [], 0, [], 0
    for path in paths:
        pixels = decode(path).pixels
        faces = find_faces(pixels)
        if not faces:
            rows.append([path.name, _size(pixels), 0, None, None, "no face"])
            continue
        face = align(pixels, faces[0].landmarks, SIDE, FFHQ)
        crops.append(align(pixels, faces[0].landmarks, CROP, FFHQ).pixels)
        back = paste(pixels, face.pixels, face.quad)
        region = worked_region(pixels.shape, face.quad)
        outside += int((back[~region] != pixels[~region]).sum())
        error = float(np.abs(back[region].astype(float) - pixels[region]).mean())
        errors.append(error)
        verdict = _verdict(path)
        told += (verdict == Reason.GREY) == (int(path.stem) in COLOURLESS)
        rows.append([path.name, _size(pixels), len(faces), face.side, error, str(verdict)])
    save_picture("portraits-aligned", grid(np.stack(crops), columns=12))
    columns = ["photo", "pixels", "faces", "crop side", "paste-back error of 255", "checks say"]
    return Report(
        "portraits",
        "real photographs: found, aligned, pasted back, curated",
        [Table(f"{len(paths)} official portraits, each of another person", columns, rows)],
        [
            Target("share with a face found", len(crops) / len(paths), "at least", 1.0),
            Target("values changed outside the worked region", outside, "at most", 0),
            Target("mean error of a crop pasted back, of 255", float(np.mean(errors)), "at most", 4.0),
            Target("share told grey or coloured rightly", told / len(paths), "at least", 1.0),
        ],
        {"aligned": "figures/portraits-aligned.png"},
    )


def _size(pixels: Pixels) -> str:
    return f"{pixels.shape[1]} x {pixels.shape[0]}"


def _verdict(path: Path) -> Reason:
    """Return what the checks that look at one photo alone say, as for a prior of 128 px."""
    item = examine(path, path.name, "", Criteria(CROP, FFHQ, CurateSettings()))
    fault = item.fault or (item.candidates[0].fault if item.candidates else None)
    return fault[0] if fault else Reason.KEPT
