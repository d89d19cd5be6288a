"""Put the tables of a run into documents, between their markers.

    yolo-max bench --out runs/bench
    python scripts/folder_baselines.py PHOTOGRAPHS --weights yolov8n.pt --out runs/f.json
    python scripts/benchmark_tables.py docs/benchmarks.md --bench runs/bench/bench.json --folder runs/f.json

A pair of lines in a document marks where a table goes; the text between them is replaced:

    <!-- bench: single-stream -->
    <!-- /bench -->

The names are those of the tables (`yolo_max.bench.report.tables`), and ``headline``, ``host``, ``folder`` and
``folder-host``.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import folder_baselines

from yolo_max.bench.report.summary import summarise
from yolo_max.bench.report.tables import headline, tables
from yolo_max.bench.report.text import markdown
from yolo_max.bench.results import BenchResults
from yolo_max.runtime import host

MARKERS = re.compile(r"(<!-- bench: (?P<name>[\w-]+) -->\n).*?(<!-- /bench -->)", re.DOTALL)


def of_bench(path: Path) -> dict[str, str]:
    """The texts that a bench.json gives, by name."""
    results = BenchResults.read(path)
    figures = summarise(results)
    texts = {table.name: markdown(table) for table in tables(results, figures)}
    texts["headline"] = "".join(f"- {sentence}\n" for sentence in headline(results, figures))
    texts["host"] = host_list(results.host | {"measured": results.started})
    return {name: text.replace("*", r"\*") if name == "headline" else text for name, text in texts.items()}


def of_folder(path: Path) -> dict[str, str]:
    """The texts that the output of `folder_baselines` gives, by name."""
    found = json.loads(path.read_text())
    table = folder_baselines.table(found["rounds"], found["images"], found["imgsz"])
    return {"folder": markdown(table), "folder-host": host_list(found["host"])}


def host_list(record: Mapping[str, Any]) -> str:
    """A host record as a list."""
    rows = [*host.describe(record)]
    if "measured" in record:
        rows.append(("measured", record["measured"]))
    return "".join(f"- {name}: {value}\n" for name, value in rows)


def fill(document: str, texts: Mapping[str, str]) -> str:
    """The document with each text that it has a place for; other places stay as they are."""

    def replace(match: re.Match[str]) -> str:
        text = texts.get(match["name"])
        return match[0] if text is None else f"{match[1]}{text}{match[3]}"

    return MARKERS.sub(replace, document)


def main() -> None:
    """Reads the command line and rewrites the documents."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("documents", nargs="+", type=Path)
    parser.add_argument("--bench", type=Path, help="a bench.json")
    parser.add_argument("--folder", type=Path, help="what folder_baselines.py wrote")
    options = parser.parse_args()
    texts = {
        **(of_bench(options.bench) if options.bench else {}),
        **(of_folder(options.folder) if options.folder else {}),
    }
    for path in options.documents:
        path.write_text(fill(path.read_text(), texts))


if __name__ == "__main__":
    main()
