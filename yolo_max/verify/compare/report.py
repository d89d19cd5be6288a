"""A comparison as one HTML page that needs no network and no other file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from yolo_max.support import html
from yolo_max.support.text import counted
from yolo_max.tasks.comparison import Judge
from yolo_max.verify.compare.comparison import PERCENTILES, Comparison, ImageComparison
from yolo_max.verify.engine_run import NAMES

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
    warnings: Sequence[str] = (),
    provenance: Mapping[str, str] | None = None,
) -> str:
    """Renders the page.

    Args:
        comparison: The comparison.
        pictures: Pictures by the path of the image.
        warnings: Sentences about what casts doubt on it.
        provenance: Versions, command, machine and so on, by name.
    """
    settings, images = comparison.settings, comparison.worst_first()
    reference, judge = NAMES[settings.baseline], settings.judge
    distributions = comparison.distributions()
    return html.render(
        TEMPLATE,
        title=f"{reference} and MAX · {settings.weights.path.name}",
        reference=reference,
        weights=settings.weights.path.name,
        canvas=settings.canvas_size,
        judge=judge,
        verdict=comparison.verdict,
        is_judged=comparison.is_judged,
        headline=comparison.headline,
        bound=lambda measure: None if settings.is_bf16 else measure.bound,
        failing=sum(not image.verdict.holds for image in images),
        warnings=warnings,
        tiles=_tiles(comparison),
        points=_points(comparison),
        x=lambda value: round(44 + 306 * value, 1),
        y=lambda value: round(314 - 306 * value, 1),
        percentiles=PERCENTILE_COLUMNS,
        differences=[
            (measure, distributions[measure.key])
            for measure in judge.measures
            if measure.key in distributions
        ],
        times="; ".join(
            f"{NAMES[engine]} {each['infer_ms_p50']:.1f} ms ({_info(comparison.info[engine])})"
            for engine, each in comparison.speed().items()
        ),
        images=images,
        columns=_columns(judge, reference),
        cells=lambda image: _cells(judge, image),
        pictures=pictures,
        names=_names([image.path for image in images]),
        link=lambda file: quote(os.fsencode(file)),
        unreadable=comparison.unreadable,
        layers=comparison.layers,
        provenance=provenance or {},
        counted=counted,
        zip=zip,
        short=_short,
    )


def _tiles(comparison: Comparison) -> list[tuple[str, str]]:
    counts, distributions = comparison.counts(), comparison.distributions()
    baseline, judge = comparison.settings.baseline, comparison.settings.judge
    tiles = [
        *(
            (f"{counts[key]:,} of {len(comparison.images):,}", f"images with the same {name}")
            for key, name in judge.agreements.items()
        ),
        (f"{counts['matched']:,}", f"{judge.things} matched"),
        (f"{counts[f'only_{baseline}']:,}", f"only {NAMES[baseline]}"),
        (f"{counts['only_max']:,}", "only MAX"),
        (f"{counts['excused']:,}", "of these excused, within rounding of a threshold"),
    ]
    for measure in judge.measures:
        if measure.tile and measure.key in distributions:
            worst, unit = _short(distributions[measure.key]["p100"]), f" {measure.unit}".rstrip()
            bound = "" if comparison.settings.is_bf16 else f" (bound {measure.bound:g}{unit})"
            tiles.append((f"{worst}{unit}", f"largest {measure.tile}{bound}"))
    return tiles


def _columns(judge: Judge, reference: str) -> list[tuple[str, bool]]:
    """The columns of the table of images after the first: heading, and whether the least comes first."""
    return [
        *((f"same {name}", True) for name in judge.agreements.values()),
        *((name, False) for name in ("matched", f"only {reference}", "only MAX")),
        *((measure.column, measure.similarity) for measure in judge.measures if measure.column),
    ]


def _cells(judge: Judge, image: ImageComparison) -> list[tuple[float, str, bool]]:
    """One image's values in these columns, what to show of them, and whether it stands out."""
    difference, samples = image.difference, image.samples
    only_max, only_reference = map(len, difference.alone)
    cells = [
        *((float(same), "yes" if same else "no", not same) for same in difference.same.values()),
        (len(difference.pairs[0]), str(len(difference.pairs[0])), False),
        *((count, str(count), count > 0) for count in (only_reference, only_max)),
    ]
    for measure in judge.measures:
        if measure.column:
            worst = float(samples[measure.key].max(initial=0)) if measure.key in samples else 0.0
            value = 1 - worst if measure.similarity else worst
            text = f"{value:.4f}" if measure.similarity else _short(value)
            cells.append((value, text if measure.key in samples else "", False))
    return cells


def _points(comparison: Comparison) -> dict[str, list[tuple[float, float]]]:
    """Confidences of the baseline and of MAX; 0 for what an engine lacks."""
    both: list[tuple[float, float]] = []
    alone: list[tuple[float, float]] = []
    for image in comparison.images:
        ours, theirs = image.ours.confidence, image.reference.confidence
        (first, second), (only_max, only_reference) = image.difference.pairs, image.difference.alone
        both += zip(theirs[second].tolist(), ours[first].tolist(), strict=True)
        alone += [(confidence, 0.0) for confidence in theirs[only_reference].tolist()]
        alone += [(0.0, confidence) for confidence in ours[only_max].tolist()]
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
