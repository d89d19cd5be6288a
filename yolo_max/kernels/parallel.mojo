"""How work is dealt out to threads.

MAX's runtime gives every task to a certain thread from the start, and none takes over another's. Where one is
held up (by other programs, by a slower core) all others wait for it. So here every thread runs one task,
which takes one share of the work after the other until none is left. Shares get smaller towards the end, so
that nobody waits long for the last one:

    two threads    |  first  |  first  | second | second | 3rd | 3rd | 4th | 4th |
"""

from std.atomic import Atomic
from std.os import abort
from max.gpu.host import DeviceContext

comptime ROUNDS = 6
"""Shares that a thread takes, at most, if all are equally fast."""


@fieldwise_init
struct Crew(Copyable, ImplicitlyCopyable, Movable):
    """The threads that work on an operation."""

    var threads: Int
    """At most."""
    var processor: Int
    """Address of MAX's context for the processor, which starts them."""


struct Shares(Copyable, ImplicitlyCopyable, Movable):
    """Units of work, divided: half of them in the first round, half of the rest in the next, and so on."""

    var units: Int
    var threads: Int
    var rounds: Int

    def __init__(out self, units: Int, least: Int, threads: Int):
        """Divides units; no share has less than `least` of them, unless there are fewer for each thread."""
        self.units = units
        self.threads = min(threads, units)
        self.rounds = 1
        while self.rounds < ROUNDS and units >> self.rounds >= threads * least:
            self.rounds += 1

    def count(self) -> Int:
        return self.threads * self.rounds

    def begin(self, share: Int) -> Int:
        """The first unit of a share; the share before it ends there."""
        var round, place = divmod(share, self.threads)
        if round == self.rounds:
            return self.units
        var left = self.units >> round
        var last = round == self.rounds - 1
        return self.units - left + (left if last else left - left // 2) * place // self.threads


@always_inline
def deal_out[Work: def(Int, Int) -> None](work: Work, units: Int, least: Int, crew: Crew):
    """Calls `work` with ranges first .. last of all units, on several threads.

    Args:
        work: What is to be done, in any order and at the same time.
        units: Of work.
        least: Units that are worth a share of their own.
        crew: The threads.
    """
    var shares = Shares(units, least, crew.threads)
    if shares.threads < 2:
        work(0, units)
        return
    var next = Atomic[Int64](0)
    var address = Int(Pointer(to=next))

    def take(thread: Int) {imm}:
        ref number = Pointer[Atomic[Int64], MutUntrackedOrigin](unsafe_from_address=address)[]
        while True:
            var share = Int(number.fetch_add(1))
            if share >= shares.count():
                break
            work(shares.begin(share), shares.begin(share + 1))

    ref processor = Pointer[DeviceContext, MutUntrackedOrigin](unsafe_from_address=crew.processor)[]
    try:
        processor.enqueue_cpu_range(take, count=shares.threads)
        processor.synchronize()
    except error:
        abort(String(error))
    _ = next^
