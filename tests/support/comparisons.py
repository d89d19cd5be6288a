"""Engines in processes that are none: canned outcomes for what compares and measures them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from fakes import FakeEngine
from numpy.typing import NDArray

from yolo_max.images.letterbox import letterbox
from yolo_max.images.read import read_image
from yolo_max.support.errors import ImageError
from yolo_max.tasks.detect.postprocess import Postprocess
from yolo_max.verify.compare import comparison as compare
from yolo_max.verify.engine_run import NAMES, Outcome, Workload
from yolo_max.verify.val import validate
from yolo_max.weights.load import Weights

Nudge = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class FakeProcess:
    """What `yolo_max.verify.engine_run.EngineRun` is to its users, on `fakes.FakeEngine`.

    Attributes:
        jobs: Every workload that was ever given to one.
        nudges: By engine, what is done to its raw heads.
    """

    weights: Weights
    jobs: list[Workload]
    nudges: dict[str, Nudge]

    def __init__(self, workload: Workload, report: Callable[[str], None] | None = None) -> None:
        type(self).jobs.append(workload)
        self.workload, self.name = workload, NAMES[workload.engine]
        self.info = {"threads": 1}
        if report:
            report(f"Compiling {self.name}.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __iter__(self) -> Iterator[Outcome]:
        meta = self.weights.meta
        known = ("conf", "iou", "max_det", "multi_label")
        postprocess = Postprocess(
            meta.names, **{k: v for k, v in self.workload.options.items() if k in known}
        )
        nudge = self.nudges.get(self.workload.engine, rounding(0))
        for number, path in enumerate(self.workload.paths):
            try:
                canvas, geometry = letterbox(read_image(path), (meta.imgsz, meta.imgsz))
            except ImageError as error:
                yield Outcome(path, error.reason)
                continue
            head = nudge(small(FakeEngine()(canvas[None])[0]))
            times = {"decode": 1.0, "infer": 20.0 if self.workload.engine == "max" else 60.0}
            file, digest = None, None
            if self.workload.heads and self.workload.engine != "ultralytics":
                file = str(Path(self.workload.heads) / f"{self.workload.engine}-{number}.npy")
                np.save(file, head)
                digest = str(zlib.crc32(canvas.data))
            yield Outcome(path, None, postprocess({"head": head}, geometry), times, digest, file)


def install(monkeypatch: pytest.MonkeyPatch, weights: Weights, **nudges: Nudge) -> type[FakeProcess]:
    """Puts fake processes in the place of real ones; a nudge for an engine changes its raw heads."""
    fresh: Any = type("Installed", (FakeProcess,), {"weights": weights, "jobs": [], "nudges": nudges})
    for module in (compare, validate):
        monkeypatch.setattr(module, "EngineRun", fresh)
    installed: type[FakeProcess] = fresh
    return installed


def rounding(scale: float = 1e-5, seed: int = 0) -> Nudge:
    """Noise as small as rounding."""
    rng = np.random.default_rng(seed)
    return lambda head: head + rng.uniform(-scale, scale, head.shape).astype(np.float32)


def small(head: NDArray[np.float32]) -> NDArray[np.float32]:
    """A head whose boxes reach about half a cell to each side, so that they lie apart."""
    head = head.copy()
    head[:, :64] -= np.tile(np.arange(16, dtype=np.float32), 4)
    return head


def without_best(head: NDArray[np.float32]) -> NDArray[np.float32]:
    """A head that has lost its most confident box."""
    head = head.copy()
    head[head[:, 64:].max(axis=1).argmax(), 64:] = -20
    return head
