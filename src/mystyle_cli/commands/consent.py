"""What the person shown agreed to: asked and noted when a profile is made, renewed by `profile consent`."""

from __future__ import annotations

import sys
from typing import Any, Final

import click

from mystyle_cli.errors import UsageError
from mystyle_cli.terminal.app import App, Command, pass_app
from mystyle_cli.terminal.learning import CONSENT, last_day, unnoted
from mystyle_cli.terminal.options import profile_argument


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


@click.command(
    "consent",
    cls=Command,
    examples=(
        'mystyle profile consent adele "Adele, by letter, 2026-11-02: restoring family photos"',
        'mystyle profile consent adele "Adele, again, 2028-12-20" --until 2030-12-31',
    ),
)
@profile_argument
@click.argument("text", metavar="TEXT")
@until_option
@pass_app
def note_consent(app: App, name: str, text: str, until: str) -> None:
    """Note what the person agreed to, in place of what was noted before.

    A profile whose consent has ended refuses work until it is renewed so. Where it was taken back: profile
    delete.
    """
    if not text.strip():
        raise UsageError("nothing is noted by an empty text", "Write who agreed, to what, and when.")
    noted = app.profiles().note_consent(name, text.strip(), until)
    app.console.info(f"'{name}': {consent_line(noted.consent, noted.consent_until)}")
    body = {"name": name, "consent": noted.consent, "consent_until": noted.consent_until or None}
    app.console.document("profile consent", body)


def consent_line(consent: str, until: str) -> str:
    """Return what is noted about consent, for people."""
    if not consent:
        return "nothing noted"
    return f"{consent} (until {until})" if until else consent
