"""Tuning: eq 1 on a tiny generator; resumable, deterministic, and only the synthesis network moves."""

from __future__ import annotations

import dataclasses
import math
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mystyle_cli.errors import ProfileError, UsageError
from mystyle_cli.nets.device import CPU, Device
from mystyle_cli.prior.registry import Prior, open_prior
from mystyle_cli.progress import Step
from mystyle_cli.tuning.settings import TuneSettings, batches_of_pass, learning_rate_at
from mystyle_cli.tuning.tuning import STATE_FILE, Reconstruction, tune

QUICK = TuneSettings(passes=3, batch=2, learning_rate=3e-3, precision="float32", save_seconds=0.0)


@pytest.fixture(scope="module")
def prior(tiny_prior: Path) -> Prior:
    """The tiny prior, open."""
    return open_prior(tiny_prior)


@pytest.fixture(scope="module")
def data(prior: Prior) -> tuple[np.ndarray, np.ndarray]:
    """Five codes and five smooth pictures that the generator does not make of them."""
    rng = np.random.default_rng(0)
    small = torch.from_numpy(rng.uniform(-0.8, 0.8, (5, 3, 4, 4)).astype(np.float32))
    size = prior.resolution
    images = torch.nn.functional.interpolate(small, (size, size), mode="bicubic").clamp(-1, 1).numpy()
    return rng.standard_normal((5, prior.w_dim)).astype(np.float32), images


def run(prior: Prior, data: tuple[np.ndarray, np.ndarray], how: TuneSettings, folder: Path | None = None,
        progress: Callable[[Step], None] = lambda step: None) -> dict[str, torch.Tensor]:  # fmt: skip
    """Tune a fresh generator; returns the tuned parameters."""
    return tune(Reconstruction(prior.generator(), *data, prior.perceptual()), how, folder, progress).state


@settings(max_examples=60)
@given(st.integers(1, 200), st.integers(1, 40), st.integers(0, 9), st.integers(0, 50))
def test_each_pass_sees_every_photo_once(count: int, batch: int, seed: int, number: int) -> None:
    """Batches cover the set, none is larger than asked for, and their sizes differ by one at most."""
    parts = batches_of_pass(count, batch, seed, number)
    assert sorted(np.concatenate(parts)) == list(range(count))
    sizes = [len(part) for part in parts]
    assert max(sizes) <= batch
    assert max(sizes) - min(sizes) <= 1
    assert len(parts) == math.ceil(count / batch)


def test_passes_differ_and_repeat_with_their_seed() -> None:
    """The order depends on seed and pass alone."""
    first, again = (np.concatenate(batches_of_pass(50, 8, 3, 7)) for _ in range(2))
    assert (first == again).all()
    assert (first != np.concatenate(batches_of_pass(50, 8, 3, 8))).any()
    assert (first != np.concatenate(batches_of_pass(50, 8, 4, 7))).any()


@settings(max_examples=60)
@given(st.integers(1, 500), st.floats(0, 0.99))
def test_the_rate_rises_then_falls_to_nothing(steps: int, warmup: float) -> None:
    """The schedule has one top, at the rate given, is never 0 and ends near it."""
    how = TuneSettings(learning_rate=1.0, warmup=warmup)
    rates = np.array([learning_rate_at(how, step, steps) for step in range(steps)])
    top = int(rates.argmax())
    assert (rates > 0).all()
    assert rates.max() == pytest.approx(1.0)
    assert (np.diff(rates[: top + 1]) > 0).all()
    assert (np.diff(rates[top + 1 :]) < 0).all()


@pytest.mark.parametrize("wrong", [{"passes": 0}, {"batch": 0}, {"learning_rate": 0.0}, {"warmup": 1.0}])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    """Values that no tuning can use are errors before any work."""
    with pytest.raises(UsageError):
        TuneSettings(**wrong)  # type: ignore[arg-type]


def test_precision_asked_for_is_kept() -> None:
    """Only "auto" is settled by the machine."""
    assert CPU.precision("bfloat16") == "bfloat16"
    assert Device("cuda").precision("float32") == "float32"
    assert CPU.precision("auto") in ("bfloat16", "float32")


def test_auto_takes_bfloat16_where_a_gpu_multiplies_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ampere and later do; older cards would emulate it, more slowly than float32."""
    for capability, expected in (((7, 5), "float32"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, found=capability: found)
        assert Device("cuda:1").precision("auto") == expected


def test_kernels_move_along_all_directions_and_colours_as_adam_moves_them(
    prior: Prior, data: tuple[np.ndarray, np.ndarray]
) -> None:
    """After one step: kernels by even singular values, affine weights by .3 of that, the rest like Adam."""
    how = dataclasses.replace(QUICK, passes=1, batch=5, warmup=0.0, learning_rate=1e-3)
    before = {name: value.clone() for name, value in prior.generator().state_dict().items()}
    rate = learning_rate_at(how, 0, 1)
    seen: set[str] = set()
    for name, value in run(prior, data, how).items():
        moved = (value - before[name]) / rate
        if name.endswith(("torgb.weight", "bias", "noise_strength")):
            assert moved.abs().max().item() == pytest.approx(0.3, rel=0.02), "Adam's first step is a sign"
            seen.add("adam")
        elif name.endswith("weight"):
            share = 0.3 if ".affine." in name else 1.0
            rows = moved.movedim(1, -1).flatten(1)
            values = torch.linalg.svdvals(rows) / (share * max(rows.shape) ** 0.5)
            assert 0.6 < values[0] < 1.25, name
            assert (values > 0.5).sum() >= 3, "not the first direction alone"
            seen.add("affine" if share < 1 else "kernel")
    assert seen == {"adam", "affine", "kernel"}


def test_the_loss_of_the_curve_is_eq_1(prior: Prior, data: tuple[np.ndarray, np.ndarray]) -> None:
    """With no rate to speak of the first pass shows LPIPS + lambda * mean squared error, by plain code."""
    codes, images = (torch.from_numpy(part) for part in data)
    how = dataclasses.replace(QUICK, passes=1, learning_rate=1e-12, weight_l2=0.5)
    result = tune(Reconstruction(prior.generator(), *data, prior.perceptual()), how)
    generator, net = prior.generator(), prior.perceptual().net
    with torch.no_grad():
        made = generator.synthesis(codes[:, None].repeat(1, generator.num_ws, 1))
        lpips = net(made, images).mean().item()
        l2 = ((made - images) ** 2).mean().item()
    (point,) = result.curve
    assert point.l2 == pytest.approx(l2, rel=1e-4)
    assert point.perceptual == pytest.approx(lpips, rel=1e-3)
    assert point.loss == pytest.approx(lpips + 0.5 * l2, rel=1e-3)


def test_tuning_lowers_the_loss_and_leaves_the_mapping(
    prior: Prior, data: tuple[np.ndarray, np.ndarray]
) -> None:
    """Every synthesis weight may move, nothing else does, and the generator comes back frozen."""
    generator, before = prior.generator(), prior.generator().state_dict()
    result = tune(Reconstruction(generator, *data, prior.perceptual()), dataclasses.replace(QUICK, passes=12))
    assert result.curve[-1].loss < 0.8 * result.curve[0].loss
    assert not any(parameter.requires_grad for parameter in generator.parameters())
    for name, value in generator.state_dict().items():
        assert name in result.state or torch.equal(value, before[name]), name
    assert set(result.state) == {n for n, _ in generator.named_parameters() if n.startswith("synthesis.")}


@pytest.mark.parametrize("threads", [1, 2], indirect=True)
@pytest.mark.usefixtures("threads")
def test_the_same_seed_gives_the_same_weights(prior: Prior, data: tuple[np.ndarray, np.ndarray]) -> None:
    """Two runs are bit for bit equal; another seed is not."""
    first, again = run(prior, data, QUICK), run(prior, data, QUICK)
    other = run(prior, data, dataclasses.replace(QUICK, seed=1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


class Stop(BaseException):
    """Raised by the tests in the middle."""


@pytest.mark.parametrize(("stop", "threads"), [(1, 2), (4, 1), (8, 2)], indirect=["threads"])
@pytest.mark.usefixtures("threads")
def test_stopped_and_resumed_is_bit_for_bit_the_same(
    prior: Prior, data: tuple[np.ndarray, np.ndarray], tmp_path: Path, stop: int
) -> None:
    """A tuning that was stopped ends with the weights and the curve of one that was not."""

    def report(step: Step) -> None:
        if step.done == stop:
            raise Stop

    whole = tune(Reconstruction(prior.generator(), *data, prior.perceptual()), QUICK)
    with pytest.raises(Stop):
        run(prior, data, QUICK, tmp_path, report)
    steps: list[int] = []
    again = tune(
        Reconstruction(prior.generator(), *data, prior.perceptual()),
        QUICK,
        tmp_path,
        lambda step: steps.append(step.done),
    )
    assert steps[0] == stop, "the step before the one that was stopped had been saved"
    assert all(torch.equal(whole.state[name], again.state[name]) for name in whole.state)
    assert again.curve == whole.curve


def test_a_state_of_other_work_is_not_used(
    prior: Prior, data: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other photos, settings or optimiser, or a damaged file: the tuning starts from the beginning."""

    def first_step(images: np.ndarray, how: TuneSettings) -> int:
        steps: list[int] = []

        def report(step: Step) -> None:
            steps.append(step.done)
            if len(steps) == 2:
                raise Stop

        with pytest.raises(Stop):
            run(prior, (data[0], images), how, tmp_path, report)
        return steps[0]

    assert first_step(data[1], QUICK) == 1
    assert first_step(data[1], QUICK) == 2
    assert first_step(-data[1], QUICK) == 1
    assert first_step(data[1], dataclasses.replace(QUICK, seed=5)) == 1
    (tmp_path / STATE_FILE).write_bytes(b"nonsense")
    assert first_step(data[1], QUICK) == 1
    monkeypatch.setattr("mystyle_cli.tuning.tuning.METHOD", "another")
    assert first_step(data[1], QUICK) == 1


def test_ctrl_c_ends_after_the_step_with_the_state_saved(
    prior: Prior, data: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    """One SIGINT lets the step end, saves, raises KeyboardInterrupt, and gives the signal back."""
    handler = signal.getsignal(signal.SIGINT)
    how = dataclasses.replace(QUICK, save_seconds=1e9)
    with pytest.raises(KeyboardInterrupt):
        run(prior, data, how, tmp_path, lambda step: step.done == 4 and signal.raise_signal(signal.SIGINT))
    assert signal.getsignal(signal.SIGINT) is handler
    steps: list[int] = []
    run(prior, data, how, tmp_path, lambda step: steps.append(step.done))
    assert steps[0] == 5


@pytest.mark.parametrize("value", [np.nan, 1e30])
def test_a_loss_that_is_not_finite_is_an_error(
    prior: Prior, data: tuple[np.ndarray, np.ndarray], value: float
) -> None:
    """Nonsense in the photos or an absurd rate never becomes a profile."""
    broken = data[1].copy()
    broken[0, 0, 0, 0] = value
    with pytest.raises(ProfileError, match="not finite"):
        run(prior, (data[0], broken), QUICK)


def test_bfloat16_comes_close_to_float32(prior: Prior, data: tuple[np.ndarray, np.ndarray]) -> None:
    """Low precision reaches nearly the same loss."""
    losses = []
    for precision in ("float32", "bfloat16"):
        how = dataclasses.replace(QUICK, passes=8, precision=precision)
        losses.append(tune(Reconstruction(prior.generator(), *data, prior.perceptual()), how).curve[-1].loss)
    assert losses[1] == pytest.approx(losses[0], rel=0.1)
