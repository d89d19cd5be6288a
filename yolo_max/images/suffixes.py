"""Which files in a folder are images or videos, by their names."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

_HEIF_SUFFIXES = (".heic", ".heif", ".hif")
IMAGE_SUFFIXES = frozenset(
    (
        *_HEIF_SUFFIXES,
        ".avif",
        ".bmp",
        ".gif",
        ".jfif",
        ".jp2",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".mpo",
        ".png",
        ".tif",
        ".tiff",
        ".webp",
    )
)
"""In lower case. A file that is named as a source is always tried, whatever its suffix."""

VIDEO_SUFFIXES = frozenset(
    (
        *(".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts"),
        *(".mxf", ".ogv", ".ts", ".webm", ".wmv"),
    )
)

NEEDS_PYAV = "videos are read with PyAV; pip install 'yolo-max[video]'"

_RAW_SUFFIXES = (".arw", ".cr2", ".cr3", ".dng", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".srw")
_OTHER_SUFFIXES = (
    *(".dcm", ".exr", ".hdr", ".ico", ".j2k", ".jpx", ".jxl", ".pbm", ".pcx", ".pfm", ".pgm", ".pnm", ".ppm"),
    *(".psd", ".ras", ".sgi", ".svg", ".tga"),
)
_NOT_READ = {
    **dict.fromkeys(_RAW_SUFFIXES, "raw images of cameras are not read; convert them to JPEG"),
    **dict.fromkeys(_HEIF_SUFFIXES, "HEIC images are read with pillow-heif; pip install pillow-heif"),
    **dict.fromkeys(_OTHER_SUFFIXES, "images of this format are not read; convert them to PNG"),
}


def is_image(path: Path) -> bool:
    """Whether a file is called like an image that can be read here."""
    suffix = path.suffix.lower()
    return suffix in IMAGE_SUFFIXES and (suffix not in _HEIF_SUFFIXES or reads_heif())


def is_video(path: Path) -> bool:
    """Whether a file is called like a video, and videos can be read here."""
    return path.suffix.lower() in VIDEO_SUFFIXES and reads_video()


@cache
def reads_video() -> bool:
    """Whether PyAV, an optional dependency, is installed."""
    return find_spec("av") is not None


@cache
def reads_heif() -> bool:
    """Whether pillow-heif, an optional dependency, is installed."""
    return find_spec("pillow_heif") is not None


def why_not_read(path: Path, *, videos: bool = False) -> str | None:
    """Why a file is left out of a folder, and what to do; None if nobody would expect it to be read.

    Args:
        path: The file.
        videos: Whether videos would be read if PyAV were installed.
    """
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return NEEDS_PYAV if videos else "only images are read here, not videos"
    return _NOT_READ.get(suffix)
