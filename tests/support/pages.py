"""The page's server in a thread of the test, and a client that says exactly what it is told to say."""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Queue
from typing import Any

from mystyle_cli.nets.device import CPU
from mystyle_cli.serve.serve import serve
from mystyle_cli.store.store import Store


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Client:
    """What a browser would send, unless a test says otherwise."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        match = re.fullmatch(
            r"http://(?P<host>[^:/]+):(?P<port>\d+)(?P<room>/\w+/)\?token=(?P<token>.+)", self.url
        )
        assert match is not None, self.url
        self.host, self.port, self.room, self.token = (
            match["host"],
            int(match["port"]),
            match["room"],
            match["token"],
        )

    @property
    def origin(self) -> str:
        """What the page's own requests come from."""
        return f"http://{self.host}:{self.port}"

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str | None) -> Answer:
        """Send a request; a header that is None is left out.

        Args:
            path: beneath the page's folder, or absolute.
        """
        own = {"Host": f"{self.host}:{self.port}", "Origin": None if method == "GET" else self.origin}
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        said = {name: value for name, value in {**own, **self.headers, **given}.items() if value is not None}
        connection = http.client.HTTPConnection(self.host, self.port, timeout=600)
        try:
            connection.putrequest(method, path if path.startswith("/") else self.room + path, skip_host=True)
            if body is not None and "Content-Length" not in said:
                said["Content-Length"] = str(len(body))
            for name, value in said.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def enter(self) -> Client:
        """Open the page by its address; returns what has its cookie."""
        answer = self.ask("GET", f"?token={self.token}")
        assert answer.status == 200
        return Client(self.url, {**self.headers, "Cookie": answer.headers["set-cookie"].partition(";")[0]})

    def end(self) -> None:
        """Ask for the end from a thread of its own: the server may be about to run in this one."""
        threading.Thread(target=lambda: self.enter().post("end")).start()

    def post(self, path: str, **fields: object) -> Answer:
        """Send fields as the page does."""
        return self.ask("POST", path, json.dumps(fields).encode())

    def outcome(self, task: int) -> dict[str, Any]:
        """Listen until a piece of work is over; returns what is told of it."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=600)
        try:
            connection.request("GET", self.room + "events", headers=self.headers)
            stream = connection.getresponse()
            while line := stream.readline().decode():
                if line.startswith("data: "):
                    for one in json.loads(line.removeprefix("data: "))["tasks"]:
                        if one["task"] == task and one["state"] in ("done", "failed", "cancelled"):
                            return dict(one)
        finally:
            connection.close()
        raise AssertionError("the server ended")


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds; fails after ten minutes."""
    deadline = time.monotonic() + 600
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def page_of(store: Store) -> Iterator[Client]:
    """Serve a store; gives a client that knows the address and has no cookie yet."""
    said: Queue[str | BaseException] = Queue()

    def run() -> None:
        try:
            serve(store, CPU, 0, said.put, show=False)
        except BaseException as error:  # told to whoever waits for the address
            said.put(error)

    thread = threading.Thread(target=run)
    thread.start()
    url = said.get(timeout=600)
    if isinstance(url, BaseException):
        raise url
    client = Client(url)
    try:
        yield client
    finally:
        client.enter().post("end")
        thread.join(600)
        assert not thread.is_alive()
