"""Downloads: resumed, verified, from the next place when one fails, and never half-written."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from mystyle_cli.errors import DownloadError, ModelError, MystyleError
from mystyle_cli.fetch import assets, web
from mystyle_cli.fetch import download as downloading
from mystyle_cli.fetch.assets import Asset
from mystyle_cli.fetch.download import DownloadSettings, download
from mystyle_cli.fetch.web import open_connection
from mystyle_cli.progress import Step
from tests.support.file_server import FileServer, Page, serve

DATA = os.urandom(3_000_000)
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def server() -> Iterator[FileServer]:
    """A server that has the file at /file."""
    with serve() as running:
        running.pages["/file"] = Page(DATA)
        yield running


class Asked:
    """Settings that note what was said and waited instead of waiting."""

    def __init__(self, *trusted: str) -> None:
        self.said: list[str] = []
        self.waits: list[float] = []
        self.steps: list[Step] = []
        self.settings = DownloadSettings(
            frozenset(trusted), self.steps.append, self.said.append, self.waits.append
        )


@pytest.fixture
def asked() -> Asked:
    """Settings without trusted digests."""
    return Asked()


def asset(server: FileServer, *paths: str, **changes: Any) -> Asset:
    """The file as the manifest has it, at the given paths of the server."""
    urls = tuple(f"{server.url}{path}" for path in paths or ("/file",))
    whole = Asset("net.pkl", "generator", "Apache-2.0", urls, size=len(DATA), sha256=SHA)
    return replace(whole, **changes)


def names(folder: Path) -> list[str]:
    """Return the names of all files in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_whole_file(server: FileServer, asked: Asked, tmp_path: Path) -> None:
    """A file arrives whole in one request, reported up to its end, with nothing beside it."""
    path = download(asset(server), tmp_path / "deep" / "folder", asked.settings)
    assert path.read_bytes() == DATA
    assert names(path.parent) == ["net.pkl"]
    assert len(server.asked) == 1
    assert asked.steps[-1].done == asked.steps[-1].total == 3
    assert asked.said == []


def test_dropped_connection_goes_on(server: FileServer, asked: Asked, tmp_path: Path) -> None:
    """After a dropped connection only the rest is asked for, and only of the same version of the file."""
    server.pages["/file"].faults = [1_000_000, 500_000]
    assert download(asset(server), tmp_path, asked.settings).read_bytes() == DATA
    assert server.ranges() == ["", f"bytes={15 << 16}-", f"bytes={22 << 16}-"]  # at most 64 kB are lost
    assert server.asked[1][1]["If-Range"] == '"one"'
    assert asked.waits == [1, 1]  # each attempt got somewhere, so patience begins anew


def test_killed_process_goes_on(server: FileServer, asked: Asked, tmp_path: Path) -> None:
    """A process killed in the middle leaves a part, which the next one completes."""
    program = (
        "import sys; from pathlib import Path; from mystyle_cli.fetch.assets import Asset\n"
        "from mystyle_cli.fetch.download import DownloadSettings, download\n"
        f"asset = Asset('net.pkl', 'generator', 'x', ({server.url + '/file'!r},), {len(DATA)}, {SHA!r})\n"
        f"download(asset, Path({str(tmp_path)!r}), DownloadSettings(frozenset(), print, print))\n"
    )
    page, killed = server.pages["/file"], threading.Event()
    page.before_chunk = lambda position: position < 2_000_000 or killed.wait()
    running = subprocess.Popen([sys.executable, "-u", "-c", program], stdout=subprocess.PIPE, text=True)
    part = tmp_path / "net.pkl.part"
    assert running.stdout is not None
    with running.stdout as told:
        assert any("done=1," in line for line in told), "it has ended"
        running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    killed.set()
    assert names(tmp_path) == ["net.pkl.part", "net.pkl.part.json"]
    arrived = part.stat().st_size
    page.before_chunk = lambda position: None
    assert download(asset(server), tmp_path, asked.settings).read_bytes() == DATA
    assert server.ranges() == ["", f"bytes={arrived}-"]
    assert names(tmp_path) == ["net.pkl"]


def test_killed_before_verifying(server: FileServer, asked: Asked, tmp_path: Path) -> None:
    """A part that is already whole is verified and taken, whatever the server makes of an empty range."""
    (tmp_path / "net.pkl.part").write_bytes(DATA)
    assert download(asset(server), tmp_path, asked.settings).read_bytes() == DATA
    assert server.ranges() == [f"bytes={len(DATA)}-"]


def test_changed_on_the_server_starts_again(server: FileServer, asked: Asked, tmp_path: Path) -> None:
    """When the server has another version meanwhile, no file is patched together from both."""
    server.pages["/file"].faults = [1_000_000]
    server.pages["/file"].before_chunk = lambda position: setattr(server.pages["/file"], "etag", '"two"')
    assert download(asset(server), tmp_path, asked.settings).read_bytes() == DATA
    assert server.ranges() == ["", f"bytes={15 << 16}-"]


def test_server_without_ranges(server: FileServer, asked: Asked, tmp_path: Path) -> None:
    """A server that knows no ranges sends everything again, and the file is right."""
    server.pages["/file"].ranges = False
    server.pages["/file"].faults = [1_000_000]
    assert download(asset(server), tmp_path, asked.settings).read_bytes() == DATA


def test_foreign_part_is_found_out(server: FileServer, asked: Asked, tmp_path: Path) -> None:
    """A part that belongs to something else is noticed by the digest, and the file fetched anew."""
    (tmp_path / "net.pkl.part").write_bytes(b"something else")
    assert download(asset(server), tmp_path, asked.settings).read_bytes() == DATA
    assert server.ranges() == ["bytes=14-", ""]
    assert "starting again" in asked.said[0]


def test_wrong_digest_keeps_nothing(server: FileServer, asked: Asked, tmp_path: Path) -> None:
    """A file with another digest is refused from every place; nothing stays, and its digest is told."""
    other = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(ModelError, match=SHA) as refusal:
        download(asset(server, "/file", "/file", sha256=other), tmp_path, asked.settings)
    assert f"--trust-digest {SHA}" in refusal.value.hint
    assert len(server.asked) == 2
    assert names(tmp_path) == []


def test_wrong_digest_then_mirror(server: FileServer, asked: Asked, tmp_path: Path) -> None:
    """When one place has a wrong file, the right one comes from the next."""
    server.pages["/bad"] = Page(bytes(len(DATA)))
    assert download(asset(server, "/bad", "/file"), tmp_path, asked.settings).read_bytes() == DATA
    assert names(tmp_path) == ["net.pkl"]


def test_trusted_digest(server: FileServer, tmp_path: Path) -> None:
    """A digest that the user vouches for is taken, size and all, with a warning."""
    data = b"a newer release"
    server.pages["/file"] = Page(data)
    asked = Asked(hashlib.sha256(data).hexdigest())
    assert download(asset(server), tmp_path, asked.settings).read_bytes() == data
    assert "on your word" in asked.said[0]


def test_unknown_digest_is_told(server: FileServer, asked: Asked, tmp_path: Path) -> None:
    """A file whose digest nobody knows is taken, and its digest told."""
    download(asset(server, sha256="", size=None, roughly=len(DATA)), tmp_path, asked.settings)
    assert SHA in asked.said[0]


def test_missing_then_mirror(server: FileServer, asked: Asked, tmp_path: Path) -> None:
    """A place that answers 404 is not asked twice; the next one is."""
    assert download(asset(server, "/gone", "/file"), tmp_path, asked.settings).read_bytes() == DATA
    assert [path for path, _ in server.asked] == ["/gone", "/file"]
    assert asked.waits == []


def test_missing_everywhere(server: FileServer, asked: Asked, tmp_path: Path) -> None:
    """When no place has the file, each answer is told, and how to get it by hand."""
    with pytest.raises(DownloadError, match=r"404.*404") as failure:
        download(asset(server, "/a", "/b"), tmp_path, asked.settings)
    assert f"{server.url}/a" in failure.value.hint
    assert "--from" in failure.value.hint
    assert names(tmp_path) == []


def test_busy_server_is_left_alone(
    server: FileServer, asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After 429 and 503 the file is asked for again when the server says so, in seconds or as a date."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Clock:
            return cls(2030, 1, 1, 12, tzinfo=tz)

    monkeypatch.setattr(web, "datetime", Clock)
    later = format_datetime(Clock.now(UTC) + timedelta(seconds=60), usegmt=True)
    faults: list[Any] = [(429, {"Retry-After": "7"}), (503, {"Retry-After": later}), (503, {})]
    server.pages["/file"].faults = faults
    assert download(asset(server), tmp_path, asked.settings).read_bytes() == DATA
    assert asked.waits == [7, 60, 4]
    assert "429" in asked.said[0]


def test_patience_ends(server: FileServer, asked: Asked, tmp_path: Path) -> None:
    """A server that stays busy, or asks for more time than is fair, is given up for the next place."""
    server.pages["/busy"] = Page(DATA, faults=[(503, {})] * 9)
    server.pages["/slow"] = Page(DATA, faults=[(503, {"Retry-After": "86400"})] * 9)
    assert download(asset(server, "/busy", "/slow", "/file"), tmp_path, asked.settings).is_file()
    assert [path for path, _ in server.asked] == ["/busy"] * 5 + ["/slow", "/file"]
    assert asked.waits == [1, 2, 4, 8]


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_web_page_instead_of_the_file(
    server: FileServer, asked: Asked, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page to confirm, as Google Drive gives, is recognised; what to do is said, nothing stays."""
    monkeypatch.setattr(assets, "DRIVE_FILE", server.url + "/drive?{}")
    server.pages["/drive?ID"] = Page(b"\n<!DOCTYPE html><title>Quota exceeded</title>", kind=kind)
    with pytest.raises(DownloadError, match="web page") as failure:
        download(replace(asset(server, size=None, drive="ID"), urls=()), tmp_path, asked.settings)
    assert "https://drive.google.com/file/d/ID/view" in failure.value.hint
    assert names(tmp_path) == []


def test_other_size_is_refused_before_it_comes(server: FileServer, asked: Asked, tmp_path: Path) -> None:
    """A file of another size is refused by its headers."""
    with pytest.raises(DownloadError, match="3000000 bytes, not 5"):
        download(asset(server, size=5), tmp_path, asked.settings)
    assert names(tmp_path) == []


def test_no_network(asked: Asked, tmp_path: Path) -> None:
    """Without a network every place is tried with patience, the reason told, and nothing written."""
    nowhere = Asset("net.pkl", "generator", "x", ("http://127.0.0.1:9/file",), 5, SHA)
    with pytest.raises(DownloadError, match="refused, 5 times"):
        download(nowhere, tmp_path, asked.settings)
    assert asked.waits == [1, 2, 4, 8]
    assert names(tmp_path) == []


def test_dead_network_is_not_tried_at_length_twice(asked: Asked, tmp_path: Path) -> None:
    """After one host was given up and none ever answered, the others are tried once each."""
    nowhere = Asset("net.pkl", "generator", "x", ("http://127.0.0.1:9/a", "http://localhost:9/b"), 5, SHA)
    with pytest.raises(DownloadError):
        download(nowhere, tmp_path, asked.settings)
    assert asked.waits == [1, 2, 4, 8]


class FullDisk(io.FileIO):
    """A file on a disk that has room for a little over a megabyte."""

    def write(self, data: Any) -> int:
        """Write, as long as there is room."""
        if self.tell() + len(data) > 1_200_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data) or 0


def test_full_disk(server: FileServer, asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up is reported with what is kept; with room again, the download goes on."""
    with monkeypatch.context() as patched:
        patched.setattr(downloading, "open_own", FullDisk)
        with pytest.raises(MystyleError, match=r"disk is full; 1\.2 MB") as failure:
            download(asset(server), tmp_path, asked.settings)
    assert "MYSTYLE_HOME" in failure.value.hint
    assert names(tmp_path) == ["net.pkl.part", "net.pkl.part.json"]
    assert download(asset(server), tmp_path, asked.settings).read_bytes() == DATA
    assert server.ranges()[1] == f"bytes={18 << 16}-"


def test_proxy_is_honoured(
    server: FileServer, asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With HTTP_PROXY set, the proxy is asked for the whole address."""
    server.pages["http://files.invalid/net.pkl"] = Page(DATA)
    for name in ("http_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", server.url)
    there = replace(asset(server), urls=("http://files.invalid/net.pkl",))
    assert download(there, tmp_path, asked.settings).read_bytes() == DATA


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_certificates(asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose certificate is not trusted is refused at once; SSL_CERT_FILE can name its authority."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    made = tmp_path / "made.pem"
    words = (
        "openssl req -x509 -nodes -newkey rsa:2048 -days 2 -subj /CN=test -addext subjectAltName=IP:127.0.0.1"
    )
    command = [*words.split(), "-keyout", str(made), "-out", str(tmp_path / "authority.pem")]
    subprocess.run(command, capture_output=True, check=True)
    made.write_text(made.read_text() + (tmp_path / "authority.pem").read_text())
    with serve(made) as server:
        server.pages["/file"] = Page(DATA)
        with pytest.raises(DownloadError, match="SSL_CERT_FILE"):
            download(asset(server), tmp_path / "got", asked.settings)
        assert asked.waits == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        assert download(asset(server), tmp_path / "got", asked.settings).read_bytes() == DATA


def test_authorities_are_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    """SSL_CERT_FILE names the authorities, unless REQUESTS_CA_BUNDLE, which is more particular, does."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)

    def authorities() -> object:
        with open_connection() as connection:
            return connection.merge_environment_settings("https://x.invalid", {}, None, None, None)["verify"]

    assert authorities() is True
    monkeypatch.setenv("SSL_CERT_FILE", "/a.pem")
    assert authorities() == "/a.pem"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/b.pem")
    assert authorities() == "/b.pem"
