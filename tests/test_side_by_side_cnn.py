"""scripts/side_by_side_cnn.py on few images, and its data."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import pytest
import side_by_side_cnn
from image_sets import SHAPES, draw, read

FEW = ["--train", "64", "--images", "520", "--epochs", "1", "--parts", "2", "--width", "8"]


def run(*arguments: str) -> None:
    with mock.patch("sys.argv", ["side_by_side_cnn.py", *arguments]):
        side_by_side_cnn.main()


@pytest.mark.parametrize(
    "engines",
    [
        ["torch"],
        pytest.param(["max", "torch"], marks=pytest.mark.zoo),  # compiles graphs that no other test has
    ],
)
def test_both_kinds_are_trained_and_timed(
    engines: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(*FEW, "--out", str(tmp_path), "--engines", *engines)
    found = json.loads((tmp_path / "side-by-side.json").read_text(encoding="utf-8"))
    assert list(found) == list(SHAPES)
    for each in found.values():
        assert (each["images"], each["trained_on"]) == (520, 64)
        assert list(each["engines"]) == engines
        for here in each["engines"].values():
            assert 0 <= here["accuracy"] <= 1
            assert (here["difference"] < 1e-4, here["other_classes"]) == (True, 0)
            assert all(seconds > 0 for way in ("batches", "single") for seconds in here[way])
            assert [len(here[way]) for way in ("batches", "single")] == [2, 2]
    assert cv2.imread(str(tmp_path / "images" / "side-by-side.png")) is not None
    assert "| color, 32 x 32 | PyTorch |" in capsys.readouterr().out


@pytest.mark.parametrize("kind", SHAPES)
def test_drawn_images(kind: str) -> None:
    images, labels = draw(kind, 50, seed=0)
    assert images.shape == (50, *SHAPES[kind])
    assert set(labels) == set(range(10))
    np.testing.assert_array_equal(images, draw(kind, 50, seed=0)[0])
    assert not np.array_equal(images, draw(kind, 50, seed=1)[0])


def idx(values: Any) -> bytes:
    array = np.asarray(values, np.uint8)
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def write_mnist(folder: Path, *, packed: bool = False) -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    parts = {"train": 7, "t10k": 3}
    images = {part: rng.integers(0, 256, (count, 28, 28), np.uint8) for part, count in parts.items()}
    for part, values in images.items():
        for name, data in (
            (f"{part}-images-idx3-ubyte", values),
            (f"{part}-labels-idx1-ubyte", range(len(values))),
        ):
            written = gzip.compress(idx(data)) if packed else idx(data)
            (folder / f"{name}{'.gz' * packed}").write_bytes(written)
    return images


@pytest.mark.parametrize("packed", [False, True])
def test_the_files_of_mnist(packed: bool, tmp_path: Path) -> None:
    images = write_mnist(tmp_path, packed=packed)
    for found, part in zip(read(tmp_path, "mnist"), images, strict=True):
        np.testing.assert_array_equal(found[0][:, 0], images[part])
        np.testing.assert_array_equal(found[1], range(len(images[part])))


def test_the_binary_files_of_cifar(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    batches = [rng.integers(0, 256, (2, 3, 32, 32), np.uint8) for _ in range(3)]
    names = ("data_batch_1.bin", "data_batch_2.bin", "test_batch.bin")
    for i, (name, batch) in enumerate(zip(names, batches, strict=True)):
        rows = [bytes([i + j]) + image.tobytes() for j, image in enumerate(batch)]
        (tmp_path / name).write_bytes(b"".join(rows))
    (images, labels), (held, held_labels) = read(tmp_path, "cifar")
    np.testing.assert_array_equal(images, np.concatenate(batches[:2]))
    np.testing.assert_array_equal(labels, [0, 1, 1, 2])
    np.testing.assert_array_equal(held, batches[2])
    np.testing.assert_array_equal(held_labels, [2, 3])


def test_a_folder_of_classes(tmp_path: Path) -> None:
    for name, value in (("cat", 0), ("dog", 255)):
        (tmp_path / name).mkdir()
        for i in range(3):
            cv2.imwrite(str(tmp_path / name / f"{i}.png"), np.full((40, 50, 3), value, np.uint8))
    (tmp_path / "dog" / "notes.txt").write_text("no image")
    (images, labels), (held, held_labels) = read(tmp_path, "cifar")
    assert (images.shape, held.shape) == ((3, 3, 32, 32), (3, 3, 32, 32))
    np.testing.assert_array_equal(images[:, 0, 0, 0], labels * 255)  # dogs are white
    np.testing.assert_array_equal(held[:, 0, 0, 0], held_labels * 255)


def damaged(name: str, data: bytes) -> Any:
    def write(folder: Path) -> None:
        write_mnist(folder)
        (folder / name).write_bytes(data)

    return write


@pytest.mark.parametrize(
    ("kind", "write", "words"),
    [
        ("mnist", lambda _: None, "neither mnist's files nor one to 10 folders"),  # an empty folder
        ("mnist", lambda folder: folder.rmdir(), "is no folder"),
        ("mnist", damaged("train-images-idx3-ubyte", b"\0\0\x0d\3"), "no bytes in 3 dimensions"),  # floats
        ("mnist", damaged("train-images-idx3-ubyte", idx([[[1]]])[:-1]), "no bytes in 3 dim"),  # cut short
        ("mnist", damaged("train-images-idx3-ubyte", idx([[[1]]])), "28 x 28"),
        ("mnist", damaged("t10k-labels-idx1-ubyte", idx([1, 2])), "one for each label"),  # of three images
        ("mnist", damaged("t10k-labels-idx1-ubyte", idx([1, 2, 10])), "from 0 to 9"),
        ("mnist", damaged("t10k-images-idx3-ubyte.gz", b"x"), None),  # the plain file comes first
        ("cifar", damaged("data_batch_1", b"\x80\x04."), "is a pickle, which may run any code"),
        ("cifar", damaged("data_batch_1.bin", b"12"), "has no images of CIFAR-10"),
        ("cifar", damaged("data_batch_1.bin", bytes([10]) + bytes(3072)), "has labels above 9"),
        ("cifar", damaged("data_batch_1.bin", bytes(3073)), "test_batch.bin has no images"),
    ],
)  # fmt: skip
def test_what_cannot_be_read(kind: str, write: Any, words: str | None, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    write(folder)
    if words is None:
        read(folder, kind)
        return
    with pytest.raises(ValueError, match=re.escape(words)):
        read(folder, kind)


def test_a_mistake_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        (["--engines", "max"], "torch has to be one of the engines"),
        (["--data", str(tmp_path)], "neither mnist's files nor"),
    ):
        with pytest.raises(SystemExit):
            run(*arguments)
        assert words in capsys.readouterr().err
