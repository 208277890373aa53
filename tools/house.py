"""How the house stands: files, lines, rooms, circles, long functions, long signatures, comments, docstrings.

    python -m tools.house [FOLDER]

FOLDER holds the package, by default the one of this repository; that of another commit is for comparison.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).resolve().parents[1] / "src" / "mystyle_cli"
LONG: Final = 50
"""Lines of a function that is long."""

MANY: Final = 7
"""Parameters of a function that are many."""

PUBLIC: Final = frozenset({"mystyle_cli.api"})
"""Modules whose parameters are not counted, for each is an option that users give by its name: `Person.edit`
takes 11. An object around some would break their calls, and they would have to learn one name more."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """A file of the package.

    Args:
        name: dotted, the package's own name first.
        text: its source.
        tree: the same, parsed.
    """

    name: str
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The folder that it is in, "" at the top."""
        return self.name.split(".")[1] if self.name.count(".") > 1 else ""

    @property
    def lines(self) -> int:
        """Lines, empty ones too."""
        return len(self.text.splitlines())

    def functions(self) -> Iterator[Function]:
        """Yield its functions and methods, inner ones too."""
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))

    def comments(self) -> int:
        """Count the lines that have a comment."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return len({token.start[0] for token in tokens if token.type == tokenize.COMMENT})

    def docstrings(self) -> int:
        """Count the lines of strings that stand alone: docstrings, and what is said of constants."""
        return sum(
            (node.end_lineno or node.lineno) - node.lineno + 1
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            if isinstance(node.value.value, str)
        )


def read(folder: Path) -> list[Module]:
    """Read a package."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text("utf-8")
        found.append(Module(name, text, ast.parse(text)))
    return found


def imports(modules: list[Module]) -> dict[str, set[str]]:
    """Return what each module imports of the others, types too; the package itself apart."""
    names = {module.name for module in modules if "." in module.name}
    found: dict[str, set[str]] = {module.name: set() for module in modules}
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ImportFrom):
                found[module.name] |= {node.module or "", *(f"{node.module}.{a.name}" for a in node.names)}
            elif isinstance(node, ast.Import):
                found[module.name] |= {alias.name for alias in node.names}
        found[module.name] &= names - {module.name}
    return found


def in_circles(known: Mapping[str, set[str]]) -> set[str]:
    """Return the modules from which imports lead back to themselves."""
    reached = {name: set(below) for name, below in known.items()}
    for middle in known:
        for name, below in reached.items():
            if middle in below:
                reached[name] = below | reached[middle]
    return {name for name, below in reached.items() if name in below}


def parameters(function: Function) -> int:
    """Count the parameters, `self` apart."""
    given = function.args
    named = [arg.arg for arg in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len([name for name in named if name not in ("self", "cls")])


def shares(modules: list[Module]) -> tuple[float, float]:
    """Return how many of 100 lines have a comment, and how many are docstrings."""
    lines = sum(module.lines for module in modules)
    comments = sum(module.comments() for module in modules)
    docstrings = sum(module.docstrings() for module in modules)
    return round(100 * comments / lines, 1), round(100 * docstrings / lines, 1)


def figures(modules: list[Module]) -> dict[str, int | float | str]:
    """Return what the report says of a package."""
    lines = sum(module.lines for module in modules)
    files = [module for module in modules if module.lines > 1]
    rooms: Counter[str] = Counter()
    for module in files:
        rooms[module.room] += module.lines
    rooms.pop("", None)
    crowds = Counter(module.room for module in files if module.room)
    largest = max(files, key=lambda module: module.lines)
    functions = [function for module in modules for function in module.functions()]
    long = [f for f in functions if (f.end_lineno or f.lineno) - f.lineno + 1 > LONG]
    return {
        "files": len(files),
        "lines": lines,
        "median lines of a file": sorted(module.lines for module in files)[len(files) // 2],
        "largest file": f"{largest.name}, {largest.lines} lines",
        "rooms": len(rooms),
        "largest room": "{}, {} lines".format(*rooms.most_common(1)[0]),
        "fullest room": "{}, {} files".format(*crowds.most_common(1)[0]),
        "files in circles of imports": len(in_circles(imports(modules))),
        f"functions above {LONG} lines": len(long),
        f"functions of more than {MANY} parameters": sum(
            parameters(function) > MANY
            for module in modules
            if module.name not in PUBLIC
            for function in module.functions()
        ),
        "lines with a comment, %": shares(modules)[0],
        "lines of docstrings, %": shares(modules)[1],
    }


def main() -> None:
    """Print the figures, and each room with its files, lines, and shares of comments and docstrings."""
    modules = read(Path(sys.argv[1]) if len(sys.argv) > 1 else SOURCE)
    for name, value in figures(modules).items():
        print(f"{name:40} {value}")
    print()
    for room in sorted({module.room for module in modules if module.room}):
        inside = [module for module in modules if module.room == room and module.lines > 1]
        lines, (comments, docstrings) = sum(module.lines for module in inside), shares(inside)
        said = f"{comments:5} % comments {docstrings:5} % docstrings"
        print(f"{room:20} {len(inside):3} files {lines:6} lines {said}")


if __name__ == "__main__":
    main()
