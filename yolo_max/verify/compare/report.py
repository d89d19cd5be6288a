"""A comparison as one HTML page that needs no network and no other file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from yolo_max.support import html
from yolo_max.support.text import counted
from yolo_max.verify.compare.comparison import DIFFERENCES, PERCENTILES, Comparison
from yolo_max.verify.engine_run import NAMES
from yolo_max.verify.parity.rubric import BOX_BOUND, SCORE_BOUND

TEMPLATE = Path(__file__).with_name("report.html")
MAX_POINTS = 4000
"""Max number of points in the scatter plot; the farthest from the diagonal are kept."""
PERCENTILE_COLUMNS = {
    f"p{p}": {50: ("median", ""), 100: ("worst", "")}.get(p, (f"{p} %", "inner")) for p in PERCENTILES
}
"""By percentile key: a heading, and the CSS class of columns that narrow windows hide."""


@dataclass(frozen=True)
class Picture:
    """A side-by-side picture.

    Attributes:
        file: Path relative to the report; None if it was not written.
        thumbnail: ``data:`` URL of a small copy; None far down the list.
    """

    file: str | None
    thumbnail: str | None


def render(
    comparison: Comparison,
    pictures: Mapping[str, Picture],
    *,
    provenance: Mapping[str, str] | None = None,
) -> str:
    """Renders the page.

    Args:
        comparison: The comparison.
        pictures: Pictures by the path of the image.
        provenance: Versions, command, machine and so on, by name.
    """
    settings, images = comparison.settings, comparison.worst_first()
    reference, post = NAMES[settings.baseline], settings.postprocess
    distributions = comparison.distributions()
    return html.render(
        TEMPLATE,
        title=f"{reference} and MAX · {settings.weights.path.name}",
        reference=reference,
        weights=settings.weights.path.name,
        canvas=settings.canvas_size,
        conf=post.conf,
        iou=post.iou,
        verdict=comparison.verdict,
        failing=sum(not image.verdict.holds for image in images),
        tiles=_tiles(comparison),
        points=_points(comparison),
        x=lambda value: round(44 + 306 * value, 1),
        y=lambda value: round(314 - 306 * value, 1),
        percentiles=PERCENTILE_COLUMNS,
        differences=[
            (name, distributions[key], bound) for key, name, bound in DIFFERENCES if key in distributions
        ],
        times="; ".join(
            f"{NAMES[engine]} {each['infer_ms_p50']:.1f} ms ({_info(comparison.info[engine])})"
            for engine, each in comparison.speed().items()
        ),
        images=images,
        pictures=pictures,
        names=_names([image.path for image in images]),
        link=lambda file: quote(os.fsencode(file)),
        unreadable=comparison.unreadable,
        layers=comparison.layers,
        provenance=provenance or {},
        counted=counted,
        short=_short,
    )


def _tiles(comparison: Comparison) -> list[tuple[str, str]]:
    counts, distributions = comparison.counts(), comparison.distributions()
    baseline = comparison.settings.baseline
    tiles = [
        (f"{counts['matched']:,}", "detections matched"),
        (f"{counts[f'only_{baseline}']:,}", f"only {NAMES[baseline]}"),
        (f"{counts['only_max']:,}", "only MAX"),
        (f"{counts['excused']:,}", "of these excused, within rounding of a threshold"),
    ]
    if "box_difference_px" in distributions:
        box = distributions["box_difference_px"]["p100"]
        score = distributions["score_difference"]["p100"]
        tiles += [
            (f"{_short(box)} px", f"largest box difference before NMS (bound {BOX_BOUND:g} px)"),
            (_short(score), f"largest score difference before NMS (bound {SCORE_BOUND:g})"),
        ]
    return tiles


def _points(comparison: Comparison) -> dict[str, list[tuple[float, float]]]:
    """Confidences of the baseline and of MAX; 0 for a detection that an engine lacks."""
    both: list[tuple[float, float]] = []
    alone: list[tuple[float, float]] = []
    for image in comparison.images:
        pairs = image.detections.matching
        ours, theirs = image.ours.confidence, image.reference.confidence
        both += zip(theirs[pairs.second].tolist(), ours[pairs.first].tolist(), strict=True)
        alone += [(float(confidence), 0.0) for confidence in theirs[pairs.only_second]]
        alone += [(0.0, float(confidence)) for confidence in ours[pairs.only_first]]
    both.sort(key=lambda point: -abs(point[0] - point[1]))
    return {"both": both[:MAX_POINTS], "alone": alone}


def _info(info: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(info.items()) if name != "imgsz")


def _names(paths: Sequence[str]) -> dict[str, str]:
    """The paths relative to the folder that all share."""
    shared = os.path.commonpath([Path(path).absolute().parent for path in paths]) if paths else ""
    return {path: os.path.relpath(path, shared) for path in paths}


def _short(value: float) -> str:
    """Two significant digits, with an exponent for very small or large values."""
    if value == 0 or not 1e-3 <= value < 1e6:
        return f"{value:.1e}" if value else "0"
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
