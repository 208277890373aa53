"""Commands on a cluster that sees neither the profile nor its prior nor photos: as people type them."""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from mystyle_cli.engines import on_ray
from mystyle_cli.engines.on_ray import Ray
from tests.support.fake_ray import FakeRay, node
from tests.support.journeys import Run, document
from tests.support.tiny_store import picture
from tests.support.waiting import wait_until

REST = ["--aligned", "--force", "--steps", "1"]
AWAY = ["--on", "ray:head:6379"]


@pytest.fixture
def ray(run: Run, tmp_path: Path, tiny_prior: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    """A Ray of one node that sees nothing of what commands read."""
    hidden = [tmp_path / "store", *(Path(name).absolute() for name in ("in", "masks", "codes", "out"))]
    monkeypatch.setenv("MYSTYLE_THREADS", "1")  # as a worker of Ray's has
    played = FakeRay([node(CPU=1, memory=32e9)], hidden=[*hidden, tiny_prior])
    monkeypatch.setitem(sys.modules, "ray", played)
    monkeypatch.setattr(on_ray, "engine", lambda address: Ray(address, played))  # type: ignore[arg-type]
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    return played


def without_run(found: dict[str, object]) -> dict[str, object]:
    """Return a document without the run's name."""
    return {name: value for name, value in found.items() if name != "run"}


@pytest.mark.parametrize(
    "words",
    [
        "inpaint ada in -o out --mask masks",
        "invert ada in -o out --save-codes codes",
        "edit ada in -o out -d smile -s 1",
        pytest.param("restore --who all in -o out", marks=pytest.mark.slow),
        "inpaint ada in -o out --part mouth --variants 2 --seed 1",
    ],
)
def test_the_same_comes_of_it(run: Run, ray: FakeRay, words: str, tmp_path: Path) -> None:
    """Files, to the byte but for the time in them, and the document; nothing is left on the node."""
    for folder in ("in", "masks"):
        Path(folder).mkdir()
    for number in range(2):
        Image.fromarray(picture(number, 32)).save(f"in/{number}.png")
        Image.new("L", (32, 32), 255).save(f"masks/{number}.png")
    rest = [one for one in REST if "--who" not in words or one != "--aligned"]
    found = {}
    for on in ([], AWAY):
        done = run("--json", *words.split(), *rest, *on)
        files = {
            path: Image.open(path).tobytes() if path.suffix == ".png" else path.read_bytes()
            for folder in ("out", "codes")
            for path in sorted(Path(folder).glob("*"))
        }
        found[bool(on)] = done.exit_code, without_run(json.loads(done.stdout)), files
        for path in files:
            path.unlink()
    assert found[True] == found[False]
    assert ray.puts > 2
    assert found[True][2] or "--who" in words, found[True]
    gc.collect()  # the worker was of this process, whose end would let go of its hold
    wait_until(lambda: not [*(tmp_path / "tmp").glob("mystyle-hold-*")])


def test_saved_codes_go_along(run: Run, ray: FakeRay) -> None:
    """What was kept of a photo is read there as here."""
    Path("in").mkdir()
    Image.fromarray(picture(0, 32)).save("in/0.png")
    run("invert", "ada", "in", "-o", "inverted", "--save-codes", "codes", *REST)
    words = ["--json", "edit", "ada", "in", "-d", "smile", "-s", "1", "--codes", "codes", "-o"]
    here, away = document(run(*words, "here")), document(run(*words, "out", *AWAY))
    assert here["results"][0]["edits"] == away["results"][0]["edits"]
    assert Image.open("here/0.png").tobytes() == Image.open("out/0.png").tobytes()


def test_what_is_kept_in_the_profile_is_refused(run: Run, ray: FakeRay) -> None:
    """`--refine` would keep it in a copy: one line, before any photo is worked on."""
    Path("in").mkdir()
    Image.fromarray(picture(0, 32)).save("in/0.png")
    done = run("edit", "ada", "in", "-o", "out", "-d", "smile", "-s", "1", "--refine", *REST, *AWAY)
    assert done.exit_code == 2
    assert "--refine keeps what it tunes in the profile" in done.stderr
    assert not Path("out").exists()


def test_learning_needs_a_store_that_all_see(run: Run, ray: FakeRay) -> None:
    """People are learned where the store is: that is said, with the next step, before anybody is."""
    Path("people/ben").mkdir(parents=True)
    Image.fromarray(picture(0, 32)).save("people/ben/0.png")
    done = run("profile", "create", "--each", "people", *AWAY)
    assert done.exit_code == 1
    assert "does not see" in done.stderr
    assert "--store" in done.stderr
