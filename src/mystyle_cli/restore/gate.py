"""How high this person's own photos score when as little is seen of them as of the photo at hand (fig 12)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from mystyle_cli.person.profile import Profile

SAMPLE: Final = 24
"""Reference photos that are degraded for comparison."""

SPREADS: Final = 3.0
"""Standard deviations below their mean that a photo of the person may lie."""

Floats = npt.NDArray[np.float32]


def id_limit(profile: Profile, side: float, hole: Floats) -> float:
    """Return the ID score under which a face counts as not this person's.

    A face that is small, or has a hole, scores lower whoever it is. So the profile's own limit is lowered by
    what the same degradation takes from the person's own photos, and never lies above what nearly all photos
    of theirs would then reach.

    Args:
        profile: the person.
        side: of the face's crop on the photo, in pixels.
        hole: float32 (R, R), 1 = not visible.
    """
    resolution = profile.manifest.prior.resolution
    limit = profile.id_threshold
    small = min(max(round(side), 1), resolution)
    if small >= resolution // 2 and not (hole > 0).any():
        return limit
    faces = profile.faces()
    rows = np.unique(np.linspace(0, len(faces) - 1, min(SAMPLE, len(faces))).round().astype(int))
    others = [[int(row)] for row in rows] if len(faces) > 1 else None
    clear = profile.id_score(faces[rows], others)
    veiled = profile.id_score(_degrade(faces[rows], small, hole), others)
    lowered = limit - max(float(clear.mean() - veiled.mean()), 0.0)
    return min(lowered, float(veiled.mean() - SPREADS * veiled.std()))


def _degrade(faces: Floats, small: int, hole: Floats) -> Floats:
    """Do to faces (B, 3, R, R) what was done to the photo, and bring them back to R as the photo was."""
    from mystyle_cli.photos.kernels import area_kernel, linear_kernel
    from mystyle_cli.restore.degradations import EDGE
    from mystyle_cli.restore.membrane import continued

    resolution = faces.shape[-1]
    if (hole > 0).any():
        faces = continued(faces, hole > EDGE)
    if small < resolution:
        there_and_back = linear_kernel(small, resolution) @ area_kernel(resolution, small)
        faces = np.asarray(there_and_back @ faces @ there_and_back.T, np.float32)
    return faces
