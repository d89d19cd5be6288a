"""The safetensors container: an 8-byte length, a JSON header, the tensors' bytes.

Read here rather than by the safetensors package so that each kind of damage gets its own sentence, naming
the tensor, before anything is allocated; written here so that the same weights always give the same bytes.
Format: https://huggingface.co/docs/safetensors, "Format".
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.support.errors import WeightsError
from yolo_max.support.text import shorten

MAX_HEADER_BYTES = 16 * 1024**2
MAX_TENSORS = 100_000
MAX_RANK = 8
FLOATS: Mapping[str, Any] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2")}
"""What a YOLO's weights may be."""
NUMBERS: Mapping[str, Any] = {
    **FLOATS,
    "F64": np.dtype("<f8"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
"""What any module's tensors may be."""
_ALIGNMENT = 64
"""Bytes: tensors start at multiples of it in memory, as vector loads prefer."""


def parse(data: bytes, dtypes: Mapping[str, Any] = FLOATS) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """Reads a container.

    Args:
        data: The whole file.
        dtypes: The types that its tensors may have.

    Returns:
        The metadata, and the tensors as stored: read-only views of ``data``.

    Raises:
        WeightsError: The file is damaged. The message is a sentence without its subject: the caller
            prepends the file's name.
    """
    header, end = _header(data)
    metadata = header.pop("__metadata__", {})
    if len(header) > MAX_TENSORS:
        raise WeightsError(f"claims {len(header):,} tensors, over the limit of {MAX_TENSORS:,}")
    body = memoryview(data)[end:]
    tensors, spans = {}, []
    for name, entry in header.items():
        dtype, shape, start, end = _entry(name, entry, len(body), dtypes)
        tensors[name] = np.frombuffer(body[start:end], dtype).reshape(shape)
        spans.append((start, end, name))
    _require_partition(sorted(spans), len(body))
    return metadata, tensors


def metadata_of(data: bytes) -> dict[str, str]:
    """The metadata of a container, whatever its tensors are.

    Raises:
        WeightsError: As `parse`.
    """
    metadata: dict[str, str] = _header(data)[0].get("__metadata__", {})
    return metadata


def serialise(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> bytes:
    """The container as bytes; equal input gives equal bytes.

    Args:
        tensors: C-contiguous arrays, of the types in :data:`NUMBERS`.
        metadata: Strings for the header.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    offset = 0
    for name, tensor in tensors.items():
        kind = next(key for key, dtype in NUMBERS.items() if dtype == tensor.dtype)
        end = offset + tensor.nbytes
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    return b"".join(
        [len(text).to_bytes(8, "little"), text, *(tensor.tobytes() for tensor in tensors.values())]
    )


def aligned_float32(tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
    """Copies tensors into float32 arrays that start at multiples of 64 bytes."""
    lanes = _ALIGNMENT // 4
    sizes = [-(-tensor.size // lanes) * lanes for tensor in tensors.values()]
    arena = np.empty(sum(sizes) + lanes, np.float32)
    position = -(arena.ctypes.data // 4) % lanes
    result = {}
    for (name, tensor), size in zip(tensors.items(), sizes, strict=True):
        result[name] = arena[position : position + tensor.size].reshape(tensor.shape)
        result[name][...] = tensor
        position += size
    return result


def _header(data: bytes) -> tuple[dict[str, Any], int]:
    """The header, its metadata checked, and where it ends."""
    if len(data) < 8:
        raise WeightsError(f"is truncated: it has only {len(data)} bytes")
    length = int.from_bytes(data[:8], "little")
    if length > MAX_HEADER_BYTES:
        raise WeightsError(f"claims a header of {length:,} bytes, over the limit of {MAX_HEADER_BYTES:,}")
    if length > len(data) - 8:
        raise WeightsError(f"is truncated: its header has {length:,} bytes, but {len(data) - 8:,} follow")
    header = _json(data[8 : 8 + length])
    metadata = header.get("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise WeightsError("has metadata other than strings")
    return header, 8 + length


def _json(text: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            raise ValueError("it names something twice")
        return result

    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"has a header that is not JSON ({error})") from error
    if not isinstance(header, dict):
        raise WeightsError("has a header that is not a JSON object")
    return header


def _entry(
    name: str, entry: Any, body_size: int, dtypes: Mapping[str, Any]
) -> tuple[Any, tuple[int, ...], int, int]:
    """One tensor's dtype, shape and byte range, checked against each other and the file's size."""
    label = f"tensor {shorten(name)}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise WeightsError(f"has a malformed header entry for {label}")
    dtype = dtypes.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if dtype is None:
        *most, last = dtypes
        listed = f"{', '.join(most)} and {last}"
        raise WeightsError(f"stores {label} as {shorten(entry['dtype'])}; only {listed} are read")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _naturals(shape) or len(shape) > MAX_RANK:
        raise WeightsError(f"has {shorten(shape)} for {label}, which is not a shape")
    if not _naturals(offsets) or len(offsets) != 2 or not offsets[0] <= offsets[1] <= body_size:
        raise WeightsError(
            f"puts {label} at bytes {shorten(offsets)}, but has {body_size:,}: truncated or damaged"
        )
    if math.prod(shape) * dtype.itemsize != offsets[1] - offsets[0]:
        raise WeightsError(f"gives {label} of shape {shorten(shape)} {offsets[1] - offsets[0]:,} bytes")
    return dtype, tuple(shape), offsets[0], offsets[1]


def _naturals(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 2**48 for v in values)


def _require_partition(spans: list[tuple[int, int, str]], body_size: int) -> None:
    """Refuses tensors that do not fill the body exactly, each byte once."""
    position, before = 0, "the header"
    for start, end, name in spans:
        if start < position:
            raise WeightsError(f"has tensors {shorten(before)} and {shorten(name)} that overlap")
        if start > position:
            raise WeightsError(
                f"has {start - position:,} bytes that belong to no tensor before {shorten(name)}"
            )
        position, before = end, name
    if position != body_size:
        raise WeightsError(f"has {body_size - position:,} bytes after its last tensor")
