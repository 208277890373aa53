"""The house keeps its shape: imports point downwards, the core is silent, and the door opens at once."""

from __future__ import annotations

import ast
import resource
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import mystyle_cli

SOURCE = Path(mystyle_cli.__file__).parent
TESTS = Path(__file__).parents[1]

# The rooms from the roof to the ground, one on a floor: a room knows those below it and none above.
ROOMS = [
    *(
        "__main__",
        "cli",
        "commands",
        "serve",
        "work",
        "batch",
        "terminal",
        "api",
        "evaluation",
        "experiments",
        "analysis",
        "baselines",
        "report",
        "doctor",
        "fetch",
        "learn",
        "store",
        "edit",
        "group",
        "video",
        "restore",
    ),
    *(
        "find",
        "instant",
        "tuning",
        "projection",
        "sample",
        "person",
        "curate",
        "hull",
        "foreign",
        "checkpoints",
    ),
    *("engines", "prior", "nets", "faces", "photos", "files"),
    *("config", "installing", "progress", "ranks", "errors"),
]
LEVEL = {room: number for number, room in enumerate(ROOMS)}
ROOT = TESTS.parent
SCRIPTS = sorted(
    path for folder in ("benchmarks", "tests", "tools") for path in (ROOT / folder).rglob("*.py")
)
SHELL = {"cli", "commands", "work", "batch", "terminal"}
MOST_FILES = 14
MOST_LINES = 3500
MODULES = sorted(SOURCE.rglob("*.py"))


def room_of(path: Path) -> str:
    """Return the room that a module is in."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and absolute name of everything a module imports, at whatever depth, types included."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            assert node.module is not None
            yield node.lineno, node.module
            if node.module == "mystyle_cli":
                yield from ((node.lineno, f"mystyle_cli.{alias.name}") for alias in node.names)


def test_tests_mirror_the_rooms() -> None:
    """Every folder of tests is a room's, or one of what lies across rooms; none imports another test."""
    beside = {"benchmarks", "house", "kills", "safety", "support", "tools"}
    folders = {path.parent.name for path in TESTS.glob("*/*.py")}
    assert folders - beside <= set(ROOMS)
    for path in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names]
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                found = [name for name in names if ".test_" in f".{name}"]
                assert not found, f"{path}:{node.lineno}: imports {found}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_imports_point_downwards(path: Path) -> None:
    """No room knows the rooms above it."""
    room = room_of(path)
    if room == "__init__":
        return
    assert room in LEVEL, f"{room} has no floor: add it to ROOMS"
    for line, name in imports_of(path):
        parts = name.split(".")
        if parts[0] == "mystyle_cli" and len(parts) > 1 and parts[1] in LEVEL:
            assert LEVEL[parts[1]] >= LEVEL[room], f"{path}:{line}: {room} imports {parts[1]} from above"


def name_of(path: Path) -> str:
    """Return the dotted name of a module."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_no_module_comes_back_to_itself() -> None:
    """Following imports never leads round in a circle, inside a room neither; the package itself apart."""
    names = {name_of(path) for path in MODULES}
    known: dict[str, set[str]] = {}
    for path in MODULES:
        found = {name for _, name in imports_of(path)}
        submodules = {
            f"{node.module}.{alias.name}"
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        known[name_of(path)] = (found | submodules) & names - {"mystyle_cli", name_of(path)}
    while known:
        leaves = {name for name, below in known.items() if not below & known.keys()}
        assert leaves, f"these import each other: {sorted(known)}"
        known = {name: below for name, below in known.items() if name not in leaves}


@cache
def names_in(module: str) -> set[str] | None:
    """Return the names that one of our modules binds, its files among them; None where there is no such."""
    place = (SOURCE.parent if module.startswith("mystyle_cli") else ROOT) / Path(*module.split("."))
    path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    found = {below.stem for below in place.iterdir()} if place.is_dir() else set()
    if not path.exists():
        return found or None
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
    return found


def test_scripts_import_what_there_is() -> None:
    """No script, benchmark or test, however seldom it is run, imports what was moved or renamed."""
    for path in SCRIPTS:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                if node.module.split(".")[0] not in {"benchmarks", "mystyle_cli", "tests", "tools"}:
                    continue
                there = names_in(node.module)
                where = f"{path.relative_to(ROOT)}:{node.lineno}: {node.module}"
                assert there is not None, where
                missing = {alias.name for alias in node.names} - there
                assert not missing, f"{where} has no {missing}"


@pytest.mark.parametrize("room", [room for room in ROOMS if (SOURCE / room).is_dir()])
def test_rooms_can_be_read(room: str) -> None:
    """A room has no more than about a dozen files, and no folder of its own in it."""
    files = [path for path in (SOURCE / room).glob("*.py") if path.name != "__init__.py"]
    assert 0 < len(files) <= MOST_FILES
    assert sum(len(path.read_text("utf-8").splitlines()) for path in files) <= MOST_LINES
    assert not list((SOURCE / room).glob("*/**/*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_core_is_silent(path: Path) -> None:
    """Nothing below the command line prints, exits, or knows click and rich."""
    if room_of(path) in SHELL:
        return
    for line, name in imports_of(path):
        assert name.split(".")[0] not in {"click", "rich", "argparse"}, f"{path}:{line}: imports {name}"
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"print", "exit", "quit", "sys.exit", "os._exit", "input"}, (
                f"{path}:{node.lineno}: calls {called}"
            )


def modules_after(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after running code."""
    report = f"{code}\nimport sys; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


RUN = "from mystyle_cli.cli import cli\ntry: cli.main({})\nexcept SystemExit: pass"
HEAVY = {
    "torch",
    "onnx",
    "onnxruntime",
    "dlib",
    "numpy",
    "scipy",
    "PIL",
    "lpips",
    "rich",
    "numba",
    "clarabel",
}


@pytest.mark.parametrize(
    "code",
    [
        "import mystyle_cli",
        RUN.format(["--help"]),
        RUN.format(["upscale", "--help"]),
        RUN.format(["--store", ".", "profile", "list"]),
    ],
    ids=["import", "help", "help of a command", "profile list"],
)
def test_cheap_commands_import_nothing_heavy(code: str) -> None:
    """Help, completion and the list of profiles never wait for a numerical library."""
    assert not modules_after(code) & HEAVY


def test_help_is_quick() -> None:
    """`mystyle --help` takes less than three times what Python takes to start and to import click alone."""
    spent: dict[str, list[float]] = {"import click": [], "from mystyle_cli.cli import main; main()": []}
    for _ in range(3):  # in turn, the processor's time, the best of three: what else runs must not decide
        for code, seconds in spent.items():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    bare, ours = map(min, spent.values())
    assert ours < 3 * bare
