"""What the baselines are made of: augmentation, discriminator, encoder, correspondence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mystyle_cli.baselines import discriminator
from mystyle_cli.baselines.adversarial import inconsistency, looked_into
from mystyle_cli.baselines.augment import augment
from mystyle_cli.baselines.discriminator import Discriminator, keep_discriminator, load_discriminator
from mystyle_cli.baselines.encoder import TrainableEncoder
from mystyle_cli.errors import ModelError
from mystyle_cli.person.profile import Profile
from mystyle_cli.prior.registry import BUNDLED, open_prior


def random(seed: int = 0) -> torch.Generator:
    """Return a generator of random numbers."""
    return torch.Generator().manual_seed(seed)


def pictures(count: int = 4, side: int = 32) -> torch.Tensor:
    """Return random pictures (count, 3, side, side) in [-1, 1]."""
    return torch.rand(count, 3, side, side, generator=random(1)) * 2 - 1


def test_augmentation_is_differentiable() -> None:
    """Its gradient is what finite differences say, with the same changes drawn again."""
    images = pictures(2, 8).double().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: augment(x, random(3)).square().sum(), images, fast_mode=True)


def test_augmentation_cuts_a_grey_square_and_moves() -> None:
    """A white picture keeps one colour beside what came in from outside and a square of half its side."""
    white = torch.ones(64, 3, 32, 32)
    zero = (augment(white, random()) == 0).all(1)  # (64, 32, 32); brightness leaves no other zeros
    shares = zero.float().mean((1, 2))
    assert float(shares.max()) < 0.25 + 2 * 0.125 + 0.02
    assert float(shares.min()) > 0.05  # in a corner a quarter of the square is inside
    assert len({tuple(picture.flatten().tolist()) for picture in zero}) > 50
    assert torch.equal(augment(white, random(5)), augment(white, random(5)))


def test_discriminator_is_found_by_its_prior(tiny_prior: Path, tmp_path: Path) -> None:
    """What was kept judges as before to what 8 bits hold; another generator of the name has none."""
    prior, net = open_prior(tiny_prior), Discriminator(32)
    assert load_discriminator(prior, tmp_path) is None
    path = keep_discriminator(net, prior, tmp_path)
    found = load_discriminator(prior, tmp_path)
    assert found is not None
    with torch.no_grad():
        before, after = net(pictures()), found(pictures())
    assert float((before - after).abs().max()) < 0.1 * float(before.abs().max())
    roles = prior.metadata["roles"]
    other = {**roles, "generator": {**roles["generator"], "sha256": "0" * 64}}
    assert load_discriminator(replace(prior, metadata={**prior.metadata, "roles": other}), tmp_path) is None
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cannot be used"):
        load_discriminator(prior, tmp_path)


@pytest.mark.parametrize("name", ["faces", "portraits-128"])
def test_bundled_priors_have_a_discriminator(name: str) -> None:
    """It is of the very generator that is bundled, and small enough to ship."""
    prior = open_prior(name)
    net = load_discriminator(prior)
    assert net is not None
    assert net.size == prior.resolution
    assert (discriminator.KEPT / f"{name}.safetensors").stat().st_size < 3e6


def test_patches_are_what_is_seen_on_the_way() -> None:
    """A pixel far from a patch does not change the opinion of it; one inside does."""
    net, images = Discriminator(128), pictures(1, 128)
    changed = images.clone()
    changed[..., 120:, 120:] += 1
    with torch.no_grad():
        moved = (net.seen(images, 2) - net.seen(changed, 2)).abs().sum(1)[0]
    assert moved.shape == (16, 16)
    assert float(moved[:12, :12].max()) == 0
    assert float(moved[15, 15]) > 0


@pytest.mark.parametrize("name", ["faces", "portraits-128"])
def test_encoder_trains_and_answers_as_onnxruntime(name: str) -> None:
    """Read from its file, a bundled encoder answers the same, and every weight of it gets a gradient."""
    prior = open_prior(name)
    encoder = TrainableEncoder(prior.file("encoder"))
    images = pictures(2, prior.resolution)
    answers = encoder(images)
    assert np.allclose(answers.detach().numpy(), prior.encode(images.numpy()), atol=1e-4)
    answers.square().sum().backward()
    gradients = [parameter.grad for parameter in encoder.parameters()]
    assert len(gradients) > 20
    assert all(gradient is not None and bool(gradient.any()) for gradient in gradients)


def test_encoder_of_unknown_operations_is_refused(tiny_prior: Path) -> None:
    """The message names the operation."""
    with pytest.raises(ModelError, match=r"Sigmoid|ReduceMean"):
        TrainableEncoder(tiny_prior / "matte.onnx")


def features(seed: int, scale: float = 1.0) -> list[torch.Tensor]:
    """Return features of four layers for five pictures."""
    return [scale * torch.randn(5, 4, side, side, generator=random(seed)) for side in (2, 4, 8, 16)]


def test_correspondence_is_kept_by_the_same_generator() -> None:
    """It is 0 where features are the same, or longer; above 0 where they are others."""
    assert float(inconsistency(features(0), features(0))) == pytest.approx(0, abs=1e-7)
    assert float(inconsistency(features(0), features(0, 3.0))) == pytest.approx(0, abs=1e-6)
    assert float(inconsistency(features(0), features(1))) > 1e-5


def test_correspondence_is_as_published() -> None:
    """It is the KL divergence of softmaxed cosines to the others, worked out one by one."""
    source, target = features(0), features(1)
    found = []
    for before, after in zip(source[1:-1], target[1:-1], strict=True):
        for one in range(5):
            shares = []
            for layer in (before.numpy().reshape(5, -1), after.numpy().reshape(5, -1)):
                others = [other for other in range(5) if other != one]
                lengths = np.linalg.norm(layer, axis=1)
                cosines = np.array([layer[one] @ layer[o] / lengths[one] / lengths[o] for o in others])
                shares.append(np.exp(cosines) / np.exp(cosines).sum())
            found.append((shares[0] * np.log(shares[0] / shares[1])).mean())
    assert float(inconsistency(source, target)) == pytest.approx(np.mean(found), rel=1e-4)


def test_features_are_those_of_every_block(profile: Profile) -> None:
    """A generator that is looked into draws the same, shows one layer a resolution, and keeps no hook."""
    generator = profile.prior.generator()
    codes = torch.randn(2, generator.num_ws, generator.w_dim, generator=random())
    with looked_into(generator) as seen:
        drawn = generator.synthesis(codes)
    assert [layer.shape[-1] for layer in seen] == [4, 8, 16, 32]
    assert torch.equal(generator.synthesis(codes), drawn)
    assert len(seen) == 4


def test_nothing_but_bundled_priors_is_kept() -> None:
    """Every file beside the modules is the discriminator of a bundled prior."""
    kept = {path.stem for path in discriminator.KEPT.glob("*.safetensors")}
    assert kept <= {path.name for path in BUNDLED.iterdir()}
