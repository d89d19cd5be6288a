from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml  # type: ignore[import-untyped]
from fakes import write_image

from yolo_max.support.errors import SourceError, UsageError
from yolo_max.verify.val.dataset import Dataset
from yolo_max.verify.val.labels import read_labels
from yolo_max.verify.val.load import load_dataset

NAMES = {0: "disc", 1: "square"}


def _write(root: Path, labels: dict[str, str | None], **description: Any) -> Path:
    """A dataset on the disk: an image for each entry, and a label file where there is text for one."""
    for name, text in labels.items():
        write_image(root / "images" / "val" / f"{name}.png", seed=0)
        if text is not None:
            file = root / "labels" / "val" / f"{name}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    path = root / "data.yaml"
    path.write_text(yaml.safe_dump({"path": ".", "val": "images/val", "names": NAMES, **description}))
    return path


def _labels(tmp_path: Path, text: str) -> list[list[float]]:
    file = tmp_path / "a.txt"
    file.write_text(text)
    class_id, xyxy = read_labels(file, NAMES)
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
        ("0 nan 0.5 0.2 0.2", "has a number outside 0 to 1 in line 1"),
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
        class_id, xyxy = read_labels(labels, NAMES, points * numbers)
    except ValueError:
        assert theirs is None
        return
    ours = np.column_stack([class_id, (xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]])
    assert theirs is not None
    np.testing.assert_allclose(sorted(ours.tolist()), sorted(theirs.tolist()), atol=1e-6)


@pytest.mark.parametrize("kpt_shape", [3, [17], [17, 4], [17, "3"], {"a": 1}])
def test_a_kpt_shape_that_makes_no_sense(tmp_path: Path, kpt_shape: Any) -> None:
    with pytest.raises(SourceError, match=r"kpt_shape that is not \[keypoints, 2 or 3\]"):
        load_dataset(_write(tmp_path, {"a": ""}, kpt_shape=kpt_shape))


def test_pose_labels_are_boxes(tmp_path: Path) -> None:
    path = _write(tmp_path, {"a": "1 0.5 0.5 0.2 0.4 0.1 0.1 0.9 0.9"}, kpt_shape=[2, 2])
    np.testing.assert_allclose(load_dataset(path).examples[0].xyxy, [[0.4, 0.3, 0.6, 0.7]])


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [_fifo, _device, Path.mkdir])
def test_labels_that_are_no_files_are_refused_at_once(tmp_path: Path, make: Any) -> None:
    path = _write(tmp_path, {"a": None, "b": ""})
    make(tmp_path / "labels" / "val" / "a.txt")
    dataset = load_dataset(path)
    assert [example.path.stem for example in dataset.examples] == ["b"]
    (problem,) = dataset.problems
    assert problem.endswith("a.txt cannot be read: it is not a regular file")


@pytest.mark.parametrize("make", [_fifo, _device])
@pytest.mark.parametrize("name", ["data.yaml", "data.json", "list.txt"])
def test_descriptions_that_are_no_files_are_refused_at_once(tmp_path: Path, make: Any, name: str) -> None:
    path = tmp_path / name
    if name == "list.txt":
        path = _write(tmp_path, {"a": ""}, val=name)
    make(tmp_path / name)
    with pytest.raises(SourceError, match="cannot be read: it is not a regular file"):
        load_dataset(path)


def test_images_that_are_no_files_are_not_passed_over(tmp_path: Path) -> None:
    path = _write(tmp_path, {"a": ""})
    (tmp_path / "images" / "val" / "folder.png").mkdir()
    (tmp_path / "images" / "val" / "gone.png").symlink_to("nowhere")
    _fifo(tmp_path / "images" / "val" / "pipe.png")
    assert [example.path.stem for example in load_dataset(path).examples] == ["a", "gone", "pipe"]


def test_binary_labels(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is not text"):
        read_labels(tmp_path / "a.txt", NAMES)


def test_images_without_labels_are_background(tmp_path: Path) -> None:
    dataset = load_dataset(_write(tmp_path, {"a": None, "b": "", "c": "0 0.5 0.5 0.5 0.5"}))
    assert [len(example.class_id) for example in dataset.examples] == [0, 0, 1]
    assert dataset.problems == ()
    assert dataset.unlabelled == 1


def test_a_dataset_without_any_label_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no image .* has a label file; looked for .*labels/val/a\.txt"):
        load_dataset(_write(tmp_path, {"a": None, "b": None}))


def test_labels_that_may_not_be_read_are_not_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = Path.stat

    def refuse(self: Path, *, follow_symlinks: bool = True) -> Any:
        if self.suffix == ".txt":
            raise PermissionError
        return stat(self, follow_symlinks=follow_symlinks)

    path = _write(tmp_path, {"a": ""})
    monkeypatch.setattr(Path, "stat", refuse)
    assert load_dataset(path).unlabelled == 0


def test_junk_leaves_the_image_out_and_says_so(tmp_path: Path) -> None:
    dataset = load_dataset(_write(tmp_path, {"a": "7 0.5 0.5 0.5 0.5", "b": "0 0.5 0.5 0.5 0.5"}))
    assert [example.path.name for example in dataset.examples] == ["b.png"]
    (problem,) = dataset.problems
    assert problem.startswith(f"{tmp_path / 'labels/val/a.txt'} has class 7 in line 1")


def test_boxes_in_pixels(tmp_path: Path) -> None:
    dataset = load_dataset(_write(tmp_path, {"a": "1 0.5 0.5 0.2 0.4"}))
    np.testing.assert_allclose(dataset.examples[0].pixels((40, 60)), [[24, 12, 36, 28]])


@pytest.mark.parametrize(
    "names",
    [{0: "disc", 1: "square"}, ["disc", "square"], {"1": "square", "0": "disc"}, {"0": "disc", 1: "square"}],
)
def test_names(tmp_path: Path, names: Any) -> None:
    assert load_dataset(_write(tmp_path, {"a": ""}, names=names)).names == NAMES


def test_a_class_count_names_the_classes(tmp_path: Path) -> None:
    dataset = load_dataset(_write(tmp_path, {"a": ""}, names=None, nc=2))
    assert dataset.names == {0: "class_0", 1: "class_1"}


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "cp1252", "gbk"],
    ids=["utf-8", "bom", "utf-16", "cp1252", "gbk"],
)
def test_encodings_of_a_yaml(tmp_path: Path, encoding: str) -> None:
    path = _write(tmp_path, {"a": ""})
    comment = "# 数据集\n" if encoding == "gbk" else "# Datensätze\n"
    path.write_bytes((comment + path.read_text()).encode(encoding))
    assert load_dataset(path).names == NAMES


def _laughs(values: str) -> str:
    """Lists that hold each other: 10 ** 9 values in a few lines."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    return "\n".join([*lines, values])


def _merges() -> str:
    lines = ["b0: &b0 {k0: v}"]
    lines += [f"b{i}: &b{i} {{<<: [{', '.join([f'*b{i - 1}'] * 10)}], k{i}: v}}" for i in range(1, 9)]
    return "\n".join([*lines, "val: images/val", "names: [a]"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_laughs("val: images/val\nnames: [*a8]"), "holds more than 100,000 values"),
        (_laughs("val: [*a8]\nnames: [a]"), "holds more than 100,000 values"),
        (_laughs("path: *a8\nval: images/val\nnames: [a]"), "holds more than 100,000 values"),
        (_merges(), "holds more than 100,000 values"),
        ("a: &a [*a]\nval: images/val\nnames: [a]", "holds more than 100,000 values"),  # a list in itself
        ("[" * 5000, "nested too deeply"),
        ("val: images/val\nnc: 2000000000", "does not name its classes"),
        ("val: images/val\nnames: {2000000000: a}", "class id that is not a number from 0 to 99,999"),
        ("val: images/val\nnames: {yes: a}", "class id that is not a number"),
        ("val: images/val\nnames: {-1: a}", "class id that is not a number"),
        (f"val: images/val\nnames:\n  ? 0x{'f' * 9999}\n  : a", "class id that is not a number"),
        (f"val: images/val\nnames: [0x{'f' * 9999}]", "class name that is not text"),
        (f"val: images/val\nnames: [{'9' * 9999}]", "is not YAML"),
        ("val: images/val\nnames: [[a]]", "class name that is not text, but of type list"),
        ("val: {a: b}\nnames: [a]", "val that is not text, but of type dict"),
        ("path: [a]\nval: images/val\nnames: [a]", "path that is not text"),
        (f"val: {'x' * 9999}\nnames: [a]", "names a file that cannot be looked up"),
        ("#" * 2**20 + "\nval: images/val\nnames: [a]", "more than 1,048,576"),
    ],
)
def test_hostile_yaml_is_refused_at_once(tmp_path: Path, text: str, message: str) -> None:
    path = _write(tmp_path, {"a": ""})
    path.write_text(text)
    with pytest.raises(SourceError, match=message):
        load_dataset(path)


@pytest.mark.parametrize("root", [None, ".", "absolute", "sub"])
def test_the_root_is_looked_for_beside_the_yaml(
    tmp_path: Path, root: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder = tmp_path / "data" / "sub" if root == "sub" else tmp_path / "data"
    path = _write(folder, {"a": ""}, path=str(folder) if root == "absolute" else root)
    if root == "sub":
        path = path.rename(tmp_path / "data" / "data.yaml")
    monkeypatch.chdir(elsewhere)
    assert len(load_dataset(path).examples) == 1


@pytest.mark.parametrize("place", [".", "datasets", "../datasets"])
def test_the_root_is_looked_for_where_ultralytics_does(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    working = tmp_path / "working"
    working.mkdir()
    monkeypatch.chdir(working)
    yaml_file = _write(working / place / "shapes", {"a": ""}, path="shapes")
    (tmp_path / "descriptions").mkdir()
    moved = yaml_file.rename(tmp_path / "descriptions" / "shapes.yaml")
    assert len(load_dataset(moved).examples) == 1


def test_a_split_may_be_a_list_of_files_and_folders(tmp_path: Path) -> None:
    path = _write(
        tmp_path, {"a": "", "b": None, "c": None}, val=["list.txt"], test=["images/val", "list.txt"]
    )
    absolute = tmp_path / "images" / "val" / "b.png"
    (tmp_path / "list.txt").write_text(f"./images/val/a.png\n{absolute}\n\n./notes.md\n")
    assert [each.path.name for each in load_dataset(path).examples] == ["a.png", "b.png"]
    assert len(load_dataset(path, split="test").examples) == 5


def test_hidden_images_are_none_of_the_dataset(tmp_path: Path) -> None:
    path = _write(tmp_path, {"a": "0 0.5 0.5 1 1", "._a": None, ".checkpoints/a-checkpoint": None})
    assert [example.path.stem for example in load_dataset(path).examples] == ["a"]


def test_a_split_may_be_one_image(tmp_path: Path) -> None:
    path = _write(tmp_path, {"a": "", "b": ""}, val="images/val/b.png")
    assert [example.path.stem for example in load_dataset(path).examples] == ["b"]


def test_a_split_that_leaves_the_dataset_may_mean_a_folder_in_it(tmp_path: Path) -> None:
    """As Roboflow writes it: no root, ``../images/val``, and the folder beside the YAML all the same."""
    path = _write(tmp_path / "data", {"a": ""}, path=None, val="../images/val")
    assert len(load_dataset(path).examples) == 1
    _write(tmp_path, {"outside": ""})
    assert [example.path.stem for example in load_dataset(path).examples] == ["outside"]


def test_a_list_that_is_no_text(tmp_path: Path) -> None:
    path = _write(tmp_path, {"a": ""}, val="val.txt")
    (tmp_path / "val.txt").write_bytes("images/val/é.png".encode("latin-1"))
    with pytest.raises(SourceError, match=r"val\.txt is not a list of images in UTF-8"):
        load_dataset(path)


def test_other_files_between_the_images(tmp_path: Path) -> None:
    path = _write(tmp_path, {"a": ""})
    (tmp_path / "images" / "val" / "notes.txt").write_text("x")
    (tmp_path / "images" / "val" / "deeper").mkdir()
    write_image(tmp_path / "images" / "val" / "deeper" / "b.JPG", seed=0)
    assert [each.path.name for each in load_dataset(path).examples] == ["a.png", "b.JPG"]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (None, SourceError, "cannot be read: No such file"),
        ("a: [", SourceError, "is not YAML"),
        ("- a", SourceError, "does not describe a dataset"),
        ("val: images", SourceError, "does not name its classes"),
        ("val: images\nnames: 3", SourceError, "does not name its classes"),
        ("train: images\nnames: [a]", UsageError, "has no split 'val'; it has train"),
        ("names: [a]", UsageError, "has no split 'val'; it needs a line such as val: images/val"),
        ("val: nowhere\nnames: [a]", SourceError, "are not there; looked for"),
        ("val: empty\nnames: [a]", SourceError, "holds no image"),
    ],
)
def test_yaml_that_cannot_be_used(
    tmp_path: Path, text: str | None, error: type[Exception], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    path = tmp_path / "data.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(error, match=message):
        load_dataset(path)


def test_a_folder_is_no_dataset_for_detection(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"is a folder; .* give its dataset's YAML or COCO's json\."):
        load_dataset(tmp_path)
    (tmp_path / "data.yaml").touch()
    with pytest.raises(SourceError, match=r"json, such as .*/data\.yaml\."):
        load_dataset(tmp_path)


COCO = {
    "images": [{"id": 7, "file_name": "a.png"}, {"id": 3, "file_name": "b.png"}],
    "categories": [{"id": 1, "name": "disc"}, {"id": 90, "name": "square"}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 90, "bbox": [10, 20, 30, 40], "area": 600.5, "iscrowd": 0},
        {"id": 2, "image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 1},
    ],
}


def _coco(root: Path, folder: str = "images", **changes: Any) -> Dataset:
    for name in ("a.png", "b.png"):
        write_image(root / folder / name, seed=0)
    path = root / "annotations" / "instances_val.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**COCO, **changes}))
    return load_dataset(path)


@pytest.mark.parametrize("folder", ["images", "val", "images/val", "annotations", "annotations/images"])
def test_coco_json(tmp_path: Path, folder: str) -> None:
    dataset = _coco(tmp_path, folder)
    assert dataset.names == {1: "disc", 90: "square"}
    assert [(each.image_id, each.path.name) for each in dataset.examples] == [(3, "b.png"), (7, "a.png")]
    background, full = dataset.examples
    assert len(background.class_id) == 0
    assert full.class_id.tolist() == [90, 1]
    assert full.pixels((40, 60)).tolist() == [[10, 20, 40, 60], [1, 2, 4, 6]]
    assert full.area.tolist() == [600.5, 12]
    assert full.crowd.tolist() == [False, True]


def test_coco_json_with_its_images_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="say where with --images"):
        _coco(tmp_path, "pictures")
    path = tmp_path / "annotations" / "instances_val.json"
    assert len(load_dataset(path, images=tmp_path / "pictures").examples) == 2
    with pytest.raises(SourceError, match="which is not in"):
        load_dataset(path, images=tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": [], "annotations": []}, "lists no image"),
        ({"categories": []}, "categories that it does not list"),
        ({"images": [{"id": float("inf"), "file_name": "a"}]}, "is not COCO's json of boxes: OverflowError"),
        ({"annotations": [{"image_id": 7}]}, "is not COCO's json of boxes: KeyError: 'bbox'"),
        (
            {"annotations": [{"image_id": 8, "category_id": 1, "bbox": [1, 2, 3, 4]}]},
            "images that it does not list: \\[8\\]",
        ),
        (
            {"annotations": [{"image_id": 7, "category_id": 1, "bbox": [1, 2, 3]}]},
            "is not COCO's json of boxes: ValueError",
        ),
    ],
)
def test_coco_json_that_cannot_be_used(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        _coco(tmp_path, **changes)


@pytest.mark.parametrize(
    "annotation",
    [
        {"bbox": []},
        {"bbox": [1, 2, 3]},
        {"bbox": None},
        {"bbox": [1, 2, -3, 4]},
        {"bbox": [1, 2, float("inf"), 4]},
        {"bbox": ["a", 2, 3, 4]},
        {"bbox": [1, 2, 3, 4], "area": "large"},
        {},  # a mask without a box
    ],
)
def test_an_annotation_without_a_box_costs_itself(tmp_path: Path, annotation: dict[str, Any]) -> None:
    broken = {"id": 3, "image_id": 7, "category_id": 1, **annotation}
    dataset = _coco(tmp_path, annotations=[*COCO["annotations"], broken, broken])
    assert dataset.examples[1].class_id.tolist() == [90, 1]
    (problem,) = dataset.problems
    assert problem.startswith("2 annotations of a.png without a usable box (")


def test_deep_json(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text("[" * 100_000)
    with pytest.raises(SourceError, match="is not COCO's json of boxes: RecursionError"):
        load_dataset(path)


def test_ids_in_saved_predictions_are_those_of_ultralytics(tmp_path: Path) -> None:
    dataset = load_dataset(_write(tmp_path, {"000000000139": "", "a1": ""}))
    assert [example.image_id for example in dataset.examples] == [139, "a1"]
    assert dataset.category_ids == {0: 1, 1: 2}


def test_categories_of_coco_itself_have_gaps(tmp_path: Path) -> None:
    from ultralytics.data.converter import coco80_to_coco91_class

    root = tmp_path / "coco"
    names = [f"class_{i}" for i in range(80)]
    path = _write(root, {"a": ""}, names=names, val="val2017.txt")
    (root / "val2017.txt").write_text("./images/val/a.png\n")
    assert list(load_dataset(path).category_ids.values()) == coco80_to_coco91_class()


def test_a_yaml_names_its_own_images(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names its own"):
        load_dataset(_write(tmp_path, {"a": ""}), images=tmp_path)
