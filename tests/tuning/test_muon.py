"""Muon: steps with nearly equal singular values, against the singular value decomposition and torch's own."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mystyle_cli.tuning.muon import MOMENTUM, POLYNOMIAL, ROUNDS, Muon, orthogonalise

SHAPES = st.tuples(st.integers(1, 24), st.integers(1, 24), st.integers(0, 99))


def bent(singular: torch.Tensor) -> torch.Tensor:
    """Return what the rounds make of singular values of a matrix of norm 1."""
    a, b, c = POLYNOMIAL
    for _ in range(ROUNDS):
        singular = a * singular + b * singular**3 + c * singular**5
    return singular


@settings(max_examples=60)
@given(SHAPES)
def test_only_the_singular_values_change(shape: tuple[int, int, int]) -> None:
    """Worked in the Gram matrix it is the published polynomial of the singular values, tall or wide."""
    rows, columns, seed = shape
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    left, singular, right = torch.linalg.svd(matrix, full_matrices=False)
    expected = left @ torch.diag(bent(singular / singular.norm())) @ right * max(rows, columns) ** 0.5
    assert torch.allclose(orthogonalise(matrix), expected, atol=1e-9)


def test_steep_directions_and_flat_ones_move_alike() -> None:
    """Where gradients differ a hundredfold, steps differ by little, and their root mean square is near 1."""
    generator = torch.Generator().manual_seed(0)
    left = torch.linalg.qr(torch.randn(16, 16, generator=generator))[0]
    right = torch.linalg.qr(torch.randn(40, 16, generator=generator))[0]
    steep = left @ torch.diag(torch.logspace(-2, 0, 16)) @ right.mT
    found = torch.linalg.svdvals(orthogonalise(steep)) / 40**0.5
    assert found.max() < 1.3
    assert found.max() / found.min() < 5
    square = orthogonalise(torch.randn(32, 64, generator=generator)).square().mean()
    assert 0.7 < square.sqrt() < 1.3


def test_nothing_stays_nothing() -> None:
    """A gradient of zero moves nothing, and a weight without one is left alone."""
    assert (orthogonalise(torch.zeros(3, 5)) == 0).all()
    still, other = torch.ones(4, 4, requires_grad=True), torch.ones(4, 4, requires_grad=True)
    still.grad = torch.zeros(4, 4)
    muon = Muon([still, other], 0.1)
    muon.step()
    assert (still == 1).all()
    assert (other == 1).all()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_convolution_is_seen_as_its_rows(layout: torch.memory_format) -> None:
    """However it lies in memory, a kernel moves as the matrix of its outputs by everything else."""
    generator = torch.Generator().manual_seed(1)
    start, gradient = torch.randn(2, 6, 5, 3, 3, generator=generator).unbind()
    kernel = start.clone(memory_format=layout).requires_grad_()
    flat = start.flatten(1).clone().requires_grad_()
    for weight, shape in ((kernel, (6, 5, 3, 3)), (flat, (6, 45))):
        muon = Muon([weight], 0.1)
        for scale in (1.0, -0.5):
            weight.grad = (scale * gradient + gradient.roll(1, 0)).reshape(shape)
            muon.step()
    assert torch.allclose(kernel.flatten(1), flat, atol=1e-5)
    assert kernel.is_contiguous(memory_format=layout)


def test_it_steps_as_torch_does() -> None:
    """With torch's five rounds in 16 bits the direction differs by rounding alone, momentum included."""
    published = getattr(torch.optim, "Muon", None)
    if published is None:
        pytest.skip("this torch has no Muon")
    generator = torch.Generator().manual_seed(2)
    mine = torch.randn(8, 20, generator=generator).requires_grad_()
    theirs = copy.deepcopy(mine)
    own = Muon([mine], 0.01)
    other = published([theirs], lr=0.01, momentum=MOMENTUM, weight_decay=0.0, ns_steps=ROUNDS)
    for _ in range(5):
        mine.grad = torch.randn(8, 20, generator=generator)
        theirs.grad = mine.grad.clone()
        before = mine.detach().clone(), theirs.detach().clone()
        own.step()
        other.step()
        moves = [(now.detach() - was).flatten() for now, was in zip((mine, theirs), before, strict=True)]
        assert torch.cosine_similarity(*moves, dim=0) > 0.999


def test_a_matrix_is_found_in_fewer_steps_than_adam_needs() -> None:
    """On a regression whose inputs differ in scale, the same steps leave a smaller loss."""
    generator = torch.Generator().manual_seed(3)
    wanted = torch.randn(12, 24, generator=generator)
    inputs = (
        torch.randn(256, 24, generator=generator)
        @ torch.linalg.qr(torch.randn(24, 24, generator=generator))[0]
    )
    inputs = inputs * torch.logspace(-1.5, 0, 24)

    def loss_of(kind: type[torch.optim.Optimizer], rate: float) -> float:
        weight = torch.zeros(12, 24, requires_grad=True)
        optimiser = kind([weight], lr=rate)  # type: ignore[call-arg]
        for step in range(60):
            optimiser.param_groups[0]["lr"] = rate * (1 - step / 60)
            loss = ((inputs @ (weight - wanted).mT) ** 2).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return loss.item()

    best = min(loss_of(torch.optim.Adam, rate) for rate in (0.03, 0.1, 0.3))
    assert min(loss_of(Muon, rate) for rate in (0.03, 0.1, 0.3)) < 0.7 * best
