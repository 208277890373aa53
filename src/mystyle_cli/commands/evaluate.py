"""`mystyle evaluate` and `profile advise`: is this profile good, and what would make it better."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from mystyle_cli.batch.ledger import SOME_FAILED
from mystyle_cli.errors import MystyleError, UsageError
from mystyle_cli.terminal.app import App, Command, Unused, pass_app
from mystyle_cli.terminal.options import (
    SEEDS,
    Number,
    bundle,
    on_option,
    overwrite_option,
    profile_argument,
)

if TYPE_CHECKING:
    from mystyle_cli.engines.named import Where
    from mystyle_cli.evaluation.advice import Advice
    from mystyle_cli.evaluation.evaluation import Evaluation
    from mystyle_cli.experiments.bench import Protocol
    from mystyle_cli.person.profile import Profile

SUFFIX: Final = ".evaluation"


@dataclass(frozen=True)
class AmountOptions:
    """How much is measured."""

    paper: bool  # by the paper's protocol, and all of its experiments
    quick: bool
    share: float  # of its numbers
    against: tuple[str, ...]  # the methods that ours is compared with; none: those of the protocol
    seed: int  # of everything that is drawn

    @property
    def protocol(self) -> Protocol:
        """The numbers of photos, pairs and pictures."""
        from mystyle_cli.experiments.bench import PAPER, PERSON, QUICK, fraction

        whole = QUICK if self.quick else fraction(PAPER, self.share) if self.paper else PERSON
        return replace(whole, seed=self.seed)


amount_options: Final = bundle(
    "amount",
    AmountOptions,
    (
        click.option(
            "--paper", is_flag=True, help="All of the paper's experiments, with the methods it compares."
        ),
        click.option("--quick", is_flag=True, help="A first impression in a few minutes."),
        click.option(
            "--share",
            type=Number(0, 1),
            default=1.0,
            show_default=True,
            help="Share of the paper's numbers of photos, pairs and pictures: the whole takes hours.",
        ),
        click.option(
            "--against",
            multiple=True,
            metavar="METHOD",
            help="Compare with this method, as reports call it, and no others; may be given again.",
        ),
        click.option("--seed", type=SEEDS, default=0, show_default=True, help="Of everything that is drawn."),
    ),
)


@click.command(
    "evaluate",
    cls=Command,
    examples=(
        "mystyle evaluate adele     # is it a good profile? opens with adele.evaluation/report.html",
        "mystyle evaluate adele --quick",
        "mystyle evaluate --compare adele adele-more-photos",
        "mystyle evaluate adele ben --paper -o paper",
        "mystyle evaluate adele ben --on local:2     # both at a time",
        "mystyle evaluate adele --only enhancement --only beta --paper --share 0.2",
        'mystyle evaluate adele --only enhancement --against "Domain prior + FT"',
        "mystyle evaluate adele --only synthesis --judge w600k_r50.onnx",
    ),
    unused=(
        Unused(
            ("share",),
            lambda values: not values["paper"],
            "it takes a share of the paper's protocol",
            "Leave it out, or add --paper.",
        ),
        Unused(
            ("only", "output", "paper", "seed", "judge", "on", "against"),
            lambda values: values["compare"],
            "--compare prints one table",
            "Leave it out, or evaluate each profile.",
        ),
    ),
)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@amount_options
@click.option(
    "--compare", is_flag=True, help="Two profiles of one person on the same photos: which is better?"
)
@click.option("--only", multiple=True, metavar="EXPERIMENT", help="Only this experiment; may be given again.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="Where results go.")
@click.option(
    "--judge",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A face-recognition net of others that judges, too: ArcFace IR-SE-50, or ONNX.",
)
@on_option
@pass_app
def command(
    app: App,
    names: tuple[str, ...],
    amount: AmountOptions,
    compare: bool,
    only: tuple[str, ...],
    output: Path | None,
    judge: Path | None,
    on: Where | None,
) -> int:
    """Measure how good profiles are, on their held-out photos.

    Results go into a folder, by default NAME.evaluation: a page to open in a browser, tables, plots.
    Interrupted, the same command goes on from where it stopped. The folder shows photos of the person. With
    --on several people are measured at a time.
    """
    from mystyle_cli.analysis.outside import OutsideJudge
    from mystyle_cli.evaluation.evaluation import evaluate, refuse_repeated
    from mystyle_cli.evaluation.registry import EXPERIMENTS, choose, compared
    from mystyle_cli.store.found import found as known
    from mystyle_cli.work.elsewhere import OpenMeasuring, measure_on

    if compare and len(names) != 2:
        raise UsageError(f"--compare takes two profiles, not {len(names)}", "Name both.")
    refuse_repeated(names)
    experiments, protocol = choose(only, paper=amount.paper), amount.protocol
    device = app.choose_device()
    store = app.profiles()
    people = [store.open(name).on(device).one(None) for name in names]
    if compare:
        _compare(app, people[0], people[1], protocol)
        return 0
    if amount.against:
        protocol = replace(protocol, methods=compared(amount.against, experiments, people[0]))
    if judge is not None and not any(experiment.judged for experiment in experiments):
        asking = " or ".join(f"--only {one.name}" for one in EXPERIMENTS if one.judged)
        raise UsageError("none of these experiments asks a judge", f"Leave it out, or add {asking}.")
    outside = None if judge is None else OutsideJudge(judge)
    folder = output or Path("-".join(names) + SUFFIX)
    with app.console.progress() as progress:
        lost: dict[str, MystyleError] = {}
        if on is not None:
            chosen = tuple(experiment.name for experiment in experiments)
            opener = OpenMeasuring(
                tuple(map(known, people)), app.device, chosen, protocol, folder.absolute(), judge
            )
            lost = measure_on(app, on, opener, progress)
        found = evaluate(people, experiments, protocol, folder, progress, outside, lost)
    _show(app, found)
    return SOME_FAILED if found.failures else 0


def _compare(app: App, first: Profile, second: Profile, protocol: Protocol) -> None:
    from mystyle_cli.evaluation.comparison import compare
    from mystyle_cli.report.report import to_data, to_text

    with app.console.progress() as progress:
        report = compare(first, second, protocol, progress)
    app.console.show(to_text(report))
    app.console.document("evaluate", {"reports": [to_data(report)]})


def _show(app: App, found: Evaluation) -> None:
    from mystyle_cli.report.report import to_data, to_text

    for report in found.reports:
        app.console.detail(to_text(report))
        for finding in report.findings:
            app.console.show(finding)
    for one in found.skipped:
        app.console.warn(f"{one.experiment} is left out for {one.person}: {one.reason}")
    app.console.result(str(found.page))
    app.console.document(
        "evaluate",
        {
            "page": str(found.page),
            "reports": [to_data(report) for report in found.reports],
            "skipped": [asdict(one) for one in found.skipped],
        },
        ok=not found.failures,
    )


@click.command(
    "advise",
    cls=Command,
    examples=("mystyle profile advise adele", "mystyle profile advise adele --page advice.html"),
)
@profile_argument
@click.option(
    "--page", type=click.Path(path_type=Path), metavar="FILE", help="Write it with the photos, too."
)
@overwrite_option
@pass_app
def advise_profile(app: App, name: str, page: Path | None, overwrite: bool) -> None:
    """Say which photos of a profile add most, and what is missing.

    Each photo is taken out in turn, and what the others show in its place is compared with it.
    """
    from mystyle_cli.evaluation.advice import advise
    from mystyle_cli.terminal.outputs import Ground, Originals

    device = app.choose_device()
    profile = app.profiles().open(name).on(device).one(None)
    ground = Ground(Originals.of([profile.path]), overwrite, "Use --overwrite, or another --page.")
    if page is not None:
        ground.check(page)
    with app.console.progress() as progress:
        found = advise(profile, progress=progress)
    for sentence in found.sentences:
        app.console.show(sentence)
    if page is not None:
        ground.refuse(page)
        _write_advice(page, name, found)
        app.console.result(str(page))
    app.console.document(
        "profile advise",
        {
            "name": name,
            "page": None if page is None else str(page),
            "sentences": list(found.sentences),
            "curve": [{"photos": size, "missed": missed} for size, missed in found.curve.items()],
            "photos": [
                {"file": file, "missed": float(missed), "id": float(score), "doubtful": row in found.doubtful}
                for row, (file, missed, score) in enumerate(
                    zip(found.files, found.misses, found.ids, strict=True)
                )
            ],
        },
    )


def _write_advice(page: Path, name: str, found: Advice) -> None:
    """Write the advice as a page, for its owner only: it shows photos of the person."""
    from mystyle_cli.files.writing import write_result
    from mystyle_cli.photos.pixels import grid
    from mystyle_cli.report.page import Chapter, to_page
    from mystyle_cli.report.report import Curve, Plot, Report

    groups = {"add most": found.adding, "add least": found.repeating, "doubtful": found.doubtful}
    pictures = {
        f"{what}: {', '.join(found.files[row] for row in rows)}": grid(found.faces[list(rows)], len(rows))
        for what, rows in groups.items()
        if rows
    }
    sizes = [float(size) for size in found.curve]
    plot = Plot(
        "what the set cannot show", "photos", "LPIPS", [Curve(name, sizes, list(found.curve.values()))]
    )
    report = Report("advice", "each photo against the others", [], plots=[plot])
    chapter = Chapter(report, "Which photos help?", pictures)
    text = to_page(f"The photos of {name}", found.sentences, [chapter])
    write_result(page, text.encode(), private=True)
