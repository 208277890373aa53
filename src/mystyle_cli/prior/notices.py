"""Under what terms the model files come that are on this machine: bundled, inside packages, or imported."""

from __future__ import annotations

from dataclasses import dataclass

from mystyle_cli.errors import ModelError
from mystyle_cli.prior.assets import COMPANIONS
from mystyle_cli.prior.licences import LICENCES
from mystyle_cli.prior.registry import Prior, bundled_priors, imported_priors, open_prior


@dataclass(frozen=True)
class Notice:
    """The terms of one file.

    Args:
        place: what it belongs to: a prior or a package.
        file: its name there.
        licence: id of its licence, "" when none was noted.
        used_for: a role of a prior, or what mystyle does with the file.
    """

    place: str
    file: str
    licence: str
    used_for: str

    @property
    def commercial(self) -> bool | None:
        """Whether commercial use is allowed; None when the licence is not known here."""
        licence = LICENCES.get(self.licence)
        return licence.commercial if licence else None


def notices() -> list[Notice]:
    """Return the terms of every model file, bundled priors first; a damaged prior is left out."""
    found = []
    for name in bundled_priors():
        found += _of_prior(open_prior(name), "bundled prior")
    found += [
        Notice(f"package {companion.package}", companion.file, companion.licence, companion.used_for)
        for companion in COMPANIONS
    ]
    for name in imported_priors():
        try:
            found += _of_prior(open_prior(name), "prior")
        except ModelError:
            continue  # `mystyle doctor` tells of it
    return found


def _of_prior(prior: Prior, kind: str) -> list[Notice]:
    entries = {**prior.metadata["roles"], **prior.metadata.get("directions", {})}
    return [
        Notice(f"{kind} {prior.name}", entry["file"], str(entry.get("licence", "")), use)
        for use, entry in entries.items()
    ]
