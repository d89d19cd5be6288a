"""Weights: from any kind of file to checked tensors, the cache of conversions, what damage looks like."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pytest

from yolo_max.model.architecture import expected_tensors, parse_architecture
from yolo_max.support.cache import cache_folder
from yolo_max.support.errors import OutputError, WeightsError
from yolo_max.weights import container
from yolo_max.weights import load as weights_module
from yolo_max.weights.load import Weights, convert, load_weights, save_weights

TABLE = checkpoints.tiny_table()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, and an empty working directory."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("YOLO_MAX_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


@pytest.fixture(scope="module")
def checkpoint() -> bytes:
    return checkpoints.checkpoint(checkpoints.detection_model(TABLE))


@pytest.fixture
def pt(tmp_path: Path, checkpoint: bytes) -> Path:
    path = tmp_path / "net.pt"
    path.write_bytes(checkpoint)
    return path


def written(data: bytes, name: str = "net.safetensors") -> Path:
    path = Path(name).absolute()
    path.write_bytes(data)
    return path


def assert_equal(a: Weights, b: Weights) -> None:
    assert list(a.tensors) == list(b.tensors)
    for name in a.tensors:
        np.testing.assert_array_equal(a.tensors[name], b.tensors[name])
    assert a.meta == b.meta


# Loading


def test_a_safetensors_file() -> None:
    path = written(checkpoints.random_weights(TABLE))
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
    converted = load_weights(written(data))
    assert_equal(direct, converted)
    assert direct.sha256 == converted.sha256
    assert direct.path == pt
    assert direct.meta == meta
    assert meta.source_sha256 == hashlib.sha256(pt.read_bytes()).hexdigest()


def test_what_a_file_is_goes_by_its_content(pt: Path, checkpoint: bytes) -> None:
    assert_equal(load_weights(written(checkpoint, "net.safetensors")), load_weights(pt))


def test_saving_and_loading_keeps_everything(tmp_path: Path) -> None:
    weights = load_weights(written(checkpoints.random_weights(TABLE)))
    save_weights(weights, tmp_path / "new" / "copy.safetensors")
    again = load_weights(tmp_path / "new" / "copy.safetensors")
    assert_equal(weights, again)
    assert again.sha256 == weights.sha256


def test_half_precision_is_half_the_size_and_rounded_once(pt: Path) -> None:
    full, half = convert(pt)[1], convert(pt, half=True)[1]
    assert len(half) < 0.6 * len(full)
    weights, rounded = load_weights(written(full)), load_weights(written(half, "half.safetensors"))
    assert rounded.stored_dtype == "float16"
    for name, tensor in weights.tensors.items():
        np.testing.assert_array_equal(rounded.tensors[name], tensor.astype(np.float16).astype(np.float32))


def test_what_half_precision_cannot_hold_is_refused(tmp_path: Path) -> None:
    path = written(with_number(1e5, "model.8.cv3.0.2.bias"))
    with pytest.raises(WeightsError, match=r"net.safetensors has 100000 in model.8.cv3.0.2.bias"):
        save_weights(load_weights(path), tmp_path / "half.safetensors", half=True)
    assert not (tmp_path / "half.safetensors").exists()


def test_writing_where_one_cannot(tmp_path: Path) -> None:
    weights = load_weights(written(checkpoints.random_weights(TABLE)))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        save_weights(weights, tmp_path / "file" / "net.safetensors")


def test_running_needs_no_torch() -> None:
    path = written(checkpoints.random_weights(TABLE))
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
    written(checkpoints.random_weights(TABLE, seed=2), "weights/net.safetensors")
    here = load_weights("net")
    assert here.path == Path("weights/net.safetensors")
    assert here.sha256 != from_cache.sha256


# The cache of conversions


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the checkpoints that have been converted."""
    done: list[str] = []
    real = weights_module._convert

    def counting(data: bytes, source: str, half: bool) -> Any:
        done.append(source)
        return real(data, source, half)

    monkeypatch.setattr(weights_module, "_convert", counting)
    return done


def test_a_checkpoint_is_converted_once(pt: Path, cache: Path, conversions: list[str]) -> None:
    first, second = load_weights(pt), load_weights(pt)
    assert conversions == ["net.pt"]
    assert_equal(first, second)
    assert first.sha256 == second.sha256
    moved = pt.rename(pt.with_name("other.pt"))
    assert load_weights(moved).path == moved  # the same content under another name
    assert conversions == ["net.pt"]
    assert len(list(cache.iterdir())) == 1


def test_another_content_is_another_entry(pt: Path, conversions: list[str]) -> None:
    first = load_weights(pt)
    pt.write_bytes(checkpoints.checkpoint(checkpoints.detection_model(TABLE, seed=5)))
    assert load_weights(pt).sha256 != first.sha256
    assert conversions == ["net.pt", "net.pt"]


def test_the_cache_is_private(pt: Path, cache: Path) -> None:
    load_weights(pt)
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert [stat.S_IMODE(entry.stat().st_mode) for entry in cache.iterdir()] == [0o600]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:5000] + bytes([data[5000] ^ 1]) + data[5001:],  # one bit of one weight
        lambda data: b"\0" * len(data),
        lambda data: hashlib.sha256(b"junk").digest() + b"junk",  # whole, but no weights
    ],
    ids=["empty", "truncated", "a flipped bit", "zeros", "something else"],
)
def test_a_damaged_entry_is_made_again(
    pt: Path, cache: Path, conversions: list[str], damage: Callable[[bytes], bytes]
) -> None:
    first = load_weights(pt)
    (entry,) = cache.iterdir()
    good = entry.read_bytes()
    entry.write_bytes(damage(good))
    assert_equal(load_weights(pt), first)
    assert len(conversions) == 2
    assert entry.read_bytes() == good


def test_an_entry_of_another_checkpoint_is_not_taken(pt: Path, cache: Path, conversions: list[str]) -> None:
    """Entries are found by the checkpoint's digest; one that says it came from another is no use."""
    first = load_weights(pt)
    (entry,) = cache.iterdir()
    pt.write_bytes(checkpoints.checkpoint(checkpoints.detection_model(TABLE, seed=5)))
    load_weights(pt)
    (other,) = set(cache.iterdir()) - {entry}
    other.write_bytes(entry.read_bytes())
    assert load_weights(pt).sha256 != first.sha256
    assert len(conversions) == 3


def test_without_a_cache_it_is_converted_each_time(
    pt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conversions: list[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("YOLO_MAX_CACHE_DIR", str(tmp_path / "file"))
    assert_equal(load_weights(pt), load_weights(pt))
    assert len(conversions) == 2


def test_a_full_disk_does_not_keep_weights_from_being_used(
    pt: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, conversions: list[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    assert_equal(load_weights(pt), load_weights(pt))
    assert len(conversions) == 2
    assert list(cache.iterdir()) == []


def test_many_at_once(pt: Path, cache: Path) -> None:
    loaded: list[Weights] = []
    threads = [threading.Thread(target=lambda: loaded.append(load_weights(pt))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({weights.sha256 for weights in loaded}) == 1
    assert len(loaded) == 8
    assert len(list(cache.iterdir())) == 1  # and no temporary file is left


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
            changed(in_table(lambda t: t["backbone"][2].__setitem__(2, "C3k2"))),
            r"not ported: C3k2 \(layer 2\)",
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
    path = written(data)
    with pytest.raises(WeightsError, match=message) as caught:
        load_weights(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert text.endswith(".")
    assert "\n" not in text


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
    path = written(b"")

    def denied(*_: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)  # a mode of 0 does not keep root out
    with pytest.raises(WeightsError, match="cannot be read: Permission denied"):
        load_weights(path)


def test_a_huge_file_is_not_read() -> None:
    path = written(b"")
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
    written(checkpoint, "weights/both.pt")
    written(checkpoints.random_weights(TABLE), "weights/both.safetensors")
    assert convert("both")[0].source == "both.pt"
    with pytest.raises(WeightsError, match=r"is not a \.pt checkpoint"):
        convert(written(checkpoints.random_weights(TABLE)))


def test_a_flipped_bit_anywhere_gives_weights_or_a_sentence() -> None:
    data = bytearray(checkpoints.random_weights(TABLE))
    length = int.from_bytes(data[:8], "little") + 8
    rng = np.random.default_rng(0)
    for position in rng.integers(0, length, 300):
        mutant = bytearray(data)
        mutant[position] ^= 1 << int(rng.integers(8))
        with contextlib.suppress(WeightsError):  # any other exception fails the test
            load_weights(written(bytes(mutant)))
