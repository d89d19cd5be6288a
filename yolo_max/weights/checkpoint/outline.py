"""What a checkpoint says of its layers, whether or not they are ported."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from yolo_max.weights.checkpoint import safe_pickle
from yolo_max.weights.checkpoint.calls import StandIn
from yolo_max.weights.checkpoint.legacy_width import as_built
from yolo_max.weights.checkpoint.modules import model_of, table_of, walk
from yolo_max.weights.checkpoint.saved_head import with_head_as_saved
from yolo_max.weights.checkpoint.tensors import Tensor


@dataclass(frozen=True)
class Outline:
    """A checkpoint's table, and what is counted in its modules.

    Attributes:
        table: Its architecture table, unchecked.
        task: What it was trained for, in its own words; None if it does not say.
        parameters: Numbers in the parameters of each layer, by the layer's index; each tensor counts once.
        modules: The dotted names of its modules.
    """

    table: Mapping[str, Any]
    task: str | None
    parameters: Mapping[int, int]
    modules: frozenset[str]


def read_outline(data: bytes) -> Outline:
    """Reads a checkpoint of any network with a table. Classes may be unknown; nothing of it runs.

    Args:
        data: The whole `.pt` file.

    Raises:
        WeightsError: It is damaged or unsafe, or has no table; a sentence without its subject.
    """
    content = safe_pickle.load(data, any_class=True)
    model = model_of(content)
    modules = dict(walk(model))
    table = with_head_as_saved(as_built(table_of(model), modules), modules)
    arguments = [model.get("args"), content.get("train_args")]
    return Outline(table, _task(arguments), _parameters(modules), frozenset(map(str, modules)))


def _task(arguments: list[Any]) -> str | None:
    for group in arguments:
        values = group.state if isinstance(group, StandIn) else group
        word = values.get("task") if isinstance(values, dict) else None
        if isinstance(word, str) and word.isidentifier() and len(word) < 32:
            return word
    return None


def _parameters(modules: Mapping[str, StandIn]) -> dict[int, int]:
    counts: dict[int, int] = {}
    seen: set[int] = set()
    for path, module in modules.items():
        index = path.split(".")[1] if "." in path else ""
        parameters = module.get("_parameters")
        if not index.isdecimal() or len(index) > 4 or not isinstance(parameters, dict):
            continue
        for value in parameters.values():
            if isinstance(value, Tensor) and id(value) not in seen:
                seen.add(id(value))
                counts[int(index)] = counts.get(int(index), 0) + math.prod(value.shape)
    return counts
