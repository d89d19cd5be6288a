"""Engines in processes that are none: canned outcomes for what compares and measures them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from fakes import FakeEngine, brightness, keypoints
from numpy.typing import NDArray

from yolo_max.images.read import read_image
from yolo_max.images.transforms import fit_of
from yolo_max.support.errors import ImageError
from yolo_max.support.options import PredictOptions
from yolo_max.tasks.registry import task_of
from yolo_max.verify.compare import comparison as compare
from yolo_max.verify.engine_run import NAMES, Outcome, Workload
from yolo_max.verify.val import validate
from yolo_max.weights.load import Weights

Nudge = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class FakeProcess:
    """What `yolo_max.verify.engine_run.EngineRun` is to its users, on `fakes.FakeEngine`.

    Attributes:
        jobs: Every workload that was ever given to one.
        nudges: By engine, what is done to its first raw output.
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
        first, *others = meta.network.outputs
        known = ("conf", "iou", "max_det", "multi_label", "clip", "round_up")
        options = PredictOptions(**{k: v for k, v in self.workload.options.items() if k in known})
        task = task_of(meta)
        decoder = task.decoder(meta, options)
        size = (meta.imgsz, meta.imgsz)
        fit = fit_of(task.fit, size, clip=options.clip, round_up=options.round_up)
        nudge = self.nudges.get(self.workload.engine, rounding(0))
        for number, path in enumerate(self.workload.paths):
            try:
                image = read_image(path)
            except ImageError as error:
                yield Outcome(path, error.reason)
                continue
            placement = fit((image.shape[0], image.shape[1]))
            canvas = placement.render(image)
            outputs = {first: nudge(NETWORKS[first](canvas[None])[0])}
            outputs |= {name: NETWORKS[name](canvas[None])[0] for name in others}
            steady = 20.0 if self.workload.engine == "max" else 60.0
            times = {"decode": 1.0, "infer": steady if number else 900.0}  # the first call is slow
            file, digest = None, None
            if self.workload.raw and self.workload.engine != "ultralytics":
                file = str(Path(self.workload.raw) / f"{self.workload.engine}-{number}.npz")
                np.savez(file, **outputs)  # type: ignore[arg-type]
                digest = str(zlib.crc32(canvas.data))
            yield Outcome(path, None, decoder(outputs, placement), times, digest, file)


def install(monkeypatch: pytest.MonkeyPatch, weights: Weights, **nudges: Nudge) -> type[FakeProcess]:
    """Puts fake processes in the place of real ones; a nudge for an engine changes its raw outputs."""
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


NETWORKS: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.float32]]] = {
    "head": lambda batch: np.stack([small(head) for head in FakeEngine()(batch)]),
    "angle": lambda batch: FakeEngine()(batch)[..., :1].copy(),
    "keypoints": keypoints,
    "logits": brightness,
}
"""Networks that cost nothing, by their raw output."""
