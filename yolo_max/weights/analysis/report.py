"""The portability of a network: totals, coverage, verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolo_max.model.architecture import MAX_CLASSES, parse_architecture, unported_settings
from yolo_max.model.specs import HeadSpec
from yolo_max.model.specs.row import whole
from yolo_max.model.specs.unported import UNPORTED
from yolo_max.support.errors import WeightsError
from yolo_max.support.parse import parse_imgsz
from yolo_max.weights.analysis.layers import Cost, LayerReport, report_layers
from yolo_max.weights.analysis.subject import Subject, read_subject

STRIDE = 32
IMGSZ = 640
"""The size at which Ultralytics' `model.info` counts."""


@dataclass(frozen=True)
class Analysis:
    """Which layers of a network are ported, and what they cost.

    Attributes:
        path: The file.
        scale: The size in the table's words: "n"; "" if it has none.
        scales: All that the table has.
        task: What the network does, in Ultralytics' words; None if neither file nor head say.
        nc: Number of classes.
        size: Height and width of the input at which it is counted, in pixels.
        layers: Every row of the table.
        problems: Why it does not run here; empty if it does.
    """

    path: Path
    scale: str
    scales: tuple[str, ...]
    task: str | None
    nc: int
    size: tuple[int, int]
    layers: tuple[LayerReport, ...]
    problems: tuple[str, ...]

    @property
    def ported(self) -> bool:
        """Whether it runs here."""
        return not self.problems

    @property
    def cost(self) -> Cost:
        """Of the network as its file has it: what Ultralytics' `model.info` says of it."""
        return sum((each.cost for each in self.layers), Cost())

    @property
    def fused(self) -> Cost:
        """As it runs: the same after Ultralytics' `model.fuse`."""
        return sum((each.fused for each in self.layers), Cost())

    @property
    def ported_cost(self) -> Cost:
        """Of the ported layers."""
        return sum((each.cost for each in self.layers if not each.problem), Cost())

    @property
    def counted_cost(self) -> Cost:
        """Of those of them that can be counted: an unported layer may hide the size of the maps behind it."""
        known = [each.cost for each in self.layers if not each.problem]
        return Cost(sum(each.parameters or 0 for each in known), sum(each.products or 0 for each in known))

    @property
    def coverage(self) -> dict[str, float | None]:
        """The part of all layers, parameters and GFLOPs that is in ported ones, 0 to 1; None if unknown."""
        ported = sum(not each.problem for each in self.layers)
        return {
            "layers": ported / len(self.layers),
            "parameters": _ratio(self.ported_cost.parameters, self.cost.parameters),
            "gflops": _ratio(self.ported_cost.products, self.cost.products),
        }


def analyze(spec: str, imgsz: int | Sequence[int] = IMGSZ) -> Analysis:
    """Analyzes a network; nothing of its file runs.

    Args:
        spec: A table or weights, as `read_subject` takes them.
        imgsz: The input at which it is counted, in pixels: one side, or (height, width).

    Raises:
        WeightsError: There is no such file, or it is damaged, unsafe, or describes no network.
        UsageError: ``imgsz`` is not a size, or is out of range.
    """
    return analyze_subject(read_subject(spec), imgsz)


def analyze_subject(subject: Subject, imgsz: int | Sequence[int] = IMGSZ) -> Analysis:
    """The same of what `read_subject` gave, perhaps with parameters that are known from elsewhere."""
    table = subject.table
    size = parse_imgsz(imgsz, _stride(table))
    try:
        nc = whole(table.get("nc"), "class count", 1, MAX_CLASSES)
        layers = tuple(report_layers(table, nc, size, subject.has_norm, subject.parameters))
    except WeightsError as error:
        raise WeightsError(f"{subject.path} describes no network: {error}") from error
    scales = table.get("scales")
    names = tuple(map(str, scales)) if isinstance(scales, dict) else ()
    return Analysis(
        subject.path,
        str(table.get("scale") or next(iter(names), "")),
        names,
        _task(layers[-1], subject.task),
        nc,
        size,
        layers,
        tuple(_problems(subject, nc, layers)),
    )


def _problems(subject: Subject, nc: int, layers: tuple[LayerReport, ...]) -> Iterator[str]:
    """Why the network does not run: each kind of layer once; if they all do, what else is wrong."""
    kinds: dict[tuple[str, str], list[str]] = {}
    for each in layers:
        if each.problem:
            kinds.setdefault((each.layer.module, each.problem), []).append(str(each.layer.index))
    for (module, why), at in kinds.items():
        yield f"{module} (layer{'s'[: len(at) - 1]} {', '.join(at)}): {why}"
    yield from unported_settings(subject.table)
    if not kinds:
        try:
            parse_architecture(subject.table, nc)
        except WeightsError as error:
            yield str(error).rstrip(".")
        else:
            if subject.refusal:
                yield f"the file {subject.refusal}"


def _stride(table: Mapping[str, Any]) -> int:
    """What the input's sides must be multiples of: at least what Ultralytics asks for."""
    try:
        return max(STRIDE, parse_architecture(table).stride)
    except WeightsError:
        return STRIDE


def _task(head: LayerReport, said: str | None) -> str | None:
    if isinstance(head.layer.spec, HeadSpec):
        return head.layer.spec.task
    known = UNPORTED.get(head.layer.module)
    return said or (known.task if known else None)


def _ratio(part: int | None, whole: int | None) -> float | None:
    return None if part is None or not whole else part / whole
