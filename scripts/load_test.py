"""Loads a server that it starts itself, on this machine alone: how fast, how steady and how right it is.

    python scripts/load_test.py speed IMAGES -w yolov8n     # against the plain stream; latency at half load
    python scripts/load_test.py abuse IMAGES --count 10000  # one in ten requests is malformed, cut or slow
    python scripts/load_test.py abuse IMAGES --replicas 2   # the same of replicas on Ray
    python scripts/load_test.py batches IMAGES -w yolov8n   # one by one, in batches, side by side

`speed` runs the plain stream in this process and the server in another, in turn; the other is stopped
meanwhile. `abuse` compares each prediction with that of this process, and watches the server's memory and
open files; it ends with exit code 1 if an answer is wrong, or has the status 500.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import accumulate, cycle, islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from abusive_requests import ABUSES, EXPECTED
from loaded_server import HOST, Client, get, serving, state_of, stopped
from numpy.typing import NDArray

from yolo_max.predict.pending import PendingImage
from yolo_max.predict.predictor import Predictor
from yolo_max.serve.answers import record_of

SIZES = (1, 2, 4, 8)
"""Images in a batch."""
BUSY = (429, 503)
"""What a client is told that may ask again."""
SUFFIXES = (".jpg", ".png")


def saturated(port: int, images: Sequence[bytes], clients: int) -> float:
    """Images per second with so many clients, each of which asks again as soon as it is answered."""
    several = [Client(port) for _ in range(clients)]

    def share(number: int) -> None:
        for image in images[number::clients]:
            status, _ = several[number].ask(image)
            assert status == 200, status

    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as executor:
        list(executor.map(share, range(clients)))
    return len(images) / (time.perf_counter() - start)


def times_at(port: int, images: Sequence[bytes], starts: Sequence[float]) -> list[float]:
    """Milliseconds from when each request was due to its answer; one that waits for a client is late, too."""
    clients = [Client(port) for _ in range(16)]
    origin = time.perf_counter() + 0.1

    def ask(number: int) -> float:
        due = origin + starts[number]
        time.sleep(max(0.0, due - time.perf_counter()))
        client = clients.pop()
        status, _ = client.ask(images[number])
        clients.append(client)
        assert status == 200, status
        return (time.perf_counter() - due) * 1000

    with ThreadPoolExecutor(len(clients)) as executor:
        return list(executor.map(ask, range(len(images))))


def speed(options: argparse.Namespace, images: Sequence[bytes]) -> dict[str, Any]:
    """Throughput against the plain stream, and latency at half load against that of a lone request.

    What is compared is measured in the same round, seconds apart; half load is half of its throughput.
    """
    predictor = Predictor(options.weights, report=print)
    each = list(islice(cycle(images), options.count or 60))
    chance = random.Random(1)
    rates: list[tuple[float, float]] = []
    alone: list[float] = []
    at_half: dict[str, list[float]] = {
        "evenly": [],
        "at_random": [],
    }  # as multiples of the round's lone median
    with serving(options.weights, *on(options)) as (port, server):
        saturated(port, each[:16], 4)
        list(predictor.stream(each[:16]))
        for _ in range(options.rounds):
            rate = saturated(port, each, options.clients)
            with stopped(server):
                start = time.perf_counter()
                for result in predictor.stream(each):
                    assert result.prediction is not None
                rates.append((rate, len(each) / (time.perf_counter() - start)))
            lone = times_at(port, each[:16], [number * 3 / rate for number in range(16)])
            alone += lone
            half = 2 / rate
            gaps = [chance.expovariate(1 / half) for _ in each]
            starts = {
                "evenly": [number * half for number in range(len(each))],
                "at_random": list(accumulate(gaps)),
            }
            for name, due in starts.items():
                at_half[name] += [one / statistics.median(lone) for one in times_at(port, each, due)]
    return {
        "images_per_second": {
            "served": round(statistics.median(one for one, _ in rates), 2),
            "stream": round(statistics.median(plain for _, plain in rates), 2),
        },
        "served_to_stream": [round(one / plain, 3) for one, plain in rates],
        "alone_ms": spread(alone),
        "half_load_to_alone": {name: spread(values) for name, values in at_half.items()},
    }


def on(options: argparse.Namespace) -> tuple[str, ...]:
    """The server's options for replicas, if there are any."""
    return ("--ray", "--ray-workers", str(options.replicas)) if options.replicas else ()


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, 99th percentile and maximum."""
    return {
        "median": round(float(np.median(values)), 2),
        "p99": round(float(np.percentile(values, 99)), 2),
        "max": round(max(values), 2),
    }


def abuse(options: argparse.Namespace, images: Sequence[bytes]) -> dict[str, Any]:
    """Many requests of which every tenth is bad; the others must be answered as by this process."""
    predictor = Predictor(options.weights, report=print)
    expected = [without_times(record_of(predictor.result(image))) for image in images]
    count = options.count or 10_000
    statuses: Counter[str] = Counter()
    unexpected: list[str] = []
    states = []
    limits = ("--timeout", "5", "--max-bytes", str(2**21))
    with serving(options.weights, *limits, *on(options)) as (port, server):

        def share(numbers: range, client: Client) -> None:
            for number in numbers:
                if number % 10:
                    which = number % len(images)
                    status, body = client.ask(images[which])
                    statuses[f"good {status}"] += 1
                    while status in BUSY:
                        time.sleep(1)
                        status, body = client.ask(images[which])
                    if status != 200 or without_times(json.loads(body)) != expected[which]:
                        unexpected.append(f"request {number}: {status} {body[:200]!r}")
                else:
                    name = list(ABUSES)[number // 10 % len(ABUSES)]
                    status = ABUSES[name](HOST, port, images[0])
                    statuses[f"{name} {status}"] += 1
                    if status not in (*EXPECTED[name], *BUSY):
                        unexpected.append(f"request {number}: {name} {status}")

        clients = [Client(port) for _ in range(options.clients)]
        with ThreadPoolExecutor(options.clients) as executor:
            for start in range(0, count, 1000):
                numbers = range(start, min(start + 1000, count))
                shares = [numbers[k :: options.clients] for k in range(options.clients)]
                list(executor.map(share, shares, clients))
                states.append(state_of(server))
                print(f"{numbers[-1] + 1:>7} requests  {states[-1]}", file=sys.stderr, flush=True)
        time.sleep(12)  # until what is slow was left
        states.append(state_of(server))
        counted = get(port, "/metrics").decode()
    errors = [line for line in counted.splitlines() if 'status="500"' in line]
    return {
        "statuses": dict(sorted(statuses.items())),
        "unexpected": unexpected[:20],
        "first": states[0],
        "last": states[-1],
        "counted_500": errors,
    }


def without_times(record: dict[str, Any]) -> dict[str, Any]:
    """A record as it must be whenever the image is predicted."""
    return {name: value for name, value in json.loads(json.dumps(record)).items() if name != "times_ms"}


def batches(options: argparse.Namespace, images: Sequence[bytes]) -> dict[str, Any]:
    """Images per second of the network alone: one by one, in batches, side by side."""
    predictor = Predictor(options.weights, report=print)
    engine, count = predictor.engine, options.count or 24
    prepared = [
        PendingImage.prepare(image, predictor.fit, max_pixels=predictor.options.max_pixels).canvas
        for image in islice(cycle(images), max(SIZES))
    ]
    pixels = np.stack([canvas for canvas in prepared if canvas is not None])

    def in_batches(batch: NDArray[np.uint8]) -> None:
        for _ in range(count // len(batch)):
            engine.run(batch, predictor.decoder.min_logit)

    ways: dict[str, Callable[[], object]] = {}
    for size in SIZES:
        ways[f"batch {size}"] = partial(in_batches, pixels[:size])
    callers = engine.callers
    executor = ThreadPoolExecutor(callers)
    ways[f"{callers} side by side"] = lambda: list(
        executor.map(
            lambda i: engine.run(pixels[i % len(pixels), None], predictor.decoder.min_logit, shared=True),
            range(count),
        )
    )
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            rates[name].append(count / (time.perf_counter() - start))
    return {name: round(statistics.median(several[1:]), 2) for name, several in rates.items()}


def main() -> int:
    """Runs one of the parts, and prints what it measured as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("speed", "abuse", "batches"))
    parser.add_argument("images", type=Path, help="a folder with images")
    parser.add_argument("--weights", "-w", default="yolov8n-shapes")
    parser.add_argument("--count", type=int, help="requests, or images")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--replicas", type=int, help="processes of Ray that predict; absent, the server does")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    images = [path.read_bytes() for path in sorted(options.images.iterdir()) if path.suffix in SUFFIXES]
    measured = {"speed": speed, "abuse": abuse, "batches": batches}[options.part](options, images)
    print(json.dumps(measured, indent=1))
    return int(bool(measured.get("unexpected") or measured.get("counted_500")))


if __name__ == "__main__":
    sys.exit(main())
