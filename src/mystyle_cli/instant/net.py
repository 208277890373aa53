"""The net that answers at once: what is left of a photo in, coefficients in A_beta out, without torch.

It is a small net of one person. It sees what the prior's encoder makes of the degraded photo, the photo's
coarse colours, what of it is known, how small it was, and beta; its last layer is the simplex form of A_beta.
Beside it lies eq 1 as a net with its gradient, for the few steps that an instant answer takes from there.

Source: A_beta is eq 2; the net takes the place of the search of sec. 3.3, for which the paper has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.errors import ProfileError
from mystyle_cli.hull import hull
from mystyle_cli.person.layout import FOLDER
from mystyle_cli.person.manifest import State
from mystyle_cli.photos.pixels import area_kernel, linear_kernel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mystyle_cli.nets.sessions import Session
    from mystyle_cli.person.manifest import Manifest
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.prior.registry import Prior
    from mystyle_cli.projection.damage import Damage

FloatArray = NDArray[np.float32]

FILE: Final = f"{FOLDER}/instant.onnx"
LOSS: Final = f"{FOLDER}/instant-loss.onnx"
STAGE: Final = "instant"
FEATURES, BETA, ALPHA_PLUS = "features", "beta", "alpha_plus"

GRID: Final = 16  # side in pixels of the coarse picture that the net sees

LEAST_SIDE: Final = 4  # of what the net is shown of a photo, however blurred

# the largest dilation that the net is trained for; its answer lies in every larger A_beta too
LARGEST_BETA: Final = 0.06


# what a person's anchor has at least of an answer of several people's net: there is something to go by
LEAST_SHARE: Final = 1e-9

# what share of an answer is the code nearest to the encoder's, where nothing of the photo is hidden. The
# encoder was trained with far more faces than the net; what a hole does to it, the net knows better.
ENCODED: Final = 0.5


@dataclass(frozen=True)
class InstantSettings:
    """How the instant net is trained."""

    samples: int = 320  # pictures rendered from the hull
    views: int = 2  # degradations of each of them; every reference photo gets three times as many
    width: int = 384  # of the hidden layers
    steps: int = 500  # of the training
    batch: int = 96  # examples a step
    learning_rate: float = 2e-3  # Adam's rate at its highest
    seed: int = 0  # of everything that is drawn


@dataclass(frozen=True)
class View:
    """Degraded photos as the net sees them."""

    # float32 (B, 3, R, R) in [-1, 1]: a small photo enlarged, a hole filled with one colour
    images: FloatArray
    known: FloatArray  # float32 (B, R, R), 1 where the photo says something
    sides: NDArray[np.float64]  # (B,), side in pixels of the photo as it was


def whole(images: FloatArray) -> View:
    """View aligned photos (B, 3, R, R) that nothing was done to."""
    count, _, side, _ = images.shape
    return View(images, np.ones((count, side, side), np.float32), np.full(count, float(side)))


def enlarged(small: Sequence[FloatArray], resolution: int) -> View:
    """View small photos, each (3, h, h) with a side of its own."""
    kernels = [linear_kernel(image.shape[-1], resolution).astype(np.float32) for image in small]
    images = [kernel @ image @ kernel.T for kernel, image in zip(kernels, small, strict=True)]
    view = whole(np.stack(images).astype(np.float32))
    return View(view.images, view.known, np.array([float(image.shape[-1]) for image in small]))


def as_sharp(small: FloatArray, damage: Damage, resolution: int) -> FloatArray:
    """Make what is left of a face (3, h, h) as small as it is sharp, which averages noise, too."""
    side = min(small.shape[-1], max(LEAST_SIDE, round(damage.effective_side(resolution))))
    kernel = area_kernel(small.shape[-1], side)
    return np.asarray(kernel @ small @ kernel.T, np.float32)


def hidden(images: FloatArray, holes: FloatArray) -> View:
    """View photos (B, 3, R, R) with holes (B, R, R), 1 = unknown; what is in a hole is not seen."""
    known = (1 - holes).astype(np.float32)
    shown = images * known[:, None]  # (B, 3, R, R)
    total = np.maximum(known.sum(axis=(1, 2)), 1.0)[:, None]
    mean = shown.sum(axis=(2, 3)) / total  # (B, 3)
    filled = shown + mean[:, :, None, None] * (1 - known)[:, None]
    return View(filled.astype(np.float32), known, np.full(len(images), float(images.shape[-1])))


def features_of(prior: Prior, view: View) -> FloatArray:
    """Return what the net is told of degraded photos, (B, F), beta apart."""
    resolution = view.images.shape[-1]
    kernel = area_kernel(resolution, min(GRID, resolution)).astype(np.float32)  # (GRID, R)
    known = kernel @ view.known @ kernel.T  # (B, GRID, GRID)
    coarse = kernel @ (view.images * view.known[:, None]) @ kernel.T  # (B, 3, GRID, GRID)
    size = np.log2(view.sides / resolution)[:, None]  # (B, 1): halving the side is one step, at any size
    parts = [coarse.reshape(len(coarse), -1), known.reshape(len(known), -1), size]
    if "encoder" in prior.roles:
        parts.append(prior.encode(view.images))
    return np.concatenate(parts, axis=1).astype(np.float32)


def with_beta(features: FloatArray, beta: float) -> FloatArray:
    """Add beta as the last feature."""
    column = np.full((len(features), 1), beta / LARGEST_BETA, np.float32)
    return np.concatenate([features, column], axis=1)


class InstantNet:
    """The net, open, over the anchors (N, w_dim) of its person.

    Args:
        rows: (N,), which of the net's coefficients are theirs; it may know several people.
    """

    def __init__(
        self, session: Session, prior: Prior, anchors: FloatArray, rows: NDArray[np.int64] | None = None
    ) -> None:
        self._session, self._prior, self._anchors = session, prior, anchors
        self._rows = np.arange(len(anchors)) if rows is None else rows

    def over(self, anchors: FloatArray, rows: NDArray[np.int64]) -> InstantNet:
        """Return the same net for some of the anchors that it knows: of one of several people, or fewer."""
        return InstantNet(self._session, self._prior, anchors, rows)

    def alpha_plus(self, view: View, beta: float | None) -> NDArray[np.float64]:
        """Return coefficients (B, num_ws, N) in A_beta, and in `LARGEST_BETA`'s where beta is larger."""
        bounded = hull.bound(beta)
        # A_beta lies in every larger one, so the answer for the largest that was learned is one for those too
        used = LARGEST_BETA if bounded is None else min(bounded, LARGEST_BETA)
        given = with_beta(features_of(self._prior, view), used)
        found = self._session.run(given, {BETA: self._session.place(np.array([used], np.float32))})
        mixed = self._with_encoded(self._own(found.astype(np.float64), used), view, used)
        # exact in float64: the net's own float32 sums are 1 to a few units of their last place
        return np.asarray(hull.project_onto_hull(mixed, used), np.float64)

    def _own(self, found: NDArray[np.float64], beta: float) -> NDArray[np.float64]:
        """Return a person's own of answers (B, num_ws, M) in A_beta for several, in A_beta again."""
        if found.shape[-1] == len(self._rows):
            return found
        shares = np.maximum(found[..., self._rows] + beta, LEAST_SHARE)
        return np.asarray(hull.simplex_alpha(np.log(shares), beta), np.float64)

    def _with_encoded(self, found: NDArray[np.float64], view: View, beta: float) -> NDArray[np.float64]:
        """Move the answers (B, num_ws, N) for photos that hide nothing towards the encoder's codes."""
        from mystyle_cli.hull.solve import nearest_alpha

        rows = np.nonzero((view.known == 1).all(axis=(1, 2)))[0]
        if "encoder" in self._prior.roles and len(rows):
            nearest = nearest_alpha(self._prior.encode(view.images[rows]), self._anchors, beta)
            found[rows] += ENCODED * (nearest[:, None] - found[rows])
        return found


def instant_state(manifest: Manifest) -> State:
    """Tell whether a profile's nets were made for its generator and anchors as they are."""
    from mystyle_cli.person.layout import ANCHORS, GENERATOR

    digests, facts = manifest.digests(), manifest.stages.get(STAGE, {})
    if not {FILE, LOSS} <= digests.keys():
        return "none"
    same = facts.get("generator") == digests.get(GENERATOR) and facts.get("anchors") == digests.get(ANCHORS)
    return "fresh" if same and facts.get("prior") == manifest.prior.sha256 else "stale"


def open_instant(profile: Profile, *, helper: bool = False) -> InstantNet:
    """Open a person's net; as a `helper` (`Device.helpers`) it only gives torch's search its start.

    Raises:
        ProfileError: the profile has none, or one of an older generator.
    """
    from mystyle_cli.nets.sessions import open_session

    state = instant_state(profile.manifest)
    if state != "fresh":
        why = "has no net for instant answers"
        if state == "stale":
            why = "has a net for instant answers that belongs to an older generator"
        alone = len(profile.photos()) == 1  # see `learn/stages.py`
        hint = "Use --quality full." if alone else f"Train it: mystyle tune {profile.name}"
        raise ProfileError(f"profile '{profile.name}' {why}", hint)
    session = open_session(profile.file(FILE), profile.device, helper=helper)
    return InstantNet(session, profile.prior, profile.anchors(), profile.rows)
