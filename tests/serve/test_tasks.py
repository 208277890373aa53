"""One long piece of work at a time, in order; any of them can be ended, and none ends the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from mystyle_cli.errors import MystyleError, NotThisPersonError
from mystyle_cli.progress import Progress, Step
from mystyle_cli.serve import tasks
from mystyle_cli.serve.tasks import Desk, Task
from tests.support.pages import until


@pytest.fixture
def desk() -> Iterator[Desk]:
    """A desk that is closed at the end."""
    desk = Desk()
    yield desk
    desk.close(600)


def endless(begun: threading.Event) -> Callable[[Progress], dict[str, object]]:
    """Return work that only ends when it is ended."""

    def work(progress: Progress) -> dict[str, object]:
        begun.set()
        for number in count():
            progress(Step("search", number % 10, 10))
        return {}

    return work


def over(task: Task) -> Task:
    """Wait for the end of a piece of work."""
    until(lambda: task.over)
    return task


def test_one_at_a_time_in_order(desk: Desk) -> None:
    """What comes later waits, and begins when what came before is done."""
    going, order = threading.Event(), []

    def first(progress: Progress) -> dict[str, object]:
        assert going.wait(600)
        order.append(1)
        return {"number": 1}

    def second(progress: Progress) -> dict[str, object]:
        order.append(2)
        return {}

    one, two = desk.submit("a", "one", first), desk.submit("a", "two", second)
    until(lambda: one.state == "running")
    assert two.state == "waiting"
    going.set()
    assert over(two).state == "done"
    assert (order, one.outcome) == ([1, 2], {"number": 1})


def test_work_is_ended_at_its_next_step_and_what_waits_is_not_begun(desk: Desk) -> None:
    """The next one goes on as if nothing had been."""
    begun = threading.Event()
    one = desk.submit("a", "one", endless(begun))
    two = desk.submit("a", "two", endless(threading.Event()))
    three = desk.submit("a", "three", lambda progress: {})
    assert begun.wait(600)
    desk.cancel(two.number)
    assert two.state == "cancelled"
    desk.cancel(one.number)
    assert over(one).state == "cancelled"
    assert over(three).state == "done"
    desk.cancel(three.number)
    desk.cancel(999)
    assert three.state == "done"


def test_what_fails_says_why_and_ends_nothing_else(desk: Desk) -> None:
    """In the command's words; faults that nobody foresaw, too."""

    def stranger(progress: Progress) -> dict[str, object]:
        raise NotThisPersonError("this is not adele", "Use --force to go on anyway.")

    def fault(progress: Progress) -> dict[str, object]:
        raise ZeroDivisionError("oh")

    one, two = desk.submit("a", "one", stranger), desk.submit("a", "in.jpg", fault)
    assert over(two).error is not None
    assert one.error == {
        "kind": "stranger",
        "message": "this is not adele",
        "hint": "Use --force to go on anyway.",
    }
    assert two.error["message"] == "in.jpg: unexpected ZeroDivisionError: oh"
    assert over(desk.submit("a", "three", lambda progress: {})).state == "done"


def test_the_time_left_follows_from_the_pace(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the stage under way, from its own first step on; a stage that is resumed counts from there."""
    clock = iter([*range(0, 1000, 2)])
    said = []

    def work(progress: Progress) -> dict[str, object]:
        monkeypatch.setattr(tasks.time, "monotonic", lambda: float(next(clock)))
        for stage, done in (("a", 0), ("a", 1), ("b", 4), ("b", 6), ("b", 10)):
            progress(Step(stage, done, 10))
            said.append(task.left)
        monkeypatch.undo()
        return {}

    going = threading.Event()
    desk.submit("a", "zero", lambda progress: {"ok": going.wait(600)})
    task = desk.submit("a", "one", work)
    going.set()
    assert over(task).state == "done"
    assert said == [None, 18.0, None, 4.0, 0.0]


def test_the_queue_is_bounded_and_what_is_over_is_forgotten(desk: Desk) -> None:
    """However often somebody presses the button."""
    begun = threading.Event()
    one = desk.submit("a", "one", endless(begun))
    assert begun.wait(600)
    for _ in range(tasks.MOST_WAITING):
        desk.submit("a", "more", lambda progress: {})
    with pytest.raises(MystyleError, match="waiting"):
        desk.submit("a", "too much", lambda progress: {})
    desk.cancel_all()
    assert over(one).state == "cancelled"
    for _ in range(2 * tasks.KEPT):
        over(desk.submit("a", "short", lambda progress: {}))
    assert len(desk.tasks()) <= tasks.KEPT + 1


def test_closing_ends_what_runs() -> None:
    """And takes nothing on after that."""
    desk, begun = Desk(), threading.Event()
    task = desk.submit("a", "one", endless(begun))
    assert begun.wait(600)
    desk.close(600)
    assert task.state == "cancelled"
    with pytest.raises(MystyleError):
        desk.submit("a", "late", lambda progress: {})
