"""The Mojo kernels, and what graphs need to call them; no network is known here.

ops.py                       convolutions and pools in a graph
conv_kernel.py, packing.py   one entry for each kernel, and weights as it reads them
feature_map.py               views: what convolutions read and give
activation.py, precision.py  what is behind a convolution's sums, what maps are held in
*.mojo                       the kernels: see ``__init__.mojo``
"""
