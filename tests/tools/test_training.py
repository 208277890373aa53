"""The parts of the bundled prior's training that have a right answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from mystyle_cli.nets.generator import Generator
from mystyle_cli.nets.sessions import open_session
from tools.portraits.find_directions import closed_form, from_labels
from tools.portraits.fit_identity import discriminant
from tools.portraits.fit_mapping import fit_mapping, move_origin
from tools.portraits.nets import Encoder, Identity, Matte
from tools.portraits.to_onnx import export
from tools.portraits.train_autoencoder import pixel_loss, psnr


def nets() -> tuple[Generator, Encoder]:
    """A generator and an encoder at 16 pixels."""
    torch.manual_seed(0)
    generator = Generator(
        channels={4: 8, 8: 8, 16: 4}, z_dim=6, w_dim=6, mapping_layers=1, mapping_multiplier=1
    )
    return generator.requires_grad_(False).eval(), Encoder(16, 6, (8, 8), (0, 1)).requires_grad_(False)


def test_moved_origin_changes_no_picture() -> None:
    """Moving the origin of W leaves reconstructions as they were and makes codes positive."""
    generator, encoder = nets()
    images = torch.rand(40, 3, 16, 16) * 2 - 1
    codes = encoder(images)
    before = generator.synthesis(codes[:, None].expand(-1, 6, -1))
    moved = move_origin(generator, encoder, codes)
    after = generator.synthesis(encoder(images)[:, None].expand(-1, 6, -1))
    assert torch.allclose(before, after, atol=1e-4 * float(before.abs().max()))
    assert torch.allclose(encoder(images), moved, atol=1e-5)
    assert moved.min() > 0


def test_mapping_has_the_density_of_the_codes() -> None:
    """Random samples have mean and covariance of the codes the mapping was fitted to."""
    generator, _ = nets()
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(6, 6)) * 0.3
    codes = torch.from_numpy(rng.normal(size=(5000, 6)) @ factor + 20).float()
    fit_mapping(generator, codes)
    samples = generator.mapping(torch.randn(200_000, 6)).double().numpy()
    assert np.allclose(samples.mean(0), codes.mean(0), atol=0.02)
    # Six numbers on a sphere have the covariance of a Gaussian exactly.
    assert np.allclose(np.cov(samples.T), np.cov(codes.T.double()), atol=0.03)
    assert torch.equal(generator.w_avg, codes.mean(0))


def test_labels_give_their_direction() -> None:
    """A code that moves along known directions with labels, and is otherwise noise, gives them back."""
    rng = np.random.default_rng(1)
    names = ["pitch", "yaw", "smile", "mouth", "light_x"]
    effects, _ = np.linalg.qr(rng.normal(size=(12, 5)))
    people = np.repeat(np.arange(50), 8)
    states = rng.normal(size=(400, 5)) * [10, 15, 0.3, 0.3, 0.5]
    codes = states @ effects.T + 5 * rng.normal(size=(50, 12))[people] + 0.1 * rng.normal(size=(400, 12))
    found = from_labels(codes, states, names, people)
    for name, column in {"yaw": 1, "pitch": 0, "smile": 2, "mouth": 3, "light": 4}.items():
        assert found[name].vector @ effects[:, column] > 0.98
    assert np.isclose(found["yaw"].step, 10, rtol=0.05)


def test_closed_form_is_orthonormal() -> None:
    """Closed-form directions are unit vectors at right angles."""
    generator, _ = nets()
    found = closed_form(generator, np.random.default_rng(0).normal(size=(30, 6)))
    vectors = np.stack([direction.vector for direction in found.values()])
    assert np.allclose(vectors @ vectors.T, np.eye(len(vectors)), atol=1e-8)


def test_exported_nets_answer_alike(tmp_path: Path) -> None:
    """Each kind of net answers in ONNX as in torch, for any batch, with weights stored as float16."""
    torch.manual_seed(0)
    identity = Identity(8, (8, 8, 16, 16))
    identity(torch.zeros(2, 3, 32, 32))
    kinds: dict[str, nn.Module] = {
        "encoder": Encoder(32, 6, (8, 8, 16), (0, 1, 0)),
        "identity": identity,
        "matte": Matte((8, 8, 16)),
    }
    images = torch.rand(5, 3, 32, 32) * 2 - 1
    for name, net in kinds.items():
        path = tmp_path / f"{name}.onnx"
        export(net, path, images)
        with torch.no_grad():
            want = net.eval()(images).numpy()
        assert (
            np.abs(open_session(path, batch=2).run(images.numpy()) - want).max() < 2e-2 * np.abs(want).max()
        )
        stored = [
            tensor.data_type for tensor in onnx.load(path).graph.initializer if np.prod(tensor.dims) >= 64
        ]
        assert stored
        assert onnx.TensorProto.FLOAT not in stored


def test_losses_vanish_for_equal_pictures() -> None:
    """Equal pictures have no loss; PSNR of a constant error is what the formula says."""
    true = torch.rand(2, 3, 16, 16) * 1.6 - 0.8
    weight = torch.ones(1, 1, 16, 16)
    assert pixel_loss(true, true, weight) == 0
    assert pixel_loss(true + 0.1, true, weight) > 0
    crop, face = psnr(true + 0.2, true, torch.ones(2, 16, 16))
    assert np.isclose(crop, 20, atol=1e-3)  # an error of 0.2 in a range of 2 is 0.1 of the peak
    assert np.isclose(face, 20, atol=1e-3)


def test_discriminant_drops_what_varies_within_people() -> None:
    """Two numbers that identify people survive, a louder one that varies from picture to picture does not."""
    rng = np.random.default_rng(2)
    people = np.repeat(np.arange(80), 6)
    embeddings = rng.normal(size=(480, 5)) * [0.1, 0.1, 3, 0.1, 0.1]
    embeddings[:, :2] += rng.normal(size=(80, 2))[people]
    matrix = discriminant(embeddings, people, 2)
    assert matrix.shape == (2, 5)
    assert np.abs(matrix[:, 2:]).max() < 0.1 * np.linalg.norm(matrix[:, :2], 2)
