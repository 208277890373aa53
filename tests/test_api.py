"""The Python API opens at once and hands every option on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import mystyle_cli
from mystyle_cli.api import Person
from mystyle_cli.config import BETA_INPAINT, BETA_INVERT, BETA_UPSCALE
from mystyle_cli.errors import NoFaceError, ProfileError
from mystyle_cli.nets.device import Device
from mystyle_cli.person.manifest import Manifest, PriorMark

MANIFEST = Manifest(PriorMark("tiny", "", "", 32, 16, 8), "", "", "", "")


@pytest.fixture
def person(tmp_path: Path) -> Person:
    """A person of whom nothing is on disk; the engine is replaced."""
    return Person(tmp_path / "adele", MANIFEST)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Record what reaches the engine, and answer without an error."""
    calls: list[Any] = []

    def restore(profile: Any, subjects: Any, task: str, settings: Any, progress: Any) -> list[Any]:
        calls.append(SimpleNamespace(profile=profile, subject=subjects[0], task=task, settings=settings))
        return [SimpleNamespace(error=None, task=task)]

    monkeypatch.setattr("mystyle_cli.restore.restore.restore", restore)
    return calls


def test_importing_is_instant() -> None:
    """`import mystyle_cli` and opening the store load nothing numerical."""
    code = "import mystyle_cli, sys; mystyle_cli.open_store('.').names(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "torch", "onnx", "onnxruntime", "PIL"} & set(done.stdout.split())


def test_open_profile_looks_where_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder given wins; without one the home variable says where."""
    with pytest.raises(ProfileError, match=str(tmp_path / "here")):
        mystyle_cli.open_profile("adele", tmp_path / "here")
    monkeypatch.setenv("MYSTYLE_HOME", str(tmp_path / "home"))
    with pytest.raises(ProfileError, match=str(tmp_path / "home")):
        mystyle_cli.open_profile("adele")


def test_each_task_has_the_dilation_of_the_paper(person: Person, engine: list[Any]) -> None:
    """Without beta each task takes its own; None, given, means unbounded."""
    person.upscale("small.jpg")
    person.inpaint("hole.jpg", np.zeros((2, 2), np.uint8))
    person.invert("photo.jpg")
    person.invert("photo.jpg", beta=None)
    betas = [call.settings.projection.beta for call in engine]
    assert betas == [BETA_UPSCALE, BETA_INPAINT, BETA_INVERT, None]
    assert [call.task for call in engine] == ["upscale", "inpaint", "invert", "invert"]


def test_options_reach_the_engine(person: Person, engine: list[Any]) -> None:
    """Every option of a method arrives where it works, and a path may be a string."""
    person.upscale("small.jpg", beta=0.5, steps=7, aligned=True, force=True, device="cuda:1")
    (call,) = engine
    settings = call.settings
    assert (settings.projection.beta, settings.projection.steps) == (0.5, 7)
    assert (settings.aligned, settings.force) == (True, True)
    assert call.profile.device == Device("cuda:1")
    assert call.subject.photo == Path("small.jpg")
    placed = person.on(Device("cuda:0"))
    placed.upscale("small.jpg")
    placed.upscale("small.jpg", device="cpu")
    person.upscale("small.jpg")
    assert [call.profile.device.wanted for call in engine[1:]] == ["cuda:0", "cpu", "cpu"]


def test_a_failed_photo_raises(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a batch reports in its result, a single call raises."""
    answer = [SimpleNamespace(error=NoFaceError("no face"))]
    monkeypatch.setattr("mystyle_cli.restore.restore.restore", lambda *_: answer)
    with pytest.raises(NoFaceError):
        person.upscale(b"")


@pytest.mark.parametrize(("seeds", "expected"), [(3, [0, 1, 2]), ([5, 2], [5, 2])])
def test_sample_takes_a_number_or_seeds(
    person: Person, monkeypatch: pytest.MonkeyPatch, seeds: Any, expected: list[int]
) -> None:
    """A number of pictures stands for the seeds from 0."""
    drawn: list[Any] = []
    monkeypatch.setattr("mystyle_cli.sample.samples.draw", lambda *given, **_: drawn.append(given[1]))
    person.sample(seeds)
    assert drawn == [expected]
