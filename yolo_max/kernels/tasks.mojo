"""How work is dealt out to threads."""

comptime SHARES = 4
"""Tasks for each thread, at most: a thread that is held up by something else leaves its last ones to others."""


def share_out(units: Int, least: Int, workers: Int) -> Int:
    """Into how many tasks to divide so many units of work.

    One for each thread, or a few if each of them still has `least` units: several times as many as threads, so
    that none is left over at the end.
    """
    if workers == 1:
        return 1
    return min(workers * max(1, min(SHARES, units // (workers * least))), units)
