"""What is said of the house is counted rightly, tried on a package that is made for it."""

from __future__ import annotations

from pathlib import Path

from tools.house import figures, in_circles, read


def write(folder: Path, name: str, text: str) -> None:
    """Write a module of a package, and the folders on the way."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_house_is_counted(tmp_path: Path) -> None:
    """Files, rooms, circles through functions, long functions and signatures come out as they are."""
    house = tmp_path / "house"
    long = "def long(a, b, c, d, e, f, g, h):\n" + "    a = 1  # so\n" * 60
    write(house, "__init__.py", '"""A house."""\n')
    write(house, "cellar/a.py", '"""One.\n\nMore.\n"""\n\nfrom house.cellar import b\nx = b\n')
    write(house, "cellar/b.py", "def f():\n    from house.cellar.a import x\n\n    return x\n")
    write(house, "roof/c.py", f"from house.cellar.a import x\n\n\n{long}")
    found = figures(read(house))
    assert (found["files"], found["rooms"]) == (3, 2)
    assert found["largest file"] == "house.roof.c, 64 lines"
    assert found["fullest room"] == "cellar, 2 files"
    assert found["files in circles of imports"] == 2
    assert found["functions above 50 lines"] == 1
    assert found["functions of more than 7 parameters"] == 1
    assert found["lines with a comment, %"] == round(100 * 60 / 76, 1)
    assert found["lines of docstrings, %"] == round(100 * 5 / 76, 1)


def test_a_longer_way_round_is_a_circle() -> None:
    """A circle counts however many modules it goes through, and who only leads to it does not."""
    assert in_circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": set()}) == {"a", "b", "c"}


def test_names_that_users_give_are_not_counted(tmp_path: Path) -> None:
    """Many parameters count everywhere but in the package's own face."""
    many = "def many(a, b, c, d, e, f, g, h):\n    return a\n"
    write(tmp_path / "mystyle_cli", "api.py", many)
    write(tmp_path / "mystyle_cli", "room/core.py", many)
    assert figures(read(tmp_path / "mystyle_cli"))["functions of more than 7 parameters"] == 1
