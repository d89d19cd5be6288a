"""How much work it is to read a pickle, judged without reading it.

A pickle may refer to a value as often as it likes, so two hundred bytes can say ``t = (t, t)`` forty times
over: a tuple whose hash takes hours, and whose text takes terabytes. Here the opcodes are followed with sizes
in the place of values: a reference costs what it refers to, and a pickle of too much work is not read.
"""

from __future__ import annotations

import pickletools
from collections.abc import Sequence
from dataclasses import dataclass

from yolo_max.support.errors import WeightsError

MAX_WORK = 5_000_000
"""Opcodes and values referred to, in all; YOLOv8n's checkpoint takes 60,000."""

LONG_INTEGER = 1000
"""What a long integer counts: chosen well, they all have the same hash, and a dict of them takes forever."""

_ATOMS = {
    *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "BINFLOAT", "GLOBAL"),
    *("BINUNICODE", "SHORT_BINSTRING", "LONG1", "EMPTY_TUPLE", "EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET"),
}


@dataclass(slots=True)
class _Value:
    """What is known of a value: how many values it holds, itself included, each as often as it is held."""

    size: int = 1
    referred_to: bool = False

    def take_in(self, items: Sequence[_Value]) -> None:
        if self.referred_to:  # its size has been counted elsewhere already
            raise WeightsError("fills a list or dict after referring to it, which no checkpoint does")
        self.size += sum(item.size for item in items)


def require_little_work(pickle: bytes) -> None:
    """Follows a pickle of the opcodes that ``torch.load`` knows, which has to be whole.

    Raises:
        WeightsError: It would take too much work, or takes from its stack what is not there. The message is a
            sentence without its subject.
    """
    try:
        work = _work(pickle)
    except (IndexError, KeyError) as error:
        raise WeightsError("cannot be read as a PyTorch checkpoint (a value is not there)") from error
    if work > MAX_WORK:
        raise WeightsError("refers to its own values over and over, which would take forever to read")


def _work(pickle: bytes) -> int:
    """The work, or what is more than `MAX_WORK`."""
    stack: list[_Value] = []
    below: list[list[_Value]] = []  # the stacks under the marks
    memo: dict[object, _Value] = {}
    work = 0
    for opcode, argument, _ in pickletools.genops(pickle):
        work += 1
        match opcode.name:
            case name if name in _ATOMS:
                stack.append(_Value(_size(name, argument)))
                work += stack[-1].size
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
                memo[argument].referred_to = True
                work += memo[argument].size
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MARK":
                below.append(stack)
                stack = []
            case "TUPLE":
                items, stack = stack, below.pop()
                stack.append(_Value())
                stack[-1].take_in(items)
            case "TUPLE1" | "TUPLE2" | "TUPLE3" as name:
                holder = _Value()
                holder.take_in([stack.pop() for _ in range(int(name[-1]))])
                stack.append(holder)
            case "APPEND":
                item = stack.pop()
                stack[-1].take_in([item])
            case "SETITEM":
                items = [stack.pop(), stack.pop()]
                stack[-1].take_in(items)
            case "APPENDS" | "SETITEMS":
                items, stack = stack, below.pop()
                stack[-1].take_in(items)
            case "REDUCE" | "NEWOBJ":  # set(...) and OrderedDict(...) hold what they are given
                arguments, _ = stack.pop(), stack.pop()
                stack.append(_Value(1 + arguments.size))
            case "BUILD":  # an object's attributes are in no hash and in no text
                stack.pop()
            case "BINPERSID":
                stack[-1] = _Value()
            case "PROTO" | "STOP":
                pass
            case name:
                raise WeightsError(f"has the pickle opcode {name}, which torch.save never writes")
        if work > MAX_WORK:
            break
    return work


def _size(opcode: str, argument: object) -> int:
    if opcode == "LONG1":
        return LONG_INTEGER
    return 1 + len(argument) // 16 if isinstance(argument, str | bytes) else 1
