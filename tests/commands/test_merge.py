"""Several people in one profile, by the command line: each photo is worked on in its own person's hull."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from click.testing import CliRunner
from PIL import Image
from safetensors.numpy import load_file

import mystyle_cli
from mystyle_cli.cli import cli
from mystyle_cli.files.parsing import toml_of
from mystyle_cli.learn.learn import merge
from mystyle_cli.learn.merging import _stacked
from mystyle_cli.person.migrations import NewerFormatError, migrate
from mystyle_cli.store.store import Store
from tests.support.albums import QUICK
from tests.support.journeys import Run, document, journey
from tests.support.tiny_store import looking_like, make_store

PEOPLE = {"ada": looking_like(0), "ben": looking_like(1)}
STRANGER = looking_like(2)
STEPS = "--aligned --steps 2"
TUNING = ("--passes", "1", "--no-instant", "--no-export")


@pytest.fixture(scope="module")
def family(tiny_prior: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two people, and one profile of both, made once."""
    root = tmp_path_factory.mktemp("family")
    for number, (name, draw) in enumerate(PEOPLE.items()):
        make_store(root, tiny_prior, name, draw, number)
    merge(Store(root), "duo", ["ada", "ben"], QUICK)
    return root


@pytest.fixture
def run(family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the program on a copy of that store, in a folder with a new photo of each person."""
    shutil.copytree(family, tmp_path / "store")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for name, draw in (*PEOPLE.items(), ("stranger", STRANGER)):
        Image.fromarray(draw(50, 32)).save(f"{name}.png")

    def invoke(*words: object, **settings: object):  # type: ignore[no-untyped-def]
        return CliRunner().invoke(cli, ["--store", str(tmp_path / "store"), *map(str, words)], **settings)

    return invoke


def content(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_two_profiles_become_one_and_stay(run: Run, tmp_path: Path) -> None:
    """It holds the photos and anchors of both, each with whose it is; the members are as they were."""
    store = tmp_path / "store"
    before = {name: content(store / name) for name in PEOPLE}
    made = document(run("--json", "profile", "merge", "two", "ada", "ben", *TUNING))
    assert made["stages_worked"] == ["curate", "anchors", "tune", "measure"]
    assert made["counts"] == {"photos": 18, "kept": 16, "refused": 2, "train": 12, "held_out": 4}
    assert {name: content(store / name) for name in PEOPLE} == before
    rows = [json.loads(line) for line in (store / "two/photos.jsonl").read_text().splitlines()]
    assert [row["person"] for row in rows] == ["ada"] * 9 + ["ben"] * 9
    for name in PEOPLE:
        theirs = [json.loads(line) for line in before[name]["photos.jsonl"].decode().splitlines()]
        ours = [row for row in rows if row["person"] == name]
        assert [row["sha256"] for row in ours] == [row["sha256"] for row in theirs]
        for mine, old in zip(ours, theirs, strict=True):
            if old["face"]:
                assert (store / "two" / mine["face"]).read_bytes() == before[name][old["face"]]
    anchors = [load_file(store / name / "anchors.safetensors")["anchors"] for name in ("ada", "ben", "two")]
    np.testing.assert_array_equal(np.concatenate(anchors[:2]), anchors[2])
    assert run("profile", "verify").exit_code == 0
    assert "ada, ben" in run("profile", "list").stdout
    shown = document(run("--json", "profile", "show", "two"))
    assert shown["people"] == ["ada", "ben"]
    assert [one["person"] for one in shown["identities"]] == ["ada", "ben"]
    assert document(run("--json", "profile", "merge", "two", "ada", "ben", *TUNING))["stages_worked"] == []


def test_contact_sheets_lie_below_each_other() -> None:
    """What is beside a narrower one is as light as the paper of a sheet."""
    wide, narrow = (np.full((5, width, 3), 90, np.uint8) for width in (9, 4))
    sheet = _stacked([wide, narrow])
    assert sheet.shape == (10, 9, 3)
    np.testing.assert_array_equal(sheet[:5], wide)
    np.testing.assert_array_equal(sheet[5:, :4], narrow)
    assert sheet[5:, 4:].min() >= 248


def test_photos_are_of_whom_they_show(run: Run, tmp_path: Path) -> None:
    """Of two photos at once each is found in its own person's hull, as a mixture of their anchors."""
    words = f"invert duo ada.png ben.png {STEPS} --beta 0.1 --save-codes codes --keep-code -o out"
    done = document(run("--json", *words.split()))
    assert [result["person"] for result in done["results"]] == ["ada", "ben"]
    for name in PEOPLE:
        code = load_file(f"codes/{name}.safetensors")["alpha_plus"]
        anchors = load_file(tmp_path / "store" / name / "anchors.safetensors")["anchors"].astype(np.float64)
        assert code.shape == (8, len(anchors))
        np.testing.assert_allclose(code.sum(axis=1), 1, atol=1e-6)
        assert code.min() >= -0.1 - 1e-6
        said = document(run("--json", "inspect", f"out/{name}.png"))["results"][0]["mystyle"]
        assert said["person"] == name
        assert run("verify", f"out/{name}.png", "--photo", f"{name}.png").exit_code == 0
    # what was drawn is drawn from that hull: the code over the person's own anchors, by the shared generator
    person = mystyle_cli.open_profile("duo", tmp_path / "store")
    for name, other in (("ada", "ben"), ("ben", "ada")):
        found = person.invert(f"{name}.png", beta=0.1, steps=2, aligned=True)
        assert found.person == name
        assert found.w_plus is not None
        for whose, near in ((name, True), (other, False)):
            anchors = load_file(tmp_path / "store" / whose / "anchors.safetensors")["anchors"]
            rows = np.hstack([anchors, np.ones((len(anchors), 1))]).astype(np.float64)  # sum 1 among them
            wanted = np.hstack([found.w_plus, np.ones((len(found.w_plus), 1))]).astype(np.float64)
            left = wanted - np.linalg.lstsq(rows.T, wanted.T, rcond=None)[0].T @ rows
            assert (np.abs(left).max() < 1e-4) == near


@pytest.mark.parametrize("words", ["upscale", "inpaint --mask hole.png", "edit -d smile -s 1"])
def test_every_command_tells_whom(run: Run, words: str) -> None:
    """The line, the JSON and the result say who of them it is."""
    hole = np.zeros((32, 32), np.uint8)
    hole[10:16, 8:24] = 255
    Image.fromarray(hole).save("hole.png")
    command, *rest = words.split()
    if command == "upscale":
        Image.open("ben.png").resize((20, 20), Image.Resampling.BOX).save("ben.png")
    done = run("--json", command, "duo", "ben.png", *rest, *STEPS.split(), "-o", "out.png")
    assert document(done)["results"][0]["person"] == "ben"
    assert "ben.png: ben, " in done.stderr
    assert document(run("--json", "inspect", "out.png"))["results"][0]["mystyle"]["person"] == "ben"


@pytest.mark.parametrize("quality", ["instant", "fast"])
def test_one_net_answers_for_each(run: Run, quality: str) -> None:
    """The net of both gives a code in the hull of the one that a photo shows."""
    small = {}
    for name in PEOPLE:
        Image.open(f"{name}.png").resize((16, 16), Image.Resampling.BOX).save(f"{name}-small.png")
        words = (
            f"upscale duo {name}-small.png --aligned --quality {quality} --save-codes codes -o {name}.out.png"
        )
        done = document(run("--json", *words.split()))
        assert done["results"][0]["person"] == name
        small[name] = load_file(f"codes/{name}-small.safetensors")["alpha_plus"]
        assert small[name].shape == (8, 6)
        np.testing.assert_allclose(small[name].sum(axis=1), 1, atol=1e-6)
        assert small[name].min() >= -done["results"][0]["beta"] - 1e-6
    assert np.abs(small["ada"] - small["ben"]).max() > 1e-3


def test_a_stranger_is_refused(run: Run) -> None:
    """By both gates, in one line; forced, the more similar one is taken."""
    refused = run("invert", "duo", "stranger.png", *STEPS.split(), "-o", "out.png")
    assert refused.exit_code == 4
    assert "this is not ada" in refused.stderr
    assert "this is not ben" in refused.stderr
    forced = run("--json", "invert", "duo", "stranger.png", *STEPS.split(), "-o", "out.png", "--force")
    [result] = document(forced)["results"]
    scores = {}
    for name in PEOPLE:
        alone = run(
            "--json", "invert", name, "stranger.png", *STEPS.split(), "--force", "-o", f"{name}.out.png"
        )
        scores[name] = document(alone)["results"][0]["input_id"]
    assert result["person"] == max(scores, key=lambda name: scores[name])
    assert result["input_id"] == pytest.approx(max(scores.values()), abs=1e-5)


def be_lenient(folder: Path) -> None:
    """Let every face pass for each of the people of a profile."""
    path = folder / "profile.toml"
    manifest = toml_of(path.read_bytes())
    for identity in manifest["members"].values():
        identity["threshold"] = -1.0
    path.write_text(tomli_w.dumps(manifest))


def test_doubt_is_said(run: Run, tmp_path: Path) -> None:
    """Where a face passes for both, the more similar one is taken, and a warning names the other."""
    be_lenient(tmp_path / "store" / "duo")
    done = document(run("--json", "invert", "duo", "ben.png", *STEPS.split(), "-o", "out.png"))
    [result] = done["results"]
    assert result["person"] == "ben"
    [warning] = result["warnings"]
    assert warning.startswith("this is ben or ada: as ben ID 0.9")


def test_behind_a_hole_it_is_who_is_nearer_by_photos_with_the_same_hole(run: Run, tmp_path: Path) -> None:
    """Where the face passes for both; and the other is named."""
    be_lenient(tmp_path / "store" / "duo")
    hole = np.zeros((32, 32), np.uint8)
    hole[10:18, 6:26] = 255
    Image.fromarray(hole).save("hole.png")
    for name, other in (("ada", "ben"), ("ben", "ada")):
        words = f"inpaint duo {name}.png --mask hole.png {STEPS} -o {name}.out.png".split()
        [result] = document(run("--json", *words))["results"]
        assert result["person"] == name
        assert f"this is {name} or {other}" in result["warnings"][0]


def test_a_hole_leaves_no_guess_between_two(run: Run, tmp_path: Path) -> None:
    """Where what is left of a face could be either's, it has to be said whose it is; nothing is written."""
    be_lenient(tmp_path / "store" / "duo")
    Image.fromarray(np.full((32, 32), 255, np.uint8)).save("hole.png")  # nothing of the face is left
    words = f"inpaint duo ada.png --mask hole.png {STEPS} -o out.png".split()
    done = run(*words)
    assert done.exit_code == 4
    assert "ada or ben" in done.stderr
    assert "--person ada" in done.stderr
    assert not Path("out.png").exists()
    assert document(run("--json", *words, "--person", "ben"))["results"][0]["person"] == "ben"


@journey("upscale", "--person")
@journey("inpaint", "--person")
@journey("restore", "--person")
@journey("edit", "--person")
def test_whoever_is_named_is_worked_on(run: Run) -> None:
    """In their hull, whomever the photo shows."""
    Image.open("ada.png").resize((16, 16), Image.Resampling.BOX).save("small.png")
    Image.fromarray(np.eye(32, dtype=np.uint8) * 255).save("hole.png")
    for words in (
        "upscale duo small.png",
        "inpaint duo ada.png --mask hole.png",
        "restore duo ada.png",
        "edit duo ada.png -d smile -s 1",
    ):
        told = f"{words} {STEPS} --person ben --force -o out.png --overwrite"
        done = document(run("--json", *told.split()))
        assert done["results"][0]["person"] == "ben"


@journey("profile merge", "--passes", "--batch", "--learning-rate", "--precision", "--seed", "--whole")
@journey("profile merge", "--no-export", "--no-instant", "--no-tune", "--replace")
def test_a_merge_is_tuned_as_it_is_told(run: Run, tmp_path: Path) -> None:
    """First not at all; then anew, as every option says, which the profile notes."""
    folder = tmp_path / "store" / "two"
    assert run("profile", "merge", "two", "ada", "ben", "--no-tune").exit_code == 0
    assert not (folder / "generator.safetensors").exists()
    told = "--passes 2 --batch 3 --learning-rate 0.001 --precision float32 --seed 3 --whole"
    words = ("profile", "merge", "two", "ben", "ada", *told.split(), "--no-export", "--no-instant")
    assert run(*words).exit_code != 0  # other people, and nobody said to replace
    assert run(*words, "--replace").exit_code == 0
    noted = toml_of((folder / "profile.toml").read_bytes())
    tuned = noted["stages"]["tune"]
    assert (tuned["passes"], tuned["batch"], tuned["learning_rate"]) == (2, 3, 0.001)
    assert (tuned["precision"], tuned["seed"], tuned["whole"]) == ("float32", 3, True)
    assert list(noted["members"]) == ["ben", "ada"]
    assert not list(folder.glob("onnx/*"))


@journey("invert", "--person")
@journey("sample", "--person")
def test_a_person_can_be_named(run: Run) -> None:
    """--person works in their hull and no other; samples need it, and who is not in it is refused."""
    forced = run(
        "--json", "invert", "duo", "ada.png", *STEPS.split(), "-o", "b.png", "--person", "ben", "--force"
    )
    assert document(forced)["results"][0]["person"] == "ben"
    refused = run("invert", "duo", "ada.png", *STEPS.split(), "-o", "out.png", "--person", "ben")
    assert refused.exit_code == 4
    assert "this is not ben" in refused.stderr
    for words in (
        "sample duo -o s.png",
        "sample duo --person eva -o s.png",
        "sample ada --person ada -o s.png",
    ):
        done = run(*words.split(), "--seed", "1")
        assert done.exit_code == 2, done.stderr
        assert not Path("s.png").exists()
    assert "--person ada" in run("sample", "duo", "-o", "s.png").stderr
    drawn = document(run("--json", "sample", "duo", "--person", "ben", "--seed", 1, "-o", "s.png"))
    assert drawn["person"] == "ben"
    assert len(drawn["results"][0]["alpha"]) == 6
    assert run("verify", "s.png").exit_code == 0
    other = document(run("--json", "sample", "duo", "--person", "ada", "--seed", 1, "-o", "a.png"))
    assert np.abs(np.asarray(Image.open("a.png")).astype(int) - np.asarray(Image.open("s.png"))).max() > 2
    assert other["results"][0]["alpha"] == drawn["results"][0]["alpha"]  # the same mixture, of other photos


def test_saved_codes_are_edited_as_whose_they_are(run: Run) -> None:
    """`edit --codes` goes on in the hull that the code was found in."""
    run(*f"invert duo ben.png {STEPS} --save-codes codes -o x.png".split())
    for output in ("out.png --keep-code", "refined.png --refine"):
        words = f"edit duo ben.png --codes codes -d smile -s 1 -o {output}"
        done = document(run("--json", *words.split()))
        assert done["results"][0]["person"] == "ben"
    assert run("verify", "out.png", "--photo", "ben.png").exit_code == 0


def test_what_cannot_be_merged_is_refused(run: Run, tmp_path: Path, tiny_prior: Path) -> None:
    """With a word each, and nothing is left behind."""
    store = tmp_path / "store"
    other = shutil.copytree(tiny_prior, tmp_path / "other")
    manifest = other / "prior.toml"
    manifest.write_text(manifest.read_text().replace('name = "tiny-32"', 'name = "other"'))
    make_store(store, other, "eva")
    make_store(store, tiny_prior, "zoe", looking_like(4))
    names = sorted(path.name for path in store.iterdir() if not path.name.startswith("."))
    for words, code, said in (
        ("new ada", 2, "two profiles"),
        ("new ada ada", 2, "each once"),
        ("ADA ada ben", 2, "into itself"),
        ("new ada nobody", 5, "nobody"),
        ("new duo ada", 5, "holds several people itself"),
        ("new ada eva", 5, "two priors"),
        ("duo ada zoe", 5, "--replace"),
        ("zoe ada ben", 5, "--replace"),
    ):
        done = run("profile", "merge", *words.split(), *TUNING)
        assert done.exit_code == code, (words, done.stderr)
        assert said in done.stderr, (words, done.stderr)
    assert sorted(path.name for path in store.iterdir() if not path.name.startswith(".")) == names
    for words in ("evaluate duo", "profile advise duo", "study make duo -o study"):
        refused = run(*words.split())
        assert refused.exit_code == 2
        assert "several people" in refused.stderr
    added = run("ingest", "duo", "ada.png", *TUNING)
    assert added.exit_code == 5
    assert "mystyle profile merge duo ada ben" in added.stderr


@pytest.mark.parametrize("name", ["x; touch pwned #", "../ada", "", "a\u202eb"])
def test_nobody_s_name_is_a_command(run: Run, tmp_path: Path, name: str) -> None:
    """What a profile's file says of its people must be a profile's name, for commands to copy repeat it."""
    path = tmp_path / "store" / "duo" / "profile.toml"
    noted = toml_of(path.read_bytes())
    noted["members"][name] = noted["members"].pop("ada")
    path.write_text(tomli_w.dumps(noted))
    done = run("profile", "verify", "duo")
    assert done.exit_code == 5
    assert "touch pwned" not in done.stderr.partition("mystyle profile")[2]
    assert (
        "not a profile's name" in done.stderr + done.stdout or "cannot be shown" in done.stderr + done.stdout
    )


def test_consent_is_that_of_all(run: Run) -> None:
    """Notes are taken over, and the day on which the first of them ends; one that has ended is refused."""
    run("profile", "consent", "ada", "Ada, by letter", "--until", "2098-01-01")
    run("profile", "consent", "ben", "Ben, by word", "--until", "2097-01-01")
    assert run("profile", "merge", "duo", "ada", "ben", *TUNING).exit_code == 0
    shown = document(run("--json", "profile", "show", "duo"))
    assert shown["consent"] == "ada: Ada, by letter; ben: Ben, by word"
    assert shown["consent_until"] == "2097-01-01"


def test_tuning_keeps_the_people(run: Run, tiny_prior: Path) -> None:
    """`tune` tunes on all of them again; an archive takes them along, with photos or without."""
    assert document(run("--json", "tune", "duo", *TUNING))["stages_worked"][0] == "tune"
    assert document(run("--json", "profile", "show", "duo"))["people"] == ["ada", "ben"]
    for number, bare in enumerate(([], ["--without-photos"])):
        run("profile", "export", "duo", f"{number}.mystyle", *bare)
        words = "profile", "import", f"{number}.mystyle", f"copy-{number}", "--prior", tiny_prior
        assert run(*words).exit_code == 0
        done = run("--json", "invert", f"copy-{number}", "ben.png", *STEPS.split(), "-o", f"{number}.png")
        assert document(done)["results"][0]["person"] == "ben"
    assert run("profile", "rename", "duo", "both").exit_code == 0
    assert run("profile", "delete", "both", "--yes").exit_code == 0


def test_older_programs_do_not_take_it_for_one_person(run: Run, tmp_path: Path) -> None:
    """It is of a newer format, and a profile of one person is not."""
    written = {
        name: toml_of((tmp_path / f"store/{name}/profile.toml").read_bytes()) for name in ("ada", "duo")
    }
    assert migrate(written["ada"], Path("profile.toml"))["format"] == 2
    with pytest.raises(NewerFormatError):
        migrate(written["duo"], Path("profile.toml"))
    del written["duo"]["members"]
    (tmp_path / "store/duo/profile.toml").write_text(tomli_w.dumps(written["duo"]))
    assert run("sample", "duo", "-o", "s.png").exit_code == 5
