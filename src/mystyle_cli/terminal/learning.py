"""What `profile create`, `ingest` and `tune` share: how to tune, what it will take, what was learned."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from mystyle_cli.config import TUNE_BATCH, TUNE_PASSES, TUNE_RATE
from mystyle_cli.errors import UsageError
from mystyle_cli.terminal.app import App, Unused
from mystyle_cli.terminal.console import columns
from mystyle_cli.terminal.options import SEEDS, Number, bundle

if TYPE_CHECKING:
    from mystyle_cli.curate.records import PhotoRecord
    from mystyle_cli.learn.estimate import Estimate
    from mystyle_cli.learn.learn import Learned
    from mystyle_cli.learn.settings import LearnSettings
    from mystyle_cli.nets.device import Device, Precision


@dataclass(frozen=True)
class TuningOptions:
    """How the generator is tuned."""

    passes: int
    tune_batch: int
    learning_rate: float
    precision: Precision
    seed: int  # of everything that is drawn; fixed by default, so that the same command can go on
    no_export: bool
    no_instant: bool
    whole: bool

    def settings(self, device: Device, *, tune: bool = True) -> LearnSettings:
        """Return the core's settings of learning."""
        from mystyle_cli.instant.net import InstantSettings
        from mystyle_cli.learn.settings import LearnSettings
        from mystyle_cli.tuning.settings import TuneSettings

        tuning = TuneSettings(
            passes=self.passes,
            batch=self.tune_batch,
            learning_rate=self.learning_rate,
            precision=self.precision,
            seed=self.seed,
        )
        return LearnSettings(
            tune=tune,
            export=not self.no_export,
            instant=None if self.no_instant else InstantSettings(),
            whole=self.whole,
            tuning=tuning,
            seed=self.seed,
            device=device,
        )


# options of a tuning that does not take place. What leaves nets out counts even so: for the photos that a
# profile was tuned on its nets are made, or not.
UNTUNED: Final = Unused(
    ("passes", "tune_batch", "learning_rate", "precision", "whole", "dry_run"),
    lambda values: values["no_tune"],
    "with --no-tune nothing is tuned",
    "Leave one of the two out, or give it to `mystyle tune` later.",
)

TUNING: Final = tuple(field.name for field in fields(TuningOptions))

tuning_options: Final = bundle(
    "tuning",
    TuningOptions,
    (
        click.option(
            "--passes",
            type=click.IntRange(1),
            default=TUNE_PASSES,
            show_default=True,
            help="How often every photo is seen; 15 is more where there are fewer than 24 photos. "
            "More takes longer and shows the person more exactly.",
        ),
        click.option(
            "--batch",
            "tune_batch",
            type=click.IntRange(1),
            default=TUNE_BATCH,
            show_default=True,
            help="Photos a step.",
        ),
        click.option(
            "--learning-rate",
            type=Number(0, min_open=True),
            default=TUNE_RATE,
            show_default=True,
            help="Highest rate of the tuning.",
        ),
        click.option(
            "--precision",
            type=click.Choice(["auto", "float32", "bfloat16"]),
            default="auto",
            show_default=True,
            help="Arithmetic; auto takes bfloat16 where the device has units for it.",
        ),
        click.option(
            "--seed",
            type=SEEDS,
            default=0,
            show_default=True,
            help="Makes the run repeatable, and the same command able to go on where it stopped.",
        ),
        click.option(
            "--no-export",
            is_flag=True,
            help="Leave out the ONNX net: a smaller profile, slower samples; `mystyle export` adds it.",
        ),
        click.option(
            "--no-instant",
            is_flag=True,
            help="Leave out the net for `--quality instant` and `fast`, from whose answers searches start.",
        ),
        click.option(
            "--whole",
            is_flag=True,
            help="Keep every tuned weight in half precision: ten times the bytes, the same to the eye.",
        ),
    ),
)


CONSENT: Final = "Who agreed to this, to what, and when? It is kept in the profile"
"""What is asked where a profile is made."""


def last_day(text: str) -> str:
    """Return the day on which a consent ends as it is noted, "" for none; raises UsageError."""
    if not text:
        return ""
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no day such as 2028-12-31") from error
    if day < datetime.now(UTC).date():
        raise UsageError(f"{text} is over already")
    return day.isoformat()


def unnoted(name: str) -> str:
    """Return what is said where no consent is noted."""
    return f"nothing is noted of the person's consent; mystyle profile consent {name} TEXT notes it"


class Day(click.ParamType):  # type: ignore[type-arg]  # older clicks know no generic ones
    """A day such as 2028-12-31, not one that is over."""

    name = "YYYY-MM-DD"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> str:
        """Parse what was typed."""
        try:
            return last_day(str(value))
        except UsageError as error:
            self.fail(error.message, param, context)


consent_option: Final = click.option(
    "--consent", metavar="TEXT", help="Note who agreed to this, to what, and when; kept in the profile."
)
until_option: Final = click.option(
    "--until",
    type=Day(),
    default="",
    metavar="YYYY-MM-DD",
    help="The last day on which the consent holds; then the profile refuses work.  [default: no end]",
)


def ask_consent(app: App, name: str, consent: str | None, until: str) -> str | None:
    """Return what is noted about consent when a profile is made: what was said, or answered to a question.

    It is asked on a terminal, once: not where something is noted already.

    Raises:
        UsageError: an end without a consent.
    """
    if consent is not None:
        return consent
    if until:
        raise UsageError("--until says when a consent ends, and there is none", "Give --consent TEXT, too.")
    store = app.profiles()
    entry = store.entry(name) if name in store.names() else None
    if entry is not None and entry.manifest is not None and entry.manifest.consent:
        return None
    if sys.stdin.isatty() and sys.stderr.isatty():
        question = f"{CONSENT} (Enter: nothing to note)"
        consent = click.prompt(question, default="", show_default=False, err=True).strip()
    if not consent:
        app.console.warn(unnoted(name))
    return consent


def show_learned(app: App, command: str, learned: Learned) -> None:
    """Show what came of the photos, and how well the person is known now; the result is the folder."""
    from mystyle_cli.person.layout import CONTACT_SHEET
    from mystyle_cli.person.years import Years

    console, profile = app.console, learned.profile
    records, results = profile.records, profile.manifest.results
    for record in records:
        if not record.kept:
            console.detail(f"refused {record.file}: {record.detail}")
    console.info(photo_summary(records))
    if (years := Years.of(records)).dated:
        console.info(f"taken {years.told}")
    for warning in learned.warnings:
        console.warn(warning)
    for line in result_lines(results):
        console.info(line)
    sheet = profile.path / CONTACT_SHEET
    console.info(f"every photo with its verdict: {sheet}")
    if not profile.tuned:
        console.info(f"not tuned yet; next: mystyle tune {profile.name}")
    console.result(str(profile.path))
    console.document(
        command,
        {
            "dry_run": False,
            "name": profile.name,
            "folder": str(profile.path),
            "contact_sheet": str(sheet),
            "tuned": profile.tuned,
            "stages_worked": list(learned.worked),
            "seconds": dict(learned.seconds),
            "counts": dict(profile.manifest.counts),
            "photos": [record.to_json() for record in records],
            "years": asdict(years),
            "results": {line: dict(figures) for line, figures in results.items()},
            "identity": dict(profile.manifest.identity),
            "identities": [{"person": one, **table} for one, table in profile.manifest.members.items()],
            "warnings": list(learned.warnings),
        },
    )


def photo_summary(records: Sequence[PhotoRecord]) -> str:
    """Return how many photos were kept, and how many were refused for each reason."""
    splits = Counter(record.split for record in records if record.kept)
    kept = sum(splits.values())
    text = (
        f"{len(records)} photos: {kept} kept ({splits['train']} to learn from, {splits['held-out']} held out)"
    )
    refused = Counter(str(record.reason) for record in records if not record.kept)
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(refused.items()))
    return f"{text}, {len(records) - kept} refused ({reasons})" if refused else text


def result_lines(results: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Lay the result table out: a line for before and after tuning, a column for each figure; then beta."""
    lines = {name: line for name, line in results.items() if name in ("before", "after")}
    figures = list(next(iter(lines.values()), {}))
    rows = [
        [name, *(f"{line[figure]:.4g}" if figure in line else "-" for figure in figures)]
        for name, line in lines.items()
    ]
    table = columns(["", *[figure.replace("_", " ") for figure in figures]], rows) if rows else []
    return [*table, *_beta_lines(results)]


def _beta_lines(results: Mapping[str, Mapping[str, float]]) -> list[str]:
    said = []
    for name, line in results.items():
        if name.startswith("beta_") and "typical" in line:
            other = f" ({line['atypical']:g} for a photo unlike the others)" if "atypical" in line else ""
            said.append(f"{name.removeprefix('beta_')} {line['typical']:g}{other}")
    return [f"--beta auto: {', '.join(said)}"] if said else []


GIB: Final = 1 << 30

dry_run_option: Final = click.option(
    "--dry-run", is_flag=True, help="Show the memory and time that tuning will take here, and stop."
)


def show_estimate(app: App, command: str, estimate: Estimate) -> None:
    """Show what tuning will take, with advice where it does not fit."""
    for line in estimate_lines(estimate):
        app.console.show(line)
    for sentence in estimate.advice:
        app.console.warn(sentence)
    app.console.document(
        command,
        {
            "dry_run": True,
            **asdict(estimate),
            "left": estimate.left,
            "seconds": estimate.seconds,
            "fits": estimate.fits,
            "advice": list(estimate.advice),
        },
    )


def estimate_lines(estimate: Estimate) -> list[str]:
    """Lay an estimate out, one matter a line."""
    plan, size = estimate.plan, estimate.resolution
    ways = ["blocks recomputed"] if plan.recompute else []
    ways += [] if plan.cache else ["features not kept"]
    free = "" if estimate.free is None else f" of {estimate.free / GIB:.1f} GB that there are"
    fits = "it fits" if estimate.fits else "it does not fit"
    taken = f"; {estimate.taken} taken before, {estimate.left} left" if estimate.taken else ""
    lines = [
        f"pictures  {estimate.pictures} of {size} px",
        f"steps     {estimate.steps}: {estimate.passes} passes, {estimate.batch} pictures a step{taken}",
    ]
    if not estimate.left:
        return [*lines, "already tuned so: nothing to tune"]
    lines += [
        f"at once   {', '.join([str(plan.at_once), *ways])}, {estimate.precision} on {estimate.device}",
        f"memory    {estimate.memory / GIB:.1f} GB{free}: {fits}",
    ]
    if estimate.seconds is None or estimate.seconds_per_step is None:
        return [*lines, "time      not measured"]
    each = estimate.seconds_per_step
    return [*lines, f"time      {each:.3g} s a step, {duration(estimate.seconds)} in all"]


def duration(seconds: float) -> str:
    """Say a time in the unit that suits it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
