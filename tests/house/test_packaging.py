"""What is shipped: the wheel holds the whole package and nothing else, and declares what it imports."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import mystyle_cli

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path(mystyle_cli.__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from the source as it is."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [path] = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_wheel_holds_the_package(wheel: zipfile.ZipFile) -> None:
    """Every file of the package is in the wheel, the bundled prior and the type marker included."""
    ignored = {"__pycache__"}
    wanted = {
        f"mystyle_cli/{path.relative_to(SOURCE).as_posix()}"
        for path in SOURCE.rglob("*")
        if path.is_file() and not ignored & set(path.parts)
    }
    assert "mystyle_cli/py.typed" in wanted
    assert wanted <= set(wheel.namelist())


def test_wheel_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    """Tests, tools and photos stay out, the licence goes with it, and the whole stays small."""
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"mystyle_cli", f"mystyle-{mystyle_cli.__version__}.dist-info"}
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())
    assert sum(item.compress_size for item in wheel.infolist()) < 60e6


def test_command_is_declared(wheel: zipfile.ZipFile) -> None:
    """The wheel installs one program, `mystyle`."""
    [entry] = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    assert "mystyle = mystyle_cli.cli:main" in wheel.read(entry).decode()


def third_party_imports() -> set[str]:
    """Return the top-level names that the package imports from outside the standard library and itself."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"mystyle_cli"}


def test_imports_are_declared() -> None:
    """Each library that the package imports is among its dependencies or extras."""
    extras = PROJECT["optional-dependencies"]
    optional = ("heic", "raw", "c2pa", "page", "video", "ray", "slurm")
    declared = [*PROJECT["dependencies"], *(line for name in optional for line in extras[name])]
    names = {re.split(r"[^\w.-]", line)[0].lower().replace("_", "-") for line in declared}
    owners = packages_distributions()
    for module in third_party_imports():
        module = {"dlib": "dlib-bin", "c2pa": "c2pa-python"}.get(module, module)  # named otherwise, or absent
        distributions = {module, *(owner.lower().replace("_", "-") for owner in owners.get(module, []))}
        assert distributions & names, f"{module} (of {', '.join(distributions)}) is imported and not declared"


def test_no_file_is_too_large() -> None:
    """No file under version control is over 20 MB."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False).stdout
    for name in listed.decode().split("\0"):
        path = ROOT / name
        assert not path.is_file() or path.stat().st_size <= 20e6, (
            f"{name} is {path.stat().st_size / 1e6:.0f} MB"
        )
