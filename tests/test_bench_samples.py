"""Images for a benchmark without any."""

from __future__ import annotations

from pathlib import Path

from yolo_max.bench.samples import draw_samples


def test_drawn_images_are_the_same_each_time(tmp_path: Path) -> None:
    first, second = draw_samples(tmp_path / "a"), draw_samples(tmp_path / "b")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert len({path.read_bytes() for path in first}) == len(first)
