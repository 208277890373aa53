"""`mystyle edit --refine`: tuned on the photo once, kept, and gone with the person."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mystyle_cli
from mystyle_cli.edit import refined
from mystyle_cli.photos.marks import read_marks
from mystyle_cli.store.store import Store
from mystyle_cli.tuning import refining
from mystyle_cli.tuning.refining import RefineSettings
from tests.support.journeys import Run, document, journey
from tests.support.tiny_store import picture

EDIT = ["edit", "ada", "in.png", "--aligned", "--steps", 2, "-d", "yaw", "--overwrite"]
STAY = [*EDIT, "-s", 0]


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tuning is short."""
    monkeypatch.setattr(refining, "RefineSettings", functools.partial(RefineSettings, steps=12))


@pytest.fixture
def photo(run: Run) -> np.ndarray:
    """The photo that is edited, also as in.png."""
    pixels = picture(40, 32)
    Image.fromarray(pixels).save("in.png")
    return pixels


@pytest.fixture
def tunings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The photos on which something was tuned, from now on."""
    tune, found = refined.Refiner._tune, []

    def noted(self, inversion, progress):
        found.append(inversion.name)
        return tune(self, inversion, progress)

    monkeypatch.setattr(refined.Refiner, "_tune", noted)
    return found


def error_of(name: str, photo: np.ndarray) -> float:
    """Return the mean squared difference of a result and the photo."""
    return float(np.square(np.asarray(Image.open(name), float) - photo).mean())


@journey("edit", "--refine")
def test_an_edit_keeps_the_photo_s_details(run: Run, photo: np.ndarray) -> None:
    """At strength 0 the result is nearer the photo than what the person's space has of it."""
    assert run(*STAY, "-o", "plain.png").exit_code == 0
    done = document(run(*STAY, "-o", "out.png", "--refine", "--json"))
    assert error_of("out.png", photo) < 0.7 * error_of("plain.png", photo)
    [result] = done["results"]
    assert result["refined"]["after"] < 0.8 * result["refined"]["before"]
    assert not result["refined"]["kept"]
    assert document(run(*STAY, "-o", "plain.png", "--json"))["results"][0]["refined"] is None
    assert run(*EDIT, "-s", 2, "-o", "far.png", "--refine").exit_code == 0
    assert Path("far.png").read_bytes() != Path("out.png").read_bytes()


def test_a_second_edit_tunes_nothing(run: Run, photo: np.ndarray, tunings: list[str]) -> None:
    """It draws the same to the byte; another photo, search or generator has its own."""
    first = run(*EDIT, "-s", 2, "-o", "a.png", "--refine")
    assert first.exit_code == 0
    assert "refined from loss" in first.stderr
    again = document(run(*EDIT, "-s", 2, "-o", "b.png", "--refine", "--json"))
    assert tunings == ["in.png"]
    assert again["results"][0]["refined"]["kept"]
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    assert "earlier edit" in run(*STAY, "-o", "b.png", "--refine").stderr
    assert run(*EDIT, "-s", 2, "-o", "b.png", "--refine", "--steps", 3).exit_code == 0
    Image.fromarray(picture(41, 32)).save("in.png")
    assert run(*EDIT, "-s", 2, "-o", "b.png", "--refine").exit_code == 0
    assert tunings == ["in.png"] * 3


def test_what_was_spoilt_is_tuned_again(
    run: Run, photo: np.ndarray, tunings: list[str], tmp_path: Path
) -> None:
    """A kept file that is damaged, or holds what is none, is made anew and replaced."""
    assert run(*EDIT, "-s", 2, "-o", "a.png", "--refine").exit_code == 0
    [kept] = (tmp_path / "store/ada/refined").iterdir()
    whole = kept.read_bytes()
    for spoilt in (b"", whole[: len(whole) // 2], whole.replace(b'\\"steps\\"', b'\\"stops\\"')):
        assert spoilt != whole
        kept.write_bytes(spoilt)
        assert run(*EDIT, "-s", 2, "-o", "b.png", "--refine").exit_code == 0
        assert kept.read_bytes() == whole
        assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    assert len(tunings) == 4


def test_a_saved_code_is_refined_too(run: Run, photo: np.ndarray, tunings: list[str]) -> None:
    """Nothing is searched, and a second edit tunes nothing; an enlarged photo has no details to keep."""
    saving = ["invert", "ada", "in.png", "--aligned", "--steps", 2, "-o", "x.png", "--save-codes", "codes"]
    assert run(*saving).exit_code == 0
    edit = ["edit", "ada", "in.png", "--codes", "codes", "-d", "yaw", "-s", 0, "--refine", "--overwrite"]
    for name in ("a.png", "b.png"):
        assert run(*edit, "-o", name).exit_code == 0
    assert tunings == ["in.png"]
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    assert error_of("a.png", photo) < 0.7 * error_of("x.png", photo)
    Image.fromarray(picture(40, 16)).save("in.png")
    small = ["upscale", "ada", "in.png", "--aligned", "--steps", 2, "-o", "y.png", "--save-codes", "small"]
    assert run(*small).exit_code == 0
    edit[edit.index("codes")] = "small"
    refused = run(*edit, "-o", "c.png")
    assert refused.exit_code == 2
    assert "no details" in refused.stderr


def test_the_result_says_what_drew_it(run: Run, photo: np.ndarray, tmp_path: Path) -> None:
    """It is marked as made by AI, by a generator that is not the profile's; `verify` does not judge it."""
    assert run(*STAY, "-o", "out.png", "--refine").exit_code == 0
    marks = read_marks(Path("out.png"))
    assert marks is not None
    [kept] = (tmp_path / "store/ada/refined").iterdir()
    assert marks.generator == hashlib.sha256(kept.read_bytes()).hexdigest()
    assert marks.digital_source_type == "compositeWithTrainedAlgorithmicMedia"
    refused = run("verify", "out.png")
    assert refused.exit_code == 2
    assert "another generator" in refused.stderr


def test_a_profile_that_is_held_still_serves(run: Run, photo: np.ndarray, tmp_path: Path) -> None:
    """The edit is done, and that nothing was kept is said."""
    with Store(tmp_path / "store").locked("ada"):
        done = run(*STAY, "-o", "out.png", "--refine")
    assert done.exit_code == 0
    assert "not kept for its next edit" in done.stderr
    assert not list((tmp_path / "store/ada").glob("refined/*"))


def test_a_blurred_photo_is_said_to_stay_so(run: Run) -> None:
    """Refined on a face of a few pixels, a result is as blurred as that."""
    Image.fromarray(picture(40, 12)).save("in.png")
    done = run(*STAY, "-o", "out.png", "--refine")
    assert done.exit_code == 0
    assert "as blurred as its photo" in done.stderr
    Image.fromarray(picture(40, 20)).save("in.png")
    assert "blurred" not in run(*STAY, "-o", "out.png", "--refine").stderr


def test_deleting_a_person_deletes_it(run: Run, photo: np.ndarray, tmp_path: Path) -> None:
    """`profile delete` names it and leaves nothing; an ended consent ends it, too."""
    assert run(*STAY, "-o", "out.png", "--refine").exit_code == 0
    manifest = tmp_path / "store/ada/profile.toml"
    manifest.write_text(manifest.read_text().replace("consent_until", "consent_till"))
    text = manifest.read_text()
    manifest.write_text(
        text.replace('consent = "a test"', 'consent = "a test"\nconsent_until = "2020-01-01"')
    )
    assert run(*STAY, "-o", "out.png", "--refine").exit_code == 5
    manifest.write_text(text)
    removed = json.loads(run("--json", "profile", "delete", "ada", "--yes").stdout)["removed"]
    assert [name for name in removed if name.startswith("refined/")]
    assert not (tmp_path / "store/ada").exists()


def test_from_python(run: Run, photo: np.ndarray, tmp_path: Path) -> None:
    """`Person.edit(refine=True)` draws what the command draws, from the same store of what was tuned."""
    assert run(*EDIT, "-s", 2, "-o", "out.png", "--refine").exit_code == 0
    person = mystyle_cli.open_profile("ada", tmp_path / "store")
    found = person.edit("in.png", {"yaw": 2.0}, aligned=True, steps=2, refine=True)
    assert found.refined is not None
    assert found.refined.kept
    np.testing.assert_array_equal(found.frames[0].pixels, np.asarray(Image.open("out.png")))
