"""``yolo-max bench``: a benchmark that anyone who doubts it can run again.

    plan.py         which batches, sizes and thread counts the scenarios ask for; each is measured once
    engines.py      who takes part, and who cannot and why      runtimes.py, raw_head.py   the engines
    worker.py       an engine in a process of its own, and the handle on it, with time limits
    engine_pool.py  all of them, timed in rounds of random order while the others are stopped
    verify.py       no parity with PyTorch, no speed-up         stages.py    an image from file to file
    cold.py         from process start to the first result
    request.py      what a user asks for                        runner.py    the whole run
    results.py      what it found, as in bench.json             stats.py     samples to figures
    samples.py      images where there are none at hand

What people look at is made of the results alone, by the modules in ``report``.
"""
