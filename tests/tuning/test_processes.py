"""Tuning by several processes: the weights of one, gone on with by any number, ended by any that ends."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mystyle_cli.errors import ProfileError, RankError, UsageError
from mystyle_cli.nets.cost import Plan
from mystyle_cli.prior.registry import Prior, open_prior
from mystyle_cli.progress import Step, silent
from mystyle_cli.ranks import ALONE, Ranks
from mystyle_cli.tuning import tuning
from mystyle_cli.tuning.settings import TuneResult, TuneSettings, batches_of_pass
from mystyle_cli.tuning.tuning import Reconstruction, tune
from tests.support.processes import beside, ended

HOW = TuneSettings(passes=10, batch=3, learning_rate=3e-3, precision="float32", save_seconds=0.0)
STEPS = 20
"""Ten passes of six photos, three at a time: a part of two and one of one."""

PARTS = Plan(at_once=2)
"""One process that takes a step in such parts."""

SHORT = dataclasses.replace(HOW, passes=2)
TOLERANCE = 1e-3
"""Largest difference of a weight, all of which are about 1, to one process that takes a step at once."""

Data = tuple[np.ndarray, np.ndarray]


class Stop(BaseException):
    """Raised by the tests in the middle."""


@pytest.fixture(scope="module")
def prior(tiny_prior: Path) -> Prior:
    """The tiny prior, open."""
    return open_prior(tiny_prior)


@pytest.fixture(scope="module")
def data(prior: Prior) -> Data:
    """Six codes and six pictures."""
    rng = np.random.default_rng(0)
    size = prior.resolution
    small = torch.from_numpy(rng.uniform(-0.8, 0.8, (6, 3, 4, 4)).astype(np.float32))
    images = torch.nn.functional.interpolate(small, (size, size), mode="bicubic").clamp(-1, 1).numpy()
    return rng.standard_normal((6, prior.w_dim)).astype(np.float32), images


Tuner = Callable[..., TuneResult]


@pytest.fixture(scope="module")
def tuned(prior: Prior, data: Data) -> Tuner:
    """Tunes a fresh generator."""

    def run(
        ranks: Ranks = ALONE,
        folder: Path | None = None,
        progress: Callable[[Step], object] = silent,
        how: TuneSettings = HOW,
        data: Data = data,
        plan: Plan | None = None,
    ) -> TuneResult:
        objective = Reconstruction(prior.generator(), *data, prior.perceptual())
        return tune(objective, how, folder, progress, plan, ranks)  # type: ignore[arg-type]

    return run


def difference(one: TuneResult, other: TuneResult) -> float:
    """Return the largest difference of two results' weights."""
    assert one.state.keys() == other.state.keys()
    return max(float((one.state[name] - other.state[name]).abs().max()) for name in one.state)


def stop_at(step: int) -> Callable[[Step], None]:
    """Return a progress that stops the tuning in a step, after the ones before were saved."""

    def report(reported: Step) -> None:
        if reported.done == step:
            raise Stop

    return report


def test_two_processes_make_the_weights_of_one(tuned: Tuner, tmp_path: Path) -> None:
    """To the bit those of one that takes a step in the same parts; to rounding those of one that does not."""
    alone, in_parts = tuned(), tuned(plan=PARTS)
    with beside(tmp_path, tuned) as ranks:
        found = tuned(ranks)
    assert difference(found, in_parts) == 0
    print(f"largest difference of the weights after {STEPS} steps: {difference(found, alone):.1e}")
    assert difference(found, alone) < TOLERANCE
    for point, same in zip(found.curve, alone.curve, strict=True):
        assert dataclasses.astuple(point) == pytest.approx(dataclasses.astuple(same), rel=1e-4)


@pytest.mark.parametrize("first", [2, 1])
def test_another_number_of_processes_goes_on(tuned: Tuner, tmp_path: Path, first: int) -> None:
    """What two have begun, one goes on with, and the other way round; both end where one alone does."""
    steps: list[int] = []

    def run(size: int, progress: Callable[[Step], object]) -> TuneResult:
        if size == 1:
            return tuned(ALONE, tmp_path, progress, SHORT, plan=PARTS)
        with beside(tmp_path, lambda ranks: tuned(ranks, how=SHORT)) as ranks:
            return tuned(ranks, tmp_path, progress, SHORT)

    with pytest.raises(Stop):
        run(first, stop_at(3))
    found, uninterrupted = run(3 - first, lambda step: steps.append(step.done)), tuned(how=SHORT, plan=PARTS)
    assert steps == [3, 4], "two steps had been saved"
    assert difference(found, uninterrupted) == 0
    assert len(found.curve) == len(uninterrupted.curve)


def test_one_that_is_killed_ends_the_other(tuned: Tuner, tmp_path: Path) -> None:
    """The first says so at once, and what was saved is there."""

    def die(step: Step) -> None:
        if step.done == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    with (
        pytest.raises(RankError, match="one of the 2 processes ended"),
        beside(tmp_path, lambda ranks: tuned(ranks, None, die, SHORT)) as ranks,
    ):
        tuned(ranks, tmp_path, how=SHORT)
    with pytest.raises(Stop):
        tuned(ALONE, tmp_path, stop_at(3), SHORT)


def test_one_that_hangs_is_not_waited_for(tuned: Tuner, tmp_path: Path) -> None:
    """After as much patience as there is, a process that does nothing any more ends the other."""
    with (
        pytest.raises(RankError, match="does not answer"),
        beside(
            tmp_path, lambda ranks: tuned(ranks, None, lambda step: time.sleep(600), SHORT), 2, 0
        ) as ranks,
    ):
        tuned(ranks, how=SHORT)


def test_what_is_wrong_ends_both_with_its_reason(tuned: Tuner, data: Data, tmp_path: Path) -> None:
    """A loss that is not finite in the other's part is what both say, not that the other has ended."""
    broken = data[0], data[1].copy()
    broken[1][batches_of_pass(6, 3, HOW.seed, 0)[0][-1]] = np.nan  # the last of the first batch
    with (
        pytest.raises(ProfileError, match="not finite"),
        beside(tmp_path, lambda ranks: tuned(ranks, data=broken)) as ranks,
    ):
        tuned(ranks, data=broken)
    assert ended(tmp_path).startswith("ProfileError: the loss of tuning is not finite at step 1")


def test_other_photos_are_refused_in_both(tuned: Tuner, data: Data, tmp_path: Path) -> None:
    """Processes that would tune something else each do not begin."""
    with (
        pytest.raises(RankError, match="do not see the same"),
        beside(tmp_path, lambda ranks: tuned(ranks, data=(data[0], -data[1]))) as ranks,
    ):
        tuned(ranks)
    assert ended(tmp_path).startswith("RankError: the processes do not see the same")


def test_ctrl_c_in_one_ends_both_after_the_step(tuned: Tuner, tmp_path: Path) -> None:
    """Whichever is told to end, both end after the same step, which is saved."""
    how = dataclasses.replace(SHORT, save_seconds=1e9)

    def interrupt(step: Step) -> None:
        if step.done == 2:
            signal.raise_signal(signal.SIGINT)

    with (
        pytest.raises(KeyboardInterrupt),
        beside(tmp_path, lambda ranks: tuned(ranks, None, interrupt, how)) as ranks,
    ):
        tuned(ranks, tmp_path, how=how)
    assert ended(tmp_path).startswith("KeyboardInterrupt")
    with pytest.raises(Stop):
        tuned(ALONE, tmp_path, stop_at(3), how)


def test_more_processes_than_a_step_has_photos_are_refused(tuned: Tuner) -> None:
    """Six photos, four a step, are steps of three, which are not shared out among four."""
    with pytest.raises(UsageError, match="4 processes are more than some steps have photos"):
        tuned(Ranks(0, 4), how=dataclasses.replace(HOW, batch=4))


def test_only_the_first_keeps_the_state(prior: Prior, data: Data, tmp_path: Path) -> None:
    """The others might write another step's over it."""
    objective = Reconstruction(prior.generator(), *data, prior.perceptual())
    runs = [tuning._Run(objective, HOW, tmp_path, None, Ranks(rank, 2)) for rank in range(2)]
    assert [run.state_path for run in runs] == [tmp_path / tuning.STATE_FILE, None]
    assert runs[0].key == runs[1].key != ""


@pytest.mark.parametrize(("own", "free"), [(False, 50), (True, 100)])
def test_processes_of_a_machine_share_its_memory(
    own: bool, free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graphics card's is its process's alone; of the batch each plans for its part."""
    device = SimpleNamespace(precision=lambda name: "float32", free_memory=lambda: 100, has_own_memory=own)
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(tuning, "plan_tuning", lambda *words, **more: asked.append((words[3], more["free"])))
    how = dataclasses.replace(HOW, batch=5)
    tuning.plan_for(None, None, 6, how, device, Ranks(1, 2, 1, 2))  # type: ignore[arg-type]
    assert asked == [(3, free)]
