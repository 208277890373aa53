"""Nothing of the user's is ever touched: files beside, inside and linked from every place that is written."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from mystyle_cli.cli import cli
from mystyle_cli.errors import MystyleError, ProfileError, UsageError
from mystyle_cli.foreign.importing import import_prior
from mystyle_cli.foreign.making import Parts
from mystyle_cli.learn.learn import export, ingest, learn, retune
from mystyle_cli.prior.registry import open_prior
from mystyle_cli.progress import Step
from mystyle_cli.store.check import refuse_unusable
from mystyle_cli.store.store import Store
from tests.support.albums import QUICK, learn_quickly, make_photos
from tests.support.belongings import HOSTILE, INSIDE, Belongings, mine
from tests.support.tiny_store import make_store
from tests.support.versions import NEW, OLD, manifest_of, put

Act = Callable[[Store], object]


def tried(act: Callable[[], object]) -> str:
    """Act, and return what became of it; only errors that are told are allowed."""
    try:
        act()
    except MystyleError as error:
        return f"refused: {error.message}"
    return "done"


def draft_of(store: Store, name: str) -> None:
    """Begin a version, drop a stage of it, and throw it away."""
    with store.locked(name):
        draft = store.draft(name)
        draft.finish("curate", "x", draft.write("faces/0001.png", b"x"), {})
        draft.done("curate", "others")
        draft.discard()


def interrupted(store: Store, name: str) -> None:
    """Begin a version and leave it, as a killed command does; then list, and begin another one."""
    with store.locked(name):
        draft = store.draft(name)
        draft.finish("curate", "x", draft.write("faces/0009.png", b"x"), {})
    store.entries()
    put(store, name, NEW)


ACTS: dict[str, Act] = {
    "list": lambda store: store.entries(),
    "verify": lambda store: store.verify("ada"),
    "change": lambda store: put(store, "ada", NEW),
    "begin and discard": lambda store: draft_of(store, "ada"),
    "be killed and go on": lambda store: interrupted(store, "ada"),
    "rename": lambda store: store.rename("ada", "eva"),
    "delete": lambda store: store.delete("ada"),
    "change another": lambda store: put(store, "eva", NEW),
    "take its lock": lambda store: store.locked("ada").__enter__() and None,
}
BESIDE = (
    *(
        "photo.jpg",
        "holiday/0001.png",
        "holiday/faces/0001.png",
        "eva-old/profile.txt",
        ".deleted-mine/a.png",
    ),
    *(".deleted-0123abcd/faces/mine.png", ".locks/notes.txt", ".new-photos/a.png", ".notes.tmp"),
)


@pytest.mark.parametrize("name", ACTS)
def test_files_beside_and_inside_a_profile_stay(tmp_path: Path, name: str) -> None:
    """Whatever is done to a profile, files of other names stay, in it and around it."""
    store = Store(tmp_path / "store")
    put(store, "ada", OLD)
    belongings = [mine(store.root / path) for path in BESIDE]
    belongings += [mine(store.root / "ada" / path) for path in INSIDE]
    kept = Belongings(*belongings)
    said = tried(lambda: ACTS[name](store))
    assert said == "done"
    if name == "rename":
        os.rename(store.root / "eva", store.root / "ada")
    kept.check(name)


@pytest.mark.parametrize("name", ["delete", "begin and discard", "change another"])
def test_a_folder_in_the_way_of_making_and_removing_stays(tmp_path: Path, name: str) -> None:
    """Folders appear and go under a passing name; a user's of that name is neither filled nor moved."""
    store = Store(tmp_path / "store")
    put(store, "ada", OLD)
    kept = Belongings(mine(store.root / ".new-ada/a.png"), mine(store.root / ".new-eva/a.png"))
    said = tried(lambda: ACTS[name](store))
    assert said == "done" if name != "change another" else "is in the way" in said
    kept.check(name)
    tried(lambda: put(store, "ada", NEW))
    kept.check("change")
    assert {path.name for path in store.root.glob(".new-*/*")} == {"a.png"}


LINKED = (
    *("faces", "onnx", "runs", "runs/next", "runs/next/profile", "runs/next/tune", ".commit", "."),
    *("profile.toml", "photos.jsonl", "faces/0001.png", "faces/0003.png", "generator.safetensors"),
    *("runs/next/stages.toml", ".mystyle", ".deleting", "../.locks", "../.locks/ada.lock", "../eva"),
)


@pytest.mark.parametrize("name", ACTS)
@pytest.mark.parametrize("place", LINKED)
def test_what_is_linked_from_a_profile_stays(tmp_path: Path, place: str, name: str) -> None:
    """A link in the place of anything that is written or removed leads nowhere: what it names stays."""
    store, elsewhere = Store(tmp_path / "store"), tmp_path / "elsewhere"
    put(store, "ada", OLD)
    shutil.copytree(store.root / "ada", elsewhere / "profile")
    files = (*OLD, *NEW, "stages.toml", "state.safetensors", "profile.toml", "ada.lock", "next/stages.toml")
    kept = [mine(elsewhere / "folder" / path) for path in files]
    kept += [path for path in (elsewhere / "profile").rglob("*") if path.is_file()]
    single = mine(elsewhere / "single")
    link = store.root / "ada" / place
    if place == ".":
        link, target = store.root / "ada", elsewhere / "profile"
    else:
        target = elsewhere / "folder" if "." not in Path(place).name[1:] and place not in SINGLE else single
    if link.is_dir():
        shutil.rmtree(link)
    link.unlink(missing_ok=True)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target)
    belongings = Belongings(*kept, single)
    tried(lambda: ACTS[name](store))
    belongings.check(f"{name}, {place} linked")
    tried(lambda: put(store, "ada", {**NEW, "photos.jsonl": "newer"}))
    tried(lambda: store.delete("ada"))
    belongings.check(f"{name}, {place} linked, then changed and deleted")


@pytest.mark.parametrize("name", ["change", "be killed and go on", "delete"])
def test_links_lead_nowhere_where_the_system_opens_no_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """On Windows each part of a name is looked at instead, to the same end."""
    from mystyle_cli.files import owned, places, writing

    monkeypatch.setattr(places, "GUARDED", False)
    monkeypatch.setattr(owned, "GUARDED", False)
    monkeypatch.setattr(writing, "GUARDED", False)
    for number, place in enumerate(LINKED):
        test_what_is_linked_from_a_profile_stays(tmp_path / str(number), place, name)
    test_files_beside_and_inside_a_profile_stay(tmp_path / "beside", name)


SINGLE = frozenset({".mystyle", ".deleting"})


def stage_commit(store: Store, content: dict[str, str]) -> None:
    """Leave a version staged as a kill right after the rename to `.commit` does."""
    with store.locked("ada"):
        draft = store.draft("ada")
        digests: dict[str, str] = {}
        for file, text in content.items():
            digests |= draft.write(file, text.encode())
        draft.finish("curate", "new", digests, {})
        text = manifest_of(draft).to_toml()
    shutil.copytree(draft.payload, store.root / "ada/.commit")
    (store.root / "ada/.commit/profile.toml").write_text(text)
    shutil.rmtree(store.root / "ada/runs")


@pytest.mark.parametrize("linked", [None, "faces", "onnx", "."])
@pytest.mark.parametrize("reader", ["list", "show", "verify", "path", "doctor", "open"])
def test_readers_change_nothing(tmp_path: Path, reader: str, linked: str | None) -> None:
    """An unfinished commit is read as the new version and left as it is, linked folders with it."""
    store = Store(tmp_path / "store")
    put(store, "ada", OLD)
    stage_commit(store, NEW)
    folder, elsewhere = store.root / "ada", tmp_path / "elsewhere"
    elsewhere.mkdir()
    if linked:
        place = folder if linked == "." else folder / linked
        if place.exists():
            os.rename(place, elsewhere / "linked")
        (elsewhere / "linked").mkdir(exist_ok=True)
        place.symlink_to(elsewhere / "linked")
    before = {path: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in tmp_path.rglob("*")}
    words = {"list": ["profile", "list"], "doctor": ["doctor"], "verify": ["profile", "verify"]}
    if reader == "open":
        assert linked == "." or set(store.open("ada").manifest.digests()) == set(NEW)
    else:
        CliRunner().invoke(cli, ["--store", str(store.root), *words.get(reader, ["profile", reader, "ada"])])
    after = {path: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in tmp_path.rglob("*")}
    assert after == before


@pytest.mark.parametrize("text", ["format = [", "format = 2"])
def test_a_damaged_commit_is_told_and_can_be_deleted(tmp_path: Path, text: str) -> None:
    """A staged version that cannot be read is put nowhere; the profile can be deleted all the same."""
    store = Store(tmp_path / "store")
    put(store, "ada", OLD)
    stage_commit(store, NEW)
    (store.root / "ada/.commit/profile.toml").write_text(text)
    assert store.entry("ada").state == "damaged"
    assert tried(lambda: put(store, "ada", NEW)).startswith("refused")
    assert (store.root / "ada/photos.jsonl").read_text() == OLD["photos.jsonl"]
    store.delete("ada")
    assert not (store.root / "ada").exists()


ODD: tuple[object, ...] = (1, True, 1.5, [], ["a"], {})


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_in_a_profile_are_refused(tmp_path: Path, name: str) -> None:
    """`profile.toml`, `stages.toml` and `photos.jsonl` name files inside the profile, or are damaged."""
    import tomli_w

    store = Store(tmp_path / "store")
    put(store, "ada", OLD)
    folder = store.root / "ada"
    kept = Belongings(mine(tmp_path / "mine"), mine(store.root / "mine"), mine(folder / "runs/mine"))
    name = str(tmp_path / "mine") if name == "/nowhere/mine" else name
    notes = {"stages": {"curate": {"inputs": "x"}}, "files": {"curate": {name: "0" * 64}}}
    (folder / "runs/next/profile").mkdir(parents=True)
    (folder / "runs/next/stages.toml").write_text(tomli_w.dumps(notes))
    with store.locked("ada"):
        draft = store.draft("ada")
        assert not draft.done("curate", "others")
        kept.check("dropping a stage")
        assert not draft.changed
    put(store, "ada", NEW)
    text = (folder / "profile.toml").read_text()
    (folder / "profile.toml").write_text(
        text.replace('"faces/0002.png"', json.dumps(name).replace("\\u001b", "\\u001B"))
    )
    assert store.entry("ada").state == "damaged"
    for act in (lambda: store.open("ada"), lambda: store.draft("ada")):
        with pytest.raises(ProfileError, match="outside the profile"):
            act()
    store.delete("ada")
    kept.check("delete")


@pytest.mark.parametrize("name", [*HOSTILE, *ODD, "faces/holiday.png", "photos.jsonl"])
def test_hostile_faces_in_records_are_refused(tmp_path: Path, name: object) -> None:
    """A record's face is a picture of the profile's own, or the line is damaged."""
    from mystyle_cli.person.reference import read_records

    row = {"sha256": "0" * 64, "file": "a", "reason": "kept", "detail": "", "face": name}
    (tmp_path / "photos.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(ProfileError, match="line 1"):
        read_records(tmp_path / "photos.jsonl")


@pytest.mark.parametrize("name", [*HOSTILE, *ODD])
def test_hostile_names_in_a_prior_are_refused(tmp_path: Path, tiny_prior: Path, name: object) -> None:
    """`prior.toml` names files inside the prior, or is damaged."""
    import tomllib

    import tomli_w

    shutil.copytree(tiny_prior, tmp_path / "prior")
    for table in ("roles", "directions"):
        facts = tomllib.loads((tiny_prior / "prior.toml").read_text())
        next(iter(facts[table].values()))["file"] = name
        (tmp_path / "prior/prior.toml").write_text(tomli_w.dumps(facts))
        with pytest.raises(MystyleError, match="damaged"):
            open_prior(tmp_path / "prior")


@pytest.fixture
def _no_faces_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    learn_quickly(monkeypatch.setattr)


class Stop(BaseException):
    """Ends a command as a kill does."""


@pytest.mark.usefixtures("_no_faces_needed")
@pytest.mark.parametrize("count", [0, 2, 9])
@pytest.mark.parametrize("store_is", ["the folder above", "the folder itself"])
def test_create_never_takes_a_folder_of_the_users(
    tmp_path: Path, tiny_prior: Path, count: int, store_is: str
) -> None:
    """A folder of photos of the profile's name is neither taken nor removed, however many photos are good."""
    photos = make_photos(tmp_path / "album/ada", count)
    store = Store(tmp_path / ("album" if store_is == "the folder above" else "album/ada"))
    if store_is == "the folder itself":
        photos += make_photos(tmp_path / "album/ada/ada", count)
    kept = Belongings(mine(tmp_path / "album/notes.txt"), mine(store.root / "ada/notes.txt"), *photos)
    prior = open_prior(tiny_prior)
    with pytest.raises(MystyleError, match="is there already and is no profile") as caught:
        learn(store, "ada", photos, prior, dataclasses.replace(QUICK, tune=False))
    assert str(store.root / "ada") in caught.value.message
    assert (caught.value.exit_code, bool(caught.value.hint)) == (5, True)
    kept.check("create")
    assert tried(lambda: store.delete("ada")).startswith("refused")
    kept.check("delete")
    assert not list(store.root.rglob("ada.lock"))


@pytest.mark.usefixtures("_no_faces_needed")
def test_an_empty_folder_is_the_users_too(tmp_path: Path, tiny_prior: Path) -> None:
    """Even a folder with nothing in it was made by somebody."""
    (tmp_path / "store/ada").mkdir(parents=True)
    with pytest.raises(ProfileError, match="is there already"):
        learn(Store(tmp_path / "store"), "ada", make_photos(tmp_path / "p", 9), open_prior(tiny_prior), QUICK)
    assert (tmp_path / "store/ada").is_dir()


@pytest.mark.parametrize("state", ["whole", "staged", "unfinished"])
def test_profiles_of_earlier_versions_are_known_by_what_they_hold(
    tmp_path: Path, tiny_prior: Path, state: str
) -> None:
    """Without a mark a profile opens, changes and is deleted as ever, if it is one."""
    store = make_store(tmp_path / "store", tiny_prior)
    folder = store.root / "ada"
    (folder / ".mystyle").unlink(missing_ok=True)
    if state == "staged":
        shutil.copytree(folder, tmp_path / "copy")
        shutil.rmtree(folder)
        folder.mkdir()
        os.rename(tmp_path / "copy", folder / ".commit")
    if state == "unfinished":
        shutil.rmtree(folder)
        with store.locked("ada"):
            draft = store.draft("ada")
            draft.finish("curate", "x", draft.write("faces/0001.png", b"x"), {})
        (folder / ".mystyle").unlink(missing_ok=True)
    assert store.entry("ada").state == ("unfinished" if state == "unfinished" else "ready")
    kept = Belongings(mine(folder / "notes.txt"), mine(folder / "faces/holiday.png"))
    if state == "unfinished":
        assert tried(lambda: store.delete("ada")).startswith("refused"), "nothing tells it from the user's"
        kept.check("delete")
        for path in kept.digests:
            path.unlink()
        assert store.delete("ada") == []
        return
    refuse_unusable(store.open("ada"))
    with store.locked("ada"):
        assert not store.draft("ada").changed
    assert sorted(store.delete("ada")) == sorted(kept.digests)
    kept.check("delete")
    assert {path.name for path in folder.rglob("*")} == {"faces", "notes.txt", "holiday.png"}
    assert store.names() == []


@pytest.mark.parametrize(
    "files", [{"profile.toml": "format = 2"}, {"profile.toml": "[tool]", "photos.jsonl": ""}]
)
def test_what_only_looks_like_a_profile_is_never_deleted(tmp_path: Path, files: dict[str, str]) -> None:
    """A user's folder with files of our names, and no mark, is refused by everything that changes."""
    folder = tmp_path / "ada"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    kept = Belongings(*(folder / name for name in files), mine(folder / "faces/0001.png"))
    store = Store(tmp_path)
    for name, act in ACTS.items():
        if name != "change another":
            tried(lambda act=act: act(store))  # type: ignore[misc]
    kept.check("everything")


@pytest.mark.usefixtures("_no_faces_needed")
def test_a_profile_through_its_whole_life(tmp_path: Path, tiny_prior: Path) -> None:
    """Created, interrupted, added to, tuned, exported, deleted: the user's files stay through all of it."""
    prior, store = open_prior(tiny_prior), Store(tmp_path / "store")
    photos = make_photos(tmp_path / "store/photos", 9)
    more = make_photos(tmp_path / "store/more", 4, start=30)
    kept = Belongings(*photos, *more, *(mine(store.root / path) for path in BESIDE))

    def stop(kind: type[BaseException], stage: str) -> Callable[[Step], None]:
        def report(step: Step) -> None:
            if step.stage == stage:
                raise kind

        return report

    with pytest.raises(ProfileError, match="can be learned from"):
        learn(store, "ada", photos[5:6], prior, QUICK)
    kept.check("create of a bad photo")
    assert not (store.root / "ada").exists()
    for kind, stage in ((Stop, "curate"), (KeyboardInterrupt, "tune"), (Stop, "instant")):
        with pytest.raises(kind):
            learn(store, "ada", photos, prior, QUICK, stop(kind, stage))
        kept.check(f"create stopped at {stage}")
    learn(store, "ada", photos, prior, QUICK)
    kept.check("create")
    kept = Belongings(*kept.digests, *(mine(store.root / "ada" / path) for path in INSIDE))
    steps: dict[str, Callable[[], Any]] = {
        "ingest": lambda: ingest(store, "ada", more, QUICK),
        "tune": lambda: retune(store, "ada", dataclasses.replace(QUICK, export=False, instant=None)),
        "export": lambda: export(store, "ada"),
        "replace": lambda: learn(
            store, "ada", photos[:7], prior, dataclasses.replace(QUICK, replace=True, tune=False)
        ),
        "list": store.entries,
        "verify": lambda: store.verify("ada", prior),
        "delete": lambda: store.delete("ada"),
    }
    for name, step in steps.items():
        step()
        kept.check(name)
    left = {path.relative_to(store.root / "ada").as_posix() for path in (store.root / "ada").rglob("*")}
    assert {name for name in left if (store.root / "ada" / name).is_file()} == set(INSIDE)


Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the program with everything of its own in a folder of the test."""
    monkeypatch.setenv("MYSTYLE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(cli, [*map(str, words)])


def test_priors(tmp_path: Path, tiny_prior: Path, run: Run) -> None:
    """Importing, replacing and removing priors leaves files beside, inside and linked as they are."""
    root = tmp_path / "home/priors"
    parts = Parts(tiny_prior / "generator.safetensors", perceptual=None)
    kept = [mine(root / name) for name in ("notes.txt", ".removed-mine/a.png", ".import-photos/a.png")]
    kept += [mine(root / name) for name in ("album/0001.png", ".replaced-other/photo.png")]
    elsewhere = [mine(tmp_path / "elsewhere" / name) for name in ("prior.toml", "generator.safetensors")]
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    belongings = Belongings(*kept, *elsewhere)
    for name in ("album", "linked"):
        assert tried(lambda name=name: import_prior(name, parts, overwrite=True)).startswith("refused")  # type: ignore[misc]
        run("prior", "remove", name, "--yes", "--force")
        belongings.check(f"import over {name}")
    import_prior("mine", parts)
    import_prior("mine", parts, overwrite=True)
    belongings.check("import")
    inner = [mine(root / "mine" / name) for name in ("README.md", "directions/mine.txt", "encoder.pt")]
    belongings = Belongings(*belongings.digests, *inner)
    assert tried(lambda: import_prior("mine", parts, overwrite=True)).startswith("refused")
    belongings.check("import --overwrite")
    done = run("prior", "remove", "mine", "--yes")
    assert done.exit_code == 0, done.stderr
    assert "README.md" in done.stderr
    belongings.check("remove")


def picture_file(path: Path, size: tuple[int, int] = (32, 32)) -> Path:
    """Write a picture of the user's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (9, 99, 199)).save(path, "PNG")
    return path


OUTPUTS: tuple[tuple[str, ...], ...] = (
    ("inpaint", "ada", "in.png", "--mask", "hole.png", "-o", "hole.png"),
    ("inpaint", "ada", "in.png", "--mask", "hole.png", "-o", "./sub/../hole.png"),
    ("inpaint", "ada", "in.png", "--mask", "hole.png", "-o", "hard.png"),
    ("inpaint", "ada", "in.png", "--mask", "hole.png", "-o", "soft.png"),
    ("inpaint", "ada", "album", "--mask", "masks", "-o", "masks"),
    ("inpaint", "ada", "album", "--mask", "masks", "-o", "linked-masks"),
    ("upscale", "ada", "in.png", "-o", "in.png"),
    ("upscale", "ada", "in.png", "-o", "soft-in.png"),
    ("upscale", "ada", "in.png", "--landmarks", "points.png", "-o", "points.png"),
    ("upscale", "ada", "album", "-o", "album"),
    ("upscale", "ada", "in.png", "--aligned", "--force", "-o", "elsewhere.png"),
    ("invert", "ada", "in.png", "-o", "store/ada/contact-sheet.png"),
    ("invert", "ada", "in.png", "-o", "store/ada/faces/0001.png"),
    ("invert", "ada", "anchors.png", "--aligned", "--force", "-o", "x.png", "--save-codes", "store/ada"),
    ("invert", "ada", "code.png", "--aligned", "--force", "-o", "x.png", "--save-codes", "codes"),
    ("edit", "ada", "in.png", "-d", "smile", "-s", "1", "--codes", "code.dat.png", "-o", "code.dat.png"),
    ("sample", "ada", "-o", "store/ada/faces/0001.png"),
    ("sample", "ada", "--grid", "store/ada/contact-sheet.png"),
    ("sample", "ada", "-o", "elsewhere.png"),
    ("sample", "ada", "--grid", "elsewhere.png"),
)


@pytest.fixture(scope="module")
def tiny_album(tmp_path_factory: pytest.TempPathFactory, tiny_prior: Path) -> Path:
    """A folder with a store, photos, masks, and links to them."""
    root = tmp_path_factory.mktemp("album")
    make_store(root / "store", tiny_prior)
    for name in (
        "in",
        "hole",
        "points",
        "anchors",
        "code",
        "album/a",
        "album/b",
        "masks/a",
        "masks/b",
        "target",
    ):
        picture_file(root / f"{name}.png")
    mine(root / "code.dat.png")
    mine(root / "codes/other.txt")
    (root / "sub").mkdir()
    (root / "linked-masks").symlink_to(root / "masks")
    (root / "soft.png").symlink_to("hole.png")
    (root / "soft-in.png").symlink_to("in.png")
    (root / "elsewhere.png").symlink_to("target.png")
    (root / "codes/code.safetensors").symlink_to(root / "code.dat.png")
    os.link(root / "hole.png", root / "hard.png")
    return root


@pytest.mark.parametrize("words", OUTPUTS, ids=" ".join)
def test_no_result_replaces_an_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, tiny_album: Path, words: Sequence[str]
) -> None:
    """A photo, mask, file of points or code, or a profile's file, is never a result, whatever its path is."""
    monkeypatch.chdir(tiny_album)
    kept = Belongings(
        *(path for path in tiny_album.rglob("*") if path.is_file() and ".locks" not in path.parts)
    )
    done = run("--store", "store", *words, "--overwrite")
    kept.check(" ".join(words))
    assert done.exit_code == UsageError.exit_code, done.stderr
    assert "Traceback" not in done.stderr


def test_a_result_replaces_a_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, tiny_album: Path
) -> None:
    """What is no input and no link is replaced as --overwrite says."""
    monkeypatch.chdir(tiny_album)
    (tmp_path / "out.png").write_bytes(b"an older result")
    done = run("--store", "store", "sample", "ada", "-o", tmp_path / "out.png", "--overwrite")
    assert done.exit_code == 0, done.stderr
    assert np.asarray(Image.open(tmp_path / "out.png")).shape == (32, 32, 3)


def test_delete_names_what_it_leaves(tmp_path: Path, run: Run, tiny_prior: Path) -> None:
    """`profile delete` says which files are not its own; of the name nothing is left, the lock included."""
    store = make_store(tmp_path / "store", tiny_prior)
    done = run("--store", store.root, "profile", "delete", "ada", "--yes")
    assert done.exit_code == 0, done.stderr
    assert not [path for path in store.root.rglob("*") if "ada" in path.name]
    make_store(tmp_path / "store", tiny_prior)
    kept = Belongings(mine(store.root / "ada/notes.txt"))
    done = run("--store", store.root, "profile", "delete", "ada", "--yes")
    assert done.exit_code == 0, done.stderr
    assert "notes.txt" in done.stderr
    kept.check("delete")
    assert [path.name for path in (store.root / "ada").rglob("*")] == ["notes.txt"]


def test_nothing_removes_a_tree() -> None:
    """Nowhere in the program is a whole tree removed, or a file but in the modules that look first."""
    import ast

    import mystyle_cli

    root = Path(mystyle_cli.__file__).parent
    calls = []
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in ("rmtree", "removedirs", "rmdir", "unlink"):
                calls.append(f"{path.relative_to(root).as_posix()}: {ast.unparse(node)}")
    allowed = (
        "files/owned.py: os.",
        "files/places.py: os.",
        "files/writing.py: os.",
        "fetch/fetch.py: ",
        "fetch/download.py: ",
        "store/locks.py: path.unlink",
    )
    assert [call for call in calls if not call.startswith(allowed)] == []
