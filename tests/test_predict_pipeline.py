"""The stages: order, bounds, errors and closing, whatever the threads do."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count, islice
from typing import Any

import pytest

from yolo_max.predict.pipeline import afterwards, in_batches, in_stages, ordered_map, side_by_side


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.mark.parametrize("ahead", [1, 2, 7, 1000])
def test_results_come_in_order_however_long_each_takes(executor: ThreadPoolExecutor, ahead: int) -> None:
    random.seed(ahead)
    naps = [random.random() / 200 for _ in range(60)]

    def double(index: int) -> int:
        time.sleep(naps[index])
        return 2 * index

    assert list(ordered_map(double, range(60), executor, ahead)) == [2 * i for i in range(60)]


@pytest.mark.parametrize("items", [[], [1]])
def test_short_inputs(executor: ThreadPoolExecutor, items: list[int]) -> None:
    assert list(ordered_map(str, items, executor, 4)) == [str(i) for i in items]


def test_no_more_is_taken_in_than_the_window_holds(executor: ThreadPoolExecutor) -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    with closing(ordered_map(lambda i: i, items(), executor, 5)) as results:
        for received in range(1, 200):
            next(results)
            assert taken - received < 5


def test_without_room_results_are_handed_out_first(executor: ThreadPoolExecutor) -> None:
    alive = 0

    def items() -> Iterator[int]:
        nonlocal alive
        for item in range(50):
            alive += 1
            yield item

    results = ordered_map(lambda i: i, items(), executor, 20, lambda: alive < 3)
    for expected, result in enumerate(results):
        assert result == expected
        assert alive <= 3
        alive -= 1


Stages = Callable[[Iterator[int], Callable[[Any], bool]], Iterator[int]]


@pytest.mark.parametrize(
    "stages",
    [
        lambda items, alone: side_by_side(
            *(lambda i: i, lambda _: None, lambda i: i, items), callers=2, workers=2, alone=alone
        ),
        lambda items, alone: in_stages(
            *(lambda i: i, lambda _: None, lambda i: i, items),
            batch=1,
            canvas_of=lambda _: 1,
            workers=2,
            alone=alone,
        ),
        lambda items, alone: afterwards(lambda i: i, items, workers=2, alone=alone),
    ],
    ids=["side by side", "in stages", "afterwards"],
)
def test_before_an_item_that_may_be_long_in_coming_all_results_are_handed_out(stages: Stages) -> None:
    received: list[int] = []

    def items() -> Iterator[int]:
        for item in range(30):
            if item % 3 == 2:  # after 1, 4, 7, ...
                assert received == list(range(item))
            yield item

    for result in stages(items(), lambda item: item % 3 == 1):
        received.append(result)
    assert received == list(range(30))


def test_a_stage_that_lags_does_not_let_its_window_run_empty(executor: ThreadPoolExecutor) -> None:
    """The decoders keep working while the engine does: something is always under way."""
    started: list[int] = []

    def work(index: int) -> int:
        started.append(index)
        return index

    with closing(ordered_map(work, count(), executor, 4)) as results:
        for received in range(50):
            assert next(results) == received
            deadline = time.monotonic() + 60  # a busy machine may take its time, but it gets there by itself
            while received > 4 and len(started) <= received + 1:
                assert time.monotonic() < deadline
                time.sleep(0.001)


def test_an_error_surfaces_in_its_place(executor: ThreadPoolExecutor) -> None:
    def fail_at_seven(index: int) -> int:
        if index == 7:
            raise ZeroDivisionError("seven")
        return index

    results = ordered_map(fail_at_seven, count(), executor, 3)
    assert list(islice(results, 7)) == list(range(7))
    with pytest.raises(ZeroDivisionError, match="seven"):
        next(results)


def test_an_error_of_the_source_surfaces(executor: ThreadPoolExecutor) -> None:
    def items() -> Iterator[int]:
        yield from range(1, 6)
        raise OSError("the folder is gone")

    results = ordered_map(lambda i: i, items(), executor, 30)
    assert [next(results) for _ in range(5)] == [1, 2, 3, 4, 5]  # nothing that came before it is lost
    with pytest.raises(OSError, match="the folder is gone"):
        next(results)


def test_closing_early_closes_the_stages_before_and_waits_for_what_has_begun() -> None:
    closed = threading.Event()
    finished: list[int] = []

    def items() -> Iterator[int]:
        try:
            yield from count()
        finally:
            closed.set()

    def work(index: int) -> int:
        time.sleep(0.01)
        finished.append(index)
        return index

    with ThreadPoolExecutor(2) as pool:
        first = ordered_map(work, items(), pool, 4)
        second = ordered_map(lambda i: i, in_batches(first, 2, lambda _: 1), pool, 2)
        assert next(second) == [0, 1]
        second.close()
        assert closed.is_set()
        seen = len(finished)
        time.sleep(0.05)
        assert len(finished) == seen


@pytest.mark.parametrize(
    ("shapes", "size", "expected"),
    [
        ([], 2, []),
        ([1, 1, 1, 1, 1], 2, [[1, 1], [1, 1], [1]]),  # the last batch is what is left
        ([1, 1, 2, 2, 1], 4, [[1, 1], [2, 2], [1]]),  # another canvas, another batch
        ([1, 2, 1, 2], 1, [[1], [2], [1], [2]]),
        ([None, 1, None, 1, 1], 2, [[None], [1, None, 1], [1]]),  # an unreadable file takes no place
        ([None] * 5, 2, [[None]] * 5),  # and waits for nobody
        ([1, *[None] * 5], 2, [[1, None, None, None], [None], [None]]),  # nor piles up behind one image
        ([None], 3, [[None]]),
    ],
)
def test_in_batches(shapes: list[int | None], size: int, expected: list[list[int | None]]) -> None:
    assert list(in_batches(iter(shapes), size, lambda shape: shape)) == expected


def test_a_batch_that_was_begun_is_not_lost_to_an_error_of_the_source() -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        raise OSError("the folder is gone")

    batches = in_batches(items(), 2, lambda _: 1)
    assert [next(batches), next(batches)] == [[0, 1], [2]]
    with pytest.raises(OSError, match="the folder is gone"):
        next(batches)


@pytest.mark.parametrize(
    ("callers", "workers"),
    [
        (1, 1),
        (2, 1),  # more callers than workers
        (3, 8),
    ],
)
def test_side_by_side(callers: int, workers: int) -> None:
    working = threading.Semaphore(callers)
    threads: set[str] = set()

    def work(box: list[int]) -> None:
        assert working.acquire(blocking=False), "more at once than were allowed"
        threads.add(threading.current_thread().name)
        time.sleep(0.002)
        box[0] *= 2
        working.release()

    before = threading.active_count()
    results = side_by_side(
        lambda i: [i], work, lambda box: box[0] + 1, range(40), callers=callers, workers=workers
    )
    assert list(results) == [2 * i + 1 for i in range(40)]
    assert len(threads) == callers  # all of them, and nobody else
    assert threading.active_count() == before


@pytest.mark.parametrize("before", [0, 1, 3])  # items under way at that moment; the rest come after it
def test_a_thread_gets_all_its_results_though_the_interpreter_ends(before: int) -> None:
    program = f"""
import sys, threading
from yolo_max.predict.pipeline import side_by_side
ended = threading.Event()
threading._register_atexit(ended.set)  # runs before that of concurrent.futures
begun = threading.Event()
def items():
    for item in range(5):
        if item == {before}:
            begun.set()
            ended.wait()
            wait_for_futures()
        yield item
def wait_for_futures():
    import concurrent.futures.thread as pool, time
    while not pool._shutdown:
        time.sleep(0.01)
def prepare(item):
    if item < {before}:
        ended.wait()
        wait_for_futures()
    return [item]
def finish(box):
    if box[0] == 4:
        raise ValueError("the last item is bad")
    return box
results = side_by_side(prepare, lambda box: box.append(0), finish, items(), callers=1, workers=3)
def loop():
    try:
        for box in results:
            sys.stdout.write(f"{{box}} ")
    except ValueError as error:
        sys.stdout.write(str(error))
threading.Thread(target=loop).start()
begun.wait()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "[0, 0] [1, 0] [2, 0] [3, 0] the last item is bad", done.stderr


def test_work_goes_on_while_what_was_done_is_not_finished() -> None:
    done: list[int] = []
    third = threading.Event()

    def work(item: int) -> None:
        done.append(item)
        if len(done) == 3:
            third.set()

    def finish(item: int) -> int:
        assert third.wait(10), "the work waited for this"
        return item

    assert list(side_by_side(lambda i: i, work, finish, range(9), callers=1, workers=2)) == list(range(9))


@pytest.mark.parametrize("stage", ["prepare", "work", "finish"])
@pytest.mark.parametrize("staged", [False, True])
def test_what_any_stage_raises_surfaces_in_its_place(stage: str, staged: bool) -> None:
    def failing(name: str) -> Callable[[Any], Any]:
        def step(item: Any) -> Any:
            if name == stage and item == ([5] if name == "work" and staged else 5):
                raise ZeroDivisionError(name)
            return item

        return step

    before = threading.active_count()
    steps = (failing("prepare"), failing("work"), failing("finish"))
    if staged:
        results = in_stages(*steps, range(20), batch=1, canvas_of=lambda _: 1, workers=2)
    else:
        results = side_by_side(*steps, range(20), callers=2, workers=1)
    found: list[int] = []
    with pytest.raises(ZeroDivisionError, match=stage):
        found.extend(results)
    assert found == list(range(5))
    assert threading.active_count() == before
