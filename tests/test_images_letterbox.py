from __future__ import annotations

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ultralytics.cfg import get_cfg
from ultralytics.data.augment import LetterBox
from ultralytics.data.build import build_yolo_dataset
from ultralytics.utils.ops import scale_boxes

from yolo_max.images.letterbox import PADDING_VALUE, Letterbox, letterbox
from yolo_max.images.read import read_image
from yolo_max.images.transforms import fit_of

SIZES = [
    (1, 1),  # one pixel, scaled up to the whole canvas
    (1, 10000),  # thinner than a pixel after scaling: the side is kept at 1
    (10000, 1),
    (2, 3),
    (480, 640),  # no resize, padding above and below
    (640, 480),
    (640, 640),  # the canvas itself
    (427, 640),  # odd remainder: one row more below than above
    (640, 427),
    (333, 500),  # scaled up
    (500, 333),
    (639, 641),
    (641, 639),
    (375, 1242),
    (1080, 1920),
    (1081, 1919),
    (2999, 4001),
    (319, 5),
    (640, 10),  # rounds to .5 in places
    (1281, 1277),
    (449, 641),  # rect: the short side lands just above a multiple of 32
]


def _image(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def _boxes(size: tuple[int, int], count: int = 50) -> np.ndarray:
    """Boxes in canvas pixels, some reaching beyond the canvas."""
    rng = np.random.default_rng(1)
    corners = rng.uniform(-0.2, 1.2, (count, 2, 2)) * (size[1], size[0])
    corners.sort(axis=1)
    return corners.reshape(count, 4).astype(np.float32)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("canvas", [(640, 640), (320, 320), (32, 32), (384, 640), (640, 352)])
def test_pixels_are_ultralytics_letterbox(size: tuple[int, int], canvas: tuple[int, int]) -> None:
    image = _image(size)
    expected = LetterBox(canvas, auto=False, scaleup=True, center=True)(image=image)
    canvas_rgb, geometry = letterbox(image, canvas)
    np.testing.assert_array_equal(canvas_rgb, expected[..., ::-1])
    assert geometry.canvas_size == canvas
    assert geometry.image_size == size


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("max_size", [(640, 640), (320, 320), (1280, 640)])
def test_rect_pixels_are_ultralytics_minimal_rectangle(
    size: tuple[int, int], max_size: tuple[int, int]
) -> None:
    image = _image(size)
    expected = LetterBox(max_size, auto=True, stride=32)(image=image)
    geometry = Letterbox.fit_rect(size, max_size, stride=32)
    np.testing.assert_array_equal(geometry.render(image), expected[..., ::-1])
    assert all(side % 32 == 0 for side in geometry.canvas_size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("canvas", [(640, 640), (320, 320), (32, 32)])
def test_boxes_are_mapped_as_by_scale_boxes(size: tuple[int, int], canvas: tuple[int, int]) -> None:
    boxes = _boxes(canvas)
    expected = scale_boxes(canvas, torch.from_numpy(boxes.copy()), size).numpy()
    np.testing.assert_array_equal(Letterbox.fit(size, canvas).to_image(boxes), expected)


@pytest.mark.parametrize("size", SIZES)
def test_boxes_of_a_rect_canvas_come_back_by_the_true_gain_and_padding(size: tuple[int, int]) -> None:
    geometry = Letterbox.fit_rect(size, (640, 640), stride=32)
    boxes = _boxes(geometry.canvas_size)
    gain = tuple(geometry.resized_size[axis] / size[axis] for axis in (0, 1))
    expected = scale_boxes(
        geometry.canvas_size,
        torch.from_numpy(boxes.copy()),
        size,
        ratio_pad=(gain, (geometry.pad_left, geometry.pad_top)),
    )
    np.testing.assert_array_equal(geometry.to_image(boxes), expected.numpy())


@pytest.mark.parametrize(
    ("size", "canvas", "part"),
    [
        ((1080, 1920), (640, 640), 1 / 3),  # the middle one of three rows
        ((2160, 3840), (640, 640), 1 / 3),  # the two in the middle of six
        ((1440, 2560), (640, 640), 1 / 2),
        ((1080, 1921), (360, 640), 1 / 3),  # a third of the rows, and other columns than every third
        ((900, 3), (300, 300), 1 / 3),
        ((9, 10000), (640, 640), 1 / 9),
        ((720, 1280), (640, 640), 1),  # all rows count
        ((1081, 1920), (640, 640), 1),
        ((333, 500), (640, 640), 1),
    ],
)
def test_the_rows_that_are_read_suffice(size: tuple[int, int], canvas: tuple[int, int], part: float) -> None:
    image = _image(size)
    whole, geometry = letterbox(image, canvas)
    if geometry.rows is None:
        assert part == 1
    else:
        assert len(geometry.rows) == size[0] * part
        np.testing.assert_array_equal(geometry.render(image[geometry.rows]), whole)


@pytest.mark.parametrize("view", ["flipped", "transposed", "strided"])
def test_views_give_the_same_pixels_as_their_copies(view: str) -> None:
    base = _image((40, 60))
    image = {"flipped": base[:, ::-1], "transposed": base.transpose(1, 0, 2), "strided": base[::2, ::3]}[view]
    np.testing.assert_array_equal(letterbox(image, (64, 64))[0], letterbox(image.copy(), (64, 64))[0])


def test_the_image_is_left_alone() -> None:
    for size in [(64, 64), (32, 64), (100, 100)]:
        image = _image(size)
        before = image.copy()
        letterbox(image, (64, 64))
        np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),  # gray without channels
        np.zeros((4, 4, 4), np.uint8),  # alpha
        np.zeros((4, 4, 3), np.float32),  # not bytes
        np.zeros((0, 4, 3), np.uint8),  # no rows
    ],
)
def test_wrong_arrays_are_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="letterbox"):
        letterbox(image, (8, 8))


sides = st.integers(1, 3000)
strided = st.integers(1, 40).map(lambda n: n * 32)


@given(height=sides, width=sides, canvas_height=st.integers(1, 1300), canvas_width=st.integers(1, 1300))
def test_the_image_lies_inside_the_canvas_and_touches_it(
    height: int, width: int, canvas_height: int, canvas_width: int
) -> None:
    geometry = Letterbox.fit((height, width), (canvas_height, canvas_width))
    resized = geometry.resized_size
    margins = [
        (pad, canvas - pad - side)
        for pad, canvas, side in zip(
            (geometry.pad_top, geometry.pad_left), geometry.canvas_size, resized, strict=True
        )
    ]
    for before, after in margins:
        assert 0 <= before <= after <= before + 1
    assert min(sum(margin) for margin in margins) == 0
    window = np.array([geometry.window], np.float32)  # what the image's corners are mapped from
    np.testing.assert_allclose(geometry.to_image(window), [[0, 0, width, height]], rtol=1e-6)


@pytest.mark.parametrize("rect", [False, True])
@given(
    image_size=st.tuples(sides, sides),
    canvas_size=st.tuples(strided, strided),  # height and width by themselves
    corners=st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4),
)
def test_boxes_survive_the_round_trip(
    rect: bool, image_size: tuple[int, int], canvas_size: tuple[int, int], corners: list[float]
) -> None:
    height, width = image_size
    fit = partial(Letterbox.fit_rect, stride=32) if rect else Letterbox.fit
    geometry = fit(image_size, canvas_size)
    x1, x2 = sorted(corners[0::2])
    y1, y2 = sorted(corners[1::2])
    box = np.array([[x1 * width, y1 * height, x2 * width, y2 * height]], np.float32)
    back = geometry.to_image(geometry.to_canvas(box))
    # float32 carries 24 bits; a canvas coordinate is scaled back by 1/gain.
    gain = np.array([geometry.resized_size[1] / width, geometry.resized_size[0] / height] * 2)
    canvas = np.array([*geometry.canvas_size[::-1]] * 2)
    assert (np.abs(back - box) <= canvas / gain * 2**-21).all()


@given(
    image_size=st.tuples(sides, sides),
    canvas_size=st.tuples(strided, strided),
    corners=st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4),
)
def test_boxes_on_the_canvas_survive_it_too(
    image_size: tuple[int, int], canvas_size: tuple[int, int], corners: list[float]
) -> None:
    """Those that lie on the image; what lies on the padding is cut off."""
    geometry = Letterbox.fit(image_size, canvas_size)
    (rows, columns), top, left = geometry.resized_size, geometry.pad_top, geometry.pad_left
    x1, x2 = sorted(corners[0::2])
    y1, y2 = sorted(corners[1::2])
    box = np.array([[left + x1 * columns, top + y1 * rows, left + x2 * columns, top + y2 * rows]], np.float32)
    there = geometry.to_image(box)
    assert (there >= 0).all()
    assert (there <= np.array([image_size[1], image_size[0]] * 2)).all()
    np.testing.assert_allclose(geometry.to_canvas(there), box, rtol=0, atol=max(canvas_size) * 2**-21)


def test_in_validation_pixels_and_boxes_are_those_of_ultralytics_validator(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    sizes = [size for size in SIZES if min(size) >= 10 and max(size) < 1300]  # it ignores smaller ones
    for size in sizes:
        name = "x".join(map(str, size))
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), _image(size))
        (tmp_path / "labels" / f"{name}.txt").write_text("0 0.5 0.5 1 1\n")  # the whole image
    options = get_cfg(overrides={"imgsz": 320, "task": "detect", "rect": False, "workers": 0})
    data = {"names": {0: "thing"}, "nc": 1, "channels": 3}
    dataset = build_yolo_dataset(options, str(tmp_path / "images"), 1, data, mode="val", rect=False)
    assert len(dataset) == len(sizes)
    for example in dataset:
        fit = fit_of("letterbox", (320, 320), clip=False, round_up=True)
        height, width = example["ori_shape"]
        geometry = fit((int(height), int(width)))
        pixels = geometry.render(read_image(Path(example["im_file"])))
        np.testing.assert_array_equal(pixels, example["img"].permute(1, 2, 0).numpy())
        x, y, width, height = (example["bboxes"][0] * 320).tolist()
        window = x - width / 2, y - height / 2, x + width / 2, y + height / 2
        np.testing.assert_allclose(window, geometry.window, atol=1e-3)
        np.testing.assert_allclose(
            geometry.to_image(np.array([window], np.float32))[0],
            (0, 0, *reversed(geometry.image_size)),
            atol=0.02,
        )
    assert any(
        fit(size).window != fit_of("letterbox", (320, 320))(size).window for size in sizes
    )  # it makes a difference


@pytest.mark.parametrize("side", range(32, 1300, 32))
def test_rounded_up_sides_fit_the_canvas(side: int) -> None:
    for long in range(1, 3000, 7):  # ceil(long * (side / long)) may be side + 1
        assert Letterbox.fit((long, 1), (side, side), round_up=True).resized_size[0] == side


@settings(max_examples=40)
@given(height=st.integers(1, 200), width=st.integers(1, 200), side=st.integers(1, 8).map(lambda n: n * 32))
def test_padding_is_gray_and_everything_else_is_the_image(height: int, width: int, side: int) -> None:
    canvas, geometry = letterbox(np.zeros((height, width, 3), np.uint8), (side, side))
    inside = np.zeros((side, side), bool)
    rows, columns = geometry.resized_size
    inside[geometry.pad_top : geometry.pad_top + rows, geometry.pad_left : geometry.pad_left + columns] = True
    assert (canvas[inside] == 0).all()
    assert (canvas[~inside] == PADDING_VALUE).all()


def test_boxes_may_stay_outside_the_image() -> None:
    box = np.array([[-10, 5, 90, 70]], np.float32)
    clipped, whole = (fit_of("letterbox", (64, 64), clip=clip)((128, 256)) for clip in (True, False))
    np.testing.assert_array_equal(clipped.to_image(box), [[0, 0, 256, 128]])
    np.testing.assert_array_equal(whole.to_image(box), [[-40, -44, 360, 216]])
