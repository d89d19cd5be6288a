"""Which maps of a network are bfloat16: those between kernels that read and write it.

Convolutions compute in bfloat16, with sums in float32; pools, resizing and views keep what they are given.
Everything else, and whatever the network takes and gives, is float32. Maps are cast where the two meet.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import fx

from yolo_max.convert.layout import Order
from yolo_max.convert.program import Program
from yolo_max.convert.rule import Bf16, Rules, precision_of
from yolo_max.kernels.precision import Precision


def mark_bf16(program: Program, rules: Rules, orders: Mapping[fx.Node, Order]) -> None:
    """Marks the nodes that give maps of bfloat16, for `precision_of`.

    Args:
        program: Every node of which has a rule that does not refuse it.
        rules: The rules.
        orders: From `yolo_max.convert.layout.orders`.
    """
    for node in program.calls():
        does = rules[node.target].bf16_of(node)
        follows = does is Bf16.FOLLOWS and any(map(_is_bf16, node.all_input_nodes))
        if orders[node].gives_map and (does is Bf16.COMPUTES or follows):
            node.meta["precision"] = Precision.BF16


def _is_bf16(node: fx.Node) -> bool:
    return precision_of(node) is Precision.BF16
