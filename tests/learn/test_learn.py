"""Learning a person: resumable at every stage, redoing only what changed inputs demand."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mystyle_cli.edit.directions import find_direction
from mystyle_cli.edit.photos import edit_photos, settings_for
from mystyle_cli.errors import DecodeError, ModelError, ProfileError
from mystyle_cli.evaluation.advice import advise
from mystyle_cli.find.locate import Subject
from mystyle_cli.instant.net import FILE, instant_state
from mystyle_cli.learn import stages
from mystyle_cli.learn.learn import estimate, export, ingest, learn, merge, retune
from mystyle_cli.person.layout import GENERATOR
from mystyle_cli.person.reference import HELD_OUT
from mystyle_cli.prior.registry import Prior, open_prior
from mystyle_cli.progress import Step
from mystyle_cli.restore.betas import GRID, TABLES
from mystyle_cli.restore.restore import restore
from mystyle_cli.restore.task import RestoreSettings, default_settings
from mystyle_cli.store.check import refuse_unusable
from mystyle_cli.store.store import Store
from mystyle_cli.terminal.learning import estimate_lines
from mystyle_cli.tuning.settings import TuneSettings
from tests.support.albums import NET, QUICK, fake_curate, learn_quickly, make_photos
from tests.support.learner import LONG, Learner, Order
from tests.support.walks import walk


@pytest.fixture(scope="module")
def prior(tiny_prior: Path) -> Prior:
    """The tiny prior, open."""
    return open_prior(tiny_prior)


@pytest.fixture(scope="module", autouse=True)
def _no_faces_needed() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        learn_quickly(patch.setattr)
        yield


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Nine pictures: seven to tune on, one held out, one bad."""
    return make_photos(tmp_path_factory.mktemp("photos"), 9)


@pytest.fixture(scope="module")
def walked(
    tmp_path_factory: pytest.TempPathFactory, prior: Prior, photos: list[Path]
) -> tuple[Path, list[str]]:
    """A store with the profile `adele`, made once for all tests here, and what learning asked for it."""
    root = tmp_path_factory.mktemp("finished")
    asked, _ = walk(
        lambda: learn(Store(root), "adele", photos, prior, QUICK),
        "learn",
        {"curate", "tuning", "instant"},
        {fake_curate.__code__: "curate/curate"},
    )
    return root, asked


@pytest.fixture(scope="module")
def finished(walked: tuple[Path, list[str]]) -> Path:
    """The store alone."""
    return walked[0]


def test_an_album_passes_each_room_once(walked: tuple[Path, list[str]]) -> None:
    """The walk of docs/architecture.md: what one room made is handed on, and none is come back to."""
    tuning = ["tuning/find_anchors", "tuning/plan_for", "tuning/tune"]
    instant = ["instant/make_instant", "instant/check_loss"]  # made, and looked at as it was written
    assert walked[1] == ["curate/curate", *tuning, *instant]


@pytest.fixture
def store(tmp_path: Path, finished: Path) -> Store:
    """A copy of that store, to be changed."""
    shutil.copytree(finished, tmp_path / "store")
    return Store(tmp_path / "store")


def test_photos_become_a_profile(tmp_path: Path, prior: Prior, photos: list[Path]) -> None:
    """All stages run once, the tuned generator gives the photos back better, and everything checks."""
    store = Store(tmp_path / "store")
    seen: list[str] = []
    settings = dataclasses.replace(QUICK, tuning=TuneSettings(passes=15, batch=4), consent="she agreed")
    done = learn(store, "adele", photos, prior, settings, lambda step: seen.append(step.stage))
    profile = done.profile
    assert done.worked == ("curate", "anchors", "tune", "measure", "instant", "betas", "export")
    assert profile.export_state == "fresh"
    assert list(dict.fromkeys(seen)) == [
        "curate",
        "anchors",
        "tune",
        "measure",
        "examples",
        "instant",
        "betas",
    ]
    assert store.entry("adele").state == "ready"
    assert store.verify("adele", prior) == []
    assert profile.manifest.consent == "she agreed"
    assert dict(profile.manifest.counts) == {"photos": 9, "kept": 8, "refused": 1, "train": 7, "held_out": 1}
    assert profile.anchors().shape == (7, prior.w_dim)
    before, after = (profile.manifest.results[name] for name in ("before", "after"))
    assert after["lpips"] < before["lpips"]
    assert after["psnr"] > before["psnr"] + 1
    assert {"held_out_id", "id"} <= set(after)
    for name in TABLES:
        assert profile.manifest.results[name]["typical"] in GRID
    # seven photos, four a step, as many steps as 15 passes over 24: two a pass
    assert len((profile.path / "runs/loss.csv").read_text().splitlines()) == 1 + 15 * 6 // 2
    assert not (profile.path / "runs/next").exists()
    assert (profile.path / "contact-sheet.png").exists()


def test_the_same_command_again_does_nothing(store: Store, prior: Prior, photos: list[Path]) -> None:
    """A finished profile is found finished, whatever the order of the photos."""
    before = (store.path("adele") / "profile.toml").read_bytes()
    assert learn(store, "adele", photos[::-1], prior, QUICK).worked == ()
    assert (store.path("adele") / "profile.toml").read_bytes() == before


def test_a_dry_run_tells_what_is_left(tmp_path: Path, store: Store, prior: Prior) -> None:
    """A profile tuned so, one with an ingest begun, one whose tuning was interrupted, other settings."""
    with pytest.raises(Stop):
        ingest(store, "adele", make_photos(tmp_path / "more", 4, start=30), QUICK, stop_at("tune", 4))
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("*")}
    same = estimate(store, "adele", QUICK)
    assert (same.taken, same.left, same.seconds, same.seconds_per_step) == (same.steps, 0, 0.0, None)
    assert estimate_lines(same)[-1] == "already tuned so: nothing to tune"
    assert {path: path.stat().st_mtime_ns for path in store.root.rglob("*")} == before
    longer = dataclasses.replace(QUICK, tuning=dataclasses.replace(QUICK.tuning, passes=3))
    assert estimate(store, "adele", longer).taken == 0
    with pytest.raises(Stop):
        retune(store, "adele", longer, stop_at("tune", 4))
    begun = estimate(store, "adele", longer)
    assert (begun.steps, begun.taken, begun.left) == (9, 3, 6)
    assert begun.seconds == pytest.approx(6 * begun.seconds_per_step)
    assert estimate_lines(begun)[1].endswith("; 3 taken before, 6 left")


@pytest.mark.slow
def test_a_merge_goes_on_where_it_was_interrupted(tmp_path: Path, store: Store, prior: Prior) -> None:
    """Photos and anchors are taken over once; a member that changed in between is taken over anew."""
    learn(store, "ben", make_photos(tmp_path / "ben", 9, start=40), prior, QUICK)
    for stage in ("tune", "instant"):
        with pytest.raises(Stop):
            merge(store, "duo", ["adele", "ben"], QUICK, stop_at(stage, 2))
    asked, done = walk(
        lambda: merge(store, "duo", ["adele", "ben"], QUICK), "learn", {"curate", "tuning", "instant"}
    )
    assert asked == ["instant/make_instant", "instant/check_loss"]
    assert done.worked == ("instant", "export")
    assert done.warnings == ()
    refuse_unusable(done.profile)
    for name in ("adele", "ben"):
        own, one = store.open(name), done.profile.one(name)
        np.testing.assert_array_equal(one.anchors(), own.anchors())
        np.testing.assert_array_equal(one.faces(HELD_OUT), own.faces(HELD_OUT))
        np.testing.assert_allclose(one.reference_embeddings(), own.reference_embeddings(), atol=1e-6)
        assert one.manifest.members[name] == pytest.approx(own.manifest.identity)
    ingest(store, "ben", make_photos(tmp_path / "more", 4, start=60), QUICK)
    again = merge(store, "duo", ["adele", "ben"], QUICK)
    assert again.worked == ("curate", "anchors", "tune", "measure", "instant", "export")
    assert len(again.profile.one("ben").photos()) == len(store.open("ben").photos())
    assert merge(store, "duo", ["adele", "ben"], QUICK).worked == ()


def test_changed_settings_redo_only_what_depends_on_them(
    store: Store, prior: Prior, photos: list[Path]
) -> None:
    """Another number of passes tunes again and measures again; curation and anchors stay."""
    created = store.open("adele", prior).manifest.created
    longer = dataclasses.replace(QUICK, tuning=dataclasses.replace(QUICK.tuning, passes=3))
    second = learn(store, "adele", photos, prior, longer)
    assert second.worked == ("tune", "measure", "instant", "betas", "export")
    assert second.profile.manifest.created == created
    assert second.profile.manifest.stages["tune"]["passes"] == 3


def test_what_another_optimiser_tuned_is_tuned_anew(
    store: Store, prior: Prior, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A profile of a program that moved weights in another way is not taken for finished."""
    monkeypatch.setattr("mystyle_cli.learn.stages.METHOD", "another")
    assert "tune" in learn(store, "adele", photos, prior, QUICK).worked


def test_a_new_consent_note_is_kept_without_other_work(
    store: Store, prior: Prior, photos: list[Path]
) -> None:
    """Giving the command again with a consent note only writes the note; all figures stay."""
    before = store.open("adele", prior).manifest
    done = learn(store, "adele", photos, prior, dataclasses.replace(QUICK, consent="asked on Sunday"))
    after = done.profile.manifest
    assert done.worked == ()
    assert after == dataclasses.replace(before, consent="asked on Sunday", changed=after.changed)
    assert before.results
    assert before.identity


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("generator.safetensors", "tune"),
        ("onnx/instant-loss.onnx", "instant"),
        ("onnx/synthesis.onnx", "export"),
    ],
)
@pytest.mark.parametrize("missing", [False, True])
def test_what_is_damaged_is_made_anew(
    store: Store, prior: Prior, name: str, stage: str, missing: bool
) -> None:
    """`tune` with the same options repairs what it once made; what is sound it leaves."""
    path = store.path("adele") / name
    path.unlink() if missing else path.write_bytes(b"nonsense")
    assert store.verify("adele", prior) != []
    done = retune(store, "adele", QUICK)
    assert stage in done.worked
    assert "anchors" not in done.worked
    assert store.verify("adele", prior) == []


def test_a_photo_that_is_lost_is_read_again(store: Store, prior: Prior, photos: list[Path]) -> None:
    """Creating the profile again from the same photos repairs what curation made."""
    next((store.path("adele") / "faces").iterdir()).unlink()
    assert learn(store, "adele", photos, prior, QUICK).worked == ("curate",)
    assert store.verify("adele", prior) == []


def test_exports_follow_the_tuning_or_go(store: Store, prior: Prior) -> None:
    """Tuning anew makes every net anew that was exported before; without export no older net is left."""
    export(store, "adele")
    before = store.open("adele", prior).manifest.files["export"]
    longer = dataclasses.replace(QUICK, tuning=dataclasses.replace(QUICK.tuning, passes=3))
    profile = retune(store, "adele", longer).profile
    after = profile.manifest.files["export"]
    assert profile.export_state == "fresh"
    assert after.keys() == before.keys()
    for name in ("onnx/synthesis.onnx", "onnx/synthesis-fp16.onnx"):
        assert after[name] != before[name]
    bare = retune(store, "adele", dataclasses.replace(QUICK, export=False, instant=None)).profile
    assert bare.export_state == "none"
    assert not list((bare.path / "onnx").glob("*"))


def test_other_photos_do_not_replace_a_profile_unasked(tmp_path: Path, store: Store, prior: Prior) -> None:
    """A finished profile made of other photos is only replaced with `replace`; then nothing of it stays."""
    others = make_photos(tmp_path / "others", 6, start=20)
    with pytest.raises(ProfileError, match="made of other photos"):
        learn(store, "adele", others, prior, QUICK)
    assert store.open("adele", prior).manifest.counts["photos"] == 9
    done = learn(store, "adele", others, prior, dataclasses.replace(QUICK, replace=True))
    assert done.profile.manifest.counts["photos"] == 6
    files = {path.name for path in (done.profile.path / "faces").iterdir()}
    assert files == {Path(str(record.face)).name for record in done.profile.records if record.face}
    assert store.verify("adele", prior) == []


def test_without_tuning_then_tuned(tmp_path: Path, prior: Prior) -> None:
    """`tune=False` leaves a profile with anchors only; tuning it later needs no photos."""
    store = Store(tmp_path / "store")
    photos = make_photos(tmp_path / "photos", 4)
    done = learn(store, "adele", photos, prior, dataclasses.replace(QUICK, tune=False))
    assert done.worked == ("curate", "anchors", "measure")
    assert store.entry("adele").state == "untuned"
    with pytest.raises(ProfileError, match="not tuned"):
        done.profile.generator()
    for path in photos:
        path.unlink()
    # of so few photos none is held out that could say which beta suits
    assert retune(store, "adele", QUICK).worked == ("tune", "measure", "instant", "export")
    assert store.entry("adele").state == "ready"


def test_a_net_is_kept_only_for_its_own_generator(store: Store, prior: Prior) -> None:
    """Without a net asked for, one that fits stays; tuned anew, none of the old generator is left."""
    assert instant_state(store.open("adele", prior).manifest) == "fresh"
    alone = dataclasses.replace(QUICK, instant=None)
    assert retune(store, "adele", alone).worked == ()
    assert instant_state(store.open("adele", prior).manifest) == "fresh"
    other = dataclasses.replace(alone, tuning=TuneSettings(passes=1, batch=3))
    assert retune(store, "adele", other).worked == ("tune", "measure", "export")
    profile = store.open("adele", prior)
    assert instant_state(profile.manifest) == "none"
    assert not (profile.path / FILE).exists()
    again = retune(store, "adele", dataclasses.replace(other, instant=NET))
    assert again.worked == ("instant", "betas"), "only the net was missing, from which the searches start"


def test_ingest_keeps_the_split_and_adds(
    tmp_path: Path, store: Store, prior: Prior, photos: list[Path]
) -> None:
    """New photos come after those there are, which keep their files and split; known ones are passed over."""
    before = store.open("adele", prior)
    refuse_unusable(before)  # reads all that is compared below
    more = make_photos(tmp_path / "more", 5, start=30)
    after = ingest(store, "adele", [*more, *photos[:2]], QUICK).profile
    assert after.records[: len(before.records)] == before.records
    assert len(after.records) == len(before.records) + len(more)
    assert len(after.anchors()) > len(before.anchors())
    np.testing.assert_allclose(after.anchors()[: len(before.anchors())], before.anchors(), atol=1e-5)
    assert store.verify("adele", prior) == []
    assert ingest(store, "adele", more, QUICK).worked == ()


def test_ingest_without_tuning_drops_the_generator_that_no_longer_fits(
    tmp_path: Path, store: Store, photos: list[Path]
) -> None:
    """A generator tuned for other anchors is never kept beside new ones."""
    quick = dataclasses.replace(QUICK, tune=False)
    assert ingest(store, "adele", photos, quick).profile.tuned
    done = ingest(store, "adele", make_photos(tmp_path / "more", 3, start=30), quick)
    assert not done.profile.tuned
    assert not (done.profile.path / GENERATOR).exists()


def test_a_prior_that_cannot_learn_is_noticed_before_any_photo(
    tmp_path: Path, prior: Prior, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a perceptual net nothing is judged or left behind; the option that brings one is named."""

    def judged(*_: Any, **__: Any) -> Any:
        pytest.fail("photos were judged")

    monkeypatch.setattr(stages, "curate", judged)
    roles = {role: entry for role, entry in prior.metadata["roles"].items() if role != "perceptual"}
    lacking = dataclasses.replace(prior, metadata={**prior.metadata, "roles": roles})
    with pytest.raises(ModelError, match="no perceptual") as caught:
        learn(Store(tmp_path / "store"), "eve", photos, lacking, QUICK)
    assert "--perceptual" in caught.value.hint
    assert not (tmp_path / "store/eve").exists()


def test_photos_that_are_all_refused_leave_nothing_behind(tmp_path: Path, prior: Prior) -> None:
    """When no profile can be made the reasons are said, and the name stays free."""
    store, photos = Store(tmp_path / "store"), make_photos(tmp_path / "bad", 6)
    with pytest.raises(ProfileError, match=r"no photo of 1 can be learned from \(1 "):
        learn(store, "adele", [path for path in photos if "bad" in path.name], prior, QUICK)
    assert store.names() == []


def test_one_photo_is_enough(tmp_path: Path, prior: Prior) -> None:
    """It is learned without a net for instant answers; what is made of others lies near its code."""
    store, photos = Store(tmp_path / "store"), make_photos(tmp_path / "photos", 2)
    profile = learn(store, "adele", photos[:1], prior, QUICK).profile
    assert profile.anchors().shape == (1, prior.w_dim)
    assert store.entry("adele").state == "ready"
    assert store.verify("adele", prior) == []
    assert instant_state(profile.manifest) == "none"
    asked = dataclasses.replace(QUICK, instant=NET, tuning=TuneSettings(passes=1, batch=1))
    assert not estimate(store, "adele", asked).later, "the memory of a net that is not made does not count"
    assert profile.unlike(0.1) == "", "nothing is known of how alike their photos are"
    identity = profile.manifest.identity
    assert identity["threshold"] == identity["stranger_highest"]
    small = np.asarray(Image.open(photos[1]).convert("RGB").resize((8, 8)))
    (found,) = restore(profile, [Subject(small)], "upscale", replace_aligned(default_settings("upscale")))
    assert found.slack is not None
    assert found.slack.any()
    with pytest.raises(ProfileError, match="one photo"):
        advise(profile)
    several = dataclasses.replace(replace_aligned(default_settings("upscale")), variants=2)
    (no_other,) = restore(profile, [Subject(small)], "upscale", several)
    assert "one photo" in str(no_other.error)
    inverting = replace_aligned(default_settings("invert"))
    edits, how = [[(find_direction(prior, "yaw"), 1.0)]], settings_for(0.02, "stop", inverting)
    (not_edited,) = edit_photos(profile, [Subject(small)], edits, how)
    assert "one photo" in str(not_edited.error)
    (own,) = restore(profile, [Subject(small)], "invert", inverting)
    assert own.slack is None
    np.testing.assert_allclose(own.w_plus, np.repeat(profile.anchors(), prior.num_ws, 0), atol=1e-6)


def replace_aligned(settings: RestoreSettings) -> RestoreSettings:
    """Return settings for crops of whomever."""
    return dataclasses.replace(settings, aligned=True, force=True)


def test_a_missing_photo_is_named(tmp_path: Path, prior: Prior) -> None:
    """A path that is not there is an error about that path."""
    with pytest.raises(DecodeError, match="nowhere"):
        learn(Store(tmp_path), "adele", [tmp_path / "nowhere.jpg"], prior, QUICK)


class Stop(BaseException):
    """Raised by the tests at a chosen report."""


def stop_at(stage: str, done: int) -> Callable[[Step], None]:
    """Return a progress callback that raises at a report."""

    def report(step: Step) -> None:
        if step.stage == stage and step.done >= done:
            raise Stop

    return report


@pytest.mark.parametrize(
    ("stage", "done", "left"),
    [
        ("curate", 3, ("curate", "anchors", "tune", "measure", "instant", "betas", "export")),
        ("anchors", 1, ("anchors", "tune", "measure", "instant", "betas", "export")),
        ("tune", 5, ("tune", "measure", "instant", "betas", "export")),
        ("measure", 2, ("measure", "instant", "betas", "export")),
        ("instant", 3, ("instant", "betas", "export")),
        ("betas", 5, ("betas", "export")),
    ],
)
def test_stopped_anywhere_it_goes_on_to_the_same_result(
    tmp_path: Path,
    prior: Prior,
    photos: list[Path],
    finished: Path,
    stage: str,
    done: int,
    left: tuple[str, ...],
) -> None:
    """What was finished is not done again, and the generator is bit for bit the uninterrupted one's."""
    whole = Store(finished).open("adele", prior)
    store = Store(tmp_path / "store")
    with pytest.raises(Stop):
        learn(store, "adele", photos, prior, QUICK, stop_at(stage, done))
    assert store.entry("adele").state == "unfinished" if stage != "curate" else store.names() == []
    tuned: list[int] = []
    again = learn(store, "adele", photos, prior, QUICK, lambda s: s.stage == "tune" and tuned.append(s.done))
    assert again.worked == left
    assert stage != "tune" or tuned == [5, 6], "four of six steps had been saved"
    assert again.profile.manifest.digests() == whole.manifest.digests()
    assert again.profile.manifest.results == whole.manifest.results


def test_an_interrupted_ingest_leaves_the_profile_usable(tmp_path: Path, store: Store, prior: Prior) -> None:
    """Until the new version is whole the old one is what everybody sees."""
    old = store.open("adele", prior).manifest
    more = make_photos(tmp_path / "more", 4, start=30)
    with pytest.raises(Stop):
        ingest(store, "adele", more, QUICK, stop_at("tune", 4))
    now = store.open("adele", prior)
    assert now.manifest == old
    assert store.verify("adele", prior) == []
    assert now.faces(HELD_OUT).shape[0] == 1
    assert ingest(store, "adele", more, QUICK).worked == ("tune", "measure", "instant", "betas", "export")


@pytest.fixture(scope="module")
def learner(photos: list[Path], tiny_prior: Path) -> Iterator[Learner]:
    """The process that learns."""
    if not hasattr(os, "fork"):
        pytest.skip("needs a system that forks")
    made = Learner(photos[0].parent, tiny_prior)
    yield made
    made.process.communicate()


def test_ctrl_c_saves_the_state(tmp_path: Path, learner: Learner) -> None:
    """SIGINT ends the command cleanly with its tuning saved, and the next one goes on from there."""
    assert learner.learn(Order(str(tmp_path / "store"), interrupted="tune")) == 130
    assert (tmp_path / "store/adele/runs/next/tune/state.safetensors").exists()
    assert Store(tmp_path / "store").entry("adele").state == "unfinished"


@pytest.mark.slow
def test_killed_at_random_instants_it_ends_as_if_never_killed(
    tmp_path: Path, prior: Prior, photos: list[Path], learner: Learner
) -> None:
    """SIGKILLed again and again, somewhere in its work, the same command reaches the same profile."""
    where, rng = str(tmp_path / "store"), np.random.default_rng(12)
    for most in (12, 30, 30, 30, 30):  # steps; the first kill may come before any photo is looked at
        order = Order(where, steps=int(rng.integers(1, most)), calls=int(rng.integers(0, 20_000)))
        assert learner.learn(order) in (-signal.SIGKILL, 0)
        assert Store(tmp_path / "store").names() in ([], ["adele"])
    assert learner.learn(Order(where)) == 0
    whole = learn(Store(tmp_path / "whole"), "adele", photos, prior, LONG).profile.manifest
    store = Store(tmp_path / "store")
    assert store.open("adele", prior).manifest.digests() == whole.digests()
    assert store.verify("adele", prior) == []
    assert learn(store, "adele", photos, prior, LONG).worked == ()
