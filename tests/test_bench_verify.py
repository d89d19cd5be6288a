"""No parity, no speed-up."""

from __future__ import annotations

import numpy as np
import pytest

from yolo_max.bench.results import Parity
from yolo_max.bench.verify import verify
from yolo_max.tasks.classify.comparison import ClassifyJudge
from yolo_max.tasks.comparison import Judge
from yolo_max.tasks.detect.comparison import DetectJudge
from yolo_max.tasks.detect.postprocess import Postprocess

DETECT = DetectJudge(Postprocess({0: "disc", 1: "square", 2: "star"}))
TASKS: list[tuple[Judge, str, tuple[int, ...]]] = [
    (DETECT, "head", (84, 67)),
    (ClassifyJudge(1000), "logits", (1000,)),
]


def judge(
    task: tuple[Judge, str, tuple[int, ...]], noise: float, precision: str = "f32", spread: float = 1e-5
) -> Parity:
    """The verdict on random outputs of two images and the same with noise; PyTorch is off by ``spread``."""
    rubric, name, shape = task
    rng = np.random.default_rng(0)
    reference = [rng.normal(0, 3, shape).astype(np.float32) for _ in range(2)]
    ours = [(each + noise * rng.normal(size=shape)).astype(np.float32) for each in reference]
    exact = [each + rng.normal(0, spread, shape) for each in reference]
    found, expected, truth = ([{name: each} for each in outputs] for outputs in (ours, reference, exact))
    return verify(precision, found, expected, truth, rubric, (64, 64))


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task[1])
@pytest.mark.parametrize(
    ("noise", "precision", "holds"),
    [
        (0.0, "f32", True),  # PyTorch itself
        (1e-5, "f32", True),  # another order of additions
        (1e-2, "f32", False),  # a mistake
        (np.nan, "f32", False),
        (1e-2, "bf16", True),  # what eight bits of mantissa cost
        (0.3, "bf16", False),  # more than that
        (np.nan, "bf16", False),
    ],
)
def test_parity_is_held_against_the_precision_s_own_bound(
    task: tuple[Judge, str, tuple[int, ...]], noise: float, precision: str, holds: bool
) -> None:
    parity = judge(task, noise, precision)
    assert parity.holds is holds
    assert parity.text


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task[1])
def test_several_times_as_far_from_float64_as_pytorch_is_too_far(
    task: tuple[Judge, str, tuple[int, ...]],
) -> None:
    assert judge(task, 1e-5, spread=1e-5).holds
    parity = judge(task, 2e-5, spread=1e-6)
    assert not parity.holds
    assert "times as far from float64" in parity.text


@pytest.mark.parametrize(("largest", "holds"), [(0.095, True), (0.105, False)])  # of the largest value
def test_a_single_value_in_bf16(largest: float, holds: bool) -> None:
    reference = np.full((84, 67), 10, np.float32)
    ours = reference.copy()
    ours[3, 5] += 10 * largest
    found, expected = [{"head": ours}, {"head": reference}], [{"head": reference}] * 2
    parity = verify("bf16", found, expected, expected, DETECT, (64, 64))
    assert parity.holds is holds
    assert parity.bound == pytest.approx(1)


def test_a_head_of_another_shape_has_no_parity() -> None:
    whole, part = [{"head": np.zeros((84, 67), np.float32)}], [{"head": np.zeros((80, 67), np.float32)}]
    parity = verify("f32", part, whole, whole, DETECT, (64, 64))
    assert not parity.holds
    assert parity.text == "head of shape (1, 80, 67), not (1, 84, 67)"
