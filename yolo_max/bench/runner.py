"""A whole run: which engines take part, whether they agree with PyTorch, how fast they are."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from yolo_max import __version__
from yolo_max.bench import cold
from yolo_max.bench.engine_pool import CALL_LIMIT, SETUP_LIMIT, EnginePool, Tick
from yolo_max.bench.engines import OURS, EngineSpec, Setup
from yolo_max.bench.plan import COLD_START, END_TO_END, GROWTH, GROWTH_IMAGES, Plan, by_threads
from yolo_max.bench.results import ABSENT, FAILED, LEFT_OUT, RAN, BenchResults, Participant, StreamPoint
from yolo_max.bench.verify import verify
from yolo_max.bench.worker import WorkerProcess
from yolo_max.engine.process import EngineProcessError
from yolo_max.images.read import read_image
from yolo_max.images.transforms import fit_of
from yolo_max.runtime import host
from yolo_max.support.errors import EngineError
from yolo_max.support.options import PredictOptions
from yolo_max.support.text import counted
from yolo_max.tasks.contract import Outputs
from yolo_max.tasks.registry import task_of
from yolo_max.weights.load import Weights, save_weights

PARITY_IMAGES = 4
STAGE_IMAGES = {False: 32, True: 4}
"""Number of images for the end-to-end stages in each round, by whether the run is quick."""


@dataclass(frozen=True)
class Inputs:
    """The inputs of the engines.

    Attributes:
        weights: The user's weights; PyTorch's reference uses these.
        images: Files for the stages and for parity.
        work: Folder for this run's files: converted weights, ONNX, empty caches, annotated images.
    """

    weights: Weights
    images: Sequence[Path]
    work: Path


class Runner:
    """Runs a plan."""

    def __init__(
        self,
        plan: Plan,
        specs: Sequence[EngineSpec],
        inputs: Inputs,
        against: str,
        left_out: Sequence[EngineSpec] = (),
        limits: tuple[float, float] = (SETUP_LIMIT, CALL_LIMIT),
    ) -> None:
        """Measures nothing yet.

        Args:
            plan: The plan.
            specs: The engines that take part.
            inputs: Weights and images.
            against: Key of the engine that ratios refer to.
            left_out: Engines that a quick run skips; they are listed.
            limits: Seconds for an engine's setup, and for any other answer.
        """
        self.plan = plan
        self.inputs = inputs
        self._limits = limits
        self._rng = random.Random(plan.seed)
        self._specs = [spec for spec in specs if spec.absent() is None]
        meta = inputs.weights.meta
        self.results = BenchResults(
            plan=plan,
            against=against,
            version=__version__,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            host={**host.record(), "pinned_to": host.pin(plan.threads)},
            weights={
                "file": inputs.weights.path.name,
                "sha256": inputs.weights.file_sha256,
                "classes": meta.nc,
                "parameters": inputs.weights.parameters,
            },
            images={"count": len(inputs.images), "parity": [p.name for p in self._parity_images()]},
            engines=[_participant(spec, spec in left_out) for spec in (*specs, *left_out)],
        )
        self._task = task_of(meta)
        self._weights_file = inputs.work / "weights.safetensors"
        self._onnx = inputs.work / "network.onnx"

    @property
    def steps(self) -> int:
        """The number of steps that `run` reports if nothing fails."""
        plan, engines = self.plan, len(self._running())
        groups = by_threads([plan.base, *plan.cases()])
        steps = 1 + engines * (len(groups) + 1 + len(plan.cases()) * (1 + plan.rounds))
        if END_TO_END in plan.scenarios:
            steps += engines * plan.rounds
        if COLD_START in plan.scenarios:
            steps += len(cold.states(plan)) * (engines + self._with_ours)
        return steps + len(GROWTH_IMAGES) * (GROWTH in plan.scenarios and self._with_ours)

    def run(self, tick: Tick) -> BenchResults:
        """Measures everything.

        Args:
            tick: Called with a description before each step.

        Raises:
            EngineError: PyTorch's reference could not be computed.
        """
        self._tick = tick
        start = perf_counter()
        disturbance = host.Disturbance.start()
        save_weights(self.inputs.weights, self._weights_file)
        canvases = np.stack([self._canvas(path) for path in self._parity_images()])
        reference = self._reference(canvases)
        first = dict(zip(("height", "width"), self.plan.imgsz, strict=True))
        for threads, cases in {self.plan.threads: [], **by_threads(self.plan.cases())}.items():
            setup = self._setup(threads)
            with EnginePool(self._running(), setup, first, self._failed, self._tick, self._limits) as pool:
                if threads == self.plan.threads:
                    self._verify(pool, canvases, reference)
                self.results.cases += [pool.measure(case, self.plan, self._rng) for case in cases]
                if threads == self.plan.threads and END_TO_END in self.plan.scenarios:
                    self._stages(pool)
        if COLD_START in self.plan.scenarios:
            starts = cold.ColdStarts(self.plan, self._setup(self.plan.threads), self.inputs.work, self._tick)
            self.results.cold = starts.run(self._running(), self.inputs.images[0], self._rng)
            self.results.notes += starts.notes
        if GROWTH in self.plan.scenarios and self._with_ours:
            self._stream()
        self.results.host |= disturbance.summary()
        self.results.seconds = perf_counter() - start
        return self.results

    def _parity_images(self) -> list[Path]:
        images = self.inputs.images
        return list(images[:: max(1, len(images) // PARITY_IMAGES)][:PARITY_IMAGES])

    def _canvas(self, path: Path) -> NDArray[np.uint8]:
        image = read_image(path)
        fit = fit_of(self._task.fit, self.plan.imgsz)
        return fit((image.shape[0], image.shape[1])).render(image)

    def _running(self) -> list[EngineSpec]:
        return [spec for spec in self._specs if self.results.engine(spec.key).state == RAN]

    @property
    def _with_ours(self) -> bool:
        return any(spec.key == OURS for spec in self._running())

    def _setup(self, threads: int) -> Setup:
        layout = {name: each.axes for name, each in self._task.reference().outputs.items()}
        return Setup(str(self._weights_file), str(self._onnx), threads, layout)

    def _failed(self, key: str, failure: EngineProcessError) -> None:
        engine = self.results.engine(key)
        engine.state, engine.reason, engine.log = FAILED, str(failure), failure.log

    def _reference(self, canvases: NDArray[np.uint8]) -> dict[str, list[Outputs]]:
        """PyTorch's raw outputs in f32 and f64, from a process that ends before anything is timed."""
        self._tick("PyTorch in f32 and f64: the reference")
        peers_want_onnx = any("onnx" in spec.packages for spec in self._specs)
        with WorkerProcess(host.pin(self.plan.threads), self.plan.threads) as worker:
            try:
                outputs: dict[str, list[Outputs]] = worker.call(
                    "reference",
                    limit=self._limits[0],
                    weights=str(self.inputs.weights.path),
                    canvases=canvases,
                    onnx=str(self._onnx) if peers_want_onnx else None,
                )
            except EngineProcessError as failure:
                raise EngineError(
                    f"PyTorch, which every engine is checked against, did not run: {failure}."
                ) from failure
        return outputs

    def _verify(
        self, pool: EnginePool, canvases: NDArray[np.uint8], reference: dict[str, list[Outputs]]
    ) -> None:
        judge = self._task.judge(self.inputs.weights.meta, PredictOptions())
        for key in pool.keys:
            engine = self.results.engine(key)
            self._tick(f"{engine.label}: parity")
            outputs = pool.ask(key, "outputs", canvases=canvases)
            if outputs is not None:
                engine.parity = verify(
                    engine.precision, outputs, reference["f32"], reference["f64"], judge, self.plan.imgsz
                )

    def _stages(self, pool: EnginePool) -> None:
        found: dict[str, list[list[dict[str, float]]]] = {key: [] for key in pool.keys}
        images = [str(path) for path in self.inputs.images[: STAGE_IMAGES[self.plan.quick]]]

        def one(key: str) -> None:
            out = str(self.inputs.work / "annotated" / key)
            rows = pool.ask(
                key,
                "stages",
                weights=str(self._weights_file),
                images=images,
                out=out,
                imgsz=self.plan.imgsz,
            )
            if rows is not None:
                found[key].append(rows)

        pool.in_rounds(pool.keys, self.plan.rounds, self._rng, "file to file", one)
        self.results.stages = {key: done for key, done in found.items() if len(done) == self.plan.rounds}

    def _stream(self) -> None:
        """Growth over the number of images; one process each, since peak memory never falls."""
        for count in GROWTH_IMAGES:
            self._tick(f"a stream of {counted(count, 'image')}")
            with WorkerProcess(host.pin(self.plan.threads), self.plan.threads) as worker:
                try:
                    speed = worker.call(
                        "stream",
                        limit=self._limits[0],
                        weights=str(self._weights_file),
                        images=[str(path) for path in self.inputs.images],
                        count=count,
                        imgsz=self.plan.imgsz,
                    )
                    peak = worker.call("memory", limit=self._limits[1])["peak"]
                except EngineProcessError as failure:
                    self.results.notes.append(f"The stream of {count} images failed: {failure}.")
                    return
            self.results.stream.append(StreamPoint(count, speed, peak))


def _participant(spec: EngineSpec, left_out: bool) -> Participant:
    absent = spec.absent()
    state, reason = RAN, ""
    if absent is not None:
        state, reason = ABSENT, absent
    elif left_out:
        state, reason = LEFT_OUT, "a quick run includes it only if it is named"
    versions = {} if absent else spec.versions()
    return Participant(spec.key, spec.label, spec.precision, state, reason, versions=versions)
