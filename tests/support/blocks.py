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
        [-1, 1, "nn.Identity", []],  # 0
        [-1, 1, "Conv", [16, 6, 2, 2]],  # 1
        [-1, 1, "Conv", [24, 3, 2]],  # 2
        [-1, 1, "Conv", [24, 3, 1, None, 24]],  # 3: depthwise
        [-1, 2, "C2", [32]],  # 4
        [-1, 1, "C3k2", [32]],  # 5
        [-1, 1, "C3k2", [32, True, 0.5, False, 1, False]],  # 6
        [-1, 1, "C3k2", [32, False, 0.5, True]],  # 7
        [-1, 1, "Conv", [288, 3, 2]],  # 8
        [-1, 1, "SPP", [40, [3, 5]]],  # 9
        [-1, 1, "SPPF", [40, 5, 2, True]],  # 10
        [-1, 1, "PSA", [40]],  # 11
        [8, 2, "C2PSA", [288]],  # 12: two heads of 72 channels
        [7, 1, "SCDown", [40, 3, 2]],  # 13
        [-1, 1, "C2fCIB", [40, True, True]],  # 14
        [-1, 1, "A2C2f", [64]],  # 15
        [-1, 1, "A2C2f", [64, True, 4, True, 1.2]],  # 16: four areas; with a factor for each channel
        [7, 1, "ELAN1", [32, 32, 16]],  # 17
        [-1, 1, "AConv", [48]],  # 18
        [-1, 1, "RepNCSPELAN4", [48, 32, 24, 2]],  # 19
        [7, 1, "ADown", [40]],  # 20
        [-1, 1, "SPPELAN", [40, 16]],  # 21
        [3, 1, "nn.MaxPool2d", [2, 2, 0]],  # 22
        [-1, 1, "nn.ZeroPad2d", [[0, 1, 1, 0]]],  # 23
        [-1, 1, "nn.MaxPool2d", [2, 1, 0]],  # 24
        [7, 1, "CBLinear", [[16, 24]]],  # 25
        [8, 1, "CBLinear", [[16, 8, 24]]],  # 26
        [8, 1, "nn.ConvTranspose2d", [24, 2, 2, 0]],  # 27
        [[25, 26, 27], 1, "CBFuse", [[1, 2]]],  # 28
        [0, 1, "Conv", [24, 3, 2]],  # 29: the image again
    ],
    "head": [
        [[7, 11, 12, 14, 16, 19, 21, 24, 28, 29], 1, "v10Detect", ["nc"]],  # 30
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
