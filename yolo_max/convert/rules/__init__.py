"""The rules, by what they are about.

maps.py         convolutions, pools, resizing: the kernels, on maps
products.py     linear layers, products, attention, normalisation
elementwise.py  whatever works on each element
exponentials.py exponentials and powers, refined in float64
functions.py    trigonometry, remainders, predicates
reductions.py   sums, means, extremes over dimensions
shapes.py       views, permutations, slices, concatenation
places.py       sorting, gathering, scattering, borders
indexing.py     elements at places that tensors name
sampling.py     maps read at any points
volumes.py      lines and volumes as maps
distances.py    of points, and bags of embeddings
stock.py        what the kernels do not compute
creation.py     tensors out of numbers and sizes
"""

from __future__ import annotations

import torch

from yolo_max.convert.rule import Rules
from yolo_max.convert.rules import (
    creation,
    distances,
    elementwise,
    functions,
    indexing,
    maps,
    places,
    products,
    reductions,
    sampling,
    shapes,
    stock,
    volumes,
)


def builtin_rules(device: str = "cpu", dtype: torch.dtype = torch.float32) -> Rules:
    """All rules that come with the package.

    Args:
        device: "cpu" or "gpu".
        dtype: What they are to compute in. Other than float32 on the CPU they use no kernel.
    """
    rooms = (
        maps,
        products,
        elementwise,
        functions,
        reductions,
        shapes,
        places,
        indexing,
        sampling,
        distances,
        creation,
        volumes,
    )
    rules = Rules([rule for room in rooms for rule in room.RULES])
    if device == "cpu" and dtype is torch.float32:
        return rules
    return stock.on_stock_operations(rules, dtype)
