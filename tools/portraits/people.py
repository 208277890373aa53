"""The demonstration people: each a folder of photos as a phone would hold them, bad ones planted among them.

    python -m tools.portraits.people profiles/photos

For a person NAME it writes NAME/IMG_*.jpg (the folder a user would give to `profile create`), NAME-held-out/
(photos kept back, and for each the mask of the skin mark) and NAME.toml (who they are, and what each planted
photo is).
"""

from __future__ import annotations

import argparse
import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tomli_w
from PIL import Image, ImageFilter

from tools.portraits.identity import Identity, Traits, draw_identity
from tools.portraits.render import Portrait, render
from tools.portraits.scene import draw_scene, draw_state

GOOD, HELD_OUT_PHOTOS = 48, 12


@dataclass(frozen=True)
class Person:
    """A demonstration person: a seed outside the population, and signature traits."""

    name: str
    seed: int
    traits: Traits
    words: str

    @property
    def identity(self) -> Identity:
        """Who they are."""
        return draw_identity(self.seed)


PEOPLE = (
    Person(
        "ada",
        900_003,
        Traits(
            birthmark_x=0.30, birthmark_y=-0.21, birthmark_size=0.095, streak_angle=-0.55, streak_size=0.13
        ),
        "a birthmark below one eye and a light streak in her hair",
    ),
    Person(
        "marco",
        900_021,
        Traits(
            birthmark_x=0.22,
            birthmark_y=-0.22,
            birthmark_size=0.10,
            scar_x=-0.26,
            scar_y=-0.20,
            scar_angle=-0.75,
            scar_size=0.20,
            odd_eye=1.0,
            tooth_gap=0.016,
        ),
        "a birthmark on his cheek, a scar below one eye, eyes of two colours and a tooth gap",
    ),
)


def draw_photo(
    person: Person, number: int, *, wide: bool = False, face: float | None = None, yaw: float = 28.0
) -> Portrait:
    """Render one photo of a person at one of a phone's formats."""
    rng = np.random.default_rng([person.seed, number, 2])
    width, height = (520, 420) if wide or rng.random() < 0.25 else (400, 500)
    state = draw_state(rng, yaw=yaw)
    scene = draw_scene(rng, width=width, height=height, face=face or float(rng.uniform(88.0, 125.0)))
    if width > height:
        scene = scene._replace(centre_x=float(rng.uniform(0.38, 0.62)), scale=min(scene.scale, 112.0))
    return render(person.identity, state, scene, person.traits)


def _stranger(number: int) -> Person:
    return Person("stranger", 910_000 + number, Traits(), "")


def _together(person: Person, other: Person, number: int) -> np.ndarray:
    """Return a photo with two people side by side."""
    rng = np.random.default_rng([person.seed, number, 3])
    scene = draw_scene(rng, width=620, height=440, face=88.0)._replace(tilt=0.0)
    left = render(other.identity, draw_state(rng, yaw=18), scene._replace(centre_x=0.27))
    right = render(person.identity, draw_state(rng, yaw=18), scene._replace(centre_x=0.70), person.traits)
    cover = right.matte[..., None] / 255.0
    return np.asarray(left.pixels * (1 - cover) + right.pixels * cover + 0.5).astype(np.uint8)


def _jpeg(pixels: np.ndarray, quality: int = 90, exif: bytes = b"") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality, exif=exif)
    return stream.getvalue()


def _turned(pixels: np.ndarray) -> bytes:
    """Return a JPEG stored lying on its side, with the EXIF tag that says so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return _jpeg(np.rot90(pixels), exif=exif.tobytes())


def _heic(pixels: np.ndarray) -> bytes:
    import pillow_heif

    stream = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(pixels)).save(stream, quality=80)
    return stream.getvalue()


def _scenery(rng: np.random.Generator) -> np.ndarray:
    """Return a landscape of soft hills: a photo without a face."""
    height, width = 400, 520
    y, x = np.mgrid[0:height, 0:width] / float(width)
    picture = np.stack([0.55 + 0.3 * y, 0.7 + 0.1 * y, 0.92 - 0.2 * y], -1)
    for n in range(4):
        ridge = 0.30 + 0.11 * n + 0.05 * np.sin(x * rng.uniform(4, 11) + rng.uniform(0, 6))
        shade = np.array([0.25, 0.42, 0.22]) * (1.1 - 0.2 * n) + rng.normal(0, 0.01, (height, width, 1))
        picture = np.where((y > ridge)[..., None], shade, picture)
    return np.asarray(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def _wearing(person: Person, number: int, *, mask: float = 0.0, sunglasses: float = 0.0) -> np.ndarray:
    plain = draw_photo(person, number, yaw=12)
    scene = plain.scene._replace(mask=mask, sunglasses=sunglasses)
    return render(person.identity, plain.state, scene, person.traits).pixels


def _blurred(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(7)))


def _planted(person: Person) -> list[tuple[str, str, Callable[[], bytes]]]:
    """Return (suffix, expected verdict or reason, bytes) of each planted photo."""
    rng = np.random.default_rng([person.seed, 4])
    photo = lambda n, **how: draw_photo(person, 200 + n, **how)  # noqa: E731
    grey = lambda a: np.repeat(np.asarray(Image.fromarray(a).convert("L"))[..., None], 3, -1)  # noqa: E731
    side = draw_state(rng)._replace(yaw=68.0, pitch=2.0)
    small = np.asarray(
        Image.fromarray(draw_photo(person, 3).pixels).resize((300, 375), Image.Resampling.LANCZOS)
    )
    return [
        (".jpg", "not-this-person", lambda: _jpeg(draw_photo(_stranger(1), 1).pixels)),
        (".jpg", "not-this-person", lambda: _jpeg(draw_photo(_stranger(2), 2).pixels)),
        (".jpg", "not-this-person", lambda: _jpeg(draw_photo(_stranger(3), 3).pixels)),
        (".jpg", "kept", lambda: _jpeg(_together(person, _stranger(4), 1))),
        (".jpg", "kept", lambda: _jpeg(_together(person, _stranger(5), 2))),
        (".jpg", "duplicate", lambda: _jpeg(draw_photo(person, 0).pixels, quality=60)),
        (".jpg", "duplicate", lambda: _jpeg(small)),
        (".jpg", "grey", lambda: _jpeg(grey(photo(1).pixels))),
        (".jpg", "low-quality", lambda: _jpeg(_blurred(photo(2).pixels))),
        (".jpg", "small-face", lambda: _jpeg(photo(3, face=17.0).pixels)),
        (".jpg", "no-face", lambda: _jpeg(_scenery(rng))),
        (".jpg", "unreadable", lambda: _jpeg(photo(4).pixels)[:600]),
        (".jpg", "unreadable", lambda: b"Shopping: milk, bread, two lemons, batteries\n"),
        (".jpg", "occluded", lambda: _jpeg(_wearing(person, 205, mask=1.0))),
        (".jpg", "occluded", lambda: _jpeg(_wearing(person, 206, sunglasses=1.0))),
        (
            ".jpg",
            "extreme-pose",
            lambda: _jpeg(render(person.identity, side, photo(7).scene, person.traits).pixels),
        ),
        (".jpg", "kept", lambda: _turned(photo(8).pixels)),
        (".heic", "kept", lambda: _heic(photo(9).pixels)),
    ]


def write_good_photos(person: Person, folder: Path, count: int) -> list[Path]:
    """Write so many photos of a person with nothing planted among them; those that are there stay."""
    place = folder / person.name
    place.mkdir(parents=True, exist_ok=True)
    paths = [place / f"{number + 1:03d}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        if not path.exists():
            path.write_bytes(_jpeg(draw_photo(person, number).pixels))
    return paths


def write_person(person: Person, folder: Path) -> None:
    """Write one person's photos, held-out photos with trait masks, and what is true of them."""
    photos, held_out = folder / person.name, folder / f"{person.name}-held-out"
    for place in (photos, held_out):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
    expected: dict[str, str] = {}
    good = [(".jpg", "kept", lambda n=n: _jpeg(draw_photo(person, n).pixels)) for n in range(GOOD)]
    entries = [*good, *_planted(person)]
    order = np.random.default_rng([person.seed, 5]).permutation(len(entries))
    for place, number in enumerate(order):
        suffix, verdict, content = entries[number]
        name = f"IMG_{2100 + 3 * place}{suffix}"
        (photos / name).write_bytes(content())
        if number >= GOOD:
            expected[name] = verdict
    for number in range(HELD_OUT_PHOTOS):
        portrait = draw_photo(person, 100 + number)
        (held_out / f"{number + 1:02d}.jpg").write_bytes(_jpeg(portrait.pixels, quality=93))
        mark = Image.fromarray((portrait.trait_mask > 200).astype(np.uint8) * 255).convert("1")
        mark.save(held_out / f"{number + 1:02d}-mark.png", optimize=True)
    facts = {
        "name": person.name,
        "traits": person.words,
        "seed": person.seed,
        "planted": dict(sorted(expected.items())),
    }
    (folder / f"{person.name}.toml").write_text(tomli_w.dumps(facts))


def main() -> None:
    """Write all demonstration people."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for person in PEOPLE:
        write_person(person, folder)
        print(f"{person.name}: {len(list((folder / person.name).iterdir()))} photos")


if __name__ == "__main__":
    main()
