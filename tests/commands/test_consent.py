"""What the person shown agreed to: noted, shown, and at its end nothing works until it is renewed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, tzinfo
from pathlib import Path

import pytest
import tomli_w

from mystyle_cli.person import manifest
from mystyle_cli.person.manifest import read_manifest
from tests.support.journeys import Run, document

OVER = "2000-01-01"


@pytest.fixture
def expired(run: Run, tmp_path: Path) -> Path:
    """The tiny profile with a consent that has ended, and a crop to work on."""
    from PIL import Image

    from tests.support.tiny_store import picture

    folder = tmp_path / "store/ada"
    noted = replace(read_manifest(folder), consent="by letter", consent_until=OVER)
    (folder / "profile.toml").write_text(noted.to_toml())
    Image.fromarray(picture(0, 32)).save("crop.png")
    return folder


def test_after_its_end_nothing_is_made_until_it_is_renewed(run: Run, expired: Path) -> None:
    """What learns or makes pictures is refused with the way on; looking and deleting are not."""
    refused = (
        ["sample", "ada", "-o", "x.png"],
        ["invert", "ada", "crop.png", "-o", "x.png", "--aligned"],
        ["edit", "ada", "crop.png", "-d", "yaw", "-s", 1, "-o", "x.png", "--aligned"],
        ["export", "ada"],
        ["profile", "export", "ada", "ada.mystyle"],
        ["tune", "ada"],
        ["tune", "ada", "--dry-run"],
        ["ingest", "ada", "crop.png"],
        ["profile", "create", "ada", "crop.png"],
    )
    before = (expired / "profile.toml").read_bytes()
    for words in refused:
        done = run(*words)
        assert done.exit_code == 5, words
        assert OVER in done.stderr
        assert "mystyle profile consent ada" in done.stderr
    assert (expired / "profile.toml").read_bytes() == before
    assert [path.name for path in Path().iterdir()] == ["crop.png"]
    assert "expired" in run("profile", "list").stdout
    assert OVER in run("profile", "show", "ada").stdout
    assert run("profile", "verify", "ada").exit_code == 0
    renewed = run("--json", "profile", "consent", "ada", "again, by letter", "--until", "9999-12-31")
    assert document(renewed)["consent_until"] == "9999-12-31"
    assert run("sample", "ada", "-o", "x.png").exit_code == 0
    assert "again, by letter (until 9999-12-31)" in run("profile", "show", "ada").stdout


@pytest.mark.parametrize(("until", "over"), [("2029-12-31", True), ("2030-01-01", False), ("", False)])
def test_the_last_day_counts(expired: Path, monkeypatch: pytest.MonkeyPatch, until: str, over: bool) -> None:
    """A consent holds to the end of the day that was said, and for ever where none was."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Clock:
            return cls(2030, 1, 1, 23, 59, tzinfo=tz)

    monkeypatch.setattr(manifest, "datetime", Clock)
    assert replace(read_manifest(expired), consent_until=until).consent_over is over


def test_one_that_has_ended_can_be_deleted_and_passes_on_its_end(
    run: Run, expired: Path, tiny_prior: Path
) -> None:
    """The note travels with an exported profile; deletion needs no consent."""
    assert run("profile", "consent", "ada", "x", "--until", "9999-12-31").exit_code == 0
    assert run("profile", "export", "ada", "ada.mystyle").exit_code == 0
    assert run("profile", "import", "ada.mystyle", "eva", "--prior", tiny_prior).exit_code == 0
    shown = document(run("--json", "profile", "show", "eva"))
    assert (shown["consent"], shown["consent_until"]) == ("x", "9999-12-31")
    noted = (expired.parent / "eva/profile.toml").read_text().replace("9999-12-31", OVER)
    (expired.parent / "eva/profile.toml").write_text(noted)
    assert run("sample", "eva", "-o", "x.png").exit_code == 5
    assert run("profile", "delete", "eva", "--yes").exit_code == 0


def test_renewing_keeps_work_that_was_interrupted(run: Run, expired: Path) -> None:
    """A consent that ends in the middle of a tuning is renewed without a word about the tuning."""
    half = expired / "runs/next/profile/anchors.safetensors"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    stages = {"stages": {"anchors": {"inputs": "x"}}, "files": {"anchors": {}}}
    (expired / "runs/next/stages.toml").write_text(tomli_w.dumps(stages))
    assert run("profile", "consent", "ada", "again").exit_code == 0
    assert half.read_bytes() == b"half"
    assert run("sample", "ada", "-o", "x.png").exit_code == 0


@pytest.mark.parametrize(
    "words",
    [
        ["profile", "consent", "ada", " "],
        ["profile", "consent", "ada", "x", "--until", OVER],
        ["profile", "consent", "ada", "x", "--until", "tomorrow"],
        ["profile", "create", "bob", "crop.png", "--until", "9999-12-31"],
        ["profile", "create", "bob", "crop.png", "--consent", "x", "--until", OVER],
    ],
)
def test_what_makes_no_sense_is_refused(run: Run, expired: Path, words: list[str]) -> None:
    """An empty note, an end that is over or none, an end of nothing."""
    assert run(*words).exit_code == 2
    assert read_manifest(expired).consent == "by letter"


class Terminal:
    """What a stream is asked for."""

    def isatty(self) -> bool:
        """Say that it is a terminal."""
        return True


def test_it_is_asked_once_on_a_terminal(
    run: Run, expired: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is noted; where something is noted, or in a script, nothing is asked."""
    from types import SimpleNamespace

    import click

    from mystyle_cli.terminal import learning
    from mystyle_cli.terminal.app import App

    asked: list[str] = []

    def answer(question: str, **settings: object) -> str:
        asked.append(question)
        return " Bob, today "

    app = App(store=tmp_path / "store")
    assert learning.ask_consent(app, "bob", None, "") is None
    monkeypatch.setattr(learning, "sys", SimpleNamespace(stdin=Terminal(), stderr=Terminal()))
    monkeypatch.setattr(click, "prompt", answer)
    assert learning.ask_consent(app, "bob", None, "") == "Bob, today"
    assert learning.ask_consent(app, "bob", "said", "") == "said"
    assert learning.ask_consent(app, "ada", None, "") is None
    assert len(asked) == 1


def test_deletion_names_what_goes(run: Run, tmp_path: Path) -> None:
    """Before and after, by name: everything that was derived from the photos, and nothing is left of it."""
    asked = run("profile", "delete", "ada")
    assert asked.exit_code == 2
    for done in (asked, run("profile", "delete", "ada", "--yes", "-v")):
        for text in ("anchors.safetensors", "generator.safetensors", "photos.jsonl", "8 in faces/"):
            assert text in done.stderr
    assert not [path for path in (tmp_path / "store").rglob("*") if "ada" in path.name]


def test_deletion_lists_every_file(run: Run, tmp_path: Path) -> None:
    """The JSON has the name of each."""
    folder = tmp_path / "store/ada"
    held = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert sorted(document(run("--json", "profile", "delete", "ada", "--yes"))["removed"]) == held
