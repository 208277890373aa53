"""The server: one address on this machine, open as long as the command runs."""

from __future__ import annotations

import asyncio
import socket
import webbrowser
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

from mystyle_cli.errors import MystyleError, UsageError
from mystyle_cli.installing import install_command

if TYPE_CHECKING:
    from mystyle_cli.nets.device import Device
    from mystyle_cli.store.store import Store

PATIENCE: Final = 60.0  # seconds that work which is to end may take until its next step

HOW: Final[dict[str, Any]] = {  # uvicorn serves: it writes no log, and believes no proxy
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "proxy_headers": False,
    "ws": "none",
    "lifespan": "off",
    "timeout_graceful_shutdown": 2,
}


def serve(store: Store, device: Device, port: int, say: Callable[[str], None], *, show: bool = True) -> None:
    """Serve the page until it, or Ctrl-C, ends it; nothing that was uploaded is left then.

    Args:
        port: 0 takes one that is free.
        say: told the address.
        show: open the page in the user's browser.

    Raises:
        MystyleError: the port is taken, or what serves is not installed.
    """
    try:
        import uvicorn

        from mystyle_cli.serve.guard import LOOPBACK, Address
        from mystyle_cli.serve.routes import Page
        from mystyle_cli.serve.uploads import open_uploads
    except ImportError as error:
        raise MystyleError(
            "the page needs the optional starlette and uvicorn",
            f"Install them with: {install_command('starlette uvicorn')}",
        ) from error

    with closing(_listening(LOOPBACK, port)) as listener, open_uploads() as uploads:
        address = Address(listener.getsockname()[1])

        def end() -> None:
            page.ended = server.should_exit = True

        page = Page(store, device, uploads, address, end)
        server = uvicorn.Server(uvicorn.Config(page.application(), **HOW))

        async def run() -> None:
            minding = asyncio.create_task(page.mind())
            await server.serve([listener])
            page.ended = True
            await minding

        say(address.url)
        if show:
            webbrowser.open(address.for_browser())
        try:
            asyncio.run(run())
        finally:
            page.ended = True
            page.close(PATIENCE)


def _listening(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()  # so that whoever is told the address finds it open
    except OSError as error:
        listener.close()
        raise UsageError(
            f"port {port} cannot be had: {error.strerror}", "Choose another with --port, or 0 for any."
        ) from error
    return listener
