"""Files that belong to photos: masks, face points, saved codes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mystyle_cli.errors import UsageError
from mystyle_cli.terminal.inputs import PICTURES, Input


@dataclass(frozen=True)
class Companions:
    """Files that belong to inputs: one for all, or a folder with one of each input's name."""

    path: Path
    endings: frozenset[str]  # of the files that count, lower case
    what: str

    def of(self, item: Input) -> Path:
        """Return an input's companion; raises UsageError where a folder has none of its name, or several."""
        if not self.path.is_dir():
            return self.path
        wanted = item.relative.with_suffix("")
        folder = self.path / wanted.parent
        there = [
            file
            for file in (sorted(folder.iterdir()) if folder.is_dir() else [])
            if file.suffix.lower() in self.endings
        ]
        # inputs that differ only in their ending have companions that keep it: a.jpg.png
        matching = [file for file in there if file.stem == item.relative.name]
        matching = matching or [file for file in there if file.stem == wanted.name]
        if len(matching) != 1:
            number = "no" if not matching else "more than one"
            raise UsageError(
                f"{item.name}: {number} {self.what} called {wanted}.* in {self.path}",
                f"Put exactly one {self.what} of that name there.",
            )
        return matching[0]


def mask_companions(path: Path) -> Companions:
    """Return where masks are found."""
    return Companions(path, PICTURES, "mask")


def landmark_companions(path: Path | None) -> Companions | None:
    """Return where face points are found, if anywhere."""
    return Companions(path, frozenset({".npy", ".txt"}), "file of points") if path else None


def code_companions(path: Path) -> Companions:
    """Return where saved codes are found."""
    return Companions(path, frozenset({".safetensors"}), "saved code")
