"""Rendered people as training data: photos rendered, found, aligned and stored in shards.

    python -m tools.portraits.dataset FOLDER --first 0 --last 4 [--people 500 --photos 6]
    python -m tools.portraits.dataset FOLDER --first 0 --last 5 --marked

With `--marked` every person is the double of the one with the same number, with signature traits: for the
discriminant of the identity net, which has to count a birthmark. The generator never sees them.
Each shard holds a block of people, so that several processes can make shards side by side and a run that was
stopped goes on with the first missing shard. People numbered below `HELD_OUT` are for validation only.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from mystyle_cli.faces.align import FFHQ, face_quad, to_crop, warp
from mystyle_cli.faces.face import Face
from mystyle_cli.faces.faces import find_faces
from tools.portraits.identity import Identity, Traits, draw_identity, draw_traits
from tools.portraits.render import Portrait, render
from tools.portraits.scene import Scene, State, draw_scene, draw_state

HELD_OUT = 100  # people that no net has seen
MARKED = 1_000_000  # added to the number of a person's marked double
SIZE = 128
_PHOTO = {"width": 240, "height": 300, "face": 67.0}


def render_photo(
    person: int, number: int, *, identity: Identity | None = None, traits: Traits | None = None
) -> Portrait:
    """Render photo `number` of a person of the population, or of a marked double."""
    rng = np.random.default_rng([person, number, 1])
    if person >= MARKED:
        identity, traits = draw_identity(person - MARKED), draw_traits(person - MARKED)
    return render(identity or draw_identity(person), draw_state(rng), draw_scene(rng, **_PHOTO), traits)


def is_held_out(people: np.ndarray) -> np.ndarray:
    """Which of the people (N,) no net has seen; a double is as unseen as the person."""
    return people % MARKED < HELD_OUT


def find_portrait(portrait: Portrait) -> Face | None:
    """Find the rendered face as any photo's face is found, or None."""
    faces = find_faces(portrait.pixels, upsample=1.2)  # faces here have about 90 px; a closer look is slower
    return faces[0] if faces else None


def crop_portrait(portrait: Portrait, size: int = SIZE) -> dict[str, np.ndarray] | None:
    """Align a rendered photo as a real one; returns its arrays, or None where no face is found."""
    face = find_portrait(portrait)
    if face is None:
        return None
    quad = face_quad(face.landmarks, FFHQ)
    return {
        "crops": warp(portrait.pixels, quad, size),
        "mattes": warp(portrait.matte, quad, size),
        "traits": warp(portrait.trait_mask, quad, size),
        "landmarks": to_crop(portrait.landmarks, quad, size).astype(np.float32),
        "states": np.array([*portrait.state, *portrait.scene], np.float32),
        "identities": np.array(portrait.identity, np.float32),
    }


STATE_NAMES = (*State._fields, *Scene._fields)


def make_shard(path: Path, people: range, photos: int) -> int:
    """Render, align and store `photos` photos of each person; returns how many were stored."""
    rows: list[dict[str, np.ndarray]] = []
    numbers = []
    for number in range(photos):
        for person in people:
            row = crop_portrait(render_photo(person, number))
            if row is not None:
                rows.append(row)
                numbers.append(person)
    arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, people=np.array(numbers, np.int32), state_names=np.array(STATE_NAMES), **arrays)
    partial.rename(path)
    return len(rows)


def main() -> None:
    """Make the shards that are missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--first", type=int, default=0, help="first shard")
    parser.add_argument("--last", type=int, required=True, help="shard to stop before")
    parser.add_argument("--people", type=int, default=100, help="people in a shard")
    parser.add_argument("--photos", type=int, default=6, help="photos of each person")
    parser.add_argument("--marked", action="store_true", help="doubles with signature traits")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for number in range(args.first, args.last):
        path = args.folder / f"{'marked' if args.marked else 'shard'}-{number:04d}.npz"
        if path.exists():
            continue
        start = time.perf_counter()
        first = number * args.people + MARKED * args.marked
        stored = make_shard(path, range(first, first + args.people), args.photos)
        print(
            f"{path.name}: {stored} pictures, {(time.perf_counter() - start) / stored:.3f} s each", flush=True
        )


if __name__ == "__main__":
    main()
