"""Text as pixels: whatever the letters, rendered once."""

from __future__ import annotations

import numpy as np
import pytest

from yolo_max.output.text_rendering import _rendered, render, render_one


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


def test_labels_are_rendered_once_and_not_kept_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolo_max.output.text_rendering.MOST_LABELS_KEPT", 3)
    _rendered.clear()
    red, blue = (0, 0, 255), (255, 0, 0)
    first, again, other = render(["cat", "cat", "cat"], 14, [red, red, blue])
    assert first is again
    assert not np.array_equal(first, other)
    assert render(["cat"], 14, [red])[0] is first
    assert len(render(["a", "b", "c", "d"], 14, [red] * 4)) == 4  # more than are kept
    assert len(_rendered) <= 4
    assert render(["cat"], 14, [red])[0] is not first
