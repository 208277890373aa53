"""Who is where in a clip: faces followed from frame to frame until a cut, and judged as a whole.

A face that is found is looked for again where it was; the detector looks now and then, and after a cut. All
frames of one face are one track, and whether that is the person is told by its clearest frames.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from mystyle_cli.faces.align import Points
    from mystyle_cli.faces.face import Face
    from mystyle_cli.photos.pixels import Pixels

Floats = npt.NDArray[np.float64]

EVERY_S: Final = 0.5
"""Seconds between two looks of the detector."""

TINY_S: Final = 4.0
"""Seconds between two looks for tiny faces where none was found; such a look takes a second."""

LOST: Final = 0.5
"""Certainty of the landmark net under which a face is lost."""

FACES: Final = 8
"""Faces that are followed at once, the largest."""

JUMP: Final = 0.5
"""How far a face may move between two frames, in sides of its FFHQ square."""

GROWTH: Final = 1.4
"""How much larger or smaller it may become."""

CUT: Final = 28.0
"""Mean difference of two small frames, of 255, from which there is a cut between them ..."""

SUDDEN: Final = 4.0
"""... where it is so many times that of the frames before."""

SIDE: Final = 24
"""Side in pixels of the small frames."""

SEEN_EVERY_S: Final = 0.2
"""Seconds between two frames of a track on which it is asked who it is."""

KEPT: Final = 12
"""Frames of a track that are kept to see what the clip suffered."""


@dataclass(frozen=True)
class Seen:
    """What a track's face looked like on one frame."""

    window: Pixels  # uint8 (h, w, 3), the face with its surroundings
    quad: Points  # (4, 2), on the window
    id_score: float


@dataclass
class Track:
    """A face through frames that follow each other."""

    first: int  # its first frame
    # of each frame: middle (x, y) of the face's FFHQ square, and half its side along its own x axis
    places: array[float] = field(default_factory=lambda: array("d"))
    scores: list[float] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    begins: bool = False  # with a cut, or the clip
    ends: bool = False

    def __len__(self) -> int:
        return len(self.places) // 4

    @property
    def squares(self) -> Floats:
        """All places, float64 (T, 4)."""
        return np.array(self.places, np.float64).reshape(-1, 4)

    @property
    def last(self) -> Floats:
        """The latest place."""
        return np.array(self.places[-4:])

    @property
    def id_score(self) -> float:
        """The ID score of the clearer half of its frames."""
        best = sorted(self.scores, reverse=True)[: (len(self.scores) + 1) // 2]
        return float(np.mean(best)) if best else float("nan")


def square_of(landmarks: Points) -> Floats:
    """Return the FFHQ square of a face as a track has it, float64 (4,)."""
    from mystyle_cli.faces.align import FFHQ, face_quad

    quad = face_quad(landmarks, FFHQ)
    middle = quad.mean(axis=0)
    return np.concatenate([middle, (quad[2] + quad[3]) / 2 - middle])


def side_of(place: Floats) -> float:
    """Return the side of a place's square in pixels."""
    return 2 * float(np.hypot(place[2], place[3]))


def is_cut(before: Floats | None, after: Floats, usual: float) -> bool:
    """Tell whether there is a cut between two small frames.

    Args:
        usual: how much frames before have differed.
    """
    if before is None:
        return True
    much = float(np.abs(after - before).mean())
    return much > CUT and much > SUDDEN * usual


class Tracker:
    """Follows faces.

    Args:
        rate: frames a second.
    """

    def __init__(self, rate: float) -> None:
        self.every, self.tiny = (max(1, round(seconds * rate)) for seconds in (EVERY_S, TINY_S))
        self.open: list[Track] = []
        self._before: Floats | None = None
        self._usual = 0.0
        self._next_tiny = self._number = 0

    def look(self, pixels: Pixels) -> list[Track]:
        """Look at the next frame, uint8 (H, W, 3); returns the tracks that have ended before it."""
        from mystyle_cli.photos.pixels import resize

        small = resize(pixels, (SIDE, SIDE), "area").astype(np.float64)
        cut = is_cut(self._before, small, self._usual)
        if self._before is not None:
            self._usual = 0.8 * self._usual + 0.2 * min(float(np.abs(small - self._before).mean()), CUT)
        self._before = small
        ended = self._end(self.open) if cut else []
        ended += self._follow(pixels)
        if cut or not self._number % self.every:
            ended += self._find(pixels, cut)
        self._number += 1
        return ended

    def close(self) -> list[Track]:
        """Return the tracks that end with the clip."""
        return self._end(self.open)

    def _end(self, tracks: Sequence[Track]) -> list[Track]:
        for track in tracks:
            track.ends = True
        self.open = [track for track in self.open if not any(track is one for one in tracks)]
        return list(tracks)

    def _follow(self, pixels: Pixels) -> list[Track]:
        """Look for each face where it was; returns the tracks that have lost theirs."""
        lost = []
        for track in list(self.open):
            place = followed(pixels, track.squares[-2:])
            twice = place is not None and any(
                _same(place, other.last)
                for other in self.open
                if other is not track and len(other) > len(track)
            )
            if place is None or twice:
                self.open = [one for one in self.open if one is not track]
                lost.append(track)
            else:
                track.places.extend(place)
        return lost

    def _find(self, pixels: Pixels, cut: bool) -> list[Track]:
        """Begin tracks with faces that are not followed yet; the smallest of too many end."""
        from mystyle_cli.faces.faces import find_faces, find_tiny_faces

        faces: list[Face] = find_faces(pixels)
        if not faces and not self.open and self._number >= self._next_tiny:
            faces = find_tiny_faces(pixels)
            self._next_tiny = self._number + self.tiny
        for face in faces:
            place = square_of(face.landmarks)
            if not any(_same(place, track.last) for track in self.open):
                self.open.append(Track(self._number, array("d", place), begins=cut))
        largest = sorted(self.open, key=lambda track: -side_of(track.last))
        self.open = largest[:FACES]
        return largest[FACES:]


def _same(one: Floats, other: Floats) -> bool:
    away = float(np.hypot(*(one[:2] - other[:2])))
    return away < min(side_of(one), side_of(other)) / 3


def followed(pixels: Pixels, before: Floats) -> Floats | None:
    """Return where a face is now, float64 (4,), or None where it is not seen any more.

    Args:
        before: (1 or 2, 4), where it was in the last frames.
    """
    from mystyle_cli.faces.face import face_in_box

    last = before[-1]
    guess = last + (last - before[0]) if len(before) > 1 else last
    side = side_of(last)
    half = 0.3 * side  # half of a detector's box
    down = np.array([-guess[3], guess[2]]) * 0.2  # its middle is that much lower than the square's
    x, y = guess[:2] + down
    height, width = pixels.shape[:2]
    if not (0 < x < width and 0 < y < height):
        return None
    tilt = float(np.degrees(np.arctan2(guess[3], guess[2])))
    face = face_in_box(pixels, (x - half, y - half, x + half, y + half), 0.0, tilt)
    if face.certainty < LOST:
        return None
    place = square_of(face.landmarks)
    ratio = side_of(place) / side
    moved = float(np.hypot(*(place[:2] - guess[:2]))) / side
    return place if moved < JUMP and 1 / GROWTH < ratio < GROWTH else None
