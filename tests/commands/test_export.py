"""What runs on exported nets alone: no torch, the same pictures, and a word about what rendered them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from mystyle_cli.cli import cli
from mystyle_cli.learn.learn import export
from tests.support.tiny_store import make_store, picture

RUN = """
import sys
import textwrap
from mystyle_cli.cli import cli
try:
    cli.main(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
never = {"torch", "lpips", "dlib", "onnx", *FORBIDDEN} & set(sys.modules)
assert not never, never
"""


@pytest.fixture(scope="module")
def made(tiny_prior: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with an exported profile, and a photo with its saved code beside it."""
    folder = tmp_path_factory.mktemp("export")
    export(make_store(folder / "store", tiny_prior), "ada")
    Image.fromarray(picture(1, 32)).save(folder / "in.png")
    words = ["invert", "ada", folder / "in.png", "--aligned", "--steps", 3, "-o", folder / "inverted.png"]
    done = invoke(folder, *words, "--save-codes", folder / "codes")
    assert done.exit_code == 0, done.stderr
    return folder


def invoke(folder: Path, *words: object) -> Result:
    """Run the program in this process."""
    return CliRunner().invoke(cli, ["--store", str(folder / "store"), *map(str, words)])


def run_alone(folder: Path, *words: object, forbidden: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    """Run the program in a fresh interpreter that fails if a library was imported."""
    code = RUN.replace("FORBIDDEN", repr(set(forbidden)) if forbidden else "()")
    command = [sys.executable, "-c", code, "--store", str(folder / "store"), "--no-progress"]
    return subprocess.run([*command, *map(str, words)], capture_output=True, text=True, check=False)


def test_sample_imports_nothing_that_it_does_not_need(made: Path, tmp_path: Path) -> None:
    """No torch, no scipy, no progress bars' library: numpy, Pillow and onnxruntime draw pictures."""
    done = run_alone(
        made, "sample", "ada", "-n", 2, "--seed", 7, "-o", tmp_path, forbidden=("scipy", "rich", "clarabel")
    )
    assert done.returncode == 0, done.stderr
    assert "backend onnx, CPUExecutionProvider" in done.stderr
    assert len(list(tmp_path.iterdir())) == 2


def test_edit_of_a_saved_code_imports_no_torch(made: Path, tmp_path: Path) -> None:
    """Not even where the edit is projected back; the same edit with torch gives the same photo."""
    words = ["edit", "ada", made / "in.png", "--codes", made / "codes", "-d", "smile", "-s", 9]
    done = run_alone(made, *words, "-o", tmp_path / "onnx.png")
    assert done.returncode == 0, done.stderr
    assert "projected back" in done.stderr
    done = invoke(made, *words, "--backend", "torch", "-o", tmp_path / "torch.png")
    assert done.exit_code == 0, done.stderr
    onnx, torch = (np.asarray(Image.open(tmp_path / f"{name}.png"), int) for name in ("onnx", "torch"))
    assert np.abs(onnx - torch).max() <= 1


def test_the_backend_is_chosen_and_reported(made: Path, tmp_path: Path) -> None:
    """Both draw the same picture of a seed; the JSON says which did."""
    pictures = {}
    for backend in ("onnx", "torch"):
        target = tmp_path / f"{backend}.png"
        done = invoke(made, "--json", "sample", "ada", "--seed", 7, "--backend", backend, "-o", target)
        assert done.exit_code == 0, done.stderr
        assert json.loads(done.stdout)["backend"] == backend
        pictures[backend] = np.asarray(Image.open(target), int)
    assert np.abs(pictures["onnx"] - pictures["torch"]).max() <= 1


def test_a_missing_export_is_said_and_not_invented(made: Path, tmp_path: Path, tiny_prior: Path) -> None:
    """auto goes on with torch and warns; onnx, asked for, exits with 5 and says what to do."""
    make_store(tmp_path / "store", tiny_prior)
    done = invoke(tmp_path, "sample", "ada", "--seed", 1, "-o", tmp_path / "a.png")
    assert done.exit_code == 0
    assert "warning:" in done.stderr
    assert "mystyle export ada" in done.stderr
    done = invoke(tmp_path, "sample", "ada", "--seed", 1, "-o", tmp_path / "b.png", "--backend", "onnx")
    assert done.exit_code == 5
    assert "mystyle export ada" in done.stderr


def test_export_prints_its_folder_and_differences(made: Path, tmp_path: Path) -> None:
    """Into the profile or into an empty folder; a folder with something in it is left alone."""
    target = tmp_path / "nets"
    done = invoke(made, "--json", "export", "ada", "-o", target)
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["folder"] == str(target)
    assert found["largest_difference"]["synthesis.onnx"] <= 1e-3
    assert invoke(made, "export", "ada", "-o", target).exit_code == 2


def test_an_export_to_a_folder_goes_on(made: Path, tmp_path: Path) -> None:
    """What an interrupted one left is known by its anchors; a folder with anything else is the user's."""
    assert invoke(made, "export", "ada", "-o", tmp_path / "whole").exit_code == 0
    whole = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    left, users = tmp_path / "left", [tmp_path / name for name in ("mine", "others", "notes")]
    for folder in (left, *users):
        folder.mkdir()
        (folder / "synthesis.onnx").write_bytes(b"half")
    for folder in (left, users[2]):
        (folder / "anchors.safetensors").write_bytes(whole["anchors.safetensors"])
    (left / ".encoder.onnx.mystyle-0123abcd.tmp").write_bytes(b"half")
    (users[1] / "anchors.safetensors").write_bytes(b"another person's")
    (users[2] / "notes.txt").write_bytes(b"mine")
    assert invoke(made, "export", "ada", "-o", left).exit_code == 0
    assert {path.name: path.read_bytes() for path in left.iterdir()} == whole
    for folder in users:
        done = invoke(made, "export", "ada", "-o", folder)
        assert (done.exit_code, "is not empty" in done.stderr) == (2, True)
        assert (folder / "synthesis.onnx").read_bytes() == b"half"


def test_photos_that_differ_in_their_ending_have_codes_of_their_own(made: Path, tmp_path: Path) -> None:
    """`--save-codes` keeps one for each, and `edit --codes` finds it again."""
    for ending in ("png", "bmp"):
        Image.fromarray(picture(4 if ending == "png" else 5, 32)).save(tmp_path / f"a.{ending}")
    photos, codes = [tmp_path / "a.png", tmp_path / "a.bmp"], tmp_path / "codes"
    words = ["--aligned", "--steps", 2, "--force", "-o", tmp_path / "out"]
    done = invoke(made, "invert", "ada", *photos, *words, "--save-codes", codes)
    assert done.exit_code == 0, done.stderr
    assert {path.name for path in codes.iterdir()} == {"a.png.safetensors", "a.bmp.safetensors"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.png.png", "a.bmp.png"}
    edit = ["edit", "ada", *photos, "-d", "smile", "-s", 1, "--codes", codes, "-o", tmp_path / "edited"]
    done = invoke(made, *edit)
    assert done.exit_code == 0, done.stderr


def test_codes_are_never_replaced_silently(made: Path, tmp_path: Path) -> None:
    """A code that is there stays unless --overwrite says otherwise; the photo then counts as failed."""
    codes = Path(shutil.copytree(made / "codes", tmp_path / "codes"))
    before = (codes / "in.safetensors").read_bytes()
    words = ["invert", "ada", made / "in.png", "--aligned", "--steps", 2, "--save-codes", codes]
    assert invoke(made, *words, "-o", tmp_path / "a.png").exit_code == 2
    assert (codes / "in.safetensors").read_bytes() == before
    assert invoke(made, *words, "-o", tmp_path / "b.png", "--overwrite").exit_code == 0
    assert (codes / "in.safetensors").read_bytes() != before


def test_edit_without_a_code_needs_torch(made: Path, tmp_path: Path) -> None:
    """A search on the export is a usage error that says what does without one."""
    words = ["edit", "ada", made / "in.png", "-d", "smile", "-s", 1, "-o", tmp_path / "x.png"]
    done = invoke(made, *words, "--backend", "onnx")
    assert done.exit_code == 2
    assert "Give a saved code" in done.stderr


def test_the_documented_example_runs(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What docs/export.md shows to other programs' authors draws a picture with onnxruntime alone."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "export.md").read_text("utf-8")
    start = page.index("    import numpy")
    code = textwrap.dedent(page[start : page.index("\n## Saved codes")])
    assert invoke(made, "export", "ada", "-o", tmp_path / "adele-nets").exit_code == 0
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(code, names)
    images = names["images"]
    assert isinstance(images, np.ndarray)
    assert images.shape == (1, 3, 32, 32)
    assert np.abs(images).max() > 0.01
