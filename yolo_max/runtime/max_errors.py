"""What MAX raises, as errors of our own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from yolo_max.support.errors import EngineError

_OUT_OF_MEMORY = ("memory allocation failed", "out of memory", "bad_alloc")
"""What such an error of MAX's says, in lower case."""


@contextmanager
def max_errors(step: str) -> Iterator[None]:
    """Raises MAX's errors as EngineErrors.

    Args:
        step: What MAX does meanwhile, as a verb: "run the network".

    Raises:
        EngineError: MAX failed; the message says whether memory ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError, ValueError) as error:
        text = str(error)
        if isinstance(error, MemoryError) or any(each in text.lower() for each in _OUT_OF_MEMORY):
            raise EngineError(
                f"there is not enough memory to {step}; use a smaller imgsz or batch, or fewer threads."
            ) from error
        raise EngineError(f"MAX could not {step}: {text}") from error
