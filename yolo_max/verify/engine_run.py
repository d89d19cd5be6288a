"""One engine over a list of images, in a process of its own.

In one process, MAX's threads and PyTorch's slow each other down, so engines are compared in two processes,
one after the other. The parent sends one `Workload` and the child answers with one message per image. Raw
outputs go through files, which the parent deletes after reading.
"""

from __future__ import annotations

import hashlib
import importlib
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any, Self

import numpy as np

from yolo_max.engine.process import EngineProcess, EngineProcessError
from yolo_max.support.errors import EngineError, ImageError, YoloMaxError
from yolo_max.tasks.contract import Outputs, Prediction
from yolo_max.tasks.registry import task_of
from yolo_max.weights.load import load_weights

NAMES = {"max": "MAX", "torch": "PyTorch", "ultralytics": "Ultralytics"}
"""Display names of the engines."""
WAIT_POLICY = "OMP_WAIT_POLICY"
"""How OpenMP's threads, PyTorch's among them, wait for each other: by default they spin."""


@dataclass(frozen=True)
class Workload:
    """The work of one engine.

    Attributes:
        engine: "max" or "torch"; or "ultralytics" for its own predictor, which shows no raw outputs.
        weights: As for `yolo_max.Predictor`.
        paths: The images.
        options: Further arguments of `yolo_max.Predictor`, in plain JSON types.
        raw: Folder for raw outputs; if None, none are kept and images are decoded ahead.
    """

    engine: str
    weights: str
    paths: Sequence[str]
    options: Mapping[str, Any] = field(default_factory=dict)
    raw: str | None = None


@dataclass(frozen=True)
class Outcome:
    """The outcome for one image.

    Attributes:
        path: As it was given.
        error: Why it could not be read, or None.
        prediction: What was found, or None if it could not be read.
        times_ms: Milliseconds per stage: decode, letterbox, infer, postprocess.
        pixels_sha256: SHA-256 of the network's input, if raw outputs are kept.
        raw_file: File of the raw outputs, if they are kept.
    """

    path: str
    error: str | None = None
    prediction: Prediction | None = None
    times_ms: Mapping[str, float] = field(default_factory=dict)
    pixels_sha256: str | None = None
    raw_file: str | None = None

    def take_raw(self) -> Outputs:
        """Reads the whole raw outputs and deletes their file."""
        assert self.raw_file is not None
        path = Path(self.raw_file)
        with np.load(path) as file:
            outputs = dict(file)
        path.unlink()
        return outputs


class EngineRun:
    """An engine in a process of its own; iterating yields the outcomes in the order of the workload's paths.

    A context manager, so that no process outlives its use.

    Attributes:
        name: "MAX", "PyTorch" or "Ultralytics".
        info: Facts about the engine: imgsz, threads and others of its own.
    """

    def __init__(self, workload: Workload, report: Callable[[str], None] | None = None) -> None:
        """Starts the child process and waits until its engine is ready.

        Args:
            workload: The work to do.
            report: Called with a sentence before each slow step.

        Raises:
            YoloMaxError: The child raised it.
            EngineError: The child died.
        """
        self.name = NAMES.get(workload.engine, workload.engine)
        self._report = report or (lambda _: None)
        # Spinning threads pay on a machine of one's own, where `bench` measures; beside other work they cost
        # many times the work itself.
        wait = {} if WAIT_POLICY in os.environ else {WAIT_POLICY: "PASSIVE"}
        self._process = EngineProcess(f"{__name__}:_serve", env=wait)
        try:
            self._process.send(workload)
            ready = self._receive()
            self._names: Mapping[int, str] = ready["names"]
            self.info: Mapping[str, Any] = ready["info"]
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[Outcome]:
        while "done" not in (message := self._receive()):
            if message["prediction"] is not None:
                message["prediction"] = replace(message["prediction"], names=self._names)  # one copy of them
            yield Outcome(**message)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the child process."""
        self._process.close()

    def _receive(self) -> dict[str, Any]:
        while True:
            try:
                message: dict[str, Any] = self._process.receive()
            except EngineProcessError as error:
                lines = error.log.strip().splitlines()
                killed = (self._process.returncode or 0) < 0
                # The last line of a traceback says more than an exit code.
                reason = lines[-1] if lines and not killed else self._process.exit_reason()
                raise EngineError(
                    f"the process of the {self.name} engine died: {reason.rstrip('.')}."
                ) from None
            if "report" in message:
                self._report(message["report"])
            elif "failure" in message:
                raise message["failure"]
            else:
                return message


def _serve(connection: Connection) -> None:
    """Runs in the child process."""
    workload: Workload = connection.recv()
    try:
        (_predict if workload.engine == "ultralytics" else _work)(workload, connection.send)
    except YoloMaxError as error:
        connection.send({"failure": error})


def _work(workload: Workload, send: Callable[[Mapping[str, Any]], None]) -> None:
    from yolo_max.predict.predictor import Predictor

    weights = load_weights(workload.weights)
    ignored = task_of(weights.meta).ignores  # the command says which of them the user gave
    predictor = Predictor(
        weights,
        engine=workload.engine,
        report=lambda sentence: send({"report": sentence}),
        **{name: value for name, value in workload.options.items() if name not in ignored},
    )
    predictor.engine.run(np.zeros((1, *predictor.imgsz, 3), np.uint8))  # the first run is slower
    info = {"imgsz": list(predictor.imgsz), **predictor.engine.info}
    send({"names": dict(predictor.weights.meta.names), "info": info})
    outcomes = _in_turn(predictor, workload) if workload.raw else _streamed(predictor, workload)
    for outcome in outcomes:
        send(vars(outcome))
    send({"done": True})


def _predict(workload: Workload, send: Callable[[Mapping[str, Any]], None]) -> None:
    """Ultralytics' own predictor from end to end, on input of one size."""
    from yolo_max.engine.torch_module import build_module
    from yolo_max.support.ultralytics_import import import_ultralytics

    weights = load_weights(workload.weights)
    import torch

    _require_torchvision()
    import_ultralytics()
    task = task_of(weights.meta)
    reference = task.reference()
    module, _, name = reference.predictor.partition(":")
    options = dict(workload.options)
    if threads := options.pop("threads", None):
        torch.set_num_threads(threads)
    imgsz = weights.meta.canvas_size(options.pop("imgsz", None))
    options |= {"imgsz": list(imgsz), "rect": False, "device": "cpu", "verbose": False, "save": False}
    make = getattr(importlib.import_module(module), name)
    predictor = make(overrides={"mode": "predict", "task": task.name, "batch": 1, **options})
    predictor.setup_model(build_module(weights), verbose=False)  # its own loading would unpickle the file
    predictor(np.zeros((*imgsz, 3), np.uint8))
    names = dict(weights.meta.names)
    send(
        {
            "names": names,
            "info": {"imgsz": list(imgsz), "threads": torch.get_num_threads()},
        }
    )
    for path in workload.paths:
        try:
            (result,) = predictor(path)
        except Exception as error:  # its loader raises anything for a file that is not an image
            send(vars(Outcome(path, f"Ultralytics cannot read it: {error}")))
            continue
        found = reference.prediction(result, names)
        times = {name: result.speed[key] for name, key in _STAGES.items()}
        send(vars(Outcome(path, None, found, times)))
    send({"done": True})


def _require_torchvision() -> None:
    """Checks torchvision, which Ultralytics' predictor imports.

    Its import fails if the wheel was built for another torch.

    Raises:
        EngineError: It is missing, or does not work with the installed torch.
    """
    import torch

    try:
        version = metadata.version("torchvision")
    except metadata.PackageNotFoundError:
        state = "which is not installed"
    else:
        try:
            import torchvision  # noqa: F401

            return
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            state = f"and torchvision {version} does not work with torch {torch.__version__} ({reason})"
    raise EngineError(
        f"Ultralytics' predictor needs torchvision, {state}; install the torchvision built for torch "
        f"{torch.__version__} from the same index as torch, or use --baseline torch."
    )


_STAGES = {"letterbox": "preprocess", "infer": "inference", "postprocess": "postprocess"}


def _streamed(predictor: Any, workload: Workload) -> Generator[Outcome, None, None]:
    # One image at a time on all threads, because the engines' times are compared.
    for result in predictor.stream(workload.paths, batch=1):
        error = None if result.error is None else result.error.reason
        yield Outcome(str(result.source), error, result.prediction, result.times_ms)


def _in_turn(predictor: Any, workload: Workload) -> Generator[Outcome, None, None]:
    """Runs one stage of one image at a time, so that no stage slows another down."""
    from yolo_max.images.read import read_image

    assert workload.raw is not None
    for number, path in enumerate(workload.paths):
        times = [perf_counter()]
        try:
            image = read_image(path, max_pixels=predictor.options.max_pixels)
            times.append(perf_counter())
            placement = predictor.fit(image.shape[:2])
        except ImageError as error:
            yield Outcome(path, error.reason)
            continue
        canvas = placement.render(image)
        times.append(perf_counter())
        outputs = predictor.engine.run(canvas[None])[0]
        times.append(perf_counter())
        found = predictor.decoder(outputs, placement)
        times.append(perf_counter())
        if workload.engine == "max":  # the predictor asks it for the candidates' boxes only
            found = predictor.decoder(predictor.run(canvas[None])[0], placement)
        stages = dict(
            zip(("decode", "letterbox", "infer", "postprocess"), np.diff(times) * 1000, strict=True)
        )
        file = Path(workload.raw) / f"{workload.engine}-{number}.npz"
        np.savez(file, **outputs)
        digest = hashlib.sha256(canvas.data).hexdigest()
        yield Outcome(path, None, found, {k: float(v) for k, v in stages.items()}, digest, str(file))
