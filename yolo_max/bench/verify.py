"""No parity, no speed-up: an engine's raw outputs are compared with PyTorch's before its times count."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from yolo_max.bench.results import Parity
from yolo_max.tasks.comparison import Judge
from yolo_max.tasks.contract import Outputs
from yolo_max.tasks.rubric import BF16_MEAN, TensorDifference, Verdict, judge


def verify(
    precision: str,
    outputs: Sequence[Outputs],
    reference: Sequence[Outputs],
    exact: Sequence[Outputs],
    rubric: Judge,
    canvas_size: tuple[int, int],
) -> Parity:
    """Compares an engine with PyTorch on some images.

    f32 must meet the rubric of `yolo_max.tasks` up to post-processing: the raw outputs, their distance from
    float64, and what they decode to. bf16 cannot, and has its own bound on the raw outputs.

    Args:
        precision: "f32" or "bf16".
        outputs: The engine's raw outputs, image by image.
        reference: PyTorch's, in f32.
        exact: PyTorch's, in f64.
        rubric: The task's.
        canvas_size: (height, width) of the images, in pixels.
    """
    names = reference[0].keys()
    theirs = {name: np.stack([each[name] for each in reference]) for name in names}
    ours = {name: np.stack([each[name] for each in outputs]) for name in names}
    largest = {name: float(np.abs(theirs[name]).max(initial=0)) for name in names}
    for name in names:
        if ours[name].shape != theirs[name].shape:
            text = f"{name} of shape {ours[name].shape}, not {theirs[name].shape}"
            return Parity(False, float("inf"), largest[name], 0.0, text)
    if precision != "f32":
        found = [_bf16(name, ours[name], theirs[name]) for name in names]
        return max(found, key=lambda each: (not each.holds, each.difference / max(each.bound, 1e-30)))
    differences = [
        rubric.raw(a, b, canvas_size, e) for a, b, e in zip(outputs, reference, exact, strict=True)
    ]
    tensors = [tensor for each in differences for tensor in each.tensors]
    worst = max(tensors, key=lambda each: each.difference / each.bound)
    verdict: Verdict = judge(each.verdict.about(f"image {i}") for i, each in enumerate(differences))
    return Parity(verdict.holds, worst.difference, largest[worst.name], worst.bound, _in_short(verdict))


def _in_short(verdict: Verdict) -> str:
    if verdict.holds:
        return str(verdict)
    more = f", and {len(verdict.failures) - 1} more" if len(verdict.failures) > 1 else ""
    return f"parity does not hold: {verdict.failures[0]}{more}"


def _bf16(name: str, ours: NDArray[np.float32], reference: NDArray[np.float32]) -> Parity:
    found = TensorDifference.between(name, ours, reference, precision="bf16")
    text = (
        f"bf16: {name} differs by {found.mean:.2g} on average (bound {BF16_MEAN * found.magnitude:.2g}) and "
        f"{found.difference:.2g} at most (bound {found.bound:.2g})"
    )
    return Parity(found.verdict.holds, found.difference, found.magnitude, found.bound, text)
