"""A clip as it is read: frames one by one, sound and subtitles as they lie in the file, nothing trusted.

PyAV's libraries, FFmpeg's, decode it within this process. They get an open file and no way to another: no
address, no playlist, no second file is ever opened for what a clip says.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np

from mystyle_cli.errors import DecodeError, reason_of
from mystyle_cli.files import reading
from mystyle_cli.installing import install_command

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

    from mystyle_cli.photos.pixels import Pixels

LARGEST_FILE: Final = 64 << 30  # bytes of the largest clip
LARGEST_FRAME: Final = 9_500_000  # pixels of the largest frame: somewhat more than 4096 x 2304
SMALLEST_SIDE: Final = 16  # pixels
MOST_FRAMES: Final = 1_000_000  # more than nine hours
MOST_DAMAGED: Final = 0.5  # share of a clip's packets that may be damaged

FORMATS: Final = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,asf,flv"
"""The containers that are opened, by FFmpeg's names; playlists, which name other files, are none of them."""

CODECS: Final = frozenset(
    (
        *("h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "mpeg4", "mpeg2video", "mpeg1video", "mjpeg"),
        *("prores", "dvvideo", "h263", "msmpeg4v3", "msmpeg4v2", "wmv2", "wmv3", "vc1", "ffv1", "rawvideo"),
    )
)
"""The ways of coding pictures that are decoded."""

HDR: Final = (16, 18)  # transfer functions whose numbers mean more light than a screen's white: PQ and HLG
PLANAR: Final = frozenset(f"yuv{full}{kind}p" for full in ("", "j") for kind in ("420", "422", "444"))
"""What frames may be worked on as; others are converted."""

_MATRICES: Final = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
"""FFmpeg's numbers of the matrices between RGB and YUV, as its scaler knows them."""

_COPY_AGAIN: Final = "Copy the file again from where it came from."


@dataclass(frozen=True)
class Frame:
    """A frame as it was decoded."""

    number: int  # from 0
    pts: int  # when it is shown, in the clip's time base
    picture: VideoFrame  # in 8 bits, its planes one after another; turned as it lies in the file
    turns: int  # quarter turns anticlockwise that make it upright

    def pixels(self) -> Pixels:
        """Return the upright picture, uint8 (H, W, 3) in RGB; made anew, as many frames are held at once."""
        picture = self.picture
        matrix, full = matrix_of(picture), full_range(picture)
        rgb = picture.reformat(format="rgb24", src_colorspace=matrix, src_color_range=full, dst_color_range=2)
        return np.ascontiguousarray(np.rot90(rgb.to_ndarray(), self.turns))


def matrix_of(picture: VideoFrame) -> int:
    """Return the scaler's number of a frame's matrix; that of its size where nothing is said."""
    return _MATRICES.get(int(picture.colorspace), 1 if min(picture.width, picture.height) > 576 else 5)


def full_range(picture: VideoFrame) -> int:
    """Return 2 where a frame's numbers go from 0 to 255, else 1."""
    return 2 if int(picture.color_range) == 2 or picture.format.name.startswith("yuvj") else 1


@dataclass(frozen=True)
class Facts:
    """What a clip's first frame says of all of them."""

    width: int  # as they lie in the file
    height: int
    pix_fmt: str  # of the frames that are yielded
    aspect: Fraction  # width of a pixel over its height, upright
    turns: int
    time_base: Fraction
    rate: Fraction
    claimed: int  # frames that the file says it has; 0 where it says nothing
    colours: tuple[int, int, int, int]  # range, matrix, primaries and transfer function, by FFmpeg's numbers
    matrix: tuple[int, ...] | None  # how players turn it
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the upright frames."""
        return (self.width, self.height) if self.turns % 2 else (self.height, self.width)


@contextmanager
def open_clip(path: Path) -> Iterator[Clip]:
    """Open a clip; every pass over it reads the same open file.

    Raises:
        DecodeError: it cannot be read, or is no clip that can be.
        UsageError: PyAV is not installed.
    """
    _refuse_without_av(path)
    try:
        stream = reading.open_file(path, LARGEST_FILE)
    except reading.StrangeFileError as error:
        much = error.errno == errno.EFBIG
        hint = "Cut it into shorter ones." if much else "Name a video file."
        raise DecodeError(f"{path}: {str(error.strerror).removeprefix('it ')}", hint) from error
    except FileNotFoundError as error:
        raise DecodeError(f"{path}: no such file", "Check the spelling of the path.") from error
    except OSError as error:
        why = error.strerror or reason_of(error)
        raise DecodeError(f"{path}: cannot be read ({why})", "Check the file's permissions.") from error
    with stream:
        yield Clip(path, stream)


def _refuse_without_av(path: Path) -> None:
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise DecodeError(
            f"{path}: clips need the optional av", f"Install it with: {install_command('av')}"
        ) from error


class Clip:
    """An open clip.

    Raises:
        DecodeError: it is no clip that can be read.
    """

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self.path, self.stream, self.damaged = path, stream, 0
        with self._opened() as container:
            self.facts = self._facts_of(container)

    @contextmanager
    def _opened(self) -> Iterator[InputContainer]:
        """Open the file from its beginning."""
        import av
        from av.error import FFmpegError

        self.stream.seek(0)
        options = {"protocol_whitelist": "", "format_whitelist": FORMATS, "probesize": "20000000"}
        try:
            container = av.open(self.stream, "r", options=options, metadata_errors="replace")
        except (FFmpegError, ValueError, OSError) as error:
            raise DecodeError(
                f"{self.path}: is no video that can be read", "Give an MP4, MOV or MKV."
            ) from error
        with container:
            yield container

    def _video_of(self, container: InputContainer) -> VideoStream:
        """Return the stream of the pictures: the first that is no cover; raises DecodeError."""
        from av.stream import Disposition

        for stream in container.streams.video:
            if Disposition.attached_pic & stream.disposition:
                continue
            if stream.codec_context is None or stream.codec_context.codec.name not in CODECS:
                name = "unknown" if stream.codec_context is None else stream.codec_context.codec.name
                raise DecodeError(
                    f"{self.path}: its pictures are coded in a way that is not read ({name})",
                    "Convert it to H.264 first.",
                )
            _refuse_size(self.path, stream.codec_context.width, stream.codec_context.height)
            stream.codec_context.options = {"max_pixels": str(2 * LARGEST_FRAME)}
            stream.codec_context.thread_type = "SLICE"
            return stream
        raise DecodeError(f"{self.path}: has no pictures", "Give a video file.")

    def _facts_of(self, container: InputContainer) -> Facts:
        stream = self._video_of(container)
        first = next((picture for picture in self._pictures(container, stream)), None)
        if first is None:
            raise DecodeError(f"{self.path}: has no frames", _COPY_AGAIN)
        _refuse_size(self.path, first.width, first.height)
        if int(first.color_trc) in HDR:
            raise DecodeError(
                f"{self.path}: is in HDR, whose colours the profile does not know",
                "Make an SDR copy first: most players and phones export one.",
            )
        if first.interlaced_frame:
            raise DecodeError(
                f"{self.path}: is interlaced: two instants in each frame",
                "Deinterlace it first: ffmpeg -i IN -vf bwdif -crf 12 OUT.mp4",
            )
        notes: tuple[str, ...] = ()
        if first.format.components[0].bits > 8:
            notes = (f"{first.format.components[0].bits} bits a colour become 8",)
        sides: Any = first.side_data  # av's types take it for a mapping
        matrix = next((bytes(one) for one in sides if one.type.name == "DISPLAYMATRIX"), None)
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        time_base = stream.time_base or 1 / rate
        return Facts(
            width=first.width,
            height=first.height,
            pix_fmt=_planar(first.format.name),
            aspect=_aspect(stream.sample_aspect_ratio, first.rotation),
            turns=round(first.rotation / 90) % 4,
            time_base=time_base,
            rate=rate,
            claimed=min(max(stream.frames or _lasting(stream, rate), 0), MOST_FRAMES),
            colours=(
                full_range(first),
                int(first.colorspace),
                int(first.color_primaries),
                int(first.color_trc),
            ),
            matrix=None
            if matrix is None or len(matrix) != 36
            else tuple(np.frombuffer(matrix, "<i4").tolist()),
            notes=notes,
        )

    def _pictures(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
        for item in self._demuxed(container, stream):
            if not hasattr(item, "is_keyframe"):
                yield item

    def _demuxed(self, container: InputContainer, stream: VideoStream, *others: Any) -> Iterator[Any]:
        """Yield decoded pictures, and packets of other streams, in the file's order."""
        from av.error import EOFError as End
        from av.error import FFmpegError

        self.damaged = seen = 0
        packets = container.demux(stream, *others)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except End:
                return
            except (FFmpegError, OSError):  # the rest is cut off or damaged
                self.damaged += 1
                return
            if packet.stream is not stream:
                if packet.dts is not None or packet.pts is not None:
                    yield packet
                continue
            seen += 1
            try:
                yield from packet.decode()
            except FFmpegError:
                self.damaged += 1
                if self.damaged > 25 and self.damaged > MOST_DAMAGED * seen:
                    raise DecodeError(f"{self.path}: most of it is damaged", _COPY_AGAIN) from None

    def frames(self) -> Iterator[Frame]:
        """Yield all frames; see `items`."""
        with self._opened() as container:
            yield from self._numbered(self._pictures(container, self._video_of(container)))

    @contextmanager
    def items(self) -> Iterator[tuple[InputContainer, list[Any], Iterator[Frame | Packet[Any]]]]:
        """Open what a copy is made of: the container, the streams that are copied, and all that is in them.

        Raises:
            DecodeError: a frame has another size than the first, or there are too many.
        """
        with self._opened() as container:
            stream = self._video_of(container)
            copied = [*container.streams.audio, *container.streams.subtitles]
            yield container, copied, self._numbered(self._demuxed(container, stream, *copied))

    def _numbered(self, items: Iterator[Any]) -> Iterator[Any]:
        number, last = 0, None
        for item in items:
            if hasattr(item, "is_keyframe"):
                yield item
                continue
            if number == MOST_FRAMES:
                raise DecodeError(f"{self.path}: has more than {MOST_FRAMES:,} frames", "Cut it into parts.")
            facts = self.facts
            if (item.width, item.height) != (facts.width, facts.height):
                raise DecodeError(
                    f"{self.path}: its frames change their size, from {facts.width} x {facts.height} to "
                    f"{item.width} x {item.height}",
                    "Convert it to one size first.",
                )
            pts = item.pts if item.pts is not None else item.dts
            if pts is None or (last is not None and pts <= last):  # some old formats have none
                step = max(1, round(1 / (facts.rate * facts.time_base)))
                pts = 0 if last is None else last + (step if pts is None else 1)
            if item.format.name != facts.pix_fmt:
                item = _converted(item, facts.pix_fmt)
            yield Frame(number, pts, item, facts.turns)
            number, last = number + 1, pts


def _planar(pix_fmt: str) -> str:
    """Return what frames of a format are worked on as."""
    if pix_fmt in PLANAR:
        return pix_fmt
    kinds = ("444", "422")
    kind = next((kind for kind in kinds if kind in pix_fmt), "420")
    return "yuv444p" if "rgb" in pix_fmt or "gbr" in pix_fmt or "bgr" in pix_fmt else f"yuv{kind}p"


def _converted(picture: VideoFrame, pix_fmt: str) -> VideoFrame:
    """Return a frame in another format, its colours as they were."""
    matrix, full = matrix_of(picture), full_range(picture)
    range_ = 2 if "yuv" not in picture.format.name and "nv" not in picture.format.name else full
    return picture.reformat(
        format=pix_fmt,
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=range_,
        dst_color_range=full,
    )


def _aspect(aspect: Fraction | None, rotation: int) -> Fraction:
    """Return the width of a pixel over its height in the upright picture; what cannot be is 1."""
    if not aspect or not Fraction(1, 4) <= aspect <= 4:
        return Fraction(1)
    return 1 / aspect if round(rotation / 90) % 2 else aspect


def _lasting(stream: VideoStream, rate: Fraction) -> int:
    """Return about how many frames a stream has by how long it lasts."""
    if not stream.duration or not stream.time_base:
        return 0
    return int(stream.duration * stream.time_base * rate)


def _refuse_size(path: Path, width: int, height: int) -> None:
    if width * height > LARGEST_FRAME:
        raise DecodeError(
            f"{path}: its frames have {width} x {height} pixels, more than the "
            f"{LARGEST_FRAME / 1e6:g} million that are worked on",
            "Make it smaller first.",
        )
    if min(width, height) < SMALLEST_SIDE:
        raise DecodeError(f"{path}: its frames have {width} x {height} pixels", "Give a larger one.")
