"""A user study: questions about a person's held-out photos, and what the answers say (figs 8 to 10).

Two kinds of questions: whether a picture is a photograph or made, and which of two pictures looks more like
the person. The page (`study_page`) does not hold what is true; the key does.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mystyle_cli.baselines.untuned import DomainPrior, MyStyleNear
from mystyle_cli.errors import UsageError
from mystyle_cli.files.documents import Items, OneOf, Record, Table, Text, Whole
from mystyle_cli.files.parsing import DocumentError, json_of
from mystyle_cli.files.reading import read_file
from mystyle_cli.person.reference import HELD_OUT
from mystyle_cli.photos.pixels import Pixels, resize, to_pixels
from mystyle_cli.progress import Progress, silent
from mystyle_cli.restore.trials import comparison_settings, pictures, subjects

if TYPE_CHECKING:
    from mystyle_cli.baselines.baseline import Baseline
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.restore.task import Restoration

REAL, OURS, DOMAIN = "photo", "personal prior", "domain prior"  # what a picture is
KINDS: Final = ("real", "alike")  # of questions: a photograph or made, and which looks more like the person

# of answers: to "real", a photograph or made; to "alike", the picture on the left or on the right
CHOICES: Final = ("first", "second")

SHOWN: Final = 3  # photos of the reference set that stand above two pictures
PHOTOS: Final = 20  # held-out photos that are asked about at most, where no other number is given
MOST: Final = 1000  # questions of a study
LARGEST: Final = 1 << 20  # bytes of a file of answers, or of a key
FORMAT: Final = 1
_FILE: Final = "Take the file that the page has saved, as it was saved."
_KEY: Final = "Take the key.json that `mystyle study make` wrote with the page."


@dataclass(frozen=True)
class Question:
    """One question."""

    name: str  # by which answers name it
    kind: str  # one of `KINDS`
    pictures: tuple[Pixels, ...] = field(repr=False)  # uint8 (R, R, 3), one or two
    shows: tuple[str, ...]  # what each of them is


@dataclass(frozen=True)
class Study:
    """Questions in the order in which they are asked."""

    profile: str  # name of the person's profile
    prior: str  # name of its domain prior
    # of both kinds; "real" ones first, for two pictures of one photo would tell too much
    questions: tuple[Question, ...]
    references: Pixels = field(repr=False)  # uint8 (M, R, R, 3), photos of the person
    left_out: tuple[str, ...] = ()  # why photos are not asked about that could not be restored

    @property
    def name(self) -> str:
        """What tells it from any other: a digest of its pictures in their order."""
        digest = hashlib.sha256(self.references.tobytes())
        for question in self.questions:
            digest.update(question.name.encode())
            for picture in question.pictures:
                digest.update(np.ascontiguousarray(picture).tobytes())
        return digest.hexdigest()[:16]

    def key(self) -> bytes:
        """Return what is true, as a file."""
        questions = {one.name: {"kind": one.kind, "shows": list(one.shows)} for one in self.questions}
        body = {"mystyle": "study key", "format": FORMAT, "study": self.name, "questions": questions}
        return json.dumps(body, indent=1).encode() + b"\n"


def _printable(name: str) -> str:
    """Return a folder's name as the key may hold it."""
    return "".join(letter if letter.isprintable() else "?" for letter in name[:60])


def make_study(
    profile: Profile,
    photos: int = PHOTOS,
    seed: int = 0,
    against: Path | None = None,
    progress: Progress = silent,
) -> Study:
    """Make a study of a person's held-out photos, which are made small and enlarged again.

    Both priors search from their own means, so that the person's own net is no advantage. A photo that one of
    them fails on is left out.

    Args:
        photos: how many at most.
        seed: of the choice of photos, of the order of questions and of what stands left.
        against: a folder of another tool's results, one for each held-out photo, of its face's or file's
            name.

    Raises:
        ProfileError: the profile is not tuned, or its photos are not in it.
        UsageError: it has no held-out photo, or a result of the other tool is missing.
        MystyleError: no photo could be restored.
    """
    rng = np.random.default_rng(seed)
    records, faces = profile.photos(HELD_OUT), to_pixels(profile.faces(HELD_OUT))
    if not len(faces):
        raise UsageError(
            f"profile '{profile.name}' has no held-out photo to ask about",
            "Learn the person with some held out: profile create --held-out 0.2",
        )
    chosen = np.sort(rng.permutation(len(faces))[:photos])
    crops, names = faces[chosen], [_stem(records[number].face) for number in chosen]
    rivals: dict[str, Pixels] = {}
    if against is not None:
        stems = [(name, Path(records[number].file).stem) for name, number in zip(names, chosen, strict=True)]
        rivals[f"{_printable(against.resolve().name)} (yours)"] = _read_rival(against, stems, crops.shape[1])
    answers = [_answers(profile, crops, names, method, progress) for method in (MyStyleNear(), DomainPrior())]
    errors = {one.name: one.error for found in answers for one in found if one.error is not None}
    kept = [row for row, name in enumerate(names) if name not in errors]
    if not kept:
        raise errors[names[0]]
    ours, theirs = (pictures([found[row] for row in kept]) for found in answers)
    crops, rivals = crops[kept], {DOMAIN: theirs, **{name: made[kept] for name, made in rivals.items()}}
    references = to_pixels(profile.faces())
    shown = references[np.sort(rng.permutation(len(references))[:SHOWN])]
    asked = [*_ask_real(crops, ours, rng), *_ask_alike(ours, rivals, rng)][:MOST]
    named = [Question(f"q{number:03}", *one) for number, one in enumerate(asked, 1)]
    left_out = tuple(error.message for error in errors.values())
    return Study(profile.name, profile.prior.name, tuple(named), shown, left_out)


def _answers(
    profile: Profile, crops: Pixels, names: Sequence[str], method: Baseline, progress: Progress
) -> list[Restoration]:
    """Return what a method makes of photos that were made small."""
    settings = replace(comparison_settings("upscale"), start="centre")  # both priors at their means
    given = subjects(crops, "upscale", names, profile.prior.crop)
    return method.restore(profile, method.train(profile, 0), given, "upscale", settings, progress)


Asked = tuple[str, tuple[Pixels, ...], tuple[str, ...]]  # kind, pictures and what they show


def _ask_real(photos: Pixels, made: Pixels, rng: np.random.Generator) -> list[Asked]:
    """Ask about each photo once, of half of them what was made of it."""
    kept = rng.permutation(len(photos)) < (len(photos) + 1) // 2
    asked: list[Asked] = [
        ("real", (photo,), (REAL,)) if real else ("real", (picture,), (OURS,))
        for photo, picture, real in zip(photos, made, kept, strict=True)
    ]
    return [asked[number] for number in rng.permutation(len(asked))]


def _ask_alike(ours: Pixels, rivals: Mapping[str, Pixels], rng: np.random.Generator) -> list[Asked]:
    """Ask about ours and each rival's of every photo, one of them on the left by chance."""
    asked: list[Asked] = []
    for name, theirs in rivals.items():
        for pair in zip(ours, theirs, strict=True):
            if rng.random() < 0.5:
                asked.append(("alike", pair, (OURS, name)))
            else:
                asked.append(("alike", pair[::-1], (name, OURS)))
    return [asked[number] for number in rng.permutation(len(asked))]


def _stem(face: str | None) -> str:
    return Path(face or "").stem


def _read_rival(folder: Path, stems: Sequence[tuple[str, str]], size: int) -> Pixels:
    """Read another tool's results uint8 (B, R, R, 3), each by one of its photo's names."""
    from mystyle_cli.photos.decode import decode

    there: dict[str, Path] = {}
    for one in sorted(folder.iterdir()):
        there.setdefault(one.stem, one)
    found = []
    for names in stems:
        path = next((there[name] for name in names if name in there), None)
        if path is None:
            raise UsageError(
                f"{folder} has no result for the held-out photo {names[1]} (face {names[0]})",
                "Give a picture of one of these names for each held-out photo.",
            )
        pixels = decode(path).pixels
        if pixels.shape[0] != pixels.shape[1]:
            raise UsageError(f"{path} is not square", "Give results of the aligned faces.")
        found.append(resize(pixels, (size, size), "area" if len(pixels) > size else "lanczos"))
    return np.stack(found)


@dataclass(frozen=True)
class Key:
    """What is true of a study."""

    study: str  # its name
    questions: Mapping[str, tuple[str, tuple[str, ...]]]  # by name, the kind and what its pictures show


@dataclass(frozen=True)
class Tally:
    """How often something was answered."""

    what: str  # in words
    count: int  # answers that say so
    answers: int  # of all
    low: float  # low, high: the 95 % interval of the share; see `wilson`
    high: float

    @property
    def share(self) -> float:
        """Of the answers that say so."""
        return self.count / self.answers


_NAME: Final = Text(16)
_KEY_FIELDS: Final = Record(
    {
        "mystyle": OneOf(("study key",)),
        "format": Whole(FORMAT, FORMAT),
        "study": _NAME,
        "questions": Table(Record({"kind": OneOf(KINDS), "shows": Items(Text(100), 2)}), _NAME, MOST),
    }
)
_ANSWER_FIELDS: Final = Record(
    {
        "mystyle": OneOf(("study answers",)),
        "format": Whole(FORMAT, FORMAT),
        "study": _NAME,
        "answers": Table(OneOf(CHOICES), _NAME, MOST),
    }
)


def read_key(path: Path) -> Key:
    """Read a study's key.

    Raises:
        UsageError: it is none.
    """
    found = _read(path, _KEY_FIELDS, _KEY)
    questions = {name: (one["kind"], tuple(one["shows"])) for name, one in found["questions"].items()}
    for kind, shows in questions.values():
        sound = shows in ((REAL,), (OURS,)) if kind == "real" else len(set(shows)) == 2 and OURS in shows
        if not sound:
            raise UsageError(f"{path} is no key of a study: a question shows what none does", _KEY)
    return Key(found["study"], questions)


def read_answers(path: Path, key: Key) -> dict[str, str]:
    """Read what one person answered.

    Returns:
        One of `CHOICES` by the name of a question; not every question need be answered.

    Raises:
        UsageError: the file is none, or is of another study.
    """
    found = _read(path, _ANSWER_FIELDS, _FILE)
    if found["study"] != key.study:
        raise UsageError(f"{path} answers another study than this key is of", "Give the key of that study.")
    answers: dict[str, str] = found["answers"]
    if unknown := sorted(answers.keys() - key.questions.keys()):
        raise UsageError(f"{path} answers {unknown[0]!r}, which was not asked", _FILE)
    return answers


def _read(path: Path, fields: Record, hint: str) -> dict[str, Any]:
    try:
        return fields.read(json_of(read_file(path, LARGEST)))
    except (OSError, DocumentError) as error:
        reason = (error.strerror or error) if isinstance(error, OSError) else error
        raise UsageError(f"{path} cannot be read: {reason}", hint) from error


def score(key: Key, people: Iterable[Mapping[str, str]]) -> list[Tally]:
    """Count what people answered.

    Args:
        key: what is true.
        people: the answers of each; see `read_answers`.

    Returns:
        How often photos, and what was made, were taken for photographs, and how often ours was chosen over
        each rival's; nothing for what nobody answered.
    """
    counts: dict[str, list[int]] = {}
    for answers in people:
        for name, choice in answers.items():
            kind, shows = key.questions[name]
            if kind == "real":
                what, yes = f"{shows[0]} taken for a photograph", choice == CHOICES[0]
            else:
                rival = next(one for one in shows if one != OURS)
                what, yes = f"{OURS} chosen over {rival}", shows[CHOICES.index(choice)] == OURS
            tally = counts.setdefault(what, [0, 0])
            tally[0] += yes
            tally[1] += 1
    return [Tally(what, yes, of, *wilson(yes, of)) for what, (yes, of) in sorted(counts.items())]


Z: Final = 1.959963984540054  # standard deviations within which a normal variable lies in 95 of 100 cases


def wilson(count: int, of: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, which holds for few answers and for none or all, too.

    Args:
        count: of 0 to `of`.
        of: 1 or more.

    Source: Wilson 1927.
    """
    share, width = count / of, Z * Z / of
    middle = (share + width / 2) / (1 + width)
    half = Z / (1 + width) * math.sqrt(share * (1 - share) / of + width / (4 * of))
    return max(0.0, middle - half), min(1.0, middle + half)
