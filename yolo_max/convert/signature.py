"""What a converted network takes and gives, as plain values. Needs no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from yolo_max.convert.errors import ConversionError
from yolo_max.convert.guards import Expression, from_json, unmet

Shape: TypeAlias = tuple[int | str, ...]
"""Sizes of an input: integers are static, names symbolic."""


@dataclass(frozen=True)
class Signature:
    """The flat inputs and outputs of a network.

    Attributes:
        shapes: Of each input.
        dtypes: Likewise, as NumPy names them.
        outputs: None for a tensor; for what the module returns besides tensors, a tuple of that one value.
        guards: What named sizes have to fulfil.
    """

    shapes: tuple[Shape, ...]
    dtypes: tuple[str, ...]
    outputs: tuple[tuple[Any] | None, ...]
    guards: tuple[Expression, ...]

    def require_fit(self, name: str, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[str]) -> None:
        """Refuses inputs of other shapes or dtypes.

        Args:
            name: Of the network, for messages.
            shapes: Of the inputs.
            dtypes: Likewise.

        Raises:
            ConversionError: Their number, a shape or a dtype is another one.
        """
        if len(shapes) != len(self.shapes):
            raise ConversionError(f"{name} takes {len(self.shapes)} inputs, and got {len(shapes)}.")
        sizes: dict[str, int] = {}
        for number, (shape, dtype) in enumerate(zip(shapes, dtypes, strict=True)):
            if dtype != self.dtypes[number]:
                raise ConversionError(f"input {number} of {name} is {dtype}; it takes {self.dtypes[number]}.")
            if not _fits(shape, self.shapes[number], sizes):
                wanted = _written(self.shapes[number])
                raise ConversionError(f"input {number} of {name} has the shape {shape}; it takes {wanted}.")
        if (guard := unmet(self.guards, sizes)) is not None:
            given = ", ".join(f"{each} = {size}" for each, size in sizes.items())
            raise ConversionError(f"{name} cannot run with {given}; it needs {guard}.")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "shapes": self.shapes,
            "dtypes": self.dtypes,
            "outputs": self.outputs,
            "guards": self.guards,
        }

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Signature:
        """The signature that :meth:`to_dict` has given, also after JSON."""
        return Signature(
            tuple(map(tuple, values["shapes"])),
            tuple(values["dtypes"]),
            tuple(None if each is None else (each[0],) for each in values["outputs"]),
            tuple(map(from_json, values["guards"])),
        )


def _fits(shape: tuple[int, ...], wanted: Shape, sizes: dict[str, int]) -> bool:
    """Whether a shape is the one wanted; ``sizes`` collects what names stand for."""
    if len(shape) != len(wanted):
        return False
    return all(
        size > 0 and size == (sizes.setdefault(name, size) if isinstance(name, str) else name)
        for size, name in zip(shape, wanted, strict=True)
    )


def _written(shape: Shape) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
