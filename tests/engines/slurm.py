"""A Slurm of one node on this machine, of Debian's packages: slurmctld, slurmd, slurm-client and munge.

    python -m tests.engines.slurm mystyle upscale adele album -o large --on slurm

runs a command in one. No system service is needed or touched, nor is anything of the system's Slurm: keys,
sockets, states and logs lie in a temporary folder, and the daemons end with the command.
"""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

PROGRAMS: Final = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol")
PATIENCE_S: Final = 60

CONFIGURATION: Final = """\
ClusterName=mystyle
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000
KillWait=2
ReturnToService=2
NodeName=localhost NodeAddr=127.0.0.1 CPUs={cores} RealMemory=4000 State=UNKNOWN
PartitionName=short Nodes=localhost Default=YES MaxTime=60 State=UP
PartitionName=other Nodes=localhost MaxTime=60 State=UP
"""


def missing() -> list[str]:
    """Return the programs that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"  # where Debian has daemons


@contextmanager
def slurm(cores: int = 2) -> Iterator[dict[str, str]]:
    """Run a Slurm, and yield what is added to the environment of those who use it."""
    with tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp") as name, ExitStack() as stack:
        folder = Path(name)
        for inside in ("state", "spool"):
            (folder / inside).mkdir()
        key = folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(secrets.token_bytes(128))
        configuration = folder / "slurm.conf"
        configuration.write_text(
            CONFIGURATION.format(folder=folder, user=getpass.getuser(), ports=_free_ports(2), cores=cores)
        )
        environment = {"SLURM_CONF": str(configuration), "PATH": _path()}
        munge = [
            f"--{what}={folder}/munge.{what.partition('-')[0]}"
            for what in ("pid-file", "log-file", "seed-file")
        ]
        munge += [f"--key-file={key}", f"--socket={folder}/munge.socket"]
        for words in (
            ("munged", "--foreground", "--force", *munge),
            ("slurmctld", "-D", "-i"),
            ("slurmd", "-D", "-N", "localhost"),
        ):
            stack.enter_context(_running(words, folder, environment))
            _until(folder, lambda: (folder / "munge.socket").exists())
        _until(folder, lambda: "idle" in _asked(environment))
        yield environment


@contextmanager
def _running(words: tuple[str, ...], folder: Path, environment: dict[str, str]) -> Iterator[None]:
    with (folder / f"{words[0]}.log").open("wb") as log:
        daemon = subprocess.Popen(
            words, env=os.environ | environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield
    finally:
        daemon.terminate()
        try:
            daemon.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def _asked(environment: dict[str, str]) -> str:
    words = ["sinfo", "--noheader", "--format=%T"]
    return subprocess.run(words, env=os.environ | environment, capture_output=True, text=True).stdout


def _until(folder: Path, true: object) -> None:
    """Wait until something is so; what the daemons said tells why it never was."""
    assert callable(true)
    ends = time.monotonic() + PATIENCE_S
    while not true():
        if time.monotonic() > ends:
            raise TimeoutError("\n".join(log.read_text("utf-8", "replace") for log in folder.glob("*.log")))
        time.sleep(0.05)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


if __name__ == "__main__":
    with slurm() as added:
        sys.exit(subprocess.run(sys.argv[1:], env=os.environ | added).returncode)
