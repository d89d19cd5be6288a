"""Tensors as stored in a checkpoint, and as NumPy arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from yolo_max.support.errors import WeightsError
from yolo_max.support.text import shorten

MAX_RANK = 16
MAX_ELEMENTS = 2**40
MAX_KEY = 100
STORAGES: Mapping[str, str] = {
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "BoolStorage": "bool",
    "ByteStorage": "uint8",
    "CharStorage": "int8",
    "ShortStorage": "int16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "UntypedStorage": "uint8",
}
"""Element type of a storage, by the name of its class."""

_ITEM_SIZES = {name: 2 if name == "bfloat16" else np.dtype(name).itemsize for name in STORAGES.values()}


@dataclass(frozen=True, slots=True, eq=False)
class Storage:
    """Numbers of one type, read from the file when a tensor needs them.

    Attributes:
        key: Its name in the file.
        dtype: "float16", "bfloat16", "int64", ...
        size: Its length in bytes, as the pickle claims.
        read: Returns the bytes of a key.
        order: Byte order, "<" or ">".
    """

    key: str
    dtype: str
    size: int
    read: Callable[[str], bytes | memoryview]
    order: Literal["<", ">"]

    @property
    def item_size(self) -> int:
        """Bytes of one element."""
        return _ITEM_SIZES[self.dtype]


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A view of a storage, inside the storage's claimed size.

    Attributes:
        storage: The storage of its elements.
        dtype: Their type.
        offset: Index of the first element.
        shape: Sizes of the axes.
        strides: In elements.
    """

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @classmethod
    def view(cls, storage: Any, offset: Any, shape: Any, strides: Any, dtype: str | None = None) -> Tensor:
        """A tensor from a pickle's untrusted values.

        Raises:
            WeightsError: They make no sense, or it reaches past its storage.
        """
        if not isinstance(storage, Storage):
            raise WeightsError(f"makes a tensor of {shorten(storage)}, which is not a storage")
        dtype = dtype or storage.dtype
        if storage.size % _ITEM_SIZES[dtype]:
            raise WeightsError(f"has a tensor of {dtype} in a storage of {storage.size} bytes")
        if not (_naturals(shape) and _naturals(strides) and len(shape) == len(strides)):
            raise WeightsError(f"has a tensor of shape {shorten(shape)} and strides {shorten(strides)}")
        if type(offset) is not int or offset < 0:
            raise WeightsError(f"has a tensor that begins at {shorten(offset)}")
        if math.prod(n for n in shape if n) > MAX_ELEMENTS:  # NumPy refuses more, even of an empty array
            raise WeightsError(f"has a tensor of shape {shorten(shape)}, larger than any file")
        reach = 1 + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        if 0 not in shape and (offset + reach) * _ITEM_SIZES[dtype] > storage.size:
            raise WeightsError(f"has a tensor of shape {shorten(shape)} that reaches past its storage")
        return cls(storage, dtype, offset, tuple(shape), tuple(strides))

    @property
    def nbytes(self) -> int:
        """Bytes of its elements when written out: shape times element size."""
        return math.prod(self.shape) * _ITEM_SIZES[self.dtype]

    def array(self) -> NDArray[Any]:
        """Its elements, read-only and uncopied; bfloat16, which NumPy lacks, becomes float32.

        Raises:
            WeightsError: The storage's size in the file differs from what the pickle claims.
        """
        data = self.storage.read(self.storage.key)
        if len(data) != self.storage.size:
            raise WeightsError(
                f"has {len(data)} bytes in storage {shorten(self.storage.key)}, where its pickle says "
                f"{self.storage.size}: truncated or damaged"
            )
        stored = np.dtype("uint16" if self.dtype == "bfloat16" else self.dtype)
        elements = np.frombuffer(data, stored.newbyteorder(self.storage.order))
        if 0 in self.shape:
            elements = np.empty(self.shape, stored)
        else:
            steps = [step * stored.itemsize for step in self.strides]
            elements = np.lib.stride_tricks.as_strided(
                elements[self.offset :], self.shape, steps, writeable=False
            )
        if self.dtype == "bfloat16":  # the upper half of a float32
            return (elements.astype(np.uint32) << 16).view(np.float32)
        return elements.astype(stored, copy=False)

    def tolist(self) -> Any:
        """Its elements as numbers in nested lists."""
        return self.array().tolist()


def storage_of(
    kind: str, key: Any, count: Any, read: Callable[[str], bytes | memoryview], order: Literal["<", ">"]
) -> Storage:
    """A storage from a pickle's untrusted values.

    Args:
        kind: The name of its class, one of `STORAGES`.
        key: Its name in the file.
        count: Its number of elements.
        read: Returns the bytes of a key.
        order: Byte order, "<" or ">".

    Raises:
        WeightsError: The kind is not supported, or a value makes no sense.
    """
    if kind not in STORAGES:
        raise WeightsError(f"stores numbers as torch.{kind}, which is not read")
    known = isinstance(key, str) and len(key) <= MAX_KEY
    if not known or type(count) is not int or not 0 <= count <= MAX_ELEMENTS:
        raise WeightsError(f"has a storage {shorten(key)} of {shorten(count)} numbers")
    return Storage(key, STORAGES[kind], count * _ITEM_SIZES[STORAGES[kind]], read, order)


def _naturals(values: Any) -> bool:
    short = isinstance(values, tuple) and len(values) <= MAX_RANK
    return short and all(type(v) is int and 0 <= v < 2**48 for v in values)
