"""Classification's part of the parity rubric."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolo_max.images.centre_crop import CentreCrop
from yolo_max.tasks.classify.classification import Classification
from yolo_max.tasks.classify.comparison import ClassifyJudge
from yolo_max.tasks.comparison import PredictionDifference
from yolo_max.tasks.rubric import SCORE_BOUND

NC = 8
NAMES = {i: f"class {i}" for i in range(NC)}
CROP = CentreCrop.fit((30, 40), (32, 32))
SOME = [0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.03, 0.02]


def compared(ours: list[float], reference: list[float]) -> PredictionDifference:
    found, expected = (
        Classification(np.array(each, np.float32), NAMES, (30, 40)) for each in (ours, reference)
    )
    return ClassifyJudge(NC).predictions(found, expected, {}, CROP)


@pytest.mark.parametrize(
    ("ours", "holds", "same", "alone"),
    [
        (SOME, True, (True, True), 0),
        ([0.30007, *SOME[1:]], True, (True, True), 0),
        ([0.3002, *SOME[1:]], False, (True, True), 0),
        ([0.2, 0.3, *SOME[2:]], False, (False, True), 0),  # the first two have changed places
        ([*SOME[:4], 0.08, 0.1, *SOME[6:]], False, (True, False), 1),  # the fifth and the sixth
        ([*SOME[:4], 0.0899, 0.09, *SOME[6:]], False, (True, False), 1),  # a tie, but not PyTorch's
    ],
)
def test_the_top_five(ours: list[float], holds: bool, same: tuple[bool, bool], alone: int) -> None:
    difference = compared(ours, SOME)
    assert difference.verdict.holds is holds
    assert (difference.same["same_top1"], difference.same["same_top5"]) == same
    assert [len(each) for each in difference.alone] == [alone, alone]
    for mask, only in zip(difference.excused, difference.alone, strict=True):
        assert not mask[only].any()


def test_a_tie_for_the_fifth_place_is_rounding() -> None:
    """Within the bound of each probability, either class may be the fifth."""
    first, second = [*SOME[:4], 0.09004, 0.09, *SOME[6:]], [*SOME[:4], 0.09, 0.09004, *SOME[6:]]
    difference = compared(first, second)
    assert difference.verdict.holds
    assert difference.same["same_top5"] is False
    for mask, alone in zip(difference.excused, difference.alone, strict=True):
        assert mask[alone].tolist() == [True]


PROBABILITIES = st.lists(st.floats(0, 1, width=32), min_size=NC, max_size=NC)


@given(PROBABILITIES, PROBABILITIES)
def test_each_class_is_matched_or_alone(ours: list[float], reference: list[float]) -> None:
    difference = compared(ours, reference)
    tops = [np.argsort(-np.array(each, np.float32), kind="stable")[:5].tolist() for each in (ours, reference)]
    i, j = difference.pairs
    assert {tops[0][k] for k in i} == {tops[1][k] for k in j} == set(tops[0]) & set(tops[1])
    assert [tops[0][k] for k in i] == [tops[1][k] for k in j]
    only_ours, only_theirs = difference.alone
    assert [tops[0][k] for k in only_ours] == [each for each in tops[0] if each not in tops[1]]
    assert [tops[1][k] for k in only_theirs] == [each for each in tops[1] if each not in tops[0]]


@given(PROBABILITIES, st.lists(st.floats(-0.9 * SCORE_BOUND, 0.9 * SCORE_BOUND), min_size=NC, max_size=NC))
def test_what_is_within_the_bound_is_excused(ours: list[float], rounding: list[float]) -> None:
    reference = [min(max(a + b, 0), 1) for a, b in zip(ours, rounding, strict=True)]
    difference = compared(ours, reference)
    assert difference.verdict.holds
    for mask, alone in zip(difference.excused, difference.alone, strict=True):
        assert mask[alone].all()
