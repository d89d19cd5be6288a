"""What activations are held in between the layers."""

from __future__ import annotations

from enum import StrEnum

from yolo_max.support.errors import UsageError


class Precision(StrEnum):
    """Type of activations and weights on the kernels; sums are float32 in either case."""

    F32 = "f32"
    BF16 = "bf16"

    @classmethod
    def parse(cls, value: str) -> Precision:
        """The precision of this name.

        Raises:
            UsageError: There is none.
        """
        try:
            return cls(value)
        except ValueError:
            raise UsageError(f"there is no precision {value!r}; take one of {', '.join(cls)}.") from None
