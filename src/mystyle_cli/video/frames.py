"""Frames on their way through the second pass, a few at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from mystyle_cli.video.smooth import shares

if TYPE_CHECKING:
    from mystyle_cli.restore.given import Given
    from mystyle_cli.video.clip import Frame
    from mystyle_cli.video.watch import Part

Floats = npt.NDArray[np.floating[Any]]

EVERY: Final = 4
"""Of how many frames one is searched at least; codes between two that are searched are their mixtures."""

OFF: Final = 4.0
"""Levels of 255 that a part of a frame may be off what is between two others, so that its code is, too."""

LOOK: Final = 32
"""Side in pixels at which that is looked at ..."""

PARTS: Final = 8
"""... and parts along each side."""


@dataclass
class Shown:
    """A frame, and the person on it."""

    frame: Frame
    part: Part | None  # None: they are not seen
    share: float = 0.0  # how much of what is made of them shows
    corner: tuple[int, int] = (0, 0)  # left and top of the window that is worked on
    given: Given | None = None
    code: Floats | None = None  # alpha+ (num_ws, N), or w+ (num_ws, w_dim) in W+ and W
    slack: Floats | None = None  # (w_dim,), by what the code lies beside alpha+'s
    motion: Floats | None = None  # (4,), where the search found the face
    image: npt.NDArray[np.float32] | None = None  # (3, R, R), what is drawn

    def look(self) -> npt.NDArray[np.float32]:
        """Return the aligned face as it lies in the frame, small and in grey, float32 (`LOOK`, `LOOK`)."""
        from mystyle_cli.photos.pixels import area_kernel

        assert self.given is not None
        grey = self.given.located.crop.mean(axis=2)
        kernel = area_kernel(len(grey), LOOK) if len(grey) > LOOK else np.eye(len(grey))
        return np.asarray(kernel @ grey @ kernel.T, np.float32)


def chosen(looks: Sequence[Floats], known: bool) -> list[int]:
    """Return which of a part's frames, in a row, are to be searched: the rest lies between them.

    A blink or a quick turn is not between the frames around it, and so it is searched.

    Args:
        looks: float (h, h) of each frame.
        known: the first need not be, as it was before.
    """
    last = len(looks) - 1
    ends = sorted({0, *range(0, last, EVERY), last})
    found = set(ends)
    for first, second in pairwise(ends):
        found |= _between(looks, first, second)
    return sorted(found - {0}) if known else sorted(found)


def _between(looks: Sequence[Floats], first: int, second: int) -> set[int]:
    """Return the frames between two that are not what is between these."""
    if second - first < 2:
        return set()
    off = [
        _off(looks[at] - mixed(looks[first], looks[second], (at - first) / (second - first)))
        for at in range(first + 1, second)
    ]
    if max(off) <= OFF:
        return set()
    middle = (first + second) // 2
    return {middle} | _between(looks, first, middle) | _between(looks, middle, second)


def _off(difference: Floats) -> float:
    """Return the root mean square of the part of a difference (h, h) where it is largest."""
    parts = min(PARTS, len(difference))
    size = len(difference) // parts
    squares = np.square(difference[: parts * size, : parts * size])
    return float(np.sqrt(squares.reshape(parts, size, parts, size).mean(axis=(1, 3)).max()))


def mixed(first: Floats, second: Floats, share: float) -> Floats:
    """Return what lies between two, a share of the way from the first to the second."""
    return np.asarray((1 - share) * first + share * second)


def fill_between(row: Sequence[Shown]) -> None:
    """Give frames of one part that were not searched what is between those that were; the ends were."""
    known = [at for at, shown in enumerate(row) if shown.code is not None]
    for first, second in pairwise(known):
        one, other = row[first], row[second]
        assert one.code is not None
        assert other.code is not None
        assert one.motion is not None
        assert other.motion is not None
        for at in range(first + 1, second):
            share = (at - first) / (second - first)
            row[at].code = mixed(one.code, other.code, share)
            row[at].motion = mixed(one.motion, other.motion, share)


def in_windows(frames: Iterator[Shown], reach: int) -> Iterator[tuple[Shown, list[Shown]]]:
    """Yield each frame with those up to `reach` before and after it that show the same part, in order."""
    held: deque[Shown] = deque()
    at = 0

    def around() -> list[Shown]:
        part = held[at].part
        near = range(max(0, at - reach), min(len(held), at + reach + 1))
        return [held[other] for other in near if part is not None and held[other].part is part]

    for frame in frames:
        held.append(frame)
        if len(held) - 1 - at == reach:
            yield held[at], around()
            at += 1
        if at > reach:
            held.popleft()
            at -= 1
    while at < len(held):
        yield held[at], around()
        at += 1


def smoothed(
    shown: Shown, around: list[Shown], what: Literal["code", "slack", "motion"], reach: int
) -> Floats:
    """Return what a frame has as it changes smoothly over the frames around it; see `shares`."""
    values = {one.frame.number - shown.frame.number: getattr(one, what) for one in around}
    reach = min(reach, max(values), -min(values))  # as far on both sides, which has no lag
    stack = np.stack([values[away] for away in range(-reach, reach + 1)])
    return np.asarray(np.tensordot(shares(reach), stack, 1))
