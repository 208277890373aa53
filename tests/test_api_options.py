"""Every argument of the Python API does something, or is refused where it would do nothing."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mystyle_cli
from mystyle_cli.api import Person
from mystyle_cli.errors import MystyleError, UsageError
from mystyle_cli.instant.net import InstantSettings
from mystyle_cli.learn.learn import export
from mystyle_cli.restore.saved import load_code
from mystyle_cli.store.store import Store
from tests.support.tiny_store import add_instant, date_photos, make_store, picture

FEW = InstantSettings(samples=16, views=1, width=8, steps=10, batch=8)
HOLE = np.zeros((32, 32), np.uint8)
HOLE[10:20, 8:24] = 255
OPPOSITE = 255 - np.mean([picture(number, 32) for number in range(6)], axis=0).round().astype(np.uint8)
"""As unlike the person as can be, for a net that is linear."""

GREY = np.repeat(picture(1, 32)[..., :1], 3, axis=2)
LINED = np.where((np.arange(32) // 2 == 8)[:, None, None], np.uint8(0), picture(1, 32))

BASES: Mapping[str, Mapping[str, Any]] = {
    "upscale": {"photo": picture(1, 20), "aligned": True, "steps": 2},
    "inpaint": {"photo": picture(1, 32), "mask": HOLE, "aligned": True, "steps": 2},
    "restore": {"photo": picture(1, 32), "aligned": True, "steps": 2, "noise": 20.0, "blur": 1.0, "jpeg": 30},
    "restore_clip": {"source": "in.mp4", "target": "out.mp4", "steps": 2},
    "invert": {"photo": picture(1, 32), "aligned": True, "steps": 2},
    "edit": {"photo": picture(1, 32), "strengths": {"smile": 40.0}, "aligned": True, "steps": 2},
    "sample": {"seeds": [1]},
}
"""Arguments with which each method works."""

WHOLE = {"quality": "full", "steps": None}
SEARCHED: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "photo": ({}, {"photo": picture(2, 24)}),
    "beta": ({}, {"beta": 0.3}),
    "steps": ({}, {"steps": 1}),
    "aligned": ({}, {"aligned": False}),
    "force": ({"store": "strict"}, {"force": True}),
    "year": ({"store": "dated"}, {"year": 1990}),
}
QUALITY = {
    "quality": (WHOLE, {"quality": "instant"}),
    "space": ({}, {"space": "w+"}),
    "variants": ({}, {"variants": 2}),
    "seed": ({"variants": 4, "steps": 4}, {"seed": 2}),
}

CASES: Mapping[str, Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]]] = {
    "upscale": {**SEARCHED, **QUALITY},
    "inpaint": {
        **SEARCHED,
        **QUALITY,
        "photo": ({}, {"photo": picture(2, 32)}),
        "mask": ({}, {"mask": HOLE.T.copy()}),
        "force": ({"store": "strict", "photo": OPPOSITE}, {"force": True}),
    },
    "restore": {
        **SEARCHED,
        **QUALITY,
        "force": ({"store": "strict", "photo": OPPOSITE, "blur": 0.0, "noise": 0.0}, {"force": True}),
        "mask": ({}, {"mask": HOLE}),
        "blur": ({}, {"blur": 4.0}),
        "noise": ({}, {"noise": 0.0}),
        "jpeg": ({}, {"jpeg": 0}),
        "scale": ({"scale": 1.0}, {"scale": 2.0}),
        "scratches": (
            {"photo": LINED, "blur": 0.0, "noise": 0.0, "jpeg": 0, "scale": 1.0},
            {"scratches": False},
        ),
        "keep_tone": ({"photo": GREY}, {"keep_tone": True}),
        "grain": ({}, {"grain": True}),
    },
    "restore_clip": {
        **{name: SEARCHED[name] for name in ("beta", "steps", "year")},
        "space": QUALITY["space"],
        "quality": QUALITY["quality"],
        "source": ({}, {"source": "other.mp4"}),
        "target": ({}, {"target": "other.mp4"}),
        "task": ({}, {"task": "upscale"}),
        "force": ({}, {"force": True}),
        "blur": ({}, {"blur": 4.0}),
        "noise": ({}, {"noise": 0.0}),
        "scale": ({}, {"scale": 2.0}),
        "keep_tone": ({}, {"keep_tone": True}),
        "grain": ({}, {"grain": True}),
    },
    "invert": SEARCHED,
    "edit": {
        **SEARCHED,
        "strengths": ({}, {"strengths": {"yaw": 1.0}}),
        "at_limit": ({}, {"at_limit": "stop"}),
        "refine": ({}, {"refine": True}),
        "code": ({"aligned": False, "steps": None}, {"code": "saved"}),
        "backend": (
            {"aligned": False, "steps": None, "code": "saved", "store": "bare"},
            {"backend": "onnx"},
        ),
    },
    "sample": {
        "seeds": ({}, {"seeds": [2]}),
        "sampler": ({}, {"sampler": "uniform"}),
        "beta": ({"sampler": "uniform"}, {"beta": 0.3}),
        "backend": ({}, {"backend": "torch"}),
        "year": SEARCHED["year"],
    },
}
"""For each method and argument: what it is added to, and a value that changes what comes back."""

ELSEWHERE = {"self", "device", "progress"}
"""Tried by the tests of devices and of progress."""

REFUSED: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("upscale", {"quality": "instant"}),  # with steps
    ("inpaint", {"quality": "instant"}),
    ("edit", {"code": "saved", "aligned": False}),  # with steps
    ("edit", {"code": "saved", "steps": None}),  # with aligned
    ("edit", {"code": "saved", "steps": None, "aligned": False, "force": True}),
    ("edit", {"code": "saved", "steps": None, "aligned": False, "year": 1990}),
    ("edit", {"backend": "onnx"}),
    ("edit", {"backend": "onnx", "refine": True, "code": "saved", "steps": None, "aligned": False}),
    ("edit", {"strengths": {"smile": float("nan")}}),
    ("edit", {"at_limit": "projekt"}),
    ("upscale", {"quality": "fst"}),
    ("upscale", {"seed": 2}),
    ("upscale", {"variants": 0}),
    ("upscale", {"variants": 2, "quality": "instant", "steps": None}),
    ("upscale", {"beta": float("nan")}),
    ("upscale", {"steps": 0}),
    ("sample", {"sampler": "anchor"}),
    ("sample", {"backend": "tensorflow"}),
    ("sample", {"beta": 0.1}),
)


@pytest.fixture(scope="module")
def stores(tiny_prior: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store, others with a limit that nobody reaches and without an export, and a code."""
    folder = tmp_path_factory.mktemp("stores")
    store = make_store(folder / "plain", tiny_prior)
    add_instant(store, "ada", FEW)
    export(store, "ada")
    make_store(folder / "bare", tiny_prior)
    shutil.copytree(folder / "plain", folder / "strict")
    shutil.copytree(folder / "plain", folder / "dated")
    date_photos(Store(folder / "dated"), "ada")
    manifest = folder / "strict/ada/profile.toml"
    manifest.write_text(manifest.read_text().replace("threshold = -1.0", "threshold = 1.1"))
    person = mystyle_cli.open_profile("ada", folder / "plain")
    person.save_code(person.invert(**BASES["invert"]), folder / "saved.safetensors", aligned=True)
    return folder


@pytest.fixture
def call(stores: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, ...]]:
    """Call a method and return what came of it, or which refusal; of a clip, what the core is asked for.

    That each of it changes what comes of clips is seen on photos, and in `tests/video`. No face is found on
    the patterns that are the photos here, which is told without looking for long.
    """
    for look in ("find_quads", "find_turned_quads"):
        monkeypatch.setattr(f"mystyle_cli.find.locate.{look}", lambda *given, **how: [])
    asked = "mystyle_cli.video.video.restore_clip"
    monkeypatch.setattr(asked, lambda engine, *given, progress: repr((engine.settings, given)).encode())

    def run(method: str, **given: Any) -> tuple[Any, ...]:
        name = given.pop("store", "plain")
        if given.get("code") == "saved":
            given["code"] = stores / "saved.safetensors"
        try:
            found = getattr(mystyle_cli.open_profile("ada", stores / name), method)(**given)
        except MystyleError as error:
            return type(error), error.message
        if isinstance(found, bytes):
            return found, ""
        pixels = found.frames[0].pixels if method == "edit" else found.pixels
        openness = getattr(found, "openness", None)
        open_to = b"" if openness is None else openness.map.tobytes()
        return pixels.tobytes(), getattr(found, "backend", ""), open_to

    return run


def test_every_argument_has_a_case() -> None:
    """Of the methods that work on photos, and of no other."""
    there = {
        (name, argument)
        for name, method in vars(Person).items()
        if inspect.isfunction(method) and not name.startswith("_") and name != "save_code"
        for argument in inspect.signature(method).parameters
        if argument not in ELSEWHERE
    }
    assert {(method, argument) for method, cases in CASES.items() for argument in cases} == there


@pytest.mark.parametrize(
    ("method", "argument"), [(method, name) for method, cases in CASES.items() for name in cases]
)
def test_an_argument_changes_what_comes_back(
    call: Callable[..., tuple[Any, ...]], method: str, argument: str
) -> None:
    """Pixels, or a refusal where there were pixels, or the other way round."""
    added, given = CASES[method][argument]
    plain = {**BASES[method], **added}
    without, with_it = call(method, **plain), call(method, **{**plain, **given})
    assert without != with_it
    assert isinstance(without[0], bytes) or isinstance(with_it[0], bytes)


@pytest.mark.parametrize(("method", "given"), REFUSED)
def test_what_would_do_nothing_is_refused(
    call: Callable[..., tuple[Any, ...]], method: str, given: Mapping[str, Any]
) -> None:
    """With an error of usage that says what."""
    assert call(method, **{**BASES[method], **given})[0] is UsageError


def test_a_code_is_saved_as_it_was_found(stores: Path, tmp_path: Path) -> None:
    """`save_code`: what was found, where, and whether the photo is a crop."""
    person = mystyle_cli.open_profile("ada", stores / "plain")
    small = person.upscale(**BASES["upscale"])
    person.save_code(small, tmp_path / "a.safetensors", aligned=True)
    person.save_code(small, tmp_path / "b.safetensors")
    codes = [load_code(tmp_path / f"{name}.safetensors", person) for name in "ab"]
    assert [code.aligned for code in codes] == [True, False]
    assert [code.factor for code in codes] == [small.factor] * 2 == [32 / 20] * 2


def test_a_photo_becomes_as_large_whatever_the_quality(
    stores: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search that moves the face enlarges as often as an instant answer, which moves none."""
    from dataclasses import replace

    from mystyle_cli.restore import engine

    answer = engine.Engine.answer

    def moving(self: Any, *given: Any) -> Any:
        found = answer(self, *given)
        return replace(found, motions=np.full_like(found.motions, 0.1))

    monkeypatch.setattr(engine.Engine, "answer", moving)
    person, found = mystyle_cli.open_profile("ada", stores / "plain"), []
    for quality in ("full", "fast", "instant"):
        found.append(person.upscale(picture(1, 20), quality=quality, aligned=True))  # type: ignore[arg-type]
    assert {one.pixels.shape for one in found if one.pixels is not None} == {(32, 32, 3)}
    assert {one.factor for one in found} == {1.6}
    person.save_code(found[0], tmp_path / "code.safetensors", aligned=True)
    edited = person.edit(picture(1, 20), {"smile": 1.0}, code=tmp_path / "code.safetensors")
    assert edited.frames[0].pixels.shape == (32, 32, 3)
