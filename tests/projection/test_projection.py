"""Projection on a small random generator: constraints, independence, schedules."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from mystyle_cli.errors import UsageError
from mystyle_cli.hull import hull
from mystyle_cli.nets.generator import Generator
from mystyle_cli.projection.adam import RowAdam
from mystyle_cli.projection.codes import spread_of
from mystyle_cli.projection.degradations import Downsample, Identity, Mask
from mystyle_cli.projection.projection import Problem, Schedule, in_a_beta, project
from mystyle_cli.projection.settings import ProjectionSettings
from tests.support.pooled import Pooled

SIZE = 16
SHORT = ProjectionSettings(steps=25, patience=0)


@pytest.fixture(scope="module")
def generator():
    """A generator of 16 px with random weights, and images of some contrast."""
    torch.manual_seed(0)
    made = Generator(channels={4: 8, 8: 8, 16: 8}, z_dim=12, w_dim=12, mapping_layers=2)
    return made.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def anchors(generator):
    """Nine codes."""
    return np.random.default_rng(1).normal(size=(9, 12)).astype(np.float32)


def render(generator, anchors, alpha):
    """Images of alpha (B, N), the same for all layers."""
    w = torch.tensor(hull.combine(alpha, anchors), dtype=torch.float32)
    with torch.no_grad():
        return generator.synthesis(w[:, None].expand(-1, generator.num_ws, -1))


@pytest.fixture(scope="module")
def targets(generator, anchors):
    """Images of three members of P_0."""
    return render(generator, anchors, np.random.default_rng(2).dirichlet(np.full(9, 0.4), 3))


@pytest.mark.parametrize("parametrisation", ["softplus", "simplex"])
@pytest.mark.parametrize("space", ["p+", "p"])
@pytest.mark.parametrize("beta", [0.0, 0.05, None])
def test_every_returned_alpha_lies_in_a_beta(generator, anchors, targets, parametrisation, space, beta):
    """Recomputed from eq 2 to 1e-6, also after few steps, at a high rate and without a penalty on the sum."""
    settings = replace(
        SHORT, parametrisation=parametrisation, space=space, beta=beta, learning_rate=0.2, sum_weight=0.0
    )
    found = project(Problem(generator, anchors, targets, Identity(), Pooled()), settings)
    assert found.alpha_plus.shape == (3, generator.num_ws, 9)
    for alpha in found.alpha_plus.reshape(-1, 9):
        assert abs(math.fsum(alpha) - 1) <= 1e-6
        assert beta is None or alpha.min() >= -beta - 1e-6
    if space == "p":
        assert (found.alpha_plus == found.alpha_plus[:, :1]).all()


def test_the_result_is_consistent(generator, anchors, targets):
    """Codes are those of the coefficients, images those of the codes, losses those of the images."""
    found = project(Problem(generator, anchors, targets, Identity(), Pooled()), SHORT)
    np.testing.assert_allclose(found.w_plus, found.alpha_plus @ anchors, atol=1e-5)
    with torch.no_grad():
        images = generator.synthesis(torch.tensor(found.w_plus))
    np.testing.assert_allclose(found.images, images.numpy(), atol=1e-5)
    pixel = (images - targets).square().mean(dim=(1, 2, 3))
    expected = pixel + Pooled().distance_to(Pooled().features(targets), images)
    np.testing.assert_allclose(found.losses, expected, rtol=1e-4)
    assert found.history.shape == (25, 3)
    assert found.steps.tolist() == [25] * 3


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("space", ["p+", "near", "w+", "w"])
def test_an_input_fares_alone_as_in_company(generator, anchors, targets, space, turned):
    """The same answer in a batch, alone, and when neighbours before or behind it end sooner."""
    targets = targets.flip(0) if turned else targets
    settings = replace(SHORT, space=space, steps=60, patience=6, tolerance=0.05)
    known = None if space.startswith("w") else anchors
    together = project(Problem(generator, known, targets, Identity(), Pooled()), settings)
    assert len(set(together.steps.tolist())) > 1 or (together.steps == 60).all()
    for row in range(3):
        alone = project(Problem(generator, known, targets[row : row + 1], Identity(), Pooled()), settings)
        assert alone.steps[0] == together.steps[row]
        np.testing.assert_allclose(alone.w_plus[0], together.w_plus[row], atol=5e-2)  # rounding grows
        np.testing.assert_allclose(alone.losses[0], together.losses[row], rtol=0.02, atol=1e-5)


@pytest.fixture(scope="module")
def beside(generator, anchors):
    """Images of members of P_0 after a step beside it, of a length that a random person's is."""
    step = np.random.default_rng(4).normal(size=12) @ np.asarray(spread_of(generator))
    return render(generator, anchors + step, np.random.default_rng(2).dirichlet(np.full(9, 0.4), 3))


def near_and_within(generator, anchors, targets, **how):
    """What a long search finds near the space, and within it."""
    settings = [replace(SHORT, steps=80, beta=0.02, space=space, **how) for space in ("near", "p+")]
    return [project(Problem(generator, anchors, targets, Identity(), Pooled()), one) for one in settings]


def test_near_the_space_is_what_no_mixture_shows(generator, anchors, beside):
    """It is met much better; the code is a member of A_beta and one step for all layers."""
    near, within = near_and_within(generator, anchors, beside, slack_weight=1e-3)
    assert (near.losses < 0.3 * within.losses).all()
    assert within.slack is None
    assert hull.in_hull(near.alpha_plus, 0.02).all()
    rest = near.w_plus - near.alpha_plus @ anchors
    np.testing.assert_allclose(rest, np.broadcast_to(near.slack[:, None], rest.shape), atol=1e-5)
    with torch.no_grad():
        images = generator.synthesis(torch.tensor(near.w_plus))
    np.testing.assert_allclose(near.images, images.numpy(), atol=1e-5)
    assert (near.one(1).slack == near.slack[1:2]).all()


def test_the_dearer_it_is_the_less_codes_lie_beside_the_space(generator, anchors, beside):
    """Steps in spreads of people's codes get shorter; where they cost too much, the space is all there is."""
    inverse = np.linalg.inv(np.asarray(spread_of(generator), np.float64))
    lengths = []
    for weight in (1e-3, 1e-1, 1e4):
        near, within = near_and_within(generator, anchors, beside, slack_weight=weight)
        lengths.append(np.linalg.norm(near.slack @ inverse, axis=1).mean())
    assert lengths[0] > 1.2 * lengths[1] > 10 * lengths[2]
    np.testing.assert_allclose(near.losses, within.losses, rtol=0.1)


def test_a_search_ends_by_how_well_the_photo_is_explained(generator, anchors, beside):
    """Eq 1 decides whether it is enough, not eq 8, in which the step beside the space costs more."""
    settings = replace(SHORT, steps=80, beta=0.02, space="near", slack_weight=0.1)
    problem = Problem(generator, anchors, beside, Identity(), Pooled())
    whole = project(problem, settings)
    enough = 1.5 * float(whole.losses.max())
    assert (whole.history[-1] > enough).all()
    ended = project(problem, replace(settings, enough=enough))
    assert (ended.steps < 80).all()
    assert (ended.losses <= 1.1 * enough).all(), "the last step is taken after the look"


def test_without_a_mapping_the_space_alone_is_searched(anchors):
    """Nothing tells how far people lie apart, so no code leaves the space."""
    bare = Generator(channels={4: 8, 8: 8, 16: 8}, z_dim=0, w_dim=12, mapping_layers=0).requires_grad_(False)
    targets = render(bare, anchors, np.random.default_rng(2).dirichlet(np.full(9, 0.4), 3))
    near, within = near_and_within(bare, anchors, targets)
    assert near.slack is None
    np.testing.assert_array_equal(near.w_plus, within.w_plus)


def test_the_spread_of_people_is_that_of_other_seeds(generator):
    """z L has the covariance of what the mapping makes of numbers that were not used for it."""
    spread = np.asarray(spread_of(generator), np.float64)
    seeds = torch.randn(20_000, 12, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        expected = np.cov(generator.mapping(seeds).double().numpy().T)
    assert np.abs(spread.T @ spread - expected).max() < 0.1 * expected.max()


@pytest.mark.parametrize("parametrisation", ["softplus", "simplex"])
def test_a_member_of_the_hull_is_found_again(generator, anchors, targets, parametrisation):
    """An image that P_0 holds is reproduced far better than the centre does."""
    settings = ProjectionSettings(steps=200, beta=0.02, parametrisation=parametrisation, offset_weight=0.01)
    found = project(Problem(generator, anchors, targets, Identity(), Pooled()), settings)
    middle = render(generator, anchors, hull.centre(9)[None]).expand_as(targets)
    before = (middle - targets).square().mean(dim=(1, 2, 3)).numpy()
    after = ((found.images - targets.numpy()) ** 2).mean(axis=(1, 2, 3))
    assert (after < 0.1 * before).all()


def test_what_a_hole_hides_does_not_matter(generator, anchors, targets):
    """Two photos that differ only in the hole give the same code."""
    holes = torch.zeros(3, 1, SIZE, SIZE)
    holes[..., 5:11, 4:12] = 1
    spoiled = torch.where(holes > 0, torch.tensor(1.0), targets)
    one, other = (
        project(Problem(generator, anchors, mask.apply(photo), mask, Pooled()), SHORT)
        for photo in (targets, spoiled)
        for mask in [Mask.of(holes, photo)]
    )
    np.testing.assert_allclose(one.w_plus, other.w_plus, atol=1e-4)


def test_inputs_of_several_sizes_are_upscaled_together(generator, anchors, targets):
    """Sizes may differ within a batch, and each loss falls."""
    phi = Downsample.of([4, 6, 8], SIZE)
    found = project(Problem(generator, anchors, phi.apply(targets), phi, Pooled()), replace(SHORT, steps=80))
    assert (found.history[-1] < found.history[0]).all()
    assert found.images.shape == (3, 3, SIZE, SIZE)


def test_early_end_saves_steps_and_little_loss(generator, anchors, targets):
    """With patience an input ends sooner, with a loss close to that of the full run."""
    full = replace(SHORT, steps=300)
    eager = replace(full, patience=15, tolerance=0.02)
    long = project(Problem(generator, anchors, targets, Identity(), Pooled()), full)
    short = project(Problem(generator, anchors, targets, Identity(), Pooled()), eager)
    assert (short.steps < 300).any()
    assert (short.losses <= long.losses + 0.02 * short.history[0]).all()
    for row, steps in enumerate(short.steps):
        assert np.isfinite(short.history[:steps, row]).all()
        assert np.isnan(short.history[steps:, row]).all()


def test_a_start_can_be_given(generator, anchors, targets):
    """Starting at the answer, one step leaves the loss near 0; the start need not be the centre."""
    alpha = np.random.default_rng(2).dirichlet(np.full(9, 0.4), 3)
    settings = replace(SHORT, steps=1, learning_rate=1e-6)
    found = project(Problem(generator, anchors, targets, Identity(), Pooled()), settings, start=alpha)
    assert (found.losses < 0.02).all()


def test_progress_is_told(generator, anchors, targets):
    """A report for each step, the last one complete."""
    seen = []
    project(Problem(generator, anchors, targets, Identity(), Pooled()), SHORT, seen.append)
    assert [step.done for step in seen] == list(range(1, 26))
    assert seen[-1].done == seen[-1].total
    assert math.isfinite(seen[-1].detail["loss"])


def test_senseless_settings_are_refused(generator, targets):
    """A negative beta, no steps, a person's space without a person."""
    with pytest.raises(UsageError, match="beta"):
        ProjectionSettings(beta=-1)
    with pytest.raises(UsageError, match="steps"):
        ProjectionSettings(steps=0)
    with pytest.raises(UsageError, match="anchors"):
        project(Problem(generator, None, targets, Identity(), Pooled()), SHORT)


def descend(start, loss, steps=40, rate=0.05, optimiser=None):
    """Return where RowAdam, or another optimiser, gets from (B, L, N) or (B, n) with a loss (B,)."""
    mine = start.clone().requires_grad_()
    adam = RowAdam([mine], soap=True) if optimiser is None else optimiser([mine], lr=rate)
    for _ in range(steps):
        loss(mine).sum().backward()
        if optimiser is None:
            adam.step(torch.full((len(mine),), rate))
        else:
            adam.step()
            adam.zero_grad()
    return mine.detach()


def test_row_adam_is_adam():
    """With equal rates it follows torch's own optimiser; a row that leaves changes nothing for the others."""
    start = torch.tensor([[1.0, -2.0], [0.5, 3.0], [2.0, 0.1]])
    theirs = descend(start, lambda x: (x**4).sum(1), 12, 0.1, torch.optim.Adam)
    mine = start.clone().requires_grad_()
    adam = RowAdam([mine])
    for step in range(12):
        (mine**4).sum().backward()
        adam.step(torch.full((len(mine),), 0.1))
        if step == 5:
            (mine,) = adam.select(torch.tensor([0, 2]))
    torch.testing.assert_close(mine.detach(), theirs[[0, 2]])


def bowl(turn, layers, seed=3):
    """A quadratic (B,) of (B, 4, 6), steep along some axes and flat along others, in turned coordinates."""
    steep = torch.logspace(-1.5, 1.5, 24, dtype=torch.float64).reshape(4, 6)
    steep = steep.flatten()[torch.randperm(24, generator=torch.Generator().manual_seed(seed))].reshape(4, 6)
    return lambda x: (steep * (layers.mT @ x @ turn).square()).sum((1, 2))


def orthogonal(n, seed):
    """A random rotation (n, n)."""
    values = torch.randn(n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.linalg.qr(values)[0]


def test_turned_row_adam_follows_the_axes_of_the_problem():
    """Turned coordinates change nothing but the coordinates, which Adam cannot say of itself."""
    start = torch.randn(2, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    turn, layers = orthogonal(6, 5), orthogonal(4, 6)
    plain = descend(start, bowl(torch.eye(6).double(), torch.eye(4).double()))
    turned = layers.mT @ descend(layers @ start @ turn.mT, bowl(turn, layers)) @ turn
    torch.testing.assert_close(turned, plain, rtol=1e-4, atol=1e-4)
    adam = descend(start, bowl(torch.eye(6).double(), torch.eye(4).double()), optimiser=torch.optim.Adam)
    adam_turned = layers.mT @ descend(
        layers @ start @ turn.mT, bowl(turn, layers), optimiser=torch.optim.Adam
    )
    assert (adam_turned @ turn - adam).abs().max() > 0.05


def test_the_rate_rises_stays_and_falls():
    """Ramps as in the projector of StyleGAN2; a loss that stalls brings the fall forward."""
    settings = ProjectionSettings(steps=100, learning_rate=1.0, patience=10)
    falling, stalled = Schedule(settings), Schedule(settings)
    rates = [falling.rate(0.9**step) for step in range(100)]
    assert falling.ended
    assert rates[0] == pytest.approx(0.2)
    assert rates[4:75] == [1.0] * 71
    assert all(a > b > 0 for a, b in pairwise(rates[75:]))
    taken = 0
    while not stalled.ended:
        stalled.rate(1.0)
        taken += 1
    assert 10 < taken < 20


def test_normalising_never_leaves_a_beta():
    """An entry at -beta stays there when the sum is corrected, where division alone would leave A_beta."""
    alpha = np.array([-0.03, 0.4, 0.33])
    assert (alpha / alpha.sum()).min() < -0.03
    fixed = in_a_beta(alpha, 0.03)
    assert fixed.min() >= -0.03 - 1e-12
    assert fixed.sum() == pytest.approx(1)
    assert np.isfinite(in_a_beta(np.zeros(3), 0.03)).all()
