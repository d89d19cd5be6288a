"""A pickle machine that makes plain values only.

It executes the opcodes once: what is judged is what is read. Its values are dicts, lists, numbers, strings,
`Tensor` for a tensor and `StandIn` for an object of any class. A name is two words (`names.py`), never looked
up; the few calls that a checkpoint needs, such as that of a set, are made in `calls.py`.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from typing import Any, Literal

from yolo_max.support.errors import WeightsError
from yolo_max.support.text import shorten, visible
from yolo_max.weights.checkpoint.calls import StandIn, call
from yolo_max.weights.checkpoint.names import MAX_LENGTH, Name, refusal
from yolo_max.weights.checkpoint.pickle_stack import Stack
from yolo_max.weights.checkpoint.tensors import Storage, storage_of

NAME_WORK = 100
"""Steps that a name counts for: it is matched against patterns, and a pickle has a few dozen."""


class Machine(Stack):
    """Executes pickles that belong together, with plain values on its stack.

    Attributes:
        storages: The storages that the pickle refers to, by their keys.
    """

    def __init__(
        self, read: Callable[[str], bytes | memoryview], order: Literal["<", ">"], any_class: bool = False
    ) -> None:
        """A machine that reads storages by their keys; see `safe_pickle.load` for the rest."""
        super().__init__()
        self._any_class = any_class
        self.storages: dict[str, Storage] = {}
        self._read = read
        self._order = order
        self._unknown: list[Name] = []

    def run(self, file: io.BytesIO) -> Any:
        """The value of the pickle that begins here; leaves the file at the pickle's end.

        Raises:
            WeightsError: As `safe_pickle.load`.
        """
        try:
            self._follow(file)
        except WeightsError:
            if not self._unknown:  # otherwise the unknown name explains more than its consequence
                raise
        if self._unknown:
            raise WeightsError(refusal(self._unknown))
        return self._stack.pop()

    def _follow(self, file: io.BytesIO) -> None:
        opcodes = pickletools.genops(file)
        while True:
            try:
                opcode, argument, _ = next(opcodes)
            except Exception as error:  # pickletools raises whatever the bytes provoke
                raise WeightsError(f"holds a damaged pickle ({_first_line(error)})") from error
            self._work.count(1)
            if opcode.name == "STOP":
                if self._below or len(self._stack) != 1:
                    raise WeightsError("holds a damaged pickle (it leaves more than one value)")
                return
            step = _STEPS.get(opcode.name)
            if step is None:
                raise WeightsError(f"has the pickle opcode {opcode.name}, which torch.save never writes")
            try:
                step(self, argument)
            except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
                reason = _first_line(error)
                raise WeightsError(f"cannot be read as a PyTorch checkpoint ({reason})") from error

    def _name(self, module: Any, attribute: Any) -> None:
        if not isinstance(module, str) or not isinstance(attribute, str):
            raise TypeError("a name is not text")
        self._work.count(NAME_WORK)
        name = Name(visible(module[:MAX_LENGTH]), visible(attribute[:MAX_LENGTH]))
        allowed = name.is_known or (self._any_class and not name.runs_code)
        if not allowed or max(len(module), len(attribute)) > MAX_LENGTH:
            self._unknown.append(name)
        self._push(name)

    def _global(self, argument: str) -> None:
        module, _, attribute = argument.partition(" ")
        self._name(module, attribute)

    def _stack_global(self, _: Any) -> None:
        attribute, module = self._stack.pop(), self._stack.pop()
        self._name(module, attribute)

    def _instance(self, argument: str) -> None:
        arguments = tuple(self._marked())
        self._global(argument)
        self._push(self._call(self._stack.pop(), arguments))

    def _object(self, _: Any) -> None:
        function, *arguments = self._marked()
        self._push(self._call(function, tuple(arguments)))

    def _reduce(self, _: Any) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        self._push(self._call(function, arguments))

    def _call(self, function: Any, arguments: Any) -> Any:
        if not isinstance(arguments, tuple):
            raise TypeError("the arguments of a call are not a tuple")
        return call(function, arguments, self._work)

    def _new(self, _: Any) -> None:
        arguments, kind = self._stack.pop(), self._stack.pop()
        self._push(StandIn.of(kind, arguments))

    def _new_with_keywords(self, _: Any) -> None:
        self._stack.pop()
        self._new(_)

    def _build(self, _: Any) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if isinstance(target, StandIn):
            parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)  # (dict, slots)
            for part in parts:
                if isinstance(part, dict) and isinstance(target.state, dict):
                    self._work.count(len(part))
                    target.state.update(part)
                elif part is not None:
                    target.state = part
        elif not isinstance(target, dict):  # attributes of an OrderedDict are dropped
            raise TypeError(f"{shorten(target)} has no attributes")

    def _persistent(self, _: Any) -> None:
        """A storage; or a module's class, which the older container saves with its source code."""
        reference = self._stack.pop()
        match reference:
            case ("module", Name() as name, _, _):
                self._push(name)
            case ("storage", Name(attribute=kind), key, _, count, *view) if view in ([], [None]):
                storage = storage_of(kind, key, count, self._read, self._order)
                known = self.storages.setdefault(storage.key, storage)
                if (known.dtype, known.size) != (storage.dtype, storage.size):
                    raise WeightsError(f"contradicts itself about the storage {shorten(key)}")
                self._push(known)
            case _:
                raise WeightsError(f"refers to {shorten(reference)} outside of its pickle")


def _value(machine: Machine, argument: Any) -> None:
    machine._push(argument)


def _fresh(make: Callable[[], Any]) -> Callable[[Machine, Any], None]:
    return lambda machine, _: machine._push(make())


def _constant(value: Any) -> Callable[[Machine, Any], None]:
    return lambda machine, _: machine._push(value)


def _nothing(_: Machine, __: Any) -> None:
    pass


# Every opcode of every protocol except EXT1 to EXT4 and PERSID, which refer to things outside the pickle, and
# the out-of-band buffers of protocol 5.
_STEPS: dict[str, Callable[[Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME"), _nothing),
    **dict.fromkeys(
        (
            *("INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT"),
            *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE"),
            *("BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
        ),
        _value,
    ),
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    "EMPTY_TUPLE": _constant(()),
    "EMPTY_LIST": _fresh(list),
    "EMPTY_DICT": _fresh(dict),
    "EMPTY_SET": _fresh(set),
    "MARK": Machine._mark,
    "POP": Machine._pop,
    "POP_MARK": Machine._pop_mark,
    "DUP": Machine._duplicate,
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Machine._get),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), Machine._put),
    "MEMOIZE": Machine._memoize,
    "TUPLE": Machine._tuple,
    "TUPLE1": lambda machine, _: machine._short_tuple(1),
    "TUPLE2": lambda machine, _: machine._short_tuple(2),
    "TUPLE3": lambda machine, _: machine._short_tuple(3),
    "LIST": Machine._list,
    "DICT": Machine._dict,
    "FROZENSET": Machine._frozenset,
    "APPEND": Machine._append,
    "APPENDS": Machine._appends,
    "SETITEM": Machine._set_item,
    "SETITEMS": Machine._set_items,
    "ADDITEMS": Machine._add_items,
    "GLOBAL": Machine._global,
    "STACK_GLOBAL": Machine._stack_global,
    "INST": Machine._instance,
    "OBJ": Machine._object,
    "REDUCE": Machine._reduce,
    "NEWOBJ": Machine._new,
    "NEWOBJ_EX": Machine._new_with_keywords,
    "BUILD": Machine._build,
    "BINPERSID": Machine._persistent,
}


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return visible(lines[0][:200]) if lines else type(error).__name__
