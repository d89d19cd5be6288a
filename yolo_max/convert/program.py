"""A captured network: a graph of PyTorch's operations that still runs in PyTorch, and its constants."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from numpy.typing import NDArray
from torch import fx

from yolo_max.convert.guards import Expression
from yolo_max.convert.signature import Shape


@dataclass
class Program:
    """A network between flat inputs and flat outputs.

    Every node but the sizes (``torch.SymInt``) has its tensors' shape and dtype in ``meta["val"]``. Nodes
    call operations of PyTorch or of ``fused.py``, which PyTorch runs as well.

    Attributes:
        graph: Placeholders are the inputs; ``get_attr`` nodes name constants.
        constants: Parameters and buffers by their path in the module, and what passes made of them.
        inputs: The shape of each input.
        in_spec: How ``(args, kwargs)`` are flattened, as PyTorch's ``pytree`` has it.
        out_spec: Likewise, of the outputs.
        symbols: The user's name of each symbol in a shape.
        guards: What named sizes have to fulfil, besides being equal where names are.
    """

    graph: fx.Graph
    constants: dict[str, torch.Tensor]
    inputs: tuple[Shape, ...]
    in_spec: Any
    out_spec: Any
    symbols: dict[str, str] = field(default_factory=dict)
    guards: tuple[Expression, ...] = ()

    def run(self, *inputs: torch.Tensor, dtype: torch.dtype | None = None) -> list[Any]:
        """Runs the graph in PyTorch; returns its outputs.

        Args:
            inputs: Flat.
            dtype: Of the floating-point constants; by default as they are.
        """
        values = self.values(*inputs, dtype=dtype)
        return next(list(value) for node, value in values.items() if node.op == "output")

    def values(self, *inputs: torch.Tensor, dtype: torch.dtype | None = None) -> dict[fx.Node, Any]:
        """Runs the graph in PyTorch; returns what each node computes, and of the output node, a tuple."""
        given, values = iter(inputs), dict[fx.Node, Any]()
        with torch.no_grad():
            for node in self.graph.nodes:
                if node.op == "placeholder":
                    values[node] = next(given)
                elif node.op == "get_attr":
                    value = self.constants[str(node.target)]
                    values[node] = value.to(dtype) if dtype and value.is_floating_point() else value
                else:
                    args, kwargs = fx.map_arg((node.args, node.kwargs), lambda each: values[each])
                    value = args[0] if node.op == "output" else node.target(*args, **kwargs)
                    # Views are of tensors in their order, which a pass may have changed.
                    values[node] = value.contiguous() if isinstance(value, torch.Tensor) else value
        return values

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The constants as NumPy has them, without copying."""
        return {name: value.numpy() for name, value in self.constants.items()}

    def constant(self, node: Any) -> torch.Tensor | None:
        """The constant that an argument is, or None."""
        if isinstance(node, fx.Node) and node.op == "get_attr":
            return self.constants[str(node.target)]
        return None

    def add_constant(self, name: str, value: torch.Tensor) -> fx.Node:
        """Adds a constant under a name like this one, at the place where nodes are being inserted."""
        unique, count = name, 1
        while unique in self.constants and self.constants[unique] is not value:
            unique, count = f"{name}_{count}", count + 1
        self.constants[unique] = value.detach().contiguous()
        node = self.graph.create_node("get_attr", unique)
        node.meta["val"] = self.constants[unique].to("meta")
        return node

    def tidy(self) -> None:
        """Removes what nothing reads: nodes without effect, then constants."""
        self.graph.eliminate_dead_code(is_impure_node=lambda node: node.op in {"placeholder", "output"})
        used = {str(node.target) for node in self.graph.nodes if node.op == "get_attr"}
        self.constants = {name: value for name, value in self.constants.items() if name in used}

    def calls(self) -> Iterator[fx.Node]:
        """The nodes that compute tensors, in order."""
        return (node for node in self.graph.nodes if node.op == "call_function" and not is_size(node))


def is_size(node: fx.Node) -> bool:
    """Whether a node computes a size or a number and no tensor."""
    return isinstance(
        node.meta.get("val"), int | float | bool | torch.SymInt | torch.SymFloat | torch.SymBool
    )


def tensor_of(node: Any) -> torch.Tensor | None:
    """Shape and dtype of the tensor that an argument is, or None."""
    value = node.meta.get("val") if isinstance(node, fx.Node) else None
    return value if isinstance(value, torch.Tensor) else None


def shape_of(node: Any) -> tuple[Any, ...]:
    """Sizes of the tensor that an argument is, integers and symbolic ones; empty if it is none."""
    value = tensor_of(node)
    return () if value is None else tuple(value.shape)


def rank(node: Any) -> int:
    """Number of dimensions of the tensor that an argument is; -1 if it is none."""
    value = tensor_of(node)
    return -1 if value is None else value.ndim


def static_shape(node: Any) -> tuple[int, ...]:
    """Sizes of a constant."""
    sizes = shape_of(node)
    assert all(isinstance(size, int) for size in sizes), f"{node} has symbolic sizes"
    return sizes


def same_shape(a: Any, b: Any) -> bool:
    """Whether two tensors have one shape, for every value of its symbols."""
    shapes = [
        None if (value := tensor_of(each)) is None else [str(size) for size in value.shape] for each in (a, b)
    ]
    return shapes[0] is not None and shapes[0] == shapes[1]


def arguments(node: fx.Node) -> dict[str, Any]:
    """The arguments of a call of PyTorch's operation by name, with defaults."""
    schema = getattr(node.target, "_schema", None)
    assert schema is not None, f"{node.target} is not PyTorch's"
    values = {each.name: each.default_value for each in schema.arguments if each.has_default_value()}
    values |= {each.name: value for each, value in zip(schema.arguments, node.args, strict=False)}
    return values | dict(node.kwargs)


def name_of(node: fx.Node) -> str:
    """The name of a node's operation."""
    target = node.target
    return (
        str(target) if isinstance(target, torch._ops.OpOverload) else getattr(target, "__name__", str(target))
    )


def module_of(node: fx.Node) -> str:
    """Path of the module that calls a node; empty for the outermost one."""
    stack = [entry for entry in (node.meta.get("nn_module_stack") or {}).values() if isinstance(entry, tuple)]
    return str(stack[-1][0]) if stack else ""


def replace_call(
    program: Program, node: fx.Node, target: Any, args: tuple[Any, ...], *absorbed: fx.Node
) -> None:
    """Puts a call in a node's place; ``absorbed`` are others that it stands for as well."""
    with program.graph.inserting_before(node):
        made = program.graph.call_function(target, args)
    made.meta = dict(node.meta)
    for each in absorbed[:1]:  # of a convolution and what follows it, the convolution's module
        made.meta["nn_module_stack"] = each.meta.get("nn_module_stack")
    stand_for(made, *absorbed, node)
    node.replace_all_uses_with(made)
    program.graph.erase_node(node)


def stand_for(node: fx.Node, *others: fx.Node) -> None:
    """Notes that a node computes what these do, of which it may be one."""
    parts = [part for each in others for part in each.meta.get("fused", _own(each))]
    node.meta["fused"] = list(dict.fromkeys(parts))
    node.meta["layers"] = [number for each in others for number in each.meta.get("layers", ())]


def _own(node: fx.Node) -> list[str]:
    if node.target is operator.getitem:
        return []
    path = module_of(node)
    return [f"{path}: {name_of(node)}" if path else name_of(node)]
