"""Photos of several people through the command line and Python: everybody by their own profile."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from click.testing import CliRunner
from PIL import Image

import mystyle_cli
from mystyle_cli.cli import cli
from mystyle_cli.errors import NotThisPersonError, UsageError
from mystyle_cli.files.parsing import toml_of
from mystyle_cli.find.region import Region
from mystyle_cli.group import engines, group
from mystyle_cli.learn.learn import merge
from mystyle_cli.photos.marks import read_marks
from mystyle_cli.restore.task import RestoreSettings
from mystyle_cli.store.store import Store
from mystyle_cli.work.everyone import _line
from tests.support.albums import QUICK
from tests.support.groups import in_squares
from tests.support.journeys import Run, document, journey
from tests.support.tiny_store import looking_like, make_store

SIDE = 24
LIMIT = 0.9
ADA, BEN, EVE, STRANGER = (looking_like(number) for number in range(4))
ROW = {(8, 40): ADA, (60, 40): STRANGER, (112, 40): BEN}
"""Three faces side by side, some way apart."""


@pytest.fixture(scope="module")
def stores(tiny_prior: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with ada, of one prior, and ben, of another with a tighter crop; made once."""
    root = tmp_path_factory.mktemp("stores")
    other = shutil.copytree(tiny_prior, root / "tight-32")
    text = (other / "prior.toml").read_text().replace('name = "tiny-32"', 'name = "tight-32"', 1)
    (other / "prior.toml").write_text(text + "\n[crop]\nscale = 0.8\ndown = 0.02\n")
    make_store(root / "store", tiny_prior, "ada", ADA, 1)
    make_store(root / "store", other, "ben", BEN, 2)
    for name in ("ada", "ben"):
        manifest = root / "store" / name / "profile.toml"
        manifest.write_text(manifest.read_text().replace("threshold = -1.0", f"threshold = {LIMIT}"))
    return root


Show = Callable[..., np.ndarray]


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> Show:
    """Write photos, on which the faces are found where they were drawn."""
    known: dict[bytes, Any] = {}

    def write(
        name: str, drawn: Any = ROW, size: tuple[int, int] = (100, 150), line: slice | None = None
    ) -> np.ndarray:
        pixels, places = in_squares(drawn, size, SIDE)
        if line is not None:
            pixels[line] = 255
        Image.fromarray(pixels).save(name)
        known[pixels.tobytes()] = places
        return pixels

    monkeypatch.setattr(group, "find_places", lambda pixels, tiny: known.get(pixels.tobytes(), []))
    return write


@pytest.fixture
def run(stores: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the program on a copy of that store, in an empty folder."""
    shutil.copytree(stores / "store", tmp_path / "store")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def invoke(*words: object, **settings: Any) -> Any:
        return CliRunner().invoke(cli, ["--store", str(tmp_path / "store"), *map(str, words)], **settings)

    return invoke


def changed(before: np.ndarray, after: np.ndarray, left: int, top: int = 40) -> float:
    """Return by how much a square of a photo changed, of 255."""
    part = (slice(top, top + SIDE), slice(left, left + SIDE))
    return float(np.abs(before[part].astype(int) - after[part]).max())


def picture(path: str) -> np.ndarray:
    """Return a picture's pixels."""
    return np.asarray(Image.open(path))


@journey("inpaint", "--who")
def test_everybody_is_worked_on_by_their_own_profile(
    run: Run, show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two people of two priors are filled, each by theirs; a stranger keeps every bit, and is told."""
    photo = show("row.png")
    hole = np.zeros(photo.shape[:2], np.uint8)
    hole[48:56, :] = 255
    Image.fromarray(hole).save("hole.png")
    shared: list[tuple[list[int], ...]] = []
    real = group.share

    def share(quad: Any, size: Any, own: Any, known: Any, others: Any) -> Any:
        shared.append(tuple([one.number for one in some] for some in ([own], known, others)))
        return real(quad, size, own, known, others)

    monkeypatch.setattr(group, "share", share)
    words = "inpaint --who all row.png --mask hole.png -o out.png --steps 2"
    ended = run("--json", *words.split())
    done = document(ended)
    (result,) = done["results"]
    assert [(face["face"], face["verdict"], face["profile"]) for face in result["faces"]] == [
        (1, "done", "ada"),
        (2, "unknown", None),
        (3, "done", "ben"),
    ]
    assert all(face["id"] > 0 for face in result["faces"] if face["profile"])
    assert done["profiles_left_out"] == []
    assert sorted(shared) == [([1], [3], [2]), ([3], [1], [2])]
    out = picture("out.png")
    assert changed(photo, out, 8) > 20
    assert changed(photo, out, 112) > 20
    assert changed(photo, out, 60) == 0
    assert np.array_equal(out[hole == 0], photo[hole == 0])
    marks = read_marks(Path("out.png"))
    assert marks is not None
    assert (marks.profile, marks.prior, marks.person) == ("ada, ben", "tiny-32, tight-32", "ada, ben")
    assert "face 2 at " in ended.stderr
    assert "nobody of the store, left as it is" in ended.stderr


def test_a_face_in_doubt_is_not_said_to_be_somebody() -> None:
    """Of a stranger who is a little like her the line does not begin with her name."""
    face = group.GroupFace(2, (0, 0, 9, 9), "unsure", "ada", note="perhaps ada ID 0.20 (sure from 0.49)")
    assert _line(face) == f"nobody for sure, left as it is ({face.note})"
    assert _line(replace(face, verdict="twice")).startswith("ada, left as it is")


@journey("upscale", "--who")
def test_everything_is_enlarged_alike(run: Run, show: Show) -> None:
    """A photo becomes as large as its smallest face needs; what is nobody's is enlarged by Lanczos alone."""
    photo = show("row.png")
    done = document(run("--json", *["upscale", "--who", "all", "row.png", "-o", "out.png", "--steps", "1"]))
    out = picture("out.png")
    factor = done["results"][0]["factor"]
    assert factor == pytest.approx(32 / (0.8 * SIDE))  # ben's, whose crop is the smaller
    assert out.shape == (round(100 * factor), round(150 * factor), 3)
    plain = np.asarray(Image.fromarray(photo).resize(out.shape[1::-1], Image.Resampling.LANCZOS))
    middle = (slice(round(48 * factor), round(56 * factor)), slice(round(64 * factor), round(80 * factor)))
    assert np.abs(plain[middle].astype(int) - out[middle]).max() <= 1


@journey("restore", "--who")
def test_damaged_photos_are_repaired_and_told(run: Run, show: Show) -> None:
    """Each known face with what its own photo suffered; a stranger's keeps every bit."""
    scratch = slice(20, 22)
    photo = show("row.png", line=scratch)
    hole = np.zeros(photo.shape[:2], np.uint8)
    hole[scratch] = 255
    Image.fromarray(hole).save("hole.png")
    words = (
        "restore --who all row.png -o out.png --steps 1 --blur 1 --noise 2 --jpeg 0 --scale 1 --grain none"
    )
    (result,) = document(run("--json", *words.split(), "--mask", "hole.png"))["results"]
    assert [face["verdict"] for face in result["faces"]] == ["done", "unknown", "done"]
    assert [face["damage"]["noise"] for face in result["faces"] if face["profile"]] == [2, 2]
    out = np.asarray(Image.open("out.png").resize((150, 100), Image.Resampling.BOX))
    assert changed(photo, out, 8) > 20
    assert np.abs(out[:30].astype(int) - 128).max() < 4  # filled once, though two faces are laid over it


@pytest.mark.parametrize(
    ("file", "verdict"),
    [
        ("generator.safetensors", "failed"),
        ("anchors.safetensors", "failed"),
        ("photos.jsonl", "unknown"),
        ("profile.toml", "unknown"),
    ],
)
def test_a_damaged_profile_is_told_and_the_others_go_on(
    run: Run, show: Show, tmp_path: Path, file: str, verdict: str
) -> None:
    """All photos are worked on without it; the exit code says that something was left out."""
    show("one.png")
    show("two.png", {(30, 40): ADA, (90, 40): BEN})
    path = tmp_path / "store/ben" / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    done = run("--json", *["upscale", "--who", "all", "one.png", "two.png", "-o", "out", "--steps", "1"])
    assert done.exit_code == 3, done.stderr
    said = json.loads(done.stdout)
    assert not said["ok"]
    assert [one["profile"] for one in said["profiles_left_out"]] == ["ben"]
    verdicts = [[face["verdict"] for face in result["faces"]] for result in said["results"]]
    assert verdicts == [["done", "unknown", verdict], ["done", verdict]]


def test_each_profile_is_opened_once_for_all_photos(
    run: Run, show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as memory has room; where it has none, one is open at a time, and the results are the same."""
    for number in range(3):
        show(f"{number}.png", {(8 + number, 40): ADA, (80, 40): BEN})
    opened: list[str] = []
    real = engines.open_engine
    monkeypatch.setattr(
        engines,
        "open_engine",
        lambda profile, settings: opened.append(profile.name) or real(profile, settings),
    )
    words = "upscale --who all 0.png 1.png 2.png --batch 1 --steps 1"
    for free, times, folder in ((1 << 60, 1, "roomy"), (0, 3, "short")):
        opened.clear()
        monkeypatch.setattr(engines, "free_memory", lambda free=free: free)
        count = iter(range(1, 99))
        monkeypatch.setattr(engines, "used_memory", lambda count=count: next(count))
        assert run(*words.split(), "-o", folder).exit_code == 0
        assert sorted(opened) == ["ada"] * times + ["ben"] * times
    for number in range(3):
        assert np.array_equal(picture(f"roomy/{number}.png"), picture(f"short/{number}.png"))


def test_of_a_face_seen_twice_only_the_nearer_is_taken(run: Run, show: Show) -> None:
    """The other may be a mirror's, but a sister's too; by force both are worked on."""
    near = lambda seed, size: ADA(0, size)  # noqa: E731  # one of their own photos
    photo = show("twice.png", {(8, 40): ADA, (80, 40): near})
    words = "upscale --who all twice.png --steps 1"
    faces = document(run("--json", *words.split(), "-o", "out.png"))["results"][0]["faces"]
    assert [(face["verdict"], face["person"]) for face in faces] == [("twice", "ada"), ("done", "ada")]
    assert "face 2 is nearer" in faces[0]["note"]
    faces = document(run("--json", *words.split(), "--force", "-o", "both.png"))["results"][0]["faces"]
    assert [face["verdict"] for face in faces] == ["done", "done"]
    plain = np.asarray(
        Image.fromarray(photo).resize(picture("out.png").shape[1::-1], Image.Resampling.LANCZOS)
    ).astype(int)
    factor = 32 / SIDE
    middle = (slice(round(46 * factor), round(58 * factor)), slice(round(14 * factor), round(26 * factor)))
    assert np.abs(plain[middle] - picture("out.png")[middle]).max() <= 1
    assert np.abs(plain[middle] - picture("both.png")[middle]).max() > 1


def test_of_two_who_are_both_like_a_face_the_nearer_is_taken(run: Run, show: Show, tmp_path: Path) -> None:
    """It is told; and a profile of several people counts for each of them, after who has one of their own."""
    store = tmp_path / "store"
    for name, limit in (("ada", LIMIT), ("ben", -1.0)):  # whose gate anybody passes
        manifest = store / name / "profile.toml"
        manifest.write_text(manifest.read_text().replace(f"threshold = {LIMIT}", f"threshold = {limit}"))
    show("one.png", {(30, 40): ADA})
    (result,) = document(
        run("--json", *["upscale", "--who", "all", "one.png", "--steps", "1", "-o", "out.png"])
    )["results"]
    (face,) = result["faces"]
    assert face["person"] in ("ada", "ben")
    assert "is nearer" in face["note"]
    assert any("may be" in warning for warning in result["warnings"])


def test_a_merged_profile_counts_for_each_of_its_people(
    tiny_prior: Path, show: Show, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody of it is worked on in their own hull, by the one generator, which is opened once."""
    monkeypatch.chdir(tmp_path)
    for number, (name, draw) in enumerate((("ada", ADA), ("ben", BEN))):
        make_store(tmp_path / "store", tiny_prior, name, draw, number)
    merge(Store(tmp_path / "store"), "duo", ["ada", "ben"], replace(QUICK, instant=None))
    for name in ("ada", "ben"):
        shutil.rmtree(tmp_path / "store" / name)
    manifest = tmp_path / "store/duo/profile.toml"
    said = toml_of(manifest.read_bytes())
    for one in said["members"].values():
        one["threshold"] = LIMIT
    manifest.write_text(tomli_w.dumps(said))
    show("row.png")
    people = mystyle_cli.open_people(tmp_path / "store")
    found = people.upscale("row.png", steps=2, beta=0.1)
    assert [(face.verdict, face.person) for face in found.faces] == [
        ("done", "ada"),
        ("unknown", ""),
        ("done", "ben"),
    ]
    for face in (found.faces[0], found.faces[2]):
        made = face.restoration
        assert made is not None
        assert made.alpha_plus is not None
        assert made.alpha_plus.shape[1] == 6  # the person's own photos, not all of the profile's
        assert face.profile is not None
        assert (face.profile.name, face.profile.person) == ("duo", face.person)
    people.upscale("row.png", steps=2, beta=0.1)
    assert people.left_out == {}


def test_python_says_what_the_command_says(
    stores: Path, show: Show, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A photo on which nobody is known raises; parts of faces are filled of known ones alone."""
    monkeypatch.chdir(tmp_path)
    people = mystyle_cli.open_people(stores / "store")
    photo = show("row.png")
    filled = people.inpaint("row.png", Region(("eyes",)), steps=1)
    assert [face.verdict for face in filled.faces] == ["done", "unknown", "done"]
    assert filled.pixels is not None
    assert filled.filled is not None
    assert [filled.filled[:, left : left + SIDE].any() for left in (8, 60, 112)] == [True, False, True]
    assert changed(photo, filled.pixels, 60) == 0
    assert changed(photo, filled.pixels, 8) > 0
    show("stranger.png", {(30, 40): STRANGER, (90, 40): EVE})
    with pytest.raises(NotThisPersonError, match="none of the 2 faces is anybody's"):
        people.upscale("stranger.png")
    with pytest.raises(UsageError, match="works on one person"):
        group.Group(people.profiles, "invert", RestoreSettings())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("restore --who all ada row.png", "'ada' is no photo"),
        ("restore --who all", "PHOTO"),
        ("restore --who ada row.png", "all"),
        ("restore row.png", "PHOTO"),
        ("restore --who all row.png --person ada", "--person"),
        ("restore --who all row.png --aligned", "--aligned"),
        ("restore --who all row.png --landmarks row.png", "--landmarks"),
        ("restore --who all row.png --save-codes codes", "--save-codes"),
        ("upscale --who all row.png --keep-code", "--keep-code"),
        ("upscale ada", "PHOTO"),
    ],
)
def test_what_makes_no_sense_is_refused(run: Run, show: Show, words: str, said: str) -> None:
    """In words that name it, before any work."""
    show("row.png")
    done = run(*words.split())
    assert done.exit_code == 2
    assert said in done.stderr
    assert [path.name for path in Path().iterdir()] == ["row.png"]


def test_a_profile_may_be_called_all(run: Run, show: Show) -> None:
    """It is no word of the program's where a name stands."""
    show("row.png")
    assert run("profile", "rename", "ada", "all").exit_code == 0
    document(run("--json", *["upscale", "--who", "all", "row.png", "-o", "out.png", "--steps", "1"]))
    done = run(*["invert", "all", "row.png", "--aligned", "--steps", "1"])
    assert "an aligned crop is square" in done.stderr  # of that profile, for it is no word


def test_found_scratches_are_filled_once_and_on_no_stranger(
    run: Run, show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that runs over three faces is each known face's own part; the stranger keeps theirs."""
    photo = show("row.png", {(8, 40): ADA, (32, 40): STRANGER, (56, 40): ADA, (104, 40): BEN})
    line = np.zeros(photo.shape[:2], np.uint8)
    line[52:54, :] = 255
    monkeypatch.setattr("mystyle_cli.restore.restore.scratches_of", lambda *given: line)
    words = "restore --who all row.png --steps 1 --blur 0 --noise 0 --jpeg 0 --scale 1 --grain none"
    (result,) = document(run("--json", *words.split(), "--force", "-o", "out.png"))["results"]
    assert [face["verdict"] for face in result["faces"]] == ["done", "unknown", "done", "done"]
    plain = np.asarray(
        Image.fromarray(photo).resize(picture("out.png").shape[1::-1], Image.Resampling.LANCZOS)
    )
    factor = result["factor"]
    stranger = (slice(round(46 * factor), round(58 * factor)), slice(round(39 * factor), round(49 * factor)))
    assert np.abs(plain[stranger].astype(int) - picture("out.png")[stranger]).max() <= 1
