"""Tables of kernels (``kernels/table.mojo``): a graph compiles the kernels of the tables that it uses."""

from __future__ import annotations

from typing import NamedTuple


class KernelTable(NamedTuple):
    """A table of kernels: the operation that creates it, and its size."""

    operation: str
    size: int


CONVOLUTIONS_AND_POOLS = KernelTable("kernels_table", 6)
OTHER_CONVOLUTIONS = KernelTable("other_convolutions_table", 2)
POOLS = KernelTable("pools_table", 2)
COPIES = KernelTable("copies_table", 1)
NORMS = KernelTable("norms_table", 1)
