"""A profile as one file: what goes into it, comes back, and is refused."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import struct
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tomli_w
from PIL import Image

from mystyle_cli.learn.learn import export
from mystyle_cli.store import archive as carried
from mystyle_cli.store.archive import pack
from mystyle_cli.store.draft import Draft
from mystyle_cli.store.store import Store
from tests.support.journeys import Run, document
from tests.support.tiny_store import make_store

Members = list[tuple[zipfile.ZipInfo, bytes]]


@pytest.fixture(scope="module")
def made_store(tiny_prior: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store as it is made once, with nets for other programs."""
    store = make_store(tmp_path_factory.mktemp("store"), tiny_prior)
    export(store, "ada")
    return store.root


@pytest.fixture
def archive(run: Run) -> Path:
    """The tiny profile as a file."""
    assert run("profile", "export", "ada", "ada.mystyle").exit_code == 0
    return Path("ada.mystyle").absolute()


def rebuilt(archive: Path, change: Callable[[Members], Members]) -> Path:
    """Return a copy of a file with other members."""
    with zipfile.ZipFile(archive) as opened:
        members = [(info, opened.read(info)) for info in opened.infolist()]
    copy = archive.with_name("changed.mystyle")
    with zipfile.ZipFile(copy, "w") as written:
        for info, data in change(members):
            written.writestr(info, data)
    return copy


def content(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder, locks left out."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if ".locks" not in name}


def test_there_and_back(run: Run, archive: Path, tiny_prior: Path, tmp_path: Path) -> None:
    """What is imported draws the same pictures, is sound, and is the same file by file."""
    done = run("--json", "profile", "import", archive, "eva", "--prior", tiny_prior)
    assert document(done)["consent"] == "a test"
    assert run("profile", "verify", "eva").exit_code == 0
    for name in ("ada", "eva"):
        assert run("sample", name, "--seed", 3, "-o", f"{name}.png").exit_code == 0
    np.testing.assert_array_equal(np.asarray(Image.open("ada.png")), np.asarray(Image.open("eva.png")))
    assert content(tmp_path / "store/eva") == content(tmp_path / "store/ada")


def test_the_file_says_nothing_of_the_machine(
    run: Run, archive: Path, tiny_prior: Path, tmp_path: Path
) -> None:
    """It is for its owner only, the same each time, and names no path, time or user."""
    again = pack(Store(tmp_path / "store").open("ada"))
    assert again == archive.read_bytes()
    assert not any(os.fsencode(place) in again for place in (tiny_prior, tmp_path, Path.home()))
    if os.name == "posix":
        assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    with zipfile.ZipFile(archive) as opened:
        assert {info.date_time for info in opened.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_without_photos_no_picture_is_in_it(run: Run, tiny_prior: Path, tmp_path: Path) -> None:
    """Neither faces nor names of photos; everything but learning works, which says what it lacks."""
    assert run("profile", "export", "ada", "bare.mystyle", "--without-photos").exit_code == 0
    with zipfile.ZipFile("bare.mystyle") as opened:
        assert not [name for name in opened.namelist() if name.endswith(".png")]
        assert b".jpg" not in opened.read("photos.jsonl")
    assert b"\x89PNG" not in Path("bare.mystyle").read_bytes()
    assert run("profile", "import", "bare.mystyle", "--prior", tiny_prior).exit_code == 0
    assert run("profile", "verify", "bare").exit_code == 0
    Image.open(tmp_path / "store/ada/faces/0001.png").save("crop.png")
    for words in (
        ["sample", "bare", "--seed", 3, "-o", "x.png"],
        ["invert", "bare", "crop.png", "-o", "y.png", "--aligned", "--steps", 1],
    ):
        assert run(*words).exit_code == 0
    for words in (["tune", "bare"], ["ingest", "bare", "crop.png"]):
        done = run(*words)
        assert done.exit_code == 5
        assert "without its photos" in done.stderr
    assert run("profile", "export", "bare", "again.mystyle").exit_code == 0


def info(name: str, kind: int = stat.S_IFREG, **changes: Any) -> zipfile.ZipInfo:
    """Return what describes a member."""
    made = zipfile.ZipInfo(name)
    made.external_attr = (kind | 0o600) << 16
    for field, value in changes.items():
        setattr(made, field, value)
    return made


def external(data: bytes) -> bytes:
    """Return a net whose weights are in a file of somebody's, told in an attribute of a node."""
    model = onnx.load_model_from_string(data)
    tensor = onnx.TensorProto(name="far", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../../../../etc/passwd")
    node = onnx.helper.make_node("Constant", [], ["far"])
    node.attribute.append(onnx.helper.make_attribute("value", tensor))
    model.graph.node.insert(0, node)
    return model.SerializeToString()


def listed(members: Members, name: str, data: bytes) -> Members:
    """Return members with another content of one, its digest listed."""
    found = {member.filename: body for member, body in members}
    document = tomllib.loads(found["profile.toml"].decode())
    for table in document["files"].values():
        if name in table:
            table[name] = hashlib.sha256(data).hexdigest()
    changed = {"profile.toml": tomli_w.dumps(document).encode(), name: data}
    return [(info(file), changed.get(file, body)) for file, body in found.items()]


def body(members: Members, name: str) -> bytes:
    """Return the content of a member."""
    return next(data for member, data in members if member.filename == name)


def edited(members: Members, old: bytes, new: bytes) -> Members:
    """Return members with another profile.toml."""
    changed = body(members, "profile.toml").replace(old, new)
    assert changed != body(members, "profile.toml")
    return [(member, changed if member.filename == "profile.toml" else data) for member, data in members]


def also(members: Members, name: str) -> Members:
    """Return members with one more, which profile.toml lists, too."""
    digest = hashlib.sha256(b"x").hexdigest()
    line = b'"photos.jsonl" = '
    return [*edited(members, line, f'"{name}" = "{digest}"\n'.encode() + line), (info(name), b"x")]


HOSTILE: dict[str, Callable[[Members], Members]] = {
    "above": lambda members: [*members, (info("../evil.png"), b"x")],
    "absolute": lambda members: [*members, (info("/tmp/evil.png"), b"x")],
    "drive": lambda members: [*members, (info("C:\\evil.png"), b"x")],
    "backslash": lambda members: [*members, (info("faces\\9999.png"), b"x")],
    "zero in the name": lambda members: [*members, (info("faces/9999.png", filename="faces/9\0.png"), b"x")],
    "unknown": lambda members: [*members, (info("evil.sh"), b"x")],
    "the mark": lambda members: [*members, (info(".mystyle"), b"x")],
    "unknown, listed": lambda members: also(members, "evil.sh"),
    "the mark, listed": lambda members: also(members, ".mystyle"),
    "work under way, listed": lambda members: also(members, "runs/next/stages.toml"),
    "unlisted": lambda members: [*members, (info("faces/9999.png"), b"x")],
    "another case": lambda members: [*members, (info("FACES/0001.png"), b"x")],
    "twice": lambda members: [*members, (info(members[-1][0].filename), members[-1][1])],
    "link": lambda members: [(info(m.filename, stat.S_IFLNK), d) for m, d in members],
    "folder": lambda members: [*members, (info("faces/", stat.S_IFDIR), b"")],
    "missing": lambda members: members[:-1],
    "no manifest": lambda members: members[1:],
    "compressed": lambda members: [(info(m.filename, compress_type=8), d) for m, d in members],
    "other content": lambda members: [
        (m, d[::-1] if m.filename == "anchors.safetensors" else d) for m, d in members
    ],
    "lists a file elsewhere": lambda members: edited(
        members, b'"anchors.safetensors"', b'"../anchors.safetensors"'
    ),
    "newer": lambda members: edited(members, b"format = 2", b"format = 99"),
    "nested": lambda members: [(info("profile.toml"), b"a = " + b"[" * 3000), *members[1:]],
    "far too long": lambda members: [(info("profile.toml"), b"#" * (17 << 20)), *members[1:]],
    "net beside files": lambda members: listed(
        members, "onnx/synthesis.onnx", external(body(members, "onnx/synthesis.onnx"))
    ),
    "copied net beside files": lambda members: listed(
        members, "onnx/encoder.onnx", external(body(members, "onnx/encoder.onnx"))
    ),
    "tensors that are none": lambda members: listed(members, "anchors.safetensors", b"\xff" * 64),
    "face of another size": lambda members: listed(
        members, "faces/0001.png", body(members, "contact-sheet.png")
    ),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_refused_before_anything_is_put_in_place(
    run: Run, archive: Path, tiny_prior: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is not exactly what an export writes: exit code 5, one reason, and the store is as it was.

    Nothing of it is even written, but where a sound member has to be opened to see what it is.
    """
    before, write, written = content(tmp_path), Draft.write, []

    def note(self: Draft, name: str, data: bytes) -> dict[str, str]:
        written.append(name)
        return write(self, name, data)

    monkeypatch.setattr(Draft, "write", note)
    changed = rebuilt(archive, HOSTILE[kind])
    done = run("profile", "import", changed, "eva", "--prior", tiny_prior)
    assert done.exit_code == 5, done.output
    assert "changed.mystyle" in done.stderr
    assert len(done.stderr.splitlines()) == 2
    assert bool(written) == (kind in OPENED)
    changed.unlink()
    assert content(tmp_path) == before
    assert not (tmp_path / "store/eva").exists()


OPENED = ("net beside files", "copied net beside files", "tensors that are none", "face of another size")
"""Those that are in order as far as names, sizes and digests go."""


def lying(data: bytes, place: int, form: str, value: int) -> bytes:
    """Return a zip in whose list of members the first says something else of itself."""
    start = struct.unpack_from("<L", data, len(data) - 6)[0]
    changed = bytearray(data)
    struct.pack_into(form, changed, start + place, value)
    return bytes(changed)


RAW: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda data: data[:-40],
    "empty": lambda data: b"",
    "something before": lambda data: b"#!/bin/sh\n" + data,
    "something after": lambda data: data + b"x",
    "says it is larger": lambda data: lying(data, 24, "<L", 0xFFFFFFF0),
    "takes up others": lambda data: lying(data, 20, "<L", len(data) - 100),
    "says it is compressed": lambda data: lying(data, 10, "<H", zipfile.ZIP_DEFLATED),
    "says it is encrypted": lambda data: lying(data, 8, "<H", 1),
    "starts elsewhere": lambda data: lying(data, 42, "<L", 7),
    "no zip": lambda data: os.urandom(1000),
    "another is in it": lambda data: data[:100] + data,
}


@pytest.mark.parametrize("kind", RAW)
def test_damaged_files_are_refused(
    run: Run, archive: Path, tiny_prior: Path, tmp_path: Path, kind: str
) -> None:
    """Sizes and places that are not so, and what is no zip at all."""
    Path("bad.mystyle").write_bytes(RAW[kind](archive.read_bytes()))
    done = run("profile", "import", "bad.mystyle", "--prior", tiny_prior)
    assert done.exit_code == 5, done.output
    assert "bad.mystyle" in done.stderr
    assert not (tmp_path / "store/bad").exists()


@pytest.mark.parametrize(("bound", "value"), [("MOST_MEMBERS", 3), ("MOST_LISTED", 200)])
def test_a_long_list_of_members_is_refused_before_it_is_read(
    run: Run, archive: Path, tiny_prior: Path, monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    """The library would make room for all of it."""
    monkeypatch.setattr(carried, bound, value)
    monkeypatch.setattr(zipfile, "ZipFile", lambda *_: pytest.fail("the list was read"))
    done = run("profile", "import", archive, "eva", "--prior", tiny_prior)
    assert (done.exit_code, "list of members" in done.stderr) == (5, True)


def test_what_else_is_refused(run: Run, archive: Path, tmp_path: Path, tiny_prior: Path) -> None:
    """A taken name, another prior, one that is not here, pipes, files that are not there or in the way."""
    taken = run("profile", "import", archive, "--prior", tiny_prior)
    assert (taken.exit_code, "there is a 'ada' already" in taken.stderr) == (5, True)
    other = tmp_path / "other"
    shutil.copytree(tiny_prior, other)
    facts = (other / "prior.toml").read_text()
    (other / "prior.toml").write_text(facts.replace("random weights", "other weights"))
    wrong = run("profile", "import", archive, "eva", "--prior", other)
    assert (wrong.exit_code, "belongs to prior" in wrong.stderr) == (5, True)
    absent = run("profile", "import", archive, "eva")
    assert (absent.exit_code, "tiny-32" in absent.stderr) == (5, True)
    assert run("profile", "import", "never.mystyle").exit_code == 5
    if hasattr(os, "mkfifo"):
        os.mkfifo("pipe.mystyle")
        assert run("profile", "import", "pipe.mystyle").exit_code == 5
    assert run("profile", "export", "ada", archive).exit_code == 2
    assert run("profile", "export", "ada", archive, "--overwrite").exit_code == 0
    assert run("profile", "export", "ada", "ada.zip").exit_code == 2
    os.link(tmp_path / "store/ada/photos.jsonl", "part.mystyle")
    own = run("profile", "export", "ada", "part.mystyle", "--overwrite")
    assert (own.exit_code, "would replace an input" in own.stderr) == (2, True)
    assert not (tmp_path / "store/eva").exists()


def test_a_killed_import_is_done_again(run: Run, archive: Path, tiny_prior: Path, tmp_path: Path) -> None:
    """What it left counts for nothing; the same command makes the profile, of this file's members alone."""
    with Store(tmp_path / "store").locked("eva"):
        Store(tmp_path / "store").draft("eva").write("faces/9999.png", b"left")
    assert run("profile", "import", archive, "eva", "--prior", tiny_prior).exit_code == 0
    assert not (tmp_path / "store/eva/faces/9999.png").exists()
    assert run("profile", "verify", "eva").exit_code == 0
