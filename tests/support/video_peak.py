"""Reads a video as far as it can be: ``video_peak.py VIDEO``.

Prints how many frames were refused, and the memory in KiB that it took at its peak more than a small video.
"""

from __future__ import annotations

import resource
import sys
import tempfile
from pathlib import Path

from videos import write_video

from yolo_max.images.video import Video
from yolo_max.support.errors import ImageError

MAX_PIXELS = 10_000


def refused(path: Path) -> int:
    """How many frames are refused; 1 if the video is."""
    count = 0
    try:
        with Video.of_file(path, max_pixels=MAX_PIXELS) as video:
            for frame in video.frames():
                try:
                    frame.load()
                except ImageError:
                    count += 1
    except ImageError:
        count += 1
    return count


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        refused(write_video(Path(folder) / "small.ts"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(refused(Path(sys.argv[1])), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
