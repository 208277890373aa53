"""Two profiles on the same photos, and what photos of a profile are worth."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_rel

from mystyle_cli.errors import NoFaceError, ProfileError
from mystyle_cli.evaluation.advice import advise
from mystyle_cli.evaluation.comparison import FIGURES, compare, difference, shared_photos, verdict_of
from mystyle_cli.experiments.bench import QUICK
from mystyle_cli.find.locate import Subject
from mystyle_cli.hull.solve import nearest_alpha
from mystyle_cli.person.profile import Profile
from mystyle_cli.restore import restore as restoring
from mystyle_cli.store.store import Store
from tests.support.journeys import Run, document, journey
from tests.support.tiny_store import TRAIN, make_store

SMALL = replace(QUICK, photos=2, steps=2)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, tiny_prior: Path) -> Store:
    """A store with a person and a copy of them."""
    store = make_store(tmp_path_factory.mktemp("compared"), tiny_prior, "ada")
    shutil.copytree(store.root / "ada", store.root / "again")
    return store


@pytest.fixture(scope="module")
def ada(store: Store) -> Profile:
    """The person."""
    return store.open("ada")


def test_the_mean_of_pairs_and_its_doubt() -> None:
    """As scipy's paired t-test has it; one pair says nothing; more tests leave more doubt."""
    random = np.random.default_rng(0)
    one = random.normal(size=9)
    other = one + 0.5 + 0.3 * random.normal(size=9)
    mean, doubt = difference(one, other)
    low, high = ttest_rel(other, one).confidence_interval(0.95)
    assert (mean - doubt, mean + doubt) == pytest.approx((low, high))
    assert difference(one, other, 12)[1] > 1.2 * doubt
    assert difference(one[:1], other[:1])[1] == np.inf


@pytest.mark.parametrize(
    ("change", "sign", "wanted"), [(0.3, 1, 1), (-0.3, 1, -1), (0.3, -1, -1), (-0.3, -1, 1), (0.1, 1, 0)]
)
def test_who_is_better_depends_on_the_figure(change: float, sign: int, wanted: int) -> None:
    """More ID is better, more LPIPS is worse, and what may be chance is neither."""
    assert verdict_of(change, 0.2, sign) == wanted
    assert FIGURES["truth_id"][1] == 1
    assert FIGURES["lpips"][1] == FIGURES["dlib_truth"][1] == -1


def test_a_profile_differs_in_nothing_from_its_copy(store: Store, ada: Profile) -> None:
    """Every difference is 0, and no side is called better."""
    report = compare(ada, store.open("again"), SMALL)
    (table,) = report.tables
    assert len(table.rows) == 12
    assert {row[6] for row in table.rows} == {"no difference"}
    assert {row[4] for row in table.rows} == {0.0}
    assert report.findings == ["No figure tells ada and again apart."]


def test_photos_that_fail_are_counted(store: Store, ada: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A photo that one of the two fails on is compared by neither; what is told of the other is the same."""
    name = shared_photos(ada, store.open("again"), 2).names[0]
    real = restoring.locate

    def locate(profile: Profile, subject: Subject, **named: Any) -> Any:
        if (profile.name, subject.name) == ("again", name):
            raise NoFaceError(f"{name}: no face was found", "Choose another photo.")
        return real(profile, subject, **named)

    monkeypatch.setattr(restoring, "locate", locate)
    report = compare(ada, store.open("again"), SMALL)
    places = [list(report.tables[0].columns).index(f"failed, {one}") for one in ("ada", "again")]
    assert {tuple(row[place] for place in places) for row in report.tables[0].rows} == {(0, 1)}
    assert max(abs(row[4]) for row in report.tables[0].rows) < 1e-3  # searched with others or alone
    assert report.findings == ["No figure tells ada and again apart."]
    assert difference(np.array([0.1, np.nan]), np.array([np.nan, 0.3]))[1] == np.inf


def test_photos_that_one_has_learned_from_do_not_count(store: Store, ada: Profile) -> None:
    """Only what both have never seen."""
    other = store.open("again")
    assert set(shared_photos(ada, other, 9).names) == {record.file for record in ada.photos("held-out")}
    learned = tuple(replace(record, split="train") for record in other.records if record.kept)
    other.__dict__["records"] = learned
    with pytest.raises(ProfileError, match="unknown to both"):
        shared_photos(ada, other, 9)


@journey("evaluate", "--compare")
def test_compare_from_the_command_line(run: Run, tmp_path: Path) -> None:
    """A table for people, the same as a document; two names are needed."""
    shutil.copytree(tmp_path / "store" / "ada", tmp_path / "store" / "again")
    found = document(run("--json", "evaluate", "--compare", "ada", "again", "--quick"))
    assert found["reports"][0]["name"] == "comparison"
    assert run("evaluate", "--compare", "ada").exit_code == 2
    assert run("evaluate", "--compare", "ada", "again", "--only", "beta").exit_code == 2


def test_what_a_photo_misses_is_measured_on_the_others(ada: Profile) -> None:
    """By an independent walk: the nearest code of the others, drawn and compared."""
    from mystyle_cli.analysis.metrics import lpips
    from mystyle_cli.person.score import synthesise

    found = advise(ada)
    anchors = ada.anchors().astype(np.float64)
    others = np.delete(anchors, 2, axis=0)
    code = (nearest_alpha(anchors[2], others, 0.0) @ others).astype(np.float32)
    made = synthesise(ada.generator(), code[None]).clip(-1, 1)
    assert found.misses[2] == pytest.approx(
        float(lpips(ada.prior.perceptual(), made, ada.faces()[2:3])[0]), rel=1e-4
    )
    assert set(found.adding) | set(found.repeating) <= set(range(TRAIN))
    assert not set(found.adding) & set(found.repeating)
    assert found.misses[found.adding[0]] >= found.misses[found.repeating[0]]
    assert max(found.curve) == TRAIN
    assert all(sentence.endswith(".") for sentence in found.sentences)


@journey("profile advise", "--page", "--overwrite")
def test_advice_from_the_command_line(run: Run, tmp_path: Path) -> None:
    """Sentences, a document, and a page that is for its owner only and replaces nothing."""
    done = run("profile", "advise", "ada", "--page", "advice.html")
    assert done.exit_code == 0, done.stderr
    page = tmp_path / "work" / "advice.html"
    assert page.stat().st_mode & 0o077 == 0
    assert "add most" in page.read_text()
    assert run("profile", "advise", "ada", "--page", "advice.html").exit_code == 2
    assert run("profile", "advise", "ada", "--page", "advice.html", "--overwrite").exit_code == 0
    found = document(run("--json", "profile", "advise", "ada"))
    assert len(found["photos"]) == TRAIN
    assert found["sentences"] == done.stdout.splitlines()[:-1]
