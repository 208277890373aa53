"""Priors as folders: `prior.toml` and one file for each role.

Source: paper sec. 3.1 (G_d and its helpers).
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mystyle_cli.errors import ModelError, MystyleError
from mystyle_cli.owned import inside
from mystyle_cli.paths import priors_root
from mystyle_cli.prior.batches import at_once
from mystyle_cli.prior.limits import IdentityLimits, read_limits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mystyle_cli.photos.align import Crop
    from mystyle_cli.prior.directions import Direction
    from mystyle_cli.prior.generator import Generator
    from mystyle_cli.prior.perceptual import Perceptual
    from mystyle_cli.prior.sessions import Session

BUNDLED = Path(__file__).parent / "bundled"
FORMAT = 1
AGAIN = "install mystyle again, or import or fetch the prior again"
REPLACED = ".replaced-"
"""Begins the name of a prior's folder while another one takes its place, and until that is there."""

ROLES = ("generator", "encoder", "perceptual", "identity", "matte", "cover")
FACE_PARTS = ("left eye", "right eye", "nose", "mouth", "left cheek", "right cheek")
"""What the cover role's answers are about, in this order; left and right are the picture's."""


@dataclass
class Prior:
    """A domain prior on disk; nets are opened when first asked for, their digests checked then.

    Args:
        path: the folder.
        digest: what profiles know it by; see `_digest`.
        metadata: what prior.toml says.
        crop: which square about a face its pictures show, and all its nets take.
        identity_limits: what its identity net was found to tell apart, where it was judged on real people.
    """

    path: Path
    digest: str
    metadata: dict[str, Any]
    crop: Crop
    identity_limits: IdentityLimits | None = None
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

    def file(self, role: str) -> Path:
        """Path of a role's file, its digest checked once.

        Raises:
            ModelError: the prior lacks the role, or the file is missing or changed.
        """
        entry = self.metadata["roles"].get(role)
        if entry is None:
            raise ModelError(
                f"prior {self.name} has no {role} (it has {', '.join(self.roles)})",
                f"import it again with one: mystyle prior import --{role} FILE ..., or use another prior",
            )
        return self._check(entry)

    def generator(self, device: str = "cpu") -> Generator:
        """A fresh copy of G_d in eval mode, no gradients kept for its weights."""
        from mystyle_cli.prior.generator import load_generator

        if self._generator is None:
            self._generator = load_generator(self.file("generator"))
        return self._generator.frozen().to(device)

    def perceptual(self, device: str = "cpu") -> Perceptual:
        """The perceptual net."""
        from mystyle_cli.prior.perceptual import load_perceptual

        return load_perceptual(self.file("perceptual")).to(device)

    def encode(self, images: NDArray[np.float32], device: str = "cpu") -> NDArray[np.float32]:
        """Codes w (B, w_dim) of aligned images (B, 3, R, R) in [-1, 1]."""
        return self._run("encoder", images, device)

    def embed(self, images: NDArray[np.float32], device: str = "cpu") -> NDArray[np.float32]:
        """Identity embeddings (B, D), rows of unit length, of aligned images (B, 3, R, R) in [-1, 1].

        A prior without an identity net takes dlib's descriptors, which know real faces. Their cosines lie
        close together; every threshold is learned from the person's own photos, so that this does not matter.
        """
        import numpy as np

        known = "identity" in self.roles
        rows = self._run("identity", images, device) if known else _describe(images, self.crop)
        norms = np.linalg.norm(rows, axis=1, keepdims=True).astype(np.float32)
        unit: NDArray[np.float32] = rows / np.maximum(norms, np.float32(1e-12))
        return unit

    def matte(self, images: NDArray[np.float32], device: str = "cpu") -> NDArray[np.float32]:
        """How much of each pixel is the person, (B, R, R) in [0, 1], of aligned images (B, 3, R, R)."""
        mattes = self._run("matte", images, device)
        return mattes.reshape(len(images), self.resolution, self.resolution).clip(0, 1)

    def cover(self, images: NDArray[np.float32], device: str = "cpu") -> NDArray[np.float32]:
        """How much of each of `FACE_PARTS` something hides, (B, parts) in [0, 1], of aligned images."""
        return self._run("cover", images, device)

    def directions(self) -> dict[str, Direction]:
        """Semantic directions by name."""
        from mystyle_cli.prior.directions import load_direction

        entries = self.metadata.get("directions", {})
        return {name: load_direction(self._check(entry)) for name, entry in entries.items()}

    def verify(self) -> list[str]:
        """Problems of the folder, one sentence each; empty when every file is there and unchanged."""
        problems = []
        for entry in _entries(self.metadata):
            self._checked.discard(entry["file"])
            try:
                self._check(entry)
            except ModelError as error:
                problems.append(error.message)
        return problems

    def _check(self, entry: dict[str, Any]) -> Path:
        path: Path = self.path / str(entry["file"])
        if entry["file"] in self._checked:
            return path
        if not path.is_file():
            raise ModelError(f"prior {self.name}: {entry['file']} is missing", AGAIN)
        if sha256_of(path) != entry["sha256"]:
            raise ModelError(
                f"prior {self.name}: {entry['file']} is not the file that prior.toml names", AGAIN
            )
        self._checked.add(entry["file"])
        return path

    def _run(self, role: str, images: NDArray[np.float32], device: str) -> NDArray[np.float32]:
        from mystyle_cli.prior.sessions import open_session

        expected = (3, self.resolution, self.resolution)
        if images.ndim != 4 or images.shape[1:] != expected:
            raise ValueError(f"{role} takes images (B, {', '.join(map(str, expected))}), not {images.shape}")
        if (role, device) not in self._sessions:
            batch = at_once(self.resolution, 32)
            self._sessions[role, device] = open_session(self.file(role), device, batch=batch)
        return self._sessions[role, device].run(images)


def open_prior(name_or_path: str | Path) -> Prior:
    """Open a prior.

    Args:
        name_or_path: name of a bundled or imported prior, or a folder with a prior.toml.

    Raises:
        ModelError: there is no such prior, or its prior.toml is damaged or newer than this program.
    """
    named = [root / str(name_or_path) for root in _roots()]
    named.append(priors_root() / f"{REPLACED}{name_or_path}")
    # a folder here that is called like a prior must not take its place: ./faces names the folder
    bare = isinstance(name_or_path, str) and Path(name_or_path).name == name_or_path
    places = [*named, Path(name_or_path)] if bare else [Path(name_or_path), *named]
    folder = next((place for place in places if (place / "prior.toml").is_file()), Path(name_or_path))
    try:
        raw = (folder / "prior.toml").read_bytes()
    except OSError as error:
        known = ", ".join([*bundled_priors(), *imported_priors()]) or "none"
        raise ModelError(
            f"no prior {str(name_or_path)!r} (there: {known})",
            "give a name or a folder; `mystyle prior import` and `mystyle prior fetch` bring others",
        ) from error
    try:
        metadata = tomllib.loads(raw.decode())
        found = metadata["format"]
        if found > FORMAT:
            raise ModelError(
                f"{folder / 'prior.toml'} has format {found}, newer than {FORMAT}", "update mystyle"
            )
        for key in ("name", "resolution", "w_dim", "num_ws", "roles"):
            metadata[key]
        crop = _crop(metadata)
        limits = read_limits(metadata)
        for entry in _entries(metadata):
            inside(entry["file"])
        digest = _digest(raw, metadata, crop)
    except MystyleError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # tomllib's errors are ValueErrors
        raise ModelError(
            f"{folder / 'prior.toml'} is damaged: {error}", "restore or fetch the prior again"
        ) from error
    return Prior(path=folder, digest=digest, metadata=metadata, crop=crop, identity_limits=limits)


def _crop(metadata: dict[str, Any]) -> Crop:
    """Return the crop that prior.toml names; that of FFHQ where it names none.

    Raises:
        ValueError: what it names is none.
    """
    from mystyle_cli.photos.align import FFHQ, Crop

    if "crop" not in metadata:
        return FFHQ
    found = metadata["crop"]
    if not isinstance(found, dict) or set(found) != {"scale", "down"}:
        raise ValueError(f"crop is {found!r}, not {{scale = NUMBER, down = NUMBER}}")
    for key, value in found.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"crop's {key} is {value!r}, not a number")
    try:
        return Crop(float(found["scale"]), float(found["down"]))
    except (ValueError, OverflowError) as error:
        raise ValueError(f"crop's {error}") from error


def _entries(metadata: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what prior.toml says of each file."""
    return [*metadata["roles"].values(), *metadata.get("directions", {}).values()]


def _digest(raw: bytes, metadata: dict[str, Any], crop: Crop) -> str:
    """Return what profiles know a prior by.

    That is the digest of its prior.toml; or, where that says `known_by = "roles"`, of the digests of its
    roles, so that the same files imported again, with other notes or terms, are the same prior. With another
    crop they are not: a person's reference set was cut for the one.
    """
    from mystyle_cli.photos.align import FFHQ

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
    folders = [path.parent.name for path in priors_root().glob("*/prior.toml")]
    names = {folder.removeprefix(REPLACED) for folder in folders}
    return sorted(name for name in names if not name.startswith("."))


def found_by_name(folder: Path) -> bool:
    """Tell whether a prior's folder is found by its name alone, wherever the user's files are moved."""
    return folder.resolve().parent in [root.resolve() for root in _roots()]


def _roots() -> tuple[Path, ...]:
    """Return the folders of priors that go by name."""
    return BUNDLED, priors_root()


def _describe(images: NDArray[np.float32], crop: Crop) -> NDArray[np.float32]:
    """Return dlib's descriptors (B, 128) of aligned images (B, 3, R, R)."""
    import numpy as np

    from mystyle_cli.photos.faces import aligned_face, describe

    pixels = np.rint((images.transpose(0, 2, 3, 1).clip(-1, 1) + 1) * 127.5).astype(np.uint8)
    rows = [describe(face, aligned_face(face, crop)) for face in map(np.ascontiguousarray, pixels)]
    return np.asarray(rows, np.float32).reshape(-1, 128)


def sha256_of(path: Path) -> str:
    """Digest of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
