"""A network with each kind of block once, cheap to compile."""

from __future__ import annotations

from typing import Any

BLOCKS: dict[str, Any] = {
    "nc": 64,
    "backbone": [
        [-1, 1, "Conv", [16, 3, 2]],  # 0
        [-1, 1, "C2f", [16, True]],  # 1
        [-1, 1, "Conv", [16, 3, 2]],  # 2
        [-1, 1, "C3", [16]],  # 3
        [-1, 1, "SPPF", [16, 5]],  # 4
    ],
    "head": [
        [-1, 1, "nn.Upsample", ["None", 2, "nearest"]],  # 5
        [[-1, 1], 1, "Concat", [1]],  # 6
        [[6], 1, "Detect", ["nc"]],  # 7
    ],
}
"""Each kind of block once. MAX takes many seconds to compile each distinct convolution of its own; so there
is one level, and as many classes as make both branches of the head the same convolutions."""
