"""Which photos are of about a year, and what of them is mixed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mystyle_cli.errors import ProfileError
from mystyle_cli.hull import hull
from mystyle_cli.person.years import (
    FAR,
    Years,
    held_at,
    nearest,
    span_of,
)
from mystyle_cli.restore import engine as room
from mystyle_cli.store.store import Store
from tests.support.tiny_store import TRAIN, YEARS, date_photos, make_store


@pytest.fixture(scope="module")
def store(tiny_prior: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with a person whose photos are of two times, and one of whose nothing says."""
    root = tmp_path_factory.mktemp("store")
    made = make_store(root, tiny_prior)
    make_store(root, tiny_prior, "ben")
    date_photos(made, "ada")
    return made


def test_the_nearest_photos_are_all_of_some_years_or_some_in_any_case() -> None:
    """Of 60 years twelve at least, of eight photos three; those equally far together, none without a year."""
    every = np.arange(1960, 2020, dtype=float)
    assert every[nearest(every, 2000)].tolist() == [*range(1995 - 1, 2006 + 1)]
    assert every[nearest(every, 2030)].tolist() == [*range(2008, 2020)]
    many = np.repeat(every, 3)
    assert many[nearest(many, 2000)].tolist() == np.repeat(np.arange(1995, 2006), 3).tolist()
    few = np.array([1980, 1990, np.nan, 1990, 1991, 2010, 2011, 2012, 2012])
    assert nearest(few, 1950).tolist() == [0, 1, 3]
    assert nearest(few, 2012).tolist() == [5, 6, 7, 8]
    assert nearest(few, 2100).tolist() == [6, 7, 8]


@given(st.lists(st.integers(1950, 2020), min_size=3, max_size=60), st.integers(1900, 2100))
def test_the_year_that_is_held_is_one_of_which_there_are_photos_enough(years: list[int], year: int) -> None:
    """As near to what is asked for as that allows, and the very year where it lies well among them."""
    held = held_at(np.array(years, float), year)
    if held is None:
        assert len(set(years)) == 1 or max(years) - min(years) < 70
        return
    assert min(years) <= held.at <= max(years)
    rising = sorted(years)
    if rising[len(rising) // 4] <= year <= rising[-1 - len(rising) // 4] and len(years) >= 12:
        assert held.at == year


@settings(max_examples=25)
@given(st.sampled_from([1960, 1990, 2001, 2050]), st.sampled_from([0.0, 0.05, None]), st.integers(0, 99))
def test_what_a_search_may_find_has_the_year(store: Store, year: int, beta: float | None, seed: int) -> None:
    """Of dated photos, and the other anchors have no part; in A_beta over all."""
    profile = store.open("ada")
    years: list[int | None] = [*YEARS]
    years[2] = None
    profile.__dict__["_every_record"] = tuple(
        record if record.split != "train" else _dated(record, years.pop(0))
        for record in profile._every_record
    )
    span = span_of(profile, year)
    found = span.inside(np.random.default_rng(seed).normal(0, 1, (8, TRAIN)), beta)
    assert hull.in_hull(found, beta, tol=1e-9).all()
    assert not found[:, 2].any()
    assert span.held is not None
    assert span.year_of(found) == pytest.approx(span.held.at, abs=0.06)
    assert 1990 <= span.held.at <= 2012
    assert span.notices[-1] == "1 of 6 photos say no year, and are left out"


def _dated(record: object, year: int | None) -> object:
    from dataclasses import replace

    return replace(record, year=year)  # type: ignore[type-var]


def test_photos_that_are_decades_away_are_told(store: Store) -> None:
    """From a little over ten years on."""
    profile = store.open("ada")
    assert span_of(profile, 1990 - FAR).notices == ()
    assert span_of(profile, 1979).notices == ("the photos nearest 1979 are from 1990, 11 years away",)
    assert span_of(profile, 2040).notices == ("the photos nearest 2040 are from 2012, 28 years away",)


def test_without_a_year_all_count(store: Store) -> None:
    """And a year that no photo says is refused with the next step."""
    for name in ("ada", "ben"):
        span = span_of(store.open(name), None)
        assert span.rows.tolist() == span.near.tolist() == [*range(TRAIN)]
        assert (span.held, span.digest, span.notices) == (None, "", ())
    with pytest.raises(ProfileError, match="none of the 6 photos of ben") as refused:
        span_of(store.open("ben"), 1990)
    assert "mystyle ingest ben --dates FILE" in refused.value.hint
    profile, years = store.open("ada"), iter([1990, 1991])
    profile.__dict__["_every_record"] = tuple(
        _dated(record, next(years, None) if record.split == "train" else None)
        for record in profile._every_record
    )
    with pytest.raises(ProfileError, match="only 2 of the 6 photos of ada"):
        span_of(profile, 1990)


def test_what_a_choice_depends_on_is_told_apart(store: Store) -> None:
    """By its digest: the year, and the photos' own."""
    profile = store.open("ada")
    assert span_of(profile, 1990).digest == span_of(store.open("ada"), 1990).digest
    assert span_of(profile, 1990).digest != span_of(profile, 1991).digest
    other = store.open("ada")
    other.__dict__["_every_record"] = tuple(_dated(record, 2000) for record in other._every_record)
    assert span_of(profile, 1990).digest != span_of(other, 1990).digest


def test_years_are_told(store: Store) -> None:
    """Of the photos that are learned from."""
    assert Years.of(store.open("ada").records) == Years(1990, 2012, 6, 6)
    assert Years.of(store.open("ada").records).told == "1990 to 2012"
    assert Years.of(store.open("ben").records).told == "nothing says when"
    some = [_dated(record, 1999 if record.file == "1.jpg" else None) for record in store.open("ada").records]
    assert Years.of(some).told == "1999; 5 of 6 photos say no year"  # type: ignore[arg-type]


def test_instant_answers_are_of_the_year(monkeypatch: pytest.MonkeyPatch) -> None:
    """After each step, and where no pixel is known to step towards."""
    span = SimpleNamespace(placed=lambda alpha, beta: np.full_like(alpha, 0.5))
    engine = SimpleNamespace(span=span, gradient=None)
    asked: list[object] = []
    monkeypatch.setattr(room, "improve", lambda *words: asked.append(words[5]))
    for known in (np.zeros(3), np.ones(3)):
        answer = room.InstantEngine._improved(
            engine,  # type: ignore[arg-type]
            SimpleNamespace(known=known),  # type: ignore[arg-type]
            np.zeros((2, 3)),
            0.1,
            4,
        )
        if not known.any():
            assert (answer[0] == 0.5).all()
    assert asked == [span.placed]
