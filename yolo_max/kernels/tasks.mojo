"""How work is dealt out to threads.

MAX's runtime gives every task to a certain thread from the start, and none takes over another's. Where one is
held up (by other programs, by a slower core) all others wait for it. So here every thread runs one task,
which takes one share of the work after the other until none is left.
"""

from std.atomic import Atomic
from max.algorithm import sync_parallelize

comptime SHARES = 4
"""Shares for each thread, at most."""


def shares(units: Int, least: Int, workers: Int) -> Int:
    """Into how many shares to divide so many units of work.

    One for each thread, or a few if each of them still has `least` units: a multiple of the threads, so that all
    of them end together.
    """
    if workers == 1:
        return 1
    return min(workers * max(1, min(SHARES, units // (workers * least))), units)


@always_inline
def deal_out[Work: def(Int) -> None](work: Work, count: Int, workers: Int):
    """Calls `work` with 0 .. count, on at most `workers` threads, each of which takes the next number."""
    if workers == 1 or count == 1:
        for share in range(count):
            work(share)
        return
    var next = Atomic[Int64](0)
    var address = Int(Pointer(to=next))

    def take(worker: Int) {imm}:
        ref number = Pointer[Atomic[Int64], MutUntrackedOrigin](unsafe_from_address=address)[]
        while True:
            var share = Int(number.fetch_add(1))
            if share >= count:
                break
            work(share)

    sync_parallelize(take, min(workers, count))
    _ = next^
