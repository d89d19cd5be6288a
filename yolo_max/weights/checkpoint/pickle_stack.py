"""The stack, the memo and the containers of `pickle_machine.Machine`."""

from __future__ import annotations

from typing import Any

from yolo_max.support.text import shorten
from yolo_max.weights.checkpoint.calls import StandIn
from yolo_max.weights.checkpoint.pickle_work import Work

MAX_PLACE = 2**32


class Stack:
    """Values as a pickle builds them: one method per opcode, which takes the opcode's argument."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []  # the stacks under the marks
        self._memo: dict[int, Any] = {}
        self._work = Work()

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    # The stack and the memo

    def _mark(self, _: Any) -> None:
        self._below.append(self._stack)
        self._stack = []

    def _marked(self) -> list[Any]:
        items, self._stack = self._stack, self._below.pop()
        return items

    def _pop(self, _: Any) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._marked()

    def _pop_mark(self, _: Any) -> None:
        self._marked()

    def _duplicate(self, _: Any) -> None:
        self._push(self._stack[-1])

    def _get(self, index: Any) -> None:
        self._push(self._memo[int(index)])

    def _put(self, index: Any) -> None:
        if not 0 <= index < MAX_PLACE:  # many longer ones can have one hash
            raise ValueError("a place is not a number of 32 bits")
        self._memo[int(index)] = self._stack[-1]

    def _memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    # Containers

    def _tuple(self, _: Any) -> None:
        self._push(tuple(self._marked()))

    def _short_tuple(self, length: int) -> None:
        items = tuple(self._stack[len(self._stack) - length :]) if len(self._stack) >= length else ()
        if len(items) < length:
            raise IndexError("a value is not there")
        del self._stack[len(self._stack) - length :]
        self._push(items)

    def _list(self, _: Any) -> None:
        self._push(self._marked())

    def _dict(self, _: Any) -> None:
        items = self._marked()
        self._push({})
        self._set(items)

    def _frozenset(self, _: Any) -> None:
        self._push(frozenset(self._work.keys(self._marked())))

    def _append(self, _: Any) -> None:
        self._extend([self._stack.pop()])

    def _appends(self, _: Any) -> None:
        self._extend(self._marked())

    def _extend(self, items: list[Any]) -> None:
        holder = self._stack[-1]
        if isinstance(holder, list):
            holder.extend(items)
        elif not isinstance(holder, StandIn):  # of a subclass of list only the attributes are kept
            raise TypeError(f"{shorten(holder)} holds no items")

    def _set_item(self, _: Any) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set([key, value])

    def _set_items(self, _: Any) -> None:
        self._set(self._marked())

    def _set(self, items: list[Any]) -> None:
        holder = self._stack[-1]
        entries = holder.state if isinstance(holder, StandIn) else holder
        if not isinstance(entries, dict):
            raise TypeError(f"{shorten(holder)} holds no items")
        entries.update(zip(self._work.keys(items[::2]), items[1::2], strict=True))

    def _add_items(self, _: Any) -> None:
        items = self._marked()
        self._stack[-1].update(self._work.keys(items))
