"""Who may speak to the page: this machine's browser, at the address that was printed, and nobody else."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK: Final = "127.0.0.1"
NAMES: Final = (LOOPBACK, "localhost")  # by which a browser on this machine may call it
READING: Final = ("GET", "HEAD")

# what the page may load and do: its own files and what it made itself, and nothing from anywhere else
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

HEADERS: Final = {
    "content-security-policy": POLICY,
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}

# goes on to the page by a step of its own, with which a browser sends the cookie that came with this answer
ENTRY: Final = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta http-equiv="refresh" content="0;url=.">
<title>mystyle</title><a href=".">mystyle</a></html>"""

REFUSED: Final = "Open the address that `mystyle serve` printed, in a browser on the same machine."


def _token() -> str:
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class Address:
    """Where the page is, and what opens it.

    Args:
        token: stands in the printed address, and opens the page.
        cookie: what a browser that came by that address then sends.
        room: the folder that the page seems to be in. Browsers send cookies to every port of a machine: what
            else listens on this one does not get ours, which is for this folder.
    """

    port: int
    token: str = field(default_factory=_token, repr=False)
    cookie: str = field(default_factory=_token, repr=False)
    room: str = field(default_factory=lambda: secrets.token_hex(8))
    _once: set[str] = field(default_factory=set, repr=False)  # tokens that open the page one time each

    @property
    def path(self) -> str:
        """The page's folder as paths have it."""
        return f"/{self.room}/"

    @property
    def url(self) -> str:
        """What is opened in a browser."""
        return self._url(self.token)

    def for_browser(self) -> str:
        """Return an address that opens the page one time only.

        A browser is told it as it is started, and what programs are started with every user of the machine
        can read.
        """
        token = _token()
        self._once.add(token)
        return self._url(token)

    def _url(self, token: str) -> str:
        return f"http://{LOOPBACK}:{self.port}{self.path}?token={token}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """What the Host header of a request may say."""
        return tuple(f"{name}:{self.port}" for name in NAMES)

    def opened_by(self, cookie_header: str) -> bool:
        """Tell whether a request's cookies hold ours."""
        pairs = (pair.strip().partition("=") for pair in cookie_header.split(";"))
        return any(name == COOKIE and _same(value, self.cookie) for name, _, value in pairs)

    def opened_with(self, query: str) -> bool:
        """Tell whether a request's query holds a token; one that is for one time only is used up then."""
        given = parse_qs(query).get("token", [])
        used = {token for token in self._once if any(_same(value, token) for value in given)}
        self._once.difference_update(used)
        return bool(used) or any(_same(value, self.token) for value in given)


COOKIE: Final = "mystyle"


def _same(one: str, other: str) -> bool:
    """Compare two secrets in a time that tells nothing."""
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode())


class Guard:
    """Stands before the application; what it refuses reaches nothing behind it."""

    def __init__(self, app: ASGIApp, address: Address) -> None:
        self.app, self.address = app, address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # no page of ours speaks anything else
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        headers, path = Headers(scope=scope), scope["path"]
        query = scope["query_string"].decode("latin-1")
        if refusal := self._refusal(scope, headers):
            await PlainTextResponse(refusal, 403)(scope, receive, guarded)
        elif path == self.address.path and scope["method"] == "GET" and self.address.opened_with(query):
            await self._enter(scope, receive, guarded)
        elif not path.startswith(self.address.path) or not self.address.opened_by(headers.get("cookie", "")):
            await PlainTextResponse(REFUSED, 403)(scope, receive, guarded)
        else:
            await self.app(scope, receive, guarded)

    def _refusal(self, scope: Scope, headers: Headers) -> str:
        """Return why a request comes from elsewhere than the page, "" where it does not.

        A name of somebody's that leads to this machine (DNS rebinding) is told by Host; another page in the
        same browser by Origin, and by what the browser says of the page that asks.
        """
        client = scope.get("client")
        if client is not None and not ipaddress.ip_address(client[0]).is_loopback:
            return "This page is for this machine only."
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0] not in self.address.hosts:
            return REFUSED
        origin, here = headers.get("origin"), f"http://{hosts[0]}"
        reads = scope["method"] in READING
        if origin != here and not (reads and origin is None):
            return "Another page asked for this."
        entering = reads and scope["path"] == self.address.path
        if not entering and headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return "Another page asked for this."
        return ""

    async def _enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Give the browser its cookie, and take the token out of its address."""
        response = PlainTextResponse(ENTRY, media_type="text/html")
        response.set_cookie(
            COOKIE, self.address.cookie, path=self.address.path, httponly=True, samesite="strict"
        )
        await response(scope, receive, send)
