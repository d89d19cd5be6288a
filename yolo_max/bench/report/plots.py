"""Charts drawn with matplotlib: as SVG in the colors of the page, and as PNG files."""

from __future__ import annotations

import importlib.util
import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from yolo_max.bench.report.charts import OTHER, PARTS, Bars, Chart, Lines, Stacks
from yolo_max.output.figures import styled

WIDTH = 500
"""Width in pixels for text of size `TEXT`: narrow, so that the text stays legible on a phone."""
TEXT = 13.5
ROW_MARGINS, LINE_MARGINS = (134, 58), (62, 24)
"""Left and right margins of bars, for names and figures, and of lines."""
ROW, LINES_HEIGHT, LINE = 34, 230, 21
"""Heights in pixels: of a bar, of a line plot, of a line of text."""
LEGEND_COLUMNS = 3
PNG_SCALE = 2.5
INK, SOFT, GRID, CARD = "#000000", "#666677", "#dde1e8", "#ffffff"
PAGE_COLORS = {INK: "var(--ink)", SOFT: "var(--soft)", GRID: "var(--line)", CARD: "var(--card)"}
INSIDE = "#fefefe"
"""Color of text on a bar."""
STYLE = {
    "font.size": TEXT,
    "legend.fontsize": TEXT,
    "svg.fonttype": "none",  # text can be searched and selected
    "text.parse_math": False,
}


def available() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def svg(chart: Chart) -> str:
    """The chart as one ``<svg>`` element, with a tooltip for each value."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    file = io.StringIO()
    with styled(STYLE):
        canvas = FigureCanvasSVG(_figure(chart, titled=False))
        canvas.print_svg(file)
    body = file.getvalue().partition("</defs>")[2]
    body = re.sub(r'<g id="title: ([^"]*)">', r"<g><title>\1</title>", body)
    body = re.sub(r' id="[^"]*"|font-family: [^;"]*;? ?', "", body)
    body = re.sub("|".join(PAGE_COLORS), lambda color: PAGE_COLORS[color[0]], body)
    width, height = canvas.get_width_height()
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(chart.title)}" '
        f'xmlns="http://www.w3.org/2000/svg">{body.strip()}'
    )


def write(charts: Sequence[Chart], folder: Path) -> list[Path]:
    """Draws each chart into ``folder`` as ``<name>.png``.

    Raises:
        OSError: A file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{chart.name}.png" for chart in charts]
    for chart, path in zip(charts, paths, strict=True):
        with styled(STYLE):
            FigureCanvasAgg(_figure(chart, titled=True)).print_png(path)
    return paths


def ticks(high: float) -> list[float]:
    """About five round numbers from 0 to just beyond ``high``."""
    from matplotlib.ticker import MaxNLocator

    if high <= 0:
        return [0.0, 1.0]
    return [float(tick) for tick in MaxNLocator(5, steps=(1, 2, 2.5, 5, 10)).tick_values(0, high)]


def number(value: float) -> str:
    """Three significant digits, without trailing zeros."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _figure(chart: Chart, *, titled: bool) -> Any:
    """Draws a chart; a file needs a title and a background, the page has its own."""
    from matplotlib.figure import Figure

    title = textwrap.wrap(chart.title, WIDTH // 9) if titled else []
    colors, rows = _legend(chart), len(chart.bars) if isinstance(chart, Bars) else 0
    if isinstance(chart, Stacks):
        rows = len(chart.stacks)
    plot = ROW * rows or LINES_HEIGHT
    above = LINE * (len(title) + isinstance(chart, Lines)) + (14 if titled else 8)
    below = LINE * (-(-len(colors) // LEGEND_COLUMNS) + (2.6 if isinstance(chart, Lines) else 1.6))
    height = round(above + plot + below)
    left, right = ROW_MARGINS if rows else LINE_MARGINS
    figure = Figure((WIDTH / 72, height / 72), 72 * (PNG_SCALE if titled else 1))
    figure.set_facecolor(CARD if titled else "none")
    axes = figure.add_axes(
        (left / WIDTH, below / height, (WIDTH - left - right) / WIDTH, plot / height), facecolor="none"
    )
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelcolor=SOFT)
    axes.set_axisbelow(True)
    if isinstance(chart, Lines):
        _lines(axes, chart)
    elif isinstance(chart, Stacks):
        _stacks(axes, chart, colors)
    else:
        _bars(axes, chart)
    figure.text(12 / WIDTH, 1 - 12 / height, "\n".join(title), va="top", size=TEXT + 0.5, weight="bold")
    if len(colors) > 1:
        from matplotlib.patches import Patch

        patches = [Patch(color=color, label=label) for label, color in colors.items()]
        style = {"ncols": LEGEND_COLUMNS, "frameon": False, "handlelength": 0.9, "handleheight": 0.9}
        figure.legend(handles=patches, loc="lower left", **style)
    for artist in figure.findobj():  # an SVG clips by reference; those of several charts would clash
        artist.set_clip_on(False)
    return figure


def _legend(chart: Chart) -> dict[str, str]:
    """Colors by label, for charts that need a legend."""
    if isinstance(chart, Lines):
        return {line.label: line.color for line in chart.lines}
    if isinstance(chart, Bars):
        return {}
    used = {part for _, values in chart.stacks for part in values}
    colors = zip(chart.parts, (*PARTS, OTHER), strict=False)
    return {part: color for part, color in colors if part in used}


def _bars(axes: Any, chart: Bars) -> None:
    reaches = [max(bar.value, bar.high or 0, *bar.dots, 0) for bar in chart.bars]
    for i, (bar, reach) in enumerate(zip(chart.bars, reaches, strict=True)):
        title = f"title: {bar.label}: {number(bar.value)} {chart.unit}"
        axes.barh(i, bar.value, color=bar.color, height=0.6)[0].set_gid(title)
        if bar.high is not None:
            axes.plot([bar.value, bar.high], [i, i], color=bar.color, linewidth=2)
            axes.plot([bar.high, bar.high], [i - 0.15, i + 0.15], color=bar.color, linewidth=2)
        for dot in bar.dots:
            _dot(axes, dot, i, 2.6, facecolor=CARD, edgecolor=INK)
        _beside(axes, reach, i, number(bar.value))
    _rows(axes, chart, [bar.label for bar in chart.bars], max(reaches))


def _stacks(axes: Any, chart: Stacks, colors: Mapping[str, str]) -> None:
    totals = [sum(values.values()) for _, values in chart.stacks]
    for i, ((name, values), total) in enumerate(zip(chart.stacks, totals, strict=True)):
        start = 0.0
        for part in (part for part in colors if part in values):
            value, share = values[part], f"{values[part] / total:.0%}"
            (bar,) = axes.barh(i, value, left=start, color=colors[part], height=0.6)
            bar.set_gid(f"title: {name}, {part}: {number(value)} {chart.unit}, {share}")
            if value < total and value > max(totals) * 0.1:
                axes.text(start + value / 2, i, share, color=INSIDE, ha="center", va="center", fontsize=12)
            start += value
        _beside(axes, total, i, number(total))
    _rows(axes, chart, [name for name, _ in chart.stacks], max(totals))


def _lines(axes: Any, chart: Lines) -> None:
    places = sorted({point.x for line in chart.lines for point in line.points})
    for line in chart.lines:
        at = [places.index(point.x) for point in line.points]
        axes.plot(at, [point.y for point in line.points], color=line.color, linewidth=2.5)
        for x, point in zip(at, line.points, strict=True):
            axes.plot([x, x], [point.low, point.high], color=line.color, linewidth=1)
            title = f"{line.label}, {number(point.x)} {chart.x_unit}: {number(point.y)} {chart.unit}"
            _dot(axes, x, point.y, 4, color=line.color, gid=f"title: {title}")
    marks = ticks(max(point.high for line in chart.lines for point in line.points))
    axes.set_yticks(marks, [number(mark) for mark in marks])
    axes.set_ylim(0, marks[-1])
    axes.set_xticks(range(len(places)), [number(place) for place in places])
    axes.set_xlabel(chart.x_unit, color=SOFT)
    corner = {"xycoords": ("figure fraction", "axes fraction"), "textcoords": "offset points"}
    axes.annotate(chart.unit, (12 / WIDTH, 1), (0, 11), color=SOFT, **corner)
    axes.grid(axis="y", color=GRID)


def _rows(axes: Any, chart: Bars | Stacks, labels: Sequence[str], high: float) -> None:
    """Labels the rows, first on top, over a grid from zero."""
    marks = ticks(high)
    *named, last = map(number, marks)
    axes.set_xticks(marks, [*named, f"{last} {chart.unit}"])
    axes.set_xlim(0, marks[-1])
    axes.set_yticks(range(len(labels)), labels, color=INK)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.grid(axis="x", color=GRID)


def _dot(axes: Any, x: float, y: float, radius: float, **more: Any) -> None:
    """Draws a circle; a marker would be a reference, and those of several charts would clash."""
    from matplotlib.patches import Circle
    from matplotlib.transforms import ScaledTranslation

    place = axes.figure.dpi_scale_trans + ScaledTranslation(x, y, axes.transData)
    axes.add_artist(Circle((0, 0), radius / 72, transform=place, zorder=3, **more))


def _beside(axes: Any, x: float, y: float, text: str) -> None:
    axes.annotate(text, (x, y), (8, 0), textcoords="offset points", va="center_baseline")
