"""A run's files: bench.json, plots/*.png and the self-contained bench.html."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from yolo_max.bench.report import plots
from yolo_max.bench.report.charts import Chart, charts
from yolo_max.bench.report.summary import Figures
from yolo_max.bench.report.tables import Table, headline, label
from yolo_max.bench.results import BenchResults
from yolo_max.runtime import host
from yolo_max.support import html
from yolo_max.support.atomic import cannot_write, write_atomically
from yolo_max.support.text import counted

TEMPLATE = Path(__file__).with_name("page.html")
NO_CHARTS = "Charts need matplotlib: pip install matplotlib."
JSON_FILE, HTML_FILE, PLOTS = "bench.json", "bench.html", "plots"


def make_folder(path: Path) -> None:
    """Creates the folder for a run's files; called before a long run.

    Raises:
        OutputError: It cannot be created or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".{JSON_FILE}.probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise cannot_write(path, error) from error


def write_record(results: BenchResults, out: Path) -> Path:
    """Writes bench.json into ``out``; returns its path.

    Raises:
        OutputError: It cannot be written.
    """
    path = out / JSON_FILE
    write_atomically(path, results.to_json().encode())
    return path


def write_page(results: BenchResults, figures: Figures, tables: list[Table], out: Path) -> list[Path]:
    """Writes the page and plots into ``out``; returns their paths.

    Raises:
        OutputError: A file cannot be written.
    """
    drawn = charts(results, figures) if plots.available() else []
    written = [out / HTML_FILE]
    try:
        write_atomically(written[0], render(results, figures, tables, drawn).encode())
        if drawn:
            plots.write(drawn, out / PLOTS)
            written.append(out / PLOTS)
    except OSError as error:
        raise cannot_write(out, error) from error
    return written


def render(results: BenchResults, figures: Figures, tables: Sequence[Table], charts: Sequence[Chart]) -> str:
    """The page as HTML."""
    return html.render(
        TEMPLATE,
        results=results,
        rounds=counted(results.plan.rounds, "interleaved round"),
        leads=[
            (label(results, each["engine"]), label(results, each["peer"]), each)
            for each in figures["headline"]
            if host.too_busy(results.host) is None
        ],
        sentences=headline(results, figures),
        warnings=[*host.warnings(results.host), *results.notes, *([] if plots.available() else [NO_CHARTS])],
        charts=charts,
        svg=plots.svg,
        tables=tables,
        record=[
            *host.describe(results.host),
            ("weights", f"{results.weights['file']}, sha256 {results.weights['sha256']}"),
            ("rounds", f"{results.plan.rounds} of {results.plan.seconds:g} s per engine and case"),
            ("took", f"{results.seconds / 60:.1f} minutes"),
        ],
    )
