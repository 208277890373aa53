"""The processes of a run: who they are, how work is shared out, and what they leave for each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.distributed import FileStore

from mystyle_cli.errors import RankError, UsageError
from mystyle_cli.ranks import Ranks


@pytest.fixture
def two(tmp_path: Path) -> tuple[Ranks, Ranks]:
    """Both processes of a run, in this one."""
    first, second = (FileStore(str(tmp_path / "meeting"), 2) for _ in range(2))
    return Ranks(0, 2, store=first, patience=0.3), Ranks(1, 2, store=second, patience=0.3)


def test_only_torchrun_makes_several(monkeypatch: pytest.MonkeyPatch) -> None:
    """What clusters put into the environment for others counts for nothing; torchrun's names count."""
    for name, value in {"RANK": "1", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    alone = Ranks.of_environment()
    assert (alone.rank, alone.size, alone.first, alone.several) == (0, 1, True, False)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    found = Ranks.of_environment()
    assert (found.rank, found.size, found.local, found.beside) == (1, 8, 1, 4)
    assert (found.first, found.several) == (False, True)


@given(st.integers(0, 40), st.integers(1, 9))
def test_parts_are_numpys(count: int, size: int) -> None:
    """Together they are all items, in order, and as even as they can be."""
    items = np.arange(count)
    for rank, part in enumerate(np.array_split(items, size)):
        assert Ranks(rank, size).part(items).tolist() == part.tolist()


def test_one_alone_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself a process asks torch for nothing, and all that is summed stays as it is."""
    monkeypatch.setattr("torch.distributed.is_nccl_available", pytest.fail)
    alone = Ranks()
    with alone.leading(), alone.meet("cpu"):
        alone.call("cpu")
        alone.agree("00")
        alone.sum(["not looked at"])  # type: ignore[list-item]
        alone.spread(["not looked at"])  # type: ignore[list-item]
        assert alone.total(0.1, 3.0) == [0.1, 3.0]
        assert alone.any(True)
        assert not alone.any(False)


def test_who_is_called_answers(two: tuple[Ranks, Ranks]) -> None:
    """The others learn whether there is work, and refuse it on another kind of device than the first's."""
    first, second = two
    with first.leading():
        first.call("cuda")
        assert second.answer("cuda")
        with pytest.raises(UsageError, match="computes on cpu and the first on cuda"):
            second.answer("cpu")


def test_who_is_not_called_is_told(two: tuple[Ranks, Ranks]) -> None:
    """However the first ends, the others do not wait for it."""
    first, second = two
    with pytest.raises(KeyError), first.leading():
        raise KeyError
    assert not second.answer("cpu")


def test_nobody_waits_for_ever(two: tuple[Ranks, Ranks]) -> None:
    """Who does not come counts as lost."""
    first, _ = two
    with (
        pytest.raises(RankError, match="one of the 2 processes ended, or does not answer"),
        first.meet("cpu"),
    ):
        pytest.fail("they have not met")


def test_who_has_said_why_is_not_waited_for(
    two: tuple[Ranks, Ranks], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason is enough."""
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("it is waited for"))
    first, second = two
    second.fail("its disk\nis full")
    with pytest.raises(RankError, match="process 1 of 2 failed: its disk is full"), first.meet("cpu"):
        pytest.fail("they have not met")


def test_where_nobody_can_look_the_others_have_ended() -> None:
    """An error of torch's store is no fault of the program."""

    class Gone:
        def set(self, *given: object) -> None:
            raise RuntimeError("Connection reset")

        check = set

    with pytest.raises(RankError, match="ended, or does not answer"):
        Ranks(0, 2, store=Gone()).call("cpu")
