"""Trains the generator and its encoder together through W: x -> E -> w -> G -> x, then adversarially.

    python -m tools.faces.train_autoencoder DATA RUN [--start FILE] [--perceptual FILE]
    python -m tools.faces.train_autoencoder DATA RUN --adversarial 1 --psnr-weight 0.02 --rate 4e-3 --decay 40

Several processes, one on each graphics card, share every step's crops and end with the same weights:

    torchrun --nproc-per-node 2 -m tools.faces.train_autoencoder DATA RUN --device cuda --batch 24

A run that was stopped goes on where it was, with any number of processes. The rate is constant until `--decay
MINUTES` brings it to zero. RUN gets state.pt, metrics.jsonl and preview.png. Convolutions are in bfloat16
where the processor multiplies it (AMX: three times faster); `--float32` elsewhere. `--device cuda` trains on
a graphics card; `--size 256 --start FILE` goes on at twice the resolution.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import signal
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mystyle_cli.baselines.discriminator import Discriminator, load_discriminator
from mystyle_cli.nets.generator import FullyConnected
from mystyle_cli.nets.perceptual import Perceptual, load_perceptual
from mystyle_cli.prior.registry import open_prior
from mystyle_cli.ranks import ALONE, Ranks
from tools.faces.autoencoder import CHANNELS, W_DIM, Autoencoder, grow, load_start
from tools.faces.crops import Crops, face_weight
from tools.faces.fused import fuse
from tools.portraits.pictures import face_masks, grid, to_bytes
from tools.portraits.train_autoencoder import pixel_loss, psnr

VALIDATED = 96  # unseen crops measured
LUMA = (0.299, 0.587, 0.114)
R1_EVERY, R1_WEIGHT = 16, 0.15
SEEN_CODES = 2400  # latest codes that the density of people is taken from
SEEN = 0.875  # side of the middle that the LPIPS term sees, in crop sides
TOP = {256: {256: 16}}  # channels that a larger prior has more


class Total(torch.autograd.Function):
    """Sum of a tensor over all processes, on whose every part all of their losses depend."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, ranks: Ranks) -> Tensor:
        """Sum the tensors."""
        ctx.ranks = ranks  # type: ignore[attr-defined]
        total = x.clone()
        ranks.sum([total])
        return total

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        """Sum the gradients."""
        total = gradient.clone()
        ctx.ranks.sum([total])  # type: ignore[attr-defined]
        return total, None


class Judge(Discriminator):
    """D whose minibatch deviation is over the pictures of all processes, unless it is `alone`."""

    def __init__(self, size: int, ranks: Ranks) -> None:
        """Make the net with random weights."""
        super().__init__(size)
        self.ranks, self.alone = ranks, not ranks.several

    def variance(self, x: Tensor) -> Tensor:
        """Return the variance (C, h, w) of what is seen (B, C, h, w); B may be 0 where others have some."""
        if self.alone:
            return super().variance(x)
        (count,) = self.ranks.total(len(x))
        mean = Total.apply(x.float().sum(0), self.ranks) / count
        found: Tensor = Total.apply((x.float() - mean).square().sum(0), self.ranks) / count
        return found


class Run:
    """One training run: nets, optimisers, averages and the files they are kept in.

    Of several processes each works on every so-many-th picture of a batch. Losses are sums over these,
    divided by the numbers in the whole batch, so that they and their gradients add up to one process's; what
    is drawn is drawn for the whole batch, in each of them alike, by a seed that is the number of the step.
    """

    def __init__(self, args: argparse.Namespace, ranks: Ranks = ALONE) -> None:
        """Make the nets, or read them from the run's folder."""
        self.args, self.folder, self.ranks = args, args.run, ranks
        own = f"cuda:{ranks.local}" if ranks.several and args.device == "cuda" else args.device
        self.device = torch.device(own)
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(0)
        self.crops = Crops(args.data, "train", args.size)
        if self.device.type != "cpu":
            self.crops.bring(self.device)
        self.model = Autoencoder(CHANNELS | TOP.get(args.size, {}))
        if args.start:
            grow(load_start(args.start), self.model)
        self.model.to(self.device)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.judge = Judge(args.size, ranks)
        if args.judge:
            self.judge.load_state_dict(read_judge(args.judge))
        self.judge.to(self.device)
        self.reader = FullyConnected(W_DIM, self.crops.labels.shape[1]).to(self.device)  # labels off the code
        self.optimiser = torch.optim.Adam(
            [*self.model.parameters(), *self.reader.parameters()], lr=args.rate, betas=(0.9, 0.99)
        )
        self.judging = torch.optim.Adam(self.judge.parameters(), lr=args.rate, betas=(0.0, 0.99))
        self.step, self.images, self.seconds = 0, 0, 0.0
        self.seen = torch.empty(0, W_DIM, device=self.device)  # the latest codes
        state = self.folder / "state.pt"
        if state.exists():
            self._restore(torch.load(state, weights_only=True, map_location=self.device))
        unseen = Crops(args.data, "val", args.size)
        rows = np.linspace(0, len(unseen) - 1, VALIDATED).astype(int)
        self.truth = unseen.images(rows).to(self.device)
        masks = face_masks(unseen.landmarks[rows] * args.size, args.size)
        self.masks = torch.from_numpy(masks).float().to(self.device)
        self.weight = face_weight(unseen.landmarks.mean(0), args.size).to(self.device)
        self.perceptual: Perceptual = load_perceptual(args.perceptual).to(self.device)
        self.perceptual.size = round(SEEN * 128)
        half = nullcontext() if args.float32 else torch.autocast(self.device.type, torch.bfloat16)
        self.autocast: AbstractContextManager[None] = half
        if not args.float32:
            fuse(self.model.generator, self.device.type)

    PARTS = ("model", "average", "judge", "reader", "optimiser", "judging")

    def _restore(self, state: dict[str, object]) -> None:
        for part in self.PARTS:
            if part in state:
                getattr(self, part).load_state_dict(state[part])
        self.step, self.images = int(state["step"]), int(state["images"])  # type: ignore[call-overload]
        self.seconds = float(state["seconds"])  # type: ignore[arg-type]
        self.seen = state.get("seen", self.seen)  # type: ignore[assignment]

    def digest(self) -> str:
        """Tell what the processes must have in common."""
        digest = hashlib.sha256(f"{self.step} {self.args}".encode())
        for parameter in (*self.model.parameters(), *self.judge.parameters()):
            digest.update(parameter.detach().cpu().numpy().tobytes())
        return digest.hexdigest()

    def save(self) -> None:
        """Write the state atomically."""
        state = {part: getattr(self, part).state_dict() for part in self.PARTS}
        state |= {"step": self.step, "images": self.images, "seconds": self.seconds, "seen": self.seen}
        partial = self.folder / "state.partial.pt"
        torch.save(state, partial)
        partial.rename(self.folder / "state.pt")

    def rate(self, elapsed: float) -> float:
        """Learning rate now: warm-up, then constant, or a straight line to zero when decaying."""
        warm = min(1.0, (self.step + 1) / 200)  # Adam's first steps are as long as later ones
        left = max(0.0, 1 - elapsed / (60 * self.args.decay)) if self.args.decay else 1.0
        return float(self.args.rate * warm * left)

    def update(self, elapsed: float) -> dict[str, float]:
        """One step of both optimisers; returns the parts of the loss."""
        rng, batch = np.random.default_rng([self.step, 7]), self.args.batch
        rows = rng.integers(len(self.crops), size=batch)
        mirrored = rng.random(batch) < 0.5
        mine = np.arange(batch)[self.ranks.rank :: self.ranks.size]
        images = self.crops.images(rows[mine], mirrored[mine]).to(self.device)
        grey = torch.from_numpy(self.crops.grey[rows[mine]]).to(self.device)
        # places, not a mask: a card would have to be asked how many there are
        coloured_of_mine = torch.from_numpy(np.flatnonzero(~self.crops.grey[rows[mine]])).to(self.device)
        w = self._encode(images)
        noise = self.args.noise * self._normal(rng, batch, W_DIM)[mine]
        noisy = torch.cat([w + noise, self._draw(rng, w.detach(), mine)])
        with self.autocast:
            decoded = self.model.decode(noisy)
        made, drawn = decoded.float().split([len(mine), len(noisy) - len(mine)])
        parts = self._reconstruction(made, images, grey, mine)
        parts["code"] = 1e-3 * (w - self.model.generator.w_avg).square().sum() / (batch * W_DIM)
        known = torch.from_numpy(np.flatnonzero(~mirrored[mine])).to(self.device)
        labels = torch.from_numpy(self.crops.labels[rows[mine]]).to(self.device)
        of_all = int((~mirrored).sum()) * labels.shape[1]
        parts["labels"] = self.args.label_weight * self._read(w[known], labels[known]) / max(1, of_all)
        coloured = ~self.crops.grey[rows]
        count = int(coloured.sum()) + self.drawn  # pictures that the judge sees of what was made
        if self.args.adversarial:
            judged = torch.cat([made[coloured_of_mine], drawn])
            with self.autocast:
                loss = F.softplus(-self.judge(judged)).sum() / count
            parts["adversarial"] = self.args.adversarial * 0.1 * loss
        self._set_rate(elapsed)
        self.optimiser.zero_grad()
        torch.stack(list(parts.values())).sum().backward()
        self._sum_gradients(self.model, self.reader)
        nn.utils.clip_grad_norm_(self.model.parameters(), 10.0)
        self.optimiser.step()
        if self.args.adversarial:
            counts, first = (int(coloured.sum()), count), (rows[coloured][:6], mirrored[coloured][:6])
            parts["judge"] = self._judge(images[coloured_of_mine], judged.detach(), counts, first)
        self.step += 1
        self.images += batch
        self._average()
        found = torch.stack([part.detach() for part in parts.values()]).cpu().tolist()
        return dict(zip(parts, self.ranks.total(*found), strict=True))

    def _normal(self, rng: np.random.Generator, *shape: int) -> Tensor:
        return torch.from_numpy(rng.standard_normal(shape, np.float32)).to(self.device)

    def _sum_gradients(self, *nets: nn.Module) -> None:
        self.ranks.sum([p.grad for net in nets for p in net.parameters() if p.grad is not None])

    @property
    def drawn(self) -> int:
        """How many codes of nobody are drawn in all."""
        return self.args.drawn if self.args.adversarial and len(self.seen) >= SEEN_CODES else 0

    def _draw(self, rng: np.random.Generator, w: Tensor, mine: np.ndarray) -> Tensor:
        """Codes of nobody (K, w_dim) for the judge alone: half normal as the latest codes, half between two.

        People are sampled from the former and, within a hull, from the latter; without them the generator
        learns only what lies at a photo's code.
        """
        whole = w.new_zeros(self.args.batch, W_DIM)
        whole[mine] = w
        self.ranks.sum([whole])
        self.seen = torch.cat([whole, self.seen])[:SEEN_CODES]
        if not self.drawn:
            return w[:0]
        count = self.args.drawn // 2
        mean = self.seen.mean(0)
        normal = self._normal(rng, count, SEEN_CODES) / SEEN_CODES**0.5
        between = torch.from_numpy(rng.random((self.args.drawn - count, 1), np.float32)).to(self.device)
        pair = self.seen[torch.from_numpy(rng.integers(SEEN_CODES, size=(2, len(between)))).to(self.device)]
        codes = torch.cat([mean + normal @ (self.seen - mean), pair[0].lerp(pair[1], between)])
        return codes[self.ranks.rank :: self.ranks.size]

    def _read(self, w: Tensor, labels: Tensor) -> Tensor:
        """Error of labels (K, L) read off codes (K, w_dim), summed; K may be 0."""
        return F.huber_loss(self.reader(w), labels, reduction="sum")

    def _encode(self, images: Tensor) -> Tensor:
        with self.autocast:
            w: Tensor = self.model.encoder(images)
        return w.float()

    def _reconstruction(
        self, made: Tensor, images: Tensor, grey: Tensor, mine: np.ndarray
    ) -> dict[str, Tensor]:
        """Parts of the loss of the pictures whose numbers in the batch are `mine`."""
        # A grey photo says nothing of colour: of what is made from it only the brightness is compared.
        luma = torch.tensor(LUMA, device=self.device)[:, None, None]
        error = made - images
        error = torch.where(grey[:, None, None, None], (error * luma).sum(1, keepdim=True), error)
        share = len(mine) / self.args.batch
        parts = {"pixel": share * pixel_loss(error, torch.zeros_like(error), self.weight)}
        parts["psnr"] = self.args.psnr_weight * share * error.square().mean((1, 2, 3)).log().mean()
        toned = torch.where(grey[:, None, None, None], images + error, made)
        low = round((1 - SEEN) / 2 * self.args.size)
        middle = slice(low, self.args.size - low)
        half = self.args.batch // 2  # it costs as much as a third of the rest
        seen = (slice(0, int((mine < half).sum())), slice(None), middle, middle)
        with self.autocast:
            with torch.no_grad():
                features = self.perceptual.features(images[seen])
            distance = self.perceptual.distance_to(features, toned[seen]).sum() / half
        parts["lpips"] = self.args.perceptual_weight * distance.float()
        return parts

    def _judge(
        self, true: Tensor, made: Tensor, counts: tuple[int, int], first: tuple[np.ndarray, np.ndarray]
    ) -> Tensor:
        """One step of the judge on this process's pictures.

        Args:
            counts: of the true and of the made ones of all processes.
            first: rows of the first true ones, and whether they are mirrored.
        """
        self.judging.zero_grad()
        with self.autocast:
            loss = (
                F.softplus(self.judge(made)).sum() / counts[1]
                + F.softplus(-self.judge(true)).sum() / counts[0]
            )
        loss.backward()
        if self.step % R1_EVERY == 0 and self.ranks.first:
            together, self.judge.alone = self.judge.alone, True
            some = self.crops.images(*first).to(self.device).requires_grad_(True)
            gradient = torch.autograd.grad(self.judge(some).sum(), some, create_graph=True)[0]
            (R1_EVERY * R1_WEIGHT * gradient.square().sum((1, 2, 3)).mean()).backward()
            self.judge.alone = together
        self._sum_gradients(self.judge)
        self.judging.step()
        return loss.detach()

    def _set_rate(self, elapsed: float) -> None:
        for optimiser, factor in ((self.optimiser, 1.0), (self.judging, 0.5)):
            optimiser.param_groups[0]["lr"] = factor * self.rate(elapsed)

    @torch.no_grad()
    def _average(self) -> None:
        keep = min(0.998, (1 + self.step) / (10 + self.step))
        old, new = list(self.average.parameters()), list(self.model.parameters())
        torch._foreach_lerp_(old, new, 1 - keep)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Measure the averaged nets on people never seen and write the preview."""
        with self.autocast:
            made = torch.cat([self.average.decode(self.average.encoder(x)) for x in self.truth.split(16)])
        made = made.float()
        crop, face = psnr(made, self.truth, self.masks)
        lpips = self.perceptual.distance(made, self.truth).mean()
        true, got = to_bytes(self.truth[::4]), to_bytes(made[::4])
        half = len(true) // 2
        grid([true[:half], got[:half], true[half:], got[half:]]).save(self.folder / "preview.png")
        detail = sharpness(made, self.masks) / sharpness(self.truth, self.masks)
        return {"psnr_crop": crop, "psnr_face": face, "lpips": float(lpips), "detail": float(detail)}


def read_judge(prior: str) -> dict[str, Tensor]:
    """The weights of the judge that was kept with a prior."""
    kept = load_discriminator(open_prior(prior))
    if kept is None:
        raise SystemExit(f"no judge was kept with the prior {prior}")
    return kept.state_dict()


def sharpness(images: Tensor, masks: Tensor) -> Tensor:
    """Mean over pictures of the size of second differences of brightness inside masks (B, R, R)."""
    grey = (images * torch.tensor(LUMA, device=images.device)[:, None, None]).sum(1)
    second = (4 * grey[:, 1:-1, 1:-1] - grey[:, :-2, 1:-1] - grey[:, 2:, 1:-1]) - (
        grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    )
    inside = masks[:, 1:-1, 1:-1]
    return ((second.abs() * inside).sum((1, 2)) / inside.sum((1, 2))).mean()


def train(args: argparse.Namespace, ranks: Ranks = ALONE) -> Run:
    """Train until stopped, or until the decay is over; returns the run. Of several only the first writes."""
    run = Run(args, ranks)
    with ranks.meet(str(run.device)):
        ranks.agree(run.digest())
        _train(run, args)
    return run


def _train(run: Run, args: argparse.Namespace) -> None:
    stop: list[bool] = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    first = run.ranks.first
    start = reported = saved = time.time()
    sums: dict[str, float] = {}
    count, before = 0, run.seconds
    while run.images < args.images:
        # the first one's clock is everybody's
        elapsed, stopped = run.ranks.total((time.time() - start) * first, float(bool(stop)))
        if stopped or elapsed >= 60 * (args.decay or np.inf):
            break
        for name, value in run.update(elapsed).items():
            sums[name] = sums.get(name, 0.0) + value
        count += 1
        now = time.time()
        run.seconds = before + now - start
        if not first:
            continue
        if now - reported > args.report:
            losses = {name: round(value / count, 4) for name, value in sums.items()}
            report(run, losses | {"images_per_second": round(count * args.batch / (now - reported), 1)})
            sums, count, reported = {}, 0, time.time()
        if now - saved > 120:
            run.save()
            saved = now
    if first:
        run.save()
        report(run, {})


def report(run: Run, figures: dict[str, float]) -> None:
    """Validate and append one line to metrics.jsonl."""
    line = {"step": run.step, "images": run.images, "seconds": round(run.seconds)} | figures
    line |= {name: round(value, 4) for name, value in run.validate().items()}
    with (run.folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def read_options(words: list[str] | None = None) -> argparse.Namespace:
    """The options of a command line, or of the program's own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--start", type=Path, help="weights of an autoencoder, or a prior's folder")
    parser.add_argument("--perceptual", type=Path, required=True, help="weights of the perceptual net")
    parser.add_argument("--rate", type=float, default=5e-3)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--noise", type=float, default=0.05, help="standard deviation of the noise on w")
    parser.add_argument("--decay", type=float, help="minutes in which the rate goes to zero")
    parser.add_argument("--label-weight", type=float, default=0.05)
    parser.add_argument("--perceptual-weight", type=float, default=1.0)
    parser.add_argument(
        "--psnr-weight", type=float, default=0.05, help="of the log of the mean squared error"
    )
    parser.add_argument("--adversarial", type=float, default=0.0, help="weight of the judge's opinion")
    parser.add_argument("--judge", help="prior with whose judge to begin; a new one where none is named")
    parser.add_argument("--drawn", type=int, default=4, help="pictures of nobody that the judge sees too")
    parser.add_argument("--report", type=float, default=120, help="seconds between two lines of metrics")
    parser.add_argument("--float32", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", type=int, default=128, help="edge length of the pictures: 128 or 256")
    parser.add_argument("--images", type=float, default=np.inf, help="pictures after which the run ends")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args(words)


if __name__ == "__main__":
    options = read_options()
    torch.set_num_threads(options.threads)
    train(options, Ranks.of_environment())
