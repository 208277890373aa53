"""Clips made for tests: what is seen on them, when, and what is heard meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from mystyle_cli.photos.decode import decode

ROOT = Path(__file__).parents[2]
PERSON = ROOT / "profiles/photos/ada-held-out/03.jpg"
STRANGER = ROOT / "profiles/photos/marco-held-out/02.jpg"

RATE = 25
TIME_BASE = Fraction(1, 12800)
TICKS = int(1 / (RATE * TIME_BASE))
SIDE = 128


def moving(photo: Path = PERSON, frames: int = 8, side: int = SIDE, speed: float = 1.0) -> np.ndarray:
    """Return frames uint8 (T, side, side, 3) of a photo's face that moves.

    Args:
        speed: in pixels from one frame to the next.
    """
    picture = Image.fromarray(decode(photo).pixels)
    square = picture.crop((95, 85, 315, 305))  # the head of the people above
    scale = 220 / side
    made = []
    for number in range(frames):
        right, down = speed * number - speed * frames / 2, 2 * np.sin(number / 2)
        matrix = (scale, 0, -right * scale, 0, scale, -down * scale)
        size = (side, side)
        turned = square.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
        made.append(np.asarray(turned))
    return np.stack(made)


def write_clip(
    path: Path,
    frames: np.ndarray,
    *,
    pts: Sequence[int] | None = None,
    sound: bool = False,
    words: bool = False,
    turned: float = 0.0,
    codec: str = "libx264",
    crf: int = 4,
    **facts: Any,
) -> Path:
    """Write frames uint8 (T, H, W, 3) as a clip.

    Args:
        pts: when each is shown, in `TIME_BASE`.
        sound: with a tone, as AAC.
        words: with subtitles.
        turned: by how many degrees players turn it.
        facts: of the coder, such as `sample_aspect_ratio`.
    """
    options = {"crf": str(crf), "preset": "ultrafast"} if codec == "libx264" else {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, options=options)
        coder = stream.codec_context
        coder.width, coder.height, coder.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        coder.time_base = TIME_BASE
        for name, value in facts.items():
            setattr(coder, name, value)
        if turned:
            stream.set_display_rotation(turned)
        heard = container.add_stream("aac", rate=8000, layout="mono") if sound else None
        said = container.add_mux_stream("mov_text", time_base=Fraction(1, 1000)) if words else None
        if said is not None:
            said.metadata["language"] = "eng"
        for number, pixels in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            picture = picture.reformat(format=coder.pix_fmt, dst_color_range=facts.get("color_range"))
            picture.pts, picture.time_base = number * TICKS if pts is None else pts[number], TIME_BASE
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        if said is not None:
            _say(container, said)
        if heard is not None:
            _hear(container, heard, len(frames) / RATE)
    return path


def _say(container: Any, stream: Any) -> None:
    for number, word in enumerate((b"hello", b"there")):
        packet = av.Packet(len(word).to_bytes(2, "big") + word)
        packet.stream, packet.time_base = stream, Fraction(1, 1000)
        packet.pts = packet.dts = 100 * number
        packet.duration = 90
        container.mux(packet)


def _hear(container: Any, stream: Any, seconds: float) -> None:
    for start in range(0, round(seconds * 8000), 1024):
        tone = 0.3 * np.sin(np.arange(start, start + 1024) / 3.0)
        frame = av.AudioFrame.from_ndarray(tone.astype(np.float32)[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 8000, start, Fraction(1, 8000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def read_clip(path: Path) -> tuple[np.ndarray, list[int]]:
    """Return a clip's frames uint8 (T, H, W, 3) as they lie in the file, and when each is shown."""
    with av.open(str(path)) as container:
        pictures = list(container.decode(video=0))
        assert {picture.time_base for picture in pictures} == {TIME_BASE}
        return np.stack([one.to_ndarray(format="rgb24") for one in pictures]), [one.pts for one in pictures]


def packets_of(path: Path, kind: str) -> list[tuple[int | None, int | None, bytes]]:
    """Return the packets of the streams of a kind: when each is decoded and shown, and its bytes."""
    with av.open(str(path)) as container:
        streams = [stream for stream in container.streams if stream.type == kind]
        return [(one.dts, one.pts, bytes(one)) for one in container.demux(streams) if one.dts is not None]


def playlist(path: Path, *names: object) -> Path:
    """Write a list of other files to play, as some players read it, under any name."""
    parts = [f"#EXTINF:1,\n{name}" for name in names]
    path.write_text("\n".join(["#EXTM3U", "#EXT-X-TARGETDURATION:9", *parts]))
    return path
