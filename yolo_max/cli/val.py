"""``yolo-max val``: how accurate the detections are on a labelled dataset."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yolo_max.cli.console import Debug, say, stdout
from yolo_max.cli.options import (
    DETECTIONS,
    OUTPUT,
    RUN,
    AsJson,
    Device,
    Imgsz,
    Kernels,
    Precision,
    Quiet,
    Threads,
    Weights,
    canvas,
    option,
)
from yolo_max.cli.progress import counting
from yolo_max.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from yolo_max.val.validate import Validation

ENGINES = {"max": ("max",), "torch": ("torch",), "both": ("torch", "max")}
EPILOG = (
    "[bold]Exit codes[/]  0 done · 2 bad option · 3 weights · 4 dataset · 5 engine or device · "
    "6 cannot write · 7 some images or labels could not be read, the rest is measured · "
    "8 both engines were measured and differ by more than 0.0005 mAP · 130 interrupted"
)


def val(
    data: Annotated[
        Path, typer.Argument(help="A dataset's YAML, or COCO's json.", metavar="DATA", show_default=False)
    ],
    weights: Weights = "yolov8n",
    engine: Annotated[str, option(RUN, "max, torch, or both to compare them.", metavar="NAME")] = "max",
    split: Annotated[str, option(RUN, "Which split of a YAML: val, test or train.", metavar="NAME")] = "val",
    images: Annotated[
        Path | None,
        option(
            RUN,
            "Where the images of a json are.",
            metavar="FOLDER",
            show_default="in the usual places around it",
        ),
    ] = None,
    imgsz: Imgsz = None,
    device: Device = "auto",
    precision: Precision = "f32",
    kernels: Kernels = "auto",
    threads: Threads = None,
    conf: Annotated[float, option(DETECTIONS, "Least confidence of a box, 0 to 1.", metavar="X")] = 0.001,
    iou: Annotated[float, option(DETECTIONS, "Most overlap of two boxes (NMS), 0 to 1.", metavar="X")] = 0.7,
    max_det: Annotated[int, option(DETECTIONS, "Most boxes in an image.", metavar="N")] = 300,
    save_json: Annotated[
        Path | None,
        option(OUTPUT, "Write the predictions as COCO's json.", metavar="FILE", show_default=False),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """Measure mean average precision on a labelled dataset.

    Takes an Ultralytics dataset (a YAML, images and YOLO labels) or annotations in COCO's json. The input is
    square, and the settings are those of Ultralytics' validator.
    """
    from yolo_max.atomic import write_atomically
    from yolo_max.val.dataset import load_dataset
    from yolo_max.val.validate import validate
    from yolo_max.weights.load import load_weights

    if engine not in ENGINES:
        raise UsageError(f"there is no engine {engine!r}; take {', '.join(ENGINES)}.")
    loaded = load_weights(weights)
    dataset = load_dataset(data, split=split, images=images)
    engines = ENGINES[engine]
    size = canvas(imgsz, loaded.meta, quiet or as_json)
    with counting(len(engines) * len(dataset.examples), quiet or as_json) as counter:
        validation = validate(
            dataset,
            loaded,
            engines,
            options={"imgsz": size, "conf": conf, "iou": iou, "threads": threads},
            max_only={"device": device, "precision": precision, "kernels": kernels},
            max_det=max_det,
            on_progress=counter.advance,
            report=counter.report,
        )
    if save_json is not None:
        for each, path in zip(validation.engines, _files(save_json, engines), strict=True):
            write_atomically(path, json.dumps(each.predictions).encode())
            say(f"Wrote {path}.")
    if as_json:
        typer.echo(json.dumps(to_record(validation)))
    elif not quiet:
        show(validation, stdout())
    left_out = [*dataset.problems, *(f"{path}: {reason}" for path, reason in validation.unreadable.items())]
    for problem in left_out:
        say(f"Left out: {problem}.", "yellow")
    if not validation.verdict.holds:
        return ExitCode.PARITY
    return ExitCode.SOME_IMAGES_FAILED if left_out else ExitCode.OK


def _files(path: Path, engines: Sequence[str]) -> list[Path]:
    """Where each engine's predictions go: into ``path``, or beside it where there are several."""
    if len(engines) == 1:
        return [path]
    return [path.with_name(f"{path.stem}_{engine}{path.suffix}") for engine in engines]


def to_record(validation: Validation) -> dict[str, Any]:
    """A validation in plain JSON types."""
    return {
        "dataset": str(validation.dataset.path),
        "left_out": {"labels": list(validation.dataset.problems), "images": dict(validation.unreadable)},
        "engines": {
            each.engine: {
                **each.accuracy.to_dict(),
                "ultralytics": None
                if each.ultralytics is None
                else dict(zip(("map50_95", "map50"), each.ultralytics, strict=True)),
                "infer_ms": each.infer_ms,
                "info": dict(each.info),
            }
            for each in validation.engines
        },
        "difference": validation.difference,
        "verdict": {"holds": validation.verdict.holds, "failures": list(validation.verdict.failures)},
    }


COLUMNS = {
    "mAP50-95": "map50_95",
    "mAP50": "map50",
    "mAP75": "map75",
    "small": "small",
    "medium": "medium",
    "large": "large",
}


def show(validation: Validation, console: Console) -> None:
    """Prints the figures: a row a class, then all of them, and what there is to compare."""
    from rich.table import Table

    from yolo_max.compare.process import NAMES

    for each in validation.engines:
        accuracy = each.accuracy
        table = Table(NAMES[each.engine], box=None, pad_edge=False)
        for heading in ("images", "objects", *COLUMNS):
            table.add_column(heading, justify="right")
        for row in accuracy.classes:
            figures = [_figure(getattr(row.precision, name)) for name in COLUMNS.values()]
            table.add_row(row.name, str(row.images), str(row.objects), *figures)
        figures = [_figure(getattr(accuracy.mean, name)) for name in COLUMNS.values()]
        table.add_row("all", str(accuracy.images), str(accuracy.objects), *figures, style="bold")
        console.print(table)
        if each.ultralytics is not None:
            m50_95, m50 = each.ultralytics
            console.print(f"By Ultralytics' own sum, mAP50-95 {m50_95:.4f}, mAP50 {m50:.4f}.")
        console.print(f"In the network, mean an image: {each.infer_ms:.1f} ms.", "")
    if validation.difference is not None:
        console.print(f"MAX's mAP50-95 less PyTorch's: {validation.difference:+.5f}.", style="bold")


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
