from __future__ import annotations

import numpy as np
import pytest

from yolo_max.support.errors import ExitCode, ParityError
from yolo_max.tasks.rubric import (
    TensorDifference,
    Verdict,
    judge,
    judge_bf16,
    judge_layers,
    judge_metric,
)


@pytest.mark.parametrize(
    ("reference", "difference", "failure"),
    [
        ([1.0, -2.0], 4.9e-4, None),
        ([1.0, -2.0], 5.1e-4, "layer differs by 0.00051, more than 0.0005 (values up to 2)"),
        ([1.0, -9.9], 5.1e-4, "layer differs by 0.00051, more than 0.0005 (values up to 9.9)"),
        # above 10 the bound grows with the largest value
        ([1.0, -100.0], 4.8e-3, None),
        ([1.0, -100.0], 5.2e-3, "layer differs by 0.0052, more than 0.005 (values up to 100)"),
        ([1.0, -2.0], np.nan, "layer differs by inf, more than 0.0005 (values up to 2)"),
        ([1.0, -2.0], np.inf, "layer differs by inf, more than 0.0005 (values up to 2)"),
    ],
)
def test_bound_of_a_tensor(reference: list[float], difference: float, failure: str | None) -> None:
    theirs = np.array(reference, np.float32)
    ours = theirs + np.array([difference, 0], np.float32)
    verdict = TensorDifference.between("layer", ours, theirs).verdict
    assert verdict.failures == (() if failure is None else (failure,))


@pytest.mark.parametrize(
    ("difference", "elsewhere", "failures"),
    [
        (0.99, 0.0, ()),
        (1.1, 0.0, ("layer differs by 1.1, more than 1 (values up to 10)",)),
        (0.06, 0.04, ()),
        (0.06, 0.06, ("layer differs by 0.06 on average, more than 0.05 (values up to 10)",)),
        (
            np.nan,
            0.0,
            (
                "layer differs by inf, more than 1 (values up to 10)",
                "layer differs by inf on average, more than 0.05 (values up to 10)",
            ),
        ),
    ],
)
def test_bounds_of_bf16(difference: float, elsewhere: float, failures: tuple[str, ...]) -> None:
    theirs = np.full(1000, 10, np.float32)
    ours = theirs + np.array([difference, *[elsewhere] * 999], np.float32)
    found = TensorDifference.between("layer", ours, theirs, theirs.astype(np.float64), precision="bf16")
    assert found.verdict.failures == failures
    assert found.precision_verdict.holds


@pytest.mark.parametrize(
    ("score", "failures"),
    [
        (0.39, ()),
        (0.41, ("a class score differs by 0.41, more than 0.4",)),
        (np.nan, ("a class score differs by nan, more than 0.4",)),
    ],
)
def test_scores_in_bf16(score: float, failures: tuple[str, ...]) -> None:
    assert judge_bf16([TensorDifference("head", 0.9, 10)], score).failures == failures
    tensor = "head differs by 1.1, more than 1 (values up to 10)"
    assert judge_bf16([TensorDifference("head", 1.1, 10)], score).failures == (tensor, *failures)


def test_nan_on_both_sides_is_not_agreement() -> None:
    nan = np.full(3, np.nan, np.float32)
    assert not TensorDifference.between("layer", nan, nan).verdict.holds


def test_another_shape_is_not_agreement() -> None:
    assert not TensorDifference.between(
        "layer", np.zeros(3, np.float32), np.zeros((3, 1), np.float32)
    ).verdict.holds


@pytest.mark.parametrize(
    ("ours", "theirs", "holds"),
    [
        (1e-5, 1e-5, True),
        (1.49e-5, 1e-5, True),
        (1.51e-5, 1e-5, False),
        (0.0, 0.0, True),
        (1e-6, 0.0, False),  # PyTorch is exact, and MAX is not
    ],
)
def test_distance_from_float64(ours: float, theirs: float, holds: bool) -> None:
    exact = np.zeros(100)
    noise = np.resize([1.0, -1.0], 100)
    difference = TensorDifference.between(
        "head", (ours * noise).astype(np.float32), (theirs * noise).astype(np.float32), exact
    )
    assert difference.verdict.holds
    assert difference.precision_verdict.holds is holds
    assert judge_layers([difference]).holds is holds
    # Only the raw outputs, where all rounding adds up, are compared with float64.
    layers = [difference, TensorDifference("head", 0, 1)]
    assert judge_layers(layers).holds
    assert judge_layers(layers, outputs=2).holds is holds


def test_any_layer_that_differs_is_a_failure() -> None:
    layers = [TensorDifference("a", 1e-3, 1), TensorDifference("b", 1e-4, 1), TensorDifference("head", 0, 1)]
    assert judge_layers(layers).failures == ("a differs by 0.001, more than 0.0005 (values up to 1)",)


@pytest.mark.parametrize(
    ("ours", "reference", "holds"),
    [(0.4310, 0.4314, True), (0.4310, 0.4316, False), (0.4316, 0.4310, False), (np.nan, 0.4, False)],
)
def test_map(ours: float, reference: float, holds: bool) -> None:
    assert judge_metric("mAP50-95", ours, reference).holds is holds


@pytest.mark.parametrize(
    ("ours", "holds"), [(0.4329, True), (0.4271, True), (0.4331, False), (np.nan, False)]
)
def test_map_in_bf16(ours: float, holds: bool) -> None:
    assert judge_metric("mAP50-95", ours, 0.43, "bf16").holds is holds


def test_verdicts_add_up() -> None:
    good, bad = Verdict(), Verdict(("a box is off",))
    assert judge([good, good]).holds
    total = judge([good, bad.about("cat.jpg"), bad.about("dog.jpg")])
    assert str(total) == "parity does not hold: cat.jpg: a box is off; dog.jpg: a box is off"
    assert str(good) == "parity holds"
    good.require()
    with pytest.raises(ParityError, match=r"dog\.jpg") as raised:
        total.require()
    assert raised.value.exit_code == ExitCode.PARITY
