from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import write_image
from val_datasets import NAMES, make_device, make_fifo, write_dataset

from yolo_max.support.errors import SourceError, UsageError
from yolo_max.verify.val.load import load_dataset


@pytest.mark.parametrize("kpt_shape", [3, [17], [17, 4], [17, "3"], {"a": 1}])
def test_a_kpt_shape_that_makes_no_sense(tmp_path: Path, kpt_shape: Any) -> None:
    with pytest.raises(SourceError, match=r"kpt_shape that is not \[keypoints, 2 or 3\]"):
        load_dataset(write_dataset(tmp_path, {"a": ""}, kpt_shape=kpt_shape))


@pytest.mark.parametrize("make", [make_fifo, make_device])
@pytest.mark.parametrize("name", ["data.yaml", "data.json", "list.txt"])
def test_descriptions_that_are_no_files_are_refused_at_once(tmp_path: Path, make: Any, name: str) -> None:
    path = tmp_path / name
    if name == "list.txt":
        path = write_dataset(tmp_path, {"a": ""}, val=name)
    make(tmp_path / name)
    with pytest.raises(SourceError, match="cannot be read: it is not a regular file"):
        load_dataset(path)


def test_images_that_are_no_files_are_not_passed_over(tmp_path: Path) -> None:
    path = write_dataset(tmp_path, {"a": ""})
    (tmp_path / "images" / "val" / "folder.png").mkdir()
    (tmp_path / "images" / "val" / "gone.png").symlink_to("nowhere")
    make_fifo(tmp_path / "images" / "val" / "pipe.png")
    assert [example.path.stem for example in load_dataset(path).examples] == ["a", "gone", "pipe"]


def test_boxes_in_pixels(tmp_path: Path) -> None:
    dataset = load_dataset(write_dataset(tmp_path, {"a": "1 0.5 0.5 0.2 0.4"}))
    np.testing.assert_allclose(dataset.examples[0].pixels((40, 60)), [[24, 12, 36, 28]])


@pytest.mark.parametrize(
    "names",
    [{0: "disc", 1: "square"}, ["disc", "square"], {"1": "square", "0": "disc"}, {"0": "disc", 1: "square"}],
)
def test_names(tmp_path: Path, names: Any) -> None:
    assert load_dataset(write_dataset(tmp_path, {"a": ""}, names=names)).names == NAMES


def test_a_class_count_names_the_classes(tmp_path: Path) -> None:
    dataset = load_dataset(write_dataset(tmp_path, {"a": ""}, names=None, nc=2))
    assert dataset.names == {0: "class_0", 1: "class_1"}


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "cp1252", "gbk"],
    ids=["utf-8", "bom", "utf-16", "cp1252", "gbk"],
)
def test_encodings_of_a_yaml(tmp_path: Path, encoding: str) -> None:
    path = write_dataset(tmp_path, {"a": ""})
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
    path = write_dataset(tmp_path, {"a": ""})
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
    path = write_dataset(folder, {"a": ""}, path=str(folder) if root == "absolute" else root)
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
    yaml_file = write_dataset(working / place / "shapes", {"a": ""}, path="shapes")
    (tmp_path / "descriptions").mkdir()
    moved = yaml_file.rename(tmp_path / "descriptions" / "shapes.yaml")
    assert len(load_dataset(moved).examples) == 1


def test_a_split_may_be_a_list_of_files_and_folders(tmp_path: Path) -> None:
    path = write_dataset(
        tmp_path, {"a": "", "b": None, "c": None}, val=["list.txt"], test=["images/val", "list.txt"]
    )
    absolute = tmp_path / "images" / "val" / "b.png"
    (tmp_path / "list.txt").write_text(f"./images/val/a.png\n{absolute}\n\n./notes.md\n")
    assert [each.path.name for each in load_dataset(path).examples] == ["a.png", "b.png"]
    assert len(load_dataset(path, split="test").examples) == 5


def test_hidden_images_are_none_of_the_dataset(tmp_path: Path) -> None:
    path = write_dataset(tmp_path, {"a": "0 0.5 0.5 1 1", "._a": None, ".checkpoints/a-checkpoint": None})
    assert [example.path.stem for example in load_dataset(path).examples] == ["a"]


def test_a_split_may_be_one_image(tmp_path: Path) -> None:
    path = write_dataset(tmp_path, {"a": "", "b": ""}, val="images/val/b.png")
    assert [example.path.stem for example in load_dataset(path).examples] == ["b"]


def test_a_split_that_leaves_the_dataset_may_mean_a_folder_in_it(tmp_path: Path) -> None:
    """As Roboflow writes it: no root, ``../images/val``, and the folder beside the YAML all the same."""
    path = write_dataset(tmp_path / "data", {"a": ""}, path=None, val="../images/val")
    assert len(load_dataset(path).examples) == 1
    write_dataset(tmp_path, {"outside": ""})
    assert [example.path.stem for example in load_dataset(path).examples] == ["outside"]


@pytest.mark.parametrize(
    "data",
    [
        "images/val/é.png".encode("latin-1"),
        b"./images/val/a\0.png\n./images/val/a.png",  # no file name holds a NUL
    ],
)
def test_a_list_that_is_no_text(tmp_path: Path, data: bytes) -> None:
    path = write_dataset(tmp_path, {"a": ""}, val="val.txt")
    (tmp_path / "val.txt").write_bytes(data)
    with pytest.raises(SourceError, match=r"val\.txt is not a list of images in UTF-8"):
        load_dataset(path)


def test_other_files_between_the_images(tmp_path: Path) -> None:
    path = write_dataset(tmp_path, {"a": ""})
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


def test_ids_in_saved_predictions_are_those_of_ultralytics(tmp_path: Path) -> None:
    dataset = load_dataset(write_dataset(tmp_path, {"000000000139": "", "a1": ""}))
    assert [example.image_id for example in dataset.examples] == [139, "a1"]
    assert dataset.category_ids == {0: 1, 1: 2}


def test_categories_of_coco_itself_have_gaps(tmp_path: Path) -> None:
    from ultralytics.data.converter import coco80_to_coco91_class

    root = tmp_path / "coco"
    names = [f"class_{i}" for i in range(80)]
    path = write_dataset(root, {"a": ""}, names=names, val="val2017.txt")
    (root / "val2017.txt").write_text("./images/val/a.png\n")
    assert list(load_dataset(path).category_ids.values()) == coco80_to_coco91_class()


def test_a_yaml_names_its_own_images(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names its own"):
        load_dataset(write_dataset(tmp_path, {"a": ""}), images=tmp_path)
