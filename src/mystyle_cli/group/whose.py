"""Whose the faces of a photo are: each compared with every person, each person taken once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt

from mystyle_cli.errors import MystyleError
from mystyle_cli.faces.align import cut_out, face_quad
from mystyle_cli.find.gate import CLEARER, degrade, id_as_damaged, open_gate
from mystyle_cli.find.locate import Located, seen_faces
from mystyle_cli.person.score import id_scores
from mystyle_cli.restore.estimates import Estimator, Known, worsened
from mystyle_cli.restore.restore import despite_damage

if TYPE_CHECKING:
    from mystyle_cli.group.places import Place
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.photos.decode import Photo
    from mystyle_cli.photos.pixels import Pixels
    from mystyle_cli.projection.damage import Damage

Floats = npt.NDArray[np.float32]

STRANGERS: Final = 24  # photos of other people that tell what strangers reach
NEAREST: Final = 3  # people whose gate a face is held against: those it is most like

# what became of a face: worked on; a person's for whom another face was taken; too little shows whose it is;
# nobody's; not to be worked on; or it could not be
Verdict = Literal["done", "twice", "unsure", "unknown", "left", "failed"]


@dataclass(frozen=True)
class Likeness:
    """A face as one person's."""

    person: Profile  # of one person, or one of several people's
    located: Located
    theirs: float  # ID from which it is theirs
    others: float  # ID under which it is somebody else's
    damage: Damage | None  # what it suffered, where that was asked already
    # ID by their photos with the same damage, where that of others of the same prior is known, too
    as_damaged: float | None = None

    @property
    def sure(self) -> bool:
        """Whether the face is shown to be theirs."""
        return self.located.id_score >= self.theirs

    @property
    def possible(self) -> bool:
        """Whether it may be theirs."""
        return self.located.id_score >= self.others

    @property
    def nearness(self) -> float:
        """How near the face is, comparable between people whose identity nets differ."""
        score = self.located.id_score if self.as_damaged is None else self.as_damaged
        return nearness(self.person, score)

    def seen(self) -> Floats:
        """Return what identity is judged by, (1, 3, R, R); see `seen_faces`."""
        located = self.located
        return seen_faces(located.photo, located.mask, [located.quad], len(located.hole))

    def worsen(self, faces: Floats) -> Floats:
        """Do to clear faces (B, 3, R, R) what was done to this one."""
        if self.damage is None:
            return degrade(faces, self.located.side, self.located.hole)
        return worsened(faces, self.damage)

    def told(self) -> str:
        """Say it in words."""
        return f"{self.person.who} ID {self.located.id_score:.2f}"


@dataclass(frozen=True)
class Found:
    """What is known of one face."""

    place: Place
    likenesses: tuple[Likeness, ...]  # the nearest people first
    verdict: Verdict  # "done" where it is to be worked on
    chosen: Likeness | None = None  # as whose
    note: str = ""  # what the user should know

    @property
    def best(self) -> Likeness | None:
        """As whose it is, or may be, or, where nobody's, to whom it is nearest."""
        possible = [one for one in self.likenesses if one.possible]
        return self.chosen or next(iter(possible or self.likenesses), None)

    @property
    def who(self) -> str:
        """Whose it is or may be; "" where nobody's."""
        return self.best.person.who if self.best is not None and self.best.possible else ""


def nearness(person: Profile, score: float) -> float:
    """Return how far an ID score is on its way from the person's limit, 0, to certainty, 1."""
    limit = person.id_threshold
    return (score - limit) / max(1 - limit, 1e-6)


class Crowd:
    """The people that faces are compared with. One whose profile turns out damaged leaves.

    Args:
        people: profiles of one person each; see `each_person`.
        known: what is known of photos' damage; None where they are not to be restored.
    """

    def __init__(self, people: Sequence[Profile], known: Known | None) -> None:
        self.people, self.known = list(people), known
        self.gone: dict[str, MystyleError] = {}  # by the profile's name
        self._estimators: dict[int, Estimator] = {}

    def leave(self, name: str, error: MystyleError) -> None:
        """Go on without a profile."""
        self.gone.setdefault(name, error)
        self.people = [person for person in self.people if person.name != name]

    def estimator(self, person: Profile) -> Estimator:
        """Return what says what was done to photos of a person."""
        if id(person) not in self._estimators:
            self._estimators[id(person)] = Estimator.of(person, self.known or Known())
        return self._estimators[id(person)]

    def likenesses(
        self, photo: Photo, name: str, places: Sequence[Place], masks: Sequence[Pixels | None]
    ) -> list[tuple[Likeness, ...]]:
        """Return for each face those people it is most like, the nearest first.

        Args:
            masks: for each face what of it is hidden, uint8 (H, W), or None.
        """
        scores: dict[int, Floats] = {}
        embedded: dict[str, Floats] = {}  # by prior, whose net is asked once for all its people
        for person in tuple(self.people):
            try:
                prior = person.prior
                if prior.digest not in embedded:
                    embedded[prior.digest] = prior.embed(_seen(person, photo, places, masks))
                scores[id(person)] = id_scores(embedded[prior.digest], person.reference_embeddings())
            except MystyleError as error:
                self.leave(person.name, error)
        found = []
        for row, (place, mask) in enumerate(zip(places, masks, strict=True)):
            there = [(float(scores[id(person)][row]), person) for person in self.people]
            # of equals, who has a profile of their own comes first
            there.sort(key=lambda one: (-nearness(one[1], one[0]), one[1].person != "", one[1].name))
            found.append(self._held(there[:NEAREST], photo, name, place, mask))
        return found

    def _held(
        self,
        there: Sequence[tuple[float, Profile]],
        photo: Photo,
        name: str,
        place: Place,
        mask: Pixels | None,
    ) -> tuple[Likeness, ...]:
        """Hold a face against the gates of some people."""
        held = []
        for score, person in there:
            try:
                held.append(self._likeness(person, score, photo, name, place, mask))
            except MystyleError as error:
                self.leave(person.name, error)
        return self._told_apart(held)

    def _told_apart(self, held: Sequence[Likeness]) -> tuple[Likeness, ...]:
        """Compare a face with each whose it may be by photos as damaged as it is; the nearest first."""
        possible = [one for one in held if one.possible and one.person.has_faces]
        people = {one.person.who for one in possible}
        if len(people) < 2 or len({one.person.prior.digest for one in possible}) > 1:
            return tuple(held)
        scored = {
            id(one): replace(one, as_damaged=id_as_damaged(one.person, one.seen(), one.worsen))
            for one in possible
        }
        return tuple(sorted((scored.get(id(one), one) for one in held), key=lambda one: -one.nearness))

    def _likeness(
        self, person: Profile, score: float, photo: Photo, name: str, place: Place, mask: Pixels | None
    ) -> Likeness:
        quad = face_quad(place.face.landmarks, person.prior.crop)
        crop, hole = cut_out(photo.pixels, mask, quad, person.manifest.prior.resolution)
        located = Located(name, photo, quad, crop, hole, mask, score, photo.notes, person.person)
        gate, damage = open_gate(person, located.side, hole), None
        if self.known is not None and score < gate.others:
            gate, damage = despite_damage(person, self.estimator(person), located)
        likeness = Likeness(person, located, gate.theirs, gate.others, damage)
        if not likeness.sure or gate.theirs >= person.id_threshold or person.prior.identity_limits:
            return likeness
        return replace(likeness, theirs=max(gate.theirs, self._strangers_reach(likeness)))

    def _strangers_reach(self, likeness: Likeness) -> float:
        """Return the ID that photos of the other people reach against a person, as damaged as a face is.

        What a gate was lowered to for the person's own photos may let others in, too, and nobody has said
        here who it is. Without others of the same prior nothing tells that.
        """
        person = likeness.person
        others = [
            other
            for other in self.people
            if other.who != person.who and other.prior.digest == person.prior.digest and other.has_faces
        ]
        if not others:
            return -math.inf
        each = math.ceil(STRANGERS / len(others))
        clear = np.concatenate([_some(other.faces(), each) for other in others])[:STRANGERS]
        return float(person.id_score(likeness.worsen(clear)).max())


def _seen(person: Profile, photo: Photo, places: Sequence[Place], masks: Sequence[Pixels | None]) -> Floats:
    """Return what identity is judged by, (B, 3, R, R); see `seen_faces`."""
    crop, resolution = person.prior.crop, person.manifest.prior.resolution
    quads = [face_quad(place.face.landmarks, crop) for place in places]
    if not any(mask is not None for mask in masks):
        return seen_faces(photo, None, quads, resolution)
    each = [seen_faces(photo, mask, [quad], resolution) for quad, mask in zip(quads, masks, strict=True)]
    return np.concatenate(each)


def _some(faces: Floats, most: int) -> Floats:
    """Return so many of faces (N, 3, R, R), from all over them."""
    rows = np.linspace(0, len(faces) - 1, min(most, len(faces))).round().astype(int)
    return np.asarray(faces[np.unique(rows)], np.float32)


def each_person(profiles: Sequence[Profile]) -> list[Profile]:
    """Return the profiles of one person each: of several people's one for each of them."""
    return [profile.one(name) for profile in profiles for name in (profile.people or (None,))]


def tell_apart(
    places: Sequence[Place], likenesses: Sequence[tuple[Likeness, ...]], *, force: bool
) -> list[Found]:
    """Decide whose each face is: the nearest first, and nobody twice.

    A second face of somebody may be a mirror's or a picture's on the wall, but a sister's too. It is worked
    on only by force, as is a face that does not show whose it is.

    Args:
        likenesses: of each face, the nearest people first.
    """
    claims = [
        (row, likeness)
        for row, there in enumerate(likenesses)
        for likeness in there
        if likeness.sure and (likeness.located.mask is None or _alone(likeness, there))
    ]
    chosen: dict[int, Likeness] = {}
    at: dict[str, int] = {}  # where people are, by what they are called
    for row, likeness in sorted(claims, key=lambda claim: -claim[1].nearness):
        if row not in chosen and likeness.person.who not in at:
            chosen[row], at[likeness.person.who] = likeness, row
    return [
        _judged(
            place, there, chosen.get(row), {who: places[where].number for who, where in at.items()}, force
        )
        for row, (place, there) in enumerate(zip(places, likenesses, strict=True))
    ]


def _perhaps(likeness: Likeness) -> str:
    """Say whose a face may be, and what would show it, if anything of its size does."""
    sure = "" if likeness.sure or likeness.theirs > 1 else f" (sure from {likeness.theirs:.2f})"
    return f"{likeness.told()}{sure}"


def _alone(likeness: Likeness, there: Sequence[Likeness]) -> bool:
    """Tell whether nobody else may be behind a hole: nobody possible is nearly as like the face."""
    others = [one for one in there if one.possible and one.person.who != likeness.person.who]
    if likeness.as_damaged is None:
        return not others
    return all(
        one.as_damaged is not None and likeness.as_damaged - one.as_damaged >= CLEARER for one in others
    )


def _judged(
    place: Place,
    there: tuple[Likeness, ...],
    chosen: Likeness | None,
    at: Mapping[str, int],
    force: bool,
) -> Found:
    """Return what is known of a face, given as whose it was chosen and at which faces people are."""
    possible = [likeness for likeness in there if likeness.possible]
    if chosen is not None:
        rivals = [one.told() for one in possible if one.person.who != chosen.person.who and one.sure]
        note = f"may be {', '.join(rivals)}, too; {chosen.told()} is nearer" if rivals else ""
        return Found(place, there, "done", chosen, note)
    if not possible:
        nearest = there[0] if there else None
        note = f"{nearest.told()} is nearest, theirs are from {nearest.others:.2f}" if nearest else ""
        return Found(place, there, "unknown", None, note)
    first = possible[0]
    verdict: Verdict
    if first.sure and first.person.who in at:
        verdict, note = "twice", f"{first.told()}, but face {at[first.person.who]} is nearer"
    else:
        verdict, note = "unsure", f"perhaps {' or '.join(_perhaps(one) for one in possible)}"
    return Found(place, there, "done" if force else verdict, first if force else None, note)
