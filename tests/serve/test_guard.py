"""Who may speak to the page: each of these would be answered without the check that it is about."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest

from mystyle_cli.store.store import Store
from tests.support.pages import Client, page_of


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """What knows the address of a page of nobody."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MYSTYLE_HOME", str(tmp_path_factory.mktemp("home")))
        with page_of(Store(tmp_path_factory.mktemp("store"))) as client:
            yield client


def test_only_the_address_that_was_printed_opens_the_page(client: Client) -> None:
    """With its token a browser gets a cookie that no script reads and no other site sends; then it is in."""
    assert client.ask("GET", "").status == 403
    assert client.ask("GET", "facts").status == 403
    assert client.ask("GET", "?token=").status == 403
    assert client.ask("GET", f"?token={client.token[:-1]}").status == 403
    answer = client.ask("GET", f"?token={client.token}")
    assert answer.status == 200
    assert client.token not in answer.body.decode()
    cookie = answer.headers["set-cookie"]
    for part in ("HttpOnly", "SameSite=strict", f"Path={client.room}"):
        assert part.lower() in cookie.lower()
    assert client.token not in cookie
    entered = client.enter()
    assert entered.ask("GET", "facts").json["people"] == []
    assert entered.ask("GET", "facts", Cookie="mystyle=" + "x" * 43).status == 403
    assert entered.ask("GET", "/facts").status == 403
    assert entered.ask("GET", "/other/facts").status == 403


def test_the_token_is_not_guessed(client: Client) -> None:
    """It has 256 bits, and so has the cookie."""
    assert len(client.token) >= 43
    assert len(client.enter().headers["Cookie"].partition("=")[2]) >= 43


def test_only_this_machine_is_listened_to(client: Client) -> None:
    """At its other addresses nothing is open."""
    with socket.socket() as elsewhere:
        elsewhere.settimeout(5)
        assert elsewhere.connect_ex(("127.0.0.2", client.port)) != 0


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "", None]
)
def test_a_name_that_leads_here_opens_nothing(client: Client, host: str | None) -> None:
    """DNS rebinding: whoever owns a name may let it lead to this machine; the browser still says the name."""
    named = host.format(port=client.port) if host else host
    entered = client.enter()
    assert entered.ask("GET", "facts", Host=named).status in (400, 403)
    assert entered.ask("GET", f"?token={client.token}", Host=named).status in (400, 403)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1", None]
)
def test_another_page_in_the_browser_does_nothing(client: Client, origin: str | None) -> None:
    """Even with the cookie: what changes anything has to come from the page itself."""
    entered = client.enter()
    assert entered.ask("POST", "people", b"{}", Origin=origin).status == 403
    assert entered.ask("POST", "people", b"{}").status == 400  # what it says is looked at
    if origin is not None:
        assert entered.ask("GET", "facts", Origin=origin).status == 403


def test_another_page_in_the_browser_shows_nothing(client: Client) -> None:
    """A picture or script of ours in a page of theirs: browsers say whose page asks."""
    entered = client.enter()
    for site in ("cross-site", "same-site"):
        assert entered.ask("GET", "page.js", Sec_Fetch_Site=site).status == 403
    for site in ("same-origin", "none"):
        assert entered.ask("GET", "page.js", Sec_Fetch_Site=site).status == 200


def test_a_page_loads_nothing_from_elsewhere(client: Client) -> None:
    """A strict policy on every answer, and no address but its own in the files themselves."""
    entered = client.enter()
    for path in ("", "page.js", "page.css", "icon.svg", "facts", "nothing", "results/1"):
        answer = entered.ask("GET", path)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        found = set(re.findall(rb"https?://[^\s\"'<)]+", answer.body)) - {b"http://www.w3.org/2000/svg"}
        assert not found, path
        assert b"style=" not in answer.body
        assert b'onclick="' not in answer.body
    assert client.ask("GET", "").headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize(
    "path", ["../routes.py", "..%2Froutes.py", "%2e%2e/guard.py", "__init__.py", "page/"]
)
def test_no_other_file_is_served(client: Client, path: str) -> None:
    """The page's files are named one by one."""
    assert client.enter().ask("GET", path).status in (403, 404)
