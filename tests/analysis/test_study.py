"""Answers of a user study counted, and what is no answer refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from mystyle_cli.analysis.study import (
    DOMAIN,
    LARGEST,
    OURS,
    REAL,
    Question,
    Study,
    read_answers,
    read_key,
    score,
    wilson,
)
from mystyle_cli.errors import UsageError

PICTURE = np.zeros((8, 8, 3), np.uint8)
STUDY = Study(
    "ada",
    "tiny-32",
    (
        Question("q001", "real", (PICTURE,), (REAL,)),
        Question("q002", "real", (PICTURE + 1,), (OURS,)),
        Question("q003", "alike", (PICTURE + 1, PICTURE + 2), (OURS, DOMAIN)),
        Question("q004", "alike", (PICTURE + 3, PICTURE + 4), (DOMAIN, OURS)),
    ),
    np.stack([PICTURE + 9]),
)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """The study's key as a file."""
    (tmp_path / "key.json").write_bytes(STUDY.key())
    return tmp_path / "key.json"


def answers(folder: Path, **changes: Any) -> Path:
    """Write a file of answers, some of its fields changed."""
    body = {"mystyle": "study answers", "format": 1, "study": STUDY.name, "answers": {"q001": "first"}}
    path = folder / "answers.json"
    path.write_text(json.dumps(body | changes))
    return path


@given(st.integers(1, 400).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_intervals_are_wilson_s(counts: tuple[int, int]) -> None:
    """As scipy has them."""
    low, high = binomtest(*counts).proportion_ci(0.95, method="wilson")
    assert wilson(*counts) == pytest.approx((low, high), abs=1e-9)


def test_answers_are_counted_by_what_was_shown(key: Path) -> None:
    """On whichever side it stood; what nobody answered is left out."""
    people = [
        {"q001": "first", "q002": "first", "q003": "first", "q004": "second"},
        {"q001": "second", "q002": "second", "q003": "second", "q004": "second"},
        {"q003": "first"},
    ]
    found = {one.what: (one.count, one.answers) for one in score(read_key(key), people)}
    assert found == {
        f"{REAL} taken for a photograph": (1, 2),
        f"{OURS} taken for a photograph": (1, 2),
        f"{OURS} chosen over {DOMAIN}": (4, 5),
    }
    assert score(read_key(key), []) == []


def test_the_name_of_a_study_is_that_of_its_pictures() -> None:
    """Another picture makes another study, so that its answers do not count for this one."""
    other = Study("ada", "tiny-32", (*STUDY.questions[1:], STUDY.questions[0]), STUDY.references)
    assert other.name != STUDY.name


def test_answers_are_read(tmp_path: Path, key: Path) -> None:
    """Not all questions need be answered; what later versions add is left out."""
    assert read_answers(answers(tmp_path, later="x"), read_key(key)) == {"q001": "first"}
    assert read_answers(answers(tmp_path, answers={}), read_key(key)) == {}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"study": "0" * 16}, "another study"),
        ({"answers": {"q009": "first"}}, "was not asked"),
        ({"answers": {"q001": "third"}}, "not one of first, second"),
        ({"answers": {"q001": ["first"]}}, "not one of"),
        ({"answers": ["first"]}, "not a table"),
        ({"answers": {f"q{n}": "first" for n in range(1001)}}, "at most 1,000"),
        ({"answers": {"q" * 40: "first"}}, "characters"),
        ({"format": 2}, "format"),
        ({"mystyle": "study key"}, "mystyle"),
        ({"study": {"a": 1}}, "study"),
    ],
)
def test_what_is_no_answer_is_refused(tmp_path: Path, key: Path, changes: dict[str, Any], said: str) -> None:
    """In one line that names file and field."""
    with pytest.raises(UsageError, match=said) as refused:
        read_answers(answers(tmp_path, **changes), read_key(key))
    assert "answers.json" in refused.value.message
    assert "\n" not in refused.value.message


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xfe", b"[" * 100_000, b"[]", b"{}", b'{"study": NaN}', b" " * (LARGEST + 1)]
)
def test_files_that_are_none_are_refused(tmp_path: Path, key: Path, data: bytes) -> None:
    """Whatever is in them, as answers and as a key."""
    path = tmp_path / "bad.json"
    path.write_bytes(data)
    for read in (lambda: read_answers(path, read_key(key)), lambda: read_key(path)):
        with pytest.raises(UsageError, match="cannot be read"):
            read()


@pytest.mark.parametrize(
    "question",
    [
        {"kind": "real", "shows": [REAL, OURS]},
        {"kind": "real", "shows": []},
        {"kind": "real", "shows": ["else"]},
        {"kind": "alike", "shows": [OURS]},
        {"kind": "alike", "shows": [OURS, OURS]},
        {"kind": "alike", "shows": [REAL, DOMAIN]},
        {"kind": "else", "shows": [OURS]},
    ],
)
def test_a_key_without_sense_is_refused(key: Path, question: dict[str, Any]) -> None:
    """A question that no study asks, in a key that somebody changed."""
    body = json.loads(key.read_text())
    body["questions"]["q001"] = question
    key.write_text(json.dumps(body))
    with pytest.raises(UsageError, match=r"key\.json"):
        read_key(key)
