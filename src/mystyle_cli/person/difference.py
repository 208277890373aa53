"""The tuned generator on disk: what tuning changed of G_d, as small as its pictures allow.

`generator.safetensors` is of one of two kinds: "quantised", or "difference", which holds the whole change in
half precision, as all profiles of format 1 do.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.errors import ProfileError, reason_of
from mystyle_cli.files.documents import Items, Number, OneOf, Record, Table, Text, Whole
from mystyle_cli.files.parsing import json_of
from mystyle_cli.nets.bounds import LARGEST_CODE
from mystyle_cli.nets.device import CPU
from mystyle_cli.nets.folding import BUFFERS
from mystyle_cli.person.files import load_tensors, parse_whole
from mystyle_cli.person.quantise import (
    ENDINGS,
    FINEST_SHIFT,
    SMALL,
    Coded,
    Sensitivity,
    decode,
    encode,
    in_half,
)

if TYPE_CHECKING:
    import torch

    from mystyle_cli.nets.generator import Generator
    from mystyle_cli.prior.registry import Prior

FloatArray = NDArray[np.float32]

# what storing may change in a picture, as PSNR in dB, if rounding errors were independent. A tuned person is
# themselves some 27 dB from their photos, so that the loss is a few hundredths of that error.
PICTURE_ERROR: Final = 52.0

# anchors at which sensitivities are measured; each costs one step of tuning with a batch of one
PICTURES: Final = 8

QUANTISED, HALF = "quantised", "difference"

# what a quantised generator notes of each array
LAYERS: Final = Table(
    Record(
        {"how": OneOf(("grid", "factors")), "step": Number(0), "largest": Whole()},
        {"least": Number(0), "most": Number(0), "shifts": Items(Whole(0, FINEST_SHIFT), LARGEST_CODE)},
    ),
    Text(500),
)


@dataclass(frozen=True)
class Difference:
    """A tuned generator as it is stored."""

    tensors: dict[str, NDArray[np.generic]]
    notes: dict[str, str]


def store_difference(
    prior: Prior,
    state: Mapping[str, torch.Tensor],
    codes: FloatArray,
    *,
    whole: bool = False,
    picture_error: float = PICTURE_ERROR,
) -> Difference:
    """Return what tuning changed, ready to be written.

    Args:
        codes: the anchors (N, w_dim).
        whole: keep every weight in half precision.
        picture_error: PSNR in dB of what rounding does to a picture.
    """
    changes = difference(prior.on(CPU).generator(), state)
    if whole:
        coded = {name: in_half(change) for name, change in changes.items()}
    else:
        generator = prior.generator()
        generator.load_state_dict(dict(state), strict=False)
        sensitivities = measure_sensitivities(generator, sorted(changes), codes)
        count = sum(changes[name].size for name in sensitivities)
        accuracy = accuracy_for(picture_error, count)
        coded = {
            name: encode(change, sensitivities.get(name), accuracy)
            for name, change in changes.items()
            if change.any()
        }
    return _assemble(coded, HALF if whole else QUANTISED, prior.digest)


def difference(generator: Generator, state: Mapping[str, torch.Tensor]) -> dict[str, FloatArray]:
    """Return tuned minus domain parameters, float32, by name."""
    domain = dict(generator.named_parameters())
    return {name: (tuned.cpu() - domain[name].detach().cpu()).numpy() for name, tuned in state.items()}


def accuracy_for(picture_error: float, count: int) -> float:
    """Return the step of a weight of sensitivity 1 at which `count` rounded weights add up to an error.

    A step s errs by s^2 / 12 on average, and steps are in proportion to sensitivity ** -0.5, so that every
    weight adds the same to the squared error of a pixel, whose range is 2.
    """
    return math.sqrt(12 * 4 * 10 ** (-picture_error / 10) / max(1, count))


def measure_sensitivities(
    generator: Generator, names: list[str], codes: FloatArray, pictures: int = PICTURES
) -> dict[str, Sensitivity]:
    """Measure how much pictures at some anchors change with each weight of the arrays that are rounded.

    With signs r drawn at random for every pixel, the squared gradient of <r, picture> in a weight is on
    average the sum of the squared changes of all pixels: one backward pass serves all weights.
    """
    import torch

    found = {name: generator.get_parameter(name) for name in names}
    chosen = {name: p.requires_grad_(True) for name, p in found.items() if p.dim() > 1 and p.numel() >= SMALL}
    if not chosen:
        return {}
    sums = {name: [torch.zeros(p.shape[0]), torch.zeros(p.shape[1])] for name, p in chosen.items()}
    draw = torch.Generator().manual_seed(0)  # the same tuning shall give the same file
    for number in np.linspace(0, len(codes) - 1, pictures).round().astype(int):
        code = torch.from_numpy(codes[number : number + 1].copy()).to(generator.device)  # (1, w_dim)
        with torch.enable_grad():
            picture = generator.synthesis(code.unsqueeze(1).expand(-1, generator.num_ws, -1), noise="const")
        signs = (torch.randint(0, 2, picture.shape, generator=draw) * 2 - 1).to(picture)
        gradients = torch.autograd.grad(picture, list(chosen.values()), signs)
        for (rows, columns), gradient in zip(sums.values(), gradients, strict=True):
            # (O, I, k k) of kernels, (O, I, 1) of matrices
            square = gradient.square().flatten(2) if gradient.dim() > 2 else gradient.square().unsqueeze(2)
            rows += square.mean((1, 2)).cpu() / (pictures * picture.numel())
            columns += square.mean((0, 2)).cpu() / (pictures * picture.numel())
    generator.requires_grad_(False)
    return {name: Sensitivity(rows.numpy(), columns.numpy()) for name, (rows, columns) in sums.items()}


def _assemble(coded: Mapping[str, Coded], kind: str, prior_sha256: str) -> Difference:
    tensors = {f"{name}{end}": part for name, array in coded.items() for end, part in array.parts.items()}
    notes = {"kind": kind, "prior": prior_sha256}
    if kind == QUANTISED:
        facts = {name: array.facts for name, array in coded.items() if array.facts}
        notes["layers"] = json.dumps(facts, separators=(",", ":"), sort_keys=True)
    return Difference(tensors, notes)


def read_changes(
    path: Path, shapes: Mapping[str, tuple[int, ...]], prior_sha256: str, beneath: Path | None = None
) -> dict[str, FloatArray]:
    """Read what tuning changed, float32 by name; parameters that are not among them are as in G_d.

    Raises:
        ProfileError: the file is damaged, of another prior, or does not fit its generator.
    """
    return _changes(path, *load_tensors(path, beneath), shapes, prior_sha256)


def _changes(
    path: Path,
    tensors: Mapping[str, NDArray[np.generic]],
    notes: Mapping[str, str],
    shapes: Mapping[str, tuple[int, ...]],
    prior_sha256: str,
) -> dict[str, FloatArray]:
    if notes.get("prior") != prior_sha256 or notes.get("kind") not in (QUANTISED, HALF):
        raise ProfileError(f"{path} does not fit the prior's generator", "Create the profile again.")
    try:
        layers = LAYERS.read(json_of(notes["layers"]), "layers") if notes["kind"] == QUANTISED else {}
        grouped = _group(tensors, layers)
        with np.errstate(all="ignore"):  # what is not finite, `decode` refuses
            return {
                name: decode(parts, layers.get(name, {}), shapes[name]) for name, parts in grouped.items()
            }
    except Exception as error:  # numpy raises several kinds where parts do not belong together
        raise ProfileError(
            f"{path} does not fit the prior's generator or is damaged: {reason_of(error)}",
            "Restore it from a backup or create the profile again.",
        ) from error


def _group(
    tensors: Mapping[str, NDArray[np.generic]], layers: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, NDArray[np.generic]]]:
    """Put together the parts of each array; what belongs to none stands alone under its own name."""
    rest = dict(tensors)
    grouped = {
        name: {end: rest.pop(f"{name}{end}") for end in ENDINGS if f"{name}{end}" in rest} for name in layers
    }
    return grouped | {name: {"": tensor} for name, tensor in rest.items()}


def personal_state(
    prior: Prior, path: Path, prior_sha256: str, beneath: Path | None = None
) -> dict[str, NDArray[np.generic]]:
    """Return G_p's parameters and buffers by name, without torch; arguments and errors as `read_changes`."""
    state = prior.arrays("generator")
    shapes = {name: array.shape for name, array in state.items() if not name.endswith(BUFFERS)}
    for name, change in read_changes(path, shapes, prior_sha256, beneath).items():
        # as torch adds them: both in float32
        state[name] = np.add(change, state[name], out=change, dtype=np.float32, casting="same_kind")
    return state


def apply_difference(
    generator: Generator, path: Path, prior_sha256: str, beneath: Path | None = None
) -> None:
    """Turn G_d, a copy of it on the CPU, into G_p, in place.

    Raises:
        ProfileError: the file is damaged, of another prior, or does not fit this generator.
    """
    _add(generator, read_changes(path, _shapes(generator), prior_sha256, beneath))


def apply_bytes(generator: Generator, path: Path, data: bytes, prior_sha256: str) -> Mapping[str, str]:
    """Turn G_d, a copy of it on the CPU, into what a file says that was read already; returns its notes.

    Raises:
        ProfileError: it is damaged, of another prior, or does not fit this generator.
    """
    try:
        tensors, notes = parse_whole(data)
    except ValueError as error:
        raise ProfileError(f"{path} cannot be read: {error}", "Remove it.") from error
    _add(generator, _changes(path, tensors, notes, _shapes(generator), prior_sha256))
    return notes


def _shapes(generator: Generator) -> dict[str, tuple[int, ...]]:
    return {name: tuple(parameter.shape) for name, parameter in generator.named_parameters()}


def _add(generator: Generator, changes: Mapping[str, FloatArray]) -> None:
    import torch

    parameters = dict(generator.named_parameters())
    with torch.no_grad():
        for name, change in changes.items():
            parameters[name].add_(torch.from_numpy(change))
