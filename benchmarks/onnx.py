"""Throughput of the exported generator against eager torch: the bundled prior's shapes, the same codes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import Report, Spread, interleaved, per, ratio
from mystyle_cli.nets.export import synthesis_file
from mystyle_cli.nets.exported import open_synthesis
from mystyle_cli.nets.processors import usable_processors
from mystyle_cli.prior.registry import open_prior
from mystyle_cli.sample.rendering import TorchRenderer
from tools.portraits import PRIOR

BATCHES = (1, 16)
CLOCKS = {time.perf_counter: "ms", time.process_time: "ms of processor"}


def run(rounds: int) -> Report:
    """Render batches of 1 and 16 with both, in turn."""
    prior = open_prior(PRIOR)
    generator = prior.generator()
    torch.set_num_threads(usable_processors())
    drawn = np.random.default_rng(0).normal(size=(max(BATCHES), prior.num_ws, prior.w_dim))
    codes = drawn.astype(np.float32)
    figures: dict[str, Spread] = {}
    ratios: dict[str, Spread] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "synthesis.onnx"
        path.write_bytes(synthesis_file(generator))
        exported, eager = open_synthesis(path, prior.w_dim), TorchRenderer(generator)
        difference = float(np.abs(exported.render(codes) - eager.render(codes)).max())
        for batch in BATCHES:
            cases: dict[str, Callable[[], object]] = {
                "torch": partial(eager.render, codes[:batch]),
                "onnx": partial(exported.render, codes[:batch]),
            }
            for clock, unit in CLOCKS.items():
                seconds = interleaved(cases, rounds, clock=clock)
                for name, values in seconds.items():
                    figures[f"{name}, batch {batch}, {unit} a picture"] = per(values, batch, 1000)
                ratios[f"torch / onnx, batch {batch}, {unit}"] = ratio(seconds, "torch", "onnx")
        size = path.stat().st_size
    facts = {"prior": prior.name, "threads": usable_processors(), "largest_difference": difference}
    facts |= {"file_bytes": size, "provider": exported.provider}
    return Report("Rendering: the exported generator against eager torch", figures, ratios, facts)
