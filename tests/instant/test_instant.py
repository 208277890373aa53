"""The net that answers at once: always in A_beta, the same without torch, better than the centre."""

from __future__ import annotations

import copy
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mystyle_cli.errors import ModelError, ProfileError
from mystyle_cli.faces.align import FFHQ, Crop
from mystyle_cli.hull import hull
from mystyle_cli.hull.solve import nearest_alpha
from mystyle_cli.instant import examples as instant_examples
from mystyle_cli.instant import net as instant_net
from mystyle_cli.instant import training
from mystyle_cli.instant.examples import degrade_at_random, draw_codes, others_codes
from mystyle_cli.instant.net import (
    FILE,
    LARGEST_BETA,
    LOSS,
    InstantSettings,
    View,
    enlarged,
    features_of,
    hidden,
    instant_state,
    open_instant,
    whole,
)
from mystyle_cli.instant.training import Net, check_loss, instant_file, train_instant
from mystyle_cli.nets import loss
from mystyle_cli.nets.loss import loss_file
from mystyle_cli.nets.sessions import open_session
from mystyle_cli.person.profile import Profile
from mystyle_cli.person.reference import Pictures
from mystyle_cli.person.score import perceptual_distances, synthesise
from mystyle_cli.photos.pixels import area_kernel
from mystyle_cli.progress import silent
from mystyle_cli.store.store import Store
from tests.support.tiny_store import add_instant, make_store

FEW = InstantSettings(samples=96, views=2, width=64, steps=150, batch=32)


@pytest.fixture(scope="module")
def store(tmp_path_factory, tiny_prior):
    """A store whose person has a trained net."""
    made = make_store(tmp_path_factory.mktemp("instant"), tiny_prior)
    add_instant(made, "ada", FEW)
    return made


@pytest.fixture(scope="module")
def profile(store):
    """The person."""
    return store.open("ada")


def random_net(seed, size, n_anchors=5, num_ws=4):
    """A net whose weights are random, and as large as asked for."""
    features = np.random.default_rng(seed).normal(size=(7, 9)).astype(np.float32)
    net = Net(features, num_ws, n_anchors, 8)
    with torch.no_grad():
        torch.manual_seed(seed)
        for parameter in net.parameters():
            parameter.copy_((size * torch.randn(parameter.shape)).half())  # as weights are stored
    return net, features


def material_of(profile):
    """Return what the person's net is made of."""
    faces = Pictures(np.rint((profile.faces() + 1) * 127.5).astype(np.uint8))
    return instant_examples.Material(profile.prior, profile.generator(), profile.anchors(), faces)


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), size=st.sampled_from([0.0, 0.1, 3.0, 100.0]), beta=st.floats(0, 1))
def test_whatever_the_weights_the_answer_is_in_a_beta(seed, size, beta):
    """Eq 2 holds for every layer by the form of the last layer, not by what was learned."""
    net, features = random_net(seed, size)
    with torch.no_grad():
        answer = net(torch.from_numpy(features), beta).numpy()
    assert answer.shape == (7, 4, 5)
    assert hull.in_hull(answer, beta, tol=1e-5).all()


@pytest.mark.parametrize("beta", [0.0, 0.03])
def test_the_exported_net_answers_as_torch_does(tmp_path, beta):
    """The graph written by hand computes the same coefficients, for any batch and beta."""
    net, features = random_net(3, 0.7)
    path = tmp_path / "net.onnx"
    path.write_bytes(instant_file(net))
    session = open_session(path)
    for rows in (1, 7):
        found = session.run(features[:rows], {"beta": session.place(np.array([beta], np.float32))})
        with torch.no_grad():
            expected = net(torch.from_numpy(features[:rows]), beta).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("beta", [0.0, 0.02, 0.05, 0.5, None])
def test_answers_of_the_open_net_are_exact(profile, beta):
    """What a command gets lies in A_beta as closely as a search's answer; None takes the net's largest."""
    found = open_instant(profile).alpha_plus(whole(profile.faces()), beta)
    limit = LARGEST_BETA if beta is None else min(beta, LARGEST_BETA)
    assert found.shape == (6, 8, 6)
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-9)
    assert found.min() >= -limit - 1e-9


def test_the_answer_is_nearer_to_the_truth_than_the_centre(profile):
    """On pictures of the hull that training never saw, degraded, by LPIPS."""
    random = np.random.default_rng(99)
    generator, anchors = profile.generator(), profile.anchors()
    truth = synthesise(generator, draw_codes(anchors, generator.num_ws, 24, random)).clip(-1, 1)
    answer = open_instant(profile).alpha_plus(degrade_at_random(truth, random, profile.prior.crop), 0.05)
    middle = np.broadcast_to(hull.centre(len(anchors)), answer.shape)
    perceptual = profile.prior.perceptual()

    def distance(alpha_plus):
        made = synthesise(generator, (alpha_plus @ anchors).astype(np.float32))
        return perceptual_distances(perceptual, made, truth).mean()

    assert distance(answer) < 0.8 * distance(middle)


def test_what_photos_suffer_is_practised_on(profile):
    """Small, small and noisy, or with a hole, or whole: of a grey picture each shows which it is."""
    grey = np.full((300, 3, 64, 64), 0.25, np.float32)
    view = degrade_at_random(grey, np.random.default_rng(0), profile.prior.crop)
    noisy = view.images.std(axis=(1, 2, 3)) > 1e-4
    holes = view.known.min(axis=(1, 2)) == 0
    small = ~noisy & ~holes & (view.sides < 64)
    kinds = [share.mean() for share in (noisy, small, holes)]
    assert kinds == pytest.approx([0.225, 0.225, 0.45], abs=0.07)
    assert not (noisy & holes).any()
    assert view.images.mean() == pytest.approx(0.25, abs=0.01)
    assert np.median(view.sides[noisy]) < np.median(view.sides[small])  # blur takes pixels


def test_training_is_repeatable(profile):
    """The same seed gives the same net, another seed another one."""
    few = replace(FEW, samples=16, steps=4, width=8)
    material = material_of(profile)

    def trained(how):
        return train_instant(material, how)

    first, again, other = trained(few), trained(few), trained(replace(few, seed=1))
    assert instant_file(first.net) == instant_file(again.net)
    assert instant_file(first.net) != instant_file(other.net)


@pytest.fixture
def learnt(profile, monkeypatch):
    """A net after a few steps, and for each example what it was told of beta and the beta in its form."""
    told, forward = [], Net.forward

    def spied(net, features, beta):
        told.extend((float(shown), beta) for shown in features[:, -1])
        return forward(net, features, beta)

    monkeypatch.setattr(Net, "forward", spied)
    few = replace(FEW, samples=4, steps=4, width=8)
    return train_instant(material_of(profile), few), told


def test_a_net_learns_with_what_it_is_told_and_stored_as(learnt):
    """Beta is told in training as it is later; the hidden weights are numbers of half precision."""
    trained, told = learnt
    shown, used = np.transpose(told)
    np.testing.assert_allclose(shown, used / LARGEST_BETA, rtol=1e-6)
    assert np.ptp(used) > 0.01
    for layer in (trained.net.first, trained.net.second):
        assert torch.equal(layer.weight, layer.weight.half().float())


def test_the_net_is_told_beta_and_how_small_a_photo_was(profile):
    """Its shares of the simplex differ with beta; flat photos of two sizes differ in one number."""
    images = profile.faces()[:1]
    view = hidden(images, np.ones((1, 32, 32), np.float32))  # so that the encoder has no part
    first, second = (
        (open_instant(profile).alpha_plus(view, beta) + beta) / (1 + 6 * beta) for beta in (0.01, 0.06)
    )
    assert np.abs(first - second).max() > 1e-4
    flat = enlarged([np.zeros((3, side, side), np.float32) for side in (8, 16)], 32)
    off = np.diff(features_of(profile.prior, flat), axis=0)
    assert off[np.abs(off) > 1e-5].tolist() == pytest.approx([1])


def test_every_example_is_paired_with_its_code(profile, monkeypatch):
    """A picture of the hull with the code it was made from, a photo with its anchor or the others' code."""
    monkeypatch.setattr(instant_examples, "degrade_at_random", lambda images, random, crop: whole(images))
    material = material_of(profile)
    generator, anchors = material.generator, material.anchors
    examples = instant_examples.make_examples(material, replace(FEW, samples=4), silent)

    def seen(images):
        return features_of(profile.prior, whole(images))

    made = synthesise(generator, examples.codes[:8]).clip(-1, 1)
    np.testing.assert_allclose(examples.features[:8, :-1], seen(made), atol=0.1)
    photos, codes = examples.features[8:, :-1], examples.codes[8:]
    assert len(photos) == len(codes) == 36  # six photos, two views, three times
    far = np.abs(photos[:, None] - seen(profile.faces())[None]).max(axis=-1)
    number = far.argmin(axis=1)
    assert far.min(axis=1).max() < 1e-3
    pairs = Counter((row, code.tobytes()) for row, code in zip(number, codes, strict=True))
    both = zip(anchors, others_codes(anchors), strict=True)
    wanted = {
        (row, np.repeat(code[None], 8, axis=0).tobytes()) for row, two in enumerate(both) for code in two
    }
    assert pairs == dict.fromkeys(wanted, 3)


@pytest.mark.parametrize("file", ["instant", "loss"])
def test_files_that_do_not_do_as_torch_does_are_never_kept(store, tmp_path, monkeypatch, file):
    """Both are run before the profile takes them."""
    shutil.copytree(store.open("ada").path, tmp_path / "ada")

    def other(*nets):
        with torch.no_grad():
            for parameter in nets[0].parameters():
                parameter.mul_(1.2)
        return instant_file(*nets) if file == "instant" else loss_file(*nets)

    place = training if file == "instant" else loss
    monkeypatch.setattr(place, f"{file}_file", lambda *nets: other(*copy.deepcopy(nets)))
    with pytest.raises(ModelError, match="differs from torch"):
        add_instant(Store(tmp_path), "ada", replace(FEW, samples=4, steps=1))
    assert Store(tmp_path).open("ada").manifest == store.open("ada").manifest


def test_half_of_the_answer_is_the_encoders_where_nothing_is_hidden(profile, monkeypatch):
    """The code nearest to the encoder's takes part for whole and small photos, not for those with holes."""
    images = profile.faces()[:2]
    hole = np.zeros((2, 32, 32), np.float32)
    hole[1, 4:9, 3:12] = 1
    net, view = open_instant(profile), hidden(images, hole)
    answers = {}
    for share in (0.0, 0.5, 1.0):
        monkeypatch.setattr(instant_net, "ENCODED", share)
        answers[share] = net.alpha_plus(view, 0.05)
    nearest = nearest_alpha(profile.prior.encode(images[:1]), profile.anchors(), 0.05)
    np.testing.assert_allclose(answers[1.0][0], np.repeat(nearest, 8, axis=0), atol=1e-6)
    np.testing.assert_allclose(answers[0.5][0], (answers[0.0][0] + answers[1.0][0]) / 2, atol=1e-6)
    assert np.abs(answers[0.5][0] - answers[0.0][0]).max() > 1e-3
    np.testing.assert_array_equal(answers[1.0][1], answers[0.0][1])


def test_a_gradient_of_another_generator_is_told(profile):
    """Before the file is used: the exported gradient is compared with torch's."""
    perceptual, generator = profile.prior.perceptual(), profile.generator()
    path, weights = profile.file(LOSS), profile.left_out()
    assert check_loss(path, (generator, perceptual), profile.anchors(), weights) < 0.01
    with torch.no_grad():
        for parameter in generator.synthesis.parameters():
            parameter.mul_(1.2)
    with pytest.raises(ModelError, match="gradient"):
        check_loss(path, (generator, perceptual), profile.anchors(), weights)


def test_the_net_sees_nothing_of_a_hole():
    """Two photos that differ only in the hole look alike; what is known keeps its values."""
    random = np.random.default_rng(0)
    images = random.uniform(-1, 1, (2, 3, 16, 16)).astype(np.float32)
    hole = np.zeros((2, 16, 16), np.float32)
    hole[:, 4:9, 3:12] = 1
    images[1] = np.where(hole[1] > 0, 1, images[0])
    view = hidden(images, hole)
    np.testing.assert_array_equal(view.images[0], view.images[1])
    np.testing.assert_array_equal(view.images[0][:, hole[0] == 0], images[0][:, hole[0] == 0])
    np.testing.assert_array_equal(view.known, 1 - hole)


def test_small_photos_of_several_sizes_are_seen_together():
    """Each is enlarged from its own size; a flat one stays flat."""
    view = enlarged([np.full((3, size, size), 0.25, np.float32) for size in (4, 9)], 16)
    assert isinstance(view, View)
    np.testing.assert_allclose(view.images, 0.25, atol=1e-6)
    assert view.sides.tolist() == [4, 9]


def test_drawn_codes_are_of_the_hull():
    """Every layer of a drawn code is a combination of the anchors within the largest dilation."""
    anchors = np.eye(6, dtype=np.float32)  # so that codes are their own coefficients
    codes = draw_codes(anchors, 4, 20, np.random.default_rng(0))
    assert codes.shape == (20, 4, 6)
    assert hull.in_hull(codes, LARGEST_BETA, tol=1e-5).all()
    assert np.ptp(codes[0], axis=0).max() > 0  # layers differ


def test_an_anchor_has_no_part_in_the_others_answer():
    """The nearest code that the others reach is not the anchor itself, unless they span it."""
    anchors = np.random.default_rng(0).normal(size=(6, 16)).astype(np.float32)
    anchors[5] = anchors[:2].mean(axis=0)
    found = others_codes(anchors)
    np.testing.assert_allclose(found[5], anchors[5], atol=1e-4)
    assert np.linalg.norm(found[:2] - anchors[:2], axis=1).min() > 0.1


def test_degradations_are_of_every_kind():
    """Small ones, hidden ones and whole ones; whatever is called known is the picture's own."""
    kernel = area_kernel(32, 4)
    images = np.random.default_rng(0).uniform(-1, 1, (60, 3, 32, 32)).astype(np.float32)
    view = degrade_at_random(images, np.random.default_rng(1), FFHQ)
    small, holed = view.sides < 32, (view.known == 0).any(axis=(1, 2))
    assert small.sum() >= 15
    assert holed.sum() >= 15
    assert (~small & ~holed).any()
    np.testing.assert_array_equal(view.images[~small & ~holed], images[~small & ~holed])
    coarse, given_ = (np.abs(kernel @ part @ kernel.T) for part in (view.images[small], images[small]))
    assert np.corrcoef(coarse.ravel(), given_.ravel())[0, 1] > 0.5


@pytest.mark.parametrize("crop", [Crop(0.58, 0.054), Crop(1.6, 0.1), Crop(0.2, 0)])
def test_holes_are_as_large_on_a_face_in_any_crop(crop):
    """With the same draws, boxes are that much larger on a tight crop, and lie where the face is."""
    random = [np.random.default_rng(3) for _ in range(2)]
    images = np.zeros((400, 3, 64, 64), np.float32)
    known, usual = (
        degrade_at_random(images, seeded, chosen).known
        for seeded, chosen in zip(random, (crop, FFHQ), strict=True)
    )
    holed = (known == 0).any(axis=(1, 2))
    np.testing.assert_array_equal(holed, (usual == 0).any(axis=(1, 2)))
    heights, wanted = ((part[holed] == 0).any(axis=2).sum(axis=1) for part in (known, usual))
    (_, top), (_, bottom) = (crop.from_ffhq(np.array([[0.0, 0], [1, 1]])).clip(0, 1) * 64).tolist()
    rounding = 1 + 1 / crop.scale  # half a pixel at each edge, of both
    expected = np.minimum(wanted / crop.scale, 0.8 * (bottom - top))
    np.testing.assert_allclose(heights, expected, atol=rounding)
    rows = np.nonzero((known == 0).any(axis=(0, 2)))[0]
    assert rows.min() >= np.floor(top)
    assert rows.max() < np.ceil(bottom)
    assert (known == 1).any(axis=(1, 2)).all()


def test_a_net_of_another_generator_is_stale_and_refused(profile):
    """Neither is used: no net, and one trained for other files; both say what to do."""
    manifest = profile.manifest
    assert instant_state(manifest) == "fresh"
    files = {name: table for name, table in manifest.files.items() if name != "instant"}
    old = {**files, "instant": {name: sha for name, sha in manifest.files["instant"].items() if name != LOSS}}
    facts = {
        name: {**manifest.stages["instant"], name: "0" * 64} for name in ("generator", "anchors", "prior")
    }
    cases = [
        *(
            ("stale", replace(manifest, stages={**manifest.stages, "instant": other}))
            for other in facts.values()
        ),
        ("none", replace(manifest, files=files)),
        ("none", replace(manifest, files=old)),  # learned before answers took steps
    ]
    for state, changed in cases:
        assert instant_state(changed) == state
        with pytest.raises(ProfileError) as caught:
            open_instant(Profile(profile.path, changed))
        assert caught.value.hint is not None
        assert "mystyle tune ada" in caught.value.hint


def test_a_damaged_net_is_refused(store, tmp_path):
    """The digest tells, before anything is computed."""
    copy = Path(shutil.copytree(store.open("ada").path, tmp_path / "ada"))
    (copy / FILE).write_bytes(b"not the net")
    with pytest.raises(ProfileError, match="digest"):
        open_instant(Profile(copy, store.open("ada").manifest))
