"""The engine of Slurm's jobs, with a Slurm that is played: what is asked of it, and made of its answers."""

from __future__ import annotations

import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from mystyle_cli.engines import on_slurm
from mystyle_cli.engines.engine import Chunk, Demand, LostError, Outcome, Seat, Spread
from mystyle_cli.engines.named import Where, parse
from mystyle_cli.engines.on_slurm import Bundle, Slurm, read_progress
from mystyle_cli.errors import MystyleError
from tests.support.toil import Squaring

NONE = Demand()
NODES = (
    "day*|4|8000|(null)|idle|1:00:00",
    "day*|2|4000|gpu:a100:2(S:0)|mix|1:00:00",
    "night|8|9000|(null)|down*|infinite",
)


@dataclass
class Played:
    """Slurm, and submitit's executor; what is to become of each job is said beforehand.

    Args:
        ends: for each job in turn, what it does and what Slurm says of its end; others do their work.
    """

    folder: Path
    nodes: tuple[str, ...] = NODES
    ends: list[tuple[Callable[[Bundle], object], str]] = field(default_factory=list)
    bundles: list[Bundle] = field(default_factory=list)
    arrays: list[int] = field(default_factory=list)  # how many jobs each had
    states: dict[str, str] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    refusal: str = ""
    settings: dict[str, object] = field(default_factory=dict)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """As submitit's."""
        self.arrays.append(0)
        yield
        if self.refusal:
            raise RuntimeError(self.refusal)

    def update_parameters(self, **settings: object) -> None:
        """As submitit's."""
        self.settings = settings

    def submit(self, bundle: Bundle) -> SimpleNamespace:
        """Do a job at once, and let Slurm forget it."""
        name = f"{len(self.arrays)}_{self.arrays[-1]}"
        self.arrays[-1] += 1
        self.bundles.append(bundle)
        work, state = self.ends.pop(0) if self.ends else (Bundle.__call__, "COMPLETED")
        work(bundle)
        self.states[name] = state
        paths = {
            what: self.folder / f"{name}.{what}" for what in ("submitted_pickle", "result_pickle", "stderr")
        }
        return SimpleNamespace(job_id=name, paths=SimpleNamespace(**paths))

    def answer(self, *words: str) -> list[str]:
        """Answer as Slurm's commands do."""
        if words[0] == "sinfo":
            return list(self.nodes)
        if words[0] == "scontrol":
            return [f"JobId=1 JobName=mystyle JobState={self.states[words[-1]]} Reason=None"]
        if words[0] == "scancel":
            self.cancelled += words[1:]
        return [name for name, state in self.states.items() if state == "RUNNING"]  # of squeue


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    """A Slurm of two nodes of which one has cards, and another that is down; it answers at once."""
    slurm = Played(tmp_path)
    monkeypatch.setattr(on_slurm, "_asked", slurm.answer)
    monkeypatch.setattr(on_slurm, "ASKING_S", (0.0, 0.0))
    monkeypatch.setattr(on_slurm, "GRACE_S", 0.0)
    monkeypatch.setattr(on_slurm, "EVERY_S", 0.0)
    monkeypatch.setitem(sys.modules, "submitit", SimpleNamespace(AutoExecutor=lambda **words: slurm))
    return slurm


def squares(played: Played, demand: Demand = NONE, count: int = 8, partition: str = "") -> dict[int, object]:
    """Square numbers, each a chunk of its own."""
    run = played.folder / "run"
    opener = Squaring(played.folder / "log")
    found: dict[int, object] = {}
    for item, answer in Spread(Slurm(partition), demand, run).over(opener, [[item] for item in range(count)]):
        assert item not in found
        found[item] = answer
    assert [path for path in run.rglob("*") if path.is_file()] == []
    return found


def numbers(count: int) -> dict[int, object]:
    """Return squares by number."""
    return {item: item * item for item in range(count)}


def test_jobs_get_what_they_need(played: Played) -> None:
    """Cores, memory, a card, the partition's time; as many as nodes have room for, and as many again wait."""
    assert squares(played, count=60) == numbers(60)
    assert len(played.bundles[0].chunks) == on_slurm.UNKNOWN
    assert Slurm("").seats(NONE) == 6
    assert played.settings["cpus_per_task"] == 1
    assert played.settings["timeout_min"] == 60
    assert not {"slurm_partition", "mem_gb", "gpus_per_node"} & set(played.settings)
    squares(played, Demand(memory=3 * 2**30, gpu=True), partition="day")
    assert played.settings["mem_gb"] == 3
    assert played.settings["gpus_per_node"] == 1
    assert played.settings["slurm_partition"] == "day"


def test_a_job_is_long_against_its_start(played: Played) -> None:
    """By what a chunk takes, as far as that is known; few chunks are spread over what is there."""
    assert squares(played, Demand(seconds=100), count=24) == numbers(24)
    assert max(len(bundle.chunks) for bundle in played.bundles) == 3
    played.bundles.clear()
    assert squares(played, Demand(seconds=0.1), count=24) == numbers(24)
    assert [len(bundle.chunks) for bundle in played.bundles] == [4] * 6


def test_what_was_not_begun_goes_to_another_job(played: Played) -> None:
    """Of a job that ended only what it was at is told; and that counts no try where its node went."""
    played.nodes = ("day*|1|8000|(null)|idle|1:00:00",)
    played.ends = [(half_done, "NODE_FAIL"), (half_done, "OUT_OF_MEMORY"), (half_done, "OUT_OF_MEMORY")]
    found = squares(played, count=6)
    lost = [item for item, answer in found.items() if isinstance(answer, LostError)]
    assert len(lost) <= 1
    assert all(found[item] == item * item for item in found if item not in lost)
    assert len(found) == 6


def half_done(bundle: Bundle) -> None:
    """Do the first chunk where there are more, begin the next, and end."""
    first, rest = bundle.chunks[:-1][:1], bundle.chunks[:2][-1]
    Bundle(bundle.number, bundle.opener, first, bundle.folder, bundle.driver)()
    with bundle.progress.open("a") as progress:
        progress.write(f"begun {rest.number}\n")


def test_what_arrives_late_counts(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shared folder shows what a job wrote when Slurm has forgotten the job already."""
    monkeypatch.setattr(on_slurm, "GRACE_S", 30.0)
    late: list[threading.Timer] = []

    def write_late(bundle: Bundle) -> None:
        late.append(threading.Timer(0.05, bundle))
        late[-1].start()

    played.ends = [(write_late, "COMPLETED")]
    assert squares(played, count=1) == numbers(1)


@dataclass(frozen=True)
class Looking:
    """Answers with how far its job says that it is."""

    progress: Path

    def open(self, seat: Seat) -> Callable[[Sequence[int]], list[object]]:
        """Return what looks."""
        return lambda items: [read_progress(self.progress) for _ in items]


def test_a_job_says_what_it_is_at(tmp_path: Path) -> None:
    """So that of one which ends it is known what it had."""
    (tmp_path / "me-pulse").touch()
    chunks = tuple(Chunk(number, (number,)) for number in range(2))
    Bundle(0, Looking(tmp_path / "me-0.progress"), chunks, tmp_path, "me")()
    found = [pickle.loads((tmp_path / f"me-{number}.outcome").read_bytes()).answers for number in range(2)]
    assert found == [((0, set()),), ((1, {0}),)]


def test_a_poisonous_item_is_tried_twice(played: Played) -> None:
    """Then it is told, with what its job said last."""
    played.ends = [(half_done, "OUT_OF_MEMORY"), (half_done, "OUT_OF_MEMORY")]
    for number in (1, 2):
        (played.folder / f"{number}_0.stderr").write_text("slurmstepd: error: Detected 1 oom_kill event\n")
    found = squares(played, count=1)
    error = found[0]
    assert isinstance(error, LostError)
    assert "2_0 ended as OUT_OF_MEMORY: slurmstepd: error: Detected 1 oom_kill event" in error.message


def test_jobs_that_do_nothing_end_the_whole(played: Played) -> None:
    """Where the folder is not shared nothing arrives; else their log says why. Who cancels, wants an end."""
    played.ends = [(lambda bundle: None, "FAILED")] * 9
    with pytest.raises(MystyleError, match="nothing of it has arrived in") as raised:
        squares(played)
    assert "must all see the store" in raised.value.hint
    log = played.folder / f"{len(played.arrays) + 1}_0.stderr"
    log.write_text("a\nbash: /opt/python: No such file or directory\n")
    with pytest.raises(MystyleError, match="before it began: bash: /opt/python: No such file"):
        squares(played)
    played.ends = [(half_done, "CANCELLED")] * 9
    with pytest.raises(MystyleError, match="by somebody's hand"):
        squares(played)


def test_what_is_left_is_cancelled(played: Played) -> None:
    """Each array by its name, and once; what Slurm lists still runs, and is waited for."""
    played.ends = [(lambda bundle: None, "RUNNING")] * 3
    loop = Spread(Slurm(""), folder=played.folder / "run", stopped=lambda: bool(played.states))
    with pytest.raises(KeyboardInterrupt):
        list(loop.over(Squaring(played.folder / "log"), [[1], [2], [3]]))
    assert played.cancelled[-1] == "1"
    assert [*(played.folder / "run" / "logs").iterdir()] == []


def test_what_slurm_refuses_is_told(played: Played) -> None:
    """No such partition, no node that is large enough, no room in the queue."""
    with pytest.raises(MystyleError, match="no partition 'long'") as raised:
        squares(played, partition="long")
    assert raised.value.hint == "Give one of: day, night."
    with pytest.raises(MystyleError, match=r"has a core and 16\.0 GB"):
        squares(played, Demand(memory=16 * 10**9))
    with pytest.raises(MystyleError, match=r"no node of night that is up has a core for a job"):
        squares(played, partition="night")
    played.nodes = tuple(line.replace("day*", "day") for line in NODES)
    with pytest.raises(MystyleError, match="no default partition"):
        squares(played)
    played.nodes, played.refusal = NODES, "sbatch: error: QOSMaxSubmitJobPerUserLimit"
    with pytest.raises(MystyleError, match=r"Slurm takes no job: .*QOSMaxSubmit"):
        squares(played)
    with pytest.raises(MystyleError, match="meet in the folder of a run"):
        list(Spread(Slurm("")).over(Squaring(played.folder / "log"), [[1]]))


def test_a_job_that_begins_again_goes_on(tmp_path: Path) -> None:
    """What is done stays done, also when its answer was taken; without a driver it leaves."""
    opener = Squaring(tmp_path / "log")
    bundle = Bundle(0, opener, tuple(Chunk(number, (number,)) for number in range(4)), tmp_path, "me")
    (tmp_path / "me-pulse").touch()
    (tmp_path / "me-0.progress").write_text("begun 0\ndone 0\nbegun 1\n")
    bundle()
    assert sorted(path.name for path in tmp_path.glob("*.outcome")) == [
        "me-1.outcome",
        "me-2.outcome",
        "me-3.outcome",
    ]
    assert read_progress(tmp_path / "me-0.progress") == (None, {0, 1, 2, 3})
    os.utime(tmp_path / "me-pulse", (1, 1))
    Bundle(1, opener, (Chunk(9, (9,)),), tmp_path, "me")()
    (tmp_path / "me-pulse").unlink()
    Bundle(2, opener, (Chunk(9, (9,)),), tmp_path, "me")()
    assert not (tmp_path / "me-9.outcome").exists()


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_file_is_not_read(played: Played, kind: str, tmp_path: Path) -> None:
    """Where a job's answer should be: that is said in one line, and nothing waits for it."""
    mine = tmp_path / "mine"
    mine.write_bytes(pickle.dumps(Outcome(0, (0,))))

    def make(bundle: Bundle) -> None:
        place = bundle.folder / f"{bundle.driver}-{bundle.chunks[0].number}.outcome"
        if kind == "link":
            place.symlink_to(mine)
        elif kind == "pipe":
            os.mkfifo(place)
        else:
            place.mkdir()

    played.ends = [(make, "DONE")]
    with pytest.raises(MystyleError, match=r"\.outcome cannot be read"):
        squares(played)
    assert mine.exists()


def test_nothing_is_read_that_others_could_have_written(played: Played) -> None:
    """What jobs hand over is read only from a folder and a file of this user's alone."""
    played.ends = [
        (
            lambda bundle: (bundle.folder / f"{bundle.driver}-{bundle.chunks[0].number}.outcome").write_bytes(
                b"x"
            ),
            "DONE",
        )
    ]
    with pytest.raises(MystyleError, match="is not this user's alone"):
        squares(played)


def test_what_a_killed_driver_has_left_ends(played: Played) -> None:
    """Its jobs are cancelled by the run's name, and what they hand over is no answer to this one."""
    logs = played.folder / "run" / "logs"
    logs.mkdir(parents=True)
    for name in ("00c0ffee-0.progress", "00c0ffee-0.outcome", "00c0ffee-pulse", "7_0_submitted.pkl"):
        (logs / name).write_text("done 0\n")
    assert squares(played, count=3) == numbers(3)
    assert "--name=mystyle-run" in played.cancelled


def test_another_version_on_a_node_is_refused(tmp_path: Path) -> None:
    """It might do otherwise."""
    (tmp_path / "me-pulse").touch()
    Bundle(0, Squaring(tmp_path / "log"), (Chunk(0, (0,)),), tmp_path, "me", version="0.0.9")()
    outcome = pickle.loads((tmp_path / "me-0.outcome").read_bytes())
    assert "the driver 0.0.9" in outcome.error.message


@pytest.mark.parametrize(
    ("text", "minutes"), [("30:00", 30), ("1:00:00", 60), ("2-00:00:00", 2880), ("infinite", 60), ("n/a", 60)]
)
def test_limits_as_slurm_writes_them(text: str, minutes: int) -> None:
    """Days, hours, minutes; none where there is none."""
    assert on_slurm._minutes(text) == minutes


def test_cards_as_slurm_writes_them() -> None:
    """With and without a kind, and with the cores that are near them."""
    assert on_slurm._gpus("gpu:2,gpu:a100:3(S:0-1),shard:9") == 5
    assert on_slurm._gpus("(null)") == 0


def test_slurm_that_does_not_answer() -> None:
    """Its own words are told, and what cannot be started at all."""
    with pytest.raises(MystyleError, match="Slurm does not answer: no such thing"):
        on_slurm._asked("sh", "-c", "echo no such thing >&2; exit 3")
    with pytest.raises(MystyleError, match="Slurm does not answer"):
        on_slurm._asked("no-such-program-of-slurm")
    assert on_slurm._state("1") == "UNKNOWN"


def test_without_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install is said, or where to go."""
    assert parse("slurm:day") == Where("slurm", "day")
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(MystyleError, match="needs the optional submitit"):
        parse("slurm").open()
    monkeypatch.setitem(sys.modules, "submitit", SimpleNamespace())
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MystyleError, match="this machine has no Slurm"):
        parse("slurm:day").open()


def test_progress_that_is_torn_says_what_is_whole(tmp_path: Path) -> None:
    """A line without its end counts as not written, and what is none of them for nothing."""
    path = tmp_path / "me-0.progress"
    assert read_progress(path) == (None, set())
    for text, told in (
        ("begun 4\ndone 4\nbegun 5\n", (5, {4})),
        ("begun 4\ndone 4\nbegun 5", (None, {4})),
        ("begun 4\ndone 4\nbegun\n\n\x00\n", (None, {4})),
        ("begun 4\ndone", (4, set())),
    ):
        path.write_text(text)
        assert read_progress(path) == told
