"""`mystyle doctor`: each kind of trouble is found, named, and comes with what to do."""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
from collections import namedtuple
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result
from filelock import FileLock

from mystyle_cli.cli import cli
from mystyle_cli.doctor import keeping, program
from mystyle_cli.doctor.checkup import examine
from mystyle_cli.doctor.findings import Finding
from mystyle_cli.faces.align import FFHQ
from mystyle_cli.fetch.assets import Companion
from mystyle_cli.fetch.fetch import downloads
from mystyle_cli.fetch.licences import ledger_path
from mystyle_cli.files.paths import priors_root
from mystyle_cli.nets.providers import find_provider
from mystyle_cli.prior.registry import Prior
from mystyle_cli.store.store import Store
from tests.support.tiny_store import make_store


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder of its own, with nothing in it."""
    monkeypatch.setenv("MYSTYLE_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def store(tiny_prior: Path, tmp_path: Path) -> Store:
    """A store with one sound profile, whose prior is a folder that a test may damage."""
    shutil.copytree(tiny_prior, tmp_path / "tiny-32")
    return make_store(tmp_path / "store", tmp_path / "tiny-32")


def of(findings: Iterable[Finding], state: str = "problem") -> list[Finding]:
    """Return the findings of one state; every problem must say what to do."""
    found = [finding for finding in findings if finding.state == state]
    assert state != "problem" or all(finding.advice for finding in found)
    return found


def run(store: Store, *words: str) -> Result:
    """Run the program on a store."""
    return CliRunner().invoke(cli, ["--store", str(store.root), *words])


def test_all_is_well(store: Store) -> None:
    """On a sound machine the exit code is 0 and every area is looked at, onnxruntime by running a net."""
    done = run(store, "--json", "doctor")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["ok"], found["problems"]) == (0, True, 0), found
    facts = {(finding["area"], finding["subject"]): finding["text"] for finding in found["findings"]}
    assert {area for area, _ in facts} == {"program", "device", "disk", "licences", "prior", "profile"}
    assert facts["device", "onnxruntime on cpu"] == "CPUExecutionProvider runs"
    assert facts["profile", "ada"] == "ready, made with tiny-32"
    assert "sound" in facts["prior", "portraits-128"]


def test_damaged_profile(store: Store) -> None:
    """A damaged profile makes the exit code 1, and is named with what to do."""
    (store.root / "ada/faces/0001.png").write_bytes(b"x")
    done = run(store, "doctor")
    assert done.exit_code == 1
    line = next(line for line in done.stdout.splitlines() if line.startswith("PROBLEM"))
    assert "ada" in line
    assert "0001.png" in line
    assert "backup" in done.stderr
    assert "1 problem:" in done.stderr


def test_profile_whose_prior_is_gone(store: Store, tmp_path: Path) -> None:
    """A profile that was made with a prior that is no longer there is a problem of the profile."""
    shutil.rmtree(tmp_path / "tiny-32")
    [found] = of(keeping.look_at_profiles(store))
    assert (found.area, found.subject) == ("profile", "ada")
    assert "tiny-32" in found.text


def test_profile_that_was_interrupted(store: Store) -> None:
    """A profile whose creation was interrupted is worth knowing, and how to go on."""
    (store.root / "bob/runs/next").mkdir(parents=True)
    [found] = of(keeping.look_at_profiles(store), "note")
    assert found.subject == "bob"
    assert "profile create" in found.advice


def test_damaged_prior(tiny_prior: Path) -> None:
    """A file of an imported prior that has changed is named."""
    folder = shutil.copytree(tiny_prior, priors_root() / "mine")
    (folder / "matte.onnx").write_bytes(b"x")
    [found] = of(keeping.look_at_priors())
    assert found.subject == "mine"
    assert "matte.onnx" in found.text
    (folder / "prior.toml").write_text("format = ")
    [found] = of(keeping.look_at_priors())
    assert "prior.toml" in found.text


def imported(**encoder: Any) -> Prior:
    """A prior as import describes it."""
    roles = {"generator": {"file": "g", "sha256": "new"}, "encoder": {"file": "e", **encoder}}
    return Prior(Path(), "", {"name": "mine", "roles": roles}, FFHQ)


@pytest.mark.parametrize(
    ("record", "state", "word"),
    [
        ({"decoder_difference": 2e-7, "decoder_generator": "new", "decoder_tensors": 9}, "ok", "9 tensors"),
        ({"decoder_difference": 0.3, "decoder_generator": "new"}, "problem", "0.3"),
        ({"decoder_difference": 0.0, "decoder_generator": "old"}, "problem", "another"),
        ({}, "note", "no generator"),
    ],
)
def test_encoder_of_another_generator(record: dict[str, Any], state: str, word: str) -> None:
    """An encoder whose own decoder is not the prior's generator is a problem; rounding is none."""
    [found] = keeping.look_at_encoder(imported(source_sha256="s", **record))
    assert found.state == state
    assert word in found.text
    assert list(keeping.look_at_encoder(imported())) == []  # a prior of ours: trained together


def test_lock_that_is_held(store: Store) -> None:
    """A lock that another command holds is told; one that is only left lying about is not."""
    assert [found.text for found in keeping.look_at_locks(store)] == ["none is held"]
    downloads().mkdir()
    with FileLock(downloads() / ".lock"):
        [found] = of(keeping.look_at_locks(store), "note")
    assert str(downloads()) in found.text
    assert of(keeping.look_at_locks(store), "ok")


def test_downloads_are_counted(store: Store) -> None:
    """What downloads take is told, and what an interrupted one left, with how to go on."""
    downloads().mkdir()
    (downloads() / "a.pkl").write_bytes(bytes(2_000_000))
    (downloads() / "b.pkl.part").write_bytes(bytes(1_000_000))
    (downloads() / "b.pkl.part.json").write_text("{}")
    whole, part = of(keeping.look_at_disk(store), "note")
    assert "1 files, 2.0 MB" in whole.text
    assert "b.pkl: 1.0 MB" in part.text
    assert "Fetch again" in part.advice


def test_little_room(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is nearly full is a problem."""
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(keeping.shutil, "disk_usage", lambda folder: usage(9, 9, 1e8))
    assert len(of(keeping.look_at_disk(store))) == 2


def test_damaged_ledger() -> None:
    """A record of licences that cannot be read is a problem."""
    ledger_path().write_text("{")
    [found] = of(keeping.look_at_licences())
    assert "licences.json" in found.text


def test_broken_library(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that cannot be loaded is named with how to install it, and the examination goes on."""
    load = importlib.import_module

    def broken(name: str, package: str | None = None) -> ModuleType:
        if name == "dlib":
            raise ImportError("libsomething.so: cannot open shared object file")
        return load(name, package)

    monkeypatch.setattr(program.importlib, "import_module", broken)
    monkeypatch.setattr(program, "COMPANIONS", ())
    [found] = of(examine(store))
    assert found.subject == "dlib-bin"
    assert "pip install" in found.advice


def test_changed_model_in_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model inside another package is compared with its digest; missing and changed are problems."""
    package = tmp_path / "models_of_others"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "net.dat").write_bytes(b"net")
    monkeypatch.syspath_prepend(tmp_path)
    right = hashlib.sha256(b"net").hexdigest()

    def look(file: str, digest: str) -> list[Finding]:
        return of(program.look_at_companions((Companion(package.name, file, "CC0-1.0", digest, "tests"),)))

    assert look("net.dat", right) == []
    assert "not the file" in look("net.dat", "0" * 64)[0].text
    assert "missing" in look("gone.dat", right)[0].text


def test_device_that_is_not_there() -> None:
    """A device that was asked for and is not there is a problem, not a silent fall-back."""
    [found] = of(program.look_at_devices("cuda:99"))
    assert "cuda:99" in found.text


def test_provider_that_only_says_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that onnxruntime lists but cannot use, or computes wrongly on, is found by running a net."""

    faults = {0: "it would run on CPUExecutionProvider", 1: "CUDAExecutionProvider is off by 1.0e-02"}
    monkeypatch.setattr("mystyle_cli.nets.providers.cuda_devices", lambda: 2)
    monkeypatch.setattr("mystyle_cli.nets.device.cuda_devices", lambda: 2)
    monkeypatch.setattr("mystyle_cli.nets.providers.fault_of", lambda provider: faults[provider.index])
    monkeypatch.setattr(
        "onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    find_provider.cache_clear()
    found = {finding.subject: finding.text for finding in of(program.look_at_devices("cpu"))}
    find_provider.cache_clear()
    assert "CPUExecutionProvider" in found["onnxruntime on cuda:0"]
    assert "off by" in found["onnxruntime on cuda:1"]
