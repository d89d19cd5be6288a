"""Sources that people may expect to work, and what to do instead."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from yolo_max.images.suffixes import NEEDS_PYAV, VIDEO_SUFFIXES, reads_video

_STREAMS = ("rtmp", "rtsps", "srt", "tcp", "udp")


def unsupported(source: str, *, videos: bool = False) -> str | None:
    """Says why a named source cannot be read.

    Args:
        source: As the user named it.
        videos: Whether videos are sources.

    Returns:
        What it is and what to do, to be put behind its name; None for a source that may be read.
    """
    is_folder = os.path.isdir(source)  # noqa: PTH112  (Path raises for some strings that are not paths)
    if Path(source).suffix.lower() in VIDEO_SUFFIXES and "://" not in source and not is_folder:
        if not videos:
            return (
                "is a video, and only images are read here; cut it into images first, for instance with "
                f"ffmpeg -i {shlex.quote(source)} %06d.png"
            )
        if not reads_video():
            return f"is a video; {NEEDS_PYAV}"
    if os.path.exists(source):  # noqa: PTH110
        if not is_folder and not os.path.isfile(source):  # noqa: PTH113
            return "is a pipe or a device; images are read from files, so name a file"
        return None
    scheme, separator, _ = source.partition("://")
    if separator:
        if scheme.lower() in _STREAMS:
            return "is a stream of a kind that is not read; http, https and rtsp are"
        return (
            "is an address, which is read only with --allow-remote"
            if videos
            else "is an address; download it first"
        )
    if source.isdecimal():
        return "would be a webcam, and only images are read here"
    if source == "-":
        return "would be the standard input, which is not read here; name a file"
    return None
