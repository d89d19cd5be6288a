"""Whatever can be a source in Python."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from fakes import SharedEngine, fake_weights, write_image
from PIL import Image

from yolo_max.images.frame import Frame
from yolo_max.images.inputs import inputs
from yolo_max.images.read import read_image
from yolo_max.predict.predictor import Predictor
from yolo_max.support.errors import ImageError, SourceError, UsageError
from yolo_max.support.options import SourceOptions


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return write_image(tmp_path / "a.png", 1)


def pixels_of(source: Any) -> list[np.ndarray[Any, Any]]:
    found = inputs(source, SourceOptions(), max_pixels=10**8)
    return [each.load() if isinstance(each, Frame) else read_image(each) for each in found]


def rgb_tensor(bgr: Any) -> Any:
    return torch.from_numpy(np.ascontiguousarray(bgr[..., ::-1].transpose(2, 0, 1)))


FORMS: dict[str, Callable[[Path, Any], Any]] = {
    "text": lambda path, _: str(path),
    "path": lambda path, _: path,
    "folder": lambda path, _: path.parent,
    "bytes": lambda path, _: path.read_bytes(),
    "bytearray": lambda path, _: bytearray(path.read_bytes()),
    "an open file": lambda path, _: path.open("rb"),
    "a file in memory": lambda path, _: io.BytesIO(path.read_bytes()),
    "BGR": lambda _, bgr: bgr,
    "a batch of BGR": lambda _, bgr: bgr[None],
    "PIL, which is RGB": lambda _, bgr: Image.fromarray(bgr[..., ::-1]),
    "RGB tensor in [0, 1]": lambda _, bgr: rgb_tensor(bgr)[None].float() / 255,
    "one image as a tensor": lambda _, bgr: rgb_tensor(bgr).half() / 255,
    "RGB tensor of bytes": lambda _, bgr: rgb_tensor(bgr)[None],
    "list": lambda path, _: [path],
    "tuple of a list": lambda path, _: ([path],),
    "generator": lambda _, bgr: (each for each in [bgr]),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_pixels(photo: Path, form: str) -> None:
    bgr = read_image(photo)
    (found,) = pixels_of(FORMS[form](photo, bgr))
    assert (found == bgr).all()


def test_arrays_and_pil_images_are_taken_as_by_ultralytics(photo: Path) -> None:
    from ultralytics.data.loaders import LoadPilAndNumpy

    bgr = read_image(photo)
    for source in (bgr, bgr[..., 0], np.dstack([bgr, bgr[..., 0]]), Image.open(photo), Image.fromarray(bgr)):
        (theirs,) = LoadPilAndNumpy(source).im0
        (ours,) = pixels_of(source)
        assert (ours == theirs).all()


def test_several_of_several_kinds_keep_their_order(photo: Path) -> None:
    other = write_image(photo.parent / "b.png", 2)
    bgr = read_image(other)
    found = pixels_of([photo, bgr, Image.open(photo), iter([bgr, photo])])
    first = read_image(photo)
    assert [bool((each == first).all()) for each in found] == [True, False, True, False, True]


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (3.5, UsageError, "3.5 is not a source"),
        (None, UsageError, "None is not a source"),
        (torch.zeros(1, 4, 8, 8), UsageError, r"the tensor has the shape \(1, 4, 8, 8\)"),
        (torch.zeros(1, 3, 0, 8), UsageError, "the tensor has the shape"),
        (torch.full((1, 3, 8, 8), -1.0), UsageError, "the tensor's values"),
        (torch.full((1, 3, 8, 8), float("nan")), UsageError, "the tensor's values"),
        ("missing.jpg", SourceError, r"missing\.jpg does not exist"),
        (io.StringIO("a.jpg"), ImageError, "the file is open as text; open it with mode 'rb'"),
        (cv2.VideoCapture(), UsageError, "the capture is not open"),
    ],
)
def test_what_is_no_source(source: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        pixels_of(source)


@pytest.mark.parametrize(
    ("mode", "closed", "message"),
    [
        ("r", False, "the file is open as text; open it with mode 'rb'"),  # whose bytes are no text
        ("ab", False, "the file cannot be read"),
        ("rb", True, "the file is closed; open it again"),
    ],
)
def test_an_open_file_that_cannot_be_read(photo: Path, mode: str, closed: bool, message: str) -> None:
    with photo.open(mode) as file:
        if closed:
            file.close()
        with pytest.raises(ImageError, match=message):
            pixels_of(file)
        with pytest.raises(ImageError, match=message):
            read_image(file)  # type: ignore[arg-type]


def test_a_capture(tmp_path: Path) -> None:
    pytest.importorskip("av")
    from videos import write_video

    path = write_video(tmp_path / "a.mp4", 6)
    whole = pixels_of(path)
    capture = cv2.VideoCapture(str(path))
    capture.read()
    found = list(inputs(capture, SourceOptions(vid_stride=2), max_pixels=10**8))
    assert [each.position.index for each in found if isinstance(each, Frame) and each.position] == [1, 3]
    assert not any(each.live for each in found if isinstance(each, Frame))  # a file can be read ahead
    for frame, expected in zip(found, (whole[2], whole[4]), strict=True):
        assert isinstance(frame, Frame)
        assert abs(frame.load().astype(int) - expected).mean() < 2


def test_a_video_gives_results_with_the_index_of_the_frame(tmp_path: Path) -> None:
    pytest.importorskip("av")
    from videos import SIZE, write_video

    path = write_video(tmp_path / "in/a.mp4", 6)
    write_image(tmp_path / "in/b.png", 1)
    (tmp_path / "in/c.mp4").write_bytes(b"no video")
    predictor = Predictor(fake_weights(), engine=SharedEngine())
    found = list(predictor.predict(tmp_path / "in", vid_stride=2))
    indices = [None if each.frame is None else each.frame.index for each in found]
    assert indices == [1, 3, 5, None, None]
    assert [each.source for each in found[:3]] == [str(path)] * 3
    assert str(found[0]).startswith(f"{path} (frame 1): ")
    assert found[0].plot().shape == (*SIZE, 3)
    assert found[4].error is not None
    assert "cannot be opened as a video" in str(found[4])
    with pytest.raises(UsageError, match=r"vid_stride is 0, but it must be a whole number of at least 1"):
        predictor.predict(path, vid_stride=0)
    with pytest.raises(UsageError, match=r"vid_stride'; Predictor.predict and track take it"):
        predictor.stream([path], vid_stride=2)
