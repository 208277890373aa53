"""`ray[:ADDRESS]`: actors of Ray Core, on a cluster that is there or on one of this machine's own.

A chunk goes to an actor that has opened and waits for one, so that it is never in doubt what a dead one had.
Nothing is sent anywhere but to the cluster: its own listens on this machine only and asks for a secret.
"""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from mystyle_cli import __version__
from mystyle_cli.engines.answering import Answering, told
from mystyle_cli.engines.engine import Chunk, Demand, Note, Opener, Outcome, Pool, Seat
from mystyle_cli.engines.local import fitting
from mystyle_cli.engines.sharing import Sign, shared_logs, sign_in
from mystyle_cli.engines.shipping import Hold, Load, Shipped, Shipping
from mystyle_cli.errors import MystyleError, one_line
from mystyle_cli.installing import install_command
from mystyle_cli.nets.processors import settle

HERE: Final = "127.0.0.1"
EVERY_S: Final = 1.0  # how often whoever waits for workers is asked whether it still wants to
UNOPENED: Final = 3  # workers that may end while they open when none is left that has opened
SOCKETS: Final = 50  # characters that a folder may have whose sockets have names of Ray's below it

# read when Ray is loaded: it reports its use to nobody, and leaves the cards' names alone
QUIET: Final = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
# it tries to reach a cluster for 40 s each time, twenty times if it is not told otherwise
ONCE: Final = {"RAY_NUM_REDIS_GET_RETRIES": "1"}
REACHED_S: Final = 5.0  # within which somebody takes a connection, where a cluster is

# a cluster of this machine's own: its addresses are of the loop, as Ray has it elsewhere than on Linux
# and its workers give way to other programs no more than those of `local` do
ALONE: Final = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_worker_niceness": "0",
}


def engine(address: str) -> Ray:
    """Return the engine of a cluster that is there, or, without an address, of one that is started.

    Raises:
        MystyleError: Ray is not installed, or nobody is at the address.
    """
    os.environ.update(QUIET)
    if address:
        os.environ.update(ONCE)
    if not address:
        os.environ.update(ALONE)
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        import ray
        from ray._private import worker
    except ImportError as error:
        raise MystyleError(
            "--on ray needs the optional ray", f"Install it with: {install_command('ray')}"
        ) from error
    if address:
        _reach(address)
    # what its nodes say of workers that end would stand among the results, on standard output
    worker._worker_logs_enabled = False
    return Ray(address, ray)


def _reach(address: str) -> None:
    """Refuse (MystyleError) an address of a host and a port at which nobody takes a connection."""
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal()) or "/" in host:
        return  # such as auto, which Ray itself looks up
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACHED_S).close()
    except (OSError, OverflowError) as error:
        raise MystyleError(
            f"no Ray cluster takes work at {address}: {one_line(error)[:200]}",
            "Look at it there with: ray status",
        ) from error


@dataclass
class Ray:
    """Actors of Ray, each with a worker in it."""

    address: str
    ray: ModuleType

    @property
    def name(self) -> str:
        """What `--on` calls it."""
        return f"ray:{self.address}" if self.address else "ray"

    def seats(self, demand: Demand) -> int:
        """Return how many workers its nodes have room for."""
        if not self.address:
            return fitting(demand)
        with self._connected():
            return _Actors(self.ray, None, demand, Site(Path.cwd())).seats

    def threads(self, seats: int) -> int:
        """Return one, for a worker takes a core."""
        return 1

    @contextmanager
    def start(self, opener: Opener, demand: Demand, folder: Path | None, here: Seat) -> Iterator[Pool]:
        """Start workers, each when the first chunk for it is there."""
        if not self.address:
            # its memory was looked at, and one worker there is in any case
            count, demand = fitting(demand), replace(demand, memory=None)
            with self._connected(count), self._worked(opener, demand, None) as pool:
                yield pool
            return
        places = opener.places() if isinstance(opener, Shipped) else ()
        with (
            self._connected(),
            sign_in(shared_logs(folder, self.name), places) as sign,
            self._worked(opener, demand, sign) as pool,
        ):
            yield pool

    @contextmanager
    def _worked(self, opener: Opener, demand: Demand, sign: Sign | None) -> Iterator[Pool]:
        actors = _Actors(self.ray, opener, demand, Site(Path.cwd(), sign))
        actors.check_room()
        try:
            yield actors
        finally:
            actors.close()

    @contextmanager
    def _connected(self, processors: int = 0) -> Iterator[None]:
        """Be a driver of the cluster, unless this process is one already."""
        if self.ray.is_initialized():
            yield
            return
        with _own(self.ray, processors) if not self.address else _named(self.ray, self.address):
            yield


@contextmanager
def _named(ray: ModuleType, address: str) -> Iterator[None]:
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except Exception as error:  # which one it is, depends on what answers there
        raise MystyleError(
            f"no Ray cluster takes work at {address}: {one_line(error)[:200]}",
            "Look at it with: ray status; its secret, where it has one, is in RAY_AUTH_TOKEN.",
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _own(ray: ModuleType, processors: int) -> Iterator[None]:
    """Have a cluster of this machine's own, for this process; what it writes goes with it."""
    place = tempfile.gettempdir()
    if len(place) > SOCKETS:
        # a folder of a name that nobody knows is made there, for this user only
        place = "/tmp"  # noqa: S108
    with tempfile.TemporaryDirectory(prefix="mystyle-ray-", dir=place, ignore_cleanup_errors=True) as folder:
        try:
            try:
                ray.init(
                    address="local",
                    num_cpus=processors,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level="ERROR",
                    # which Ray opens to everybody; the folder above it is private
                    _temp_dir=os.path.join(folder, "r"),
                )
            except Exception as error:  # it gives its processes half a minute
                raise MystyleError(
                    f"Ray does not start here: {one_line(error)[:200]}",
                    "Try again when the machine has less to do, or use --on local.",
                ) from error
            if any(node["NodeManagerAddress"] != HERE for node in ray.nodes()):
                raise MystyleError(
                    "Ray would listen to other machines, for it was loaded before mystyle could settle that",
                    f"Set {' '.join(f'{name}={value}' for name, value in ALONE.items())} first.",
                )
            yield
        finally:
            ray.shutdown()


@dataclass(frozen=True)
class Site:
    """Where workers work: as if they were the driver."""

    folder: Path
    sign: Sign | None = None  # which they must see; none where all of them are of this machine

    def missing(self) -> MystyleError | None:
        """Go there; returns what is said where the driver's folders are not seen."""
        try:
            os.chdir(self.folder)
        except OSError as error:
            return told(error) if self.sign is None else self.sign.unseen(self.folder)
        return None if self.sign is None else self.sign.missing()


class _Worker:
    """What an actor is."""

    def __init__(self, opener: Opener, site: Site) -> None:
        settle(1)
        self.answering, self.site = Answering(opener), site

    def ready(self) -> _Ready:
        """Open what all items need; say where this is."""
        missing = self.site.missing()
        return self._ready(missing or self.answering.open(), blind=missing is not None)

    def load(self, load: Load) -> _Ready:
        """Open what all items need where it has to be sent."""
        import ray

        try:
            self.hold = Hold.made(ray.get)  # which lies there as long as this process lives
            where = f"{os.uname().nodename} does not see the files: what it works on is sent there"
            self.answering = Answering(load.opener(self.hold), [Note("info", where)])
        except Exception as error:
            return self._ready(told(error))
        return self._ready(self.answering.open())

    def _ready(self, failure: Exception | None, *, blind: bool = False) -> _Ready:
        import ray

        node = ray.get_runtime_context().get_node_id()
        return _Ready(node, os.uname().nodename, __version__, failure, blind)

    def outcome(self, chunk: Chunk) -> Outcome:
        """Answer for a chunk."""
        return self.answering.outcome(chunk)


@dataclass(frozen=True)
class _Ready:
    """What an actor says when it has opened."""

    node: str  # as Ray names it
    machine: str
    version: str
    failure: Exception | None
    blind: bool = False  # whether that is because it does not see the driver's folders


@dataclass
class _Actor:
    """An actor, as the driver knows it."""

    handle: Any
    chunk: Chunk | None = None
    ready: _Ready | None = None
    loaded: bool = False  # it does not see the driver's folders, and has been sent what it lacks


@dataclass
class _Actors:
    """Actors that answer for one opener."""

    ray: ModuleType
    opener: Opener | None  # none where nothing is begun
    demand: Demand
    site: Site
    _shipping: Shipping | None = None  # once an actor needs it
    _load: Any = None  # Ray's, the same for all actors that need it
    _calls: dict[Any, _Actor] = field(default_factory=dict)  # what each actor is doing now
    _idle: list[_Actor] = field(default_factory=list)
    _waiting: deque[Chunk] = field(default_factory=deque)  # for an actor
    _unopened: int = 0  # actors that ended before they had opened
    _room: int = 0
    _looked: float = float("-inf")

    @property
    def seats(self) -> int:
        """How many actors the nodes that are there now have room for, whatever else runs on them."""
        if time.monotonic() - self._looked > EVERY_S:
            nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
            gpu = self.demand.gpu and any(node.get("GPU") for node in nodes)
            self.demand = replace(self.demand, gpu=gpu)
            self._room = sum(_fits(node, self.demand) for node in nodes)
            self._looked = time.monotonic()
        return max(1, self._room - self._unopened)

    def check_room(self) -> None:
        """Refuse (MystyleError) a cluster none of whose nodes is large enough."""
        if self.seats and not self._room:
            memory = f" and {self.demand.memory / 1e9:.1f} GB" if self.demand.memory else ""
            raise MystyleError(
                f"no node of the Ray cluster has a core{memory} for a worker", "Look at it with: ray status"
            )

    def give(self, chunk: Chunk) -> None:
        """Hand a chunk to an idle actor, or let it wait for one that opens."""
        self._waiting.append(chunk)
        self._assign()

    def _assign(self) -> None:
        while self._waiting and self._idle:
            actor = self._idle.pop()
            actor.chunk = self._waiting.popleft()
            self._calls[actor.handle.outcome.remote(self._handed(actor))] = actor
        opening = sum(actor.ready is None for actor in self._calls.values())
        living = len(self._calls) + len(self._idle)
        for _ in range(min(len(self._waiting) - opening, self.seats - living)):
            actor = self._started()
            self._calls[actor.handle.ready.remote()] = actor

    def _handed(self, actor: _Actor) -> Chunk:
        """Return an actor's chunk as it goes there."""
        assert actor.chunk is not None
        if self._shipping is None or not actor.loaded:
            return actor.chunk
        return replace(actor.chunk, items=tuple(self._shipping.pack(actor.chunk.items, self.ray.put)))

    def _send(self, actor: _Actor) -> None:
        """Have an actor open that does not see the driver's folders."""
        if self._shipping is None:
            assert isinstance(self.opener, Shipped)
            self._shipping = self.opener.shipping()
            self._load = self.ray.put(self._shipping.load(self.ray.put))
        actor.loaded = True
        self._calls[actor.handle.load.remote(self._load)] = actor

    def _started(self) -> _Actor:
        options = {"num_cpus": 1, "num_gpus": 1 if self.demand.gpu else 0, "max_restarts": 0}
        if self.demand.memory:
            options["memory"] = self.demand.memory
        return _Actor(self.ray.remote(_Worker).options(**options).remote(self.opener, self.site))

    def take(self) -> Sequence[Outcome]:
        """Wait for answers and deaths."""
        if not self._calls:  # no node has room now
            time.sleep(EVERY_S)
            self._assign()
            return []
        calls = list(self._calls)
        self.ray.wait(calls, timeout=EVERY_S)
        done, _ = self.ray.wait(calls, num_returns=len(calls), timeout=0)
        outcomes = [outcome for call in done if (outcome := self._taken(call)) is not None]
        self._assign()
        return outcomes

    def _taken(self, call: Any) -> Outcome | None:
        """Return what came of a chunk, if one was concerned; an actor that ended makes room for another."""
        actor = self._calls.pop(call)
        errors = self.ray.exceptions
        try:
            found = self.ray.get(call)
        except errors.RayActorError as error:
            return self._ended(actor, _how(str(error)))
        except errors.ObjectLostError:  # what it answered lay on its node alone, and was not here yet
            self.ray.kill(actor.handle)
            return self._ended(actor, "its answer is lost")
        except errors.RayError as error:  # raised in Ray itself, such as by answers that cannot be sent
            if actor.chunk is None:
                return self._failed(told(error))
            return Outcome(actor.chunk.number, error=told(error))
        if isinstance(found, _Ready):
            if found.version != __version__:
                found = replace(found, failure=_unlike(found))
            elif found.blind and isinstance(self.opener, Shipped):
                self._send(actor)
                return None
            if found.failure is not None:
                self.ray.kill(actor.handle)
                return self._failed(found.failure)
            actor.ready = found
        elif actor.loaded and self._shipping is not None and actor.chunk is not None:
            found = replace(found, answers=self._shipping.unpack(actor.chunk.items, found.answers))
        actor.chunk = None
        self._idle.append(actor)
        return found if isinstance(found, Outcome) else None

    def _failed(self, error: Exception) -> Outcome | None:
        """Return an error in opening as that of a chunk that waits, if any still does."""
        return Outcome(self._waiting.popleft().number, error=error) if self._waiting else None

    def _ended(self, actor: _Actor, died: str) -> Outcome | None:
        if actor.chunk is not None:
            gone = "node" in died or self._node_is_gone(actor)
            return Outcome(actor.chunk.number, died=died, blame=not gone)
        self._unopened += 1
        if not self._waiting:
            return None
        if not (self._idle or self._calls) and self._unopened >= UNOPENED:
            return self._failed(MystyleError(f"workers of Ray end while they open: {died}"))
        return Outcome(self._waiting.popleft().number, died=died, blame=False)

    def _node_is_gone(self, actor: _Actor) -> bool:
        assert actor.ready is not None
        return not any(node["NodeID"] == actor.ready.node and node["Alive"] for node in self.ray.nodes())

    def close(self) -> None:
        """End all actors, whatever they do."""
        for actor in (*self._calls.values(), *self._idle):
            with suppress(Exception):  # a cluster that is gone has none any more
                self.ray.kill(actor.handle)
        self._calls.clear()
        self._idle.clear()


def _fits(resources: dict[str, float], demand: Demand) -> int:
    """Return how many workers a node has room for."""
    counts = [resources.get("CPU", 0)]
    if demand.memory:
        counts.append(resources.get("memory", 0) // demand.memory)
    if demand.gpu:
        counts.append(resources.get("GPU", 0))
    return int(min(counts))


def _unlike(ready: _Ready) -> MystyleError:
    return MystyleError(
        f"{ready.machine} of the Ray cluster has mystyle {ready.version}, this machine {__version__}",
        "Install the same on all of them.",
    )


def _how(said: str) -> str:
    """Return how an actor ended, of the many lines that Ray says of it."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if "creation task" in said:  # raised before anything of ours ran; the last line is the exception
        return one_line(lines[-1])[:200]
    if "node has died" in said or "node was terminated" in said:
        return "its node is gone"
    kind = said.partition("Worker exit type: ")[2].partition(" ")[0].rstrip(".").lower()
    memory = "out of memory, " if "due to the node running low on memory" in said else ""
    return f"{memory}Ray says {kind}" if kind else one_line(lines[-1])[:200]
