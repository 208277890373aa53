"""Odd photos, masks and points through the real commands: understood as they are meant, or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mystyle_cli.errors import NotThisPersonError, UsageError
from mystyle_cli.faces.align import FFHQ
from mystyle_cli.find import locate
from mystyle_cli.find.gate import Gate
from mystyle_cli.photos import decode, encode
from mystyle_cli.photos import pixels as photos_pixels
from mystyle_cli.photos.decode import Photo
from mystyle_cli.photos.pixels import resize
from mystyle_cli.restore import composite, engine
from mystyle_cli.sample import samples
from mystyle_cli.sample.rendering import TorchRenderer
from tests.support.journeys import Run
from tests.support.squares import marks
from tests.support.tiny_store import picture

SHORT = ("--steps", 2, "--aligned")


def hole(size: int = 32) -> np.ndarray:
    """Return bool (size, size), a square in the middle."""
    found = np.zeros((size, size), bool)
    found[size // 3 : 2 * size // 3, size // 3 : 2 * size // 3] = True
    return found


RED = np.array([255, 0, 0, 255], np.uint8)
BAD_MASKS: dict[str, tuple[np.ndarray, str]] = {
    "zero and one": (hole().astype(np.uint8), "its lightest value is 1 of 255"),
    "black": (np.zeros((32, 32), np.uint8), "its lightest value is 0 of 255"),
    "dark grey": (hole() * np.uint8(100), "its lightest value is 100 of 255"),
    "light grey": (hole() * np.uint8(200), "its lightest value is 200 of 255"),
    "a yellow spot": (
        np.pad(np.full((2, 2, 3), 255), ((9, 21), (9, 21), (0, 0))) * [1, 1, 0],
        "is in colour",
    ),
    "red": (hole()[..., None] * RED, "the mask is in colour"),
    "photo": (picture(3, 32), "the mask is in colour"),
    "photo with a white hole": (np.where(hole()[..., None], 255, picture(3, 32)), "the mask is in colour"),
    "grey photo": (picture(3, 32)[..., 1], "of the mask is grey, as in a photo"),
    "other size": (np.full((8, 8), 255, np.uint8), "the mask is 8 x 8, the photo 32 x 32"),
}


@pytest.mark.parametrize("kind", BAD_MASKS)
def test_what_is_no_mask_is_refused(run: Run, kind: str) -> None:
    """A mask is white and black, grey along soft edges only; anything else is refused before the work."""
    values, reason = BAD_MASKS[kind]
    Image.fromarray(picture(0, 32)).save("p.png")
    Image.fromarray(values.astype(np.uint8)).save("mask.png")
    done = run("inpaint", "ada", "p.png", "--mask", "mask.png", "-o", "o.png", *SHORT)
    assert done.exit_code == 2, done.stderr
    assert reason in done.stderr
    assert not Path("o.png").exists()


@pytest.mark.parametrize("kind", ["white", "1 bit", "alpha", "jpeg", "soft"])
def test_masks_of_all_sorts_fill_what_is_white(run: Run, kind: str) -> None:
    """One bit, with opacity, JPEG with its noise, soft edges: the white is filled, and no more."""
    Image.fromarray(picture(0, 32)).save("p.png")
    white = Image.fromarray(hole().astype(np.uint8) * 255)
    place = Path("mask.jpg" if kind == "jpeg" else "mask.png")
    if kind == "1 bit":
        white.convert("1").save(place)
    elif kind == "alpha":
        Image.merge("LA", (Image.new("L", (32, 32), 255), white)).save(place)
    elif kind == "jpeg":
        white.save(place, quality=95)
    elif kind == "soft":
        Image.fromarray(np.where(hole(), 255, np.roll(hole(), 1, axis=0) * np.uint8(120))).save(place)
    else:
        white.save(place)
    done = run("inpaint", "ada", "p.png", "--mask", place, "-o", "o.png", *SHORT)
    assert done.exit_code == 0, done.stderr
    changed = (np.asarray(Image.open("o.png")) != picture(0, 32)).any(axis=2)
    near = hole() | np.roll(hole(), 1, axis=0)
    if kind == "jpeg":
        near = np.zeros((32, 32), bool)
        near[8:24, 8:24] = True  # the blocks of eight that the square's edge runs through
    assert changed[hole()].mean() > 0.9
    assert not (changed & ~near).any()


@pytest.mark.parametrize("command", ["upscale", "invert", "inpaint", "edit"])
def test_a_grey_photo_comes_back_grey(run: Run, command: str) -> None:
    """What is put into a grey photo is grey, though the person's space knows colours."""
    size = 16 if command == "upscale" else 32
    Image.fromarray(picture(0, size)[..., 1]).save("p.png")
    Image.fromarray(hole().astype(np.uint8) * 255).save("mask.png")
    more = {"inpaint": ("--mask", "mask.png"), "edit": ("-d", "yaw", "-s", 1)}.get(command, ())
    done = run(command, "ada", "p.png", "-o", "o.png", *more, *SHORT)
    assert done.exit_code == 0, done.stderr
    pixels = np.asarray(Image.open("o.png").convert("RGB"))
    assert pixels.std() > 5
    assert (pixels == pixels[..., :1]).all()


def test_upscale_keeps_what_is_transparent(run: Run) -> None:
    """A cut-out stays one, its opacity enlarged with it."""
    pixels = np.dstack([picture(0, 16), np.where(hole(16), 0, 255)]).astype(np.uint8)
    Image.fromarray(pixels).save("p.png")
    done = run("upscale", "ada", "p.png", "-o", "o.png", *SHORT)
    assert done.exit_code == 0, done.stderr
    result = Image.open("o.png")
    assert (result.mode, result.size) == ("RGBA", (32, 32))
    alpha = np.asarray(result.getchannel("A")).astype(int)
    assert alpha[16, 16] < 12
    assert alpha[1, 1] == 255
    assert np.abs(alpha - np.kron(pixels[..., 3], np.ones((2, 2)))).mean() < 12


def test_what_is_clear_leaves_no_fringe() -> None:
    """Black below full transparency does not darken the edge of what is enlarged."""
    pixels = np.full((16, 16, 3), 200, np.uint8)
    alpha = np.where(hole(16), 255, 0).astype(np.uint8)
    pixels[~hole(16)] = 0
    large, opacity = resize(pixels, (64, 64), alpha=alpha), resize(alpha, (64, 64))
    assert (large[opacity > 48] > 190).all()
    assert resize(pixels, (64, 64))[opacity > 48].min() < 100


POINTS = {
    "between 0 and 1": (np.random.default_rng(0).random((68, 2)) * 0.3 + 0.35, "lie between 0 and 1"),
    "equal": (np.full((68, 2), 20.0), "span less than"),
    "on a line": (np.stack([np.linspace(2, 30, 68), np.full(68, 9.0)], axis=1), "span less than"),
    "elsewhere": (np.random.default_rng(0).random((68, 2)) * 20 + 400, "lie outside the photo of 32 x 32"),
    "huge": (np.random.default_rng(0).random((68, 2)) * 1e9, "lie outside the photo of 32 x 32"),
}


@pytest.mark.parametrize("kind", POINTS)
def test_points_that_are_no_face_s_on_the_photo_are_refused(run: Run, kind: str) -> None:
    """Points in other units than pixels, of no extent, or off the photo, are refused by what they are."""
    points, reason = POINTS[kind]
    Image.fromarray(picture(0, 32)).save("p.png")
    np.save("points.npy", points)
    done = run("invert", "ada", "p.png", "--landmarks", "points.npy", "-o", "o.png", "--steps", 1)
    assert done.exit_code == 2, done.stderr
    assert reason in done.stderr
    assert "fault" not in done.stderr
    assert not Path("o.png").exists()


def test_a_face_of_one_pixel_asks_for_a_larger_photo(run: Run) -> None:
    """The advice fits: what is too small to be enlarged is not to be made smaller."""
    for size, advice in ((1, "Use a larger photo"), (32, "invert works on it")):
        Image.fromarray(picture(0, size)).save("p.png")
        done = run("upscale", "ada", "p.png", "-o", "o.png", *SHORT)
        assert done.exit_code == 2
        assert advice in done.stderr


@pytest.mark.parametrize("command", ["upscale", "invert"])
def test_every_resize_is_bounded(run: Run, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the size of a face on a photo, no picture is made beyond the limit, or it is refused."""
    made: list[int] = []

    def counted(method: Callable[..., Image.Image]) -> Callable[..., Image.Image]:
        def count(self: Image.Image, *given: Any, **named: Any) -> Image.Image:
            result = method(self, *given, **named)
            made.append(result.width * result.height)
            return result

        return count

    for name in ("resize", "transform", "reduce"):
        monkeypatch.setattr(Image.Image, name, counted(getattr(Image.Image, name)))
    monkeypatch.setattr(photos_pixels, "LARGEST_PICTURE", 2_000_000)
    monkeypatch.setattr(decode, "LARGEST_PICTURE", 2_000_000)
    Image.fromarray(resize(picture(0, 64), (900, 1200))).save("p.png")
    for side, refused in ((10.0, command == "upscale"), (24.0, False), (400.0, None), (3000.0, None)):
        np.savetxt("points.txt", marks(600, 450, side))
        done = run(command, "ada", "p.png", "--landmarks", "points.txt", "-o", "o.png", *SHORT[:2], "--force")
        assert done.exit_code in (0, 1, 2), done.stderr
        assert "fault" not in done.stderr
        if refused is not None:
            assert bool(done.exit_code) == refused
        Path("o.png").unlink(missing_ok=True)
    assert 1_000_000 < max(made) <= 2_000_000


def test_that_one_of_several_pictures_was_used_is_said(run: Run) -> None:
    """The result of an animation or of pages tells which picture it is of."""
    frames = [Image.fromarray(picture(seed, 32)) for seed in range(2)]
    frames[0].save("p.tiff", save_all=True, append_images=frames[1:])
    done = run("--json", "invert", "ada", "p.tiff", "-o", "o.png", *SHORT)
    assert done.exit_code == 0, done.stderr
    assert "p.tiff: the file holds several pictures: the first is used" in done.stderr


def test_what_the_format_cannot_hold_is_said_before_the_work(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A photo with a side too long for its result's format never reaches the search."""
    for name, size in (("a.png", 32), ("wide.png", 40)):
        Image.fromarray(picture(0, size)).save(name)
    monkeypatch.setitem(encode._LARGEST_SIDE, "webp", 39)
    worked: list[str] = []
    answer = engine.Engine.answer

    def note(self: Any, given: Any, *rest: Any) -> Any:
        worked.extend(item.located.name for item in given)
        return answer(self, given, *rest)

    monkeypatch.setattr(engine.Engine, "answer", note)
    done = run("invert", "ada", "wide.png", "a.png", "-o", "out", "--format", "webp", *SHORT)
    assert done.exit_code == 3
    assert "webp holds 39 pixels a side at most" in done.stderr
    assert worked == ["a.png"]


def quad(x: float) -> np.ndarray:
    """Return a square of 20 px whose left side is at x."""
    return np.array([[x, 10.0], [x, 30.0], [x + 20, 30.0], [x + 20, 10.0]])


def located(monkeypatch: pytest.MonkeyPatch, upright: dict[float, float], turned: dict[float, float]) -> Any:
    """Locate a person whose faces, left side to ID score, are found upright and in the turned photo."""
    scores = {**upright, **turned}
    asked: list[list[float]] = []

    def found(faces: dict[float, float]) -> Callable[..., list[np.ndarray]]:
        def find(*_: Any, **__: Any) -> list[np.ndarray]:
            asked.append(list(faces))
            return [quad(x) for x in faces]

        return find

    monkeypatch.setattr(locate, "find_quads", found(upright))
    monkeypatch.setattr(locate, "find_turned_quads", found(turned))
    monkeypatch.setattr("mystyle_cli.find.gate.open_gate", lambda *_: Gate(0.5, 0.3))
    monkeypatch.setattr(
        locate, "_id_scores", lambda profile, photo, mask, quads: [scores[float(q[0, 0])] for q in quads]
    )
    profile = SimpleNamespace(
        people=(),
        person=None,
        who="ada",
        name="ada",
        faces=None,
        prior=SimpleNamespace(crop=FFHQ),
        manifest=SimpleNamespace(prior=SimpleNamespace(resolution=32)),
    )
    photo = Photo(picture(0, 96), None, False, None, None, "0")
    place = locate.locate(profile, locate.Subject(photo), aligned=False, force=False, tiny=False)  # type: ignore[arg-type]
    return float(place.quad[0, 0]), place.warnings, len(asked)


def test_the_turned_photo_is_looked_at_where_nobody_upright_is_the_person(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A false or foreign upright face does not end the search; the person's own does."""
    assert located(monkeypatch, {0: 0.1}, {40: 0.9}) == (40, (), 2)
    assert located(monkeypatch, {}, {40: 0.9}) == (40, (), 2)
    assert located(monkeypatch, {0: 0.9}, {40: 0.95}) == (0, (), 1)
    with pytest.raises(NotThisPersonError, match=r"none of the 2 faces is ada: ID 0\.20"):
        located(monkeypatch, {0: 0.1}, {40: 0.2})


def test_a_person_who_is_in_the_photo_twice_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two faces that pass for the person are said to be two; the same face found twice is one."""
    place, warnings, _ = located(monkeypatch, {0: 0.8, 40: 0.9, 70: 0.1}, {})
    assert place == 40
    assert warnings == ("2 faces look like ada: the one most like them is worked on",)
    assert located(monkeypatch, {0: 0.8, 2: 0.9}, {})[1] == ()


def test_pictures_are_written_as_they_are_made(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn before something fails is on disk, and no more than a few pictures are held."""
    monkeypatch.setattr(samples, "BATCH", 2)
    render, held = TorchRenderer.render, []

    def fail_late(self: Any, codes: Any) -> Any:
        held.append(len(codes))
        if len(held) == 3:
            raise MemoryError
        return render(self, codes)

    monkeypatch.setattr(TorchRenderer, "render", fail_late)
    done = run("sample", "ada", "-n", 40, "--seed", 5, "-o", "out", "--backend", "torch")
    assert done.exit_code != 0
    assert sorted(path.name for path in Path("out").iterdir()) == [f"ada.sample-{n}.png" for n in range(5, 9)]
    assert held == [2, 2, 2]


def test_a_grid_of_too_many_pictures_is_refused_before_the_work(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sheet beyond what a picture may hold is refused by its count."""
    monkeypatch.setattr(TorchRenderer, "render", lambda *_: pytest.fail("it was drawn"))
    done = run("sample", "ada", "-n", 200_000, "--seed", 5, "--grid", "g.png", "--backend", "torch")
    assert done.exit_code == 2
    assert "200000 pictures of 32 x 32 pixels are too many for one picture" in done.stderr


def test_a_strip_lays_no_face_over_its_photo(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep shows faces; only a single edit is laid over the whole photo, once."""
    Image.fromarray(picture(0, 32)).save("p.png")
    laid, paste = [], composite.paste_face

    def note(*given: Any) -> Any:
        laid.append(given)
        return paste(*given)

    monkeypatch.setattr(composite, "paste_face", note)
    for words, count in ((("--sweep=-1:1:5",), 0), (("-s", 1), 1)):
        laid.clear()
        restored = len(laid)
        done = run("edit", "ada", "p.png", "-d", "yaw", *words, "-o", f"o{count}.png", *SHORT)
        assert done.exit_code == 0, done.stderr
        inverted = 1  # the inversion itself lays its own face
        assert len(laid) - restored - inverted == count
    assert Image.open("o0.png").width > 5 * 32


def test_a_strip_that_its_format_cannot_hold_is_refused_before_any_work(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred faces side by side are too wide for some formats; that is known from the start."""
    Image.fromarray(picture(0, 32)).save("p.png")
    monkeypatch.setitem(encode._LARGEST_SIDE, "webp", 1_000)
    words = ("edit", "ada", "p.png", "-d", "yaw", *SHORT)
    with monkeypatch.context() as patch:
        patch.setattr(engine.Engine, "answer", lambda *_: pytest.fail("it was searched"))
        done = run(*words, "--sweep=-1:1:100", "-o", "o.webp")
        assert done.exit_code == 2
        assert "not 3398 x 32" in done.stderr
    assert run(*words, "--sweep=-1:1:3", "-o", "o.webp").exit_code == 0


def test_a_mask_from_python_is_checked_too() -> None:
    """An array of 0 and 1 is refused as a picture of it is."""
    photo = Photo(picture(0, 32), None, False, None, None, "0")
    with pytest.raises(UsageError, match="lightest value is 1 of 255"):
        locate._check_mask(hole().astype(np.uint8), photo, "p.png")
