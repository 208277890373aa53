"""A generator for each photo: the person's, tuned on it once and kept for its next edit (sec. 3.4)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mystyle_cli.errors import ProfileError, UsageError
from mystyle_cli.hull import hull
from mystyle_cli.nets.device import CPU
from mystyle_cli.person.difference import apply_bytes, store_difference
from mystyle_cli.person.files import tensor_bytes
from mystyle_cli.person.layout import ANCHORS, GENERATOR, REFINED, refined_name
from mystyle_cli.person.years import span_of
from mystyle_cli.progress import Progress, silent
from mystyle_cli.sample.rendering import TorchRenderer

if TYPE_CHECKING:
    from mystyle_cli.nets.perceptual import Perceptual
    from mystyle_cli.person.profile import Profile
    from mystyle_cli.restore.task import Restoration, RestoreSettings
    from mystyle_cli.sample.rendering import Renderer
    from mystyle_cli.tuning.refining import RefineSettings

# side of a face on its photo, in sides of the picture that is drawn, under which the photo is blurred
SMALL = 0.5


class Keeping(Protocol):
    """Where tuned generators are kept, by name."""

    def read(self, name: str) -> bytes | None:
        """Return what was kept, or None."""

    def write(self, name: str, data: bytes) -> str:
        """Keep something; returns why it is not kept, or ""."""


@dataclass(frozen=True)
class Refined:
    """A generator tuned on one photo.

    Args:
        generator: sha256 of what it is kept as.
        before: eq 1 of the photo before the first step.
        after: before the last one.
        kept: it was tuned for an earlier edit.
    """

    renderer: Renderer = field(repr=False)
    generator: str
    steps: int
    before: float
    after: float
    kept: bool
    notice: str = ""

    def notices(self, inversion: Restoration) -> list[str]:
        """Return what the user should know about a photo that was refined."""
        assert inversion.located is not None
        found = [self.notice] if self.notice else []
        shown, drawn = inversion.located.side, len(inversion.located.crop)
        if shown < SMALL * drawn:
            found.append(
                f"the face is {shown:.0f} px wide and drawn {drawn}: refined, it is as blurred as its photo"
            )
        return found


class Refiner:
    """Tunes a person's generator on one photo after another, and keeps each where it is told, if it is."""

    def __init__(
        self, profile: Profile, keeping: Keeping | None = None, settings: RefineSettings | None = None
    ) -> None:
        from mystyle_cli.tuning.refining import RefineSettings

        self.profile, self.keeping = profile, keeping
        self.settings = settings or RefineSettings()

    @cached_property
    def _perceptual(self) -> Perceptual:
        return self.profile.prior.perceptual()

    def refine(self, inversion: Restoration, code_of: str, progress: Progress = silent) -> Refined:
        """Return the generator for a photo, tuned now or before.

        Args:
            code_of: what its code depends on besides photo and profile; see `searched` and `saved`.

        Raises:
            UsageError: the code is of a photo that was enlarged, which has no details to keep.
        """
        assert inversion.located is not None
        if inversion.factor != 1:
            raise UsageError(
                f"{inversion.name}: it is smaller than what is drawn of it, and has no details to keep",
                "Leave --refine out, or edit the enlarged photo.",
            )
        name = self._name(inversion, code_of)
        found = self.keeping.read(name) if self.keeping is not None else None
        if found is not None:
            with suppress(ProfileError):  # what cannot be used is made anew
                return self._opened(name, found, kept=True)
        data = self._tune(inversion, progress)
        reason = self.keeping.write(name, data) if self.keeping is not None else ""
        notice = f"what was tuned on the photo is not kept for its next edit: {reason}" if reason else ""
        return self._opened(name, data, kept=False, notice=notice)

    def _name(self, inversion: Restoration, code_of: str) -> str:
        from mystyle_cli.tuning.refining import METHOD

        assert inversion.located is not None
        digests = self.profile.manifest.digests()
        facts = (METHOD, self.settings, digests[GENERATOR], digests[ANCHORS], self.profile.prior.digest)
        whose = (inversion.person,) if inversion.person else ()
        key = hashlib.sha256(repr((*facts, code_of, *whose)).encode())
        key.update(np.ascontiguousarray(inversion.located.crop).tobytes())
        return refined_name(digests[GENERATOR], key.hexdigest())

    def _tune(self, inversion: Restoration, progress: Progress) -> bytes:
        """Tune on a photo; returns what is kept of it: the difference from G_d, as a profile keeps G_p."""
        from mystyle_cli.photos.pixels import to_unit
        from mystyle_cli.tuning.refining import refine

        assert inversion.located is not None
        assert inversion.alpha_plus is not None
        anchors = self.profile.one(inversion.person or None).anchors()
        code = hull.combine(inversion.alpha_plus, anchors.astype(np.float64), inversion.slack)
        code = code.astype(np.float32)
        generator, photo = self.profile.generator(), to_unit(inversion.located.crop)
        found = refine(generator, code, photo, self._perceptual, anchors, self.settings, progress)
        stored = store_difference(self.profile.prior, found.state, anchors)
        losses = {"before": repr(found.losses[0]), "after": repr(found.losses[-1])}
        notes = {**stored.notes, **losses, "steps": str(len(found.losses))}
        return tensor_bytes(stored.tensors, notes)

    def _opened(self, name: str, data: bytes, *, kept: bool, notice: str = "") -> Refined:
        """Return a generator from what is kept of it, so that the first edit draws what the next one does."""
        prior = self.profile.prior
        generator = prior.on(CPU).generator()
        notes = apply_bytes(generator, self.profile.path / name, data, prior.digest)
        steps, before, after = (_figure(notes, figure) for figure in ("steps", "before", "after"))
        renderer = TorchRenderer(generator.to(self.profile.device.torch))
        digest = hashlib.sha256(data).hexdigest()
        return Refined(renderer, digest, int(steps), before, after, kept, notice)


def _figure(notes: Mapping[str, str], name: str) -> float:
    try:
        value = float(notes[name])
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} is {value}")
    except (KeyError, ValueError) as error:
        raise ProfileError(f"a file in {REFINED}/ is damaged: {error}", "Remove it.") from error
    return value


def searched(profile: Profile, settings: RestoreSettings) -> str:
    """Return what the code of a photo depends on that was searched for."""
    from mystyle_cli.instant.net import FILE

    net = profile.manifest.digests().get(FILE, "") if settings.start == "auto" else ""
    photos = () if settings.year is None else (span_of(profile, settings.year).digest,)
    return repr((settings.projection, settings.start, settings.drawn, settings.quality, net, *photos))


def saved(inversion: Restoration) -> str:
    """Return what the code of a photo depends on that was saved: itself."""
    assert inversion.alpha_plus is not None
    digest = hashlib.sha256(np.ascontiguousarray(inversion.alpha_plus).tobytes())
    if inversion.slack is not None:
        digest.update(np.ascontiguousarray(inversion.slack).tobytes())
    return digest.hexdigest()
