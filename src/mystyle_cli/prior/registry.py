"""Priors as folders: `prior.toml` and one file for each role.

Source: paper sec. 3.1 (G_d and its helpers).
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mystyle_cli.errors import ModelError, MystyleError, reason_of
from mystyle_cli.files.parsing import shown, toml_of
from mystyle_cli.files.paths import priors_root
from mystyle_cli.files.reading import digest_of, read_file
from mystyle_cli.files.tensors import LARGEST_NET, read_tensors
from mystyle_cli.nets.bounds import sound_answer
from mystyle_cli.nets.device import CPU, Device
from mystyle_cli.nets.memory import at_once
from mystyle_cli.prior.manifest import FIELDS, IdentityLimits, read_limits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mystyle_cli.faces.align import Crop
    from mystyle_cli.nets.generator import Generator
    from mystyle_cli.nets.perceptual import Perceptual
    from mystyle_cli.nets.sessions import Session
    from mystyle_cli.prior.directions import Direction

BUNDLED = Path(__file__).parent / "bundled"
FORMAT = 1
LARGEST_TOML = 4 << 20  # bytes of the largest prior.toml that is read
AGAIN = "install mystyle again, or import or fetch the prior again"
# begins the name of a prior's folder while another one takes its place, and until that is there
REPLACED = ".replaced-"

ROLES = ("generator", "encoder", "perceptual", "identity", "matte", "cover")
# those that `prior import` takes a file for; the others come with a prior or not at all
IMPORTED = ("generator", "encoder", "perceptual", "identity")
# what the cover role's answers are about, in this order; left and right are the picture's
FACE_PARTS = ("left eye", "right eye", "nose", "mouth", "left cheek", "right cheek")


@dataclass
class Prior:
    """A domain prior on disk; nets are opened when first asked for, their digests checked then."""

    path: Path
    digest: str  # what profiles know it by; see `_digest`
    metadata: dict[str, Any]
    crop: Crop  # which square about a face its pictures show, and all its nets take
    # what its identity net was found to tell apart, where it was judged on real people
    identity_limits: IdentityLimits | None = None
    device: Device = CPU  # where its nets compute; `on` gives the same prior elsewhere
    _sessions: dict[tuple[str, str], Session] = field(default_factory=dict, repr=False)
    _checked: set[str] = field(default_factory=set, repr=False)
    _generator: Generator | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Name of the prior."""
        return str(self.metadata["name"])

    @property
    def resolution(self) -> int:
        """Edge length of its pictures."""
        return int(self.metadata["resolution"])

    @property
    def w_dim(self) -> int:
        """Length of a code."""
        return int(self.metadata["w_dim"])

    @property
    def num_ws(self) -> int:
        """Codes of one picture in W+."""
        return int(self.metadata["num_ws"])

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles that the prior fills."""
        return tuple(role for role in ROLES if role in self.metadata["roles"])

    @property
    def bundled(self) -> bool:
        """Whether it came with the program."""
        return self.path.parent == BUNDLED

    def read_files(self) -> dict[str, bytes]:
        """Return all of its files by their names, as they are known; raises ModelError."""
        found = {"prior.toml": LARGEST_TOML}
        for entry in _entries(self.metadata):
            self._check(entry)
            found[str(entry["file"])] = LARGEST_NET
        try:
            return {name: read_file(self.path / name, most, self.path) for name, most in found.items()}
        except OSError as error:
            raise ModelError(f"{error.filename} cannot be read: {error.strerror}", AGAIN) from error

    def on(self, device: Device) -> Prior:
        """Return the same prior with its nets on a device; what is open and checked stays so."""
        return self if device == self.device else replace(self, device=device)

    def file(self, role: str) -> Path:
        """Path of a role's file, its digest checked once; raises ModelError where the prior lacks it."""
        entry = self.metadata["roles"].get(role)
        if entry is None:
            again = f"import it again with one: mystyle prior import --{role} FILE ..., or use another prior"
            raise ModelError(
                f"prior {self.name} has no {role} (it has {', '.join(self.roles)})",
                again if role in IMPORTED else "use another prior; those that come with mystyle have one",
            )
        return self._check(entry)

    def arrays(self, role: str) -> dict[str, NDArray[np.generic]]:
        """The arrays of a role's safetensors file, as they are stored, without torch; raises ModelError."""
        path = self.file(role)
        try:
            return read_tensors(path, LARGEST_NET, _beneath(self.path))[0]
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ModelError(f"prior {self.name}: {path.name} cannot be read: {reason}", AGAIN) from error

    def generator(self) -> Generator:
        """A fresh copy of G_d in eval mode, no gradients kept for its weights."""
        from mystyle_cli.nets.generator import load_generator

        if self._generator is None:
            path = self.file("generator")
            generator = load_generator(path)
            if (generator.resolution, generator.w_dim, generator.num_ws) != (
                self.resolution,
                self.w_dim,
                self.num_ws,
            ):
                raise ModelError(f"{path} has other sizes than prior.toml says", AGAIN)
            self._generator = generator
        return self._generator.frozen().to(self.device.torch)

    def perceptual(self) -> Perceptual:
        """The perceptual net."""
        from mystyle_cli.nets.perceptual import load_perceptual

        return load_perceptual(self.file("perceptual")).to(self.device.torch)

    def encode(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Codes w (B, w_dim) of aligned images (B, 3, R, R) in [-1, 1]."""
        return self._refuse_odd("encoder", self._run("encoder", images), (len(images), self.w_dim))

    def embed(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Identity embeddings (B, D), rows of unit length, of aligned images (B, 3, R, R) in [-1, 1].

        A prior without an identity net takes dlib's descriptors, which know real faces. Their cosines lie
        close together; every threshold is learned from the person's own photos, so that this does not matter.
        """
        import numpy as np

        known = "identity" in self.roles
        rows = self._run("identity", images) if known else _describe(images, self.crop)
        self._refuse_odd("identity", rows, (len(images), *rows.shape[-1:]))
        norms = np.linalg.norm(rows, axis=1, keepdims=True).astype(np.float32)
        unit: NDArray[np.float32] = rows / np.maximum(norms, np.float32(1e-12))
        return unit

    def matte(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """How much of each pixel is the person, (B, R, R) in [0, 1], of aligned images (B, 3, R, R)."""
        mattes = self._run("matte", images)
        shape = (len(images), self.resolution, self.resolution)
        flat = mattes.reshape(shape) if mattes.size == math.prod(shape) else mattes
        return self._refuse_odd("matte", flat, shape).clip(0, 1)

    def cover(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """How much of each of `FACE_PARTS` something hides, (B, parts) in [0, 1], of aligned images."""
        return self._refuse_odd("cover", self._run("cover", images), (len(images), len(FACE_PARTS)))

    def directions(self) -> dict[str, Direction]:
        """Semantic directions by name."""
        from mystyle_cli.prior.directions import load_direction

        entries = self.metadata.get("directions", {})
        return {name: load_direction(self._check(entry)) for name, entry in entries.items()}

    def verify(self) -> list[ModelError]:
        """Return what is wrong with the prior.

        Empty when every file is there and unchanged, and every net, used once, gives what its role should.
        """
        problems: list[ModelError] = []
        for entry in _entries(self.metadata):
            self._checked.discard(entry["file"])
            try:
                self._check(entry)
            except ModelError as error:
                problems.append(error)
        return problems or self.on(CPU)._use_all()

    def _use_all(self) -> list[ModelError]:
        import numpy as np

        grey = np.zeros((1, 3, self.resolution, self.resolution), np.float32)
        uses: dict[str, Callable[[], object]] = {
            "generator": self._draw,
            "encoder": lambda: self.encode(grey),
            "perceptual": lambda: self._compare(grey),
            "identity": lambda: self.embed(grey),
            "matte": lambda: self.matte(grey),
            "cover": lambda: self.cover(grey),
        }
        problems: list[ModelError] = []
        for what, use in [*((role, uses[role]) for role in self.roles), ("directions", self.directions)]:
            try:
                use()
            except ModelError as error:
                problems.append(error)
            except Exception as error:  # of torch and onnxruntime, which share no base class
                message = f"prior {self.name}: its {what} cannot be used: {reason_of(error)}"
                problems.append(ModelError(message, AGAIN))
        return problems

    def _draw(self) -> None:
        import torch

        net = self.generator()
        with torch.no_grad():
            image = net.synthesis(torch.zeros(1, net.num_ws, net.w_dim), noise="const")
        self._refuse_odd("generator", image.numpy(), (1, 3, self.resolution, self.resolution))

    def _compare(self, images: NDArray[np.float32]) -> None:
        import torch

        given = torch.from_numpy(images)
        with torch.no_grad():
            distance = self.perceptual().distance(given, given)
        self._refuse_odd("perceptual", distance.numpy(), (len(images),))

    def _refuse_odd(
        self, role: str, answer: NDArray[np.float32], shape: tuple[int, ...] | None = None
    ) -> NDArray[np.float32]:
        """Return what a net answered, after seeing that it is what its role should give."""
        if (shape is not None and answer.shape != shape) or not sound_answer(answer):
            odd = (
                f"shape {answer.shape}"
                if shape is not None and answer.shape != shape
                else "no finite numbers"
            )
            raise ModelError(f"prior {self.name}: its {role} net gives {odd}", AGAIN)
        return answer

    def _check(self, entry: dict[str, Any]) -> Path:
        path: Path = self.path / str(entry["file"])
        if entry["file"] in self._checked:
            return path
        try:
            digest = digest_of(path, LARGEST_NET, _beneath(self.path))
        except FileNotFoundError as error:
            raise ModelError(f"prior {self.name}: {entry['file']} is missing", AGAIN) from error
        except OSError as error:
            raise ModelError(
                f"prior {self.name}: {entry['file']} cannot be read: {error.strerror}", AGAIN
            ) from error
        if digest != entry["sha256"]:
            raise ModelError(
                f"prior {self.name}: {entry['file']} is not the file that prior.toml names", AGAIN
            )
        self._checked.add(entry["file"])
        return path

    def _run(self, role: str, images: NDArray[np.float32]) -> NDArray[np.float32]:
        from mystyle_cli.nets.sessions import open_session

        expected = (3, self.resolution, self.resolution)
        if images.ndim != 4 or images.shape[1:] != expected:
            raise ValueError(f"{role} takes images (B, {', '.join(map(str, expected))}), not {images.shape}")
        key = role, self.device.wanted
        if key not in self._sessions:
            batch = at_once(self.resolution, 32)
            self._sessions[key] = open_session(self.file(role), self.device, batch=batch, helper=True)
        return self._sessions[key].run(images)


def open_prior(name_or_path: str | Path) -> Prior:
    """Open a bundled or imported prior by name, or a folder with a prior.toml.

    Raises:
        ModelError: there is no such prior, or its prior.toml is damaged or newer than this program.
    """
    named = [root / str(name_or_path) for root in _roots()]
    named.append(priors_root() / f"{REPLACED}{name_or_path}")
    # a folder here that is called like a prior must not take its place: ./faces names the folder
    bare = isinstance(name_or_path, str) and Path(name_or_path).name == name_or_path
    folders = [*named, Path(name_or_path)] if bare else [Path(name_or_path), *named]
    folder = next((each for each in folders if _is_there(each / "prior.toml")), Path(name_or_path))
    try:
        raw = read_file(folder / "prior.toml", LARGEST_TOML, _beneath(folder))
    except OSError as error:
        if isinstance(error, FileNotFoundError) or not folder.is_dir():
            known = ", ".join([*bundled_priors(), *imported_priors()]) or "none"
            raise ModelError(
                f"no prior {shown(str(name_or_path))} (there: {known})",
                "give a name or a folder; `mystyle prior import` and `mystyle prior fetch` bring others",
            ) from error
        raise ModelError(
            f"{folder / 'prior.toml'} cannot be read: {error.strerror}", "restore or fetch the prior again"
        ) from error
    try:
        document = toml_of(raw)
        version = document.get("format")
        if isinstance(version, int) and version > FORMAT:
            raise ModelError(f"{folder / 'prior.toml'} has a format newer than {FORMAT}", "update mystyle")
        crop = _crop(document)
        limits = read_limits(document)
        metadata = FIELDS.read(document)
        digest = _digest(raw, metadata, crop)
    except MystyleError:
        raise
    except ValueError as error:
        raise ModelError(
            f"{folder / 'prior.toml'} is damaged: {error}", "restore or fetch the prior again"
        ) from error
    metadata |= {table: document[table] for table in ("crop", "identity") if table in document}
    return Prior(path=folder, digest=digest, metadata=metadata, crop=crop, identity_limits=limits)


def _is_there(path: Path) -> bool:
    """Tell whether something of a name is there, whatever it is; a name that no file can have is not."""
    try:
        return os.path.lexists(path)
    except ValueError:
        return False


def _beneath(folder: Path) -> Path | None:
    """Return the folder below which no link is followed; what was installed may itself be made of links."""
    return None if folder.parent == BUNDLED else folder


def _crop(metadata: dict[str, Any]) -> Crop:
    """Return the crop that prior.toml names; that of FFHQ where it names none."""
    from mystyle_cli.faces.align import FFHQ, Crop

    if "crop" not in metadata:
        return FFHQ
    table = metadata["crop"]
    if not isinstance(table, dict) or set(table) != {"scale", "down"}:
        raise ValueError(f"crop is {shown(table)}, not {{scale = NUMBER, down = NUMBER}}")
    for key, value in table.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"crop's {key} is {shown(value)}, not a number")
    try:
        return Crop(float(table["scale"]), float(table["down"]))
    except (ValueError, OverflowError) as error:
        raise ValueError(f"crop's {error}") from error


def _entries(metadata: dict[str, Any]) -> list[dict[str, Any]]:
    return [*metadata["roles"].values(), *metadata.get("directions", {}).values()]


def _digest(raw: bytes, metadata: dict[str, Any], crop: Crop) -> str:
    """Return what profiles know a prior by.

    That is the digest of its prior.toml; or, where that says `known_by = "roles"`, of the digests of its
    roles, so that the same files imported again, with other notes or terms, are the same prior. With another
    crop they are not: a person's reference set was cut for the one.
    """
    from mystyle_cli.faces.align import FFHQ

    if metadata.get("known_by") == "roles":
        roles = sorted((role, str(entry["sha256"])) for role, entry in metadata["roles"].items())
        if crop != FFHQ:
            roles.append(("crop", repr((crop.scale, crop.down))))
        raw = repr(roles).encode()
    return hashlib.sha256(raw).hexdigest()


def bundled_priors() -> list[str]:
    """Names of the priors that came with the program."""
    return sorted(path.parent.name for path in BUNDLED.glob("*/prior.toml"))


def imported_priors() -> list[str]:
    """Names of the priors that the user imported or fetched."""
    folders = [path.parent.name for path in priors_root().glob("*/prior.toml") if not path.is_dir()]
    names = {folder.removeprefix(REPLACED) for folder in folders}
    return sorted(name for name in names if not name.startswith("."))


def found_by_name(folder: Path) -> bool:
    """Tell whether a prior's folder is found by its name alone, wherever the user's files are moved."""
    return folder.resolve().parent in [root.resolve() for root in _roots()]


def _roots() -> tuple[Path, ...]:
    return BUNDLED, priors_root()


def _describe(images: NDArray[np.float32], crop: Crop) -> NDArray[np.float32]:
    """Return dlib's descriptors (B, 128) of aligned images (B, 3, R, R)."""
    import numpy as np

    from mystyle_cli.faces.face import aligned_face, describe

    pixels = np.rint((images.transpose(0, 2, 3, 1).clip(-1, 1) + 1) * 127.5).astype(np.uint8)
    rows = [describe(face, aligned_face(face, crop)) for face in map(np.ascontiguousarray, pixels)]
    return np.asarray(rows, np.float32).reshape(-1, 128)


def sha256_of(path: Path) -> str:
    """Digest of a file that the user named, in hexadecimal."""
    return digest_of(path, LARGEST_NET)
