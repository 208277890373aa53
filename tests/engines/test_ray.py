"""The engine of Ray's actors, with a Ray that is played: what is asked of it, and made of its answers."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mystyle_cli.engines import on_ray
from mystyle_cli.engines.engine import Demand, LostError, Spread
from mystyle_cli.engines.named import Where, parse
from mystyle_cli.engines.on_ray import Ray, Site, engine
from mystyle_cli.engines.sharing import Sign
from mystyle_cli.errors import ModelError, MystyleError
from tests.support.fake_ray import FakeRay, ObjectLostError, RayActorError, RayError, node
from tests.support.toil import Refusing, Squaring

NONE = Demand()
GONE = "The actor died unexpectedly before finishing this task.\n\tThe actor's node has died: \tnode has died"
CRASHED = "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit"
FULL = "Task was killed due to the node running low on memory. Worker exit type: NODE_OUT_OF_MEMORY Worker"


@pytest.fixture(autouse=True)
def _stays_here() -> Iterator[None]:
    """Workers are this process here, and go where they are told."""
    before = Path.cwd()
    yield
    os.chdir(before)


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    """A Ray of two nodes, of three cores together."""
    played = FakeRay([node("a", CPU=2, memory=4e9), node("b", CPU=1, memory=1e9)])
    monkeypatch.setitem(sys.modules, "ray", played)
    return played


def squares(ray: FakeRay, log: Path, demand: Demand = NONE, size: int = 2) -> dict[int, object]:
    """Square the numbers below eight on a cluster with an address."""
    chunks = [list(range(first, first + size)) for first in range(0, 8, size)]
    return dict(Spread(Ray("head:6379", ray), demand, log.parent).over(Squaring(log), chunks))


EIGHT = {item: item * item for item in range(8)}


def test_an_address_where_nobody_is() -> None:
    """One line at once, where Ray itself would try for a quarter of an hour; what is no address is Ray's."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        on_ray._reach(f"127.0.0.1:{port}")
    for nobody in (f"127.0.0.1:{port}", "127.0.0.1:99999", f"[::1]:{port}"):
        with pytest.raises(MystyleError, match="no Ray cluster takes work at"):
            on_ray._reach(nobody)
    on_ray._reach("auto")


def test_actors_are_as_many_as_there_is_room_for(ray: FakeRay, tmp_path: Path) -> None:
    """By cores, memory and cards of each node; all end at the end."""
    assert squares(ray, tmp_path / "log", size=1) == EIGHT
    assert [one["num_cpus"] for one in ray.options] == [1, 1, 1]
    assert ray.killed == 3
    assert ray.begun["address"] == "head:6379"
    assert not ray.connected
    assert Ray("head:6379", ray).seats(NONE) == 3
    ray.options.clear()
    assert squares(ray, tmp_path / "log", Demand(memory=2 * 10**9)) == EIGHT
    assert [one["memory"] for one in ray.options] == [2 * 10**9] * 2
    ray.options.clear()
    ray.there.append(node("c", CPU=8, GPU=1))
    assert squares(ray, tmp_path / "log", Demand(gpu=True)) == EIGHT
    assert [one["num_gpus"] for one in ray.options] == [1]


def test_a_cluster_without_cards_works_without(ray: FakeRay, tmp_path: Path) -> None:
    """Where there is none, none is asked for."""
    assert squares(ray, tmp_path / "log", Demand(gpu=True), size=8) == EIGHT
    assert [one["num_gpus"] for one in ray.options] == [0]


def test_deaths_are_told_by_whose_they_are(ray: FakeRay, tmp_path: Path) -> None:
    """A process that ends may be its items' doing; a node that goes is not, however often."""
    ray.deaths["outcome"] = [RayActorError(GONE) for _ in range(3)]
    assert squares(ray, tmp_path / "log", size=8) == EIGHT
    ray.deaths["outcome"] = [RayActorError(CRASHED) for _ in range(2)]
    ray.there[:] = [node("a", CPU=1)]
    found = squares(ray, tmp_path / "log", size=8)
    lost = found.pop(0)
    assert isinstance(lost, LostError)
    assert "(Ray says system_error)" in lost.message
    assert found == {item: square for item, square in EIGHT.items() if item}
    ray.deaths["outcome"] = [RayActorError(CRASHED), RayActorError(GONE)]
    assert squares(ray, tmp_path / "log", size=8) == EIGHT
    ray.deaths["outcome"] = [RayActorError(FULL) for _ in range(9)]
    with pytest.raises(MystyleError, match="out of memory, Ray says node_out_of_memory"):
        squares(ray, tmp_path / "log", size=8)


def test_a_node_that_is_not_there_any_more_is_gone(ray: FakeRay, tmp_path: Path) -> None:
    """Whatever Ray says of the actor."""
    actors = on_ray._Actors(ray, Squaring(tmp_path / "log"), NONE, Site(tmp_path))  # type: ignore[arg-type]
    ready = on_ray._Ready("a", "machine", "1", None)
    assert not actors._node_is_gone(on_ray._Actor(None, None, ready))
    assert actors._node_is_gone(on_ray._Actor(None, None, replace(ready, node="z")))


def test_an_answer_that_is_lost_is_made_again(
    ray: FakeRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large one lies on its node until it is fetched; its items are not blamed where the node is gone."""
    ray.deaths["outcome"] = [ObjectLostError("Failed to retrieve object")]
    assert squares(ray, tmp_path / "log", size=8) == EIGHT
    assert ray.killed == len(ray.options)
    ray.there[:] = [node("a", CPU=1)]
    ray.deaths["outcome"] = [ObjectLostError("Failed to retrieve object") for _ in range(2)]
    lost = squares(ray, tmp_path / "log", size=8)[0]
    assert isinstance(lost, LostError)
    assert "(its answer is lost)" in lost.message
    monkeypatch.setattr(on_ray._Actors, "_node_is_gone", lambda actors, actor: True)
    ray.deaths["outcome"] = [ObjectLostError("Failed to retrieve object") for _ in range(5)]
    assert squares(ray, tmp_path / "log", size=8) == EIGHT


def test_errors_end_the_whole(ray: FakeRay, tmp_path: Path) -> None:
    """What all items need, what Ray itself raises, and workers none of which opens."""
    with pytest.raises(ModelError, match="the prior is gone"):
        list(Spread(Ray("head:1", ray), folder=tmp_path).over(Refusing(), [[1], [2]]))
    ray.deaths["outcome"] = [RayError("cannot be sent")]
    with pytest.raises(MystyleError, match="cannot be sent"):
        squares(ray, tmp_path / "log")
    ray.deaths["ready"] = [
        RayActorError("raised in its creation task, x\n\nModuleNotFoundError: No module named 'mystyle_cli'")
        for _ in range(99)
    ]
    with pytest.raises(MystyleError, match="No module named 'mystyle_cli'"):
        squares(ray, tmp_path / "log")


def test_workers_that_do_not_open_any_more_end_the_whole(ray: FakeRay, tmp_path: Path) -> None:
    """Also where some had opened before, and answered."""
    ray.there[:] = [node("a", CPU=1)]
    loop = Spread(Ray("head:1", ray), folder=tmp_path).over(Squaring(tmp_path / "log"), [[1], [2]])
    assert next(loop) == (1, 1)
    ray.deaths = {name: [RayActorError(CRASHED) for _ in range(50)] for name in ("outcome", "ready")}
    with pytest.raises(MystyleError, match="workers of Ray end while they open: Ray says system_error"):
        list(loop)
    assert len(ray.deaths["ready"]) == 50 - on_ray.UNOPENED


def test_what_no_node_has_is_refused(ray: FakeRay, tmp_path: Path) -> None:
    """Before anything is begun."""
    with pytest.raises(MystyleError, match=r"no node of the Ray cluster has a core and 9\.0 GB"):
        squares(ray, tmp_path / "log", Demand(memory=9 * 10**9))
    assert not ray.options


def test_another_version_on_a_node_is_refused(
    ray: FakeRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It might do otherwise."""
    whole = on_ray._Worker.ready
    monkeypatch.setattr(on_ray._Worker, "ready", lambda self: replace(whole(self), version="0.0.9"))
    with pytest.raises(MystyleError, match=r"has mystyle 0\.0\.9, this machine"):
        squares(ray, tmp_path / "log")


def test_a_cluster_of_its_own(ray: FakeRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an address one is started for what is free here, with nothing that anybody else sees."""
    monkeypatch.setattr(on_ray, "fitting", lambda demand: 3)
    found = dict(Spread(Ray("", ray), NONE).over(Squaring(tmp_path / "log"), [[3]]))
    assert found == {3: 9}
    assert Ray("", ray).seats(NONE) == 3
    assert (ray.begun["num_cpus"], ray.begun["include_dashboard"]) == (3, False)
    folder = Path(ray.begun["_temp_dir"]).parent
    assert not folder.exists()
    ray.there[0]["NodeManagerAddress"] = "192.0.2.7"
    with pytest.raises(MystyleError, match="would listen to other machines"):
        list(Spread(Ray("", ray)).over(Squaring(tmp_path / "log"), [[3]]))
    assert not ray.connected


def test_all_nodes_see_the_driver_s_folders(
    ray: FakeRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They work in its working folder; a node that does not see its run is told of; no sign is left."""
    monkeypatch.chdir(tmp_path)
    assert squares(ray, Path("log")) == EIGHT
    assert [*(tmp_path / "logs").iterdir()] == []
    sign = Sign(tmp_path / "logs" / "seen-1", "text")
    assert "does not see" in str(sign.missing())
    sign.path.write_text("other text")
    assert "does not see" in str(sign.missing())
    sign.path.write_text("text")
    assert sign.missing() is None
    assert "does not see" in str(Site(tmp_path / "gone", sign).missing())
    sign.path.unlink()
    monkeypatch.setattr(Sign, "missing", lambda sign: sign.unseen(sign.path.parent.parent))
    with pytest.raises(MystyleError, match="does not see") as raised:
        squares(ray, Path("log"))
    assert "at the same places" in raised.value.hint


def test_no_cluster_there(ray: FakeRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says where none answers."""

    def refuse(**words: object) -> None:
        raise ConnectionError("nobody answers\nat all")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(MystyleError, match="no Ray cluster takes work at head:1: nobody answers at all"):
        list(Spread(Ray("head:1", ray), folder=tmp_path).over(Refusing(), [[1]]))


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install is said; and what it would read of its environment is set before it is loaded."""
    for name in (*on_ray.QUIET, *on_ray.ALONE, "RAY_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert parse("ray:head:6379") == Where("ray", "head:6379")
    with pytest.raises(MystyleError, match="needs the optional ray") as raised:
        parse("ray:head:6379").open()
    assert "pip install" in raised.value.hint
    assert "RAY_AUTH_MODE" not in os.environ
    with pytest.raises(MystyleError):
        engine("")
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
    for name in (*on_ray.QUIET, *on_ray.ALONE, "RAY_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
