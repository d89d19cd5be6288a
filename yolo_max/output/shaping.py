"""Text of scripts that need shaping, with the fonts of the system.

Pillow's Raqm orders text that runs from right to left and joins letters as their script wants it.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, features

FONT_FOLDERS = (
    Path("/usr/share/fonts"),
    Path("/usr/local/share/fonts"),
    Path("/System/Library/Fonts"),
    Path("/Library/Fonts"),
)
STYLES = ("Bold", "Italic", "Oblique", "Mono", "Serif", "Condensed", "Light", "Thin", "Black")
DIGITS = "0123456789."
BLOCK = 128
"""The code points that a search for a font goes by."""


def shaped(text: str, font_size: int, height: int, margin: int) -> NDArray[np.uint8] | None:
    """The ink of a line of text.

    Args:
        text: In any script.
        font_size: In pixels; smaller where the script's marks would not fit.
        height: Of the line in pixels.
        margin: To the left and the right of the text, in pixels.

    Returns:
        uint8 [height, w], 255 for full ink; None if no font of the system has all its characters.
    """
    path = next(filter(None, (_font_with(ord(character) // BLOCK) for character in text)), None)
    if path is None:
        return None
    font = ImageFont.truetype(path, font_size, layout_engine=ImageFont.Layout.RAQM)
    if not all(_has(font, character) for character in set(text) - {" "}):
        return None
    _, top, _, bottom = font.getbbox(text, anchor="ls")
    if bottom - top > height:
        font = font.font_variant(size=max(1, int(font_size * height / (bottom - top))))
    left, top, right, bottom = map(round, font.getbbox(text, anchor="ls"))
    baseline = max(-top, min(font_size, height - bottom))
    image = Image.new("L", (right - left + 2 * margin, height))
    ImageDraw.Draw(image).text((margin - left, baseline), text, 255, font, anchor="ls")
    return np.asarray(image)


@cache
def _font_with(block: int) -> Path | None:
    """The first font of the system that has most letters of a block, and digits."""
    characters = map(chr, range(block * BLOCK, (block + 1) * BLOCK))
    letters = [each for each in characters if unicodedata.category(each) == "Lo"]
    if not letters or not features.check("raqm"):
        return None
    for path in _font_files():
        try:
            font = ImageFont.truetype(path, 10)
        except OSError:  # damaged, or of one fixed size
            continue
        known = sum(_has(font, letter) for letter in letters)
        if 2 * known > len(letters) and all(_has(font, digit) for digit in DIGITS):
            return path
    return None


@cache
def _font_files() -> tuple[Path, ...]:
    """The fonts of the system, plain ones first."""
    paths = (path for folder in FONT_FOLDERS for path in folder.rglob("*.[to]t[fc]"))
    return tuple(sorted(paths, key=lambda path: (sum(style in path.stem for style in STYLES), str(path))))


def _has(font: ImageFont.FreeTypeFont, character: str) -> bool:
    drawn, missing = font.getmask(character), font.getmask("\uffff")
    return bool(drawn.size != missing.size or bytes(drawn) != bytes(missing))
