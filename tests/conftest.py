"""Shared fixtures."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from mystyle_cli.nets.processors import settle
from tests.support.tiny_prior import make_prior

if TYPE_CHECKING:
    from click.testing import Result

    from tests.support.journeys import Run

settle()  # before torch is loaded, as in the program
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")  # however slow it is, and whatever else it does


@pytest.fixture(autouse=True)
def _same_numbers_in_any_order() -> None:
    """Let no test's random weights depend on which tests ran before it in the same process."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of this run that all of its workers see."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session", autouse=True)
def _nothing_takes_long_twice(shared: Path) -> Iterator[None]:
    """Nobody waits for the disk, and a picture that was searched for faces is not searched again."""
    from mystyle_cli.curate import examine
    from mystyle_cli.faces import faces

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        for module, names in (
            (faces, ("_seen", "detect")),
            (examine, ("find_faces", "find_hidden_faces", "describe")),
        ):
            for name in names:
                patch.setattr(module, name, _remembered(getattr(module, name), shared))
        yield


def _remembered(look: Callable[..., Any], shared: Path) -> Callable[..., Any]:
    """Return a function of a picture, and of a face on it, that looks once at what is the same.

    Args:
        shared: where what was found is kept for the other workers.
    """
    found: dict[str, Any] = {}

    def mark(given: Any) -> str:
        pixels = np.asarray(getattr(given, "landmarks", given))
        return f"{pixels.shape} {pixels.dtype} {hashlib.sha256(pixels.tobytes()).hexdigest()}"

    def once(*given: Any) -> Any:
        key = hashlib.sha256(f"{look.__module__}.{look.__name__} {[*map(mark, given)]}".encode()).hexdigest()
        if key not in found:
            kept = shared / f"{key}.looked"
            if not kept.exists():
                beside = kept.with_suffix(f".{os.getpid()}")
                beside.write_bytes(pickle.dumps(look(*given)))
                os.replace(beside, kept)
            found[key] = pickle.loads(kept.read_bytes())
        return copy(found[key])

    return once


@pytest.fixture(scope="session")
def tiny_prior(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prior folder at 32 pixels with every role, all of them random weights."""
    return make_prior(tmp_path_factory.mktemp("priors") / "tiny-32")


@pytest.fixture(scope="session")
def made_store(tiny_prior: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store as it is made once."""
    from tests.support.tiny_store import make_store

    root = tmp_path_factory.mktemp("store")
    make_store(root, tiny_prior)
    return root


@pytest.fixture
def run(made_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the program on a copy of the store, in an empty folder."""
    from click.testing import CliRunner

    from mystyle_cli.cli import cli

    shutil.copytree(made_store, tmp_path / "store")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def invoke(*words: object, **settings: Any) -> Result:
        return CliRunner().invoke(cli, ["--store", str(tmp_path / "store"), *map(str, words)], **settings)

    return invoke


@pytest.fixture
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """So many threads of the CPU for one test."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    """What `--threads` settled in one test does not hold in the next."""
    from mystyle_cli.nets import processors

    names = (*processors.COUNTS, *processors.WAITING)
    environment = {name: os.environ[name] for name in names if name in os.environ}
    settled, torch = list(processors._settled), sys.modules.get("torch")
    count = torch.get_num_threads() if torch else 0
    yield
    for name in names:
        os.environ.pop(name, None)
    os.environ.update(environment)
    processors._settled[:] = settled
    if torch:
        torch.set_num_threads(count)
