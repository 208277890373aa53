"""Damage against scipy's Gaussian, Pillow's JPEG and block means, and its gradient against differences."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from mystyle_cli.photos.pixels import to_pixels, to_unit
from mystyle_cli.projection import jpeg
from mystyle_cli.projection.damage import LUMA, Damage, Damaged, gaussian

R = 48


def images(count=2, size=R, seed=0):
    """Smooth random images in [-1, 1]."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (count, size // 6, size // 6, 3)).astype(np.uint8)
    made = [Image.fromarray(one).resize((size, size), Image.Resampling.BICUBIC) for one in coarse]
    return torch.from_numpy(to_unit(np.stack([np.asarray(one) for one in made])))


def damaged(*damages, holes=None, fill=None):
    """Return phi of a batch, nothing hidden unless it is said."""
    side = max(damage.side for damage in damages)
    holes = np.zeros((len(damages), side, side)) if holes is None else holes
    fill = np.zeros((len(damages), 3, side, side)) if fill is None else fill
    return Damaged.of(damages, R, holes, fill)


def test_nothing_done_leaves_the_image():
    """A blur of nothing and a side of R give the image back."""
    x = images()
    torch.testing.assert_close(damaged(Damage(R), Damage(R)).apply(x), x, atol=3e-2, rtol=0)


@pytest.mark.parametrize("sigma", [0.8, 2.5])
def test_an_even_blur_is_scipys(sigma):
    """What is beyond the edge is mirrored about the last pixel."""
    x = images(1)
    found = damaged(Damage(R, (sigma**2, 0.0, sigma**2))).apply(x)
    wanted = gaussian_filter(x.numpy(), (0, 0, sigma, sigma), mode="mirror", truncate=6)
    np.testing.assert_allclose(found, wanted, atol=2e-3)


def test_a_long_blur_lies_as_its_covariance_says():
    """A point becomes a spot whose second moments are the covariance."""
    blur = (6.0, 2.5, 3.0)
    x = torch.zeros(1, 3, R, R)
    x[:, :, R // 2, R // 2] = 1
    spot = damaged(Damage(R, blur)).apply(x)[0, 0].double().numpy()
    places = np.arange(R) - R // 2
    moments = [
        (spot * places[None] ** 2).sum(),
        (spot * places[None] * places[:, None]).sum(),
        (spot * places[:, None] ** 2).sum(),
    ]
    np.testing.assert_allclose(np.array(moments) / spot.sum(), blur, rtol=1e-3)
    assert Damage(R, blur).widths == pytest.approx(np.sqrt(np.linalg.eigvalsh([[3, 2.5], [2.5, 6]])[::-1]))


def test_small_pictures_are_block_means_each_in_its_corner():
    """Photos of several sides are worked on as if each were alone."""
    x = images(2)
    found = damaged(Damage(R // 2), Damage(R // 4)).apply(x)
    means = x[1].reshape(3, R // 4, 4, R // 4, 4).mean(dim=(2, 4))
    torch.testing.assert_close(found[1, :, : R // 4, : R // 4], means, atol=2e-2, rtol=0)
    assert not found[1, :, R // 4 :].any()
    alone = damaged(Damage(R // 4, quality=40)).apply(x[1:])
    together = damaged(Damage(R // 2, quality=70), Damage(R // 4, quality=40)).apply(x)
    torch.testing.assert_close(together[1, :, : R // 4, : R // 4], alone[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("quality", [30, 75])
def test_jpeg_is_pillows(quality):
    """Nearer to what Pillow makes of a picture than that is to the picture; luma to two grey levels."""
    noise = torch.randn(1, 3, R, R, generator=torch.Generator().manual_seed(1)) * 0.06
    x = (images(1) + noise).clamp(-1, 1)
    pixels = to_pixels(x.numpy())[0]
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    theirs = to_unit(np.asarray(Image.open(stream).convert("RGB")))
    steps = torch.tensor(jpeg.tables(quality), dtype=torch.float32)[None]
    ours = jpeg.compressed(torch.from_numpy(to_unit(pixels))[None], steps)[0].numpy()
    luma = np.tensordot(LUMA, ours - theirs, 1) * 127.5
    assert np.sqrt(np.square(luma).mean()) < 2
    assert np.square(ours - theirs).mean() < 0.5 * np.square(to_unit(pixels) - theirs).mean()


def test_the_gradient_is_that_of_differences():
    """In the image, and in the blur's own numbers, also through an area kernel and a tone."""
    tone = ((0.9, 0.1), (0.8, 0.0), (0.6, -0.1))
    damage = Damage(R // 2, (4.0, 1.0, 2.0), tone=tone, fixed=False)
    phi = Damaged(**{name: part.double() for name, part in vars(damaged(damage)).items()})
    x = images(1).double().requires_grad_()
    free = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    weight = images(1, R // 2, seed=3).double()

    def total(image, change):
        return (phi.refined(change).apply(image) * weight).sum()

    total(x, free).backward()
    for number in range(3):
        step = torch.zeros(1, 3, dtype=torch.float64)
        step[0, number] = 1e-5
        change = (total(x, step) - total(x, -step)) / 2e-5
        assert free.grad[0, number].item() == pytest.approx(change.item(), rel=1e-4)
    step = torch.zeros_like(x)
    step[0, 1, 20, 13] = 1e-4
    change = (total(x + step, free) - total(x - step, free)) / 2e-4
    assert x.grad[0, 1, 20, 13].item() == pytest.approx(change.item(), rel=1e-4)


def test_jpeg_lets_gradients_through():
    """What was rounded moves on the way back as if it had not been."""
    x = images(1).requires_grad_()
    damaged(Damage(R, quality=50)).apply(x).sum().backward()
    assert x.grad.abs().mean() > 0.5


def test_a_blur_that_is_given_does_not_move():
    """Only one that was estimated does, and costs something; the record moves as the tensors do."""
    free = torch.tensor([[0.3, 0.2, -0.1]] * 2)
    blur = (4.0, 0.5, 2.0)
    fixed, loose = Damage(R, blur), Damage(R, blur, fixed=False)
    phi = damaged(fixed, loose).refined(free)
    assert phi.penalty()[0] == 0
    assert phi.penalty()[1] > 0
    x = images(1).expand(2, -1, -1, -1)
    found = phi.apply(x)
    torch.testing.assert_close(found[:1], damaged(fixed).apply(x[:1]))
    torch.testing.assert_close(found[1:], damaged(loose.refined(free[1].numpy())).apply(x[:1]))
    assert fixed.refined(free[0].numpy()) == fixed


def test_a_toned_photo_says_nothing_of_colours():
    """Two images of the same luma look the same; one with colours keeps them."""
    x = images(1)
    grey = torch.tensordot(torch.tensor(LUMA), x[0], 1).expand(1, 3, -1, -1)
    phi = damaged(Damage(R, tone=((1.0, 0.0),) * 3))
    torch.testing.assert_close(phi.apply(x), phi.apply(grey), atol=1e-5, rtol=0)
    assert (damaged(Damage(R)).apply(x) - damaged(Damage(R)).apply(grey)).abs().max() > 0.1


def test_holes_hide_images_and_count_for_less():
    """What is filled in is the same whatever the image, and the shares are those of what is known."""
    holes, fill = np.zeros((1, R, R)), np.full((1, 3, R, R), 0.25)
    holes[:, : R // 2] = 1
    phi = damaged(Damage(R), holes=holes, fill=fill)
    found = phi.apply(images(1))
    assert (found[:, :, : R // 2] == 0.25).all()
    assert float(phi.known(found)) == pytest.approx(0.5)
    assert float(phi.seen(found)) == pytest.approx(0.5)


def test_noise_is_smoothed_out_of_what_the_perceptual_net_sees():
    """Of a noisy photo the view is smoother, and its mean stays."""
    x = torch.randn(1, 3, R, R, generator=torch.Generator().manual_seed(0)) * 0.1
    plain, smooth = (damaged(Damage(R, noise=noise)).view(x) for noise in (0.0, 10.0))
    assert smooth.std() < 0.5 * plain.std()
    assert smooth.mean() == pytest.approx(float(plain.mean()), abs=1e-3)


def test_a_gaussian_as_a_matrix_is_scipys():
    """Mirrored beyond the ends."""
    row = np.random.default_rng(0).normal(size=30)
    wanted = gaussian_filter(row, 2.0, mode="reflect", truncate=4)
    np.testing.assert_allclose(gaussian(30, 2.0) @ row, wanted, atol=1e-12)


@pytest.mark.parametrize("quality", [8, 14, 35, 60, 90])
def test_the_quality_of_a_jpeg_is_found(quality):
    """Within one; a picture that never was one has none."""
    random = np.random.default_rng(quality)
    pixels = to_pixels(images(1, 60, seed=quality).numpy())[0] + random.normal(0, 6, (60, 60, 3))
    pixels = pixels.clip(0, 255).astype(np.uint8)
    assert jpeg.quality_of(pixels) is None
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    assert abs(jpeg.quality_of(np.asarray(Image.open(stream).convert("RGB"))) - quality) <= 1
