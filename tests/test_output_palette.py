from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest

from yolo_max.output.palette import Color, class_color, relative_luminance, text_color

# Simulated color blindness on linear RGB: Machado, Oliveira and Fernandes 2009, severity 1.
VISION = {
    "all cones": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def oklab(color: Color, vision: str) -> np.ndarray:
    """A color in OKLab, a perceptually uniform space, as a kind of vision sees it."""
    srgb = np.array(color[::-1]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    linear = (VISION[vision] @ linear).clip(0, 1)
    cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return lab @ np.cbrt(cones @ linear)  # type: ignore[no-any-return]


@pytest.mark.parametrize("vision", VISION)
def test_the_first_classes_are_distinct_to_every_vision(vision: str) -> None:
    colors = [oklab(class_color(class_id), vision) for class_id in range(7)]
    assert min(float(np.linalg.norm(a - b)) for a, b in combinations(colors, 2)) > 0.05


@pytest.mark.parametrize("vision", VISION)
def test_neighbours_are_distinct_to_every_vision(vision: str) -> None:
    colors = [oklab(class_color(class_id), vision) for class_id in range(200)]
    assert min(float(np.linalg.norm(a - b)) for a, b in pairwise(colors)) > 0.05


def test_eighty_classes_have_eighty_colors() -> None:
    assert len({class_color(class_id) for class_id in range(80)}) == 80


@pytest.mark.parametrize("class_id", [*range(100), 999, 10**6])
def test_every_color_is_in_srgb_and_a_legible_background(class_id: int) -> None:
    color = class_color(class_id)
    assert all(isinstance(channel, int) and 0 <= channel <= 255 for channel in color)
    assert contrast(color, text_color(color)) >= 4.5  # WCAG 2, level AA
    assert 0.05 < relative_luminance(color) < 0.95  # neither almost black nor almost white


def contrast(a: Color, b: Color) -> float:
    dark, light = sorted((relative_luminance(a), relative_luminance(b)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(
    ("background", "expected"),
    [
        ((0, 0, 0), (255, 255, 255)),
        ((255, 255, 255), (0, 0, 0)),
        ((255, 0, 0), (255, 255, 255)),  # blue is dark
        ((0, 255, 0), (0, 0, 0)),  # green is bright
    ],
)
def test_text_is_black_or_white(background: Color, expected: Color) -> None:
    assert text_color(background) == expected


@pytest.mark.parametrize(("color", "expected"), [((0, 0, 0), 0), ((255, 255, 255), 1), ((0, 0, 255), 0.2126)])
def test_relative_luminance(color: Color, expected: float) -> None:
    assert relative_luminance(color) == pytest.approx(expected)
