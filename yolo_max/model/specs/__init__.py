"""Everything about a block except its computation, independent of MAX.

row.py          a row of an architecture table: its arguments by name
parts.py        what a block is made of: modules and convolutions, as a checkpoint has them
spec.py         what a spec says about its block; SPECS, the registry; resolved rows
blocks.py       the specs of plain blocks: Conv, SCDown, Bottleneck, Concat
pyramid.py      SPP, SPPF
torch_layers.py nn.Upsample, nn.Identity, nn.MaxPool2d, nn.ZeroPad2d, nn.ConvTranspose2d
cross_stage.py  A2C2f, C2, C2f, C2fCIB, C3, C3k2
elan.py         YOLOv9's: RepNCSPELAN4, ELAN1, AConv, ADown, SPPELAN
composite.py    YOLOv9e's: CBLinear, CBFuse
attention.py    PSA, C2PSA
heads.py        Classify, Detect, v10Detect
per_box.py      Segment, Pose, OBB; Segment26, Pose26, OBB26
unported.py     blocks of Ultralytics that are not ported, and why
"""

from yolo_max.model.specs import (  # noqa: F401 - registers the specs
    attention,
    blocks,
    composite,
    cross_stage,
    elan,
    heads,
    per_box,
    pyramid,
    torch_layers,
)
from yolo_max.model.specs.parts import Convolution
from yolo_max.model.specs.spec import SPECS, HeadSpec, Layer

__all__ = ["SPECS", "Convolution", "HeadSpec", "Layer"]
