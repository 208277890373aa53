"""All experiments, in the order in which they are told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from mystyle_cli.baselines.methods import BASELINES
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
from mystyle_cli.experiments.bench import ALWAYS
from mystyle_cli.experiments.experiment import Experiment

if TYPE_CHECKING:
    from mystyle_cli.person.profile import Profile

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

METHODS: Final = tuple(method.name for method in BASELINES if method.name not in ALWAYS)
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


def compared(names: Sequence[str], experiments: Sequence[Experiment], profile: Profile) -> tuple[str, ...]:
    """Return the methods that are compared when ours are held against those with the names only.

    Raises:
        UsageError: none of the experiments compares with one of them.
        ModelError: the prior lacks what one needs.
    """
    known = [name for name in METHODS if any(name in experiment.methods for experiment in experiments)]
    if not known:
        comparing = " or ".join(f"--only {one.name}" for one in EXPERIMENTS if one.methods)
        raise UsageError(
            "none of these experiments compares methods", f"Leave out --against, or add {comparing}."
        )
    for name in names:
        if name not in known:
            raise UsageError(f"there is no {name!r} to compare with here", f"Choose of: {'; '.join(known)}.")
    for method in BASELINES:
        if method.name in names:
            method.refuse_lacking(profile)
    return (*dict.fromkeys(names), *ALWAYS)
