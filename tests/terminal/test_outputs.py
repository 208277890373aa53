"""From inputs to the places of their results: all chosen, and looked at, before any work."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from mystyle_cli.errors import MystyleError, UsageError
from mystyle_cli.photos.encode import Beside, encode
from mystyle_cli.photos.marks import Provenance, source_type
from mystyle_cli.terminal.inputs import Input
from mystyle_cli.terminal.outputs import NONE, Ground, Naming, plan


def named(name: str) -> Input:
    """Return an input that was named on the command line."""
    return Input(Path(name), Path(Path(name).name))


def targets(inputs: list[Input], output: str | None, suffix: str = "png") -> list[str]:
    """Return the planned places of results."""
    return [place.target.name for place in plan(inputs, output, "upscale", suffix)]


def test_result_goes_beside_its_input() -> None:
    """Without -o a result lies beside its input under a name that tells the command."""
    assert targets([Input(Path("x/me.jpg"), Path("me.jpg"))], None) == ["x/me.upscale.png"]


def test_standard_input_answers_on_standard_output() -> None:
    """`-` alone is a filter, and -o - sends any one result there."""
    assert targets([Input(None, Path("stdin"))], None) == ["-"]
    assert targets([Input(Path("me.jpg"), Path("me.jpg"))], "-", "jpg") == ["-"]


def test_one_file_to_a_named_file() -> None:
    """-o FILE gives the name and, by its ending, the format."""
    [place] = plan([named("a.png")], "out.JPG", "upscale", "png")
    assert (place.target.name, place.target.format) == ("out.JPG", "jpeg")


def test_folder_results_keep_the_tree(tmp_path: Path) -> None:
    """Results of a folder keep its tree under -o."""
    found = [Input(tmp_path / name, Path(name), True) for name in ("a.png", "b.jpg", "year/c.HEIC")]
    out = tmp_path / "out"
    assert targets(found, str(out)) == [f"{out}/a.png", f"{out}/b.png", f"{out}/year/c.png"]


def test_names_that_differ_only_in_ending_stay_apart(tmp_path: Path) -> None:
    """a.jpg and a.heic of one folder do not become one result."""
    inputs = [Input(tmp_path / name, Path(name), True) for name in ("a.heic", "a.jpg", "b.jpg")]
    assert [Path(name).name for name in targets(inputs, str(tmp_path / "out"))] == [
        "a.heic.png",
        "a.jpg.png",
        "b.png",
    ]


@pytest.mark.parametrize(
    ("inputs", "output", "said"),
    [
        ([Input(Path("p/a.png"), Path("a.png"), True)], None, "where should"),
        ([Input(Path("a.png"), Path("a.png")), Input(Path("b.png"), Path("b.png"))], "-", "standard output"),
        ([Input(Path("a.png"), Path("a.png"))], "a.png", "replace an input"),
        ([Input(Path("a.png"), Path("a.png"))], "out.xyz", "cannot write"),
        (
            [Input(Path("p/a.png"), Path("a.png")), Input(Path("q/a.png"), Path("a.png"))],
            "out",
            "both become",
        ),
    ],
    ids=["folder without -o", "many to stdout", "onto the input", "unknown format", "same name twice"],
)
def test_places_that_cannot_be(inputs: list[Input], output: str | None, said: str) -> None:
    """What could not be written, or would cost an original, is refused before any work."""
    with pytest.raises(UsageError, match=said):
        plan(inputs, output, "upscale", "png")


def test_templates_name_results(tmp_path: Path) -> None:
    """A template names each result, beside its photo or in the tree below -o."""
    inputs = [Input(tmp_path / name, Path(name), True) for name in ("a.b.png", "year/c.HEIC")]
    naming = Naming("{stem} ({command}){ext}")

    def made(output: str | None, format_name: str = "png") -> list[str]:
        places = plan(inputs, output, "upscale", format_name, naming=naming)
        return [place.target.name for place in places]

    assert made(None) == [f"{tmp_path}/a.b (upscale).png", f"{tmp_path}/year/c (upscale).png"]
    out = str(tmp_path / "out")
    assert made(out, "webp") == [f"{out}/a.b (upscale).webp", f"{out}/year/c (upscale).webp"]
    whole = Naming("{name}-{{1}}.jpg")
    assert plan(inputs, out, "upscale", "png", naming=whole)[1].target.name == f"{out}/year/c.HEIC-{{1}}.jpg"


def test_templates_take_no_result_for_an_input(tmp_path: Path) -> None:
    """What an earlier run put into the folder is not worked on again, unless it was named itself.

    A photo that is only called so stays one, and nothing replaces it.
    """
    names = ("a.png", "a.up.png", "b.png", "c.up.png", "c.png", "d.png", "d.up.png")
    naming = Naming("{stem}.up.png")
    marks = Provenance("upscale", "ada", "faces", 0.05, None, "0.1.0", source_type("upscale"))
    for name in names:
        mine = Beside(marks=marks) if name in ("a.up.png", "c.up.png") else Beside()
        encode(np.zeros((4, 4, 3), np.uint8), tmp_path / name, mine)
    inputs = [Input(tmp_path / name, Path(name), True) for name in names]
    left = naming.without_results(inputs, None, "upscale", ".png")
    assert [item.relative.name for item in left] == ["a.png", "b.png", "c.png", "d.png", "d.up.png"]
    with pytest.raises(UsageError, match="would replace an input"):
        plan(left, None, "upscale", "png", naming=naming)
    typed = [Input(item.path, item.relative) for item in inputs]
    assert naming.without_results(typed, None, "upscale", ".png") == typed
    with pytest.raises(UsageError, match="replace an input"):
        plan(typed, None, "upscale", "png", naming=naming)


@pytest.mark.parametrize(
    "template",
    [
        "",
        "out.png",
        "{command}{ext}",
        "{stem.__class__}",
        "{stem[0]}",
        "{stem:>999999999}",
        "{stem!r}",
        "{0}",
        "{}",
        "{stem",
        "../{stem}{ext}",
        "x/{stem}{ext}",
        "x\\{stem}{ext}",
        "{stem}\0{ext}",
    ],
)
def test_templates_that_name_nothing(template: str) -> None:
    """A template says a file's name, from a few fields, and nothing else."""
    with pytest.raises(UsageError, match=r"there is no|called alike|is no path|expected"):
        Naming(template)


def test_templates_and_names_contradict() -> None:
    """A name that is given already, and one that two photos would get, are refused."""
    naming, photo = Naming("{stem}{ext}"), named("p/a.jpg")
    with pytest.raises(UsageError, match="is a name already"):
        plan([photo], "out.png", "upscale", "png", naming=naming)
    with pytest.raises(UsageError, match="both become"):
        plan([photo, named("p/a.webp")], "out", "upscale", "png", naming=naming)
    with pytest.raises(UsageError, match="replace an input"):
        plan([named("p/a.png")], None, "upscale", "png", naming=naming)
    with pytest.raises(UsageError, match="stream"):
        plan([Input(None, Path("stdin"))], None, "upscale", "png", naming=naming)
    with pytest.raises(UsageError, match="cannot write"):
        plan([photo], "out", "upscale", "png", naming=Naming("{stem}.xyz"))


@pytest.mark.parametrize(
    ("names", "made"),
    [
        (["a.jpg", "a.png"], ["a.jpg", "a.png"]),
        (["a.jpg", "a.png", "a.jpg.png"], ["a.jpg", "a.png", "a.jpg.png"]),
        (["a.jpg.png", "b.jpg", "a.png", "a.jpg"], ["a.jpg.png", "b", "a.png", "a.jpg"]),
        (["a.png", "a.jpg.png"], ["a", "a.jpg"]),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("output", ["out", None])
def test_names_that_would_clash_keep_their_endings(
    names: list[str], made: list[str], output: str | None
) -> None:
    """Whatever the inputs are called, pictures and codes of all get names of their own."""
    places = plan([named(name) for name in names], output, "invert", "webp", codes=Path("codes"))
    ending, folder = (".webp", "out") if output else (".invert.webp", ".")
    assert [place.target.path for place in places] == [Path(folder) / f"{name}{ending}" for name in made]
    assert [place.code for place in places] == [Path("codes") / f"{name}.safetensors" for name in made]


@pytest.mark.parametrize("output", ["results", "results/", "v1.2/", "there.png"])
@pytest.mark.parametrize("count", [1, 2])
def test_a_folder_is_one_for_any_number_of_photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, count: int
) -> None:
    """`*.png -o results` means the same for one photo as for many."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.png").mkdir()
    inputs = [named(name) for name in ("a.png", "b.png")[:count]]
    assert targets(inputs, output) == [str(Path(output) / item.relative) for item in inputs]


@pytest.mark.parametrize("output", ["s.png", "v1.2"])
def test_a_file_is_none_for_many(output: str) -> None:
    """A name with an ending is a file's, and no folder is made of that name."""
    with pytest.raises(UsageError, match=rf"{output} names a file, and 2 results need a folder"):
        targets([named("a.png"), named("b.png")], output)


@pytest.mark.parametrize("places", [["a.png", "a.png"], ["a.png", "./a.png"], ["a.png", "sub/../a.png"]])
def test_two_results_are_never_one_file(tmp_path: Path, places: list[str]) -> None:
    """However their paths are written."""
    (tmp_path / "sub").mkdir()
    with pytest.raises(UsageError, match="written twice"):
        Ground(NONE, False).check_all(tmp_path / place for place in places)


@pytest.mark.parametrize("place", ["file/out.png", "dangling/out.png", "x" * 300 + ".png"])
def test_what_cannot_be_written_is_told_before_any_work(tmp_path: Path, place: str) -> None:
    """A file or a link to nowhere where a folder is needed, and a name that is too long."""
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(MystyleError, match="cannot be written"):
        Ground(NONE, False).check(tmp_path / place)
    assert sorted(tmp_path.iterdir()) == before


def test_looking_leaves_nothing(tmp_path: Path) -> None:
    """A place that can be written to, in a folder that is not there yet, is as it was after the look."""
    Ground(NONE, False).check(tmp_path / "out/deep/a.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="nothing that is open is removed there anyway")
def test_only_what_a_killed_command_left_is_swept(tmp_path: Path) -> None:
    """Half-written files go whose process is dead; those of a living one, and the user's, stay."""
    import fcntl

    ours, living = ".a.png.mystyle-0123abcd.tmp", ".b.png.mystyle-0123abcd.tmp"
    users = (
        *(".a.png.0123abcd.tmp", "a.png.mystyle-0123abcd.tmp", ".a.png.mystyle-0123abc.tmp"),
        *(".a.png.mystyle-0123ABCD.tmp", ".mystyle-0123abcd.tmp", ".a.png.mystyle-0123abcd.tmp.png"),
    )
    for name in (ours, living, *users):
        (tmp_path / name).write_text(name)
    (tmp_path / ".c.mystyle-0123abcd.tmp").mkdir()
    (tmp_path / ".d.mystyle-0123abcd.tmp").symlink_to(tmp_path / users[0])
    os.mkfifo(tmp_path / ".e.mystyle-0123abcd.tmp")
    left = {path.name for path in tmp_path.iterdir()} - {ours}
    with (tmp_path / living).open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        Ground(NONE, False).check(tmp_path / "new.png")
        assert {path.name for path in tmp_path.iterdir()} == left
    Ground(NONE, False).check(tmp_path / "new.png")
    assert {path.name for path in tmp_path.iterdir()} == left - {living}
    assert all((tmp_path / name).read_text() == name for name in users)
