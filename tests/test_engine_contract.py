"""What stands for an engine: one that keeps the contract, or a plain callable."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fakes import SharedEngine
from numpy.typing import NDArray

from yolo_max.engine.contract import Engine, as_engine
from yolo_max.support.errors import EngineError

BATCH = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)


def sums(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    total: NDArray[np.float32] = batch.sum(axis=(1, 2), dtype=np.float32)
    return total


def test_an_engine_stays_what_it_is() -> None:
    engine: Engine = SharedEngine()
    assert as_engine(engine, ("head",)) is engine


@pytest.mark.parametrize(
    ("network", "outputs"),
    [
        (sums, ("head",)),  # an array is the only output
        (lambda batch: {"head": sums(batch)}, ("head",)),  # by name
        (lambda batch: {"b": -sums(batch), "head": sums(batch)}, ("head", "b")),  # several, in any order
    ],
)
def test_a_callable_becomes_an_engine_for_one_caller(network: Any, outputs: tuple[str, ...]) -> None:
    engine = as_engine(network, outputs)
    assert engine.callers == 1
    assert engine.info == {}
    for found, image in zip(engine.run(BATCH, 0.5, shared=True), BATCH, strict=True):
        assert found.keys() == set(outputs)
        np.testing.assert_array_equal(found["head"], sums(image[None])[0])


@pytest.mark.parametrize(
    "network",
    [
        sums,  # one array for two outputs
        lambda batch: {"head": sums(batch)},  # one of two
    ],
)
def test_outputs_that_are_missing_are_named(network: Any) -> None:
    with pytest.raises(EngineError, match="the engine does not return masks; return all outputs by name"):
        as_engine(network, ("head", "masks")).run(BATCH)
