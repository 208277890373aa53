"""What a person's exported nets leave out, for it is in the generator's file and in the prior."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.files.gaps import PERCEPTUAL
from mystyle_cli.nets.folding import fold_synthesis, scaled
from mystyle_cli.person.difference import personal_state

if TYPE_CHECKING:
    from mystyle_cli.prior.registry import Prior

FloatArray = NDArray[np.float32]


class LeftOut:
    """The weights of G_p and of the perceptual net by the names in the nets; read when first asked for.

    Args:
        generator: gives the path of the profile's `generator.safetensors`, its digest checked.
    """

    def __init__(
        self, prior: Callable[[], Prior], generator: Callable[[], Path], prior_sha256: str, beneath: Path
    ) -> None:
        self._prior, self._generator = prior, generator
        self._belongs_to, self._beneath = prior_sha256, beneath

    def __call__(self, name: str) -> FloatArray:
        """Return the array of a name.

        Raises:
            KeyError: there is none.
            MystyleError: a file that it is in is missing or damaged.
        """
        if name.startswith(PERCEPTUAL):
            return scaled(self._perceptual, name.removeprefix(PERCEPTUAL))
        return self._synthesis[name]

    @cached_property
    def _synthesis(self) -> dict[str, FloatArray]:
        return fold_synthesis(
            personal_state(self._prior(), self._generator(), self._belongs_to, self._beneath)
        )

    @cached_property
    def _perceptual(self) -> dict[str, NDArray[np.generic]]:
        return self._prior().arrays("perceptual")
