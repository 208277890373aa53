"""How low the ID score may be of a photo that shows little of the person."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from mystyle_cli.find.gate import SPREADS, Gate, degrade, id_as_damaged, open_gate
from mystyle_cli.prior.manifest import IdentityLimits

SIDE = 32
CLEAR = np.zeros((SIDE, SIDE), np.float32)
HOLE = CLEAR.copy()
HOLE[12:20, 8:24] = 1
STRENGTHS = np.linspace(0.5, 0.7, 8).astype(np.float32)


@dataclass(eq=False)
class Person:
    """Somebody whose photos are a pattern, each of its own strength, and whose ID score is that strength."""

    pattern: np.ndarray
    id_threshold: float
    limits: IdentityLimits | None = None
    manifest: SimpleNamespace = field(
        default_factory=lambda: SimpleNamespace(prior=SimpleNamespace(resolution=SIDE))
    )

    @property
    def prior(self) -> SimpleNamespace:
        """Return a prior that states the limits."""
        return SimpleNamespace(identity_limits=self.limits)

    read: list[int] = field(default_factory=list)  # photos, as they were read

    def photos(self) -> range:
        """Return what stands for the records of the reference photos."""
        return range(len(STRENGTHS))

    def faces(self, rows: list[int] | None = None) -> np.ndarray:
        """Return the reference photos (N, 3, R, R)."""
        asked = list(self.photos()) if rows is None else rows
        self.read += asked
        shown = self.pattern * STRENGTHS[asked, None, None, None]
        return np.tile(shown, (1, 3, 1, 1)).astype(np.float32)

    def id_score(self, images: np.ndarray, others: object = None) -> np.ndarray:
        """Return the root mean square of each picture."""
        return np.sqrt(np.square(images).mean(axis=(1, 2, 3)))


def limit(person: Person, side: float, hole: np.ndarray) -> float:
    """Return the one limit of a prior that states nothing."""
    gate = open_gate(person, side, hole)
    assert gate.theirs == gate.others
    return gate.others


CHECKS = np.indices((SIDE, SIDE)).sum(axis=0) % 2 * 2.0 - 1.0
FLAT = np.ones((SIDE, SIDE))


def test_a_clear_photo_has_the_profile_s_limit() -> None:
    """Where nearly everything is seen, nothing is lowered, however few of their own photos would pass."""
    assert limit(Person(FLAT, 0.9), SIDE, CLEAR) == 0.9
    assert limit(Person(FLAT, 0.9), SIDE / 2, CLEAR) == 0.9


def test_what_smallness_takes_from_their_own_photos_is_taken_from_the_limit() -> None:
    """A fine pattern is gone at a quarter of the size: its whole mean strength comes off the limit."""
    assert limit(Person(CHECKS, 0.4), SIDE / 4, CLEAR) == pytest.approx(0.4 - STRENGTHS.mean(), abs=1e-5)


def test_the_limit_never_lies_above_nearly_all_of_their_own_photos() -> None:
    """A flat face loses nothing by a hole, so what lowers a high limit is the spread of its photos alone."""
    found = limit(Person(FLAT, 0.9), SIDE, HOLE)
    assert found == pytest.approx(STRENGTHS.mean() - SPREADS * STRENGTHS.std(), abs=1e-5)
    assert limit(Person(FLAT, 0.1), SIDE, HOLE) == pytest.approx(0.1, abs=1e-5)


def test_a_hole_over_a_pattern_lowers_the_limit() -> None:
    """What a hole hides of the person no score can show."""
    stripes = np.where(np.arange(SIDE)[:, None] == 16, 8.0, 0.5) * np.ones((1, SIDE))
    strong = np.sqrt(np.square(stripes).mean())
    person = Person(stripes / strong, 0.4)
    assert limit(person, SIDE, HOLE) < 0.4 - 0.05


STATED = IdentityLimits("real", single=0.3, tenfold=0.1, least_side=6)


def test_where_the_prior_states_what_strangers_reach_small_faces_need_no_less() -> None:
    """What a small face may lose lowers only what it is refused for."""
    clear, small = (open_gate(Person(CHECKS, 0.4, STATED), side, CLEAR) for side in (SIDE, SIDE / 4))
    assert clear == Gate(0.4, 0.4)
    assert small == Gate(0.4, pytest.approx(0.0, abs=1e-5))


def test_below_the_least_side_no_score_shows_who_it_is() -> None:
    """A pattern that survives any reduction is still in doubt where the prior cannot tell people apart."""
    gate = open_gate(Person(FLAT, 0.4, STATED), 5, CLEAR)
    assert gate.theirs == np.inf
    assert gate.others == 0.4


def test_what_was_done_to_the_photo_is_done_to_their_own() -> None:
    """Blur lowers the limit by what it takes from the person's own photos; clear ones are as ever."""
    person = Person(FLAT, 0.9, STATED)
    halved = open_gate(person, SIDE / 4, CLEAR, lambda faces: faces / 2)
    assert halved.others == pytest.approx(STRENGTHS.mean() / 2 - SPREADS * STRENGTHS.std() / 2, abs=1e-5)
    assert open_gate(person, SIDE, CLEAR, lambda faces: faces / 2) == Gate(0.9, 0.9)


def test_a_side_is_seen_once_for_many_photos() -> None:
    """Nothing is read again for another photo of the side; a hole, another side or person is seen anew."""
    person, other = Person(CHECKS, 0.4), Person(FLAT, 0.9)
    first, read = open_gate(person, SIDE / 4, CLEAR), len(person.read)
    assert open_gate(person, SIDE / 4 + 0.1, CLEAR) == first
    assert len(person.read) == read
    assert open_gate(person, SIDE / 8, CLEAR) == open_gate(Person(CHECKS, 0.4), SIDE / 8, CLEAR)
    assert open_gate(person, SIDE / 4, HOLE) == open_gate(Person(CHECKS, 0.4), SIDE / 4, HOLE)
    assert len(person.read) == read + 2 * len(STRENGTHS)
    assert open_gate(other, SIDE / 4, CLEAR) == open_gate(Person(FLAT, 0.9), SIDE / 4, CLEAR) != first


def test_people_are_told_apart_by_photos_with_the_same_damage() -> None:
    """By photos without the hole the nearer one is who is as smooth as what fills it; with it, who it is."""

    def embed(images: np.ndarray) -> np.ndarray:
        rows = np.asarray(images, np.float64).reshape(len(images), -1)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    ramp = np.linspace(-1, 1, SIDE)[:, None] * np.ones((1, SIDE))
    spot = 2.0 * HOLE  # what the hole hides of the one, and the other has not
    one, other = ramp + spot, 0.9 * ramp + 0.1
    prior = SimpleNamespace(embed=embed, resolution=SIDE)
    people = [SimpleNamespace(prior=prior, faces=Person(face, 0.0).faces) for face in (one, other)]
    seen = degrade(np.tile(one, (1, 3, 1, 1)).astype(np.float32), SIDE, HOLE)
    plainly = [float((embed(seen) @ embed(person.faces()).T).max()) for person in people]
    assert plainly[0] < plainly[1]
    alike = [id_as_damaged(person, seen, lambda faces: degrade(faces, SIDE, HOLE)) for person in people]
    assert alike[0] > alike[1]
    assert alike[0] == pytest.approx(1.0, abs=1e-6)
