"""What there is to know of each block but its computation, free of MAX.

row.py      a row of an architecture table: its arguments by name
spec.py     what a spec says of its block; SPECS, the registry; a row that is resolved
blocks.py   the specs of Conv, Bottleneck, C2f, SPPF, nn.Upsample, Concat
heads.py    the specs of the heads
"""

from yolo_max.model.specs import blocks, heads  # noqa: F401 - they fill SPECS
from yolo_max.model.specs.spec import SPECS, HeadSpec, Layer

__all__ = ["SPECS", "HeadSpec", "Layer"]
