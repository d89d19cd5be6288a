"""The hand port of the network onto MAX, and nothing else.

architecture.py, specs/        the checkpoint's table, judged and resolved
blocks.py, head.py              Conv, Bottleneck, C2f, SPPF; the detect head up to its logits
model.py                        the registry of blocks, and the walk through the table
backend.py                      what a block needs to be computed
fused.py, stock.py              that on the Mojo kernels, and on MAX's own operations
max_nn.py                       MAX's modules, imported without what else comes with them
"""
