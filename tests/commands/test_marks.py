"""What a result says of itself, read back; and whether a sample is what it says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mystyle_cli.photos.marks import read_marks
from tests.support.journeys import Run, document
from tests.support.tiny_store import picture


def sampled(run: Run, *words: object, name: str = "one.png") -> Path:
    """Draw a sample."""
    done = run("sample", "ada", "--seed", 7, "-o", name, *words)
    assert done.exit_code == 0, done.stderr
    return Path(name)


def test_a_result_tells_how_it_was_made(run: Run) -> None:
    """Each command's results say what they are, of whom, how, and how much they look like the person."""
    Image.fromarray(picture(0, 32)).save("crop.png")
    sampled(run)
    words = ("--aligned", "--steps", 1, "--beta", 0.04)
    assert run("invert", "ada", "crop.png", "-o", "two.jpg", *words).exit_code == 0
    done = run("edit", "ada", "crop.png", "-d", "yaw", "-s", 0.1, "-o", "three.webp", *words)
    assert done.exit_code == 0
    found = document(run("--json", "inspect", "one.png", "two.jpg", "three.webp"))["results"]
    kinds = [one["digital_source_type"] for one in found]
    assert kinds == ["trainedAlgorithmicMedia", *["compositeWithTrainedAlgorithmicMedia"] * 2]
    records = [one["mystyle"] for one in found]
    assert [record["command"] for record in records] == ["sample", "invert", "edit"]
    assert [record["beta"] for record in records] == [0.0, 0.04, 0.04]
    assert records[0]["seed"] == 7
    assert all(record["profile"] == "ada" and len(record["generator"]) == 64 for record in records)
    assert all(-1 <= record["id_score"] <= 1 for record in records)
    shown = run("inspect", "two.jpg").stdout
    for text in ("a photo that AI has worked on", "invert", "ada", "tiny-32", "0.04", "mystyle 0."):
        assert text in shown
    assert run("verify", "two.jpg").exit_code == 2  # without its photo


def test_pictures_of_others_say_nothing_of_mystyle(run: Run) -> None:
    """With other programs' metadata or none; what is no picture is named, and the rest is shown."""
    Image.fromarray(picture(0, 32)).save("plain.png")
    packet = (
        "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
        "<rdf:Description xmlns:e='http://iptc.org/std/Iptc4xmpExt/2008-02-29/' e:DigitalSourceType="
        "'http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture'/></rdf:RDF></x:xmpmeta>"
    )
    Image.fromarray(picture(0, 32)).save("camera.jpg", xmp=packet.encode())
    Path("text.png").write_text("none")
    done = run("inspect", "plain.png", "camera.jpg", "text.png")
    assert done.exit_code == 3
    assert done.stdout.count("says nothing of mystyle") == 2
    assert "digitalCapture" in done.stdout
    assert "text.png" in done.stderr
    assert run("verify", "plain.png").exit_code == 2


def test_what_stands_in_a_file_cannot_steer_the_terminal(run: Run) -> None:
    """Control characters in a record are shown as question marks."""
    path = sampled(run)
    Path("evil.png").write_bytes(path.read_bytes())
    with Image.open(path) as image:
        packet = image.info["XML:com.adobe.xmp"].replace("tiny-32", "&#x9b;31m&#x202e;")
    Image.fromarray(picture(0, 32)).save("evil.jpg", xmp=packet.encode())
    done = run("inspect", "evil.jpg")
    assert "?31m?" in done.stdout
    assert "\x9b" not in done.stdout


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
@pytest.mark.parametrize("words", [(), ("--sampler", "uniform", "--beta", 0.05), ("--mark", "visible")])
def test_a_sample_is_what_it_says(run: Run, words: tuple[object, ...], ending: str) -> None:
    """Drawn again by either backend it is the same picture; another picture with its words is found out."""
    path = sampled(run, *words, name=f"one.{ending}")
    for backend in ("auto", "torch"):
        done = run("--json", "verify", path, "--backend", backend)
        assert document(done)["lossless"] is (ending == "png")
    other = sampled(run, *words, "--overwrite", "--format", ending, name=f"other.{ending}")
    with Image.open(path) as image:
        changed, info = np.array(image), image.info
    changed[8:24, 4:20] = changed[8:24, 20:4:-1]  # a face turned round inside
    record = read_marks(other)
    assert record is not None
    from mystyle_cli.photos.encode import Beside, encode

    encode(changed, other, Beside(marks=record))
    refused = run("verify", other)
    assert refused.exit_code == 1, info
    assert "is not what it says" in refused.stdout


def test_a_sheet_is_drawn_again_too(run: Run) -> None:
    """The sheet names the first seed and how many follow."""
    assert run("sample", "ada", "-n", 3, "--seed", 7, "--grid", "sheet.png").exit_code == 0
    assert run("verify", "sheet.png").exit_code == 0
    assert "pictures" in run("inspect", "sheet.png").stdout


def test_another_generator_is_no_judge(run: Run, tmp_path: Path) -> None:
    """A profile that was tuned again says that it cannot tell; a renamed one is named by --profile."""
    path = sampled(run)
    assert run("profile", "rename", "ada", "eva").exit_code == 0
    assert run("verify", path).exit_code == 5
    assert run("verify", path, "--profile", "eva").exit_code == 0
    with Image.open(path) as image:
        packet = image.info["XML:com.adobe.xmp"]
    digest = re.search(r'mystyle:generator="(\w+)"', packet)
    assert digest is not None
    Image.fromarray(picture(0, 32)).save("old.jpg", xmp=packet.replace(digest[1], "0" * 64).encode())
    done = run("verify", "old.jpg", "--profile", "eva")
    assert done.exit_code == 2
    assert "another generator" in done.stderr


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('count="1"', 'count="999999999"'),
        ('seed="7"', 'seed="-7"'),
        ('anchors="3"', 'anchors="999999"'),
        ('sampler="anchors"', 'sampler="other"'),
        ('seed="7"', 'seed="seven"'),
        ('beta="0.0"', 'beta="nan"'),
        ('beta="0.0"', 'beta="inf"'),
    ],
)
def test_records_that_no_sample_has_are_refused(run: Run, old: str, new: str) -> None:
    """Nothing of a record is believed before it is looked at: no huge sheet is drawn, nothing breaks."""
    words = ("--sampler", "uniform") if "beta" in old else ()
    with Image.open(sampled(run, *words)) as image:
        packet = image.info["XML:com.adobe.xmp"]
    assert old in packet
    Image.fromarray(picture(0, 32)).save("evil.jpg", xmp=packet.replace(old, new).encode())
    assert run("inspect", "evil.jpg").exit_code == 0
    done = run("verify", "evil.jpg")
    assert done.exit_code == 2, done.output
    assert "fault" not in done.stderr


def test_marks_that_are_seen_and_none(run: Run) -> None:
    """--mark visible changes a corner and nothing else; --no-mark warns, and writes no record."""
    plain, seen = (
        np.asarray(Image.open(sampled(run, *words, name=name))).astype(int)
        for words, name in (((), "plain.png"), (("--mark", "visible"), "seen.png"))
    )
    rows, columns = np.nonzero(np.abs(plain - seen).sum(axis=2))
    assert rows.min() > 12
    assert columns.min() > 12
    corner = seen[rows.min() :, columns.min() :]
    assert corner.max() - corner.min() > 200  # light letters on dark
    done = run("sample", "ada", "--seed", 7, "-o", "bare.png", "--no-mark")
    assert "AI-made" in done.stderr
    assert read_marks(Path("bare.png")) is None
    Image.fromarray(picture(0, 32)).save("crop.png")
    done = run("invert", "ada", "crop.png", "-o", "bare.jpg", "--no-mark", "--aligned", "--steps", 1)
    assert "AI-made" in done.stderr
    assert read_marks(Path("bare.jpg")) is None
    assert b"mystyle" not in Path("bare.jpg").read_bytes()
    for words in (
        ["sample", "ada", "-o", "x.png"],
        ["invert", "ada", "crop.png", "-o", "x.png", "--aligned"],
    ):
        done = run(*words, "--no-mark", "--mark", "visible")
        assert done.exit_code == 2
        assert "contradict" in done.stderr
    assert not Path("x.png").exists()


def test_what_is_no_picture_is_refused_in_words(run: Run) -> None:
    """`inspect` of a file that is none names it and nothing of the program's insides."""
    Path("note.png").write_text("no picture")
    done = run("inspect", "note.png")
    assert done.exit_code != 0
    assert "note.png: is not a picture" in done.stderr
    assert " object at 0x" not in done.stderr
