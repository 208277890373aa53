"""The StyleGAN2 generator, numerically as published, with NVIDIA's state-dict names.

Everything is float32 and channels-last friendly. Modulation is the non-fused form (scale the input, convolve
with shared weights, scale the output), which batches well and costs little memory when tuning.

Source: paper sec. 3 (the generator G); StyleGAN2 (Karras et al. 2020), sec. 2 and app. B.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mystyle_cli.errors import ModelError, one_line
from mystyle_cli.files.documents import Number, Record, Table, Text, Whole
from mystyle_cli.files.parsing import json_of
from mystyle_cli.files.tensors import LARGEST_NET, read_tensors
from mystyle_cli.nets.folding import GAIN

Noise = Literal["const", "none", "random"]

SLOPE = 0.2  # of every leaky ReLU
BLUR = (1.0, 3.0, 3.0, 1.0)


def blur_kernel() -> Tensor:
    """The 4x4 binomial kernel, summing to 1."""
    taps = torch.tensor(BLUR) / sum(BLUR)
    return torch.outer(taps, taps)


class FullyConnected(nn.Module):
    """Linear layer with equalised learning rate: the stored weight is scaled by multiplier / sqrt(inputs)."""

    def __init__(self, inputs: int, outputs: int, *, bias: float = 0.0, multiplier: float = 1.0) -> None:
        super().__init__()
        # stored at a size of 1 / multiplier, so that Adam's steps of one size move the layer by less
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), bias / multiplier))
        self.weight_gain = multiplier / math.sqrt(inputs)
        self.bias_gain = multiplier

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs) to (B, outputs)."""
        return F.linear(x, self.weight * self.weight_gain, self.bias * self.bias_gain)


class MappingNetwork(nn.Module):
    """z -> w: pixel norm and fully connected layers; keeps the running mean of w, `w_avg` (w_dim,)."""

    w_avg: Tensor

    def __init__(self, z_dim: int, w_dim: int, layers: int, multiplier: float = 0.01) -> None:
        super().__init__()
        self.z_dim, self.w_dim, self.layers = z_dim, w_dim, layers
        for i in range(layers):
            setattr(self, f"fc{i}", FullyConnected(z_dim if i == 0 else w_dim, w_dim, multiplier=multiplier))
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z: Tensor) -> Tensor:
        """Map z (B, z_dim) to w (B, w_dim)."""
        x = z.float()
        x = x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()  # onto the sphere of radius sqrt(z_dim)
        for i in range(self.layers):
            x = F.leaky_relu(getattr(self, f"fc{i}")(x), SLOPE) * GAIN  # (B, w_dim)
        return x


class NoMapping(nn.Module):
    """In the mapping's place where a file holds the synthesis network alone; asked for a code, it says so."""

    def forward(self, z: Tensor) -> Tensor:
        """Raise ModelError, always."""
        raise self._error()

    @property
    def w_avg(self) -> Tensor:
        """Refuse, for there is no mean of w; see `forward`."""
        raise self._error()

    @staticmethod
    def _error() -> ModelError:
        return ModelError(
            "this generator has no mapping network: no people can be drawn from it, and its mean is unknown",
            "import it again with `--mapping FILE`: the generator that it was tuned from",
        )


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution, optionally up-sampling, with noise, bias and leaky ReLU."""

    noise_const: Tensor
    resample_filter: Tensor

    def __init__(
        self, inputs: int, outputs: int, w_dim: int, resolution: int, up: bool, clamp: float | None
    ) -> None:
        super().__init__()
        self.resolution, self.up, self.clamp = resolution, up, clamp  # the resolution of its output
        self.affine = FullyConnected(w_dim, inputs, bias=1.0)  # w -> styles, which begin at 1: no modulation
        weight = torch.randn(outputs, inputs, 3, 3).contiguous(memory_format=torch.channels_last)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.register_buffer("resample_filter", blur_kernel())

    def forward(self, x: Tensor, w: Tensor, noise: Noise) -> Tensor:
        """Map features (B, inputs, h, h) and w (B, w_dim) to (B, outputs, resolution, resolution)."""
        style = self.affine(w)  # s, (B, inputs)
        energy = self.weight.square().sum((2, 3))  # (outputs, inputs)
        # 1 / sqrt(sum_ik (s_i w_oik)^2 + eps), which keeps the variance; as s does not depend on the place k,
        # scaling the input and the output is the same as scaling every picture's own copy of the weights
        demodulation = (F.linear(style.square(), energy) + 1e-8).rsqrt()  # (B, outputs)
        x = x * style[:, :, None, None].to(x.dtype)  # (B, inputs, h, h)
        x = self._upsample(x) if self.up else F.conv2d(x, self.weight, padding=1)
        # The gain is folded into scale and offset: lrelu(g x) = g lrelu(x) for g > 0.
        scale = (GAIN * demodulation)[:, :, None, None].to(x.dtype)  # (B, outputs, 1, 1)
        x = F.leaky_relu(torch.addcmul(self._offset(x, noise), x, scale), SLOPE, inplace=True)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)

    def _upsample(self, x: Tensor) -> Tensor:
        # a transposed convolution is zero insertion and the kernel in one; the blur removes what it aliases
        x = F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2)  # (B, outputs, 2h + 1, 2h + 1)
        channels = x.shape[1]
        # 4: three of four values are zeros
        kernel = (4 * self.resample_filter).to(x.dtype).expand(channels, 1, 4, 4)
        return F.conv2d(x, kernel, padding=1, groups=channels)  # (B, outputs, 2h, 2h)

    def _offset(self, x: Tensor, noise: Noise) -> Tensor:
        """Bias plus noise, broadcastable to x (B, C, r, r)."""
        bias = self.bias[:, None, None]  # (C, 1, 1)
        if noise == "none":
            return (GAIN * bias).to(x.dtype)
        if noise == "const":
            pattern = self.noise_const  # (r, r)
        else:
            size = (x.shape[0], 1, self.resolution, self.resolution)  # one pattern for all channels
            pattern = torch.randn(size, device=x.device)
        return (GAIN * (bias + pattern * self.noise_strength)).to(x.dtype)


class ToRgb(nn.Module):
    """Modulated 1x1 convolution to an image, without demodulation."""

    def __init__(self, inputs: int, w_dim: int, image_channels: int, clamp: float | None) -> None:
        super().__init__()
        self.clamp = clamp
        self.affine = FullyConnected(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(image_channels, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(image_channels))
        self.weight_gain = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Map features (B, inputs, r, r) and w (B, w_dim) to an image (B, 3, r, r)."""
        style = self.affine(w) * self.weight_gain  # (B, inputs)
        x = F.conv2d(x * style[:, :, None, None].to(x.dtype), self.weight, self.bias)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


class SynthesisBlock(nn.Module):
    """The layers of one resolution; adds its image to the up-sampled image of the block before."""

    resample_filter: Tensor

    def __init__(
        self, inputs: int, outputs: int, w_dim: int, resolution: int, image_channels: int, clamp: float | None
    ) -> None:
        super().__init__()
        self.first = inputs == 0  # which starts from a constant, at its own resolution
        if self.first:
            self.const = nn.Parameter(torch.randn(outputs, resolution, resolution))
        else:
            self.conv0 = SynthesisLayer(inputs, outputs, w_dim, resolution, True, clamp)
        self.conv1 = SynthesisLayer(outputs, outputs, w_dim, resolution, False, clamp)
        self.torgb = ToRgb(outputs, w_dim, image_channels, clamp)
        self.register_buffer("resample_filter", blur_kernel())

    def forward(
        self, x: Tensor | None, image: Tensor | None, ws: tuple[Tensor, ...], noise: Noise
    ) -> tuple[Tensor, Tensor]:
        """Return features and image of this resolution; `ws` holds one (B, w_dim) per layer and torgb."""
        if x is None or image is None:
            start = self.const[None].expand(ws[0].shape[0], -1, -1, -1)  # (B, C, 4, 4)
            x = self.conv1(start.contiguous(memory_format=torch.channels_last), ws[0], noise)
            return x, self.torgb(x, ws[1])
        x = self.conv1(self.conv0(x, ws[0], noise), ws[1], noise)
        return x, self._enlarge(image) + self.torgb(x, ws[2])

    def _enlarge(self, image: Tensor) -> Tensor:
        """Double an image's size: zero insertion, then the 4x4 kernel with gain 4."""
        channels = image.shape[1]
        kernel = (4 * self.resample_filter).to(image.dtype).expand(channels, 1, 4, 4)
        return F.conv_transpose2d(image, kernel, stride=2, padding=1, groups=channels)  # (B, 3, 2r, 2r)


class SynthesisNetwork(nn.Module):
    """w_plus -> image: a constant, then one block for each resolution."""

    def __init__(
        self, w_dim: int, channels: Mapping[int, int], image_channels: int, clamp: float | None
    ) -> None:
        super().__init__()
        self.resolutions = sorted(channels)
        self.num_ws = 2 * len(self.resolutions)  # two a block, of three layers: torgb borrows the next one's
        self.recompute = False  # blocks on the way back, instead of keeping what is in them: slower, smaller
        before = 0
        for r in self.resolutions:
            setattr(self, f"b{r}", SynthesisBlock(before, channels[r], w_dim, r, image_channels, clamp))
            before = channels[r]

    def forward(self, w_plus: Tensor, noise: Noise = "const") -> Tensor:
        """Render codes (B, num_ws, w_dim) as (B, 3, R, R), nominally in [-1, 1], not clamped.

        Args:
            noise: "const" uses the stored patterns, "none" leaves noise out, "random" draws it anew.
        """
        rows = w_plus.unbind(1)  # num_ws times (B, w_dim)
        x = image = None
        for i, r in enumerate(self.resolutions):
            # torgb of a block shares its row with conv0 of the next.
            ws = rows[0:2] if i == 0 else rows[2 * i - 1 : 2 * i + 2]
            block = getattr(self, f"b{r}")
            if self.recompute and torch.is_grad_enabled():
                x, image = checkpoint(block, x, image, ws, noise, use_reentrant=False)
            else:
                x, image = block(x, image, ws, noise)
        return cast(Tensor, image)


class Generator(nn.Module):
    """StyleGAN2: `mapping` z -> w and `synthesis` w_plus -> image.

    Source: paper sec. 3; StyleGAN2 (Karras et al. 2020).
    """

    def __init__(
        self,
        *,
        channels: Mapping[int, int],
        z_dim: int,
        w_dim: int,
        mapping_layers: int = 8,
        mapping_multiplier: float = 0.01,
        image_channels: int = 3,
        clamp: float | None = None,
    ) -> None:
        """Make a generator with random weights.

        Args:
            channels: features at each resolution 4, 8, ... R.
            z_dim, w_dim: sizes of the two latent spaces.
            mapping_layers: fully connected layers of the mapping; 0: there is none.
            mapping_multiplier: learning-rate multiplier of the mapping (0.01 as published).
            clamp: bound on activations, where the checkpoint records one.

        Raises:
            ValueError: `channels` does not go 4, 8, 16 ... without a gap.
        """
        super().__init__()
        if sorted(channels) != [4 << i for i in range(len(channels))]:
            raise ValueError(f"channels must cover 4, 8, 16 ... without a gap, not {sorted(channels)}")
        self.config: dict[str, object] = {
            "channels": {str(r): channels[r] for r in sorted(channels)},
            "z_dim": z_dim,
            "w_dim": w_dim,
            "mapping_layers": mapping_layers,
            "mapping_multiplier": mapping_multiplier,
            "image_channels": image_channels,
            "clamp": clamp,
        }
        self.z_dim, self.w_dim, self.resolution = z_dim, w_dim, max(channels)
        self.mapping: MappingNetwork | NoMapping = NoMapping()
        if mapping_layers:
            self.mapping = MappingNetwork(z_dim, w_dim, mapping_layers, mapping_multiplier)
        self.synthesis = SynthesisNetwork(w_dim, channels, image_channels, clamp)
        self.num_ws = self.synthesis.num_ws

    @property
    def w_avg(self) -> Tensor:
        """w bar of B.3, (w_dim,)."""
        return self.mapping.w_avg

    @property
    def device(self) -> torch.device:
        """Where its weights lie."""
        return next(self.parameters()).device

    def forward(
        self, z: Tensor, psi: float = 1.0, noise: Noise = "const", cutoff: int | None = None
    ) -> Tensor:
        """Render z (B, z_dim) with truncation `psi`, of the first `cutoff` rows only, as (B, 3, R, R)."""
        w = self.mapping(z)  # (B, w_dim)
        w_plus = w[:, None].repeat(1, self.num_ws, 1)  # (B, num_ws, w_dim)
        if psi != 1:  # towards the mean, where pictures are surer and more alike
            w_plus[:, :cutoff] = self.w_avg + psi * (w_plus[:, :cutoff] - self.w_avg)
        return cast(Tensor, self.synthesis(w_plus, noise))

    def frozen(self) -> Generator:
        """A copy in eval mode, with no gradients kept for its weights."""
        return copy.deepcopy(self).eval().requires_grad_(False)


def save_generator(generator: Generator, path: Path, *, half: bool = False) -> None:
    """Write a generator as safetensors, its shape in the header."""
    from safetensors.torch import save_file

    dtype = torch.float16 if half else torch.float32
    state = {k: v.detach().to("cpu", dtype).contiguous() for k, v in generator.state_dict().items()}
    save_file(state, path, metadata={"generator": json.dumps(generator.config)})


def load_generator(path: Path) -> Generator:
    """Read what `save_generator` wrote, in eval mode, on the CPU, float32; raises ModelError."""
    try:
        arrays, notes = read_tensors(path, LARGEST_NET)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ModelError(
            f"cannot read generator {path}: {reason}", "restore or fetch the file again"
        ) from error
    header = notes.get("generator")
    if header is None:
        raise ModelError(
            f"{path} is not a generator of this program", "import it with `mystyle prior import`"
        )
    try:
        config = _read_config(header)
        with torch.device("meta"):  # sizes alone: weights are made when those of the file are known to fit
            wanted = generator_from_config(config).state_dict()
        if {name: array.shape for name, array in arrays.items()} != {
            k: tuple(t.shape) for k, t in wanted.items()
        }:
            raise ValueError("its tensors are not those that its header asks for")
        generator = generator_from_config(config)
        generator.load_state_dict({name: torch.from_numpy(array).float() for name, array in arrays.items()})
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ModelError(
            f"generator {path} is damaged: {one_line(error)}", "restore or fetch the file again"
        ) from error
    return generator.eval().requires_grad_(False)


# what a generator's header holds; a clamp that is null is none
_CONFIG = Record(
    {
        "channels": Table(Whole(1, 8192), Text(4, re.compile("[1-9][0-9]*"), "a side"), 11),
        "z_dim": Whole(0, 8192),
        "w_dim": Whole(1, 8192),
        "mapping_layers": Whole(0, 64),
        "mapping_multiplier": Number(0, 100),
        "image_channels": Whole(3, 3),
    },
    {"clamp": Number(0)},
)


def _read_config(header: str) -> dict[str, object]:
    """Return the header that `save_generator` wrote."""
    document = json_of(header)
    if isinstance(document, dict) and document.get("clamp", 0) is None:
        del document["clamp"]
    return {"clamp": None, **_CONFIG.read(document, "generator")}


def generator_from_config(config: Mapping[str, object]) -> Generator:
    """Make a generator with random weights from the header `save_generator` wrote."""
    channels = cast(Mapping[str, int], config["channels"])
    clamp = config["clamp"]
    return Generator(
        channels={int(r): int(c) for r, c in channels.items()},
        z_dim=int(cast(int, config["z_dim"])),
        w_dim=int(cast(int, config["w_dim"])),
        mapping_layers=int(cast(int, config["mapping_layers"])),
        mapping_multiplier=float(cast(float, config["mapping_multiplier"])),
        image_channels=int(cast(int, config["image_channels"])),
        clamp=None if clamp is None else float(cast(float, clamp)),
    )
