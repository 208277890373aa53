"""Each method learns a person, answers for photos and draws new ones; each as it was published."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mystyle_cli.baselines import adversarial
from mystyle_cli.baselines.adversarial import (
    AdversarialSettings,
    CorrespondingDuel,
    CrossDomain,
    DiffAugment,
    Duel,
)
from mystyle_cli.baselines.baseline import Baseline, Trained, draw_codes
from mystyle_cli.baselines.discriminator import Discriminator
from mystyle_cli.baselines.fitted import Glo, GloFit, Restorer
from mystyle_cli.baselines.methods import BASELINES
from mystyle_cli.baselines.pivotal import PivotSettings, find_pivot
from mystyle_cli.baselines.untuned import DomainPrior, MyStyle, MyStyleNear, NearestAnchor
from mystyle_cli.errors import ModelError
from mystyle_cli.find.locate import Subject
from mystyle_cli.person.layout import FOLDER, SYNTHESIS
from mystyle_cli.person.profile import Profile
from mystyle_cli.person.score import synthesise
from mystyle_cli.photos.pixels import to_pixels
from mystyle_cli.projection.settings import ProjectionSettings
from mystyle_cli.restore.task import RestoreSettings
from mystyle_cli.tuning.anchors import AnchorSettings
from mystyle_cli.tuning.settings import TuneSettings

SHORT = TuneSettings(passes=2, batch=3)
DUEL = AdversarialSettings(batch=3, steps=2)
METHODS: tuple[Baseline, ...] = (
    DomainPrior(),
    Restorer(tuning=SHORT),
    DiffAugment(tuning=DUEL),
    CrossDomain(tuning=DUEL),
    Glo(tuning=SHORT),
    NearestAnchor(references=2),
    MyStyle(),
    MyStyleNear(),
)
SEARCH = RestoreSettings(projection=ProjectionSettings(steps=3), aligned=True, force=True)


def pictures_of(method: Baseline, profile: Profile, trained: Trained) -> np.ndarray:
    """Return three samples (3, 3, R, R)."""
    return synthesise(trained.generator, method.sample(profile, trained, 3, seed=1))


def holed(profile: Profile, count: int = 2) -> list[Subject]:
    """Return reference photos with a hole each."""
    mask = np.zeros((32, 32), np.uint8)
    mask[10:20, 8:24] = 255
    return [Subject(crop, mask, name=f"{row}") for row, crop in enumerate(to_pixels(profile.faces()[:count]))]


@pytest.mark.usefixtures("judged")
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_methods_repeat_and_are_kept(profile: Profile, method: Baseline) -> None:
    """A seed gives the same weights; they draw and restore the same when they are read again."""
    trained = method.train(profile, seed=3)
    again = method.train(profile, seed=3)
    state = trained.state()
    assert all(np.array_equal(value, again.state()[name]) for name, value in state.items())
    revived = method.revive(profile, state)
    assert np.array_equal(pictures_of(method, profile, revived), pictures_of(method, profile, trained))
    first, second = (
        method.restore(profile, one, holed(profile), "inpaint", SEARCH) for one in (trained, revived)
    )
    for before, after, subject in zip(first, second, holed(profile), strict=True):
        assert before.error is None
        assert after.error is None
        assert before.pixels is not None
        assert after.pixels is not None
        assert np.array_equal(before.pixels, after.pixels)
        assert isinstance(subject.photo, np.ndarray)
        assert np.array_equal(before.pixels[:5], subject.photo[:5])  # blended as the commands do


@pytest.mark.usefixtures("judged")
@pytest.mark.parametrize(
    "method", [method for method in METHODS if hasattr(method, "tuning")], ids=lambda method: method.name
)
def test_training_depends_on_the_seed_and_changes_the_generator(profile: Profile, method: Baseline) -> None:
    """Another seed gives other weights; none are G_d's; the mapping stays G_d's."""
    one, other = (method.train(profile, seed=seed).generator for seed in (0, 1))
    domain = profile.prior.generator()
    for name, parameter in domain.named_parameters():
        same = torch.equal(dict(one.named_parameters())[name], parameter)
        if name.startswith("mapping."):
            assert same
    weight = "synthesis.b16.conv1.weight"
    values = [dict(net.named_parameters())[weight] for net in (domain, one, other)]
    assert not any(torch.equal(values[a], values[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
    assert not any(parameter.requires_grad for parameter in one.parameters())


@pytest.mark.usefixtures("judged")
def test_diffaugment_draws_nearer_to_the_person(profile: Profile) -> None:
    """After tuning, samples score a higher ID than those of G_d, of the same codes."""
    tuning = AdversarialSettings(batch=4, steps=30, rate=1e-2, judge_rate=1e-2, half_life=3.0)
    method = DiffAugment(tuning=tuning)
    trained = method.train(profile, seed=0)
    codes = method.sample(profile, trained, 16, seed=0)
    before, after = (
        profile.id_score(synthesise(generator, codes).clip(-1, 1)).mean()
        for generator in (profile.prior.generator(), trained.generator)
    )
    assert after > before + 0.08


@pytest.mark.usefixtures("judged")
def test_the_discriminator_pays_for_its_gradient_on_photos(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R1: half its weight, times the steps that it counts for, times the mean square of D's gradient."""
    monkeypatch.setattr(adversarial, "augment", lambda images, random: images)
    made, gradients = torch.zeros(DUEL.batch, 3, 32, 32), {}
    for weight, step in ((0.0, 0), (0.5, 0), (0.5, 1)):
        judge = adversarial.load_discriminator(profile.prior)
        assert judge is not None
        duel = Duel(profile, judge, replace(DUEL, r1=weight, r1_every=16), 0)
        before = copy.deepcopy(judge)
        duel._judge(step, made)
        gradients[weight, step] = [parameter.grad for parameter in judge.parameters()]
    chosen = np.random.default_rng([0, 0]).integers(len(profile.faces()), size=DUEL.batch)
    photos = torch.from_numpy(profile.faces()[chosen]).requires_grad_(True)
    [slope] = torch.autograd.grad(before(photos).sum(), photos, create_graph=True)
    penalty = 16 * 0.5 / 2 * slope.square().sum((1, 2, 3)).mean()
    wanted = torch.autograd.grad(penalty, list(before.parameters()), allow_unused=True)
    for plain, paid, later, own in zip(*gradients.values(), wanted, strict=True):
        assert plain is not None
        expected = torch.zeros_like(plain) if own is None else own
        np.testing.assert_allclose(paid - plain, expected, atol=1e-4 + 1e-3 * float(expected.abs().max()))
        assert torch.equal(later, plain)  # only every so many steps
    assert any(own is not None and float(own.abs().max()) > 0 for own in wanted)


@pytest.mark.usefixtures("judged")
def test_who_sees_pictures_augmented(profile: Profile) -> None:
    """DiffAugment's discriminator, photos and made pictures alike; Ojha et al. show them as they are."""
    images = torch.from_numpy(profile.faces()[: DUEL.batch])
    for method, changed in ((DiffAugment(tuning=DUEL), True), (CrossDomain(tuning=DUEL), False)):
        judge = adversarial.load_discriminator(profile.prior)
        assert judge is not None
        seen: list[torch.Tensor] = []
        judge.register_forward_pre_hook(lambda _, given, seen=seen: seen.append(given[0]))
        method.duel(profile, judge, 0)._judge(0, images + 0)
        made, photos = seen[:2]
        assert torch.equal(made, images) != changed
        bare = [any(torch.equal(face, one) for one in torch.from_numpy(profile.faces())) for face in photos]
        assert bare == [not changed] * DUEL.batch


def test_pixels_count_beside_what_is_perceived(profile: Profile) -> None:
    """Eq 1 of a fit: its weight times the mean square, besides LPIPS."""
    losses = []
    for weight in (0.0, 3.0):
        tuning = replace(SHORT, weight_l2=weight, precision="float32")
        fit = GloFit(profile, Glo(tuning=tuning), 0)
        losses.append(float(fit._loss(np.arange(3)).detach()))
    made = synthesise(profile.prior.generator(), fit.anchors.detach().numpy()[:3])
    assert losses[1] - losses[0] == pytest.approx(3 * np.square(made - profile.faces()[:3]).mean(), rel=1e-3)


def test_correspondence_pulls_at_the_generator(profile: Profile) -> None:
    """At the beginning nothing is out of correspondence; what is, is pulled back by its weight."""

    def pushed(weight: float) -> CorrespondingDuel:
        torch.manual_seed(0)
        duel = CorrespondingDuel(profile, Discriminator(32), replace(CrossDomain(), consistency=weight), 0)
        assert float(duel.made(duel.codes(1))[1].detach()) == pytest.approx(0, abs=1e-6)
        random = torch.Generator().manual_seed(0)  # the same push for all
        with torch.no_grad():
            for parameter in duel.parameters.values():
                push = torch.randn(parameter.shape, generator=random)
                parameter.add_(0.3 * parameter.square().mean().sqrt() * push)
        return duel

    def pull(weight: float) -> torch.Tensor:
        duel = pushed(weight)
        duel._generate(1, *duel.made(duel.codes(1)))
        return torch.cat([one.grad.flatten() for one in duel.parameters.values() if one.grad is not None])

    duel = pushed(1.0)
    loss = duel.made(duel.codes(1))[1]
    assert float(loss.detach()) > 1e-4
    gradients = torch.autograd.grad(loss, list(duel.parameters.values()), materialize_grads=True)
    wanted = torch.cat([one.flatten() for one in gradients])
    found = (pull(1e7) - pull(0.0)) / 1e7
    assert float((found - wanted).norm()) < 0.05 * float(wanted.norm())


def test_without_a_discriminator_a_method_is_refused(profile: Profile) -> None:
    """The tiny prior has none: the method says so, and which prior it is about."""
    for method in (DiffAugment(), CrossDomain()):
        assert method.lacking(profile)
        with pytest.raises(ModelError, match=r"tiny-32.*no discriminator"):
            method.train(profile, 0)
    assert not any(
        method.lacking(profile) for method in METHODS if not isinstance(method, DiffAugment | CrossDomain)
    )


def test_glo_trains_anchors(profile: Profile) -> None:
    """Anchors begin as codes of nobody and move; samples are mixtures of three of them; eq 1 falls."""
    losses: list[float] = []
    method = Glo(tuning=replace(SHORT, passes=12))
    trained = method.train(profile, 0, lambda step: losses.append(step.detail["loss"]))
    assert trained.anchors is not None
    first = draw_codes(profile.prior.generator(), len(profile.anchors()), 0, 1.0)
    assert float(np.abs(trained.anchors - first).max()) > 0.01
    assert np.mean(losses[-2:]) < 0.9 * np.mean(losses[:2])
    shares = method.sample(profile, trained, 4, 0) @ np.linalg.pinv(trained.anchors)
    assert shares.min() > -1e-3
    assert np.allclose(shares.sum(1), 1, atol=1e-3)
    assert ((shares > 1e-3).sum(1) <= 3).all()


def test_restorer_answers_in_one_pass(profile: Profile) -> None:
    """Its code is what the tuned encoder says of the photo as it is shown to a search; eq 1 falls."""
    losses: list[float] = []
    method = Restorer(tuning=replace(SHORT, passes=12))
    trained = method.train(profile, 0, lambda step: losses.append(step.detail["loss"]))
    assert np.mean(losses[-4:]) < 0.9 * np.mean(losses[:4])
    answer = method.restore(profile, trained, holed(profile, 1), "invert", SEARCH)[0]
    assert answer.error is None
    assert answer.steps == 0
    assert answer.w_plus is not None
    assert trained.encoder is not None
    code = trained.encoder(torch.from_numpy(profile.faces()[:1])).numpy()
    assert np.allclose(answer.w_plus, code, atol=1e-5)
    assert len(np.unique(answer.w_plus, axis=0)) == 1


def test_few_references_are_the_most_similar(profile: Profile) -> None:
    """A reference photo's own anchor is among those it is mixed from, and no more than asked for are."""
    method = NearestAnchor(references=2)
    trained = method.train(profile, 0)
    answers = method.restore(profile, trained, holed(profile, 3), "invert", SEARCH)
    for row, answer in enumerate(answers):
        assert answer.alpha_plus is not None
        used = np.nonzero(answer.alpha_plus.any(axis=0))[0]
        assert row in used
        assert len(used) == 2
        assert answer.alpha_plus.min() >= -1e-6
    embeddings = profile.prior.embed(profile.faces()[:1]) @ profile.reference_embeddings().T
    assert answers[0].alpha_plus is not None
    assert set(np.argsort(-embeddings[0])[:2]) == set(np.nonzero(answers[0].alpha_plus.any(axis=0))[0])


@pytest.mark.parametrize("method", [MyStyle(), MyStyleNear()], ids=lambda method: method.name)
def test_ours_is_what_the_commands_answer(profile: Profile, method: MyStyle) -> None:
    """Its answer is that of `restore` in its space, and its samples are mixtures of the anchors."""
    from mystyle_cli.restore.restore import restore

    trained = method.train(profile, 0)
    ours = method.restore(profile, trained, holed(profile, 1), "inpaint", SEARCH)[0]
    there = replace(SEARCH, projection=replace(SEARCH.projection, space=method.space))
    theirs = restore(profile, holed(profile, 1), "inpaint", there)[0]
    assert ours.pixels is not None
    assert theirs.pixels is not None
    assert np.array_equal(ours.pixels, theirs.pixels)


def test_pivot_gives_the_photo_back_and_moves_along_directions(profile: Profile) -> None:
    """Tuned, the generator meets the photo better than before; a step is the direction's, unbounded."""
    prior, photo = profile.prior, profile.faces()[0]
    settings = PivotSettings(AnchorSettings(steps=10), TuneSettings(passes=20, batch=1))
    domain = prior.generator()
    pivot = find_pivot(domain, prior.perceptual(), photo, settings)
    before, after = (
        np.square(synthesise(net, pivot.code[None])[0] - photo).mean() for net in (domain, pivot.generator)
    )
    assert after < 0.8 * before
    direction = prior.directions()["smile"]
    edits = pivot.edited(direction, [0.0, 40.0])
    assert np.allclose(edits[0], synthesise(pivot.generator, pivot.code[None])[0], atol=1e-5)
    code = pivot.code + 40.0 * direction.step * direction.vector
    assert np.allclose(edits[1], synthesise(pivot.generator, code.astype(np.float32)[None])[0], atol=1e-4)
    assert torch.equal(  # what it was found with stays
        next(domain.parameters()), next(prior.generator().parameters())
    )


def test_every_method_documents_itself() -> None:
    """Names are the paper's and differ; each has a source, and settings of plain numbers and words."""
    assert len({method.name for method in BASELINES}) == len(BASELINES)
    assert {type(method) for method in BASELINES} == {type(method) for method in METHODS}
    for method in BASELINES:
        assert method.source
        assert all(isinstance(value, float | int | str) for value in method.settings.values())


def test_the_notes_tell_the_settings() -> None:
    """docs/notes/baselines.md has a line with the settings of every method as they are."""
    notes = (Path(__file__).parents[2] / "docs/notes/baselines.md").read_text("utf-8")
    told = {method.name: method.settings for method in BASELINES} | {"PTI": PivotSettings().settings}
    for name, settings in told.items():
        listed = ", ".join(f"{key} {value}" for key, value in settings.items())
        assert f"| {name} | {listed} |" in notes


def test_a_person_drawn_by_another_generator(profile: Profile) -> None:
    """Copies of it draw them, behind the anchors given; what was exported of them is not there then."""
    files = {**profile.manifest.files, "export": {f"{FOLDER}/{SYNTHESIS}": "0" * 64}}
    exported = profile.drawn_by(profile.generator())
    exported.manifest = replace(profile.manifest, files=files)
    assert exported.export_state != "none"
    other = profile.prior.generator()
    anchors = np.zeros_like(profile.anchors())
    found = exported.drawn_by(other, anchors)
    codes = profile.anchors()[:2]
    assert np.array_equal(synthesise(found.generator(), codes), synthesise(other, codes))
    assert not np.array_equal(synthesise(profile.generator(), codes), synthesise(other, codes))
    assert found.generator() is not other
    assert found.anchors() is anchors
    assert found.export_state == "none"
    assert np.array_equal(found.on(profile.device).anchors(), anchors)
    assert profile.anchors().any()
