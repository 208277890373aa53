"""A prior of random weights with every role, small enough that anything is done with it at once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import tomli_w

RESOLUTION, W_DIM = 32, 16


def make_prior(folder: Path) -> Path:
    """Make a prior at 32 pixels in a folder that is not there yet, called as that; returns the folder."""
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
        "name": folder.name,
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
