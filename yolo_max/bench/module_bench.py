"""``yolo-max convert bench``: a PyTorch module on MAX and its peers, each in its own process, in turn."""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yolo_max.bench.engine_pool import SETUP_LIMIT, EnginePool, Tick
from yolo_max.bench.engines import ENGINES, OURS, EngineSpec, choose
from yolo_max.bench.module_runtimes import ModuleSetup
from yolo_max.bench.plan import Plan
from yolo_max.bench.report.tables import NONE, Table
from yolo_max.bench.request import reference_point
from yolo_max.bench.stats import Latency, Rounds, speed_up
from yolo_max.bench.worker import WorkerProcess
from yolo_max.convert.parity import BF16_RATIO, RATIO, ratio
from yolo_max.engine.process import EngineProcessError
from yolo_max.runtime import cpu, host
from yolo_max.support.errors import EngineError, UsageError
from yolo_max.support.text import counted

RUNTIMES = "yolo_max.bench.module_runtimes"
_NEEDS = {spec.key: spec.needs for spec in ENGINES}
MODULE_ENGINES = (
    EngineSpec(OURS, "MAX", f"{RUNTIMES}:ConvertedRuntime", packages=("max", "torch"), needs=_NEEDS[OURS]),
    EngineSpec(
        "max-bf16",
        "MAX bf16",
        f"{RUNTIMES}:ConvertedRuntime",
        precision="bf16",
        packages=("max", "torch"),
        needs=_NEEDS["max-bf16"],
        options={"dtype": "bfloat16"},
    ),
    EngineSpec("torch", "PyTorch eager", f"{RUNTIMES}:EagerRuntime", packages=("torch",)),
    EngineSpec(
        "torch-compile",
        "torch.compile",
        f"{RUNTIMES}:EagerRuntime",
        packages=("torch",),
        needs=_NEEDS["torch-compile"],
        options={"compiled": True},
    ),
    EngineSpec("onnxruntime", "ONNX Runtime", f"{RUNTIMES}:OnnxRuntime", packages=("onnx", "onnxruntime")),
    EngineSpec("openvino", "OpenVINO", f"{RUNTIMES}:OpenVinoRuntime", packages=("onnx", "openvino")),
    EngineSpec(
        "openvino-bf16",
        "OpenVINO bf16",
        f"{RUNTIMES}:OpenVinoRuntime",
        precision="bf16",
        packages=("onnx", "openvino"),
        needs=_NEEDS["openvino-bf16"],
        options={"precision": "bf16"},
    ),
)


_PRECISIONS = {spec.key: spec.precision for spec in MODULE_ENGINES}
_BOUNDS = {"f32": RATIO, "bf16": BF16_RATIO}


class ModuleProcess(WorkerProcess):
    """The parent's handle on a `yolo_max.bench.module_runtimes.ModuleWorker`."""

    target = f"{RUNTIMES}:serve"


@dataclass
class ModuleResults:
    """What was measured, by engine.

    Attributes:
        module: Its name.
        shapes: Of its inputs.
        threads: Of every engine.
        against: The engine that speed-ups refer to.
        parity: Largest error from float64 as a multiple of PyTorch's in the engine's precision.
        times: Milliseconds of each run, round by round.
        failed: Why an engine has no times.
    """

    module: str
    shapes: tuple[tuple[int, ...], ...]
    threads: int
    against: str
    parity: dict[str, float] = field(default_factory=dict)
    times: Mapping[str, Rounds] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def speed_up(self, key: str) -> float | None:
        """How many times as fast as ``against``; None without parity."""
        if not {key, self.against} <= self.times.keys() or self.parity[key] > _BOUNDS[_PRECISIONS[key]]:
            return None
        return speed_up(self.times[key], self.times[self.against]).median

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON; times are percentiles in milliseconds."""
        engines = {
            key: {
                "parity": self.parity.get(key),
                "ms": vars(Latency.of(self.times[key])) if key in self.times else None,
                "speed_up": self.speed_up(key),
                "failed": self.failed.get(key),
            }
            for key in (*self.times, *self.failed)
        }
        return {
            "module": self.module,
            "shapes": self.shapes,
            "threads": self.threads,
            "against": self.against,
            "engines": engines,
        }

    def table(self) -> Table:
        """A row for each engine."""
        labels = {spec.key: spec.label for spec in MODULE_ENGINES}
        rows = []
        for key, rounds in self.times.items():
            times, gain = Latency.of(rounds), self.speed_up(key)
            rows.append(
                [
                    labels[key],
                    f"{times.p50:.3g}",
                    f"{times.p90:.3g}",
                    NONE if gain is None else f"{gain:.2f}",
                    f"{self.parity[key]:.2f}",
                ]
            )
        shapes = " and ".join(" x ".join(map(str, shape)) for shape in self.shapes)
        notes = [
            f"Speed-up: against {labels[self.against]}, median over rounds; none without parity. Error: the "
            f"largest distance from float64 as a multiple of PyTorch's own, {RATIO:g} at most; in bf16 of "
            f"its autocast's, {BF16_RATIO:g} at most."
        ]
        notes += [f"{labels[key]}: {reason.rstrip('.')}." for key, reason in self.failed.items()]
        return Table(
            "module",
            f"{self.module}, {shapes}, {counted(self.threads, 'thread')}",
            ["engine", "median ms", "p90 ms", "speed-up", "error"],
            rows,
            notes,
        )


@dataclass(frozen=True)
class ModuleBench:
    """A benchmark of one module.

    Attributes:
        module: "package.module:Factory".
        inputs: A shape for each, such as "1,3,224,224"; "batch=8,20" is a symbolic size, measured at 8.
        engines: Keys of `MODULE_ENGINES`; None for all of float32 that can run here.
        rounds: How often each engine is timed.
        seconds: How long, each time.
        threads: Of each engine; by default all CPUs.
        seed: Of the order of the engines.
        against: The engine that speed-ups refer to.
    """

    module: str
    inputs: Sequence[str]
    engines: Sequence[str] | None = None
    rounds: int = 5
    seconds: float = 1.0
    threads: int | None = None
    seed: int = 0
    against: str | None = None

    def run(self, tick: Tick) -> ModuleResults:
        """Measures.

        Args:
            tick: Called with a description before each step.

        Raises:
            UsageError: An option makes no sense.
            EngineError: An engine that is named cannot run here, or PyTorch cannot run the module.
        """
        from yolo_max.convert.factory import parse_sized

        f32 = [spec.key for spec in MODULE_ENGINES if not spec.marked]
        specs = choose(f32 if self.engines is None else self.engines, MODULE_ENGINES)
        against = reference_point([spec.key for spec in specs], self.against)
        absent = {spec.key: reason for spec in specs if (reason := spec.absent())}
        for key in absent:
            if key in (*(self.engines or ()), against):
                raise EngineError(f"{key} cannot run here: {absent[key]}.")
        if self.rounds < 1 or not 0 < self.seconds <= 60:
            raise UsageError("use at least one round, and seconds above 0 and up to 60.")
        threads = self.threads or cpu.available_threads()
        shapes, sizes = parse_sized(self.inputs)
        static = tuple(
            tuple(sizes[size] if isinstance(size, str) else size for size in shape) for shape in shapes
        )
        results = ModuleResults(self.module, static, threads, against, failed=absent)
        running = [spec for spec in specs if spec.key not in absent]
        with tempfile.TemporaryDirectory(prefix="yolo_max_bench_") as folder:
            onnx = str(Path(folder) / "module.onnx")
            path = (str(Path.cwd()), *(place for place in sys.path if place))
            setup = ModuleSetup(self.module, shapes, sizes, threads, onnx, path)
            reference = self._reference(setup, running, results, tick)
            running = [spec for spec in running if spec.key not in results.failed]
            self._measure(setup, running, reference, results, tick)
        return results

    def _reference(
        self, setup: ModuleSetup, specs: Sequence[EngineSpec], results: ModuleResults, tick: Tick
    ) -> dict[str, Any]:
        """PyTorch's outputs; writes the ONNX file, or says of those that would read it why they cannot."""
        tick("PyTorch in f32 and f64: the reference")
        readers = [spec.key for spec in specs if "onnx" in spec.packages]
        with ModuleProcess(host.pin(setup.threads), setup.threads) as worker:
            try:
                found: dict[str, Any] = worker.call(
                    "reference",
                    limit=SETUP_LIMIT,
                    setup=setup,
                    bf16=any(spec.marked for spec in specs),
                )
            except EngineProcessError as failure:
                raise EngineError(f"PyTorch cannot run {setup.module}: {failure}.") from failure
            try:
                if readers:
                    worker.call("export", limit=SETUP_LIMIT, setup=setup)
            except EngineProcessError as failure:
                reason = f"PyTorch cannot export {setup.module} to ONNX: {failure}"
                results.failed.update(dict.fromkeys(readers, reason))
        return found

    def _measure(
        self,
        setup: ModuleSetup,
        specs: Sequence[EngineSpec],
        reference: dict[str, Any],
        results: ModuleResults,
        tick: Tick,
    ) -> None:
        def failed(key: str, failure: EngineProcessError) -> None:
            results.failed[key] = str(failure)

        plan = Plan((0, 0), setup.threads, (), self.rounds, self.seconds)
        with EnginePool(specs, setup, {}, failed, tick, worker=ModuleProcess) as pool:
            for key in pool.keys:
                outputs = pool.ask(key, "outputs")
                if outputs is not None:
                    theirs = reference[_PRECISIONS[key]]
                    results.parity[key] = ratio(outputs, theirs, reference["f64"])
                    pool.ask(key, "warm_up", seconds=plan.warm_seconds)
            _, results.times = pool.time(pool.keys, plan, random.Random(self.seed), self.module)
