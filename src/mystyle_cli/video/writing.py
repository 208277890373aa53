"""A clip as it is written: its frames as H.264, sound and subtitles packet by packet as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mystyle_cli.errors import MystyleError, UsageError, reason_of
from mystyle_cli.files.writing import whole_file
from mystyle_cli.video.clip import matrix_of

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer, OutputContainer
    from numpy.typing import NDArray

    from mystyle_cli.photos.pixels import Pixels
    from mystyle_cli.video.clip import Facts, Frame

KINDS: Final = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""FFmpeg's names of the containers that are written."""

CODER: Final = {"crf": "16", "preset": "medium"}
"""How finely x264 codes: eyes see no difference, and what a generation of copying loses is little."""


def kind_of(path: Path) -> str:
    """Return the container that a name asks for; raises UsageError for one that is not written."""
    try:
        return KINDS[path.suffix.lower()]
    except KeyError as error:
        ending = path.suffix or "no ending"
        raise UsageError(
            f"{path}: cannot write a clip as {ending}", "End the name in .mp4, .mov or .mkv."
        ) from error


@contextmanager
def open_writer(
    path: Path,
    facts: Facts,
    shape: tuple[int, int],
    source: InputContainer,
    copied: list[Any],
    comment: str,
    *,
    fresh: bool,
) -> Iterator[ClipWriter]:
    """Write a clip, whole or not at all.

    Args:
        facts: of the clip that it is made of.
        shape: height and width of its upright frames, even numbers.
        source, copied: where packets come from, and the streams of those that are copied.
        comment: what it says of itself; "" says nothing.
        fresh: nothing may be in its place, see `whole_file`.

    Raises:
        UsageError: the container has no room for the sound or the subtitles.
        OSError: a link is in its place, or it cannot be written.
        MystyleError: FFmpeg cannot write it.
    """
    import av
    from av.error import FFmpegError

    kind = kind_of(path)
    try:
        with whole_file(path, fresh=fresh) as stream, av.open(stream, "w", format=kind) as container:
            writer = ClipWriter(path, container, facts, shape)
            writer.say(comment)
            writer.take(copied)
            yield writer
            writer.finish()
    except FFmpegError as error:
        raise MystyleError(
            f"{path}: the clip cannot be written ({reason_of(error)})", "Try another ending, such as .mkv."
        ) from error


class ClipWriter:
    """A clip that is being written."""

    def __init__(self, path: Path, container: OutputContainer, facts: Facts, shape: tuple[int, int]) -> None:
        self.path, self._container, self._facts = path, container, facts
        height, width = shape[::-1] if facts.turns % 2 else shape
        self._size = width, height
        self._stream = container.add_stream("libx264", rate=facts.rate, options=dict(CODER))
        coder = self._stream.codec_context
        coder.width, coder.height, coder.pix_fmt = width, height, facts.pix_fmt
        coder.time_base = facts.time_base
        coder.color_range, coder.colorspace, coder.color_primaries, coder.color_trc = facts.colours
        aspect = 1 / facts.aspect if facts.turns % 2 else facts.aspect
        if aspect != 1:
            coder.sample_aspect_ratio = aspect
        if facts.matrix is not None:
            self._stream.set_display_matrix(facts.matrix)
        self._copies: dict[int, Any] = {}

    def say(self, comment: str) -> None:
        """Write into the file what it is."""
        if comment:
            self._container.metadata["comment"] = comment

    def take(self, streams: list[Any]) -> None:
        """Make room for streams that are copied; raises UsageError where there is none."""
        known = self._container.supported_codecs
        for stream in streams:
            name = stream.codec_context.codec.name if stream.codec_context else "unknown"
            if stream.codec_context is None or not {name, stream.codec_context.codec.canonical_name} & known:
                what = "sound" if stream.type == "audio" else "subtitles"
                raise UsageError(
                    f"{self.path}: {self.path.suffix} has no room for the clip's {what} ({name})",
                    f"End the name in {'.mp4' if self.path.suffix.lower() == '.mkv' else '.mkv'}.",
                )
            copy = self._container.add_stream_from_template(stream)
            if language := stream.metadata.get("language"):
                copy.metadata["language"] = language[:16]
            self._copies[stream.index] = copy

    def copy(self, packet: Packet[Any]) -> None:
        """Take a packet over."""
        copy = self._copies[packet.stream.index]
        # where nothing is said for a while, an MP4 is given such packets as it is written
        if copy.codec_context.name == "mov_text" and bytes(packet) == b"\0\0":
            return
        packet.stream = copy
        self._container.mux(packet)

    def write(self, frame: Frame, pixels: Pixels | None) -> None:
        """Take a frame.

        Args:
            pixels: uint8 (H, W, 3), what it became; what is as it was keeps its very numbers. None: all.
        """
        picture = frame.picture
        if pixels is not None:
            picture = laid_over(frame, pixels, self._size)
        picture.pts, picture.time_base = frame.pts, self._facts.time_base
        picture.pict_type = 0  # what it was coded as in the clip is no reason
        for packet in self._stream.encode(picture):
            self._container.mux(packet)

    def finish(self) -> None:
        """Write what the coder has kept back."""
        for packet in self._stream.encode(None):
            self._container.mux(packet)


def laid_over(frame: Frame, pixels: Pixels, size: tuple[int, int]) -> VideoFrame:
    """Return upright pixels as a frame of the clip; where nothing changed it has the clip's own numbers.

    Args:
        size: width and height as they lie in the file.
    """
    import av

    old = frame.picture
    stored = np.ascontiguousarray(np.rot90(pixels, -frame.turns))[: size[1], : size[0]]
    matrix = matrix_of(old)
    full = 2 if int(old.color_range) == 2 or old.format.name.startswith("yuvj") else 1
    made = av.VideoFrame.from_ndarray(np.ascontiguousarray(stored), format="rgb24").reformat(
        format=old.format.name,
        src_color_range=2,
        dst_color_range=full,
        src_colorspace=matrix,
        dst_colorspace=matrix,
    )
    made.colorspace, made.color_range = old.colorspace, old.color_range
    before = frame.pixels()
    if (old.width, old.height) == size and pixels.shape == before.shape:
        same = np.asarray(np.rot90((pixels == before).all(axis=2), -frame.turns))
        for new, own in zip(made.planes, old.planes, strict=True):
            _restored(_view(new), _view(own), same)
    return made


def _view(plane: Any) -> NDArray[np.uint8]:
    """Return the numbers of a plane (h, w)."""
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]


def _restored(new: NDArray[np.uint8], own: NDArray[np.uint8], same: NDArray[np.bool_]) -> None:
    """Put back the numbers of a plane where all pixels that one stands for are the same."""
    down, across = round(len(same) / len(own)), round(len(same[0]) / len(own[0]))
    if (down, across) != (1, 1):
        rows, columns = len(own) * down - len(same), len(own[0]) * across - len(same[0])
        whole = np.pad(same, ((0, rows), (0, columns)), mode="edge")
        same = np.asarray(whole.reshape(len(own), down, len(own[0]), across).all(axis=(1, 3)))
    new[same] = own[same]
