"""Python callers who pass a value of the wrong type get the library's own error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeEngine, fake_weights

import yolo_max
from yolo_max.predict.detector import Detector
from yolo_max.support.errors import UsageError

IMAGE = np.zeros((40, 60, 3), np.uint8)


def detector(*arguments: Any, engine: Any = None, **options: Any) -> Any:
    return Detector(fake_weights(), *arguments, engine=engine or FakeEngine(), **options)


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "weights": (lambda: yolo_max.load_weights(5), "weights are 5, but they must be a path or a name"),  # type: ignore[arg-type]
    "no weights": (lambda: yolo_max.Predictor(None), "weights are None"),  # type: ignore[arg-type]
    "bytes for weights": (lambda: yolo_max.load_weights(b"a.pt"), "weights are a bytes"),  # type: ignore[arg-type]
    "options": (lambda: detector({"conf": 0.5}), "options are a dict, but they must be PredictOptions"),
    "an engine": (lambda: detector(engine=5), "the engine is 5, but it must be a name, an Engine or"),
    "a text for a number": (lambda: detector(conf="0.5"), "conf is '0.5'"),
    "classes": (lambda: detector(classes=1.5), "classes is 1.5"),
    "an array of no dimensions": (lambda: detector(classes=np.array(1)), "classes is a ndarray"),
    "a size": (lambda: detector(imgsz=object()), "imgsz is a object, but it must be a whole number"),
    "an option of a call": (lambda: detector()(IMAGE, conf=None), "conf is None"),
    "a stream": (lambda: detector().stream(5), "5 is one source"),
    "nothing to stream": (lambda: detector().stream(None), "None is one source"),
    "a batch": (lambda: detector().stream([IMAGE], batch="two"), "batch is 'two'"),
    "pixels": (lambda: yolo_max.draw(IMAGE, [1]), r"\[1\] is not a prediction"),  # type: ignore[arg-type]
    "a width": (lambda: yolo_max.draw(IMAGE, detector()(IMAGE), line_width=1.5), "line_width is 1.5"),
    "a path": (lambda: yolo_max.save(5, IMAGE, detector()(IMAGE)), "the path is 5"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_type_is_an_error_of_usage(what: str) -> None:
    call, message = WRONG[what]
    with pytest.raises(UsageError, match=message):
        call()


def test_right_types_are_none(tmp_path: Path) -> None:
    """What NumPy gives and what lies in a path object is taken as well."""
    found = detector(imgsz=(64, 64), conf=np.float32(0.5), classes=np.array([0, 1]), max_det=np.int64(5))(
        IMAGE
    )
    yolo_max.save(tmp_path / "a.png", IMAGE, found, line_width=1)
    assert (tmp_path / "a.png").is_file()
