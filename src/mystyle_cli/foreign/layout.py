"""From named tensors to a generator: sizes read from the tensors, every name and shape compared.

Source: StyleGAN2 (Karras et al. 2020); names as in NVIDIA's stylegan2-ada-pytorch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mystyle_cli.errors import ModelError
from mystyle_cli.nets.generator import Generator, blur_kernel

SHOWN = 3  # names that an error lists of each kind
LARGEST = 2048  # edge length of pictures; the published generators go up to 1024
WIDEST = 4096  # numbers of a code; the published generators have 512
DRAWN = 10_000  # codes whose mean stands in for a w_avg that the file lacks
WRAPPERS = ("module.", "_orig_mod.")  # of parallel training and torch.compile
HINT = "give the file as its authors published it; `mystyle prior import --help` lists what can be read"


@dataclass(frozen=True)
class Layout:
    """A generator as a file holds it."""

    tensors: Mapping[str, Tensor]  # by NVIDIA's names, "synthesis.b4.const", ...; constant filters left out
    clamp: float | None = None  # bound on activations that the file records
    multiplier: float = 0.01  # learning-rate multiplier of the mapping
    notes: Sequence[str] = field(default=())  # what had to be assumed, one sentence each


def build(layout: Layout, path: Path) -> tuple[Generator, tuple[str, ...]]:
    """Make the generator that a layout describes, and notes on what was filled in; raises ModelError."""
    tensors = {name: plain(name, value, path) for name, value in layout.tensors.items()}
    for name, value in tensors.items():
        if not value.numel():
            raise ModelError(f"{path}: {name} is empty", HINT)
    with torch.device("meta"):  # without memory, as the file's tensors become its own
        generator = _empty(tensors, layout, path)
    notes = list(layout.notes)
    expected = {name: tuple(value.shape) for name, value in generator.state_dict().items()}
    tensors |= {name: blur_kernel() for name in expected if name.endswith("resample_filter")}
    lacks_mean = "mapping.w_avg" in expected and "mapping.w_avg" not in tensors
    if lacks_mean:
        tensors["mapping.w_avg"] = torch.zeros(generator.w_dim)
    if not any(name.endswith("noise_const") for name in tensors):
        tensors |= _drawn_noise(expected)
        notes.append("The file holds no noise patterns; they were drawn with seed 0.")
    compare(expected, tensors, path, "a StyleGAN2 generator")
    generator.load_state_dict(tensors, assign=True)
    generator.eval().requires_grad_(False)
    if lacks_mean:
        _estimate_mean(generator)
        notes.append(f"The file holds no mean of w; it was estimated from {DRAWN} random codes.")
    return generator, tuple(notes)


def named_tensors(state: Mapping[Any, object]) -> dict[str, Tensor]:
    """Return the tensors of a state by their names, without what wrapping the whole net put before them."""
    tensors = {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
    for wrapper in WRAPPERS * 2:  # one may be inside the other
        if tensors and all(name.startswith(wrapper) for name in tensors):
            tensors = {name.removeprefix(wrapper): value for name, value in tensors.items()}
    return tensors


def check_filters(tensors: Mapping[str, Tensor], ending: str, gain: float, path: Path) -> dict[str, Tensor]:
    """Return the tensors without the constant filters, after seeing that these are the usual ones.

    Raises:
        ModelError: a filter is another one, or has another sum than `gain`.
    """
    usual = gain * blur_kernel()
    for name, value in tensors.items():
        if name.endswith(ending) and not (
            value.shape == usual.shape and torch.allclose(value.float(), usual, atol=1e-5)
        ):
            raise ModelError(f"{path}: {name} is not the filter [1, 3, 3, 1] that is implemented", HINT)
    return {name: value for name, value in tensors.items() if not name.endswith(ending)}


def plain(name: str, value: Tensor, path: Path) -> Tensor:
    """Return a tensor as float32; raises ModelError where its numbers are not finite, or whole."""
    if not value.is_floating_point():
        raise ModelError(f"{path}: {name} holds {value.dtype}, not floating-point numbers", HINT)
    numbers = value.detach().float()
    if not bool(torch.isfinite(numbers).all()):
        raise ModelError(f"{path}: {name} holds numbers that are not finite", "fetch the file again")
    return numbers


def _empty(tensors: Mapping[str, Tensor], layout: Layout, path: Path) -> Generator:
    channels = {
        int(conv1[1]): len(value)
        for name, value in tensors.items()
        if value.dim() == 4 and (conv1 := re.fullmatch(r"synthesis\.b(\d{1,4})\.conv1\.weight", name))
    }
    layers = sum(bool(re.fullmatch(r"mapping\.fc\d+\.weight", name)) for name in tensors)
    affine, first = (tensors.get(f"{name}.weight") for name in ("synthesis.b4.conv1.affine", "mapping.fc0"))
    if affine is None or affine.dim() != 2 or sorted(channels) != [4 << i for i in range(len(channels))]:
        raise ModelError(f"{path} is not a StyleGAN2 generator: it lacks layers of 4, 8, 16 ... pixels", HINT)
    if first is not None and first.dim() != 2:
        raise ModelError(f"{path}: mapping.fc0.weight is {list(first.shape)}, not a matrix", HINT)
    widths = [affine.shape[1], *(() if first is None else first.shape)]
    if max(channels) > LARGEST or max(widths) > WIDEST:
        raise ModelError(
            f"{path}: {max(channels)} pixels of codes of {max(widths)} numbers are more than is read", HINT
        )
    return Generator(
        channels=channels,
        z_dim=0 if first is None else int(first.shape[1]),
        w_dim=int(affine.shape[1]),
        mapping_layers=0 if first is None else layers,
        mapping_multiplier=layout.multiplier,
        clamp=layout.clamp,
    )


def compare(
    expected: Mapping[str, tuple[int, ...]], tensors: Mapping[str, Tensor], path: Path, what: str
) -> None:
    """Refuse (ModelError) names and shapes of tensors that are not those of `what`, "a ..."."""
    shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    wrong = [
        f"{name} ({list(shapes[name])} instead of {list(shape)})"
        for name, shape in expected.items()
        if name in shapes and shapes[name] != shape
    ]
    faults = {
        "missing": [name for name in expected if name not in shapes],
        "unexpected": [name for name in shapes if name not in expected],
        "of another shape": wrong,
    }
    if any(faults.values()):
        listed = "; ".join(f"{kind}: {_first(names)}" for kind, names in faults.items() if names)
        raise ModelError(f"{path} is not {what} that is implemented: {listed}", HINT)


def _first(names: Iterable[str]) -> str:
    every = list(names)
    rest = f" and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    return ", ".join(every[:SHOWN]) + rest


def _drawn_noise(expected: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    source = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(shape, generator=source)
        for name, shape in expected.items()
        if name.endswith("noise_const")
    }


def _estimate_mean(generator: Generator) -> None:
    z = torch.randn(DRAWN, generator.z_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        generator.w_avg.copy_(generator.mapping(z).mean(0))
