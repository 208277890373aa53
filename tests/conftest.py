"""Shared fixtures."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tomli_w
from hypothesis import HealthCheck, settings

from mystyle_cli.nets.processors import settle

if TYPE_CHECKING:
    from click.testing import Result

    from tests.support.journeys import Run

RESOLUTION, W_DIM = 32, 16

settle()  # before torch is loaded, as in the program
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")  # however slow it is, and whatever else it does


@pytest.fixture(autouse=True)
def _same_numbers_in_any_order() -> None:
    """Let no test's random weights depend on which tests ran before it in the same process."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


def _onnx_net(path: Path, body: list[object], weights: dict[str, np.ndarray], rank: int) -> None:
    """Write an ONNX net `images` -> `out` of the given nodes."""
    from onnx import TensorProto, helper, numpy_helper, save

    shape = ["batch", 3, RESOLUTION, RESOLUTION]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", *[None] * (rank - 1)])
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(body, path.stem, [images], [out], tensors)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def _write_nets(folder: Path, rng: np.random.Generator) -> None:
    """Write encoder and identity as random projections, matte as a threshold on brightness."""
    from onnx import helper

    for name, dim in (("encoder", W_DIM), ("identity", 24)):
        weight = (rng.normal(size=(3 * RESOLUTION**2, dim)) / 17).astype(np.float32)
        body = [
            helper.make_node("Flatten", ["images"], ["flat"], axis=1),
            helper.make_node("MatMul", ["flat", "weight"], ["out"]),
        ]
        _onnx_net(folder / f"{name}.onnx", body, {"weight": weight}, 2)
    body = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("Mul", ["mean", "gain"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["out"]),
    ]
    _onnx_net(folder / "matte.onnx", body, {"gain": np.array(8, np.float32)}, 3)


def _write_torch_roles(folder: Path) -> None:
    """Write generator and perceptual net with random weights."""
    import torch

    from mystyle_cli.nets.generator import Generator, save_generator
    from mystyle_cli.nets.perceptual import Perceptual, save_perceptual

    with torch.random.fork_rng():
        torch.manual_seed(0)
        channels = {4: 16, 8: 16, 16: 16, 32: 8}
        generator = Generator(
            channels=channels, z_dim=W_DIM, w_dim=W_DIM, mapping_layers=2, mapping_multiplier=1
        )
        save_generator(generator, folder / "generator.safetensors")
        save_perceptual(Perceptual(RESOLUTION), folder / "perceptual.safetensors", small=True)


def _write_directions(folder: Path, rng: np.random.Generator) -> list[str]:
    """Write two random directions; returns their names."""
    from mystyle_cli.prior.directions import Direction, save_direction

    (folder / "directions").mkdir()
    for name in ("yaw", "smile"):
        vector = rng.normal(size=W_DIM)
        direction = Direction(name, vector / np.linalg.norm(vector), 0.5, "step", "random")
        save_direction(direction, folder / "directions" / f"{name}.safetensors")
    return ["yaw", "smile"]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of this run that all of its workers see."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session", autouse=True)
def _nothing_takes_long_twice(shared: Path) -> Iterator[None]:
    """Nobody waits for the disk, and a picture that was searched for faces is not searched again."""
    from mystyle_cli.curate import examine
    from mystyle_cli.faces import faces

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        for module, names in (
            (faces, ("_seen", "detect")),
            (examine, ("find_faces", "find_hidden_faces", "describe")),
        ):
            for name in names:
                patch.setattr(module, name, _remembered(getattr(module, name), shared))
        yield


def _remembered(look: Callable[..., Any], shared: Path) -> Callable[..., Any]:
    """Return a function of a picture, and of a face on it, that looks once at what is the same.

    Args:
        shared: where what was found is kept for the other workers.
    """
    found: dict[str, Any] = {}

    def mark(given: Any) -> str:
        pixels = np.asarray(getattr(given, "landmarks", given))
        return f"{pixels.shape} {pixels.dtype} {hashlib.sha256(pixels.tobytes()).hexdigest()}"

    def once(*given: Any) -> Any:
        key = hashlib.sha256(f"{look.__module__}.{look.__name__} {[*map(mark, given)]}".encode()).hexdigest()
        if key not in found:
            kept = shared / f"{key}.looked"
            if not kept.exists():
                beside = kept.with_suffix(f".{os.getpid()}")
                beside.write_bytes(pickle.dumps(look(*given)))
                os.replace(beside, kept)
            found[key] = pickle.loads(kept.read_bytes())
        return copy(found[key])

    return once


@pytest.fixture(scope="session")
def tiny_prior(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prior folder at 32 pixels with every role, all of them random weights."""
    folder = tmp_path_factory.mktemp("priors") / "tiny-32"
    folder.mkdir()
    rng = np.random.default_rng(0)
    _write_nets(folder, rng)
    _write_torch_roles(folder)

    def entry(file: str) -> dict[str, str]:
        digest = hashlib.sha256((folder / file).read_bytes()).hexdigest()
        return {"file": file, "sha256": digest, "licence": "Apache-2.0", "source": "random weights"}

    files = ["generator.safetensors", "encoder.onnx", "perceptual.safetensors", "identity.onnx", "matte.onnx"]
    metadata = {
        "format": 1,
        "name": "tiny-32",
        "resolution": RESOLUTION,
        "w_dim": W_DIM,
        "num_ws": 8,
        "roles": {file.partition(".")[0]: entry(file) for file in files},
        "directions": {
            name: entry(f"directions/{name}.safetensors") for name in _write_directions(folder, rng)
        },
    }
    (folder / "prior.toml").write_text(tomli_w.dumps(metadata))
    return folder


@pytest.fixture(scope="session")
def made_store(tiny_prior: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store as it is made once."""
    from tests.support.tiny_store import make_store

    root = tmp_path_factory.mktemp("store")
    make_store(root, tiny_prior)
    return root


@pytest.fixture
def run(made_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the program on a copy of the store, in an empty folder."""
    from click.testing import CliRunner

    from mystyle_cli.cli import cli

    shutil.copytree(made_store, tmp_path / "store")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def invoke(*words: object, **settings: Any) -> Result:
        return CliRunner().invoke(cli, ["--store", str(tmp_path / "store"), *map(str, words)], **settings)

    return invoke


@pytest.fixture
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """So many threads of the CPU for one test."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    """What `--threads` settled in one test does not hold in the next."""
    from mystyle_cli.nets import processors

    names = (*processors.COUNTS, *processors.WAITING)
    environment = {name: os.environ[name] for name in names if name in os.environ}
    settled, torch = list(processors._settled), sys.modules.get("torch")
    count = torch.get_num_threads() if torch else 0
    yield
    for name in names:
        os.environ.pop(name, None)
    os.environ.update(environment)
    processors._settled[:] = settled
    if torch:
        torch.set_num_threads(count)
