"""How a projection searches, and what it found."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from mystyle_cli.errors import UsageError, check_choice
from mystyle_cli.hull import hull

SpaceName = Literal["p+", "p", "near", "w+", "w"]
# how A_beta is kept: "softplus" bounds every entry by eq 5 and penalises the sum by eq 6, as printed;
# "simplex" does both by construction
Parametrisation = Literal["softplus", "simplex"]

HULL: Final = ("p+", "p", "near")  # the person's spaces, whose codes have coefficients

# steps of a search. With more in P_beta+ and P_beta, the photo is met still better and the person less: what
# a small photo leaves open goes into codes that no anchor is near to.
STEPS: Final[dict[SpaceName, int]] = {"p+": 25, "p": 25, "near": 25, "w+": 300, "w": 300}

# Adam's rate for each kind of free numbers, where none is given
RATES: Final = {"softplus": 2e-2, "simplex": 2.5e-1, "w": 2e-2}


@dataclass(frozen=True)
class ProjectionSettings:
    """How a projection searches.

    Args:
        space: "p+" (P_beta+), "p" (P_beta), "near" (P_beta+ and what lies near it), "w+" or "w".
        beta: dilation of the person's space, or None for no bound; without meaning in W and W+.
        steps: Adam steps at most; None takes those of `STEPS`.
        parametrisation: how A_beta is kept.
        learning_rate: highest rate; None takes the one of `RATES`.
        ramp_up: share of the steps over which the rate rises. Source: Karras 2020, projector.
        ramp_down: share of the steps over which it falls to 0, along a cosine.
        sharpness: s of eq 5 (B.3).
        perceptual_weight: weight of LPIPS in eq 1.
        pixel_weight: lambda_L2 of eq 1 (B.3).
        sum_weight: weight of eq 6 in eq 8.
        offset_weight: lambda_reg of eq 8; smaller than B.3's 10, with which short searches go into
            keeping the offsets at 0.
        slack_weight: what it costs in eq 8, in "near", to be beside P_beta+ by the spread of all people.
        patience: steps without gain after which an input's rate begins to fall; 0 never stops early.
        tolerance: the relative fall of the loss that counts as a gain.
        enough: the loss, eq 1, at which an input's search ends; 0 lets none end so.
        movable: the faces may be a little out of place, so each image may move before it is compared.
    """

    space: SpaceName = "p+"
    beta: float | None = 0.05
    steps: int | None = None
    parametrisation: Parametrisation = "softplus"
    learning_rate: float | None = None
    ramp_up: float = 0.05
    ramp_down: float = 0.25
    sharpness: float = hull.SHARPNESS
    perceptual_weight: float = 1.0
    pixel_weight: float = 1.0
    sum_weight: float = 1.0
    offset_weight: float = 0.03
    slack_weight: float = 0.3
    patience: int = 15
    tolerance: float = 2e-3
    enough: float = 0.0
    movable: bool = False

    def __post_init__(self) -> None:
        hull.bound(self.beta)
        check_choice("space", self.space, SpaceName)
        check_choice("parametrisation", self.parametrisation, Parametrisation)
        if self.steps is not None and self.steps < 1:
            raise UsageError(f"a projection of {self.steps} steps does not exist", "Give --steps 1 or more.")
        if not 0 <= self.ramp_up + self.ramp_down <= 1:
            raise UsageError("the ramps are longer than the projection", "Let them sum to 1 at most.")

    @property
    def most_steps(self) -> int:
        """Steps at most."""
        return self.steps or STEPS[self.space]

    @property
    def rate(self) -> float:
        """The highest learning rate."""
        kind: str = self.parametrisation if self.space in HULL else "w"
        if kind == "simplex" and hull.bound(self.beta) is None:
            kind = "softplus"  # unbounded, both forms are linear
        return RATES[kind] if self.learning_rate is None else self.learning_rate


@dataclass(frozen=True)
class Projection:
    """What a projection found, for B inputs.

    Args:
        alpha_plus: float64 (B, num_ws, N), every layer's vector in A_beta to 1e-6; None in W and W+.
        w_plus: float32 (B, num_ws, w_dim).
        images: float32 (B, 3, R, R), what the generator makes of `w_plus`; NaN for an input whose loss or
            gradient was not finite.
        losses: float32 (B,), eq 1 of the returned codes.
        history: float32 (steps, B), eq 8 as it fell; NaN after an input's end.
        steps: int64 (B,), steps taken.
        motions: float32 (B, 4), where the faces turned out to be (see `motion`); 0 if they cannot move.
        refined: float32 (B, K), by what the degradations' own K numbers were moved; None where all are known.
        slack: float32 (B, w_dim), by what all layers of `w_plus` lie beside M alpha_plus; None but in "near".
    """

    alpha_plus: npt.NDArray[np.float64] | None
    w_plus: npt.NDArray[np.float32]
    images: npt.NDArray[np.float32]
    losses: npt.NDArray[np.float32]
    history: npt.NDArray[np.float32] = field(repr=False)
    steps: npt.NDArray[np.int64]
    motions: npt.NDArray[np.float32]
    refined: npt.NDArray[np.float32] | None = None
    slack: npt.NDArray[np.float32] | None = None

    def one(self, row: int) -> Projection:
        """Return what was found for one input, of one row."""
        return replace(
            self,
            alpha_plus=None if self.alpha_plus is None else self.alpha_plus[row : row + 1],
            w_plus=self.w_plus[row : row + 1],
            images=self.images[row : row + 1],
            losses=self.losses[row : row + 1],
            history=self.history[:, row : row + 1],
            steps=self.steps[row : row + 1],
            motions=self.motions[row : row + 1],
            refined=None if self.refined is None else self.refined[row : row + 1],
            slack=None if self.slack is None else self.slack[row : row + 1],
        )

    def placed_as(self, found: Projection) -> Projection:
        """Return the same of a face that lies, and of a photo that is damaged, as another search found it.

        Args:
            found: the other, of one row.
        """
        count = len(self.losses)
        refined = None if found.refined is None else np.repeat(found.refined, count, axis=0)
        return replace(self, motions=np.repeat(found.motions, count, axis=0), refined=refined)
