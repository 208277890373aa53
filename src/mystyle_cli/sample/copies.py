"""Whether a new picture is nearly one of the photos (app. C.5, fig 20), told without torch as it is drawn."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.person.reference import read_face

if TYPE_CHECKING:
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.photos.pixels import Pixels
    from mystyle_cli.sample.rendering import Renderer

Floats = NDArray[np.float32]

NEAR: Final = 2.0
"""Of what the generator usually misses of a photo, beyond which a picture is no copy of one."""

SLACK: Final = 1.05
"""By how much more a copy may miss of a photo than what the generator makes of that photo's own anchor."""


class Copies:
    """Tells which photo a picture copies: one that it is as near to as the generator comes at all.

    Looked at are the photo of the largest coefficient and the one that the identity net finds most alike.

    Args:
        profile: of one person; without photos or figures of its tuning nothing is a copy.
        renderer: that drew the pictures.
    """

    def __init__(self, profile: Profile, renderer: Renderer) -> None:
        self.profile, self.renderer = profile, renderer
        usual = profile.manifest.results.get("after", {}).get("psnr", math.nan)
        known = profile.has_faces and math.isfinite(usual)
        self.usual = 255 / 10 ** (usual / 20) if known else 0.0  # levels of 255
        self._photos: dict[int, Pixels] = {}
        self._least: dict[int, float] = {}

    def of(self, alphas: NDArray[np.float64], embeddings: Floats, pixels: Pixels) -> tuple[str, ...]:
        """Return the file of the photo that each picture copies, "" where it copies none.

        Args:
            alphas: (B, N), coefficients of the anchors.
            embeddings: (B, D), of the pictures.
            pixels: uint8 (B, R, R, 3).
        """
        if not self.usual:
            return ("",) * len(pixels)
        alike = embeddings @ self.profile.reference_embeddings().T  # (B, N)
        records = self.profile.photos()
        found = []
        for picture, *rows in zip(pixels, alphas.argmax(axis=1), alike.argmax(axis=1), strict=True):
            misses = {int(row): _missed(picture, self._photo(int(row))) for row in rows}
            row = min(misses, key=lambda row: misses[row])
            near = misses[row] < NEAR * self.usual and misses[row] <= SLACK * self._least_of(row)
            found.append(records[row].file if near else "")
        return tuple(found)

    def _photo(self, row: int) -> Pixels:
        if row not in self._photos:
            profile = self.profile
            path = profile.file(str(profile.photos()[row].face))
            self._photos[row] = read_face(path, profile.manifest.prior.resolution, profile.path)
        return self._photos[row]

    def _least_of(self, row: int) -> float:
        """Return what the generator misses of a photo, drawn from its own anchor."""
        if row not in self._least:
            from mystyle_cli.photos.pixels import to_pixels

            code = self.profile.anchors()[row]
            w_plus = np.repeat(code[None, None], self.profile.manifest.prior.num_ws, axis=1)
            made = to_pixels(self.renderer.render(w_plus))[0]
            self._least[row] = _missed(made, self._photo(row))
        return self._least[row]


def _missed(made: Pixels, photo: Pixels) -> float:
    """Return the root of the mean square difference of two pictures, in levels of 255."""
    return float(np.sqrt(np.square(made.astype(np.float32) - photo).mean()))
