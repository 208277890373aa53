"""Runs on disk: what they are known by, and what workers see of each other's lines."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mystyle_cli.engines.runs import LOGS, NOTES, Noting, Run, fingerprint

PHOTO = {"photo": "0" * 64, "asked": "a", "input": "a.png"}


def test_what_is_asked_has_one_fingerprint() -> None:
    """In whatever order a set happens to be: these two are in another one."""
    one, other = frozenset([0, 8]), frozenset([8, 0])
    assert [*one] != [*other]
    assert fingerprint("x", one) == fingerprint("x", other) != fingerprint("x", frozenset([0]))
    assert fingerprint({"a": 1, "b": one}) == fingerprint({"b": other, "a": 1})


def test_a_worker_sees_what_another_has_noted_since(tmp_path: Path) -> None:
    """Where the other has died, its results are not made again."""
    run = Run(tmp_path / "runs", "0" * 16)
    with run.driven():
        noting = Noting.of(run)
        early, late = noting.open(), noting.open()
        result = tmp_path / "a.png"
        late.add(result, b"made", PHOTO)
        assert early.lines_on([result]) == {}  # it is not there yet
        result.write_bytes(b"made")
        line = early.lines_on([result])[result]
        assert early.of_now(line)
        assert not Noting.of(run).open().of_now(line)
        result.write_bytes(b"mine")
        assert early.lines_on([result]) == {}


def test_a_line_that_was_torn_off_costs_no_other(tmp_path: Path) -> None:
    """What is added begins a line of its own."""
    run = Run(tmp_path / "runs", "0" * 16)
    with run.driven():
        notes = Noting.of(run).open()
        notes.add(tmp_path / "a.png", b"a", PHOTO)
        (file,) = (run.folder / NOTES).iterdir()
        with file.open("a") as stream:
            stream.write('{"photo": "00')
        notes.add(tmp_path / "b.png", b"b", PHOTO)
    assert [Path(line["output"]).name for _, line in run.lines()] == ["a.png", "b.png"]


def test_what_is_there_tells_which_line_is_of_it(tmp_path: Path) -> None:
    """Whichever file of lines is read last, and whether or not what the last line announced was written."""
    run, result = Run(tmp_path / "runs", "0" * 16), tmp_path / "a.png"
    result.write_bytes(b"second")
    with run.driven():
        for number in range(12):  # files of lines have names by chance
            Noting.of(run).open().add(result, b"second" if number == 5 else b"%d" % number, PHOTO)
        line = Noting.of(run).open().lines_on([result])[result]
        assert line["written"] == hashlib.sha256(b"second").hexdigest()
    assert run.results() == [result]


def test_what_a_killed_driver_has_left_goes(tmp_path: Path) -> None:
    """Whatever its engine was; what workers said stays, and what is none of theirs, also behind a link."""
    run = Run(tmp_path / "runs", "0" * 16)
    logs = run.folder / LOGS
    handed = ["00c0ffee-0.progress", "00c0ffee-12.outcome", "00c0ffee-pulse", "seen-00c0ffee"]
    handed += ["7_0_submitted.pkl", "7_0_0_result.pkl", "7_submission.sh", f"{'0' * 32}.pkl"]
    stays = ["7_0_0_log.out", "7_0_0_log.err", "seen-mine", "pulse", "0-0.outcome"]
    with run.driven():
        logs.mkdir()
        for name in (*handed, *stays):
            (logs / name).write_text("x")
    with run.driven():
        assert sorted(path.name for path in logs.iterdir()) == sorted(stays)
    elsewhere = tmp_path / "elsewhere"
    logs.rename(elsewhere)
    (elsewhere / "00c0ffee-pulse").write_text("x")
    logs.symlink_to(elsewhere)
    with run.driven():
        assert (elsewhere / "00c0ffee-pulse").exists()
