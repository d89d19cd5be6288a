"""The converter: a PyTorch module in, a compiled MAX graph out."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from max.graph import DeviceRef, Graph
from torch import fx
from torch.utils import _pytree as pytree

from yolo_max.convert.analyzer import captured, examine, source_of
from yolo_max.convert.constants import Bound
from yolo_max.convert.dtypes import Numbers, in_dtype
from yolo_max.convert.errors import ConversionError, UnsupportedOperations
from yolo_max.convert.layout import Order, bound_constants, orders
from yolo_max.convert.lowering import NotLowered, build_graph
from yolo_max.convert.max_model import MaxModel
from yolo_max.convert.program import Program, module_of, name_of, tensor_of
from yolo_max.convert.report import Report, Unsupported
from yolo_max.convert.rule import Rule, Rules, precision_of
from yolo_max.convert.rules import builtin_rules
from yolo_max.convert.runtime import require_device, start
from yolo_max.convert.signature import Shape, Signature
from yolo_max.kernels.precision import Precision
from yolo_max.runtime.kernel_package import precompile


class PyTorchToMAXConverter:
    """Converts PyTorch modules to MAX graphs on this project's kernels."""

    def __init__(self, device: str = "cpu", dtype: str = "float32", *, rules: Iterable[Rule] = ()) -> None:
        """Chooses what to convert to.

        Args:
            device: "cpu", which the kernels are written for, or "gpu", where MAX's operations compute.
            dtype: Of weights, inputs and outputs: "float32", or "float64" on MAX's operations, which are
                slow and as exact as PyTorch in float64. With "bfloat16" the maps between convolutions are
                bfloat16, and whatever has no kernel for that, inputs and outputs are float32.
            rules: For operations without one, or instead of one. Graphs with such rules are not kept in the
                cache.

        Raises:
            UsageError: The device or the dtype is another one.
            ConversionError: The kernels do not run on this CPU, or not in bfloat16, or there is no GPU.
        """
        self._device, self._numbers = device, Numbers.named(dtype, device)
        require_device(device, self._numbers.precision)
        self._own = tuple(rules)
        self._rules = builtin_rules(device, self._numbers.dtype).extended(self._own)

    def convert_model(
        self,
        model: torch.nn.Module,
        input_shapes: Sequence[Shape],
        model_name: str | None = None,
        *,
        input_dtypes: Sequence[torch.dtype] | None = None,
        report: Callable[[str], None] | None = None,
    ) -> MaxModel:
        """Converts a module.

        Args:
            model: In evaluation mode, on the CPU. It is not changed; weights of another dtype are copied.
            input_shapes: Of each positional argument. Integers are static; names are symbolic, and equal ones
                are equal sizes.
            model_name: For messages; by default the name of the class.
            input_dtypes: Of the arguments; by default the converter's dtype, and float32 for "bfloat16".
            report: Called with a sentence before anything slow; when absent it is logged, as a warning of the
                logger "yolo_max".

        Returns:
            What computes the module on MAX.

        Raises:
            UnsupportedOperations: Some operations are not converted.
            ConversionError: The module cannot be captured, or nothing in it computes in bfloat16.
            EngineError: MAX cannot compile the graph, or runs out of memory.
        """
        dtype, precision = self._numbers.dtype, self._numbers.precision
        model = in_dtype(model, dtype)
        input_dtypes = input_dtypes or [dtype] * len(input_shapes)
        network = Network.of(
            model, input_shapes, model_name, input_dtypes, self._rules, self._device, precision
        )
        own = {rule.operation for rule in self._own}
        cached = not any(node.target in own for node in network.program.calls())
        return start(
            network.name,
            network.digest() if cached else None,
            network.graph,
            network.constants,
            network.program.arrays(),
            network.signature(),
            _Containers(network.program.in_spec, network.program.out_spec),
            report or logging.getLogger("yolo_max").warning,
            network.report,
            self._device,
        )


def convert_pytorch_model(
    model: torch.nn.Module,
    input_shapes: Sequence[Shape],
    model_name: str | None = None,
    *,
    input_dtypes: Sequence[torch.dtype] | None = None,
    rules: Iterable[Rule] = (),
    report: Callable[[str], None] | None = None,
    device: str = "cpu",
    dtype: str = "float32",
) -> MaxModel:
    """Converts a PyTorch module to a MAX graph; see :class:`PyTorchToMAXConverter` and its method."""
    return PyTorchToMAXConverter(device, dtype, rules=rules).convert_model(
        model, input_shapes, model_name, input_dtypes=input_dtypes, report=report
    )


@dataclass(frozen=True)
class Network:
    """A module that is ready to be lowered.

    Attributes:
        name: For messages.
        program: The module, fused.
        rules: One for each of its operations.
        order: From `yolo_max.convert.layout.orders`.
        constants: What its graph reads.
        report: The analyzer's.
        device: "cpu" or "gpu".
    """

    name: str
    program: Program
    rules: Rules
    order: dict[fx.Node, Order]
    constants: tuple[Bound, ...]
    report: Report
    device: str = "cpu"

    @staticmethod
    def of(
        model: torch.nn.Module,
        input_shapes: Sequence[Shape],
        model_name: str | None,
        input_dtypes: Sequence[torch.dtype] | None,
        rules: Rules,
        device: str = "cpu",
        precision: Precision = Precision.F32,
    ) -> Network:
        """Captures, checks and fuses a module; see :meth:`PyTorchToMAXConverter.convert_model`."""
        name = model_name or type(model).__name__
        program = captured(model, input_shapes, input_dtypes, rules)
        report = examine(name, program, rules, precision)
        if report.blockers:
            raise UnsupportedOperations(report.blockers, report)
        if report.in_vain:
            raise ConversionError(
                f"nothing in {name} computes in bfloat16, which only convolutions of maps do; use float32."
            )
        order = orders(program, rules)
        constants = tuple(bound_constants(program, rules, order).values())
        return Network(name, program, rules, order, constants, report, device)

    def graph(self) -> Graph:
        """The MAX graph.

        Raises:
            UnsupportedOperations: A rule has failed.
        """
        kernels = precompile().result() if self.device == "cpu" else None
        place = DeviceRef.CPU() if self.device == "cpu" else DeviceRef.GPU()
        try:
            return build_graph(self.program, self.rules, self.order, "converted", kernels, place)
        except NotLowered as error:
            node = error.node
            found = Unsupported(name_of(node), str(error), module_of(node), source_of(node))
            raise UnsupportedOperations([found], self.report) from error

    def constants_from(self, names: Mapping[str, str]) -> Iterator[Bound]:
        """The constants, made of arrays with other names."""
        for each in self.constants:
            sources = tuple(None if source is None else names[source] for source in each.sources)
            yield replace(each, sources=sources)

    def signature(self) -> Signature:
        """The flat inputs and outputs."""
        nodes = list(self.program.graph.nodes)
        inputs = [node.meta["val"] for node in nodes if node.op == "placeholder"]
        outputs = [None if tensor_of(each) is not None else (each,) for each in nodes[-1].args[0]]
        dtypes = tuple(str(each.dtype).removeprefix("torch.") for each in inputs)
        return Signature(self.program.inputs, dtypes, tuple(outputs), self.program.guards)

    def digest(self) -> str:
        """A digest of all that decides what the program is lowered to, but for its constants."""
        lines = [repr(self.program.inputs), repr(self.program.symbols), self.device]
        for node in self.program.graph.nodes:
            value = node.meta.get("val")
            parts = value if isinstance(value, tuple | list) else [value]
            tensors = [
                (each.dtype, list(map(str, each.shape))) for each in parts if isinstance(each, torch.Tensor)
            ]
            order = self.order.get(node)
            target = name_of(node)  # the text of a function has its address
            types = f"{tensors} {precision_of(node)}"
            lines.append(f"{node.name} {node.op} {target} {node.args} {node.kwargs} {types} {order}")
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass(frozen=True)
class _Containers:
    """Whatever containers PyTorch knows."""

    in_spec: Any
    out_spec: Any

    def flatten(self, args: tuple[Any, ...]) -> list[Any] | None:
        """The flat inputs in arguments; None if these lie in another structure."""
        leaves, spec = pytree.tree_flatten((args, {}))
        return leaves if spec == self.in_spec else None

    def unflatten(self, outputs: Sequence[Any]) -> Any:
        """What the module returns, of flat outputs."""
        return pytree.tree_unflatten(list(outputs), self.out_spec)
