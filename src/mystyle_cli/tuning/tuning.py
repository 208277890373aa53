"""Tuning: from the domain prior's generator G_d to the personal G_p. Source: sec. 3.1, eq 1; app. B.3."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray

from mystyle_cli.errors import ProfileError, UsageError, ran_out
from mystyle_cli.files.documents import Items, Number, Record, Whole
from mystyle_cli.files.parsing import json_of
from mystyle_cli.nets.cost import Plan, plan_tuning
from mystyle_cli.nets.device import Device
from mystyle_cli.person.files import load_tensors, save_tensors
from mystyle_cli.progress import Progress, Step, deferred_interrupt, silent
from mystyle_cli.ranks import ALONE, Ranks
from mystyle_cli.tuning.muon import Muon
from mystyle_cli.tuning.settings import (
    LossPoint,
    TuneResult,
    TuneSettings,
    batches_of_pass,
    learning_rate_at,
)

if TYPE_CHECKING:
    from mystyle_cli.nets.generator import Generator
    from mystyle_cli.nets.perceptual import Perceptual


STATE_FILE = "state.safetensors"
# names the way weights are moved. What another way has begun or tuned is not taken for this one's.
METHOD: Final = "muon 1"

OTHERS: Final = 0.3  # the rate of everything but the kernels, in parts of theirs

# the rates of the kinds of parameters, see `_kind`
SHARES: Final = {"kernel": 1.0, "affine": OTHERS, "vector": OTHERS}

# pictures (N, 3, R, R), in [-1, 1] or, at a quarter of the memory, in 8 bits a colour
Images = NDArray[np.float32] | NDArray[np.uint8]


def tuned_parameters(generator: Generator) -> dict[str, torch.nn.Parameter]:
    """Return the parameters that tuning may change: the synthesis network's. The mapping stays G_d's."""
    return {name: p for name, p in generator.named_parameters() if name.startswith("synthesis.")}


def _kind(name: str, parameter: torch.Tensor) -> str:
    """Tell Muon's "kernel" and "affine" (what turns codes into styles) from Adam's "vector".

    What makes colours counts as the last: its weights are a tenth as large as others.
    """
    if parameter.ndim not in (2, 4) or name.endswith(".torgb.weight"):
        return "vector"
    return "affine" if ".affine." in name else "kernel"


def optimisers_of(parameters: Mapping[str, torch.nn.Parameter]) -> tuple[torch.optim.Optimizer, ...]:
    """Return what moves parameters by name: Muon for matrices, Adam for all others; see `set_rate`."""

    def group(kind: str) -> dict[str, Any]:
        chosen = [p for name, p in parameters.items() if _kind(name, p) == kind]
        return {"params": chosen, "share": SHARES[kind]}

    return Muon([group("kernel"), group("affine")]), torch.optim.Adam([group("vector")], foreach=True)


def set_rate(optimisers: Iterable[torch.optim.Optimizer], rate: float) -> None:
    """Set how far the next step of `optimisers_of` moves a kernel; other weights move in proportion."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = group["share"] * rate


def plan_for(
    generator: Generator,
    perceptual: Perceptual,
    pictures: int,
    settings: TuneSettings,
    device: Device,
    ranks: Ranks = ALONE,
) -> Plan:
    """Cut the steps of a tuning so that they fit into the memory that is free, in all of its processes."""
    half = device.precision(settings.precision) == "bfloat16"
    free, batch = device.free_memory(), math.ceil(settings.batch / ranks.size)
    if free is not None and not device.has_own_memory:
        free //= ranks.beside
    return plan_tuning(generator, perceptual, pictures, batch, device, half=half, free=free)


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """What eq 1 is taken over: L_rec(G, x_i, w_i).

    Raises:
        ValueError: there is no photo, or not one for each anchor.
    """

    generator: Generator  # G, a copy of G_d on the device to work on; tuning changes it in place into G_p
    anchors: NDArray[np.float32]  # w_i, (N, w_dim), one code for each photo
    images: Images  # x_i, (N, 3, R, R), the reference set in the same order
    perceptual: Perceptual  # L_lpips, on the same device

    def __post_init__(self) -> None:
        if len(self.anchors) != len(self.images) or not len(self.anchors):
            raise ValueError(f"{len(self.anchors)} anchors for {len(self.images)} images")


def tune(
    objective: Reconstruction,
    settings: TuneSettings,
    state_dir: Path | None = None,
    progress: Progress = silent,
    plan: Plan | None = None,
    ranks: Ranks = ALONE,
) -> TuneResult:
    """Tune a generator so that each anchor gives back its photo.

    Several processes call it with the same objective and settings, and each computes the gradients of its
    part of every batch; all end with the same weights. Those differ from what one process makes by rounding
    only, for sums are taken in another order, and what some have begun any number of others goes on with.

    Interrupted (Ctrl-C) it saves its state at the end of the step and raises KeyboardInterrupt; killed, it
    has the state of a few seconds before. The same call goes on from there, and ends with the same weights as
    if nothing had happened.

    Args:
        objective: what is minimised; its generator is changed in place.
        state_dir: where the state is kept, by the first process; None keeps none.
        plan: how steps are cut to fit into memory; None cuts nothing.

    Raises:
        KeyboardInterrupt: after the state was saved, in all processes where one was interrupted.
        ProfileError: the loss is not finite.
        RankError: another process ended, or works on something else.
        UsageError: there are more processes than photos in a step.

    Source: sec. 3.1, eq 1.
    """
    run = _Run(objective, settings, state_dir, plan, ranks)
    run.restore()
    with ranks.meet(str(run.anchors.device)), deferred_interrupt() as wish:
        run.join()
        for _ in run.steps(progress):
            if ranks.any(wish.is_set()):
                run.save()
                raise KeyboardInterrupt
    return run.result()


def steps_taken(objective: Reconstruction, settings: TuneSettings, state_dir: Path) -> int:
    """Return after how many steps an interrupted `tune` would go on; its arguments are those of `tune`."""
    if not (state_dir / STATE_FILE).exists():
        return 0
    run = _Run(objective, settings, state_dir, None)
    run.restore()
    return run.step


class _Run:
    """One tuning: parameters, optimiser, place in the schedule, and how they are kept and found again."""

    def __init__(
        self,
        objective: Reconstruction,
        settings: TuneSettings,
        state_dir: Path | None,
        plan: Plan | None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.generator, self.perceptual = objective.generator, objective.perceptual
        self.settings, self.ranks = settings, ranks
        self._follow(plan or Plan(at_once=settings.batch))
        self.parameters = tuned_parameters(self.generator)
        where = next(iter(self.parameters.values())).device
        self.device = Device.of(where)
        self.precision = self.device.precision(settings.precision)
        self.state_path = state_dir / STATE_FILE if state_dir is not None and ranks.first else None
        wanted = self.state_path is not None or ranks.several
        self.key = self._key(objective.anchors, objective.images) if wanted else ""
        # w_i, (N, w_dim), copied because they are read-only; x_i, (N, 3, R, R)
        self.anchors = torch.tensor(objective.anchors).to(where)
        self.images = torch.from_numpy(np.ascontiguousarray(objective.images)).to(where)
        self.per_pass = math.ceil(len(self.anchors) / settings.batch)
        self.total = settings.passes * self.per_pass
        if len(self.anchors) // self.per_pass < ranks.size:
            raise UsageError(
                f"{ranks.size} processes are more than some steps have photos",
                "Start fewer, or give a larger --batch.",
            )
        self.step, self.seconds = 0, 0.0
        self.curve: list[LossPoint] = []
        self.sums: list[float] = [0.0, 0.0, 0.0]
        for parameter in self.parameters.values():
            parameter.requires_grad_(True)
        self.muon, self.adam = self.optimisers = optimisers_of(self.parameters)
        self.features: list[torch.Tensor] | None = None

    def _follow(self, plan: Plan) -> None:
        self.plan = plan
        self.generator.synthesis.recompute = plan.recompute

    def _key(self, anchors: NDArray[np.float32], images: Images) -> str:
        """Return the digest of everything that the outcome depends on."""
        kept = dataclasses.replace(self.settings, save_seconds=0.0)
        digest = hashlib.sha256(repr((METHOD, kept, self.precision, anchors.shape, images.shape)).encode())
        digest.update(np.ascontiguousarray(anchors).tobytes())
        digest.update(np.ascontiguousarray(images).tobytes())
        for name, parameter in self.parameters.items():
            digest.update(name.encode() + parameter.detach().cpu().numpy().tobytes())
        return digest.hexdigest()

    def _features(self) -> list[torch.Tensor]:
        """Compute what the perceptual net sees in the photos, once for all passes."""
        kept: list[torch.Tensor] = []  # one (N, C, h, w) for each layer that is compared
        for start in range(0, len(self.images), self.plan.at_once):
            part = slice(start, start + self.plan.at_once)
            levels = self._seen(self._photos(part))
            kept = kept or [level.new_empty((len(self.images), *level.shape[1:])) for level in levels]
            for whole, level in zip(kept, levels, strict=True):
                whole[part] = level
        return kept

    def _seen(self, photos: torch.Tensor) -> list[torch.Tensor]:
        """Return what the perceptual net sees in photos (B, 3, R, R)."""
        with torch.no_grad(), self.device.arithmetic(self.precision):
            return self.perceptual.features(photos)

    def _photos(self, index: torch.Tensor | slice) -> torch.Tensor:
        """Return some of the photos (B, 3, R, R) in [-1, 1]."""
        photos = self.images[index]
        return photos.float() / 127.5 - 1.0 if photos.dtype == torch.uint8 else photos

    def steps(self, progress: Progress) -> Iterator[int]:
        """Work through the schedule from where it stands, saving the state every few seconds."""
        self.features = self._features() if self.plan.cache else None
        saved = started = time.monotonic()
        before = self.seconds
        while self.step < self.total:
            number, index = divmod(self.step, self.per_pass)
            batches = batches_of_pass(len(self.images), self.settings.batch, self.settings.seed, number)
            loss = self._take_step(batches[index])
            now = time.monotonic()
            self.seconds = before + now - started
            progress(Step("tune", self.step, self.total, {"loss": loss, "pass": number + 1}))
            if now - saved >= self.settings.save_seconds and self.step < self.total:
                self.save()
                saved = time.monotonic()
            yield self.step

    def _take_step(self, chosen: NDArray[np.int64]) -> float:
        rate = learning_rate_at(self.settings, self.step, self.total)
        sums = self._gradients(self.ranks.part(chosen), len(chosen))
        lpips, l2 = self.ranks.total(*(math.fsum(values) for values in zip(*sums, strict=True)))
        loss = lpips + self.settings.weight_l2 * l2  # eq 1
        if not math.isfinite(loss):
            raise ProfileError(
                f"the loss of tuning is not finite at step {self.step + 1}",
                "Give a lower --learning-rate or --precision float32.",
            )
        self.ranks.sum([p.grad for p in self.parameters.values() if p.grad is not None])
        set_rate(self.optimisers, rate)
        for optimiser in self.optimisers:
            optimiser.step()
        self._note_losses(len(chosen), loss, lpips, l2, rate)
        return loss

    def _gradients(self, chosen: NDArray[np.int64], count: int) -> list[tuple[float, float]]:
        """Compute what photos of a batch of `count` add to its gradients.

        Where memory runs out, it is done in smaller parts from now on.
        """
        while True:
            for parameter in self.parameters.values():
                parameter.grad = None
            try:
                return [self._add_gradients(part, count) for part in self._parts(chosen)]
            except Exception as error:
                plan = self.plan.smaller(len(chosen)) if ran_out(error) else None
                if plan is None:
                    raise
                self._follow(plan)
                self.features = self.features if plan.cache else None
            self.device.give_back()  # not while the error, and with it the failed step's tensors, is alive

    def _parts(self, chosen: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        return np.array_split(chosen, math.ceil(len(chosen) / self.plan.at_once))

    def _add_gradients(self, part: NDArray[np.int64], count: int) -> tuple[float, float]:
        """Add the gradients of a part of a batch of `count`; returns its share of eq 1's two terms."""
        lpips, l2 = self._losses(torch.from_numpy(part).to(self.anchors.device))
        share = len(part) / count  # parts add up to the mean over the whole batch
        loss = (lpips + self.settings.weight_l2 * l2) * share  # eq 1
        loss.backward()  # type: ignore[no-untyped-call]
        return lpips.item() * share, l2.item() * share

    def _losses(self, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return eq 1's two terms, means over a batch of indices (B,)."""
        photos = self._photos(index)  # x_i, (B, 3, R, R)
        seen = self._seen(photos) if self.features is None else [level[index] for level in self.features]
        with self.device.arithmetic(self.precision):
            w = self.anchors[index]  # w_i, (B, w_dim)
            w_plus = w.unsqueeze(1).expand(-1, self.generator.num_ws, -1)  # (B, num_ws, w_dim)
            made = self.generator.synthesis(w_plus, noise="const")  # G(w_i), (B, 3, R, R)
            lpips = self.perceptual.distance_to(seen, made)  # (B,)
        l2 = (made.float() - photos).square().mean()  # in float32: small squares vanish in 16 bits
        return lpips.float().mean(), l2

    def _note_losses(self, count: int, loss: float, lpips: float, l2: float, rate: float) -> None:
        """Add a batch to the current pass; at its end, add a point to the curve."""
        pairs = zip(self.sums, (loss, lpips, l2), strict=True)
        self.sums = [total + count * value for total, value in pairs]
        self.step += 1
        if self.step % self.per_pass == 0:
            loss, lpips, l2 = (total / len(self.images) for total in self.sums)
            self.curve.append(LossPoint(self.step // self.per_pass, loss, lpips, l2, rate))
            self.sums = [0.0, 0.0, 0.0]

    def save(self) -> None:
        if self.state_path is None:
            return
        tensors: dict[str, NDArray[np.generic]] = {}
        for name, parameter in self.parameters.items():
            tensors[_slot(WEIGHT, name)] = parameter.detach().cpu().numpy()
            for part, value in self._state(name).items():
                tensors[_slot(part, name)] = value.detach().cpu().numpy()
        place = {
            "step": self.step,
            "seconds": self.seconds,
            "sums": self.sums,
            "curve": [dataclasses.astuple(point) for point in self.curve],
        }
        save_tensors(self.state_path, tensors, {"key": self.key, "place": json.dumps(place)}, private=True)

    def restore(self) -> None:
        """Go on from a saved state, when there is one of this very tuning; any other is ignored."""
        if self.state_path is None or not self.state_path.exists():
            return
        try:
            tensors, notes = load_tensors(self.state_path)
        except ProfileError:
            return  # a state only saves time: without a readable one the tuning starts again
        if notes.get("key") != self.key:
            return
        try:
            place = _PLACE.read(json_of(notes.get("place", "")), "place")
        except ValueError:
            return
        sizes = {len(place["sums"]), *(len(point) + 3 - _COLUMNS for point in place["curve"])}
        if place["step"] > self.total or sizes != {3} or not self._fits(tensors):
            return
        self.step = place["step"]
        self.seconds = place["seconds"]
        self.sums = place["sums"]
        self.curve = [LossPoint(*point) for point in place["curve"]]
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(torch.from_numpy(tensors[_slot(WEIGHT, name)].copy()))
                for part in (part for part in KEPT if _slot(part, name) in tensors):
                    value = torch.from_numpy(tensors[_slot(part, name)].copy())
                    if part != COUNT:  # which stays on the CPU
                        value = value.to(parameter.device).contiguous(memory_format=_layout_of(parameter))
                    self._state(name)[part] = value

    def join(self) -> None:
        """Let all processes stand where the first does: its step, weights and what its optimisers keep.

        Raises:
            RankError: they do not tune the same in the same way.
        """
        if not self.ranks.several:
            return
        self.ranks.agree(self.key)
        slots = [(name, part) for name in self.parameters for part in KEPT]
        place = torch.tensor([float(self.step), *(float(part in self._state(name)) for name, part in slots)])
        self.ranks.spread([place])
        self.step = int(place[0])
        taken = [slot for slot, there in zip(slots, place[1:].tolist(), strict=True) if there]
        for name, part in taken:
            new = torch.zeros(()) if part == COUNT else torch.zeros_like(self.parameters[name])
            self._state(name).setdefault(part, new)
        self.ranks.spread([*self.parameters.values(), *(self._state(name)[part] for name, part in taken)])

    def _fits(self, tensors: Mapping[str, NDArray[np.generic]]) -> bool:
        """Tell whether the tensors of a saved state are every weight, and numbers of its optimiser for it."""
        shapes: dict[str, tuple[int, ...]] = {}
        for name, parameter in self.parameters.items():
            shapes |= {_slot(part, name): tuple(parameter.shape) for part in (WEIGHT, *KEPT)}
            shapes[_slot(COUNT, name)] = ()
        whole = all(_slot(WEIGHT, name) in tensors for name in self.parameters)
        known = (array.dtype.kind == "f" and array.shape == shapes.get(key) for key, array in tensors.items())
        return whole and all(known)

    def _state(self, name: str) -> dict[str, torch.Tensor]:
        """Return what the optimiser of a parameter keeps of it."""
        parameter = self.parameters[name]
        optimiser = self.adam if _kind(name, parameter) == "vector" else self.muon
        return cast("dict[str, torch.Tensor]", optimiser.state[parameter])

    def result(self) -> TuneResult:
        self.generator.synthesis.recompute = False
        for parameter in self.parameters.values():
            parameter.requires_grad_(False)
        state = {name: p.detach().cpu().contiguous().clone() for name, p in self.parameters.items()}
        return TuneResult(state, tuple(self.curve), self.seconds, self.precision)


_COLUMNS: Final = len(dataclasses.fields(LossPoint))
# where a saved tuning stands
_PLACE: Final = Record(
    {
        "step": Whole(),
        "seconds": Number(0),
        "sums": Items(Number(), 3),
        "curve": Items(Items(Number(), _COLUMNS)),
    }
)

WEIGHT, COUNT = "weight", "step"
# what is saved of each parameter beside its weights: what Adam keeps of it, and what Muon does
KEPT: Final = (COUNT, "exp_avg", "exp_avg_sq", "momentum")


def _slot(part: str, name: str) -> str:
    return f"{part}:{name}"


def _layout_of(parameter: torch.Tensor) -> torch.memory_format:
    """Return how a parameter lies in memory, so that its moments lie the same way."""
    if parameter.dim() == 4 and parameter.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.contiguous_format
