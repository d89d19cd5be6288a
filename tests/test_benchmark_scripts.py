"""The scripts around the benchmark: the plain loop is no straw man, and tables land between their markers."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import benchmark_tables
import folder_baselines
import numpy as np
import pytest
from folder_baselines import LOOP, OURS, PREDICT, RECT


def rounds(*seconds: float) -> list[dict[str, Any]]:
    return [{"seconds": s, "process_seconds": s + 1, "threads": 2, "objects": 7} for s in seconds]


def test_ratios_of_folders_are_taken_within_rounds() -> None:
    found: dict[str, list[dict[str, Any]]]
    found = {
        OURS: rounds(1, 2, 4),
        RECT: rounds(0.5, 1, 2),
        LOOP: rounds(2, 6, 16),
        PREDICT: [{"failed": "no torchvision"}] * 3,
    }
    rows = {row[0]: row[1:] for row in folder_baselines.table(found, 12, 640).rows}
    # Ratios 2, 3 and 4; speeds 6, 2 and 0.75.
    assert rows[LOOP] == ["2.0", "[1.4–4.0]", "3.00 [2.50–3.50]", "6.00 [5.00–7.00]", "7.0", "2", "7"]
    assert rows[PREDICT][0] == "failed: no torchvision"


def test_nothing_is_compared_with_a_run_of_ours_that_failed() -> None:
    found: dict[str, list[dict[str, Any]]]
    found = {OURS: [{"failed": "no kernels"}], RECT: rounds(1), LOOP: rounds(2)}
    rows = {row[0]: row[1:] for row in folder_baselines.table(found, 12, 640).rows}
    assert rows[LOOP][2:4] == ["–", "2.00 [2.00–2.00]"]


def test_the_plain_loop_s_nms_keeps_the_best_box_of_each_class() -> None:
    output = np.zeros((6, 5), np.float32)
    output[:4] = np.array(
        [[50, 50, 20, 20], [51, 50, 20, 20], [50, 50, 20, 20], [90, 90, 9, 9], [10, 10, 9, 9]]
    ).T
    output[4] = [0.9, 0.8, 0.0, 0.3, 0.2]  # the second overlaps the first, the last is below the threshold
    output[5, 2] = 0.7  # another class at the same place
    boxes, scores, classes = folder_baselines.decoded_boxes(output)
    found = [
        (round(score, 2), class_id) for score, class_id in zip(scores.tolist(), classes.tolist(), strict=True)
    ]
    assert sorted(found) == [
        (0.3, 0),
        (0.7, 1),
        (0.9, 0),
    ]
    assert boxes[scores.argmax()].tolist() == [40, 40, 20, 20]  # left, top, width, height


def test_the_plain_loop_finds_what_the_detector_finds(
    coco_weights: Path, photographs: list[Path], tmp_path: Path
) -> None:
    """On PyTorch's side of the detector, so that this takes no compiling."""
    pytest.importorskip("openvino", reason="openvino is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    from yolo_max.predict.detector import Detector

    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    for path in photographs[:4]:
        (folder / path.name).symlink_to(path)
    model = tmp_path / "decoded.onnx"
    folder_baselines.export_decoded(str(coco_weights), 320, model)
    task = Namespace(images=str(folder), model=str(model), out=str(out), threads=1, imgsz=320)
    found = folder_baselines.plain_loop(task)
    detector = Detector(coco_weights, engine="torch", imgsz=320)
    assert found["objects"] == sum(len(detector(path)) for path in photographs[:4])
    assert len(list(out.iterdir())) == 4


def test_texts_land_between_their_markers_and_nowhere_else() -> None:
    document = "a\n<!-- bench: one -->\nold\n<!-- /bench -->\nb\n<!-- bench: two -->\nkept\n<!-- /bench -->\n"
    filled = benchmark_tables.fill(document, {"one": "new \\1\n", "three": "nowhere"})
    assert filled == document.replace("old\n", "new \\1\n")
    assert benchmark_tables.fill(filled, {"one": "new \\1\n"}) == filled  # a second time changes nothing


def test_the_page_of_benchmarks_has_a_place_for_every_table() -> None:
    page = (Path(__file__).parent.parent / "docs" / "benchmarks.md").read_text()
    places = {match["name"] for match in benchmark_tables.MARKERS.finditer(page)}
    assert places >= {"headline", "host", "engines", "single-stream", "offline", "end-to-end", "cold-start"}
    assert places >= {"growth-batch", "growth-imgsz", "growth-threads", "growth-images", "folder"}
