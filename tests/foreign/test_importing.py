"""Priors made of foreign files: whole or not at all, found by name, removed only when nobody needs them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from mystyle_cli.cli import cli
from mystyle_cli.errors import ModelError
from mystyle_cli.faces.align import FFHQ, Crop
from mystyle_cli.foreign import companions
from mystyle_cli.foreign.importing import import_prior
from mystyle_cli.foreign.making import Parts
from mystyle_cli.learn.figures import identity_statistics
from mystyle_cli.nets.perceptual import Perceptual, trunk_tensors
from mystyle_cli.prior.registry import imported_priors, open_prior
from tests.support.checkpoints import write_nvidia_pickle, write_nvidia_torch
from tests.support.journeys import journey
from tests.support.rosinality import write_rosinality
from tests.support.tiny_store import make_store

Run = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for everything that is the user's, and files to import in the one above."""
    monkeypatch.setenv("MYSTYLE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def parts(home: Path, tiny_prior: Path) -> Parts:
    """A generator as NVIDIA's code pickles it, and companions that fit it."""
    folder = home.parent
    generator = open_prior(tiny_prior).generator()
    torch.save(torch.eye(generator.w_dim)[:1] * 3, folder / "smile.pt")
    return Parts(
        write_nvidia_pickle(folder / "g.pkl", generator),
        encoder=tiny_prior / "encoder.onnx",
        identity=tiny_prior / "identity.onnx",
        directions=(("", folder / "smile.pt"), ("laugh", folder / "smile.pt")),
        licences={"g.pkl": "research only"},
        sources={"g.pkl": "https://example.org/g.pkl"},
    )


@pytest.fixture
def run(home: Path) -> Run:
    """Run the program with the empty folder as the user's."""
    return lambda *words, **settings: CliRunner().invoke(cli, [*map(str, words)], **settings)


def names(home: Path) -> set[str]:
    """Return what is in the folder of priors, the lock aside."""
    return {path.name for path in (home / "priors").iterdir()} - {".lock"}


def test_parts_become_a_prior(parts: Parts, home: Path, tiny_prior: Path) -> None:
    """Every part works in the prior as it did before, and prior.toml says where each came from."""
    trunk = {name: value.clone() for name, value in trunk_tensors(Perceptual(32)).items()}
    torch.save(trunk, home.parent / "alexnet.pth")
    made = import_prior("mine", replace(parts, perceptual=home.parent / "alexnet.pth"))
    prior, source = open_prior("mine"), open_prior(tiny_prior)
    assert (made.dialect, prior.path) == ("nvidia", home / "priors" / "mine")
    assert prior.verify() == []
    codes = torch.randn(1, prior.num_ws, prior.w_dim)
    want = source.generator().synthesis(codes)
    assert torch.allclose(prior.generator().synthesis(codes), want, atol=1e-5)
    images = np.random.default_rng(0).uniform(-1, 1, (2, 3, 32, 32)).astype(np.float32)
    assert np.allclose(prior.encode(images), source.encode(images), atol=1e-3)
    assert np.allclose(prior.embed(images), source.embed(images), atol=1e-3)
    assert prior.perceptual().distance(torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32)).item() > 0
    assert {name: round(d.step, 4) for name, d in prior.directions().items()} == {"smile": 3, "laugh": 3}
    entry = tomllib.loads((prior.path / "prior.toml").read_text())["roles"]["generator"]
    assert (entry["licence"], entry["source"]) == ("research only", "https://example.org/g.pkl")
    assert len(entry["source_sha256"]) == 64


def test_an_import_says_what_crop_its_pictures_show(run: Run, parts: Parts) -> None:
    """It is noted where it is not FFHQ's; the same files with another crop are another prior."""
    bare = replace(parts, encoder=None, identity=None, directions=())
    import_prior("usual", bare)
    assert "crop" not in tomllib.loads((open_prior("usual").path / "prior.toml").read_text())
    done = run("prior", "import", "tight", "--generator", parts.generator, "--crop", "0.58,0.054")
    assert done.exit_code == 0, done.output
    assert open_prior("tight").crop == Crop(0.58, 0.054)
    assert open_prior("usual").crop == FFHQ
    assert open_prior("tight").digest != open_prior("usual").digest
    assert "0.58 FFHQ sides, 0.054 lower" in run("prior", "show", "tight").stdout
    shown = json.loads(run("prior", "show", "tight", "--json").stdout)
    assert shown["crop"] == {"scale": 0.58, "down": 0.054}


@pytest.mark.parametrize("words", ["0.58", "0.58,0.054,1", "tight", "0,0", "nan,0", "1,2", ""])
def test_what_is_no_crop_is_a_wrong_use(run: Run, parts: Parts, home: Path, words: str) -> None:
    """It is named, nothing is imported, and the exit code is that of usage."""
    done = run("prior", "import", "tight", "--generator", parts.generator, "--crop", words)
    assert done.exit_code == 2
    assert "SCALE,DOWN" in done.output
    assert not (home / "priors").exists()


def test_missing_identity_takes_dlib(parts: Parts) -> None:
    """A prior without an identity net still embeds faces, by dlib's descriptors; it says what it lacks."""
    made = import_prior("mine", replace(parts, encoder=None, identity=None, directions=()))
    assert [note.partition(":")[0] for note in made.notes] == [
        "No encoder", "No perceptual net", "No identity net",
    ]  # fmt: skip
    prior = open_prior("mine")
    images = np.random.default_rng(0).uniform(-1, 1, (2, 3, 32, 32)).astype(np.float32)
    rows = prior.embed(images)
    assert rows.shape == (2, 128)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    with pytest.raises(ModelError, match="has no perceptual") as caught:
        prior.perceptual()
    assert "--perceptual FILE" in caught.value.hint


def test_failure_leaves_what_was(parts: Parts, home: Path, tmp_path: Path) -> None:
    """A file that does not fit leaves no new prior, and the one that was to be replaced untouched."""
    torch.save(torch.ones(1, 5), tmp_path / "short.pt")
    wrong = replace(parts, directions=(("short", tmp_path / "short.pt"),))
    with pytest.raises(ModelError, match="5 numbers"):
        import_prior("mine", wrong)
    assert names(home) == set()
    import_prior("mine", parts)
    before = open_prior("mine").digest
    with pytest.raises(ModelError, match="5 numbers"):
        import_prior("mine", wrong, overwrite=True)
    assert (names(home), open_prior("mine").digest) == ({"mine"}, before)


def test_killed_replacement_is_undone(parts: Parts, home: Path) -> None:
    """A prior whose replacement was killed between two renames is found all the same; leftovers go."""
    import_prior("mine", replace(parts, encoder=None, identity=None))
    (home / "priors" / "mine").rename(home / "priors" / ".replaced-mine")
    (home / "priors" / ".import-12345678").mkdir()
    assert imported_priors() == ["mine"]
    assert (open_prior("mine").name, open_prior("mine").verify()) == ("mine", [])
    import_prior("other", replace(parts, encoder=None, identity=None))
    assert names(home) == {"mine", "other"}
    assert open_prior("mine").verify() == []


def test_decoder_of_the_encoder_is_compared(
    parts: Parts, home: Path, tiny_prior: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The generator inside an encoder's file is compared with the prior's, and a difference is told."""
    generator = open_prior(tiny_prior).generator()
    real = companions.read_encoder(tiny_prior / "encoder.onnx")
    fake = replace(real, kind="w-encoder")
    monkeypatch.setattr(companions, "read_encoder", lambda path, mean: fake)
    # companions of this kind hold torch nets; the one at hand is written as it is
    encoder = write_rosinality(home.parent / "e.pt", generator, "encoder")
    made = import_prior("same", replace(parts, encoder=encoder))
    entry = open_prior("same").metadata["roles"]["encoder"]
    assert (entry["decoder_difference"], entry["decoder_tensors"] > 50) == (0, True)
    assert entry["decoder_generator"] == open_prior("same").metadata["roles"]["generator"]["sha256"]
    with torch.no_grad():
        generator.synthesis.b8.conv0.bias.add_(0.1)
    write_rosinality(encoder, generator, "encoder")
    made = import_prior("other", replace(parts, encoder=encoder))
    assert open_prior("other").metadata["roles"]["encoder"]["decoder_difference"] > 1e-3
    assert any("not this generator" in note for note in made.notes)


def test_tuned_network_borrows_its_mapping(run: Run, parts: Parts, home: Path, tiny_prior: Path) -> None:
    """What google/mystyle saved becomes a whole prior with the mapping of the prior that it began from."""
    import_prior("domain", replace(parts, encoder=None, identity=None))
    generator = open_prior(tiny_prior).generator()
    model = write_nvidia_torch(home.parent / "mystyle_model.pt", generator, whole=False)
    done = run("prior", "import", "bare", "--generator", model)
    assert done.exit_code == 0, done.stderr
    assert "No mapping network" in done.stderr
    assert open_prior("bare").generator().z_dim == 0
    done = run("prior", "import", "tuned", "--generator", model, "--mapping", "domain")
    assert done.exit_code == 0, done.stderr
    z = torch.randn(2, generator.z_dim)
    assert torch.allclose(open_prior("tuned").generator().mapping(z), generator.mapping(z), atol=1e-5)


@journey("prior import", "--generator", "--encoder", "--licence", "--direction")
@journey("prior list")
@journey("prior show")
@journey("prior verify")
def test_commands(run: Run, parts: Parts, home: Path) -> None:
    """import, list, show and verify on the command line, as lines and as JSON."""
    files = ("--generator", parts.generator, "--encoder", parts.encoder, "--licence", "mine alone")
    done = run("--json", "prior", "import", "mine", *files, "--direction", f"grin={home.parent / 'smile.pt'}")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["name"], found["dialect"]) == ("mine", "nvidia")
    listed = {p["name"]: p for p in json.loads(run("--json", "prior", "list").stdout)["priors"]}
    assert listed["mine"]["kind"] == "imported"
    assert listed["portraits-128"]["kind"] == "bundled"
    shown = run("prior", "show", "mine").stdout
    assert "mine alone" in shown
    assert "direction     grin" in shown
    assert run("prior", "verify", "mine").exit_code == 0
    with (home / "priors" / "mine" / "encoder.onnx").open("ab") as file:
        file.write(b"\0")
    done = run("prior", "verify", "mine")
    assert done.exit_code == 5
    assert "encoder.onnx" in done.stderr


@journey("prior import", "--identity", "--perceptual", "--mapping", "--crop", "--overwrite")
def test_companions_are_imported_on_the_command_line(
    run: Run, parts: Parts, home: Path, tiny_prior: Path
) -> None:
    """Each does in the prior what it did in its file; one of that name is replaced only with --overwrite."""
    source = open_prior(tiny_prior)
    tuned = write_nvidia_torch(home.parent / "tuned.pt", source.generator(), whole=False)
    trunk = {name: value.clone() for name, value in trunk_tensors(Perceptual(32)).items()}
    torch.save(trunk, home.parent / "alexnet.pth")
    assert run("prior", "import", "mine", "--generator", parts.generator).exit_code == 0
    words = ("--generator", tuned, "--mapping", "mine", "--crop", "0.5,0.1", "--identity", parts.identity)
    done = run("prior", "import", "tuned", *words, "--perceptual", home.parent / "alexnet.pth")
    assert done.exit_code == 0, done.stderr
    prior = open_prior("tuned")
    images = np.random.default_rng(0).uniform(-1, 1, (2, 3, 32, 32)).astype(np.float32)
    assert np.allclose(prior.embed(images), source.embed(images), atol=1e-3)
    assert prior.crop == Crop(0.5, 0.1)
    assert prior.perceptual().distance(torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32)).item() > 0
    z = torch.randn(2, source.generator().z_dim)
    assert torch.allclose(prior.generator().mapping(z), source.generator().mapping(z), atol=1e-5)
    assert run("prior", "import", "tuned", "--generator", parts.generator).exit_code == 2
    assert run("prior", "import", "tuned", "--generator", parts.generator, "--overwrite").exit_code == 0
    assert open_prior("tuned").crop == FFHQ


def test_threshold_without_strangers(parts: Parts, home: Path, tiny_prior: Path) -> None:
    """Where nobody can be drawn, the person's own photos alone set the threshold of the gate."""
    generator = open_prior(tiny_prior).generator()
    model = write_nvidia_torch(home.parent / "mystyle_model.pt", generator, whole=False)
    import_prior("bare", Parts(model, identity=parts.identity))
    faces = np.random.default_rng(0).uniform(-1, 1, (4, 3, 32, 32)).astype(np.float32)
    figures = identity_statistics(open_prior("bare"), faces, faces[:1], 0)
    assert figures["threshold"] <= figures["own_lowest"]
    assert "stranger_mean" not in figures


@pytest.mark.parametrize("name", ["mine", "portraits-128", "../up", ".hidden"])
def test_names_that_are_refused(name: str, run: Run, parts: Parts, home: Path) -> None:
    """A name that is taken, bundled, or no name is a usage error, and nothing is changed."""
    import_prior("mine", replace(parts, encoder=None, identity=None))
    done = run("prior", "import", name, "--generator", parts.generator)
    assert done.exit_code == 2, done.stderr
    assert names(home) == {"mine"}


def test_refused_file_is_an_error(run: Run, home: Path, tmp_path: Path) -> None:
    """A file that is no generator ends with exit code 5, its name and a hint, and no prior."""
    (tmp_path / "page.pkl").write_text("<html>quota exceeded</html>")
    done = run("prior", "import", "mine", "--generator", tmp_path / "page.pkl")
    assert done.exit_code == 5
    assert "page.pkl" in done.stderr
    assert "Traceback" not in done.stderr
    assert imported_priors() == []


@journey("prior remove", "--yes", "--force")
def test_remove(run: Run, parts: Parts, home: Path) -> None:
    """A prior goes only when asked for, and not under a profile that needs it unless that is forced."""
    import_prior("mine", parts)
    import_prior("free", parts)
    store = home.parent / "store"
    make_store(store, open_prior("mine").path)
    assert run("--store", store, "prior", "remove", "free").exit_code == 2
    assert run("--store", store, "prior", "remove", "free", "--yes").exit_code == 0
    done = run("--store", store, "prior", "remove", "mine", "--yes")
    assert done.exit_code == 5
    assert "ada" in done.stderr
    assert run("--store", store, "prior", "remove", "mine", "--yes", "--force").exit_code == 0
    assert names(home) == set()
    assert run("prior", "remove", "portraits-128", "--yes").exit_code == 2
    assert run("prior", "remove", "nobody", "--yes").exit_code == 5


def test_import_is_repeatable(parts: Parts) -> None:
    """The same nets give the same prior, whenever they are imported, so that profiles fit it again."""
    first = import_prior("mine", parts).path
    before = open_prior(first)
    import_prior("mine", replace(parts, licences={}, directions=()), overwrite=True)
    assert open_prior("mine").digest == before.digest
    import_prior("mine", replace(parts, encoder=None), overwrite=True)
    assert open_prior("mine").digest != before.digest
