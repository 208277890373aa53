"""What an HTTP server's answers and faults mean for a download."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from mystyle_cli import __version__

if TYPE_CHECKING:
    import requests


class Refused(Exception):
    """A place does not have the file; asking it again would not help."""


class WrongFile(Refused):
    """What a place gives is not the file, so nothing of it is kept."""


class Passing(Exception):
    """A place failed in a way that may pass.

    Args:
        seconds: how long it asks to be left alone, None when it does not say.
    """

    def __init__(self, reason: str, seconds: float | None = None) -> None:
        super().__init__(reason)
        self.seconds = seconds


def open_connection() -> requests.Session:
    """Return a session that honours the environment.

    HTTP_PROXY, HTTPS_PROXY, NO_PROXY; REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE and SSL_CERT_FILE.
    """
    import requests

    session = requests.Session()
    authorities = os.environ.get("SSL_CERT_FILE")
    if authorities and not (os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")):
        session.verify = authorities
    session.headers["User-Agent"] = f"mystyle/{__version__}"
    session.headers["Accept-Encoding"] = "identity"  # sizes and ranges are of the file itself
    return session


@contextmanager
def net_faults() -> Iterator[None]:
    """Sort the faults of the network into those that pass and those that do not."""
    from requests import exceptions

    try:
        yield
    except (exceptions.ConnectionError, exceptions.Timeout, exceptions.ChunkedEncodingError) as error:
        cause = _innermost(error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise Refused(f"{cause.verify_message} (SSL_CERT_FILE may name your authorities)") from error
        raise Passing(_sentence(cause)) from error
    except exceptions.RequestException as error:
        raise Refused(_sentence(error)) from error


def _innermost(error: BaseException) -> BaseException:
    """Return the cause that a library wrapped in errors of its own, perhaps several times."""
    inner = [getattr(error, "reason", None), *error.args]
    causes = [cause for cause in inner if isinstance(cause, BaseException) and cause is not error]
    return _innermost(causes[0]) if causes else error


def _sentence(error: BaseException) -> str:
    """Return what an error says, without the object that it begins with."""
    text = str(error).rpartition("): ")[2].rpartition(">: ")[2]  # <urllib3...Connection object at 0x...>: why
    return text or type(error).__name__


def whole_size(answer: requests.Response) -> int | None:
    """Return the size of the whole file, from Content-Range or Content-Length."""
    if answer.status_code in (206, 416):
        digits = answer.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        digits = answer.headers.get("Content-Length", "")
    return int(digits) if digits.isdigit() else None


def first_byte(answer: requests.Response) -> int | None:
    """Return the position of the first byte of a partial answer."""
    digits = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(digits) if digits.isdigit() else None


def validator_of(answer: requests.Response) -> str:
    """Return what If-Range may name: a strong entity tag, or the time of the last change."""
    tag = answer.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified", "")


def wait_asked(answer: requests.Response) -> float | None:
    """Return the seconds that a server asks to be left alone for, given as seconds or as a date."""
    text = answer.headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
