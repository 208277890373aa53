"""The fused layers used in training against the published ones."""

import copy

import pytest
import torch

from mystyle_cli.nets.generator import Generator
from tools.portraits.fused import fuse


@pytest.mark.slow
def test_fused_layers_compute_the_same() -> None:
    """Pictures and all gradients are those of the plain layers without noise."""
    torch.manual_seed(0)
    plain = Generator(channels={4: 8, 8: 8, 16: 4}, z_dim=6, w_dim=6, mapping_layers=1)
    fused = copy.deepcopy(plain)
    fuse(fused)
    codes = torch.randn(3, 6, 6)
    made = []
    for generator in (plain, fused):
        image = generator.synthesis(codes, "none")
        image.square().mean().backward()
        made.append(image.detach())
    assert torch.allclose(made[0], made[1], atol=1e-5)
    for (name, a), b in zip(plain.named_parameters(), fused.parameters(), strict=True):
        if a.grad is not None:
            assert b.grad is not None, name
            assert torch.allclose(a.grad, b.grad, atol=1e-5 + 1e-3 * float(a.grad.abs().max())), name
