"""Which cases a benchmark measures."""

from __future__ import annotations

import pytest

from yolo_max.bench import plan
from yolo_max.bench.plan import Case, Plan


def test_cases_that_scenarios_share_are_measured_once() -> None:
    cases = Plan((640, 640), 2).cases()
    assert len(cases) == len(set(cases))
    assert cases[0] == Case(2, 1, 640, 640)
    assert {case.batch for case in cases} == {1, 2, 4, 8, 16}
    assert {case.height for case in cases if case.batch == 1} == {320, 480, 640, 960, 1280}
    assert [case.threads for case in cases][-1] == 1


@pytest.mark.parametrize(
    ("threads", "expected"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])]
)
def test_threads_grow_by_doubling_up_to_all(threads: int, expected: list[int]) -> None:
    assert [case.threads for case in Plan((64, 64), threads).thread_cases()] == expected


def test_only_what_is_asked_for_is_measured() -> None:
    assert Plan((64, 96), 2, (plan.SINGLE_STREAM,)).cases() == [Case(2, 1, 64, 96)]
    assert [c.batch for c in Plan((64, 96), 2, (plan.OFFLINE,)).cases()] == [1, 4, 8]
    assert Plan((64, 96), 2, (plan.COLD_START, plan.END_TO_END)).cases() == []
