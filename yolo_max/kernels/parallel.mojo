"""A parallel loop, in chunks that get smaller (a guided schedule, as OpenMP calls it).

MAX's runtime gives every task to a certain thread from the start, and none takes over another's. Where one is
held up (by other programs, by a slower core) all others wait for it. So here every thread runs one task,
which takes one chunk of the work after the other until none is left. Chunks get smaller towards the end, so
that nobody waits long for the last one:

    two threads    |  first  |  first  | second | second | 3rd | 3rd | 4th | 4th |
"""

from std.atomic import Atomic
from std.os import abort
from max.gpu.host import DeviceContext

comptime MAX_ROUNDS = 6
"""Chunks that a thread takes, at most, if all are equally fast."""


@fieldwise_init
struct Workers(Copyable, ImplicitlyCopyable, Movable):
    """The threads that an operation runs on."""

    var threads: Int
    """At most."""
    var context: Int
    """Address of MAX's context for the CPU, which starts them."""

    def for_work(self, amount: Int, worth: Int) -> Self:
        """As many of them as get an amount of work that is worth starting a thread for, or one."""
        return Self(max(1, min(self.threads, amount // worth)), self.context)


struct Chunks(Copyable, ImplicitlyCopyable, Movable):
    """Units of work, divided: half of them in the first round, half of the rest in the next, and so on."""

    var units: Int
    var threads: Int
    var rounds: Int

    def __init__(out self, units: Int, min_chunk: Int, threads: Int):
        """Divides units; no chunk has less than `min_chunk` of them, unless there are fewer for each thread."""
        self.units = units
        self.threads = min(threads, units)
        self.rounds = 1
        while self.rounds < MAX_ROUNDS and units >> self.rounds >= threads * min_chunk:
            self.rounds += 1

    def count(self) -> Int:
        return self.threads * self.rounds

    def begin(self, chunk: Int) -> Int:
        """The first unit of a chunk; the chunk before it ends there."""
        var round, position = divmod(chunk, self.threads)
        if round == self.rounds:
            return self.units
        var left = self.units >> round
        var last = round == self.rounds - 1
        return self.units - left + (left if last else left - left // 2) * position // self.threads


@always_inline
def parallel_for[Work: def(Int, Int) -> None](work: Work, units: Int, min_chunk: Int, workers: Workers):
    """Calls `work` with ranges first .. last of all units, on several threads.

    Args:
        work: What is to be done, in any order and at the same time.
        units: Of work.
        min_chunk: Units that are worth a chunk of their own.
        workers: The threads.
    """
    var chunks = Chunks(units, min_chunk, workers.threads)
    if chunks.threads < 2:
        work(0, units)
        return
    var next = Atomic[Int64](0)
    var address = Int(Pointer(to=next))

    def take(thread: Int) {imm}:
        ref number = Pointer[Atomic[Int64], MutUntrackedOrigin](unsafe_from_address=address)[]
        while True:
            var chunk = Int(number.fetch_add(1))
            if chunk >= chunks.count():
                break
            work(chunks.begin(chunk), chunks.begin(chunk + 1))

    ref context = Pointer[DeviceContext, MutUntrackedOrigin](unsafe_from_address=workers.context)[]
    try:
        context.enqueue_cpu_range(take, count=chunks.threads)
        context.synchronize()
    except error:
        abort(String(error))
    _ = next^
