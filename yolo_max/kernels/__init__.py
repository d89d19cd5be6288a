"""The Mojo kernels, and what graphs need to call them. Knows no network.

ops.py                       convolutions in a graph
pools.py, resize.py          pools, resizing
products.py                  products of matrices, softmax, attention
norms.py, copies.py          layer norm, tensors put together
call.py                      what a graph needs to call kernels
conv_kernel.py, packing.py   one entry for each kernel, and its packed weights
kernel_table.py              tables of kernels, compiled where a graph uses them
feature_map.py               views: the inputs and outputs of convolutions
window.py                    the geometry of a convolution
activation.py, precision.py  the activation of a convolution, the type of maps
*.mojo                       the kernels: see ``__init__.mojo``
"""
