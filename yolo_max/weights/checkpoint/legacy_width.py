"""Tables of checkpoints whose class count is also a channel count.

Until the middle of 2026, Ultralytics left the output channels of a row unscaled where they happened to
equal the class count (64, 128, ...): a rule meant for classifiers. The table of such a network no longer says
how it was built, so it is rewritten here without scaling: every channel and repeat as in the modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yolo_max.model.specs import SPECS
from yolo_max.model.specs.row import Scale
from yolo_max.model.table import table_scale
from yolo_max.support.errors import WeightsError
from yolo_max.weights.checkpoint.calls import StandIn

_LAST_CONVOLUTION = {module: spec.last for module, spec in SPECS.items() if spec.last is not None}
_SCALING = ("scales", "depth_multiple", "width_multiple")


def as_built(table: Mapping[str, Any], modules: Mapping[str, StandIn]) -> Mapping[str, Any]:
    """The table, rewritten without scaling if its modules were built by the old rule; else unchanged.

    Args:
        table: The checkpoint's own, not yet checked.
        modules: Every module of the checkpoint by its dotted name.
    """
    try:
        scale, nc = table_scale(table), int(table["nc"])
        rows = [*table["backbone"], *table["head"]]
        unscaled = any(
            row[3][0] == nc != scale.channels(nc) and _channels(modules, i, row[2]) == nc
            for i, row in enumerate(rows)
            if row[2] in _LAST_CONVOLUTION
        )
        if not unscaled:
            return table
        written_out = [_row(row, nc, scale) for row in rows]
    except (WeightsError, LookupError, TypeError, ValueError, OverflowError):
        return table  # it makes no sense; parsing it gives the error
    start = len(table["backbone"])
    plain = {key: value for key, value in table.items() if key not in _SCALING}
    return {**plain, "backbone": written_out[:start], "head": written_out[start:]}


def _channels(modules: Mapping[str, StandIn], index: int, kind: str) -> Any:
    """Saved output channels of a layer's last convolution."""
    for prefix in (f"model.{index}", f"model.{index}.0"):  # alone, or the first of several copies
        convolution = modules.get(f"{prefix}.{_LAST_CONVOLUTION[kind]}".rstrip("."))
        if convolution is not None and convolution.get("out_channels") is not None:
            return convolution.get("out_channels")
    return None


def _row(row: list[Any], nc: int, scale: Scale) -> list[Any]:
    """A row with its repeats and channels scaled."""
    from_, repeats, module, arguments = row
    spec = SPECS.get(module)
    scaled = (*([0] if spec.last is not None and arguments[0] != nc else []), *spec.scaled) if spec else ()
    arguments = [scale.channels(each) if i in scaled else each for i, each in enumerate(arguments)]
    return [from_, scale.repeats(repeats), module, arguments]
