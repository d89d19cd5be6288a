"""Images cut into tiles."""

from __future__ import annotations

import numpy as np
import pytest

from yolo_max.images.tiles import Tile, tiles_of


@pytest.mark.parametrize(
    ("size", "side", "overlap", "starts"),
    [
        ((640, 640), 640, 0.2, ([0], [0])),  # one tile, which is the image
        ((10, 20), 640, 0.2, ([0], [0])),  # smaller than a tile
        ((640, 641), 640, 0.2, ([0], [0, 1])),  # a pixel more
        ((1000, 1664), 640, 0.2, ([0, 360], [0, 512, 1024])),  # the last begins where a step ends
        ((100, 300), 100, 0.0, ([0], [0, 100, 200])),  # side by side
        ((100, 250), 100, 0.9, ([0], [*range(0, 150, 10), 150])),
    ],
)
def test_tiles_begin_a_step_apart(
    size: tuple[int, int], side: int, overlap: float, starts: tuple[list[int], list[int]]
) -> None:
    tiles = tiles_of(size, side, overlap)
    rows, columns = starts
    assert [(each.top, each.left) for each in tiles] == [(top, left) for top in rows for left in columns]


@pytest.mark.parametrize("seed", range(20))
def test_every_pixel_is_in_a_tile_and_tiles_are_whole(seed: int) -> None:
    random = np.random.default_rng(seed)
    height, width = random.integers(1, 400, 2).tolist()
    side, overlap = int(random.integers(32, 200)), float(random.uniform(0, 0.9))
    covered = np.zeros((height, width), bool)
    tiles = tiles_of((height, width), side, overlap)
    for left, top, right, bottom in tiles:
        assert (right - left, bottom - top) == (min(side, width), min(side, height))
        covered[top:bottom, left:right] = True
    assert covered.all()
    assert len(set(tiles)) == len(tiles)
    assert tiles[-1] == Tile(max(0, width - side), max(0, height - side), width, height)
