"""Training of a person's instant net, and its export.

The codes of examples are regressed. What pictures have to say is left to the steps that an answer takes from
there: forty training steps on pictures made answers no better and took as long as all the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mystyle_cli.errors import ModelError
from mystyle_cli.hull import hull
from mystyle_cli.instant.examples import Examples, Material, make_examples
from mystyle_cli.instant.net import (
    ALPHA_PLUS,
    BETA,
    FEATURES,
    FILE,
    LARGEST_BETA,
    InstantSettings,
    with_beta,
)
from mystyle_cli.progress import Progress, Step, silent

if TYPE_CHECKING:
    from pathlib import Path

    from mystyle_cli.files.gaps import Weights
    from mystyle_cli.nets.generator import Generator
    from mystyle_cli.nets.perceptual import Perceptual

FloatArray = NDArray[np.float32]

SLOPE: Final = 0.2
PARITY_LIMIT: Final = 1e-4  # largest difference that the exported net may make, in coefficients

# largest difference of the exported gradient, whose weights are rounded, as a share of its length
GRADIENT_LIMIT: Final = 0.05

DELTA: Final = 0.3  # how strongly the layers' own logits count beside the common ones
NOISE: Final = 0.02  # noise on the features in training, in their standard deviations


class Net(nn.Module):
    """Features and beta in, alpha_plus in A_beta out, whatever the weights are.

    Args:
        features: (K, F) examples, whose mean and spread the net takes out first; beta is the last.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, features: FloatArray, num_ws: int, n_anchors: int, width: int) -> None:
        super().__init__()
        self.num_ws, self.n_anchors = num_ws, n_anchors
        self.register_buffer("mean", torch.from_numpy(features.mean(axis=0)))
        self.register_buffer("scale", torch.from_numpy(1 / np.maximum(features.std(axis=0), 0.05)))
        self.first = nn.Linear(features.shape[1], width)
        self.second = nn.Linear(width, width)
        self.last = nn.Linear(width, n_anchors * (1 + num_ws))
        with torch.no_grad():  # first answers near equal shares of all anchors, where a search starts, too
            self.last.weight.mul_(0.1)
            self.last.bias.zero_()

    def forward(self, features: Tensor, beta: float) -> Tensor:
        """Return alpha_plus (B, num_ws, N) of features (B, F)."""
        x = (features - self.mean) * self.scale
        x = nn.functional.leaky_relu(self.first(x), SLOPE)
        x = nn.functional.leaky_relu(self.second(x), SLOPE)
        logits = self.last(x)  # (B, N + num_ws N): common ones, then the layers' own
        own = logits[:, self.n_anchors :].unflatten(1, (self.num_ws, self.n_anchors))  # (B, num_ws, N)
        alpha: Tensor = hull.simplex_alpha(logits[:, None, : self.n_anchors] + DELTA * own, beta)
        return alpha


@dataclass(frozen=True)
class Trained:
    """What training made."""

    net: Net
    loss: float  # of its last step, see `_Training.step`
    features: FloatArray  # of a few examples, to compare the exported net with


def train_instant(material: Material, settings: InstantSettings, progress: Progress = silent) -> Trained:
    """Train a person's net on pictures of G_p, which stays as it is, and on their own photos.

    Of several people it is one net, whose coefficients are all people's.
    """
    generator, anchors = material.generator, material.anchors
    examples = make_examples(material, settings, progress)
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers go on as before
        torch.manual_seed(settings.seed)
        net = Net(examples.features, generator.num_ws, len(anchors), settings.width).to(generator.device)
    random, loss = np.random.default_rng([settings.seed, 1]), math.nan
    training = _Training(net, anchors, examples, settings.seed)
    for step in range(settings.steps):
        chosen = random.integers(len(examples.features), size=settings.batch)
        beta = float(random.uniform(0.01, LARGEST_BETA))
        loss = training.step(chosen, beta, _rate(settings.learning_rate, step, settings.steps))
        progress(Step("instant", step + 1, settings.steps, {"loss": loss}))
    for layer in (net.first, net.second):
        layer.weight.data.copy_(layer.weight.data.half())  # as they are stored
    return Trained(net.eval(), loss, examples.features[:4])


@dataclass(frozen=True)
class Made:
    """What became of a person's net, which is written by then."""

    loss: float  # of the last step, see `_Training.step`
    largest_difference: float  # of the file to torch, in coefficients


def make_instant(
    material: Material,
    settings: InstantSettings,
    write: Callable[[str, bytes], Path],
    progress: Progress = silent,
) -> Made:
    """Train a person's net, write it, and compare it with torch.

    Args:
        write: takes a file by its name in the profile, and says where it lies.

    Raises:
        ModelError: the exported net answers otherwise than torch.
    """
    trained = train_instant(material, settings, progress)
    written = write(FILE, instant_file(trained.net))
    return Made(trained.loss, check_file(written, trained.net, trained.features))


def _rate(highest: float, step: int, steps: int) -> float:
    return highest * min(1.0, (step + 1) / 10) * (0.5 + 0.5 * math.cos(math.pi * step / steps))


class _Training:
    """The net, its optimiser and its loss."""

    def __init__(self, net: Net, anchors: FloatArray, examples: Examples, seed: int) -> None:
        self.net, self.device = net, net.mean.device
        self.anchors = torch.from_numpy(np.array(anchors, np.float32)).to(self.device)
        self.features = torch.from_numpy(examples.features).to(self.device)
        self.codes = torch.from_numpy(examples.codes).to(self.device)
        spread = examples.codes - anchors.mean(axis=0)
        self.size = float(np.square(spread, dtype=np.float64).sum(axis=-1).mean()) + 1e-12
        self.optimiser = torch.optim.AdamW(net.parameters(), weight_decay=0.02)
        self.random = torch.Generator().manual_seed(seed)

    def step(self, chosen: NDArray[np.int64], beta: float, rate: float) -> float:
        """Take one step on some examples; returns the loss before it, as a share of the codes' spread."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        rows = torch.from_numpy(chosen).to(self.device)
        seen = self.features[rows]
        noise = torch.randn(seen.shape, generator=self.random).to(self.device)
        seen = seen + NOISE * noise / self.net.scale  # a few hundred examples are soon known by heart
        seen[:, -1] = beta / LARGEST_BETA
        # codes are compared, not coefficients, of which many give nearly the same code
        codes = hull.combine(self.net(seen, beta), self.anchors)  # (B, num_ws, w_dim)
        loss = (codes - self.codes[rows]).square().sum(dim=-1).mean() / self.size
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        return float(loss.item())


def instant_file(net: Net) -> bytes:
    """Return a net as an ONNX file: features (B, F) and beta (1,) in, alpha_plus (B, num_ws, N) out.

    The weights of the hidden layers are stored in half precision.
    """
    from mystyle_cli.nets.graph import FLOAT, OnnxGraph

    graph = OnnxGraph()
    state = {name: value.detach().cpu().numpy() for name, value in net.state_dict().items()}
    node, constant = graph.node, graph.constant
    x = node("Mul", [node("Sub", [FEATURES, constant(state["mean"])]), constant(state["scale"])])
    for layer in ("first", "second"):
        weight = node("Cast", [constant(state[f"{layer}.weight"].astype(np.float16))], to=FLOAT)
        parameters = [weight, constant(state[f"{layer}.bias"])]
        x = node("LeakyRelu", [node("Gemm", [x, *parameters], transB=1)], alpha=SLOPE)
    # the common logits are added to each layer's own by weights, so that the graph needs no more nodes
    common, own = _split(state["last.weight"], net), _split(state["last.bias"][:, None], net)
    weights = (common[0] + DELTA * common[1]).reshape(-1, state["last.weight"].shape[1])
    bias = (own[0] + DELTA * own[1]).reshape(-1)
    logits = node("Gemm", [x, constant(weights), constant(bias)], transB=1)
    shape = constant(np.array([-1, net.num_ws, net.n_anchors], np.int64))
    shares = node("Softmax", [node("Reshape", [logits, shape])], axis=2)
    count = constant(np.array(net.n_anchors, np.float32))
    total = node("Add", [constant(np.array(1, np.float32)), node("Mul", [count, BETA])])
    node("Sub", [node("Mul", [shares, total]), BETA], ALPHA_PLUS)
    ends = [(FEATURES, ("batch", len(state["mean"]))), (BETA, (1,))]
    return graph.model(ends, (ALPHA_PLUS, ("batch", net.num_ws, net.n_anchors)))


def check_file(path: Path, net: Net, features: FloatArray) -> float:
    """Return how far an exported net is from torch, at most, for some features (B, F); raises ModelError."""
    from mystyle_cli.nets.sessions import open_session

    session, beta = open_session(path), LARGEST_BETA
    given = with_beta(features[:, :-1], beta)
    found = session.run(given, {BETA: session.place(np.array([beta], np.float32))})
    with torch.no_grad():
        expected = net.cpu()(torch.from_numpy(given), beta).numpy()
    difference = float(np.abs(found - expected).max())
    if not difference <= PARITY_LIMIT:
        raise ModelError(
            f"{path.name} differs from torch by {difference:.1e}, more than {PARITY_LIMIT:.0e}",
            "Leave it out with --no-instant, and report this.",
        )
    return float(f"{difference:.3g}")


def check_loss(
    path: Path, nets: tuple[Generator, Perceptual], anchors: FloatArray, weights: Weights | None = None
) -> float:
    """Return how far an exported gradient of eq 1 is from torch, as a share of its length.

    Args:
        anchors: (N, w_dim); the gradient is taken between their mean and the picture of the first.

    Raises:
        ModelError: too far.
    """
    from mystyle_cli.nets.exported import Degraded, open_gradient

    generator, perceptual = nets
    size, points = generator.resolution, torch.from_numpy(np.array(anchors, np.float32)).to(generator.device)
    alpha = torch.full((1, generator.num_ws, len(anchors)), 1 / len(anchors), device=generator.device)
    alpha.requires_grad_()
    with torch.no_grad():
        target = generator.synthesis(points[:1].expand(1, generator.num_ws, -1), noise="const").clamp(-1, 1)
    made = generator.synthesis(hull.combine(alpha, points), noise="const")
    loss = perceptual.distance(made, target).sum() + (made - target).square().mean()
    (expected,) = torch.autograd.grad(loss, alpha)
    same, known = np.eye(size, dtype=np.float32), np.ones((size, size), np.float32)
    gradient = open_gradient(path, anchors, weights=weights)
    photo = gradient.place(Degraded(same, same, known, target[0].cpu().numpy()))
    found = gradient.at(alpha[0].detach().cpu().double().numpy(), photo)[1]
    right = expected[0].cpu().double().numpy()
    difference = float(np.linalg.norm(found - right) / max(float(np.linalg.norm(right)), 1e-12))
    if not difference <= GRADIENT_LIMIT:
        raise ModelError(
            f"{path.name}'s gradient differs from torch by {difference:.1e} of its length",
            "Leave it out with --no-instant, and report this.",
        )
    return float(f"{difference:.3g}")


def _split(rows: FloatArray, net: Net) -> tuple[FloatArray, FloatArray]:
    """Return the rows of the common logits (1, N, H) and of the layers' own (num_ws, N, H)."""
    common, own = rows[: net.n_anchors], rows[net.n_anchors :]
    return common[None], own.reshape(net.num_ws, net.n_anchors, -1)
