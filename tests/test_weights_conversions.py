"""The cache of checkpoints that were converted."""

from __future__ import annotations

import hashlib
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoints
import pytest

from yolo_max.weights import load as weights_module
from yolo_max.weights.load import Weights, load_weights

TABLE = checkpoints.tiny_table()
pytestmark = pytest.mark.usefixtures("cache")


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
    checkpoints.assert_equal(first, second)
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
    checkpoints.assert_equal(load_weights(pt), first)
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
    checkpoints.assert_equal(load_weights(pt), load_weights(pt))
    assert len(conversions) == 2


def test_a_full_disk_does_not_keep_weights_from_being_used(
    pt: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, conversions: list[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    checkpoints.assert_equal(load_weights(pt), load_weights(pt))
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
