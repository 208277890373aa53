"""Whole photos through the restoring engine, on a profile with random weights."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mystyle_cli.errors import DecodeError, NoFaceError, NotThisPersonError, UsageError
from mystyle_cli.faces import align as align_room
from mystyle_cli.faces.align import FFHQ, Crop, align, quad_side
from mystyle_cli.faces.faces import find_faces
from mystyle_cli.faces.paste import worked_region
from mystyle_cli.find.gate import Gate
from mystyle_cli.find.locate import Subject, mask_of
from mystyle_cli.person.profile import Profile
from mystyle_cli.photos.decode import decode
from mystyle_cli.photos.pixels import resize
from mystyle_cli.prior.manifest import IdentityLimits
from mystyle_cli.projection.settings import ProjectionSettings
from mystyle_cli.restore import restore as room
from mystyle_cli.restore.engine import open_engine
from mystyle_cli.restore.restore import restore, restore_with
from mystyle_cli.restore.task import RestoreSettings, default_settings
from tests.support.tiny_store import make_store, picture
from tests.support.walks import walk

PHOTO = Path(__file__).parents[2] / "profiles/photos/ada-held-out/03.jpg"
FEW = RestoreSettings(projection=ProjectionSettings(steps=6, beta=0.03))
CROPS = replace(FEW, aligned=True)
TIGHT = Crop(0.58, 0.054)


@pytest.fixture(scope="module")
def profile(tmp_path_factory, tiny_prior):
    """A profile of a 32 px prior with random weights, which takes anybody for its person."""
    return make_store(tmp_path_factory.mktemp("store"), tiny_prior).open("ada")


def strict(profile):
    """The same profile, which takes nobody for its person."""
    return Profile(profile.path, replace(profile.manifest, identity={"threshold": 2.0}))


@pytest.fixture(scope="module")
def photo():
    """A whole photo with one face."""
    return decode(PHOTO)


def holed(size, top=10, bottom=20):
    """A mask of a square picture with a white bar."""
    mask = np.zeros((size, size), np.uint8)
    mask[top:bottom, 8:-8] = 255
    return mask


def in_a_beta(alpha_plus, beta):
    """Eq 2 for every layer."""
    return all(abs(math.fsum(a) - 1) <= 1e-6 and a.min() >= -beta - 1e-6 for a in alpha_plus)


@pytest.mark.parametrize(("task", "beta"), [("invert", 0.03), ("inpaint", 0.02), ("upscale", 0.05)])
def test_the_paper_s_beta_is_the_default(task, beta):
    """Each task has the dilation of section 5 unless told otherwise."""
    assert default_settings(task).projection.beta == beta


def test_a_photo_passes_each_room_once(profile, monkeypatch):
    """The walk of docs/architecture.md: the face is found, cut out once and searched; none is asked again."""
    engine, cut, warp = open_engine(profile, CROPS), [], align_room.warp

    def noted(pixels, quad, size):
        cut.append(size)
        return warp(pixels, quad, size)

    monkeypatch.setattr(align_room, "warp", noted)
    asked, (done,) = walk(
        lambda: restore_with(engine, [Subject(picture(1, 12))], "upscale"),
        "restore",
        {"find", "projection", "instant"},
    )
    assert done.error is None
    assert asked == ["find/locate", "projection/project"]
    assert cut.count(12) == 1


def test_an_aligned_crop_is_inverted(profile):
    """The result has the crop's size, its code lies in A_beta, and its figures are told."""
    (done,) = restore(profile, [Subject(picture(1, 48))], "invert", CROPS)
    assert done.error is None
    assert done.pixels.shape == (48, 48, 3)
    assert done.face.shape == (32, 32, 3)
    assert in_a_beta(done.alpha_plus, 0.03)
    assert done.least_dilation <= 0.03 + 1e-9
    np.testing.assert_allclose(done.w_plus, done.alpha_plus @ profile.anchors(), atol=1e-5)
    assert -1 <= done.id_score <= 1
    assert done.steps == 6
    assert math.isfinite(done.loss)


def test_inpainting_touches_nothing_outside_the_mask(profile):
    """Every pixel where the mask is black keeps its bits; inside, something changes."""
    crop, mask = picture(2, 40), holed(40)
    (done,) = restore(profile, [Subject(crop, mask)], "inpaint", CROPS)
    assert np.array_equal(done.pixels[mask == 0], crop[mask == 0])
    assert not np.array_equal(done.pixels[mask > 0], crop[mask > 0])


def test_what_was_under_the_mask_has_no_say(profile):
    """Two photos that differ only under the mask are completed alike."""
    crop, mask = picture(2, 32), holed(32)
    spoiled = np.where(mask[..., None] > 0, 255, crop).astype(np.uint8)
    one, other = restore(profile, [Subject(crop, mask), Subject(spoiled, mask)], "inpaint", CROPS)
    assert np.abs(one.pixels.astype(int) - other.pixels.astype(int)).max() <= 2


def test_crops_of_several_sizes_are_upscaled(profile):
    """Each grows to the prior's resolution, by its own factor."""
    small = [Subject(picture(seed, size)) for seed, size in ((3, 8), (4, 13), (5, 20))]
    for done, size in zip(restore(profile, small, "upscale", CROPS), (8, 13, 20), strict=True):
        assert done.error is None
        assert done.pixels.shape == (32, 32, 3)
        assert done.factor == pytest.approx(32 / size)


@pytest.mark.parametrize("size", [2, 32, 64])
def test_crops_that_cannot_be_upscaled_are_told(profile, size):
    """A crop of nearly nothing, or as large as the result: refused with its size."""
    (done,) = restore(profile, [Subject(picture(1, size))], "upscale", CROPS)
    assert isinstance(done.error, UsageError)
    assert f"{size} px" in done.error.message


@pytest.mark.parametrize("quality", ["instant", "fast"])
@pytest.mark.parametrize("other", [{"start": "centre"}, {"projection": ProjectionSettings(space="w")}])
def test_what_contradicts_a_quick_answer_is_refused(profile, quality, other):
    """An answer that begins at the net's begins nowhere else, and stays in the person's space."""
    with pytest.raises(UsageError, match=quality):
        open_engine(profile, replace(CROPS, quality=quality, **other))


def test_photos_for_which_memory_is_short_are_taken_fewer_at_once(profile, monkeypatch):
    """Every photo is answered, in order; where one alone is too much, the error is raised."""
    engine, asked = open_engine(profile, CROPS), []
    answer, most = engine.answer, 2

    def limited(given, beta, progress):
        asked.append(len(given))
        if len(given) > most:
            raise MemoryError
        return answer(given, beta, progress)

    monkeypatch.setattr(engine, "answer", limited)
    names = [f"photo {number}" for number in range(5)]
    photos = [Subject(picture(number, 32), name=name) for number, name in enumerate(names)]
    assert [done.name for done in restore_with(engine, photos, "invert")] == names
    assert asked == [5, 3, 2, 2, 1]
    assert not engine.generator.synthesis.recompute
    most, asked[:] = 0, []
    with pytest.raises(MemoryError):
        restore_with(engine, photos, "invert")
    assert asked == [2, 1, 1], "the last time with blocks computed again"
    assert engine.generator.synthesis.recompute


def test_one_bad_photo_stops_no_other(profile):
    """Results come in order; each failure says what is wrong with that photo."""
    good, wide = picture(6, 32), np.zeros((20, 30, 3), np.uint8)
    subjects = [
        Subject(b"not a picture"),
        Subject(good, name="good"),
        Subject(wide, name="wide"),
        Subject(np.zeros((4, 4), np.float32)),
        Subject(Path("gone.jpg")),
        Subject(good),
    ]
    done = restore(profile, subjects, "invert", replace(CROPS, batch=2))
    kinds = [type(result.error) for result in done]
    assert kinds == [DecodeError, type(None), UsageError, UsageError, DecodeError, type(None)]
    assert done[1].name == "good"
    np.testing.assert_array_equal(done[1].pixels, done[5].pixels)
    assert done[0].pixels is None


def test_masks_that_make_no_sense_are_told(profile):
    """None, another size, nothing white: each told for its photo."""
    crop = picture(1, 32)
    subjects = [Subject(crop), Subject(crop, holed(40)), Subject(crop, np.zeros((32, 32), np.uint8))]
    messages = [result.error.message for result in restore(profile, subjects, "inpaint", CROPS)]
    assert "nothing says what is to be filled" in messages[0]
    assert "40 x 40" in messages[1]
    assert "white" in messages[2]


def test_a_photo_fares_alone_as_in_company(profile):
    """The same pixels whatever else is worked on."""
    subjects = [Subject(picture(seed, 16)) for seed in range(3)]
    together = restore(profile, subjects, "upscale", CROPS)
    for subject, expected in zip(subjects, together, strict=True):
        (alone,) = restore(profile, [subject], "upscale", CROPS)
        assert np.abs(alone.pixels.astype(int) - expected.pixels.astype(int)).max() <= 1


def test_a_random_start_is_repeatable(profile):
    """A seed gives the same result again, another seed another; the encoder's start works too."""
    subject = Subject(picture(1, 16))

    def upscaled(**how):
        return restore(profile, [subject], "upscale", replace(CROPS, **how))[0]

    one, again, other = (upscaled(start="random", seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.pixels, again.pixels)
    assert not np.array_equal(one.alpha_plus, other.alpha_plus)
    assert in_a_beta(upscaled(start="encoder").alpha_plus, 0.03)


def test_whole_photo_in_whole_photo_out(profile, photo):
    """The face is found and replaced; pixels outside its crop keep their bits."""
    (done,) = restore(profile, [Subject(photo)], "invert", FEW)
    assert done.error is None
    assert done.pixels.shape == photo.pixels.shape
    face = align(photo.pixels, find_faces(photo.pixels)[0].landmarks, 32, FFHQ)
    np.testing.assert_allclose(done.located.quad, face.quad, atol=1e-6)
    outside = ~worked_region(photo.pixels.shape, face.quad)
    assert np.array_equal(done.pixels[outside], photo.pixels[outside])
    assert not np.array_equal(done.pixels[~outside], photo.pixels[~outside])


@pytest.fixture(scope="module")
def tight(tmp_path_factory, tiny_prior):
    """The same profile of a prior that says that its pictures show less of a face."""
    folder = shutil.copytree(tiny_prior, tmp_path_factory.mktemp("tight") / "tiny-32")
    text = (folder / "prior.toml").read_text()
    (folder / "prior.toml").write_text(f"crop = {{scale = {TIGHT.scale}, down = {TIGHT.down}}}\n{text}")
    return make_store(tmp_path_factory.mktemp("tight-store"), folder).open("ada")


@pytest.mark.parametrize("given", [False, True], ids=["found", "landmarks"])
def test_the_crop_is_the_prior_s(tight, photo, given):
    """A face is cut as its prior was trained, found or told by landmarks; no more is touched."""
    landmarks = find_faces(photo.pixels)[0].landmarks
    (done,) = restore(tight, [Subject(photo, landmarks=landmarks if given else None)], "invert", FEW)
    assert done.error is None
    face = align(photo.pixels, landmarks, 32, TIGHT)
    np.testing.assert_allclose(done.located.quad, face.quad, atol=1e-6)
    np.testing.assert_array_equal(done.located.crop, face.pixels)
    outside = ~worked_region(photo.pixels.shape, face.quad)
    assert np.array_equal(done.pixels[outside], photo.pixels[outside])
    assert not np.array_equal(done.pixels[~outside], photo.pixels[~outside])


def test_a_tight_crop_is_enlarged_and_completed(tight, photo):
    """The factor is that of the prior's crop, and a face behind a hole is cut to it, too."""
    landmarks = find_faces(photo.pixels)[0].landmarks
    side = quad_side(align(photo.pixels, landmarks, 32, TIGHT).quad)
    small = resize(photo.pixels, tuple(round(edge * 24 / side) for edge in photo.pixels.shape[:2]), "area")
    (done,) = restore(tight, [Subject(small)], "upscale", FEW)
    assert done.error is None
    assert done.factor == pytest.approx(32 / 24, rel=0.1)
    low, high = landmarks[27:36].min(0).astype(int), landmarks[27:36].max(0).astype(int)
    mask = np.zeros(photo.pixels.shape[:2], np.uint8)
    mask[low[1] : high[1], low[0] : high[0]] = 255
    (done,) = restore(tight, [Subject(photo, mask, landmarks)], "inpaint", FEW)
    assert done.error is None
    assert done.located.side == pytest.approx(side, rel=0.15)  # the face may move a little
    assert done.located.hole.mean() > 1.9 * mask.sum() / 255 / (side / TIGHT.scale) ** 2


def test_a_small_photo_is_enlarged_as_a_whole(profile, photo):
    """The factor follows from the face's size in it; far from the face the result is Lanczos."""
    side = quad_side(align(photo.pixels, find_faces(photo.pixels)[0].landmarks, 32, FFHQ).quad)
    shape = [round(edge * 20 / side) for edge in photo.pixels.shape[:2]]
    small = resize(photo.pixels, tuple(shape), "area")
    (done,) = restore(profile, [Subject(small)], "upscale", FEW)
    assert done.error is None
    assert done.factor == pytest.approx(32 / 20, rel=0.15)
    assert done.pixels.shape[:2] == tuple(round(edge * done.factor) for edge in small.shape[:2])
    lanczos = resize(small, done.pixels.shape[:2], "lanczos")
    assert np.array_equal(done.pixels[-1], lanczos[-1])


def test_a_masked_photo_is_completed(profile, photo):
    """With landmarks given, a face that no detector finds is completed; outside the mask nothing changes."""
    landmarks = find_faces(photo.pixels)[0].landmarks
    low, high = landmarks[17:48].min(0).astype(int), landmarks[17:48].max(0).astype(int)
    mask = np.zeros(photo.pixels.shape[:2], np.uint8)
    mask[low[1] : high[1], low[0] : high[0]] = 255
    painted = np.where(mask[..., None] > 0, 255, photo.pixels).astype(np.uint8)
    (done,) = restore(profile, [Subject(painted, mask, landmarks)], "inpaint", FEW)
    assert done.error is None
    assert np.array_equal(done.pixels[mask == 0], painted[mask == 0])
    assert (done.pixels[mask > 0] != 255).mean() > 0.9


def test_a_photo_without_a_face_is_told(profile):
    """Noise holds no face: exit code 4 and a hint."""
    noise = np.random.default_rng(0).integers(0, 255, (160, 160, 3)).astype(np.uint8)
    (done,) = restore(profile, [Subject(noise)], "invert", FEW)
    assert isinstance(done.error, NoFaceError)
    assert done.error.exit_code == 4
    assert "--aligned" in done.error.hint


def test_someone_else_is_refused_unless_forced(profile):
    """Exit code 4; with force the result comes with a warning."""
    subject = Subject(picture(1, 32), name="stranger.jpg")
    (refused,) = restore(strict(profile), [subject], "invert", CROPS)
    assert isinstance(refused.error, NotThisPersonError)
    assert refused.error.exit_code == 4
    assert "stranger.jpg" in refused.error.message
    assert "--force" in refused.error.hint
    (forced,) = restore(strict(profile), [subject], "invert", replace(CROPS, force=True))
    assert forced.error is None
    assert "ID" in forced.warnings[0]


def test_a_face_too_small_to_tell_is_worked_on_with_a_warning(profile):
    """Where the prior knows from which size on it can tell people apart, a smaller face proves nothing."""
    doubting = strict(profile)
    doubting.prior.identity_limits = IdentityLimits("real", single=0.3, tenfold=0.1, least_side=24)
    (done,) = restore(doubting, [Subject(picture(0, 12))], "upscale", CROPS)
    assert done.error is None
    assert any("12 px does not show whether this is ada" in warning for warning in done.warnings)


def test_a_mask_is_read_from_light_and_opacity():
    """White fills, black does not, what is transparent does not."""
    pixels = np.array([[[255] * 3, [0] * 3, [255] * 3]], np.uint8)
    photo = replace(decode(PHOTO), pixels=pixels, alpha=np.array([[255, 255, 0]], np.uint8))
    assert mask_of(photo).tolist() == [[255, 0, 0]]


@pytest.mark.parametrize(("score", "said"), [(0.2, None), (0.4, "too damaged"), (0.6, "")])
def test_whose_a_damaged_face_is_is_asked_of_photos_as_damaged(profile, monkeypatch, score, said):
    """Refused as it is, a face is held against the person's own photos as damaged as it is."""
    engine = open_engine(profile, replace(CROPS, quality="full"))
    pixels, wanted = picture(1, 32), NotThisPersonError("photo: this is not ada", "Use --force.")
    place, asked = room._locate, []

    def located(engine, subject, task, force=False):
        if not force:
            raise wanted
        return replace(place(engine, subject, task, force), id_score=score)

    def opened(profile, side, hole, worsen):
        asked.append(worsen(np.zeros((2, 3, 32, 32), np.float32)).shape)
        return Gate(theirs=0.5, others=0.3)

    monkeypatch.setattr(room, "_locate", located)
    monkeypatch.setattr(room, "open_gate", opened)
    if said is None:
        with pytest.raises(NotThisPersonError) as refused:
            room._given(engine, Subject(pixels, name="photo"), "restore")
        assert refused.value is wanted
    else:
        given = room._given(engine, Subject(pixels, name="photo"), "restore")
        told = " ".join(given.located.warnings)
        assert said in told if said else "damaged" not in told
    assert asked == [(2, 3, 32, 32)]
