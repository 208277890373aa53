"""The experiments do what they say, on a tiny profile of random weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mystyle_cli.analysis.judge import Judge, Truths
from mystyle_cli.analysis.membership import excess, outside_the_others, with_many_anchors
from mystyle_cli.analysis.tuned import Interpolation, draw_pairs, interpolate
from mystyle_cli.baselines.untuned import DomainPrior, MyStyle
from mystyle_cli.errors import ProfileError
from mystyle_cli.experiments.cases import HIDDEN, SMALL, Case
from mystyle_cli.faces.align import FFHQ, Crop
from mystyle_cli.person.profile import Profile
from mystyle_cli.person.score import synthesise
from mystyle_cli.photos.pixels import to_unit
from mystyle_cli.projection.settings import ProjectionSettings
from mystyle_cli.restore.trials import comparison_settings, hole_mask, lanczos, pictures, shrink, subjects
from tests.support.evaluations import measure_quickly
from tests.support.tiny_store import TRAIN, make_store, picture
from tools.figures.restored import METHODS, enhance, targets

STEPS = ProjectionSettings(steps=3)


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory, tiny_prior: Path) -> Profile:
    """A tuned profile at 32 pixels."""
    return make_store(tmp_path_factory.mktemp("store"), tiny_prior).open("ada")


@pytest.fixture(scope="module")
def truths() -> Truths:
    """Three pictures at 32 pixels with a mark on each but the last."""
    marks = np.zeros((3, 32, 32), bool)
    marks[:2, 14:18, 12:16] = True
    crops = np.stack([picture(50 + number, 32) for number in range(3)])
    return Truths(tuple(Path(f"{number}.jpg") for number in range(3)), crops, marks, FFHQ)


def test_inputs_of_upscaling_are_area_means(truths: Truths) -> None:
    """Each small pixel is the mean of its block, up to rounding."""
    small = shrink(truths.crops, 8)
    blocks = truths.crops.reshape(3, 8, 4, 8, 4, 3).mean(axis=(2, 4))
    assert np.abs(small - blocks).max() <= 1.01  # rounded once for rows, once for columns


def test_nothing_of_the_truth_is_left_in_the_hole(truths: Truths) -> None:
    """Two photos that differ inside the hole only give the same input."""
    hole = hole_mask(32, FFHQ) > 0
    other = np.where(hole[None, ..., None], 255 - truths.crops, truths.crops)
    names = ["a", "b", "c"]
    for first, second in zip(
        subjects(truths.crops, "inpaint", names, FFHQ), subjects(other, "inpaint", names, FFHQ), strict=True
    ):
        np.testing.assert_array_equal(first.photo, second.photo)
    assert 0.1 < hole.mean() < 0.25


def test_the_hole_holds_eyes_and_nose() -> None:
    """Where Karras' alignment puts eyes and nose on a mean face, the hole is; mouth and chin stay visible."""
    hole = hole_mask(128, FFHQ) > 0
    for row, column in ((61, 48), (61, 80), (78, 64)):  # FFHQ's mean eyes and nose tip, at 128 px
        assert hole[row, column]
    assert not hole[92].any()


def test_the_hole_is_as_large_on_a_face_in_any_crop() -> None:
    """A tight crop shows the same hole, larger; a part of it that the crop does not show is left out."""
    crop = Crop(0.58, 0.054)
    rows, columns = np.nonzero(hole_mask(500, crop))
    corners = np.array([[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]]) / 500
    wide = np.nonzero(hole_mask(500, FFHQ))
    wanted = np.array([[wide[1].min(), wide[0].min()], [wide[1].max() + 1, wide[0].max() + 1]]) / 500
    np.testing.assert_allclose(crop.to_ffhq(corners), wanted, atol=0.003)
    assert hole_mask(100, Crop(0.25, 0.02)).all()


def test_lanczos_keeps_the_mean_colour(truths: Truths) -> None:
    """Enlarging without a prior invents no colour."""
    large = lanczos(shrink(truths.crops, 8), 32)
    assert large.shape == truths.crops.shape
    assert np.abs(large.mean(axis=(1, 2)) - truths.crops.mean(axis=(1, 2))).max() < 4


def test_baseline_is_the_domain_prior_in_w_plus(profile: Profile, truths: Truths) -> None:
    """The baseline's pictures come from G_d and codes without anchors; the personal prior's from A_beta."""
    settings = replace(comparison_settings("inpaint"), projection=replace(STEPS, beta=0.02))
    inputs = subjects(truths.crops[:2], "inpaint", ["a", "b"], FFHQ)
    theirs, ours = (
        method.restore(profile, method.train(profile, 0), inputs, "inpaint", settings)
        for method in (DomainPrior(), MyStyle())
    )
    assert all(answer.alpha_plus is None for answer in theirs)
    assert all(excess(answer.alpha_plus, 0.02) <= 1e-6 for answer in ours if answer.alpha_plus is not None)
    codes = np.stack([answer.w_plus for answer in theirs])
    assert codes.shape == (2, profile.prior.num_ws, profile.prior.w_dim)
    assert np.isfinite(synthesise(profile.prior.generator(), codes)).all()
    outside = hole_mask(32, FFHQ) == 0
    np.testing.assert_array_equal(pictures(theirs)[:, outside], truths.crops[:2, outside])


@pytest.mark.parametrize("case", [SMALL, HIDDEN])
def test_enhancement_scores_every_method(
    profile: Profile, truths: Truths, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every method is judged on every photo, and the truth is perfect where it is compared with itself."""
    if case is HIDDEN:  # dlib, a tenth of a second a face, is asked once
        measure_quickly(monkeypatch.setattr)
    settings = replace(comparison_settings(case.task), projection=STEPS)
    run = enhance(Judge(profile), truths, case, settings)
    assert tuple(run.scores) == METHODS
    truth = run.scores["truth"]
    assert truth.lpips.max() < 1e-6
    assert truth.psnr.min() > 60
    np.testing.assert_allclose(truth.truth_id, 1.0, atol=1e-5)
    made = profile.prior.embed(to_unit(run.pictures["personal prior"]))
    there = profile.prior.embed(to_unit(truths.crops))
    np.testing.assert_allclose(run.scores["personal prior"].truth_id, (made * there).sum(axis=1), atol=1e-5)
    np.testing.assert_allclose(truth.trait[:2], 1.0)
    assert np.isnan(truth.trait[2])
    found = targets([run, run])
    assert len(found) == 5
    gain = run.scores["personal prior"].id - run.scores["domain prior"].id
    assert found[0].value == pytest.approx(gain.mean())


def test_pairs_differ_and_repeat() -> None:
    """Pairs are all different, never an anchor with itself, the same for a seed, and no more than exist."""
    pairs = draw_pairs(20, 100, 3)
    assert len({tuple(sorted(pair)) for pair in pairs.tolist()}) == 100
    assert (pairs[:, 0] != pairs[:, 1]).all()
    np.testing.assert_array_equal(pairs, draw_pairs(20, 100, 3))
    assert len(draw_pairs(5, 100, 0)) == 10
    with pytest.raises(ValueError, match="no reference"):
        draw_pairs(2, 1, 0)


def test_interpolation_leaves_the_pair_out(profile: Profile) -> None:
    """Scores along a line are cosines to the nearest photo that is neither of the two anchors'."""
    found = interpolate(profile, pairs=4, points=3)
    references = profile.reference_embeddings()
    for pair, scores in zip(found.pairs, found.after, strict=True):
        codes = profile.anchors()[pair].mean(axis=0, keepdims=True)
        embedding = profile.prior.embed(synthesise(profile.generator(), codes).clip(-1, 1))[0]
        others = [row for row in range(TRAIN) if row not in pair]
        assert scores[1] == pytest.approx((references[others] @ embedding).max(), abs=1e-5)


def test_interpolation_figures() -> None:
    """Gain and share below both anchors, on scores written by hand."""
    before = np.zeros((2, 4), np.float32)
    after = np.array([[0.5, 0.4, 0.7, 0.6], [0.3, 0.2, 0.1, 0.9]], np.float32)
    found = Interpolation(np.linspace(0, 1, 4), np.zeros((2, 2), np.int64), before, after)
    assert found.gain == pytest.approx((0.4 + 0.7 + 0.2 + 0.1) / 4)
    assert found.below_both() == pytest.approx(3 / 4)  # 0.4 < 0.5; 0.2 and 0.1 < 0.3
    assert found.below_both(0.15) == pytest.approx(1 / 4)
    np.testing.assert_allclose(found.from_better(after), [[0.6, 0.7, 0.4, 0.5], [0.9, 0.1, 0.2, 0.3]])


def test_excess_finds_the_worst() -> None:
    """A wrong sum and an entry below -beta are both told, by how much."""
    assert excess(np.array([0.5, 0.5]), 0.0) == 0
    assert excess(np.array([[0.5, 0.5], [1.1, -0.1]]), 0.02) == pytest.approx(0.08)
    assert excess(np.array([[0.5, 0.6]]), 0.0) == pytest.approx(0.1)
    assert excess(np.array([[5.0, -4.0]]), None) == 0


def test_an_anchor_between_others_is_found() -> None:
    """Of a square and its middle, the middle lies inside, each corner as far outside as it is away."""
    square = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1], [0, 0]])
    np.testing.assert_allclose(outside_the_others(square), [1.25, 1.25, 1.25, 1.25, 0], atol=1e-6)


def test_many_anchors_make_a_sound_profile(profile: Profile, tmp_path: Path, tiny_prior: Path) -> None:
    """The profile opens, passes its own check, has dependent anchors, and refuses to be made twice."""
    store = make_store(tmp_path, tiny_prior, "other")
    many = with_many_anchors(profile, store, "many", 40)
    assert store.verify("many") == []
    anchors = many.anchors()
    assert anchors.shape == (40, profile.prior.w_dim)
    assert np.linalg.matrix_rank(anchors, tol=1e-4) <= TRAIN
    assert len(np.unique(anchors.round(6), axis=0)) < 40
    assert many.reference_embeddings().shape[0] == 40
    with pytest.raises(ProfileError):
        with_many_anchors(profile, store, "many", 40)
