"""A run of shards on a large cluster, simulated: workers that die, a head that hands out so much at a time.

    python scripts/simulate_cluster.py --nodes 1000 --images 1e10 --seed 1

Prints JSON. Nothing is measured here: inputs are given, and what follows from them is computed. Workers are
alike, and the run is simulated shard by shard with a heap of workers that are free. A node lives for a time
that is exponentially distributed; when it dies, the shards of all of its workers are done again once it is
back. Time in which the head is busy with a shard delays that shard and all behind it.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from heapq import heapify, heappop, heappush

import numpy as np


@dataclass(frozen=True)
class Cluster:
    """What is given.

    Attributes:
        nodes: How many.
        workers: Per node.
        images_per_second: Of a worker.
        spread: Standard deviation of a shard's time, as a part of it (lognormal).
        images: In all.
        shard: Images of a shard.
        dispatch: Seconds for which the head is busy with a shard.
        node_hours: Mean hours between two failures of a node.
        restart: Seconds until a node that failed works again.
        overhead: Seconds that a shard costs its worker besides its images.
    """

    nodes: int = 1000
    workers: int = 4
    images_per_second: float = 100.0
    spread: float = 0.1
    images: float = 1e8
    shard: int = 1000
    dispatch: float = 0.002
    node_hours: float = 1000.0
    restart: float = 300.0
    overhead: float = 0.1


@dataclass(frozen=True)
class Outcome:
    """What follows.

    Attributes:
        hours: From the first shard to the last.
        useful: The part of the workers' time that went into images that stayed.
        lost_images: Images that were done in vain, when their node died.
        failures: Of nodes.
        head: The part of the time in which the head was busy.
        ideal_hours: Without failures, overhead, or waiting.
    """

    hours: float
    useful: float
    lost_images: float
    failures: int
    head: float
    ideal_hours: float


def simulate(cluster: Cluster, seed: int = 0) -> Outcome:
    """Runs the shards of a run through a cluster."""
    random = np.random.default_rng(seed)
    shards = int(-(-cluster.images // cluster.shard))
    workers = cluster.nodes * cluster.workers
    mean_life = cluster.node_hours * 3600
    dies = random.exponential(mean_life, cluster.nodes)
    free = [(0.0, worker) for worker in range(workers)]
    heapify(free)
    sigma = float(np.sqrt(np.log1p(cluster.spread**2)))
    head, end, lost, failures, left = 0.0, 0.0, 0.0, 0, shards
    dealt = 0
    while left:
        now, worker = heappop(free)
        node = worker // cluster.workers
        if dies[node] <= now:  # it died while this worker waited or just before
            back = dies[node] + cluster.restart
            if now < back:
                heappush(free, (back, worker))
                continue
            dies[node] = now + random.exponential(mean_life)
            failures += 1
        head = max(head, now) + cluster.dispatch
        dealt += 1
        work = cluster.shard / cluster.images_per_second * random.lognormal(-sigma * sigma / 2, sigma)
        done = head + cluster.overhead + work
        if dies[node] < done:
            part = min(max((dies[node] - head - cluster.overhead) / work, 0.0), 1.0)
            lost += cluster.shard * part
            heappush(free, (max(float(dies[node]), now) + 1e-9, worker))
            continue
        left -= 1
        end = max(end, done)
        heappush(free, (done, worker))
    ideal = cluster.images / (workers * cluster.images_per_second)
    return Outcome(
        hours=end / 3600,
        useful=ideal / end,
        lost_images=lost,
        failures=failures,
        head=dealt * cluster.dispatch / end,
        ideal_hours=ideal / 3600,
    )


def dollars_per_million(dollars_per_node_hour: float, cluster: Cluster, useful: float) -> float:
    """What a million images cost in nodes."""
    per_hour = cluster.workers * cluster.images_per_second * 3600 * useful
    return dollars_per_node_hour / per_hour * 1e6


def main() -> None:
    """Simulates and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, value in asdict(Cluster()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    parser.add_argument("--seed", type=int, default=0)
    given = vars(parser.parse_args())
    seed = given.pop("seed")
    cluster = Cluster(**given)
    print(json.dumps({**asdict(cluster), "seed": seed, **asdict(simulate(cluster, seed))}, indent=2))


if __name__ == "__main__":
    main()
