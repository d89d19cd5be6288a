"""Latency at random arrivals, simulated: what a queue costs by itself, without a server's overhead.

    python scripts/simulate_queue.py --shared 1.75 --seed 1

Prints JSON: for each policy and load, the median and the 99th percentile of the time from arrival to answer,
as multiples of a lone request's. Arrivals are a Poisson process, served in order. The network takes 1 for
a request that has all threads, and `--shared` for each of two that have half of them; a load of 1 is the
throughput of two that share.
"""

from __future__ import annotations

import argparse
import json
from collections import deque
from heapq import heappop, heappush

import numpy as np

POLICIES = ("alone", "shared", "turns")
LOADS = (0.05, 0.1, 0.25, 0.5, 0.75)


def times(policy: str, load: float, shared: float, count: int, seed: int) -> list[float]:
    """The time from arrival to answer of each request.

    Args:
        policy: "alone": one at a time, on all threads (M/D/1); "shared": two at a time, on half of them each
            (M/D/2); "turns": what `yolo_max.predict.turns` does.
        load: Requests per unit of time, as a part of those that two at a time answer.
        shared: Time of a request that shares.
        count: Requests.
        seed: Of the arrivals.
    """
    gaps = np.random.default_rng(seed).exponential(shared / 2 / load, count)
    coming = deque(np.cumsum(gaps))
    line: deque[float] = deque()
    running: list[tuple[float, float]] = []  # when each ends, and when it came
    found: list[float] = []
    now, alone, shares = 0.0, False, 0
    while coming or running:
        if coming and (not running or coming[0] < running[0][0]):
            now = coming.popleft()
            line.append(now)
        else:
            now, came = heappop(running)
            found.append(now - came)
            alone = False
        while line and not alone and len(running) < 2:
            crowded = len(line) >= 2
            if running and policy != "shared" and not (policy == "turns" and (shares or crowded)):
                break
            alone = policy != "shared" and not running and not (policy == "turns" and crowded)
            shares = 2 if crowded and not running else shares
            shares = max(0, shares - 1)
            heappush(running, (now + (1.0 if alone else shared), line.popleft()))
    return found


def main() -> None:
    """Simulates, and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=float, default=1.75)
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for policy in POLICIES:
        for load in LOADS:
            found = times(policy, load, options.shared, options.count, options.seed)
            median, p99 = np.percentile(found, [50, 99]).round(2)
            print(json.dumps({"policy": policy, "load": load, "median": median, "p99": p99}))


if __name__ == "__main__":
    main()
