"""`mystyle serve` on the command line: where it listens, what it opens, how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import webbrowser
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mystyle_cli.cli import cli
from mystyle_cli.terminal.console import Console
from tests.support.journeys import journey
from tests.support.pages import Client


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def program(*words: object) -> Result:
    """Run the program."""
    return CliRunner().invoke(cli, [*map(str, words)])


@journey("serve", "--port", "--no-open")
def test_the_page_opens_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In the browser, or for whoever reads the address; its own button ends it, and it ends well."""
    monkeypatch.setenv("MYSTYLE_HOME", str(tmp_path / "home"))
    port, opened, printed, statuses = free_port(), [], [], []
    result = Console.result

    def once(client: Client) -> None:
        entered = client.enter()
        statuses.append(client.ask("GET", f"?token={client.token}").status)
        entered.post("end")

    def end(url: str) -> None:  # is answered as soon as the server runs
        client = Client(url)
        opened.append(client.port)
        threading.Thread(target=once, args=(client,)).start()

    monkeypatch.setattr(webbrowser, "open", end)
    assert program("serve", "--port", port).exit_code == 0
    assert opened == [port]
    assert statuses == [403]  # what a browser is started with, all users can read: it opens the page once

    def noted(console: Console, line: str) -> None:
        printed.append(line)
        result(console, line)
        Client(line).end()

    monkeypatch.setattr(Console, "result", noted)
    done = program("serve", "--no-open")
    assert done.exit_code == 0
    assert done.stdout.split() == printed
    assert len(opened) == 1
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        done = program("serve", "--no-open", "--port", port)
    assert done.exit_code == 2
    assert f"port {port} cannot be had" in done.stderr


PROGRAM = "from mystyle_cli.cli import main; main()"


def test_ctrl_c_ends_it_and_nothing_is_left(tmp_path: Path) -> None:
    """With exit code 0, for that is how it is ended; no net is loaded before there is work."""
    environment = {**os.environ, "MYSTYLE_HOME": str(tmp_path)}
    command = [sys.executable, "-X", "importtime", "-c", PROGRAM, "serve", "--no-open"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        assert process.stdout is not None
        client = Client(process.stdout.readline().strip()).enter()
        assert client.ask("GET", "facts").json["people"] == []
        assert len([path for path in (tmp_path / "page").iterdir() if path.is_dir()]) == 1
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert "ended" in said
    assert "| torch\n" not in said
    assert not [path for path in (tmp_path / "page").iterdir() if path.is_dir()]
