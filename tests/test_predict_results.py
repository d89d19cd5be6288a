"""Results as callers use them: selected from, handed on, shown in a notebook; several images in one call."""

from __future__ import annotations

import re
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from fakes import FakeEngine, SharedEngine, fake_weights, write_image

from yolo_max.predict.detector import Detector
from yolo_max.predict.result import Result
from yolo_max.support.errors import ImageError, OutputError, UsageError


@pytest.fixture
def detector() -> Detector:
    return Detector(fake_weights(), engine=FakeEngine(), conf=0.01)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return [write_image(tmp_path / f"{i}.png", i, (40 + 10 * i, 60)) for i in range(5)]


def test_a_result_is_used_like_its_prediction(detector: Detector, paths: list[Path]) -> None:
    (result,) = detector.stream(paths[:1])
    found: Any = result.prediction
    assert len(result) == len(found) > 1
    assert list(result) == list(found)
    assert result[0] == found[0]
    assert result[:1].prediction == found[:1]
    assert result[found.confidence > 0.5].prediction == found[found.confidence > 0.5]
    name = found[-1].class_name
    assert result.filter(name).prediction == found.filter(name)
    assert result.filter(conf=0.5).source == result.source
    assert (result.summary(), result.to_json()) == (found.summary(), found.to_json())
    assert result.prediction is found  # a selection is another result


def test_names_of_ultralytics_results_are_answered_by_those_here(
    detector: Detector, paths: list[Path]
) -> None:
    import ultralytics.engine.results as theirs

    (result,) = detector.stream(paths[:1], keep_images=True)
    missing = {name for name in vars(theirs.Results(np.zeros((4, 4, 3)), "a.jpg", {})) if name[0] != "_"}
    for name in missing - vars(result).keys():
        with pytest.raises(AttributeError) as raised:
            getattr(result, name)
        for said in re.findall(r"result((?:\.\w+)+)", str(raised.value)):  # what it names is there
            found: Any = result
            for part in said.split(".")[1:]:
                found = getattr(found, part)
    with pytest.raises(AttributeError, match=r"a result has no 'boxes'; result.prediction has xyxy"):
        result.boxes  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError, match=r"a result has no 'anything'\.$"):
        result.anything  # type: ignore[attr-defined]  # noqa: B018
    assert not hasattr(result, "_ipython_display_")
    assert result[:1].source == result.source  # copies need no such attribute


@pytest.mark.parametrize(
    ("name", "image_id"),
    [
        ("000000000139", 139),
        ("street", "street"),
        ("1.5", "1.5"),
    ],  # as COCO names its images; words; no integer
)
def test_coco_knows_the_image_by_its_name(
    tmp_path: Path, detector: Detector, name: str, image_id: int | str
) -> None:
    (result,) = detector.stream([write_image(tmp_path / f"{name}.png", 0)])
    assert {row["image_id"] for row in result.to_coco()} == {image_id}
    assert {row["image_id"] for row in result.to_coco(7)} == {7}


def test_an_image_that_cannot_be_read_says_so_whatever_is_asked(tmp_path: Path, detector: Detector) -> None:
    (result,) = detector.stream([tmp_path / "missing.png"])
    for ask in (
        len,
        list,
        lambda r: r[0],
        lambda r: r.summary(),
        lambda r: r.filter(conf=0.5),
        lambda r: r.found,
    ):
        with pytest.raises(ImageError, match="cannot be opened"):
            ask(result)
    assert result._repr_html_() is None  # so that a notebook shows the line


@pytest.mark.parametrize("kept", [True, False])
def test_a_notebook_shows_the_picture_and_the_table(
    detector: Detector, paths: list[Path], kept: bool
) -> None:
    (result,) = detector.stream(paths[:1], keep_images=kept)
    page = result._repr_html_()
    assert page is not None
    (data,) = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    shown = cv2.imdecode(np.frombuffer(b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert shown.shape == result.plot().shape
    assert page.endswith(result.found._repr_html_())


def test_a_notebook_keeps_no_huge_picture(detector: Detector) -> None:
    (result,) = detector.stream([np.zeros((20, 4000, 3), np.uint8)])
    (data,) = re.findall(r'base64,([^"]+)"', result._repr_html_() or "")
    shown = cv2.imdecode(np.frombuffer(b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert shown.shape == (6, 1280, 3)


def test_a_picture_that_is_gone_leaves_the_table(detector: Detector, paths: list[Path]) -> None:
    (result,) = detector.stream(paths[:1])
    paths[0].unlink()
    assert result._repr_html_() == result.found._repr_html_()


@pytest.mark.parametrize("several", [list, tuple])
def test_a_list_in_is_a_list_out(detector: Detector, paths: list[Path], several: Any) -> None:
    found = detector(several(paths))
    assert isinstance(found, list)
    assert found == [detector(path) for path in paths]
    assert detector(several(paths), conf=0.5) == [detector(path, conf=0.5) for path in paths]
    assert detector(several()) == []


def test_an_array_of_images_is_several(detector: Detector) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 40, 60, 3), np.uint8)
    assert detector(images) == [detector(image) for image in images]


def test_a_list_with_an_image_that_cannot_be_read(detector: Detector, paths: list[Path]) -> None:
    with pytest.raises(ImageError, match="nope"):
        detector([paths[0], Path("nope.png")])


def test_threads_may_share_a_predictor(paths: list[Path]) -> None:
    """SharedEngine fails where it is called as if alone and is not."""
    detector = Detector(fake_weights(), engine=SharedEngine(nap=0.01))
    expected = [detector(path) for path in paths]
    with ThreadPoolExecutor(5) as threads:
        assert list(threads.map(detector, paths * 3)) == expected * 3


def test_an_engine_for_one_caller_has_one(paths: list[Path]) -> None:
    """Two streams and single calls at once."""
    engine = Lonely()
    detector = Detector(fake_weights(), engine=engine)
    expected = [detector(path) for path in paths]

    def streamed(_: int) -> list[Any]:
        return [result.prediction for result in detector.stream(paths)]

    with ThreadPoolExecutor(4) as threads:
        streams, calls = threads.map(streamed, range(2)), threads.map(detector, paths)
        assert list(streams) == [expected] * 2
        assert list(calls) == expected
    assert engine.most == 1


class Lonely(FakeEngine):
    def __init__(self) -> None:
        super().__init__()
        self.running = self.most = 0

    def __call__(self, batch: Any) -> Any:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            return super().__call__(batch)
        finally:
            self.running -= 1


def test_a_predictor_is_closed_at_the_end(detector: Detector, paths: list[Path]) -> None:
    with detector as same:
        assert same is detector
        assert len(detector(paths[0]))
    for ask in (lambda: detector(paths[0]), lambda: list(detector.stream(paths)), lambda: detector(paths)):
        with pytest.raises(UsageError, match="the predictor is closed; make another"):
            ask()
    assert detector.names  # what it was is still known
    detector.close()


def test_a_result_of_nothing_has_no_prediction() -> None:
    with pytest.raises(UsageError, match="no prediction yet"):
        len(Result("a.png"))


def test_a_name_that_no_file_can_have_is_an_output_error(tmp_path: Path, detector: Detector) -> None:
    (result,) = detector.stream([np.zeros((64, 96, 3), np.uint8)])
    with pytest.raises(OutputError, match="cannot be written"):
        result.save_crop(tmp_path, "x" * 300)


def test_crops_are_called_as_ultralytics_calls_them(tmp_path: Path, detector: Detector) -> None:
    from ultralytics.engine.results import Results

    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    (result,) = detector.stream([image])
    found = result.found
    rows = np.column_stack([found.xyxy, found.confidence, found.class_id]).astype(np.float32)
    theirs = Results(image, path="a.jpg", names=dict(found.names), boxes=torch.from_numpy(rows))
    for _ in range(2):  # what is there stays
        written = result.save_crop(tmp_path / "ours", "a.jpg")
        theirs.save_crop(tmp_path / "theirs", "a.jpg")
        assert len(written) == len(found)
    ours = {path.relative_to(tmp_path / "ours") for path in (tmp_path / "ours").rglob("*.jpg")}
    assert ours == {path.relative_to(tmp_path / "theirs") for path in (tmp_path / "theirs").rglob("*.jpg")}
