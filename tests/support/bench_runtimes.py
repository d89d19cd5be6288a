"""Engines for the tests of the benchmark: each does one thing that a real one might."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.bench.engines import NotMeasuredError, Setup

ANCHORS, CHANNELS = 84, 64 + 3  # of a 64 x 64 image and three classes


class Fake:
    """Sleeps for some milliseconds, and gives the pixels' mean plus ``offset`` as its head."""

    def __init__(self, setup: Setup, milliseconds: float = 1, offset: float = 0, **habits: Any) -> None:
        self.setup = setup
        self.milliseconds = milliseconds
        self.offset = offset
        self.habits = habits
        self.calls = 0

    def imports(self) -> None:
        print("hello from the engine", flush=True)
        print("and a word on stderr", file=sys.stderr, flush=True)
        if "import_error" in self.habits:
            raise ImportError(self.habits["import_error"])

    def load(self) -> None:
        if self.habits.get("starts_a_child"):
            self.child = subprocess.Popen(["sleep", "60"])

    def prepare(self, batch: int, height: int, width: int) -> None:
        if batch > self.habits.get("largest_batch", 10**9):
            raise NotMeasuredError("it takes small batches only")

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.calls += 1
        if self.calls > self.habits.get("dies_after", 10**9):
            os._exit(3)
        if self.calls > self.habits.get("hangs_after", 10**9):
            time.sleep(600)
        if self.calls > self.habits.get("raises_after", 10**9):
            raise ValueError("no more")
        time.sleep(self.milliseconds / 1000)
        means = batch.mean((1, 2, 3), dtype=np.float64).astype(np.float32)
        head = np.full((len(batch), ANCHORS, CHANNELS), self.offset, np.float32)
        head += means[:, None, None] / 255
        return head

    def outputs(self, output: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        return {"head": output}
