"""What the files of results are called: told to those who write them, and to those who look for sources."""

from __future__ import annotations

from pathlib import Path

MANIFEST_FILE = "predictions.jsonl"
"""One record per line, for every image of a run."""
RUN_FILE = "run.json"
"""What a run is, beside its manifest."""
IN_FLIGHT_FILE = "in-flight.jsonl"
"""The images that a run has begun with, as long as it runs."""
CSV_FILE = "predictions.csv"
COMPARISON_FILE = "compare.json"
REPORT_FILE = "report.html"
"""What a comparison is, and that to be read."""

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
"""In which format an annotated image is written, by the suffix of its name in lower case."""


def annotated_name(name: str) -> str:
    """The file name of an annotated image: its own, in the format that its suffix says.

    What OpenCV cannot write (GIF, AVIF, MPO, no suffix or an unknown one) becomes a PNG, and says so by a
    second suffix: ``a.gif`` becomes ``a.gif.png``.
    """
    return name if Path(name).suffix.lower() in FORMATS else f"{name}.png"
