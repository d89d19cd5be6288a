"""How a network's inputs and outputs lie in tuples, lists and dictionaries, as plain values.

A structure is ``"leaf"``, ``["tuple", ...]`` or ``["list", ...]`` of structures, or ``["dict", ...]`` of
pairs ``[key, structure]``. Needs no PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

Structure: TypeAlias = Any


class Containers(Protocol):
    """Takes a network's arguments apart, and puts its outputs together."""

    def flatten(self, args: tuple[Any, ...]) -> list[Any] | None:
        """The flat inputs in arguments; None if these lie in another structure."""

    def unflatten(self, outputs: Sequence[Any]) -> Any:
        """What the module returns, of flat outputs."""


@dataclass(frozen=True)
class PlainContainers:
    """Containers of Python's own.

    Attributes:
        takes: The structure of the tuple of arguments.
        gives: The structure of the outputs.
    """

    takes: Structure
    gives: Structure

    def flatten(self, args: tuple[Any, ...]) -> list[Any] | None:
        """See :class:`Containers`."""
        leaves: list[Any] = []
        return leaves if _flatten(args, self.takes, leaves) else None

    def unflatten(self, outputs: Sequence[Any]) -> Any:
        """See :class:`Containers`."""
        return _unflatten(self.gives, iter(outputs))


def _flatten(value: Any, structure: Structure, leaves: list[Any]) -> bool:
    """Collects the leaves of a value, and says whether it has the structure."""
    if structure == "leaf":
        leaves.append(value)
        return not isinstance(value, tuple | list | dict)
    kind, *parts = structure
    if kind == "dict":
        return (
            isinstance(value, dict)
            and list(value) == [key for key, _ in parts]
            and all(_flatten(value[key], part, leaves) for key, part in parts)
        )
    return (
        isinstance(value, tuple if kind == "tuple" else list)
        and len(value) == len(parts)
        and all(_flatten(each, part, leaves) for each, part in zip(value, parts, strict=True))
    )


def _unflatten(structure: Structure, leaves: Iterator[Any]) -> Any:
    if structure == "leaf":
        return next(leaves)
    kind, *parts = structure
    if kind == "dict":
        return {key: _unflatten(part, leaves) for key, part in parts}
    made = [_unflatten(part, leaves) for part in parts]
    return tuple(made) if kind == "tuple" else made
