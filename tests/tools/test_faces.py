"""The scripts that make the prior of real faces, on made-up crops: none of the photos is needed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mystyle_cli.nets.generator import Generator, save_generator
from mystyle_cli.nets.perceptual import Perceptual, save_perceptual
from mystyle_cli.photos.pixels import resize
from mystyle_cli.ranks import ALONE, Ranks
from tests.support.fake_device import NAME, fake_device
from tests.support.processes import beside, ended
from tools.faces import autoencoder, gpu, train_autoencoder
from tools.faces.autoencoder import Autoencoder, grow
from tools.faces.crops import AGES, Crops, standardise
from tools.faces.dataset import is_grey, plausible
from tools.faces.degrade import KINDS, degrade
from tools.faces.find_directions import FACTORS, PROPERTIES, calibrate, find, read_labels, wear_glasses
from tools.faces.fused import fuse
from tools.faces.resolution import SIZE, through

SMALL = {4: 8, 8: 8, 16: 6, 32: 4}


def make_generator(channels: dict[int, int] = SMALL, w_dim: int = 8) -> Generator:
    """A generator with random weights."""
    return Generator(channels=channels, z_dim=w_dim, w_dim=w_dim, mapping_layers=1, mapping_multiplier=1.0)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_fused_layers(device: str) -> None:
    """What fused layers of either kind compute, and their gradients, are the generator's."""
    torch.manual_seed(0)
    plain = make_generator()
    fused = make_generator()
    fused.load_state_dict(plain.state_dict())
    fuse(fused, device)
    gradients = []
    for generator in (plain, fused):
        w = torch.randn(3, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=generator is fused):
            images = generator.synthesis(w[:, None].expand(-1, generator.num_ws, -1), "none").float()
        (images - 0.3).square().mean().backward()
        assert w.grad is not None
        named = {name: p.grad for name, p in generator.named_parameters() if p.grad is not None}
        gradients.append({"images": images.detach(), "w": w.grad} | named)
    for name, want in gradients[0].items():
        got = gradients[1][name]
        scale = max(float(want.abs().max()), 1e-6)
        assert float((got - want).abs().max()) / scale < 0.06, name  # bfloat16 has 8 bits
        if want.numel() > 8:
            assert torch.cosine_similarity(got.flatten(), want.flatten(), 0) > 0.995, name


@pytest.fixture
def tiny_nets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Autoencoders with few channels."""
    monkeypatch.setattr(autoencoder, "WIDTHS", (4, 4, 4, 4, 4))
    monkeypatch.setattr(autoencoder, "BLOCKS", (1, 1, 1, 1, 1))


@pytest.mark.usefixtures("tiny_nets")
def test_growing() -> None:
    """A grown autoencoder computes what the narrow one did, and what is new can be learned."""
    torch.manual_seed(0)
    channels = {4: 4, 8: 4, 16: 4, 32: 4, 64: 4, 128: 4}
    wider = {4: 6, 8: 6, 16: 5, 32: 5, 64: 4, 128: 7}
    narrow, wide = Autoencoder(channels, 5), Autoencoder(wider, 8)
    large = Autoencoder(channels | {256: 3}, 5)
    grow(narrow.state_dict(), wide)
    grow(narrow.state_dict(), large)
    images = torch.rand(2, 3, 128, 128) * 2 - 1
    w = narrow.encoder(images)
    assert torch.allclose(wide.encoder(images)[:, :5], w, atol=1e-5)
    assert torch.allclose(wide.decode(wide.encoder(images)), narrow.decode(w), atol=1e-4)
    enlarged = narrow.generator.synthesis.b128._enlarge(narrow.decode(w))
    assert torch.allclose(large.decode(w), enlarged, atol=1e-5)
    wide.decode(wide.encoder(images)).square().mean().backward()
    gradient = wide.generator.synthesis.b32.conv1.weight.grad
    assert gradient is not None
    assert (gradient[:4, 4:] != 0).any()


@pytest.mark.parametrize("kind", range(len(KINDS)), ids=KINDS)
def test_damage(kind: int) -> None:
    """The stronger the damage, the farther from the photo."""
    rng = np.random.default_rng(0)
    smooth = torch.nn.functional.interpolate(torch.rand(2, 3, 16, 16), (64, 64), mode="bicubic") * 2 - 1
    detail = 0.2 * torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    images = (smooth + detail).clamp(-1, 1)
    strengths = (0.05, 0.3, 0.6, 1.0)
    errors = [
        float((degrade(images, np.full(2, kind), np.full(2, s), rng) - images).square().mean())
        for s in strengths
    ]
    assert errors == sorted(errors)
    assert errors[-1] > 2 * errors[0]


def test_directions() -> None:
    """A direction is what one property changes while the others stay, though they go together."""
    rng = np.random.default_rng(0)
    names = list(PROPERTIES)
    mixed = rng.standard_normal((len(names), len(names))) * 0.3 + np.eye(len(names))
    values = rng.standard_normal((4000, len(names))) @ mixed
    true = rng.standard_normal((len(names), 12))
    codes = values @ true + 0.1 * rng.standard_normal((4000, 12))
    found = find(codes, dict(zip(names, values.T, strict=True)), rng.integers(3, size=4000))
    for name, effect in zip(names, true, strict=True):
        assert found[name].vector @ effect / np.linalg.norm(effect) > 0.99
        amount = PROPERTIES[name].amount or values[:, names.index(name)].std()
        assert found[name].step == pytest.approx(amount * np.linalg.norm(effect), rel=0.05)


def test_a_step_moves_what_it_says() -> None:
    """Noise in what is read off photos makes regressed steps too small; pictures tell how far they go."""
    rng = np.random.default_rng(0)
    axis = np.eye(12)[0]
    codes = rng.standard_normal((4000, 12))
    noisy = codes[:, 0] + rng.standard_normal(4000)
    regressed = find(codes, {"yaw": noisy, "light": rng.standard_normal(4000)}, np.zeros(4000))["yaw"]
    assert regressed.vector @ axis > 0.99

    def see(asked: np.ndarray) -> dict[str, np.ndarray]:
        return {"yaw": 0.5 * np.tanh(asked @ axis)}  # the generator's heads turn less and less

    (found,) = calibrate({"yaw": regressed}, {"yaw": 0.03}, codes[:50] * 0.1, see).values()
    moved = see(found.step * found.vector[None])["yaw"] - see(-found.step * found.vector[None])["yaw"]
    assert moved / 2 == pytest.approx(0.03, rel=0.03)
    np.testing.assert_array_equal(found.vector, regressed.vector)
    stuck = calibrate({"yaw": regressed}, {"yaw": 0.1}, codes[:50], lambda asked: {"yaw": np.zeros(50)})
    assert stuck["yaw"].step == pytest.approx(FACTORS[1] * regressed.step)


def test_labels_are_read_at_their_size() -> None:
    """Ten years older is read as ten years more, however little of age the codes hold."""
    rng = np.random.default_rng(0)
    age = rng.uniform(0, 80, 4000)
    codes = rng.standard_normal((4000, 12)) + np.outer(age / 40, np.eye(12)[0])
    read = read_labels(codes, {"age": age})
    young, old = (rng.standard_normal((4000, 12)) + years / 40 * np.eye(12)[0] for years in (30, 40))
    assert (read(old)["age"] - read(young)["age"]).mean() == pytest.approx(10, abs=2.5)


def test_glasses_are_known_by_drawn_ones() -> None:
    """Who wears real glasses is found by what drawing some does to codes, though some taught wear them."""
    rng = np.random.default_rng(0)
    effect, drawing = rng.standard_normal((2, 16))
    wears = rng.random(3000) < 0.1
    codes = (
        rng.standard_normal((3000, 16)) @ rng.standard_normal((16, 16)) * 0.5 + 2 * wears[:, None] * effect
    )
    drawn = codes[:300] + 2 * effect + 0.5 * drawing + 0.3 * rng.standard_normal((300, 16))
    found = wear_glasses(codes, codes[:300], drawn)
    assert (found & wears).sum() / wears.sum() > 0.9
    assert (found & ~wears).sum() / (~wears).sum() < 0.05


def test_what_a_photograph_holds() -> None:
    """An enlarged picture loses nothing on its way through its own size; a sharp one does."""
    noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    enlarged = resize(noise[:48, :48], (SIZE, SIZE), "bicubic")
    assert through(enlarged, 128) > through(noise, 128) + 15
    assert through(enlarged, 128) > through(enlarged, 64) + 3 > through(enlarged, 24) + 6


def test_what_is_left_out_by_rule() -> None:
    """Grey photos and impossible landmarks are told from others."""
    rng = np.random.default_rng(0)
    grey = np.repeat(rng.integers(0, 256, (32, 32, 1)), 3, 2).astype(np.uint8)
    sepia = np.clip(grey * np.array([1.0, 0.98, 0.95]), 0, 255).astype(np.uint8)
    colour = rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)
    assert is_grey(grey)
    assert is_grey(sepia)
    assert not is_grey(colour)
    points = mean_face()
    assert plausible(points)
    assert not plausible(points * [1, -1] + [0, 1])  # upside down


def mean_face() -> np.ndarray:
    """68 landmarks in crop sides, roughly where a face has them."""
    points = np.zeros((68, 2))
    points[:17] = np.stack([np.linspace(0.05, 0.95, 17), 0.4 + 0.55 * np.sin(np.linspace(0, np.pi, 17))], 1)
    points[17:27] = np.stack([np.linspace(0.15, 0.85, 10), np.full(10, 0.2)], 1)
    points[27:36] = np.stack([np.full(9, 0.5), np.linspace(0.3, 0.6, 9)], 1)
    points[36:42] = [0.3, 0.33]
    points[42:48] = [0.7, 0.33]
    points[48:68] = np.stack([np.linspace(0.35, 0.65, 20), np.full(20, 0.78)], 1)
    return points


def write_crops(folder: Path, count: int, size: int) -> None:
    """Crops and their index, as `tools.faces.dataset` writes them."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"crops-{size}.npy", rng.integers(0, 256, (count, size, size, 3)).astype(np.uint8))
    np.savez(
        folder / "index.npz",
        landmarks=np.repeat(mean_face()[None], count, 0).astype(np.float32),
        grey=np.arange(count) % 5 == 0,
        photo=np.array([f"{i:05d}.jpg" for i in range(count)]),
        split=np.array(["val" if i % 4 == 0 else "train" for i in range(count)]),
        age=np.array([AGES[i % len(AGES)] for i in range(count)]),
        gender=np.array(["Male", "Female"] * (count // 2)),
        race=np.array(["White", "Black"] * (count // 2)),
    )


def test_left_out(tmp_path: Path) -> None:
    """What is listed is left out of training, never of judging; mirrored crops are mirrored."""
    write_crops(tmp_path / "data", 16, 8)
    (tmp_path / "data/left-out.txt").write_text("00001.jpg\n00004.jpg\n")
    train, val = (Crops(tmp_path / "data", split, 8) for split in ("train", "val"))
    assert "00001.jpg" not in train.photo
    assert len(train) == 11
    assert "00004.jpg" in val.photo
    mirrored = train.images(np.array([2]), np.array([True]))
    assert torch.equal(mirrored, train.images(np.array([2])).flip(3))
    labels = standardise(train.landmarks, train.names)
    assert np.abs(labels.mean(0)).max() < 1e-3


@pytest.fixture
def narrow_nets(tiny_nets: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Autoencoders and runs of very few channels, measured on few crops."""
    for module in (autoencoder, train_autoencoder):
        monkeypatch.setattr(module, "CHANNELS", dict.fromkeys((4, 8, 16, 32, 64, 128), 4))
        monkeypatch.setattr(module, "W_DIM", 6)
    for module in (gpu, train_autoencoder):
        monkeypatch.setattr(module, "VALIDATED", 8)


@pytest.mark.slow
@pytest.mark.usefixtures("narrow_nets")
def test_graphics_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What travels to a graphics card in two archives trains there, and comes back as a run to export."""
    packed, start, out = tmp_path / "pack", tmp_path / "prior", tmp_path / "out"

    def cut(source: Path, size: int, folder: Path) -> None:
        write_crops(folder, 16, size)
        np.save(tmp_path / "truth.npy", np.load(folder / f"crops-{size}.npy"))

    monkeypatch.setattr(gpu, "cut", cut)
    limits = ["--limits", "0.02", "1"]
    call(gpu, "pack", tmp_path, packed, "--quality", "95", *limits)
    assert len(list(packed.glob("crops-*.zip"))) == 2
    start.mkdir()
    first = Autoencoder()
    save_generator(first.generator, start / "generator.safetensors", half=True)
    monkeypatch.setattr(autoencoder, "ENCODER", tmp_path / "encoder.safetensors")
    autoencoder.save_encoder(first.encoder)
    save_perceptual(Perceptual(32), start / "perceptual.safetensors")
    where = ["--start", start, "--data", tmp_path / "data", "--judge", ""]
    call(gpu, "train", packed, out, *where, "--minutes", "0.1", "--device", "cpu", "--batch", "4")
    assert not (out / "work").exists()
    true, came = np.load(tmp_path / "truth.npy"), np.load(tmp_path / "data" / "crops-128.npy")
    train = Crops(tmp_path / "data", "train")
    apart = [[np.abs(true[a].astype(int) - came[b]).mean() for b in train.rows] for a in train.rows]
    assert np.argmin(apart, 1).tolist() == list(range(len(train))), "each in its place"
    call(gpu, "take", out, tmp_path / "run", "--before", "5")
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    first.load_state_dict(state["average"])
    train_autoencoder.Judge(128, ALONE).load_state_dict(state["judge"])
    assert state["images"] > 5


def call(module: Any, *words: object) -> None:
    """Run a verb of a script."""
    args = module.read_options([str(word) for word in words])
    args.work(args)


@pytest.mark.slow
@pytest.mark.usefixtures("narrow_nets")
def test_training_on_another_device_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps with a judge and codes of nobody; pixels travel once."""
    monkeypatch.setattr(train_autoencoder, "SEEN_CODES", 12)
    write_crops(tmp_path, 16, 128)
    save_perceptual(Perceptual(32), tmp_path / "perceptual.safetensors")

    def losses(device: str, name: str) -> list[dict[str, float]]:
        words = ["--perceptual", tmp_path / "perceptual.safetensors", "--batch", 5, "--float32"]
        words += ["--adversarial", 1, "--device", device]
        run = train_autoencoder.Run(
            train_autoencoder.read_options([str(word) for word in (tmp_path, tmp_path / name, *words)])
        )
        return [*(run.update(0) for _ in range(4)), run.validate()]

    expected = losses("cpu", "here")
    with fake_device() as traffic:
        found = losses(NAME, "there")
    for got, wanted in zip(found, expected, strict=True):
        assert got == pytest.approx(wanted, rel=1e-3)
    assert [shape for shape in traffic.there if shape[1:] == (128, 128, 3)] == [(12, 128, 128, 3)]


@pytest.mark.slow
@pytest.mark.usefixtures("narrow_nets")
def test_two_processes_train_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses and weights, with a judge and codes of nobody; and one goes on with what two began."""
    monkeypatch.setattr(train_autoencoder, "SEEN_CODES", 12)  # codes of nobody from the second step on
    write_crops(tmp_path, 16, 128)
    save_perceptual(Perceptual(32), tmp_path / "perceptual.safetensors")
    batch = 7  # which no two processes share evenly

    def options(name: str, steps: int) -> argparse.Namespace:
        words = ["--perceptual", str(tmp_path / "perceptual.safetensors"), "--batch", str(batch), "--float32"]
        words += ["--adversarial", "1", "--images", str(batch * steps), "--rate", "1e-3"]
        return train_autoencoder.read_options([str(tmp_path), str(tmp_path / name), *words])

    def train(name: str, steps: int, ranks: Ranks = ALONE) -> train_autoencoder.Run:
        return train_autoencoder.train(options(name, steps), ranks)

    losses: list[dict[str, float]] = []
    update = train_autoencoder.Run.update
    monkeypatch.setattr(
        train_autoencoder.Run, "update", lambda *given: losses.append(update(*given)) or losses[-1]
    )
    meeting, start = tmp_path / "meeting", train_autoencoder.Run(options("start", 0))
    meeting.mkdir()
    one = train("one", 4)
    with beside(meeting, lambda ranks: train("two", 2, ranks)) as ranks:
        train("two", 2, ranks)
    assert ended(meeting) == "nothing"
    two = train("two", 4)
    assert len(losses) == 8
    assert "judge" in losses[0]
    for found, same in zip(losses[4:], losses[:4], strict=True):
        assert found == pytest.approx(same, rel=1e-3)
    ways = [
        torch.cat([p.detach().flatten() for net in (run.model, run.judge) for p in net.parameters()])
        for run in (start, one, two)
    ]
    moved, difference = (ways[1] - ways[0]).norm(), (ways[2] - ways[1]).norm()
    print(f"weights differ by {difference / moved:.1e} of what training moved")
    assert difference < 1e-2 * moved
