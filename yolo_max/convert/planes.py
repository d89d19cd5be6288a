"""Lines ``[B, C, L]`` and volumes ``[B, C, D, H, W]`` as maps, on which the kernels work.

A line is a map of one row. A volume is its frames, one after the other, ``[B * D, C, H, W]``; along its depth
it is a map whose pixels are rows, ``[B, C, D, H * W]``. In memory, NHWC, the two are the same. What works on
each element is moved in front of the way back, so that a network of volumes stays one of maps.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from yolo_max.convert import fused, line_forms, volume_forms
from yolo_max.convert.activations import is_activation
from yolo_max.convert.program import Program, arguments, rank, same_shape, shape_of, tensor_of
from yolo_max.convert.writer import Writer

aten = torch.ops.aten
BACK = (fused.as_lines, fused.as_volumes)


FORMS = {**line_forms.FORMS, **volume_forms.FORMS}


def use_maps(program: Program) -> None:
    """Writes operations of lines and volumes with those of maps."""
    for node in list(program.calls()):
        write = FORMS.get(node.target)
        if write is None or refusal(node, program) is not None:
            continue
        with program.graph.inserting_before(node):
            made = write(Writer(program, node), arguments(node))
        node.replace_all_uses_with(made)
        program.graph.erase_node(node)


def refusal(node: fx.Node, program: Program) -> str | None:
    """Why an operation of lines or volumes is not written with those of maps, or None."""
    x, *_ = node.args
    wanted = 3 if "1d" in str(node.target) else 5
    if rank(x) != wanted:
        return f"a line has rank 3 and a volume 5, with a batch, and this is of rank {rank(x)}"
    depth = shape_of(x)[2] if wanted == 5 else 1
    if not isinstance(shape_of(x)[1], int) or not isinstance(depth, int):
        return "the number of channels or the depth is not static"
    given = arguments(node)
    if "weight" in given and program.constant(given["weight"]) is None:
        return "its weights are not constant"
    return None


def stay_maps(program: Program) -> None:
    """Moves what works on each element, and what concatenates channels, in front of the way back."""
    for node in list(program.calls()):
        source = node.args[0]
        if isinstance(source, fx.Node) and _returns(node, source):
            node.replace_all_uses_with(source.args[0])
            program.graph.erase_node(node)
        elif _moves(node):
            _move(program, node)


def _returns(node: fx.Node, source: fx.Node) -> bool:
    """Whether a node undoes the one before it."""
    if node.target is fused.as_maps:
        return source.target in BACK
    rows = node.target is fused.as_frames and source.target is fused.as_rows
    return rows and same_shape(node, source.args[0])


def _map_of(node: fx.Node) -> fx.Node | None:
    """The map that a tensor was, or has become for something else."""
    if node.target in BACK:
        found: Any = node.args[0]
        return found
    return next((user for user in node.users if user.target is fused.as_maps), None)


def _moves(node: fx.Node) -> bool:
    inputs = [each for each in node.all_input_nodes if each.op != "get_attr"]
    if all(each.target not in BACK for each in inputs):
        return False
    if any(_map_of(each) is None for each in inputs):
        return False
    if node.target is aten.cat.default:
        beside = {str([*shape_of(each)[:1], *shape_of(each)[2:]]) for each in inputs}
        channels = arguments(node)["dim"] in (1, 1 - rank(inputs[0]))
        return channels and len(beside) == 1 and len(inputs) == len(node.all_input_nodes)
    if any(not same_shape(each, inputs[0]) for each in inputs):
        return False
    if node.target is aten._native_batch_norm_legit_no_training.default:
        return all(user.args[1] == 0 for user in node.users)
    together = node.target in (aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor)
    if together and len(inputs) < len(node.all_input_nodes):  # a constant, of another shape
        return False
    return together or is_activation(node)


def _move(program: Program, node: fx.Node) -> None:
    back = next(each for each in node.all_input_nodes if each.target in BACK)
    args, kwargs = fx.map_arg((node.args, node.kwargs), lambda each: _map_of(each) or each)
    if node.target is aten.cat.default:
        args = (args[0], 1)
    reads = list(node.users) if isinstance(node.meta["val"], tuple | list) else [node]
    with program.graph.inserting_before(reads[0]):
        made = program.graph.call_function(node.target, args, kwargs)
        like = tensor_of(back.args[0])
        assert like is not None
        channels = node.meta["val"].shape[1] if reads == [node] else like.shape[1]
        value = like.new_empty([like.shape[0], channels, *like.shape[2:]])
        made.meta = {**node.meta, "val": value}
        if reads != [node]:
            made.meta["val"] = (value, *node.meta["val"][1:])
            taken = program.graph.call_function(operator.getitem, (made, 0))
            taken.meta = {**reads[0].meta, "val": value}
            made = taken
        result = program.graph.call_function(back.target, (made, *back.args[1:]))
    result.meta = dict(reads[0].meta)
    for each in reads:
        each.replace_all_uses_with(result)
        program.graph.erase_node(each)
    if reads != [node]:
        program.graph.erase_node(node)
