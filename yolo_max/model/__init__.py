"""The hand port of the network onto MAX, and nothing else.

architecture.py     the checkpoint's table, checked and resolved: table.py, row by row
specs/              everything about a block except its computation
blocks.py           Conv, SCDown, Bottleneck, SPP, SPPF, Concat
cross_stage.py      A2C2f, C2, C2f, C2fCIB, C3, C3k2
attention.py        PSA, C2PSA, and YOLO12's ABlock
elan.py             RepNCSPELAN4, ELAN1, AConv, ADown, SPPELAN of YOLOv9
composite.py        CBLinear, CBFuse of YOLOv9e
torch_layers.py     PyTorch's own layers in tables: nn.Upsample, nn.MaxPool2d, ...
head.py             the heads, up to their logits
prototypes.py       Proto, Proto26: the prototypes of masks
model.py            the registry of blocks, and the walk through the table
backend.py          the operations that blocks are built from
fused.py, stock.py  the backends: Mojo kernels, and MAX's own operations
detect/             the Mojo kernels of the detection head
counting.py         a backend that computes nothing and counts
max_nn.py           MAX's modules, imported without their heavy dependencies
"""
