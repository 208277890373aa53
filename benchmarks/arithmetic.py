"""Where time goes: the operations of a tuning and of a search step, against what the machine can do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import Report, Spread, interleaved, spread
from benchmarks.people import good_faces
from mystyle_cli.nets.processors import usable_processors
from mystyle_cli.prior.registry import Prior, open_prior
from mystyle_cli.tuning.settings import TuneSettings
from tools.portraits import PRIOR

SIDE: Final = 2048
"""Of the square matrices whose product is taken for what the machine can do."""

SHOWN: Final = 8
"""Operations listed, by their share of the time."""

Step = Callable[[], object]


def run(rounds: int) -> Report:
    """Count the operations of each part, time it, and time a matrix product beside it."""
    torch.set_num_threads(usable_processors())
    prior, batch = open_prior(PRIOR), TuneSettings().batch
    parts = _parts(prior, good_faces(batch))
    a = torch.randn(SIDE, SIDE)
    cases: dict[str, Step] = {**parts, "matrix product": lambda: a @ a}
    seconds = interleaved(cases, rounds)
    peaks = [2 * SIDE**3 / one for one in seconds["matrix product"]]
    figures: dict[str, Spread] = {"matrix product, GFLOP/s": spread([peak / 1e9 for peak in peaks])}
    for name, step in parts.items():
        flops = _count(step)
        figures[f"{name}, GFLOP a picture"] = spread([flops / batch / 1e9])
        figures[f"{name}, ms a picture"] = spread([1000 * one / batch for one in seconds[name]])
        reached = [flops / one / peak for one, peak in zip(seconds[name], peaks, strict=True)]
        figures[f"{name}, share of the matrix product's rate, %"] = spread([100 * one for one in reached])
    facts = {
        "batch": batch,
        "threads": usable_processors(),
        "prior": prior.digest,
        "tuning_step_by_operation": _operations(parts["tuning step"]),
    }
    return Report("Arithmetic of a step", figures, {}, facts)


def _parts(prior: Prior, images: np.ndarray) -> dict[str, Step]:
    """Return what a step is made of, for a batch of photos (B, 3, R, R)."""
    generator, perceptual = prior.generator(), prior.perceptual()
    photos = torch.from_numpy(images)
    codes = torch.from_numpy(prior.encode(images)).unsqueeze(1).expand(-1, generator.num_ws, -1)
    with torch.no_grad():
        features = perceptual.features(photos)
    weights = [p for name, p in generator.named_parameters() if name.startswith("synthesis.")]

    def loss(made: torch.Tensor) -> torch.Tensor:
        return perceptual.distance_to(features, made).mean() + (made - photos).square().mean()

    def render() -> None:
        with torch.no_grad():
            generator.synthesis(codes)

    def perceive() -> None:
        with torch.no_grad():
            perceptual.features(photos)

    def tune() -> None:
        for weight in weights:
            weight.grad = None
            weight.requires_grad_(True)
        loss(generator.synthesis(codes)).backward()  # type: ignore[no-untyped-call]

    def search() -> None:
        for weight in weights:
            weight.requires_grad_(False)
        free = codes.clone().requires_grad_()
        loss(generator.synthesis(free)).backward()  # type: ignore[no-untyped-call]

    return {"render": render, "LPIPS features": perceive, "tuning step": tune, "search step": search}


def _count(step: Step) -> int:
    """Return the floating-point operations of a step's convolutions and products, a multiply-add as two."""
    counter = FlopCounterMode(display=False)
    with counter:
        step()
    return int(counter.get_total_flops())


def _operations(step: Step) -> dict[str, float]:
    """Return the percentage of a step's time that each of its costliest operations takes by itself."""
    step()
    started = time.perf_counter()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        step()
    whole = time.perf_counter() - started
    events = sorted(found.key_averages(), key=lambda event: -event.self_cpu_time_total)[:SHOWN]
    return {event.key: round(event.self_cpu_time_total / 1e4 / whole, 1) for event in events}
