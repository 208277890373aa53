"""What is killed: the commands, the folders that they begin in, and what may be found in those afterwards."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from mystyle_cli.fetch import assets
from mystyle_cli.fetch.assets import Asset, Recipe
from mystyle_cli.person.layout import place_of
from mystyle_cli.prior.registry import imported_priors, open_prior
from mystyle_cli.store.store import Store

State = dict[str, object]
"""What readers find, by name: a profile's, prior's or result's digests, or the state that a profile is in."""


@dataclasses.dataclass(frozen=True)
class Command:
    """A command that is killed.

    Args:
        words: what stands after `mystyle`.
        begins: the folder that it begins in: "empty", "ada" (who has a profile), "pair" (two have) or
            "mine" (a prior).
        between: the state of a profile that a kill may leave besides the old and the new one.
        piecewise: each of its results may be there or not.
        again: the exit code of the same command when there is nothing left to do.
    """

    words: str
    begins: str
    between: str = ""
    piecewise: bool = False
    again: int = 0


PUT = "put"
"""Stands for a command that makes a version of a few small files, to kill often what all that learn share."""

LEARN = "--passes 2 --batch 4 --no-instant --no-export"
COMMANDS = {
    "a first version": Command(PUT, "empty", "unfinished"),
    "a new version": Command(PUT, "old"),
    "profile create": Command(f"profile create ada photos --prior tiny-32 {LEARN}", "empty", "unfinished"),
    "profile create --replace": Command(f"profile create ada more --prior tiny-32 --replace {LEARN}", "ada"),
    "ingest": Command(f"ingest ada more {LEARN}", "ada"),
    "profile merge": Command(f"profile merge duo ada ben {LEARN}", "pair", "unfinished"),
    "tune": Command("tune ada --passes 3 --batch 4 --no-instant --no-export", "ada"),
    "export": Command("export ada", "ada"),
    "export -o": Command("export ada -o nets", "ada", piecewise=True, again=2),
    "profile rename": Command("profile rename ada eva", "ada", again=5),
    "profile delete": Command("profile delete ada --yes", "ada", "deleting", again=5),
    "profile consent": Command("profile consent ada agreed --until 2999-01-01", "ada"),
    "profile export": Command("profile export ada out/ada.mystyle", "ada", again=2),
    "profile export --overwrite": Command("profile export ada out/old.mystyle --overwrite", "ada"),
    "profile import": Command("profile import files/eva.mystyle eva", "ada", "unfinished", again=5),
    "prior import": Command(
        "prior import new --generator files/generator.safetensors --encoder files/encoder.onnx",
        "mine",
        again=2,
    ),
    "prior import --overwrite": Command(
        "prior import mine --generator files/generator.safetensors --encoder files/encoder.onnx --overwrite",
        "mine",
    ),
    "prior remove": Command("prior remove mine --yes", "mine", again=5),
    "prior fetch": Command("prior fetch small-16 --accept-licence", "mine"),
    "upscale": Command(
        "upscale ada inputs -o out --aligned --force --steps 2 --batch 1 --skip-existing --save-codes codes",
        "ada",
        piecewise=True,
    ),
    "sample": Command("sample ada -n 4 --seed 1 -o out --overwrite", "ada", piecewise=True),
}


def stand_in(words: Sequence[str], server: str, root: Path) -> None:
    """Replace, in a child, what needs faces or the network."""
    if set(words) & {"create", "ingest"}:
        from mystyle_cli.learn import stages
        from tests.support.albums import fake_curate

        stages.curate = fake_curate
    if "fetch" in words:
        _know_one_recipe(server, root / "files")


def act(root: Path) -> None:
    """Make a version, or go on with one, as a command that learns does."""
    from tests.support.versions import NEW, manifest_of

    store = Store(root / "home/profiles")
    with store.locked("ada"):
        draft = store.draft("ada")
        if not draft.done("curate", "new"):
            digests: dict[str, str] = {}
            for name, text in NEW.items():
                digests |= draft.write(name, text.encode())
            draft.finish("curate", "new", digests, {})
        if draft.changed or draft.current is None:
            draft.commit(manifest_of(draft))


def _know_one_recipe(server: str, files: Path) -> None:
    """Let `prior fetch` know one prior, whose files a server of the test's has."""

    def asset(file: str, role: str, licence: str, title: str = "") -> Asset:
        data = (files / file).read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        return Asset(file, role, licence, (f"{server}/{file}",), len(data), digest, title=title)

    made = Recipe(
        "small-16",
        (
            asset("net.pkl", "generator", "LicenseRef-NVIDIA-StyleGAN2-ADA"),
            asset("smile.pt", "directions", "LicenseRef-FFHQ-directions", "smile"),
        ),
    )
    assets.RECIPES = {made.name: made}  # type: ignore[misc]


def digest_of(path: Path) -> str:
    """Return the digest of a file; of a picture that of its pixels, for its marks tell the time."""
    if path.suffix == ".png":
        with Image.open(path) as image:
            return hashlib.sha256(image.tobytes()).hexdigest()
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def _home(root: Path) -> Iterator[None]:
    before = os.environ.get("MYSTYLE_HOME")
    os.environ["MYSTYLE_HOME"] = str(root / "home")
    try:
        yield
    finally:
        if before is None:
            del os.environ["MYSTYLE_HOME"]
        else:
            os.environ["MYSTYLE_HOME"] = before


@functools.cache
def _refuse_unsound(name: str, content: tuple[tuple[str, str], ...]) -> None:
    """See that a prior is sound, once for the same content."""
    assert open_prior(name).verify() == []


def state_of(root: Path) -> State:
    """Return what readers find, all of it checked against its digests."""
    found: State = {}
    with _home(root):
        store = Store(root / "home/profiles")
        for entry in store.entries():
            found[f"profile {entry.name}"] = entry.state
            if entry.state in ("ready", "untuned"):
                folder, listed = store.folder(entry.name), store.open(entry.name).manifest.digests()
                digests = {
                    name: hashlib.sha256(place_of(folder, name).read_bytes()).hexdigest() for name in listed
                }
                assert digests == listed, f"{entry.name} is not what its manifest says"
                consent = store.open(entry.name).manifest.consent
                found[f"profile {entry.name}"] = {**digests, "consent": consent}
        for name in imported_priors():
            prior = open_prior(name)
            files = sorted(path for path in prior.path.rglob("*") if path.is_file())
            _refuse_unsound(name, tuple((path.name, digest_of(path)) for path in files))
            found[f"prior {name}"] = {role: prior.metadata["roles"][role]["sha256"] for role in prior.roles}
    for folder in ("out", "codes", "nets"):
        for path in sorted((root / folder).glob("[!.]*")):
            found[f"{folder}/{path.name}"] = digest_of(path)
    return found


def copy(source: Path, root: Path) -> None:
    """Copy a folder; large files, which nothing writes in place, are linked."""

    def one(path: str, target: str) -> None:
        if os.path.getsize(path) > 50_000:
            os.link(path, target)
        else:
            shutil.copy2(path, target)

    shutil.copytree(source, root, copy_function=one)


def listing(root: Path) -> set[str]:
    """Return the names of everything in a folder."""
    return {path.relative_to(root).as_posix() for path in root.rglob("*")}


def stamps(root: Path) -> dict[str, tuple[int, int]]:
    """Return number and time of everything in a folder, which tell whether it was written."""
    found = {}
    for path in root.rglob("*"):
        about = path.lstat()
        found[path.relative_to(root).as_posix()] = (about.st_ino, about.st_mtime_ns)
    return found


USERS = (
    "photos",
    "more",
    "inputs",
    "files",
    "home/profiles/holiday",
    "home/priors/notes.txt",
    "out/mine.txt",
)
"""What is the user's, in and around all that is written."""


def belongings(root: Path) -> dict[str, str]:
    """Return the digests of the user's files."""
    places = [root / name for name in USERS]
    files = [path for place in places for path in ([place] if place.is_file() else sorted(place.rglob("*")))]
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.is_file()
    }


def make_folders(folder: Path, prior: Path) -> dict[str, Path]:
    """Make the folders that commands begin in: a home with one prior, and files of the user's in all of them.

    Args:
        folder: where.
        prior: the prior that people are learned from.
    """
    from mystyle_cli.foreign.importing import import_prior
    from mystyle_cli.foreign.making import Parts
    from mystyle_cli.store.archive import pack
    from tests.support.tiny_store import looking_like, make_store
    from tests.support.versions import OLD, put

    begun = {name: folder / name for name in ("empty", "old", "ada", "pair", "mine")}
    _make_empty(begun["empty"], prior)
    for name in ("old", "ada", "pair", "mine"):
        shutil.copytree(begun["empty"], begun[name])
    for number, name in enumerate(("ada", "ben")):
        make_store(begun["pair"] / "home/profiles", prior, name, looking_like(number), number)
    put(Store(begun["old"] / "home/profiles"), "ada", OLD)
    ada = make_store(begun["ada"] / "home/profiles", prior).open("ada")
    (begun["ada"] / "files/eva.mystyle").write_bytes(pack(ada))
    (begun["ada"] / "out/old.mystyle").write_bytes(pack(ada, photos=False))
    with _home(begun["mine"]):
        import_prior("mine", Parts(begun["mine"] / "files/generator.safetensors"))
    return begun


def _make_empty(root: Path, prior: Path) -> None:
    import torch

    from tests.support.albums import make_photos
    from tests.support.checkpoints import write_nvidia_pickle
    from tests.support.tiny_store import picture

    make_photos(root / "photos", 9)
    make_photos(root / "more", 8, start=30)
    (root / "inputs").mkdir()
    for number in range(3):
        Image.fromarray(picture(number, 8)).save(root / "inputs" / f"{number}.png")
    shutil.copytree(prior, root / "home/priors/tiny-32")
    (root / "files").mkdir()
    for name in ("generator.safetensors", "encoder.onnx"):
        shutil.copy(prior / name, root / "files" / name)
    write_nvidia_pickle(root / "files/net.pkl", open_prior(prior).generator())
    torch.save(torch.nn.functional.normalize(torch.ones(1, 16)), root / "files/smile.pt")
    for name in ("home/profiles/holiday/0001.png", "home/priors/notes.txt", "out/mine.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"the user's {name}")
