"""Images to classify in the shapes of MNIST and CIFAR-10: drawn digits, or what a folder has."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

CLASSES = 10
SHAPES = {"mnist": (1, 28, 28), "cifar": (3, 32, 32)}
FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX)
CONTRAST = 64
"""By how much the mean of a digit's color differs from that of its ground, of 255."""

Images = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""``[count, channels, height, width]``, and their classes."""


def draw(kind: str, count: int, seed: int) -> Images:
    """Ten digits on noise, shifted, turned and stretched: white on black, or any color on any other."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, count)
    images = np.stack([_digit(rng, int(label), *SHAPES[kind]) for label in labels])
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)), labels


def _digit(rng: np.random.Generator, label: int, channels: int, height: int, width: int) -> NDArray[np.uint8]:
    mask = np.zeros((height, width), np.uint8)
    place, thickness = (width // 4, 3 * height // 4), int(rng.integers(1, 3))
    cv2.putText(mask, str(label), place, int(rng.choice(FONTS)), 0.8, 255, thickness)
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-20, 20), rng.uniform(0.8, 1.2))
    turn[:, 2] += rng.uniform(-3, 3, 2)
    drawn: Any = cv2.warpAffine(mask, turn, (width, height)).astype(np.float32)[..., None] / 255
    color, ground = np.full(channels, 255.0), np.zeros(channels)
    if channels > 1:
        ground = rng.uniform(0, 255, channels)
        while abs((color - ground).mean()) < CONTRAST or (color == 255).all():
            color = rng.uniform(0, 255, channels)
    noise = rng.normal(0, 20, (height, width, channels))
    image: NDArray[np.uint8] = np.clip(drawn * color + (1 - drawn) * ground + noise, 0, 255).astype(np.uint8)
    return image


def read(folder: Path, kind: str) -> tuple[Images, Images]:
    """Images to train on and others, of the files of MNIST or CIFAR-10, or of a folder for each class.

    Args:
        folder: With MNIST's ``*-ubyte`` files or these under gzip; with the binary version of CIFAR-10
            (``data_batch_1.bin``, ...); or with up to ten folders of images, named by class, of which every
            other image is for training.
        kind: The shape, to which the images of folders are resized.

    Raises:
        ValueError: The folder has nothing of the kind, or a file is damaged.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder.")
    if kind == "mnist" and any(folder.glob("train-images*")):
        return _mnist(folder, "train"), _mnist(folder, "t10k")
    if kind == "cifar" and any(folder.glob("data_batch_*")):
        return _cifar(sorted(folder.glob("data_batch_*"))), _cifar([folder / "test_batch.bin"])
    return _folders(folder, kind)


def _mnist(folder: Path, part: str) -> Images:
    images, labels = _idx(folder, f"{part}-images", 3), _idx(folder, f"{part}-labels", 1)
    if images.shape[1:] != SHAPES["mnist"][1:] or len(images) != len(labels) or (labels >= CLASSES).any():
        raise ValueError(f"{folder} has no images of 28 x 28 pixels, one for each label from 0 to 9.")
    return images[:, None], labels.astype(np.int64)


def _idx(folder: Path, start: str, rank: int) -> NDArray[np.uint8]:
    """An array of bytes in MNIST's format: 0, 0, 8, the rank, the sizes as big-endian words, the bytes."""
    file = next(iter(sorted(folder.glob(f"{start}*"))), None)
    if file is None:
        raise ValueError(f"{folder} has no {start}-idx{rank}-ubyte.")
    try:
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    except (OSError, EOFError) as error:
        raise ValueError(f"{file} cannot be read: {error}.") from error
    sizes = np.frombuffer(data[4 : 4 + 4 * rank], ">u4").tolist()
    values = np.frombuffer(data[4 + 4 * rank :], np.uint8)
    if data[:4] != bytes([0, 0, 8, rank]) or len(values) != np.prod(sizes):
        raise ValueError(f"{file} has no bytes in {rank} dimensions, as MNIST's files have.")
    return values.reshape(sizes)


def _cifar(files: Sequence[Path]) -> Images:
    """Rows of a label and the pixels, channel by channel."""
    channels, height, width = SHAPES["cifar"]
    rows = []
    for file in files:
        if file.suffix != ".bin":
            raise ValueError(
                f"{file} is a pickle, which may run any code; use the binary version of CIFAR-10 (*.bin)."
            )
        data = np.frombuffer(file.read_bytes() if file.exists() else b"", np.uint8)
        if not len(data) or len(data) % (1 + channels * height * width):
            raise ValueError(f"{file} has no images of CIFAR-10.")
        rows.append(data.reshape(-1, 1 + channels * height * width))
    joined = np.concatenate(rows)
    if (joined[:, 0] >= CLASSES).any():
        raise ValueError(f"{files[0].parent} has labels above {CLASSES - 1}.")
    return joined[:, 1:].reshape(-1, channels, height, width), joined[:, 0].astype(np.int64)


def _folders(folder: Path, kind: str) -> tuple[Images, Images]:
    channels, height, width = SHAPES[kind]
    classes = sorted(each for each in folder.iterdir() if each.is_dir())
    images, labels = [], []
    for label, place in enumerate(classes):
        for file in sorted(place.iterdir()):
            image = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR_RGB)
            if image is not None:
                resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
                images.append(resized.reshape(height, width, channels).transpose(2, 0, 1))
                labels.append(label)
    if len(images) < 2 or len(classes) > CLASSES:
        raise ValueError(
            f"{folder} has neither {kind}'s files nor one to {CLASSES} folders of images, one for each class."
        )
    stacked, of_each = np.stack(images), np.array(labels, np.int64)
    return (stacked[::2], of_each[::2]), (stacked[1::2], of_each[1::2])
