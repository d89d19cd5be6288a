"""Both engines on the same images: what each found, how far apart they are, and whether parity holds.

    images ─► PyTorch, in a process ─► raw heads, detections ┐
    images ─► MAX, in a process     ─► raw heads, detections ┴─► parity/, image by image ─► Comparison

The engines take turns on runs of images, so that raw heads never take more than `HEAD_BYTES` on disk.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from yolo_max.images.letterbox import Letterbox
from yolo_max.support.options import PredictOptions
from yolo_max.support.parse import parse_imgsz
from yolo_max.tasks.detect.decode import anchor_points
from yolo_max.tasks.detect.detections import Detections
from yolo_max.tasks.detect.postprocess import Postprocess
from yolo_max.tasks.registry import require_task
from yolo_max.verify.engine_run import EngineRun, Outcome, Workload
from yolo_max.verify.parity.rubric import (
    BOX_BOUND,
    CONFIDENCE_BOUND,
    MATCH_IOU,
    SCORE_BOUND,
    DetectionDifference,
    HeadDifference,
    TensorDifference,
    Verdict,
    judge,
    judge_layers,
)
from yolo_max.verify.parity.tolerant_nms import TolerantNms
from yolo_max.weights.load import Weights

HEAD_BYTES = 1024**3
"""Max size of the raw heads on disk, both engines together."""
PERCENTILES = (50, 90, 99, 100)
DIFFERENCES: tuple[tuple[str, str, float | None], ...] = (
    ("one_minus_iou", "1 - IoU of a pair", 1 - MATCH_IOU),
    ("confidence_difference", "confidence of a pair", CONFIDENCE_BOUND),
    ("box_difference_px", "box before NMS, px", BOX_BOUND),
    ("score_difference", "score before NMS", SCORE_BOUND),
    ("head_difference", "raw head", None),
)
"""Keys of `Comparison.distributions`, each with its display name and the rubric's bound, if fixed."""


@dataclass(frozen=True)
class Settings:
    """What is compared, and with which options.

    Names and defaults of options are those of `yolo_max.Detector`.

    Attributes:
        weights: Loaded weights; the engines are given ``weights.path``.
        baseline: "torch" for PyTorch's fused module behind this project's own pre- and post-processing,
            "ultralytics" for Ultralytics' own predictor from end to end.
        detector: Further arguments of `yolo_max.Detector` for both engines.
        max_only: Arguments for MAX alone: device, precision, kernels.

    Raises:
        WeightsError: The weights are for another task than detection.
    """

    weights: Weights
    baseline: str = "torch"
    detector: Mapping[str, Any] = field(default_factory=dict)
    max_only: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_task(self.weights.meta, Detections, "a comparison")

    @property
    def canvas_size(self) -> tuple[int, int]:
        """(height, width) of the letterboxed images."""
        meta = self.weights.meta
        asked = self.detector.get("imgsz")
        return parse_imgsz(meta.imgsz if asked is None else asked, meta.network.stride)

    @property
    def postprocess(self) -> Postprocess:
        """How raw heads become detections."""
        return Postprocess.for_model(self.weights.meta, PredictOptions().with_changes(self.detector))

    def workload(self, engine: str, paths: Sequence[str], heads: str) -> Workload:
        """The work of one engine on some of the images."""
        options = {**self.detector, **(self.max_only if engine == "max" else {})}
        return Workload(engine, str(self.weights.path), paths, options, heads=heads)


@dataclass(frozen=True)
class ImageComparison:
    """One image on both engines.

    Attributes:
        path: As it was given.
        ours: What MAX found.
        reference: What the baseline found.
        detections: How these compare.
        head: How the raw heads compare; None for Ultralytics' predictor, which does not expose its own.
        same_pixels: Whether both engines saw the same letterboxed pixels.
        times_ms: Milliseconds per stage, by engine ("max" and the baseline).
    """

    path: str
    ours: Detections
    reference: Detections
    detections: DetectionDifference
    head: HeadDifference | None
    same_pixels: bool
    times_ms: Mapping[str, Mapping[str, float]]

    @property
    def verdict(self) -> Verdict:
        """The rubric on this image."""
        pixels = Verdict() if self.same_pixels else Verdict(("the engines saw different pixels",))
        return pixels + (self.head.verdict if self.head else Verdict()) + self.detections.verdict

    @property
    def min_iou(self) -> float:
        """Min IoU of the matched pairs; 1 without a pair."""
        return float(self.detections.matching.iou.min(initial=1))

    @property
    def confidence_difference(self) -> float:
        """Max confidence difference of the matched pairs; 0 without a pair."""
        return float(self.detections.matching.confidence_difference.max(initial=0))

    @property
    def disagreements(self) -> int:
        """Number of detections that only one engine has, excused or not."""
        return len(self.detections.matching.only_first) + len(self.detections.matching.only_second)

    @property
    def badness(self) -> tuple[bool, int, float, float]:
        """Sort key; the worst image comes last."""
        moved = 1 - self.min_iou + self.confidence_difference
        head = self.head.logits.difference if self.head else 0.0
        return not self.verdict.holds, self.disagreements, moved, head


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
    def verdict(self) -> Verdict:
        """The rubric on all of them."""
        return judge(image.verdict.about(image.path) for image in self.images) + judge_layers(self.layers)

    def worst_first(self) -> list[ImageComparison]:
        """The images, worst first."""
        return sorted(self.images, key=lambda image: image.badness, reverse=True)

    def counts(self) -> dict[str, int]:
        """Numbers of detections over all images: matched, only one engine's, excused."""
        matchings = [image.detections.matching for image in self.images]
        excused = sum(
            np.count_nonzero(d.excused_max[d.matching.only_first])
            + np.count_nonzero(d.excused_torch[d.matching.only_second])
            for d in (image.detections for image in self.images)
        )
        return {
            "matched": sum(len(m.first) for m in matchings),
            "only_max": sum(len(m.only_first) for m in matchings),
            f"only_{self.settings.baseline}": sum(len(m.only_second) for m in matchings),
            "excused": int(excused),
        }

    def distributions(self) -> dict[str, dict[str, float]]:
        """Percentiles of what the rubric checks; 100 is the worst."""
        matchings = [image.detections.matching for image in self.images]
        heads = [image.head for image in self.images if image.head]
        samples = {
            "one_minus_iou": np.array([1 - iou for m in matchings for iou in m.iou]),
            "confidence_difference": np.array([d for m in matchings for d in m.confidence_difference]),
            "head_difference": np.array([head.logits.difference for head in heads]),
            "box_difference_px": np.array([head.box for head in heads]),
            "score_difference": np.array([head.score for head in heads]),
        }
        return {
            # "higher" does not interpolate, so an infinite difference stays infinite.
            name: {f"p{p}": float(np.percentile(values, p, method="higher")) for p in PERCENTILES}
            for name, values in samples.items()
            if len(values)
        }

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
    postprocess = settings.postprocess
    found, expected = ours.prediction, reference.prediction
    assert isinstance(found, Detections)
    assert isinstance(expected, Detections)
    geometry = Letterbox.fit(found.image_size, settings.canvas_size)
    head = ours.take_head()
    difference = None
    if reference.head_file is not None:
        judged = reference.take_head()
        difference = HeadDifference.between(
            head, judged, settings.canvas_size, postprocess.strides, postprocess.reg_max
        )
        head = judged
    return ImageComparison(
        ours.path,
        found,
        expected,
        DetectionDifference.between(found, expected, TolerantNms.of(head, geometry, postprocess)),
        difference,
        reference.pixels_sha256 in (None, ours.pixels_sha256),
        {"max": ours.times_ms, settings.baseline: reference.times_ms},
    )


def _runs(paths: Sequence[str], settings: Settings) -> Iterator[Sequence[str]]:
    network = settings.weights.meta.network
    anchors = len(anchor_points(settings.canvas_size, network.strides)[0])
    length = max(1, HEAD_BYTES // (2 * 4 * anchors * (4 * network.head.args["reg_max"] + network.nc)))
    return (paths[start : start + length] for start in range(0, len(paths), length))
