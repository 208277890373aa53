"""Bad images over every command that reads one: an exit code, one line for each, and nothing more."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from mystyle_cli.batch.batch import Batch
from mystyle_cli.errors import DecodeError
from mystyle_cli.photos.decode import decode
from tests.support.bad_images import bad_image
from tests.support.journeys import Run
from tests.support.portraits import clear
from tests.support.tiny_store import make_store, picture

SHORT = ("--steps", 1)
ALIGNED = (*SHORT, "--aligned")
PARTS, EACH = 4, 500  # of two thousand
SAMPLE = range(9000, 9060)
COMMANDS: dict[str, tuple[object, ...]] = {  # {} is the image
    "invert": ("invert", "ada", "{}", "-o", "o.png", *ALIGNED),
    "upscale": ("upscale", "ada", "{}", "-o", "o.png", *ALIGNED),
    "inpaint": ("inpaint", "ada", "{}", "--mask", "mask.png", "-o", "o.png", *ALIGNED),
    "inpaint --mask": ("inpaint", "ada", "good.png", "--mask", "{}", "-o", "o.png", *ALIGNED),
    "edit": ("edit", "ada", "{}", "-d", "yaw", "-s", 1, "-o", "o.png", *ALIGNED),
    "invert, face looked for": ("invert", "ada", "{}", "-o", "o.png", *SHORT),
    "--landmarks": ("invert", "ada", "good.png", "--landmarks", "{}", "-o", "o.png", *SHORT),
    "create --reference": (
        *("profile", "create", "eva", "photos", "--reference", "{}", "--prior", "{prior}"),
        *("--no-tune", "--no-instant"),
    ),
    "ingest": ("ingest", "bea", "{}", "--no-tune"),  # whose tuning this makes old
}
FEW = ("invert, face looked for", "create --reference", "ingest")  # which look for faces, and take longer


@pytest.fixture(scope="module")
def made_store(tiny_prior: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store as it is made once."""
    root = tmp_path_factory.mktemp("store")
    for name in ("ada", "bea"):
        make_store(root, tiny_prior, name)
    return root


@pytest.fixture
def run(run: Run) -> Run:
    """Run the program on a copy of the store, in a folder with a good photo and a good mask."""
    Image.fromarray(picture(0, 32)).save("good.png")
    Image.fromarray(np.pad(np.full((12, 12), 255, np.uint8), 10)).save("mask.png")
    return run


def fault_of(done: Result, failing: int | None = None) -> str | None:
    """Return what is wrong with an answer to bad images, or None.

    Args:
        done: what the program said.
        failing: images that failed; None: one if the exit code says so.
    """
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    expected = int(done.exit_code != 0) if failing is None else failing
    refused = "can be learned from" in done.stderr  # a reference that shows another face leaves none
    if done.exit_code not in (0, 1, 2, 3, 4, 5 if refused else 0):
        return f"exit code {done.exit_code}"
    if "Traceback" in done.stderr or "fault in mystyle" in done.stderr:
        return "an unforeseen exception"
    if len(lines) != expected:
        return f"{len(lines)} lines for {expected} failures"
    return None


@pytest.mark.parametrize("command", ["invert", "upscale", "edit"])
def test_a_batch_of_bad_images(run: Run, command: str) -> None:
    """Of sixty bad images each gives a result or one line with its name, at any exit code but a fault's."""
    Path("in").mkdir()
    for seed in SAMPLE:
        name, data = bad_image(seed)
        Path("in", name).write_bytes(data)
    words = [{"{}": "in", "o.png": "out"}.get(str(word), word) for word in COMMANDS[command]]
    done = run("--json", *words)
    told = json.loads(done.stdout)
    given = {str(path) for path in Path("in").iterdir()}
    assert {item["input"] for item in told["results"] + told["failures"]} == given
    assert fault_of(done, len(told["failures"])) is None, done.stderr
    assert len(list(Path("out").iterdir())) == len(told["results"])
    assert len(told["failures"]) > len(SAMPLE) // 3


def test_bad_images_are_told_apart_from_sound_ones() -> None:
    """The seeds give all sorts: files that are refused in many ways, and some that can be read."""
    said: Counter[str] = Counter()
    for seed in SAMPLE:
        name, data = bad_image(seed)
        assert bad_image(seed) == (name, data)
        try:
            decode(data)
            said["read"] += 1
        except DecodeError as error:
            said[error.message.partition("(")[0]] += 1
    assert all(message.isprintable() for message in said)
    assert said["read"] >= 5
    assert len(said) >= 5


@pytest.mark.long
@pytest.mark.parametrize("part", range(PARTS))
def test_two_thousand_bad_images(run: Run, part: int, tiny_prior: Path) -> None:
    """Each image alone to one command: exit code, one line, memory and time as for a good one."""
    Path("photos").mkdir()
    for number in range(2):
        shutil.copy(clear("ada", number), f"photos/{number}.jpg")
    tried, right, faults, codes, slowest = Counter(), Counter(), [], Counter(), (0.0, 0, "")  # type: ignore[var-annotated]
    names = [name for name in COMMANDS if name not in FEW] * 5 + list(FEW)
    run(*("invert", "ada", "good.png", "-o", "first.png", *ALIGNED))
    started = time.process_time()
    sound = run(*({"{}": "photos/0.jpg"}.get(str(word), word) for word in COMMANDS[FEW[0]]))
    good = time.process_time() - started
    assert sound.exit_code == 0, sound.stderr
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in range(EACH * part, EACH * (part + 1)):
        command = names[seed % len(names)]
        name, data = bad_image(seed)
        Path(name).write_bytes(data)
        words = [{"{}": name, "{prior}": tiny_prior}.get(str(word), word) for word in COMMANDS[command]]
        started = time.process_time()
        done = run(*words)
        slowest = max(slowest, (time.process_time() - started, seed, command))
        tried[command] += 1
        codes[done.exit_code] += 1
        fault = fault_of(done)
        right[command] += fault is None
        if fault:
            faults.append((seed, command, fault, done.stderr[-300:]))
        for left in (name, "o.png"):
            Path(left).unlink(missing_ok=True)
        if command == "create --reference" and done.exit_code == 0:
            run("profile", "delete", "eva", "--yes")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    for command in COMMANDS:
        print(f"{command:28} tried {tried[command]:5}  right {right[command]:5}")
    print(f"exit codes {dict(codes)}; slowest {slowest}, seconds of CPU; memory grew by {grown} MB")
    assert faults == []
    assert slowest[0] < 30 * good
    assert grown < 1500


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="it kills")
def test_a_thousand_photos(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of a thousand takes no more memory at its end; killed, it is resumed where it was."""
    Path("in").mkdir()
    for number in range(1000):
        Image.fromarray(picture(number, 16)).save(f"in/{number:04}.png")
    seen: list[tuple[float, int]] = []
    settle = Batch._settle

    def note(*given: Any) -> None:
        settle(*given)
        pages = int(Path("/proc/self/statm").read_text().split()[1]) if sys.platform == "linux" else 0
        seen.append((time.perf_counter(), pages * resource.getpagesize() >> 20))

    monkeypatch.setattr(Batch, "_settle", note)
    done = run("upscale", "ada", "in", "-o", "whole", *ALIGNED)
    assert done.exit_code == 0, done.stderr[-500:]
    rates = [100 / (seen[last][0] - seen[last - 100][0]) for last in (200, 999)]
    print(f"photos a second {rates[0]:.1f}, at the end {rates[1]:.1f}; MB {seen[100][1]}, {seen[999][1]}")
    assert seen[999][1] - seen[100][1] < 60
    program = [sys.executable, "-c", "from mystyle_cli.cli import main; main()"]
    words = [*program, "--store", str(tmp_path / "store")]
    words += [*map(str, ("upscale", "ada", "in", "-o", "killed", *ALIGNED)), "--skip-existing"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        while running.poll() is None and len(list(Path().glob("killed/*.png"))) < 300:
            time.sleep(0.05)
        running.send_signal(signal.SIGKILL)
    kept = {path: path.stat().st_mtime_ns for path in Path("killed").glob("*.png")}
    assert 300 <= len(kept) < 1000
    assert subprocess.run(words, capture_output=True, check=False).returncode == 0
    assert len(list(Path("killed").glob("*.png"))) == 1000
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    for number in (0, 299, 500, 999):
        places = (f"{folder}/{number:04}.png" for folder in ("whole", "killed"))
        pictures = [np.asarray(Image.open(place)).astype(int) for place in places]
        assert np.abs(pictures[0] - pictures[1]).max() <= 1
