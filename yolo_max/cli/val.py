"""``yolo-max val``: accuracy on a labelled dataset."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yolo_max.cli.config import Config
from yolo_max.cli.console import Debug, printable, say, stdout, warnings_as_lines
from yolo_max.cli.parameters import (
    MAX_ONLY,
    TWO_ENGINES,
    AsJson,
    Quiet,
    Some,
    Weights,
    canvas,
    flag,
    option,
    takes,
)
from yolo_max.cli.progress import counting
from yolo_max.support.errors import ExitCode, UsageError
from yolo_max.support.option import a_fraction
from yolo_max.support.options import DETECTIONS, OUTPUT, RUN, VAL_CONF, PredictOptions
from yolo_max.support.result_names import COCO_FILE
from yolo_max.support.text import abridge, counted, visible

if TYPE_CHECKING:
    from rich.console import Console

    from yolo_max.verify.val.figures import Row
    from yolo_max.verify.val.validate import Validation

MAX_CLASSES = 20
MEASURED = ("imgsz", "nms", "iou", "max_det", "threads")
"""Options that apply to both engines."""
ENGINES = {"max": ("max",), "torch": ("torch",), "both": ("torch", "max")}


@takes(options=Some(PredictOptions, *MEASURED, *MAX_ONLY, helps=TWO_ENGINES))
def val(
    data: Annotated[
        Path,
        typer.Argument(
            help="A dataset's YAML, COCO's json, or a folder of classes.", metavar="DATA", show_default=False
        ),
    ],
    weights: Weights = "yolov8n",
    engine: Annotated[str, option(RUN, "max, torch, or both to compare them.", metavar="NAME")] = "max",
    split: Annotated[str, option(RUN, "Which split: val, test or train.", metavar="NAME")] = "val",
    images: Annotated[
        Path | None,
        option(
            RUN,
            "Where the images of a json are.",
            metavar="FOLDER",
            show_default="in the usual places around it",
        ),
    ] = None,
    classes_by_id: Annotated[
        bool,
        flag(RUN, "Match classes by id, whatever their names.", "--classes-by-id"),
    ] = False,
    single_cls: Annotated[bool, flag(RUN, "Measure all classes as one.", "--single-cls")] = False,
    conf: Annotated[
        float | None,
        option(
            DETECTIONS,
            "Minimum confidence of a box, 0 to 1.",
            metavar="X",
            show_default=f"{VAL_CONF}; of a rotated one 0.01",
        ),
    ] = None,
    *,
    options: PredictOptions,
    out: Annotated[
        Path | None,
        option(
            OUTPUT,
            "Write curves, confusion matrices, tables, labels beside predictions, and a page with them all.",
            *("--out", "-o"),
            metavar="FOLDER",
            show_default=False,
        ),
    ] = None,
    save_json: Annotated[
        Path | None,
        option(
            OUTPUT,
            f"Write the predictions as json, boxes as COCO's: FILE, or {COCO_FILE}. (--out has it, too.)",
            metavar="[FILE]",
            show_default=False,
        ),
    ] = None,
    all_classes: Annotated[
        bool, flag(OUTPUT, f"Show every class, not the {MAX_CLASSES} with most objects.", "--all-classes")
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
    _cfg: Config = None,
    _debug: Debug = False,
) -> int:
    """Measure accuracy on a labelled dataset.

    Boxes, rotated boxes, masks, keypoints: mean average precision on an Ultralytics dataset (a YAML, images
    and YOLO labels) or on COCO's json. Classification: top-1 and top-5 on a folder that holds
    val/CLASS/IMAGE. The input is square, and the settings are those of Ultralytics' validator.
    """
    from yolo_max.runtime import host
    from yolo_max.support.atomic import write_atomically
    from yolo_max.tasks.registry import task_of
    from yolo_max.verify.val.metrics import METRICS, require
    from yolo_max.verify.val.report import folder, plots
    from yolo_max.verify.val.validate import validate
    from yolo_max.weights.load import load_weights

    if engine not in ENGINES:
        raise UsageError(f"there is no engine {engine!r}; use max, torch or both.")
    if classes_by_id and single_cls:
        raise UsageError("--classes-by-id and --single-cls exclude each other; use one of them.")
    if conf is not None:
        a_fraction("conf", conf)
    require(data)
    engines = ENGINES[engine]
    if save_json == Path():  # no name was given
        save_json = Path(COCO_FILE) if out is None else None
    saved = [] if save_json is None else _files(save_json, engines)
    if any(path.exists() and path.samefile(data) for path in saved):
        raise UsageError(f"--save-json {save_json} would overwrite the dataset; name another file.")
    places = []
    if out is not None:
        plots.require()
        places = folder.folders(out, engines)
    loaded = load_weights(weights)
    task = task_of(loaded.meta)
    dataset = METRICS[task.metric].load(data, split, images)
    folder.require_apart(places, dataset)
    given = [*options.given(), *([] if conf is None else ["conf"])]
    if (ignored := task.ignored(given)) and not quiet and not as_json:
        say(ignored, "yellow")
    measured = {name: getattr(options, name) for name in MEASURED}
    measured["conf"] = task.val_conf if conf is None else conf
    measured["imgsz"] = canvas(options.imgsz, loaded.meta, quiet or as_json)
    disturbance = host.Disturbance.start()
    with (
        counting(len(engines) * len(dataset.examples), quiet or as_json) as counter,
        warnings_as_lines(quiet or as_json),
    ):
        validation = validate(
            dataset,
            loaded,
            engines,
            options=measured,
            max_only={name: getattr(options, name) for name in MAX_ONLY},
            match="one" if single_cls else "id" if classes_by_id else "name",
            on_progress=counter.advance,
            report=counter.report,
        )
    disturbed = host.warnings(disturbance.summary())
    for each, path in zip(validation.engines, saved, strict=False):
        write_atomically(path, json.dumps(each.predictions).encode())
        if not quiet and not as_json:
            say(f"Wrote {path}.")
    if out is not None:
        record = to_record(validation)
        title = f"{loaded.path.name} on {data.name}, {split}"
        for each, place in zip(validation.engines, places, strict=True):
            page = folder.write(place, dataset, each, record, title=title, conf=measured["conf"])
            if not quiet and not as_json:
                say(f"Wrote {page}.")
    if as_json:
        typer.echo(json.dumps(to_record(validation)))
    elif not quiet:
        show(validation, stdout(), all_classes=all_classes)
        for warning in disturbed:
            say(warning, "yellow")
        if dataset.unlabelled:
            images_without = counted(dataset.unlabelled, "image")
            say(f"{images_without} without a label file: counted as background.", "yellow")
    for warning in validation.engines[0].warnings:
        say(f"Warning: {printable(warning)}.", "yellow")
    left_out = [*dataset.problems, *(f"{path}: {reason}" for path, reason in validation.unreadable.items())]
    for problem in left_out:
        say(f"Left out: {abridge(printable(problem))}.", "yellow")
    if not validation.verdict.holds:
        return ExitCode.PARITY
    return ExitCode.SOME_IMAGES_FAILED if left_out else ExitCode.OK


def _files(path: Path, engines: Sequence[str]) -> list[Path]:
    """One file per engine: ``path`` itself, or beside it where there are several."""
    if len(engines) == 1:
        return [path]
    return [path.with_name(f"{path.stem}_{engine}{path.suffix}") for engine in engines]


def to_record(validation: Validation) -> dict[str, Any]:
    """A validation in plain JSON types."""
    return {
        "dataset": str(validation.dataset.path),
        "unlabelled": validation.dataset.unlabelled,
        "warnings": list(validation.engines[0].warnings),
        "left_out": {"labels": list(validation.dataset.problems), "images": dict(validation.unreadable)},
        "engines": {
            each.engine: {
                **each.accuracy.to_dict(),
                "ultralytics": {_key(name): figure for name, figure in each.ultralytics.items()},
                "infer_ms": each.infer_ms,
                "info": dict(each.info),
            }
            for each in validation.engines
        },
        "differences": {_key(name): each for name, each in validation.differences.items()},
        "verdict": {
            "holds": validation.verdict.holds if validation.differences else None,
            "failures": list(validation.verdict.failures),
        },
    }


def _key(name: str) -> str:
    """A figure's key in records, of its display name."""
    return name.lower().replace("-", "_").replace(" ", "_")


def show(validation: Validation, console: Console, *, all_classes: bool = False) -> None:
    """Prints the figures: one row per class, then the totals. Columns that do not fit are left out."""
    from yolo_max.support.terminal_table import grid, parts
    from yolo_max.verify.engine_run import NAMES

    headers, rows, more = _table(validation, all_classes)
    columns, *rest = parts(headers, rows, console.width)
    if len(validation.engines) == 2 and 3 < len(columns) < len(headers) and len(columns) % 2:
        rest.insert(0, [0, columns.pop()])  # one engine's figure alone cannot be compared
    styles = [*[""] * (len(rows) - 2), "dim" if more else "", "bold"][-len(rows) :]
    console.print(grid(headers, rows, columns, styles=styles))
    if rest:
        names = ", ".join(dict.fromkeys(headers[i].replace("\n", " ") for part in rest for i in part[1:]))
        console.print(f"No room for {names}; --json has them all.", style="dim")
    console.print()
    sums = [
        f"{NAMES[each.engine]} {', '.join(f'{name} {value:.4f}' for name, value in each.ultralytics.items())}"
        for each in validation.engines
        if each.ultralytics
    ]
    if sums:
        console.print(f"By the rules of yolo val ({validation.engines[0].rules}): {'; '.join(sums)}.")
    if definition := validation.engines[0].definition:
        console.print(definition)
    times = ", ".join(f"{NAMES[each.engine]} {each.infer_ms:.1f} ms" for each in validation.engines)
    console.print(f"Network, median per image: {times}; for a benchmark, use yolo-max bench.", style="dim")
    for name, difference in validation.differences.items():
        console.print(f"MAX's {name} minus PyTorch's: {difference:+.5f}.", style="bold")


def _table(validation: Validation, all_classes: bool) -> tuple[list[str], list[list[str]], int]:
    """Headers; rows, the last one over all classes; and how many classes were left out."""
    from yolo_max.verify.engine_run import NAMES

    engines = validation.engines
    totals = [each.accuracy.total() for each in engines]
    rows = [each.accuracy.rows() for each in engines]
    first = totals[0]  # the labels are the same for all engines
    if len(engines) == 1:
        shown = [(name, 0) for name in first.figures]
        figures = list(first.figures)
    else:
        compared = engines[0].accuracy.compared
        shown = [(name, i) for name in compared for i in range(len(engines))]
        figures = [f"{name}\n{NAMES[each.engine]}" for name in compared for each in engines]
    with_objects = first.objects is not None
    order: Sequence[int] = range(len(rows[0]))
    if not all_classes:
        order = sorted(order, key=lambda i: -rows[0][i].count)[:MAX_CLASSES]

    def cells(row: Sequence[Row]) -> list[str]:
        objects = [str(row[0].objects)] if with_objects else []
        values = [_figure(row[i].figures[name]) for name, i in shown]
        return [visible(row[0].name), *objects, *values, str(row[0].images)]

    table = [cells([each[i] for each in rows]) for i in order]
    if more := len(rows[0]) - len(table):
        left = sum(row.count for row in rows[0]) - sum(rows[0][i].count for i in order)
        blank = [""] * len(shown)
        table.append(
            [f"{more} more", str(left), *blank, ""] if with_objects else [f"{more} more", *blank, ""]
        )
    table.append(cells(totals))
    return ["class", *(["objects"] if with_objects else []), *figures, "images"], table, more


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
