"""Tally: what a run has found so far, summed over its records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from yolo_max.tasks.contract import Task


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
        task: What they are records of.
        images: How many there are, failed ones included.
        classes: By class name.
        failures: (path, reason) of what could not be read.
        times_ms: Milliseconds by stage, summed over the images.
    """

    task: Task
    images: int = 0
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
        names = set()
        for name, confidence in self.task.found(record):
            tally = self.classes.setdefault(name, ClassTally())
            tally.objects += 1
            tally.best = max(tally.best, confidence)
            names.add(name)
        for name in names:
            self.classes[name].images += 1

    @property
    def objects(self) -> int:
        """How many things were found."""
        return sum(each.objects for each in self.classes.values())

    @property
    def read(self) -> int:
        """How many images did not fail."""
        return self.images - len(self.failures)

    def by_frequency(self) -> list[tuple[str, ClassTally]]:
        """The classes, most frequent first, then by name."""
        return sorted(self.classes.items(), key=lambda item: (-item[1].objects, item[0]))
