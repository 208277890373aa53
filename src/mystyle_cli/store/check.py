"""Whether a profile can be used: everything in it read, and every net of it asked once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.errors import MystyleError, ProfileError, reason_of
from mystyle_cli.files.documents import Number, Record, Table, Whole
from mystyle_cli.files.parsing import DocumentError, lines_of, toml_of
from mystyle_cli.instant import net as instant_net
from mystyle_cli.person.layout import (
    FOLDER,
    HALF,
    LOSS_TABLE,
    PARITY,
    SYNTHESIS,
    digest_of_data,
    is_there,
    read_data,
)
from mystyle_cli.person.reference import read_face
from mystyle_cli.prior.registry import ROLES

if TYPE_CHECKING:
    from mystyle_cli.person.profile import Profile

FloatArray = NDArray[np.float32]

_AGAIN: Final = "Create the profile again from its photos."
_RECORD: Final = "It is only a record of the tuning: restore it from a backup, or remove it."
_PARITY: Final = Record({"format": Whole(1), "largest_difference": Table(Number(0))})


def check_profile(profile: Profile) -> list[MystyleError]:
    """Read everything of a profile whose digests are right, and use each net once; returns what is wrong."""
    problems: list[MystyleError] = []
    for what, look in _looks(profile):
        try:
            look()
        except MystyleError as error:
            problems.append(error)
        except Exception as error:  # of torch, onnxruntime and Pillow, which share no base class
            problems.append(
                ProfileError(
                    f"{what} of profile '{profile.name}' cannot be used: {reason_of(error)}",
                    "Restore it from a backup, or create the profile again.",
                )
            )
        if problems and what in ("photos.jsonl", "the prior", "anchors.safetensors"):
            break  # what follows needs them
    return problems


def refuse_unusable(profile: Profile) -> None:
    """Use everything of a profile once; raises the first of what `check_profile` finds."""
    for problem in check_profile(profile):
        raise problem


def _looks(profile: Profile) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield name and use of each part, those first that others depend on."""
    listed = profile.manifest.digests()
    yield "photos.jsonl", lambda: profile.records
    yield LOSS_TABLE, lambda: _look_at_curve(profile)
    yield "faces", lambda: _look_at_faces(profile)
    yield "anchors.safetensors", profile.anchors
    yield "the prior", lambda: _look_at_prior(profile)
    yield "references.safetensors", lambda: _look_at_references(profile)
    if profile.tuned:
        yield "generator.safetensors", lambda: _look_at_generator(profile)
    for name in (SYNTHESIS, HALF):
        if f"{FOLDER}/{name}" in listed:
            yield name, lambda name=name: _look_at_export(profile, f"{FOLDER}/{name}")  # type: ignore[misc]
    for role in ROLES:
        if f"{FOLDER}/{role}.onnx" in listed:
            yield role, lambda role=role: _look_at_copy(profile, role)  # type: ignore[misc]
    if f"{FOLDER}/{PARITY}" in listed:
        yield PARITY, lambda: _look_at_parity(profile)
    if instant_net.instant_state(profile.manifest) == "fresh":
        yield "the net for instant answers", lambda: _look_at_instant(profile)


def _look_at_faces(profile: Profile) -> None:
    for record in profile.records:
        if record.face is not None:
            read_face(profile.file(record.face), profile.manifest.prior.resolution, profile.path)


def _look_at_prior(profile: Profile) -> None:
    for problem in profile.prior.verify():
        raise ProfileError(problem.message, f"See what to do: mystyle prior verify {profile.prior.name}")


def _look_at_references(profile: Profile) -> None:
    """Compare the first face with the reference set, to which it belongs."""
    record = profile.photos()[0] if profile.photos() else None
    if record is None:
        raise ProfileError(f"profile '{profile.name}' has no photos to know the person by", _AGAIN)
    if not profile.has_faces:  # it came without them
        profile.reference_embeddings()
        return
    pixels = read_face(profile.file(str(record.face)), profile.manifest.prior.resolution, profile.path)
    face = (pixels.transpose(2, 0, 1)[None] / 127.5 - 1).astype(np.float32)
    profile.id_score(face)
    whose = {record.person for record in profile.records if record.kept}
    if profile.people and whose != set(profile.people):
        raise ProfileError(f"profile '{profile.name}' has photos of others than it names", _AGAIN)
    for person in profile.people:
        if not profile.one(person).photos():
            raise ProfileError(f"profile '{profile.name}' has no photos to know '{person}' by", _AGAIN)
        _ = profile.one(person).id_threshold
    if not profile.people:
        _ = profile.id_threshold


def _look_at_generator(profile: Profile) -> None:
    from mystyle_cli.person.score import synthesise

    profile.refuse_odd("generator.safetensors", synthesise(profile.generator(), _codes(profile)))


def _look_at_export(profile: Profile, name: str) -> None:
    from mystyle_cli.nets.exported import open_synthesis

    w_dim, weights = profile.manifest.prior.w_dim, profile.left_out()
    net = open_synthesis(profile.file(name), w_dim, weights=weights)
    profile.refuse_odd(name, net.render(_codes(profile)))


def _codes(profile: Profile) -> FloatArray:
    """Return the first anchor as codes (1, num_ws, w_dim)."""
    return np.repeat(profile.anchors()[:1, None], profile.manifest.prior.num_ws, axis=1)


def _look_at_copy(profile: Profile, role: str) -> None:
    """See that an exported net that comes from the prior is the prior's, which is used with it."""
    name = f"{FOLDER}/{role}.onnx"
    entry = profile.prior.metadata["roles"].get(role, {})
    if profile.manifest.digests()[name] != entry.get("sha256"):
        raise ProfileError(
            f"{profile.path / name} is not the {role} net of prior '{profile.prior.name}'",
            f"Export it again: mystyle export {profile.name}",
        )


def _look_at_parity(profile: Profile) -> None:
    name = f"{FOLDER}/{PARITY}"
    try:
        _PARITY.read(toml_of(read_data(profile.path, name)))
    except DocumentError as error:
        raise ProfileError(
            f"{profile.path / name} is damaged: {error}", f"Export it again: mystyle export {profile.name}"
        ) from error


def _look_at_instant(profile: Profile) -> None:
    """Ask for a code and for eq 1 with its gradient, of a grey picture."""
    from mystyle_cli.nets.exported import Degraded, open_gradient

    mark, count = profile.manifest.prior, len(profile.anchors())
    side, shape = mark.resolution, (mark.num_ws, count)
    grey = np.zeros((1, 3, side, side), np.float32)
    answers = instant_net.open_instant(profile).alpha_plus(instant_net.whole(grey), 0.0)
    same = np.eye(side, dtype=np.float32)
    weights = profile.left_out()
    net = open_gradient(profile.file(instant_net.LOSS), profile.anchors(), weights=weights)
    photo = net.place(Degraded(same, same, np.ones((side, side), np.float32), grey[0]))
    loss, gradient = net.at(np.full(shape, 1 / count), photo)
    right = answers.shape == (1, *shape) and np.isfinite(answers).all()
    if not (right and np.isfinite(loss) and np.isfinite(gradient).all()):
        raise ProfileError(
            f"the nets for instant answers of profile '{profile.name}' give what is no answer",
            f"Train them again: mystyle tune {profile.name}",
        )


def _look_at_curve(profile: Profile) -> None:
    """Read the loss curve, where it is: a line of names, and finite numbers under them."""
    from mystyle_cli.tuning.settings import LossPoint

    if not is_there(profile.path, LOSS_TABLE):
        return  # a record, on which no work depends
    try:
        expected = profile.manifest.stages.get("tune", {}).get("loss_table")
        if expected is not None and digest_of_data(profile.path, LOSS_TABLE) != expected:
            raise DocumentError("it has changed since it was written (its digest differs)")
        names, *rows = (line.split(",") for line in lines_of(read_data(profile.path, LOSS_TABLE)) if line)
        if names != [part.name for part in dataclasses.fields(LossPoint)]:
            raise DocumentError("its first line names other columns")
        for number, row in enumerate(rows, 2):
            if len(row) != len(names) or not all(_finite(value) for value in row):
                raise DocumentError(f"line {number} does not hold {len(names)} finite numbers")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ProfileError(f"{profile.path / LOSS_TABLE} is damaged: {reason}", _RECORD) from error


def _finite(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False
