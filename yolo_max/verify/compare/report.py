"""A comparison as one page of HTML that needs no network, no other file, and hardly a script."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import quote

from yolo_max.support.text import counted
from yolo_max.verify.compare.comparison import DIFFERENCES, PERCENTILES, Comparison, ImageComparison
from yolo_max.verify.engine_run import NAMES
from yolo_max.verify.parity.rubric import BOX_BOUND, SCORE_BOUND, TensorDifference

PAGE = Path(__file__).with_name("report.html")
MAX_POINTS = 4000
"""Of the scatter plot; the ones farthest from the diagonal are kept."""


@dataclass(frozen=True)
class Picture:
    """A side-by-side picture.

    Attributes:
        file: Where it is, relative to the report; None when it was not written.
        thumbnail: The ``data:`` address of a small copy; None for images far down the list.
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
        comparison: What to show.
        pictures: By the path of the image.
        provenance: What the figures come from, by name: versions, command, machine.
    """
    reference = NAMES[comparison.settings.baseline]
    verdict = comparison.verdict
    names = _names([image.path for image in comparison.images])
    template = Template(PAGE.read_text(encoding="utf-8"))
    return template.substitute(
        title=f"{reference} and MAX · {escape(comparison.settings.weights.path.name)}",
        verdict="Parity holds" if verdict.holds else "Parity does not hold",
        verdict_class="" if verdict.holds else "bad",
        summary=_summary(comparison),
        failing=_failing(comparison),
        tiles=_tiles(comparison),
        scatter=_scatter(comparison),
        differences=_differences(comparison),
        times=_times(comparison),
        layers=_layers(comparison.layers),
        reference=reference,
        columns=_columns(reference),
        rows="\n".join(
            _row(image, pictures[image.path], names[image.path], reference)
            for image in comparison.worst_first()
        ),
        unreadable=_unreadable(comparison.unreadable),
        provenance=_provenance(provenance or {}),
    )


def _summary(comparison: Comparison) -> str:
    settings = comparison.settings
    post, (height, width) = settings.postprocess, settings.canvas_size
    return (
        f"{counted(len(comparison.images), 'image')} through {NAMES[settings.baseline]} and MAX with "
        f"<code>{escape(settings.weights.path.name)}</code> at {height} × {width}, "
        f"confidence above {post.conf:g}, NMS at IoU {post.iou:g}."
    )


def _failing(comparison: Comparison) -> str:
    failing = sum(not image.verdict.holds for image in comparison.images)
    if not failing:
        return ""
    total = counted(len(comparison.images), "image")
    return f"<p><b>{failing:,} of {total} out of bounds</b>; the worst come first below.</p>"


def _tiles(comparison: Comparison) -> str:
    counts, distributions = comparison.counts(), comparison.distributions()
    reference = NAMES[comparison.settings.baseline]
    only_reference = counts[f"only_{comparison.settings.baseline}"]
    tiles = [
        (f"{counts['matched']:,}", "detections matched"),
        (f"{only_reference:,}", f"only {reference}"),
        (f"{counts['only_max']:,}", "only MAX"),
        (f"{counts['excused']:,}", "of these excused, being within rounding of a threshold"),
    ]
    if "box_difference_px" in distributions:
        box = distributions["box_difference_px"]["p100"]
        score = distributions["score_difference"]["p100"]
        tiles += [
            (f"{_short(box)} px", f"largest box difference before NMS (bound {BOX_BOUND:g} px)"),
            (_short(score), f"largest score difference before NMS (bound {SCORE_BOUND:g})"),
        ]
    return "".join(
        f'<div class="card tile"><b>{figure}</b><span class="soft">{escape(text)}</span></div>'
        for figure, text in tiles
    )


def _scatter(comparison: Comparison) -> str:
    """Confidences as an SVG: the baseline's across, MAX's up; 0 for a detection that an engine lacks."""
    both: list[tuple[float, float]] = []
    alone: list[tuple[float, float]] = []
    for image in comparison.images:
        pairs = image.detections.matching
        ours, theirs = image.ours.confidence, image.reference.confidence
        both += zip(theirs[pairs.second].tolist(), ours[pairs.first].tolist(), strict=True)
        alone += [(float(confidence), 0.0) for confidence in theirs[pairs.only_second]]
        alone += [(0.0, float(confidence)) for confidence in ours[pairs.only_first]]
    both = sorted(both, key=lambda point: -abs(point[0] - point[1]))[:MAX_POINTS]
    grid = "".join(
        f'<path d="M{_x(v)} {_y(0)}V{_y(1)}M{_x(0)} {_y(v)}H{_x(1)}" stroke="var(--line)"/>'
        f'<text x="{_x(v)}" y="{_y(0) + 16}" text-anchor="middle">{v:g}</text>'
        f'<text x="{_x(0) - 7}" y="{_y(v) + 4}" text-anchor="end">{v:g}</text>'
        for v in (0, 0.25, 0.5, 0.75, 1)
    )
    reference = NAMES[comparison.settings.baseline]
    label = f"Confidences of {reference} and MAX"
    return (
        f'<svg class="scatter" viewBox="0 0 360 350" role="img" aria-label="{label}">'
        f'{grid}<path d="M{_x(0)} {_y(0)}L{_x(1)} {_y(1)}" stroke="var(--soft)" stroke-dasharray="3 4"/>'
        f"{_dots(both, 'var(--max)', 5)}{_dots(alone, 'var(--alone)', 8)}"
        f'<text x="{_x(0.5)}" y="346" text-anchor="middle">{reference}</text>'
        f'<text transform="translate(11 {_y(0.5)}) rotate(-90)" text-anchor="middle">MAX</text></svg>'
    )


def _dots(points: Iterable[tuple[float, float]], color: str, size: int) -> str:
    path = "".join(f"M{_x(x)} {_y(y)}h0" for x, y in points)
    return f'<path d="{path}" stroke="{color}" stroke-width="{size}" stroke-linecap="round" opacity="0.65"/>'


def _x(value: float) -> float:
    return round(44 + 306 * value, 1)


def _y(value: float) -> float:
    return round(314 - 306 * value, 1)


def _times(comparison: Comparison) -> str:
    """What each engine took, in small print: one after the other, on a machine of any load, is no race."""
    times = [
        f"{NAMES[engine]} {each['infer_ms_p50']:.1f} ms ({_info(comparison.info[engine])})"
        for engine, each in comparison.speed().items()
    ]
    if not times:
        return ""
    return (
        f'<p class="soft small">Time in the network, median an image: {escape("; ".join(times))}. '
        "Not a benchmark: see <code>yolo-max bench</code>.</p>"
    )


def _info(info: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(info.items()) if name != "imgsz")


def _differences(comparison: Comparison) -> str:
    distributions = comparison.distributions()
    labels = {50: "median", 100: "worst"}
    inner = {p: ' class="inner"' for p in PERCENTILES if p not in labels}
    heads = [f"<th{inner.get(p, '')}>{labels.get(p, f'{p} %')}</th>" for p in PERCENTILES]
    head = f"<th></th>{''.join(heads)}<th>bound</th>"
    body = "".join(
        f"<tr><td>{name}</td>"
        + "".join(_figure(distributions[key][f"p{p}"], bound, "inner" * (p in inner)) for p in PERCENTILES)
        + f"<td>{'' if bound is None else f'{bound:.2g}'}</td></tr>"
        for key, name, bound in DIFFERENCES
        if key in distributions
    )
    return f'<table class="figures"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _layers(layers: Sequence[TensorDifference]) -> str:
    if not layers:
        return ""
    body = "".join(
        f"<tr><td>{escape(layer.name)}</td><td>{layer.magnitude:.3g}</td>"
        f"{_figure(layer.difference, layer.bound)}<td>{layer.bound:.2g}</td>"
        f"<td>{'' if layer.ratio is None else f'{layer.ratio:.2f}'}</td></tr>"
        for layer in layers
    )
    columns = ("layer", "largest value", "difference", "bound", "distance from float64, PyTorch = 1")
    head = "".join(f"<th>{column}</th>" for column in columns)
    table = f'<table class="figures"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    summary = f"<summary><h2>Layers</h2> {counted(len(layers), 'row')}</summary>"
    return f'<details class="card below">{summary}<div class="scroll">{table}</div></details>'


_COLUMNS = (
    ("image", "ascending"),
    ("matched", "descending"),
    ("only {reference}", "descending"),
    ("only MAX", "descending"),
    ("least IoU", "ascending"),
    ("Δ confidence", "descending"),
    ("Δ box, px", "descending"),
    ("Δ head", "descending"),
)


def _columns(reference: str) -> str:
    names = [(name.format(reference=reference), first) for name, first in _COLUMNS]
    return "".join(
        f'<th data-first="{first}"><button type="button" title="Sort by {name}">{name}</button></th>'
        for name, first in names
    )


def _row(image: ImageComparison, picture: Picture, name: str, reference: str) -> str:
    matching, head, verdict = image.detections.matching, image.head, image.verdict
    shown = f'<img src="{picture.thumbnail}" alt="" loading="lazy">' if picture.thumbnail else ""
    shown += f'<div class="name">{escape(name)}</div>'
    if picture.file:
        shown = f'<a href="{quote(os.fsencode(picture.file))}">{shown}</a>'
    failures = "".join(f"<li>{escape(failure)}</li>" for failure in verdict.failures)
    cells = (
        (len(matching.first), str(len(matching.first))),
        (len(matching.only_second), _alone(len(matching.only_second))),
        (len(matching.only_first), _alone(len(matching.only_first))),
        (image.least_iou, f"{image.least_iou:.4f}"),
        (image.confidence_difference, _short(image.confidence_difference)),
        (head.box if head else 0, _short(head.box) if head else ""),
        (head.logits.difference if head else 0, _short(head.logits.difference) if head else ""),
    )
    columns = [column for column, _ in _COLUMNS[1:]]
    rest = "".join(
        f'<td data-label="{column.format(reference=reference)}" data-value="{value}">{text}</td>'
        for column, (value, text) in zip(columns, cells, strict=True)
    )
    listed = f"<ul>{failures}</ul>" if failures else ""
    state = "" if verdict.holds else ' class="failed"'
    return f'<tr{state}><td data-value="{escape(name)}">{shown}{listed}</td>{rest}</tr>'


def _names(paths: Sequence[str]) -> dict[str, str]:
    """The paths without the folders that all of them share."""
    shared = os.path.commonpath([Path(path).absolute().parent for path in paths]) if paths else ""
    return {path: os.path.relpath(path, shared) for path in paths}


def _alone(count: int) -> str:
    return f'<span class="alone">{count}</span>' if count else "0"


def _figure(value: float, bound: float | None, kind: str = "") -> str:
    names = " ".join([kind] * bool(kind) + ["over"] * (bound is not None and not value <= bound))
    return f'<td class="{names}">{_short(value)}</td>' if names else f"<td>{_short(value)}</td>"


def _unreadable(unreadable: Mapping[str, str]) -> str:
    if not unreadable:
        return ""
    items = "".join(f"<li>{escape(path)}: {escape(reason)}</li>" for path, reason in unreadable.items())
    return f'<section class="card below"><h2>Not compared</h2><ul>{items}</ul></section>'


def _provenance(facts: Mapping[str, str]) -> str:
    return "<br>".join(f"{escape(name)}: <code>{escape(value)}</code>" for name, value in facts.items())


def _short(value: float) -> str:
    """Two digits that count, with an exponent only where there would be many zeros."""
    if value == 0 or not 1e-3 <= value < 1e6:
        return f"{value:.1e}" if value else "0"
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
