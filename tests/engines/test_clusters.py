"""Ray with two nodes and Slurm, both real, on this machine: every item once, deaths cost time only."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from mystyle_cli.engines.engine import Demand, Engine, LostError, Note, Seat, Spread
from mystyle_cli.engines.named import parse
from mystyle_cli.errors import ModelError, MystyleError
from tests.engines.ray_nodes import may_hide, ray_nodes
from tests.engines.slurm import missing, slurm
from tests.support.tiny_store import picture
from tests.support.toil import Refusing, Settings, Sleeping, Squaring, begun, chunks
from tests.support.waiting import runs, wait_until

TOKEN = Path.home() / ".ray" / "auth_token"  # where Ray would leave a secret

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture(scope="module")
def ray() -> None:
    """Ray is there; it is not imported, for it reads its environment then."""
    if find_spec("ray") is None:
        pytest.skip("ray is not installed (extra ray)")


@pytest.fixture(scope="module")
def ray_cluster(ray: None) -> Iterator[str]:
    """The address of a Ray with two nodes of one core each."""
    with ray_nodes(2) as nodes:
        yield nodes.address


@pytest.fixture(scope="module")
def slurm_cluster() -> Iterator[None]:
    """A Slurm that this process and its children use."""
    pytest.importorskip("submitit", reason="submitit is not installed (extra slurm)")
    if missing():
        pytest.skip(f"no {', '.join(missing())} here (apt install slurmctld slurmd slurm-client munge)")
    with slurm() as added, pytest.MonkeyPatch.context() as patch:
        for name, value in added.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(params=["ray", "slurm"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine, on its cluster."""
    if request.param == "ray":
        return parse(f"ray:{request.getfixturevalue('ray_cluster')}").open()
    request.getfixturevalue("slurm_cluster")
    return parse("slurm:short").open()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run."""
    folder = tmp_path / "run"
    folder.mkdir(0o700)
    return folder


def test_each_item_has_its_answer_once(engine: Engine, run: Path, tmp_path: Path) -> None:
    """In other processes than this; what workers tell is told once; nothing but logs is left of it."""
    notes: list[Note] = []
    opener = Squaring(tmp_path / "log")
    found = list(Spread(engine, Demand(), run, Seat(notes.append)).over(opener, chunks(40, 2)))
    assert sorted(found) == [(item, item * item) for item in range(40)]
    assert sorted(item for item, _ in begun(opener.log)) == list(range(40))
    assert str(os.getpid()) not in {who for _, who in begun(opener.log)}
    assert notes == [Note("info", "opened")]
    left = [path for path in run.rglob("*") if path.is_file() and path.suffix not in {".sh", ".err", ".out"}]
    assert left == []


def test_a_worker_that_dies_costs_time_only(engine: Engine, run: Path, tmp_path: Path) -> None:
    """What it had is tried again; an item that it dies of twice is told as lost, with how it ended."""
    opener = Squaring(tmp_path / "log", deadly=((1, 1), (4, -1)))
    found = dict(Spread(engine, Demand(), run).over(opener, chunks(8, 3)))
    lost = found.pop(4)
    assert isinstance(lost, LostError)
    assert any(word in lost.message for word in ("system_error", "ended as FAILED"))
    assert found == {item: item * item for item in range(8) if item != 4}
    assert [item for item, _ in begun(opener.log)].count(4) == 2


def test_what_all_need_ends_the_whole(engine: Engine, run: Path) -> None:
    """The error arrives as it was raised: its kind, its words, its hint."""
    with pytest.raises(ModelError, match="the prior is gone") as raised:
        list(Spread(engine, Demand(), run).over(Refusing(), chunks(8, 2)))
    assert raised.value.hint == "Bring it back."


def test_a_worker_takes_one_core(engine: Engine, run: Path) -> None:
    """However many its machine has."""
    [(_, count)] = Spread(engine, Demand(), run).over(Settings(), [["OMP_NUM_THREADS"]])
    assert count == "1"


def test_what_no_node_has_is_refused(engine: Engine, run: Path) -> None:
    """In one line, before anything is handed out."""
    with pytest.raises(MystyleError, match=r"has a core and 1000\.0 GB"):
        list(Spread(engine, Demand(memory=10**12), run).over(Settings(), [["HOME"]]))


def test_nobody_works_on_when_it_is_interrupted(engine: Engine, run: Path, tmp_path: Path) -> None:
    """What is under way when the loop is left ends with it."""
    loop = Spread(engine, Demand(), run, stopped=lambda: (tmp_path / "0").exists())
    with pytest.raises(KeyboardInterrupt):
        list(loop.over(Sleeping(tmp_path), [[0], [1]]))
    wait_until(lambda: not (tmp_path / "0").read_text() or not runs(int((tmp_path / "0").read_text())))


def test_a_node_of_ray_that_goes_costs_time_only(ray: None, tmp_path: Path) -> None:
    """Killed in the middle, it is no blame of its items; a node that comes takes its place."""
    script = tmp_path / "driver.py"
    script.write_text(NODES)
    done = subprocess.run(
        [sys.executable, script, tmp_path / "log"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "60 squares\n"  # and nothing of Ray's own among them
    assert len(begun(tmp_path / "log")) in {60, 61, 62}


NODES = """
import sys
from pathlib import Path
from mystyle_cli.engines.engine import Spread
from mystyle_cli.engines.named import parse
from tests.engines.ray_nodes import may_hide, ray_nodes
from tests.support.toil import Squaring
if __name__ == "__main__":
    with ray_nodes(2) as nodes:
        found = {}
        loop = Spread(parse(f"ray:{nodes.address}").open(), folder=Path(sys.argv[1]).parent)
        for item, answer in loop.over(Squaring(Path(sys.argv[1]), pause=0.2), [[item] for item in range(60)]):
            assert item not in found
            found[item] = answer
            if len(found) == 10:
                nodes.kill()
            if len(found) == 30:
                nodes.add()
    assert found == {item: item * item for item in range(60)}
    print(len(found), "squares")
"""


def test_a_ray_of_its_own_listens_here_only_and_ends(ray: None, tmp_path: Path) -> None:
    """Without an address a cluster is started for the command: none but this machine could reach it."""
    there = TOKEN.exists()
    script = tmp_path / "driver.py"
    script.write_text(OWN)
    done = subprocess.run(
        [sys.executable, script, tmp_path],
        env=environment() | {"TMPDIR": "/tmp"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    addresses, folder = done.stdout.splitlines()
    assert addresses == "['127.0.0.1']"
    mode, path = folder.split()
    assert mode == "0o700"
    assert not Path(path).exists()
    assert TOKEN.exists() == there


OWN = """
import sys, tempfile
from pathlib import Path
from mystyle_cli.engines.engine import Spread
from mystyle_cli.engines.named import parse
from tests.support.listening import listening
from tests.support.toil import Squaring
if __name__ == "__main__":
    before = set(Path("/tmp").glob("mystyle-ray-*"))
    for item, answer in Spread(parse("ray").open()).over(Squaring(Path(sys.argv[1]) / "log"), [[7]]):
        print(sorted(listening()))
        [folder] = set(Path("/tmp").glob("mystyle-ray-*")) - before
        print(oct(folder.stat().st_mode & 0o777), folder)
"""


def environment() -> dict[str, str]:
    """Return the environment of a driver that imports what this process does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def test_a_requeued_job_goes_on_where_it_was(slurm_cluster: None, run: Path, tmp_path: Path) -> None:
    """What is done is not done again."""
    opener = Squaring(tmp_path / "log", pause=0.5)
    requeued, found = False, {}
    for item, answer in Spread(parse("slurm:short").open(), Demand(), run).over(opener, chunks(12, 1)):
        assert item not in found
        found[item] = answer
        if not requeued:
            listed = subprocess.run(
                ["squeue", "-h", "-r", "-t", "RUNNING", "-o", "%i"], capture_output=True, text=True
            )
            for job in listed.stdout.split():
                requeued |= subprocess.run(["scontrol", "requeue", job]).returncode == 0
    assert requeued
    assert found == {item: item * item for item in range(12)}
    assert len(begun(opener.log)) <= 14  # but what each was at


def test_a_cancelled_job_ends_the_whole(slurm_cluster: None, run: Path, tmp_path: Path) -> None:
    """Whoever cancels it wants it to end."""
    loop = Spread(parse("slurm:short").open(), Demand(), run).over(Sleeping(tmp_path), [[0]])
    canceller = subprocess.Popen(
        ["sh", "-c", f"while ! test -s {tmp_path}/0; do sleep .1; done; scancel --user=$(id -un)"]
    )
    with pytest.raises(MystyleError, match="ended as CANCELLED, by somebody's hand"):
        list(loop)
    assert canceller.wait() == 0


def test_jobs_leave_when_the_driver_is_gone(slurm_cluster: None, run: Path, tmp_path: Path) -> None:
    """A driver that was killed cannot cancel: they leave when it gives no sign of life."""
    script = tmp_path / "driver.py"
    script.write_text(KILLED)
    driver = subprocess.Popen([sys.executable, script, run, tmp_path / "log"], env=environment())
    wait_until(lambda: (tmp_path / "log").exists())
    driver.kill()
    driver.wait()
    [pulse] = (run / "logs").glob("*-pulse")
    long_ago = time.time() - 10_000
    os.utime(pulse, (long_ago, long_ago))
    queue = ["squeue", "-h", "-u", os.environ.get("USER", "root")]
    wait_until(lambda: subprocess.run(queue, capture_output=True).stdout == b"")
    assert len(begun(tmp_path / "log")) < 100


KILLED = """
import sys
from pathlib import Path
from mystyle_cli.engines.engine import Spread
from mystyle_cli.engines.named import parse
from tests.support.toil import Squaring
if __name__ == "__main__":
    loop = Spread(parse("slurm:short").open(), folder=Path(sys.argv[1]))
    list(loop.over(Squaring(Path(sys.argv[2]), pause=0.5), [[item] for item in range(200)]))
"""


def test_what_is_not_there_is_told() -> None:
    """No cluster at an address, no partition of a name: one line each."""
    if not missing():
        with slurm() as added, pytest.MonkeyPatch.context() as patch:
            for name, value in added.items():
                patch.setenv(name, value)
            with pytest.raises(MystyleError, match="no partition 'long'") as raised:
                list(Spread(parse("slurm:long").open(), folder=Path("/tmp")).over(Refusing(), [[1]]))
            assert raised.value.hint == "Give one of: other, short."


@pytest.fixture
def blind(ray: None, tmp_path: Path) -> Path:
    """A folder for a command's files, with one for what workers keep."""
    if not may_hide():
        pytest.skip("this process may not hide folders from others (unshare, as root)")
    for name in ("in", "masks", "out", "store", "tmp"):
        (tmp_path / name).mkdir()
    return tmp_path


def command(folder: Path, address: str | None, *words: object) -> subprocess.Popen[str]:
    """Begin a command in a folder, on a cluster or here."""
    on = ["--on", f"ray:{address}"] if address else []
    return subprocess.Popen(
        [sys.executable, "-m", "mystyle_cli", "--store", "store", "--json", *map(str, words), *on],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("seeing", [0, 1])
def test_a_node_that_sees_no_file_is_sent_what_it_lacks(
    blind: Path, made_store: Path, tiny_prior: Path, seeing: int
) -> None:
    """Profile, prior, photos and masks; alone, and beside one that sees them: the same as in one process."""
    shutil.copytree(made_store, blind / "store", dirs_exist_ok=True)
    for number in range(6):
        Image.fromarray(picture(number, 32)).save(blind / f"in/{number}.png")
        Image.new("L", (32, 32), 255).save(blind / f"masks/{number}.png")
    (blind / "in/6.png").write_text("not a picture")
    words = ["inpaint", "ada", "in", "-o", "out", "--mask", "masks", "--save-codes", "out/codes"]
    words += ["--aligned", "--force", "--steps", "1", "--batch", "2"]
    found = {}
    hidden = [*(blind / name for name in ("in", "masks", "out", "store")), tiny_prior]
    with ray_nodes(seeing) as nodes:
        nodes.add_blind(hidden, blind / "tmp")
        for address in (None, nodes.address):
            here = command(blind, address, *words, *([] if address else ["--threads", "1"]))
            out, err = here.communicate()
            there = sorted(path for path in (blind / "out").rglob("*") if path.is_file())
            content = {
                path: Image.open(path).tobytes() if path.suffix == ".png" else path.read_bytes()
                for path in there
            }
            document = json.loads(out)
            document.pop("run", None)
            found[address is None] = here.returncode, document, content
            assert len(there) == 12
            assert ("what it works on is sent there" in err) == (address is not None)
            for path in there:
                path.unlink()
        wait_until(lambda: not [*(blind / "tmp").iterdir()])
    assert found[False] == found[True]
    assert found[True][0] == 3


SLOW = """
import sys
from pathlib import Path
from tests.support.negatives import options, work
from tests.support.toil import Negating
if __name__ == "__main__":
    batch = work(options("in", on=f"ray:{sys.argv[1]}", batch=1), Negating(Path("log").absolute(), slow=0.3))
    print(len(batch.done), len(batch.skipped), len(batch.failed))
"""


@pytest.mark.parametrize("killed", ["driver", "worker"])
def test_nothing_is_left_where_something_is_killed(blind: Path, killed: str) -> None:
    """Neither on the node nor here; the same command again, or this one, does what is missing."""
    for number in range(12):
        Image.new("RGB", (8, 6), (number, 0, 0)).save(blind / f"in/{number:02}.png")
    (blind / "driver.py").write_text(SLOW)
    with ray_nodes(0) as nodes:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        nodes.add_blind([blind / name for name in ("in", "out", "store")], blind / "tmp")
        words = [sys.executable, "driver.py", nodes.address]
        driver = subprocess.Popen(words, cwd=blind, env=environment, stdout=subprocess.PIPE, text=True)
        wait_until(lambda: len([*(blind / "out").glob("*.png")]) > 2)
        assert [*(blind / "tmp").glob("mystyle-hold-*")]
        if killed == "driver":
            driver.kill()
            driver.communicate()
            wait_until(lambda: not [*(blind / "tmp").iterdir()])
            driver = subprocess.Popen(words, cwd=blind, env=environment, stdout=subprocess.PIPE, text=True)
        else:
            [hold] = (blind / "tmp").glob("mystyle-hold-*")
            os.kill(holder(hold), signal.SIGKILL)
            wait_until(lambda: not hold.exists())
        said, _ = driver.communicate()
        wait_until(lambda: not [*(blind / "tmp").iterdir()])
    done, skipped, failed = map(int, said.splitlines()[-1].split())
    assert (done + skipped, failed) == (12, 0)
    assert (skipped > 0) == (killed == "driver")
    assert sorted(path.name for path in (blind / "out").iterdir()) == [f"{n:02}.png" for n in range(12)]


def holder(hold: Path) -> int:
    """Return the process that holds a hold's lock, as Linux tells it."""
    lock = (hold / "lock").stat().st_ino
    for line in Path("/proc/locks").read_text().splitlines():
        words = line.split()
        if words[1] == "FLOCK" and words[5].endswith(f":{lock}"):
            return int(words[4])
    raise AssertionError(f"nobody holds {hold}")
