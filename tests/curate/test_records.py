"""Records, the split, the advice and the contact sheet."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mystyle_cli.curate.advice import advise, split
from mystyle_cli.curate.records import PhotoRecord, Reason
from mystyle_cli.curate.sheet import contact_sheet
from mystyle_cli.errors import ProfileError
from mystyle_cli.faces.align import FFHQ, Crop, warp


def records(count: int, *, refused: int = 0, first: int = 0) -> list[PhotoRecord]:
    """Return kept records and refused ones."""
    return [
        PhotoRecord(f"{i:064x}", f"photo {i}.jpg", Reason.KEPT if i < first + count else Reason.GREY, "so")
        for i in range(first, first + count + refused)
    ]


def held_out(items: list[PhotoRecord]) -> set[str]:
    """Return who is held out."""
    return {item.sha256 for item in items if item.split == "held-out"}


def test_records_survive_json() -> None:
    """A record written as JSON is read back as it was, with its verdict spelled out for other programs."""
    record = PhotoRecord("ab" * 32, "ä.jpg", Reason.DUPLICATE, "why", {"yaw": 1.25})
    row = json.loads(json.dumps(record.to_json()))
    assert row["verdict"] == "refused"
    assert row["reason"] == "duplicate"
    assert PhotoRecord.from_json(row) == record


@pytest.mark.parametrize(
    "row", [{}, {"sha256": "a", "file": "b", "reason": "bored", "detail": ""}, {"reason": "kept"}]
)
def test_damaged_records_are_refused(row: dict[str, str]) -> None:
    """A row with missing fields or an unknown reason is an error of the profile."""
    with pytest.raises(ProfileError):
        PhotoRecord.from_json(row)


@settings(max_examples=50)
@given(
    st.integers(0, 80),
    st.integers(0, 20),
    st.floats(0, 0.5),
    st.integers(0, 9),
    st.randoms(use_true_random=False),
)
def test_split(count: int, refused: int, share: float, seed: int, random: object) -> None:
    """The share is met, refused photos belong nowhere, and the order changes nothing."""
    items = records(count, refused=refused)
    divided = split(items, share, seed)
    assert len(held_out(divided)) == (round(share * count) if count >= 10 else 0)
    assert all((item.split is None) != item.kept for item in divided)
    random.shuffle(items)  # type: ignore[attr-defined]
    assert held_out(split(items, share, seed)) == held_out(divided)


def test_split_depends_on_the_seed() -> None:
    """Another seed holds out others."""
    assert len({frozenset(held_out(split(records(40), 0.1, seed))) for seed in range(5)}) > 1


def test_split_leaves_earlier_photos_alone() -> None:
    """Photos added later fill the share up and move nobody."""
    before = split(records(20), 0.1, 0)
    later = split(records(20, first=20), 0.1, 0, before)
    assert len(held_out(before)) == 2
    assert len(held_out(later)) == 2
    assert all(item.kept for item in later)


def varied(count: int) -> tuple[list[PhotoRecord], dict[str, np.ndarray]]:
    """Return kept records and crops that differ in pose, light and surroundings."""
    rng = np.random.default_rng(0)
    items, crops = [], {}
    for i in range(count):
        record = PhotoRecord(f"{i:x}", f"{i}.jpg", Reason.KEPT, "", {"yaw": float(rng.normal(0, 15))})
        crop = np.empty((64, 64, 3))
        crop[:] = rng.uniform(30, 220, 3)
        crop[16:] = np.array([200, 160, 140]) * np.linspace(*rng.uniform(0.4, 1.1, 2), 64)[None, :, None]
        items.append(record)
        crops[record.sha256] = crop.astype(np.uint8)
    return items, crops


def test_a_varied_set_needs_no_advice() -> None:
    """Enough photos with varied pose, light and places pass without a word."""
    assert advise(*varied(60), FFHQ) == []


def test_advice_names_what_is_missing() -> None:
    """Few photos, one pose, one light and one place are each named."""
    items, crops = varied(60)
    assert "only 3" in advise(items[:3], crops, FFHQ)[0]
    assert "100" in advise(items[:20], crops, FFHQ)[0]
    same_pose = [PhotoRecord(r.sha256, r.file, r.reason, "", {"yaw": 5.0}) for r in items]
    assert any("same way" in line for line in advise(same_pose, crops, FFHQ))
    frame = crops[items[0].sha256]
    one_shoot = advise(items, dict.fromkeys(crops, frame), FFHQ)
    assert any("light" in line for line in one_shoot)
    assert any("occasion" in line for line in one_shoot)


def test_a_tight_crop_shows_no_surroundings() -> None:
    """Its corners are hair and forehead, so that it says nothing of places; of light it says what it did."""
    items, crops = varied(60)
    tight = Crop(0.58, 0.054)
    same = advise(items, dict.fromkeys(crops, crops[items[0].sha256]), tight)
    assert any("light" in line for line in same)
    assert not any("occasion" in line for line in same)
    place = tight.to_ffhq(np.array([[0.0, 0], [0, 1], [1, 1], [1, 0]])) * 64
    assert advise(items, {sha: warp(face, place, 64) for sha, face in crops.items()}, tight) == []


@pytest.mark.parametrize("count", [0, 1, 7, 60])
def test_contact_sheet_shows_everything(count: int) -> None:
    """Every photo has its cell, also unreadable ones, and kept ones are framed in another colour."""
    items = records(count, refused=3)
    thumbs = {item.sha256: np.full((90, 120, 3), (200, 0, 200), dtype=np.uint8) for item in items[:-1]}
    sheet = contact_sheet(items, thumbs)
    assert sheet.dtype == np.uint8
    shown = (np.abs(sheet.astype(int) - [200, 0, 200]).sum(-1) < 30).sum()
    assert shown == pytest.approx(len(thumbs) * 120 * 90, rel=0.1)
    green = (sheet == (34, 139, 80)).all(-1).sum()
    assert (green > 0) == (count > 0)
