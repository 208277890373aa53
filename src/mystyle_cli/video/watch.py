"""The first pass over a clip: where the person is in it, and what became of their face there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from mystyle_cli.errors import NoFaceError, NotThisPersonError
from mystyle_cli.faces.align import quad_side
from mystyle_cli.find.gate import open_gate
from mystyle_cli.find.locate import Located, seen_faces
from mystyle_cli.progress import Progress, Step
from mystyle_cli.restore.estimates import worsened
from mystyle_cli.video.phi import suffered_of
from mystyle_cli.video.smooth import smooth_path
from mystyle_cli.video.tracks import KEPT, SEEN_EVERY_S, Seen, Track, Tracker, side_of

if TYPE_CHECKING:
    from mystyle_cli.faces.align import Crop, Points
    from mystyle_cli.find.gate import Gate
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.photos.decode import Photo
    from mystyle_cli.photos.pixels import Pixels
    from mystyle_cli.restore.estimates import Estimator
    from mystyle_cli.video.clip import Clip

Floats = npt.NDArray[np.float64]

SHORTEST: Final = 3  # frames of a track that says anything
FADE_S: Final = 0.2
"""Seconds in which a face that turns up, or is lost, is faded in or out; none at a cut."""

LOOKS: Final = 64
"""Looks at the person that are kept of a whole clip, from all over it; each may have millions of bytes."""

AROUND: Final = 0.5
"""How much of its surroundings a kept face has on each side, in sides of its crop."""


@dataclass(frozen=True)
class Part:
    """The person through frames that follow each other."""

    first: int
    quads: Floats  # (T, 4, 2), smooth, in the clip's pixels
    shares: Floats  # (T,), how much of what is made of the face shows
    id_score: float


@dataclass(frozen=True)
class Watched:
    """What the first pass found."""

    frames: int
    parts: tuple[Part, ...]
    shows: npt.NDArray[np.int32]  # (frames,), which part shows the person, -1 for none
    looks: tuple[Seen, ...]  # at the person, some of all
    warnings: tuple[str, ...] = ()

    @property
    def with_person(self) -> int:
        """How many frames are worked on."""
        return int((self.shows >= 0).sum())

    @property
    def side(self) -> float:
        """The usual side of the person's crop in the clip's pixels."""
        return float(np.median([quad_side(quad) for part in self.parts for quad in part.quads]))

    @property
    def id_score(self) -> float:
        """The person's ID score as they are in the clip."""
        return float(np.average([part.id_score for part in self.parts], weights=[*map(_length, self.parts)]))

    def at(self, number: int) -> tuple[Part, int] | None:
        """Return the part that shows the person on a frame, and the frame's place in it."""
        which = int(self.shows[number])
        return None if which < 0 else (self.parts[which], number - self.parts[which].first)


def _length(part: Part) -> int:
    return len(part.quads)


def watch(
    clip: Clip, profile: Profile, estimator: Callable[[], Estimator] | None, force: bool, progress: Progress
) -> Watched:
    """Look at all frames of a clip.

    Args:
        estimator: says what frames suffered, where that is to be asked: whose a damaged face is is asked of
            the person's own photos with the same damage.
        force: go on with faces that are not this person's.

    Raises:
        DecodeError: the clip is damaged.
        NoFaceError: no face is seen in it.
        NotThisPersonError: none of them is this person's.
    """
    watching = _Watching(clip, profile, estimator, force)
    count = 0
    for frame in clip.frames():
        watching.look(frame.pixels())
        count = frame.number + 1
        progress(Step("watch", count, max(count, clip.facts.claimed)))
    watching.judge(watching.tracker.close())
    if not watching.kept:
        raise watching.refusal()
    return watching.found(count)


class _Watching:
    """The tracks of a clip, each judged when it ends."""

    def __init__(
        self, clip: Clip, profile: Profile, estimator: Callable[[], Estimator] | None, force: bool
    ) -> None:
        self.name, self.profile, self.estimator, self.force = str(clip.path), profile, estimator, force
        rate = float(clip.facts.rate)
        self.tracker, self.stretch = Tracker(rate), float(clip.facts.aspect)
        self.seen_every = max(1, round(SEEN_EVERY_S * rate))
        self.fade = round(FADE_S * rate)
        self.kept: list[tuple[Track, float]] = []
        self.looks = Looks()
        self.warnings: list[str] = []
        self.others = 0
        self.nearest = (-np.inf, np.inf)  # score and limit of the refused track that came nearest

    def look(self, pixels: Pixels) -> None:
        """Look at the next frame, uint8 (H, W, 3)."""
        square = stretched(pixels, self.stretch)
        self.judge(self.tracker.look(square))
        due = [
            track for track in self.tracker.open if len(track) % self.seen_every == 1 or self.seen_every == 1
        ]
        if not due:
            return
        crop, resolution = self.profile.prior.crop, self.profile.manifest.prior.resolution
        quads = [quad_of(track.last, crop) for track in due]
        scores = self.profile.id_score(seen_faces(_photo(square), None, quads, resolution))
        for track, quad, score in zip(due, quads, scores, strict=True):
            track.scores.append(float(score))
            window, corner = cut_window(square, quad, AROUND * quad_side(quad))
            _keep(track, Seen(window.copy(), quad - corner, float(score)))

    def judge(self, tracks: Sequence[Track]) -> None:
        """Keep the tracks that are the person's."""
        for track in tracks:
            if len(track) < SHORTEST or not track.scores:
                continue
            score, gate = track.id_score, self._gate(track)
            if score < gate.others and not self.force:
                self.others += 1
                self.nearest = max(self.nearest, (score, gate.others))
                continue
            self.kept.append((track, score))
            self.looks.take(track)
            if score < gate.theirs:
                self.warnings.append(
                    f"frames {track.first} to {track.first + len(track) - 1} do not show whether this is "
                    f"{self.profile.who}: ID {score:.2f}"
                )

    def _gate(self, track: Track) -> Gate:
        """Return what ID scores mean for a track, by what its frames suffered where they are too low."""
        crop, resolution = self.profile.prior.crop, self.profile.manifest.prior.resolution
        side = float(np.median([side_of(place) for place in track.squares])) * crop.scale
        nothing = np.zeros((resolution, resolution), np.float32)
        gate = open_gate(self.profile, side, nothing)
        if track.id_score >= gate.others or self.estimator is None:
            return gate
        faces = [located(self.name, one, resolution) for one in track.seen]
        damage = suffered_of(self.estimator(), faces).at(side, resolution)
        side = min(side, damage.effective_side(resolution))
        return open_gate(self.profile, side, nothing, lambda clear: worsened(clear, damage))

    def refusal(self) -> NoFaceError | NotThisPersonError:
        """Return why there is nothing to work on."""
        if not self.others:
            return NoFaceError(f"{self.name}: no face was found", "Give a clip with a clearer face.")
        score, least = self.nearest
        return NotThisPersonError(
            f"{self.name}: none of its faces is {self.profile.who}: ID {score:.2f}, where theirs is "
            f"{least:.2f} at least",
            "Use --force to go on anyway.",
        )

    def found(self, count: int) -> Watched:
        """Return where the person is; of two faces on one frame the one that is more like them."""
        shows = np.full(count, -1, np.int32)
        parts: list[Part] = []
        for track, score in sorted(self.kept, key=lambda kept: -kept[1]):
            part = part_of(track, score, self.profile.prior.crop, self.stretch, self.fade)
            stretch = shows[track.first : track.first + len(track)]
            stretch[stretch < 0] = len(parts)
            parts.append(part)
        return Watched(
            count, tuple(parts), shows, tuple(self.looks.kept), tuple(dict.fromkeys(self.warnings))
        )


class Looks:
    """Looks at the person, of all parts of a clip alike, and never more than `LOOKS`."""

    def __init__(self) -> None:
        self.kept: list[Seen] = []
        self._every = 1  # of so many one is kept
        self._count = 0

    def take(self, track: Track) -> None:
        """Take over what was kept of a track, some of it or all."""
        for seen in track.seen:
            if self._count % self._every == 0:
                self.kept.append(seen)
            self._count += 1
            if len(self.kept) > LOOKS:
                del self.kept[1::2]
                self._every *= 2
        track.seen.clear()


def part_of(track: Track, score: float, crop: Crop, stretch: float, fade: int) -> Part:
    """Return a track as it is worked on.

    Args:
        stretch: how much wider frames were for the track than they are.
        fade: frames in which a face comes or goes without a cut.
    """
    quads = np.stack([quad_of(place, crop) for place in smooth_path(track.squares)]) / [stretch, 1.0]
    count, shares = np.arange(len(track)), np.ones(len(track))
    if not track.begins:
        shares = np.minimum(shares, (count + 1) / (fade + 1))
    if not track.ends:
        shares = np.minimum(shares, (len(track) - count) / (fade + 1))
    return Part(track.first, quads, shares, score)


def stretched(pixels: Pixels, aspect: float) -> Pixels:
    """Return a frame with square pixels, as wide as it is seen."""
    from mystyle_cli.photos.pixels import resize

    if aspect == 1:
        return pixels
    return resize(pixels, (len(pixels), max(1, round(len(pixels[0]) * aspect))), "bilinear")


def quad_of(place: Floats, crop: Crop) -> Points:
    """Return the quad (4, 2) of a face's crop, given its FFHQ square as tracks have it."""
    return crop.square(np.asarray(place[:2]), np.asarray(place[2:]))


def _keep(track: Track, seen: Seen) -> None:
    """Keep a look at a face, some of the whole track: when there are too many, every other one goes."""
    track.seen.append(seen)
    if len(track.seen) > KEPT:
        del track.seen[1::2]


def cut_window(pixels: Pixels, quad: Points, margin: float) -> tuple[Pixels, tuple[int, int]]:
    """Return what of a frame lies around a face's crop, and its left top corner."""
    height, width = pixels.shape[:2]
    left, top = np.floor(quad.min(axis=0) - margin).clip(0, [width - 1, height - 1]).astype(int).tolist()
    right, bottom = np.ceil(quad.max(axis=0) + margin).clip([left + 1, top + 1], [width, height]).astype(int)
    return pixels[top:bottom, left:right], (left, top)


def _photo(pixels: Pixels, digest: str = "0" * 64) -> Photo:
    from mystyle_cli.photos.decode import Photo

    return Photo(pixels, None, False, None, None, digest)


def located(name: str, seen: Seen, resolution: int) -> Located:
    """Return a face that was kept, as what is estimated from."""
    from mystyle_cli.find.locate import place

    return replace(place(name, _photo(seen.window), seen.quad, resolution), id_score=seen.id_score)
