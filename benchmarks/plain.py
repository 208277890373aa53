"""The reference that everything is measured against: plain loops with the settings of the public code.

One picture at a time, float32, modulated weights convolved in groups, LPIPS of both pictures in every step;
Adam at 3e-4 and 1000 passes for tuning, at 5e-3 and 1000 steps for projection.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mystyle_cli.hull import hull
from mystyle_cli.nets.generator import GAIN, SLOPE, Generator, SynthesisLayer, ToRgb
from mystyle_cli.nets.perceptual import Perceptual
from mystyle_cli.projection.degradations import Degradation
from mystyle_cli.projection.settings import ProjectionSettings

TUNE_RATE: Final = 3e-4
TUNE_PASSES: Final = 1000
PROJECTION_RATE: Final = 5e-3
PROJECTION_STEPS: Final = 1000


def render(generator: Generator, w_plus: Tensor) -> Tensor:
    """Render codes (B, num_ws, w_dim) as images (B, 3, R, R), the styles multiplied into the weights.

    Source: StyleGAN2 (Karras et al. 2020), sec. 2.2 and app. B, grouped convolutions.
    """
    synthesis, codes = generator.synthesis, w_plus.unbind(1)
    image: Tensor | None = None
    for i, r in enumerate(synthesis.resolutions):
        block, row = getattr(synthesis, f"b{r}"), max(2 * i - 1, 0)
        if image is None:
            x = block.const[None].expand(len(w_plus), -1, -1, -1)
        else:
            x, row = _layer(block.conv0, x, codes[row]), row + 1
        x = _layer(block.conv1, x, codes[row])
        own = _to_rgb(block.torgb, x, codes[row + 1])
        image = own if image is None else _enlarge(image, block.resample_filter) + own
    assert image is not None
    return image


def _layer(layer: SynthesisLayer, x: Tensor, w: Tensor) -> Tensor:
    batch, inputs, height, width = x.shape
    weight = layer.weight[None] * layer.affine(w)[:, None, :, None, None]  # (B, outputs, inputs, 3, 3)
    weight = weight * (weight.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    x = x.reshape(1, batch * inputs, height, width)
    if layer.up:
        turned = weight.transpose(1, 2).reshape(batch * inputs, -1, 3, 3)
        x = F.conv_transpose2d(x, turned, stride=2, groups=batch)
        kernel = (4 * layer.resample_filter).expand(x.shape[1], 1, 4, 4)
        x = F.conv2d(x, kernel, padding=1, groups=x.shape[1])
    else:
        x = F.conv2d(x, weight.reshape(-1, inputs, 3, 3), padding=1, groups=batch)
    x = x.reshape(batch, -1, *x.shape[2:]) + layer.noise_const * layer.noise_strength
    x = F.leaky_relu(x + layer.bias[:, None, None], SLOPE) * GAIN
    return x if layer.clamp is None else x.clamp(-layer.clamp, layer.clamp)


def _to_rgb(layer: ToRgb, x: Tensor, w: Tensor) -> Tensor:
    batch, inputs, height, width = x.shape
    style = layer.affine(w) * layer.weight_gain
    weight = (layer.weight[None] * style[:, None, :, None, None]).reshape(-1, inputs, 1, 1)
    x = F.conv2d(x.reshape(1, -1, height, width), weight, groups=batch).reshape(batch, -1, height, width)
    x = x + layer.bias[:, None, None]
    return x if layer.clamp is None else x.clamp(-layer.clamp, layer.clamp)


def _enlarge(image: Tensor, kernel: Tensor) -> Tensor:
    spread = (4 * kernel).expand(image.shape[1], 1, 4, 4)
    return F.conv_transpose2d(image, spread, stride=2, padding=1, groups=image.shape[1])


def tuning(
    generator: Generator, anchors: Tensor, images: Tensor, perceptual: Perceptual, seed: int = 0
) -> Iterator[int]:
    """Tune a generator in place; yields the number of steps taken after each, without end.

    Args:
        generator: a copy of G_d.
        anchors: (N, w_dim).
        images: (N, 3, R, R) in [-1, 1].
        perceptual: LPIPS.
        seed: of the order of the photos.
    """
    parameters = [p for name, p in generator.named_parameters() if name.startswith("synthesis.")]
    optimiser = torch.optim.Adam([p.requires_grad_() for p in parameters], lr=TUNE_RATE)
    order, taken = np.random.default_rng(seed), 0
    while True:
        for row in order.permutation(len(anchors)):
            photo = images[row : row + 1]
            made = render(generator, anchors[row].expand(1, generator.num_ws, -1))
            loss = perceptual.distance(photo, made).mean() + (made - photo).square().mean()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            taken += 1
            yield taken


def projection(
    generator: Generator,
    perceptual: Perceptual,
    anchors: Tensor,
    target: Tensor,
    degradation: Degradation,
    settings: ProjectionSettings,
) -> Iterator[Tensor]:
    """Project one photo into P_beta+ from the centre (B.3); yields alpha_plus (1, num_ws, N) after each step.

    Args:
        generator: G_p.
        perceptual: LPIPS.
        anchors: (N, w_dim).
        target: (1, 3, h, w) in [-1, 1], degraded.
        degradation: phi.
        settings: beta, and the weights of the loss, so that both searches have the same aim; nothing else.
    """
    beta = settings.beta
    middle = torch.as_tensor(hull.centre(len(anchors)), dtype=torch.float32).to(anchors)
    common = hull.softplus_raw(middle, beta).expand(1, 1, -1).clone().requires_grad_()
    offsets = anchors.new_zeros(1, generator.num_ws, len(anchors), requires_grad=True)
    optimiser = torch.optim.Adam([common, offsets], lr=PROJECTION_RATE)
    while True:
        alpha = hull.softplus_alpha(common + offsets, beta)
        made = degradation.apply(render(generator, hull.combine(alpha, anchors)))
        seen = perceptual.distance(degradation.view(target), degradation.view(made)) / degradation.seen(made)
        squares = (made - target).square().mean(dim=(1, 2, 3)) / degradation.known(made)
        loss = settings.perceptual_weight * seen + settings.pixel_weight * squares
        loss = loss + settings.sum_weight * hull.sum_penalty(alpha)
        apart = hull.offset_penalty(alpha - hull.softplus_alpha(common, beta))
        loss = (loss + settings.offset_weight * apart).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        yield hull.softplus_alpha(common + offsets, beta).detach()
