"""How an operation is lowered: one rule for each, in one registry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import torch
from max.graph import DeviceRef, Graph, TensorValue
from torch import fx

from yolo_max.convert.constants import Bound
from yolo_max.convert.dims import size_refusal
from yolo_max.convert.program import Program, tensor_of
from yolo_max.kernels import feature_map
from yolo_max.kernels.call import CPU, copied
from yolo_max.kernels.call import DTYPES as KERNEL_DTYPES
from yolo_max.kernels.feature_map import FeatureMap
from yolo_max.kernels.precision import Precision

if TYPE_CHECKING:
    from max.graph import Dim, Weight

FLOAT = frozenset({torch.float32})
NUMBERS = frozenset({torch.float32, torch.int64, torch.int32})
ANY = NUMBERS | {torch.bool}


def device() -> DeviceRef:
    """Where the graph that is being written computes: constants are there too."""
    place: DeviceRef = Graph.current.inputs[0].tensor.device
    return place


def on_kernels(x: TensorValue | FeatureMap) -> bool:
    """Whether the kernels compute what is made of a tensor: they need its dtype, and a CPU."""
    return device() == CPU and x.dtype in KERNEL_DTYPES.values()


def materialise(x: FeatureMap) -> TensorValue:
    """A map as one tensor ``[B, H, W, C]``; a view is copied."""
    return copied(x) if on_kernels(x) else feature_map.materialise(x)


class Layout(Enum):
    """In which order an operation has the dimensions of its tensors.

    ROWS: In PyTorch's.
    MAPS: ``[B, C, H, W]`` are maps, NHWC: see `yolo_max.kernels.feature_map.FeatureMap`.
    FOLLOWS: As maps if one of its inputs is a map, else in PyTorch's.
    MAPS_TO_ROWS, ROWS_TO_MAPS: It is itself the change from one to the other, and costs nothing.
    """

    ROWS = 0
    MAPS = 1
    FOLLOWS = 2
    MAPS_TO_ROWS = 3
    ROWS_TO_MAPS = 4


class Bf16(Enum):
    """What an operation makes of maps of bfloat16, in a network that is converted to it.

    NEVER: They are cast to float32 for it.
    FOLLOWS: It gives maps of bfloat16 if one of its inputs is one, and no other loses digits by it.
    COMPUTES: It gives maps of bfloat16, which others are cast to for it, but adds none that loses digits.
    """

    NEVER = 0
    FOLLOWS = 1
    COMPUTES = 2


def precision_of(node: fx.Node) -> Precision:
    """The type of a node's floats, as `yolo_max.convert.bf16` has marked it."""
    precision: Precision = node.meta.get("precision", Precision.F32)
    return precision


@dataclass(frozen=True)
class Call:
    """One node while it is lowered.

    Attributes:
        node: The node.
        shape: Sizes of its tensor, in PyTorch's order; empty if it has several.
        weights: What the rule's ``packs`` has listed, in its order.
        maps: Whether its arguments of rank 4 are maps.
    """

    node: fx.Node
    shape: tuple[Dim, ...]
    weights: tuple[Weight, ...]
    maps: bool


@dataclass(frozen=True)
class Rule:
    """How an operation is lowered, and when it is not.

    Attributes:
        operation: PyTorch's operation, such as ``torch.ops.aten.erf.default``.
        lower: Called with a :class:`Call` and the node's arguments: tensors as MAX's ``TensorValue``, or as
            ``FeatureMap`` if ``call.maps``; symbolic sizes as ``Dim``; anything else as it is. It returns the
            result, or a tuple of several.
        on: What computes it: a kernel of ours, or "MAX".
        layout: The order of dimensions, or a function of the node that says it.
        dtypes: Of its tensors.
        refuses: Returns why a node is not lowered, or None.
        packs: Lists the constants that the node reads instead of its constant arguments, which are then None.
        bf16: What it makes of maps of bfloat16, or a function of the node that says it.
    """

    operation: Any
    lower: Callable[..., Any]
    on: str = "MAX"
    layout: Layout | Callable[[fx.Node], Layout] = Layout.ROWS
    dtypes: frozenset[torch.dtype] = FLOAT
    refuses: Callable[[fx.Node, Program], str | None] = lambda *_: None
    packs: Callable[[fx.Node, Program], list[Bound]] | None = None
    bf16: Bf16 | Callable[[fx.Node], Bf16] = Bf16.NEVER

    def layout_of(self, node: fx.Node) -> Layout:
        """The order of dimensions at a node."""
        return self.layout if isinstance(self.layout, Layout) else self.layout(node)

    def bf16_of(self, node: fx.Node) -> Bf16:
        """What a node makes of maps of bfloat16."""
        return self.bf16 if isinstance(self.bf16, Bf16) else self.bf16(node)


class Rules:
    """The rules, one for each operation."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        """Collects rules; of two for one operation the later one counts."""
        self._rules = {rule.operation: rule for rule in rules}

    def __iter__(self) -> Iterator[Rule]:
        return iter(self._rules.values())

    def __getitem__(self, operation: Any) -> Rule:
        return self._rules[operation]

    def get(self, operation: Any) -> Rule | None:
        """The rule for an operation, or None."""
        return self._rules.get(operation)

    def extended(self, rules: Iterable[Rule]) -> Rules:
        """These rules and others, which come first."""
        return Rules([*self, *rules])

    def refusal(self, node: fx.Node, program: Program) -> str | None:
        """Why a node cannot be lowered, or None if it can."""
        rule = self.get(node.target)
        if rule is None:
            tags = getattr(node.target, "tags", ())
            if torch.Tag.data_dependent_output in tags:
                return "what follows depends on the values of its inputs"
            return "there is no rule for it"
        values = node.meta.get("val")
        parts = list(values) if isinstance(values, tuple | list) else [values]
        for tensor in [*(tensor_of(each) for each in node.all_input_nodes), *parts]:
            if isinstance(tensor, torch.Tensor) and tensor.dtype not in rule.dtypes:
                return f"{str(tensor.dtype).removeprefix('torch.')} is not computed"
            for size in tensor.shape if isinstance(tensor, torch.Tensor) else ():
                if (reason := size_refusal(size, program.symbols)) is not None:
                    return reason
        return rule.refuses(node, program)
