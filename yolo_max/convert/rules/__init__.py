"""The rules, by what they are about.

maps.py         convolutions, pools, resizing: the kernels, on maps
products.py     linear layers, products, attention, normalisation
elementwise.py  whatever works on each element
reductions.py   sums, means, extremes over dimensions
shapes.py       views, permutations, slices, concatenation
"""

from __future__ import annotations

from yolo_max.convert.rule import Rules
from yolo_max.convert.rules import elementwise, maps, products, reductions, shapes


def builtin_rules() -> Rules:
    """All rules that come with the package."""
    return Rules([*maps.RULES, *products.RULES, *elementwise.RULES, *reductions.RULES, *shapes.RULES])
