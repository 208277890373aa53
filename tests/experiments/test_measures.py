"""That experiments measure what they say: settings are seen on their way, scores are worked out again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mystyle_cli.analysis.copies import nearest_photos
from mystyle_cli.baselines.pivotal import PivotSettings, find_pivot
from mystyle_cli.errors import NoFaceError
from mystyle_cli.evaluation.registry import EXPERIMENTS
from mystyle_cli.experiments import editing, identity, paths, spaces, subsets, synthesis, tradeoff
from mystyle_cli.experiments.bench import Bench, Protocol, chosen
from mystyle_cli.experiments.cases import Case
from mystyle_cli.find.locate import Subject
from mystyle_cli.person.profile import Profile
from mystyle_cli.person.score import synthesise
from mystyle_cli.photos.pixels import to_pixels, to_unit
from mystyle_cli.restore import restore as restoring
from mystyle_cli.restore.trials import Answers
from mystyle_cli.tuning.anchors import AnchorSettings
from mystyle_cli.tuning.settings import TuneSettings
from tests.support.tiny_store import TRAIN, make_store, picture

SMALL = Protocol("test", 2, 3, 3, 6, 1, (3,), 1, 4, ("Domain prior", "MyStyle", "MyStyle, near"), steps=2)


@pytest.fixture(scope="module", autouse=True)
def quick_descriptors() -> Iterator[None]:
    """In place of dlib's net, which takes a tenth of a second a face: a few pixels."""

    def describe(images: np.ndarray, crop: object) -> np.ndarray:
        return images[:, :, ::8, ::8].reshape(len(images), -1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mystyle_cli.experiments.bench.describe_faces", describe)
        patch.setattr("mystyle_cli.analysis.judge.describe_faces", describe)
        yield


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory, tiny_prior: Path) -> list[Profile]:
    """Two people of six photos each, two more held out; ben's look otherwise than ada's."""
    root = tmp_path_factory.mktemp("measured")
    draw = (picture, lambda seed, size: picture(seed + 70, size))
    return [
        make_store(root, tiny_prior, name, look, number).open(name)
        for number, (name, look) in enumerate(zip(("ada", "ben"), draw, strict=True))
    ]


@pytest.fixture
def bench(people: list[Profile]) -> Bench:
    """Ada, with ben beside her."""
    return Bench(people[0], SMALL, [people[1]])


def spied(monkeypatch: pytest.MonkeyPatch, target: str, note: Callable[..., Any]) -> list[Any]:
    """Note something of every call of a function that goes on as it was."""
    seen: list[Any] = []
    module, _, name = target.rpartition(".")
    real = getattr(__import__(module, fromlist=[name]), name)

    def watched(*args: Any, **named: Any) -> Any:
        seen.append(note(*args, **named))
        return real(*args, **named)

    monkeypatch.setattr(target, watched)
    return seen


def test_scores_are_cosines_to_the_right_photos(bench: Bench) -> None:
    """To the nearest reference photo, to the true photo, and to the nearest held-out photo but that one."""
    profile, made = bench.profile, np.stack([picture(90, 32), picture(91, 32)])
    rows, true = (profile.prior.embed(to_unit(pixels)) for pixels in (made, bench.held_out))
    own = profile.prior.embed(profile.faces())
    scores = bench.score(made)
    np.testing.assert_allclose(scores["id"], (rows @ own.T).max(axis=1), atol=1e-5)
    np.testing.assert_allclose(scores["truth_id"], (rows * true).sum(axis=1), atol=1e-5)
    np.testing.assert_allclose(scores["held_out_id"], [rows[0] @ true[1], rows[1] @ true[0]], atol=1e-5)
    assert bench.score(bench.held_out)["held_out_id"].max() < 1 - 1e-4  # the photo itself does not count
    np.testing.assert_allclose(bench.score(bench.held_out)["lpips"], 0, atol=1e-6)


def test_held_out_photos_are_taken_evenly() -> None:
    """The first and the last among them; never more than there are, never one twice."""
    assert chosen(10, 4) == [0, 3, 6, 9]
    assert chosen(3, 9) == [0, 1, 2]
    assert chosen(0, 4) == []


def test_walks_leave_the_photo_of_their_anchor_out(bench: Bench) -> None:
    """At the anchor itself: the cosine to the nearest other photo, drawn and embedded again."""
    profile = bench.profile
    found = paths.measure_walks(bench).values
    own, drawn = profile.prior.embed(profile.faces()), synthesise(profile.generator(), profile.anchors())
    rows = profile.prior.embed(drawn.clip(-1, 1))
    table = rows @ own.T
    np.fill_diagonal(table, -1)
    starts = np.random.default_rng(SMALL.seed).permutation(np.resize(np.arange(TRAIN), SMALL.walks))
    np.testing.assert_allclose(found["after"][:, 0], table.max(axis=1)[starts], atol=1e-4)


def test_every_beta_is_searched_with(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """In each application, in the order of the table."""
    seen = spied(
        monkeypatch,
        "mystyle_cli.experiments.cases.restore",
        lambda profile, subjects, task, settings, progress: (task, settings.projection.beta),
    )
    found = tradeoff.measure(bench).values
    assert seen == [(case.task, beta) for case in tradeoff.USED for beta in tradeoff.BETAS]
    assert np.isfinite(found["id"]).all()


def test_every_space_is_searched_in(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """For each case, in the order of the table."""
    seen = spied(
        monkeypatch,
        "mystyle_cli.experiments.cases.restore",
        lambda profile, subjects, task, settings, progress: (task, settings.projection.space),
    )
    spaces.measure(bench)
    assert seen == [(case.task, space) for case in spaces.TRIED for space in spaces.SPACES]


def test_subsets_are_tuned_and_searched_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """On their own photos from their own anchors, inverted into their own hull, enlarged in it."""
    anchors, faces = bench.profile.anchors(), bench.profile.faces()
    tuned = spied(monkeypatch, "mystyle_cli.experiments.subsets.tune", lambda wanted, settings, **_: wanted)
    searched = spied(
        monkeypatch,
        "mystyle_cli.experiments.subsets.project",
        lambda problem, settings, _: (problem, settings),
    )
    used = spied(monkeypatch, "mystyle_cli.experiments.cases.restore", lambda person, *_: person.anchors())
    found = subsets.measure(bench).values
    groups = subsets.draw_subsets(TRAIN, SMALL.sizes, SMALL.repeats, SMALL.seed)
    assert [len(rows) for rows in groups] == [3, TRAIN] == found["size"].astype(int).tolist()
    for rows, wanted, (problem, settings), hull in zip(groups, tuned, searched, used, strict=True):
        np.testing.assert_array_equal(wanted.anchors, anchors[rows])
        np.testing.assert_array_equal(wanted.images, faces[rows])
        np.testing.assert_array_equal(problem.anchors, anchors[rows])
        np.testing.assert_array_equal(hull, anchors[rows])
        assert (settings.space, settings.beta) == ("p", 0.0)


def test_samples_are_scored_to_the_set_and_the_nearest_photo(bench: Bench) -> None:
    """Of ours: drawn again from the same seed."""
    profile = bench.profile
    found = synthesis.measure(bench).values
    row = synthesis.ROWS.index(synthesis.OURS)
    [ours] = [method for method in bench.methods if method.name == synthesis.OURS]
    images = synthesise(profile.generator(), ours.sample(profile, bench.trained(ours), 6, SMALL.seed)).clip(
        -1, 1
    )
    cosines = profile.prior.embed(images) @ profile.prior.embed(profile.faces()).T
    np.testing.assert_allclose(found["id"][row], cosines.max(axis=1), atol=1e-5)
    near = nearest_photos(bench.judge.perceptual, images, profile.faces())
    np.testing.assert_allclose(found["nearest"][row], near.distances, rtol=1e-3, atol=1e-6)
    assert np.isnan(found["id"][synthesis.ROWS.index("GLO")]).all()  # the protocol did not ask for it


def test_another_persons_photo_is_held_against_both(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ben's photos by ada's prior and by his; answers are likened to his set, and hers to her."""
    ada, ben = bench.profile, bench.others[0]
    seen = spied(monkeypatch, "mystyle_cli.experiments.cases.restore", lambda person, *_: person.name)
    answers: list[Answers] = []
    real = Case.answered
    monkeypatch.setattr(Case, "answered", lambda *given: answers.append(real(*given)) or answers[-1])
    found = identity.measure_wrong(bench).values
    assert seen == ["ada", "ben"]
    wrong, right = (ada.prior.embed(to_unit(one.pixels)) for one in answers)
    np.testing.assert_allclose(found["right"], (right @ ben.reference_embeddings().T).max(axis=1), atol=1e-5)
    np.testing.assert_allclose(found["wrong"], (wrong @ ben.reference_embeddings().T).max(axis=1), atol=1e-5)
    np.testing.assert_allclose(found["taken"], (wrong @ ada.reference_embeddings().T).max(axis=1), atol=1e-5)
    theirs = to_pixels(ben.faces("held-out"))
    gate = ada.id_score(to_unit(theirs))
    np.testing.assert_allclose(found["gate"], gate, atol=1e-5)
    monkeypatch.setattr(Profile, "id_threshold", float(gate.mean()))
    refused = identity.measure_wrong(bench).values["refused"]
    assert refused.tolist() == (gate < gate.mean()).astype(float).tolist()


def test_every_policy_at_the_limit_is_tried(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the table, with every strength."""
    seen = spied(
        monkeypatch,
        "mystyle_cli.experiments.editing.edit_photos",
        lambda profile, photos, edits, settings, progress: (
            settings.at_limit,
            tuple(strength for [(_, strength)] in edits),
        ),
    )
    found = editing.measure_limits(bench).values
    assert seen == [(policy, editing.STRENGTHS) for policy in editing.POLICIES]
    assert found["id"].shape == (3, 2, len(editing.STRENGTHS))


def refuse(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let no face be found on a photo, whoever looks for one."""
    real = restoring.locate

    def locate(profile: Profile, subject: Subject, **named: Any) -> Any:
        if subject.name == name:
            raise NoFaceError(f"{name}: no face was found", "Choose another photo.")
        return real(profile, subject, **named)

    monkeypatch.setattr(restoring, "locate", locate)


ANSWERING = {
    "beta": "truth_id",
    "photos": "truth_id",
    "enhancement": "truth_id",
    "damage": "truth_id",
    "poses": "id",
    "limits": "id",
    "spaces": "truth_id",
    "wrong": "right",
}
"""Experiments that restore photos, and a figure that each answer has."""


@pytest.mark.parametrize(("name", "kind"), ANSWERING.items())
def test_a_photo_that_fails_is_counted_and_ends_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    """Of two photos the second has no face: every table tells it, and the first's figures are there."""
    experiment = next(one for one in EXPERIMENTS if one.name == name)
    monkeypatch.setattr(tradeoff, "BETAS", (0.0, None))
    brief = PivotSettings(AnchorSettings(steps=1), TuneSettings(passes=1, batch=1))
    monkeypatch.setattr(editing, "find_pivot", partial(find_pivot, settings=brief))
    bench = Bench(bench.profile, replace(SMALL, steps=1), bench.others)
    asked = Bench(bench.others[0], SMALL) if name == "wrong" else bench
    refuse(monkeypatch, asked.photos.names[1])
    found = experiment.measure(bench)
    axis = -2 if name in ("poses", "limits") else -1
    first, second = (np.isnan(found.values[kind].take(row, axis)).sum() for row in (0, 1))
    assert (second > first) == (name != "damage")  # where a failure counts as the photo as it was
    report = experiment.tell({"ada": found})
    assert all(np.isfinite(target.value) for target in report.targets)
    assert report.tables
    for table in report.tables:
        if table.title == "methods":
            continue
        place = list(table.columns).index("failed")
        assert sum(row[place] or 0 for row in table.rows if isinstance(row[place], int)) > 0, table.title
