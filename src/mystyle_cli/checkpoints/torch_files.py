"""What torch.save writes: a zip archive or, before that, a row of pickles with raw values behind them.

Source: torch.serialization, both formats as documented there.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from typing import Any, BinaryIO, cast

from mystyle_cli.checkpoints.pickles import Machine
from mystyle_cli.checkpoints.storages import Storage
from mystyle_cli.checkpoints.vocabulary import Words
from mystyle_cli.checkpoints.windows import AGAIN, Budget, Refused, Window

MAGIC = 0x1950A86A20F9469CFC6C  # first value of the old format
PROTOCOL = 1001  # its second
DIRECTORY = 4 << 20  # bytes that an archive's list of entries may have; 1 200 tensors need 0.2 MB
LOCAL_HEADER = struct.Struct("<4s22xHH")  # of an entry: signature, lengths of name and extra field


class Bounded:
    """A file for zipfile that reads only as much at once as an archive's directory may need."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, count: int = -1) -> bytes:
        """Read at most `count` bytes; raises Refused where they are more than a directory has."""
        data = self._file.read(min(count, DIRECTORY + 1) if count >= 0 else DIRECTORY + 1)
        if len(data) > DIRECTORY:
            raise Refused("is an archive with far more entries than a checkpoint has")
        return data


def read_archive(file: BinaryIO, window: Window, budget: Budget) -> object:
    """The value that a zip archive of torch.save holds, tensors as views.

    Raises:
        Refused: it is another archive, damaged, or asks for what is not allowed.
    """
    entries = _entries(file, window)
    pickles = [name for name in entries if name.split("/")[-1] == "data.pkl"]
    if not pickles:
        raise Refused(*_other_archive(set(entries)))
    root = pickles[0].removesuffix("data.pkl")
    if len(pickles) > 1 or f"{root}constants.pkl" in entries:
        raise Refused("is a TorchScript program, not weights", "export its state_dict() where it was made")
    if f"{root}byteorder" in entries and entries[f"{root}byteorder"].take(3) != b"lit":
        raise Refused("holds numbers in another byte order", "save it anew on a little-endian machine")
    known: dict[str, Storage] = {}

    def storage(dtype: Any, key: str, count: int) -> Storage:
        entry = entries.get(f"{root}data/{key}")
        return _same(known, key, Storage(dtype, count, entry and entry.copy()))

    words = Words(budget, lambda inner: read_storage(inner, budget), storage)
    return Machine(entries[pickles[0]], budget, words).run()


def read_pickle(window: Window, budget: Budget) -> object:
    """The value of a bare pickle whose tensors are spelt as bytes, as stylegan2-ada-pytorch writes.

    Raises:
        Refused: it is damaged, or asks for what is not allowed.
    """
    words = Words(budget, lambda inner: read_storage(inner, budget), None)
    return Machine(window, budget, words).run()


def read_row(window: Window, budget: Budget) -> object:
    """The value that a file of torch's old format holds, tensors as views.

    Raises:
        Refused: it is damaged, or asks for what is not allowed.
    """
    return _row(window, budget, lambda inner: read_storage(inner, budget))


def read_storage(window: Window, budget: Budget) -> Storage:
    """The storage that a string of bytes within a pickle spells in torch's old format, alone.

    Raises:
        Refused: it is something else, or damaged.
    """
    storage = _row(window, budget, None)
    if not isinstance(storage, Storage):
        raise Refused("holds something else where a tensor's values should be")
    return storage


def _row(window: Window, budget: Budget, load_bytes: Callable[[Window], Storage] | None) -> object:
    known: dict[str, Storage] = {}
    head = Machine(window, budget, Words(budget, None, None))
    if head.run() != MAGIC or head.run() != PROTOCOL:
        raise Refused("is damaged: values lack torch's mark")
    system = head.run()
    if type(system) is not dict or system.get("little_endian") is not True:
        raise Refused("holds numbers in another byte order", "save it anew on a little-endian machine")

    def storage(dtype: Any, key: str, count: int) -> Storage:
        return _same(known, key, Storage(dtype, count))

    value = Machine(window, budget, Words(budget, load_bytes, storage)).run()
    keys = head.run()
    if type(keys) is not list or any(type(key) is not str for key in keys) or sorted(keys) != sorted(known):
        raise Refused("is damaged: its list of storages is not that of its tensors")
    for key in keys:
        declared = known[key]
        if (count := window.number("<q")) != declared.count:
            raise Refused(f"is damaged: a storage has {count:,} values where {declared.count:,} are declared")
        declared.window = window.part(count * declared.dtype.itemsize)
    return value


def _same(known: dict[str, Storage], key: str, storage: Storage) -> Storage:
    """The storage of this key: the one known already, which must agree."""
    first = known.setdefault(key, storage)
    if (first.dtype, first.count) != (storage.dtype, storage.count):
        raise Refused("is damaged: it declares one storage in two ways")
    return first


def _entries(file: BinaryIO, window: Window) -> dict[str, Window]:
    entries: dict[str, Window] = {}
    try:
        with zipfile.ZipFile(cast(BinaryIO, Bounded(file))) as archive:
            for entry in archive.infolist():
                if entry.filename in entries:
                    raise Refused("is an archive that holds one name twice")
                if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
                    if entry.filename.endswith("data.pkl"):
                        raise Refused("is a compressed archive", "unpack it and save it anew with torch.save")
                    continue
                entries[entry.filename] = _place(file, window, entry)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OverflowError) as error:
        raise Refused(f"is a damaged archive: {error!s:.80}", AGAIN) from error
    return entries


def _place(file: BinaryIO, window: Window, entry: zipfile.ZipInfo) -> Window:
    """Where the bytes of an entry lie, which is within the file."""
    header = Window(file, 0, window.end)
    header.part(entry.header_offset)
    signature, name, extra = LOCAL_HEADER.unpack(header.take(LOCAL_HEADER.size))
    if signature != b"PK\x03\x04":
        raise Refused("is a damaged archive: an entry is not where its list has it")
    header.part(name + extra)
    return header.part(entry.file_size)


def _other_archive(names: set[str]) -> tuple[str, str]:
    if any(name.endswith(".npy") for name in names):
        return "is an .npz archive", "save the one array that is wanted as .npy"
    return "is a zip archive that torch did not write", "unpack it and give the file inside"
