"""Compile the graphs of graphs.toml into yolo_max/graphs, from where a wheel takes them (`make wheel`).

    python scripts/compile_graphs.py --jobs 2
    python scripts/compile_graphs.py --only yolov8n,yolo11n-seg --targets x86-64-v4   # a few, to try

A graph that is there is not compiled again; those of other sources or versions are removed. Each takes about
a minute of a CPU.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from yolo_max.engine.trace import compile_for
from yolo_max.kernels.precision import Precision
from yolo_max.model.architecture import Architecture, parse_architecture
from yolo_max.runtime.cpu_target import target_named
from yolo_max.runtime.portable import Purpose, purpose_of
from yolo_max.runtime.sources import SHIPPED
from yolo_max.support.atomic import write_atomically
from yolo_max.support.parse import words_of
from yolo_max.weights.analysis.tables import read_table

LIST = Path(__file__).with_name("graphs.toml")


class Wanted(NamedTuple):
    """A graph of the list."""

    name: str
    architecture: Architecture
    purpose: Purpose


def wanted() -> Iterator[Wanted]:
    """Each graph of the list once."""
    listed = tomllib.loads(LIST.read_text(encoding="utf-8"))
    seen = set()
    for models in listed["models"]:
        for name in models["names"]:
            _, table = read_table(f"{name}.yaml")
            for classes in models["classes"]:
                architecture = parse_architecture(table, classes).of_any_classes()
                for precision, targets in listed["targets"].items():
                    for target in targets:
                        purpose = purpose_of(architecture, precision, target)
                        if purpose.file_name not in seen:
                            seen.add(purpose.file_name)
                            yield Wanted(name, architecture, purpose)


def make(graph: Wanted) -> tuple[Wanted, int, float]:
    """Compiles a graph in a process of its own; its size in bytes, and how many seconds it took."""
    start = monotonic()
    purpose = graph.purpose
    data = compile_for(graph.architecture, target_named(purpose.target), Precision.parse(purpose.precision))
    write_atomically(SHIPPED / purpose.file_name, data)
    return graph, len(data), monotonic() - start


def main() -> None:
    """Compiles what is missing and removes what is stale."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", type=_words, help="models")
    parser.add_argument("--targets", type=_words, help="processors")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    chosen = parser.parse_args()
    graphs = list(wanted())
    names = {graph.purpose.file_name for graph in graphs}
    for path in SHIPPED.glob("*.mef"):
        if path.name not in names:
            path.unlink()
    missing = [
        graph
        for graph in graphs
        if graph.name in (chosen.only or [graph.name])
        and graph.purpose.target in (chosen.targets or [graph.purpose.target])
        and not (SHIPPED / graph.purpose.file_name).exists()
    ]
    print(f"{len(graphs)} graphs are listed; {len(missing)} are to be compiled.", flush=True)
    with ProcessPoolExecutor(chosen.jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for done in as_completed([pool.submit(make, graph) for graph in missing]):
            graph, size, seconds = done.result()
            of = f"{graph.name:<12} {graph.purpose.precision:<5} {graph.purpose.target:<11}"
            print(f"{of} {size / 1e3:>6.0f} kB {seconds:>5.0f} s", flush=True)
    there = list(SHIPPED.glob("*.mef"))
    print(f"{SHIPPED} has {len(there)} graphs, {sum(path.stat().st_size for path in there) / 1e6:.1f} MB.")


def _words(text: str) -> list[str]:
    return words_of([text])


if __name__ == "__main__":
    main()
