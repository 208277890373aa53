"""All experiments, in the order in which they are told."""

from __future__ import annotations

from typing import Final

from mystyle_cli.errors import UsageError
from mystyle_cli.experiments import (
    cost,
    damage,
    editing,
    enhancement,
    identity,
    paths,
    reconstruction,
    spaces,
    subsets,
    synthesis,
    tradeoff,
)
from mystyle_cli.experiments.experiment import Experiment

EXPERIMENTS: Final[tuple[Experiment, ...]] = (
    *reconstruction.EXPERIMENTS,
    *paths.EXPERIMENTS,
    *tradeoff.EXPERIMENTS,
    *subsets.EXPERIMENTS,
    *synthesis.EXPERIMENTS,
    *enhancement.EXPERIMENTS,
    *damage.EXPERIMENTS,
    *editing.EXPERIMENTS,
    *spaces.EXPERIMENTS,
    *identity.EXPERIMENTS,
    *cost.EXPERIMENTS,
)

NAMES: Final = tuple(experiment.name for experiment in EXPERIMENTS)


def choose(names: tuple[str, ...], *, paper: bool) -> tuple[Experiment, ...]:
    """Return the experiments that are asked for.

    Args:
        names: of some; none means all that belong there.
        paper: all of the paper's; else those that a person wants to know of.

    Raises:
        UsageError: there is no experiment of a name.
    """
    for name in names:
        if name not in NAMES:
            raise UsageError(f"there is no experiment {name!r}", f"Choose of: {', '.join(NAMES)}.")
    if names:
        return tuple(experiment for experiment in EXPERIMENTS if experiment.name in names)
    return tuple(experiment for experiment in EXPERIMENTS if paper or experiment.own)
