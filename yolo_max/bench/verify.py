"""No parity, no speed-up: an engine's raw head is compared with PyTorch's before its times count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from yolo_max.bench.results import Parity
from yolo_max.verify.parity.rubric import HeadDifference, TensorDifference, Verdict, judge

BF16_MEAN = 0.005
"""bf16's bound on the mean difference from PyTorch's f32 head, relative to its largest value."""
BF16_MAX = 0.05
"""bf16's bound on the largest difference, likewise."""


def verify(
    precision: str,
    heads: NDArray[np.float32],
    reference: NDArray[np.float32],
    exact: NDArray[np.float64],
    canvas_size: tuple[int, int],
    strides: tuple[int, ...],
    reg_max: int,
) -> Parity:
    """Compares an engine with PyTorch on some images.

    f32 must meet the rubric of `yolo_max.verify.parity` up to NMS: the head, its distance from float64, boxes
    and scores. bf16 cannot, and has its own bound on the head.

    Args:
        precision: "f32" or "bf16".
        heads: The engine's raw heads, ``[N, A, C]``.
        reference: PyTorch's, in f32.
        exact: PyTorch's, in f64.
        canvas_size: (height, width) of the images, in pixels.
        strides: Canvas pixels per cell, one per level.
        reg_max: Bins of the distribution of each side.
    """
    magnitude = float(np.abs(reference).max(initial=0))
    if heads.shape != reference.shape:
        text = f"head of shape {heads.shape}, not {reference.shape}"
        return Parity(False, float("inf"), magnitude, 0.0, text)
    if precision != "f32":
        return _verify_bf16(heads, reference, magnitude)
    differences = []
    for ours, theirs, truth in zip(heads, reference, exact, strict=True):
        before_nms = HeadDifference.between(ours, theirs, canvas_size, strides, reg_max)
        logits = TensorDifference.between("head", ours, theirs, truth)
        differences.append(replace(before_nms, logits=logits))
    worst = max(differences, key=lambda each: each.logits.difference / each.logits.bound)
    verdict: Verdict = judge(each.verdict.about(f"image {i}") for i, each in enumerate(differences))
    return Parity(verdict.holds, worst.logits.difference, magnitude, worst.logits.bound, _in_short(verdict))


def _in_short(verdict: Verdict) -> str:
    if verdict.holds:
        return str(verdict)
    more = f", and {len(verdict.failures) - 1} more" if len(verdict.failures) > 1 else ""
    return f"parity does not hold: {verdict.failures[0]}{more}"


def _verify_bf16(heads: NDArray[np.float32], reference: NDArray[np.float32], magnitude: float) -> Parity:
    difference = np.abs(heads - reference)
    largest, mean = float(difference.max(initial=0)), float(difference.mean())
    # Comparisons with NaN fail.
    holds = largest <= BF16_MAX * magnitude and mean <= BF16_MEAN * magnitude
    text = (
        f"bf16: head differs by {mean:.2g} on average (bound {BF16_MEAN * magnitude:.2g}) and "
        f"{largest:.2g} at most (bound {BF16_MAX * magnitude:.2g})"
    )
    return Parity(holds, largest, magnitude, BF16_MAX * magnitude, text)
