"""The scripts that drew images/ and trained weights/, and what they left there."""

from __future__ import annotations

import json
import math
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import make_demo_images
import measure_demo
import numpy as np
import pytest
import readme_picture
import torch
import train_demo
from numpy.typing import NDArray
from shapes.outlines import OUTLINES, fill_mask
from shapes.scenes import CLASS_NAMES, MIN_VISIBLE, Scene, _label, _Shape, draw_scene
from shapes.textures import Image

from yolo_max.images.read import read_image
from yolo_max.predict.detector import Detector
from yolo_max.weights.checkpoint.read import read_checkpoint

REPOSITORY = Path(__file__).resolve().parent.parent

# (height, width): wide, tall, square, the smallest that is promised, large
SIZES = [(240, 320), (320, 180), (320, 320), (64, 64), (450, 800)]


def scene_bytes(scene: Scene) -> bytes:
    return b"".join(part.tobytes() for part in (scene.image, scene.boxes, scene.classes, scene.owner))


def read(path: Path) -> Image:
    image = cv2.imread(str(path))
    assert image is not None, path
    return np.asarray(image, np.uint8)


# --- Scenes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_a_scene_is_the_same_each_time(size: tuple[int, int]) -> None:
    first = draw_scene(7, 3, size)
    np.random.seed(0)  # the global state must not matter
    assert scene_bytes(first) == scene_bytes(draw_scene(7, 3, size))


def test_series_and_numbers_name_different_scenes() -> None:
    drawn = {scene_bytes(draw_scene(seed, index, (96, 96))) for seed in range(3) for index in range(5)}
    assert len(drawn) == 15


@pytest.mark.parametrize("size", SIZES)
def test_boxes_are_tight_around_the_visible_pixels(size: tuple[int, int]) -> None:
    for index in range(12):
        scene = draw_scene(11, index, size)
        assert scene.image.shape == (*size, 3)
        assert scene.image.dtype == np.uint8
        assert scene.owner.shape == size
        assert scene.boxes.dtype == np.float32
        assert len(scene.boxes) == len(scene.classes) == scene.owner.max()
        for number, box in enumerate(scene.boxes, start=1):
            rows, columns = np.nonzero(scene.owner == number)
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert 0 <= box[0] < box[2] <= size[1]
            assert 0 <= box[1] < box[3] <= size[0]


def test_every_class_occurs_small_and_large_hidden_and_cut() -> None:
    scenes = [draw_scene(12, index, (320, 320)) for index in range(60)]
    assert set(np.concatenate([scene.classes for scene in scenes]).tolist()) == set(range(len(CLASS_NAMES)))
    sides = np.concatenate([(scene.boxes[:, 2:] - scene.boxes[:, :2]).max(axis=1) for scene in scenes])
    assert sides.min() < 25
    assert sides.max() > 140
    boxes = np.concatenate([scene.boxes for scene in scenes])
    assert (boxes.min(axis=1) == 0).any()  # cut by the left or upper border
    counts = [len(scene.classes) for scene in scenes]
    assert min(counts) <= 2
    assert max(counts) >= 10


def test_a_shape_too_far_hidden_has_no_label() -> None:
    owner = np.zeros((20, 40), np.int32)
    owner[:10, :10] = 1  # 100 pixels in sight
    owner[10:, :10] = 2
    owner[:10, 20:30] = 3
    at_most = math.floor(100 / MIN_VISIBLE)  # the pixels that a shape may have in full, when 100 are seen
    shapes = [_Shape(4, at_most, 100), _Shape(2, at_most + 1, 100), _Shape(0, 100, 100), _Shape(1, 50, 0)]
    scene = _label(np.zeros((20, 40, 3), np.uint8), owner, shapes)
    assert scene.classes.tolist() == [4, 0]
    assert scene.boxes.tolist() == [[0, 0, 10, 10], [20, 0, 30, 10]]
    # The numbers close up, and the pixels of what has no label belong to nobody.
    assert np.unique(scene.owner[:10, :10]).tolist() == [1]
    assert np.unique(scene.owner[10:]).tolist() == [0]
    assert np.unique(scene.owner[:10, 20:30]).tolist() == [2]


@pytest.mark.parametrize("name", CLASS_NAMES)
def test_an_outline_fills_its_area(name: str) -> None:
    outline = [points * 90 + 100.3 for points in OUTLINES[name](np.random.default_rng(5))]
    mask = fill_mask(outline, (slice(0, 200), slice(0, 200)))
    polygons = [points.T for points in outline]
    areas = [abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2 for x, y in polygons]  # shoelace formula
    area = areas[0] - sum(areas[1:])
    # OpenCV's antialiased edges reach a little out of the polygon, and into a hole: by less than 0.8 pixel.
    length = sum(float(np.hypot(*(points - np.roll(points, 1, axis=0)).T).sum()) for points in outline)
    assert area < mask.sum() / 255 < area + 0.8 * length
    assert bool(mask[100, 100]) == (name != "ring")


@pytest.mark.parametrize("name", CLASS_NAMES)
def test_a_window_that_cuts_an_outline_sees_what_the_whole_image_sees_there(name: str) -> None:
    outline = [points * 90 + 100.3 for points in OUTLINES[name](np.random.default_rng(5))]
    mask = fill_mask(outline, (slice(-50, 250), slice(-50, 250)))
    for top, bottom, left, right in [
        (0, 200, 0, 200),
        (40, 150, 30, 90),
        (90, 260, -20, 110),
        (300, 310, 0, 9),
    ]:
        cut = fill_mask(outline, (slice(top, bottom), slice(left, right)))
        expected = np.zeros((bottom - top, right - left), np.uint8)
        part = mask[top + 50 : bottom + 50, left + 50 : right + 50]
        expected[: part.shape[0], : part.shape[1]] = part
        np.testing.assert_array_equal(cut, expected)


# --- Images and labels ------------------------------------------------------------------------------------


def test_labels_are_written_as_yolo_reads_them(tmp_path: Path) -> None:
    script = REPOSITORY / "scripts" / "make_demo_images.py"
    command = [sys.executable, str(script), "--out", str(tmp_path), "--seed", "3", "--count", "5", "--labels"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    paths = [Path(line) for line in done.stdout.splitlines()]
    assert [path.name for path in paths] == [
        "shapes-00.jpg", "shapes-01.jpg", "shapes-02.jpg", "shapes-03.png", "shapes-04.jpg",
    ]  # fmt: skip
    for index, path in enumerate(paths):
        assert path.parent == tmp_path / "images"
        scene = make_demo_images.numbered_scene(3, index)
        image = read(path)
        assert image.shape == scene.image.shape
        if path.suffix == ".png":
            np.testing.assert_array_equal(image, scene.image)
        rows = np.loadtxt(tmp_path / "labels" / f"{path.stem}.txt", ndmin=2).reshape(-1, 5)
        assert rows[:, 0].tolist() == scene.classes.tolist()
        height, width = scene.owner.shape
        centres, halves = rows[:, 1:3] * (width, height), rows[:, 3:5] * (width, height) / 2
        np.testing.assert_allclose(np.hstack([centres - halves, centres + halves]), scene.boxes, atol=2e-3)
    assert (tmp_path / "data.yaml").read_text(encoding="utf-8") == (
        "train: images\nval: images\nnames:\n"
        "  0: circle\n  1: ring\n  2: triangle\n  3: square\n  4: star\n  5: cross\n"
    )


def test_a_scene_without_shapes_has_an_empty_label() -> None:
    empty = Scene(
        np.zeros((64, 64, 3), np.uint8),
        np.zeros((0, 4), np.float32),
        np.zeros(0, np.int64),
        np.zeros((64, 64), np.int32),
    )
    assert make_demo_images.label_lines(empty) == []


def test_an_image_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "shapes-00.jpg").mkdir()
    with pytest.raises(OSError, match=r"shapes-00\.jpg"):
        make_demo_images.write_scenes(tmp_path, seed=2, count=1)


def test_the_bundled_images_are_those_that_the_script_draws() -> None:
    images = sorted((REPOSITORY / "images").glob("shapes-*"))
    assert len(images) == 8
    assert sum(path.stat().st_size for path in images) < 1_500_000
    for index, path in enumerate(images):
        bundled = read(path)
        drawn = make_demo_images.numbered_scene(make_demo_images.BUNDLED_SEED, index).image
        assert bundled.shape == drawn.shape
        # Averaged over 8 x 8 pixels, JPEG's loss and the last bits of another OpenCV all but vanish.
        size = (bundled.shape[1] // 8, bundled.shape[0] // 8)
        ours, theirs = (cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in (bundled, drawn))
        assert np.abs(ours.astype(np.int16) - theirs).max() < 25
        assert np.abs(ours.astype(np.int16) - theirs).mean() < 2


# --- Measuring --------------------------------------------------------------------------------------------


def labelled(image_id: int, category_id: int, box: tuple[float, float, float, float]) -> dict[str, Any]:
    return {
        "image_id": image_id,
        "category_id": category_id,
        **measure_demo.coco_box(np.array(box, np.float32)),
    }


TRUTH = [labelled(0, 0, (10, 10, 50, 50)), labelled(0, 1, (60, 60, 90, 90)), labelled(1, 0, (0, 0, 30, 40))]


@pytest.mark.parametrize(
    ("found", "circle", "ring"),
    [
        ([{**box, "score": 0.9} for box in TRUTH], (1.0, 1.0), (1.0, 1.0)),  # the truth itself
        ([], (0.0, 0.0), (0.0, 0.0)),  # nothing
        ([{**TRUTH[0], "score": 0.9, "image_id": 1}], (0.0, 0.0), (0.0, 0.0)),  # right, in the wrong image
        ([{**TRUTH[1], "score": 0.9, "category_id": 0}], (0.0, 0.0), (0.0, 0.0)),  # right, of the wrong class
        # one of two circles: precision 1 up to recall 0.5, which is 51 of COCO's 101 points
        ([{**TRUTH[0], "score": 0.9}], (51 / 101, 51 / 101), (0.0, 0.0)),
        # IoU 0.64 with the ring: right at 0.50, 0.55 and 0.60 of the ten thresholds
        ([{**labelled(0, 1, (60, 60, 84, 84)), "score": 0.5}], (0.0, 0.0), (0.3, 1.0)),
    ],
)
def test_average_precision(
    found: list[dict[str, Any]], circle: tuple[float, float], ring: tuple[float, float]
) -> None:
    ap = measure_demo.average_precision(TRUTH, found, scenes=2)
    assert ap["circle"] == pytest.approx(circle, abs=1e-6)
    assert ap["ring"] == pytest.approx(ring, abs=1e-6)
    mean = np.mean([ap[name] for name in CLASS_NAMES], axis=0)
    assert ap["all"] == pytest.approx(mean, abs=1e-6)


# --- Training ---------------------------------------------------------------------------------------------


def test_training_and_measuring_see_different_scenes() -> None:
    seeds = {train_demo.TRAINING_SEED, measure_demo.VALIDATION_SEED, make_demo_images.BUNDLED_SEED}
    assert len(seeds) == 3


def test_a_batch_is_what_the_loss_takes() -> None:
    scenes = train_demo.TrainingScenes(first=40, count=6, imgsz=96)
    samples = [scenes[item] for item in range(len(scenes))]
    batch = train_demo.collate(samples)
    assert batch["img"].shape == (6, 3, 96, 96)
    assert batch["img"].is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal((batch["img"][4] * 255).round().permute(1, 2, 0).numpy(), samples[4].image)
    count = sum(len(sample.classes) for sample in samples)
    assert batch["cls"].shape == (count, 1)
    assert batch["bboxes"].shape == (count, 4)
    for number, sample in enumerate(samples):
        mine = batch["batch_idx"] == number
        centres, sides = batch["bboxes"][mine].split(2, dim=1)
        corners = torch.cat([centres - sides / 2, centres + sides / 2], 1).numpy()
        np.testing.assert_allclose(corners, sample.boxes, atol=1e-6)
        assert batch["cls"][mine, 0].tolist() == sample.classes.tolist()
        assert corners.min(initial=0) >= -1e-6
        assert corners.max(initial=0) <= 1 + 1e-6


def test_the_learning_rate_rises_then_falls() -> None:
    rates = [train_demo.learning_rate(step) for step in range(train_demo.TOTAL_STEPS)]
    peak = int(np.argmax(rates))
    assert rates[peak] == train_demo.LEARNING_RATE
    assert peak in (train_demo.WARMUP_STEPS - 1, train_demo.WARMUP_STEPS)
    assert np.all(np.diff(rates[:peak]) > 0)
    assert np.all(np.diff(rates[peak + 1 :]) < 0)
    assert rates[-1] == pytest.approx(train_demo.LEARNING_RATE * train_demo.FINAL_SHARE, rel=0.01)


def drawn_here(
    scenes: train_demo.TrainingScenes, batch: int, *, collate_fn: Callable[..., Any], **_: object
) -> Iterator[Any]:
    """A DataLoader without its processes, which take seconds to start."""
    for first in range(0, len(scenes), batch):
        yield collate_fn([scenes[item] for item in range(first, first + batch)])


@pytest.fixture
def one_thread() -> Iterator[None]:
    """On so little work, threads cost more than they bring."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_training_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_demo, "PHASES", (train_demo.Phase(64, 2, 2), train_demo.Phase(96, 2, 1)))
    monkeypatch.setattr(
        train_demo, "measure", lambda *_, **__: measure_demo.Accuracy(64, 0, 0, {"all": (0, 0)})
    )
    monkeypatch.setattr(torch.utils.data, "DataLoader", drawn_here)
    whole = train_demo.Trainer(tmp_path)
    whole.model.train()
    for first_scene, imgsz in ((0, 64), (2, 64), (4, 96)):
        scenes = train_demo.TrainingScenes(first_scene, 2, imgsz)
        whole.train_on(train_demo.collate([scenes[0], scenes[1]]))
        if whole.step == 1:
            whole.save()

    resumed = train_demo.Trainer(tmp_path)
    assert resumed.step == 1
    resumed.run()
    assert resumed.step == whole.step == 3
    assert train_demo.Trainer(tmp_path).step == 3
    ours, theirs = resumed.average.ema.state_dict(), whole.average.ema.state_dict()
    for name, tensor in theirs.items():
        torch.testing.assert_close(
            ours[name], tensor, rtol=1e-4, atol=1e-5, msg=lambda text, n=name: f"{n}: {text}"
        )


def test_a_checkpoint_can_be_read_by_ultralytics_and_converted(tmp_path: Path) -> None:
    from ultralytics.nn.tasks import torch_safe_load

    path = tmp_path / "yolov8n-shapes.pt"
    train_demo.save_checkpoint(train_demo.new_model(), path)
    checkpoint, _ = torch_safe_load(path, safe_only=True)
    assert checkpoint["model"].names == dict(enumerate(CLASS_NAMES))
    assert checkpoint["model"].yaml["nc"] == len(CLASS_NAMES)
    assert next(checkpoint["model"].parameters()).dtype == torch.float16
    meta, tensors = read_checkpoint(path.read_bytes(), path.name)
    assert meta.names == dict(enumerate(CLASS_NAMES))
    assert meta.imgsz == measure_demo.IMGSZ
    assert tensors["model.22.cv3.0.2.bias"].shape == (len(CLASS_NAMES),)


# --- The picture in README.md -----------------------------------------------------------------------------


def test_the_picture_shows_scenes_side_by_side_at_one_height() -> None:
    scenes = [read_image(REPOSITORY / "images" / name) for name in readme_picture.SCENES]
    picture = readme_picture.row(scenes)
    widths = [round(scene.shape[1] * readme_picture.HEIGHT / scene.shape[0]) for scene in scenes]
    assert picture.shape == (readme_picture.HEIGHT, sum(widths) + 2 * readme_picture.GAP, 3)
    assert (picture[:, widths[0] : widths[0] + readme_picture.GAP] == 255).all()


def test_the_picture_is_the_one_that_the_script_makes() -> None:
    """Of the same scenes, without the boxes."""
    scenes = [read_image(REPOSITORY / "images" / name) for name in readme_picture.SCENES]
    bare = readme_picture.row(scenes)
    shown = read_image(REPOSITORY / "docs" / "images" / "demo.jpg")
    assert shown.shape == bare.shape
    assert np.median(np.abs(shown.astype(int) - bare)) < 4


# --- The bundled weights ----------------------------------------------------------------------------------


def test_the_bundled_weights_are_in_half_precision(demo_weights: Path) -> None:
    with demo_weights.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    header.pop("__metadata__")
    assert {entry["dtype"] for entry in header.values()} == {"F16"}
    assert demo_weights.stat().st_size < 6_500_000


@pytest.mark.usefixtures("one_thread")
def test_the_bundled_weights_find_what_was_drawn(demo_weights: Path) -> None:
    detector = Detector(demo_weights, engine="torch")
    assert tuple(detector.weights.meta.names.values()) == CLASS_NAMES
    assert detector.imgsz == (measure_demo.IMGSZ, measure_demo.IMGSZ)
    labelled_shapes = found_shapes = right = 0
    for index, path in enumerate(sorted((REPOSITORY / "images").glob("shapes-*"))):
        scene = make_demo_images.numbered_scene(make_demo_images.BUNDLED_SEED, index)
        found = detector(path)
        same_class = scene.classes[:, None] == found.class_id[None]
        pairs = np.argwhere(same_class & (iou(scene.boxes, found.xyxy) > 0.5))
        right += min(len(set(pairs[:, 0])), len(set(pairs[:, 1])))
        labelled_shapes += len(scene.classes)
        found_shapes += len(found)
    # More than any wrong tensor or class order leaves over; how good they are, weights/README.md says.
    assert right > 0.9 * labelled_shapes
    assert right > 0.8 * found_shapes


def iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of every box of [N, 4] with every box of [M, 4]: [N, M]."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = (high - low).clip(0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (a, b)]
    overlap: NDArray[np.float32] = shared / (areas[0][:, None] + areas[1][None] - shared)
    return overlap
