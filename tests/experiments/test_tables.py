"""What experiments tell, of figures written by hand: which way is better, by how much, in which words."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from mystyle_cli.evaluation.advice import RISING, SPREADS, _amount, _doubtful, _gaps
from mystyle_cli.experiments import (
    damage,
    editing,
    enhancement,
    identity,
    paths,
    reconstruction,
    spaces,
    subsets,
    synthesis,
    tradeoff,
)
from mystyle_cli.experiments.bench import MEASURES
from mystyle_cli.experiments.experiment import Measured
from mystyle_cli.report.report import Report
from mystyle_cli.tuning.settings import SAME_WORK, TuneSettings, passes_for


def found(report: Report) -> Mapping[str, tuple[float, bool]]:
    """Return what a report found of each target, and whether it is met."""
    return {target.name: (target.value, target.met) for target in report.targets}


def of(**values: object) -> dict[str, Measured]:
    """Return what was measured on one person."""
    return {"ada": Measured({name: np.asarray(array, np.float64) for name, array in values.items()})}


def test_reconstruction_counts_more_id_and_less_lpips() -> None:
    """Rows are ID, LPIPS and PSNR."""
    measured = of(before=[[0.4, 0.6], [0.2, 0.3], [20, 20]], after=[[0.8, 0.9], [0.1, 0.1], [25, 25]])
    told = found(reconstruction.tell(measured))
    assert told["ada: ID after tuning, higher by"] == (pytest.approx(0.35), True)
    assert told["ada: LPIPS after tuning, lower by"] == (pytest.approx(0.15), True)
    worse = found(reconstruction.tell(of(before=[[0.8], [0.1], [9]], after=[[0.4], [0.2], [9]])))
    assert [met for _, met in worse.values()] == [False, False]


def test_lines_gain_and_dips() -> None:
    """Of two lines with two codes between: one code of four lies below both its ends."""
    values = {
        "thetas": np.linspace(0, 1, 4),
        "pairs": np.zeros((2, 2)),
        "before": np.full((2, 4), 0.3),
        "after": np.array([[0.5, 0.6, 0.45, 0.7], [0.5, 0.6, 0.6, 0.5]]),
    }
    report = paths.tell_lines({"ada": Measured(values)})
    gain = (0.6 + 0.45 + 0.6 + 0.6) / 4 - 0.3
    assert found(report)["ada: ID between anchors higher by"] == (pytest.approx(gain), True)
    assert found(report)["share of codes below both their anchors"] == (pytest.approx(0.25), False)
    assert f"{gain:+.2f}" in report.findings[0]


def test_walks_fall_on_the_way_out() -> None:
    """From the first place to the last, after tuning."""
    measured = of(steps=[0, 1, 2], before=[[0.2, 0.2, 0.2]], after=[[0.8, 0.7, 0.5]])
    report = paths.tell_walks(measured)
    assert found(report)["ada: ID falls on the way out, by"] == (pytest.approx(0.3), True)
    assert "0.80" in report.findings[0]
    assert "0.50" in report.findings[0]


def test_beta_is_advised_where_both_errors_together_are_least() -> None:
    """Per application; more beta costs ID and wins LPIPS."""
    shape = (len(tradeoff.USED), len(tradeoff.BETAS), 2)
    ids, lpips = np.zeros(shape), np.zeros(shape)
    ids[:] = np.array([0.9, 0.88, 0.8, 0.7, 0.5])[None, :, None]
    lpips[:] = np.array([0.3, 0.2, 0.19, 0.18, 0.1])[None, :, None]
    measured = of(id=ids, lpips=lpips, typical=[0.9, 0.5], **{name: lpips for name in MEASURES[1:5]})
    report = tradeoff.tell(measured)
    assert all("--beta 0.02." in finding for finding in report.findings)  # .12 + .2 is the least sum
    told = found(report)
    assert told["invert: ID error, unbounded less beta 0"] == (pytest.approx(0.4), True)
    assert told["invert: LPIPS, beta 0 less unbounded"] == (pytest.approx(0.2), True)


def test_more_photos_show_more() -> None:
    """LPIPS of the smallest sets less that of the whole one."""
    measured = of(
        size=[3, 3, 9],
        diversity=[0.1, 0.2, 0.2],
        lpips=[[0.4], [0.5], [0.3]],
        truth_id=[[0.5], [0.5], [0.7]],
        id=[[0.5], [0.5], [0.7]],
        small_lpips=[[0.4], [0.5], [0.3]],
    )
    report = subsets.tell(measured)
    assert found(report)["ada: LPIPS in P_0, fewest less all photos"] == (pytest.approx(0.15), True)
    assert "with 3 photos LPIPS in P_0 is 0.450, with all 9 it is 0.300" in report.findings[0]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6, 7, 8, 20, 23])
def test_few_photos_get_as_many_steps_as_more(count: int) -> None:
    """To within one pass over them."""
    steps = passes_for(count, 15, 6) * -(-count // 6)
    wanted = 15 * (SAME_WORK // 6)
    assert wanted <= steps < wanted + -(-count // 6)
    assert passes_for(48, 15, 6) == 15
    assert TuneSettings(passes=7).for_photos(count).passes == 7  # as it was asked


def test_new_pictures_are_held_against_the_best_other() -> None:
    """Of ID and diversity each; the domain prior is none that knows the person."""
    rows = synthesis.ROWS
    ids, spread = np.full((len(rows), 2), np.nan), np.full((len(rows), 1), np.nan)
    values = {
        "DiffAugment": (0.6, 0.2),
        "GLO": (0.7, 0.1),
        synthesis.DOMAIN: (0.9, 0.9),
        synthesis.OURS: (0.8, 0.15),
    }
    for name, (score, differs) in values.items():
        ids[rows.index(name)], spread[rows.index(name)] = score, differs
    near = np.where(np.isfinite(ids), [[0.08, 0.05]], np.nan)
    report = synthesis.tell(of(id=ids, held_out_id=ids, nearest=near, diversity=spread))
    assert found(report)["ID over GLO"] == (pytest.approx(0.1), True)
    assert found(report)["diversity over DiffAugment"] == (pytest.approx(-0.05), False)
    assert "ID 0.80" in report.findings[0]
    assert "0.050 LPIPS" in report.findings[0]


def enhanced(ours: float, domain: float, other: float, given: float) -> dict[str, Measured]:
    """Return figures of every case alike, of two photos; the second photo failed with the other method."""
    shape = (len(enhancement.CASES), len(enhancement.ROWS), 2)
    values = {name: np.full(shape, np.nan) for name in MEASURES}
    rows = {
        enhancement.OURS: 0.9,  # none of its rivals: it is ours in another space
        enhancement.SHIPPED: ours,
        enhancement.DOMAIN: domain,
        "DiffAugment": other,
        enhancement.INPUT: given,
    }
    for name, value in rows.items():
        for array in values.values():
            array[:, enhancement.ROWS.index(name)] = value
    for array in values.values():
        array[:, enhancement.ROWS.index("DiffAugment"), 1] = np.nan
    failed = np.full(shape[:2], np.nan)
    failed[:, [enhancement.ROWS.index(name) for name in rows]] = 0
    failed[:, enhancement.ROWS.index("DiffAugment")] = 1
    return of(**values, failed=failed, truth=np.ones((len(MEASURES), 2)))


def test_restored_photos_are_held_against_the_domain_prior_and_the_best_other() -> None:
    """By the paper's margins; failures are counted; how many come nearer to the truth is told."""
    report = enhancement.tell(enhanced(0.8, 0.5, 0.7, 0.4))
    for case in enhancement.CASES:
        over_domain, over_best = enhancement.MARGINS[case.task]
        assert found(report)[f"{case.name}: ID over the domain prior"] == (
            pytest.approx(0.3),
            over_domain <= 0.3,
        )
        assert found(report)[f"{case.name}: ID over DiffAugment"] == (pytest.approx(0.1), over_best <= 0.1)
    assert all("100% of the photos come nearer" in finding for finding in report.findings)
    row = next(row for row in report.tables[0].rows if row[0] == "DiffAugment")
    assert row[list(report.tables[0].columns).index("failed")] == 1
    told = {row[0]: row[1:] for row in report.tables[-1].rows}  # what each was run with, and its source
    assert list(told) == ["Domain prior", "DiffAugment", "MyStyle", "MyStyle, near"]
    assert "augmentation colour + translation + cutout" in str(told["DiffAugment"][0])
    assert told["DiffAugment"][1] == "Zhao et al. 2020"
    worse = enhancement.tell(enhanced(0.3, 0.5, 0.7, 0.4))
    assert not any(target.met for target in worse.targets)
    assert all(finding.split(": ")[1].startswith("0%") for finding in worse.findings)


def test_damage_is_held_against_the_best_other_and_the_input() -> None:
    """By the ID to the truth; the better one is named. The paper's space is no rival of what is shipped."""
    shape = (len(damage.LEVELS), len(damage.ROWS), 2)
    values = {name: np.full(shape, np.nan) for name in (*MEASURES, "face_lpips")}
    failed = np.full(shape[:2], np.nan)
    for name, value in {"input": 0.6, damage.OURS: 0.9, damage.SHIPPED: 0.7, enhancement.DOMAIN: 0.5}.items():
        failed[:, damage.ROWS.index(name)] = 0
        for array in values.values():
            array[:, damage.ROWS.index(name)] = value
    told = found(damage.tell(of(**values, failed=failed)))
    assert told["moderate: IDS over input"] == (pytest.approx(0.1), True)
    assert told["severe: IDS over input"] == (pytest.approx(0.1), True)


def test_the_persons_space_is_held_against_the_free_ones() -> None:
    """P+ against the better of W and W+."""
    values = {name: np.zeros((2, len(spaces.SPACES), 1)) for name in MEASURES}
    for name in values:
        values[name][:] = np.array([0.3, 0.6, 0.7, 0.8])[None, :, None]
    told = found(spaces.tell(of(**values)))
    assert {(round(value, 6), met) for value, met in told.values()} == {(0.2, True)}


def test_an_experiment_without_an_answer_says_so() -> None:
    """Every photo failed: rows stay, no target is met, no sentence has a figure."""
    shape = (len(enhancement.CASES), len(enhancement.ROWS), 2)
    values = {name: np.full(shape, np.nan) for name in MEASURES}
    failed = np.full(shape[:2], np.nan)
    failed[:, enhancement.ROWS.index(enhancement.SHIPPED)] = 2
    failed[:, enhancement.ROWS.index(enhancement.INPUT)] = 0
    report = enhancement.tell(of(**values, failed=failed, truth=np.ones((len(MEASURES), 2))))
    assert [row[0] for row in report.tables[0].rows] == ["input", enhancement.SHIPPED, "truth"]
    assert report.tables[0].rows[1][1:] == [*["-"] * len(MEASURES), 2, report.tables[0].rows[1][-1]]
    assert not any(target.met for target in report.targets)
    nothing = np.full((len(tradeoff.USED), len(tradeoff.BETAS), 2), np.nan)
    told = [
        *report.findings,
        *tradeoff.tell(of(typical=[0.9, 0.5], **dict.fromkeys(MEASURES, nothing))).findings,
    ]
    assert all(finding.endswith("no photo was answered.") for finding in told)


def test_edits_are_held_against_the_best_other() -> None:
    """ID over all poses; and of the policies, ID and reach at the ends."""
    ids, yaw = np.zeros((3, 1, 5)), np.zeros((3, 1, 5))
    ids[:] = np.array([0.5, 0.6, 0.7])[:, None, None]
    yaw[:, :, -1] = np.array([[0.1], [0.4], [0.6]])
    told = found(editing.tell_poses(of(id=ids, yaw=yaw)))
    assert told["ID over DiffAugment"] == (pytest.approx(0.1), True)
    alone = np.where(np.arange(len(ids))[:, None, None] == editing.EDITORS.index(editing.OURS), ids, np.nan)
    assert editing.tell_poses(of(id=alone, yaw=yaw)).targets == []
    order = [editing.POLICIES.index(policy) for policy in ("stop", "project", "continue")]
    assert order == [0, 1, 2]
    ids[:, 0, [0, -1]] = np.array([[0.8], [0.7], [0.4]])
    report = editing.tell_limits(of(id=ids, yaw=yaw))
    assert found(report)["ID at the ends, projected over going on"] == (pytest.approx(0.3), True)
    assert found(report)["yaw reached, projected over stopping"] == (pytest.approx(0.3), True)
    assert "0.40" in report.findings[0]
    assert "0.10" in report.findings[0]


def test_strangers_are_refused_and_not_made_the_person() -> None:
    """The share that the gate refuses, and ID by the right prior over the wrong one."""
    values = {
        "gate": [0.1, 0.6],
        "refused": [1, 0],
        "wrong": [0.3, 0.3],
        "right": [0.7, 0.7],
        "taken": [0.5, 0.5],
    }
    report = identity.tell_wrong(of(**values))
    assert found(report)["share of clear photos that the gate refuses"] == (0.5, False)
    assert found(report)["ID by their own prior over the wrong one"] == (pytest.approx(0.4), True)
    assert report.findings == ["50% of another person's photos are refused."]


def test_anchors_beside_their_own_are_counted() -> None:
    """Of ada's three one lies among ben's two."""
    ada = Measured({"anchors": np.array([[0.0, 0.0, 0.0], [0.1, 0.0, 0.0], [5.1, 0.0, 0.0]])})
    ben = Measured({"anchors": np.array([[5.0, 0.0, 0.0], [5.02, 0.0, 0.0]])})
    report = identity.tell_plane({"ada": ada, "ben": ben})
    assert found(report)["share of anchors beside one of the same person, in W"] == (
        pytest.approx(4 / 5),
        False,
    )
    assert [row[3] for row in report.tables[0].rows] == [pytest.approx(2 / 3), 1.0]


def test_advice_is_of_what_was_measured() -> None:
    """More photos where they still helped; rare poses by name; doubtful photos far below the others."""
    assert "will help" in _amount({10: 0.5, 20: 0.5 * (1 - RISING) - 0.01})[0]
    assert "change little" in _amount({10: 0.5, 20: 0.5 * (1 - RISING) + 0.001})[0]
    assert "too few" in _amount({10: 0.5})[0]
    plain = {name: np.zeros(20) for name in ("yaw", "mouth", "light")}
    [sentence] = _gaps(plain)
    assert all(word in sentence for word in ("left", "right", "open mouth", "light"))
    plain["mouth"] = np.where(np.arange(20) < 10, 0.2, 0.0)
    assert "open mouth" not in _gaps(plain)[0]
    ids = np.full(30, 0.7)
    ids[:15] += 0.01
    ids[4] = 0.7 - 3 * SPREADS * ids.std() - 0.05
    assert _doubtful(ids, np.full(30, 0.1)) == [4]
    learned = np.full(30, 0.1)
    learned[7] = 0.9
    assert _doubtful(np.full(30, 0.7), learned) == [7]
