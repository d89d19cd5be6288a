"""MAX in this process: threads, compiled graphs, this machine. Knows no network.

threads.py         how many threads MAX has, and a quiet poller
kernel_package.py  the Mojo kernels, precompiled for a graph
compiled.py        compiled graphs and their cache
portable.py        compiled graphs as files: those of a wheel, and those that a user names
cpu_target.py      processors that those are for     sources.py  what a graph depends on
max_cache.py       a writable place for MAX's own cache
max_errors.py      MAX's errors as ours     fork.py  what a forked process may not use
cpu.py, host.py    this processor, and this machine as a benchmark records it
"""
