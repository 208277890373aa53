"""What gradients cost: counted from shapes, compared with what torch keeps; cutting changes nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

from mystyle_cli.nets import cost
from mystyle_cli.nets.cost import Plan, picture_cost, plan_tuning
from mystyle_cli.nets.device import CPU, Device
from mystyle_cli.nets.generator import Generator
from mystyle_cli.nets.memory import free_memory, used_memory
from mystyle_cli.nets.perceptual import Perceptual, Trunk
from mystyle_cli.tuning.settings import TuneSettings
from mystyle_cli.tuning.tuning import Reconstruction, tune
from tests.support.effort import peak_memory

CHANNELS = {4: 16, 8: 16, 16: 16, 32: 12, 64: 8}


def nets(clamp: float | None = None, trunk: Trunk = "alex") -> tuple[Generator, Perceptual]:
    """A small generator and a perceptual net that sees its pictures at their size."""
    torch.manual_seed(0)
    return Generator(channels=CHANNELS, z_dim=8, w_dim=8, clamp=clamp), Perceptual(64, trunk)


def kept_by_autograd(work: Callable[[], torch.Tensor], own: list[torch.Tensor]) -> int:
    """Bytes of the different storages that autograd saves, those of `own` left out."""
    sizes: dict[int, int] = {}
    alive = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        alive.append(tensor)
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        work()
    mine = {tensor.untyped_storage().data_ptr() for tensor in own}
    return sum(size for place, size in sizes.items() if place not in mine)


@pytest.mark.parametrize("trunk", ["alex", "vgg"])
@pytest.mark.parametrize("clamp", [None, 256.0])
def test_the_count_is_what_autograd_keeps(clamp: float | None, trunk: Trunk) -> None:
    """For two pictures, what is kept per picture is counted to 3 %; recomputing keeps much less."""
    generator, perceptual = nets(clamp, trunk)
    w_plus = torch.randn(2, generator.num_ws, 8)
    truth = torch.randn(2, 3, 64, 64)
    features = perceptual.features(truth)
    nets_own = [t for net in (generator, perceptual) for t in (*net.parameters(), *net.buffers())]

    def work() -> torch.Tensor:
        made = generator.synthesis(w_plus)
        loss: torch.Tensor = perceptual.distance_to(features, made).mean() + (made - truth).square().mean()
        return loss

    counted = picture_cost(generator, perceptual)
    kept = kept_by_autograd(work, [*nets_own, *features, w_plus]) / 2
    assert kept == pytest.approx(counted.kept, rel=0.03)
    generator.synthesis.recompute = True
    assert kept_by_autograd(work, [*nets_own, *features, w_plus]) / 2 < counted.recomputed < counted.kept


def test_features_of_a_target_are_counted() -> None:
    """The bytes of the features are those of the tensors."""
    generator, perceptual = nets()
    features = perceptual.features(torch.randn(1, 3, 64, 64))
    assert picture_cost(generator, perceptual).target == sum(level.nbytes for level in features)
    assert picture_cost(generator, perceptual, half=True).target * 2 == sum(f.nbytes for f in features)


def test_recomputed_blocks_give_the_same_gradients() -> None:
    """Gradients with and without recomputation are equal bit for bit, of weights and of codes."""
    found = []
    for recompute in (False, True):
        generator, _ = nets(clamp=4.0)
        generator.synthesis.recompute = recompute
        codes = torch.randn(3, generator.num_ws, 8, generator=torch.Generator().manual_seed(1))
        codes.requires_grad_(True)
        generator.synthesis(codes).square().mean().backward()
        synthesis = [p.grad for name, p in generator.named_parameters() if name.startswith("synthesis")]
        found.append([codes.grad, *synthesis])
    for plain, again in zip(*found, strict=True):
        assert plain is not None
        assert again is not None
        assert torch.equal(plain, again)


@pytest.mark.parametrize(
    "plan",
    [Plan(1), Plan(2), Plan(2, recompute=True), Plan(3, cache=False), Plan(1, recompute=True, cache=False)],
)
def test_a_cut_step_is_the_same_step(plan: Plan) -> None:
    """However a tuning is cut, and with photos in 8 bits, it ends with the weights of one that is not."""
    rng = np.random.default_rng(0)
    codes = rng.standard_normal((5, 8)).astype(np.float32)
    photos = rng.integers(0, 256, (5, 3, 64, 64), np.uint8)
    how = TuneSettings(passes=2, batch=5, learning_rate=1e-3, precision="float32")
    whole_nets, cut_nets = nets(), nets()
    exact = photos.astype(np.float32) / 127.5 - 1
    whole = tune(Reconstruction(whole_nets[0], codes, exact, whole_nets[1]), how)
    cut = tune(Reconstruction(cut_nets[0], codes, photos, cut_nets[1]), how, plan=plan)
    assert not cut_nets[0].synthesis.recompute
    assert cut.curve[-1].loss == pytest.approx(whole.curve[-1].loss, rel=1e-4)
    start = dict(nets()[0].named_parameters())
    for name, tensor in whole.state.items():
        moved = (tensor - start[name]).abs().max()
        assert (tensor - cut.state[name]).abs().max() <= 0.05 * moved + 1e-7, name


class Short(Perceptual):
    """A perceptual net for which memory is short: it takes so many pictures at once and no more."""

    most = 2

    def features(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Compute the features of a few pictures only."""
        if len(images) > self.most and torch.is_grad_enabled():
            raise torch.cuda.OutOfMemoryError("out of memory")
        return super().features(images)


class Failing(Perceptual):
    """A perceptual net for which memory runs out at one call, the second of a step's parts."""

    calls = 0

    def features(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Compute the features of pictures, but not at the second call."""
        self.calls += torch.is_grad_enabled()
        if self.calls == 2 and torch.is_grad_enabled():
            raise torch.cuda.OutOfMemoryError("out of memory")
        return super().features(images)


def small_work() -> tuple[np.ndarray, np.ndarray]:
    """Codes and photos of five."""
    rng = np.random.default_rng(0)
    codes = rng.standard_normal((5, 8)).astype(np.float32)
    return codes, rng.integers(0, 256, (5, 3, 64, 64), np.uint8)


@pytest.mark.parametrize(("kind", "plan"), [(Short, None), (Failing, Plan(3))])
def test_a_tuning_whose_memory_runs_out_goes_on_in_smaller_parts(
    kind: type[Perceptual], plan: Plan | None
) -> None:
    """It ends with the weights of one that had enough; what a failed step left halfway does not count."""
    how = TuneSettings(passes=2, batch=5, learning_rate=1e-3, precision="float32")
    (enough, perceptual), (short, limited) = nets(), nets()
    limited.__class__ = kind
    whole = tune(Reconstruction(enough, *small_work(), perceptual), how, plan=plan)
    found = tune(Reconstruction(short, *small_work(), limited), how, plan=plan)
    if isinstance(limited, Failing):
        assert limited.calls == 2 + 3 + 3, "parts of 3 and 2, then of 2, 2 and 1"
    start = dict(nets()[0].named_parameters())
    for name, tensor in whole.state.items():
        moved = (tensor - start[name]).abs().max()
        assert (tensor - found.state[name]).abs().max() <= 0.05 * moved + 1e-7, name


def test_where_one_picture_is_too_many_the_error_is_raised() -> None:
    """There is nothing left to save then."""
    generator, limited = nets()
    limited.__class__ = Short
    limited.most = 0
    objective = Reconstruction(generator, *small_work(), limited)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        tune(objective, TuneSettings(passes=1, precision="float32"))


def test_a_plan_gets_smaller_until_nothing_is_left_to_save() -> None:
    """Halves down to one picture, then recomputing, then no features kept."""
    plan: Plan | None = Plan(50)
    found = []
    while plan := plan.smaller(12) if plan else None:
        found.append((plan.at_once, plan.recompute, plan.cache))
    halves = [(6, False, True), (3, False, True), (2, False, True), (1, False, True)]
    assert found == [*halves, (1, True, True), (1, True, False)]


def test_the_plan_follows_the_memory() -> None:
    """With less memory fewer pictures go at once, then features are not kept, then blocks are recomputed."""
    generator, perceptual = nets()
    one = picture_cost(generator, perceptual)
    base = cost.weights_bytes(generator, perceptual) + 50 * cost.reference_bytes(generator)

    def plan(room: float) -> Plan:
        return plan_tuning(generator, perceptual, 50, 12, CPU, free=round((base + room) / cost.USED["cpu"]))

    assert plan(1e9) == Plan(12, recompute=False, cache=True)
    some = plan(4.2 * (one.step(False) + one.target))
    assert (some.at_once, some.recompute, some.cache) == (4, False, False)
    tight = plan((one.step(True) + one.step(False)) / 2 + one.target)
    assert (tight.at_once, tight.recompute, tight.fits) == (1, True, True)
    assert not plan(0).fits


def test_large_pictures_go_one_at_a_time_on_a_cpu() -> None:
    """Published shapes at 1024: one picture at once on a CPU whatever is free, several on a graphics card."""
    with torch.device("meta"):
        channels = {4 << i: min(32768 // (4 << i), 512) for i in range(9)}
        generator = Generator(channels=channels, z_dim=512, w_dim=512, clamp=256.0)
    _, perceptual = nets()
    perceptual.size = 1024
    terabyte = 1 << 40
    assert plan_tuning(generator, perceptual, 100, 12, CPU, free=terabyte) == Plan(1)
    assert plan_tuning(generator, perceptual, 100, 12, Device("cuda"), free=terabyte) == Plan(12)
    card = plan_tuning(generator, perceptual, 100, 12, Device("cuda"), free=24 << 30)
    assert 1 < card.at_once < 12
    assert not plan_tuning(generator, perceptual, 100, 12, CPU, free=1 << 30).fits


def test_memory_is_known_here() -> None:
    """The machine tells how much is free and how much this process holds."""
    free = free_memory()
    assert free is not None
    assert 0 < free < 1 << 44
    late = 1 << 20  # Linux notes a peak some pages after it counts them as used
    assert 0 < used_memory() <= peak_memory() + late


def test_plans_are_values() -> None:
    """A plan cannot change under a tuning."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Plan(1).at_once = 2  # type: ignore[misc]
