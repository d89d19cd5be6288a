"""Pixels to named raw outputs: two engines, one contract.

contract.py        uint8 [B, H, W, 3] RGB in, raw outputs by name out
choose.py          the engine that a name stands for
max_engine.py      MAX: the graph of ``nn`` with its weights, executed
compiled.py        compiled graphs, kept under all that they depend on
kernel_package.py  the Mojo kernels as a graph takes them
runtime.py         MAX's threads in this process
process.py         an engine's process, for whatever measures or compares
torch_engine.py    PyTorch, the reference: Ultralytics' own module, fused
torch_module.py    that module, built from the judged table and filled
"""
