"""The generator against a slow transcription of the published numerics."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mystyle_cli.errors import ModelError
from mystyle_cli.nets.generator import Generator, load_generator, save_generator
from tests.support.oracle import render, transform


def small(seed: int = 0, clamp: float | None = None) -> Generator:
    """A 16-pixel generator whose every tensor is random, biases and noise included."""
    torch.manual_seed(seed)
    generator = Generator(channels={4: 6, 8: 5, 16: 3}, z_dim=7, w_dim=8, mapping_layers=3, clamp=clamp)
    with torch.no_grad():
        for name, tensor in generator.named_parameters():
            if name.endswith(("bias", "noise_strength")):
                tensor.add_(torch.randn_like(tensor) * 0.5)
    return generator.eval().requires_grad_(False)


@pytest.mark.parametrize("noise", ["const", "none"])
@pytest.mark.parametrize("clamp", [None, 0.7])
def test_synthesis_matches_oracle(noise: str, clamp: float | None) -> None:
    """Rendering different rows of W+ agrees with the fused, per-sample float64 transcription."""
    generator = small(clamp=clamp)
    w_plus = torch.randn(2, generator.num_ws, generator.w_dim)
    images = generator.synthesis(w_plus, noise).numpy()
    for got, codes in zip(images, w_plus.double().numpy(), strict=True):
        want = render(generator.state_dict(), codes, noise == "const", np.inf if clamp is None else clamp)
        assert np.abs(got - want).max() < 2e-5 * max(1.0, np.abs(want).max())


def test_mapping_matches_formula() -> None:
    """Mapping normalises z and applies the .01 multiplier."""
    generator = small()
    z = torch.randn(3, 7)
    x = transform(generator.state_dict(), z.double().numpy())
    assert np.allclose(generator.mapping(z).numpy(), x, atol=1e-5)


def test_truncation_moves_the_first_rows() -> None:
    """Truncation draws the rows before the cutoff towards w_avg, and all of them without one."""
    generator = small()
    generator.mapping.w_avg.copy_(torch.randn(8))
    z = torch.randn(2, 7)
    w = generator.mapping(z)[:, None].expand(-1, generator.num_ws, -1)
    near = generator.w_avg + 0.7 * (w - generator.w_avg)
    want = generator.synthesis(torch.cat([near[:, :3], w[:, 3:]], 1))
    assert torch.allclose(generator(z, psi=0.7, cutoff=3), want, atol=1e-5)
    assert torch.allclose(generator(z, psi=0.7), generator.synthesis(near), atol=1e-5)


def test_without_mapping(tmp_path: Path) -> None:
    """A synthesis network alone renders, is saved and loaded, and refuses to make codes."""
    generator = Generator(channels={4: 6, 8: 5}, z_dim=0, w_dim=8, mapping_layers=0)
    save_generator(generator, tmp_path / "g.safetensors")
    loaded = load_generator(tmp_path / "g.safetensors")
    assert not any(name.startswith("mapping") for name in loaded.state_dict())
    w_plus = torch.randn(1, 4, 8)
    assert torch.equal(loaded.synthesis(w_plus), generator.synthesis(w_plus))
    with pytest.raises(ModelError, match="no mapping"):
        loaded(torch.randn(1, 8))
    with pytest.raises(ModelError, match="no mapping"):
        _ = loaded.w_avg


def test_published_shape() -> None:
    """At 1024 the state dict has the published number of entries and values."""
    with torch.device("meta"):
        channels = {4 << i: min(32768 // (4 << i), 512) for i in range(9)}
        generator = Generator(channels=channels, z_dim=512, w_dim=512)
    state = generator.state_dict()
    assert generator.num_ws == 18
    assert len(state) == 182
    assert sum(p.numel() for p in generator.parameters()) == 30_370_060
    assert sum(b.numel() for b in generator.buffers()) == 2_797_104


@settings(max_examples=10)
@given(batch=st.integers(1, 4), seed=st.integers(0, 99))
def test_batch_independent(batch: int, seed: int) -> None:
    """A code renders the same alone and in any batch."""
    generator = small()
    w_plus = torch.randn(batch, generator.num_ws, 8, generator=torch.Generator().manual_seed(seed))
    together = generator.synthesis(w_plus)
    alone = torch.cat([generator.synthesis(row[None]) for row in w_plus])
    assert torch.allclose(together, alone, atol=1e-5)


def test_random_noise_differs() -> None:
    """Random noise changes the picture from call to call; stored noise does not."""
    generator = small()
    w_plus = torch.randn(1, generator.num_ws, 8)
    assert torch.equal(generator.synthesis(w_plus), generator.synthesis(w_plus))
    assert not torch.equal(generator.synthesis(w_plus, "random"), generator.synthesis(w_plus, "random"))


def test_save_and_load(tmp_path: Path) -> None:
    """A saved generator comes back with the same pictures; half precision comes back nearly so."""
    generator = small(clamp=256.0)
    w_plus = torch.randn(2, generator.num_ws, 8)
    want = generator.synthesis(w_plus)
    save_generator(generator, tmp_path / "g.safetensors")
    loaded = load_generator(tmp_path / "g.safetensors")
    assert torch.equal(loaded.synthesis(w_plus), want)
    assert loaded.config == generator.config
    save_generator(generator, tmp_path / "h.safetensors", half=True)
    assert (load_generator(tmp_path / "h.safetensors").synthesis(w_plus) - want).abs().max() < 0.05


def test_damaged_file_is_named(tmp_path: Path) -> None:
    """A file that is no generator raises an error with its name."""
    path = tmp_path / "bad.safetensors"
    path.write_bytes(b"not tensors at all")
    with pytest.raises(ModelError, match=r"bad\.safetensors"):
        load_generator(path)
