"""`mystyle study`: a page for people, a key for its maker, and the answers counted."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from mystyle_cli.baselines.baseline import Baseline
from mystyle_cli.cli import cli
from mystyle_cli.errors import NoFaceError
from mystyle_cli.photos.marks import read_marks
from mystyle_cli.restore import restore as restoring
from mystyle_cli.store.store import Store
from tests.support.evaluations import measure_quickly
from tests.support.journeys import Run, document, journey
from tests.support.tiny_store import HELD_OUT, picture

MAKE = ("study", "make", "ada")
PAGE, KEY = Path("study/study.html"), Path("study/key.json")


@pytest.fixture(scope="module", autouse=True)
def _few_steps() -> Iterator[None]:
    """The domain prior's searches, which nothing here measures, are short."""
    with pytest.MonkeyPatch.context() as patch:
        measure_quickly(patch.setattr)
        yield


@pytest.fixture(scope="module")
def made(_few_steps: None, made_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one study, made once."""
    folder = tmp_path_factory.mktemp("made") / "study"
    done = CliRunner().invoke(cli, ["--store", str(made_store), *MAKE, "-o", str(folder)])
    assert done.exit_code == 0, done.stderr
    return folder


@pytest.fixture
def study(run: Run, made: Path) -> None:
    """A copy of it in the folder where the program runs."""
    shutil.copytree(made, "study")


def page_of(path: Path) -> dict[str, Any]:
    """Return what the page holds of its study."""
    [found] = re.findall(r"^const study = (.*);$", path.read_text(), flags=re.MULTILINE)
    return json.loads(found)


def pixels_of(source: str) -> np.ndarray:
    """Return a picture of the page."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))


def answer(page: Path, key: Path, choose: Any) -> str:
    """Return the file of somebody who chooses by what the pictures show."""
    shows = {name: one["shows"] for name, one in json.loads(key.read_text())["questions"].items()}
    study = page_of(page)
    chosen = {one["name"]: choose(one["kind"], shows[one["name"]]) for one in study["questions"]}
    return json.dumps({"mystyle": "study answers", "format": 1, "study": study["study"], "answers": chosen})


@journey("study make", "--output")
@journey("study score", "--key")
def test_a_study_from_page_to_shares(run: Run, tmp_path: Path) -> None:
    """Who sees all finds every photo and chooses ours; whoever guesses does not; each is one person."""
    made = document(run(*MAKE, "-o", "study", "--json"))
    page, key = Path(made["page"]), Path(made["key"])
    assert (page, key) == (Path("study/study.html"), Path("study/key.json"))
    assert made["questions"] == 2 * HELD_OUT
    seeing = answer(
        page,
        key,
        lambda kind, shows: ("first", "second")[
            shows[0] != "photo" if kind == "real" else shows.index("personal prior")
        ],
    )
    Path("a.json").write_text(seeing)
    for name in ("b.json", "c.json"):
        Path(name).write_text(answer(page, key, lambda kind, shows: "first"))
    found = document(run("study", "score", "a.json", "b.json", "c.json", "a.json", "--key", key, "--json"))
    assert (found["people"], found["study"]) == (3, made["study"])
    shares = {one["what"]: (one["count"], one["answers"]) for one in found["shares"]}
    assert shares["photo taken for a photograph"] == (3, 3)
    assert shares["personal prior taken for a photograph"] == (2, 3)
    asked = json.loads(key.read_text())["questions"].values()
    pairs = [one["shows"] for one in asked if one["kind"] == "alike"]
    left = sum(shows[0] == "personal prior" for shows in pairs)
    assert len(pairs) == HELD_OUT
    assert shares["personal prior chosen over domain prior"] == (HELD_OUT + 2 * left, 3 * HELD_OUT)
    told = run("study", "score", "a.json", "--key", key)
    assert re.search(r"personal prior chosen over domain prior +2 of 2 +100% +34% to 100%", told.stdout)


def test_both_priors_start_alike_and_a_photo_that_fails_is_left_out(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Searches begin at means, not at the person's net; the other photo is asked about."""
    starts, real, locate = [], Baseline.restore, restoring.locate

    def restored(method: Baseline, *given: Any) -> Any:
        starts.append((method.name, given[4].start))
        return real(method, *given)

    def refusing(profile: Any, subject: Any, **named: Any) -> Any:
        if subject.name == bad:
            raise NoFaceError(f"{bad}: no face was found", "Choose another photo.")
        return locate(profile, subject, **named)

    monkeypatch.setattr(Baseline, "restore", restored)
    monkeypatch.setattr(restoring, "locate", refusing)
    faces = [record.face for record in Store(tmp_path / "store").open("ada").photos("held-out")]
    bad = Path(faces[0]).stem
    done = run(*MAKE, "-o", "study", "--json")
    made = document(done)
    assert starts == [("MyStyle, near", "centre"), ("Domain prior", "centre")]
    assert made["questions"] == 2 * (HELD_OUT - 1)
    assert made["left_out"] == [f"{bad}: no face was found"]
    assert f"a photo is left out: {bad}" in done.stderr


def test_the_page_does_not_hold_what_is_true(study: None, tmp_path: Path) -> None:
    """No word, name or mark tells photos from what was made; all say that AI may have made them."""
    text = PAGE.read_text()
    bare = re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
    for word in ("prior", 'photo"', "ada", "shows", "http:", "https:", 'src="', "fetch("):
        assert word not in bare
    page, marks = page_of(PAGE), set()
    for number, source in enumerate(
        [*page["references"], *(one for each in page["questions"] for one in each["pictures"])]
    ):
        path = tmp_path / f"{number}.png"
        path.write_bytes(base64.b64decode(source.partition(",")[2]))
        found = read_marks(path)
        assert found is not None
        marks.add(found)
    assert len(marks) == 1
    assert next(iter(marks)).digital_source_type == "compositeWithTrainedAlgorithmicMedia"
    if os.name == "posix":
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (Path("study"), *Path("study").iterdir())]
        assert modes == [0o700, 0o600, 0o600]


def test_questions_show_what_the_key_says(study: None, tmp_path: Path) -> None:
    """Photos are held-out faces, those above pairs are of the reference set, and the rest was made."""
    faces = [np.asarray(Image.open(path)) for path in sorted((tmp_path / "store/ada/faces").iterdir())]
    page, key = page_of(PAGE), json.loads(KEY.read_text())
    kinds = [question["kind"] for question in page["questions"]]
    assert kinds == sorted(kinds, reverse=True)
    for question in page["questions"]:
        for source, shows in zip(
            question["pictures"], key["questions"][question["name"]]["shows"], strict=True
        ):
            same = [bool((pixels_of(source) == face).all()) for face in faces]
            assert any(same[-HELD_OUT:]) == (shows == "photo")
            assert not any(same[:-HELD_OUT])
    for source in page["references"]:
        assert any((pixels_of(source) == face).all() for face in faces[:-HELD_OUT])


@journey("study make", "--seed", "--photos")
def test_the_seed_decides(run: Run) -> None:
    """The same seed makes the same page to the byte; another one another order. One photo: two questions."""
    assert run(*MAKE, "-o", "one", "--photos", 1).exit_code == 0
    assert len(page_of(Path("one/study.html"))["questions"]) == 2
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert run(*MAKE, "-o", folder, "--seed", seed).exit_code == 0
    a, b, c = (Path(folder, "study.html").read_bytes() for folder in "abc")
    assert a == b != c


@journey("study make", "--against")
def test_another_tool_is_asked_about_too(run: Run, tmp_path: Path) -> None:
    """By its results' names; one that is missing is named."""
    Path("theirs").mkdir()
    for name, number in (("0007.png", 50), ("7.png", 51)):
        Image.fromarray(picture(number, 48)).save(f"theirs/{name}")
    made = document(run(*MAKE, "-o", "study", "--against", "theirs", "--json"))
    assert made["questions"] == 3 * HELD_OUT
    key = json.loads(Path("study/key.json").read_text())
    shown = [name for one in key["questions"].values() for name in one["shows"]]
    assert shown.count("theirs (yours)") == HELD_OUT
    Path("theirs/7.png").unlink()
    refused = run(*MAKE, "-o", "again", "--against", "theirs")
    assert refused.exit_code == 2
    assert "no result for the held-out photo 7" in refused.stderr
    assert not Path("again").exists()


def test_answers_that_are_none_stop_no_others(run: Run, study: None) -> None:
    """They are named; all of them bad, the command fails."""
    Path("good.json").write_text(answer(PAGE, KEY, lambda kind, shows: "first"))
    Path("bad.json").write_text("[" * 1000)
    done = run("study", "score", "good.json", "bad.json", "none.json", "--key", KEY, "--json")
    assert done.exit_code == 3
    found = json.loads(done.stdout)
    assert (found["people"], len(found["failures"])) == (1, 2)
    assert run("study", "score", "bad.json", "--key", KEY).exit_code == 2
    assert run("study", "score", "good.json", "--key", "bad.json").exit_code == 2


def test_folders_and_loops_of_links_among_answers_stop_no_others(run: Run, study: None) -> None:
    """Each is told of by itself; whoever answered is counted once, by whatever path."""
    Path("a.json").write_text(answer(PAGE, KEY, lambda kind, shows: "first"))
    Path("again.json").symlink_to("a.json")
    Path("folder.json").mkdir()
    Path("one.json").symlink_to("two.json")
    Path("two.json").symlink_to("one.json")
    done = run("study", "score", "a.json", "again.json", "folder.json", "one.json", "--key", KEY, "--json")
    found = json.loads(done.stdout)
    assert done.exit_code == 3
    assert "fault in mystyle" not in done.stderr
    assert found["people"] == 1
    assert len(found["failures"]) == 2


def test_a_rival_s_folder_may_be_called_anything(run: Run, tmp_path: Path) -> None:
    """The key that is written can be read again."""
    theirs = Path("their\ttool")
    theirs.mkdir()
    for name, number in (("0007.png", 50), ("7.png", 51)):
        Image.fromarray(picture(number, 48)).save(theirs / name)
    made = document(run(*MAKE, "-o", "study", "--against", theirs, "--json"))
    Path("a.json").write_text(answer(Path(made["page"]), Path(made["key"]), lambda kind, shows: "first"))
    assert run("study", "score", "a.json", "--key", made["key"]).exit_code == 0


def test_nothing_is_replaced(run: Run, study: None) -> None:
    """A study that is there stays, for its answers may be under way."""
    before = KEY.read_bytes()
    refused = run(*MAKE, "-o", "study", "--seed", 3)
    assert refused.exit_code == 2
    assert "already there" in refused.stderr
    assert KEY.read_bytes() == before


def test_what_comes_to_its_place_meanwhile_stays(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Making a study takes a while, in which another may have got its name."""
    from mystyle_cli.analysis import study

    make = study.make_study

    def slow(*given: object) -> object:
        Path("study").mkdir()
        Path("study/key.json").write_text("mine")
        return make(*given)

    monkeypatch.setattr(study, "make_study", slow)
    refused = run(*MAKE, "-o", "study")
    assert refused.exit_code == 2
    assert "already there" in refused.stderr
    assert Path("study/key.json").read_text() == "mine"
    assert os.listdir("study") == ["key.json"]


DRIVER = """
const fs = require("fs"), vm = require("vm");
const keys = [], made = {};
const element = (id) => ({
  id, hidden: false, children: [], listeners: {}, textContent: "",
  append(...more) { this.children.push(...more); }, replaceChildren(...all) { this.children = all; },
  addEventListener(name, act) { this.listeners[name] = act; },
  click() { if (this.listeners.click) this.listeners.click(); if (this.download) made.name = this.download; },
});
const known = {};
const world = {
  document: {
    getElementById: (id) => (known[id] = known[id] || element(id)), createElement: (kind) => element(kind),
    addEventListener: (name, act) => keys.push(act),
  },
  URL: { createObjectURL: (blob) => { made.text = blob.text; return "blob:"; }, revokeObjectURL() {} },
  Blob: class { constructor(parts) { this.text = parts.join(""); } },
};
const page = fs.readFileSync(process.argv[2], "utf8");
vm.runInNewContext(page.split("<script>")[1].split("</script>")[0], world);
const press = (key) => keys[0]({ key, preventDefault() {} });
press("2"); press("Backspace"); press("1"); press("ArrowRight");
known.choices.children[1].click();
while (!known.page.hidden) press("ArrowLeft");
known.save.click();
console.log(JSON.stringify(made));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="nothing here runs the page's script")
def test_the_page_saves_what_was_chosen(run: Run, study: None, tmp_path: Path) -> None:
    """By keys and by buttons, back and on; what it saves is what `study score` takes."""
    (tmp_path / "driver.js").write_text(DRIVER)
    words = ["node", str(tmp_path / "driver.js"), str(PAGE)]
    made = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    page = page_of(PAGE)
    assert made["name"] == f"answers-{page['study']}.json"
    Path("saved.json").write_text(made["text"])
    chosen = json.loads(made["text"])["answers"]
    assert list(chosen.values()) == ["first", "second", "second", *["first"] * (len(page["questions"]) - 3)]
    assert run("study", "score", "saved.json", "--key", KEY).exit_code == 0
