"""The paper's experiments on six rendered people and on albums, by the commands that anybody would type.

    python -m tools.paper OUT                   # the demonstration people and four that nothing was set on
    python -m tools.paper OUT --albums FOLDER   # and each folder of photos in FOLDER, by the default prior
    python -m tools.paper OUT --share 0.02 --only enhancement

Who is learned already stays, and what was measured is found again: it can be stopped at any time.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tools.portraits import PRIOR
from tools.portraits.identity import draw_traits
from tools.portraits.people import PEOPLE, Person, write_good_photos

FIRST_SEED: Final = 930_000
"""Of people that no net was trained on and no setting was chosen with."""

UNSEEN: Final = tuple(
    Person(f"s{number}", FIRST_SEED + number, draw_traits(FIRST_SEED + number), "") for number in range(4)
)
PHOTOS: Final = 80
HELD_OUT: Final = "0.2"


def run(store: Path, *arguments: str) -> None:
    """Run `mystyle` on a store, and stop where it fails."""
    mystyle = Path(sys.executable).with_name("mystyle")
    command = [str(mystyle), "--store", str(store), *arguments]
    print("$", *command, flush=True)
    subprocess.run(command, check=True)


def learn(store: Path, name: str, photos: Path, prior: Sequence[str], consent: str) -> None:
    """Learn a person who is not there, or not ready."""
    options = ["--held-out", HELD_OUT, "--seed", "1", "--consent", consent, *prior]
    run(store, "profile", "create", name, str(photos), *options)


def main() -> None:
    """Learn everybody, and evaluate rendered people together and albums together."""
    parser = argparse.ArgumentParser(prog="python -m tools.paper", description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--share", default="0.12", help="of the paper's numbers of photos and pictures")
    parser.add_argument("--albums", type=Path, help="a folder with a folder of photos for each person")
    parser.add_argument("--only", action="append", default=[], help="only this experiment; may be repeated")
    args = parser.parse_args()
    store, out = args.out / "store", args.out
    for person in (*UNSEEN, *PEOPLE):
        write_good_photos(person, out / "photos", PHOTOS)
        learn(store, person.name, out / "photos" / person.name, ["--prior", PRIOR], "rendered, nobody's face")
    groups = {"rendered": [person.name for person in (*UNSEEN, *PEOPLE)]}
    if args.albums:
        folders = sorted(folder for folder in args.albums.iterdir() if folder.is_dir())
        for folder in folders:
            learn(store, folder.name, folder, [], "photos to measure on")
        groups["albums"] = [folder.name for folder in folders]
    only = [word for name in args.only for word in ("--only", name)]
    for group, names in groups.items():
        options = ["--paper", "--share", args.share, "--seed", "0", *only]
        run(store, "evaluate", *names, *options, "-o", str(out / group))


if __name__ == "__main__":
    main()
