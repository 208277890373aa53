"""`mystyle evaluate` through the command line: what it writes, refuses, and takes up again."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import shutil
from dataclasses import replace
from html import escape
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from mystyle_cli.baselines.methods import BASELINES
from mystyle_cli.errors import ModelError, ProfileError, UsageError
from mystyle_cli.evaluation.evaluation import Skipped, _key, evaluate
from mystyle_cli.evaluation.registry import EXPERIMENTS, choose, compared
from mystyle_cli.experiments.bench import ALWAYS, QUICK, Bench, Protocol, fraction
from mystyle_cli.experiments.experiment import Experiment, Measured, read_measured
from mystyle_cli.person.profile import Profile
from mystyle_cli.progress import Step
from tests.support.journeys import Run, document, journey
from tests.support.tiny_store import make_store

SMALL = Protocol("test", 1, 3, 3, 6, 1, (3,), 1, 2, ("Domain prior", "MyStyle", "MyStyle, near"), steps=2)
ALONE = [one for one in EXPERIMENTS if not one.others and one.name not in ("cost", "poses")]
CHEAP = choose(("reconstruction", "interpolation", "walks", "synthesis", "wrong", "plane"), paper=True)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory, tiny_prior: Path) -> list[Profile]:
    """Two tuned profiles of one prior at 32 pixels, of six photos each and two held out."""
    root = tmp_path_factory.mktemp("people")
    return [make_store(root, tiny_prior, name).open(name) for name in ("ada", "ben")]


@pytest.fixture(scope="module")
def whole(people: list[Profile], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all experiments on one person that need no clock, made without a break."""
    folder = tmp_path_factory.mktemp("whole") / "results"
    found = evaluate(people[:1], ALONE, SMALL, folder)
    assert [report.name for report in found.reports] == [experiment.name for experiment in ALONE]
    assert not found.skipped
    return folder


def test_every_experiment_tells_what_it_found(whole: Path) -> None:
    """Each has a table with finite figures, and the page shows each under its question."""
    results = json.loads((whole / "results.json").read_text())
    page = (whole / "report.html").read_text()
    for experiment, report in zip(ALONE, results["reports"], strict=True):
        cells = [cell for table in report["tables"] for row in table["rows"] for cell in row]
        assert any(isinstance(cell, float) or (isinstance(cell, str) and "±" in cell) for cell in cells), (
            report
        )
        assert report["findings"], report["name"]
        assert escape(experiment.question) in page


def test_tables_stand_as_csv_beside_the_page(people: list[Profile], tmp_path: Path) -> None:
    """A CSV holds what the JSON does, row by row."""
    folder = tmp_path / "results"
    evaluate(people, choose(("plane",), paper=True), SMALL, folder)
    (report,) = json.loads((folder / "results.json").read_text())["reports"]
    rows = list(csv.reader(io.StringIO((folder / "tables" / "plane-1.csv").read_text())))
    assert rows[0] == report["tables"][0]["columns"]
    assert [row[0] for row in rows[1:]] == ["ada", "ben"]
    assert [float(row[2]) for row in rows[1:]] == [row[2] for row in report["tables"][0]["rows"]]


def test_the_page_needs_nothing_else(whole: Path) -> None:
    """No address of anything outside, no script; pictures lie in it, and it is not for others."""
    page = (whole / "report.html").read_text()
    outside = [
        link
        for link in re.findall(r"""(?:src|href|url)\s*[=(]\s*['"]?([^'")\s>]+)""", page)
        if link[0] != "#"
    ]
    assert outside
    assert all(link.startswith("data:image/") for link in outside)
    assert "<script" not in page
    assert (whole.stat().st_mode & 0o077, (whole / "report.html").stat().st_mode & 0o077) == (0, 0)


@pytest.fixture(scope="module")
def unbroken(people: list[Profile], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What a run of the cheap experiments without a break finds."""
    folder = tmp_path_factory.mktemp("unbroken") / "results"
    evaluate(people, CHEAP, SMALL, folder)
    return (folder / "results.json").read_bytes()


@pytest.mark.parametrize("parts", [0, 3, 7])
def test_an_interrupted_run_goes_on_to_the_same_tables(
    people: list[Profile], unbroken: bytes, tmp_path: Path, parts: int
) -> None:
    """Broken off after some parts, and then inside the next one, the same call ends with the same figures."""
    folder = tmp_path / "results"

    def break_off(step: Step) -> None:
        if folder.is_dir() and len(list(folder.glob("parts/*.json"))) >= parts:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(people, CHEAP, SMALL, folder, break_off)
    kept = {path.name: path.stat().st_mtime_ns for path in folder.glob("parts/*.json")}
    assert len(kept) == parts
    evaluate(people, CHEAP, SMALL, folder)
    assert (folder / "results.json").read_bytes() == unbroken
    assert {name: (folder / "parts" / name).stat().st_mtime_ns for name in kept} == kept  # not made again
    assert not list(folder.glob("weights/*"))


def test_a_damaged_part_is_made_again(people: list[Profile], tmp_path: Path) -> None:
    """What is not whole counts for nothing."""
    folder, chosen = tmp_path / "results", choose(("plane",), paper=True)
    evaluate(people, chosen, SMALL, folder)
    before = (folder / "results.json").read_bytes()
    part = next(iter(folder.glob("parts/plane-*.json")))
    part.write_text('{"anchors": {"shape": [1000000, 9], "values": [1]}}')
    evaluate(people, chosen, SMALL, folder)
    assert (folder / "results.json").read_bytes() == before


def test_another_seed_or_protocol_is_measured_anew(people: list[Profile], tmp_path: Path) -> None:
    """A part answers only for the numbers that it was measured with."""
    counted: list[str] = []

    def measure(bench: Bench) -> Measured:
        counted.append(bench.profile.name)
        return Measured({"x": np.array([1.0])})

    plain = choose(("plane",), paper=True)[0]
    counting = Experiment("plane", "?", measure, lambda measured: plain.tell({}) if not measured else _no())
    for protocol in (SMALL, SMALL, replace(SMALL, seed=1), replace(SMALL, pairs=2)):
        with pytest.raises(_ToldError):
            evaluate(people[:1], [counting], protocol, tmp_path / "results")
    assert len(counted) == 3


class _ToldError(Exception):
    """The experiment got to its end."""


def _no() -> None:
    raise _ToldError


def test_what_cannot_be_measured_is_left_out_with_its_reason(people: list[Profile], tmp_path: Path) -> None:
    """One person has nobody to be confused with."""
    found = evaluate(people[:1], choose(("wrong", "plane"), paper=True), SMALL, tmp_path / "results")
    assert not found.reports
    assert [(one.experiment, one.person) for one in found.skipped] == [("wrong", "ada"), ("plane", "ada")]
    assert "2 people" in found.skipped[0].reason


def test_an_experiment_that_fails_is_told_and_ends_no_other(people: list[Profile], tmp_path: Path) -> None:
    """Before and after it others are made; it is named with its reason, on the person it failed on."""

    def measure(bench: Bench) -> Measured:
        if bench.profile.name == "ada":
            raise ProfileError("its net is damaged", "Make it again.")
        return Measured({"anchors": np.eye(2)})

    plane, reconstruction = choose(("reconstruction", "plane"), paper=True)[::-1]
    failing = replace(plane, name="failing", measure=measure)
    found = evaluate(people, [plane, failing, reconstruction], SMALL, tmp_path / "results")
    assert [report.name for report in found.reports] == ["plane", "plane", "reconstruction"]
    assert [row[0] for row in found.reports[1].tables[0].rows] == ["ben"]
    assert found.skipped == (Skipped("failing", "ada", "it failed: its net is damaged", failed=True),)
    assert json.loads((tmp_path / "results" / "results.json").read_text())["skipped"][0]["failed"]


DAMAGE = (
    b"",
    b"{}",
    b'{"values": {}}',
    b'{"values": {"before": {"shape": [1], "values": 5}}, "pictures": []}',
    b'{"values": {"before": {"shape": [1e999], "values": []}}, "pictures": []}',
    b'{"values": {"before": {"shape": [true], "values": ["1"]}}, "pictures": []}',
    b'{"values": {"before": {"shape": [2], "values": [1]}}, "pictures": []}',
    b'{"values": {}, "pictures": ["../../secret"]}',
    b'{"values": {}, "pictures": ["nowhere"]}',
)


@pytest.mark.parametrize("data", DAMAGE)
def test_damage_to_what_was_kept_costs_time_only(people: list[Profile], tmp_path: Path, data: bytes) -> None:
    """Whatever stands in a part or has become of its picture, it is measured anew."""
    folder, chosen = tmp_path / "results", choose(("reconstruction",), paper=True)
    evaluate(people[:1], chosen, SMALL, folder)
    page = (folder / "report.html").read_bytes()
    (part,), (picture,) = folder.glob("parts/*.json"), folder.glob("parts/*.png")
    part.write_bytes(data)
    evaluate(people[:1], chosen, SMALL, folder)
    assert (folder / "report.html").read_bytes() == page
    picture.unlink()
    evaluate(people[:1], chosen, SMALL, folder)
    assert (folder / "report.html").read_bytes() == page
    assert picture.is_file()


def test_any_name_of_a_profile_can_be_evaluated(tmp_path: Path, tiny_prior: Path) -> None:
    """With a dot, or as long as a name may be."""
    for name in ("ada.b", "a" * 64):
        profile = make_store(tmp_path / "store", tiny_prior, name).open(name)
        found = evaluate([profile], choose(("reconstruction",), paper=True), SMALL, tmp_path / name[:4])
        assert found.page.is_file()


def test_what_lies_beside_a_folder_of_results_stays(people: list[Profile], tmp_path: Path) -> None:
    """Whatever it is called."""
    beside = tmp_path / ".new-results"
    beside.mkdir()
    (beside / "report.html").write_text("my own")
    evaluate(people[:1], choose(("reconstruction",), paper=True), SMALL, tmp_path / "results")
    assert (beside / "report.html").read_text() == "my own"


def test_a_folder_that_a_killed_command_left_is_taken(people: list[Profile], tmp_path: Path) -> None:
    """Empty, or with half of its marker in it."""
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "..mystyle.mystyle-0123abcd.tmp").write_bytes(b"made")
    assert evaluate(people[:1], choose(("reconstruction",), paper=True), SMALL, folder).page.is_file()


def test_a_folder_with_another_marker_is_not_ours(people: list[Profile], tmp_path: Path) -> None:
    """A profile's, or somebody's own: nothing is written into it."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / ".mystyle").write_text("the user's")
    inside = people[0].path.parent / "new"
    for folder in (mine, people[0].path, people[0].path.parent, inside):
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")} if folder.is_dir() else {}
        with pytest.raises(UsageError):
            evaluate(people[:1], CHEAP, SMALL, folder)
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert not inside.exists()


def test_a_link_in_place_of_a_folder_is_refused_at_once(people: list[Profile], tmp_path: Path) -> None:
    """And so is a name that is too long."""
    folder = tmp_path / "results"
    evaluate(people[:1], choose(("plane",), paper=True), SMALL, folder)
    (tmp_path / "elsewhere").mkdir()
    (folder / "tables").symlink_to(tmp_path / "elsewhere")

    def working(step: Step) -> None:
        raise AssertionError("work was begun")

    for place in (folder, tmp_path / ("x" * 300)):
        with pytest.raises(UsageError, match="cannot hold results"):
            evaluate(people[:1], CHEAP, SMALL, place, working)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_nobody_is_compared_with_themselves(run: Run) -> None:
    """A profile that is named twice is refused."""
    for words in (("evaluate", "ada", "ada", "--quick"), ("evaluate", "--compare", "ada", "ada")):
        done = run(*words)
        assert done.exit_code == 2
        assert "named twice" in done.stderr


def test_somebodys_folder_is_refused(run: Run, tmp_path: Path) -> None:
    """A folder that is not mystyle's keeps every file."""
    (tmp_path / "work" / "mine").mkdir()
    (tmp_path / "work" / "mine" / "report.html").write_text("my own")
    done = run("evaluate", "ada", "--quick", "--only", "interpolation", "-o", "mine")
    assert done.exit_code == 2
    assert "mine" in done.stderr
    assert [path.name for path in (tmp_path / "work" / "mine").iterdir()] == ["report.html"]


@journey("evaluate", "--quick", "--only", "--seed", "--on")
def test_the_command_says_where_the_page_is(run: Run, tmp_path: Path) -> None:
    """Findings and the page's place on stdout; the document has every table, whoever has measured it."""
    done = run("evaluate", "ada", "--quick", "--only", "reconstruction", "--seed", "3", "--on", "local:1")
    assert done.exit_code == 0, done.stderr
    assert "on local:1" in done.stderr
    *findings, page = done.stdout.splitlines()
    assert (tmp_path / "work" / page).is_file()
    assert findings
    found = document(run("--json", "evaluate", "ada", "--quick", "--only", "reconstruction", "--seed", "3"))
    assert found["page"] == page
    assert [report["name"] for report in found["reports"]] == ["reconstruction"]


@journey("evaluate", "--paper", "--share", "--output")
def test_a_share_of_the_paper_is_a_share_of_its_numbers(run: Run, tmp_path: Path) -> None:
    """A tenth of a thousand pairs and of ten thousand pictures; all pairs, where there are fewer."""
    for share, pairs, samples in (("0.1", 100, 1_000), ("1", 1_000, 10_000)):
        done = run("evaluate", "ada", "--paper", "--only", "interpolation", "--share", share, "-o", share)
        assert done.exit_code == 0, done.stderr
        folder = tmp_path / "work" / share
        assert done.stdout.splitlines()[-1] == f"{share}/report.html"
        protocol = json.loads((folder / "results.json").read_text())["protocol"]
        assert (protocol["pairs"], protocol["samples"]) == (pairs, samples)
        (part,) = folder.glob("parts/*.json")
        assert read_measured(part.read_bytes())[0]["pairs"].shape == (15, 2)


@journey("evaluate", "--judge")
def test_an_outside_net_judges_too(
    run: Run, tiny_prior: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its column stands beside the others; what it judged is measured anew by another net, or by none."""
    monkeypatch.setattr("mystyle_cli.analysis.outside.aligned_face", lambda face, crop: ROUGH)
    monkeypatch.setattr("mystyle_cli.experiments.bench.QUICK", replace(QUICK, samples=8))
    net = tmp_path / "outside.onnx"
    shutil.copyfile(tiny_prior / "identity.onnx", net)
    asked = ("--json", "evaluate", "ada", "--quick", "--only", "synthesis", "-o", "out")
    parts = tmp_path / "work" / "out" / "parts"
    plain = document(run(*asked))["reports"][0]["tables"][0]
    judged = document(run(*asked, "--judge", net))["reports"][0]["tables"][0]
    assert [column for column in judged["columns"] if column not in plain["columns"]] == ["judge"]
    place = judged["columns"].index("judge")
    assert all("±" in row[place] for row in judged["rows"])
    assert [row[:place] + row[place + 1 :] for row in judged["rows"]] == plain["rows"]
    results = json.loads((tmp_path / "work" / "out" / "results.json").read_text())
    assert results["judge"] == hashlib.sha256(net.read_bytes()).hexdigest()
    kept = len(list(parts.glob("*.json")))
    model = onnx.load(net)
    model.producer_name = "another"
    onnx.save(model, net)
    run(*asked, "--judge", net)
    assert len(list(parts.glob("*.json"))) == kept + 1
    nothing = run("evaluate", "ada", "--only", "walks", "--judge", net)
    assert nothing.exit_code == 2
    assert "--only synthesis" in nothing.stderr


ROUGH = SimpleNamespace(landmarks=np.random.default_rng(0).uniform(8, 24, (68, 2)))
"""Landmarks somewhere on a face of 32 pixels."""


def test_an_unknown_experiment_is_named(run: Run) -> None:
    """With those that there are."""
    done = run("evaluate", "ada", "--only", "magic")
    assert done.exit_code == 2
    assert "magic" in done.stderr
    assert "interpolation" in done.stderr


def test_values_come_back_as_they_were_written() -> None:
    """Shapes, places and what is no number."""
    values = {"a": np.array([[1.5, np.nan], [-2.25, 1e29]]), "b": np.zeros((0, 3))}
    again, names = read_measured(Measured(values, {"sheet": np.zeros((4, 4, 3), np.uint8)}).to_bytes())
    assert set(again) == {"a", "b"}
    for name, array in values.items():
        np.testing.assert_array_equal(again[name], array)
    assert names == ["sheet"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"a": 1}',
        b'{"a": {"shape": [2], "values": [1]}}',
        b'{"a": {"shape": [1], "values": ["x"]}}',
    ],
)
def test_what_was_not_written_so_is_refused(data: bytes) -> None:
    """As a ValueError, whatever it is."""
    with pytest.raises(ValueError):  # noqa: PT011
        read_measured(data)


def test_quick_is_less_than_everything() -> None:
    """A share never rises above the whole, and leaves something."""
    for share in (0.01, 0.5, 1.0):
        part = fraction(QUICK, share)
        assert 1 <= part.photos <= QUICK.photos
        assert 1 <= part.pairs <= QUICK.pairs
        assert 1 <= part.samples <= QUICK.samples


@journey("evaluate", "--against")
def test_one_method_stands_beside_ours(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table has it and ours; a method that is none there is refused before anything is measured."""
    monkeypatch.setattr("mystyle_cli.experiments.bench.QUICK", replace(QUICK, samples=8))
    asked = ("--json", "evaluate", "ada", "--quick", "--only", "synthesis", "-o", "out", "--against")
    table = document(run(*asked, "GLO"))["reports"][0]["tables"][0]
    assert [row[0] for row in table["rows"]] == ["GLO", "MyStyle"]
    refused = run(*asked, "Nearest anchor")
    assert refused.exit_code == 2
    assert "Domain prior; DiffAugment" in refused.stderr


def test_methods_are_chosen_by_name(people: list[Profile]) -> None:
    """Ours are always there; what no chosen experiment compares with is refused with what one does."""
    synthesis, everything = choose(("synthesis",), paper=False), choose((), paper=True)
    assert compared(["GLO", "GLO"], synthesis, people[0]) == ("GLO", *ALWAYS)
    assert set(ALWAYS) < {method.name for method in BASELINES}
    for name, experiments in (("MyStyle", everything), ("Nearest anchor", synthesis)):
        with pytest.raises(UsageError, match=f"no '{name}'") as refused:
            compared([name], experiments, people[0])
        assert "GLO" in refused.value.hint
    with pytest.raises(UsageError, match="compares methods"):
        compared(["GLO"], choose(("beta",), paper=True), people[0])
    with pytest.raises(ModelError, match="DiffAugment cannot be tried"):
        compared(["DiffAugment"], everything, people[0])


def test_which_methods_are_compared_counts_where_some_are(people: list[Profile]) -> None:
    """What compares none is not measured anew for it, nor what compares the same ones."""
    benches = [Bench(people[0], replace(SMALL, methods=(*one, *ALWAYS))) for one in ((), ("GLO",))]
    keys = {one.name: [_key(one, bench) for bench in benches] for one in EXPERIMENTS}
    assert {name for name, (first, second) in keys.items() if first != second} == {"synthesis"}
