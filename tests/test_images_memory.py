from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from time import sleep

import pytest

from yolo_max.images.memory import MemoryBudget


def test_no_more_is_held_at_once_than_there_is() -> None:
    budget, lock, held, most = MemoryBudget(100), threading.Lock(), 0, 0

    def hold(size: int) -> None:
        nonlocal held, most
        with budget.lease(size):
            with lock:
                held += min(size, 100)
                most = max(most, held)
            sleep(0.001)
            with lock:
                held -= min(size, 100)

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(hold, [0, 10, 30, 50, 99, 100, 1000] * 20))
    assert held == 0
    assert most == 100


def test_what_failed_gives_its_memory_back() -> None:
    budget = MemoryBudget(100)
    for _ in range(3):
        with pytest.raises(ValueError, match="damaged"), budget.lease(100):
            raise ValueError("damaged")
