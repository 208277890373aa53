"""The exported generator answers as torch does, whatever the batch and whichever way codes go in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mystyle_cli.nets.export import synthesis_file
from mystyle_cli.nets.exported import Synthesis, open_synthesis
from mystyle_cli.nets.generator import Generator

W_DIM, NUM_WS = 12, 6


def make_generator(clamp: float | None, strength: float) -> Generator:
    """Return a small generator whose biases, noise and filters all take part."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        generator = Generator(
            channels={4: 8, 8: 8, 16: 4}, z_dim=W_DIM, w_dim=W_DIM, mapping_layers=1, clamp=clamp
        )
        for name, value in generator.named_parameters():
            if name.endswith("noise_strength"):
                value.data.fill_(strength)
            elif name.endswith("bias"):
                value.data += 0.3 * torch.randn_like(value)
    return generator.frozen()


def rendered(generator: Generator, w_plus: np.ndarray) -> np.ndarray:
    """Return what torch makes of codes."""
    with torch.no_grad():
        return generator.synthesis(torch.from_numpy(w_plus), noise="const").numpy()


@pytest.fixture
def codes() -> np.ndarray:
    """Random codes (5, num_ws, w_dim), another in every layer."""
    return np.random.default_rng(0).normal(size=(5, NUM_WS, W_DIM)).astype(np.float32)


def opened(folder: Path, generator: Generator, *, half: bool = False) -> Synthesis:
    """Write a generator and open the file."""
    path = folder / "synthesis.onnx"
    path.write_bytes(synthesis_file(generator, half=half))
    return open_synthesis(path, W_DIM, threads=1)


@pytest.mark.parametrize(("clamp", "strength"), [(None, 0.0), (None, 0.4), (0.7, 0.4)])
def test_parity(tmp_path: Path, codes: np.ndarray, clamp: float | None, strength: float) -> None:
    """Random codes give the same pictures as torch: with noise, without, and with bounded activations."""
    generator = make_generator(clamp, strength)
    expected = rendered(generator, codes)
    assert np.abs(opened(tmp_path, generator).render(codes) - expected).max() <= 1e-4 * np.abs(expected).max()


def test_half_precision_halves_the_file_and_little_else(tmp_path: Path, codes: np.ndarray) -> None:
    """Weights in half precision change pictures by a thousandth of their range; the file halves."""
    generator = make_generator(None, 0.4)
    made, expected = opened(tmp_path, generator, half=True).render(codes), rendered(generator, codes)
    difference = np.abs(made - expected).max() / np.abs(expected).max()
    assert 0 < difference < 5e-3
    whole, half = synthesis_file(generator), synthesis_file(generator, half=True)
    saved = sum(value.numel() * 2 for value in generator.synthesis.parameters() if value.numel() >= 64)
    assert len(whole) - len(half) > 0.9 * saved


def test_the_batch_does_not_matter(tmp_path: Path, codes: np.ndarray) -> None:
    """A picture is the same bit for bit alone and among others, more of them than the net takes at once."""
    net = opened(tmp_path, make_generator(None, 0.4))
    many = np.concatenate([codes] * 4)  # 20 rows, several batches
    alone = np.concatenate([net.render(codes[row : row + 1]) for row in range(len(codes))])
    np.testing.assert_array_equal(net.render(many), np.concatenate([alone] * 4))


def test_coefficients_are_combinations_of_anchors(tmp_path: Path) -> None:
    """alpha_plus over any number of anchors gives what its codes M alpha give."""
    random, net = np.random.default_rng(1), opened(tmp_path, make_generator(None, 0.0))
    for count in (2, 7):
        anchors = random.normal(size=(count, W_DIM)).astype(np.float32)
        alpha_plus = random.dirichlet(np.ones(count), (3, NUM_WS)).astype(np.float32)
        w_plus = np.einsum("bln,nd->bld", alpha_plus.astype(np.float64), anchors).astype(np.float32)
        np.testing.assert_allclose(
            net.render_alpha(alpha_plus, anchors), net.render(w_plus), rtol=0, atol=1e-4
        )


def test_the_file_is_sound_onnx(tmp_path: Path) -> None:
    """ONNX's own checker accepts the file, shapes included, and it says what it takes and gives."""
    import onnx

    path = tmp_path / "synthesis.onnx"
    path.write_bytes(synthesis_file(make_generator(0.7, 0.4), half=True))
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.input] == ["alpha_plus", "anchors"]
    shape = model.graph.output[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in shape] == ["batch", 3, 16, 16]
