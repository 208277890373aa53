"""Files that are no weights, or more than weights, are refused one by one, and nothing in them runs."""

import io
import os
import pickle
import struct
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mystyle_cli.checkpoints.reading import read_checkpoint
from mystyle_cli.errors import ModelError
from tests.support.checkpoints import Persistent, published_names
from tests.support.effort import calls, extra_memory

pytestmark = pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")

DRIVE = b"""<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head>
<body><p>Google Drive can't scan this file for viruses.</p></body></html>"""


def refusal(path: Path) -> ModelError:
    """The error that reading the file gives; it names the file and says what to do."""
    with pytest.raises(ModelError) as caught:
        read_checkpoint(path)
    assert str(path) in caught.value.message
    assert caught.value.hint
    return caught.value


class Payload:
    """Runs a shell command when it is unpickled."""

    def __init__(self, command: str) -> None:
        """Keep the command."""
        self.command = command

    def __reduce__(self) -> tuple[object, ...]:
        """Ask for os.system."""
        return os.system, (self.command,)


class Nested:
    """Calls torch's own _load_from_bytes, whose bytes are unpickled without restraint."""

    def __init__(self, data: bytes) -> None:
        """Keep the inner file."""
        self.data = data

    def __reduce__(self) -> tuple[object, ...]:
        """Ask for a global that an allow-list must have."""
        return torch.storage._load_from_bytes, (self.data,)


def test_code_in_a_pickle(tmp_path: Path) -> None:
    """A pickle that runs a command is refused by the command's global; unpickling the same bytes runs it."""
    canary, path = tmp_path / "canary", tmp_path / "ffhq.pkl"
    path.write_bytes(pickle.dumps({"G_ema": Payload(f"touch {canary}")}, protocol=4))
    error = refusal(path)
    assert "posix.system" in error.message or "nt.system" in error.message
    assert not canary.exists()
    pickle.loads(path.read_bytes())
    assert canary.exists()


def test_code_in_a_nested_pickle(tmp_path: Path) -> None:
    """A command hidden in the bytes of a storage, behind an allowed global, is refused and does not run."""
    canary, path, inner = tmp_path / "canary", tmp_path / "ffhq.pkl", io.BytesIO()
    torch.save(Payload(f"touch {canary}"), inner, _use_new_zipfile_serialization=False)
    path.write_bytes(pickle.dumps({"G_ema": Nested(inner.getvalue())}, protocol=3))
    assert "system" in refusal(path).message
    assert not canary.exists()
    pickle.loads(path.read_bytes())
    assert canary.exists()


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_torch_file(tmp_path: Path, legacy: bool) -> None:
    """A command in what torch.save wrote is refused and does not run."""
    canary, path = tmp_path / "canary", tmp_path / "model.pt"
    torch.save({"state_dict": Payload(f"touch {canary}")}, path, _use_new_zipfile_serialization=not legacy)
    assert "system" in refusal(path).message
    assert not canary.exists()


def test_source_text_is_dropped(tmp_path: Path) -> None:
    """The source text of a persistent object, which the published loader runs, does not reach the content."""
    path = tmp_path / "object.pkl"
    with published_names():
        path.write_bytes(pickle.dumps(Persistent("Generator", {"z_dim": 4}), protocol=4))
    record = read_checkpoint(path).content
    assert (record.class_name, record.state) == ("Generator", {"z_dim": 4})


def test_another_version(tmp_path: Path) -> None:
    """Persistent objects of another version are refused, the version named."""
    path = tmp_path / "object.pkl"
    with published_names():
        path.write_bytes(pickle.dumps(Persistent("Generator", {}, version=7), protocol=4))
    assert "version 7" in refusal(path).message


def test_huge_file(tmp_path: Path) -> None:
    """A file of 20 GB is refused at once, by its size alone."""
    path = tmp_path / "ffhq.pkl"
    with path.open("wb") as file:
        file.truncate(20_000_000_000)
    assert "20.0 GB" in refusal(path).message
    asked = calls(lambda: refusal(path))
    assert asked.total() < 1000
    assert asked.keys().isdisjoint({"read", "readinto", "pread", "mmap"})


def archive(*names: str, compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip file."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", compression) as file:
        for name in names:
            file.writestr(name, b"\x80\x02}." + bytes(100_000))
    return data.getvalue()


def tarred() -> bytes:
    """A tar file."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as file:
        file.addfile(tarfile.TarInfo("weights.pkl"))
    return data.getvalue()


def saved(value: object, *, legacy: bool = False) -> bytes:
    """What torch.save writes."""
    data = io.BytesIO()
    torch.save(value, data, _use_new_zipfile_serialization=not legacy)
    return data.getvalue()


def objects() -> bytes:
    """An .npy file of Python objects."""
    data = io.BytesIO()
    np.save(data, np.array([{}], dtype=object), allow_pickle=True)
    return data.getvalue()


STRANGERS = {
    "web page": (lambda: DRIVE, "web page"),
    "empty": (lambda: b"", "empty"),
    "noise": (lambda: bytes(range(7, 200)), "no checkpoint"),
    "git-lfs": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git-lfs"),
    "gzip": (lambda: b"\x1f\x8b\x08" + bytes(30), "gzip"),
    "tar": (tarred, "tar"),
    "zip": (lambda: archive("ffhq.pkl"), "zip archive that torch did not write"),
    "npz": (lambda: archive("w.npy"), "npz"),
    "compressed": (lambda: archive("m/data.pkl", compression=zipfile.ZIP_DEFLATED), "compressed"),
    "program": (lambda: archive("m/data.pkl", "m/constants.pkl"), "TorchScript"),
    "objects": (objects, "object"),
    "old pickle": (lambda: b"\x80\x01}.", "no checkpoint"),
    "booleans": (lambda: saved({"mask": torch.ones(3, dtype=torch.bool)}), "torch.BoolStorage"),
    "module": (lambda: saved(torch.nn.Linear(2, 2)), "torch.nn.modules.linear.Linear"),
    "not finite": (lambda: saved({"a": {"b": torch.tensor([1.0, float("nan")])}}), "a.b"),
    "tensorflow": (lambda: b"\x80\x02cdnnlib.tflib.network\nNetwork\n.", "dnnlib.tflib.network.Network"),
    "terminal": (lambda: b"\x80\x02c\x1b[2J\nx\n.", r"\x1b[2J"),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_strangers(tmp_path: Path, name: str) -> None:
    """Each kind of wrong file is recognised for what it is, whatever its name."""
    make, said = STRANGERS[name]
    path = tmp_path / "ffhq.pkl"
    path.write_bytes(make())
    assert said in refusal(path).message


def test_no_file(tmp_path: Path) -> None:
    """A missing file, a folder and a pipe are errors, at once."""
    assert "No such file" in refusal(tmp_path / "absent.pkl").message
    assert "folder" in refusal(tmp_path).message
    os.mkfifo(tmp_path / "pipe")
    assert "ordinary" in refusal(tmp_path / "pipe").message


GOOD: dict[str, Callable[[], bytes]] = {
    "pickle": lambda: pickle.dumps({"a": torch.arange(60.0), "b": [1, "two"]}, protocol=4),
    "torch": lambda: saved({"a": torch.arange(60.0), "b": torch.ones(3)}),
    "torch, old": lambda: saved({"a": torch.arange(60.0), "b": torch.ones(3)}, legacy=True),
    "numpy": lambda: archive_of_array(),
}


def archive_of_array() -> bytes:
    """An .npy file."""
    data = io.BytesIO()
    np.save(data, np.arange(60.0))
    return data.getvalue()


@pytest.mark.parametrize("name", GOOD)
def test_truncated(tmp_path: Path, name: str) -> None:
    """A file that ends too soon is refused, wherever it ends."""
    data, path = GOOD[name](), tmp_path / "file"
    path.write_bytes(data)
    read_checkpoint(path)
    for end in range(1, len(data), max(1, len(data) // 60)):
        path.write_bytes(data[:end])
        refusal(path)


def text(value: str) -> bytes:
    """The instruction that pushes a short text."""
    return b"\x8c" + bytes([len(value)]) + value.encode()


def tensor(count: int, offset: bytes, size: bytes, stride: bytes) -> bytes:
    """A bare pickle of one tensor over `count` zeros, its numbers as instructions."""
    inner = io.BytesIO()
    values = torch.storage.TypedStorage(
        wrap_storage=torch.zeros(count).untyped_storage(), dtype=torch.float32
    )
    torch.save(values, inner, _use_new_zipfile_serialization=False)
    data = inner.getvalue()
    storage = b"ctorch.storage\n_load_from_bytes\nB" + struct.pack("<I", len(data)) + data + b"\x85R"
    return b"\x80\x03ctorch._utils\n_rebuild_tensor_v2\n(" + storage + offset + size + stride + b"\x89}tR."


def number(value: int) -> bytes:
    """The instruction that pushes an integer of eight bytes."""
    return b"\x8a\x08" + value.to_bytes(8, "little", signed=True)


def laughs() -> bytes:
    """Instructions that push a pair of the same pair of the same pair ..., 40 deep: 2^40 values."""
    return b"N" + b"".join(b"\x94h" + bytes([i]) + b"\x86" for i in range(40))


def persistent(version: bytes) -> bytes:
    """A persistent object, its version as instructions."""
    start = b"\x80\x04ctorch_utils.persistence\n_reconstruct_persistent_obj\n}("
    meta = text("type") + text("class") + text("state") + b"}" + text("class_name") + text("G")
    return start + meta + text("version") + version + b"u\x85R."


def old_format(keys: bytes) -> bytes:
    """A file of torch's old format that holds None, its list of storages as instructions."""
    return saved(None, legacy=True).replace(b"\x80\x02N.\x80\x02]q\x00.", b"\x80\x02N.\x80\x04" + keys + b".")


BOMBS: dict[str, Callable[[], bytes]] = {
    "laughs": lambda: b"\x80\x04" + laughs() + b".",
    "laughs as a version": lambda: persistent(laughs()),
    "laughs as a shape": lambda: tensor(1, b"K\x00", laughs() + b"\x85", b"K\x01\x85"),
    "laughs as a key": lambda: b"\x80\x04}" + laughs() + b"Ns.",
    "laughs as storages": lambda: old_format(b"](" + laughs() + b"e"),
    "laughs as a storage": lambda: b"\x80\x04ctorch.storage\n_load_from_bytes\n" + laughs() + b"R.",
    "deep": lambda: b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "deep tuple": lambda: b"\x80\x04)" + b"\x85" * 300_000 + b".",
    "deep key": lambda: b"\x80\x04})" + b"\x85" * 300_000 + b"Ns.",
    "itself": lambda: b"\x80\x04]\x94h\x00a.",
    "no end": lambda: b"\x80\x04" + b"N0" * 10,
    "long integer": lambda: b"\x80\x04\x8b" + struct.pack("<I", 0x7FFFFFFF) + b".",
    "long bytes": lambda: b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b".",
    "long text": lambda: b"\x80\x04\x8d" + struct.pack("<Q", (1 << 64) - 1) + b".",
    "negative string": lambda: b"\x80\x04T" + struct.pack("<i", -5) + b".",
    "memo": lambda: b"\x80\x04Nr" + struct.pack("<I", 0xFFFFFFFF) + b"j" + struct.pack("<I", 7) + b".",
    "steps": lambda: b"\x80\x04" + b"N" * 600_000 + b".",
    "sets": lambda: b"\x80\x04(" + b"\x8f" * 400_000 + b"t.",
    "spread": lambda: tensor(1, b"K\x00", number(1 << 40) + b"\x85", b"K\x00\x85"),
    "spread a little": lambda: tensor(1, b"K\x00", number(1 << 24) + b"\x85", b"K\x00\x85"),
    "beyond": lambda: tensor(4, b"K\x01", b"K\x04\x85", b"K\x01\x85"),
    "negative size": lambda: tensor(4, b"K\x00", number(-4) + b"\x85", b"K\x01\x85"),
    "negative offset": lambda: tensor(4, number(-1), b"K\x02\x85", b"K\x01\x85"),
    "negative stride": lambda: tensor(4, b"K\x03", b"K\x04\x85", number(-1) + b"\x85"),
    "huge numbers": lambda: tensor(4, b"K\x00", number((1 << 63) - 1) * 3 + b"\x87", b"K\x00" * 3 + b"\x87"),
    "many axes": lambda: tensor(4, b"K\x00", b"(" + b"K\x01" * 99 + b"t", b"(" + b"K\x01" * 99 + b"t"),
    "true for one": lambda: tensor(4, b"K\x00", b"\x88\x85", b"K\x01\x85"),
    "copies": lambda: (
        b"\x80\x04](" + b"N" * 9000 + b"e\x94ccollections\nOrderedDict\n\x94"
        + b"(" + b"cbuiltins\nset\nh\x00\x85R" * 9000 + b"t."
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def sound_seconds(tmp_path_factory: pytest.TempPathFactory) -> float:
    """Seconds of the processor in which a sound file of a hundred thousand lists is read."""
    path = tmp_path_factory.mktemp("sound") / "lists.pkl"
    path.write_bytes(pickle.dumps([[] for _ in range(100_000)], protocol=4))
    before = time.process_time()
    assert len(read_checkpoint(path).content) == 100_000
    return time.process_time() - before


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(tmp_path: Path, name: str, sound_seconds: float) -> None:
    """Small files that ask for endless work or memory are refused in seconds, before memory is taken."""
    path = tmp_path / "bomb.pkl"
    path.write_bytes(BOMBS[name]())
    before = time.process_time()
    taken = extra_memory(lambda: refusal(path))
    assert time.process_time() - before < 15 * sound_seconds
    assert taken < 400 << 20


def rewritten(data: bytes, change: Callable[[str, bytes], bytes]) -> bytes:
    """An archive with its entries' bytes changed."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(result, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return result.getvalue()


def test_archive_that_lies(tmp_path: Path) -> None:
    """An archive whose storages are shorter or longer than declared, or of another byte order, is refused."""
    good, path = saved({"a": torch.arange(60.0)}), tmp_path / "model.pt"
    changes: list[Callable[[str, bytes], bytes]] = [
        lambda name, data: data[:-4] if name.endswith("/data/0") else data,
        lambda name, data: data + bytes(4) if name.endswith("/data/0") else data,
        lambda name, data: b"big" if name.endswith("byteorder") else data,
    ]
    path.write_bytes(rewritten(good, lambda _, data: data))
    assert torch.equal(read_checkpoint(path).content["a"], torch.arange(60.0))
    for change in changes:
        path.write_bytes(rewritten(good, change))
        refusal(path)


def test_archive_with_endless_entries(tmp_path: Path) -> None:
    """An archive with a huge list of entries is refused before the list is read."""
    path, entry = tmp_path / "model.pt", b"PK\x01\x02" + bytes(42)
    count = 200_000
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, count * len(entry), 4, 0)
    path.write_bytes(b"PK\x03\x04" + entry * count + end)
    assert "entries" in refusal(path).message


def test_safetensors_header(tmp_path: Path) -> None:
    """A damaged or overlong header of safetensors is refused."""
    path = tmp_path / "a.safetensors"
    entry = b'{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}'
    for header in (entry, b'{"a":', b"{" + b" " * (5 << 20) + b"}"):
        path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
        refusal(path)


def test_array_header(tmp_path: Path) -> None:
    """An .npy file that declares more than it holds, or an absurd header, is refused."""
    path = tmp_path / "a.npy"
    for shape in ("(1 << 40,)", "(1099511627776,)", "(-1,)", "(" * 2000):
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
        path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(16))
        refusal(path)
    path.write_bytes(b"\x93NUMPY\x02\x00" + struct.pack("<I", 0xFFFFFFFF) + bytes(16))
    refusal(path)
