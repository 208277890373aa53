"""From a generated face to the whole photo that a command returns, the same whenever it is done again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt

from mystyle_cli.projection.damage import LUMA
from mystyle_cli.restore import composite

if TYPE_CHECKING:
    from mystyle_cli.find.locate import Located
    from mystyle_cli.photos.pixels import Pixels
    from mystyle_cli.prior.registry import Prior
    from mystyle_cli.projection.damage import Damage
    from mystyle_cli.restore.given import Given
    from mystyle_cli.restore.task import TaskName

Floats = npt.NDArray[np.float32]
Command = Literal["invert", "inpaint", "upscale", "edit", "restore"]  # what makes a photo of a generated face

FACE_ALONE: Final = 0.5  # share of a photo from which a face's crop is nearly all that it shows

COMMANDS: Final[tuple[Command, ...]] = ("invert", "inpaint", "upscale", "edit", "restore")


@dataclass(frozen=True)
class Whole:
    """How a face becomes a photo again."""

    prior: Prior  # the domain prior, whose matte and crop count
    command: Command
    aligned: bool  # the photo is the crop itself
    # a photo without colours is restored without; None: where it shows more than a face
    keep_tone: bool | None = None
    grain: bool | None = None  # a restored face gets the grain of its photo; None: unless it is a crop

    @property
    def task(self) -> TaskName:
        """What was assumed of the photo: what is edited was inverted."""
        return "invert" if self.command == "edit" else self.command

    @property
    def grained(self) -> bool:
        """Whether a restored face has the noise of its photo."""
        return not self.aligned if self.grain is None else self.grain

    def meet(self, given: Given, image: Floats) -> Floats:
        """Return a generated face (3, R, R) in [-1, 1], made to agree with what its photo says."""
        if given.damage is not None:
            from mystyle_cli.restore.kept import kept

            return kept(image, given.degraded, given.damage).clip(-1, 1)
        if self.command == "upscale":
            image = composite.consistent(image, given.degraded)
        image = image.clip(-1, 1)
        if self.command == "inpaint":
            image = composite.seamless(image, given.shown, given.located.hole).clip(-1, 1)
        return image

    def face(self, located: Located, image: Floats, damage: Damage | None = None) -> Pixels:
        """Return it as pixels, uint8 (R, R, 3), in grey where its photo is and colour is not asked for."""
        from mystyle_cli.photos.pixels import to_pixels

        if damage is None:
            return composite.toned(located, to_pixels(image))
        if damage.tone is not None and self.keeps_tone(located):
            slope, offset = np.asarray(damage.tone, np.float32).T[..., None, None]
            image = slope * np.tensordot(LUMA, image, 1) + offset
        return to_pixels(image)

    def keeps_tone(self, located: Located) -> bool:
        """Tell whether a photo without colours stays so: a face in colour on a grey photo looks painted."""
        if self.keep_tone is not None:
            return self.keep_tone
        height, width = located.photo.pixels.shape[:2]
        return not self.aligned and located.side**2 < FACE_ALONE * height * width

    def shown(self, located: Located, image: Floats) -> Floats:
        """Return (R, R) in [0, 1], where it may show: everywhere in a hole, else where a person is.

        Where a face replaces another of the same size both outlines count, so that nothing old stays.
        """
        from mystyle_cli.photos.pixels import to_unit

        if self.command == "inpaint" or located.mask is not None or "matte" not in self.prior.roles:
            return np.ones(image.shape[1:], np.float32)
        pictures = [image] if self.command == "upscale" else [image, to_unit(located.crop)]
        return np.asarray(self.prior.matte(np.stack(pictures)).max(axis=0), np.float32)

    def enlarges(self, factor: float) -> bool:
        """Tell whether the whole photo becomes larger, by as much as its face did."""
        return self.command == "upscale" or (self.command != "inpaint" and factor != 1)

    def bare(self, located: Located, factor: float, damage: Damage | None = None) -> Pixels:
        """Return what a face is laid over by `lay`, uint8 (H, W, 3): the photo as large as it becomes."""
        photo = located.photo if damage is None else composite.unscratched(located).photo
        return composite.enlarge(photo, factor) if self.enlarges(factor) else photo.pixels

    def lay(
        self,
        located: Located,
        image: Floats,
        factor: float,
        damage: Damage | None = None,
        share: Floats | None = None,
    ) -> Pixels:
        """Return the whole photo, uint8 (H, W, 3).

        Args:
            image: (3, R, R), as `meet` returns it.
            factor: how much larger than the photo it becomes; 1 keeps its size.
            damage: what the photo had suffered, where it was restored.
            share: (R, R) in [0, 1], how much of each place is this face's where others are beside it.
        """
        face, crop = self.face(located, image, damage), self.prior.crop
        alone = np.float32(1) if share is None else share
        if damage is not None:
            if self.grained:
                face = composite.grained(face, damage, located.photo.sha256)
            shown = self.shown(located, image) * alone
            if damage.fine is not None:
                located = composite.mended(located, damage.fine, shown, crop, self.aligned, self.grained)
            return composite.repair(located, face, shown, crop, self.aligned, factor)
        if self.command == "inpaint":
            return composite.fill_photo(located, face, crop, self.aligned)
        shown = self.shown(located, image) * alone
        if self.enlarges(factor):
            return composite.enlarge_and_paste(located, face, shown, crop, self.aligned, factor)
        return composite.paste_face(located, face, shown, crop, self.aligned)
