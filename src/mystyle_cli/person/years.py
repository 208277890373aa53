"""A person at one time of their life: the hull of their photos, of which a year is held.

What answers a photo is mixed of all photos that say when they were taken, so that it can show any pose and
light, and the mean of their years, weighted as they are mixed, is the year that is asked for. New pictures
are mixed of the photos nearest to the year alone. People are judged by all their photos: their ID score
and the gate know no year. What is found is told over all anchors, those without a year at zero; so saved
codes, edits and whatever draws a code again need not know of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.errors import ProfileError
from mystyle_cli.hull import hull
from mystyle_cli.hull.held import Held
from mystyle_cli.person.reference import TRAIN

if TYPE_CHECKING:
    from mystyle_cli.curate.records import PhotoRecord
    from mystyle_cli.person.profile import Profile

Array = NDArray[np.float64]

WITHIN: Final = 5  # years to each side, all photos of which new pictures are mixed of
SHARE: Final = 4  # one of so many photos, the nearest, stand for a time in any case,
ENOUGH: Final = 12  # but no more than these
LEAST: Final = 3  # photos with a year that there must be, and that new pictures are mixed of
FAR: Final = 10  # years that the nearest photo may be away before it is told


@dataclass(frozen=True, eq=False)
class Span:
    """Which of a person's anchors are mixed, and of when.

    Args:
        count: N, the anchors that there are.
        rows: (n,), those that a search mixes, rising: all, or those whose photos say when they were taken.
        near: (m,), those that new pictures are mixed of, rising.
        years: (N,), of the photos, NaN where nothing says; empty where no year was asked for.
        held: the mean year that codes keep, over `rows`; None where none was asked for, or all are alike.
        digest: of what the choice depends on; "" where no year was asked for.
        notices: what the user should know about the choice.
    """

    count: int
    rows: NDArray[np.int64]
    near: NDArray[np.int64]
    years: Array
    held: Held | None = None
    digest: str = ""
    notices: tuple[str, ...] = ()

    def take(self, alpha: Array) -> Array:
        """Return of alphas (..., N) what is of `rows`, (..., n)."""
        return alpha[..., self.rows]

    def spread(self, alpha: Array) -> Array:
        """Return alphas (..., n) of `rows` over all anchors (..., N): zero for the others."""
        return _spread(alpha, self.rows, self.count)

    def inside(self, alpha: Array, beta: float | None) -> Array:
        """Return the nearest coefficients to alphas (..., N) that a search may find."""
        return self.spread(self.placed(self.take(alpha), beta))

    def placed(self, alpha: Array, beta: float | None) -> Array:
        """Return the nearest coefficients to alphas (..., n) of `rows` that a search may find."""
        if self.held is not None:
            return self.held.project(alpha, beta)
        return np.asarray(hull.project_onto_hull(alpha, beta), np.float64)

    def spread_near(self, alpha: Array) -> Array:
        """Return alphas (..., m) of `near` over all anchors (..., N): zero for the others."""
        return _spread(alpha, self.near, self.count)

    def year_of(self, alpha: Array) -> float | None:
        """Return the mean year of what coefficients (..., N) mix; None where no year was asked for."""
        if not len(self.years):
            return None
        return round(float((alpha[..., self.rows] @ self.years[self.rows]).mean()), 1)


def _spread(alpha: Array, rows: NDArray[np.int64], count: int) -> Array:
    whole = np.zeros((*alpha.shape[:-1], count))
    whole[..., rows] = alpha
    return whole


@dataclass(frozen=True)
class Years:
    """When the photos that a person is learned from were taken."""

    first: int | None  # None where none says
    last: int | None
    dated: int  # photos that say it
    photos: int  # all of them

    @classmethod
    def of(cls, records: Sequence[PhotoRecord]) -> Self:
        """Return the years of the reference set among photos."""
        train = [record.year for record in records if record.split == TRAIN]
        years = [year for year in train if year is not None]
        return cls(min(years, default=None), max(years, default=None), len(years), len(train))

    @property
    def told(self) -> str:
        """The same in words."""
        if not self.dated:
            return "nothing says when"
        rest = self.photos - self.dated
        return years_between(self.first, self.last) + (
            f"; {rest} of {self.photos} photos say no year" if rest else ""
        )


def span_of(profile: Profile, year: int | None) -> Span:
    """Return which anchors of a person are mixed for a year; of several people, all.

    Args:
        year: None asks for none.

    Raises:
        ProfileError: too few of the photos say when they were taken.
    """
    if year is None or profile.people:  # of several people each has a span of their own
        count = len(profile.anchors())  # of the one who draws: there may be fewer than photos, for comparison
        every = np.arange(count)
        return Span(count, every, every, np.zeros(0))
    train = profile.photos()
    years = np.array([np.nan if record.year is None else record.year for record in train], np.float64)
    rows = np.flatnonzero(np.isfinite(years))
    if len(rows) < LEAST:
        said = "none" if not len(rows) else f"only {len(rows)}"
        raise ProfileError(
            f"{said} of the {len(train)} photos of {profile.who} say when they were taken, and a year "
            f"needs {LEAST}",
            f"Say it in lines NAME,YEAR: mystyle ingest {profile.name} --dates FILE; or, where photos "
            f"hold it, give them again: mystyle ingest {profile.name} PHOTOS",
        )
    facts = [year, *((record.sha256, record.year) for record in train)]
    digest = hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
    notices = tuple(_notices(years, year))
    return Span(len(train), rows, nearest(years, year), years, held_at(years[rows], year), digest, notices)


def held_at(years: Array, year: int) -> Held | None:
    """Return what holds the mean year (N,) at one, or as near to it as there are photos enough.

    A mean at the very first year would be the few photos of it alone; so it is between the means of the
    earliest and of the latest photos.
    """
    rising = np.sort(years)
    some = _some(len(years))
    first, last = float(rising[:some].mean()), float(rising[-some:].mean())
    return Held(years, min(max(float(year), first), last)) if first < last else None


def nearest(years: Array, year: int) -> NDArray[np.int64]:
    """Return the rows, rising, of photos within `WITHIN` years of one, and at least of some nearest to it.

    Of photos that are equally far all or none are taken; those without a year (NaN) never are.
    """
    away = np.abs(years - year)
    rising = np.sort(away[np.isfinite(away)])
    near = rising[: max(LEAST, _some(len(rising)))]
    return np.flatnonzero(away <= max(WITHIN, near.max(initial=0.0)))


def _some(count: int) -> int:
    """Return how many of so many photos stand for a time."""
    return max(1, min(ENOUGH, count // SHARE))


def years_between(first: int | None, last: int | None) -> str:
    """Return the years from the first to the last in words."""
    return str(first) if first == last else f"{first} to {last}"


def _notices(years: Array, year: int) -> list[str]:
    said, dated = [], years[np.isfinite(years)]
    closest = int(dated[np.abs(dated - year).argmin()])
    if abs(closest - year) > FAR:
        said.append(f"the photos nearest {year} are from {closest}, {abs(closest - year)} years away")
    if undated := len(years) - len(dated):
        said.append(f"{undated} of {len(years)} photos say no year, and are left out")
    return said
