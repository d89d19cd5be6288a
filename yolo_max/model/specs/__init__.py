"""Everything about a block except its computation, independent of MAX.

row.py      a row of an architecture table: its arguments by name
spec.py     what a spec says about its block; SPECS, the registry; resolved rows
blocks.py   the specs of Conv, Bottleneck, C2f, C3, SPPF, nn.Upsample, Concat
heads.py    the specs of the heads
"""

from yolo_max.model.specs import blocks, heads  # noqa: F401 - registers the specs
from yolo_max.model.specs.spec import SPECS, Convolution, HeadSpec, Layer

__all__ = ["SPECS", "Convolution", "HeadSpec", "Layer"]
