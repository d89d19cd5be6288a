"""Which maps of a network are bfloat16: those between kernels that read and write it.

Convolutions compute in bfloat16, with sums in float32; pools, resizing and views keep what they are given.
Everything else, and whatever the network takes and gives, is float32. Maps are cast where the two meet.

A sum or a concatenation is float32 if a part of it has digits that PyTorch's autocast would keep, as an image
has that convolutions correct.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import fx

from yolo_max.convert import fused
from yolo_max.convert.fusion import conv_tail
from yolo_max.convert.layout import Order
from yolo_max.convert.program import Program, is_size
from yolo_max.convert.rule import Bf16, Rule, Rules, precision_of
from yolo_max.kernels.precision import Precision


def mark_bf16(program: Program, rules: Rules, orders: Mapping[fx.Node, Order]) -> None:
    """Marks the nodes that give maps of bfloat16, for `precision_of`.

    Args:
        program: Every node of which has a rule that does not refuse it.
        rules: The rules.
        orders: From `yolo_max.convert.layout.orders`.
    """
    rounded: set[fx.Node] = set()  # to bfloat16, or computed of nothing else
    for node in program.calls():
        rule = rules[node.target]
        does, read = rule.bf16_of(node), _read(node, rule)
        loses_nothing = bool(read) and rounded.issuperset(read)
        if does is Bf16.COMPUTES:
            residual = conv_tail(node)[3] if node.target is fused.conv2d else None
            low = residual is None or residual in rounded
        else:
            low = does is Bf16.FOLLOWS and loses_nothing and any(map(_is_bf16, read))
        if low and orders[node].gives_map:
            node.meta["precision"] = Precision.BF16
        if _is_bf16(node) or loses_nothing:
            rounded.add(node)


def _read(node: fx.Node, rule: Rule) -> list[fx.Node]:
    """What a node reads, but for sizes and packed weights."""
    return [
        each
        for each in node.all_input_nodes
        if not is_size(each) and not (each.op == "get_attr" and rule.packs is not None)
    ]


def _is_bf16(node: fx.Node) -> bool:
    return precision_of(node) is Precision.BF16
