"""A Ray cluster of several nodes on this machine, by Ray's own cluster tools."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
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

    @property
    def address(self) -> str:
        """What stands after `--on ray:`."""
        return str(self.cluster.address)

    def add(self) -> None:
        """Start one more, with one core."""
        self.workers.append(self.cluster.add_node(num_cpus=1))

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
        try:
            nodes = Nodes(cluster)
            for _ in range(count):
                nodes.add()
            yield nodes
        finally:
            cluster.shutdown()
