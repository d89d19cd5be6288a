"""Tracking: the same object has the same number in all frames of a video.

ByteTrack (Zhang et al., 2022) is that of Roboflow's package trackers, with the thresholds of Ultralytics'
``bytetrack.yaml``. As there, an object gets its number with the second frame in which it is found, or with
the first of the video.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.predict.result import Result
from yolo_max.support.errors import UsageError
from yolo_max.support.extras import require
from yolo_max.support.text import shorten
from yolo_max.tasks.marks import TrailMark

TRACKERS = ("bytetrack", "bytetrack.yaml")
HIGH = 0.25
"""From this confidence on a box may begin a track."""
BUFFER = 30
"""For so many frames a track that is lost may be found again."""
MIN_IOU = 1 - 0.8
"""What a box and the place where its track is expected have in common at least."""
TRAIL = 60
"""How many frames a trail goes back."""


def require_tracker(name: str) -> None:
    """Refuses a tracker that is not there.

    Raises:
        UsageError: There is none of this name.
        EngineError: The package that has it is not installed.
    """
    if name not in TRACKERS:
        raise UsageError(f"there is no tracker {shorten(name)}; use bytetrack.")
    require("trackers", "track", "tracking")


class Tracker:
    """Follows the objects of one video, frame by frame."""

    def __init__(self) -> None:
        from trackers import ByteTrackTracker

        self._tracker = ByteTrackTracker(
            lost_track_buffer=BUFFER,
            track_activation_threshold=HIGH,
            high_conf_det_threshold=HIGH,
            minimum_consecutive_frames=1,
            minimum_iou_threshold=MIN_IOU,
        )
        self._trails: dict[int, deque[tuple[float, float]]] = {}
        self._seen: dict[int, int] = {}
        self._frames = 0

    def update(self, found: Any) -> tuple[Any, tuple[TrailMark, ...]]:
        """Numbers the objects of the next frame.

        Args:
            found: `yolo_max.tasks.detect.detections.Detections` of any kind.

        Returns:
            Those that are on a track, with their ``track_id``, from 1; and their trails.
        """
        from supervision import Detections

        self._frames += 1
        sides = found.xyxy[:, 2:] - found.xyxy[:, :2]
        usable = np.flatnonzero((sides > 0).all(axis=1))  # a box without area has no IoU
        boxes = Detections(
            xyxy=found.xyxy[usable].astype(np.float64),
            confidence=found.confidence[usable].astype(np.float64),
            class_id=found.class_id[usable],
            data={"index": usable},
        )
        if self._frames == 1:  # where Ultralytics waits for no second frame
            self._tracker.update(boxes)
        tracked = self._tracker.update(boxes)
        ids = np.asarray(tracked.tracker_id if len(tracked) else [], int)
        indices = np.asarray(tracked.data["index"] if len(tracked) else [], int)[ids >= 0]
        order = np.argsort(indices)
        ids = (ids[ids >= 0][order] + 1).astype(np.int32)
        found = replace(found[indices[order]], track_id=ids)
        return found, self._trails_of(found, ids)

    def _trails_of(self, found: Any, ids: NDArray[np.int32]) -> tuple[TrailMark, ...]:
        centres = (found.xyxy[:, :2] + found.xyxy[:, 2:]) / 2
        marks = []
        for track_id, (x, y), class_id in zip(ids.tolist(), centres.tolist(), found.class_id, strict=True):
            trail = self._trails.setdefault(track_id, deque(maxlen=TRAIL))
            trail.append((x, y))
            self._seen[track_id] = self._frames
            marks.append(TrailMark(tuple(trail), int(class_id), track_id))
        for track_id in [each for each, last in self._seen.items() if last < self._frames - BUFFER - 1]:
            del self._seen[track_id], self._trails[track_id]
        return tuple(marks)


def follow(results: Iterable[Result]) -> Iterator[Result]:
    """Numbers the objects of videos, whose frames may come in turn; the numbers start anew for each video.

    Args:
        results: In order. An image that is no frame has no tracks; its boxes are those that may begin one.
    """
    trackers: dict[str, Tracker] = {}
    for result in results:
        found: Any = result.prediction
        if result.frame is None:
            if found is not None:
                result.prediction = found[found.confidence >= HIGH]
        else:
            source = str(result.source)
            if source not in trackers or result.frame.number == 1:
                trackers[source] = Tracker()
            if found is not None:
                result.prediction, result.trails = trackers[source].update(found)
            if result.frame.last:
                del trackers[source]
        yield result
