"""What the analyzer finds, as a value, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from yolo_max.support.text import counted


@dataclass(frozen=True)
class Unsupported:
    """An operation that is not converted.

    Attributes:
        operation: Its name: ``aten.erfinv.default``.
        reason: Why it is not.
        module: Path of the module that calls it; empty for the outermost one.
        source: File and line of the call, where PyTorch knows them.
    """

    operation: str
    reason: str
    module: str
    source: str

    def __str__(self) -> str:
        place = f" in {self.module}" if self.module else ""
        return f"{self.operation}{place}{f' ({self.source})' if self.source else ''}: {self.reason}"


@dataclass(frozen=True)
class Layer:
    """One operation of the captured module.

    Attributes:
        operation: Its name: ``aten.conv2d.default``.
        module: Path of the module that calls it; empty for the outermost one.
        source: File and line of the call, where PyTorch knows them.
        shape: Of its output, ``batch x 64 x 56 x 56``.
        parameters: Numbers in the constants that it is the first to read.
        flops: See `yolo_max.convert.flops.flops`.
        on: What computes it; empty if nothing does.
        reason: Why nothing does; empty if something does.
        bf16: Whether what it is fused to computes in bfloat16.
    """

    operation: str
    module: str
    source: str
    shape: str
    parameters: int
    flops: int
    on: str
    reason: str
    bf16: bool = False


@dataclass(frozen=True)
class Report:
    """How much of a module is converted.

    Attributes:
        model: Name of its class.
        error: Why it could not even be captured, else empty.
        layers: Its operations, in order; of a module that could not be captured, those of one example, or
            none.
        fused: For each operation that stands for several, what it stands for.
        transposes: How many tensors are transposed between maps and PyTorch's order, inputs and outputs
            included; None if the module is not converted.
        bf16: Whether it is to be converted in bfloat16.
    """

    model: str
    error: str
    layers: tuple[Layer, ...]
    fused: tuple[tuple[str, ...], ...]
    transposes: int | None
    bf16: bool = False

    @property
    def blockers(self) -> list[Unsupported]:
        """What is not converted."""
        return [
            Unsupported(each.operation, each.reason, each.module, each.source)
            for each in self.layers
            if each.reason
        ]

    @property
    def convertible(self) -> bool:
        """Whether all of the module is converted."""
        return not self.error and not self.blockers and not self.in_vain

    @property
    def in_vain(self) -> bool:
        """Whether bfloat16 is asked for, and nothing computes in it."""
        return self.bf16 and not any(each.bf16 for each in self.layers)

    @property
    def coverage(self) -> dict[str, float]:
        """Percent of the operations, the parameters and the FLOPs that have a rule; 0 without layers."""
        done = [each for each in self.layers if not each.reason]
        return {
            "operations": _percent(len(done), len(self.layers), not self.error),
            "parameters": _percent(_sum(done, "parameters"), _sum(self.layers, "parameters"), not self.error),
            "flops": _percent(_sum(done, "flops"), _sum(self.layers, "flops"), not self.error),
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "model": self.model,
            "convertible": self.convertible,
            "error": self.error,
            "coverage": self.coverage,
            "blockers": [asdict(each) for each in self.blockers],
            "transposes": self.transposes,
            "fused": [list(group) for group in self.fused],
            "layers": [asdict(each) for each in self.layers],
        }

    def summary(self) -> str:
        """A few lines: the coverage, and what is not converted."""
        if self.error and not self.layers:
            return f"{self.model}: {self.error}"
        percents = ", ".join(f"{value:.1f}% of {name}" for name, value in self.coverage.items())
        lines = [f"{self.model}: {self.error}"] if self.error else []
        whose = f"with one example, {self.model}" if self.error else self.model
        lines.append(f"{whose}: {counted(len(self.layers), 'operation')}; converted are {percents}.")
        if self.convertible:
            lines.append(
                f"{counted(len(self.fused), 'group')} of operations fused; "
                f"{counted(self.transposes or 0, 'tensor')} transposed."
            )
        if low := [each for each in self.layers if each.bf16]:
            share = _percent(_sum(low, "flops"), _sum(self.layers, "flops"), False)
            lines.append(f"{counted(len(low), 'operation')} in bfloat16, with {share:.1f}% of flops.")
        if self.in_vain and not self.error and not self.blockers:
            lines.append("not converted: nothing computes in bfloat16, as convolutions do; use float32.")
        return "\n".join([*lines, *(f"not converted: {each}" for each in self.blockers)])


def _percent(part: int, whole: int, empty_is_all: bool) -> float:
    return 100 * part / whole if whole else 100.0 * empty_is_all


def _sum(layers: Iterable[Layer], name: str) -> int:
    return sum(getattr(each, name) for each in layers)
