"""Killed at any instant, a command leaves the old state or the new, and the same command again ends it."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import cycle
from pathlib import Path
from random import Random

import pytest

from tests.kills.nursery import SIGNALS, Order, Outcome
from tests.kills.scenes import COMMANDS, State, belongings, copy, listing, make_folders, stamps, state_of
from tests.support.file_server import FileServer, Page, serve

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")

ROOT = Path(__file__).parents[2]
SEED = 12


class Killing:
    """The commands, what they do when nothing kills them, and what is found when something does."""

    def __init__(self, folder: Path, prior: Path, server: FileServer) -> None:
        self.folder, self.server, self.count = folder, server, 0
        self.begun = make_folders(folder, prior)
        for name in ("net.pkl", "smile.pt"):
            server.pages[f"/{name}"] = Page((self.begun["empty"] / "files" / name).read_bytes())
        self.whole: dict[str, tuple[Outcome, State, set[str]]] = {}
        self.singles: dict[str, Outcome] = {}
        self.olds: dict[str, State] = {}
        self.nursery = subprocess.Popen(
            [sys.executable, "-m", "tests.kills.nursery"],
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def close(self) -> None:
        """Let the nursery end."""
        self.nursery.communicate()

    def run(self, words: str, root: Path, **kill: object) -> Outcome:
        """Run a command in a folder, and kill it where that is said."""
        assert self.nursery.stdin is not None
        assert self.nursery.stdout is not None
        order = Order(tuple(words.split()), str(root), server=self.server.url, **kill)  # type: ignore[arg-type]
        self.nursery.stdin.write(json.dumps(dataclasses.asdict(order)) + "\n")
        self.nursery.stdin.flush()
        return Outcome(**json.loads(self.nursery.stdout.readline()))

    def said(self, root: Path) -> str:
        """Return what the last command there said."""
        return Path(f"{root}.said").read_text()

    def old(self, begins: str) -> State:
        """Return what is found in a folder that commands begin in."""
        if begins not in self.olds:
            self.olds[begins] = state_of(self.begun[begins])
        return self.olds[begins]

    def unkilled(self, name: str) -> tuple[Outcome, State, set[str]]:
        """Return what a command does when nothing kills it: its outcome, the state after it, all names."""
        if name not in self.whole:
            root = self.folder / f"whole-{len(self.whole)}"
            copy(self.begun[COMMANDS[name].begins], root)
            outcome = self.run(COMMANDS[name].words, root)
            assert outcome.code == 0, self.said(root)
            self.whole[name] = outcome, state_of(root), listing(root)
        return self.whole[name]

    def alone(self, name: str) -> Outcome:
        """Return what a command does as the shell starts it, which must be the same."""
        if name not in self.singles:
            root = self.folder / f"alone-{len(self.singles)}"
            copy(self.begun[COMMANDS[name].begins], root)
            self.singles[name] = self.run(COMMANDS[name].words, root, fresh=True)
            assert self.singles[name].code == 0, self.said(root)
            assert state_of(root) == self.unkilled(name)[1]
        return self.singles[name]

    def kill(self, name: str, **how: object) -> str:
        """Kill a command, look, and give it again.

        Returns:
            What is wrong then, "" when nothing is.
        """
        command, (_, new, names) = COMMANDS[name], self.unkilled(name)
        begun = self.begun[command.begins]
        self.count += 1
        root = self.folder / f"killed-{self.count}"
        copy(begun, root)
        mine, old = belongings(root), self.old(command.begins)
        outcome = self.run(command.words, root, **how)
        try:
            if belongings(root) != mine:
                return "the kill changed files of the user's"
            before = stamps(root)
            found = state_of(root)
            if stamps(root) != before:
                return "looking changed something"
            if wrong := _unlike(found, old, new, command.between, command.piecewise):
                return f"after the kill: {wrong}"
            again = self.run(command.words, root)
            if again.code != 0 and not (again.code == command.again and found == new):
                return f"the same command again: exit code {again.code}, {self.said(root)}"
            if state_of(root) != new:
                return f"the same command again: {_unlike(state_of(root), new, new, '', False)}"
            if listing(root) != names:
                return f"piled up {sorted(listing(root) - names)}, lost {sorted(names - listing(root))}"
            if belongings(root) != mine:
                return "the same command again changed files of the user's"
        except Exception as error:
            return f"exit code {outcome.code}; then {type(error).__name__}: {error}"
        shutil.rmtree(root)
        return ""


def _unlike(found: State, old: State, new: State, between: str, piecewise: bool) -> str:
    """Say how a state is neither the old one nor the new one, nor between them."""
    if found in (old, new):
        return ""
    wrong = []
    for key in sorted(found.keys() | old.keys() | new.keys()):
        allowed = [old.get(key), new.get(key)]
        if found.get(key) in allowed and (piecewise or allowed[0] == allowed[1]):
            continue
        if between and found.get(key) == between:
            continue
        wrong.append(f"{key} is {found.get(key, 'absent')!r:.100}")
    return ", ".join(wrong)


@pytest.fixture
def killing(tmp_path: Path, tiny_prior: Path) -> Iterator[Killing]:
    """The commands, with a nursery and a server of files."""
    with serve() as server:
        made = Killing(tmp_path, tiny_prior, server)
        try:
            yield made
        finally:
            made.close()


@dataclasses.dataclass
class Table:
    """How many kills of each command were tried, and what was wrong after some."""

    tried: Counter[str] = dataclasses.field(default_factory=Counter)
    wrong: list[str] = dataclasses.field(default_factory=list)

    def add(self, name: str, how: str, wrong: str) -> None:
        """Note what came of a kill."""
        self.tried[name] += 1
        if wrong:
            self.wrong.append(f"{name}, {how}: {wrong}")
            print(self.wrong[-1], flush=True)

    def lines(self) -> list[str]:
        """Return a line for each command."""
        bad = Counter(text.partition(", ")[0] for text in self.wrong)
        rows = [
            f"{name:<28} {count:>4} tried {count - bad[name]:>4} right" for name, count in self.tried.items()
        ]
        total = self.tried.total()
        return [*rows, f"{'all':<28} {total:>4} tried {total - len(self.wrong):>4} right"]


def kill_often(killing: Killing, plans: Mapping[str, tuple[int, int, int]]) -> Table:
    """Kill commands at changes of the disk and at random instants.

    Args:
        killing: the commands.
        plans: for each, at how many changes of the disk, drawn from all that it makes, at how many instants,
            and at how many instants of a process of its own, from its start.
    """
    table, random, signals = Table(), Random(SEED), cycle(SIGNALS)
    for name, (points, instants, fresh) in plans.items():
        whole = killing.unkilled(name)[0]
        changes = range(whole.changes)
        for at in changes if points >= len(changes) else sorted(random.sample(changes, points)):
            kill = next(signals)
            table.add(
                name, f"{kill} before change {at} of {whole.changes}", killing.kill(name, kill=kill, at=at)
            )
        for _ in range(instants):
            kill, after = next(signals), random.uniform(0, whole.seconds)
            table.add(name, f"{kill} after {after:.2f} s", killing.kill(name, kill=kill, after=after))
        for _ in range(fresh):
            kill, after = next(signals), random.uniform(0, killing.alone(name).seconds)
            how = f"{kill} after {after:.2f} s, started by itself"
            table.add(name, how, killing.kill(name, kill=kill, after=after, fresh=True))
    print("\n".join(table.lines()))
    return table


ALL = 10**6

FEW = {
    "a first version": (8, 0, 0),
    "a new version": (16, 0, 0),
    "profile rename": (4, 0, 0),
    "profile delete": (16, 0, 0),
    "prior remove": (3, 0, 0),
    "prior import --overwrite": (8, 0, 0),
}
"""A few seconds' worth, of what removes and replaces."""

MANY = {
    "a first version": (30, 0, 0),
    "a new version": (ALL, 0, 0),
    "profile rename": (ALL, 2, 3),
    "profile delete": (ALL, 2, 3),
    "prior remove": (ALL, 0, 3),
    "prior import --overwrite": (ALL, 2, 3),
    "profile consent": (ALL, 4, 3),
    "profile export": (ALL, 6, 3),
    "profile export --overwrite": (ALL, 6, 3),
    "profile import": (ALL, 8, 3),
    "profile create": (24, 8, 0),
    "profile create --replace": (8, 4, 0),
    "ingest": (16, 6, 0),
    "tune": (16, 6, 3),
    "export": (12, 4, 0),
    "export -o": (12, 4, 0),
    "prior import": (ALL, 4, 0),
    "prior fetch": (24, 8, 0),
    "upscale": (24, 8, 3),
    "sample": (20, 6, 3),
}


@pytest.mark.slow
def test_few(killing: Killing) -> None:
    """What removes and replaces is killed before changes of the disk that are drawn once and for all."""
    assert kill_often(killing, FEW).wrong == []


@pytest.mark.long
def test_many(killing: Killing) -> None:
    """All commands that write are killed at hundreds of points and instants."""
    table = kill_often(killing, MANY)
    assert table.wrong == []
    assert table.tried.total() >= 300
