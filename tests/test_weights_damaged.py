"""Damaged weights files: a sentence that says what is wrong."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pytest

from yolo_max.support.errors import WeightsError
from yolo_max.weights import container
from yolo_max.weights.load import load_weights, save_weights
from yolo_max.weights.meta import EXPORTED

TABLE = checkpoints.tiny_table()
pytestmark = pytest.mark.usefixtures("cache")


# Damage


def header(data: bytes) -> tuple[dict[str, Any], bytes]:
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def changed(change: Callable[[dict[str, Any]], None], data: bytes | None = None) -> bytes:
    """A weights file whose metadata were changed."""
    entries, body = header(data or checkpoints.random_weights(TABLE))
    change(entries["__metadata__"])
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text + body


def setting(key: str, value: str | None) -> Callable[[dict[str, Any]], None]:
    def change(metadata: dict[str, Any]) -> None:
        if value is None:
            del metadata[key]
        else:
            metadata[key] = value

    return change


def in_table(change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    def change_table(metadata: dict[str, Any]) -> None:
        table = json.loads(metadata["architecture"])
        change(table)
        metadata["architecture"] = json.dumps(table)

    return change_table


def with_number(value: float, name: str = "model.3.conv.weight") -> bytes:
    tensors = container.parse(checkpoints.random_weights(TABLE))[1]
    tensor = tensors[name].copy()
    tensor.flat[0] = value
    return checkpoints.random_weights(TABLE, changes={name: tensor})


def missing(*names: str) -> bytes:
    metadata, tensors = container.parse(checkpoints.random_weights(TABLE))
    return container.serialise({k: v for k, v in tensors.items() if k not in names}, metadata)


WIDER = json.dumps(checkpoints.tiny_table() | {"width_multiple": 2.0})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        # other files
        (b"", "is empty"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            "git-lfs pointer.*git lfs pull",
        ),
        (b"\xff\xd8\xff\xe0" + bytes(100), "is a JPEG image"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "is a PNG image"),
        (b"<!DOCTYPE html><html>Not Found</html>", "is an HTML or XML page"),
        (b"\x80\x02}q\x00.", "is a bare pickle, which is never opened"),
        (b"\x1f\x8b\x08" + bytes(100), "is a gzip archive"),
        (b"hello world, these are my weights", "neither a safetensors file nor a .pt checkpoint"),
        (b"x", "neither a safetensors file nor a .pt checkpoint"),
        (b"PK\x03\x04" + bytes(100), "truncated or damaged checkpoint"),
        (bytes(1000), "neither a safetensors file nor a .pt checkpoint"),
        ((2**40).to_bytes(8, "little") + b"{}", "header of .* bytes, over the limit"),
        ((4).to_bytes(8, "little") + b"{}  ", "without yolo_max's header"),
        # the header
        (
            container.serialise({"a": np.zeros(1, np.int64)}, {EXPORTED: "{}"}),
            "exported.*yolo_max.convert.load",
        ),
        (container.serialise({}, {}), "without yolo_max's header.*weights convert"),
        (changed(setting("format", "pt")), "without yolo_max's header"),
        (changed(setting("format_version", "99")), "format version '99'.*reads version 1"),
        (changed(setting("names", None)), "no usable 'names'"),
        (changed(setting("names", "[" * 100_000)), "no usable 'names'"),
        (changed(setting("names", '{"0": "a", "1": "b"}')), "2 class names for 3 classes"),
        (changed(setting("names", '["a", "b", "c", "d"]')), "class names for 3 classes"),
        (changed(setting("nc", "4")), "is for|4 classes|class names"),
        (changed(setting("nc", "1e400")), "class count is inf"),
        (changed(setting("imgsz", "0")), "imgsz 0"),
        (changed(setting("imgsz", "true")), "imgsz True"),
        (changed(setting("strides", "[8, 16]")), r"strides \[8, 16\], but .* \[4, 8\]"),
        (changed(setting("reg_max", "8")), "reg_max 8, but its architecture table gives 16"),
        (changed(setting("architecture", "[]")), "cannot be built: the architecture table is"),
        (changed(in_table(lambda t: t["backbone"][1].__setitem__(3, [-16, 3, 2]))), "output channels -16"),
        (changed(in_table(lambda t: t["backbone"][1].__setitem__(0, 8))), "not an earlier layer"),
        (
            changed(in_table(lambda t: t["backbone"][2].__setitem__(2, "GhostConv"))),
            r"not ported: GhostConv \(layer 2\)",
        ),
        # the tensors
        (changed(setting("architecture", WIDER)), "tensor model.0.conv.weight of shape .*3, 8.*3, 16"),
        (missing("model.3.conv.bias"), "lacks tensors .* model.3.conv.bias"),
        (
            missing(*[f"model.{i}.conv.bias" for i in (0, 1, 3)]),
            "lacks tensors .*: model.0.conv.bias, model.1.conv.bias, model.3",
        ),
        (
            checkpoints.random_weights(TABLE, changes={"extra": np.zeros(3, np.float32)}),
            "tensors that its architecture does not know: extra",
        ),
        (with_number(float("nan")), "NaN or infinite numbers in tensor model.3.conv.weight"),
        (with_number(float("-inf")), "NaN or infinite numbers in tensor model.3.conv.weight"),
        (checkpoints.random_weights(TABLE)[:-1], "truncated or damaged"),
        (checkpoints.random_weights(TABLE)[:100_000], "truncated or damaged"),
        (checkpoints.random_weights(TABLE) + b"x", "1 bytes after its last tensor"),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong(data: bytes, message: str) -> None:
    path = checkpoints.written(data)
    with pytest.raises(WeightsError, match=message) as caught:
        load_weights(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert text.endswith(".")
    assert "\n" not in text


def test_a_flipped_bit_anywhere_gives_weights_or_a_sentence() -> None:
    data = bytearray(checkpoints.random_weights(TABLE))
    length = int.from_bytes(data[:8], "little") + 8
    rng = np.random.default_rng(0)
    for position in rng.integers(0, length, 300):
        mutant = bytearray(data)
        mutant[position] ^= 1 << int(rng.integers(8))
        with contextlib.suppress(WeightsError):  # any other exception fails the test
            load_weights(checkpoints.written(bytes(mutant)))


def test_what_half_precision_cannot_hold_is_refused(tmp_path: Path) -> None:
    path = checkpoints.written(with_number(1e5, "model.8.cv3.0.2.bias"))
    with pytest.raises(WeightsError, match=r"net.safetensors has 100000 in model.8.cv3.0.2.bias"):
        save_weights(load_weights(path), tmp_path / "half.safetensors", half=True)
    assert not (tmp_path / "half.safetensors").exists()
