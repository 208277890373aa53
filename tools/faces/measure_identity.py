"""What the identity role tells apart: unseen faces, the portraits, and albums of two people.

    python -m tools.faces.measure_identity DATA ROLE [--shared ../shared] [--labels LABELS --cache CACHE]

DATA is what `tools.faces.dataset` wrote, ROLE the folder with identity.onnx and identity.toml. LABELS is a
JSON file by somebody who looked at the albums: for each album `person`, `hard` (theirs, but turned away,
behind dark glasses, in the dark) and `others`, lists of FILE#FACE, faces counted from the largest. It is not
in the repository, as the albums are not; without it they are skipped. CACHE keeps the albums' crops.

Nothing here is used for training or for choosing a threshold.
"""

from __future__ import annotations

import argparse
import io
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mystyle_cli.errors import MystyleError
from mystyle_cli.faces.align import quad_side, warp
from mystyle_cli.faces.faces import find_faces
from mystyle_cli.nets.sessions import Session, open_session
from mystyle_cli.photos.decode import decode
from mystyle_cli.prior.manifest import IdentityLimits, read_limits
from tools.faces.crops import Crops
from tools.faces.dataset import tight_quad
from tools.faces.fit_identity import batches, made_small, some
from tools.portraits.degrade import nudge, relight

STRANGERS, SMALL_STRANGERS, PAIRS = 1000, 200, 300
REFERENCES, DRAWS = 20, 20
SIZES = (64, 32, 24, 20, 16)
SAME_PICTURE = 0.93  # correlation of two crops' grey thumbnails
LEAST = 40  # pixels of a good photo's crop
CONSIDERED = 4  # faces of a photo


@dataclass(frozen=True)
class Found:
    """Faces of a folder of photos.

    Args:
        names: FILE#FACE.
        images: uint8 (N, R, R, 3), the prior's crops.
        sides: of the crops on their photos, in pixels.
    """

    names: np.ndarray
    images: np.ndarray
    sides: np.ndarray

    def duplicates(self) -> np.ndarray:
        """Whether two faces are the same picture, bool (N, N)."""
        grey = self.images.mean(3)
        size = grey.shape[1] // 16
        small = grey.reshape(len(grey), 16, size, 16, size).mean((2, 4)).reshape(len(grey), -1)
        small -= small.mean(1, keepdims=True)
        small /= np.linalg.norm(small, axis=1, keepdims=True)
        return np.asarray(small @ small.T > SAME_PICTURE)


def read_crops(folder: Path, size: int, cache: Path | None) -> Found:
    """Find and cut the faces of every photo in a folder; those kept in the cache are taken from there."""
    kept = None if cache is None else cache / f"{folder.name}-{size}.npz"
    if kept is None or not kept.is_file():
        found = _cut(folder, size)
        if kept is None:
            return found
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, names=found.names, images=found.images, sides=found.sides)
    with np.load(kept) as arrays:
        return Found(arrays["names"], arrays["images"], arrays["sides"])


def _cut(folder: Path, size: int) -> Found:
    names, images, sides = [], [], []
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        try:
            pixels = decode(path).pixels
        except MystyleError:
            continue
        for number, face in enumerate(find_faces(pixels)[:CONSIDERED]):
            quad = tight_quad(face.landmarks)
            names.append(f"{path.name}#{number}")
            images.append(warp(pixels, quad, size))
            sides.append(quad_side(quad))
    return Found(np.array(names), np.stack(images), np.array(sides))


def embed(session: Session, images: np.ndarray, side: int | None = None) -> np.ndarray:
    """Embed crops uint8 (N, R, R, 3), made small first where a side is given."""
    rows = []
    for part in batches(np.arange(len(images))):
        batch = torch.from_numpy(images[part]).permute(0, 3, 1, 2).float() / 127.5 - 1
        rows.append(session.run((batch if side is None else made_small(batch, side)).numpy()))
    return np.concatenate(rows)


def told(values: np.ndarray) -> str:
    """Mean and spread of some cosines."""
    return f"{values.mean():.3f} ± {values.std():.3f}"


def altered(images: np.ndarray) -> np.ndarray:
    """The same pictures uint8 (N, R, R, 3) mirrored, moved, relit, halved and compressed."""
    torch.manual_seed(0)
    batch = torch.from_numpy(images).permute(0, 3, 1, 2).float().flip(3) / 127.5 - 1
    pixels = ((relight(nudge(batch)) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    found = []
    for picture in pixels:
        packed = io.BytesIO()
        Image.fromarray(picture).reduce(2).resize(picture.shape[:2]).save(packed, "JPEG", quality=60)
        found.append(np.asarray(Image.open(packed)))
    return np.stack(found)


class Album:
    """One person's album against its labels.

    Args:
        crops: its faces.
        labels: see the module.
        rows: embeddings (N, D).
    """

    def __init__(self, crops: Found, labels: dict[str, list[str]], rows: np.ndarray) -> None:
        self.rows, self.same = rows, crops.duplicates()
        person, hard, self.others = (
            np.flatnonzero(np.isin(crops.names, labels[kind])) for kind in ("person", "hard", "others")
        )
        large = crops.sides[person] >= LEAST
        self.good = person[large]
        self.hard = np.concatenate([hard, person[~large]])

    def references(self, count: int) -> list[np.ndarray]:
        """Draw sets of `count` reference photos from the good ones; all of them are one set."""
        if count == len(self.good):
            return [self.good]
        rng = np.random.default_rng(0)
        return [rng.choice(self.good, count, replace=False) for _ in range(DRAWS)]

    def own(self, probes: np.ndarray, rows: np.ndarray, count: int = REFERENCES) -> np.ndarray:
        """ID of photos of the person; references that show the same picture do not count."""
        found = []
        for chosen in self.references(count):
            for probe, row in zip(probes, rows, strict=True):
                others = chosen[~self.same[probe, chosen]]
                found.append((self.rows[others] @ row).max())
        return np.array(found)

    def strange(self, rows: np.ndarray, count: int = REFERENCES) -> np.ndarray:
        """ID of other people's embeddings (N, D) against each set of references."""
        return np.concatenate([(rows @ self.rows[chosen].T).max(1) for chosen in self.references(count)])

    def pairs(self) -> np.ndarray:
        """Cosines of two of the person's good photos, not the same picture twice."""
        first, second = np.triu_indices(len(self.good), 1)
        first, second = self.good[first], self.good[second]
        different = ~self.same[first, second]
        return np.asarray((self.rows[first] * self.rows[second]).sum(1)[different])


def tell_album(album: Album, strangers: dict[str, np.ndarray], limits: IdentityLimits, count: int) -> None:
    """Print one album's figures at full size against so many references."""
    limit = limits.threshold(count)
    print(f"  against {count} references, limit {limit:.3f}:")
    for kind, rows in (("good", album.good), ("hard", album.hard)):
        scores = album.own(rows, album.rows[rows], count)
        print(f"    own {kind} photos {told(scores)}, refused {(scores < limit).mean():.1%}")
    for kind, embeddings in {**strangers, "others in the album": album.rows[album.others]}.items():
        scores = album.strange(embeddings, count)
        print(f"    {kind} {told(scores)}, accepted {(scores >= limit).mean():.1%}")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("role", type=Path)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--cache", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    limits = read_limits(tomllib.loads((args.role / "identity.toml").read_text()))
    assert limits is not None, "identity.toml states nothing"
    session, faces = open_session(args.role / "identity.onnx", threads=1), Crops(args.data, "val", args.size)
    unseen = faces.pixels[faces.rows[some(faces, STRANGERS)]]
    rows = embed(session, unseen)
    cosines = (rows @ rows.T)[np.triu_indices(len(rows), 1)]
    high = ", ".join(f"{np.quantile(cosines, level):.3f}" for level in (0.99, 0.999))
    print(f"strangers, {len(rows)} faces of val: {told(cosines)}; 99 and 99.9 %: {high}")
    again = (embed(session, altered(unseen[:PAIRS])) * rows[:PAIRS]).sum(1)
    print(f"a face and itself altered: {told(again)}, below the limit {(again < limits.single).mean():.1%}")
    if args.labels is None or not (args.shared / "people").is_dir():
        print("no albums, or no labels of them: skipped")
        return
    portraits = embed(session, read_crops(args.shared / "portraits", args.size, args.cache).images)
    strangers, limit = {"faces of val": rows, "portraits": portraits}, limits.threshold(REFERENCES)
    small = {side: embed(session, unseen[:SMALL_STRANGERS], side) for side in SIZES}
    for name, labels in json.loads(args.labels.read_text()).items():
        crops = read_crops(args.shared / "people" / name, args.size, args.cache)
        album = Album(crops, labels, embed(session, crops.images))
        print(f"album {name}: {len(album.good)} good, {len(album.hard)} hard, {len(album.others)} of others")
        print(f"  two good photos {told(album.pairs())}")
        for count in (REFERENCES, len(album.good)):
            tell_album(album, strangers, limits, count)
        for side in SIZES:
            own = album.own(album.good, embed(session, crops.images[album.good], side))
            strange = album.strange(small[side])
            print(
                f"  {side} px: own {told(own)}, {(own < limit).mean():.1%} below the limit; strangers"
                f" {told(strange)}, {(strange >= limit).mean():.2%} above it"
            )


if __name__ == "__main__":
    main()
