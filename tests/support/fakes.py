"""A network too small to wait for: weights without tensors and an engine whose boxes depend on the pixels."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from yolo_max.tasks.contract import Outputs
from yolo_max.tasks.detect.decode import anchor_points
from yolo_max.weights.load import Weights
from yolo_max.weights.meta import ModelMeta

NAMES = {0: "circle", 1: "square", 2: "star"}
STRIDES = (8, 16, 32)


def fake_weights(
    imgsz: int = 64,
    sha256: str = "0" * 64,
    strides: tuple[int, ...] = STRIDES,
    head: tuple[str, Sequence[Any]] = ("Detect", ["nc"]),
) -> Weights:
    """Weights that only `FakeEngine` can run; the head is a block of that family, with its arguments."""
    depths = [stride.bit_length() - 2 for stride in strides]  # each row halves the map
    meta = ModelMeta.checked(
        names=NAMES,
        nc=len(NAMES),
        imgsz=imgsz,
        architecture={
            "nc": len(NAMES),
            "backbone": [[-1, 1, "Conv", [8, 3, 2]]] * (depths[-1] + 1),
            "head": [[depths, 1, *head]],
        },
        source="fake.pt",
        source_sha256=sha256,
    )
    return Weights(
        tensors={},
        meta=meta,
        path=Path("fake.safetensors"),
        is_checkpoint=False,
        sha256=sha256,
        stored_dtype="float32",
    )


class FakeEngine:
    """A plain callable that finds a few sure boxes, placed by a checksum of the pixels.

    OpenCV resizes to other last bits on other processors, and then the boxes are others: a test may count on
    nothing but what all of them have in common. Each lies around a cell in the middle half of the canvas,
    where no image of an aspect ratio up to 2:1 leaves padding, so none is clipped to nothing.

    Attributes:
        batches: The shape of every batch it was given.
        threads: The names of the threads that ran it.
    """

    def __init__(self, nap: float = 0) -> None:
        self.nap = nap
        self.batches: list[tuple[int, ...]] = []
        self.threads: set[str] = set()

    def __call__(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert batch.dtype == np.uint8
        assert batch.ndim == 4
        assert batch.shape[3] == 3
        self.batches.append(batch.shape)
        self.threads.add(threading.current_thread().name)
        time.sleep(self.nap)
        return np.stack([self._head(pixels) for pixels in batch])

    def _head(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        points, stride = anchor_points((pixels.shape[0], pixels.shape[1]), STRIDES)
        canvas = np.array([pixels.shape[1], pixels.shape[0]])
        middle = np.flatnonzero((abs(points * stride / canvas - 0.5) <= 0.25).all(axis=1))
        random = np.random.default_rng(zlib.crc32(np.ascontiguousarray(pixels).tobytes()))
        head = np.zeros((len(points), 64 + len(NAMES)), np.float32)
        head[:, 64:] = -20
        for anchor in random.choice(middle, 3, replace=False):
            head[anchor, :64] = random.normal(size=64)
            head[anchor, 64 + random.integers(len(NAMES))] = random.uniform(0, 4)
        return head


class SharedEngine(FakeEngine):
    """A `FakeEngine` that keeps the whole contract, for several callers at once, as `MaxEngine` does.

    Attributes:
        callers: How many.
        most: How many there were at the same time.
        least: What the calls said that they were interested in.
    """

    info: Mapping[str, str | int] = {"device": "none"}

    def __init__(self, callers: int = 2, nap: float = 0) -> None:
        super().__init__(nap)
        self.callers = callers
        self.running = self.most = 0
        self.least: set[float] = set()
        self.lock = threading.Lock()

    def run(
        self, batch: NDArray[np.uint8], min_logit: float = -np.inf, *, shared: bool = False
    ) -> list[Outputs]:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
            self.least.add(min_logit)
        try:
            assert shared or self.running == 1  # who runs alone takes all threads
            heads = self(batch)
        finally:
            with self.lock:
                self.running -= 1
        found = [np.flatnonzero((head[:, 64:] > min_logit).any(axis=1)) for head in heads]
        return [{"head": head[cells], "cells": cells} for cells, head in zip(found, heads, strict=True)]


KPT_SHAPE = (5, 3)


def fake_poser() -> Weights:
    """Weights for poses that only `poser` can run."""
    return fake_weights(sha256="2" * 64, head=("Pose", ["nc", list(KPT_SHAPE)]))


def keypoints(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Raw keypoints by a checksum of the pixels, about a cell away from each cell."""
    height, width = batch.shape[1:3]
    cells = sum(height // stride * (width // stride) for stride in STRIDES)
    generators = (np.random.default_rng(zlib.crc32(np.ascontiguousarray(each).tobytes())) for each in batch)
    numbers = KPT_SHAPE[0] * KPT_SHAPE[1]
    return np.stack([random.normal(0, 1, (cells, numbers)) for random in generators]).astype(np.float32)


def poser(batch: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """The boxes of a `FakeEngine`, and keypoints."""
    return {"head": FakeEngine()(batch), "keypoints": keypoints(batch)}


def fake_classifier(imgsz: int = 32) -> Weights:
    """Weights for classification that only `brightness` can run."""
    meta = ModelMeta.checked(
        names=NAMES,
        nc=len(NAMES),
        imgsz=imgsz,
        architecture={
            "nc": len(NAMES),
            "backbone": [[-1, 1, "Conv", [8, 3, 2]]],
            "head": [[-1, 1, "Classify", ["nc"]]],
        },
        source="fake-cls.pt",
        source_sha256="1" * 64,
    )
    return Weights(
        tensors={},
        meta=meta,
        path=Path("fake-cls.safetensors"),
        is_checkpoint=False,
        sha256="1" * 64,
        stored_dtype="",
    )


def brightness(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A network with logits that depend on the mean of each channel, float32 [B, 3]."""
    means: NDArray[np.float32] = (batch.mean(axis=(1, 2), dtype=np.float64) / 16).astype(np.float32)
    return means


def write_image(path: Path, seed: int, size: tuple[int, int] = (40, 60)) -> Path:
    """Writes an image of smooth noise; its format is that of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    image = cv2.resize(small, size[::-1], interpolation=cv2.INTER_CUBIC)
    encoded, data = cv2.imencode(path.suffix, image)
    assert encoded
    path.write_bytes(data.tobytes())
    return path


def read_tree(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder, by its path in it."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
