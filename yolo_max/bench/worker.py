"""One engine in a process of its own: its methods there, and the parent's handle on it.

A request is ``(method, arguments)`` of `Worker`; the answer is ``("ok", value)``, ``("skipped", reason)`` or
``("error", sentence)``.
"""

from __future__ import annotations

import gc
import resource
import traceback
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from time import monotonic_ns, perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.bench.engines import NotMeasuredError, Runtime, make_runtime
from yolo_max.engine.process import EngineProcess, EngineProcessError
from yolo_max.tasks.contract import Outputs

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

WARM_BLOCK = 3
"""Inferences per block of the warm-up."""
WARM_TOLERANCE = 0.05
"""Max relative difference between the medians of two blocks in a row for an engine to be stable."""


class Timed:
    """The timing of a runtime on one input."""

    _runtime: Any
    _batch: Any

    def warm_up(self, seconds: float) -> dict[str, Any]:
        """Runs until the engine is stable or ``seconds`` have passed.

        Returns:
            ``{"inferences": their number, "stable": whether the engine became stable}``.
        """
        medians: list[float] = []
        start = perf_counter()
        while True:
            medians.append(float(np.median([self._time_one() for _ in range(WARM_BLOCK)])))
            stable = len(medians) > 1 and abs(medians[-1] / medians[-2] - 1) < WARM_TOLERANCE
            if stable or perf_counter() - start > seconds:
                return {"inferences": WARM_BLOCK * len(medians), "stable": stable}

    def time(self, seconds: float, min_inferences: int, max_inferences: int) -> list[float]:
        """Times inferences one by one.

        Args:
            seconds: How long to go on, within the two limits.
            min_inferences: Min number of inferences.
            max_inferences: Max number of inferences.

        Returns:
            Milliseconds per inference.
        """
        self._time_one()  # the caches are cold after a pause
        samples: list[float] = []
        gc.collect()
        gc.disable()
        try:
            end = perf_counter() + seconds
            while len(samples) < min_inferences or (len(samples) < max_inferences and perf_counter() < end):
                samples.append(self._time_one())
        finally:
            gc.enable()
        return samples

    def _time_one(self) -> float:
        start = perf_counter()
        self._runtime.infer(self._batch)
        return (perf_counter() - start) * 1000


class Worker(Timed):
    """The methods of an engine's process."""

    def __init__(self, started_ms: float) -> None:
        """Imports nothing yet; ``started_ms`` is the time since the spawn, in milliseconds."""
        self._phases = {"process": started_ms}

    def setup(self, factory: str, arguments: Mapping[str, Any], height: int, width: int) -> dict[str, float]:
        """Imports, loads, builds for one image and runs once.

        Args:
            factory: Factory of the runtime; see `yolo_max.bench.engines.EngineSpec`.
            arguments: The factory's arguments.
            height: Height of the image, in pixels.
            width: Width of the image, in pixels.

        Returns:
            Milliseconds by phase: process, import, weights, build, first.
        """
        self._runtime: Runtime = make_runtime(factory, arguments)
        canvas = np.full((1, height, width, 3), 114, np.uint8)
        for phase, step in (
            ("import", self._runtime.imports),
            ("weights", self._runtime.load),
            ("build", lambda: self._runtime.prepare(1, height, width)),
            ("first", lambda: self._runtime.infer(canvas)),
        ):
            start = perf_counter()
            step()
            self._phases[phase] = (perf_counter() - start) * 1000
        self._batch = canvas
        return self._phases

    def prepare(self, batch: int, height: int, width: int, warm: float) -> dict[str, Any]:
        """Prepares a case, and warms up until the engine is stable or ``warm`` seconds have passed.

        Returns:
            ``{"inferences": their number, "stable": whether the engine became stable}``.
        """
        self._runtime.prepare(batch, height, width)
        # Noise will do: the time of a convolution does not depend on the pixels.
        self._batch = np.random.default_rng(0).integers(0, 256, (batch, height, width, 3), np.uint8)
        return self.warm_up(warm)

    def outputs(self, canvases: NDArray[np.uint8]) -> list[Outputs]:
        """The raw outputs of images, uint8 ``[N, H, W, 3]``, run one by one."""
        runtime = self._runtime
        runtime.prepare(1, *canvases.shape[1:3])
        found: list[Outputs] = []
        for canvas in canvases:
            outputs = runtime.outputs(runtime.infer(canvas[None]))
            found.append({name: output[0].copy() for name, output in outputs.items()})  # it may reuse them
        return found

    def stages(
        self, weights: str, images: Sequence[str], out: str, imgsz: tuple[int, int]
    ) -> list[dict[str, float]]:
        """Times each image from file to annotated file; see `yolo_max.bench.stages.run`."""
        from yolo_max.bench import stages

        self._runtime.prepare(1, *imgsz)
        runtime = self._runtime
        return stages.run(
            lambda batch: runtime.outputs(runtime.infer(batch)), weights, images, Path(out), imgsz
        )

    def stream(self, weights: str, images: Sequence[str], count: int, imgsz: tuple[int, int]) -> float:
        """Images per second of `Predictor.stream` over ``count`` images, without start-up."""
        from yolo_max.bench import stages

        return stages.stream(weights, images, count, imgsz)

    def reference(self, weights: str, canvases: NDArray[np.uint8], onnx: str | None) -> dict[str, Any]:
        """PyTorch's raw outputs in f32 and f64; exports the network if ``onnx`` says where.

        Returns:
            ``{"f32": outputs, "f64": outputs}``, each image by image.
        """
        from yolo_max.bench.raw_network import export_onnx
        from yolo_max.engine.torch_engine import TorchEngine

        found = {}
        for precision in ("f64", "f32"):
            engine = TorchEngine(weights, precision=precision)
            found[precision] = [engine.run(canvas[None])[0] for canvas in canvases]
        if onnx is not None:
            export_onnx(engine.module, engine.reference, Path(onnx))
        return found

    def memory(self) -> dict[str, float]:
        """Peak and present resident memory of this process, in MiB."""
        return memory_mib()


def memory_mib() -> dict[str, float]:
    """Peak and present resident memory of this process, in MiB.

    On Linux ``ru_maxrss`` also counts the parent's memory at the fork, so /proc comes first.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS
        return {"peak": peak, "now": peak}
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return {name: int(fields[key].split()[0]) / 1024 for name, key in (("peak", "VmHWM"), ("now", "VmRSS"))}


def serve(connection: Connection, spawned_ns: str) -> None:
    """Runs in the child: answers requests until the other end is closed.

    Args:
        connection: The channel.
        spawned_ns: Monotonic clock at the spawn, in nanoseconds.
    """
    answer_requests(connection, Worker((monotonic_ns() - int(spawned_ns)) / 1e6))


def answer_requests(connection: Connection, worker: object) -> None:
    """Answers requests by a worker's methods until the other end is closed."""
    while True:
        try:
            method, arguments = connection.recv()
        except (EOFError, OSError):
            return
        try:
            answer = "ok", getattr(worker, method)(**arguments)
        except NotMeasuredError as reason:
            answer = "skipped", str(reason)
        except Exception as error:
            traceback.print_exc()
            answer = "error", f"{type(error).__name__}: {error}"
        connection.send(answer)


class WorkerProcess(EngineProcess):
    """The parent's handle on a `Worker`; its process is suspended between requests."""

    target = f"{__name__}:serve"

    def __init__(self, cpus: Sequence[int], threads: int, env: Mapping[str, str] | None = None) -> None:
        """Starts the process; it imports no engine until it is set up.

        Args:
            cpus: CPUs to pin it to; empty if the system cannot pin.
            threads: Threads for OpenMP and the like.
            env: Further environment variables.
        """
        env = {**dict.fromkeys(THREAD_VARIABLES, str(threads)), **(env or {})}
        super().__init__(self.target, str(monotonic_ns()), cpus=cpus, env=env)

    def call(self, method: str, *, limit: float, **arguments: Any) -> Any:
        """Calls a method of `Worker`.

        Args:
            method: Its name.
            limit: Seconds to wait for the answer.
            **arguments: Its arguments.

        Raises:
            NotMeasuredError: The engine skips this case.
            EngineProcessError: It raised, died or timed out; in the last two cases the process has ended.
        """
        self.resume()
        self.send((method, arguments))
        kind, value = self.receive(limit)
        self.suspend()
        if kind == "skipped":
            raise NotMeasuredError(value)
        if kind == "error":
            raise EngineProcessError(value, self.log_tail())
        return value
