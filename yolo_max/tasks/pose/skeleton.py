"""What to draw of a pose: COCO's person as a skeleton, anything else as points."""

from __future__ import annotations

from collections.abc import Sequence

from yolo_max.tasks.marks import SkeletonMark

HEAD, ARMS, TORSO, LEGS = (0, 255, 0), (0, 128, 255), (255, 51, 255), (255, 153, 51)
"""BGR: the colors of these parts in Ultralytics' pictures."""
PERSON = {
    HEAD: ((0, 1), (0, 2), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
    ARMS: ((5, 6), (5, 7), (7, 9), (6, 8), (8, 10)),
    TORSO: ((5, 11), (6, 12), (11, 12)),
    LEGS: ((11, 13), (13, 15), (12, 14), (14, 16)),
}
"""COCO's limbs, which join these of its 17 keypoints, by color.

https://cocodataset.org/#keypoints-2020: 0 nose; left and right: 1, 2 eyes; 3, 4 ears; 5, 6 shoulders; 7, 8
elbows; 9, 10 wrists; 11, 12 hips; 13, 14 knees; 15, 16 ankles.
"""
LIMBS = tuple((a, b, color) for color, limbs in PERSON.items() for a, b in limbs)
JOINTS = (*[HEAD] * 5, *[ARMS] * 6, *[LEGS] * 6)


def skeleton(points: Sequence[Sequence[float]], visible: Sequence[bool]) -> SkeletonMark:
    """The mark of one pose.

    Args:
        points: x and y of each keypoint, in pixels of the image.
        visible: Whether to draw it.
    """
    shown = tuple((x, y) if seen else None for (x, y), seen in zip(points, visible, strict=True))
    if len(shown) != len(JOINTS):
        return SkeletonMark(shown)
    return SkeletonMark(shown, JOINTS, LIMBS)
