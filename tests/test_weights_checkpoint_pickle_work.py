"""Small pickles that would take forever, or gigabytes, to read: refused at once."""

from __future__ import annotations

import subprocess
import sys

import checkpoints
import pytest

from yolo_max.weights.checkpoint import safe_pickle

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


def long_integers(count: int) -> bytes:
    return b"".join(b"\x8a\x0c" + (n * (2**61 - 1)).to_bytes(12, "little") + b"N" for n in range(count))


STORAGE = b"(" + text(b"storage") + b"ctorch\nFloatStorage\n"
MANY = b"(" + text(b"x" * 2**20) + b"q\x00" + text(b"x" * 2**20) + b"q\x01"
DICT = b"}q\x02(" + b"".join(b"J" + number(n) + b"N" for n in range(50_000)) + b"u0"
ENDLESS = {
    # what has a hash of 2^60 steps, which not even Ctrl-C ends
    "a key": (b"}" + doubled(60) + b"K\x01s", "as a key"),
    "a part of a key": (b"}(" + doubled(60) + b"K\x01K\x02\x87K\x01u", "as a key"),
    "a member of a set": (SET + b"](" + doubled(60) + b"e\x85R", "as a key"),
    "a member of a set of protocol 4": (b"\x8f(" + doubled(60) + b"\x90", "as a key"),
    "a member of a frozen set": (b"(" + doubled(60) + b"\x91", "as a key"),
    "a key given to a call": (
        b"ccollections\nOrderedDict\n](" + doubled(60) + b"K\x01\x86e\x85R",
        "as a key",
    ),
    # a hash that calls itself for every level, until the stack is used up
    "a deep tuple as a key": (b"})" + b"\x85" * 200_000 + b"Ns", "as a key"),
    # what is written out, as part of a name or of an error
    "the name of a storage": (STORAGE + doubled(60) + text(b"cpu") + b"K\x01tQ", "a storage"),
    "a function": (doubled(60) + b")R", "not a function"),
    "lists filled from the outside": (filled_from_the_outside(60) + b")R", "not a function"),
    "a long text": (
        b"(" + text(b"x" * 2**20) + b"q\x00" + b"h\x00" * 100_000 + b"t)R",
        "not a function",
    ),
    "a path": (b"cpathlib\nPath\n" + MANY + b"h\x00" * 100_000 + b"tR)R", "not a function"),
    # no value is large, and each step takes longer than the last
    "a list copied over and over": (
        b"](" + b"K\x01" * 100_000 + b"eq\x00" + (SET + b"h\x00\x85R") * 100_000,
        "over and over",
    ),
    "attributes copied over and over": (
        DICT + b"ctorch.nn\nModule\n)\x81" + b"h\x02b" * 100_000,
        "over and over",
    ),
    "bytes made over and over": (
        text(b"x" * 2**20) + b"q\x00" + b"(" + b"c_codecs\nencode\nh\x00X\6\0\0\0latin1\x86R" * 100_000,
        "over and over",
    ),
    "equal texts as keys over and over": (MANY + b"}(" + b"h\x00Nh\x01N" * 100_000 + b"u", "over and over"),
    "integers of one hash": (b"}(" + long_integers(100_000) + b"u", "over and over"),
    "tuples of one hash": (b"}(" + b"K\x01\x85N" * 100_000 + b"u", "over and over"),
    "places of one hash": (
        b"N" + b"".join(b"p%d\n" % (n * (2**61 - 1)) for n in range(1, 100_000)),
        "cannot be read",
    ),
    "paths made over and over": (
        b"cpathlib\nPath\nq\x00(" + text(b"x" * 4000) + b"q\x01" + b"h\x01" * 60 + b"tq\x020"
        + b"h\x00h\x02R0" * 300_000,
        "over and over",
    ),
    "shapes looked at over and over": (
        b"ctorch._utils\n_rebuild_tensor_v2\nq\x000" + STORAGE + text(b"0") + text(b"cpu") + b"K\x01tQq\x010"
        + b"(" + b"K\x01" * 100_000 + b"tq\x020" + b"h\x00(h\x01K\x00h\x02h\x02tR0" * 100_000,
        "a tensor of shape",
    ),
    "names": (b"cx\ny\n0" * 500_000, "which this reader does not know"),
    # more opcodes than a network can have
    "empty sets": (b"\x8f0" * 1_500_000, "over and over"),
    "marks": (b"(" * 3_000_000, "over and over"),
}  # fmt: skip

CHILD = """
import resource, sys
from yolo_max.support.errors import WeightsError
from yolo_max.weights.checkpoint import safe_pickle
resource.setrlimit(resource.RLIMIT_AS, (2 * 2**30, 2 * 2**30))
try:
    safe_pickle.load(sys.stdin.buffer.read())
except WeightsError as error:
    print(error)
"""


@pytest.mark.parametrize("name", ENDLESS)
def test_what_would_take_forever_is_refused_at_once(name: str) -> None:
    # In a process of its own, which can be ended.
    pickle_, message = ENDLESS[name]
    data = checkpoints.archive(START + pickle_ + b".")
    done = subprocess.run(
        [sys.executable, "-c", CHILD], input=data, capture_output=True, timeout=60, check=True
    )
    assert message in done.stdout.decode()
    assert len(done.stdout) < 500


@pytest.mark.parametrize(
    "pickle_",
    [
        b"]" * 100_000 + b"a" * 99_999,  # deep, and no more than that
        b")" + b"\x85" * 500_000,
        b"ctorch.nn\nModule\nq\x000N" + (b"q\x010h\x00)\x81}" + text(b"x") + b"h\x01sb") * 100_000,
        doubled(15),  # a reference is no fault as such
        doubled(60),
        b"}K\x01K\x02\x86K\x01s",  # nor is a tuple of numbers as a key
        b"](" + text(b"layer") + b"q\x00" + b"h\x00" * 1_000_000 + b"e",  # the same word in every line
    ],
)
def test_what_is_only_large_is_read(pickle_: bytes) -> None:
    safe_pickle.load(checkpoints.archive(START + pickle_ + b"."))
