"""The converter: a PyTorch module in, a compiled MAX graph out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from max.engine import CompiledModel, InferenceSession
from torch import fx

from yolo_max.convert.analyzer import captured, examine
from yolo_max.convert.errors import ConversionError, UnsupportedOperations
from yolo_max.convert.layout import Order, bound_constants, orders
from yolo_max.convert.lowering import build_graph
from yolo_max.convert.max_model import MaxModel
from yolo_max.convert.program import Program, Shape
from yolo_max.convert.rule import Bound, Rule
from yolo_max.convert.rules import builtin_rules
from yolo_max.runtime import cpu
from yolo_max.runtime import threads as runtime
from yolo_max.runtime.compiled import compile_or_load, graph_key
from yolo_max.runtime.kernel_package import precompile
from yolo_max.runtime.max_cache import place_max_cache
from yolo_max.runtime.max_errors import max_errors
from yolo_max.support.errors import UsageError

SOURCES = ("convert", "kernels")
"""Our packages that decide what a converted graph computes."""


class PyTorchToMAXConverter:
    """Converts PyTorch modules to MAX graphs on this project's kernels."""

    def __init__(self, device: str = "cpu", dtype: str = "float32", *, rules: Iterable[Rule] = ()) -> None:
        """Chooses what to convert to.

        Args:
            device: "cpu", which the kernels are written for.
            dtype: "float32".
            rules: For operations without one, or instead of one. Graphs with such rules are not kept in the
                cache.

        Raises:
            UsageError: The device or the dtype is another one.
            ConversionError: The kernels do not run on this CPU.
        """
        if device != "cpu":
            raise UsageError(f"device is {device!r}, but modules are converted for the CPU; use 'cpu'.")
        if dtype != "float32":
            raise UsageError(f"dtype is {dtype!r}, but modules are converted in 'float32'; use that.")
        if not cpu.runs_kernels():
            raise ConversionError(
                f"the kernels need AVX2 and FMA, or 64-bit Arm, which {cpu.model_name()} does not have."
            )
        self._own = tuple(rules)
        self._rules = builtin_rules().extended(self._own)

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
            model: In evaluation mode, on the CPU, with float32 weights. It is not changed.
            input_shapes: Of each positional argument. Integers are static; names are symbolic, and equal ones
                are equal sizes.
            model_name: For messages; by default the name of the class.
            input_dtypes: Of the arguments; float32 by default.
            report: Called with a sentence before anything slow.

        Returns:
            What computes the module on MAX.

        Raises:
            UnsupportedOperations: Some operations are not converted.
            ConversionError: The module cannot be captured.
            EngineError: MAX cannot compile the graph, or runs out of memory.
        """
        name = model_name or type(model).__name__
        program = captured(model, input_shapes, input_dtypes, self._rules)
        found = examine(name, program, self._rules)
        if not found.convertible:
            raise UnsupportedOperations(found.blockers, found)
        order = orders(program, self._rules)
        constants = bound_constants(program, self._rules, order)
        place_max_cache()
        device, threads = runtime.start(None)
        session = InferenceSession(devices=[device])
        compiled, from_cache = self._compile(
            session, program, order, constants, name, report or (lambda _: None)
        )
        with max_errors("load the weights"), runtime.quiet_poller():
            # MAX reads the arrays in place for as long as the model lives.
            registry = {each.name: each.make() for each in constants.values()}
            loaded = session.init(compiled, weights_registry=registry)
        return MaxModel(name, loaded, program, registry, found, threads, from_cache)

    def _compile(
        self,
        session: InferenceSession,
        program: Program,
        order: dict[fx.Node, Order],
        constants: dict[str, Bound],
        name: str,
        report: Callable[[str], None],
    ) -> tuple[CompiledModel, bool]:
        def trace() -> tuple[object, dict[str, object]]:
            return build_graph(program, self._rules, order, "converted", precompile().result()), {}

        sentence = f"Compiling {name} for this processor: about a minute, once for each network."
        own = {rule.operation for rule in self._own}
        if any(node.target in own for node in program.calls()):
            report(sentence)
            with max_errors("compile the graph"):
                return session.compile(trace()[0]), False
        key = graph_key(SOURCES, graph=_text(program, order), constants=_signature(constants))
        compiled = compile_or_load(session, key, trace, lambda: report(sentence))  # type: ignore[arg-type]
        return compiled.model, compiled.from_cache


def convert_pytorch_model(
    model: torch.nn.Module,
    input_shapes: Sequence[Shape],
    model_name: str | None = None,
    *,
    input_dtypes: Sequence[torch.dtype] | None = None,
    rules: Iterable[Rule] = (),
    report: Callable[[str], None] | None = None,
) -> MaxModel:
    """Converts a PyTorch module to a MAX graph; see :meth:`PyTorchToMAXConverter.convert_model`."""
    return PyTorchToMAXConverter(rules=rules).convert_model(
        model, input_shapes, model_name, input_dtypes=input_dtypes, report=report
    )


def _text(program: Program, order: dict[fx.Node, Order]) -> list[str]:
    """All that decides what a program is lowered to, but for its constants."""
    lines = [repr(program.inputs), repr(program.symbols)]
    for node in program.graph.nodes:
        value = node.meta.get("val")
        parts = value if isinstance(value, tuple | list) else [value]
        tensors = [
            (each.dtype, list(map(str, each.shape))) for each in parts if isinstance(each, torch.Tensor)
        ]
        lines.append(
            f"{node.name} {node.op} {node.target} {node.args} {node.kwargs} {tensors} {order.get(node)}"
        )
    return lines


def _signature(constants: dict[str, Bound]) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(each.name, str(each.dtype), each.shape) for each in constants.values()]
