"""Pivotal tuning: the photo's code gives the photo back, and the way to the anchors stays as it was."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from mystyle_cli.errors import MystyleError, UsageError
from mystyle_cli.nets.cost import Plan
from mystyle_cli.person.score import synthesise
from mystyle_cli.prior.registry import Prior, open_prior
from mystyle_cli.progress import Step
from mystyle_cli.tuning import refining
from mystyle_cli.tuning.refining import Refinement, RefineSettings, refine

PLAIN = RefineSettings(steps=12, precision="float32", patience=0)


@pytest.fixture(scope="module")
def prior(tiny_prior: Path) -> Prior:
    """The tiny prior, open."""
    return open_prior(tiny_prior)


@pytest.fixture(scope="module")
def photo(prior: Prior) -> np.ndarray:
    """A smooth picture that the generator does not make."""
    small = np.random.default_rng(0).uniform(-0.8, 0.8, (1, 3, 4, 4)).astype(np.float32)
    size = prior.resolution
    large = torch.nn.functional.interpolate(torch.from_numpy(small), (size, size), mode="bicubic")
    return np.asarray(large.clamp(-1, 1)[0].numpy())


@pytest.fixture(scope="module")
def anchors(prior: Prior) -> np.ndarray:
    """Six codes."""
    return np.random.default_rng(1).standard_normal((6, prior.w_dim)).astype(np.float32)


def code_of(anchors: np.ndarray, prior: Prior) -> np.ndarray:
    """Return a code that differs from layer to layer."""
    shares = np.random.default_rng(2).dirichlet(np.ones(len(anchors)), prior.num_ws)
    return np.asarray(shares @ anchors, np.float32)


def run(
    prior: Prior, photo: np.ndarray, anchors: np.ndarray, how: RefineSettings
) -> tuple[Refinement, np.ndarray]:
    """Tune a fresh generator; returns what came of it, and the pictures at the code and at the anchors."""
    generator, code = prior.generator(), code_of(anchors, prior)
    found = refine(generator, code, photo, prior.perceptual(), anchors, how)
    drawn = [synthesise(generator, code[None]), synthesise(generator, anchors)]
    return found, np.concatenate(drawn)


def losses(prior: Prior, made: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Return eq 1 of pictures and the photo, computed apart from what is tested."""
    pair = torch.from_numpy(made), torch.from_numpy(photo)[None].expand(len(made), -1, -1, -1)
    with torch.no_grad():
        seen = prior.perceptual().distance(*pair).flatten().numpy()
    return np.asarray(seen + np.square(made - photo).mean(axis=(1, 2, 3)))


def test_the_code_gives_the_photo_back(prior: Prior, photo: np.ndarray, anchors: np.ndarray) -> None:
    """Eq 1 falls, as it is told; only the synthesis network moves, and what is returned is what was tuned."""
    generator, code = prior.generator(), code_of(anchors, prior)
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    [first] = losses(prior, synthesise(generator, code[None]), photo)
    told: list[Step] = []
    found = refine(generator, code, photo, prior.perceptual(), anchors, PLAIN, told.append)
    [last] = losses(prior, synthesise(generator, code[None]), photo)
    assert found.losses[0] == pytest.approx(first, rel=1e-4)
    assert last < 0.7 * first
    assert [step.done for step in told] == list(range(1, 13))
    for name, value in generator.state_dict().items():
        assert torch.equal(found.state.get(name, before[name]), value)
    assert all(name.startswith("synthesis.") for name in found.state)
    assert not any(parameter.requires_grad for parameter in generator.parameters())


def test_the_way_to_the_anchors_is_held(prior: Prior, photo: np.ndarray, anchors: np.ndarray) -> None:
    """What the generator draws at the anchors changes less where pictures are held."""
    own = synthesise(prior.generator(), anchors)
    _, free = run(prior, photo, anchors, dataclasses.replace(PLAIN, at_once=0))
    _, held = run(prior, photo, anchors, PLAIN)
    moved = [np.square(drawn[1:] - own).mean() for drawn in (free, held)]
    assert moved[1] < 0.7 * moved[0]


def test_it_ends_where_nothing_is_gained(prior: Prior, anchors: np.ndarray) -> None:
    """A photo that the code gives back already takes few steps."""
    [photo] = synthesise(prior.generator(), code_of(anchors, prior)[None])
    told: list[Step] = []
    settings = dataclasses.replace(PLAIN, steps=200, patience=4)
    found = refine(
        prior.generator(), code_of(anchors, prior), photo, prior.perceptual(), anchors, settings, told.append
    )
    assert len(found.losses) < 50
    assert (told[-1].done, told[-1].total) == (200, 200)


def test_little_memory_changes_nothing(
    prior: Prior, photo: np.ndarray, anchors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One picture at once, its blocks computed again, comes to the same; so it does where memory runs out."""
    _, whole = run(prior, photo, anchors, PLAIN)
    monkeypatch.setattr(refining, "plan_tuning", lambda *given, **how: Plan(1, recompute=True))
    _, parts = run(prior, photo, anchors, PLAIN)
    np.testing.assert_allclose(parts, whole, atol=2e-2)
    monkeypatch.undo()
    add = refining._Run._add_gradients

    def full(self: refining._Run, part: np.ndarray, held: int) -> float:
        if len(part) > 1:
            raise MemoryError
        return add(self, part, held)

    monkeypatch.setattr(refining._Run, "_add_gradients", full)
    _, small = run(prior, photo, anchors, PLAIN)
    np.testing.assert_allclose(small, whole, atol=2e-2)


def test_held_codes_lie_on_the_way(prior: Prior, anchors: np.ndarray) -> None:
    """Each between the photo's code and another anchor, a quarter to three quarters of the way."""
    code = code_of(anchors, prior)
    first, *held = refining._codes(code, anchors, dataclasses.replace(PLAIN, held=6))
    np.testing.assert_array_equal(first, code)
    ends = []
    for one in held:
        shares = [((one - code) / (anchor - code)).ravel() for anchor in anchors]
        straight = [float(np.median(np.abs(share - np.median(share)))) for share in shares]
        ends.append(int(np.argmin(straight)))
        assert min(straight) < 1e-4
        assert 0.25 <= float(np.median(shares[ends[-1]])) <= 0.75
    assert sorted(ends) == list(range(6))
    other = refining._codes(code, anchors, dataclasses.replace(PLAIN, held=6, seed=1))
    assert np.abs(other[1:] - np.stack(held)).max() > 1e-3


def test_a_step_follows_the_photo_and_some_of_what_is_held(
    prior: Prior, photo: np.ndarray, anchors: np.ndarray
) -> None:
    """Its gradient is that of the photo's loss and the held ones' mean, weighted; each in its turn."""
    how = dataclasses.replace(PLAIN, held=4, locality=3.0)
    run_ = refining._Run(prior.generator(), code_of(anchors, prior), photo, prior.perceptual(), anchors, how)
    wanted = torch.from_numpy(photo)[None].expand(5, -1, -1, -1)  # what nothing of it draws yet
    run_.targets, run_.features = wanted, run_.perceptual.features(wanted)
    for step, rows in enumerate(([1, 2], [3, 4], [1, 2])):
        loss = run_.gradients(step)
        found = [
            parameter.grad.clone() for parameter in run_.parameters.values() if parameter.grad is not None
        ]
        made = run_.generator.synthesis(run_.codes[[0, *rows]], noise="const")
        seen = run_.perceptual.distance(made, wanted[:3]).flatten()
        each = seen + (made - wanted[:3]).square().mean((1, 2, 3))
        total = each[0] + 3.0 * each[1:].mean()
        own = torch.autograd.grad(total, list(run_.parameters.values()), allow_unused=True)
        assert loss == pytest.approx(float(each[0].detach()), rel=1e-4)
        for one, other in zip(found, [grad for grad in own if grad is not None], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-4)


def test_one_anchor_is_enough(prior: Prior, photo: np.ndarray, anchors: np.ndarray) -> None:
    """Where there are fewer anchors than are held, all of them are."""
    found, _ = run(prior, photo, anchors[:1], dataclasses.replace(PLAIN, steps=2))
    assert len(found.losses) == 2


def test_what_cannot_be_tuned_is_refused(prior: Prior, photo: np.ndarray, anchors: np.ndarray) -> None:
    """Settings without sense, and a photo that is no picture."""
    for senseless in ({"steps": 0}, {"at_once": 3, "held": 2}, {"precision": "float8"}):
        with pytest.raises(UsageError):
            RefineSettings(**senseless)  # type: ignore[arg-type]
    with pytest.raises(MystyleError, match="not finite"):
        run(prior, np.full_like(photo, np.nan), anchors, PLAIN)
