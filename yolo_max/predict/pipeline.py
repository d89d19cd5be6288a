"""Ordered, bounded, threaded stages, so that decoding and writing overlap with inference.

A pipeline is a chain of generators. Each stage pulls from the one before it, so nothing runs further ahead
than its window allows, however long the input is. `in_stages` runs the engine on the caller's thread:

    sources ─► ordered_map(prepare) ─► in_batches ─► engine ─► ordered_map(finish)

`side_by_side` is for an engine that serves several callers. It has one stage that does everything to an item,
with the engine on threads of its own:

    sources ─► ordered_map(prepare, engine, finish)

Results come out in the order of the sources. An exception on a worker thread is raised in place of its
result, and closing the last generator (or leaving its loop early) closes every stage before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from typing import TypeVar

THREADS = "yolo-max"
"""The prefix of worker threads' names."""
Item = TypeVar("Item")
Prepared = TypeVar("Prepared")
Finished = TypeVar("Finished")


def side_by_side(
    prepare: Callable[[Item], Prepared],
    work: Callable[[Prepared], None],
    finish: Callable[[Prepared], Finished],
    items: Iterable[Item],
    *,
    callers: int,
    workers: int,
    room: Callable[[], bool] = lambda: True,
    alone: Callable[[Item], bool] = lambda _: False,
) -> Generator[Finished, None, None]:
    """Handles several items at once: each has a worker thread, and a thread from a second pool for the work.

    Args:
        prepare: Runs before the work.
        work: The machine runs ``callers`` of these at once, and should always have that many.
        finish: Runs after the work.
        items: As for `ordered_map`.
        callers: How many threads work. They do nothing else, so one that is done starts on the next item at
            once. Waking the thread that prepared the item would cost a wait for the GIL, which the thread
            that goes on with the finished item holds.
        workers: How many further threads there are for the rest.
        room: As for `ordered_map`.
        alone: As for `ordered_map`.

    Yields:
        ``finish(prepare(item))`` for each item, in order.

    Raises:
        Exception: As `ordered_map`.
    """
    threads = callers + workers
    with (
        ThreadPoolExecutor(callers, f"{THREADS}-run") as runs,
        ThreadPoolExecutor(threads, THREADS) as executor,
    ):

        def whole(item: Item) -> Finished:
            prepared = prepare(item)
            _submit(runs, work, prepared).result()
            return finish(prepared)

        with closing(ordered_map(whole, items, executor, 2 * threads, room, alone)) as finished:
            yield from finished


def in_stages(
    prepare: Callable[[Item], Prepared],
    work: Callable[[list[Prepared]], None],
    finish: Callable[[Prepared], Finished],
    items: Iterable[Item],
    *,
    batch: int,
    canvas_of: Callable[[Prepared], Hashable],
    workers: int,
    room: Callable[[], bool] = lambda: True,
    alone: Callable[[Item | Prepared], bool] = lambda _: False,
) -> Generator[Finished, None, None]:
    """Works on one batch after another on the caller's thread, and prepares and finishes items on workers.

    Args:
        prepare: Runs before the work, on a worker thread.
        work: Called with each batch.
        finish: Runs after the work, on a worker thread.
        items: As for `ordered_map`.
        batch: The ``size`` of `in_batches`.
        canvas_of: As for `in_batches`.
        workers: How many threads.
        room: As for `ordered_map`.
        alone: As for `ordered_map`; asked about prepared items too.

    Yields:
        ``finish(prepare(item))`` for each item, in order.

    Raises:
        Exception: As `ordered_map`, and whatever ``work`` raised.
    """

    def worked(batches: Generator[list[Prepared], None, None]) -> Iterator[Prepared]:
        with closing(batches):
            for each in batches:
                work(each)
                yield from each

    ahead = batch + workers
    with ThreadPoolExecutor(workers, THREADS) as executor:
        batches = in_batches(ordered_map(prepare, items, executor, ahead, room, alone), batch, canvas_of)
        with closing(ordered_map(finish, worked(batches), executor, ahead, alone=alone)) as finished:
            yield from finished


def afterwards(
    function: Callable[[Item], Finished],
    items: Iterable[Item],
    *,
    workers: int,
    alone: Callable[[Item], bool] = lambda _: False,
) -> Generator[Finished, None, None]:
    """Finishes items that another stage gave, in order, on worker threads of its own.

    Args:
        function: Runs on a worker thread.
        items: As for `ordered_map`.
        workers: How many threads.
        alone: As for `ordered_map`.

    Yields:
        ``function(item)`` for each item, in order.

    Raises:
        Exception: As `ordered_map`.
    """
    with (
        ThreadPoolExecutor(workers, THREADS) as executor,
        closing(ordered_map(function, items, executor, 2 * workers, alone=alone)) as finished,
    ):
        yield from finished


def ordered_map(
    function: Callable[[Item], Finished],
    items: Iterable[Item],
    executor: Executor,
    ahead: int,
    room: Callable[[], bool] = lambda: True,
    alone: Callable[[Item], bool] = lambda _: False,
) -> Generator[Finished, None, None]:
    """Applies a function on the executor's threads and yields the results in order.

    One item is pulled for each result handed out, on the caller's thread, and more while the next result is
    not ready, until ``ahead`` are under way. So a slow consumer never makes the window grow, and a slow
    function never lets it run empty.

    Args:
        function: Runs on a worker thread.
        items: Pulled from one at a time; a generator is closed along with this one.
        executor: Outlives this generator.
        ahead: How many items may be under way at once, at least 1.
        room: Whether there is memory for another item; while there is none, results are handed out first.
        alone: Whether an item's result is handed out before another item is pulled, which may be long in
            coming.

    Yields:
        ``function(item)`` for each item.

    Raises:
        Exception: Whatever ``function`` or ``items`` raised, in place of that item, after the results of all
            items before it.
    """
    window: deque[Future[Finished]] = deque()
    with _closing(items) as source:
        try:
            exhausted = waits = False
            failure: Exception | None = None
            while not exhausted or window:
                if not exhausted and (not window or (room() and not waits)):
                    try:
                        item = next(source)
                    except StopIteration:
                        exhausted = True
                    except Exception as error:
                        exhausted, failure = True, error
                    else:
                        window.append(_submit(executor, function, item))
                        waits = alone(item)
                if window and (exhausted or waits or len(window) >= ahead or window[0].done() or not room()):
                    yield window.popleft().result()
            if failure is not None:
                raise failure
        finally:
            # A file abandoned half way helps nobody.
            wait([future for future in window if not future.cancel()])


def _submit(executor: Executor, function: Callable[[Item], Finished], item: Item) -> Future[Finished]:
    """Runs the function on the executor's threads, or here when the interpreter ends and they take no more.

    Threads that are not daemons outlive the main one, and theirs may be the loop that asks for results.
    """
    try:
        return executor.submit(function, item)
    except RuntimeError as error:
        if "cannot schedule new futures" not in str(error):
            raise
    future: Future[Finished] = Future()
    try:
        future.set_result(function(item))
    except Exception as error:
        future.set_exception(error)
    return future


def in_batches(
    items: Iterable[Item], size: int, canvas_of: Callable[[Item], Hashable]
) -> Generator[list[Item], None, None]:
    """Groups a stream into batches for one execution of the engine each.

    Args:
        items: In order; a generator is closed along with this one.
        size: The largest number of images in a batch, at least 1.
        canvas_of: The shape of an item's canvas; only equal ones share a batch. None for an item without one
            (its image could not be read), which counts for nothing.

    Yields:
        Consecutive items, at least one, at most ``size`` of them with a canvas.

    Raises:
        Exception: Whatever ``items`` raised, after the items before it.
    """
    batch: list[Item] = []
    images, shape = 0, None
    with _closing(items) as source:
        try:
            for item in source:
                canvas = canvas_of(item)
                if canvas is not None:
                    if images and canvas != shape:
                        yield batch
                        batch, images = [], 0
                    images, shape = images + 1, canvas
                batch.append(item)
                # Unreadable files need not wait, and a long run of them must not pile up behind one image.
                if images in (0, size) or len(batch) == 2 * size:
                    yield batch
                    batch, images = [], 0
        except Exception:
            if batch:
                yield batch
            raise
        if batch:
            yield batch


@contextmanager
def _closing(items: Iterable[Item]) -> Iterator[Iterator[Item]]:
    """Gives the items' iterator, and closes it in the end if it is a generator."""
    source = iter(items)
    try:
        yield source
    finally:
        if isinstance(source, Generator):
            source.close()
