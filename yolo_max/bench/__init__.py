"""``yolo-max bench``: a benchmark that anyone can repeat.

    plan.py         which batches, sizes and thread counts are measured, each once
    engines.py      the engines, and why one cannot run         runtimes.py, raw_network.py  how they run
    worker.py       an engine in a process of its own, and its handle, with time limits
    engine_pool.py  all engines, timed in rounds of random order while the others are stopped
    verify.py       no parity with PyTorch, no speed-up         stages.py    an image from file to file
    cold.py         time from process start to the first result
    request.py      a user's options                            runner.py    the whole run
    results.py      its results, as in bench.json               stats.py     samples to figures
    samples.py      images for when none are given
    module_bench.py, module_runtimes.py  `yolo-max convert bench`: a PyTorch module instead of a YOLO

The modules in ``report`` turn the results into tables, charts and a page.
"""
