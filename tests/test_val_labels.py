"""YOLO label files, and images with and without them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import write_image
from val_datasets import NAMES, make_device, make_fifo, write_dataset

from yolo_max.support.errors import SourceError
from yolo_max.verify.val.labels import read_labels
from yolo_max.verify.val.load import load_dataset


def _labels(tmp_path: Path, text: str) -> list[list[float]]:
    file = tmp_path / "a.txt"
    file.write_text(text)
    class_id, xyxy, _ = read_labels(file, NAMES)
    return [[float(c), *np.round(box, 6).tolist()] for c, box in zip(class_id, xyxy, strict=True)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("\n  \n", []),
        ("1 0.5 0.5 0.2 0.4\n", [[1, 0.4, 0.3, 0.6, 0.7]]),
        ("\ufeff1 0.5 0.5 0.2 0.4", [[1, 0.4, 0.3, 0.6, 0.7]]),  # a byte order mark, no end of line
        ("1.0 5e-1 .5 0.2 0.4", [[1, 0.4, 0.3, 0.6, 0.7]]),
        ("0 0.5 0.5 1 1\n0 0.5 0.5 1 1", [[0, 0, 0, 1, 1]]),  # the same line counts once
        ("0 .5 .5 .2 .4\n0 .50000000001 .5 .2 .4", [[0, 0.4, 0.3, 0.6, 0.7]]),  # equal in float32
        ("0 .5 .5 .2 .4\n0 .501 .5 .2 .4", [[0, 0.4, 0.3, 0.6, 0.7], [0, 0.401, 0.3, 0.601, 0.7]]),
        ("0 0.5 0.5 1 1\n1 0.5 0.5 1 1", [[0, 0, 0, 1, 1], [1, 0, 0, 1, 1]]),
        ("0 0.1 0.2 0.5 0.1 0.3 0.9", [[0, 0.1, 0.1, 0.5, 0.9]]),  # a polygon means the box around it
        ("0 0.5 1.009 0.2 0.2", [[0, 0.4, 0.909, 0.6, 1.109]]),  # a hair outside is let pass
        ("0 0.5 0.5 0 0", [[0, 0.5, 0.5, 0.5, 0.5]]),
    ],
)
def test_labels(tmp_path: Path, text: str, expected: list[list[float]]) -> None:
    assert _labels(tmp_path, text) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0 0.5 0.5 0.2", "has 4 numbers in line 1, where a box has 5"),
        ("0 0.5 0.5 0.2 0.2 0.9", "has 6 numbers in line 1"),
        (
            "0 0.5 0.5 0.2 0.2\n\n2 0.5 0.5 0.2 0.2",
            "has class 2 in line 3, but the dataset's classes run from",
        ),
        ("-1 0.5 0.5 0.2 0.2", "has class -1 in line 1"),
        ("0.5 0.5 0.5 0.2 0.2", "has class 0.5 in line 1"),
        ("0 320 240 50 50", "has a number outside 0 to 1 in line 1"),  # pixels
        ("0 nan 0.5 0.2 0.2", "has a number that is not finite in line 1"),
        ("0 0.5 0.5 0.2 inf", "has a number that is not finite in line 1"),
        ("nan 0.5 0.5 0.2 0.2", "has a number that is not finite in line 1"),
        # Of a polygon: min and max would pass over it.
        ("0 0.1 0.1 nan nan 0.5 0.5 0.3 0.9", "has a number that is not finite in line 1"),
        ("0 0.5 0.5 -0.005 0.2", "has a box of negative size in line 1"),
        ("disc 0.5 0.5 0.2 0.2", "has something other than numbers in line 1"),
        ("<html>", "has something other than numbers in line 1"),
    ],
)
def test_junk_in_labels(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        _labels(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "kpt_shape"),
    [
        ("0 0.5 0.5 0.2 0.2 0.4 0.4 2 0.6 0.6 1", (2, 3)),  # a pose: the box counts
        ("0 0.5 0.5 0.2 0.2 0.4 0.4 0.6 0.6", (2, 2)),  # one that looks like a polygon
        ("0 0.5 0.5 0.2 0.2 320 240 2 0 0 0", (2, 3)),  # keypoints in pixels are no matter
        ("0 0.5 0.5 0.2 0.2", (2, 3)),  # a box without keypoints
        ("0 0.1 0.1 0.9 0.1 0.5 0.9", (2, 3)),  # a polygon all the same
        ("0 0.5 0.5 0.2 0.2 0.4 0.4 2", (2, 3)),  # too few keypoints
        ("0 -0.1 0.2 0.5 0.1 0.3 0.9", None),  # a point outside, whose box has its centre and size inside
        ("0 0.9 0.2 1.3 0.1 1.2 0.9", None),  # a box whose centre lies outside
        ("0 -0.6 0.2 0.6 0.1 0.3 0.9", None),  # a box wider than the image
        ("0 0.1 0.2 0.5 0.1 0.3 0.9\n0 0.5 0.5 0.2 0.2", None),  # a polygon and a box
        ("0 0.5 0.5 0.2 0.2\n0 0.1 0.2 0.5 0.1 0.3 0.9 0.4 0.4", None),
        ("0 0.1 0.2 0.5 0.1 0.3 0.9\n0 0.1 0.2 0.5 0.1 0.3 0.9", None),  # the same polygon counts once
        ("0 0.1 0.1 0.5 0.1 0.3 0.9\n0 0.1 0.1 0.5 0.1 0.4 0.9", None),  # another one with the same box
        ("0 0.1 0.2 0.5 0.1 0.3 0.9\n0 0.1 0.2 0.5 0.1 0.3", None),  # half a point
        ("0 0.1 0.2 0.5 0.1 0.3", None),
        ("0 0.1 0.2 0.9 0.2 0.9 0.8 0.1 0.8", None),  # an oriented box
    ],
)
def test_labels_mean_what_they_mean_to_ultralytics(
    tmp_path: Path, text: str, kpt_shape: tuple[int, int] | None
) -> None:
    from ultralytics.data.utils import verify_image_label

    image = write_image(tmp_path / "a.png", seed=0)
    labels = tmp_path / "a.txt"
    labels.write_text(text)
    points, numbers = kpt_shape or (0, 0)
    theirs = verify_image_label((str(image), str(labels), "", False, len(NAMES), points, numbers, False))[1]
    try:
        class_id, xyxy, _ = read_labels(labels, NAMES, points * numbers)
    except ValueError:
        assert theirs is None
        return
    ours = np.column_stack([class_id, (xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]])
    assert theirs is not None
    np.testing.assert_allclose(sorted(ours.tolist()), sorted(theirs.tolist()), atol=1e-6)


def test_pose_labels_are_boxes(tmp_path: Path) -> None:
    path = write_dataset(tmp_path, {"a": "1 0.5 0.5 0.2 0.4 0.1 0.1 0.9 0.9"}, kpt_shape=[2, 2])
    np.testing.assert_allclose(load_dataset(path).examples[0].xyxy, [[0.4, 0.3, 0.6, 0.7]])


@pytest.mark.parametrize("make", [make_fifo, make_device, Path.mkdir])
def test_labels_that_are_no_files_are_refused_at_once(tmp_path: Path, make: Any) -> None:
    path = write_dataset(tmp_path, {"a": None, "b": ""})
    make(tmp_path / "labels" / "val" / "a.txt")
    dataset = load_dataset(path)
    assert [example.path.stem for example in dataset.examples] == ["b"]
    (problem,) = dataset.problems
    assert problem.endswith("a.txt cannot be read: it is not a regular file")


def test_binary_labels(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is not text"):
        read_labels(tmp_path / "a.txt", NAMES)


def test_images_without_labels_are_background(tmp_path: Path) -> None:
    dataset = load_dataset(write_dataset(tmp_path, {"a": None, "b": "", "c": "0 0.5 0.5 0.5 0.5"}))
    assert [len(example.class_id) for example in dataset.examples] == [0, 0, 1]
    assert dataset.problems == ()
    assert dataset.unlabelled == 1


def test_a_dataset_without_any_label_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no image .* has a label file; looked for .*labels/val/a\.txt"):
        load_dataset(write_dataset(tmp_path, {"a": None, "b": None}))


def test_labels_that_may_not_be_read_are_not_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = Path.stat

    def refuse(self: Path, *, follow_symlinks: bool = True) -> Any:
        if self.suffix == ".txt":
            raise PermissionError
        return stat(self, follow_symlinks=follow_symlinks)

    path = write_dataset(tmp_path, {"a": ""})
    monkeypatch.setattr(Path, "stat", refuse)
    assert load_dataset(path).unlabelled == 0


def test_junk_leaves_the_image_out_and_says_so(tmp_path: Path) -> None:
    dataset = load_dataset(write_dataset(tmp_path, {"a": "7 0.5 0.5 0.5 0.5", "b": "0 0.5 0.5 0.5 0.5"}))
    assert [example.path.name for example in dataset.examples] == ["b.png"]
    (problem,) = dataset.problems
    assert problem.startswith(f"{tmp_path / 'labels/val/a.txt'} has class 7 in line 1")
