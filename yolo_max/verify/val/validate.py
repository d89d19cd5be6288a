"""``yolo-max val``: the accuracy of engines on a labelled dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from yolo_max.support.errors import SourceError
from yolo_max.support.options import PredictOptions
from yolo_max.support.text import abridge
from yolo_max.tasks.contract import Prediction
from yolo_max.tasks.registry import task_of
from yolo_max.tasks.rubric import Verdict, judge, judge_metric
from yolo_max.verify.engine_run import EngineRun, Outcome, Workload
from yolo_max.verify.val.classes import class_map_by_id
from yolo_max.verify.val.dataset import Dataset
from yolo_max.verify.val.metrics import METRICS, Measurement, require
from yolo_max.weights.load import Weights

AS_MEASURED = {
    "multi_label": True,
    "retina_masks": True,
    "coarse_masks": True,
    "clip": False,
    "round_up": True,
}
"""Options of the metrics' definitions; a task ignores those of others."""
SHOWN = 16
"""How many examples are kept to be looked at, as many as in Ultralytics' first sheet."""


@dataclass(frozen=True, kw_only=True)
class EngineAccuracy(Measurement):
    """A measurement, and how it was made.

    Attributes:
        engine: "max" or "torch".
        info: Facts about the engine: threads, kernels and so on.
        infer_ms: Median time in the network, milliseconds per image.
        shown: The first examples that could be read, each with its prediction, to be looked at.
    """

    engine: str
    info: Mapping[str, Any]
    infer_ms: float
    shown: Sequence[tuple[Any, Prediction]] = field(default=(), repr=False)


@dataclass(frozen=True)
class Validation:
    """Engines on a dataset.

    Attributes:
        dataset: The dataset.
        engines: One or two results, in the requested order.
        unreadable: Reasons by path of the images that could not be read; no engine counts them.
    """

    dataset: Dataset
    engines: tuple[EngineAccuracy, ...]
    unreadable: Mapping[str, str]

    @property
    def differences(self) -> dict[str, float]:
        """MAX's figures minus PyTorch's, by name; empty unless both were measured on some objects."""
        figures = {each.engine: each.accuracy.total().figures for each in self.engines}
        if figures.keys() < {"max", "torch"}:
            return {}
        pairs = {
            name: (figures["max"][name], figures["torch"][name]) for name in self.engines[0].accuracy.judged
        }
        return {
            name: ours - reference
            for name, (ours, reference) in pairs.items()
            if ours is not None and reference is not None
        }

    @property
    def verdict(self) -> Verdict:
        """The parity rubric on the differences; it holds if there is none."""
        ours = next((each.info for each in self.engines if each.engine == "max"), {})
        precision = ours.get("precision", "f32")
        return judge(judge_metric(name, each, 0.0, precision) for name, each in self.differences.items())


def validate(
    dataset: Dataset,
    weights: Weights,
    engines: Sequence[str],
    *,
    options: Mapping[str, Any],
    max_only: Mapping[str, Any],
    match: str = "name",
    on_progress: Callable[[str], None] = lambda _: None,
    report: Callable[[str], None] | None = None,
) -> Validation:
    """Measures engines on a dataset, one after the other, each in a process of its own.

    Args:
        dataset: A dataset that the weights' metric has loaded.
        weights: Loaded weights; the engines are given ``weights.path``.
        engines: Some of "max" and "torch".
        options: Arguments of `yolo_max.Detector`: conf, iou, imgsz and so on.
        max_only: Further arguments for MAX alone: device, precision, kernels.
        match: How to match the model's classes and the dataset's: by "name", by "id", or all as "one".
        on_progress: Called with "PyTorch" or "MAX" after each image of that engine.
        report: Called with a sentence before each slow step.

    Raises:
        UsageError: The dataset has objects of classes that the model does not know or other shapes, or cannot
            be seen as one class.
        SourceError: None of its images can be used.
        EngineError: faster-coco-eval is not installed.
        YoloMaxError: An engine cannot be created, or died.
    """
    require(dataset.path)
    metric = METRICS[task_of(weights.meta).metric]
    dataset.require(weights.meta)
    if match == "one":
        dataset = dataset.as_one_class()
        classes = dict.fromkeys(weights.meta.names, 0)
        options = {**options, "agnostic_nms": True}
    else:
        class_map = class_map_by_id if match == "id" else metric.classes
        classes = class_map(weights.meta.names, dataset.names, dataset.labelled)
    if not dataset.examples:
        first = abridge(dataset.problems[0])
        raise SourceError(f"no image of {dataset.path} has labels that can be used: {first}.")
    paths = [str(example.path) for example in dataset.examples]
    outcomes: list[list[Outcome]] = []
    infos: list[Mapping[str, Any]] = []
    for engine in engines:
        arguments = {**options, **AS_MEASURED, **(max_only if engine == "max" else {})}
        workload = Workload(engine, str(weights.path), paths, arguments)
        outcomes.append([])
        with EngineRun(workload, report) as process:
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
                **vars(measured),
                engine=engine,
                info=info,
                infer_ms=median(done.times_ms["infer"] for _, done in read),
                shown=found[:SHOWN],
            )
        )
    return Validation(dataset, tuple(results), unreadable)
