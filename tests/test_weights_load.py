"""Weights: from any kind of file to checked tensors, the cache of conversions, what damage looks like."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pytest

from yolo_max.model.architecture import expected_tensors, parse_architecture
from yolo_max.support.cache import cache_folder
from yolo_max.support.errors import OutputError, WeightsError
from yolo_max.weights.load import convert, load_weights, save_weights

TABLE = checkpoints.tiny_table()
pytestmark = pytest.mark.usefixtures("cache")


# Loading


def test_a_safetensors_file() -> None:
    path = checkpoints.written(checkpoints.random_weights(TABLE))
    weights = load_weights(path)
    assert {name: t.shape for name, t in weights.tensors.items()} == expected_tensors(
        parse_architecture(TABLE)
    )
    assert all(t.dtype == np.float32 and t.ctypes.data % 64 == 0 for t in weights.tensors.values())
    assert weights.path == path
    assert weights.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert weights.stored_dtype == "float32"
    assert weights.parameters == sum(layer.parameters for layer in weights.meta.network.layers)
    assert (weights.meta.nc, weights.meta.network.strides, weights.meta.names[2]) == (3, (4, 8), "thing 2")


def test_a_checkpoint_and_its_conversion_are_the_same_weights(pt: Path) -> None:
    direct = load_weights(pt)
    meta, data = convert(pt)
    converted = load_weights(checkpoints.written(data))
    checkpoints.assert_equal(direct, converted)
    assert direct.sha256 == converted.sha256
    assert direct.path == pt
    assert direct.meta == meta
    assert meta.source_sha256 == hashlib.sha256(pt.read_bytes()).hexdigest()


def test_what_a_file_is_goes_by_its_content(pt: Path, checkpoint: bytes) -> None:
    checkpoints.assert_equal(
        load_weights(checkpoints.written(checkpoint, "net.safetensors")), load_weights(pt)
    )


def test_saving_and_loading_keeps_everything(tmp_path: Path) -> None:
    weights = load_weights(checkpoints.written(checkpoints.random_weights(TABLE)))
    save_weights(weights, tmp_path / "new" / "copy.safetensors")
    again = load_weights(tmp_path / "new" / "copy.safetensors")
    checkpoints.assert_equal(weights, again)
    assert again.sha256 == weights.sha256


def test_half_precision_is_half_the_size_and_rounded_once(pt: Path) -> None:
    full, half = convert(pt)[1], convert(pt, half=True)[1]
    assert len(half) < 0.6 * len(full)
    weights, rounded = (
        load_weights(checkpoints.written(full)),
        load_weights(checkpoints.written(half, "half.safetensors")),
    )
    assert rounded.stored_dtype == "float16"
    for name, tensor in weights.tensors.items():
        np.testing.assert_array_equal(rounded.tensors[name], tensor.astype(np.float16).astype(np.float32))


def test_writing_where_one_cannot(tmp_path: Path) -> None:
    weights = load_weights(checkpoints.written(checkpoints.random_weights(TABLE)))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        save_weights(weights, tmp_path / "file" / "net.safetensors")


def test_running_needs_no_torch() -> None:
    path = checkpoints.written(checkpoints.random_weights(TABLE))
    script = (
        "import sys; from yolo_max import load_weights; load_weights(sys.argv[1])\n"
        "sys.exit(bool({'torch', 'ultralytics', 'max', 'safetensors'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False).returncode == 0


def test_converting_needs_neither_torch_nor_ultralytics(pt: Path) -> None:
    script = (
        "import sys; from yolo_max import load_weights; load_weights(sys.argv[1])\n"
        "assert 'yolo_max.weights.checkpoint.read' in sys.modules  # it did convert\n"
        "sys.exit(bool({'torch', 'ultralytics', 'max', 'safetensors'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script, str(pt)], check=False).returncode == 0


def test_the_coco_checkpoint(coco_weights: Path) -> None:
    weights = load_weights(coco_weights)
    assert (weights.meta.nc, weights.parameters, weights.meta.imgsz) == (80, 3_151_888, 640)


# Names


def test_a_name_is_looked_up_in_weights_and_then_in_the_cache(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "net.safetensors").write_bytes(checkpoints.random_weights(TABLE, seed=1))
    from_cache = load_weights("net")
    assert from_cache.path == cache / "net.safetensors"
    Path("weights").mkdir()
    checkpoints.written(checkpoints.random_weights(TABLE, seed=2), "weights/net.safetensors")
    here = load_weights("net")
    assert here.path == Path("weights/net.safetensors")
    assert here.sha256 != from_cache.sha256


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is a folder"):
        load_weights(tmp_path)
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(WeightsError, match="not a regular file"):  # and it does not wait for a writer
        load_weights(tmp_path / "pipe.safetensors")


def test_a_file_that_others_could_have_written_is_not_taken_from_the_cache(
    demo_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOLO_MAX_CACHE_DIR", str(tmp_path / "cache"))
    path = cache_folder("weights") / "net.safetensors"
    path.write_bytes(demo_weights.read_bytes())
    path.chmod(0o644)
    assert load_weights("net").file_sha256 == hashlib.sha256(demo_weights.read_bytes()).hexdigest()
    path.chmod(0o664)
    with pytest.raises(WeightsError, match=r"net.safetensors is a link, belongs to another user, or can be"):
        load_weights("net")
    path.chmod(0o644)
    path.rename(tmp_path / "net.safetensors")
    assert load_weights(tmp_path / "net.safetensors").path == tmp_path / "net.safetensors"
    path.symlink_to(tmp_path / "net.safetensors")
    with pytest.raises(WeightsError, match="is a link"):
        load_weights("net")


def test_an_unreadable_file(monkeypatch: pytest.MonkeyPatch) -> None:
    path = checkpoints.written(b"")

    def denied(*_: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)  # a mode of 0 does not keep root out
    with pytest.raises(WeightsError, match="cannot be read: Permission denied"):
        load_weights(path)


def test_a_huge_file_is_not_read() -> None:
    path = checkpoints.written(b"")
    os.truncate(path, 3 * 1024**3)  # sparse
    with pytest.raises(WeightsError, match="more than 2 GiB"):
        load_weights(path)
    os.truncate(path, 2 * 1024**3)
    tracemalloc.start()
    with pytest.raises(WeightsError, match="neither"):  # which the first bytes tell
        load_weights(path)
    assert tracemalloc.get_traced_memory()[1] < 1024**2
    tracemalloc.stop()


def test_only_checkpoints_are_converted(checkpoint: bytes) -> None:
    Path("weights").mkdir()
    checkpoints.written(checkpoint, "weights/both.pt")
    checkpoints.written(checkpoints.random_weights(TABLE), "weights/both.safetensors")
    assert convert("both")[0].source == "both.pt"
    with pytest.raises(WeightsError, match=r"is not a \.pt checkpoint"):
        convert(checkpoints.written(checkpoints.random_weights(TABLE)))
