"""``yolo-max val``: engines over a labelled dataset, and how well each knows what is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from yolo_max.support.errors import SourceError
from yolo_max.support.options import PredictOptions
from yolo_max.tasks.registry import task_of
from yolo_max.verify.engine_run import EngineRun, Job, Outcome
from yolo_max.verify.parity.rubric import Verdict, judge_metric
from yolo_max.verify.val.figures import Figures
from yolo_max.verify.val.metrics import METRICS, AnyDataset, require
from yolo_max.weights.load import Weights


@dataclass(frozen=True)
class EngineAccuracy:
    """How well one engine does on a dataset.

    Attributes:
        engine: "max" or "torch".
        accuracy: Its figures.
        ultralytics: mAP50-95 and mAP50 as ``yolo val`` adds them up, where it does so differently.
        predictions: Every prediction, as a json for evaluators has them.
        info: What the engine says of itself: threads, kernels and so on.
        infer_ms: Mean time in the network, milliseconds an image.
    """

    engine: str
    accuracy: Figures
    ultralytics: tuple[float, float] | None
    predictions: list[dict[str, Any]] = field(repr=False)
    info: Mapping[str, Any]
    infer_ms: float


@dataclass(frozen=True)
class Validation:
    """Engines on a dataset.

    Attributes:
        dataset: The dataset.
        engines: One or two results, in the order asked for.
        unreadable: Reason by path of the images that could not be read, which count for no engine.
    """

    dataset: AnyDataset
    engines: tuple[EngineAccuracy, ...]
    unreadable: Mapping[str, str]

    @property
    def metric(self) -> str:
        """The figure that decides."""
        return self.engines[0].accuracy.compared[0]

    @property
    def difference(self) -> float | None:
        """MAX's `metric` less PyTorch's; None unless both were measured and there is something to find."""
        figures = {each.engine: each.accuracy.total().figures[self.metric] for each in self.engines}
        ours, reference = figures.get("max"), figures.get("torch")
        return None if ours is None or reference is None else ours - reference

    @property
    def verdict(self) -> Verdict:
        """The parity rubric on that; it holds where there is nothing to compare."""
        return Verdict() if self.difference is None else judge_metric(self.metric, self.difference, 0.0)


def validate(
    dataset: AnyDataset,
    weights: Weights,
    engines: Sequence[str],
    *,
    options: Mapping[str, Any],
    max_only: Mapping[str, Any],
    on_progress: Callable[[str], None] = lambda _: None,
    report: Callable[[str], None] | None = None,
) -> Validation:
    """Measures engines on a dataset, one after the other, each in a process of its own.

    Args:
        dataset: What to find, as the weights' metric reads it.
        weights: Loaded weights; the engines are given ``weights.path``.
        engines: Of "max" and "torch".
        options: Arguments of `yolo_max.Detector`: conf, iou, imgsz and so on.
        max_only: More of them for MAX alone: device, precision, kernels.
        on_progress: Called with "PyTorch" or "MAX" when that engine is done with one image.
        report: Called with a sentence when something begins that takes long.

    Raises:
        UsageError: The dataset has classes that the model does not know.
        SourceError: None of its images can be used.
        EngineError: faster-coco-eval is not installed.
        YoloMaxError: An engine could not be made, or died.
    """
    require(dataset.path)
    metric = METRICS[task_of(weights.meta).metric]
    classes = metric.classes(weights.meta.names, dataset.names)
    if not dataset.examples:
        raise SourceError(f"no image of {dataset.path} has labels that can be used: {dataset.problems[0]}.")
    paths = [str(example.path) for example in dataset.examples]
    outcomes: list[list[Outcome]] = []
    infos: list[Mapping[str, Any]] = []
    for engine in engines:
        arguments = {**options, "multi_label": True, **(max_only if engine == "max" else {})}
        job = Job(engine, str(weights.path), paths, arguments)
        outcomes.append([])
        with EngineRun(job, report) as process:
            infos.append(process.info)
            for outcome in process:
                outcomes[-1].append(outcome)
                on_progress(process.name)
    unreadable = {each.path: each.error for run in outcomes for each in run if each.error is not None}
    if all(path in unreadable for path in paths):
        path, reason = next(iter(unreadable.items()))
        raise SourceError(f"none of the {len(paths)} images of {dataset.path} can be read: {path}: {reason}.")
    results = []
    for engine, run, info in zip(engines, outcomes, infos, strict=True):
        pairs = zip(dataset.examples, run, strict=True)
        read = [(each, done) for each, done in pairs if done.path not in unreadable]
        found = [(each, done.prediction) for each, done in read if done.prediction is not None]
        measured = metric.measure(dataset, found, classes, options.get("max_det", PredictOptions.max_det))
        results.append(
            EngineAccuracy(
                engine,
                measured.accuracy,
                measured.ultralytics,
                measured.predictions,
                info,
                sum(done.times_ms["infer"] for _, done in read) / len(read),
            )
        )
    return Validation(dataset, tuple(results), unreadable)
