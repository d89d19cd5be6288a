"""What a table does not say of its head: the class branches, and whether fusing left one pair of branches.

Ultralytics chose depthwise class branches for every network in 8.3.0, and since then by the other rows of
the table. Fusing removes the pair of branches of an end-to-end head that is not used, but not the table's
``end2end``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yolo_max.model.specs import SPECS
from yolo_max.model.specs.heads import ONE2MANY, ONE2ONE, Detect, light
from yolo_max.weights.checkpoint.calls import StandIn


def with_head_as_saved(table: Mapping[str, Any], modules: Mapping[str, StandIn]) -> Mapping[str, Any]:
    """The table, with ``legacy`` and ``fused_to`` (see `Detect`) where the modules need them.

    Args:
        table: The checkpoint's own, not yet checked.
        modules: Every module of the checkpoint by its dotted name.
    """
    try:
        rows = [*table["backbone"], *table["head"]]
        blocks = [str(row[2]) for row in rows]
    except (LookupError, TypeError):
        return table  # it makes no sense; parsing it gives the error
    if not blocks or not isinstance(SPECS.get(blocks[-1]), Detect):
        return table
    head = f"model.{len(rows) - 1}"
    pairs = [name for name in (ONE2MANY, ONE2ONE) if f"{head}.{_BRANCH[name]}cv3.0.0" in modules]
    found: dict[str, Any] = {}
    if len(pairs) == 1 and (pairs[0] == ONE2ONE or table.get("end2end") or blocks[-1] == "v10Detect"):
        found["fused_to"] = pairs[0]
    if pairs and blocks[-1] != "v10Detect":
        depthwise = modules[f"{head}.{_BRANCH[pairs[0]]}cv3.0.0"].kind == "Sequential"
        if depthwise != light(blocks[:-1]):
            found["legacy"] = not depthwise
    return {**table, **found}


_BRANCH = {ONE2MANY: "", ONE2ONE: "one2one_"}
