"""A Ray cluster of several nodes on this machine, by Ray's own cluster tools."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mystyle_cli.engines.on_ray import ALONE, QUIET


@dataclass
class Nodes:
    """Nodes that run."""

    cluster: Any
    workers: list[Any] = field(default_factory=list)  # all but the head
    blind: list[subprocess.Popen[bytes]] = field(
        default_factory=list
    )  # those that see less than this process

    @property
    def address(self) -> str:
        """What stands after `--on ray:`."""
        return str(self.cluster.address)

    def add(self) -> None:
        """Start one more, with one core."""
        self.workers.append(self.cluster.add_node(num_cpus=1))

    def add_blind(self, hidden: Sequence[Path], temporary: Path) -> None:
        """Start one more, with one core, for which some folders are empty; it needs the rights of root.

        Args:
            temporary: where its workers keep what goes with them.
        """
        covers = [f"mount -t tmpfs none {shlex.quote(str(folder))}" for folder in hidden]
        start = f"exec {shlex.quote(sys.executable)} -m {__name__} {self.address}"
        node = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", " && ".join([*covers, start])],
            env={
                **os.environ,
                "TMPDIR": str(temporary),
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.blind.append(node)
        assert node.stdout is not None
        assert node.stdout.readline() == b"there\n"

    def end_blind(self) -> None:
        """End what `add_blind` has started, with all that runs there."""
        while self.blind:
            self.blind.pop().communicate()

    def kill(self) -> None:
        """End the oldest that is not the head, with all that runs on it, as a power cut does."""
        self.cluster.remove_node(self.workers.pop(0), allow_graceful=False)


@contextmanager
def ray_nodes(count: int, head_cores: int = 0) -> Iterator[Nodes]:
    """Run a head, and nodes with one core each; drivers of this process and its children may use them.

    Args:
        head_cores: of the head, for work.
    """
    os.environ.update(QUIET)
    os.environ.update(ALONE)
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    with tempfile.TemporaryDirectory(prefix="nodes-", dir="/tmp") as folder:  # names of sockets are short
        os.environ["RAY_TMPDIR"] = folder
        (Path(folder) / "ray").mkdir()
        from ray.cluster_utils import Cluster  # which reads all of these

        head = {"num_cpus": head_cores, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        nodes = Nodes(cluster)
        try:
            for _ in range(count):
                nodes.add()
            yield nodes
        finally:
            nodes.end_blind()
            cluster.shutdown()


def may_hide() -> bool:
    """Tell whether this process may hide folders from its children."""
    unshare = shutil.which("unshare")
    return unshare is not None and subprocess.run([unshare, "--mount", "true"]).returncode == 0


def be_a_node(address: str) -> None:
    """Be a node with one core until standard input ends."""
    from ray._private.node import Node
    from ray._private.parameter import RayParams

    node = Node(
        RayParams(
            num_cpus=1,
            num_gpus=0,
            gcs_address=address,
            redis_address=address,
            object_store_memory=150 << 20,
            node_manager_port=0,
            min_worker_port=0,
            max_worker_port=0,
            include_log_monitor=False,
        ),
        head=False,
        shutdown_at_exit=True,
        spawn_reaper=True,
    )
    print("there", flush=True)
    sys.stdin.read()
    node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)


if __name__ == "__main__":
    be_a_node(sys.argv[1])
