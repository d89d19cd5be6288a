"""The centre crop against the steps of torchvision's Resize and CenterCrop, done with Pillow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from yolo_max.images.centre_crop import CentreCrop
from yolo_max.images.transforms import fit_of
from yolo_max.support.errors import ImageError


def pixels(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def by_torchvision(image_bgr: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Ultralytics' ``classify_transforms(size)`` up to ToTensor, in RGB.

    Its ``Resize`` takes one number where the size is square and (height, width) else; ``CenterCrop`` follows.
    """
    image = Image.fromarray(np.ascontiguousarray(image_bgr[:, :, ::-1]))
    if size[0] == size[1]:
        short, long = sorted(image.size)
        new_short, new_long = size[0], int(size[0] * long / short)
        new_size = (new_short, new_long) if image.width <= image.height else (new_long, new_short)
        image = image.resize(new_size, Image.Resampling.BILINEAR)
    else:
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    top = round((image.height - size[0]) / 2.0)
    left = round((image.width - size[1]) / 2.0)
    return np.asarray(image.crop((left, top, left + size[1], top + size[0])))


@pytest.mark.parametrize(
    ("height", "width", "canvas"),
    [
        (480, 640, (224, 224)),  # a photograph
        (640, 480, (224, 224)),  # upright
        (224, 224, (224, 224)),  # the canvas itself
        (224, 301, (224, 224)),  # an odd remainder: half of it is rounded to even
        (224, 303, (224, 224)),
        (30, 20, (64, 64)),  # enlarged
        (1, 1, (32, 32)),
        (1, 50, (32, 32)),
        (333, 500, (96, 160)),  # not square: the whole image
        (500, 97, (97, 97)),  # an odd side
    ],
)
def test_pixels_are_torchvisions(height: int, width: int, canvas: tuple[int, int]) -> None:
    image = pixels(height, width)
    rendered = CentreCrop.fit((height, width), canvas).render(image)
    np.testing.assert_array_equal(rendered, by_torchvision(image, canvas))
    assert rendered.flags.c_contiguous


@settings(max_examples=60)
@given(height=st.integers(1, 300), width=st.integers(1, 300), side=st.integers(1, 80))
def test_pixels_are_torchvisions_at_any_size(height: int, width: int, side: int) -> None:
    image = pixels(height, width, height)
    rendered = fit_of("centre crop", (side, side))((height, width)).render(image)
    np.testing.assert_array_equal(rendered, by_torchvision(image, (side, side)))


def test_images_too_narrow_to_crop_are_refused() -> None:
    with pytest.raises(ImageError, match="its 1 x 1000000 pixels are too narrow to crop"):
        CentreCrop.fit((1000000, 1), (224, 224))
    with pytest.raises(ValueError, match="uint8 image of shape"):
        CentreCrop.fit((10, 10), (4, 4)).render(pixels(10, 11))


def test_boxes_are_mapped_to_the_image() -> None:
    crop = CentreCrop.fit((200, 400), (100, 100))  # half the size, 50 columns cut off on either side
    boxes = np.array([[0, 0, 100, 100], [10, 20, 30, 40], [-500, 0, 500, 0]], np.float32)
    expected = [[100, 0, 300, 200], [120, 40, 160, 80], [0, 0, 400, 0]]
    np.testing.assert_allclose(crop.to_image(boxes), expected)
    np.testing.assert_allclose(crop.to_image(np.array([crop.window], np.float32)), [[0, 0, 400, 200]])
    assert crop.window == (-50, 0, 150, 100)
