"""A person of a tiny prior, and a discriminator for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mystyle_cli.baselines import adversarial
from mystyle_cli.baselines.discriminator import Discriminator
from mystyle_cli.person.profile import Profile
from mystyle_cli.prior.registry import Prior
from mystyle_cli.store.store import Store


@pytest.fixture
def profile(made_store: Path) -> Profile:
    """The person, with six reference photos of 32 pixels."""
    return Store(made_store).open("ada")


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny prior has a discriminator, of random weights."""

    def make(prior: Prior) -> Discriminator:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return Discriminator(prior.resolution)

    monkeypatch.setattr(adversarial, "load_discriminator", make)
