"""The identity role of `faces`: dlib's net rebuilt, and the cut that stands before it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mystyle_cli.faces.faces import find_faces
from mystyle_cli.faces.models import descriptor_net, model_path
from mystyle_cli.photos.decode import decode
from tools.faces.descriptor import CHIP, FILE, Descriptor, Reader, read_descriptor
from tools.faces.fit_identity import ChipIdentity, chip_window, resampling, threshold_law

PHOTOS = sorted((Path(__file__).parents[2] / "profiles/photos/ada-held-out").glob("0[12].jpg"))


@pytest.fixture(scope="module")
def net() -> Descriptor:
    """dlib's net, rebuilt."""
    return read_descriptor(model_path(FILE))


def test_the_rebuilt_net_describes_faces_as_dlib_does(net: Descriptor) -> None:
    """On chips that dlib cut itself, number by number."""
    import dlib

    for path in PHOTOS:
        pixels = decode(path).pixels
        points = [dlib.point(round(x), round(y)) for x, y in find_faces(pixels)[0].landmarks]
        shape = dlib.full_object_detection(dlib.rectangle(0, 0, *pixels.shape[1::-1]), points)
        chip = dlib.get_face_chip(pixels, shape, CHIP, 0.25)
        wanted = np.array(descriptor_net().compute_face_descriptor(chip))
        found = net(torch.from_numpy(chip).permute(2, 0, 1)[None].float())[0].numpy()
        np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_numbers_are_read_as_dlib_writes_them() -> None:
    """A byte of sign and length, the magnitude after it; a real is a mantissa and an exponent of two."""
    reader = Reader(bytes([0x02, 0x34, 0x12, 0x81, 0x03, 0x01, 0x05, 0x81, 0x02]))
    assert (reader.integer(), reader.integer(), reader.real()) == (0x1234, -3, 1.25)


def test_another_file_of_dlib_is_refused() -> None:
    """The landmark predictor holds no such layers."""
    with pytest.raises(ValueError, match="no layer"):
        read_descriptor(model_path("shape_predictor_68_face_landmarks.dat"))


@pytest.mark.parametrize("size", [128, 256])
def test_the_cut_is_the_picture_seen_through_a_window(size: int) -> None:
    """A ramp stays a ramp inside the crop, and is mirrored where the window reaches out of it."""
    ramp = (np.arange(size) + 0.5) / size
    seen = resampling(size, -0.1, 1.2).numpy() @ ramp
    places = -0.1 + 1.3 * (np.arange(CHIP) + 0.5) / CHIP
    wanted = np.where(places < 0, -places, np.where(places > 1, 2 - places, places))
    np.testing.assert_allclose(seen, wanted, atol=0.01)


def test_the_window_is_where_dlib_cuts(net: Descriptor) -> None:
    """Described through the window, a face that dlib's chip shows whole is nearly what dlib says of it."""
    import dlib

    pixels = decode(PHOTOS[0]).pixels
    face = find_faces(pixels)[0]
    low, side = face.landmarks.min(0), float(np.ptp(face.landmarks, axis=0).max())
    start, size = (low - 0.6 * side).astype(int).clip(0), int(2.2 * side)
    crop = np.asarray(pixels[start[1] : start[1] + size, start[0] : start[0] + size])
    size = min(crop.shape[:2])
    crop, landmarks = np.ascontiguousarray(crop[:size, :size]), face.landmarks - start
    shape = dlib.full_object_detection(
        dlib.rectangle(0, 0, size, size), [dlib.point(round(x), round(y)) for x, y in landmarks]
    )
    wanted = np.array(descriptor_net().compute_face_descriptor(crop, shape))
    made = ChipIdentity(net, size, chip_window(landmarks[None] / size))
    images = torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 127.5 - 1
    assert np.linalg.norm(made.describe(images)[0].numpy() - wanted) < 0.15


def test_strangers_come_out_at_right_angles(net: Descriptor) -> None:
    """After the fit, descriptors that lay about one point have a mean cosine of nothing."""
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(500, 128)) * np.geomspace(0.01, 0.1, 128) + 0.2).astype(np.float32)
    made = ChipIdentity(net, 128, (0.0, 0.0, 1.0, 1.0))
    made.fit(rows)
    unit = (rows - made.mean.numpy()) @ made.matrix.numpy().T
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    cosines = (unit @ unit.T)[np.triu_indices(500, 1)]
    assert abs(cosines.mean()) < 0.01
    assert cosines.std() < 0.13


def test_the_threshold_is_what_one_stranger_in_a_hundred_reaches() -> None:
    """On directions drawn at random, by counting on others than it was found on."""
    rng = np.random.default_rng(0)
    strangers, references = (rng.normal(size=(n, 32)) for n in (600, 30))
    strangers /= np.linalg.norm(strangers, axis=1, keepdims=True)
    references /= np.linalg.norm(references, axis=1, keepdims=True)
    single, tenfold = threshold_law(strangers)
    limit = single + tenfold * np.log10(30)
    others = rng.normal(size=(5000, 32))
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    assert 0.002 < ((others @ references.T).max(1) >= limit).mean() < 0.03
