"""The rules, by what they are about.

maps.py         convolutions, pools, resizing: the kernels, on maps
products.py     linear layers, products, attention, normalisation
elementwise.py  whatever works on each element
functions.py    trigonometry, remainders, predicates
reductions.py   sums, means, extremes over dimensions
shapes.py       views, permutations, slices, concatenation
places.py       sorting, gathering, scattering, borders
"""

from __future__ import annotations

from yolo_max.convert.rule import Rules
from yolo_max.convert.rules import elementwise, functions, maps, places, products, reductions, shapes


def builtin_rules() -> Rules:
    """All rules that come with the package."""
    rooms = (maps, products, elementwise, functions, reductions, shapes, places)
    return Rules([rule for room in rooms for rule in room.RULES])
