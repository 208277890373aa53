"""An open profile: its files are checked, its generator is G_d plus a difference, its ID score sec. 4.1's."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mystyle_cli.curate.records import PhotoRecord, Reason
from mystyle_cli.errors import ProfileError
from mystyle_cli.learn.figures import gate_threshold
from mystyle_cli.person.difference import store_difference
from mystyle_cli.person.layout import ANCHORS, GENERATOR, PHOTOS
from mystyle_cli.person.manifest import Manifest, mark_of
from mystyle_cli.person.profile import Profile
from mystyle_cli.person.reference import (
    HELD_OUT,
    number_faces,
    png_of,
    read_records,
    refuse_no_photos,
    write_records,
)
from mystyle_cli.person.score import id_scores
from mystyle_cli.prior.registry import Prior, open_prior
from mystyle_cli.store.check import refuse_unusable
from mystyle_cli.store.store import Store


@pytest.fixture(scope="module")
def prior(tiny_prior: Path) -> Prior:
    """The tiny prior, open."""
    return open_prior(tiny_prior)


def unit_rows(rng: np.random.Generator, count: int, dim: int) -> np.ndarray:
    """Return random rows of length 1."""
    rows = rng.standard_normal((count, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def profile(tmp_path: Path, prior: Prior) -> Profile:
    """A profile of four photos, three of them in the reference set, written without learning."""
    rng = np.random.default_rng(0)
    store = Store(tmp_path)
    records = number_faces(
        [
            PhotoRecord(str(n) * 64, f"{n}.jpg", Reason.KEPT, "", {}, None, "held-out" if n == 2 else "train")
            for n in range(4)
        ]
    )
    tuned = {
        name: parameter + 0.01 * torch.randn_like(parameter)
        for name, parameter in prior.generator().named_parameters()
        if name.startswith("synthesis.")
    }
    with store.locked("adele"):
        draft = store.draft("adele")
        files = draft.write(PHOTOS, write_records(records))
        for record in records:
            shape = (prior.resolution, prior.resolution, 3)
            files |= draft.write(str(record.face), png_of(rng.integers(0, 256, shape, np.uint8)))
        draft.finish("curate", "c", files, {})
        codes = rng.standard_normal((3, prior.w_dim)).astype(np.float32)
        names = '["' + '", "'.join(str(n) * 64 for n in (0, 1, 3)) + '"]'
        draft.finish("anchors", "a", draft.write_tensors(ANCHORS, {"anchors": codes}, {"names": names}), {})
        made = store_difference(prior, tuned, codes, whole=True)
        draft.finish("tune", "t", draft.write_tensors(GENERATOR, made.tensors, made.notes), {})
        manifest = Manifest(
            mark_of(prior), "", "", "", "", stages=draft.stages(), files=draft.files(),
            identity={"threshold": 0.25},
        )  # fmt: skip
        draft.commit(manifest)
    opened = store.open("adele", prior)
    opened.tuned_truth = tuned  # type: ignore[attr-defined]
    return opened


def test_what_was_written_is_what_is_read(profile: Profile, prior: Prior) -> None:
    """Photos, faces, anchors and gate come back, in the order of the records."""
    refuse_unusable(profile)
    assert [record.file for record in profile.photos()] == ["0.jpg", "1.jpg", "3.jpg"]
    assert [record.file for record in profile.photos(HELD_OUT)] == ["2.jpg"]
    assert profile.faces().shape == (3, 3, prior.resolution, prior.resolution)
    assert profile.faces().min() >= -1
    assert profile.faces().max() <= 1
    assert profile.anchors().shape == (3, prior.w_dim)
    assert profile.id_threshold == 0.25
    with pytest.raises(ValueError, match="read-only"):
        profile.anchors()[0, 0] = 1


def test_a_profile_opens_its_prior_by_itself(profile: Profile, prior: Prior) -> None:
    """A prior that is not bundled is found again by its folder."""
    assert Store(profile.path.parent).open("adele").prior.digest == prior.digest


def test_the_generator_is_nearly_the_tuned_one(profile: Profile) -> None:
    """Half-precision differences lose about a thousandth of the change, not of the weights."""
    generator = profile.generator()
    for name, expected in profile.tuned_truth.items():  # type: ignore[attr-defined]
        found = generator.get_parameter(name)
        assert (found - expected).abs().max() <= 0.05 * 2**-10
    assert profile.generator() is not generator
    assert not any(parameter.requires_grad for parameter in generator.parameters())


@pytest.mark.parametrize("name", [PHOTOS, ANCHORS, GENERATOR, "faces/0002.png"])
def test_damage_is_noticed_on_load(profile: Profile, prior: Prior, name: str) -> None:
    """A changed file is an error that names it, for every kind of file."""
    path = profile.path / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ProfileError, match=Path(name).name):
        refuse_unusable(Store(profile.path.parent).open("adele", prior))


def test_another_prior_is_refused(profile: Profile, prior: Prior) -> None:
    """A profile never runs on a prior that it was not tuned from."""
    other = dataclasses.replace(prior, digest="f" * 64)
    with pytest.raises(ProfileError, match="was tuned from prior"):
        Store(profile.path.parent).open("adele", other).generator()


def test_a_missing_prior_says_which(profile: Profile) -> None:
    """When the prior is gone the profile says which one it needs."""
    mark = dataclasses.replace(profile.manifest.prior, location="", name="gone-64")
    lost = Profile(profile.path, dataclasses.replace(profile.manifest, prior=mark))
    with pytest.raises(ProfileError, match="gone-64"):
        lost.generator()


@settings(max_examples=50)
@given(st.integers(1, 6), st.integers(2, 6), st.integers(0, 10_000))
def test_id_score_is_the_largest_cosine(count: int, references: int, seed: int) -> None:
    """Against a plain loop, with one reference left out for each picture."""
    rng = np.random.default_rng(seed)
    rows, refs = unit_rows(rng, count, 5), unit_rows(rng, references, 5)
    left_out = [[int(rng.integers(references))] for _ in range(count)]
    found = id_scores(rows, refs, left_out)
    for row, out, score in zip(rows, left_out, found, strict=True):
        best = max(float(row @ ref) for number, ref in enumerate(refs) if number not in out)
        assert score == pytest.approx(best, abs=1e-6)
    assert (id_scores(rows, refs) >= found - 1e-6).all()


def test_id_score_without_references_is_an_error() -> None:
    """A score against nothing does not exist."""
    rows = unit_rows(np.random.default_rng(0), 2, 4)
    with pytest.raises(ValueError, match="no reference"):
        id_scores(rows, rows[:1], [[0], []])


def test_a_reference_photo_is_nearest_to_itself(profile: Profile) -> None:
    """Its score is 1, and less when it is left out."""
    faces = profile.faces()
    np.testing.assert_allclose(profile.id_score(faces), 1.0, atol=1e-5)
    assert (profile.id_score(faces, [[n] for n in range(3)]) < 0.999).all()


def test_the_gate_lets_the_person_in_and_strangers_out() -> None:
    """Between two groups that are apart lies the threshold; where they overlap the person is let in."""
    own, strangers = np.array([0.8, 0.7, 0.9], np.float32), np.array([0.1, 0.2, 0.3], np.float32)
    assert strangers.max() < gate_threshold(own, strangers) < own.min()
    assert gate_threshold(own, own) <= own.min()


def test_records_survive_and_bad_lines_are_named(tmp_path: Path) -> None:
    """What is written is read back; a broken line or a face elsewhere is an error with its number."""
    records = number_faces([PhotoRecord("a" * 64, "Zoë.jpg", Reason.KEPT, "", {"yaw": 1.5}, None, "train")])
    path = tmp_path / PHOTOS
    path.write_bytes(write_records(records))
    assert read_records(path) == records
    for broken in (b"{", b"[]", b'{"sha256": 1}', write_records(records).replace(b"faces/", b"../")):
        path.write_bytes(write_records(records) + broken)
        with pytest.raises(ProfileError, match="line 2"):
            read_records(path)


def test_faces_are_numbered_after_those_there_are() -> None:
    """Kept photos get files, refused ones none, and files are never used twice."""
    kept = PhotoRecord("a" * 64, "a", Reason.KEPT, "")
    refused = PhotoRecord("b" * 64, "b", Reason.GREY, "")
    before = number_faces([kept, refused, kept])
    assert [record.face for record in before] == ["faces/0001.png", None, "faces/0002.png"]
    after = number_faces([kept], before)
    assert after[:3] == before
    assert after[3].face == "faces/0003.png"


def test_photos_that_are_all_refused_say_why() -> None:
    """The message counts the reasons."""
    records = [PhotoRecord("a" * 64, "a", Reason.GREY, "")] * 2 + [
        PhotoRecord("b" * 64, "b", Reason.NO_FACE, "")
    ]
    with pytest.raises(ProfileError, match=r"no photo of 3 .*2 grey, 1 no-face"):
        refuse_no_photos(records)
