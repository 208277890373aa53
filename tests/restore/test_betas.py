"""Which dilation follows from what held-out photos said."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mystyle_cli.restore.betas import GRID, LEAST_GROUP, WORTH, Choice, choice_of, choose, curve

ERRORS = st.one_of(st.floats(0, 3), st.just(math.inf))


@given(st.data(), st.integers(1, 12))
def test_what_is_chosen_is_of_the_grid_and_kept_as_it_is(data: st.DataObject, photos: int) -> None:
    """Whatever was measured; and what a profile keeps of it says the same of every photo."""
    rows = st.lists(ERRORS, min_size=photos, max_size=photos)
    errors = np.array(data.draw(st.lists(rows, min_size=len(GRID), max_size=len(GRID))))
    scores = np.array(data.draw(st.lists(st.floats(-1, 1), min_size=photos, max_size=photos)))
    choice, lpips = choose(errors, scores), np.zeros_like(errors)
    assert {choice.typical, choice.atypical} <= set(GRID)
    kept = choice_of(curve(errors, lpips, scores))
    assert (kept.typical, kept.atypical) == (choice.typical, choice.atypical)
    assert kept.split == pytest.approx(choice.split, abs=1e-4)
    if math.isfinite(choice.split):
        low = scores < choice.split
        assert min(low.sum(), (~low).sum()) >= LEAST_GROUP


def test_a_larger_dilation_must_be_worth_it() -> None:
    """Of those nearly as good as the best the smallest is taken."""
    means = np.array([0.5, 0.4 + 0.9 * WORTH, 0.4, 0.41])
    choice = choose(np.repeat(means[:, None], 4, axis=1), np.arange(4.0))
    assert choice == Choice(GRID[1], GRID[1])
    means[1] += 0.2 * WORTH
    assert choose(np.repeat(means[:, None], 4, axis=1), np.arange(4.0)).typical == GRID[2]


def test_photos_unlike_the_others_have_their_own() -> None:
    """Six photos, three of which look as the reference set does and are served by another dilation."""
    scores = np.array([0.9, 0.2, 0.8, 0.3, 0.85, 0.1])
    errors = np.where(
        scores < 0.5, np.array([[3.0], [2.0], [1.0], [0.5]]), np.array([[0.1], [1.0], [2.0], [3.0]])
    )
    choice = choose(errors, scores)
    assert [choice.of(score) for score in scores] == [0.0, 0.1, 0.0, 0.1, 0.0, 0.1]
    assert choice.of(math.nan) == choice.typical
    alike = choose(errors[:, 1:], scores[1:])
    assert alike.typical == alike.atypical, "five do not make two groups of three"


@pytest.mark.parametrize(
    "table",
    [{}, {"typical": 0.03}, {"typical": -1.0}, {"typical": 0.05, "split": 0.5}, {"typical": math.nan}],
)
def test_what_no_curve_says_is_refused(table: dict[str, float]) -> None:
    """A profile's table comes from a file, of which nothing is believed."""
    with pytest.raises(ValueError, match="dilations"):
        choice_of(table)
