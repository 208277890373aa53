"""From a generated face back to the whole photo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from mystyle_cli.photos.align import Points
    from mystyle_cli.photos.decode import Pixels
    from mystyle_cli.restore.locate import Located

FEATHER: Final = 0.06
"""Width of the soft edge of a pasted crop, in crop sides."""

Floats = npt.NDArray[np.float32]


def paste_face(located: Located, face: Pixels, shown: Floats, aligned: bool) -> Pixels:
    """Lay a generated face over the photo.

    Args:
        located: the photo and where the face lies.
        face: uint8 (R, R, 3).
        shown: (R, R) in [0, 1], where it may show.
        aligned: the photo is the crop itself, so its edge needs no feather.
    """
    from mystyle_cli.photos.paste import paste

    return paste(located.photo.pixels, face, located.quad, shown, 0.0 if aligned else FEATHER)


def enlarge_and_paste(located: Located, face: Pixels, shown: Floats, aligned: bool) -> Pixels:
    """Enlarge the whole photo by Lanczos so that the face reaches R pixels, and lay the face over it.

    Args:
        located: the small photo.
        face: uint8 (R, R, 3).
        shown: (R, R) in [0, 1], the person's matte; the rest stays Lanczos. Source: sec. 5.2.2.
        aligned: the photo is the crop itself.
    """
    from mystyle_cli.photos.decode import resize
    from mystyle_cli.photos.paste import paste

    height, width = located.photo.pixels.shape[:2]
    factor = len(face) / located.side
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    large = resize(located.photo.pixels, size, "lanczos")
    quad: Points = located.quad * (np.array([size[1], size[0]]) / (width, height))
    return paste(large, face, quad, shown, 0.0 if aligned else FEATHER)


def fill_photo(located: Located, face: Pixels, aligned: bool) -> Pixels:
    """Fill the photo's hole with a generated face; pixels where the mask is 0 keep their very bits.

    What of the hole lies outside the face's crop is continued smoothly from around it.

    Args:
        located: the photo, its mask and where the face lies.
        face: uint8 (R, R, 3), seamless with the crop around the hole.
        aligned: the photo is the crop itself.
    """
    from mystyle_cli.photos.paste import paste
    from mystyle_cli.restore.search import fill_hole

    pixels, mask = located.photo.pixels, located.mask
    assert mask is not None
    base = fill_hole(pixels, mask)
    laid = paste(base, face, located.quad, None, 0.0 if aligned else FEATHER)
    share = mask[..., None].astype(np.float32) / 255
    mixed = np.rint(pixels + (laid.astype(np.float32) - pixels) * share).clip(0, 255).astype(np.uint8)
    return np.where(mask[..., None] > 0, mixed, pixels)


def seamless(image: Floats, crop: Floats, hole: Floats) -> Floats:
    """Shift a generated image inside a hole so that it meets the photo around it; elsewhere is the photo.

    The difference at the hole's edge is continued smoothly inwards, which removes a seam in colour and light
    but keeps the generated detail.

    Args:
        image: (3, R, R), generated.
        crop: (3, R, R), the photo.
        hole: (R, R) in [0, 1].
    """
    from mystyle_cli.restore.degradations import EDGE
    from mystyle_cli.restore.membrane import continued

    seam = continued(crop - image, hole > EDGE)
    return np.asarray(image + seam, np.float32)


def hole_outside(located: Located) -> float:
    """Return the share of the mask that lies outside the face's crop."""
    from mystyle_cli.photos.paste import worked_region

    assert located.mask is not None
    region = worked_region(located.mask.shape, located.quad)
    total = float(located.mask.sum())
    return 1.0 - float(located.mask[region].sum()) / max(total, 1.0)
