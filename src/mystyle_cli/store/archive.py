"""A profile as one file, to be carried to another machine: a zip of its tensors, nets, pictures and tables.

    profile.toml    what the profile says of itself, and the sha256 of every other member
    photos.jsonl, anchors.safetensors, generator.safetensors, onnx/..., faces/...    as in a store

Members are stored as they are, not compressed, so that the file is as large as what is in it: nothing can
swell. Nothing that a file says is believed: it is taken only if it is exactly what is written here, member by
member, before the store is touched; then it becomes a profile at one instant, as any other change does.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import struct
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from mystyle_cli.errors import MystyleError, ProfileError
from mystyle_cli.files.owned import UnsafeNameError, inside
from mystyle_cli.files.reading import open_file
from mystyle_cli.person.files import tensor_bytes
from mystyle_cli.person.layout import CONTACT_SHEET, PHOTOS, REFERENCES, data_name
from mystyle_cli.person.manifest import NAME, Manifest, mark_of, read_manifest
from mystyle_cli.person.migrations import NewerFormatError
from mystyle_cli.person.profile import Profile
from mystyle_cli.person.reference import FACES, counts_of, write_records
from mystyle_cli.store.check import refuse_unusable

if TYPE_CHECKING:
    from mystyle_cli.prior.registry import Prior
    from mystyle_cli.store.draft import Draft
    from mystyle_cli.store.store import Store

SUFFIX: Final = ".mystyle"
LARGEST: Final = (4 << 30) - 1  # bytes of the largest file; a zip of the plain kind has no more
MOST_MEMBERS: Final = 20_000
MOST_LISTED: Final = 4 << 20  # bytes of the list of members at the end of the file
_TABLE: Final = 16 << 20  # bytes of the largest member that is a table or a list

# the last record of a zip without a comment: mark, disks, members (twice), size and place of the list
_END: Final = struct.Struct("<4s4H2LH")

# the time of every member: when and where a file was made is nobody's business
_ONCE: Final = (1980, 1, 1, 0, 0, 0)

_HINT: Final = "Take what `mystyle profile export` wrote, as it wrote it; copy the file again."
_MEMBER: Final = stat.S_IFREG | 0o600


def pack(profile: Profile, *, photos: bool = True) -> bytes:
    """Return a profile as one file.

    Args:
        photos: with the aligned faces and the names of photos; without them nothing can be learned anew, but
            everything drawn.

    Raises:
        ProfileError: a file of it is missing or damaged, or it is too large.
    """
    names = [name for name in profile.manifest.digests() if data_name(name)]
    files = {name: profile.file(name).read_bytes() for name in names}
    # no folder of this machine
    manifest = replace(profile.manifest, prior=replace(profile.manifest.prior, location=""))
    if not photos:
        manifest, files = _without_photos(profile, manifest, files)
    content = {NAME: manifest.to_toml().encode(), **files}
    if sum(map(len, content.values())) > LARGEST - MOST_LISTED:
        raise ProfileError(f"profile '{profile.name}' is too large for one file", "Copy its folder instead.")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in content.items():
            member = zipfile.ZipInfo(name, _ONCE)
            member.create_system = 3  # Unix, wherever it is made: one profile, one file
            member.external_attr = _MEMBER << 16
            archive.writestr(member, data)
    return buffer.getvalue()


def _without_photos(
    profile: Profile, manifest: Manifest, files: Mapping[str, bytes]
) -> tuple[Manifest, dict[str, bytes]]:
    """Leave out every picture, and what is said of photos but for their digests and their part."""
    kept = [record for record in profile.records if record.kept]
    bare = [
        replace(record, file=f"photo {number}", detail="not in the file", scores={}, face=None)
        for number, record in enumerate(kept, 1)
    ]
    new = {PHOTOS: write_records(bare)}
    if REFERENCES not in files:  # of a profile that was made before they were kept
        embeddings = {"embeddings": profile.reference_embeddings()}
        new[REFERENCES] = tensor_bytes(embeddings, {"prior": manifest.prior.sha256})
    gone = {name for name in files if name.startswith(f"{FACES}/") or name == CONTACT_SHEET}
    tables = {
        stage: {name: digest for name, digest in table.items() if name not in gone}
        for stage, table in manifest.files.items()
    }
    for stage, name in (("curate", PHOTOS), ("measure", REFERENCES)):
        if name in new:
            tables.setdefault(stage, {})[name] = hashlib.sha256(new[name]).hexdigest()
    # no folder of photos is what this was curated from any more, so that nothing is taken for done
    stages = {**manifest.stages, "curate": {**manifest.stages["curate"], "inputs": ""}}
    left = {name: data for name, data in files.items() if name not in gone} | new
    return replace(manifest, files=tables, stages=stages, counts=counts_of(bare)), left


def import_profile(store: Store, source: Path, name: str, prior: Prior | str | None = None) -> Profile:
    """Make a profile of a file that `pack` wrote, at one instant.

    Args:
        prior: its domain prior, open or by name or folder; None takes the one of the name that the file says.

    Raises:
        ProfileError: the file is not whole, holds what no profile has, or another profile has that name.
        ModelError: there is no such prior.
    """
    with _reading(source) as archive:
        opened = _prior_of(archive.manifest, source, prior)
        manifest = replace(archive.manifest, prior=mark_of(opened))
        with store.locked(name):
            draft = _fresh_draft(store, name)
            try:
                for member, data in archive.contents():
                    draft.write(member, data)
                _check(source, Profile(draft.payload, manifest, opened))
                draft.commit(manifest)
            except BaseException:  # Ctrl-C, too: no half may stay
                draft.discard()
                raise
        return Profile(draft.folder, manifest, opened)


def _fresh_draft(store: Store, name: str) -> Draft:
    """Return a draft with nothing in it."""
    draft = store.draft(name)
    if draft.current is not None or draft.learning:
        raise ProfileError(f"there is a '{draft.folder.name}' already in {store.root}", "Give another name.")
    if draft.folder.exists():  # what a killed import left
        draft.discard()
        draft = store.draft(name)
    return draft


def _prior_of(manifest: Manifest, source: Path, prior: Prior | str | None) -> Prior:
    """Open the prior that a profile belongs to, which must be the very one."""
    from mystyle_cli.files.paths import check_name
    from mystyle_cli.prior.registry import open_prior

    mark = manifest.prior
    if prior is None:
        prior = check_name(mark.name, "prior")  # a name of the file's never is a way to a folder
    opened = open_prior(prior) if isinstance(prior, str) else prior
    if mark_of(opened) != replace(mark, name=opened.name, location=mark_of(opened).location):
        raise ProfileError(
            f"{source} belongs to prior '{mark.name}' {mark.sha256[:12]}, but '{opened.name}' here is "
            f"{opened.digest[:12]}",
            "Import or fetch the version of the prior that it was tuned from, or name it with --prior.",
        )
    return opened


def _check(source: Path, made: Profile) -> None:
    """Use everything once that a file's members became, before they are a profile."""
    from mystyle_cli.foreign.onnx_files import refuse_files_beside

    try:
        for name in made.manifest.digests():
            if name.endswith(".onnx"):
                refuse_files_beside(made.path / name)  # before onnxruntime opens it, and them
        refuse_unusable(made)
    except MystyleError as error:
        raise _refused(source, error.message.replace(f"{made.path}{os.sep}", "")) from error


def _refused(source: Path, why: str) -> ProfileError:
    return ProfileError(f"{source} is no profile that can be taken: {why}", _HINT)


@dataclass(frozen=True)
class _Archive:
    """A file whose members are all what they should be."""

    source: Path
    manifest: Manifest
    members: Mapping[str, zipfile.ZipInfo]
    _zip: zipfile.ZipFile

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """Yield name and content of each member but the manifest, as the manifest has it."""
        digests = self.manifest.digests()
        for name, member in self.members.items():
            data = self._zip.read(member)
            if hashlib.sha256(data).hexdigest() != digests[name]:
                raise _refused(self.source, f"{name} is not what its list says (its digest differs)")
            yield name, data


@contextmanager
def _reading(source: Path) -> Iterator[_Archive]:
    """Open a file and check every member; raises ProfileError for whatever is wrong with it."""
    try:
        with open_file(source, LARGEST) as stream:
            _check_end(source, stream)
            with zipfile.ZipFile(stream) as opened:
                members = _checked(source, opened)
                manifest = _manifest(source, opened.read(members.pop(NAME)))
                if members.keys() != manifest.digests().keys():
                    odd = sorted(members.keys() ^ manifest.digests().keys())[0]
                    raise _refused(source, f"{odd} is in the file or in its list, but not in both")
                archive = _Archive(source, manifest, members, opened)
                for _ in archive.contents():  # all of it is right before any of it is used
                    pass
                yield archive
    except OSError as error:
        if error.filename not in (None, str(source)):  # of another file, while the archive was in use
            raise
        raise ProfileError(
            f"{source} cannot be read: {error.strerror or error}", "Check the path."
        ) from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, UnicodeError) as error:
        raise _refused(source, f"it is damaged ({error})") from error


def _check_end(source: Path, stream: BinaryIO) -> None:
    """See that the list of members is where it should be, before a library makes room for it."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(size - _END.size, 0))
    tail = stream.read()
    if len(tail) != _END.size or not tail.startswith(b"PK\5\6"):
        raise _refused(source, "it is cut off, or no zip")
    _, disk, first, here, count, length, place, comment = _END.unpack(tail)
    whole = place + length + _END.size == size and (disk, first, comment) == (0, 0, 0) and here == count
    if not whole or count > MOST_MEMBERS or length > MOST_LISTED:
        raise _refused(source, "its list of members is not where or as long as it should be")


def _checked(source: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the members by name; each has a name that profiles have, is a plain file and lies by itself."""
    members: dict[str, zipfile.ZipInfo] = {}
    end = 0
    for member in sorted(archive.infolist(), key=lambda member: member.header_offset):
        name = member.orig_filename  # `filename` ends at the first zero byte
        try:
            known = data_name(inside(name))
        except UnsafeNameError as error:
            raise _refused(source, str(error)) from error
        kind = stat.S_IFMT(member.external_attr >> 16)  # 0: written where files have no modes
        problem = ""
        if not known or name != member.filename:
            problem = "is no file that a profile has"
        elif name in members:  # names of profiles differ in more than case
            problem = "is in it twice"
        elif kind not in (0, stat.S_IFREG) or member.is_dir():
            problem = "is a link or a folder"
        # 0x41: encrypted, in the old way or the strong one
        elif member.flag_bits & 0x41 or member.compress_type != zipfile.ZIP_STORED:
            problem = "is compressed or encrypted"
        elif member.file_size != member.compress_size or member.header_offset < end:
            problem = "is larger than it says, or lies within another"
        elif name.endswith((".toml", ".jsonl")) and member.file_size > _TABLE:
            problem = "is far too large"
        if problem:
            raise _refused(source, f"{name} {problem}")
        # 30: a local header without its names
        end = member.header_offset + 30 + len(name) + member.compress_size
        members[name] = member
    if NAME not in members:
        raise _refused(source, f"it has no {NAME}")
    return members


def _manifest(source: Path, data: bytes) -> Manifest:
    """Read `profile.toml` as from a profile."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, NAME).write_bytes(data)
        try:
            return read_manifest(Path(folder), staged=False)
        except NewerFormatError as error:
            raise ProfileError(
                error.message.replace(str(Path(folder, NAME)), str(source)), error.hint
            ) from error
        except ProfileError as error:
            raise _refused(source, error.message.replace(folder + os.sep, "")) from error
