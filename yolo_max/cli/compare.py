"""``yolo-max compare``: runs both engines on the same images and compares the results."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yolo_max.cli.config import Config
from yolo_max.cli.console import Debug, printable, say, stdout
from yolo_max.cli.parameters import (
    BOTH_ENGINES,
    MAX_ONLY,
    TWO_ENGINES,
    AsJson,
    Quiet,
    Recursive,
    Some,
    Sources,
    Weights,
    canvas,
    flag,
    option,
    takes,
)
from yolo_max.cli.progress import counting
from yolo_max.cli.summary import skipped_lines
from yolo_max.support.errors import ExitCode, SourceError, UsageError
from yolo_max.support.options import OUTPUT, RUN, PredictOptions
from yolo_max.support.text import counted

if TYPE_CHECKING:
    from rich.console import Console

    from yolo_max.tasks.rubric import TensorDifference
    from yolo_max.verify.compare.comparison import Comparison, Settings

BASELINES = ("torch", "ultralytics")
DEFAULT_OUT = Path("runs/compare")
LAYER_IMAGES = 4
"""Images that are compared layer by layer."""


@takes(options=Some(PredictOptions, *BOTH_ENGINES, *MAX_ONLY, helps=TWO_ENGINES))
def compare(
    sources: Sources,
    weights: Weights = "yolov8n",
    baseline: Annotated[
        str, option(RUN, "torch: the fused module; ultralytics: its whole predictor.", metavar="NAME")
    ] = "torch",
    layers: Annotated[bool, flag(RUN, "Show the error of each layer, on four images.", "--layers")] = False,
    recursive: Recursive = False,
    *,
    options: PredictOptions,
    out: Annotated[
        Path | None,
        option(
            OUTPUT,
            "Folder for the results.",
            "--out",
            "-o",
            metavar="FOLDER",
            show_default="runs/compare, or the first free of runs/compare-2, runs/compare-3, ...",
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        flag(OUTPUT, "Replace the results of the comparison in --out, and no other files.", "--overwrite"),
    ] = False,
    save: Annotated[bool, flag(OUTPUT, "Write side-by-side images.", "--save/--no-save")] = True,
    quiet: Quiet = False,
    as_json: AsJson = False,
    _cfg: Config = None,
    _debug: Debug = False,
) -> int:
    """Compare MAX with PyTorch, image by image.

    Each engine runs in a process of its own. Writes side-by-side images, [cyan]compare.json[/] and
    [cyan]report.html[/], and says whether the parity rubric holds: with --precision bf16, whether raw
    outputs and class scores are within bounds of their own.
    """
    from yolo_max.images.source import SourceFailure, SourceImage, SourceSkipped
    from yolo_max.images.sources import find_images
    from yolo_max.predict.folder.previous_run import next_free
    from yolo_max.runtime import host
    from yolo_max.support.parse import parse_classes
    from yolo_max.tasks.registry import task_of
    from yolo_max.verify.compare.comparison import Settings
    from yolo_max.verify.compare.comparison import compare as run
    from yolo_max.verify.compare.folder import ComparisonFolder, require_empty_or_allowed
    from yolo_max.weights.load import NO_ONE_TO_ONE_HEAD, load_weights

    if baseline not in BASELINES:
        raise UsageError(f"there is no baseline {baseline!r}; use {' or '.join(BASELINES)}.")
    if out is None and overwrite:
        out = DEFAULT_OUT
    if out is not None:
        require_empty_or_allowed(out, overwrite=overwrite)
    loaded = load_weights(weights)
    loaded = loaded if options.nms else loaded.without_nms()
    if not options.nms and loaded.meta.network.nms and not quiet and not as_json:
        say(NO_ONE_TO_ONE_HEAD, "yellow")
    if (ignored := task_of(loaded.meta).ignored(options.given())) and not quiet and not as_json:
        say(ignored, "yellow")
    classes = parse_classes(options.classes, loaded.meta.names)
    both = {name: getattr(options, name) for name in BOTH_ENGINES}
    both["imgsz"] = canvas(options.imgsz, loaded.meta, quiet or as_json)
    both["classes"] = None if classes is None else list(classes)
    settings = Settings(loaded, baseline, both, {name: getattr(options, name) for name in MAX_ONLY})
    found = list(find_images(sources, recursive=recursive, exclude=out))
    images = [each for each in found if isinstance(each, SourceImage)]
    out = out or next_free(DEFAULT_OUT)
    disturbance = host.Disturbance.start()
    with ComparisonFolder(out, images, save_images=save) as folder:
        with counting(2 * len(images), quiet or as_json) as counter:
            comparison = run(
                settings,
                [str(image.path) for image in images],
                on_image=folder.add,
                on_progress=counter.advance,
                report=counter.report,
            )
            if not comparison.images:
                path, reason = next(iter(comparison.unreadable.items()))
                raise SourceError(f"none of {len(images)} images can be read: {path}: {reason}.")
            if layers:
                differences = _layers(settings, comparison, counter.report)
                comparison = replace(comparison, layers=tuple(differences))
        folders = {str(each.path): each.reason for each in found if isinstance(each, SourceFailure)}
        comparison = replace(comparison, unreadable={**folders, **comparison.unreadable})
        warnings = [*comparison.cautions(), *host.warnings(disturbance.summary())]
        record, written = folder.finish(comparison, warnings)
    if as_json:
        typer.echo(json.dumps(record))
    elif not quiet:
        show(comparison, stdout())
        for warning in warnings:
            say(warning, "yellow")
        say(f"Wrote {' and '.join(map(str, written))}.")
        for line in skipped_lines(each for each in found if isinstance(each, SourceSkipped)):
            say(line, "yellow")
    for path, reason in comparison.unreadable.items():
        say(f"Not compared: {printable(path)}: {reason}.", "yellow")
    if not comparison.verdict.holds:
        return ExitCode.PARITY
    return ExitCode.SOME_IMAGES_FAILED if comparison.unreadable else ExitCode.OK


def _layers(
    settings: Settings, comparison: Comparison, report: Callable[[str], None]
) -> list[TensorDifference]:
    import numpy as np

    from yolo_max.images.read import read_image
    from yolo_max.verify.layers import layer_differences

    images = [read_image(image.path) for image in comparison.images[:LAYER_IMAGES]]
    batch = np.stack([settings.place((image.shape[0], image.shape[1])).render(image) for image in images])
    return layer_differences(
        settings.weights,
        batch,
        kernels=settings.max_only["kernels"],
        precision=settings.max_only["precision"],
        threads=settings.options["threads"],
        report=report,
    )


def show(comparison: Comparison, console: Console) -> None:
    """Prints the figures and the verdict."""
    from yolo_max.verify.engine_run import NAMES

    reference, judge = NAMES[comparison.settings.baseline], comparison.settings.judge
    counts, speed = comparison.counts(), comparison.speed()
    if comparison.layers:
        rows = [
            [
                layer.name,
                f"{layer.difference:.1e}",
                f"{layer.bound:.1e}",
                f"{layer.magnitude:.3g}",
                "" if layer.ratio is None else f"{layer.ratio:.2f}",
            ]
            for layer in comparison.layers
        ]
        styles = ["" if layer.verdict.holds else "bold red" for layer in comparison.layers]
        headers = ["layer", "difference", "bound", "largest\nvalue", "from float64,\nPyTorch = 1"]
        _print_table(console, headers, rows, styles)
    distributions = comparison.distributions()
    rows = [
        [
            measure.name,
            f"{distributions[measure.key]['p100']:.1e}",
            "" if measure.bound is None or comparison.settings.is_bf16 else f"{measure.bound:.1e}",
            *(f"{distributions[measure.key][p]:.1e}" for p in ("p50", "p99")),
        ]
        for measure in judge.measures
        if measure.key in distributions
    ]
    _print_table(console, ["difference", "worst", "bound", "median", "99 %"], rows)
    alone = counts[f"only_{comparison.settings.baseline}"], counts["only_max"]
    if counts["matched"] + sum(alone):
        console.print(
            f"{counts['matched']} {judge.things} matched, {alone[0]} only by {reference}, "
            f"{alone[1]} only by MAX ({counts['excused']} of these within rounding of a threshold)."
        )
    else:
        compared = "only raw outputs were compared" if distributions else "nothing was compared"
        console.print(f"No {judge.things}: {compared}.")
    for key, name in judge.agreements.items():
        console.print(f"The same {name} on {counts[key]} of {counted(len(comparison.images), 'image')}.")
    times = [f"{NAMES[engine]} {each['infer_ms_p50']:.1f} ms" for engine, each in speed.items()]
    console.print(
        f"Network, median per image: {', '.join(times)}; for a benchmark, use yolo-max bench.", style="dim"
    )
    worst = comparison.worst_first()[0]
    console.print(f"Worst image: {printable(worst.path)}", markup=False)
    verdict = comparison.verdict
    for failure in verdict.failures[:10]:
        console.print(f"  {failure}", style="red", markup=False)
    if len(verdict.failures) > 10:
        console.print(f"  and {len(verdict.failures) - 10} more")
    images = counted(len(comparison.images), "image")
    style = "bold" if not comparison.is_judged else "bold green" if verdict.holds else "bold red"
    console.print(f"{comparison.headline} on {images}.", style=style)


def _print_table(
    console: Console, headers: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str] = ()
) -> None:
    from yolo_max.support.terminal_table import grid, parts

    for columns in parts(headers, rows, console.width):
        console.print(grid(headers, rows, columns, styles=styles))
    console.print()
