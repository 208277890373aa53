"""The tuned generator on disk: packing is exact, rounding is bounded, and damage is refused."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mystyle_cli.errors import ProfileError
from mystyle_cli.learn.learn import retune
from mystyle_cli.learn.settings import LearnSettings
from mystyle_cli.nets.generator import Generator
from mystyle_cli.person.difference import (
    accuracy_for,
    apply_difference,
    measure_sensitivities,
    read_changes,
    store_difference,
)
from mystyle_cli.person.files import load_tensors, save_tensors
from mystyle_cli.person.layout import GENERATOR
from mystyle_cli.person.quantise import Sensitivity, decode, encode, pack, unpack
from mystyle_cli.prior.registry import Prior, open_prior
from mystyle_cli.tuning.settings import TuneSettings
from tests.support.tiny_store import make_store

TUNED = "synthesis."


def even(shape: tuple[int, ...], value: float = 1.0) -> Sensitivity:
    """Return the same sensitivity for every weight."""
    return Sensitivity(np.full(shape[0], value, np.float32), np.full(shape[1], value, np.float32))


@pytest.fixture(scope="module")
def prior(tiny_prior: Path) -> Prior:
    """The tiny prior, open."""
    return open_prior(tiny_prior)


@pytest.fixture(scope="module")
def tuned(prior: Prior) -> dict[str, torch.Tensor]:
    """Parameters of a generator a little off the prior's."""
    draw = torch.Generator().manual_seed(1)
    return {
        name: parameter + 0.05 * torch.randn(parameter.shape, generator=draw)
        for name, parameter in prior.generator().named_parameters()
        if name.startswith(TUNED)
    }


@pytest.fixture(scope="module")
def codes(prior: Prior) -> np.ndarray:
    """Five codes."""
    return np.random.default_rng(2).normal(size=(5, prior.w_dim)).astype(np.float32)


def write(path: Path, prior: Prior, tuned: dict[str, torch.Tensor], codes: np.ndarray, **how: float) -> Path:
    """Store a tuned generator, and return the file."""
    stored = store_difference(prior, tuned, codes, **how)  # type: ignore[arg-type]
    save_tensors(path, stored.tensors, stored.notes)
    return path


def shapes_of(prior: Prior) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the prior's parameters."""
    return {name: tuple(p.shape) for name, p in prior.generator().named_parameters()}


@settings(max_examples=150)
@given(
    arrays.arrays(np.int16, st.integers(0, 300), elements=st.integers(-32767, 32767)),
    st.sampled_from([0, 1, 2, 3, 7, 8, 127, 128, 32767]),
)
def test_packing_is_exact(values: np.ndarray, largest: int) -> None:
    """Integers of any size come back as they were, in any number of them to a byte."""
    values = np.clip(values, -largest, largest).astype(np.int16)
    data, found = pack(values)
    assert found == np.abs(values.astype(int)).max(initial=0)
    np.testing.assert_array_equal(unpack(data, len(values), found), values)


@settings(max_examples=100)
@given(st.integers(0, 10_000), st.integers(1, 255), st.integers(0, 3))
def test_damaged_packing_is_noticed(seed: int, change: int, cut: int) -> None:
    """A changed byte, a short stream or a wrong count raises, or changes nothing of what is read."""
    rng = np.random.default_rng(seed)
    values = rng.integers(-4, 5, 200).astype(np.int16)
    data, largest = pack(values)
    damaged = data.copy()
    damaged[rng.integers(len(data))] ^= np.uint8(change)
    with contextlib.suppress(ValueError):
        np.testing.assert_array_equal(unpack(damaged, len(values), largest), values)
    with pytest.raises(ValueError, match="integers"):
        unpack(data[: len(data) - 1 - cut], len(values), largest)
    with pytest.raises(ValueError, match="integers"):
        unpack(data, 2 * len(values), largest)


def test_small_integers_take_their_entropy() -> None:
    """Three values of unequal frequency cost within a twentieth of their entropy, though below 1.3 bits."""
    values = np.rint(np.random.default_rng(0).normal(size=100_000) / 2).astype(np.int16).clip(-1, 1)
    shares = np.unique(values, return_counts=True)[1] / len(values)
    entropy = -(shares * np.log2(shares)).sum()
    assert entropy < 1.3
    assert 8 * len(pack(values)[0]) / len(values) < 1.05 * entropy


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.floats(-8, 4), st.floats(-12, 4), st.booleans())
def test_rounding_is_bounded_by_half_a_step(seed: int, scale: float, accuracy: float, heavy: bool) -> None:
    """Whatever the scale and the tails, an entry errs by half its step at most, as its facts give it."""
    rng = np.random.default_rng(seed)
    shape = (24, 12, 3, 3)
    change = (rng.standard_t(2, shape) if heavy else rng.normal(size=shape)).astype(np.float32) * 10**scale
    felt = Sensitivity(
        rng.lognormal(sigma=2, size=shape[0]).astype(np.float32),
        rng.lognormal(size=shape[1]).astype(np.float32),
    )
    coded = encode(change.astype(np.float32), felt, 10**accuracy)
    found = decode(coded.parts, coded.facts, shape)
    facts, rows, columns = coded.facts, coded.parts[".rows"], coded.parts[".columns"]
    steps = facts["step"] * rows.astype(float)[:, None] * columns.astype(float)
    steps = np.clip(steps, facts["least"], facts["most"])[:, :, None, None]
    assert (np.abs(found - change) <= 0.5 * steps + 3e-7 * np.abs(change)).all()
    rms = np.sqrt(np.mean(change.astype(float) ** 2))
    assert steps.max() <= 2.001 * rms


@pytest.mark.parametrize("change", [np.zeros((64, 64)), np.eye(64), np.full((64, 64), 1e-30)])
@pytest.mark.parametrize("felt", [0.0, 1e-12, 1e12])
def test_odd_changes_survive(change: np.ndarray, felt: float) -> None:
    """All zeros, a few large entries and vanishing ones, however they are felt, come back near and finite."""
    coded = encode(change.astype(np.float32), even(change.shape, felt), 1e-3)
    found = decode(coded.parts, coded.facts, change.shape)
    assert np.abs(found - change).max() <= 2 * np.sqrt(np.mean(change**2))


def test_finer_steps_where_pictures_feel_more() -> None:
    """A row that is felt a hundred times as much is rounded a tenth as coarsely."""
    change = np.random.default_rng(0).normal(size=(64, 64, 3, 3)).astype(np.float32)
    felt = Sensitivity(np.repeat(np.array([1, 100], np.float32), 32), np.ones(64, np.float32))
    coded = encode(change, felt, 0.5)
    error = np.sqrt(((decode(coded.parts, coded.facts, change.shape) - change) ** 2).mean((1, 2, 3)))
    assert error[:32].mean() / error[32:].mean() == pytest.approx(10, rel=0.1)


def test_a_matrix_of_low_rank_is_kept_as_factors() -> None:
    """Rank 3 in 128 x 256 takes a fifth of the grid's bytes at no larger error."""
    rng = np.random.default_rng(0)
    change = (rng.normal(size=(128, 3)) @ rng.normal(size=(3, 256))).astype(np.float32)
    coded = encode(change, even(change.shape), 0.1)
    assert coded.facts["how"] == "factors"
    assert len(coded.facts["shifts"]) == 3
    grid = encode(change[:, :, None], even(change.shape), 0.1)
    assert coded.size < grid.size / 5
    errors = [
        np.sqrt(((decode(made.parts, made.facts, shape).reshape(change.shape) - change) ** 2).mean())
        for made, shape in ((coded, change.shape), (grid, (*change.shape, 1)))
    ]
    assert errors[0] <= errors[1]


def test_factors_decode_to_the_exact_product() -> None:
    """The sum over factors is exact, so that no library's order of summation shows: against fractions."""
    rng = np.random.default_rng(3)
    change = (rng.normal(size=(40, 5)) @ rng.normal(size=(5, 40)) * [10.0]).astype(np.float32)
    coded = encode(change, even(change.shape), 1e-3)
    assert coded.facts["how"] == "factors"
    shifts = coded.facts["shifts"]
    integers = unpack(coded.parts[".integers"], 80 * len(shifts), coded.facts["largest"]).reshape(80, -1)
    found = decode(coded.parts, coded.facts, change.shape)
    for i, j in rng.integers(0, 40, (50, 2)):
        exact = sum(
            Fraction(int(a) * int(b), 2**s)
            for a, b, s in zip(integers[i], integers[40 + j], shifts, strict=True)
        )
        assert Fraction(float(exact)) == exact
        expected = float(exact) * coded.facts["step"] * float(coded.parts[".rows"][i])
        assert found[i, j] == np.float32(expected)


def test_sensitivity_is_what_a_disturbed_weight_does() -> None:
    """Against pictures of a generator whose rows or columns were disturbed at random."""
    torch.manual_seed(0)
    generator = Generator(channels={4: 16, 8: 16}, z_dim=16, w_dim=80, mapping_layers=1, mapping_multiplier=1)
    codes = np.random.default_rng(0).normal(size=(1, 80)).astype(np.float32)
    name = "synthesis.b8.conv0.weight"
    affine = "synthesis.b8.conv0.affine.weight"
    found = measure_sensitivities(generator, [name, affine, "synthesis.b8.conv0.bias"], codes, pictures=200)
    assert found.keys() == {name, affine}
    ws = torch.from_numpy(codes)[:, None].expand(-1, generator.num_ws, -1)
    for key in (name, affine):
        weight, draw = generator.get_parameter(key), torch.Generator().manual_seed(5)
        with torch.no_grad():
            before, kept = generator.synthesis(ws), weight.clone()
            changed = []
            for _ in range(200):
                noise = torch.randn(weight[3].shape, generator=draw)
                weight[3] += 1e-3 * noise
                changed.append(float((generator.synthesis(ws) - before).square().mean()) / 1e-6)
                weight.copy_(kept)
        assert found[key].rows[3] * weight[3].numel() == pytest.approx(np.mean(changed), rel=0.25)
        assert found[key].columns.mean() == pytest.approx(found[key].rows.mean(), rel=1e-4)
    assert not any(parameter.requires_grad for parameter in generator.parameters())


def test_pictures_change_no_more_than_was_allowed(
    tmp_path: Path, prior: Prior, tuned: dict[str, torch.Tensor], codes: np.ndarray
) -> None:
    """At two accuracies the error of pictures stays near what was asked for, and costs bytes."""
    sizes = []
    for wanted in (35.0, 50.0):
        path = write(tmp_path / f"{wanted}", prior, tuned, codes, picture_error=wanted)
        exact, small = prior.generator(), prior.generator()
        exact.load_state_dict(tuned, strict=False)
        apply_difference(small, path, prior.digest)
        ws = torch.from_numpy(codes)[:, None].expand(-1, prior.num_ws, -1)
        with torch.no_grad():
            error = (exact.synthesis(ws) - small.synthesis(ws)).square().mean()
        assert 10 * np.log10(4 / float(error)) > wanted - 5
        sizes.append(path.stat().st_size)
    assert sizes[0] < sizes[1]


def test_unchanged_arrays_are_not_stored(
    tmp_path: Path, prior: Prior, tuned: dict[str, torch.Tensor], codes: np.ndarray
) -> None:
    """What tuning left alone takes no bytes and stays exactly the prior's."""
    name = "synthesis.b8.conv0.weight"
    domain = prior.generator().get_parameter(name)
    path = write(tmp_path / "g", prior, {**tuned, name: domain.clone()}, codes)
    assert not [key for key in load_tensors(path)[0] if key.startswith(name)]
    generator = prior.generator()
    apply_difference(generator, path, prior.digest)
    assert torch.equal(generator.get_parameter(name), domain)


def test_the_same_weights_make_the_same_file(
    tmp_path: Path, prior: Prior, tuned: dict[str, torch.Tensor], codes: np.ndarray
) -> None:
    """So that a profile made again from the same inputs has the same digest."""
    first, second = (write(tmp_path / name, prior, tuned, codes) for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size < write(tmp_path / "c", prior, tuned, codes, whole=True).stat().st_size


def test_whole_differences_and_those_of_format_1_are_read(
    tmp_path: Path, prior: Prior, tuned: dict[str, torch.Tensor], codes: np.ndarray
) -> None:
    """Half precision of the change, as profiles of format 1 hold it, and as `whole` writes it."""
    domain = dict(prior.generator().named_parameters())
    old = {name: (value - domain[name]).numpy().astype(np.float16) for name, value in tuned.items()}
    save_tensors(tmp_path / "old", old, {"kind": "difference", "prior": prior.digest})
    whole = write(tmp_path / "whole", prior, tuned, codes, whole=True)
    assert whole.read_bytes() == (tmp_path / "old").read_bytes()
    generator = prior.generator()
    apply_difference(generator, whole, prior.digest)
    for name, value in tuned.items():
        assert (generator.get_parameter(name) - value).abs().max() <= 0.25 * 2**-10


def test_a_file_of_another_prior_is_refused(
    tmp_path: Path, prior: Prior, tuned: dict[str, torch.Tensor], codes: np.ndarray
) -> None:
    """A difference is only added to the weights that it was taken from."""
    path = write(tmp_path / "g.safetensors", prior, tuned, codes)
    with pytest.raises(ProfileError, match=r"g\.safetensors does not fit"):
        apply_difference(prior.generator(), path, "f" * 64)


def test_damaged_files_are_refused(
    tmp_path: Path, prior: Prior, tuned: dict[str, torch.Tensor], codes: np.ndarray
) -> None:
    """Missing parts, wrong shapes, strange facts and broken streams are errors that name the file."""
    tensors, notes = load_tensors(write(tmp_path / "good", prior, tuned, codes))
    layers = json.loads(notes["layers"])
    name = "synthesis.b8.conv0.weight"
    facts = layers[name]
    assert facts["how"] == "grid"
    integers = f"{name}.integers"
    damaged = [
        ({k: v for k, v in tensors.items() if k != integers}, layers),
        ({**tensors, integers: tensors[integers][:-9]}, layers),
        ({**tensors, integers: tensors[integers].astype(np.int32)}, layers),
        ({**tensors, f"{name}.rows": tensors[f"{name}.rows"][:-1]}, layers),
        ({**tensors, f"{name}.rows": np.full(16, np.nan, np.float16)}, layers),
        ({**tensors, "synthesis.b8.conv0.bias": np.zeros(3, np.float16)}, layers),
        ({**tensors, "nothing": np.zeros(3, np.float16)}, layers),
        (tensors, {k: v for k, v in layers.items() if k != name}),
        (tensors, {**layers, name: {**facts, "how": "magic"}}),
        (tensors, {**layers, name: {**facts, "largest": 1_000_000}}),
        (tensors, {**layers, name: {**facts, "step": "wide"}}),
        (tensors, {**layers, name: {k: v for k, v in facts.items() if k != "most"}}),
        (tensors, {**layers, name: {**facts, "how": "factors", "shifts": [1, 2]}}),
        (tensors, {**layers, name: []}),
        (tensors, {**layers, "nothing": facts}),
        (tensors, []),
    ]
    for number, (parts, described) in enumerate(damaged):
        path = tmp_path / f"bad-{number}"
        save_tensors(path, parts, {**notes, "layers": json.dumps(described)})
        with pytest.raises(ProfileError, match=f"bad-{number} "):
            read_changes(path, shapes_of(prior), prior.digest)
    for number, broken in enumerate(({"layers": "{"}, {"kind": "magic"}, {"prior": ""})):
        path = tmp_path / f"notes-{number}"
        save_tensors(path, tensors, {**notes, **broken})
        with pytest.raises(ProfileError, match=f"notes-{number} "):
            read_changes(path, shapes_of(prior), prior.digest)


def test_a_difference_for_another_network_is_refused(prior: Prior, tmp_path: Path) -> None:
    """Unknown names and wrong shapes are errors, not broadcasts."""
    notes = {"kind": "difference", "prior": prior.digest}
    for tensors in ({"nothing": np.zeros(1, np.float16)}, {"synthesis.b4.const": np.zeros(1, np.float16)}):
        save_tensors(tmp_path / "g.safetensors", tensors, notes)
        with pytest.raises(ProfileError, match="does not fit"):
            apply_difference(prior.generator(), tmp_path / "g.safetensors", prior.digest)


def test_accuracy_spends_the_allowed_error_evenly() -> None:
    """At 40 dB, 100 weights rounded to that step add up to a ten-thousandth of the squared range."""
    step = accuracy_for(40.0, 100)
    assert 100 * step**2 / 12 == pytest.approx(4e-4)


def test_tuning_stores_what_is_then_used(tmp_path: Path, tiny_prior: Path) -> None:
    """The noted bytes are those on disk, for a generator kept small and for one kept whole."""
    store = make_store(tmp_path / "store", tiny_prior)
    tuning = TuneSettings(passes=1, batch=3, precision="float32")
    quick = LearnSettings(tuning=tuning, instant=None, export=False)
    sizes = []
    for how in (quick, dataclasses.replace(quick, whole=True)):
        profile = retune(store, "ada", how).profile
        noted = profile.manifest.stages["tune"]
        assert noted["generator_bytes"] == (profile.path / GENERATOR).stat().st_size
        assert noted["whole"] == how.whole
        assert store.verify("ada") == []
        sizes.append(noted["generator_bytes"])
    assert sizes[0] < 0.75 * sizes[1]


@pytest.mark.slow
def test_a_profile_of_format_1_is_used_as_it_is(tmp_path: Path, tiny_prior: Path) -> None:
    """It opens with its half-precision generator, and notes the step that brought it here."""
    store = make_store(tmp_path / "store", tiny_prior)
    quick = LearnSettings(
        tuning=TuneSettings(passes=1, batch=3, precision="float32"), export=False, whole=True
    )
    folder = retune(store, "ada", quick).profile.path
    text = (folder / "profile.toml").read_text("utf-8")
    (folder / "profile.toml").write_text(text.replace("format = 2", "format = 1"), "utf-8")
    profile = store.open("ada")
    assert profile.manifest.migrated == ("tuned generators may be quantised",)
    assert profile.generator().resolution == profile.prior.resolution
    assert store.verify("ada") == []
