"""Charts as SVG, written by hand: no library, no script, readable in light and in dark.

Classes give text and grid the colors of the page; what belongs to an engine has the engine's own color.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise
from math import floor, log10

from yolo_max.bench.report.charts import OTHER, PARTS, Bars, Chart, Lines, Stacks

WIDTH = 500
"""Narrow, so that text is still read where a telephone shrinks the chart."""
LEFT, RIGHT = 136, 60
ROW = 34
PLOT_HEIGHT = 220
CHARACTER = 8.2
"""Width of a character of text, in pixels, about."""


def render(chart: Chart) -> str:
    """The chart as one ``<svg>`` element."""
    if isinstance(chart, Bars):
        return _bars(chart)
    return _stacks(chart) if isinstance(chart, Stacks) else _lines(chart)


def ticks(high: float, wanted: int = 5) -> list[float]:
    """Round numbers from 0 up to ``high`` and one beyond it, about ``wanted`` of them."""
    if high <= 0:
        return [0.0, 1.0]
    raw = high / wanted
    power = 10.0 ** floor(log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    count = 1
    while count * step < high:
        count += 1
    return [round(i * step, 10) for i in range(count + 1)]


def number(value: float) -> str:
    """Three significant digits, without a needless zero."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _bars(chart: Bars) -> str:
    marks = ticks(max(max(bar.value, bar.high or 0, *bar.dots, 0) for bar in chart.bars))
    rows = []
    for i, bar in enumerate(chart.bars):
        y = 20 + i * ROW
        end = _x(bar.value, marks)
        rows.append(
            f"<g><title>{_text(bar.label)}: {number(bar.value)} {chart.unit}</title>"
            f'{_row_label(bar.label, y)}<rect x="{LEFT}" y="{y}" width="{end - LEFT:.1f}" height="20" rx="3" '
            f'fill="{bar.color}"/>'
        )
        reach = bar.value
        if bar.high is not None:
            reach = max(reach, bar.high)
            high = _x(bar.high, marks)
            rows.append(
                f'<path d="M{end:.1f} {y + 10}H{high:.1f}M{high:.1f} {y + 5}v10" stroke="{bar.color}" '
                'stroke-width="2" fill="none"/>'
            )
        for dot in bar.dots:
            reach = max(reach, dot)
            rows.append(f'<circle cx="{_x(dot, marks):.1f}" cy="{y + 10}" r="2.6" class="dot"/>')
        rows.append(f'<text x="{_x(reach, marks) + 8:.1f}" y="{y + 14}">{number(bar.value)}</text></g>')
    return _framed(chart, marks, len(chart.bars), rows)


def _stacks(chart: Stacks) -> str:
    marks = ticks(max(sum(values.values()) for _, values in chart.stacks))
    used = [part for part in chart.parts if any(part in values for _, values in chart.stacks)]
    colors = dict(zip(chart.parts, [*PARTS, OTHER], strict=False))
    rows = []
    for i, (name, values) in enumerate(chart.stacks):
        y = 20 + i * ROW
        total = sum(values.values())
        rows.append(f"<g>{_row_label(name, y)}")
        start = 0.0
        for part in used:
            value = values.get(part, 0.0)
            x, width = _x(start, marks), _x(value, marks) - LEFT
            rows.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="20" fill="{colors[part]}"><title>'
                f"{_text(name)}, {part}: {number(value)} {chart.unit}, {value / total:.0%}</title></rect>"
            )
            share = f"{value / total:.0%}"
            if value < total and width > CHARACTER * len(share) + 4:
                rows.append(f'<text x="{x + width / 2:.1f}" y="{y + 14}" class="in">{share}</text>')
            start += value
        rows.append(f'<text x="{_x(total, marks) + 8:.1f}" y="{y + 14}">{number(total)}</text></g>')
    legend = _legend([(part, colors[part]) for part in used]) if len(used) > 1 else ""
    return _framed(chart, marks, len(chart.stacks), rows, legend)


def _lines(chart: Lines) -> str:
    places = sorted({point.x for line in chart.lines for point in line.points})
    marks = ticks(max(point.high for line in chart.lines for point in line.points))
    right = WIDTH - RIGHT
    gap = (right - LEFT) / max(1, len(places) - 1)
    bottom = 20 + PLOT_HEIGHT

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + gap * places.index(x), bottom - PLOT_HEIGHT * y / marks[-1]

    parts = []
    for mark in marks:
        y = place(places[0], mark)[1]
        parts.append(f'<path d="M{LEFT} {y:.1f}H{right}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" class="end soft">{number(mark)}</text>')
    for x in places:
        parts.append(f'<text x="{place(x, 0)[0]:.1f}" y="{bottom + 18}" class="mid soft">{number(x)}</text>')
    for line in chart.lines:
        spots = [place(point.x, point.y) for point in line.points]
        path = "".join(f"M{a[0]:.1f} {a[1]:.1f}L{b[0]:.1f} {b[1]:.1f}" for a, b in pairwise(spots))
        parts.append(f'<path d="{path}" stroke="{line.color}" stroke-width="2.5" fill="none"/>')
        for point, (x, y) in zip(line.points, spots, strict=True):
            low, high = place(point.x, point.low)[1], place(point.x, point.high)[1]
            title = f"{_text(line.label)}, {number(point.x)} {chart.x_unit}: {number(point.y)} {chart.unit}"
            parts.append(
                f'<g><title>{title}</title><path d="M{x:.1f} {low:.1f}V{high:.1f}" stroke="{line.color}"/>'
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{line.color}"/></g>'
            )
    legend = _legend([(line.label, line.color) for line in chart.lines])
    axis = f'<text x="{(LEFT + right) / 2}" y="{bottom + 38}" class="mid soft">{_text(chart.x_unit)}</text>'
    unit = f'<text x="{LEFT - 8}" y="8" class="end soft">{_text(chart.unit)}</text>'
    return _svg(chart.title, bottom + 50, [*parts, axis, unit], legend)


def _framed(
    chart: Bars | Stacks, marks: Sequence[float], count: int, rows: Iterable[str], legend: str = ""
) -> str:
    """Rows over a grid from zero."""
    bottom = 20 + count * ROW
    grid = []
    for mark in marks:
        x = _x(mark, marks)
        grid.append(f'<path d="M{x:.1f} 10V{bottom}" class="grid"/>')
        grid.append(f'<text x="{x:.1f}" y="{bottom + 16}" class="mid soft">{number(mark)}</text>')
    unit = f'<text x="{WIDTH - RIGHT + 30}" y="{bottom + 16}" class="soft">{_text(chart.unit)}</text>'
    return _svg(chart.title, bottom + 28, [*grid, unit, *rows], legend)


def _svg(title: str, height: float, parts: Iterable[str], legend: str) -> str:
    """The element; the legend, which may take several lines, goes on top."""
    lines = legend.count("<!--line-->")
    shift = 22 * lines + (12 if legend else 0)
    body = "".join(parts)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height + shift:.0f}" role="img" aria-label="{_text(title)}" '
        f'xmlns="http://www.w3.org/2000/svg">{legend}<g transform="translate(0 {shift})">{body}</g></svg>'
    )


def _legend(entries: Sequence[tuple[str, str]]) -> str:
    parts: list[str] = []
    x, line = float(WIDTH), -1
    for name, color in entries:
        width = 24 + CHARACTER * len(name) + 14
        if x + width > WIDTH:
            x, line = float(LEFT) - 40, line + 1
            parts.append("<!--line-->")
        y = 4 + 22 * line
        parts.append(
            f'<rect x="{x:.0f}" y="{y}" width="12" height="12" rx="3" fill="{color}"/>'
            f'<text x="{x + 18:.0f}" y="{y + 10}">{_text(name)}</text>'
        )
        x += width
    return "".join(parts)


def _row_label(name: str, y: float) -> str:
    return f'<text x="{LEFT - 10}" y="{y + 14}" class="end">{_text(name)}</text>'


def _x(value: float, marks: Sequence[float]) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * value / marks[-1]


def _text(text: str) -> str:
    return escape(text, quote=True)
