"""``yolo-max weights analyze``: which layers of a network are ported, and what they cost."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yolo_max.cli.console import Debug, printable, stdout, warnings_as_lines
from yolo_max.cli.parameters import AsJson, option
from yolo_max.support.errors import ExitCode
from yolo_max.support.options import NETWORK
from yolo_max.support.parse import sides_of
from yolo_max.support.text import counted

if TYPE_CHECKING:
    from rich.table import Table

    from yolo_max.weights.analysis.layers import Cost, LayerReport
    from yolo_max.weights.analysis.report import Analysis

UNKNOWN = "unknown"
GAP = 2
"""Spaces between columns."""
MAX_FROM = 7
"""Characters of a line of layers that are read."""


def analyze(
    weights: Annotated[
        str,
        typer.Argument(
            help="A .pt or .safetensors file, or a name; or a table of layers, .yaml, of your own or "
            "Ultralytics' (yolo11s-seg.yaml).",
            metavar="FILE|YAML",
            show_default=False,
        ),
    ],
    imgsz: Annotated[
        str,
        option(NETWORK, "Input size to count at, in pixels: side, or HEIGHT,WIDTH.", "--imgsz", metavar="N"),
    ] = "640",
    as_json: AsJson = False,
    _debug: Debug = False,
) -> int:
    """Show which layers of any Ultralytics network are ported, and what they cost.

    Parameters and GFLOPs are counted as Ultralytics' model.info() does. Nothing of the file runs. The exit
    code is 0 if the network runs here, and 3 if it does not.
    """
    from yolo_max.weights.analysis.report import analyze as analyze_network

    with warnings_as_lines(quiet=as_json):
        analysis = analyze_network(weights, sides_of(imgsz))
    if as_json:
        typer.echo(json.dumps(_summary(analysis), ensure_ascii=False))
    else:
        for each in (_header(analysis), "", _layers(analysis), "", _verdict(analysis)):
            stdout().print(each)
    return ExitCode.OK if analysis.ported else ExitCode.WEIGHTS


UNCOUNTED = "what blocks compute that are not ported is not known, nor what reads a map whose size is not"
"""Why there is no number for all operations."""


def _summary(analysis: Analysis) -> dict[str, Any]:
    return {
        "path": str(analysis.path),
        "task": analysis.task,
        "nc": analysis.nc,
        "scale": analysis.scale,
        "scales": list(analysis.scales),
        "imgsz": list(analysis.size),
        "ported": analysis.ported,
        "problems": list(analysis.problems),
        "coverage": analysis.coverage,
        **_cost(analysis.cost),
        "fused": _cost(analysis.fused),
        "counted": _cost(analysis.counted_cost),
        "uncounted": None if analysis.cost.gflops is not None else UNCOUNTED,
        "layers": [_layer(each) for each in analysis.layers],
    }


def _layer(report: LayerReport) -> dict[str, Any]:
    layer = report.layer
    return {
        "index": layer.index,
        "from": list(layer.from_),
        "module": layer.module,
        "copies": layer.copies,
        "args": dict(layer.args),
        "ported": not report.problem,
        "problem": report.problem or None,
        "kernels": dict(report.kernels),
        "outputs": {name or "map": list(shape) for name, shape in report.shapes.items()},
        **_cost(report.cost),
    }


def _cost(cost: Cost) -> dict[str, Any]:
    return {"parameters": cost.parameters, "gflops": cost.gflops}


def _header(analysis: Analysis) -> Table:
    from yolo_max.weights.analysis.tables import shipped

    name = f"{analysis.path.name} of Ultralytics" if analysis.path in shipped() else str(analysis.path)
    scales = ", ".join(each for each in analysis.scales if each != analysis.scale)
    scale = f"{analysis.scale} (there are also {scales})" if scales else analysis.scale
    height, width = analysis.size
    return _pairs(
        ("file", name),
        ("scale", scale or "the only one"),
        ("task", f"{analysis.task or UNKNOWN}, {counted(analysis.nc, 'class')}"),
        ("counted at", f"{height} x {width} pixels"),
    )


def _layers(analysis: Analysis) -> Table:
    from rich.table import Table
    from rich.text import Text

    headings = ("layer", "from", "module", "output", "params", "GFLOPs", "kernels")
    rows = [_row(each) for each in analysis.layers]
    widths = [
        max(len(line) for row in (headings, *rows) for line in row[i].splitlines() or [""]) for i in range(6)
    ]
    widths[1] = min(widths[1], MAX_FROM)
    room = stdout().width - sum(widths) - GAP * len(widths)
    table = Table(box=None, header_style="bold", padding=(0, GAP, 0, 0), pad_edge=False)
    for heading in headings:
        right = heading in ("layer", "params", "GFLOPs")
        from_ = heading == "from"
        table.add_column(
            heading,
            justify="right" if right else "left",
            no_wrap=not from_,
            max_width=MAX_FROM if from_ else None,
        )
    for each, row in zip(analysis.layers, rows, strict=True):
        kernels = "not ported" if each.problem else _kernels(each, room)
        table.add_row(*map(Text, row), Text(kernels), style="yellow" if each.problem else "")
    return table


def _row(report: LayerReport) -> tuple[str, ...]:
    """The columns before the kernels; a named output takes two lines."""
    layer, cost = report.layer, report.cost
    return (
        str(layer.index),
        ", ".join("image" if source < 0 else str(source) for source in layer.from_),
        layer.module + (f" x {layer.copies}" if layer.copies > 1 else ""),
        "\n".join(f"{name}\n{'x'.join(map(str, shape))}".strip() for name, shape in report.shapes.items()),
        "?" if cost.parameters is None else f"{cost.parameters:,}" if cost.parameters else "",
        "?" if cost.gflops is None else f"{cost.gflops:.2f}" if cost.gflops else "",
    )


def _kernels(report: LayerReport, room: int) -> str:
    """``4 winograd, 2 direct, stem``, in lines of so many characters; a count stays with its kernel."""
    counts = Counter(report.kernels.values())
    named = [f"{count}\0{name}" if count > 1 else name for name, count in counts.most_common()]
    lines = textwrap.wrap(", ".join(named), max(room, 1), break_long_words=False)
    return "\n".join(lines).replace("\0", " ")


def _verdict(analysis: Analysis) -> Table:
    total, ported, fused = analysis.cost, analysis.ported_cost, analysis.fused
    layers = sum(not each.problem for each in analysis.layers)
    covered = [f"{layers} of {counted(len(analysis.layers), 'layer')}{_percent(analysis, 'layers')}"]
    parameters = "?" if total.parameters is None else f"{total.parameters:,}"
    if total.parameters is None:
        covered.append(f"{analysis.counted_cost.parameters:,} parameters or more, of an unknown number")
    else:
        covered.append(f"{ported.parameters:,} of {parameters} parameters{_percent(analysis, 'parameters')}")
    if total.gflops is None:
        covered.append(f"{analysis.counted_cost.gflops:.1f} GFLOPs or more: {UNCOUNTED}")
    else:
        covered.append(f"{ported.gflops:.1f} of {total.gflops:.1f} GFLOPs{_percent(analysis, 'gflops')}")
    lines = [("ported", "\n".join(covered))]
    if fused.parameters is not None and fused.gflops is not None:
        lines.append(("fused", f"{fused.parameters:,} parameters, {fused.gflops:.1f} GFLOPs"))
    if analysis.ported:
        return _pairs(*lines, ("verdict", "ported: such a network runs here"))
    return _pairs(*lines, ("verdict", "\n".join(["not ported:", *analysis.problems])))


def _percent(analysis: Analysis, what: str) -> str:
    part = analysis.coverage[what]
    return "" if part is None else f" ({part:.0%})"


def _pairs(*pairs: tuple[str, str]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid("key", "value", padding=(0, 2))
    for key, value in pairs:
        text = "\n".join(printable(line) for line in value.splitlines())
        table.add_row(Text(key, "bold"), Text(text, overflow="fold"))
    return table
