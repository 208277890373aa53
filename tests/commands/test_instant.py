"""`--instant` and `--quality`: answers without torch, a short search, and what is said where no net is."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from mystyle_cli.cli import cli
from mystyle_cli.faces.faces import find_faces
from mystyle_cli.find.locate import Subject, locate
from mystyle_cli.hull.hull import in_hull
from mystyle_cli.instant.net import InstantSettings, enlarged, open_instant
from mystyle_cli.instant.steps import STEPS
from mystyle_cli.learn.learn import export
from mystyle_cli.photos.pixels import to_unit
from mystyle_cli.progress import silent
from mystyle_cli.projection.settings import Parametrisation, ProjectionSettings
from mystyle_cli.restore.engine import open_engine
from mystyle_cli.restore.given import Given, targets_of, view_of
from mystyle_cli.restore.restore import restore
from mystyle_cli.restore.task import FAST_STEPS, TaskName, default_settings
from mystyle_cli.store.store import Store
from tests.support.tiny_store import add_instant, make_store, picture

FEW = InstantSettings(samples=16, views=1, width=8, steps=10, batch=8)
PHOTO = Path(__file__).parents[2] / "profiles/photos/ada-held-out/03.jpg"
RUN = """
import sys
from mystyle_cli.cli import cli
code = 0
try:
    cli.main(sys.argv[1:])
except SystemExit as end:
    code = end.code
assert "torch" not in sys.modules, "torch was imported"
sys.exit(code)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_prior: Path) -> Path:
    """A folder with a store whose person has a net and an export, and with crops to work on."""
    folder = tmp_path_factory.mktemp("instant")
    store = make_store(folder / "store", tiny_prior)
    add_instant(store, "ada", FEW)
    export(store, "ada")
    Image.fromarray(picture(1, 8)).save(folder / "small.png")
    Image.fromarray(picture(1, 32)).save(folder / "crop.png")
    hole = np.zeros((32, 32), np.uint8)
    hole[10:20, 8:24] = 255
    Image.fromarray(hole).save(folder / "hole.png")
    return folder


def invoke(folder: Path, *words: object) -> Result:
    """Run the program in this process."""
    return CliRunner().invoke(cli, ["--store", str(folder / "store"), *map(str, words)])


def alone(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """Run the program in a fresh interpreter that fails if torch was imported."""
    command = [sys.executable, "-c", RUN, "--store", str(folder / "store"), "--no-progress", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_crops_are_restored_without_torch(made: Path, tmp_path: Path) -> None:
    """Enlarged and filled in, at once; outside the hole nothing changes."""
    done = alone(
        made, "upscale", "ada", made / "small.png", "--aligned", "--instant", "-o", tmp_path / "a.png"
    )
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "a.png").size == (32, 32)
    words = ["inpaint", "ada", made / "crop.png", "--mask", made / "hole.png", "--aligned", "--instant"]
    done = alone(made, *words, "-o", tmp_path / "b.png")
    assert done.returncode == 0, done.stderr
    before, after, hole = (
        np.asarray(Image.open(path)) for path in (made / "crop.png", tmp_path / "b.png", made / "hole.png")
    )
    assert np.array_equal(before[hole == 0], after[hole == 0])
    assert not np.array_equal(before[hole > 0], after[hole > 0])


def test_a_whole_photo_is_enlarged_without_torch(made: Path, tmp_path: Path) -> None:
    """Found, aligned, judged and pasted back: no torch on the whole way."""
    photo = Image.open(PHOTO)
    width = find_faces(np.asarray(photo.convert("RGB")))[0].box
    factor = 12 / (width[2] - width[0])  # so that the crop is smaller than the tiny prior's 32 pixels
    photo.resize((round(photo.width * factor), round(photo.height * factor))).save(tmp_path / "in.png")
    done = alone(made, "upscale", "ada", tmp_path / "in.png", "--instant", "-o", tmp_path / "out.png")
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "out.png").width > round(photo.width * factor)


@pytest.mark.parametrize(("quality", "steps"), [("instant", STEPS["upscale"]), ("fast", FAST_STEPS)])
def test_the_quality_decides_the_steps(made: Path, tmp_path: Path, quality: str, steps: int) -> None:
    """A few for an instant answer, whose code lies in A_beta too; more for a fast one."""
    words = ["--json", "upscale", "ada", made / "small.png", "--aligned", "--quality", quality]
    done = invoke(made, *words, "-o", tmp_path / "out.png")
    assert done.exit_code == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert result["steps"] == steps
    assert result["least_dilation"] <= 0.05 + 1e-9
    assert (result["loss"] is None) == (quality == "instant")


@pytest.mark.parametrize("parametrisation", ["softplus", "simplex"])
def test_a_search_starts_at_the_instant_answer(made: Path, parametrisation: Parametrisation) -> None:
    """A step of no length leaves the net's answer, layer by layer; told to, it leaves the centre."""
    profile, subjects = Store(made / "store").open("ada"), [Subject(picture(1, 8))]
    answer = open_instant(profile).alpha_plus(enlarged([to_unit(picture(1, 8))], 32), 0.05)[0]
    still = ProjectionSettings(steps=1, learning_rate=1e-9, parametrisation=parametrisation)
    search = replace(default_settings("upscale"), aligned=True, projection=still)
    found = {
        name: restore(profile, subjects, "upscale", how)[0].alpha_plus
        for name, how in {
            "auto": search,
            "centre": replace(search, start="centre"),
        }.items()
    }
    assert np.ptp(answer, axis=0).max() > 1e-3  # its layers differ
    np.testing.assert_allclose(found["auto"], answer, atol=1e-4)
    np.testing.assert_allclose(found["centre"], 1 / 6, atol=1e-4)


def test_a_missing_net_is_said_where_it_is_asked_for(tmp_path: Path, made: Path, tiny_prior: Path) -> None:
    """instant and fast exit with 5 and name the command; a full search goes on from the centre."""
    make_store(tmp_path / "store", tiny_prior)
    words = ["upscale", "ada", made / "small.png", "--aligned", "-o", tmp_path / "out.png"]
    for how in (["--instant"], ["--quality", "fast"]):
        done = invoke(tmp_path, *words, *how)
        assert done.exit_code == 5
        assert "mystyle tune ada" in done.stderr
    assert invoke(tmp_path, *words, "--steps", 2).exit_code == 0


def test_a_stale_net_is_never_used(tmp_path: Path, made: Path) -> None:
    """Trained for another generator: said where it is asked for, passed over in silence otherwise."""
    shutil.copytree(made / "store", tmp_path / "store")
    manifest = tmp_path / "store/ada/profile.toml"
    head, mark, tail = manifest.read_text("utf-8").partition("[stages.instant]")
    changed = "\n".join(
        'generator = "0"' if line.startswith("generator =") else line for line in tail.split("\n")
    )
    manifest.write_text(head + mark + changed, "utf-8")
    words = ["upscale", "ada", made / "small.png", "--aligned", "-o", tmp_path / "out.png"]
    done = invoke(tmp_path, *words, "--instant")
    assert done.exit_code == 5
    assert "older generator" in done.stderr
    assert invoke(tmp_path, *words, "--steps", 2).exit_code == 0


def test_an_instant_answer_takes_no_steps(made: Path, tmp_path: Path) -> None:
    """What contradicts itself is a usage error: steps, or another space than the person's."""
    words = ["upscale", "ada", made / "small.png", "--aligned", "--instant", "-o", tmp_path / "out.png"]
    assert invoke(made, *words, "--steps", 5).exit_code == 2
    assert invoke(made, *words, "--space", "w").exit_code == 2


def test_the_library_has_it_too(made: Path) -> None:
    """`quality` of upscale and inpaint; the answer's loss is not measured."""
    from mystyle_cli import open_profile

    person = open_profile("ada", store=made / "store")
    done = person.upscale(picture(1, 8), quality="instant", aligned=True)
    assert done.steps == STEPS["upscale"]
    assert math.isnan(done.loss)
    assert done.pixels is not None
    assert done.pixels.shape == (32, 32, 3)


def test_photos_are_compared_as_in_a_search(made: Path) -> None:
    """What the exported eq 1 is told is what torch's phi does: sizes, holes, and what fills them."""
    profile, image = Store(made / "store").open("ada"), torch.rand(1, 3, 32, 32) * 2 - 1
    hole = np.asarray(Image.open(made / "hole.png"))
    cases: list[tuple[TaskName, Subject]] = [
        ("upscale", Subject(picture(1, 8))),
        ("inpaint", Subject(picture(1, 32), mask=hole)),
        ("invert", Subject(picture(1, 32))),
    ]
    for task, subject in cases:
        located = locate(profile, subject, aligned=True, force=True, tiny=task == "upscale")
        given = Given(located, task, 32)
        (target, phi), found = targets_of([given]), given.degraded
        np.testing.assert_allclose(found.target, target[0], atol=1e-5)
        small = (
            found.known * (found.down @ image[0].numpy() @ found.down.T) + (1 - found.known) * found.target
        )
        np.testing.assert_allclose(small, phi.apply(image)[0].numpy(), atol=1e-5)
        np.testing.assert_allclose(
            found.up @ small @ found.up.T, phi.view(phi.apply(image))[0].numpy(), atol=1e-5
        )
        assert found.known.mean() == pytest.approx(float(phi.known(image)[0]))


def test_an_instant_answer_is_nearer_to_the_photo_than_the_nets(made: Path) -> None:
    """Each of its steps is told of; the last loss is below the first."""
    profile = Store(made / "store").open("ada")
    engine = open_engine(profile, replace(default_settings("upscale", "instant"), aligned=True, force=True))
    subjects, seen = [Subject(picture(side, side)) for side in (8, 12, 20)], []
    located = [locate(profile, subject, aligned=True, force=True, tiny=True) for subject in subjects]
    given = [Given(item, "upscale", 32) for item in located]
    found = engine.answer(given, 0.05, lambda step: seen.append(step.done))
    assert seen == [1, 2, 3]
    assert found.history.shape == (STEPS["upscale"], 3)
    assert (found.history[-1] < found.history[0]).all()
    assert found.alpha_plus is not None
    assert in_hull(found.alpha_plus, 0.05, tol=1e-9).all()
    for row, item in enumerate(given):
        alone = engine.answer([item], 0.05, silent)
        np.testing.assert_allclose(alone.history[:, 0], found.history[:, row], rtol=1e-4)
        np.testing.assert_allclose(alone.alpha_plus[0], found.alpha_plus[row], atol=1e-3)


def test_the_net_sees_nothing_of_what_is_to_be_filled(made: Path) -> None:
    """Two crops that differ in the hole alone are one view; outside of it they are not."""
    profile, hole = Store(made / "store").open("ada"), np.asarray(Image.open(made / "hole.png"))
    located = locate(profile, Subject(picture(1, 32), mask=hole), aligned=True, force=True, tiny=False)
    inside = (located.hole > 0.5)[..., None]
    other = replace(located, crop=np.where(inside, 255 - located.crop, located.crop))
    view = view_of([Given(item, "inpaint", 32) for item in (located, other)])
    np.testing.assert_array_equal(view.images[0], view.images[1])
    np.testing.assert_array_equal(view.known, 1 - np.stack([inside[..., 0]] * 2))


def test_a_photo_that_is_hidden_whole_is_the_nets_own_answer(made: Path) -> None:
    """With nothing to compare there is nothing to step towards; the photo beside it is answered as ever."""
    profile = Store(made / "store").open("ada")
    engine = open_engine(profile, replace(default_settings("inpaint", "instant"), aligned=True, force=True))
    hole = np.asarray(Image.open(made / "hole.png"))
    subjects = [Subject(picture(1, 32), mask=mask) for mask in (np.full_like(hole, 255), hole)]
    located = [locate(profile, subject, aligned=True, force=True, tiny=False) for subject in subjects]
    found = engine.answer([Given(item, "inpaint", 32) for item in located], 0.02, silent)
    assert found.steps.tolist() == [0, STEPS["inpaint"]]
    assert np.isfinite(found.images).all()
    assert found.alpha_plus is not None
    assert in_hull(found.alpha_plus, 0.02, tol=1e-9).all()


def test_answers_are_the_same_bytes_in_any_company_and_with_any_threads(made: Path, tmp_path: Path) -> None:
    """Files are equal to the byte: one photo at a time, on two threads, and a moment later."""
    for number in range(3):
        Image.fromarray(picture(number, 8 + number)).save(tmp_path / f"{number}.png")
    photos = sorted(tmp_path.glob("*.png"))
    found = []
    for way, (threads, batch) in enumerate([(1, 3), (1, 1), (2, 3)]):
        words = ["--threads", threads, "upscale", "ada", *photos, "--aligned", "--instant", "--batch", batch]
        done = alone(made, *words, "-o", f"{tmp_path / str(way)}/")
        assert done.returncode == 0, done.stderr
        found.append([path.read_bytes() for path in sorted((tmp_path / str(way)).iterdir())])
    assert len(found[0]) == 3
    assert found[0] == found[1] == found[2]
