"""What a prior states about its identity net."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mystyle_cli.errors import ModelError
from mystyle_cli.learn.figures import identity_statistics
from mystyle_cli.prior.manifest import IdentityLimits
from mystyle_cli.prior.registry import open_prior

TABLE = """
[identity]
people = "real"
single = 0.3
tenfold = 0.1
least_side = 20
"""


@pytest.fixture
def stated(tiny_prior: Path, tmp_path: Path) -> Path:
    """A prior that states what its identity net can tell apart."""
    folder = Path(shutil.copytree(tiny_prior, tmp_path / "prior"))
    with (folder / "prior.toml").open("a") as file:
        file.write(TABLE)
    return folder


def test_a_prior_without_the_table_states_nothing(tiny_prior: Path) -> None:
    """Thresholds are then learned from the person's own photos, as before."""
    assert open_prior(tiny_prior).identity_limits is None


def test_the_threshold_of_a_profile_is_the_stated_one(stated: Path) -> None:
    """It grows with the number of reference photos, whatever these are."""
    prior = open_prior(stated)
    assert prior.identity_limits == IdentityLimits("real", 0.3, 0.1, 20)
    faces = np.random.default_rng(0).uniform(-1, 1, (10, 3, 32, 32)).astype(np.float32)
    one = identity_statistics(prior, faces[:1], faces[:0], 0)
    assert one == {"threshold": pytest.approx(0.3)}, "one photo says nothing of others of the person"
    figures = identity_statistics(prior, faces, faces[:2], 0)
    assert figures["threshold"] == pytest.approx(0.4)
    assert "stranger_mean" not in figures


@pytest.mark.parametrize(
    ("stated_as", "instead"),
    [
        ('people = "real"', 'people = "all"'),
        ("single = 0.3", "single = 1.3"),
        ("single = 0.3", ""),
        ("single = 0.3", 'single = "much"'),
        ("tenfold = 0.1", "tenfold = nan"),
        ("least_side = 20", "least_side = 0"),
        ("least_side = 20", "least_side = 20\nother = 1"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(stated: Path, stated_as: str, instead: str) -> None:
    """A wrong figure would let strangers in without a word."""
    text = (stated / "prior.toml").read_text()
    (stated / "prior.toml").write_text(text.replace(stated_as, instead))
    with pytest.raises(ModelError, match="identity"):
        open_prior(stated)
