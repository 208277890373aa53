"""What a profile's folder holds, by name."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from mystyle_cli.files.owned import Layout, Owned
from mystyle_cli.files.reading import digest_of, read_file

FOLDER: Final = "onnx"
SYNTHESIS: Final = "synthesis.onnx"
HALF: Final = "synthesis-fp16.onnx"

PARITY: Final = "parity.toml"

PHOTOS: Final = "photos.jsonl"
REFERENCES: Final = "references.safetensors"
ANCHORS: Final = "anchors.safetensors"
GENERATOR: Final = "generator.safetensors"
CONTACT_SHEET: Final = "contact-sheet.png"

MARKER: Final = ".mystyle"  # the file that says that mystyle made the folder

# the file that says that the profile is being deleted: nothing of it counts any more
TOMBSTONE: Final = ".deleting"

COMMIT: Final = ".commit"
RUNS: Final = "runs"
NEXT: Final = "runs/next"
PAYLOAD: Final = "runs/next/profile"
TUNE: Final = "runs/next/tune"
STAGES: Final = "runs/next/stages.toml"

LOSS_TABLE: Final = "runs/loss.csv"  # the loss curve of a tuning; only a record, which no work depends on

# generators tuned on one photo each, kept so that a second edit of it need not; all can be spared
REFINED: Final = "refined"

MARK: Final = b'made_by = "mystyle"\nkind = "profile"\n'

_DATA: Final = (
    r"profile\.toml|photos\.jsonl|contact-sheet\.png|(anchors|generator|references)\.safetensors"
    r"|faces/m?\d{4,8}\.png|runs/loss\.csv"
    r"|onnx/((synthesis|synthesis-fp16|encoder|identity|matte|instant|instant-loss)\.onnx|parity\.toml)"
)
_WORK: Final = rf"({re.escape(COMMIT)}/|{PAYLOAD}/)?({_DATA})|{STAGES}|{TUNE}/state\.safetensors"
_SPARED: Final = rf"{REFINED}/[0-9a-f]{{12}}-[0-9a-f]{{40}}\.safetensors"
_INNER: Final = ("faces", "onnx", RUNS)

# the names that the program gives; files and folders of other names in a profile are the user's
LAYOUT: Final = Layout(
    files=re.compile(rf"{re.escape(MARKER)}|{re.escape(TOMBSTONE)}|{_WORK}|{_SPARED}"),
    folders=frozenset(
        [*_INNER, REFINED, COMMIT, NEXT, PAYLOAD, TUNE]
        + [f"{outer}/{inner}" for outer in (COMMIT, PAYLOAD) for inner in _INNER]
    ),
    private=True,
)


# bytes that files have at most, by their ending
_LARGEST: Final = {
    ".toml": 4 << 20,
    ".jsonl": 128 << 20,
    ".csv": 16 << 20,
    ".png": 256 << 20,
    ".safetensors": 2 << 30,
    ".onnx": 2 << 30,  # more no such file can have
}


def largest(name: str) -> int:
    """Return how many bytes a file of a name may have; more is never read of it."""
    return _LARGEST.get(Path(name).suffix, 0)


def owned(folder: Path) -> Owned:
    """Return a profile's folder as one of the program's, whether it is there or not."""
    return Owned(folder.parent, folder.name, LAYOUT)


def data_name(name: str) -> bool:
    """Tell whether a relative name is one of a profile's data files."""
    return re.fullmatch(_DATA, name) is not None


def place_of(folder: Path, name: str) -> Path:
    """Return where a file of a profile is for readers, who may meet a commit under way.

    From the instant at which `.commit/` is there the next version counts, whose files are moved out of it
    one by one, `profile.toml` last. Readers look there first and change nothing.
    """
    here = owned(folder)
    staged = here.has(f"{COMMIT}/profile.toml") and here.has(f"{COMMIT}/{name}")
    return folder / COMMIT / name if staged else folder / name


def read_data(folder: Path, name: str) -> bytes:
    """Return the content of a profile's data file as readers find it; raises as `reading.read_file` does."""
    return read_file(place_of(folder, name), largest(name), folder)


def refined_name(generator: str, key: str) -> str:
    """Return the name under which a generator tuned on one photo is kept.

    Args:
        generator: sha256 of G_p, from which it was tuned.
        key: sha256 of all that it depends on.
    """
    return f"{REFINED}/{generator[:12]}-{key[:40]}.safetensors"


def digest_of_data(folder: Path, name: str) -> str:
    """Return the sha256 of a profile's data file as readers find it; raises as `reading.digest_of` does."""
    return digest_of(place_of(folder, name), largest(name), folder)


def is_there(folder: Path, name: str) -> bool:
    """Tell whether something of a data file's name is there as readers find it, whatever it is.

    Raises:
        OSError: the folder may not be looked into.
    """
    try:
        os.lstat(place_of(folder, name))
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def marked(folder: Path) -> bool:
    """Tell whether a folder carries the program's mark, or what a deletion leaves in its place."""
    here = owned(folder)
    return here.has(MARKER) or here.has(TOMBSTONE)


def deleting(folder: Path) -> bool:
    """Tell whether a profile is being deleted, or its deletion was interrupted."""
    return owned(folder).has(TOMBSTONE)
