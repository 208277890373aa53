"""The same work on every device there is, and on one that is not, as strict as a Mac's GPU."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mystyle_cli.instant.examples import Material
from mystyle_cli.instant.net import InstantSettings
from mystyle_cli.instant.training import train_instant
from mystyle_cli.learn.figures import identity_statistics
from mystyle_cli.nets import device as devices
from mystyle_cli.nets.device import CPU, Device
from mystyle_cli.nets.perceptual import kernel_to, load_perceptual, resized
from mystyle_cli.person.reference import Pictures
from mystyle_cli.person.score import perceptual_distances, synthesise
from mystyle_cli.prior.registry import Prior, open_prior
from mystyle_cli.projection.degradations import Degradation, Downsample, Identity, Mask
from mystyle_cli.projection.motion import moved, sampled
from mystyle_cli.projection.projection import Problem, project
from mystyle_cli.projection.settings import Projection, ProjectionSettings
from mystyle_cli.tuning.anchors import AnchorSettings, optimise_anchors
from mystyle_cli.tuning.settings import TuneSettings
from mystyle_cli.tuning.tuning import Reconstruction, tune
from tests.support.fake_device import NAME, Traffic, fake_device

COUNT = 3
STEPS = 2


@dataclass(frozen=True)
class Where:
    """A device under test.

    Args:
        device: the device.
        traffic: what travelled, of the fake one.
    """

    device: Device
    traffic: Traffic | None = None


def _real(kind: str) -> pytest.ParameterSet:
    there = not devices.torch_fault(kind)
    return pytest.param(
        kind, marks=[pytest.mark.gpu, pytest.mark.skipif(not there, reason=f"no {kind} here")]
    )


@pytest.fixture(params=[NAME, _real("cuda"), _real("mps")])
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, prior: Prior) -> Iterator[Where]:
    """Every device but the CPU, with which each is compared."""
    net = load_perceptual(prior.file("perceptual"))  # by way of torch's own "meta", which the fake one hides
    monkeypatch.setattr("mystyle_cli.nets.perceptual.load_perceptual", lambda path: copy.deepcopy(net))
    if request.param != NAME:
        if request.param == "cuda" and devices.find_provider("cuda", 0)[0] is None:
            # torch's part is tried also where this onnxruntime has none for the card
            monkeypatch.setattr(Device, "helpers", Device("cpu").provider)
        yield Where(Device(request.param))
        return
    monkeypatch.setattr(devices, "KINDS", (*devices.KINDS, NAME))
    monkeypatch.setattr(devices, "torch_fault", lambda name: "")
    monkeypatch.setattr(Device, "helpers", Device("cpu").provider)
    with fake_device() as traffic:
        yield Where(Device(NAME), traffic)


@pytest.fixture(scope="module")
def prior(tiny_prior: Path) -> Prior:
    """The tiny prior, open."""
    return open_prior(tiny_prior)


@pytest.fixture(scope="module")
def anchors(prior: Prior) -> np.ndarray:
    """Six codes."""
    return np.random.default_rng(1).normal(size=(6, prior.w_dim)).astype(np.float32)


@pytest.fixture(scope="module")
def photos(prior: Prior, anchors: np.ndarray) -> np.ndarray:
    """Pictures that the generator makes of a few mixtures."""
    codes = np.random.default_rng(2).dirichlet(np.full(6, 0.5), COUNT) @ anchors
    return synthesise(prior.generator(), codes.astype(np.float32)).clip(-1, 1)


def degradations(photos: np.ndarray) -> dict[str, tuple[Degradation, torch.Tensor]]:
    """Each way to degrade photos, and what it makes of them."""
    images = torch.from_numpy(photos)
    holes = torch.zeros(COUNT, 1, 32, 32)
    holes[:, :, 10:20, 12:24] = 1
    small = Downsample.of([8, 11, 16], 32)
    hidden = Mask.of(holes, images)
    return {
        "invert": (Identity(), images),
        "upscale": (small, small.apply(images)),
        "inpaint": (hidden, hidden.apply(images)),
    }


def searched(prior: Prior, anchors: np.ndarray, photos: np.ndarray, task: str, space: str) -> Projection:
    """Search a few steps, faces movable."""
    degradation, targets = degradations(photos)[task]
    how = ProjectionSettings(space=space, steps=STEPS, movable=True)  # type: ignore[arg-type]
    points = None if space == "w+" else anchors
    return project(Problem(prior.generator(), points, targets.numpy(), degradation, prior.perceptual()), how)


@pytest.mark.parametrize(("task", "space"), [("invert", "w+"), ("upscale", "p+"), ("inpaint", "near")])
def test_a_search_finds_the_same(
    prior: Prior, anchors: np.ndarray, photos: np.ndarray, task: str, space: str, where: Where
) -> None:
    """Codes and pictures are those of the CPU; pictures travel at the beginning and at the end alone."""
    expected = _on_cpu(lambda: searched(prior, anchors, photos, task, space))
    if where.traffic is not None:
        where.traffic.there.clear()
        where.traffic.back.clear()
    found = searched(prior.on(where.device), anchors, photos, task, space)
    np.testing.assert_allclose(found.images, expected.images, atol=5e-3)
    np.testing.assert_allclose(found.losses, expected.losses, atol=1e-3)
    if where.traffic is not None:
        weights = len(dict(prior.generator().named_parameters())) + len(prior.perceptual().state_dict())
        pictures = [shape for shape in where.traffic.back if len(shape) == 4]
        assert pictures == [(COUNT, 3, 32, 32)], "the result, once"
        assert len(where.traffic.there) < 2 * weights + 20 + 12 * STEPS
        assert where.traffic.computed > 100 * STEPS, "the work is done there"


def _on_cpu(work):  # type: ignore[no-untyped-def]
    """Do it outside of the fake device."""
    from torch.utils._python_dispatch import _disable_current_modes

    with _disable_current_modes(), torch._C.DisableTorchFunction():
        return work()


def test_tuning_ends_the_same(prior: Prior, anchors: np.ndarray, photos: np.ndarray, where: Where) -> None:
    """The weights are those of the CPU."""
    how = TuneSettings(passes=2, batch=2, learning_rate=3e-3, precision="float32")
    rows = anchors[:COUNT]

    def tuned_from(start: Prior) -> dict[str, torch.Tensor]:
        return tune(Reconstruction(start.generator(), rows, photos, start.perceptual()), how).state

    expected = _on_cpu(lambda: tuned_from(prior))
    there = prior.on(where.device)
    found = tuned_from(there)
    for name, value in found.items():
        np.testing.assert_allclose(value.cpu().numpy(), expected[name].numpy(), atol=2e-3, err_msg=name)


def test_anchors_instant_net_and_figures_are_the_same(
    prior: Prior, anchors: np.ndarray, photos: np.ndarray, where: Where
) -> None:
    """What learning does besides: codes by optimisation, the instant net, LPIPS, strangers."""

    def work(there: Prior) -> list[np.ndarray]:
        generator, perceptual = there.generator(), there.perceptual()
        codes = optimise_anchors(photos, generator, perceptual, AnchorSettings(steps=3, batch=2))
        how = InstantSettings(samples=4, views=1, steps=3, batch=4, width=8)
        faces = Pictures(np.rint((photos + 1) * 127.5).astype(np.uint8))
        net = train_instant(Material(there, generator, anchors[:COUNT], faces), how).net
        distances = perceptual_distances(perceptual, photos, photos[::-1].copy())
        threshold = np.array(identity_statistics(there, photos, photos[:1], 0)["threshold"])
        return [codes, net.last.weight.detach().cpu().numpy(), distances, threshold]

    for got, wanted in zip(work(prior.on(where.device)), _on_cpu(lambda: work(prior)), strict=True):
        np.testing.assert_allclose(got, wanted, atol=2e-3)


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_sampling_by_parts_is_torch_s_own(precision: torch.dtype) -> None:
    """Pictures, and gradients by picture and by place, far beyond the edge too."""
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(4, 3, 24, 20, generator=draw, dtype=precision) * 2 - 1
    grid = torch.rand(4, 15, 17, 2, generator=draw, dtype=precision) * 3 - 1.5
    given = torch.randn(4, 3, 15, 17, generator=draw, dtype=precision)
    found = []
    for parts in (False, True):
        leaves = images.clone().requires_grad_(), grid.clone().requires_grad_()
        own = (
            sampled(*leaves) if parts else F.grid_sample(*leaves, padding_mode="border", align_corners=False)
        )
        (own * given).sum().backward()
        found.append((own.detach(), leaves[0].grad, leaves[1].grad))
    for wanted, got in zip(*found, strict=True):
        assert wanted is not None
        assert got is not None
        near = 1e-12 if precision == torch.float64 else 2e-6  # noise is the hardest of pictures
        torch.testing.assert_close(got, wanted, atol=near * float(wanted.abs().max()), rtol=0)


def test_making_smaller_by_parts_is_torch_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The matrices give what torch's antialiased resizing gives."""
    images = torch.rand(2, 3, 33, 33, generator=torch.Generator().manual_seed(0))
    wanted = resized(images, 12)
    monkeypatch.setattr("mystyle_cli.nets.perceptual.WHOLE", ())
    torch.testing.assert_close(resized(images, 12), wanted, atol=1e-6, rtol=0)
    assert kernel_to(33, 12).shape == (12, 33)


def test_a_picture_that_does_not_move_stays_as_it_is(where: Where) -> None:
    """On every device."""
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    there = moved(images.to(where.device.torch), torch.zeros(2, 4).to(where.device.torch)).cpu()
    torch.testing.assert_close(there, images, atol=1e-5, rtol=0)


def test_nets_of_a_prior_and_a_profile_go_where_they_are_sent(
    prior: Prior, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Encoder, identity and matte open their sessions on the prior's device, once for each device."""
    opened: list[tuple[str, Device, bool]] = []

    numbers = {"encoder": prior.w_dim, "identity": 8, "matte": 32 * 32}

    class Net:
        def __init__(self, role: str) -> None:
            self.role = role

        def run(self, images: np.ndarray) -> np.ndarray:
            return np.ones((len(images), numbers[self.role]), np.float32)

    def open_one(path: Path, device: Device, *, batch: int, helper: bool) -> Net:
        opened.append((path.stem, device, helper))
        return Net(path.stem)

    monkeypatch.setattr("mystyle_cli.nets.sessions.open_session", open_one)
    fresh = replace(prior, _sessions={})
    images = np.zeros((2, 3, 32, 32), np.float32)
    card = Device("cuda")
    for there in (fresh.on(card), fresh, fresh.on(card)):
        there.encode(images), there.embed(images), there.matte(images)
    roles = ("encoder", "identity", "matte")
    assert opened == [(role, place, True) for place in (card, CPU) for role in roles]
