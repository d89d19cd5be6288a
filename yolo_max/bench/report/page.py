"""bench.html: everything on one page that opens from disk, without a network and without a script."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from yolo_max.bench.report import svg
from yolo_max.bench.report.charts import Chart
from yolo_max.bench.report.summary import Figures
from yolo_max.bench.report.tables import Table, headline, label
from yolo_max.bench.results import Results
from yolo_max.runtime import host

STYLE = Path(__file__).with_name("page.css")


def render(results: Results, figures: Figures, tables: Sequence[Table], charts: Sequence[Chart]) -> str:
    """The page as HTML."""
    plots = "".join(
        f'<section id="plot-{chart.name}"><h2>{escape(chart.title)}</h2>{svg.render(chart)}</section>'
        for chart in charts
    )
    warnings = [*host.warnings(results.host), *results.notes]
    body = [
        "<h1>yolo_max bench</h1>",
        f'<p class="soft">{escape(_subtitle(results))}</p>',
        _lead(results, figures),
        "".join(f'<section class="warn">{escape(text)}</section>' for text in warnings),
        f'<div class="charts">{plots}</div>',
        "<h3>Figures</h3>",
        "".join(_table(table) for table in tables),
        "<h3>Where and how</h3>",
        _record(results),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>yolo_max bench</title>'
        f"<style>{STYLE.read_text(encoding='utf-8')}</style></head><body><main>{''.join(body)}</main></body></html>\n"
    )


def _subtitle(results: Results) -> str:
    return (
        f"{results.weights['file']} · {results.host['cpu']} · {results.started.replace('T', ' ')[:16]} UTC · "
        f"{results.plan.rounds} interleaved rounds in random order (seed {results.plan.seed})"
    )


def _lead(results: Results, figures: Figures) -> str:
    cards = []
    for each in figures["headline"]:
        ours, peer = results.engine(each["engine"]), results.engine(each["peer"])
        behind = "" if each["median"] >= 1 else ' class="behind"'
        cards.append(
            f"<div{behind}><b>{each['median']:.2f} ×</b>{escape(label(ours))} against {escape(label(peer))}"
            f'<br><span class="soft">{each["low"]:.2f} to {each["high"]:.2f}</span></div>'
        )
    sentences = escape(" ".join(headline(results, figures)))
    return f'<div class="lead" aria-label="{sentences}">{"".join(cards)}</div>' if cards else ""


def _table(table: Table) -> str:
    names = [escape(_joined(header)) for header in table.headers]
    head = "".join(f"<th>{name}</th>" for name in names)
    rows = "".join(
        "<tr>"
        + "".join(
            f'<td data-label="{name}">{escape(cell)}</td>' for name, cell in zip(names, row, strict=True)
        )
        + "</tr>"
        for row in table.rows
    )
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in table.notes)
    kind = "" if table.figures else ' class="words"'
    return (
        f'<section id="{table.name}"><h2>{escape(table.title)}</h2><div class="scroll"><table{kind}>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{notes}</section>"
    )


def _record(results: Results) -> str:
    rows = [
        *host.describe(results.host),
        ("weights", f"{results.weights['file']}, sha256 {results.weights['sha256']}"),
        ("rounds", f"{results.plan.rounds} of {results.plan.seconds:g} s an engine and case"),
        ("took", f"{results.seconds / 60:.1f} minutes"),
    ]
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    failed = "".join(
        f"<h2>{escape(engine.label)}: {escape(engine.reason)}</h2><pre>{escape(engine.log)}</pre>"
        for engine in results.engines
        if engine.log
    )
    logs = f"<section>{failed}</section>" if failed else ""
    return f"<section><dl>{items}</dl></section>{logs}"


def _joined(header: str) -> str:
    """A header whose word was broken for narrow terminals, in one piece."""
    return header.replace("-\n", "")
