"""Small pickles that would take forever, or gigabytes, to read: refused at once."""

from __future__ import annotations

import subprocess
import sys

import checkpoints
import pytest

from yolo_max.weights.checkpoint.pickle_work import require_little_work

START = b"\x80\x02"
SET = b"c__builtin__\nset\n"


def number(value: int) -> bytes:
    return value.to_bytes(4, "little")


def text(value: bytes) -> bytes:
    return b"X" + number(len(value)) + value


def doubled(times: int) -> bytes:
    """t = (1,), and then t = (t, t) so many times."""
    return b"K\x01\x85" + b"q\x00h\x00\x86" * times


def filled_from_the_outside(times: int) -> bytes:
    """A list of one list twice, which is put into it before it gets another list twice, and so on."""
    lists = (
        b"j" + number(n) + b"(" + b"]r" + number(n + 1) + b"j" + number(n + 1) + b"e" for n in range(times)
    )
    return b"]r" + number(0) + b"".join(lists) + b"j" + number(0)


STORAGE = b"(" + text(b"storage") + b"ctorch\nFloatStorage\n"
ENDLESS = {
    # what has a hash of 2^60 steps, which not even Ctrl-C ends
    "a key": b"}" + doubled(60) + b"K\x01s",
    "a part of a key": b"}(" + doubled(60) + b"K\x01K\x02\x87K\x01u",
    "a member of a set": SET + b"](" + doubled(60) + b"e\x85R",
    "a key given to a call": b"ccollections\nOrderedDict\n](" + doubled(60) + b"K\x01\x86e\x85R",
    # what is written out, as part of a name or of an error
    "the name of a storage": STORAGE + doubled(60) + text(b"cpu") + b"K\x01tQ",
    "a function": doubled(60) + b")R",
    "lists filled from the outside": filled_from_the_outside(60) + b")R",
    "a long text": b"(" + text(b"x" * 2**20) + b"q\x00" + b"h\x00" * 100_000 + b"t)R",
    # no value is large, and each step takes longer than the last
    "a list copied over and over": b"](" + b"K\x01" * 100_000 + b"eq\x00" + (SET + b"h\x00\x85R") * 100_000,
    "integers of one hash": b"}(" + b"".join(
        b"\x8a\x0c" + (n * (2**61 - 1)).to_bytes(12, "little") + b"N" for n in range(100_000)
    ) + b"u",
}  # fmt: skip

CHILD = """
import resource, sys
from yolo_max.support.errors import WeightsError
from yolo_max.weights.checkpoint import safe_pickle
resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30, 8 * 2**30))
try:
    safe_pickle.load(sys.stdin.buffer.read())
except WeightsError as error:
    print(error)
"""


@pytest.mark.parametrize("name", ENDLESS)
def test_what_would_take_forever_is_refused_at_once(name: str) -> None:
    # In a process of its own, which can be ended.
    data = checkpoints.archive(START + ENDLESS[name] + b".")
    done = subprocess.run(
        [sys.executable, "-c", CHILD], input=data, capture_output=True, timeout=60, check=True
    )
    message = done.stdout.decode()
    assert "over and over, which would take forever" in message or "fills a list or dict after" in message


@pytest.mark.parametrize(
    "pickle_",
    [
        b"]" * 100_000 + b"a" * 99_999,  # deep, and no more than that
        doubled(15),  # a reference is no fault as such
        b"}" + doubled(15) + b"K\x01s",
        b"](" + text(b"layer") + b"q\x00" + b"h\x00" * 1_000_000 + b"e",  # the same word in every line
    ],
)
def test_what_is_only_large_is_read(pickle_: bytes) -> None:
    require_little_work(START + pickle_ + b".")
