"""A profile's nets leave out what its generator's file and its prior have; opened, they are whole."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from mystyle_cli.errors import ModelError, MystyleError, ProfileError
from mystyle_cli.instant.net import InstantSettings
from mystyle_cli.learn.learn import export_to
from mystyle_cli.nets.bounds import read_net
from mystyle_cli.nets.export import synthesis_file
from mystyle_cli.nets.exported import open_synthesis
from mystyle_cli.nets.loss import loss_file
from mystyle_cli.person.layout import GENERATOR
from mystyle_cli.person.profile import Profile
from mystyle_cli.store.store import Store
from tests.support.tiny_store import add_export, add_instant, make_store

SYNTHESIS, LOSS = "onnx/synthesis.onnx", "onnx/instant-loss.onnx"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, tiny_prior: Path) -> Store:
    """A store whose profile has all that learning makes."""
    store = make_store(tmp_path_factory.mktemp("weights") / "store", tiny_prior)
    add_instant(store, "ada", InstantSettings(samples=2, views=1, width=4, steps=1, batch=2))
    add_export(store, "ada")
    return store


@pytest.fixture
def profile(store: Store) -> Profile:
    """The profile, opened anew."""
    return store.open("ada")


def codes(profile: Profile) -> np.ndarray:
    """Return three codes (3, num_ws, w_dim)."""
    return np.repeat(profile.anchors()[:3, None], profile.manifest.prior.num_ws, axis=1)


def test_no_weight_is_stored_twice(profile: Profile) -> None:
    """The nets hold next to none of the numbers that the generator and the perceptual net are made of."""
    own = sum(value.numel() for value in profile.generator().synthesis.parameters() if value.numel() >= 64)
    trunk = sum(value.numel() for value in profile.prior.perceptual().net.net.parameters())
    for name, known in ((SYNTHESIS, own), (LOSS, own + trunk)):
        tensors = onnx.load(profile.file(name)).graph.initializer
        held = sum(len(tensor.raw_data) for tensor in tensors)  # bytes
        left_out = sum(math.prod(tensor.dims) for tensor in tensors if not tensor.raw_data)
        assert left_out >= known
        assert held < 0.2 * 4 * known


def test_opened_they_are_whole_to_the_last_bit(profile: Profile, tmp_path: Path) -> None:
    """What is opened is the file that others' programs get; so are the pictures, without any help."""
    generator, perceptual = profile.generator(), profile.prior.perceptual()
    assert read_net(profile.file(SYNTHESIS), profile.left_out()) == synthesis_file(generator)
    assert read_net(profile.file(LOSS), profile.left_out()) == loss_file(generator, perceptual)
    export_to(profile, tmp_path / "nets")
    w_dim = profile.manifest.prior.w_dim
    own = open_synthesis(profile.file(SYNTHESIS), w_dim, weights=profile.left_out()).render(codes(profile))
    whole = open_synthesis(tmp_path / "nets/synthesis.onnx", w_dim).render(codes(profile))
    np.testing.assert_array_equal(own, whole)


def test_a_net_with_its_weights_inside_asks_for_none(profile: Profile, tmp_path: Path) -> None:
    """Profiles made before, whose nets name no weights, are opened as they are."""
    model = onnx.load_model_from_string(synthesis_file(profile.generator()))
    new = {tensor.name: f"c{number}" for number, tensor in enumerate(model.graph.initializer)}
    for tensor in model.graph.initializer:
        tensor.name = new[tensor.name]
    for node in model.graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
    old = tmp_path / "synthesis.onnx"
    old.write_bytes(model.SerializeToString())

    def refuse(name: str) -> np.ndarray:
        raise AssertionError(name)

    w_dim = profile.manifest.prior.w_dim
    own = open_synthesis(profile.file(SYNTHESIS), w_dim, weights=profile.left_out()).render(codes(profile))
    np.testing.assert_array_equal(open_synthesis(old, w_dim, weights=refuse).render(codes(profile)), own)


def _of_another_shape(tensor: onnx.TensorProto) -> None:
    tensor.dims[0] += 1


def _of_another_kind(tensor: onnx.TensorProto) -> None:
    tensor.data_type = onnx.TensorProto.DOUBLE


def _unknown(tensor: onnx.TensorProto) -> None:
    tensor.name = "synthesis.b4.conv9.weight"


def _another(tensor: onnx.TensorProto) -> None:
    tensor.name = "synthesis.b8.conv1.weight"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_of_another_shape, "another shape or kind"),
        (_of_another_kind, "another shape or kind"),
        (_unknown, "which the profile's nets do not have"),
        (_another, "two tensors"),
        (None, "belongs into a profile"),
    ],
)
def test_a_gap_that_nothing_fits_is_refused(
    profile: Profile, tmp_path: Path, spoil: Callable[[onnx.TensorProto], None] | None, said: str
) -> None:
    """By name, shape and kind of number, each once; and a file without its profile says where it belongs."""
    model, path = onnx.load(profile.file(SYNTHESIS)), tmp_path / "net.onnx"
    named = {tensor.name: tensor for tensor in model.graph.initializer}
    if spoil is not None:
        spoil(named["synthesis.b4.conv1.weight"])
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=said):
        open_synthesis(
            path, profile.manifest.prior.w_dim, weights=profile.left_out() if spoil is not None else None
        )


@pytest.mark.parametrize("whose", ["person", "prior"])
def test_a_spoilt_weight_is_refused(tiny_prior: Path, tmp_path: Path, whose: str) -> None:
    """A number that changed where the weights lie is found by its file's digest before anything is drawn."""
    prior = Path(shutil.copytree(tiny_prior, tmp_path / "prior"))
    store = make_store(tmp_path / "store", prior)
    add_export(store, "ada")
    path = store.path("ada") / GENERATOR if whose == "person" else prior / "generator.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    profile = store.open("ada")
    kind: type[MystyleError] = ProfileError if whose == "person" else ModelError
    with pytest.raises(kind, match=GENERATOR):
        open_synthesis(profile.file(SYNTHESIS), profile.manifest.prior.w_dim, weights=profile.left_out())


def test_samples_are_drawn_without_torch(store: Store, tmp_path: Path) -> None:
    """Neither torch nor the onnx package is needed to put the weights in, and the profile is sound."""
    code = (
        "import sys\nfrom mystyle_cli.cli import cli\n"
        "try:\n    cli.main(sys.argv[1:])\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "assert not {'torch', 'onnx'} & set(sys.modules)\n"
    )
    words = ["--store", str(store.root), "--no-progress", "sample", "ada", "-o", str(tmp_path / "a.png")]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "backend onnx, CPUExecutionProvider" in done.stderr
    assert store.verify("ada") == []
