"""All baselines, in the order in which tables show them."""

from __future__ import annotations

from typing import Final

from mystyle_cli.baselines.adversarial import CrossDomain, DiffAugment
from mystyle_cli.baselines.baseline import Baseline
from mystyle_cli.baselines.fitted import Glo, Restorer
from mystyle_cli.baselines.untuned import DomainPrior, MyStyle, MyStyleNear, NearestAnchor

# each with the settings of docs/notes/baselines.md; ours last
BASELINES: Final[tuple[Baseline, ...]] = (
    DomainPrior(),
    Restorer(),
    DiffAugment(),
    CrossDomain(),
    Glo(),
    NearestAnchor(),
    MyStyle(),
    MyStyleNear(),
)
