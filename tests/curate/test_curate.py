"""Whole folders: every photo gets its verdict for the right reason."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from mystyle_cli.curate.curate import Known
from mystyle_cli.curate.records import Reason
from mystyle_cli.curate.settings import CurateSettings
from mystyle_cli.errors import NoFaceError
from mystyle_cli.faces.align import FFHQ, Crop
from mystyle_cli.progress import Step
from tests.support.curation import judge
from tests.support.portraits import DEMONSTRATION, clear, expected, planted, real

needs_portraits = pytest.mark.skipif(not real(), reason="the real portraits are not on this machine")


def reasons(paths: list[Path], **options: object) -> dict[str, Reason]:
    """Return file -> reason."""
    result = judge(paths, **options)  # type: ignore[arg-type]
    return {record.file: record.reason for record in result.records}


def test_files_without_faces(tmp_path: Path) -> None:
    """What is no picture, or shows no face, is refused for that; originals stay, progress is told."""
    (tmp_path / "letter.jpg").write_text("Dear all")
    (tmp_path / "empty.png").write_bytes(b"")
    Image.new("RGB", (90, 70), (40, 120, 200)).save(tmp_path / "sky.jpg")
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(buffer, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(buffer.getvalue()[:600])
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    steps: list[Step] = []
    found = reasons([*tmp_path.iterdir(), tmp_path / "gone.jpg"], progress=steps.append)
    assert found == {
        "cut.jpg": Reason.UNREADABLE,
        "empty.png": Reason.UNREADABLE,
        "gone.jpg": Reason.UNREADABLE,
        "letter.jpg": Reason.UNREADABLE,
        "sky.jpg": Reason.NO_FACE,
    }
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert [step.done for step in steps] == [1, 2, 3, 4, 5]


def test_nothing_to_curate() -> None:
    """No photos give no verdicts."""
    assert judge([]).records == ()


def test_reference_without_a_face(tmp_path: Path) -> None:
    """A reference that shows nobody is an error, which names it."""
    Image.new("RGB", (90, 70), (40, 120, 200)).save(tmp_path / "sky.png")
    with pytest.raises(NoFaceError, match=r"sky\.png"):
        judge([], Known(reference=tmp_path / "sky.png"))


def views(path: Path, folder: Path) -> None:
    """Write photos of one person as different photos of them would differ, from a single portrait."""
    picture = Image.open(path).convert("RGB")
    width, height = picture.size
    rng = np.random.default_rng(0)
    for number in range(6):
        skew = rng.uniform(-0.12, 0.12, 2)
        turned = picture.transform(
            picture.size,
            Image.Transform.AFFINE,
            (1 + skew[0], skew[1], -skew.sum() * width / 2, 0, 1 - skew[0], 0),
        )
        light = np.linspace(*rng.uniform(0.55, 1.3, 2), width)[None, :, None]
        pixels = np.clip(np.asarray(turned) * light, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).resize((2 * width, 2 * height)).save(folder / f"me {number}.jpg", quality=95)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with good photos of one person and one bad photo of every kind."""
    folder = tmp_path_factory.mktemp("photos")
    views(real()[4], folder)
    good = Image.open(folder / "me 0.jpg")
    good.convert("L").save(folder / "grey.jpg")
    good.filter(ImageFilter.GaussianBlur(8)).save(folder / "blurred.jpg")
    tiny = Image.new("RGB", (500, 600), (110, 120, 130))
    tiny.paste(good.resize((100, 122)), (200, 240))
    tiny.save(folder / "tiny.jpg")
    good.resize((280, 342)).save(folder / "copy.jpg", quality=60)
    shutil.copy(real()[14], folder / "other.jpg")
    stored = Image.open(folder / "me 1.jpg").rotate(90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    stored.save(folder / "me 1.jpg", exif=exif, quality=95)
    two = Image.new("RGB", (760, 430), (128, 128, 128))
    two.paste(Image.open(folder / "me 2.jpg"), (0, 0))
    two.paste(Image.open(real()[14]).resize((390, 430)), (360, 0))
    two.save(folder / "me 2.jpg", quality=95)
    return folder


@needs_portraits
def test_every_photo_for_its_reason(folder: Path) -> None:
    """Good photos are kept, turned by EXIF or beside a stranger; bad ones are refused for what is wrong."""
    result = judge(folder.iterdir(), settings=CurateSettings(held_out=0))
    found = {record.file: record.reason for record in result.records}
    assert {name: reason for name, reason in found.items() if reason is not Reason.KEPT} == {
        "grey.jpg": Reason.GREY,
        "blurred.jpg": Reason.LOW_QUALITY,
        "tiny.jpg": Reason.SMALL_FACE,
        "copy.jpg": Reason.DUPLICATE,
        "other.jpg": Reason.NOT_THIS_PERSON,
    }
    kept = [record for record in result.records if record.kept]
    assert set(result.faces) == {record.sha256 for record in kept}
    assert all(face.pixels.shape == (128, 128, 3) for face in result.faces.values())
    assert all(record.scores["sharpness"] > 0 and record.split == "train" for record in kept)


@needs_portraits
def test_order_of_paths_does_not_matter(folder: Path) -> None:
    """The records are the same, in the same order, whatever the order of the arguments."""
    paths = sorted(path for path in folder.iterdir() if path.name.startswith(("me", "copy")))[:5]
    assert judge(paths).records == judge(paths[::-1]).records


@needs_portraits
def test_reference_and_known_faces(folder: Path) -> None:
    """A reference chooses the rarer person; a profile's faces decide about new photos, not seen ones."""
    mine = sorted(folder.glob("me [345].jpg"))
    found = reasons([*mine, folder / "other.jpg"], known=Known(reference=real()[14]))
    assert found.pop("other.jpg") is Reason.KEPT
    assert set(found.values()) == {Reason.NOT_THIS_PERSON}
    first = judge(mine[:2])
    known = Known(first.records, {sha: face.pixels for sha, face in first.faces.items()})
    later = judge([mine[0], mine[2], folder / "other.jpg"], known)
    assert {record.file: record.reason for record in later.records} == {
        mine[2].name: Reason.KEPT,
        "other.jpg": Reason.NOT_THIS_PERSON,
    }


def test_verdicts_do_not_depend_on_the_crop() -> None:
    """A tight crop of the same photos gets the verdicts and the measurements of FFHQ's own."""
    wanted = expected("ada")
    refused = [name for name, verdict in wanted.items() if verdict != "kept"][:4]
    good = [name for name, verdict in wanted.items() if verdict == "kept"][:2]
    paths = [DEMONSTRATION / "ada" / name for name in (*good, *refused)]
    usual, tight = (judge(paths, crop=crop) for crop in (FFHQ, Crop(0.58, 0.054)))
    assert len({record.reason for record in usual.records}) > 3
    assert usual.records == tight.records
    sides = [{sha: face.side for sha, face in found.faces.items()} for found in (usual, tight)]
    assert sides[1] == pytest.approx({sha: 0.58 * side for sha, side in sides[0].items()})


def test_known_faces_are_recognised_in_their_crop() -> None:
    """A photo that is added later is as like a profile's reference set whatever crop that was cut to."""
    paths, found = [clear("ada", number) for number in range(6)], []
    for crop in (FFHQ, Crop(0.58, 0.054)):
        first = judge(paths[:5], crop=crop)
        known = Known(first.records, {sha: face.pixels for sha, face in first.faces.items()})
        (later,) = judge(paths[5:], known, crop=crop).records
        assert later.kept
        found.append(later.scores["identity"])
    assert found[1] == pytest.approx(found[0], abs=0.08)


@pytest.mark.slow
@pytest.mark.parametrize(("person", "good"), [("ada", slice(None)), ("marco", slice(1, None, 5))])
def test_demonstration(person: str, good: slice) -> None:
    """Each planted photo of the demonstration gets its verdict, and no good photo is refused.

    Of the good ones some do for the second person, those among them of which there are copies.
    """
    from mystyle_cli.prior.registry import open_prior

    others = [name for name in expected(person) if name not in planted(person)][good]
    wanted = planted(person) | dict.fromkeys(others, "kept")
    prior = open_prior("portraits-128")
    photos = [DEMONSTRATION / person / name for name in wanted]
    result = judge(photos, resolution=prior.resolution, crop=prior.crop, embed=prior.embed)
    assert {record.file: str(record.reason) for record in result.records} == wanted
    assert len(result.records) == len(wanted)
