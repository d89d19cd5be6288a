"""bench.html: everything on one page that opens from disk, without a network and without a script."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from yolo_max.bench.report import plots
from yolo_max.bench.report.charts import Chart
from yolo_max.bench.report.summary import Figures
from yolo_max.bench.report.tables import Table, headline, label
from yolo_max.bench.results import Results
from yolo_max.runtime import host
from yolo_max.support import html

TEMPLATE = Path(__file__).with_name("page.html")
NO_CHARTS = "The charts are missing, for want of matplotlib: pip install matplotlib."


def render(results: Results, figures: Figures, tables: Sequence[Table], charts: Sequence[Chart]) -> str:
    """The page as HTML."""
    return html.render(
        TEMPLATE,
        results=results,
        leads=[
            (label(results.engine(each["engine"])), label(results.engine(each["peer"])), each)
            for each in figures["headline"]
        ],
        sentences=headline(results, figures),
        warnings=[*host.warnings(results.host), *results.notes, *([] if plots.available() else [NO_CHARTS])],
        charts=charts,
        svg=plots.svg,
        tables=tables,
        record=[
            *host.describe(results.host),
            ("weights", f"{results.weights['file']}, sha256 {results.weights['sha256']}"),
            ("rounds", f"{results.plan.rounds} of {results.plan.seconds:g} s an engine and case"),
            ("took", f"{results.seconds / 60:.1f} minutes"),
        ],
    )
