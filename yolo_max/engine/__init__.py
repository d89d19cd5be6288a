"""Pixels to named raw outputs: two engines, one contract.

contract.py      uint8 [B, H, W, 3] RGB in, raw outputs by name out
choose.py        an engine by its name
max_engine.py    MAX: the compiled graph of ``model`` with its weights
max_target.py    what it runs on: device, kernels, threads
trace.py         from a network to its graph, or to a file of code for another processor
torch_engine.py  PyTorch, the reference: Ultralytics' own module, fused
torch_module.py  that module, built from the checked table and filled with weights
process.py       an engine in a child process, for benchmarks and comparisons
"""
