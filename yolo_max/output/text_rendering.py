"""Text rendered once and kept, by OpenCV's built-in font (which has the letters of most languages)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from yolo_max.output.palette import Color, text_color

WEIGHT = 450  # slightly bolder than regular (400), to be legible on color
MOST_LABELS_KEPT = 2048
T = TypeVar("T")


def load_font() -> None:
    """Loads the font in the background, so that the first labels need not wait for it."""
    _renderer.submit(render_one, "a", 10, (0, 0, 0))


def render(texts: Sequence[str], font_size: int, colors: Sequence[Color]) -> list[NDArray[np.uint8]]:
    """Rendered labels, each uint8 [h, w, 3] BGR."""
    keys = [(" ".join(text.split()), font_size, color) for text, color in zip(texts, colors, strict=True)]
    known = {key: _rendered.get(key) for key in keys}
    missing = [key for key, label in known.items() if label is None]
    # One call per image, for new labels only: the thread may have to wait for a CPU.
    fresh = _on_renderer(lambda: {key: render_one(*key) for key in missing}) if missing else {}
    if len(_rendered) + len(fresh) > MOST_LABELS_KEPT:
        _rendered.clear()
    _rendered.update(fresh)
    return [fresh[key] if (label := known[key]) is None else label for key in keys]


_rendered: dict[tuple[str, int, Color], NDArray[np.uint8]] = {}


def _on_renderer(function: Callable[[], T]) -> T:
    try:
        future = _renderer.submit(function)
    except RuntimeError:  # the interpreter is shutting down
        return function()
    return future.result()


def _new_renderer() -> ThreadPoolExecutor:
    """The only thread that renders text: OpenCV loads its font once per thread, which takes 20 ms."""
    return ThreadPoolExecutor(1, "yolo-max-text")


def _after_fork() -> None:
    global _renderer
    _renderer = _new_renderer()  # a fork does not copy threads


_renderer = _new_renderer()
os.register_at_fork(after_in_child=_after_fork)


def render_one(text: str, font_size: int, color: Color) -> NDArray[np.uint8]:
    """A label of one line, uint8 [h, w, 3] BGR, read-only."""
    height = round(font_size * 1.3)
    margin = round(font_size * 0.3)
    font = cv2.FontFace("sans")
    _, _, text_width, _ = cv2.getTextSize((0, 0), text, (0, 0), font, font_size, WEIGHT)
    mask = np.zeros((height, text_width + 2 * margin), np.uint8)
    cv2.putText(mask, text, (margin, font_size), 255, font, font_size, WEIGHT)
    alpha = mask[:, :, None] / np.float32(255)
    blended = alpha * np.array(text_color(color), np.float32) + (1 - alpha) * np.array(color, np.float32)
    label = np.rint(blended).astype(np.uint8)
    label.flags.writeable = False
    return label
