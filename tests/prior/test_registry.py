"""Priors as folders."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mystyle_cli.errors import ModelError
from mystyle_cli.faces.align import FFHQ, Crop
from mystyle_cli.prior.registry import open_prior


@pytest.fixture
def copy(tiny_prior: Path, tmp_path: Path) -> Path:
    """A copy of the tiny prior that a test may damage."""
    return Path(shutil.copytree(tiny_prior, tmp_path / "prior"))


def test_every_role_opens(tiny_prior: Path) -> None:
    """All roles of a prior open and agree about resolution and w_dim."""
    prior = open_prior(tiny_prior)
    generator = prior.generator()
    assert (generator.resolution, generator.w_dim, generator.num_ws) == (32, prior.w_dim, prior.num_ws)
    images = np.random.default_rng(0).uniform(-1, 1, (3, 3, 32, 32)).astype(np.float32)
    assert prior.encode(images).shape == (3, prior.w_dim)
    assert np.allclose(np.linalg.norm(prior.embed(images), axis=1), 1)
    matte = prior.matte(images)
    assert matte.shape == (3, 32, 32)
    assert matte.min() >= 0
    assert matte.max() <= 1
    assert prior.perceptual().distance(torch.zeros(2, 3, 32, 32), torch.ones(2, 3, 32, 32)).shape == (2,)
    for direction in prior.directions().values():
        assert np.isclose(np.linalg.norm(direction.vector), 1)
    assert prior.verify() == []


def test_generators_are_separate(tiny_prior: Path) -> None:
    """Each caller gets a generator of its own: tuning one leaves the next untouched."""
    prior = open_prior(tiny_prior)
    first, second = prior.generator(), prior.generator()
    first.synthesis.b4.const.add_(1)
    assert not torch.equal(first.synthesis.b4.const, second.synthesis.b4.const)


def test_missing_role_is_named(copy: Path) -> None:
    """A role the prior lacks is an error that names it and those it has."""
    text = (copy / "prior.toml").read_text().replace("[roles.matte]", "[others.matte]")
    (copy / "prior.toml").write_text(text)
    with pytest.raises(ModelError, match="has no matte"):
        open_prior(copy).matte(np.zeros((1, 3, 32, 32), np.float32))


def test_changed_file_is_refused(copy: Path) -> None:
    """A file whose digest differs is refused on first load and listed by verify."""
    with (copy / "encoder.onnx").open("ab") as file:
        file.write(b"\0")
    (copy / "matte.onnx").unlink()
    prior = open_prior(copy)
    with pytest.raises(ModelError, match=r"encoder\.onnx"):
        prior.encode(np.zeros((1, 3, 32, 32), np.float32))
    assert len(prior.verify()) == 2


def test_newer_format_is_refused(copy: Path) -> None:
    """A prior of a newer format is refused, not read on a guess."""
    text = (copy / "prior.toml").read_text().replace("format = 1", "format = 2")
    (copy / "prior.toml").write_text(text)
    with pytest.raises(ModelError, match="newer"):
        open_prior(copy)


@pytest.mark.parametrize("text", ["", "format = 1", "format = [", "format = 'x'"])
def test_damaged_toml_is_refused(tmp_path: Path, text: str) -> None:
    """A prior.toml that cannot be used is an error that names it."""
    (tmp_path / "prior.toml").write_text(text)
    with pytest.raises(ModelError, match=r"prior\.toml"):
        open_prior(tmp_path)


def with_crop(folder: Path, line: str) -> Path:
    """Write a line at the head of prior.toml; returns the folder."""
    path = folder / "prior.toml"
    path.write_text(f"{line}\n{path.read_text()}")
    return folder


def test_a_prior_that_names_no_crop_has_ffhqs(copy: Path) -> None:
    """As it was before crops were named; one that says so in words is no other."""
    assert open_prior(copy).crop == FFHQ
    assert open_prior("portraits-128").crop == FFHQ
    assert open_prior(with_crop(copy, "crop = {scale = 1, down = 0}")).crop == FFHQ


def test_a_prior_s_crop_is_read(copy: Path) -> None:
    """Whole numbers count, too."""
    assert open_prior(with_crop(copy, "crop = {scale = 0.58, down = 0.054}")).crop == Crop(0.58, 0.054)


@pytest.mark.parametrize(
    "value",
    [
        "0.58",
        "[0.58, 0.054]",
        "'tight'",
        "{scale = 0.58}",
        "{scale = 0.58, down = 0, up = 1}",
        "{scale = '0.58', down = 0}",
        "{scale = true, down = 0}",
        "{scale = 0, down = 0}",
        "{scale = -0.58, down = 0}",
        "{scale = 3, down = 0}",
        "{scale = nan, down = 0}",
        "{scale = 1, down = inf}",
        "{scale = 1, down = 1.5}",
        f"{{scale = {10**400}, down = 0}}",
    ],
)
def test_what_is_no_crop_is_refused_by_name(copy: Path, value: str) -> None:
    """The file and the crop are named, with what to do, whatever stands there."""
    with pytest.raises(ModelError, match=r"prior\.toml is damaged: crop") as refused:
        open_prior(with_crop(copy, f"crop = {value}"))
    assert refused.value.hint


def test_an_imported_prior_with_another_crop_is_another_prior(copy: Path) -> None:
    """The same files with other notes are the same prior, with another crop they are not; FFHQ's is none."""
    known = open_prior(with_crop(copy, 'known_by = "roles"')).digest
    text = (copy / "prior.toml").read_text()
    found = set()
    for line in ("notes = ['a']", "crop = {scale = 1.0, down = 0.0}", "crop = {scale = 0.5, down = 0.0}"):
        (copy / "prior.toml").write_text(text)
        found.add(open_prior(with_crop(copy, line)).digest)
    assert known in found
    assert len(found) == 2


def test_unknown_prior_is_named() -> None:
    """An unknown name is an error that names it."""
    with pytest.raises(ModelError, match="nobody-7"):
        open_prior("nobody-7")


def test_inference_imports_no_torch(tiny_prior: Path) -> None:
    """Encoding, embedding and mattes run without torch, and without the package that writes ONNX."""
    code = (
        "import sys, numpy as np; from mystyle_cli.prior.registry import open_prior;"
        f"p = open_prior({str(tiny_prior)!r}); x = np.zeros((1, 3, 32, 32), np.float32);"
        "p.encode(x); p.embed(x); p.matte(x); p.directions();"
        "sys.exit(bool({'torch', 'onnx'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_folder_called_like_a_prior_does_not_take_its_place(
    tiny_prior: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes with the program goes by its name wherever the command is typed; ./NAME names the folder."""
    shutil.copytree(tiny_prior, tmp_path / "faces")
    shutil.copytree(tiny_prior, tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    assert open_prior("faces").resolution == 128
    assert open_prior("./faces").resolution == 32
    assert open_prior("mine").resolution == 32
