from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fakes import SharedEngine, fake_weights, write_image

from yolo_max.predict.predictor import Predictor
from yolo_max.predict.turns import Turns


def test_a_lone_caller_has_all_threads() -> None:
    turns = Turns(2)
    for _ in range(2):
        with turns.take() as shared:
            assert not shared


def test_callers_at_the_same_time_share_them() -> None:
    turns, seen = Turns(2), []
    begun = threading.Barrier(2)

    def call() -> None:
        with turns.take(may_be_alone=False) as shared:
            seen.append(shared)
            begun.wait(10)  # both are inside

    with ThreadPoolExecutor(2) as executor:
        list(executor.map(lambda _: call(), range(2)))
    assert seen == [True, True]


@pytest.mark.parametrize("callers", [1, 2, 3])
def test_no_more_run_at_once_than_may_and_none_beside_one_that_is_alone(callers: int) -> None:
    turns, lock = Turns(callers), threading.Lock()
    running: list[bool] = []
    most = 0

    def call(_: int) -> None:
        nonlocal most
        with turns.take() as shared:
            with lock:
                running.append(shared)
                most = max(most, len(running))
                assert len(running) == 1 or all(running)
            time.sleep(0.002)
            with lock:
                running.remove(shared)

    with ThreadPoolExecutor(6) as executor:
        list(executor.map(call, range(60)))
    assert most == callers


def test_few_take_turns_alone_and_many_share() -> None:
    """Three callers, two of which may share; the first is inside when the others come."""
    for waiting, expected in ((1, [False]), (2, [True, True]), (3, [True, True, False])):
        turns = Turns(2)
        seen: list[bool] = []

        def call(turns: Turns = turns, seen: list[bool] = seen) -> None:
            with turns.take() as shared:
                seen.append(shared)
                time.sleep(0.05)

        with ThreadPoolExecutor(3) as executor:
            with turns.take() as shared:
                assert not shared
                others = [executor.submit(call) for _ in range(waiting)]
                while len(turns._line) < waiting:
                    time.sleep(0.001)
            for other in others:
                other.result()
        assert seen == expected, waiting


def test_a_share_that_is_free_is_taken_as_soon_as_two_wait_for_it() -> None:
    """Not when the call beside it ends."""
    turns = Turns(2)
    go_on = {name: threading.Event() for name in ("first", "short", "long", "third", "fourth")}
    begun = {name: threading.Event() for name in go_on}

    def call(name: str) -> None:
        with turns.take():
            begun[name].set()
            assert go_on[name].wait(30)

    def waiting(count: int) -> None:
        while len(turns._line) < count:
            time.sleep(0.001)

    with ThreadPoolExecutor(len(go_on)) as executor:
        executor.submit(call, "first")
        assert begun["first"].wait(10)
        for number, name in enumerate(("short", "long")):
            executor.submit(call, name)
            waiting(number + 1)
        go_on["first"].set()  # now two share
        assert begun["short"].wait(10)
        assert begun["long"].wait(10)
        go_on["short"].set()
        executor.submit(call, "third")
        waiting(1)
        assert not begun["third"].wait(0.1)  # a single one waits to be alone
        executor.submit(call, "fourth")
        third = begun["third"].wait(5)
        for event in go_on.values():
            event.set()
    assert third


def test_a_call_gets_its_turn_beside_a_stream_that_never_pauses() -> None:
    turns, ended = Turns(2), threading.Event()

    def stream() -> None:
        while not ended.is_set():
            with turns.take(may_be_alone=False):
                time.sleep(0.001)

    with ThreadPoolExecutor(2) as executor:
        streams = [executor.submit(stream) for _ in range(2)]
        for _ in range(20):
            with turns.take():
                pass
        ended.set()
        for each in streams:
            each.result()


def test_a_turn_ends_with_an_error() -> None:
    turns = Turns(1)
    with pytest.raises(ValueError, match="mine"), turns.take():
        raise ValueError("mine")
    with turns.take() as shared:
        assert not shared


def test_results_of_many_threads_are_those_of_one(tmp_path: Path) -> None:
    engine = SharedEngine(callers=2, nap=0.005)
    predictor = Predictor(fake_weights(), engine=engine, conf=0.5)
    images = [write_image(tmp_path / f"{i}.png", i).read_bytes() for i in range(12)]
    alone = [predictor(image) for image in images]
    with ThreadPoolExecutor(6) as executor:
        results = list(executor.map(predictor.result, images))
    assert [result.found.to_dict() for result in results] == [each.to_dict() for each in alone]
    assert engine.most == 2
    assert all({"decode", "letterbox", "infer", "postprocess"} <= set(each.times_ms) for each in results)


def test_an_image_that_cannot_be_read_takes_no_turn() -> None:
    engine = SharedEngine()
    predictor = Predictor(fake_weights(), engine=engine)
    result = predictor.result(b"no image")
    assert result.error is not None
    assert engine.batches == []
