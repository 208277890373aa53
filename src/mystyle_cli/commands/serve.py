"""`mystyle serve`: the page in a browser on this machine."""

from __future__ import annotations

from contextlib import suppress

import click

from mystyle_cli.terminal.app import App, Command, pass_app


@click.command(
    "serve",
    cls=Command,
    examples=(
        "mystyle serve                       # opens your browser; Ctrl-C ends it",
        "mystyle serve --port 8765 --no-open     # prints the address only",
    ),
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Where to listen on this machine.  [default: a free one]",
)
@click.option("--no-open", is_flag=True, help="Do not open a browser.")
@pass_app
def serve(app: App, port: int, no_open: bool) -> None:
    """Learn people and repair photos in your browser.

    The page is on this machine and for this machine only: nothing leaves it, and nobody else can open it
    without the address that is printed. Photos that you give it are gone with it; results are yours to save.
    """
    from mystyle_cli.serve.serve import serve as serve_page

    console = app.console

    def say(url: str) -> None:
        console.info("open this in a browser on this machine; Ctrl-C ends it:")
        console.result(url)
        console.document("serve", {"url": url})

    with suppress(KeyboardInterrupt):  # which is how it ends
        serve_page(app.profiles(), app.wanted_device(), port, say, show=not no_open)
    console.info("ended; what was uploaded is removed")
