"""MAX in this process: threads, compiled graphs, this machine. Knows no network.

threads.py         how many threads MAX has, and a quiet poller
kernel_package.py  the Mojo kernels, precompiled for a graph
compiled.py        compiled graphs and their cache
cpu.py, host.py    this processor, and this machine as a benchmark records it
"""
