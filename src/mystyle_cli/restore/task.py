"""What is asked of a restoration, and what comes of it: tasks, settings, results."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt

from mystyle_cli.config import (
    BETA_INPAINT,
    BETA_INVERT,
    BETA_RESTORE,
    BETA_UPSCALE,
    MOST_VARIANTS,
)
from mystyle_cli.errors import MystyleError, UsageError, check_choice
from mystyle_cli.find.locate import Located
from mystyle_cli.projection.settings import HULL, ProjectionSettings, SpaceName
from mystyle_cli.restore.estimates import Known

if TYPE_CHECKING:
    from mystyle_cli.photos.pixels import Pixels
    from mystyle_cli.projection.damage import Damage

Floats = npt.NDArray[np.float32]

TaskName = Literal["invert", "inpaint", "upscale", "restore"]
Start = Literal["auto", "centre", "encoder", "random"]
Quality = Literal["instant", "fast", "full"]

FEW: Final = 24
FEW_STEPS: Final = 40
"""Of a search near the space of fewer photos than that: more of what is looked for lies beside it."""

FAST_STEPS: Final = 16  # of a search that starts from the instant net's answer and ends soon

# a dilation as it is asked for: a number, None for no bound, or what the profile's own curve says
Dilation = float | None | Literal["auto"]

# the paper's dilation for each task
BETAS: Final = {
    "invert": BETA_INVERT,
    "inpaint": BETA_INPAINT,
    "upscale": BETA_UPSCALE,
    "restore": BETA_RESTORE,
}


@dataclass(frozen=True)
class RestoreSettings:
    """How photos are restored.

    Args:
        projection: how codes are searched, beta among it.
        own_beta: each photo is given the dilation that the profile's own curve advises; the projection's
            counts only for a person without one.
        start: where the search starts: the anchors' mean (B.3), the encoder's answer to the degraded photo,
            or a mix of three anchors drawn with `seed`, which shows how much the photo leaves open; "auto" is
            the instant net's answer where the person has such a net, and else the mean.
        quality: "full" searches; "fast" starts at the instant net's answer and takes `FAST_STEPS`
            steps where the projection names no number; "instant" takes a few from there, without torch.
        seed: of a random start, and of variants; the same for every photo.
        aligned: the photos are aligned crops already.
        force: go on with a face that is not this person's.
        batch: photos worked on at once, where they fit into memory.
        known: what is known of photos' damage, where they are restored.
        scratches: are found on photos that are restored without a mask, and filled.
        keep_tone: a photo without colours is restored without; None: where it shows more than a face.
        grain: a restored face gets grain as the photo around it has; None: unless it is a crop.
        variants: answers to each photo, the first of which is the one that there would be alone.
        year: of the person's photos, as they are mixed, on average; None: any. See `person/years.py`.
    """

    projection: ProjectionSettings = field(default_factory=ProjectionSettings)
    own_beta: bool = False
    start: Start = "auto"
    quality: Quality = "full"
    seed: int = 0
    aligned: bool = False
    force: bool = False
    batch: int = 8
    known: Known = field(default_factory=Known)
    scratches: bool = True
    keep_tone: bool | None = None
    grain: bool | None = None
    variants: int = 1
    year: int | None = None

    def __post_init__(self) -> None:
        check_choice("start", self.start, Start)
        check_choice("quality", self.quality, Quality)
        if not 1 <= self.variants <= MOST_VARIANTS:
            raise UsageError(
                f"there are no {self.variants} variants of an answer", f"Give 1 to {MOST_VARIANTS}."
            )
        if self.batch < 1:
            raise UsageError(f"{self.batch} photos at a time are none", "Give a batch of 1 or more.")

    def dilated(self, beta: Dilation, otherwise: float) -> RestoreSettings:
        """Return the same with a dilation.

        Args:
            beta: "auto" takes the profile's own advice.
            otherwise: what counts then for a person without such a curve.

        Raises:
            UsageError: it is another word.
        """
        if isinstance(beta, str):
            check_choice("beta", beta, Literal["auto"])
            return replace(self, own_beta=True, projection=replace(self.projection, beta=otherwise))
        return replace(self, own_beta=False, projection=replace(self.projection, beta=beta))

    @property
    def drawn(self) -> int | None:
        """The seed, where something is drawn with it."""
        return self.seed if self.start == "random" or self.variants > 1 else None


def search_steps(settings: RestoreSettings, photos: int) -> int | None:
    """Return how many steps a search takes for a person of so many photos; None: the space's own number."""
    search = settings.projection
    if search.steps is not None:
        return search.steps
    if settings.quality == "fast":
        return FAST_STEPS
    return FEW_STEPS if search.space == "near" and photos < FEW else None


def refuse_variants(quality: Quality, space: SpaceName) -> None:
    """Refuse (UsageError) variants of what is not searched among the person's own codes."""
    if quality == "instant" or space not in HULL:
        raise variants_refused()


def variants_refused() -> UsageError:
    """Return what is said then."""
    return UsageError(
        "variants are searched, among the person's own codes",
        "Use --quality fast or full, and --space p+, p or near.",
    )


@dataclass(frozen=True, eq=False)
class Openness:
    """What a photo leaves open of a face.

    Args:
        map: (R, R), by how many levels of 255 answers differ that explain it as well.
        hidden: names of the parts of the face of which it shows less than half.
        parts: names of those in which the answers differ, hidden or not.
        dropped: how many of the answers that were searched explain the photo less well; they do not count.
    """

    map: Floats
    hidden: tuple[str, ...]
    parts: tuple[str, ...]
    dropped: int

    @property
    def told(self) -> str:
        """The same in words."""
        rest = [name for name in self.parts if name not in self.hidden]
        said = [
            f"{what}: {', '.join(name.replace('-', ' ') for name in names)}"
            for what, names in (("says nothing about", self.hidden), ("leaves open", rest))
            if names
        ]
        return f"the photo {' and '.join(said)}" if said else "the photo leaves nothing of the face open"


@dataclass(frozen=True)
class Restoration:
    """What became of one photo.

    Args:
        error: why there is no result, or None. Without a result the fields below are empty.
        pixels: uint8 (H, W, 3), the whole photo.
        face: uint8 (R, R, 3), the aligned result.
        located: the photo and where its face was found.
        alpha_plus: float64 (num_ws, N) in A_beta, or None with the domain prior.
        w_plus: float32 (num_ws, w_dim).
        slack: float32 (w_dim,), by what the code lies beside alpha_plus's; None where it does not.
        id_score: of the result.
        input_id: of the photo's face as it was.
        beta: the dilation allowed, None where it was not bounded.
        least_dilation: the dilation that the result needs.
        loss: eq 1 between the degraded result and the photo.
        steps: of the projection, or of an instant answer, whose loss is not measured.
        factor: how much larger the result is than the photo.
        damage: what the photo had suffered, where it was restored.
        others: further answers that explain the photo as well, where some were asked for.
        openness: what all of them leave open, then.
        year: the mean of the years of the photos that it is mixed of; None where none was asked for.
    """

    name: str
    error: MystyleError | None = None
    pixels: Pixels | None = None
    face: Pixels | None = None
    located: Located | None = None
    alpha_plus: npt.NDArray[np.float64] | None = None
    w_plus: Floats | None = None
    slack: Floats | None = None
    id_score: float = math.nan
    input_id: float = math.nan
    beta: float | None = None
    least_dilation: float = math.nan
    loss: float = math.nan
    steps: int = 0
    factor: float = 1.0
    damage: Damage | None = None
    others: tuple[Restoration, ...] = ()
    openness: Openness | None = None
    year: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def person(self) -> str:
        """Who of several people it is; "" where the profile is of one, or without a result."""
        return "" if self.located is None else self.located.person


def default_settings(
    task: TaskName, quality: Quality = "full", space: SpaceName | None = None
) -> RestoreSettings:
    """Return the settings of a task with the paper's dilation for it.

    Args:
        space: to search; None: the person's own, and what lies near it where pixels are missing. Of a damaged
            photo that is not taken: noise that no mixture explains would be explained by it.
    """
    near = task in ("upscale", "inpaint") and quality != "instant"
    own: SpaceName = "near" if near else "p+"
    return RestoreSettings(ProjectionSettings(space=space or own, beta=BETAS[task]), quality=quality)
