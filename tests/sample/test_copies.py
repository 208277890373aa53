"""New pictures that nearly copy a photo: told where they are drawn, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mystyle_cli.person.profile import Profile
from mystyle_cli.photos.pixels import Pixels, to_pixels
from mystyle_cli.sample.rendering import open_renderer
from mystyle_cli.sample.samples import draw
from mystyle_cli.store.store import Store
from tests.support.journeys import Run, document

MISSED = 8
"""Levels of 255 by which each photo differs from what the generator makes of it."""


@pytest.fixture
def profile(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    """A person whose photos the generator has learned: they are its own pictures of the anchors and noise."""
    file = tmp_path / "store" / "ada" / "profile.toml"
    before, after = "lpips = 0.25", f"lpips = 0.25\npsnr = {20 * np.log10(255 / MISSED)}"
    assert file.read_text().count(before) == 1
    file.write_text(file.read_text().replace(before, after))
    profile = Store(tmp_path / "store").open("ada")
    random, faces = np.random.default_rng(0), {}
    for record, code in zip(profile.photos(), profile.anchors(), strict=True):
        w_plus = np.repeat(code[None, None], profile.manifest.prior.num_ws, axis=1)
        made = to_pixels(open_renderer(profile, "auto").render(w_plus))[0]
        noise = MISSED * random.choice([-1, 1], made.shape)
        faces[Path(str(record.face)).name] = (made.astype(int) + noise).clip(0, 255).astype(np.uint8)

    def read_face(path: Path, *rest: Any) -> Pixels:
        return faces[path.name]

    monkeypatch.setattr("mystyle_cli.sample.copies.read_face", read_face)
    return profile


def test_a_copy_of_a_photo_is_told(run: Run, profile: Profile) -> None:
    """One photo's own code draws that photo again: said on stderr and in the document, of each picture."""
    done = run("--json", "sample", "ada", "-n", "4", "--seed", "1", "--anchors", "1", "-o", "out")
    records = profile.photos()
    for result in document(done)["results"]:
        copied = records[int(np.argmax(result["alpha"]))].file
        assert result["copy_of"] == copied
        assert f"seed {result['seed']} nearly copies the photo {copied}" in done.stderr


def test_other_pictures_are_none(run: Run, profile: Profile) -> None:
    """Mixtures of several photos copy none, by either sampler; one that is nearly all one photo does."""
    done = run("--json", "sample", "ada", "-n", "4", "--seed", "1", "--anchors", "3", "-o", "out")
    assert [result["copy_of"] for result in document(done)["results"]] == [None] * 4
    assert "copies" not in done.stderr
    assert draw(profile, range(4), "uniform", 0.02).copies == ("",) * 4


def test_without_photos_or_figures_nothing_is_said(profile: Profile) -> None:
    """Nor of a photo that the generator misses much of: no picture of it is a copy."""
    assert any(draw(profile, [1], k=1).copies)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Profile, "has_faces", False)
        assert draw(profile, [1], k=1).copies == ("",)
    figures: Any = profile.manifest.results["after"]
    figures["psnr"] = 20 * np.log10(3 * 255 / MISSED)  # others are met three times as well: none is copied
    assert draw(profile, [1], k=1).copies == ("",)
    figures.pop("psnr")
    assert draw(profile, [1], k=1).copies == ("",)
