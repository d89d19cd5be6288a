"""Logits to classifications, and classifications as text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ultralytics.engine.results import Results

from yolo_max.images.centre_crop import CentreCrop
from yolo_max.support.errors import EngineError
from yolo_max.tasks.classify.classification import Classification, ClassScore
from yolo_max.tasks.classify.comparison import judge_probabilities
from yolo_max.tasks.classify.decoder import ClassifyDecoder, softmax
from yolo_max.tasks.rubric import SCORE_BOUND

NAMES = dict(enumerate(["tabby", "lynx", "tiger", "a dog", "hen", "cock", "robin"]))
SIZE = (480, 640)
CROP = CentreCrop.fit(SIZE, (224, 224))


def some(**changes: Any) -> Classification:
    fields: dict[str, Any] = {
        "probabilities": np.array([0.5, 0.1, 0.2, 0.05, 0.1, 0.03, 0.02], np.float32),
        "names": NAMES,
        "image_size": SIZE,
    }
    return Classification(**fields | changes)


@given(st.lists(st.floats(-200, 200, width=32), min_size=1, max_size=50))
def test_softmax_is_computed_in_float64(logits: list[float]) -> None:
    exact = torch.tensor(logits, dtype=torch.float64).softmax(0).numpy()
    np.testing.assert_allclose(softmax(np.array(logits, np.float32)), exact, rtol=1e-6, atol=1e-40)


def test_a_decoder_gives_probabilities_in_the_order_of_the_classes() -> None:
    logits = np.array([1, 5, 3, -2, 0, 4, 2], np.float32)
    found = ClassifyDecoder(NAMES)({"logits": logits}, CROP)
    assert found.image_size == SIZE
    assert found.class_id.tolist() == [1, 5, 2, 6, 0, 4, 3]
    np.testing.assert_array_equal(found.probabilities, softmax(logits))
    np.testing.assert_array_equal(found.confidence, np.sort(softmax(logits))[::-1])


@pytest.mark.parametrize(
    ("logits", "error"),
    [
        (np.zeros(6, np.float32), ValueError),  # a class too few
        (np.zeros((1, 7), np.float32), ValueError),  # a batch
        (np.zeros(7), ValueError),  # float64
        (np.array([0, 0, np.nan, 0, 0, 0, 0], np.float32), EngineError),
        (np.array([0, 0, np.inf, 0, 0, 0, 0], np.float32), EngineError),
    ],
)
def test_logits_that_do_not_fit_or_are_not_finite_are_refused(logits: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="logits"):
        ClassifyDecoder(NAMES)({"logits": logits}, CROP)


def test_top1_and_top5() -> None:
    found = some()
    assert found.top1 == ClassScore(0, "tabby", 0.5)
    assert [each.class_id for each in found.top5] == [0, 2, 1, 4, 3]  # ties by id
    assert list(found)[:5] == list(found.top5)
    assert len(list(found)) == len(found) == 7
    assert found.counts() == {"tabby": 1}
    two = some(probabilities=np.array([0.25, 0.75], np.float32), names={0: "a", 1: "b"})
    assert [each.class_name for each in two.top5] == ["b", "a"]


def test_it_prints_as_a_line() -> None:
    text = "tabby 0.50, tiger 0.20, lynx 0.10, hen 0.10, a dog 0.05 (480x640)"
    assert str(some()) == text
    assert repr(some()) == f"<Classification: {text}>"


def test_labels_are_those_that_ultralytics_writes(tmp_path: Path) -> None:
    probabilities = np.array([0.5, 0.1, 0.2, 0.05, 0.11, 0.02, 0.02], np.float32)
    results = Results(
        np.zeros((*SIZE, 3), np.uint8), path="a.jpg", names=NAMES, probs=torch.from_numpy(probabilities)
    )
    results.save_txt(tmp_path / "a.txt")
    found = some(probabilities=probabilities)
    for confidence in (False, True):
        assert found.labels(confidence=confidence) == (tmp_path / "a.txt").read_text()
    assert results.verbose() == f"{', '.join(f'{e.class_name} {e.confidence:.2f}' for e in found.top5)}, "


@given(st.lists(st.floats(0, 1, width=32), min_size=7, max_size=7))
def test_json_gives_every_bit_back(probabilities: list[float]) -> None:
    found = some(probabilities=np.array(probabilities, np.float32))
    text = json.dumps(found.to_dict(), allow_nan=False)
    assert Classification.from_dict(json.loads(text), NAMES) == found


def test_names_come_from_the_top_five_when_not_given() -> None:
    names = Classification.from_dict(some().to_dict()).names
    assert names == {**NAMES, 5: "class 5", 6: "class 6"}


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"image_size": [1, 1], "top5": []},  # no probabilities
        {"image_size": 3, "top5": [], "probabilities": [1.0]},
        {"image_size": [1, 1], "top5": [], "probabilities": None},
        {"image_size": [1, 1], "boxes": []},  # of another task
        {"image_size": [0, 0], "top5": [], "probabilities": [1.0]},
        {"image_size": [1, 1], "top5": [], "probabilities": [10**400]},
    ],
)
def test_a_record_of_something_else_is_refused(record: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^The record (does not describe a classification|has a size of)"):
        Classification.from_dict(record)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"probabilities": np.zeros(7)}, "float32"),  # float64
        ({"probabilities": np.zeros(6, np.float32)}, r"\(7,\)"),  # a class too few
        ({"probabilities": np.full(7, np.nan, np.float32)}, r"\[0, 1\]"),
        ({"probabilities": np.full(7, 1.5, np.float32)}, r"\[0, 1\]"),
        ({"names": {i + 1: name for i, name in NAMES.items()}}, "from 0 on"),
    ],
)
def test_what_is_not_a_classification_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        some(**changes)


def test_the_array_cannot_be_changed() -> None:
    probabilities = np.full(7, 0.1, np.float32)
    found = some(probabilities=probabilities)
    probabilities[:] = 1
    assert found.probabilities.max() < 1
    with pytest.raises(ValueError, match="read-only"):
        found.probabilities[0] = 0


@pytest.mark.parametrize(
    ("difference", "holds"),
    [
        (0.0, True),
        (0.9 * SCORE_BOUND, True),
        (1.1 * SCORE_BOUND, False),
        (float("nan"), False),
    ],
)
def test_the_rubric_on_probabilities(difference: float, holds: bool) -> None:
    verdict = judge_probabilities(difference)
    assert verdict.holds is holds
    if not holds:
        assert str(verdict).startswith("parity does not hold: a class probability differs by")
