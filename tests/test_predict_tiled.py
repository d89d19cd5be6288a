"""Large images in tiles: each is predicted as an image of its own, and the image as one."""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fakes import (
    FakeEngine,
    SharedEngine,
    brightness,
    fake_classifier,
    fake_poser,
    fake_weights,
    poser,
    write_image,
)
from numpy.typing import NDArray

from yolo_max.cli import run
from yolo_max.engine.max_engine import MaxEngine
from yolo_max.images.frame import Frame, Position
from yolo_max.images.read import read_image
from yolo_max.images.tiles import tiles_of
from yolo_max.predict.predictor import Predictor
from yolo_max.support.errors import ExitCode, ImageError, UsageError
from yolo_max.tasks.tiles import Merging, Part
from yolo_max.weights.load import load_weights

SIZE = (150, 200)
"""(height, width): of tiles of 64 pixels it has 3 x 4, with the overlap of 0.2."""

RADIUS, KINDS = 24, ("circle", "triangle", "square")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write_image(tmp_path / "large.png", 0, SIZE)


def expected(pixels: NDArray[np.uint8], *, whole: bool = True, rule: str = "nmm", **options: Any) -> Any:
    """Each part predicted as an image, then merged."""
    plain = Predictor(fake_weights(), engine=FakeEngine(), **options)
    height, width = pixels.shape[:2]
    parts = [
        Part(plain(pixels[top:bottom, left:right]), left, top)
        for left, top, right, bottom in tiles_of((height, width), 64, 0.2)
    ]
    if whole and len(parts) > 1:
        parts.append(Part(plain(pixels), 0, 0))
    return Merging(rule, 0.5)(parts, (height, width))


@pytest.mark.parametrize("engine", [FakeEngine, SharedEngine])  # one caller, and several side by side
@pytest.mark.parametrize("batch", [None, 1, 5])
def test_an_image_is_its_parts_merged(image: Path, engine: Any, batch: int | None) -> None:
    pixels = read_image(image)
    predictor = Predictor(fake_weights(), engine=engine(), tile=64, batch=batch)
    assert predictor(image) == expected(pixels)
    (result,) = predictor.stream([image], keep_images=True)
    assert result.prediction == expected(pixels)
    assert result.source == image
    np.testing.assert_array_equal(result.image, pixels)
    assert {"decode", "letterbox", "infer", "postprocess", "merge"} == set(result.times_ms)


@pytest.mark.parametrize(
    ("options", "like"),
    [
        ({"tile_merge": "nms"}, {"rule": "nms"}),
        ({"tile_whole": False}, {"whole": False}),
        ({"conf": 0.9}, {"conf": 0.9}),
    ],
)
def test_options(image: Path, options: dict[str, Any], like: dict[str, Any]) -> None:
    predictor = Predictor(fake_weights(), engine=FakeEngine(), tile=64, **options)
    assert predictor(image) == expected(read_image(image), **like)


def test_max_det_holds_for_the_image(image: Path) -> None:
    everything = Predictor(fake_weights(), engine=FakeEngine(), tile=64)(image)
    assert len(everything) > 3
    predictor = Predictor(fake_weights(), engine=FakeEngine(), tile=64)
    for count in (1, 2, len(everything), len(everything) + 1):
        (result,) = predictor.stream([image], max_det=count)
        assert len(result.found) == min(count, len(everything))
        assert result.max_det_reached == (count <= len(everything))
    best = Predictor(fake_weights(), engine=FakeEngine(), tile=64, max_det=2)(image)
    assert best.confidence.tolist() == everything.confidence[:2].tolist()


def test_options_of_a_call(image: Path) -> None:
    predictor = Predictor(fake_weights(), engine=FakeEngine(), tile=64)
    assert predictor(image, conf=0.9) == expected(read_image(image), conf=0.9)
    agnostic = Predictor(fake_weights(), engine=FakeEngine(), tile=64, agnostic_nms=True)
    assert predictor(image, agnostic_nms=True) == agnostic(image)
    with pytest.raises(UsageError, match="tile cannot change with a call"):
        predictor(image, tile=32)


def test_a_small_image_is_one_tile(tmp_path: Path) -> None:
    small = write_image(tmp_path / "small.png", 1, (40, 60))
    engine = FakeEngine()
    assert Predictor(fake_weights(), engine=engine, tile=64)(small) == expected(read_image(small))
    assert len(engine.batches) == 1


def test_a_stream_keeps_its_order_whatever_cannot_be_read(image: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    small = write_image(tmp_path / "small.png", 1, (40, 60))
    predictor = Predictor(fake_weights(), engine=SharedEngine(), tile=64)
    results = list(predictor.stream([image, broken, small, broken, image]))
    assert [result.source for result in results] == [image, broken, small, broken, image]
    assert [result.error is None for result in results] == [True, False, True, False, True]
    assert results[0].prediction == results[4].prediction == expected(read_image(image))
    with pytest.raises(ImageError):
        predictor(broken)


def test_frames_keep_their_places(image: Path) -> None:
    pixels = read_image(image)
    frames = [Frame("a.mp4", Position(i, i + 1), lambda: pixels) for i in range(3)]
    results = list(Predictor(fake_weights(), engine=SharedEngine(), tile=64).stream(frames))
    assert [result.frame for result in results] == [frame.position for frame in frames]
    assert {result.source for result in results} == {"a.mp4"}


@pytest.mark.parametrize("engine", [FakeEngine, SharedEngine])
def test_a_live_frame_is_answered_before_the_next_one_comes(image: Path, engine: Any) -> None:
    pixels = read_image(image)
    answered: list[Any] = []

    def camera() -> Iterator[Frame]:
        for i in range(4):
            assert len(answered) == i
            yield Frame("0", Position(i, i + 1, live=True), lambda: pixels)

    for result in Predictor(fake_weights(), engine=engine(), tile=64).stream(camera()):
        answered.append(result)
    assert [each.prediction for each in answered] == [expected(pixels)] * 4


def test_few_images_are_in_memory_however_many_there_are() -> None:
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    most = 0

    class Pixels(np.ndarray):
        """An array that can be counted."""

    def load() -> Any:
        nonlocal most
        pixels = np.zeros((*SIZE, 3), np.uint8).view(Pixels)
        alive.add(pixels)
        most = max(most, len(alive))
        return pixels

    frames = (Frame("a.mp4", Position(i, i + 1), load) for i in range(40))
    predictor = Predictor(fake_weights(), engine=SharedEngine(), tile=64, workers=2)
    for _ in predictor.stream(frames):
        pass
    # Two that are read ahead, the one that is cut, and those whose tiles are in the window of the stages.
    assert most <= 5


def test_poses_take_the_best(image: Path) -> None:
    found: Any = Predictor(fake_poser(), engine=poser, tile=64)(image)
    assert found.keypoints.shape == (len(found), 5, 3)
    with pytest.raises(UsageError, match=r"tile_merge is 'nmm', but .* pose it must be nms"):
        Predictor(fake_poser(), engine=poser, tile=64, tile_merge="nmm")


def test_what_makes_no_sense() -> None:
    with pytest.raises(UsageError, match="for the task classify say what is on an image as a whole"):
        Predictor(fake_classifier(), engine=brightness, tile=64)
    with pytest.raises(UsageError, match="tile is 31, but it must be a whole number of at least 32"):
        Predictor(fake_weights(), engine=FakeEngine(), tile=31)
    with pytest.raises(UsageError, match=r"overlap is 0\.95, but it must lie between 0 and 0.9"):
        Predictor(fake_weights(), engine=FakeEngine(), tile=64, overlap=0.95)
    with pytest.raises(UsageError, match=r"tile_merge is 'wbf', but .* it must be nmm or nms"):
        Predictor(fake_weights(), engine=FakeEngine(), tile=64, tile_merge="wbf")


def test_settings_tell_tiles_apart() -> None:
    plain = Predictor(fake_weights(), engine=FakeEngine()).settings()
    assert not any(name.startswith("tile") for name in plain)
    tiled = [
        Predictor(fake_weights(), engine=FakeEngine(), tile=64, **options).settings()
        for options in (
            {},
            {"overlap": 0.5},
            {"tile_merge": "nms"},
            {"tile_match": 0.6},
            {"tile_whole": False},
        )
    ]
    assert len({json.dumps(each) for each in (plain, *tiled)}) == 6


@pytest.mark.usefixtures("fake_network")
def test_on_the_command_line(tmp_path: Path) -> None:
    write_image(tmp_path / "in/large.png", 0, SIZE)
    arguments = ["predict", "in", "--tile", "64", "--overlap", "0.3", "--tile-merge", "nms", "-o", "out"]
    assert run([*arguments, "--no-tile-whole"]) == ExitCode.OK
    (line,) = Path("out/predictions.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert record["image_size"] == list(SIZE)
    assert len(record["boxes"]) > 3  # as many as the network finds in one input
    assert all(box["xyxy"][2] <= SIZE[1] and box["xyxy"][3] <= SIZE[0] for box in record["boxes"])
    settings = json.loads(Path("out/run.json").read_text())["settings"]
    assert (settings["tile"], settings["overlap"], settings["tile_merge"]) == (64, 0.3, "nms")
    assert settings["tile_whole"] is False
    assert Path("out/large.png").is_file()


def test_small_objects_on_a_canvas_of_24_megapixels(demo_weights: Path, demo_engine: MaxEngine) -> None:
    """88 shapes of 48 pixels, many of them over borders of tiles: each is found once, and in its place."""
    canvas = np.full((4000, 6000, 3), 96, np.uint8)
    spots = []
    for row, y in enumerate(range(200, 3900, 512)):
        for column, x in enumerate(range(200, 5700, 512)):
            at = x + (56, 96)[column % 2] * (column % 3), y + 45 * (row % 3)
            kind = (row + column) % 3
            _draw(canvas, at, kind)
            spots.append((*at, kind))
    weights = load_weights(demo_weights)
    plain: Any = Predictor(weights, engine=demo_engine)
    found: Any = Predictor(weights, engine=demo_engine, tile=320)(canvas)
    assert len(found) == len(spots)
    for x, y, kind in spots:
        (here,) = (box for box in found if _holds(box.xyxy, x, y))
        assert here.class_name == KINDS[kind]
        drawn = (x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS)
        assert np.abs(np.subtract(drawn, here.xyxy)).max() <= 4  # the demo's network is that exact
    assert len(plain(canvas)) < len(spots) / 2  # shrunk to 320 pixels, they are 3 wide


def _draw(canvas: NDArray[np.uint8], at: tuple[int, int], kind: int) -> None:
    x, y = at
    if kind == 0:
        cv2.circle(canvas, at, RADIUS, (40, 200, 240), -1, cv2.LINE_AA)
    elif kind == 1:
        corners = [[x, y - RADIUS], [x - RADIUS, y + RADIUS], [x + RADIUS, y + RADIUS]]
        cv2.fillPoly(canvas, [np.array(corners)], (220, 60, 60), cv2.LINE_AA)
    else:
        cv2.rectangle(canvas, (x - RADIUS, y - RADIUS), (x + RADIUS, y + RADIUS), (60, 220, 80), -1)


def _holds(xyxy: tuple[float, ...], x: float, y: float) -> bool:
    return xyxy[0] < x < xyxy[2] and xyxy[1] < y < xyxy[3]
