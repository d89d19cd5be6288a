"""A captured graph without what computes nothing: copies, dropout, constants of constants.

PyTorch still runs it, and it computes the same.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from yolo_max.convert.plain_forms import use_plain_forms
from yolo_max.convert.planes import stay_maps, use_maps
from yolo_max.convert.program import Program, arguments, module_of, same_shape, tensor_of
from yolo_max.convert.shared_heads import repeat_shared_heads

aten = torch.ops.aten
LARGEST_FOLDED = 1 << 24
"""Elements of a constant that is computed beforehand."""
COPIES = {
    aten.clone.default,
    aten.alias.default,
    aten.lift_fresh_copy.default,
    aten.detach.default,
    aten.detach_.default,
}
VIEWS = {aten.view.default, aten.expand.default, aten._unsafe_view.default, aten.adaptive_avg_pool2d.default}


def simplify(program: Program) -> None:
    """Removes no-ops and folds constants; what is left are the module's own operations."""
    passes = (use_plain_forms, repeat_shared_heads, use_maps, remove_no_ops, stay_maps, fold_constants)
    for each in passes:
        each(program)
        program.tidy()


def remove_no_ops(program: Program) -> None:
    """Removes copies, dropout outside of training, and views of the shape that a tensor has already."""
    for node in list(program.calls()):
        source = node.args[0] if node.args else None
        if not isinstance(source, fx.Node) or not _is_no_op(node, source):
            continue
        node.replace_all_uses_with(source)
        program.graph.erase_node(node)


def _is_no_op(node: fx.Node, source: fx.Node) -> bool:
    target, mine, other = node.target, tensor_of(node), tensor_of(source)
    if mine is None or other is None or mine.dtype != other.dtype:
        return False
    if target in COPIES or (target is aten.dropout.default and not node.args[2]):
        return True
    if target is aten._to_copy.default:
        return bool(mine.device == other.device)
    if target is aten.slice.Tensor:
        return same_shape(node, source) and arguments(node)["step"] == 1
    return target in VIEWS and same_shape(node, source)


def fold_constants(program: Program) -> None:
    """Computes whatever depends on constants alone."""
    known: dict[fx.Node, Any] = {
        node: program.constants[str(node.target)] for node in program.graph.nodes if node.op == "get_attr"
    }
    for node in list(program.calls()):
        if not _can_be_computed(node, known):
            continue
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda each: known[each])
        assert callable(node.target)
        with torch.no_grad():
            value = node.target(*args, **kwargs)
        known[node] = value.contiguous() if isinstance(value, torch.Tensor) else value
        if isinstance(known[node], torch.Tensor):
            with program.graph.inserting_before(node):
                made = program.add_constant(f"{module_of(node) or 'self'}.{node.name}", known[node])
            known[made] = known[node]
            made.meta = {**node.meta, "val": made.meta["val"]}
            node.replace_all_uses_with(made)


def _can_be_computed(node: fx.Node, known: dict[fx.Node, Any]) -> bool:
    if any(source not in known for source in node.all_input_nodes):
        return False
    if isinstance(node.target, torch._ops.OpOverload) and (
        torch.Tag.nondeterministic_seeded in node.target.tags or node.target._schema.is_mutable
    ):
        return False
    value = node.meta.get("val")
    parts = value if isinstance(value, tuple | list) else [value]
    sizes = [each.numel() for each in parts if isinstance(each, torch.Tensor)]
    return (
        len(sizes) == len(parts)
        and all(isinstance(size, int) for size in sizes)
        and sum(sizes) <= LARGEST_FOLDED
    )
