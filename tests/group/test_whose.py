"""Whose faces are: nobody twice, the nearer first, and no stranger where little shows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mystyle_cli.faces.align import FFHQ
from mystyle_cli.find.gate import CLEARER, Gate
from mystyle_cli.find.locate import as_photo
from mystyle_cli.group import whose
from mystyle_cli.group.whose import Crowd, Found, _alone, tell_apart
from mystyle_cli.person.score import id_scores
from mystyle_cli.photos.pixels import to_unit
from tests.support.groups import in_squares
from tests.support.tiny_store import looking_like

SIDE = 32


@dataclass(frozen=True)
class Someone:
    """Who looks like a number, told by their pixels."""

    who: str
    number: int
    id_threshold: float = 0.9
    person: str = ""
    profile: str = ""
    has_faces: bool = True

    @property
    def manifest(self) -> Any:
        """What of a manifest is asked for."""
        return SimpleNamespace(prior=SimpleNamespace(resolution=SIDE))

    @property
    def name(self) -> str:
        """The profile's name."""
        return self.profile or self.who

    @property
    def prior(self) -> Any:
        """A prior whose identity net looks at pixels alone."""
        return SimpleNamespace(digest="d", crop=FFHQ, identity_limits=None, embed=embed, resolution=SIDE)

    def photos(self) -> range:
        """Return what stands for the records of the reference photos."""
        return range(len(photos_of(self.number)))

    def faces(self, rows: list[int] | None = None) -> np.ndarray:
        """Return the reference photos."""
        return photos_of(self.number) if rows is None else photos_of(self.number)[rows]

    def reference_embeddings(self) -> np.ndarray:
        """Return what they are known by."""
        return embed(self.faces())

    def id_score(self, images: np.ndarray, others: Any = None) -> np.ndarray:
        """Return the cosine to the nearest photo."""
        return id_scores(embed(images), self.reference_embeddings(), others)


@cache
def photos_of(number: int) -> np.ndarray:
    """Return photos of who looks like a number."""
    return np.stack([to_unit(looking_like(number)(seed, SIDE)) for seed in range(6)])


def embed(images: np.ndarray) -> np.ndarray:
    """Return unit rows."""
    rows = images.reshape(len(images), -1)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def judged(
    people: list[Someone], numbers: list[int], *, force: bool = False, hidden: bool = False
) -> list[Found]:
    """Return what is known of faces that look like some numbers, in a row.

    Args:
        hidden: a corner of each is.
    """
    drawn = {(40 * place, 10): looking_like(number) for place, number in enumerate(numbers)}
    pixels, places = in_squares(drawn, (52, 40 * len(numbers)), SIDE)
    photo = as_photo(pixels)
    crowd = Crowd(people, None)  # type: ignore[arg-type]
    mask = np.zeros(pixels.shape[:2], np.uint8)
    mask[10:14] = 255
    likenesses = crowd.likenesses(photo, "a photo", places, [mask if hidden else None] * len(places))
    return tell_apart(places, likenesses, force=force)


def verdicts(people: list[Someone], numbers: list[int], **how: bool) -> list[tuple[str, str]]:
    """Return verdict and person for faces that look like some numbers, in a row; see `judged`."""
    return [(one.verdict, one.who) for one in judged(people, numbers, **how)]


def test_each_face_is_the_nearest_person_s_and_nobody_is_there_twice() -> None:
    """Of two faces of one the nearer; the other goes to nobody else; a stranger is nobody's."""
    ada, ben = Someone("ada", 0), Someone("ben", 1)
    assert verdicts([ada, ben], [1, 0]) == [("done", "ben"), ("done", "ada")]
    assert verdicts([ada, ben], [0, 2]) == [("done", "ada"), ("unknown", "")]
    found = verdicts([ada, ben], [0, 0, 1])
    assert sorted(found[:2]) == [("done", "ada"), ("twice", "ada")]
    assert found[2] == ("done", "ben")
    anybody = [Someone("ben", 1, -1.0), Someone("ada", 0, -1.0)]  # who may both be on any photo
    assert verdicts(anybody, [0]) == [("done", "ada")]
    # behind a hole it is who is clearly nearer by photos with the same hole, if anybody is
    assert verdicts(anybody, [0], hidden=True) == [("done", "ada")]
    twins = [Someone("eva", 0, -1.0), Someone("ada", 0, -1.0)]
    assert verdicts(twins, [0], hidden=True)[0][0] == "unsure"
    assert verdicts(twins[1:], [0], hidden=True) == [("done", "ada")]
    assert verdicts([ada, ben], [0, 0, 1], force=True) == [("done", "ada"), ("done", "ada"), ("done", "ben")]


def test_a_lowered_gate_lets_in_nobody_whom_others_are_as_like(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where little of a face shows, it must be more like the person than other people's photos are."""
    monkeypatch.setattr(whose, "open_gate", lambda *given: Gate(-1.0, -1.0))
    ada, ben = Someone("ada", 0), Someone("ben", 1)
    (likely,) = verdicts([ada, ben], [0])
    assert likely == ("done", "ada")
    known = [ada, ben, *(Someone(f"p{number}", number) for number in range(2, 8))]
    strangers = range(20, 32)
    unsure = [number for number in strangers if verdicts(known, [number])[0][0] == "unsure"]
    assert len(unsure) > 2  # those no more like the nearest than others of the store are
    assert verdicts(known, unsure[:1], force=True)[0][0] == "done"
    assert verdicts([ada], unsure[:1]) == [("done", "ada")]  # nobody else is known who could tell


def test_who_has_a_profile_of_their_own_is_worked_on_by_it() -> None:
    """And not by one of several people, in which they are as like the face."""
    one_of_two, own = Someone("ada", 0, person="ada", profile="a-duo"), Someone("ada", 0)
    (found,) = judged([one_of_two, own], [0])
    assert found.chosen is not None
    assert found.chosen.person is own


def test_behind_a_hole_somebody_is_alone_who_is_clearly_nearer() -> None:
    """By photos damaged alike; where those are not compared, nobody else may be possible."""

    def one(who: str, score: float | None, *, possible: bool = True) -> Any:
        return SimpleNamespace(possible=possible, person=SimpleNamespace(who=who), as_damaged=score)

    ada = one("ada", 0.9)
    assert _alone(ada, [ada, one("ben", 0.9 - 1.1 * CLEARER)])
    assert not _alone(ada, [ada, one("ben", 0.9 - 0.9 * CLEARER)])
    assert not _alone(ada, [ada, one("ben", None)])
    assert not _alone(one("ada", None), [ada, one("ben", 0.1)])
    assert _alone(one("ada", None), [ada, one("ben", 0.9, possible=False)])


def test_scores_of_several_priors_are_not_compared() -> None:
    """Their identity nets differ."""
    held = [
        SimpleNamespace(
            possible=True,
            person=SimpleNamespace(who=who, has_faces=True, prior=SimpleNamespace(digest=who)),
        )
        for who in ("ada", "ben")
    ]
    assert Crowd._told_apart(SimpleNamespace(), held) == tuple(held)  # type: ignore[arg-type]
