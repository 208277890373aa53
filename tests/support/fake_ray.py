"""As much of Ray as the engine asks for, in this process: calls are done when they are waited for."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any


class RayError(Exception):
    """As in `ray.exceptions`."""


class RayActorError(RayError):
    """As in `ray.exceptions`."""


class ObjectLostError(RayError):
    """As in `ray.exceptions`."""


def node(name: str = "a", **resources: float) -> dict[str, Any]:
    """Return what `ray.nodes` says of one."""
    return {"NodeID": name, "NodeManagerAddress": "127.0.0.1", "Alive": True, "Resources": resources}


@dataclass
class FakeRay:
    """Stands where the module `ray` does.

    Args:
        there: the nodes.
        deaths: by the name of an actor's method, what is raised by its next calls.
    """

    there: list[dict[str, Any]]
    deaths: dict[str, list[Exception]] = field(default_factory=dict)
    connected: bool = False
    begun: dict[str, Any] = field(default_factory=dict)  # what `init` was given
    options: list[dict[str, Any]] = field(default_factory=list)  # of each actor
    killed: int = 0
    puts: int = 0
    hidden: Sequence[Path] = ()  # files and folders that actors do not see
    exceptions = SimpleNamespace(
        RayError=RayError, RayActorError=RayActorError, ObjectLostError=ObjectLostError
    )

    def init(self, **words: Any) -> None:
        """Connect."""
        self.begun, self.connected = words, True

    def shutdown(self) -> None:
        """Part."""
        self.connected = False

    def is_initialized(self) -> bool:
        """Tell whether it is connected."""
        return self.connected

    def nodes(self) -> list[dict[str, Any]]:
        """Return the nodes."""
        return self.there

    @property
    def util(self) -> SimpleNamespace:
        """Where this machine is."""
        return SimpleNamespace(get_node_ip_address=lambda: "127.0.0.1")

    def get_runtime_context(self) -> SimpleNamespace:
        """Say which node an actor is on: the first."""
        return SimpleNamespace(get_node_id=lambda: self.there[0]["NodeID"])

    def remote(self, kind: type) -> SimpleNamespace:
        """Return what makes actors."""

        def make(*words: Any) -> SimpleNamespace:
            actor = kind(*_sent(words))
            names = [name for name in dir(kind) if not name.startswith("_")]
            return SimpleNamespace(**{name: self._method(getattr(actor, name), name) for name in names})

        def options(**given: Any) -> SimpleNamespace:
            self.options.append(given)
            return SimpleNamespace(remote=make)

        return SimpleNamespace(options=options)

    def _method(self, method: Callable[..., Any], name: str) -> SimpleNamespace:
        return SimpleNamespace(remote=lambda *words: _Call(self, method, name, _sent(words)))

    def put(self, value: Any) -> _Put:
        """Keep something for whoever gets it."""
        self.puts += 1
        return _Put(pickle.dumps(value))

    def wait(
        self, calls: Sequence[Any], num_returns: int = 1, timeout: float = 0
    ) -> tuple[list[Any], list[Any]]:
        """Return calls that are done, which is all of them."""
        return list(calls[:num_returns]), list(calls[num_returns:])

    def get(self, call: Any) -> Any:
        """Do a call, or return what was put."""
        if isinstance(call, _Put):
            return pickle.loads(call.data)
        if waiting := self.deaths.get(call.name):
            raise waiting.pop(0)
        # what is put is there where it is given to a call
        words = [self.get(word) if isinstance(word, _Put) else word for word in call.words]
        with _away(self.hidden):
            return _sent(call.method(*words))

    def kill(self, handle: Any) -> None:
        """Count."""
        self.killed += 1


@contextmanager
def _away(paths: Sequence[Path]) -> Iterator[None]:
    """Have files elsewhere for a while; raises OSError where something has come to their places."""
    there = [path for path in paths if path.exists()]
    try:
        for path in there:
            path.rename(path.with_name(f"{path.name}.hidden"))
        yield
        for path in paths:
            if path.exists():
                raise FileExistsError(f"{path} was made where it should not be seen")
    finally:
        for path in there:
            path.with_name(f"{path.name}.hidden").rename(path)


def _sent(value: Any) -> Any:
    """Return something as it arrives in another process."""
    return pickle.loads(pickle.dumps(value))


@dataclass(frozen=True)
class _Put:
    """Something that was put, as it travels."""

    data: bytes


@dataclass(eq=False)
class _Call:
    """A call that was made."""

    ray: FakeRay
    method: Callable[..., Any]
    name: str
    words: tuple[Any, ...]
