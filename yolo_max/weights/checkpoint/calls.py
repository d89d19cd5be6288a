"""Turns the calls in a checkpoint's pickle into plain values, by code of our own. Nothing named is called."""

from __future__ import annotations

import re
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from yolo_max.support.errors import WeightsError
from yolo_max.support.text import shorten, visible
from yolo_max.weights.checkpoint.names import MAX_LENGTH, Name
from yolo_max.weights.checkpoint.pickle_work import Work
from yolo_max.weights.checkpoint.tensors import STORAGES, Tensor

MAX_PATH_PARTS = 64
_SCALAR = re.compile(r"b1|[iu][1248]|f[248]|[US]\d{1,7}")


class StandIn:
    """An object of a class that is not loaded.

    Attributes:
        kind: The class's name, without its module: "Conv2d".
        arguments: The arguments it was made with.
        state: The attributes it was saved with, a dict; or whatever its class would restore itself from.
    """

    __slots__ = ("arguments", "kind", "state")  # no attribute from the file can shadow one of these

    def __init__(self, kind: str, arguments: tuple[Any, ...] = ()) -> None:
        """An object without attributes yet."""
        self.kind = kind
        self.arguments = arguments
        self.state: Any = {}

    @classmethod
    def of(cls, kind: Any, arguments: tuple[Any, ...] = ()) -> StandIn:
        """An object of a class that is a name or the result of a call."""
        if isinstance(kind, Name):
            return cls(kind.attribute, arguments)
        if isinstance(kind, StandIn):
            return cls(kind.kind, arguments)
        raise TypeError(f"{shorten(kind)} is not a class")

    def get(self, attribute: str, default: Any = None) -> Any:
        """An attribute, or ``default`` if there is none of that name."""
        return self.state.get(attribute, default) if isinstance(self.state, dict) else default


def call(function: Any, arguments: tuple[Any, ...], work: Work) -> Any:
    """The result of a call.

    Args:
        function: A `Name`, or whatever the pickle calls.
        arguments: The arguments.
        work: Counts what is copied or hashed.

    Raises:
        WeightsError: It calls a class that a checkpoint only restores, or something that is not a function.
        TypeError, ValueError, LookupError: The arguments make no sense.
    """
    if not isinstance(function, Name):
        raise WeightsError(f"calls {_described(function)}, which is not a function; it was not opened")
    match function.module, function.attribute:
        case "torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2":
            storage, offset, shape, strides = arguments[:4]
            return Tensor.view(storage, offset, shape, strides)
        case "torch._utils", "_rebuild_tensor_v3":
            dtype = arguments[6]
            if not isinstance(dtype, Name) or dtype.attribute not in STORAGES.values():
                raise WeightsError(f"stores numbers as {_described(dtype)}, which is not read")
            storage, offset, shape, strides = arguments[:4]
            return Tensor.view(storage, offset, shape, strides, dtype.attribute)
        case "torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state":
            return arguments[0]
        case "torch._tensor", "_rebuild_from_type_v2":
            inner, _, inner_arguments, _ = arguments
            if inner == function:
                raise WeightsError("rebuilds a tensor of a tensor's type within another")
            return call(inner, inner_arguments, work)
        case "torch", "Size":
            return arguments[0]
        case "collections", "OrderedDict" | "defaultdict" | "Counter" if not arguments:
            return {}
        case "collections", "OrderedDict":
            pairs = [(key, value) for key, value in arguments[0]]
            return dict(zip(work.keys(key for key, _ in pairs), (value for _, value in pairs), strict=True))
        case "collections", "defaultdict":  # its argument is the factory of missing values
            return {}
        case "builtins" | "__builtin__", "set" | "frozenset":
            return set(work.keys(arguments[0] if arguments else ()))
        case "builtins" | "__builtin__", "getattr":
            return _attribute(*arguments)
        case "copyreg" | "copy_reg", "_reconstructor" | "__newobj__":
            return StandIn.of(arguments[0])
        case "dill._dill", "_load_type":  # dill's form of a built-in type
            name = Name("builtins", shorten(arguments[0]).strip("'"))
            return name if name.is_known else StandIn(name.attribute)
        case "_codecs", "encode":
            text, encoding = arguments
            work.count(len(text) // 16)
            return text.encode({"latin1": "latin1"}[encoding])  # how Python 2's protocol holds bytes
        case "pathlib" | "pathlib._local", kind:
            return _path(kind, arguments, work)
        case "numpy.core.multiarray" | "numpy._core.multiarray", "scalar":
            return _scalar(work, *arguments)
    if function.is_object and arguments:
        raise WeightsError(
            f"calls {function.attribute}, where a checkpoint only restores it; it was not opened"
        )
    return StandIn.of(function, arguments)


def _attribute(owner: Any, attribute: Any) -> StandIn:
    """A method of an object, or a nested class, by its name."""
    if isinstance(owner, StandIn | Name) and isinstance(attribute, str) and not attribute.startswith("__"):
        return StandIn(visible(attribute[:MAX_LENGTH]))
    raise WeightsError(
        f"looks up {shorten(attribute)} of {_described(owner)} by builtins.getattr, which could run code; "
        "it was not opened"
    )


def _path(kind: str, parts: tuple[Any, ...], work: Work) -> Any:
    """A path as text."""
    if len(parts) > MAX_PATH_PARTS or not all(isinstance(p, str) and len(p) < 4096 for p in parts):
        return StandIn(kind, parts)
    flavour = PureWindowsPath if kind.endswith("WindowsPath") else PurePosixPath
    work.count(sum(map(len, parts)) // 16)
    return flavour(*parts).as_posix()


def _scalar(work: Work, dtype: Any, data: Any = b"") -> Any:
    """A NumPy scalar as a Python number or string; other types are dropped."""
    code = dtype.arguments[0] if isinstance(dtype, StandIn) and dtype.arguments else ""
    if not isinstance(code, str) or not _SCALAR.fullmatch(code) or not isinstance(data, bytes):
        return StandIn("scalar")
    work.count(len(data) // 16)
    order: Any = dtype.state[1] if isinstance(dtype.state, tuple) and len(dtype.state) > 1 else "="
    described = np.dtype(code)
    if described.itemsize != len(data):
        raise ValueError("a NumPy scalar has the wrong size")
    return np.frombuffer(data, described.newbyteorder(order))[0].item()


def _described(value: Any) -> str:
    if isinstance(value, Name):
        return value.dotted
    return visible(value.kind) if isinstance(value, StandIn) else shorten(value)
