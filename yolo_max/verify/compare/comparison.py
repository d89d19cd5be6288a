"""Both engines on the same images: what each found, how far apart they are, and whether parity holds.

    images ─► PyTorch, in a process ─► raw outputs, predictions ┐
    images ─► MAX, in a process     ─► raw outputs, predictions ┴─► the task's judge ─► Comparison

The engines take turns on runs of images, so that raw outputs never take more than `RAW_BYTES` on disk.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from yolo_max.images.transforms import Transform, fit_of
from yolo_max.support.options import PredictOptions
from yolo_max.tasks.comparison import Judge, PredictionDifference, RawDifference, Samples
from yolo_max.tasks.contract import Decoder, Prediction
from yolo_max.tasks.registry import task_of
from yolo_max.tasks.rubric import (
    BF16_MAX,
    BF16_MEAN,
    BF16_SCORE_BOUND,
    TensorDifference,
    Verdict,
    judge,
    judge_bf16,
    judge_layers,
)
from yolo_max.verify.engine_run import EngineRun, Outcome, Workload
from yolo_max.weights.load import Weights

RAW_BYTES = 1024**3
"""Max size of the raw outputs on disk, both engines together."""
PERCENTILES = (50, 90, 99, 100)
BF16_CAUTION = (
    f"bf16 has bounds for raw outputs and layers, {BF16_MAX:.0%} of the largest value and {BF16_MEAN:.1%} on "
    f"average, and for class scores, {BF16_SCORE_BOUND:g}; what it costs in mAP, yolo-max val --engine both "
    "measures."
)
NO_RAW_OUTPUTS = (
    "Ultralytics' predictor shows no raw outputs, by which bf16's images are judged; use --baseline torch."
)
FEW = 10
"""Fewer pairs than these say little about what comes out of post-processing."""


@dataclass(frozen=True)
class Settings:
    """What is compared, and with which options.

    Names and defaults of options are those of `yolo_max.Predictor`.

    Attributes:
        weights: Loaded weights; the engines are given ``weights.path``.
        baseline: "torch" for PyTorch's fused module behind this project's own pre- and post-processing,
            "ultralytics" for Ultralytics' own predictor from end to end.
        options: Further arguments of `yolo_max.Predictor` for both engines.
        max_only: Arguments for MAX alone: device, precision, kernels.
    """

    weights: Weights
    baseline: str = "torch"
    options: Mapping[str, Any] = field(default_factory=dict)
    max_only: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_bf16(self) -> bool:
        """Whether MAX computes in bf16, which has no bounds for boxes and detections."""
        return bool(self.max_only.get("precision") == "bf16")

    @property
    def canvas_size(self) -> tuple[int, int]:
        """(height, width) of the network's input."""
        return self.weights.meta.canvas_size(self.options.get("imgsz"))

    @cached_property
    def judge(self) -> Judge:
        """The task's rubric."""
        return task_of(self.weights.meta).judge(self.weights.meta, self._predict_options)

    @cached_property
    def decoder(self) -> Decoder:
        """How raw outputs become predictions."""
        return task_of(self.weights.meta).decoder(self.weights.meta, self._predict_options)

    @property
    def _predict_options(self) -> PredictOptions:
        return PredictOptions().with_changes(self.options)

    def place(self, image_size: tuple[int, int]) -> Transform:
        """How an image of (height, width) becomes the network's input."""
        return fit_of(task_of(self.weights.meta).fit, self.canvas_size)(image_size)

    def workload(self, engine: str, paths: Sequence[str], raw: str) -> Workload:
        """The work of one engine on some of the images; its raw outputs go into a folder."""
        options = {**self.options, **(self.max_only if engine == "max" else {})}
        return Workload(engine, str(self.weights.path), paths, options, raw=raw)


@dataclass(frozen=True)
class ImageComparison:
    """One image on both engines.

    Attributes:
        path: As it was given.
        ours: What MAX found.
        reference: What the baseline found.
        difference: How these compare.
        raw: How the raw outputs compare; None for Ultralytics' predictor, which does not expose its own.
        same_pixels: Whether both engines saw the same input.
        times_ms: Milliseconds per stage, by engine ("max" and the baseline).
        is_bf16: Whether MAX computed in bf16.
    """

    path: str
    ours: Prediction
    reference: Prediction
    difference: PredictionDifference
    raw: RawDifference | None
    same_pixels: bool
    times_ms: Mapping[str, Mapping[str, float]]
    is_bf16: bool = False

    @property
    def is_judged(self) -> bool:
        """Whether the rubric has bounds for what was compared; for bf16 it has some before NMS only."""
        return self.raw is not None or not self.is_bf16

    @property
    def verdict(self) -> Verdict:
        """The rubric on this image."""
        pixels = Verdict() if self.same_pixels else Verdict(("the engines saw different pixels",))
        if self.is_bf16:
            return pixels + (judge_bf16(self.raw.tensors, self.raw.score) if self.raw else Verdict())
        return pixels + (self.raw.verdict if self.raw else Verdict()) + self.difference.verdict

    @property
    def samples(self) -> Samples:
        """What was measured, by key of a measure of the task's judge."""
        return {**self.difference.samples, **(self.raw.samples() if self.raw else {})}

    @property
    def badness(self) -> tuple[bool, int, float, float]:
        """Sort key; the worst image comes last."""
        alone = sum(map(len, self.difference.alone))
        raw = max((each.difference for each in self.raw.tensors), default=0.0) if self.raw else 0.0
        return not self.verdict.holds, alone, self.difference.moved, raw


@dataclass(frozen=True)
class Comparison:
    """A folder on both engines.

    Attributes:
        settings: What was compared.
        images: Every image that could be read, in order.
        unreadable: Reason by path of those that could not.
        info: Facts about "max" and the baseline: threads, kernels and so on.
        layers: How the layers compare on a few of the images, if requested.
    """

    settings: Settings
    images: tuple[ImageComparison, ...]
    unreadable: Mapping[str, str]
    info: Mapping[str, Mapping[str, Any]]
    layers: tuple[TensorDifference, ...] = ()

    @property
    def is_judged(self) -> bool:
        """Whether the rubric has bounds for anything that was compared."""
        return bool(self.layers) or any(image.is_judged for image in self.images)

    @property
    def verdict(self) -> Verdict:
        """The rubric on all of them."""
        images = judge(image.verdict.about(image.path) for image in self.images)
        return images + judge_layers(self.layers, len(self.settings.weights.meta.network.outputs))

    @property
    def headline(self) -> str:
        """The verdict in a few words."""
        if not self.settings.is_bf16:
            return "Parity holds" if self.verdict.holds else "Parity does not hold"
        if not self.is_judged:
            return "bf16 was not judged"
        return "bf16 is within its bounds" if self.verdict.holds else "bf16 is out of its bounds"

    def cautions(self) -> list[str]:
        """What a reader of the verdict should know about what it rests on."""
        if self.settings.is_bf16:
            judged = all(image.is_judged for image in self.images)
            return [BF16_CAUTION] if judged else [NO_RAW_OUTPUTS, BF16_CAUTION]
        matched = self.counts()["matched"]
        if not 0 < matched < FEW:
            return []
        return [f"The verdict on {self.settings.judge.things} rests on {matched} alone: compare more images."]

    def worst_first(self) -> list[ImageComparison]:
        """The images, worst first."""
        return sorted(self.images, key=lambda image: image.badness, reverse=True)

    def counts(self) -> dict[str, int]:
        """Over all images: what was found by both, by one alone, and excused; and how many images agree."""
        differences = [image.difference for image in self.images]
        excused = sum(
            int(np.count_nonzero(mask[alone]))
            for each in differences
            for mask, alone in zip(each.excused, each.alone, strict=True)
        )
        return {
            "matched": sum(len(each.pairs[0]) for each in differences),
            "only_max": sum(len(each.alone[0]) for each in differences),
            f"only_{self.settings.baseline}": sum(len(each.alone[1]) for each in differences),
            "excused": excused,
            **{key: sum(each.same[key] for each in differences) for key in self.settings.judge.agreements},
        }

    def distributions(self) -> dict[str, dict[str, float]]:
        """Percentiles of what the rubric checks, by key of a measure; 100 is the worst."""
        found: dict[str, dict[str, float]] = {}
        for measure in self.settings.judge.measures:
            samples = [image.samples[measure.key] for image in self.images if measure.key in image.samples]
            values = np.concatenate(samples) if samples else np.empty(0)
            if len(values):
                # "higher" does not interpolate, so an infinite difference stays infinite.
                found[measure.key] = {
                    f"p{p}": float(np.percentile(values, p, method="higher")) for p in PERCENTILES
                }
        return found

    def speed(self) -> dict[str, dict[str, float]]:
        """By engine: milliseconds per image in the network (median, 90th percentile) and in all stages."""
        result = {}
        for engine in (self.settings.baseline, "max"):
            times = [image.times_ms[engine] for image in self.images]
            infer = [each["infer"] for each in times if "infer" in each]
            if infer:
                total = [sum(each.values()) for each in times]
                result[engine] = {
                    "infer_ms_p50": float(np.percentile(infer, 50)),
                    "infer_ms_p90": float(np.percentile(infer, 90)),
                    "total_ms_p50": float(np.percentile(total, 50)),
                }
        return result


def compare(
    settings: Settings,
    paths: Sequence[str],
    *,
    on_image: Callable[[ImageComparison], None] = lambda _: None,
    on_progress: Callable[[str], None] = lambda _: None,
    report: Callable[[str], None] | None = None,
) -> Comparison:
    """Runs both engines on images.

    Args:
        settings: What to compare.
        paths: The images.
        on_image: Called with each image after it has been compared.
        on_progress: Called with "PyTorch", "MAX" or "Ultralytics" after each image of that engine.
        report: Called with a sentence before each slow step.

    Raises:
        YoloMaxError: An engine cannot be created, or died.
    """
    images, unreadable, info = [], {}, {}
    with tempfile.TemporaryDirectory(prefix="yolo_max_compare_") as folder:
        for run in _runs(paths, settings):
            outcomes: list[list[Outcome]] = []
            for engine in (settings.baseline, "max"):
                with EngineRun(settings.workload(engine, run, folder), report) as process:
                    info[engine] = process.info
                    outcomes.append([])
                    for outcome in process:
                        outcomes[-1].append(outcome)
                        on_progress(process.name)
            for reference, ours in zip(*outcomes, strict=True):
                if error := ours.error or reference.error:
                    unreadable[ours.path] = error
                    continue
                images.append(_compare_image(settings, ours, reference))
                on_image(images[-1])
    return Comparison(settings, tuple(images), unreadable, info)


def _compare_image(settings: Settings, ours: Outcome, reference: Outcome) -> ImageComparison:
    found, expected = ours.prediction, reference.prediction
    assert found is not None
    assert expected is not None
    outputs, difference = ours.take_raw(), None
    if reference.raw_file is not None:
        theirs = reference.take_raw()
        difference = settings.judge.raw(outputs, theirs, settings.canvas_size)
        outputs = theirs
    return ImageComparison(
        ours.path,
        found,
        expected,
        settings.judge.predictions(found, expected, outputs, settings.place(found.image_size)),
        difference,
        reference.pixels_sha256 in (None, ours.pixels_sha256),
        {"max": ours.times_ms, settings.baseline: reference.times_ms},
        settings.is_bf16,
    )


def _runs(paths: Sequence[str], settings: Settings) -> Iterator[Sequence[str]]:
    bytes_of_both = 2 * 4 * settings.judge.output_size(settings.canvas_size)
    length = max(1, RAW_BYTES // bytes_of_both)
    return (paths[start : start + length] for start in range(0, len(paths), length))
