"""What predictions of every task become, against Ultralytics' results and the libraries that read them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from ultralytics.engine.results import Results

import yolo_max
from yolo_max.predict.result import Result
from yolo_max.support.errors import EngineError, UsageError
from yolo_max.tasks import rle
from yolo_max.tasks.classify.classification import Classification
from yolo_max.tasks.contract import Prediction
from yolo_max.tasks.detect.detections import Detections
from yolo_max.tasks.exports import ROWS_SHOWN
from yolo_max.tasks.obb.rotated_detections import RotatedDetections
from yolo_max.tasks.pose.poses import Poses
from yolo_max.tasks.segment.segmentation import Segmentation

NAMES = {0: "person", 1: "<b>tiger</b>", 2: "vélo"}
SIZE = (100, 200)
RNG = np.random.default_rng(0)
BOXES = np.array([[10.123456, 20, 110, 60], [0, 0, 200, 100], [33.25, 7.5, 34.75, 9]], np.float32)
CONFIDENCE = np.array([0.8754321, 0.5, 0.1], np.float32)
CLASSES = np.array([0, 1, 0], np.int32)
KEYPOINTS = (RNG.random((3, 5, 3)) * [200, 100, 1]).astype(np.float32)
XYWHR = np.array([[50, 40, 30, 20, 0.3], [100, 50, 90, 10, -1.2], [20, 20, 5, 6, 0]], np.float32)
MASKS = np.zeros((3, *SIZE), bool)
MASKS[0, 20:60, 11:110] = MASKS[1, 5:90, 3:190] = MASKS[2, 7:9, 33:35] = True


def counts_of(masks: Any) -> Any:
    found = np.empty(len(masks), object)
    found[:] = [rle.encode(rle.boundaries_of([each], 0, 0, each.shape), each.shape) for each in masks]
    return found


PARTS = CONFIDENCE, CLASSES, NAMES, SIZE
DETECTED = Detections(BOXES, *PARTS)
TRACKED = Detections(BOXES, *PARTS, track_id=np.array([7, 3, 9], np.int32))
MASKED = Segmentation(BOXES, *PARTS, rle=counts_of(MASKS), mask_size=SIZE, coarse_rle=np.full(3, "", object))
POSED = Poses(BOXES, *PARTS, keypoints=KEYPOINTS)
POINTED = Poses(BOXES, *PARTS, keypoints=KEYPOINTS[..., :2])
TURNED = RotatedDetections(confidence=CONFIDENCE, class_id=CLASSES, names=NAMES, image_size=SIZE, xywhr=XYWHR)
SCORED = Classification(np.array([0.2, 0.7, 0.1], np.float32), NAMES, SIZE)
EVERY: dict[str, Prediction] = {
    "detect": DETECTED,
    "tracked": TRACKED,
    "segment": MASKED,
    "pose": POSED,
    "points without visibility": POINTED,
    "obb": TURNED,
    "classify": SCORED,
    "nothing": Detections.empty(NAMES, SIZE),
}
OBJECTS = [name for name in EVERY if name != "classify"]


def theirs(what: str) -> Results:
    """The same in Ultralytics' own class."""
    columns = [BOXES, CONFIDENCE[:, None], CLASSES[:, None]]
    boxes = torch.from_numpy(np.hstack(columns).astype(np.float32))
    turned = np.hstack([XYWHR, CONFIDENCE[:, None], CLASSES[:, None]]).astype(np.float32)
    ids = np.array([7, 3, 9])[:, None]
    tracked = torch.from_numpy(np.hstack([BOXES, ids, *columns[1:]]).astype(np.float32))
    more: dict[str, Any] = {
        "detect": {"boxes": boxes},
        "tracked": {"boxes": tracked},
        "segment": {"boxes": boxes, "masks": torch.from_numpy(MASKS.astype(np.uint8))},
        "pose": {"boxes": boxes, "keypoints": torch.from_numpy(KEYPOINTS.copy())},
        "points without visibility": {
            "boxes": boxes,
            "keypoints": torch.from_numpy(KEYPOINTS[..., :2].copy()),
        },
        "obb": {"obb": torch.from_numpy(turned)},
        "classify": {"probs": torch.tensor([0.2, 0.7, 0.1])},
        "nothing": {"boxes": torch.zeros(0, 6)},
    }
    return Results(np.zeros((*SIZE, 3), np.uint8), path="a.jpg", names=NAMES, **more[what])


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("what", EVERY)
def test_a_summary_is_what_ultralytics_gives(what: str, normalize: bool) -> None:
    expected = theirs(what).summary(normalize, decimals=3)
    assert EVERY[what].summary(normalize, decimals=3) == expected


@pytest.mark.parametrize("what", EVERY)
def test_json_and_tables_are_those_of_ultralytics(what: str) -> None:
    polars = pytest.importorskip("polars")
    found: Any = EVERY[what]
    assert json.loads(found.to_json(decimals=3)) == json.loads(theirs(what).to_json(decimals=3))
    assert found.to_json().isascii()
    if len(found):  # of nothing theirs has no columns
        assert found.to_df(decimals=3).equals(theirs(what).to_df(decimals=3))
    assert isinstance(found.to_df(), polars.DataFrame)


EMPTY: dict[str, Prediction] = {
    "detect": Detections.empty(NAMES, SIZE),
    "tracked": replace(Detections.empty(NAMES, SIZE), track_id=np.empty(0, np.int32)),
    "segment": Segmentation.empty(NAMES, SIZE),
    "pose": Poses.empty(NAMES, SIZE),
    "points without visibility": Poses.empty(NAMES, SIZE, (5, 2)),
    "obb": RotatedDetections.empty(NAMES, SIZE),
}


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("what", EMPTY)
def test_a_table_of_nothing_has_the_columns_of_something(what: str, normalize: bool) -> None:
    """So that tables of several images can be put together, whatever is found in them."""
    polars = pytest.importorskip("polars")
    pandas = pytest.importorskip("pandas")
    found: Any = EVERY[what]
    nothing: Any
    for nothing in (EMPTY[what], Result("a.jpg", EMPTY[what])):
        some, none = found.to_df(normalize), nothing.to_df(normalize)
        assert none.schema == some.schema
        assert none.height == 0
        assert polars.concat([none, some]).equals(some)
        some, none = (each.to_df(normalize, library="pandas") for each in (found, nothing))
        assert none.dtypes.equals(some.dtypes)
        pandas.testing.assert_frame_equal(pandas.concat([none, some]), some)


@pytest.mark.parametrize("index", [True, np.True_, None, [[0, 1]], np.zeros((1, 3), int)])
@pytest.mark.parametrize("what", [each for each in EVERY if each != "nothing"])
def test_an_index_of_another_kind_is_refused(what: str, index: Any) -> None:
    found: Any = EVERY[what]
    for each in (found, Result("a.jpg", found)):
        with pytest.raises(UsageError, match="use an int, a slice, a mask or indices"):
            each[index]


@pytest.mark.parametrize("index", [3, -4, [3], [True], np.array([True] * 4)])
@pytest.mark.parametrize("what", EVERY)
def test_an_index_out_of_range_is_an_index_error(what: str, index: Any) -> None:
    found: Any = EVERY[what]
    with pytest.raises(IndexError):
        found[index]


def test_ranks_of_a_classification_may_have_any_order() -> None:
    """A part of the classes is no prediction, but a tuple."""
    every = list(SCORED)
    assert SCORED[::-1] == tuple(every[::-1])
    assert SCORED[np.array([2, 0])] == (every[2], every[0])
    assert Result("a.jpg", SCORED)[SCORED.confidence > 0.15] == tuple(every[:2])


def test_a_table_of_pandas() -> None:
    pytest.importorskip("pandas")
    assert DETECTED.to_df(library="pandas")["name"].tolist() == [NAMES[i] for i in CLASSES]


def test_a_library_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"library is 'numpy', but it must be polars or pandas\."):
        DETECTED.to_df(library="numpy")
    with pytest.raises(UsageError, match="normalize is 'pandas', but it must be True or False"):
        DETECTED.to_df("pandas")  # type: ignore[arg-type]
    monkeypatch.setitem(__import__("sys").modules, "polars", None)
    with pytest.raises(EngineError, match=r"to_df needs the package polars; pip install 'yolo-max\[df\]'"):
        DETECTED.to_df()


def test_coco_has_pixels_and_the_datasets_categories() -> None:
    first = DETECTED.to_coco("a", {0: 1, 1: 90})[0]
    assert first == {
        "image_id": "a",
        "category_id": 1,
        "bbox": [10.123, 20, 99.877, 40],
        "score": 0.8754321,
    }
    assert [row["category_id"] for row in DETECTED.to_coco(5)] == [0, 1, 0]
    with pytest.raises(UsageError, match="COCO has no form"):
        SCORED.to_coco()


@pytest.mark.parametrize("what", OBJECTS)
def test_coco_is_plain_json(what: str) -> None:
    rows = EVERY[what].to_coco(1)
    assert json.loads(json.dumps(rows)) == rows
    assert len(rows) == len(EVERY[what])


@pytest.mark.parametrize("canvas", [SIZE, (64, 64)])
def test_coco_has_masks_of_the_images_size(canvas: tuple[int, int]) -> None:
    inside = np.zeros((3, *canvas), bool)
    inside[:, 20:40, 5:50] = True
    found = Segmentation(
        BOXES, *PARTS, rle=counts_of(inside), mask_size=canvas, coarse_rle=np.full(3, "", object)
    )
    for row, mask in zip(found.to_coco(), found.masks, strict=True):
        np.testing.assert_array_equal(coco_mask.decode(row["segmentation"]), mask)


def test_coco_has_three_numbers_of_each_keypoint() -> None:
    assert POSED.to_coco()[0]["keypoints"] == pytest.approx(KEYPOINTS[0].ravel().tolist())
    assert POINTED.to_coco()[0]["keypoints"][2::3] == [1] * 5
    assert len(TURNED.to_coco()[0]["poly"]) == 8


@pytest.mark.parametrize("what", EVERY)
def test_supervision_reads_ultralytics_the_same(what: str) -> None:
    supervision = pytest.importorskip("supervision")
    ours = EVERY[what].to_supervision()
    kind = {"pose": "KeyPoints", "points without visibility": "KeyPoints", "classify": "Classifications"}
    their_class = getattr(supervision, kind.get(what, "Detections"))
    assert isinstance(ours, their_class)
    if what == "classify":
        expected = their_class.from_ultralytics(theirs(what))
        order = np.argsort(ours.class_id)
        np.testing.assert_array_equal(ours.confidence[order], expected.confidence)
        return
    expected = their_class.from_ultralytics(theirs(what))
    names = ("xyxy", "mask", "confidence", "class_id", "tracker_id", "xy", "keypoint_confidence")
    for name in names:
        mine: Any = getattr(ours, name, None)
        other = getattr(expected, name, None)
        if other is not None and len(other):
            np.testing.assert_allclose(mine, other, rtol=1e-5, err_msg=name)
        else:
            assert mine is None or not len(mine)
    np.testing.assert_array_equal(ours.data["class_name"], expected.data["class_name"])


@pytest.mark.parametrize("what", EVERY)
def test_results_of_ultralytics_become_predictions(what: str) -> None:
    found = yolo_max.from_ultralytics(theirs(what))
    assert type(found) is type(EVERY[what])
    assert found.summary(decimals=3) == EVERY[what].summary(decimals=3)


def test_what_is_no_result_of_ultralytics() -> None:
    with pytest.raises(UsageError, match="is not a result of Ultralytics'"):
        yolo_max.from_ultralytics(5)


@pytest.mark.parametrize(
    ("classes", "conf", "kept"),
    [
        (None, 0.0, [0, 1, 2]),
        ("person", 0.0, [0, 2]),  # a name
        ([1, "PERSON"], 0.2, [0, 1]),  # ids and names, in any case
        (None, 0.5, [0, 1]),  # the limit is in
        (None, 0.1, [0, 1, 2]),  # as float32, which is what it was measured in
        ("vélo", 0.0, []),
    ],
)
@pytest.mark.parametrize("what", [name for name in OBJECTS if name != "nothing"])
def test_filter(what: str, classes: Any, conf: float, kept: list[int]) -> None:
    found: Any = EVERY[what]
    assert found.filter(classes, conf) == found[np.array(kept, int)]


def test_a_filter_that_makes_no_sense() -> None:
    with pytest.raises(UsageError, match="no class 'lion'"):
        DETECTED.filter("lion")
    with pytest.raises(UsageError, match="conf is 2, but"):
        DETECTED.filter(conf=2)


def test_classes_by_rank() -> None:
    assert SCORED[0] == SCORED.top1
    assert [each.class_id for each in SCORED[:2]] == [1, 0]
    assert SCORED[-1].class_id == 2


@pytest.mark.parametrize("what", EVERY)
def test_a_notebook_shows_a_table(what: str) -> None:
    found: Any = EVERY[what]
    page = found._repr_html_()
    assert page.count("<tr>") == (len(found.summary()) + 1 if len(found) else 0)
    assert "<b>" not in page  # names are escaped


def test_a_notebook_shows_no_more_than_anyone_reads() -> None:
    count = ROWS_SHOWN + 30
    many = Detections(
        np.tile(BOXES[:1], (count, 1)),
        np.full(count, 0.5, np.float32),
        np.zeros(count, np.int32),
        NAMES,
        SIZE,
    )
    page = many._repr_html_() or ""
    assert page.count("<tr>") == ROWS_SHOWN + 2
    assert "30 more" in page
