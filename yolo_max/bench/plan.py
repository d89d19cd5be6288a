"""What is measured: the scenarios and their cases.

A case is one batch, one image size and one number of threads. Scenarios overlap (single-stream is both
offline at batch 1 and the first point of growth over batches), so each case is measured once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from yolo_max.support.text import counted

SINGLE_STREAM = "single-stream"
OFFLINE = "offline"
END_TO_END = "end-to-end"
COLD_START = "cold-start"
GROWTH = "growth"
SCENARIOS = (SINGLE_STREAM, OFFLINE, END_TO_END, COLD_START, GROWTH)

STAGES = ("decode", "letterbox", "infer", "postprocess", "draw", "write")
"""The stages of one image from file to annotated file."""
PHASES = ("process", "import", "weights", "build", "first")
"""The phases of an engine from process start to first result."""

OFFLINE_BATCHES = (1, 4, 8)
GROWTH_BATCHES = (1, 2, 4, 8, 16)
GROWTH_SIDES = (320, 480, 640, 960, 1280)
GROWTH_IMAGES = (1, 10, 100, 1000)


@dataclass(frozen=True, order=True)
class Case:
    """One point at which every engine is timed.

    Attributes:
        threads: Threads of the engine.
        batch: Images in a batch.
        height: Rows of the letterboxed images, in pixels.
        width: Columns.
    """

    threads: int
    batch: int
    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.batch} x {self.height}x{self.width}, {counted(self.threads, 'thread')}"


@dataclass(frozen=True)
class Plan:
    """A whole run.

    Attributes:
        imgsz: Height and width of the letterboxed images, in pixels.
        threads: Threads of every engine, except for growth over threads.
        scenarios: Some of `SCENARIOS`.
        rounds: How many times each engine is timed on each case, in a new order each time.
        seconds: Length of each timing.
        quick: Whether to skip empty caches and other slow steps.
        seed: Seed of the order of the engines.
    """

    imgsz: tuple[int, int]
    threads: int
    scenarios: tuple[str, ...] = SCENARIOS
    rounds: int = 5
    seconds: float = 1.5
    quick: bool = False
    seed: int = 0
    offline_batches: tuple[int, ...] = field(default=OFFLINE_BATCHES)

    @property
    def warm_seconds(self) -> float:
        """Max seconds for an engine to become stable on a case."""
        return 1.0 if self.quick else 10.0

    @property
    def min_inferences(self) -> int:
        """Min number of inferences in a timing."""
        return 1 if self.quick else 3

    @property
    def base(self) -> Case:
        """The base of all other cases: one image, the chosen size, all threads."""
        return Case(self.threads, 1, *self.imgsz)

    def offline_cases(self) -> list[Case]:
        """The batches of the offline scenario."""
        return [Case(self.threads, batch, *self.imgsz) for batch in self.offline_batches]

    def batch_cases(self) -> list[Case]:
        """Growth over batches."""
        return [Case(self.threads, batch, *self.imgsz) for batch in GROWTH_BATCHES]

    def size_cases(self) -> list[Case]:
        """Growth over square image sizes, with the chosen size."""
        sizes = {(side, side) for side in GROWTH_SIDES} | {self.imgsz}
        return [Case(self.threads, 1, *size) for size in sorted(sizes, key=lambda size: size[0] * size[1])]

    def thread_cases(self) -> list[Case]:
        """Growth over threads: 1, 2, 4, ... and all."""
        powers = [1 << i for i in range(self.threads.bit_length()) if 1 << i < self.threads]
        return [Case(threads, 1, *self.imgsz) for threads in (*powers, self.threads)]

    def cases(self) -> list[Case]:
        """Every case of the chosen scenarios once: the base case, then by threads, descending."""
        wanted: set[Case] = set()
        if SINGLE_STREAM in self.scenarios:
            wanted |= {self.base}
        if OFFLINE in self.scenarios:
            wanted |= set(self.offline_cases())
        if GROWTH in self.scenarios:
            wanted |= {*self.batch_cases(), *self.size_cases(), *self.thread_cases()}
        return sorted(wanted, key=lambda case: (-case.threads, case != self.base, case))


def by_threads(cases: Iterable[Case]) -> dict[int, list[Case]]:
    """Cases grouped by number of threads, which is fixed for a process."""
    groups: dict[int, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.threads, []).append(case)
    return groups
