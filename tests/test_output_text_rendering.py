"""Text as pixels: whatever the letters, rendered once."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolo_max.output import shaping
from yolo_max.output.shaping import shaped
from yolo_max.output.text_rendering import MAX_CHARACTERS, _is_built_in, _rendered, render, render_one
from yolo_max.output.transliteration import transliterate


@pytest.mark.parametrize("name", ["person", "vélo", "信号機", "Ёлка", "ñandú", "🙂", "?", "日本 語"])
def test_text_is_rendered_whatever_the_letters(name: str) -> None:
    label = render_one(name, 20, (255, 255, 255))
    ink = label.max(axis=2) < 128
    assert ink.sum() > 10
    # Nothing runs over an edge, and nothing but a margin is left free.
    assert not ink[:, 0].any()
    assert not ink[:, -1].any()
    columns = np.flatnonzero(ink.any(axis=0))
    assert columns[0] <= 10
    assert columns[-1] >= label.shape[1] - 11
    rows = np.flatnonzero(ink.any(axis=1))
    assert rows[0] >= 1
    assert rows[-1] <= label.shape[0] - 1


def test_labels_differ_by_text_size_and_color() -> None:
    base = render_one("cat 0.50", 14, (0, 0, 255))
    assert not np.array_equal(base, render_one("cat 0.51", 14, (0, 0, 255))[:, : base.shape[1]])
    assert render_one("cat 0.50", 28, (0, 0, 255)).shape[0] > base.shape[0]
    assert not base.flags.writeable


def test_labels_are_rendered_once_and_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    _rendered.clear()
    red, blue = (0, 0, 255), (255, 0, 0)
    first, again, other = render(["cat", "cat", "cat"], 14, [red, red, blue])
    assert first is again
    assert not np.array_equal(first, other)
    assert render(["cat"], 14, [red])[0] is first
    bound = 3 * first.nbytes
    monkeypatch.setattr("yolo_max.output.text_rendering.CACHE_BYTES", bound)
    for name in (
        "dog",
        "cow",
        "hen",
        "a name that is longer than all the others, by itself more than is kept",
    ):
        (label,) = render([name], 14, [red])
        assert label.shape[0] == first.shape[0]
        assert sum(each.nbytes for each in _rendered.values()) <= bound
    assert render(["cat"], 14, [red])[0] is not first


@pytest.mark.parametrize("text", ["x" * 15_000_000, "word " * 1_000_000, " " * 1_000_000 + "x"])
def test_a_name_without_end_is_cut(text: str) -> None:
    (label,) = render([text], 14, [(0, 0, 255)])
    assert label.shape[1] <= 14 * MAX_CHARACTERS


WHITE = (255, 255, 255)


@pytest.fixture
def no_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def forget() -> None:
        shaping._font_files.cache_clear()
        shaping._font_with.cache_clear()

    monkeypatch.setattr(shaping, "FONT_FOLDERS", ())
    forget()
    yield
    forget()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("คน", "khn"),  # Thai
        ("मनुष्य", "manussya"),  # Devanagari: vowel signs, and a consonant without its vowel
        ("سيارة", "syart"),  # Arabic
        ("רכב", "rkb"),  # Hebrew
        ("ხელი", "xeli"),  # Georgian
        ("😀", "grinning face"),
        ("a👩‍💻b", "a woman personal computer b"),  # two, joined by something invisible
        ("รถยนต์", "rthynt"),  # Thai with a mark that silences its letter
        ("🇩🇪", "regional indicator symbol letter d regional indicator symbol letter e"),
        ("1\ufe0f\u20e3", "1"),  # a key, which is its digit with marks
        ("\U000e0fff \ue000", "U+E0FFF U+E000"),  # an emoji of a later Unicode, and one of a private font
        ("𝐀𝟏", "A1"),  # mathematical letters
        ("e\u0301", "é"),  # in two characters
        ("a\0\x1b\u202e\ud800b", "ab"),  # control characters, and half of one
        ("信号機 ñ Ёлка", "信号機 ñ Ёлка"),  # in the font
        ("what?", "what?"),
    ],
)
@pytest.mark.usefixtures("no_fonts")
def test_without_a_font_a_script_is_transliterated(name: str, shown: str) -> None:
    np.testing.assert_array_equal(
        render_one(f"{name} 0.90", 20, WHITE), render_one(f"{shown} 0.90", 20, WHITE)
    )


@given(st.text())
def test_no_text_becomes_question_marks(text: str) -> None:
    shown = transliterate(text, _is_built_in)
    assert all(map(_is_built_in, shown))
    assert shown.count("?") <= unicodedata.normalize("NFKD", text).count("?")


def ink(text: str, height: int = 52) -> np.ndarray:
    """The inked columns of a text in a font of the system."""
    mask = shaped(text, text[-1], 40, height, 12)
    if mask is None:
        pytest.skip("no font of this system has the script")
    columns = np.flatnonzero(mask.any(axis=0))
    cut: np.ndarray = mask[:, columns[0] : columns[-1] + 1]
    return cut


def test_hebrew_runs_from_right_to_left() -> None:
    alef, both = ink("א"), ink("אל")
    np.testing.assert_array_equal(both[:, -alef.shape[1] :] > 128, alef > 128)
    after_latin, lamed = ink("ab אל"), ink("ל")

    def differs(letter: np.ndarray) -> float:
        end = after_latin[:, -letter.shape[1] :].astype(int)
        return float(np.abs(end - letter).mean())

    assert differs(alef) < differs(lamed) / 2  # at a fraction of a pixel it is not the same


def test_text_too_high_for_its_line_is_made_smaller() -> None:
    full, small = (ink("רכב", height) for height in (52, 12))
    rows = np.flatnonzero(full.any(axis=1))
    high = rows[-1] - rows[0] + 1
    assert high > 18
    assert len(small) == 12
    assert small.shape[1] / full.shape[1] == pytest.approx(12 / high, rel=0.15)


def test_arabic_letters_are_joined() -> None:
    def parts(mask: np.ndarray) -> int:
        return cv2.connectedComponents((mask > 40).astype(np.uint8))[0] - 1

    assert parts(ink("س")) == parts(ink("سسس")) == 1
    assert parts(ink("دد")) == 2  # these never are


@pytest.mark.parametrize("name", ["👩‍💻", "🇩🇪", "\ue000", "\U000e0fff", "คน", "हिन्दी", "རྟ", "ꯃꯤ"])
def test_a_name_in_any_script_is_more_than_its_confidence(name: str) -> None:
    alone, named = (render_one(text, 20, WHITE) for text in ("0.90", f"{name} 0.90"))
    assert named.shape[1] > alone.shape[1] + 10


def test_devanagari_is_joined_and_its_vowels_are_in_order() -> None:
    # The sign for i stands before its consonant, and a virama joins the next one.
    ka, kssa = ink("क"), ink("क्ष")
    assert kssa.shape[1] < 2 * ka.shape[1]
    ki, width = ink("कि"), ka.shape[1]
    at_the_start, at_the_end = (
        np.mean((part > 128) != (ka > 128)) for part in (ki[:, :width], ki[:, -width:])
    )
    assert at_the_end < 0.1 < at_the_start


def test_thai_marks_stand_above_their_letters() -> None:
    assert ink("นี่").shape[1] == pytest.approx(ink("น").shape[1], abs=3)


@pytest.mark.parametrize(
    "name", ["سيارة", "רכב", "မြန်မာ", "អ្នក", "ที่นั่ง", "हिन्दी", "רכב\ud800", "a" + "\u0301" * 80]
)
@pytest.mark.parametrize("size", [4, 10, 13, 60])
def test_shaped_text_stays_within_its_label(name: str, size: int) -> None:
    label = render_one(f"{name} 0.90", size, WHITE)
    assert label.shape[0] == round(1.3 * size)
    assert (label[:, [0, -1]] > 128).all()
    assert (label < 128).any()
