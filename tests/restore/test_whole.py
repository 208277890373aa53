"""Whether a restored photo gets colours, by what it shows beside the face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mystyle_cli.find.locate import Located, as_photo
from mystyle_cli.photos.pixels import Pixels
from mystyle_cli.prior.registry import open_prior
from mystyle_cli.projection.damage import Damage
from mystyle_cli.restore.whole import Whole

R = 16
GREY = Damage(R, tone=((1.0, 0.0),) * 3)


def located(share: float) -> Located:
    """Return a face whose crop takes a share of its photo."""
    photo = np.zeros((40, 40, 3), np.uint8)
    side = 40 * share**0.5
    quad = np.array([[0, 0], [0, side], [side, side], [side, 0]], float)
    crop = np.zeros((R, R, 3), np.uint8)
    return Located("", as_photo(photo), quad, crop, np.zeros((R, R), np.float32), None, 1.0)


@pytest.mark.parametrize(
    ("share", "aligned", "asked", "coloured"),
    [
        (0.3, False, None, False),
        (0.3, True, None, True),
        (0.8, False, None, True),
        (0.3, False, False, True),
        (0.8, False, True, False),
        (0.8, True, True, False),
    ],
)
def test_a_grey_photo_gets_colours_where_it_shows_a_face_alone(
    tiny_prior: Path, share: float, aligned: bool, asked: bool | None, coloured: bool
) -> None:
    """Unless it is told otherwise; one with colours keeps them whatever is asked."""
    image = np.stack([np.full((R, R), value, np.float32) for value in (0.5, 0.0, -0.5)])
    whole = Whole(open_prior(tiny_prior), "restore", aligned, asked)

    def colours(damage: Damage) -> Pixels:
        return np.ptp(whole.face(located(share), image, damage), axis=2)

    assert bool(colours(GREY).any()) is coloured
    assert colours(Damage(R)).all()
