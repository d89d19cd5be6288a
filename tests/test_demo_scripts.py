"""The pictures in images/, the data sets like them, and the bundled weights."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import make_demo_images
import numpy as np
import pytest
import readme_picture
from numpy.typing import NDArray
from shapes.scenes import CLASS_NAMES
from shapes.series import SERIES
from shapes.textures import Image

from yolo_max.images.read import read_image
from yolo_max.predict.detector import Detector
from yolo_max.predict.predictor import Predictor
from yolo_max.tasks.segment.segmentation import Segmentation
from yolo_max.weights.locate import BUNDLED

REPOSITORY = Path(__file__).resolve().parent.parent


def read(path: Path) -> Image:
    image = cv2.imread(str(path))
    assert image is not None, path
    return np.asarray(image, np.uint8)


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
        scene = SERIES["detect"].numbered(3, index)
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


@pytest.mark.parametrize("task", ["segment", "pose", "obb"])
def test_a_data_set_is_what_ultralytics_takes_it_for(task: str, tmp_path: Path) -> None:
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset

    make_demo_images.write_scenes(tmp_path, seed=4, count=4, labels=True, task=task)
    data = check_det_dataset(str(tmp_path / "data.yaml"))
    assert tuple(data["names"].values()) == SERIES[task].names
    read = YOLODataset(img_path=data["val"], data=data, task=task, augment=False)
    labels = {Path(label["im_file"]).stem: label for label in read.get_labels()}
    noun = SERIES[task].noun
    assert len(labels) == 4
    for index in range(4):
        scene, label = SERIES[task].numbered(4, index), labels[f"{noun}-{index:02d}"]
        height, width = scene.owner.shape
        assert label["shape"] == (height, width)
        assert label["cls"].ravel().tolist() == scene.classes.tolist()
        if task == "pose":
            places = label["keypoints"] * (width, height, 1)
            np.testing.assert_allclose(places, scene.keypoints, atol=1e-3)
        if task == "obb":
            corners = np.array(label["segments"]) * (width, height)
            np.testing.assert_allclose(corners.reshape(-1, 4, 2), scene.corners, atol=1e-3)


def test_a_data_set_for_classify_has_a_folder_for_each_class(tmp_path: Path) -> None:
    paths = make_demo_images.write_scenes(tmp_path, seed=4, count=8, labels=True, task="classify")
    for index, path in enumerate(paths):
        class_id = SERIES["classify"].numbered(4, index).classes[0]
        assert path.parent == tmp_path / "val" / CLASS_NAMES[class_id]
    assert {path.name for path in tmp_path.iterdir()} == {"val"}


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
        drawn = SERIES["detect"].numbered(make_demo_images.BUNDLED_SEED, index).image
        assert bundled.shape == drawn.shape
        # Averaged over 8 x 8 pixels, JPEG's loss and the last bits of another OpenCV all but vanish.
        size = (bundled.shape[1] // 8, bundled.shape[0] // 8)
        ours, theirs = (cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in (bundled, drawn))
        assert np.abs(ours.astype(np.int16) - theirs).max() < 25
        assert np.abs(ours.astype(np.int16) - theirs).mean() < 2


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


@pytest.mark.parametrize("name", ["yolov8n-shapes", "yolo11n-seg-shapes"])
def test_the_bundled_weights_are_in_half_precision(name: str) -> None:
    weights = BUNDLED / f"{name}.safetensors"
    with weights.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    header.pop("__metadata__")
    assert {entry["dtype"] for entry in header.values()} == {"F16"}
    assert weights.stat().st_size < 6_500_000


@pytest.mark.usefixtures("one_thread")
def test_the_bundled_weights_find_what_was_drawn(demo_weights: Path) -> None:
    detector = Detector(demo_weights, engine="torch")
    assert tuple(detector.weights.meta.names.values()) == CLASS_NAMES
    assert detector.imgsz == (320, 320)
    labelled_shapes = found_shapes = right = 0
    for index, path in enumerate(sorted((REPOSITORY / "images").glob("shapes-*"))):
        scene = SERIES["detect"].numbered(make_demo_images.BUNDLED_SEED, index)
        found = detector(path)
        same_class = scene.classes[:, None] == found.class_id[None]
        pairs = np.argwhere(same_class & (iou(scene.boxes, found.xyxy) > 0.5))
        right += min(len(set(pairs[:, 0])), len(set(pairs[:, 1])))
        labelled_shapes += len(scene.classes)
        found_shapes += len(found)
    # More than any wrong tensor or class order leaves over; how good they are, their README.md says.
    assert right > 0.9 * labelled_shapes
    assert right > 0.8 * found_shapes


@pytest.mark.usefixtures("one_thread")
def test_the_bundled_masks_are_those_of_what_was_drawn() -> None:
    predictor = Predictor("yolo11n-seg-shapes", engine="torch")
    assert tuple(predictor.weights.meta.names.values()) == CLASS_NAMES
    labelled_shapes = right = 0
    for index, path in enumerate(sorted((REPOSITORY / "images").glob("shapes-*"))):
        scene = SERIES["segment"].numbered(make_demo_images.BUNDLED_SEED, index)
        found = predictor(path)
        assert isinstance(found, Segmentation)
        for number, class_id in enumerate(scene.classes, start=1):
            drawn = scene.owner == number
            masks = found.masks[found.class_id == class_id]
            shared = (masks & drawn).sum(axis=(1, 2)) / np.maximum(1, (masks | drawn).sum(axis=(1, 2)))
            right += bool((shared > 0.5).any())
            labelled_shapes += 1
    # Shifted masks, or coefficients of other cells, would leave next to none.
    assert right > 0.55 * labelled_shapes


def iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of every box of [N, 4] with every box of [M, 4]: [N, M]."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = (high - low).clip(0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (a, b)]
    overlap: NDArray[np.float32] = shared / (areas[0][:, None] + areas[1][None] - shared)
    return overlap
