"""How a person is learned, and what cannot be learned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mystyle_cli.curate.settings import CurateSettings
from mystyle_cli.errors import UsageError
from mystyle_cli.instant.net import InstantSettings
from mystyle_cli.nets.device import CPU, Device
from mystyle_cli.person.manifest import LONGEST_CONSENT
from mystyle_cli.ranks import ALONE, Ranks
from mystyle_cli.tuning.anchors import AnchorSettings
from mystyle_cli.tuning.settings import TuneSettings

if TYPE_CHECKING:
    from mystyle_cli.curate.dates import Dates
    from mystyle_cli.photos.tags import Box
    from mystyle_cli.prior.registry import Prior


STAGES: Final = ("curate", "anchors", "tune", "measure", "instant", "betas", "export")


@dataclass(frozen=True)
class LearnSettings:
    """How a person is learned.

    Args:
        tune: whether to tune; without it the profile has anchors and no personal generator yet.
        export: whether to write the tuned generator as an ONNX net too, which sampling takes without torch.
        instant: how to train the net that answers at once and from whose answers searches start; None
            trains none.
        whole: whether all that tuning changed is kept in half precision, not as exactly as pictures show.
        anchors: how anchors are found where the prior has no encoder.
        curation: what makes a photo good enough.
        regions: where the person is on photos whose tags say so, by path; see `tagged.find_tagged`.
        reference: a photo of the person's face, where the largest group of faces is somebody else.
        keep: sha256 of photos that are kept whatever curation finds wrong with them.
        consent: what is noted about the consent of the person shown.
        consent_until: the last day on which it holds (ISO 8601), "" without an end.
        seed: of the split into reference set and held-out photos, and of the strangers drawn for the gate.
        ranks: the processes that tune together, see `learn.assist`.
        replace: whether a finished profile that was made of other photos is replaced.
        dates: in which years photos were taken, whatever they say themselves; None: they say it.
    """

    tune: bool = True
    export: bool = True
    instant: InstantSettings | None = field(default_factory=InstantSettings)
    tuning: TuneSettings = field(default_factory=TuneSettings)
    whole: bool = False
    anchors: AnchorSettings = field(default_factory=AnchorSettings)
    curation: CurateSettings = field(default_factory=CurateSettings)
    regions: Mapping[Path, tuple[Box, ...]] = field(default_factory=dict)
    reference: Path | None = None
    keep: tuple[str, ...] = ()
    consent: str = ""
    consent_until: str = ""
    seed: int = 0
    device: Device = CPU
    ranks: Ranks = ALONE
    replace: bool = False
    dates: Dates | None = None

    def __post_init__(self) -> None:
        """Refuse a note that no profile can hold, before hours are spent."""
        if len(self.consent) > LONGEST_CONSENT or not _writable(self.consent):
            raise UsageError(
                f"the note on consent is no text of at most {LONGEST_CONSENT:,} characters",
                "Keep the document elsewhere, and note where it is.",
            )


def check_roles(prior: Prior) -> None:
    """Refuse (ModelError) a prior that no person can be learned with, before anything else is done."""
    for role in ("generator", "perceptual"):
        prior.file(role)


def _writable(text: str) -> bool:
    """Tell whether a text can be written in UTF-8, as what a shell hands over need not."""
    try:
        return bool(text.encode()) or not text
    except UnicodeEncodeError:
        return False
