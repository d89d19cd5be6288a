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
"""Each kind of block of YOLOv8 once, and C3. MAX takes many seconds to compile each distinct convolution of
its own; so there is one level, and as many classes as make both branches of the head the same ones."""
LATER: dict[str, Any] = {
    "nc": 7,
    "backbone": [
        [-1, 1, "Conv", [16, 6, 2, 2]],  # 0
        [-1, 1, "Conv", [24, 3, 2]],  # 1
        [-1, 1, "Conv", [24, 3, 1, None, 24]],  # 2: depthwise
        [-1, 2, "C2", [32]],  # 3
        [-1, 1, "C3k2", [32]],  # 4
        [-1, 1, "C3k2", [32, True, 0.5, False, 1, False]],  # 5
        [-1, 1, "C3k2", [32, False, 0.5, True]],  # 6
        [-1, 1, "Conv", [288, 3, 2]],  # 7
        [-1, 1, "SPP", [40, [3, 5]]],  # 8
        [-1, 1, "SPPF", [40, 5, 2, True]],  # 9
        [-1, 1, "PSA", [40]],  # 10
        [7, 2, "C2PSA", [288]],  # 11: two heads of 72 channels
        [6, 1, "SCDown", [40, 3, 2]],  # 12
        [-1, 1, "C2fCIB", [40, True, True]],  # 13
        [-1, 1, "A2C2f", [64]],  # 14
        [-1, 1, "A2C2f", [64, True, 4, True, 1.2]],  # 15: four areas; with a factor for each channel
        [6, 1, "ELAN1", [32, 32, 16]],  # 16
        [-1, 1, "AConv", [48]],  # 17
        [-1, 1, "RepNCSPELAN4", [48, 32, 24, 2]],  # 18
        [6, 1, "ADown", [40]],  # 19
        [-1, 1, "SPPELAN", [40, 16]],  # 20
    ],
    "head": [
        [[6, 10, 11, 13, 15, 18, 20], 1, "v10Detect", ["nc"]],  # 21
    ],
}
"""The blocks of later families, and the arguments that change what they compute."""
FEW: dict[str, Any] = {
    "nc": 16,
    "backbone": [
        [-1, 1, "Conv", [16, 6, 2, 2]],
        [-1, 1, "Conv", [16, 3, 2, None, 16]],
        [-1, 1, "PSA", [16]],
    ],
    "head": [[-1, 1, "Classify", ["nc"]]],
}
"""What they ask of a backend, in few convolutions of MAX's own: padding, depthwise, attention."""
