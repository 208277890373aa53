"""Generators of every dialect, from file to picture, against a slow transcription of what is published."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mystyle_cli.checkpoints.reading import read_checkpoint
from mystyle_cli.checkpoints.records import Record
from mystyle_cli.errors import ModelError
from mystyle_cli.foreign import generators
from mystyle_cli.foreign.generators import borrow_mapping, read_generator
from mystyle_cli.nets.generator import Generator, save_generator
from tests.support.checkpoints import write_nvidia_pickle, write_nvidia_torch
from tests.support.oracle import render, transform
from tests.support.rosinality import rosinality_tensors, write_rosinality

CLAMP = 0.9  # low, so that the clamp matters


def published(clamp: float | None = None, seed: int = 0) -> Generator:
    """A 32-pixel generator whose every tensor is random: biases, noise strengths, the mean of w."""
    torch.manual_seed(seed)
    channels = {4: 6, 8: 5, 16: 4, 32: 3}
    generator = Generator(channels=channels, z_dim=8, w_dim=8, mapping_layers=3, clamp=clamp)
    with torch.no_grad():
        for name, tensor in generator.named_parameters():
            if name.endswith(("bias", "noise_strength")):
                tensor.add_(torch.randn_like(tensor) * 0.5)
        generator.w_avg.normal_()
    return generator.eval().requires_grad_(False)


def write_named(path: Path, generator: Generator) -> Path:
    """Write bare tensors by NVIDIA's names as safetensors, as converters do."""
    from safetensors.torch import save_file

    save_file({k: v.contiguous() for k, v in generator.state_dict().items()}, path)
    return path


def write_own(path: Path, generator: Generator) -> Path:
    """Write our own format."""
    save_generator(generator, path)
    return path


def write_wrapped(path: Path, generator: Generator, shape: str, wrapper: str) -> Path:
    """Write rosinality's file as a training wrote it that wrapped whole nets."""
    content = torch.load(write_rosinality(path, generator, shape), weights_only=False)
    for state in (content.get("g_ema"), content.get("state_dict"), content):
        tensors = (
            {} if state is None else {name: v for name, v in state.items() if isinstance(v, torch.Tensor)}
        )
        for name, value in tensors.items():
            if name != "latent_avg":
                state[wrapper + name] = value
                del state[name]
    torch.save(content, path)
    return path


Writer = Callable[[Path, Generator], Path]
WRITERS: dict[str, tuple[Writer, str, float | None]] = {
    "NVIDIA snapshot": (write_nvidia_pickle, "nvidia", CLAMP),
    "PTI": (write_nvidia_torch, "nvidia", CLAMP),
    "PTI, old torch": (lambda path, g: write_nvidia_torch(path, g, legacy=True), "nvidia", CLAMP),
    "NVIDIA names": (write_named, "nvidia", None),
    "rosinality": (write_rosinality, "rosinality", None),
    "rosinality, parallel": (lambda path, g: write_wrapped(path, g, "full", "module."), "rosinality", None),
    "encoder, compiled, parallel": (
        lambda path, g: write_wrapped(path, g, "encoder", "_orig_mod.module."),
        "rosinality",
        None,
    ),
    "rosinality decoder": (lambda path, g: write_rosinality(path, g, "encoder"), "rosinality", None),
    "our own": (write_own, "mystyle", CLAMP),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_every_dialect_renders_as_published(kind: str, tmp_path: Path) -> None:
    """A file of each dialect gives the published pictures of W+ codes, noise on and clamped."""
    write, dialect, clamp = WRITERS[kind]
    source = published(clamp)
    read = read_generator(write(tmp_path / "file", source))
    assert read.dialect == dialect
    tensors, codes = source.state_dict(), torch.randn(1, source.num_ws, source.w_dim)
    want = render(tensors, codes[0].double().numpy(), True, np.inf if clamp is None else clamp)
    got = read.generator.synthesis(codes, "const")[0].numpy()
    assert np.abs(got - want).max() <= 5e-5 * np.abs(want).max()
    z = torch.randn(4, 8)
    assert np.allclose(read.generator.mapping(z).numpy(), transform(tensors, z.double().numpy()), atol=1e-5)
    assert torch.equal(read.generator.w_avg, source.w_avg)


def test_synthesis_alone(tmp_path: Path) -> None:
    """What google/mystyle saves renders, and gets its mapping from the generator that it was tuned from."""
    source = published(CLAMP)
    alone = read_generator(write_nvidia_torch(tmp_path / "mystyle_model.pt", source, whole=False)).generator
    codes, z = torch.randn(1, source.num_ws, 8), torch.randn(2, 8)
    assert torch.allclose(alone.synthesis(codes), source.synthesis(codes), atol=1e-4)
    assert not alone.z_dim
    whole = borrow_mapping(alone, source)
    assert torch.equal(whole.mapping(z), source.mapping(z))
    assert torch.equal(whole.w_avg, source.w_avg)
    assert torch.allclose(whole.synthesis(codes), source.synthesis(codes), atol=1e-4)
    with pytest.raises(ModelError, match="mapping network of its own"):
        borrow_mapping(whole, source)
    with pytest.raises(ModelError, match="does not fit"):
        borrow_mapping(alone, alone)


def test_mean_is_estimated(tmp_path: Path) -> None:
    """A rosinality file without latent_avg gets the mean of many codes, and says so."""
    source = published()
    read = read_generator(write_rosinality(tmp_path / "g.pt", source, "g_ema"))
    z = np.random.default_rng(0).standard_normal((20_000, 8))
    assert np.abs(read.generator.w_avg.numpy() - transform(source.state_dict(), z).mean(0)).max() < 0.05
    assert any("estimated" in note for note in read.notes)


@pytest.mark.parametrize(
    ("recorded", "named"),
    [
        ({"synthesis_kwargs": {"architecture": "resnet"}}, "architecture = 'resnet'"),
        ({"synthesis_kwargs": {"resample_filter": [1, 2, 1]}}, "resample_filter"),
        ({"synthesis_kwargs": {"use_noise": False}}, "use_noise = False"),
        ({"mapping_kwargs": {"activation": "relu"}}, "activation = 'relu'"),
        ({"mapping_kwargs": {"layer_features": 512}}, "layer_features = 512"),
        ({"synthesis_kwargs": {"magnitude_ema_beta": 0.5}}, "magnitude_ema_beta"),
        ({"c_dim": 10}, "c_dim = 10"),
        ({"img_channels": 1}, "img_channels = 1"),
        ({"synthesis_kwargs": {"conv_clamp": "much"}}, "conv_clamp"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_settings_are_refused(recorded: dict[str, object], named: str, tmp_path: Path) -> None:
    """A network of settings that we do not implement is refused by their name, never rendered wrongly."""
    with pytest.raises(ModelError, match=named):
        read_generator(write_nvidia_pickle(tmp_path / "g.pkl", published(), **recorded))


def test_multiplier_is_read(tmp_path: Path) -> None:
    """A mapping trained at another learning-rate multiplier is computed with it."""
    source = Generator(channels={4: 4, 8: 4}, z_dim=8, w_dim=8, mapping_layers=2, mapping_multiplier=1.0)
    read = read_generator(write_nvidia_pickle(tmp_path / "g.pkl", source))
    z = torch.randn(3, 8)
    assert torch.allclose(read.generator.mapping(z), source.mapping(z), atol=1e-6)


def test_wrong_tensors_are_named(tmp_path: Path) -> None:
    """Missing, unexpected and misshapen tensors are refused, the first few named."""
    tensors = rosinality_tensors(published())
    del tensors["convs.0.activate.bias"]
    tensors["convs.9.surprise"] = torch.zeros(1)
    tensors["convs.1.conv.modulation.weight"] = torch.zeros(5, 7)
    torch.save({"g_ema": tensors}, tmp_path / "g.pt")
    with pytest.raises(ModelError) as caught:
        read_generator(tmp_path / "g.pt")
    for part in ("g.pt", "missing: synthesis.b8.conv0.bias", "convs.9.surprise", "b8.conv1.affine.weight"):
        assert part in caught.value.message


def test_other_filters_are_refused(tmp_path: Path) -> None:
    """A generator that blurs with another kernel is refused: ours is fixed."""
    tensors = rosinality_tensors(published())
    tensors["convs.0.conv.blur.kernel"] = torch.full((4, 4), 0.25)
    torch.save({"g_ema": tensors}, tmp_path / "g.pt")
    with pytest.raises(ModelError, match=r"convs\.0\.conv\.blur\.kernel"):
        read_generator(tmp_path / "g.pt")


def test_what_is_no_generator_is_refused(tmp_path: Path) -> None:
    """Another network's file is an error that says what is in it."""
    torch.save({"features.0.weight": torch.zeros(3), "features.0.bias": torch.zeros(3)}, tmp_path / "a.pth")
    with pytest.raises(ModelError, match=r"no StyleGAN2 generator: it has features\.0\.weight"):
        read_generator(tmp_path / "a.pth")


STRANGE = [
    None,
    True,
    -1,
    0.0,
    float("nan"),
    "x",
    [],
    {},
    torch.zeros(()),
    torch.zeros(2, 0),
]


def mutated(value: Any, place: int, strange: object) -> tuple[Any, int]:
    """Return nested content with what is at a place, counted depth first, replaced or (strange) left out."""
    if place == 0:
        return strange, -1
    place -= 1
    if isinstance(value, Record):
        state, place = mutated(value.state, place + 1, {})
        return Record(value.class_name, state), place
    if not isinstance(value, dict) or place < 0:
        return value, place
    made = {}
    for key, part in value.items():
        part, place = mutated(part, place, strange) if place >= 0 else (part, place)
        made[key] = part
    return made, place


@pytest.mark.parametrize("write", [write_nvidia_pickle, write_rosinality])
def test_strange_content_is_refused(write: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands where a tensor, setting or module should, the file is read or refused, nothing else."""
    source = read_checkpoint(write(tmp_path / "g", published()))
    content = {key: part for key, part in source.content.items() if key in ("G_ema", "g_ema", "latent_avg")}
    count = 1_000_000 - mutated(content, 1_000_000, None)[1]
    rng = np.random.default_rng(0)
    refused = []
    for place in rng.integers(1, count, 80):
        strange = STRANGE[int(rng.integers(len(STRANGE)))]
        made = replace(source, content=mutated(content, int(place), strange)[0])
        monkeypatch.setattr(generators, "read_checkpoint", lambda path, made=made: made)
        try:
            read_generator(tmp_path / "g")
        except ModelError as error:
            refused.append(error.message)
    assert len(refused) > 20
    assert all(str(tmp_path) in message or "module" in message for message in refused)
