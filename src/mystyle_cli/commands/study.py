"""`mystyle study`: people are asked what they see, and their answers are counted (figs 8 to 10)."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import click

from mystyle_cli.batch.ledger import SOME_FAILED
from mystyle_cli.errors import MystyleError, UsageError
from mystyle_cli.terminal.app import App, Command, Group, pass_app
from mystyle_cli.terminal.options import SEEDS, profile_argument
from mystyle_cli.terminal.outputs import Ground, Originals


@click.group(
    "study",
    cls=Group,
    examples=(
        "mystyle study make adele -o study",
        "mystyle study score answers-1.json answers-2.json --key study/key.json",
    ),
)
def command() -> None:
    """Ask people whether results look real, and like the person."""


@command.command(
    "make",
    cls=Command,
    examples=(
        "mystyle study make adele -o study",
        "mystyle study make adele -o study --against other-tool",
    ),
)
@profile_argument
@click.option(
    "-o",
    "--output",
    "folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Where study.html, which you give to people, and key.json, which you keep, are written.",
)
@click.option(
    "--against",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Another tool's results for the same faces, called as these or as the photos are.",
)
@click.option(
    "--photos",
    type=click.IntRange(1, 200),
    default=20,
    show_default=True,
    help="Held-out photos to ask about, at most.",
)
@click.option("--seed", type=SEEDS, default=0, show_default=True, help="Chooses photos and their order.")
@pass_app
def make(app: App, name: str, folder: Path, against: Path | None, photos: int, seed: int) -> None:
    """Write a page of questions about the person's held-out photos.

    The photos are made small and enlarged again, with the person's own prior and with the domain prior. The
    page asks of some pictures whether they are real, and of pairs which looks more like the person. It is one
    file, works without a connection, sends nothing, and does not hold what is true.
    """
    profile = app.profiles().open(name).on(app.choose_device()).one(None)
    page, key = folder / "study.html", folder / "key.json"
    given = [profile.path, *([against] if against is not None else [])]
    ground = Ground(Originals.of(given), False, "Choose another folder.")
    ground.check_all([page, key])
    from mystyle_cli.analysis.study import make_study
    from mystyle_cli.analysis.study_page import page_of
    from mystyle_cli.person.files import write_whole

    with app.console.progress() as progress:
        study = make_study(profile, photos, seed, against, progress)
    for path in (key, page):
        ground.refuse(path)
    write_whole(key, study.key(), private=True)
    write_whole(page, page_of(study), private=True)
    for reason in study.left_out:
        app.console.warn(f"a photo is left out: {reason}")
    count = len(study.questions)
    app.console.info(f"{count} questions; give people {page}, and keep {key} to yourself")
    app.console.result(str(page))
    body = {"name": name, "study": study.name, "page": str(page), "key": str(key)}
    app.console.document("study make", {**body, "questions": count, "left_out": list(study.left_out)})


@command.command(
    "score",
    cls=Command,
    examples=("mystyle study score answers-1.json answers-2.json --key study/key.json",),
)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="ANSWERS...")
@click.option(
    "--key",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The key.json that was written with the page.",
)
@pass_app
def score_answers(app: App, files: tuple[Path, ...], key: Path) -> int:
    """Count what people answered; one file is one person.

    Shares come with intervals of 95 %. They count every answer alone; people differ, so that with few of them
    the truth is less certain than that.
    """
    from mystyle_cli.analysis.study import read_answers, read_key, score

    truth, people, failed = read_key(key), [], []
    for path in {os.path.realpath(path): path for path in reversed(files)}.values():  # each once
        try:
            people.append(read_answers(path, truth))
        except MystyleError as error:
            app.console.error(error.message, error.hint)
            failed.append({"file": str(path), "error": error.message, "hint": error.hint})
    found = score(truth, people)
    rows = [
        [one.what, f"{one.count} of {one.answers}", f"{one.share:.0%}", f"{one.low:.0%} to {one.high:.0%}"]
        for one in found
    ]
    if rows:
        app.console.table(["", "ANSWERS", "SHARE", "95 %"], rows)
    shares = [{**asdict(one), "share": one.share} for one in found]
    body = {"study": truth.study, "people": len(people), "shares": shares, "failures": failed}
    app.console.document("study score", body, ok=not failed)
    if not failed:
        return 0
    return SOME_FAILED if people else UsageError.exit_code
