"""Each row of a table, resolved and counted as far as the port and the file know it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from yolo_max.kernels.feature_map import FeatureMap
from yolo_max.model import counting
from yolo_max.model.specs import Convolution, Layer
from yolo_max.model.specs.unported import UNPORTED
from yolo_max.model.table import Budget, resolve, rows_of, table_scale, unresolved
from yolo_max.support.errors import WeightsError

NORM_PRODUCTS = 4
"""What THOP counts for each number that passes a BatchNorm."""
FLOPS = 2
"""Of one multiplication and its addition."""


@dataclass(frozen=True)
class Cost:
    """What a layer, or a network, takes for one image; None where it is not known.

    Attributes:
        parameters: Numbers that training changes, as Ultralytics counts them.
        products: Multiplications, each with its addition, as THOP counts them for Ultralytics.
    """

    parameters: int | None = 0
    products: int | None = 0

    @property
    def gflops(self) -> float | None:
        """Billions of operations."""
        return None if self.products is None else FLOPS * self.products / 1e9

    def __add__(self, other: Cost) -> Cost:
        return Cost(_sum(self.parameters, other.parameters), _sum(self.products, other.products))


@dataclass(frozen=True)
class LayerReport:
    """A row of the table.

    Attributes:
        layer: The row, resolved.
        problem: Why it is not ported; "" if it is.
        shapes: Its result for one image: ``(height, width, channels)`` under ""; the named outputs of a head.
            Empty if it is not known.
        kernels: The kernel of each convolution, by its name in the checkpoint.
        cost: As the file has the network.
        fused: The same with BatchNorm folded and the branches of one head, as it runs.
    """

    layer: Layer
    problem: str
    shapes: Mapping[str, tuple[int, ...]]
    kernels: Mapping[str, str]
    cost: Cost
    fused: Cost


def report_layers(
    table: Mapping[str, Any],
    nc: int,
    size: tuple[int, int],
    has_norm: Callable[[str], bool],
    parameters: Mapping[int, int] | None,
) -> Iterator[LayerReport]:
    """Resolves and counts every row.

    Args:
        table: The table, of plain values.
        nc: Number of classes.
        size: Height and width of the input in pixels.
        has_norm: Whether the file has a BatchNorm behind the convolution of a name.
        parameters: Those of each layer, if the file has them.

    Raises:
        WeightsError: The table is not one of rows that read earlier ones.
    """
    layers: list[Layer] = []
    maps: list[FeatureMap | None] = []
    image = counting.blank(*size, 3)
    scale = table_scale(table)
    budget = Budget()
    for index, row in enumerate(rows_of(table)):
        layer, problem = _resolved(index, row, layers, table, nc)
        convolutions = [] if problem else budget.take(layer)
        inputs = [image if source < 0 else maps[source] for source in layer.from_]
        known = [each for each in inputs if each is not None]
        result: FeatureMap | None = None
        report = LayerReport(layer, problem, {}, {}, Cost(None, None), Cost(None, None))
        if not problem and len(known) == len(inputs):
            try:
                report, result = _counted(layer, known, has_norm)
            except ValueError as error:  # a view that the port does not have
                report = replace(report, problem=str(error).rstrip("."))
        elif not problem and not convolutions:  # whatever it reads
            report = replace(report, cost=Cost(), fused=Cost())
        if problem and layer.module in UNPORTED and known:
            channels, stride = UNPORTED[layer.module].output(row[3], layer.c_in[0], scale)
            layer = replace(layer, c_out=channels)
            if channels:
                _, *sides = known[0].size
                shape = (*(-(-int(side) // stride) for side in sides), channels)
                result = counting.blank(*shape)
                report = replace(report, layer=layer, shapes={"": shape})
        if parameters is not None:
            report = replace(report, cost=replace(report.cost, parameters=parameters.get(index, 0)))
        layers.append(layer)
        maps.append(result)
        yield report


def _resolved(
    index: int, row: Any, layers: Sequence[Layer], table: Mapping[str, Any], nc: int
) -> tuple[Layer, str]:
    """The layer of a row, and why it is not ported, or ""."""
    scale = table_scale(table)
    frame = unresolved(index, row, layers, scale)
    try:
        layer = resolve(index, row, layers, table, nc, scale)
    except WeightsError as error:
        message = str(error).rstrip(".")
        return frame, message.partition("of the architecture table ")[2] or message
    if not layer.ported:
        known = UNPORTED.get(layer.module)
        return layer, known.why if known else "an unknown block"
    return layer, ", ".join(layer.unported)


def _counted(
    layer: Layer, inputs: Sequence[FeatureMap], has_norm: Callable[[str], bool]
) -> tuple[LayerReport, FeatureMap | None]:
    """The report of a ported layer, and its map."""
    counts = [counting.count(form, inputs) for form in counting.forms(layer)]
    runs = counts[-1]  # the form without NMS, if there is one, as Ultralytics fuses it
    every = {name: each for count in counts for name, each in count.convolutions.items()}
    convolutions = list(layer.convolutions())
    trained = sum(_products(each, every[each.name], has_norm) for each in convolutions if each.name in every)
    constants = sum(values.size for values in layer.spec.constants(layer).values())
    report = LayerReport(
        layer,
        "",
        runs.shapes,
        {name: each.kernel for name, each in every.items()},
        Cost(_parameters(layer, has_norm), trained + runs.other),
        Cost(
            constants + sum(each.parameters for each in convolutions if each.name in runs.convolutions),
            runs.other + sum(each.products for each in runs.convolutions.values()),
        ),
    )
    return report, runs.output


def _parameters(layer: Layer, has_norm: Callable[[str], bool]) -> int:
    """Parameters of a ported layer, as the file has it."""
    total = sum(values.size for values in layer.spec.constants(layer).values())
    for convolution in (*layer.convolutions(), *layer.only_in_training()):
        for each in convolution.summands():
            total += each.parameters  # with a bias; a BatchNorm has a scale besides
            total += each.c_out if has_norm(each.name) and not each.bias else 0
    return total


def _products(convolution: Convolution, count: counting.ConvCount, has_norm: Callable[[str], bool]) -> int:
    """Products of a convolution as the file has it: in branches, with a BatchNorm behind each."""
    total = 0
    for each in convolution.summands():
        total += count.products * each.kernel**2 // convolution.kernel**2
        total += NORM_PRODUCTS * count.outputs if has_norm(each.name) and not each.bias else 0
    return total


def _sum(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a + b
