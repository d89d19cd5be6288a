"""Text as pixels, rendered once and kept.

OpenCV's built-in font has the letters of most languages. What it lacks, writes from right to left or combines
letters is shaped by Pillow with a font of the system; without such a font it is transliterated.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from yolo_max.output.palette import Color, text_color

WEIGHT = 450  # slightly bolder than regular (400), to be legible on color
LARGEST = 256
MAX_CHARACTERS = 100
CACHE_BYTES = 32 << 20
T = TypeVar("T")
_Key = tuple[str, int, Color]


def load_font() -> None:
    """Loads the font in the background, so that the first labels need not wait for it."""
    _renderer.submit(render_one, "a", 10, (0, 0, 0))


def render(texts: Sequence[str], font_size: int, colors: Sequence[Color]) -> list[NDArray[np.uint8]]:
    """Rendered labels of one line, each read-only uint8 [h, w, 3] BGR.

    Args:
        texts: Cut to `MAX_CHARACTERS`.
        font_size: In pixels, at most `LARGEST`.
        colors: BGR, the background of each label.
    """
    keys = [(_one_line(text), font_size, color) for text, color in zip(texts, colors, strict=True)]
    labels = [_rendered.get(key) for key in keys]
    missing = {key for key, label in zip(keys, labels, strict=True) if label is None}
    # One call per image, for new labels only: the thread may have to wait for a CPU.
    fresh = _on_renderer(lambda: _render_and_keep(missing)) if missing else {}
    return [fresh[key] if label is None else label for key, label in zip(keys, labels, strict=True)]


def _one_line(text: str) -> str:
    line = " ".join(text[: 2 * MAX_CHARACTERS].split())
    return line if len(line) <= MAX_CHARACTERS else line[: MAX_CHARACTERS - 1] + "…"


_rendered: dict[_Key, NDArray[np.uint8]] = {}
_rendered_bytes = 0


def _render_and_keep(keys: Iterable[_Key]) -> dict[_Key, NDArray[np.uint8]]:
    global _rendered_bytes
    fresh = {key: render_one(*key) for key in keys}
    size = sum(label.nbytes for label in fresh.values())
    if _rendered_bytes + size > CACHE_BYTES:
        _rendered.clear()
        _rendered_bytes = 0
    if size <= CACHE_BYTES:
        _rendered.update(fresh)
        _rendered_bytes += size
    return fresh


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
    text = unicodedata.normalize("NFC", text)
    mask = None
    if foreign := "".join(c for c in text if not _is_built_in(c)):
        # Imported here, since most labels need neither, nor Pillow's fonts.
        from yolo_max.output.shaping import shaped
        from yolo_max.output.transliteration import transliterate

        mask = shaped(text, foreign, font_size, height, margin)
        text = transliterate(text, _is_built_in)
    if mask is None:
        font = cv2.FontFace("sans")
        _, _, text_width, _ = cv2.getTextSize((0, 0), text, (0, 0), font, font_size, WEIGHT)
        mask = np.zeros((height, text_width + 2 * margin), np.uint8)
        cv2.putText(mask, text, (margin, font_size), 255, font, font_size, WEIGHT)
    label = _shades(color)[mask]
    label.flags.writeable = False
    return label


@cache
def _shades(color: Color) -> NDArray[np.uint8]:
    """From a background to the color of its text, uint8 [256, 3] BGR, by how much ink there is."""
    ink = np.arange(256, dtype=np.float32)[:, None] / np.float32(255)
    shades = ink * np.array(text_color(color), np.float32) + (1 - ink) * np.array(color, np.float32)
    rounded: NDArray[np.uint8] = np.rint(shades).astype(np.uint8)
    return rounded


@cache
def _is_built_in(character: str) -> bool:
    """Whether OpenCV draws a character as it should be, and not as a question mark."""
    if " " <= character <= "~":
        return True
    if unicodedata.category(character)[0] in "CM" or unicodedata.bidirectional(character) in ("R", "AL"):
        return False
    return not np.array_equal(_glyph(character), _glyph("?"))


def _glyph(character: str) -> NDArray[np.uint8]:
    glyph = np.zeros((40, 60), np.uint8)
    cv2.putText(glyph, character, (10, 30), 255, cv2.FontFace("sans"), 20, WEIGHT)
    return glyph
