"""Figures to text tables, for the terminal, Markdown and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from yolo_max.bench.cold import COMMAND
from yolo_max.bench.plan import PHASES, STAGES
from yolo_max.bench.report.summary import Figures, summarise
from yolo_max.bench.results import EMPTY, WARM, BenchResults
from yolo_max.runtime import host
from yolo_max.support.text import counted

MARK = "*"
"""Suffix of an engine's name if it computes in another precision."""
NONE = "–"


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        name: Short name, for anchors and for markers in documents.
        title: What it shows, and under which conditions.
        headers: One per column; may contain line breaks.
        rows: Cells.
        notes: Sentences below the table.
        figures: Whether all columns but the first hold figures.
    """

    name: str
    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = field(default=())
    figures: bool = True

    @property
    def whole_headers(self) -> list[str]:
        """The headers without the hyphens for narrow terminals."""
        return [header.replace("-\n", "") for header in self.headers]


def tables(results: BenchResults, figures: Figures | None = None) -> list[Table]:
    """All tables of a run, for the scenarios that were measured."""
    figures = figures or summarise(results)
    made = [
        _engines(results),
        _single_stream(results, figures["single_stream"]),
        _offline(results, figures["offline"]),
        _end_to_end(results, figures["end_to_end"]),
        _cold_start(results, figures["cold_start"]),
        *_growth(results, figures["growth"]),
    ]
    return [table for table in made if table.rows]


def headline(results: BenchResults, figures: Figures) -> list[str]:
    """One sentence per peer of the first MAX engine: how many times as fast, and if the peer is ahead.

    Instead, one sentence without a ratio if the machine was too busy for any.
    """
    if figures["headline"] and (share := host.too_busy(results.host)) is not None:
        return [f"No ratio: other processes took {share:.0%} of this machine's CPU time."]
    sentences = []
    for each in figures["headline"]:
        ours, peer = label(results, each["engine"]), label(results, each["peer"])
        ahead = "" if each["median"] >= 1 else f": {results.engine(each['peer']).label} is ahead"
        ratio, quartiles = _ratio(each["median"]), _quartiles(results, each)
        sentences.append(f"{ours} is {ratio} times as fast as {peer}{quartiles}{ahead}.")
    return sentences


def label(results: BenchResults, key: str) -> str:
    """An engine's name in tables, marked if it computes in another precision; other keys unchanged."""
    return next((each.label + MARK * each.marked for each in results.engines if each.key == key), key)


def conditions(results: BenchResults) -> str:
    """Size and threads of the base case, in words."""
    height, width = results.plan.imgsz
    return f"{height}x{width} pixels, {counted(results.plan.threads, 'thread')}"


def _engines(results: BenchResults) -> Table:
    rows = []
    for engine in results.engines:
        parity = NONE
        if engine.parity is not None:
            parity = "" if engine.parity.holds else "FAILS: "
            parity += f"{engine.parity.difference:.1e} of {engine.parity.bound:.1e}"
        versions = "\n".join(f"{name} {version}" for name, version in engine.versions.items())
        state = engine.state + (f": {engine.reason}" if engine.reason else "")
        rows.append([label(results, engine.key), engine.precision, versions or NONE, parity, state])
    return Table(
        "engines",
        "Engines, and whether they agree with PyTorch",
        ["engine", "type", "versions", "parity", "state"],
        rows,
        [
            "Parity: largest difference from PyTorch's f32 raw outputs, and its bound; images compared: "
            f"{len(results.images['parity'])}. An engine that fails has no speed-up.",
            *_mark_note(rows),
            *(
                f"{engine.label}: {engine.parity.text}."
                for engine in results.engines
                if engine.parity is not None and not engine.parity.holds
            ),
        ],
        figures=False,
    )


def _single_stream(results: BenchResults, figures: Figures) -> Table:
    rows = [
        [
            label(results, key),
            *(f"{each[p]:.1f}" for p in ("p50", "p90", "p99", "min")),
            str(each["count"]),
            _speed_up(results, each["speed_up"]),
        ]
        for key, each in figures.items()
    ]
    faster = f"times as fast as\n{results.engine(results.against).label}"
    title = f"Single-stream: milliseconds per image, batch 1, {conditions(results)}"
    headers = ["engine", "p50", "p90", "p99", "min", "runs", faster]
    return Table("single-stream", title, headers, rows, _mark_note(rows))


def _offline(results: BenchResults, figures: Figures) -> Table:
    keys = [each.key for each in results.engines if any(each.key in found for found in figures.values())]
    rows = []
    for key in keys:
        cells = [label(results, key)]
        for by_engine in figures.values():
            each = by_engine.get(key, {"images_per_second": None, "speed_up": None})
            speed_up = each["speed_up"]
            cells += [_rate(each["images_per_second"]), _ratio(speed_up["median"]) if speed_up else NONE]
        rows.append(cells)
    headers = ["engine", *(header for batch in figures for header in (f"batch {batch}", "×"))]
    notes = [f"×: times as fast as {results.engine(results.against).label}.", *_mark_note(rows)]
    return Table("offline", f"Offline: images per second, {conditions(results)}", headers, rows, notes)


def _end_to_end(results: BenchResults, figures: Figures) -> Table:
    rows = [
        [
            label(results, key),
            *(f"{each['stages'][s]['ms']:.1f}\n{each['stages'][s]['share']:.0%}" for s in STAGES),
            f"{each['total_ms']:.1f}",
            f"{each['images_per_second']:.1f}",
        ]
        for key, each in figures.items()
    ]
    title = f"End to end: milliseconds per image and their share, one after the other, {conditions(results)}"
    stages = ["decode", "letter-\nbox", "infer", "post-\nprocess", "draw", "write"]
    notes = ["Every stage but infer is this project's own code, whichever engine runs.", *_mark_note(rows)]
    return Table("end-to-end", title, ["engine", *stages, "total", "images/s"], rows, notes)


def _cold_start(results: BenchResults, figures: Figures) -> Table:
    rows = [
        [
            label(results, key),
            cache,
            *(f"{each['phases'][p] / 1000:.2f}" if p in each["phases"] else NONE for p in PHASES),
            f"{each['total_ms'] / 1000:.2f}",
            NONE if each["peak_mib"] is None else f"{each['peak_mib']:.0f}",
        ]
        for key, by_cache in figures.items()
        for cache, each in sorted(by_cache.items(), key=lambda item: (EMPTY, WARM).index(item[0]))
    ]
    title = f"Cold start: seconds from the start of a process to its first result, {conditions(results)}"
    phases = ["start", "import", "weights", "build", "first"]
    notes = [
        f"{COMMAND} is the whole command on one image.",
        *(["A quick run skips the empty cache."] if results.plan.quick and rows else []),
        *_mark_note(rows),
    ]
    return Table("cold-start", title, ["engine", "cache", *phases, "total", "peak\nMiB"], rows, notes)


def _growth(results: BenchResults, figures: Figures) -> list[Table]:
    if not figures:
        return []
    height, width = results.plan.imgsz
    threads = counted(results.plan.threads, "thread")
    skipped = {
        f"{results.engine(key).label} skips some: {reason}."
        for case in results.cases
        for key, reason in case.skipped.items()
    }
    made = []
    for axis, title, notes in (
        ("batch", f"Growth with the batch: images per second, {conditions(results)}", ()),
        ("imgsz", f"Growth with the image: milliseconds per image, batch 1, {threads}", sorted(skipped)),
        ("threads", f"Growth with threads: images per second, batch 1, {height}x{width} pixels", ()),
    ):
        curves: Figures = figures[axis]
        points = list(dict.fromkeys(point for curve in curves.values() for point in curve))
        rows = [
            [label(results, key), *(_rate(curve.get(point)) for point in points)]
            for key, curve in curves.items()
        ]
        made.append(Table(f"growth-{axis}", title, ["engine", *points], rows, notes))
    rows = [
        [f"{each['images']}", f"{each['images_per_second']:.1f}", f"{each['peak_mib']:.0f}"]
        for each in figures["images"]
    ]
    title = f"Growth with the folder: Predictor.stream, nothing written, {conditions(results)}"
    made.append(Table("growth-images", title, ["images", "images/s", "peak MiB"], rows))
    return made


def _speed_up(results: BenchResults, spread: Mapping[str, float] | None) -> str:
    return NONE if spread is None else f"{_ratio(spread['median'])}{_quartiles(results, spread)}"


def _quartiles(results: BenchResults, spread: Mapping[str, float]) -> str:
    """The quartiles in brackets; nothing after one round, whose zero width would read as certainty."""
    if results.plan.rounds == 1:
        return ""
    return f" [{_ratio(spread['low'])}–{_ratio(spread['high'])}]"


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}"


def _rate(spread: Mapping[str, float] | None) -> str:
    return NONE if spread is None else f"{spread['median']:.1f}"


def _mark_note(rows: Sequence[Sequence[str]]) -> list[str]:
    marked = any(row[0].endswith(MARK) for row in rows)
    return [f"{MARK} computes in another precision than f32."] if marked else []
