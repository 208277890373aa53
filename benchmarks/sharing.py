"""One photo's `upscale` on a machine that has other things to do: two cores, and up to four at once.

Compared are seconds from the first start to the last end. What one photo needs is the processor's time of one
run alone with one thread, its "own time": four runs on two cores cannot end before twice that, and should not
take more than 2.4 times it. With one thread no run waits for another of its own, so that nothing should take
more than 1.3 times what the same case takes with `--threads 1`.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from benchmarks.measure import Report, Spread, spread
from mystyle_cli.nets.processors import COUNTS, WAITING, usable_processors
from mystyle_cli.person.profile import Profile
from tools.figures.common import NAMES, profile_of

CORES: Final = 2
CASES: Final = {"alone": (1, 0), "beside a busy loop": (1, 1), "two at once": (2, 0), "four at once": (4, 0)}
"""Runs of the program and busy loops beside them."""

THREADS: Final[Mapping[str, tuple[str, ...]]] = {"as it comes": (), "one thread": ("--threads", "1")}
PROGRAM: Final = "import sys; from mystyle_cli.cli import main; sys.exit(main())"


def run(rounds: int) -> Report:
    """Measure every case with the program's own number of threads and with one, in turn."""
    return report(profile_of(NAMES[0]), rounds)


def report(profile: Profile, rounds: int, quality: str = "full") -> Report:
    """Measure the cases with a person; see `run`."""
    wall: dict[tuple[str, str], list[float]] = {}
    own: list[float] = []
    with tempfile.TemporaryDirectory() as folder, _on_two_cores():
        photo = _small_photo(profile, Path(folder))
        for _ in range(rounds):
            for case, (runs, loops) in CASES.items():
                for name, words in THREADS.items():
                    given = [*words, "--store", str(profile.path.parent), "upscale", profile.name]
                    given += [str(photo), "--aligned", "--force", "--quality", quality, "--overwrite"]
                    seconds, processor = _together(given, runs, loops, Path(folder))
                    wall.setdefault((case, name), []).append(seconds)
                    if (case, name) == ("alone", "one thread"):
                        own.append(processor)
    figures = {f"{case}, {name}, s": spread(values) for (case, name), values in wall.items()}
    figures["own time: alone, one thread, s of the processor"] = spread(own)
    ratios = {f"{case} / own time": _pairs(wall[case, "as it comes"], own) for case in CASES}
    for case in CASES:
        ratios[f"{case} / the same with one thread"] = _pairs(
            wall[case, "as it comes"], wall[case, "one thread"]
        )
    facts = {"cores": min(CORES, usable_processors()), "quality": quality, "start_up": "counted"}
    return Report("`upscale` of one photo on a busy machine", figures, ratios, facts)


def _pairs(slow: Sequence[float], fast: Sequence[float]) -> Spread:
    return spread([a / b for a, b in zip(slow, fast, strict=True)])


@contextmanager
def _on_two_cores() -> Iterator[None]:
    """Let everything that is started now have two cores, where the system can say so."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:CORES])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _small_photo(profile: Profile, folder: Path) -> Path:
    """Write what is to be enlarged: a reference photo of the person, an eighth of its size."""
    from PIL import Image

    path = folder / "small.png"
    with Image.open(profile.file(str(profile.photos()[0].face))) as face:
        face.reduce(8).save(path)
    return path


def _together(words: Sequence[str], runs: int, loops: int, folder: Path) -> tuple[float, float]:
    """Run the program several times at once, beside busy loops; returns seconds, and the processor's."""
    environment = {key: value for key, value in os.environ.items() if key not in {*COUNTS, *WAITING}}
    environment.pop("MYSTYLE_THREADS", None)
    before, started = _spent(), time.perf_counter()
    with ExitStack() as stack:
        for _ in range(loops):
            busy = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(busy.kill)
        commands = [
            [sys.executable, "-c", PROGRAM, *words, "-o", str(folder / f"{number}.png")]
            for number in range(runs)
        ]
        programs = [
            subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            for command in commands
        ]
        said = [program.communicate()[1] for program in programs]
        seconds = time.perf_counter() - started
        for program, text in zip(programs, said, strict=True):
            if program.returncode:
                raise RuntimeError(text.decode("utf-8", "replace"))
        spent = _spent() - before
    return seconds, spent


def _spent() -> float:
    """Return the seconds of the processor that ended children took."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
