"""The simulated queue keeps to what queueing theory has formulas for."""

from __future__ import annotations

from itertools import takewhile
from math import ceil, exp, factorial

import numpy as np
import pytest
from simulate_queue import POLICIES, times

SHARED, COUNT = 1.75, 50_000


def waits_at_most(t: float, rho: float) -> float:
    """Erlang's formula for the waiting time in M/D/1, in service times."""
    terms = (rho * (k - t) for k in takewhile(lambda k: k <= t, range(ceil(t) + 1)))
    return (1 - rho) * sum(x**k / factorial(k) * exp(-x) for k, x in enumerate(terms))


@pytest.mark.parametrize("load", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("t", [0.0, 0.5, 1.0, 2.0, 3.0])
def test_one_at_a_time_is_m_d_1(load: float, t: float) -> None:
    waits = np.array(times("alone", load, SHARED, COUNT, seed=1)) - 1
    assert (waits <= t + 1e-9).mean() == pytest.approx(waits_at_most(t, load * 2 / SHARED), abs=0.02)


@pytest.mark.parametrize("load", [0.25, 0.5, 0.75])
def test_one_waits_at_m_d_2_less_often_than_at_m_d_1_of_its_speed(load: float) -> None:
    alone, shared = (np.array(times(each, load, 2.0, COUNT, seed=1)) for each in ("alone", "shared"))
    assert (shared > 2 + 1e-9).mean() < (alone > 1 + 1e-9).mean() == pytest.approx(load, abs=0.02)


@pytest.mark.parametrize("policy", POLICIES)
def test_where_hardly_anybody_comes_nobody_waits(policy: str) -> None:
    assert np.percentile(times(policy, 0.001, SHARED, 2000, seed=1), 90) == pytest.approx(
        SHARED if policy == "shared" else 1
    )


def test_each_request_is_answered_once() -> None:
    for policy in POLICIES:
        found = times(policy, 0.9, SHARED, 1000, seed=2)
        assert len(found) == 1000
        assert min(found) >= 1 - 1e-9
