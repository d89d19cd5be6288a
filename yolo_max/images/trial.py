"""Finds the files that crash their decoder, by decoding each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from yolo_max.images.read import read_image, silence_opencv
from yolo_max.images.suffixes import is_video
from yolo_max.images.video import Video
from yolo_max.support.errors import ImageError


def find_crashes(paths: Iterable[str], *, max_pixels: int) -> dict[str, str]:
    """Finds the files that kill the process that decodes them.

    They are decoded one after the other, so that none is blamed for another's crash.

    Args:
        paths: The files.
        max_pixels: As for `yolo_max.images.read.read_image`.

    Returns:
        The reason by path. A file that merely cannot be read is not among them.
    """
    paths = list(paths)
    if not paths:
        return {}
    done = subprocess.run(
        # -P, or it would import what lies in the working directory.
        [sys.executable, "-P", "-m", __name__, str(max_pixels)],
        input=b"\0".join(os.fsencode(path) for path in paths),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # The child finds the same modules.
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        # A signal to the group of this process must not make a file look guilty.
        start_new_session=True,
        check=False,
    )
    return {
        path: f"decoding it crashes the process ({signal.strsignal(int(number))})"
        for path, number in zip(paths, done.stdout.split(), strict=False)
        if int(number)
    }


def main() -> None:
    """Reads NUL-separated paths from stdin; writes the signal that ended the process of each, or 0."""
    silence_opencv()
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # decoders may print
        for path in sys.stdin.buffer.read().split(b"\0"):
            child = os.fork()
            if not child:
                with suppress(BaseException):
                    _read(os.fsdecode(path), int(sys.argv[1]))
                os._exit(0)
            _, status = os.waitpid(child, 0)
            print(os.WTERMSIG(status), file=answers, flush=True)


def _read(path: str, max_pixels: int) -> None:
    if not is_video(Path(path)):
        read_image(path, max_pixels=max_pixels)
        return
    with Video.of_file(path, max_pixels=max_pixels) as video:
        for frame in video.frames():
            with suppress(ImageError):
                frame.load()


if __name__ == "__main__":
    main()
