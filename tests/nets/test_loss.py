"""The exported eq 1 and its gradient are those of torch, behind every degradation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mystyle_cli.nets.exported import ANCHORS as NAMES
from mystyle_cli.nets.exported import DOWN, KNOWN, TARGET, UP, Degraded, Gradient, open_gradient
from mystyle_cli.nets.generator import Generator
from mystyle_cli.nets.graph import OnnxGraph, add_gradient
from mystyle_cli.nets.loss import loss_file
from mystyle_cli.nets.perceptual import Perceptual, Trunk
from mystyle_cli.nets.sessions import open_session
from mystyle_cli.photos.pixels import area_kernel, linear_kernel

SIZE, W_DIM, ANCHORS, NUM_WS = 32, 12, 5, 8


def rounded(net: torch.nn.Module) -> None:
    """Round weights to half precision, as they are stored, so that nothing else differs."""
    with torch.no_grad():
        for value in net.parameters():
            value.copy_(value.half())


def make_nets(clamp: float | None, trunk: Trunk, seen: int) -> tuple[Generator, Perceptual]:
    """Return a small generator, all of whose parts take part, and a perceptual net."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        generator = Generator(
            channels={4: 8, 8: 8, 16: 6, 32: 4}, z_dim=W_DIM, w_dim=W_DIM, mapping_layers=1, clamp=clamp
        )
        for name, value in generator.named_parameters():
            if name.endswith("noise_strength"):
                value.data.fill_(0.3)
            elif name.endswith("bias"):
                value.data += 0.3 * torch.randn_like(value)
        perceptual = Perceptual(seen, trunk)
        if trunk == "vgg":  # thirteen random layers would leave nothing of a picture
            for layer in perceptual.net.net.modules():
                if isinstance(layer, torch.nn.Conv2d):
                    torch.nn.init.kaiming_normal_(layer.weight)
        with torch.no_grad():
            for head in perceptual.net.lins:  # so that both terms of eq 1 are large parts of the gradient
                head.model[-1].weight.mul_(200)
    rounded(perceptual.net.net)
    return generator.frozen(), perceptual


def photos(random: np.random.Generator) -> dict[str, Degraded]:
    """Return a photo of each kind: whole, with a hole, and small."""
    same, all_known = np.eye(SIZE, dtype=np.float32), np.ones((SIZE, SIZE), np.float32)
    holed = all_known.copy()
    holed[8:20, 5:16] = 0
    small = [area_kernel(SIZE, 9).astype(np.float32), linear_kernel(9, SIZE).astype(np.float32)]

    def target(side: int) -> np.ndarray:
        return random.uniform(-1, 1, (3, side, side)).astype(np.float32)

    return {
        "whole": Degraded(same, same, all_known, target(SIZE)),
        "holed": Degraded(same, same, holed, target(SIZE)),
        "small": Degraded(*small, np.ones((9, 9), np.float32), target(9)),
    }


def by_torch(
    nets: tuple[Generator, Perceptual], photo: Degraded, alpha: np.ndarray, anchors: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return eq 1 over what is known, and its gradient, as autograd has it."""
    generator, perceptual = nets
    free = torch.from_numpy(alpha)[None].requires_grad_()
    down, up, known, target = (
        torch.from_numpy(array) for array in (photo.down, photo.up, photo.known, photo.target)
    )
    image = generator.synthesis((free @ torch.from_numpy(anchors).double()).float(), noise="const")
    filled = known * (down @ image @ down.T) + (1 - known) * target
    perceived = (
        perceptual.distance(up @ filled @ up.T, (up @ target @ up.T)[None]) / (up @ known @ up.T).mean()
    )
    loss = (perceived + (filled - target).square().sum() / (3 * known.sum())).sum()
    loss.backward()
    assert free.grad is not None
    return loss.item(), free.grad[0].numpy()


@dataclass(frozen=True)
class Opened:
    """An exported loss, the nets that it was made of, and photos and codes to try it on."""

    nets: tuple[Generator, Perceptual]
    gradient: Gradient
    photos: dict[str, Degraded]
    anchors: np.ndarray
    alpha: np.ndarray


@pytest.fixture(
    scope="module",
    params=[(None, "alex", SIZE), (0.7, "alex", SIZE), (None, "vgg", SIZE), (None, "alex", 31)],
    ids=lambda given: "-".join(map(str, given)),
)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """For both trunks, with and without bounds, and where the perceptual net sees pictures smaller."""
    random = np.random.default_rng(8)  # with which rounding takes nothing across a kink
    nets, path = make_nets(*request.param), tmp_path_factory.mktemp("loss") / "loss.onnx"
    rounded(nets[0].synthesis)
    given = photos(random)
    anchors = random.normal(size=(ANCHORS, W_DIM)).astype(np.float32)
    alpha = random.dirichlet(np.ones(ANCHORS), NUM_WS)
    path.write_bytes(loss_file(*nets))
    return Opened(nets, open_gradient(path, anchors), given, anchors, alpha)


@pytest.mark.parametrize("kind", ["whole", "holed", "small"])
def test_loss_and_gradient_are_torchs(opened: Opened, kind: str) -> None:
    """Of a photo as a whole, with a hole, and of a smaller one."""
    photo, gradient = opened.photos[kind], opened.gradient
    loss, slope = gradient.at(opened.alpha, gradient.place(photo))
    right_loss, right_slope = by_torch(opened.nets, photo, opened.alpha, opened.anchors)
    assert loss == pytest.approx(right_loss, rel=5e-3)
    assert np.linalg.norm(slope - right_slope) <= 2e-2 * np.linalg.norm(right_slope)


def test_what_is_hidden_has_no_weight(tmp_path: Path) -> None:
    """Two photos that differ in the hole alone, filled alike, are as far from the same codes."""
    random = np.random.default_rng(0)
    nets, photo = make_nets(None, "alex", SIZE), photos(random)["holed"]
    anchors = random.normal(size=(ANCHORS, W_DIM)).astype(np.float32)
    (tmp_path / "loss.onnx").write_bytes(loss_file(*nets))
    gradient = open_gradient(tmp_path / "loss.onnx", anchors)
    alone = np.zeros((NUM_WS, ANCHORS))
    alone[:, 0] = 1
    codes = torch.from_numpy(np.repeat(anchors[None, :1], NUM_WS, axis=1))
    with torch.no_grad():
        image = nets[0].synthesis(codes, noise="const")[0].numpy()
    target = np.where(photo.known > 0, image, photo.target).astype(np.float32)
    loss, _ = gradient.at(alone, gradient.place(Degraded(photo.down, photo.up, photo.known, target)))
    assert loss < 1e-2 < gradient.at(alone, gradient.place(photo))[0]


def test_photos_of_a_batch_do_not_mix(tmp_path: Path) -> None:
    """Two that were degraded in different ways have the losses and gradients that each has alone."""
    random = np.random.default_rng(0)
    one = photos(random)["small"]
    known = one.known.copy()
    known[2:5, 3:7] = 0
    two = Degraded(one.up.T / one.up.sum(axis=0)[:, None], one.up[::-1], known, one.target[:, ::-1])
    anchors = random.normal(size=(ANCHORS, W_DIM)).astype(np.float32)
    alphas = random.dirichlet(np.ones(ANCHORS), (2, NUM_WS))
    (tmp_path / "loss.onnx").write_bytes(loss_file(*make_nets(None, "alex", SIZE)))
    gradient = open_gradient(tmp_path / "loss.onnx", anchors)
    session = replace(open_session(tmp_path / "loss.onnx"), batch=2)  # together, as on a graphics card
    given = {
        DOWN: np.stack([one.down, two.down]),
        UP: np.stack([one.up, two.up]),
        KNOWN: np.stack([one.known, two.known])[:, None],
        TARGET: np.stack([one.target, two.target]),
        NAMES: anchors,
    }
    found = session.run(alphas, {name: session.place(array) for name, array in given.items()})
    for row, alpha, photo in zip(found, alphas, (one, two), strict=True):
        loss, slope = gradient.at(alpha, gradient.place(photo))
        np.testing.assert_allclose(row, [loss, *slope.ravel()], atol=1e-4 * np.abs(slope).max(), rtol=1e-4)


def test_a_matrix_of_many_products_is_refused() -> None:
    """What no rule covers is said when the file is written, rather than summed wrongly."""
    graph = OnnxGraph()
    made = graph.node("MatMul", ["batch_of", "wanted"])
    loss = graph.node("ReduceSum", [made, graph.constant(np.array([1, 2], np.int64))], keepdims=0)
    entries = [("batch_of", ("batch", 2, 3)), ("wanted", (3, 4))]
    with pytest.raises(ValueError, match="gradient is not known"):
        add_gradient(graph, entries, loss, "wanted")
