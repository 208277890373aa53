"""How well the reference set comes back from its anchors, before and after tuning (app. C.3, fig 17)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mystyle_cli.person.reference import HELD_OUT
from mystyle_cli.person.score import reconstruction_figures

if TYPE_CHECKING:
    from mystyle_cli.person.profile import Profile


def reconstruction(profile: Profile) -> dict[str, dict[str, float]]:
    """Measure G_d and G_p at the anchors, and at the encoder's codes of the profile's held-out photos.

    Args:
        profile: a tuned profile.

    Returns:
        For "before" and "after" the figures of `reconstruction_figures`.
    """
    prior, held_out = profile.prior, profile.faces(HELD_OUT)
    perceptual = prior.perceptual()
    own = (profile.anchors(), profile.faces())
    encoded = "encoder" in prior.roles and len(held_out) > 0
    unseen = (prior.encode(held_out) if encoded else profile.anchors()[:0], held_out)
    generators = {"before": prior.generator(), "after": profile.generator()}
    return {
        name: reconstruction_figures(generator, prior, perceptual, own, unseen)
        for name, generator in generators.items()
    }
