"""Exports of a profile: written with it, trusted only while they are of its generator."""

from __future__ import annotations

import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mystyle_cli.errors import DeviceError, ModelError, ProfileError
from mystyle_cli.learn import exporting
from mystyle_cli.learn.learn import export, export_to
from mystyle_cli.nets.device import Device
from mystyle_cli.person import layout
from mystyle_cli.person.layout import GENERATOR
from mystyle_cli.person.profile import Profile
from mystyle_cli.sample.rendering import open_renderer
from mystyle_cli.sample.samples import draw
from mystyle_cli.store.store import Store
from tests.support.tiny_store import make_store


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, tiny_prior: Path) -> Path:
    """A store whose profile is exported."""
    store = make_store(tmp_path_factory.mktemp("store"), tiny_prior)
    export(store, "ada")
    return store.root


@pytest.fixture
def store(exported: Path, tmp_path: Path) -> Store:
    """A copy of it."""
    return Store(Path(shutil.copytree(exported, tmp_path / "store")))


def tune_again(store: Store) -> None:
    """Replace the profile's generator as a program does that knows nothing of exports."""
    from mystyle_cli.person.files import load_tensors

    with store.locked("ada"):
        profile, draft = store.open("ada"), store.draft("ada")
        tensors, notes = load_tensors(profile.path / GENERATOR)
        floats = {name: value for name, value in tensors.items() if value.dtype.kind == "f"}
        changed = tensors | {name: (value + 0.01).astype(value.dtype) for name, value in floats.items()}
        draft.finish("tune", "again", draft.write_tensors(GENERATOR, changed, notes), {})
        draft.commit(replace(profile.manifest, stages=draft.stages(), files=draft.files()))


def test_export_writes_every_net_and_its_parity(store: Store, tiny_prior: Path) -> None:
    """The profile stays sound, its record holds the differences, and the prior's nets are its own."""
    assert store.verify("ada") == []
    folder = store.path("ada") / "onnx"
    names = {"synthesis.onnx", "synthesis-fp16.onnx", "encoder.onnx", "identity.onnx", "matte.onnx"}
    assert {path.name for path in folder.iterdir()} == names | {"parity.toml"}
    record = tomllib.loads((folder / "parity.toml").read_text())
    assert record["largest_difference"].keys() == names
    assert 0 < record["largest_difference"]["synthesis.onnx"] <= 1e-3
    assert (folder / "matte.onnx").read_bytes() == (tiny_prior / "matte.onnx").read_bytes()
    stage = store.open("ada").manifest.stages["export"]
    assert stage["generator"] == record["generator_sha256"] == store.open("ada").manifest.digests()[GENERATOR]


def test_both_backends_draw_the_same_pictures(store: Store) -> None:
    """A seed gives the same picture with torch and with the export, but for rounding to 8 bits."""
    profile = store.open("ada")
    onnx, torch = (draw(profile, [3, 4], backend=backend) for backend in ("onnx", "torch"))
    assert (onnx.backend, onnx.place) == ("onnx", "CPUExecutionProvider")
    assert (torch.backend, torch.place) == ("torch", "cpu")
    difference = np.abs(onnx.pixels.astype(int) - torch.pixels)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01
    np.testing.assert_allclose(onnx.id_scores, torch.id_scores, atol=1e-3)


def test_auto_takes_the_export_and_says_why_not(store: Store, exported: Path, tiny_prior: Path) -> None:
    """A fresh export is taken in silence; one that is missing or stale is named and not used."""
    fresh = open_renderer(store.open("ada"))
    assert (fresh.backend, fresh.notice) == ("onnx", "")
    tune_again(store)
    stale = open_renderer(store.open("ada"))
    assert stale.backend == "torch"
    assert "older than its tuning" in stale.notice
    bare = make_store(store.root / "bare", tiny_prior).open("ada")
    assert bare.export_state == "none"
    assert "no ONNX export" in open_renderer(bare).notice
    assert open_renderer(bare, "torch").notice == ""


def test_a_stale_export_is_refused_by_name_and_made_anew(store: Store) -> None:
    """`--backend onnx` takes no older net for the generator; exporting again gives the new one's pictures."""
    tune_again(store)
    assert store.open("ada").export_state == "stale"
    with pytest.raises(ProfileError, match="older than its tuning") as caught:
        open_renderer(store.open("ada"), "onnx")
    assert "mystyle export ada" in caught.value.hint
    export(store, "ada")
    profile = store.open("ada")
    assert profile.export_state == "fresh"
    onnx, torch = (draw(profile, [5], backend=backend).pixels for backend in ("onnx", "torch"))
    assert np.abs(onnx.astype(int) - torch).max() <= 1


def test_a_damaged_export_is_an_error(store: Store) -> None:
    """A file that is not what was written is never run."""
    path = store.path("ada") / "onnx/synthesis.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ProfileError, match="digest"):
        open_renderer(store.open("ada"))


def test_an_absent_provider_falls_back_only_where_any_will_do(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU that onnxruntime cannot use leads to torch with --device auto, and to an error when asked for."""
    profile = store.open("ada")

    def refuse(*_: object, **__: object) -> None:
        raise DeviceError("no provider", "")

    monkeypatch.setattr("mystyle_cli.nets.exported.open_synthesis", refuse)
    renderer = open_renderer(profile.on(Device("auto")))
    assert renderer.backend == "torch"
    assert "no provider" in renderer.notice
    with pytest.raises(DeviceError):
        open_renderer(profile)


def test_export_to_a_folder_leaves_the_profile_alone(store: Store, tmp_path: Path) -> None:
    """What another program needs lies together, anchors included."""
    before = store.open("ada").manifest
    nets = export_to(store.open("ada"), tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *(net.file for net in nets),
        "parity.toml",
        "anchors.safetensors",
    }
    assert store.open("ada").manifest == before


def test_learning_under_way_is_not_disturbed(store: Store) -> None:
    """An interrupted tuning keeps its state: exporting is refused until it is finished."""
    (store.path("ada") / "runs/next/tune").mkdir(parents=True)
    with pytest.raises(ProfileError, match="interrupted"):
        export(store, "ada")


def test_a_net_that_answers_otherwise_is_refused(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parity is measured, not assumed."""
    profile: Profile = store.open("ada")
    whole = profile.generator()
    other = profile.prior.generator()
    monkeypatch.setattr(exporting, "PARITY_LIMIT", 1e-3)

    def write(name: str, data: bytes) -> Path:
        from mystyle_cli.nets.export import synthesis_file

        path = tmp_path / name
        path.write_bytes(synthesis_file(other) if name == layout.SYNTHESIS else data)
        return path

    with pytest.raises(ModelError, match="differs from torch"):
        exporting.export_nets(profile.prior, whole, profile.anchors(), write)
