"""Tally: what a run has found so far, summed over its records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class ClassTally:
    """One class.

    Attributes:
        objects: How many were found.
        images: In how many images.
        best: The highest confidence among them.
    """

    objects: int = 0
    images: int = 0
    best: float = 0.0


@dataclass
class Tally:
    """All records of a run.

    Attributes:
        images: How many there are, failed ones included.
        objects: How many boxes.
        classes: By class name.
        failures: (path, reason) of what could not be read.
        times_ms: Milliseconds by stage, summed over the images.
    """

    images: int = 0
    objects: int = 0
    classes: dict[str, ClassTally] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)
    times_ms: dict[str, float] = field(default_factory=dict)

    def add(self, record: Mapping[str, Any]) -> None:
        """Takes in the record of one image, as `yolo_max.output.records.record` makes it."""
        self.images += 1
        for stage, milliseconds in record.get("times_ms", {}).items():
            self.times_ms[stage] = self.times_ms.get(stage, 0.0) + milliseconds
        if "error" in record:
            self.failures.append((record["path"], record["error"]))
            return
        boxes = record["boxes"]
        self.objects += len(boxes)
        for box in boxes:
            tally = self.classes.setdefault(box["class_name"], ClassTally())
            tally.objects += 1
            tally.best = max(tally.best, box["confidence"])
        for name in {box["class_name"] for box in boxes}:
            self.classes[name].images += 1

    @property
    def read(self) -> int:
        """How many images did not fail."""
        return self.images - len(self.failures)

    def by_frequency(self) -> list[tuple[str, ClassTally]]:
        """The classes, most frequent first, then by name."""
        return sorted(self.classes.items(), key=lambda item: (-item[1].objects, item[0]))
