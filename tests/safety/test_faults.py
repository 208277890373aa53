"""What a machine does to commands: full and read-only disks, other users, other processes, clocks, odd paths.

Each command runs in a child process, in a folder with a store of its own. Whatever happens it ends with an
exit code that is meant and a message of two lines, the profile stays as it was or becomes what it should, the
user's files stay as they were, and with the obstacle gone the same command does its work.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from tests.kills.scenes import state_of
from tests.support.effort import HANGS
from tests.support.tiny_store import make_store, picture

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks"),
]

SHORT = ("--aligned", "--steps", "1")
READING = (
    ("profile", "list"),
    ("profile", "show", "ada"),
    ("profile", "verify", "ada"),
    ("inspect", "in.png"),
)
WRITING = (
    ("sample", "ada", "--seed", "1", "-n", "2", "-o", "samples"),
    ("sample", "ada", "--seed", "1", "--grid", "grid.png"),
    ("invert", "ada", "in.png", "-o", "out.png", "--save-codes", "codes", *SHORT),
    ("edit", "ada", "in.png", "-o", "out.webp", "-d", "yaw", "-s", "1", *SHORT),
    ("export", "ada", "-o", "nets"),
    ("profile", "consent", "ada", "agreed"),
    ("profile", "export", "ada", "ada.mystyle"),
    ("profile", "import", "given.mystyle", "eva"),
    ("profile", "rename", "ada", "eva"),
    ("tune", "ada", "--passes", "1", "--batch", "4", "--no-instant", "--no-export"),
    ("profile", "delete", "ada", "--yes"),
)
MEANT = {0, 1, 2, 3, 4, 5}


class Child:
    """A command in a process of its own, which may be held up.

    Args:
        words: what stands after `mystyle`.
        root: the folder that it runs in; `home` in it is MYSTYLE_HOME.
        before: what is done in the child first.
    """

    def __init__(self, words: Sequence[str], root: Path, before: Callable[[], object] | None = None) -> None:
        self.words, self.said = words, tempfile.TemporaryFile()  # noqa: SIM115
        self.pid = os.fork()
        if self.pid:
            return
        code = 70
        try:
            os.chdir(root)
            os.environ["MYSTYLE_HOME"] = str(root / "home")
            os.dup2(self.said.fileno(), 1)
            os.dup2(self.said.fileno(), 2)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            signal.alarm(int(HANGS))
            if before is not None:
                before()
            from mystyle_cli.cli import main

            sys.argv = ["mystyle", *words]
            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def end(self) -> tuple[int, str]:
        """Return the exit code and what was said."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.said.seek(0)
        return code, self.said.read().decode(errors="replace")


class Table:
    """What was tried, and what of it was wrong."""

    def __init__(self) -> None:
        self.tried: Counter[str] = Counter()
        self.wrong: list[tuple[str, str]] = []

    def judge(self, kind: str, words: Sequence[str], code: int, said: str, *meant: int) -> bool:
        """Note whether a command ended as it should; returns that."""
        self.tried[kind] += 1
        wrong = ""
        if code not in (meant or MEANT):
            wrong = f"exit code {code}"
        elif "Traceback" in said or "fault in mystyle" in said or "unexpected" in said:
            wrong = "not foreseen"
        elif code and "error:" not in said:
            wrong = "nothing said"
        if wrong:
            self.note(kind, words, f"{wrong}: {said[-400:]!r}")
        return not wrong

    def note(self, kind: str, words: Sequence[str], wrong: str) -> None:
        """Note what is wrong."""
        self.wrong.append((kind, f"{' '.join(words)[:80]}: {wrong}"))
        print(*self.wrong[-1], sep=": ", flush=True)

    def close(self) -> None:
        """Print the table; fails where anything is wrong."""
        bad = Counter(kind for kind, _ in self.wrong)
        for kind, count in self.tried.items():
            print(f"{kind:<40} {count:>4} tried {count - bad[kind]:>4} right", flush=True)
        assert self.wrong == []


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, tiny_prior: Path) -> Path:
    """The folder that commands begin in."""
    from mystyle_cli.store.archive import pack

    root = tmp_path_factory.mktemp("begun")
    shutil.copytree(tiny_prior, root / "home/priors/tiny-32")
    ada = make_store(root / "home/profiles", tiny_prior).open("ada")
    Image.fromarray(picture(0, 32)).save(root / "in.png")
    (root / "given.mystyle").write_bytes(pack(ada))
    return root


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user may enter."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def users(root: Path) -> dict[str, str]:
    """Return the digests of the user's files."""
    return {
        name: hashlib.sha256((root / name).read_bytes()).hexdigest() for name in ("in.png", "given.mystyle")
    }


@contextmanager
def disk(place: Path, size: str) -> Iterator[Path]:
    """A disk of its own at a place."""
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def filled(root: Path, left: int) -> Path:
    """Fill a disk up to so many bytes; returns the file that does."""
    about = os.statvfs(root)
    path = root / "full"
    with path.open("wb") as stream:
        stream.truncate(0)
        os.posix_fallocate(stream.fileno(), 0, max(1, about.f_bavail * about.f_frsize - left))
    return path


def hold_up(
    table: Table, kind: str, words: Sequence[str], root: Path, obstacle: Callable[[], Callable[[], object]]
) -> None:
    """Give a command with an obstacle in its way, look, and give it again without."""
    mine, old = users(root), state_of(root)
    free = obstacle()
    try:
        code, said = Child(words, root).end()
        right = table.judge(kind, words, code, said)
        if users(root) != mine:
            table.note(kind, words, "the user's files changed")
        if right and code and words in WRITING[:8] and _profiles(state_of(root)) != _profiles(old):
            table.note(kind, words, "it failed, and the profile is another")
    finally:
        free()
    if not right or not code:
        return
    code, said = Child(
        [*words, *(["--overwrite"] if words[0] in ("sample", "invert", "edit") else [])], root
    ).end()
    gone = words[1:2] == ("delete",) and code == 5  # it was done but for its last step
    table.judge(f"{kind}, then without", words, 0 if gone else code, said, 0)


def _profiles(state: dict[str, object]) -> dict[str, object]:
    return {
        name: value for name, value in state.items() if name.startswith("profile") and value != "unfinished"
    }


def test_full_and_read_only_disks(begun: Path, folder: Path) -> None:
    """What fails leaves all as it was where the disk is full, at once or after a little, or read-only."""
    table = Table()
    for number, words in enumerate(WRITING):
        for left in (0, 16_384):
            with disk(folder / f"full-{number}-{left}", "24m") as place:
                root = Path(shutil.copytree(begun, place / "root"))

                def fill(root: Path = root, left: int = left) -> Callable[[], object]:
                    return filled(root, left).unlink

                hold_up(table, f"full disk, {left} bytes left", words, root, fill)
    for number, words in enumerate((*WRITING, *READING)):
        with disk(folder / f"only-{number}", "24m") as place:
            root = Path(shutil.copytree(begun, place / "root"))

            def lock(place: Path = place) -> Callable[[], object]:
                def remount(how: str) -> None:
                    subprocess.run(["mount", "-o", f"remount,{how}", place], check=True)

                remount("ro")
                return lambda: remount("rw")

            hold_up(table, "read-only disk", words, root, lock)
    table.close()


def test_another_user(begun: Path, folder: Path) -> None:
    """Who does not own a store reads and changes nothing of its profiles, and is told so."""
    if os.getuid():
        pytest.skip("only root becomes another user")
    table, root = Table(), Path(shutil.copytree(begun, folder / "root"))
    os.chmod(root, 0o777)
    before = state_of(root)

    import encodings.cp437  # noqa: F401  # zipfile's, which who may not enter Python's own folder cannot load

    def nobody() -> None:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    for words in (*WRITING, *READING):
        code, said = Child(words, root, nobody).end()
        table.judge("another user", words, code, said)
        if code == 0 and "ada" in words:
            table.note("another user", words, "it was done")
    assert state_of(root) == before
    table.close()


def test_four_at_once(begun: Path, folder: Path) -> None:
    """Four commands on one profile at a time: each done or refused, and the profile sound at the end."""
    table = Table()
    rounds = (
        [("profile", "consent", "ada", f"agreed {number}") for number in range(4)],
        [("profile", "import", "given.mystyle", "eva")] * 4,
        [("profile", "rename", "ada", f"eva-{number}") for number in range(4)],
        [("profile", "delete", "ada", "--yes")] * 4,
        [
            WRITING[9],
            WRITING[5],
            ("profile", "verify", "ada"),
            ("sample", "ada", "--seed", "1", "-o", "a.png"),
        ],
        [WRITING[6], WRITING[10], ("profile", "list"), ("sample", "ada", "--seed", "1", "-o", "a.png")],
    )
    for number, together in enumerate(rounds):
        root = Path(shutil.copytree(begun, folder / f"root-{number}"))
        children = [Child(words, root) for words in together]
        codes = []
        for child in children:
            code, said = child.end()
            table.judge("four at once", child.words, code, said)
            codes.append(code)
        if 0 not in codes:
            table.note("four at once", together[0], f"none was done: {codes}")
        if any(isinstance(value, str) for value in state_of(root).values()):
            table.note("four at once", together[0], f"left {state_of(root)}")
    table.close()


def test_clocks_and_paths(begun: Path, folder: Path) -> None:
    """Files of the future and of 1970, and names with quotes, line breaks and thousands of letters."""
    table = Table()
    for number, words in enumerate((*WRITING, *READING)):
        for when in (0, 4_102_444_800):
            root = Path(shutil.copytree(begun, folder / f"root-{number}-{when}"))
            for path in (root, *root.rglob("*")):
                os.utime(path, (when, when))
            table.judge("files of 1970 and 2100", words, *Child(words, root).end(), 0)
            shutil.rmtree(root)
    root = Path(shutil.copytree(begun, folder / "clock"))
    for given, meant in (("0", 0), ("4102444800", 0), ("-1", 0), ("soon", 2), ("9" * 40, 2)):

        def dated(given: str = given) -> None:
            os.environ["SOURCE_DATE_EPOCH"] = given

        words = ("sample", "ada", "--seed", "1", "-o", f"{given[:5]}.png")
        table.judge("SOURCE_DATE_EPOCH", words, *Child(words, root, dated).end(), meant)
    deep = "/".join(["d" * 99] * 37)
    for name, meant in (
        ('it\'s "quoted".png', (0,)),
        ("two\nlines\t.png", (0,)),
        ("\x1b[31mred.png", (0,)),
        (f"{'n' * 251}.png", (0,)),
        (f"{'n' * 300}.png", (1, 2)),
        (f"{deep}/out.png", (0, 1, 2)),
        (f"{deep}/{deep}/out.png", (1, 2)),
        ("-o.png", (0, 2)),
    ):
        words = ("sample", "ada", "--seed", "1", "-o", name)
        code, said = Child(words, root).end()
        table.judge("odd paths", words, code, said, *meant)
        if "\x1b" in said.replace(name, ""):  # whose last line is the result's name, letter by letter
            table.note("odd paths", words, "it steers the terminal")
        if code == 0:
            words = ("inspect", f"./{name}")
            table.judge("odd paths", words, *Child(words, root).end(), 0)
            photo = ("invert", "ada", f"./{name}", "-o", f"back-{len(name)}.png", *SHORT)
            table.judge("odd paths", photo, *Child(photo, root).end(), 0)
    table.close()
