"""The lint rules that keep what is shipped from running what a file says, and the versions that CI takes."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.lock import CONSTRAINTS, TESTED, installed

ROOT = Path(__file__).resolve().parents[2]

DANGEROUS = {
    "S301": "import pickle\n\npickle.loads(data)\n",
    "S302": "import marshal\n\nmarshal.loads(data)\n",
    "S102": "exec(text)\n",
    "S307": "eval(text)\n",
    "S602": "import subprocess\n\nsubprocess.run(text, shell=True)\n",
    "S605": "import os\n\nos.system(text)\n",
    "S202": "import tarfile\n\ntarfile.open(path).extractall()\n",
    "S501": "import requests\n\nrequests.get(place, verify=False, timeout=1)\n",
    "TID251": "import torch\n\ntorch.load(path)\n",
}


@pytest.mark.parametrize("rule", DANGEROUS)
def test_what_would_run_a_file_is_refused_by_the_linter(rule: str) -> None:
    """Each of them, as part of the package, is found with the project's own settings."""
    assert find_spec("ruff")
    command = [sys.executable, "-m", "ruff", "check", "--quiet", "--output-format", "concise"]
    for name, wanted in (("src/mystyle_cli/new.py", True), ("tests/new.py", False)):
        done = subprocess.run(
            [*command, "--stdin-filename", name, "-"],
            input=DANGEROUS[rule],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )
        assert (f" {rule} " in done.stdout) is wanted, done.stdout + done.stderr


def test_no_exception_is_made_in_silence() -> None:
    """A line of the package that is let off a rule of security says which, and a comment above says why."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        lines = path.read_text("utf-8").splitlines()
        for number, line in enumerate(lines):
            if "noqa: S" in line and "noqa: SIM" not in line:
                before = "".join(lines[max(0, number - 2) : number])
                assert "#" in before, f"{path}:{number + 1}"


def test_everything_that_ci_installs_is_pinned() -> None:
    """Every library of an environment for the checks has one version there, within pyproject's bounds."""
    lines = [line for line in CONSTRAINTS.read_text("utf-8").splitlines() if not line.startswith("#")]
    pins = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}
    assert len(pins) == len(lines)
    assert installed(TESTED).keys() <= pins.keys(), "run: python -m tools.lock"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    for text in [*project["dependencies"], *extras["dev"], *extras["heic"], *extras["page"]]:
        wanted = Requirement(text)
        if wanted.marker is None or wanted.marker.evaluate():
            assert wanted.specifier.contains(pins[canonicalize_name(wanted.name)], prereleases=True), text
    assert "PIP_CONSTRAINT=$PWD/.ci/constraints.txt" in (ROOT / ".ci/run").read_text("utf-8")
