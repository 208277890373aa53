"""Photos worked on where nothing of the driver's is seen: the same results, by the driver's hand alone."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import sys
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mystyle_cli.batch import shipping
from mystyle_cli.batch.companions import Companions, mask_companions
from mystyle_cli.batch.errands import Job, Needs, Result
from mystyle_cli.engines import on_ray
from mystyle_cli.engines.engine import Seat
from mystyle_cli.engines.on_ray import Ray
from mystyle_cli.engines.runs import Runs
from mystyle_cli.engines.shipping import Label
from mystyle_cli.errors import MystyleError, UsageError
from mystyle_cli.files.reading import Handed
from mystyle_cli.prior.registry import open_prior
from mystyle_cli.progress import Progress
from mystyle_cli.terminal.outputs import Target
from tests.support.fake_ray import FakeRay, RayActorError, node
from tests.support.negatives import options, results, work
from tests.support.toil import Negating

AWAY = "ray:head:6379"
CRASHED = "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit"


@pytest.fixture
def album(album: Path) -> Path:
    """The same, and a link to nowhere."""
    (album / "h.png").symlink_to("nowhere")
    return album


@pytest.fixture
def ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    """A Ray of two nodes of one core, where nothing of the driver's is seen."""
    names = ("in", "out", "codes", "store", "masks", "mask.png")
    played = FakeRay(
        [node(name, CPU=1, memory=4e9) for name in "ab"], hidden=[tmp_path / name for name in names]
    )
    monkeypatch.setitem(sys.modules, "ray", played)
    monkeypatch.setattr(on_ray, "engine", lambda address: Ray(address, played))  # type: ignore[arg-type]
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    return played


class Reading(Negating):
    """Adds to its summaries what of each photo's companions is read."""

    masks: Companions | None = None
    common: Companions | None = None
    stays = ""

    def needs(self) -> Needs:
        """Return what it reads."""
        return Needs((), tuple(one for one in (self.masks, self.common) if one), self.stays)

    def answer(self, jobs: Sequence[Job], progress: Progress) -> list[Any]:
        """Return the negatives, or what is said where a companion is missing."""
        return [self._answer(job, progress) for job in jobs]

    def _answer(self, job: Job, progress: Progress) -> Any:
        try:
            for one in self.needs().companions:
                job.file(one)
        except MystyleError as error:
            return error
        return super().answer([job], progress)[0]

    def finish(self, job: Job, answer: Any) -> Result:
        """Return what is written and said."""
        made = super().finish(job, answer)
        found = []
        for one in self.needs().companions:
            file = job.file(one)
            data = file.data if isinstance(file, Handed) else file.read_bytes()
            found.append(f"{file}: {hashlib.sha256(data).hexdigest()[:8]}")
        beside = [(target, made.picture) for target in job.beside]
        return replace(made, summary=f"{made.summary} {found}", beside=beside)


def reading(**changes: Any) -> Reading:
    """Return one that leaves its lines where all of it is seen."""
    made = Reading(Path("log").absolute())
    for name, value in changes.items():
        object.__setattr__(made, name, value)
    return made


def told(text: str, run: str, on: str | None) -> str:
    """Return what was said, but for what is of the engine and of the clock."""
    text = text.replace(run or "?", "?").replace(f"run ? on {on}\n", "").replace(',\n  "run": "?"', "")
    text = re.sub(r"[^\n]*what it works on is sent there\n", "", text)
    return re.sub(r"\(\d+ s\)", "", text)


@pytest.mark.parametrize("as_json", [False, True])
def test_it_does_as_one_process_does(
    album: Path, ray: FakeRay, capfd: pytest.CaptureFixture[str], as_json: bool
) -> None:
    """The same bytes, lines in the same order, exit codes, and the same document; nothing is left over."""
    Path("masks").mkdir()
    for name in "abdefg":  # the stranger's is missing, and that of what is no picture
        Path(f"masks/{name}.png").write_text(f"mask of {name}")
    Path("mask.png").write_text("mask of all")
    opening = reading(masks=mask_companions(Path("masks")))
    common = replace(mask_companions(Path("mask.png")), what="other mask")
    object.__setattr__(opening, "common", common)
    found = {}
    for on in (None, AWAY):
        batch = work(options(album, on=on), opening, Path("codes"), json=as_json)
        said = capfd.readouterr()
        out, err = told(said.out, batch.run, on), told(said.err, batch.run, on)
        found[on] = batch.exit_code, results(), results("codes"), out, err
        for path in (*Path("out").iterdir(), *Path("codes").iterdir()):
            path.unlink()
        if on:
            line = r"^(info: )?[\w.-]+ does not see the files: what it works on is sent there$"
            assert len(re.findall(line, said.err, re.MULTILINE)) == 1
    assert found[None] == found[AWAY]
    code, pictures, codes, out, err = found[AWAY]
    assert code == 3
    assert [*pictures] == [f"{name}.png" for name in "abdefg"]
    assert [*codes] == [f"{name}.safetensors" for name in "abdefg"]
    assert "9 photos: 6 done, 3 failed" in err
    if as_json:
        assert len({one["input"] for one in json.loads(out)["failures"]}) == 3
    assert not [*Path("tmp").rglob("*.png")]


@pytest.mark.parametrize("unseen", ["in", "out", "codes", "mask.png"])
def test_the_store_alone_is_not_enough(
    album: Path, ray: FakeRay, capsys: pytest.CaptureFixture[str], unseen: str
) -> None:
    """Where a worker sees it and not the photos, or would write results to a disk of its own."""
    for name in ("out", "codes"):
        Path(name).mkdir()
    Path("mask.png").write_text("mask of all")
    ray.hidden = [Path(unseen).absolute()]
    opening = reading(common=mask_companions(Path("mask.png")))
    batch = work(options(album / "a.png", album / "b.png", on=AWAY), opening, Path("codes"))
    assert "what it works on is sent there" in capsys.readouterr().err
    assert (len(batch.done), len(results()), len(results("codes"))) == (2, 2, 2)


def test_what_all_see_is_used_in_place(album: Path, ray: FakeRay) -> None:
    """Nothing is sent then."""
    ray.hidden = []
    assert len(work(options(album, on=AWAY), reading()).done) == 6
    assert ray.puts == 0


def test_each_file_is_put_once(album: Path, ray: FakeRay) -> None:
    """Photos and their own masks one by one, a mask of all of them once, and what all workers open once."""
    Path("mask.png").write_text("mask of all")
    opening = reading(common=mask_companions(Path("mask.png")))
    photos = [album / f"{name}.png" for name in "abde"]
    assert len(work(options(*photos, on=AWAY), opening).done) == 4
    assert ray.puts == len(photos) + 1 + 1


def test_what_was_sent_is_let_go_of(album: Path, ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver holds photos of a chunk, however many there are; and no worker is told of all of them."""
    real, unpack = ray.put, shipping._Driver.unpack
    held: weakref.WeakSet[Any] = weakref.WeakSet()
    most, told, drivers = 0, [], []

    def put(value: Any) -> Any:
        nonlocal most
        if not isinstance(value, bytes):
            told.append(pickle.dumps(value))
            return real(value)
        made = real(value)
        held.add(made)
        most = max(most, len(held))
        return made

    def noted(driver: Any, *words: Any) -> Any:
        drivers.append(driver)
        return unpack(driver, *words)

    monkeypatch.setattr(ray, "put", put)
    monkeypatch.setattr(shipping._Driver, "unpack", noted)
    assert len(work(options(album, on=AWAY), reading()).done) == 6
    assert most == 2
    assert not drivers[0]._sent
    (load,) = told
    assert not [word for word in (b"stranger", b"in/a.png", b"Noting") if word in load]


def test_a_prior_counts_as_there_by_its_digest(tiny_prior: Path, tmp_path: Path) -> None:
    """Not by its name alone, under which a machine may have another."""
    digest = open_prior(tiny_prior).digest
    assert shipping._Prior(str(tiny_prior), ()).is_there(digest)
    assert not shipping._Prior(str(tiny_prior), ()).is_there(digest[::-1])
    assert not shipping._Prior(str(tmp_path / "nowhere"), ()).is_there(digest)


def test_a_second_run_does_what_is_missing(album: Path, ray: FakeRay) -> None:
    """What this run wrote is known, wherever it was made; what the user put there stays."""
    opening, how = reading(), options(album, on=AWAY)
    assert len(work(how, opening, Path("codes")).done) == 6
    before = {path: path.stat().st_mtime_ns for path in Path("out").iterdir()}
    assert len(work(how, opening, Path("codes")).skipped) == 6
    assert {path: path.stat().st_mtime_ns for path in Path("out").iterdir()} == before
    Image.new("RGB", (8, 6), (50, 0, 0)).save("in/a.png")  # another photo of that name
    Path("out/b.png").unlink()
    Path("codes/d.safetensors").unlink()
    Path("out/e.png").write_bytes(b"mine")
    Path("log").unlink()
    third = work(how, opening, Path("codes"))
    made = sorted(Path(line).name for line in Path("log").read_text().splitlines())
    assert made == ["a.png", "b.png", "d.png"]
    assert (len(third.done), len(third.skipped)) == (3, 2)
    assert Path("out/e.png").read_bytes() == b"mine"
    (run,) = Runs(Path("store")).all()
    assert len(run.results()) == 5 + 6


def test_what_comes_to_a_result_s_place_meanwhile_stays(
    album: Path, ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver looks again when something has come back."""
    real = shipping._Driver.unpack

    def unpack(driver: Any, items: Sequence[Any], answers: Any) -> Any:
        Path("out").mkdir(exist_ok=True)
        Path("out/b.png").write_bytes(b"mine")
        return real(driver, items, answers)

    monkeypatch.setattr(shipping._Driver, "unpack", unpack)
    batch = work(options(album / "a.png", album / "b.png", on=AWAY), reading())
    assert [one["output"] for one in batch.done] == ["out/a.png"]
    assert "out/b.png is already there" in batch.failed[0].error.message
    assert Path("out/b.png").read_bytes() == b"mine"


def test_a_worker_that_dies_costs_time_only(album: Path, ray: FakeRay) -> None:
    """What it had is sent again, each photo alone."""
    ray.deaths["outcome"] = [RayActorError(CRASHED)]
    batch = work(options(album, on=AWAY), reading())
    assert [one["output"] for one in batch.done] == [f"out/{name}.png" for name in "abdefg"]
    assert len(batch.failed) == 3


def test_work_that_keeps_something_is_refused(album: Path, ray: FakeRay) -> None:
    """Where that would be kept in a copy, with the next step; nothing is written."""
    with pytest.raises(UsageError, match="it keeps things, and not all machines") as raised:
        work(options(album, on=AWAY), reading(stays="it keeps things"))
    assert "--store" in raised.value.hint
    assert not Path("out").exists()


def swapped(data: bytes) -> bytes:
    """Return content of which one byte is another."""
    return bytes([data[0] ^ 1]) + data[1:]


@pytest.mark.parametrize("harm", [swapped, lambda data: data[:-1]], ids=["swapped", "cut off"])
def test_a_photo_that_does_not_arrive_whole_is_refused(
    album: Path, ray: FakeRay, monkeypatch: pytest.MonkeyPatch, harm: Callable[[bytes], bytes]
) -> None:
    """It alone fails, and its own result alone is missing."""
    real, torn = ray.put, (album / "b.png").read_bytes()
    monkeypatch.setattr(ray, "put", lambda value: real(harm(value) if value == torn else value))
    batch = work(options(album / "a.png", album / "b.png", on=AWAY), reading())
    assert [one["output"] for one in batch.done] == ["out/a.png"]
    assert "in/b.png has not arrived as it was sent" in batch.failed[0].error.message
    assert [*results()] == ["a.png"]


def brought(change: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have workers bring something else back."""
    real = shipping._brought

    def odd(*words: Any) -> Any:
        found = real(*words)
        return change(found) if "b.png" in found.done.summary else found

    monkeypatch.setattr(shipping, "_brought", odd)


def renamed(name: str) -> Callable[[Any], Any]:
    """Return what gives the result another name."""

    def change(found: Any) -> Any:
        ((label, data),) = found.files
        return replace(found, files=((replace(label, name=name), data),))

    return change


def doubled(found: Any) -> Any:
    """Return the same with something more."""
    return replace(found, files=(*found.files, (Label.of("mine.txt", b"x"), b"x")))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        *(
            (renamed(name), "came back")
            for name in ("out/a.png", "../mine.txt", "in/a.png", "out/../in/a.png")
        ),
        (doubled, "came back"),
        (lambda found: replace(found, files=found.files * 2), "came back"),
        (lambda found: replace(found, files=()), "has not come back"),
        (lambda found: replace(found, files=((found.files[0][0], b"other"),)), "not arrived as it was sent"),
        (
            lambda found: replace(found, files=((replace(found.files[0][0], size=1 << 40), b""),)),
            "bytes came",
        ),
        (lambda found: "nonsense", "nothing came back"),
        (lambda found: found.done, "nothing came back"),
        (lambda found: replace(found, done="nonsense"), "nothing came back"),
    ],
)
def test_nothing_but_a_photo_s_own_result_is_written(
    album: Path,
    ray: FakeRay,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Any], Any],
    said: str,
) -> None:
    """Whatever a worker brings back: that photo fails, the others are done, and nothing else is touched."""
    Path("mine.txt").write_text("mine")
    brought(change, monkeypatch)
    photos = [album / "a.png", album / "b.png", album / "d.png"]
    before = results("in")
    batch = work(options(*photos, on=AWAY), reading())
    assert [one["output"] for one in batch.done] == ["out/a.png", "out/d.png"]
    assert said in batch.failed[0].error.message
    assert [*results()] == ["a.png", "d.png"]
    assert results("in") == before
    assert Path("mine.txt").read_text() == "mine"
    assert not Path("../mine.txt").exists()


@pytest.mark.parametrize(("lost", "done"), [("b.png", ["a.png", "d.png"]), ("a.png", ["d.png"])])
def test_fewer_answers_than_photos_end_nothing(
    album: Path, ray: FakeRay, monkeypatch: pytest.MonkeyPatch, lost: str, done: list[str]
) -> None:
    """Those of its chunk may fail, and no answer is taken for another photo's; the others are done."""
    real = shipping._Driver.unpack

    def unpack(driver: Any, items: Sequence[Any], answers: Any) -> Any:
        return real(driver, items, [one for one in answers if lost not in one.done.summary])

    monkeypatch.setattr(shipping._Driver, "unpack", unpack)
    batch = work(options(*(album / f"{name}.png" for name in "abd"), on=AWAY), reading())
    assert [*results()] == done
    assert {"came back" in one.error.message for one in batch.failed} == {True}


def test_results_are_announced_before_they_are_there(
    album: Path, ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the driver, as a worker would that sees the files."""
    from mystyle_cli.batch import errands

    real, seen = errands.put, []

    def put(target: Target, data: bytes, *rest: Any) -> None:
        (run,) = Runs(Path("store")).all()
        noted = {Path("/", line["output"]): line["written"] for _, line in run.lines()}
        assert noted.get(target.path.absolute()) == hashlib.sha256(data).hexdigest()  # type: ignore[union-attr]
        seen.append(target.name)
        real(target, data, *rest)

    monkeypatch.setattr(errands, "put", put)
    assert len(work(options(album / "a.png", on=AWAY), reading(), Path("codes")).done) == 1
    assert seen == ["codes/a.safetensors", "out/a.png"]


def test_results_may_be_several(album: Path, ray: FakeRay) -> None:
    """Variants and their map come back, too, the result itself last."""
    from mystyle_cli.batch.batch import open_batch
    from mystyle_cli.batch.running import Asked
    from mystyle_cli.terminal.app import App

    app = App(store=Path("store"))
    how = options(album / "a.png", on=AWAY)
    with open_batch(app.console, how, "negative", variants=2, asked=Asked(app, "negative", (), ())) as batch:
        batch.work(reading())
    assert [*results()] == ["a-1.png", "a-2.png", "a-open.png"]
    assert len({*results().values()}) == 1


class Odd(Reading):
    """Has a fault that one photo shows."""

    def finish(self, job: Job, answer: Any) -> Result:
        """Fail on one."""
        if job.item.relative.name == "b.png":
            raise ValueError("no such tone")
        return super().finish(job, answer)


def test_a_fault_at_one_photo_is_that_photo_s(album: Path, ray: FakeRay) -> None:
    """Whatever is raised where it is worked on, the others are done."""
    batch = work(options(album / "a.png", album / "b.png", on=AWAY), Odd(Path("log").absolute()))
    assert [*results()] == ["a.png"]
    assert "in/b.png: unexpected ValueError: no such tone" in batch.failed[0].error.message


class Unready(Negating):
    """Cannot be opened in a worker."""

    def open(self, seat: Seat) -> Negating:
        """Refuse."""
        raise MystyleError("no net there", "Bring one.")

    def answer(self, jobs: Sequence[Job], progress: Progress) -> list[Any]:
        """Be asked for nothing."""
        raise AssertionError


def test_what_all_photos_need_ends_the_whole(album: Path, ray: FakeRay) -> None:
    """As it was raised there."""
    with pytest.raises(MystyleError, match="no net there"):
        work(options(album, on=AWAY), Unready(Path("log")))
    assert not Path("out").exists()
