"""Tracking: numbers that stay with their objects, in records, tables and pictures."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("trackers")
pytest.importorskip("av")

from fakes import NAMES, fake_classifier, fake_weights, write_image
from numpy.typing import NDArray
from videos import write_video

from yolo_max.cli import run
from yolo_max.engine.contract import as_engine
from yolo_max.images.frame import Position
from yolo_max.output.trails import draw_trail
from yolo_max.predict.predictor import Predictor
from yolo_max.predict.result import Result
from yolo_max.predict.tracking import Tracker, follow
from yolo_max.support.errors import EngineError, ExitCode, UsageError
from yolo_max.tasks.detect.detections import Detections
from yolo_max.tasks.marks import TrailMark
from yolo_max.tasks.obb.rotated_detections import RotatedDetections
from yolo_max.tasks.pose.poses import Poses

SIZE = (400, 600)


Rows = list[tuple[float, float, float, float, float]]


def detections(rows: Rows) -> Detections:
    """Of rows (centre x, centre y, width, height, confidence)."""
    table = np.array(sorted(rows, key=lambda row: -row[4]), np.float32).reshape(-1, 5)
    half = table[:, 2:4] / 2
    boxes: Any = np.hstack([table[:, :2] - half, table[:, :2] + half])
    return Detections(boxes, table[:, 4], np.zeros(len(table), np.int32), NAMES, SIZE)


def scene(frames: int = 40) -> Iterator[Rows]:
    """Two objects that cross, one that is hidden and unsure for a while, one that comes late; and noise."""
    random = np.random.default_rng(3)
    for i in range(frames):
        rows: Rows = [
            (50 + 12 * i, 100.0, 40, 60, 0.9),
            (550 - 12 * i, 250.0, 50, 50, 0.8),
            (300.0, 60 + 3 * i, 60, 40, 0.15 if 10 <= i < 14 else 0.7),
        ]
        if 20 <= i < 25:
            del rows[1]
        if i >= 15:
            rows.append((100.0, 330.0 + (i % 3), 70, 70, 0.6))
        if i % 7 == 3:
            rows.append((float(random.uniform(200, 400)), 350.0, 12, 12, 0.12))
        yield rows


def lapjv(cost: Any, extend_cost: bool, cost_limit: float) -> tuple[float, Any, Any]:
    """What Ultralytics needs of the package lap: an assignment in which nothing costs more than a limit."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = cost.shape
    extended = np.full((rows + columns, rows + columns), cost_limit / 2)
    extended[rows:, columns:] = 0
    extended[:rows, :columns] = cost
    found = dict(zip(*(each.tolist() for each in linear_sum_assignment(extended)), strict=True))
    x = [found[row] if found[row] < columns else -1 for row in range(rows)]
    y = [x.index(column) if column in x else -1 for column in range(columns)]
    return 0.0, np.array(x), np.array(y)


def by_ultralytics() -> Iterator[list[tuple[int, int]]]:
    """Number and index of each tracked box, as Ultralytics tracks them."""
    sys.modules.setdefault("lap", ModuleType("lap"))
    vars(sys.modules["lap"]).update(__version__="0", lapjv=lapjv)
    from ultralytics.trackers.byte_tracker import BYTETracker
    from ultralytics.utils import YAML, IterableSimpleNamespace
    from ultralytics.utils.checks import check_yaml

    tracker = BYTETracker(IterableSimpleNamespace(**YAML.load(check_yaml("bytetrack.yaml"))))
    for rows in scene():
        found = detections(rows)

        class Boxes(SimpleNamespace):
            def __getitem__(self, index: Any) -> Boxes:
                return Boxes(**{name: value[index] for name, value in vars(self).items()})

            def __len__(self) -> int:
                return len(self.conf)

        centres = (found.xyxy[:, :2] + found.xyxy[:, 2:]) / 2
        xywh = np.hstack([centres, found.xyxy[:, 2:] - found.xyxy[:, :2]])
        tracks = tracker.update(Boxes(conf=found.confidence, cls=found.class_id, xywh=xywh, xyxy=found.xyxy))
        yield sorted((int(row[4]), int(row[7])) for row in tracks)


def test_numbers_are_those_of_ultralytics_bytetrack() -> None:
    tracker = Tracker()
    same: dict[int, int] = {}
    for rows, expected in zip(scene(), by_ultralytics(), strict=True):
        found = detections(rows)
        tracked, _ = tracker.update(found)
        indices = [int(np.flatnonzero((found.xyxy == box).all(axis=1))[0]) for box in tracked.xyxy]
        assert sorted(indices) == sorted(index for _, index in expected)
        theirs = {index: number for number, index in expected}
        for index, number in zip(indices, tracked.track_id.tolist(), strict=True):
            assert same.setdefault(number, theirs[index]) == theirs[index]  # the same but for names
    assert len(same) == len(set(same.values())) == 4


def test_numbers_begin_with_1_at_once() -> None:
    tracked, trails = Tracker().update(detections([(50, 50, 20, 20, 0.9), (200, 50, 20, 20, 0.5)]))
    assert sorted(tracked.track_id.tolist()) == [1, 2]
    assert len(trails) == 2


@pytest.mark.parametrize(
    "rows", [[], [(50, 50, 0, 20, 0.9)], [(50, 50, 20, 20, 0.2)]], ids=["nothing", "no area", "not sure"]
)
def test_what_begins_no_track(rows: Rows) -> None:
    tracker = Tracker()
    for _ in range(3):
        tracked, trails = tracker.update(detections(rows))
        assert (len(tracked), trails) == (0, ())


def test_trails_follow_the_centres_and_end_with_their_track() -> None:
    tracker = Tracker()
    for i in range(100):
        _, trails = tracker.update(detections([(50 + i, 100, 40, 40, 0.9)]))
    (trail,) = trails
    assert trail.points == tuple((50.0 + i, 100.0) for i in range(40, 100))
    for _ in range(100):
        tracker.update(detections([]))
    assert tracker._trails == tracker._seen == {}


def results(source: str, count: int) -> Iterator[Result]:
    for i in range(count):
        yield Result(source, detections([(50 + i, 100, 40, 40, 0.9)]), frame=Position(i, i + 1))


def test_numbers_start_anew_for_each_video() -> None:
    def several() -> Iterator[Result]:
        yield from results("a.mp4", 5)
        yield Result("c.jpg", detections([(50, 50, 20, 20, 0.9), (90, 50, 20, 20, 0.2)]))
        yield Result("b.mp4", frame=Position(0, 1))  # a broken frame
        yield from results("b.mp4", 5)
        yield from results("b.mp4", 5)  # again

    found: list[Any] = [each.prediction for each in follow(several())]
    numbers = [None if each is None or each.track_id is None else each.track_id.tolist() for each in found]
    assert numbers == [[1]] * 5 + [None, None] + [[1]] * 10
    assert len(found[5]) == 1  # of an image only sure boxes are kept


def test_streams_that_come_in_turn_have_numbers_of_their_own() -> None:
    other = list(results("1", 6))
    for i, each in enumerate(other):
        each.prediction = detections([(90, 50 + i, 40, 40, 0.9)])
    in_turn = (each for pair in zip(results("0", 6), other, strict=True) for each in pair)
    found: list[Any] = [each.prediction for each in follow(in_turn)]
    assert [each.track_id.tolist() for each in found] == [[1]] * 12  # all in one video: 1, 2, 1, 2, ...


def poses() -> Detections:
    plain = detections([(50, 50, 20, 20, 0.9), (200, 50, 20, 20, 0.5)])
    return Poses(**vars(plain), keypoints=np.ones((2, 5, 3), np.float32))


def rotated() -> Detections:
    xywhr = np.array([[50, 50, 20, 10, 0.3], [200, 50, 20, 10, 0.1]], np.float32)
    numbers = np.array([0.9, 0.5], np.float32), np.zeros(2, np.int32)
    return RotatedDetections(*numbers, NAMES, SIZE, xywhr=xywhr)


@pytest.mark.parametrize("make", [lambda: detections([(50, 50, 20, 20, 0.9)]), poses, rotated])
def test_every_kind_of_detections_is_tracked_and_comes_back_from_its_record(make: Any) -> None:
    found = make()
    tracked, _ = Tracker().update(found)
    assert type(tracked) is type(found)
    assert len(tracked) == len(found)
    record = json.loads(json.dumps(tracked.to_dict()))
    assert [box["track_id"] for box in record["boxes"]] == [box.track_id for box in tracked]
    assert type(found).from_dict(record, NAMES) == tracked
    assert tracked != found
    assert tracked[:1].track_id.tolist() == [tracked[0].track_id]
    for with_id, without in zip(
        tracked.labels(confidence=True).splitlines(), found.labels(confidence=True).splitlines(), strict=True
    ):
        number = with_id.removeprefix(without)
        assert int(number) in tracked.track_id
    mark = tracked.marks().boxes[0]
    assert mark.short_label == f"id:{tracked[0].track_id} circle"
    assert mark.label.startswith(f"{mark.short_label} 0.")


def test_two_objects_of_one_number_are_refused() -> None:
    plain = detections([(50, 50, 20, 20, 0.9), (200, 50, 20, 20, 0.5)])
    with pytest.raises(ValueError, match="a track of its own"):
        Detections(**{**vars(plain), "track_id": np.array([1, 1], np.int32)})


def test_a_trail_is_thin_where_it_was_long_ago() -> None:
    canvas = np.zeros((60, 200, 3), np.uint8)
    draw_trail(canvas, TrailMark(tuple((10.0 + 9 * i, 30.0) for i in range(20)), 0, 1), 6, (255, 255, 255))
    thickness = (canvas.max(axis=2) > 60).sum(axis=0)
    assert thickness[20] < thickness[170]
    assert thickness[5] == thickness[195] == 0


def bright(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A network that finds one sure object, and beside it one that is not."""
    from yolo_max.tasks.detect.decode import anchor_points

    points, _ = anchor_points((batch.shape[1], batch.shape[2]), (8, 16, 32))
    head = np.zeros((len(batch), len(points), 67), np.float32)
    head[..., 64:] = -20
    head[:, 10, 64] = 2
    head[:, 60, 65] = -1.7  # 0.15
    return head


def test_in_python(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 6)
    predictor = Predictor(fake_weights(), engine=bright)
    found: list[Any] = list(predictor.track(path))
    assert [[box.track_id for box in each.prediction] for each in found] == [[1]] * 6
    assert [len(each.trails[0].points) for each in found] == [1, 2, 3, 4, 5, 6]
    assert (found[5].plot() != found[5].plot(show_labels=False)).any()
    frames = [np.full((48, 64, 3), 40, np.uint8)] * 3  # of one video
    assert [len(each.trails) for each in predictor.track(iter(frames))] == [1, 1, 1]
    unsure: list[Any] = list(predictor.track(path, conf=0.9))
    assert [len(each.prediction) for each in unsure] == [0] * 6
    with pytest.raises(UsageError, match="there is no tracker 'botsort'; use bytetrack"):
        predictor.track(path, tracker="botsort")
    classifier = Predictor(fake_classifier(), engine=lambda batch: np.zeros((len(batch), 3), np.float32))
    with pytest.raises(UsageError, match="there is nothing to track with weights for the task classify"):
        classifier.track(path)


def test_without_the_package_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trackers", None)
    with pytest.raises(EngineError, match=r"pip install 'yolo-max\[track\]'"):
        Predictor(fake_weights(), engine=bright).track("a.mp4")


@pytest.mark.usefixtures("fake_network")
@pytest.mark.parametrize(
    ("conf", "expected"), [((), 0.1), (("--conf", "0.25"), 0.25), (("--conf", "0.4"), 0.4)]
)
def test_on_the_command_line(
    tmp_path: Path,
    conf: tuple[str, ...],
    expected: float,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("yolo_max.predict.predictor.make_engine", lambda *_, **__: bright)
    write_video(tmp_path / "in/a.mp4", 5)
    write_video(tmp_path / "in/b.mp4", 5)
    write_image(tmp_path / "in/c.png", 1)
    arguments = ["predict", "in", "--tracker", "bytetrack", "--save-csv", "--save-txt", "-o", "out", *conf]
    assert run(arguments) == ExitCode.OK
    records = [json.loads(line) for line in Path("out/predictions.jsonl").read_text().splitlines()]
    numbers = [[box.get("track_id") for box in each["boxes"]] for each in records]
    assert numbers == [[1]] * 10 + [[None]]
    header, *rows = Path("out/predictions.csv").read_text().splitlines()
    assert header.startswith("path,frame,time,track_id,class_id,")
    assert [row.split(",")[3] for row in rows] == ["1"] * 10 + [""]
    assert Path("out/labels/a_1.txt").read_text().split()[-1] == "1"
    settings = json.loads(Path("out/run.json").read_text())["settings"]
    assert (settings["tracker"], settings["conf"]) == ("bytetrack", expected)
    capsys.readouterr()
    assert run(["predict", "in", "--tracker", "sort"]) == ExitCode.USAGE
    assert "there is no tracker 'sort'; use bytetrack." in capsys.readouterr().err


def test_the_summary_counts_tracks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One in each video, however many frames; none in an image."""
    monkeypatch.setattr(
        "yolo_max.predict.predictor.make_engine", lambda *_, **__: as_engine(bright, ["head"])
    )
    monkeypatch.setattr("yolo_max.predict.predictor.load_weights", lambda _: fake_weights())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**30))  # which the command changes
    write_image(tmp_path / "in/a.jpg", 7)
    for name in ("b.mp4", "c.mp4"):
        write_video(tmp_path / "in" / name, 6)
    assert run(["predict", "in", "--tracker", "bytetrack", "-o", "out"]) == ExitCode.OK
    said = capsys.readouterr().out
    assert "13 objects in 1 image and 12 frames · 2 tracks · " in said
    assert said.split("\n")[0].split() == ["class", "objects", "tracks", "images", "best"]
    assert run(["predict", "--resume", "-o", "out", "--tracker", "bytetrack", "--json"]) == ExitCode.OK
    summary = json.loads(capsys.readouterr().out)
    assert summary["tracks"] == 2
    assert [each["tracks"] for each in summary["classes"].values()] == [2]
    assert run(["predict", "in", "--no-save", "--json"]) == ExitCode.OK
    assert "tracks" not in json.loads(capsys.readouterr().out)
