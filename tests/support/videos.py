"""Videos made for tests: a few small frames that can be told apart, with sound or without."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SIZE = (48, 64)
"""(height, width) of the frames."""


def picture(number: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """A frame: bright in its upper left quarter, and elsewhere 15 brighter than the one before it."""
    height, width = size
    image = np.full((height, width, 3), 20 + number % 14 * 15, np.uint8)
    image[: height // 2, : width // 2] = 235
    return image


def write_video(
    path: Path,
    count: int = 12,
    *,
    size: tuple[int, int] = SIZE,
    codec: str = "libx264",
    rate: int = 25,
    rotation: float | None = None,
    aspect: Fraction | None = None,
    sound: str | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Writes a video; its container is that of its suffix.

    Args:
        path: Where to.
        count: How many frames.
        size: (height, width) as stored.
        codec: Of the frames.
        rate: Frames per second.
        rotation: By how many degrees it is displayed turned, counter-clockwise.
        aspect: Width of a pixel by its height, before it is turned.
        sound: The codec of a tone; None for a silent video.
        options: Of the codec of the frames.
    """
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if rotation is not None:
            stream.set_display_rotation(rotation)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        tone: Any = None
        if sound:
            tone = container.add_stream(sound, rate=48000)
            tone.layout = "mono"
        if sound:
            wave = (8000 * np.sin(np.arange(48000 * count // rate) / 20)).astype(np.int16)
            for start in range(0, len(wave) - 1024, 1024):
                heard = av.AudioFrame.from_ndarray(
                    wave[None, start : start + 1024], format="s16", layout="mono"
                )
                heard.sample_rate, heard.pts = 48000, start
                container.mux(tone.encode(heard))
            container.mux(tone.encode(None))
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(picture(number, size), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


class Read(NamedTuple):
    """What is in a video: its frames as stored and their times in seconds, codec, frames per second."""

    frames: list[NDArray[np.uint8]]
    times: list[float]
    codec: str
    rate: float


def read_video(path: Path) -> Read:
    """Reads a video with PyAV."""
    import av

    with av.open(str(path)) as container:
        stream: Any = container.streams.video[0]
        frames: list[Any] = list(container.decode(stream))
        pixels = [frame.to_ndarray(format="bgr24") for frame in frames]
        rate = float(stream.average_rate or stream.guessed_rate)
        return Read(pixels, [frame.time for frame in frames], stream.codec_context.name, rate)


def sound_of(path: Path) -> list[bytes]:
    """The packets of a video's sound."""
    import av

    with av.open(str(path)) as container:
        if not container.streams.audio:
            return []
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]
