"""The folder of a validation: pictures, tables and the page, one set for each engine."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yolo_max.output.encode import encode_image
from yolo_max.predict.folder.previous_run import require_no_file
from yolo_max.support.atomic import cannot_write, write_atomically
from yolo_max.support.errors import OutputError
from yolo_max.support.html import render
from yolo_max.verify.engine_run import NAMES
from yolo_max.verify.val.curves import Curves
from yolo_max.verify.val.dataset import BoxDataset, Dataset
from yolo_max.verify.val.report import plots
from yolo_max.verify.val.report.sheet import CONF, sheets
from yolo_max.verify.val.validate import EngineAccuracy

PAGE, RECORD, TABLE, PREDICTIONS = "val.html", "val.json", "per_class.csv", "predictions.json"
PREFIXES = {"box": "Box", "mask": "Mask", "keypoint": "Pose"}
"""What Ultralytics' names of curves begin with."""
LABELS, PREDICTED = "val_batch0_labels.jpg", "val_batch0_pred.jpg"
MATRIX, NORMALIZED = "confusion_matrix.png", "confusion_matrix_normalized.png"
KINDS = ("PR", "F1", "P", "R")
FILES = (
    *(f"{prefix}{kind}_curve.png" for prefix in PREFIXES.values() for kind in KINDS),
    *(MATRIX, NORMALIZED, LABELS, PREDICTED, TABLE, PREDICTIONS, RECORD, PAGE),
)
"""All that is ever written; which of them depends on the task."""
WRITTEN_BY = "yolo-max val"
"""What the record of a validation says, since COCO's annotations are called ``val.json`` too."""
TEMPLATE = Path(__file__).with_name("page.html")


def folders(out: Path, engines: Sequence[str]) -> list[Path]:
    """Where each engine's files go: ``out`` itself, or folders in it where there are several.

    Raises:
        OutputError: One holds a file that no earlier validation wrote and that would be overwritten.
    """
    places = [out] if len(engines) == 1 else [out / engine for engine in engines]
    for place in places:
        require_no_file(place)
        own = results_of(place)
        for name in FILES:
            if name not in own and os.path.lexists(place / name):
                raise OutputError(
                    f"{place / name} is not a result of an earlier validation and would be overwritten; "
                    "choose another folder with --out."
                )
    return places


def results_of(folder: Path) -> set[str]:
    """The files that the validation in a folder says it wrote, by name; none if there is no such record."""
    try:
        record = json.loads((folder / RECORD).read_bytes())
        if record["written_by"] == WRITTEN_BY:
            return {RECORD, *FILES} & {RECORD, *record["files"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    return set()


def require_apart(places: Sequence[Path], dataset: Dataset) -> None:
    """Refuses folders in which the dataset would take our pictures for images of its own.

    Raises:
        OutputError: There is one.
    """
    for place in places:
        for images in dataset.folders:
            if place.resolve().is_relative_to(images.resolve()):
                raise OutputError(
                    f"{place} is among the dataset's images in {images}; choose another folder with --out."
                )


def write(
    folder: Path,
    dataset: Dataset,
    engine: EngineAccuracy,
    record: Mapping[str, Any],
    *,
    title: str,
    conf: float,
) -> Path:
    """Writes all files of one engine.

    Args:
        folder: One of `folders`, made if it does not exist; what `results_of` it names is replaced.
        dataset: What was measured on.
        engine: What was measured.
        record: The whole validation in plain JSON types.
        title: What was measured, for the page: the names of weights and dataset.
        conf: The confidence that all detections exceed.

    Returns:
        The path of the page.

    Raises:
        OutputError: A file cannot be written.
    """
    files: dict[str, bytes] = {}
    for name, curves in engine.curves.items():
        if len(curves):
            files |= _curves(PREFIXES[name], curves)
    if engine.confusion is not None:
        files[MATRIX] = plots.confusion_matrix(engine.confusion, normalize=False)
        files[NORMALIZED] = plots.confusion_matrix(engine.confusion, normalize=True)
    if drawn := sheets(dataset, engine.shown):
        for name, sheet in zip((LABELS, PREDICTED), drawn, strict=True):
            files[name] = encode_image(sheet, ".jpg")
    boxes = isinstance(dataset, BoxDataset)
    header, rows = table(engine)
    pictures = [name for name in files if name.endswith(".png")]
    page = render(
        TEMPLATE,
        title=title,
        engine=NAMES[engine.engine],
        header=header,
        rows=rows,
        pictures=pictures,
        sheets=[name for name in (LABELS, PREDICTED) if name in files],
        drawn_conf=CONF if boxes else None,
        conf=conf if boxes else None,
        best=_best(engine),
        definition=engine.definition,
        warnings=engine.warnings,
        files=[TABLE, PREDICTIONS, RECORD],
    )
    files[TABLE] = _csv([header, *rows])
    files[PREDICTIONS] = json.dumps(engine.predictions).encode()
    files[PAGE] = page.encode("utf-8", "backslashreplace")
    record = {
        "written_by": WRITTEN_BY,
        "files": [*files, RECORD],
        **record,
        "conf": conf if boxes else None,
        **_facts(engine),
    }
    files[RECORD] = json.dumps(record, indent=1).encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in results_of(folder) - files.keys():
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    for name, data in files.items():
        write_atomically(folder / name, data)
    return folder / PAGE


def _curves(prefix: str, curves: Curves) -> dict[str, bytes]:
    return {
        f"{prefix}PR_curve.png": plots.pr_curve(curves),
        f"{prefix}F1_curve.png": plots.confidence_curve(curves, "F1", curves.f1),
        f"{prefix}P_curve.png": plots.confidence_curve(curves, "Precision", curves.precision),
        f"{prefix}R_curve.png": plots.confidence_curve(curves, "Recall", curves.recall),
    }


def table(engine: EngineAccuracy) -> tuple[list[str], list[list[str]]]:
    """The header, and one row per class, all classes first, as ``yolo val`` prints them.

    Precision, recall and F1 are those where the mean F1 is highest.
    """
    accuracy, total = engine.accuracy, engine.accuracy.total()
    objects = [] if total.objects is None else ["Instances"]
    figures = [(name, key) for name, each in engine.curves.items() if len(each) for key in ("P", "R", "F1")]
    several = len(engine.curves) > 1
    header = [
        *("Class", "Images"),
        *objects,
        *(f"{name} {key}" if several else key for name, key in figures),
        *total.figures,
    ]
    rows = []
    for row in (total, *accuracy.rows()):
        at_best = [_at_best(engine.curves[name], key, row.class_id) for name, key in figures]
        values = [*at_best, *row.figures.values()]
        counts = [str(row.images), *([] if row.objects is None else [str(row.objects)])]
        rows.append([row.name, *counts, *("" if each is None else f"{each:.4f}" for each in values)])
    return header, rows


def _at_best(curves: Curves, key: str, class_id: int | None) -> float | None:
    """A figure of a class, or the mean over all of them, where the mean F1 is highest."""
    at = {"P": curves.precision, "R": curves.recall, "F1": curves.f1}[key][:, curves.best]
    if class_id is None:
        return float(at.mean())
    return float(at[curves.class_id.index(class_id)]) if class_id in curves.class_id else None


def _facts(engine: EngineAccuracy) -> dict[str, Any]:
    """What the pictures say, in plain JSON types."""
    facts: dict[str, Any] = {
        "best_confidence": {
            name: float(each.x[each.best]) for name, each in engine.curves.items() if len(each)
        }
    }
    if (confusion := engine.confusion) is not None:
        facts["confusion_matrix"] = {
            "names": list(confusion.names),
            "counts": confusion.counts.tolist(),  # [predicted][true]
        }
    return facts


def _best(engine: EngineAccuracy) -> str:
    """At which confidence that is."""
    found = {name: f"{each.x[each.best]:.3f}" for name, each in engine.curves.items() if len(each)}
    return ", ".join(found.values() if len(found) == 1 else map(" ".join, found.items()))


def _csv(rows: Sequence[Sequence[str]]) -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue().encode("utf-8", "backslashreplace")
