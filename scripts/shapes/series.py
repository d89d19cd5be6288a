"""What each task is shown: which scenes, in which sizes, under which class names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shapes.figures import FIGURE_NAMES, draw_figures
from shapes.scenes import CLASS_NAMES, Scene, Style, draw_scene

Draw = Callable[[int, int, tuple[int, int]], Scene]
"""(seed, index, (height, width)) -> Scene: see `draw_scene`."""

# (width, height) of the scenes that are written, in turn, so that letterboxing has something to do.
SIZES = ((640, 480), (480, 640), (640, 360), (512, 512), (800, 450), (640, 427), (450, 600), (640, 480))

OBLONG = Style(squeeze=(0.38, 0.62), diameters=(0.08, 0.5), uncut=True)
SINGLE = Style(counts=(1, 1), diameters=(0.3, 0.8), uncut=True)
OTHER_SCENES = 1_000_000  # no series is as long


@dataclass(frozen=True)
class Series:
    """The scenes of one task.

    Attributes:
        noun: What they show; their files are named so.
        names: Class names, by id.
        draw: Draws a scene.
    """

    noun: str
    names: tuple[str, ...]
    draw: Draw

    def numbered(self, seed: int, index: int) -> Scene:
        """Scene `index` of the series `seed`, in the size that its number gives it."""
        width, height = SIZES[index % len(SIZES)]
        return self.draw(seed, index, (height, width))


def _oblong(seed: int, index: int, size: tuple[int, int]) -> Scene:
    return draw_scene(seed, index, size, OBLONG)


def _single(seed: int, index: int, size: tuple[int, int]) -> Scene:
    """Now and then clutter hides the only shape; then another scene takes the place."""
    while not len((scene := draw_scene(seed, index, size, SINGLE)).classes):
        index += OTHER_SCENES
    return scene


SERIES = {
    "detect": Series("shapes", CLASS_NAMES, draw_scene),
    "segment": Series("shapes", CLASS_NAMES, draw_scene),
    "pose": Series("figures", FIGURE_NAMES, draw_figures),
    "obb": Series("shapes", CLASS_NAMES, _oblong),
    "classify": Series("shapes", CLASS_NAMES, _single),
}
