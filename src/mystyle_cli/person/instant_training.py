"""Training of a person's instant net, and its export.

First the codes of examples are regressed; then, for a few steps, the loss is eq 1 between the picture that
G_p makes of the answer and the photo before it was degraded.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mystyle_cli.errors import ModelError
from mystyle_cli.person import hull
from mystyle_cli.person.instant import (
    ALPHA_PLUS,
    BETA,
    FEATURES,
    FILE,
    LARGEST_BETA,
    InstantSettings,
    with_beta,
)
from mystyle_cli.person.instant_examples import Examples, make_examples
from mystyle_cli.person.profile import ANCHORS, GENERATOR
from mystyle_cli.progress import Progress, Step, silent

if TYPE_CHECKING:
    from pathlib import Path

    from mystyle_cli.person.draft import Draft
    from mystyle_cli.person.manifest import Scalar
    from mystyle_cli.person.reference import Pictures
    from mystyle_cli.prior.generator import Generator
    from mystyle_cli.prior.perceptual import Perceptual
    from mystyle_cli.prior.registry import Prior

FloatArray = NDArray[np.float32]

SLOPE: Final = 0.2
PARITY_LIMIT: Final = 1e-4
"""Largest difference that the exported net may make, in coefficients."""

DELTA: Final = 0.3
"""How strongly the layers' own logits count beside the common ones."""

NOISE: Final = 0.02
"""Noise on the features in training, in their standard deviations."""


class Net(nn.Module):
    """Features and beta in, alpha_plus in A_beta out, whatever the weights are.

    Args:
        features: (K, F) examples, whose mean and spread the net takes out first; beta is the last.
        num_ws: layers of the generator.
        n_anchors: N.
        width: of the hidden layers.
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
        with torch.no_grad():
            self.last.weight.mul_(0.1)
            self.last.bias.zero_()

    def forward(self, features: Tensor, beta: float) -> Tensor:
        """Return alpha_plus (B, num_ws, N) of features (B, F)."""
        x = (features - self.mean) * self.scale
        x = nn.functional.leaky_relu(self.first(x), SLOPE)
        x = nn.functional.leaky_relu(self.second(x), SLOPE)
        logits = self.last(x)
        own = logits[:, self.n_anchors :].unflatten(1, (self.num_ws, self.n_anchors))
        alpha: Tensor = hull.simplex_alpha(logits[:, None, : self.n_anchors] + DELTA * own, beta)
        return alpha


@dataclass(frozen=True)
class Trained:
    """What training made.

    Args:
        net: the net.
        loss: eq 1 of its last step.
        features: of a few examples, to compare the exported net with.
    """

    net: Net
    loss: float
    features: FloatArray


def train_instant(
    prior: Prior,
    generator: Generator,
    perceptual: Perceptual,
    anchors: FloatArray,
    faces: Pictures,
    settings: InstantSettings,
    progress: Progress = silent,
) -> Trained:
    """Train a person's net.

    Args:
        prior: the domain prior, whose encoder looks first.
        generator: G_p, frozen, on the device to work on.
        perceptual: LPIPS on the same device.
        anchors: (N, w_dim).
        faces: the reference set.
        settings: how to train.
        progress: told after every step.
    """
    examples = make_examples(prior, generator, anchors, faces, settings)
    total = settings.steps + settings.refine_steps
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        net = Net(examples.features, generator.num_ws, len(anchors), settings.width).to(generator.device)
    random, loss = np.random.default_rng([settings.seed, 1]), math.nan
    training = _Training(net, generator, perceptual, anchors, examples, settings.seed)
    for step in range(total):
        refining = step >= settings.steps
        rate, done, steps = (
            (settings.refine_rate, step - settings.steps, settings.refine_steps)
            if refining
            else (settings.learning_rate, step, settings.steps)
        )
        size = settings.refine_batch if refining else settings.batch
        chosen = random.integers(len(examples.features), size=size)
        beta = float(random.uniform(0.01, LARGEST_BETA))
        loss = training.step(chosen, beta, _rate(rate, done, steps), refining)
        progress(Step("instant", step + 1, total, {"loss": loss}))
    for layer in (net.first, net.second):
        layer.weight.data.copy_(layer.weight.data.half())  # as they are stored
    return Trained(net.eval(), loss, examples.features[:4])


def _rate(highest: float, step: int, steps: int) -> float:
    """Return the rate of a step: a short rise, then half a cosine."""
    return highest * min(1.0, (step + 1) / 10) * (0.5 + 0.5 * math.cos(math.pi * step / steps))


class _Training:
    """The net, its optimiser, and both losses."""

    def __init__(
        self,
        net: Net,
        generator: Generator,
        perceptual: Perceptual,
        anchors: FloatArray,
        examples: Examples,
        seed: int,
    ) -> None:
        self.net, self.generator, self.perceptual, self.examples = net, generator, perceptual, examples
        self.device = generator.device
        self.anchors = torch.from_numpy(np.array(anchors, np.float32)).to(self.device)
        self.features = torch.from_numpy(examples.features).to(self.device)
        spread = examples.codes - anchors.mean(axis=0)
        self.size = float(np.square(spread, dtype=np.float64).sum(axis=-1).mean()) + 1e-12
        self.optimiser = torch.optim.AdamW(net.parameters(), weight_decay=0.02)
        self.random = torch.Generator().manual_seed(seed)

    def step(self, chosen: NDArray[np.int64], beta: float, rate: float, refining: bool) -> float:
        """Take one step on some examples; returns the loss before it."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        seen = self.features[torch.from_numpy(chosen).to(self.device)]
        noise = torch.randn(seen.shape, generator=self.random).to(self.device)
        seen = seen + NOISE * noise / self.net.scale
        seen[:, -1] = beta / LARGEST_BETA
        codes = hull.combine(self.net(seen, beta), self.anchors)
        loss = self._picture_loss(codes, chosen) if refining else self._code_loss(codes, chosen)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return loss.item()

    def _code_loss(self, codes: Tensor, chosen: NDArray[np.int64]) -> Tensor:
        """Return the squared distance to the right codes, as a share of their spread."""
        wanted = torch.from_numpy(self.examples.codes[chosen]).to(self.device)
        loss: Tensor = (codes - wanted).square().sum(dim=-1).mean() / self.size
        return loss

    def _picture_loss(self, codes: Tensor, chosen: NDArray[np.int64]) -> Tensor:
        """Return eq 1 between what the codes look like and the photos before they were degraded."""
        rows = self.examples.rows[chosen]
        wanted = torch.from_numpy(self.examples.pictures[rows]).to(self.device).float() / 127.5 - 1
        with torch.no_grad():
            features = self.perceptual.features(wanted)
        made = self.generator.synthesis(codes, noise="const")
        perceived = self.perceptual.distance_to(features, made).mean()
        loss: Tensor = perceived + (made - wanted).square().mean()
        return loss


def instant_file(net: Net) -> bytes:
    """Return a net as an ONNX file: features (B, F) and beta (1,) in, alpha_plus (B, num_ws, N) out.

    The weights of the hidden layers are stored in half precision.
    """
    from mystyle_cli.prior.graph import FLOAT, OnnxGraph

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


def instant_stage(
    draft: Draft,
    prior: Prior,
    nets: tuple[Generator, Perceptual],
    anchors: FloatArray,
    faces: Pictures,
    settings: InstantSettings,
    progress: Progress,
) -> tuple[dict[str, str], dict[str, Scalar]]:
    """Train and export into a profile's next version.

    Args:
        draft: the next version.
        prior: the domain prior.
        nets: G_p and LPIPS on the device to work on.
        anchors: (N, w_dim).
        faces: the reference set.
        settings: how to train.
        progress: told after every step.

    Returns:
        The digest of the file, and the facts that tell whether it is still true.

    Raises:
        ModelError: the exported net answers otherwise than torch.
    """
    trained = train_instant(prior, *nets, anchors, faces, settings, progress)
    files = draft.write(FILE, instant_file(trained.net))
    difference = check_file(draft.find(FILE), trained.net, trained.features)
    digests = draft.digests()
    return files, {
        **asdict(settings),
        "generator": digests[GENERATOR],
        "anchors": digests[ANCHORS],
        "prior": prior.digest,
        "last_loss": round(trained.loss, 6),
        "largest_difference": difference,
    }


def check_file(path: Path, net: Net, features: FloatArray) -> float:
    """Return how far an exported net is from torch, at most, for some features (B, F).

    Raises:
        ModelError: too far.
    """
    from mystyle_cli.prior.sessions import open_session

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


def _split(rows: FloatArray, net: Net) -> tuple[FloatArray, FloatArray]:
    """Return the rows of the common logits (1, N, H) and of the layers' own (num_ws, N, H)."""
    common, own = rows[: net.n_anchors], rows[net.n_anchors :]
    return common[None], own.reshape(net.num_ws, net.n_anchors, -1)
