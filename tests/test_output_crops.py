"""Crops, against those that Ultralytics cuts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from ultralytics.utils.plotting import save_one_box

from yolo_max.images.frame import Position
from yolo_max.images.source import SourceImage, SourceVideo
from yolo_max.output.crops import crop, encode_crop, folder_of
from yolo_max.predict.folder.crop_names import CropNames
from yolo_max.tasks.marks import BoxMark

IMAGE = np.random.default_rng(0).integers(0, 256, (120, 200, 3), np.uint8)


def box(xyxy: Any, corners: Any = ()) -> BoxMark:
    return BoxMark(tuple(xyxy), 0, "", "", tuple(map(tuple, corners)))


@pytest.mark.parametrize(
    "xyxy",
    [
        (20, 30, 90, 80),
        (20.4, 30.6, 90.9, 80.2),  # between pixels
        (0, 0, 200, 120),  # the image
        (-3, -9, 40, 20),  # over its edge
        (150, 100, 150, 100),  # a point, which has its surroundings
    ],
)
def test_a_crop_is_that_of_ultralytics(xyxy: tuple[float, ...]) -> None:
    expected = save_one_box(torch.tensor(xyxy), IMAGE.copy(), BGR=True, save=False)
    np.testing.assert_array_equal(crop(IMAGE, box(xyxy)), expected)


@pytest.mark.parametrize("angle", [0, 0.4, -1.3, 3])
def test_a_rotated_box_is_turned_upright(angle: float) -> None:
    centre, half = np.array([100, 60]), np.array([[40, 15], [40, -15], [-40, -15], [-40, 15]])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    corners = (centre + half @ turn).astype(np.float32)
    expected = save_one_box(torch.from_numpy(corners), IMAGE.copy(), BGR=True, save=False)
    around = (*corners.min(axis=0), *corners.max(axis=0))
    np.testing.assert_array_equal(crop(IMAGE, box(around, corners.tolist())), expected)


def test_a_file_is_that_of_ultralytics_but_for_the_encoder(tmp_path: Path) -> None:
    """Smooth colours, which a JPEG without all of its colour would blur."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, ::2] = 0, 0, 255
    save_one_box(torch.tensor([10.0, 10, 50, 50]), image.copy(), tmp_path / "a.jpg", BGR=True)
    theirs = cv2.imread(str(tmp_path / "a.jpg"))
    ours = cv2.imdecode(np.frombuffer(encode_crop(crop(image, box((10, 10, 50, 50)))), np.uint8), 1)
    assert theirs is not None
    assert ours is not None
    assert np.abs(ours.astype(int) - theirs).max() <= 4


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("person", "person"),
        ("traffic light", "traffic light"),
        ("../../etc", ".._.._etc"),  # leads nowhere
        ("a\\b/c", "a_b_c"),
        ("..", "_.."),
        ("", "_"),
        ("x" * 255, "x" * 255),  # as long as file systems allow
    ],
)
def test_a_class_is_one_folder(name: str, folder: str) -> None:
    assert folder_of(name) == folder


@pytest.mark.parametrize("name", ["x" * 256, "車" * 86, "é" * 256, "a" + "🚗" * 255, "\ud800" * 256])
def test_a_long_class_name_is_a_folder_of_its_own(tmp_path: Path, name: str) -> None:
    """256 characters, as many as a name may have, of one to four bytes."""
    folders = {folder_of(name), folder_of(name + "1"), folder_of(name + "2")}
    assert len(folders) == 3
    for folder in folders:
        assert folder[:40] == name[:40] or "\ud800" in name
        (tmp_path / folder).mkdir()


def images(*names: str) -> list[SourceImage]:
    return [SourceImage(Path(name), Path(name), Path(name).with_suffix(".txt")) for name in names]


def names_of(sources: list[SourceImage], count: int) -> list[list[str]]:
    names = CropNames(sources)
    return [[str(place) for place in names.of(each, None, ["cat"] * count)] for each in sources]


def test_crops_are_called_as_in_ultralytics() -> None:
    (found,) = names_of(images("sub/a.png"), 3)
    assert found == ["crops/cat/sub/a.jpg", "crops/cat/sub/a-2.jpg", "crops/cat/sub/a-3.jpg"]
    (source,) = images("a.png")
    places = CropNames([source]).of(source, None, ["cat", "dog", "cat"])
    assert [str(place) for place in places] == ["crops/cat/a.jpg", "crops/dog/a.jpg", "crops/cat/a-2.jpg"]


@pytest.mark.parametrize("letter", ["a", "é", "漢"])
def test_a_name_as_long_as_may_be_leaves_room_for_a_number(letter: str, tmp_path: Path) -> None:
    name = letter * ((251 - 1) // len(letter.encode()))
    one, other = images(f"{name}1.png", f"{name}2.png")
    names = CropNames([one, other])
    places = [*names.of(one, None, ["cat"] * 12), *names.of(other, None, ["cat"] * 12)]
    places += [names.thumbnail(each, None) for each in (one, other)]
    assert len(set(places)) == 26
    for place in places:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).touch()
    video = SourceVideo(Path("v.mp4"), Path("v.mp4"), Path("v_frames"), Path(name))
    (tmp_path / names.thumbnail(video, Position(10**6, 10**6))).touch()


@pytest.mark.parametrize(
    ("names", "crops", "thumbnails"),
    [
        (["a.png", "sub/crops/a.png"], "crops", "thumbnails"),
        (["crops/a.png", "b.png"], "crops_2", "thumbnails"),
        (["Crops/a.png", "crops_2/b.png"], "crops_3", "thumbnails"),  # on file systems that ignore case
        (["thumbnails/x/a.png"], "crops", "thumbnails_2"),
    ],
)
def test_the_sources_keep_folders_of_these_names(names: list[str], crops: str, thumbnails: str) -> None:
    sources = images(*names)
    found = CropNames(sources)
    assert [place.parts[0] for place in found.of(sources[0], None, ["cat"])] == [crops]
    assert found.thumbnail(sources[0], None).parts[0] == thumbnails


def test_frames_of_a_video_keep_their_folder() -> None:
    video = SourceVideo(Path("v.mp4"), Path("v.mp4"), Path("crops/v_frames"), Path("v"))
    assert CropNames([video]).folder == Path("crops_2")


@pytest.mark.parametrize(
    "names",
    [
        ("a.png", "a-2.png", "a-2-2.png", "a-23.png"),  # a-2 would be a's second and a-2's first
        ("1.png", "1-1.png", "1-12.png"),
        ("x/a.png", "y/a2.png"),  # apart anyway
    ],
)
def test_no_crop_replaces_another(names: tuple[str, ...]) -> None:
    every = [place for places in names_of(images(*names), 40) for place in places]
    assert len(set(every)) == len(every)
