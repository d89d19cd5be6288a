"""``yolo-max bench``: MAX and its peers, timed next to each other on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yolo_max.cli.console import Debug, say, stderr, stdout
from yolo_max.errors import UsageError

if TYPE_CHECKING:
    from yolo_max.bench.fleet import Tick

WHAT, HOW, OUTPUT = "What is measured", "How it is measured", "Output"


def bench(
    weights: Annotated[
        str,
        typer.Option(
            "--weights",
            "--model",
            "-w",
            help="A .safetensors or .pt file, or a name.",
            metavar="FILE|NAME",
            rich_help_panel=WHAT,
        ),
    ] = "yolov8n",
    images: Annotated[
        Path | None,
        typer.Option(
            help="A folder of images for parity and end-to-end times.",
            metavar="FOLDER",
            show_default="./images if it is there, else drawn ones",
            rich_help_panel=WHAT,
        ),
    ] = None,
    engines: Annotated[
        str | None,
        typer.Option(
            help="Some of max, max-bf16, max-stock, torch, torch-compile, onnxruntime, openvino, "
            "openvino-bf16.",
            metavar="LIST",
            show_default="all",
            rich_help_panel=WHAT,
        ),
    ] = None,
    scenarios: Annotated[
        str | None,
        typer.Option(
            help="Some of single-stream, offline, end-to-end, cold-start, growth.",
            metavar="LIST",
            show_default="all",
            rich_help_panel=WHAT,
        ),
    ] = None,
    imgsz: Annotated[
        str | None,
        typer.Option(
            help="Side of the network's input in pixels, or HEIGHT,WIDTH.",
            metavar="PIXELS",
            show_default="the weights' own",
            rich_help_panel=WHAT,
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Under two minutes on warm caches: short timings, no growth, no empty cache, no engine that "
            "takes long to compile, unless named.",
            rich_help_panel=HOW,
        ),
    ] = False,
    rounds: Annotated[
        int, typer.Option(help="Rounds, each in a new random order.", metavar="N", rich_help_panel=HOW)
    ] = 5,
    seconds: Annotated[
        float | None,
        typer.Option(
            help="How long an engine is timed in a round.",
            metavar="S",
            show_default="1.5, quick 0.3",
            rich_help_panel=HOW,
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            help="Threads of every engine, and CPUs that it is pinned to.",
            metavar="N",
            show_default="the CPUs this process may use",
            rich_help_panel=HOW,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Of the order of the engines.", metavar="N", rich_help_panel=HOW)
    ] = 0,
    against: Annotated[
        str, typer.Option(help="The engine that ratios refer to.", metavar="ENGINE", rich_help_panel=OUTPUT)
    ] = "torch",
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="Folder for bench.json, bench.html and plots.",
            metavar="FOLDER",
            rich_help_panel=OUTPUT,
        ),
    ] = Path("runs/bench"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the figures as JSON on stdout.", rich_help_panel=OUTPUT)
    ] = False,
    again: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Measure nothing: show an earlier run's bench.json.",
            metavar="bench.json",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Measure MAX against PyTorch, ONNX Runtime and OpenVINO on this machine.

    Each engine has a process of its own and is timed in turn, in rounds of random order, while all others are
    stopped. An engine that does not say what PyTorch says gets no speed-up; one that is missing is listed.
    """
    from yolo_max.bench import host
    from yolo_max.bench.report.summary import summarise
    from yolo_max.bench.report.tables import headline, tables
    from yolo_max.bench.report.text import show
    from yolo_max.bench.report.write import make_folder, write_all
    from yolo_max.bench.request import Request
    from yolo_max.bench.results import Results

    make_folder(out)
    if again is not None:
        results = Results.read(again)
        results.against = against
    else:
        request = Request(
            weights=weights,
            images=images,
            engines=_words(engines),
            scenarios=_words(scenarios),
            imgsz=_sides(imgsz),
            quick=quick,
            rounds=rounds,
            seconds=seconds,
            threads=threads,
            seed=seed,
            against=against,
        )
        results = request.run(_progress)
    figures = summarise(results)
    shown = tables(results, figures)
    written = write_all(results, figures, shown, out)
    if as_json:
        typer.echo(json.dumps({"host": results.host, **figures}))
    else:
        show(shown, headline(results, figures), stdout())
    for warning in (*host.warnings(results.host), *results.notes):
        say(warning, "yellow")
    say(f"Wrote {', '.join(map(str, written))}.")


def _words(text: str | None) -> list[str] | None:
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]


def _sides(text: str | None) -> list[int] | int | None:
    if text is None:
        return None
    try:
        sides = [int(word) for word in text.replace("x", ",").split(",")]
    except ValueError:
        raise UsageError(f"imgsz is {text!r}, but it must be PIXELS or HEIGHT,WIDTH.") from None
    return sides[0] if len(sides) == 1 else sides


@contextmanager
def _progress(steps: int) -> Iterator[Tick]:
    """A bar on a terminal; elsewhere a line for each new thing, and not for every round of it."""
    if not stderr().is_terminal:
        said = ""

        def tick(step: str) -> None:
            nonlocal said
            if (thing := step.partition(", round")[0]) != said:
                said = thing
                say(thing)

        yield tick
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        BarColumn(24),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=stderr(), transient=True) as bar:
        task = bar.add_task("", total=steps, completed=-1)
        yield lambda step: bar.update(task, advance=1, description=step)
