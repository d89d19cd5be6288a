"""``yolo-max val``: engines over a labelled dataset, and how well each finds what is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from yolo_max.support.errors import SourceError
from yolo_max.verify.compare.process import EngineProcess, Job, Outcome
from yolo_max.verify.parity.rubric import Verdict, judge_map
from yolo_max.verify.val.dataset import Dataset
from yolo_max.verify.val.evaluate import Accuracy, Found, class_map, evaluate, predictions, require_evaluator
from yolo_max.verify.val.ultralytics_map import mean_average_precision
from yolo_max.weights.load import Weights

CONFIDENCE = 0.001
"""Least confidence in validation, as in Ultralytics."""


@dataclass(frozen=True)
class EngineAccuracy:
    """How well one engine does on a dataset.

    Attributes:
        engine: "max" or "torch".
        accuracy: By COCO's definition.
        ultralytics: mAP50-95 and mAP50 as ``yolo val`` adds them up; None where there is no object to find.
        predictions: Every detection, as COCO's json has them.
        info: What the engine says of itself: threads, kernels and so on.
        infer_ms: Mean time in the network, milliseconds an image.
    """

    engine: str
    accuracy: Accuracy
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

    dataset: Dataset
    engines: tuple[EngineAccuracy, ...]
    unreadable: Mapping[str, str]

    @property
    def difference(self) -> float | None:
        """MAX's mAP50-95 less PyTorch's; None unless both were measured and there is an object to find."""
        figures = {each.engine: each.accuracy.mean.map50_95 for each in self.engines}
        ours, reference = figures.get("max"), figures.get("torch")
        return None if ours is None or reference is None else ours - reference

    @property
    def verdict(self) -> Verdict:
        """The parity rubric on mAP; it holds where there is nothing to compare."""
        return Verdict() if self.difference is None else judge_map(self.difference, 0.0)


def validate(
    dataset: Dataset,
    weights: Weights,
    engines: Sequence[str],
    *,
    options: Mapping[str, Any],
    max_only: Mapping[str, Any],
    max_det: int = 300,
    on_progress: Callable[[str], None] = lambda _: None,
    report: Callable[[str], None] | None = None,
) -> Validation:
    """Measures engines on a dataset, one after the other, each in a process of its own.

    Args:
        dataset: What to find.
        weights: Loaded weights; the engines are given ``weights.path``.
        engines: Of "max" and "torch".
        options: Arguments of `yolo_max.Detector`: conf, iou, imgsz and so on.
        max_only: More of them for MAX alone: device, precision, kernels.
        max_det: At most so many detections an image.
        on_progress: Called with "PyTorch" or "MAX" when that engine is done with one image.
        report: Called with a sentence when something begins that takes long.

    Raises:
        UsageError: The dataset has classes that the model does not know.
        SourceError: None of its images can be used.
        EngineError: faster-coco-eval is not installed.
        YoloMaxError: An engine could not be made, or died.
    """
    require_evaluator()
    classes = class_map(weights.meta.names, dataset.names)
    if not dataset.examples:
        raise SourceError(f"no image of {dataset.path} has labels that can be used: {dataset.problems[0]}.")
    paths = [str(example.path) for example in dataset.examples]
    outcomes: list[list[Outcome]] = []
    infos: list[Mapping[str, Any]] = []
    for engine in engines:
        arguments = {
            **options,
            "max_det": max_det,
            "multi_label": True,
            **(max_only if engine == "max" else {}),
        }
        job = Job(engine, str(weights.path), paths, arguments)
        outcomes.append([])
        with EngineProcess(job, report) as process:
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
        found = [Found(each, done.detections) for each, done in read if done.detections is not None]
        results.append(
            EngineAccuracy(
                engine,
                evaluate(dataset, found, classes, max_det),
                mean_average_precision(found, classes),
                predictions(found, classes),
                info,
                sum(done.times_ms["infer"] for _, done in read) / len(read),
            )
        )
    return Validation(dataset, tuple(results), unreadable)
