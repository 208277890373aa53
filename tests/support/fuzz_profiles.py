"""Hostile profiles and priors, shown to the commands that read them, in a process whose memory is bounded.

`python -m tests.support.fuzz_profiles COUNT SEED FOLDER PRIOR` prints one line of JSON; with
`FUZZ_FIRST=58` in the environment it begins with that case, which is the same whatever came before it.
"""

import hashlib
import io
import json
import math
import os
import random
import re
import resource
import shutil
import signal
import struct
import sys
import time
import tomllib
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tomli_w
from click.testing import CliRunner, Result
from PIL import Image

from mystyle_cli.cli import cli
from mystyle_cli.instant.net import InstantSettings
from mystyle_cli.learn.learn import export
from tests.support.effort import HANGS
from tests.support.tiny_store import add_instant, make_store

FEW = 50  # cases for which no nets for instant answers are made, whose opening takes most of the time
MEMORY = 3 << 30  # bytes of address space beyond what the process has before the first case
NAME, NEIGHBOUR = "ada", "eva"
SEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
STEERING = "\x1b]0;owned\x07\x1b[2J\u202e\nsecond line\r"
NUMBERS: list[Any] = [-1, 0, 1, 1 << 31, 1 << 62, -(1 << 63), 1 << 200, 10**9, 1e9, -1.5, 1e300]
NUMBERS += [math.nan, math.inf, -math.inf, True, False]
TEXTS = ["", "abc", "\0", "a\0b", "../../x", "/etc/passwd", "faces/../../x", STEERING, "0" * 64, "ä"]
TEXTS += ["x" * 5000]
NESTED: list[Any] = [[], {}, [1, 2], {"a": 1}, [[[[]]]], {"a": {"b": {"c": 1}}}, ["x"] * 1000]
KEEN = {
    "resolution",
    "w_dim",
    "num_ws",
    "name",
    "sha256",
    "consent",
    "format",
    "roles",
    "file",
    "face",
    "files",
}
"""What is changed more often than chance would have it, for most of a document is facts that nobody uses."""

VALUES: list[Any] = [*NUMBERS, *TEXTS, *NESTED]
RAW = [
    b"x = " + b"[" * 3000,
    b"[" * 3000,
    b"{" * 5000,
    b'{"a":' * 5000,
    b"a." * 4000 + b"b = 1\n",
    b"x = 0x" + b"f" * 20000,
    b"x = " + b"9" * 20000,
    b'x = "' + b"y" * 200_000 + b'"\n',
    b"y" * 1_000_000,
    b"\xff\xfe\x00",
    b"\0" * 4096,
    b'"' * 30_001,
    b"'" * 30_001,
    b"#\n" * 20_000,
    b"{}\n" * 2000,
    b"[]",
    b"null",
]
DTYPES = ["I64", "I32", "F16", "F64", "BF16", "F8_E4M3", "F8_E5M2", "BOOL", "U64", "C64", "f32", 7, None]

Random = random.Random
Change = Callable[[Random, bytes], bytes]


class Hang(BaseException):
    """A command went on for too long."""


def _ring(number: int, frame: object) -> None:
    raise Hang


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the place of every table, list and value in a document."""
    found = [path] if path else []
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        found += leaves(item, (*path, key))
    return found


def changed(rng: Random, document: Any) -> Any:
    """Replace, remove or rename something in a document, in place; returns it."""
    places = leaves(document)
    if not places:
        return document
    keen = [place for place in places if place[-1] in KEEN]
    *path, last = rng.choice(keen if keen and rng.randrange(2) else places)
    holder = document
    for key in path:
        holder = holder[key]
    deed = rng.randrange(6)
    if deed == 0:
        del holder[last]
    elif deed == 1 and isinstance(holder, dict):
        holder[rng.choice(TEXTS)] = holder.pop(last)
    else:
        holder[last] = rng.choice(VALUES)
    return document


def spoil_toml(rng: Random, data: bytes) -> bytes:
    """Change one thing in TOML, or what the file is."""
    if rng.randrange(4) == 0:
        return rng.choice([data + rng.choice(RAW), rng.choice(RAW), rng.choice(RAW) + b"\n" + data])
    return tomli_w.dumps(changed(rng, tomllib.loads(data.decode()))).encode()


def spoil_lines(rng: Random, data: bytes) -> bytes:
    """Change a line of `photos.jsonl`."""
    lines = data.splitlines()
    number = rng.randrange(len(lines))
    deed = rng.randrange(6)
    if deed == 0:
        lines[number] = rng.choice(RAW)
    elif deed == 1:
        lines.append(lines[number])
    elif deed == 2:
        row = json.loads(lines[number])
        lines[number] = json.dumps(row | {"future": rng.choice(VALUES)}).encode()
    else:
        lines[number] = json.dumps(changed(rng, json.loads(lines[number]))).encode()
    return b"\n".join(lines) + b"\n"


def spoil_tensors(rng: Random, data: bytes) -> bytes:
    """Change the header of safetensors, or the numbers."""
    length = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    entry = header[rng.choice([name for name in header if name != "__metadata__"])]
    deed = rng.randrange(9)
    if deed == 0:
        entry["dtype"] = rng.choice(DTYPES)
    elif deed == 1:
        entry["shape"] = rng.choice([[1 << 40, 1 << 40], [0], [-1], [1.5], [1] * 70, ["a"], [1 << 62], None])
    elif deed == 2:
        entry["data_offsets"] = rng.choice([[0, 1 << 60], [-4, 4], [8, 4], [0], "a", [0, len(body) + 8]])
    elif deed == 3 and entry["dtype"] in ("F32", "F16"):
        start, end = entry["data_offsets"]
        bad = {"F32": [b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\xff\xff\x7f\x7f"], "F16": [b"\0\x7e", b"\0\x7c"]}
        value = rng.choice(bad[entry["dtype"]])
        body = body[:start] + value * ((end - start) // len(value)) + body[end:]
    elif deed == 4:
        header["__metadata__"] = changed(rng, header.get("__metadata__", {}) or {"a": "b"})
    elif deed == 5 and isinstance(header.get("__metadata__"), dict):
        key = rng.choice(list(header["__metadata__"]))
        try:  # most notes are JSON themselves
            note = changed(rng, json.loads(header["__metadata__"][key]))
            header["__metadata__"][key] = json.dumps(note)
        except ValueError:
            header["__metadata__"][key] = str(rng.choice([*NUMBERS, *TEXTS]))
    elif deed == 6:
        return struct.pack("<Q", rng.choice([0, 1, len(data), 1 << 40, (1 << 63) - 1])) + data[8:]
    elif deed == 7:
        raw = rng.choice(RAW)
        return struct.pack("<Q", len(raw)) + raw + body
    else:
        header = changed(rng, header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def spoil_net(rng: Random, data: bytes) -> bytes:
    """Change an ONNX net, with the package that writes them."""
    import onnx
    from onnx import helper

    model = onnx.load_model_from_string(data)
    graph = model.graph
    deed = rng.randrange(8)
    if deed <= 1 and graph.initializer:
        tensor = rng.choice(graph.initializer)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", rng.choice(["/etc/passwd", "../secret", "fifo", "\0"])
        if deed:
            tensor.ClearField("raw_data")
    elif deed == 2 and graph.initializer:
        tensor = rng.choice(graph.initializer)
        if tensor.data_type == onnx.TensorProto.FLOAT:
            tensor.raw_data = struct.pack("<f", rng.choice([math.nan, math.inf, 3e38])) * (
                len(tensor.raw_data) // 4
            )
    elif deed == 3:
        node = rng.choice(graph.node)
        node.op_type = rng.choice(["Loop", "Scan", "If", "Identity", "Nothing", "Relu", "ConstantOfShape"])
    elif deed == 4:
        node = rng.choice(graph.node)
        node.domain = "com.example"
    elif deed == 5:
        value = rng.choice([*graph.input, *graph.output])
        value.name = rng.choice(["", "x", value.name])
        value.type.tensor_type.elem_type = rng.choice([1, 7, 10, 8, 99])
    elif deed == 6:
        del graph.node[rng.randrange(len(graph.node)) :]
    else:
        out = graph.output[0].name
        graph.node.append(helper.make_node("Shape", [out], ["size"]))
        del graph.output[:]
        graph.output.append(helper.make_tensor_value_info("size", 7, ["n"]))
    return bytes(model.SerializeToString())


def spoil_picture(rng: Random, data: bytes) -> bytes:
    """Change a face to something else that Pillow opens."""
    size = rng.choice([(1, 1), (31, 32), (64, 64), (5000, 1), (32, 32)])
    buffer = io.BytesIO()
    mode = rng.choice(["RGB", "L", "RGBA", "1", "P"])
    Image.new(mode, size).save(buffer, rng.choice(["png", "png", "gif" if mode != "RGBA" else "png", "tiff"]))
    return buffer.getvalue()


def spoil_bytes(rng: Random, data: bytes) -> bytes:
    """Cut, empty, fill or flip."""
    deed = rng.randrange(6)
    if deed == 0:
        return data[: rng.randrange(len(data) + 1)]
    if deed == 1:
        return b""
    if deed == 2:
        return rng.randbytes(rng.choice([1, 64, 4096, 100_000]))
    if deed == 3:
        return data + rng.randbytes(rng.randrange(1, 64))
    at = bytearray(data or b"x")
    for _ in range(rng.choice([1, 3, 30])):
        at[rng.randrange(len(at))] = rng.randrange(256)
    return bytes(at)


SPOILERS: dict[str, Change] = {
    ".toml": spoil_toml,
    ".jsonl": spoil_lines,
    ".safetensors": spoil_tensors,
    ".onnx": spoil_net,
    ".png": spoil_picture,
    ".csv": spoil_bytes,
}


def put_strange(rng: Random, path: Path, outside: Path) -> str:
    """Put something that is no file of the program's in a file's place; returns what."""
    kind = rng.choice(
        ["pipe", "folder", "link out", "link to zeros", "loop", "dangling", "link within", "gone"]
    )
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
        (path / "x").write_bytes(b"x")
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind != "gone":
        target = {"link out": outside, "link to zeros": Path("/dev/zero"), "dangling": outside / "nothing"}
        path.symlink_to(target.get(kind, path.with_name("another")))
    return kind


class Bench:
    """A sound profile and its prior, copies of them to spoil, and what the commands say."""

    def __init__(self, folder: Path, prior: Path, instant: bool) -> None:
        self.folder, self.store, self.home = folder, folder / "store", folder / "home"
        os.environ["MYSTYLE_HOME"] = str(self.home)
        (self.home / "priors").mkdir(parents=True)
        self.prior = self.home / "priors" / "tiny-32"
        shutil.copytree(prior, folder / "prior")
        shutil.copytree(prior, self.prior)
        made = make_store(folder / "made", self.prior, NAME)
        if instant:
            add_instant(made, NAME, InstantSettings(samples=4, views=1, width=8, steps=2, batch=4))
        export(made, NAME)
        (folder / "made" / NAME / "runs").mkdir(exist_ok=True)
        curve = "number,loss,perceptual,l2,learning_rate\n1,0.5,0.4,0.1,0.001\n"
        (folder / "made" / NAME / "runs" / "loss.csv").write_text(curve)
        shutil.copytree(folder / "made" / NAME, self.store / NEIGHBOUR)
        self.outside = folder / "outside.bin"
        self.outside.write_bytes(b"the user's own")
        self.of_prior = True  # whether that is what is spoilt
        self.runner = CliRunner()

    def reset(self) -> None:
        """Make the copies sound again."""
        for path, sound in (
            (self.store / NAME, self.folder / "made" / NAME),
            (self.prior, self.folder / "prior"),
        ):
            shutil.rmtree(path, ignore_errors=True)
            shutil.copytree(sound, path)

    def spoil(self, rng: Random) -> str:
        """Spoil the profile or its prior; returns how."""
        of_prior = self.of_prior = rng.randrange(4) == 0
        root = self.prior if of_prior else self.store / NAME
        files = sorted(path for path in root.rglob("*") if path.is_file())
        main = [path for path in files if path.suffix in (".toml", ".jsonl", ".safetensors")]
        path = rng.choice(main if rng.randrange(2) else files)
        name = path.relative_to(root).as_posix()
        told = f"{'prior' if of_prior else 'profile'} {name}"
        if rng.randrange(5) == 0:
            return f"{told}: {put_strange(rng, path, self.outside)}"
        spoiler = spoil_bytes if rng.randrange(4) == 0 else SPOILERS.get(path.suffix, spoil_bytes)
        path.write_bytes(spoiler(rng, path.read_bytes()))
        signed = rng.randrange(4) > 0
        if signed:
            self.sign(name, of_prior)
        return f"{told}: {spoiler.__name__}{' signed' if signed else ''}"

    def sign(self, name: str, of_prior: bool) -> None:
        """Let the digests be those of what is there now, as somebody would who means harm."""
        manifest = self.store / NAME / "profile.toml"
        try:
            if of_prior:
                sheet = self.prior / "prior.toml"
                document = tomllib.loads(sheet.read_text())
                for entry in [*document["roles"].values(), *document["directions"].values()]:
                    if entry["file"] == name:
                        entry["sha256"] = hashlib.sha256((self.prior / name).read_bytes()).hexdigest()
                if name != "prior.toml":
                    sheet.write_text(tomli_w.dumps(document))
            document = tomllib.loads(manifest.read_text())
            if of_prior:
                document["prior"]["sha256"] = hashlib.sha256(sheet.read_bytes()).hexdigest()
                for stage in document["stages"].values():
                    if "prior" in stage:
                        stage["prior"] = document["prior"]["sha256"]
            elif name != "profile.toml":
                for table in document["files"].values():
                    if name in table:
                        table[name] = hashlib.sha256((self.store / NAME / name).read_bytes()).hexdigest()
            if of_prior or name != "profile.toml":
                manifest.write_text(tomli_w.dumps(document))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return  # what is spoilt itself cannot be signed

    def state(self) -> dict[str, tuple[int, ...]]:
        """Return what lies in the spoilt folders, without opening anything."""
        found = {}
        for root in (self.store / NAME, self.prior):
            for outer, folders, files in os.walk(root):
                for name in (*folders, *files):
                    what = os.lstat(os.path.join(outer, name))
                    found[os.path.join(outer, name)] = (what.st_mode, what.st_size, what.st_mtime_ns)
        return found

    def command(self, *args: str) -> Result:
        """Run one command."""
        signal.setitimer(signal.ITIMER_REAL, HANGS)  # a pipe that was opened would wait for ever
        try:
            return self.runner.invoke(cli, ["--store", str(self.store), *args])
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def look(self, problems: list[str]) -> str:
        """Run the commands that read; add what is wrong with their answers, and return what `verify` said."""
        listed = self.command("profile", "list")
        self.check("list", listed, (0,), problems)
        lines = listed.stdout.splitlines()
        if not any(line.startswith(NEIGHBOUR) and " ready " in line for line in lines):
            problems.append(f"list: the neighbour is not listed as ready: {listed.output[:300]!r}")
        if sum(line.startswith(NAME) for line in lines) != 1:
            problems.append("list: the profile has not one line")
        self.check("show", self.command("profile", "show", NAME), (0, 5), problems)
        verified = self.command("profile", "verify", NAME)
        self.check("verify", verified, (0, 5), problems)
        for what in ("show", "verify", "list") if self.of_prior else ():
            args = () if what == "list" else (str(self.prior),)
            self.check(f"prior {what}", self.command("prior", what, *args), (0, 5), problems)
        picture = self.folder / "out.png"
        sampled = self.command("sample", NAME, "--seed", "0", "-o", str(picture), "--overwrite")
        self.check("sample", sampled, (0, 5), problems)
        if verified.exit_code == 0 and sampled.exit_code != 0:
            problems.append(f"verify says sound, and sample: {sampled.output[:300]!r}")
        return "sound" if verified.exit_code == 0 else "refused"

    def check(self, what: str, result: Result, codes: tuple[int, ...], problems: list[str]) -> None:
        """See that an answer is one of the allowed ones, each error in one line that steers no terminal."""
        said = result.output
        if result.exit_code not in codes or "fault in mystyle" in said or "Traceback" in said:
            cause = result.exception.__cause__ or result.exception.__context__ if result.exception else None
            trace = "".join(traceback.format_exception(cause)[-3:]) if cause else ""
            problems.append(f"{what}: exit {result.exit_code}: {said[-300:]!r} {trace}")
        if SEEN.search(said):
            problems.append(f"{what}: steers the terminal: {said[:300]!r}")
        if what in ("show", "sample", "prior show") and result.exit_code:
            lines = [line for line in result.stderr.splitlines() if not line.startswith("backend ")]
            if len(lines) != 2 or not lines[0].startswith("error: ") or len(lines[0]) > 2000:
                problems.append(f"{what}: not one line and a hint: {result.stderr[:600]!r}")
        strays = [line for line in result.stderr.splitlines() if re.search(r"Warning\b|\[[EWF]:onnx", line)]
        if strays:
            problems.append(f"{what}: a library speaks: {strays[0][:300]!r}")


def main(count: int, seed: int, folder: Path, prior: Path) -> dict[str, Any]:
    """Try `count` cases; returns what came of them."""
    signal.signal(signal.SIGALRM, _ring)
    warnings.simplefilter("always")
    bench = Bench(folder, prior, instant=count > FEW)
    bench.reset()
    problems: list[str] = []
    for _ in range(2):  # the first imports what it needs
        started = time.process_time()
        assert bench.look(problems) == "sound", problems
        unspoilt = time.process_time() - started
    assert not problems, problems
    space = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pages = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (pages + MEMORY, -1))
    tried: Counter[str] = Counter()
    right: Counter[str] = Counter()
    sound = 0
    slowest = (0.0, "")
    first = int(os.environ.get("FUZZ_FIRST", "0"))
    for number in range(first, first + count):
        bench.reset()
        rng = Random(f"{seed} {number}")
        how = bench.spoil(rng)
        before, found = bench.state(), []
        started = time.process_time()
        try:
            sound += bench.look(found) == "sound"
        except Hang:
            found.append("a command hangs")
        slowest = max(slowest, (time.process_time() - started, f"{number} {how}"))
        if bench.state() != before:
            found.append("something was changed by reading")
        kind = how.partition(":")[0].rpartition("/")[2].rpartition(".")[2]
        key = f"{how.split()[0]}, .{kind}: {how.partition(': ')[2].removesuffix(' signed')}"
        tried[key] += 1
        right[key] += not found
        problems += [f"case {number} ({how}): {problem}" for problem in found]
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - space) << 10
    assert bench.outside.read_bytes() == b"the user's own"
    return {
        "tried": dict(sorted(tried.items())),
        "right": sum(right.values()),
        "wrong": sorted(key for key in tried if right[key] < tried[key]),
        "problems": problems,
        "sound": sound,
        "slowest": slowest,
        "unspoilt": unspoilt,
        "growth": growth,
    }


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))))
