"""One engine over a list of images, in a process of its own.

MAX's threads take time from PyTorch's in the same process and the other way round, so two engines are only
compared fairly in two processes, one after the other. The parent sends one `Job`, the child answers with a
message for each image; raw heads go through files, which the parent removes when it has read them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from yolo_max.engine.process import EngineProcess, EngineProcessError
from yolo_max.support.errors import EngineError, ImageError, YoloMaxError
from yolo_max.tasks.contract import Prediction
from yolo_max.tasks.detect.detections import Detections
from yolo_max.tasks.registry import TASKS, task_of

NAMES = {"max": "MAX", "torch": "PyTorch", "ultralytics": "Ultralytics"}
"""What the engines are called in front of people."""


@dataclass(frozen=True)
class Job:
    """What an engine is to do.

    Attributes:
        engine: "max" or "torch"; or "ultralytics" for its own predictor, which shows no raw heads.
        weights: As `yolo_max.Predictor` takes them.
        paths: The images.
        options: More of `yolo_max.Predictor`'s arguments, plain JSON types.
        heads: Folder for raw heads; where none is given, none are kept, and images are decoded ahead.
    """

    engine: str
    weights: str
    paths: Sequence[str]
    options: Mapping[str, Any] = field(default_factory=dict)
    heads: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one image.

    Attributes:
        path: As it was given.
        error: Why it could not be read; None when it was.
        prediction: What was found; None when it could not be read.
        times_ms: Milliseconds by stage: decode, letterbox, infer, postprocess.
        pixels_sha256: Of the letterboxed pixels that the engine saw, where heads are kept.
        head_file: The raw head, where heads are kept.
    """

    path: str
    error: str | None = None
    prediction: Prediction | None = None
    times_ms: Mapping[str, float] = field(default_factory=dict)
    pixels_sha256: str | None = None
    head_file: str | None = None

    def take_head(self) -> NDArray[np.float32]:
        """The raw head, float32 [A, 4 * reg_max + nc]; its file is removed."""
        assert self.head_file is not None
        path = Path(self.head_file)
        head: NDArray[np.float32] = np.load(path)
        path.unlink()
        return head


class EngineRun:
    """An engine at work in its process; iterate over it for the outcomes, in the order of the job's paths.

    A context manager, so that no process outlives its use.

    Attributes:
        name: "MAX", "PyTorch" or "Ultralytics".
        info: What the child says of its engine: imgsz, threads and what else is its own.
    """

    def __init__(self, job: Job, report: Callable[[str], None] | None = None) -> None:
        """Starts the child and waits until its engine is ready.

        Args:
            job: What to do.
            report: Called with a sentence when the child begins something that takes long.

        Raises:
            YoloMaxError: Whatever the child raised of these.
            EngineError: The child died.
        """
        self.name = NAMES.get(job.engine, job.engine)
        self._report = report or (lambda _: None)
        self._process = EngineProcess(f"{__name__}:_serve")
        try:
            self._process.send(job)
            ready = self._receive()
            self._names: Mapping[int, str] = ready["names"]
            self._task = TASKS[ready["task"]]
            self.info: Mapping[str, Any] = ready["info"]
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[Outcome]:
        while "done" not in (message := self._receive()):
            if message["prediction"] is not None:
                message["prediction"] = self._task.prediction.from_dict(message["prediction"], self._names)
            yield Outcome(**message)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the child."""
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
    """The child."""
    job: Job = connection.recv()
    try:
        (_predict if job.engine == "ultralytics" else _work)(job, connection.send)
    except YoloMaxError as error:
        connection.send({"failure": error})


def _work(job: Job, send: Callable[[Mapping[str, Any]], None]) -> None:
    from yolo_max.predict.predictor import Predictor

    options = dict(job.options)
    predictor = Predictor(
        job.weights, engine=job.engine, report=lambda sentence: send({"report": sentence}), **options
    )
    predictor.engine.run(np.zeros((1, *predictor.imgsz, 3), np.uint8))  # the first run is no measure of any
    facts = {
        name: getattr(predictor.engine, name, None) for name in ("threads", "kernels", "precision", "source")
    }
    info = {
        "imgsz": list(predictor.imgsz),
        **{name: fact for name, fact in facts.items() if isinstance(fact, str | int)},
    }
    send({"names": dict(predictor.weights.meta.names), "task": predictor.task.name, "info": info})
    outcomes = _in_turn(predictor, job) if job.heads else _streamed(predictor, job)
    for outcome in outcomes:
        found = outcome.prediction
        send({**vars(outcome), "prediction": None if found is None else found.to_dict()})
    send({"done": True})


def _predict(job: Job, send: Callable[[Mapping[str, Any]], None]) -> None:
    """Ultralytics' own predictor from end to end, on square input."""
    from yolo_max.engine.torch_module import build_module
    from yolo_max.support.parse import parse_imgsz
    from yolo_max.support.ultralytics_import import import_ultralytics
    from yolo_max.weights.load import load_weights

    weights = load_weights(job.weights)
    import torch

    _require_torchvision()
    import_ultralytics()
    from ultralytics.models.yolo.detect import DetectionPredictor

    options = dict(job.options)
    if threads := options.pop("threads", None):
        torch.set_num_threads(threads)
    imgsz = parse_imgsz(options.pop("imgsz", None) or weights.meta.imgsz, weights.meta.network.stride)
    options |= {"imgsz": list(imgsz), "rect": False, "device": "cpu", "verbose": False, "save": False}
    predictor = DetectionPredictor(overrides={"mode": "predict", "task": "detect", "batch": 1, **options})
    predictor.setup_model(build_module(weights), verbose=False)  # its own loading would unpickle the file
    predictor(np.zeros((*imgsz, 3), np.uint8))
    names = dict(weights.meta.names)
    send(
        {
            "names": names,
            "task": task_of(weights.meta).name,
            "info": {"imgsz": list(imgsz), "threads": torch.get_num_threads()},
        }
    )
    for path in job.paths:
        try:
            (result,) = predictor(path)
        except Exception as error:  # whatever its loader raises for a file that is no image
            send(vars(Outcome(path, f"Ultralytics cannot read it: {error}")))
            continue
        rows = result.boxes.data.numpy()
        rows = rows[np.argsort(-rows[:, 4], kind="stable")]
        xyxy, confidence = rows[:, :4].astype(np.float32), rows[:, 4].astype(np.float32)
        found = Detections(xyxy, confidence, rows[:, 5].astype(np.int32), names, result.orig_shape)
        times = {name: result.speed[key] for name, key in _STAGES.items()}
        send({**vars(Outcome(path, None, found, times)), "prediction": found.to_dict()})
    send({"done": True})


def _require_torchvision() -> None:
    """Ultralytics' predictor imports it, and an import fails where its wheel was built for another torch.

    Raises:
        EngineError: It is missing, or does not work with the torch that is installed.
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
        f"Ultralytics' predictor needs torchvision, {state}; install the torchvision that is built for torch "
        f"{torch.__version__}, from where that torch came from, or take --baseline torch."
    )


_STAGES = {"letterbox": "preprocess", "infer": "inference", "postprocess": "postprocess"}


def _streamed(predictor: Any, job: Job) -> Generator[Outcome, None, None]:
    # One image after the other on all threads, since the engines' times are held against each other.
    for result in predictor.stream(job.paths, batch=1):
        error = None if result.error is None else result.error.reason
        yield Outcome(str(result.source), error, result.prediction, result.times_ms)


def _in_turn(predictor: Any, job: Job) -> Generator[Outcome, None, None]:
    """One stage of one image at a time, so that no stage takes time from another."""
    from yolo_max.images.letterbox import letterbox
    from yolo_max.images.read import read_image

    assert job.heads is not None
    for number, path in enumerate(job.paths):
        times = [perf_counter()]
        try:
            image = read_image(path, max_pixels=predictor.options.max_pixels)
        except ImageError as error:
            yield Outcome(path, error.reason)
            continue
        times.append(perf_counter())
        canvas, geometry = letterbox(image, predictor.imgsz)
        times.append(perf_counter())
        outputs = predictor.engine.run(canvas[None])[0]
        times.append(perf_counter())
        found = predictor.decoder(outputs, geometry)
        times.append(perf_counter())
        if job.engine == "max":  # of which the predictor asks for no boxes but the candidates'
            found = predictor.decoder(predictor.run(canvas[None])[0], geometry)
        stages = dict(
            zip(("decode", "letterbox", "infer", "postprocess"), np.diff(times) * 1000, strict=True)
        )
        file = Path(job.heads) / f"{job.engine}-{number}.npy"
        np.save(file, outputs["head"])
        digest = hashlib.sha256(canvas.data).hexdigest()
        yield Outcome(path, None, found, {k: float(v) for k, v in stages.items()}, digest, str(file))
