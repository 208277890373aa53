"""The commands on a tiny profile: what they print, write, record and refuse."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mystyle_cli.commands.edit import _listed
from mystyle_cli.commands.sample import SampleWork
from mystyle_cli.photos.marks import read_marks
from mystyle_cli.sample import samples
from tests.support.journeys import Run, document
from tests.support.tiny_store import HELD_OUT, TRAIN, picture


def test_list(run: Run) -> None:
    """`profile list` shows name, state and counts, as lines and as JSON."""
    line = run("profile", "list").stdout.splitlines()[1].split()
    assert line == ["ada", "ready", str(TRAIN), str(HELD_OUT), "tiny-32"]
    [entry] = document(run("--json", "profile", "list"))["profiles"]
    assert (entry["name"], entry["state"], entry["counts"]["refused"]) == ("ada", "ready", 1)


def test_show(run: Run) -> None:
    """`profile show` prints prior, consent, results and size."""
    done = run("profile", "show", "ada")
    assert done.exit_code == 0
    for text in ("tiny-32 (32 px)", "a test", "lpips 0.25", "MB"):
        assert text in done.stdout
    shown = document(run("profile", "show", "ada", "--json"))
    assert shown["tables"]["after"] == {"lpips": 0.25}
    folder = Path(shown["folder"])
    assert shown["sizes"]["generator"] == (folder / "generator.safetensors").stat().st_size
    assert shown["sizes"]["faces"] == sum(path.stat().st_size for path in (folder / "faces").iterdir())
    assert shown["bytes"] == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert f"(generator {shown['sizes']['generator'] / 1e6:.2f}, faces" in shown["size"]


def test_missing_profile_is_named_with_those_there_are(run: Run) -> None:
    """A name that is not there exits with 5 and says what is."""
    done = run("profile", "show", "bob")
    assert done.exit_code == 5
    assert "ada" in done.stderr


def test_path_rename_delete(run: Run, tmp_path: Path) -> None:
    """A profile can be found, renamed and, after saying so, removed."""
    assert run("profile", "path", "ada").stdout.strip() == str(tmp_path / "store/ada")
    assert run("profile", "rename", "ada", "eva").exit_code == 0
    assert run("profile", "path", "ada").exit_code == 5
    refused = run("profile", "delete", "eva")
    assert refused.exit_code == 2
    assert "--yes" in refused.stderr
    assert run("profile", "delete", "eva", "--yes").exit_code == 0
    assert document(run("--json", "profile", "list"))["profiles"] == []


def test_delete_again_clears_what_a_killed_one_left(run: Run, tmp_path: Path) -> None:
    """Killed at its very end a deletion leaves the name on the disk; the same command removes it."""
    assert run("profile", "delete", "ada", "--yes").exit_code == 0
    store = tmp_path / "store"
    (store / ".locks/ada.lock").write_text("")
    (store / ".new-ada").mkdir()
    (store / ".new-ada/.deleting").write_text("")
    done = run("profile", "delete", "ada", "--yes")
    assert (done.exit_code, "no profile 'ada'" in done.stderr) == (5, True)
    assert {path.name for path in store.rglob("*")} == {".locks", ".store.lock"}


def test_verify(run: Run, tmp_path: Path) -> None:
    """`profile verify` calls a whole profile sound, and names a file that was changed, with exit code 5."""
    sound = run("profile", "verify")
    assert sound.stdout == "ada: sound\n", sound.stderr
    (tmp_path / "store/ada/faces/0001.png").write_bytes(b"x")
    done = run("profile", "verify", "ada")
    assert done.exit_code == 5
    assert "0001.png" in done.stderr
    assert "mystyle profile create ada" in done.stderr


def test_a_missing_file_is_seen_at_once(run: Run, tmp_path: Path) -> None:
    """`list` and `show` say which file is missing and where to learn more; `verify` names what makes it."""
    (tmp_path / "store/ada/generator.safetensors").unlink()
    for done in (run("profile", "list"), run("profile", "show", "ada")):
        assert done.exit_code == 0
        assert "damaged" in done.stdout
        assert "missing: generator.safetensors" in done.output
        assert "mystyle profile verify ada" in done.stderr
    assert "mystyle tune ada" in run("profile", "verify", "ada").stderr


def test_a_missing_export_is_not_called_fresh(run: Run, tmp_path: Path) -> None:
    """`show` looks whether the exported nets are there."""
    assert run("export", "ada").exit_code == 0
    assert document(run("profile", "show", "ada", "--json"))["onnx_export"] == "fresh"
    (tmp_path / "store/ada/onnx/synthesis.onnx").unlink()
    shown = document(run("profile", "show", "ada", "--json"))
    assert (shown["state"], shown["onnx_export"]) == ("damaged", "missing")


def test_a_profile_of_a_newer_version_is_not_damaged(run: Run, tmp_path: Path) -> None:
    """`list`, `show` and `verify` say that it is newer and how to update, never to create it again."""
    path = tmp_path / "store/ada/profile.toml"
    path.write_text(path.read_text().replace("format = 2", "format = 3"))
    for words, code in ((["list"], 0), (["show", "ada"], 5), (["verify", "ada"], 5)):
        done = run("profile", *words)
        assert done.exit_code == code
        assert "newer" in done.output
        assert "Update mystyle" in done.stderr
        assert "damaged" not in done.output
        assert "create" not in done.output


def test_prior_commands(run: Run, tiny_prior: Path) -> None:
    """A prior's roles, terms and state are shown; a damaged file is named, with exit code 5."""
    shown = document(run("--json", "prior", "show", tiny_prior))
    assert shown["roles"]["encoder"]["licence"] == "Apache-2.0"
    assert "sound" in run("prior", "verify", tiny_prior).stdout
    copy = tiny_prior.parent / "copy"
    shutil.copytree(tiny_prior, copy, dirs_exist_ok=True)
    (copy / "matte.onnx").write_bytes(b"x")
    done = run("prior", "verify", copy)
    assert done.exit_code == 5
    assert "matte.onnx" in done.stderr
    assert run("prior", "show", "nobody").exit_code == 5


def test_sample_repeats_and_is_marked(run: Run) -> None:
    """A seed gives the same picture alone and in company, and each file tells how it was made."""
    assert run("sample", "ada", "-n", 3, "--seed", 7, "-o", "all").exit_code == 0
    assert run("sample", "ada", "--seed", 8, "-o", "one.png").exit_code == 0
    pixels = {path.name: np.asarray(Image.open(path)) for path in Path("all").iterdir()}
    assert sorted(pixels) == ["ada.sample-7.png", "ada.sample-8.png", "ada.sample-9.png"]
    np.testing.assert_array_equal(np.asarray(Image.open("one.png")), pixels["ada.sample-8.png"])
    marks = read_marks(Path("one.png"))
    assert marks is not None
    assert (marks.command, marks.profile, marks.prior, marks.seed) == ("sample", "ada", "tiny-32", 8)
    assert marks.digital_source_type == "trainedAlgorithmicMedia"


def test_samples_are_written_as_they_are_drawn(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are asked for, a few are kept in memory, and those before them are on the disk."""
    draw, seen = samples.sample_three_anchors, []

    def look(count: int, seeds: Sequence[int], k: int) -> Any:
        seen.append((len(list(Path("all").glob("*.png"))), len(seeds)))
        return draw(count, seeds, k)

    monkeypatch.setattr(samples, "BATCH", 2)
    monkeypatch.setattr(samples, "sample_three_anchors", look)
    assert run("sample", "ada", "-n", 5, "--seed", 7, "-o", "all").exit_code == 0
    assert seen == [(0, 2), (2, 2), (4, 1)]


def test_what_comes_to_a_sample_s_place_meanwhile_stays(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes a while, in which a file of the user's may have got the name."""
    monkeypatch.setattr(SampleWork, "lay_out", lambda work: Path("one.png").write_bytes(b"mine"))
    done = run("sample", "ada", "--seed", 8, "-o", "one.png")
    assert done.exit_code == 2
    assert "one.png is already there" in done.stderr
    assert Path("one.png").read_bytes() == b"mine"


def test_a_sample_goes_to_standard_output_alone(run: Run) -> None:
    """One picture goes there, with no line after it; what does not fit there is refused before any work."""
    done = run("sample", "ada", "--seed", 7, "-o", "-")
    assert done.exit_code == 0, done.stderr
    assert done.stdout_bytes.endswith(b"IEND\xaeB`\x82")
    assert "1 picture, ID" in done.stderr
    for words in (["-n", 2], ["--grid", "grid.png"], ["--json"]):
        refused = run("sample", "ada", "--seed", 7, "-o", "-", *words)
        assert refused.exit_code == 2
        assert "standard output" in refused.stderr
    assert not list(Path().iterdir())


def test_sample_grid_alone(run: Run) -> None:
    """With --grid and no -o one picture is written, of all samples; the drawn seed is printed."""
    done = run("sample", "ada", "-n", 4, "--grid", "grid.png")
    assert done.stdout == "grid.png\n"
    assert "seed " in done.stderr
    assert Image.open("grid.png").size == (66, 66)
    assert [path.name for path in Path().iterdir()] == ["grid.png"]


def test_sample_json_gives_coefficients_in_the_hull(run: Run) -> None:
    """The JSON of uniform samples holds coefficients of A_beta: sum 1, none below -beta."""
    found = document(
        run("--json", "sample", "ada", "-n", 2, "--sampler", "uniform", "--beta", 0.05, "-o", "s")
    )
    for result in found["results"]:
        alpha = np.array(result["alpha"])
        assert alpha.shape == (TRAIN,)
        assert alpha.sum() == pytest.approx(1)
        assert alpha.min() >= -0.05 - 1e-9
        assert Path(result["output"]).exists()


def test_sample_never_replaces_silently(run: Run) -> None:
    """A picture that is there stays, unless --overwrite says otherwise."""
    Path("one.png").write_bytes(b"precious")
    assert run("sample", "ada", "--seed", 1, "-o", "one.png").exit_code == 2
    assert Path("one.png").read_bytes() == b"precious"
    assert run("sample", "ada", "--seed", 1, "-o", "one.png", "--overwrite").exit_code == 0


def test_wrong_beta_and_unbounded_sampling_are_usage_errors(run: Run) -> None:
    """A dilation below 0, or none where there must be one, exits with 2 and names the value."""
    done = run("sample", "ada", "--beta", "-0.1")
    assert done.exit_code == 2
    assert "-0.1" in done.stderr
    assert run("sample", "ada", "--beta", "none").exit_code == 2


def test_absent_device_is_an_error(run: Run) -> None:
    """A device that was asked for and cannot be had is never replaced by another."""
    done = run("sample", "ada", "--device", "cuda:99")
    assert done.exit_code == 1
    assert "cuda:99" in done.stderr
    assert not list(Path().iterdir())


@pytest.fixture
def crops() -> Path:
    """Three aligned crops in a folder."""
    folder = Path("crops").absolute()
    folder.mkdir()
    for number in range(3):
        Image.fromarray(picture(number, 32)).save(folder / f"{number}.png")
    return folder


SHORT = ("--steps", 3, "--aligned")


def test_invert_a_folder(run: Run, crops: Path) -> None:
    """A folder of crops becomes a folder of results with figures for each, the code inside the dilation."""
    found = document(run("--json", "invert", "ada", crops, "-o", "out", "--beta", 0.04, *SHORT))
    assert [Path(result["output"]).name for result in found["results"]] == ["0.png", "1.png", "2.png"]
    for result in found["results"]:
        assert result["least_dilation"] <= 0.04 + 1e-6
        assert -1 <= result["id"] <= 1
        assert Image.open(result["output"]).size == (32, 32)
        marks = read_marks(Path(result["output"]))
        assert marks is not None
        assert (marks.command, marks.beta) == ("invert", 0.04)
        assert marks.digital_source_type == "compositeWithTrainedAlgorithmicMedia"


def test_without_a_hull_there_is_no_dilation(run: Run, crops: Path) -> None:
    """A code of w: neither the line nor the file speaks of a dilation, and JSON has none."""
    done = run("invert", "ada", crops / "0.png", "-o", "w.png", "--space", "w", *SHORT)
    assert done.exit_code == 0, done.stderr
    assert "dilation" not in done.stderr
    marks = read_marks(Path("w.png"))
    assert marks is not None
    assert marks.beta is None
    assert b"mystyle:beta" not in Path("w.png").read_bytes()
    [result] = document(run("--json", "invert", "ada", crops, "-o", "out", "--space", "w", *SHORT))[
        "results"
    ][:1]
    assert (result["beta"], result["least_dilation"]) == (None, None)


@pytest.mark.parametrize(
    "words",
    [
        ("--instant", "--quality", "full"),
        ("--instant", "--quality", "fast"),
        ("--overwrite", "--skip-existing"),
    ],
)
def test_options_that_contradict_each_other(run: Run, words: tuple[str, ...]) -> None:
    """Two options that cannot both be meant are refused by name."""
    Image.fromarray(picture(0, 8)).save("small.png")
    done = run("upscale", "ada", "small.png", "--aligned", *words)
    assert done.exit_code == 2
    assert "contradict" in done.stderr
    assert words[0] in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("sample", "ada", "-n", 3, "-o", "s.png"),
        ("upscale", "ada", "a.png", "b.png", "--aligned", "-o", "s.png"),
    ],
    ids=["sample", "upscale"],
)
def test_many_results_do_not_go_to_a_file(run: Run, words: tuple[str, ...]) -> None:
    """A folder is not made under a picture's name unless it is said to be one."""
    for name in "ab":
        Image.fromarray(picture(0, 8)).save(f"{name}.png")
    done = run(*words)
    assert done.exit_code == 2
    assert "s.png names a file" in done.stderr
    assert not Path("s.png").exists()


def test_no_seed_is_drawn_for_what_is_refused(run: Run) -> None:
    """A random start of an instant answer is refused without a word about its seed."""
    Image.fromarray(picture(0, 8)).save("small.png")
    done = run("upscale", "ada", "small.png", "--aligned", "--instant", "--start", "random")
    assert done.exit_code == 2
    assert "--start random" in done.stderr
    assert "seed" not in done.stderr


def test_inpaint_leaves_the_rest_alone(run: Run, crops: Path) -> None:
    """Outside the mask the result is the input, bit for bit; each photo has a mask of its name."""
    Path("masks").mkdir()
    for number in range(2):
        mask = np.zeros((32, 32), np.uint8)
        mask[8 : 16 + number, 10:20] = 255
        Image.fromarray(mask).save(f"masks/{number}.png")
    done = run("inpaint", "ada", crops, "--mask", "masks", "-o", "out", *SHORT)
    assert done.exit_code == 3  # the third has no mask
    assert "2.png" in done.stderr
    for number in range(2):
        before, after = (np.asarray(Image.open(f"{folder}/{number}.png")) for folder in (crops, "out"))
        hole = np.asarray(Image.open(f"masks/{number}.png")) > 0
        np.testing.assert_array_equal(after[~hole], before[~hole])
        assert (after[hole] != before[hole]).any()


def test_upscale_enlarges_to_the_prior(run: Run) -> None:
    """An aligned crop of 8 pixels becomes the prior's 32."""
    Image.fromarray(picture(0, 8)).save("small.png")
    done = run("upscale", "ada", "small.png", *SHORT)
    assert done.exit_code == 0, done.stderr
    assert done.stdout == "small.upscale.png\n"
    assert "4 times" in done.stderr
    assert Image.open("small.upscale.png").size == (32, 32)


def test_photo_without_a_face(run: Run) -> None:
    """A photo without a face exits with 4 and says what to do; nothing is written."""
    Image.new("RGB", (64, 64), "green").save("meadow.png")
    done = run("invert", "ada", "meadow.png")
    assert done.exit_code == 4
    assert "meadow.png" in done.stderr
    assert [path.name for path in Path().iterdir()] == ["meadow.png"]


def test_points_that_are_none(run: Run, crops: Path) -> None:
    """A file of face points that holds something else is named with what is expected."""
    Path("points.txt").write_text("1 2\n3 4\n")
    done = run("invert", "ada", crops / "0.png", "-o", "x.png", "--landmarks", "points.txt")
    assert done.exit_code == 2
    assert "68" in done.stderr


def test_create_needs_photos(run: Run) -> None:
    """A folder without photos is a usage error; no profile appears."""
    Path("empty").mkdir()
    assert run("profile", "create", "bob", "empty").exit_code == 2
    assert len(document(run("--json", "profile", "list"))["profiles"]) == 1


EDIT = ("--direction", "smile", "--aligned", "--steps", 3)


def test_edit_reports_what_was_reached(run: Run, crops: Path) -> None:
    """An edit far beyond the limit stops at it: its dilation is beta, its share the largest that fits."""
    found = document(
        run(
            "--json",
            "edit",
            "ada",
            crops / "0.png",
            "-o",
            "e.png",
            "--strength",
            99,
            "--at-limit",
            "stop",
            *EDIT,
        )
    )
    [edit] = found["results"][0]["edits"]
    assert edit["least_dilation"] == pytest.approx(0.02, abs=1e-6)
    assert edit["reached"]["smile"] == pytest.approx(edit["largest"]["smile"])
    assert 0 < edit["reached"]["smile"] < 99
    assert Image.open("e.png").size == (32, 32)


def test_no_strength_is_less_than_none() -> None:
    """Where nothing can be reached the other way, that is 0 and not -0."""
    assert _listed({"smile": -0.0, "yaw": -0.5}) == "smile 0, yaw -0.5"


def test_edit_sweep_is_a_strip(run: Run, crops: Path) -> None:
    """A sweep of five strengths is five faces side by side, and a line for each."""
    done = run("edit", "ada", crops / "0.png", "-o", "strip.png", "--sweep=-2:2:5", *EDIT)
    assert done.exit_code == 0, done.stderr
    assert Image.open("strip.png").size == (5 * 34 - 2, 32)
    assert done.stderr.count("largest within dilation 0.02") == 4  # none for strength 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--direction", "smile"), 2),
        (("--direction", "smile", "--strength", "1", "--strength", "2"), 2),
        (("--direction", "smile", "--sweep", "1:2"), 2),
        (("--direction", "smile", "--sweep", "1:2:1"), 2),
        (("--direction", "beard", "--strength", "1"), 5),
    ],
)
def test_edits_that_make_no_sense(run: Run, crops: Path, words: tuple[str, ...], code: int) -> None:
    """Strengths that do not fit the directions exit with 2, an unknown direction with 5."""
    done = run("edit", "ada", crops / "0.png", "-o", "x.png", "--aligned", *words)
    assert done.exit_code == code
    if code == 5:
        assert "smile, yaw" in done.stderr
