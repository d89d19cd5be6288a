"""Names of result files, for the code that writes them and the code that looks for sources."""

from __future__ import annotations

from pathlib import Path

MANIFEST_FILE = "predictions.jsonl"
"""One record per line, for every image of a run."""
RUN_FILE = "run.json"
"""The run's settings and status, next to its manifest."""
IN_FLIGHT_FILE = "in-flight.jsonl"
"""The images in progress while a run lasts."""
SHARDS_FOLDER = "shards"
"""The records of a run on Ray, some images per file; the manifest is made of them."""
CSV_FILE = "predictions.csv"
COCO_FILE = "predictions.json"
PARQUET_FILE = "predictions.parquet"
GALLERY_FILE = "gallery.html"
COMPARISON_FILE = "compare.json"
REPORT_FILE = "report.html"
"""A comparison as data, and as a page to read."""

FORMATS = {
    ".jpg": ".jpg",
    ".jpeg": ".jpg",
    ".jpe": ".jpg",
    ".jfif": ".jpg",
    ".png": ".png",
    ".webp": ".webp",
    ".bmp": ".bmp",
    ".tif": ".tiff",
    ".tiff": ".tiff",
    ".jp2": ".jp2",
}
"""The format of an annotated image, by its name's suffix in lower case."""


def annotated_name(name: str) -> str:
    """The file name of an annotated image: that of the source, if its format can be written.

    Anything that OpenCV cannot write (GIF, AVIF, MPO, a missing or unknown suffix) becomes a PNG with a
    second suffix: ``a.gif.png`` for ``a.gif``.
    """
    return name if Path(name).suffix.lower() in FORMATS else f"{name}.png"


VIDEO_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""The container of an annotated video, by its name's suffix in lower case, as FFmpeg calls it."""


def annotated_video_name(name: str) -> str:
    """The file name of an annotated video: that of the source, or ``a.avi.mp4`` for a format not written."""
    return name if Path(name).suffix.lower() in VIDEO_FORMATS else f"{name}.mp4"
