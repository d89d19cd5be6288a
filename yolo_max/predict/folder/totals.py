"""Totals: what a run has found so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from yolo_max.tasks.task import Task


@dataclass
class ClassTotals:
    """The totals of one class.

    Attributes:
        objects: How many were found.
        images: How many images have one.
        best: Their highest confidence.
        tracks: How many tracks begin with one, where videos are tracked.
    """

    objects: int = 0
    images: int = 0
    best: float = 0.0
    tracks: int = 0


@dataclass
class Totals:
    """The totals of a run's records.

    Attributes:
        task: The task of the records.
        images: How many there are, failed ones and frames of videos included.
        frames: How many of them are frames of videos that could be read.
        classes: Totals by class name.
        failures: (path, reason) of each image that failed.
        video_failures: (path, reason) of each video whose annotated video could not be written.
        unsaved: How many of the failures were read, but could not be drawn or written.
        times_ms: Milliseconds by stage, summed over the images.
        in_frames: How many images are one of several frames or pages of their file.
        further_frames: How many frames or pages that are not read their files have.
        max_det_reached: How many images may have more than was found in them.
        tracks: Source and number of each track; None without tracking.
    """

    task: Task
    images: int = 0
    frames: int = 0
    classes: dict[str, ClassTotals] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)
    video_failures: list[tuple[str, str]] = field(default_factory=list)
    unsaved: int = 0
    times_ms: dict[str, float] = field(default_factory=dict)
    in_frames: int = 0
    further_frames: int = 0
    max_det_reached: int = 0
    tracks: set[tuple[str, int]] | None = None

    def add(self, record: Mapping[str, Any]) -> None:
        """Adds the record of one image (`yolo_max.output.records.record`)."""
        self.images += 1
        for stage, milliseconds in record.get("times_ms", {}).items():
            self.times_ms[stage] = self.times_ms.get(stage, 0.0) + milliseconds
        if "video_error" in record:
            self.video_failures.append((record["path"], record["video_error"]))
        if "error" in record:
            place = f" (frame {record['frame']})" if "frame" in record else ""
            self.failures.append((f"{record['path']}{place}", record["error"]))
            self.unsaved += "unsaved" in record
            return
        self.frames += "frame" in record
        further = record.get("frames", 1) - 1
        self.in_frames += further > 0
        self.further_frames += further
        self.max_det_reached += "max_det_reached" in record
        names = set()
        for name, confidence in self.task.found(record):
            totals = self.classes.setdefault(name, ClassTotals())
            totals.objects += 1
            totals.best = max(totals.best, confidence)
            names.add(name)
        for name in names:
            self.classes[name].images += 1
        if self.tracks is not None:
            for box in record["boxes"]:
                track = (record["path"], box.get("track_id", 0))  # numbers begin with 1; images have none
                if track[1] and track not in self.tracks:
                    self.tracks.add(track)
                    self.classes[box["class_name"]].tracks += 1

    @property
    def objects(self) -> int:
        """How many things were found."""
        return sum(each.objects for each in self.classes.values())

    @property
    def read(self) -> int:
        """How many images did not fail."""
        return self.images - len(self.failures)

    @property
    def unit(self) -> str:
        """What was read: "frame" if only videos were, else "image"."""
        return "frame" if 0 < self.frames == self.read else "image"

    def by_frequency(self) -> list[tuple[str, ClassTotals]]:
        """The classes, most frequent first, then by name."""
        return sorted(self.classes.items(), key=lambda item: (-item[1].objects, item[0]))
