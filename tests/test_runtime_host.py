"""What is recorded of the machine, and what is warned of."""

from __future__ import annotations

import json

import numpy as np
import pytest

from yolo_max.runtime import host


@pytest.mark.parametrize(
    ("threads", "expected"),
    [
        (1, [0]),
        (2, [0, 1]),  # two cores, not two threads of one
        (3, [0, 1, 4]),
        (9, [0, 1, 4, 5]),  # no more than there are
    ],
)
def test_threads_are_pinned_to_cores_of_their_own_first(threads: int, expected: list[int]) -> None:
    assert host.pin(threads, [(0, 4), (1, 5)]) == expected


def test_the_host_record_is_complete_and_plain() -> None:
    record = json.loads(json.dumps(host.record()))
    for key in ("cpu", "flags", "governor", "load_average", "packages", "python", "command", "cpu_quota"):
        assert key in record
    assert record["packages"]["numpy"] == np.__version__
    assert record["available_cpus"] <= record["logical_cpus"]


@pytest.mark.parametrize(
    ("share", "governor", "words"),
    [
        (0.0, None, []),
        (None, "performance", []),  # unknown causes no warning
        (0.5, "performance", ["50%"]),
        (0.01, "powersave", ["powersave"]),
    ],
)
def test_a_disturbed_machine_is_reported(share: float | None, governor: str | None, words: list[str]) -> None:
    found = host.warnings({"others_cpu_share": share, "governor": governor})
    assert len(found) == len(words)
    assert all(word in text for word, text in zip(words, found, strict=True))
