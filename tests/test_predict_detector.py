"""The detector: one image from anywhere, many in order, and bad options refused early."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fake_cli import make_engine
from fakes import NAMES, FakeEngine, SharedEngine, fake_weights, write_image
from image_files import scene, with_orientation
from numpy.typing import NDArray
from PIL import Image

from yolo_max.predict.detector import Detector
from yolo_max.predict.result import Result
from yolo_max.support.errors import ImageError, UsageError, WeightsError
from yolo_max.tasks.detect.decode import anchor_points, sigmoid
from yolo_max.tasks.detect.detections import Detections
from yolo_max.tasks.detect.postprocess import Postprocess


def detector(**options: Any) -> Detector:
    return Detector(fake_weights(), **{"engine": FakeEngine(), **options})


@pytest.fixture
def folder(tmp_path: Path) -> list[Path]:
    """Nine images of several sizes and an unreadable one, the fourth."""
    sizes = [(40, 60), (60, 40), (64, 64), (300, 20), (1, 1), (48, 64), (40, 60), (40, 60), (90, 120)]
    paths = [write_image(tmp_path / f"{i}.png", i, size) for i, size in enumerate(sizes)]
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    paths.insert(3, tmp_path / "broken.png")
    return paths


def test_every_kind_of_image_gives_the_same_detections(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png", 1)
    bgr = cv2.imread(str(path))
    assert bgr is not None
    detect = detector()
    expected = detect(path)
    assert len(expected) > 0
    assert expected.image_size == (40, 60)
    for image in (str(path), bgr, Image.open(path), path.read_bytes()):
        assert detect(image) == expected


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_in_the_frame_that_is_displayed(tmp_path: Path, orientation: int) -> None:
    """However the camera was held, the eight ways to store the pixels give the same boxes."""
    (tmp_path / "a.png").write_bytes(with_orientation(scene(48, 64), "PNG", orientation))
    found = detector()(tmp_path / "a.png")
    assert found.image_size == (48, 64)
    assert found == detector()(scene(48, 64))


def test_an_unreadable_image_is_an_error_that_names_it(folder: list[Path]) -> None:
    with pytest.raises(ImageError, match=r"broken\.png"):
        detector()(folder[3])


def test_boxes_lie_inside_the_image(folder: list[Path]) -> None:
    for result in detector(conf=0.01).stream(folder):
        if isinstance(result.prediction, Detections):
            height, width = result.prediction.image_size
            assert (result.prediction.xyxy >= 0).all()
            assert (result.prediction.xyxy <= [width, height, width, height]).all()


@pytest.mark.parametrize("rect", [False, True])
@pytest.mark.parametrize("batch", [1, 2, 4, 100])
@pytest.mark.parametrize("workers", [1, 3])
def test_a_stream_gives_what_single_calls_give(
    folder: list[Path], rect: bool, batch: int, workers: int
) -> None:
    detect = detector(rect=rect, workers=workers)
    results = list(detect.stream(folder, batch=batch))
    assert [result.source for result in results] == folder
    for path, result in zip(folder, results, strict=True):
        if path.name == "broken.png":
            assert result.prediction is None
            assert isinstance(result.error, ImageError)
        else:
            assert result.error is None
            assert result.prediction == detect(path)
            assert result.times_ms.keys() == {"decode", "letterbox", "infer", "postprocess"}


@pytest.mark.parametrize(
    ("callers", "batch", "sizes"),
    [
        (2, None, [1] * 9),  # an engine for several callers gets single images
        (1, None, [1] * 9),  # and so does any other
        (2, 2, [2, 2, 2, 2, 1]),  # unless batches are asked for
    ],
)
def test_the_batches_an_engine_gets(
    folder: list[Path], callers: int, batch: int | None, sizes: list[int]
) -> None:
    engine = SharedEngine(callers, nap=0.01)
    list(detector(engine=engine, batch=batch).stream(folder))
    assert [shape[0] for shape in engine.batches] == sizes


@pytest.mark.parametrize(
    ("callers", "batch", "workers", "most"),
    [
        (2, None, 2, 2),  # as many as it asks for
        (3, None, 1, 3),  # with few workers
        (3, None, 8, 3),  # and with many
        (1, None, 4, 1),  # one caller: on the thread that asks for results
        (3, 2, 4, 1),  # batches: likewise
    ],
)
def test_how_many_call_an_engine_at_once(
    folder: list[Path], callers: int, batch: int | None, workers: int, most: int
) -> None:
    engine = SharedEngine(callers, nap=0.01)
    found = list(detector(engine=engine, batch=batch, workers=workers).stream(folder * 4))
    assert engine.most == most
    assert (threading.current_thread().name in engine.threads) == (most == 1)
    assert [result.source for result in found] == folder * 4
    assert [result.prediction for result in found] == [
        result.prediction for result in detector().stream(folder * 4)
    ]


@pytest.mark.parametrize("conf", [0.001, 0.25, 1.0])
def test_an_engine_is_told_which_cells_are_of_interest(folder: list[Path], conf: float) -> None:
    engine = SharedEngine()
    found = detector(engine=engine, conf=conf)
    found(folder[0])
    for batch in (None, 2):
        list(found.stream(folder, batch=batch))
    (least,) = engine.least
    logits = np.linspace(-20, 20, 10_001, dtype=np.float32)
    np.testing.assert_array_equal(logits > least, sigmoid(logits) > np.float32(conf))


def test_batches_are_full_and_of_one_canvas(folder: list[Path]) -> None:
    engine = FakeEngine()
    list(detector(engine=engine).stream(folder, batch=4))
    assert engine.batches == [(4, 64, 64, 3), (4, 64, 64, 3), (1, 64, 64, 3)]


def test_rect_cuts_the_canvas_to_the_image(folder: list[Path]) -> None:
    engine = FakeEngine()
    list(detector(engine=engine, rect=True).stream(folder, batch=1))
    assert set(engine.batches) == {(1, 64, 64, 3), (1, 64, 32, 3)}


def test_rect_cuts_to_multiples_of_the_networks_own_stride() -> None:
    weights = fake_weights(imgsz=128, strides=(8, 16, 32, 64))
    seen: list[tuple[int, ...]] = []

    def engine(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        seen.append(batch.shape)
        points, _ = anchor_points((batch.shape[1], batch.shape[2]), (8, 16, 32, 64))
        return np.full((len(batch), len(points), 64 + len(NAMES)), -20, np.float32)

    # 70 rows become 90; the next multiple of 32, 96, is not one of 64.
    Detector(weights, engine=engine, rect=True)(np.zeros((70, 100, 3), np.uint8))
    assert seen == [(1, 128, 128, 3)]


def test_the_network_runs_on_the_callers_thread(folder: list[Path]) -> None:
    engine = FakeEngine()
    list(detector(engine=engine).stream(folder))
    assert engine.threads == {threading.current_thread().name}


def test_images_are_kept_only_on_request(folder: list[Path]) -> None:
    detect = detector()
    assert all(result.image is None for result in detect.stream(folder))
    for path, result in zip(folder, detect.stream(folder, keep_images=True), strict=True):
        if result.error is None:
            assert np.array_equal(result.image, cv2.imread(str(path)))  # type: ignore[arg-type]


def test_map_applies_its_function_off_the_callers_thread(folder: list[Path]) -> None:
    def where(result: Result) -> tuple[Any, str]:
        return result.source, threading.current_thread().name

    mapped = list(detector().map(where, folder))
    assert [source for source, _ in mapped] == folder
    assert threading.current_thread().name not in {name for _, name in mapped}


@pytest.mark.parametrize(
    ("callers", "batch", "limit"),
    [
        (1, 2, 2 * (2 + 2) + 2),  # both windows, and the batch between them
        (2, None, 2 * (2 + 2)),  # one window
    ],
)
def test_a_stream_reads_ahead_within_bounds(
    tmp_path: Path, callers: int, batch: int | None, limit: int
) -> None:
    path = write_image(tmp_path / "a.png", 1)
    taken = 0

    def endless() -> Iterator[Path]:
        nonlocal taken
        while True:
            taken += 1
            yield path

    stream = detector(engine=SharedEngine(callers, nap=0.01), workers=2).stream(endless(), batch=batch)
    for received in range(1, 100):
        next(stream)
        assert taken - received <= limit
    stream.close()


@pytest.mark.parametrize("callers", [1, 2])
def test_leaving_a_stream_early_stops_its_threads(callers: int, folder: list[Path]) -> None:
    before = threading.active_count()
    for result in detector(engine=SharedEngine(callers, nap=0.01)).stream(folder):
        assert result.prediction is not None
        break
    else:
        pytest.fail("nothing came")
    import gc

    gc.collect()
    assert threading.active_count() == before


class Fifth:
    """Calls a function, but raises at the fifth call."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.calls = count(1)

    def __call__(self, *args: Any) -> Any:
        if next(self.calls) == 5:
            raise ZeroDivisionError("in a worker")
        return self.function(*args)

    def as_method(self) -> Callable[..., Any]:
        return lambda *args: self(*args)


@pytest.mark.parametrize("stage", ["function", "engine", "postprocess", "sources"])
@pytest.mark.parametrize(("callers", "batch"), [(1, None), (2, None), (2, 1)])
def test_an_exception_surfaces_behind_the_results_before_it(
    stage: str, callers: int, batch: int | None, folder: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def sources() -> Iterator[Path]:
        yield from images[:4]
        raise ZeroDivisionError("from the source")

    images = [path for path in folder if path.name != "broken.png"]
    before = threading.active_count()
    engine = SharedEngine(callers)
    detect = detector(engine=engine, workers=1)
    if stage == "engine":
        monkeypatch.setattr(engine, "_head", Fifth(engine._head))
    if stage == "postprocess":
        monkeypatch.setattr(Postprocess, "__call__", Fifth(Postprocess.__call__).as_method())
    function = Fifth(lambda result: result) if stage == "function" else lambda result: result
    results = detect.map(function, sources() if stage == "sources" else images, batch=batch)
    found: list[Any] = []
    with pytest.raises(ZeroDivisionError):
        found.extend(result.source for result in results)
    assert found == images[: len(found)]
    side_by_side = callers > 1 and batch is None
    if stage == "sources" or not side_by_side:  # or else the fifth call need not be for the fifth image
        assert len(found) == 4
    assert threading.active_count() == before


def test_streams_at_the_same_time_share_the_engine(folder: list[Path]) -> None:
    engine = SharedEngine(2, nap=0.01)
    detect = detector(engine=engine)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: [each.source for each in detect.stream(folder)], range(3)))
    assert found == [folder] * 3
    assert engine.most == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"conf": float("nan")}, "conf is nan"),
        ({"conf": 2}, "conf is 2"),
        ({"conf": -1}, "conf is -1"),
        ({"iou": float("nan")}, "iou is nan"),
        ({"iou": 1.01}, r"iou is 1\.01"),
        ({"imgsz": 0}, "imgsz is 0"),
        ({"imgsz": 31}, "imgsz is 31"),
        ({"imgsz": 100000}, "imgsz is 100000"),
        ({"max_det": 0}, "max_det is 0"),
        ({"batch": 0}, "batch is 0"),
        ({"workers": 0}, "workers is 0"),
        ({"threads": 0}, "threads is 0"),
        ({"threads": -1}, "threads is -1"),
        ({"max_pixels": 0}, "max_pixels is 0"),
        ({"conf": "high"}, "conf is 'high', but it must lie between 0 and 1"),
        ({"iou": None}, "iou is None"),
        ({"max_det": 2.5}, "max_det is 2.5, but it must be a whole number of at least 1"),
        ({"workers": "2"}, "workers is '2', but it must be a whole number of at least 1"),
        ({"imgsz": "640"}, "imgsz is '640', but it must be a whole number"),
        ({"classes": ["sqare"]}, "did you mean 'square'"),
        ({"classes": [3]}, "no class 3"),
        ({"engine": "onnx"}, "no engine 'onnx'; use one of max, torch"),
        ({"engine": "torch", "precision": "f64"}, "PyTorch runs in f32, not f64"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        detector(**options)


def test_a_stream_refuses_at_once() -> None:
    with pytest.raises(UsageError, match="batch is 0"):
        detector().stream([], batch=0)
    with pytest.raises(UsageError, match="'a/folder' is one source; give a list"):
        detector().stream("a/folder")  # or else one image per letter
    with pytest.raises(UsageError, match="a file's bytes is one source; give a list"):
        detector().stream(b"\xff\xd8")  # type: ignore[arg-type]  # or else one per byte
    with pytest.raises(UsageError, match="an array of 3 dimensions is one source"):
        detector().stream(np.zeros((8, 8, 3), np.uint8))  # or else one per row
    with pytest.raises(UsageError, match="a PIL image is one source"):
        detector().stream(Image.new("RGB", (8, 8)))  # type: ignore[arg-type]


def test_a_stream_may_be_an_array_of_images() -> None:
    images = np.zeros((2, 40, 60, 3), np.uint8)
    assert [result.error for result in detector().stream(images)] == [None, None]


def test_weights_that_are_not_there() -> None:
    with pytest.raises(WeightsError):
        Detector("no/such/file.safetensors", engine=FakeEngine())


def test_imgsz_is_rounded_up_or_the_weights_own() -> None:
    assert detector().imgsz == (64, 64)
    with pytest.warns(UserWarning, match="imgsz 100 is not a multiple of 32; 128 is used"):
        assert detector(imgsz=100).imgsz == (128, 128)


def test_classes_and_thresholds_reach_the_results(folder: list[Path]) -> None:
    def found(**options: Any) -> Detections:
        return detector(**options)(folder[0])

    everything = found(conf=0)
    assert set(found(conf=0, classes=["STAR", 0]).class_id) <= {0, 2}
    assert (found(conf=0.9).confidence > 0.9).all()
    assert len(found(conf=0, max_det=1)) == 1
    assert found(conf=0, max_det=1)[0] == everything[0]


CHANGES = [
    {"conf": 0.9},
    {"conf": 0.001, "iou": 0.1},
    {"max_det": 1},
    {"classes": "star"},
    {"classes": [0, 2]},
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("callers", [1, 2])
def test_options_for_one_call_are_those_of_another_detector(
    folder: list[Path], change: dict[str, Any], callers: int
) -> None:
    detect, other = detector(engine=SharedEngine(callers)), detector(**change)
    before = [result.prediction for result in detect.stream(folder)]
    expected = [result.prediction for result in other.stream(folder)]
    assert before != expected
    assert detect(folder[0], **change) == other(folder[0])
    for batch in (None, 2):
        found = detect.stream(folder, batch=batch, **change)
        assert [result.prediction for result in found] == expected
    assert [result.prediction for result in detect.stream(folder)] == before  # for that call only


def test_none_for_a_call_is_the_default_again(folder: list[Path]) -> None:
    assert detector(classes="star")(folder[0], classes=None) == detector()(folder[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conf": 2}, "conf is 2"),
        ({"conf": "high"}, "conf is 'high'"),
        ({"max_det": 0}, "max_det is 0"),
        ({"classes": ["sqare"]}, "did you mean 'square'"),
        ({"confidence": 0.5}, "no option 'confidence'"),
        ({"imgsz": 320}, "imgsz cannot change with a call; make another Detector"),
        ({"rect": True, "device": "cpu"}, "device, rect cannot change"),
    ],
)
def test_options_for_one_call_that_make_no_sense(
    folder: list[Path], change: dict[str, Any], message: str
) -> None:
    detect = detector()
    with pytest.raises(UsageError, match=message):
        detect(folder[0], **change)
    with pytest.raises(UsageError, match=message):
        detect.stream(folder, **change)


@pytest.mark.parametrize("name", ["conf", "imgsz", "model", "_private"])
def test_a_detector_does_not_change(name: str) -> None:
    detect = detector()
    with pytest.raises(UsageError, match=f"{name} cannot be set on a Detector; .* conf, iou, classes"):
        setattr(detect, name, 0.5)
    with pytest.raises(AttributeError):
        detect.confidence  # type: ignore[attr-defined]  # noqa: B018


def test_a_detector_says_what_it_is() -> None:
    detect = detector(imgsz=(64, 96))
    assert detect.names == NAMES
    assert repr(detect) == "<Detector: fake.safetensors, detect, 3 classes, 96 x 64, FakeEngine>"


def test_a_long_start_is_logged_unless_it_is_reported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("yolo_max.predict.predictor.make_engine", make_engine)
    monkeypatch.setattr("yolo_max.predict.predictor.precompile_on_first_start", lambda: None)
    said: list[str] = []
    Detector(fake_weights(), report=said.append)
    assert (said, caplog.messages) == (["Compiling the network."], [])
    Detector(fake_weights())
    (record,) = caplog.records
    assert (record.name, record.getMessage()) == ("yolo_max", "Compiling the network.")
    assert record.levelno >= logging.WARNING  # shown where nobody has set logging up


def test_the_package_imports_next_to_nothing() -> None:
    code = (
        "import sys, yolo_max; assert 'numpy' not in sys.modules; "
        "from yolo_max import Box, Detections, Detector, Result, YoloMaxError, load_weights; "
        "print(Detector.__module__); "
        "heavy = {'torch', 'ultralytics', 'matplotlib', 'max', 'rich', 'typer'} & sys.modules.keys(); "
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("yolo_max.predict.detector\n", "")
