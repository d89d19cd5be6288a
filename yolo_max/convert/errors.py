"""What the converter raises."""

from __future__ import annotations

from collections.abc import Sequence

from yolo_max.convert.report import Report, Unsupported
from yolo_max.support.errors import EngineError
from yolo_max.support.text import counted

SHOWN = 20
"""Operations that an error lists; the report has all of them."""


class ConversionError(EngineError):
    """A module cannot be converted, or an input does not fit the converted one."""


class NotCaptured(ConversionError):  # noqa: N818
    """PyTorch cannot make a graph of a module."""


class UnsupportedOperations(ConversionError):  # noqa: N818
    """A module has operations that are not converted; lists all of them.

    Attributes:
        operations: Each of them, in the order of execution.
        report: The analyzer's, of the whole module.
    """

    def __init__(self, operations: Sequence[Unsupported], report: Report) -> None:
        """Builds the message: one line per operation."""
        self.operations, self.report = tuple(operations), report
        lines = [f"  {each}" for each in operations[:SHOWN]]
        if len(operations) > SHOWN:
            lines.append(f"  and {len(operations) - SHOWN} more")
        super().__init__(
            f"{counted(len(operations), 'operation')} of {report.model} cannot be converted; "
            "replace them, or pass rules for them:\n" + "\n".join(lines)
        )
