"""A user's options for a benchmark, checked before anything slow begins."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from yolo_max.bench.engine_pool import Tick
from yolo_max.bench.engines import choose
from yolo_max.bench.plan import GROWTH, SCENARIOS, Plan
from yolo_max.bench.results import BenchResults
from yolo_max.bench.runner import Inputs, Runner
from yolo_max.bench.samples import draw_samples
from yolo_max.images.source import SourceImage
from yolo_max.images.sources import find_images
from yolo_max.runtime import cpu
from yolo_max.support.errors import EngineError, UsageError
from yolo_max.weights.load import load_weights

QUICK_SECONDS, FULL_SECONDS = 0.3, 1.5

Progress = Callable[[int], AbstractContextManager[Tick]]
"""Given the number of steps, returns the callback for each."""


@dataclass(frozen=True)
class Request:
    """A requested benchmark; None stands for the default.

    Attributes:
        weights: A file or a name.
        images: A folder; by default ``./images`` if it exists, else images are drawn.
        engines: Keys; by default all, in a quick run those that compile quickly.
        scenarios: Names; by default all, in a quick run all but growth.
        imgsz: Side in pixels, or height and width; by default the weights' own.
        quick: Whether to finish in a minute or two.
        rounds: At least 1.
        seconds: Length of each timing.
        threads: By default all CPUs available to this process.
        seed: Seed of the order of the engines.
        against: Key of the engine that ratios refer to; by default PyTorch if present, else the first.
    """

    weights: str
    images: Path | None = None
    engines: Sequence[str] | None = None
    scenarios: Sequence[str] | None = None
    imgsz: int | Sequence[int] | None = None
    quick: bool = False
    rounds: int = 5
    seconds: float | None = None
    threads: int | None = None
    seed: int = 0
    against: str | None = None

    def run(self, progress: Progress, begin: Callable[[], object] = lambda: None) -> BenchResults:
        """Runs the benchmark.

        Args:
            progress: Shows how far it has come.
            begin: Called once the options make sense and there are weights and images.

        Raises:
            UsageError: An option makes no sense.
            WeightsError: The weights cannot be used.
            SourceError: No images were found.
            EngineError: An engine that is named cannot run here, or none can; or PyTorch's reference
                could not be computed.
        """
        specs = choose(self.engines)
        left_out = [spec for spec in specs if self.quick and self.engines is None and not spec.quick]
        taking_part = [spec for spec in specs if spec not in left_out]
        against = reference_point([spec.key for spec in specs], self.against)
        absent = {spec.key: reason for spec in taking_part if (reason := spec.absent())}
        for key in absent:
            if key in (*(self.engines or ()), self.against):
                raise EngineError(f"{key} cannot run here: {absent[key]}.")
        if len(absent) == len(taking_part):
            raise EngineError(
                f"no engine can run here: {'; '.join(absent.values())}; install the peers with "
                "`pip install 'yolo-max[bench]'`."
            )
        weights = load_weights(self.weights)
        plan = self._plan(weights.meta.canvas_size(self.imgsz))
        with tempfile.TemporaryDirectory(prefix="yolo_max_bench_") as folder:
            inputs = Inputs(weights, self._images(Path(folder)), Path(folder))
            runner = Runner(plan, taking_part, inputs, against, left_out)
            begin()
            with progress(runner.steps) as tick:
                return runner.run(tick)

    def _plan(self, imgsz: tuple[int, int]) -> Plan:
        scenarios = self.scenarios
        if scenarios is None:
            scenarios = [name for name in SCENARIOS if not (self.quick and name == GROWTH)]
        if unknown := [name for name in scenarios if name not in SCENARIOS]:
            raise UsageError(f"there is no scenario {unknown[0]!r}; use some of {', '.join(SCENARIOS)}.")
        seconds = (QUICK_SECONDS if self.quick else FULL_SECONDS) if self.seconds is None else self.seconds
        if self.rounds < 1:
            raise UsageError(f"rounds is {self.rounds}, but it must be at least 1.")
        if not 0 < seconds <= 60:
            raise UsageError(f"seconds is {seconds:g}, but it must be above 0 and at most 60.")
        available = cpu.available_threads()
        if self.threads is not None and not 1 <= self.threads <= available:
            raise UsageError(
                f"threads is {self.threads}, but it must be from 1 to the {available} CPUs here."
            )
        threads = self.threads or available
        return Plan(imgsz, threads, tuple(scenarios), self.rounds, seconds, self.quick, self.seed)

    def _images(self, work: Path) -> list[Path]:
        here = Path("images")
        if self.images is None and not here.is_dir():
            return draw_samples(work / "images")
        folder = self.images or here
        found = [each.path for each in find_images([str(folder)]) if isinstance(each, SourceImage)]
        return [path.resolve() for path in found]


def reference_point(keys: Sequence[str], wanted: str | None) -> str:
    """The key of the engine that ratios refer to."""
    if wanted is None:
        return "torch" if "torch" in keys else keys[0]
    if wanted not in keys:
        raise UsageError(f"ratios cannot refer to {wanted!r}; use one of {', '.join(keys)}.")
    return wanted
