"""`--beta auto`, from `tune`, which asks the held-out photos, to results that say what was taken."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from click.testing import CliRunner, Result
from PIL import Image

from mystyle_cli import open_profile
from mystyle_cli.cli import cli
from mystyle_cli.errors import UsageError
from mystyle_cli.instant import net
from mystyle_cli.instant.net import InstantSettings
from mystyle_cli.restore.betas import GRID, TABLES, WORTH
from tests.support.journeys import document
from tests.support.tiny_store import add_instant, make_store, picture

FEW = InstantSettings(samples=16, views=1, width=8, steps=10, batch=8)
TUNE = ("tune", "ada", "--passes", "1", "--no-export")
LOW, HIGH = 0.0, 0.1


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_prior: Path) -> Path:
    """A folder with a store of a person whose photos were not asked, and photos to work on."""
    folder = tmp_path_factory.mktemp("auto")
    store = make_store(folder / "store", tiny_prior)
    add_instant(store, "ada", FEW)
    for number in range(3):
        (folder / "album").mkdir(exist_ok=True)
        Image.fromarray(picture(number + 1, 16)).save(folder / f"album/{number}.png")
    Image.fromarray(picture(1, 32)).save(folder / "crop.png")
    hole = np.zeros((32, 32), np.uint8)
    hole[10:20, 8:24] = 255
    Image.fromarray(hole).save(folder / "hole.png")
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of it, in which the program works."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def run(*words: object) -> Result:
    """Run the program in this folder."""
    return CliRunner().invoke(cli, ["--store", "store", *map(str, words)])


def change(edit: Callable[[dict[str, Any]], object]) -> None:
    """Change what the profile says of itself."""
    path = Path("store/ada/profile.toml")
    content = tomllib.loads(path.read_text())
    edit(content)
    path.write_text(tomli_w.dumps(content))


def advise(split: float, typical: float = LOW, atypical: float = HIGH) -> None:
    """Write down what photos said of every task."""
    table = {"typical": typical, "atypical": atypical, "split": split}
    change(lambda content: content["results"].update({name: table for name in TABLES}))


def test_tune_asks_the_held_out_photos(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile without a curve says how to get one; that is the only stage then done, and it is obeyed."""
    monkeypatch.setattr("mystyle_cli.learn.betas.PHOTOS", 1)
    small = partial(net.InstantSettings, samples=16, views=1, width=8, steps=20, batch=8)
    monkeypatch.setattr(net, "InstantSettings", small)
    refused = run("upscale", "ada", "album/0.png", "--aligned", "--beta", "auto")
    assert refused.exit_code != 0
    assert "mystyle tune ada" in refused.stderr
    with monkeypatch.context() as before:
        before.setattr("mystyle_cli.learn.stages.Stages._betas_or_drop", lambda stages, handed: None)
        assert run(*TUNE).exit_code == 0
    tuned = run(*TUNE, "--json")
    done = document(tuned)
    assert done["stages_worked"] == ["betas"]
    for name in TABLES:
        table = done["results"][name]
        assert table["typical"] in GRID
        errors = [table[f"id_error_{beta:g}".replace(".", "_")] for beta in GRID]
        errors = [
            error + table[f"lpips_{beta:g}".replace(".", "_")]
            for error, beta in zip(errors, GRID, strict=True)
        ]
        near = [beta for beta, error in zip(GRID, errors, strict=True) if error <= min(errors) + WORTH]
        assert table["typical"] == near[0]
    said = ", ".join(f"{name[5:]} {done['results'][name]['typical']:g}" for name in TABLES)
    assert f"--beta auto: {said}" in tuned.stderr
    for task, words in {"upscale": ["album/0.png"], "inpaint": ["crop.png", "--mask", "hole.png"]}.items():
        words = [task, "ada", *words, "--aligned", "--steps", 1, "--beta", "auto", "-o", f"{task}.png"]
        (result,) = document(run(*words, "--json"))["results"]
        assert result["beta"] == done["results"][f"beta_{task}"]["typical"]
        (said,) = document(run("inspect", f"{task}.png", "--json"))["results"]
        assert said["mystyle"]["beta"] == result["beta"]


@pytest.mark.parametrize("quality", [("--instant",), ("--quality", "fast", "--steps", "2"), ("--steps", "2")])
def test_each_photo_has_its_own(here: Path, quality: tuple[str, ...]) -> None:
    """Photos under the split and above it, in one batch, become what each becomes with its dilation alone."""
    words = ["upscale", "ada", "album", "--aligned", "--force", *quality, "--json"]
    one = document(run(*words, "--beta", LOW, "-o", "low"))["results"]
    other = document(run(*words, "--beta", HIGH, "-o", "high"))["results"]
    scores = [result["input_id"] for result in one]
    assert [result["input_id"] for result in other] == scores
    split = float(np.median(scores)) + 1e-6
    assert 0 < sum(score < split for score in scores) < len(scores)
    advise(split)
    auto = document(run(*words, "--beta", "auto", "-o", "auto"))["results"]
    for result, score in zip(auto, scores, strict=True):
        assert result["beta"] == (HIGH if score < split else LOW)
        name, same = Path(result["output"]).name, "high" if score < split else "low"
        pixels = [np.asarray(Image.open(here / folder / name)).astype(int) for folder in ("auto", same)]
        assert np.abs(pixels[0] - pixels[1]).max() <= 1, "company may change the last bit"
    assert Image.open(here / "low/0.png").tobytes() != Image.open(here / "high/0.png").tobytes()


def test_edits_take_that_of_inversion(here: Path) -> None:
    """Whether the code is searched or was saved, the photo's own ID score decides."""
    advise(split=1.5, typical=HIGH, atypical=0.02)
    change(lambda content: content["results"]["beta_invert"].update(atypical=0.05))
    search = ["crop.png", "--aligned", "--steps", 1]
    (found,) = document(run("invert", "ada", *search, "--save-codes", "codes", "--beta", "auto", "--json"))[
        "results"
    ]
    assert found["beta"] == 0.05
    edit = ["edit", "ada", "-d", "smile", "-s", 1, "--beta", "auto", "--json"]
    for number, words in enumerate((search, ["crop.png", "--codes", "codes"])):
        (result,) = document(run(*edit, *words, "-o", f"{number}.png"))["results"]
        assert result["beta"] == 0.05
        assert result["edits"][0]["limit"] >= 0.05 - 1e-6
    ada = open_profile("ada", here / "store")
    assert ada.invert(here / "crop.png", beta="auto", steps=1, aligned=True).beta == 0.05
    with pytest.raises(UsageError, match="atuo"):
        ada.invert(here / "crop.png", beta="atuo")  # type: ignore[arg-type]


def test_without_held_out_photos_the_papers_is_taken(here: Path) -> None:
    """And said, for there is nothing that could be measured."""
    change(lambda content: content["counts"].update(held_out=0))
    words = ["upscale", "ada", "album/0.png", "--aligned", "--steps", 1, "-o", "a.png"]
    (result,) = document(run(*words, "--beta", "auto", "--json"))["results"]
    assert result["beta"] == 0.05
    assert any("no held-out photos" in warning for warning in result["warnings"])


def test_what_is_no_advice_is_refused(here: Path) -> None:
    """A damaged table, a space without dilation, and a command that draws without a photo."""
    advise(split=0.5, typical=0.3)
    words = ["upscale", "ada", "album/0.png", "--aligned", "--beta", "auto"]
    assert "damaged" in run(*words).stderr
    assert "--beta does nothing here" in run(*words, "--space", "w").stderr
    assert (
        "neither a number nor none" in run("sample", "ada", "--sampler", "uniform", "--beta", "auto").stderr
    )


def test_a_result_less_like_them_than_their_photos_says_so(here: Path) -> None:
    """In words, with both numbers; one within their range says nothing."""
    words = [
        "upscale",
        "ada",
        "album/0.png",
        "--aligned",
        "--steps",
        1,
        "--overwrite",
        "-o",
        "a.png",
        "--json",
    ]
    for lowest, said in ((-1.0, False), (0.9999, True)):
        change(lambda content, lowest=lowest: content["identity"].update(own_lowest=lowest))
        done = run(*words)
        (result,) = document(done)["results"]
        expected = f"less like ada than ada's own photos are: ID {result['id']:.2f}, theirs from {lowest:.2f}"
        assert (expected in result["warnings"]) is said
        assert (expected in done.stderr) is said
