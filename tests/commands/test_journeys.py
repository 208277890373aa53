"""From photos to results and back on the command line, with every option: one tiny person, learned once.

Each option's effect is looked for where another program would look: in pixels, bytes, metadata and numbers,
not in what the command says of itself. `tests/house/test_journeys.py` holds these declarations against click.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tomllib
import zipfile
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo
from safetensors.numpy import load, load_file

from mystyle_cli.batch import batch
from mystyle_cli.cli import cli
from mystyle_cli.instant import net
from mystyle_cli.learn import betas
from mystyle_cli.photos.marks import read_marks
from mystyle_cli.prior.registry import open_prior
from mystyle_cli.store.store import Store
from tests.support import tagged
from tests.support.journeys import EVERYWHERE, Run, document, journey
from tests.support.points import face_points
from tests.support.portraits import clear
from tests.support.tiny_store import picture

ARTIST = "Ada Artist"
PHOTOS, BELOW, HELD_OUT = 10, 2, 3
SHORT = ("--aligned", "--steps", 1)


def program(*words: object) -> Result:
    """Run the program."""
    return CliRunner().invoke(cli, [*map(str, words)])


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good photos of one person, some of them in a folder below."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "below").mkdir()
    for number in range(PHOTOS):
        shutil.copy(clear("ada", number), folder / ("below" if number < BELOW else "") / f"{number}.jpg")
    return folder


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory, tiny_prior: Path, album: Path) -> Iterator[Path]:
    """The store with the person, from photos to all nets; the instant net is a small one."""
    root = tmp_path_factory.mktemp("learned")
    small = partial(net.InstantSettings, samples=16, views=1, width=8, steps=20, batch=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(net, "InstantSettings", small)
        patch.setattr(betas, "STEPS", 1)
        words = ("profile", "create", "ada", album, "--recursive", "--prior", tiny_prior, "--held-out", 0.3)
        done = program(
            "--store", root, *words, "--consent", "by letter", "--until", "2999-12-31", "--seed", 5
        )
        assert done.exit_code == 0, done.stderr
        yield root


@pytest.fixture
def run(learned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the program on a copy of the store, in an empty folder, with a home of its own."""
    shutil.copytree(learned, tmp_path / "store")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("MYSTYLE_HOME", str(tmp_path / "home"))
    return partial(program, "--store", tmp_path / "store")


def toml(folder: Path) -> dict[str, Any]:
    """Return what a profile says of itself."""
    return tomllib.loads((folder / "profile.toml").read_text())


def photos(folder: Path) -> list[dict[str, Any]]:
    """Return what a profile says of its photos."""
    return [json.loads(line) for line in (folder / "photos.jsonl").read_text().splitlines()]


def digests(folder: Path) -> set[str]:
    """Return the digests of all files below a folder."""
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def files(folder: Path) -> set[str]:
    """Return all files below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def moved(folder: Path, prior: Path) -> float:
    """Return how far the tuning moved a profile's weights, the most of any."""
    start = open_prior(prior).generator().state_dict()
    tuned = Store(folder.parent).open(folder.name).generator().state_dict()
    return max(float((tuned[name] - value).abs().max()) for name, value in start.items())


def pixels(path: Path | str) -> np.ndarray:
    """Return a picture uint8 (H, W, 3)."""
    return np.asarray(Image.open(path).convert("RGB"))


def save(path: str, values: np.ndarray) -> Path:
    """Write a photo that says who took it; folders on the way are made."""
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = ARTIST
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, exif=exif)
    return Path(path)


# learning


@journey("profile create", "--recursive", "--prior", "--held-out", "--consent", "--until", "--seed")
def test_a_person_is_learned(run: Run, album: Path, tmp_path: Path, tiny_prior: Path) -> None:
    """All photos are looked at, three are kept apart, and the same command later changes only what is new."""
    folder = tmp_path / "store/ada"
    said = toml(folder)
    assert {one["sha256"] for one in photos(folder)} == digests(album)
    assert [one["split"] for one in photos(folder)].count("held-out") == HELD_OUT
    assert said["prior"]["name"] == "tiny-32"
    assert (said["consent"], said["consent_until"]) == ("by letter", "2999-12-31")
    assert load_file(folder / "anchors.safetensors")["anchors"].shape == (PHOTOS - HELD_OUT, 16)
    assert moved(folder, tiny_prior) > 0
    before = digests(folder / "faces") | digests(folder / "onnx")
    words = ("profile", "create", "ada", album, "--recursive", "--prior", tiny_prior, "--held-out", 0.3)
    again = run("--json", *words, "--consent", "by mail", "--until", "2998-12-31", "--seed", 5)
    assert document(again)["stages_worked"] == []
    assert (toml(folder)["consent"], toml(folder)["consent_until"]) == ("by mail", "2998-12-31")
    assert digests(folder / "faces") | digests(folder / "onnx") == before


TUNING = (
    *("--passes", 2, "--batch", 3, "--learning-rate", 1e-30, "--precision", "float32"),
    *("--seed", 6, "--no-export", "--no-instant", "--whole"),
)


def check_tuning(folder: Path, prior: Path, trained: int) -> None:
    """See that a profile was tuned as `TUNING` says: so slowly that no weight moved, and without nets."""
    table = (folder / "runs/loss.csv").read_text().splitlines()
    assert len(table) == 1 + 2
    assert moved(folder, prior) == 0
    assert float(table[1].split(",")[-1]) == pytest.approx(1e-30, rel=0.01)
    assert not files(folder / "onnx")
    generator = load_file(folder / "generator.safetensors")
    assert {value.dtype for value in generator.values()} >= {np.dtype(np.float16)}
    facts = toml(folder)["stages"]["tune"]
    assert (facts["batch"], facts["precision"], facts["seed"]) == (3, "float32", 6)
    assert toml(folder)["counts"]["train"] == trained


@journey("tune", *("--passes", "--batch", "--learning-rate", "--precision", "--seed"))
@journey("tune", *("--no-export", "--no-instant", "--whole", "--dry-run", "--on"))
def test_tuning_has_options(run: Run, tmp_path: Path, tiny_prior: Path) -> None:
    """It is told what will be taken, in steps that can be counted by hand; then tuned so."""
    folder, before = tmp_path / "store/ada", digests(tmp_path / "store")
    told = document(run("--json", "tune", "ada", *TUNING, "--dry-run"))
    assert told["steps"] == 2 * -(-(PHOTOS - HELD_OUT) // 3)
    assert digests(tmp_path / "store") == before
    assert files(folder / "onnx")
    assert run("tune", "ada", *TUNING, "--on", "local:1").exit_code == 0
    check_tuning(folder, tiny_prior, PHOTOS - HELD_OUT)


@journey("profile create", *("--passes", "--batch", "--learning-rate", "--precision", "--seed"))
@journey("profile create", *("--no-export", "--no-instant", "--whole", "--dry-run", "--reference"))
@journey("profile create", *("--replace", "--no-tune", "--prior", "--keep"))
def test_creating_has_options(run: Run, tmp_path: Path, tiny_prior: Path, album: Path) -> None:
    """Of photos of two people those of the person in --reference are kept; --replace takes others instead."""
    mine, theirs = sorted(album.glob("*.jpg"))[:3], [clear("marco", number) for number in range(4)]
    start = ("--prior", tiny_prior)
    folder = tmp_path / "store/eva"
    told = document(run("--json", "profile", "create", "eva", *mine, *start, *TUNING, "--dry-run"))
    assert (told["pictures"], told["steps"]) == (3, 2 * 1)
    assert not folder.exists()
    known = ("--prior", "portraits-128")  # whose identity net knows such people; the tiny one's is random
    both = (*mine, *theirs, *known, "--reference", sorted(album.glob("*.jpg"))[3])
    assert run("profile", "create", "eva", *both, "--no-tune").exit_code == 0
    assert not (folder / "generator.safetensors").exists()
    kept = {one["file"] for one in photos(folder) if one["reason"] == "kept"}
    assert {Path(file).name for file in kept} == {path.name for path in mine}
    assert run("profile", "create", "eva", *both, "--no-tune", "--keep", album / "below").exit_code == 2
    assert (
        run("profile", "create", "eva", *both, "--no-tune", "--keep", theirs[0], "--replace").exit_code == 0
    )
    by_hand = [one for one in photos(folder) if one["detail"].startswith("kept by hand: another person")]
    assert [Path(one["file"]).name for one in by_hand] == [theirs[0].name]
    others = sorted(album.glob("*.jpg"))[2:]
    assert run("profile", "create", "eva", *others, *start, *TUNING).exit_code == 5
    done = run("profile", "create", "eva", *others, *start, *TUNING, "--replace")
    assert done.exit_code == 0, done.stderr
    assert {one["sha256"] for one in photos(folder)} == {
        hashlib.sha256(path.read_bytes()).hexdigest() for path in others
    }
    check_tuning(folder, tiny_prior, sum(one["split"] == "train" for one in photos(folder)))


@journey("profile create", "--from-tags")
@journey("ingest", "--from-tags")
def test_photos_are_chosen_by_their_tags(run: Run, tmp_path: Path, tiny_prior: Path) -> None:
    """Only those on which the person is tagged are looked at; a name that nobody has is refused."""
    Path("new").mkdir()
    for number, who in ((PHOTOS, "Ada Smith"), (0, "Ben"), (1, "")):
        shutil.copy(clear("ada", number), f"new/{number}.jpg")
        if who:
            Path(f"new/{number}.xmp").write_text(tagged.names([who]), "utf-8")
    words = ("new", "--from-tags", "ADA SMITH")
    told = document(run("--json", "profile", "create", "eva", *words, "--prior", tiny_prior, "--dry-run"))
    assert told["pictures"] == 1
    done = run("ingest", "ada", *words, "--no-tune")
    assert done.exit_code == 0, done.stderr
    assert "1 of 3 photos are tagged ADA SMITH, 0 of them say where" in done.stderr
    known = {one["sha256"] for one in photos(tmp_path / "store/ada")}
    assert hashlib.sha256(clear("ada", PHOTOS).read_bytes()).hexdigest() in known
    assert len(known) == PHOTOS + 1
    done = run("ingest", "ada", "new", "--from-tags", "Eve")
    assert done.exit_code == 2
    assert "Ada Smith (1), Ben (1)" in done.stderr


@journey("ingest", *("--passes", "--batch", "--learning-rate", "--precision", "--seed", "--recursive"))
@journey("ingest", *("--no-export", "--no-instant", "--whole", "--no-tune"))
@journey(EVERYWHERE, "--verbose", "--quiet", "--no-progress")
def test_photos_are_added(run: Run, tmp_path: Path, tiny_prior: Path) -> None:
    """Those of folders below only with --recursive; tuned at once as is said, or later."""
    folder = tmp_path / "store/ada"
    for number, name in enumerate(("one.jpg", "more/two.jpg"), PHOTOS):
        Path("new/more").mkdir(parents=True, exist_ok=True)
        shutil.copy(clear("ada", number), f"new/{name}")
    Path("new/bad.jpg").write_bytes(b"no picture")
    tuned = {hashlib.sha256((folder / "generator.safetensors").read_bytes()).hexdigest()}
    done = run("ingest", "ada", "new", "--no-tune", "--verbose", "--no-progress")
    assert done.exit_code == 0, done.stderr
    assert "refused bad.jpg" in done.stderr
    assert "/2 (" not in done.stderr
    assert len(photos(folder)) == PHOTOS + 2
    assert digests(folder) >= tuned
    done = run("ingest", "ada", "new", "--recursive", *TUNING, "--quiet")
    assert done.exit_code == 0
    assert all(line.startswith("warning:") for line in done.stderr.splitlines())
    assert digests(Path("new")) <= {one["sha256"] for one in photos(folder)}
    check_tuning(folder, tiny_prior, sum(one["split"] == "train" for one in photos(folder)))


# working on photos


@pytest.fixture
def crops(run: Run, learned: Path) -> None:
    """The person's faces as photos, large and small, with masks; and a photo with a face nobody finds."""
    known = [one["face"] for one in photos(learned / "ada") if one["split"] == "train"]
    for name, face in zip(("a", "below/b"), known, strict=False):
        values = pixels(learned / "ada" / face)
        save(f"in/{name}.png", values)
        save(f"small/{name}.png", np.asarray(Image.fromarray(values).resize((8, 8))))
        hole = np.zeros((32, 32), np.uint8)
        hole[10:20, 8:24] = 255
        save(f"masks/{name}.png", hole)
    save("large.png", picture(3, 96))
    save("middle.png", picture(3, 48))
    save("large-mask.png", np.pad(np.full((4, 8), 255, np.uint8), ((12, 80), (12, 76))))
    save("beside.png", np.pad(np.full((16, 16), 255, np.uint8), ((72, 8), (72, 8))))
    points = np.full((68, 2), 16.0)
    points[36:42], points[42:48], points[48:55] = (12, 12), (20, 12), (16, 22)
    np.savetxt("points.txt", points)
    np.savetxt("middle.txt", points / 2)


WORDS: dict[str, tuple[str, ...]] = {
    "upscale": (),
    "inpaint": ("--mask", "masks"),
    "invert": (),
    "restore": ("--grain", "none"),
    "edit": ("-d", "smile", "-s", "0.1"),
}


def source(command: str) -> str:
    """Return the folder of photos that a command works on."""
    return "small" if command == "upscale" else "in"


def check_batch(run: Run, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go through the options of inputs and outputs."""
    chunks, errands = [], batch.Batch._errands

    def counted(some: batch.Batch) -> Iterator[list[batch.Errand]]:
        for group in errands(some):
            chunks.append(len(group))
            yield group

    monkeypatch.setattr(batch.Batch, "_errands", counted)
    whole = (command, "ada", source(command), *WORDS[command], *SHORT, "-o", "out", "--recursive")
    options = ("--format", "webp", "--jpeg-quality", 5, "--batch", 1, "--keep-metadata", "--mark", "visible")
    done = run(*whole, *options)
    assert done.exit_code == 0, done.stderr
    assert chunks == [1, 1]
    made = [Path("out/a.webp"), Path("out/below/b.webp")]
    assert files(Path("out")) == {"a.webp", "below/b.webp"}
    small = [path.stat().st_size for path in made]
    for path in made:
        with Image.open(path) as image:
            assert image.format == "WEBP"
            assert image.getexif()[ExifTags.Base.Artist] == ARTIST
        assert np.ptp(pixels(path)[-10:, -16:]) > 150  # the mark is white on black
    assert run(*whole, "--format", "webp").exit_code == 2
    assert [path.stat().st_size for path in made] == small
    done = run(*whole, "--format", "webp", "--jpeg-quality", 100, "--overwrite")
    assert done.exit_code == 0, done.stderr
    assert chunks[3:] == [2]
    for path, before in zip(made, small, strict=True):
        assert path.stat().st_size > before
        assert ExifTags.Base.Artist not in Image.open(path).getexif()
    now = digests(Path("out"))
    skipped = document(run("--json", *whole, "--format", "webp", "--skip-existing"))
    assert len(skipped["skipped"]) == 2
    assert digests(Path("out")) == now
    single = (command, "ada", f"{source(command)}/a.png", *WORDS[command], *SHORT)
    assert run(*single, "--output", "plain.png", "--no-mark").exit_code == 0
    assert b"mystyle" not in Path("plain.png").read_bytes()
    assert b"mystyle" in made[0].read_bytes()
    beside = (command, "ada", source(command), *WORDS[command], *SHORT, "--name", "{stem}.{command}{ext}")
    assert run(*beside).exit_code == 0
    result = Path(f"{source(command)}/a.{command}.png")
    np.testing.assert_array_equal(pixels(result), pixels("plain.png"))
    [skipped] = document(run("--json", *beside, "--skip-existing"))["skipped"]  # and not taken for a photo
    assert Path(skipped).name == "a.png"
    result.unlink()


def alpha(data: bytes) -> np.ndarray:
    """Return the coefficients (L, N) in a saved code."""
    return load(data)["alpha_plus"].reshape(-1, PHOTOS - HELD_OUT)


def check_search(run: Run, command: str, store: Path) -> None:
    """Go through the options of a search, on a crop, on a whole photo, and on somebody else's face."""
    photo = f"{source(command)}/a.png"
    words = (command, "ada", photo, *WORDS[command], "--aligned")
    random = (*words, "--steps", 2, "--beta", 0.05, "--start", "random", "--space", "p", "--keep-code")
    [found] = document(run("--json", *random, "--seed", 4, "-o", "4.png"))["results"]
    assert found["seed"] == 4
    assert found.get("steps", 2) == 2
    marks = read_marks(Path("4.png"))
    assert marks is not None
    rows = alpha(marks.code)
    np.testing.assert_allclose(rows.sum(1), 1, atol=1e-5)
    assert rows.min() >= -0.05 - 1e-5
    if command != "edit":  # whose strength may differ from layer to layer where it is projected back
        np.testing.assert_allclose(rows, rows[:1].repeat(len(rows), 0), atol=1e-6)
    assert run(*random, "--seed", 4, "-o", "again.png").exit_code == 0
    assert run(*random, "--seed", 5, "-o", "5.png").exit_code == 0
    np.testing.assert_array_equal(pixels("again.png"), pixels("4.png"))
    assert (pixels("5.png") != pixels("4.png")).any()
    where, points = ("middle.png", "middle.txt") if command == "upscale" else ("large.png", "points.txt")
    inside = (command, "ada", where, *WORDS[command], "--steps", 1, "-o", "whole.png")
    if command == "inpaint":
        inside = tuple("large-mask.png" if word == "masks" else word for word in inside)
    if command != "inpaint":  # where the person is looked for under the mask
        assert run(*inside).exit_code == 4  # no face is found
    done = run(*inside, "--landmarks", points)
    assert done.exit_code == 0, done.stderr
    if command != "upscale":
        np.testing.assert_array_equal(pixels("whole.png")[60:], pixels("large.png")[60:])
        assert (pixels("whole.png")[8:24, 8:24] != pixels("large.png")[8:24, 8:24]).any()
    manifest = store / "ada/profile.toml"
    known = f"threshold = {toml(manifest.parent)['identity']['threshold']}"
    manifest.write_text(manifest.read_text().replace(known, "threshold = 1.1"))  # nobody is like that
    forced = (*inside, "--landmarks", points, "--overwrite")
    # a face of which something is hidden is not judged: the hole is beside it
    forced = tuple("beside.png" if word == "large-mask.png" else word for word in forced)
    assert run(*forced).exit_code == 4
    assert run(*forced, "--force").exit_code == 0


def check_codes(run: Run, command: str) -> None:
    """Codes that are kept beside results are those that are kept in them."""
    words = (command, "ada", f"{source(command)}/a.png", *WORDS[command], *SHORT, "-o", "kept.png")
    assert run(*words, "--save-codes", "codes", "--keep-code").exit_code == 0
    marks = read_marks(Path("kept.png"))
    assert marks is not None
    np.testing.assert_array_equal(alpha(Path("codes/a.safetensors").read_bytes()), alpha(marks.code))


def check_quality(run: Run, command: str) -> None:
    """An instant answer is one whatever it is called; a fast one takes fewer steps than a full search."""
    words = (command, "ada", f"{source(command)}/a.png", *WORDS[command], "--aligned", "--overwrite")
    steps = {}
    for name, options in {
        "instant": ("--instant",), "same": ("--quality", "instant"), "fast": ("--quality", "fast"), "full": ()
    }.items():  # fmt: skip
        done = run("--json", *words, *options, "-o", f"{name}.png")
        steps[name] = document(done)["results"][0]["steps"]
    np.testing.assert_array_equal(pixels("instant.png"), pixels("same.png"))
    assert 0 < steps["fast"] < steps["full"]
    assert (pixels("fast.png") != pixels("full.png")).any()


@journey("upscale", *("--output", "--format", "--jpeg-quality", "--name", "--overwrite", "--skip-existing"))
@journey("upscale", *("--recursive", "--batch", "--keep-metadata", "--mark", "--no-mark"))
@journey("upscale", *("--beta", "--steps", "--seed", "--space", "--start", "--aligned", "--landmarks"))
@journey("upscale", *("--force", "--save-codes", "--keep-code", "--quality", "--instant"))
def test_photos_are_enlarged(run: Run, crops: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Crops of 8 pixels become the prior's 32, and whole photos as many times larger as their face."""
    check_batch(run, "upscale", monkeypatch)
    assert pixels("out/a.webp").shape == (32, 32, 3)
    check_codes(run, "upscale")
    check_quality(run, "upscale")
    check_search(run, "upscale", tmp_path / "store")


@journey("inpaint", *("--output", "--format", "--jpeg-quality", "--name", "--overwrite", "--skip-existing"))
@journey("inpaint", *("--recursive", "--batch", "--keep-metadata", "--mark", "--no-mark", "--mask"))
@journey("inpaint", *("--beta", "--steps", "--seed", "--space", "--start", "--aligned", "--landmarks"))
@journey("inpaint", *("--force", "--save-codes", "--keep-code", "--quality", "--instant"))
def test_holes_are_filled(run: Run, crops: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is white in the mask changes."""
    check_batch(run, "inpaint", monkeypatch)
    hole = pixels("masks/a.png")[..., 0] > 0
    np.testing.assert_array_equal(pixels("plain.png")[~hole], pixels("in/a.png")[~hole])
    assert (pixels("plain.png")[hole] != pixels("in/a.png")[hole]).any()
    check_codes(run, "inpaint")
    check_quality(run, "inpaint")
    check_search(run, "inpaint", tmp_path / "store")


@journey("inpaint", "--part", "--except", "--box")
def test_holes_are_named(run: Run, crops: None) -> None:
    """Without a painted mask: parts of the face, boxes, or what is transparent; all else stays."""
    points, before = face_points(), pixels("large.png")
    np.savetxt("face.txt", points)
    words = ("inpaint", "ada", "large.png", "--landmarks", "face.txt", "--steps", 1, "--overwrite", "--force")
    nose, chin, eye, mouth = (47, 48), (77, 48), (36, 34), (66, 48)

    def changed(*more: object) -> np.ndarray:
        assert run(*words, *more, "-o", "named.png").exit_code == 0
        return np.asarray((pixels("named.png") != before).any(axis=2))

    eyes = changed("--part", "eyes")
    assert eyes[30:42, 26:70].any()
    assert not eyes[46:].any()
    assert not eyes[:24].any()
    face = changed("--part", "face", "--except", "eyes", "--except", "mouth")
    assert face[nose]
    assert face[chin]
    assert not face[eye]
    assert not face[mouth]
    box = changed("--box", "40,44,16,8")
    assert box[44:52, 40:56].any()
    assert box.sum() == box[44:52, 40:56].sum()
    both = changed("--box", "40,44,16,8", "--part", "mouth")
    assert both[44:52, 40:56].any()
    assert both[mouth]
    assert run("inpaint", "ada", "large.png", "--part", "eyes", "-o", "no.png").exit_code == 4  # no face
    assert run(*words, "-o", "no.png").exit_code == 2  # nothing says what
    assert "face" in run(*words, "--except", "eyes", "-o", "no.png").stderr
    assert run(*words, "--box", "200,200,5,5", "-o", "no.png").exit_code == 2
    for wrong in ("1,2,3", "1,2,3,0", "a,b,c,d"):
        assert run(*words, "--box", wrong, "-o", "no.png").exit_code == 2
    assert not Path("no.png").exists()


@journey("inpaint", "--landmarks")
def test_what_is_transparent_is_filled(run: Run, crops: None) -> None:
    """A hole that was erased in the photo itself is filled, and seen afterwards."""
    np.savetxt("face.txt", face_points())
    before = pixels("large.png")
    opacity = np.full((96, 96, 1), 255, np.uint8)
    opacity[60:72, 40:56] = 0
    opacity[80:, :] = 200  # seen through, and not erased
    Image.fromarray(np.concatenate([before, opacity], axis=2)).save("erased.png")
    words = (
        "inpaint",
        "ada",
        "erased.png",
        "--landmarks",
        "face.txt",
        "--steps",
        1,
        "-o",
        "seen.png",
        "--force",
    )
    assert run(*words).exit_code == 0
    made = np.asarray(Image.open("seen.png"))
    hole = opacity[..., 0] == 0
    assert (made[..., 3] == np.where(hole, 255, opacity[..., 0])).all()
    np.testing.assert_array_equal(made[~hole, :3], before[~hole])
    assert (made[hole, :3] != before[hole]).any()


@journey("upscale", "--variants")
@journey("inpaint", "--variants")
@journey("restore", "--variants")
def test_answers_are_many(run: Run, crops: None) -> None:
    """Numbered, the plain one first, and a map; a second run takes none of them for a photo."""
    for command in ("upscale", "inpaint", "restore"):
        words = ("--json", command, "ada", f"{source(command)}/a.png", *WORDS[command], "--aligned")
        few = ("--steps", 2, "--mark", "visible")
        assert run(*words, *few, "-o", f"{command}.png").exit_code == 0
        [found] = document(run(*words, *few, "--variants", 3, "--seed", 5, "-o", f"{command}.png"))["results"]
        assert found["seed"] == 5
        assert found["output"] == f"{command}-1.png"
        np.testing.assert_array_equal(pixels(f"{command}-1.png"), pixels(f"{command}.png"))
        made = [other["output"] for other in found["variants"]]
        assert made == [f"{command}-{number}.png" for number in range(2, 4 - found["open"]["dropped"])]
        assert sorted(map(str, Path().glob(f"{command}-*.png"))) == [
            f"{command}-1.png", *made, found["open"]["map"]
        ]  # fmt: skip
        assert found["open"]["map"] == f"{command}-open.png"
        assert pixels(f"{command}-open.png").shape == pixels(f"{command}.png").shape
        marks = read_marks(Path(f"{command}-open.png"))
        assert marks is not None
        assert marks.visible
    shutil.copytree("small", "again")
    words = ("upscale", "ada", "again", "-r", "--aligned", "--steps", 1, "--variants", 2)
    named = ("--name", "{stem}.{command}{ext}")
    for _ in range(2):
        done = document(run("--json", *words, *named, "--overwrite"))
        assert len(done["results"]) == len(list(Path("small").rglob("*.png")))
    skipped = document(run("--json", *words, *named, "--skip-existing"))
    assert skipped["results"] == []
    assert len(skipped["skipped"]) == len(done["results"])


@journey("restore", *("--output", "--format", "--jpeg-quality", "--name", "--overwrite", "--skip-existing"))
@journey("restore", *("--recursive", "--batch", "--keep-metadata", "--mark", "--no-mark", "--mask"))
@journey("restore", *("--beta", "--steps", "--space", "--aligned", "--landmarks", "--save-codes"))
@journey("restore", *("--force", "--quality", "--instant", "--start", "--seed"))
@journey("restore", *("--blur", "--noise", "--jpeg", "--scale", "--keep-tone", "--grain", "--scratches"))
def test_damaged_photos_are_restored(run: Run, crops: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said of the damage is heeded, and a photo without any comes out as it was."""
    check_batch(run, "restore", monkeypatch)
    photo = pixels("in/a.png")
    crop = ("restore", "ada", "in/a.png", "--aligned", "--steps", 2, "--overwrite", "-o", "made.png")
    none = ("--blur", 0, "--noise", 0, "--jpeg", 0, "--scale", 1)
    [found] = document(run("--json", *crop, *none))["results"]
    assert found["damage"] == {
        "blur": 0, "blur_longest": 0, "blur_shortest": 0, "noise": 0, "jpeg": None, "scale": 1, "tone": None
    }  # fmt: skip
    np.testing.assert_array_equal(pixels("made.png"), photo)
    [found] = document(
        run("--json", *crop, "--blur", 2, "--noise", 9, "--jpeg", 40, "--scale", 2, "--beta", 0.1)
    )["results"]
    assert [found["damage"][name] for name in ("blur", "noise", "jpeg", "scale")] == [2, 9, 40, 2]
    assert found["beta"] == 0.1
    rough = []
    for grain in ("none", "keep"):
        assert run(*crop, *none[:2], "--noise", 9, *none[4:], "--grain", grain).exit_code == 0
        rough.append(np.abs(np.diff(pixels("made.png").astype(float), axis=0)).mean())
    assert rough[1] > rough[0]
    hole = pixels("masks/a.png")[..., 0] > 0
    save("scratched.png", np.where(hole[..., None], np.uint8(255), photo))
    masked = ("restore", "ada", "scratched.png", *crop[3:], *none, "--mask", "masks/a.png")
    assert run(*masked, "--save-codes", "codes", "--space", "p").exit_code == 0
    made = pixels("made.png")
    np.testing.assert_allclose(made[:6].astype(float), photo[:6], atol=1)
    assert made[hole].mean() < 250
    assert Path("codes/scratched.safetensors").exists()
    line = np.uint8(255 if photo[len(photo) // 2].mean() < 128 else 0)
    save("lined.png", np.where((np.arange(len(photo)) == len(photo) // 2)[:, None], line, photo))
    lined, filled = ("restore", "ada", "lined.png", *crop[3:], *none), []
    for scratches in ("none", "find"):
        [found] = document(run("--json", *lined, "--scratches", scratches))["results"]
        filled.append("scratches" in " ".join(found["warnings"]))
    assert filled == [False, True]
    grey = np.repeat(photo.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    save("grey.png", grey)
    toned = ("restore", "ada", "grey.png", *crop[3:], *none)
    assert document(run("--json", *toned))["results"][0]["damage"]["tone"] == "grey"
    assert np.ptp(pixels("made.png"), axis=2).max() > 0
    assert run(*toned, "--colour").exit_code == 0
    assert np.ptp(pixels("made.png"), axis=2).max() > 0
    assert run(*toned, "--keep-tone").exit_code == 0
    assert np.ptp(pixels("made.png"), axis=2).max() == 0
    assert run(*toned, "--instant").exit_code == 2
    bad = ("--noise", 9, "--blur", 2, "--beta", 0.1)
    for name, options in {"instant": ("--instant",), "fast": ("--quality", "fast"), "full": ()}.items():
        assert run(*crop[:3], "--aligned", *bad, *options, "-o", f"{name}.png").exit_code == 0
    random = [*crop[:3], "--aligned", "--steps", 2, *bad, "--start", "random"]
    for seed in (4, 5):
        assert run(*random, "--seed", seed, "-o", f"{seed}.png").exit_code == 0
    different = [pixels(f"{name}.png") for name in ("instant", "fast", "full", "4", "5")]
    assert all((one != other).any() for one, other in pairwise(different))
    assert run("restore", "ada", "large.png", "--steps", 1, "-o", "whole.png").exit_code == 4  # no face
    forced = ("restore", "ada", "large.png", "--landmarks", "points.txt", "--force", "--steps", 1)
    assert run(*forced, "--blur", 2, "--noise", 0, "-o", "whole.png").exit_code == 0
    np.testing.assert_array_equal(pixels("whole.png")[60:], pixels("large.png")[60:])


@journey("invert", *("--output", "--format", "--jpeg-quality", "--name", "--overwrite", "--skip-existing"))
@journey("invert", *("--recursive", "--batch", "--keep-metadata", "--mark", "--no-mark"))
@journey("invert", *("--beta", "--steps", "--seed", "--space", "--start", "--aligned", "--landmarks"))
@journey("invert", *("--force", "--save-codes", "--keep-code"))
def test_photos_are_inverted(run: Run, crops: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The longer the search, the nearer the photo."""
    check_batch(run, "invert", monkeypatch)
    assert run("invert", "ada", "in/a.png", "--aligned", "--steps", 20, "-o", "near.png").exit_code == 0
    photo = pixels("in/a.png").astype(float)
    assert np.square(pixels("near.png") - photo).mean() < np.square(pixels("plain.png") - photo).mean()
    check_codes(run, "invert")
    check_search(run, "invert", tmp_path / "store")


@journey("edit", *("--output", "--format", "--jpeg-quality", "--name", "--overwrite", "--skip-existing"))
@journey("edit", *("--recursive", "--batch", "--keep-metadata", "--mark", "--no-mark"))
@journey("edit", *("--beta", "--steps", "--seed", "--space", "--start", "--aligned", "--landmarks"))
@journey("edit", *("--force", "--direction", "--strength"))
def test_photos_are_edited(run: Run, crops: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The options that edits share with searches."""
    check_batch(run, "edit", monkeypatch)
    check_search(run, "edit", tmp_path / "store")


@journey("edit", *("--sweep", "--at-limit", "--codes", "--keep-code", "--backend"))
@journey(EVERYWHERE, "--device", "--threads", "--store", "--debug")
def test_edits_follow_their_directions(
    run: Run, crops: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No strength gives the photo's own inversion; both backends draw the same; a sweep has all in a row."""
    assert run("invert", "ada", "in/a.png", *SHORT, "-o", "own.png", "--save-codes", "codes").exit_code == 0
    words = ("edit", "ada", "in/a.png", "--codes", "codes")
    for backend in ("torch", "onnx"):
        none = (*words, "-d", "smile", "-s", 0, "--backend", backend, "--device", "cpu", "--threads", 2)
        assert run(*none, "-o", f"{backend}.png", "--debug").exit_code == 0
        assert np.abs(pixels(f"{backend}.png").astype(int) - pixels("own.png")).max() <= 2
    assert torch.get_num_threads() == 2
    codes = {}
    for limit in ("stop", "project", "continue"):
        far = ("-d", "yaw", "-s", 30, "--at-limit", limit, "--beta", 0.02, "--keep-code")
        assert run(*words, *far, "-o", f"{limit}.png").exit_code == 0
        marks = read_marks(Path(f"{limit}.png"))
        assert marks is not None
        codes[limit] = alpha(marks.code)
    assert codes["stop"].min() >= -0.02 - 1e-4
    assert codes["project"].min() >= -0.02 - 1e-4
    assert codes["continue"].min() < -0.02
    assert (codes["stop"] != codes["project"]).any()
    swept = (*words, "-d", "smile", "-s", 0.1, "-d", "yaw", "--sweep=-0.1:0.1:3", "-o", "strip.png")
    assert run(*swept).exit_code == 0
    strip = pixels("strip.png").astype(int)
    first, middle, last = strip[:32, :32], strip[:32, 34:66], strip[:32, 68:]
    assert first.shape == middle.shape == last.shape
    assert 0 < np.abs(middle - first).mean() < np.abs(last - first).mean()


# new pictures, and what is said of results


@journey("sample", *("--count", "--output", "--grid", "--sampler", "--anchors", "--beta", "--seed"))
@journey("sample", *("--format", "--jpeg-quality", "--overwrite", "--backend", "--mark", "--no-mark"))
def test_pictures_are_drawn(run: Run) -> None:
    """Mixes of so many photos, or of all within the dilation; each again by its seed, in all backends."""
    mixed = document(run("--json", "sample", "ada", "-n", 3, "--anchors", 2, "--seed", 7, "-o", "two"))
    for result in mixed["results"]:
        rows = np.array(result["alpha"])
        assert (rows != 0).sum() == 2
        assert rows.sum() == pytest.approx(1)
    wide = ("--sampler", "uniform", "--beta", 0.5, "--grid", "grid.png", "-o", "wide", "--format", "jpg")
    drawn = document(run("--json", "sample", "ada", "--count", 4, "--seed", 7, *wide, "--jpeg-quality", 5))
    rows = np.array([result["alpha"] for result in drawn["results"]])
    np.testing.assert_allclose(rows.sum(1), 1)
    assert -0.5 <= rows.min() < 0
    assert files(Path("wide")) == {f"ada.sample-{seed}.jpg" for seed in (7, 8, 9, 10)}
    assert {Image.open(path).format for path in Path("wide").iterdir()} == {"JPEG"}
    assert min(pixels("grid.png").shape[:2]) >= 2 * 32
    small = Path("wide/ada.sample-7.jpg").stat().st_size
    fine = ("--sampler", "uniform", "--beta", 0.5, "-o", "wide", "--format", "jpg", "--jpeg-quality", 100)
    assert run("sample", "ada", "--seed", 7, *fine).exit_code == 2
    assert run("sample", "ada", "--seed", 7, *fine, "--overwrite").exit_code == 0
    assert Path("wide/ada.sample-7.jpg").stat().st_size > small
    one = ("sample", "ada", "--seed", 8, "--anchors", 2)
    for name, options in (("torch", ("--no-mark",)), ("onnx", ("--mark", "visible"))):
        assert run(*one, "--backend", name, "-o", f"{name}.png", *options).exit_code == 0
    again = pixels("two/ada.sample-8.png").astype(int)
    assert np.abs(pixels("torch.png") - again).max() <= 2
    assert np.abs(pixels("onnx.png") - again)[:20].max() <= 2
    assert pixels("onnx.png")[-1].min() < 10
    assert b"mystyle" not in Path("torch.png").read_bytes()
    assert b"mystyle" in Path("onnx.png").read_bytes()


@journey("verify", *("--profile", "--photo", "--mask", "--code", "--backend"))
@journey("inspect")
def test_results_are_what_they_say(run: Run, crops: None) -> None:
    """A result is drawn again from what is kept of it; one pixel that was changed is found out."""
    assert run("sample", "ada", "--seed", 3, "-o", "drawn.png").exit_code == 0
    words = ("inpaint", "ada", "in/a.png", "--mask", "masks/a.png", *SHORT, "-o", "filled.png")
    assert run(*words, "--save-codes", "codes").exit_code == 0
    assert run("profile", "rename", "ada", "eva").exit_code == 0
    for backend in ("torch", "onnx"):
        done = run("verify", "drawn.png", "--profile", "eva", "--backend", backend)
        assert done.exit_code == 0, done.stderr
    given = ("--photo", "in/a.png", "--mask", "masks/a.png", "--code", "codes/a.safetensors")
    assert run("verify", "filled.png", "--profile", "eva", *given).exit_code == 0
    for name, words in (("drawn", ()), ("filled", given)):
        with Image.open(f"{name}.png") as image:
            image.putpixel((15, 15), tuple(255 - value for value in image.getpixel((15, 15))))
            notes = PngInfo()
            for key, value in image.info.items():
                if isinstance(value, str):
                    notes.add_itxt(key, value)
            image.save(f"{name}.png", pnginfo=notes)
        assert run("verify", f"{name}.png", "--profile", "eva", *words).exit_code == 1
    [said] = document(run("--json", "inspect", "drawn.png"))["results"]
    assert (said["mystyle"]["seed"], said["mystyle"]["profile"]) == (3, "ada")


# profiles


@journey("profile export", "--without-photos", "--overwrite")
@journey("profile import", "--prior")
@journey("profile verify")
@journey("profile path")
def test_a_person_moves(run: Run, tmp_path: Path, tiny_prior: Path) -> None:
    """Into one file and out of it, with the photos or without; what was learned stays to the byte."""
    assert run("profile", "export", "ada", "all.mystyle").exit_code == 0
    assert run("profile", "export", "ada", "bare.mystyle", "--without-photos").exit_code == 0
    inner = {name: set(zipfile.ZipFile(f"{name}.mystyle").namelist()) for name in ("all", "bare")}
    assert any("faces/" in name for name in inner["all"])
    assert not any("faces/" in name for name in inner["bare"])
    with zipfile.ZipFile("bare.mystyle") as bare:
        everything = b"".join(bare.read(name) for name in bare.namelist())
    names = [one["file"] for one in photos(tmp_path / "store/ada")]
    assert not [name for name in names if f'"{name}"'.encode() in everything]
    assert run("profile", "export", "ada", "bare.mystyle").exit_code == 2
    assert run("profile", "export", "ada", "bare.mystyle", "--overwrite").exit_code == 0
    assert set(zipfile.ZipFile("bare.mystyle").namelist()) == inner["all"]
    other = shutil.copytree(tiny_prior, "prior")
    done = run("profile", "import", "all.mystyle", "eva", "--prior", other)
    assert done.exit_code == 0, done.stderr
    folder = Path(run("profile", "path", "eva").stdout.strip())
    assert folder == tmp_path / "store/eva"
    for name in ("generator.safetensors", "anchors.safetensors"):
        assert (folder / name).read_bytes() == (tmp_path / "store/ada" / name).read_bytes()
    assert toml(folder)["prior"]["location"] == str(Path(other).absolute())
    assert run("profile", "verify", "ada", "eva").exit_code == 0


@journey("profile consent", "--until")
@journey("profile delete", "--yes")
@journey("profile list")
@journey("profile show")
@journey("profile rename")
@journey(EVERYWHERE, "--json")
def test_a_person_is_kept_and_goes(run: Run, tmp_path: Path) -> None:
    """What is noted stands in the profile; a new name is another folder; and after --yes nothing is left."""
    assert run("profile", "consent", "ada", "by phone", "--until", "2999-01-01").exit_code == 0
    said = toml(tmp_path / "store/ada")
    assert (said["consent"], said["consent_until"]) == ("by phone", "2999-01-01")
    assert "by phone" in run("profile", "show", "ada").stdout
    assert run("profile", "rename", "ada", "eva").exit_code == 0
    assert "eva" in run("profile", "list").stdout
    assert json.loads(run("profile", "list", "--json").stdout)["profiles"][0]["name"] == "eva"
    assert run("profile", "delete", "eva").exit_code == 2
    assert (tmp_path / "store/eva").is_dir()
    assert run("profile", "delete", "eva", "--yes").exit_code == 0
    assert not [path for path in (tmp_path / "store").iterdir() if not path.name.startswith(".")]


@journey("export", "--output")
@journey("doctor")
@journey("licences")
@journey("completion")
def test_nets_leave_and_the_machine_is_looked_at(run: Run, tmp_path: Path) -> None:
    """An exported net draws what torch draws, for whoever reads it with onnxruntime alone."""
    import onnxruntime

    before = digests(tmp_path / "store")
    assert run("export", "ada", "-o", "nets").exit_code == 0
    assert digests(tmp_path / "store") == before
    session = onnxruntime.InferenceSession("nets/synthesis.onnx", providers=["CPUExecutionProvider"])
    profile = Store(tmp_path / "store").open("ada")
    anchors = load_file("nets/anchors.safetensors")["anchors"]
    rows = np.full((1, profile.manifest.prior.num_ws, len(anchors)), 1 / len(anchors), np.float32)
    feeds = dict(zip((one.name for one in session.get_inputs()), (rows, anchors), strict=True))
    with torch.no_grad():
        codes = torch.from_numpy(rows @ anchors)
        want = profile.generator().synthesis(codes).numpy()
    np.testing.assert_allclose(session.run(None, feeds)[0], want, atol=1e-3)
    assert document(run("--json", "doctor"))["problems"] == 0
    assert "ffhq" not in run("licences").stdout
    assert "complete" in run("completion", "bash").stdout
