"""Charts as PNG files, where matplotlib is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from yolo_max.bench.report.charts import OTHER, PARTS, Bars, Chart, Lines, Stacks
from yolo_max.bench.report.svg import number


def available() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def write(charts: list[Chart], folder: Path) -> list[Path]:
    """Draws each chart into ``folder`` as ``<name>.png``.

    Raises:
        OSError: A file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for chart in charts:
        rows = len(chart.bars) if isinstance(chart, Bars) else len(getattr(chart, "stacks", ())) or 9
        figure = Figure(figsize=(9, 1.6 + 0.38 * rows), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_title(chart.title, loc="left", fontsize=11)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        axes.set_axisbelow(True)
        if isinstance(chart, Lines):
            _lines(axes, chart)
        else:
            axes.grid(axis="x", alpha=0.3)
            axes.set_xlabel(chart.unit)
            axes.invert_yaxis()
            axes.margins(x=0.08)
            if isinstance(chart, Bars):
                _bars(axes, chart)
            else:
                _stacks(axes, chart)
        path = folder / f"{chart.name}.png"
        figure.savefig(path, dpi=130)
        paths.append(path)
    return paths


def _bars(axes: Any, chart: Bars) -> None:
    for i, bar in enumerate(chart.bars):
        axes.barh(i, bar.value, color=bar.color, height=0.6)
        reach = max(bar.value, bar.high or 0, *bar.dots, 0)
        if bar.high is not None:
            axes.plot([bar.value, bar.high], [i, i], color=bar.color, marker="|")
        axes.plot(bar.dots, [i] * len(bar.dots), "o", color="black", markersize=3, alpha=0.6)
        axes.annotate(number(bar.value), (reach, i), xytext=(8, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(chart.bars)), [bar.label for bar in chart.bars])


def _stacks(axes: Any, chart: Stacks) -> None:
    starts = [0.0] * len(chart.stacks)
    for part, color in zip(chart.parts, [*PARTS, OTHER], strict=False):
        widths = [values.get(part, 0.0) for _, values in chart.stacks]
        if any(widths):
            axes.barh(range(len(widths)), widths, left=starts, color=color, height=0.6, label=part)
        starts = [start + width for start, width in zip(starts, widths, strict=True)]
    for i, total in enumerate(starts):
        axes.annotate(number(total), (total, i), xytext=(6, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(chart.stacks)), [name for name, _ in chart.stacks])
    axes.figure.legend(ncols=6, fontsize=8, frameon=False, loc="outside lower center")


def _lines(axes: Any, chart: Lines) -> None:
    places = sorted({point.x for line in chart.lines for point in line.points})
    for line in chart.lines:
        x = [places.index(point.x) for point in line.points]
        y = [point.y for point in line.points]
        below = [max(0.0, point.y - point.low) for point in line.points]
        above = [max(0.0, point.high - point.y) for point in line.points]
        axes.errorbar(x, y, yerr=(below, above), color=line.color, marker="o", label=line.label)
    axes.set_xticks(range(len(places)), [number(place) for place in places])
    axes.set_xlabel(chart.x_unit)
    axes.set_ylabel(chart.unit)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, frameon=False)
