"""The prior under way: one role after another read, converted and written, prior.toml last."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mystyle_cli.errors import ModelError
from mystyle_cli.files.paths import check_name
from mystyle_cli.prior.registry import FORMAT, open_prior, sha256_of
from mystyle_cli.progress import Progress, Step

if TYPE_CHECKING:
    from mystyle_cli.faces.align import Crop
    from mystyle_cli.nets.generator import Generator
    from mystyle_cli.prior.directions import Direction


MANIFEST: Final = "prior.toml"

UNKNOWN: Final = "not stated"
WITHOUT: Final[Mapping[str, str]] = {
    "encoder": "No encoder: anchors are found by optimisation, which takes longer.",
    "perceptual": "No perceptual net: the prior can draw and show, but learning and restoring need one.",
    "identity": "No identity net: dlib's descriptors are used.",
}


@dataclass(frozen=True)
class Parts:
    """The files that a prior is made from."""

    generator: Path  # any file that `read_generator` takes
    encoder: Path | None = None  # image -> w; None: anchors come from optimisation
    identity: Path | None = None  # recognition net; None: dlib's descriptors are used
    # trunk of LPIPS; None: the prior can draw and show, but not learn or restore
    perceptual: Path | None = None
    # file or prior to take the mapping network from, where the generator's file has none
    mapping: str | Path | None = None
    # pairs of a name and a file; "" takes the names that the file gives
    directions: Sequence[tuple[str, Path]] = ()
    licences: Mapping[str, str] = field(default_factory=dict)  # terms by file name
    # where each came from, by file name; the file's name where none is given
    sources: Mapping[str, str] = field(default_factory=dict)
    # which square about a face the generator was trained on; None: FFHQ's, as nearly all were
    crop: Crop | None = None


@dataclass(frozen=True)
class Imported:
    """A prior that was made."""

    path: Path
    dialect: str
    notes: tuple[str, ...]  # what was assumed and what the prior lacks, one sentence each


class Making:
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

        from mystyle_cli.faces.align import FFHQ

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
        from mystyle_cli.foreign.generators import borrow_mapping, read_generator
        from mystyle_cli.nets.generator import save_generator

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
        from mystyle_cli.foreign.companions import read_encoder
        from mystyle_cli.foreign.roles import write_role

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
        from mystyle_cli.foreign.generators import read_generator

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
        if (path := self.parts.identity) is None:
            return
        from mystyle_cli.foreign.companions import read_identity
        from mystyle_cli.foreign.roles import write_role

        companion = read_identity(path)
        self.notes += companion.notes
        write_role(companion, self.folder / "identity.onnx", resolution, crop)
        facts = {"kind": companion.kind, "source_sha256": companion.sha256}
        self.roles["identity"] = self._entry("identity.onnx", path, **facts)

    def _perceptual(self, resolution: int) -> None:
        """Write the perceptual net, which sees pictures at their own size."""
        if (path := self.parts.perceptual) is None:
            return
        from mystyle_cli.foreign.companions import read_perceptual
        from mystyle_cli.nets.perceptual import save_perceptual

        save_perceptual(read_perceptual(path, resolution), self.folder / "perceptual.safetensors")
        self.roles["perceptual"] = self._entry("perceptual.safetensors", path, source_sha256=sha256_of(path))

    def _directions(self, w_dim: int) -> None:
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
        written = self.folder / file
        with written.open("rb") as stream:
            os.fsync(stream.fileno())  # before the folder gets its name
        return {
            "file": file,
            "sha256": sha256_of(written),
            "licence": self.parts.licences.get(given.name, UNKNOWN),
            "source": self.parts.sources.get(given.name, given.name),
            **facts,
        }


def _donor(mapping: str | Path) -> tuple[Generator, str]:
    """Return the generator whose mapping is borrowed, and what it is called in prior.toml."""
    from mystyle_cli.foreign.generators import read_generator

    if Path(mapping).is_file():
        return read_generator(Path(mapping)).generator, Path(mapping).name
    prior = open_prior(mapping)
    return prior.generator(), prior.name


def _named(name: str, path: Path) -> list[tuple[str, Direction]]:
    import dataclasses

    from mystyle_cli.foreign.directions import read_directions

    directions = read_directions(path)
    names = {
        d.name: d.name if not name else name if len(directions) == 1 else f"{name}-{d.name}"
        for d in directions
    }
    return [(names[d.name], dataclasses.replace(d, name=names[d.name])) for d in directions]


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
