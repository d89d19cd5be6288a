"""Figures to charts, as data that `plots.py` draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from yolo_max.bench.engines import OURS
from yolo_max.bench.plan import PHASES, STAGES
from yolo_max.bench.report.summary import Figures
from yolo_max.bench.report.tables import conditions, label
from yolo_max.bench.results import EMPTY, WARM, BenchResults

COLORS = {
    "max": "#e4572e",
    "max-bf16": "#f4a259",
    "max-stock": "#a9745b",
    "torch": "#7a5fd0",
    "torch-compile": "#b69df0",
    "onnxruntime": "#2a9d8f",
    "openvino": "#2f7ed8",
    "openvino-bf16": "#86bdf2",
}
PARTS = ("#5b8e7d", "#8cb369", "#e4572e", "#f4a259", "#7a5fd0", "#2f7ed8")
"""Colors of stages and phases, in their order."""
OTHER = "#8a8f98"


@dataclass(frozen=True)
class Bar:
    """One bar, with its values as dots and a whisker up to ``high``."""

    label: str
    color: str
    value: float
    high: float | None = None
    dots: Sequence[float] = ()


@dataclass(frozen=True)
class Bars:
    """Horizontal bars from zero."""

    name: str
    title: str
    unit: str
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Stacks:
    """Horizontal stacked bars, each ``(label, values by part)``."""

    name: str
    title: str
    unit: str
    parts: Sequence[str]
    stacks: Sequence[tuple[str, Mapping[str, float]]]


@dataclass(frozen=True)
class Point:
    """A point of a line, with its quartiles."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True)
class Line:
    """One engine's points, ascending in x."""

    label: str
    color: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Lines:
    """Lines over one axis, with points at equal distances whatever their x."""

    name: str
    title: str
    x_unit: str
    unit: str
    lines: Sequence[Line]


Chart = Bars | Stacks | Lines


def charts(results: BenchResults, figures: Figures) -> list[Chart]:
    """All charts of a run that have data."""
    growth: Figures = figures["growth"]
    made: list[Chart] = [
        _single_stream(results, figures["single_stream"]),
        _rounds(results, figures["single_stream"]),
        _offline(results, figures["offline"]),
        _end_to_end(results, figures["end_to_end"]),
        *(_cold_start(results, figures["cold_start"], cache) for cache in (WARM, EMPTY)),
        _memory(results, figures["cold_start"]),
        *(_growth(results, growth) if growth else ()),
    ]
    return [chart for chart in made if _has_data(chart)]


def _has_data(chart: Chart) -> bool:
    if isinstance(chart, Lines):
        return any(len(line.points) > 1 for line in chart.lines)
    return bool(chart.bars if isinstance(chart, Bars) else chart.stacks)


def _single_stream(results: BenchResults, figures: Figures) -> Bars:
    bars = [
        Bar(label(results, key), _color(key), each["p50"], each["p90"], each["round_medians"])
        for key, each in figures.items()
    ]
    title = f"Single-stream: median, rounds, 90th percentile ({conditions(results)})"
    return Bars("single-stream", title, "ms", bars)


def _rounds(results: BenchResults, figures: Figures) -> Lines:
    curves = {
        key: [Point(i, y, y, y) for i, y in enumerate(each["round_medians"], start=1)]
        for key, each in figures.items()
    }
    title = "Was the machine steady? Median of each round"
    return Lines("rounds", title, "round", "ms", _lines(results, curves))


def _offline(results: BenchResults, figures: Figures) -> Lines:
    curves: dict[str, list[Point]] = {}
    for batch, by_engine in figures.items():
        for key, each in by_engine.items():
            curves.setdefault(key, []).append(Point(x=float(batch), **_spread(each["images_per_second"])))
    title = f"Offline: images per second ({conditions(results)})"
    return Lines("offline", title, "batch", "images/s", _lines(results, curves))


def _end_to_end(results: BenchResults, figures: Figures) -> Stacks:
    stacks = [
        (label(results, key), {stage: part["ms"] for stage, part in each["stages"].items()})
        for key, each in figures.items()
    ]
    title = f"End to end: from file to annotated file, one image ({conditions(results)})"
    return Stacks("end-to-end", title, "ms", STAGES, stacks)


def _cold_start(results: BenchResults, figures: Figures, cache: str) -> Stacks:
    stacks = [
        (label(results, key), {part: ms / 1000 for part, ms in each[cache]["phases"].items()})
        for key, each in figures.items()
        if cache in each
    ]
    title = f"Cold start, {cache} cache: from process start to first result"
    return Stacks(f"cold-{cache}", title, "s", [*PHASES, "total"], stacks)


def _memory(results: BenchResults, figures: Figures) -> Bars:
    bars = [
        Bar(label(results, key), _color(key), each[WARM]["peak_mib"])
        for key, each in figures.items()
        if WARM in each and each[WARM]["peak_mib"] is not None
    ]
    return Bars("memory", "Peak resident memory, one image at a time", "MiB", bars)


def _growth(results: BenchResults, figures: Figures) -> list[Chart]:
    made: list[Chart] = []
    for axis, title, x_unit, unit in (
        ("batch", "Growth with the batch", "images in a batch", "images/s"),
        ("imgsz", "Growth with the image", "pixels a side", "ms"),
        ("threads", "Growth with threads", "threads", "images/s"),
    ):
        curves = {
            key: [Point(x=float(x.partition("x")[0]), **_spread(each)) for x, each in curve.items()]
            for key, curve in figures[axis].items()
        }
        made.append(Lines(f"growth-{axis}", title, x_unit, unit, _lines(results, curves)))
    peaks = [Point(each["images"], *[each["peak_mib"]] * 3) for each in figures["images"]]
    lines = _lines(results, {OURS: peaks})
    return [*made, Lines("growth-images", "Peak memory of a stream", "images", "MiB", lines)]


def _lines(results: BenchResults, curves: Mapping[str, Sequence[Point]]) -> list[Line]:
    return [Line(label(results, key), _color(key), points) for key, points in curves.items()]


def _spread(figures: Figures) -> dict[str, float]:
    return {"y": figures["median"], "low": figures["low"], "high": figures["high"]}


def _color(key: str) -> str:
    return COLORS.get(key, OTHER)
