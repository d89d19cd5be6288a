"""A parallel loop, in chunks that get smaller (a guided schedule, as OpenMP calls it).

MAX's runtime gives every task to a certain thread from the start, and none takes over another's. Where one is
held up (by other programs, by a slower core) all others wait for it. So here every thread runs one task. It takes
one chunk after the other of its own part of the work, then of those parts that others have not finished. Chunks get
smaller towards the end, so that nobody waits long for the last one:

    two threads    |  first  | second | 3rd | 4th |  first  | second | 3rd | 4th |
                   '------ part of thread 0 ------'------ part of thread 1 ------'

The parts of a map are the same for the operation that writes it and for the one that reads it, so that most of what
a thread reads is in the cache of its core.
"""

from std.atomic import Atomic
from std.os import abort
from max.gpu.host import DeviceContext

comptime MAX_ROUNDS = 6
"""Chunks of a part, at most."""
comptime LINE = 8
"""Numbers in a line of the cache: threads count in lines of their own."""


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
    """Units of work in a part for each thread; a round takes half of what is left of a part, the last one all of it."""

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

    def begin(self, part: Int, round: Int) -> Int:
        """The first unit of a round of a part; the round before it ends there."""
        var first = self.units * part // self.threads
        var end = self.units * (part + 1) // self.threads
        return end if round == self.rounds else end - (end - first >> round)


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
    var taken = List[Int64](length=chunks.threads * LINE, fill=0)
    var address = taken.unsafe_ptr()

    def take(thread: Int) {imm}:
        for i in range(chunks.threads):
            var part = (thread + i) % chunks.threads
            ref rounds = address.unsafe_offset(part * LINE).unsafe_bitcast[Atomic[Int64]]()[]
            while True:
                var round = Int(rounds.fetch_add(1))
                if round >= chunks.rounds:
                    break
                work(chunks.begin(part, round), chunks.begin(part, round + 1))

    ref context = Pointer[DeviceContext, MutUntrackedOrigin](unsafe_from_address=workers.context)[]
    try:
        context.enqueue_cpu_range(take, count=chunks.threads)
        context.synchronize()
    except error:
        abort(String(error))
    _ = taken^
