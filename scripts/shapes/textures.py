"""Textures for the demo scenes: a field of [0, 1] over the pixels, then a ramp of colors looked up in it.

A texture is a function ``(rng, height, width, unit) -> float32 [height, width]``, where `unit` is the length
in pixels that its stripes, cells and grains are measured in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Field = NDArray[np.float32]
Color = NDArray[np.float32]  # BGR, 0..255
Texture = Callable[[Generator, int, int, float], Field]


def _coordinates(height: int, width: int, angle: float) -> tuple[Field, Field]:
    """Pixel coordinates (x, y), each float32 [H, W], in a frame turned by `angle`."""
    x = np.arange(width, dtype=np.float32)[None, :]
    y = np.arange(height, dtype=np.float32)[:, None]
    c, s = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    return x * c + y * s, y * c - x * s


def _stretch(field: Field) -> Field:
    low, high = float(field.min()), float(field.max())
    return (field - np.float32(low)) * np.float32(1 / max(high - low, 1e-6))


def gradient(rng: Generator, height: int, width: int, _unit: float) -> Field:
    """An even slope in any direction."""
    return _stretch(_coordinates(height, width, rng.uniform(0, 2 * math.pi))[0])


def radial(rng: Generator, height: int, width: int, _unit: float) -> Field:
    """The distance from a point near the middle."""
    x, y = _coordinates(height, width, 0.0)
    return _stretch(np.hypot(x - width * rng.uniform(0.2, 0.8), y - height * rng.uniform(0.2, 0.8)))


def stripes(rng: Generator, height: int, width: int, unit: float) -> Field:
    """Straight stripes, with edges from those of a sine to almost a step."""
    x, _ = _coordinates(height, width, rng.uniform(0, math.pi))
    wave = np.sin(x * np.float32(2 * math.pi / (unit * rng.uniform(5, 26))))
    field: Field = np.clip(wave * np.float32(rng.uniform(0.5, 4)) + np.float32(0.5), 0, 1)
    return field


def checker(rng: Generator, height: int, width: int, unit: float) -> Field:
    """A chequerboard at any angle."""
    x, y = _coordinates(height, width, rng.uniform(0, math.pi))
    cell = np.float32(unit * rng.uniform(5, 22))
    field: Field = ((np.floor(x / cell) + np.floor(y / cell)) % 2).astype(np.float32)
    return field


def waves(rng: Generator, height: int, width: int, unit: float) -> Field:
    """Stripes that swing from side to side."""
    x, y = _coordinates(height, width, rng.uniform(0, math.pi))
    swing = np.sin(y * np.float32(2 * math.pi / (unit * rng.uniform(40, 120))))
    bend = swing * np.float32(unit * rng.uniform(4, 14))
    wave = np.sin((x + bend) * np.float32(2 * math.pi / (unit * rng.uniform(10, 40))))
    field: Field = wave * np.float32(0.5) + np.float32(0.5)
    return field


def clouds(rng: Generator, height: int, width: int, unit: float) -> Field:
    """Value noise: random grids, each finer and fainter than the last, enlarged and summed."""
    field = np.zeros((height, width), np.float32)
    cell, weight = unit * rng.uniform(60, 140), 1.0
    fade = rng.uniform(0.35, 0.75)
    for _ in range(4):
        grid = rng.random((math.ceil(height / cell) + 1, math.ceil(width / cell) + 1), dtype=np.float32)
        field += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) * np.float32(weight)
        cell, weight = max(cell / 3, 1.0), weight * fade
    return _stretch(field)


TEXTURES: tuple[Texture, ...] = (gradient, radial, stripes, checker, waves, clouds)


def random_color(rng: Generator, saturation: tuple[float, float], value: tuple[float, float]) -> Color:
    """A color of any hue, its HSV saturation and value (0..1) drawn from the ranges given."""
    hsv = np.array([[[rng.uniform(0, 360), rng.uniform(*saturation), rng.uniform(*value)]]], np.float32)
    color: Color = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0] * np.float32(255)
    return color


def paint(field: Field, colors: Sequence[Color]) -> Image:
    """Look up a field of [0, 1] in an even ramp through colors: BGR uint8 [H, W, 3]."""
    stops, levels = np.linspace(0, 255, len(colors)), np.arange(256)
    ramp = np.stack([np.interp(levels, stops, channel) for channel in np.stack(colors, axis=1)], axis=1)
    index = (field * np.float32(255)).astype(np.uint8)
    painted: Image = cv2.LUT(cv2.merge([index] * 3), ramp.round().astype(np.uint8)[:, None])
    return painted


def flat(height: int, width: int, color: Color) -> Image:
    """One color everywhere: BGR uint8 [H, W, 3]."""
    return np.full((height, width, 3), color.round(), np.uint8)


def background(rng: Generator, height: int, width: int, unit: float) -> Image:
    """A quiet texture to lie under everything, sometimes two of them mixed."""
    value = (0.08, 0.4) if rng.random() < 0.45 else (0.6, 0.97)
    first = random_color(rng, (0.05, 0.6), value)
    # Neighbouring tones, not any two: a background of full contrast would hide the shapes, and hurt the eye.
    second = np.clip(first + rng.uniform(-55, 55, 3), 0, 255).astype(np.float32)
    third = np.clip(second + rng.uniform(-40, 40, 3), 0, 255).astype(np.float32)
    field = TEXTURES[rng.integers(len(TEXTURES))](rng, height, width, unit)
    if rng.random() < 0.5:
        share = np.float32(rng.uniform(0.3, 0.8))
        field = field * share + clouds(rng, height, width, unit) * (1 - share)
    return paint(field, [first, second, third])
