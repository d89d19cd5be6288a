"""Calls that a pass writes in the place of another."""

from __future__ import annotations

from typing import Any

from torch import fx

from yolo_max.convert.program import Program


class Writer:
    """Writes calls in the place of one node."""

    def __init__(self, program: Program, node: fx.Node) -> None:
        self.program, self.node = program, node

    def __call__(self, target: Any, *args: Any) -> fx.Node:
        """Writes a call; its shape is what it computes of the shapes of its arguments."""
        made = self.program.graph.call_function(target, args)
        values = fx.map_arg(args, self._value)
        made.meta = {**self.node.meta, "val": target(*values)}
        return made

    def _value(self, node: fx.Node) -> Any:
        value, like = node.meta["val"], self.node.meta["val"]
        if node.op == "get_attr" and (mode := getattr(like, "fake_mode", None)) is not None:
            return mode.from_tensor(self.program.constants[str(node.target)], static_shapes=True)
        return value


def window(given: dict[str, Any], count: int) -> tuple[list[int], list[int]]:
    """The sizes of a pool's window and its strides."""
    return many(given["kernel_size"], count), many(given["stride"] or given["kernel_size"], count)


def many(value: Any, count: int) -> list[Any]:
    """One number for each dimension."""
    values = [value] if isinstance(value, int) else list(value)
    return values * count if len(values) == 1 else values
