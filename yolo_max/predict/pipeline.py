"""Ordered, bounded, threaded stages: what lets decoding and writing go on while the engine runs.

A pipeline is a chain of generators. Each stage pulls from the one before it, so nothing runs further ahead
than its window allows, however long the input is:

    sources ─► ordered_map(decode) ─► in_batches ─► engine, on the caller's thread ─► ordered_map(finish)

which is `in_stages`; or, with an engine for several callers, of one stage that does everything to an image:

    sources ─► ordered_map(decode, engine on one of its threads, finish)

which is `side_by_side`.

Results come out in the order of the sources. An exception on a worker thread is raised where its result is
asked for, and closing the last generator (or leaving its loop early) closes every stage before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from typing import TypeVar

THREADS = "yolo-max"
"""What the names of the worker threads begin with."""
Item = TypeVar("Item")
Job = TypeVar("Job")
Result = TypeVar("Result")


def side_by_side(
    prepare: Callable[[Item], Job],
    work: Callable[[Job], None],
    finish: Callable[[Job], Result],
    items: Iterable[Item],
    *,
    callers: int,
    workers: int,
) -> Generator[Result, None, None]:
    """Several items at once, each on a thread of its own that lends it to another one for the work.

    Args:
        prepare: What comes before the work.
        work: What the machine can do ``callers`` of at once, and should always be doing as many of.
        finish: What comes after it.
        items: As for `ordered_map`.
        callers: How many threads work. They do nothing else: one that is done begins with the next item at
            once. If the thread that prepared it had to be woken for that, it would have to wait for Python's
            lock, which the thread of the item that is done goes on with.
        workers: How many threads there are, beyond as many, for the rest.

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

        def whole(item: Item) -> Result:
            job = prepare(item)
            try:
                run = runs.submit(work, job)
            except RuntimeError:  # the interpreter is shutting down; what has begun is finished all the same
                work(job)
            else:
                run.result()
            return finish(job)

        with closing(ordered_map(whole, items, executor, 2 * threads)) as finished:
            yield from finished


def in_stages(
    prepare: Callable[[Item], Job],
    work: Callable[[list[Job]], None],
    finish: Callable[[Job], Result],
    items: Iterable[Item],
    *,
    batch: int,
    canvas_of: Callable[[Job], Hashable],
    workers: int,
) -> Generator[Result, None, None]:
    """Works on one batch after the other on the caller's thread; the rest is done before and after it.

    Args:
        prepare: What comes before, on a worker thread.
        work: Is given the batches.
        finish: What comes after, on a worker thread.
        items: As for `ordered_map`.
        batch: As `in_batches` has its size.
        canvas_of: As for `in_batches`.
        workers: How many threads.

    Yields:
        ``finish(prepare(item))`` for each item, in order.

    Raises:
        Exception: As `ordered_map`, and what ``work`` raised.
    """

    def worked(batches: Generator[list[Job], None, None]) -> Iterator[Job]:
        with closing(batches):
            for jobs in batches:
                work(jobs)
                yield from jobs

    ahead = batch + workers
    with ThreadPoolExecutor(workers, THREADS) as executor:
        batches = in_batches(ordered_map(prepare, items, executor, ahead), batch, canvas_of)
        with closing(ordered_map(finish, worked(batches), executor, ahead)) as finished:
            yield from finished


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], executor: Executor, ahead: int
) -> Generator[Result, None, None]:
    """Applies a function on the executor's threads and yields the results in order.

    One item is taken in for each result handed out, on the caller's thread; while the next result is not
    ready, more are, until ``ahead`` are under way. So a slow consumer never makes the window grow, and a slow
    function never lets it run empty.

    Args:
        function: Runs on a worker thread.
        items: Pulled from one at a time; a generator is closed along with this one.
        executor: Outlives this generator.
        ahead: How many items may be under way at once, at least 1.

    Yields:
        ``function(item)`` for each item.

    Raises:
        Exception: Whatever ``function`` or ``items`` raised, in the place of that item: behind the results of
            all items before it.
    """
    window: deque[Future[Result]] = deque()
    with _closing(items) as source:
        try:
            exhausted = False
            failure: Exception | None = None
            while not exhausted or window:
                if not exhausted:
                    try:
                        item = next(source)
                    except StopIteration:
                        exhausted = True
                    except Exception as error:
                        exhausted, failure = True, error
                    else:
                        window.append(executor.submit(function, item))
                if window and (exhausted or len(window) >= ahead or window[0].done()):
                    yield window.popleft().result()
            if failure is not None:
                raise failure
        finally:
            # What has begun may finish: a file abandoned half written helps nobody.
            wait([future for future in window if not future.cancel()])


def in_batches(
    items: Iterable[Item], size: int, canvas_of: Callable[[Item], Hashable]
) -> Generator[list[Item], None, None]:
    """Cuts a stream into runs that one execution of the engine can serve.

    Args:
        items: In order; a generator is closed along with this one.
        size: The most images in a batch, at least 1.
        canvas_of: The shape of an item's canvas; only equal ones share a batch. None for an item without an
            image (one that could not be read): it rides along and takes no place.

    Yields:
        Consecutive items, never none, at most ``size`` of them with an image.

    Raises:
        Exception: Whatever ``items`` raised, behind the items before it.
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
                # Unreadable files wait for nobody, and a long run of them does not pile up behind one image.
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
    """The items' iterator, closed on the way out when it is a generator."""
    source = iter(items)
    try:
        yield source
    finally:
        if isinstance(source, Generator):
            source.close()
