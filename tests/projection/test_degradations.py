"""Degradations against slow loops and torch's own kernels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from mystyle_cli.photos.pixels import area_kernel, linear_kernel
from mystyle_cli.projection.degradations import Downsample, Identity, Mask, continued, spread


def images(count=2, size=16, seed=0):
    """Random images in [-1, 1]."""
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
def test_downsampling_by_a_whole_factor_is_average_pooling(factor):
    """The area kernel equals torch's average pooling where the sizes divide."""
    x = images()
    degraded = Downsample.of([16 // factor] * 2, 16).apply(x)
    torch.testing.assert_close(degraded, F.avg_pool2d(x, factor), atol=1e-6, rtol=0)


@settings(max_examples=40)
@given(st.integers(1, 40), st.integers(1, 40))
def test_the_area_kernel_averages_at_any_ratio(size, smaller):
    """Equals averaging after repeating every pixel, rows sum to 1, every pixel counts alike."""
    smaller = min(size, smaller)
    kernel = area_kernel(size, smaller)
    repeated = np.repeat(np.eye(size), smaller, axis=0).reshape(smaller, size, size).mean(axis=1)
    np.testing.assert_allclose(kernel, repeated, atol=1e-12)
    np.testing.assert_allclose(kernel.sum(axis=1), 1)
    np.testing.assert_allclose(kernel.sum(axis=0), smaller / size)


@settings(max_examples=40)
@given(st.integers(1, 20), st.integers(1, 40))
def test_the_linear_kernel_is_bilinear_interpolation(size, larger):
    """Equals torch's bilinear enlargement."""
    larger = max(size, larger)
    row = torch.rand(1, 1, size, dtype=torch.float64)
    expected = F.interpolate(row, larger, mode="linear", align_corners=False)
    np.testing.assert_allclose(linear_kernel(size, larger) @ row[0, 0].numpy(), expected[0, 0], atol=1e-12)


@pytest.mark.parametrize("kind", ["mask", "downsample"])
def test_a_degradation_works_where_the_images_are(kind):
    """Moved to a graphics card, which a fake one stands for, it reads nothing from the CPU."""
    phi = Mask.of(torch.ones(2, 1, 16, 16), images()) if kind == "mask" else Downsample.of([5, 8], 16)
    with FakeTensorMode(allow_non_fake_inputs=True):
        there = phi.to("cuda").select(torch.tensor([1], device="cuda"))
        degraded = there.apply(torch.empty(1, 3, 16, 16, device="cuda"))
        found = (degraded, there.view(degraded), there.known(degraded), there.seen(degraded))
    assert {part.device.type for part in found} == {"cuda"}


def test_inputs_of_different_sizes_share_a_batch():
    """Each input's values and its mean square are those that it would have alone."""
    x, y = images(), images(seed=1)
    both = Downsample.of([5, 8], 16)
    errors = (both.apply(x) - both.apply(y)).square().mean(dim=(1, 2, 3)) / both.known(both.apply(x))
    for row, size in enumerate([5, 8]):
        alone = Downsample.of([size], 16)
        one, other = alone.apply(x[row : row + 1]), alone.apply(y[row : row + 1])
        torch.testing.assert_close(both.apply(x)[row, :, :size, :size], one[0])
        torch.testing.assert_close(errors[row], (one - other).square().mean())
        torch.testing.assert_close(both.view(both.apply(x))[row], alone.view(one)[0])
        torch.testing.assert_close(
            both.select(torch.tensor([row])).apply(x[row : row + 1])[0], both.apply(x)[row]
        )


def test_a_mask_hides_what_is_in_the_hole():
    """Whatever the image or the photo holds there, neither values nor gradients come through."""
    holes = torch.zeros(2, 1, 16, 16)
    holes[0, :, 4:9, 5:12] = 1
    holes[1, :, :, 14:] = 0.5
    photo, x = images(seed=2), images()
    spoiled = torch.where(holes > 0, torch.full_like(photo, 77.0), photo)
    mask, same = Mask.of(holes, photo), Mask.of(holes, spoiled)
    torch.testing.assert_close(mask.apply(x), same.apply(x))
    assert mask.apply(x).abs().max() <= 1 + 1e-6
    x.requires_grad_()
    mask.apply(x).square().sum().backward()
    hidden = (holes > 0).expand_as(x)
    assert (x.grad[hidden] == 0).all()
    torch.testing.assert_close(x.grad[~hidden], 2 * x.detach()[~hidden])
    torch.testing.assert_close(mask.apply(photo)[~hidden], photo[~hidden])
    torch.testing.assert_close(mask.known(photo), torch.tensor([1 - 35 / 256, 1 - 2 / 16]))
    torch.testing.assert_close(mask.select(torch.tensor([1])).apply(x[1:]), mask.apply(x)[1:])


def test_spreading_continues_what_is_known():
    """Known pixels keep their bits, a constant stays constant, a slope goes on through the hole."""
    slope = torch.linspace(-1, 1, 33).expand(1, 3, 33, 33).clone()
    holes = torch.zeros(1, 1, 33, 33)
    holes[..., 10:22, 12:20] = 1
    filled = spread(torch.where(holes > 0, torch.tensor(9.0), slope), holes)
    known = (holes == 0).expand_as(slope)
    assert torch.equal(filled[known], slope[known])
    assert (filled - slope).abs().max() < 0.1
    assert torch.allclose(
        spread(torch.full((1, 3, 9, 7), 0.3), torch.ones(1, 1, 9, 7) * 0.0), torch.tensor(0.3)
    )


def test_a_photo_that_is_all_hole_is_still_finite():
    """Nothing known: a uniform fill and no division by zero."""
    mask = Mask.of(torch.ones(1, 1, 8, 8), images(1, 8))
    assert torch.isfinite(mask.apply(images(1, 8))).all()
    assert mask.known(images(1, 8)).item() > 0


def test_identity_changes_nothing():
    """Inversion compares the image itself, all of it."""
    x = images()
    assert Identity().view(Identity().apply(x)) is x
    assert Identity().select(torch.tensor([0])).known(x).tolist() == [1, 1]


@pytest.mark.parametrize("shape", [(32, 32), (33, 47), (5, 9), (1, 7)])
def test_holes_are_continued_alike_without_torch(shape):
    """The numpy form gives what the differentiable one gives, at even and odd sizes."""
    rng = np.random.default_rng(0)
    pictures = rng.normal(size=(2, 3, *shape)).astype(np.float32)
    hole = (rng.random(shape) < 0.6).astype(np.float32)
    hole[shape[0] // 4 : shape[0] // 2, shape[1] // 4 :] = 1
    expected = spread(torch.from_numpy(pictures), torch.from_numpy(hole).expand(2, 1, *shape))
    np.testing.assert_allclose(continued(pictures, hole), expected.numpy(), atol=1e-5)
