"""Trains the generator and its encoder together through W: x -> E -> w -> G -> x.

    python -m tools.portraits.train_autoencoder SHARDS RUN [--perceptual FILE]
    python -m tools.portraits.train_autoencoder SHARDS RUN --worker 1
    python -m tools.portraits.train_autoencoder SHARDS RUN --decay 15

The rate is constant until a run is started with `--decay MINUTES`, which goes on from the last checkpoint and
brings it to zero in that time. A run that was stopped goes on where it was; new shards are taken in as they
appear. Several processes may train the same RUN, each with its own `--worker` number (one thread each is
faster than two threads in one process): once a minute each moves its weights to the mean of all. RUN gets
state.pt, metrics.jsonl and preview.png. Set NUMBA_NUM_THREADS to the number of `--threads`: idle threads of
the compiled loops would otherwise spin.
"""

from __future__ import annotations

import argparse
import copy
import json
import signal
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mystyle_cli.nets.generator import FullyConnected, Generator
from mystyle_cli.nets.perceptual import Perceptual, load_perceptual
from tools.portraits.fused import fuse
from tools.portraits.nets import Encoder
from tools.portraits.pictures import Pictures, face_masks, grid, to_bytes

CHANNELS = {4: 256, 8: 256, 16: 192, 32: 96, 64: 48, 128: 16}
W_DIM = 256
WIDTHS, BLOCKS = (32, 64, 128, 192, 192), (1, 2, 3, 2, 1)
VALIDATED = 96  # held-out pictures measured
FACE_SIZE = 96
FACE = (
    slice(None),
    slice(None),
    slice(26, 26 + FACE_SIZE),
    slice(16, 16 + FACE_SIZE),
)  # seen by the LPIPS term
PSNR_WEIGHT = 0.05  # of the log of the mean squared error: what PSNR measures
MEETING = 60  # seconds between two exchanges of workers
SCALES = 4  # picture sizes compared: full, half, quarter, eighth


def make_generator() -> Generator:
    """The bundled prior's generator, random weights."""
    return Generator(channels=CHANNELS, z_dim=W_DIM, w_dim=W_DIM, mapping_layers=4, mapping_multiplier=1.0)


def make_encoder() -> Encoder:
    """The bundled prior's encoder, random weights."""
    return Encoder(128, W_DIM, WIDTHS, BLOCKS)


class Autoencoder(nn.Module):
    """E and G through W."""

    def __init__(self) -> None:
        """Make both nets with random weights."""
        super().__init__()
        self.encoder = make_encoder()
        self.generator = make_generator()

    def forward(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruct images (B, 3, R, R) from codes with noise (B, w_dim) added; returns both."""
        w = self.encoder(images)
        plus = (w + noise)[:, None].expand(-1, self.generator.num_ws, -1)
        return self.generator.synthesis(plus, "none"), w


def face_weight(size: int = 128) -> Tensor:
    """Weight of each pixel (1, 1, size, size): 1 outside, more on the face, most on eyes and mouth.

    Alignment puts eyes and mouth at the same place in every crop, so one map serves all.
    """
    y, x = torch.meshgrid(torch.arange(size) / size, torch.arange(size) / size, indexing="ij")

    def spot(cx: float, cy: float, rx: float, ry: float) -> Tensor:
        return torch.exp(-(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2))

    eyes = spot(0.385, 0.47, 0.09, 0.06) + spot(0.615, 0.47, 0.09, 0.06)
    weight = 1 + 1.5 * spot(0.5, 0.58, 0.26, 0.3) + 2.0 * eyes + 1.0 * spot(0.5, 0.72, 0.12, 0.07)
    return (weight / weight.mean())[None, None]


def pixel_loss(made: Tensor, true: Tensor, weight: Tensor) -> Tensor:
    """Weighted L1 and differences of gradients, at several scales."""
    total = made.new_zeros(())
    error = made - true
    for scale in range(SCALES):
        if scale:
            error, weight = F.avg_pool2d(error, 2), F.avg_pool2d(weight, 2)
        total = total + (error.abs() * weight).mean()
        along_x = (error[..., 1:] - error[..., :-1]).abs() * weight[..., 1:]
        along_y = (error[:, :, 1:] - error[:, :, :-1]).abs() * weight[:, :, 1:]
        total = total + along_x.mean() + along_y.mean()
    return total / SCALES


def psnr(made: Tensor, true: Tensor, masks: Tensor) -> tuple[float, float]:
    """Mean PSNR in dB over the crops and over the faces; images in [-1, 1], masks (B, R, R)."""
    error = (made.clamp(-1, 1) - true).square().mean(1) / 4  # peak is 1
    whole = error.mean((1, 2))
    face = (error * masks).sum((1, 2)) / masks.sum((1, 2))
    return float(-10 * whole.log10().mean()), float(-10 * face.log10().mean())


class Labels:
    """What the renderer knows of a picture, read off the code by one linear layer.

    It makes the encoder keep what pixels say only faintly: where the eyes look, how the mouth stands, who it
    is.
    """

    NAMES = ("states", "identities", "landmarks")

    def __init__(self, pictures: Pictures, rate: float) -> None:
        """Standardise the labels there are now."""
        labels = np.concatenate([pictures.all(name).reshape(len(pictures), -1) for name in self.NAMES], 1)
        self.mean = labels.mean(0)
        self.spread = np.maximum(labels.std(0), 1e-3)
        self.head = FullyConnected(W_DIM, labels.shape[1])
        self.optimiser = torch.optim.Adam(self.head.parameters(), lr=rate, betas=(0.9, 0.99))

    def loss(self, w: Tensor, pictures: Pictures, rows: np.ndarray) -> Tensor:
        """Mean squared error of the standardised labels read off codes (B, w_dim)."""
        parts = [pictures.rows(name, rows).reshape(len(rows), -1) for name in self.NAMES]
        wanted = torch.from_numpy((np.concatenate(parts, 1) - self.mean) / self.spread).float()
        return F.huber_loss(self.head(w), wanted.clamp(-4, 4))


class Run:
    """One training run: nets, optimiser, averages and the files they are kept in."""

    def __init__(self, args: argparse.Namespace) -> None:
        """Make the nets, or read them from the run's folder."""
        self.args, self.folder = args, args.run
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(0)
        self.model = Autoencoder()
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.optimiser = torch.optim.Adam(
            self.model.parameters(), lr=args.rate, betas=(0.9, 0.99), fused=True
        )
        self.step, self.seconds, self.images = 0, 0.0, 0
        self.own, self.elsewhere = 0, 0  # pictures that this worker and the others saw since they started
        state = self.folder / "state.pt"
        if state.exists():
            self._restore(torch.load(state, weights_only=True))
        self.train = Pictures(args.shards, held_out=False, names=Labels.NAMES)
        self.labels = Labels(self.train, args.rate)
        self._prepare_validation()
        self.weight = face_weight()
        self.perceptual: Perceptual | None = load_perceptual(args.perceptual) if args.perceptual else None
        if self.perceptual is not None:
            self.perceptual.size = FACE_SIZE
        fuse(self.model.generator)

    def _prepare_validation(self) -> None:
        held_out = Pictures(self.args.shards, held_out=True, names=("landmarks",))
        rows = np.linspace(0, len(held_out) - 1, VALIDATED).astype(int)
        self.truth = held_out.images(rows)
        self.masks = torch.from_numpy(face_masks(held_out.rows("landmarks", rows), 128)).float()

    def _restore(self, state: dict[str, object]) -> None:
        self.model.load_state_dict(state["model"])  # type: ignore[arg-type]
        self.average.load_state_dict(state["average"])  # type: ignore[arg-type]
        if "optimiser" in state:  # not in one that has just been grown
            self.optimiser.load_state_dict(state["optimiser"])  # type: ignore[arg-type]
        self.step, self.images = int(state["step"]), int(state["images"])  # type: ignore[call-overload]
        self.seconds = float(state["seconds"])  # type: ignore[arg-type]

    def save(self) -> None:
        """Write the state atomically."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "images": self.images + self.elsewhere,
            "seconds": self.seconds,
        }
        partial = self.folder / "state.partial.pt"
        torch.save(state, partial)
        partial.rename(self.folder / "state.pt")

    def meet(self) -> None:
        """Show this worker's weights to the others, and move to the mean of those shown lately."""
        own = self.folder / f"worker-{self.args.worker}.pt"
        partial = own.with_suffix(".partial")
        nets = {"model": self.model.state_dict(), "average": self.average.state_dict()}
        torch.save(nets | {"images": self.own}, partial)
        partial.rename(own)
        others = [path for path in self.folder.glob("worker-[0-9]*.pt") if path != own]
        lately = [path for path in others if time.time() - path.stat().st_mtime < 2 * MEETING]
        shown = [torch.load(path, weights_only=True) for path in lately]
        if shown:
            self.elsewhere = sum(one["images"] for one in shown)
        for part in ("model", "average"):
            mine = getattr(self, part).state_dict()
            for name, value in mine.items():
                value.copy_(torch.stack([value, *(one[part][name] for one in shown)]).mean(0))

    def rate(self, elapsed: float) -> float:
        """Learning rate now: warm-up, then constant, or a straight line to zero when decaying."""
        if self.args.decay:
            return float(self.args.rate * max(0.0, 1 - elapsed / (60 * self.args.decay)))
        return float(self.args.rate * min(1.0, (self.step + 1) / 200))

    def update(self, rng: np.random.Generator, elapsed: float) -> dict[str, float]:
        """One step of the optimiser; returns the parts of the loss."""
        batch = self.args.batch
        rows = rng.integers(len(self.train), size=batch)
        images = self.train.images(rows)
        images[: batch // 2] = images[: batch // 2].flip(3)  # mirrored ones have no labels
        made, w = self.model(images, self.args.noise * torch.randn(batch, W_DIM))
        parts = {"pixel": pixel_loss(made, images, self.weight), "code": 1e-3 * w.square().mean()}
        parts["psnr"] = PSNR_WEIGHT * (made - images).square().mean((1, 2, 3)).log().mean()
        parts["labels"] = self.args.label_weight * self.labels.loss(
            w[batch // 2 :], self.train, rows[batch // 2 :]
        )
        if self.perceptual is not None:
            half = slice(batch // 4, batch // 4 + batch // 2)  # it costs as much as a third of the rest
            with torch.no_grad():
                features = self.perceptual.features(images[half][FACE])
            distance = self.perceptual.distance_to(features, made[half][FACE]).mean()
            parts["lpips"] = self.args.perceptual_weight * distance
        for optimiser in (self.optimiser, self.labels.optimiser):
            optimiser.param_groups[0]["lr"] = self.rate(elapsed)
            optimiser.zero_grad()
        torch.stack(list(parts.values())).sum().backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 10.0)
        self.optimiser.step()
        self.labels.optimiser.step()
        self.step += 1
        self.images += batch
        self.own += batch
        self._average()
        return {name: float(part.detach()) for name, part in parts.items()}

    @torch.no_grad()
    def _average(self) -> None:
        keep = min(0.998, (1 + self.step) / (10 + self.step))
        pairs = zip(self.average.parameters(), self.model.parameters(), strict=True)
        old, new = map(list, zip(*pairs, strict=True))
        torch._foreach_lerp_(old, new, 1 - keep)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Measure the averaged nets on people never seen and write the preview."""
        zero = torch.zeros(12, W_DIM)
        made = torch.cat([self.average(x, zero[: len(x)])[0] for x in self.truth.split(12)])
        crop, face = psnr(made, self.truth, self.masks)
        figures = {"psnr_crop": crop, "psnr_face": face}
        if self.perceptual is not None:
            figures["lpips"] = float(self.perceptual.distance(made[FACE], self.truth[FACE]).mean())
        true, got = to_bytes(self.truth[::6]), to_bytes(made[::6])
        grid([true[:8], got[:8], true[8:], got[8:]]).save(self.folder / "preview.png")
        return figures


def train(args: argparse.Namespace) -> None:
    """Train until stopped, or until the decay is over."""
    run = Run(args)
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    rng = np.random.default_rng([run.step, 7, args.worker])
    start = reported = saved = met = time.time()
    sums: dict[str, float] = {}
    count, before = 0, run.seconds
    while not stop and not (args.decay and time.time() - start > 60 * args.decay):
        for name, value in run.update(rng, time.time() - start).items():
            sums[name] = sums.get(name, 0.0) + value
        count += 1
        now = time.time()
        run.seconds = before + now - start
        if now - met > MEETING:
            run.meet()
            met = time.time()
            run.train.refresh()
        if args.worker:  # the first one reports and saves
            continue
        if now - reported > args.report:
            losses = {name: round(value / count, 4) for name, value in sums.items()}
            speed = count * args.batch / (now - reported)
            report(run, losses | {"images_per_second": round(speed, 1)})
            sums, count, reported = {}, 0, time.time()
        if now - saved > 300:
            run.save()
            saved = now
    if not args.worker:
        run.save()
        report(run, {})


def report(run: Run, figures: dict[str, float]) -> None:
    """Validate and append one line to metrics.jsonl."""
    seen = {"step": run.step, "images": run.images + run.elsewhere}
    line = seen | {"seconds": round(run.seconds), "pictures": len(run.train)}
    line |= figures | {name: round(value, 3) for name, value in run.validate().items()}
    with (run.folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def main() -> None:
    """Read the options and train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shards", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--rate", type=float, default=1e-2)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--noise", type=float, default=0.05, help="standard deviation of the noise on w")
    parser.add_argument("--decay", type=float, help="minutes in which the rate goes to zero")
    parser.add_argument("--label-weight", type=float, default=0.1)
    parser.add_argument("--perceptual", type=Path, help="weights of the perceptual net")
    parser.add_argument("--perceptual-weight", type=float, default=1.0)
    parser.add_argument("--report", type=float, default=120, help="seconds between two lines of metrics")
    parser.add_argument("--worker", type=int, default=0, help="number of this process; only 0 saves")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    train(args)


if __name__ == "__main__":
    main()
