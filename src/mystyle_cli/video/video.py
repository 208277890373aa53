"""Whole clips in, whole clips out: one person, followed, restored with one look, laid back frame by frame.

Two passes: `watch` says where the person is; then frames go through in a stream, a few at a time, so that a
clip may be as long as it likes. All have one phi and one beta. What a search finds of each, its code and
where its face turned out to be, is made smooth over the frames around it, inside A_beta; what the frame
itself holds is kept as in a photo.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from mystyle_cli.errors import MystyleError, UsageError, check_choice, ran_out
from mystyle_cli.faces.align import quad_side
from mystyle_cli.find.locate import place
from mystyle_cli.hull import hull
from mystyle_cli.photos.decode import Photo
from mystyle_cli.photos.pixels import resize, to_unit
from mystyle_cli.progress import Progress, Step, silent
from mystyle_cli.projection.settings import HULL, SpaceName
from mystyle_cli.restore import composite
from mystyle_cli.restore.engine import Answering
from mystyle_cli.restore.estimates import Known, tone_of
from mystyle_cli.restore.given import Given
from mystyle_cli.restore.restore import ENLARGED
from mystyle_cli.restore.whole import Whole
from mystyle_cli.video.clip import LARGEST_FRAME, Frame, open_clip
from mystyle_cli.video.frames import Shown, chosen, fill_between, in_windows, smoothed
from mystyle_cli.video.phi import GREY, Suffered, suffered_of
from mystyle_cli.video.watch import Watched, cut_window, located, watch
from mystyle_cli.video.writing import open_writer

if TYPE_CHECKING:
    from mystyle_cli.photos.pixels import Pixels
    from mystyle_cli.projection.damage import Damage
    from mystyle_cli.video.clip import Clip
    from mystyle_cli.video.watch import Part
    from mystyle_cli.video.writing import ClipWriter

ClipTask = Literal["restore", "upscale"]

SPACE: Final[SpaceName] = "p+"  # of clips, where none is asked for: how steady others are was not measured

SAMPLES: Final = 16
"""Frames from which it is told what the clip suffered."""

CHUNK: Final = 16
"""Frames that are held at once, about."""

REACH: Final = 2
"""Frames to each side with which codes and motions are made smooth; with more, quick ones are lost."""

MARGIN: Final = 4.0
"""What is worked on around a face's crop, in pixels of the crop: what resampling looks at."""


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


def restore_clip(
    engine: Answering,
    source: Path,
    target: Path,
    task: ClipTask,
    *,
    comment: Callable[[float | None], str] | None = None,
    fresh: bool = False,
    progress: Progress = silent,
) -> MadeClip:
    """Restore or enlarge a person's face through a clip.

    Args:
        engine: of the person, with the settings that are asked for.
        source, target: files; the target's ending says what is written.
        task: "restore" or "upscale".
        comment: gives what the result says of itself, for the dilation that was allowed; None says nothing.
        fresh: replace nothing, not even what comes to the target's place meanwhile.

    Raises:
        OSError: the target cannot be written.
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
        making = _Making(engine, clip, watched, task)
        said = "" if comment is None else comment(making.beta)
        with (
            clip.items() as (container, copied, items),
            open_writer(target, clip.facts, making.shape, container, copied, said, fresh=fresh) as writer,
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
    if task == "upscale" and (
        settings.known != none or settings.keep_tone is not None or settings.grain is not None
    ):
        raise UsageError("what is enlarged was at most made small", "Use restore for what is damaged.")


class _Making:
    """A clip on its second pass."""

    def __init__(self, engine: Answering, clip: Clip, watched: Watched, task: ClipTask) -> None:
        self.engine, self.clip, self.watched, self.task = engine, clip, watched, task
        self.profile, self.settings, self.resolution = engine.profile, engine.settings, engine.resolution
        self.beta = engine.betas.of(task, watched.id_score)
        self.bounded = engine.projection.space in HULL
        self.suffered = self._suffered()
        keep_tone = True if task == "upscale" else self.settings.keep_tone
        self.whole = Whole(self.profile.prior, task, False, keep_tone, self.settings.grain)
        self.factor = self._factor()
        tall, wide = self._enlarged(clip.facts.shape)
        self.shape = tall // 2 * 2, wide // 2 * 2  # what H.264 can hold
        self.at_once = engine.at_once
        self.scores: list[float] = []
        self.dilation = 0.0 if self.bounded else math.nan
        self.failed = 0

    def _enlarged(self, shape: tuple[int, ...]) -> tuple[int, int]:
        if self.factor == 1:
            return shape[0], shape[1]
        return composite.enlarged(shape[0], self.factor), composite.enlarged(shape[1], self.factor)

    def _factor(self) -> float:
        """Return how much larger the clip becomes: as its usual face would, if there is room."""
        height, width = self.clip.facts.shape
        most = math.sqrt(LARGEST_FRAME / (height * width))
        factor = min(self.resolution / self.watched.side, most)
        return factor if factor >= ENLARGED else 1.0

    def _suffered(self) -> Suffered:
        """Return what the clip suffered; what is enlarged was at most made small, and may be grey."""
        name = str(self.clip.path)
        seen = [located(name, one, self.resolution) for one in self.watched.looks]
        if self.task == "upscale":
            tones = [tone_of(one.crop) for one in seen]
            return Suffered(tone=GREY if sum(tone is not None for tone in tones) > len(tones) / 2 else None)
        rows = np.unique(np.linspace(0, len(seen) - 1, min(SAMPLES, len(seen))).round().astype(int))
        found = suffered_of(self.engine.estimator, [seen[row] for row in rows])
        if found.tone is not None and self.settings.quality == "instant":
            raise UsageError(
                f"{name}: an instant answer cannot give a clip its colours back",
                "Use --quality fast or full.",
            )
        return found

    def run(self, items: Iterable[Any], writer: ClipWriter, progress: Progress) -> None:
        """Work on all frames, and hand sound and subtitles on as they come.

        Raises:
            MystyleError: none of its frames could be drawn, or the file changed.
        """
        for shown in self._drawn(in_windows(self._searched(self._taken(items, writer)), REACH)):
            writer.write(shown.frame, self._laid(shown))
            progress(Step("restore", shown.frame.number + 1, self.watched.frames))
        if not self.scores:
            raise MystyleError(
                f"{self.clip.path}: the search came upon numbers that are not finite",
                "Try another --quality or --start.",
            )

    def _taken(self, items: Iterable[Any], writer: ClipWriter) -> Iterator[Shown]:
        """Yield frames with what is given of the person on them."""
        number = -1
        for item in items:
            if not isinstance(item, Frame):
                writer.copy(item)
                continue
            number = item.number
            there = self.watched.at(number) if number < self.watched.frames else None
            yield Shown(item, None) if there is None else self._shown(item, *there)
        if number + 1 != self.watched.frames:
            raise MystyleError(f"{self.clip.path}: the file changed meanwhile", "Try again.")

    def _shown(self, frame: Frame, part: Part, at: int) -> Shown:
        quad = part.quads[at]
        window, (left, top) = frame.pixels(), (0, 0)
        if self.factor == 1:
            margin = math.ceil(MARGIN * max(1.0, quad_side(quad) / self.resolution)) + 2
            window, (left, top) = cut_window(window, quad, margin)
            window = window.copy()  # so that the frame's own pixels can go
        digest = hashlib.sha256(f"{frame.number}".encode()).hexdigest()  # of the grain
        photo = Photo(window, None, False, None, None, digest)
        name = f"{self.clip.path}, frame {frame.number}"
        face = replace(place(name, photo, quad - [left, top], self.resolution), id_score=part.id_score)
        damage = self.suffered.at(face.side, self.resolution)
        chroma = None if damage.tone is None else self.engine.estimator.chroma
        given = Given(face, "restore", self.resolution, damage, chroma)
        return Shown(frame, part, float(part.shares[at]), (left, top), given)

    def _searched(self, frames: Iterator[Shown]) -> Iterator[Shown]:
        """Find the code of each face: some are searched, several at once, the others lie between them."""
        before: Shown | None = None
        while group := list(islice(frames, CHUNK)):
            rows = [list(row) for _, row in groupby(group, lambda shown: id(shown.part))]
            due: list[Shown] = []
            for row in rows:
                if row[0].part is None:
                    continue
                if before is not None and before.part is row[0].part and row[0] is group[0]:
                    row.insert(0, before)
                known = row[0].code is not None
                due += [row[at] for at in chosen([shown.look() for shown in row], known)]
            for first in range(0, len(due), self.at_once):
                self._search(due[first : first + self.at_once])
            for row in rows:
                fill_between(row)
            before = group[-1]
            yield from group

    def _search(self, group: Sequence[Shown]) -> None:
        """Find codes together, fewer at once where memory runs out."""
        if not group:
            return
        try:
            answer = self.engine.answer([one.given for one in group if one.given], self.beta, silent)
        except Exception as error:
            if not ran_out(error) or (len(group) == 1 and not self.engine.save_memory()):
                raise
            self.at_once = math.ceil(len(group) / 2)
        else:
            codes = answer.w_plus if answer.alpha_plus is None else answer.alpha_plus
            for row, shown in enumerate(group):
                shown.code, shown.motion = np.asarray(codes[row], np.float64), answer.motions[row]
                shown.slack = None if answer.slack is None else answer.slack[row]
            return
        self.profile.device.give_back()  # outside, as the error holds what was computed
        for first in range(0, len(group), self.at_once):
            self._search(group[first : first + self.at_once])

    def _drawn(self, windows: Iterator[tuple[Shown, list[Shown]]]) -> Iterator[Shown]:
        """Make codes and motions smooth over time, and draw what comes of it."""
        anchors = self.profile.anchors().astype(np.float64) if self.bounded else None
        while group := list(islice(windows, self.at_once)):
            seen = [(shown, around) for shown, around in group if shown.given is not None]
            if seen:
                codes = np.stack([smoothed(shown, around, "code", REACH) for shown, around in seen])
                if anchors is not None:
                    codes = self.engine.span.inside(np.asarray(codes, np.float64), self.beta)
                    self.dilation = max(self.dilation, float(hull.least_dilation(codes).max()))
                    codes = hull.combine(codes, anchors)
                if seen[0][0].slack is not None:
                    beside = [smoothed(shown, around, "slack", REACH) for shown, around in seen]
                    codes = codes + np.stack(beside)[:, None]  # (T, num_ws, w_dim)
                images = self.engine.draw(codes.astype(np.float32))
                for (shown, around), image in zip(seen, images, strict=True):
                    assert shown.given is not None
                    motion = smoothed(shown, around, "motion", REACH).astype(np.float32)
                    shown.given, shown.image = shown.given.moved(motion), image
            yield from (shown for shown, _ in group)

    def _laid(self, shown: Shown) -> Pixels | None:
        """Return a frame as it is written, uint8 (H, W, 3); None where it stays as it was."""
        pixels, given, image = shown.frame.pixels(), shown.given, shown.image
        if image is not None and not np.isfinite(image).all():
            self.failed += 1
            image = None
        if given is None or image is None:
            return None if pixels.shape[:2] == self.shape else self._cut(self._bare(pixels))
        met = self.whole.meet(given, image)
        face = self.whole.face(given.located, met, given.damage)
        self.scores.append(float(self.profile.id_score(to_unit(face)[None])[0]))
        laid = self.whole.lay(given.located, met, self.factor, given.damage)
        if shown.share < 1:
            bare = self._bare(given.located.photo.pixels).astype(np.float32)
            laid = np.rint(bare + (laid - bare) * shown.share).astype(np.uint8)
        if self.factor == 1:
            left, top = shown.corner
            made = pixels.copy()
            made[top : top + len(laid), left : left + len(laid[0])] = laid
            laid = made
        return self._cut(laid)

    def _bare(self, pixels: Pixels) -> Pixels:
        """Return pixels as large as the result, without any face laid over them."""
        return pixels if self.factor == 1 else resize(pixels, self._enlarged(pixels.shape), "lanczos")

    def _cut(self, pixels: Pixels) -> Pixels:
        return pixels[: self.shape[0], : self.shape[1]]

    def made(self) -> MadeClip:
        """Return what became of the clip."""
        warnings = [*self.clip.facts.notes, *self.watched.warnings, *self.engine.notices]
        if self.clip.damaged:
            warnings.append(f"{self.clip.damaged} damaged pieces of it were left out")
        if self.failed:
            warnings.append(f"{self.failed} frames could not be drawn, and stayed as they were")
        mean, side = float(np.mean(self.scores)), self.watched.side
        if unlike := self.profile.unlike(mean):
            warnings.append(unlike)
        return MadeClip(
            frames=self.watched.frames,
            with_person=self.watched.with_person,
            id_mean=mean,
            id_min=float(np.min(self.scores)),
            input_id=self.watched.id_score,
            beta=hull.bound(self.beta) if self.bounded else None,
            least_dilation=self.dilation,
            factor=self.factor,
            damage=self.suffered.at(side, self.resolution) if self.task == "restore" else None,
            side=side,
            warnings=tuple(warnings),
        )
