"""The type of activations between layers."""

from __future__ import annotations

from enum import StrEnum

from yolo_max.support.errors import UsageError


class Precision(StrEnum):
    """Type of activations and weights in the kernels; sums are always float32."""

    F32 = "f32"
    BF16 = "bf16"

    @classmethod
    def parse(cls, value: str) -> Precision:
        """The precision with this name.

        Raises:
            UsageError: No precision has this name.
        """
        try:
            return cls(value)
        except ValueError:
            raise UsageError(f"there is no precision {value!r}; use one of {', '.join(cls)}.") from None
