"""From a captured graph to a MAX graph, node by node, by the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from max.dtype import DType
from max.graph import DeviceRef, Dim, Graph, StaticDim, TensorType, TensorValue, Weight, ops
from torch import fx

from yolo_max.convert.constants import TO_NHWC, Bound
from yolo_max.convert.dims import dim_of, dims_of
from yolo_max.convert.layout import TO_NCHW, Order, bound_constant
from yolo_max.convert.program import Program, is_size, tensor_of
from yolo_max.convert.rule import Call, Rules, materialise, precision_of
from yolo_max.kernels.call import CPU, DTYPES
from yolo_max.kernels.feature_map import FeatureMap
from yolo_max.kernels.precision import Precision

RUN_INPUT = TensorType(DType.float32, [1], CPU)
"""The graph's last input: how many threads to use."""


def build_graph(
    program: Program,
    rules: Rules,
    orders: Mapping[fx.Node, Order],
    name: str,
    kernels: Path | None,
    device: DeviceRef = CPU,
) -> Graph:
    """Lowers a program.

    Args:
        program: Every node of which has a rule that does not refuse it.
        rules: The rules.
        orders: From `yolo_max.convert.layout.orders`.
        name: Of the graph.
        kernels: Our Mojo package, or its folder of sources; None if the rules need none.
        device: Where to compute.

    Returns:
        The inputs of the program and :data:`RUN_INPUT` in, its tensors out, in PyTorch's order.

    Raises:
        NotLowered: A rule has failed.
    """
    inputs = [node for node in program.graph.nodes if node.op == "placeholder"]
    types = [
        TensorType(dtype_of(node.meta["val"].dtype), list(shape), device)
        for node, shape in zip(inputs, program.inputs, strict=True)
    ]
    extensions = [] if kernels is None else [kernels]
    with Graph(name, input_types=[*types, RUN_INPUT], custom_extensions=extensions) as graph:
        lowering = _Lowering(program, rules, orders, device)
        for node, value in zip(inputs, graph.inputs, strict=False):
            lowering.results[node] = value.tensor
        for node in program.calls():
            try:
                lowering.lower(node)
            except Exception as error:  # whatever a rule, also a user's, and MAX raise
                raise NotLowered(node, error) from error
        (output,) = (node for node in program.graph.nodes if node.op == "output")
        graph.output(*(lowering.rows(each) for each in output.args[0] if tensor_of(each) is not None))
    return graph


def dtype_of(dtype: torch.dtype) -> DType:
    """MAX's name of a PyTorch dtype."""
    return DType.from_numpy(np.dtype(str(dtype).removeprefix("torch.")))


def _contradict(a: Sequence[Dim], b: Sequence[Dim]) -> bool:
    """Whether shapes are of two ranks, or have two static sizes in one place."""
    return len(a) != len(b) or any(
        isinstance(x, StaticDim) and isinstance(y, StaticDim) and x != y for x, y in zip(a, b, strict=True)
    )


class NotLowered(Exception):  # noqa: N818
    """A rule has failed, for a reason that it does not refuse.

    Attributes:
        node: The node that it was for.
    """

    def __init__(self, node: fx.Node, error: Exception) -> None:
        self.node = node
        super().__init__(f"lowering it failed ({type(error).__name__}: {str(error).strip() or 'no message'})")


class _Lowering:
    """The MAX values of nodes, in the order in which they were computed and, once needed, in the other."""

    def __init__(
        self, program: Program, rules: Rules, orders: Mapping[fx.Node, Order], device: DeviceRef
    ) -> None:
        self.program, self.rules, self.orders, self.device = program, rules, orders, device
        self.results: dict[fx.Node, Any] = {}
        self._rows: dict[fx.Node, TensorValue] = {}
        self._maps: dict[tuple[fx.Node, Precision], FeatureMap] = {}
        self._weights: dict[str, Weight] = {}

    def lower(self, node: fx.Node) -> None:
        """Lowers a node whose inputs have been lowered."""
        rule, order = self.rules[node.target], self.orders[node]
        packed = rule.packs(node, self.program) if rule.packs else None
        value = node.meta["val"]
        shape = dims_of(value.shape, self.program.symbols) if isinstance(value, torch.Tensor) else ()
        call = Call(node, shape, tuple(map(self._weight, packed or [])), order.takes_maps)
        precision = precision_of(node)
        args, kwargs = (
            fx.node.map_aggregate(
                each, lambda arg: self._argument(arg, order.takes_maps, packed is not None, precision)
            )
            for each in (node.args, node.kwargs)
        )
        result = rule.lower(call, *args, **kwargs)
        values = value if isinstance(value, tuple | list) else [value]
        parts = result if isinstance(result, tuple | list) else [result]
        checked = [
            self._checked(part, each, order, precision) for part, each in zip(parts, values, strict=True)
        ]
        self.results[node] = checked if isinstance(result, tuple | list) else checked[0]

    def _argument(self, arg: Any, as_map: bool, packed: bool, precision: Precision) -> Any:
        if isinstance(arg, torch.SymInt):
            return dim_of(arg, self.program.symbols)
        if not isinstance(arg, fx.Node):
            return arg
        if is_size(arg):
            return dim_of(arg.meta["val"], self.program.symbols)
        if arg.op == "get_attr" and packed:
            return None
        if tensor_of(arg) is None:  # several
            return self.results[arg]
        return self.map(arg, precision) if as_map else self.rows(arg)

    def _checked(self, value: Any, wanted: torch.Tensor, order: Order, precision: Precision) -> Any:
        """The value with its sizes as PyTorch writes them: equal ones are then equal expressions.

        A rebind takes any static size for any other one, so they are compared first.
        """
        shape = dims_of(wanted.shape, self.program.symbols)
        dtype = DTYPES[precision] if precision is Precision.BF16 else dtype_of(wanted.dtype)
        for each in (part.tensor for part in value.slices) if isinstance(value, FeatureMap) else (value,):
            if each.dtype != dtype:
                raise TypeError(f"its result is {each.dtype.name}, and PyTorch's {dtype.name}")
        sizes = [shape[axis] for axis in TO_NHWC] if order.gives_map else list(shape)
        is_map = isinstance(value, FeatureMap)
        found = [*value.size, Dim(value.channels)] if is_map else list(value.shape)
        if _contradict(found, sizes):
            texts = (", ".join(map(str, each)) for each in (found, sizes))
            raise TypeError("its result is [{}], and PyTorch's [{}]".format(*texts))
        if is_map and (len(value.slices) > 1 or not value.slices[0].whole):
            return value
        tensor = value.slices[0].tensor if is_map else value
        tensor = tensor if found == sizes else tensor.rebind(sizes)
        return FeatureMap.of(tensor) if order.gives_map else tensor

    def rows(self, node: fx.Node) -> TensorValue:
        """A node's tensor in PyTorch's order."""
        if node.op == "get_attr":
            return self._weight(bound_constant(self.program, node, False))
        value = self.results[node]
        if not isinstance(value, FeatureMap):
            return value
        if node not in self._rows:
            tensor = materialise(value)
            tensor = ops.cast(tensor, DType.float32) if tensor.dtype == DType.bfloat16 else tensor
            batch, height, width, channels = tensor.shape
            one_pixel = height == 1 and width == 1
            self._rows[node] = (
                ops.reshape(tensor, [batch, channels, height, width])
                if one_pixel or channels == 1
                else ops.permute(tensor, list(TO_NCHW))
            )
        return self._rows[node]

    def map(self, node: fx.Node, precision: Precision) -> FeatureMap:
        """A node's tensor as a map, its floats of this type; of lower ranks one that broadcasts."""
        if (node, precision) not in self._maps:
            self._maps[node, precision] = self._made_map(node, precision)
        return self._maps[node, precision]

    def _made_map(self, node: fx.Node, precision: Precision) -> FeatureMap:
        if node.op == "get_attr":
            found = FeatureMap.of(TensorValue(self._weight(bound_constant(self.program, node, True))))
        elif isinstance(value := self.results[node], FeatureMap):
            found = value
        else:
            batch, channels, height, width = [1] * (4 - value.rank) + list(value.shape)
            found = FeatureMap.of(
                ops.reshape(value, [batch, height, width, channels])
                if channels == 1 or height == width == 1
                else ops.permute(ops.reshape(value, [batch, channels, height, width]), list(TO_NHWC))
            )
        if found.dtype in DTYPES.values() and found.dtype != DTYPES[precision]:
            return FeatureMap.of(ops.cast(materialise(found), DTYPES[precision]))
        return found

    def _weight(self, bound: Bound) -> Weight:
        if bound.name not in self._weights:
            dtype = DType.from_numpy(np.dtype(bound.dtype))
            self._weights[bound.name] = Weight(bound.name, dtype, list(bound.shape), self.device)
        return self._weights[bound.name]
