"""``yolo-max bench``: times MAX and its peers on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yolo_max.cli.config import Config
from yolo_max.cli.console import Debug, say, stderr, stdout
from yolo_max.cli.parameters import AsJson, Some, Weights, flag, option, takes
from yolo_max.cli.progress import counting
from yolo_max.support.options import NETWORK, OUTPUT, PredictOptions
from yolo_max.support.parse import words_of

if TYPE_CHECKING:
    from yolo_max.bench.engine_pool import Tick

WHAT, HOW = "What is measured", "How it is measured"


@takes(options=Some(PredictOptions, "imgsz"))
def bench(
    weights: Weights = "yolov8n",
    *,
    options: PredictOptions,
    images: Annotated[
        Path | None,
        option(
            NETWORK,
            "A folder of images, for parity and end-to-end times.",
            metavar="FOLDER",
            show_default="./images if it is there, else drawn ones",
        ),
    ] = None,
    engines: Annotated[
        list[str] | None,
        option(
            WHAT,
            "Some of max, max-bf16, max-stock, torch, torch-compile, onnxruntime, openvino, openvino-bf16.",
            metavar="LIST",
            show_default="all",
        ),
    ] = None,
    scenarios: Annotated[
        list[str] | None,
        option(
            WHAT,
            "Some of single-stream, offline, end-to-end, cold-start, growth.",
            metavar="LIST",
            show_default="all",
        ),
    ] = None,
    quick: Annotated[
        bool,
        flag(
            HOW,
            "A minute or two on warm caches: short timings, no growth, no empty cache, and slow compilers "
            "only if named.",
            "--quick",
        ),
    ] = False,
    rounds: Annotated[int, option(HOW, "Rounds, each in a new random order.", metavar="N")] = 5,
    seconds: Annotated[
        float | None,
        option(
            HOW, "How long an engine is timed in a round.", metavar="S", show_default="1.5, or 0.3 if quick"
        ),
    ] = None,
    threads: Annotated[
        int | None,
        option(
            HOW, "Threads of each engine, and CPUs it is pinned to.", metavar="N", show_default="all CPUs"
        ),
    ] = None,
    seed: Annotated[int, option(HOW, "Seed for the order of the engines.", metavar="N")] = 0,
    against: Annotated[
        str | None,
        option(OUTPUT, "The engine that ratios refer to.", metavar="ENGINE", show_default="torch"),
    ] = None,
    out: Annotated[
        Path | None,
        option(
            OUTPUT,
            "Folder for bench.json, bench.html and plots.",
            "--out",
            "-o",
            metavar="FOLDER",
            show_default="runs/bench, or the first free of runs/bench-2, ...; with --from, its folder",
        ),
    ] = None,
    again: Annotated[
        Path | None,
        option(
            OUTPUT,
            "Show an earlier run and draw its page again, without measuring.",
            "--from",
            metavar="bench.json",
        ),
    ] = None,
    as_json: AsJson = False,
    _cfg: Config = None,
    _debug: Debug = False,
) -> None:
    """Measure MAX against PyTorch, ONNX Runtime and OpenVINO on this machine.

    Each engine has its own process and is timed in turn, in rounds, while all others are stopped.

    An engine whose results differ from PyTorch's gets no speed-up; missing engines are listed.
    """
    from yolo_max.bench.report.summary import summarise
    from yolo_max.bench.report.tables import headline, tables
    from yolo_max.bench.report.text import show
    from yolo_max.bench.report.write import make_folder, write_page, write_record
    from yolo_max.bench.request import Request, reference_point
    from yolo_max.bench.results import BenchResults
    from yolo_max.predict.folder.previous_run import next_free
    from yolo_max.runtime import host

    def claim() -> Path:
        """Makes the folder, once the options make sense and before anything is measured."""
        nonlocal out
        out = out or (next_free(Path("runs/bench")) if again is None else again.parent)
        make_folder(out)
        return out

    if again is not None:
        results = BenchResults.read(again)
        keys = [engine.key for engine in results.engines]
        results.against = reference_point(keys, against or results.against)
    else:
        results = Request(
            weights=weights,
            images=images,
            engines=engines and words_of(engines),
            scenarios=scenarios and words_of(scenarios),
            imgsz=options.imgsz,
            quick=quick,
            rounds=rounds,
            seconds=seconds,
            threads=threads,
            seed=seed,
            against=against,
        ).run(_progress, claim)
    out = claim()
    written = [write_record(results, out)] if again is None else []
    figures = summarise(results)
    shown = tables(results, figures)
    written += write_page(results, figures, shown, out)
    if as_json:
        typer.echo(json.dumps({"host": results.host, **figures}))
    else:
        show(shown, headline(results, figures), stdout())
    for warning in (*host.warnings(results.host), *results.notes):
        say(warning, "yellow")
    say(f"Wrote {', '.join(map(str, written))}.")


@contextmanager
def _progress(steps: int) -> Iterator[Tick]:
    """A bar on a terminal; elsewhere one line per measurement, not per round."""
    said = ""

    def say_what_is_new(step: str) -> None:
        nonlocal said
        if (thing := step.partition(", round")[0]) != said:
            said = thing
            say(thing)

    if stderr().is_terminal:
        with counting(steps, quiet=False) as counter:
            yield counter.advance
    else:
        yield say_what_is_new
