"""What is taken from held-out photos, and what the person's prior answers to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from mystyle_cli.progress import Progress, silent
from mystyle_cli.restore.restore import restore
from mystyle_cli.restore.trials import BOX, MOUTH, TIMES, Answers, Box, lanczos, shrink, subjects

if TYPE_CHECKING:
    from mystyle_cli.faces.align import Crop
    from mystyle_cli.find.locate import Subject
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.photos.pixels import Pixels
    from mystyle_cli.restore.task import RestoreSettings, TaskName


@dataclass(frozen=True)
class Photos:
    """Aligned photos that nothing has learned from."""

    crops: Pixels  # uint8 (B, R, R, 3)
    names: Sequence[str]  # what messages call them

    def first(self, count: int) -> Photos:
        """Return the first of them only."""
        return Photos(self.crops[:count], self.names[:count])


@dataclass(frozen=True)
class Case:
    """What is taken from a photo."""

    name: str  # of it
    task: TaskName  # "upscale", "inpaint", or "invert", which takes nothing
    times: int = TIMES  # how many times smaller what is to be enlarged is than the crop
    box: Box = BOX  # the hole

    def small(self, resolution: int) -> int:
        """Return the side in pixels of what is to be enlarged."""
        return resolution // self.times

    def subjects(self, photos: Photos, crop: Crop) -> list[Subject]:
        """Return photos without what is taken, as `restore` works on them."""
        small = self.small(photos.crops.shape[1])
        return subjects(photos.crops, self.task, photos.names, crop, small=small, box=self.box)

    def left(self, photos: Photos, crop: Crop) -> Pixels:
        """Return what is left of photos, uint8 (B, R, R, 3)."""
        if self.task == "upscale":
            side = photos.crops.shape[1]
            return lanczos(shrink(photos.crops, self.small(side)), side)
        return np.stack([np.asarray(subject.photo) for subject in self.subjects(photos, crop)])

    def answered(
        self, profile: Profile, photos: Photos, settings: RestoreSettings, progress: Progress = silent
    ) -> Answers:
        """Return what a person's prior makes of photos; one that fails stops no other."""
        crop = profile.prior.crop
        found = restore(profile, self.subjects(photos, crop), self.task, settings, progress)
        return Answers.of([one.pixels for one in found], self.left(photos, crop))


WHOLE: Final = Case("nothing hidden", "invert")
HIDDEN: Final = Case("eyes and nose hidden", "inpaint")
SMALL: Final = Case("enlarged 8 times", "upscale")
CASES: Final = (
    HIDDEN,
    Case("mouth hidden", "inpaint", box=MOUTH),
    SMALL,
    Case("enlarged 4 times", "upscale", times=4),
)
