"""`mystyle completion`: the script that lets a shell complete commands, options and profile names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from mystyle_cli.commands.app import App, Command, pass_app


@click.command(
    "completion",
    cls=Command,
    examples=(
        'eval "$(mystyle completion bash)"       # in ~/.bashrc',
        'eval "$(mystyle completion zsh)"        # in ~/.zshrc',
        "mystyle completion fish > ~/.config/fish/completions/mystyle.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
@pass_app
def command(app: App, context: click.Context, shell: str) -> None:
    """Print the shell completion script."""
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(context.find_root().command, {}, "mystyle", "_MYSTYLE_COMPLETE").source()
    app.console.result(script)
    app.console.document("completion", {"shell": shell, "script": script})
