"""The results of a stream: as a line, and as a picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes import FakeEngine, fake_weights, write_image

from yolo_max.images.memory import MemoryBudget
from yolo_max.images.sources import find_images
from yolo_max.predict.detector import Detector
from yolo_max.predict.folder.run import FolderRun
from yolo_max.predict.result import Result
from yolo_max.support.errors import ImageError, UsageError
from yolo_max.support.options import SaveOptions


@pytest.fixture
def detector() -> Detector:
    return Detector(fake_weights(), engine=FakeEngine())


def test_a_result_prints_as_a_line_that_names_its_image_once(tmp_path: Path, detector: Detector) -> None:
    image, missing = write_image(tmp_path / "a.png", 1), tmp_path / "nope.jpg"
    good, bad, pixels = detector.stream([str(image), missing, image.read_bytes()])
    assert str(good) == f"{image}: {good.prediction}"
    assert str(bad) == f"{missing}: it cannot be opened (No such file or directory)"
    assert str(pixels) == f"<bytes>: {good.prediction}"
    assert repr(bad) == f"<Result: {bad}>"


@pytest.mark.parametrize("keep_images", [False, True])
def test_a_saved_result_is_the_picture_that_detect_writes(
    tmp_path: Path, detector: Detector, keep_images: bool
) -> None:
    image = write_image(tmp_path / "in" / "a.jpg", 1)
    with FolderRun(detector, find_images([image]), tmp_path / "out", SaveOptions()) as run:
        list(run.images())
    (result,) = detector.stream([image], keep_images=keep_images)
    result.save(tmp_path / "saved" / "b.jpg")
    assert (tmp_path / "saved" / "b.jpg").read_bytes() == (tmp_path / "out" / "a.jpg").read_bytes()
    assert not np.array_equal(
        cv2.imread(str(image)),  # type: ignore[arg-type]
        cv2.imread(str(tmp_path / "saved" / "b.jpg")),  # type: ignore[arg-type]
    )


def test_what_finds_no_memory_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolo_max.predict.result._KEPT", MemoryBudget(100))
    images = [np.full((5, 4, 3), i, np.uint8) for i in range(3)]  # 60 bytes each
    copies = [image.copy() for image in images]
    first, second, third = (Result(f"{i}.png") for i in range(3))
    first.keep(images[0], copies[0].copy)
    second.keep(images[1], copies[1].copy)
    assert first.image is images[0]
    assert second.image is not images[1]
    np.testing.assert_array_equal(second.image, copies[1])
    # What an image took is free as soon as nobody has it.
    del first, images[0]
    third.keep(images[1], copies[2].copy)
    assert third.image is images[1]


def test_a_result_without_a_picture(tmp_path: Path, detector: Detector) -> None:
    (bad,) = detector.stream([tmp_path / "nope.jpg"])
    with pytest.raises(ImageError, match=r"nope\.jpg: it cannot be opened"):
        bad.save(tmp_path / "b.jpg")
    with pytest.raises(UsageError, match="no prediction yet"):
        Result("a.jpg").save(tmp_path / "b.jpg")
