"""The benchmarks' arithmetic, and that each can be run by its name."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import __main__ as entry
from benchmarks import determinism, full_width, plain, projection, sharing, tuning
from benchmarks.measure import Report, Spread, interleaved, per, ratio, spread
from mystyle_cli.nets.generator import Generator
from mystyle_cli.nets.processors import threads
from mystyle_cli.tuning.settings import TuneSettings
from tests.support.tiny_store import make_store


def test_cases_take_turns() -> None:
    """Every round runs each case once, in the opposite order of the round before; warm-ups do not count."""
    order: list[str] = []
    seconds = interleaved({name: lambda name=name: order.append(name) for name in "ab"}, rounds=3, warmup=1)
    assert order == list("ba" + "ab" + "ba" + "ab")
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3}


def test_ratios_are_of_pairs() -> None:
    """A machine that slows down between rounds changes no ratio."""
    seconds = {"slow": [2.0, 20.0, 6.0], "fast": [1.0, 10.0, 2.0]}
    assert ratio(seconds, "slow", "fast") == Spread(2.0, 2.0, 3.0, 3)
    assert per([1.0, 3.0], 4, 1000) == Spread(500.0, 250.0, 750.0, 2)
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0, 3)


@pytest.mark.parametrize("name", entry.names())
def test_each_benchmark_can_be_run(name: str) -> None:
    """Every module of the package that is no helper has a `run`."""
    assert callable(importlib.import_module(f"benchmarks.{name}").run)


def test_results_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The JSON holds every figure with its spread, and the printed lines the medians."""
    report = Report("A title", {"a, ms": Spread(1.5, 1.0, 2.0, 3)}, {"a / b": Spread(3.0, 2.0, 4.0, 3)})
    monkeypatch.setattr("benchmarks.onnx.run", lambda rounds: report)
    monkeypatch.setattr("sys.argv", ["benchmarks", "onnx", "--rounds", "3", "--results", str(tmp_path)])
    entry.main()
    found = json.loads((tmp_path / "onnx.json").read_text())
    assert found["figures"]["a, ms"] == {"median": 1.5, "low": 1.0, "high": 2.0, "count": 3}
    assert (found["rounds"], found["benchmark"]) == (3, "onnx")
    assert "a / b: 3 (2 to 4, n=3) times" in capsys.readouterr().out


def test_the_plain_loop_renders_the_same_pictures() -> None:
    """Styles multiplied into the weights, in groups, give what the program gives, noise and clamps too."""
    torch.manual_seed(0)
    generator = Generator(channels={4: 8, 8: 6, 16: 4}, z_dim=6, w_dim=6, mapping_layers=1, clamp=1.5)
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            parameter.data.fill_(0.3)
    codes = torch.randn(3, generator.num_ws, 6)
    with torch.no_grad():
        torch.testing.assert_close(plain.render(generator, codes), generator.synthesis(codes))


def test_steps_of_full_width_are_timed_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every loop runs, and a ratio is that of the seconds beside it; small nets stand in for wide ones."""
    small = {"RESOLUTION": 32, "WIDEST": 8, "PHOTOS": 7, "STEPS": 2, "DEVICE": "cpu", "SIDE": {"cpu": 64}}
    for name, value in small.items():
        monkeypatch.setattr(full_width, name, value)
    report = full_width.run(2)
    plainly, ours = (report.figures[f"tuning, {name}, s a picture and step"] for name in ("plain", "ours"))
    assert plainly.count == ours.count == 4
    faster = report.ratios["tuning, plain / tuning, ours"]
    assert plainly.low / ours.high <= faster.median <= plainly.high / ours.low
    passes = TuneSettings().passes
    whole = report.figures[f"tuning, ours, 7 photos, {passes} passes, s"]
    assert whole.median == pytest.approx(7 * passes * ours.median)
    assert report.figures["tuning step, TFLOP a picture"].median > 0
    assert len(report.ratios) == 3


def test_ours_takes_as_many_steps_as_the_plain_loop_s_loss_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first number of steps with which every compared photo is there; endless seconds where none is."""
    first, second = projection.STEPS[:2]
    reached = {first: [0.9, 2.0, 9.0], second: [0.8, 1.0, 9.0]}

    def search(engine: int, task: str, crops: np.ndarray, steps: int) -> projection.Answers:
        losses = np.array(reached.get(steps, [0.7, 0.7, 9.0]))
        return projection.Answers([1.0] * 3, [steps] * 3, losses, crops)

    monkeypatch.setattr(projection, "_engine", lambda task, steps: steps)
    monkeypatch.setattr(projection, "_search", search)
    crops = np.zeros((3, 2, 2, 3), np.uint8)
    assert projection._until("upscale", crops, np.array([1.0])).steps == [first] * 3
    assert projection._until("upscale", crops, np.array([1.0, 1.0])).steps == [second] * 3
    assert projection._until("upscale", crops, np.array([0.1])).seconds == [math.inf] * 3


def test_a_tuning_is_as_good_when_nothing_is_worse() -> None:
    """The fewest passes with a loss as low and held-out photos as near count, and what comes before them."""
    theirs = {100: tuning.Quality(0.02, 0.87, 0.045), 200: tuning.Quality(0.001, 0.87, 0.045)}
    ours = {
        5: tuning.Quality(0.05, 0.9, 0.04),
        10: tuning.Quality(0.02, 0.86, 0.04),
        15: tuning.Quality(0.02, 0.87, 0.046),
        20: tuning.Quality(0.02, 0.87, 0.045),
    }
    seconds = {"plain": [6.0, 3.0], "ours": [3.0, 1.0]}
    found = tuning._to_their_losses(seconds, [15.0, 10.0], theirs, ours)
    assert found == {"to the loss of 100 plain passes, in 20 of ours": spread([600 / 75, 300 / 30])}


def test_sharing_compares_with_the_work_s_own_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_prior: Path
) -> None:
    """Four at once count against the processor's time of one alone, and every case against one thread."""
    asked: list[tuple[bool, int, int]] = []

    def together(words: list[str], runs: int, loops: int, folder: Path) -> tuple[float, float]:
        one = "--threads" in words
        asked.append((one, runs, loops))
        return runs * (1.0 if one else 1.2) + loops, runs * 2.0

    monkeypatch.setattr(sharing, "_together", together)
    found = sharing.report(make_store(tmp_path, tiny_prior).open("ada"), 1)
    assert sorted(asked) == sorted((one, *case) for case in sharing.CASES.values() for one in (False, True))
    assert found.ratios["four at once / own time"].median == pytest.approx(4.8 / 2)
    assert found.ratios["four at once / the same with one thread"].median == pytest.approx(1.2)
    assert found.ratios["beside a busy loop / the same with one thread"].median == pytest.approx(2.2 / 2)


def test_determinism_tells_the_largest_difference(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_prior: Path
) -> None:
    """Of any pixel, for each pair of ways; the threads are as before afterwards."""
    before = threads()
    work = lambda batch: [np.array([[batch, 7, 7 + threads()]], np.uint8)]  # noqa: E731
    monkeypatch.setattr(determinism, "_works", lambda profile, faces: {"work": work})
    found = determinism.report(make_store(tmp_path, tiny_prior).open("ada"), np.zeros((2, 3, 32, 32)))
    assert [int(figure.median) for figure in found.figures.values()] == [0, determinism.PHOTOS - 1, 1, 0]
    assert threads() == before
