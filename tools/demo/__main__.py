"""The demonstration: learn a person, repair photos of them, and write demo/index.html.

Everything that a user would type is typed here, as they would; only the domain prior's answers and the scores
come from Python.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mystyle_cli.analysis.judge import Judge, Scores
from mystyle_cli.baselines.untuned import DomainPrior
from mystyle_cli.person.profile import Profile
from mystyle_cli.photos.decode import decode
from mystyle_cli.photos.encode import encode
from mystyle_cli.photos.pixels import Pixels, grid
from mystyle_cli.prior.registry import open_prior
from mystyle_cli.restore.task import TaskName
from mystyle_cli.restore.trials import comparison_settings, pictures, subjects
from mystyle_cli.store.store import Store
from tools.demo.inputs import Inputs, prepare
from tools.demo.overview import overview
from tools.demo.page import Page, Picture
from tools.portraits import PRIOR

PERSON = "ada"
PHOTOS = Path("profiles/photos")
WHOLE = 2
"""Held-out photos that are also enlarged, inverted and edited as a whole."""
TASKS: dict[TaskName, tuple[str, str]] = {
    "upscale": ("small", "upscaled"),
    "inpaint": ("hidden", "inpainted"),
}
HEADINGS = {
    "upscale": ("Enlarged from 16 x 16 pixels", "None of these photos was learned from."),
    "inpaint": (
        "Eyes and nose filled in",
        "The white box is all that the program sees of eyes, nose and mark.",
    ),
}


@dataclass
class Shell:
    """Types commands, says how long they took, and remembers both.

    Args:
        folder: of the demonstration.
    """

    folder: Path
    log: list[tuple[str, float]] = field(default_factory=list)

    def mystyle(self, *words: str | Path | int) -> None:
        """Run one command as a user would.

        Raises:
            SystemExit: it failed.
        """
        shown = ["mystyle", "--store", str(self.folder / "store"), *map(str, words)]
        line = shlex.join(shown)
        print(f"\n$ {line}", flush=True)
        start = time.perf_counter()
        code = "import sys; from mystyle_cli.cli import main; sys.exit(main())"
        done = subprocess.run([sys.executable, "-c", code, *shown[1:]], check=False)
        if done.returncode:
            raise SystemExit(f"the demonstration stops: exit code {done.returncode} from\n  {line}")
        self.log.append((line, time.perf_counter() - start))


def type_commands(shell: Shell, inputs: Inputs) -> None:
    """Learn, upscale, inpaint, invert, edit and sample."""
    demo, made = shell.folder, inputs.folder
    whole = [str(path) for path in inputs.truths.paths[:WHOLE]]
    shell.mystyle("profile", "create", PERSON, PHOTOS / PERSON, "--prior", PRIOR, "--consent", "rendered")
    search = ("--batch", "12")
    shell.mystyle("upscale", PERSON, made / "small", "--aligned", *search, "-o", demo / "upscaled")
    shell.mystyle(
        "inpaint",
        PERSON,
        made / "hidden",
        "--mask",
        made / "hole.png",
        "--aligned",
        *search,
        "-o",
        demo / "inpainted",
    )
    shell.mystyle("upscale", PERSON, made / "whole", *search, "-o", demo / "whole")
    shell.mystyle("invert", PERSON, *whole, *search, "-o", demo / "inverted")
    for direction, photo in (("smile", whole[0]), ("yaw", whole[1])):
        sweep = ("--direction", direction, "--sweep=-3:3:7", "--at-limit", "project")
        shell.mystyle("edit", PERSON, photo, *sweep, *search, "-o", demo / "edited" / f"{direction}.png")
    shell.mystyle("sample", PERSON, "-n", "16", "--seed", "7", "--grid", demo / "samples.png")


def ask_domain_prior(shell: Shell, profile: Profile, inputs: Inputs) -> None:
    """Let the domain prior answer the same questions for comparison."""
    method = DomainPrior()
    for task, (_, outputs) in TASKS.items():
        start = time.perf_counter()
        settings = replace(comparison_settings(task), batch=len(inputs.names()))
        degraded = subjects(inputs.truths.crops, task, inputs.names(), inputs.truths.crop)
        answers = method.restore(profile, method.train(profile, 0), degraded, task, settings)
        folder = shell.folder / "domain" / outputs
        folder.mkdir(parents=True, exist_ok=True)
        for name, pixels in zip(inputs.names(), pictures(answers), strict=True):
            encode(pixels, folder / f"{name}.png")
        seconds = time.perf_counter() - start
        print(f"\n# {task} with the domain prior instead, for comparison: {seconds:.0f} s", flush=True)
        shell.log.append((f"# {task} with the domain prior, for comparison", seconds))


def read(folder: Path, names: Sequence[str]) -> Pixels:
    """Read pictures of one size."""
    return np.stack([decode(folder / f"{name}.png").pixels for name in names])


def score(shell: Shell, profile: Profile, inputs: Inputs) -> dict[TaskName, dict[str, Scores]]:
    """Judge what lies in the demonstration's folders."""
    judge, names, demo = Judge(profile), inputs.names(), shell.folder
    found: dict[TaskName, dict[str, Scores]] = {}
    for task, (_, outputs) in TASKS.items():
        places = {"domain prior": demo / "domain" / outputs, "personal prior": demo / outputs}
        found[task] = {name: judge.score(read(place, names), inputs.truths) for name, place in places.items()}
        found[task]["truth"] = judge.score(inputs.truths.crops, inputs.truths)
    return found


def compare(page: Page, inputs: Inputs, task: TaskName, scores: dict[str, Scores]) -> None:
    """Show the four pictures of each photo with ID and LPIPS under each."""
    page.section(*HEADINGS[task])
    small, outputs = TASKS[task]

    def note(method: str, row: int) -> str:
        return f"ID {scores[method].id[row]:.2f}, LPIPS {scores[method].lpips[row]:.3f}"

    rows = []
    for row, name in enumerate(inputs.names()):
        truth = f"ID {scores['truth'].id[row]:.2f}"
        rows.append(
            [
                Picture(f"inputs/{small}/{name}.png", "input", kind="coarse"),
                Picture(f"domain/{outputs}/{name}.png", "domain prior", note("domain prior", row)),
                Picture(f"{outputs}/{name}.png", "personal prior", note("personal prior", row), "ours"),
                Picture(f"inputs/truth/{name}.png", "truth", truth),
            ]
        )
    page.rows(rows)


def result_rows(scores: dict[TaskName, dict[str, Scores]]) -> list[list[str]]:
    """Return the result table's rows: means over the held-out photos."""
    rows = []
    for task, found in scores.items():
        for method, judged in found.items():
            means = judged.means()
            trait = f"{means['trait']:.0%}"
            rows.append([f"{task}, {method}", *(f"{means[k]:.3f}" for k in ("id", "dlib", "lpips")), trait])
    return rows


def write_page(
    shell: Shell, profile: Profile, inputs: Inputs, scores: dict[TaskName, dict[str, Scores]]
) -> Path:
    """Write index.html beside the pictures."""
    demo, relative = shell.folder, Path("store") / profile.name
    page = Page("mystyle: one person, learned from their photos")
    page.text(
        f"{profile.name.title()} is a rendered person with a birthmark and a light streak in her hair. From "
        f"{len(profile.anchors())} photos the program has learned her looks. The domain prior knows "
        "faces, but not hers: it loses the birthmark. The personal prior brings it back."
    )
    for task, found in scores.items():
        compare(page, inputs, task, found)
    page.section("In figures", f"Means over {len(inputs.names())} held-out photos.")
    page.table(["", "ID (ours)", "distance (dlib)", "LPIPS to truth", "birthmark back"], result_rows(scores))
    page.text(
        "ID: cosine to the nearest learned photo, higher is nearer. dlib's net, which we never trained, "
        "judges apart."
    )
    _show_whole(page, inputs)
    page.section("Edited", "Each row moves along one direction, inside the person's own space.")
    page.pictures([Picture(f"edited/{name}.png", name) for name in ("smile", "yaw")], "wide")
    page.section("New pictures", "Mixtures of three learned photos each, drawn at random.")
    page.pictures([Picture("samples.png", "16 samples")], "plain")
    faces = [profile.path / str(record.face) for record in profile.photos()]
    encode(grid(np.stack([decode(path).pixels for path in faces]), columns=12), demo / "faces.png")
    page.section(
        "Learned from", "The photos that passed curation, aligned; below, every photo with its verdict."
    )
    page.pictures([Picture("faces.png", f"{len(faces)} faces")], "wide")
    page.pictures(
        [Picture(f"{relative}/contact-sheet.png", "every photo and why it was kept or refused")], "wide"
    )
    page.section("What was typed", "Seconds on this machine, start of the program included.")
    page.commands([f"{seconds:5.0f} s  {line}" for line, seconds in shell.log])
    target = demo / "index.html"
    target.write_text(page.html(), "utf-8")
    return target


def _show_whole(page: Page, inputs: Inputs) -> None:
    page.section(
        "Whole photos",
        "A photo goes in whole and comes out whole; the background is the photo's own, enlarged.",
    )
    for path in inputs.truths.paths[:WHOLE]:
        page.pictures(
            [
                Picture(f"inputs/whole/{path.stem}.png", "input", kind="coarse"),
                Picture(f"whole/{path.stem}.png", "upscaled", kind="ours"),
                Picture(f"inverted/{path.stem}.png", "the full photo, inverted", kind="ours"),
            ],
            "pair",
        )


def main() -> None:
    """Run the demonstration from nothing."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo", description=__doc__)
    parser.add_argument(
        "--folder", type=Path, default=Path("demo"), help="where everything goes; emptied first"
    )
    demo: Path = parser.parse_args().folder
    start = time.perf_counter()
    shutil.rmtree(demo, ignore_errors=True)
    shell = Shell(demo)
    inputs = prepare(PHOTOS / f"{PERSON}-held-out", demo / "inputs", open_prior(PRIOR), WHOLE)
    (demo / "edited").mkdir()
    type_commands(shell, inputs)
    profile = Store(demo / "store").open(PERSON)
    ask_domain_prior(shell, profile, inputs)
    scores = score(shell, profile, inputs)
    target = write_page(shell, profile, inputs, scores)
    overview(demo, inputs.names()[:4]).save(demo / "overview.png")
    seconds = time.perf_counter() - start
    timed = {
        "seconds": round(seconds, 1),
        "commands": [{"line": line, "seconds": s} for line, s in shell.log],
    }
    (demo / "timing.json").write_text(json.dumps(timed, indent=1) + "\n", "utf-8")
    for row in result_rows(scores):
        print("  ".join(f"{cell:>9}" if place else f"{cell:<26}" for place, cell in enumerate(row)))
    print(f"\n{seconds:.0f} s in all. Open {target}")


if __name__ == "__main__":
    main()
