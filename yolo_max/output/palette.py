"""A fixed color per class, distinct from its neighbours for the color-blind too.

The first seven are those of Okabe and Ito (https://jfly.uni-koeln.de/color/), which are distinct under every
kind of color blindness. After them the hue advances by the golden angle in OKLCH
(https://bottosson.github.io/posts/oklab/), and the lightness alternates, which everyone can see.
"""

from __future__ import annotations

import math
from functools import cache

Color = tuple[int, int, int]
"""(blue, green, red), 0 to 255 each, as OpenCV orders them."""

_OKABE_ITO = (0xE69F00, 0x56B4E9, 0x009E73, 0xD55E00, 0x0072B2, 0xCC79A7, 0xF0E442)
_GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))
_LIGHTNESS = (0.85, 0.55, 0.78, 0.60)
_CHROMA = 0.17


@cache
def class_color(class_id: int) -> Color:
    """The color of a class, BGR."""
    if class_id < len(_OKABE_ITO):
        rgb = _OKABE_ITO[class_id]
        return rgb & 255, rgb >> 8 & 255, rgb >> 16
    hue = class_id * _GOLDEN_ANGLE
    lightness = _LIGHTNESS[class_id % len(_LIGHTNESS)]
    chroma = _CHROMA
    while (rgb_linear := _oklch_to_linear_rgb(lightness, chroma, hue)) != _clipped(rgb_linear):
        chroma *= 0.95  # until it lies in sRGB
    red, green, blue = (round(255 * _encode_srgb(channel)) for channel in rgb_linear)
    return blue, green, red


@cache
def text_color(background: Color) -> Color:
    """Black or white, whichever has more contrast on this background (WCAG 2, at least 4.58 to 1)."""
    luminance = relative_luminance(background)
    return (0, 0, 0) if (luminance + 0.05) ** 2 > 1.05 * 0.05 else (255, 255, 255)


def relative_luminance(color: Color) -> float:
    """WCAG 2's relative luminance of a BGR color, from 0 for black to 1 for white."""
    blue, green, red = (_decode_srgb(channel / 255) for channel in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _oklch_to_linear_rgb(lightness: float, chroma: float, hue: float) -> tuple[float, float, float]:
    a, b = chroma * math.cos(hue), chroma * math.sin(hue)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )


def _clipped(rgb: tuple[float, float, float]) -> tuple[float, ...]:
    return tuple(min(max(channel, 0.0), 1.0) for channel in rgb)


def _encode_srgb(channel: float) -> float:
    return 12.92 * channel if channel <= 0.0031308 else 1.055 * channel ** (1 / 2.4) - 0.055


def _decode_srgb(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
