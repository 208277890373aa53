"""Frames on their way through the second pass, a few at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from mystyle_cli.video.smooth import shares

if TYPE_CHECKING:
    from mystyle_cli.restore.given import Given
    from mystyle_cli.video.clip import Frame
    from mystyle_cli.video.watch import Part

Floats = npt.NDArray[np.floating[Any]]


@dataclass
class Shown:
    """A frame, and the person on it."""

    frame: Frame
    part: Part | None  # None: they are not seen
    share: float = 0.0  # how much of what is made of them shows
    corner: tuple[int, int] = (0, 0)  # left and top of the window that is worked on
    given: Given | None = None
    code: Floats | None = None  # alpha+ (num_ws, N), or w+ (num_ws, w_dim) in W+ and W
    motion: Floats | None = None  # (4,), where the search found the face
    image: npt.NDArray[np.float32] | None = None  # (3, R, R), what is drawn


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


def smoothed(shown: Shown, around: list[Shown], what: Literal["code", "motion"], reach: int) -> Floats:
    """Return what a frame has as it changes smoothly over the frames around it; see `shares`."""
    values = {one.frame.number - shown.frame.number: getattr(one, what) for one in around}
    reach = min(reach, max(values), -min(values))  # as far on both sides, which has no lag
    stack = np.stack([values[away] for away in range(-reach, reach + 1)])
    return np.asarray(np.tensordot(shares(reach), stack, 1))
