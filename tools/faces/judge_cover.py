"""Exports the cover net and says what it refuses: labelled `val` faces, and albums of real people.

    python -m tools.faces.judge_cover DATA RUN [--albums SHARED/people/a SHARED/people/b SHARED/portraits]

RUN holds `cover.pt`; it gets `cover.onnx`, `cover.json` with limits and figures, and one sheet for each
album. The limits are those of `CurateSettings`; nothing was trained on `val` faces or on the albums.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mystyle_cli.curate.cover import Cover, degrees, explain, hidden_parts, too_hidden
from mystyle_cli.curate.settings import CurateSettings
from mystyle_cli.errors import DecodeError
from mystyle_cli.faces.align import warp
from mystyle_cli.faces.faces import find_faces
from mystyle_cli.nets.sessions import open_session
from mystyle_cli.photos.decode import decode
from tools.faces.at_size import AtSize
from tools.faces.crops import Crops
from tools.faces.dataset import tight_quad
from tools.faces.train_cover import SEEN, make_cover, read_labels
from tools.portraits.to_onnx import export

DRAWN, SEED = 300, 11  # val faces drawn at random and looked at; others were looked at because a net asked
CROP = 128


def area(covered: np.ndarray, clear: np.ndarray) -> float:
    """Area under the ROC curve: how often a covered face scores more than a clear one."""
    pairs = covered[:, None] - clear[None]
    return float((pairs > 0).mean() + 0.5 * (pairs == 0).mean())


def on_labels(crops: Crops, cover: Cover, settings: CurateSettings) -> dict[str, object]:
    """Judge the labelled faces of one split: all of them, and the clear ones of those drawn at random."""
    labels = read_labels()
    drawn = {str(crops.photo[row]) for row in np.random.default_rng(SEED).permutation(len(crops))[:DRAWN]}
    scores: dict[str, float] = {}
    for row, name in enumerate(crops.photo):
        if labels.get(str(name), "?") != "?":
            parts = hidden_parts(crops.bytes(np.array([row]))[0], cover)
            scores[str(name)] = max(degrees(parts, settings).values())
    covered = np.array([s for name, s in scores.items() if labels[name]])
    clear = np.array([s for name, s in scores.items() if not labels[name]])
    fair = np.array([s for name, s in scores.items() if name in drawn and not labels[name]])
    fair_covered = np.array([s for name, s in scores.items() if name in drawn and labels[name]])
    curve = {
        f"{limit:.2f}": [float((covered > limit).mean()), float((fair > limit).mean())]
        for limit in np.arange(0.4, 1.55, 0.1)
    }
    return {
        "covered": len(covered),
        "clear": len(clear),
        "auc": area(covered, clear),
        "auc_drawn": area(fair_covered, fair),
        "found": float((covered > 1).mean()),
        "drawn_covered": len(fair_covered),
        "drawn_clear": len(fair),
        "drawn_found": int((fair_covered > 1).sum()),
        "drawn_refused": int((fair > 1).sum()),
        "missed": sorted(name for name, s in scores.items() if labels[name] and s <= 1),
        "refused": sorted(name for name, s in scores.items() if not labels[name] and s > 1),
        "found, and drawn clear ones refused, with limits times": curve,
    }


def on_album(folder: Path, cover: Cover, settings: CurateSettings, sheet: Path) -> dict[str, object]:
    """Judge the largest face of every photo in a folder; draws those refused."""
    refused: dict[str, str] = {}
    shown, photos = [], 0
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        try:
            pixels = decode(path).pixels
        except DecodeError:
            continue
        for face in find_faces(pixels)[:1]:
            photos += 1
            crop = warp(pixels, tight_quad(face.landmarks), CROP)
            scores = hidden_parts(crop, cover)
            sentence = explain(too_hidden(scores, settings))
            if sentence:
                refused[path.name] = f"{max(degrees(scores, settings).values()):.2f} {sentence}"
                shown.append(crop)
    if shown:
        Image.fromarray(np.concatenate(shown, axis=1)).save(sheet)
    return {"faces": photos, "refused": refused}


def main() -> None:
    """Export and judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--albums", type=Path, nargs="*", default=[])
    parser.add_argument("--size", type=int, default=CROP, help="side of the prior's crops")
    args = parser.parse_args()
    torch.set_num_threads(1)
    settings = CurateSettings()
    net = make_cover()
    net.load_state_dict(torch.load(args.run / "cover.pt", weights_only=True))
    unseen = Crops(args.data, "val")
    export(AtSize(net, SEEN, CROP), args.run / "cover.onnx", unseen.images(np.arange(16)))
    cover = open_session(args.run / "cover.onnx", threads=1).run
    figures: dict[str, object] = {
        "limits": {
            name: value for name, value in asdict(settings).items() if name.startswith("largest_hidden")
        },
        "val": on_labels(unseen, cover, settings),
    }
    for folder in args.albums:
        sheet = args.run / f"refused-{folder.name}.png"
        figures[str(folder)] = on_album(folder, cover, settings, sheet)
    if args.size != CROP:
        probes = torch.rand(4, 3, args.size, args.size) * 2 - 1
        export(AtSize(net, SEEN, args.size), args.run / "cover.onnx", probes)
    figures["bytes"] = (args.run / "cover.onnx").stat().st_size
    (args.run / "cover.json").write_text(json.dumps(figures, indent=1))
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
