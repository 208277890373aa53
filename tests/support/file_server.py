"""A local HTTP server whose every answer a test can script, for tests of downloading."""

from __future__ import annotations

import http.server
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Page:
    """What the server has at one path.

    Args:
        data: the file.
        etag: its entity tag; "" sends none.
        ranges: answer requests for a part.
        faults: answers given once each, before the file: a status with headers, or a number of bytes after
            which the connection is dropped.
        kind: content type.
        before_chunk: called with the position before each piece is sent.
    """

    data: bytes
    etag: str = '"one"'
    ranges: bool = True
    faults: list[tuple[int, dict[str, str]] | int] = field(default_factory=list)
    kind: str = "application/octet-stream"
    before_chunk: Callable[[int], object] = lambda position: None


@dataclass
class FileServer:
    """The server, while it runs.

    Args:
        url: its address, without a slash at the end.
        pages: what it has, by path.
        asked: path and headers of every request so far.
    """

    url: str
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def ranges(self) -> list[str]:
        """Return the Range header of every request, "" where there was none."""
        return [headers.get("Range", "") for _, headers in self.asked]


def _handler(server: FileServer) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server.asked.append((self.path, dict(self.headers)))
            page = server.pages.get(self.path)
            if page is None:
                self.answer(404, {})
            elif page.faults and not isinstance(page.faults[0], int):
                status, headers = page.faults.pop(0)  # type: ignore[misc]
                self.answer(status, headers)
            else:
                self.send(page)

        def answer(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def send(self, page: Page) -> None:
            first = 0
            wanted = self.headers.get("Range")
            if page.ranges and wanted and self.headers.get("If-Range", page.etag) == page.etag:
                first = int(wanted.removeprefix("bytes=").rstrip("-"))
                if first >= len(page.data):
                    self.answer(416, {"Content-Range": f"bytes */{len(page.data)}"})
                    return
                self.send_response(206)
                last = len(page.data) - 1
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(page.data)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(page.data) - first))
            self.send_header("Content-Type", page.kind)
            if page.etag:
                self.send_header("ETag", page.etag)
            self.end_headers()
            end = len(page.data)
            if page.faults:
                end = first + page.faults.pop(0)  # type: ignore[operator]
            for position in range(first, end, 1 << 16):
                page.before_chunk(position)
                self.wfile.write(page.data[position : min(position + (1 << 16), end)])
            if end < len(page.data):
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


class _Quiet(http.server.ThreadingHTTPServer):
    """A server that says nothing when a client goes away in the middle, as killed ones do."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing."""


@contextmanager
def serve(certificate: Path | None = None) -> Iterator[FileServer]:
    """Run a server on a free port of this machine; with a certificate (and its key, in one file) over TLS."""
    found = FileServer("")
    with _Quiet(("127.0.0.1", 0), _handler(found)) as running:
        found.url = f"{'https' if certificate else 'http'}://127.0.0.1:{running.server_port}"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            running.socket = context.wrap_socket(running.socket, server_side=True)
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield found
        finally:
            running.shutdown()
            thread.join()
