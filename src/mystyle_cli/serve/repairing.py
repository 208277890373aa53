"""A photo from the page through the same core as the commands, and its result with the same marks."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mystyle_cli.batch.errands import Job, encoded
from mystyle_cli.batch.subjects import SubjectReader
from mystyle_cli.errors import MystyleError
from mystyle_cli.progress import Progress
from mystyle_cli.terminal.inputs import Input
from mystyle_cli.terminal.options import UNBOUNDED
from mystyle_cli.terminal.outputs import JPEG_QUALITY, Target
from mystyle_cli.work.restoring import Restoring

if TYPE_CHECKING:
    from mystyle_cli.find.region import Region
    from mystyle_cli.nets.device import Device
    from mystyle_cli.photos.decode import Photo
    from mystyle_cli.photos.pixels import Pixels
    from mystyle_cli.restore.task import Dilation, Quality, RestoreSettings, TaskName
    from mystyle_cli.store.store import Store


@dataclass(frozen=True)
class Wanted:
    """What is wanted of a photo."""

    name: str  # of the profile
    task: TaskName
    beta: Dilation
    quality: Quality
    region: Region | None
    force: bool
    keep_tone: bool | None  # of a grey photo, where it is restored; None as usual
    variants: int  # answers

    def settings(self) -> RestoreSettings:
        """Return the core's settings."""
        from mystyle_cli.restore.task import BETAS, default_settings

        settings = default_settings(self.task, self.quality).dilated(self.beta, BETAS[self.task])
        return replace(settings, force=self.force, keep_tone=self.keep_tone, variants=self.variants, batch=1)


@dataclass(frozen=True)
class Repaired:
    """A result, kept until the page has another."""

    pictures: tuple[bytes, ...]  # PNG, marked as the command marks it: the answer, and what is beside it
    summary: str
    likenesses: tuple[str, ...]  # of each answer; pictures beyond them are no answers
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Return what the page is told of it."""
        told = [one for one in self.warnings if one != self.likenesses[0]]
        counts = {"pictures": len(self.pictures), "likenesses": list(self.likenesses)}
        return {"summary": self.summary, "warnings": told, **counts}


class Workshop:
    """Repairs photos one after the other, and keeps the nets that the last one needed."""

    def __init__(self, store: Store, device: Device) -> None:
        self.store, self.device = store, device
        self._ready: tuple[object, Restoring] | None = None

    def forget(self) -> None:
        """Let go of the nets."""
        self._ready = None

    def repair(
        self, photo: Photo, called: str, mask: Pixels | None, wanted: Wanted, progress: Progress
    ) -> Repaired:
        """Return a photo as the command would write it.

        Raises:
            MystyleError: what the command would say.
        """
        restoring = self._restoring(wanted)
        target = Target(None, "png")
        beside = (target,) * wanted.variants if wanted.variants > 1 else ()  # other answers, and the map
        item = Input(Path(called), Path(called))
        job = Job(item, target, replace(photo, exif=None), beside=beside)
        subject = SubjectReader(region=wanted.region, transparent=wanted.task == "inpaint").read(job)
        if mask is not None:
            subject = replace(subject, mask=mask)
        (answer,) = restoring.restore([subject], progress)
        if answer.error is not None:
            raise answer.error
        result = restoring.finish(job, answer)
        pictures = (result.picture, *(picture for _, picture in result.beside))
        likenesses = [restoring.profile.likeness(one.id_score) for one in (answer, *answer.others)]
        warnings = [*([UNBOUNDED] if wanted.beta is None else []), *result.warnings]
        made = tuple(encoded(picture(), "png", JPEG_QUALITY) for picture in pictures)
        return Repaired(made, result.summary, tuple(likenesses), tuple(warnings))

    def _restoring(self, wanted: Wanted) -> Restoring:
        """Return nets that are ready, those of the photo before where nothing else is wanted."""
        profile, settings = self.store.open(wanted.name), wanted.settings()
        key = (wanted.name, profile.manifest, wanted.task, settings)
        if self._ready is None or self._ready[0] != key:
            self._ready = None  # before others are read: there may be no room for both
            self._ready = key, Restoring(profile.on(self.device), wanted.task, settings, keep_code=False)
        return self._ready[1]


def opened(data: bytes, called: str) -> Photo:
    """Decode a photo; raises DecodeError."""
    from mystyle_cli.photos.decode import decode

    stream = io.BytesIO(data)
    stream.name = called
    return decode(stream)


def preview(photo: Photo, longest: int) -> bytes:
    """Return a photo as browsers show it: a JPEG of its pixels and nothing else, so long at most."""
    from mystyle_cli.photos.encode import encode
    from mystyle_cli.photos.pixels import resize

    height, width = photo.pixels.shape[:2]
    scale, stream = min(1.0, longest / max(height, width)), io.BytesIO()
    size = max(1, round(height * scale)), max(1, round(width * scale))
    pixels = photo.pixels if scale == 1 else resize(photo.pixels, size, "area")
    encode(pixels, stream, format="jpeg", jpeg_quality=90)
    return stream.getvalue()


def painted(data: bytes, photo: Photo) -> Pixels:
    """Return a mask that was painted over a preview, in the photo's size; raises MystyleError."""
    import numpy as np

    from mystyle_cli.find.locate import mask_of
    from mystyle_cli.photos.pixels import resize

    mask = mask_of(opened(data, "the mask"))
    height, width = photo.pixels.shape[:2]
    if abs(mask.shape[1] * height - mask.shape[0] * width) > height + width:  # as rounding leaves it
        raise MystyleError("the mask has another shape than the photo", "Paint it over the photo.")
    if mask.shape == (height, width):
        return mask
    return np.asarray(np.where(resize(mask, (height, width), "bicubic") > 127, 255, 0), np.uint8)
