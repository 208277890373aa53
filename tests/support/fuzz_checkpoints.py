"""Reads mutated checkpoints in a process of its own, whose memory is bounded and whose deeds are watched.

`python -m tests.support.fuzz_checkpoints COUNT SEED FOLDER` prints one line of JSON.
"""

import codecs
import io
import json
import os
import pickle
import random
import resource
import struct
import sys
import time
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from mystyle_cli.checkpoints.reading import read_checkpoint
from mystyle_cli.errors import ModelError
from mystyle_cli.nets.generator import Generator
from tests.support.checkpoints import nvidia_generator, published_names

MEMORY = 768 << 20  # bytes of address space beyond what the process has before the first file
DEEDS = {"os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "exec", "pickle.find_class"}
DEEDS |= {"import", "os.remove", "os.rename", "os.mkdir", "os.chmod", "socket.connect", "ctypes.dlopen"}
EXTREMES = [struct.pack("<q", n) for n in (-1, 0, 1 << 31, 1 << 40, (1 << 63) - 1, -(1 << 63))]
OPCODES = b"(.0N\x88JKM\x8a\x8bGX\x8c\x8dBC\x8e\x96}])\x8ft\x85\x86\x87aesu\x90qr\x94hjc\x93R\x81\x92biQP2o"
GLOBALS = [
    b"cos\nsystem\n",
    b"cbuiltins\neval\n",
    b"cnumpy\ndtype\n",
    b"ctorch\nSize\n",
    b"ctorch\nLongStorage\n",
]
GLOBALS += [b"ctorch.storage\n_load_from_bytes\n", b"cargparse\nNamespace\n", b"cbuiltins\nset\n"]

Random = random.Random


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        """Keep the file's path."""
        self.canary = canary

    def __reduce__(self) -> tuple[object, ...]:
        """Ask for os.system."""
        return os.system, (f"touch {self.canary}",)


def saved(value: object, *, legacy: bool = False) -> bytes:
    """What torch.save writes."""
    data = io.BytesIO()
    torch.save(value, data, _use_new_zipfile_serialization=not legacy)
    return data.getvalue()


def seeds(canary: Path) -> list[bytes]:
    """Good files of every container, and some that would make the canary."""
    torch.manual_seed(0)
    generator = Generator(channels={4: 3}, z_dim=3, w_dim=2, mapping_layers=1, clamp=256)
    state = {key: tensor.contiguous() for key, tensor in generator.state_dict().items()}
    encoder = {"state_dict": state, "opts": {"size": 4, "text": None}, "latent_avg": torch.randn(4, 2).half()}
    array = io.BytesIO()
    np.save(array, np.random.default_rng(0).normal(size=(3, 5)))
    with published_names():
        network = nvidia_generator(generator)
        files = [pickle.dumps({"G_ema": network, "D": None}, protocol=p) for p in (2, 3, 4, 5)]
        files += [saved(network), saved(network, legacy=True)]
    files += [saved(encoder), saved(encoder, legacy=True), save(state, {"note": "mine"}), array.getvalue()]
    files += [pickle.dumps({"G_ema": Payload(canary)}, protocol=p) for p in (2, 4)]
    files += [saved([Payload(canary)]), saved([Payload(canary)], legacy=True)]
    nested = pickle.dumps(saved(Payload(canary), legacy=True), protocol=3)[2:-1]
    files.append(b"\x80\x03ctorch.storage\n_load_from_bytes\n" + nested + b"\x85R.")
    return files


def flip(chance: Random, data: bytearray) -> None:
    """Change some bytes."""
    for _ in range(chance.choice((1, 1, 1, 2, 8, 64))):
        data[chance.randrange(len(data))] = chance.randrange(256)


def overwrite(chance: Random, data: bytearray) -> None:
    """Put an extreme number somewhere."""
    at, width = chance.randrange(len(data)), chance.choice((1, 2, 4, 8))
    data[at : at + width] = chance.choice(EXTREMES)[:width]


def insert(chance: Random, data: bytearray) -> None:
    """Put instructions, globals or noise somewhere."""
    at = chance.randrange(len(data))
    noise = bytes(chance.choices(OPCODES, k=chance.choice((1, 2, 30))))
    data[at:at] = chance.choice((noise, chance.choice(GLOBALS), chance.randbytes(9)))


def cut(chance: Random, data: bytearray) -> None:
    """Remove a stretch."""
    at = chance.randrange(len(data))
    del data[at : at + chance.choice((1, 4, 100, 1 << 20))]


def repeat(chance: Random, data: bytearray) -> None:
    """Write a stretch several times."""
    at = chance.randrange(len(data))
    data[at:at] = data[at : at + chance.choice((2, 16, 200))] * chance.choice((1, 3, 50))


def swap(chance: Random, data: bytearray) -> None:
    """Exchange instructions for others."""
    places = [at for at, byte in enumerate(data) if byte in OPCODES]
    for at in chance.choices(places or [0], k=3):
        data[at] = chance.choice(OPCODES)


CHANGES: list[Callable[[Random, bytearray], None]] = [flip, overwrite, insert, cut, repeat, swap]


def mutate(chance: Random, data: bytes) -> bytes:
    """One mutated file; archives are mostly changed inside, so that what is in them is reached."""
    if data[:2] == b"PK" and chance.random() < 0.8:
        return _inside(chance, data)
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        if changed:
            chance.choice(CHANGES)(chance, changed)
    return bytes(changed)


def _inside(chance: Random, data: bytes) -> bytes:
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old:
        entries = {name: old.read(name) for name in old.namelist()}
    pickles = [name for name in entries if name.endswith("data.pkl")]
    name = chance.choice([*entries, *pickles * len(entries)])
    entries[name] = mutate(chance, entries[name])
    with zipfile.ZipFile(
        result, "w", chance.choice((zipfile.ZIP_STORED,) * 9 + (zipfile.ZIP_DEFLATED,))
    ) as new:
        for name, content in entries.items():
            new.writestr(name, content)
    return result.getvalue()


class Watch:
    """Notes what the interpreter does while a file is read."""

    def __init__(self) -> None:
        """Start watching, asleep."""
        self.awake, self.deeds = False, set[str]()
        sys.addaudithook(self.notice)

    def notice(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Keep deeds that reading does not need: running, importing, looking up, changing files."""
        if not self.awake:
            return
        writing = (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        )
        if writing or event in DEEDS:
            self.deeds.add(f"{event} {arguments!r:.200}")


def peak() -> int:
    """Most memory that the process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def fuzz(count: int, seed: int, folder: Path) -> dict[str, Any]:
    """Read `count` mutated files and tell what happened."""
    canary, path, watch = folder / "canary", folder / "file", Watch()
    files = seeds(canary)
    codecs.lookup("cp437")  # of names in archives; Python imports it when it is first met
    for _ in range(2):  # the first imports what it needs
        started = time.process_time()
        for data in files:
            path.write_bytes(data)
            _read(path)
        unmutated = time.process_time() - started
    with open("/proc/self/statm") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    before, slowest = peak(), 0.0
    told: dict[str, Any] = {"read": 0, "refused": 0, "errors": []}
    for number in range(count):
        path.write_bytes(mutate(Random(f"{seed} {number}"), files[number % len(files)]))
        start = time.process_time()
        watch.awake = True
        outcome = _read(path)
        watch.awake = False
        slowest = max(slowest, time.process_time() - start)
        if outcome in ("read", "refused"):
            told[outcome] += 1
        else:
            told["errors"].append(f"{seed} {number}: {outcome}")
    told |= {
        "slowest": slowest,
        "unmutated": unmutated,
        "growth": peak() - before,
        "deeds": sorted(watch.deeds),
    }
    return told | {"canary": canary.exists(), "kinds": len(files)}


def _read(path: Path) -> str:
    try:
        content = read_checkpoint(path).content
        repr(content)  # whoever walks it must not be caught either
    except ModelError as error:
        return "refused" if str(path) in error.message and error.hint else f"says too little: {error}"
    except BaseException:  # whatever else escapes is what is looked for
        return traceback.format_exc(limit=-3)
    return "read"


if __name__ == "__main__":
    print(json.dumps(fuzz(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))))
