"""The right age: when photos were taken, and what --year makes of that, through the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from mystyle_cli.store.draft import Draft
from mystyle_cli.store.store import Store
from tests.support.clips import moving, write_clip
from tests.support.groups import place
from tests.support.journeys import Run, document, journey
from tests.support.portraits import clear
from tests.support.tiny_store import TRAIN, YEARS, date_photos, picture

SHORT = ("--aligned", "--steps", 2)


@pytest.fixture
def dated(run: Run, tmp_path: Path) -> Run:
    """The program, with a profile whose photos are of two times, and crops to work on."""
    date_photos(Store(tmp_path / "store"), "ada")
    Image.fromarray(picture(9, 32)).save("a.png")
    Image.fromarray(picture(9, 8)).save("small.png")
    hole = np.zeros((32, 32), np.uint8)
    hole[8:20, 8:24] = 255
    Image.fromarray(hole).save("hole.png")
    return run


def records(folder: Path) -> list[dict[str, object]]:
    """Return what a profile says of its photos."""
    return [json.loads(line) for line in (folder / "photos.jsonl").read_text("utf-8").splitlines()]


def from_year(path: Path, year: int) -> bytes:
    """Return a JPEG as a camera would have written it in a year, its pixels as they are."""
    exif, data = Image.Exif(), path.read_bytes()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = f"{year}:05:01 12:00:00"
    block = exif.tobytes()
    return data[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + data[2:]


@journey("profile create", "--dates")
def test_photos_say_when_they_were_taken(run: Run, tmp_path: Path, tiny_prior: Path) -> None:
    """Their EXIF says it, and what a list says counts before it; its unknown names are told."""
    Path("album").mkdir()
    for number, year in enumerate((1990, 1995, 2010)):
        Path(f"album/{number}.jpg").write_bytes(from_year(clear("ada", number), year))
    shutil.copy(clear("ada", 3), "album/3.jpg")
    Path("years.csv").write_text("name,year\n1.jpg,12.07.1998\n3.jpg,2001\nother.jpg,1950\n")
    words = ("profile", "create", "eva", "album", "--prior", tiny_prior, "--no-tune", "--held-out", 0)
    made = run("--json", *words, "--dates", "years.csv")
    assert document(made)["years"] == {"first": 1990, "last": 2010, "dated": 4, "photos": 4}
    assert "no photo of the profile is called: 'other.jpg'" in made.stderr
    assert {one["file"]: one["year"] for one in records(tmp_path / "store/eva")} == {
        "0.jpg": 1990,
        "1.jpg": 1998,
        "2.jpg": 2010,
        "3.jpg": 2001,
    }
    (line,) = (line for line in run("profile", "show", "eva").stdout.splitlines() if "taken" in line)
    assert line.split() == ["taken", "1990", "to", "2010"]


@journey("ingest", "--dates")
def test_a_profile_is_told_when_its_photos_were_taken(run: Run, tmp_path: Path) -> None:
    """Only its records change; what was tuned and drawn stays, and the profile is sound."""
    folder = tmp_path / "store/ada"
    refused = run("sample", "ada", "--year", 1990, "-o", "no.png")
    assert (refused.exit_code, "mystyle ingest ada --dates FILE" in refused.stderr) == (5, True)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    Path("years.tsv").write_text("".join(f"{number}.jpg\t{year}\n" for number, year in enumerate(YEARS)))
    done = run("ingest", "ada", "--dates", "years.tsv")
    assert done.exit_code == 0, done.stderr
    assert "taken 1990 to 2012" in done.stderr
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    changed = {path.name for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert changed <= {"photos.jsonl", "profile.toml", ".mystyle"}
    assert [one.get("year") for one in records(folder) if one["split"] == "train"] == [*YEARS]
    assert run("profile", "verify", "ada").exit_code == 0
    Path("years.tsv").write_text("0.jpg\t1990\n0.jpg\t1991\n")
    assert run("ingest", "ada", "--dates", "years.tsv").exit_code == 2
    assert [one.get("year") for one in records(folder) if one["split"] == "train"] == [*YEARS]


def test_a_killed_command_leaves_no_years_to_the_next(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had written and not put in place is gone when another changes the profile."""
    Path("years.csv").write_text("0.jpg,1990\n")
    with monkeypatch.context() as patch:
        patch.setattr(Draft, "commit", lambda self, manifest: (_ for _ in ()).throw(KeyboardInterrupt))
        assert run("ingest", "ada", "--dates", "years.csv").exit_code != 0
    left = tmp_path / "store/ada/runs/next/profile/photos.jsonl"
    assert left.exists()
    store = Store(tmp_path / "store")
    with store.locked("ada"):
        assert store.draft("ada").find("photos.jsonl") == tmp_path / "store/ada/photos.jsonl"
    assert not left.exists()


@journey("upscale", "--year")
@journey("inpaint", "--year")
@journey("invert", "--year")
@journey("restore", "--year")
@journey("edit", "--year")
def test_photos_are_answered_in_a_year(dated: Run) -> None:
    """The mean year of the photos that are mixed is the one that is asked for, in every command."""
    for words in (
        ("upscale", "ada", "small.png", "--save-codes", "codes", "--keep-code"),
        ("inpaint", "ada", "a.png", "--mask", "hole.png", "--variants", 2, "--seed", 1),
        ("invert", "ada", "a.png"),
        ("restore", "ada", "a.png", "--blur", 1, "--noise", 5),
        ("edit", "ada", "a.png", "-d", "smile", "-s", 0.1),
    ):
        output = ("-o", f"{words[0]}.png")
        (result,) = document(dated("--json", *words, *SHORT, "--year", 2005, *output))["results"]
        assert result["year"] == 2005, words
    assert dated("verify", "upscale.png", "--photo", "small.png").exit_code == 0
    assert "year         2005" in dated("inspect", "upscale.png").stdout
    edited = dated("edit", "ada", "small.png", "--codes", "codes", "-d", "smile", "-s", 0.1, "-o", "e.png")
    assert edited.exit_code == 0, edited.stderr
    far = dated("upscale", "ada", "small.png", *SHORT, "--year", 1970, "-o", "far.png")
    assert "the photos nearest 1970 are from 1990, 20 years away" in far.stderr
    assert "year 1990" in far.stderr
    assert (np.asarray(Image.open("far.png")) != np.asarray(Image.open("upscale.png"))).any()


@journey("sample", "--year")
def test_pictures_are_drawn_of_a_year(dated: Run, tmp_path: Path) -> None:
    """Mixed of the photos nearest to it alone, and drawn again so, until photos are said to be of others."""
    date_photos(Store(tmp_path / "store"), "ada", (1990, 1991, 1992, None, None, None))
    for sampler in ("anchors", "uniform"):
        words = ("sample", "ada", "-n", 4, "--seed", 3, "--sampler", sampler, "-o", sampler, "--year", 1991)
        drawn = document(dated("--json", *words))["results"]
        alphas = np.array([result["alpha"] for result in drawn])
        assert not alphas[:, TRAIN // 2 :].any()
        np.testing.assert_allclose(alphas.sum(axis=1), 1)
        assert {round(result["year"]) for result in drawn} <= {1990, 1991, 1992}
    assert "3 of 6 photos say no year" in dated(*words, "--overwrite").stderr
    assert dated("verify", "anchors/ada.sample-3.png").exit_code == 0
    date_photos(Store(tmp_path / "store"), "ada")
    done = dated("verify", "anchors/ada.sample-3.png")
    assert (done.exit_code, "says others now" in done.stderr) == (2, True)


def test_everybody_is_shown_in_the_year(dated: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each by the photos of their own; who has none with a year is left out, and why is told."""
    where = place(1, (8.0, 8.0), 16)
    monkeypatch.setattr("mystyle_cli.group.group.find_places", lambda pixels, tiny: [where])
    Image.fromarray(picture(3, 16)).save("group.png")
    words = ("upscale", "--who", "all", "group.png", "--force", "--steps", 1, "--year", 2005)
    (result,) = document(dated("--json", *words, "-o", "known.png"))["results"]
    assert [face["year"] for face in result["faces"]] == [2005]
    date_photos(Store(tmp_path / "store"), "ada", [None] * TRAIN)
    failed = dated(*words, "-o", "nobody.png")
    assert failed.exit_code == 5
    assert "none of the 6 photos of ada say when they were taken" in failed.stderr


def test_clips_are_of_the_year(dated: Run) -> None:
    """Their frames are mixed likewise, and the file says which year was asked for."""
    write_clip(Path("in.mp4"), moving(frames=3))
    done = dated("upscale", "ada", "in.mp4", "--steps", 1, "--year", 1990, "-o", "out.mp4")
    assert done.exit_code == 0, done.stderr
    assert b", year 1990;" in Path("out.mp4").read_bytes()
