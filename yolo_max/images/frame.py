"""Frame: one picture of a source that has many, decoded or about to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Position:
    """Where a frame is in its source.

    Attributes:
        index: Its place among all frames of the source, from 0.
        number: Its place among those that are read, from 1; it numbers files as in Ultralytics.
        time: Seconds from the start of the source, exactly; None where the source has no times.
        last: Whether no other frame follows, as far as is known.
        live: Whether it is the newest of a live source: who watches waits for it, and not for the next one.
    """

    index: int
    number: int
    time: Fraction | None = None
    last: bool = False
    live: bool = False


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a video or stream.

    Attributes:
        source: What it is a frame of, as the user named it.
        position: Where it is in it; None if the source could not be opened at all.
        load: Gives its pixels, uint8 [H, W, 3] BGR as displayed; called on a worker thread. Raises an
            `ImageError` for a frame that is broken.
        decode_ms: Milliseconds that decoding took before ``load``.
    """

    source: str
    position: Position | None
    load: Callable[[], NDArray[np.uint8]]
    decode_ms: float = 0.0

    @property
    def live(self) -> bool:
        """Whether it is the newest of a live source."""
        return self.position is not None and self.position.live
