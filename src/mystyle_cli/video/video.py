"""Whole clips in, whole clips out: one person, followed, restored with one look, laid back frame by frame.

Two passes: `watch` says where the person is; then frames go through in a stream, a few at a time, so that a
clip may be as long as it likes. What is found of each frame, its code, where its face turned out to be and
what the frame itself says beyond what is drawn, is averaged with the frames around it. Codes stay in A_beta,
which is convex.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from mystyle_cli.errors import MystyleError, UsageError, check_choice
from mystyle_cli.find.locate import Located, place
from mystyle_cli.photos.pixels import resize, to_unit
from mystyle_cli.progress import Progress, Step, silent
from mystyle_cli.restore import composite
from mystyle_cli.restore.engine import Answering
from mystyle_cli.restore.estimates import Known
from mystyle_cli.restore.given import Given
from mystyle_cli.restore.restore import ENLARGED
from mystyle_cli.restore.whole import Whole
from mystyle_cli.video.clip import LARGEST_FRAME, Frame, open_clip
from mystyle_cli.video.phi import GREY, Suffered, estimated, suffered_of
from mystyle_cli.video.smooth import window
from mystyle_cli.video.watch import Watched, located, watch
from mystyle_cli.video.writing import open_writer

if TYPE_CHECKING:
    from mystyle_cli.photos.pixels import Pixels
    from mystyle_cli.projection.damage import Damage
    from mystyle_cli.video.clip import Clip
    from mystyle_cli.video.watch import Part
    from mystyle_cli.video.writing import ClipWriter

Floats = npt.NDArray[np.float32]
ClipTask = Literal["restore", "upscale"]

SAMPLES: Final = 16
"""Frames from which it is told what the clip suffered."""


@dataclass(frozen=True)
class Steadiness:
    """How widely what is found of frames is averaged over time: Gaussians, in frames; 0 averages nothing."""

    codes: float = 1.5
    motions: float = 3.0
    kept: float = 1.5  # what the frame says beyond what is drawn

    @staticmethod
    def reach(width: float) -> int:
        """Return how many frames to each side count."""
        return math.ceil(2 * width)


@dataclass(frozen=True)
class MadeClip:
    """What became of a clip.

    Args:
        frames: in all.
        with_person: how many of them show the person, and were worked on.
        id_mean, id_min: ID scores of the result's faces.
        input_id: of the faces as they were.
        beta: the dilation allowed, None where it was not bounded.
        least_dilation: the dilation that the results need.
        factor: how much larger the result is than the clip.
        damage: what the clip had suffered where the face is as large as it usually is, if it was restored.
        side: of the face's crop there, in the clip's pixels.
    """

    frames: int
    with_person: int
    id_mean: float
    id_min: float
    input_id: float
    beta: float | None
    least_dilation: float
    factor: float
    damage: Damage | None
    side: float
    warnings: tuple[str, ...] = ()


@dataclass
class _Face:
    """A frame on its way."""

    frame: Frame
    part: Part | None
    share: float = 0.0
    given: Given | None = None
    code: npt.NDArray[np.float64] | None = None  # alpha+ (num_ws, N), or w+ where there is none
    motion: Floats | None = None  # (4,)
    image: Floats | None = None  # (3, R, R), what the smooth code draws
    moved: Floats | None = None  # (3, R, R), how the frame itself moves that


def restore_clip(
    engine: Answering,
    source: Path,
    target: Path,
    task: ClipTask,
    *,
    comment: str = "",
    progress: Progress = silent,
    steady: Steadiness | None = None,
) -> MadeClip:
    """Restore or enlarge a person's face through a clip.

    Args:
        engine: of the person, with the settings that are asked for.
        source, target: files; the target's ending says what is written.
        task: "restore" or "upscale".
        comment: what the result says of itself.

    Raises:
        DecodeError: it is no clip that can be read.
        FaceError: the person is not in it.
        UsageError: the result would have no room, or the profile is of several people.
    """
    check_choice("task", task, ClipTask)
    _refuse_idle(engine, task)
    if os.path.exists(target) and os.path.samefile(source, target):
        raise UsageError(f"{target} is the clip itself", "Originals are never touched: name another file.")
    profile, settings = engine.profile, engine.settings
    if profile.people:
        raise UsageError(
            f"{profile.name} holds several people: {', '.join(profile.people)}",
            f"Say who is in the clip: --person {profile.people[0]}.",
        )
    with open_clip(source) as clip:
        watched = watch(
            clip, profile, (lambda: engine.estimator) if task == "restore" else None, settings.force, progress
        )
        making = _Making(engine, clip, watched, task, steady or Steadiness())
        with (
            clip.items() as (container, copied, items),
            open_writer(target, clip.facts, making.shape, container, copied, comment) as writer,
        ):
            making.run(items, writer, progress)
    return making.made()


def _refuse_idle(engine: Answering, task: ClipTask) -> None:
    """Refuse settings that do nothing (UsageError)."""
    settings, none = engine.settings, Known()
    if settings.aligned:
        raise UsageError("a clip is no aligned crop", "Leave out aligned.")
    if settings.known.quality is not None:
        raise UsageError("a clip was never a JPEG", "Leave the quality of JPEG out.")
    if task == "upscale" and (settings.known != none or settings.keep_tone or settings.grain is not None):
        raise UsageError("what is enlarged was at most made small", "Use restore for what is damaged.")


class _Making:
    """A clip on its second pass."""

    def __init__(
        self, engine: Answering, clip: Clip, watched: Watched, task: ClipTask, steady: Steadiness
    ) -> None:
        self.engine, self.clip, self.watched, self.task, self.steady = engine, clip, watched, task, steady
        self.profile, self.settings = engine.profile, engine.settings
        self.beta = engine.betas.of(task, watched.id_score)
        self.suffered = self._suffered()
        keep_tone = self.settings.keep_tone or task == "upscale"
        self.whole = Whole(self.profile.prior, task, False, keep_tone, self.settings.grain)
        self.factor = self._factor()
        height, width = clip.facts.shape
        tall, wide = self._enlarged((height, width))
        self.shape = tall // 2 * 2, wide // 2 * 2  # what H.264 can hold
        self.scores: list[float] = []
        self.dilations: list[float] = []

    def _enlarged(self, shape: tuple[int, int]) -> tuple[int, int]:
        if self.factor == 1:
            return shape
        return composite.enlarged(shape[0], self.factor), composite.enlarged(shape[1], self.factor)

    def _factor(self) -> float:
        """Return how much larger the clip becomes: as its usual face would, if there is room."""
        height, width = self.clip.facts.shape
        most = math.sqrt(LARGEST_FRAME / (height * width))
        factor = min(self.engine.resolution / self.watched.side, most)
        return factor if factor >= ENLARGED else 1.0

    def _suffered(self) -> Suffered:
        resolution, estimator = self.engine.resolution, self.engine.estimator
        name = str(self.clip.path)
        seen = [located(name, one, resolution) for part in self.watched.parts for one in part.seen]
        rows = np.unique(np.linspace(0, len(seen) - 1, min(SAMPLES, len(seen))).round().astype(int))
        faces = [seen[row] for row in rows]
        found = suffered_of(estimated(estimator, faces), resolution)
        if self.task == "upscale":
            return Suffered(tone=None if found.tone is None else GREY)
        if found.tone is not None and self.settings.quality == "instant":
            raise UsageError(
                f"{name}: an instant answer cannot give a clip its colours back",
                "Use --quality fast or full.",
            )
        return found

    def run(self, items: Iterable[Any], writer: ClipWriter, progress: Progress) -> None:
        """Work on all frames, and hand sound and subtitles on as they come."""
        steady = self.steady
        faces = self._searched(self._taken(items, writer))
        faces = self._drawn(in_windows(faces, max(steady.reach(steady.codes), steady.reach(steady.motions))))
        for face, around in in_windows(faces, steady.reach(steady.kept)):
            writer.write(face.frame, self._laid(face, around))
            progress(Step("restore", face.frame.number + 1, self.watched.frames))

    def _taken(self, items: Iterable[Any], writer: ClipWriter) -> Iterator[_Face]:
        for item in items:
            if not isinstance(item, Frame):
                writer.copy(item)
                continue
            if item.number >= self.watched.frames:
                raise MystyleError(f"{self.clip.path}: the file changed meanwhile", "Try again.")
            there = self.watched.at(item.number)
            if there is None:
                yield _Face(item, None)
                continue
            part, place_ = there
            located_ = self._located(item, part.quads[place_], part.id_score)
            damage = self.suffered.at(located_.side, self.engine.resolution)
            given = Given(located_, "restore", self.engine.resolution, damage, self.engine.estimator.chroma)
            yield _Face(item, part, float(part.shares[place_]), given)

    def _located(self, frame: Frame, quad: npt.NDArray[np.float64], score: float) -> Located:
        from mystyle_cli.photos.decode import Photo

        digest = hashlib.sha256(f"{frame.number}".encode()).hexdigest()
        photo = Photo(frame.pixels, None, False, None, None, digest)
        found = place(f"{self.clip.path}, frame {frame.number}", photo, quad, self.engine.resolution)
        return replace(found, id_score=score)

    def _searched(self, faces: Iterator[_Face]) -> Iterator[_Face]:
        """Find the code of each face, several at once."""
        while group := list(islice(faces, self.engine.at_once)):
            shown = [face for face in group if face.given is not None]
            if shown:
                answer = self.engine.answer([face.given for face in shown if face.given], self.beta, silent)
                for row, face in enumerate(shown):
                    codes = answer.w_plus if answer.alpha_plus is None else answer.alpha_plus
                    face.code, face.motion = np.asarray(codes[row], np.float64), answer.motions[row]
            yield from group

    def _drawn(self, windows: Iterator[tuple[_Face, list[_Face]]]) -> Iterator[_Face]:
        """Average codes and motions over time, and draw what comes of it."""
        while group := list(islice(windows, self.engine.at_once)):
            shown = [(face, around) for face, around in group if face.given is not None]
            if shown:
                codes = np.stack(
                    [averaged(face, around, "code", self.steady.codes) for face, around in shown]
                )
                for face, around in shown:
                    assert face.given is not None
                    motion = averaged(face, around, "motion", self.steady.motions)
                    face.given = face.given.moved(motion.astype(np.float32))
                bounded = self.settings.projection.space in ("p", "p+")
                anchors = self.profile.anchors().astype(np.float64)
                w_plus = codes @ anchors if bounded else codes
                if bounded:
                    self.dilations.append(float(np.maximum(-codes.min(), 0)))
                images = self.engine.draw(w_plus.astype(np.float32))
                for (face, _), image in zip(shown, images, strict=True):
                    assert face.given is not None
                    face.image = image
                    face.moved = self.whole.meet(face.given, image) - image
            yield from (face for face, _ in group)

    def _laid(self, face: _Face, around: list[_Face]) -> Pixels | None:
        """Return a frame as it is written, uint8 (H, W, 3); None where it stays as it was."""
        pixels = face.frame.pixels
        if face.given is None or face.image is None:
            return None if self._same(pixels) else self._cut(self._bare(pixels))
        image = (face.image + averaged(face, around, "moved", self.steady.kept)).clip(-1, 1)
        image = image.astype(np.float32)
        if not np.isfinite(image).all():
            raise MystyleError(
                f"{face.given.located.name}: the search came upon a number that is not finite",
                "Try another --quality or --start.",
            )
        damage = face.given.damage
        made = self.whole.face(face.given.located, image, damage)
        self.scores.append(float(self.profile.id_score(to_unit(made)[None])[0]))
        laid = self.whole.lay(face.given.located, image, self.factor, damage)
        if face.share < 1:
            bare = self._bare(pixels).astype(np.float32)
            laid = np.rint(bare + (laid - bare) * face.share).astype(np.uint8)
        return self._cut(laid)

    def _bare(self, pixels: Pixels) -> Pixels:
        """Return a frame as large as the result, without any face laid over it."""
        return pixels if self.factor == 1 else resize(pixels, self._enlarged(pixels.shape[:2]), "lanczos")

    def _cut(self, pixels: Pixels) -> Pixels:
        return pixels[: self.shape[0], : self.shape[1]]

    def _same(self, pixels: Pixels) -> bool:
        return self.factor == 1 and pixels.shape[:2] == self.shape

    def made(self) -> MadeClip:
        """Return what became of the clip."""
        warnings = [*self.clip.facts.notes, *self.watched.warnings, *self.engine.notices]
        if self.clip.damaged:
            warnings.append(f"{self.clip.damaged} damaged pieces were left out")
        mean, side = float(np.mean(self.scores)), self.watched.side
        if unlike := self.profile.unlike(mean):
            warnings.append(unlike)
        return MadeClip(
            frames=self.watched.frames,
            with_person=self.watched.with_person,
            id_mean=mean,
            id_min=float(np.min(self.scores)),
            input_id=self.watched.id_score,
            beta=self.beta,
            least_dilation=max(self.dilations, default=math.nan),
            factor=self.factor,
            damage=self.suffered.at(side, self.engine.resolution) if self.task == "restore" else None,
            side=side,
            warnings=tuple(warnings),
        )


def in_windows(faces: Iterator[_Face], reach: int) -> Iterator[tuple[_Face, list[_Face]]]:
    """Yield each frame with those around it that show the same part, itself among them, in order."""
    held: deque[_Face] = deque()
    at = 0

    def around(place_: int) -> list[_Face]:
        part = held[place_].part
        near = range(max(0, place_ - reach), min(len(held), place_ + reach + 1))
        return [held[other] for other in near if part is not None and held[other].part is part]

    for face in faces:
        held.append(face)
        if len(held) - 1 - at == reach:
            yield held[at], around(at)
            at += 1
        if at > reach:
            held.popleft()
            at -= 1
    while at < len(held):
        yield held[at], around(at)
        at += 1


def averaged(face: _Face, around: list[_Face], what: str, width: float) -> npt.NDArray[Any]:
    """Return what frames near one in time have of something, averaged; see `window`."""
    number, reach = face.frame.number, Steadiness.reach(width)
    shares = window(reach, width)
    near = [one for one in around if abs(one.frame.number - number) <= reach]
    weights = np.array([shares[one.frame.number - number + reach] for one in near])
    values = np.stack([getattr(one, what) for one in near])
    return np.tensordot(weights / weights.sum(), values, 1)
