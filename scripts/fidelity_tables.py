"""The tables of docs/fidelity.md, of what ``fidelity.py`` has measured."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from yolo_max.runtime import host
from yolo_max.verify.val.evaluate import Accuracy, AveragePrecision


@dataclass(frozen=True)
class Subject:
    """A network and labelled images to measure it on.

    Attributes:
        name: Its name in the tables.
        weights: File of the weights.
        data: YAML of the dataset.
    """

    name: str
    weights: Path
    data: Path


@dataclass(frozen=True)
class Said:
    """What a command says of a subject, in JSON."""

    subject: Subject
    record: Mapping[str, Any]


def provenance(measured: Sequence[Said]) -> str:
    """What the figures come from."""
    facts = host.record()
    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items() if version)
    rows = [
        ("command", f"`python scripts/fidelity.py {shlex.join(Path(a).name for a in sys.argv[1:])}`"),
        ("packages", packages),
        ("processor", facts["cpu"]),
    ]
    for each in measured:
        weights = each.record["weights"]
        images = len(each.record["images"])
        name = Path(weights["path"]).name
        rows.append(
            (
                each.subject.name,
                f"{name}, sha256 as safetensors {weights['sha256'][:16]}…, on {images} images",
            )
        )
    return "".join(f"- {name}: {value}\n" for name, value in rows)


def layers(measured: Sequence[Said]) -> str:
    """A row a layer, four columns a subject."""
    columns = [
        f"{each.subject.name}: {column}"
        for each in measured
        for column in ("largest value", "difference", "bound", "from float64")
    ]
    rows = []
    for of_layer in zip(*(each.record["layers"] for each in measured), strict=True):
        row = [of_layer[0]["name"]]
        for layer in of_layer:
            ratio = layer["times_torch_distance_from_float64"]
            row += [
                f"{layer['magnitude']:.3g}",
                f"{layer['difference']:.1e}",
                f"{layer['bound']:.1e}",
                f"{ratio:.2f}",
            ]
        rows.append(row)
    return _table(["layer", *columns], rows)


def detections(measured: Sequence[Said]) -> str:
    """A row a subject: what was matched, and the worst of each difference."""
    rows = []
    for each in measured:
        counts, worst = each.record["counts"], each.record["distributions"]
        rows.append(
            [
                each.subject.name,
                str(len(each.record["images"])),
                str(counts["matched"]),
                f"{counts['only_max']} / {counts['only_torch']}",
                str(counts["excused"]),
                f"{1 - worst['one_minus_iou']['p100']:.5f}",
                f"{worst['confidence_difference']['p100']:.1e}",
                f"{worst['box_difference_px']['p100']:.1e}",
                f"{worst['score_difference']['p100']:.1e}",
                "holds" if each.record["verdict"]["holds"] else "**does not hold**",
            ]
        )
    columns = [
        "weights",
        "images",
        "matched",
        "only MAX / PyTorch",
        "excused",
        "min IoU",
        "confidence",
        "box before NMS, px",
        "score before NMS",
        "parity",
    ]
    return _table(columns, rows)


def accuracy(measured: Sequence[Said], in_bf16: Mapping[str, Accuracy[AveragePrecision]]) -> str:
    """A row an engine, their difference, and what bf16 makes of it."""
    rows = []
    for each in measured:
        for engine, name in (("torch", "PyTorch"), ("max", "MAX")):
            figures = each.record["engines"][engine]
            mean, own = figures["mean"], figures["ultralytics"]["map50_95"]
            values = [f"{mean[key]:.4f}" for key in ("map50_95", "map50", "map75")]
            rows.append([each.subject.name, name, str(figures["images"]), *values, f"{own:.4f}"])
        difference = each.record["differences"]["map50_95"]
        rows.append([each.subject.name, "difference", "", f"{difference:+.5f}", "", "", ""])
        mean = asdict(in_bf16[each.subject.name].mean)
        values = [f"{mean[key]:.4f}" for key in ("map50_95", "map50", "map75")]
        rows.append([each.subject.name, "MAX, bf16", str(figures["images"]), *values, ""])
    return _table(
        ["weights", "engine", "images", "mAP50-95", "mAP50", "mAP75", "mAP50-95 as `yolo val` sums"], rows
    )


def mistakes_table(costs: Mapping[str, Mapping[str, float]]) -> str:
    """A row a mistake: mAP50-95 with it, and what it costs."""
    names = dict.fromkeys(name for each in costs.values() for name in each)
    rows = []
    for name in names:
        row = [name or "none"]
        for each in costs.values():
            if name not in each:
                row += ["–", "–"]
            else:
                row += [f"{each[name]:.4f}", f"{each[name] - each['']:+.4f}" if name else ""]
        rows.append(row)
    return _table(["mistake", *(f"{n}: {c}" for n in costs for c in ("mAP50-95", "cost"))], rows)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
