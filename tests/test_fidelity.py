"""What docs/fidelity.md says of bf16, with the script that measures it."""

from __future__ import annotations

from pathlib import Path

import fidelity
import pytest
from fidelity_tables import Subject

from yolo_max.runtime import cpu


@pytest.mark.skipif(not cpu.runs_kernels(), reason="this processor does not run the fused kernels")
def test_bf16_costs_little_accuracy(coco_weights: Path, shared: Path) -> None:
    """On any processor: without bf16 instructions the kernels compute the same in their generic way."""
    photographs = Subject("COCO", coco_weights, shared / "coco" / "coco64.yaml")
    exact = fidelity.mean_of_torch(photographs)
    assert exact > 0.4
    assert fidelity.measure_bf16(photographs).mean.map50_95 == pytest.approx(exact, abs=0.003)
