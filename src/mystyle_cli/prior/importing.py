"""From other people's files to a prior of one's own: read, converted, written whole or not at all.

Source: paper sec. 3.1 (G_d and its helpers).
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mystyle_cli.errors import ModelError, UsageError
from mystyle_cli.owned import Layout, Owned, lock_of, sync_folder
from mystyle_cli.paths import check_name, priors_root
from mystyle_cli.prior.registry import (
    FORMAT,
    REPLACED,
    bundled_priors,
    imported_priors,
    open_prior,
    sha256_of,
)
from mystyle_cli.progress import Progress, Step, silent

if TYPE_CHECKING:
    from mystyle_cli.photos.align import Crop
    from mystyle_cli.prior.directions import Direction
    from mystyle_cli.prior.generator import Generator

UNFINISHED: Final = ".import-"
REMOVED: Final = ".removed-"
MANIFEST: Final = "prior.toml"
LAYOUT: Final = Layout(
    files=re.compile(
        r"prior\.toml|(generator|perceptual)\.safetensors|(encoder|identity|matte)\.onnx"
        r"|directions/[^/]+\.safetensors"
    ),
    folders=frozenset({"directions"}),
)
"""The names that import gives; files and folders of other names in a prior are the user's."""

_LEFT: Final = re.compile(r"\.(import|removed)-[0-9a-f]{8}|\.new-.+")
"""What imports and removals are called while they are under way, or were by earlier versions."""

UNKNOWN: Final = "not stated"
WITHOUT: Final[Mapping[str, str]] = {
    "encoder": "No encoder: anchors are found by optimisation, which takes longer.",
    "perceptual": "No perceptual net: the prior can draw and show, but learning and restoring need one.",
    "identity": "No identity net: dlib's descriptors are used.",
}


@dataclass(frozen=True)
class Parts:
    """The files that a prior is made from.

    Args:
        generator: any file that `read_generator` takes.
        encoder: image -> w; None: anchors come from optimisation.
        identity: recognition net; None: dlib's descriptors are used.
        perceptual: trunk of LPIPS; None: the prior can draw and show, but not learn or restore.
        mapping: file or prior to take the mapping network from, where the generator's file has none.
        directions: pairs of a name and a file; "" takes the names that the file gives.
        licences: terms by file name.
        sources: where each came from, by file name; the file's name where none is given.
        crop: which square about a face the generator was trained on; None: FFHQ's, as nearly all were.
    """

    generator: Path
    encoder: Path | None = None
    identity: Path | None = None
    perceptual: Path | None = None
    mapping: str | Path | None = None
    directions: Sequence[tuple[str, Path]] = ()
    licences: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    crop: Crop | None = None


@dataclass(frozen=True)
class Imported:
    """A prior that was made.

    Args:
        path: its folder.
        dialect: what wrote the generator's file.
        notes: what was assumed and what the prior lacks, one sentence each.
    """

    path: Path
    dialect: str
    notes: tuple[str, ...]


def import_prior(
    name: str, parts: Parts, *, overwrite: bool = False, progress: Progress = silent
) -> Imported:
    """Make a prior of foreign files, under the user's priors.

    Args:
        name: what it will be called.
        parts: the files.
        overwrite: replace an imported prior of that name; a bundled one never is.
        progress: told after each file.

    Raises:
        UsageError: the name is no name, or taken.
        ModelError: a file is refused, the files do not fit each other, or the disk is full.
    """
    name = _free_name(name, overwrite)
    with _changing() as root:
        folder = root / f"{UNFINISHED}{secrets.token_hex(4)}"
        try:
            folder.mkdir()
            making = _Making(name, folder, parts, progress)
            making.make()
            _replace(root / name, folder)
        except OSError as error:
            raise ModelError(
                f"prior {name} cannot be written to {root}: {error.strerror or error}",
                "check the folder's permissions and the free disk",
            ) from error
        finally:
            with suppress(OSError):
                Owned(root, folder.name, LAYOUT).clear()
    return Imported(root / name, making.dialect, tuple(making.notes))


def remove_prior(name: str) -> tuple[Path, list[Path]]:
    """Remove an imported prior for good. Interrupted, it goes on when it is called again.

    Returns:
        Where it was, and what is left there, for it was not imported.

    Raises:
        UsageError: it is a bundled one.
        ModelError: there is no such prior, it is reached through a link, or the folder cannot be changed.
    """
    if name in bundled_priors():
        raise UsageError(f"{name} came with mystyle and cannot be removed", "name an imported prior")
    if priors_root().is_dir():
        with _changing() as root:  # which finishes an interrupted removal
            if name in imported_priors():
                return root / name, [root / name / stranger for stranger in _remove(root, name)]
    known = ", ".join(imported_priors()) or "none"
    raise ModelError(f"no imported prior {name!r} (there: {known})", "see `mystyle prior list`")


def _remove(root: Path, name: str) -> Sequence[str]:
    """Remove an imported prior, at one instant where nothing else is in it; returns what is left."""
    prior = Owned(root, name, LAYOUT)
    _refuse_link(prior)
    try:
        if prior.content().strangers:
            return prior.vanish((MANIFEST,))
        gone = Owned(root, f"{REMOVED}{secrets.token_hex(4)}", LAYOUT)
        prior.path.rename(gone.path)
        sync_folder(root)
        return gone.clear()
    except OSError as error:
        raise ModelError(
            f"{root / name} cannot be removed: {error.strerror}", "check the folder's permissions"
        ) from error


def _refuse_link(prior: Owned) -> None:
    """Refuse to change a prior that is a link to a folder elsewhere."""
    if not prior.exists():
        raise ModelError(
            f"{prior.path} is a link, and what is reached through one is only read",
            "remove the link yourself, or choose another name",
        )


def _free_name(name: str, overwrite: bool) -> str:
    """Return a name in its normal form, after seeing that it may be given."""
    name = check_name(name, "prior")
    if name in bundled_priors():
        raise UsageError(f"{name} is the name of a bundled prior", "choose another name")
    there = Owned(priors_root(), name, LAYOUT)
    if not os.path.lexists(there.path):
        return name
    if not overwrite:
        raise UsageError(
            f"there is a prior {name} already", "choose another name, or say --overwrite to replace it"
        )
    _refuse_link(there)
    strangers = there.content().strangers
    if strangers or not there.has(MANIFEST):
        named = ", ".join(str(there.path / stranger) for stranger in strangers[:3]) or "no prior.toml"
        raise ModelError(
            f"{there.path} is not only what was imported, and is not replaced: {named}",
            "choose another name, or move those files away",
        )
    return name


@contextmanager
def _changing() -> Iterator[Path]:
    """Hold the folder of priors for changing, after clearing what a killed command left behind."""
    from filelock import Timeout

    root = priors_root()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with lock_of(root / ".lock").acquire(timeout=0.2):
            _clear(root)
            yield root
    except Timeout as error:
        raise ModelError(f"another command is changing {root}", "wait until it has ended") from error
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise ModelError(
            f"{root} cannot be written to: {error.strerror} ({error.filename})",
            "check the folder's permissions",
        ) from error


def _clear(root: Path) -> None:
    """Undo what a killed command left half done."""
    for name in sorted(os.listdir(root)):
        left = Owned(root, name, LAYOUT)
        if not left.exists() or left.content().strangers:
            continue
        target = root / name.removeprefix(REPLACED)
        if name.startswith(REPLACED) and left.has(MANIFEST) and not os.path.lexists(target):
            os.rename(left.path, target)
        elif name.startswith(REPLACED) or _LEFT.fullmatch(name):
            with suppress(OSError):
                left.clear()


def _replace(target: Path, made: Path) -> None:
    """Put a finished folder in its place; until it is there, readers find the one before under its name."""
    before = Owned(target.parent, f"{REPLACED}{target.name}", LAYOUT)
    if os.path.lexists(target):
        target.rename(before.path)
    made.rename(target)
    sync_folder(target.parent)
    with suppress(OSError):
        before.clear()


class _Making:
    """The prior under way: writes one role after another, and prior.toml last."""

    def __init__(self, name: str, folder: Path, parts: Parts, progress: Progress) -> None:
        self.name, self.folder, self.parts, self.progress = name, folder, parts, progress
        self.dialect = ""
        self.notes: list[str] = []
        self.roles: dict[str, dict[str, Any]] = {}
        self.directions: dict[str, dict[str, Any]] = {}

    def make(self) -> None:
        """Convert every part."""
        import tomli_w

        from mystyle_cli.photos.align import FFHQ

        generator, crop = self._generator(), self.parts.crop or FFHQ
        steps: list[Callable[[], None]] = [
            lambda: self._encoder(generator, crop),
            lambda: self._identity(generator.resolution, crop),
            lambda: self._perceptual(generator.resolution),
            lambda: self._directions(generator.w_dim),
        ]
        for done, step in enumerate(steps, 1):
            self.progress(Step("import", done, len(steps) + 1))
            step()
        self.notes += [note for role, note in WITHOUT.items() if role not in self.roles]
        facts = {
            "format": FORMAT,
            "name": self.name,
            "resolution": generator.resolution,
            "w_dim": generator.w_dim,
            "num_ws": generator.num_ws,
            "known_by": "roles",
            **({} if crop == FFHQ else {"crop": asdict(crop)}),
            "notes": self.notes,
            "roles": self.roles,
            "directions": self.directions,
        }
        _write(self.folder / MANIFEST, tomli_w.dumps(facts).encode())
        self.progress(Step("import", len(steps) + 1, len(steps) + 1))

    def _generator(self) -> Generator:
        """Read and write the generator, with a mapping from elsewhere where that is asked for."""
        from mystyle_cli.prior.checkpoints.generators import borrow_mapping, read_generator
        from mystyle_cli.prior.generator import save_generator

        read = read_generator(self.parts.generator)
        self.dialect, generator = read.dialect, read.generator
        self.notes += read.notes
        facts = {"dialect": read.dialect, "source_sha256": read.sha256}
        if self.parts.mapping is not None:
            donor, facts["mapping"] = _donor(self.parts.mapping)
            generator = borrow_mapping(generator, donor)
        if not generator.z_dim:
            self.notes.append("No mapping network: nobody can be drawn, and anchors need an encoder.")
        save_generator(generator, self.folder / "generator.safetensors")
        self.roles["generator"] = self._entry("generator.safetensors", self.parts.generator, **facts)
        return generator

    def _encoder(self, generator: Generator, crop: Crop) -> None:
        """Export the encoder, and compare the decoder in its file, if any, with the generator."""
        if (path := self.parts.encoder) is None:
            return
        from mystyle_cli.prior.checkpoints.companions import read_encoder
        from mystyle_cli.prior.companions.roles import write_role

        companion = read_encoder(path, generator.w_avg if generator.z_dim else None)
        if companion.dim != generator.w_dim:
            raise ModelError(
                f"{path} makes codes of {companion.dim} numbers, the generator takes {generator.w_dim}",
                "give an encoder that was trained for this generator",
            )
        self.notes += companion.notes
        write_role(companion, self.folder / "encoder.onnx", generator.resolution, crop)
        facts: dict[str, Any] = {"kind": companion.kind, "source_sha256": companion.sha256}
        if companion.kind != "onnx":
            facts |= self._compared(path, generator)
        self.roles["encoder"] = self._entry("encoder.onnx", path, **facts)

    def _compared(self, path: Path, generator: Generator) -> dict[str, Any]:
        """Return how far the decoder in an encoder's file is from the generator, where it has one."""
        from mystyle_cli.prior.checkpoints.generators import read_generator

        try:
            decoder = read_generator(path).generator
        except ModelError:
            return {}
        own, others = generator.state_dict(), decoder.state_dict()
        both = [
            name
            for name, value in own.items()
            if name in others and others[name].shape == value.shape and not name.endswith("resample_filter")
        ]
        worst = (
            max(
                float((own[name] - others[name]).abs().max()) / max(float(own[name].abs().max()), 1e-12)
                for name in both
            )
            if both
            else 1.0
        )
        if worst > 1e-6:
            self.notes.append("The decoder in the encoder's file is not this generator: codes may not fit.")
        return {
            "decoder_difference": worst,
            "decoder_tensors": len(both),
            "decoder_generator": self.roles["generator"]["sha256"],
        }

    def _identity(self, resolution: int, crop: Crop) -> None:
        """Export the identity net."""
        if (path := self.parts.identity) is None:
            return
        from mystyle_cli.prior.checkpoints.companions import read_identity
        from mystyle_cli.prior.companions.roles import write_role

        companion = read_identity(path)
        self.notes += companion.notes
        write_role(companion, self.folder / "identity.onnx", resolution, crop)
        facts = {"kind": companion.kind, "source_sha256": companion.sha256}
        self.roles["identity"] = self._entry("identity.onnx", path, **facts)

    def _perceptual(self, resolution: int) -> None:
        """Write the perceptual net, which sees pictures at their own size."""
        if (path := self.parts.perceptual) is None:
            return
        from mystyle_cli.prior.checkpoints.perceptuals import read_perceptual
        from mystyle_cli.prior.perceptual import save_perceptual

        save_perceptual(read_perceptual(path, resolution), self.folder / "perceptual.safetensors")
        self.roles["perceptual"] = self._entry("perceptual.safetensors", path, source_sha256=sha256_of(path))

    def _directions(self, w_dim: int) -> None:
        """Write the directions of every file given."""
        from mystyle_cli.prior.directions import save_direction

        for name, path in self.parts.directions:
            for title, direction in _named(name, path):
                if direction.vector.size != w_dim:
                    raise ModelError(
                        f"{path} has a direction of {direction.vector.size} numbers, not of {w_dim}",
                        "give directions that were found for this generator",
                    )
                if title in self.directions:
                    raise ModelError(f"two directions are called {title}", "name one: --direction NAME=FILE")
                (self.folder / "directions").mkdir(exist_ok=True)
                file = f"directions/{check_name(title, 'direction')}.safetensors"
                save_direction(direction, self.folder / file)
                self.directions[title] = self._entry(file, path, source_sha256=sha256_of(path))

    def _entry(self, file: str, given: Path, **facts: Any) -> dict[str, Any]:
        """Return what prior.toml says of one file."""
        written = self.folder / file
        with written.open("rb") as stream:
            os.fsync(stream.fileno())
        return {
            "file": file,
            "sha256": sha256_of(written),
            "licence": self.parts.licences.get(given.name, UNKNOWN),
            "source": self.parts.sources.get(given.name, given.name),
            **facts,
        }


def _donor(mapping: str | Path) -> tuple[Generator, str]:
    """Return the generator whose mapping is borrowed, and what it is called in prior.toml."""
    from mystyle_cli.prior.checkpoints.generators import read_generator

    if Path(mapping).is_file():
        return read_generator(Path(mapping)).generator, Path(mapping).name
    prior = open_prior(mapping)
    return prior.generator(), prior.name


def _named(name: str, path: Path) -> list[tuple[str, Direction]]:
    """Return the directions of a file under the names that they will have."""
    import dataclasses

    from mystyle_cli.prior.checkpoints.directions import read_directions

    found = read_directions(path)
    names = {d.name: d.name if not name else name if len(found) == 1 else f"{name}-{d.name}" for d in found}
    return [(names[d.name], dataclasses.replace(d, name=names[d.name])) for d in found]


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
