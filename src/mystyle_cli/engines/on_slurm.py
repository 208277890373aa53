"""`slurm[:PARTITION]`: arrays of jobs that submitit hands to Slurm, through folders that all nodes see.

A job answers for several chunks, for starting one takes seconds. It writes down each when it begins and what
came of it when it is done, so that a job that is requeued goes on where it was, and of one that ended it is
known what it had.
"""

from __future__ import annotations

import getpass
import math
import os
import pickle
import re
import secrets
import shutil
import stat
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mystyle_cli import __version__
from mystyle_cli.engines.answering import Answering
from mystyle_cli.engines.engine import Chunk, Demand, Opener, Outcome, Pool, Seat
from mystyle_cli.engines.runs import clear, forget
from mystyle_cli.engines.sharing import shared_logs
from mystyle_cli.errors import MystyleError, one_line
from mystyle_cli.files.notes import LARGEST
from mystyle_cli.files.reading import open_file
from mystyle_cli.files.writing import write_result
from mystyle_cli.installing import install_command
from mystyle_cli.nets.processors import settle

JOB_S: Final = 300.0  # what a job takes, about: long against its start, short against its limit
UNKNOWN: Final = 8  # chunks for a job while it is not known what one takes
MOST: Final = 500  # chunks for a job
SIDE_BY_SIDE: Final = 256  # jobs that are wanted to run at once; an array has room for a thousand
TIME_MIN: Final = 60  # what a job may take, where the partition does not say less

EVERY_S: Final = 0.25  # between looks at what has arrived
ASKING_S: Final = (2.0, 15.0)  # between questions to Slurm, first and later
GRACE_S: Final = 5.0  # in which a shared folder shows what an ended job wrote
PULSE_S: Final = 10.0  # between signs of the driver's life
ORPHANED_S: Final = 180.0  # after which a job without any leaves

PROGRESS: Final = re.compile(r"^(begun|done) ([0-9]{1,18})$\n", re.MULTILINE)  # a whole line of a job's
UP: Final = {"idle", "mix", "alloc", "comp", "resv", "plnd"}  # nodes that run jobs, now or later
ABSENT: Final = {"NODE_FAIL", "BOOT_FAIL", "PREEMPTED"}  # ends that the items can have no part in


def engine(partition: str) -> Slurm:
    """Return the engine of a partition, by default Slurm's own default.

    Raises:
        MystyleError: submitit is not installed, or there is no Slurm here.
    """
    try:
        import submitit  # noqa: F401
    except ImportError as error:
        raise MystyleError(
            "--on slurm needs the optional submitit", f"Install it with: {install_command('submitit')}"
        ) from error
    if shutil.which("sbatch") is None or shutil.which("srun") is None:
        raise MystyleError(
            "--on slurm: this machine has no Slurm (sbatch, srun)", "Give it on a login node of the cluster."
        )
    return Slurm(partition)


@dataclass
class Slurm:
    """Jobs of a partition."""

    partition: str

    @property
    def name(self) -> str:
        """What `--on` calls it."""
        return f"slurm:{self.partition}" if self.partition else "slurm"

    def threads(self, seats: int) -> int:
        """Return one, for a worker takes a core."""
        return 1

    @contextmanager
    def start(self, opener: Opener, demand: Demand, folder: Path | None, here: Seat) -> Iterator[Pool]:
        """Have jobs submitted as chunks are there for them; at the end none is left."""
        logs, room = shared_logs(folder, self.name), _room(self.partition, demand)
        name = f"mystyle-{logs.parent.name}"
        _end_orphans(logs, name)
        driver = secrets.token_hex(4)
        jobs = _Jobs(self._executor(logs, name, demand, room), opener, logs, driver, demand, room.jobs)
        pulse = _Pulse(logs / f"{driver}-pulse")
        pulse.start()
        try:
            yield jobs
        finally:
            pulse.end()
            jobs.close()

    def seats(self, demand: Demand) -> int:
        """Return how many jobs may run side by side; raises MystyleError where none can."""
        return _room(self.partition, demand).jobs

    def _executor(self, logs: Path, name: str, demand: Demand, room: _Room) -> Any:
        import submitit

        executor = submitit.AutoExecutor(folder=logs, cluster="slurm")
        wanted: dict[str, Any] = {
            "name": name,
            "timeout_min": min(TIME_MIN, room.minutes),
            "cpus_per_task": 1,
            "slurm_srun_args": ["--cpus-per-task=1"],  # a step takes no such number from its job
            "slurm_array_parallelism": SIDE_BY_SIDE,
            "slurm_additional_parameters": {"requeue": True},
        }
        if self.partition:
            wanted["slurm_partition"] = self.partition
        if demand.memory:
            wanted["mem_gb"] = math.ceil(demand.memory / 2**30)
        if room.gpu:
            wanted["gpus_per_node"] = 1
        executor.update_parameters(**wanted)
        return executor


class _Pulse:
    """A file that is written anew as long as the driver lives, so that jobs do not outlive it for long."""

    def __init__(self, path: Path) -> None:
        self.path, self._ended = path, threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def start(self) -> None:
        """Begin."""
        self.path.touch()
        self._thread.start()

    def _beat(self) -> None:
        while not self._ended.wait(PULSE_S):
            with suppress(OSError):  # a full disk ends what writes results, and says so
                self.path.write_text(str(time.time()))

    def end(self) -> None:
        """End, which jobs take as their own end."""
        self._ended.set()
        self._thread.join()
        forget(self.path.parent, self.path.name)


@dataclass
class Bundle:
    """What a job does: chunks, one after the other."""

    number: int
    opener: Opener
    chunks: tuple[Chunk, ...]
    folder: Path
    driver: str  # whose job it is; what it writes begins with that
    version: str = __version__

    def __call__(self) -> None:
        """Answer for what is not done yet; leaves when the driver has."""
        settle(1)
        answering = Answering(self.opener)
        _, done = read_progress(self.progress)
        with self.progress.open("a") as progress:
            for chunk in self.chunks:
                if chunk.number in done:
                    continue
                _say(progress, f"begun {chunk.number}")
                if self._orphaned(progress):
                    return
                outcome = answering.outcome(chunk)
                if self.version != __version__:
                    outcome = Outcome(chunk.number, error=self._unlike())
                place = self.folder / f"{self.driver}-{chunk.number}.outcome"
                write_result(place, pickle.dumps(outcome), private=True)
                _say(progress, f"done {chunk.number}")

    @property
    def progress(self) -> Path:
        """Where it writes down how far it is."""
        return self.folder / f"{self.driver}-{self.number}.progress"

    def checkpoint(self) -> Any:
        """Return what submitit runs when Slurm gives the job time again; it skips what is done."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)

    def _orphaned(self, progress: Any) -> bool:
        """Tell whether the driver has given no sign of life for long, by the clock of the shared folder."""
        try:
            with (self.folder / f"{self.driver}-pulse").open(
                "rb"
            ) as pulse:  # opened, for what was looked at may be old
                last = os.fstat(pulse.fileno()).st_mtime
        except FileNotFoundError:
            return True
        return os.fstat(progress.fileno()).st_mtime - last > ORPHANED_S

    def _unlike(self) -> MystyleError:
        return MystyleError(
            f"{os.uname().nodename} of the cluster has mystyle {__version__}, the driver {self.version}",
            "Install the same on all of them.",
        )


def _say(progress: Any, line: str) -> None:
    progress.write(f"{line}\n")
    progress.flush()
    os.fsync(progress.fileno())


def read_progress(path: Path) -> tuple[int | None, set[int]]:
    """Return the chunk that a job has begun and not ended, and those that it has done.

    What is torn off, or anything else than its own lines, says nothing.
    """
    try:
        found = PROGRESS.findall(path.read_text("utf-8", "replace"))
    except FileNotFoundError:
        return None, set()
    done = {int(number) for word, number in found if word == "done"}
    last = int(found[-1][1]) if found else None
    return (None if last in done else last), done


@dataclass(frozen=True)
class _Room:
    """What a partition has."""

    jobs: int  # that may run side by side
    minutes: int  # that a job may take
    gpu: bool  # whether each job gets one


def _room(partition: str, demand: Demand) -> _Room:
    """Ask Slurm what there is; raises MystyleError where no node has enough for one job."""
    said = _asked("sinfo", "--noheader", "--Node", "--format=%P|%c|%m|%G|%t|%l")
    rows = [row for line in said if len(row := line.split("|")) == 6]
    names = sorted({row[0].rstrip("*") for row in rows})
    rows = [row for row in rows if (row[0].rstrip("*") == partition if partition else row[0].endswith("*"))]
    if not rows:
        which = f"partition {partition!r}" if partition else "default partition"
        raise MystyleError(f"Slurm has no {which}", f"Give one of: {', '.join(names)}.")
    gpu = demand.gpu and any(_gpus(row[3]) for row in rows)
    jobs = sum(_fits(row, demand, gpu) for row in rows if row[4].rstrip("~#$@+") in UP)
    if not jobs:
        memory = f" and {demand.memory / 1e9:.1f} GB" if demand.memory else ""
        raise MystyleError(
            f"no node of {partition or 'the default partition'} that is up has a core{memory} for a job",
            "Look at it with: sinfo",
        )
    return _Room(min(jobs, SIDE_BY_SIDE), min(_minutes(row[5]) for row in rows), gpu)


def _fits(row: Sequence[str], demand: Demand, gpu: bool) -> int:
    counts = [_number(row[1])]
    if demand.memory:
        counts.append(_number(row[2]) * 2**20 // demand.memory)
    if gpu:
        counts.append(_gpus(row[3]))
    return min(counts)


def _number(text: str) -> int:
    return int(text.rstrip("+"))


def _gpus(resources: str) -> int:
    return sum(int(count) for count in re.findall(r"\bgpu(?::[^:(,]+)?:(\d+)", resources))


def _minutes(text: str) -> int:
    """Return the minutes of a limit as Slurm writes it: 30:00, 1:00:00, 2-00:00:00, infinite."""
    days, _, clock = text.rpartition("-")
    if not re.fullmatch(r"[\d:]+", clock):
        return TIME_MIN
    hours, minutes, _ = ([0, 0, *map(int, clock.split(":"))])[-3:]
    return max(1, int(days or 0) * 1440 + hours * 60 + minutes)


def _asked(*words: str) -> list[str]:
    """Return the lines that one of Slurm's commands answers; raises MystyleError where it does not."""
    try:
        # one of Slurm's own programs, through no shell; its words are names of options, jobs and the user
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MystyleError(f"Slurm does not answer: {one_line(error)}") from error
    if done.returncode:
        raise MystyleError(f"Slurm does not answer: {one_line(done.stderr)[:200]}", "Try: sinfo")
    return done.stdout.splitlines()


@dataclass
class _Task:
    """A job that was submitted, and which of its chunks have not come back."""

    job: Any  # submitit's
    bundle: Bundle
    open: dict[int, Chunk]
    gone_since: float | None = None  # when Slurm was first seen without it


@dataclass
class _Jobs:
    """Jobs that answer for one opener."""

    executor: Any
    opener: Opener
    folder: Path
    driver: str
    demand: Demand
    side_by_side: int
    _held: deque[Chunk] = field(default_factory=deque)  # for a job that is yet to be submitted
    _tasks: list[_Task] = field(default_factory=list)
    _submitted: list[Any] = field(default_factory=list)  # jobs, all that there ever were
    _asking: float = ASKING_S[0]
    _next_question: float = 0.0

    @property
    def bundle(self) -> int:
        """How many chunks a job gets at most."""
        if not self.demand.seconds:
            return UNKNOWN
        return max(1, min(MOST, round(JOB_S / self.demand.seconds)))

    @property
    def seats(self) -> int:
        """As many chunks as keep all nodes busy, and as many again that wait."""
        return self.side_by_side * self.bundle * 2

    def give(self, chunk: Chunk) -> None:
        """Hold a chunk until the next array is submitted."""
        self._held.append(chunk)

    def take(self) -> Sequence[Outcome]:
        """Submit what is held, where nodes wait for it; collect what has arrived, and what was lost."""
        self._submit()
        ends = time.monotonic() + 1
        while not (outcomes := self._arrived() or self._lost()) and time.monotonic() < ends:
            time.sleep(EVERY_S)
        return outcomes

    def _submit(self) -> None:
        room = 2 * self.side_by_side - len(self._tasks)
        idle = self.side_by_side - len(self._tasks)
        if not self._held or room <= 0 or (idle <= 0 and len(self._held) < self.bundle):
            return
        count = min(room, len(self._held), max(idle, math.ceil(len(self._held) / self.bundle)))
        each = min(self.bundle, math.ceil(len(self._held) / count))
        bundles: list[Bundle] = []
        while self._held and len(bundles) < count:
            chunks = tuple(self._held.popleft() for _ in range(min(each, len(self._held))))
            number = len(self._submitted) + len(bundles)
            bundles.append(Bundle(number, self.opener, chunks, self.folder, self.driver))
        try:
            with self.executor.batch():
                jobs = [self.executor.submit(bundle) for bundle in bundles]
        except Exception as error:  # whatever submitit makes of what sbatch says
            raise MystyleError(
                f"Slurm takes no job: {one_line(error)[-200:]}", "Ask Slurm why: sbatch --test-only, squeue"
            ) from error
        self._submitted += jobs
        self._tasks += [
            _Task(job, bundle, {chunk.number: chunk for chunk in bundle.chunks})
            for job, bundle in zip(jobs, bundles, strict=True)
        ]
        self._asking, self._next_question = ASKING_S[0], time.monotonic() + ASKING_S[0]

    def _arrived(self) -> list[Outcome]:
        """Read the outcomes that are there, each once."""
        os.utime(self.folder)  # or a client of NFS might answer with what it looked at before
        outcomes = []
        for name in os.listdir(self.folder):
            found = re.fullmatch(rf"{self.driver}-(\d+)\.outcome", name)
            if found is None:
                continue
            number, data = int(found[1]), self._read_own(name)
            task = next((task for task in self._tasks if number in task.open), None)
            if task is not None:  # else a job that was given up had gone on
                del task.open[number]
                # written by a job of this user's own: `_read_own` reads nothing else
                outcomes.append(pickle.loads(data))  # noqa: S301
        self._tasks = [task for task in self._tasks if task.open]
        return outcomes

    def _read_own(self, name: str) -> bytes:
        """Take what a job has written; raises MystyleError where it cannot be read, or anybody could have."""
        path = self.folder / name
        try:
            with open_file(path, LARGEST, self.folder) as file:
                status, above = os.fstat(file.fileno()), self.folder.stat()
                for one in (status, above):
                    if one.st_uid != os.geteuid() or stat.S_IMODE(one.st_mode) & 0o077:
                        raise MystyleError(f"{path} is not this user's alone", "Find out who wrote it.")
                data = file.read()
            forget(self.folder, name)
        except OSError as error:
            raise MystyleError(
                f"{path} cannot be read: {error.strerror or error}", "Find out who wrote it."
            ) from error
        return data

    def _lost(self) -> list[Outcome]:
        """Return what came of chunks whose job is no more, without an answer."""
        now = time.monotonic()
        if not self._tasks or now < self._next_question:
            return []
        try:
            known = set(
                _asked("squeue", "--noheader", "--array", f"--user={getpass.getuser()}", "--format=%i")
            )
        except MystyleError:  # its controller may be restarted: jobs go on meanwhile
            known = {task.job.job_id for task in self._tasks}
        self._asking = min(1.2 * self._asking, ASKING_S[1])
        self._next_question = now + self._asking
        ended = []
        for task in self._tasks:
            if task.job.job_id in known:
                task.gone_since = None
            elif task.gone_since is None:
                task.gone_since = now
                self._next_question = now + GRACE_S
            elif now - task.gone_since >= GRACE_S:
                ended.append(task)
        if ended and (outcomes := self._arrived()):
            return outcomes  # what was late; the rest is found lost at the next look
        return [outcome for task in ended for outcome in self._given_up(task)]

    def _given_up(self, task: _Task) -> list[Outcome]:
        """Return the end of what a job had begun; what it had not goes to another."""
        self._tasks.remove(task)
        begun, _ = read_progress(task.bundle.progress)
        state, log = _state(task.job.job_id), _last_line(task.job.paths.stderr)
        said = f"Slurm job {task.job.job_id} ended as {state}"
        if "CANCELLED" in state:
            error = MystyleError(f"{said}, by somebody's hand", "Give the command again to go on.")
            return [Outcome(number, error=error) for number in [*task.open][:1]]
        if begun is None and len(task.open) == len(task.bundle.chunks) and state not in ABSENT:
            error = _unseen(self.folder, said, log)
            return [Outcome(number, error=error) for number in [*task.open][:1]]
        self._held.extend(chunk for number, chunk in task.open.items() if number != begun)
        if begun not in task.open:
            return []
        detail = f": {log}" if log else ""
        return [Outcome(begun, died=f"{said}{detail}", blame=state not in ABSENT)]

    def close(self) -> None:
        """Cancel all jobs that are left; what they were handed goes, their logs stay."""
        if self._tasks:
            with suppress(MystyleError):
                _asked("scancel", *sorted({task.job.job_id.partition("_")[0] for task in self._tasks}))
        clear(self.folder)
        self._tasks.clear()


def _end_orphans(logs: Path, name: str) -> None:
    """End the jobs that a driver of the same run has left which was killed, and what they were handed."""
    with suppress(MystyleError):  # then they leave when they find no sign of it
        _asked("scancel", f"--name={name}", f"--user={getpass.getuser()}")
    clear(logs)


def _state(job: str) -> str:
    """Return what Slurm says of a job that has ended."""
    try:
        said = " ".join(_asked("scontrol", "--oneliner", "show", "job", job))
    except MystyleError:
        return "UNKNOWN"
    found = re.search(r"\bJobState=(\w+)", said)
    return found[1] if found else "UNKNOWN"


def _last_line(path: Path) -> str:
    """Return what a job said last; "" where there is nothing."""
    try:
        lines = path.read_text("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return one_line(lines[-1])[:200] if lines else ""


def _unseen(folder: Path, said: str, log: str) -> MystyleError:
    """Return what is said where a job has done nothing."""
    if log:
        return MystyleError(f"{said} before it began: {log}", "Its log lies in the run's folder.")
    return MystyleError(
        f"{said}, and nothing of it has arrived in {folder}",
        "Slurm's nodes must all see the store, photos and results: --store, -o.",
    )
