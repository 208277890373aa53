"""Generated faces back on their photos: nothing may show where a crop's border was."""

from __future__ import annotations

import numpy as np
import pytest

from mystyle_cli.faces.align import FFHQ, Crop, quad_side, warp
from mystyle_cli.faces.paste import worked_region
from mystyle_cli.find.likeness import quad_of
from mystyle_cli.find.locate import Located, as_photo
from mystyle_cli.nets.exported import Degraded
from mystyle_cli.photos.pixels import Pixels, area_kernel, linear_kernel, resize
from mystyle_cli.projection.fine import Fine
from mystyle_cli.restore.composite import (
    WIDE,
    consistent,
    enlarge_and_paste,
    fill_photo,
    mended,
    paste_face,
)

TIGHT = Crop(0.58, 0.054)
SIZE = 96
EVERYWHERE = np.ones((SIZE, SIZE), np.float32)
SQUARE = np.array([110.0, 105.0, 150.0, 0.12])  # the face's FFHQ square: middle, side, tilt


def scene(seed: int = 0) -> Pixels:
    """Return a photo uint8 (220, 230, 3) of soft shapes with fine detail."""
    rng = np.random.default_rng(seed)
    soft = resize(rng.integers(60, 190, (8, 8, 3), np.uint8), (220, 230), "bicubic").astype(int)
    return np.asarray(soft + rng.integers(-12, 13, (220, 230, 1)), np.uint8)


def locate(pixels: Pixels, crop: Crop, mask: Pixels | None = None) -> Located:
    """Return the face in a photo, as if it had been found."""
    quad = quad_of(SQUARE, crop)
    hole = np.zeros((SIZE, SIZE), np.float32) if mask is None else warp(mask, quad, SIZE) / np.float32(255)
    return Located("", as_photo(pixels), quad, warp(pixels, quad, SIZE), hole, mask, 1.0)


def change(result: Pixels, photo: Pixels) -> np.ndarray:
    """Return by how much each pixel changed, (H, W), the colours' mean."""
    return np.asarray((result.astype(float) - photo).mean(axis=-1))


def steepest(plane: np.ndarray) -> float:
    """Return the largest step between neighbours of what was changed."""
    return float(max(np.abs(np.diff(plane, axis=axis)).max() for axis in (0, 1)))


@pytest.mark.parametrize("crop", [FFHQ, TIGHT])
@pytest.mark.parametrize("shift", [24, -24])
def test_another_light_ends_in_no_square(crop: Crop, shift: int) -> None:
    """A face that is lighter all over fades out over the wide zone: no step is larger than such a fade's."""
    photo = np.full((220, 230, 3), (140, 110, 90), np.uint8)
    located = locate(photo, crop)
    face = (located.crop.astype(int) + shift).astype(np.uint8)
    changed = change(paste_face(located, face, EVERYWHERE, crop, False), photo)
    inside = worked_region(photo.shape, located.quad)
    assert not changed[~inside].any()
    assert np.abs(changed).max() == abs(shift)
    across = WIDE * quad_side(located.quad) / crop.scale  # pixels of the wide zone
    assert steepest(changed) <= 2.0 * abs(shift) / across + 1.0
    with_hard_edge = change(paste_face(located, face, EVERYWHERE, crop, True), photo)
    assert steepest(with_hard_edge) == abs(shift)


@pytest.mark.parametrize("crop", [FFHQ, TIGHT])
def test_the_face_itself_is_the_generated_one(crop: Crop) -> None:
    """In the middle every pixel is what was generated; at the border every pixel is the photo's."""
    photo, made = scene(), scene(1)
    located = locate(photo, crop)
    face = warp(made, located.quad, SIZE)
    again = warp(paste_face(located, face, EVERYWHERE, crop, False), located.quad, SIZE).astype(float)
    middle = slice(SIZE * 2 // 5, SIZE * 3 // 5)
    apart = np.abs(again - face).mean(axis=-1)
    assert apart[middle, middle].mean() < 5  # it was resampled twice
    edge = np.abs(again - located.crop).mean(axis=-1)
    assert max(line.mean() for line in (edge[:2], edge[-2:], edge[:, :2], edge[:, -2:])) < 5
    assert apart[:2].mean() > 20


def test_a_hair_line_that_the_generator_does_not_know_ends_softly() -> None:
    """What it draws darker along one side of its picture is not seen to end there."""
    photo = np.full((220, 230, 3), (150, 120, 100), np.uint8)
    located = locate(photo, TIGHT)
    face = located.crop.copy()
    face[: SIZE // 4] = (40, 30, 20)
    changed = change(paste_face(located, face, EVERYWHERE, TIGHT, False), photo)
    inwards = warp(np.clip(-changed, 0, 255).astype(np.uint8), located.quad, 100)[:, 30:70].mean(axis=1)
    assert inwards[:3].max() < 3
    assert np.abs(np.diff(inwards[:20])).max() < 6


def test_what_the_matte_hides_has_no_say() -> None:
    """A background that is drawn wrongly leaves neither itself nor its light on the person."""
    photo = scene()
    located = locate(photo, TIGHT)
    shown = EVERYWHERE.copy()
    shown[:, : SIZE // 3] = 0
    face = located.crop.copy()
    face[:, : SIZE // 3] = 255
    laid = (paste_face(located, drawn, shown, TIGHT, False) for drawn in (located.crop, face))
    usual, beside = (warp(result, located.quad, SIZE).astype(int) for result in laid)
    person = slice(SIZE // 3 + 3, None)  # beside a line of half hidden pixels
    assert np.abs(beside - usual)[:, person].max() <= 3


@pytest.mark.parametrize("crop", [FFHQ, TIGHT])
def test_an_enlarged_photo_is_lanczos_but_for_the_face(crop: Crop) -> None:
    """Only the face's crop is worked on, and a face that is lighter ends in no square."""
    small = np.full((110, 115, 3), (140, 110, 90), np.uint8)
    quad = quad_of(SQUARE / [2, 2, 2, 1], crop)
    located = Located("", as_photo(small), quad, warp(small, quad, SIZE), 0 * EVERYWHERE, None, 1.0)
    face = np.full((SIZE, SIZE, 3), 150, np.uint8)
    done = enlarge_and_paste(located, face, EVERYWHERE, crop, False, SIZE / located.side)
    factor = SIZE / quad_side(quad)
    assert done.shape[:2] == tuple(round(edge * factor) for edge in small.shape[:2])
    large = resize(small, done.shape[:2], "lanczos")
    changed = change(done, large)
    assert not changed[~worked_region(done.shape, quad * (np.array(done.shape[1::-1]) / (115, 110)))].any()
    assert changed.max() == pytest.approx(150 - 340 / 3, abs=1)
    assert steepest(changed) <= 2.0 * changed.max() / (WIDE * SIZE / crop.scale) + 1.0


@pytest.mark.parametrize("crop", [FFHQ, TIGHT])
def test_a_hole_inside_the_crop_is_filled_to_its_edge(crop: Crop) -> None:
    """Near the crop's border, too, what fills it is the generated face alone."""
    photo, mask = np.full((220, 230, 3), 100, np.uint8), np.zeros((220, 230), np.uint8)
    middle, half = quad_of(SQUARE, crop).mean(axis=0), quad_side(quad_of(SQUARE, crop)) / 2
    low, high = (middle - 0.6 * half).astype(int), (middle + 0.6 * half).astype(int)
    mask[low[1] : high[1], low[0] : high[0]] = 255
    filled = fill_photo(
        locate(photo, crop, mask), np.full((SIZE, SIZE, 3), 180, np.uint8), crop, aligned=False
    )
    assert (filled[mask > 0] == 180).all()
    assert (filled[mask == 0] == 100).all()


@pytest.mark.parametrize("crop", [FFHQ, TIGHT])
def test_a_hole_that_leaves_the_crop_shows_no_border(crop: Crop) -> None:
    """The generated part passes softly into what was only continued; at other sides it is not faded."""
    photo, mask = np.full((220, 230, 3), 100, np.uint8), np.zeros((220, 230), np.uint8)
    middle, half = quad_of(SQUARE, crop).mean(axis=0), quad_side(quad_of(SQUARE, crop)) / 2
    low, high = (middle - 0.5 * half).astype(int), (middle + 0.5 * half).astype(int)
    mask[: high[1], low[0] : high[0]] = 255  # from above the crop to below its middle
    filled = fill_photo(
        locate(photo, crop, mask), np.full((SIZE, SIZE, 3), 180, np.uint8), crop, aligned=False
    )
    column = filled[: high[1], int(middle[0]), 0].astype(int)
    assert column[0] == 100
    assert column[-1] == 180
    assert np.abs(np.diff(column)).max() < 8
    assert (filled[mask == 0] == 100).all()


@pytest.mark.parametrize("size", [4, 16, 23, 40])
def test_an_enlarged_face_keeps_what_the_photo_says(size: int) -> None:
    """Made small again it is the photo, whatever was generated; what is finer stays generated."""
    resolution = 64
    rng = np.random.default_rng(size)
    truth = rng.uniform(-0.6, 0.6, (3, 8, 8)) @ linear_kernel(8, resolution).T
    truth = linear_kernel(8, resolution) @ truth
    made = (0.5 * truth + 0.3 + rng.normal(0, 0.1, truth.shape)).astype(np.float32)
    down, up = area_kernel(resolution, size), linear_kernel(size, resolution)
    photo = Degraded(
        down.astype(np.float32),
        up.astype(np.float32),
        np.ones((size, size), np.float32),
        (down @ truth @ down.T).astype(np.float32),
    )
    kept = consistent(made, photo)
    assert np.abs(down @ kept @ down.T - photo.target).max() < 0.02
    assert np.abs(kept - truth).mean() < np.abs(made - truth).mean()
    fine = made - up @ (down @ made @ down.T) @ up.T
    left = kept - up @ (down @ kept @ down.T) @ up.T
    assert np.corrcoef(fine.ravel(), left.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("aligned", [False, True])
def test_noise_is_taken_out_at_the_photos_own_pixels(aligned: bool) -> None:
    """Within the face only, and where it may show; a mask's hole is continued first."""
    random = np.random.default_rng(0)
    photo = np.rint(120 + random.normal(0, 12, (220, 230, 3))).astype(np.uint8)
    mask = np.zeros((220, 230), np.uint8)
    mask[100:110, 100:110] = 255
    photo[100:110, 100:110] = 0
    located = locate(photo, TIGHT, mask)
    shown = EVERYWHERE.copy()
    shown[SIZE // 2 :] = 0
    made = mended(located, Fine(noise=12), shown, TIGHT, aligned, False).photo.pixels
    inside = worked_region(photo.shape, located.quad, shown)
    np.testing.assert_array_equal(made[~inside & (mask == 0)], photo[~inside & (mask == 0)])
    assert made[mask > 0].min() > 80
    middle = worked_region(photo.shape, quad_of(SQUARE, Crop(0.3, -0.06)))
    assert made[middle & (mask == 0)].std() < 6
