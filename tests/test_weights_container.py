"""The safetensors container: what is written is read by others, and every kind of damage is told apart."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from yolo_max.support.errors import WeightsError
from yolo_max.weights.container import aligned_float32, parse, serialise

RNG = np.random.default_rng(0)
TENSORS: dict[str, Any] = {
    "b.weight": RNG.normal(size=(3, 3, 2, 5)).astype(np.float32),
    "a.weight": RNG.normal(size=(7,)).astype(np.float16),  # odd: what follows is not aligned in the file
    "a.bias": RNG.normal(size=(2, 4)).astype(np.float32),
}


def test_written_files_are_read_by_the_safetensors_package() -> None:
    data = serialise(TENSORS, {"names": '{"0": "犬"}'})
    loaded = safetensors.numpy.load(data)
    assert set(loaded) == set(TENSORS)
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(loaded[name], tensor)


def test_files_of_the_safetensors_package_are_read() -> None:
    metadata, loaded = parse(safetensors.numpy.save(TENSORS, metadata={"format": "x"}))
    assert metadata == {"format": "x"}
    assert set(loaded) == set(TENSORS)
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(loaded[name], tensor)
        assert loaded[name].dtype == tensor.dtype


def test_equal_weights_are_equal_bytes() -> None:
    assert serialise(TENSORS, {"a": "1", "b": "2"}) == serialise(dict(TENSORS), {"a": "1", "b": "2"})


def test_aligned_copies() -> None:
    copies = aligned_float32(TENSORS)
    for name, tensor in TENSORS.items():
        assert copies[name].ctypes.data % 64 == 0
        assert copies[name].dtype == np.float32
        assert copies[name].flags.c_contiguous
        assert copies[name].flags.writeable
        np.testing.assert_array_equal(copies[name], tensor.astype(np.float32))


def file(header: Any, body: bytes = b"", length: int | None = None) -> bytes:
    """A file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + body


def tensor(start: int, end: int, shape: Any = None, dtype: Any = "F32") -> dict[str, Any]:
    return {
        "dtype": dtype,
        "shape": [(end - start) // 4] if shape is None else shape,
        "data_offsets": [start, end],
    }


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "truncated: it has only 0 bytes"),
        (b"\x07\x00\x00", "truncated: it has only 3 bytes"),
        (file({}, length=2**63), "header of 9,223,372,036,854,775,808 bytes, over the limit"),
        (file({}, length=17 * 1024**2), "over the limit"),
        (file({}, length=1000), "truncated: its header has 1,000 bytes, but 2 follow"),
        (file(b""), "not JSON"),
        (file(b"{"), "not JSON"),
        (file(b"\xff\xfe{}"), "not JSON"),
        (file(b"[" * 100_000), "not JSON"),
        (file(b'{"a": 1, "a": 2}'), "names something twice"),
        (file([]), "not a JSON object"),
        (file({"__metadata__": {"a": 1}}), "metadata other than strings"),
        (file({"__metadata__": "a"}), "metadata other than strings"),
        (file({f"t{i}": 0 for i in range(100_001)}), "claims 100,001 tensors"),
        (file({"a": 7}), "malformed header entry for tensor 'a'"),
        (file({"a": {"dtype": "F32"}}), "malformed header entry"),
        (file({"a": tensor(0, 4) | {"extra": 1}}, bytes(4)), "malformed header entry"),
        (file({"a": tensor(0, 4, dtype="I32")}, bytes(4)), "tensor 'a' as 'I32'; only F32 and F16"),
        (file({"a": tensor(0, 4, dtype=["F32"])}, bytes(4)), "only F32 and F16"),
        (file({"a": tensor(0, 4, shape=[-1])}, bytes(4)), r"\[-1\] for tensor 'a', which is not a shape"),
        (file({"a": tensor(0, 4, shape=[1.0])}, bytes(4)), "which is not a shape"),
        (file({"a": tensor(0, 4, shape=[True])}, bytes(4)), "which is not a shape"),
        (file({"a": tensor(0, 4, shape=7)}, bytes(4)), "which is not a shape"),
        (file({"a": tensor(0, 4, shape=[1] * 9)}, bytes(4)), "which is not a shape"),
        (file({"a": tensor(0, 4, shape=[2**62, 2**62])}, bytes(4)), "which is not a shape"),
        (file({"a": tensor(0, 4, shape=[2**40, 2**40])}, bytes(4)), "tensor 'a' of shape .* 4 bytes"),
        (file({"a": tensor(0, 4, shape=[2])}, bytes(4)), r"tensor 'a' of shape \[2\] 4 bytes"),
        (file({"a": tensor(0, 8)}, bytes(4)), r"tensor 'a' at bytes \[0, 8\], but has 4"),
        (file({"a": tensor(8, 4, shape=[1])}, bytes(8)), r"tensor 'a' at bytes \[8, 4\]"),
        (file({"a": tensor(-4, 0, shape=[1])}, bytes(8)), r"tensor 'a' at bytes \[-4, 0\]"),
        (file({"a": {**tensor(0, 4), "data_offsets": [0, 2, 4]}}, bytes(4)), "tensor 'a' at bytes"),
        (file({"a": tensor(0, 8), "b": tensor(4, 12)}, bytes(12)), "tensors 'a' and 'b' that overlap"),
        (file({"a": tensor(0, 8), "b": tensor(0, 8)}, bytes(8)), "tensors 'a' and 'b' that overlap"),
        (
            file({"a": tensor(0, 4), "b": tensor(8, 12)}, bytes(12)),
            "4 bytes that belong to no tensor before 'b'",
        ),
        (file({"a": tensor(4, 8)}, bytes(8)), "4 bytes that belong to no tensor before 'a'"),
        (file({"a": tensor(0, 4)}, bytes(9)), "5 bytes after its last tensor"),
        (
            file({"\x1b[2J": tensor(0, 8)}, bytes(4)),
            r"tensor '\\x1b\[2J'",
        ),  # no control character reaches a terminal
    ],
)
def test_damage_is_named(data: bytes, message: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(WeightsError, match=message) as caught:
            parse(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100 * len(data) + 1024**2  # nothing is allocated by a file's word
    assert "\x1b" not in str(caught.value)


def test_every_truncation_is_found() -> None:
    data = serialise(TENSORS, {"a": "b"})
    for length in range(len(data)):
        with pytest.raises(WeightsError):
            parse(data[:length])
