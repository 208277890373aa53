"""`profile create --each`: a folder a person, each as if it were learned alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from mystyle_cli.engines.engine import Seat, Work
from mystyle_cli.store.store import Store
from mystyle_cli.work import people
from mystyle_cli.work.people import OpenLearning
from tests.support.albums import learn_quickly, make_photos
from tests.support.journeys import Run, document, journey

FEW = ["--passes", "1", "--batch", "8", "--no-instant", "--no-export"]


@pytest.fixture
def clients(run: Run, tiny_prior: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three people's photos in `clients`; what creates their profiles, the last words of a command."""
    learn_quickly(monkeypatch.setattr)
    for number, name in enumerate(("bob", "eva", "tim")):
        make_photos(Path("clients") / name, 6, start=10 * number)
    Path("clients/empty").mkdir()
    return ["--each", "clients", "--prior", str(tiny_prior), *FEW]


@journey("profile create", "--each", "--on")
def test_a_folder_of_people_is_learned(run: Run, clients: list[str], tmp_path: Path) -> None:
    """Each has the profile that they would have alone; again, only what is missing is learned."""
    alone = document(run("--json", "profile", "create", "bob", "clients/bob", *clients[2:]))
    files = {path: path.read_bytes() for path in (tmp_path / "store/bob/faces").iterdir()}
    found = document(
        run("--json", "profile", "create", *clients, "--on", "local:1", "--consent", "by letter")
    )
    assert [one["name"] for one in found["results"]] == ["eva", "tim"]
    assert found["skipped"] == ["clients/bob"]
    assert {path: path.read_bytes() for path in files} == files
    store = Store(tmp_path / "store")
    assert store.open("eva").manifest.consent == "by letter"
    assert alone["counts"] == found["results"][0]["counts"]
    run("profile", "delete", "tim", "--yes")
    make_photos(Path("clients/ina"), 1, start=5)  # a bad one
    forecast = document(run("--json", "profile", "create", *clients, "--on", "local:1", "--dry-run"))
    assert (forecast["items"], forecast["there"]) == (2, 2)
    assert forecast["seconds"] > 0
    done = run("--json", "profile", "create", *clients, "--on", "local:1")
    assert done.exit_code == 3
    again = json.loads(done.stdout)
    assert [one["name"] for one in again["results"]] == ["tim"]
    assert [one["input"] for one in again["failures"]] == ["clients/ina"]
    assert again["skipped"] == ["clients/bob", "clients/eva"]
    assert again["run"] != found["run"]  # a consent is another matter
    assert "profile create --each" in run("jobs", "list").stdout


@dataclass(frozen=True)
class Quickly(OpenLearning):
    """The same in a process of its own, where curation is stood in for, too."""

    def open(self, seat: Seat) -> Work:
        """Stand in for it first."""
        learn_quickly(setattr)
        return super().open(seat)


@pytest.mark.slow
def test_people_are_learned_side_by_side(
    run: Run, clients: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes make the profiles that one makes."""
    assert run("profile", "create", *clients).exit_code == 0
    store = Store(tmp_path / "store")
    before = {name: store.open(name).manifest.digests() for name in ("bob", "eva", "tim")}
    for name in before:
        run("profile", "delete", name, "--yes")
    monkeypatch.setattr(people, "OpenLearning", Quickly)
    done = run("profile", "create", *clients, "--on", "local:2")
    assert done.exit_code == 0, done.stderr
    assert {name: store.open(name).manifest.digests() for name in before} == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("profile create eva clients --each clients", "in the place of NAME and PHOTOS"),
        ("profile create --each clients --reference clients/bob/00-good.png", "several people"),
        ("profile create --each clients --until 2999-01-01", "--consent"),
        ("profile create --each clients/bob", "no folder with photos"),
        ("profile create eva clients/bob --on local:2", "one person is learned in this process"),
        ("profile create", "Missing argument"),
    ],
)
def test_what_fits_no_folder_of_people_is_refused(
    run: Run, clients: list[str], words: str, said: str
) -> None:
    """Before anything is learned."""
    done = run(*words.split())
    assert done.exit_code == 2
    assert said in done.stderr


def test_names_that_no_profile_can_have_are_refused(run: Run, clients: list[str]) -> None:
    """Before the first is learned."""
    Path("clients/eva").rename("clients/-eva-")
    done = run("profile", "create", *clients)
    assert done.exit_code == 2
    assert "cannot be a profile's name" in done.stderr
    assert run("profile", "show", "bob").exit_code == 5
