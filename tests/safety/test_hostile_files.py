"""Every file that is read as a profile's or prior's is hostile until it is checked."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from safetensors.numpy import save

from mystyle_cli.cli import cli
from mystyle_cli.edit.directions import find_direction
from mystyle_cli.errors import ModelError, ProfileError, UsageError
from mystyle_cli.files.documents import Fact, Items, Number, OneOf, Record, Table, Text, Whole
from mystyle_cli.files.parsing import DEEPEST, LONGEST_LINE, DocumentError, json_of, toml_of
from mystyle_cli.files.reading import StrangeFileError, digest_of, read_file
from mystyle_cli.files.tensors import TensorError, read_tensors
from mystyle_cli.learn.settings import LearnSettings
from mystyle_cli.nets.bounds import read_net
from mystyle_cli.person.files import load_tensors
from mystyle_cli.person.layout import LOSS_TABLE, PHOTOS
from mystyle_cli.person.manifest import LONGEST_CONSENT, NAME, read_manifest
from mystyle_cli.prior.registry import open_prior
from mystyle_cli.store.store import Store
from tests.support.effort import calls
from tests.support.tiny_store import make_store
from tests.support.versions import OLD, put

MANY = 1 << 20


def mystyle(store: Path, *args: str) -> Result:
    """Run one command on a store."""
    return CliRunner().invoke(cli, ["--store", str(store), *args])


@pytest.mark.skipif(sys.platform != "linux", reason="bounds the address space as Linux does")
@pytest.mark.parametrize(
    ("count", "seed"), [(20, 1), pytest.param(2000, 2, marks=pytest.mark.long)], ids=["few", "many"]
)
def test_hostile_profiles_and_priors(tmp_path: Path, tiny_prior: Path, count: int, seed: int) -> None:
    """`list`, `show`, `verify`, `sample` of spoilt ones: refused in one line, nothing written, none hangs.

    What `verify` calls sound can be drawn from, and the sound neighbour stays listed.
    """
    command = [
        sys.executable,
        "-m",
        "tests.support.fuzz_profiles",
        str(count),
        str(seed),
        str(tmp_path),
        str(tiny_prior),
    ]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["problems"] == []
    assert told["right"] == count
    assert told["sound"] < count / 2  # most of what is done to files is noticed
    assert told["slowest"][0] < 30 * told["unspoilt"]  # seconds of the processor
    assert told["growth"] < 512 << 20  # the libraries take 300 MB, after 250 cases as after 2000


# --- how files are opened


def strange(folder: Path, kind: str) -> Path:
    """Put something that is no regular file under a folder; returns its path."""
    folder.mkdir(exist_ok=True)
    path, outside = folder / "file.toml", folder.parent / "outside.toml"
    outside.write_text("a = 1\n")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "link":
        path.symlink_to(outside)
    elif kind == "linked folder":
        (folder.parent / "else").mkdir()
        (folder.parent / "else" / "file.toml").write_text("a = 1\n")
        (folder / "inner").symlink_to(folder.parent / "else")
        return folder / "inner" / "file.toml"
    else:
        path.write_bytes(b"#" * 101)
    return path


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "loop", "link", "linked folder", "large"])
@pytest.mark.parametrize("read", [read_file, digest_of])
def test_only_regular_files_of_bounded_size_are_opened(
    tmp_path: Path, kind: str, read: Callable[..., Any]
) -> None:
    """Below a profile no link is followed; a pipe would wait for ever, a device never end."""
    path = strange(tmp_path / "profile", kind)
    with pytest.raises(StrangeFileError) as caught:
        read(path, 100, tmp_path / "profile")
    assert str(caught.value.filename).startswith(str(tmp_path / "profile"))
    assert caught.value.strerror


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "large"])
def test_what_the_user_names_may_be_a_link_to_a_file_and_to_nothing_else(tmp_path: Path, kind: str) -> None:
    """Links of the user's own are followed; what they lead to is held to the same."""
    link = tmp_path / "link"
    link.symlink_to(strange(tmp_path / "profile", kind))
    with pytest.raises(StrangeFileError):
        read_file(link, 100)
    link.unlink()
    link.symlink_to(tmp_path / "outside.toml")
    assert read_file(link, 100) == b"a = 1\n"


# --- documents


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "[" * 3000,
        "x = " + "{a=" * 3000,
        "a." * 2000 + "b = 1",
        "[" + "a." * 2000 + "b]",
        f"x = '{'y' * LONGEST_LINE}'",
        "x = " + "9" * 5000,
        "x = [",
        "x = 1\nx = 2",
        'x = """' + "[" * 100,
        "\0",
    ],
    ids=lambda text: text[:12],
)
def test_toml_beyond_bounds_is_refused_before_it_is_parsed(text: str) -> None:
    """Brackets, dots, lines, digits; quickly, with a message of one short line."""
    with pytest.raises(DocumentError) as caught:
        toml_of(text.encode())
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()

    def refused() -> None:
        with pytest.raises(DocumentError):
            toml_of(text.encode())

    assert calls(refused).total() < 1000


def test_brackets_and_dots_in_texts_and_comments_do_not_count() -> None:
    """A note may say what it likes."""
    note = "[" * 500 + "." * 500
    text = f'a = "{note}\\""\nb = \'{note}\'\nc = """\n{note}\n"""\n# {note}\n'
    found = toml_of(text.encode())
    assert found == {"a": note + '"', "b": note, "c": note + "\n"}
    assert json_of(json.dumps({"a": note + '"\\'})) == {"a": note + '"\\'}


@pytest.mark.parametrize(
    "text", ["[" * 5000, '{"a":' * 5000, "NaN", "[Infinity]", "-Infinity", "9" * 5000, "{", "", "\0"]
)
def test_json_beyond_bounds_is_refused(text: str) -> None:
    """What Python's reader takes and no document may hold, too."""
    with pytest.raises(DocumentError):
        json_of(text)


def test_documents_as_deep_as_the_program_s_are_read() -> None:
    """The bound is far from what is written."""
    deep = "[" * DEEPEST + "]" * DEEPEST
    assert json_of(deep) == toml_of(f"x = {deep}".encode())["x"]


ODD: list[Any] = [
    None,
    True,
    1,
    -1,
    1 << 80,
    1.5,
    math.nan,
    math.inf,
    "",
    "a",
    "a\0",
    [],
    [1],
    {},
    {"a": 1},
    {1: 2},
]


@pytest.mark.parametrize(
    ("kind", "good"),
    [
        (Whole(0, 10), [1]),
        (Number(0, 10), [1, 1.5]),
        (Text(5), ["", "a"]),
        (Text(5, lines=True), ["", "a", "a\0"]),
        (OneOf(("a", "b")), ["a"]),
        (Items(Whole(0, 10)), [[], [1]]),
        (Table(Whole(0, 10)), [{}, {"a": 1}]),
        (Record({"a": Whole()}), [{"a": 1}]),
        (Record({}, {"a": OneOf(("a",))}), [{}, {1: 2}]),
        (Fact(), [True, 1, -1, 1 << 80, 1.5, "", "a"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_kinds_take_what_they_should_and_nothing_else(kind: Any, good: list[Any]) -> None:
    """Everything else is refused with the field's name, in one short line."""
    for value in ODD:
        if any(type(value) is type(one) and value == one for one in good):
            kind.read(value, "here")
            continue
        with pytest.raises(DocumentError) as caught:
            kind.read(value, "here")
        assert "here" in str(caught.value)
        assert len(str(caught.value)) < 300


def test_half_a_character_is_no_text() -> None:
    """JSON can spell it, and no file could be written with it."""
    for kind in (Text(), Text(lines=True)):
        with pytest.raises(DocumentError):
            kind.read(json.loads('"\\ud800"'), "here")


# --- tensors and nets


def tensors(header: object, body: bytes = b"\0" * 16) -> bytes:
    """Return a safetensors file with a header of one's own."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def entry(dtype: object = "F32", shape: object = (4,), offsets: object = (0, 16)) -> dict[str, object]:
    """Return what a header says of a tensor."""
    return {"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


BAD_TENSORS = {
    "empty": b"",
    "short": b"\1\0",
    "length": struct.pack("<Q", 1 << 60) + b"{}",
    "deep": tensors(b'{"a":' * 5000),
    "list": tensors([]),
    "bf16": tensors(entry("BF16", (8,))),
    "f8": tensors(entry("F8_E4M3", (16,))),
    "dtype": tensors(entry(7)),
    "shape": tensors(entry(shape=(1 << 31, 1 << 31))),
    "minus": tensors(entry(shape=(-4,))),
    "axes": tensors(entry(shape=(1,) * 70)),
    "beyond": tensors(entry(offsets=(0, 1 << 50))),
    "before": tensors(entry(offsets=(-16, 0))),
    "one": tensors(entry(offsets=(0,))),
    "gap": tensors(entry(shape=(2,), offsets=(8, 16))),
    "twice": tensors({**entry(), "b": entry()["a"]}),
    "rest": tensors(entry(), b"\0" * 20),
    "nan": tensors(entry(), np.full(4, np.nan, np.float32).tobytes()),
    "inf": tensors(entry("F16", (8,)), np.full(8, np.inf, np.float16).tobytes()),
    "notes": tensors({"__metadata__": {"a": 1}, **entry()}),
    "entry": tensors({"a": [1]}),
}


@pytest.mark.parametrize("name", BAD_TENSORS)
def test_tensor_files_are_believed_in_nothing(tmp_path: Path, name: str) -> None:
    """What a header claims is compared with the file before memory is taken; no number is not finite."""
    path = tmp_path / "a.safetensors"
    path.write_bytes(BAD_TENSORS[name])
    with pytest.raises(TensorError):
        read_tensors(path, MANY)
    with pytest.raises(ProfileError, match=r"a\.safetensors cannot be read"):
        load_tensors(path)


def test_tensor_files_of_the_library_are_read(tmp_path: Path) -> None:
    """Every kind of number that is written, empty and scalar ones too, as the library reads them."""
    rng = np.random.default_rng(0)
    kinds = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]
    arrays = {kind: (rng.normal(size=(3, 2)) * 9).astype(kind) for kind in kinds}
    arrays |= {"scalar": np.array(1.5, np.float32), "none": np.zeros((0, 3), np.float32)}
    path = tmp_path / "a.safetensors"
    path.write_bytes(save(arrays, {"kind": "test"}))
    found, notes = read_tensors(path, MANY)
    assert notes == {"kind": "test"}
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_nets_that_would_read_other_files_or_loop_are_refused(tiny_prior: Path, tmp_path: Path) -> None:
    """Weights elsewhere, at the top and inside of nodes; loops; cut files. The sound net is read as it is."""
    import onnx
    from onnx import helper

    sound = (tiny_prior / "encoder.onnx").read_bytes()
    assert read_net(tiny_prior / "encoder.onnx") == sound

    def spoilt(change: Callable[[Any], None]) -> bytes:
        model = onnx.load_model_from_string(sound)
        change(model)
        return bytes(model.SerializeToString())

    def elsewhere(tensor: Any) -> None:
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="/etc/passwd")

    def inside(model: Any) -> None:
        tensor = helper.make_tensor("t", 1, [1], [1.0])
        elsewhere(tensor)
        inner = helper.make_graph([helper.make_node("Constant", [], ["c"], value=tensor)], "g", [], [])
        model.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner))

    bad = {
        "another file": spoilt(lambda model: elsewhere(model.graph.initializer[0])),
        "another  file": spoilt(inside),
        "loops": spoilt(lambda model: model.graph.node.append(helper.make_node("Loop", ["a"], ["b"]))),
        "of its own": spoilt(lambda model: model.functions.add(name="f")),
        "cut off": sound[:-3],
        "damaged": b"\xff" * 40,
    }
    for said, data in bad.items():
        path = tmp_path / "net.onnx"
        path.write_bytes(data)
        with pytest.raises(ValueError, match=said.replace("  ", " ")):
            read_net(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY\x01\x00\x76\x00"
        + b"{'descr': '<f8', 'fortran_order': False, 'shape': (999999999999,), }".ljust(118),
        b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(118),
        b"\x93NUMPY\x01\x00\x76\x00" + b"[" * 118,
        b"PK\x03\x04",
    ],
)
def test_directions_in_npy_are_believed_in_nothing(tiny_prior: Path, tmp_path: Path, data: bytes) -> None:
    """A header of a terabyte, objects, brackets: one error that names the file."""
    path = tmp_path / "d.npy"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"d\.npy"):
        find_direction(open_prior(tiny_prior), str(path))


# --- profiles as the user meets them


def test_a_hostile_profile_hides_no_other(tmp_path: Path) -> None:
    """A pipe, brackets, a long line, a folder of another name: each is listed with its fault, quickly."""
    store = Store(tmp_path)
    for name in ("good", "pipe", "deep", "long", "link", "folder", "inf"):
        put(store, name, OLD)
    where = {name: tmp_path / name / NAME for name in store.names()}
    mystyle(tmp_path, "profile", "list")  # imports what it needs
    sound = calls(lambda: mystyle(tmp_path, "profile", "list"))
    text = where["good"].read_text()
    for name in ("pipe", "link", "folder"):
        where[name].unlink()
    os.mkfifo(where["pipe"])
    where["link"].symlink_to(where["good"])
    where["folder"].mkdir()
    where["deep"].write_text("x = " + "[" * 3000)
    with where["long"].open("wb") as stream:
        stream.seek(100 << 20)
        stream.write(b"x")
    where["inf"].write_text(text.replace("resolution = 32", "resolution = inf"))
    (tmp_path / "not a name").mkdir()
    (tmp_path / "not a name" / NAME).write_text("")
    listed = mystyle(tmp_path, "profile", "list")
    assert calls(lambda: mystyle(tmp_path, "profile", "list")).total() < 2 * sound.total()
    assert listed.exit_code == 0
    states = {line.split("  ")[0]: line.split()[-1] for line in listed.stdout.splitlines()[1:]}
    assert set(states) == {"good", *where, "not a name"}
    [good] = [line for line in listed.stdout.splitlines() if line.startswith("good")]
    assert "untuned" in good
    assert sum("damaged" in line for line in listed.stdout.splitlines()) == 7
    assert "`prior.resolution` is inf" in listed.stdout


@pytest.mark.parametrize("kind", ["pipe", "folder", "link", "gone", "text"])
def test_a_profile_that_cannot_be_read_is_deleted_when_it_is_ours(tmp_path: Path, kind: str) -> None:
    """It carries the marker: what the program made goes, and what was put in its place is named and stays."""
    store = Store(tmp_path / "store")
    put(store, "ada", OLD)
    path = store.root / "ada" / NAME
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        (tmp_path / "mine.toml").write_text("mine")
        path.symlink_to(tmp_path / "mine.toml")
    elif kind == "text":
        path.write_text("[" * 9)
    assert "ada" in mystyle(store.root, "profile", "list").stdout
    refused = mystyle(store.root, "profile", "delete", "ada")
    assert refused.exit_code == 2
    assert (store.root / "ada" / "photos.jsonl").exists()
    done = mystyle(store.root, "profile", "delete", "ada", "--yes")
    assert done.exit_code == 0, done.output
    left = kind in ("pipe", "folder", "link")
    assert os.path.lexists(path) == left
    assert ("left where it is" in done.stderr) == left
    assert not (store.root / "ada" / "photos.jsonl").exists()
    assert kind != "link" or (tmp_path / "mine.toml").read_text() == "mine"


def test_a_folder_that_is_not_ours_is_not_deleted(tmp_path: Path) -> None:
    """Whatever is called profile.toml in it."""
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / NAME).write_text("my own notes")
    assert mystyle(tmp_path, "profile", "delete", "ada", "--yes").exit_code == 5
    assert (tmp_path / "ada" / NAME).read_text() == "my own notes"


def test_unknown_keys_are_passed_over(tmp_path: Path, tiny_prior: Path) -> None:
    """A later version may write more of a photo, a profile and a prior."""
    store = make_store(tmp_path / "store", tiny_prior)
    path = store.root / "ada" / PHOTOS
    before = store.open("ada").records
    path.write_text("".join(json.dumps(json.loads(line) | {"new": [1]}) + "\n" for line in path.open()))
    profile = store.open("ada")
    digests = {name: digest_of(profile.path / name, MANY) for name in profile.manifest.digests()}
    manifest = dataclasses.replace(profile.manifest, files={"curate": digests})
    (profile.path / NAME).write_text(manifest.to_toml() + "[future]\nx = 1\n")
    assert store.open("ada").records == before
    assert store.verify("ada") == []


def test_what_a_note_says_does_not_steer_the_terminal(tmp_path: Path) -> None:
    """Escape sequences and turned text of a consent note, a prior's name and an error are spelled out."""
    put(Store(tmp_path), "ada", OLD)
    path = tmp_path / "ada" / NAME
    note = r"yes\u001B[2J\u001B]0;gone\u0007\u202E\nsecond"
    path.write_text(path.read_text().replace('consent = ""', f'consent = "{note}"'))
    shown = mystyle(tmp_path, "profile", "show", "ada")
    assert shown.exit_code == 0
    assert r"yes\x1b[2J\x1b]0;gone\x07\u202e second" in shown.stdout
    path.write_text(path.read_text().replace('name = "tiny"', r'name = "\u001B[2J"'))
    told = mystyle(tmp_path, "profile", "show", "ada")
    assert told.exit_code == 5
    assert "\x1b" not in shown.output + told.output
    assert "`prior.name`" in told.stderr


def test_a_note_that_no_profile_could_hold_is_refused_at_once() -> None:
    """Before hours are spent on what could not be written at their end."""
    LearnSettings(consent="x" * LONGEST_CONSENT)
    for note in ("x" * (LONGEST_CONSENT + 1), "\udcff"):
        with pytest.raises(UsageError, match="consent"):
            LearnSettings(consent=note)


def test_the_longest_note_of_the_oddest_letters_is_read_again(tmp_path: Path) -> None:
    """Escaped in TOML it fits into a line."""
    put(Store(tmp_path), "ada", OLD)
    found = read_manifest(tmp_path / "ada")
    note = "\x01" * LONGEST_CONSENT
    (tmp_path / "ada" / NAME).write_text(dataclasses.replace(found, consent=note).to_toml())
    assert read_manifest(tmp_path / "ada").consent == note


@pytest.mark.parametrize(
    "curve", ["", "a,b\n", "number,loss,perceptual,l2,learning_rate\n1,nan,1,1,1\n", "pipe"]
)
def test_verify_reads_the_loss_curve(tmp_path: Path, tiny_prior: Path, curve: str) -> None:
    """It is only a record, so it may be gone; what is there is one."""
    store = make_store(tmp_path / "store", tiny_prior)
    assert store.verify("ada") == []
    path = store.root / "ada" / LOSS_TABLE
    path.parent.mkdir()
    path.write_text("number,loss,perceptual,l2,learning_rate\n1,0.5,0.4,0.1,0.001\n")
    assert store.verify("ada") == []
    path.unlink()
    os.mkfifo(path) if curve == "pipe" else path.write_text(curve)
    [problem] = store.verify("ada")
    assert LOSS_TABLE in problem.message
    assert "remove it" in problem.hint


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_a_store_whose_path_is_no_text_works(tmp_path: Path, tiny_prior: Path) -> None:
    """Listed, checked and drawn from."""
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/st\xffre"))
    make_store(root, tiny_prior)
    for args in (["profile", "list"], ["profile", "show", "ada"], ["profile", "verify", "ada"]):
        found = mystyle(root, *args)
        assert found.exit_code == 0, found.output
    drawn = mystyle(root, "sample", "ada", "--seed", "1", "-o", str(tmp_path / "out.png"))
    assert drawn.exit_code == 0, drawn.output
