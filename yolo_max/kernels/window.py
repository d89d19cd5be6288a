"""The geometry of a convolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar

if TYPE_CHECKING:
    from max.graph import Dim

Pair: TypeAlias = tuple[int, int]
Size = TypeVar("Size", int, "Dim")


@dataclass(frozen=True)
class Window:
    """A kernel and how it moves over the map. Pairs are of rows, then of columns.

    Attributes:
        kernel: Taps of the kernel, each at least 1.
        stride: At least 1.
        dilation: Pixels from one tap to the next, at least 1.
        padding: Zeros above, left of, below and right of the map.
        groups: Parts of the channels that are convolved by themselves.
    """

    kernel: Pair
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1

    def __post_init__(self) -> None:
        if min(*self.kernel, *self.stride, *self.dilation, self.groups) < 1 or min(self.padding) < 0:
            raise ValueError(f"There is no convolution with {self}; use positive numbers.")

    @staticmethod
    def of(
        k: int | Pair,
        s: int | Pair = 1,
        padding: int | Pair | tuple[int, int, int, int] | None = None,
        dilation: int | Pair = 1,
        groups: int = 1,
    ) -> Window:
        """A window from numbers as PyTorch takes them: one for both directions, or a pair.

        Args:
            k: Kernel.
            s: Stride.
            padding: By default half of the kernel, ``k // 2``; four numbers are (top, left, bottom, right).
            dilation: Of the kernel.
            groups: Of the channels.
        """
        kernel = pair(k)
        sides = (kernel[0] // 2, kernel[1] // 2) if padding is None else padding
        if isinstance(sides, int) or len(sides) == 2:
            vertical, horizontal = pair(sides)
            sides = (vertical, horizontal, vertical, horizontal)
        return Window(kernel, pair(s), pair(dilation), sides, groups)

    @property
    def span(self) -> Pair:
        """Rows and columns from the first tap to the last."""
        rows, columns = ((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))
        return rows, columns

    def outputs(self, height: Size, width: Size) -> tuple[Size, Size]:
        """Height and width of the output of a map."""
        top, left, bottom, right = self.padding
        return (
            (height + (top + bottom - self.span[0])) // self.stride[0] + 1,
            (width + (left + right - self.span[1])) // self.stride[1] + 1,
        )

    def params(self) -> list[int]:
        """The numbers that ``window.mojo`` reads."""
        return [*self.kernel, *self.stride, *self.dilation, *self.padding, self.groups]


def transposed_window(k: int | Pair, s: int | Pair, padding: int | Pair) -> Window:
    """The window of a transposed convolution that enlarges a map exactly ``s`` times.

    Raises:
        ValueError: There is none with this padding.
    """
    kernel, stride, (top, left) = pair(k), pair(s), pair(padding)
    below, right = kernel[0] - stride[0] - top, kernel[1] - stride[1] - left
    return Window(kernel, stride, padding=(top, left, below, right))


def pair(value: int | Pair) -> Pair:
    """Rows and columns, from both or from one number."""
    return (value, value) if isinstance(value, int) else value
