"""In a process forked after an engine was loaded, using it is an error instead of a hang."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_weights

from yolo_max import Detector
from yolo_max.engine.choose import ENGINES, make_engine
from yolo_max.engine.contract import Engine
from yolo_max.support.errors import EngineError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux")
PIXELS = np.zeros((1, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return make_engine(
        request.param, tiny_weights(), imgsz=(32, 32), precision="f32", kernels="auto", device="cpu"
    )


def in_a_fork(action: Callable[[], object]) -> str:
    """The EngineError of an action in a forked process."""
    context = multiprocessing.get_context("fork")
    received, sent = context.Pipe(duplex=False)

    def child() -> None:
        try:
            action()
        except EngineError as error:
            sent.send(str(error))
        else:
            sent.send("no error")

    process = context.Process(target=child, daemon=True)
    process.start()
    try:
        assert received.poll(60), "the child hangs"
        return str(received.recv())
    finally:
        process.kill()
        process.join()


@pytest.mark.parametrize("min_logit", [-np.inf, 0.0])
def test_running_a_loaded_engine(engine: Engine, min_logit: float) -> None:
    engine.run(PIXELS, min_logit)
    assert 'get_context("spawn")' in in_a_fork(lambda: engine.run(PIXELS, min_logit))
    engine.run(PIXELS, min_logit)  # the parent goes on


def test_all_that_a_detector_does(demo_weights: Path, engine: Engine, scenes: list[Path]) -> None:
    detector = Detector(demo_weights, engine=engine, imgsz=320)
    for action in (
        lambda: detector(scenes[0]),
        lambda: list(detector.stream(scenes, batch=2)),
        lambda: list(detector.stream(scenes)),
    ):
        assert 'get_context("spawn")' in in_a_fork(action)


def test_loading_another_engine() -> None:
    def load() -> Engine:
        return make_engine("max", tiny_weights(), imgsz=(32, 32), kernels="fused", device="cpu")

    load()
    assert 'get_context("spawn")' in in_a_fork(load)
