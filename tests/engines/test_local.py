"""Processes of this machine: every item once, deaths cost time only, nobody is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mystyle_cli.engines import local
from mystyle_cli.engines.engine import Demand, LostError, Note, Seat, Spread
from mystyle_cli.engines.local import Local, fitting
from mystyle_cli.engines.named import Where, parse
from mystyle_cli.errors import ModelError, MystyleError, UsageError
from tests.support.toil import Refusing, Settings, Squaring, begun, chunks
from tests.support.waiting import runs, wait_until


@pytest.mark.parametrize("count", [1, 2])
def test_each_item_has_its_answer_once(count: int, tmp_path: Path) -> None:
    """In this process and in two others; what workers tell is told once."""
    notes: list[Note] = []
    opener = Squaring(tmp_path / "log")
    found = list(Spread(Local(count), here=Seat(notes.append)).over(opener, chunks(7, 2)))
    assert sorted(found) == [(item, item * item) for item in range(7)]
    assert sorted(item for item, _ in begun(opener.log)) == list(range(7))
    processes = {who for _, who in begun(opener.log)}
    assert (processes == {str(os.getpid())}) == (count == 1)
    assert len(processes) == count
    assert notes == [Note("info", "opened")]


def test_a_worker_that_dies_costs_time_only(tmp_path: Path) -> None:
    """What it had is tried again, each item alone; an item that it dies of twice is told as lost."""
    opener = Squaring(tmp_path / "log", deadly=((1, 1), (4, -1)))
    found = dict(Spread(Local(2)).over(opener, chunks(8, 3)))
    lost = found.pop(4)
    assert isinstance(lost, LostError)
    assert "killed by signal 9" in lost.message
    assert found == {item: item * item for item in range(8) if item != 4}
    assert [item for item, _ in begun(opener.log)].count(4) == 2


def test_workers_that_always_die_end_the_whole(tmp_path: Path) -> None:
    """A hundred items are not tried twice each where no worker does anything."""
    opener = Squaring(tmp_path / "log", deadly=tuple((item, -1) for item in range(100)))
    with pytest.raises(MystyleError, match="before they have done anything: killed by signal 9"):
        list(Spread(Local(2)).over(opener, chunks(100, 1)))
    assert len(begun(opener.log)) < 20


@pytest.mark.parametrize("count", [1, 2])
def test_what_all_need_ends_the_whole(count: int) -> None:
    """The error arrives as it was raised: its kind, its words, its hint."""
    with pytest.raises(ModelError, match="the prior is gone") as raised:
        list(Spread(Local(count)).over(Refusing(), chunks(8, 2)))
    assert raised.value.hint == "Bring it back."


def test_threads_and_cards_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers divide the threads, and get graphics cards in turn."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    monkeypatch.setattr(local, "threads", lambda: 7)
    demand = Demand(gpu=True)
    assert fitting(demand) == 2
    asked = [["CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"]] * 2
    found = set(Spread(Local(2), demand).over(Settings(), asked))
    cards = {("CUDA_VISIBLE_DEVICES", card) for card in ("3", "5")}
    assert found == {("OMP_NUM_THREADS", "3"), *cards}


def test_as_many_as_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """By free cores, and by what one takes of the free memory; one in any case."""
    monkeypatch.setattr(local, "free_processors", lambda: 8)
    monkeypatch.setattr(local, "free_memory", lambda: 10 << 30)
    assert fitting(Demand()) == 8
    assert fitting(Demand(memory=2 << 30)) == 3
    assert fitting(Demand(memory=20 << 30)) == 1


DRIVER = """
from pathlib import Path
from mystyle_cli.engines.engine import Spread
from mystyle_cli.engines.local import Local
from tests.support.toil import Sleeping, begun, chunks
if __name__ == "__main__":
    list(Spread(Local(2)).over(Sleeping(Path({folder!r})), [[0], [1]]))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_nobody_outlives_the_driver(number: signal.Signals, tmp_path: Path) -> None:
    """Killed or interrupted, it takes its workers with it, though they are in the middle of something."""
    script = tmp_path / "driver.py"
    script.write_text(DRIVER.format(folder=str(tmp_path)))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    driver = subprocess.Popen([sys.executable, script], env=environment, stderr=subprocess.DEVNULL)
    wait_until(lambda: all((tmp_path / item).exists() and (tmp_path / item).read_text() for item in "01"))
    workers = [int((tmp_path / item).read_text()) for item in "01"]
    driver.send_signal(number)
    driver.wait(20)
    wait_until(lambda: not any(runs(worker) for worker in workers))


def test_engines_by_name() -> None:
    """What `--on` takes, and what it refuses in one line."""
    assert parse("local") == Where("local")
    assert parse("local:2") == Where("local", "2")
    assert parse("local:2").open().name == "local:2"
    for text in ("", "locals", "local:", "local:0", "local:-1", "local:two", "local:²"):
        with pytest.raises(UsageError, match="no place where work can run"):
            parse(text)
