"""Places in the output tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from yolo_max.images import places
from yolo_max.images.places import Places


@pytest.mark.parametrize("names", [["a.jpg"], ["a.jpg", "A.JPG"], ["a.jpg", "a.png"], ["a.gif"]])
def test_many_images_of_one_name_take_a_few_steps_each(
    names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, key = 0, places._key

    def counting(place: Path) -> str:
        nonlocal steps
        steps += 1
        return key(place)

    monkeypatch.setattr(places, "_key", counting)
    tree, count = Places(), 2000
    claimed = [tree.claim(Path(), names[i % len(names)]) for i in range(count)]
    assert len({str(place).casefold() for pair in claimed for place in pair}) == 2 * count
    assert steps <= 20 * count
