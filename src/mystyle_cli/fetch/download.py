"""One public file onto the disk: resumed, from the next place when one fails, kept only when it is right.

While it arrives the file is `NAME.part`, with `NAME.part.json` telling what it is part of. Whatever ends the
download, NAME is either absent or whole and verified, and the same call goes on from what has arrived.
"""

from __future__ import annotations

import errno
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from mystyle_cli.errors import DownloadError, ModelError, MystyleError
from mystyle_cli.fetch.web import (
    Passing,
    Refused,
    WrongFile,
    first_byte,
    net_faults,
    open_connection,
    validator_of,
    wait_asked,
    whole_size,
)
from mystyle_cli.files.documents import Record, Text
from mystyle_cli.files.parsing import json_of
from mystyle_cli.files.reading import read_file
from mystyle_cli.files.writing import move_in_place, open_own, write_result
from mystyle_cli.prior.registry import sha256_of
from mystyle_cli.progress import Progress, Step

if TYPE_CHECKING:
    import requests

    from mystyle_cli.fetch.assets import Asset

CHUNK: Final = 1 << 16  # bytes written at once; as many may be lost when a connection drops
TIMEOUT: Final = (15.0, 60.0)  # seconds until a server must have answered, and between two pieces of a file
ATTEMPTS: Final = 5  # how often a place may fail in passing without a byte arriving, before the next is tried
LONGEST_WAIT: Final = 120.0  # most seconds to wait for a place because it asks for it (Retry-After)

# most bytes to take of a file whose size neither the manifest nor the server tells
MOST: Final = 4_000_000_000

_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})

Notify = Callable[[str], None]


@dataclass(frozen=True)
class Hosts:
    """Which hosts answered so far in this run, and which were given up."""

    answered: set[str] = field(default_factory=set)
    given_up: set[str] = field(default_factory=set)

    def attempts(self, host: str) -> int:
        """Return how often a host may fail: once where it, or the whole network, has been given up before."""
        dead = host in self.given_up or (self.given_up and not self.answered)
        return 1 if dead else ATTEMPTS


@dataclass(frozen=True)
class DownloadSettings:
    """How downloads go about it."""

    trusted: frozenset[str]  # digests that the user vouches for, besides those of the manifest
    progress: Progress
    notify: Notify  # told in a sentence about waits and about what is not as expected
    wait: Callable[[float], None] = time.sleep
    hosts: Hosts = field(default_factory=Hosts)  # what the downloads before this one found out


LARGEST_NOTE: Final = 1 << 16  # bytes of the largest note on an unfinished download
_NOTE: Final = Record({}, {"url": Text(8192), "validator": Text(8192)})


class _Part:
    """The file as far as it has arrived, and a note of where it comes from."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f"{target.name}.part")
        self._note = target.with_name(f"{target.name}.part.json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def note(self) -> dict[str, str]:
        try:
            return _NOTE.read(json_of(read_file(self._note, LARGEST_NOTE)))
        except (OSError, ValueError):
            return {}

    def begin(self, url: str, validator: str) -> None:
        self.clear()
        write_result(self._note, json.dumps({"url": url, "validator": validator}).encode())

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def become(self, target: Path) -> None:
        with open_own(self.path, "rb+") as stream:
            os.fsync(stream.fileno())
        move_in_place(self.path, target)
        self._note.unlink(missing_ok=True)


def forget_part(target: Path) -> None:
    """Remove what a download that was killed at its last instant has left beside its file."""
    _Part(target).clear()


def download(asset: Asset, folder: Path, settings: DownloadSettings) -> Path:
    """Download a file into a folder, or go on with it, verify it and return its path.

    Raises:
        DownloadError: no place gave it; the message says what each answered.
        ModelError: what arrived has another digest; nothing of it is kept.
        MystyleError: the disk is full or not writable; what has arrived is kept.
    """
    target = folder / asset.file
    part = _Part(target)
    answers: list[str] = []
    failure: MystyleError = DownloadError("")
    with _disk_faults(part, asset):
        folder.mkdir(parents=True, exist_ok=True)
        with open_connection() as connection:
            for url in asset.addresses:
                try:
                    _whole_from_place(connection, url, part, asset, settings)
                except (Refused, ModelError) as refusal:
                    answers.append(f"{urlsplit(url).hostname}: {refusal}")
                    if isinstance(refusal, ModelError):
                        failure = refusal
                    continue
                part.become(target)
                return target
    raise type(failure)(
        f"{asset.file} could not be downloaded ({'; '.join(answers)})", failure.hint or how_by_hand(asset)
    )


def verify(asset: Asset, path: Path, settings: DownloadSettings) -> str:
    """Compare a file with what the manifest says of it; returns its sha256.

    Args:
        settings: digests the user vouches for, and whom to tell of a digest that nobody vouches for.

    Raises:
        ModelError: its digest is neither the expected one nor one that the user vouches for.
    """
    digest = sha256_of(path)
    if digest == asset.sha256:
        return digest
    if digest in settings.trusted:
        settings.notify(f"{asset.file}: taken on your word, its sha256 is {digest}")
    elif not asset.sha256:
        settings.notify(f"{asset.file}: nobody has published its digest; its sha256 is {digest}")
    else:
        source = "its authors publish" if asset.digest_of == "authors" else "its users noted"
        raise ModelError(
            f"{asset.file} has the sha256 {digest}, not the {asset.sha256} that {source}",
            f"If you trust what you got, say so: --trust-digest {digest}",
        )
    return digest


def how_by_hand(*assets: Asset) -> str:
    """Return what to do to get files without this program."""
    lines = [f"{asset.file} ({asset.planned / 1e6:.1f} MB): {asset.page}" for asset in assets]
    return "\n  ".join(
        [
            "Without this program: open in a browser, save under that name in a folder of your choice,",
            *lines,
            "and give the command again with --from FOLDER.",
        ]
    )


@contextmanager
def _disk_faults(part: _Part, asset: Asset) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)
        raise MystyleError(
            f"{part.path} cannot be written: {reason}; {part.size / 1e6:.1f} MB of {asset.file} are kept",
            "Free some space, or set MYSTYLE_HOME to a folder on another disk, and give the command again: "
            "it goes on from there.",
        ) from error


def _whole_from_place(
    connection: requests.Session, url: str, part: _Part, asset: Asset, settings: DownloadSettings
) -> None:
    """Get a file from one place and verify it; what a place gave and is wrong goes away.

    Raises:
        Refused: the place does not have it, or failed too often.
        ModelError: its digest is wrong.
    """
    resumed = part.size > 0
    try:
        _from_place(connection, url, part, asset, settings)
        verify(asset, part.path, settings)
    except WrongFile:
        part.clear()
        raise
    except ModelError:
        part.clear()
        if not resumed:
            raise
        settings.notify(f"{asset.file}: the rest did not fit what had arrived before; starting again")
        _whole_from_place(connection, url, part, asset, settings)


def _from_place(
    connection: requests.Session, url: str, part: _Part, asset: Asset, settings: DownloadSettings
) -> None:
    """Get the rest of a file from one place, with patience.

    Raises:
        Refused: the place does not have it, or failed too often.
    """
    host, failures = urlsplit(url).hostname or "", 0
    # urllib3's Retry repeats a request whose answer has not begun, in silence, and waits as long as a server
    # likes. What breaks off here is mostly a body, which goes on from its last byte, and people are told.
    while True:
        before = part.size
        try:
            with net_faults():
                _stream(connection, url, part, asset, settings)
            return
        except Passing as fault:
            failures = 1 if part.size > before else failures + 1  # what arrives is progress
            if failures >= settings.hosts.attempts(host):
                settings.hosts.given_up.add(host)
                raise Refused(f"{fault}{f', {failures} times' if failures > 1 else ''}") from fault
            seconds = float(2 ** (failures - 1)) if fault.seconds is None else fault.seconds
            if seconds > LONGEST_WAIT:
                raise Refused(f"{fault}, and asks to wait {seconds:.0f} s") from fault
            settings.notify(f"{asset.file}: {fault}; trying again in {seconds:.0f} s")
            settings.wait(seconds)


def _stream(
    connection: requests.Session, url: str, part: _Part, asset: Asset, settings: DownloadSettings
) -> None:
    """Ask one place once for what is missing, and write what comes.

    Raises:
        Refused: the place does not have the file.
        Passing: it failed in a way that may pass.
    """
    note = part.note()
    if part.size and note.get("url") != url and not asset.sha256:
        part.clear()  # another place's file may be another one, and nothing would tell
    have = part.size
    asked = {}
    if have:
        asked["Range"] = f"bytes={have}-"
        if note.get("url") == url and note.get("validator"):
            asked["If-Range"] = note["validator"]  # a file that has changed comes whole
    with connection.get(url, headers=asked, stream=True, timeout=TIMEOUT) as answer:
        settings.hosts.answered.add(urlsplit(url).hostname or "")
        if answer.status_code == 416 and whole_size(answer) == have:
            return  # all of it had arrived when the last run was killed
        size = None if settings.trusted else asset.size  # what the user vouches for may be another edition
        total = _check(answer, part, size)
        if answer.status_code != 206:
            part.begin(url, validator_of(answer))
        _write(answer, part, asset, total or size, settings.progress)


def _check(answer: requests.Response, part: _Part, size: int | None) -> int | None:
    """Return the size of the whole file if an answer carries the file, or what is missing of it.

    Raises:
        Refused: it never will.
        Passing: it may later.
    """
    status = answer.status_code
    if status in _PASSING:
        raise Passing(f"it answered {status} {answer.reason}", wait_asked(answer))
    if status == 416 or (status == 206 and first_byte(answer) != part.size):
        part.clear()
        raise Passing("what has arrived does not fit its file")
    if status not in (200, 206):
        raise Refused(f"it answered {status} {answer.reason}")
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        raise Refused("it gave a web page, not the file")
    total = whole_size(answer)
    if None not in (size, total) and total != size:
        raise Refused(f"its file has {total} bytes, not {size}")
    return total


def _write(
    answer: requests.Response, part: _Part, asset: Asset, total: int | None, progress: Progress
) -> None:
    """Append what comes to the part.

    Raises:
        WrongFile: it is a web page, or more than the file can be.
        Passing: less came than there is.
    """
    most = total or 2 * asset.roughly or MOST
    megabytes, shown = math.ceil(most / 1e6), -1
    started, had = time.monotonic(), part.size
    with open_own(part.path, "ab") as stream:
        for chunk in answer.iter_content(CHUNK):
            if not stream.tell() and chunk.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
                raise WrongFile("it gave a web page, not the file")
            stream.write(chunk)
            arrived = stream.tell()
            if arrived > most:
                raise WrongFile(f"it gave more than {most} bytes")
            done = megabytes if arrived == total else int(arrived / 1e6)
            if done > shown:
                rate = (arrived - had) / 1e6 / max(time.monotonic() - started, 1e-3)
                progress(Step(f"{asset.file} (MB)", done, megabytes, {"MB/s": rate}))
                shown = done
    if total is not None and part.size < total:
        raise Passing("the connection ended early")
