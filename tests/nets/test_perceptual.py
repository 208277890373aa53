"""The split LPIPS against lpips itself."""

from pathlib import Path

import pytest
import torch

from mystyle_cli.errors import ModelError
from mystyle_cli.nets.perceptual import Perceptual, load_perceptual, save_perceptual


@pytest.fixture(scope="module")
def perceptual() -> Perceptual:
    """A net with random weights that sees 64 pixels."""
    torch.manual_seed(0)
    return Perceptual(64)


def test_distance_is_lpips(perceptual: Perceptual) -> None:
    """Distances from stored features equal the lpips package's own."""
    a, b = torch.rand(2, 3, 3, 64, 64) * 2 - 1
    want = perceptual.net(a, b).flatten()
    assert torch.allclose(perceptual.distance(a, b), want, rtol=1e-4, atol=1e-6)
    assert torch.allclose(perceptual.distance(a, a), torch.zeros(3), atol=1e-6)


def test_flat_picture_has_finite_gradient(perceptual: Perceptual) -> None:
    """A picture that excites no feature still gets a finite gradient."""
    target = perceptual.features(torch.rand(1, 3, 64, 64))
    flat = torch.zeros(1, 3, 64, 64, requires_grad=True)
    perceptual.distance_to(target, flat).sum().backward()
    assert flat.grad is not None
    assert flat.grad.isfinite().all()


def test_other_sizes_are_resized(perceptual: Perceptual) -> None:
    """Pictures of any size are seen at the net's own size."""
    a, b = torch.rand(2, 1, 3, 96, 96)
    assert perceptual.distance(a, b).item() > 0
    assert perceptual.features(a)[0].shape == perceptual.features(torch.rand(1, 3, 64, 64))[0].shape


def test_save_and_load(perceptual: Perceptual, tmp_path: Path) -> None:
    """A saved net measures the same distance."""
    a, b = torch.rand(2, 2, 3, 64, 64)
    save_perceptual(perceptual, tmp_path / "p.safetensors")
    loaded = load_perceptual(tmp_path / "p.safetensors")
    assert loaded.size == 64
    assert torch.equal(loaded.distance(a, b), perceptual.distance(a, b))


def test_small_file_measures_alike(perceptual: Perceptual, tmp_path: Path) -> None:
    """Eight-bit weights take a quarter of the space and change distances by less than two per cent."""
    a, b = torch.rand(2, 4, 3, 64, 64) * 2 - 1
    save_perceptual(perceptual, tmp_path / "whole.safetensors")
    save_perceptual(perceptual, tmp_path / "small.safetensors", small=True)
    assert (tmp_path / "small.safetensors").stat().st_size < 0.27 * (
        tmp_path / "whole.safetensors"
    ).stat().st_size
    small = load_perceptual(tmp_path / "small.safetensors")
    assert torch.allclose(small.distance(a, b), perceptual.distance(a, b), rtol=0.02)


def test_damaged_file_is_named(tmp_path: Path) -> None:
    """A file that is no perceptual net raises an error with its name."""
    (tmp_path / "p.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"p\.safetensors"):
        load_perceptual(tmp_path / "p.safetensors")
