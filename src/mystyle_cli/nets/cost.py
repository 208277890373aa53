"""What gradients through a generator cost in memory, and how the work is cut so that it fits.

What autograd keeps for a step follows from the shapes of the nets alone: it is counted here, and the tests
compare the count with what torch keeps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from mystyle_cli.nets.device import Device
    from mystyle_cli.nets.generator import Generator
    from mystyle_cli.nets.perceptual import Perceptual

FLOAT: Final = 4  # bytes
INDEX: Final = 8  # bytes of the places that max-pooling remembers
# part of the free memory that is used: a machine has other things to do, a graphics card has not
USED: Final = {"cpu": 0.6, "cuda": 0.85}

ENOUGH: Final = 1 << 20  # pixels at once, one picture of 1024, beyond which a CPU gets no faster

# tensors as large as the largest activation that a backward step holds beside what was kept
PASSING: Final = 3

# copies of the weights that tuning holds beside the first: gradients, momentum, the workspace of the largest
# layers, and the domain prior's own
PER_WEIGHT: Final = 4

# what the exported gradient of eq 1 holds while it runs, in parts of what a step of autograd holds for one
# picture; measured from 128 to 512 pixels, 1.9 to 2.2
EXPORTED: Final = 2.2

OPENED: Final = 5  # copies of its weights that it holds: as stored, in float32, and laid out for either way


@dataclass(frozen=True)
class PictureCost:
    """Bytes that one picture takes in a step with gradients."""

    kept: int  # what autograd keeps for the way back
    recomputed: int  # the same when every block of the generator is computed again on the way back
    passing: int  # what is held for a moment on the way back
    target: int  # the perceptual features of its target

    def step(self, recompute: bool) -> int:
        """Bytes in all, its target's features not counted."""
        return (self.recomputed if recompute else self.kept) + self.passing


@dataclass(frozen=True)
class Plan:
    """How a step is cut to fit into memory. None of it changes the outcome by more than rounding."""

    # pictures whose gradients are computed together; a batch is done in as many parts as it needs
    at_once: int
    # whether the generator's blocks are computed again on the way back, instead of kept
    recompute: bool = False
    cache: bool = True  # whether the targets' perceptual features are computed once and kept
    fits: bool = True  # whether even so the free memory is expected to do

    def smaller(self, batch: int) -> Plan | None:
        """Return a plan for batches that takes less memory and more time; None if there is no further one."""
        if min(self.at_once, batch) > 1:
            return replace(self, at_once=math.ceil(min(self.at_once, batch) / 2))
        if not self.recompute:
            return replace(self, recompute=True)
        return replace(self, cache=False) if self.cache else None


def picture_cost(generator: Generator, perceptual: Perceptual, *, half: bool = False) -> PictureCost:
    """Count what one picture takes; `half` where the networks compute in 16 bits."""
    unit = FLOAT // 2 if half else FLOAT
    blocks = list(_blocks(generator))
    image = 3 * generator.resolution**2
    seen, target = _perceptual(perceptual)
    loss = seen * unit + image * FLOAT
    carried = sum(out for _, out, _ in blocks)
    largest = max(widest for _, _, widest in blocks)
    return PictureCost(
        kept=sum(kept for kept, _, _ in blocks) * unit + loss,
        recomputed=(carried + max(kept for kept, _, _ in blocks)) * unit + loss,
        passing=PASSING * largest * unit,
        target=target * unit,
    )


def _blocks(generator: Generator) -> Iterator[tuple[int, int, int]]:
    """Yield for each block what autograd keeps, what the next one gets, its largest tensor; in numbers."""
    clamped = int(generator.config["clamp"] is not None)
    before = 0
    for r in generator.synthesis.resolutions:
        c, area = getattr(generator.synthesis, f"b{r}").conv1.bias.numel(), r * r
        kept = (4 + clamped) * c * area  # into conv1's weights, out of them, after the ReLU; into torgb's
        if before:
            kept += before * area // 4 + c * (r + 1) ** 2 + (2 + clamped) * c * area  # the same for conv0
        else:
            kept += c * area  # the constant, once for each picture
        picture = 3 * area
        kept += clamped * picture + (picture if r < generator.resolution else 0)
        yield kept, c * area + picture, c * (r + 1) ** 2
        before = c


def _perceptual(perceptual: Perceptual) -> tuple[int, int]:
    """Return what autograd keeps of a picture's way through LPIPS, and its features' size; in numbers."""
    from torch import nn

    size, channels, features = perceptual.size, 3, 0
    kept = 3 * size * size
    for layers in perceptual.net.net.children():
        for layer in layers.modules():
            if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
                kernel, stride, padding = (_side(v) for v in (layer.kernel_size, layer.stride, layer.padding))
                size = (size + 2 * padding - kernel) // stride + 1
            if isinstance(layer, nn.Conv2d):
                channels = layer.out_channels
                kept += channels * size * size
            elif isinstance(layer, nn.MaxPool2d):
                kept += channels * size * size * (1 + INDEX // FLOAT)
        features += channels * size * size
        kept += 2 * channels * size * size + 2 * size * size  # weighted to unit length; less the target's
    return kept, features


def _side(value: object) -> int:
    return int(value[0] if isinstance(value, tuple) else cast(int, value))


def weights_bytes(generator: Generator, perceptual: Perceptual) -> int:
    """Return what tuning holds whatever the number of pictures, beside the generator that it is given."""
    own = sum(p.numel() for p in generator.parameters())
    seen = sum(p.numel() for p in perceptual.parameters())
    return FLOAT * (PER_WEIGHT * own + seen)


def gradient_bytes(generator: Generator, perceptual: Perceptual) -> int:
    """Return what the exported gradient of eq 1 holds (`nets/loss.py`), for one photo at a time."""
    weights = sum(p.numel() for net in (generator.synthesis, perceptual) for p in net.parameters())
    step = picture_cost(generator, perceptual).step(recompute=False)
    return int(EXPORTED * step) + OPENED * FLOAT * weights


def plan_tuning(
    generator: Generator,
    perceptual: Perceptual,
    pictures: int,
    batch: int,
    device: Device,
    *,
    half: bool = False,
    free: int | None = None,
) -> Plan:
    """Cut the steps of tuning so that they fit into the memory that is free; None asks the device."""
    cost = picture_cost(generator, perceptual, half=half)
    most = min(batch, pictures)
    free = device.free_memory() if free is None else free
    if free is None:
        return Plan(at_once=_capped(most, generator.resolution, device))
    # what is there whatever the batch comes first; features of all targets only from what is left at the end
    room = _share(free, device) - weights_bytes(generator, perceptual) - pictures * reference_bytes(generator)
    plan = _cut(cost, most, room, generator.resolution, device)
    left = room - plan.at_once * cost.step(plan.recompute)
    return Plan(plan.at_once, plan.recompute, pictures * cost.target <= left, plan.fits)


def plan_search(generator: Generator, perceptual: Perceptual, batch: int, device: Device) -> Plan:
    """Cut a search for codes so that it fits into the free memory; weights have no gradients there."""
    free = device.free_memory()
    if free is None:
        return Plan(at_once=_capped(batch, generator.resolution, device))
    room = _share(free, device)
    return _cut(picture_cost(generator, perceptual), batch, room, generator.resolution, device)


def reference_bytes(generator: Generator) -> int:
    """Return what one picture of the reference set takes, in 8 bits a colour."""
    return 3 * generator.resolution**2


def planned_bytes(
    plan: Plan, cost: PictureCost, generator: Generator, perceptual: Perceptual, pictures: int
) -> int:
    """Return what tuning by a plan takes, beside what the process held with the nets loaded."""
    features = pictures * cost.target if plan.cache else plan.at_once * cost.target
    work = plan.at_once * cost.step(plan.recompute) + features
    return weights_bytes(generator, perceptual) + pictures * reference_bytes(generator) + work


def _cut(cost: PictureCost, most: int, room: float, resolution: int, device: Device) -> Plan:
    """Take as many pictures at once as fit, recomputing blocks only where not even one fits otherwise."""
    most = _capped(most, resolution, device)
    for recompute in (False, True):
        fitting = math.floor(room / (cost.step(recompute) + cost.target))
        if fitting >= 1:
            return Plan(min(most, fitting), recompute)
    return Plan(1, recompute=True, cache=False, fits=False)


def _capped(most: int, resolution: int, device: Device) -> int:
    """Return how many pictures are of use at once; a graphics card can do with all it gets."""
    return most if device.has_own_memory else max(1, min(most, ENOUGH // resolution**2))


def _share(free: int, device: Device) -> float:
    return free * USED["cuda" if device.has_own_memory else "cpu"]
