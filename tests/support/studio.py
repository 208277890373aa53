"""A studio with two clients and many small photos of each, made without learning: for runs of many items."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from mystyle_cli.instant.net import InstantSettings
from tests.support.tiny_prior import make_prior
from tests.support.tiny_store import add_export, add_instant, looking_like, make_store

CLIENTS: Final = ("ada", "ben")
SIDE: Final = 8
"""Pixels of a photo."""

SMALL: Final = InstantSettings(samples=8, views=1, width=8, steps=2, batch=4)


@dataclass(frozen=True)
class Studio:
    """A folder with a store, and a folder of photos for each client.

    Args:
        count: photos of each.
    """

    root: Path
    count: int

    def photos(self, name: str) -> Path:
        """Return the folder of a client's photos."""
        return self.root / "photos" / name

    def words(self, name: str, output: Path, together: int = 8, engine: str = "") -> list[str]:
        """Return what stands after `mystyle` to have a client's photos enlarged.

        Args:
            together: photos that are worked on at once.
            engine: what `--on` is told, if anything.
        """
        how = ["--aligned", "--force", "--instant", "--batch", str(together)]
        where = ["--on", engine] if engine else []
        threads = ["--threads", "1"] if not engine or engine.startswith("local") else []  # as all others have
        before = ["--store", str(self.root / "store"), "--no-progress", *threads]
        return [*before, "upscale", name, str(self.photos(name)), "-o", str(output), *how, *where]

    def originals(self) -> dict[str, str]:
        """Return the digests of all photos."""
        return digests(self.root / "photos")


def make_studio(root: Path, count: int) -> Studio:
    """Make one in an empty folder, with a profile for each client that answers at once."""
    prior = make_prior(root / "tiny-32")
    studio = Studio(root, count)
    for who, name in enumerate(CLIENTS):
        draw = looking_like(who)
        store = make_store(root / "store", prior, name, draw, who)
        add_instant(store, name, SMALL)
        add_export(store, name)
        studio.photos(name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(draw(number, SIDE)).save(studio.photos(name) / f"{number:05}.png")
    return studio


def names(count: int) -> Sequence[str]:
    """Return the names that the results of so many photos have, in a folder of their own."""
    return [f"{number:05}.png" for number in range(count)]


def digests(folder: Path) -> dict[str, str]:
    """Return the digests of all files below a folder, by their place in it."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
