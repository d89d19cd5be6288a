"""The hand port of the network onto MAX, and nothing else.

architecture.py                 the checkpoint's table, judged and resolved
specs/                          what there is to know of each block but its computation
blocks.py, head.py              Conv, Bottleneck, C2f, C3, SPPF; the heads, up to their logits
model.py                        the registry of blocks, and the walk through the table
backend.py                      what a block needs to be computed
fused.py, stock.py              that on the Mojo kernels, and on MAX's own operations
max_nn.py                       MAX's modules, imported without what else comes with them
"""
