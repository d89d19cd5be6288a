"""A column of images becomes a column of predictions; on a real cluster in test_ray_cluster.py."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fakes import FakeEngine, fake_weights, write_image
from ray_fake import FakeRay

from yolo_max.predict.predictor import Predictor
from yolo_max.ray.dataset import PredictColumn
from yolo_max.ray.setup import Setup
from yolo_max.support.errors import UsageError


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(sys.modules, "ray", FakeRay())
    setup: Any = Setup.of(Predictor(fake_weights(), engine=FakeEngine()), 1, FakeEngine())
    return lambda column="image", rgb=True: PredictColumn(setup, column, rgb)


FORMS: dict[str, Callable[[Path], Any]] = {
    # how a column has an image, given its path
    "path": str,
    "NumPy's text": lambda path: np.str_(path),
    "bytes": Path.read_bytes,
    "RGB, as Ray reads images": lambda path: np.asarray(cv2.imread(str(path)))[..., ::-1],
    "RGBA": lambda path: cv2.cvtColor(np.asarray(cv2.imread(str(path))), cv2.COLOR_BGR2RGBA),
}


@pytest.mark.parametrize("form", FORMS)
def test_an_image_in_any_form(make: Any, tmp_path: Path, form: str) -> None:
    paths = [write_image(tmp_path / f"{i}.png", i, (100, 150)) for i in range(3)]
    column = np.empty(3, object)
    column[:] = [FORMS[form](path) for path in paths]
    found = make()({"image": column, "id": np.arange(3)})
    predictor = Predictor(fake_weights(), engine=FakeEngine())
    assert [json.loads(each) for each in found["prediction"]] == [predictor(each).to_dict() for each in paths]
    assert list(found["error"]) == ["", "", ""]
    assert list(found["id"]) == [0, 1, 2]


def test_bgr_stays_as_it_is(make: Any, tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png", 1, (100, 150))
    (found,) = make(rgb=False)({"image": np.asarray(cv2.imread(str(path)))[None]})["prediction"]
    assert json.loads(found) == Predictor(fake_weights(), engine=FakeEngine())(path).to_dict()


def test_a_bad_image_is_a_row(make: Any) -> None:
    found = make()({"image": np.array([b"no image at all", None], object)})
    assert list(found["prediction"]) == ["", ""]
    assert all(found["error"])


def test_a_column_that_is_not_there(make: Any) -> None:
    with pytest.raises(UsageError, match="no column 'image'; it has bytes, path"):
        make()({"bytes": np.zeros(1), "path": np.zeros(1)})
